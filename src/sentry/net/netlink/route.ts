// NETLINK_ROUTE (rtnetlink(7)): what there is to say about lo, its addresses and its routes. It can be set up and down, no more.

import { EINVAL, ENETUNREACH, ENODEV, EOPNOTSUPP, EPERM } from '../../../abi/errno.ts';
import {
  AF_INET,
  AF_INET6,
  AF_UNSPEC,
  IFF_UP,
  NLM_F_DUMP,
  NLM_F_MULTI,
  RTM_BASE,
  RTM_GETADDR,
  RTM_GETLINK,
  RTM_GETNEIGH,
  RTM_GETROUTE,
  RTM_GETRULE,
  RTM_NEWADDR,
  RTM_NEWLINK,
  RTM_NEWROUTE,
  RTM_NEWRULE,
} from '../../../abi/socket.ts';
import { getU16, getU32, latin1DecodeZ, putU32, putU64 } from '../../../base/bytes.ts';
import { type LinkCounters, LO, LO_INDEX, LO_MTU, LO_TXQLEN } from '../lo.ts';
import { type NetlinkWriter, NLMSG_HEADER } from './writer.ts';

/** One request, already taken apart. */
export interface Request {
  type: number;
  flags: number;
  seq: number;
  /** The whole message with its header. */
  data: Uint8Array;
  /** Port that answers go to. */
  pid: number;
  admin: boolean;
}

const ARPHRD_LOOPBACK = 772;
const IFLA_ADDRESS = 1;
const IFLA_BROADCAST = 2;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_QDISC = 6;
const IFLA_STATS = 7;
const IFLA_TXQLEN = 13;
const IFLA_OPERSTATE = 16;
const IFLA_LINKMODE = 17;
const IFLA_STATS64 = 23;
const IFLA_GROUP = 27;
const IFLA_PROMISCUITY = 30;
const IFLA_NUM_TX_QUEUES = 31;
const IFLA_NUM_RX_QUEUES = 32;
const IFLA_CARRIER = 33;
const IFLA_CARRIER_CHANGES = 35;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_LABEL = 3;
const IFA_CACHEINFO = 6;
const IFA_FLAGS = 8;
const IFA_F_PERMANENT = 0x80;
const IFF_LOWER_UP = 0x10000;
const OPERSTATE_DOWN = 2;
const RT_SCOPE_UNIVERSE = 0;
const RT_SCOPE_LINK = 253;
const RT_SCOPE_HOST = 254;
const RT_TABLE_MAIN = 254;
const RT_TABLE_LOCAL = 255;
const RT_TABLE_DEFAULT = 253;
const RTPROT_KERNEL = 2;
const RTN_LOCAL = 2;
const RTN_BROADCAST = 3;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_PRIORITY = 6;
const RTA_PREFSRC = 7;
const RTA_TABLE = 15;
const FRA_PRIORITY = 6;
const FRA_TABLE = 15;
const FRA_SUPPRESS_PREFIXLEN = 14;
const FR_ACT_TO_TBL = 1;

