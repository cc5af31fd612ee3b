// Sleeping and timers: nanosleep, alarm, setitimer, timer_create (clock_nanosleep(2), setitimer(2), timer_create(2)).

import { EAGAIN, EFAULT, EINVAL, EOPNOTSUPP } from '../../abi/errno.ts';
import {
  SYS_alarm,
  SYS_clock_nanosleep,
  SYS_getitimer,
  SYS_nanosleep,
  SYS_setitimer,
  SYS_timer_create,
  SYS_timer_delete,
  SYS_timer_getoverrun,
  SYS_timer_gettime,
  SYS_timer_settime,
} from '../../abi/nr.ts';
import { SIGALRM, SIGPROF, SIGVTALRM } from '../../abi/signal.ts';
import {
  CLOCK_BOOTTIME,
  CLOCK_MONOTONIC,
  CLOCK_MONOTONIC_RAW,
  CLOCK_PROCESS_CPUTIME_ID,
  CLOCK_REALTIME,
  CLOCK_TAI,
  CLOCK_THREAD_CPUTIME_ID,
  ITIMER_PROF,
  ITIMER_REAL,
  TIMER_ABSTIME,
} from '../../abi/time.ts';
import { getI32, getI64, getU32, putU64 } from '../../base/bytes.ts';
import { monotonicNs, realtime } from '../../base/clock.ts';
import { BLOCKED, ERESTART_RESTARTBLOCK } from '../../base/result.ts';
import { CpuTimer, stopCpuWatch } from '../kernel/cputimers.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { SigInfo } from '../kernel/siginfo.ts';
import { signalGroup, signalTask } from '../kernel/signals.ts';
import type { Task } from '../kernel/task.ts';
import type { ThreadGroup } from '../kernel/threadgroup.ts';
import { Timer } from '../kernel/timers.ts';
import { full, partial, type Row } from './row.ts';

const SI_KERNEL = 0x80;
const SI_TIMER = -2;
const SIGEV_SIGNAL = 0;
const SIGEV_NONE = 1;
const SIGEV_THREAD_ID = 4;
const CLOCK_REALTIME_ALARM = 8;
const CLOCK_BOOTTIME_ALARM = 9;
/** Timers per process, as RLIMIT_SIGPENDING would bound them. */
const TIMERS_MOST = 4096;
const clock = new Float64Array(2);

/** Reads a timespec: nanoseconds as a double, -EFAULT or -EINVAL. */
function readTimespec(t: Task, addr: number): number {
  const b = t.kernel.tmp;
  if (t.copyIn(addr, b, 0, 16) < 0) return -EFAULT;
  const sec = getI64(b, 0);
  const nsec = getI64(b, 8);
  if (sec < 0 || nsec < 0 || nsec >= 1e9) return -EINVAL;
  return Math.min(sec * 1e9 + nsec, 2 ** 62);
}

/** The monotonic deadline of an absolute time on `id`, or -EINVAL for clocks that cannot wait. */
function absolute(id: number, ns: number): number {
  if (id === CLOCK_REALTIME || id === CLOCK_TAI || id === CLOCK_REALTIME_ALARM) {
    realtime(clock);
    return monotonicNs() + ns - (clock[0]! * 1e9 + clock[1]!);
  }
  return ns;
}

function waits(id: number): boolean {
  return (
    id === CLOCK_REALTIME ||
    id === CLOCK_MONOTONIC ||
    id === CLOCK_BOOTTIME ||
    id === CLOCK_TAI ||
    id === CLOCK_REALTIME_ALARM ||
    id === CLOCK_BOOTTIME_ALARM
  );
}

function sleep(t: Task, remain: number): number {
  if (t.expired()) return 0;
  // With a handler this becomes EINTR; without one the call goes on with the deadline that it has.
  const r = t.block(ERESTART_RESTARTBLOCK);
  if (r === BLOCKED || remain === 0) return r;
  const left = Math.max(0, t.rs.deadline - monotonicNs());
  const b = t.kernel.tmp;
  putU64(b, 0, Math.floor(left / 1e9));
  putU64(b, 8, Math.floor(left % 1e9));
  return t.copyOut(remain, b, 0, 16) < 0 ? -EFAULT : r;
}

export function sys_nanosleep(t: Task): number {
  if (t.rs.fresh) {
    const ns = readTimespec(t, t.arg(0));
    if (ns < 0) return ns;
    t.setDeadline(monotonicNs() + ns);
  }
  return sleep(t, t.arg(1));
}

