// tmpfs(5): names and attributes in the Sentry's memory. Where the data of files is: storage.ts.

import { EEXIST, EINVAL, ENODATA, ENOENT, ENOSPC, ENOTEMPTY, EPERM } from '../../../abi/errno.ts';
import { F_SEAL_SEAL } from '../../../abi/fcntl.ts';
import { TMPFS_MAGIC } from '../../../abi/mount.ts';
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from '../../../abi/stat.ts';
import { RENAME_EXCHANGE } from '../../../abi/uio.ts';
import { XATTR_CREATE, XATTR_REPLACE } from '../../../abi/xattr.ts';
import type { HostIO } from '../../../platform/hostio.ts';
import type { Caller } from '../../vfs/caller.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import type { File } from '../../vfs/file.ts';
import { anonDev, FileSystem, type StatFs } from '../../vfs/filesystem.ts';
import { ATTR_ATIME, ATTR_CTIME, ATTR_GID, ATTR_MODE, ATTR_MTIME, ATTR_SIZE, ATTR_UID, type Inode, type SetAttr } from '../../vfs/inode.ts';
import type { Mount } from '../../vfs/mount.ts';
import { initOwner } from '../../vfs/permission.ts';
import type { TmpfsOptions } from './options.ts';
import { StoredInode } from './storage.ts';
import { TmpDirFile, TmpFile } from './tmpfile.ts';

const PAGE = 4096;
const DIR_ENTRY_SIZE = 20;
const NAME_LENGTH = 255;
const ALL_TIMES = ATTR_ATIME | ATTR_MTIME | ATTR_CTIME;

export class TmpFs extends FileSystem {
  readonly host: HostIO;
  readonly limits: TmpfsOptions;
  root: TmpInode;
  /** Pages and inodes in use. */
  pages = 0;
  inodes = 0;
  /** No name leads here any more: what is closed is over, whatever names it had. */
  gone = false;
  #nextIno = 1;

  constructor(host: HostIO, limits: TmpfsOptions, name = 'tmpfs') {
    super(name, anonDev());
    this.host = host;
    this.limits = limits;
    this.root = this.newInode(S_IFDIR | limits.mode);
    this.root.uid = limits.uid;
    this.root.gid = limits.gid;
    this.root.nlink = 2;
  }

  newInode(mode: number): TmpInode {
    this.inodes++;
    const i = new TmpInode(this, this.#nextIno++, mode);
    i.touch(ALL_TIMES);
    i.btimeSec = i.ctimeSec;
    i.btimeNsec = i.ctimeNsec;
    return i;
  }

  /** A regular file without a name (memfd_create(2), O_TMPFILE, shared anonymous memory). */
  newFile(mode: number): TmpInode {
    const i = this.newInode(S_IFREG | mode);
    i.nlink = 0;
    return i;
  }

  statfs(out: StatFs): number {
    const max = this.limits.size === Infinity ? 0 : Math.floor(this.limits.size / PAGE);
    out.type = TMPFS_MAGIC;
    out.bsize = PAGE;
    out.blocks = max;
    out.bfree = Math.max(0, max - this.pages);
    out.bavail = out.bfree;
    out.files = this.limits.inodes === Infinity ? 0 : this.limits.inodes;
    out.ffree = Math.max(0, out.files - this.inodes);
    out.namelen = NAME_LENGTH;
    return 0;
  }

  override options(): string {
    return this.limits.shown === '' ? 'rw' : `rw,${this.limits.shown}`;
  }

  override release(): void {
    if (this.gone) return;
    this.gone = true;
    this.root.giveUp();
  }
}

/** A name in a directory: where readdir stands is the entry's own rising number. */
export interface TmpEntry {
  inode: TmpInode;
  position: number;
}

export class TmpInode extends StoredInode {
  declare readonly tmp: TmpFs;
  entries: Map<string, TmpEntry> | null = null;
  nextPosition = 2;
  target = '';
  xattrs: Map<string, Uint8Array> | null = null;
  /** Written since the last read: relatime wants the next read to be noted. */
  atimeStale = false;
  /** Made by O_TMPFILE: may still be linked into a directory. */
  linkable = false;
  /** What /proc/PID/fd shows for memfds; '' otherwise. */
  label = '';

