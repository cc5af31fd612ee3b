// Opening by path (open(2), openat2(2)): the walk to the last name, creation, permission, truncation.

import { EACCES, EBADF, EEXIST, EINVAL, EISDIR, ELOOP, ENOENT, ENOTDIR, ENXIO, EPERM, ETXTBSY } from '../../abi/errno.ts';
import { IN_CLOSE_NOWRITE, IN_CLOSE_WRITE, IN_CREATE, IN_DELETE_SELF, IN_MODIFY, IN_OPEN } from '../../abi/eventfd.ts';
import {
  O_ACCMODE,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOATIME,
  O_NOCTTY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_TMPFILE,
  O_TRUNC,
  O_WRONLY,
  RESOLVE_NO_SYMLINKS,
} from '../../abi/fcntl.ts';
import { ST_NODEV, ST_NOEXEC } from '../../abi/mount.ts';
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } from '../../abi/stat.ts';
import { realtime } from '../../base/clock.ts';
import type { Caller } from './caller.ts';
import { Dentry, forgetNegative, instantiate, lookupChild, putDentry } from './dentry.ts';
import { openSpecial } from './devices.ts';
import { File, type MapBacking, setCloseHooks } from './file.ts';
import { ATTR_CTIME, ATTR_MTIME, ATTR_SIZE, type Inode, SetAttr } from './inode.ts';
import { releaseFileLocks, releasePosixLocks } from './locks.ts';
import { MNT_NOSYMFOLLOW, type Mount } from './mount.ts';
import { notifyDentry, notifyInode, notifyName } from './notify.ts';
import { MAY_EXEC, MAY_READ, MAY_WRITE, mayCreate, mountPermission, ownerOrCapable, permission, stripPrivileges } from './permission.ts';
import { LAST_NORM, LOOKUP_DIRECTORY, LOOKUP_EMPTY, LOOKUP_FOLLOW, LOOKUP_PARENT, resolve, resolveBytes, Walk, walkOn } from './walk.ts';

/** Flags that do not stay with the description. */
const CREATION = O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC;
const MAX_LINKS = 40;

const walk = new Walk();
const attr = new SetAttr();
const now = new Float64Array(2);

/** An O_PATH description: it names a file and can do nothing else. */
class PathFile extends File {
  override mapping(_c: Caller, _offset: number, _len: number, _shared: boolean, _write: boolean): MapBacking | number {
    return -EBADF;
  }

  override poll(): number {
    return 0;
  }
}

/** Counts a fresh description at its mount, dentry and inode; the last close takes it back. */
function opened(f: File, mount: Mount, dentry: Dentry): File {
  f.mount = mount;
  f.dentry = dentry;
  f.named = true;
  mount.refs++;
  dentry.refs++;
  if ((f.flags & O_PATH) === 0 && (f.flags & O_ACCMODE) !== O_RDONLY && (f.inode.mode & S_IFMT) === S_IFREG) {
    f.inode.writers++;
    f.countedWriter = true;
  }
  return f;
}

function lastClose(f: File): void {
  const inode = f.inode;
  if (inode.locks !== null) releaseFileLocks(f);
  if (!f.named) return;
  f.named = false;
  if (f.countedWriter) inode.writers--;
  const d = f.dentry!;
  if ((f.flags & O_PATH) === 0) {
    notifyDentry(d, f.writable ? IN_CLOSE_WRITE : IN_CLOSE_NOWRITE);
    if (inode.nlink === 0 && inode.watches !== null && d.refs === 1) notifyInode(inode, IN_DELETE_SELF);
  }
  f.mount!.refs--;
  putDentry(d);
}

setCloseHooks(lastClose, (f, c) => releasePosixLocks(f.inode, c.tgid));

/** Permission to open an inode that a walk found (may_open). 0 or -errno. */
export function mayOpen(c: Caller, mount: Mount, inode: Inode, flags: number): number {
  const type = inode.mode & S_IFMT;
  const acc = flags & O_ACCMODE;
  let mask = acc === O_RDONLY ? MAY_READ : acc === O_WRONLY ? MAY_WRITE : MAY_READ | MAY_WRITE;
  if ((flags & O_TRUNC) !== 0) mask |= MAY_WRITE;
  if (type === S_IFLNK) return -ELOOP;
  if (type === S_IFDIR) {
    if ((mask & MAY_WRITE) !== 0 || (flags & O_CREAT) !== 0) return -EISDIR;
  } else if (type === S_IFCHR || type === S_IFBLK) {
    if ((mount.flags & ST_NODEV) !== 0 && !inode.opensItself) return -EACCES;
  } else if (type === S_IFSOCK && !inode.opensItself) {
    return -ENXIO;
  }
  const err = mountPermission(c.creds, mount, inode, mask);
  if (err < 0) return err;
  if ((flags & O_NOATIME) !== 0 && !ownerOrCapable(c.creds, inode)) return -EPERM;
  if ((mask & MAY_WRITE) !== 0 && inode.denyWrite > 0) return -ETXTBSY;
  return 0;
}

