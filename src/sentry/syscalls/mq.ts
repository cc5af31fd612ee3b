// POSIX message queues: mq_open(2), mq_timedsend(2), mq_timedreceive(2), mq_notify(2), mq_getsetattr(2), mq_unlink(2).

import { EAGAIN, EBADF, EFAULT, EINTR, EINVAL, EMSGSIZE, ETIMEDOUT } from '../../abi/errno.ts';
import { O_ACCMODE, O_CLOEXEC, O_CREAT, O_NONBLOCK } from '../../abi/fcntl.ts';
import { MQ_ATTR, SIGEVENT } from '../../abi/layouts.ts';
import { SYS_mq_getsetattr, SYS_mq_notify, SYS_mq_open, SYS_mq_timedreceive, SYS_mq_timedsend, SYS_mq_unlink } from '../../abi/nr.ts';
import { POLLIN, POLLOUT } from '../../abi/poll.ts';
import { SI_MESGQ } from '../../abi/signal.ts';
import { PATH_MAX } from '../../abi/uio.ts';
import { getI32, getI64, getU32, getU64, putU64 } from '../../base/bytes.ts';
import { monotonicNs, realtime } from '../../base/clock.ts';
import { MQ_PRIO_MAX, MQ_STATUS_FLAGS, MqFile, mqueuesOf } from '../ipc/mqueue.ts';
import { SigInfo } from '../kernel/siginfo.ts';
import type { Task } from '../kernel/task.ts';
import { NetlinkSocket } from '../net/netlink/socket.ts';
import { SocketFile } from '../net/socket.ts';
import { full, type Row } from './row.ts';

const SIGEV_SIGNAL = 0;
const SIGEV_NONE = 1;
const SIGEV_THREAD = 2;
const SIGNAL_MAX = 64;
/** Length of what SIGEV_THREAD sends to its socket; the last byte says why (include/uapi/linux/mqueue.h). */
const NOTIFY_COOKIE_LEN = 32;
const NOTIFY_WOKENUP = 1;
const NOTIFY_REMOVED = 2;
const now = new Float64Array(2);

function queueOf(t: Task, fd: number): MqFile | number {
  const f = t.fds.get(fd);
  return f instanceof MqFile ? f : -EBADF;
}

/** mq_open(2). */
export function sys_mq_open(t: Task): number {
  const name = t.copyInString(t.arg(0), PATH_MAX);
  if (typeof name === 'number') return name;
  const flags = t.argI(1);
  if ((flags & O_ACCMODE) === O_ACCMODE) return -EINVAL;
  let max = -1;
  let size = -1;
  if ((flags & O_CREAT) !== 0 && t.arg(3) !== 0) {
    const b = t.kernel.tmp;
    if (t.copyIn(t.arg(3), b, 0, MQ_ATTR.size) < 0) return -EFAULT;
    max = getI64(b, MQ_ATTR.mq_maxmsg);
    size = getI64(b, MQ_ATTR.mq_msgsize);
    if (max <= 0 || size <= 0) return -EINVAL;
  }
  const q = mqueuesOf(t.ns.ipc.key).open(t, name, flags, t.argI(2), max, size);
  if (typeof q === 'number') return q;
  return t.fds.install(new MqFile(q, flags & MQ_STATUS_FLAGS), (flags & O_CLOEXEC) !== 0);
}

/** mq_unlink(2). */
export function sys_mq_unlink(t: Task): number {
  const name = t.copyInString(t.arg(0), PATH_MAX);
  return typeof name === 'number' ? name : mqueuesOf(t.ns.ipc.key).unlink(t, name);
}

/** Takes the absolute CLOCK_REALTIME time at `addr` as the call's deadline. 0 or -errno. */
function deadline(t: Task, addr: number): number {
  if (addr === 0 || !t.rs.fresh) return 0;
  const b = t.kernel.tmp;
  if (t.copyIn(addr, b, 0, 16) < 0) return -EFAULT;
  const sec = getI64(b, 0);
  const nsec = getI64(b, 8);
  if (sec < 0 || nsec < 0 || nsec >= 1e9) return -EINVAL;
  realtime(now);
  t.setDeadline(monotonicNs() + (sec - now[0]!) * 1e9 + (nsec - now[1]!));
  return 0;
}

/** mq_timedsend(2). */
export function sys_mq_timedsend(t: Task): number {
  const len = t.arg(2);
  const priority = t.argU(3);
  const err = deadline(t, t.arg(4));
  if (err < 0) return err;
  if (priority >= MQ_PRIO_MAX) return -EINVAL;
  const f = queueOf(t, t.argI(0));
  if (typeof f === 'number') return f;
  if (!f.writable) return -EBADF;
  if (len > f.mq.messageSize) return -EMSGSIZE;
  if (f.mq.full) {
    if ((f.flags & O_NONBLOCK) !== 0) return -EAGAIN;
    if (t.expired()) return -ETIMEDOUT;
    return t.waitOn(f.queue, POLLOUT, t.arg(4) === 0 ? undefined : EINTR);
  }
  const scratch = t.kernel.scratch;
  const buf = len <= scratch.length ? scratch : new Uint8Array(len);
  if (t.copyIn(t.arg(1), buf, 0, len) < 0) return -EFAULT;
  return f.mq.send(buf, len, priority);
}

