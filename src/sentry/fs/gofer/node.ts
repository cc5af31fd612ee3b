// The part of a gofer inode that files need: identifier, attributes, and the host descriptors that all descriptions share.

import { EACCES, EMFILE, EROFS, ESTALE } from '../../../abi/errno.ts';
import { O_RDONLY, O_RDWR, O_WRONLY } from '../../../abi/fcntl.ts';
import { type HostStat, newHostStat } from '../../../platform/hostio.ts';
import type { Attr, NodeInfo } from '../../../wire/gofer.ts';
import type { FileSystem } from '../../vfs/filesystem.ts';
import { Inode } from '../../vfs/inode.ts';
import type { Idle } from './idle.ts';
import type { LateFile, Pending } from './behind.ts';
import type { Droppable, GoferSession } from './session.ts';

const scratch = newHostStat();

/** A directory entry as a listing tells it. */
export interface ListedName {
  name: string;
  ino: number;
  /** DT_*. */
  type: number;
}

export abstract class GoferNode extends Inode implements Droppable, Idle, LateFile {
  readonly session: GoferSession;
  /** What the gofer calls it; 0 when it was given back. */
  id: number;
  /** Device of the host, which together with `ino` says which file it is. */
  hostDev: number;
  /** Host descriptors for reading and for writing (often one and the same), or -1. */
  rfd = -1;
  wfd = -1;
  /** Open descriptions. */
  opens = 0;
  /** It exists only here so far (behind.ts). */
  pending: Pending | null = null;
  /** Directories: names of that kind in it. */
  late: Set<Pending> | null = null;
  /** -errno: it could not be made, and is lost. */
  lost = 0;
  /** Idle: in the list of those that keep descriptors without a user. */
  idlePrev: Idle | null = null;
  idleNext: Idle | null = null;
  idle = false;
  /** Cached attributes are no longer those of the host (written, mapped for writing, entries changed). */
  dirty = false;
  /** The file was changed through this inode: a listing from before may tell something else. */
  changed = false;
  /** A guest may store to it without our knowledge: always ask. */
  mappedShared = false;
  /** The epoch in which the attributes were true (shared trees only). */
  checkedAt = 0;

  constructor(fs: FileSystem, session: GoferSession, info: NodeInfo) {
    super(fs, info.attr.ino, info.attr.mode);
    this.session = session;
    this.id = info.id;
    this.hostDev = info.attr.dev;
    this.apply(info.attr);
  }

  override get hostKey(): string {
    return `${this.hostDev}:${this.ino}`;
  }

  /** Takes over attributes that the host told just now. */
  apply(a: Attr | HostStat): void {
    this.mode = a.mode;
    this.nlink = a.nlink;
    this.uid = a.uid;
    this.gid = a.gid;
    this.rdev = a.rdev;
    this.size = a.size;
    this.blksize = a.blksize;
    this.blocks = a.blocks;
    this.atimeSec = a.atimeSec;
    this.atimeNsec = a.atimeNsec;
    this.mtimeSec = a.mtimeSec;
    this.mtimeNsec = a.mtimeNsec;
    this.ctimeSec = a.ctimeSec;
    this.ctimeNsec = a.ctimeNsec;
    this.dirty = false;
    if (!this.session.exclusive) this.checkedAt = this.session.learn();
  }

  /** The host has newer attributes, by our own doing. */
  markDirty(): void {
    this.dirty = true;
    this.changed = true;
  }

  /** Makes sure that the host has the file. 0, or -errno: it is lost. */
  abstract settle(): number;

  /** Directories: makes sure that the host has all files in it. */
  abstract settleNames(): void;

  /** The gofer has answered for a pending file. */
  abstract made(status: number, node: NodeInfo | null): void;

  override refresh(): number {
    if (this.pending !== null) {
      const err = this.settle();
      if (err < 0) return err;
    }
    // Its times are ours until the host has its newest names; to settle them for each stat would make one message of each file.
    if (this.late !== null && this.late.size > 0) return 0;
    if (!this.dirty && !this.mappedShared && this.session.holds(this.checkedAt)) return 0;
    return this.refreshNow();
  }

