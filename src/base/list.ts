// Intrusive doubly linked lists: joining and leaving allocate nothing, leaving takes no search.

/** One membership. An object that may be in several lists at once has one Link for each. */
export class Link<T> {
  list: List<T> | null = null;
  prev: Link<T> | null = null;
  next: Link<T> | null = null;
  readonly owner: T;

  constructor(owner: T) {
    this.owner = owner;
  }

  get linked(): boolean {
    return this.list !== null;
  }

  /** Leaves its list; harmless when in none. */
  remove(): void {
    if (this.list !== null) this.list.remove(this);
  }
}

export class List<T> {
  head: Link<T> | null = null;
  tail: Link<T> | null = null;
  length = 0;

  get empty(): boolean {
    return this.head === null;
  }

  /** Adds at the end. A link is in one list at a time: it leaves the other first. */
  push(link: Link<T>): void {
    this.insertBefore(link, null);
  }

  /** Adds at the front. */
  unshift(link: Link<T>): void {
    link.remove();
    this.insertBefore(link, this.head);
  }

  /** Adds before `at`, a link of this list; null: at the end. */
  insertBefore(link: Link<T>, at: Link<T> | null): void {
    if (link === at) return;
    link.remove();
    const prev = at === null ? this.tail : at.prev;
    link.list = this;
    link.prev = prev;
    link.next = at;
    if (prev === null) this.head = link;
    else prev.next = link;
    if (at === null) this.tail = link;
    else at.prev = link;
    this.length++;
  }

  remove(link: Link<T>): void {
    if (link.list !== this) return;
    if (link.prev === null) this.head = link.next;
    else link.prev.next = link.next;
    if (link.next === null) this.tail = link.prev;
    else link.next.prev = link.prev;
    link.list = null;
    link.prev = null;
    link.next = null;
    this.length--;
  }

  /** Removes the first and answers its owner; null when empty. */
  shift(): T | null {
    const first = this.head;
    if (first === null) return null;
    this.remove(first);
    return first.owner;
  }

  first(): T | null {
    return this.head === null ? null : this.head.owner;
  }

  last(): T | null {
    return this.tail === null ? null : this.tail.owner;
  }

  /** Calls `fn` for each owner in order; it may remove the link that it is called for. */
  forEach(fn: (owner: T) => void): void {
    let link = this.head;
    while (link !== null) {
      const next: Link<T> | null = link.next;
      fn(link.owner);
      link = next;
    }
  }

  toArray(): T[] {
    const out: T[] = [];
    for (let link = this.head; link !== null; link = link.next) out.push(link.owner);
    return out;
  }
}
