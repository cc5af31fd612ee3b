// The host processes of a sandbox, and C programs for the tests of its confinement.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { repository } from '../support/build.ts';

export type Role = 'standin' | 'init' | 'sentry' | 'gofer' | 'stub' | 'guest';

/** The host processes of one sandbox by role; several guests. */
export interface Sandbox {
  standin: number;
  init: number;
  sentry: number;
  gofer: number;
  stub: number;
  guests: number[];
  /** Copies of the pristine stub in waiting: no guest has been in them. */
  copies: number[];
}

/** Compiles test/security/NAME.c, statically, when it is newer than its program. The program's path. */
export function program(name: string): string {
  const source = join(import.meta.dirname, `${name}.c`);
  const output = join(repository, 'dist/test', name);
  mkdirSync(join(repository, 'dist/test'), { recursive: true });
  if (existsSync(output) && statSync(output).mtimeMs >= statSync(source).mtimeMs) return output;
  const r = spawnSync('gcc', ['-O1', '-g', '-pthread', '-Wall', '-Wextra', '-Werror', '-static', '-o', output, source], {
    encoding: 'utf8',
  });
  if (r.status !== 0) throw new Error(`gcc ${source}: ${r.error?.message ?? r.stderr}`);
  return output;
}

/** Children of all threads of a process. */
export function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((t) =>
      readFileSync(`/proc/${pid}/task/${t}/children`, 'latin1')
        .split(' ')
        .filter((w) => w !== '')
        .map(Number),
    );
  } catch {
    return [];
  }
}

export function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ').trim();
  } catch {
    return '';
  }
}

/**
 * True while the process exists and is no zombie. The first one of a pid namespace, once dead, waits until others' orphans are reaped by whoever has to:
 * it has PF_EXITING in its flags, and nothing runs below it.
 */
export function lives(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const f = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if ('ZX'.includes(f[0] as string)) return false;
    return (Number(f[6]) & 4) === 0 || readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1') !== '';
  } catch {
    return false;
  }
}

/** What a process has mapped, as /proc/PID/maps shows it; nothing when it is gone. */
export function maps(pid: number): string {
  const r = spawnSync('cat', [`/proc/${pid}/maps`], { encoding: 'utf8' });
  return r.status === 0 ? r.stdout : '';
}

/** Is this child of the pristine stub a copy that nothing has been mapped in yet? */
function waits(pid: number): boolean {
  const text = maps(pid);
  return text !== '' && !/^[0-7]/m.test(text.replace(/^7ff\S+ /gm, '. '));
}

/** The host processes that hold a guest's memory. */
export function guestsOf(stub: number): number[] {
  return childrenOf(stub).filter((pid) => !waits(pid));
}

/** The processes below a stand-in. */
export function sandboxOf(standin: number): Sandbox {
  const s: Sandbox = { standin, init: 0, sentry: 0, gofer: 0, stub: 0, guests: [], copies: [] };
  for (const pid of childrenOf(standin)) {
    if (commandLine(pid).includes('gofer.cjs')) s.gofer = pid;
    else s.init = pid;
  }
  for (const pid of childrenOf(s.init)) {
    if (commandLine(pid).includes('sentry.cjs')) s.sentry = pid;
    else if (s.stub === 0) s.stub = pid;
    else s.guests.push(pid);
  }
  for (const pid of childrenOf(s.stub)) (waits(pid) ? s.copies : s.guests).push(pid);
  return s;
}

/** The stand-in that a foreground command started. */
export function standinOf(command: number): number {
  const isStandin = (pid: number): boolean => {
    try {
      // The launcher that makes it has the name of its program.
      return readlinkSync(`/proc/${pid}/exe`).endsWith('/native/launch') && readFileSync(`/proc/${pid}/comm`, 'latin1').trim() !== 'launch';
    } catch {
      return false;
    }
  };
  return childrenOf(command).find(isStandin) ?? 0;
}

export function all(s: Sandbox): number[] {
  return [s.standin, s.init, s.sentry, s.gofer, s.stub, ...s.guests, ...s.copies];
}

/** Kills one process. A number that is none, which kill(2) takes for a group or for everybody, is an error. */
export function kill9(pid: number): void {
  if (!(pid > 1)) throw new Error(`no process to kill: ${pid}`);
  process.kill(pid, 'SIGKILL');
}

/** The sandbox when nothing in it comes or goes: what exec leaves ends soon, and new address spaces are made ahead of time. */
export async function settled(standin: number): Promise<Sandbox> {
  let before = '';
  for (let i = 0; i < 100; i++) {
    const s = sandboxOf(standin);
    const now = all(s).join();
    if (now === before && all(s).every((p) => p > 0 && lives(p))) return s;
    before = now;
    await new Promise((done) => setTimeout(done, 100));
  }
  throw new Error(`the processes of the sandbox keep changing: ${before}`);
}

/** Waits until `test` holds; false after `ms`. */
export async function until(test: () => boolean, ms: number): Promise<boolean> {
  const end = Date.now() + ms;
  while (!test()) {
    if (Date.now() > end) return false;
    await new Promise((done) => setTimeout(done, 10));
  }
  return true;
}

/** A line of /proc/PID/status. */
export function status(pid: number, field: string): string {
  return new RegExp(`^${field}:[ \\t]*(.*)$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]?.replaceAll('\t', ' ') ?? '';
}
