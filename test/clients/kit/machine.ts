// A machine of its own for a daemon: new pid, network and mount namespaces, whose end ends everything in them. Control groups are the host's,
// below names that only one machine uses, and are removed at the end.

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { ringfence, type Runtime, runc } from './runtimes.ts';
import { Terminal } from './terminal.ts';

/** The oracle and the candidate: every test runs on both. */
export const runtimes: Runtime[] = [runc, ringfence];

export interface Result {
  /** The exit status, -1 when the command was killed or took too long. */
  status: number;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  input?: string;
  /** Milliseconds. */
  timeout?: number;
}

const ENVIRONMENT = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8', HOME: '/root' };

export abstract class Machine {
  readonly dir: string;
  private readonly environment: Record<string, string>;
  /** Milliseconds that a command may take if it says nothing else. */
  private readonly limit: number;
  private holder: ChildProcess | null = null;
  /** The first process of the machine, as the host numbers it. */
  protected init = 0;

  /** `address`: the variable that tells clients where the daemon is, and its value for a folder. */
  protected constructor(prefix: string, variable: string, address: (dir: string) => string, limit: number) {
    this.dir = mkdtempSync(join(tmpdir(), prefix));
    this.environment = { ...ENVIRONMENT, [variable]: address(this.dir) };
    this.limit = limit;
  }

  /** Names of the control groups that containers on this machine are in. */
  protected abstract groupNames(): string[];
  /** Everything that containers may have left behind. */
  abstract leftovers(): string[];

  /** Makes the namespaces. `folders` become empty and private. */
  protected async begin(folders: string[]): Promise<void> {
    const mounts = folders.map((d) => `mkdir -p ${d} && mount -t tmpfs none ${d} && `).join('');
    const script = `ip link set lo up && ${mounts}echo up; while :; do sleep 3600 & wait $!; done`;
    const argv = ['--pdeathsig', 'KILL', 'unshare', '-m', '-n', '-p', '--fork', '--kill-child', '--mount-proc', '--propagation', 'private'];
    this.holder = spawn('setpriv', [...argv, 'sh', '-c', script], { stdio: ['ignore', 'pipe', 'inherit'], env: ENVIRONMENT });
    await new Promise<void>((done, fail) => {
      this.holder?.stdout?.once('data', () => done());
      this.holder?.once('exit', (code) => fail(new Error(`the machine did not come up: ${code}`)));
    });
    const children = readFileSync(`/proc/${this.holder.pid}/task/${this.holder.pid}/children`, 'latin1');
    this.init = Number(children.trim().split(' ')[0]);
  }

  private entered(argv: string[]): string[] {
    // nsenter stays outside of the pid namespace: its child has to be told to end with it
    return ['-t', String(this.init), '-m', '-n', '-p', '--', 'setpriv', '--pdeathsig', 'KILL', ...argv];
  }

  /** Starts a command on the machine. It is not waited for. */
  spawn(argv: string[], stdio: 'pipe' | 'ignore' = 'ignore'): ChildProcess {
    return spawn('nsenter', this.entered(argv), { stdio, env: this.environment });
  }

  /** Runs a command on the machine. */
  run(argv: string[], options: RunOptions = {}): Promise<Result> {
    return new Promise((done, fail) => {
      const child = this.spawn(argv, 'pipe');
      const out: Buffer[] = [];
      const err: Buffer[] = [];
      child.stdout?.on('data', (d: Buffer) => out.push(d));
      child.stderr?.on('data', (d: Buffer) => err.push(d));
      child.stdin?.on('error', () => {}); // it may exit without reading
      child.stdin?.end(options.input ?? '');
      const timer = setTimeout(() => {
        err.push(Buffer.from(`\n${argv.join(' ')}: killed, it took too long\n`));
        child.kill('SIGKILL');
      }, options.timeout ?? this.limit);
      child.on('error', fail);
      child.on('close', (code) => {
        clearTimeout(timer);
        done({ status: code ?? -1, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() });
      });
    });
  }

  /** Starts a command of the machine on a terminal. */
  protected onTerminal(argv: string[], rows: number, cols: number): Terminal {
    return new Terminal([], ['nsenter', ...this.entered(argv)], rows, cols, this.dir, this.environment);
  }

  /** A file of the machine's /proc, by the machine's own pids. */
  proc(path: string): string {
    return readFileSync(`/proc/${this.init}/root/proc/${path}`, 'latin1');
  }

  /** The machine's processes but its first two: pid and arguments. Zombies do not count. */
  protected all(): { pid: number; args: string }[] {
    const all: { pid: number; args: string }[] = [];
    for (const name of readdirSync(`/proc/${this.init}/root/proc`)) {
      const pid = Number(name);
      if (!(pid > 1)) continue;
      try {
        const args = this.proc(`${pid}/cmdline`).replaceAll('\0', ' ').trim();
        if (args !== '' && args !== 'sleep 3600') all.push({ pid, args });
      } catch {
        // it ended meanwhile
      }
    }
    return all;
  }

  /** Control groups of containers that exist. */
  groups(): string[] {
    return this.ownGroups().flatMap((g) => below(g));
  }

  private ownGroups(): string[] {
    const roots = readdirSync('/sys/fs/cgroup').map((c) => join('/sys/fs/cgroup', c));
    return ['/sys/fs/cgroup', ...roots]
      .flatMap((r) => this.groupNames().map((n) => join(r, n)))
      .filter((p) => existsSync(p) && statSync(p).isDirectory());
  }

  /** Expects that nothing is left behind, at the latest after some seconds. */
  async expectClean(): Promise<void> {
    await this.until(() => this.leftovers().length === 0, 20_000);
    expect(this.leftovers()).toEqual([]);
  }

  /** Waits until `test` holds; false after `ms`. */
  async until(test: () => boolean | Promise<boolean>, ms: number = 20_000): Promise<boolean> {
    const end = Date.now() + ms;
    while (!(await test())) {
      if (Date.now() > end) return false;
      await new Promise((done) => setTimeout(done, 50));
    }
    return true;
  }

  /** Ends everything and removes the folder. */
  async stop(): Promise<void> {
    const holder = this.holder;
    if (holder !== null && holder.exitCode === null && holder.signalCode === null) {
      const gone = new Promise((done) => holder.once('exit', done));
      if (this.init > 0) process.kill(this.init, 'SIGKILL');
      else holder.kill('SIGKILL');
      await gone;
    }
    for (const g of this.ownGroups()) for (const path of [...below(g), g]) await removeGroup(path);
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** Does work for 0, 1, ... n - 1, at most four at a time. */
export async function several(n: number, work: (i: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < n) await work(next++);
  };
  await Promise.all(Array.from({ length: 4 }, worker));
}

/** The groups below a group, innermost first. */
function below(group: string): string[] {
  return readdirSync(group, { withFileTypes: true })
    .filter((e) => e.isDirectory())
    .flatMap((e) => [...below(join(group, e.name)), join(group, e.name)]);
}

/** Removes a group whose processes are dying. */
async function removeGroup(path: string): Promise<void> {
  for (let i = 0; ; i++) {
    try {
      return rmdirSync(path);
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code === 'ENOENT') return;
      if (i === 100) throw e;
      await new Promise((done) => setTimeout(done, 50));
    }
  }
}
