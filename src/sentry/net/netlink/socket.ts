// AF_NETLINK sockets (netlink(7)): requests are answered while they are sent; answers wait in a queue of datagrams.

import { CAP_NET_ADMIN } from '../../../abi/capability.ts';
import { EADDRINUSE, EAGAIN, ECONNREFUSED, EINVAL, ENOBUFS, ENOENT, ENOPROTOOPT, ENOTCONN, EOPNOTSUPP, EPERM } from '../../../abi/errno.ts';
import { POLLERR, POLLIN, POLLOUT, POLLRDNORM, POLLWRBAND, POLLWRNORM } from '../../../abi/poll.ts';
import {
  AF_NETLINK,
  MSG_OOB,
  MSG_PEEK,
  MSG_TRUNC,
  NETLINK_ADD_MEMBERSHIP,
  NETLINK_BROADCAST_ERROR,
  NETLINK_CAP_ACK,
  NETLINK_DROP_MEMBERSHIP,
  NETLINK_EXT_ACK,
  NETLINK_GET_STRICT_CHK,
  NETLINK_LIST_MEMBERSHIPS,
  NETLINK_NO_ENOBUFS,
  NETLINK_PKTINFO,
  NETLINK_KOBJECT_UEVENT,
  NETLINK_SOCK_DIAG,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_MULTI,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  SOL_NETLINK,
} from '../../../abi/socket.ts';
import { getU16, getU32, putU16, putU32 } from '../../../base/bytes.ts';
import type { Task } from '../../kernel/task.ts';
import type { Caller } from '../../vfs/caller.ts';
import { Fifo } from '../fifo.ts';
import type { Message } from '../message.ts';
import type { NetNs } from '../netns.ts';
import { intOption, putIntOption } from '../options.ts';
import { Socket } from '../socket.ts';
import { type Request, routeRequest } from './route.ts';
import { NetlinkWriter, NLMSG_HEADER } from './writer.ts';

const SOCKADDR_NL = 12;
/** First message type that is not netlink's own. */
const NLMSG_MIN_TYPE = 16;

const FLAG_OPTIONS = new Set([
  NETLINK_PKTINFO,
  NETLINK_BROADCAST_ERROR,
  NETLINK_NO_ENOBUFS,
  NETLINK_CAP_ACK,
  NETLINK_EXT_ACK,
  NETLINK_GET_STRICT_CHK,
]);

const writers = new NetlinkWriter();
const ports = new WeakMap<NetNs, Map<number, Set<number>>>();

/** Port ids in use of a netlink family. */
function portsOf(ns: NetNs, protocol: number): Set<number> {
  let m = ports.get(ns);
  if (m === undefined) {
    m = new Map();
    ports.set(ns, m);
  }
  let s = m.get(protocol);
  if (s === undefined) {
    s = new Set();
    m.set(protocol, s);
  }
  return s;
}

export class NetlinkSocket extends Socket {
  /** nl_pid; 0: not bound yet. */
  portId = 0;
  groups = 0;
  private remotePort = 0;
  private connected = false;
  private readonly rx: Fifo<Uint8Array> = new Fifo();
  private queued = 0;

  constructor(ns: NetNs, type: number, protocol: number) {
    super(ns, AF_NETLINK, type, protocol);
  }

  override get isStream(): boolean {
    return false;
  }

  bind(c: Caller, addr: Uint8Array, len: number): number {
    if (len < SOCKADDR_NL || getU16(addr, 0) !== AF_NETLINK) return -EINVAL;
    const pid = getU32(addr, 4);
    if (this.portId !== 0) {
      if (pid !== this.portId) return -EINVAL;
    } else {
      const err = this.claim(c, pid);
      if (err < 0) return err;
    }
    this.groups = getU32(addr, 8);
    return 0;
  }

  /** Takes port `pid` (0: the process id, or another that is free). */
  private claim(c: Caller, pid: number): number {
    const used = portsOf(this.ns, this.protocol);
    let id = pid;
    if (id === 0) {
      id = (c as Task).tg.vtgid;
      for (let i = 4097; used.has(id); i++) id = -i >>> 0;
    } else if (used.has(id)) return -EADDRINUSE;
    used.add(id);
    this.portId = id;
    return 0;
  }

  connect(c: Caller, addr: Uint8Array, len: number, _nonblock: boolean): number {
    if (len < 2) return -EINVAL;
    if (getU16(addr, 0) === 0) {
      this.connected = false;
      return 0;
    }
    if (len < SOCKADDR_NL || getU16(addr, 0) !== AF_NETLINK) return -EINVAL;
    const pid = getU32(addr, 4);
    if ((pid !== 0 || getU32(addr, 8) !== 0) && !c.creds.has(CAP_NET_ADMIN)) return -EPERM;
    if (this.portId === 0) this.claim(c, 0);
    this.remotePort = pid;
    this.connected = true;
    return 0;
  }

  override getName(out: Uint8Array, peer: boolean): number {
    out.fill(0, 0, SOCKADDR_NL);
    putU16(out, 0, AF_NETLINK);
    putU32(out, 4, peer ? this.remotePort : this.portId);
    putU32(out, 8, peer ? 0 : this.groups);
    return peer && !this.connected ? -ENOTCONN : SOCKADDR_NL;
  }

