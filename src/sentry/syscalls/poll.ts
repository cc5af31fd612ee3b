// Waiting for several descriptors: poll(2), ppoll(2), select(2), pselect6(2).

import { EBADF, EFAULT, EINTR, EINVAL, ENOMEM } from '../../abi/errno.ts';
import { SYS_poll, SYS_ppoll, SYS_pselect6, SYS_select } from '../../abi/nr.ts';
import { POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLPRI, POLLRDBAND, POLLRDNORM, POLLWRBAND, POLLWRNORM } from '../../abi/poll.ts';
import { RLIMIT_NOFILE } from '../../abi/resource.ts';
import { getI32, getI64, getU16, getU32, putU16, putU64 } from '../../base/bytes.ts';
import { monotonicNs } from '../../base/clock.ts';
import { BLOCKED, ERESTARTNOHAND } from '../../base/result.ts';
import { NSEC_PER_MSEC, NSEC_PER_SEC, NSEC_PER_USEC } from '../../base/time.ts';
import { setPoller } from '../fs/event/poller.ts';
import { setMask, setTempMask } from '../kernel/signals.ts';
import type { Task } from '../kernel/task.ts';
import { full, type Row } from './row.ts';

const POLLFD_SIZE = 8;
const SIGSET_SIZE = 8;
/** As large as the sets of C programs are; higher numbers than the table has cannot be open. */
const FD_SETSIZE = 1024;
const spec = new Uint8Array(16);

/** Reads a timespec at `addr` as a duration in ns. -EFAULT or -EINVAL. `addr` 0: Infinity. */
export function readTimeout(t: Task, addr: number): number {
  if (addr === 0) return Infinity;
  if (t.copyIn(addr, spec, 0, 16) < 0) return -EFAULT;
  const sec = getI64(spec, 0);
  const nsec = getI64(spec, 8);
  if (sec < 0 || nsec < 0 || nsec >= NSEC_PER_SEC) return -EINVAL;
  return sec * NSEC_PER_SEC + nsec;
}

/** Takes the set at `addr` as the mask of this call (sigprocmask for its duration). 0 or -errno; `addr` 0: nothing. */
export function tempMaskAt(t: Task, addr: number, size: number): number {
  if (addr === 0) return 0;
  if (size !== SIGSET_SIZE) return -EINVAL;
  if (t.copyIn(addr, spec, 0, 8) < 0) return -EFAULT;
  if (t.rs.fresh) setTempMask(t, getU32(spec, 0), getU32(spec, 4));
  return 0;
}

/**
 * The end of a call with a mask of its own: the old mask comes back before signals are looked at, unless one of them is why the call ends
 * (restore_saved_sigmask_unless). Answers `result`.
 */
export function endTempMask(t: Task, result: number): number {
  if (t.hasSavedMask && result !== BLOCKED && result !== -EINTR && result !== -ERESTARTNOHAND) {
    t.hasSavedMask = false;
    setMask(t, t.savedMaskLo, t.savedMaskHi);
  }
  return result;
}

/** Begins or goes on with the wait: deadline `ns` from the first invocation. True when there is no time to wait (left). */
function timeUp(t: Task, ns: number): boolean {
  if (t.rs.fresh) t.rs.deadline = ns === Infinity ? Infinity : monotonicNs() + ns;
  return ns === 0 || t.expired();
}

/** Nanoseconds that are left until the deadline. */
function timeLeft(t: Task): number {
  const left = t.rs.deadline - monotonicNs();
  return left > 0 ? left : 0;
}

/** What one struct pollfd reports now. */
function pollOne(t: Task, fds: Uint8Array, at: number): number {
  const fd = getI32(fds, at);
  if (fd < 0) return 0;
  const f = t.fds.get(fd);
  if (f === null) return POLLNVAL;
  return f.poll() & (getU16(fds, at + 4) | POLLERR | POLLHUP);
}

