// Values on disjoint ranges of numbers, in order: memory areas of an address space, locks on a file.
//
// Ranges are [start, end) over doubles (addresses and offsets below 2^53, Infinity as an end is fine). Three arrays side by side; a
// lookup tries the place of the last hit first, then searches by halves. Places (indices) are good until the next change.

import { BugError } from './assert.ts';

/** What a map asks when ranges are cut or touch. All optional. */
export interface RangeHooks<V> {
  /** A range is being cut in two at `at`: answers the value for the upper part; `value` stays with the lower one. Default: the same. */
  split?(value: V, start: number, at: number, end: number): V;
  /** May these neighbours, which touch at `bStart`, become one with the value of the lower one? Default: never. */
  merge?(a: V, aStart: number, aEnd: number, b: V, bStart: number, bEnd: number): boolean;
  /** A range that stays has other bounds now (after a cut, a split or a merge). */
  resized?(value: V, start: number, end: number): void;
}

const NO_HOOKS = {};

export class RangeMap<V> {
  #starts: Float64Array = new Float64Array(8);
  #ends: Float64Array = new Float64Array(8);
  #values: V[] = [];
  #last = 0;
  readonly #hooks: RangeHooks<V>;

  constructor(hooks: RangeHooks<V> = NO_HOOKS) {
    this.#hooks = hooks;
  }

  /** Count of ranges. */
  get size(): number {
    return this.#values.length;
  }

  startAt(i: number): number {
    return this.#starts[i]!;
  }

  endAt(i: number): number {
    return this.#ends[i]!;
  }

  valueAt(i: number): V {
    return this.#values[i]!;
  }

  setValueAt(i: number, value: V): void {
    this.#values[i] = value;
  }

