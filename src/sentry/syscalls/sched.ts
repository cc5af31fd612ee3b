// Scheduling (sched(7)): policies, priorities and affinities are kept and read back; the host's scheduler runs the guests as it likes.

import { CAP_SYS_NICE } from '../../abi/capability.ts';
import { E2BIG, EACCES, EFAULT, EINVAL, EPERM, ESRCH } from '../../abi/errno.ts';
import { SCHED_ATTR } from '../../abi/layouts.ts';
import {
  SYS_getcpu,
  SYS_getpriority,
  SYS_ioprio_get,
  SYS_ioprio_set,
  SYS_sched_get_priority_max,
  SYS_sched_get_priority_min,
  SYS_sched_getaffinity,
  SYS_sched_getattr,
  SYS_sched_getparam,
  SYS_sched_getscheduler,
  SYS_sched_rr_get_interval,
  SYS_sched_setaffinity,
  SYS_sched_setattr,
  SYS_sched_setparam,
  SYS_sched_setscheduler,
  SYS_sched_yield,
  SYS_setpriority,
} from '../../abi/nr.ts';
import { PRIO_PGRP, PRIO_PROCESS, PRIO_USER, RLIMIT_NICE, RLIMIT_RTPRIO } from '../../abi/resource.ts';
import {
  SCHED_BATCH,
  SCHED_DEADLINE,
  SCHED_FIFO,
  SCHED_FLAG_RESET_ON_FORK,
  SCHED_IDLE,
  SCHED_OTHER,
  SCHED_RESET_ON_FORK,
  SCHED_RR,
} from '../../abi/sched.ts';
import { getI32, getU32, getU64, putU32, putU64 } from '../../base/bytes.ts';
import { limitsOf } from '../kernel/limits.ts';
import type { Task } from '../kernel/task.ts';
import { full, partial, type Row } from './row.ts';

const STORED = 'kept and read back; the host scheduler decides';
const RT_PRIORITY_MAX = 99;
/** Sizes of struct sched_attr: first version, and the one known here. */
const ATTR_SIZE_0 = 48;
const RR_INTERVAL_NS = 100000000;
const SLICE_NS = 4000000;

const buf = new Uint8Array(128);
/** ioprio_set(2) values. */
const ioPriorities = new WeakMap<Task, number>();

function taskOf(t: Task, pid: number): Task | number {
  if (pid < 0) return -EINVAL;
  if (pid === 0) return t;
  return t.pidns.task(pid) ?? -ESRCH;
}

function owns(t: Task, o: Task): boolean {
  return t.creds.euid === o.creds.ruid || t.creds.euid === o.creds.euid || t.creds.has(CAP_SYS_NICE);
}

/** CPUs of the sandbox as a mask of two words (at most 64). */
function onlineLo(t: Task): number {
  const n = limitsOf(t.kernel, t.tg.container).cpus;
  return n >= 32 ? 0xffffffff : (1 << n) - 1;
}

function onlineHi(t: Task): number {
  const n = limitsOf(t.kernel, t.tg.container).cpus - 32;
  return n <= 0 ? 0 : n >= 32 ? 0xffffffff : (1 << n) - 1;
}

/** sched_yield(2): the round trip through the kernel is the yield. */
export function sys_sched_yield(_t: Task): number {
  return 0;
}

/** sched_getaffinity(2): the length of the mask in bytes. */
export function sys_sched_getaffinity(t: Task): number {
  const len = t.argU(1);
  if (len * 8 < limitsOf(t.kernel, t.tg.container).cpus || len % 8 !== 0) return -EINVAL;
  const o = taskOf(t, t.argI(0));
  if (typeof o === 'number') return o === -EINVAL ? -ESRCH : o;
  // What was asked for before a limit fell below it is no more.
  const lo = (o.cpuLo & onlineLo(t)) >>> 0;
  const hi = (o.cpuHi & onlineHi(t)) >>> 0;
  const all = lo === 0 && hi === 0;
  putU32(buf, 0, all ? onlineLo(t) : lo);
  putU32(buf, 4, all ? onlineHi(t) : hi);
  return t.copyOut(t.arg(2), buf, 0, 8) < 0 ? -EFAULT : 8;
}

