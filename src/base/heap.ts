// Deadlines in order: a binary min-heap whose members know their place, so that a timer can be cancelled or moved without a search.

/** What a heap holds. `heapIndex` belongs to the heap: -1 while outside of one. */
export interface HeapItem {
  /** Smaller comes first; in any one unit (nanoseconds of CLOCK_MONOTONIC for timers). Change it only through `update`. */
  deadline: number;
  heapIndex: number;
}

export class MinHeap<T extends HeapItem> {
  readonly #items: T[] = [];

  get size(): number {
    return this.#items.length;
  }

  /** The item that comes first, or null. */
  peek(): T | null {
    return this.#items.length === 0 ? null : this.#items[0]!;
  }

  /** The earliest deadline; Infinity when empty. */
  get earliest(): number {
    return this.#items.length === 0 ? Infinity : this.#items[0]!.deadline;
  }

  /** Adds an item with its deadline; one that is in the heap already moves. */
  update(item: T, deadline: number): void {
    item.deadline = deadline;
    if (item.heapIndex < 0) {
      item.heapIndex = this.#items.length;
      this.#items.push(item);
      this.#up(item.heapIndex);
      return;
    }
    this.#up(item.heapIndex);
    this.#down(item.heapIndex);
  }

  /** Adds an item whose deadline is set. */
  add(item: T): void {
    this.update(item, item.deadline);
  }

  /** Takes an item out; false when it was in no heap. */
  remove(item: T): boolean {
    const i = item.heapIndex;
    if (i < 0 || this.#items[i] !== item) return false;
    const last = this.#items.pop()!;
    item.heapIndex = -1;
    if (last !== item) {
      this.#items[i] = last;
      last.heapIndex = i;
      this.#up(i);
      this.#down(last.heapIndex);
    }
    return true;
  }

  /** Takes the first item out, or answers null. */
  pop(): T | null {
    const first = this.peek();
    if (first !== null) this.remove(first);
    return first;
  }

  /** Takes the first item out if it is due at `now`, or answers null. */
  popDue(now: number): T | null {
    const first = this.peek();
    if (first === null || first.deadline > now) return null;
    this.remove(first);
    return first;
  }

  #up(i: number): void {
    const items = this.#items;
    const item = items[i]!;
    while (i > 0) {
      const p = (i - 1) >> 1;
      const parent = items[p]!;
      if (parent.deadline <= item.deadline) break;
      items[i] = parent;
      parent.heapIndex = i;
      i = p;
    }
    items[i] = item;
    item.heapIndex = i;
  }

  #down(i: number): void {
    const items = this.#items;
    const n = items.length;
    const item = items[i]!;
    for (;;) {
      let c = 2 * i + 1;
      if (c >= n) break;
      if (c + 1 < n && items[c + 1]!.deadline < items[c]!.deadline) c++;
      const child = items[c]!;
      if (child.deadline >= item.deadline) break;
      items[i] = child;
      child.heapIndex = i;
      i = c;
    }
    items[i] = item;
    item.heapIndex = i;
  }
}
