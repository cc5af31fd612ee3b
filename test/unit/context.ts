// A context without an engine: nothing travels with a call, all data goes by the memory manager.

import type { Context } from '../../src/platform/platform.ts';

/** Just enough of a context for Task's ways to guest memory. */
export function plainContext(): Context {
  return {
    delivering: false,
    receive: () => false,
    send: () => false,
    fetched: () => -1,
    fetchedFrom: () => -1,
    reserve: () => -1,
  } as unknown as Context;
}
