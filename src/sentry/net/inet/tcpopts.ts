// Options of level IPPROTO_TCP (tcp(7)): kept and read back; without packets there is nothing for them to change.

import { EINVAL, EISCONN, ENOENT, ENOPROTOOPT, EPERM } from '../../../abi/errno.ts';
import {
  SOL_TCP,
  TCP_CONGESTION,
  TCP_CORK,
  TCP_DEFER_ACCEPT,
  TCP_FASTOPEN,
  TCP_FASTOPEN_CONNECT,
  TCP_FASTOPEN_NO_COOKIE,
  TCP_INFO,
  TCP_INQ,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_LINGER2,
  TCP_MAXSEG,
  TCP_NODELAY,
  TCP_NOTSENT_LOWAT,
  TCP_QUICKACK,
  TCP_REPAIR,
  TCP_SAVE_SYN,
  TCP_SYNCNT,
  TCP_THIN_DUPACK,
  TCP_THIN_LINEAR_TIMEOUTS,
  TCP_TIMESTAMP,
  TCP_TX_DELAY,
  TCP_ULP,
  TCP_USER_TIMEOUT,
  TCP_WINDOW_CLAMP,
} from '../../../abi/socket.ts';
import { latin1DecodeZ, latin1Write, putU32, putU64 } from '../../../base/bytes.ts';
import { intOption, putIntOption } from '../options.ts';
import type { Socket } from '../socket.ts';

/** What TCP_INFO and the options look at. */
interface TcpState extends Socket {
  readonly state: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
}

/** Segment size on lo: its MTU less the headers of IP and TCP with a timestamp. */
const LO_MSS = 65483;
const CONGESTION_NAMES = ['cubic', 'reno'];
const CA_NAME_MAX = 16;
const ESTABLISHED = 1;
const CLOSED = 7;
const TCP_INFO_SIZE = 232;

/** Options with their first values and the range that may be set. */
const RANGES: ReadonlyMap<number, readonly [number, number, number]> = new Map([
  [TCP_NODELAY, [0, -0x80000000, 0x7fffffff]],
  [TCP_CORK, [0, -0x80000000, 0x7fffffff]],
  [TCP_KEEPIDLE, [7200, 1, 32767]],
  [TCP_KEEPINTVL, [75, 1, 32767]],
  [TCP_KEEPCNT, [9, 1, 127]],
  [TCP_SYNCNT, [6, 1, 127]],
  [TCP_LINGER2, [60, -0x80000000, 0x7fffffff]],
  [TCP_DEFER_ACCEPT, [0, -0x80000000, 0x7fffffff]],
  [TCP_WINDOW_CLAMP, [0, 0, 0x7fffffff]],
  [TCP_QUICKACK, [1, -0x80000000, 0x7fffffff]],
  [TCP_THIN_LINEAR_TIMEOUTS, [0, 0, 1]],
  [TCP_THIN_DUPACK, [0, 0, 1]],
  [TCP_USER_TIMEOUT, [0, 0, 0x7fffffff]],
  [TCP_FASTOPEN, [0, 0, 0x7fffffff]],
  [TCP_FASTOPEN_CONNECT, [0, 0, 1]],
  [TCP_FASTOPEN_NO_COOKIE, [0, 0, 1]],
  [TCP_TIMESTAMP, [0, -0x80000000, 0x7fffffff]],
  [TCP_NOTSENT_LOWAT, [0, -0x80000000, 0x7fffffff]],
  [TCP_SAVE_SYN, [0, 0, 2]],
  [TCP_INQ, [0, 0, 1]],
  [TCP_TX_DELAY, [0, 0, 0x7fffffff]],
]);
const FLAGS = new Set([TCP_NODELAY, TCP_CORK, TCP_QUICKACK]);

/** Length written to `out`, or -errno. */
export function getTcpOption(s: TcpState, name: number, out: Uint8Array, len: number): number {
  const range = RANGES.get(name);
  if (range !== undefined) return putIntOption(out, len, s.storedOption(SOL_TCP, name, range[0]));
  switch (name) {
    case TCP_MAXSEG:
      return putIntOption(out, len, s.state === ESTABLISHED ? LO_MSS : s.storedOption(SOL_TCP, name, 536));
    case TCP_INFO:
      return putInfo(s, out, len);
    case TCP_CONGESTION: {
      out.fill(0, 0, CA_NAME_MAX);
      latin1Write(CONGESTION_NAMES[s.storedOption(SOL_TCP, name)]!, out, 0);
      return len < CA_NAME_MAX ? len : CA_NAME_MAX;
    }
    case TCP_ULP:
      return 0;
    case TCP_REPAIR:
      return putIntOption(out, len, 0);
    default:
      return -ENOPROTOOPT;
  }
}

/** 0 or -errno. */
export function setTcpOption(s: TcpState, name: number, val: Uint8Array, len: number): number {
  if (name === TCP_CONGESTION) {
    const i = CONGESTION_NAMES.indexOf(latin1DecodeZ(val, 0, len < CA_NAME_MAX ? len : CA_NAME_MAX));
    if (i < 0) return -ENOENT;
    s.storeOption(SOL_TCP, name, i);
    return 0;
  }
  if (name === TCP_ULP) return -ENOENT;
  if (name === TCP_REPAIR) return -EPERM;
  const v = intOption(val, len);
  if (v === undefined) return -EINVAL;
  if (name === TCP_MAXSEG) {
    if (v !== 0 && (v < 88 || v > 32767)) return -EINVAL;
    s.storeOption(SOL_TCP, name, v);
    return 0;
  }
  const range = RANGES.get(name);
  if (range === undefined) return -ENOPROTOOPT;
  if (v < range[1] || v > range[2]) return -EINVAL;
  if (name === TCP_FASTOPEN_CONNECT && s.state !== CLOSED) return -EISCONN;
  s.storeOption(SOL_TCP, name, FLAGS.has(name) ? (v !== 0 ? 1 : 0) : v);
  return 0;
}

/** struct tcp_info. */
function putInfo(s: TcpState, out: Uint8Array, len: number): number {
  out.fill(0, 0, TCP_INFO_SIZE);
  out[0] = s.state;
  out[5] = 7; // timestamps, SACK, window scale
  out[6] = 0x77;
  putU32(out, 8, 204000); // rto, us
  putU32(out, 12, 40000); // ato, us
  putU32(out, 16, LO_MSS);
  putU32(out, 20, LO_MSS);
  putU32(out, 60, 65535); // pmtu
  putU32(out, 64, 65483); // rcv_ssthresh
  putU32(out, 68, 20); // rtt, us
  putU32(out, 72, 10); // rttvar, us
  putU32(out, 76, 0x7fffffff); // snd_ssthresh
  putU32(out, 80, 10); // snd_cwnd
  putU32(out, 84, LO_MSS); // advmss
  putU32(out, 88, 3); // reordering
  putU32(out, 96, 65483); // rcv_space
  putU64(out, 120, s.bytesSent); // bytes_acked
  putU64(out, 128, s.bytesReceived);
  putU64(out, 200, s.bytesSent); // bytes_sent
  return len < TCP_INFO_SIZE ? len : TCP_INFO_SIZE;
}
