// What calls between tasks cost does not depend on how much else there is: counted, not timed.

import { expect, test } from 'vitest';
import { EPOLL_CTL_ADD, EPOLLIN } from '../../src/abi/epoll.ts';
import { FUTEX_PRIVATE_FLAG, FUTEX_REQUEUE, FUTEX_WAIT, FUTEX_WAKE } from '../../src/abi/futex.ts';
import { SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_wait, SYS_futex, SYS_pipe2, SYS_write } from '../../src/abi/nr.ts';
import { copyBytes, getU32, putU32 } from '../../src/base/bytes.ts';
import { BLOCKED } from '../../src/base/result.ts';
import { EventFile } from '../../src/sentry/fs/event/eventfd.ts';
import { Fifo } from '../../src/sentry/net/fifo.ts';
import { loopGuests } from './loop-guest.ts';

const MANY = 10_000;
const PRIVATE = FUTEX_PRIVATE_FLAG;

class CountedEvent extends EventFile {
  static looks = 0;
  override poll(): number {
    CountedEvent.looks++;
    return super.poll();
  }
}

test('epoll_wait looks only at what reported something', () => {
  const [g] = loopGuests(1);
  const t = g!.task;
  const event = g!.guest.alloc(12);
  const out = g!.guest.alloc(12 * 8);
  t.fds.limit = () => MANY * 2;
  const ep = g!.call(SYS_epoll_create1, 0);
  const files: CountedEvent[] = [];
  for (let i = 0; i < MANY; i++) {
    const f = new CountedEvent(0, false, 0);
    files.push(f);
    const fd = t.fds.install(f, false);
    putU32(g!.guest.memory.bytes, event, EPOLLIN);
    putU32(g!.guest.memory.bytes, event + 4, fd);
    expect(g!.call(SYS_epoll_ctl, ep, EPOLL_CTL_ADD, fd, event)).toBe(0);
  }
  expect(g!.call(SYS_epoll_wait, ep, out, 8, 0)).toBe(0);
  files[77]!.signal(1);
  files[7777]!.signal(1);
  CountedEvent.looks = 0;
  expect(g!.call(SYS_epoll_wait, ep, out, 8, 0)).toBe(2);
  expect(CountedEvent.looks).toBe(2);
});

test('waiters of many words: each is woken by its own, in the order of their coming', () => {
  const [a, ...waiters] = loopGuests(9);
  const all = waiters.slice(0, 8);
  const words = a!.guest.alloc(4 * MANY);
  for (const w of all) {
    w.task.mm = a!.task.mm;
    w.task.fds = a!.task.fds;
  }
  // More words than buckets, again and again: tables grow, queues are used again.
  for (let round = 0; round < MANY; round += 8) {
    all.forEach((w, i) => expect(w.call(SYS_futex, words + 4 * (round + i), FUTEX_WAIT | PRIVATE, 0, 0)).toBe(BLOCKED));
    for (let i = 7; i >= 0; i--) {
      expect(a!.call(SYS_futex, words + 4 * (round + i), FUTEX_WAKE | PRIVATE, 10)).toBe(1);
      expect(all[i]!.result).toBe(0);
    }
  }
  for (const w of all) expect(w.call(SYS_futex, words, FUTEX_WAIT | PRIVATE, 0, 0)).toBe(BLOCKED);
  expect(a!.call(SYS_futex, words, FUTEX_WAKE | PRIVATE, 2)).toBe(2);
  expect(all.map((w) => w.result)).toEqual([0, 0, ...new Array<number>(6).fill(BLOCKED)]);
  expect(a!.call(SYS_futex, words, FUTEX_REQUEUE | PRIVATE, 1, 3, words + 4)).toBe(1);
  expect(a!.call(SYS_futex, words + 4, FUTEX_WAKE | PRIVATE, 10)).toBe(3);
  expect(all.map((w) => w.result)).toEqual([0, 0, 0, 0, 0, 0, BLOCKED, BLOCKED]);
  expect(a!.call(SYS_futex, words, FUTEX_WAKE | PRIVATE, 10)).toBe(2);
  expect(a!.call(SYS_futex, words, FUTEX_WAKE | PRIVATE, 10)).toBe(0);
});

test('a queue of objects keeps its order while it wraps, grows and loses members', () => {
  const f = new Fifo<number>();
  const model: number[] = [];
  let seed = 1;
  for (let i = 0; i < 20_000; i++) {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    const what = Math.floor(seed / 65536) % 8;
    if (what < 3) model.push(i) && f.push(i);
    else if (what === 3) {
      f.unshift(i);
      model.unshift(i);
    } else if (what === 4 && model.length > 2) {
      const x = model[model.length >> 1]!;
      expect(f.remove(x)).toBe(true);
      model.splice(model.length >> 1, 1);
    } else if (what !== 5) expect(f.shift()).toBe(model.shift());
    expect(f.first()).toBe(model[0]);
    expect(f.length).toBe(model.length);
  }
  const seen: number[] = [];
  f.forEach((x) => seen.push(x));
  expect(seen).toEqual(model);
  expect(f.remove(-1)).toBe(false);
});

test('copies of all sizes from changing buffers copy what is there now', () => {
  const a = Uint8Array.from({ length: 4096 }, (_, i) => i * 7);
  const b = Uint8Array.from({ length: 4096 }, (_, i) => i * 13);
  for (let round = 0; round < 3; round++) {
    for (const len of [0, 1, 23, 24, 25, 64, 100, 512, 1024, 4000, 4096]) {
      for (const from of [0, 16, 32, 96]) {
        if (from + len > 4096) continue;
        for (const src of [a, b, a.slice()]) {
          src[from] = round;
          const dst = new Uint8Array(4096 + 8);
          copyBytes(src, from, dst, 8, len);
          expect(Buffer.compare(dst.subarray(8, 8 + len), src.subarray(from, from + len))).toBe(0);
        }
      }
    }
  }
});

test('a write that waits in a full pipe goes on where it stopped', () => {
  const [a, b] = loopGuests(2);
  b!.task.mm = a!.task.mm;
  b!.task.fds = a!.task.fds;
  const g = a!.guest;
  const fds = g.alloc(8);
  expect(a!.call(SYS_pipe2, fds, 0)).toBe(0);
  const r = getU32(g.memory.bytes, fds);
  const w = getU32(g.memory.bytes, fds + 4);
  const data = g.alloc(100_000);
  const back = g.alloc(100_000);
  for (let i = 0; i < 100_000; i++) g.memory.bytes[data + i] = i * 31 + (i >> 8);
  // The bytes came with the call, as they do from a guest.
  const window = g.memory.bytes;
  Object.assign(a!.task.ctx, { window, fetched: (addr: number) => addr });
  expect(a!.call(SYS_write, w, data, 100_000)).toBe(BLOCKED);
  let got = 0;
  while (got < 100_000) {
    const n = b!.call(0, r, back + got, 30_000);
    expect(n).toBeGreaterThan(0);
    got += n;
  }
  expect(a!.result).toBe(100_000);
  expect(Buffer.compare(window.subarray(data, data + 100_000), window.subarray(back, back + 100_000))).toBe(0);
});
