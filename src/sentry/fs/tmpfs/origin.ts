// A copy that is made as it is needed: until a block of it is changed, its data stays in the file that it is a copy of.
//
// The copy is a sparse host file. Blocks that are still below are holes in it; a change of a part of one brings the whole block over.

import { EIO } from '../../../abi/errno.ts';
import { SEEK_DATA } from '../../../abi/uio.ts';
import type { HostIO } from '../../../platform/hostio.ts';
import type { File, MapBacking } from '../../vfs/file.ts';

export const BLOCK = 1 << 16;

const transfer = new Uint8Array(BLOCK);

export class Origin {
  private readonly host: HostIO;
  /** Keeps `below` open. */
  private readonly file: File;
  private readonly below: MapBacking;
  /** Bytes of the original that the copy still shows: less after it was cut. */
  private limit: number;
  /** One bit for each block that is in the copy. */
  private readonly have: Uint8Array;
  /** Nothing of the copy differs yet. */
  untouched = true;

  /** `file`: the original, with one reference that the origin takes over; `below`: what a mapping of it is made of; `size` in bytes. */
  constructor(host: HostIO, file: File, below: MapBacking, size: number) {
    this.host = host;
    this.file = file;
    this.below = below;
    this.limit = size;
    this.have = new Uint8Array(Math.ceil(size / BLOCK / 8));
  }

  /** What mappings that nobody else sees can be made of while nothing differs. */
  get backing(): MapBacking {
    return this.below;
  }

  /** The original is not needed any more. */
  release(): void {
    this.file.unref();
  }

  private has(block: number): boolean {
    return block * BLOCK >= this.limit || (this.have[block >>> 3]! & (1 << (block & 7))) !== 0;
  }

  /** Reads from copy and original as it comes. The whole range is inside the file. Count or -errno. */
  read(copy: number, buf: Uint8Array, off: number, len: number, pos: number): number {
    let done = 0;
    while (done < len) {
      const at = pos + done;
      let block = Math.floor(at / BLOCK);
      const own = this.has(block);
      do block++;
      while (block * BLOCK < pos + len && this.has(block) === own);
      let end = Math.min(block * BLOCK, pos + len);
      if (!own && end > this.limit) {
        if (at < this.limit) end = this.limit;
        else {
          buf.fill(0, off + done, off + end - pos);
          done = end - pos;
          continue;
        }
      }
      const fd = own ? copy : this.below.fd;
      const n = this.host.pread(fd, buf, off + done, end - at, own ? at : this.below.offset + at);
      if (n <= 0) return done > 0 ? done : n;
      done += n;
    }
    return done;
  }

  /** How many blocks [pos, end) has that are not in the copy yet. */
  missing(pos: number, end: number): number {
    let n = 0;
    const top = Math.min(end, this.limit);
    for (let b = Math.floor(pos / BLOCK); b * BLOCK < top; b++) if (!this.has(b)) n++;
    return n;
  }

  /** Before [pos, end) of the copy is overwritten: brings over what else is in the blocks at both ends. 0 or -errno. */
  prepare(copy: number, pos: number, end: number): number {
    this.untouched = false;
    const top = Math.min(end, this.limit);
    for (let b = Math.floor(pos / BLOCK); b * BLOCK < top; b++) {
      if (this.has(b)) continue;
      const start = b * BLOCK;
      if (start < pos || Math.min(start + BLOCK, this.limit) > end) {
        const err = this.fetch(copy, b);
        if (err < 0) return err;
      }
      this.have[b >>> 3]! |= 1 << (b & 7);
    }
    return 0;
  }

  private fetch(copy: number, block: number): number {
    const start = block * BLOCK;
    const want = Math.min(BLOCK, this.limit - start);
    let n = 0;
    while (n < want) {
      const r = this.host.pread(this.below.fd, transfer, n, want - n, this.below.offset + start + n);
      if (r < 0) return r;
      if (r === 0) break;
      n += r;
    }
    let done = 0;
    while (done < n) {
      const w = this.host.pwrite(copy, transfer, done, n - done, start + done);
      if (w <= 0) return w < 0 ? w : -EIO;
      done += w;
    }
    return 0;
  }

  /** Brings everything over, but holes. 0 or -errno. */
  complete(copy: number): number {
    let pos = 0;
    while (pos < this.limit) {
      const data = this.host.lseek(this.below.fd, this.below.offset + pos, SEEK_DATA);
      if (data < 0) break;
      if (data > this.below.offset + pos) pos = Math.floor((data - this.below.offset) / BLOCK) * BLOCK;
      const block = Math.floor(pos / BLOCK);
      if (!this.has(block)) {
        const err = this.fetch(copy, block);
        if (err < 0) return err;
      }
      pos = (block + 1) * BLOCK;
    }
    return 0;
  }

  /** The copy is now `size` bytes long: what was behind does not come back. True when the original is of no use any more. */
  cut(size: number): boolean {
    this.untouched = false;
    if (size < this.limit) this.limit = size;
    return this.limit === 0;
  }
}
