// UDP between processes of the sandbox (udp(7)): whole messages in queues.

import {
  EACCES,
  EAGAIN,
  ECONNREFUSED,
  EDESTADDRREQ,
  EINVAL,
  EMSGSIZE,
  ENOPROTOOPT,
  ENOTCONN,
  EOPNOTSUPP,
  EPIPE,
} from '../../../abi/errno.ts';
import { POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP, POLLRDNORM, POLLWRBAND, POLLWRNORM } from '../../../abi/poll.ts';
import {
  AF_INET,
  AF_UNSPEC,
  IP_PKTINFO,
  IP_RECVORIGDSTADDR,
  IP_RECVTOS,
  IP_RECVTTL,
  IP_TOS,
  IP_TTL,
  IPPROTO_UDP,
  IPV6_HOPLIMIT,
  IPV6_PKTINFO,
  IPV6_RECVHOPLIMIT,
  IPV6_RECVPKTINFO,
  IPV6_RECVTCLASS,
  IPV6_TCLASS,
  MSG_ERRQUEUE,
  MSG_OOB,
  MSG_PEEK,
  MSG_TRUNC,
  SHUT_RD,
  SHUT_RDWR,
  SHUT_WR,
  SO_BROADCAST,
  SOCK_DGRAM,
  SOL_IP,
  SOL_IPV6,
  SOL_SOCKET,
  SOL_UDP,
  UDP_CORK,
  UDP_ENCAP,
  UDP_GRO,
  UDP_SEGMENT,
} from '../../../abi/socket.ts';
import { getU16, putU32 } from '../../../base/bytes.ts';
import type { Caller } from '../../vfs/caller.ts';
import { Fifo } from '../fifo.ts';
import { LO_INDEX } from '../lo.ts';
import type { Message } from '../message.ts';
import type { NetNs } from '../netns.ts';
import { intOption, putIntOption } from '../options.ts';
import { addTimestamps } from '../timestamp.ts';
import { BROADCAST4, Endpoint, isMulticast4, isV4, matchScore, parseEndpoint, putEndpoint, putV4, putV6 } from './addr.ts';
import type { PortTable } from './ports.ts';
import { InetSocket, NO_ROUTE, UNREACHABLE } from './socket.ts';
import { inetTables } from './tables.ts';

/** Largest payload: 65535 less the headers. */
const MAX_V4 = 65507;
const MAX_V6 = 65527;
/** What a queued message counts for beside its bytes. */
const OVERHEAD = 512;

interface Datagram {
  readonly data: Uint8Array;
  readonly ip: number;
  readonly port: number;
  readonly dest: number;
  readonly ttl: number;
  readonly tos: number;
}

const endpoint = new Endpoint();

export class UdpSocket extends InetSocket {
  private readonly rx: Fifo<Datagram> = new Fifo();
  private queued = 0;
  /** Datagrams that found no room, for /proc/net/udp. */
  drops = 0;
  private rcvShut = false;
  private sndShut = false;

  constructor(ns: NetNs, family: number) {
    super(ns, family, SOCK_DGRAM, IPPROTO_UDP);
  }

  protected get table(): PortTable<InetSocket> {
    return inetTables(this.ns).udp as PortTable<InetSocket>;
  }

  get hasPeer(): boolean {
    return this.remotePort !== 0;
  }

  protected override bindable(ip: number): boolean {
    return super.bindable(ip) || isMulticast4(ip) || ip === BROADCAST4;
  }

  connect(_c: Caller, addr: Uint8Array, len: number, _nonblock: boolean): number {
    if (len < 2) return -EINVAL;
    if (getU16(addr, 0) === AF_UNSPEC) {
      this.remotePort = 0;
      this.remoteIp = this.family === AF_INET ? 0 : -1;
      this.localIp = this.boundIp;
      if (this.boundPort === 0 && this.localPort !== 0) {
        this.table.remove(this);
        this.localPort = 0;
      }
      return 0;
    }
    const err = parseEndpoint(addr, len, this.family, endpoint);
    if (err < 0) return err;
    const port = endpoint.port;
    const dest = this.routeFor(endpoint.ip);
    if (dest === NO_ROUTE) return UNREACHABLE;
    if (dest === -EACCES) return dest;
    const bound = this.autobind();
    if (bound < 0) return bound;
    this.localIp = this.boundIp;
    this.localIp = this.sourceFor(dest);
    this.remoteIp = dest;
    this.remotePort = port;
    return 0;
  }

