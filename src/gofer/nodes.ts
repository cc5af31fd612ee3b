// What the gofer knows files by: identifiers that the Sentry holds, each an attach point or a name in the directory of another node.
//
// A node's O_PATH descriptor is opened when it is needed and kept in a list of bounded length; one that was let go is opened anew by
// parent and name, and must then be the same file (device and inode number), else the answer is ESTALE. So identifiers may outnumber
// descriptors by far. Every step is one component by openat2(2): no symbolic link is ever followed, nothing above an attach point reached.

import { EBADF, ENFILE, ENOENT, ESTALE } from '../abi/errno.ts';
import {
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  O_CLOEXEC,
  O_NOFOLLOW,
  O_PATH,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
} from '../abi/fcntl.ts';
import { S_IFMT } from '../abi/stat.ts';
import type { Native } from '../host/native.ts';

/** One component, nowhere else. */
export const RESOLVE = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
const MAX_NODES = 2 * 1024 * 1024;

export class Node {
  readonly id: number;
  /** null for an attach point. */
  parent: Node | null;
  name: string;
  readonly readonly: boolean;
  readonly dev: number;
  readonly ino: number;
  /** S_IFMT bits. */
  readonly type: number;
  /** O_PATH descriptor, or -1. */
  fd = -1;
  /** The Sentry holds the identifier. */
  held = true;
  /** Nodes whose parent this is. */
  children = 0;
  /** Its name was removed: the descriptor is all that is left of it. */
  orphan = false;
  /** In the list of open descriptors, most recently used first. */
  prev: Node | null = null;
  next: Node | null = null;
  /** In use by the request that is being served. */
  pins = 0;

  constructor(id: number, parent: Node | null, name: string, readonly: boolean, dev: number, ino: number, type: number) {
    this.id = id;
    this.parent = parent;
    this.name = name;
    this.readonly = readonly;
    this.dev = dev;
    this.ino = ino;
    this.type = type;
  }
}

export class NodeTable {
  private readonly native: Native;
  private readonly nodes = new Map<number, Node>();
  private nextId = 1;
  private readonly fdLimit: number;
  private open = 0;
  private head: Node | null = null;
  private tail: Node | null = null;
  private readonly stat = new Float64Array(21);
  private pinned: Node[] = [];

  /** `fdLimit`: most O_PATH descriptors kept open, attach points aside. */
  constructor(native: Native, fdLimit: number) {
    this.native = native;
    this.fdLimit = fdLimit < 8 ? 8 : fdLimit;
  }

  get size(): number {
    return this.nodes.size;
  }

  get openDescriptors(): number {
    return this.open;
  }

  /** The node that the Sentry calls `id`, or null. */
  get(id: number): Node | null {
    const n = this.nodes.get(id);
    return n === undefined || !n.held ? null : n;
  }

  /** Opens an attach point: `path` is the gofer's own configuration and may lead anywhere. */
  attach(path: string, readonly: boolean): Node | number {
    const fd = this.native.openat(AT_FDCWD, path, O_PATH | O_CLOEXEC, 0);
    if (fd < 0) return fd;
    const r = this.native.fstat(fd, this.stat);
    if (r < 0) return r;
    const n = new Node(0, null, path, readonly, this.stat[0] as number, this.stat[1] as number, (this.stat[2] as number) & S_IFMT);
    n.fd = fd;
    return n;
  }

  /** Gives an attach point an identifier of its own. */
  hold(root: Node): number {
    const id = this.newId();
    if (id < 0) return id;
    this.nodes.set(id, root);
    return id;
  }

  private newId(): number {
    if (this.nodes.size >= MAX_NODES) return -ENFILE;
    do {
      this.nextId = this.nextId === 0xffffffff ? 1 : this.nextId + 1;
    } while (this.nodes.has(this.nextId));
    return this.nextId;
  }

  /** A new node for what `st` (see Native.fstat) describes as `name` in `parent`. */
  add(parent: Node, name: string, st: Float64Array): Node | number {
    const id = this.newId();
    if (id < 0) return id;
    const n = new Node(id, parent, name, parent.readonly, st[0] as number, st[1] as number, (st[2] as number) & S_IFMT);
    parent.children++;
    this.nodes.set(id, n);
    return n;
  }

