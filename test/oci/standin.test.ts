// The pid that clients watch: its namespaces, its root, what it does when it is signalled or killed, and what it holds. The same is asked of
// runc, whose pid is the container's first process itself.

import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Rig, type TestSpec } from './kit/runtimes.ts';
import { childrenOf, lives } from './support.ts';

const KINDS = { network: 'net', ipc: 'ipc', uts: 'uts', pid: 'pid', mount: 'mnt', cgroup: 'cgroup', user: 'user' } as const;
type Kind = keyof typeof KINDS;

const spaceOf = (pid: number | 'self', kind: Kind): string => readlinkSync(`/proc/${pid}/ns/${KINDS[kind]}`);

/** A process and all below it. */
function tree(pid: number): number[] {
  return [pid, ...childrenOf(pid).flatMap((c) => tree(c.pid))];
}

/** Parent of a process (proc_pid_stat(5)). */
function parentOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
}

/** A signal for one process: a number that is none would be a group's or everybody's. */
function signal(pid: number, name: NodeJS.Signals): void {
  if (!(pid > 1)) throw new Error(`no process to signal: ${pid}`);
  process.kill(pid, name);
}

async function until(what: () => boolean, ms = 20_000): Promise<boolean> {
  const end = Date.now() + ms;
  while (!what()) {
    if (Date.now() > end) return false;
    await new Promise((done) => setTimeout(done, 20));
  }
  return true;
}

function enter(pid: number, spaces: string[], script: string): { status: number | null; stdout: string; stderr: string } {
  return spawnSync('nsenter', ['-t', String(pid), ...spaces, '/bin/busybox', 'sh', '-c', script], { encoding: 'utf8', timeout: 20_000 });
}