export function sys_clock_nanosleep(t: Task): number {
  const id = t.argI(0);
  const flags = t.argI(1);
  if (id === CLOCK_MONOTONIC_RAW) return -EOPNOTSUPP;
  if (!waits(id) && id !== 2 && id !== 3 && id >= 0) return -EINVAL;
  const abs = (flags & TIMER_ABSTIME) !== 0;
  if (t.rs.fresh) {
    const ns = readTimespec(t, t.arg(2));
    if (ns < 0) return ns;
    if (!waits(id)) return -EOPNOTSUPP;
    t.setDeadline(abs ? absolute(id, ns) : monotonicNs() + ns);
  }
  return sleep(t, abs ? 0 : t.arg(3));
}

/** The interval timer `which` of a group, made on demand. */
function itimer(g: ThreadGroup, which: number): NonNullable<ThreadGroup['itimers'][number]> {
  let it = g.itimers[which] ?? null;
  if (it === null) {
    const timer = new Timer(() => {
      const me = g.itimers[which]!;
      signalGroup(g, new SigInfo(SIGALRM, SI_KERNEL));
      if (me.intervalNs > 0) g.kernel.timers.arm(timer, nextAfter(timer.deadline, me.intervalNs));
    });
    it = { timer, intervalNs: 0, clock: CLOCK_MONOTONIC };
    g.itimers[which] = it;
  }
  return it;
}

/** ITIMER_VIRTUAL and ITIMER_PROF of a group, made on demand. User and system time are one here. */
function cpuItimer(g: ThreadGroup, which: number): CpuTimer {
  let c = g.cpuItimers[which - 1] ?? null;
  if (c === null) {
    const signal = which === ITIMER_PROF ? SIGPROF : SIGVTALRM;
    c = new CpuTimer(g, null, () => signalGroup(g, new SigInfo(signal, SI_KERNEL)));
    g.cpuItimers[which - 1] = c;
  }
  return c as CpuTimer;
}

/** The first multiple of `interval` behind `from` that lies ahead. */
function nextAfter(from: number, interval: number): number {
  const now = monotonicNs();
  return from + Math.max(1, Math.ceil((now - from) / interval)) * interval;
}

function readTimeval(b: Uint8Array, off: number): number {
  const sec = getI64(b, off);
  const usec = getI64(b, off + 8);
  if (sec < 0 || usec < 0 || usec >= 1e6) return -EINVAL;
  return sec * 1e9 + usec * 1e3;
}

function putTimeval(b: Uint8Array, off: number, ns: number): void {
  putU64(b, off, Math.floor(ns / 1e9));
  putU64(b, off + 8, Math.floor((ns % 1e9) / 1e3));
}

function writeItimer(t: Task, addr: number, which: number): number {
  const b = t.kernel.tmp;
  if (which !== ITIMER_REAL) {
    const c = cpuItimer(t.tg, which);
    putTimeval(b, 0, c.intervalNs);
    putTimeval(b, 16, c.armed ? Math.max(1000, c.expires - c.now()) : 0);
    return t.copyOut(addr, b, 0, 32);
  }
  const it = t.tg.itimers[which] ?? null;
  putTimeval(b, 0, it === null ? 0 : it.intervalNs);
  putTimeval(b, 16, it === null || !it.timer.armed ? 0 : Math.max(1000, it.timer.deadline - monotonicNs()));
  return t.copyOut(addr, b, 0, 32);
}

export function sys_getitimer(t: Task): number {
  const which = t.argI(0);
  if (which < 0 || which > 2) return -EINVAL;
  return writeItimer(t, t.arg(1), which);
}

export function sys_setitimer(t: Task): number {
  const which = t.argI(0);
  const b = t.kernel.tmp;
  let interval = 0;
  let value = 0;
  if (t.arg(1) !== 0) {
    if (t.copyIn(t.arg(1), b, 0, 32) < 0) return -EFAULT;
    interval = readTimeval(b, 0);
    value = readTimeval(b, 16);
    if (interval < 0 || value < 0) return -EINVAL;
  }
  if (which < 0 || which > 2) return -EINVAL;
  if (t.arg(2) !== 0 && writeItimer(t, t.arg(2), which) < 0) return -EFAULT;
  if (which !== ITIMER_REAL) {
    const c = cpuItimer(t.tg, which);
    c.arm(value > 0 ? c.now() + value : Infinity, interval);
    return 0;
  }
  const it = itimer(t.tg, which);
  it.intervalNs = interval;
  if (value > 0) t.kernel.timers.arm(it.timer, monotonicNs() + value);
  else t.kernel.timers.cancel(it.timer);
  return 0;
}

