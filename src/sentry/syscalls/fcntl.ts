// Descriptors and descriptions: dup(2), fcntl(2), ioctl(2), flock(2), fsync(2).

import { EAGAIN, EBADF, EBUSY, EFAULT, EINVAL, ENOTTY, EOVERFLOW, EPERM, ESPIPE } from '../../abi/errno.ts';
import {
  F_ADD_SEALS,
  F_DUPFD,
  F_DUPFD_CLOEXEC,
  F_GET_SEALS,
  F_GETFD,
  F_GETFL,
  F_GETLEASE,
  F_GETLK,
  F_GETOWN,
  F_GETOWN_EX,
  F_GETPIPE_SZ,
  F_GETSIG,
  F_OFD_GETLK,
  F_OFD_SETLK,
  F_OFD_SETLKW,
  F_OWNER_PGRP,
  F_RDLCK,
  F_SEAL_WRITE,
  F_SETFD,
  F_SETFL,
  F_SETLEASE,
  F_SETLK,
  F_SETLKW,
  F_SETOWN,
  F_SETOWN_EX,
  F_SETPIPE_SZ,
  F_SETSIG,
  F_UNLCK,
  F_WRLCK,
  FD_CLOEXEC,
  LOCK_EX,
  LOCK_MAND,
  LOCK_NB,
  LOCK_SH,
  LOCK_UN,
  O_APPEND,
  O_ASYNC,
  O_CLOEXEC,
  O_DIRECT,
  O_NOATIME,
  O_NONBLOCK,
} from '../../abi/fcntl.ts';
import { MAP_SHARED, PROT_WRITE } from '../../abi/mman.ts';
import { FIOASYNC, FIOCLEX, FIONBIO, FIONCLEX, FIONREAD, FIOQSIZE } from '../../abi/ioctl.ts';
import {
  SYS_dup,
  SYS_dup2,
  SYS_dup3,
  SYS_fcntl,
  SYS_fdatasync,
  SYS_flock,
  SYS_fsync,
  SYS_ioctl,
  SYS_sync,
  SYS_sync_file_range,
  SYS_syncfs,
} from '../../abi/nr.ts';
import { S_IFDIR, S_IFMT, S_IFREG } from '../../abi/stat.ts';
import { SEEK_CUR, SEEK_END, SEEK_SET } from '../../abi/uio.ts';
import { getI16, getI64, getU32, putU16, putU32, putU64 } from '../../base/bytes.ts';
import { BLOCKED } from '../../base/result.ts';
import { pipeOf } from '../fs/pipe/pipe.ts';
import { ownerNumber, setOwner, setSignedOwner, signedOwner } from '../kernel/fileowner.ts';
import { numberIn } from '../kernel/pidns.ts';
import type { Task } from '../kernel/task.ts';
import type { File } from '../vfs/file.ts';
import { dropWholeLock, findConflict, type LockOwner, locksOf, setRecordLock, setWholeLock, stopWaiting } from '../vfs/locks.ts';
import { ownerOrCapable } from '../vfs/permission.ts';
import { setAsync } from './async.ts';
import { unknownOption } from './options.ts';
import { full, partial, type Row } from './row.ts';

/** Flags that F_SETFL may change. */
const SETTABLE = O_APPEND | O_ASYNC | O_DIRECT | O_NOATIME | O_NONBLOCK;
const FLOCK_SIZE = 32;
const SEALS_KNOWN = 0x3f;
const SIGNALS = 64;

/** dup(2). */
export function sys_dup(t: Task): number {
  const f = t.fds.get(t.argI(0));
  return f === null ? -EBADF : t.fds.install(f.ref(), false);
}

function dupTo(t: Task, oldFd: number, newFd: number, cloexec: boolean): number {
  const f = t.fds.get(oldFd);
  if (f === null || newFd < 0) return -EBADF;
  return t.fds.replace(newFd, f.ref(), cloexec, t);
}

/** dup2(2). */
export function sys_dup2(t: Task): number {
  const oldFd = t.argI(0);
  const newFd = t.argI(1);
  if (oldFd === newFd) return t.fds.get(oldFd) === null ? -EBADF : newFd;
  return dupTo(t, oldFd, newFd, false);
}

