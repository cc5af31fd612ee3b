// A private folder for one client of one test file, the commands that are run for it, and what of it must be gone at the end.

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildTool } from '../../support/build.ts';
import { plainEnvironment, type RunOptions, type RunResult, runOnHost } from '../../support/run.ts';
import { cgroupsNamed, endProcesses, mountsBelow, processesOf, socketsNamed } from './leftovers.ts';
import { Terminal } from './terminal.ts';
import { sleep } from '../../support/until.ts';

/** Milliseconds that what ends asynchronously gets: a client's clean-up after a container's end, on a machine with other work. */
const SETTLE_MS = 20_000;

/** The folder. Its path is the tag by which processes, mounts and sockets are found. */
export class Folder {
  readonly path: string;
  /** Words in the names of cgroups and sockets that belong here too, such as the ids of containers. */
  readonly words: Set<string> = new Set();
  private readonly env: Record<string, string>;
  private readonly reaper: string = buildTool(join(import.meta.dirname, 'reaper.c'));

  /** `env`: what every command gets besides the plain environment. */
  constructor(name: string, env: Record<string, string> = {}) {
    this.path = mkdtempSync(join(tmpdir(), `rf-${name}-`));
    this.env = env;
  }

  /** A path in the folder. */
  file(name: string): string {
    return join(this.path, name);
  }

  private environment(more: Record<string, string> = {}): Record<string, string> {
    return { ...plainEnvironment, ...this.env, ...more };
  }

  /** Runs a command; what it leaves behind is adopted and reaped as by a host's init. `env` comes on top of the folder's. */
  run(argv: string[], options: RunOptions = {}): Promise<RunResult> {
    return runOnHost([this.reaper, this.path, ...argv], { cwd: this.path, ...options, env: this.environment(options.env) });
  }

  /** Runs a command that must succeed; its standard output without the last newline. */
  async must(argv: string[], options: RunOptions = {}): Promise<string> {
    const r = await this.run(argv, options);
    if (r.status !== 0) throw new Error(`${argv.join(' ')}: status ${r.status}: ${(r.stderr + r.stdout).slice(-1500)}`);
    return r.stdout.replace(/\n$/, '');
  }

  /** Starts a command on a terminal of its own. */
  terminal(argv: string[], rows: number = 24, cols: number = 80, env: Record<string, string> = {}): Terminal {
    return new Terminal([this.reaper, this.path], argv, rows, cols, this.path, this.environment(env));
  }

  /** Starts a daemon; its output goes to `NAME.log` in the folder. Whoever starts it ends it (SIGTERM to the pid). */
  daemon(name: string, argv: string[], env: Record<string, string> = {}): ChildProcess {
    const log = openSync(this.file(`${name}.log`), 'a');
    const child = spawn(this.reaper, [this.path, 'sh', '-c', 'echo $$ >"$0.pid" && exec "$@"', this.file(name), ...argv], {
      cwd: this.path,
      env: this.environment(env),
      stdio: ['ignore', log, log],
      detached: true,
    });
    closeSync(log);
    return child;
  }

  /** Ends a daemon with a signal and waits for its end. */
  async endDaemon(name: string, child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const pid = Number(readFileSync(this.file(`${name}.pid`), 'utf8'));
    const end = new Promise<void>((done) => {
      if (child.exitCode !== null || child.signalCode !== null) done();
      else child.on('exit', () => done());
    });
    const timer = setTimeout(() => killQuietly(pid, 'SIGKILL'), SETTLE_MS);
    killQuietly(pid, signal);
    await end;
    clearTimeout(timer);
  }

  /** What of this folder's containers is left: processes, mounts, cgroups and sockets, one line each. */
  leftovers(): string[] {
    const words = [this.path, ...this.words];
    return [
      ...processesOf(this.path).map((p) => `process ${p.pid} ${p.args}`),
      ...mountsBelow(this.path),
      ...cgroupsNamed(words),
      ...socketsNamed(words),
    ];
  }

  /** Waits until nothing is left but what `except` admits; what is left in spite of that. */
  async settled(except: (line: string) => boolean = () => false, ms: number = SETTLE_MS): Promise<string[]> {
    const end = Date.now() + ms;
    for (;;) {
      const left = this.leftovers().filter((line) => !except(line));
      if (left.length === 0 || Date.now() > end) return left;
      await sleep(100);
    }
  }

  /** Ends what is left, unmounts, and removes the folder, whatever state it is in. */
  async close(): Promise<void> {
    await endProcesses(this.path);
    for (const line of mountsBelow(this.path).reverse()) {
      await runOnHost(['umount', '-l', line.slice('mount '.length)]);
    }
    rmSync(this.path, { recursive: true, force: true });
  }
}

function killQuietly(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // it has ended
  }
}
