// exec: what a further process of a container is like, how it fails, and how it ends. The same assertions on runc.

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Process } from '../../runsc-compat/spec/types.ts';
import { Bench, lives, type Result, ringfence } from './support.ts';

const MANY = 100;
const LIMIT = 60_000;

const work = mkdtempSync(join(tmpdir(), 'rf-exec-'));
const RUNTIMES = [
  { name: 'runc', argv: ['runc', '--root', join(work, 'runc')] },
  { name: 'ringfence', argv: [ringfence, '--root', join(work, 'ringfence')] },
];

let bench: Bench;
beforeAll(() => {
  bench = new Bench();
});
afterAll(() => {
  bench.close();
  rmSync(work, { recursive: true, force: true });
});

/** Calls a runtime; its output goes through files, which a process that outlives the call does not keep open. */
function call(argv: readonly string[], args: readonly string[], extra: (number | 'ignore')[] = []): Result {
  const out = join(work, `out-${Math.random().toString(36).slice(2)}`);
  const r = spawnSync('/bin/sh', ['-c', `exec "$@" >${out} 2>${out}.err`, 'sh', ...argv, ...args], {
    stdio: ['ignore', 'ignore', 'ignore', ...extra],
    timeout: LIMIT,
    cwd: work,
  });
  return { status: r.status ?? -1, stdout: readFileSync(out, 'utf8'), stderr: readFileSync(`${out}.err`, 'utf8') };
}

/** A process of the container, as --process takes it. */
function processFile(change: Partial<Process> & { args: string[] }): string {
  const file = join(work, `process-${Math.random().toString(36).slice(2)}.json`);
  writeFileSync(file, JSON.stringify({ cwd: '/', env: ['PATH=/bin'], user: { uid: 0, gid: 0 }, ...change }));
  return file;
}

async function until(f: () => boolean): Promise<boolean> {
  const end = Date.now() + LIMIT / 2;
  while (!f()) {
    if (Date.now() > end) return false;
    await new Promise((done) => setTimeout(done, 50));
  }
  return true;
}

