// Inodes of the overlay. Attributes are copies of those of the real inode: the upper one where there is one, else the lower one.

import { ENODATA, ENOENT, ENOTDIR, ENOTEMPTY, EPERM } from '../../../abi/errno.ts';
import { O_ACCMODE, O_DIRECTORY, O_RDONLY } from '../../../abi/fcntl.ts';
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from '../../../abi/stat.ts';
import { RENAME_EXCHANGE } from '../../../abi/uio.ts';
import type { Caller } from '../../vfs/caller.ts';
import { type Dentry, dropDentry, lookupChild, releaseInode, rootDentry } from '../../vfs/dentry.ts';
import type { DirSink, File } from '../../vfs/file.ts';
import { ATTR_SIZE, Inode, type SetAttr } from '../../vfs/inode.ts';
import { internalMount, type Mount } from '../../vfs/mount.ts';
import type { TmpInode } from '../tmpfs/tmpfs.ts';
import { copyData, copyXattrs, PRIVATE_PREFIX } from './copy.ts';
import { type Listed, OverlayDirFile, OverlayFile } from './file.ts';
import type { OverlayFs } from './overlay.ts';

/** The mark of a directory that does not merge with the lower one of its name. */
const OPAQUE = 'trusted.overlay.opaque';
const YES = new Uint8Array([0x79]);

function markOpaque(u: TmpInode): void {
  if (u.xattrs === null) u.xattrs = new Map();
  u.xattrs.set(OPAQUE, YES);
}

/** Collects the names of a lower directory. */
class NameSink implements DirSink {
  list: Listed[] = [];

  add(name: string, ino: number, type: number, _next: number): boolean {
    if (name !== '.' && name !== '..') this.list.push({ name, ino, type });
    return true;
  }
}

export class OverlayInode extends Inode {
  readonly overlay: OverlayFs;
  upper: TmpInode | null;
  /** The lower name; for files only until they are copied up. The lower tree's own dentries remember what it has and has not. */
  low: Dentry | null;
  /** A name that leads here. */
  parent: OverlayInode | null;
  name: string;
  readonly isDir: boolean;

  constructor(fs: OverlayFs, upper: TmpInode | null, low: Dentry | null, parent: OverlayInode | null, name: string) {
    const real = upper !== null ? upper : low!.inode!;
    super(fs, upper !== null ? fs.number(upper) : real.ino, real.mode);
    this.overlay = fs;
    this.upper = upper;
    this.low = low;
    this.parent = parent;
    this.name = name;
    this.isDir = (real.mode & S_IFMT) === S_IFDIR;
    this.truncateFirst = true;
    this.nlink = real.nlink;
    if (upper !== null) upper.holds++;
    if (low !== null) low.refs++;
    this.sync();
  }

  get lower(): Inode | null {
    return this.low === null ? null : this.low.inode;
  }

  /** The inode whose data and attributes show. */
  get real(): Inode {
    return this.upper !== null ? this.upper : this.low!.inode!;
  }

  /** Takes over the attributes of the real inode, but the count of names of lower files, which is kept here. */
  sync(): void {
    const r = this.real;
    this.mode = r.mode;
    this.uid = r.uid;
    this.gid = r.gid;
    this.rdev = r.rdev;
    this.size = r.size;
    this.blocks = r.blocks;
    this.blksize = r.blksize;
    this.atimeSec = r.atimeSec;
    this.atimeNsec = r.atimeNsec;
    this.mtimeSec = r.mtimeSec;
    this.mtimeNsec = r.mtimeNsec;
    this.ctimeSec = r.ctimeSec;
    this.ctimeNsec = r.ctimeNsec;
    this.btimeSec = r.btimeSec;
    this.btimeNsec = r.btimeNsec;
    if (!this.isDir) {
      if (this.upper !== null) this.nlink = r.nlink;
    } else if (this.nlink > 0) {
      this.nlink = this.upper !== null && this.lower !== null ? 1 : r.nlink;
    }
  }

  override refresh(): number {
    const err = this.real.refresh();
    if (err < 0) return err;
    this.sync();
    return 0;
  }

  // Copying up.

  /** Makes sure of an upper directory here. 0 or -errno. */
  private upperDir(c: Caller): TmpInode | number {
    if (this.upper !== null) return this.upper;
    const err = this.copyUp(c, 0);
    return err < 0 ? err : this.upper!;
  }

