// Dentries (Linux: fs/dcache.c): the names below a file system's root, present and absent, as one tree for each file system.
//
// A dentry with an inode is a name that exists; one without is a name known to be absent. A dentry that was unlinked or dropped leaves
// its parent's table but keeps name, parent and inode for those that still hold it (open files, working directories).

import { ENOENT } from '../../abi/errno.ts';
import { S_IFDIR, S_IFMT } from '../../abi/stat.ts';
import { latin1Decode } from '../../base/bytes.ts';
import type { Caller } from './caller.ts';
import { cachedNames, findBytes, findName, hook, nextSalt, unhook } from './dcache.ts';
import type { FileSystem } from './filesystem.ts';
import type { Inode } from './inode.ts';

/** How many dentries may be cached before unused ones are let go. */
const CACHE_LIMIT = 200000;
let limit = CACHE_LIMIT;

export class Dentry {
  name: string;
  /** The directory; itself for a root. */
  parent: Dentry;
  /** null: the name is known to be absent. */
  inode: Inode | null;
  readonly fs: FileSystem;
  /** Hash of the name; where the table of names keeps it, and whether it does. */
  hash = 0;
  chain: Dentry | null = null;
  hooked = false;
  /** Another number each time that the name came into the table; -1: it was taken out. 0: it never was in. */
  stamp = 0;
  /** Spreads the names of different directories over the table. */
  readonly salt: number;
  /** Cached names of a directory, as a list through nextSibling. */
  firstChild: Dentry | null = null;
  nextSibling: Dentry | null = null;
  prevSibling: Dentry | null = null;
  /** How many mounts, in any namespace, stand on this dentry. */
  mounts = 0;
  /** Files, mounts, and working and root directories that hold it. */
  refs = 0;
  /** The epoch of its file system in which the name was found to lead here. */
  epoch: number;
  /** Unlinked, renamed over, or dropped: no longer found under its parent. */
  deleted = false;