/** Opens an inode without permission checks (a file just made, or checked by the caller). O_TRUNC is not applied. */
export function openDentry(c: Caller, mount: Mount, dentry: Dentry, flags: number): File | number {
  const inode = dentry.inode!;
  if ((flags & O_PATH) !== 0)
    return opened(new PathFile(inode, O_PATH | (flags & (O_DIRECTORY | O_NOFOLLOW)), mount, dentry), mount, dentry);
  const type = inode.mode & S_IFMT;
  const status = flags & ~CREATION;
  const f =
    type === S_IFREG || type === S_IFDIR
      ? inode.open(c, status, mount, dentry)
      : openSpecial(c, inode, flags & ~(CREATION & ~O_NOCTTY), mount, dentry);
  if (typeof f === 'number') return f;
  // Devices such as /dev/ptmx or /proc/self/fd/N may answer a description that has its place already.
  if (!f.named) opened(f, mount, f.dentry !== null && f.dentry !== dentry ? f.dentry : dentry);
  notifyDentry(dentry, IN_OPEN);
  return f;
}

function setNow(a: SetAttr): void {
  realtime(now);
  a.atimeSec = now[0]!;
  a.atimeNsec = now[1]!;
  a.mtimeSec = now[0]!;
  a.mtimeNsec = now[1]!;
}

/** Gives a regular file a new size (O_TRUNC, truncate(2), ftruncate(2)); the checks are done. 0 or -errno. */
export function truncateDentry(c: Caller, dentry: Dentry | null, inode: Inode, size: number): number {
  stripPrivileges(c, inode);
  attr.mask = ATTR_SIZE | ATTR_MTIME | ATTR_CTIME;
  attr.size = size;
  setNow(attr);
  const err = inode.setattr(c, attr);
  if (err === 0 && dentry !== null) notifyDentry(dentry, IN_MODIFY);
  return err;
}

function openFound(c: Caller, mount: Mount, dentry: Dentry, flags: number): File | number {
  const inode = dentry.inode!;
  if ((flags & O_PATH) === 0) {
    const err = mayOpen(c, mount, inode, flags);
    if (err < 0) return err;
  }
  const truncate = (flags & O_TRUNC) !== 0 && (inode.mode & S_IFMT) === S_IFREG;
  if (truncate && inode.truncateFirst) {
    const err = truncateDentry(c, dentry, inode, 0);
    return err < 0 ? err : openDentry(c, mount, dentry, flags);
  }
  const f = openDentry(c, mount, dentry, flags);
  if (typeof f === 'number' || !truncate) return f;
  const err = truncateDentry(c, dentry, inode, 0);
  if (err < 0) {
    f.unref();
    return err;
  }
  return f;
}

/**
 * open(2) by the path buf[0..len). `dir`: where relative paths start, null for the working directory; `mode`: permission bits of a new file before the
 * umask; `resolveFlags`: RESOLVE_* of openat2(2). A description with one reference, or -errno (or BLOCKED from a FIFO).
 */
export function openPath(
  c: Caller,
  dir: File | null,
  buf: Uint8Array,
  len: number,
  flags: number,
  mode: number,
  resolveFlags: number,
): File | number {
  if ((flags & O_PATH) !== 0) flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  if ((flags & O_TMPFILE) === O_TMPFILE) return openTmpfile(c, dir, buf, len, flags, mode, resolveFlags);
  if ((flags & O_CREAT) !== 0) {
    if ((flags & O_DIRECTORY) !== 0) return -EINVAL;
    return openCreate(c, dir, buf, len, flags, mode, resolveFlags);
  }
  const lookup = resolveFlags | ((flags & O_NOFOLLOW) !== 0 ? 0 : LOOKUP_FOLLOW) | ((flags & O_DIRECTORY) !== 0 ? LOOKUP_DIRECTORY : 0);
  const err = resolveBytes(c, dir, buf, len, lookup, walk);
  if (err < 0) return err;
  return openFound(c, walk.mount, walk.dentry, flags);
}

