import { expect, test } from 'vitest';
import { EAGAIN, EDEADLK } from '../../src/abi/errno.ts';
import { F_RDLCK, F_UNLCK, F_WRLCK, O_CREAT, O_RDWR } from '../../src/abi/fcntl.ts';
import type { File } from '../../src/sentry/vfs/file.ts';
import {
  dropWholeLock,
  type FileLocks,
  findConflict,
  locksOf,
  releasePosixLocks,
  setRecordLock,
  setWholeLock,
} from '../../src/sentry/vfs/locks.ts';
import { openPath } from './open-path.ts';
import { world } from './vfs-support.ts';

function file(): { a: File; b: File; c: ReturnType<typeof world>['c'] } {
  const { c } = world();
  const a = openPath(c, null, '/f', O_CREAT | O_RDWR, 0o644) as File;
  const b = openPath(c, null, '/f', O_RDWR, 0) as File;
  return { a, b, c };
}

test('record locks split, merge and convert', () => {
  const { a } = file();
  const i = a.inode;
  expect(setRecordLock(i, 1, 1, F_WRLCK, 0, 100, false)).toBe(0);
  expect(setRecordLock(i, 1, 1, F_UNLCK, 40, 60, false)).toBe(0);
  expect((i.locks as FileLocks).records.map((l) => [l.start, l.end])).toEqual([
    [0, 40],
    [60, 100],
  ]);
  expect(setRecordLock(i, 2, 2, F_WRLCK, 40, 60, false)).toBe(0);
  expect(setRecordLock(i, 2, 2, F_RDLCK, 30, 35, false)).toBe(-EAGAIN);
  expect(setRecordLock(i, 1, 1, F_RDLCK, 0, 40, false)).toBe(0);
  expect(setRecordLock(i, 2, 2, F_RDLCK, 30, 35, false)).toBe(0);
  expect(findConflict(i, 3, F_WRLCK, 0, Infinity)).not.toBeNull();
  releasePosixLocks(i, 1);
  releasePosixLocks(i, 2);
  expect(findConflict(i, 3, F_WRLCK, 0, Infinity)).toBeNull();
});

test('deadlock is found', () => {
  const { a } = file();
  const i = a.inode;
  setRecordLock(i, 1, 1, F_WRLCK, 0, 1, false);
  setRecordLock(i, 2, 2, F_WRLCK, 1, 2, false);
  expect(setRecordLock(i, 1, 1, F_WRLCK, 1, 2, true)).toBe(-EAGAIN);
  expect(setRecordLock(i, 2, 2, F_WRLCK, 0, 1, true)).toBe(-EDEADLK);
});

test('flock belongs to the description and goes with it', () => {
  const { a, b, c } = file();
  expect(setWholeLock(a, true, 1)).toBe(0);
  expect(setWholeLock(b, false, 1)).toBe(-EAGAIN);
  let told = 0;
  const queue = locksOf(a.inode).queue;
  queue.notify = () => {
    told++;
  };
  a.unref();
  expect(told).toBe(1);
  expect(setWholeLock(b, false, 1)).toBe(0);
  dropWholeLock(b);
  // A close by the thread group takes its record locks.
  setRecordLock(b.inode, c.tgid, c.tgid, F_WRLCK, 0, 1, false);
  b.flush(c);
  expect(findConflict(b.inode, 99, F_WRLCK, 0, 1)).toBeNull();
});
