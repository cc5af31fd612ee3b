// Virtual memory areas: what the guest asked for, as /proc/PID/maps shows it. The host process holds the pages.

import { MAP_GROWSDOWN, MAP_SHARED, PROT_WRITE } from '../../abi/mman.ts';

/** What a mapping keeps open: an open file, a shared memory segment, an anonymous shared object. */
export interface MapObject {
  ref(): unknown;
  unref(): void;
  /** Path for /proc/PID/maps; '' for none. */
  mapName(): string;
  readonly dev: number;
  readonly ino: number;
  /** Identity of the memory behind it: the same for all mappings of one inode or segment (shared futexes, SHM). */
  readonly key: object;
}

export class Vma {
  start: number;
  end: number;
  /** PROT_* bits. */
  prot: number;
  /** PROT_* bits that mprotect may give at most. */
  maxProt: number;
  /** MAP_SHARED or MAP_PRIVATE, MAP_GROWSDOWN, MAP_NORESERVE... as given. */
  flags: number;
  object: MapObject | null;
  /** Offset of `start` in the object, bytes. */
  offset: number;
  /** Shown in maps when there is no object: "[stack]", "[heap]". */
  label: string;
  locked = false;
  dontFork = false;
  wipeOnFork = false;

  constructor(
    start: number,
    end: number,
    prot: number,
    maxProt: number,
    flags: number,
    object: MapObject | null,
    offset: number,
    label = '',
  ) {
    this.start = start;
    this.end = end;
    this.prot = prot;
    this.maxProt = maxProt;
    this.flags = flags;
    this.object = object;
    this.offset = offset;
    this.label = label;
  }

  /** A copy of [start, end), with its own reference to the object. */
  slice(start: number, end: number): Vma {
    if (this.object !== null) this.object.ref();
    const v = new Vma(start, end, this.prot, this.maxProt, this.flags, this.object, this.offset + (start - this.start), this.label);
    v.locked = this.locked;
    v.dontFork = this.dontFork;
    v.wipeOnFork = this.wipeOnFork;
    return v;
  }

  /** May this area and `n`, which follows, become one? */
  joins(n: Vma): boolean {
    return (
      this.end === n.start &&
      this.prot === n.prot &&
      this.maxProt === n.maxProt &&
      this.flags === n.flags &&
      this.object === n.object &&
      this.label === n.label &&
      this.locked === n.locked &&
      this.dontFork === n.dontFork &&
      this.wipeOnFork === n.wipeOnFork &&
      (this.object === null || this.offset + (this.end - this.start) === n.offset)
    );
  }

  /** Takes `n`, which follows, into itself if the two are alike; its reference is dropped. */
  absorb(n: Vma): boolean {
    if (!this.joins(n)) return false;
    this.end = n.end;
    if (n.object !== null) n.object.unref();
    return true;
  }
}

/** Does an area with these attributes count for RLIMIT_DATA? Private writable ones but stacks do (is_data_mapping). */
export function isData(prot: number, flags: number): boolean {
  return (prot & PROT_WRITE) !== 0 && (flags & (MAP_SHARED | MAP_GROWSDOWN)) === 0;
}

/** The areas of one address space, sorted, never overlapping. Attributes that are summed up change through its methods only. */
export class VmaSet {
  readonly list: Vma[] = [];
  /** Sum of lengths, bytes. */
  total = 0;
  /** Sum of the lengths of areas that count for RLIMIT_DATA, bytes. */
  data = 0;
  /** Sum of the lengths of locked areas, bytes. */
  locked = 0;
  /** Where the last lookup ended: the next one is mostly near. */
  private last = 0;

  /** Index of the first area that ends behind `addr`. */
  indexAfter(addr: number): number {
    const list = this.list;
    const near = this.last;
    if (near < list.length && list[near]!.end > addr && (near === 0 || list[near - 1]!.end <= addr)) return near;
    let lo = 0;
    let hi = list.length;
    while (lo < hi) {
      const mid = (lo + hi) >>> 1;
      if (list[mid]!.end > addr) hi = mid;
      else lo = mid + 1;
    }
    this.last = lo;
    return lo;
  }

  find(addr: number): Vma | null {
    const v = this.list[this.indexAfter(addr)];
    return v !== undefined && v.start <= addr ? v : null;
  }

