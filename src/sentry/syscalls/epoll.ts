// epoll(7): epoll_create(2), epoll_ctl(2), epoll_wait(2) and their variants.

import { EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD } from '../../abi/epoll.ts';
import { EBADF, EFAULT, EINTR, EINVAL } from '../../abi/errno.ts';
import { SYS_epoll_create, SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_pwait, SYS_epoll_pwait2, SYS_epoll_wait } from '../../abi/nr.ts';
import { POLLIN } from '../../abi/poll.ts';
import { getU32 } from '../../base/bytes.ts';
import { monotonicNs } from '../../base/clock.ts';
import { NSEC_PER_MSEC } from '../../base/time.ts';
import { EPOLL_EVENT_SIZE, EpollFile } from '../fs/event/epoll.ts';
import { setPoller } from '../fs/event/poller.ts';
import type { Task } from '../kernel/task.ts';
import { endTempMask, readTimeout, tempMaskAt } from './poll.ts';
import { full, type Row } from './row.ts';

const MAX_EVENTS = Math.floor(0x7fffffff / EPOLL_EVENT_SIZE);
const event = new Uint8Array(EPOLL_EVENT_SIZE);

/** epoll_create(2): the size is only checked. */
export function sys_epoll_create(t: Task): number {
  return t.argI(0) <= 0 ? -EINVAL : t.fds.install(new EpollFile(), false);
}

/** epoll_create1(2). */
export function sys_epoll_create1(t: Task): number {
  const flags = t.argI(0);
  if ((flags & ~EPOLL_CLOEXEC) !== 0) return -EINVAL;
  return t.fds.install(new EpollFile(), flags !== 0);
}

/** epoll_ctl(2). */
export function sys_epoll_ctl(t: Task): number {
  const op = t.argI(1);
  const fd = t.argI(2);
  if (op !== EPOLL_CTL_DEL && t.copyIn(t.arg(3), event, 0, EPOLL_EVENT_SIZE) < 0) return -EFAULT;
  const ep = t.fds.get(t.argI(0));
  const file = t.fds.get(fd);
  if (ep === null || file === null) return -EBADF;
  if (!(ep instanceof EpollFile) || file === ep) return -EINVAL;
  setPoller(t);
  switch (op) {
    case EPOLL_CTL_ADD:
      return ep.add(fd, file, getU32(event, 0), getU32(event, 4), getU32(event, 8));
    case EPOLL_CTL_MOD:
      return ep.modify(fd, file, getU32(event, 0), getU32(event, 4), getU32(event, 8));
    case EPOLL_CTL_DEL:
      return ep.remove(fd, file);
    default:
      return -EINVAL;
  }
}

/** Waits up to `ns` nanoseconds from the first invocation. */
function wait(t: Task, ns: number): number {
  const max = t.argI(2);
  const ep = t.fds.get(t.argI(0));
  if (ep === null) return -EBADF;
  if (max <= 0 || max > MAX_EVENTS) return -EINVAL;
  if (!(ep instanceof EpollFile)) return -EINVAL;
  const out = t.scratch;
  const room = Math.floor(out.length / EPOLL_EVENT_SIZE);
  setPoller(t);
  const n = ep.collect(out, max < room ? max : room);
  if (n > 0) return t.copyOut(t.arg(1), out, 0, n * EPOLL_EVENT_SIZE) < 0 ? -EFAULT : n;
  if (ns === 0) return 0;
  if (t.rs.fresh) t.rs.deadline = ns === Infinity ? Infinity : monotonicNs() + ns;
  else if (t.expired()) return 0;
  return t.waitOn(ep.queue, POLLIN, EINTR);
}

/** epoll_wait(2): timeout in milliseconds, negative: for ever. */
export function sys_epoll_wait(t: Task): number {
  const ms = t.argI(3);
  return wait(t, ms < 0 ? Infinity : ms * NSEC_PER_MSEC);
}

/** epoll_pwait(2). */
export function sys_epoll_pwait(t: Task): number {
  const r = tempMaskAt(t, t.arg(4), t.arg(5));
  return r < 0 ? r : endTempMask(t, sys_epoll_wait(t));
}

/** epoll_pwait2(2): timeout as a timespec. */
export function sys_epoll_pwait2(t: Task): number {
  const ns = t.rs.fresh ? readTimeout(t, t.arg(3)) : t.rs.deadline;
  if (ns < 0) return ns;
  const r = tempMaskAt(t, t.arg(4), t.arg(5));
  return r < 0 ? r : endTempMask(t, wait(t, ns));
}

export const rows: readonly Row[] = [
  full(SYS_epoll_create, 'epoll_create', sys_epoll_create, 'int'),
  full(SYS_epoll_create1, 'epoll_create1', sys_epoll_create1, 'hex'),
  full(SYS_epoll_ctl, 'epoll_ctl', sys_epoll_ctl, 'fd', 'int', 'fd', 'ptr'),
  full(SYS_epoll_wait, 'epoll_wait', sys_epoll_wait, 'fd', 'ptr', 'int', 'int'),
  full(SYS_epoll_pwait, 'epoll_pwait', sys_epoll_pwait, 'fd', 'ptr', 'int', 'int', 'ptr', 'size'),
  full(SYS_epoll_pwait2, 'epoll_pwait2', sys_epoll_pwait2, 'fd', 'ptr', 'int', 'ptr', 'ptr', 'size'),
];
