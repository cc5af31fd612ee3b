// RangeMap against a model that knows the value of every single number.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { RangeMap } from '../../src/base/rangemap.ts';

const SPAN = 64;

interface Area {
  tag: number;
  start: number;
  end: number;
}

const op = fc
  .record({
    kind: fc.constantFrom('set', 'remove', 'retag', 'find', 'gap'),
    a: fc.nat(SPAN),
    b: fc.nat(SPAN),
    tag: fc.nat(3),
  })
  .map((o) => ({ ...o, start: Math.min(o.a, o.b), end: Math.max(o.a, o.b) }));

test('a map of ranges agrees with a map of numbers', () => {
  fc.assert(
    fc.property(fc.array(op, { maxLength: 60 }), (ops) => {
      const map = new RangeMap<Area>({
        split: (v, _s, at, end) => ({ tag: v.tag, start: at, end }),
        merge: (a, _as, _ae, b) => a.tag === b.tag,
        resized: (v, s, e) => {
          v.start = s;
          v.end = e;
        },
      });
      const model: number[] = new Array(SPAN).fill(-1);
      for (const { kind, start, end, tag } of ops) {
        if (kind === 'set' && start < end) {
          map.set(start, end, { tag, start, end });
          model.fill(tag, start, end);
        } else if (kind === 'remove') {
          let count = 0;
          map.remove(start, end, (v, s, e) => {
            for (let x = s; x < e; x++) expect(model[x]).toBe(v.tag);
            count += e - s;
          });
          expect(count).toBe(model.slice(start, end).filter((t) => t >= 0).length);
          model.fill(-1, start, end);
        } else if (kind === 'retag' && start < end) {
          for (let i = map.isolate(start, end); i < map.size && map.startAt(i) < end; i++) map.valueAt(i).tag = tag;
          map.coalesce(start, end);
          for (let x = start; x < end; x++) if (model[x]! >= 0) model[x] = tag;
        } else if (kind === 'find') {
          const inside = model.slice(start, end);
          expect(map.overlaps(start, end)).toBe(inside.some((t) => t >= 0));
          expect(map.covers(start, end)).toBe(inside.every((t) => t >= 0));
        } else if (kind === 'gap' && start < end) {
          const size = tag + 1;
          const fits: number[] = [];
          for (let x = start; x + size <= end; x++) if (model.slice(x, x + size).every((t) => t < 0)) fits.push(x);
          expect(map.findGapUp(size, start, end)).toBe(fits[0] ?? -1);
          expect(map.findGapDown(size, start, end)).toBe(fits.at(-1) ?? -1);
        }
        let before = -1;
        let beforeTag = -1;
        map.forEach((v, s, e) => {
          expect([v.start, v.end]).toEqual([s, e]);
          expect(s).toBeLessThan(e);
          if (s === before) expect(v.tag).not.toBe(beforeTag);
          expect(s).toBeGreaterThanOrEqual(before);
          before = e;
          beforeTag = v.tag;
        });
        for (let x = 0; x < SPAN; x++) expect(map.get(x)?.tag ?? -1).toBe(model[x]);
      }
    }),
  );
});

test('without hooks a cut leaves the value on both sides and nothing merges', () => {
  const map = new RangeMap<string>();
  map.insert(0, 10, 'a');
  map.insert(10, Infinity, 'a');
  map.remove(4, 6);
  const seen: unknown[] = [];
  map.forEachIn(3, 11, (v, s, e) => seen.push([v, s, e]));
  expect(seen).toEqual([
    ['a', 0, 4],
    ['a', 6, 10],
    ['a', 10, Infinity],
  ]);
  expect(() => map.insert(3, 5, 'b')).toThrow();
  expect(() => map.insert(5, 5, 'b')).toThrow();
  map.clear();
  expect(map.size).toBe(0);
});
