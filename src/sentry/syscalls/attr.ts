// Attributes: chmod(2), chown(2), utimensat(2), truncate(2), fallocate(2), umask(2).

import { EBADF, EFBIG, EINVAL, EISDIR, ENODEV, EOPNOTSUPP, ESPIPE } from '../../abi/errno.ts';
import { IN_MODIFY } from '../../abi/eventfd.ts';
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  FALLOC_FL_COLLAPSE_RANGE,
  FALLOC_FL_INSERT_RANGE,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_UNSHARE_RANGE,
  FALLOC_FL_ZERO_RANGE,
  POSIX_FADV_NOREUSE,
} from '../../abi/fcntl.ts';
import {
  SYS_chmod,
  SYS_chown,
  SYS_fadvise64,
  SYS_fallocate,
  SYS_fchmod,
  SYS_fchmodat,
  SYS_fchmodat2,
  SYS_fchown,
  SYS_fchownat,
  SYS_ftruncate,
  SYS_futimesat,
  SYS_lchown,
  SYS_truncate,
  SYS_umask,
  SYS_utime,
  SYS_utimensat,
  SYS_utimes,
} from '../../abi/nr.ts';
import { RLIMIT_FSIZE } from '../../abi/resource.ts';
import { SIGXFSZ } from '../../abi/signal.ts';
import { S_IFDIR, S_IFIFO, S_IFMT, S_IFREG } from '../../abi/stat.ts';
import { getI64 } from '../../base/bytes.ts';
import type { Task } from '../kernel/task.ts';
import type { File } from '../vfs/file.ts';
import { notifyDentry } from '../vfs/notify.ts';
import { stripPrivileges } from '../vfs/permission.ts';
import { changeMode, changeOwner, changeTimes, truncateFound, UTIME_NOW, UTIME_OMIT } from '../vfs/setattr.ts';
import { found, walkAt } from './at.ts';
import { full, type Row } from './row.ts';

function chmodAt(t: Task, fd: number, addr: number, mode: number, flags: number): number {
  const err = walkAt(t, fd, addr, flags);
  return err < 0 ? err : changeMode(t, found.mount, found.dentry, found.dentry.inode!, mode);
}

/** chmod(2). */
export function sys_chmod(t: Task): number {
  return chmodAt(t, AT_FDCWD, t.arg(0), t.argU(1), 0);
}

/** fchmod(2). */
export function sys_fchmod(t: Task): number {
  const f = t.fds.get(t.argI(0));
  if (f === null || f.isPath) return -EBADF;
  return changeMode(t, f.mount, f.dentry, f.inode, t.argU(1));
}

/** fchmodat(2) of the kernel: without flags. */
export function sys_fchmodat(t: Task): number {
  return chmodAt(t, t.argI(0), t.arg(1), t.argU(2), 0);
}

/** fchmodat2(2). */
export function sys_fchmodat2(t: Task): number {
  const flags = t.argI(3);
  if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) !== 0) return -EINVAL;
  return chmodAt(t, t.argI(0), t.arg(1), t.argU(2), flags);
}

/** An id argument: 0xffffffff keeps it. */
function id(v: number): number {
  return v === 0xffffffff ? -1 : v;
}

function chownAt(t: Task, fd: number, addr: number, uid: number, gid: number, flags: number): number {
  const err = walkAt(t, fd, addr, flags);
  return err < 0 ? err : changeOwner(t, found.mount, found.dentry, found.dentry.inode!, id(uid), id(gid));
}

/** chown(2). */
export function sys_chown(t: Task): number {
  return chownAt(t, AT_FDCWD, t.arg(0), t.argU(1), t.argU(2), 0);
}

/** lchown(2). */
export function sys_lchown(t: Task): number {
  return chownAt(t, AT_FDCWD, t.arg(0), t.argU(1), t.argU(2), AT_SYMLINK_NOFOLLOW);
}

/** fchown(2). */
export function sys_fchown(t: Task): number {
  const f = t.fds.get(t.argI(0));
  if (f === null || f.isPath) return -EBADF;
  return changeOwner(t, f.mount, f.dentry, f.inode, id(t.argU(1)), id(t.argU(2)));
}

/** fchownat(2). */
export function sys_fchownat(t: Task): number {
  const flags = t.argI(4);
  if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) !== 0) return -EINVAL;
  return chownAt(t, t.argI(0), t.arg(1), t.argU(2), t.argU(3), flags);
}

/** Seconds and nanoseconds of access and modification time. */
const times = new Float64Array(4);