/** dup3(2). */
export function sys_dup3(t: Task): number {
  const flags = t.argI(2);
  if ((flags & ~O_CLOEXEC) !== 0 || t.argI(0) === t.argI(1)) return -EINVAL;
  return dupTo(t, t.argI(0), t.argI(1), flags !== 0);
}

// Record locks.

let lockType = 0;
let lockStart = 0;
let lockEnd = 0;
let lockPid = 0;

/** Reads struct flock of argument 2 into the variables above. 0 or -errno. */
function readFlock(t: Task, f: File): number {
  const b = t.kernel.tmp;
  const err = t.copyIn(t.arg(2), b, 0, FLOCK_SIZE);
  if (err < 0) return err;
  lockType = getI16(b, 0);
  const whence = getI16(b, 2);
  let start = getI64(b, 8);
  const len = getI64(b, 16);
  lockPid = getU32(b, 24);
  if (lockType !== F_RDLCK && lockType !== F_WRLCK && lockType !== F_UNLCK) return -EINVAL;
  if (whence === SEEK_CUR) start += f.pos;
  else if (whence === SEEK_END) start += f.inode.size;
  else if (whence !== SEEK_SET) return -EINVAL;
  if (start < 0) return -EINVAL;
  if (start >= 2 ** 63) return -EOVERFLOW;
  if (len > 0) {
    lockStart = start;
    lockEnd = start + len >= 2 ** 63 - 1024 ? Infinity : start + len;
  } else if (len === 0) {
    lockStart = start;
    lockEnd = Infinity;
  } else {
    if (start + len < 0) return -EINVAL;
    lockStart = start + len;
    lockEnd = start;
  }
  return 0;
}

function getLock(t: Task, f: File, ofd: boolean): number {
  const err = readFlock(t, f);
  if (err < 0) return err;
  if (lockType === F_UNLCK || (ofd && lockPid !== 0)) return -EINVAL;
  const owner: LockOwner = ofd ? f : t.tgid;
  const l = findConflict(f.inode, owner, lockType, lockStart, lockEnd);
  const b = t.kernel.tmp;
  if (l === null) {
    putU16(b, 0, F_UNLCK);
  } else {
    putU16(b, 0, l.type);
    putU16(b, 2, SEEK_SET);
    putU64(b, 8, l.start);
    putU64(b, 16, l.end === Infinity ? 0 : l.end - l.start);
    putU32(b, 24, typeof l.owner === 'number' ? numberIn(t.kernel.pidOf(l.pid), t.pidns) : -1);
  }
  return t.copyOut(t.arg(2), b, 0, FLOCK_SIZE);
}

function setLock(t: Task, f: File, ofd: boolean, wait: boolean): number {
  const err = readFlock(t, f);
  if (err < 0) return err;
  if (ofd && lockPid !== 0) return -EINVAL;
  if ((lockType === F_RDLCK && !f.readable) || (lockType === F_WRLCK && !f.writable)) return -EBADF;
  const r = setRecordLock(f.inode, ofd ? f : t.tgid, t.tgid, lockType, lockStart, lockEnd, wait);
  if (r !== -EAGAIN || !wait) return r;
  const w = t.waitOn(locksOf(f.inode).queue, -1);
  if (w !== BLOCKED && !ofd) stopWaiting(t.tgid);
  return w;
}

function setOwnerEx(t: Task, f: File): number {
  const b = t.kernel.tmp;
  const err = t.copyIn(t.arg(2), b, 0, 8);
  if (err < 0) return err;
  const type = getU32(b, 0);
  const pid = getU32(b, 4) | 0;
  return type > F_OWNER_PGRP || pid < 0 ? -EINVAL : setOwner(t, f, type, pid);
}

function getOwnerEx(t: Task, f: File): number {
  const b = t.kernel.tmp;
  putU32(b, 0, f.ownerType);
  putU32(b, 4, ownerNumber(t, f));
  return t.copyOut(t.arg(2), b, 0, 8);
}

function setFlags(t: Task, f: File, flags: number): number {
  if ((flags & O_NOATIME) !== 0 && (f.flags & O_NOATIME) === 0 && !ownerOrCapable(t.creds, f.inode)) return -EPERM;
  f.flags = (f.flags & ~SETTABLE) | (flags & SETTABLE);
  setAsync(t, f);
  return 0;
}

