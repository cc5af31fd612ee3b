// Runs a program with a bound on its time, on the host or in a sandbox.

import { spawn } from 'node:child_process';
import { ringfence } from './platform.ts';

export interface RunOptions {
  /** Bytes for standard input; without them it is /dev/null. */
  input?: string;
  cwd?: string;
  /** The whole environment. */
  env?: Record<string, string>;
  /** Milliseconds until the program and all its descendants in its process group are killed. */
  timeout?: number;
  /** Arguments for `ringfence do`, before the command. */
  options?: string[];
}

export interface RunResult {
  stdout: string;
  stderr: string;
  /** The exit status, 128 + signal if it was killed, or 'timeout'. */
  status: number | 'timeout';
  milliseconds: number;
}

const signals: Record<string, number> = { SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGABRT: 6, SIGKILL: 9, SIGSEGV: 11, SIGPIPE: 13, SIGTERM: 15 };

/** The environment that programs under test get. */
export const plainEnvironment: Record<string, string> = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
  LANG: 'C.UTF-8',
  TERM: 'xterm',
  TZ: 'UTC',
};

/** Runs a command on the host. */
export function runOnHost(argv: string[], options: RunOptions = {}): Promise<RunResult> {
  const start = performance.now();
  return new Promise((done, reject) => {
    const child = spawn(argv[0] as string, argv.slice(1), {
      cwd: options.cwd,
      env: options.env ?? plainEnvironment,
      stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      detached: true,
    });
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      killGroup(child.pid);
    }, options.timeout ?? 60_000);
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout?.on('data', (data: Buffer) => out.push(data));
    child.stderr?.on('data', (data: Buffer) => err.push(data));
    child.stdin?.on('error', () => {}); // it may exit without reading
    child.stdin?.end(options.input, 'latin1');
    child.on('error', reject);
    // A descendant that outlives the command may hold its output open: what came until shortly after its exit counts.
    child.on('exit', () => setTimeout(() => killGroup(child.pid), 1000).unref());
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      killGroup(child.pid);
      done({
        stdout: Buffer.concat(out).toString('latin1'),
        stderr: Buffer.concat(err).toString('latin1'),
        status: timedOut ? 'timeout' : (code ?? 128 + (signals[signal ?? ''] ?? 0)),
        milliseconds: performance.now() - start,
      });
    });
  });
}

/** Runs a command by `ringfence do`. */
export function runInSandbox(argv: string[], options: RunOptions = {}): Promise<RunResult> {
  return runOnHost([ringfence, 'do', ...(options.options ?? []), '--', ...argv], options);
}

function killGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL');
  } catch {
    // nothing is left of it
  }
}
