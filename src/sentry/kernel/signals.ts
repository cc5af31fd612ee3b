// Sending signals, job control stops, and the choice of what a task does with a signal before it returns to guest code (signal(7),
// kernel/signal.c).

import { EINTR } from '../../abi/errno.ts';
import { PTRACE_EVENT_EXIT } from '../../abi/ptrace.ts';
import {
  CLD_CONTINUED,
  CLD_STOPPED,
  SA_NOCLDSTOP,
  SA_NODEFER,
  SA_RESETHAND,
  SA_RESTART,
  SIGCHLD,
  SIGCONT,
  SIGKILL,
  SIGSEGV,
  SIGSTOP,
  SIGTSTP,
  SIGTTIN,
  SIGTTOU,
} from '../../abi/signal.ts';
import { ERESTART_RESTARTBLOCK, ERESTARTNOHAND, ERESTARTNOINTR, ERESTARTSYS } from '../../base/result.ts';
import { EVENT_NONE, REG_ORIG_RAX, REG_RAX, REG_RIP } from '../../platform/platform.ts';
import { exitGroup } from './exit.ts';
import type { Kernel } from './kernel.ts';
import { continued, stopForGroup, stopForSignal, stopToDie } from './ptrace.ts';
import type { ProcessGroup } from './session.ts';
import { buildFrame } from './sigframe.ts';
import { SigInfo, STOP_SIGNALS_LO, sigHi, sigIn, sigLo, UNBLOCKABLE_LO } from './siginfo.ts';
import { TASK_BLOCKED, TASK_DEAD, TASK_RUNNING, TASK_STOPPED, type Task } from './task.ts';
import type { ThreadGroup } from './threadgroup.ts';

const SIGCONT_LO = sigLo(SIGCONT);

function stops(sig: number): boolean {
  return sig === SIGSTOP || sig === SIGTSTP || sig === SIGTTIN || sig === SIGTTOU;
}

/** Brings `attention` up to date after a change of masks or pending signals. */
export function recalcAttention(t: Task): void {
  const g = t.tg;
  const lo = (t.pending.lo | g.pending.lo) & ~t.maskLo;
  const hi = (t.pending.hi | g.pending.hi) & ~t.maskHi;
  const p = t.ptrace;
  t.attention = (lo | hi) !== 0 || t.injected !== null || (p === null ? g.stopped : p.trap || (g.stopped && !p.passStop));
}

/** Makes a task look at its signals soon: wakes it from its wait, or calls it back from guest code. */
function call(t: Task): void {
  t.attention = true;
  if (t.state === TASK_BLOCKED) t.wake();
  else if (t.state === TASK_RUNNING && t.kernel.current !== t && t.ctx.event === EVENT_NONE) t.ctx.interrupt();
}

function wants(t: Task, sig: number): boolean {
  return t.state !== TASK_DEAD && (!sigIn(t.maskLo, t.maskHi, sig) || sigIn(t.waitSetLo, t.waitSetHi, sig));
}

/** The first process of a pid namespace has no default actions: only SIGKILL and SIGSTOP from outside it (`forced`) reach it then. */
function shielded(g: ThreadGroup, sig: number, forced: boolean): boolean {
  return g.unkillable && g.handlers.actions[sig]!.handler === 0 && !(forced && (sig === SIGKILL || sig === SIGSTOP));
}

/** True if the signal vanishes at once: ignored and not blocked by anyone who could take it later. */
function vanishes(g: ThreadGroup, t: Task | null, sig: number, forced: boolean): boolean {
  if (!shielded(g, sig, forced) && !g.handlers.ignores(sig)) return false;
  const target = t ?? g.leader;
  // A tracer sees it all the same.
  if (target.ptrace !== null && sig !== SIGKILL) return false;
  return !sigIn(target.maskLo, target.maskHi, sig) && !sigIn(target.waitSetLo, target.waitSetHi, sig);
}

