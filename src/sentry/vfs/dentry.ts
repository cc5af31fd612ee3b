// Dentries (Linux: fs/dcache.c): the names below a file system's root, present and absent, as one tree for each file system.
//
// A dentry with an inode is a name that exists; one without is a name known to be absent. A dentry that was unlinked or dropped leaves
// its parent's table but keeps name, parent and inode for those that still hold it (open files, working directories).

import { ENOENT } from '../../abi/errno.ts';
import { S_IFDIR, S_IFMT } from '../../abi/stat.ts';
import type { Caller } from './caller.ts';
import type { FileSystem } from './filesystem.ts';
import type { Inode } from './inode.ts';

/** How many dentries may be cached before unused ones are let go. */
const CACHE_LIMIT = 200000;
let cached = 0;
let limit = CACHE_LIMIT;

export class Dentry {
  name: string;
  /** The directory; itself for a root. */
  parent: Dentry;
  /** null: the name is known to be absent. */
  inode: Inode | null;
  readonly fs: FileSystem;
  /** Cached names of a directory, made on demand. */
  children: Map<string, Dentry> | null = null;
  /** How many mounts, in any namespace, stand on this dentry. */
  mounts = 0;
  /** Files, mounts, and working and root directories that hold it. */
  refs = 0;
  /** Unlinked, renamed over, or dropped: no longer found under its parent. */
  deleted = false;

  constructor(fs: FileSystem, parent: Dentry | null, name: string, inode: Inode | null) {
    this.name = name;
    this.parent = parent === null ? (this as Dentry) : parent;
    this.inode = inode;
    this.fs = fs;
    if (inode !== null) inode.holds++;
  }

  get isRoot(): boolean {
    return this.parent === this;
  }

  get isDir(): boolean {
    return this.inode !== null && (this.inode.mode & S_IFMT) === S_IFDIR;
  }

  /** True if this is `d` or stands anywhere below it. */
  isUnder(d: Dentry): boolean {
    let e: Dentry = this;
    for (;;) {
      if (e === d) return true;
      if (e.parent === e) return false;
      e = e.parent;
    }
  }
}

/** The root dentry of a file system: one for all its mounts. */
export function rootDentry(fs: FileSystem): Dentry {
  if (fs.rootDentry === null) fs.rootDentry = new Dentry(fs, null, '', fs.root);
  return fs.rootDentry;
}

/** The dentry of `name` in `dir`, from the cache or by asking the file system; absent names answer a dentry without an inode. */
export function lookupChild(c: Caller, dir: Dentry, name: string): Dentry | number {
  const children = dir.children;
  if (children !== null) {
    const d = children.get(name);
    if (d !== undefined) return dir.fs.volatileNames ? revalidate(c, dir, name, d) : d;
  }
  return lookupMiss(c, dir, name);
}

/** The cached dentry of `name`, or null when the file system was not asked yet. */
export function cachedChild(dir: Dentry, name: string): Dentry | null {
  const d = dir.children === null ? undefined : dir.children.get(name);
  return d === undefined ? null : d;
}

function lookupMiss(c: Caller, dir: Dentry, name: string): Dentry | number {
  const r = dir.inode!.lookup(c, name);
  if (typeof r === 'number') return r === -ENOENT ? addChild(dir, name, null) : r;
  return addChild(dir, name, r);
}

/** Asks a volatile file system again: the same inode keeps the dentry. */
function revalidate(c: Caller, dir: Dentry, name: string, d: Dentry): Dentry | number {
  if (d.mounts > 0) return d;
  const r = dir.inode!.lookup(c, name);
  const inode = typeof r === 'number' ? null : r;
  if (typeof r === 'number' && r !== -ENOENT) return r;
  if (inode === d.inode) return d;
  if (d.inode === null) {
    instantiate(d, inode!);
    return d;
  }
  dropDentry(d);
  return addChild(dir, name, inode);
}

/** Puts a name into the cache. A removed directory takes none: the answer is then a dentry on its own. */
export function addChild(dir: Dentry, name: string, inode: Inode | null): Dentry {
  const d = new Dentry(dir.fs, dir, name, inode);
  if (dir.deleted) {
    d.deleted = true;
    return d;
  }
  if (dir.children === null) dir.children = new Map();
  dir.children.set(name, d);
  cached++;
  return d;
}

/** An absent name now leads to `inode` (create, mkdir, link ...). */
export function instantiate(d: Dentry, inode: Inode): void {
  d.inode = inode;
  inode.holds++;
}

/** Takes a dentry out of its parent's table: the name was removed, or is no longer believed. */
export function dropDentry(d: Dentry): void {
  if (d.deleted || d.parent === d) return;
  d.deleted = true;
  const siblings = d.parent.children;
  if (siblings !== null && siblings.get(d.name) === d) {
    siblings.delete(d.name);
    cached--;
  }
  if (d.inode !== null && d.refs === 0) releaseInode(d.inode);
}

/** Takes back one reference that a file, mount or context held. */
export function putDentry(d: Dentry): void {
  d.refs--;
  if (d.refs === 0 && d.deleted && d.inode !== null) releaseInode(d.inode);
}

/** Drops a hold; the last one lets the file system free what it keeps. */
export function releaseInode(inode: Inode): void {
  if (--inode.holds === 0) inode.evict();
}

/** Moves `d` to `name` in `dir` (rename(2)). What stood there must have been dropped. */
export function moveDentry(d: Dentry, dir: Dentry, name: string): void {
  const siblings = d.parent.children;
  if (siblings !== null && siblings.get(d.name) === d) siblings.delete(d.name);
  d.parent = dir;
  d.name = name;
  if (dir.children === null) dir.children = new Map();
  dir.children.set(name, d);
}

/** Forgets an absent name at this place, so that another dentry can take it. */
export function forgetNegative(dir: Dentry, name: string): void {
  if (dir.children !== null && dir.children.delete(name)) cached--;
}

/**
 * Lets go of unused names below `root` when too many are cached. To be called where nobody holds a dentry without a reference: at the
 * beginning of a system call.
 */
export function trimDentries(root: Dentry): void {
  if (cached <= limit) return;
  shrinkDentries(root);
  // What is in use stays: look again only when much more has come.
  limit = Math.max(CACHE_LIMIT, cached + cached / 2);
}

/** True when parts of the kernel hang on the inode object itself. */
function busy(i: Inode | null): boolean {
  return i !== null && (i.socket !== null || i.fifo !== null || i.watches !== null || i.locks !== null);
}

/** Lets go of cached names below `root` that nothing uses: leaves first, absent names too. The count of names. */
export function shrinkDentries(root: Dentry): number {
  let freed = 0;
  if (root.children === null || root.fs.pinned) return 0;
  for (const d of root.children.values()) {
    if (d.children !== null) freed += shrinkDentries(d);
    if (d.refs === 0 && d.mounts === 0 && (d.children === null || d.children.size === 0) && !busy(d.inode)) {
      root.children.delete(d.name);
      cached--;
      freed++;
      d.deleted = true;
      if (d.inode !== null) releaseInode(d.inode);
    }
  }
  return freed;
}
