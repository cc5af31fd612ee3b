// socket(2) and socketpair(2): which families, types and protocols there are.

import { CAP_NET_RAW } from '../../abi/capability.ts';
import { EAFNOSUPPORT, EINVAL, EOPNOTSUPP, EPERM, EPROTONOSUPPORT, ESOCKTNOSUPPORT } from '../../abi/errno.ts';
import {
  AF_INET,
  AF_INET6,
  AF_MAX,
  AF_NETLINK,
  AF_PACKET,
  AF_UNIX,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_TCP,
  IPPROTO_UDP,
  NETLINK_KOBJECT_UEVENT,
  NETLINK_ROUTE,
  NETLINK_SOCK_DIAG,
  SOCK_DGRAM,
  SOCK_PACKET,
  SOCK_RAW,
  SOCK_SEQPACKET,
  SOCK_STREAM,
} from '../../abi/socket.ts';
import type { Caller } from '../vfs/caller.ts';
import { IcmpSocket } from './inet/icmp.ts';
import { TcpSocket } from './inet/tcp.ts';
import { UdpSocket } from './inet/udp.ts';
import type { NetNs } from './netns.ts';
import { NetlinkSocket } from './netlink/socket.ts';
import type { Socket } from './socket.ts';
import { UnixDgram } from './unix/dgram.ts';
import { UnixSocket } from './unix/socket.ts';
import { UnixStream } from './unix/stream.ts';

const NETLINK_FAMILIES = new Set([NETLINK_ROUTE, NETLINK_SOCK_DIAG, NETLINK_KOBJECT_UEVENT]);

/** A fresh socket, or -errno. `type` is SOCK_* without flags. */
export function createSocket(c: Caller, ns: NetNs, family: number, type: number, protocol: number): Socket | number {
  const s = make(c, ns, family, type, protocol);
  if (typeof s === 'number') return s;
  s.uid = c.creds.fsuid;
  s.gid = c.creds.fsgid;
  return s;
}

function make(c: Caller, ns: NetNs, family: number, type: number, protocol: number): Socket | number {
  if (family < 0 || family >= AF_MAX) return -EAFNOSUPPORT;
  if (type < 0 || type > SOCK_PACKET) return -EINVAL;
  switch (family) {
    case AF_UNIX:
      if (protocol !== 0 && protocol !== AF_UNIX) return -EPROTONOSUPPORT;
      if (type === SOCK_STREAM) return new UnixStream(ns);
      // The kernel gives raw sockets of this family datagram semantics.
      if (type === SOCK_DGRAM || type === SOCK_RAW) return new UnixDgram(ns, SOCK_DGRAM);
      return type === SOCK_SEQPACKET ? new UnixDgram(ns, type) : -ESOCKTNOSUPPORT;
    case AF_INET:
    case AF_INET6:
      return makeInet(c, ns, family, type, protocol);
    case AF_NETLINK:
      if (type !== SOCK_RAW && type !== SOCK_DGRAM) return -ESOCKTNOSUPPORT;
      return NETLINK_FAMILIES.has(protocol) ? new NetlinkSocket(ns, type, protocol) : -EPROTONOSUPPORT;
    case AF_PACKET:
      return c.creds.has(CAP_NET_RAW) ? -EAFNOSUPPORT : -EPERM;
    default:
      return -EAFNOSUPPORT;
  }
}

function makeInet(c: Caller, ns: NetNs, family: number, type: number, protocol: number): Socket | number {
  if (protocol < 0 || protocol > 262) return -EINVAL;
  const icmp = family === AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6;
  switch (type) {
    case SOCK_STREAM:
      return protocol === 0 || protocol === IPPROTO_TCP ? new TcpSocket(ns, family) : -EPROTONOSUPPORT;
    case SOCK_DGRAM:
      if (protocol === 0 || protocol === IPPROTO_UDP) return new UdpSocket(ns, family);
      return protocol === icmp ? new IcmpSocket(ns, family, type) : -EPROTONOSUPPORT;
    case SOCK_RAW:
      if (!c.creds.has(CAP_NET_RAW)) return -EPERM;
      return protocol === icmp ? new IcmpSocket(ns, family, type) : -EPROTONOSUPPORT;
    default:
      return -ESOCKTNOSUPPORT;
  }
}

/** Two sockets connected to each other, or -errno. */
export function createPair(c: Caller, ns: NetNs, family: number, type: number, protocol: number): [Socket, Socket] | number {
  const a = createSocket(c, ns, family, type, protocol);
  if (typeof a === 'number') return a;
  if (!(a instanceof UnixSocket)) {
    a.release();
    return -EOPNOTSUPP;
  }
  const b = createSocket(c, ns, family, type, protocol) as UnixSocket;
  UnixSocket.join(c, a, b);
  return [a, b];
}
