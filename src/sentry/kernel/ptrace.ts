// Tracing of tasks by other processes (ptrace(2)): what a tracee remembers, its stops, and how it goes on.
//
// No stack stands behind a stopped task, so each stop names the stage at which the loop takes the task up again (Task.stage).
// The tracer is a process: any of its threads may wait for and command its tracees (Linux binds them to one thread).

import { CAP_SYS_PTRACE } from '../../abi/capability.ts';
import { EPERM } from '../../abi/errno.ts';
import { PROT_READ, PROT_WRITE } from '../../abi/mman.ts';
import { SYS_mprotect } from '../../abi/nr.ts';
import {
  PTRACE_EVENT_CLONE,
  PTRACE_EVENT_EXEC,
  PTRACE_EVENT_FORK,
  PTRACE_EVENT_STOP,
  PTRACE_EVENT_VFORK,
  PTRACE_O_EXITKILL,
  PTRACE_O_TRACESYSGOOD,
} from '../../abi/ptrace.ts';
import { CLONE_PTRACE, CLONE_VFORK } from '../../abi/sched.ts';
import { CLD_TRAPPED, SA_NOCLDSTOP, SIGCHLD, SIGKILL, SIGSTOP, SIGTRAP } from '../../abi/signal.ts';
import { EVENT_NONE, REG_EFLAGS, REG_ORIG_RAX, REG_RAX } from '../../platform/platform.ts';
import { PAGE, pageDown } from '../mm/memory.ts';
import type { Pid } from './pidns.ts';
import { SigInfo } from './siginfo.ts';
import { TASK_BLOCKED, TASK_DEAD, TASK_RUNNING, TASK_STOPPED, TASK_TRACED, type Task } from './task.ts';
import type { ThreadGroup } from './threadgroup.ts';

// Task.stage: where the loop goes on with a task that leaves a stop.
/** The call's number and arguments are read from the registers and the call begins. */
export const STAGE_ENTRY = 1;
/** The call's handler is invoked again. */
export const STAGE_AGAIN = 2;
/** The call has given stageResult; it is on its way out. */
export const STAGE_LEAVE = 3;
/** Back to guest code; with stageInCall the call's result (in rax too) was stageResult. */
export const STAGE_USER = 4;
/** As STAGE_ENTRY, but filters have judged the call (seccomp.ts) and the tracer was asked. */
export const STAGE_JUDGED = 6;
/** The process, or with stageInCall the thread, ends with status stageResult. */
export const STAGE_DIE = 5;

// How a tracee was let go.
export const MODE_CONT = 0;
export const MODE_SYSCALL = 1;

const SI_USER = 0;
const TRAP_FLAG = 0x100;
const ENOSYS_LOW = 0xffffffda;

/** What a tracee remembers of its tracing. */
export class Ptrace {
  readonly tracer: ThreadGroup;
  /** PTRACE_SEIZE, not PTRACE_ATTACH or TRACEME. */
  readonly seized: boolean;
  options: number;
  mode = MODE_CONT;
  stepping = false;
  /** A stop has been asked for that no signal stands for (PTRACE_INTERRUPT, SIGCONT after a group stop). */
  trap = false;
  /** It was let go although its group is stopped. */
  passStop = false;
  /** PTRACE_LISTEN. */
  listening = false;

  /** The stop: wait(2)'s status is code << 8 | 0x7f. */
  code = 0;
  reported = true;
  /** 1 at a system call's entry, 2 at its exit, 3 where a filter asks (PTRACE_SYSCALL_INFO_*). */
  syscall = 0;
  /** At a signal-delivery stop the signal that waits for the tracer's decision. */
  signal = false;
  /** PTRACE_GETSIGINFO; null: group stop. */
  info: SigInfo | null = null;
  /** PTRACE_EVENT_* to be reported when the handler has returned, with its message. */
  event = 0;
  message = 0;
  /** PTRACE_EVENT_EXIT has been reported. */
  exitSeen = false;
  /** The tracer wrote registers. */
  regsSet = false;

  constructor(tracer: ThreadGroup, seized: boolean, options: number) {
    this.tracer = tracer;
    this.seized = seized;
    this.options = options;
  }
}