  constructor(fs: FileSystem, parent: Dentry | null, name: string, inode: Inode | null) {
    this.name = name;
    this.parent = parent === null ? (this as Dentry) : parent;
    this.inode = inode;
    this.fs = fs;
    this.epoch = fs.epoch;
    this.salt = nextSalt();
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
  const d = findName(dir, name);
  if (d !== null) return doubtful(d) ? revalidate(c, dir, d) : d;
  return lookupMiss(c, dir, name);
}

/** As lookupChild() for the name buf[from..to) with the hash `hash` (see hashByte): allocates nothing when the name is cached. */
export function lookupBytes(c: Caller, dir: Dentry, buf: Uint8Array, from: number, to: number, hash: number): Dentry | number {
  const d = findBytes(dir, buf, from, to, hash);
  if (d !== null) return doubtful(d) ? revalidate(c, dir, d) : d;
  return lookupMiss(c, dir, latin1Decode(buf, from, to));
}

/** The cached dentry of `name`, or null when the file system was not asked yet. */
export function cachedChild(dir: Dentry, name: string): Dentry | null {
  return findName(dir, name);
}

function lookupMiss(c: Caller, dir: Dentry, name: string): Dentry | number {
  const r = dir.inode!.lookup(c, name);
  if (typeof r === 'number') return r === -ENOENT ? addChild(dir, name, null) : r;
  return addChild(dir, name, r);
}

/** True if the file system must be asked again where the name leads. */
function doubtful(d: Dentry): boolean {
  return d.fs.volatileNames || d.epoch !== d.fs.epoch;
}

/** Asks the file system again: the same inode keeps the dentry. */
function revalidate(c: Caller, dir: Dentry, d: Dentry): Dentry | number {
  if (d.mounts > 0) return d;
  d.epoch = d.fs.epoch;
  const r = dir.inode!.lookup(c, d.name);
  const inode = typeof r === 'number' ? null : r;
  if (typeof r === 'number' && r !== -ENOENT) return r;
  if (inode === d.inode) return d;
  if (d.inode === null) {
    instantiate(d, inode!);
    return d;
  }
  dropDentry(d);
  return addChild(dir, d.name, inode);
}

/** Puts a name into the cache. A removed directory takes none: the answer is then a dentry on its own. */
export function addChild(dir: Dentry, name: string, inode: Inode | null): Dentry {
  const d = new Dentry(dir.fs, dir, name, inode);
  if (dir.deleted) d.deleted = true;
  else hook(d);
  return d;
}

/** An absent name now leads to `inode` (create, mkdir, link ...). */
export function instantiate(d: Dentry, inode: Inode): void {
  d.inode = inode;
  d.epoch = d.fs.epoch;
  inode.holds++;
}

/** Takes a dentry out of the table: the name was removed, or is no longer believed. */
export function dropDentry(d: Dentry): void {
  if (d.deleted || d.parent === d) return;
  d.deleted = true;
  if (d.hooked) unhook(d);
  if (d.firstChild !== null) shrinkDentries(d);
  if (d.inode !== null && d.refs === 0) releaseInode(d.inode);
}

/** Takes back one reference that a file, mount or context held. */
export function putDentry(d: Dentry): void {
  if (--d.refs > 0) return;
  if (!d.deleted) {
    // The last user of a name below a directory that is gone.
    if (d.parent.deleted) dropDentry(d);
  } else if (d.inode !== null) {
    releaseInode(d.inode);
  }
}

/** Drops a hold; the last one lets the file system free what it keeps. */
export function releaseInode(inode: Inode): void {
  if (--inode.holds === 0) inode.evict();
}

/** Moves `d` to `name` in `dir` (rename(2)). What stood there must have been dropped. */
export function moveDentry(d: Dentry, dir: Dentry, name: string): void {
  if (d.hooked) unhook(d);
  d.parent = dir;
  d.name = name;
  hook(d);
}

/** Two names swap what they lead to (RENAME_EXCHANGE). */
export function exchangeDentries(a: Dentry, b: Dentry): void {
  const { parent, name } = a;
  unhook(a);
  moveDentry(a, b.parent, b.name);
  moveDentry(b, parent, name);
}

/** Forgets an absent name at this place, so that another dentry can take it. */
export function forgetNegative(dir: Dentry, name: string): void {
  const d = findName(dir, name);
  if (d !== null) unhook(d);
}

/**
 * Lets go of unused names below `root` when too many are cached. To be called where nobody holds a dentry without a reference: at the
 * beginning of a system call.
 */
export function trimDentries(root: Dentry): void {
  if (cachedNames() <= limit) return;
  shrinkDentries(root);
  // What is in use stays: look again only when much more has come.
  limit = Math.max(CACHE_LIMIT, cachedNames() * 1.5);
}

/** True when parts of the kernel hang on the inode object itself. */
function busy(i: Inode | null): boolean {
  return i !== null && (i.socket !== null || i.fifo !== null || i.watches !== null || i.locks !== null);
}

/** Lets go of cached names below `root` that nothing uses: leaves first, absent names too. The count of names. */
export function shrinkDentries(root: Dentry): number {
  let freed = 0;
  for (let d = root.firstChild; d !== null; ) {
    const next: Dentry | null = d.nextSibling;
    if (d.firstChild !== null) freed += shrinkDentries(d);
    if (d.refs === 0 && d.mounts === 0 && d.firstChild === null && !busy(d.inode)) {
      unhook(d);
      freed++;
      d.deleted = true;
      if (d.inode !== null) releaseInode(d.inode);
    }
    d = next;
  }
  return freed;
}

/** Takes all names of a file system that no mount shows any more out of the table. What is still open goes with its last description. */
export function dropFileSystem(fs: FileSystem): void {
  if (fs.rootDentry !== null) dropBelow(fs.rootDentry);
}

function dropBelow(dir: Dentry): void {
  for (let d = dir.firstChild; d !== null; d = dir.firstChild) {
    dropBelow(d);
    unhook(d);
    d.deleted = true;
    if (d.inode !== null && d.refs === 0) releaseInode(d.inode);
  }
}