function doPoll(t: Task, ns: number): number {
  const addr = t.arg(0);
  const count = t.argU(1);
  if (count > t.rlimit(RLIMIT_NOFILE)) return -EINVAL;
  const bytes = count * POLLFD_SIZE;
  const fds = t.scratch;
  if (bytes > fds.length) return -ENOMEM;
  if (count > 0 && t.copyIn(addr, fds, 0, bytes) < 0) return -EFAULT;
  const up = timeUp(t, ns);
  setPoller(t);
  let ready = 0;
  for (let at = 0; at < bytes; at += POLLFD_SIZE) {
    const got = pollOne(t, fds, at);
    putU16(fds, at + 6, got);
    if (got !== 0) ready++;
  }
  if (ready === 0 && !up) {
    for (let at = 0; at < bytes; at += POLLFD_SIZE) {
      const f = t.fds.get(getI32(fds, at));
      if (f === null) continue;
      const r = t.waitOn(f.queue, getU16(fds, at + 4) | POLLERR | POLLHUP, ERESTARTNOHAND);
      if (r !== BLOCKED) return r;
    }
    return t.block(ERESTARTNOHAND);
  }
  if (count > 0 && t.copyOut(addr, fds, 0, bytes) < 0) return -EFAULT;
  return ready;
}

/** poll(2): timeout in milliseconds, negative: for ever. */
export function sys_poll(t: Task): number {
  const ms = t.argI(2);
  return doPoll(t, ms < 0 ? Infinity : ms * NSEC_PER_MSEC);
}

/** ppoll(2): the timespec is set to what is left of it, as the system call does. */
export function sys_ppoll(t: Task): number {
  const tsp = t.arg(2);
  const ns = t.rs.fresh ? readTimeout(t, tsp) : t.rs.deadline;
  if (ns < 0) return ns;
  const r = tempMaskAt(t, t.arg(3), t.arg(4));
  if (r < 0) return r;
  const n = doPoll(t, ns);
  if (n !== BLOCKED && tsp !== 0) writeLeft(t, tsp, 1);
  return endTempMask(t, n);
}

/** Writes what is left of the timeout; `unit` nanoseconds make one of the second word. Failure is of no consequence (poll_select_finish). */
function writeLeft(t: Task, addr: number, unit: number): void {
  const left = timeLeft(t);
  const sec = Math.floor(left / NSEC_PER_SEC);
  putU64(spec, 0, sec);
  putU64(spec, 8, Math.floor((left - sec * NSEC_PER_SEC) / unit));
  t.copyOut(addr, spec, 0, 16);
}

// What each of select's three sets means in poll's terms.
const SETS = [POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR, POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR, POLLPRI] as const;

/** The sets lie in scratch one behind another, `bytes` each: asked for at 0, answers behind them. */
function doSelect(t: Task, ns: number): number {
  let n = t.argI(0);
  if (n < 0) return -EINVAL;
  const most = t.fds.size > FD_SETSIZE ? t.fds.size : FD_SETSIZE;
  if (n > most) n = most;
  const bytes = ((n + 63) >> 6) << 3;
  const buf = t.scratch;
  if (bytes * 6 > buf.length) return -ENOMEM;
  for (let s = 0; s < 3; s++) {
    const addr = t.arg(1 + s);
    if (addr === 0) buf.fill(0, s * bytes, (s + 1) * bytes);
    else if (bytes > 0 && t.copyIn(addr, buf, s * bytes, bytes) < 0) return -EFAULT;
  }
  const up = timeUp(t, ns);
  setPoller(t);
  buf.fill(0, bytes * 3, bytes * 6);
  let ready = 0;
  for (let fd = next(buf, bytes, 0, n); fd < n; fd = next(buf, bytes, fd + 1, n)) {
    const want = wanted(buf, bytes, fd);
    const f = t.fds.get(fd);
    if (f === null) return -EBADF;
    const got = f.poll();
    for (let s = 0; s < 3; s++) {
      if ((want & (1 << s)) === 0 || (got & SETS[s]!) === 0) continue;
      buf[(3 + s) * bytes + (fd >> 3)]! |= 1 << (fd & 7);
      ready++;
    }
  }
  if (ready === 0 && !up) {
    for (let fd = next(buf, bytes, 0, n); fd < n; fd = next(buf, bytes, fd + 1, n)) {
      const want = wanted(buf, bytes, fd);
      let mask = 0;
      for (let s = 0; s < 3; s++) if ((want & (1 << s)) !== 0) mask |= SETS[s]!;
      const r = t.waitOn(t.fds.get(fd)!.queue, mask, ERESTARTNOHAND);
      if (r !== BLOCKED) return r;
    }
    return t.block(ERESTARTNOHAND);
  }
  for (let s = 0; s < 3; s++) {
    const addr = t.arg(1 + s);
    if (addr !== 0 && bytes > 0 && t.copyOut(addr, buf, (3 + s) * bytes, bytes) < 0) return -EFAULT;
  }
  return ready;
}