/** A tracee that has ended and waits to be waited for by its tracer. `group`: it was a leader, and its process is a zombie. */
export interface TracedEnd {
  pid: Pid;
  uid: number;
  status: number;
  group: ThreadGroup | null;
}

/** Makes `tracer` the tracer of `t`. */
export function attach(t: Task, tracer: ThreadGroup, seized: boolean, options: number): Ptrace {
  const p = new Ptrace(tracer, seized, options);
  t.ptrace = p;
  if (tracer.tracees === null) tracer.tracees = new Set();
  tracer.tracees.add(t);
  return p;
}

/** Ends the tracing without letting the task go. */
export function unlink(t: Task): void {
  t.ptrace?.tracer.tracees?.delete(t);
  t.ptrace = null;
}

/** May `by` look into and change `t` as its tracer (PTRACE_MODE_ATTACH_REALCREDS)? 0 or -EPERM. */
export function mayPtrace(by: Task, t: Task): number {
  if (by.tg === t.tg || by.creds.has(CAP_SYS_PTRACE)) return 0;
  const a = by.creds;
  const b = t.creds;
  const users = a.ruid === b.euid && a.ruid === b.suid && a.ruid === b.ruid;
  const groups = a.rgid === b.egid && a.rgid === b.sgid && a.rgid === b.rgid;
  if (!users || !groups || t.mm.dumpable !== 1) return -EPERM;
  const more = (b.permitted.lo & ~a.permitted.lo) | (b.permitted.hi & ~a.permitted.hi);
  return more !== 0 ? -EPERM : 0;
}

/** True if the task's tracer could not have gained what a set-user-ID program would give (LSM_UNSAFE_PTRACE). */
export function tracedByLesser(t: Task): boolean {
  return t.ptrace !== null && !t.ptrace.tracer.leader.creds.has(CAP_SYS_PTRACE);
}

function tellTracer(t: Task, p: Ptrace): void {
  const g = p.tracer;
  if ((g.handlers.actions[SIGCHLD]!.flags & SA_NOCLDSTOP) === 0) {
    const info = new SigInfo(SIGCHLD, CLD_TRAPPED);
    info.pid = t.pid.in(g.pid.ns);
    info.uid = t.creds.ruid;
    info.status = p.code & 0x7f;
    t.kernel.signalGroup(g, info);
  }
  g.childQueue.notify(-1);
}

/** Stops the task for its tracer. The caller has set t.stage. */
function stop(t: Task, p: Ptrace, code: number, info: SigInfo | null): void {
  p.code = code;
  p.info = info;
  p.reported = false;
  p.trap = false;
  p.listening = false;
  p.regsSet = false;
  if (p.stepping) {
    p.stepping = false;
    t.ctx.regs[2 * REG_EFLAGS] = (t.ctx.regs[2 * REG_EFLAGS]! & ~TRAP_FLAG) >>> 0;
  }
  t.state = TASK_TRACED;
  tellTracer(t, p);
}

/** A siginfo as the kernel makes it for stops that no signal causes: the tracee tells of itself. */
function ownInfo(t: Task, signo: number, code: number): SigInfo {
  const info = new SigInfo(signo, code);
  info.pid = t.vtid;
  info.uid = t.creds.ruid;
  // SIGTRAP with a positive code is encoded with an address, in whose place these stand.
  info.addr = t.vtid + t.creds.ruid * 4294967296;
  return info;
}

/** Puts the registers as a tracer sees them at a call's beginning. */
function showCall(t: Task): void {
  const r = t.ctx.regs;
  r[2 * REG_ORIG_RAX] = t.nr;
  r[2 * REG_ORIG_RAX + 1] = t.nr < 0 ? 0xffffffff : 0;
  r[2 * REG_RAX] = ENOSYS_LOW;
  r[2 * REG_RAX + 1] = 0xffffffff;
}