export function sys_alarm(t: Task): number {
  const it = itimer(t.tg, ITIMER_REAL);
  const left = it.timer.armed ? Math.max(1, Math.round((it.timer.deadline - monotonicNs()) / 1e9)) : 0;
  it.intervalNs = 0;
  const sec = t.argU(0);
  if (sec > 0) t.kernel.timers.arm(it.timer, monotonicNs() + sec * 1e9);
  else t.kernel.timers.cancel(it.timer);
  return left;
}

/** One timer of timer_create(2). */
class PosixTimer {
  readonly id: number;
  readonly clock: number;
  readonly signal: number;
  readonly valueLo: number;
  readonly valueHi: number;
  /** SIGEV_THREAD_ID: the thread; null: the process; signal 0: nobody. */
  readonly thread: Task | null;
  readonly timer: Timer;
  /** In place of `timer` for a CPU clock. */
  readonly cpu: CpuTimer | null;
  intervalNs = 0;
  overrun = 0;
  private pending: SigInfo | null = null;

  constructor(
    g: ThreadGroup,
    id: number,
    clockId: number,
    signal: number,
    valueLo: number,
    valueHi: number,
    thread: Task | null,
    cpu: Task | boolean,
  ) {
    this.id = id;
    this.clock = clockId;
    this.signal = signal;
    this.valueLo = valueLo;
    this.valueHi = valueHi;
    this.thread = thread;
    this.timer = new Timer(() => this.fire(g));
    this.cpu = cpu === false ? null : new CpuTimer(g, cpu === true ? null : cpu, (more) => this.send(g, more));
  }

  private fire(g: ThreadGroup): void {
    let extra = 0;
    if (this.intervalNs > 0) {
      const next = nextAfter(this.timer.deadline, this.intervalNs);
      extra = Math.round((next - this.timer.deadline) / this.intervalNs) - 1;
      g.kernel.timers.arm(this.timer, next);
    }
    this.send(g, extra);
  }

  private send(g: ThreadGroup, extra: number): void {
    if (this.signal === 0) return;
    const queue = this.thread === null ? g.pending : this.thread.pending;
    const waiting = this.pending;
    if (
      waiting !== null &&
      (this.signal < 32 ? queue.standard[this.signal] === waiting : queue.realtime?.[this.signal - 32]?.includes(waiting) === true)
    ) {
      waiting.overrun += 1 + extra;
      this.overrun = waiting.overrun;
      return;
    }
    const info = new SigInfo(this.signal, SI_TIMER);
    info.timerId = this.id;
    info.overrun = extra;
    info.valueLo = this.valueLo;
    info.valueHi = this.valueHi;
    this.overrun = extra;
    this.pending = info;
    if (this.thread === null) signalGroup(g, info);
    else signalTask(this.thread, info);
  }
}

function timersOf(g: ThreadGroup): Map<number, PosixTimer> {
  if (g.posixTimers === null) g.posixTimers = new Map();
  return g.posixTimers as Map<number, PosixTimer>;
}

/** Whose time a CPU clock counts: true: the caller's process; a task: its own. -EINVAL for others. */
function cpuClockOwner(t: Task, id: number): Task | boolean | number {
  if (id === CLOCK_PROCESS_CPUTIME_ID) return true;
  if (id === CLOCK_THREAD_CPUTIME_ID) return t;
  if (id >= 0 || (id & 3) === 3) return -EINVAL;
  const pid = ~(id >> 3);
  if ((id & 4) === 0) return pid === 0 || pid === t.tg.vtgid ? true : -EINVAL;
  const o = pid === 0 ? t : t.pidns.task(pid);
  return o === null || o.tg !== t.tg ? -EINVAL : o;
}

export function sys_timer_create(t: Task): number {
  const id = t.argI(0);
  const b = t.kernel.tmp;
  if (t.arg(1) !== 0 && t.copyIn(t.arg(1), b, 0, 64) < 0) return -EFAULT;
  const cpu = waits(id) ? false : cpuClockOwner(t, id);
  if (typeof cpu === 'number') return cpu;
  const timers = timersOf(t.tg);
  if (timers.size >= TIMERS_MOST) return -EAGAIN;
  let n = t.tg.nextTimerId;
  while (timers.has(n)) n++;
  t.tg.nextTimerId = n + 1;
  let signal: number = SIGALRM;
  let thread: Task | null = null;
  let lo = n;
  let hi = 0;
  if (t.arg(1) !== 0) {
    lo = getU32(b, 0);
    hi = getU32(b, 4);
    signal = getI32(b, 8);
    const notify = getI32(b, 12);
    if (notify === SIGEV_NONE) signal = 0;
    else if (notify !== SIGEV_SIGNAL && notify !== SIGEV_THREAD_ID) return -EINVAL;
    else if (signal < 1 || signal > 64) return -EINVAL;
    if (notify === SIGEV_THREAD_ID) {
      thread = t.pidns.task(getI32(b, 16));
      if (thread === null || thread.tg !== t.tg) return -EINVAL;
    }
  }
  timers.set(n, new PosixTimer(t.tg, n, id, signal, lo, hi, thread, cpu));
  if (t.writeU32(t.arg(2), n) < 0) {
    timers.delete(n);
    return -EFAULT;
  }
  return 0;
}

