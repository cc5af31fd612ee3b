// stat(2), statx(2), statfs(2), access(2), readlink(2) and their kin.

import { EACCES, EBADF, EFAULT, EINVAL, ENOENT, EROFS } from '../../abi/errno.ts';
import { AT_EACCESS, AT_EMPTY_PATH, AT_FDCWD, AT_NO_AUTOMOUNT, AT_STATX_SYNC_TYPE, AT_SYMLINK_NOFOLLOW } from '../../abi/fcntl.ts';
import { ST_NOEXEC, ST_RDONLY } from '../../abi/mount.ts';
import {
  SYS_access,
  SYS_faccessat,
  SYS_faccessat2,
  SYS_fstat,
  SYS_fstatfs,
  SYS_lstat,
  SYS_newfstatat,
  SYS_readlink,
  SYS_readlinkat,
  SYS_stat,
  SYS_statfs,
  SYS_statx,
} from '../../abi/nr.ts';
import {
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  STATX_ATTR_MOUNT_ROOT,
  STATX_BASIC_STATS,
  STATX_BTIME,
  STATX_MNT_ID,
  STATX__RESERVED,
} from '../../abi/stat.ts';
import { latin1Write } from '../../base/bytes.ts';
import type { Task } from '../kernel/task.ts';
import type { Credentials } from '../vfs/creds.ts';
import { devMajor, devMinor } from '../vfs/devices.ts';
import type { FileSystem, StatFs } from '../vfs/filesystem.ts';
import type { Inode } from '../vfs/inode.ts';
import type { Mount } from '../vfs/mount.ts';
import { isSpecial, MAY_EXEC, MAY_WRITE, permission } from '../vfs/permission.ts';
import { found, readPath, walkAt, walkRead } from './at.ts';
import { full, type Row } from './row.ts';

const TWO32 = 4294967296;
const STAT_SIZE = 144;
const STATX_SIZE = 256;
const STATFS_SIZE = 120;
/** f_flags is filled in (statfs(2)). */
const ST_VALID = 0x20;
const ST_MASK = 0x1fff;

const bytes = new Uint8Array(STATX_SIZE);
const words = new Uint32Array(bytes.buffer);

/** A non-negative double as two words at index i. */
function put64(i: number, v: number): void {
  words[i] = v >>> 0;
  words[i + 1] = Math.floor(v / TWO32);
}

/** Encodes struct stat (x86-64) of `inode` and copies it out. */
function putStat(t: Task, inode: Inode, addr: number): number {
  const err = inode.refresh();
  if (err < 0) return err;
  put64(0, inode.fs.dev);
  put64(2, inode.ino);
  put64(4, inode.nlink);
  words[6] = inode.mode;
  words[7] = inode.uid;
  words[8] = inode.gid;
  words[9] = 0;
  put64(10, inode.rdev);
  put64(12, inode.size);
  put64(14, inode.blksize);
  put64(16, inode.blocks);
  put64(18, inode.atimeSec);
  put64(20, inode.atimeNsec);
  put64(22, inode.mtimeSec);
  put64(24, inode.mtimeNsec);
  put64(26, inode.ctimeSec);
  put64(28, inode.ctimeNsec);
  put64(30, 0);
  put64(32, 0);
  put64(34, 0);
  return t.copyOutWords(addr, words, bytes, STAT_SIZE / 4);
}

/** stat(2). */
export function sys_stat(t: Task): number {
  const err = walkAt(t, AT_FDCWD, t.arg(0), 0);
  return err < 0 ? err : putStat(t, found.dentry.inode!, t.arg(1));
}

/** lstat(2). */
export function sys_lstat(t: Task): number {
  const err = walkAt(t, AT_FDCWD, t.arg(0), AT_SYMLINK_NOFOLLOW);
  return err < 0 ? err : putStat(t, found.dentry.inode!, t.arg(1));
}

/** fstat(2). */
export function sys_fstat(t: Task): number {
  const f = t.fds.get(t.argI(0));
  return f === null ? -EBADF : putStat(t, f.inode, t.arg(1));
}

/** newfstatat(2). */
export function sys_newfstatat(t: Task): number {
  const flags = t.argI(3);
  if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE)) !== 0) return -EINVAL;
  const n = readPath(t, t.arg(1), flags);
  if (n < 0) return n;
  const fd = t.argI(0);
  if (n === 0 && (flags & AT_EMPTY_PATH) !== 0 && fd !== AT_FDCWD) {
    const f = t.fds.get(fd);
    return f === null ? -EBADF : putStat(t, f.inode, t.arg(2));
  }
  const err = walkRead(t, fd, n, flags);
  return err < 0 ? err : putStat(t, found.dentry.inode!, t.arg(2));
}

