// Inodes of the gofer file system: names are asked once and remembered, changes are made by the gofer and noted here.

import { CAP_FSETID } from '../../../abi/capability.ts';
import { EEXIST, EINVAL, EIO, EMFILE, ENOENT, ENOTDIR, EROFS, EXDEV } from '../../../abi/errno.ts';
import { AT_REMOVEDIR, O_ACCMODE, O_RDONLY, O_RDWR } from '../../../abi/fcntl.ts';
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, S_ISGID, S_IXGRP } from '../../../abi/stat.ts';
import { RENAME_EXCHANGE } from '../../../abi/uio.ts';
import {
  type NodeInfo,
  OP_CREATE,
  OP_LINK,
  OP_MKDIR,
  OP_MKNOD,
  OP_RENAME,
  OP_SETATTR,
  OP_SYMLINK,
  OP_UNLINK,
} from '../../../wire/gofer.ts';
import type { Caller } from '../../vfs/caller.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import type { File } from '../../vfs/file.ts';
import type { FileSystem } from '../../vfs/filesystem.ts';
import { ATTR_ATIME, ATTR_CTIME, ATTR_GID, ATTR_MODE, ATTR_MTIME, ATTR_SIZE, ATTR_UID, type Inode, type SetAttr } from '../../vfs/inode.ts';
import type { Mount } from '../../vfs/mount.ts';
import { Pending } from './behind.ts';
import { GoferDirectory, GoferFile } from './file.ts';
import { GoferLate, unseen } from './late.ts';
import type { ListedName } from './node.ts';
import type { GoferSession } from './session.ts';

/** Most names that a directory of a shared tree remembers. */
const MAX_RECENT = 8192;
/** A directory is listed after this many questions for single names, and one more for each LISTED_SIZE bytes of its own size. */
const LIST_AFTER = 8;
const LISTED_SIZE = 1024;
/** A listing of more names than this for each question costs more than it saves. */
const LISTED_NAMES = 64;
/** What a directory knows of a name. Of type 0 in shared trees: it is absent. */
interface Entry extends ListedName {
  /** Listed and not yet looked up: the identifier is ours to use or give back. */
  info: NodeInfo | null;
  /** Shared trees: the inode that was found, and the epoch. */
  inode: GoferInode | null;
  at: number;
}

/** An entry with the inode number that the file has by now. */
function current(e: Entry): Entry {
  if (e.inode !== null) e.ino = e.inode.ino;
  return e;
}

export class GoferInode extends GoferLate {
  /** Symbolic links: where it leads. */
  private target: string;
  /** Directories. Exclusive trees: all its names, once it was listed. Shared: names that were asked lately. */
  private entries: Map<string, Entry> | null = null;
  /** All names as list() told them, good until one comes or goes; in shared trees for a while at most. */
  private listing: readonly ListedName[] | null = null;
  private listedAt = 0;
  /** Shared trees: the epoch in which `entries` holds all names. */
  private completeAt = 0;
  /** Shared trees: the epoch that `asked` counts in. */
  private askedAt = 0;
  /** Names that the gofer was asked for, one message each. */
  private asked = 0;
  private listAfter = LIST_AFTER;

  constructor(fs: FileSystem, session: GoferSession, info: NodeInfo) {
    super(fs, session, info);
    this.target = info.target;
    if (info.attr.nlink > 1 && (info.attr.mode & S_IFMT) !== S_IFDIR) session.addLinked(info.attr.dev, info.attr.ino, this);
  }

  // Names.

