// Allocators of small numbers: descriptors (lowest free first) and process ids (next free behind the last one given).

/** A set of numbers from 0 up as a bitmap that grows. */
class Bitmap {
  words: Uint32Array = new Uint32Array(2);

  has(id: number): boolean {
    const w = id >>> 5;
    return w < this.words.length && (this.words[w]! & (1 << (id & 31))) !== 0;
  }

  add(id: number): void {
    const w = id >>> 5;
    if (w >= this.words.length) {
      let n = this.words.length * 2;
      while (n <= w) n *= 2;
      const grown = new Uint32Array(n);
      grown.set(this.words);
      this.words = grown;
    }
    this.words[w]! |= 1 << (id & 31);
  }

  delete(id: number): void {
    const w = id >>> 5;
    if (w < this.words.length) this.words[w]! &= ~(1 << (id & 31));
  }

  /** The lowest number >= from that is not in the set. */
  nextFree(from: number): number {
    const words = this.words;
    let w = from >>> 5;
    if (w >= words.length) return from;
    let free = ~words[w]! & (-1 << (from & 31));
    while (free === 0) {
      w++;
      if (w >= words.length) return w * 32;
      free = ~words[w]!;
    }
    return w * 32 + (31 - Math.clz32(free & -free));
  }
}

/** Gives the lowest free number in [0, limit). */
export class IdAllocator {
  /** Numbers are below this (RLIMIT_NOFILE for descriptors); lowering it takes nothing away. */
  limit: number;
  /** Numbers in use. */
  count = 0;
  readonly #map = new Bitmap();
  /** No number below this is free. */
  #hint = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  /** Takes the lowest free number >= `from`; -1 when there is none below the limit. */
  alloc(from = 0): number {
    const id = this.lowestFree(from);
    if (id < 0) return -1;
    this.#map.add(id);
    this.count++;
    if (from <= this.#hint) this.#hint = id + 1;
    return id;
  }

  /** What alloc(from) would give, without taking it. */
  lowestFree(from = 0): number {
    const id = this.#map.nextFree(from > this.#hint ? from : this.#hint);
    return id < this.limit ? id : -1;
  }

  /** Takes this very number, above the limit too; false when it is in use. */
  reserve(id: number): boolean {
    if (this.#map.has(id)) return false;
    this.#map.add(id);
    this.count++;
    return true;
  }

  /** Gives a number back; false when it was free. */
  free(id: number): boolean {
    if (!this.#map.has(id)) return false;
    this.#map.delete(id);
    this.count--;
    if (id < this.#hint) this.#hint = id;
    return true;
  }

  has(id: number): boolean {
    return this.#map.has(id);
  }
}

/** Gives numbers of [min, max] in rising order and wraps around, so that a number freed just now is not given again soon. */
export class CyclicIdAllocator {
  readonly min: number;
  readonly max: number;
  /** Numbers in use. */
  count = 0;
  /** The number given last; the search begins behind it. */
  last: number;
  readonly #map = new Bitmap();

  constructor(min: number, max: number) {
    this.min = min;
    this.max = max;
    this.last = min - 1;
  }

  /** Takes the next free number; -1 when all are in use. */
  alloc(): number {
    const from = this.last + 1 > this.max ? this.min : this.last + 1;
    let id = this.#map.nextFree(from);
    if (id > this.max) id = this.#map.nextFree(this.min);
    if (id > this.max) return -1;
    this.#map.add(id);
    this.count++;
    this.last = id;
    return id;
  }

  /** Takes this very number; false when it is in use or out of range. */
  reserve(id: number): boolean {
    if (id < this.min || id > this.max || this.#map.has(id)) return false;
    this.#map.add(id);
    this.count++;
    return true;
  }

  /** Gives a number back; false when it was free. */
  free(id: number): boolean {
    if (!this.#map.has(id)) return false;
    this.#map.delete(id);
    this.count--;
    return true;
  }

  has(id: number): boolean {
    return this.#map.has(id);
  }
}
