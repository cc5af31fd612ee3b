// Where new mappings go: a search for free ranges from the top of a zone downwards that does not begin at the top each time.

import type { VmaSet } from './vma.ts';

/** A range of addresses that is filled from its top. Remembers where the last search ended, as Linux's free_area_cache did. */
export class GapZone {
  private readonly vmas: VmaSet;
  /** First address of the zone, and the one behind its last. */
  floor: number;
  top: number;
  /** A search goes on below this address: what is free above is no larger than `hole`. */
  private next: number;
  private hole = 0;

  constructor(vmas: VmaSet, floor: number, top: number) {
    this.vmas = vmas;
    this.floor = floor;
    this.top = top;
    this.next = top;
  }

  /** The zone has other bounds now. */
  move(floor: number, top: number): void {
    this.floor = floor;
    this.top = top;
    this.next = top;
    this.hole = 0;
  }

  /** Pages of [start, end) are free again. */
  freed(start: number, end: number): void {
    if (end > this.next && start < this.top) {
      this.next = end < this.top ? end : this.top;
      // Free pages below `end` that belong to a hole which reaches above it are found only from the hole's own end.
      const list = this.vmas.list;
      const i = this.vmas.indexAfter(this.next);
      const above = i < list.length && list[i]!.start < this.top ? list[i]!.start : this.top;
      if (above > this.next) this.next = above;
    }
  }

  /** Start of the highest free range of `len` bytes below the last one found, a multiple of `align` (a power of two). -1 when none. */
  find(len: number, align: number): number {
    // What the last searches passed over may do.
    if (len <= this.hole) {
      this.next = this.top;
      this.hole = 0;
    }
    let at = this.search(len, align);
    if (at < 0 && this.next !== this.top) {
      this.next = this.top;
      this.hole = 0;
      at = this.search(len, align);
    }
    return at;
  }

  private search(len: number, align: number): number {
    const list = this.vmas.list;
    let end = this.next;
    let i = this.vmas.indexAfter(end);
    if (i >= list.length || list[i]!.start >= end) i--;
    else {
      end = list[i]!.start;
      i--;
    }
    for (;;) {
      const v = i >= 0 ? list[i]! : null;
      const bottom = v === null || v.end < this.floor ? this.floor : v.end;
      const start = end - len - ((end - len) % align);
      if (start >= bottom) {
        this.next = start;
        return start;
      }
      if (end - bottom > this.hole) this.hole = end - bottom;
      if (v === null || v.start <= this.floor) return -1;
      end = v.start;
      i--;
    }
  }
}
