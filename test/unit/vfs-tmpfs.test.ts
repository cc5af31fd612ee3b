import { expect, test } from 'vitest';
import { EINVAL, ENOSPC, EPERM } from '../../src/abi/errno.ts';
import { F_SEAL_GROW, F_SEAL_SHRINK, F_SEAL_WRITE, O_APPEND, O_CREAT, O_RDONLY, O_RDWR } from '../../src/abi/fcntl.ts';
import { parseTmpfsOptions } from '../../src/sentry/fs/tmpfs/options.ts';
import type { TmpInode } from '../../src/sentry/fs/tmpfs/tmpfs.ts';
import type { File } from '../../src/sentry/vfs/file.ts';
import { openPath } from './open-path.ts';
import { unlinkPath } from '../../src/sentry/vfs/ops.ts';
import { bytes, fakeHost, text, tmpfs, world } from './vfs-support.ts';

test('holes, growth and the move to a memfd', () => {
  const host = fakeHost();
  const { c } = world(tmpfs(host));
  const f = openPath(c, null, '/f', O_CREAT | O_RDWR, 0o644) as File;
  const b = new Uint8Array(20);
  expect(f.pwrite(c, bytes('abc'), 0, 3, 10)).toBe(3);
  expect(f.pread(c, b, 0, 20, 0)).toBe(13);
  expect(text(b, 13)).toBe(`${'\0'.repeat(10)}abc`);
  expect(f.truncate(c, 11)).toBe(0);
  expect(f.truncate(c, 14)).toBe(0);
  expect(f.pread(c, b, 0, 20, 9)).toBe(5);
  expect(text(b, 5)).toBe('\0a\0\0\0');
  expect(host.files.size).toBe(0);
  expect(f.pwrite(c, bytes('end'), 0, 3, 2 ** 20)).toBe(3);
  expect(host.files.size).toBe(1);
  expect(f.pread(c, b, 0, 20, 10)).toBe(20);
  expect(text(b, 2)).toBe('a\0');
  expect(f.inode.size).toBe(2 ** 20 + 3);
  expect(f.mapping(c, 0, 4096, true, true)).toEqual({ fd: 100, offset: 0 });
  unlinkPath(c, null, '/f');
  expect(host.files.size).toBe(1);
  f.unref();
  expect(host.files.size).toBe(0);
});

test('append and seek', () => {
  const { c } = world();
  const f = openPath(c, null, '/f', O_CREAT | O_RDWR | O_APPEND, 0o644) as File;
  f.write(c, bytes('one'), 0, 3);
  f.seek(c, 0, 0);
  f.write(c, bytes('two'), 0, 3);
  expect(f.inode.size).toBe(6);
  expect(f.pos).toBe(6);
  expect(f.seek(c, -2, 2)).toBe(4);
  expect(f.seek(c, -9, 1)).toBe(-EINVAL);
});

test('limits', () => {
  const { c } = world(tmpfs(fakeHost(), { size: 8192, inodes: 2 }));
  const f = openPath(c, null, '/f', O_CREAT | O_RDWR, 0o644) as File;
  expect(f.write(c, new Uint8Array(10000), 0, 10000)).toBe(8192);
  expect(f.write(c, new Uint8Array(1), 0, 1)).toBe(-ENOSPC);
  expect(f.truncate(c, 0)).toBe(0);
  f.seek(c, 0, 0);
  expect(f.write(c, new Uint8Array(100), 0, 100)).toBe(100);
  expect(openPath(c, null, '/g', O_CREAT | O_RDWR, 0o644)).toBe(-ENOSPC);
});

test('options', () => {
  expect(parseTmpfsOptions(['size=64k', 'mode=755', 'nr_inodes=10', 'gid=5'], 1e9)).toMatchObject({
    size: 65536,
    mode: 0o755,
    inodes: 10,
    gid: 5,
  });
  expect(parseTmpfsOptions(['size=50%'], 8192)).toMatchObject({ size: 4096 });
  expect(parseTmpfsOptions(['bogus'], 1e9)).toBe(-EINVAL);
});

test('seals', () => {
  const { c } = world();
  const f = openPath(c, null, '/f', O_CREAT | O_RDWR, 0o644) as File;
  (f.inode as TmpInode).seals = 0;
  f.write(c, bytes('data'), 0, 4);
  expect(f.inode.addSeals(F_SEAL_SHRINK | F_SEAL_GROW)).toBe(0);
  expect(f.truncate(c, 1)).toBe(-EPERM);
  expect(f.truncate(c, 9)).toBe(-EPERM);
  expect(f.pwrite(c, bytes('DATA!'), 0, 5, 0)).toBe(-EPERM);
  expect(f.pwrite(c, bytes('DATA'), 0, 4, 0)).toBe(4);
  f.inode.addSeals(F_SEAL_WRITE);
  expect(f.pwrite(c, bytes('DATA'), 0, 4, 0)).toBe(-EPERM);
});

test('readdir goes on where it stopped while names come and go', () => {
  const { c } = world();
  for (let i = 0; i < 10; i++) (openPath(c, null, `/f${i}`, O_CREAT | O_RDWR, 0o644) as File).unref();
  const d = openPath(c, null, '/', O_RDONLY, 0) as File;
  const seen: string[] = [];
  const sink = {
    room: 0,
    add(name: string): boolean {
      if (this.room-- === 0) return false;
      seen.push(name);
      return true;
    },
  };
  for (let i = 0; i < 20; i++) {
    sink.room = 2;
    d.readdir(c, sink);
    if (i === 1) unlinkPath(c, null, '/f5');
    if (i === 2) (openPath(c, null, '/late', O_CREAT | O_RDWR, 0o644) as File).unref();
  }
  expect(seen).toEqual(['.', '..', 'f0', 'f1', 'f2', 'f3', 'f4', 'f6', 'f7', 'f8', 'f9', 'late']);
});
