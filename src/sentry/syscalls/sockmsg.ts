// send(2) and recv(2) in all their forms: one body to send one message, and one to receive one.

import { EAGAIN, EFAULT, EINVAL, EMSGSIZE, ENOBUFS } from '../../abi/errno.ts';
import { SYS_recvfrom, SYS_recvmmsg, SYS_recvmsg, SYS_sendmmsg, SYS_sendmsg, SYS_sendto } from '../../abi/nr.ts';
import { POLLIN, POLLOUT, POLLRDHUP } from '../../abi/poll.ts';
import {
  MSG_CMSG_CLOEXEC,
  MSG_CTRUNC,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  MSG_PEEK,
  MSG_TRUNC,
  MSG_WAITALL,
  MSG_WAITFORONE,
  SCM_CREDENTIALS,
  SOL_SOCKET,
} from '../../abi/socket.ts';
import { UIO_MAXIOV } from '../../abi/uio.ts';
import { getI32, getI64, getU64, putU32, putU64 } from '../../base/bytes.ts';
import { monotonicNs } from '../../base/clock.ts';
import { BLOCKED } from '../../base/result.ts';
import { numberIn } from '../kernel/pidns.ts';
import type { IoVec, Task } from '../kernel/task.ts';
import { Message, SOCKADDR_MAX } from '../net/message.ts';
import { ControlWriter, dropMessageFiles, parseControl } from '../net/scm.ts';
import type { SocketFile } from '../net/socket.ts';
import { partial, type Row } from './row.ts';
import { copyInAddress, copyOutAddress, socketOf, waitSocket } from './socket.ts';

/** MSG_CMSG_COMPAT: 32-bit programs only. */
const MSG_COMPAT = 0x80000000 | 0;
const MAX_COUNT = 0x7ffff000;
/** Results of up to so many bytes travel best beside the call's own (Task.copyOut). */
const SHORT = 32;
/** net.core.optmem_max. */
const CONTROL_MAX = 20480;
/** Offsets in struct msghdr, and its size; struct mmsghdr adds a length and padding. */
const MSG_NAME = 0;
const MSG_NAMELEN = 8;
const MSG_IOV = 16;
const MSG_IOVLEN = 24;
const MSG_CONTROL = 32;
const MSG_CONTROLLEN = 40;
const MSG_FLAGS = 48;
const MSGHDR_SIZE = 56;
const MMSGHDR_SIZE = 64;

/** One message's addresses in the guest. Filled from struct msghdr or from the arguments of sendto and recvfrom. */
class Header {
  name = 0;
  nameLen = 0;
  iov: IoVec[] = [];
  count = 0;
  /** Bytes in the vector. */
  total = 0;
  control = 0;
  controlLen = 0;
}

// Scratch of this file, valid within one handler invocation.
const header = new Header();
const single: IoVec[] = [{ base: 0, len: 0 }];
const raw = new Uint8Array(MSGHDR_SIZE);
const message = new Message();
const controlBuffer = new Uint8Array(CONTROL_MAX);
const credentials = new Uint8Array(12);
const writer = new ControlWriter();

function oneBuffer(base: number, len: number): void {
  single[0]!.base = base;
  single[0]!.len = len > MAX_COUNT ? MAX_COUNT : len;
  header.iov = single;
  header.count = 1;
  header.total = single[0]!.len;
  header.control = 0;
  header.controlLen = 0;
}

/** Reads a struct msghdr into `header`. 0 or -errno. */
function readHeader(t: Task, addr: number): number {
  if (t.copyIn(addr, raw, 0, MSGHDR_SIZE) < 0) return -EFAULT;
  header.name = getU64(raw, MSG_NAME);
  const nameLen = getI32(raw, MSG_NAMELEN);
  if (nameLen < 0) return -EINVAL;
  header.nameLen = header.name === 0 ? 0 : nameLen > SOCKADDR_MAX ? SOCKADDR_MAX : nameLen;
  const count = getU64(raw, MSG_IOVLEN);
  if (count > UIO_MAXIOV) return -EMSGSIZE;
  header.control = getU64(raw, MSG_CONTROL);
  header.controlLen = getU64(raw, MSG_CONTROLLEN);
  const v = t.copyInIovec(getU64(raw, MSG_IOV), count);
  if (typeof v === 'number') return v;
  let total = 0;
  for (let i = 0; i < count; i++) {
    const e = v[i]!;
    if (e.len < 0) return -EINVAL;
    if (e.len > MAX_COUNT - total) e.len = MAX_COUNT - total;
    total += e.len;
  }
  header.iov = v;
  header.count = count;
  header.total = total;
  return 0;
}