/** The first descriptor from `fd` on that any of the three sets names; `n` or more: none. */
function next(buf: Uint8Array, bytes: number, fd: number, n: number): number {
  while (fd < n) {
    const at = fd >> 3;
    const any = (buf[at]! | buf[bytes + at]! | buf[2 * bytes + at]!) >> (fd & 7);
    if (any !== 0) return fd + (31 - Math.clz32(any & -any));
    fd = (at + 1) << 3;
  }
  return fd;
}

/** Which of the three sets name `fd`, as bits 0 to 2. */
function wanted(buf: Uint8Array, bytes: number, fd: number): number {
  const at = fd >> 3;
  const bit = fd & 7;
  return ((buf[at]! >> bit) & 1) | (((buf[bytes + at]! >> bit) & 1) << 1) | (((buf[2 * bytes + at]! >> bit) & 1) << 2);
}

/** select(2): the timeval is set to what is left of it. */
export function sys_select(t: Task): number {
  const tvp = t.arg(4);
  let ns = Infinity;
  if (!t.rs.fresh) ns = t.rs.deadline;
  else if (tvp !== 0) {
    if (t.copyIn(tvp, spec, 0, 16) < 0) return -EFAULT;
    const sec = getI64(spec, 0);
    const usec = getI64(spec, 8);
    if (sec < 0 || usec < 0) return -EINVAL;
    ns = sec === 0 && usec === 0 ? 0 : sec * NSEC_PER_SEC + usec * NSEC_PER_USEC;
  }
  const n = doSelect(t, ns);
  if (n !== BLOCKED && tvp !== 0) writeLeft(t, tvp, NSEC_PER_USEC);
  return n;
}

/** pselect6(2): the sixth argument points to { const sigset_t *ss; size_t size }. */
export function sys_pselect6(t: Task): number {
  const tsp = t.arg(4);
  const ns = t.rs.fresh ? readTimeout(t, tsp) : t.rs.deadline;
  if (ns < 0) return ns;
  const sig = t.arg(5);
  if (sig !== 0 && t.rs.fresh) {
    const set = t.readU64(sig);
    const size = t.readU64(sig + 8);
    if (set < 0 || size < 0) return -EFAULT;
    const r = tempMaskAt(t, set, size);
    if (r < 0) return r;
  }
  const n = doSelect(t, ns);
  if (n !== BLOCKED && tsp !== 0) writeLeft(t, tsp, 1);
  return endTempMask(t, n);
}

export const rows: readonly Row[] = [
  full(SYS_poll, 'poll', sys_poll, 'ptr', 'uint', 'int'),
  full(SYS_ppoll, 'ppoll', sys_ppoll, 'ptr', 'uint', 'ptr', 'ptr', 'size'),
  full(SYS_select, 'select', sys_select, 'int', 'ptr', 'ptr', 'ptr', 'ptr'),
  full(SYS_pselect6, 'pselect6', sys_pselect6, 'int', 'ptr', 'ptr', 'ptr', 'ptr', 'ptr'),
];
