// Virtual memory areas: what the guest asked for, as /proc/PID/maps shows it. The host process holds the pages.

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

  private joins(n: Vma): boolean {
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

/** The areas of one address space, sorted, never overlapping. */
export class VmaSet {
  readonly list: Vma[] = [];
  /** Sum of lengths, bytes. */
  total = 0;

  /** Index of the first area that ends behind `addr`. */
  indexAfter(addr: number): number {
    let lo = 0;
    let hi = this.list.length;
    while (lo < hi) {
      const mid = (lo + hi) >>> 1;
      if (this.list[mid]!.end > addr) hi = mid;
      else lo = mid + 1;
    }
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

  /** Inserts into a free range; merges with alike neighbours. */
  insert(v: Vma): void {
    let i = this.indexAfter(v.start);
    this.list.splice(i, 0, v);
    this.total += v.end - v.start;
    const next = this.list[i + 1];
    if (next !== undefined && v.absorb(next)) this.list.splice(i + 1, 1);
    if (i > 0 && this.list[i - 1]!.absorb(v)) {
      this.list.splice(i, 1);
      i--;
    }
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
    this.split(start);
    this.split(end);
    const i = this.indexAfter(start);
    let n = 0;
    while (i + n < this.list.length && this.list[i + n]!.start < end) {
      const v = this.list[i + n]!;
      this.total -= v.end - v.start;
      if (v.object !== null) v.object.unref();
      n++;
    }
    if (n > 0) this.list.splice(i, n);
  }

  /** Calls fn for each area inside [start, end), split at the borders, then merges again. */
  change(start: number, end: number, fn: (v: Vma) => void): void {
    this.split(start);
    this.split(end);
    for (let i = this.indexAfter(start); i < this.list.length && this.list[i]!.start < end; i++) fn(this.list[i]!);
    this.merge(start, end);
  }

  private merge(start: number, end: number): void {
    let i = Math.max(1, this.indexAfter(start));
    while (i < this.list.length && this.list[i]!.start <= end) {
      if (this.list[i - 1]!.absorb(this.list[i]!)) this.list.splice(i, 1);
      else i++;
    }
  }

  clear(): void {
    for (const v of this.list) if (v.object !== null) v.object.unref();
    this.list.length = 0;
    this.total = 0;
  }
}
