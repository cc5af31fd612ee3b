// tmpfs(5): files in the Sentry's memory. Small files are byte arrays; larger or mapped ones live in a memfd, which mappings are made of.

import { EEXIST, EINVAL, EMFILE, ENODATA, ENOENT, ENOSPC, ENOTEMPTY, EPERM } from '../../../abi/errno.ts';
import { F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK } from '../../../abi/fcntl.ts';
import { TMPFS_MAGIC } from '../../../abi/mount.ts';
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from '../../../abi/stat.ts';
import { RENAME_EXCHANGE } from '../../../abi/uio.ts';
import { XATTR_CREATE, XATTR_REPLACE } from '../../../abi/xattr.ts';
import { copyBytes } from '../../../base/bytes.ts';
import { type HostIO, newHostStat } from '../../../platform/hostio.ts';
import type { Caller } from '../../vfs/caller.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import type { File, MapBacking } from '../../vfs/file.ts';
import { anonDev, FileSystem, type StatFs } from '../../vfs/filesystem.ts';
import { ATTR_ATIME, ATTR_CTIME, ATTR_GID, ATTR_MODE, ATTR_MTIME, ATTR_SIZE, ATTR_UID, Inode, type SetAttr } from '../../vfs/inode.ts';
import type { Mount } from '../../vfs/mount.ts';
import { initOwner } from '../../vfs/permission.ts';
import type { TmpfsOptions } from './options.ts';
import { BLOCK, Origin } from './origin.ts';
import { TmpDirFile, TmpFile } from './tmpfile.ts';

const PAGE = 4096;
/** Byte arrays grow to this size, then the file moves to a memfd, where there is room for one more descriptor. */
const ARRAY_LIMIT = 1 << 17;
/** How far they grow when descriptors have run out. */
const ARRAY_MOST = 1 << 28;
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
}

/** A name in a directory: where readdir stands is the entry's own rising number. */
export interface TmpEntry {
  inode: TmpInode;
  position: number;
}

const hostStat = newHostStat();

const noBytes = new Uint8Array(0);

export class TmpInode extends Inode {
  readonly tmp: TmpFs;
  entries: Map<string, TmpEntry> | null = null;
  nextPosition = 2;
  /** Contents while memfd is -1; longer than `size` when it has room. */
  data: Uint8Array = noBytes;
  memfd = -1;
  /** Where the data is that is not in the memfd yet. */
  private origin: Origin | null = null;
  /** Pages charged to the file system. */
  charged = 0;
  target = '';
  xattrs: Map<string, Uint8Array> | null = null;
  /** F_SEAL_*, -1 for files that cannot be sealed. */
  seals = -1;
  /** Written since the last read: relatime wants the next read to be noted. */
  atimeStale = false;
  /** Made by O_TMPFILE: may still be linked into a directory. */
  linkable = false;
  /** What /proc/PID/fd shows for memfds; '' otherwise. */
  label = '';

  constructor(fs: TmpFs, ino: number, mode: number) {
    super(fs, ino, mode);
    this.tmp = fs;
    if ((mode & S_IFMT) === S_IFDIR) {
      this.entries = new Map();
      this.nlink = 2;
    }
  }

  override refresh(): number {
    if (this.memfd >= 0 && this.origin === null && this.tmp.host.fstat(this.memfd, hostStat) === 0) this.blocks = hostStat.blocks;
    return 0;
  }

  // Storage.

  /** Charges pages up to `end` of a write at `pos`. 0 or -ENOSPC. */
  private charge(pos: number, end: number): number {
    const size = this.size;
    if (end <= size) return 0;
    const from = Math.max(Math.ceil(size / PAGE), Math.floor(pos / PAGE));
    const more = Math.ceil(end / PAGE) - from;
    if (more <= 0) return 0;
    if ((this.tmp.pages + more) * PAGE > this.tmp.limits.size) return -ENOSPC;
    this.charged += more;
    this.tmp.pages += more;
    this.blocks = this.charged * (PAGE / 512);
    return 0;
  }

