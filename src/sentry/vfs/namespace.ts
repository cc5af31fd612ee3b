// Mount namespaces: trees of mounts (mount_namespaces(7)), and what mount(2), umount2(2) and pivot_root(2) do to them.

import { EBUSY, EINVAL, ELOOP, ENOENT, ENOTDIR, EPERM } from '../../abi/errno.ts';
import { MNT_DETACH } from '../../abi/mount.ts';
import type { Caller } from './caller.ts';
import { type Dentry, dropFileSystem } from './dentry.ts';
import type { FileSystem } from './filesystem.ts';
import type { FsContext } from './fscontext.ts';
import { MNT_LOCKED, Mount } from './mount.ts';

let lastNamespaceIno = 0xefffffff;

/** A fresh inode number for a namespace of any kind. */
export function nextNamespaceIno(): number {
  return ++lastNamespaceIno;
}

export class MountNamespace {
  /** Inode number of /proc/PID/ns/mnt. */
  readonly ino: number = nextNamespaceIno();
  root: Mount;
  refs = 1;

  constructor(root: Mount) {
    this.root = root;
    setNamespace(root, this);
  }

  /** All mounts, parents before children, in the order they were made. */
  list(): Mount[] {
    const out: Mount[] = [];
    collect(this.root, out);
    return out.sort((a, b) => a.id - b.id);
  }

  /** A copy for unshare(CLONE_NEWNS); `fs` (not shared with other tasks) moves over to the copy. */
  clone(fs: FsContext): MountNamespace {
    const map = new Map<Mount, Mount>();
    const root = copyTree(this.root, true, map)!;
    const ns = new MountNamespace(root);
    const r = map.get(fs.rootMount);
    const w = map.get(fs.cwdMount);
    if (r !== undefined) fs.setRoot(r, fs.rootDentry);
    if (w !== undefined) fs.setCwd(w, fs.cwdDentry);
    return ns;
  }

  /** Drops one user; the last takes the whole tree apart. */
  unref(): void {
    if (--this.refs > 0) return;
    const mounts = this.list();
    killTree(this.root);
    for (const fs of new Set(mounts.map((m) => m.fs))) giveUp(fs);
  }
}

function setNamespace(m: Mount, ns: MountNamespace | null): void {
  m.ns = ns;
  for (const k of m.children) setNamespace(k, ns);
}

function collect(m: Mount, out: Mount[]): void {
  out.push(m);
  for (const k of m.children) collect(k, out);
}

/** A copy of a mount and, with `recursive`, of all that stands in it (below `m.root` all the same). */
function copyTree(m: Mount, recursive: boolean, map: Map<Mount, Mount> | null): Mount {
  return copyAt(m, m.root, recursive, map);
}

function copyAt(m: Mount, root: Dentry, recursive: boolean, map: Map<Mount, Mount> | null): Mount {
  const n = new Mount(m.fs, root, m.flags, m.source);
  if (map !== null) map.set(m, n);
  if (recursive) for (const k of m.children) if (k.point!.isUnder(root)) copyAt(k, k.root, true, map).attach(n, k.point!);
  return n;
}

/** The last mount of a file system went, and with it the last way to its names. */
function giveUp(fs: FileSystem): void {
  if (fs.mountCount > 0) return;
  dropFileSystem(fs);
  fs.release();
}

function killTree(m: Mount): void {
  for (const k of m.children.slice()) killTree(k);
  m.detach();
  m.kill();
}

/** The topmost mount at (m, d): follows what stands on it. */
export function topMount(m: Mount, d: Dentry): Mount {
  let dentry = d;
  let mount = m;
  for (;;) {
    if (dentry.mounts === 0) return mount;
    const k = mount.mountedOn(dentry);
    if (k === null) return mount;
    mount = k;
    dentry = k.root;
  }
}

/**
 * Attaches `m` at (mount, dentry), on top of what stands there (mount(2)). 0 or -errno: -ENOTDIR unless both are directories or both are
 * not, -ENOENT for a removed name, -ELOOP for a mount that would stand in itself.
 */
export function mountAt(m: Mount, mount: Mount, dentry: Dentry): number {
  const top = topMount(mount, dentry);
  const point = top === mount ? dentry : top.root;
  if (point.inode === null || (point.deleted && point.parent !== point)) return -ENOENT;
  if (point.isDir !== m.root.isDir) return -ENOTDIR;
  for (let p: Mount | null = top; p !== null; p = p.parent) if (p === m) return -ELOOP;
  m.attach(top, point);
  setNamespace(m, top.ns);
  return 0;
}

/** A new mount that shows `dentry` of `mount` (MS_BIND), with what is mounted below when `recursive`. Not yet attached. */
export function bindMount(mount: Mount, dentry: Dentry, recursive: boolean): Mount {
  return copyAt(mount, dentry, recursive, null);
}

/** umount2(2) of the mount whose root was found. */
export function unmount(m: Mount, flags: number): number {
  if (m.parent === null || m.ns === null || (m.flags & MNT_LOCKED) !== 0) return -EINVAL;
  if ((flags & MNT_DETACH) === 0) {
    if (m.refs > 0 || m.children.length > 0) return -EBUSY;
    m.detach();
    m.kill();
    giveUp(m.fs);
    return 0;
  }
  // Whoever stands in it or has a directory of it open goes on to see all names.
  killTree(m);
  return 0;
}

/** Moves a mount (MS_MOVE). */
export function moveMount(m: Mount, mount: Mount, dentry: Dentry): number {
  if (m.parent === null || (m.flags & MNT_LOCKED) !== 0) return -EINVAL;
  for (let p: Mount | null = mount; p !== null; p = p.parent) if (p === m) return -ELOOP;
  if (dentry.isDir !== m.root.isDir) return -ENOTDIR;
  m.detach();
  return mountAt(m, mount, dentry);
}

/**
 * pivot_root(2): `newMount` (found at its root) becomes the namespace's root, the old root moves to (putMount, putDentry), which stands
 * at or below the new one. The caller then moves every task's root and working directory. 0 or -errno.
 */
export function pivotRoot(c: Caller, newRoot: Mount, newDentry: Dentry, putMount: Mount, putDentryAt: Dentry): number {
  const fs = c.fs;
  const old = fs.rootMount;
  if (newRoot === old || putMount === old) return -EBUSY;
  if (newDentry !== newRoot.root || newRoot.parent === null) return -EINVAL;
  if (fs.rootDentry !== old.root) return -EINVAL;
  if (!newDentry.isDir || !putDentryAt.isDir) return -ENOTDIR;
  if ((newRoot.flags & MNT_LOCKED) !== 0) return -EPERM;
  let p: Mount | null = putMount;
  while (p !== null && p !== newRoot) p = p.parent;
  if (p === null) return -EINVAL;
  const ns = old.ns;
  if (ns === null || newRoot.ns !== ns) return -EINVAL;
  const oldParent = old.parent;
  const oldPoint = old.point;
  newRoot.detach();
  if (oldParent !== null && oldPoint !== null) {
    old.detach();
    newRoot.attach(oldParent, oldPoint);
  } else {
    ns.root = newRoot;
  }
  const top = topMount(putMount, putDentryAt);
  old.attach(top, top === putMount ? putDentryAt : top.root);
  return 0;
}
