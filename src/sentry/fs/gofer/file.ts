// Open files and directories of the gofer file system: data goes straight to the donated host descriptor.

import { EBADF, EFBIG, EINVAL, EISDIR, ENOENT, ENXIO } from '../../../abi/errno.ts';
import { FALLOC_FL_KEEP_SIZE, O_APPEND } from '../../../abi/fcntl.ts';
import { SEEK_CUR, SEEK_DATA, SEEK_END, SEEK_HOLE, SEEK_SET } from '../../../abi/uio.ts';
import type { Caller } from '../../vfs/caller.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import { type DirSink, File, type MapBacking, QUIET } from '../../vfs/file.ts';
import { ATTR_MTIME, ATTR_SIZE, SetAttr } from '../../vfs/inode.ts';
import type { Mount } from '../../vfs/mount.ts';
import { stripPrivileges } from '../../vfs/permission.ts';
import { MAX_DATA, type Pending } from './behind.ts';
import type { GoferNode, ListedName } from './node.ts';

const DT_DIR = 4;

const attr = new SetAttr();

export class GoferFile extends File {
  private readonly node: GoferNode;

  constructor(node: GoferNode, flags: number, mount: Mount, dentry: Dentry) {
    super(node, flags, mount, dentry, QUIET);
    this.node = node;
    node.acquire();
  }

  override get direct(): boolean {
    return true;
  }

  protected override release(): void {
    super.release();
    this.node.unacquire();
  }

  override pread(_c: Caller, buf: Uint8Array, off: number, len: number, pos: number): number {
    const node = this.node;
    if (node.rfd < 0) {
      if (node.pending !== null) return readLate(node, node.pending, buf, off, len, pos);
      const err = node.ensureRead();
      if (err < 0) return err;
    }
    return node.session.client.host.pread(node.rfd, buf, off, len, pos);
  }

  /** `pos` -1 means the end. */
  override pwrite(c: Caller, buf: Uint8Array, off: number, len: number, pos: number): number {
    const node = this.node;
    if (node.wfd < 0) {
      const p = node.pending;
      if (p !== null) {
        if (pos < 0 || (this.flags & O_APPEND) !== 0) pos = node.size;
        if (!p.sent && pos + len <= MAX_DATA) return writeLate(c, node, p, buf, off, len, pos);
      }
      const err = node.ensureWrite();
      if (err < 0) return err;
    }
    if (pos < 0 || (this.flags & O_APPEND) !== 0) pos = this.end();
    stripPrivileges(c, node);
    const n = node.session.client.host.pwrite(node.wfd, buf, off, len, pos);
    if (n > 0) {
      node.markDirty();
      if (pos + n > node.size) node.size = pos + n;
    }
    return n;
  }

  override write(c: Caller, buf: Uint8Array, off: number, len: number): number {
    const n = this.pwrite(c, buf, off, len, this.pos);
    // After an append the size is where it ended.
    if (n > 0) this.pos = (this.flags & O_APPEND) !== 0 ? this.node.size : this.pos + n;
    return n;
  }

  /** The size now; others may append to shared trees. */
  private end(): number {
    const node = this.node;
    if (node.pending !== null) return node.size;
    if (!node.session.exclusive || node.mappedShared) node.refreshNow();
    return node.size;
  }

  override seek(_c: Caller, offset: number, whence: number): number {
    const node = this.node;
    let pos: number;
    switch (whence) {
      case SEEK_SET:
        pos = offset;
        break;
      case SEEK_CUR:
        pos = this.pos + offset;
        break;
      case SEEK_END:
        pos = this.end() + offset;
        break;
      case SEEK_DATA:
      case SEEK_HOLE: {
        if (offset < 0) return -ENXIO;
        if (this.node.pending !== null) this.node.ensureRead();
        const fd = node.rfd >= 0 ? node.rfd : node.wfd;
        if (fd < 0) return -ENXIO;
        pos = node.session.client.host.lseek(fd, offset, whence);
        if (pos < 0) return pos;
        break;
      }
      default:
        return -EINVAL;
    }
    if (pos < 0 || pos > Number.MAX_SAFE_INTEGER) return -EINVAL;
    this.pos = pos;
    return pos;
  }

