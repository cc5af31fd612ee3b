// Changing the tree by path: mkdir, mknod, symlink, link, unlink, rmdir, rename (Linux: fs/namei.c vfs_*).

import { CAP_DAC_READ_SEARCH, CAP_MKNOD } from '../../abi/capability.ts';
import { EBUSY, EEXIST, EINVAL, EISDIR, ENOENT, ENOTDIR, ENOTEMPTY, EPERM, EROFS, EXDEV } from '../../abi/errno.ts';
import { IN_ATTRIB, IN_CREATE, IN_DELETE, IN_DELETE_SELF, IN_MOVE_SELF, IN_MOVED_FROM, IN_MOVED_TO } from '../../abi/eventfd.ts';
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFLNK, S_IFMT, S_ISVTX } from '../../abi/stat.ts';
import { RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT } from '../../abi/uio.ts';
import type { Caller } from './caller.ts';
import { mayMakeDevice } from './devices.ts';
import { type Dentry, dropDentry, exchangeDentries, forgetNegative, instantiate, lookupChild, moveDentry } from './dentry.ts';
import type { File } from './file.ts';
import type { Inode } from './inode.ts';
import { nextCookie, notifyInode, notifyName } from './notify.ts';
import { MAY_READ, MAY_WRITE, mayCreate, mayDelete, ownerOrCapable, permission } from './permission.ts';
import { LAST_DOT, LAST_DOTDOT, LAST_NORM, LOOKUP_EMPTY, LOOKUP_FOLLOW, LOOKUP_PARENT, resolve, Walk } from './walk.ts';

const walk = new Walk();
const walk2 = new Walk();

/** Walks to the directory of a name to be made. The absent dentry, or -errno. `asDir`: slashes may follow. */
function absent(c: Caller, dir: File | null, path: string, asDir: boolean): Dentry | number {
  const err = resolve(c, dir, path, LOOKUP_PARENT, walk);
  if (err < 0) return err;
  if (walk.last !== LAST_NORM) return -EEXIST;
  const d = lookupChild(c, walk.dentry, walk.name);
  if (typeof d === 'number') return d;
  if (d.inode !== null) return -EEXIST;
  if (walk.trailing && !asDir) return -ENOENT;
  const e = mayCreate(c, walk.mount, walk.dentry);
  return e < 0 ? e : d;
}

/** Notes the result of a creating method at the dentry. */
function made(d: Dentry, r: Inode | number): number {
  if (typeof r === 'number') {
    if (r === -EEXIST) forgetNegative(d.parent, d.name);
    return r;
  }
  instantiate(d, r);
  notifyName(d.parent.inode!, d.name, IN_CREATE, (r.mode & S_IFMT) === S_IFDIR);
  return 0;
}

/** mkdir(2). `mode` before the umask. 0 or -errno. */
export function mkdirPath(c: Caller, dir: File | null, path: string, mode: number): number {
  const d = absent(c, dir, path, true);
  if (typeof d === 'number') return d;
  return made(d, d.parent.inode!.mkdir(c, d.name, S_IFDIR | (mode & (0o777 | S_ISVTX) & ~c.fs.umask)));
}

/** mknod(2): `mode` with the type. CAP_MKNOD is needed for devices. 0 or -errno. */
export function mknodPath(c: Caller, dir: File | null, path: string, mode: number, rdev: number): number {
  const d = absent(c, dir, path, false);
  if (typeof d === 'number') return d;
  const type = mode & S_IFMT;
  // Device 0:0 is a whiteout, which needs no capability (since Linux 5.8).
  if ((type === S_IFBLK || type === S_IFCHR) && !(type === S_IFCHR && rdev === 0) && !c.creds.has(CAP_MKNOD)) return -EPERM;
  if ((type === S_IFBLK || type === S_IFCHR) && !mayMakeDevice(c, type, rdev)) return -EPERM;
  return made(d, d.parent.inode!.create(c, d.name, type | (mode & 0o7777 & ~c.fs.umask), rdev));
}

/** symlink(2). 0 or -errno. */
export function symlinkPath(c: Caller, target: string, dir: File | null, path: string): number {
  if (target.length === 0) return -ENOENT;
  const d = absent(c, dir, path, false);
  if (typeof d === 'number') return d;
  return made(d, d.parent.inode!.symlink(c, d.name, target));
}