  /** Gives this file its own copy above, with the first `most` bytes of the data. 0 or -errno. */
  copyUp(c: Caller, most: number): number {
    if (this.upper !== null) return 0;
    const lower = this.lower!;
    const fs = this.overlay;
    const named = this.parent !== null && this.nlink > 0;
    let dir: TmpInode | null = null;
    if (named) {
      const d = this.parent!.upperDir(c);
      if (typeof d === 'number') return d;
      dir = d;
    }
    const u = fs.upper.newInode(this.mode);
    u.uid = this.uid;
    u.gid = this.gid;
    u.rdev = this.rdev;
    const type = this.mode & S_IFMT;
    if (type === S_IFLNK) {
      const t = lower.readlink(c);
      if (typeof t === 'number') return t;
      u.target = t;
      u.size = t.length;
    } else if (type === S_IFREG) {
      const err = copyData(c, lower, u, most);
      if (err < 0) {
        u.nlink = 0;
        u.evict();
        return err;
      }
    }
    copyXattrs(c, lower, u);
    u.atimeSec = this.atimeSec;
    u.atimeNsec = this.atimeNsec;
    u.mtimeSec = this.mtimeSec;
    u.mtimeNsec = this.mtimeNsec;
    u.btimeSec = this.btimeSec;
    u.btimeNsec = this.btimeNsec;
    if (dir !== null) {
      // Placing the copy is no change of the directory that anyone should see.
      const { mtimeSec, mtimeNsec, ctimeSec, ctimeNsec } = dir;
      dir.add(this.name, u);
      dir.mtimeSec = mtimeSec;
      dir.mtimeNsec = mtimeNsec;
      dir.ctimeSec = ctimeSec;
      dir.ctimeNsec = ctimeNsec;
    }
    // The copy counts all names, those that still have their entry only below too.
    if (!this.isDir) u.nlink = this.nlink;
    fs.numbers.set(u, this.ino);
    if (!this.isDir && lower.nlink > 1) fs.copies.set(lower.ino, u);
    fs.byLower.delete(lower);
    fs.byUpper.set(u, this);
    u.holds++;
    this.upper = u;
    if (!this.isDir) {
      // Open descriptions of the lower file move over at their next use.
      this.low!.refs--;
      this.low = null;
    }
    this.sync();
    return 0;
  }

  // Names.

  /** True if the lower directory shows something under `name`. */
  private below(c: Caller, name: string): boolean {
    if (this.low === null) return false;
    const l = lookupChild(c, this.low, name);
    return typeof l !== 'number' && l.inode !== null;
  }

  override lookup(c: Caller, name: string): Inode | number {
    if (!this.isDir) return -ENOTDIR;
    const fs = this.overlay;
    let u: TmpInode | null = null;
    if (this.upper !== null) {
      const e = this.upper.entries!.get(name);
      if (e !== undefined) {
        if (e.inode === fs.whiteout) return -ENOENT;
        u = e.inode;
        if (u.entries === null) return fs.node(u, null, this, name);
      }
    }
    let low: Dentry | null = null;
    if (this.low !== null) {
      const r = lookupChild(c, this.low, name);
      if (typeof r === 'number') return r;
      if (r.inode !== null) low = r;
    }
    if (u === null) {
      if (low === null) return -ENOENT;
      const l = low.inode!;
      if (l.nlink > 1 && (l.mode & S_IFMT) !== S_IFDIR) {
        const copy = fs.copies.get(l.ino);
        if (copy !== undefined) return fs.node(copy, null, this, name);
      }
      return fs.node(null, low, this, name);
    }
    if (u.xattrs?.has(OPAQUE) === true) low = fs.redirects.get(u) ?? null;
    else if (low !== null && !low.isDir) low = null;
    return fs.node(u, low, this, name);
  }

  /** Makes `name` free in the upper directory: takes a whiteout away. True if there was one. */
  private clear(dir: TmpInode, name: string): boolean {
    const e = dir.entries!.get(name);
    if (e === undefined || e.inode !== this.overlay.whiteout) return false;
    dir.remove(name);
    return true;
  }

  /** Covers what the lower directory has under `name`. */
  private cover(c: Caller, dir: TmpInode, name: string): void {
    if (this.below(c, name)) dir.add(name, this.overlay.whiteout);
  }

  /** Wraps an inode just made above. */
  private born(r: Inode | number, dir: TmpInode, name: string, hid: boolean): Inode | number {
    if (typeof r === 'number') {
      if (hid) dir.add(name, this.overlay.whiteout);
      return r;
    }
    const u = r as TmpInode;
    if (u.entries !== null && this.lower !== null) markOpaque(u);
    this.sync();
    return this.overlay.node(u, null, this, name);
  }

  override create(c: Caller, name: string, mode: number, rdev: number): Inode | number {
    const dir = this.upperDir(c);
    if (typeof dir === 'number') return dir;
    const hid = this.clear(dir, name);
    return this.born(dir.create(c, name, mode, rdev), dir, name, hid);
  }

  override mkdir(c: Caller, name: string, mode: number): Inode | number {
    return this.create(c, name, (mode & 0o7777) | S_IFDIR, 0);
  }

