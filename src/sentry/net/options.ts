// Options of level SOL_SOCKET (socket(7)), and the helpers for all levels.

import { CAP_NET_ADMIN } from '../../abi/capability.ts';
import { EDOM, EINVAL, ENODEV, ENOPROTOOPT, EPERM } from '../../abi/errno.ts';
import {
  SO_ACCEPTCONN,
  SO_BINDTODEVICE,
  SO_BINDTOIFINDEX,
  SO_BROADCAST,
  SO_BSDCOMPAT,
  SO_BUSY_POLL,
  SO_COOKIE,
  SO_DEBUG,
  SO_DETACH_FILTER,
  SO_DOMAIN,
  SO_DONTROUTE,
  SO_ERROR,
  SO_INCOMING_CPU,
  SO_INCOMING_NAPI_ID,
  SO_KEEPALIVE,
  SO_LINGER,
  SO_LOCK_FILTER,
  SO_MARK,
  SO_MAX_PACING_RATE,
  SO_MEMINFO,
  SO_NOFCS,
  SO_NO_CHECK,
  SO_OOBINLINE,
  SO_PASSCRED,
  SO_PASSSEC,
  SO_PEEK_OFF,
  SO_PEERNAME,
  SO_PREFER_BUSY_POLL,
  SO_PRIORITY,
  SO_PROTOCOL,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_RCVLOWAT,
  SO_RCVTIMEO,
  SO_RCVTIMEO_NEW,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SO_RXQ_OVFL,
  SO_SELECT_ERR_QUEUE,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  SO_SNDLOWAT,
  SO_SNDTIMEO,
  SO_SNDTIMEO_NEW,
  SO_TIMESTAMP,
  SO_TIMESTAMPNS,
  SO_TIMESTAMPNS_NEW,
  SO_TIMESTAMP_NEW,
  SO_TIMESTAMPING,
  SO_TYPE,
  SO_ZEROCOPY,
  SOL_SOCKET,
} from '../../abi/socket.ts';
import { getI32, getI64, latin1DecodeZ, latin1Write, putU32, putU64 } from '../../base/bytes.ts';
import type { Caller } from '../vfs/caller.ts';
import { LO, LO_INDEX } from './lo.ts';
import type { Socket } from './socket.ts';

/** net.core.rmem_max and wmem_max. */
const BUFFER_MAX = 212992;
const RCVBUF_MIN = 2304;
const SNDBUF_MIN = 4608;

/** Options that hold 0 or 1. */
const BOOLEAN = new Set([
  SO_DEBUG,
  SO_REUSEADDR,
  SO_DONTROUTE,
  SO_BROADCAST,
  SO_KEEPALIVE,
  SO_OOBINLINE,
  SO_NO_CHECK,
  SO_REUSEPORT,
  SO_PASSCRED,
  SO_PASSSEC,
  SO_TIMESTAMP,
  SO_TIMESTAMPNS,
  SO_TIMESTAMP_NEW,
  SO_TIMESTAMPNS_NEW,
  SO_RXQ_OVFL,
  SO_LOCK_FILTER,
  SO_SELECT_ERR_QUEUE,
  SO_NOFCS,
  SO_ZEROCOPY,
  SO_PREFER_BUSY_POLL,
]);

/** Options that hold any integer. */
const INTEGER = new Set([SO_PRIORITY, SO_MARK, SO_PEEK_OFF, SO_BUSY_POLL, SO_INCOMING_CPU, SO_MAX_PACING_RATE, SO_TIMESTAMPING]);

/** Writes an integer option as far as `len` has room. Returns the length that optlen gets. */
export function putIntOption(out: Uint8Array, len: number, v: number): number {
  putU32(out, 0, v);
  return len < 4 ? len : 4;
}

/** An integer option's value; undefined when `len` is too short. */
export function intOption(val: Uint8Array, len: number): number | undefined {
  return len < 4 ? undefined : getI32(val, 0);
}

/** getsockopt(2) at SOL_SOCKET: the length written to `out` (never more than `len`), or -errno. */
export function getSocketOption(c: Caller, s: Socket, name: number, out: Uint8Array, len: number): number {
  const own = s.getOption(c, SOL_SOCKET, name, out, len);
  if (own !== undefined) return own;
  if (BOOLEAN.has(name)) return putIntOption(out, len, s.storedOption(SOL_SOCKET, name));
  if (INTEGER.has(name))
    return putIntOption(out, len, s.storedOption(SOL_SOCKET, name, name === SO_PEEK_OFF || name === SO_MAX_PACING_RATE ? -1 : 0));
  switch (name) {
    case SO_TYPE:
      return putIntOption(out, len, s.type);
    case SO_DOMAIN:
      return putIntOption(out, len, s.family);
    case SO_PROTOCOL:
      return putIntOption(out, len, s.protocol);
    case SO_ACCEPTCONN:
      return putIntOption(out, len, s.listening ? 1 : 0);
    case SO_ERROR:
      return putIntOption(out, len, -s.takeError());
    case SO_RCVBUF:
      return putIntOption(out, len, s.rcvbuf);
    case SO_SNDBUF:
      return putIntOption(out, len, s.sndbuf);
    case SO_RCVLOWAT:
      return putIntOption(out, len, s.rcvLowat);
    case SO_SNDLOWAT:
      return putIntOption(out, len, 1);
    case SO_BSDCOMPAT:
    case SO_INCOMING_NAPI_ID:
      return putIntOption(out, len, 0);
    case SO_BINDTOIFINDEX:
      return putIntOption(out, len, s.storedOption(SOL_SOCKET, SO_BINDTODEVICE));
    case SO_BINDTODEVICE: {
      if (s.storedOption(SOL_SOCKET, SO_BINDTODEVICE) === 0) return 0;
      if (len < 16) return -EINVAL;
      latin1Write(`${LO}\0`, out, 0);
      return LO.length + 1;
    }
    case SO_LINGER:
      putU32(out, 0, s.lingerOn ? 1 : 0);
      putU32(out, 4, s.lingerTime);
      return len < 8 ? len : 8;
    case SO_RCVTIMEO:
    case SO_RCVTIMEO_NEW:
      return putTimeout(out, len, s.rcvTimeout);
    case SO_SNDTIMEO:
    case SO_SNDTIMEO_NEW:
      return putTimeout(out, len, s.sndTimeout);
    case SO_PEERNAME: {
      const n = s.getName(out, true);
      return n < 0 || n <= len ? n : -EINVAL;
    }
    case SO_COOKIE:
      if (len < 8) return -EINVAL;
      putU64(out, 0, s.ino);
      return 8;
    case SO_MEMINFO:
      for (let i = 0; i < 9; i++) putU32(out, i * 4, i === 1 ? s.rcvbuf : i === 3 ? s.sndbuf : 0);
      return len < 36 ? len : 36;
    default:
      return -ENOPROTOOPT;
  }
}

