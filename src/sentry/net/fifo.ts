// First in, first out, of objects: a ring that grows. Adding and taking leave nothing for the garbage collector.

/** Places of a fresh one, a power of two. */
const INITIAL = 8;
/** A ring of more places than this is given back once it is empty. */
const KEPT = 1024;

export class Fifo<T> {
  /** A power of two of places; null until something is added. */
  private items: (T | undefined)[] | null = null;
  private head = 0;
  private count = 0;

  get length(): number {
    return this.count;
  }

  push(item: T): void {
    const items = this.room();
    items[(this.head + this.count) & (items.length - 1)] = item;
    this.count++;
  }

  /** Puts an item back in front. */
  unshift(item: T): void {
    const items = this.room();
    this.head = (this.head - 1) & (items.length - 1);
    items[this.head] = item;
    this.count++;
  }

  first(): T | undefined {
    return this.items === null ? undefined : this.items[this.head];
  }

  shift(): T | undefined {
    const items = this.items;
    if (items === null || this.count === 0) return undefined;
    const item = items[this.head];
    items[this.head] = undefined;
    this.head = (this.head + 1) & (items.length - 1);
    if (--this.count === 0 && items.length > KEPT) {
      this.items = null;
      this.head = 0;
    }
    return item;
  }

  /** Takes the first item that equals `item` out. True if it was there. */
  remove(item: T): boolean {
    const items = this.items;
    if (items === null) return false;
    const mask = items.length - 1;
    for (let i = 0; i < this.count; i++) {
      if (items[(this.head + i) & mask] !== item) continue;
      for (let j = i + 1; j < this.count; j++) items[(this.head + j - 1) & mask] = items[(this.head + j) & mask];
      items[(this.head + --this.count) & mask] = undefined;
      return true;
    }
    return false;
  }

  /** Calls `fn` for each item in order. What it adds or takes meanwhile may or may not be seen. */
  forEach(fn: (item: T) => void): void {
    for (let i = 0; i < this.count; i++) {
      const items = this.items!;
      fn(items[(this.head + i) & (items.length - 1)]!);
    }
  }

  /** The places, at least one of them free. */
  private room(): (T | undefined)[] {
    const old = this.items;
    if (old !== null && this.count < old.length) return old;
    const items = new Array<T | undefined>(old === null ? INITIAL : old.length * 2).fill(undefined);
    if (old !== null) for (let i = 0; i < this.count; i++) items[i] = old[(this.head + i) & (old.length - 1)];
    this.items = items;
    this.head = 0;
    return items;
  }
}
