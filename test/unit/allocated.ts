// How much heap calls take, for tests that hot calls leave nothing behind for the garbage collector.

import { getHeapStatistics } from 'node:v8';

const CALLS = 1_000_000;
const CHUNK = 2000;

/** Bytes of heap that `calls` invocations of `f` take, measured between collections. */
function allocated(f: () => void, calls: number): number {
  let sum = 0;
  for (let done = 0; done < calls; done += CHUNK) {
    const before = getHeapStatistics().used_heap_size;
    for (let i = 0; i < CHUNK; i++) f();
    const grown = getHeapStatistics().used_heap_size - before;
    // A collection within the chunk hides what the chunk took: the others tell.
    if (grown > 0) sum += grown;
  }
  return sum;
}

/** More than this is measured again: on a busy machine V8 may run code for long before it is optimised, and that boxes numbers. */
const SUSPICIOUS = 100_000;
const TRIES = 3;

/** Bytes that `calls` calls take, without what measuring takes: the least of a few tries. */
export function heapTaken(f: () => void, calls: number = CALLS): number {
  const nothing = (): void => {};
  let least = Infinity;
  for (let i = 0; i < TRIES && least > SUSPICIOUS; i++) {
    for (let n = 0; n < 50_000; n++) f();
    allocated(f, 20 * CHUNK);
    const base = allocated(nothing, calls);
    least = Math.min(least, allocated(f, calls) - base);
  }
  return least;
}
