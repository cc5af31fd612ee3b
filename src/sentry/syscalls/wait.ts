// Waiting for children: wait4, waitid (wait(2)).

import { EBADF, ECHILD, EFAULT, EINVAL, ESRCH } from '../../abi/errno.ts';
import { RUSAGE } from '../../abi/layouts.ts';
import { SYS_wait4, SYS_waitid } from '../../abi/nr.ts';
import { CLD_CONTINUED, CLD_DUMPED, CLD_EXITED, CLD_KILLED, CLD_STOPPED, CLD_TRAPPED, SIGCHLD, SIGCONT } from '../../abi/signal.ts';
import {
  __WALL,
  __WCLONE,
  __WNOTHREAD,
  P_ALL,
  P_PGID,
  P_PID,
  P_PIDFD,
  WCONTINUED,
  WEXITED,
  WNOHANG,
  WNOWAIT,
  WSTOPPED,
  WUNTRACED,
} from '../../abi/wait.ts';
import { putU32 } from '../../base/bytes.ts';
import { BLOCKED } from '../../base/result.ts';
import { reap, releaseTraced } from '../kernel/exit.ts';
import type { Pid } from '../kernel/pidns.ts';
import type { TracedEnd } from '../kernel/ptrace.ts';
import { encodeSigInfo } from '../kernel/sigframe.ts';
import { SigInfo } from '../kernel/siginfo.ts';
import { TASK_TRACED, type Task } from '../kernel/task.ts';
import type { ThreadGroup } from '../kernel/threadgroup.ts';
import { groupUsage, Usage } from '../kernel/usage.ts';
import { full, type Row } from './row.ts';
import { putRusage } from './rusage.ts';

const usage = new Usage();
const rusage = new Uint8Array(RUSAGE.size);

/** What the caller means by a number; null: nothing. */
function pidOf(t: Task, nr: number): Pid | null {
  return t.pidns.ids.get(nr) ?? null;
}

/** Which children a wait is about. */
const ALL = 0;
const PID = 1;
const PGRP = 2;

function matches(c: ThreadGroup, kind: number, id: Pid | null, options: number): boolean {
  if (kind === PID && c.pid !== id) return false;
  if (kind === PGRP && c.pgrp.pid !== id) return false;
  // Children that signal otherwise are "clone" children.
  if ((options & __WALL) === 0 && (c.exitSignal !== SIGCHLD) !== ((options & __WCLONE) !== 0)) return false;
  return true;
}

/** What was found: the child and why. */
interface Found {
  child: ThreadGroup;
  /** What wait answers: the child's process id, or the thread id of a tracee. */
  pid: number;
  uid: number;
  /** A tracee that has ended. */
  end: TracedEnd | null;
  /** A tracee that is stopped. */
  tracee: Task | null;
  /** CLD_* */
  code: number;
  /** wait(2) status word. */
  status: number;
}

const found: Found = { child: null as unknown as ThreadGroup, pid: 0, uid: 0, end: null, tracee: null, code: 0, status: 0 };

/** CLD_* of an ended process. */
function endCode(status: number): number {
  return (status & 0x7f) === 0 ? CLD_EXITED : (status & 0x80) !== 0 ? CLD_DUMPED : CLD_KILLED;
}

function matchesTracee(pid: Pid, pgrp: Pid | null, kind: number, id: Pid | null): boolean {
  return kind === ALL || (kind === PID ? pid : pgrp) === id;
}

