// Where context regions are mapped: slots of a few large reservations, so that one typed array reaches many regions and an address
// space costs V8 no external buffer of its own.

import type { PlatformAddon } from './addon.ts';
import { CONTROL_SIZE, REGION_SIZE } from './layout.ts';

/** In a reservation. V8 counts a reservation as memory of its own: above 32 MiB it collects garbage at once, above 64 MiB it starts to mark. */
const SLOTS = 6;
/** Regions of the dead that stay mapped until their slots are used again. */
const MOST_STALE = 4;

/** A place for one context region. `words` covers the whole reservation; the region starts at word `base`. */
export interface Slot {
  readonly words: Int32Array;
  readonly buffer: ArrayBuffer;
  /** Byte offset of the region in `buffer`. */
  readonly offset: number;
  /** The region's address in this process. */
  readonly address: number;
}

/** Reservations and their free slots. */
export class Arena {
  private readonly addon: PlatformAddon;
  private readonly free: Slot[] = [];
  /** Free too, with the region of a dead address space still mapped: whoever takes one maps another over it. */
  private readonly stale: Slot[] = [];

  constructor(addon: PlatformAddon) {
    this.addon = addon;
  }

  /** A slot for a new region to be mapped in, or -errno. */
  take(): Slot | number {
    const slot = this.stale.pop() ?? this.free.pop();
    if (slot !== undefined) return slot;
    const r = reserve(this.addon, SLOTS * REGION_SIZE);
    if (typeof r === 'number') return r;
    for (let i = SLOTS - 1; i >= 0; i--) {
      const offset = i * REGION_SIZE;
      this.free.push({ words: r.words, buffer: r.buffer, offset, address: r.address + offset });
    }
    return this.free.pop() as Slot;
  }

  /** Gives a slot back, whatever is mapped in it. */
  release(slot: Slot): void {
    if (this.stale.length < MOST_STALE) this.stale.push(slot);
    else if (this.addon.unmapSpace(slot.address) === 0) this.free.push(slot);
  }
}

/** The control page (struct rf_control) and the descriptor that stubs map, or -errno. */
export function makeControl(addon: PlatformAddon): { words: Int32Array; fd: number; address: number } | number {
  const r = reserve(addon, CONTROL_SIZE);
  if (typeof r === 'number') return r;
  const fd = addon.control(r.address);
  return fd < 0 ? fd : { words: r.words, fd, address: r.address };
}

function reserve(addon: PlatformAddon, bytes: number): { words: Int32Array; buffer: ArrayBuffer; address: number } | number {
  const out = new Float64Array(1);
  const buffer = addon.arena(bytes, out);
  if (typeof buffer === 'number') return buffer;
  return { words: new Int32Array(buffer), buffer, address: out[0] as number };
}