  overlaps(start: number, end: number): boolean {
    const v = this.list[this.indexAfter(start)];
    return v !== undefined && v.start < end;
  }

  /** True if every byte of the range is mapped. */
  covers(start: number, end: number): boolean {
    let at = start;
    for (let i = this.indexAfter(start); i < this.list.length && at < end; i++) {
      const v = this.list[i]!;
      if (v.start > at) return false;
      at = v.end;
    }
    return at >= end;
  }

  /** `bytes` more (or, negative, fewer) are mapped with this area's attributes. */
  private account(v: Vma, bytes: number): void {
    this.total += bytes;
    if (isData(v.prot, v.flags)) this.data += bytes;
    if (v.locked) this.locked += bytes;
  }

  /** Appends behind all others: the areas of a fork's child come in order. */
  append(v: Vma): void {
    this.list.push(v);
    this.account(v, v.end - v.start);
  }

  /** Inserts into a free range; merges with alike neighbours. */
  insert(v: Vma): void {
    const list = this.list;
    const i = this.indexAfter(v.start);
    this.account(v, v.end - v.start);
    const before = i > 0 ? list[i - 1]! : null;
    const next = i < list.length ? list[i]! : null;
    if (before !== null && before.absorb(v)) {
      if (next !== null && before.absorb(next)) list.splice(i, 1);
    } else if (next !== null && v.joins(next)) {
      next.start = v.start;
      next.offset = v.offset;
      if (v.object !== null) v.object.unref();
    } else list.splice(i, 0, v);
  }

  /** Splits areas so that none crosses `addr`. */
  split(addr: number): void {
    const i = this.indexAfter(addr);
    const v = this.list[i];
    if (v === undefined || v.start >= addr) return;
    const tail = v.slice(addr, v.end);
    v.end = addr;
    this.list.splice(i + 1, 0, tail);
  }

  /** Removes [start, end); references are dropped. */
  remove(start: number, end: number): void {
    const list = this.list;
    let i = this.indexAfter(start);
    let v = list[i];
    if (v === undefined || v.start >= end) return;
    if (v.start < start) {
      if (v.end > end) {
        list.splice(i + 1, 0, v.slice(end, v.end));
        v.end = start;
        this.account(v, start - end);
        return;
      }
      this.account(v, start - v.end);
      v.end = start;
      i++;
    }
    let n = 0;
    for (;;) {
      v = list[i + n];
      if (v === undefined || v.end > end) break;
      this.account(v, v.start - v.end);
      if (v.object !== null) v.object.unref();
      n++;
    }
    if (v !== undefined && v.start < end) {
      this.account(v, v.start - end);
      v.offset += end - v.start;
      v.start = end;
    }
    if (n > 0) list.splice(i, n);
  }

  /** Calls fn for each area inside [start, end), split at the borders, then merges again. */
  change(start: number, end: number, fn: (v: Vma) => void): void {
    this.split(start);
    this.split(end);
    const list = this.list;
    for (let i = this.indexAfter(start); i < list.length && list[i]!.start < end; i++) {
      const v = list[i]!;
      this.account(v, v.start - v.end);
      fn(v);
      this.account(v, v.end - v.start);
    }
    this.merge(start, end);
  }

  /** mprotect(2): as change, without a function for each call. */
  protect(start: number, end: number, prot: number): void {
    this.split(start);
    this.split(end);
    const list = this.list;
    for (let i = this.indexAfter(start); i < list.length && list[i]!.start < end; i++) {
      const v = list[i]!;
      this.account(v, v.start - v.end);
      v.prot = prot;
      this.account(v, v.end - v.start);
    }
    this.merge(start, end);
  }

  /** Makes one of alike neighbours inside and at the borders of [start, end]. */
  private merge(start: number, end: number): void {
    const list = this.list;
    let i = Math.max(1, this.indexAfter(start));
    while (i < list.length && list[i]!.start <= end) {
      if (list[i - 1]!.absorb(list[i]!)) list.splice(i, 1);
      else i++;
    }
  }

  clear(): void {
    for (const v of this.list) if (v.object !== null) v.object.unref();
    this.list.length = 0;
    this.total = 0;
    this.data = 0;
    this.locked = 0;
  }
}
