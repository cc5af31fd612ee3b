// Names of unix sockets (unix(7)): struct sockaddr_un, the abstract name space, and the list of all unix sockets.

import { EINVAL } from '../../../abi/errno.ts';
import { AF_UNIX } from '../../../abi/socket.ts';
import { getU16, latin1Decode, latin1DecodeZ, latin1Write, putU16 } from '../../../base/bytes.ts';
import type { NetNs } from '../netns.ts';
import type { Socket } from '../socket.ts';

/** sizeof(struct sockaddr_un), and where sun_path begins in it. */
const SOCKADDR_UN_SIZE = 110;
const SUN_PATH = 2;

class UnixTable {
  /** Bound abstract names, without the leading NUL. */
  readonly abstract: Map<string, Socket> = new Map();
  readonly all: Set<Socket> = new Set();
  nextAuto = 0;
}

const tables = new WeakMap<NetNs, UnixTable>();

export function unixTable(ns: NetNs): UnixTable {
  let t = tables.get(ns);
  if (t === undefined) {
    t = new UnixTable();
    tables.set(ns, t);
  }
  return t;
}

/** The name in a sockaddr_un: '' for none (autobind), '\0...' abstract, else a path; or -errno. */
export function parseUnixName(addr: Uint8Array, len: number): string | number {
  if (len < SUN_PATH || len > SOCKADDR_UN_SIZE) return -EINVAL;
  const family = getU16(addr, 0);
  if (family !== AF_UNIX) return -EINVAL;
  if (len === SUN_PATH) return '';
  if (addr[SUN_PATH] === 0) return latin1Decode(addr, SUN_PATH, len);
  return latin1DecodeZ(addr, SUN_PATH, len);
}

/** Writes a name as sockaddr_un. Returns its length: 2 for an unnamed socket. */
export function putUnixName(out: Uint8Array, name: string): number {
  putU16(out, 0, AF_UNIX);
  if (name === '') return SUN_PATH;
  const n = latin1Write(name, out, SUN_PATH);
  if (name.charCodeAt(0) === 0) return SUN_PATH + n;
  out[SUN_PATH + n] = 0;
  return SUN_PATH + n + 1;
}

/** A free abstract name of five hexadecimal digits for `sock` (autobind), registered; '' if none is left. */
export function autoName(ns: NetNs, sock: Socket): string {
  const t = unixTable(ns);
  for (let i = 0; i < 0x100000; i++) {
    const key = (t.nextAuto++ & 0xfffff).toString(16).padStart(5, '0');
    if (t.abstract.has(key)) continue;
    t.abstract.set(key, sock);
    return `\0${key}`;
  }
  return '';
}
