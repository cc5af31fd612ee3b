// Clocks and accounting: clock_gettime(2), gettimeofday(2), times(2), getrusage(2), adjtimex(2).

import { CAP_SYS_TIME } from '../../abi/capability.ts';
import { EFAULT, EINVAL, EOPNOTSUPP, EPERM } from '../../abi/errno.ts';
import { RUSAGE, TIMEX } from '../../abi/layouts.ts';
import {
  SYS_adjtimex,
  SYS_clock_adjtime,
  SYS_clock_getres,
  SYS_clock_gettime,
  SYS_clock_settime,
  SYS_getrusage,
  SYS_gettimeofday,
  SYS_settimeofday,
  SYS_time,
  SYS_times,
} from '../../abi/nr.ts';
import { RUSAGE_CHILDREN, RUSAGE_SELF, RUSAGE_THREAD } from '../../abi/resource.ts';
import {
  CLOCK_MONOTONIC_COARSE,
  CLOCK_PROCESS_CPUTIME_ID,
  CLOCK_REALTIME,
  CLOCK_REALTIME_COARSE,
  CLOCK_SGI_CYCLE,
  CLOCK_TAI,
  CLOCK_THREAD_CPUTIME_ID,
  STA_UNSYNC,
  TIME_ERROR,
} from '../../abi/time.ts';
import { getI32, getU32, putU32, putU64 } from '../../base/bytes.ts';
import { monotonicNs, readClock, realtime } from '../../base/clock.ts';
import type { Task } from '../kernel/task.ts';
import { groupCpuNs, groupUsage, taskCpuNs, taskUsage, Usage } from '../kernel/usage.ts';
import { full, partial, type Row } from './row.ts';
import { putRusage } from './rusage.ts';

/** USER_HZ: what times(2) counts in. */
const USER_HZ = 100;
const COARSE_NS = 4000000;
/** Seconds since 1970 that a clock may be set to: Linux keeps 30 years in reserve for the machine's uptime. */
const SETTABLE_SECONDS = 9223372036 - 30 * 365 * 24 * 3600;
/** The low bits of the number of a clock that a descriptor names (clock_getres(2)). */
const CLOCKFD = 3;
const now = new Float64Array(2);
const out = new Uint8Array(RUSAGE.size);
const usage = new Usage();

function putTimespec(t: Task, addr: number, ns: number): number {
  putU64(out, 0, Math.floor(ns / 1e9));
  putU64(out, 8, ns % 1e9);
  return t.copyOut(addr, out, 0, 16);
}

/** Processor time that a clock number of clock_getcpuclockid(3) or pthread_getcpuclockid(3) names; -EINVAL. */
function cpuClock(t: Task, id: number): number {
  const pid = ~(id >> 3);
  const thread = (id & 4) !== 0;
  if ((id & 3) === 3) return -EINVAL;
  if (thread) {
    const task = pid === 0 ? t : t.pidns.task(pid);
    return task === null || task.tg !== t.tg ? -EINVAL : taskCpuNs(task);
  }
  const g = pid === 0 ? t.tg : t.pidns.group(pid);
  return g === null ? -EINVAL : groupCpuNs(g);
}

/** clock_gettime(2). */
export function sys_clock_gettime(t: Task): number {
  const id = t.argI(0);
  if (id < 0 || id === CLOCK_PROCESS_CPUTIME_ID || id === CLOCK_THREAD_CPUTIME_ID) {
    const ns = id === CLOCK_PROCESS_CPUTIME_ID ? groupCpuNs(t.tg) : id === CLOCK_THREAD_CPUTIME_ID ? taskCpuNs(t) : cpuClock(t, id);
    return ns < 0 ? ns : putTimespec(t, t.arg(1), ns);
  }
  if (id > CLOCK_TAI || id === CLOCK_SGI_CYCLE) return -EINVAL;
  const r = readClock(id, now);
  if (r < 0) return r;
  putU64(out, 0, now[0]!);
  putU64(out, 8, now[1]!);
  return t.copyOut(t.arg(1), out, 0, 16);
}

/** clock_getres(2). */
export function sys_clock_getres(t: Task): number {
  const id = t.argI(0);
  if (id > CLOCK_TAI || id === CLOCK_SGI_CYCLE) return -EINVAL;
  if (id < 0) {
    const ns = cpuClock(t, id);
    if (ns < 0) return ns;
  }
  if (t.arg(1) === 0) return 0;
  return putTimespec(t, t.arg(1), id === CLOCK_REALTIME_COARSE || id === CLOCK_MONOTONIC_COARSE ? COARSE_NS : 1);
}

/** Reads a time of day to set, with its fraction in units of 1/`scale` s. 0, or -errno for one that no clock can be set to. */
function timeToSet(t: Task, addr: number, scale: number): number {
  if (t.copyIn(addr, out, 0, 16) < 0) return -EFAULT;
  const sec = getI32(out, 4) * 4294967296 + getU32(out, 0);
  const fraction = getI32(out, 12) * 4294967296 + getU32(out, 8);
  return sec < 0 || sec >= SETTABLE_SECONDS || fraction < 0 || fraction >= scale ? -EINVAL : 0;
}

/** clock_settime(2): a sandbox has no clock of its own to set. */
export function sys_clock_settime(t: Task): number {
  const id = t.argI(0);
  if (id >= 0 && id !== CLOCK_REALTIME && id !== CLOCK_PROCESS_CPUTIME_ID && id !== CLOCK_THREAD_CPUTIME_ID) return -EINVAL;
  if (id < 0 && (id & 7) === CLOCKFD) return -EINVAL;
  if (id !== CLOCK_REALTIME) return t.copyIn(t.arg(1), out, 0, 16) < 0 ? -EFAULT : id < 0 && cpuClock(t, id) < 0 ? -EINVAL : -EPERM;
  const err = timeToSet(t, t.arg(1), 1e9);
  return err < 0 ? err : -EPERM;
}

