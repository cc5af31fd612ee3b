// Names and directories: mkdir(2), unlink(2), rename(2), link(2), symlink(2), mknod(2), getdents(2), chdir(2), getcwd(2), chroot(2).

import { CAP_SYS_CHROOT } from '../../abi/capability.ts';
import { EBADF, EFAULT, EINVAL, ENAMETOOLONG, ENOENT, ENOTDIR, EPERM, ERANGE } from '../../abi/errno.ts';
import { IN_ACCESS } from '../../abi/eventfd.ts';
import { AT_EMPTY_PATH, AT_FDCWD, AT_REMOVEDIR, AT_SYMLINK_FOLLOW } from '../../abi/fcntl.ts';
import {
  SYS_chdir,
  SYS_chroot,
  SYS_fchdir,
  SYS_getcwd,
  SYS_getdents,
  SYS_getdents64,
  SYS_link,
  SYS_linkat,
  SYS_mkdir,
  SYS_mkdirat,
  SYS_mknod,
  SYS_mknodat,
  SYS_rename,
  SYS_renameat,
  SYS_renameat2,
  SYS_rmdir,
  SYS_symlink,
  SYS_symlinkat,
  SYS_unlink,
  SYS_unlinkat,
} from '../../abi/nr.ts';
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFMT, S_IFREG, S_IFSOCK } from '../../abi/stat.ts';
import { RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT } from '../../abi/uio.ts';
import { latin1Write, putU16, putU64 } from '../../base/bytes.ts';
import type { Task } from '../kernel/task.ts';
import { makedev } from '../vfs/devices.ts';
import type { DirSink } from '../vfs/file.ts';
import { notifyDentry } from '../vfs/notify.ts';
import { resolveDir } from '../vfs/open.ts';
import { linkPath, mkdirPath, mknodPath, renamePath, rmdirPath, symlinkPath, unlinkPath } from '../vfs/ops.ts';
import { dentryPath } from '../vfs/path.ts';
import { MAY_EXEC, permission } from '../vfs/permission.ts';
import { found, PathArg } from './at.ts';
import { full, partial, type Row } from './row.ts';

const first = new PathArg();
const second = new PathArg();

function mkdir(t: Task, fd: number, addr: number, mode: number): number {
  const err = first.read(t, fd, addr);
  return err < 0 ? err : mkdirPath(t, first.dir, first.path, mode);
}

/** mkdir(2). */
export function sys_mkdir(t: Task): number {
  return mkdir(t, AT_FDCWD, t.arg(0), t.argU(1));
}

/** mkdirat(2). */
export function sys_mkdirat(t: Task): number {
  return mkdir(t, t.argI(0), t.arg(1), t.argU(2));
}

/** rmdir(2). */
export function sys_rmdir(t: Task): number {
  const err = first.read(t, AT_FDCWD, t.arg(0));
  return err < 0 ? err : rmdirPath(t, null, first.path);
}

/** unlink(2). */
export function sys_unlink(t: Task): number {
  const err = first.read(t, AT_FDCWD, t.arg(0));
  return err < 0 ? err : unlinkPath(t, null, first.path);
}

/** unlinkat(2). */
export function sys_unlinkat(t: Task): number {
  const flags = t.argI(2);
  if ((flags & ~AT_REMOVEDIR) !== 0) return -EINVAL;
  const err = first.read(t, t.argI(0), t.arg(1));
  if (err < 0) return err;
  return flags !== 0 ? rmdirPath(t, first.dir, first.path) : unlinkPath(t, first.dir, first.path);
}

function rename(t: Task, oldFd: number, oldAddr: number, newFd: number, newAddr: number, flags: number): number {
  let err = first.read(t, oldFd, oldAddr);
  if (err < 0) return err;
  err = second.read(t, newFd, newAddr);
  if (err < 0) return err;
  return renamePath(t, first.dir, first.path, second.dir, second.path, flags);
}

/** rename(2). */
export function sys_rename(t: Task): number {
  return rename(t, AT_FDCWD, t.arg(0), AT_FDCWD, t.arg(1), 0);
}

/** renameat(2). */
export function sys_renameat(t: Task): number {
  return rename(t, t.argI(0), t.arg(1), t.argI(2), t.arg(3), 0);
}

/** renameat2(2). */
export function sys_renameat2(t: Task): number {
  if ((t.argU(4) & ~(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT)) !== 0) return -EINVAL;
  return rename(t, t.argI(0), t.arg(1), t.argI(2), t.arg(3), t.argU(4));
}