  override symlink(c: Caller, name: string, target: string): Inode | number {
    const dir = this.upperDir(c);
    if (typeof dir === 'number') return dir;
    const hid = this.clear(dir, name);
    return this.born(dir.symlink(c, name, target), dir, name, hid);
  }

  override link(c: Caller, name: string, target: Inode): number {
    const t = target as OverlayInode;
    let err = t.copyUp(c, Infinity);
    if (err < 0) return err;
    const dir = this.upperDir(c);
    if (typeof dir === 'number') return dir;
    const hid = this.clear(dir, name);
    err = dir.link(c, name, t.upper!);
    if (err < 0) {
      if (hid) dir.add(name, this.overlay.whiteout);
      return err;
    }
    t.parent = this;
    t.name = name;
    t.sync();
    this.sync();
    return 0;
  }

  override unlink(c: Caller, name: string, target: Inode): number {
    const t = target as OverlayInode;
    // Of several names of a lower file one goes: the others must find the same file later.
    if (t.upper === null && t.nlink > 1) {
      const err = t.copyUp(c, Infinity);
      if (err < 0) return err;
    }
    const dir = this.upperDir(c);
    if (typeof dir === 'number') return dir;
    const e = dir.entries!.get(name);
    if (e !== undefined && e.inode !== this.overlay.whiteout) dir.unlink(c, name, e.inode);
    else t.lostName();
    this.cover(c, dir, name);
    t.sync();
    this.sync();
    return 0;
  }

  /** True if nothing shows in this directory. */
  private isEmpty(c: Caller): boolean {
    if (this.upper !== null) for (const e of this.upper.entries!.values()) if (e.inode !== this.overlay.whiteout) return false;
    for (const e of this.lowerNames(c)) if (this.upper === null || !this.upper.entries!.has(e.name)) return false;
    return true;
  }

  /** The directory goes: whiteouts in it with it. */
  private hollow(): void {
    if (this.upper === null) return;
    const low = this.overlay.redirects.get(this.upper);
    if (low !== undefined) {
      this.overlay.redirects.delete(this.upper);
      low.refs--;
    }
    for (const name of [...this.upper.entries!.keys()]) this.upper.remove(name);
  }

  override rmdir(c: Caller, name: string, target: Inode): number {
    const t = target as OverlayInode;
    if (!t.isEmpty(c)) return -ENOTEMPTY;
    const dir = this.upperDir(c);
    if (typeof dir === 'number') return dir;
    if (t.upper !== null) {
      t.hollow();
      const err = dir.rmdir(c, name, t.upper);
      if (err < 0) return err;
    }
    this.cover(c, dir, name);
    t.nlink = 0;
    t.sync();
    this.sync();
    return 0;
  }

  override rename(c: Caller, name: string, inode: Inode, newDir: Inode, newName: string, target: Inode | null, flags: number): number {
    const i = inode as OverlayInode;
    const d = newDir as OverlayInode;
    const t = target as OverlayInode | null;
    const exchange = (flags & RENAME_EXCHANGE) !== 0;
    if (!exchange && t !== null && t.isDir && !t.isEmpty(c)) return -ENOTEMPTY;
    let err = i.copyUp(c, Infinity);
    if (err < 0) return err;
    if (t !== null && (exchange || (!t.isDir && t.nlink > 1))) {
      err = t.copyUp(c, Infinity);
      if (err < 0) return err;
    }
    const from = this.upperDir(c);
    if (typeof from === 'number') return from;
    const to = d.upperDir(c);
    if (typeof to === 'number') return to;
    // A second name of a lower file has no entry of its own above yet.
    i.settle(from, name);
    if (exchange) t!.settle(to, newName);
    d.clear(to, newName);
    const placed = to.entries!.get(newName);
    if (!exchange && t !== null && t.isDir) t.hollow();
    err = from.rename(c, name, i.upper!, to, newName, exchange ? t!.upper! : placed === undefined ? null : placed.inode, flags);
    if (err < 0) return err;
    if (i.isDir) i.redirect();
    i.parent = d;
    i.name = newName;
    if (exchange) {
      if (t!.isDir) t!.redirect();
      t!.parent = this;
      t!.name = name;
    } else {
      if (t !== null && t.isDir) t.nlink = 0;
      else if (t !== null && placed === undefined) t.lostName();
      this.cover(c, from, name);
    }
    if (t !== null) t.sync();
    i.sync();
    this.sync();
    d.sync();
    return 0;
  }

  /** This directory leaves its name: from now on it merges with the lower directory that it has, not with one of its new name. */
  private redirect(): void {
    const u = this.upper!;
    markOpaque(u);
    if (this.low === null || this.overlay.redirects.has(u)) return;
    this.overlay.redirects.set(u, this.low);
    this.low.refs++;
  }

