// Who may do what to an inode (path_resolution(7), capabilities(7); Linux: fs/namei.c inode_permission, may_delete).

import { CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID } from '../../abi/capability.ts';
import { EACCES, EISDIR, ENOENT, ENOTDIR, EPERM, EROFS } from '../../abi/errno.ts';
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFMT, S_IFREG, S_IFSOCK, S_ISGID, S_ISUID, S_ISVTX, S_IXGRP } from '../../abi/stat.ts';
import type { Caller } from './caller.ts';
import type { Credentials } from './creds.ts';
import type { Dentry } from './dentry.ts';
import { ATTR_CTIME, ATTR_MODE, type Inode, SetAttr } from './inode.ts';
import type { Mount } from './mount.ts';

export const MAY_EXEC = 1;
export const MAY_WRITE = 2;
export const MAY_READ = 4;

/** 0 if `cr` may do all of `mask` (MAY_*) to the inode by mode bits or capability, else -EACCES. */
export function permission(cr: Credentials, inode: Inode, mask: number): number {
  const mode = inode.mode;
  const bits = cr.fsuid === inode.uid ? mode >> 6 : cr.inGroup(inode.gid) ? mode >> 3 : mode;
  if ((mask & ~bits & 7) === 0) return 0;
  if ((mode & S_IFMT) === S_IFDIR) {
    if (cr.has(CAP_DAC_OVERRIDE)) return 0;
    return (mask & MAY_WRITE) === 0 && cr.has(CAP_DAC_READ_SEARCH) ? 0 : -EACCES;
  }
  if (mask === MAY_READ && cr.has(CAP_DAC_READ_SEARCH)) return 0;
  if (((mask & MAY_EXEC) === 0 || (mode & 0o111) !== 0) && cr.has(CAP_DAC_OVERRIDE)) return 0;
  return -EACCES;
}

/** Search permission on a directory; the common case without a look at the groups. */
export function maySearch(cr: Credentials, inode: Inode): number {
  return (inode.mode & 0o111) === 0o111 ? 0 : permission(cr, inode, MAY_EXEC);
}

/** True for kinds whose contents a read-only mount does not protect. */
export function isSpecial(mode: number): boolean {
  const t = mode & S_IFMT;
  return t === S_IFIFO || t === S_IFSOCK || t === S_IFCHR || t === S_IFBLK;
}

/** Like permission(), and -EROFS for writing to files of read-only mounts. */
export function mountPermission(cr: Credentials, mount: Mount, inode: Inode, mask: number): number {
  if ((mask & MAY_WRITE) !== 0 && mount.readonly && !isSpecial(inode.mode)) return -EROFS;
  return permission(cr, inode, mask);
}

/** 0 if a new name may be made in `dir`. */
export function mayCreate(c: Caller, mount: Mount, dir: Dentry): number {
  const inode = dir.inode!;
  if (dir.deleted && dir.parent !== dir) return -ENOENT;
  if (mount.readonly) return -EROFS;
  return permission(c.creds, inode, MAY_WRITE | MAY_EXEC);
}

/** 0 if the name `victim` may be taken out of `dir`; `wantDir` for rmdir(2). */
export function mayDelete(c: Caller, mount: Mount, dir: Dentry, victim: Inode, wantDir: boolean): number {
  const cr = c.creds;
  const d = dir.inode!;
  if (mount.readonly) return -EROFS;
  const err = permission(cr, d, MAY_WRITE | MAY_EXEC);
  if (err < 0) return err;
  if (sticky(cr, d, victim)) return -EPERM;
  const isDir = (victim.mode & S_IFMT) === S_IFDIR;
  if (wantDir && !isDir) return -ENOTDIR;
  if (!wantDir && isDir) return -EISDIR;
  return 0;
}

/** True when the restricted deletion flag of `dir` keeps the caller from removing `victim`. */
export function sticky(cr: Credentials, dir: Inode, victim: Inode): boolean {
  return (dir.mode & S_ISVTX) !== 0 && victim.uid !== cr.fsuid && dir.uid !== cr.fsuid && !cr.has(CAP_FOWNER);
}

/** True if the caller owns the inode or may act as its owner. */
export function ownerOrCapable(cr: Credentials, inode: Inode): boolean {
  return cr.fsuid === inode.uid || cr.has(CAP_FOWNER);
}

/** Owner, group and mode of a new inode in `dir` as Linux's inode_init_owner: fills the inode. */
export function initOwner(c: Caller, inode: Inode, dir: Inode): void {
  const cr = c.creds;
  inode.uid = cr.fsuid;
  if ((dir.mode & S_ISGID) !== 0) {
    inode.gid = dir.gid;
    if ((inode.mode & S_IFMT) === S_IFDIR) inode.mode |= S_ISGID;
    else if ((inode.mode & (S_ISGID | S_IXGRP)) === (S_ISGID | S_IXGRP) && !cr.inGroup(dir.gid) && !cr.has(CAP_FSETID))
      inode.mode &= ~S_ISGID;
  } else {
    inode.gid = cr.fsgid;
  }
}

const strip = new SetAttr();

/** Writing to or changing the owner of a file takes its set-user-ID (and executable set-group-ID) bits, unless CAP_FSETID. */
export function stripPrivileges(c: Caller, inode: Inode): void {
  const mode = inode.mode;
  if ((mode & (S_ISUID | S_ISGID)) === 0 || (mode & S_IFMT) !== S_IFREG || c.creds.has(CAP_FSETID)) return;
  let next = mode & ~S_ISUID;
  if ((mode & S_IXGRP) !== 0) next &= ~S_ISGID;
  if (next === mode) return;
  strip.mask = ATTR_MODE | ATTR_CTIME;
  strip.mode = next & 0o7777;
  inode.setattr(c, strip);
}
