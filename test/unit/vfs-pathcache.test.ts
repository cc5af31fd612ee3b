// Known paths: whatever happens to names, mounts and permissions, a remembered path leads where a fresh walk leads.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EACCES, ENOENT } from '../../src/abi/errno.ts';
import { latin1Write } from '../../src/base/bytes.ts';
import type { Caller } from '../../src/sentry/vfs/caller.ts';
import { shrinkDentries } from '../../src/sentry/vfs/dentry.ts';
import { MNT_NOSYMFOLLOW, newMount } from '../../src/sentry/vfs/mount.ts';
import { mountAt, unmount } from '../../src/sentry/vfs/namespace.ts';
import { resolveDir } from '../../src/sentry/vfs/open.ts';
import { linkPath, mkdirPath, mknodPath, renamePath, rmdirPath, symlinkPath, unlinkPath } from '../../src/sentry/vfs/ops.ts';
import { changeMode } from '../../src/sentry/vfs/setattr.ts';
import { LOOKUP_FOLLOW, resolve, resolveBytes, Walk } from '../../src/sentry/vfs/walk.ts';
import { FakeCaller, tmpfs, world } from './vfs-support.ts';

const S_IFREG = 0o100000;
const buf = new Uint8Array(4096);
const known = new Walk();
const fresh = new Walk();

/** Where `path` leads by memory and by a walk: they must agree. The result of the walk. */
function look(c: Caller, path: string, flags: number): number {
  latin1Write(path, buf, 0);
  for (let i = 0; i < 2; i++) {
    const r = resolveBytes(c, null, buf, path.length, flags, known);
    const e = resolve(c, null, path, flags, fresh);
    expect(r, path).toBe(e);
    if (r === 0) {
      expect(known.dentry === fresh.dentry, path).toBe(true);
      expect(known.mount === fresh.mount, path).toBe(true);
    }
  }
  return resolve(c, null, path, flags, fresh);
}

test('a name that comes and goes', () => {
  const { c } = world();
  expect(look(c, '/f', 0)).toBe(-ENOENT);
  mknodPath(c, null, '/f', S_IFREG | 0o644, 0);
  expect(look(c, '/f', 0)).toBe(0);
  renamePath(c, null, '/f', null, '/g', 0);
  expect(look(c, '/f', 0)).toBe(-ENOENT);
  expect(look(c, '/g', 0)).toBe(0);
  unlinkPath(c, null, '/g');
  expect(look(c, '/g', 0)).toBe(-ENOENT);
});

test('search permission is that of the caller', () => {
  const { c, root } = world();
  mkdirPath(c, null, '/d', 0o700);
  mknodPath(c, null, '/d/f', S_IFREG | 0o644, 0);
  const u = new FakeCaller(root).become(5, 5);
  expect(look(c, '/d/f', 0)).toBe(0);
  expect(look(u, '/d/f', 0)).toBe(-EACCES);
  expect(look(c, '/d/f', 0)).toBe(0);
  resolve(c, null, '/d', 0, fresh);
  changeMode(c, fresh.mount, fresh.dentry, fresh.dentry.inode!, 0o755);
  expect(look(u, '/d/f', 0)).toBe(0);
  resolve(c, null, '/d', 0, fresh);
  changeMode(c, fresh.mount, fresh.dentry, fresh.dentry.inode!, 0o700);
  expect(look(u, '/d/f', 0)).toBe(-EACCES);
});

test('mounts, remounts, and another root', () => {
  const { c, root } = world();
  mkdirPath(c, null, '/m', 0o755);
  symlinkPath(c, '/m/f', null, '/s');
  expect(look(c, '/m/f', 0)).toBe(-ENOENT);
  const m = newMount(tmpfs(), 0, 'm');
  resolve(c, null, '/m', 0, fresh);
  mountAt(m, fresh.mount, fresh.dentry);
  expect(look(c, '/m/f', 0)).toBe(-ENOENT);
  mknodPath(c, null, '/m/f', S_IFREG | 0o644, 0);
  expect(look(c, '/m/f', 0)).toBe(0);
  expect(look(c, '/s', LOOKUP_FOLLOW)).toBe(0);
  root.flags |= MNT_NOSYMFOLLOW;
  expect(look(c, '/s', LOOKUP_FOLLOW)).not.toBe(0);
  root.flags = 0;
  const inside = new FakeCaller(root);
  resolveDir(inside, null, '/m', fresh);
  inside.fs.setRoot(fresh.mount, fresh.dentry);
  expect(look(inside, '/f', 0)).toBe(0);
  expect(look(inside, '/m/f', 0)).toBe(-ENOENT);
  inside.fs.unref();
  expect(look(c, '/m/f', 0)).toBe(0);
  expect(unmount(m, 0)).toBe(0);
  expect(look(c, '/m/f', 0)).toBe(-ENOENT);
});

test('any sequence of changes', () => {
  const name = fc.constantFrom('a', 'b', 'c', 'dd');
  const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((p) => `/${p.join('/')}`);
  const change = fc.oneof(
    fc.record({ op: fc.constantFrom('mkdir', 'file', 'unlink', 'rmdir', 'mode', 'cd', 'shrink'), a: path, b: path }),
    fc.record({ op: fc.constantFrom('rename', 'exchange', 'link', 'symlink'), a: path, b: path }),
  );
  const all: string[] = [];
  const names = ['a', 'b', 'c', 'dd'];
  for (const x of names) {
    all.push(`/${x}`, x, `/${x}/`);
    for (const y of names) {
      all.push(`/${x}/${y}`, `/${x}/../${y}`, `${x}/./${y}`);
      for (const z of names) all.push(`/${x}/${y}/${z}`);
    }
  }
  fc.assert(
    fc.property(fc.array(change, { minLength: 5, maxLength: 25 }), (changes) => {
      const { c, root } = world();
      const u = new FakeCaller(root).become(5, 5);
      for (const { op, a, b } of changes) {
        if (op === 'mkdir') mkdirPath(c, null, a, 0o755);
        else if (op === 'file') mknodPath(c, null, a, S_IFREG | 0o644, 0);
        else if (op === 'unlink') unlinkPath(c, null, a);
        else if (op === 'rmdir') rmdirPath(c, null, a);
        else if (op === 'rename') renamePath(c, null, a, null, b, 0);
        else if (op === 'exchange') renamePath(c, null, a, null, b, 2);
        else if (op === 'link') linkPath(c, null, a, null, b, false, false);
        else if (op === 'symlink') symlinkPath(c, a, null, b);
        else if (op === 'shrink') shrinkDentries(c.fs.rootDentry);
        else if (resolveDir(c, null, a, fresh) === 0) {
          if (op === 'cd') c.fs.setCwd(fresh.mount, fresh.dentry);
          else changeMode(c, fresh.mount, fresh.dentry, fresh.dentry.inode!, a.length % 2 === 0 ? 0o700 : 0o755);
        }
        for (const p of all) {
          look(c, p, LOOKUP_FOLLOW);
          look(c, p, 0);
          look(u, p, LOOKUP_FOLLOW);
        }
      }
    }),
    { numRuns: 60 },
  );
});
