// A broken invariant is a bug of ours: it ends the task at hand with a report. No guest can provoke one.

/** What is thrown for a bug inside ringfence. */
export class BugError extends Error {
  override readonly name = 'BugError';
}