/** Looks at tracees: those that ended, then those that stand still. 1: found; 0: none yet; -ECHILD: there are none. */
function lookTraced(t: Task, kind: number, id: Pid | null, options: number): number {
  const g = t.tg;
  let any = false;
  for (const e of g.tracedEnds) {
    if (!matchesTracee(e.pid, e.group?.pgrp.pid ?? null, kind, id)) continue;
    any = true;
    if ((options & WEXITED) === 0) continue;
    found.child = e.group ?? g;
    found.pid = e.pid.in(t.pidns);
    found.uid = e.uid;
    found.end = e;
    found.status = e.status;
    found.code = endCode(e.status);
    return 1;
  }
  if (g.tracees === null) return any ? 0 : -ECHILD;
  for (const o of g.tracees) {
    if (!matchesTracee(o.pid, o.tg.pgrp.pid, kind, id)) continue;
    any = true;
    const p = o.ptrace!;
    if (o.state !== TASK_TRACED || p.reported) continue;
    found.child = o.tg;
    found.pid = o.pid.in(t.pidns);
    found.uid = o.creds.ruid;
    found.tracee = o;
    found.code = CLD_TRAPPED;
    found.status = (p.code << 8) | 0x7f;
    return 1;
  }
  return any ? 0 : -ECHILD;
}

/** Looks for a child that meets `options`. 1: found; 0: none yet; -ECHILD. */
function look(t: Task, kind: number, id: Pid | null, options: number): number {
  found.end = null;
  found.tracee = null;
  const traced = t.tg.tracees === null && t.tg.tracedEnds.length === 0 ? -ECHILD : lookTraced(t, kind, id, options);
  if (traced === 1) return 1;
  let any = traced === 0;
  for (const c of t.tg.children) {
    if (!matches(c, kind, id, options)) continue;
    any = true;
    found.child = c;
    found.pid = c.pid.in(t.pidns);
    found.uid = c.leader.creds.ruid;
    if (c.zombie && !c.heldByTracer && (options & WEXITED) !== 0) {
      found.code = endCode(c.exitStatus);
      found.status = c.exitStatus;
      return 1;
    }
    // The stops of a tracee of one's own are reported as such.
    if (c.zombie || c.leader.ptrace?.tracer === t.tg) continue;
    if (c.stopped && !c.stopReported && (options & WSTOPPED) !== 0) {
      found.code = CLD_STOPPED;
      found.status = (c.stopSignal << 8) | 0x7f;
      if ((options & WNOWAIT) === 0) c.stopReported = true;
      return 1;
    }
    if (c.continuedPending && (options & WCONTINUED) !== 0) {
      found.code = CLD_CONTINUED;
      found.status = 0xffff;
      if ((options & WNOWAIT) === 0) c.continuedPending = false;
      return 1;
    }
  }
  return any ? 0 : -ECHILD;
}

/** The usage of a child and of those whom it reaped. */
function writeRusage(t: Task, c: ThreadGroup, addr: number): number {
  groupUsage(c, null, usage);
  usage.add(c.childUsage);
  putRusage(usage, rusage);
  return t.copyOut(addr, rusage, 0, RUSAGE.size);
}

/** Reports what look() found and reaps the dead. The pid for the caller. */
function take(t: Task, options: number): number {
  const c = found.child;
  const pid = found.pid;
  if ((options & WNOWAIT) !== 0) return pid;
  if (found.end !== null) {
    const ends = t.tg.tracedEnds;
    ends.splice(ends.indexOf(found.end), 1);
    if (found.end.group !== null) releaseTraced(found.end.group);
  } else if (found.tracee !== null) found.tracee.ptrace!.reported = true;
  else if (c.zombie) reap(c);
  return pid;
}

export function sys_wait4(t: Task): number {
  const pid = t.argI(0);
  const options = t.argU(2);
  if ((options & ~(WNOHANG | WUNTRACED | WCONTINUED | __WALL | __WCLONE | __WNOTHREAD)) >>> 0 !== 0) return -EINVAL;
  if (pid === -2147483648) return -ESRCH;
  const kind = pid === -1 ? ALL : pid > 0 ? PID : PGRP;
  const id = pid === 0 ? t.tg.pgrp.pid : pidOf(t, pid > 0 ? pid : -pid);
  const want = options | WEXITED;
  const r = look(t, kind, id, want);
  if (r < 0) return r;
  if (r === 0) return (options & WNOHANG) !== 0 ? 0 : t.waitOn(t.tg.childQueue, -1);
  const status = found.status;
  const c = found.child;
  const told = (t.arg(1) === 0 || t.writeU32(t.arg(1), status) >= 0) && (t.arg(3) === 0 || writeRusage(t, c, t.arg(3)) >= 0);
  // Who cannot be told has waited for it all the same.
  const taken = take(t, want);
  return told ? taken : -EFAULT;
}