function fatalNow(g: ThreadGroup, sig: number): boolean {
  if (sig === SIGKILL) return true;
  return g.handlers.actions[sig]!.handler === 0 && !g.unkillable && !stops(sig) && !g.handlers.ignores(sig);
}

/** What SIGCONT and stop signals do on arrival, whatever becomes of them: they cancel each other, and SIGCONT continues. */
function prepare(g: ThreadGroup, sig: number): void {
  if (sig === SIGCONT) {
    g.pending.discard(STOP_SIGNALS_LO, 0);
    for (const t of g.tasks) t.pending.discard(STOP_SIGNALS_LO, 0);
    if (g.stopped) continueGroup(g);
  } else if (stops(sig)) {
    g.pending.discard(SIGCONT_LO, 0);
    for (const t of g.tasks) t.pending.discard(SIGCONT_LO, 0);
  }
}

/** Sends to one thread (tgkill, faults, timers with SIGEV_THREAD_ID). `forced`: from outside its pid namespace. */
export function signalTask(t: Task, info: SigInfo, forced = false): void {
  const g = t.tg;
  if (t.state === TASK_DEAD || g.exiting) return;
  prepare(g, info.signo);
  if (vanishes(g, t, info.signo, forced)) return;
  if (!t.pending.add(info)) return;
  t.signalQueue.notify(-1);
  if (wants(t, info.signo)) arrive(t, g, info.signo);
}

/** Sends to a process: the first thread that does not block it takes it. `forced`: from outside its pid namespace. */
export function signalGroup(g: ThreadGroup, info: SigInfo, forced = false): void {
  if (g.zombie || g.exiting) return;
  prepare(g, info.signo);
  if (vanishes(g, null, info.signo, forced)) return;
  if (!g.pending.add(info)) return;
  for (const t of g.tasks) t.signalQueue.notify(-1);
  let target: Task | null = g.leader.state !== TASK_DEAD && wants(g.leader, info.signo) ? g.leader : null;
  if (target === null) {
    for (const t of g.tasks) {
      if (!wants(t, info.signo)) continue;
      target = t;
      if (t.state === TASK_BLOCKED) break;
    }
  }
  if (target !== null) arrive(target, g, info.signo);
}

function arrive(t: Task, g: ThreadGroup, sig: number): void {
  // Death needs no cooperation of the guest; but never under the feet of the task that is being worked on.
  if (fatalNow(g, sig) && (t.ptrace === null || sig === SIGKILL) && g.kernel.current?.tg !== g && !sigIn(t.maskLo, t.maskHi, sig)) {
    exitGroup(g, sig);
    return;
  }
  if (t.state === TASK_STOPPED && sig !== SIGKILL) {
    t.attention = true;
    return;
  }
  call(t);
}

/** Sends to every member of a process group. */
export function signalPgrp(p: ProcessGroup, make: () => SigInfo): number {
  let n = 0;
  for (const g of [...p.members]) {
    if (g.zombie) continue;
    signalGroup(g, make());
    n++;
  }
  return n;
}

/** A signal that the task itself caused (a fault): it cannot be blocked or ignored (force_sig_info). */
export function forceSignal(t: Task, info: SigInfo): void {
  const a = t.tg.handlers.actions[info.signo]!;
  const blocked = sigIn(t.maskLo, t.maskHi, info.signo);
  if (blocked || a.handler === 1) {
    a.handler = 0;
    t.maskLo = (t.maskLo & ~sigLo(info.signo)) >>> 0;
    t.maskHi = (t.maskHi & ~sigHi(info.signo)) >>> 0;
  }
  // Even the first process of a pid namespace dies of its own fault.
  if (a.handler === 0 && t.ptrace === null) t.tg.unkillable = false;
  t.pending.takeSignal(info.signo);
  t.pending.add(info);
  t.attention = true;
}

/** rt_sigprocmask and kin: sets the blocked set. */
export function setMask(t: Task, lo: number, hi: number): void {
  t.maskLo = (lo & ~UNBLOCKABLE_LO) >>> 0;
  t.maskHi = hi >>> 0;
  recalcAttention(t);
}

