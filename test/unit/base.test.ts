// Words, lists, rings, allocators, heaps and times of src/base.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as bytes from '../../src/base/bytes.ts';
import { MinHeap } from '../../src/base/heap.ts';
import { CyclicIdAllocator, IdAllocator } from '../../src/base/idalloc.ts';
import { Link, List } from '../../src/base/list.ts';
import { ByteRing } from '../../src/base/ring.ts';
import { nsToNsec, nsToPollMs, nsToSec, Timespec, toNs, validTimespec } from '../../src/base/time.ts';

const latin1String = fc.uint8Array({ maxLength: 6000 }).map((a) => Array.from(a, (c) => String.fromCharCode(c)).join(''));

describe('bytes', () => {
  test('latin1 is lossless both ways', () => {
    fc.assert(
      fc.property(latin1String, (s) => {
        const b = bytes.latin1Encode(s);
        expect(b).toEqual(new Uint8Array(Buffer.from(s, 'latin1')));
        expect(bytes.latin1Decode(b)).toBe(s);
      }),
    );
  });

  test('strings end at the first NUL', () => {
    const b = bytes.cstring('abc');
    expect(Array.from(b)).toEqual([97, 98, 99, 0]);
    expect(bytes.indexOfNul(b)).toBe(3);
    expect(bytes.indexOfNul(b, 0, 3)).toBe(-1);
    expect(bytes.latin1DecodeZ(b)).toBe('abc');
    expect(bytes.latin1DecodeZ(b, 1, 3)).toBe('bc');
    expect(bytes.latin1Decode(b, 2, 2)).toBe('');
  });

  test('words agree with DataView', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.integer({ min: 0, max: 8 }), (b, off) => {
        const v = new DataView(b.buffer, b.byteOffset);
        expect(bytes.getU16(b, off)).toBe(v.getUint16(off, true));
        expect(bytes.getI16(b, off)).toBe(v.getInt16(off, true));
        expect(bytes.getU32(b, off)).toBe(v.getUint32(off, true));
        expect(bytes.getI32(b, off)).toBe(v.getInt32(off, true));
        expect(bytes.getU64(b, off)).toBe(Number(v.getBigUint64(off, true)));
        expect(bytes.getI64(b, off)).toBe(Number(v.getBigInt64(off, true)));
      }),
    );
  });

  test('integral doubles are written as 64 bits', () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), (n) => {
        const b = new Uint8Array(8);
        bytes.putU64(b, 0, n);
        expect(new DataView(b.buffer).getBigInt64(0, true)).toBe(BigInt(n));
        expect(bytes.getI64(b, 0)).toBe(n === 0 ? 0 : n);
        const w = new Uint32Array(b.buffer);
        expect(bytes.wordsToI64(w[0]!, w[1]!)).toBe(n === 0 ? 0 : n);
      }),
    );
  });

  test('a ByteBuffer holds what was written in order', () => {
    const b = new bytes.ByteBuffer(1);
    b.u8(1)
      .u16(0x302)
      .u32(0x7060504)
      .u64(-2)
      .latin1('hé')
      .align(8)
      .bytes(new Uint8Array([9]));
    expect(Array.from(b.toBytes())).toEqual([
      1, 2, 3, 4, 5, 6, 7, 254, 255, 255, 255, 255, 255, 255, 255, 104, 233, 0, 0, 0, 0, 0, 0, 0, 9,
    ]);
    b.reset();
    expect(b.view().length).toBe(0);
  });
});

test('a list behaves as an array', () => {
  const op = fc.record({ kind: fc.constantFrom('push', 'unshift', 'remove', 'shift'), id: fc.integer({ min: 0, max: 9 }) });
  fc.assert(
    fc.property(fc.array(op), (ops) => {
      const list = new List<number>();
      const links = Array.from({ length: 10 }, (_, i) => new Link(i));
      let model: number[] = [];
      for (const { kind, id } of ops) {
        if (kind === 'shift') {
          expect(list.shift()).toBe(model.shift() ?? null);
          continue;
        }
        model = model.filter((x) => x !== id);
        if (kind === 'push') {
          list.push(links[id]!);
          model.push(id);
        } else if (kind === 'unshift') {
          list.unshift(links[id]!);
          model.unshift(id);
        } else links[id]!.remove();
      }
      expect(list.toArray()).toEqual(model);
      expect(list.length).toBe(model.length);
      expect(list.first()).toBe(model[0] ?? null);
      expect(list.last()).toBe(model.at(-1) ?? null);
      for (const l of links) expect(l.linked).toBe(model.includes(l.owner));
    }),
  );
});