function putTime(i: number, sec: number, nsec: number): void {
  put64(i, sec);
  words[i + 2] = nsec;
  words[i + 3] = 0;
}

/** statx(2). All basic fields and the birth time are given, whatever was asked. */
export function sys_statx(t: Task): number {
  const flags = t.argI(2);
  const mask = t.argU(3);
  if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE)) !== 0) return -EINVAL;
  if ((flags & AT_STATX_SYNC_TYPE) === AT_STATX_SYNC_TYPE || (mask & STATX__RESERVED) !== 0) return -EINVAL;
  const fd = t.argI(0);
  const n = readPath(t, t.arg(1), flags);
  if (n < 0) return n;
  let inode: Inode;
  let mount: Mount | null;
  let mountRoot = false;
  if (n === 0 && (flags & AT_EMPTY_PATH) !== 0 && fd !== AT_FDCWD) {
    const f = t.fds.get(fd);
    if (f === null) return -EBADF;
    inode = f.inode;
    mount = f.mount;
    mountRoot = mount !== null && mount.root === f.dentry;
  } else {
    const err = walkRead(t, fd, n, flags);
    if (err < 0) return err;
    inode = found.dentry.inode!;
    mount = found.mount;
    mountRoot = mount.root === found.dentry;
  }
  const err = inode.refresh();
  if (err < 0) return err;
  words.fill(0);
  const birth = inode.btimeSec !== 0;
  words[0] = STATX_BASIC_STATS | (birth ? STATX_BTIME : 0) | (mount !== null ? STATX_MNT_ID : 0);
  words[1] = inode.blksize;
  words[2] = mountRoot ? STATX_ATTR_MOUNT_ROOT : 0;
  words[4] = inode.nlink;
  words[5] = inode.uid;
  words[6] = inode.gid;
  words[7] = inode.mode;
  put64(8, inode.ino);
  put64(10, inode.size);
  put64(12, inode.blocks);
  words[14] = STATX_ATTR_MOUNT_ROOT;
  putTime(16, inode.atimeSec, inode.atimeNsec);
  if (birth) putTime(20, inode.btimeSec, inode.btimeNsec);
  putTime(24, inode.ctimeSec, inode.ctimeNsec);
  putTime(28, inode.mtimeSec, inode.mtimeNsec);
  words[32] = devMajor(inode.rdev);
  words[33] = devMinor(inode.rdev);
  words[34] = devMajor(inode.fs.dev);
  words[35] = devMinor(inode.fs.dev);
  if (mount !== null) put64(36, mount.id);
  return t.copyOutWords(t.arg(4), words, bytes, STATX_SIZE / 4);
}

const sf: StatFs = { type: 0, bsize: 0, blocks: 0, bfree: 0, bavail: 0, files: 0, ffree: 0, namelen: 0, flags: 0 };

function putStatFs(t: Task, fs: FileSystem, mount: Mount | null, addr: number): number {
  sf.flags = 0;
  sf.namelen = 255;
  const err = fs.statfs(sf);
  if (err < 0) return err;
  put64(0, sf.type);
  put64(2, sf.bsize);
  put64(4, sf.blocks);
  put64(6, sf.bfree);
  put64(8, sf.bavail);
  put64(10, sf.files);
  put64(12, sf.ffree);
  words[14] = fs.dev;
  words[15] = 0;
  put64(16, sf.namelen);
  put64(18, sf.bsize);
  put64(20, ST_VALID | ((mount === null ? sf.flags : mount.flags) & ST_MASK));
  words.fill(0, 22, 30);
  return t.copyOut(addr, bytes, 0, STATFS_SIZE);
}

/** statfs(2). */
export function sys_statfs(t: Task): number {
  const err = walkAt(t, AT_FDCWD, t.arg(0), 0);
  return err < 0 ? err : putStatFs(t, found.dentry.fs, found.mount, t.arg(1));
}

/** fstatfs(2). */
export function sys_fstatfs(t: Task): number {
  const f = t.fds.get(t.argI(0));
  return f === null ? -EBADF : putStatFs(t, f.inode.fs, f.mount, t.arg(1));
}