/** For ppoll, pselect, epoll_pwait, sigsuspend: a mask for the length of the call. Idempotent over re-invocations. */
export function setTempMask(t: Task, lo: number, hi: number): void {
  if (t.hasSavedMask) return;
  t.savedMaskLo = t.maskLo;
  t.savedMaskHi = t.maskHi;
  t.hasSavedMask = true;
  setMask(t, lo, hi);
}

/** The next signal of the set that waits for this task, taken out (sigtimedwait, signalfd); null: none. */
export function dequeueSignal(t: Task, setLo: number, setHi: number): SigInfo | null {
  const info = t.pending.take(setLo, setHi) ?? t.tg.pending.take(setLo, setHi);
  if (info !== null) recalcAttention(t);
  return info;
}

function tellParent(g: ThreadGroup, code: number, status: number): void {
  const p = g.parent;
  if (p === null) return;
  if ((p.handlers.actions[SIGCHLD]!.flags & SA_NOCLDSTOP) === 0) {
    const info = new SigInfo(SIGCHLD, code);
    info.pid = g.pid.in(p.pid.ns);
    info.uid = g.leader.creds.ruid;
    info.status = status;
    signalGroup(p, info);
  }
  p.childQueue.notify(-1);
}

/** Job control: all tasks of the group rest until SIGCONT. */
function stopGroup(g: ThreadGroup, sig: number): void {
  g.stopped = true;
  g.stopSignal = sig;
  g.stopReported = false;
  g.continuedPending = false;
  for (const t of g.tasks) {
    if (t.ptrace !== null) t.ptrace.passStop = false;
    if (t.state === TASK_RUNNING || t.ptrace !== null) call(t);
  }
  tellParent(g, CLD_STOPPED, sig);
  g.kernel.stopHook?.(g, sig);
}

function continueGroup(g: ThreadGroup): void {
  g.stopped = false;
  g.stopReported = true;
  g.continuedPending = true;
  for (const t of g.tasks) {
    if (t.ptrace !== null) continued(t);
    recalcAttention(t);
    if (t.state !== TASK_STOPPED) continue;
    t.state = TASK_BLOCKED;
    g.kernel.enqueue(t);
  }
  tellParent(g, CLD_CONTINUED, SIGCONT);
}

/** What the loop does next with a task whose signals were looked at. */
export const GO_USER = 0; // return to guest code
export const GO_AGAIN = 1; // no handler ran: invoke the interrupted call again
export const GO_NOWHERE = 2; // stopped or dead

function restarts(code: number): boolean {
  return code === ERESTARTSYS || code === ERESTARTNOINTR || code === ERESTARTNOHAND || code === ERESTART_RESTARTBLOCK;
}

/** Puts a system call's result into rax. */
export function setRax(t: Task, v: number): void {
  t.ctx.regs[2 * REG_RAX] = v;
  t.ctx.regs[2 * REG_RAX + 1] = Math.floor(v / 4294967296);
}

/** Steps rip back over the two bytes of `syscall`, so that the guest makes the call again after its handler. */
function rewind(t: Task, nr: number): void {
  const r = t.ctx.regs;
  const lo = r[2 * REG_RIP]!;
  if (lo < 2) r[2 * REG_RIP + 1] = r[2 * REG_RIP + 1]! - 1;
  r[2 * REG_RIP] = lo - 2;
  setRax(t, nr);
}

/** Registers that a tracer put back may be those of an interrupted call: then the guest makes it again. */
export function restartRestored(t: Task): void {
  const r = t.ctx.regs;
  if (r[2 * REG_RAX + 1] !== 0xffffffff || (r[2 * REG_ORIG_RAX]! | 0) === -1) return;
  if (restarts(-(r[2 * REG_RAX]! | 0))) rewind(t, r[2 * REG_ORIG_RAX]!);
}

/**
 * Takes all signals that are due before the task returns to guest code. `result` is what its call gave (a restart code is negative) when
 * `inCall`; the registers are ready for resumeFull when this answers GO_USER.
 */
