// The loop of the Sentry: takes events from the engine, invokes handlers, lets tasks go on, sleeps when there is nothing to do.
//
// One thread, no locks. A pass takes all stopped contexts, then all tasks that were woken, then due timers. The hot path (an event, its
// handler, the resume) allocates nothing.

import { EFAULT, EINTR, ENOSYS } from '../../abi/errno.ts';
import { FUTEX_CMD_MASK, FUTEX_WAIT, FUTEX_WAIT_BITSET } from '../../abi/futex.ts';
import { SYS_futex } from '../../abi/nr.ts';
import { SIGBUS, SIGFPE, SIGILL, SIGKILL, SIGSEGV, SIGTRAP } from '../../abi/signal.ts';
import { monotonicNs } from '../../base/clock.ts';
import { BLOCKED, ERESTART_RESTARTBLOCK, ERESTARTNOINTR, ERESTARTSYS, NO_RESULT, TASK_EXITED } from '../../base/result.ts';
import {
  type Context,
  EVENT_FAULT,
  EVENT_GONE,
  EVENT_INTERRUPTED,
  EVENT_RESTART,
  EVENT_SYSCALL,
  REG_ORIG_RAX,
  REG_R8,
  REG_R9,
  REG_R10,
  REG_RDI,
  REG_RDX,
  REG_RIP,
  REG_RSI,
} from '../../platform/platform.ts';
import { exitGroup, exitTask } from './exit.ts';
import type { Kernel } from './kernel.ts';
import {
  resultUnchanged,
  STAGE_DIE,
  STAGE_ENTRY,
  STAGE_JUDGED,
  STAGE_LEAVE,
  STAGE_USER,
  stopAtEntry,
  stopAtExit,
  stopForEvent,
} from './ptrace.ts';
import { CALL_ALLOWED, CALL_STOPPED, judgeCall } from './seccomp.ts';
import { SigInfo } from './siginfo.ts';
import { deliverSignals, forceSignal, GO_AGAIN, GO_NOWHERE, recalcAttention, restartRestored, setMask, setRax } from './signals.ts';
import { TASK_BLOCKED, TASK_DEAD, TASK_RUNNING, TASK_STOPPED, type Task } from './task.ts';

/** Waits for host descriptors. Implemented by boot over epoll. */
export interface Poller {
  /** Dispatches what is ready; waits up to `ms` (fractions allowed, Infinity: for ever, 0: not at all). */
  wait(ms: number): number;
}

export type SyscallHandler = (t: Task) => number;

/** Told of calls when strace is on, or they are counted. */
export interface Tracer {
  /** Before the handler is called for the first time. */
  enter(t: Task): void;
  /** The call waits. */
  wait(t: Task): void;
  /** Before the handler is called again. */
  again(t: Task): void;
  leave(t: Task, result: number): void;
}

/** Passes between two looks at host descriptors while the loop is busy. */
const HOST_EVERY = 64;
/** Looks for work between two looks at the clock. */
const LOOKS_PER_TIME = 64;
/** The registers of a call's arguments. */
const ARGUMENTS = [REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9];
const RESTART_LIMIT = -ERESTARTSYS;
const RESTART_LOWEST = -ERESTART_RESTARTBLOCK;

/** Takes number and arguments of a call out of registers that a tracer may have changed. */
function takeTracedCall(t: Task): void {
  const r = t.ctx.regs;
  const a = t.args;
  for (let i = 0; i < 6; i++) {
    const n = 2 * ARGUMENTS[i]!;
    a[2 * i] = r[n]!;
    a[2 * i + 1] = r[n + 1]!;
  }
  t.nr = r[2 * REG_ORIG_RAX]! | 0; // an int: do_syscall_64 of the kernel
  t.rs.reset();
}

/** What a call that the engine makes answers when it is interrupted: only a wait may end, one with a timeout whatever SA_RESTART says. */
function restartOf(t: Task): number {
  const op = t.argU(1) & FUTEX_CMD_MASK;
  if (t.nr !== SYS_futex || (op !== FUTEX_WAIT && op !== FUTEX_WAIT_BITSET)) return ERESTARTNOINTR;
  return t.arg(3) === 0 ? ERESTARTSYS : ERESTART_RESTARTBLOCK;
}