/** sched_setaffinity(2). */
export function sys_sched_setaffinity(t: Task): number {
  const len = t.argU(1) < 8 ? t.argU(1) : 8;
  buf.fill(0, 0, 8);
  if (t.copyIn(t.arg(2), buf, 0, len) < 0) return -EFAULT;
  const o = taskOf(t, t.argI(0));
  if (typeof o === 'number') return o === -EINVAL ? -ESRCH : o;
  if (!owns(t, o)) return -EPERM;
  const lo = (getU32(buf, 0) & onlineLo(t)) >>> 0;
  const hi = (getU32(buf, 4) & onlineHi(t)) >>> 0;
  if (lo === 0 && hi === 0) return -EINVAL;
  o.cpuLo = lo;
  o.cpuHi = hi;
  return 0;
}

function realtimePolicy(policy: number): boolean {
  return policy === SCHED_FIFO || policy === SCHED_RR;
}

function knownPolicy(policy: number): boolean {
  return realtimePolicy(policy) || policy === SCHED_OTHER || policy === SCHED_BATCH || policy === SCHED_IDLE;
}

/** sched_get_priority_max(2). */
export function sys_sched_get_priority_max(t: Task): number {
  const p = t.argI(0);
  return realtimePolicy(p) ? RT_PRIORITY_MAX : knownPolicy(p) || p === SCHED_DEADLINE ? 0 : -EINVAL;
}

/** sched_get_priority_min(2). */
export function sys_sched_get_priority_min(t: Task): number {
  const p = t.argI(0);
  return realtimePolicy(p) ? 1 : knownPolicy(p) || p === SCHED_DEADLINE ? 0 : -EINVAL;
}

/** Checks and sets policy and priority. 0 or -errno. */
function change(t: Task, o: Task, policy: number, priority: number, resetOnFork: boolean): number {
  if (!knownPolicy(policy)) return -EINVAL;
  if (realtimePolicy(policy) ? priority < 1 || priority > RT_PRIORITY_MAX : priority !== 0) return -EINVAL;
  if (!t.creds.has(CAP_SYS_NICE)) {
    if (!owns(t, o)) return -EPERM;
    if (realtimePolicy(policy) && priority > o.rtPriority && priority > o.rlimit(RLIMIT_RTPRIO)) return -EPERM;
    if (o.resetOnFork && !resetOnFork) return -EPERM;
  }
  o.policy = policy;
  o.rtPriority = priority;
  o.resetOnFork = resetOnFork;
  return 0;
}

/** sched_setscheduler(2). */
export function sys_sched_setscheduler(t: Task): number {
  const policy = t.argI(1);
  if (policy < 0 || t.arg(2) === 0 || t.argI(0) < 0) return -EINVAL;
  if (t.copyIn(t.arg(2), buf, 0, 4) < 0) return -EFAULT;
  const o = taskOf(t, t.argI(0));
  if (typeof o === 'number') return o;
  return change(t, o, policy & ~SCHED_RESET_ON_FORK, getI32(buf, 0), (policy & SCHED_RESET_ON_FORK) !== 0);
}

/** sched_getscheduler(2). */
export function sys_sched_getscheduler(t: Task): number {
  const o = taskOf(t, t.argI(0));
  return typeof o === 'number' ? o : o.policy | (o.resetOnFork ? SCHED_RESET_ON_FORK : 0);
}

/** sched_setparam(2). */
export function sys_sched_setparam(t: Task): number {
  if (t.arg(1) === 0 || t.argI(0) < 0) return -EINVAL;
  if (t.copyIn(t.arg(1), buf, 0, 4) < 0) return -EFAULT;
  const o = taskOf(t, t.argI(0));
  if (typeof o === 'number') return o;
  return change(t, o, o.policy, getI32(buf, 0), o.resetOnFork);
}

/** sched_getparam(2). */
export function sys_sched_getparam(t: Task): number {
  if (t.arg(1) === 0) return -EINVAL;
  const o = taskOf(t, t.argI(0));
  return typeof o === 'number' ? o : t.writeU32(t.arg(1), o.rtPriority);
}

/** sched_getattr(2). */
export function sys_sched_getattr(t: Task): number {
  const size = t.argU(2);
  if (t.arg(1) === 0 || t.argU(3) !== 0 || size < ATTR_SIZE_0 || size > 4096) return -EINVAL;
  const o = taskOf(t, t.argI(0));
  if (typeof o === 'number') return o;
  const n = size < SCHED_ATTR.size ? size : SCHED_ATTR.size;
  buf.fill(0, 0, SCHED_ATTR.size);
  putU32(buf, 0, n);
  putU32(buf, SCHED_ATTR.sched_policy, o.policy);
  putU64(buf, SCHED_ATTR.sched_flags, o.resetOnFork ? SCHED_FLAG_RESET_ON_FORK : 0);
  putU32(buf, SCHED_ATTR.sched_nice, realtimePolicy(o.policy) ? 0 : o.nice);
  putU32(buf, SCHED_ATTR.sched_priority, o.rtPriority);
  return t.copyOut(t.arg(1), buf, 0, n);
}