/** linkat(2). `empty`: AT_EMPTY_PATH; `follow`: AT_SYMLINK_FOLLOW. 0 or -errno. */
export function linkPath(
  c: Caller,
  oldDir: File | null,
  oldPath: string,
  newDir: File | null,
  newPath: string,
  follow: boolean,
  empty: boolean,
): number {
  if (empty && oldPath.length === 0 && !c.creds.has(CAP_DAC_READ_SEARCH)) return -ENOENT;
  let err = resolve(c, oldDir, oldPath, (follow ? LOOKUP_FOLLOW : 0) | (empty ? LOOKUP_EMPTY : 0), walk2);
  if (err < 0) return err;
  const old = walk2.dentry;
  const oldMount = walk2.mount;
  const inode = old.inode!;
  const d = absent(c, newDir, newPath, false);
  if (typeof d === 'number') return d;
  if (walk.mount !== oldMount) return -EXDEV;
  if ((inode.mode & S_IFMT) === S_IFDIR) return -EPERM;
  if (inode.neverLinked || (inode.nlink === 0 && !old.deleted)) return -ENOENT;
  err = protectedHardlink(c, inode);
  if (err < 0) return err;
  err = d.parent.inode!.link(c, d.name, inode);
  if (err < 0) {
    if (err === -EEXIST) forgetNegative(d.parent, d.name);
    return err;
  }
  instantiate(d, inode);
  notifyInode(inode, IN_ATTRIB);
  notifyName(d.parent.inode!, d.name, IN_CREATE, false);
  return 0;
}

/** proc(5) protected_hardlinks = 1: others' files only when they could be read and written. */
function protectedHardlink(c: Caller, inode: Inode): number {
  if (ownerOrCapable(c.creds, inode)) return 0;
  if ((inode.mode & S_IFMT) === S_IFLNK) return 0;
  return permission(c.creds, inode, MAY_READ | MAY_WRITE) < 0 ? -EPERM : 0;
}

function gone(d: Dentry, parent: Inode, isDir: boolean): void {
  const inode = d.inode!;
  if (inode.watches !== null) {
    if (!isDir) notifyInode(inode, IN_ATTRIB);
    if (inode.nlink === 0 && d.refs === 0) notifyInode(inode, IN_DELETE_SELF);
  }
  notifyName(parent, d.name, IN_DELETE, isDir);
  dropDentry(d);
}

/** unlink(2). 0 or -errno. */
export function unlinkPath(c: Caller, dir: File | null, path: string): number {
  let err = resolve(c, dir, path, LOOKUP_PARENT, walk);
  if (err < 0) return err;
  if (walk.last !== LAST_NORM) return -EISDIR;
  const parent = walk.dentry;
  const d = lookupChild(c, parent, walk.name);
  if (typeof d === 'number') return d;
  if (d.inode === null) return -ENOENT;
  if (walk.trailing) return (d.inode.mode & S_IFMT) === S_IFDIR ? -EISDIR : -ENOTDIR;
  err = mayDelete(c, walk.mount, parent, d.inode, false);
  if (err < 0) return err;
  if (d.mounts > 0) return -EBUSY;
  err = parent.inode!.unlink(c, d.name, d.inode);
  if (err < 0) return err;
  gone(d, parent.inode!, false);
  return 0;
}

/** rmdir(2). 0 or -errno. */
export function rmdirPath(c: Caller, dir: File | null, path: string): number {
  let err = resolve(c, dir, path, LOOKUP_PARENT, walk);
  if (err < 0) return err;
  if (walk.last === LAST_DOT) return -EINVAL;
  if (walk.last === LAST_DOTDOT) return -ENOTEMPTY;
  if (walk.last !== LAST_NORM) return -EBUSY;
  const parent = walk.dentry;
  const d = lookupChild(c, parent, walk.name);
  if (typeof d === 'number') return d;
  if (d.inode === null) return -ENOENT;
  err = mayDelete(c, walk.mount, parent, d.inode, true);
  if (err < 0) return err;
  if (d.mounts > 0) return -EBUSY;
  err = parent.inode!.rmdir(c, d.name, d.inode);
  if (err < 0) return err;
  gone(d, parent.inode!, true);
  return 0;
}

