// Making tasks: fork, vfork, clone, clone3 (clone(2); kernel/fork.c).

import { CAP_CHECKPOINT_RESTORE, CAP_SYS_ADMIN, CAP_SYS_RESOURCE } from '../../abi/capability.ts';
import { EAGAIN, EFAULT, EINVAL, ENOMEM, EPERM } from '../../abi/errno.ts';
import { RLIMIT_NOFILE, RLIMIT_NPROC } from '../../abi/resource.ts';
import {
  CLONE_CHILD_CLEARTID,
  CLONE_CHILD_SETTID,
  CLONE_FILES,
  CLONE_FS,
  CLONE_NEWIPC,
  CLONE_NEWNS,
  CLONE_NEWPID,
  CLONE_PARENT,
  CLONE_PARENT_SETTID,
  CLONE_PIDFD,
  CLONE_SETTLS,
  CLONE_SIGHAND,
  CLONE_SYSVSEM,
  CLONE_THREAD,
  CLONE_VFORK,
  CLONE_VM,
} from '../../abi/sched.ts';
import { monotonicNs } from '../../base/clock.ts';
import { nextNamespaceIno } from '../vfs/namespace.ts';
import { type Context, REG_FS_BASE, REG_RAX, REG_RSP, type ThreadStart } from '../../platform/platform.ts';
import { watchCpuLimit } from './cputimers.ts';
import type { Kernel } from './kernel.ts';
import { mayAddTask } from './limits.ts';
import { CLONE_NEW_ALL, makeNamespaces, mayMakeNamespaces, switchNamespaces } from './namespaces.ts';
import { PID_MAX, type Pid, PidNamespace } from './pidns.ts';
import { traceChild } from './ptrace.ts';
import { Task } from './task.ts';
import { ThreadGroup } from './threadgroup.ts';
import { beginUsage } from './usage.ts';

/** What clone3 and the older calls ask for. */
export interface CloneArgs {
  flags: number;
  /** CLONE_CLEAR_SIGHAND, which lies beyond 32 bits. */
  clearHandlers: boolean;
  exitSignal: number;
  /** New stack pointer, 0: the parent's. */
  stack: number;
  parentTid: number;
  childTid: number;
  tls: number;
  /** clone3: the child's numbers in its pid namespace and those above it; null: any. */
  setTid: readonly number[] | null;
  /** Makes a pidfd for the child and writes its descriptor to this guest address; 0: none. */
  pidfd: number;
}

function setReg(c: Context, r: number, v: number): void {
  c.regs[2 * r] = v;
  c.regs[2 * r + 1] = Math.floor(v / 4294967296);
}

function countProcesses(k: Kernel, uid: number): number {
  let n = 0;
  for (const t of k.tasks.values()) if (t.creds.ruid === uid) n++;
  return n;
}

function check(t: Task, a: CloneArgs): number {
  const f = a.flags;
  if ((f & CLONE_SIGHAND) !== 0 && (f & CLONE_VM) === 0) return -EINVAL;
  if ((f & CLONE_THREAD) !== 0 && (f & CLONE_SIGHAND) === 0) return -EINVAL;
  if ((f & CLONE_FS) !== 0 && (f & CLONE_NEWNS) !== 0) return -EINVAL;
  if (a.clearHandlers && (f & CLONE_SIGHAND) !== 0) return -EINVAL;
  // The first process of a pid namespace has no siblings: nobody would wait for them.
  if ((f & CLONE_PARENT) !== 0 && t.tg.unkillable) return -EINVAL;
  if ((f & CLONE_THREAD) !== 0 && ((f & CLONE_NEWPID) !== 0 || t.ns.pid !== t.pidns)) return -EINVAL;
  if ((f & (CLONE_PIDFD | CLONE_THREAD)) === (CLONE_PIDFD | CLONE_THREAD)) return -EINVAL;
  if ((f & CLONE_NEWIPC) !== 0 && (f & CLONE_SYSVSEM) !== 0) return -EINVAL;
  const err = mayMakeNamespaces(t, f);
  if (err < 0) return err;
  if (a.exitSignal < 0 || a.exitSignal > 64) return -EINVAL;
  const c = t.creds;
  const most = t.rlimit(RLIMIT_NPROC);
  if (most !== Infinity && c.ruid !== 0 && !c.has(CAP_SYS_RESOURCE) && !c.has(CAP_SYS_ADMIN) && countProcesses(t.kernel, c.ruid) >= most)
    return -EAGAIN;
  return mayAddTask(t) ? 0 : -EAGAIN;
}

