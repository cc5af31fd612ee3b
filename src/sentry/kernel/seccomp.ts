// seccomp(2): what a task may call. A chain of filters is immutable and shared by all tasks that have it; which calls it allows whatever
// their arguments is found out once a number and kept in a table, so that an allowed call costs one look there.

import { ENOSYS } from '../../abi/errno.ts';
import { SYS_exit, SYS_futex, SYS_madvise, SYS_read, SYS_rt_sigreturn, SYS_write } from '../../abi/nr.ts';
import { PTRACE_EVENT_EXIT, PTRACE_EVENT_SECCOMP, PTRACE_O_TRACESECCOMP } from '../../abi/ptrace.ts';
import {
  AUDIT_ARCH_X86_64,
  SECCOMP_MODE_FILTER,
  SECCOMP_MODE_STRICT,
  SECCOMP_RET_ACTION_FULL,
  SECCOMP_RET_ALLOW,
  SECCOMP_RET_DATA,
  SECCOMP_RET_ERRNO,
  SECCOMP_RET_KILL_THREAD,
  SECCOMP_RET_LOG,
  SECCOMP_RET_TRACE,
  SECCOMP_RET_TRAP,
  SECCOMP_RET_USER_NOTIF,
} from '../../abi/seccomp.ts';
import { SIGKILL, SIGSYS } from '../../abi/signal.ts';
import { NO_RESULT, TASK_EXITED } from '../../base/result.ts';
import { NATIVE_FUTEX, NATIVE_MADVISE, REG_RIP } from '../../platform/platform.ts';
import { type BpfProgram, CONSTANT_WORDS, DATA_WORDS, UNDECIDED } from './bpf.ts';
import { exitGroup, exitTask } from './exit.ts';
import { stopForSeccomp, stopToDie } from './ptrace.ts';
import { SigInfo } from './siginfo.ts';
import { forceSignal, setRax } from './signals.ts';
import type { Task } from './task.ts';

/** The call may be made. */
export const CALL_ALLOWED = 1;
/** The task rests for its tracer, which decides. */
export const CALL_STOPPED = 2;

const NUMBERS = 512;
/** MAX_INSNS_PER_PATH (kernel/seccomp.c): instructions of all filters of a task, each filter counted with four more. */
const MAX_INSNS = 32768;
const FILTER_PENALTY = 4;
const MAX_ERRNO = 4095;
const SYS_SECCOMP = 1;

// What Seccomp.kinds says of a number.
const UNKNOWN = 0;
const PLAIN = 1;
const JUDGED = 2;

const data = new Uint32Array(DATA_WORDS);

/** One filter of a chain. */
export interface Filter {
  readonly program: BpfProgram;
  /** SECCOMP_FILTER_FLAG_LOG: refused calls are logged. */
  readonly log: boolean;
  /** The one that was put on before. */
  readonly previous: Filter | null;
}

/** A task's mode, and with it the chain of its filters. */
export class Seccomp {
  /** SECCOMP_MODE_STRICT or SECCOMP_MODE_FILTER. */
  readonly mode: number;
  readonly newest: Filter | null;
  /** How many filters there are. */
  readonly count: number;
  private readonly weight: number;
  private readonly kinds = new Uint8Array(NUMBERS);
  /** Numbers and actions that the log has. */
  private readonly logged: Set<string> = new Set();

  private constructor(mode: number, newest: Filter | null, count: number, weight: number) {
    this.mode = mode;
    this.newest = newest;
    this.count = count;
    this.weight = weight;
  }

  static strict(): Seccomp {
    return new Seccomp(SECCOMP_MODE_STRICT, null, 0, 0);
  }

  /** `old` (null: none yet) with one more filter; null when the chain would be too long (ENOMEM). */
  static filtered(old: Seccomp | null, program: BpfProgram, log: boolean): Seccomp | null {
    const weight = (old === null ? 0 : old.weight + FILTER_PENALTY) + program.length;
    if (weight > MAX_INSNS) return null;
    const previous = old === null ? null : old.newest;
    return new Seccomp(SECCOMP_MODE_FILTER, { program, log, previous }, (old?.count ?? 0) + 1, weight);
  }

  /** True if the calls that `other` judges are judged by these filters as well: its chain is the beginning of this one. */
  descendsFrom(other: Seccomp): boolean {
    if (other.mode !== SECCOMP_MODE_FILTER) return false;
    let f = this.newest;
    while (f !== null && f !== other.newest) f = f.previous;
    return f !== null;
  }

  /** True if call `nr` is allowed whatever its arguments are. */
  allows(nr: number): boolean {
    if (nr >= NUMBERS) return false;
    const kind = this.kinds[nr]!;
    return kind === UNKNOWN ? this.learn(nr) : kind === PLAIN;
  }

  private learn(nr: number): boolean {
    const plain = this.constant(nr) === SECCOMP_RET_ALLOW;
    this.kinds[nr] = plain ? PLAIN : JUDGED;
    return plain;
  }

  /** What the chain returns for `nr` alone; UNDECIDED where it looks at more. */
  constant(nr: number): number {
    if (this.mode === SECCOMP_MODE_STRICT)
      return nr === SYS_read || nr === SYS_write || nr === SYS_exit || nr === SYS_rt_sigreturn
        ? SECCOMP_RET_ALLOW
        : SECCOMP_RET_KILL_THREAD;
    data[0] = nr;
    data[1] = AUDIT_ARCH_X86_64;
    return this.run(CONSTANT_WORDS);
  }

