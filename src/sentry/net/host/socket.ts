// Sockets of the host that were donated to the sandbox: standard streams, preserved descriptors (LISTEN_FDS), what accept(2) makes of a
// donated listener, and what comes by SCM_RIGHTS. They are already bound and connected; what would reach further than that is refused.

import { EINVAL, EISCONN, ENOPROTOOPT, EOPNOTSUPP, EPERM, EPIPE } from '../../../abi/errno.ts';
import { EPOLLIN } from '../../../abi/epoll.ts';
import { FIONREAD } from '../../../abi/ioctl.ts';
import { POLLERR, POLLIN, POLLOUT, POLLPRI, POLLRDHUP, POLLRDNORM, POLLWRNORM } from '../../../abi/poll.ts';
import { SIGPIPE } from '../../../abi/signal.ts';
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  MSG_CTRUNC,
  MSG_EOR,
  MSG_NOSIGNAL,
  MSG_OOB,
  MSG_PEEK,
  MSG_TRUNC,
  SO_ACCEPTCONN,
  SO_DOMAIN,
  SO_PASSCRED,
  SO_PROTOCOL,
  SO_TYPE,
  SOCK_STREAM,
  SOL_SOCKET,
} from '../../../abi/socket.ts';
import { getI32 } from '../../../base/bytes.ts';
import type { HostIO, HostSockets } from '../../../platform/hostio.ts';
import type { Caller } from '../../vfs/caller.ts';
import type { File } from '../../vfs/file.ts';
import type { Message } from '../message.ts';
import type { NetNs } from '../netns.ts';
import { Socket } from '../socket.ts';
import { HOST_OPTIONS, isHostOption } from './options.ts';

/** Edge triggered; the numbers of poll and epoll are the same. */
const WATCHED = POLLIN | POLLOUT | POLLPRI | POLLRDHUP | -2147483648;
/** Flags of a send and a receive that the host gets; waiting is the Sentry's business. */
const SEND_FLAGS = MSG_EOR | MSG_OOB;
const RECV_FLAGS = MSG_PEEK | MSG_OOB;
const MESSAGE_FLAGS = MSG_TRUNC | MSG_EOR | MSG_OOB | MSG_CTRUNC;

const word = new Uint8Array(4);

/** How descriptors of the host become files of the sandbox and the reverse; given by boot. */
export interface HostDescriptors {
  readonly host: HostIO & HostSockets;
  /** A file over a host descriptor that it owns from now on, or -errno (then the descriptor is closed). */
  open(fd: number): File | number;
  /** The host descriptor behind a file that was donated; -1: the file is the sandbox's own. */
  descriptorOf(f: File): number;
}

function integer(host: HostSockets, fd: number, name: number): number {
  const n = host.getSocketOption(fd, SOL_SOCKET, name, word);
  return n < 0 ? n : getI32(word, 0);
}

export class HostSocket extends Socket {
  readonly fd: number;
  private readonly on: HostDescriptors;
  private readonly listens: boolean;
  private readonly received: number[] = [];

  private constructor(ns: NetNs, on: HostDescriptors, fd: number, family: number, type: number, protocol: number, listens: boolean) {
    super(ns, family, type, protocol);
    this.on = on;
    this.fd = fd;
    this.listens = listens;
    // Somebody else may take the connection that was there when we looked.
    if (listens) on.host.setNonblock(fd, true);
    on.host.watch(fd, listens ? EPOLLIN | -2147483648 : WATCHED, (events) => {
      this.queue.notify(events | ((events & POLLIN) !== 0 ? POLLRDNORM : 0) | ((events & POLLOUT) !== 0 ? POLLWRNORM : 0));
    });
  }

  /** The socket that host descriptor `fd` is, which it owns from now on. null: it is none, or of a family that is not given to guests. */
  static of(ns: NetNs, on: HostDescriptors, fd: number): HostSocket | null {
    const family = integer(on.host, fd, SO_DOMAIN);
    if (family !== AF_UNIX && family !== AF_INET && family !== AF_INET6) return null;
    const type = integer(on.host, fd, SO_TYPE);
    const protocol = integer(on.host, fd, SO_PROTOCOL);
    if (type < 0 || protocol < 0) return null;
    return new HostSocket(ns, on, fd, family, type, protocol, integer(on.host, fd, SO_ACCEPTCONN) > 0);
  }

  override get listening(): boolean {
    return this.listens;
  }

  bind(): number {
    return -EINVAL;
  }

  /** It is what its donor made it: no other peer. */
  connect(): number {
    if (this.listens) return -EINVAL;
    return this.type === SOCK_STREAM ? -EISCONN : -EPERM;
  }