/** The bytes around a call site that rewriting it looks at. */
const SITE_BEFORE = 7;
const SITE_AFTER = 16;

/** The call site of this event is worth rewriting: has the engine do it where the code allows. */
function offerSite(t: Task, c: Context): void {
  const rip = c.regs[2 * REG_RIP + 1]! * 4294967296 + c.regs[2 * REG_RIP]!;
  const prot = t.mm.codeProtection(rip - SITE_BEFORE, SITE_BEFORE + SITE_AFTER);
  if (prot >= 0 && t.ptrace === null) c.patch(prot);
}

export class Loop {
  private readonly k: Kernel;
  private readonly poller: Poller;
  private readonly table: readonly (SyscallHandler | undefined)[];
  tracer: Tracer | null = null;
  /** Names of calls, for reports. */
  nameOf: (nr: number) => string = String;
  /** Told once of each number without a handler. */
  unknown: (t: Task, nr: number) => void = () => {};

  constructor(k: Kernel, poller: Poller, table: readonly (SyscallHandler | undefined)[]) {
    this.k = k;
    this.poller = poller;
    this.table = table;
    k.platform.stopped = (c) => this.stopped(c);
  }

  /** Runs until kernel.done. */
  run(): void {
    const k = this.k;
    const p = k.platform;
    let busy = 0;
    let idle = 0;
    let idleSince = 0;
    while (!k.done) {
      let n = p.poll();
      if (k.readyHead !== null) n += this.runReady();
      if (n > 0) {
        idle = 0;
        if (++busy < HOST_EVERY) continue;
        busy = 0;
        this.runTimers();
        this.poller.wait(0);
        continue;
      }
      // A search for work is short: the clock is asked (it costs more than the search) once in a while.
      if (p.spinAdvised) {
        if (++idle % LOOKS_PER_TIME !== 0) continue;
        const now = monotonicNs();
        if (idle === LOOKS_PER_TIME) idleSince = now;
        if (k.timers.next !== Infinity) k.timers.run(now);
        if (k.readyHead !== null) continue;
        if (now - idleSince < p.spinNs) continue;
      }
      idle = 0;
      busy = 0;
      this.runTimers();
      if (k.readyHead !== null) continue;
      p.prepareSleep(true);
      if (p.poll() > 0 || k.readyHead !== null || k.done) {
        p.prepareSleep(false);
        continue;
      }
      const next = k.timers.next;
      this.poller.wait(next === Infinity ? Infinity : Math.max(0, (next - monotonicNs()) / 1e6));
      p.prepareSleep(false);
    }
  }

  private runTimers(): void {
    if (this.k.timers.next !== Infinity) this.k.timers.run(monotonicNs());
  }

  private runReady(): number {
    const k = this.k;
    let n = 0;
    for (;;) {
      const t = k.dequeue();
      if (t === null) return n;
      n++;
      if (k.paused && k.isPaused(t)) {
        // Whoever wakes it again finds it queued.
        t.queued = true;
        k.held.push(t);
        continue;
      }
      try {
        this.ready(t);
      } catch (e) {
        this.bug(t, e);
      }
      k.current = null;
    }
  }

  /** A task was woken: takes its work up again. */
  private ready(t: Task): void {
    if (t.state !== TASK_BLOCKED) return;
    if (t.stage !== 0) {
      this.takeUp(t);
      return;
    }
    if (t.tg.stopped && t.ptrace === null) {
      t.state = TASK_STOPPED;
      return;
    }
    this.k.current = t;
    t.state = TASK_RUNNING;
    if (t.returning) {
      t.returning = false;
      this.toUser(t, false, 0);
    } else {
      t.clearWaits();
      t.rs.fresh = false;
      this.invoke(t);
    }
  }

  private stopped(c: Context): void {
    try {
      this.event(c);
    } catch (e) {
      this.bug(c.owner as Task, e);
      this.k.current = null;
    }
  }