  /** Runs all filters over `data`: the answer that forbids most wins, of equal ones the newest filter's. */
  private run(known: number): number {
    let best = SECCOMP_RET_ALLOW;
    for (let f = this.newest; f !== null; f = f.previous) {
      const r = f.program.run(data, known);
      if (r === UNDECIDED) return UNDECIDED;
      if ((r & SECCOMP_RET_ACTION_FULL) < ((best & SECCOMP_RET_ACTION_FULL) | 0)) best = r;
    }
    return best;
  }

  /** What the chain returns for the call that `t` makes. */
  judge(t: Task): number {
    if (this.mode === SECCOMP_MODE_STRICT) return this.constant(t.nr);
    const r = t.ctx.regs;
    data[0] = t.nr;
    data[1] = AUDIT_ARCH_X86_64;
    data[2] = r[2 * REG_RIP]!;
    data[3] = r[2 * REG_RIP + 1]!;
    data.set(t.args, 4);
    return this.run(DATA_WORDS);
  }

  /** The calls that an engine may make itself without asking: those that are allowed anyway. */
  native(): number {
    return (this.allows(SYS_futex) ? NATIVE_FUTEX : 0) | (this.allows(SYS_madvise) ? NATIVE_MADVISE : 0);
  }

  /** True the first time that `nr` is answered so, for the log. */
  firstTime(nr: number, action: number): boolean {
    const key = `${nr} ${action}`;
    if (this.logged.has(key)) return false;
    // Numbers are the guest's choice: what it makes up is not kept without end.
    if (this.logged.size < NUMBERS) this.logged.add(key);
    return this.logged.size < NUMBERS;
  }

  get logs(): boolean {
    for (let f = this.newest; f !== null; f = f.previous) if (f.log) return true;
    return false;
  }
}

/** Puts `s` onto a task. */
export function setSeccomp(t: Task, s: Seccomp): void {
  t.seccomp = s;
  t.mm.limitNative(s.native());
}

/** Linux writes a record of the audit system; here it is a line of the sandbox's log, one for each number and answer. */
function log(t: Task, s: Seccomp, action: number): void {
  if (s.firstTime(t.nr, action))
    t.kernel.log.info('seccomp', { call: t.nr, action: `0x${action.toString(16)}`, program: t.name, pid: t.tg.pid.shown });
}

/**
 * Judges the call that `t` is about to make and that its filters do not plainly allow. `again`: its tracer has decided already.
 * CALL_ALLOWED, CALL_STOPPED, or the result that the call has instead.
 */
export function judgeCall(t: Task, again: boolean): number {
  const s = t.seccomp!;
  if (s.allows(t.nr)) return CALL_ALLOWED;
  const verdict = s.judge(t);
  const action = (verdict & SECCOMP_RET_ACTION_FULL) >>> 0;
  const value = verdict & SECCOMP_RET_DATA;
  switch (action) {
    case SECCOMP_RET_ALLOW:
      return CALL_ALLOWED;
    case SECCOMP_RET_LOG:
      log(t, s, action);
      return CALL_ALLOWED;
    case SECCOMP_RET_TRACE: {
      if (again) return CALL_ALLOWED;
      const p = t.ptrace;
      if (p === null || (p.options & PTRACE_O_TRACESECCOMP) === 0) return -ENOSYS;
      stopForSeccomp(t, p, PTRACE_EVENT_SECCOMP, value);
      return CALL_STOPPED;
    }
    case SECCOMP_RET_USER_NOTIF:
      // There are no listeners.
      return -ENOSYS;
    case SECCOMP_RET_ERRNO:
      if (s.logs) log(t, s, action);
      return value > MAX_ERRNO ? -MAX_ERRNO : -value;
    case SECCOMP_RET_TRAP:
      if (s.logs) log(t, s, action);
      trap(t, value);
      return NO_RESULT;
    default:
      log(t, s, action);
      return kill(t, s, action === SECCOMP_RET_KILL_THREAD && t.tg.tasks.size > 1);
  }
}

/** SIGSYS, with the registers as they were at the call. */
function trap(t: Task, value: number): void {
  const r = t.ctx.regs;
  const info = new SigInfo(SIGSYS, SYS_SECCOMP);
  info.errno = value;
  info.addr = r[2 * REG_RIP + 1]! * 4294967296 + r[2 * REG_RIP]!;
  info.status = t.nr;
  setRax(t, t.nr);
  forceSignal(t, info);
}

/** The end of the thread, or of the whole process. Strict mode's signal is SIGKILL. */
function kill(t: Task, s: Seccomp, threadOnly: boolean): number {
  const status = s.mode === SECCOMP_MODE_STRICT ? SIGKILL : SIGSYS;
  const alone = threadOnly || s.mode === SECCOMP_MODE_STRICT;
  if (t.ptrace !== null && stopToDie(t, status, PTRACE_EVENT_EXIT, alone)) return CALL_STOPPED;
  if (alone) exitTask(t, status);
  else exitGroup(t.tg, status);
  return TASK_EXITED;
}