/** renameat2(2). 0 or -errno. */
export function renamePath(c: Caller, oldDir: File | null, oldPath: string, newDir: File | null, newPath: string, flags: number): number {
  if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT)) !== 0) return -EINVAL;
  if ((flags & RENAME_EXCHANGE) !== 0 && (flags & (RENAME_NOREPLACE | RENAME_WHITEOUT)) !== 0) return -EINVAL;
  if ((flags & RENAME_WHITEOUT) !== 0) return -EINVAL;
  let err = resolve(c, oldDir, oldPath, LOOKUP_PARENT, walk);
  if (err < 0) return err;
  err = resolve(c, newDir, newPath, LOOKUP_PARENT, walk2);
  if (err < 0) return err;
  if (walk.mount !== walk2.mount) return -EXDEV;
  if (walk.last !== LAST_NORM) return -EBUSY;
  if (walk2.last !== LAST_NORM) return (flags & RENAME_NOREPLACE) !== 0 ? -EEXIST : -EBUSY;
  const mount = walk.mount;
  const from = walk.dentry;
  const to = walk2.dentry;
  const d = lookupChild(c, from, walk.name);
  if (typeof d === 'number') return d;
  const inode = d.inode;
  if (inode === null) return -ENOENT;
  const t = lookupChild(c, to, walk2.name);
  if (typeof t === 'number') return t;
  const target = t.inode;
  const exchange = (flags & RENAME_EXCHANGE) !== 0;
  if ((flags & RENAME_NOREPLACE) !== 0 && target !== null) return -EEXIST;
  if (exchange && target === null) return -ENOENT;
  const isDir = (inode.mode & S_IFMT) === S_IFDIR;
  const targetIsDir = target !== null && (target.mode & S_IFMT) === S_IFDIR;
  if (!isDir && walk.trailing) return -ENOTDIR;
  if (!isDir && !exchange && walk2.trailing) return -ENOTDIR;
  if (exchange && !targetIsDir && walk2.trailing) return -ENOTDIR;
  // Neither may be above the other's directory.
  if (isDir && to.isUnder(d)) return -EINVAL;
  if (target !== null && from.isUnder(t)) return exchange ? -EINVAL : -ENOTEMPTY;
  if (mount.readonly) return -EROFS;
  if (inode === target) return 0;
  err = mayDelete(c, mount, from, inode, isDir);
  if (err < 0) return err;
  if (target === null) {
    err = mayCreate(c, mount, to);
    if (err < 0) return err;
  } else {
    err = mayDelete(c, mount, to, target, exchange ? targetIsDir : isDir);
    if (err < 0) return err;
  }
  // A directory that moves gets another "..": it must be writable itself.
  if (from !== to) {
    if (isDir) {
      err = permission(c.creds, inode, MAY_WRITE);
      if (err < 0) return err;
    }
    if (exchange && targetIsDir) {
      err = permission(c.creds, target!, MAY_WRITE);
      if (err < 0) return err;
    }
  }
  if (d.mounts > 0 || t.mounts > 0) return -EBUSY;
  const name = d.name;
  const newName = t.name;
  err = from.inode!.rename(c, name, inode, to.inode!, newName, target, flags);
  if (err < 0) return err;
  const cookie = nextCookie();
  if (exchange) {
    exchangeDentries(d, t);
    notifyName(from.inode!, name, IN_MOVED_TO, targetIsDir, nextCookie());
    notifyName(to.inode!, newName, IN_MOVED_FROM, targetIsDir, cookie);
  } else {
    if (target !== null) {
      if (target.watches !== null && target.nlink === 0 && t.refs === 0) notifyInode(target, IN_DELETE_SELF);
      else if (target.watches !== null && !targetIsDir) notifyInode(target, IN_ATTRIB);
    }
    dropDentry(t);
    moveDentry(d, to, newName);
  }
  notifyName(from.inode!, name, IN_MOVED_FROM, isDir, cookie);
  notifyName(to.inode!, newName, IN_MOVED_TO, isDir, cookie);
  notifyInode(inode, IN_MOVE_SELF);
  return 0;
}