/** True if any process has a shared mapping of the file that may be written. */
function mappedForWriting(t: Task, f: File): boolean {
  let found = false;
  t.kernel.forEachGroup((g) => {
    if (g.zombie) return;
    for (const v of g.leader.mm.vmas.list) {
      if ((v.flags & MAP_SHARED) !== 0 && (v.maxProt & PROT_WRITE) !== 0 && v.object?.key === f.inode) found = true;
    }
  });
  return found;
}

/** fcntl(2). */
export function sys_fcntl(t: Task): number {
  const fd = t.argI(0);
  const f = t.fds.get(fd);
  if (f === null) return -EBADF;
  const cmd = t.argI(1);
  const arg = t.argI(2);
  switch (cmd) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
      if (arg < 0 || arg >= t.fds.limit()) return -EINVAL;
      return t.fds.install(f.ref(), cmd === F_DUPFD_CLOEXEC, arg);
    case F_GETFD:
      return t.fds.getCloexec(fd) ? FD_CLOEXEC : 0;
    case F_SETFD:
      return t.fds.setCloexec(fd, (arg & FD_CLOEXEC) !== 0);
    case F_GETFL:
      return f.flags;
    default:
      return f.isPath ? -EBADF : fcntlFile(t, f, cmd, arg);
  }
}

function fcntlFile(t: Task, f: File, cmd: number, arg: number): number {
  const pipe = cmd === F_SETPIPE_SZ || cmd === F_GETPIPE_SZ ? pipeOf(f) : null;
  switch (cmd) {
    case F_SETFL:
      return setFlags(t, f, arg);
    case F_GETLK:
      return getLock(t, f, false);
    case F_SETLK:
      return setLock(t, f, false, false);
    case F_SETLKW:
      return setLock(t, f, false, true);
    case F_OFD_GETLK:
      return getLock(t, f, true);
    case F_OFD_SETLK:
      return setLock(t, f, true, false);
    case F_OFD_SETLKW:
      return setLock(t, f, true, true);
    case F_SETOWN:
      return setSignedOwner(t, f, arg);
    case F_GETOWN:
      return signedOwner(t, f);
    case F_SETOWN_EX:
      return setOwnerEx(t, f);
    case F_GETOWN_EX:
      return getOwnerEx(t, f);
    case F_SETSIG:
      if (arg < 0 || arg > SIGNALS) return -EINVAL;
      f.ownerSignal = arg;
      return 0;
    case F_GETSIG:
      return f.ownerSignal;
    case F_GETLEASE:
      return (f.inode.mode & S_IFMT) === S_IFREG ? F_UNLCK : -EINVAL;
    case F_SETLEASE:
      return arg === F_UNLCK ? -EAGAIN : -EINVAL;
    case F_SETPIPE_SZ:
      return pipe === null ? -EBADF : pipe.resize(t, arg);
    case F_GETPIPE_SZ:
      return pipe === null ? -EBADF : pipe.data.limit;
    case F_GET_SEALS:
      return f.inode.getSeals();
    case F_ADD_SEALS:
      if ((arg & ~SEALS_KNOWN) !== 0) return -EINVAL;
      if (!f.writable) return -EPERM;
      return (arg & F_SEAL_WRITE) !== 0 && mappedForWriting(t, f) ? -EBUSY : f.inode.addSeals(arg);
    default:
      return unknownOption(t, 'fcntl', cmd, EINVAL);
  }
}

/** flock(2). */
export function sys_flock(t: Task): number {
  // Mandatory locks are no more: Linux answers 0 and does nothing.
  if ((t.argI(1) & LOCK_MAND) !== 0) return 0;
  const f = t.fds.get(t.argI(0));
  if (f === null || f.isPath) return -EBADF;
  const op = t.argI(1);
  const kind = op & ~LOCK_NB;
  if (kind === LOCK_UN) {
    dropWholeLock(f);
    return 0;
  }
  if (kind !== LOCK_SH && kind !== LOCK_EX) return -EINVAL;
  const r = setWholeLock(f, kind === LOCK_EX, t.tgid);
  if (r !== -EAGAIN || (op & LOCK_NB) !== 0) return r;
  return t.waitOn(locksOf(f.inode).queue, -1);
}