/** The credentials that access(2) judges by: the real ids, with capabilities as if they were the effective ones. */
function realCreds(c: Credentials): Credentials {
  if (c.fsuid === c.ruid && c.fsgid === c.rgid) {
    const wants = c.ruid === 0 ? c.permitted : null;
    if (wants === null ? c.effective.lo === 0 && c.effective.hi === 0 : wants.lo === c.effective.lo && wants.hi === c.effective.hi)
      return c;
  }
  const r = c.clone();
  r.fsuid = c.ruid;
  r.fsgid = c.rgid;
  r.effective = c.ruid === 0 ? { ...c.permitted } : { lo: 0, hi: 0 };
  return r;
}

function access(t: Task, fd: number, addr: number, mode: number, flags: number): number {
  if ((mode & ~7) !== 0 || (flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) !== 0) return -EINVAL;
  const own = t.creds;
  const cr = (flags & AT_EACCESS) !== 0 ? own : realCreds(own);
  t.creds = cr;
  const err = walkAt(t, fd, addr, flags);
  t.creds = own;
  if (err < 0) return err;
  const inode = found.dentry.inode!;
  if ((mode & MAY_EXEC) !== 0 && (inode.mode & S_IFMT) === S_IFREG && (found.mount.flags & ST_NOEXEC) !== 0) return -EACCES;
  if (mode === 0) return 0;
  const e = permission(cr, inode, mode);
  if (e < 0) return e;
  return (mode & MAY_WRITE) !== 0 && (found.mount.flags & ST_RDONLY) !== 0 && !isSpecial(inode.mode) ? -EROFS : 0;
}

/** access(2). */
export function sys_access(t: Task): number {
  return access(t, AT_FDCWD, t.arg(0), t.argI(1), 0);
}

/** faccessat(2) of the kernel: without flags. */
export function sys_faccessat(t: Task): number {
  return access(t, t.argI(0), t.arg(1), t.argI(2), 0);
}

/** faccessat2(2). */
export function sys_faccessat2(t: Task): number {
  return access(t, t.argI(0), t.arg(1), t.argI(2), t.argI(3));
}

function readlink(t: Task, fd: number, addr: number, buf: number, size: number): number {
  if (size <= 0) return -EINVAL;
  const len = readPath(t, addr, 0);
  if (len < 0) return len;
  // An empty path reads the link that the descriptor itself is (O_PATH|O_NOFOLLOW).
  const err = walkRead(t, fd, len, AT_SYMLINK_NOFOLLOW | (len === 0 && fd !== AT_FDCWD ? AT_EMPTY_PATH : 0));
  if (err < 0) return err;
  const inode = found.dentry.inode!;
  if ((inode.mode & S_IFMT) !== S_IFLNK) return len === 0 ? -ENOENT : -EINVAL;
  const target = inode.readlink(t);
  if (typeof target === 'number') return target;
  const n = Math.min(target.length, size);
  const out = t.kernel.tmp;
  latin1Write(target.length > n ? target.slice(0, n) : target, out, 0);
  return t.copyOut(buf, out, 0, Math.min(n, out.length)) < 0 ? -EFAULT : Math.min(n, out.length);
}

/** readlink(2): the count of bytes, without a NUL. */
export function sys_readlink(t: Task): number {
  return readlink(t, AT_FDCWD, t.arg(0), t.arg(1), t.argI(2));
}

/** readlinkat(2). */
export function sys_readlinkat(t: Task): number {
  return readlink(t, t.argI(0), t.arg(1), t.arg(2), t.argI(3));
}

export const rows: readonly Row[] = [
  full(SYS_stat, 'stat', sys_stat, 'path', 'ptr'),
  full(SYS_lstat, 'lstat', sys_lstat, 'path', 'ptr'),
  full(SYS_fstat, 'fstat', sys_fstat, 'fd', 'ptr'),
  full(SYS_newfstatat, 'newfstatat', sys_newfstatat, 'dirfd', 'path', 'ptr', 'hex'),
  full(SYS_statx, 'statx', sys_statx, 'dirfd', 'path', 'hex', 'hex', 'ptr'),
  full(SYS_statfs, 'statfs', sys_statfs, 'path', 'ptr'),
  full(SYS_fstatfs, 'fstatfs', sys_fstatfs, 'fd', 'ptr'),
  full(SYS_access, 'access', sys_access, 'path', 'oct'),
  full(SYS_faccessat, 'faccessat', sys_faccessat, 'dirfd', 'path', 'oct'),
  full(SYS_faccessat2, 'faccessat2', sys_faccessat2, 'dirfd', 'path', 'oct', 'hex'),
  full(SYS_readlink, 'readlink', sys_readlink, 'path', 'outbuf', 'size'),
  full(SYS_readlinkat, 'readlinkat', sys_readlinkat, 'dirfd', 'path', 'outbuf', 'size'),
];