/** Reads two timespecs. 0 or -errno. */
function readTimespecs(t: Task, addr: number): number {
  const b = t.kernel.tmp;
  const err = t.copyIn(addr, b, 0, 32);
  if (err < 0) return err;
  for (let i = 0; i < 2; i++) {
    const nsec = getI64(b, i * 16 + 8);
    if ((nsec < 0 || nsec >= 1e9) && nsec !== UTIME_NOW && nsec !== UTIME_OMIT) return -EINVAL;
    times[i * 2] = getI64(b, i * 16);
    times[i * 2 + 1] = nsec;
  }
  return 0;
}

/** Reads two timevals. 0 or -errno. */
function readTimevals(t: Task, addr: number): number {
  const b = t.kernel.tmp;
  const err = t.copyIn(addr, b, 0, 32);
  if (err < 0) return err;
  for (let i = 0; i < 2; i++) {
    const usec = getI64(b, i * 16 + 8);
    if (usec < 0 || usec >= 1e6) return -EINVAL;
    times[i * 2] = getI64(b, i * 16);
    times[i * 2 + 1] = usec * 1000;
  }
  return 0;
}

function setNow(): void {
  times[1] = UTIME_NOW;
  times[3] = UTIME_NOW;
}

function utimeAt(t: Task, fd: number, addr: number, flags: number): number {
  const err = walkAt(t, fd, addr, flags);
  if (err < 0) return err;
  return changeTimes(t, found.mount, found.dentry, found.dentry.inode!, times[0]!, times[1]!, times[2]!, times[3]!);
}

/** utimensat(2); a null path is the descriptor itself (futimens(3)). */
export function sys_utimensat(t: Task): number {
  const flags = t.argI(3);
  if (t.arg(2) === 0) {
    setNow();
  } else {
    const err = readTimespecs(t, t.arg(2));
    if (err < 0) return err;
    if (times[1] === UTIME_OMIT && times[3] === UTIME_OMIT) return 0;
  }
  if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) !== 0) return -EINVAL;
  const fd = t.argI(0);
  if (t.arg(1) === 0 && fd !== AT_FDCWD) {
    if (flags !== 0) return -EINVAL;
    const f = t.fds.get(fd);
    if (f === null || f.isPath) return -EBADF;
    return changeTimes(t, f.mount, f.dentry, f.inode, times[0]!, times[1]!, times[2]!, times[3]!);
  }
  return utimeAt(t, fd, t.arg(1), flags);
}

/** utimes(2). */
export function sys_utimes(t: Task): number {
  setNow();
  const err = t.arg(1) === 0 ? 0 : readTimevals(t, t.arg(1));
  return err < 0 ? err : utimeAt(t, AT_FDCWD, t.arg(0), 0);
}

/** futimesat(2). */
export function sys_futimesat(t: Task): number {
  setNow();
  const err = t.arg(2) === 0 ? 0 : readTimevals(t, t.arg(2));
  if (err < 0) return err;
  const fd = t.argI(0);
  if (t.arg(1) === 0 && fd !== AT_FDCWD) {
    const f = t.fds.get(fd);
    if (f === null || f.isPath) return -EBADF;
    return changeTimes(t, f.mount, f.dentry, f.inode, times[0]!, times[1]!, times[2]!, times[3]!);
  }
  return utimeAt(t, fd, t.arg(1), 0);
}

/** utime(2): two time_t. */
export function sys_utime(t: Task): number {
  setNow();
  if (t.arg(1) !== 0) {
    const b = t.kernel.tmp;
    const err = t.copyIn(t.arg(1), b, 0, 16);
    if (err < 0) return err;
    times[0] = getI64(b, 0);
    times[1] = 0;
    times[2] = getI64(b, 8);
    times[3] = 0;
  }
  return utimeAt(t, AT_FDCWD, t.arg(0), 0);
}

function overLimit(t: Task, size: number): boolean {
  if (size <= t.rlimit(RLIMIT_FSIZE)) return false;
  t.raise(SIGXFSZ);
  return true;
}

/** truncate(2). */
export function sys_truncate(t: Task): number {
  const size = t.argS(1);
  if (size < 0) return -EINVAL;
  const err = walkAt(t, AT_FDCWD, t.arg(0), 0);
  if (err < 0) return err;
  if (overLimit(t, size)) return -EFBIG;
  return truncateFound(t, found.mount, found.dentry, size);
}