  override lookup(_c: Caller, name: string): Inode | number {
    if ((this.mode & S_IFMT) !== S_IFDIR) return -ENOTDIR;
    const e = this.entries === null ? undefined : this.entries.get(name);
    if (this.session.exclusive) {
      if (e !== undefined && e.info !== null) return this.claim(e);
      if (this.entries === null && this.worthListing()) return this.lookup(_c, name);
      if (e === undefined && this.entries !== null) return -ENOENT;
      const info = this.session.client.walk(this.id, name);
      return typeof info === 'number' ? info : this.instantiate(info);
    }
    const now = this.session.learn();
    if (e !== undefined && e.inode !== null && e.inode.pending !== null && !e.inode.evicted) return e.inode;
    if (e !== undefined && e.at === now) {
      if (e.type === 0) return -ENOENT;
      if (e.info !== null) return this.claim(e);
      if (e.inode !== null && !e.inode.evicted) return e.inode;
    } else if (this.completeAt === now) {
      return -ENOENT;
    }
    if (this.askedAt !== now) {
      this.askedAt = now;
      this.asked = 0;
    }
    if (this.completeAt !== now && this.worthListing()) return this.lookup(_c, name);
    const info = this.session.client.walk(this.id, name);
    if (typeof info === 'number') {
      if (info === -ENOENT) this.remember(name, null, now);
      return info;
    }
    const old = e === undefined ? null : e.inode;
    if (old !== null && !old.evicted && old.isSame(info)) {
      old.adopt(info);
      e!.at = now;
      return old;
    }
    const inode = this.instantiate(info);
    this.remember(name, inode, now);
    return inode;
  }

  /**
   * Asked for one name after the other, a directory is listed as a whole: then all names are known, and which are absent too. True when
   * it was.
   */
  private worthListing(): boolean {
    this.asked++;
    if (this.asked < this.listAfter || this.size > this.asked * LISTED_SIZE) return false;
    if (typeof this.list(this.asked * LISTED_NAMES) !== 'number') return true;
    this.listAfter = this.asked * 4;
    return false;
  }

  private isSame(info: NodeInfo): boolean {
    const a = info.attr;
    return a.ino === this.ino && a.dev === this.hostDev && ((a.mode ^ this.mode) & S_IFMT) === 0 && info.target === this.target;
  }

  /** The same file under a newer identifier: that one's name is surely right. */
  private adopt(info: NodeInfo): void {
    this.session.client.clunk(this.id);
    this.id = info.id;
    this.apply(info.attr);
  }

  /** An inode for what the gofer found; names of one file share theirs. */
  private instantiate(info: NodeInfo): GoferInode {
    if (info.attr.nlink > 1 && (info.attr.mode & S_IFMT) !== S_IFDIR) {
      const known = this.session.findLinked(info.attr.dev, info.attr.ino);
      if (known instanceof GoferInode && !known.evicted && known.isSame(info)) {
        known.adopt(info);
        return known;
      }
    }
    return new GoferInode(this.fs, this.session, info);
  }

  /** Turns what a listing told into an inode. */
  private claim(e: Entry): GoferInode {
    const inode = this.instantiate(e.info!);
    // The listing may be older than what another inode of the file did to it before it was let go.
    if (this.session.wasChanged(inode.ino)) inode.markDirty();
    e.info = null;
    if (!this.session.exclusive) e.inode = inode;
    return inode;
  }

  /** Shared trees: notes what a name led to (null: nowhere). */
  private remember(name: string, inode: GoferInode | null, now: number): void {
    if (this.entries === null) this.entries = new Map();
    else if (this.entries.size >= MAX_RECENT && this.completeAt !== now) this.forget();
    if (this.entries === null) this.entries = new Map();
    const old = this.entries.get(name);
    if (old !== undefined && old.info !== null) this.session.client.clunk(old.info.id);
    this.entries.set(name, {
      name,
      ino: inode === null ? 0 : inode.ino,
      type: inode === null ? 0 : inode.mode >> 12,
      info: null,
      inode,
      at: now,
    });
  }

  /** A name now leads to `inode`, or (null) nowhere: by our own doing. */
  private note(name: string, inode: GoferInode | null): void {
    this.listing = null;
    this.markDirty();
    if (!this.session.exclusive) {
      this.remember(name, inode, this.session.learn());
    } else if (this.entries !== null) {
      const old = this.entries.get(name);
      if (old !== undefined && old.info !== null) this.session.client.clunk(old.info.id);
      if (inode === null) this.entries.delete(name);
      else this.entries.set(name, { name, ino: inode.ino, type: inode.mode >> 12, info: null, inode: null, at: 0 });
    }
  }

