// Signals: dispositions, masks, sending, waiting (signal(7) and the pages it names).

import { CAP_KILL } from '../../abi/capability.ts';
import { EAGAIN, EFAULT, EINTR, EINVAL, ENOMEM, EPERM, ESRCH } from '../../abi/errno.ts';
import {
  SYS_kill,
  SYS_pause,
  SYS_rt_sigaction,
  SYS_rt_sigpending,
  SYS_rt_sigprocmask,
  SYS_rt_sigqueueinfo,
  SYS_rt_sigreturn,
  SYS_rt_sigsuspend,
  SYS_rt_sigtimedwait,
  SYS_rt_tgsigqueueinfo,
  SYS_sigaltstack,
  SYS_tgkill,
  SYS_tkill,
} from '../../abi/nr.ts';
import { RLIMIT_SIGPENDING } from '../../abi/resource.ts';
import {
  SIG_BLOCK,
  SIG_SETMASK,
  SIG_UNBLOCK,
  SIGCONT,
  SIGKILL,
  SIGSEGV,
  SIGSTOP,
  SS_AUTODISARM,
  SS_DISABLE,
  SS_ONSTACK,
} from '../../abi/signal.ts';
import { getI32, getU32, getU64, putU32, putU64 } from '../../base/bytes.ts';
import { monotonicNs } from '../../base/clock.ts';
import { ERESTARTNOHAND, NO_RESULT } from '../../base/result.ts';
import { REG_RSP } from '../../platform/platform.ts';
import { altStackState, encodeSigInfo, restoreFrame } from '../kernel/sigframe.ts';
import { SigInfo, sigHi, sigLo } from '../kernel/siginfo.ts';
import { dequeueSignal, forceSignal, recalcAttention, setMask, setTempMask, signalGroup, signalTask } from '../kernel/signals.ts';
import type { Task } from '../kernel/task.ts';
import type { ThreadGroup } from '../kernel/threadgroup.ts';
import { full, type Row } from './row.ts';

const FIRST_RT = 32;
const NSIG = 64;
/** The bytes of a siginfo_t that Linux reads: the rest is reserved. */
const SIGINFO_READ = 48;
const SET_SIZE = 8;
const SI_USER = 0;
const SI_TKILL = -6;
const SI_KERNEL = 0x80;
const ACTION_SIZE = 32;
const MINSTACK = 2048;

function userInfo(t: Task, sig: number, code: number): SigInfo {
  const info = SigInfo.take(sig, code);
  info.pid = t.tg.vtgid;
  info.uid = t.creds.ruid;
  return info;
}

/** A signal of `t` to the process `g`, or to its thread `o`. Who is in a pid namespace cannot tell who sends from above it. */
export function sendTo(t: Task, g: ThreadGroup, o: Task | null, info: SigInfo): void {
  const above = t.pid.in(g.pid.ns) === 0;
  if (above && info.code <= 0) info.pid = 0;
  if (o === null) signalGroup(g, info, above);
  else signalTask(o, info, above);
}

export function sys_rt_sigaction(t: Task): number {
  const sig = t.argI(0);
  if (t.arg(3) !== SET_SIZE || sig < 1 || sig > NSIG) return -EINVAL;
  const b = t.kernel.tmp;
  const a = t.tg.handlers.actions[sig]!;
  const act = t.arg(1);
  const old = t.arg(2);
  if (act !== 0 && (sig === SIGKILL || sig === SIGSTOP)) return -EINVAL;
  if (act !== 0 && t.copyIn(act, b, 64, ACTION_SIZE) < 0) return -EFAULT;
  if (old !== 0) {
    putU64(b, 0, a.handler);
    putU64(b, 8, a.flags >>> 0);
    putU64(b, 16, a.restorer);
    putU32(b, 24, a.maskLo);
    putU32(b, 28, a.maskHi);
    if (t.copyOut(old, b, 0, ACTION_SIZE) < 0) return -EFAULT;
  }
  if (act !== 0) {
    a.handler = getU64(b, 64);
    a.flags = getU32(b, 72);
    a.restorer = getU64(b, 80);
    a.maskLo = (getU32(b, 88) & ~(sigLo(SIGKILL) | sigLo(SIGSTOP))) >>> 0;
    a.maskHi = getU32(b, 92);
    // What is ignored now is no longer pending.
    if (t.tg.handlers.ignores(sig)) {
      t.tg.pending.discard(sigLo(sig), sigHi(sig));
      for (const o of t.tg.tasks) {
        o.pending.discard(sigLo(sig), sigHi(sig));
        recalcAttention(o);
      }
    }
  }
  return 0;
}

