// What travels with an event and with its answer: the call's arguments, guest bytes in the data window, bytes on their way to the guest.
import { EFAULT } from '../../abi/errno.ts';
import { copyBytes } from '../../base/bytes.ts';
import { Block, TWO32 } from './block.ts';
import {
  COMMAND_INLINE,
  OUT_INLINE,
  OUT_RANGES,
  W_CALL_ARGS,
  W_CALL_NR,
  W_OUT,
  WINDOW_DATA,
  WINDOW_SIZE,
  WINDOWS,
  WINDOWS_OFFSET,
} from './layout.ts';
import type { HostSpace } from './space.ts';

export const NO_WINDOW = new Uint8Array(0);
/** Engine.rangeAt of a piece that is not in the window but in Engine.smallOut. */
export const IN_SMALL = -1;

/** A context's part that moves data. */
export class Traffic extends Block {
  readonly window: Uint8Array;
  readonly windowWords: Uint32Array;
  fetchedLength = 0;
  /** First word of its window, where the ranges stand that travelled with a call. */
  private readonly windowBase: number;
  /** Ranges that travelled with the call; 0 when none is being answered. */
  protected ranges = 0;
  /** The call is a short write whose bytes are among its arguments. */
  protected inline = false;
  /** An event is being answered: bytes may travel with the resume. */
  protected answering = false;

  constructor(space: HostSpace, index: number) {
    super(space, index);
    const window = space.slot.offset + WINDOWS_OFFSET + index * WINDOW_SIZE;
    this.windowBase = window / 4;
    this.window = index < WINDOWS ? new Uint8Array(space.slot.buffer, window, WINDOW_SIZE) : NO_WINDOW;
    this.windowWords = new Uint32Array(this.window.buffer, this.window.byteOffset, this.window.length >>> 2);
  }

  takeCall(args: Uint32Array): number {
    const w = this.words;
    const at = this.base + W_CALL_ARGS;
    for (let i = 0; i < 12; i++) args[i] = w[at + i] as number;
    if (this.inline) {
      this.inline = false;
      this.engine.takeSmall(this, args);
    }
    return w[this.base + W_CALL_NR] as number;
  }

  receive(addr: number, dst: Uint8Array, off: number, len: number): boolean {
    const e = this.engine;
    if (e.smallOwner === this && addr === e.smallAddress && len <= e.smallLength) {
      copyBytes(e.smallIn, 0, dst, off, len);
      return true;
    }
    const at = this.fetched(addr, len);
    if (at < 0) return false;
    copyBytes(this.window, at, dst, off, len);
    return true;
  }

  fetched(addr: number, len: number): number {
    const at = this.ranges === 0 ? -1 : this.fetchedFrom(addr);
    return at >= 0 && len <= this.fetchedLength ? at : -1;
  }

  fetchedFrom(addr: number): number {
    const w = this.words;
    for (let i = 0, r = this.windowBase; i < this.ranges; i++, r += 4) {
      const skip = addr - ((w[r + 1] as number) * TWO32 + ((w[r] as number) >>> 0));
      const length = (w[r + 2] as number) >>> 0;
      if (!(skip >= 0 && skip < length)) continue;
      const at = (w[r + 3] as number) >>> 0;
      if (at + length > WINDOW_SIZE || length > WINDOW_SIZE) return -1;
      this.fetchedLength = length - skip;
      return at + skip;
    }
    return -1;
  }

  forgetFetched(): void {
    this.ranges = 0;
    if (this.engine.smallOwner === this) this.engine.smallOwner = null;
  }

  get delivering(): boolean {
    return this.engine.sender === this;
  }

  send(addr: number, src: Uint8Array, off: number, len: number): boolean {
    const e = this.engine;
    if (len <= OUT_INLINE && this.answering && e.sender === null) {
      copyBytes(src, off, e.smallOut, 0, len);
      e.sender = this;
      e.ranges = 1;
      e.rangeAddress[0] = addr;
      e.rangeLength[0] = len;
      e.rangeAt[0] = IN_SMALL;
      return true;
    }
    const at = this.reserve(len);
    if (at < 0) return false;
    copyBytes(src, off, this.window, at, len);
    this.deliver(addr, at, len);
    return true;
  }