function putSpec(t: Task, addr: number, p: PosixTimer): number {
  const b = t.kernel.tmp;
  const c = p.cpu;
  const armed = c === null ? p.timer.armed : c.armed;
  const left = !armed ? 0 : Math.max(1, c === null ? p.timer.deadline - monotonicNs() : c.expires - c.now());
  putU64(b, 0, Math.floor(p.intervalNs / 1e9));
  putU64(b, 8, Math.floor(p.intervalNs % 1e9));
  putU64(b, 16, Math.floor(left / 1e9));
  putU64(b, 24, Math.floor(left % 1e9));
  return t.copyOut(addr, b, 0, 32);
}

export function sys_timer_settime(t: Task): number {
  const flags = t.argI(1);
  if (t.arg(2) === 0) return -EINVAL;
  const interval = readTimespec(t, t.arg(2));
  const value = readTimespec(t, t.arg(2) + 16);
  if (interval < 0) return interval;
  if (value < 0) return value;
  const p = timersOf(t.tg).get(t.argI(0));
  if (p === undefined) return -EINVAL;
  if (t.arg(3) !== 0 && putSpec(t, t.arg(3), p) < 0) return -EFAULT;
  p.intervalNs = interval;
  p.overrun = 0;
  if (p.cpu !== null) p.cpu.arm(value === 0 ? Infinity : (flags & TIMER_ABSTIME) !== 0 ? value : p.cpu.now() + value, interval);
  else if (value === 0) t.kernel.timers.cancel(p.timer);
  else t.kernel.timers.arm(p.timer, (flags & TIMER_ABSTIME) !== 0 ? absolute(p.clock, value) : monotonicNs() + value);
  return 0;
}

export function sys_timer_gettime(t: Task): number {
  const p = timersOf(t.tg).get(t.argI(0));
  return p === undefined ? -EINVAL : putSpec(t, t.arg(1), p);
}

export function sys_timer_getoverrun(t: Task): number {
  const p = timersOf(t.tg).get(t.argI(0));
  return p === undefined ? -EINVAL : Math.min(p.overrun, 0x7fffffff);
}

export function sys_timer_delete(t: Task): number {
  const timers = timersOf(t.tg);
  const p = timers.get(t.argI(0));
  if (p === undefined) return -EINVAL;
  t.kernel.timers.cancel(p.timer);
  p.cpu?.arm(Infinity, 0);
  timers.delete(p.id);
  return 0;
}

function dropTimers(g: ThreadGroup): void {
  if (g.posixTimers === null) return;
  for (const p of timersOf(g).values()) {
    g.kernel.timers.cancel(p.timer);
    p.cpu?.arm(Infinity, 0);
  }
  g.posixTimers = null;
}

/** POSIX timers end with their process and at execve. */
export function installTimers(k: Kernel): void {
  k.groupEnded.push(dropTimers, stopCpuWatch);
  k.groupExeced.push(dropTimers);
}

const ONE_TIME = 'ITIMER_VIRTUAL counts system time too';

export const rows: readonly Row[] = [
  full(SYS_nanosleep, 'nanosleep', sys_nanosleep, 'ptr', 'ptr'),
  full(SYS_getitimer, 'getitimer', sys_getitimer, 'int', 'ptr'),
  full(SYS_alarm, 'alarm', sys_alarm, 'uint'),
  partial(SYS_setitimer, 'setitimer', sys_setitimer, ONE_TIME, 'int', 'ptr', 'ptr'),
  partial(SYS_timer_create, 'timer_create', sys_timer_create, 'CPU clocks of the calling process only', 'int', 'ptr', 'ptr'),
  full(SYS_timer_settime, 'timer_settime', sys_timer_settime, 'int', 'int', 'ptr', 'ptr'),
  full(SYS_timer_gettime, 'timer_gettime', sys_timer_gettime, 'int', 'ptr'),
  full(SYS_timer_getoverrun, 'timer_getoverrun', sys_timer_getoverrun, 'int'),
  full(SYS_timer_delete, 'timer_delete', sys_timer_delete, 'int'),
  partial(SYS_clock_nanosleep, 'clock_nanosleep', sys_clock_nanosleep, 'no processor-time clocks', 'int', 'int', 'ptr', 'ptr'),
];
