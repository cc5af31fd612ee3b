// The end of tasks and thread groups (exit(2), exit_group(2), wait(2); kernel/exit.c).
//
// Ending needs no cooperation of the guest: host threads are told to exit or their host process is killed, and the kernel's objects go
// at once.

import { CLD_DUMPED, CLD_EXITED, CLD_KILLED, SA_NOCLDWAIT, SIGCHLD, SIGCONT, SIGHUP, SIGKILL } from '../../abi/signal.ts';
import { exitRobustList, futexForget, futexWakeAddress } from './futex.ts';
import type { Kernel } from './kernel.ts';
import { reportEnd, traceeEnded, tracerEnded, unlink } from './ptrace.ts';
import type { ProcessGroup } from './session.ts';
import { SigInfo } from './siginfo.ts';
import { TASK_DEAD, type Task } from './task.ts';
import type { ThreadGroup } from './threadgroup.ts';
import { leaveAddressSpace } from './usage.ts';

const SI_USER = 0;
const SI_KERNEL = 0x80;

/** Takes a task out of the world: memory words, descriptors, address space. The group's end is the caller's business. */
function endTask(t: Task, status: number): void {
  if (t.state === TASK_DEAD) return;
  const k = t.kernel;
  futexForget(t);
  t.clearWaits();
  t.state = TASK_DEAD;
  const g = t.tg;
  // Robust mutexes and the thread's join word, while its memory is still there.
  if (t.robustList !== 0) exitRobustList(t);
  if (t.clearChildTid !== 0 && t.mm.users > 1) {
    t.writeU32Now(t.clearChildTid, 0);
    futexWakeAddress(t, t.clearChildTid, 1);
  }
  t.fds.unref(t);
  t.fs.unref();
  t.ns.unref();
  if (g.tasks.size === 1) leaveAddressSpace(g, t);
  t.mm.unref();
  t.ctx.exit();
  t.ctx.owner = null;
  g.tasks.delete(t);
  if (t !== g.leader) {
    k.removeTask(t);
    if (t.ptrace !== null) traceeEnded(t, status);
  }
  endVfork(g, t);
}

/** The parent of a vfork goes on when the child's memory is no longer the parent's. */
export function endVfork(g: ThreadGroup, t: Task): void {
  const p = g.vforkParent;
  if (p === null || t !== g.leader) return;
  g.vforkParent = null;
  p.wake();
}

/** exit(2) of one thread. `status` is wait(2)'s encoding, used if it is the last. */
export function exitTask(t: Task, status: number): void {
  const g = t.tg;
  endTask(t, status);
  if (g.tasks.size === 0) {
    if (!g.exiting) g.exitStatus = status;
    finishGroup(g);
  }
}

/** exit_group(2), or death by a signal: `status` is wait(2)'s encoding. */
export function exitGroup(g: ThreadGroup, status: number): void {
  if (g.zombie) return;
  g.exiting = true;
  g.exitStatus = status;
  for (const t of [...g.tasks]) endTask(t, status);
  finishGroup(g);
}

/** execve(2): all other threads of the group end, and `t` becomes the leader. */
export function endOtherThreads(t: Task): void {
  const g = t.tg;
  const k = t.kernel;
  for (const o of [...g.tasks]) if (o !== t) endTask(o, SIGKILL);
  if (g.leader !== t) {
    if (g.leader.ptrace !== null) unlink(g.leader);
    k.removeTask(t);
    t.rename(g.pid);
    g.leader = t;
    k.addTask(t);
  }
}

/** Where the children of a dying group go: the nearest subreaper above it in its pid namespace, or that one's first process. */
function reaperOf(g: ThreadGroup): ThreadGroup | null {
  const ns = g.pid.ns;
  for (let p = g.parent; p !== null && p.pid.ns.level === ns.level; p = p.parent) if (p.subreaper && !p.zombie) return p;
  return ns.ended ? null : ns.init;
}

/** pid_namespaces(7): with the first process go all, and no other will be born there. */
function endNamespace(g: ThreadGroup): void {
  const ns = g.pid.ns;
  ns.ended = true;
  if (ns.reboot !== 0) g.exitStatus = ns.reboot;
  for (const o of ns.groups()) if (o !== g && !o.zombie) exitGroup(o, SIGKILL);
}

function hangUpOrphans(p: ProcessGroup): void {
  for (const m of [...p.members]) {
    if (m.zombie) continue;
    m.kernel.signalGroup(m, new SigInfo(SIGHUP, SI_KERNEL));
    m.kernel.signalGroup(m, new SigInfo(SIGCONT, SI_KERNEL));
  }
}

