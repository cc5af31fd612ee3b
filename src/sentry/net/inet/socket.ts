// What TCP and UDP sockets share (ip(7), ipv6(7)): addresses, binding, and the options of levels IPPROTO_IP and IPPROTO_IPV6.

import { CAP_NET_ADMIN, CAP_NET_BIND_SERVICE, CAP_NET_RAW } from '../../../abi/capability.ts';
import { EACCES, EADDRNOTAVAIL, EINVAL, ENETUNREACH, ENODEV, ENOPROTOOPT, ENOTCONN, EPERM } from '../../../abi/errno.ts';
import {
  AF_INET,
  AF_INET6,
  IP_ADD_MEMBERSHIP,
  IP_BIND_ADDRESS_NO_PORT,
  IP_CHECKSUM,
  IP_DROP_MEMBERSHIP,
  IP_FREEBIND,
  IP_MINTTL,
  IP_MTU,
  IP_MTU_DISCOVER,
  IP_MULTICAST_ALL,
  IP_MULTICAST_IF,
  IP_MULTICAST_LOOP,
  IP_MULTICAST_TTL,
  IP_NODEFRAG,
  IP_OPTIONS,
  IP_PASSSEC,
  IP_PKTINFO,
  IP_RECVERR,
  IP_RECVFRAGSIZE,
  IP_RECVOPTS,
  IP_RECVORIGDSTADDR,
  IP_RECVTOS,
  IP_RECVTTL,
  IP_RETOPTS,
  IP_TOS,
  IP_TRANSPARENT,
  IP_TTL,
  IP_UNICAST_IF,
  IPV6_ADD_MEMBERSHIP,
  IPV6_ADDR_PREFERENCES,
  IPV6_AUTOFLOWLABEL,
  IPV6_DONTFRAG,
  IPV6_DROP_MEMBERSHIP,
  IPV6_FREEBIND,
  IPV6_MTU,
  IPV6_MTU_DISCOVER,
  IPV6_MULTICAST_ALL,
  IPV6_MULTICAST_HOPS,
  IPV6_MULTICAST_IF,
  IPV6_MULTICAST_LOOP,
  IPV6_RECVDSTOPTS,
  IPV6_RECVERR,
  IPV6_RECVHOPLIMIT,
  IPV6_RECVHOPOPTS,
  IPV6_RECVORIGDSTADDR,
  IPV6_RECVPATHMTU,
  IPV6_RECVPKTINFO,
  IPV6_RECVRTHDR,
  IPV6_RECVTCLASS,
  IPV6_TCLASS,
  IPV6_TRANSPARENT,
  IPV6_UNICAST_HOPS,
  IPV6_UNICAST_IF,
  IPV6_V6ONLY,
  SOL_IP,
  SOL_IPV6,
} from '../../../abi/socket.ts';
import type { Caller } from '../../vfs/caller.ts';
import { LO_MTU } from '../lo.ts';
import type { NetNs } from '../netns.ts';
import { intOption, putIntOption } from '../options.ts';
import { Socket } from '../socket.ts';
import { ANY4, ANY6, Endpoint, isAny, isLoopback, isV4, LOOPBACK4, LOOPBACK6, OTHER6, parseEndpoint, putEndpoint } from './addr.ts';
import type { PortTable } from './ports.ts';

/** net.ipv4.ip_unprivileged_port_start. */
const UNPRIVILEGED_PORT = 1024;
const DEFAULT_TTL = 64;

/** Options that are kept and read back, with the values that they begin with. */
const IP_DEFAULTS: ReadonlyMap<number, number> = new Map([
  [IP_TOS, 0],
  [IP_TTL, DEFAULT_TTL],
  [IP_MTU_DISCOVER, 1],
  [IP_RECVERR, 0],
  [IP_RECVTTL, 0],
  [IP_RECVTOS, 0],
  [IP_PKTINFO, 0],
  [IP_RECVOPTS, 0],
  [IP_RETOPTS, 0],
  [IP_PASSSEC, 0],
  [IP_FREEBIND, 0],
  [IP_TRANSPARENT, 0],
  [IP_MULTICAST_TTL, 1],
  [IP_MULTICAST_LOOP, 1],
  [IP_MULTICAST_IF, 0],
  [IP_MULTICAST_ALL, 1],
  [IP_BIND_ADDRESS_NO_PORT, 0],
  [IP_MINTTL, 0],
  [IP_NODEFRAG, 0],
  [IP_RECVORIGDSTADDR, 0],
  [IP_CHECKSUM, 0],
  [IP_RECVFRAGSIZE, 0],
  [IP_UNICAST_IF, 0],
]);

