// Runs a command to its end, on the host or in a sandbox, with its output in pipes and a limit on the time in which nothing happens.

import { spawn } from 'node:child_process';
import { closeSync, readdirSync, readFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { constants } from 'node:os';
import { O_CLOEXEC } from '../../src/abi/fcntl.ts';
import { CliError } from '../errors.ts';
import { check, host } from '../host.ts';
import { Capture, type Captured } from './capture.ts';

/** Milliseconds that output may take which is on its way when the command has ended. */
const LATE = 2000;
/** Descriptor of the command on which its sandbox logs. */
const LOG_FD = 3;
const LOG_KEPT = 1024 * 1024;
/** What all processes of a program have in their environment: those that it leaves behind on the host are found by it. */
const MARK = 'RINGFENCE_COMPAT_RUN';

export interface Execution {
  argv: string[];
  /** Milliseconds without a sign of life (`onStart`). */
  limit: number;
  /** Of all runs of a program; never of two on the host at the same time. */
  mark: string;
  /** The command is `ringfence`, and logs to LOG_PATH. */
  sandbox: boolean;
  /** Standard output as it comes, latin1. */
  onOutput?: (text: string) => void;
  /** Gets a function that starts the time limit anew. */
  onStart?: (alive: () => void) => void;
}

export interface Outcome {
  /** Exit status, 128 + signal where one killed it; null: at the time limit. */
  status: number | null;
  stdout: Captured;
  stderr: Captured;
  log: string;
  milliseconds: number;
}

/** The name under which a sandbox opens the descriptor on which it is to log. */
export const LOG_PATH: string = `/proc/self/fd/${LOG_FD}`;

/** Everything that runs, for a run that is broken off. */
const running = new Set<() => void>();

/** Told of the end of the last that runs; null: nothing was broken off. */
let allStopped: (() => void) | null = null;

/** Ends all that runs, and lets nothing begin any more: what waits for a run waits for ever. Resolves when all is collected. */
export function stopAll(): Promise<void> {
  const end = new Promise<void>((done) => {
    allStopped = done;
    setTimeout(done, LATE);
  });
  for (const stop of running) stop();
  if (running.size === 0) allStopped?.();
  return end;
}

function openPipe(): [number, number] {
  const ends = new Int32Array(2);
  check(host().pipe2(ends, O_CLOEXEC), 'cannot create a pipe');
  return [ends[0] as number, ends[1] as number];
}

/** Reads a pipe to its end; `done` is called once. */
function drain(fd: number, take: (text: string) => void, done: () => void): Socket {
  const s = new Socket({ fd, readable: true, writable: false });
  s.setEncoding('latin1');
  s.on('data', (text) => take(String(text)));
  s.on('error', () => s.destroy());
  s.on('close', done);
  return s;
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined || pid <= 1) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // nothing is left of it
  }
}

/** Ends the processes that a run on the host has left behind, whatever group or session they are in. */
function sweep(mark: string): void {
  const word = `${MARK}=${mark}\0`;
  // What is forked while we look is found in the next round.
  for (let round = 0, found = true; found && round < 20; round++) {
    found = false;
    for (const name of readdirSync('/proc')) {
      if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
      try {
        if (!readFileSync(`/proc/${name}/environ`, 'latin1').includes(word)) continue;
        process.kill(Number(name), 'SIGKILL');
        found = true;
      } catch {
        // gone, or not ours
      }
    }
  }
}

/** Runs a command. Rejects when it cannot be started at all. */
export function execute(e: Execution, env: Readonly<Record<string, string>>): Promise<Outcome> {
  if (allStopped !== null) return new Promise(() => undefined);
  const started = performance.now();
  const [outRead, outWrite] = openPipe();
  const [errRead, errWrite] = openPipe();
  const [logRead, logWrite] = openPipe();
  return new Promise((resolve, reject) => {
    const child = spawn(e.argv[0] as string, e.argv.slice(1), {
      env: { ...env, [MARK]: e.mark },
      stdio: e.sandbox ? ['ignore', outWrite, errWrite, logWrite] : ['ignore', outWrite, errWrite],
      detached: true,
    });
    for (const fd of [outWrite, errWrite, logWrite]) closeSync(fd);
    const stdout = new Capture();
    const stderr = new Capture();
    let log = '';
    let status: number | null = null;
    let timedOut = false;
    let failure: Error | null = null;
    let ended = false;
    let timer: NodeJS.Timeout | undefined;
    let open = 3;
    const stop = (): void => {
      killGroup(child.pid);
      if (!e.sandbox) sweep(e.mark);
    };
    const alive = (): void => {
      clearTimeout(timer);
      if (ended || timedOut) return;
      timer = setTimeout(() => {
        timedOut = true;
        stop();
      }, e.limit);
    };
    const closed = (): void => {
      if (--open > 0) return;
      clearTimeout(timer);
      running.delete(stop);
      if (allStopped !== null) {
        if (running.size === 0) allStopped();
        return;
      }
      if (failure !== null) {
        reject(failure);
        return;
      }
      const milliseconds = performance.now() - started;
      resolve({ status: timedOut ? null : status, stdout: stdout.done(), stderr: stderr.done(), log, milliseconds });
    };
    const fromOut = (text: string): void => {
      stdout.add(text);
      e.onOutput?.(text);
    };
    const fromLog = (text: string): void => {
      if (log.length < LOG_KEPT) log += text;
    };
    // The pipes are at their end only when the command is: an early close of all three is waited out.
    open++;
    const pipes = [drain(outRead, fromOut, closed), drain(errRead, (text) => stderr.add(text), closed), drain(logRead, fromLog, closed)];
    running.add(stop);
    child.on('error', (x) => {
      failure = new CliError(`cannot run ${e.argv[0]}: ${x.message}`);
      for (const p of pipes) p.destroy();
      closed();
    });
    child.on('exit', (code, signal) => {
      ended = true;
      status = code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
      clearTimeout(timer);
      stop();
      closed();
      // Somebody whom it has left behind and who cannot be found may hold the pipes.
      setTimeout(() => {
        for (const p of pipes) p.destroy();
      }, LATE).unref();
    });
    alive();
    e.onStart?.(alive);
  });
}
