// What the three kinds of System V objects share (sysvipc(7), svipc(7)): keys, identifiers, permissions, struct ipc64_perm.

import { CAP_IPC_OWNER, CAP_SYS_ADMIN } from '../../abi/capability.ts';
import { EACCES, EEXIST, EINVAL, ENOENT, ENOSPC, EPERM } from '../../abi/errno.ts';
import { IPC_CREAT, IPC_EXCL, IPC_PRIVATE } from '../../abi/ipc.ts';
import { getU32, putU16, putU32, putU64 } from '../../base/bytes.ts';
import { realtime } from '../../base/clock.ts';
import type { Credentials } from '../vfs/creds.ts';

/** sizeof(struct ipc64_perm). */
export const PERM_SIZE = 48;
/** An identifier is index + SEQ_STEP * sequence: reused slots answer to new identifiers only. */
const SEQ_STEP = 32768;
const SEQ_MAX = 65535;

const now = new Float64Array(2);

/** Seconds of CLOCK_REALTIME. */
export function nowSec(): number {
  realtime(now);
  return now[0]!;
}

export abstract class IpcObject {
  id = -1;
  key: number;
  uid: number;
  gid: number;
  readonly cuid: number;
  readonly cgid: number;
  /** Permission bits, and kind-specific flags above them. */
  mode: number;
  seq = 0;
  ctime: number;
  removed = false;

  constructor(cr: Credentials, key: number, mode: number) {
    this.key = key;
    this.uid = cr.euid;
    this.gid = cr.egid;
    this.cuid = cr.euid;
    this.cgid = cr.egid;
    this.mode = mode & 0o777;
    this.ctime = nowSec();
  }

  /** 0, or -EACCES unless all of `want` (read 4, write 2, in any of the three places) is granted. */
  permission(cr: Credentials, want: number): number {
    const asked = ((want >> 6) | (want >> 3) | want) & 7;
    let granted = this.mode;
    if (cr.euid === this.uid || cr.euid === this.cuid) granted >>= 6;
    else if (inGroup(cr, this.gid) || inGroup(cr, this.cgid)) granted >>= 3;
    return (asked & ~granted & 7) === 0 || cr.has(CAP_IPC_OWNER) ? 0 : -EACCES;
  }

  /** 0, or -EPERM unless the caller owns or made it (IPC_SET, IPC_RMID). */
  ownership(cr: Credentials): number {
    return cr.euid === this.uid || cr.euid === this.cuid || cr.has(CAP_SYS_ADMIN) ? 0 : -EPERM;
  }

  putPerm(b: Uint8Array): void {
    b.fill(0, 0, PERM_SIZE);
    putU32(b, 0, this.key);
    putU32(b, 4, this.uid);
    putU32(b, 8, this.gid);
    putU32(b, 12, this.cuid);
    putU32(b, 16, this.cgid);
    putU32(b, 20, this.mode);
    putU16(b, 24, this.seq);
  }

  /** IPC_SET: owner, group and permission bits from a struct ipc64_perm. */
  setPerm(b: Uint8Array): number {
    const uid = getU32(b, 4);
    const gid = getU32(b, 8);
    if (uid === 0xffffffff || gid === 0xffffffff) return -EINVAL;
    this.uid = uid;
    this.gid = gid;
    this.mode = (this.mode & ~0o777) | (getU32(b, 20) & 0o777);
    this.ctime = nowSec();
    return 0;
  }
}

function inGroup(cr: Credentials, gid: number): boolean {
  return cr.egid === gid || cr.groups.includes(gid);
}

/** The objects of one kind. */
export class IpcTable<T extends IpcObject> {
  readonly limit: number;
  private readonly slots: (T | null)[] = [];
  private readonly seqs: number[] = [];
  private readonly keys: Map<number, T> = new Map();
  count = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  /** Index of the highest slot in use, or 0 (what *_INFO answers). */
  get maxIndex(): number {
    let i = this.slots.length - 1;
    while (i > 0 && this.slots[i] === null) i--;
    return i < 0 ? 0 : i;
  }

  get(id: number): T | number {
    const o = id < 0 ? undefined : this.slots[id % SEQ_STEP];
    return o === undefined || o === null || o.id !== id ? -EINVAL : o;
  }

  /** The object in a slot (*_STAT), or -EINVAL. */
  atIndex(index: number): T | number {
    const o = index < 0 ? undefined : this.slots[index % SEQ_STEP];
    return o === undefined || o === null ? -EINVAL : o;
  }

  /** An object by key for *get(2): it, `null` when one must be made, or -errno. */
  find(cr: Credentials, key: number, flags: number): T | null | number {
    if (key === IPC_PRIVATE) return this.count >= this.limit ? -ENOSPC : null;
    const o = this.keys.get(key);
    if (o === undefined) {
      if ((flags & IPC_CREAT) === 0) return -ENOENT;
      return this.count >= this.limit ? -ENOSPC : null;
    }
    if ((flags & (IPC_CREAT | IPC_EXCL)) === (IPC_CREAT | IPC_EXCL)) return -EEXIST;
    const err = o.permission(cr, flags);
    return err < 0 ? err : o;
  }

  /** Takes a new object in and gives it its identifier. */
  add(o: T): number {
    let i = this.slots.indexOf(null);
    if (i < 0) {
      i = this.slots.length;
      this.seqs.push(0);
      this.slots.push(null);
    }
    this.slots[i] = o;
    o.seq = this.seqs[i]!;
    o.id = i + o.seq * SEQ_STEP;
    if (o.key !== IPC_PRIVATE) this.keys.set(o.key, o);
    this.count++;
    return o.id;
  }

  remove(o: T): void {
    if (o.removed) return;
    o.removed = true;
    const i = o.id % SEQ_STEP;
    this.slots[i] = null;
    this.seqs[i] = (this.seqs[i]! + 1) % (SEQ_MAX + 1);
    this.hideKey(o);
    this.count--;
  }

  /** The key leads nowhere from now on, the identifier still does (a segment marked for destruction). */
  hideKey(o: T): void {
    if (o.key !== IPC_PRIVATE && this.keys.get(o.key) === o) this.keys.delete(o.key);
    o.key = IPC_PRIVATE;
  }

  forEach(fn: (o: T) => void): void {
    for (const o of this.slots) if (o !== null) fn(o);
  }
}

/** Writes a time and nothing else at `off`: seconds as 64 bits. */
export function putTime(b: Uint8Array, off: number, sec: number): void {
  putU64(b, off, sec);
}
