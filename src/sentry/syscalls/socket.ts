// socket(2) and what makes, names and connects sockets.

import { EAFNOSUPPORT, EAGAIN, EALREADY, EBADF, EFAULT, EINPROGRESS, EINTR, EINVAL, ENOTSOCK } from '../../abi/errno.ts';
import {
  SYS_accept,
  SYS_accept4,
  SYS_bind,
  SYS_connect,
  SYS_getpeername,
  SYS_getsockname,
  SYS_listen,
  SYS_shutdown,
  SYS_socket,
  SYS_socketpair,
} from '../../abi/nr.ts';
import { POLLERR, POLLHUP, POLLIN, POLLOUT } from '../../abi/poll.ts';
import { SOCK_CLOEXEC, SOCK_NONBLOCK } from '../../abi/socket.ts';
import { getI32, putU32 } from '../../base/bytes.ts';
import { monotonicNs } from '../../base/clock.ts';
import { ERESTARTSYS } from '../../base/result.ts';
import type { Task } from '../kernel/task.ts';
import { createPair, createSocket } from '../net/families.ts';
import { SOCKADDR_MAX } from '../net/message.ts';
import { netOf } from '../net/netns.ts';
import { SocketFile } from '../net/socket.ts';
import { unknownOption } from './options.ts';
import { full, type Row } from './row.ts';

const TYPE_MASK = 0xf;
const word = new Uint8Array(4);
const address = new Uint8Array(SOCKADDR_MAX);

/** The socket that `fd` names; -EBADF, or -ENOTSOCK. */
export function socketOf(t: Task, fd: number): SocketFile | number {
  const f = t.fds.get(fd);
  if (f === null || f.isPath) return -EBADF;
  return f instanceof SocketFile ? f : -ENOTSOCK;
}

/** Reads a socket address argument into `out` (SOCKADDR_MAX bytes, the rest zeroed). 0, -EINVAL or -EFAULT. */
export function copyInAddress(t: Task, addr: number, len: number, out: Uint8Array): number {
  if (len < 0 || len > SOCKADDR_MAX) return -EINVAL;
  if (t.copyIn(addr, out, 0, len) < 0) return -EFAULT;
  out.fill(0, len);
  return 0;
}

/** Writes an address of `n` bytes to the guest, cut to what *lenAddr has room for; *lenAddr gets the full length. 0 or -errno. */
export function copyOutAddress(t: Task, buf: Uint8Array, n: number, addr: number, lenAddr: number): number {
  if (t.copyIn(lenAddr, word, 0, 4) < 0) return -EFAULT;
  const room = getI32(word, 0);
  if (room < 0) return -EINVAL;
  if (t.copyOut(addr, buf, 0, room < n ? room : n) < 0) return -EFAULT;
  putU32(word, 0, n);
  return t.copyOut(lenAddr, word, 0, 4);
}

/** Waits for what a send or receive needs: `mask` with POLLOUT for as long as SO_SNDTIMEO says, else for as long as SO_RCVTIMEO does. */
export function waitSocket(t: Task, f: SocketFile, mask: number): number {
  const timeout = (mask & POLLOUT) !== 0 ? f.sock.sndTimeout : f.sock.rcvTimeout;
  if (timeout === Infinity) return t.waitOn(f.queue, mask | POLLERR | POLLHUP, ERESTARTSYS);
  t.setDeadline(monotonicNs() + timeout);
  if (t.expired()) return -EAGAIN;
  return t.waitOn(f.queue, mask | POLLERR | POLLHUP, EINTR);
}

/** socket(2). */
export function sys_socket(t: Task): number {
  const type = t.argI(1);
  if ((type & ~(TYPE_MASK | SOCK_CLOEXEC | SOCK_NONBLOCK)) !== 0) return -EINVAL;
  const s = createSocket(t, netOf(t.ns.net.key), t.argI(0), type & TYPE_MASK, t.argI(2));
  if (s === -EAFNOSUPPORT) return unknownOption(t, 'socket', t.argI(0), EAFNOSUPPORT);
  if (typeof s === 'number') return s;
  return t.fds.install(new SocketFile(s, type & SOCK_NONBLOCK), (type & SOCK_CLOEXEC) !== 0);
}

/** socketpair(2). */
export function sys_socketpair(t: Task): number {
  const type = t.argI(1);
  if ((type & ~(TYPE_MASK | SOCK_CLOEXEC | SOCK_NONBLOCK)) !== 0) return -EINVAL;
  // The descriptors' place is tried first: sockets that nobody learns of are not made.
  const out = new Uint8Array(8);
  if (t.copyOutNow(t.arg(3), out, 0, 8) < 0) return -EFAULT;
  const pair = createPair(t, netOf(t.ns.net.key), t.argI(0), type & TYPE_MASK, t.argI(2));
  if (typeof pair === 'number') return pair;
  const cloexec = (type & SOCK_CLOEXEC) !== 0;
  const a = new SocketFile(pair[0], type & SOCK_NONBLOCK);
  const b = new SocketFile(pair[1], type & SOCK_NONBLOCK);
  const fdA = t.fds.install(a, cloexec);
  if (fdA < 0) {
    b.unref();
    return fdA;
  }
  const fdB = t.fds.install(b, cloexec);
  if (fdB < 0) {
    t.fds.close(fdA, t);
    return fdB;
  }
  putU32(out, 0, fdA);
  putU32(out, 4, fdB);
  if (t.copyOut(t.arg(3), out, 0, 8) < 0) {
    t.fds.close(fdA, t);
    t.fds.close(fdB, t);
    return -EFAULT;
  }
  return 0;
}

