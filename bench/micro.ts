// Costs in nanoseconds of what every system call uses: words, strings, rings, memory areas, timers. Run: npm run bench -- micro

import { bench, group, run } from 'mitata';
import { SYS_getppid, SYS_sched_yield } from '../src/abi/nr.ts';
import { getU64, installLatin1, latin1Decode, latin1DecodeZ, putU64 } from '../src/base/bytes.ts';
import { MinHeap } from '../src/base/heap.ts';
import { IdAllocator } from '../src/base/idalloc.ts';
import { RangeMap } from '../src/base/rangemap.ts';
import { ByteRing } from '../src/base/ring.ts';
import { loopGuests } from '../test/unit/loop-guest.ts';

const buf = new Uint8Array(4096);
const path = Buffer.from('/usr/lib/x86_64-linux-gnu/libc.so.6\0', 'latin1');

group('bytes', () => {
  bench('putU64 + getU64', () => {
    putU64(buf, 64, 0x7fff12345678);
    return getU64(buf, 64);
  });
  bench('path of 35 bytes, plain', () => latin1DecodeZ(path));
  bench('path of 35 bytes, installed', () => {
    installLatin1(Buffer.prototype.latin1Slice, Buffer.prototype.latin1Write);
    return latin1Decode(path, 0, 35);
  });
});

group('ring', () => {
  const ring = new ByteRing(65536);
  for (const n of [1, 512, 4096]) {
    bench(`write and read ${n} bytes`, () => {
      ring.write(buf, 0, n);
      return ring.read(buf, 0, n);
    });
  }
});

group('rangemap of 256 ranges', () => {
  const map = new RangeMap<number>();
  for (let i = 0; i < 256; i++) map.insert(i * 8192, i * 8192 + 4096, i);
  let x = 0;
  bench('lookup, the same range', () => map.indexOf(8192 * 100 + 5));
  bench('lookup, another one each time', () => {
    x = (x + 8192 * 37) % (256 * 8192);
    return map.indexOf(x);
  });
});

group('allocators', () => {
  const ids = new IdAllocator(1024);
  for (let i = 0; i < 100; i++) ids.alloc();
  bench('descriptor: alloc and free', () => ids.free(ids.alloc()));
  const heap = new MinHeap<{ deadline: number; heapIndex: number }>();
  for (let i = 0; i < 1000; i++) heap.add({ deadline: i * 1000, heapIndex: -1 });
  const timer = { deadline: 500, heapIndex: -1 };
  bench('timer: add and remove among 1000', () => {
    heap.add(timer);
    return heap.remove(timer);
  });
});

group('the loop: takes a call, invokes its handler, answers (no engine)', () => {
  const g = loopGuests(1)[0]!;
  bench('getppid', () => g.call(SYS_getppid));
  bench('sched_yield', () => g.call(SYS_sched_yield));
});

await run();
