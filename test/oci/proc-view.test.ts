// /proc as those see it who look at a container from outside, in the mount namespace of its stand-in (or of its first process, on runc): it
// lists what runs in the container, and nothing else.

import { spawn, spawnSync } from 'node:child_process';
import { accessSync, chmodSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FUSE_DEVICE } from '../security/posture.ts';
import { all, sandboxOf } from '../security/support.ts';
import { Pod } from './kit/pod.ts';
import { Rig, type TestSpec } from './kit/runtimes.ts';

const SCRIPT = 'sleep 1001 & sh -c "sleep 1002; :" & wait';
const ALL = [`sh -c ${SCRIPT}`, 'sh -c sleep 1002; :', 'sleep 1001', 'sleep 1002'];

/** What stands in /proc there: command lines by pid, but for that of the one who looks. */
const LOOK = 'cd /proc; for p in [0-9]*; do [ "$p" = $$ ] || echo "$p $(tr "\\0" " " < $p/cmdline)"; done';

interface Seen {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** Runs a script with busybox of the container; `spaces`: further options of nsenter. A reader that hangs fails the test. */
function enter(pid: number, script: string, spaces = ['-m']): Seen {
  return spawnSync('nsenter', ['-t', String(pid), ...spaces, '/bin/busybox', 'sh', '-c', script], {
    encoding: 'utf8',
    timeout: 60_000,
    killSignal: 'SIGKILL',
  });
}

async function until(what: () => boolean, ms = 60_000): Promise<boolean> {
  const end = Date.now() + ms;
  while (!what()) {
    if (Date.now() > end) return false;
    await new Promise((done) => setTimeout(done, 50));
  }
  return true;
}

/** What runs, as [pid, command], once these commands do and no others. */
async function processes(pid: number, commands: string[]): Promise<[number, string][]> {
  const wanted = JSON.stringify([...commands].sort());
  let seen: [number, string][] = [];
  const all = await until(() => {
    const r = enter(pid, LOOK);
    if (r.status !== 0) throw new Error(`it cannot be looked at: ${r.stderr}`);
    seen = r.stdout
      .split('\n')
      .filter((l) => l !== '')
      .map((l) => [Number(l.split(' ')[0]), l.slice(l.indexOf(' ') + 1).trim()]);
    return JSON.stringify(seen.map(([, command]) => command).sort()) === wanted;
  });
  if (!all) throw new Error(`${wanted} is expected: ${JSON.stringify(seen)}`);
  return seen.sort((x, y) => x[0] - y[0]);
}

describe.each(['runc', 'ringfence'] as const)('%s', (name) => {
  let rig: Rig;
  beforeAll(() => {
    rig = new Rig(name);
  });
  afterAll(() => rig.close());

  async function running(args: string[], change: (spec: TestSpec, bundle: string) => void = () => undefined) {
    const id = rig.id();
    expect(await rig.run(['run', '-d', '--bundle', rig.bundle(args, change), id])).toMatchObject({ status: 0, stderr: '' });
    return { id, pid: (await rig.state(id)).pid };
  }

  test('lists the processes of the container with their numbers and command lines', async () => {
    const c = await running(['sh', '-c', SCRIPT]);
    const seen = await processes(c.pid, ALL);
    expect(seen[0]).toEqual([1, `sh -c ${SCRIPT}`]);
    // The same numbers that the container's own processes see.
    const inside = (await rig.run(['exec', c.id, 'sh', '-c', 'cat /proc/[0-9]*/stat'])).stdout;
    for (const [pid, command] of seen) expect(inside).toContain(`${pid} (${command.split(' ')[0]}) `);
  });

  test('tells of each what ps(1) and podman top ask for', async () => {
    const c = await running(['sleep', '1000'], (s) => (s.process.user = { uid: 7, gid: 8 }));
    await processes(c.pid, ['sleep 1000']);
    const r = enter(c.pid, 'cat /proc/1/stat /proc/1/status /proc/1/comm; readlink /proc/1/ns/pid; ls -ldn /proc/1; ls /proc/1/task');
    expect(r.stderr).toBe('');
    expect(r.stdout).toMatch(/^1 \(sleep\) S 0 1 1 /);
    expect(r.stdout).toMatch(/^Uid:\t7\t7\t7\t7$/m);
    expect(r.stdout).toMatch(/^Gid:\t8\t8\t8\t8$/m);
    expect(r.stdout).toMatch(/\nsleep\npid:\[\d+\]\ndr-xr-xr-x +\d+ 7 +8 .*\/proc\/1\n1\n$/);
    const ps = enter(c.pid, 'ps -o pid,args', ['-m', '-p']).stdout.split('\n');
    expect(ps.filter((l) => !l.includes('ps -o'))).toEqual([
      expect.stringMatching(/^PID +COMMAND/),
      expect.stringMatching(/^ *1 sleep 1000$/),
      '',
    ]);
  });

  test('ps of procps, which looks for itself first, lists them', async () => {
    const c = await running(['/bin/busybox', 'sleep', '1000'], (s) => {
      for (const dir of ['/usr', '/lib', '/lib64'])
        s.mounts.push({ destination: dir, type: 'bind', source: dir, options: ['rbind', 'ro'] });
    });
    await processes(c.pid, ['/bin/busybox sleep 1000']);
    const r = enter(c.pid, 'exec /usr/bin/ps -e -o pid,args', ['-m', '-p']);
    expect(r.stderr).toBe('');
    expect(r.stdout.split('\n').filter((l) => !l.includes('ps -e'))).toEqual([
      expect.stringMatching(/^ *PID COMMAND/),
      expect.stringMatching(/^ *1 \/bin\/busybox sleep 1000$/),
      '',
    ]);
  });

  test('owners are those of the user namespace', async () => {
    const c = await running(['sleep', '1000'], (s, bundle) => {
      s.linux.namespaces?.push({ type: 'user' });
      s.linux.uidMappings = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
      s.linux.gidMappings = [{ containerID: 0, hostID: 200_000, size: 65_536 }];
      s.process.user = { uid: 7, gid: 8 };
      for (let dir = bundle; dir !== tmpdir(); dir = dirname(dir)) chmodSync(dir, 0o755);
      spawnSync('chown', ['-R', '100000:200000', join(bundle, 'rootfs')]);
    });
    await processes(c.pid, ['sleep 1000']);
    expect(enter(c.pid, 'ls -ldn /proc/1', ['-m', '-U']).stdout).toMatch(/^dr-xr-xr-x +\d+ 7 +8 /);
    expect(enter(c.pid, 'ls /proc/1/fd', ['-m', '-U']).stdout).toMatch(/^0\n1\n2\n/);
  });

  test('follows them as they come and go', async () => {
    const c = await running(['sh', '-c', 'while :; do sleep 1000; done']);
    const shell = 'sh -c while :; do sleep 1000; done';
    await processes(c.pid, [shell, 'sleep 1000']);
    expect((await rig.run(['exec', '-d', c.id, 'sleep', '2000'])).status).toBe(0);
    const further = (await processes(c.pid, [shell, 'sleep 1000', 'sleep 2000'])).find(([, command]) => command === 'sleep 2000');
    expect(further).toBeDefined();
    expect((await rig.run(['exec', c.id, 'sh', '-c', `kill ${further?.[0]}`])).status).toBe(0);
    await processes(c.pid, [shell, 'sleep 1000']);
  });

  test('answers while the container is paused', async () => {
    const c = await running(['sleep', '1000']);
    await processes(c.pid, ['sleep 1000']);
    expect((await rig.run(['pause', c.id])).status).toBe(0);
    // The looker must stay out of the frozen group, as it does: nsenter does not enter groups.
    expect((await processes(c.pid, ['sleep 1000']))[0]).toEqual([1, 'sleep 1000']);
    expect((await rig.run(['resume', c.id])).status).toBe(0);
  });

  test('a container of a pod shows its own processes', async () => {
    const pod = new Pod(rig);
    await pod.begin();
    const a = await pod.member(['sleep', '1001'], { share: ['network', 'ipc', 'uts'] });
    const b = await pod.member(['sleep', '1002'], { share: ['network', 'ipc', 'uts'] });
    for (const [m, seconds] of [
      [a, 1001],
      [b, 1002],
    ] as const)
      expect(await processes((await rig.state(m.id)).pid, [`sleep ${seconds}`])).toEqual([[1, `sleep ${seconds}`]]);
  });

  test('who reads when the container dies gets an end, and not a wait', async () => {
    const c = await running(['sleep', '1000']);
    await processes(c.pid, ['sleep 1000']);
    // Its folder stays open, and is read until that fails.
    const script = 'cd /proc/1/task && echo in && while cat /proc/1/status && ls . ; do :; done > /dev/null 2>&1; exit 0';
    const reader = spawn('nsenter', ['-t', String(c.pid), '-m', '/bin/busybox', 'sh', '-c', script], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const gone = new Promise<void>((done) => reader.on('exit', () => done()));
    try {
      await new Promise<void>((done) => reader.stdout.once('data', () => done()));
      expect((await rig.run(['kill', c.id, 'KILL'])).status).toBe(0);
      await rig.reaches(c.id, 'stopped', 60_000);
      await gone;
      expect((await rig.run(['delete', c.id])).status).toBe(0);
    } finally {
      reader.kill('SIGKILL');
    }
  }, 150_000);
});

describe('ringfence alone', () => {
  let rig: Rig;
  beforeAll(() => {
    accessSync('/dev/fuse');
    rig = new Rig('ringfence');
  });
  afterAll(() => rig.close());

  async function running() {
    const id = rig.id();
    expect((await rig.run(['run', '-d', '--bundle', rig.bundle(['sh', '-c', SCRIPT]), id])).status).toBe(0);
    return { id, pid: (await rig.state(id)).pid };
  }

  test('the mount gives nothing but text', async () => {
    const c = await running();
    const lines = readFileSync(`/proc/${c.pid}/mountinfo`, 'utf8').trim().split('\n');
    const proc = lines.filter((l) => l.split(' ')[4] === '/proc');
    expect(proc.map((l) => [l.split(' ')[5], l.split(' - ')[1]?.split(' ')[0]])).toEqual([
      ['ro,nosuid,nodev,noexec,relatime,nosymfollow', 'fuse.ringfence'],
    ]);
    const r = enter(
      c.pid,
      'readlink /proc/1/root; ls /proc/1/root/ /proc/1/cwd/; cat /proc/1/exe; echo x > /proc/1/comm; cat /proc/self/environ',
    );
    expect(r.stdout).toBe('/\n');
    expect(r.stderr.match(/Too many levels of symbolic links/g)?.length).toBe(3);
    expect(r.stderr).toMatch(/Read-only file system/);
    expect(r.stderr).toMatch(/self\/environ.*No such file/);
  });

  test('the Sentry alone holds the device', async () => {
    const c = await running();
    await processes(c.pid, ALL);
    const s = sandboxOf(c.pid);
    const devices = (pid: number): number =>
      readdirSync(`/proc/${pid}/fd`).filter((fd) => FUSE_DEVICE.test(readlinkSync(`/proc/${pid}/fd/${fd}`))).length;
    for (const pid of all(s)) expect([pid, devices(pid)]).toEqual([pid, pid === s.sentry ? 1 : 0]);
  });

  test('without FUSE it is the kernel’s proc, and the log says so', async () => {
    const id = rig.id();
    const log = join(rig.dir, 'log');
    const hidden = [
      '/usr/bin/unshare',
      '-m',
      '--propagation',
      'slave',
      '/bin/sh',
      '-c',
      'mount --bind /dev/null /dev/fuse && exec "$@"',
      'x',
    ];
    const r = await rig.run(['run', '-d', '--bundle', rig.bundle(['sleep', '1000']), id], {
      through: hidden,
      global: ['--debug', '--debug-log', log],
      env: { PATH: '/usr/bin:/bin' },
    });
    expect(r).toMatchObject({ status: 0, stderr: '' });
    const { pid } = await rig.state(id);
    const proc = readFileSync(`/proc/${pid}/mountinfo`, 'utf8')
      .split('\n')
      .find((l) => l.split(' ')[4] === '/proc');
    expect(proc).toMatch(/ ro,nosuid,nodev,noexec,relatime - proc proc /);
    expect(await until(() => readFileSync(log, 'utf8').includes('no FUSE: /proc of the stand-in shows host processes'))).toBe(true);
  });

  test('kill -9 of the Sentry ends the wait of a reader', async () => {
    const c = await running();
    await processes(c.pid, ALL);
    const sentry = sandboxOf(c.pid).sentry;
    expect(readlinkSync(`/proc/${sentry}/exe`)).toMatch(/node$/);
    // Stopped, it answers nobody: the reader waits, and cannot be killed while it does.
    process.kill(sentry, 'SIGSTOP');
    const reader = spawn('nsenter', ['-t', String(c.pid), '-m', '/bin/busybox', 'cat', '/proc/1/status'], { stdio: 'ignore' });
    const gone = new Promise<void>((done) => reader.on('exit', () => done()));
    expect(await until(() => readFileSync(`/proc/${reader.pid}/comm`, 'latin1') === 'busybox\n')).toBe(true);
    process.kill(sentry, 'SIGKILL');
    await gone;
    await rig.reaches(c.id, 'stopped', 60_000);
  }, 150_000);
});