  private uncharge(size: number): void {
    const keep = Math.min(this.charged, Math.ceil(size / PAGE));
    this.tmp.pages -= this.charged - keep;
    this.charged = keep;
    this.blocks = keep * (PAGE / 512);
  }

  /** Moves the contents to a memfd, where mappings can share them. The descriptor or -errno. */
  toMemfd(): number {
    if (this.memfd >= 0) return this.memfd;
    const host = this.tmp.host;
    const fd = host.memfd('ringfence');
    if (fd < 0) return fd;
    let err = host.ftruncate(fd, this.size);
    for (let done = 0; err >= 0 && done < this.size && done < this.data.length; ) {
      err = host.pwrite(fd, this.data, done, Math.min(this.size, this.data.length) - done, done);
      if (err === 0) break;
      done += err;
    }
    if (err < 0) {
      host.close(fd);
      return err;
    }
    this.memfd = fd;
    this.data = noBytes;
    return fd;
  }

  /** Moves a file that is to have `end` bytes to a memfd if it gets too large for an array. 0 or -errno. */
  private spill(end: number): number {
    if (end <= ARRAY_LIMIT) return 0;
    const fd = this.toMemfd();
    return fd >= 0 || (fd === -EMFILE && end <= ARRAY_MOST) ? 0 : fd;
  }

  /** Makes the array hold `end` bytes, or moves to a memfd. 0 or -errno. */
  private reserve(end: number): number {
    if (this.memfd >= 0) return 0;
    const err = this.spill(end);
    if (err < 0 || this.memfd >= 0) return err;
    if (end > this.data.length) {
      // Most files are written once: the first piece gets what it needs, more makes the array double.
      const n = Math.max((end + 63) & ~63, this.data.length * 2);
      const grown = new Uint8Array(n);
      grown.set(this.data.length > this.size ? this.data.subarray(0, this.size) : this.data);
      this.data = grown;
    }
    return 0;
  }

  readAt(buf: Uint8Array, off: number, len: number, pos: number): number {
    const left = this.size - pos;
    if (left <= 0) return 0;
    let n = len < left ? len : left;
    if (this.origin !== null) return this.origin.read(this.memfd, buf, off, n, pos);
    if (this.memfd >= 0) return this.tmp.host.pread(this.memfd, buf, off, n, pos);
    const have = this.data.length - pos;
    if (n <= have) {
      copyBytes(this.data, pos, buf, off, n);
    } else {
      if (have > 0) copyBytes(this.data, pos, buf, off, have);
      buf.fill(0, off + Math.max(0, have), off + n);
    }
    if (n < 0) n = 0;
    return n;
  }

  writeAt(buf: Uint8Array, off: number, len: number, pos: number): number {
    let end = pos + len;
    if (end > this.size) {
      if (this.seals > 0 && (this.seals & F_SEAL_GROW) !== 0) return -EPERM;
      if (this.charge(pos, end) < 0) {
        // As much as fits in what is left.
        const room = Math.floor(this.tmp.limits.size / PAGE) - this.tmp.pages;
        const fits = Math.max(Math.ceil(this.size / PAGE), Math.floor(pos / PAGE)) * PAGE + Math.max(0, room) * PAGE;
        if (fits <= pos) return -ENOSPC;
        end = Math.min(end, fits);
        len = end - pos;
        if (this.charge(pos, end) < 0) return -ENOSPC;
      }
    }
    const err = this.reserve(end);
    if (err < 0) return err;
    if (this.memfd >= 0) {
      const e = this.origin === null ? 0 : this.bring(this.origin, pos, end);
      if (e < 0) return e;
      const n = this.tmp.host.pwrite(this.memfd, buf, off, len, pos);
      if (n > 0 && pos + n > this.size) this.size = pos + n;
      return n;
    }
    if (pos > this.size) this.data.fill(0, this.size, pos);
    copyBytes(buf, off, this.data, pos, len);
    if (end > this.size) this.size = end;
    return len;
  }

