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

/** Bytes that `calls` calls take, without what measuring takes. */
export function heapTaken(f: () => void, calls: number = CALLS): number {
  const nothing = (): void => {};
  for (let i = 0; i < 50_000; i++) f();
  allocated(f, 20 * CHUNK);
  const base = allocated(nothing, calls);
  return allocated(f, calls) - base;
}
