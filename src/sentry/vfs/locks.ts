// File locks (fcntl(2) POSIX and open file description locks, flock(2); Linux: fs/locks.c).
//
// A record lock belongs to a thread group (POSIX) or a description (OFD); a whole-file lock to a description (flock). The two families
// do not see each other. Waiting is the system call layer's: it waits on FileLocks.queue and tries again.

import { EAGAIN, EDEADLK } from '../../abi/errno.ts';
import { F_RDLCK, F_UNLCK, F_WRLCK } from '../../abi/fcntl.ts';
import { WaitQueue } from '../../base/waitqueue.ts';
import type { File } from './file.ts';
import type { Inode } from './inode.ts';

/** Who holds a record lock: a thread group's id, or the description itself. */
export type LockOwner = number | File;

/** [start, end): bytes; end Infinity is the end of any file. */
export interface RecordLock {
  owner: LockOwner;
  pid: number;
  type: number;
  start: number;
  end: number;
}

export interface WholeLock {
  owner: File;
  exclusive: boolean;
  pid: number;
}

export class FileLocks {
  records: RecordLock[] = [];
  whole: WholeLock[] = [];
  /** Told when locks go. */
  readonly queue = new WaitQueue();
}

/** Thread groups that wait, and the owner they wait for: deadlocks are circles here. */
const waiting = new Map<number, LockOwner>();

/** The locks of an inode, made on demand. */
export function locksOf(inode: Inode): FileLocks {
  if (inode.locks === null) inode.locks = new FileLocks();
  return inode.locks as FileLocks;
}

/** The first record lock of another owner that stands against [start, end) with `type`, or null. */
export function findConflict(inode: Inode, owner: LockOwner, type: number, start: number, end: number): RecordLock | null {
  if (inode.locks === null) return null;
  for (const l of (inode.locks as FileLocks).records) {
    if (l.owner === owner || l.start >= end || l.end <= start) continue;
    if (type === F_WRLCK || l.type === F_WRLCK) return l;
  }
  return null;
}

/**
 * Sets, converts or (F_UNLCK) removes a record lock. 0, -EAGAIN when another owner stands against it, or, with `wait`, -EDEADLK when
 * waiting would never end.
 */
export function setRecordLock(
  inode: Inode,
  owner: LockOwner,
  pid: number,
  type: number,
  start: number,
  end: number,
  wait: boolean,
): number {
  if (type === F_UNLCK && inode.locks === null) return 0;
  const locks = locksOf(inode);
  if (typeof owner === 'number') waiting.delete(owner);
  if (type !== F_UNLCK) {
    const conflict = findConflict(inode, owner, type, start, end);
    if (conflict !== null) {
      if (wait && typeof owner === 'number') {
        let next: LockOwner | undefined = conflict.owner;
        while (typeof next === 'number') {
          if (next === owner) return -EDEADLK;
          next = waiting.get(next);
        }
        waiting.set(owner, conflict.owner);
      }
      return -EAGAIN;
    }
  }
  apply(locks, owner, pid, type, start, end);
  return 0;
}

/** A wait for a lock was given up. */
export function stopWaiting(owner: number): void {
  waiting.delete(owner);
}

function apply(locks: FileLocks, owner: LockOwner, pid: number, type: number, start: number, end: number): void {
  const out: RecordLock[] = [];
  let freed = false;
  let lo = start;
  let hi = end;
  for (const l of locks.records) {
    if (l.owner !== owner) {
      out.push(l);
      continue;
    }
    if (l.type === type) {
      // Same kind: neighbours and overlaps melt into one.
      if (l.end < lo || l.start > hi) {
        out.push(l);
      } else {
        if (l.start < lo) lo = l.start;
        if (l.end > hi) hi = l.end;
      }
      continue;
    }
    if (l.end <= start || l.start >= end) {
      out.push(l);
      continue;
    }
    if (type === F_UNLCK || l.type === F_WRLCK) freed = true;
    if (l.start < start) out.push({ owner, pid: l.pid, type: l.type, start: l.start, end: start });
    if (l.end > end) out.push({ owner, pid: l.pid, type: l.type, start: end, end: l.end });
  }
  if (type === F_RDLCK || type === F_WRLCK) out.push({ owner, pid, type, start: lo, end: hi });
  out.sort((a, b) => a.start - b.start);
  locks.records = out;
  if (freed) locks.queue.notify(-1);
}

/** A thread group closed a descriptor of the inode: all its record locks on it go (fcntl(2)). */
export function releasePosixLocks(inode: Inode, tgid: number): void {
  const locks = inode.locks as FileLocks | null;
  if (locks === null) return;
  for (const l of locks.records) {
    if (l.owner === tgid) {
      apply(locks, tgid, 0, F_UNLCK, 0, Infinity);
      return;
    }
  }
}

/** The last descriptor of a description is gone: its whole-file and description locks go. */
export function releaseFileLocks(f: File): void {
  const locks = f.inode.locks as FileLocks | null;
  if (locks === null) return;
  const records = locks.records.length;
  const whole = locks.whole.length;
  locks.records = locks.records.filter((l) => l.owner !== f);
  locks.whole = locks.whole.filter((l) => l.owner !== f);
  if (locks.records.length !== records || locks.whole.length !== whole) locks.queue.notify(-1);
}

/** flock(2): takes, converts (dropping the old lock first, as Linux does) the whole-file lock of `f`. 0 or -EAGAIN. */
export function setWholeLock(f: File, exclusive: boolean, pid: number): number {
  const locks = locksOf(f.inode);
  for (const l of locks.whole) if (l.owner === f && l.exclusive === exclusive) return 0;
  dropWholeLock(f);
  for (const l of locks.whole) if (exclusive || l.exclusive) return -EAGAIN;
  locks.whole.push({ owner: f, exclusive, pid });
  return 0;
}

/** flock(2) with LOCK_UN. */
export function dropWholeLock(f: File): void {
  const locks = f.inode.locks as FileLocks | null;
  if (locks === null) return;
  const n = locks.whole.length;
  locks.whole = locks.whole.filter((l) => l.owner !== f);
  if (locks.whole.length !== n) locks.queue.notify(-1);
}