test('a ring behaves as a queue of bytes with a limit', () => {
  const op = fc.oneof(
    fc.uint8Array({ maxLength: 90 }).map((data) => ({ kind: 'write' as const, data, n: 0 })),
    fc.constantFrom('read', 'drop', 'front', 'back', 'pop').chain((kind) => fc.nat(90).map((n) => ({ kind, data: new Uint8Array(0), n }))),
  );
  fc.assert(
    fc.property(fc.array(op), fc.integer({ min: 1, max: 200 }), (ops, limit) => {
      const ring = new ByteRing(limit, 16);
      let model: number[] = [];
      for (const { kind, data, n } of ops) {
        if (kind === 'write') {
          const w = ring.write(data);
          expect(w).toBe(Math.min(data.length, limit - model.length));
          model.push(...data.subarray(0, w));
        } else if (kind === 'read') {
          const out = new Uint8Array(n);
          const r = ring.read(out);
          expect(Array.from(out.subarray(0, r))).toEqual(model.slice(0, n));
          model = model.slice(r);
        } else if (kind === 'drop') {
          ring.drop(n);
          model = model.slice(n);
        } else if (kind === 'pop') expect(ring.pop()).toBe(model.pop() ?? -1);
        else if (kind === 'front') {
          const f = Array.from(ring.front());
          expect(f).toEqual(model.slice(0, f.length));
          expect(f.length > 0).toBe(model.length > 0);
        } else {
          const back = ring.reserveBack(n);
          back.fill(7);
          ring.commit(back.length);
          for (let i = 0; i < back.length; i++) model.push(7);
        }
        expect(ring.length).toBe(model.length);
        expect(ring.space).toBe(limit - model.length);
        expect(ring.indexOf(7)).toBe(model.indexOf(7));
        expect(ring.at(model.length - 1)).toBe(model.at(-1) ?? -1);
      }
    }),
  );
});

test('the lowest free number is given', () => {
  const op = fc.record({ kind: fc.constantFrom('alloc', 'free', 'reserve'), id: fc.nat(130) });
  fc.assert(
    fc.property(fc.array(op, { maxLength: 200 }), (ops) => {
      const ids = new IdAllocator(100);
      const model = new Set<number>();
      for (const { kind, id } of ops) {
        if (kind === 'alloc') {
          let want = id;
          while (model.has(want)) want++;
          if (want >= 100) want = -1;
          expect(ids.alloc(id)).toBe(want);
          if (want >= 0) model.add(want);
        } else if (kind === 'free') expect(ids.free(id)).toBe(model.delete(id));
        else {
          expect(ids.reserve(id)).toBe(!model.has(id));
          model.add(id);
        }
        expect(ids.count).toBe(model.size);
      }
      for (let i = 0; i < 140; i++) expect(ids.has(i)).toBe(model.has(i));
    }),
  );
});

test('process ids go round', () => {
  const ids = new CyclicIdAllocator(1, 3);
  expect([ids.alloc(), ids.alloc()]).toEqual([1, 2]);
  expect(ids.free(1)).toBe(true);
  expect([ids.alloc(), ids.alloc(), ids.alloc()]).toEqual([3, 1, -1]);
  expect(ids.free(2)).toBe(true);
  expect(ids.alloc()).toBe(2);
  expect(ids.reserve(0)).toBe(false);
});

test('a heap gives items by deadline, with removal and moves', () => {
  const op = fc.record({ kind: fc.constantFrom('update', 'remove', 'pop'), id: fc.nat(19), deadline: fc.nat(50) });
  fc.assert(
    fc.property(fc.array(op, { maxLength: 120 }), (ops) => {
      const items = Array.from({ length: 20 }, () => ({ deadline: 0, heapIndex: -1 }));
      const heap = new MinHeap<(typeof items)[0]>();
      const model = new Set<(typeof items)[0]>();
      for (const { kind, id, deadline } of ops) {
        const item = items[id]!;
        if (kind === 'update') {
          heap.update(item, deadline);
          model.add(item);
        } else if (kind === 'remove') expect(heap.remove(item)).toBe(model.delete(item));
        else {
          const earliest = Math.min(...Array.from(model, (m) => m.deadline));
          expect(heap.earliest).toBe(earliest);
          const got = heap.pop();
          if (got === null) expect(model.size).toBe(0);
          else {
            expect(got.deadline).toBe(earliest);
            expect(got.heapIndex).toBe(-1);
            expect(model.delete(got)).toBe(true);
          }
        }
        expect(heap.size).toBe(model.size);
      }
      let before = -1;
      for (let due = heap.popDue(100); due !== null; due = heap.popDue(100)) {
        expect(due.deadline).toBeGreaterThanOrEqual(before);
        before = due.deadline;
      }
      expect(heap.size).toBe(0);
    }),
  );
});

test('times carry and compare', () => {
  expect(validTimespec(0, 999999999)).toBe(true);
  expect(validTimespec(0, 1000000000)).toBe(false);
  expect(validTimespec(-1, 0)).toBe(false);
  expect(toNs(1, 5)).toBe(1000000005);
  expect([nsToSec(-1), nsToNsec(-1)]).toEqual([-1, 999999999]);
  expect([nsToPollMs(Infinity), nsToPollMs(-5), nsToPollMs(1), nsToPollMs(1e18)]).toEqual([-1, 0, 1, 0x7fffffff]);
  fc.assert(
    fc.property(fc.integer(), fc.nat(999999999), fc.integer({ min: -1e12, max: 1e12 }), (sec, nsec, ns) => {
      const a = new Timespec(sec, nsec);
      const b = new Timespec().copy(a).addNs(ns);
      expect(b.nsec >= 0 && b.nsec < 1e9).toBe(true);
      expect(b.since(a)).toBe(ns === 0 ? 0 : ns);
      expect(Math.sign(b.compare(a))).toBe(ns === 0 ? 0 : Math.sign(ns));
    }),
  );
});
