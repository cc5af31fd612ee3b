// Waiting for what comes in its own time.

/** Waits `ms` milliseconds. */
export function sleep(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}

/** Waits until `test` holds, looking every 50 ms; an error that names `what` after `ms`. */
export async function until(what: string, test: () => boolean | Promise<boolean>, ms: number = 30_000): Promise<void> {
  const end = Date.now() + ms;
  while (!(await test())) {
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await sleep(50);
  }
}
