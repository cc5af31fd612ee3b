// What all inodes of one gofer file system share: the client, the mode, and the bounds of its caches.

import type { Inode } from '../../vfs/inode.ts';
import type { GoferClient } from './client.ts';

/** Most directory entries with attributes kept for names that were listed but not yet looked up. */
const MAX_LISTED = 100000;

/** Most inode numbers kept of files that were changed and then forgotten. */
const MAX_CHANGED = 50000;

/** Room that a file system must have for files to be made late. */
const ROOM_BYTES = 64 * 2 ** 20;
const ROOM_FILES = 4096;

/** Something whose cached state can be dropped without loss. */
export interface Droppable {
  drop(): void;
}

export class GoferSession {
  readonly client: GoferClient;
  /** True: nobody else changes the tree, what was learnt stays true. False: it is believed for an epoch (belief.ts). */
  readonly exclusive: boolean;
  /** Small new files may be made late (behind.ts). */
  late = false;
  private roomAt = 0;
  private room = false;
  /** The attach point refuses changes. */
  readonly readonly: boolean;
  /** Files with several names, by host device and inode number, so that all names lead to one inode. */
  private readonly linked = new Map<number, Map<number, Inode>>();
  /** Directories with unclaimed entries, the oldest listing first, and how many entries they have in all. */
  private readonly listed = new Map<Droppable, number>();
  private listedCount = 0;
  /** Inode numbers of files that were changed through inodes that are gone. */
  private readonly changed = new Set<number>();
  private anyChanged = false;

  constructor(client: GoferClient, exclusive: boolean, readonly: boolean) {
    this.client = client;
    this.exclusive = exclusive;
    this.readonly = readonly;
  }

  /** True if the tree of `root` has plenty of room, asked once an epoch: a file made late will not fail for want of it. */
  roomy(root: number): boolean {
    const now = this.learn();
    if (this.roomAt === now) return this.room;
    this.roomAt = now;
    const w = this.client.statfs(root);
    this.room = typeof w !== 'number' && w[4]! * w[1]! >= ROOM_BYTES && (w[5] === 0 || w[6]! >= ROOM_FILES);
    return this.room;
  }

  /** The epoch that something is learnt in now. */
  learn(): number {
    this.client.belief.begin();
    return this.client.belief.epoch;
  }

  /** True if what was learnt in `epoch` holds. */
  holds(epoch: number): boolean {
    return this.exclusive || epoch === this.client.belief.epoch;
  }

  /** The inode of a file with several names, or null when none is known. */
  findLinked(dev: number, ino: number): Inode | null {
    return this.linked.get(dev)?.get(ino) ?? null;
  }

  addLinked(dev: number, ino: number, inode: Inode): void {
    // Numbers beyond 2^53 lose bits on their way: two files could look like one.
    if (ino > Number.MAX_SAFE_INTEGER) return;
    let m = this.linked.get(dev);
    if (m === undefined) {
      m = new Map();
      this.linked.set(dev, m);
    }
    m.set(ino, inode);
  }

  removeLinked(dev: number, ino: number, inode: Inode): void {
    const m = this.linked.get(dev);
    if (m !== undefined && m.get(ino) === inode) m.delete(ino);
  }

  /** A file that was changed is let go of. */
  noteChanged(ino: number): void {
    if (this.changed.size >= MAX_CHANGED) {
      this.changed.clear();
      this.anyChanged = true;
    }
    this.changed.add(ino);
  }

  /** True if a file of that inode number may have been changed since it was listed. */
  wasChanged(ino: number): boolean {
    return this.anyChanged || this.changed.has(ino);
  }

  addListed(d: Droppable, count: number): void {
    this.removeListed(d);
    this.listed.set(d, count);
    this.listedCount += count;
    while (this.listedCount > MAX_LISTED && this.listed.size > 1) {
      const first = this.listed.keys().next().value!;
      this.removeListed(first);
      first.drop();
    }
  }

  removeListed(d: Droppable): void {
    const n = this.listed.get(d);
    if (n === undefined) return;
    this.listed.delete(d);
    this.listedCount -= n;
  }
}