/** mq_timedreceive(2): the length of the message. */
export function sys_mq_timedreceive(t: Task): number {
  const err = deadline(t, t.arg(4));
  if (err < 0) return err;
  const f = queueOf(t, t.argI(0));
  if (typeof f === 'number') return f;
  if (!f.readable) return -EBADF;
  if (t.arg(2) < f.mq.messageSize) return -EMSGSIZE;
  const m = f.mq.receive();
  if (m === null) {
    if ((f.flags & O_NONBLOCK) !== 0) return -EAGAIN;
    if (t.expired()) return -ETIMEDOUT;
    return t.waitOn(f.queue, POLLIN, t.arg(4) === 0 ? undefined : EINTR);
  }
  if (t.copyOut(t.arg(1), m.data, 0, m.data.length) < 0) return -EFAULT;
  if (t.arg(3) !== 0 && t.writeU32(t.arg(3), m.priority) < 0) return -EFAULT;
  return m.data.length;
}

/** mq_notify(2). */
export function sys_mq_notify(t: Task): number {
  const b = t.kernel.tmp;
  const addr = t.arg(1);
  if (addr === 0) {
    const f = queueOf(t, t.argI(0));
    if (typeof f === 'number') return f;
    f.mq.unregister(t.tgid);
    return 0;
  }
  if (t.copyIn(addr, b, 0, SIGEVENT.size) < 0) return -EFAULT;
  const how = getI32(b, SIGEVENT.sigev_notify);
  const signo = getI32(b, SIGEVENT.sigev_signo);
  const valueLo = getU32(b, SIGEVENT.sigev_value);
  const valueHi = getU32(b, SIGEVENT.sigev_value + 4);
  const cookieAt = getU64(b, SIGEVENT.sigev_value);
  if (how !== SIGEV_SIGNAL && how !== SIGEV_NONE && how !== SIGEV_THREAD) return -EINVAL;
  if (how === SIGEV_SIGNAL && (signo < 0 || signo > SIGNAL_MAX)) return -EINVAL;
  let socket: SocketFile | null = null;
  let cookie: Uint8Array | null = null;
  if (how === SIGEV_THREAD) {
    cookie = new Uint8Array(NOTIFY_COOKIE_LEN);
    if (t.copyIn(cookieAt, cookie, 0, NOTIFY_COOKIE_LEN) < 0) return -EFAULT;
    const s = t.fds.get(signo);
    if (s === null) return -EBADF;
    if (!(s instanceof SocketFile) || !(s.sock instanceof NetlinkSocket)) return -EINVAL;
    socket = s;
  }
  const f = queueOf(t, t.argI(0));
  if (typeof f === 'number') return f;
  const group = t.tg;
  const kernel = t.kernel;
  const uid = t.creds.ruid;
  const tell = (woken: boolean): void => {
    if (socket !== null && cookie !== null) {
      cookie[NOTIFY_COOKIE_LEN - 1] = woken ? NOTIFY_WOKENUP : NOTIFY_REMOVED;
      (socket.sock as NetlinkSocket).push(cookie.slice());
      socket.unref();
    } else if (woken && how === SIGEV_SIGNAL && signo > 0 && !group.zombie) {
      const info = new SigInfo(signo, SI_MESGQ);
      info.pid = kernel.current?.tg.pid.in(group.pid.ns) ?? 0;
      info.uid = kernel.current?.creds.ruid ?? uid;
      info.valueLo = valueLo;
      info.valueHi = valueHi;
      kernel.signalGroup(group, info);
    }
  };
  const r = f.mq.register({ group, signo: how === SIGEV_SIGNAL ? signo : 0, tell });
  if (r === 0 && socket !== null) socket.ref();
  return r;
}

/** mq_getsetattr(2): only O_NONBLOCK can be changed. */
export function sys_mq_getsetattr(t: Task): number {
  const b = t.kernel.tmp;
  let set = -1;
  if (t.arg(1) !== 0) {
    if (t.copyIn(t.arg(1), b, 0, MQ_ATTR.size) < 0) return -EFAULT;
    set = getI64(b, MQ_ATTR.mq_flags);
    if ((set & ~O_NONBLOCK) !== 0) return -EINVAL;
  }
  const f = queueOf(t, t.argI(0));
  if (typeof f === 'number') return f;
  const old = f.flags & O_NONBLOCK;
  if (set >= 0) f.flags = (f.flags & ~O_NONBLOCK) | set;
  if (t.arg(2) === 0) return 0;
  b.fill(0, 0, MQ_ATTR.size);
  putU64(b, MQ_ATTR.mq_flags, old);
  putU64(b, MQ_ATTR.mq_maxmsg, f.mq.maxMessages);
  putU64(b, MQ_ATTR.mq_msgsize, f.mq.messageSize);
  putU64(b, MQ_ATTR.mq_curmsgs, f.mq.count);
  return t.copyOut(t.arg(2), b, 0, MQ_ATTR.size);
}

export const rows: readonly Row[] = [
  full(SYS_mq_open, 'mq_open', sys_mq_open, 'str', 'open', 'oct', 'ptr'),
  full(SYS_mq_unlink, 'mq_unlink', sys_mq_unlink, 'str'),
  full(SYS_mq_timedsend, 'mq_timedsend', sys_mq_timedsend, 'fd', 'buf', 'size', 'uint', 'ptr'),
  full(SYS_mq_timedreceive, 'mq_timedreceive', sys_mq_timedreceive, 'fd', 'outbuf', 'size', 'ptr', 'ptr'),
  full(SYS_mq_notify, 'mq_notify', sys_mq_notify, 'fd', 'ptr'),
  full(SYS_mq_getsetattr, 'mq_getsetattr', sys_mq_getsetattr, 'fd', 'ptr', 'ptr'),
];