  reserve(len: number): number {
    if (!this.answering) return -1;
    const e = this.engine;
    if (e.sender !== this) {
      if (len > WINDOW_DATA || e.sender !== null) return -1;
      e.room = this.firstRoom();
      e.ranges = 0;
    } else {
      if (e.ranges === OUT_RANGES) return -1;
      if (e.rangeAt[0] === IN_SMALL && !this.spill()) return -1;
    }
    return e.room + len <= (this.ranges === 0 ? WINDOW_DATA : WINDOW_SIZE) ? e.room : -1;
  }

  /** What travelled to the window may still be asked for: the first free byte behind it. */
  private firstRoom(): number {
    const w = this.words;
    let free = 0;
    for (let i = 0, r = this.windowBase; i < this.ranges; i++, r += 4) {
      const end = ((w[r + 3] as number) >>> 0) + ((w[r + 2] as number) >>> 0);
      if (end > free) free = end;
    }
    return (free + 15) & ~15;
  }

  /** The one small piece on its way gets a place in the window, so that others can follow. */
  protected spill(): boolean {
    const e = this.engine;
    const at = this.firstRoom();
    const length = e.rangeLength[0] as number;
    if (!(at >= 0 && at + length <= WINDOW_SIZE)) return false;
    copyBytes(e.smallOut, 0, this.window, at, length);
    e.rangeAt[0] = at;
    e.room = (at + length + 15) & ~15;
    return true;
  }

  deliver(addr: number, at: number, len: number): void {
    const e = this.engine;
    e.sender = this;
    const i = e.ranges++;
    e.rangeAddress[i] = addr;
    e.rangeLength[i] = len;
    e.rangeAt[i] = at;
    e.room = (at + len + 15) & ~15;
  }

  flush(): number {
    const e = this.engine;
    if (e.sender !== this) return 0;
    e.sender = null;
    let r = 0;
    for (let i = 0; i < e.ranges; i++) {
      const at = e.rangeAt[i] as number;
      const from = at === IN_SMALL ? e.smallOut : this.window;
      const start = at === IN_SMALL ? 0 : at;
      if (this.addressSpace.write(e.rangeAddress[i] as number, from, start, e.rangeLength[i] as number) < 0) r = -EFAULT;
    }
    return r;
  }

  /** What goes with a result: for one piece, as near to it as it fits. Bits of the command. */
  protected putResult(): number {
    const e = this.engine;
    if (e.ranges !== 1) return this.putRanges() << 8;
    const w = this.words;
    const at = this.base + W_CALL_ARGS;
    const address = e.rangeAddress[0] as number;
    const length = e.rangeLength[0] as number;
    const from = e.rangeAt[0] as number;
    e.sender = null;
    w[at + 2] = address | 0;
    w[at + 3] = Math.floor(address / TWO32);
    if (from !== IN_SMALL) {
      w[at + 4] = length;
      w[at + 5] = from;
      return 1 << 8;
    }
    const words = e.smallOutWords;
    for (let i = 0; i < length; i += 4) w[at + 4 + (i >> 2)] = words[i >> 2] as number;
    return COMMAND_INLINE | (length << 24);
  }

  /** Tells the stub what to copy: how many ranges. */
  protected putRanges(): number {
    const e = this.engine;
    const w = this.words;
    e.sender = null;
    for (let i = 0, r = this.base + W_OUT; i < e.ranges; i++, r += 4) {
      const address = e.rangeAddress[i] as number;
      w[r] = address | 0;
      w[r + 1] = Math.floor(address / TWO32);
      w[r + 2] = e.rangeLength[i] as number;
      w[r + 3] = e.rangeAt[i] as number;
    }
    return e.ranges;
  }
}