/** Copies bytes [skip, skip + want) of the vector from the guest to buf. 0 or -EFAULT. */
function gather(t: Task, buf: Uint8Array, skip: number, want: number): number {
  let at = 0;
  let left = want;
  for (let i = 0; i < header.count && left > 0; i++) {
    const e = header.iov[i]!;
    if (skip >= e.len) {
      skip -= e.len;
      continue;
    }
    const n = e.len - skip < left ? e.len - skip : left;
    if (t.copyIn(e.base + skip, buf, at, n) < 0) return -EFAULT;
    skip = 0;
    at += n;
    left -= n;
  }
  return 0;
}

/** The reverse of gather. */
function scatter(t: Task, buf: Uint8Array, skip: number, have: number): number {
  let at = 0;
  let left = have;
  for (let i = 0; i < header.count && left > 0; i++) {
    const e = header.iov[i]!;
    if (skip >= e.len) {
      skip -= e.len;
      continue;
    }
    const n = e.len - skip < left ? e.len - skip : left;
    if (t.copyOut(e.base + skip, buf, at, n) < 0) return -EFAULT;
    skip = 0;
    at += n;
    left -= n;
  }
  return 0;
}

/** Sends `n` bytes at `at` of the window to the guest: few of them beside the result, whatever room there was. 0 or -EFAULT. */
function handOut(t: Task, addr: number, at: number, n: number): number {
  if (n <= SHORT) return n === 0 ? 0 : t.copyOut(addr, t.ctx.window, at, n);
  t.ctx.deliver(addr, at, n);
  return 0;
}

/** Sends what `header` describes. Bytes sent, or -errno or BLOCKED; t.rs.done counts what earlier invocations have sent. */
function sendOne(t: Task, f: SocketFile, flags: number): number {
  const sock = f.sock;
  const buf = t.kernel.scratch;
  let done = t.rs.done;
  if (!sock.isStream && header.total > buf.length) return -EMSGSIZE;
  message.reset(buf, 0, 0, flags);
  if (header.nameLen > 0) {
    const err = copyInAddress(t, header.name, header.nameLen, message.name);
    if (err < 0) return err;
    message.nameLen = header.nameLen;
  }
  if (header.controlLen > 0 && header.control !== 0 && done === 0) {
    if (header.controlLen > CONTROL_MAX) return -ENOBUFS;
    if (t.copyIn(header.control, controlBuffer, 0, header.controlLen) < 0) return -EFAULT;
    const err = parseControl(t, sock.ns, sock.family, controlBuffer, header.controlLen, message);
    if (err < 0) return err;
  }
  const nonblock = f.nonblock || (flags & MSG_DONTWAIT) !== 0;
  for (;;) {
    let want = header.total - done;
    if (want > buf.length) want = buf.length;
    const space = sock.sendSpace;
    let n: number;
    if (want > 0 && space <= 0) n = -EAGAIN;
    else {
      if (want > space) want = space;
      // One buffer whose bytes came with the call is sent from where they are.
      const at = header.count === 1 ? t.inRoom(header.iov[0]!.base + done, want) : -1;
      if (at >= 0) {
        message.buf = t.ctx.window;
        message.off = at;
      } else {
        message.buf = buf;
        message.off = 0;
        if (gather(t, buf, done, want) < 0) {
          dropMessageFiles(message);
          return done > 0 ? done : -EFAULT;
        }
      }
      message.len = want;
      if (done > 0) message.flags = flags | MSG_NOSIGNAL;
      n = sock.send(t, message);
    }
    if (n >= 0) {
      done += n;
      if (!sock.isStream || done >= header.total) {
        dropMessageFiles(message);
        return done;
      }
      continue;
    }
    dropMessageFiles(message);
    if (n !== -EAGAIN || nonblock) return done > 0 ? done : n;
    const w = waitSocket(t, f, POLLOUT);
    if (w !== BLOCKED) return done > 0 ? done : w;
    t.rs.done = done;
    return BLOCKED;
  }
}

/** Does a buffer begin where no guest has memory? That goes before what is wrong with the descriptor. */
function outside(t: Task, addr: number): boolean {
  return addr >= t.kernel.platform.maxAddress;
}

/** sendto(2); send(2) is this without an address. */
export function sys_sendto(t: Task): number {
  const f = socketOf(t, t.argI(0));
  if (typeof f === 'number') return outside(t, t.arg(1)) ? -EFAULT : f;
  oneBuffer(t.arg(1), t.arg(2));
  header.name = t.arg(4);
  header.nameLen = header.name === 0 ? 0 : t.argI(5);
  if (header.nameLen < 0) return -EINVAL;
  return sendOne(t, f, t.argI(3));
}

