// The block of one guest thread in the context region, as the classes of a context share it: where it is, and its words.
//
// Every word of the block may be changed by the guest at any time. State words are compared with what is allowed, numbers are only
// handed on as the guest's claims, and whatever else is found there kills the address space.
import { EVENT_NONE, REG_COUNT } from '../platform.ts';
import type { Engine } from './engine.ts';
import { BLOCK_SIZE, W_CALL_ARGS, W_REGS } from './layout.ts';
import type { HostSpace } from './space.ts';

export const TWO32 = 4294967296;
/** What the regs of a context show after exit(): nothing of anybody. */
export const NO_REGS = new Uint32Array(REG_COUNT * 2);

/** What a context is to begin with. */
export class Block {
  readonly addressSpace: HostSpace;
  regs: Uint32Array;
  event = EVENT_NONE;
  /** It was resumed and its next event was not seen yet. */
  runs = false;
  readonly words: Int32Array;
  /** First word of its block. */
  readonly base: number;
  protected readonly index: number;
  protected readonly engine: Engine;
  /** Address of its block in the Sentry. */
  protected readonly address: number;

  constructor(space: HostSpace, index: number) {
    this.addressSpace = space;
    this.engine = space.engine;
    this.index = index;
    this.words = space.slot.words;
    this.base = space.base(index);
    this.address = space.slot.address + index * BLOCK_SIZE;
    this.regs = new Uint32Array(space.slot.buffer, (this.base + W_REGS) * 4, REG_COUNT * 2);
  }

  protected setArg(i: number, value: number): void {
    const at = this.base + W_CALL_ARGS + 2 * i;
    this.words[at] = value | 0;
    this.words[at + 1] = Math.floor(value / TWO32);
  }

  protected unsigned(at: number): number {
    const w = this.words;
    return ((w[this.base + at + 1] as number) >>> 0) * TWO32 + ((w[this.base + at] as number) >>> 0);
  }
}

/** A double as two words. */
export function setWords(words: Int32Array, at: number, value: number): void {
  words[at] = value | 0;
  words[at + 1] = Math.floor(value / TWO32);
}

export function errorOnly(result: number): number {
  return result >= 0 ? 0 : result;
}