  send(c: Caller, m: Message): number {
    if ((m.flags & MSG_OOB) !== 0) return -EOPNOTSUPP;
    let to = this.remotePort;
    if (m.nameLen > 0) {
      if (m.nameLen < SOCKADDR_NL || getU16(m.name, 0) !== AF_NETLINK) return -EINVAL;
      to = getU32(m.name, 4);
      if ((to !== 0 || getU32(m.name, 8) !== 0) && !c.creds.has(CAP_NET_ADMIN)) return -EPERM;
    }
    if (this.portId === 0) this.claim(c, 0);
    if (to !== 0) return -ECONNREFUSED;
    if (this.protocol === NETLINK_KOBJECT_UEVENT) return -ECONNREFUSED;
    const data = m.buf.slice(m.off, m.off + m.len);
    let at = 0;
    while (at + NLMSG_HEADER <= data.length) {
      const len = getU32(data, at);
      if (len < NLMSG_HEADER || at + len > data.length) break;
      this.request(c, data.subarray(at, at + len));
      at += (len + 3) & ~3;
    }
    return m.len;
  }

  private request(c: Caller, data: Uint8Array): void {
    const r: Request = {
      type: getU16(data, 4),
      flags: getU16(data, 6),
      seq: getU32(data, 8),
      data,
      pid: this.portId,
      admin: c.creds.has(CAP_NET_ADMIN),
    };
    if ((r.flags & NLM_F_REQUEST) === 0) return;
    if (r.type < NLMSG_MIN_TYPE) {
      if ((r.flags & NLM_F_ACK) !== 0) this.answer(r, 0);
      return;
    }
    // Without a handler for the family, as a kernel without inet_diag answers: ss(8) then reads /proc/net.
    const err = this.protocol === NETLINK_SOCK_DIAG ? -ENOENT : routeRequest(r, this.ns.lo, writers);
    if (!writers.empty) this.push(writers.take());
    if (err < 0) this.answer(r, err);
    else if ((r.flags & NLM_F_DUMP) !== 0) this.push(writers.begin(NLMSG_DONE, NLM_F_MULTI, r.seq, r.pid).u32(0).end().take());
    else if ((r.flags & NLM_F_ACK) !== 0) this.answer(r, 0);
  }

  /** NLMSG_ERROR with the request (its header alone for an acknowledgement). */
  private answer(r: Request, err: number): void {
    const echo = err === 0 || this.storedOption(SOL_NETLINK, NETLINK_CAP_ACK) !== 0 ? r.data.subarray(0, NLMSG_HEADER) : r.data;
    this.push(writers.begin(NLMSG_ERROR, 0, r.seq, r.pid).u32(err).bytes(echo).end().take());
  }

  /** Queues a datagram for the guest. */
  push(b: Uint8Array): void {
    if (this.queued + b.length > this.rcvbuf) {
      this.error = ENOBUFS;
      this.queue.notify(POLLERR);
      return;
    }
    this.queued += b.length;
    this.rx.push(b);
    this.queue.notify(POLLIN | POLLRDNORM);
  }

  recv(_c: Caller, m: Message): number {
    if ((m.flags & MSG_OOB) !== 0) return -EOPNOTSUPP;
    if (this.error !== 0) return this.takeError();
    const peek = (m.flags & MSG_PEEK) !== 0;
    const b = peek ? this.rx.first() : this.rx.shift();
    if (b === undefined) return -EAGAIN;
    if (!peek) this.queued -= b.length;
    const n = b.length < m.len ? b.length : m.len;
    m.buf.set(b.subarray(0, n), m.off);
    m.fullLength = b.length;
    if (n < b.length) m.outFlags |= MSG_TRUNC;
    m.name.fill(0, 0, SOCKADDR_NL);
    putU16(m.name, 0, AF_NETLINK);
    m.nameLen = SOCKADDR_NL;
    return n;
  }

  poll(): number {
    let mask = POLLOUT | POLLWRNORM | POLLWRBAND;
    if (this.rx.length > 0) mask |= POLLIN | POLLRDNORM;
    if (this.error !== 0) mask |= POLLERR;
    return mask;
  }

  release(): void {
    if (this.portId !== 0) portsOf(this.ns, this.protocol).delete(this.portId);
    while (this.rx.shift() !== undefined);
  }

  override pendingBytes(): number {
    return this.rx.first()?.length ?? 0;
  }

  override getOption(_c: Caller, level: number, name: number, out: Uint8Array, len: number): number | undefined {
    if (level !== SOL_NETLINK) return undefined;
    if (name === NETLINK_LIST_MEMBERSHIPS) return 0;
    return FLAG_OPTIONS.has(name) ? putIntOption(out, len, this.storedOption(level, name)) : -ENOPROTOOPT;
  }

  override setOption(_c: Caller, level: number, name: number, val: Uint8Array, len: number): number | undefined {
    if (level !== SOL_NETLINK) return undefined;
    const v = intOption(val, len);
    if (v === undefined) return -EINVAL;
    if (name === NETLINK_ADD_MEMBERSHIP || name === NETLINK_DROP_MEMBERSHIP) return v <= 0 || v > 64 ? -EINVAL : 0;
    if (!FLAG_OPTIONS.has(name)) return -ENOPROTOOPT;
    this.storeOption(level, name, v !== 0 ? 1 : 0);
    return 0;
  }
}
