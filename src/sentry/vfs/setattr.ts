// Changing attributes: the rules of chmod(2), chown(2), utimensat(2) and truncate(2) (Linux: fs/attr.c). All answer 0 or -errno.

import { CAP_CHOWN, CAP_FSETID } from '../../abi/capability.ts';
import { EACCES, EINVAL, EISDIR, EOPNOTSUPP, EPERM, EROFS, ETXTBSY } from '../../abi/errno.ts';
import { IN_ATTRIB } from '../../abi/eventfd.ts';
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, S_ISGID, S_ISUID, S_IXGRP } from '../../abi/stat.ts';
import { realtime } from '../../base/clock.ts';
import type { Caller } from './caller.ts';
import type { Dentry } from './dentry.ts';
import { ATTR_ATIME, ATTR_CTIME, ATTR_GID, ATTR_MODE, ATTR_MTIME, ATTR_UID, type Inode, SetAttr } from './inode.ts';
import type { Mount } from './mount.ts';
import { notifyDentry, notifyInode } from './notify.ts';
import { truncateDentry } from './open.ts';
import { changed } from './pathcache.ts';
import { MAY_WRITE, ownerOrCapable, permission } from './permission.ts';

const attr = new SetAttr();
const now = new Float64Array(2);

/** tv_nsec of utimensat(2). */
export const UTIME_NOW = 0x3fffffff;
export const UTIME_OMIT = 0x3ffffffe;

function apply(c: Caller, inode: Inode, dentry: Dentry | null): number {
  attr.mask |= ATTR_CTIME;
  const err = inode.setattr(c, attr);
  if (err < 0) return err;
  if ((inode.mode & S_IFMT) === S_IFDIR && (attr.mask & (ATTR_MODE | ATTR_UID | ATTR_GID)) !== 0) changed();
  if (dentry !== null) notifyDentry(dentry, IN_ATTRIB);
  else notifyInode(inode, IN_ATTRIB);
  return 0;
}

/** chmod(2): `mode` is the permission bits. */
export function changeMode(c: Caller, mount: Mount | null, dentry: Dentry | null, inode: Inode, mode: number): number {
  if (mount?.readonly === true) return -EROFS;
  if (!ownerOrCapable(c.creds, inode)) return -EPERM;
  if ((inode.mode & S_IFMT) === S_IFLNK) return -EOPNOTSUPP;
  let bits = mode & 0o7777;
  if ((bits & S_ISGID) !== 0 && !c.creds.inGroup(inode.gid) && !c.creds.has(CAP_FSETID)) bits &= ~S_ISGID;
  attr.mask = ATTR_MODE;
  attr.mode = bits;
  return apply(c, inode, dentry);
}

/** chown(2): -1 keeps an id. */
export function changeOwner(c: Caller, mount: Mount | null, dentry: Dentry | null, inode: Inode, uid: number, gid: number): number {
  if (mount?.readonly === true) return -EROFS;
  const cr = c.creds;
  const capable = cr.has(CAP_CHOWN);
  attr.mask = 0;
  if (uid !== -1) {
    if (!capable && (cr.fsuid !== inode.uid || uid !== inode.uid)) return -EPERM;
    attr.mask |= ATTR_UID;
    attr.uid = uid;
  }
  if (gid !== -1) {
    if (!capable && (cr.fsuid !== inode.uid || (gid !== inode.gid && !cr.inGroup(gid)))) return -EPERM;
    attr.mask |= ATTR_GID;
    attr.gid = gid;
  }
  const mode = inode.mode;
  if ((mode & S_IFMT) !== S_IFDIR && (mode & (S_ISUID | S_ISGID)) !== 0) {
    let bits = mode & 0o7777 & ~S_ISUID;
    if ((mode & S_IXGRP) !== 0) bits &= ~S_ISGID;
    attr.mask |= ATTR_MODE;
    attr.mode = bits;
  }
  if (attr.mask === 0 && uid === -1 && gid === -1) attr.mask = ATTR_CTIME;
  return apply(c, inode, dentry);
}

/** utimensat(2): nanoseconds may be UTIME_NOW or UTIME_OMIT. */
export function changeTimes(
  c: Caller,
  mount: Mount | null,
  dentry: Dentry | null,
  inode: Inode,
  atimeSec: number,
  atimeNsec: number,
  mtimeSec: number,
  mtimeNsec: number,
): number {
  if (atimeNsec === UTIME_OMIT && mtimeNsec === UTIME_OMIT) return 0;
  if (mount?.readonly === true) return -EROFS;
  if (!ownerOrCapable(c.creds, inode)) {
    if (atimeNsec !== UTIME_NOW || mtimeNsec !== UTIME_NOW) return -EPERM;
    if (permission(c.creds, inode, MAY_WRITE) < 0) return -EACCES;
  }
  realtime(now);
  attr.mask = 0;
  if (atimeNsec !== UTIME_OMIT) {
    attr.mask |= ATTR_ATIME;
    attr.atimeSec = atimeNsec === UTIME_NOW ? now[0]! : atimeSec;
    attr.atimeNsec = atimeNsec === UTIME_NOW ? now[1]! : atimeNsec;
  }
  if (mtimeNsec !== UTIME_OMIT) {
    attr.mask |= ATTR_MTIME;
    attr.mtimeSec = mtimeNsec === UTIME_NOW ? now[0]! : mtimeSec;
    attr.mtimeNsec = mtimeNsec === UTIME_NOW ? now[1]! : mtimeNsec;
  }
  return apply(c, inode, dentry);
}

/** truncate(2) of a file found by path. */
export function truncateFound(c: Caller, mount: Mount, dentry: Dentry, size: number): number {
  const inode = dentry.inode!;
  const type = inode.mode & S_IFMT;
  if (type === S_IFDIR) return -EISDIR;
  if (type !== S_IFREG) return -EINVAL;
  if (mount.readonly) return -EROFS;
  const err = permission(c.creds, inode, MAY_WRITE);
  if (err < 0) return err;
  if (inode.denyWrite > 0) return -ETXTBSY;
  return truncateDentry(c, dentry, inode, size);
}