  /** Drops what is known of names. */
  private forget(): void {
    this.settleNames();
    this.listing = null;
    if (this.entries === null) return;
    for (const e of this.entries.values()) if (e.info !== null) this.session.client.clunk(e.info.id);
    this.entries = null;
    this.completeAt = 0;
    this.session.removeListed(this);
  }

  override drop(): void {
    this.forget();
  }

  override list(most = Infinity): readonly ListedName[] | number {
    const exclusive = this.session.exclusive;
    this.settleNames();
    if (this.listing !== null && this.session.holds(this.listedAt)) return this.listing;
    const now = exclusive ? 0 : this.session.learn();
    if (this.entries !== null && (exclusive || this.completeAt === now)) {
      this.listing = exclusive ? [...this.entries.values()] : [...this.entries.values()].filter((e) => e.type !== 0).map(current);
      this.listedAt = now;
      return this.listing;
    }
    const all = this.session.client.readdir(this.id, most);
    if (typeof all === 'number') return all;
    const old = this.entries;
    const entries = new Map<string, Entry>();
    const listing: Entry[] = [];
    for (const info of all) {
      const e: Entry = { name: info.name, ino: info.attr.ino, type: (info.attr.mode & S_IFMT) >> 12, info, inode: null, at: now };
      const known = old === null ? undefined : old.get(info.name);
      if (known !== undefined && known.inode !== null && !known.inode.evicted && known.inode.isSame(info)) {
        known.inode.adopt(info);
        e.inode = known.inode;
        e.info = null;
      }
      entries.set(info.name, e);
      listing.push(e);
    }
    this.forget();
    this.entries = entries;
    this.listing = listing;
    this.listedAt = now;
    this.completeAt = now;
    this.session.addListed(this, all.length);
    return listing;
  }

  // Changes of names.

  /** Fills the request's mode and owner for a new file, as Linux's inode_init_owner. */
  private owner(c: Caller, mode: number): void {
    const q = this.session.client.q;
    const cr = c.creds;
    q.uid = cr.fsuid;
    q.gid = cr.fsgid;
    q.mode = mode;
    if ((this.mode & S_ISGID) === 0) return;
    q.gid = this.gid;
    if ((mode & S_IFMT) === S_IFDIR) q.mode |= S_ISGID;
    else if ((mode & (S_ISGID | S_IXGRP)) === (S_ISGID | S_IXGRP) && !cr.inGroup(this.gid) && !cr.has(CAP_FSETID)) q.mode &= ~S_ISGID;
  }

  private make(op: number, name: string): GoferInode | number {
    const client = this.session.client;
    client.q.id = this.id;
    client.q.name = name;
    const err = client.call(op);
    if (err === -EMFILE) {
      // It was made, but its descriptor was lost: open() asks for another.
      this.session.client.idle.dropAll();
      const info = client.walk(this.id, name);
      if (typeof info === 'number') return err;
      const inode = new GoferInode(this.fs, this.session, info);
      this.note(name, inode);
      return inode;
    }
    if (err < 0) {
      // Somebody else made it: what we believed of the name is wrong.
      if (err === -EEXIST) {
        this.forget();
        client.belief.doubt();
      }
      return err;
    }
    const fd = client.donated;
    const inode = new GoferInode(this.fs, this.session, client.r.node!);
    inode.rfd = fd;
    inode.wfd = fd;
    if (fd >= 0) client.idle.add(inode);
    this.note(name, inode);
    return inode;
  }

  override create(c: Caller, name: string, mode: number, rdev: number): Inode | number {
    if (this.session.readonly) return -EROFS;
    const q = this.session.client.q;
    this.owner(c, mode);
    if ((mode & S_IFMT) === S_IFREG) {
      if (this.session.late && this.session.client.behind.room && this.session.roomy(this.id))
        return this.createLate(name, q.mode, q.uid, q.gid);
      q.flags = O_RDWR;
      return this.make(OP_CREATE, name);
    }
    q.major = (rdev >>> 8) & 0xfff;
    q.minor = (rdev & 0xff) | ((rdev >>> 12) & 0xfff00);
    return this.make(OP_MKNOD, name);
  }