function openCreate(
  c: Caller,
  dir: File | null,
  buf: Uint8Array,
  len: number,
  flags: number,
  mode: number,
  resolveFlags: number,
): File | number {
  let err = resolveBytes(c, dir, buf, len, resolveFlags | LOOKUP_PARENT, walk);
  for (;;) {
    if (err < 0) return err;
    if (walk.last !== LAST_NORM) return (flags & O_EXCL) !== 0 ? -EEXIST : -EISDIR;
    if (walk.trailing) return -EISDIR;
    const parent = walk.dentry;
    let mount = walk.mount;
    const name = walk.name;
    let child = lookupChild(c, parent, name);
    if (typeof child === 'number') return child;
    if (child.inode === null) {
      const e = mayCreate(c, mount, parent);
      if (e < 0) return e;
      const made = parent.inode!.create(c, name, S_IFREG | (mode & 0o7777 & ~c.fs.umask), 0);
      if (typeof made === 'number') {
        if (made === -EEXIST) forgetNegative(parent, name);
        return made;
      }
      instantiate(child, made);
      notifyName(parent.inode!, name, IN_CREATE, false);
      return openDentry(c, mount, child, flags);
    }
    if ((flags & O_EXCL) !== 0) return -EEXIST;
    while (child.mounts > 0) {
      const m = mount.mountedOn(child);
      if (m === null) break;
      mount = m;
      child = m.root;
    }
    const inode: Inode = child.inode!;
    if ((inode.mode & S_IFMT) !== S_IFLNK) return openFound(c, mount, child, flags);
    if ((flags & O_NOFOLLOW) !== 0 || (resolveFlags & RESOLVE_NO_SYMLINKS) !== 0 || (mount.flags & MNT_NOSYMFOLLOW) !== 0) return -ELOOP;
    if (++walk.links > MAX_LINKS) return -ELOOP;
    const j = inode.jump(c);
    if (typeof j === 'number') return j;
    if (j !== null) return openFound(c, j.mount, j.dentry, flags);
    const target = inode.readlink(c);
    if (typeof target === 'number') return target;
    if (target.length === 0) return -ENOENT;
    err = walkOn(c, walk, target, resolveFlags | LOOKUP_PARENT);
  }
}

function openTmpfile(
  c: Caller,
  dir: File | null,
  buf: Uint8Array,
  len: number,
  flags: number,
  mode: number,
  resolveFlags: number,
): File | number {
  if ((flags & O_ACCMODE) === O_RDONLY) return -EINVAL;
  const err = resolveBytes(c, dir, buf, len, resolveFlags | LOOKUP_DIRECTORY | LOOKUP_FOLLOW, walk);
  if (err < 0) return err;
  const mount = walk.mount;
  const parent = walk.dentry;
  const e = mayCreate(c, mount, parent);
  if (e < 0) return e;
  const inode = parent.inode!.tmpfile(c, S_IFREG | (mode & 0o7777 & ~c.fs.umask));
  if (typeof inode === 'number') return inode;
  inode.neverLinked = (flags & O_EXCL) !== 0;
  const d = new Dentry(parent.fs, parent, `#${inode.ino}`, inode);
  d.deleted = true;
  return openDentry(c, mount, d, flags & ~(O_TMPFILE | O_EXCL));
}

/**
 * Opens a program for execve(2): a regular file with execute permission on a mount without noexec, not open for writing. `flags` may be
 * LOOKUP_EMPTY and LOOKUP_FOLLOW. The file is read through pread and mapping(); no read permission is needed.
 */
export function openExec(c: Caller, dir: File | null, path: string, flags: number): File | number {
  const err = resolve(c, dir, path, flags & (LOOKUP_EMPTY | LOOKUP_FOLLOW), walk);
  if (err < 0) return err;
  const mount = walk.mount;
  const dentry = walk.dentry;
  const inode = dentry.inode!;
  const type = inode.mode & S_IFMT;
  if (type === S_IFLNK) return -ELOOP;
  if (type !== S_IFREG || (mount.flags & ST_NOEXEC) !== 0) return -EACCES;
  const e = permission(c.creds, inode, MAY_EXEC);
  if (e < 0) return e;
  if (inode.writers > 0) return -ETXTBSY;
  return openDentry(c, mount, dentry, O_RDONLY);
}

/** The directory that chdir(2) and chroot(2) go to: a directory that may be searched. 0 or -errno; `out` is filled. */
export function resolveDir(c: Caller, dir: File | null, path: string, out: Walk): number {
  const err = resolve(c, dir, path, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, out);
  if (err < 0) return err;
  const inode = out.dentry.inode!;
  if ((inode.mode & S_IFMT) !== S_IFDIR) return -ENOTDIR;
  return permission(c.creds, inode, MAY_EXEC);
}
