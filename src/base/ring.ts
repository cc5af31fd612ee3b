// A first-in first-out store of bytes for pipes, sockets and terminals. Storage starts small and doubles up to a limit.

import { copyBytes } from './bytes.ts';

export class ByteRing {
  /** Most bytes it may hold. */
  limit: number;
  /** Bytes in it now. */
  length = 0;
  #buf: Uint8Array;
  /** Index of the oldest byte. Storage sizes are powers of two. */
  #head = 0;

  constructor(limit: number, initial = 256) {
    let capacity = 16;
    while (capacity < initial) capacity *= 2;
    this.limit = limit;
    this.#buf = new Uint8Array(capacity);
  }

  /** Bytes that can be written now. */
  get space(): number {
    return this.limit > this.length ? this.limit - this.length : 0;
  }

  get empty(): boolean {
    return this.length === 0;
  }

  /** Appends up to `len` bytes of src[off..], as many as the limit admits. Returns how many. */
  write(src: Uint8Array, off = 0, len: number = src.length - off): number {
    const n = len < this.space ? len : this.space;
    if (n <= 0) return 0;
    this.#reserve(n);
    const buf = this.#buf;
    const at = (this.#head + this.length) & (buf.length - 1);
    const run = buf.length - at;
    if (n <= run) copyBytes(src, off, buf, at, n);
    else {
      copyBytes(src, off, buf, at, run);
      copyBytes(src, off + run, buf, 0, n - run);
    }
    this.length += n;
    return n;
  }

  /** Appends one byte; false when full. */
  push(byte: number): boolean {
    if (this.space === 0) return false;
    this.#reserve(1);
    this.#buf[(this.#head + this.length) & (this.#buf.length - 1)] = byte;
    this.length++;
    return true;
  }

  /** Moves up to `len` of the oldest bytes to dst[off..]. Returns how many. */
  read(dst: Uint8Array, off = 0, len: number = dst.length - off): number {
    const n = this.peek(dst, off, len);
    this.drop(n);
    return n;
  }

  /** Copies up to `len` bytes to dst[off..] without taking them, beginning `skip` bytes behind the oldest. Returns how many. */
  peek(dst: Uint8Array, off = 0, len: number = dst.length - off, skip = 0): number {
    const held = this.length - skip;
    const n = len < held ? len : held;
    if (n <= 0) return 0;
    const buf = this.#buf;
    const at = (this.#head + skip) & (buf.length - 1);
    const run = buf.length - at;
    if (n <= run) copyBytes(buf, at, dst, off, n);
    else {
      copyBytes(buf, at, dst, off, run);
      copyBytes(buf, 0, dst, off + run, n - run);
    }
    return n;
  }

  /** The byte `i` behind the oldest; -1 where none is held. */
  at(i: number): number {
    return i >= 0 && i < this.length ? this.#buf[(this.#head + i) & (this.#buf.length - 1)]! : -1;
  }

  /** Distance of the first `byte` from the oldest one, searched from `from`; -1 when absent. */
  indexOf(byte: number, from = 0): number {
    const buf = this.#buf;
    const mask = buf.length - 1;
    for (let i = from; i < this.length; i++) if (buf[(this.#head + i) & mask] === byte) return i;
    return -1;
  }

  /** Forgets the `n` oldest bytes. */
  drop(n: number): void {
    if (n >= this.length) {
      this.length = 0;
      this.#head = 0;
      return;
    }
    this.#head = (this.#head + n) & (this.#buf.length - 1);
    this.length -= n;
  }

  /** Forgets the newest byte and answers it; -1 when empty. */
  pop(): number {
    if (this.length === 0) return -1;
    this.length--;
    return this.#buf[(this.#head + this.length) & (this.#buf.length - 1)]!;
  }

  /** Forgets everything and gives large storage back. */
  clear(): void {
    this.length = 0;
    this.#head = 0;
    if (this.#buf.length > 65536) this.#buf = new Uint8Array(256);
  }

  /** The oldest bytes that lie together in storage, as a view (for a write to a host descriptor, then drop). Dead after the next write. */
  front(): Uint8Array {
    const buf = this.#buf;
    const run = buf.length - this.#head;
    return buf.subarray(this.#head, this.#head + (this.length < run ? this.length : run));
  }

  /** Up to `want` free bytes that lie together behind the newest, as a view to be filled; then `commit` what was filled. */
  reserveBack(want: number): Uint8Array {
    const n = want < this.space ? want : this.space;
    if (n <= 0) return this.#buf.subarray(0, 0);
    this.#reserve(n);
    const buf = this.#buf;
    const at = (this.#head + this.length) & (buf.length - 1);
    const run = buf.length - at;
    return buf.subarray(at, at + (n < run ? n : run));
  }

  /** Counts `n` bytes, written through reserveBack, as held. */
  commit(n: number): void {
    this.length += n;
  }

  #reserve(n: number): void {
    const want = this.length + n;
    const old = this.#buf;
    if (want <= old.length) return;
    let capacity = old.length * 2;
    while (capacity < want) capacity *= 2;
    const grown = new Uint8Array(capacity);
    this.peek(grown, 0, this.length);
    this.#buf = grown;
    this.#head = 0;
  }
}