const V4_LOOPBACK = new Uint8Array([127, 0, 0, 1]);
const V6_LOOPBACK = new Uint8Array([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
const V4_NET = new Uint8Array([127, 0, 0, 0]);
const V4_BROADCAST = new Uint8Array([127, 255, 255, 255]);

/** Answers one request into `w`. 0, or -errno to be told by NLMSG_ERROR. Dumps are ended by the caller. */
export function routeRequest(r: Request, lo: LinkCounters, w: NetlinkWriter): number {
  // Message types come in fours: NEW, DEL, GET, SET; everything but GET changes something (rtnetlink_rcv_msg).
  if (((r.type - RTM_BASE) & 3) !== 2) {
    if (!r.admin) return -EPERM;
    return r.type === RTM_NEWLINK ? setLink(r.data.subarray(NLMSG_HEADER), lo) : -EOPNOTSUPP;
  }
  const dump = (r.flags & NLM_F_DUMP) !== 0;
  const body = r.data.subarray(NLMSG_HEADER);
  const family = body.length > 0 ? body[0]! : AF_UNSPEC;
  switch (r.type) {
    case RTM_GETLINK:
      if (dump) {
        putLink(r, lo, w, NLM_F_MULTI);
        return 0;
      }
      return oneLink(r, body, lo, w);
    case RTM_GETADDR:
      if (!dump) return -EOPNOTSUPP;
      if (family === AF_INET || family === AF_UNSPEC) putAddress(r, w, AF_INET);
      if (family === AF_INET6 || family === AF_UNSPEC) putAddress(r, w, AF_INET6);
      return 0;
    case RTM_GETROUTE:
      return dump ? dumpRoutes(r, family, w) : oneRoute(r, body, family, w);
    case RTM_GETRULE:
      if (!dump) return -EOPNOTSUPP;
      for (const f of [AF_INET, AF_INET6]) {
        if (family !== AF_UNSPEC && family !== f) continue;
        putRule(r, w, f, 0, RT_TABLE_LOCAL);
        putRule(r, w, f, 32766, RT_TABLE_MAIN);
        if (f === AF_INET) putRule(r, w, f, 32767, RT_TABLE_DEFAULT);
      }
      return 0;
    case RTM_GETNEIGH:
      return dump ? 0 : -EOPNOTSUPP;
    default:
      return -EOPNOTSUPP;
  }
}

/** Data of attribute `type` among those at `off`, or null. */
function findAttr(body: Uint8Array, off: number, type: number): Uint8Array | null {
  let at = off;
  while (at + 4 <= body.length) {
    const len = getU16(body, at);
    if (len < 4 || at + len > body.length) return null;
    if ((getU16(body, at + 2) & 0x3fff) === type) return body.subarray(at + 4, at + len);
    at += (len + 3) & ~3;
  }
  return null;
}

/** RTM_NEWLINK: lo goes up or down, the rest of it stays. */
function setLink(body: Uint8Array, lo: LinkCounters): number {
  if (body.length < 16) return -EINVAL;
  const index = getU32(body, 4);
  const name = findAttr(body, 16, IFLA_IFNAME);
  if (index === 0 && name === null) return -EINVAL;
  if (index === 0 ? latin1DecodeZ(name!) !== LO : index !== LO_INDEX) return index === 0 ? -EOPNOTSUPP : -ENODEV;
  const flags = getU32(body, 8);
  const change = getU32(body, 12) === 0 ? 0xffffffff : getU32(body, 12);
  if ((change & IFF_UP) !== 0) lo.up = (flags & IFF_UP) !== 0;
  return 0;
}

function oneLink(r: Request, body: Uint8Array, lo: LinkCounters, w: NetlinkWriter): number {
  if (body.length < 16) return -EINVAL;
  const index = getU32(body, 4);
  if (index !== 0) {
    if (index !== LO_INDEX) return -ENODEV;
  } else {
    const name = findAttr(body, 16, IFLA_IFNAME);
    if (name === null) return -EINVAL;
    if (latin1DecodeZ(name) !== LO) return -ENODEV;
  }
  putLink(r, lo, w, 0);
  return 0;
}

function putLink(r: Request, lo: LinkCounters, w: NetlinkWriter, flags: number): void {
  w.begin(RTM_NEWLINK, flags, r.seq, r.pid);
  w.u8(AF_UNSPEC)
    .u8(0)
    .u16(ARPHRD_LOOPBACK)
    .u32(LO_INDEX)
    .u32(lo.up ? lo.flags | IFF_LOWER_UP : lo.flags)
    .u32(0);
  w.attrString(IFLA_IFNAME, LO);
  w.attr32(IFLA_TXQLEN, LO_TXQLEN);
  w.attr8(IFLA_OPERSTATE, lo.up ? 0 : OPERSTATE_DOWN);
  w.attr8(IFLA_LINKMODE, 0);
  w.attr32(IFLA_MTU, LO_MTU);
  w.attr32(IFLA_GROUP, 0);
  w.attr32(IFLA_PROMISCUITY, 0);
  w.attr32(IFLA_NUM_TX_QUEUES, 1);
  w.attr32(IFLA_NUM_RX_QUEUES, 1);
  w.attr8(IFLA_CARRIER, 1);
  w.attrString(IFLA_QDISC, 'noqueue');
  w.attr32(IFLA_CARRIER_CHANGES, 0);
  w.attr(IFLA_ADDRESS, new Uint8Array(6));
  w.attr(IFLA_BROADCAST, new Uint8Array(6));
  // Both begin with packets and bytes, received then sent.
  const wide = new Uint8Array(25 * 8);
  const narrow = new Uint8Array(24 * 4);
  for (let i = 0; i < 4; i++) {
    const v = i < 2 ? lo.packets : lo.bytes;
    putU64(wide, i * 8, v);
    putU32(narrow, i * 4, v);
  }
  w.attr(IFLA_STATS64, wide);
  w.attr(IFLA_STATS, narrow);
  w.end();
}

function putAddress(r: Request, w: NetlinkWriter, family: number): void {
  const v4 = family === AF_INET;
  w.begin(RTM_NEWADDR, NLM_F_MULTI, r.seq, r.pid);
  w.u8(family)
    .u8(v4 ? 8 : 128)
    .u8(IFA_F_PERMANENT)
    .u8(RT_SCOPE_HOST)
    .u32(LO_INDEX);
  w.attr(IFA_ADDRESS, v4 ? V4_LOOPBACK : V6_LOOPBACK);
  if (v4) {
    w.attr(IFA_LOCAL, V4_LOOPBACK);
    w.attrString(IFA_LABEL, LO);
  }
  const cache = new Uint8Array(16);
  cache.fill(0xff, 0, 8);
  w.attr(IFA_CACHEINFO, cache);
  w.attr32(IFA_FLAGS, IFA_F_PERMANENT);
  w.end();
}

function putRoute(
  r: Request,
  w: NetlinkWriter,
  flags: number,
  family: number,
  dst: Uint8Array,
  bits: number,
  scope: number,
  type: number,
): void {
  w.begin(RTM_NEWROUTE, flags, r.seq, r.pid);
  w.u8(family).u8(bits).u8(0).u8(0).u8(RT_TABLE_LOCAL).u8(RTPROT_KERNEL).u8(scope).u8(type).u32(0);
  w.attr32(RTA_TABLE, RT_TABLE_LOCAL);
  w.attr(RTA_DST, dst);
  if (family === AF_INET) w.attr(RTA_PREFSRC, V4_LOOPBACK);
  else w.attr32(RTA_PRIORITY, 0);
  w.attr32(RTA_OIF, LO_INDEX);
  w.end();
}

function dumpRoutes(r: Request, family: number, w: NetlinkWriter): number {
  if (family === AF_INET || family === AF_UNSPEC) {
    putRoute(r, w, NLM_F_MULTI, AF_INET, V4_NET, 8, RT_SCOPE_HOST, RTN_LOCAL);
    putRoute(r, w, NLM_F_MULTI, AF_INET, V4_LOOPBACK, 32, RT_SCOPE_HOST, RTN_LOCAL);
    putRoute(r, w, NLM_F_MULTI, AF_INET, V4_BROADCAST, 32, RT_SCOPE_LINK, RTN_BROADCAST);
  }
  if (family === AF_INET6 || family === AF_UNSPEC) {
    putRoute(r, w, NLM_F_MULTI, AF_INET6, V6_LOOPBACK, 128, RT_SCOPE_UNIVERSE, RTN_LOCAL);
  }
  return 0;
}

/** `ip route get`. */
function oneRoute(r: Request, body: Uint8Array, family: number, w: NetlinkWriter): number {
  if (body.length < 12) return -EINVAL;
  const dst = findAttr(body, 12, RTA_DST);
  if (family === AF_INET && dst !== null && dst.length >= 4 && dst[0] === 127) {
    putRoute(r, w, 0, AF_INET, dst.slice(0, 4), 32, RT_SCOPE_UNIVERSE, RTN_LOCAL);
    return 0;
  }
  if (family === AF_INET6 && dst !== null && dst.length >= 16 && V6_LOOPBACK.every((b, i) => dst[i] === b)) {
    putRoute(r, w, 0, AF_INET6, V6_LOOPBACK, 128, RT_SCOPE_UNIVERSE, RTN_LOCAL);
    return 0;
  }
  return -ENETUNREACH;
}

function putRule(r: Request, w: NetlinkWriter, family: number, priority: number, table: number): void {
  w.begin(RTM_NEWRULE, NLM_F_MULTI, r.seq, r.pid);
  w.u8(family).u8(0).u8(0).u8(0).u8(table).u8(0).u8(0).u8(FR_ACT_TO_TBL).u32(0);
  w.attr32(FRA_TABLE, table);
  w.attr32(FRA_SUPPRESS_PREFIXLEN, 0xffffffff);
  if (priority !== 0) w.attr32(FRA_PRIORITY, priority);
  w.end();
}