  /** Cuts or extends. 0 or -errno. */
  resize(size: number): number {
    if (this.seals > 0) {
      if (size < this.size && (this.seals & F_SEAL_SHRINK) !== 0) return -EPERM;
      if (size > this.size && (this.seals & F_SEAL_GROW) !== 0) return -EPERM;
    }
    if (this.memfd >= 0) {
      const err = this.tmp.host.ftruncate(this.memfd, size);
      if (err < 0) return err;
      if (this.origin?.cut(size) === true) this.dropOrigin();
    } else if (size > this.size) {
      // The tail of the array may hold old bytes; beyond the array reads give zero.
      if (this.data.length > this.size) this.data.fill(0, this.size);
      let err = this.spill(size);
      if (err === 0 && this.memfd >= 0) err = this.tmp.host.ftruncate(this.memfd, size);
      if (err < 0) return err;
    } else if (size === 0) {
      this.data = noBytes;
    }
    if (size < this.size) this.uncharge(size);
    this.size = size;
    return 0;
  }

  /** fallocate(2) with mode 0: storage for [0, end). 0 or -errno. */
  preallocate(pos: number, end: number): number {
    const err = this.charge(pos, end);
    if (err < 0) return err;
    const e = this.spill(end);
    return e < 0 || this.memfd < 0 ? e : this.tmp.host.fallocate(this.memfd, 1, pos, end - pos);
  }

  /** Zeroes [pos, end) within the size. 0 or -errno. */
  zero(pos: number, end: number): number {
    if (this.memfd >= 0) {
      const err = this.origin === null ? 0 : this.bring(this.origin, pos, end);
      return err < 0 ? err : this.tmp.host.fallocate(this.memfd, 3, pos, end - pos);
    }
    this.data.fill(0, Math.min(pos, this.data.length), Math.min(end, this.data.length));
    return 0;
  }

  /**
   * Becomes a copy of the first `size` bytes of `file` (a reference that this takes over), whose data stays where it is as far as it is not
   * changed. 0 or -errno, and then the reference is the caller's still.
   */
  copyOf(file: File, below: MapBacking, size: number): number {
    const host = this.tmp.host;
    const fd = this.toMemfd();
    if (fd < 0) return fd;
    const err = host.ftruncate(fd, size);
    if (err < 0) return err;
    this.size = size;
    this.origin = new Origin(host, file, below, size);
    return 0;
  }

  /** Before [pos, end) is overwritten: charges for what comes into the memfd, and brings over the rest of its blocks. 0 or -errno. */
  private bring(origin: Origin, pos: number, end: number): number {
    const err = this.chargeBlocks(origin.missing(pos, end));
    return err < 0 ? err : origin.prepare(this.memfd, pos, end);
  }

  private chargeBlocks(blocks: number): number {
    const more = blocks * (BLOCK / PAGE);
    if (more > 0 && (this.tmp.pages + more) * PAGE > this.tmp.limits.size) return -ENOSPC;
    this.charged += more;
    this.tmp.pages += more;
    this.blocks = this.charged * (PAGE / 512);
    return 0;
  }

  /** Some of its data is not in the memfd. */
  get partial(): boolean {
    return this.origin !== null;
  }

  private dropOrigin(): void {
    if (this.origin === null) return;
    this.origin.release();
    this.origin = null;
  }

  /** What a mapping is made of; `alone`: others' changes need not show in it. A backing at offset 0, or -errno. */
  backing(alone: boolean): MapBacking | number {
    const origin = this.origin;
    if (origin !== null) {
      if (alone && origin.untouched) return origin.backing;
      let err = this.chargeBlocks(origin.missing(0, this.size));
      if (err === 0) err = origin.complete(this.memfd);
      if (err < 0) return err;
      this.dropOrigin();
    }
    const fd = this.toMemfd();
    return fd < 0 ? fd : { fd, offset: 0 };
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

  override evict(): void {
    if (this.nlink > 0) return;
    this.tmp.inodes--;
    this.uncharge(0);
    this.data = noBytes;
    this.dropOrigin();
    if (this.memfd >= 0) this.tmp.host.close(this.memfd);
    this.memfd = -1;
    this.size = 0;
  }
}