/** PR_SET_PDEATHSIG: the parent `g` of `t` has ended. */
function tellOfDeath(g: ThreadGroup, t: Task): void {
  const info = new SigInfo(t.parentDeathSignal, SI_USER);
  info.pid = g.pid.in(t.pidns);
  info.uid = g.leader.creds.ruid;
  t.kernel.signalTask(t, info, info.pid === 0);
}

function finishGroup(g: ThreadGroup): void {
  const k = g.kernel;
  g.zombie = true;
  g.stopped = false;
  if (g.pid.ns.init === g) endNamespace(g);
  for (const it of g.itimers) if (it !== null) k.timers.cancel(it.timer);
  for (const hook of k.groupEnded) hook(g);

  // Job control: stopped groups that lose their last link to the session get SIGHUP and SIGCONT.
  const orphanedBefore: ProcessGroup[] = [];
  for (const c of g.children)
    if (!c.zombie && c.pgrp !== g.pgrp && c.pgrp.session === g.session && !c.pgrp.orphaned()) orphanedBefore.push(c.pgrp);
  const ownWasLinked = g.parent !== null && g.parent.pgrp !== g.pgrp && g.parent.session === g.session;

  const reaper = reaperOf(g);
  for (const c of [...g.children]) {
    g.children.delete(c);
    c.parent = reaper;
    if (c.leader.parentDeathSignal !== 0 && !c.zombie) tellOfDeath(g, c.leader);
    if (reaper === null) {
      if (c.zombie && !c.heldByTracer) reap(c);
      continue;
    }
    reaper.children.add(c);
    c.exitSignal = SIGCHLD;
    if (c.zombie && !c.heldByTracer) notifyParent(c);
  }
  for (const p of orphanedBefore) if (p.hasStopped && p.orphaned()) hangUpOrphans(p);
  if (ownWasLinked && g.pgrp.hasStopped && g.pgrp.orphaned(g)) hangUpOrphans(g.pgrp);

  // A session leader takes its terminal along.
  if (g.session.leader === g) {
    const tty = g.session.tty;
    if (tty !== null) {
      g.session.tty = null;
      tty.hangup();
    }
    g.session.leader = null;
  }

  tracerEnded(g);
  for (const e of g.tracedEnds.splice(0)) if (e.group !== null) releaseTraced(e.group);
  g.exitQueue.notify(-1);
  const p = g.leader.ptrace;
  if (p !== null) {
    unlink(g.leader);
    // A tracer that is not the parent hears of it first.
    if (p.tracer !== g.parent && !p.tracer.zombie && !p.tracer.exiting) {
      g.heldByTracer = true;
      reportEnd(p.tracer, { pid: g.pid, uid: g.leader.creds.ruid, status: g.exitStatus, group: g });
      return;
    }
  }
  if (g.parent === null) reap(g);
  else notifyParent(g);
}

/** The tracer has waited for a process that ended, or is gone: now it is its parent's. */
export function releaseTraced(g: ThreadGroup): void {
  if (!g.heldByTracer) return;
  g.heldByTracer = false;
  if (g.parent === null) reap(g);
  else notifyParent(g);
}

function notifyParent(g: ThreadGroup): void {
  const p = g.parent!;
  const a = p.handlers.actions[SIGCHLD]!;
  const auto = g.exitSignal === SIGCHLD && (a.handler === 1 || (a.flags & SA_NOCLDWAIT) !== 0);
  if (g.exitSignal !== 0 && !(auto && a.handler === 1)) {
    const sig = g.exitStatus & 0x7f;
    const info = new SigInfo(g.exitSignal, sig === 0 ? CLD_EXITED : (g.exitStatus & 0x80) !== 0 ? CLD_DUMPED : CLD_KILLED);
    info.pid = g.pid.in(p.pid.ns);
    info.uid = g.leader.creds.ruid;
    info.status = sig === 0 ? g.exitStatus >> 8 : sig;
    g.kernel.signalGroup(p, info);
  }
  if (auto) reap(g);
  p.childQueue.notify(-1);
}

/** The zombie's last traces go; its pid is free again. */
export function reap(g: ThreadGroup): void {
  if (g.reaped) return;
  g.reaped = true;
  const k: Kernel = g.kernel;
  const p = g.parent;
  if (p !== null) {
    p.children.delete(g);
    p.childUsage.add(g.usage);
    p.childUsage.add(g.childUsage);
  }
  k.removeTask(g.leader);
  k.removeGroup(g);
  g.pgrp.remove(g);
}