  constructor(fs: TmpFs, ino: number, mode: number) {
    super(fs, fs, ino, mode);
    if ((mode & S_IFMT) === S_IFDIR) {
      this.entries = new Map();
      this.nlink = 2;
    }
  }

  // Directories.

  override lookup(_c: Caller, name: string): Inode | number {
    const e = this.entries!.get(name);
    return e === undefined ? -ENOENT : e.inode;
  }

  /** Puts a name in; the caller has checked that there is none. */
  add(name: string, inode: TmpInode): void {
    this.entries!.set(name, { inode, position: this.nextPosition++ });
    this.size += DIR_ENTRY_SIZE;
    if (inode.entries !== null) this.nlink++;
    this.touch(ATTR_MTIME | ATTR_CTIME);
  }

  remove(name: string): void {
    const e = this.entries!.get(name);
    if (e === undefined) return;
    this.entries!.delete(name);
    this.size -= DIR_ENTRY_SIZE;
    if (e.inode.entries !== null) this.nlink--;
    this.touch(ATTR_MTIME | ATTR_CTIME);
  }

  private make(c: Caller, name: string, mode: number): TmpInode | number {
    if (this.nlink === 0) return -ENOENT;
    if (this.entries!.has(name)) return -EEXIST;
    if (this.tmp.inodes >= this.tmp.limits.inodes) return -ENOSPC;
    const i = this.tmp.newInode(mode);
    initOwner(c, i, this);
    return i;
  }

  override create(c: Caller, name: string, mode: number, rdev: number): Inode | number {
    const i = this.make(c, name, mode);
    if (typeof i === 'number') return i;
    i.rdev = rdev;
    this.add(name, i);
    return i;
  }

  override mkdir(c: Caller, name: string, mode: number): Inode | number {
    return this.create(c, name, mode | S_IFDIR, 0);
  }

  override symlink(c: Caller, name: string, target: string): Inode | number {
    const i = this.make(c, name, S_IFLNK | 0o777);
    if (typeof i === 'number') return i;
    i.target = target;
    i.size = target.length;
    this.add(name, i);
    return i;
  }

  override link(_c: Caller, name: string, target: Inode): number {
    const t = target as TmpInode;
    if (this.nlink === 0) return -ENOENT;
    if (t.nlink === 0 && !t.linkable) return -ENOENT;
    if (this.entries!.has(name)) return -EEXIST;
    t.nlink++;
    t.linkable = false;
    t.touch(ATTR_CTIME);
    this.add(name, t);
    return 0;
  }

  /** One name of `t` is gone. */
  private dropName(t: TmpInode): void {
    t.nlink = t.entries !== null ? 0 : t.nlink - 1;
    t.touch(ATTR_CTIME);
    if (t.nlink === 0 && t.holds === 0) t.evict();
  }

  override unlink(_c: Caller, name: string, target: Inode): number {
    this.remove(name);
    this.dropName(target as TmpInode);
    return 0;
  }

  override rmdir(_c: Caller, name: string, target: Inode): number {
    const t = target as TmpInode;
    if (t.entries!.size > 0) return -ENOTEMPTY;
    this.remove(name);
    this.dropName(t);
    return 0;
  }