const IPV6_DEFAULTS: ReadonlyMap<number, number> = new Map([
  [IPV6_V6ONLY, 0],
  [IPV6_UNICAST_HOPS, DEFAULT_TTL],
  [IPV6_MULTICAST_HOPS, 1],
  [IPV6_MULTICAST_LOOP, 1],
  [IPV6_MULTICAST_IF, 0],
  [IPV6_MULTICAST_ALL, 1],
  [IPV6_MTU_DISCOVER, 1],
  [IPV6_RECVERR, 0],
  [IPV6_RECVPKTINFO, 0],
  [IPV6_RECVHOPLIMIT, 0],
  [IPV6_RECVTCLASS, 0],
  [IPV6_RECVHOPOPTS, 0],
  [IPV6_RECVRTHDR, 0],
  [IPV6_RECVDSTOPTS, 0],
  [IPV6_RECVPATHMTU, 0],
  [IPV6_RECVORIGDSTADDR, 0],
  [IPV6_TCLASS, 0],
  [IPV6_DONTFRAG, 0],
  [IPV6_AUTOFLOWLABEL, 1],
  [IPV6_ADDR_PREFERENCES, 4],
  [IPV6_UNICAST_IF, 0],
  [IPV6_FREEBIND, 0],
  [IPV6_TRANSPARENT, 0],
]);

const endpoint = new Endpoint();

export abstract class InetSocket extends Socket {
  localIp: number;
  localPort = 0;
  remoteIp: number;
  remotePort = 0;
  /** bind(2) named an address, not only a port: a disconnect keeps it. */
  protected boundIp: number;
  protected boundPort = 0;
  v6only = false;

  constructor(ns: NetNs, family: number, type: number, protocol: number) {
    super(ns, family, type, protocol);
    const any = family === AF_INET ? ANY4 : ANY6;
    this.localIp = any;
    this.remoteIp = any;
    this.boundIp = any;
  }

  /** The ports of this protocol. */
  protected abstract get table(): PortTable<InetSocket>;

  /** True when bind(2) comes too late. */
  protected get mayBind(): boolean {
    return this.localPort === 0;
  }

  bind(c: Caller, addr: Uint8Array, len: number): number {
    const err = parseEndpoint(addr, len, this.family, endpoint);
    if (err < 0) return err;
    const { ip, port } = endpoint;
    if (this.family === AF_INET6 && addr[0] !== AF_INET6) return -EINVAL;
    if (this.v6only && isV4(ip)) return -EINVAL;
    if (!isAny(ip) && !isLoopback(ip) && !this.bindable(ip)) return -EADDRNOTAVAIL;
    if (port !== 0 && port < UNPRIVILEGED_PORT && !c.creds.has(CAP_NET_BIND_SERVICE)) return -EACCES;
    if (!this.mayBind) return -EINVAL;
    const r = this.table.bind(this, ip, port);
    if (r < 0) return r;
    this.boundIp = ip;
    this.boundPort = port;
    return 0;
  }

  /** Addresses that are not local and may be bound all the same. */
  protected bindable(ip: number): boolean {
    return this.storedOption(SOL_IP, IP_FREEBIND) !== 0 && ip !== OTHER6;
  }

  /** Gives the socket an ephemeral port if it has none. 0 or -errno. */
  protected autobind(): number {
    return this.localPort !== 0 ? 0 : this.table.bind(this, this.localIp, 0);
  }

  /** The address that packets to `ip` really go to, or NO_ROUTE. */
  protected route(ip: number): number {
    if (!this.ns.lo.up || (this.v6only && isV4(ip))) return NO_ROUTE;
    if (this.family === AF_INET6 && isV4(ip) && !isAny(this.boundIp) && !isV4(this.boundIp)) return NO_ROUTE;
    if (ip === ANY4) return LOOPBACK4;
    if (ip === ANY6) return LOOPBACK6;
    return isLoopback(ip) ? ip : NO_ROUTE;
  }