function link(t: Task, oldFd: number, oldAddr: number, newFd: number, newAddr: number, flags: number): number {
  if ((flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)) !== 0) return -EINVAL;
  let err = first.read(t, oldFd, oldAddr);
  if (err < 0) return err;
  err = second.read(t, newFd, newAddr);
  if (err < 0) return err;
  return linkPath(t, first.dir, first.path, second.dir, second.path, (flags & AT_SYMLINK_FOLLOW) !== 0, (flags & AT_EMPTY_PATH) !== 0);
}

/** link(2). */
export function sys_link(t: Task): number {
  return link(t, AT_FDCWD, t.arg(0), AT_FDCWD, t.arg(1), 0);
}

/** linkat(2). */
export function sys_linkat(t: Task): number {
  return link(t, t.argI(0), t.arg(1), t.argI(2), t.arg(3), t.argI(4));
}

function symlink(t: Task, targetAddr: number, fd: number, addr: number): number {
  const target = t.copyInPath(targetAddr);
  if (typeof target === 'number') return target;
  const err = first.read(t, fd, addr);
  return err < 0 ? err : symlinkPath(t, target, first.dir, first.path);
}

/** symlink(2). */
export function sys_symlink(t: Task): number {
  return symlink(t, t.arg(0), AT_FDCWD, t.arg(1));
}

/** symlinkat(2). */
export function sys_symlinkat(t: Task): number {
  return symlink(t, t.arg(0), t.argI(1), t.arg(2));
}

/** The device number argument (new_decode_dev: minor 20 bits, major 12) as stat(2) shows it. */
function decodeDev(dev: number): number {
  return makedev((dev >>> 8) & 0xfff, (dev & 0xff) | ((dev >>> 12) & 0xfff00));
}

function mknod(t: Task, fd: number, addr: number, mode: number, dev: number): number {
  let type = mode & S_IFMT;
  if (type === 0) type = S_IFREG;
  if (type === S_IFDIR) return -EPERM;
  if (type !== S_IFREG && type !== S_IFCHR && type !== S_IFBLK && type !== S_IFIFO && type !== S_IFSOCK) return -EINVAL;
  const err = first.read(t, fd, addr);
  if (err < 0) return err;
  return mknodPath(t, first.dir, first.path, type | (mode & 0o7777), type === S_IFCHR || type === S_IFBLK ? decodeDev(dev) : 0);
}

/** mknod(2). */
export function sys_mknod(t: Task): number {
  return mknod(t, AT_FDCWD, t.arg(0), t.argU(1), t.argU(2));
}

/** mknodat(2). */
export function sys_mknodat(t: Task): number {
  return mknod(t, t.argI(0), t.arg(1), t.argU(2), t.argU(3));
}

/** Collects entries as getdents(2) lays them out. */
class DirentSink implements DirSink {
  buf: Uint8Array = new Uint8Array(0);
  limit = 0;
  used = 0;
  refused = false;
  /** Layout of getdents64: the type in front of the name; else in the record's last byte. */
  wide = true;

  add(name: string, ino: number, type: number, next: number): boolean {
    const head = this.wide ? 19 : 18;
    const size = Math.ceil((head + name.length + (this.wide ? 1 : 2)) / 8) * 8;
    if (this.used + size > this.limit) {
      this.refused = true;
      return false;
    }
    const b = this.buf;
    const at = this.used;
    b.fill(0, at + head + name.length, at + size);
    putU64(b, at, ino);
    putU64(b, at + 8, next);
    putU16(b, at + 16, size);
    if (this.wide) b[at + 18] = type;
    else b[at + size - 1] = type;
    latin1Write(name, b, at + head);
    this.used += size;
    return true;
  }
}

const sink = new DirentSink();

function getdents(t: Task, wide: boolean): number {
  const f = t.fds.get(t.argI(0));
  if (f === null || f.isPath) return -EBADF;
  if ((f.inode.mode & S_IFMT) !== S_IFDIR) return -ENOTDIR;
  if (f.inode.nlink === 0) return -ENOENT;
  sink.buf = t.kernel.scratch;
  sink.limit = Math.min(t.argU(2), sink.buf.length);
  sink.used = 0;
  sink.refused = false;
  sink.wide = wide;
  const from = f.pos;
  const err = f.readdir(t, sink);
  if (err < 0) return err;
  if (sink.used === 0) return sink.refused ? -EINVAL : 0;
  if (f.dentry !== null) notifyDentry(f.dentry, IN_ACCESS);
  if (t.copyOut(t.arg(1), sink.buf, 0, sink.used) >= 0) return sink.used;
  // Nobody was told of them.
  f.pos = from;
  return -EFAULT;
}