/** A filter wants the tracer to decide about the call (SECCOMP_RET_TRACE); `value` is the filter's word for it. */
export function stopForSeccomp(t: Task, p: Ptrace, event: number, value: number): void {
  showCall(t);
  t.stage = STAGE_JUDGED;
  p.message = value;
  p.signal = false;
  p.syscall = 3;
  const code = SIGTRAP | (event << 8);
  stop(t, p, code, ownInfo(t, SIGTRAP, code));
}

/** At a call's beginning: stops if the tracer wants to see calls. True if it stopped. `again`: the call goes on after an interruption. */
export function stopAtEntry(t: Task, again: boolean): boolean {
  const p = t.ptrace!;
  if (p.mode !== MODE_SYSCALL) return false;
  showCall(t);
  t.stage = again ? STAGE_AGAIN : STAGE_ENTRY;
  p.syscall = 1;
  syscallStop(t, p);
  return true;
}

function syscallStop(t: Task, p: Ptrace): void {
  const code = (p.options & PTRACE_O_TRACESYSGOOD) !== 0 ? SIGTRAP | 0x80 : SIGTRAP;
  p.signal = false;
  stop(t, p, code, ownInfo(t, SIGTRAP, code));
}

/** Behind a handler that has answered `r` (BLOCKED: `blocked`): reports the event that it left. True if the task stopped. */
export function stopForEvent(t: Task, r: number, blocked: boolean): boolean {
  const p = t.ptrace!;
  if (p.event === 0) return false;
  const event = p.event;
  p.event = 0;
  t.clearWaits();
  t.stage = blocked ? STAGE_AGAIN : STAGE_LEAVE;
  t.stageResult = r;
  p.signal = false;
  p.syscall = 0;
  stop(t, p, SIGTRAP | (event << 8), ownInfo(t, SIGTRAP, SIGTRAP | (event << 8)));
  return true;
}

/** At a call's end, with the result in rax: stops if the tracer wants to see calls. True if it stopped. */
export function stopAtExit(t: Task, r: number, inCall: boolean): boolean {
  const p = t.ptrace!;
  if (p.stepping) {
    // The step ends behind the call, not behind the instruction that follows.
    p.stepping = false;
    t.ctx.regs[2 * REG_EFLAGS] = (t.ctx.regs[2 * REG_EFLAGS]! & ~TRAP_FLAG) >>> 0;
    t.pending.add(ownInfo(t, SIGTRAP, SI_USER));
    t.attention = true;
  }
  if (p.mode !== MODE_SYSCALL) return false;
  t.stage = STAGE_USER;
  t.stageInCall = inCall;
  t.stageResult = r;
  p.syscall = 2;
  syscallStop(t, p);
  return true;
}

/** Shows a signal to the tracer before it takes effect. `inCall` and `r`: a call that may be restarted was interrupted by it. */
export function stopForSignal(t: Task, info: SigInfo, inCall: boolean, r: number): void {
  const p = t.ptrace!;
  t.stage = STAGE_USER;
  t.stageInCall = inCall;
  t.stageResult = r;
  p.signal = true;
  p.syscall = 0;
  stop(t, p, info.signo, info);
}

/** Rests for a group stop, or because the tracer asked (PTRACE_INTERRUPT). */
export function stopForGroup(t: Task, inCall: boolean, r: number): void {
  const p = t.ptrace!;
  const g = t.tg;
  const sig = g.stopped ? g.stopSignal : SIGTRAP;
  t.stage = STAGE_USER;
  t.stageInCall = inCall;
  t.stageResult = r;
  p.signal = false;
  p.syscall = 0;
  if (p.seized) stop(t, p, sig | (PTRACE_EVENT_STOP << 8), ownInfo(t, sig, sig | (PTRACE_EVENT_STOP << 8)));
  else stop(t, p, sig, null);
}

/** The end is near: tells a tracer who asked. True if it stopped; the caller goes on at STAGE_DIE. */
export function stopToDie(t: Task, status: number, event: number, threadOnly: boolean): boolean {
  const p = t.ptrace;
  if (p === null || (p.options & (1 << event)) === 0 || p.exitSeen) return false;
  p.exitSeen = true;
  p.message = status;
  t.stage = STAGE_DIE;
  t.stageResult = status;
  t.stageInCall = threadOnly;
  p.signal = false;
  p.syscall = 0;
  stop(t, p, SIGTRAP | (event << 8), ownInfo(t, SIGTRAP, SIGTRAP | (event << 8)));
  return true;
}