export function sys_rt_sigprocmask(t: Task): number {
  if (t.arg(3) !== SET_SIZE) return -EINVAL;
  const b = t.kernel.tmp;
  const oldLo = t.maskLo;
  const oldHi = t.maskHi;
  if (t.arg(1) !== 0) {
    if (t.copyIn(t.arg(1), b, 0, 8) < 0) return -EFAULT;
    const lo = getU32(b, 0);
    const hi = getU32(b, 4);
    const how = t.argI(0);
    if (how === SIG_BLOCK) setMask(t, oldLo | lo, oldHi | hi);
    else if (how === SIG_UNBLOCK) setMask(t, oldLo & ~lo, oldHi & ~hi);
    else if (how === SIG_SETMASK) setMask(t, lo, hi);
    else return -EINVAL;
  }
  if (t.arg(2) === 0) return 0;
  putU32(b, 0, oldLo);
  putU32(b, 4, oldHi);
  return t.copyOut(t.arg(2), b, 0, 8);
}

export function sys_rt_sigpending(t: Task): number {
  if (t.arg(1) > SET_SIZE) return -EINVAL;
  const b = t.kernel.tmp;
  putU32(b, 0, (t.pending.lo | t.tg.pending.lo) & t.maskLo);
  putU32(b, 4, (t.pending.hi | t.tg.pending.hi) & t.maskHi);
  return t.copyOut(t.arg(0), b, 0, t.arg(1));
}

export function sys_rt_sigsuspend(t: Task): number {
  if (t.arg(1) !== SET_SIZE) return -EINVAL;
  if (t.rs.fresh) {
    const b = t.kernel.tmp;
    if (t.copyIn(t.arg(0), b, 0, 8) < 0) return -EFAULT;
    setTempMask(t, getU32(b, 0), getU32(b, 4));
  }
  return t.block(ERESTARTNOHAND);
}

export function sys_pause(t: Task): number {
  return t.block(ERESTARTNOHAND);
}

export function sys_rt_sigtimedwait(t: Task): number {
  if (t.arg(3) !== SET_SIZE) return -EINVAL;
  const b = t.kernel.tmp;
  if (t.rs.fresh) {
    if (t.copyIn(t.arg(0), b, 0, 8) < 0) return -EFAULT;
    const lo = (getU32(b, 0) & ~(sigLo(SIGKILL) | sigLo(SIGSTOP))) >>> 0;
    t.rs.a = lo;
    t.rs.b = getU32(b, 4);
    if (t.arg(2) !== 0) {
      if (t.copyIn(t.arg(2), b, 0, 16) < 0) return -EFAULT;
      const sec = getU64(b, 0);
      const nsec = getU64(b, 8);
      if (sec >= 2 ** 62 || nsec >= 1e9) return -EINVAL;
      t.setDeadline(monotonicNs() + sec * 1e9 + nsec);
    }
  }
  const info = dequeueSignal(t, t.rs.a, t.rs.b);
  if (info !== null) {
    t.waitSetLo = 0;
    t.waitSetHi = 0;
    const sig = info.signo;
    if (t.arg(1) !== 0) encodeSigInfo(info, b, 0);
    info.release();
    return t.arg(1) !== 0 && t.copyOut(t.arg(1), b, 0, 128) < 0 ? -EFAULT : sig;
  }
  if (t.expired()) {
    t.waitSetLo = 0;
    t.waitSetHi = 0;
    return -EAGAIN;
  }
  // Signals of the set wake the wait although they are blocked.
  t.waitSetLo = t.rs.a;
  t.waitSetHi = t.rs.b;
  recalcAttention(t);
  const r = t.waitOn(t.signalQueue, -1, EINTR);
  if (r === -EINTR) {
    t.waitSetLo = 0;
    t.waitSetHi = 0;
  }
  return r;
}

