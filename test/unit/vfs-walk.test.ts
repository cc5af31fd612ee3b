import { describe, expect, test } from 'vitest';
import {
  EACCES,
  EBUSY,
  EEXIST,
  EINVAL,
  EISDIR,
  ELOOP,
  ENAMETOOLONG,
  ENOENT,
  ENOTDIR,
  ENOTEMPTY,
  EPERM,
  EROFS,
  EXDEV,
} from '../../src/abi/errno.ts';
import {
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_RDWR,
  O_TMPFILE,
  O_TRUNC,
  O_WRONLY,
  RESOLVE_BENEATH,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
} from '../../src/abi/fcntl.ts';
import { MNT_DETACH, ST_NOEXEC, ST_RDONLY } from '../../src/abi/mount.ts';
import { RENAME_EXCHANGE, RENAME_NOREPLACE } from '../../src/abi/uio.ts';
import type { File } from '../../src/sentry/vfs/file.ts';
import { newMount } from '../../src/sentry/vfs/mount.ts';
import { bindMount, mountAt, pivotRoot, unmount } from '../../src/sentry/vfs/namespace.ts';
import { openExec } from '../../src/sentry/vfs/open.ts';
import { openPath } from './open-path.ts';
import { linkPath, mkdirPath, renamePath, rmdirPath, symlinkPath, unlinkPath } from '../../src/sentry/vfs/ops.ts';
import { dentryPath, filePath } from '../../src/sentry/vfs/path.ts';
import { changeMode, changeOwner } from '../../src/sentry/vfs/setattr.ts';
import { LOOKUP_DIRECTORY, LOOKUP_FOLLOW, resolve, Walk } from '../../src/sentry/vfs/walk.ts';
import { bytes, FakeCaller, text, tmpfs, world } from './vfs-support.ts';

const w = new Walk();

function put(c: FakeCaller, path: string, data = ''): void {
  const f = openPath(c, null, path, O_CREAT | O_WRONLY | O_TRUNC, 0o644);
  if (typeof f === 'number') throw new Error(`${path}: ${f}`);
  f.write(c, bytes(data), 0, data.length);
  f.unref();
}

function get(c: FakeCaller, path: string): string | number {
  const f = openPath(c, null, path, O_RDONLY, 0);
  if (typeof f === 'number') return f;
  const b = new Uint8Array(100);
  const n = f.read(c, b, 0, 100);
  f.unref();
  return n < 0 ? n : text(b, n);
}

function pathOf(c: FakeCaller, path: string, flags = LOOKUP_FOLLOW): string | number {
  const err = resolve(c, null, path, flags, w);
  return err < 0 ? err : dentryPath(c, w.mount, w.dentry);
}

