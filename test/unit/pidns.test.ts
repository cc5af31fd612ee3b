// Names of processes: one number for each namespace that sees them, given in turn and given back.

import { expect, test } from 'vitest';
import { type Pid, PID_MAX, PidNamespace } from '../../src/sentry/kernel/pidns.ts';
import type { ThreadGroup } from '../../src/sentry/kernel/threadgroup.ts';

const EAGAIN = 11;
const ENOMEM = 12;
const EEXIST = 17;
const EINVAL = 22;

function chain(): [PidNamespace, PidNamespace, PidNamespace] {
  const root = new PidNamespace(null, 1);
  const container = new PidNamespace(root, 2, null, true);
  return [root, container, new PidNamespace(container, 3)];
}

function named(p: Pid | number): Pid {
  if (typeof p === 'number') throw new Error(`errno ${-p}`);
  return p;
}

test('a name has a number in each namespace from its own upwards, and none elsewhere', () => {
  const [root, container, inner] = chain();
  const aside = new PidNamespace(container, 4);
  named(root.alloc());
  const first = named(container.alloc([1]));
  const a = named(container.alloc());
  const b = named(inner.alloc());
  expect([first.nr, a.nr, b.nr]).toEqual([1, 2, 1]);
  expect([a.in(root), a.in(container), a.in(inner)]).toEqual([3, 2, 0]);
  expect([b.in(root), b.in(container), b.in(inner), b.in(aside)]).toEqual([4, 3, 1, 0]);
  expect([root.ids.get(4), container.ids.get(3), inner.ids.get(1)]).toEqual([b, b, b]);
  expect([root.holds(inner), inner.holds(inner), inner.holds(container), aside.holds(inner)]).toEqual([true, true, false, false]);
});

test('a name stays as long as anything bears it', () => {
  const [root, container] = chain();
  const p = named(container.alloc());
  p.group = {} as ThreadGroup;
  p.drop();
  expect(container.ids.get(p.nr)).toBe(p);
  p.group = null;
  p.drop();
  expect([root.ids.size, container.ids.size]).toEqual([0, 0]);
  expect(p.in(root)).toBe(1);
  const q = named(container.alloc([p.nr]));
  p.drop();
  expect(container.ids.get(q.nr)).toBe(q);
});

test('numbers go round, past those that are taken, and never to 1 again', () => {
  const [root, , inner] = chain();
  const first = named(inner.alloc());
  inner.last = PID_MAX - 2;
  expect(named(inner.alloc()).nr).toBe(PID_MAX - 1);
  const kept = named(inner.alloc());
  expect(kept.nr).toBe(300);
  inner.last = 299;
  expect(named(inner.alloc()).nr).toBe(301);
  first.drop();
  for (let n = inner.ids.size; n < PID_MAX - 300; n++) named(inner.alloc());
  expect(inner.alloc()).toBe(-EAGAIN);
  const before = root.ids.size;
  expect(inner.alloc()).toBe(-EAGAIN);
  expect(root.ids.size).toBe(before);
});

test('wanted numbers, and a namespace that has ended', () => {
  const [, container, inner] = chain();
  expect(inner.alloc([2])).toBe(-EINVAL); // its first process is 1
  expect(inner.alloc([PID_MAX])).toBe(-EINVAL);
  expect(named(inner.alloc([1, 77])).numbers.slice(1)).toEqual([77, 1]);
  expect(container.alloc([77])).toBe(-EEXIST);
  expect(inner.alloc([1])).toBe(-EEXIST);
  inner.ended = true;
  expect(inner.alloc()).toBe(-ENOMEM);
  expect(inner.ids.size).toBe(1);
});