  /** The source address of packets to `dest`. */
  protected sourceFor(dest: number): number {
    if (!isAny(this.localIp)) return this.localIp;
    return isV4(dest) ? LOOPBACK4 : LOOPBACK6;
  }

  override getName(out: Uint8Array, peer: boolean): number {
    if (!peer) return putEndpoint(out, this.family, this.localIp, this.localPort);
    if (!this.hasPeer) return -ENOTCONN;
    return putEndpoint(out, this.family, this.remoteIp, this.remotePort);
  }

  protected abstract get hasPeer(): boolean;

  override getOption(_c: Caller, level: number, name: number, out: Uint8Array, len: number): number | undefined {
    if (level === SOL_IP) {
      const d = IP_DEFAULTS.get(name);
      if (d !== undefined) {
        const v = this.storedOption(SOL_IP, name, d);
        // Small values fit a single byte, if that is all the caller has room for (ip(7)).
        if (len > 0 && len < 4 && v >= 0 && v <= 255) {
          out[0] = v;
          return 1;
        }
        return putIntOption(out, len, v);
      }
      if (name === IP_MTU) return this.hasPeer ? putIntOption(out, len, LO_MTU) : -ENOTCONN;
      if (name === IP_OPTIONS) return 0;
      return -ENOPROTOOPT;
    }
    if (level === SOL_IPV6) {
      if (this.family !== AF_INET6) return -ENOPROTOOPT;
      if (name === IPV6_V6ONLY) return putIntOption(out, len, this.v6only ? 1 : 0);
      const d = IPV6_DEFAULTS.get(name);
      if (d !== undefined) return putIntOption(out, len, this.storedOption(SOL_IPV6, name, d));
      if (name === IPV6_MTU) return this.hasPeer ? putIntOption(out, len, LO_MTU) : -ENOTCONN;
      return -ENOPROTOOPT;
    }
    return undefined;
  }

  override setOption(c: Caller, level: number, name: number, val: Uint8Array, len: number): number | undefined {
    if (level === SOL_IP) {
      if (name === IP_ADD_MEMBERSHIP || name === IP_DROP_MEMBERSHIP) return len < 8 ? -EINVAL : -ENODEV;
      if (name === IP_MULTICAST_IF) return 0;
      if (name === IP_OPTIONS) return len === 0 ? 0 : -EPERM;
      if (!IP_DEFAULTS.has(name)) return -ENOPROTOOPT;
      const v = len >= 4 ? intOption(val, len)! : len >= 1 ? val[0]! : 0;
      if (name === IP_TRANSPARENT && v !== 0 && !c.creds.has(CAP_NET_ADMIN) && !c.creds.has(CAP_NET_RAW)) return -EPERM;
      if (name === IP_TTL && v !== -1 && (v < 1 || v > 255)) return -EINVAL;
      if (name === IP_MTU_DISCOVER && (v < 0 || v > 5)) return -EINVAL;
      this.storeOption(SOL_IP, name, name === IP_TTL && v === -1 ? DEFAULT_TTL : v);
      return 0;
    }
    if (level === SOL_IPV6) {
      if (this.family !== AF_INET6) return -ENOPROTOOPT;
      if (name === IPV6_ADD_MEMBERSHIP || name === IPV6_DROP_MEMBERSHIP) return len < 20 ? -EINVAL : -ENODEV;
      if (!IPV6_DEFAULTS.has(name)) return -ENOPROTOOPT;
      const v = intOption(val, len);
      if (v === undefined) return -EINVAL;
      if (name === IPV6_V6ONLY) {
        if (this.localPort !== 0) return -EINVAL;
        this.v6only = v !== 0;
        return 0;
      }
      if ((name === IPV6_UNICAST_HOPS || name === IPV6_MULTICAST_HOPS || name === IPV6_TCLASS) && (v < -1 || v > 255)) return -EINVAL;
      this.storeOption(SOL_IPV6, name, v === -1 ? IPV6_DEFAULTS.get(name)! : v);
      return 0;
    }
    return undefined;
  }

  override inherit(listener: Socket): void {
    super.inherit(listener);
    this.v6only = (listener as InetSocket).v6only;
  }
}

/** What route() answers when there is none: no address has this value. */
export const NO_ROUTE = -1000;
export const UNREACHABLE: number = -ENETUNREACH;