export function deliverSignals(t: Task, inCall: boolean, result: number): number {
  const g = t.tg;
  const p = t.ptrace;
  let restart = inCall && restarts(-result);
  const native = restart && t.nativeCall;
  t.nativeCall = false;
  let framed = false;
  if (inCall && !restart) setRax(t, result);
  if (native && p !== null) {
    rewind(t, t.nr);
    restart = false;
  }
  for (;;) {
    if (p !== null && (p.trap || (g.stopped && !p.passStop))) {
      if (restart && !framed) setRax(t, result);
      stopForGroup(t, restart && !framed, result);
      return GO_NOWHERE;
    }
    if (g.stopped && p === null) {
      t.state = TASK_STOPPED;
      if (native && !framed) rewind(t, t.nr);
      t.returning = native || !(restart && !framed);
      return GO_NOWHERE;
    }
    let info = t.injected;
    if (info !== null) {
      t.injected = null;
      if (sigIn(t.maskLo, t.maskHi, info.signo)) {
        t.pending.add(info);
        continue;
      }
    } else {
      info = t.pending.take(~t.maskLo, ~t.maskHi) ?? g.pending.take(~t.maskLo, ~t.maskHi);
      if (p !== null && info !== null && info.signo !== SIGKILL) {
        if (restart && !framed) setRax(t, result);
        stopForSignal(t, info, restart && !framed, result);
        return GO_NOWHERE;
      }
    }
    if (info === null) {
      if (t.hasSavedMask && !framed && !restart) {
        t.hasSavedMask = false;
        setMask(t, t.savedMaskLo, t.savedMaskHi);
        if (t.attention) continue;
      }
      break;
    }
    const sig = info.signo;
    const a = g.handlers.actions[sig]!;
    if (a.handler === 1) continue;
    if (a.handler === 0) {
      if (g.handlers.ignores(sig)) continue;
      // What it had blocked, and what a tracer lets through.
      if (g.unkillable && sig !== SIGKILL && sig !== SIGSTOP) continue;
      if (stops(sig)) {
        if (sig !== SIGSTOP && g.pgrp.orphaned()) continue;
        stopGroup(g, sig);
        continue;
      }
      if (p === null || !stopToDie(t, sig, PTRACE_EVENT_EXIT, false)) exitGroup(g, sig);
      return GO_NOWHERE;
    }
    if (restart && !framed) {
      const code = -result;
      if (code === ERESTARTNOINTR || (code === ERESTARTSYS && (a.flags & SA_RESTART) !== 0)) rewind(t, t.nr);
      else setRax(t, -EINTR);
    }
    const maskLo = t.hasSavedMask ? t.savedMaskLo : t.maskLo;
    const maskHi = t.hasSavedMask ? t.savedMaskHi : t.maskHi;
    t.hasSavedMask = false;
    if (buildFrame(t, info, a, maskLo, maskHi) < 0) {
      // No room for the frame: SIGSEGV that cannot be caught (signal_setup_done).
      exitGroup(g, SIGSEGV);
      return GO_NOWHERE;
    }
    framed = true;
    // A tracer may still ask for it.
    if (p === null) info.release();
    let lo = (t.maskLo | a.maskLo) >>> 0;
    let hi = (t.maskHi | a.maskHi) >>> 0;
    if ((a.flags & SA_NODEFER) === 0) {
      lo = (lo | sigLo(sig)) >>> 0;
      hi = (hi | sigHi(sig)) >>> 0;
    }
    if ((a.flags & SA_RESETHAND) !== 0) a.handler = 0;
    setMask(t, lo, hi);
  }
  recalcAttention(t);
  if (!restart || framed) return GO_USER;
  if (!native) return GO_AGAIN;
  rewind(t, t.nr);
  return GO_USER;
}

/** Puts the senders where file systems and timers find them. */
export function installSignals(k: Kernel): void {
  k.signalTask = signalTask;
  k.signalGroup = signalGroup;
}