export function sys_sigaltstack(t: Task): number {
  const b = t.kernel.tmp;
  const sp = t.ctx.regs[2 * REG_RSP + 1]! * 4294967296 + t.ctx.regs[2 * REG_RSP]!;
  const state = altStackState(t, sp);
  const oldSp = t.altStack;
  const oldSize = t.altStackSize;
  const oldFlags = oldSize === 0 ? SS_DISABLE : state | (t.altStackFlags & SS_AUTODISARM);
  if (t.arg(0) !== 0) {
    if (t.copyIn(t.arg(0), b, 0, 24) < 0) return -EFAULT;
    if (state === SS_ONSTACK) return -EPERM;
    const flags = getI32(b, 8);
    const mode = flags & ~SS_AUTODISARM;
    if (mode !== 0 && mode !== SS_ONSTACK && mode !== SS_DISABLE) return -EINVAL;
    if (mode === SS_DISABLE) {
      t.altStack = 0;
      t.altStackSize = 0;
      t.altStackFlags = SS_DISABLE;
    } else {
      const size = getU64(b, 16);
      if (size < MINSTACK) return -ENOMEM;
      t.altStack = getU64(b, 0);
      t.altStackSize = size;
      t.altStackFlags = flags & SS_AUTODISARM;
    }
  }
  if (t.arg(1) === 0) return 0;
  putU64(b, 0, oldSp);
  putU64(b, 8, oldFlags >>> 0);
  putU64(b, 16, oldSize);
  return t.copyOut(t.arg(1), b, 0, 24);
}

const restored = { maskLo: 0, maskHi: 0 };

export function sys_rt_sigreturn(t: Task): number {
  if (restoreFrame(t, restored) < 0) {
    forceSignal(t, new SigInfo(SIGSEGV, SI_KERNEL));
    return NO_RESULT;
  }
  setMask(t, restored.maskLo, restored.maskHi);
  return NO_RESULT;
}

/** True if `t` may send `sig` to `g` (kill(2)). */
export function mayKill(t: Task, g: ThreadGroup, sig: number): boolean {
  const c = t.creds;
  const o = g.leader.creds;
  if (g === t.tg || c.has(CAP_KILL)) return true;
  if (sig === SIGCONT && g.session === t.tg.session) return true;
  return c.euid === o.suid || c.euid === o.ruid || c.ruid === o.suid || c.ruid === o.ruid;
}

export function sys_kill(t: Task): number {
  const pid = t.argI(0);
  const sig = t.argI(1);
  if (sig < 0 || sig > NSIG) return -EINVAL;
  if (pid > 0) {
    const p = t.pidns.ids.get(pid);
    const g = p === undefined ? null : (p.group ?? p.task?.tg ?? null);
    if (g === null || g.reaped) return -ESRCH;
    if (!mayKill(t, g, sig)) return -EPERM;
    if (sig !== 0) sendTo(t, g, null, userInfo(t, sig, SI_USER));
    return 0;
  }
  if (pid === -2147483648) return -ESRCH;
  let seen = 0;
  let sent = 0;
  for (const g of pid === -1 ? t.pidns.groups() : [...((pid === 0 ? t.tg.pgrp : t.pidns.pgrp(-pid))?.members ?? [])]) {
    if (g.reaped || (pid === -1 && (g === t.tg || g.pid.in(t.pidns) === 1))) continue;
    seen++;
    if (!mayKill(t, g, sig)) continue;
    sent++;
    if (sig !== 0) sendTo(t, g, null, userInfo(t, sig, SI_USER));
  }
  return sent > 0 ? 0 : seen > 0 ? -EPERM : -ESRCH;
}

function killThread(t: Task, tgid: number, tid: number, sig: number, info: SigInfo | null): number {
  if (tid <= 0 || tgid === 0 || tgid < -1) return -EINVAL;
  const o = t.pidns.task(tid);
  if (o === null || (tgid !== -1 && o.tg.pid.in(t.pidns) !== tgid)) return -ESRCH;
  if (sig < 0 || sig > NSIG) return -EINVAL;
  if (!mayKill(t, o.tg, sig)) return -EPERM;
  if (sig !== 0) sendTo(t, o.tg, o, info ?? userInfo(t, sig, SI_TKILL));
  return 0;
}

export function sys_tgkill(t: Task): number {
  if (t.argI(0) <= 0) return -EINVAL;
  return killThread(t, t.argI(0), t.argI(1), t.argI(2), null);
}

