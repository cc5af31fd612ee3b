// Copies of large lower files: whatever is written, cut or mapped, they read as a plain copy would, and little is copied.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ENOSPC } from '../../src/abi/errno.ts';
import { O_RDONLY, O_RDWR } from '../../src/abi/fcntl.ts';
import { OverlayFs } from '../../src/sentry/fs/overlay/overlay.ts';
import type { TmpInode } from '../../src/sentry/fs/tmpfs/tmpfs.ts';
import type { File, MapBacking } from '../../src/sentry/vfs/file.ts';
import { mknodPath } from '../../src/sentry/vfs/ops.ts';
import { changeMode } from '../../src/sentry/vfs/setattr.ts';
import { resolve, Walk } from '../../src/sentry/vfs/walk.ts';
import { openPath } from './open-path.ts';
import { type FakeCaller, type FakeHost, fakeHost, tmpfs, world } from './vfs-support.ts';

const S_IFREG = 0o100000;
const SIZE = 400_000;
const PUNCH = 3;

interface Copy {
  c: FakeCaller;
  host: FakeHost;
  model: Uint8Array;
  f: File;
  below: Uint8Array;
}

/** A file of SIZE bytes below, open for writing above. */
function copy(limit = Infinity): Copy {
  const host = fakeHost();
  const lower = tmpfs(host);
  const low = world(lower).c;
  mknodPath(low, null, '/big', S_IFREG | 0o644, 0);
  const below = Uint8Array.from({ length: SIZE }, (_, i) => 1 + (i % 251));
  const w = openPath(low, null, '/big', O_RDWR, 0) as File;
  expect(w.pwrite(low, below, 0, SIZE, 0)).toBe(SIZE);
  w.unref();
  const { c } = world(new OverlayFs(tmpfs(host, { size: limit }), lower));
  return { c, host, model: below.slice(), f: openPath(c, null, '/big', O_RDWR, 0) as File, below };
}

function contents({ c, f }: Copy, size: number): Uint8Array {
  const out = new Uint8Array(size + 10);
  let n = 0;
  for (;;) {
    const r = f.pread(c, out, n, out.length - n, n);
    expect(r).toBeGreaterThanOrEqual(0);
    if (r === 0) return out.subarray(0, n);
    n += r;
  }
}

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

test('any sequence of changes', () => {
  const at = fc.integer({ min: 0, max: SIZE + 100_000 });
  const len = fc.integer({ min: 1, max: 150_000 });
  const change = fc.record({ op: fc.constantFrom('write', 'cut', 'punch', 'map'), at, len });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 8 }), (changes) => {
      const w = copy();
      for (const x of changes) {
        if (x.op === 'write') {
          const data = new Uint8Array(x.len).fill(7);
          expect(w.f.pwrite(w.c, data, 0, x.len, x.at)).toBe(x.len);
          if (x.at + x.len > w.model.length) {
            const m = new Uint8Array(x.at + x.len);
            m.set(w.model);
            w.model = m;
          }
          w.model.set(data, x.at);
        } else if (x.op === 'cut') {
          expect(w.f.truncate(w.c, x.at)).toBe(0);
          const m = new Uint8Array(x.at);
          m.set(w.model.subarray(0, x.at));
          w.model = m;
        } else if (x.op === 'punch') {
          expect(w.f.allocate(w.c, PUNCH, x.at, x.len)).toBe(0);
          w.model.fill(0, Math.min(x.at, w.model.length), Math.min(x.at + x.len, w.model.length));
        } else {
          const b = w.f.mapping(w.c, 0, 4096, true, true) as MapBacking;
          expect(same(w.host.files.get(b.fd)!.subarray(b.offset, b.offset + w.model.length), w.model)).toBe(true);
        }
        expect(same(contents(w, w.model.length), w.model)).toBe(true);
      }
      // The original is as it was.
      w.f.unref();
      expect([...w.host.files.values()].some((b) => same(b, w.below))).toBe(true);
    }),
    { numRuns: 100 },
  );
});

test('a change of a few bytes copies a block, and a change of the mode nothing', () => {
  const { c, f } = copy();
  const inode = f.inode as unknown as { upper: TmpInode };
  expect(inode.upper.charged).toBe(0);
  f.pwrite(c, new Uint8Array([1, 2, 3]), 0, 3, 100_000);
  expect(inode.upper.charged).toBe(16);
  f.pwrite(c, new Uint8Array([1, 2, 3]), 0, 3, 100_010);
  expect(inode.upper.charged).toBe(16);
});

test('a private mapping of what was not changed is one of the original', () => {
  const { c, host, f, below } = copy();
  const walk = new Walk();
  resolve(c, null, '/big', 0, walk);
  changeMode(c, walk.mount, walk.dentry, walk.dentry.inode!, 0o755);
  const r = openPath(c, null, '/big', O_RDONLY, 0) as File;
  const shared = r.mapping(c, 4096, 4096, false, false) as MapBacking;
  expect(same(host.files.get(shared.fd)!.subarray(0, SIZE), below)).toBe(true);
  expect(shared.offset).toBe(4096);
  f.pwrite(c, new Uint8Array([9]), 0, 1, 5);
  const own = r.mapping(c, 0, 4096, false, false) as MapBacking;
  expect(own.fd).not.toBe(shared.fd);
  expect(host.files.get(own.fd)![5]).toBe(9);
  expect(host.files.get(own.fd)![6]).toBe(below[6]);
});

test('what does not fit above is refused', () => {
  const { c, f } = copy(1 << 17);
  const one = new Uint8Array(1);
  expect(f.pwrite(c, one, 0, 1, 0)).toBe(1);
  expect(f.pwrite(c, one, 0, 1, 70_000)).toBe(1);
  expect(f.pwrite(c, one, 0, 1, 140_000)).toBe(-ENOSPC);
  expect(f.mapping(c, 0, 4096, true, true)).toBe(-ENOSPC);
});