  private routeFor(ip: number): number {
    if (ip === BROADCAST4 && this.storedOption(SOL_SOCKET, SO_BROADCAST) === 0) return -EACCES;
    return this.route(ip);
  }

  send(_c: Caller, m: Message): number {
    if ((m.flags & MSG_OOB) !== 0) return -EOPNOTSUPP;
    if (m.len > (this.family === AF_INET ? MAX_V4 : MAX_V6)) return -EMSGSIZE;
    let dest: number;
    let port: number;
    if (m.nameLen > 0) {
      const err = parseEndpoint(m.name, m.nameLen, this.family, endpoint);
      if (err < 0) return err;
      if (endpoint.port === 0) return -EINVAL;
      port = endpoint.port;
      dest = this.routeFor(endpoint.ip);
      if (dest === NO_ROUTE) return UNREACHABLE;
      if (dest === -EACCES) return dest;
    } else {
      if (this.remotePort === 0) return -EDESTADDRREQ;
      dest = this.remoteIp;
      port = this.remotePort;
    }
    if (this.error !== 0) return this.takeError();
    if (this.sndShut) return -EPIPE;
    const bound = this.autobind();
    if (bound < 0) return -EAGAIN;
    const source = this.sourceFor(dest);
    this.ns.lo.count(m.len + 28);
    const to = this.find(dest, port, source, this.localPort);
    if (to === null) {
      // What ICMP "port unreachable" does to a connected socket.
      if (this.remotePort === port && this.remoteIp === dest) {
        this.error = ECONNREFUSED;
        this.queue.notify(POLLERR | POLLIN | POLLOUT);
      }
      return m.len;
    }
    const v4 = isV4(dest);
    const ttl = v4 ? this.storedOption(SOL_IP, IP_TTL, 64) : 64;
    const tos = v4 ? this.storedOption(SOL_IP, IP_TOS) : this.storedOption(SOL_IPV6, IPV6_TCLASS);
    to.deliver({ data: m.buf.slice(m.off, m.off + m.len), ip: source, port: this.localPort, dest, ttl, tos });
    return m.len;
  }

  /** The socket that gets a packet: a connected one before a bound one, an address before a wildcard. */
  private find(dest: number, port: number, source: number, sourcePort: number): UdpSocket | null {
    const holders = this.table.at(port);
    if (holders === undefined) return null;
    let best: UdpSocket | null = null;
    let bestScore = 0;
    let equals = 0;
    for (const h of holders) {
      const s = h as UdpSocket;
      let score = matchScore(s.localIp, s.v6only, dest);
      if (score === 0) continue;
      if (s.remotePort !== 0) {
        if (s.remotePort !== sourcePort || s.remoteIp !== source) continue;
        score += 8;
      }
      if (score > bestScore) {
        best = s;
        bestScore = score;
        equals = 1;
      } else if (score === bestScore) {
        // SO_REUSEPORT spreads senders; plain SO_REUSEADDR gives all to the newest.
        equals++;
        if (!s.reusePort || (source * 31 + sourcePort) % equals === 0) best = s;
      }
    }
    return best;
  }

  private deliver(d: Datagram): void {
    const size = d.data.length + OVERHEAD;
    if (this.queued + size > this.rcvbuf) {
      this.drops++;
      return;
    }
    this.queued += size;
    this.rx.push(d);
    this.queue.notify(POLLIN | POLLRDNORM);
  }

  recv(_c: Caller, m: Message): number {
    if ((m.flags & MSG_ERRQUEUE) !== 0) return -EAGAIN;
    if ((m.flags & MSG_OOB) !== 0) return -EOPNOTSUPP;
    if (this.error !== 0) return this.takeError();
    const d = (m.flags & MSG_PEEK) !== 0 ? this.rx.first() : this.rx.shift();
    if (d === undefined) return this.rcvShut ? 0 : -EAGAIN;
    if ((m.flags & MSG_PEEK) === 0) this.queued -= d.data.length + OVERHEAD;
    const n = d.data.length < m.len ? d.data.length : m.len;
    m.buf.set(n === d.data.length ? d.data : d.data.subarray(0, n), m.off);
    m.fullLength = d.data.length;
    if (n < d.data.length) m.outFlags |= MSG_TRUNC;
    m.nameLen = putEndpoint(m.name, this.family, d.ip, d.port);
    if (this.options.size > 0) this.ancillary(m, d);
    return n;
  }