  override mapping(_c: Caller, offset: number, _len: number, shared: boolean, write: boolean): MapBacking | number {
    const node = this.node;
    const err = shared && write ? node.ensureWrite() : node.rfd >= 0 ? 0 : node.ensureRead();
    if (err < 0) return err;
    if (shared && write) {
      if (node.wfd !== node.rfd) return -EBADF;
      node.mappedShared = true;
      return { fd: node.wfd, offset };
    }
    return { fd: node.rfd, offset };
  }

  override fsync(dataOnly: boolean): number {
    const node = this.node;
    if (node.pending !== null || node.lost < 0) {
      const err = node.ensureRead();
      if (err < 0) return err;
    }
    const fd = node.wfd >= 0 ? node.wfd : node.rfd;
    return fd < 0 ? 0 : node.session.client.host.fsync(fd, dataOnly);
  }

  override allocate(c: Caller, mode: number, offset: number, len: number): number {
    if (!this.writable) return -EBADF;
    if (offset < 0 || len <= 0) return -EINVAL;
    if (offset + len > Number.MAX_SAFE_INTEGER) return -EFBIG;
    const node = this.node;
    let err = node.ensureWrite();
    if (err < 0) return err;
    stripPrivileges(c, node);
    err = node.session.client.host.fallocate(node.wfd, mode, offset, len);
    if (err < 0) return err;
    if ((mode & FALLOC_FL_KEEP_SIZE) === 0) node.refreshNow();
    else node.markDirty();
    return 0;
  }

  override truncate(c: Caller, size: number): number {
    const node = this.node;
    if (!this.writable) return -EINVAL;
    const err = node.pending !== null ? 0 : node.ensureWrite();
    if (err < 0) return err;
    stripPrivileges(c, node);
    attr.mask = ATTR_SIZE | ATTR_MTIME;
    attr.size = size;
    return node.setattr(c, attr);
  }
}

/** Reads a file that exists only here. */
function readLate(node: GoferNode, p: Pending, buf: Uint8Array, off: number, len: number, pos: number): number {
  const n = Math.min(len, node.size - pos);
  if (n <= 0) return 0;
  buf.set(p.data.subarray(pos, pos + n), off);
  return n;
}

function writeLate(c: Caller, node: GoferNode, p: Pending, buf: Uint8Array, off: number, len: number, pos: number): number {
  if (len === 0) return 0;
  stripPrivileges(c, node);
  p.reserve(pos + len);
  p.data.set(buf.subarray(off, off + len), pos);
  if (pos + len > node.size) node.size = pos + len;
  p.touch();
  return len;
}

/** A directory listing: taken when reading starts, so that positions stay true while names come and go. */
export class GoferDirectory extends File {
  private readonly node: GoferNode;
  private entries: readonly ListedName[] | null = null;

  constructor(node: GoferNode, flags: number, mount: Mount, dentry: Dentry) {
    super(node, flags, mount, dentry, QUIET);
    this.node = node;
  }

  override readdir(_c: Caller, sink: DirSink): number {
    if (this.node.nlink === 0) return -ENOENT;
    if (this.pos === 0 || this.entries === null) {
      const list = this.node.list();
      if (typeof list === 'number') return list;
      this.entries = list;
    }
    const list = this.entries;
    if (this.pos === 0) {
      if (!sink.add('.', this.node.ino, DT_DIR, 1)) return 0;
      this.pos = 1;
    }
    if (this.pos === 1) {
      const d = this.dentry;
      const up = d === null ? null : d.parent.inode;
      if (!sink.add('..', up === null ? this.node.ino : up.ino, DT_DIR, 2)) return 0;
      this.pos = 2;
    }
    while (this.pos - 2 < list.length) {
      const e = list[this.pos - 2]!;
      if (!sink.add(e.name, e.ino, e.type, this.pos + 1)) return 0;
      this.pos++;
    }
    return 0;
  }

  override seek(_c: Caller, offset: number, whence: number): number {
    const pos = whence === SEEK_SET ? offset : whence === SEEK_CUR ? this.pos + offset : -1;
    if (pos < 0) return -EINVAL;
    if (pos === 0) this.entries = null;
    this.pos = pos;
    return pos;
  }

  override pread(): number {
    return -EISDIR;
  }

  /** The host keeps names safe in its own time; there is no descriptor of a directory to sync. */
  override fsync(): number {
    return 0;
  }
}
