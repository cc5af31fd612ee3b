// Counts system calls: how often, with which errors, and the time they take (`ringfence compat trace`). Nothing of it exists while nobody
// traces.

import { monotonicNs } from '../../base/clock.ts';
import { NO_RESULT, TASK_EXITED } from '../../base/result.ts';
import type { CallCount, CallCounts } from '../../wire/counts.ts';
import type { Tracer } from '../kernel/run.ts';
import type { Task } from '../kernel/task.ts';
import { errnoName } from './strace.ts';
import { names } from './table.ts';

/** Different numbers that are kept apart: a guest may call any. */
const MOST_NUMBERS = 1024;

/** A call that is under way. */
interface Pending {
  count: CallCount;
  /** CLOCK_MONOTONIC ns since when its handler runs, or it waits. */
  since: number;
  waiting: boolean;
}

/** Counts the calls of all tasks. */
export class Counter implements Tracer {
  private readonly counts: Map<number, CallCount> = new Map();
  private readonly pending: Map<Task, Pending> = new Map();

  enter(t: Task): void {
    const count = this.countOf(t.nr);
    count.calls++;
    this.pending.set(t, { count, since: monotonicNs(), waiting: false });
  }

  wait(t: Task): void {
    const p = this.pending.get(t);
    if (p === undefined) return;
    const now = monotonicNs();
    p.count.ns += now - p.since;
    p.since = now;
    p.waiting = true;
  }

  again(t: Task): void {
    const p = this.pending.get(t);
    // A call that a signal interrupted, and that is made again without the guest's doing.
    if (p === undefined) this.enter(t);
    else this.resumed(p);
  }

  private resumed(p: Pending): void {
    const now = monotonicNs();
    if (p.waiting) p.count.waited += now - p.since;
    else p.count.ns += now - p.since;
    p.since = now;
    p.waiting = false;
  }

  leave(t: Task, r: number): void {
    const p = this.pending.get(t);
    if (p === undefined) return;
    this.pending.delete(t);
    this.resumed(p);
    if (r === NO_RESULT || r === TASK_EXITED || r >= 0 || r < -4095) return;
    const name = errnoName(-r);
    p.count.errors[name] = (p.count.errors[name] ?? 0) + 1;
  }

  private countOf(nr: number): CallCount {
    let c = this.counts.get(nr);
    if (c === undefined) {
      const known = this.counts.size < MOST_NUMBERS || names.has(nr);
      if (!known) return this.countOf(-1);
      c = { nr, calls: 0, errors: {}, ns: 0, waited: 0 };
      this.counts.set(nr, c);
    }
    return c;
  }

  /** All of it; calls that never came back waited until now. */
  total(unsupported: Iterable<string>): CallCounts {
    for (const p of this.pending.values()) this.resumed(p);
    this.pending.clear();
    return { calls: [...this.counts.values()], unsupported: [...unsupported] };
  }
}