/** setsockopt(2) at SOL_SOCKET. 0 or -errno. */
export function setSocketOption(c: Caller, s: Socket, name: number, val: Uint8Array, len: number): number {
  const own = s.setOption(c, SOL_SOCKET, name, val, len);
  if (own !== undefined) return own;
  if (name === SO_BINDTODEVICE) {
    const dev = latin1DecodeZ(val, 0, len < 16 ? len : 16);
    if (dev !== '' && dev !== LO) return -ENODEV;
    s.storeOption(SOL_SOCKET, SO_BINDTODEVICE, dev === '' ? 0 : LO_INDEX);
    return 0;
  }
  const v = intOption(val, len);
  if (v === undefined) return -EINVAL;
  if (name === SO_MARK && !c.creds.has(CAP_NET_ADMIN)) return -EPERM;
  if (name === SO_PRIORITY && (v < 0 || v > 6) && !c.creds.has(CAP_NET_ADMIN)) return -EPERM;
  if (name === SO_DEBUG && v !== 0 && !c.creds.has(CAP_NET_ADMIN)) return -EPERM;
  if (BOOLEAN.has(name)) {
    s.storeOption(SOL_SOCKET, name, v !== 0 ? 1 : 0);
    return 0;
  }
  if (INTEGER.has(name)) {
    s.storeOption(SOL_SOCKET, name, v);
    return 0;
  }
  switch (name) {
    case SO_TYPE:
    case SO_PROTOCOL:
    case SO_DOMAIN:
    case SO_ERROR:
    case SO_ACCEPTCONN:
    case SO_SNDLOWAT:
      return -ENOPROTOOPT;
    case SO_BSDCOMPAT:
    case SO_DETACH_FILTER:
      return 0;
    case SO_RCVBUFFORCE:
    case SO_SNDBUFFORCE:
      if (!c.creds.has(CAP_NET_ADMIN)) return -EPERM;
      if (name === SO_RCVBUFFORCE) s.rcvbuf = bufferSize(v, RCVBUF_MIN, 0x3fffffff);
      else s.sndbuf = bufferSize(v, SNDBUF_MIN, 0x3fffffff);
      return 0;
    case SO_RCVBUF:
      s.rcvbuf = bufferSize(v, RCVBUF_MIN, BUFFER_MAX);
      return 0;
    case SO_SNDBUF:
      s.sndbuf = bufferSize(v, SNDBUF_MIN, BUFFER_MAX);
      s.queue.notify(-1);
      return 0;
    case SO_RCVLOWAT:
      s.storeOption(SOL_SOCKET, name, v < 0 ? 0x7fffffff : v);
      return 0;
    case SO_BINDTOIFINDEX:
      if (v !== 0 && v !== LO_INDEX) return -ENODEV;
      s.storeOption(SOL_SOCKET, SO_BINDTODEVICE, v);
      return 0;
    case SO_LINGER:
      if (len < 8) return -EINVAL;
      s.lingerOn = v !== 0;
      if (s.lingerOn) s.lingerTime = getI32(val, 4) >>> 0;
      return 0;
    case SO_RCVTIMEO:
    case SO_RCVTIMEO_NEW: {
      const t = timeout(val, len);
      if (t < 0) return t;
      s.rcvTimeout = t;
      return 0;
    }
    case SO_SNDTIMEO:
    case SO_SNDTIMEO_NEW: {
      const t = timeout(val, len);
      if (t < 0) return t;
      s.sndTimeout = t;
      return 0;
    }
    default:
      return -ENOPROTOOPT;
  }
}

/** The kernel doubles what it is asked for, to cover its own overhead (socket(7)). */
function bufferSize(v: number, min: number, max: number): number {
  const asked = v < 0 ? max : v < max ? v : max;
  return asked * 2 > min ? asked * 2 : min;
}

/** A struct timeval as nanoseconds (0: Infinity), or -errno. */
function timeout(val: Uint8Array, len: number): number {
  if (len < 16) return -EINVAL;
  const sec = getI64(val, 0);
  const usec = getI64(val, 8);
  if (usec < 0 || usec >= 1e6) return -EDOM;
  if (sec === 0 && usec === 0) return Infinity;
  return sec < 0 ? 0 : sec * 1e9 + usec * 1000;
}

function putTimeout(out: Uint8Array, len: number, ns: number): number {
  const finite = ns === Infinity ? 0 : ns;
  putU64(out, 0, Math.floor(finite / 1e9));
  putU64(out, 8, Math.floor((finite % 1e9) / 1000));
  return len < 16 ? len : 16;
}