  /** An O_PATH descriptor of `n`, good until unpinAll(). Or -errno. */
  fdOf(n: Node): number {
    n.pins++;
    this.pinned.push(n);
    return this.descriptor(n);
  }

  private descriptor(n: Node): number {
    if (n.fd >= 0) {
      if (this.head !== n && n.parent !== null) {
        this.unlink(n);
        this.push(n);
      }
      return n.fd;
    }
    const parent = n.parent;
    if (parent === null || n.orphan) return -ESTALE;
    const dir = this.descriptor(parent);
    if (dir < 0) return dir;
    const fd = this.native.openat2(dir, n.name, O_PATH | O_NOFOLLOW, 0, RESOLVE);
    if (fd < 0) return fd === -ENOENT ? -ESTALE : fd;
    const r = this.native.fstat(fd, this.stat);
    if (r < 0 || !this.same(n, this.stat)) {
      this.native.close(fd);
      return r < 0 ? r : -ESTALE;
    }
    this.keep(n, fd);
    return fd;
  }

  /** True if `st` describes the file that `n` stands for. */
  same(n: Node, st: Float64Array): boolean {
    return st[0] === n.dev && st[1] === n.ino && ((st[2] as number) & S_IFMT) === n.type;
  }

  /** Remembers an O_PATH descriptor that was just opened for `n`. */
  private keep(n: Node, fd: number): void {
    n.fd = fd;
    this.push(n);
    this.open++;
    let victim = this.tail;
    while (this.open > this.fdLimit && victim !== null) {
      const prev: Node | null = victim.prev;
      // Orphans cannot be opened again; they give way only when they are half of all.
      if (victim !== n && victim.pins === 0 && (!victim.orphan || this.open > this.fdLimit * 1.5)) this.closeFd(victim);
      victim = prev;
    }
  }

  private push(n: Node): void {
    n.prev = null;
    n.next = this.head;
    if (this.head === null) this.tail = n;
    else this.head.prev = n;
    this.head = n;
  }

  private unlink(n: Node): void {
    if (n.prev === null) this.head = n.next;
    else n.prev.next = n.next;
    if (n.next === null) this.tail = n.prev;
    else n.next.prev = n.prev;
    n.prev = null;
    n.next = null;
  }

  private closeFd(n: Node): void {
    if (n.fd < 0) return;
    this.unlink(n);
    this.native.close(n.fd);
    n.fd = -1;
    this.open--;
  }

  /** The request is done: descriptors that it used may be closed again. */
  unpinAll(): void {
    const list = this.pinned;
    for (let i = 0; i < list.length; i++) (list[i] as Node).pins--;
    list.length = 0;
  }

  /** Is about to lose its name: keeps a descriptor, without which nothing could be asked of it any more. */
  orphan(n: Node): void {
    if (n.parent === null) return;
    this.fdOf(n);
    n.orphan = true;
  }

  /** The name was not removed after all. */
  adopt(n: Node): void {
    n.orphan = false;
  }

  /** `n` now stands as `name` in `dir`. False if that would make a circle: the Sentry lied. */
  move(n: Node, dir: Node, name: string): boolean {
    for (let d: Node | null = dir; d !== null; d = d.parent) if (d === n) return false;
    const old = n.parent;
    if (old === null) return false;
    dir.children++;
    n.parent = dir;
    n.name = name;
    old.children--;
    this.reap(old);
    return true;
  }

  /** Forgets an identifier. 0, or -EBADF when there is none. */
  clunk(id: number): number {
    const n = this.nodes.get(id);
    if (n === undefined || !n.held) return -EBADF;
    if (n.parent === null) {
      this.nodes.delete(id);
      return 0;
    }
    n.held = false;
    this.reap(n);
    return 0;
  }

  private reap(start: Node): void {
    let n: Node | null = start;
    while (n !== null && n.parent !== null && !n.held && n.children === 0 && this.nodes.get(n.id) === n) {
      this.nodes.delete(n.id);
      this.closeFd(n);
      const parent: Node = n.parent;
      parent.children--;
      n = parent;
    }
  }

  /** fstatat(2) of a name in a directory, not following; into `out`. */
  statChild(dir: Node, name: string, out: Float64Array): number {
    const fd = this.fdOf(dir);
    return fd < 0 ? fd : this.native.fstatat(fd, name, out, AT_SYMLINK_NOFOLLOW);
  }
}
