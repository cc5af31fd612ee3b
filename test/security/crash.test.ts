// What kill -9 of each process of a sandbox leaves: within two seconds nothing that `delete --force` cannot clear, and commands that say
// plainly what happened.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Bench, ringfence } from '../oci/support.ts';
import { all, guestsOf, kill9, lives, maps, program, type Sandbox, sandboxOf, settled, standinOf, until } from './support.ts';

const LIMIT_MS = 2000;

interface Running {
  child: ChildProcess;
  sandbox: Sandbox;
  /** Exit status (128 + signal) of the command. */
  exit: Promise<number>;
  output: () => string;
  errors: () => string;
}

/** `ringfence ARGS`, whose guest says "up"; the sandbox as it is then. */
async function start(args: string[]): Promise<Running> {
  const child = spawn(ringfence, args, { cwd: '/', env: {}, stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let err = '';
  child.stdout.on('data', (d: Buffer) => (out += d.toString()));
  child.stderr.on('data', (d: Buffer) => (err += d.toString()));
  const exit = new Promise<number>((done) => child.on('exit', (code, signal) => done(code ?? (signal === 'SIGKILL' ? 137 : 143))));
  if (!(await until(() => out.includes('up'), 20_000))) throw new Error(`the guest does not come up: ${out}${err}`);
  return { child, sandbox: await settled(standinOf(child.pid ?? 0)), exit, output: () => out, errors: () => err };
}

/** What a sandbox could leave on the host: mounts, folders of control sockets. */
function traces(): string[] {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return [...mounts, ...readdirSync(tmpdir()).filter((n) => n.startsWith('ringfence-'))];
}

/** What is there, for longer than a moment, and was not there `before`. */
async function left(before: string[]): Promise<string[]> {
  const more = (): string[] => traces().filter((t) => !before.includes(t));
  await until(() => more().length === 0, LIMIT_MS);
  return more();
}

async function gone(pids: number[]): Promise<number[]> {
  await until(() => !pids.some(lives), LIMIT_MS);
  return pids.filter(lives);
}

describe('a command in the foreground', () => {
  const script = 'sleep 1000 & sleep 1000 & sleep 0.2; echo up; wait';
  const cases: [string, (r: Running) => number, number[], RegExp][] = [
    ['the command itself', (r) => r.child.pid as number, [137], /^$/],
    ['the stand-in', (r) => r.sandbox.standin, [137], /the sandbox was killed/],
    ['the first process of the sandbox', (r) => r.sandbox.init, [137], /the sandbox was killed|ended unexpectedly/],
    ['the Sentry', (r) => r.sandbox.sentry, [137], /the sandbox (was killed|ended unexpectedly)/],
    ['the Gofer', (r) => r.sandbox.gofer, [137], /the gofer was killed/],
    ['the pristine stub', (r) => r.sandbox.stub, [137, 139], /^$/],
  ];
  for (const [name, victim, codes, message] of cases) {
    test(`kill -9 of ${name} ends everything`, async () => {
      const before = traces();
      const r = await start(['do', '--', '/bin/sh', '-c', script]);
      const pids = all(r.sandbox);
      expect(pids.every(lives)).toBe(true);
      expect(r.sandbox.guests.length).toBeGreaterThan(2);
      kill9(victim(r));
      expect(await gone([...pids, r.child.pid as number])).toEqual([]);
      expect(codes).toContain(await r.exit);
      expect(r.errors()).toMatch(message);
      expect(await left(before)).toEqual([]);
    });
  }

  test("kill -9 of a guest's host process is a SIGKILL for that guest alone", async () => {
    const r = await start(['do', '--', '/bin/sh', '-c', 'sleep 1000 & echo up; wait $!; echo "status $?"; /bin/echo more; exit 5']);
    const sleeper = (): number => sandboxOf(r.sandbox.standin).guests.find((pid) => maps(pid).includes('/sleep')) ?? 0;
    await until(() => sleeper() > 0, 2000);
    const guests = sandboxOf(r.sandbox.standin).guests;
    kill9(sleeper());
    expect(await r.exit).toBe(5);
    expect(r.output()).toBe('up\nstatus 137\nmore\n');
    expect(await gone([...all(r.sandbox), ...guests])).toEqual([]);
  });

  test('kill -9 of the launcher while it starts leaves nothing', async () => {
    for (const ms of [0, 5, 20, 40, 60, 90]) {
      const before = traces();
      const child = spawn(ringfence, ['do', '--', '/bin/sh', '-c', 'sleep 1000'], { cwd: '/', env: {}, stdio: 'ignore' });
      const exit = new Promise((done) => child.on('exit', done));
      let standin = 0;
      await until(() => (standin = standinOf(child.pid ?? 0)) !== 0, 5000);
      expect(standin).toBeGreaterThan(0);
      await new Promise((done) => setTimeout(done, ms));
      const pids = all(sandboxOf(standin)).filter((p) => p > 0);
      kill9(standin);
      await exit;
      expect(await gone(pids), `after ${ms} ms`).toEqual([]);
      expect(await left(before)).toEqual([]);
    }
  });

  test('kill -9 of the command while it starts leaves nothing', async () => {
    for (const ms of [30, 60, 90, 120, 150, 180]) {
      const before = traces();
      const child = spawn(ringfence, ['do', '--', '/bin/sh', '-c', 'sleep 1000'], { cwd: '/', env: {}, stdio: 'ignore' });
      const exit = new Promise((done) => child.on('exit', done));
      await new Promise((done) => setTimeout(done, ms));
      const standin = standinOf(child.pid ?? 0);
      const pids = standin === 0 ? [] : all(sandboxOf(standin)).filter((p) => p > 0);
      child.kill('SIGKILL');
      await exit;
      expect(await gone(pids), `after ${ms} ms`).toEqual([]);
      expect(await left(before)).toEqual([]);
    }
  });
});

/** A memory cgroup of so many bytes, or null where none can be made. */
function memoryGroup(bytes: number): string | null {
  const name = `ringfence-test-${process.pid}`;
  for (const [root, file] of [
    ['/sys/fs/cgroup', 'memory.max'],
    ['/sys/fs/cgroup/memory', 'memory.limit_in_bytes'],
  ] as const) {
    const dir = join(root, name);
    try {
      mkdirSync(dir);
      if (!existsSync(join(dir, file))) throw new Error('no cgroup');
      writeFileSync(join(dir, file), String(bytes));
      return dir;
    } catch {
      if (existsSync(dir)) rmdirSync(dir);
    }
  }
  return null;
}

test('out of memory in a cgroup: the guest that took it ends, the sandbox goes on', async () => {
  const group = memoryGroup(300 << 20);
  if (group === null) return; // RLIMIT_AS is tested among the hostile guests
  const script = `echo $$ > ${group}/cgroup.procs; exec ${ringfence} do -- sh -c '${program('hostile')} eat_memory; echo "status $?"; /bin/echo alive'`;
  const r = spawnSync('/bin/sh', ['-c', script], { cwd: '/', encoding: 'utf8', timeout: 50_000 });
  await until(() => readFileSync(join(group, 'cgroup.procs'), 'utf8') === '', LIMIT_MS);
  rmdirSync(group);
  expect(r.stdout).toMatch(/^end: signal 9$/m);
  expect(r.stdout).toMatch(/^status 0\nalive$/m);
  expect(r.status).toBe(0);
});

describe('a detached container', () => {
  let bench: Bench;
  beforeAll(() => {
    bench = new Bench();
  });
  afterAll(() => bench.close());

  /** A container that runs, by name. */
  async function running(id: string): Promise<Sandbox> {
    const bundle = bench.bundle(['sh', '-c', 'sleep 1000 & sleep 1000 & wait']);
    const r = bench.detached(['run', '--detach', '-b', bundle, id]);
    expect(r).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(statSync(join(bench.states, id, 'control.sock')).mode & 0o777).toBe(0o600); // who may connect commands the sandbox
    return await settled(bench.state(id).pid);
  }

  const roles = ['standin', 'init', 'sentry', 'gofer'] as const;
  for (const role of roles) {
    test(`kill -9 of its ${role}: it is stopped, commands say so, delete --force clears it`, async () => {
      const before = traces();
      const id = `c-${role}`;
      const s = await running(id);
      const pids = all(s);
      expect(pids.every((p) => p > 0 && lives(p))).toBe(true);
      kill9(s[role]);
      expect(await gone(pids)).toEqual([]);
      expect(bench.state(id).status).toBe('stopped');
      expect(bench.run(['list']).stdout).toMatch(new RegExp(`${id}\\s+0\\s+stopped`));
      const exec = bench.run(['exec', id, 'true']);
      expect([exec.status, exec.stderr]).toEqual([255, expect.stringMatching(/cannot exec in a stopped container/)]);
      const kill = bench.run(['kill', id, 'TERM']);
      expect([kill.status, kill.stderr]).toEqual([1, expect.stringMatching(/container not running/)]);
      for (const c of ['pause', 'resume', 'start']) {
        const r = bench.run([c, id]);
        expect([c, r.status], r.stderr).toEqual([c, 1]);
        expect(r.stderr, c).toMatch(/^ringfence: .*(stopped|not running|not paused)/);
      }
      expect(bench.run(['delete', '--force', id])).toEqual({ status: 0, stdout: '', stderr: '' });
      expect(existsSync(join(bench.states, id))).toBe(false);
      expect(await left(before)).toEqual([]);
    });
  }

  test('kill -9 of create at any moment: delete --force clears what is there', async () => {
    const before = traces();
    for (const ms of [60, 100, 140, 180, 220]) {
      const bundle = bench.bundle(['sleep', '1000']);
      const id = `cut-${ms}`;
      const child = spawn(ringfence, ['--root', bench.states, 'create', '-b', bundle, id], { cwd: '/', env: {}, stdio: 'ignore' });
      const exit = new Promise((done) => child.on('exit', done));
      await new Promise((done) => setTimeout(done, ms));
      const standin = standinOf(child.pid ?? 0);
      const pids = standin === 0 ? [] : all(sandboxOf(standin)).filter((p) => p > 0);
      child.kill('SIGKILL');
      await exit;
      expect(bench.run(['delete', '--force', id])).toEqual({ status: 0, stdout: '', stderr: '' });
      expect(existsSync(join(bench.states, id))).toBe(false);
      expect(await gone(pids), `after ${ms} ms`).toEqual([]);
    }
    expect(await left(before)).toEqual([]);
  });

  test('kill -9 of an exec, or of its stand-in, ends its process and not the container', async () => {
    const s = await running('host');
    for (const who of ['command', 'standin'] as const) {
      const args = ['--root', bench.states, 'exec', 'host', 'sh', '-c', 'echo up; sleep 1000'];
      const child = spawn(ringfence, args, { cwd: '/', env: {}, stdio: ['ignore', 'pipe', 'ignore'] });
      const exit = new Promise<number>((done) => child.on('exit', (code) => done(code ?? 137)));
      let out = '';
      child.stdout.on('data', (d: Buffer) => (out += d.toString()));
      await until(() => out.includes('up'), 10_000);
      let standin = 0;
      await until(() => (standin = standinOf(child.pid ?? 0)) !== 0, 10_000);
      expect(guestsOf(s.stub).length).toBeGreaterThan(s.guests.length);
      kill9(who === 'command' ? (child.pid as number) : standin);
      expect(await exit).toBe(137);
      expect(await until(() => guestsOf(s.stub).length === s.guests.length, LIMIT_MS)).toBe(true);
      expect(await gone([standin])).toEqual([]);
      expect(bench.state('host').status).toBe('running');
    }
    expect(bench.run(['exec', 'host', 'echo', 'fine']).stdout).toBe('fine\n');
    expect(bench.run(['delete', '--force', 'host']).status).toBe(0);
    expect(await gone(all(s))).toEqual([]);
  });
});