describe.each(RUNTIMES)('$name', ({ name, argv }) => {
  const id = `exec-${process.pid}-${name}`;
  const sh = (options: string[], script: string): Result => call(argv, ['exec', ...options, id, 'sh', '-c', script]);
  let bundle = '';

  beforeAll(() => {
    bundle = bench.bundle(['sleep', '100000'], (s) => {
      if (s.process === undefined) return;
      s.process.env = ['PATH=/bin', 'FROM=config'];
      s.process.rlimits = [{ type: 'RLIMIT_NOFILE', soft: 300, hard: 400 }];
      const caps = ['CAP_KILL', 'CAP_CHOWN', 'CAP_SETUID', 'CAP_SETGID'];
      s.process.capabilities = { bounding: caps, effective: caps, permitted: caps };
      s.process.noNewPrivileges = false;
    });
    const r = call(argv, ['run', '--detach', '--bundle', bundle, id]);
    if (r.status !== 0) throw new Error(r.stderr);
  }, LIMIT);
  afterAll(() => {
    call(argv, ['delete', '--force', id]);
  });

  test(
    'exit status of the process, and of a signal',
    () => {
      expect(sh([], 'exit 7').status).toBe(7);
      expect(sh([], 'kill -9 $$').status).toBe(137);
      expect(sh([], 'kill -15 $$').status).toBe(143);
      expect(sh([], 'echo out; echo err >&2')).toEqual({ status: 0, stdout: 'out\n', stderr: 'err\n' });
    },
    LIMIT,
  );

  test(
    'what cannot be executed is told, with 255',
    () => {
      writeFileSync(join(bundle, 'rootfs/tmp/plain'), 'text', { mode: 0o644 });
      for (const [command, text] of [
        ['/no/such', 'no such file or directory'],
        ['nosuchcommand', 'executable file not found in $PATH'],
        ['/tmp/plain', 'permission denied'],
      ] as const) {
        const r = call(argv, ['exec', id, command]);
        expect([command, r.status, r.stderr.includes(text), r.stdout]).toEqual([command, 255, true, '']);
      }
      const r = call(argv, ['exec', '--cwd', '/no/such', id, 'true']);
      expect([r.status, r.stderr.includes('no such file or directory')]).toEqual([255, true]);
    },
    LIMIT,
  );

  test(
    'environment, folder, user and groups are those of the options',
    () => {
      const options = ['--env', 'A=b c', '--cwd', '/tmp', '--user', '1000:1001', '--additional-gids', '5', '--additional-gids', '6'];
      expect(sh(options, 'echo "$A $FROM"; pwd; id; ulimit -Hn; umask').stdout.split('\n')).toEqual([
        'b c config',
        '/tmp',
        'uid=1000 gid=1001 groups=5,6',
        '400',
        '0022',
        '',
      ]);
    },
    LIMIT,
  );

  test(
    'capabilities and no_new_privs',
    () => {
      const shown = 'cat /proc/self/status';
      const lines = (r: Result): string[] => r.stdout.split('\n').filter((l) => /^(Cap(Prm|Eff|Bnd|Amb)|NoNewPrivs)/.test(l));
      const caps = '00000000000000e1';
      expect(lines(sh([], shown))).toEqual([
        `CapPrm:\t${caps}`,
        `CapEff:\t${caps}`,
        `CapBnd:\t${caps}`,
        'CapAmb:\t0000000000000000',
        'NoNewPrivs:\t0',
      ]);
      expect(lines(sh(['--no-new-privs'], shown))[4]).toBe('NoNewPrivs:\t1');
      const more = '00000000000004e1';
      expect(lines(sh(['--cap', 'CAP_NET_BIND_SERVICE'], shown)).slice(0, 3)).toEqual([
        `CapPrm:\t${more}`,
        `CapEff:\t${more}`,
        `CapBnd:\t${more}`,
      ]);
    },
    LIMIT,
  );

  test(
    'a process from a file has what the file says',
    () => {
      const file = processFile({
        args: ['sh', '-c', 'echo "$X"; pwd; id; ulimit -n; cat /proc/self/status'],
        env: ['PATH=/bin', 'X=y'],
        cwd: '/etc',
        user: { uid: 33, gid: 34, additionalGids: [35] },
        capabilities: { bounding: ['CAP_KILL'], permitted: [], effective: [] },
        rlimits: [{ type: 'RLIMIT_NOFILE', soft: 111, hard: 222 }],
        noNewPrivileges: true,
      });
      const r = call(argv, ['exec', '--process', file, id]);
      const lines = r.stdout.split('\n');
      expect([r.status, r.stderr, ...lines.slice(0, 3)]).toEqual([0, '', 'y', '/etc', 'uid=33 gid=34 groups=35']);
      // Go's runtime in `runc init` puts back the limit of descriptors that it began with, now and then after runc has set the new one.
      if (name !== 'runc') expect(lines[3]).toBe('111');
      expect(lines).toContain('CapBnd:\t0000000000000020');
      expect(lines).toContain('NoNewPrivs:\t1');
    },
    LIMIT,
  );

  test(
    'preserved descriptors are open, others are not',
    () => {
      const r = spawnSync(
        '/bin/sh',
        ['-c', 'exec "$@" 3</etc/hostname 4</etc/passwd', 'sh', ...argv, 'exec', '--preserve-fds', '1', id, 'sh', '-c', 'cat <&3; cat <&4'],
        { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: LIMIT },
      );
      expect(r.stdout).toBe(readFileSync('/etc/hostname', 'utf8'));
      expect(r.stderr).toMatch(/bad file descriptor/i);
    },
    LIMIT,
  );

  test(
    'detached: the pid in the file stands for the process, and passes signals on',
    async () => {
      const pidFile = join(work, `${name}.pid`);
      const script = 'trap "echo got it >/tmp/trapped; exit 0" TERM; echo ready >/tmp/ready; while :; do sleep 1; done';
      const r = call(argv, ['exec', '--detach', '--pid-file', pidFile, id, 'sh', '-c', script]);
      expect([r.status, r.stderr]).toEqual([0, '']);
      const pid = Number(readFileSync(pidFile, 'utf8'));
      expect(lives(pid)).toBe(true);
      expect(await until(() => existsSync(join(bundle, 'rootfs/tmp/ready')))).toBe(true);
      process.kill(pid, 'SIGTERM');
      expect(await until(() => !lives(pid))).toBe(true);
      expect(readFileSync(join(bundle, 'rootfs/tmp/trapped'), 'utf8')).toBe('got it\n');
    },
    LIMIT,
  );

  test(
    'detached: SIGKILL for the pid ends the process',
    async () => {
      const pidFile = join(work, `${name}.kill`);
      expect(call(argv, ['exec', '--detach', '--pid-file', pidFile, id, 'sleep', '54321']).status).toBe(0);
      const pid = Number(readFileSync(pidFile, 'utf8'));
      process.kill(pid, 'SIGKILL');
      expect(await until(() => !lives(pid) && !sh([], 'ps').stdout.includes('54321'))).toBe(true);
    },
    LIMIT,
  );

  test(
    'in the foreground signals are passed on, and the status comes back',
    async () => {
      const mark = join(bundle, 'rootfs/tmp/foreground');
      const script = 'trap "exit 9" TERM; echo x >/tmp/foreground; while :; do sleep 1; done';
      const child = spawn(argv[0] as string, [...argv.slice(1), 'exec', id, 'sh', '-c', script], { stdio: 'ignore' });
      const status = new Promise<number | null>((done) => child.on('exit', (code) => done(code)));
      expect(await until(() => existsSync(mark))).toBe(true);
      child.kill('SIGTERM');
      expect(await status).toBe(9);
    },
    LIMIT,
  );

  test(
    'into a created container, and not into a stopped one',
    async () => {
      const created = `${id}-created`;
      expect(call(argv, ['create', '--bundle', bundle, created]).status).toBe(0);
      try {
        expect(call(argv, ['exec', created, 'echo', 'early'])).toEqual({ status: 0, stdout: 'early\n', stderr: '' });
        call(argv, ['kill', created, 'KILL']);
        expect(await until(() => JSON.parse(call(argv, ['state', created]).stdout).status === 'stopped')).toBe(true);
        const r = call(argv, ['exec', created, 'true']);
        expect([r.status, r.stderr.includes('cannot exec in a stopped container')]).toEqual([255, true]);
      } finally {
        call(argv, ['delete', '--force', created]);
      }
    },
    LIMIT,
  );

  test(
    'into a paused container only when told to',
    () => {
      expect(call(argv, ['pause', id]).status).toBe(0);
      try {
        const r = call(argv, ['exec', id, 'true']);
        expect([r.status, r.stderr.includes('cannot exec in a paused container (use --ignore-paused to override)')]).toEqual([255, true]);
      } finally {
        expect(call(argv, ['resume', id]).status).toBe(0);
      }
      expect(sh([], 'exit 3').status).toBe(3);
    },
    LIMIT,
  );

  test(`${MANY} at once`, async () => {
    const runs = Array.from({ length: MANY }, (_, i) => {
      const child = spawn(argv[0] as string, [...argv.slice(1), 'exec', id, 'sh', '-c', `echo ${i}; exit ${i}`], {
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      let text = '';
      child.stdout.on('data', (d: Buffer) => (text += d.toString()));
      child.stderr.on('data', (d: Buffer) => (text += d.toString()));
      return new Promise<string>((done) => child.on('close', (code) => done(`${code} ${text.trim()}`)));
    });
    expect(await Promise.all(runs)).toEqual(Array.from({ length: MANY }, (_, i) => `${i} ${i}`));
    // The container's own process, this shell and ps, below a line of headings.
    expect(await until(() => sh([], 'ps').stdout.trim().split('\n').length <= 4)).toBe(true);
    expect(await until(() => (JSON.parse(call(argv, ['ps', '--format', 'json', id]).stdout) as number[]).length === 1)).toBe(true);
  }, 240_000);
});

test(
  'the umask of a process file holds',
  () => {
    // runc 1.1 keeps the container's for processes that exec starts.
    const argv = RUNTIMES[1]!.argv;
    const id = `exec-umask-${process.pid}`;
    call(argv, ['run', '--detach', '--bundle', bench.bundle(['sleep', '100000']), id]);
    try {
      const file = processFile({ args: ['sh', '-c', 'umask'], user: { uid: 0, gid: 0, umask: 0o27 } });
      expect(call(argv, ['exec', '--process', file, id])).toEqual({ status: 0, stdout: '0027\n', stderr: '' });
    } finally {
      call(argv, ['delete', '--force', id]);
    }
  },
  LIMIT,
);
