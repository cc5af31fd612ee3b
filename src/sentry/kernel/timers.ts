// Deadlines: a binary heap with removal. Times are nanoseconds of CLOCK_MONOTONIC as doubles.

export class Timer {
  deadline: number;
  fire: () => void;
  /** Place in the heap; -1 when not armed. */
  index = -1;

  constructor(fire: () => void) {
    this.deadline = Infinity;
    this.fire = fire;
  }

  get armed(): boolean {
    return this.index >= 0;
  }
}

export class TimerQueue {
  private readonly heap: Timer[] = [];

  /** Deadline of the first timer, or Infinity. */
  get next(): number {
    return this.heap.length === 0 ? Infinity : this.heap[0]!.deadline;
  }

  /** Arms (or moves) `t` to `deadline`. */
  arm(t: Timer, deadline: number): void {
    if (t.index < 0) {
      t.deadline = deadline;
      t.index = this.heap.length;
      this.heap.push(t);
      this.up(t.index);
      return;
    }
    const old = t.deadline;
    t.deadline = deadline;
    if (deadline < old) this.up(t.index);
    else this.down(t.index);
  }

  cancel(t: Timer): void {
    const i = t.index;
    if (i < 0) return;
    t.index = -1;
    const last = this.heap.pop()!;
    if (last === t) return;
    this.heap[i] = last;
    last.index = i;
    this.up(i);
    this.down(last.index);
  }

  /** Fires all timers whose deadline is at or before `now`. */
  run(now: number): void {
    while (this.heap.length > 0 && this.heap[0]!.deadline <= now) {
      const t = this.heap[0]!;
      this.cancel(t);
      t.fire();
    }
  }

  private up(from: number): void {
    const h = this.heap;
    let i = from;
    const t = h[i]!;
    while (i > 0) {
      const p = (i - 1) >> 1;
      const q = h[p]!;
      if (q.deadline <= t.deadline) break;
      h[i] = q;
      q.index = i;
      i = p;
    }
    h[i] = t;
    t.index = i;
  }

  private down(from: number): void {
    const h = this.heap;
    const n = h.length;
    let i = from;
    const t = h[i]!;
    for (;;) {
      let k = 2 * i + 1;
      if (k >= n) break;
      if (k + 1 < n && h[k + 1]!.deadline < h[k]!.deadline) k++;
      const q = h[k]!;
      if (q.deadline >= t.deadline) break;
      h[i] = q;
      q.index = i;
      i = k;
    }
    h[i] = t;
    t.index = i;
  }
}
