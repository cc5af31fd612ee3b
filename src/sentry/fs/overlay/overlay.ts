// An overlay: a tmpfs above a file system that is only read (Linux: Documentation/filesystems/overlayfs.rst). What is changed is copied up
// first; removed names of the lower tree are covered by whiteouts; directories are merged.

import { OVERLAYFS_SUPER_MAGIC } from '../../../abi/mount.ts';
import { S_IFCHR, S_IFDIR } from '../../../abi/stat.ts';
import { anonDev, FileSystem, type StatFs } from '../../vfs/filesystem.ts';
import { type Dentry, dropFileSystem, rootDentry } from '../../vfs/dentry.ts';
import type { Inode } from '../../vfs/inode.ts';
import type { TmpFs, TmpInode } from '../tmpfs/tmpfs.ts';
import { OverlayInode } from './inode.ts';

/** Inode numbers of files that were made above begin here, clear of those of the lower tree. */
const UPPER_INO = 2 ** 40;

export class OverlayFs extends FileSystem {
  readonly upper: TmpFs;
  readonly lower: FileSystem;
  readonly root: OverlayInode;
  /** Stands for a removed name in upper directories. */
  readonly whiteout: TmpInode;
  /** Live inodes by what they show, so that one file is one inode whatever name leads to it. */
  readonly byUpper = new Map<TmpInode, OverlayInode>();
  readonly byLower = new Map<Inode, OverlayInode>();
  /** Copies of lower files with several names, by the lower inode number. */
  readonly copies = new Map<number, TmpInode>();
  /** Directories that were renamed: what they merge with, whatever their name is now. Each holds a reference. */
  readonly redirects = new Map<TmpInode, Dentry>();
  /** Numbers that copies keep from their originals. */
  readonly numbers = new WeakMap<TmpInode, number>();
  readonly #shown: string;

  constructor(upper: TmpFs, lower: FileSystem, shown = 'rw') {
    super('overlay', anonDev());
    this.upper = upper;
    this.lower = lower;
    this.#shown = shown;
    this.whiteout = upper.newInode(S_IFCHR);
    const top = upper.root;
    const l = lower.root;
    top.mode = S_IFDIR | (l.mode & 0o7777);
    top.uid = l.uid;
    top.gid = l.gid;
    this.numbers.set(top, l.ino);
    this.root = this.node(top, rootDentry(lower), null, '');
  }

  /** The number that a file above shows. */
  number(u: TmpInode): number {
    return this.numbers.get(u) ?? UPPER_INO + u.ino;
  }

  /** The inode that shows `upper` over what `low` names (not both null), found as `name` in `parent`. */
  node(upper: TmpInode | null, low: Dentry | null, parent: OverlayInode | null, name: string): OverlayInode {
    const known = upper !== null ? this.byUpper.get(upper) : this.byLower.get(low!.inode!);
    if (known !== undefined) return known;
    const n = new OverlayInode(this, upper, low, parent, name);
    if (upper !== null) this.byUpper.set(upper, n);
    else this.byLower.set(low!.inode!, n);
    return n;
  }

  statfs(out: StatFs): number {
    const err = this.upper.statfs(out);
    out.type = OVERLAYFS_SUPER_MAGIC;
    return err;
  }

  override options(): string {
    return this.#shown;
  }

  override release(): void {
    if (this.lower.rootDentry !== null) dropFileSystem(this.lower);
    this.upper.release();
    this.lower.release();
  }
}
