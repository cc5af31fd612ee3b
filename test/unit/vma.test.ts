// The set of areas and the search for free ranges, against an array of pages.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MAP_PRIVATE, PROT_EXEC, PROT_READ, PROT_WRITE } from '../../src/abi/mman.ts';
import type { AddressSpace, Context, Platform } from '../../src/platform/platform.ts';
import { GapZone } from '../../src/sentry/mm/gaps.ts';
import { MemoryManager, PAGE } from '../../src/sentry/mm/memory.ts';
import { Vma, VmaSet } from '../../src/sentry/mm/vma.ts';

const PAGES = 64;
const ALL = PROT_READ | PROT_WRITE | PROT_EXEC;

/** What one page is: -1 free, else protection and lock. */
interface Page {
  prot: number;
  locked: boolean;
}

const steps = fc.array(
  fc.record({
    what: fc.constantFrom('map', 'unmap', 'protect', 'lock', 'find'),
    at: fc.nat(PAGES - 1),
    pages: fc.integer({ min: 1, max: 12 }),
    prot: fc.constantFrom(0, PROT_READ, PROT_READ | PROT_WRITE),
    locked: fc.boolean(),
  }),
  { maxLength: 80 },
);

function check(set: VmaSet, model: (Page | null)[]): void {
  let total = 0;
  let data = 0;
  let locked = 0;
  for (let i = 0; i < PAGES; i++) {
    const v = set.find(i * PAGE);
    const p = model[i]!;
    expect(v === null).toBe(p === null);
    if (v === null || p === null) continue;
    expect(v.prot).toBe(p.prot);
    expect(v.locked).toBe(p.locked);
    expect(v.offset).toBe(v.start);
    total += PAGE;
    if ((p.prot & PROT_WRITE) !== 0) data += PAGE;
    if (p.locked) locked += PAGE;
  }
  expect([set.total, set.data, set.locked]).toEqual([total, data, locked]);
  for (let i = 1; i < set.list.length; i++) {
    const a = set.list[i - 1]!;
    const b = set.list[i]!;
    expect(a.end).toBeLessThanOrEqual(b.start);
    expect(a.joins(b) && a.end === b.start).toBe(false);
  }
}

function freeRun(model: (Page | null)[], pages: number): boolean {
  let run = 0;
  for (const p of model) {
    run = p === null ? run + 1 : 0;
    if (run >= pages) return true;
  }
  return false;
}

describe('areas', () => {
  test('do what an array of pages does, keep their sums, and are merged', () => {
    fc.assert(
      fc.property(steps, (list) => {
        const set = new VmaSet();
        const zone = new GapZone(set, 0, PAGES * PAGE);
        const model: (Page | null)[] = new Array(PAGES).fill(null);
        for (const s of list) {
          const end = Math.min(PAGES, s.at + s.pages);
          const from = s.at * PAGE;
          const to = end * PAGE;
          if (s.what === 'map') {
            set.remove(from, to);
            const v = new Vma(from, to, s.prot, ALL, MAP_PRIVATE, null, from);
            v.locked = s.locked;
            set.insert(v);
            model.fill({ prot: s.prot, locked: s.locked }, s.at, end);
          } else if (s.what === 'unmap') {
            set.remove(from, to);
            zone.freed(from, to);
            model.fill(null, s.at, end);
          } else if (s.what === 'protect') {
            set.protect(from, to, s.prot);
            for (let i = s.at; i < end; i++) if (model[i] !== null) model[i] = { prot: s.prot, locked: model[i]!.locked };
          } else if (s.what === 'lock') {
            set.change(from, to, (v) => {
              v.locked = s.locked;
            });
            for (let i = s.at; i < end; i++) if (model[i] !== null) model[i] = { prot: model[i]!.prot, locked: s.locked };
          } else {
            const at = zone.find(s.pages * PAGE, PAGE);
            expect(at >= 0).toBe(freeRun(model, s.pages));
            if (at >= 0) expect(model.slice(at / PAGE, at / PAGE + s.pages).every((p) => p === null)).toBe(true);
          }
          check(set, model);
        }
      }),
    );
  });
});

const PLATFORM = { minAddress: 0x110000, maxAddress: 0x7ff000000000, vdsoAddress: 0, vdsoSize: 0 } as unknown as Platform;
const CONTEXT = { mmap: () => 0, hostcall: () => 0 } as unknown as Context;

function anonymous(mm: MemoryManager, length: number, hint = 0): number {
  return mm.mmap(CONTEXT, hint, length, PROT_READ | PROT_WRITE, MAP_PRIVATE, ALL, null, 0, -1, 0);
}

describe('placement', () => {
  test('small mappings stay near the end of the address range, large anonymous ones far from it', () => {
    const mm = new MemoryManager(PLATFORM, {} as AddressSpace);
    mm.setNear(mm.nearFloor, 0x7feff0000000);
    const small = anonymous(mm, 65536);
    expect(small).toBe(0x7feff0000000 - 65536);
    const large = anonymous(mm, 64 << 20);
    expect(large).toBeLessThan(mm.nearFloor);
    expect(large % (2 << 20)).toBe(0);
    expect(mm.findGap(0, 64 << 20)).toBeGreaterThan(mm.nearFloor);
    expect(anonymous(mm, 64 << 20, 0x10000000)).toBe(0x10000000);
  });

  test('falls back from one zone to the other', () => {
    const mm = new MemoryManager(PLATFORM, {} as AddressSpace);
    mm.setNear(0x7fefe0000000, 0x7feff0000000);
    expect(anonymous(mm, 60 << 20)).toBeGreaterThan(0x7fefe0000000);
    for (let i = 0; i < 3; i++) anonymous(mm, 60 << 20);
    expect(anonymous(mm, 60 << 20)).toBeLessThan(mm.nearFloor);
  });

  test('what was given back is given out again', () => {
    const mm = new MemoryManager(PLATFORM, {} as AddressSpace);
    mm.setNear(mm.nearFloor, 0x7feff0000000);
    const at: number[] = [];
    for (let i = 0; i < 100; i++) {
      const a = anonymous(mm, 2 * PAGE);
      mm.mprotect(CONTEXT, a, PAGE, PROT_READ);
      at.push(a);
    }
    expect(mm.munmap(CONTEXT, at[10]!, 2 * PAGE)).toBe(0);
    expect(anonymous(mm, 2 * PAGE)).toBe(at[10]);
    expect(anonymous(mm, 2 * PAGE)).toBe(at[99]! - 2 * PAGE);
  });
});