  /** A context has stopped. */
  event(c: Context): void {
    const t = c.owner as Task | null;
    if (t === null || t.state === TASK_DEAD) return;
    const k = this.k;
    if (k.paused && c.event !== EVENT_GONE && k.isPaused(t)) {
      k.parked.push(t);
      return;
    }
    k.current = t;
    const e = c.event;
    if (e === EVENT_SYSCALL) {
      t.nr = c.takeCall(t.args);
      t.rs.reset();
      t.syscalls++;
      if (c.wantsPatch) offerSite(t, c);
      if (t.ptrace !== null) {
        // A tracer may change what arguments point at while the call stands at its entry.
        c.forgetFetched();
        t.mm.noteTraced(c);
      }
      if (t.ptrace === null || !stopAtEntry(t, false)) {
        if (t.seccomp === null || t.seccomp.allows(t.nr)) this.invoke(t);
        else this.judge(t, false);
      }
    } else if (e === EVENT_INTERRUPTED) {
      if (t.ptrace !== null) t.mm.noteTraced(c);
      this.toUser(t, false, 0);
    } else if (e === EVENT_RESTART) {
      if (c.wantsPatch) offerSite(t, c);
      if (t.ptrace !== null) t.mm.noteTraced(c);
      // What the thread waited for natively was not there yet, and something wants it.
      t.nr = c.takeCall(t.args);
      t.rs.reset();
      t.syscalls++;
      t.nativeCall = true;
      this.toUser(t, true, -restartOf(t));
    } else if (e === EVENT_FAULT) {
      this.fault(t, c);
    } else if (e === EVENT_GONE) {
      exitGroup(t.tg, SIGKILL);
    }
    k.current = null;
  }

  /** The task's filters have a say in the call. */
  private judge(t: Task, again: boolean): void {
    const r = judgeCall(t, again);
    if (r === CALL_ALLOWED) {
      this.invoke(t);
      return;
    }
    if (r === CALL_STOPPED) return;
    if (this.tracer !== null) this.tracer.enter(t);
    this.finish(t, r);
  }

  private invoke(t: Task): void {
    const h = this.table[t.nr];
    let r: number;
    if (this.tracer !== null) {
      if (t.rs.fresh) this.tracer.enter(t);
      else this.tracer.again(t);
    }
    if (h === undefined) {
      this.unknown(t, t.nr);
      r = -ENOSYS;
    } else {
      try {
        r = h(t);
      } catch (e) {
        r = this.bug(t, e);
      }
    }
    if (t.ptrace !== null && r !== TASK_EXITED && t.state !== TASK_DEAD && stopForEvent(t, r, r === BLOCKED)) return;
    if (r === BLOCKED) {
      if (this.tracer !== null) this.tracer.wait(t);
      t.state = TASK_BLOCKED;
      const c = t.ctx;
      if (c.delivering) c.flush();
      c.waits();
      const d = t.rs.deadline;
      if (d !== Infinity && !t.queued) this.k.timers.arm(t.timer, d);
      return;
    }
    this.finish(t, r);
  }

  /** The call has given `r`: back to guest code. */
  private finish(t: Task, r: number): void {
    if (this.tracer !== null) this.tracer.leave(t, r);
    if (r === TASK_EXITED || t.state === TASK_DEAD) return;
    t.clearWaits();
    // A call that succeeds puts its temporary mask back before signals are looked at; one that is interrupted after (set_user_sigmask).
    if (t.hasSavedMask && r !== -EINTR && (r > RESTART_LIMIT || r < RESTART_LOWEST)) {
      t.hasSavedMask = false;
      setMask(t, t.savedMaskLo, t.savedMaskHi);
    }
    if (t.ptrace !== null) {
      if (t.ctx.delivering) t.ctx.flush();
      if (r !== NO_RESULT) setRax(t, r);
      if (stopAtExit(t, r, r !== NO_RESULT)) return;
      this.toUser(t, r !== NO_RESULT, r);
      return;
    }
    if (r === NO_RESULT) {
      if (t.ctx.delivering) t.ctx.flush();
      this.toUser(t, false, 0);
      return;
    }
    if (!t.attention && !t.hasSavedMask && (r > RESTART_LIMIT || r < RESTART_LOWEST)) {
      t.ctx.resumeSyscall(r);
      return;
    }
    this.toUser(t, true, t.ctx.delivering && t.ctx.flush() < 0 ? -EFAULT : r);
  }

