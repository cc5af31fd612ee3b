// Bytes: little-endian words in Uint8Arrays, latin1 strings, and a buffer that grows.
//
// Strings of the guest are latin1: one character a byte, both ways without loss. Accessors do not check bounds: a read beyond the end
// gives 0, a write there is lost; callers size their buffers.

const TWO32 = 4294967296;
/** Up to so many bytes a loop is faster than the machinery of TypedArray.set. */
const SHORT_COPY = 24;
/** Views that copyBytes keeps, a power of two, and the size of the largest buffer that one may keep alive. */
const VIEWS = 32;
const VIEW_BUFFER_MAX = 1 << 20;

/** Buffer.prototype.latin1Slice and latin1Write, or what stands in for them. */
type SliceFunction = (this: Uint8Array, start: number, end: number) => string;
type WriteFunction = (this: Uint8Array, s: string, offset: number, length: number) => number;

let nativeSlice: SliceFunction | null = null;
let nativeWrite: WriteFunction | null = null;

/** Gives this module the host's native conversions (boot passes Buffer.prototype.latin1Slice and latin1Write): five times faster. */
export function installLatin1(slice: SliceFunction, write: WriteFunction): void {
  nativeSlice = slice;
  nativeWrite = write;
}

/** The bytes [start, end) as a string of as many characters. */
export function latin1Decode(buf: Uint8Array, start = 0, end = buf.length): string {
  if (end <= start) return '';
  if (nativeSlice !== null) return nativeSlice.call(buf, start, end > buf.length ? buf.length : end);
  let s = '';
  if (end - start <= 64) {
    for (let i = start; i < end; i++) s += String.fromCharCode(buf[i]!);
    return s;
  }
  while (end - start > 4096) {
    s += String.fromCharCode.apply(null, buf.subarray(start, start + 4096) as unknown as number[]);
    start += 4096;
  }
  return s + String.fromCharCode.apply(null, buf.subarray(start, end) as unknown as number[]);
}

/** Writes a latin1 string at `off`, as far as there is room. Returns the count of bytes written. */
export function latin1Write(s: string, buf: Uint8Array, off: number): number {
  const room = buf.length - off;
  const n = s.length < room ? s.length : room;
  if (n <= 0) return 0;
  if (nativeWrite !== null && n > 16) return nativeWrite.call(buf, s, off, n);
  for (let i = 0; i < n; i++) buf[off + i] = s.charCodeAt(i);
  return n;
}

const NO_BYTES = new Uint8Array(0);
const viewed: Uint8Array[] = new Array<Uint8Array>(VIEWS).fill(NO_BYTES);
const viewFrom = new Float64Array(VIEWS);
const views: Uint8Array[] = new Array<Uint8Array>(VIEWS).fill(NO_BYTES);

/** src[from, from + len) as a view. Programs repeat themselves: what was viewed lately need not be made anew, which is two thirds of a copy. */
function viewOf(src: Uint8Array, from: number, len: number): Uint8Array {
  if (from === 0 && len === src.length) return src;
  // Two places for each size: what goes into a buffer often comes out of it by another one.
  const a = (len ^ (len >>> 5) ^ (from >>> 4)) & (VIEWS / 2 - 1);
  if (viewed[a] === src && viewFrom[a] === from && views[a]!.length === len) return views[a]!;
  const b = a + VIEWS / 2;
  if (viewed[b] === src && viewFrom[b] === from && views[b]!.length === len) return views[b]!;
  const view = src.subarray(from, from + len);
  if (src.length > VIEW_BUFFER_MAX) return view;
  viewed[b] = viewed[a]!;
  viewFrom[b] = viewFrom[a]!;
  views[b] = views[a]!;
  viewed[a] = src;
  viewFrom[a] = from;
  views[a] = view;
  return view;
}

/** src[from, from + len) -> dst[to ...]. Short copies, and those like a recent one, cost no garbage. Both ranges must exist. */
export function copyBytes(src: Uint8Array, from: number, dst: Uint8Array, to: number, len: number): void {
  if (len <= SHORT_COPY) {
    for (let i = 0; i < len; i++) dst[to + i] = src[from + i]!;
  } else copyLong(src, from, dst, to, len);
}

/** Apart from the short way, so that this stays small enough to become part of its callers. */
function copyLong(src: Uint8Array, from: number, dst: Uint8Array, to: number, len: number): void {
  dst.set(viewOf(src, from, len), to);
}

/** A latin1 string as bytes of its own. */
export function latin1Encode(s: string): Uint8Array {
  const buf = new Uint8Array(s.length);
  latin1Write(s, buf, 0);
  return buf;
}

/** A latin1 string as bytes with a NUL behind. */
export function cstring(s: string): Uint8Array {
  const buf = new Uint8Array(s.length + 1);
  latin1Write(s, buf, 0);
  return buf;
}