  override rename(_c: Caller, name: string, inode: Inode, newDir: Inode, newName: string, target: Inode | null, flags: number): number {
    const i = inode as TmpInode;
    const d = newDir as TmpInode;
    const t = target as TmpInode | null;
    if (d.nlink === 0) return -ENOENT;
    if ((flags & RENAME_EXCHANGE) !== 0) {
      this.remove(name);
      d.remove(newName);
      this.add(name, t!);
      d.add(newName, i);
      t!.touch(ATTR_CTIME);
      i.touch(ATTR_CTIME);
      return 0;
    }
    if (t !== null && t.entries !== null && t.entries.size > 0) return -ENOTEMPTY;
    this.remove(name);
    if (t !== null) {
      d.remove(newName);
      this.dropName(t);
    }
    d.add(newName, i);
    i.touch(ATTR_CTIME);
    return 0;
  }

  override tmpfile(c: Caller, mode: number): Inode | number {
    if (this.tmp.inodes >= this.tmp.limits.inodes) return -ENOSPC;
    const i = this.tmp.newFile(mode & 0o7777);
    i.linkable = true;
    initOwner(c, i, this);
    return i;
  }

  // All kinds.

  override readlink(_c: Caller): string | number {
    return (this.mode & S_IFMT) === S_IFLNK ? this.target : -EINVAL;
  }

  override open(_c: Caller, flags: number, mount: Mount, dentry: Dentry): File | number {
    return this.entries !== null ? new TmpDirFile(this, flags, mount, dentry) : new TmpFile(this, flags, mount, dentry);
  }

  override setattr(_c: Caller, a: SetAttr): number {
    const m = a.mask;
    if ((m & ATTR_SIZE) !== 0) {
      const err = this.resize(a.size);
      if (err < 0) return err;
    }
    if ((m & ATTR_MODE) !== 0) this.mode = (this.mode & S_IFMT) | (a.mode & 0o7777);
    if ((m & ATTR_UID) !== 0) this.uid = a.uid;
    if ((m & ATTR_GID) !== 0) this.gid = a.gid;
    if ((m & ATTR_ATIME) !== 0) {
      this.atimeSec = a.atimeSec;
      this.atimeNsec = a.atimeNsec;
    }
    if ((m & ATTR_MTIME) !== 0) {
      this.mtimeSec = a.mtimeSec;
      this.mtimeNsec = a.mtimeNsec;
      this.atimeStale = false;
    }
    this.touch(ATTR_CTIME);
    return 0;
  }

  override getxattr(_c: Caller, name: string): Uint8Array | number {
    const v = this.xattrs === null ? undefined : this.xattrs.get(name);
    return v === undefined ? -ENODATA : v;
  }

  override setxattr(_c: Caller, name: string, value: Uint8Array, flags: number): number {
    const has = this.xattrs?.has(name) === true;
    if ((flags & XATTR_CREATE) !== 0 && has) return -EEXIST;
    if ((flags & XATTR_REPLACE) !== 0 && !has) return -ENODATA;
    if (this.xattrs === null) this.xattrs = new Map();
    this.xattrs.set(name, value);
    this.touch(ATTR_CTIME);
    return 0;
  }

  override listxattr(_c: Caller): string[] | number {
    return this.xattrs === null ? [] : [...this.xattrs.keys()];
  }

  override removexattr(_c: Caller, name: string): number {
    if (this.xattrs === null || !this.xattrs.delete(name)) return -ENODATA;
    this.touch(ATTR_CTIME);
    return 0;
  }

  override getSeals(): number {
    return this.seals < 0 ? -EINVAL : this.seals;
  }

  override addSeals(seals: number): number {
    if (this.seals < 0) return -EINVAL;
    if ((this.seals & F_SEAL_SEAL) !== 0) return -EPERM;
    this.seals |= seals;
    return 0;
  }

  /** Frees what is below, but what somebody has open. */
  giveUp(): void {
    if (this.entries === null) return;
    for (const e of this.entries.values()) {
      e.inode.giveUp();
      if (e.inode.holds === 0) e.inode.discard();
    }
  }

  override evict(): void {
    if (this.nlink > 0 && !this.tmp.gone) return;
    this.tmp.inodes--;
    this.discard();
  }
}