const threadStart: ThreadStart = { stack: 0, tls: -1, tidAddress: 0, tid: 0 };

/** What the child begins with. In shared memory its tid stands where it was asked for before it runs. */
function startOf(t: Task, a: CloneArgs, pid: Pid, shareVm: boolean): ThreadStart {
  const s = threadStart;
  const childSet = (a.flags & CLONE_CHILD_SETTID) !== 0;
  s.stack = a.stack;
  s.tls = (a.flags & CLONE_SETTLS) !== 0 ? a.tls : -1;
  s.tidAddress = childSet && !shareVm && a.childTid <= t.kernel.platform.maxAddress - 4 ? a.childTid : 0;
  s.tid = pid.nr;
  if (shareVm && (a.flags & CLONE_PARENT_SETTID) !== 0) t.writeU32Now(a.parentTid, pid.in(t.pidns));
  if (shareVm && childSet) t.writeU32(a.childTid, pid.nr);
  return s;
}

/**
 * A name for the child, in the pid namespace `ns`. Numbers may be chosen by who may restore processes, in the namespaces that can be seen
 * in its container. Or -errno.
 */
function nameOf(t: Task, ns: PidNamespace, wanted: readonly number[] | null): Pid | number {
  if (wanted === null) return ns.alloc();
  if (wanted.length > ns.level + 1) return -EINVAL;
  const allowed = t.creds.has(CAP_CHECKPOINT_RESTORE) || t.creds.has(CAP_SYS_ADMIN);
  if (wanted.some((nr) => nr < 1 || nr >= PID_MAX)) return -EINVAL;
  return !allowed || wanted.length > ns.level ? -EPERM : ns.alloc(wanted);
}

