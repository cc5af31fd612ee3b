// Descriptions of files with a position: seeking, appending, and sequential access in terms of pread and pwrite.

import { EINVAL, ENXIO } from '../../abi/errno.ts';
import { O_APPEND } from '../../abi/fcntl.ts';
import { SEEK_CUR, SEEK_DATA, SEEK_END, SEEK_HOLE, SEEK_SET } from '../../abi/uio.ts';
import type { Caller } from './caller.ts';
import { File } from './file.ts';

const MAX_OFFSET = 2 ** 63;

/** A regular file's description. The file system supplies pread, pwrite and the inode's size. */
export abstract class RegularFile extends File {
  override write(c: Caller, buf: Uint8Array, off: number, len: number): number {
    const at = (this.flags & O_APPEND) !== 0 ? this.inode.size : this.pos;
    const n = this.pwrite(c, buf, off, len, at);
    if (n > 0) this.pos = at + n;
    return n;
  }

  override seek(_c: Caller, offset: number, whence: number): number {
    const size = this.inode.size;
    let to: number;
    if (whence === SEEK_SET) {
      to = offset;
    } else if (whence === SEEK_CUR) {
      to = this.pos + offset;
    } else if (whence === SEEK_END) {
      to = size + offset;
    } else if (whence === SEEK_DATA || whence === SEEK_HOLE) {
      if (offset < 0 || offset >= size) return -ENXIO;
      to = this.seekHole(offset, whence === SEEK_HOLE);
      if (to < 0) return to;
    } else {
      return -EINVAL;
    }
    if (to < 0 || to >= MAX_OFFSET) return -EINVAL;
    this.pos = to;
    return to;
  }

  /** SEEK_DATA and SEEK_HOLE for an offset inside the file: by default all is data up to the end. */
  protected seekHole(offset: number, hole: boolean): number {
    return hole ? this.inode.size : offset;
  }
}