/** sendmsg(2). */
export function sys_sendmsg(t: Task): number {
  const flags = t.argI(2);
  if ((flags & MSG_COMPAT) !== 0) return -EINVAL;
  const f = socketOf(t, t.argI(0));
  if (typeof f === 'number') return f;
  const err = readHeader(t, t.arg(1));
  return err < 0 ? err : sendOne(t, f, flags);
}

/** sendmmsg(2). t.rs.a counts the messages that are sent. */
export function sys_sendmmsg(t: Task): number {
  const flags = t.argI(3);
  if ((flags & MSG_COMPAT) !== 0) return -EINVAL;
  const f = socketOf(t, t.argI(0));
  if (typeof f === 'number') return f;
  const count = Math.min(t.argU(2), UIO_MAXIOV);
  for (let i = t.rs.a; i < count; i++) {
    const at = t.arg(1) + i * MMSGHDR_SIZE;
    const err = readHeader(t, at);
    const n = err < 0 ? err : sendOne(t, f, flags);
    if (n === BLOCKED) {
      t.rs.a = i;
      return n;
    }
    if (n < 0) return i > 0 ? i : n;
    t.rs.done = 0;
    if (t.writeU32(at + MSGHDR_SIZE, n) < 0) return i > 0 ? i : -EFAULT;
  }
  return count;
}

/** Receives what `header` has room for; name and control messages stay in `message` for the caller. Bytes, -errno or BLOCKED. */
function recvOne(t: Task, f: SocketFile, flags: number): number {
  const sock = f.sock;
  const buf = t.kernel.scratch;
  const nonblock = f.nonblock || (flags & MSG_DONTWAIT) !== 0;
  const stream = sock.isStream;
  let done = t.rs.done;
  const low = sock.rcvLowat < header.total ? sock.rcvLowat : header.total;
  const target = stream && (flags & MSG_PEEK) === 0 ? ((flags & MSG_WAITALL) !== 0 ? header.total : low) : 0;
  for (;;) {
    const left = header.total - done;
    const addr = header.count === 1 ? header.iov[0]!.base + done : 0;
    // One buffer that does not fit beside the result is received where its bytes go from to the guest.
    const at = header.count === 1 && left > SHORT ? t.outRoom(addr, left) : -1;
    if (at >= 0) message.reset(t.ctx.window, at, left, flags | (nonblock ? MSG_DONTWAIT : 0));
    else message.reset(buf, 0, left < buf.length ? left : buf.length, flags | (nonblock ? MSG_DONTWAIT : 0));
    const n = sock.recv(t, message);
    if (n >= 0) {
      const err = message.discarded ? 0 : at >= 0 ? handOut(t, addr, at, n) : scatter(t, buf, done, n);
      if (err < 0) {
        dropMessageFiles(message);
        return done > 0 ? done : -EFAULT;
      }
      done += n;
      if (!stream) return (flags & MSG_TRUNC) !== 0 ? message.fullLength : done;
      if (done >= target || n === 0 || message.boundary || message.files !== null) return done;
      continue;
    }
    if (n !== -EAGAIN || nonblock) return done > 0 ? done : n;
    const w = waitSocket(t, f, POLLIN | POLLRDHUP);
    if (w !== BLOCKED) return done > 0 ? done : w;
    t.rs.done = done;
    return BLOCKED;
  }
}

/** recvfrom(2); recv(2) is this without an address. */
export function sys_recvfrom(t: Task): number {
  const f = socketOf(t, t.argI(0));
  if (typeof f === 'number') return outside(t, t.arg(1)) ? -EFAULT : f;
  oneBuffer(t.arg(1), t.arg(2));
  const n = recvOne(t, f, t.argI(3));
  if (n < 0) return n;
  dropMessageFiles(message);
  if (t.arg(4) !== 0) {
    const err = copyOutAddress(t, message.name, message.nameLen, t.arg(4), t.arg(5));
    if (err < 0) return err;
  }
  return n;
}