/** Makes a child task with its registers ready: the caller lets it go with resumeFull. Or -errno. */
export function cloneTask(t: Task, a: CloneArgs): Task | number {
  const err = check(t, a);
  if (err < 0) return err;
  const k = t.kernel;
  const pidns = (a.flags & CLONE_NEWPID) !== 0 ? new PidNamespace(t.pidns, nextNamespaceIno()) : t.ns.pid;
  const pid = nameOf(t, pidns, a.setTid);
  if (typeof pid === 'number') return pid;
  const shareVm = (a.flags & CLONE_VM) !== 0;
  let ctx: Context;
  // The child's host thread goes on as soon as it exists, unless something must be done to it first.
  const early = t.ptrace === null && (a.flags & CLONE_PIDFD) === 0;
  const start = early ? startOf(t, a, pid, shareVm) : undefined;
  if (shareVm) {
    const c = t.ctx.cloneThread(start);
    if (c === null) {
      pid.drop();
      return -EAGAIN;
    }
    ctx = c;
  } else {
    const c = t.ctx.fork(start);
    if (typeof c === 'number') {
      pid.drop();
      return c < 0 ? c : -ENOMEM;
    }
    ctx = c;
  }
  const mm = shareVm ? t.mm : t.mm.fork(ctx.addressSpace);
  if (shareVm) mm.users++;

  const thread = (a.flags & CLONE_THREAD) !== 0;
  let fs = t.fs;
  if ((a.flags & CLONE_FS) !== 0) fs.refs++;
  else fs = fs.copy();
  let fds = t.fds;
  const share = (a.flags & CLONE_FILES) !== 0;
  const c = new Task(k, pid, ctx, mm, t.creds, fs, fds, t.name);
  if (share) fds.refs++;
  else {
    fds = fds.copy(() => c.rlimit(RLIMIT_NOFILE));
    c.fds = fds;
  }
  if ((a.flags & CLONE_NEW_ALL) !== 0) switchNamespaces(c, makeNamespaces(t.ns, a.flags, fs, pidns));
  else if (t.ns !== c.ns) {
    t.ns.refs++;
    switchNamespaces(c, t.ns);
  }
  c.seccomp = t.seccomp;
  c.maskLo = t.maskLo;
  c.maskHi = t.maskHi;
  if (t.hasSavedMask) {
    c.maskLo = t.savedMaskLo;
    c.maskHi = t.savedMaskHi;
  }
  if (!shareVm || (a.flags & CLONE_VFORK) !== 0) {
    c.altStack = t.altStack;
    c.altStackSize = t.altStackSize;
    c.altStackFlags = t.altStackFlags;
  }
  c.nice = t.resetOnFork && t.nice < 0 ? 0 : t.nice;
  c.policy = t.resetOnFork ? 0 : t.policy;
  c.rtPriority = t.resetOnFork ? 0 : t.rtPriority;
  c.cpuLo = t.cpuLo;
  c.cpuHi = t.cpuHi;
  c.timerSlackNs = t.timerSlackNs;
  c.keepCaps = t.keepCaps;
  c.personality = t.personality;
  c.nr = t.nr;

  if (thread) {
    c.tg = t.tg;
  } else {
    const g = t.tg;
    let handlers = g.handlers;
    if ((a.flags & CLONE_SIGHAND) !== 0) handlers.refs++;
    else {
      handlers = handlers.copy();
      if (a.clearHandlers) for (const h of handlers.actions) if (h.handler > 1) h.handler = 0;
    }
    const parent = (a.flags & CLONE_PARENT) !== 0 ? g.parent : g;
    const ng = new ThreadGroup(
      k,
      pid,
      c,
      parent,
      handlers,
      g.pgrp,
      (a.flags & CLONE_PARENT) !== 0 ? g.exitSignal : a.exitSignal,
      g.container,
      monotonicNs(),
    );
    ng.limitSoft.set(g.limitSoft);
    ng.limitHard.set(g.limitHard);
    ng.oomScoreAdj = g.oomScoreAdj;
    c.tg = ng;
    if (parent !== null) parent.children.add(ng);
    beginUsage(ng, shareVm);
    k.addGroup(ng);
    k.forks++;
    if (pid.nr === 1) {
      pidns.init = ng;
      ng.unkillable = true;
    }
  }
  c.tg.tasks.add(c);
  k.addTask(c);
  if (!thread) watchCpuLimit(c.tg);

  if (!early) {
    setReg(ctx, REG_RAX, 0);
    if (a.stack !== 0) setReg(ctx, REG_RSP, a.stack);
    if ((a.flags & CLONE_SETTLS) !== 0) setReg(ctx, REG_FS_BASE, a.tls);
    if ((a.flags & CLONE_CHILD_SETTID) !== 0) c.writeU32Now(a.childTid, pid.nr);
  }
  if ((a.flags & CLONE_PARENT_SETTID) !== 0 && !(early && shareVm)) t.writeU32(a.parentTid, pid.in(t.pidns));
  if ((a.flags & CLONE_CHILD_CLEARTID) !== 0) c.clearChildTid = a.childTid;
  if ((a.flags & CLONE_PIDFD) !== 0) {
    const fd = k.makePidfd === null ? -EINVAL : k.makePidfd(t, c.tg);
    if (fd >= 0 && t.writeU32Now(a.pidfd, fd) < 0) return -EFAULT;
  }
  if ((a.flags & CLONE_VFORK) !== 0 && !thread) {
    c.tg.vforkParent = t;
    t.vforkChild = c.tg;
  }
  if (t.ptrace !== null) traceChild(t, c, a.flags, a.exitSignal);
  return c;
}
