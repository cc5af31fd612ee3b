import { describe, expect, test } from 'vitest';
import { ENOENT, ENOTDIR, ENOTEMPTY } from '../../src/abi/errno.ts';
import { O_APPEND, O_CREAT, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } from '../../src/abi/fcntl.ts';
import { OverlayFs } from '../../src/sentry/fs/overlay/overlay.ts';
import type { TmpFs } from '../../src/sentry/fs/tmpfs/tmpfs.ts';
import { shrinkDentries } from '../../src/sentry/vfs/dentry.ts';
import type { File } from '../../src/sentry/vfs/file.ts';
import type { Mount } from '../../src/sentry/vfs/mount.ts';
import { openPath } from './open-path.ts';
import { linkPath, mkdirPath, renamePath, rmdirPath, symlinkPath, unlinkPath } from '../../src/sentry/vfs/ops.ts';
import { changeMode } from '../../src/sentry/vfs/setattr.ts';
import { resolve, Walk } from '../../src/sentry/vfs/walk.ts';
import { bytes, type FakeCaller, fakeHost, text, tmpfs, world } from './vfs-support.ts';

const w = new Walk();

function put(c: FakeCaller, path: string, data: string, flags = O_TRUNC): void {
  const f = openPath(c, null, path, O_CREAT | O_WRONLY | flags, 0o644);
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

function ls(c: FakeCaller, path: string): string[] {
  const f = openPath(c, null, path, O_RDONLY, 0) as File;
  const out: string[] = [];
  f.readdir(c, { add: (name) => out.push(name) > 0 });
  f.unref();
  return out.filter((n) => n !== '.' && n !== '..').sort();
}

function ino(c: FakeCaller, path: string): number {
  expect(resolve(c, null, path, 0, w)).toBe(0);
  w.dentry.inode!.refresh();
  return w.dentry.inode!.ino;
}

/** A lower tree made through its own world, then covered. */
function layered(): { c: FakeCaller; low: FakeCaller; lower: TmpFs; root: Mount; forget: () => void } {
  const lower = tmpfs();
  const low = world(lower).c;
  mkdirPath(low, null, '/etc', 0o755);
  mkdirPath(low, null, '/etc/sub', 0o755);
  put(low, '/etc/passwd', 'root');
  put(low, '/etc/group', 'wheel');
  put(low, '/etc/sub/x', 'x');
  symlinkPath(low, 'passwd', null, '/etc/link');
  put(low, '/hard1', 'hard');
  linkPath(low, null, '/hard1', null, '/hard2', false, false);
  const fs = new OverlayFs(tmpfs(fakeHost()), lower);
  const top = world(fs);
  return { c: top.c, low, lower, root: top.root, forget: () => shrinkDentries(top.root.root) };
}

describe('overlay', () => {
  test('reads the lower, writes the upper', () => {
    const { c, low } = layered();
    expect(get(c, '/etc/passwd')).toBe('root');
    const before = ino(c, '/etc/passwd');
    put(c, '/etc/passwd', '+user', O_APPEND);
    expect(get(c, '/etc/passwd')).toBe('root+user');
    expect(get(low, '/etc/passwd')).toBe('root');
    expect(ino(c, '/etc/passwd')).toBe(before);
    put(c, '/etc/group', 'new');
    expect(get(c, '/etc/group')).toBe('new');
    expect(get(c, '/etc/link')).toBe('root+user');
    expect(ls(c, '/etc')).toEqual(['group', 'link', 'passwd', 'sub']);
  });

  test('survives a dropped name cache', () => {
    const { c, forget } = layered();
    const before = ino(c, '/etc/passwd');
    put(c, '/etc/passwd', 'copy');
    put(c, '/etc/made', 'made');
    unlinkPath(c, null, '/etc/group');
    forget();
    expect(get(c, '/etc/passwd')).toBe('copy');
    expect(get(c, '/etc/made')).toBe('made');
    expect(get(c, '/etc/group')).toBe(-ENOENT);
    expect(ino(c, '/etc/passwd')).toBe(before);
  });

  test('a reader of the lower file sees what is written later', () => {
    const { c } = layered();
    const f = openPath(c, null, '/etc/passwd', O_RDONLY, 0) as File;
    put(c, '/etc/passwd', 'changed');
    const b = new Uint8Array(20);
    expect(text(b, f.pread(c, b, 0, 20, 0))).toBe('changed');
    f.unref();
  });

  test('whiteouts', () => {
    const { c, low } = layered();
    expect(unlinkPath(c, null, '/etc/passwd')).toBe(0);
    expect(get(c, '/etc/passwd')).toBe(-ENOENT);
    expect(ls(c, '/etc')).toEqual(['group', 'link', 'sub']);
    put(c, '/etc/passwd', 'again');
    expect(get(c, '/etc/passwd')).toBe('again');
    unlinkPath(c, null, '/etc/passwd');
    expect(get(c, '/etc/passwd')).toBe(-ENOENT);
    expect(get(low, '/etc/passwd')).toBe('root');
  });

  test('opaque directories', () => {
    const { c, forget } = layered();
    expect(rmdirPath(c, null, '/etc/sub')).toBe(-ENOTEMPTY);
    unlinkPath(c, null, '/etc/sub/x');
    expect(ls(c, '/etc/sub')).toEqual([]);
    expect(rmdirPath(c, null, '/etc/sub')).toBe(0);
    expect(mkdirPath(c, null, '/etc/sub', 0o755)).toBe(0);
    expect(ls(c, '/etc/sub')).toEqual([]);
    forget();
    expect(get(c, '/etc/sub/x')).toBe(-ENOENT);
    expect(ls(c, '/etc/sub')).toEqual([]);
  });

  test('rename', () => {
    const { c } = layered();
    expect(renamePath(c, null, '/etc/passwd', null, '/etc/shadow', 0)).toBe(0);
    expect(get(c, '/etc/passwd')).toBe(-ENOENT);
    expect(get(c, '/etc/shadow')).toBe('root');
    expect(renamePath(c, null, '/etc/shadow', null, '/etc/group', 0)).toBe(0);
    expect(get(c, '/etc/group')).toBe('root');
    mkdirPath(c, null, '/new', 0o755);
    put(c, '/new/f', 'f');
    unlinkPath(c, null, '/etc/sub/x');
    expect(renamePath(c, null, '/new', null, '/etc/sub', 0)).toBe(0);
    expect(ls(c, '/etc/sub')).toEqual(['f']);
    expect(ls(c, '/etc')).toEqual(['group', 'link', 'sub']);
  });

  test('a lower directory keeps what is in it when it is renamed', () => {
    const { c, forget } = layered();
    expect(renamePath(c, null, '/etc', null, '/conf', 0)).toBe(0);
    expect(get(c, '/etc/passwd')).toBe(-ENOENT);
    expect(get(c, '/conf/sub/x')).toBe('x');
    put(c, '/conf/sub/y', 'y');
    mkdirPath(c, null, '/etc', 0o755);
    forget();
    expect(ls(c, '/etc')).toEqual([]);
    expect(ls(c, '/conf')).toEqual(['group', 'link', 'passwd', 'sub']);
    expect(ls(c, '/conf/sub')).toEqual(['x', 'y']);
    expect(renamePath(c, null, '/conf/sub', null, '/etc/moved', 0)).toBe(0);
    expect(renamePath(c, null, '/etc', null, '/conf/etc', 0)).toBe(0);
    forget();
    expect(get(c, '/conf/etc/moved/x')).toBe('x');
    expect(get(c, '/conf/etc/moved/y')).toBe('y');
    expect(get(c, '/conf/sub/x')).toBe(-ENOENT);
    expect(renamePath(c, null, '/conf/etc', null, '/conf/passwd', 0)).toBe(-ENOTDIR);
  });

  test('hard links of the lower tree stay one file', () => {
    const { c, forget } = layered();
    put(c, '/hard1', '!', O_APPEND);
    expect(get(c, '/hard2')).toBe('hard!');
    forget();
    expect(get(c, '/hard2')).toBe('hard!');
    expect(ino(c, '/hard1')).toBe(ino(c, '/hard2'));
    expect(unlinkPath(c, null, '/hard1')).toBe(0);
    forget();
    expect(get(c, '/hard2')).toBe('hard!');
    ino(c, '/hard2');
    expect(w.dentry.inode!.nlink).toBe(1);
    expect(linkPath(c, null, '/hard2', null, '/hard3', false, false)).toBe(0);
    expect(ls(c, '/')).toEqual(['etc', 'hard2', 'hard3']);
  });

  test('metadata is copied up', () => {
    const { c, low } = layered();
    resolve(c, null, '/etc/sub/x', 0, w);
    expect(changeMode(c, w.mount, w.dentry, w.dentry.inode!, 0o600)).toBe(0);
    expect(w.dentry.inode!.mode & 0o777).toBe(0o600);
    expect(get(c, '/etc/sub/x')).toBe('x');
    resolve(low, null, '/etc/sub/x', 0, w);
    expect(w.dentry.inode!.mode & 0o777).toBe(0o644);
  });

  test('unlinked while open', () => {
    const { c } = layered();
    const f = openPath(c, null, '/etc/passwd', O_RDWR, 0) as File;
    unlinkPath(c, null, '/etc/passwd');
    f.pwrite(c, bytes('R'), 0, 1, 0);
    const b = new Uint8Array(9);
    expect(text(b, f.pread(c, b, 0, 9, 0))).toBe('Root');
    f.unref();
    expect(get(c, '/etc/passwd')).toBe(-ENOENT);
  });
});