describe('path walk', () => {
  test('components, dots and slashes', () => {
    const { c } = world();
    expect(mkdirPath(c, null, '/a', 0o777)).toBe(0);
    expect(mkdirPath(c, null, '/a/b/', 0o777)).toBe(0);
    put(c, '/a/b/f', 'x');
    expect(pathOf(c, '//a/./b/../b//f')).toBe('/a/b/f');
    expect(pathOf(c, '/..')).toBe('/');
    expect(pathOf(c, '/a/b/f/')).toBe(-ENOTDIR);
    expect(pathOf(c, '/a/b/f/x')).toBe(-ENOTDIR);
    expect(pathOf(c, '/a/none/x')).toBe(-ENOENT);
    expect(pathOf(c, '')).toBe(-ENOENT);
    expect(pathOf(c, `/${'n'.repeat(256)}`)).toBe(-ENAMETOOLONG);
    expect(pathOf(c, '/a/b/f', LOOKUP_DIRECTORY)).toBe(-ENOTDIR);
  });

  test('symbolic links', () => {
    const { c } = world();
    mkdirPath(c, null, '/d', 0o777);
    put(c, '/d/f', 'hello');
    symlinkPath(c, 'd', null, '/l');
    symlinkPath(c, '/d/f', null, '/abs');
    symlinkPath(c, 'loop', null, '/loop');
    symlinkPath(c, 'nowhere/x', null, '/dangling');
    expect(get(c, '/l/f')).toBe('hello');
    expect(get(c, '/abs')).toBe('hello');
    expect(pathOf(c, '/l', 0)).toBe('/l');
    expect(pathOf(c, '/l/', 0)).toBe('/d');
    expect(pathOf(c, '/loop')).toBe(-ELOOP);
    expect(pathOf(c, '/dangling')).toBe(-ENOENT);
    expect(openPath(c, null, '/abs', O_RDONLY | O_NOFOLLOW, 0)).toBe(-ELOOP);
    const p = openPath(c, null, '/abs', O_PATH | O_NOFOLLOW, 0) as File;
    expect(filePath(p)).toBe('/abs');
    p.unref();
    // Creating through a dangling link makes its target.
    symlinkPath(c, 'd/new', null, '/mk');
    put(c, '/mk', 'made');
    expect(get(c, '/d/new')).toBe('made');
    expect(openPath(c, null, '/mk', O_CREAT | O_EXCL | O_WRONLY, 0o644)).toBe(-EEXIST);
    expect(mkdirPath(c, null, '/dangling/', 0o777)).toBe(-EEXIST);
  });

  test('openat2 restrictions', () => {
    const { c } = world();
    mkdirPath(c, null, '/d', 0o777);
    put(c, '/d/f', 'in');
    put(c, '/f', 'out');
    symlinkPath(c, '/f', null, '/d/abs');
    symlinkPath(c, '../f', null, '/d/up');
    const d = openPath(c, null, '/d', O_RDONLY | O_DIRECTORY, 0) as File;
    const open = (p: string, r: number): number => {
      const f = openPath(c, d, p, O_RDONLY, 0, r);
      if (typeof f === 'number') return f;
      f.unref();
      return 0;
    };
    expect(open('f', RESOLVE_BENEATH)).toBe(0);
    expect(open('../f', RESOLVE_BENEATH)).toBe(-EXDEV);
    expect(open('/f', RESOLVE_BENEATH)).toBe(-EXDEV);
    expect(open('abs', RESOLVE_BENEATH)).toBe(-EXDEV);
    expect(open('up', RESOLVE_BENEATH)).toBe(-EXDEV);
    expect(open('abs', RESOLVE_IN_ROOT)).toBe(0);
    expect(open('up', RESOLVE_IN_ROOT)).toBe(0);
    expect(open('abs', RESOLVE_NO_SYMLINKS)).toBe(-ELOOP);
    mountAt(newMount(tmpfs(), 0, 'm'), d.mount!, d.dentry!);
    expect(openPath(c, null, '/d/x', O_RDONLY, 0, RESOLVE_NO_XDEV)).toBe(-EXDEV);
  });

  test('mounts are crossed both ways', () => {
    const { c, root } = world();
    mkdirPath(c, null, '/m', 0o777);
    put(c, '/m/below', '');
    resolve(c, null, '/m', 0, w);
    const m = newMount(tmpfs(), 0, 'tmp');
    expect(mountAt(m, w.mount, w.dentry)).toBe(0);
    mkdirPath(c, null, '/m/s', 0o777);
    put(c, '/m/s/f', 'deep');
    expect(get(c, '/m/below')).toBe(-ENOENT);
    expect(pathOf(c, '/m/s/f')).toBe('/m/s/f');
    expect(pathOf(c, '/m/s/../..')).toBe('/');
    // A second mount on the same place covers the first.
    resolve(c, null, '/m', 0, w);
    const m2 = newMount(tmpfs(), 0, 'tmp2');
    mountAt(m2, root, m.point!);
    expect(get(c, '/m/s/f')).toBe(-ENOENT);
    expect(unmount(m2, 0)).toBe(0);
    expect(get(c, '/m/s/f')).toBe('deep');
    expect(rmdirPath(c, null, '/m')).toBe(-EBUSY);
    const f = openPath(c, null, '/m/s/f', O_RDONLY, 0) as File;
    expect(unmount(m, 0)).toBe(-EBUSY);
    expect(unmount(m, MNT_DETACH)).toBe(0);
    expect(filePath(f, c).startsWith('(unreachable)')).toBe(true);
    f.unref();
    expect(get(c, '/m/below')).toBe('');
  });

  test('bind mounts, read-only and noexec', () => {
    const { c } = world();
    mkdirPath(c, null, '/a', 0o777);
    mkdirPath(c, null, '/b', 0o777);
    put(c, '/a/f', 'one');
    resolve(c, null, '/a/f', 0, w);
    changeMode(c, w.mount, w.dentry, w.dentry.inode!, 0o755);
    resolve(c, null, '/a', 0, w);
    const m = bindMount(w.mount, w.dentry, false);
    m.flags |= ST_RDONLY | ST_NOEXEC;
    resolve(c, null, '/b', 0, w);
    mountAt(m, w.mount, w.dentry);
    expect(get(c, '/b/f')).toBe('one');
    expect(openPath(c, null, '/b/f', O_WRONLY, 0)).toBe(-EROFS);
    expect(openPath(c, null, '/b/g', O_CREAT | O_WRONLY, 0o644)).toBe(-EROFS);
    expect(unlinkPath(c, null, '/b/f')).toBe(-EROFS);
    expect(openExec(c, null, '/b/f', 0)).toBe(-EACCES);
    const f = openExec(c, null, '/a/f', 0) as File;
    expect(typeof f).toBe('object');
    f.unref();
    expect(renamePath(c, null, '/a/f', null, '/b/f', 0)).toBe(-EXDEV);
  });

  test('pivot_root', () => {
    const { c, root } = world();
    mkdirPath(c, null, '/new', 0o777);
    resolve(c, null, '/new', 0, w);
    const m = newMount(tmpfs(), 0, 'n');
    mountAt(m, w.mount, w.dentry);
    mkdirPath(c, null, '/new/old', 0o777);
    resolve(c, null, '/new/old', 0, w);
    expect(pivotRoot(c, m, m.root, w.mount, w.dentry)).toBe(0);
    c.fs.setRoot(m, m.root);
    c.fs.setCwd(m, m.root);
    expect(pathOf(c, '/old/new')).toBe('/old/new');
    expect(root.parent).toBe(m);
    expect(pathOf(c, '/..')).toBe('/');
  });

  test('deleted files and directories', () => {
    const { c } = world();
    put(c, '/f', 'kept');
    const f = openPath(c, null, '/f', O_RDWR, 0) as File;
    unlinkPath(c, null, '/f');
    const b = new Uint8Array(10);
    expect(text(b, f.pread(c, b, 0, 10, 0))).toBe('kept');
    expect(filePath(f, c)).toBe('/f (deleted)');
    f.unref();
    mkdirPath(c, null, '/d', 0o777);
    const d = openPath(c, null, '/d', O_RDONLY, 0) as File;
    rmdirPath(c, null, '/d');
    expect(openPath(c, d, 'x', O_CREAT | O_WRONLY, 0o644)).toBe(-ENOENT);
    d.unref();
  });

  test('rename', () => {
    const { c } = world();
    mkdirPath(c, null, '/d', 0o777);
    mkdirPath(c, null, '/d/e', 0o777);
    put(c, '/f', '1');
    put(c, '/g', '2');
    expect(renamePath(c, null, '/f', null, '/g', RENAME_NOREPLACE)).toBe(-EEXIST);
    expect(renamePath(c, null, '/f', null, '/g', RENAME_EXCHANGE)).toBe(0);
    expect(get(c, '/f')).toBe('2');
    expect(renamePath(c, null, '/f', null, '/g', 0)).toBe(0);
    expect(get(c, '/g')).toBe('2');
    expect(get(c, '/f')).toBe(-ENOENT);
    expect(renamePath(c, null, '/d', null, '/d/e/x', 0)).toBe(-EINVAL);
    expect(renamePath(c, null, '/d/e', null, '/d', 0)).toBe(-ENOTEMPTY);
    expect(renamePath(c, null, '/g', null, '/d', 0)).toBe(-EISDIR);
    expect(renamePath(c, null, '/d', null, '/g', 0)).toBe(-ENOTDIR);
    expect(renamePath(c, null, '/.', null, '/x', 0)).toBe(-EBUSY);
    expect(rmdirPath(c, null, '/d')).toBe(-ENOTEMPTY);
    expect(rmdirPath(c, null, '/d/.')).toBe(-EINVAL);
    expect(unlinkPath(c, null, '/d')).toBe(-EISDIR);
    expect(renamePath(c, null, '/d/e', null, '/e2/', 0)).toBe(0);
    expect(pathOf(c, '/e2')).toBe('/e2');
  });

  test('links and unnamed files', () => {
    const { c } = world();
    put(c, '/f', 'same');
    expect(linkPath(c, null, '/f', null, '/g', false, false)).toBe(0);
    unlinkPath(c, null, '/f');
    expect(get(c, '/g')).toBe('same');
    const f = openPath(c, null, '/', O_TMPFILE | O_RDWR, 0o600) as File;
    f.write(c, bytes('tmp'), 0, 3);
    expect(linkPath(c, f, '', null, '/named', false, true)).toBe(0);
    f.unref();
    expect(get(c, '/named')).toBe('tmp');
  });
});

