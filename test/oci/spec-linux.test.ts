// config.json, /linux, /hostname and /domainname: every MUST of the runtime specification about namespaces, devices, sysctl and hidden paths, on
// runc, crun and ringfence.

import { mkdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RUNTIMES, Rig, type TestSpec } from './kit/runtimes.ts';

function without(s: TestSpec, type: string): void {
  s.linux.namespaces = (s.linux.namespaces ?? []).filter((n) => n.type !== type);
}

describe.each(RUNTIMES)('%s', (name) => {
  let rig: Rig;
  beforeAll(() => {
    rig = new Rig(name);
  });
  afterAll(() => rig.close());

  describe('names', () => {
    test('hostname is that of the configuration', async () => {
      expect((await rig.script('hostname; cat /proc/sys/kernel/hostname', (s) => (s.hostname = 'other'))).stdout).toBe('other\nother\n');
    });

    test('domainname is that of the configuration', async () => {
      const r = await rig.script('cat /proc/sys/kernel/domainname', (s) => {
        s.ociVersion = '1.0.2';
        s.domainname = 'example.org';
      });
      // runc and crun of Debian are older than the field.
      if (name === 'ringfence') expect(r.stdout).toBe('example.org\n');
      expect(r.status).toBe(0);
    });

    test("hostname without a uts namespace is an error: it would be the host's", async () => {
      const r = await rig.script('hostname', (s) => without(s, 'uts'));
      expect(r.status).not.toBe(0);
      expect(r.stderr).toMatch(/hostname|uts/i);
    });
  });

  describe('namespaces', () => {
    test('each type of the list is a new one', async () => {
      const script = 'for n in pid net ipc uts mnt; do readlink /proc/self/ns/$n; done';
      const r = await rig.script(script);
      expect(r.status).toBe(0);
      const inside = r.stdout.trim().split('\n');
      const kinds = ['pid', 'net', 'ipc', 'uts', 'mnt'];
      expect(inside.map((l) => l.split(':')[0])).toEqual(kinds);
      // The numbers of a kernel of its own say nothing about the host's.
      if (name === 'ringfence') return;
      for (const [i, kind] of kinds.entries()) expect(inside[i]).not.toBe(readlinkSync(`/proc/self/ns/${kind}`));
    });

    test("the pid that stands for the container is in them, and in the caller's otherwise", async () => {
      const id = rig.id();
      const bundle = rig.bundle(['sleep', '1000'], (s) => {
        s.linux.namespaces = (s.linux.namespaces ?? []).filter((n) => n.type !== 'ipc');
      });
      expect((await rig.run(['create', '--bundle', bundle, id])).status).toBe(0);
      const { pid } = await rig.state(id);
      for (const kind of ['pid', 'net', 'uts', 'mnt'])
        expect(readlinkSync(`/proc/${pid}/ns/${kind}`)).not.toBe(readlinkSync(`/proc/self/ns/${kind}`));
      for (const kind of ['ipc', 'user']) expect(readlinkSync(`/proc/${pid}/ns/${kind}`)).toBe(readlinkSync(`/proc/self/ns/${kind}`));
      await rig.run(['delete', '--force', id]);
    });

    test('a type twice is an error', async () => {
      const r = await rig.script('true', (s) => s.linux.namespaces?.push({ type: 'uts' }));
      // crun takes the last.
      if (name === 'crun') return expect(r.status).toBe(0);
      expect(r.status).not.toBe(0);
      expect(r.stderr).toMatch(/uts|duplicate/i);
    });

    test('a type that does not exist is an error', async () => {
      const r = await rig.script('true', (s) => s.linux.namespaces?.push({ type: 'nosuch' }));
      expect(r.status).not.toBe(0);
      expect(r.stderr).toMatch(/nosuch/);
    });

    test('a path that does not exist, or is no namespace of that type, is an error', async () => {
      for (const path of ['/no/such/file', '/proc/self/ns/uts']) {
        const r = await rig.script('true', (s) => {
          without(s, 'network');
          s.linux.namespaces?.push({ type: 'network', path });
        });
        expect(r.status, path).not.toBe(0);
        expect(r.stderr).not.toBe('');
      }
    });

    test('the first process is pid 1 of a new pid namespace', async () => {
      expect((await rig.script('echo $$')).stdout).toBe('1\n');
    });
  });

  describe('devices', () => {
    test('those that every container has', async () => {
      const wanted: Record<string, [number, number]> = {
        null: [1, 3],
        zero: [1, 5],
        full: [1, 7],
        random: [1, 8],
        urandom: [1, 9],
        tty: [5, 0],
      };
      const r = await rig.script(`cd /dev; stat -c '%n %F %t %T %a' ${Object.keys(wanted).join(' ')}`);
      const lines = Object.entries(wanted).map(
        ([n, [major, minor]]) => `${n} character special file ${major.toString(16)} ${minor.toString(16)} 666`,
      );
      expect(r.stdout.trim().split('\n')).toEqual(lines);
    });

    test('they work', async () => {
      const script =
        'echo x > /dev/null; head -c 4 /dev/zero | od -An -tx1; head -c 8 /dev/urandom | wc -c; head -c 8 /dev/random | wc -c; echo x > /dev/full; echo $?';
      const r = await rig.script(script);
      expect(r.stdout.replace(/ +/g, ' ')).toBe(' 00 00 00 00\n8\n8\n1\n');
    });

    test('links: fd, stdin, stdout, stderr and ptmx', async () => {
      const r = await rig.script('for l in fd stdin stdout stderr ptmx; do readlink /dev/$l; done');
      expect(r.stdout.trim().split('\n')).toEqual([
        '/proc/self/fd',
        '/proc/self/fd/0',
        '/proc/self/fd/1',
        '/proc/self/fd/2',
        expect.stringMatching(/^(\/dev\/)?pts\/ptmx$/),
      ]);
    });

    test('ptmx is that of the container, with the mode of its options', async () => {
      const r = await rig.script('stat -c %a /dev/pts/ptmx');
      expect(r.stdout).toBe('666\n');
    });

    test('devices of the list: character, block, FIFO; mode and owner', async () => {
      const r = await rig.script("cd /dev; stat -c '%n %F %t %T %a %u %g' mine blk pipe sub/dir/deep", (s) => {
        s.linux.devices = [
          { path: '/dev/mine', type: 'c', major: 1, minor: 3, fileMode: 0o640, uid: 1000, gid: 1001 },
          { path: '/dev/blk', type: 'b', major: 7, minor: 200, fileMode: 0o600, uid: 0, gid: 0 },
          { path: '/dev/pipe', type: 'p', fileMode: 0o622, uid: 0, gid: 0 },
          { path: '/dev/sub/dir/deep', type: 'u', major: 1, minor: 5, fileMode: 0o666, uid: 0, gid: 0 },
        ];
      });
      expect(r.stdout.trim().split('\n')).toEqual([
        'mine character special file 1 3 640 1000 1001',
        'blk block special file 7 c8 600 0 0',
        'pipe fifo 0 0 622 0 0',
        'sub/dir/deep character special file 1 5 666 0 0',
      ]);
    });

    test('a file of another kind in the place of a device is an error', async () => {
      const r = await rig.script('true', (s, bundle) => {
        writeFileSync(join(bundle, 'rootfs/etc/mine'), '');
        s.linux.devices = [{ path: '/etc/mine', type: 'c', major: 1, minor: 3, fileMode: 0o666, uid: 0, gid: 0 }];
      });
      // runc leaves the file where it is.
      if (name !== 'ringfence') return;
      expect(r.status).not.toBe(0);
      expect(r.stderr).toMatch(/device \/etc\/mine: another file has the name/);
    });

    test('console only with a terminal', async () => {
      expect((await rig.script('ls /dev/console')).status).not.toBe(0);
    });
  });

  describe('sysctl', () => {
    test('values are there before the process starts', async () => {
      const r = await rig.script('cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax /proc/sys/fs/mqueue/queues_max', (s) => {
        s.linux.sysctl = { 'net.ipv4.ip_forward': '1', 'kernel.msgmax': '65000', 'fs.mqueue.queues_max': '99' };
      });
      expect(r).toEqual({ status: 0, stdout: '1\n65000\n99\n', stderr: '' });
    });

    test("those of the host's own kernel, and those of a namespace that is not new, are errors", async () => {
      const cases: [Record<string, string>, string | null][] = [
        [{ 'vm.swappiness': '10' }, null],
        [{ 'kernel.panic': '10' }, null],
        [{ 'kernel.shmmax': '100000' }, 'ipc'],
        [{ 'net.ipv4.ip_forward': '1' }, 'network'],
      ];
      for (const [sysctl, missing] of cases) {
        const r = await rig.script('true', (s) => {
          s.linux.sysctl = sysctl;
          if (missing !== null) without(s, missing);
        });
        expect(r.status, JSON.stringify(sysctl)).not.toBe(0);
        expect(r.stderr).toMatch(/sysctl/);
      }
    });

    test('one that does not exist is an error', async () => {
      const r = await rig.script('true', (s) => (s.linux.sysctl = { 'net.no_such_thing': '1' }));
      expect(r.status).not.toBe(0);
      expect(r.stderr).toMatch(/no[_ ]such/i);
    });
  });

  describe('hidden paths', () => {
    test('maskedPaths cannot be read: a file is empty, a folder has nothing', async () => {
      const script = 'cat /proc/timer_list; cat /secret; ls -A /hidden; echo x > /secret; touch /hidden/x; echo end';
      const r = await rig.script(script, (s, bundle) => {
        const root = join(bundle, 'rootfs');
        writeFileSync(join(root, 'secret'), 'do not read\n');
        mkdirSync(join(root, 'hidden'));
        writeFileSync(join(root, 'hidden/file'), '');
        s.linux.maskedPaths = ['/proc/timer_list', '/secret', '/hidden', '/does/not/exist'];
      });
      expect(r.stdout).toBe('end\n');
      expect(r.stderr).toMatch(/\/hidden\/x: Read-only file system/);
      expect(r.status).toBe(0);
    });

    test('readonlyPaths cannot be written, below them neither', async () => {
      const script =
        'cat /ro/file; echo x > /ro/file; touch /ro/new; mkdir /ro/sub/x; echo 1 > /proc/sys/net/ipv4/ip_forward; touch /rw && echo end';
      const r = await rig.script(script, (s, bundle) => {
        const root = join(bundle, 'rootfs');
        mkdirSync(join(root, 'ro/sub'), { recursive: true });
        writeFileSync(join(root, 'ro/file'), 'content\n');
        s.linux.readonlyPaths = ['/ro', '/proc/sys', '/does/not/exist'];
      });
      expect(r.stdout).toBe('content\nend\n');
      expect(r.stderr.match(/Read-only file system/g)).toHaveLength(4);
    });
  });

  describe('root of the mount namespace', () => {
    test('rootfsPropagation: one of four words', async () => {
      for (const word of ['private', 'slave', 'rprivate', 'rslave']) {
        expect((await rig.script('true', (s) => (s.linux.rootfsPropagation = word))).status, word).toBe(0);
      }
      const wrong = await rig.script('true', (s) => (s.linux.rootfsPropagation = 'nosuch'));
      // crun reads it as a mount option.
      if (name !== 'crun') expect(wrong.status).not.toBe(0);
    });

    test("nothing of the host's tree is in reach", async () => {
      const r = await rig.script('ls /; cat /proc/self/mountinfo');
      expect(r.stdout.split('\n').slice(0, 6)).toEqual(['bin', 'dev', 'etc', 'proc', 'sys', 'tmp']);
      expect(r.stdout).not.toContain('/oldroot');
      expect(r.stdout).not.toMatch(/ \/(home|boot|usr)[ /]/);
    });
  });

  describe('the file systems that every container has', () => {
    test('proc, sys, pts and shm are what they say', async () => {
      const r = await rig.script('for p in /proc /sys /dev/pts /dev/shm /dev/mqueue; do stat -f -c %T $p; done');
      expect(r.stdout.trim().split('\n')).toHaveLength(5);
      const types = await rig.script("awk '{print $2, $3}' /proc/mounts | sort");
      for (const line of ['/proc proc', '/sys sysfs', '/dev/pts devpts', '/dev/shm tmpfs', '/dev/mqueue mqueue'])
        expect(types.stdout.split('\n')).toContain(line);
    });

    test('processes of the container are all that /proc shows', async () => {
      const r = await rig.script('ls /proc | grep -E "^[0-9]+$" | sort -n | head -3; cat /proc/1/comm; true');
      expect(r.stdout.split('\n')[0]).toBe('1');
      expect(r.stdout.trim().split('\n').at(-1)).toBe('sh');
    });
  });
});