  /** A server that was given its listener may say so once more; its backlog is the donor's. */
  override listen(): number {
    return this.listens ? 0 : -EINVAL;
  }

  override accept(): Socket | number {
    if (!this.listens) return this.type === SOCK_STREAM ? -EINVAL : -EOPNOTSUPP;
    const fd = this.on.host.acceptSocket(this.fd);
    if (fd < 0) return fd;
    return new HostSocket(this.ns, this.on, fd, this.family, this.type, this.protocol, false);
  }

  /** No descriptor was free for it. The host has given it to us, and nobody else can have it. */
  override unaccept(s: Socket): void {
    s.release();
  }

  send(c: Caller, m: Message): number {
    if (this.error !== 0) return this.takeError();
    const fds: number[] = [];
    if (m.files !== null) {
      for (const f of m.files) {
        const fd = this.on.descriptorOf(f);
        // The sandbox's own files have no meaning outside, and the Gofer's descriptors are not the guest's to give away.
        if (fd < 0) return -EPERM;
        fds.push(fd);
      }
    }
    const r = this.on.host.sendSocket(this.fd, m.buf, m.off, m.len, fds, m.flags & SEND_FLAGS, m.name, m.nameLen);
    if (r === -EPIPE && this.isStream && (m.flags & MSG_NOSIGNAL) === 0) c.raise(SIGPIPE);
    return r;
  }

  recv(_c: Caller, m: Message): number {
    if (this.error !== 0) return this.takeError();
    const fds = this.received;
    fds.length = 0;
    // A datagram tells its whole length.
    const flags = (m.flags & RECV_FLAGS) | (this.isStream ? 0 : MSG_TRUNC);
    const r = this.on.host.receiveSocket(this.fd, m.buf, m.off, m.len, fds, flags, m.name);
    if (r < 0) return r;
    const info = this.on.host.socketInfo;
    m.nameLen = info[5]! > m.name.length ? m.name.length : info[5]!;
    m.outFlags |= info[1]! & MESSAGE_FLAGS;
    m.fullLength = r;
    // Whoever sent it has no number inside.
    if (this.passCred && info[2]! >= 0) m.creds = { pid: null, uid: info[3]! >>> 0, gid: info[4]! >>> 0 };
    if (fds.length > 0) this.take(fds, m);
    return r < m.len ? r : m.len;
  }

  /** Descriptors that came with a message: those that guests may have become files, others are lost (MSG_CTRUNC). */
  private take(fds: readonly number[], m: Message): void {
    const files: File[] = [];
    for (const fd of fds) {
      const f = this.on.open(fd);
      if (typeof f === 'number') m.outFlags |= MSG_CTRUNC;
      else files.push(f);
    }
    if (files.length > 0) m.files = files;
  }

  poll(): number {
    const r = this.on.host.pollNow(this.fd, this.listens ? POLLIN : POLLIN | POLLOUT | POLLPRI | POLLRDHUP);
    if (r < 0) return POLLERR;
    return r | ((r & POLLIN) !== 0 ? POLLRDNORM : 0) | ((r & POLLOUT) !== 0 ? POLLWRNORM : 0);
  }

  getName(out: Uint8Array, peer: boolean): number {
    return this.on.host.socketName(this.fd, out, peer);
  }

  override shutdown(how: number): number {
    return how < 0 || how > 2 ? -EINVAL : this.on.host.shutdownSocket(this.fd, how);
  }

  override pendingBytes(): number {
    if (this.listens) return -EINVAL;
    const r = this.on.host.ioctl(this.fd, FIONREAD, word);
    return r < 0 ? r : getI32(word, 0);
  }

  override getOption(_c: Caller, level: number, name: number, out: Uint8Array, len: number): number | undefined {
    if (!isHostOption(HOST_OPTIONS.get, level, name)) return level === SOL_SOCKET ? undefined : this.noOption();
    return this.on.host.getSocketOption(this.fd, level, name, out.subarray(0, len));
  }

  override setOption(_c: Caller, level: number, name: number, val: Uint8Array, len: number): number | undefined {
    if (!isHostOption(HOST_OPTIONS.set, level, name)) return level === SOL_SOCKET ? undefined : this.noOption();
    const r = this.on.host.setSocketOption(this.fd, level, name, val.subarray(0, len));
    if (r < 0) return r;
    // What decides about received messages is kept here as well.
    return level === SOL_SOCKET && name === SO_PASSCRED ? undefined : r;
  }

  private noOption(): number {
    return this.family === AF_UNIX ? -EOPNOTSUPP : -ENOPROTOOPT;
  }

  release(): void {
    const { host } = this.on;
    host.unwatch(this.fd);
    host.close(this.fd);
  }
}
