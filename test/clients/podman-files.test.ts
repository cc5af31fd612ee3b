// Files where podman looks for them: copies in and out, what a container wrote, volumes, read-only roots.

import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { withPodman } from './kit/each.ts';
import { busybox } from './kit/images.ts';

const BB = 'localhost/bb';

withPodman(
  'podman files',
  () => [busybox()],
  (s) => {
    const file = (name: string): string => s.podman.folder.file(name);

    test('cp into and out of a running container', async () => {
      const name = await s.start([BB, 'sh', '-c', 'mkdir /made; echo by the container >/made/inside; sleep 1000']);
      writeFileSync(file('in.txt'), 'from the host\n');
      await s.podman.must(['cp', file('in.txt'), `${name}:/etc/copied`]);
      expect(await s.exec(name, 'cat', '/etc/copied')).toBe('from the host');
      writeFileSync(file('in.txt'), 'changed, and longer than before\n');
      await s.podman.must(['cp', file('in.txt'), `${name}:/etc/copied`]);
      expect(await s.exec(name, 'cat', '/etc/copied')).toBe('changed, and longer than before');
      await s.exec(name, 'sh', '-c', 'echo written >/tmp/out.txt; chmod 640 /tmp/out.txt');
      await s.podman.must(['cp', `${name}:/tmp/out.txt`, file('out.txt')]);
      expect(readFileSync(file('out.txt'), 'utf8')).toBe('written\n');
      await s.podman.must(['cp', `${name}:/made`, file('made')]);
      expect(readFileSync(file('made/inside'), 'utf8')).toBe('by the container\n');
      mkdirSync(file('tree/below'), { recursive: true });
      writeFileSync(file('tree/below/leaf'), 'leaf\n');
      await s.podman.must(['cp', file('tree'), `${name}:/var/`]);
      expect(await s.exec(name, 'cat', '/var/tree/below/leaf')).toBe('leaf');
      await s.remove(name);
    });

    test('cp into a tmpfs of a running container arrives, or is refused: a sandbox keeps it in its own memory', async () => {
      const name = await s.start(['--tmpfs', '/scratch', BB, 'sleep', '1000']);
      writeFileSync(file('t.txt'), 'into a tmpfs\n');
      const r = await s.podman.run(['cp', file('t.txt'), `${name}:/scratch/t.txt`]);
      if (s.runtime === 'runc') {
        expect(r.status).toBe(0);
        expect(await s.exec(name, 'cat', '/scratch/t.txt')).toBe('into a tmpfs');
      } else {
        expect(r.status).not.toBe(0);
        expect(r.stderr).toContain('read-only file system');
      }
      await s.remove(name);
    });

    test('cp into and out of a container that has ended, and of one not yet started', async () => {
      const name = s.name();
      await s.podman.must(['create', '--network=none', '--name', name, BB, 'sh', '-c', 'cat /early; echo late >/late']);
      writeFileSync(file('early'), 'before the start\n');
      await s.podman.must(['cp', file('early'), `${name}:/early`]);
      expect((await s.podman.run(['start', '-a', name])).stdout).toBe('before the start\n');
      await s.podman.must(['cp', `${name}:/late`, file('late')]);
      expect(readFileSync(file('late'), 'utf8')).toBe('late\n');
      await s.remove(name);
    });

    test('diff, commit and export have what the container wrote', async () => {
      const script =
        'echo new >/new; echo more >>/etc/group; rm /etc/passwd; mkdir -p /d/e; ln -s /new /link; chown 7:8 /new; chmod 4711 /new; mkfifo /fifo';
      const name = await s.start([BB, 'sh', '-c', script]);
      expect(await s.end(name)).toBe(0);
      const diff = (await s.podman.must(['diff', name])).split('\n').sort();
      for (const line of ['A /new', 'C /etc/group', 'D /etc/passwd', 'A /d', 'A /d/e', 'A /link', 'A /fifo']) expect(diff).toContain(line);
      await s.podman.must(['commit', '-q', '--change', 'CMD ["cat", "/new"]', name, 'localhost/committed']);
      expect(await s.says(['localhost/committed'])).toBe('new');
      expect(await s.says(['localhost/committed', 'sh', '-c', 'stat -c "%a %u %g" /new; test -e /etc/passwd || echo gone'])).toBe(
        '4711 7 8\ngone',
      );
      await s.podman.must(['export', '-o', file('export.tar'), name]);
      const listed = await s.podman.folder.must(['tar', '-tvf', file('export.tar')]);
      expect(listed).toMatch(/^-rws--x--x 7\/8 .* new$/m);
      expect(listed).toMatch(/link -> \/new$/m);
      expect(listed).not.toMatch(/ etc\/passwd$/m);
      await s.remove(name);
      await s.podman.must(['rmi', 'localhost/committed']);
    });

    test('diff and commit of a container that still runs', async () => {
      const name = await s.start([BB, 'sleep', '1000']);
      await s.exec(name, 'sh', '-c', 'echo running >/while');
      expect((await s.podman.must(['diff', name])).split('\n')).toContain('A /while');
      await s.podman.must(['commit', '-q', name, 'localhost/committed']);
      expect(await s.says(['localhost/committed', 'cat', '/while'])).toBe('running');
      expect(await s.exec(name, 'echo', 'goes on')).toBe('goes on');
      await s.remove(name);
      await s.podman.must(['rmi', 'localhost/committed']);
    });

    test('-v: a folder of the host, writable and read-only, and a single file', async () => {
      mkdirSync(file('shared'), { recursive: true });
      writeFileSync(file('shared/here'), 'on the host\n');
      const v = file('shared');
      expect(await s.says(['-v', `${v}:/data`, BB, 'sh', '-c', 'cat /data/here; echo back >/data/there'])).toBe('on the host');
      expect(readFileSync(file('shared/there'), 'utf8')).toBe('back\n');
      const ro = await s.run(['-v', `${v}:/data:ro`, BB, 'sh', '-c', 'cat /data/here; echo x >/data/new']);
      expect(ro.stdout).toBe('on the host\n');
      expect(ro.stderr).toMatch(/Read-only file system/);
      expect(ro.status).not.toBe(0);
      expect(await s.says(['-v', `${v}/here:/etc/single:ro`, BB, 'cat', '/etc/single'])).toBe('on the host');
    });

    test('-v: new files belong to who made them, at once and for the host', async () => {
      mkdirSync(file('owned'), { recursive: true });
      chmodSync(file('owned'), 0o777);
      const script = 'echo x >/o/f; stat -c "%u %g" /o/f; echo y >>/o/f; stat -c "%u %g %s" /o/f';
      expect(await s.says(['-v', `${file('owned')}:/o`, '--user', '1000:2000', BB, 'sh', '-c', script])).toBe('1000 2000\n1000 2000 4');
      expect(statSync(file('owned/f'))).toMatchObject({ uid: 1000, gid: 2000 });
    });

    test('-v: what the host changes is seen inside within seconds', async () => {
      mkdirSync(file('live'), { recursive: true });
      writeFileSync(file('live/word'), 'first\n');
      const name = await s.start(['-v', `${file('live')}:/live`, BB, 'sleep', '1000']);
      expect(await s.exec(name, 'cat', '/live/word')).toBe('first');
      writeFileSync(file('live/word'), 'second one\n');
      writeFileSync(file('live/another'), 'more\n');
      expect(
        await s.exec(name, 'sh', '-c', 'until grep -q second /live/word && test -e /live/another; do sleep 0.1; done; cat /live/word'),
      ).toBe('second one');
      await s.remove(name);
    });

    test('named volumes are filled from the image and kept', async () => {
      await s.podman.must(['volume', 'create', 'vol']);
      expect(await s.says(['-v', 'vol:/etc', BB, 'sh', '-c', 'echo kept >/etc/kept; cat /etc/group'])).toContain('guest');
      expect(await s.says(['-v', 'vol:/v', BB, 'cat', '/v/kept'])).toBe('kept');
      await s.podman.must(['volume', 'rm', 'vol']);
    });

    test('--read-only with writable --tmpfs', async () => {
      const ro = await s.run(['--read-only', '--read-only-tmpfs=false', BB, 'touch', '/x']);
      expect(ro.status).toBe(1);
      expect(ro.stderr).toMatch(/Read-only file system/);
      const args = ['--read-only', '--tmpfs', '/scratch:size=1m,mode=700,noexec', BB, 'sh', '-c'];
      expect(await s.says([...args, 'echo ok >/scratch/x && cat /scratch/x; stat -c %a /scratch; grep " /scratch " /proc/mounts'])).toMatch(
        /^ok\n700\ntmpfs \/scratch tmpfs rw,.*noexec.*size=1024k/,
      );
      const full = await s.run([...args, 'dd if=/dev/zero of=/scratch/x bs=1k count=2048']);
      expect(full.stderr).toMatch(/No space left on device/);
    });

    test('--mount, --volumes-from and --shm-size', async () => {
      const args = ['--mount', 'type=tmpfs,destination=/m,tmpfs-mode=1770', '--shm-size=2m', BB, 'sh', '-c'];
      expect(await s.says([...args, 'stat -c %a /m; df -k -P /dev/shm | tail -n 1'])).toMatch(/^1770\n\S+\s+2048 /);
      const name = await s.start(['-v', '/anonymous', BB, 'sh', '-c', 'echo lent >/anonymous/x']);
      expect(await s.end(name)).toBe(0);
      expect(await s.says(['--volumes-from', name, BB, 'cat', '/anonymous/x'])).toBe('lent');
      await s.podman.must(['rm', '-v', name]);
    });
  },
);