  /** Place of the range that holds `x`, or -1. */
  indexOf(x: number): number {
    const last = this.#last;
    if (last < this.#values.length && x >= this.#starts[last]! && x < this.#ends[last]!) return last;
    const i = this.lowerBound(x);
    if (i < this.#values.length && this.#starts[i]! <= x) {
      this.#last = i;
      return i;
    }
    return -1;
  }

  /** Value of the range that holds `x`, or undefined. */
  get(x: number): V | undefined {
    const i = this.indexOf(x);
    return i < 0 ? undefined : this.#values[i];
  }

  /** Place of the first range that ends behind `x` (it holds x or lies above it); `size` when there is none. */
  lowerBound(x: number): number {
    const ends = this.#ends;
    let lo = 0;
    let hi = this.#values.length;
    while (lo < hi) {
      const mid = (lo + hi) >>> 1;
      if (ends[mid]! > x) hi = mid;
      else lo = mid + 1;
    }
    return lo;
  }

  /** True if any range meets [start, end). */
  overlaps(start: number, end: number): boolean {
    const i = this.lowerBound(start);
    return start < end && i < this.#values.length && this.#starts[i]! < end;
  }

  /** True if [start, end) is covered without a hole. */
  covers(start: number, end: number): boolean {
    let i = this.lowerBound(start);
    while (start < end) {
      if (i >= this.#values.length || this.#starts[i]! > start) return false;
      start = this.#ends[i]!;
      i++;
    }
    return true;
  }

  /** Adds a range; nothing may be there (throws). Joins it with neighbours where the merge hook agrees. Answers its place. */
  insert(start: number, end: number, value: V): number {
    const i = this.lowerBound(start);
    if (!(start < end) || (i < this.#values.length && this.#starts[i]! < end)) throw new BugError('RangeMap.insert: bad or taken range');
    this.#open(i, start, end, value);
    if (this.#tryMerge(i)) this.#hooks.resized?.(this.#values[i]!, this.#starts[i]!, this.#ends[i]!);
    if (i > 0 && this.#tryMerge(i - 1)) {
      this.#hooks.resized?.(this.#values[i - 1]!, this.#starts[i - 1]!, this.#ends[i - 1]!);
      return i - 1;
    }
    return i;
  }

  /** Cuts what is in [start, end) away, then adds the range. `removed` as for remove(). Answers its place. */
  set(start: number, end: number, value: V, removed?: (value: V, start: number, end: number) => void): number {
    this.remove(start, end, removed);
    return this.insert(start, end, value);
  }

  /** Takes [start, end) out, cutting ranges at its borders. `removed` hears of each piece taken, in rising order. */
  remove(start: number, end: number, removed?: (value: V, start: number, end: number) => void): void {
    if (!(start < end)) return;
    const first = this.isolate(start, end);
    let i = first;
    while (i < this.#values.length && this.#starts[i]! < end) i++;
    if (i === first) return;
    const gone: V[] = this.#values.slice(first, i);
    const starts = this.#starts.slice(first, i);
    const ends = this.#ends.slice(first, i);
    this.#close(first, i - first);
    if (removed !== undefined) for (let k = 0; k < gone.length; k++) removed(gone[k]!, starts[k]!, ends[k]!);
  }

  /** Makes range borders at `start` and `end`, splitting what crosses them. Answers the place of the first range in [start, end), or
   * where it would be. Afterwards the caller may change values from there on while startAt(i) < end; then join them with coalesce(). */
  isolate(start: number, end: number): number {
    this.splitAt(start);
    this.splitAt(end);
    return this.lowerBound(start);
  }

  /** Splits the range that has `at` strictly inside. */
  splitAt(at: number): void {
    const i = this.lowerBound(at);
    if (i >= this.#values.length) return;
    const start = this.#starts[i]!;
    if (start >= at) return;
    const end = this.#ends[i]!;
    const value = this.#values[i]!;
    const hooks = this.#hooks;
    const upper = hooks.split === undefined ? value : hooks.split(value, start, at, end);
    this.#ends[i] = at;
    this.#open(i + 1, at, end, upper);
    this.#hooks.resized?.(value, start, at);
    this.#hooks.resized?.(upper, at, end);
  }

  /** Joins neighbours that touch within or at the borders of [start, end] where the merge hook agrees. */
  coalesce(start: number, end: number): void {
    let i = this.lowerBound(start);
    if (i > 0) i--;
    while (i < this.#values.length && this.#starts[i]! <= end) {
      if (this.#tryMerge(i)) this.#hooks.resized?.(this.#values[i]!, this.#starts[i]!, this.#ends[i]!);
      else i++;
    }
  }

  /** Calls `fn` for each range that meets [start, end), in order, with the range's whole bounds. It must not change the map. */
  forEachIn(start: number, end: number, fn: (value: V, start: number, end: number) => void): void {
    for (let i = this.lowerBound(start); i < this.#values.length && this.#starts[i]! < end; i++) {
      fn(this.#values[i]!, this.#starts[i]!, this.#ends[i]!);
    }
  }

  forEach(fn: (value: V, start: number, end: number) => void): void {
    for (let i = 0; i < this.#values.length; i++) fn(this.#values[i]!, this.#starts[i]!, this.#ends[i]!);
  }

  /** Lowest start of a hole of `size` in [lo, hi), or -1. */
  findGapUp(size: number, lo: number, hi: number): number {
    let at = lo;
    for (let i = this.lowerBound(lo); i < this.#values.length; i++) {
      const start = this.#starts[i]!;
      if (start >= hi || start - at >= size) break;
      at = this.#ends[i]! > at ? this.#ends[i]! : at;
    }
    return at + size <= hi ? at : -1;
  }

  /** Highest start of a hole of `size` in [lo, hi), or -1. */
  findGapDown(size: number, lo: number, hi: number): number {
    let top = hi;
    let i = this.lowerBound(hi);
    if (i < this.#values.length && this.#starts[i]! < hi) top = this.#starts[i]!;
    for (i = i - 1; i >= 0; i--) {
      const end = this.#ends[i]!;
      if (end <= lo || top - end >= size) break;
      top = this.#starts[i]!;
    }
    return top - size >= lo ? top - size : -1;
  }

  clear(): void {
    this.#values.length = 0;
    this.#last = 0;
  }

  /** Makes room at place `i` and fills it. */
  #open(i: number, start: number, end: number, value: V): void {
    const n = this.#values.length;
    if (n === this.#starts.length) {
      const starts = new Float64Array(n * 2);
      const ends = new Float64Array(n * 2);
      starts.set(this.#starts);
      ends.set(this.#ends);
      this.#starts = starts;
      this.#ends = ends;
    }
    this.#starts.copyWithin(i + 1, i, n);
    this.#ends.copyWithin(i + 1, i, n);
    this.#starts[i] = start;
    this.#ends[i] = end;
    if (i === n) this.#values.push(value);
    else this.#values.splice(i, 0, value);
  }

  #close(i: number, count: number): void {
    const n = this.#values.length;
    this.#starts.copyWithin(i, i + count, n);
    this.#ends.copyWithin(i, i + count, n);
    this.#values.splice(i, count);
  }

  /** Joins places i and i+1 if they touch and may. */
  #tryMerge(i: number): boolean {
    const hooks = this.#hooks;
    if (hooks.merge === undefined || i + 1 >= this.#values.length) return false;
    const aStart = this.#starts[i]!;
    const aEnd = this.#ends[i]!;
    const bStart = this.#starts[i + 1]!;
    const bEnd = this.#ends[i + 1]!;
    if (aEnd !== bStart || !hooks.merge(this.#values[i]!, aStart, aEnd, this.#values[i + 1]!, bStart, bEnd)) return false;
    this.#ends[i] = bEnd;
    this.#close(i + 1, 1);
    return true;
  }
}