describe.each(['runc', 'ringfence'] as const)('%s', (name) => {
  let rig: Rig;
  beforeAll(() => {
    rig = new Rig(name);
  });
  afterAll(async () => {
    await rig.close();
  });

  /** A container that was created; its pid from the pid file. */
  async function created(args: string[], change: (spec: TestSpec, bundle: string) => void = () => undefined) {
    const id = rig.id();
    const bundle = rig.bundle(args, change);
    const file = join(bundle, 'pid');
    const r = await rig.run(['create', '--bundle', bundle, '--pid-file', file, id]);
    expect(r).toEqual({ status: 0, stdout: '', stderr: '' });
    return { id, bundle, pid: Number(readFileSync(file, 'latin1')) };
  }

  async function running(args: string[], change: (spec: TestSpec, bundle: string) => void = () => undefined) {
    const c = await created(args, change);
    expect(await rig.run(['start', c.id])).toEqual({ status: 0, stdout: '', stderr: '' });
    return c;
  }

  describe('namespaces', () => {
    test('are new where the configuration lists them, and the caller’s where it does not', async () => {
      const all: Kind[] = ['network', 'ipc', 'uts', 'pid', 'mount', 'cgroup'];
      const every = await created(['sleep', '1000'], (s) => (s.linux.namespaces = all.map((type) => ({ type }))));
      for (const kind of all) expect(spaceOf(every.pid, kind), kind).not.toBe(spaceOf('self', kind));
      expect(spaceOf(every.pid, 'user')).toBe(spaceOf('self', 'user'));
      const few = await created(['sleep', '1000'], (s) => {
        s.linux.namespaces = [{ type: 'mount' }, { type: 'ipc' }];
        delete s.hostname;
      });
      for (const kind of ['mount', 'ipc'] as const) expect(spaceOf(few.pid, kind), kind).not.toBe(spaceOf('self', kind));
      for (const kind of ['network', 'uts', 'pid', 'cgroup', 'user'] as const)
        expect(spaceOf(few.pid, kind), kind).toBe(spaceOf('self', kind));
    });

    test('are joined by path', async () => {
      const first = await running(['sleep', '1000']);
      const joined = ['network', 'ipc', 'uts', 'pid'] as const;
      const second = await running(['sleep', '1000'], (s) => {
        s.linux.namespaces = [{ type: 'mount' }, ...joined.map((type) => ({ type, path: `/proc/${first.pid}/ns/${KINDS[type]}` }))];
        delete s.hostname;
      });
      for (const kind of joined) expect(spaceOf(second.pid, kind), kind).toBe(spaceOf(first.pid, kind));
      expect(spaceOf(second.pid, 'mount')).not.toBe(spaceOf(first.pid, 'mount'));
      // The end of one is not that of the other, unless it was the first of their pid namespace.
      signal(second.pid, 'SIGKILL');
      await rig.reaches(second.id, 'stopped');
      expect((await rig.state(first.id)).status).toBe('running');
    });

    test.each([
      ['network', 'ipc'],
      ['ipc', 'net'],
      ['uts', 'mnt'],
      ['pid', 'uts'],
      ['cgroup', 'pid'],
    ])('a path of kind %s that leads to one of kind %s is refused', async (type, file) => {
      const id = rig.id();
      const bundle = rig.bundle(['sleep', '1000'], (s) => {
        s.linux.namespaces = [{ type: 'mount' }, { type, path: `/proc/self/ns/${file}` }];
        delete s.hostname;
      });
      const r = await rig.run(['create', '--bundle', bundle, id]);
      expect(r.status).not.toBe(0);
      expect(existsSync(join(rig.states, id))).toBe(false);
      if (name === 'ringfence') expect(r.stderr).toMatch(/^ringfence: [^\n]*\n$/);
    });

    test('a path that leads nowhere is refused', async () => {
      const id = rig.id();
      const bundle = rig.bundle(['sleep', '1000'], (s) => {
        s.linux.namespaces = [{ type: 'mount' }, { type: 'ipc', path: '/no/such' }];
        delete s.hostname;
      });
      const r = await rig.run(['create', '--bundle', bundle, id]);
      expect(r.status).not.toBe(0);
      expect(r.stderr.toLowerCase()).toContain('no such file or directory');
      expect(existsSync(join(rig.states, id))).toBe(false);
    });

    test('have the host name of the configuration', async () => {
      const c = await created(['sleep', '1000'], (s) => (s.hostname = 'elsewhere'));
      expect(spawnSync('nsenter', ['-t', String(c.pid), '-u', 'hostname'], { encoding: 'utf8' }).stdout).toBe('elsewhere\n');
    });
  });

  describe('root', () => {
    test('is the container’s, with its mounts; what is written there the guest sees', async () => {
      const c = await running(['sleep', '1000'], (s, bundle) => {
        for (const d of ['data', 'locked']) mkdirSync(join(bundle, d));
        writeFileSync(join(bundle, 'one'), 'one file\n');
        s.mounts.push(
          { destination: '/made/data', type: 'bind', source: join(bundle, 'data'), options: ['rbind', 'rw'] },
          { destination: '/locked', type: 'bind', source: join(bundle, 'locked'), options: ['bind', 'ro'] },
          { destination: '/etc/one', type: 'bind', source: join(bundle, 'one'), options: ['bind'] },
        );
      });
      const into = ['-m', '-p'];
      expect(enter(c.pid, into, 'echo hello > /tmp/from-outside').status).toBe(0);
      expect((await rig.run(['exec', c.id, 'cat', '/tmp/from-outside'])).stdout).toBe('hello\n');
      expect(enter(c.pid, into, 'echo more > /made/data/x; cat /etc/one').stdout).toBe('one file\n');
      expect(readFileSync(join(c.bundle, 'data/x'), 'utf8')).toBe('more\n');
      expect(enter(c.pid, into, 'echo no > /locked/x').status).not.toBe(0);
      const points = readFileSync(`/proc/${c.pid}/mountinfo`, 'utf8')
        .trim()
        .split('\n')
        .map((l) => l.split(' ')[4]);
      for (const p of ['/', '/proc', '/dev', '/dev/pts', '/dev/shm', '/dev/mqueue', '/sys', '/made/data', '/locked', '/etc/one'])
        expect(points).toContain(p);
      expect(points.filter((p) => p?.startsWith('/tmp/')).length).toBe(0); // nothing of the host's
      expect(statSync(join(c.bundle, 'rootfs/made/data')).isDirectory()).toBe(true);
      expect(readlinkSync(`/proc/${c.pid}/cwd`)).toBe('/');
    });

    test('is read-only when the configuration says so', async () => {
      const c = await created(['sleep', '1000'], (s) => (s.root = { path: 'rootfs', readonly: true }));
      expect(enter(c.pid, ['-m'], 'echo x > /tmp/x').status).not.toBe(0);
    });

    test('links in it lead nowhere else', async () => {
      const id = rig.id();
      let outside = '';
      const bundle = rig.bundle(['sleep', '1000'], (s, dir) => {
        outside = join(dir, 'outside');
        mkdirSync(outside);
        mkdirSync(join(dir, 'data'));
        symlinkSync(outside, join(dir, 'rootfs/absolute'));
        symlinkSync('../../../../../../../../..' + outside, join(dir, 'rootfs/relative'));
        for (const link of ['absolute', 'relative'])
          s.mounts.push({ destination: `/${link}/made`, type: 'bind', source: join(dir, 'data'), options: ['bind'] });
      });
      await rig.run(['create', '--bundle', bundle, id]); // made in the root, or refused: both will do
      expect(readdirSync(outside)).toEqual([]);
    });
  });

  describe('life', () => {
    test('is a child of whoever has adopted it, in the container’s name, and ends with its status', async () => {
      const c = await created(['sh', '-c', 'exit 7']);
      expect(parentOf(c.pid)).toBe(rig.reaper.pid);
      expect((await rig.state(c.id)).pid).toBe(c.pid);
      if (name === 'ringfence') expect(readFileSync(`/proc/${c.pid}/comm`, 'latin1')).toBe('sh\n');
      if (name === 'ringfence') expect(readFileSync(`/proc/${c.pid}/cmdline`, 'latin1')).toBe('sh\0-c\0exit 7\0');
      await rig.run(['start', c.id]);
      expect(await rig.reaper.exitOf(c.pid)).toBe(7);
    });

    test('its kill -9 is the end of everything', async () => {
      const c = await running(['sh', '-c', 'sleep 1000 & wait']);
      const e = await rig.run(['exec', '--detach', '--pid-file', join(c.bundle, 'exec'), c.id, 'sleep', '1000']);
      expect(e.status).toBe(0);
      const helper = Number(readFileSync(join(c.bundle, 'exec'), 'latin1'));
      const pids = tree(c.pid);
      signal(c.pid, 'SIGKILL');
      expect(await rig.reaper.exitOf(c.pid)).toBe(137);
      expect(await rig.reaper.exitOf(helper)).toBe(137);
      expect(await until(() => !pids.some(lives))).toBe(true);
      expect((await rig.state(c.id)).status).toBe('stopped');
      expect((await rig.run(['delete', c.id])).status).toBe(0);
    });

    test('every signal that can be caught reaches the guest, also when the pid namespace is its own', async () => {
      const script =
        'trap "echo usr1 >> /tmp/got" USR1; trap "echo hup >> /tmp/got" HUP; trap "exit 9" TERM; echo up > /tmp/up; while :; do sleep 0.05; done';
      const c = await running(['sh', '-c', script]);
      const got = join(c.bundle, 'rootfs/tmp/got');
      const has = (word: string): boolean => existsSync(got) && readFileSync(got, 'utf8').includes(word);
      expect(await until(() => existsSync(join(c.bundle, 'rootfs/tmp/up')))).toBe(true);
      signal(c.pid, 'SIGUSR1');
      expect(await until(() => has('usr1'))).toBe(true);
      signal(c.pid, 'SIGHUP');
      expect(await until(() => has('hup'))).toBe(true);
      signal(c.pid, 'SIGTERM');
      expect(await rig.reaper.exitOf(c.pid)).toBe(9);
    });

    test('a detached exec has a pid of its own, with the container’s namespaces, that is signalled, killed and waited for', async () => {
      const c = await running(['sleep', '1000']);
      let serial = 0;
      const exec = async (script: string): Promise<number> => {
        const file = join(c.bundle, `exec-${serial++}`);
        const r = await rig.run(['exec', '--detach', '--pid-file', file, c.id, 'sh', '-c', script]);
        expect(r).toEqual({ status: 0, stdout: '', stderr: '' });
        return Number(readFileSync(file, 'latin1'));
      };
      const first = await exec('trap "exit 5" TERM; echo up > /tmp/exec-up; while :; do sleep 0.05; done');
      expect(parentOf(first)).toBe(rig.reaper.pid);
      for (const kind of Object.keys(KINDS) as Kind[]) expect(spaceOf(first, kind), kind).toBe(spaceOf(c.pid, kind));
      expect(readFileSync(`/proc/${first}/cgroup`, 'utf8')).toBe(readFileSync(`/proc/${c.pid}/cgroup`, 'utf8'));
      expect(await until(() => existsSync(join(c.bundle, 'rootfs/tmp/exec-up')))).toBe(true);
      signal(first, 'SIGTERM');
      expect(await rig.reaper.exitOf(first)).toBe(5);
      expect(await rig.reaper.exitOf(await exec('exit 3'))).toBe(3);
      const killed = await exec('sleep 1001');
      signal(killed, 'SIGKILL');
      expect(await rig.reaper.exitOf(killed)).toBe(137);
      const ps = async (): Promise<string> => (await rig.run(['exec', c.id, 'ps'])).stdout;
      for (let i = 0; i < 100 && (await ps()).includes('sleep 1001'); i++) await new Promise((done) => setTimeout(done, 50));
      expect(await ps()).not.toContain('sleep 1001');
    });

    test('nobody holds a descriptor that the caller let slip through', async () => {
      const id = rig.id();
      const bundle = rig.bundle(['sleep', '1000']);
      const secret = join(bundle, 'secret');
      writeFileSync(secret, 'x');
      const through = ['/bin/sh', '-c', `exec 7<${secret} 9<${secret}; exec "$@"`, 'sh'];
      expect((await rig.run(['create', '--bundle', bundle, id], { through })).status).toBe(0);
      expect((await rig.run(['start', id], { through })).status).toBe(0);
      const file = join(bundle, 'exec');
      expect((await rig.run(['exec', '--detach', '--pid-file', file, id, 'sleep', '1000'], { through })).status).toBe(0);
      const { pid } = await rig.state(id);
      for (const p of [...tree(pid), Number(readFileSync(file, 'latin1'))]) {
        const open = readdirSync(`/proc/${p}/fd`).map((fd) => readlinkSync(`/proc/${p}/fd/${fd}`));
        expect(open.filter((o) => o.includes(secret) || o.endsWith('/secret'))).toEqual([]);
      }
    });
  });

  const own = name === 'ringfence' ? test : () => undefined;
  own('it has no privilege, and nothing that it shows gives one', async () => {
    const c = await created(['sleep', '1000']);
    const line = (field: string): string =>
      new RegExp(`^${field}:\\s*(.*)$`, 'm').exec(readFileSync(`/proc/${c.pid}/status`, 'latin1'))?.[1] ?? '';
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) expect([set, Number.parseInt(line(set), 16)]).toEqual([set, 0]);
    expect([line('NoNewPrivs'), line('Seccomp'), line('Seccomp_filters')]).toEqual(['1', '2', '1']);
    for (const m of readFileSync(`/proc/${c.pid}/mountinfo`, 'utf8').trim().split('\n')) {
      const [, , , , at, options] = m.split(' ') as [string, string, string, string, string, string];
      expect(options.split(','), at).toEqual(expect.arrayContaining(['nosuid', 'nodev', ...(at === '/' ? [] : ['ro', 'noexec'])]));
    }
    const open = readdirSync(`/proc/${c.pid}/fd`).map((fd) => readlinkSync(`/proc/${c.pid}/fd/${fd}`));
    expect(open.filter((o) => !/^(socket:|anon_inode:\[signalfd\]|.*\/exit$)/.test(o))).toEqual([]);
  });

  test('users of a user namespace: files have the mapped ids, the namespace is the stand-in’s', async () => {
    const c = await running(['sh', '-c', 'id -u > /tmp/who; echo up > /tmp/up; sleep 1000'], (s, bundle) => {
      s.linux.namespaces?.push({ type: 'user' });
      s.linux.uidMappings = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
      s.linux.gidMappings = [{ containerID: 0, hostID: 200_000, size: 65_536 }];
      spawnSync('chown', ['-R', '100000:200000', join(bundle, 'rootfs/tmp'), join(bundle, 'rootfs/dev'), join(bundle, 'rootfs')]);
      // The way there must be open to them.
      for (const dir of [bundle, rig.dir]) spawnSync('chmod', ['0755', dir]);
    });
    const made = join(c.bundle, 'rootfs/tmp/up');
    expect(await until(() => existsSync(made))).toBe(true);
    expect([statSync(made).uid, statSync(made).gid]).toEqual([100_000, 200_000]);
    expect(readFileSync(join(c.bundle, 'rootfs/tmp/who'), 'utf8')).toBe('0\n');
    expect(readFileSync(`/proc/${c.pid}/uid_map`, 'utf8').trim().split(/\s+/)).toEqual(['0', '100000', '65536']);
    expect(readFileSync(`/proc/${c.pid}/gid_map`, 'utf8').trim().split(/\s+/)).toEqual(['0', '200000', '65536']);
    expect(spaceOf(c.pid, 'user')).not.toBe(spaceOf('self', 'user'));
    for (const p of tree(c.pid)) expect(statSync(`/proc/${p}`).uid, `process ${p}`).toBeGreaterThanOrEqual(name === 'runc' ? 100_000 : 0);
  });
});
