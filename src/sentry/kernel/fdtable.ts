// File descriptor tables: dense arrays of open file descriptions and close-on-exec flags (Linux: fs/file.c).

import { EBADF, EMFILE } from '../../abi/errno.ts';
import type { Caller } from '../vfs/caller.ts';
import type { File } from '../vfs/file.ts';

export class FDTable {
  private files: (File | null)[] = [];
  private cloexecFlags: boolean[] = [];
  /** No free descriptor is below this one. */
  private firstFree = 0;
  /** Tasks that share the table. */
  refs = 1;
  /** RLIMIT_NOFILE of the owner, looked up at each install. */
  limit: () => number;
  /** Told of each file whose descriptor goes away (locks, epoll). */
  onClose: ((f: File, t: FDTable) => void) | null = null;

  constructor(limit: () => number) {
    this.limit = limit;
  }

  get(fd: number): File | null {
    return fd >= 0 && fd < this.files.length ? this.files[fd]! : null;
  }

  getCloexec(fd: number): boolean {
    return this.cloexecFlags[fd] === true;
  }

  /** 0 or -EBADF. */
  setCloexec(fd: number, on: boolean): number {
    if (this.get(fd) === null) return -EBADF;
    this.cloexecFlags[fd] = on;
    return 0;
  }

  /** Puts `file` (taking over the caller's reference) at the lowest free descriptor >= min. The descriptor or -EMFILE (reference dropped). */
  install(file: File, cloexec: boolean, min = 0): number {
    let fd = min > this.firstFree ? min : this.firstFree;
    const n = this.files.length;
    while (fd < n && this.files[fd] !== null) fd++;
    if (fd >= this.limit()) {
      file.unref();
      return -EMFILE;
    }
    while (this.files.length <= fd) {
      this.files.push(null);
      this.cloexecFlags.push(false);
    }
    this.files[fd] = file;
    this.cloexecFlags[fd] = cloexec;
    if (min <= this.firstFree) this.firstFree = fd + 1;
    return fd;
  }

  /** dup2(2): puts `file` (reference taken over) at `fd`, closing what stood there. fd or -EBADF. */
  replace(fd: number, file: File, cloexec: boolean, c: Caller | null): number {
    if (fd < 0 || fd >= this.limit()) {
      file.unref();
      return -EBADF;
    }
    while (this.files.length <= fd) {
      this.files.push(null);
      this.cloexecFlags.push(false);
    }
    const old = this.files[fd]!;
    this.files[fd] = file;
    this.cloexecFlags[fd] = cloexec;
    if (old !== null) this.drop(old, c);
    return fd;
  }

  /** 0 or -EBADF. */
  close(fd: number, c: Caller | null): number {
    const f = this.get(fd);
    if (f === null) return -EBADF;
    this.files[fd] = null;
    this.cloexecFlags[fd] = false;
    if (fd < this.firstFree) this.firstFree = fd;
    this.drop(f, c);
    return 0;
  }

  private drop(f: File, c: Caller | null): void {
    if (c !== null) f.flush(c);
    if (this.onClose !== null) this.onClose(f, this);
    f.unref();
  }

  /** One past the highest descriptor ever used. */
  get size(): number {
    return this.files.length;
  }

  forEach(fn: (fd: number, f: File) => void): void {
    for (let fd = 0; fd < this.files.length; fd++) {
      const f = this.files[fd]!;
      if (f !== null) fn(fd, f);
    }
  }

  /** A copy for fork(2): every file gets one more reference. */
  copy(limit: () => number): FDTable {
    const t = new FDTable(limit);
    t.onClose = this.onClose;
    t.firstFree = this.firstFree;
    t.files = this.files.slice();
    t.cloexecFlags = this.cloexecFlags.slice();
    for (const f of t.files) if (f !== null) f.ref();
    return t;
  }

  closeOnExec(c: Caller): void {
    for (let fd = 0; fd < this.files.length; fd++) if (this.cloexecFlags[fd] && this.files[fd] !== null) this.close(fd, c);
  }

  /** Drops one sharer; the last closes all. */
  unref(c: Caller | null): void {
    if (--this.refs > 0) return;
    for (let fd = 0; fd < this.files.length; fd++) if (this.files[fd] !== null) this.close(fd, c);
    this.files.length = 0;
  }
}
