// When a process that has nothing to do becomes small (src/host/idle.ts).

import { expect, test } from 'vitest';
import { IDLE_MS, Shrinker } from '../../src/host/idle.ts';
import type { Native } from '../../src/host/native.ts';

function shrinker(): { s: Shrinker; count: () => number } {
  let n = 0;
  return { s: new Shrinker({ shrink: () => ++n } as unknown as Native), count: () => n };
}

/** One wait of `ms` in which something happens or not; the limit that was given. */
function wait(s: Shrinker, ms: number, happened: boolean): number {
  const limit = s.limit(ms);
  s.waited(limit, happened);
  return limit;
}

test('shrinks once in the first quiet second, and then sleeps for as long as it is asked to', () => {
  const { s, count } = shrinker();
  expect(wait(s, Infinity, true)).toBe(IDLE_MS);
  expect(wait(s, 0, false)).toBe(0);
  expect(wait(s, 5, false)).toBe(5);
  expect(count()).toBe(0);
  expect(wait(s, Infinity, false)).toBe(IDLE_MS);
  expect(count()).toBe(1);
  for (const ms of [Infinity, -1, 5000]) expect(wait(s, ms, false)).toBe(ms);
  expect(count()).toBe(1);
});

test('shrinks again after a thousand waits', () => {
  const { s, count } = shrinker();
  expect(wait(s, -1, false)).toBe(IDLE_MS);
  for (let i = 0; i < 998; i++) expect(wait(s, -1, true)).toBe(-1);
  expect(count()).toBe(1);
  wait(s, -1, true);
  expect(wait(s, -1, false)).toBe(IDLE_MS);
  expect(count()).toBe(2);
});
