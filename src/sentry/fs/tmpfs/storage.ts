// Where the data of a tmpfs file is. Small files are byte arrays; larger or mapped ones live in a memfd, which mappings are made of; copies of
// large files of other file systems fill theirs as they are changed (origin.ts).

import { EMFILE, ENOSPC, EPERM } from '../../../abi/errno.ts';
import { F_SEAL_GROW, F_SEAL_SHRINK } from '../../../abi/fcntl.ts';
import { copyBytes } from '../../../base/bytes.ts';
import { type HostIO, newHostStat } from '../../../platform/hostio.ts';
import type { File, MapBacking } from '../../vfs/file.ts';
import type { FileSystem } from '../../vfs/filesystem.ts';
import { Inode } from '../../vfs/inode.ts';
import { BLOCK, Origin } from './origin.ts';

const PAGE = 4096;
/** Byte arrays grow to this size, then the file moves to a memfd, where there is room for one more descriptor. */
const ARRAY_LIMIT = 1 << 17;
/** How far they grow when descriptors have run out. */
const ARRAY_MOST = 1 << 28;

const hostStat = newHostStat();
const noBytes = new Uint8Array(0);

/** What files share the room of. */
export interface Pool {
  readonly host: HostIO;
  readonly limits: { size: number };
  /** Pages in use. */
  pages: number;
}

export abstract class StoredInode extends Inode {
  readonly tmp: Pool;
  /** Contents while memfd is -1; longer than `size` when it has room. */
  private data: Uint8Array = noBytes;
  memfd = -1;
  /** `blocks` is not what the memfd has; it is mapped, and may get more without our knowledge. */
  private stale = true;
  private shared = false;
  /** Where the data is that is not in the memfd yet. */
  private origin: Origin | null = null;
  /** Pages charged to the file system. */
  charged = 0;
  /** F_SEAL_*, -1 for files that cannot be sealed. */
  seals = -1;

  constructor(fs: FileSystem, pool: Pool, ino: number, mode: number) {
    super(fs, ino, mode);
    this.tmp = pool;
  }

  override refresh(): number {
    if (this.memfd < 0 || this.origin !== null || !(this.stale || this.shared)) return 0;
    if (this.tmp.host.fstat(this.memfd, hostStat) === 0) this.blocks = hostStat.blocks;
    this.stale = false;
    return 0;
  }

  /** Charges pages up to `end` of a write at `pos`. 0 or -ENOSPC. */
  private charge(pos: number, end: number): number {
    const size = this.size;
    if (end <= size) return 0;
    const from = Math.max(Math.ceil(size / PAGE), Math.floor(pos / PAGE));
    const more = Math.ceil(end / PAGE) - from;
    if (more <= 0) return 0;
    if ((this.tmp.pages + more) * PAGE > this.tmp.limits.size) return -ENOSPC;
    this.charged += more;
    this.tmp.pages += more;
    this.blocks = this.charged * (PAGE / 512);
    return 0;
  }

  private uncharge(size: number): void {
    const keep = Math.min(this.charged, Math.ceil(size / PAGE));
    this.tmp.pages -= this.charged - keep;
    this.charged = keep;
    this.blocks = keep * (PAGE / 512);
  }

  /** Moves the contents to a memfd, where mappings can share them. The descriptor or -errno. */
  toMemfd(): number {
    if (this.memfd >= 0) return this.memfd;
    const host = this.tmp.host;
    const fd = host.memfd('ringfence');
    if (fd < 0) return fd;
    let err = host.ftruncate(fd, this.size);
    for (let done = 0; err >= 0 && done < this.size && done < this.data.length; ) {
      err = host.pwrite(fd, this.data, done, Math.min(this.size, this.data.length) - done, done);
      if (err === 0) break;
      done += err;
    }
    if (err < 0) {
      host.close(fd);
      return err;
    }
    this.memfd = fd;
    this.data = noBytes;
    return fd;
  }

  /** Moves a file that is to have `end` bytes to a memfd if it gets too large for an array. 0 or -errno. */
  private spill(end: number): number {
    if (end <= ARRAY_LIMIT) return 0;
    const fd = this.toMemfd();
    return fd >= 0 || (fd === -EMFILE && end <= ARRAY_MOST) ? 0 : fd;
  }

  /** Makes the array hold `end` bytes, or moves to a memfd. 0 or -errno. */
  private reserve(end: number): number {
    if (this.memfd >= 0) return 0;
    const err = this.spill(end);
    if (err < 0 || this.memfd >= 0) return err;
    if (end > this.data.length) {
      // Most files are written once: the first piece gets what it needs, more makes the array double.
      const n = Math.max((end + 63) & ~63, this.data.length * 2);
      const grown = new Uint8Array(n);
      grown.set(this.data.length > this.size ? this.data.subarray(0, this.size) : this.data);
      this.data = grown;
    }
    return 0;
  }

  readAt(buf: Uint8Array, off: number, len: number, pos: number): number {
    const left = this.size - pos;
    if (left <= 0) return 0;
    let n = len < left ? len : left;
    if (this.origin !== null) return this.origin.read(this.memfd, buf, off, n, pos);
    if (this.memfd >= 0) return this.tmp.host.pread(this.memfd, buf, off, n, pos);
    const have = this.data.length - pos;
    if (n <= have) {
      copyBytes(this.data, pos, buf, off, n);
    } else {
      if (have > 0) copyBytes(this.data, pos, buf, off, have);
      buf.fill(0, off + Math.max(0, have), off + n);
    }
    if (n < 0) n = 0;
    return n;
  }

