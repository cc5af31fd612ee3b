// ICMP echo on lo (icmp(7)): SOCK_DGRAM "ping" sockets and SOCK_RAW ones. Requests are answered while they are sent.

import { EAGAIN, EDESTADDRREQ, EINVAL, EMSGSIZE, ENOPROTOOPT, EOPNOTSUPP } from '../../../abi/errno.ts';
import { POLLERR, POLLIN, POLLOUT, POLLRDNORM, POLLWRBAND, POLLWRNORM } from '../../../abi/poll.ts';
import {
  AF_INET,
  AF_UNSPEC,
  IP_RECVTTL,
  IP_TTL,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPV6_HOPLIMIT,
  IPV6_RECVHOPLIMIT,
  MSG_ERRQUEUE,
  MSG_OOB,
  MSG_PEEK,
  MSG_TRUNC,
  SOCK_RAW,
  SOL_ICMPV6,
  SOL_IP,
  SOL_IPV6,
  SOL_RAW,
} from '../../../abi/socket.ts';
import { getU16, putU32 } from '../../../base/bytes.ts';
import type { Caller } from '../../vfs/caller.ts';
import { Fifo } from '../fifo.ts';
import type { Message } from '../message.ts';
import type { NetNs } from '../netns.ts';
import { addTimestamps } from '../timestamp.ts';
import { Endpoint, isAny, parseEndpoint, putEndpoint, putV4 } from './addr.ts';
import { PortTable } from './ports.ts';
import { InetSocket, NO_ROUTE, UNREACHABLE } from './socket.ts';

const ECHO_REQUEST4 = 8;
const ECHO_REPLY4 = 0;
const ECHO_REQUEST6 = 128;
const ECHO_REPLY6 = 129;
const ICMP_HEADER = 8;
const IP_HEADER = 20;
const TTL = 64;

interface Reply {
  data: Uint8Array;
  ip: number;
}

const tables = new WeakMap<NetNs, PortTable<InetSocket>>();
const endpoint = new Endpoint();

export class IcmpSocket extends InetSocket {
  private readonly rx: Fifo<Reply> = new Fifo();
  private queued = 0;
  private connected = false;

  constructor(ns: NetNs, family: number, type: number) {
    super(ns, family, type, family === AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6);
  }

  /** The "ports" are echo identifiers. */
  protected get table(): PortTable<InetSocket> {
    let t = tables.get(this.ns);
    if (t === undefined) {
      t = new PortTable();
      tables.set(this.ns, t);
    }
    return t;
  }

  protected get hasPeer(): boolean {
    return this.connected;
  }

  connect(_c: Caller, addr: Uint8Array, len: number, _nonblock: boolean): number {
    if (len < 2) return -EINVAL;
    this.connected = getU16(addr, 0) !== AF_UNSPEC;
    if (!this.connected) return 0;
    const err = parseEndpoint(addr, len, this.family, endpoint);
    if (err < 0) return err;
    const dest = this.route(endpoint.ip);
    if (dest === NO_ROUTE) return UNREACHABLE;
    this.remoteIp = dest;
    this.remotePort = endpoint.port;
    if (isAny(this.localIp)) this.localIp = this.sourceFor(dest);
    return 0;
  }

  send(_c: Caller, m: Message): number {
    if ((m.flags & MSG_OOB) !== 0) return -EOPNOTSUPP;
    if (m.len > 65507) return -EMSGSIZE;
    let dest = this.remoteIp;
    if (m.nameLen > 0) {
      const err = parseEndpoint(m.name, m.nameLen, this.family, endpoint);
      if (err < 0) return err;
      dest = this.route(endpoint.ip);
      if (dest === NO_ROUTE) return UNREACHABLE;
    } else if (!this.connected) return -EDESTADDRREQ;
    if (m.len < ICMP_HEADER) return -EINVAL;
    const raw = this.type === SOCK_RAW;
    const v4 = this.family === AF_INET;
    const data = m.buf.slice(m.off, m.off + m.len);
    if (data[0] !== (v4 ? ECHO_REQUEST4 : ECHO_REQUEST6)) return raw ? m.len : -EINVAL;
    if (!raw) {
      const err = this.autobind();
      if (err < 0) return -EAGAIN;
      data[4] = this.localPort >>> 8;
      data[5] = this.localPort;
    }
    this.ns.lo.count(m.len + IP_HEADER);
    data[0] = v4 ? ECHO_REPLY4 : ECHO_REPLY6;
    data[2] = 0;
    data[3] = 0;
    if (v4) {
      const sum = checksum(data);
      data[2] = sum >>> 8;
      data[3] = sum;
    }
    this.deliver(raw && v4 ? withHeader(data, dest) : data, dest);
    return m.len;
  }