/** Notes an event for a tracer who asked for it. */
function noteEvent(t: Task, event: number, message: number): boolean {
  const p = t.ptrace;
  if (p === null || (p.options & (1 << event)) === 0) return false;
  p.event = event;
  p.message = message;
  return true;
}

/** The same with the name of a task, as its tracer sees it. */
export function noteTaskEvent(t: Task, event: number, pid: Pid): boolean {
  return t.ptrace !== null && noteEvent(t, event, pid.in(t.ptrace.tracer.pid.ns));
}

/** A tracee has made the task `c`: a tracer who asked for it, or CLONE_PTRACE, gets it as well. */
export function traceChild(t: Task, c: Task, flags: number, exitSignal: number): void {
  const p = t.ptrace;
  if (p === null) return;
  const event = (flags & CLONE_VFORK) !== 0 ? PTRACE_EVENT_VFORK : exitSignal === SIGCHLD ? PTRACE_EVENT_FORK : PTRACE_EVENT_CLONE;
  if (!noteTaskEvent(t, event, c.pid) && (flags & CLONE_PTRACE) === 0) return;
  const q = attach(c, p.tracer, p.seized, p.options);
  if (q.seized) q.trap = true;
  else c.pending.add(new SigInfo(SIGSTOP, SI_USER));
  c.attention = true;
}

/** A new program runs. `old`: what the thread was called before it became the leader. */
export function traceExec(t: Task, old: Pid): void {
  const p = t.ptrace;
  if (p === null) return;
  t.ctx.regs[2 * REG_ORIG_RAX] = t.nr;
  if (noteTaskEvent(t, PTRACE_EVENT_EXEC, old) || p.seized) return;
  t.pending.add(ownInfo(t, SIGTRAP, SI_USER));
  t.attention = true;
}

/** Makes the task come to a stop: wakes it from its wait, or calls it back from guest code. */
export function kick(t: Task): void {
  t.attention = true;
  if (t.state === TASK_BLOCKED) t.wake();
  else if (t.state === TASK_RUNNING && t.kernel.current !== t && t.ctx.event === EVENT_NONE) t.ctx.interrupt();
}

/** A job control stop that was there before the tracer is one of the tracer's from now on. */
export function adoptStop(t: Task): void {
  if (t.state !== TASK_STOPPED) return;
  const returning = t.returning;
  t.returning = false;
  if (returning) stopForGroup(t, false, 0);
  else {
    stopForGroup(t, false, 0);
    t.stage = STAGE_AGAIN;
  }
}

/** PTRACE_LISTEN, then SIGCONT: the stop is announced anew. */
export function continued(t: Task): void {
  const p = t.ptrace!;
  p.passStop = false;
  if (!p.seized) return;
  if (t.state === TASK_TRACED && p.listening) {
    const code = SIGTRAP | (PTRACE_EVENT_STOP << 8);
    stop(t, p, code, ownInfo(t, SIGTRAP, code));
  } else p.trap = true;
}

/** Lets a stopped tracee go. `signal`: what it shall get in place of the signal that it stopped for; 0: nothing. */
export function letGo(t: Task, p: Ptrace, signal: number, mode: number, step: boolean): void {
  if (p.signal && signal !== 0) {
    let info = p.info;
    if (info === null || info.signo !== signal) {
      info = new SigInfo(signal, SI_USER);
      info.pid = p.tracer.pid.in(t.pidns);
      info.uid = p.tracer.leader.creds.ruid;
    }
    t.injected = info;
    t.attention = true;
  } else if (p.syscall !== 0 && signal !== 0) {
    t.pending.add(ownInfo(t, signal, SI_USER));
    t.attention = true;
  }
  p.mode = mode;
  p.signal = false;
  p.reported = true;
  p.listening = false;
  p.passStop = t.tg.stopped;
  t.regsSet = p.regsSet;
  p.stepping = step;
  if (step) t.ctx.regs[2 * REG_EFLAGS] = (t.ctx.regs[2 * REG_EFLAGS]! | TRAP_FLAG) >>> 0;
  t.state = TASK_BLOCKED;
  if (!t.queued) t.kernel.enqueue(t);
}

