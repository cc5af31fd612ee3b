// Wait queues: who wants to hear that an object changed (Linux: include/linux/wait.h; gVisor: pkg/waiter).
//
// Intrusive lists: adding, removing and notifying allocate nothing. A notification says "try again", never "it is so": the woken side
// looks at the object itself. Masks are POLL* bits (src/abi/poll.ts); -1 means any change.

/** What a wait queue wakes. `notify` must not run guest work: it marks and schedules. */
export interface Wakeable {
  notify(entry: WaitEntry, mask: number): void;
}

/** One membership in one queue. Owned and reused by its Wakeable. */
export class WaitEntry {
  queue: WaitQueue | null = null;
  prev: WaitEntry | null = null;
  next: WaitEntry | null = null;
  mask = 0;
  readonly owner: Wakeable;
  /** Free for the owner. */
  key: unknown;

  constructor(owner: Wakeable, key: unknown = null) {
    this.owner = owner;
    this.key = key;
  }

  /** Leaves its queue; harmless when in none. */
  remove(): void {
    if (this.queue !== null) this.queue.remove(this);
  }
}

export class WaitQueue {
  head: WaitEntry | null = null;
  tail: WaitEntry | null = null;

  get empty(): boolean {
    return this.head === null;
  }

  /** Adds `e` at the end, to be told of events that meet `mask`. An entry is in one queue at a time. */
  add(e: WaitEntry, mask: number): void {
    if (e.queue !== null) e.queue.remove(e);
    e.queue = this;
    e.mask = mask;
    e.prev = this.tail;
    e.next = null;
    if (this.tail === null) this.head = e;
    else this.tail.next = e;
    this.tail = e;
  }

  remove(e: WaitEntry): void {
    if (e.queue !== this) return;
    if (e.prev === null) this.head = e.next;
    else e.prev.next = e.next;
    if (e.next === null) this.tail = e.prev;
    else e.next.prev = e.prev;
    e.queue = null;
    e.prev = null;
    e.next = null;
  }

  /** Tells all entries whose mask meets `mask`. Entries may remove themselves (not others) while being told. */
  notify(mask: number): void {
    let e = this.head;
    while (e !== null) {
      const next: WaitEntry | null = e.next;
      if ((e.mask & mask) !== 0) e.owner.notify(e, mask);
      e = next;
    }
  }
}