export function sys_tkill(t: Task): number {
  return killThread(t, -1, t.argI(0), t.argI(1), null);
}

/** A siginfo_t that the guest made up: only codes below zero are its to give, unless it sends to itself. */
function readInfo(t: Task, addr: number, sig: number, self: boolean): SigInfo | number {
  const b = t.kernel.tmp;
  if (t.copyIn(addr, b, 0, SIGINFO_READ) < 0) return -EFAULT;
  const code = getI32(b, 8);
  if ((code >= 0 || code === SI_TKILL) && !self) return -EPERM;
  const info = new SigInfo(sig, code);
  info.errno = getI32(b, 4);
  info.pid = getI32(b, 16);
  info.uid = getU32(b, 20);
  info.valueLo = getU32(b, 24);
  info.valueHi = getU32(b, 28);
  return info;
}

/** True if a real-time signal with data finds RLIMIT_SIGPENDING used up by the signals that wait for the user's processes. */
function queueFull(g: ThreadGroup, sig: number): boolean {
  const limit = g.limitSoft[RLIMIT_SIGPENDING]!;
  if (sig < FIRST_RT || limit === Infinity) return false;
  const uid = g.leader.creds.ruid;
  let n = 0;
  g.kernel.forEachGroup((o) => {
    if (o.zombie || o.leader.creds.ruid !== uid) return;
    n += o.pending.queued;
    for (const t of o.tasks) n += t.pending.queued;
  });
  return n >= limit;
}

export function sys_rt_sigqueueinfo(t: Task): number {
  const pid = t.argI(0);
  const sig = t.argI(1);
  const info = readInfo(t, t.arg(2), sig, pid === t.vtid);
  if (typeof info === 'number') return info;
  if (sig < 0 || sig > NSIG) return -EINVAL;
  const g = t.pidns.group(pid);
  if (g === null) return -ESRCH;
  if (!mayKill(t, g, sig)) return -EPERM;
  if (queueFull(g, sig)) return -EAGAIN;
  if (sig !== 0) sendTo(t, g, null, info);
  return 0;
}

export function sys_rt_tgsigqueueinfo(t: Task): number {
  const sig = t.argI(2);
  const info = readInfo(t, t.arg(3), sig, t.argI(1) === t.vtid);
  if (typeof info === 'number') return info;
  if (t.argI(0) <= 0) return -EINVAL;
  const o = t.pidns.task(t.argI(1));
  if (o !== null && queueFull(o.tg, sig)) return -EAGAIN;
  return killThread(t, t.argI(0), t.argI(1), sig, info);
}

export const rows: readonly Row[] = [
  full(SYS_rt_sigaction, 'rt_sigaction', sys_rt_sigaction, 'signal', 'ptr', 'ptr', 'size'),
  full(SYS_rt_sigprocmask, 'rt_sigprocmask', sys_rt_sigprocmask, 'int', 'ptr', 'ptr', 'size'),
  full(SYS_rt_sigreturn, 'rt_sigreturn', sys_rt_sigreturn),
  full(SYS_pause, 'pause', sys_pause),
  full(SYS_kill, 'kill', sys_kill, 'int', 'signal'),
  full(SYS_rt_sigpending, 'rt_sigpending', sys_rt_sigpending, 'ptr', 'size'),
  full(SYS_rt_sigtimedwait, 'rt_sigtimedwait', sys_rt_sigtimedwait, 'ptr', 'ptr', 'ptr', 'size'),
  full(SYS_rt_sigqueueinfo, 'rt_sigqueueinfo', sys_rt_sigqueueinfo, 'int', 'signal', 'ptr'),
  full(SYS_rt_sigsuspend, 'rt_sigsuspend', sys_rt_sigsuspend, 'ptr', 'size'),
  full(SYS_sigaltstack, 'sigaltstack', sys_sigaltstack, 'ptr', 'ptr'),
  full(SYS_tkill, 'tkill', sys_tkill, 'int', 'signal'),
  full(SYS_tgkill, 'tgkill', sys_tgkill, 'int', 'int', 'signal'),
  full(SYS_rt_tgsigqueueinfo, 'rt_tgsigqueueinfo', sys_rt_tgsigqueueinfo, 'int', 'int', 'signal', 'ptr'),
];