/** PTRACE_DETACH, or the tracer is gone: the task goes its own way. */
export function detach(t: Task, signal: number): void {
  const p = t.ptrace!;
  unlink(t);
  if (t.state === TASK_TRACED) letGo(t, p, signal, MODE_CONT, false);
  if (t.tg.stopped) t.attention = true;
}

/** The tracer has ended. */
export function tracerEnded(g: ThreadGroup): void {
  if (g.tracees === null) return;
  for (const t of [...g.tracees]) {
    const kill = (t.ptrace!.options & PTRACE_O_EXITKILL) !== 0;
    detach(t, 0);
    if (kill) t.kernel.signalTask(t, new SigInfo(SIGKILL, SI_USER), true);
  }
  g.tracees = null;
}

/** A tracee that is no leader has ended. */
export function traceeEnded(t: Task, status: number): void {
  const g = t.ptrace!.tracer;
  unlink(t);
  if (g.zombie || g.exiting || g === t.tg) return;
  reportEnd(g, { pid: t.pid, uid: t.creds.ruid, status, group: null });
}

/** Keeps the end of a tracee until its tracer waits for it. */
export function reportEnd(tracer: ThreadGroup, end: TracedEnd): void {
  tracer.tracedEnds.push(end);
  tracer.childQueue.notify(-1);
}

/** Writes guest memory whatever its protection is, as a debugger does (FOLL_FORCE). 0 or a negative number. */
export function pokeMemory(t: Task, addr: number, buf: Uint8Array, off: number, len: number): number {
  const r = t.mm.write(addr, buf, off, len);
  return r >= 0 ? r : forced(t, addr, len, PROT_READ | PROT_WRITE, () => t.mm.write(addr, buf, off, len));
}

/** Reads guest memory whatever its protection is. 0 or a negative number. */
export function peekMemory(t: Task, addr: number, buf: Uint8Array, off: number, len: number): number {
  const r = t.mm.read(addr, buf, off, len);
  return r >= 0 ? r : forced(t, addr, len, PROT_READ, () => t.mm.read(addr, buf, off, len));
}

/** Changes the protection of the pages for the length of `act`. A task of the address space that stands in the kernel does it. */
function forced(t: Task, addr: number, len: number, prot: number, act: () => number): number {
  let by: Task | null = null;
  for (const o of t.tg.tasks) if (o.mm === t.mm && o.state !== TASK_DEAD && o.ctx.event !== EVENT_NONE) by = o;
  const first = pageDown(addr);
  const end = pageDown(addr + len - 1) + PAGE;
  if (by === null || !t.mm.vmas.covers(first, end)) return -1;
  const list = t.mm.vmas.list;
  for (let i = t.mm.vmas.indexAfter(first); i < list.length && list[i]!.start < end; i++) {
    const v = list[i]!;
    if ((prot & ~(v.maxProt | v.prot)) !== 0) return -1;
    const from = Math.max(first, v.start);
    by.ctx.hostcall(SYS_mprotect, from, Math.min(end, v.end) - from, v.prot | prot, 0, 0, 0);
  }
  const r = act();
  for (let i = t.mm.vmas.indexAfter(first); i < list.length && list[i]!.start < end; i++) {
    const v = list[i]!;
    const from = Math.max(first, v.start);
    by.ctx.hostcall(SYS_mprotect, from, Math.min(end, v.end) - from, v.prot, 0, 0, 0);
  }
  return r;
}

/** True if rax still holds what the stopped call gave, and the call has not been taken back: then it may be restarted as usual. */
export function resultUnchanged(t: Task): boolean {
  const r = t.ctx.regs;
  return r[2 * REG_RAX] === t.stageResult >>> 0 && r[2 * REG_ORIG_RAX + 1] === 0 && r[2 * REG_ORIG_RAX] === t.nr;
}