/** sched_setattr(2). */
export function sys_sched_setattr(t: Task): number {
  if (t.arg(1) === 0 || t.argU(2) !== 0) return -EINVAL;
  const o = taskOf(t, t.argI(0));
  if (typeof o === 'number') return o;
  const size = t.readU32(t.arg(1));
  if (size < 0) return size;
  const n = size === 0 ? ATTR_SIZE_0 : size;
  if (n < ATTR_SIZE_0 || n > 4096) return t.writeU32(t.arg(1), SCHED_ATTR.size) < 0 ? -EFAULT : -E2BIG;
  buf.fill(0, 0, SCHED_ATTR.size);
  if (t.copyIn(t.arg(1), buf, 0, n < SCHED_ATTR.size ? n : SCHED_ATTR.size) < 0) return -EFAULT;
  const flags = getU64(buf, SCHED_ATTR.sched_flags);
  if (flags > SCHED_FLAG_RESET_ON_FORK) return -EINVAL;
  const policy = getI32(buf, SCHED_ATTR.sched_policy);
  const nice = getI32(buf, SCHED_ATTR.sched_nice);
  if (!realtimePolicy(policy) && (nice < -20 || nice > 19)) return -EINVAL;
  if (!realtimePolicy(policy) && nice < o.nice && !mayNice(t, o, nice)) return -EPERM;
  const err = change(t, o, policy, getI32(buf, SCHED_ATTR.sched_priority), flags !== 0);
  if (err === 0 && !realtimePolicy(policy)) o.nice = nice;
  return err;
}

/** sched_rr_get_interval(2). */
export function sys_sched_rr_get_interval(t: Task): number {
  const o = taskOf(t, t.argI(0));
  if (typeof o === 'number') return o;
  putU64(buf, 0, 0);
  putU64(buf, 8, o.policy === SCHED_FIFO ? 0 : o.policy === SCHED_RR ? RR_INTERVAL_NS : SLICE_NS);
  return t.copyOut(t.arg(1), buf, 0, 16);
}

/** getcpu(2): guests are not told where the host runs them. */
export function sys_getcpu(t: Task): number {
  if (t.arg(0) !== 0 && t.writeU32(t.arg(0), 0) < 0) return -EFAULT;
  return t.arg(1) !== 0 && t.writeU32(t.arg(1), 0) < 0 ? -EFAULT : 0;
}

/** Calls `fn` for each task that which/who of getpriority(2) and ioprio_get(2) name. False for an unknown `which`. */
function forEachNamed(t: Task, which: number, who: number, fn: (o: Task) => void): boolean {
  if (which === PRIO_PROCESS) {
    const o = who === 0 ? t : t.pidns.task(who);
    if (o !== null) fn(o);
  } else if (which === PRIO_PGRP) {
    const pg = who === 0 ? t.tg.pgrp : t.pidns.pgrp(who);
    if (pg !== null) for (const g of pg.members) for (const o of g.tasks) fn(o);
  } else if (which === PRIO_USER) {
    const uid = who === 0 ? t.creds.ruid : who;
    for (const o of t.kernel.tasks.values()) if (o.creds.ruid === uid && t.pidns.holds(o.pidns)) fn(o);
  } else return false;
  return true;
}

/** getpriority(2): 20 minus the nice value, the highest of those named. */
export function sys_getpriority(t: Task): number {
  let best = -ESRCH;
  const known = forEachNamed(t, t.argI(0), t.argI(1), (o) => {
    if (20 - o.nice > best) best = 20 - o.nice;
  });
  return known ? best : -EINVAL;
}

/** May the task give `o` a nice value lower than it has? */
function mayNice(t: Task, o: Task, nice: number): boolean {
  return t.creds.has(CAP_SYS_NICE) || 20 - nice <= o.rlimit(RLIMIT_NICE);
}

