// What a process does once when it has nothing to do: it becomes small.
//
// A start leaves garbage of several MiB, a code cache that is read, half-empty pages. Nobody collects them in a process that does nothing
// any more, and a host runs hundreds of those.

import type { Native } from './native.ts';

/** How long nothing must have happened, milliseconds. */
export const IDLE_MS = 1000;
/** After how many waits it is worth doing again. */
const WORTH_WAITS = 1000;

export class Shrinker {
  private readonly native: Native;
  private due = true;
  private waits = 0;

  constructor(native: Native) {
    this.native = native;
  }

  /** How long to wait at most, in ms (negative and Infinity: for ever), by somebody who is ready to wait `ms`: see `waited`. */
  limit(ms: number): number {
    if (++this.waits >= WORTH_WAITS) {
      this.waits = 0;
      this.due = true;
    }
    return this.due && (ms > IDLE_MS || ms < 0) ? IDLE_MS : ms;
  }

  /** To be told what came of a wait of `limit(...)` milliseconds: whether something happened. Takes some 10 ms when it is time to shrink. */
  waited(limit: number, happened: boolean): void {
    if (happened || !this.due || limit !== IDLE_MS) return;
    this.due = false;
    this.waits = 0;
    this.native.shrink();
  }
}
