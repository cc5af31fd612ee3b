// config.json, /root and /mounts: every MUST of the runtime specification about the file systems of a container, and what /proc/self/mountinfo
// inside shows of them, on runc, crun and ringfence.

import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RUNTIMES, Rig, type TestSpec } from './kit/runtimes.ts';

interface MountLine {
  point: string;
  options: string[];
  propagation: string;
  type: string;
  source: string;
  superOptions: string[];
}

/** /proc/PID/mountinfo (proc(5)). */
function parse(text: string): MountLine[] {
  return text
    .trim()
    .split('\n')
    .map((line) => {
      const f = line.split(' ');
      const dash = f.indexOf('-');
      return {
        point: f[4] as string,
        options: (f[5] as string).split(','),
        propagation: f.slice(6, dash).join(' '),
        type: f[dash + 1] as string,
        source: f[dash + 2] as string,
        superOptions: (f[dash + 3] as string).split(','),
      };
    });
}

describe.each(RUNTIMES)('%s', (name) => {
  let rig: Rig;
  beforeAll(() => {
    rig = new Rig(name);
  });
  afterAll(() => rig.close());

  const mounts = async (change: (s: TestSpec, bundle: string) => void): Promise<MountLine[]> => {
    const r = await rig.script('cat /proc/self/mountinfo', change);
    // runc warns of relative destinations, ringfence of mounts that are not seen outside.
    expect(r.stderr.split('\n').filter((l) => l !== '' && !/warning/.test(l))).toEqual([]);
    return parse(r.stdout);
  };
  const at = (lines: MountLine[], point: string): MountLine => {
    const found = lines.filter((l) => l.point === point);
    expect(found, point).toHaveLength(1);
    return found[0] as MountLine;
  };

  describe('root', () => {
    test('path: relative to the bundle, or absolute', async () => {
      for (const absolute of [false, true]) {
        const r = await rig.script('cat /etc/mark', (s, bundle) => {
          writeFileSync(join(bundle, 'rootfs/etc/mark'), 'here\n');
          if (s.root !== undefined) s.root.path = absolute ? join(bundle, 'rootfs') : './rootfs';
        });
        expect(r).toEqual({ status: 0, stdout: 'here\n', stderr: '' });
      }
    });

    test('path: a folder that does not exist is an error', async () => {
      const r = await rig.script('true', (s) => (s.root = { path: 'nothing' }));
      expect(r.status).not.toBe(0);
      expect(r.stderr).toMatch(/nothing.*no such file or directory/i);
    });

    test('a root is required', async () => {
      const r = await rig.script('true', (s) => delete s.root);
      expect(r.status).not.toBe(0);
    });

    test('readonly: nothing can be written, in file systems of its own it can', async () => {
      const r = await rig.script(
        'touch /x; touch /etc/x; touch /dev/shm/x && echo written',
        (s) => (s.root = { path: 'rootfs', readonly: true }),
      );
      expect(r.stdout).toBe('written\n');
      expect(r.stderr.match(/Read-only file system/g)).toHaveLength(2);
      const lines = await mounts((s) => (s.root = { path: 'rootfs', readonly: true }));
      expect(at(lines, '/').options).toContain('ro');
    });

    test('not readonly: what is written is in the bundle', async () => {
      let root = '';
      const r = await rig.script('echo data > /etc/new; mkdir /dir; ln -s a /link', (_, bundle) => (root = join(bundle, 'rootfs')));
      expect(r.status).toBe(0);
      expect(readFileSync(join(root, 'etc/new'), 'utf8')).toBe('data\n');
      expect(existsSync(join(root, 'dir'))).toBe(true);
      const lines = await mounts(() => undefined);
      expect(at(lines, '/').options).toContain('rw');
    });
  });

  describe('mounts', () => {
    test('mountinfo: source, type and options as configured, in the order of the list', async () => {
      const lines = await mounts((s, bundle) => {
        mkdirSync(join(bundle, 'data'));
        s.mounts.push(
          { destination: '/t1', type: 'tmpfs', source: 'mine', options: ['nosuid', 'noexec', 'size=64k', 'mode=1777'] },
          { destination: '/b1', type: 'bind', source: join(bundle, 'data'), options: ['rbind', 'ro', 'nosuid', 'nodev', 'noexec'] },
          { destination: '/t2', type: 'tmpfs', source: 'tmpfs', options: ['ro', 'noatime'] },
        );
      });
      const order = ['/proc', '/dev', '/dev/pts', '/dev/shm', '/dev/mqueue', '/sys', '/t1', '/b1', '/t2'];
      expect(lines.map((l) => l.point).filter((p) => order.includes(p))).toEqual(order);
      expect(at(lines, '/proc')).toMatchObject({ type: 'proc', source: 'proc', options: ['rw', 'relatime'] });
      expect(at(lines, '/dev')).toMatchObject({ type: 'tmpfs', source: 'tmpfs', options: ['rw', 'nosuid'] });
      expect(at(lines, '/dev').superOptions).toEqual(expect.arrayContaining(['rw', 'size=65536k', 'mode=755']));
      expect(at(lines, '/dev/pts')).toMatchObject({ type: 'devpts', source: 'devpts', options: ['rw', 'nosuid', 'noexec', 'relatime'] });
      expect(at(lines, '/dev/pts').superOptions).toEqual(expect.arrayContaining(['rw', 'gid=5', 'mode=620', 'ptmxmode=666']));
      expect(at(lines, '/dev/shm')).toMatchObject({
        type: 'tmpfs',
        source: 'shm',
        options: ['rw', 'nosuid', 'nodev', 'noexec', 'relatime'],
      });
      expect(at(lines, '/dev/mqueue')).toMatchObject({
        type: 'mqueue',
        source: 'mqueue',
        options: ['rw', 'nosuid', 'nodev', 'noexec', 'relatime'],
      });
      expect(at(lines, '/sys')).toMatchObject({ type: 'sysfs', source: 'sysfs', options: ['ro', 'nosuid', 'nodev', 'noexec', 'relatime'] });
      expect(at(lines, '/t1')).toMatchObject({ type: 'tmpfs', source: 'mine', options: ['rw', 'nosuid', 'noexec', 'relatime'] });
      // tmpfs does not show what is its default.
      expect(at(lines, '/t1').superOptions).toEqual(expect.arrayContaining(['rw', 'size=64k']));
      expect(at(lines, '/b1').options).toEqual(['ro', 'nosuid', 'nodev', 'noexec', 'relatime']);
      expect(at(lines, '/t2')).toMatchObject({ type: 'tmpfs', source: 'tmpfs', options: ['ro', 'noatime'] });
    });

    test('a later mount lies over an earlier one', async () => {
      const r = await rig.script('ls /m; ls /m/sub', (s, bundle) => {
        for (const d of ['one', 'two']) mkdirSync(join(bundle, d));
        mkdirSync(join(bundle, 'one/sub'));
        writeFileSync(join(bundle, 'two/file'), '');
        s.mounts.push(
          { destination: '/m', type: 'bind', source: join(bundle, 'one'), options: ['bind'] },
          { destination: '/m/sub', type: 'bind', source: join(bundle, 'two'), options: ['bind'] },
        );
      });
      expect(r).toEqual({ status: 0, stdout: 'sub\nfile\n', stderr: '' });
    });

    test('bind: a source that is relative lies in the bundle; type is not needed with bind or rbind', async () => {
      const r = await rig.script('cat /a/f /b/f /c/f', (s, bundle) => {
        mkdirSync(join(bundle, 'data'));
        writeFileSync(join(bundle, 'data/f'), 'x\n');
        s.mounts.push(
          { destination: '/a', type: 'bind', source: 'data', options: ['bind'] },
          { destination: '/b', source: join(bundle, 'data'), options: ['rbind'] },
          { destination: '/c', type: 'none', source: join(bundle, 'data'), options: ['bind'] },
        );
      });
      expect(r).toEqual({ status: 0, stdout: 'x\nx\nx\n', stderr: '' });
    });

    test('bind: a file; written through unless ro', async () => {
      let bundle = '';
      const r = await rig.script('cat /f1; echo out > /f1; echo no > /f2; cat /f2', (s, b) => {
        bundle = b;
        writeFileSync(join(b, 'one'), 'one\n');
        writeFileSync(join(b, 'two'), 'two\n');
        s.mounts.push(
          { destination: '/f1', type: 'bind', source: join(b, 'one'), options: ['bind'] },
          { destination: '/f2', type: 'bind', source: join(b, 'two'), options: ['bind', 'ro'] },
        );
      });
      expect(r.stdout).toBe('one\ntwo\n');
      expect(r.stderr).toMatch(/f2: Read-only file system/);
      expect(readFileSync(join(bundle, 'one'), 'utf8')).toBe('out\n');
    });

    test('bind: a source that does not exist is an error that names it', async () => {
      const r = await rig.script('true', (s) =>
        s.mounts.push({ destination: '/a', type: 'bind', source: '/no/such/source', options: ['bind'] }),
      );
      expect(r.status).not.toBe(0);
      expect(r.stderr).toMatch(/\/no\/such\/source.*no such file or directory/i);
    });

    test('destination: missing folders and files are made', async () => {
      let root = '';
      const r = await rig.script('ls -d /deep/er/dir; cat /deep/er/file', (s, bundle) => {
        root = join(bundle, 'rootfs');
        writeFileSync(join(bundle, 'file'), 'f\n');
        s.mounts.push(
          { destination: '/deep/er/dir', type: 'tmpfs', source: 'tmpfs' },
          { destination: '/deep/er/file', type: 'bind', source: join(bundle, 'file'), options: ['bind'] },
        );
      });
      expect(r).toEqual({ status: 0, stdout: '/deep/er/dir\nf\n', stderr: '' });
      expect(existsSync(join(root, 'deep/er'))).toBe(true);
    });

    test('destination: a relative one starts at /', async () => {
      const lines = await mounts((s) => s.mounts.push({ destination: 'rel/ative', type: 'tmpfs', source: 'tmpfs' }));
      expect(at(lines, '/rel/ative').type).toBe('tmpfs');
    });

    test("destination: symbolic links are followed in the container's root", async () => {
      let root = '';
      const lines = await mounts((s, bundle) => {
        root = join(bundle, 'rootfs');
        mkdirSync(join(root, 'real'));
        symlinkSync('/real', join(root, 'link'));
        symlinkSync('../../../../real', join(root, 'up'));
        s.mounts.push(
          { destination: '/link/one', type: 'tmpfs', source: 'tmpfs' },
          { destination: '/up/two', type: 'tmpfs', source: 'tmpfs' },
        );
      });
      expect(at(lines, '/real/one').type).toBe('tmpfs');
      expect(at(lines, '/real/two').type).toBe('tmpfs');
      expect(existsSync(join(root, 'real/two'))).toBe(true);
    });

    test('options: nosuid, nodev, noexec and ro hold', async () => {
      const script = 'cp /bin/busybox /x/b; chmod 4755 /x/b; /x/b true; echo $?; touch /r/file; mknod /d/null c 1 3 && echo y > /d/null';
      const r = await rig.script(script, (s) => {
        const all = [...(s.process.capabilities?.bounding ?? []), 'CAP_MKNOD'];
        s.process.capabilities = { bounding: all, effective: all, permitted: all };
        s.mounts.push(
          { destination: '/x', type: 'tmpfs', source: 'tmpfs', options: ['noexec', 'nosuid'] },
          { destination: '/r', type: 'tmpfs', source: 'tmpfs', options: ['ro'] },
          { destination: '/d', type: 'tmpfs', source: 'tmpfs', options: ['nodev'] },
        );
      });
      expect(r.stdout).toBe('126\n');
      expect(r.stderr).toMatch(/\/r\/file: Read-only file system/);
      expect(r.stderr).toMatch(/Permission denied|Operation not permitted/);
    });

    test('options: the last of two that exclude each other holds', async () => {
      const lines = await mounts((s) =>
        s.mounts.push(
          { destination: '/a', type: 'tmpfs', source: 'tmpfs', options: ['ro', 'rw', 'noexec', 'exec'] },
          { destination: '/b', type: 'tmpfs', source: 'tmpfs', options: ['rw', 'ro', 'suid', 'nosuid'] },
        ),
      );
      // crun adds up what restricts.
      expect(at(lines, '/a').options).toEqual(name === 'crun' ? ['ro', 'noexec', 'relatime'] : ['rw', 'relatime']);
      expect(at(lines, '/b').options).toEqual(['ro', 'nosuid', 'relatime']);
    });

    test('options: size, mode, uid and gid of a tmpfs', async () => {
      const r = await rig.script('stat -c "%a %u %g" /t; dd if=/dev/zero of=/t/f bs=1k count=100 2>/dev/null; stat -c %s /t/f', (s) => {
        s.mounts.push({ destination: '/t', type: 'tmpfs', source: 'tmpfs', options: ['size=64k', 'mode=700', 'uid=1000', 'gid=1001'] });
      });
      expect(r.stdout).toBe('700 1000 1001\n65536\n');
    });

    test('options: rbind takes what is mounted below the source, bind does not', async () => {
      const r = await rig.script('ls /all/shm | head -1; ls -d /all/null /one/null; ls /one/pts | wc -l', (s) => {
        s.mounts.push(
          { destination: '/all', type: 'bind', source: '/dev', options: ['rbind', 'ro'] },
          { destination: '/one', type: 'bind', source: '/dev', options: ['bind', 'ro'] },
        );
      });
      expect(r.stdout).toContain('/all/null\n/one/null\n0\n');
    });

    test('options: one that nobody knows is an error', async () => {
      const r = await rig.script('true', (s) =>
        s.mounts.push({ destination: '/t', type: 'tmpfs', source: 'tmpfs', options: ['nosuchoption'] }),
      );
      expect(r.status).not.toBe(0);
      expect(r.stderr).toMatch(/invalid argument|nosuchoption/i);
    });

    test('options: tmpcopyup fills a tmpfs with what lies below it', async () => {
      const r = await rig.script('cat /etc/dir/file; echo changed > /etc/dir/file; stat -c %a /etc/dir', (s, bundle) => {
        mkdirSync(join(bundle, 'rootfs/etc/dir'), { mode: 0o750 });
        writeFileSync(join(bundle, 'rootfs/etc/dir/file'), 'below\n');
        s.mounts.push({ destination: '/etc/dir', type: 'tmpfs', source: 'tmpfs', options: ['tmpcopyup', 'mode=750'] });
      });
      expect(r).toEqual({ status: 0, stdout: 'below\n750\n', stderr: '' });
    });

    test('a tmpfs has the mode of the folder below it where none is given', async () => {
      const r = await rig.script('stat -c %a /own', (s, bundle) => {
        mkdirSync(join(bundle, 'rootfs/own'), { mode: 0o711 });
        s.mounts.push({ destination: '/own', type: 'tmpfs', source: 'tmpfs' });
      });
      // crun leaves it to the kernel.
      expect(r.stdout).toBe(name === 'crun' ? '1777\n' : '711\n');
    });

    test('a type that does not exist is an error', async () => {
      const r = await rig.script('true', (s) => s.mounts.push({ destination: '/t', type: 'nosuchfs', source: 'none' }));
      expect(r.status).not.toBe(0);
      expect(r.stderr).toMatch(/no such device|nosuchfs/i);
    });

    test('propagation: private unless told otherwise', async () => {
      const lines = await mounts((s, bundle) => {
        mkdirSync(join(bundle, 'data'));
        s.mounts.push(
          { destination: '/p', type: 'bind', source: join(bundle, 'data'), options: ['rbind', 'rprivate'] },
          { destination: '/s', type: 'bind', source: join(bundle, 'data'), options: ['rbind', 'rshared'] },
          { destination: '/t', type: 'tmpfs', source: 'tmpfs', options: ['shared'] },
        );
      });
      expect(at(lines, '/p').propagation).toBe('');
      // The sandbox has no mounts that others share, and says so in a warning.
      if (name === 'runc') expect(at(lines, '/s').propagation).toMatch(/^shared:\d+/);
      if (name === 'runc') expect(at(lines, '/t').propagation).toMatch(/^shared:\d+/);
    });

    test('without a mount there is no file system of the kernel', async () => {
      const r = await rig.script('ls /proc /sys | wc -l', (s) => (s.mounts = s.mounts.filter((m) => m.destination !== '/sys')));
      expect(r.status).toBe(0);
      const bare = await rig.script('ls /sys; echo end', (s) => (s.mounts = s.mounts.filter((m) => m.destination !== '/sys')));
      expect(bare).toEqual({ status: 0, stdout: 'end\n', stderr: '' });
    });
  });
});