  private deliver(data: Uint8Array, ip: number): void {
    if (this.queued + data.length > this.rcvbuf) return;
    this.queued += data.length;
    this.rx.push({ data, ip });
    this.queue.notify(POLLIN | POLLRDNORM);
  }

  recv(_c: Caller, m: Message): number {
    if ((m.flags & MSG_ERRQUEUE) !== 0) return -EAGAIN;
    if (this.error !== 0) return this.takeError();
    const peek = (m.flags & MSG_PEEK) !== 0;
    const r = peek ? this.rx.first() : this.rx.shift();
    if (r === undefined) return -EAGAIN;
    if (!peek) this.queued -= r.data.length;
    const n = r.data.length < m.len ? r.data.length : m.len;
    m.buf.set(r.data.subarray(0, n), m.off);
    m.fullLength = r.data.length;
    if (n < r.data.length) m.outFlags |= MSG_TRUNC;
    m.nameLen = putEndpoint(m.name, this.family, r.ip, 0);
    addTimestamps(this, m);
    const ttl = new Uint8Array(4);
    putU32(ttl, 0, TTL);
    if (this.storedOption(SOL_IP, IP_RECVTTL) !== 0 && this.family === AF_INET) m.addControl(SOL_IP, IP_TTL, ttl);
    if (this.storedOption(SOL_IPV6, IPV6_RECVHOPLIMIT) !== 0) m.addControl(SOL_IPV6, IPV6_HOPLIMIT, ttl);
    return n;
  }

  override poll(): number {
    let mask = POLLOUT | POLLWRNORM | POLLWRBAND;
    if (this.rx.length > 0) mask |= POLLIN | POLLRDNORM;
    if (this.error !== 0) mask |= POLLERR;
    return mask;
  }

  release(): void {
    if (this.localPort !== 0) this.table.remove(this);
    this.localPort = 0;
    while (this.rx.shift() !== undefined);
  }

  override pendingBytes(): number {
    return this.rx.first()?.data.length ?? 0;
  }

  override setOption(c: Caller, level: number, name: number, val: Uint8Array, len: number): number | undefined {
    // Filters of message types (ICMP_FILTER, ICMPV6_FILTER): only echo replies ever arrive.
    if (level === SOL_RAW || level === SOL_ICMPV6) return name === 1 ? 0 : -ENOPROTOOPT;
    return super.setOption(c, level, name, val, len);
  }
}

/** The Internet checksum (RFC 1071). */
function checksum(b: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < b.length; i += 2) sum += (b[i]! << 8) | (i + 1 < b.length ? b[i + 1]! : 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** Raw IPv4 sockets see the IP header too (raw(7)). */
function withHeader(data: Uint8Array, ip: number): Uint8Array {
  const p = new Uint8Array(IP_HEADER + data.length);
  p[0] = 0x45;
  p[2] = p.length >>> 8;
  p[3] = p.length;
  p[8] = TTL;
  p[9] = IPPROTO_ICMP;
  putV4(p, 12, ip);
  putV4(p, 16, 0x7f000001);
  const sum = checksum(p.subarray(0, IP_HEADER));
  p[10] = sum >>> 8;
  p[11] = sum;
  p.set(data, IP_HEADER);
  return p;
}