  /** Back to guest code with signals looked at. */
  private toUser(t: Task, inCall: boolean, r: number): void {
    if (!inCall && !t.attention && !t.hasSavedMask) {
      t.ctx.resumeFull();
      return;
    }
    const next = deliverSignals(t, inCall, r);
    if (next === GO_NOWHERE) return;
    if (next === GO_AGAIN) {
      if (t.ptrace !== null && stopAtEntry(t, true)) return;
      t.state = TASK_BLOCKED;
      this.k.enqueue(t);
      return;
    }
    t.ctx.resumeFull();
  }

  /** A tracee goes on where it was stopped (ptrace.ts). */
  private takeUp(t: Task): void {
    const stage = t.stage;
    const inCall = t.stageInCall;
    const r = t.stageResult;
    t.stage = 0;
    t.stageInCall = false;
    t.state = TASK_RUNNING;
    this.k.current = t;
    recalcAttention(t);
    if (stage === STAGE_DIE) {
      if (inCall) exitTask(t, r);
      else exitGroup(t.tg, r);
    } else if (stage === STAGE_LEAVE) {
      this.finish(t, r);
    } else if (stage === STAGE_USER) {
      const whole = inCall && resultUnchanged(t);
      if (t.regsSet && !whole) restartRestored(t);
      this.toUser(t, whole, r);
    } else {
      const entry = stage === STAGE_ENTRY || stage === STAGE_JUDGED;
      if (entry) takeTracedCall(t);
      else t.rs.fresh = false;
      // A tracer that takes the call's number away says itself what its result is.
      if (t.nr < 0) this.finish(t, NO_RESULT);
      else if (entry && t.seccomp !== null) this.judge(t, stage === STAGE_JUDGED);
      else this.invoke(t);
    }
  }

  private fault(t: Task, c: Context): void {
    const sig = c.faultSignal;
    if (sig !== SIGSEGV && sig !== SIGBUS && sig !== SIGFPE && sig !== SIGILL && sig !== SIGTRAP) {
      exitGroup(t.tg, SIGKILL);
      return;
    }
    const info = new SigInfo(sig, c.faultCode);
    info.addr = c.faultAddress;
    forceSignal(t, info);
    this.toUser(t, false, 0);
  }

  /** A handler threw: our own mistake. The task ends with a report; the sandbox goes on. */
  private bug(t: Task, e: unknown): number {
    const args: string[] = [];
    for (let i = 0; i < 6; i++) args.push(`0x${t.arg(i).toString(16)}`);
    this.k.log.error('bug in a system call handler: the process is ended', {
      call: this.nameOf(t.nr),
      args: args.join(', '),
      tid: t.pid.shown,
      name: t.name,
      rip: `0x${(t.ctx.regs[2 * REG_RIP + 1]! * 4294967296 + t.ctx.regs[2 * REG_RIP]!).toString(16)}`,
      stack: e instanceof Error ? e.stack : String(e),
    });
    exitGroup(t.tg, SIGSEGV);
    return TASK_EXITED;
  }

  /** Pauses a container: its guests are called back and stay where they are. */
  pause(container: string): void {
    const k = this.k;
    k.pausedContainers.add(container);
    k.paused = true;
    for (const t of k.tasks.values()) if (t.tg.container === container && t.state === TASK_RUNNING) t.ctx.interrupt();
  }

  /** Ends the pause: what happened meanwhile is taken up. */
  resume(container: string): void {
    const k = this.k;
    if (!k.pausedContainers.delete(container)) return;
    k.paused = k.pausedContainers.size > 0;
    for (const t of k.held.splice(0)) {
      if (t.tg.container === container) k.enqueue(t);
      else k.held.push(t);
    }
    for (const t of k.parked.splice(0)) {
      if (t.tg.container !== container) k.parked.push(t);
      else if (t.state !== TASK_DEAD) this.stopped(t.ctx);
    }
  }
}