/** Receives into the struct msghdr at `addr` and fills its name, control messages and flags. */
function recvHeader(t: Task, f: SocketFile, addr: number, flags: number): number {
  const err = readHeader(t, addr);
  if (err < 0) return err;
  const n = recvOne(t, f, flags);
  if (n < 0) return n;
  writer.reset(controlBuffer, header.control === 0 ? 0 : header.controlLen);
  if (message.control !== null) for (const c of message.control) writer.put(c.level, c.type, c.data);
  if (message.creds !== null) {
    putU32(credentials, 0, numberIn(message.creds.pid, t.pidns));
    putU32(credentials, 4, message.creds.uid);
    putU32(credentials, 8, message.creds.gid);
    writer.put(SOL_SOCKET, SCM_CREDENTIALS, credentials);
  }
  if (message.files !== null) {
    const files = message.files;
    message.files = null;
    writer.putFiles(t, files, (flags & MSG_CMSG_CLOEXEC) !== 0);
  }
  if (writer.length > 0 && t.copyOut(header.control, controlBuffer, 0, writer.length) < 0) return -EFAULT;
  if (header.name !== 0) {
    const len = getI32(raw, MSG_NAMELEN);
    const n = len < message.nameLen ? len : message.nameLen;
    if (n > 0 && t.copyOut(header.name, message.name, 0, n) < 0) return -EFAULT;
    if (t.writeU32(addr + MSG_NAMELEN, message.nameLen) < 0) return -EFAULT;
  }
  putU64(raw, 0, writer.length);
  putU32(raw, MSG_FLAGS - MSG_CONTROLLEN, message.outFlags | (writer.flags & MSG_CTRUNC) | (flags & MSG_CMSG_CLOEXEC));
  if (t.copyOut(addr + MSG_CONTROLLEN, raw, 0, 12) < 0) return -EFAULT;
  return n;
}

/** recvmsg(2). */
export function sys_recvmsg(t: Task): number {
  const flags = t.argI(2);
  if ((flags & MSG_COMPAT) !== 0) return -EINVAL;
  const f = socketOf(t, t.argI(0));
  return typeof f === 'number' ? f : recvHeader(t, f, t.arg(1), flags);
}

/** recvmmsg(2). t.rs.a counts the messages received; t.rs.b is the time (monotonic ns) after which no further one is waited for. */
export function sys_recvmmsg(t: Task): number {
  const flags = t.argI(3);
  if ((flags & MSG_COMPAT) !== 0) return -EINVAL;
  const timeout = t.arg(4);
  if (t.rs.fresh) {
    t.rs.b = Infinity;
    if (timeout !== 0) {
      if (t.copyIn(timeout, raw, 0, 16) < 0) return -EFAULT;
      const sec = getI64(raw, 0);
      const nsec = getI64(raw, 8);
      if (sec < 0 || nsec < 0 || nsec >= 1e9) return -EINVAL;
      t.rs.b = monotonicNs() + sec * 1e9 + nsec;
    }
  }
  const f = socketOf(t, t.argI(0));
  if (typeof f === 'number') return f;
  const count = Math.min(t.argU(2), UIO_MAXIOV);
  for (let i = t.rs.a; i < count; i++) {
    const at = t.arg(1) + i * MMSGHDR_SIZE;
    const dontWait = i > 0 && (flags & MSG_WAITFORONE) !== 0 ? MSG_DONTWAIT : 0;
    const n = recvHeader(t, f, at, (flags & ~MSG_WAITFORONE) | dontWait);
    if (n === BLOCKED) {
      t.rs.a = i;
      return n;
    }
    if (n < 0) {
      // What was received is reported first; the error is kept for the next call.
      if (i > 0 && n !== -EAGAIN && n > -512 && n !== -EFAULT) f.sock.error = -n;
      return i > 0 ? i : n;
    }
    t.rs.done = 0;
    if (t.writeU32(at + MSGHDR_SIZE, n) < 0) return i > 0 ? i : -EFAULT;
    if (t.rs.b !== Infinity && monotonicNs() >= t.rs.b) return i + 1;
  }
  return count;
}

const NO_URGENT = 'no urgent data (MSG_OOB), no error queue (MSG_ERRQUEUE)';

export const rows: readonly Row[] = [
  partial(SYS_sendto, 'sendto', sys_sendto, NO_URGENT, 'fd', 'buf', 'size', 'hex', 'ptr', 'int'),
  partial(SYS_recvfrom, 'recvfrom', sys_recvfrom, NO_URGENT, 'fd', 'outbuf', 'size', 'hex', 'ptr', 'ptr'),
  partial(SYS_sendmsg, 'sendmsg', sys_sendmsg, NO_URGENT, 'fd', 'ptr', 'hex'),
  partial(SYS_recvmsg, 'recvmsg', sys_recvmsg, NO_URGENT, 'fd', 'ptr', 'hex'),
  partial(SYS_sendmmsg, 'sendmmsg', sys_sendmmsg, NO_URGENT, 'fd', 'ptr', 'uint', 'hex'),
  partial(SYS_recvmmsg, 'recvmmsg', sys_recvmmsg, NO_URGENT, 'fd', 'ptr', 'uint', 'hex', 'ptr'),
];