  /** A file that the gofer makes later. Host numbers and times of it are not known before it is settled. */
  private createLate(name: string, mode: number, uid: number, gid: number): GoferInode {
    const inode = new GoferInode(this.fs, this.session, unseen(this.hostDev, mode, uid, gid));
    inode.pending = new Pending(inode, this, name);
    this.session.client.behind.begin(inode.pending);
    this.note(name, inode);
    this.touch(ATTR_MTIME | ATTR_CTIME);
    return inode;
  }

  override mkdir(c: Caller, name: string, mode: number): Inode | number {
    if (this.session.readonly) return -EROFS;
    this.owner(c, S_IFDIR | mode);
    const r = this.make(OP_MKDIR, name);
    if (typeof r !== 'number') {
      this.nlink++;
      // Nobody else fills it: it is known to be empty.
      r.entries = new Map();
      if (!this.session.exclusive) r.completeAt = this.session.learn();
    }
    return r;
  }

  override symlink(c: Caller, name: string, target: string): Inode | number {
    if (this.session.readonly) return -EROFS;
    this.owner(c, S_IFLNK | 0o777);
    this.session.client.q.text = target;
    return this.make(OP_SYMLINK, name);
  }

  override link(_c: Caller, name: string, target: Inode): number {
    if (this.session.readonly) return -EROFS;
    if (!(target instanceof GoferInode) || target.session !== this.session) return -EXDEV;
    const late = target.settle();
    if (late < 0) return late;
    const client = this.session.client;
    client.q.id = target.id;
    client.q.newDir = this.id;
    client.q.newName = name;
    const err = client.call(OP_LINK);
    if (err < 0) return err;
    target.apply(client.r.attr!);
    this.session.addLinked(target.hostDev, target.ino, target);
    this.note(name, target);
    return 0;
  }

  private remove(name: string, target: Inode, flags: number): number {
    if (this.session.readonly) return -EROFS;
    if (!(target instanceof GoferInode)) return -EXDEV;
    const client = this.session.client;
    const p = target.pending;
    if (p !== null && !p.sent && target.opens === 0) {
      client.behind.forget(p);
      target.pending = null;
      this.note(name, null);
      target.lostName();
      return 0;
    }
    if (this.session.late && flags === 0 && !target.survives) {
      if (client.behind.remove(this, name)) client.sendLate(1);
      this.note(name, null);
      target.lostName();
      return client.dead ? -EIO : 0;
    }
    target.settle();
    target.settleNames();
    client.q.id = this.id;
    client.q.name = name;
    client.q.flags = flags;
    client.q.child = target.survives ? target.id : 0;
    const err = client.call(OP_UNLINK);
    if (err < 0) {
      if (err === -ENOENT) this.note(name, null);
      return err;
    }
    this.note(name, null);
    target.lostName();
    return 0;
  }

  /** Will be asked for things after this name is gone. */
  private get survives(): boolean {
    return this.opens > 0 || (this.nlink > 1 && (this.mode & S_IFMT) !== S_IFDIR);
  }

  private lostName(): void {
    if ((this.mode & S_IFMT) === S_IFDIR) {
      this.nlink = 0;
      this.forget();
      if (this.session.exclusive) this.entries = new Map();
      return;
    }
    if (this.nlink > 0) this.nlink--;
    this.dirty = this.nlink > 0 || this.opens > 0;
    if (this.nlink === 0 && this.opens === 0) {
      this.session.client.idle.remove(this);
      this.closeDescriptors();
    }
  }

  override unlink(_c: Caller, name: string, target: Inode): number {
    return this.remove(name, target, 0);
  }