/** Index of the first NUL in [start, end), or -1. */
export function indexOfNul(buf: Uint8Array, start = 0, end = buf.length): number {
  for (let i = start; i < end; i++) if (buf[i] === 0) return i;
  return -1;
}

/** The string that begins at `start` and ends before the first NUL, or at `end` when there is none. */
export function latin1DecodeZ(buf: Uint8Array, start = 0, end = buf.length): string {
  const nul = indexOfNul(buf, start, end);
  return latin1Decode(buf, start, nul < 0 ? end : nul);
}

export function getU16(buf: Uint8Array, off: number): number {
  return buf[off]! | (buf[off + 1]! << 8);
}

export function getI16(buf: Uint8Array, off: number): number {
  return ((buf[off]! | (buf[off + 1]! << 8)) << 16) >> 16;
}

export function getU32(buf: Uint8Array, off: number): number {
  return (buf[off]! | (buf[off + 1]! << 8) | (buf[off + 2]! << 16) | (buf[off + 3]! << 24)) >>> 0;
}

export function getI32(buf: Uint8Array, off: number): number {
  return buf[off]! | (buf[off + 1]! << 8) | (buf[off + 2]! << 16) | (buf[off + 3]! << 24);
}

/** An unsigned 64-bit word as a double: exact below 2^53, else rounded. */
export function getU64(buf: Uint8Array, off: number): number {
  return getU32(buf, off + 4) * TWO32 + getU32(buf, off);
}

/** A signed 64-bit word as a double: exact between -2^53 and 2^53, else rounded. */
export function getI64(buf: Uint8Array, off: number): number {
  return getI32(buf, off + 4) * TWO32 + getU32(buf, off);
}

export function putU16(buf: Uint8Array, off: number, v: number): void {
  buf[off] = v;
  buf[off + 1] = v >>> 8;
}

/** Writes the low 32 bits of `v`, signed or not. */
export function putU32(buf: Uint8Array, off: number, v: number): void {
  buf[off] = v;
  buf[off + 1] = v >>> 8;
  buf[off + 2] = v >>> 16;
  buf[off + 3] = v >>> 24;
}

/** Writes an integral double as 64 bits, two's complement when negative. */
export function putU64(buf: Uint8Array, off: number, v: number): void {
  putU32(buf, off, v >>> 0);
  putU32(buf, off + 4, Math.floor(v / TWO32) >>> 0);
}

/** A 64-bit value in two halves as a signed double. */
export function wordsToI64(lo: number, hi: number): number {
  return (hi | 0) * TWO32 + (lo >>> 0);
}

/** Bytes written one after another into storage that doubles as it fills. `reset` keeps the storage. */
export class ByteBuffer {
  /** Storage; valid up to `length`. Replaced when it grows. */
  buf: Uint8Array;
  /** Bytes written so far. */
  length = 0;

  constructor(capacity = 256) {
    this.buf = new Uint8Array(capacity);
  }

  /** Makes room for `n` more bytes. */
  reserve(n: number): void {
    const want = this.length + n;
    if (want <= this.buf.length) return;
    let capacity = this.buf.length < 32 ? 64 : this.buf.length * 2;
    while (capacity < want) capacity *= 2;
    const grown = new Uint8Array(capacity);
    grown.set(this.buf.subarray(0, this.length));
    this.buf = grown;
  }

  reset(): void {
    this.length = 0;
  }

  u8(v: number): this {
    this.reserve(1);
    this.buf[this.length++] = v;
    return this;
  }

  u16(v: number): this {
    this.reserve(2);
    putU16(this.buf, this.length, v);
    this.length += 2;
    return this;
  }

  u32(v: number): this {
    this.reserve(4);
    putU32(this.buf, this.length, v);
    this.length += 4;
    return this;
  }

  u64(v: number): this {
    this.reserve(8);
    putU64(this.buf, this.length, v);
    this.length += 8;
    return this;
  }

  bytes(b: Uint8Array): this {
    this.reserve(b.length);
    this.buf.set(b, this.length);
    this.length += b.length;
    return this;
  }

  /** A latin1 string without an end mark. */
  latin1(s: string): this {
    this.reserve(s.length);
    this.length += latin1Write(s, this.buf, this.length);
    return this;
  }

  /** `n` zero bytes. */
  zero(n: number): this {
    this.reserve(n);
    this.buf.fill(0, this.length, this.length + n);
    this.length += n;
    return this;
  }

  /** Zero bytes up to the next multiple of `alignment`. */
  align(alignment: number): this {
    const over = this.length % alignment;
    return over === 0 ? this : this.zero(alignment - over);
  }

  /** A view of what was written; dead after the next write. */
  view(): Uint8Array {
    return this.buf.subarray(0, this.length);
  }

  /** A copy of what was written. */
  toBytes(): Uint8Array {
    return this.buf.slice(0, this.length);
  }
}