describe('permission', () => {
  test('classes, capabilities and the sticky bit', () => {
    const { c, root } = world();
    put(c, '/f', 'secret');
    resolve(c, null, '/f', 0, w);
    changeMode(c, w.mount, w.dentry, w.dentry.inode!, 0o640);
    changeOwner(c, w.mount, w.dentry, w.dentry.inode!, 1, 50);
    mkdirPath(c, null, '/t', 0o777);
    resolve(c, null, '/t', 0, w);
    changeMode(c, w.mount, w.dentry, w.dentry.inode!, 0o1777);
    mkdirPath(c, null, '/private', 0o700);
    const u = new FakeCaller(root).become(2, 2, [50]);
    expect(get(u, '/f')).toBe('secret');
    expect(openPath(u, null, '/f', O_WRONLY, 0)).toBe(-EACCES);
    expect(get(new FakeCaller(root).become(3, 3), '/f')).toBe(-EACCES);
    expect(get(c, '/f')).toBe('secret');
    expect(pathOf(u, '/private/x')).toBe(-EACCES);
    put(u, '/t/mine', '');
    const v = new FakeCaller(root).become(4, 4);
    expect(unlinkPath(v, null, '/t/mine')).toBe(-EPERM);
    expect(unlinkPath(u, null, '/t/mine')).toBe(0);
    expect(mkdirPath(u, null, '/no', 0o777)).toBe(-EACCES);
    resolve(c, null, '/f', 0, w);
    expect(changeMode(u, w.mount, w.dentry, w.dentry.inode!, 0o777)).toBe(-EPERM);
    expect(changeOwner(u, w.mount, w.dentry, w.dentry.inode!, 2, -1)).toBe(-EPERM);
  });

  test('set-gid directories and set-user-ID files', () => {
    const { c, root } = world();
    mkdirPath(c, null, '/g', 0o777);
    resolve(c, null, '/g', 0, w);
    changeOwner(c, w.mount, w.dentry, w.dentry.inode!, -1, 77);
    changeMode(c, w.mount, w.dentry, w.dentry.inode!, 0o2777);
    const u = new FakeCaller(root).become(5, 5);
    mkdirPath(u, null, '/g/d', 0o777);
    resolve(c, null, '/g/d', 0, w);
    expect(w.dentry.inode!.gid).toBe(77);
    expect(w.dentry.inode!.mode & 0o2000).toBe(0o2000);
    put(u, '/g/f', 'x');
    resolve(c, null, '/g/f', 0, w);
    const inode = w.dentry.inode!;
    changeMode(c, w.mount, w.dentry, inode, 0o4755);
    changeOwner(c, w.mount, w.dentry, inode, 6, -1);
    expect(inode.mode & 0o7777).toBe(0o755);
  });
});