/** bind(2). */
export function sys_bind(t: Task): number {
  const f = socketOf(t, t.argI(0));
  if (typeof f === 'number') return f;
  const err = copyInAddress(t, t.arg(1), t.argI(2), address);
  return err < 0 ? err : f.sock.bind(t, address, t.argI(2));
}

/** listen(2). */
export function sys_listen(t: Task): number {
  const f = socketOf(t, t.argI(0));
  return typeof f === 'number' ? f : f.sock.listen(t, t.argI(1));
}

function accept(t: Task, flags: number): number {
  const bad = (flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) !== 0;
  if (bad) return t.fds.get(t.argI(0)) === null ? -EBADF : -EINVAL;
  const f = socketOf(t, t.argI(0));
  if (typeof f === 'number') return f;
  const s = f.sock.accept();
  if (s === -EAGAIN && !f.nonblock) return waitSocket(t, f, POLLIN);
  if (typeof s === 'number') return s;
  const file = new SocketFile(s, flags & SOCK_NONBLOCK);
  file.keepsSocket = true;
  const fd = t.fds.install(file, (flags & SOCK_CLOEXEC) !== 0);
  if (fd < 0) {
    f.sock.unaccept(s);
    return fd;
  }
  file.keepsSocket = false;
  if (t.arg(1) === 0) return fd;
  address.fill(0);
  const n = s.getName(address, true);
  // A peer that is gone already has no name; Linux calls that an aborted connection only for some protocols.
  const err = copyOutAddress(t, address, n < 0 ? 2 : n, t.arg(1), t.arg(2));
  if (err < 0) {
    t.fds.close(fd, t);
    return err;
  }
  return fd;
}

/** accept(2). */
export function sys_accept(t: Task): number {
  return accept(t, 0);
}

/** accept4(2). */
export function sys_accept4(t: Task): number {
  return accept(t, t.argI(3));
}

/** connect(2). */
export function sys_connect(t: Task): number {
  if (t.fds.get(t.argI(0)) === null) return -EBADF;
  const err = copyInAddress(t, t.arg(1), t.argI(2), address);
  if (err < 0) return err;
  const f = socketOf(t, t.argI(0));
  if (typeof f === 'number') return f;
  const r = f.sock.connect(t, address, t.argI(2), f.nonblock);
  if (f.nonblock || (r !== -EAGAIN && r !== -EINPROGRESS && r !== -EALREADY)) return r;
  const w = waitSocket(t, f, POLLOUT);
  return w === -EAGAIN ? (r === -EAGAIN ? r : -EINPROGRESS) : w;
}

function name(t: Task, peer: boolean): number {
  const f = socketOf(t, t.argI(0));
  if (typeof f === 'number') return f;
  address.fill(0);
  const n = f.sock.getName(address, peer);
  return n < 0 ? n : copyOutAddress(t, address, n, t.arg(1), t.arg(2));
}

/** getsockname(2). */
export function sys_getsockname(t: Task): number {
  return name(t, false);
}

/** getpeername(2). */
export function sys_getpeername(t: Task): number {
  return name(t, true);
}

/** shutdown(2). */
export function sys_shutdown(t: Task): number {
  const f = socketOf(t, t.argI(0));
  return typeof f === 'number' ? f : f.sock.shutdown(t.argI(1));
}

export const rows: readonly Row[] = [
  full(SYS_socket, 'socket', sys_socket, 'int', 'hex', 'int'),
  full(SYS_socketpair, 'socketpair', sys_socketpair, 'int', 'hex', 'int', 'ptr'),
  full(SYS_bind, 'bind', sys_bind, 'fd', 'ptr', 'int'),
  full(SYS_listen, 'listen', sys_listen, 'fd', 'int'),
  full(SYS_accept, 'accept', sys_accept, 'fd', 'ptr', 'ptr'),
  full(SYS_accept4, 'accept4', sys_accept4, 'fd', 'ptr', 'ptr', 'hex'),
  full(SYS_connect, 'connect', sys_connect, 'fd', 'ptr', 'int'),
  full(SYS_getsockname, 'getsockname', sys_getsockname, 'fd', 'ptr', 'ptr'),
  full(SYS_getpeername, 'getpeername', sys_getpeername, 'fd', 'ptr', 'ptr'),
  full(SYS_shutdown, 'shutdown', sys_shutdown, 'fd', 'int'),
];
