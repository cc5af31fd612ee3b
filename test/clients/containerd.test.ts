// ctr drives the runtime through containerd and its shim io.containerd.runc.v2: the same tests on runc and on ringfence.

import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { busybox } from './kit/images.ts';
import { ContainerdMachine, unhurried } from './containerd/machine.ts';
import { type Result, runtimes } from './kit/machine.ts';

const IMAGE = 'localhost/bb:latest';
let m: ContainerdMachine;
/** A root of its own with busybox. */
const unpacked = (name: string): string => {
  const dir = mkdtempSync(join(m.dir, `${name}-`));
  busybox().unpack(dir);
  return dir;
};
beforeAll(async () => {
  m = await ContainerdMachine.start();
});
afterAll(() => m?.stop());

describe.each(runtimes)('$name', ({ path: binary }) => {
  /** `ctr run` with this runtime. */
  const run = (flags: string[], id: string, ...command: string[]): Promise<Result> =>
    m.ctr(['run', '--runc-binary', binary, ...flags, ...(flags.includes('--rootfs') ? [] : [IMAGE]), id, ...command]);
  const detached = async (id: string, ...command: string[]): Promise<void> => {
    expect(await run(['-d'], id, ...command)).toEqual({ status: 0, stdout: '', stderr: '' });
  };
  const execAtOnce = (id: string, name: string, flags: string[], ...command: string[]): Promise<Result> =>
    m.ctr(['task', 'exec', '--exec-id', name, ...flags, id, ...command]);
  const exec = (id: string, name: string, flags: string[], ...command: string[]): Promise<Result> =>
    execAtOnce(id, name, flags, ...unhurried(...command));
  /** State and pid of a task in `ctr task ls`. */
  const task = async (id: string): Promise<{ pid: number; state: string } | null> => {
    const line = (await m.ctr(['task', 'ls'])).stdout.split('\n').find((l) => l.split(/\s+/)[0] === id);
    const [, pid, state] = line?.split(/\s+/) ?? [];
    return pid === undefined ? null : { pid: Number(pid), state: state ?? '' };
  };
  const stopped = (id: string): Promise<boolean> => m.until(async () => (await task(id))?.state === 'STOPPED');
  /** Removes a container, running or not. */
  const remove = async (id: string): Promise<void> => {
    if ((await task(id)) !== null) await m.ctr(['task', 'rm', '--force', id]);
    expect((await m.ctr(['container', 'rm', id])).stderr).toBe('');
  };

  afterEach(async () => {
    try {
      await m.expectClean();
    } finally {
      for (const id of (await m.ctr(['container', 'ls', '-q'])).stdout.split('\n').filter((l) => l !== '')) await remove(id);
    }
  });

  describe('run', () => {
    test('streams and exit status', async () => {
      const r = await run(['--rm'], 'r1', 'sh', '-c', 'echo out; echo err >&2; exit 6');
      expect(r).toEqual({ status: 6, stdout: 'out\n', stderr: 'err\n' });
      expect((await m.ctr(['run', '--runc-binary', binary, '--rm', IMAGE, 'r2', 'head', '-n', '1'], { input: 'words\n' })).stdout).toBe(
        'words\n',
      );
      expect((await run(['--rm'], 'r3', 'sh', '-c', 'sh -c "kill -9 \\$\\$"; exit $?')).status).toBe(137);
    });

    test('a command that is not there is an error with the words that clients look for', async () => {
      expect(await run(['--rm'], 'r4', '/no/such')).toMatchObject({
        status: 1,
        stderr: expect.stringMatching(/no such file or directory/),
      });
      expect(await run(['--rm'], 'r5', 'nosuch')).toMatchObject({ status: 1, stderr: expect.stringMatching(/executable file not found/) });
      expect(await run(['--rm'], 'r6', '/etc/passwd')).toMatchObject({ status: 1, stderr: expect.stringMatching(/permission denied/) });
    });

    test('environment, folder, user, read-only root, new privileges', async () => {
      const r = await run(
        ['--rm', '--cwd', '/home', '--env', 'A=b c'],
        'r7',
        'sh',
        '-c',
        'pwd; echo "$A"; id -u; grep NoNewPrivs /proc/self/status',
      );
      expect(r.stdout).toBe('/home\nb c\n0\nNoNewPrivs:\t1\n');
      const ro = await run(['--rm', '--read-only', '--allow-new-privs'], 'r8', 'sh', '-c', 'grep NoNewPrivs /proc/self/status; touch /x');
      expect(ro).toMatchObject({ status: 1, stdout: 'NoNewPrivs:\t0\n', stderr: expect.stringMatching(/Read-only file system/) });
    });

    test('--null-io', async () => {
      expect(await run(['--rm', '--null-io'], 'r9', 'sh', '-c', 'echo hi; exit 3')).toEqual({ status: 3, stdout: '', stderr: '' });
    });

    test('--rootfs: files that the container writes are there afterwards', async () => {
      const root = unpacked('root');
      expect((await run(['--rm', '--rootfs'], root, 'r10', '/bin/sh', '-c', '/bin/echo kept > /home/file')).status).toBe(0);
      expect(readFileSync(join(root, 'home/file'), 'utf8')).toBe('kept\n');
    });

    test('--mount: bind mounts, writable and read-only', async () => {
      const dir = mkdtempSync(join(m.dir, 'volume-'));
      writeFileSync(join(dir, 'a'), 'from outside\n');
      const mounts = ['ro', 'rw'].flatMap((k) => ['--mount', `type=bind,src=${dir},dst=/mnt/${k},options=rbind:${k}`]);
      const r = await run(['--rm', ...mounts], 'r11', 'sh', '-c', 'cat /mnt/ro/a; echo inside > /mnt/rw/b; touch /mnt/ro/c');
      expect(r).toMatchObject({ status: 1, stdout: 'from outside\n', stderr: expect.stringMatching(/Read-only file system/) });
      expect(readFileSync(join(dir, 'b'), 'utf8')).toBe('inside\n');
    });

    test('--with-ns: a network namespace by path', async () => {
      await m.must(['ip', 'netns', 'add', 'given']);
      const inode = (await m.must(['stat', '-Lc', '%i', '/run/netns/given'])).trim();
      expect(await run(['-d', '--with-ns', 'network:/run/netns/given'], 'r12', 'sleep', '1000')).toMatchObject({ status: 0 });
      const pid = (await task('r12'))?.pid ?? 0;
      expect(await m.must(['readlink', `/proc/${pid}/ns/net`])).toBe(`net:[${inode}]\n`);
      await remove('r12');
      await m.must(['ip', 'netns', 'del', 'given']);
    });

    test('--privileged has every capability that there is', async () => {
      const capabilities = async (flags: string[]): Promise<bigint> =>
        BigInt(`0x${(await run(['--rm', ...flags], 'r13', 'sh', '-c', 'grep CapEff /proc/self/status')).stdout.split('\t')[1]?.trim()}`);
      const SYS_ADMIN = 1n << 21n;
      expect((await capabilities([])) & SYS_ADMIN).toBe(0n);
      expect((await capabilities(['--privileged'])) & SYS_ADMIN).toBe(SYS_ADMIN);
      expect((await capabilities(['--cap-add', 'CAP_SYS_ADMIN'])) & SYS_ADMIN).toBe(SYS_ADMIN);
      expect((await capabilities(['--cap-drop', 'CAP_CHOWN'])) & 1n).toBe(0n);
    });

    test('--seccomp: the default profile', async () => {
      const r = await run(['--rm', '--seccomp'], 'r14', 'sh', '-c', 'grep Seccomp: /proc/self/status; unshare -m true');
      expect(r).toMatchObject({ status: 1, stdout: 'Seccomp:\t2\n', stderr: expect.stringMatching(/Operation not permitted/) });
    });

    test('--seccomp-profile: one of the caller', async () => {
      const file = join(m.dir, 'profile.json');
      const profile = {
        defaultAction: 'SCMP_ACT_ALLOW',
        architectures: ['SCMP_ARCH_X86_64'],
        syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO', errnoRet: 28 }],
      };
      writeFileSync(file, JSON.stringify(profile));
      const r = await run(['--rm', '--seccomp', '--seccomp-profile', file], 'r15', 'sh', '-c', 'touch /tmp/x && mkdir /tmp/y');
      expect(r).toMatchObject({ status: 1, stderr: expect.stringMatching(/No space left on device/) });
    });

    test('--uidmap: users of the container are others on the host', async () => {
      const maps = ['--uidmap', '0:100000:65536', '--gidmap', '0:100000:65536', '--snapshotter', 'native'];
      const script = 'touch /home/mine && chown 5:6 /home/mine && exec sleep 1000';
      expect(await run(['-d', ...maps], 'r16', 'sh', '-c', script)).toMatchObject({ status: 0, stderr: '' });
      const { stdout } = await exec('r16', 'x', [], 'sh', '-c', 'id -u; cat /proc/self/uid_map');
      expect(stdout.replace(/ +/g, ' ')).toBe('0\n 0 100000 65536\n');
      const pid = (await task('r16'))?.pid ?? 0;
      const owner = async (): Promise<string> => (await m.run(['stat', '-c', '%u %g', `/proc/${pid}/root/home/mine`])).stdout;
      expect(await m.until(async () => (await owner()) === '100005 100006\n')).toBe(true);
      expect(m.proc(`${pid}/status`)).toMatch(/^Uid:\t100000\t/m);
      await remove('r16');
    });
  });

  describe('limits', () => {
    test('--memory-limit and --cpus reach the control group that the container is in', async () => {
      expect(await run(['-d', '--memory-limit', '67108864', '--cpus', '0.5'], 'l1', 'sleep', '1000')).toMatchObject({
        status: 0,
        stderr: '',
      });
      const pid = (await task('l1'))?.pid ?? 0;
      const groups = new Map(
        m
          .proc(`${pid}/cgroup`)
          .trim()
          .split('\n')
          .map((l) => [l.split(':')[1], l.split(':')[2]]),
      );
      expect(groups.get('memory')).toBe(`/${m.namespace}/l1`);
      for (const path of groups.values()) expect(path).toBe(`/${m.namespace}/l1`);
      const of = (controller: string, file: string): string =>
        readFileSync(join('/sys/fs/cgroup', controller, m.namespace, 'l1', file), 'utf8').trim();
      expect(of('memory', 'memory.limit_in_bytes')).toBe('67108864');
      expect(of('cpu', 'cpu.cfs_quota_us')).toBe('50000');
      const metrics = (await m.ctr(['task', 'metrics', '--format', 'json', 'l1'])).stdout;
      expect(JSON.parse(metrics)).toMatchObject({ memory: { usage: { limit: 67108864 } } });
      await remove('l1');
    });

    test('metrics count what the container uses', async () => {
      await detached('l2', 'sh', '-c', 'while :; do :; done');
      const usage = async (): Promise<{ cpu: number; memory: number; pids: number }> => {
        const j = JSON.parse((await m.ctr(['task', 'metrics', '--format', 'json', 'l2'])).stdout);
        return { cpu: j.cpu.usage.total, memory: j.memory.usage.usage, pids: j.pids.current };
      };
      const first = await usage();
      expect(first.memory).toBeGreaterThan(0);
      expect(first.pids).toBeGreaterThan(0);
      expect(await m.until(async () => (await usage()).cpu > first.cpu + 100_000_000)).toBe(true);
      await remove('l2');
    });
  });

  describe('a task', () => {
    test('states, signals, exit status, deletion', async () => {
      await detached('t1', 'sh', '-c', 'trap "exit 4" TERM; touch /up; while :; do sleep 0.05; done');
      expect((await task('t1'))?.state).toBe('RUNNING');
      expect(await m.until(async () => (await exec('t1', 'look', [], 'test', '-e', '/up')).status === 0)).toBe(true);
      expect(await m.ctr(['task', 'rm', 't1'])).toMatchObject({ status: 1, stderr: expect.stringMatching(/must be stopped/) });
      expect((await m.ctr(['container', 'rm', 't1'])).status).toBe(1);
      expect((await m.ctr(['task', 'kill', '-s', 'TERM', 't1'])).stderr).toBe('');
      expect(await stopped('t1')).toBe(true);
      expect((await m.ctr(['task', 'kill', '-s', 'TERM', 't1'])).stderr).toMatch(/process already finished|not found/);
      expect((await m.ctr(['task', 'rm', 't1'])).stderr).toMatch(/non-zero exit code 4\b/);
      expect(await m.ctr(['container', 'rm', 't1'])).toMatchObject({ status: 0 });
    });

    test('pause and resume', async () => {
      await detached('t2', 'sh', '-c', 'while :; do echo x >> /ticks; sleep 0.05; done');
      const ticks = async (): Promise<number> => Number((await exec('t2', `t${Math.random()}`, [], 'sh', '-c', 'wc -c < /ticks')).stdout);
      expect(await m.until(async () => (await ticks()) > 4)).toBe(true);
      expect((await m.ctr(['task', 'pause', 't2'])).stderr).toBe('');
      expect((await task('t2'))?.state).toBe('PAUSED');
      expect((await m.ctr(['task', 'resume', 't2'])).stderr).toBe('');
      expect((await task('t2'))?.state).toBe('RUNNING');
      const now = await ticks();
      expect(await m.until(async () => (await ticks()) > now)).toBe(true);
      await remove('t2');
    });

    test('kill --all ends what the first process left behind', async () => {
      await detached('t3', 'sh', '-c', 'sleep 1001 & sleep 1002 & trap : TERM; while :; do sleep 1000; done');
      expect((await m.ctr(['task', 'kill', '--all', '-s', 'KILL', 't3'])).stderr).toBe('');
      expect(await stopped('t3')).toBe(true);
      expect((await m.ctr(['task', 'rm', 't3'])).stderr).toMatch(/non-zero exit code 137\b/);
      await remove('t3');
    });

    test('the pid of the task: its namespaces, its root; killed, it takes the container along', async () => {
      await detached('t4', 'sleep', '1000');
      const pid = (await task('t4'))?.pid ?? 0;
      for (const kind of ['pid', 'net', 'ipc', 'uts', 'mnt']) {
        const [a, b] = await Promise.all(['1', String(pid)].map((p) => m.must(['readlink', `/proc/${p}/ns/${kind}`])));
        expect(a, kind).not.toBe(b);
      }
      expect(await m.must(['cat', `/proc/${pid}/root/etc/group`])).toMatch(/^extra:/m);
      await m.must(['kill', '-9', String(pid)]);
      expect(await stopped('t4')).toBe(true);
      expect((await m.ctr(['task', 'rm', 't4'])).stderr).toMatch(/non-zero exit code 137\b/);
      await remove('t4');
    });

    test('ps names processes of the host', async () => {
      await detached('t5', 'sh', '-c', 'sleep 1000');
      const pid = (await task('t5'))?.pid ?? 0;
      const exited = execAtOnce('t5', 'other', [], 'sleep', '1000');
      const pids = async (): Promise<number[]> =>
        (await m.ctr(['task', 'ps', 't5'])).stdout
          .trim()
          .split('\n')
          .slice(1)
          .map((l) => Number(l.split(/\s+/)[0]));
      expect(await m.until(async () => (await pids()).length >= 2)).toBe(true);
      const seen = await pids();
      expect(seen).toContain(pid);
      for (const p of seen) expect(m.proc(`${p}/cgroup`)).toContain(`/${m.namespace}/t5`);
      await remove('t5');
      expect((await exited).status).toBe(137);
    });
  });

  describe('exec', () => {
    test('streams, status, user, folder, a command that is not there', async () => {
      await detached('e1', 'sleep', '1000');
      expect(await exec('e1', 'a', [], 'sh', '-c', 'echo in; echo err >&2; exit 9')).toEqual({
        status: 9,
        stdout: 'in\n',
        stderr: 'err\n',
      });
      const r = await exec('e1', 'b', ['--user', '1000:2000', '--cwd', '/home'], 'sh', '-c', 'id -u; id -g; pwd');
      expect(r.stdout).toBe('1000\n2000\n/home\n');
      const input = await m.ctr(['task', 'exec', '--exec-id', 'c', 'e1', 'head', '-n', '1'], { input: 'words\n' });
      expect(input.stdout).toBe('words\n');
      expect(await execAtOnce('e1', 'd', [], '/no/such')).toMatchObject({
        status: 1,
        stderr: expect.stringMatching(/no such file or directory/),
      });
      expect(await execAtOnce('e1', 'e', [], 'nosuch')).toMatchObject({
        status: 1,
        stderr: expect.stringMatching(/executable file not found/),
      });
      await remove('e1');
    });

    test('kill --exec-id', async () => {
      await detached('e2', 'sleep', '1000');
      const trapped = execAtOnce('e2', 'one', [], 'sh', '-c', 'trap "exit 5" TERM; touch /one; while :; do sleep 0.05; done');
      const plain = execAtOnce('e2', 'two', [], 'sh', '-c', 'touch /two; exec sleep 1000');
      expect(
        await m.until(async () => (await exec('e2', `l${Math.random()}`, [], 'test', '-e', '/one', '-a', '-e', '/two')).status === 0),
      ).toBe(true);
      expect((await m.ctr(['task', 'kill', '--exec-id', 'one', '-s', 'TERM', 'e2'])).stderr).toBe('');
      expect((await trapped).status).toBe(5);
      expect((await m.ctr(['task', 'kill', '--exec-id', 'two', '-s', 'KILL', 'e2'])).stderr).toBe('');
      expect((await plain).status).toBe(137);
      expect((await task('e2'))?.state).toBe('RUNNING');
      await remove('e2');
    });

    test('ten at once', async () => {
      await detached('e3', 'sleep', '1000');
      const all = await Promise.all(Array.from({ length: 10 }, (_, i) => exec('e3', `n${i}`, [], 'sh', '-c', `echo ${i}; exit ${i}`)));
      expect(all).toEqual(Array.from({ length: 10 }, (_, i) => ({ status: i, stdout: `${i}\n`, stderr: '' })));
      await remove('e3');
    });
  });

  describe('terminals', () => {
    test('run -t: its name, its size, what is typed, a change of the size', async () => {
      const script =
        'tty; until stty size | grep "33 77"; do sleep 0.1; done; read x; echo "got <$x>"; until stty size | grep "40 90"; do sleep 0.1; done; exit 8';
      const t = m.terminal(['run', '--rm', '-t', '--runc-binary', binary, IMAGE, 'y1', 'sh', '-c', script], 33, 77);
      try {
        await t.expect(/\/dev\/pts\/0\r+\n/);
        await t.expect(/33 77\r+\n/);
        t.type('word\n');
        await t.expect(/got <word>\r+\n/);
        t.resize(40, 90);
        await t.expect(/40 90\r+\n/);
        expect(await t.exit).toBe(8);
      } finally {
        await t.close();
      }
    });

    test('exec -t, and Ctrl-C', async () => {
      await detached('y2', 'sleep', '1000');
      const t = m.terminal(
        ['task', 'exec', '-t', '--exec-id', 'x', 'y2', 'sh', '-c', 'trap "exit 3" INT; tty; read x; echo "got <$x>"; sleep 1000'],
        24,
        80,
      );
      try {
        await t.expect(/\/dev\/pts\/\d+\r+\n/);
        t.type('word\n');
        await t.expect(/got <word>\r+\n/);
        t.type('\x03');
        expect(await t.exit).toBe(3);
      } finally {
        await t.close();
      }
      await remove('y2');
    });
  });
});