/** settimeofday(2): as clock_settime(2). */
export function sys_settimeofday(t: Task): number {
  const err = t.arg(0) === 0 ? 0 : timeToSet(t, t.arg(0), 1e6);
  if (err < 0) return err;
  return t.arg(1) !== 0 && t.copyIn(t.arg(1), out, 0, 8) < 0 ? -EFAULT : -EPERM;
}

/** gettimeofday(2). */
export function sys_gettimeofday(t: Task): number {
  if (t.arg(0) !== 0) {
    realtime(now);
    putU64(out, 0, now[0]!);
    putU64(out, 8, Math.floor(now[1]! / 1000));
    if (t.copyOut(t.arg(0), out, 0, 16) < 0) return -EFAULT;
  }
  if (t.arg(1) === 0) return 0;
  out.fill(0, 0, 8);
  return t.copyOut(t.arg(1), out, 0, 8);
}

/** time(2). */
export function sys_time(t: Task): number {
  realtime(now);
  const sec = now[0]!;
  if (t.arg(0) !== 0 && t.writeU64(t.arg(0), sec) < 0) return -EFAULT;
  return sec;
}

function ticks(ns: number): number {
  return Math.floor((ns * USER_HZ) / 1e9);
}

/** times(2). */
export function sys_times(t: Task): number {
  if (t.arg(0) !== 0) {
    groupUsage(t.tg, t, usage);
    putU64(out, 0, ticks(usage.userNs));
    putU64(out, 8, ticks(usage.systemNs));
    putU64(out, 16, ticks(t.tg.childUsage.userNs));
    putU64(out, 24, ticks(t.tg.childUsage.systemNs));
    if (t.copyOut(t.arg(0), out, 0, 32) < 0) return -EFAULT;
  }
  return ticks(monotonicNs());
}

/** getrusage(2). */
export function sys_getrusage(t: Task): number {
  const who = t.argI(0);
  if (who !== RUSAGE_SELF && who !== RUSAGE_CHILDREN && who !== RUSAGE_THREAD) return -EINVAL;
  if (who === RUSAGE_SELF) groupUsage(t.tg, t, usage);
  else if (who === RUSAGE_THREAD) taskUsage(t, usage);
  putRusage(who === RUSAGE_CHILDREN ? t.tg.childUsage : usage, out);
  return t.copyOut(t.arg(1), out, 0, RUSAGE.size);
}

/** adjtimex(2) on the struct timex at `addr`: may be looked at only. */
function adjust(t: Task, addr: number): number {
  const b = new Uint8Array(TIMEX.size);
  if (t.copyIn(addr, b, 0, TIMEX.size) < 0) return -EFAULT;
  if (getU32(b, TIMEX.modes) !== 0) return t.creds.has(CAP_SYS_TIME) ? -EOPNOTSUPP : -EPERM;
  b.fill(0);
  realtime(now);
  putU64(b, TIMEX.maxerror, 16000000);
  putU64(b, TIMEX.esterror, 16000000);
  putU32(b, TIMEX.status, STA_UNSYNC);
  putU64(b, TIMEX.constant, 2);
  putU64(b, TIMEX.precision, 1);
  putU64(b, TIMEX.tolerance, 32768000);
  putU64(b, TIMEX.time, now[0]!);
  putU64(b, TIMEX.time + 8, Math.floor(now[1]! / 1000));
  putU64(b, TIMEX.tick, 10000);
  return t.copyOut(addr, b, 0, TIMEX.size) < 0 ? -EFAULT : TIME_ERROR;
}

export function sys_adjtimex(t: Task): number {
  return adjust(t, t.arg(0));
}

export function sys_clock_adjtime(t: Task): number {
  const id = t.argI(0);
  if (id !== CLOCK_REALTIME) return t.copyIn(t.arg(1), new Uint8Array(TIMEX.size), 0, TIMEX.size) < 0 ? -EFAULT : -EOPNOTSUPP;
  return adjust(t, t.arg(1));
}

const QUERY_ONLY = 'clocks cannot be adjusted';

export const rows: readonly Row[] = [
  full(SYS_clock_gettime, 'clock_gettime', sys_clock_gettime, 'int', 'ptr'),
  full(SYS_clock_getres, 'clock_getres', sys_clock_getres, 'int', 'ptr'),
  partial(SYS_clock_settime, 'clock_settime', sys_clock_settime, 'always EPERM', 'int', 'ptr'),
  partial(SYS_settimeofday, 'settimeofday', sys_settimeofday, 'always EPERM', 'ptr', 'ptr'),
  full(SYS_gettimeofday, 'gettimeofday', sys_gettimeofday, 'ptr', 'ptr'),
  full(SYS_time, 'time', sys_time, 'ptr'),
  full(SYS_times, 'times', sys_times, 'ptr'),
  partial(SYS_getrusage, 'getrusage', sys_getrusage, 'no counts of input, output, swaps, messages and switches', 'int', 'ptr'),
  partial(SYS_adjtimex, 'adjtimex', sys_adjtimex, QUERY_ONLY, 'ptr'),
  partial(SYS_clock_adjtime, 'clock_adjtime', sys_clock_adjtime, QUERY_ONLY, 'int', 'ptr'),
];