  /**
   * Asks the host: by a descriptor when there is one and the owner is still believed, else the gofer. Attributes stay as they were when it
   * cannot say.
   */
  refreshNow(): number {
    const fd = this.rfd >= 0 ? this.rfd : this.wfd;
    if (fd < 0 || (this.id !== 0 && !this.session.holds(this.checkedAt))) {
      if (this.id === 0) return this.lost;
      const a = this.session.client.getattr(this.id);
      if (typeof a !== 'number') {
        if (((a.mode ^ this.mode) & 0xf000) === 0) this.apply(a);
        return 0;
      }
      if (a !== -ESTALE) return a;
      this.dirty = false;
      if (fd < 0) return 0;
    }
    const err = this.session.client.host.fstat(fd, scratch);
    if (err < 0) return err;
    // Our own user namespace does not know the owners of files.
    scratch.uid = this.uid;
    scratch.gid = this.gid;
    // The descriptor, not the name: what fstat says of type and number cannot differ.
    this.apply(scratch);
    return 0;
  }

  /** Makes sure that there is a descriptor for reading. 0 or -errno. */
  ensureRead(): number {
    const err = this.settle();
    if (err < 0) return err;
    if (this.rfd >= 0) return 0;
    const fd = this.request(O_RDONLY);
    if (fd < 0) return fd;
    this.opened();
    this.rfd = fd;
    return 0;
  }

  /** Makes sure that there is a descriptor for writing: one for both where the host allows it. 0 or -errno. */
  ensureWrite(): number {
    const err = this.settle();
    if (err < 0) return err;
    if (this.wfd >= 0) return 0;
    if (this.session.readonly) return -EROFS;
    const client = this.session.client;
    let fd = this.request(O_RDWR);
    if (fd >= 0) {
      this.opened();
      if (this.rfd >= 0) client.host.close(this.rfd);
      this.rfd = fd;
      this.wfd = fd;
      return 0;
    }
    if (fd !== -EACCES) return fd;
    fd = this.request(O_WRONLY);
    if (fd < 0) return fd;
    this.opened();
    this.wfd = fd;
    return 0;
  }

  private request(flags: number): number {
    const { client } = this.session;
    const fd = client.open(this.id, flags);
    if (fd !== -EMFILE) return fd;
    this.session.client.idle.dropAll();
    return client.open(this.id, flags);
  }

  /** The answer to an open brought attributes: they are the newest. */
  private opened(): void {
    const a = this.session.client.r.attr;
    if (a !== null && ((a.mode ^ this.mode) & 0xf000) === 0) this.apply(a);
  }

  /** One description more. */
  acquire(): void {
    this.opens++;
    if (this.idle) this.session.client.idle.remove(this);
  }

  /** One description less; descriptors of the last one are kept a while, unless the file is gone. */
  unacquire(): void {
    if (--this.opens > 0) return;
    if (this.pending !== null) {
      const { client } = this.session;
      if (client.behind.enqueue(this.pending)) client.sendLate(1);
      return;
    }
    if (this.nlink === 0 || this.id === 0 || this.session.client.dead) this.closeDescriptors();
    else if (this.rfd >= 0 || this.wfd >= 0) this.session.client.idle.add(this);
  }

  closeDescriptors(): void {
    const host = this.session.client.host;
    if (this.mappedShared) {
      this.mappedShared = false;
      this.markDirty();
    }
    if (this.wfd >= 0 && this.wfd !== this.rfd) host.close(this.wfd);
    if (this.rfd >= 0) host.close(this.rfd);
    this.rfd = -1;
    this.wfd = -1;
  }

  /** Droppable: called by the session when too much is cached. */
  abstract drop(): void;

  /** The entries of a directory but "." and "..", or -errno: -E2BIG when the gofer tells of more than `most`. */
  abstract list(most?: number): readonly ListedName[] | number;
}