  override rmdir(_c: Caller, name: string, target: Inode): number {
    const err = this.remove(name, target, AT_REMOVEDIR);
    if (err === 0 && this.nlink > 2) this.nlink--;
    return err;
  }

  override rename(_c: Caller, name: string, inode: Inode, newDir: Inode, newName: string, target: Inode | null, flags: number): number {
    if (this.session.readonly) return -EROFS;
    if (!(inode instanceof GoferInode) || !(newDir instanceof GoferInode) || newDir.session !== this.session) return -EXDEV;
    if (target !== null && !(target instanceof GoferInode)) return -EXDEV;
    const exchange = (flags & RENAME_EXCHANGE) !== 0;
    const late = inode.settle();
    if (late < 0) return late;
    if (target !== null) {
      target.settle();
      target.settleNames();
    }
    const client = this.session.client;
    const q = client.q;
    q.id = this.id;
    q.name = name;
    q.newDir = newDir.id;
    q.newName = newName;
    q.flags = flags;
    q.child = inode.id;
    q.newChild = target === null || (!exchange && !target.survives) ? 0 : target.id;
    const err = client.call(OP_RENAME);
    if (err < 0) return err;
    newDir.note(newName, inode);
    this.note(name, exchange ? target : null);
    inode.markDirty();
    if (exchange) target!.markDirty();
    else if (target !== null) target.lostName();
    return 0;
  }

  // The file itself.

  override readlink(_c: Caller): string | number {
    return (this.mode & S_IFMT) === S_IFLNK ? this.target : -EINVAL;
  }

  override open(_c: Caller, flags: number, mount: Mount, dentry: Dentry): File | number {
    if ((this.mode & S_IFMT) === S_IFDIR) return new GoferDirectory(this, flags, mount, dentry);
    if (this.pending !== null) return new GoferFile(this, flags, mount, dentry);
    const acc = flags & O_ACCMODE;
    const err = acc === O_RDONLY ? this.ensureRead() : this.ensureWrite();
    if (err < 0) return err;
    if (!this.session.holds(this.checkedAt)) this.refreshNow();
    return new GoferFile(this, flags, mount, dentry);
  }

  override setattr(_c: Caller, a: SetAttr): number {
    if (this.session.readonly) return -EROFS;
    if (this.setLate(a)) return 0;
    const late = this.settle();
    if (late < 0) return late;
    const client = this.session.client;
    const q = client.q;
    // SET_* of the protocol and ATTR_* of the kernel are the same bits but for ctime, which is the host's to keep.
    let mask = a.mask & (ATTR_MODE | ATTR_UID | ATTR_GID | ATTR_SIZE | ATTR_ATIME | ATTR_MTIME);
    if ((mask & ATTR_SIZE) !== 0 && this.wfd >= 0) {
      const err = client.host.ftruncate(this.wfd, a.size);
      if (err < 0) return err;
      // The host sets the times when the size changes; the same size needs them set.
      mask &= a.size !== this.size ? ~(ATTR_SIZE | ATTR_MTIME) : ~ATTR_SIZE;
      this.size = a.size;
      this.markDirty();
      if (mask === 0) return 0;
    }
    q.id = this.id;
    q.mask = mask;
    q.mode = a.mode & 0o7777;
    q.uid = a.uid;
    q.gid = a.gid;
    q.size = a.size;
    q.atimeSec = a.atimeSec;
    q.atimeNsec = a.atimeNsec;
    q.mtimeSec = a.mtimeSec;
    q.mtimeNsec = a.mtimeNsec;
    const err = client.call(OP_SETATTR);
    if (err < 0) return err;
    this.apply(client.r.attr!);
    this.changed = true;
    return 0;
  }

  override evict(): void {
    if (this.evicted) return;
    this.evicted = true;
    if (this.changed && this.nlink > 0) this.session.noteChanged(this.ino);
    this.session.client.idle.remove(this);
    this.session.removeLinked(this.hostDev, this.ino, this);
    this.forget();
    this.closeDescriptors();
    this.session.client.clunk(this.id);
    this.id = 0;
  }
}