/** What waitid(2) writes of a siginfo_t: up to si_status. */
const WAITID_BYTES = 28;

/** waitid(2): a place for what was found is cleared when there is nothing, be it an error. */
export function sys_waitid(t: Task): number {
  const r = waitId(t);
  if (r >= 0 || r === BLOCKED || t.arg(2) === 0) return r;
  const b = t.kernel.tmp;
  b.fill(0, 0, WAITID_BYTES);
  return t.copyOut(t.arg(2), b, 0, WAITID_BYTES) < 0 ? -EFAULT : r;
}

function waitId(t: Task): number {
  const type = t.argI(0);
  const id = t.argI(1);
  const options = t.argU(3);
  if ((options & ~(WNOHANG | WEXITED | WSTOPPED | WCONTINUED | WNOWAIT | __WALL | __WCLONE | __WNOTHREAD)) >>> 0 !== 0) return -EINVAL;
  if ((options & (WEXITED | WSTOPPED | WCONTINUED)) === 0) return -EINVAL;
  let kind = ALL;
  let pid: Pid | null = null;
  if (type === P_PID) {
    if (id <= 0) return -EINVAL;
    kind = PID;
    pid = pidOf(t, id);
  } else if (type === P_PGID) {
    if (id < 0) return -EINVAL;
    kind = PGRP;
    pid = id === 0 ? t.tg.pgrp.pid : pidOf(t, id);
  } else if (type === P_PIDFD) {
    const f = t.fds.get(id);
    if (f === null || t.kernel.pidfdGroup === null) return -EBADF;
    const g = t.kernel.pidfdGroup(f);
    if (g === null) return -EBADF;
    kind = PID;
    pid = g.pid;
  } else if (type !== P_ALL) return -EINVAL;
  const r = look(t, kind, pid, options);
  if (r < 0) return r;
  const infop = t.arg(2);
  const b = t.kernel.tmp;
  if (r === 0) {
    if ((options & WNOHANG) === 0) return t.waitOn(t.tg.childQueue, -1);
    b.fill(0, 0, WAITID_BYTES);
    return infop !== 0 ? t.copyOut(infop, b, 0, WAITID_BYTES) : 0;
  }
  const c = found.child;
  let told = true;
  if (infop !== 0) {
    const info = new SigInfo(SIGCHLD, found.code);
    info.pid = found.pid;
    info.uid = found.uid;
    info.status =
      found.code === CLD_EXITED
        ? found.status >> 8
        : found.code === CLD_STOPPED
          ? c.stopSignal
          : found.code === CLD_CONTINUED
            ? SIGCONT
            : found.code === CLD_TRAPPED
              ? found.status >> 8
              : found.status & 0x7f;
    encodeSigInfo(info, b, 0);
    putU32(b, 4, 0);
    if (t.copyOut(infop, b, 0, WAITID_BYTES) < 0) told = false;
  }
  if (t.arg(4) !== 0 && writeRusage(t, c, t.arg(4)) < 0) told = false;
  take(t, options);
  return told ? 0 : -EFAULT;
}

export const rows: readonly Row[] = [
  full(SYS_wait4, 'wait4', sys_wait4, 'int', 'ptr', 'hex', 'ptr'),
  full(SYS_waitid, 'waitid', sys_waitid, 'int', 'int', 'ptr', 'hex', 'ptr'),
];