  writeAt(buf: Uint8Array, off: number, len: number, pos: number): number {
    let end = pos + len;
    if (end > this.size) {
      if (this.seals > 0 && (this.seals & F_SEAL_GROW) !== 0) return -EPERM;
      if (this.charge(pos, end) < 0) {
        // As much as fits in what is left.
        const room = Math.floor(this.tmp.limits.size / PAGE) - this.tmp.pages;
        const fits = Math.max(Math.ceil(this.size / PAGE), Math.floor(pos / PAGE)) * PAGE + Math.max(0, room) * PAGE;
        if (fits <= pos) return -ENOSPC;
        end = Math.min(end, fits);
        len = end - pos;
        if (this.charge(pos, end) < 0) return -ENOSPC;
      }
    }
    const err = this.reserve(end);
    if (err < 0) return err;
    if (this.memfd >= 0) {
      const e = this.origin === null ? 0 : this.bring(this.origin, pos, end);
      if (e < 0) return e;
      this.stale = true;
      const n = this.tmp.host.pwrite(this.memfd, buf, off, len, pos);
      if (n > 0 && pos + n > this.size) this.size = pos + n;
      return n;
    }
    if (pos > this.size) this.data.fill(0, this.size, pos);
    copyBytes(buf, off, this.data, pos, len);
    if (end > this.size) this.size = end;
    return len;
  }

  /** Cuts or extends. 0 or -errno. */
  resize(size: number): number {
    this.stale = true;
    if (this.seals > 0) {
      if (size < this.size && (this.seals & F_SEAL_SHRINK) !== 0) return -EPERM;
      if (size > this.size && (this.seals & F_SEAL_GROW) !== 0) return -EPERM;
    }
    if (this.memfd >= 0) {
      const err = this.tmp.host.ftruncate(this.memfd, size);
      if (err < 0) return err;
      if (this.origin?.cut(size) === true) this.dropOrigin();
    } else if (size > this.size) {
      // The tail of the array may hold old bytes; beyond the array reads give zero.
      if (this.data.length > this.size) this.data.fill(0, this.size);
      let err = this.spill(size);
      if (err === 0 && this.memfd >= 0) err = this.tmp.host.ftruncate(this.memfd, size);
      if (err < 0) return err;
    } else if (size === 0) {
      this.data = noBytes;
    }
    if (size < this.size) this.uncharge(size);
    this.size = size;
    return 0;
  }

  /** fallocate(2) with mode 0: storage for [0, end). 0 or -errno. */
  preallocate(pos: number, end: number): number {
    this.stale = true;
    const err = this.charge(pos, end);
    if (err < 0) return err;
    const e = this.spill(end);
    return e < 0 || this.memfd < 0 ? e : this.tmp.host.fallocate(this.memfd, 1, pos, end - pos);
  }

  /** Zeroes [pos, end) within the size. 0 or -errno. */
  zero(pos: number, end: number): number {
    this.stale = true;
    if (this.memfd >= 0) {
      const err = this.origin === null ? 0 : this.bring(this.origin, pos, end);
      return err < 0 ? err : this.tmp.host.fallocate(this.memfd, 3, pos, end - pos);
    }
    this.data.fill(0, Math.min(pos, this.data.length), Math.min(end, this.data.length));
    return 0;
  }

  /**
   * Becomes a copy of the first `size` bytes of `file` (a reference that this takes over), whose data stays where it is as far as it is not
   * changed. 0 or -errno, and then the reference is the caller's still.
   */
  copyOf(file: File, below: MapBacking, size: number): number {
    const host = this.tmp.host;
    const fd = this.toMemfd();
    if (fd < 0) return fd;
    const err = host.ftruncate(fd, size);
    if (err < 0) return err;
    this.size = size;
    this.origin = new Origin(host, file, below, size);
    return 0;
  }

  /** Before [pos, end) is overwritten: charges for what comes into the memfd, and brings over the rest of its blocks. 0 or -errno. */
  private bring(origin: Origin, pos: number, end: number): number {
    const err = this.chargeBlocks(origin.missing(pos, end));
    return err < 0 ? err : origin.prepare(this.memfd, pos, end);
  }

  private chargeBlocks(blocks: number): number {
    const more = blocks * (BLOCK / PAGE);
    if (more > 0 && (this.tmp.pages + more) * PAGE > this.tmp.limits.size) return -ENOSPC;
    this.charged += more;
    this.tmp.pages += more;
    this.blocks = this.charged * (PAGE / 512);
    return 0;
  }

  /** Some of its data is not in the memfd. */
  get partial(): boolean {
    return this.origin !== null;
  }

  private dropOrigin(): void {
    if (this.origin === null) return;
    this.origin.release();
    this.origin = null;
  }

  /** What a mapping is made of; `alone`: others' changes need not show in it. A backing at offset 0, or -errno. */
  backing(alone: boolean): MapBacking | number {
    const origin = this.origin;
    if (origin !== null) {
      if (alone && origin.untouched) return origin.backing;
      let err = this.chargeBlocks(origin.missing(0, this.size));
      if (err === 0) err = origin.complete(this.memfd);
      if (err < 0) return err;
      this.dropOrigin();
    }
    this.stale = true;
    if (!alone) this.shared = true;
    const fd = this.toMemfd();
    return fd < 0 ? fd : { fd, offset: 0 };
  }

  /** The file is gone: gives back what it had. */
  protected discard(): void {
    this.uncharge(0);
    this.data = noBytes;
    this.dropOrigin();
    if (this.memfd >= 0) this.tmp.host.close(this.memfd);
    this.memfd = -1;
    this.size = 0;
  }
}
