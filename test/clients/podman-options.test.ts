// What podman's options ask of a runtime: users, privileges, limits, names, environments, hooks, descriptors.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { withPodman } from './kit/each.ts';
import { until } from '../support/until.ts';
import { busybox, setuid } from './kit/images.ts';

const BB = 'localhost/bb';
const CHOWN = 1;
const NET_RAW = 1 << 13;

withPodman(
  'podman options',
  () => [busybox(), setuid()],
  (s) => {
    const status = async (field: string, ...args: string[]): Promise<string> =>
      (await s.says([...args, BB, 'grep', `^${field}:`, '/proc/self/status'])).slice(field.length + 1).trim();
    const caps = async (field: string, ...args: string[]): Promise<number> => Number.parseInt(await status(field, ...args), 16);

    test('--user, --group-add, --workdir, --env, --hostname', async () => {
      expect(await s.says(['--user', 'guest', BB, 'id'])).toBe('uid=1000(guest) gid=1000(guest) groups=1000(guest),2000(extra)');
      expect(await s.says(['--user', '77:88', '--group-add', '99', BB, 'id'])).toMatch(/^uid=77.* gid=88.* groups=.*99/);
      expect(await s.says(['--workdir', '/var', BB, 'pwd'])).toBe('/var');
      expect(await s.says(['--env', 'A=b c', '--env', 'EMPTY=', BB, 'sh', '-c', 'echo "$A|$EMPTY|$HOME"'])).toBe('b c||/root');
      expect(await s.says(['--hostname', 'box', BB, 'sh', '-c', 'hostname; cat /etc/hostname; echo; uname -n'])).toBe('box\nbox\nbox');
      expect(await s.says(['--umask', '0077', BB, 'sh', '-c', 'umask'])).toBe('0077');
    });

    test('--cap-drop and --cap-add', async () => {
      const usual = await caps('CapEff');
      expect(usual % 2).toBe(CHOWN);
      expect(await caps('CapEff', '--cap-drop=CHOWN')).toBe(usual - CHOWN);
      expect(await caps('CapBnd', '--cap-drop=all')).toBe(0);
      expect(await caps('CapEff', '--cap-drop=all', '--cap-add=NET_RAW')).toBe(NET_RAW);
      const denied = await s.run(['--cap-drop=CHOWN', BB, 'chown', '5', '/tmp']);
      expect(denied.stderr).toMatch(/Operation not permitted/);
      expect(
        await s.says([
          '--cap-add=SYS_ADMIN',
          BB,
          'sh',
          '-c',
          'mount -t tmpfs none /mnt 2>/dev/null || mkdir /mnt && mount -t tmpfs none /mnt && echo mounted',
        ]),
      ).toBe('mounted');
    });

    test('no-new-privileges, and a set-user-ID program with and without it', async () => {
      expect(await status('NoNewPrivs')).toBe('0');
      expect(await status('NoNewPrivs', '--security-opt=no-new-privileges')).toBe('1');
      const suid = ['--user', 'guest', 'localhost/suid'];
      expect(await s.says(suid)).toBe('real 1000 effective 0 saved 0\nno_new_privs 0\nsecret open');
      expect(await s.says(['--security-opt=no-new-privileges', ...suid])).toBe(
        'real 1000 effective 1000 saved 1000\nno_new_privs 1\nsecret closed',
      );
    });

    test("seccomp: the default profile, none, and one of one's own", async () => {
      expect(await status('Seccomp')).toBe('2');
      expect(await status('Seccomp', '--security-opt=seccomp=unconfined')).toBe('0');
      const profile = s.podman.folder.file('profile.json');
      const rule = { names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO', errnoRet: 95 };
      writeFileSync(profile, JSON.stringify({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [rule] }));
      const r = await s.run([`--security-opt=seccomp=${profile}`, BB, 'mkdir', '/made']);
      expect(r.status).toBe(1);
      expect(r.stderr).toMatch(/Operation not supported|Not supported/);
      // Of the default profile's own rules: without CAP_SYS_ADMIN there is no unshare(2).
      const unshare = await s.run([BB, 'unshare', '-m', 'true']);
      expect(unshare.stderr).toMatch(/Operation not permitted/);
    });

    test("labels are none of the host's where it has none", async () => {
      expect(await s.says(['--security-opt=label=disable', BB, 'echo', 'unlabelled'])).toBe('unlabelled');
      expect(await s.says(['--security-opt=apparmor=unconfined', BB, 'echo', 'unconfined'])).toBe('unconfined');
    });

    test("--privileged: all of the caller's capabilities, no seccomp, and nothing masked", async () => {
      const usual = await caps('CapEff');
      expect(await caps('CapEff', '--privileged')).toBeGreaterThan(usual);
      expect(await status('Seccomp', '--privileged')).toBe('0');
      expect(await s.says(['--privileged', BB, 'sh', '-c', 'mkdir -p /mnt; mount -t tmpfs none /mnt && echo mounted'])).toBe('mounted');
      expect(await s.says(['--privileged', BB, 'sh', '-c', 'grep -c " /proc/[a-z]" /proc/mounts || true'])).toBe('0');
    });

    test('masked and read-only paths of an ordinary container', async () => {
      expect((await s.run([BB, 'sh', '-c', 'echo x >/proc/sys/kernel/hostname'])).stderr).toMatch(/Read-only file system/);
      const masked = 'for f in kcore keys latency_stats timer_list sched_debug; do test ! -e /proc/$f || wc -c </proc/$f; done';
      expect(await s.says([BB, 'sh', '-c', masked])).toMatch(/^(0\n?)*$/);
    });

    test('--ulimit', async () => {
      const processes = ['--ulimit', 'nproc=1000:1000']; // podman's own default may be above the caller's
      expect(await s.says([...processes, '--ulimit', 'nofile=512:600', BB, 'sh', '-c', 'ulimit -Sn; ulimit -Hn'])).toBe('512\n600');
      expect(await s.says([...processes, '--ulimit', 'nofile=900:900', '--ulimit', 'core=0:0', BB, 'sh', '-c', 'ulimit -c'])).toBe('0');
      const r = await s.run([...processes, '--ulimit', 'nofile=20:20', BB, 'sh', '-c', 'ulimit -n 30']);
      expect(r.stderr).toMatch(/ulimit|limit/);
    });

    test('--sysctl of a namespace', async () => {
      expect(await s.says(['--sysctl', 'kernel.msgmax=4096', BB, 'cat', '/proc/sys/kernel/msgmax'])).toBe('4096');
    });

    test("--memory, --cpus, --pids-limit are in the container's cgroup and seen inside", async () => {
      const name = await s.start(['--memory=128m', '--cpus=0.5', '--pids-limit=50', BB, 'sleep', '1000']);
      const pid = await s.podman.inspect(name, '{{.State.Pid}}');
      const v1 = existsSync('/sys/fs/cgroup/memory');
      const group = (controller: string): string => {
        const lines = readFileSync(`/proc/${pid}/cgroup`, 'utf8').split('\n');
        const line = lines.find((l) => (v1 ? l.split(':')[1]?.split(',').includes(controller) : l.startsWith('0::'))) ?? '';
        return `/sys/fs/cgroup/${v1 ? controller : ''}${line.split(':')[2]}`;
      };
      const value = (controller: string, file: string): string => readFileSync(`${group(controller)}/${file}`, 'utf8').trim();
      expect(value('memory', v1 ? 'memory.limit_in_bytes' : 'memory.max')).toBe(String(128 << 20));
      // A sandbox may have more processes on the host than the container has inside.
      expect(Number(value('pids', 'pids.max'))).toBeGreaterThanOrEqual(50);
      if (v1) expect(value('cpu', 'cpu.cfs_quota_us')).toBe('50000');
      else expect(value('cpu', 'cpu.max')).toBe('50000 100000');
      const inside = (file: string): Promise<string> => s.exec(name, 'cat', `/sys/fs/cgroup/${file}`);
      expect(await inside(v1 ? 'memory/memory.limit_in_bytes' : 'memory.max')).toBe(String(128 << 20));
      expect(await inside(v1 ? 'pids/pids.max' : 'pids.max')).toBe('50');
      await s.podman.must(['update', '--memory=96m', '--cpus=1', name]);
      expect(value('memory', v1 ? 'memory.limit_in_bytes' : 'memory.max')).toBe(String(96 << 20));
      expect(await inside(v1 ? 'memory/memory.limit_in_bytes' : 'memory.max')).toBe(String(96 << 20));
      await s.remove(name);
    });

    test('--pids-limit stops what makes processes without end, and nobody else', async () => {
      const script = 'i=0; while [ $i -lt 60 ]; do sleep 1000 & i=$((i + 1)); done 2>&1';
      const r = await s.run(['--pids-limit=20', BB, 'sh', '-c', script]);
      expect(r.stdout + r.stderr).toMatch(/can't fork|Resource temporarily unavailable/);
    });

    test('a container that takes more memory than it may is killed, and podman says so', async () => {
      // conmon notes the event in its working folder, and podman looks for the note in the container's.
      const eater = 'dd if=/dev/zero of=/dev/null bs=512M count=1; status=$?; sleep 1; exit $status';
      const name = s.name();
      await s.podman.must(['create', '--name', name, '--network=none', '--memory=64m', '--memory-swap=64m', BB, 'sh', '-c', eater]);
      const cwd = `${s.podman.folder.path}/root/overlay-containers/${await s.podman.inspect(name, '{{.Id}}')}/userdata`;
      await s.podman.must(['start', name], { cwd });
      expect(await s.end(name)).toBe(137);
      expect(await s.podman.inspect(name, '{{.State.OOMKilled}}')).toBe('true');
      await s.remove(name);
      expect(await s.says(['--memory=64m', BB, 'dd', 'if=/dev/zero', 'of=/dev/null', 'bs=1M', 'count=100'])).toBe('');
    });

    test('--hooks-dir: hooks get the state, in order, in their places', async () => {
      const folder = s.podman.folder;
      const log = folder.file('hooks.log');
      writeFileSync(log, '');
      const script = folder.file('hook.sh');
      writeFileSync(script, `#!/bin/sh\nread -r state || true\necho "$1 $state" >>${log}\n`, { mode: 0o755 });
      for (const stage of ['prestart', 'createRuntime', 'poststart', 'poststop']) {
        const hook = { version: '1.0.0', hook: { path: script, args: ['hook', stage] }, when: { always: true }, stages: [stage] };
        writeFileSync(folder.file(`hooks/${stage}.json`), JSON.stringify(hook));
      }
      const name = s.name();
      await s.podman.must(['--hooks-dir', folder.file('hooks'), 'run', '--network=none', '--name', name, BB, 'sleep', '2']);
      const id = await s.podman.inspect(name, '{{.Id}}');
      await until('the last hook ran', () => readFileSync(log, 'utf8').includes('poststop'));
      const lines = readFileSync(log, 'utf8').trim().split('\n');
      expect(lines.map((l) => l.split(' ')[0])).toEqual(['prestart', 'createRuntime', 'poststart', 'poststop']);
      for (const line of lines) {
        const state = JSON.parse(line.slice(line.indexOf('{'))) as { id: string; pid: number; bundle: string; ociVersion: string };
        expect(state.id).toBe(id);
        expect(existsSync(state.bundle)).toBe(true);
        if (!line.startsWith('poststop')) expect(state.pid).toBeGreaterThan(0);
      }
      await s.remove(name);
    });

    test('a hook that fails keeps the container from starting', async () => {
      const folder = s.podman.folder;
      const hooks = folder.file('bad-hooks');
      await folder.must(['mkdir', '-p', hooks]);
      const hook = {
        version: '1.0.0',
        hook: { path: '/bin/sh', args: ['sh', '-c', 'echo told why >&2; exit 3'] },
        when: { always: true },
        stages: ['createRuntime'],
      };
      writeFileSync(`${hooks}/bad.json`, JSON.stringify(hook));
      const r = await s.podman.run(['--hooks-dir', hooks, 'run', '--rm', '--network=none', BB, 'echo', 'ran']);
      expect(r.status).not.toBe(0);
      expect(r.stdout).toBe('');
      expect(r.stderr).toMatch(/hook/);
    });

    test('--preserve-fds and sockets by LISTEN_FDS', async () => {
      const file = s.podman.folder.file('passed');
      writeFileSync(file, 'by descriptor\n');
      const podman = (args: string): Promise<string> => s.podman.shell(`exec 3<${file}; podman run --rm --network=none ${args}`);
      expect(await podman(`--preserve-fds=1 ${BB} cat /proc/self/fd/3`)).toBe('by descriptor');
      const listen = `LISTEN_FDS=1 LISTEN_PID=$$ exec podman run --rm --network=none ${BB} sh -c 'echo $LISTEN_FDS $LISTEN_PID; cat <&3'`;
      expect(await s.podman.shell(`exec 3<${file}; ${listen}`)).toBe('1 1\nby descriptor');
    });

    test("namespaces of the host, of another container, and of one's own", async () => {
      const link = (args: string[], name: string): Promise<string> => s.says([...args, BB, 'readlink', `/proc/self/ns/${name}`]);
      const name = await s.start(['--hostname', 'first', '--ipc=shareable', BB, 'sleep', '1000']);
      expect(await s.says(['--uts=host', BB, 'hostname'])).toBe(readFileSync('/proc/sys/kernel/hostname', 'utf8').trim());
      for (const kind of ['ipc', 'pid']) {
        expect(await link([`--${kind}=container:${name}`], kind)).toMatch(new RegExp(`^${kind}:\\[\\d+\\]$`));
      }
      expect(await s.says([`--pid=container:${name}`, BB, 'ps'])).toContain('sleep 1000');
      await s.remove(name);
    });

    test('--uidmap: other users on the host than inside', async () => {
      const map = ['--uidmap=0:100000:65536', '--gidmap=0:100000:65536'];
      const name = await s.start([...map, BB, 'sleep', '1000']);
      expect(await s.exec(name, 'sh', '-c', 'id -u; echo x >/mine; stat -c %u /mine')).toBe('0\n0');
      const mount = await s.podman.must(['mount', name]);
      expect(await s.podman.folder.must(['stat', '-c', '%u', `${mount}/mine`])).toBe('100000');
      await s.podman.must(['umount', name]);
      await s.remove(name);
    });

    test('--network bridge: starts, has its interface, stops', async () => {
      const name = s.name();
      const r = await s.podman.run(['run', '-d', '--name', name, BB, 'sleep', '1000']);
      expect(r).toMatchObject({ status: 0 });
      expect(await s.exec(name, 'echo', 'runs')).toBe('runs');
      expect(await s.podman.inspect(name, '{{.NetworkSettings.IPAddress}}')).toMatch(/^10\.88\./);
      await s.podman.run(['stop', '-t', '0', name]);
      await s.remove(name);
    });
  },
);