  private ancillary(m: Message, d: Datagram): void {
    addTimestamps(this, m);
    if (isV4(d.dest)) {
      if (this.storedOption(SOL_IP, IP_PKTINFO) !== 0) {
        const b = new Uint8Array(12);
        putU32(b, 0, LO_INDEX);
        putV4(b, 4, d.dest);
        putV4(b, 8, d.dest);
        m.addControl(SOL_IP, IP_PKTINFO, b);
      }
      if (this.storedOption(SOL_IP, IP_RECVTTL) !== 0) m.addControl(SOL_IP, IP_TTL, int32(d.ttl));
      if (this.storedOption(SOL_IP, IP_RECVTOS) !== 0) m.addControl(SOL_IP, IP_TOS, new Uint8Array([d.tos]));
      if (this.storedOption(SOL_IP, IP_RECVORIGDSTADDR) !== 0) {
        const b = new Uint8Array(16);
        putEndpoint(b, AF_INET, d.dest, this.localPort);
        m.addControl(SOL_IP, IP_RECVORIGDSTADDR, b);
      }
    }
    if (this.family === AF_INET) return;
    if (this.storedOption(SOL_IPV6, IPV6_RECVPKTINFO) !== 0) {
      const b = new Uint8Array(20);
      putV6(b, 0, d.dest);
      putU32(b, 16, LO_INDEX);
      m.addControl(SOL_IPV6, IPV6_PKTINFO, b);
    }
    if (this.storedOption(SOL_IPV6, IPV6_RECVHOPLIMIT) !== 0) m.addControl(SOL_IPV6, IPV6_HOPLIMIT, int32(d.ttl));
    if (this.storedOption(SOL_IPV6, IPV6_RECVTCLASS) !== 0) m.addControl(SOL_IPV6, IPV6_TCLASS, int32(d.tos));
  }

  override poll(): number {
    let mask = POLLOUT | POLLWRNORM | POLLWRBAND;
    if (this.error !== 0) mask |= POLLERR;
    if (this.rcvShut) {
      mask |= POLLIN | POLLRDNORM | POLLRDHUP;
      if (this.sndShut) mask |= POLLHUP;
    }
    if (this.rx.length > 0) mask |= POLLIN | POLLRDNORM;
    return mask;
  }

  override shutdown(how: number): number {
    if (how < SHUT_RD || how > SHUT_RDWR) return -EINVAL;
    if (how !== SHUT_WR) this.rcvShut = true;
    if (how !== SHUT_RD) this.sndShut = true;
    this.queue.notify(-1);
    return this.remotePort === 0 ? -ENOTCONN : 0;
  }

  release(): void {
    if (this.localPort !== 0) this.table.remove(this);
    this.localPort = 0;
    while (this.rx.shift() !== undefined);
    this.queued = 0;
  }

  override pendingBytes(): number {
    return this.rx.first()?.data.length ?? 0;
  }

  override outstandingBytes(): number {
    return 0;
  }

  /** Bytes in the receive queue with overhead, for /proc/net/udp. */
  get queuedBytes(): number {
    return this.queued;
  }

  override getOption(c: Caller, level: number, name: number, out: Uint8Array, len: number): number | undefined {
    if (level !== SOL_UDP) return super.getOption(c, level, name, out, len);
    if (name !== UDP_CORK && name !== UDP_ENCAP && name !== UDP_SEGMENT && name !== UDP_GRO) return -ENOPROTOOPT;
    return putIntOption(out, len, this.storedOption(SOL_UDP, name));
  }

  override setOption(c: Caller, level: number, name: number, val: Uint8Array, len: number): number | undefined {
    if (level !== SOL_UDP) return super.setOption(c, level, name, val, len);
    const v = intOption(val, len);
    if (v === undefined) return -EINVAL;
    // Corking, segmentation and encapsulation would change what is sent: only their defaults are known.
    if (name === UDP_GRO) this.storeOption(SOL_UDP, name, v !== 0 ? 1 : 0);
    return name === UDP_GRO || (name === UDP_CORK && v === 0) ? 0 : -ENOPROTOOPT;
  }
}

function int32(v: number): Uint8Array {
  const b = new Uint8Array(4);
  putU32(b, 0, v);
  return b;
}
