// Internet addresses (ip(7), ipv6(7)) of a host that knows only its loopback interface.
//
// An address is one number, so that tables and comparisons stay cheap: IPv4 (and IPv4-mapped) addresses are themselves (0..2^32-1), IPv6
// ones that can be local have a code, and every other IPv6 address is OTHER6: nothing can be bound there and no route leads to it.

import { EAFNOSUPPORT, EINVAL } from '../../../abi/errno.ts';
import { AF_INET, AF_INET6, AF_UNSPEC } from '../../../abi/socket.ts';
import { getU16, putU16, putU32 } from '../../../base/bytes.ts';

export const ANY4 = 0;
export const LOOPBACK4 = 0x7f000001;
export const BROADCAST4 = 0xffffffff;
export const ANY6 = -1;
export const LOOPBACK6 = -2;
export const OTHER6 = -3;

export function isV4(ip: number): boolean {
  return ip >= 0;
}

export function isAny(ip: number): boolean {
  return ip === ANY4 || ip === ANY6;
}

/** 127.0.0.0/8 or ::1: what belongs to lo. */
export function isLoopback(ip: number): boolean {
  return ip === LOOPBACK6 || (ip >= 0x7f000000 && ip <= 0x7fffffff);
}

export function isMulticast4(ip: number): boolean {
  return ip >= 0xe0000000 && ip <= 0xefffffff;
}

/** Reads the sixteen bytes of an IPv6 address. */
function readV6(b: Uint8Array, off: number): number {
  for (let i = 0; i < 10; i++) if (b[off + i] !== 0) return OTHER6;
  const mid = getU16(b, off + 10);
  if (mid === 0xffff) return readV4(b, off + 12);
  if (mid !== 0 || b[off + 12] !== 0 || b[off + 13] !== 0 || b[off + 14] !== 0) return OTHER6;
  const last = b[off + 15];
  return last === 0 ? ANY6 : last === 1 ? LOOPBACK6 : OTHER6;
}

function readV4(b: Uint8Array, off: number): number {
  return ((b[off]! << 24) | (b[off + 1]! << 16) | (b[off + 2]! << 8) | b[off + 3]!) >>> 0;
}

/** An address and port; reused. */
export class Endpoint {
  ip = 0;
  port = 0;
}

/**
 * Reads a sockaddr for a socket of `family`. 0 or -errno. `unspec`: what AF_UNSPEC answers (bind takes it for AF_INET with address 0;
 * connect dissolves an association).
 */
export function parseEndpoint(b: Uint8Array, len: number, family: number, out: Endpoint): number {
  if (len < 2) return -EINVAL;
  const f = getU16(b, 0);
  if (f === AF_INET || (f === AF_UNSPEC && family === AF_INET)) {
    if (len < 16) return -EINVAL;
    out.port = (b[2]! << 8) | b[3]!;
    out.ip = readV4(b, 4);
    return f === AF_UNSPEC && out.ip !== 0 ? -EAFNOSUPPORT : 0;
  }
  if (f === AF_INET6 && family === AF_INET6) {
    if (len < 24) return -EINVAL;
    out.port = (b[2]! << 8) | b[3]!;
    out.ip = readV6(b, 8);
    return 0;
  }
  return -EAFNOSUPPORT;
}

/** Writes a sockaddr_in or sockaddr_in6 as a socket of `family` shows it. Returns its length. */
export function putEndpoint(out: Uint8Array, family: number, ip: number, port: number): number {
  putU16(out, 0, family);
  out[2] = port >>> 8;
  out[3] = port;
  if (family === AF_INET) {
    putV4(out, 4, ip);
    out.fill(0, 8, 16);
    return 16;
  }
  putU32(out, 4, 0);
  putV6(out, 8, ip);
  putU32(out, 24, 0);
  return 28;
}

export function putV4(out: Uint8Array, off: number, ip: number): void {
  out[off] = ip >>> 24;
  out[off + 1] = ip >>> 16;
  out[off + 2] = ip >>> 8;
  out[off + 3] = ip;
}

export function putV6(out: Uint8Array, off: number, ip: number): void {
  out.fill(0, off, off + 16);
  if (ip >= 0) {
    out[off + 10] = 0xff;
    out[off + 11] = 0xff;
    putV4(out, off + 12, ip);
  } else if (ip === LOOPBACK6) out[off + 15] = 1;
}

/**
 * How well a socket bound to `bound` fits a packet to `dest`: 0 not at all, higher is better (an address beats a wildcard, and the
 * wildcard of the same family beats a dual-stack one).
 */
export function matchScore(bound: number, v6only: boolean, dest: number): number {
  if (bound === dest) return 4;
  if (isV4(dest)) {
    if (bound === ANY4) return 3;
    return bound === ANY6 && !v6only ? 2 : 0;
  }
  return bound === ANY6 ? 3 : 0;
}

/** True when two sockets could get the same packet if they shared a port. */
export function overlaps(a: number, aOnly: boolean, b: number, bOnly: boolean): boolean {
  if (a === b) return true;
  if (isV4(a) && isV4(b)) return a === ANY4 || b === ANY4;
  if (!isV4(a) && !isV4(b)) return a === ANY6 || b === ANY6;
  // One of each family: they meet when the IPv6 one is a dual-stack wildcard.
  return isV4(a) ? b === ANY6 && !bOnly : a === ANY6 && !aOnly;
}
