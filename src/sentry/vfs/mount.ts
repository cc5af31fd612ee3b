// Mounts: where the tree of a file system stands in the tree of names (mount_namespaces(7), Linux: fs/namespace.c).

import { ST_NOATIME, ST_NODEV, ST_NODIRATIME, ST_NOEXEC, ST_NOSUID, ST_RDONLY, ST_RELATIME } from '../../abi/mount.ts';
import { type Dentry, putDentry, rootDentry, shrinkDentries } from './dentry.ts';
import type { FileSystem } from './filesystem.ts';
import type { MountNamespace } from './namespace.ts';
import { changed } from './pathcache.ts';

/** Mount flags are ST_* bits (statvfs): RDONLY, NOSUID, NODEV, NOEXEC, NOATIME, NODIRATIME, RELATIME; this one is ours. */
export const MNT_NOSYMFOLLOW = 0x2000;
/** Made by the runtime and not to be undone by the guest (masked paths and the like share their parent's fate). */
export const MNT_LOCKED = 0x100000;

let nextMountId = 20;

export class Mount {
  /** As in mountinfo and statx. */
  readonly id: number;
  readonly fs: FileSystem;
  /** The dentry that shows at the mount point: the file system's root, or for bind mounts any other. */
  readonly root: Dentry;
  parent: Mount | null = null;
  /** Where it stands in `parent`. */
  point: Dentry | null = null;
  children: Mount[] = [];
  #flags: number;
  source: string;
  ns: MountNamespace | null = null;
  /** Open files, and working and root directories in it. */
  refs = 0;

  constructor(fs: FileSystem, root: Dentry, flags: number, source: string) {
    this.id = nextMountId++;
    this.fs = fs;
    this.root = root;
    this.#flags = flags;
    this.source = source;
    root.refs++;
    fs.mountCount++;
  }

  get flags(): number {
    return this.#flags;
  }

  set flags(flags: number) {
    this.#flags = flags;
    changed();
  }

  get readonly(): boolean {
    return (this.#flags & ST_RDONLY) !== 0;
  }

  /** The mount that stands directly on `d` in this mount, or null. */
  mountedOn(d: Dentry): Mount | null {
    const list = this.children;
    for (let i = list.length - 1; i >= 0; i--) if (list[i]!.point === d) return list[i]!;
    return null;
  }

  /** Puts this mount onto `point` of `parent`. */
  attach(parent: Mount, point: Dentry): void {
    this.parent = parent;
    this.point = point;
    this.ns = parent.ns;
    point.mounts++;
    point.refs++;
    parent.children.push(this);
    changed();
  }

  /** Takes this mount off its point; what stands in it stays with it. */
  detach(): void {
    const p = this.parent;
    if (p === null) return;
    p.children.splice(p.children.indexOf(this), 1);
    this.point!.mounts--;
    putDentry(this.point!);
    this.parent = null;
    this.point = null;
    changed();
  }

  /** The mount is gone for good (its files may still be open). */
  kill(): void {
    this.ns = null;
    putDentry(this.root);
    if (--this.fs.mountCount > 0) return;
    if (this.fs.rootDentry !== null) shrinkDentries(this.fs.rootDentry);
  }

  /** The words of mountinfo's sixth field. */
  flagWords(): string {
    const f = this.flags;
    let s = (f & ST_RDONLY) !== 0 ? 'ro' : 'rw';
    if ((f & ST_NOSUID) !== 0) s += ',nosuid';
    if ((f & ST_NODEV) !== 0) s += ',nodev';
    if ((f & ST_NOEXEC) !== 0) s += ',noexec';
    if ((f & ST_NOATIME) !== 0) s += ',noatime';
    if ((f & ST_NODIRATIME) !== 0) s += ',nodiratime';
    if ((f & ST_RELATIME) !== 0) s += ',relatime';
    if ((f & MNT_NOSYMFOLLOW) !== 0) s += ',nosymfollow';
    return s;
  }
}

/** A mount of a whole file system, not yet attached anywhere. */
export function newMount(fs: FileSystem, flags: number, source: string): Mount {
  return new Mount(fs, rootDentry(fs), flags, source);
}

/** A mount that no namespace shows, for files without a path (pipes, sockets, memfds) that magic links may lead to. */
export function internalMount(fs: FileSystem): Mount {
  if (fs.internalMount === null) fs.internalMount = newMount(fs, 0, 'none');
  return fs.internalMount as Mount;
}