/** An int argument behind a pointer as a truth value; -EFAULT. */
function readBool(t: Task): number {
  const v = t.readU32(t.arg(2));
  return v < 0 ? v : v !== 0 ? 1 : 0;
}

/** ioctl(2): what all descriptors know, then the file's own. */
export function sys_ioctl(t: Task): number {
  const fd = t.argI(0);
  const f = t.fds.get(fd);
  if (f === null || f.isPath) return -EBADF;
  const cmd = t.argU(1);
  let v = 0;
  switch (cmd) {
    case FIOCLEX:
      return t.fds.setCloexec(fd, true);
    case FIONCLEX:
      return t.fds.setCloexec(fd, false);
    case FIONBIO:
      v = readBool(t);
      if (v < 0) return v;
      f.flags = v !== 0 ? f.flags | O_NONBLOCK : f.flags & ~O_NONBLOCK;
      return 0;
    case FIOASYNC:
      v = readBool(t);
      if (v < 0) return v;
      f.flags = v !== 0 ? f.flags | O_ASYNC : f.flags & ~O_ASYNC;
      setAsync(t, f);
      return 0;
    case FIONREAD:
      if ((f.inode.mode & S_IFMT) === S_IFREG) return t.writeU32(t.arg(2), Math.max(0, f.inode.size - f.pos)) < 0 ? -EFAULT : 0;
      break;
    case FIOQSIZE:
      if ((f.inode.mode & S_IFMT) === S_IFREG) return t.writeU64(t.arg(2), f.inode.size) < 0 ? -EFAULT : 0;
      return -ENOTTY;
  }
  return f.ioctl(t, cmd, t.arg(2));
}

function sync(t: Task, dataOnly: boolean): number {
  const f = t.fds.get(t.argI(0));
  if (f === null || f.isPath) return -EBADF;
  return f.fsync(dataOnly);
}

/** fsync(2). */
export function sys_fsync(t: Task): number {
  return sync(t, false);
}

/** fdatasync(2). */
export function sys_fdatasync(t: Task): number {
  return sync(t, true);
}

/** sync(2): what is written through is the host's to flush. */
export function sys_sync(t: Task): number {
  for (const f of t.kernel.outside) f();
  return 0;
}

/** syncfs(2). */
export function sys_syncfs(t: Task): number {
  const f = t.fds.get(t.argI(0));
  if (f === null || f.isPath) return -EBADF;
  for (const flush of t.kernel.outside) flush();
  return 0;
}

/** sync_file_range(2): as fdatasync, which is more than asked. */
export function sys_sync_file_range(t: Task): number {
  const f = t.fds.get(t.argI(0));
  if (f === null || f.isPath) return -EBADF;
  if ((t.argU(3) & ~7) !== 0 || t.argS(1) < 0 || t.argS(2) < 0) return -EINVAL;
  const type = f.inode.mode & S_IFMT;
  if (type !== S_IFREG && type !== S_IFDIR) return -ESPIPE;
  const r = t.argU(3) === 0 ? 0 : f.fsync(true);
  return r < 0 ? r : 0;
}

export const rows: readonly Row[] = [
  full(SYS_dup, 'dup', sys_dup, 'fd'),
  full(SYS_dup2, 'dup2', sys_dup2, 'fd', 'fd'),
  full(SYS_dup3, 'dup3', sys_dup3, 'fd', 'fd', 'hex'),
  partial(SYS_fcntl, 'fcntl', sys_fcntl, 'leases and directory notification are not offered', 'fd', 'int', 'hex'),
  full(SYS_flock, 'flock', sys_flock, 'fd', 'int'),
  full(SYS_ioctl, 'ioctl', sys_ioctl, 'fd', 'hex', 'hex'),
  full(SYS_fsync, 'fsync', sys_fsync, 'fd'),
  full(SYS_fdatasync, 'fdatasync', sys_fdatasync, 'fd'),
  partial(SYS_sync, 'sync', sys_sync, 'the host flushes in its own time'),
  partial(SYS_syncfs, 'syncfs', sys_syncfs, 'the host flushes in its own time', 'fd'),
  full(SYS_sync_file_range, 'sync_file_range', sys_sync_file_range, 'fd', 'long', 'long', 'hex'),
];