/** setpriority(2). */
export function sys_setpriority(t: Task): number {
  const asked = t.argI(2);
  const nice = asked < -20 ? -20 : asked > 19 ? 19 : asked;
  let result = -ESRCH;
  const known = forEachNamed(t, t.argI(0), t.argI(1), (o) => {
    if (!owns(t, o)) result = -EPERM;
    else if (nice < o.nice && !mayNice(t, o, nice)) result = -EACCES;
    else {
      if (result === -ESRCH) result = 0;
      o.nice = nice;
    }
  });
  return known ? result : -EINVAL;
}

const IOPRIO_CLASS_RT = 1;
const IOPRIO_CLASS_BE = 2;
const IOPRIO_CLASS_IDLE = 3;
const IOPRIO_SHIFT = 13;

/** ioprio_get(2). Its which values are those of getpriority plus 1. */
export function sys_ioprio_get(t: Task): number {
  let best = -ESRCH;
  const known = forEachNamed(t, t.argI(0) - 1, t.argI(1), (o) => {
    const v = ioPriorities.get(o) ?? (IOPRIO_CLASS_BE << IOPRIO_SHIFT) | Math.floor((o.nice + 20) / 5);
    if (best < 0 || v < best) best = v;
  });
  return known ? best : -EINVAL;
}

/** Sets what ioprio_get(2) tells of a new process. */
export function setIoPriority(t: Task, value: number): void {
  ioPriorities.set(t, value);
}

/** ioprio_set(2). */
export function sys_ioprio_set(t: Task): number {
  const v = t.argI(2);
  const cls = v >> IOPRIO_SHIFT;
  const level = v & ((1 << IOPRIO_SHIFT) - 1);
  if (cls < 0 || cls > IOPRIO_CLASS_IDLE || (cls === 0 ? level !== 0 : level > 7)) return -EINVAL;
  if (cls === IOPRIO_CLASS_RT && !t.creds.has(CAP_SYS_NICE)) return -EPERM;
  let result = -ESRCH;
  const known = forEachNamed(t, t.argI(0) - 1, t.argI(1), (o) => {
    if (!owns(t, o)) result = -EPERM;
    else {
      if (result === -ESRCH) result = 0;
      if (cls === 0) ioPriorities.delete(o);
      else ioPriorities.set(o, v);
    }
  });
  return known ? result : -EINVAL;
}

export const rows: readonly Row[] = [
  full(SYS_sched_yield, 'sched_yield', sys_sched_yield),
  full(SYS_sched_getaffinity, 'sched_getaffinity', sys_sched_getaffinity, 'int', 'size', 'ptr'),
  partial(SYS_sched_setaffinity, 'sched_setaffinity', sys_sched_setaffinity, STORED, 'int', 'size', 'ptr'),
  full(SYS_sched_get_priority_max, 'sched_get_priority_max', sys_sched_get_priority_max, 'int'),
  full(SYS_sched_get_priority_min, 'sched_get_priority_min', sys_sched_get_priority_min, 'int'),
  partial(SYS_sched_setscheduler, 'sched_setscheduler', sys_sched_setscheduler, STORED, 'int', 'int', 'ptr'),
  full(SYS_sched_getscheduler, 'sched_getscheduler', sys_sched_getscheduler, 'int'),
  partial(SYS_sched_setparam, 'sched_setparam', sys_sched_setparam, STORED, 'int', 'ptr'),
  full(SYS_sched_getparam, 'sched_getparam', sys_sched_getparam, 'int', 'ptr'),
  full(SYS_sched_getattr, 'sched_getattr', sys_sched_getattr, 'int', 'ptr', 'uint', 'uint'),
  partial(SYS_sched_setattr, 'sched_setattr', sys_sched_setattr, `${STORED}; no deadline policy`, 'int', 'ptr', 'uint'),
  full(SYS_sched_rr_get_interval, 'sched_rr_get_interval', sys_sched_rr_get_interval, 'int', 'ptr'),
  partial(SYS_getcpu, 'getcpu', sys_getcpu, 'always CPU 0', 'ptr', 'ptr', 'ptr'),
  full(SYS_getpriority, 'getpriority', sys_getpriority, 'int', 'int'),
  partial(SYS_setpriority, 'setpriority', sys_setpriority, STORED, 'int', 'int', 'int'),
  full(SYS_ioprio_get, 'ioprio_get', sys_ioprio_get, 'int', 'int'),
  partial(SYS_ioprio_set, 'ioprio_set', sys_ioprio_set, STORED, 'int', 'int', 'hex'),
];
