// Assertions. A failed one is a bug of ours: it ends the task at hand with a report, never an error that a guest can provoke.

/** A broken invariant inside ringfence. */
export class BugError extends Error {
  override readonly name = 'BugError';
}

/** Throws when `condition` does not hold. Keep `message` a constant: it is evaluated on every call. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new BugError(message);
}

/** For places that the types rule out. */
export function unreachable(value: never): never {
  throw new BugError(`unreachable: ${String(value)}`);
}