/** getdents(2). */
export function sys_getdents(t: Task): number {
  return getdents(t, false);
}

/** getdents64(2). */
export function sys_getdents64(t: Task): number {
  return getdents(t, true);
}

/** chdir(2). */
export function sys_chdir(t: Task): number {
  const path = t.copyInPath(t.arg(0));
  if (typeof path === 'number') return path;
  const err = resolveDir(t, null, path, found);
  if (err < 0) return err;
  t.fs.setCwd(found.mount, found.dentry);
  return 0;
}

/** fchdir(2). */
export function sys_fchdir(t: Task): number {
  const f = t.fds.get(t.argI(0));
  if (f === null) return -EBADF;
  if ((f.inode.mode & S_IFMT) !== S_IFDIR || f.mount === null || f.dentry === null) return -ENOTDIR;
  const err = permission(t.creds, f.inode, MAY_EXEC);
  if (err < 0) return err;
  t.fs.setCwd(f.mount, f.dentry);
  return 0;
}

/** chroot(2). */
export function sys_chroot(t: Task): number {
  const path = t.copyInPath(t.arg(0));
  if (typeof path === 'number') return path;
  const err = resolveDir(t, null, path, found);
  if (err < 0) return err;
  if (!t.creds.has(CAP_SYS_CHROOT)) return -EPERM;
  t.fs.setRoot(found.mount, found.dentry);
  return 0;
}

/** getcwd(2): the count of bytes with the NUL. */
export function sys_getcwd(t: Task): number {
  const fs = t.fs;
  if (fs.cwdDentry.deleted && !fs.cwdDentry.isRoot) return -ENOENT;
  const path = dentryPath(t, fs.cwdMount, fs.cwdDentry);
  const n = path.length + 1;
  if (n > t.kernel.tmp.length) return -ENAMETOOLONG;
  if (n > t.arg(1)) return -ERANGE;
  latin1Write(path, t.kernel.tmp, 0);
  t.kernel.tmp[n - 1] = 0;
  const err = t.copyOut(t.arg(0), t.kernel.tmp, 0, n);
  return err < 0 ? err : n;
}

export const rows: readonly Row[] = [
  full(SYS_mkdir, 'mkdir', sys_mkdir, 'path', 'oct'),
  full(SYS_mkdirat, 'mkdirat', sys_mkdirat, 'dirfd', 'path', 'oct'),
  full(SYS_rmdir, 'rmdir', sys_rmdir, 'path'),
  full(SYS_unlink, 'unlink', sys_unlink, 'path'),
  full(SYS_unlinkat, 'unlinkat', sys_unlinkat, 'dirfd', 'path', 'hex'),
  full(SYS_rename, 'rename', sys_rename, 'path', 'path'),
  full(SYS_renameat, 'renameat', sys_renameat, 'dirfd', 'path', 'dirfd', 'path'),
  partial(SYS_renameat2, 'renameat2', sys_renameat2, 'RENAME_WHITEOUT', 'dirfd', 'path', 'dirfd', 'path', 'hex'),
  full(SYS_link, 'link', sys_link, 'path', 'path'),
  full(SYS_linkat, 'linkat', sys_linkat, 'dirfd', 'path', 'dirfd', 'path', 'hex'),
  full(SYS_symlink, 'symlink', sys_symlink, 'path', 'path'),
  full(SYS_symlinkat, 'symlinkat', sys_symlinkat, 'path', 'dirfd', 'path'),
  full(SYS_mknod, 'mknod', sys_mknod, 'path', 'oct', 'hex'),
  full(SYS_mknodat, 'mknodat', sys_mknodat, 'dirfd', 'path', 'oct', 'hex'),
  full(SYS_getdents, 'getdents', sys_getdents, 'fd', 'ptr', 'size'),
  full(SYS_getdents64, 'getdents64', sys_getdents64, 'fd', 'ptr', 'size'),
  full(SYS_chdir, 'chdir', sys_chdir, 'path'),
  full(SYS_fchdir, 'fchdir', sys_fchdir, 'fd'),
  full(SYS_chroot, 'chroot', sys_chroot, 'path'),
  full(SYS_getcwd, 'getcwd', sys_getcwd, 'outbuf', 'size'),
];
