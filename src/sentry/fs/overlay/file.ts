// Open files and directories of the overlay: a description of the real file stands behind each.

import { EINVAL } from '../../../abi/errno.ts';
import { O_ACCMODE, O_APPEND } from '../../../abi/fcntl.ts';
import { SEEK_CUR, SEEK_SET } from '../../../abi/uio.ts';
import type { Caller } from '../../vfs/caller.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import { type DirSink, File, type MapBacking, QUIET } from '../../vfs/file.ts';
import type { Mount } from '../../vfs/mount.ts';
import { RegularFile } from '../../vfs/regular.ts';
import type { OverlayInode } from './inode.ts';

const DT_DIR = 4;

export class OverlayFile extends RegularFile {
  readonly node: OverlayInode;
  private real: File;

  constructor(inode: OverlayInode, real: File, flags: number, mount: Mount, dentry: Dentry) {
    super(inode, flags, mount, dentry, QUIET);
    this.node = inode;
    this.real = real;
  }

  override get direct(): boolean {
    return true;
  }

  /** The real description; a new one when the file was copied up since. */
  private current(c: Caller): File {
    if (this.real.inode === this.node.real) return this.real;
    const f = this.node.openReal(c, this.flags & O_ACCMODE);
    if (typeof f !== 'number') {
      this.real.unref();
      this.real = f;
    }
    return this.real;
  }

  protected override release(): void {
    this.real.unref();
  }

  override pread(c: Caller, buf: Uint8Array, off: number, len: number, pos: number): number {
    return this.current(c).pread(c, buf, off, len, pos);
  }

  override pwrite(c: Caller, buf: Uint8Array, off: number, len: number, pos: number): number {
    const n = this.node;
    const r = this.current(c).pwrite(c, buf, off, len, (this.flags & O_APPEND) !== 0 || pos < 0 ? n.size : pos);
    n.size = n.real.size;
    return r;
  }

  override seek(c: Caller, offset: number, whence: number): number {
    if (whence <= 2) return super.seek(c, offset, whence);
    const r = this.current(c).seek(c, offset, whence);
    if (r >= 0) this.pos = r;
    return r;
  }

  override mapping(c: Caller, offset: number, len: number, shared: boolean, write: boolean): MapBacking | number {
    return this.current(c).mapping(c, offset, len, shared, write);
  }

  override fsync(_dataOnly: boolean): number {
    return 0;
  }

  override allocate(c: Caller, mode: number, offset: number, len: number): number {
    const r = this.current(c).allocate(c, mode, offset, len);
    this.node.sync();
    return r;
  }

  override truncate(c: Caller, size: number): number {
    const r = this.current(c).truncate(c, size);
    this.node.sync();
    return r;
  }

  override ioctl(c: Caller, cmd: number, arg: number): number {
    return this.current(c).ioctl(c, cmd, arg);
  }
}

export interface Listed {
  name: string;
  ino: number;
  /** DT_*. */
  type: number;
}

/** An open directory: a list made at the first read and after each rewind; positions are places in it. */
export class OverlayDirFile extends File {
  readonly node: OverlayInode;
  #list: Listed[] | null = null;

  constructor(inode: OverlayInode, flags: number, mount: Mount, dentry: Dentry) {
    super(inode, flags, mount, dentry, QUIET);
    this.node = inode;
  }

  override seek(_c: Caller, offset: number, whence: number): number {
    const to = whence === SEEK_SET ? offset : whence === SEEK_CUR ? this.pos + offset : -1;
    if (to < 0) return -EINVAL;
    this.pos = to;
    if (to === 0) this.#list = null;
    return to;
  }

  override fsync(_dataOnly: boolean): number {
    return 0;
  }

  override readdir(c: Caller, sink: DirSink): number {
    const n = this.node;
    if (this.pos === 0) {
      this.#list = null;
      if (!sink.add('.', n.ino, DT_DIR, 1)) return 0;
      this.pos = 1;
    }
    if (this.pos === 1) {
      const up = this.dentry === null ? null : this.dentry.parent.inode;
      if (!sink.add('..', up === null ? n.ino : up.ino, DT_DIR, 2)) return 0;
      this.pos = 2;
    }
    if (this.#list === null) this.#list = n.listNames(c);
    const list = this.#list;
    while (this.pos - 2 < list.length) {
      const e = list[this.pos - 2]!;
      if (!sink.add(e.name, e.ino, e.type, this.pos + 1)) return 0;
      this.pos++;
    }
    return 0;
  }
}
