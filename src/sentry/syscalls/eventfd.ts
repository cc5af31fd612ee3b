// Descriptors of events, timers and signals: eventfd(2), timerfd_create(2), signalfd(2).

import { CAP_WAKE_ALARM } from '../../abi/capability.ts';
import { EBADF, EFAULT, EINVAL, EPERM } from '../../abi/errno.ts';
import {
  EFD_CLOEXEC,
  EFD_NONBLOCK,
  EFD_SEMAPHORE,
  SFD_CLOEXEC,
  SFD_NONBLOCK,
  TFD_CLOEXEC,
  TFD_NONBLOCK,
  TFD_TIMER_ABSTIME,
  TFD_TIMER_CANCEL_ON_SET,
} from '../../abi/eventfd.ts';
import {
  SYS_eventfd,
  SYS_eventfd2,
  SYS_signalfd,
  SYS_signalfd4,
  SYS_timerfd_create,
  SYS_timerfd_gettime,
  SYS_timerfd_settime,
} from '../../abi/nr.ts';
import { CLOCK_BOOTTIME, CLOCK_BOOTTIME_ALARM, CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_REALTIME_ALARM } from '../../abi/time.ts';
import { getI64, getU32, putU64 } from '../../base/bytes.ts';
import { EventFile } from '../fs/event/eventfd.ts';
import { SignalFile } from '../fs/event/signalfd.ts';
import { TimerFile, TimerSetting } from '../fs/event/timerfd.ts';
import type { Task } from '../kernel/task.ts';
import { full, partial, type Row } from './row.ts';

const SIGSET_SIZE = 8;
const ITIMERSPEC_SIZE = 32;
const buf = new Uint8Array(ITIMERSPEC_SIZE);
const setting = new TimerSetting();

function makeEventfd(t: Task, flags: number): number {
  if ((flags & ~(EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC)) !== 0) return -EINVAL;
  const f = new EventFile(t.argU(0), (flags & EFD_SEMAPHORE) !== 0, flags & EFD_NONBLOCK);
  return t.fds.install(f, (flags & EFD_CLOEXEC) !== 0);
}

/** eventfd(2) without flags. */
export function sys_eventfd(t: Task): number {
  return makeEventfd(t, 0);
}

/** eventfd2(2). */
export function sys_eventfd2(t: Task): number {
  return makeEventfd(t, t.argI(1));
}

/** timerfd_create(2). */
export function sys_timerfd_create(t: Task): number {
  const clock = t.argI(0);
  const flags = t.argI(1);
  if ((flags & ~(TFD_NONBLOCK | TFD_CLOEXEC)) !== 0) return -EINVAL;
  const alarm = clock === CLOCK_REALTIME_ALARM || clock === CLOCK_BOOTTIME_ALARM;
  if (clock !== CLOCK_REALTIME && clock !== CLOCK_MONOTONIC && clock !== CLOCK_BOOTTIME && !alarm) return -EINVAL;
  if (alarm && !t.creds.has(CAP_WAKE_ALARM)) return -EPERM;
  const base = clock === CLOCK_REALTIME_ALARM ? CLOCK_REALTIME : clock === CLOCK_BOOTTIME_ALARM ? CLOCK_BOOTTIME : clock;
  return t.fds.install(new TimerFile(t.kernel, base, flags & TFD_NONBLOCK), (flags & TFD_CLOEXEC) !== 0);
}

function timerAt(t: Task): TimerFile | number {
  const f = t.fds.get(t.argI(0));
  if (f === null) return -EBADF;
  return f instanceof TimerFile ? f : -EINVAL;
}

function writeSetting(t: Task, f: TimerFile, addr: number): number {
  f.get(setting);
  putU64(buf, 0, setting.intervalSec);
  putU64(buf, 8, setting.intervalNsec);
  putU64(buf, 16, setting.valueSec);
  putU64(buf, 24, setting.valueNsec);
  return t.copyOut(addr, buf, 0, ITIMERSPEC_SIZE);
}

/** timerfd_settime(2). */
export function sys_timerfd_settime(t: Task): number {
  const flags = t.argI(1);
  if (t.copyIn(t.arg(2), buf, 0, ITIMERSPEC_SIZE) < 0) return -EFAULT;
  if ((flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET)) !== 0) return -EINVAL;
  const next = new TimerSetting();
  next.intervalSec = getI64(buf, 0);
  next.intervalNsec = getI64(buf, 8);
  next.valueSec = getI64(buf, 16);
  next.valueNsec = getI64(buf, 24);
  if (next.intervalSec < 0 || next.intervalNsec < 0 || next.intervalNsec > 999999999) return -EINVAL;
  if (next.valueSec < 0 || next.valueNsec < 0 || next.valueNsec > 999999999) return -EINVAL;
  const f = timerAt(t);
  if (typeof f === 'number') return f;
  if (t.arg(3) !== 0 && writeSetting(t, f, t.arg(3)) < 0) return -EFAULT;
  f.set(next, (flags & TFD_TIMER_ABSTIME) !== 0, flags);
  return 0;
}

/** timerfd_gettime(2). */
export function sys_timerfd_gettime(t: Task): number {
  const f = timerAt(t);
  return typeof f === 'number' ? f : writeSetting(t, f, t.arg(1));
}

function makeSignalfd(t: Task, flags: number): number {
  if ((flags & ~(SFD_NONBLOCK | SFD_CLOEXEC)) !== 0) return -EINVAL;
  if (t.arg(2) !== SIGSET_SIZE) return -EINVAL;
  if (t.copyIn(t.arg(1), buf, 0, SIGSET_SIZE) < 0) return -EFAULT;
  const lo = getU32(buf, 0);
  const hi = getU32(buf, 4);
  const fd = t.argI(0);
  if (fd === -1) return t.fds.install(new SignalFile(lo, hi, flags & SFD_NONBLOCK), (flags & SFD_CLOEXEC) !== 0);
  const f = t.fds.get(fd);
  if (f === null) return -EBADF;
  if (!(f instanceof SignalFile)) return -EINVAL;
  f.setMask(lo, hi);
  return fd;
}

/** signalfd(2) without flags. */
export function sys_signalfd(t: Task): number {
  return makeSignalfd(t, 0);
}

/** signalfd4(2). */
export function sys_signalfd4(t: Task): number {
  return makeSignalfd(t, t.argI(3));
}

export const rows: readonly Row[] = [
  full(SYS_eventfd, 'eventfd', sys_eventfd, 'uint'),
  full(SYS_eventfd2, 'eventfd2', sys_eventfd2, 'uint', 'hex'),
  partial(SYS_timerfd_create, 'timerfd_create', sys_timerfd_create, 'the machine is never woken by an alarm clock', 'int', 'hex'),
  partial(
    SYS_timerfd_settime,
    'timerfd_settime',
    sys_timerfd_settime,
    'a step of the host clock is not noticed',
    'fd',
    'hex',
    'ptr',
    'ptr',
  ),
  full(SYS_timerfd_gettime, 'timerfd_gettime', sys_timerfd_gettime, 'fd', 'ptr'),
  full(SYS_signalfd, 'signalfd', sys_signalfd, 'fd', 'ptr', 'size'),
  full(SYS_signalfd4, 'signalfd4', sys_signalfd4, 'fd', 'ptr', 'size', 'hex'),
];