  /** Makes sure that the upper directory has this file's copy under `name`. */
  private settle(dir: TmpInode, name: string): void {
    if (!dir.entries!.has(name)) dir.add(name, this.upper!);
  }

  /** A name that had no entry above is gone. */
  private lostName(): void {
    if (this.upper !== null) this.upper.nlink--;
    else this.nlink--;
  }

  override tmpfile(c: Caller, mode: number): Inode | number {
    const dir = this.upperDir(c);
    if (typeof dir === 'number') return dir;
    const u = dir.tmpfile(c, mode);
    return typeof u === 'number' ? u : this.overlay.node(u as TmpInode, null, this, '');
  }

  // All kinds.

  override readlink(c: Caller): string | number {
    return this.real.readlink(c);
  }

  /** Opens the real inode for an overlay description. */
  openReal(c: Caller, flags: number): File | number {
    const r = this.real;
    return r.open(c, flags, internalMount(r.fs), rootDentry(r.fs));
  }

  override open(c: Caller, flags: number, mount: Mount, dentry: Dentry): File | number {
    if (this.isDir) return new OverlayDirFile(this, flags, mount, dentry);
    if ((flags & O_ACCMODE) !== O_RDONLY && this.upper === null) {
      const err = this.copyUp(c, Infinity);
      if (err < 0) return err;
    }
    const real = this.openReal(c, flags & O_ACCMODE);
    return typeof real === 'number' ? real : new OverlayFile(this, real, flags, mount, dentry);
  }

  override setattr(c: Caller, a: SetAttr): number {
    const err = this.copyUp(c, (a.mask & ATTR_SIZE) !== 0 ? a.size : Infinity);
    if (err < 0) return err;
    const r = this.upper!.setattr(c, a);
    this.sync();
    return r;
  }

  override getxattr(c: Caller, name: string): Uint8Array | number {
    return name.startsWith(PRIVATE_PREFIX) ? -ENODATA : this.real.getxattr(c, name);
  }

  override setxattr(c: Caller, name: string, value: Uint8Array, flags: number): number {
    if (name.startsWith(PRIVATE_PREFIX)) return -EPERM;
    const err = this.copyUp(c, Infinity);
    if (err < 0) return err;
    const r = this.upper!.setxattr(c, name, value, flags);
    this.sync();
    return r;
  }

  override listxattr(c: Caller): string[] | number {
    const names = this.real.listxattr(c);
    return typeof names === 'number' ? names : names.filter((n) => !n.startsWith(PRIVATE_PREFIX));
  }

  override removexattr(c: Caller, name: string): number {
    if (typeof this.getxattr(c, name) === 'number') return -ENODATA;
    const err = this.copyUp(c, Infinity);
    if (err < 0) return err;
    const r = this.upper!.removexattr(c, name);
    this.sync();
    return r;
  }

  private lowerNames(c: Caller): Listed[] {
    if (this.lower === null) return [];
    const f = this.lower.open(c, O_RDONLY | O_DIRECTORY, internalMount(this.lower.fs), this.low!);
    if (typeof f === 'number') return [];
    const sink = new NameSink();
    let seen = -1;
    while (sink.list.length !== seen) {
      seen = sink.list.length;
      if (f.readdir(c, sink) < 0) break;
    }
    f.unref();
    return sink.list;
  }

  /** All names of a directory: those above in the order they were made, then those that show from below. */
  listNames(c: Caller): Listed[] {
    const out: Listed[] = [];
    const above = this.upper === null ? null : this.upper.entries!;
    for (const e of this.lowerNames(c)) {
      const u = above === null ? undefined : above.get(e.name);
      if (u === undefined) {
        const copy = this.overlay.copies.size > 0 ? this.overlay.copies.get(e.ino) : undefined;
        out.push({ name: e.name, ino: copy === undefined ? e.ino : this.overlay.number(copy), type: e.type });
      }
    }
    if (above !== null) {
      for (const [name, e] of above) {
        if (e.inode === this.overlay.whiteout) continue;
        out.push({ name, ino: this.overlay.number(e.inode), type: (e.inode.mode & S_IFMT) >> 12 });
      }
    }
    return out;
  }

  override evict(): void {
    const fs = this.overlay;
    if (this.upper !== null) {
      fs.byUpper.delete(this.upper);
      if (this.upper.nlink === 0 && fs.copies.get(this.ino) === this.upper) fs.copies.delete(this.ino);
      releaseInode(this.upper);
    }
    const low = this.low;
    if (low !== null) {
      fs.byLower.delete(low.inode!);
      low.refs--;
      if (low.refs === 0 && low.firstChild === null) dropDentry(low);
    }
  }
}
