// Open files and directories of tmpfs.

import { EBADF, EINVAL, ENOENT, EOPNOTSUPP, EPERM } from '../../../abi/errno.ts';
import {
  F_SEAL_FUTURE_WRITE,
  F_SEAL_GROW,
  F_SEAL_WRITE,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_ZERO_RANGE,
  O_APPEND,
  O_NOATIME,
} from '../../../abi/fcntl.ts';
import { ST_NOATIME } from '../../../abi/mount.ts';
import { S_IFMT } from '../../../abi/stat.ts';
import { SEEK_CUR, SEEK_SET } from '../../../abi/uio.ts';
import type { Caller } from '../../vfs/caller.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import { type DirSink, File, type MapBacking, QUIET } from '../../vfs/file.ts';
import { ATTR_ATIME, ATTR_CTIME, ATTR_MTIME } from '../../vfs/inode.ts';
import type { Mount } from '../../vfs/mount.ts';
import { RegularFile } from '../../vfs/regular.ts';
import type { TmpEntry, TmpInode } from './tmpfs.ts';

const DT_DIR = 4;

export class TmpFile extends RegularFile {
  readonly node: TmpInode;

  constructor(inode: TmpInode, flags: number, mount: Mount | null, dentry: Dentry | null) {
    super(inode, flags, mount, dentry, QUIET);
    this.node = inode;
  }

  override get direct(): boolean {
    return true;
  }

  override pread(_c: Caller, buf: Uint8Array, off: number, len: number, pos: number): number {
    const i = this.node;
    if (i.atimeStale && (this.flags & O_NOATIME) === 0 && this.mount !== null && (this.mount.flags & ST_NOATIME) === 0) {
      i.atimeStale = false;
      i.touch(ATTR_ATIME);
    }
    return i.readAt(buf, off, len, pos);
  }

  override pwrite(_c: Caller, buf: Uint8Array, off: number, len: number, pos: number): number {
    const i = this.node;
    if (i.seals > 0 && (i.seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) !== 0) return -EPERM;
    if (len === 0) return 0;
    const n = i.writeAt(buf, off, len, (this.flags & O_APPEND) !== 0 || pos < 0 ? i.size : pos);
    if (n > 0) {
      i.touch(ATTR_MTIME | ATTR_CTIME);
      i.atimeStale = true;
    }
    return n;
  }

  override mapping(_c: Caller, offset: number, _len: number, shared: boolean, write: boolean): MapBacking | number {
    const i = this.node;
    if (shared && write && i.seals > 0 && (i.seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) !== 0) return -EPERM;
    const b = i.backing(!shared);
    return typeof b === 'number' ? b : { fd: b.fd, offset: b.offset + offset };
  }

  protected override seekHole(offset: number, hole: boolean): number {
    const i = this.node;
    if (i.memfd < 0 || i.partial) return super.seekHole(offset, hole);
    return i.tmp.host.lseek(i.memfd, offset, hole ? 4 : 3);
  }

  override fsync(_dataOnly: boolean): number {
    return 0;
  }

  override truncate(c: Caller, size: number): number {
    void c;
    const i = this.node;
    const err = i.resize(size);
    if (err === 0) i.touch(ATTR_MTIME | ATTR_CTIME);
    return err;
  }

  override allocate(_c: Caller, mode: number, offset: number, len: number): number {
    if (!this.writable) return -EBADF;
    const i = this.node;
    const known = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
    if ((mode & ~known) !== 0) return -EOPNOTSUPP;
    const end = offset + len;
    if ((mode & FALLOC_FL_PUNCH_HOLE) !== 0) {
      if (mode !== (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)) return -EOPNOTSUPP;
      if (i.seals > 0 && (i.seals & F_SEAL_WRITE) !== 0) return -EPERM;
      return offset < i.size ? i.zero(offset, Math.min(end, i.size)) : 0;
    }
    if ((mode & FALLOC_FL_ZERO_RANGE) !== 0) return -EOPNOTSUPP;
    if (end > i.size && i.seals > 0 && (i.seals & F_SEAL_GROW) !== 0) return -EPERM;
    const err = i.preallocate(offset, end);
    if (err < 0) return err;
    if (end > i.size && (mode & FALLOC_FL_KEEP_SIZE) === 0) {
      const e = i.resize(end);
      if (e < 0) return e;
      i.touch(ATTR_MTIME | ATTR_CTIME);
    }
    return 0;
  }

  override anonName(): string {
    return this.node.label;
  }
}

/** An open directory: goes through the entries in the order they were made. */
export class TmpDirFile extends File {
  readonly node: TmpInode;
  #iterator: IterableIterator<[string, TmpEntry]> | null = null;
  /** The entry that the last reader had no room for, and the position that #iterator stands for. */
  #pending: [string, TmpEntry] | null = null;
  #at = -1;

  constructor(inode: TmpInode, flags: number, mount: Mount, dentry: Dentry) {
    super(inode, flags, mount, dentry, QUIET);
    this.node = inode;
  }

  override seek(_c: Caller, offset: number, whence: number): number {
    const to = whence === SEEK_SET ? offset : whence === SEEK_CUR ? this.pos + offset : -1;
    if (to < 0) return -EINVAL;
    this.pos = to;
    return to;
  }

  override fsync(_dataOnly: boolean): number {
    return 0;
  }

  override readdir(_c: Caller, sink: DirSink): number {
    const i = this.node;
    if (this.pos === 0) {
      if (!sink.add('.', i.ino, DT_DIR, 1)) return 0;
      this.pos = 1;
    }
    if (this.pos === 1) {
      const up = this.dentry === null ? null : this.dentry.parent.inode;
      if (!sink.add('..', up === null ? i.ino : up.ino, DT_DIR, 2)) return 0;
      this.pos = 2;
    }
    if (i.entries === null) return -ENOENT;
    if (this.#iterator === null || this.#at !== this.pos) {
      this.#iterator = i.entries.entries();
      this.#pending = null;
    }
    for (;;) {
      let e = this.#pending;
      this.#pending = null;
      if (e === null) {
        const r: IteratorResult<[string, TmpEntry]> = this.#iterator.next();
        if (r.done === true) {
          this.#iterator = null;
          break;
        }
        e = r.value;
      }
      const [name, entry] = e;
      // An entry that was removed meanwhile, or shown before.
      if (entry.position < this.pos || i.entries.get(name) !== entry) continue;
      if (!sink.add(name, entry.inode.ino, (entry.inode.mode & S_IFMT) >> 12, entry.position + 1)) {
        this.#pending = e;
        break;
      }
      this.pos = entry.position + 1;
    }
    this.#at = this.pos;
    return 0;
  }
}