/** ftruncate(2). */
export function sys_ftruncate(t: Task): number {
  const size = t.argS(1);
  if (size < 0) return -EINVAL;
  const f = t.fds.get(t.argI(0));
  if (f === null || f.isPath) return -EBADF;
  if ((f.inode.mode & S_IFMT) !== S_IFREG || !f.writable) return -EINVAL;
  if (overLimit(t, size)) return -EFBIG;
  stripPrivileges(t, f.inode);
  const err = f.truncate(t, size);
  if (err === 0 && f.dentry !== null) notifyDentry(f.dentry, IN_MODIFY);
  return err;
}

const FALLOC_KNOWN =
  FALLOC_FL_KEEP_SIZE |
  FALLOC_FL_PUNCH_HOLE |
  FALLOC_FL_COLLAPSE_RANGE |
  FALLOC_FL_ZERO_RANGE |
  FALLOC_FL_INSERT_RANGE |
  FALLOC_FL_UNSHARE_RANGE;

/** fallocate(2). */
export function sys_fallocate(t: Task): number {
  const f = t.fds.get(t.argI(0));
  if (f === null || f.isPath) return -EBADF;
  const mode = t.argI(1);
  const offset = t.argS(2);
  const len = t.argS(3);
  if (offset < 0 || len <= 0) return -EINVAL;
  if ((mode & ~FALLOC_KNOWN) !== 0) return -EOPNOTSUPP;
  if ((mode & FALLOC_FL_PUNCH_HOLE) !== 0 && (mode & FALLOC_FL_KEEP_SIZE) === 0) return -EOPNOTSUPP;
  if (!f.writable) return -EBADF;
  const type = f.inode.mode & S_IFMT;
  if (type === S_IFIFO) return -ESPIPE;
  if (type === S_IFDIR) return -EISDIR;
  if (type !== S_IFREG) return -ENODEV;
  if (offset + len >= 2 ** 63) return -EFBIG;
  if ((mode & FALLOC_FL_KEEP_SIZE) === 0 && overLimit(t, offset + len)) return -EFBIG;
  stripPrivileges(t, f.inode);
  const err = f.allocate(t, mode, offset, len);
  if (err === 0 && f.dentry !== null) notifyDentry(f.dentry, IN_MODIFY);
  return err;
}

/** fadvise64(2): advice is taken and forgotten. */
export function sys_fadvise64(t: Task): number {
  const f: File | null = t.fds.get(t.argI(0));
  if (f === null || f.isPath) return -EBADF;
  if (f.stream) return -ESPIPE;
  const advice = t.argI(3);
  return advice < 0 || advice > POSIX_FADV_NOREUSE || t.argS(2) < 0 ? -EINVAL : 0;
}

/** umask(2). */
export function sys_umask(t: Task): number {
  const old = t.fs.umask;
  t.fs.umask = t.argU(0) & 0o777;
  return old;
}

export const rows: readonly Row[] = [
  full(SYS_chmod, 'chmod', sys_chmod, 'path', 'oct'),
  full(SYS_fchmod, 'fchmod', sys_fchmod, 'fd', 'oct'),
  full(SYS_fchmodat, 'fchmodat', sys_fchmodat, 'dirfd', 'path', 'oct'),
  full(SYS_fchmodat2, 'fchmodat2', sys_fchmodat2, 'dirfd', 'path', 'oct', 'hex'),
  full(SYS_chown, 'chown', sys_chown, 'path', 'int', 'int'),
  full(SYS_lchown, 'lchown', sys_lchown, 'path', 'int', 'int'),
  full(SYS_fchown, 'fchown', sys_fchown, 'fd', 'int', 'int'),
  full(SYS_fchownat, 'fchownat', sys_fchownat, 'dirfd', 'path', 'int', 'int', 'hex'),
  full(SYS_utimensat, 'utimensat', sys_utimensat, 'dirfd', 'path', 'ptr', 'hex'),
  full(SYS_utimes, 'utimes', sys_utimes, 'path', 'ptr'),
  full(SYS_futimesat, 'futimesat', sys_futimesat, 'dirfd', 'path', 'ptr'),
  full(SYS_utime, 'utime', sys_utime, 'path', 'ptr'),
  full(SYS_truncate, 'truncate', sys_truncate, 'path', 'long'),
  full(SYS_ftruncate, 'ftruncate', sys_ftruncate, 'fd', 'long'),
  full(SYS_fallocate, 'fallocate', sys_fallocate, 'fd', 'hex', 'long', 'long'),
  full(SYS_fadvise64, 'fadvise64', sys_fadvise64, 'fd', 'long', 'long', 'int'),
  full(SYS_umask, 'umask', sys_umask, 'oct'),
];
