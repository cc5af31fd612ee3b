// The gofer file system in the Sentry, above a real gofer: what it shows, what it asks, what it remembers.

import {
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { EEXIST, ENOENT, ENOTEMPTY, EROFS } from '../../src/abi/errno.ts';
import { O_APPEND, O_CREAT, O_DIRECTORY, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } from '../../src/abi/fcntl.ts';
import { RLIMIT_NOFILE } from '../../src/abi/resource.ts';
import { RENAME_EXCHANGE } from '../../src/abi/uio.ts';
import { GoferFileSystem } from '../../src/sentry/fs/gofer/fs.ts';
import type { Caller } from '../../src/sentry/vfs/caller.ts';
import type { File } from '../../src/sentry/vfs/file.ts';
import { FsContext } from '../../src/sentry/vfs/fscontext.ts';
import { ATTR_GID, ATTR_MODE, ATTR_MTIME, ATTR_UID, type Inode, SetAttr } from '../../src/sentry/vfs/inode.ts';
import { newMount } from '../../src/sentry/vfs/mount.ts';
import { openPath } from './open-path.ts';
import { linkPath, mkdirPath, mknodPath, renamePath, rmdirPath, symlinkPath, unlinkPath } from '../../src/sentry/vfs/ops.ts';
import { LOOKUP_FOLLOW, resolve, Walk } from '../../src/sentry/vfs/walk.ts';
import { caller, canHideProc, freshDir, host, type Running, startGofer } from './gofer-support.ts';

const running: Running[] = [];

afterEach(async () => {
  for (const g of running.splice(0)) await g.stop();
});

interface World {
  g: Running;
  fs: GoferFileSystem;
  c: Caller;
}

/** The tree of `dir` as a task's root. */
function world(dir: string, options: { exclusive?: boolean; readonly?: boolean } = {}): World {
  const g = startGofer([{ path: dir, readonly: options.readonly === true }], { noProc: canHideProc });
  running.push(g);
  const fs = GoferFileSystem.attach(g.client, 0, options.exclusive !== false);
  if (typeof fs === 'number') throw new Error(`attach: ${fs}`);
  const mount = newMount(fs, 0, 'test');
  const c = { ...caller(), fs: new FsContext(mount, mount.root, mount, mount.root, 0o022) };
  return { g, fs, c };
}

function open(w: World, path: string, flags = O_RDONLY, mode = 0o666): File {
  const f = openPath(w.c, null, path, flags, mode);
  if (typeof f === 'number') throw new Error(`${path}: ${f}`);
  return f;
}

function inode(w: World, path: string, follow = true): Inode | number {
  const walk = new Walk();
  const err = resolve(w.c, null, path, follow ? LOOKUP_FOLLOW : 0, walk);
  return err < 0 ? err : (walk.dentry.inode as Inode);
}

function stat(w: World, path: string): Inode {
  const i = inode(w, path, false);
  if (typeof i === 'number') throw new Error(`${path}: ${i}`);
  expect(i.refresh()).toBe(0);
  return i;
}

function names(f: File, c: Caller, room = 1000000): string[] {
  const out: string[] = [];
  for (;;) {
    const before = out.length;
    let left = room;
    expect(f.readdir(c, { add: (name) => left-- > 0 && out.push(name) > 0 })).toBe(0);
    if (out.length === before) return out;
  }
}

function text(w: World, path: string): string {
  const f = open(w, path);
  const b = Buffer.alloc(100);
  const n = f.read(w.c, b, 0, 100);
  f.unref();
  return b.toString('latin1', 0, n);
}

describe('an exclusive tree', () => {
  test('reads and writes through to the host', () => {
    const dir = freshDir();
    mkdirSync(join(dir, 'etc'));
    writeFileSync(join(dir, 'etc/passwd'), 'root:x:0:0');
    symlinkSync('/etc/passwd', join(dir, 'link'));
    const w = world(dir);
    expect(text(w, '/link')).toBe('root:x:0:0');
    const f = open(w, '/etc/new', O_RDWR | O_CREAT | O_EXCL, 0o664);
    expect(f.write(w.c, Buffer.from('hello'), 0, 5)).toBe(5);
    expect(f.inode.size).toBe(5);
    expect(f.seek(w.c, 0, 0)).toBe(0);
    const b = Buffer.alloc(10);
    expect(f.read(w.c, b, 0, 10)).toBe(5);
    const st = statSync(join(dir, 'etc/new'));
    expect([st.mode & 0o7777, st.size]).toEqual([0o644, 5]);
    const shown = stat(w, '/etc/new');
    expect(shown.mtimeSec * 1e9 + shown.mtimeNsec).toBeCloseTo(st.mtimeMs * 1e6, -4);
    expect(f.truncate(w.c, 2)).toBe(0);
    expect(f.inode.size).toBe(2);
    expect(f.seek(w.c, 0, 2)).toBe(2);
    expect(f.allocate(w.c, 0, 0, 100)).toBe(0);
    expect(stat(w, '/etc/new').size).toBe(100);
    expect(f.fsync(false)).toBe(0);
    f.unref();
    const a = open(w, '/etc/new', O_WRONLY | O_APPEND);
    expect(a.write(w.c, Buffer.from('xy'), 0, 2)).toBe(2);
    expect(a.pos).toBe(102);
    a.unref();
    open(w, '/etc/new', O_WRONLY | O_TRUNC).unref();
    expect(readFileSync(join(dir, 'etc/new')).length).toBe(0);
  });

  test('asks once for a name, present or absent', () => {
    const dir = freshDir();
    mkdirSync(join(dir, 'a/b/c'), { recursive: true });
    writeFileSync(join(dir, 'a/b/c/f'), 'x');
    const w = world(dir);
    expect(text(w, '/a/b/c/f')).toBe('x');
    expect(inode(w, '/a/b/absent')).toBe(-ENOENT);
    const before = w.g.client.calls;
    for (let i = 0; i < 100; i++) {
      expect(text(w, '/a/b/c/f')).toBe('x');
      expect(inode(w, '/a/b/absent')).toBe(-ENOENT);
      stat(w, '/a/b/c/f');
    }
    expect(w.g.client.calls).toBe(before);
  });

  test('a listing brings the attributes of 10,000 files in few messages', () => {
    const dir = freshDir();
    for (let i = 0; i < 10000; i++) writeFileSync(join(dir, `f${i}`), '');
    const w = world(dir);
    const before = w.g.client.calls;
    const f = open(w, '/', O_RDONLY | O_DIRECTORY);
    const all = names(f, w.c, 512);
    expect(all.length).toBe(10002);
    expect(all.slice(0, 2)).toEqual(['.', '..']);
    for (const name of all) stat(w, `/${name}`);
    expect(inode(w, '/absent')).toBe(-ENOENT);
    expect(w.g.client.calls - before).toBeLessThan(30);
    // Deleting while reading must not skip any.
    f.seek(w.c, 0, 0);
    let seen = 0;
    for (;;) {
      const part: string[] = [];
      f.readdir(w.c, { add: (name) => part.length < 700 && part.push(name) > 0 });
      if (part.length === 0) break;
      for (const name of part) if (name.startsWith('f')) expect(unlinkPath(w.c, null, `/${name}`)).toBe(0);
      seen += part.length;
    }
    expect(seen).toBe(10002);
    expect(names(open(w, '/', O_RDONLY | O_DIRECTORY), w.c)).toEqual(['.', '..']);
    expect(statSync(dir).nlink).toBe(2);
    f.unref();
  });

  test('makes, links, renames and removes', () => {
    const dir = freshDir();
    const w = world(dir);
    const { c } = w;
    expect(mkdirPath(c, null, '/d', 0o777)).toBe(0);
    expect(mkdirPath(c, null, '/d', 0o777)).toBe(-EEXIST);
    open(w, '/d/f', O_WRONLY | O_CREAT).unref();
    expect(symlinkPath(c, 'f', null, '/d/l')).toBe(0);
    expect(linkPath(c, null, '/d/f', null, '/d/h', false, false)).toBe(0);
    expect(stat(w, '/d/h')).toBe(stat(w, '/d/f'));
    expect(stat(w, '/d/f').nlink).toBe(2);
    expect(mknodPath(c, null, '/d/fifo', 0o010666, 0)).toBe(0);
    expect(statSync(join(dir, 'd/fifo')).isFIFO()).toBe(true);
    expect(rmdirPath(c, null, '/d')).toBe(-ENOTEMPTY);
    expect(renamePath(c, null, '/d', null, '/e', 0)).toBe(0);
    expect(inode(w, '/d')).toBe(-ENOENT);
    expect(renamePath(c, null, '/e/h', null, '/top', 0)).toBe(0);
    open(w, '/e/other', O_WRONLY | O_CREAT).unref();
    expect(renamePath(c, null, '/e/other', null, '/top', RENAME_EXCHANGE)).toBe(0);
    expect(stat(w, '/e/other').nlink).toBe(2);
    expect(stat(w, '/top').nlink).toBe(1);
    expect(names(open(w, '/e', O_RDONLY | O_DIRECTORY), c).sort()).toEqual(['.', '..', 'f', 'fifo', 'l', 'other']);
    for (const name of ['f', 'fifo', 'l', 'other']) expect(unlinkPath(c, null, `/e/${name}`)).toBe(0);
    expect(rmdirPath(c, null, '/e')).toBe(0);
    expect(names(open(w, '/', O_RDONLY | O_DIRECTORY), c)).toEqual(['.', '..', 'top']);
    expect(stat(w, '/').nlink).toBe(2);
  });

  test('an unlinked open file lives on, for reading, writing and chmod', () => {
    const dir = freshDir();
    writeFileSync(join(dir, 'f'), 'old');
    const w = world(dir);
    const f = open(w, '/f');
    expect(unlinkPath(w.c, null, '/f')).toBe(0);
    open(w, '/f', O_WRONLY | O_CREAT).unref();
    const b = Buffer.alloc(10);
    expect(f.pread(w.c, b, 0, 10, 0)).toBe(3);
    const a = new SetAttr();
    a.mask = ATTR_MODE;
    a.mode = 0o600;
    expect(f.inode.setattr(w.c, a)).toBe(0);
    expect(f.inode.refresh()).toBe(0);
    expect([f.inode.nlink, f.inode.mode & 0o777]).toEqual([0, 0o600]);
    f.unref();
    expect(statSync(join(dir, 'f')).mode & 0o777).toBe(0o644);
  });

  test('hard links that were there before share one inode', () => {
    const dir = freshDir();
    writeFileSync(join(dir, 'a'), '1');
    linkSync(join(dir, 'a'), join(dir, 'b'));
    const w = world(dir);
    names(open(w, '/', O_RDONLY | O_DIRECTORY), w.c);
    expect(stat(w, '/a')).toBe(stat(w, '/b'));
    const f = open(w, '/a', O_RDWR);
    f.write(w.c, Buffer.from('1234'), 0, 4);
    expect(stat(w, '/b').size).toBe(4);
    expect(unlinkPath(w.c, null, '/a')).toBe(0);
    expect(stat(w, '/b').nlink).toBe(1);
    expect(text(w, '/b')).toBe('1234');
    f.unref();
    expect(text(w, '/b')).toBe('1234');
    expect(unlinkPath(w.c, null, '/b')).toBe(0);
  });

  test('attributes and user extended attributes go to the host', () => {
    const dir = freshDir();
    writeFileSync(join(dir, 'f'), 'x');
    const w = world(dir);
    const i = stat(w, '/f');
    const a = new SetAttr();
    a.mask = ATTR_MODE | ATTR_UID | ATTR_GID | ATTR_MTIME;
    Object.assign(a, { mode: 0o4711, uid: 5, gid: 6, mtimeSec: 1000000000, mtimeNsec: 7 });
    expect(i.setattr(w.c, a)).toBe(0);
    const st = statSync(join(dir, 'f'), { bigint: true });
    expect([st.mode & 0o7777n, st.uid, st.gid, st.mtimeNs]).toEqual([0o4711n, 5n, 6n, 1000000000000000007n]);
    const set = i.setxattr(w.c, 'user.note', Buffer.from('value'), 0);
    if (set === 0) {
      expect(Buffer.from(i.getxattr(w.c, 'user.note') as Uint8Array).toString()).toBe('value');
      expect(i.listxattr(w.c)).toEqual(['user.note']);
      expect(i.removexattr(w.c, 'user.note')).toBe(0);
      expect(i.listxattr(w.c)).toEqual([]);
    }
    expect(i.setxattr(w.c, 'trusted.overlay.opaque', Buffer.from('y'), 0)).toBeLessThan(0);
  });

  test('descriptors of files that nobody has open are bounded, and what they write is not lost', () => {
    const dir = freshDir();
    const w = world(dir);
    const limit = new Float64Array(2);
    host.native.getrlimit(RLIMIT_NOFILE, limit);
    const bound = Math.min(4096, (limit[0] as number) / 8);
    const files = bound + 100;
    const used = () => readdirSync('/proc/self/fd').length;
    const before = used();
    for (let i = 0; i < files; i++) {
      const f = open(w, `/f${i}`, O_WRONLY | O_CREAT);
      f.write(w.c, Buffer.from(`${i}`), 0, `${i}`.length);
      f.unref();
    }
    expect(used() - before).toBeLessThanOrEqual(bound);
    for (let i = 0; i < files; i++) expect(text(w, `/f${i}`)).toBe(`${i}`);
    expect(stat(w, '/f7').size).toBe(1);
  });

  test('when descriptors run out, those that are only cached give way', () => {
    const dir = freshDir();
    for (let i = 0; i < 100; i++) writeFileSync(join(dir, `f${i}`), `${i}`);
    const w = world(dir);
    for (let i = 0; i < 50; i++) expect(text(w, `/f${i}`)).toBe(`${i}`);
    const limit = new Float64Array(2);
    host.native.getrlimit(RLIMIT_NOFILE, limit);
    const top = host.dup(0);
    host.close(top);
    host.native.setrlimit(RLIMIT_NOFILE, top, limit[1] as number);
    try {
      for (let i = 50; i < 100; i++) expect(text(w, `/f${i}`)).toBe(`${i}`);
      for (let i = 0; i < 60; i++) open(w, `/new${i}`, O_WRONLY | O_CREAT).unref();
      for (let i = 0; i < 60; i++) expect(text(w, `/new${i}`)).toBe('');
    } finally {
      host.native.setrlimit(RLIMIT_NOFILE, limit[0] as number, limit[1] as number);
    }
    expect(w.g.client.dead).toBe(false);
  });

  test('a gofer that dies makes errors, not hangs', async () => {
    const dir = freshDir();
    const w = world(dir);
    w.g.child.kill('SIGKILL');
    await new Promise((done) => w.g.child.on('exit', done));
    expect(inode(w, '/x')).toBe(-5);
    expect(inode(w, '/y')).toBe(-5);
  });
});

describe('a shared tree', () => {
  test('sees what others do with the next epoch', () => {
    const dir = freshDir();
    writeFileSync(join(dir, 'f'), 'one');
    writeFileSync(join(dir, 'g'), 'g');
    const w = world(dir, { exclusive: false });
    expect(text(w, '/f')).toBe('one');
    expect(inode(w, '/new')).toBe(-ENOENT);
    names(open(w, '/', O_RDONLY | O_DIRECTORY), w.c);
    writeFileSync(join(dir, 't'), 'two two');
    renameSync(join(dir, 't'), join(dir, 'f'));
    writeFileSync(join(dir, 'new'), 'new');
    rmSync(join(dir, 'g'));
    expect(text(w, '/f')).toBe('one');
    expect(inode(w, '/new')).toBe(-ENOENT);
    w.g.client.belief.doubt();
    expect(text(w, '/f')).toBe('two two');
    expect(text(w, '/new')).toBe('new');
    expect(inode(w, '/g')).toBe(-ENOENT);
    const i = stat(w, '/f');
    truncateSync(join(dir, 'f'), 3);
    expect(i.size).toBe(7);
    w.g.client.belief.doubt();
    expect(i.refresh()).toBe(0);
    expect(i.size).toBe(3);
    expect(names(open(w, '/', O_RDONLY | O_DIRECTORY), w.c).sort()).toEqual(['.', '..', 'f', 'new']);
  });

  test('keeps an inode as long as the file is the same, and appends behind others', () => {
    const dir = freshDir();
    writeFileSync(join(dir, 'f'), 'a');
    const w = world(dir, { exclusive: false });
    const i = stat(w, '/f');
    const f = open(w, '/f', O_WRONLY | O_APPEND);
    w.g.client.belief.doubt();
    expect(stat(w, '/f')).toBe(i);
    writeFileSync(join(dir, 'f'), 'b', { flag: 'a' });
    f.write(w.c, Buffer.from('c'), 0, 1);
    expect(readFileSync(join(dir, 'f'), 'latin1')).toBe('abc');
    f.unref();
    expect(renamePath(w.c, null, '/f', null, '/r', 0)).toBe(0);
    expect(text(w, '/r')).toBe('abc');
    expect(inode(w, '/f')).toBe(-ENOENT);
    expect(unlinkPath(w.c, null, '/r')).toBe(0);
    expect(mkdirPath(w.c, null, '/r', 0o755)).toBe(0);
    expect(rmdirPath(w.c, null, '/r')).toBe(0);
  });

  test('asks a directory as a whole when many of its names are asked, and begins no epoch when nothing is asked', () => {
    const dir = freshDir();
    for (let n = 0; n < 200; n++) writeFileSync(join(dir, `f${n}`), 'x');
    const w = world(dir, { exclusive: false });
    let begun = 0;
    w.g.client.belief.arm = () => begun++;
    w.g.client.belief.doubt();
    const found: Inode[] = [];
    for (let n = 0; n < 200; n++) found.push(stat(w, `/f${n}`));
    expect(begun).toBe(1);
    const before = w.g.client.calls;
    for (let n = 0; n < 200; n++) expect(stat(w, `/f${n}`)).toBe(found[n]);
    expect(inode(w, '/none')).toBe(-ENOENT);
    expect(w.g.client.calls).toBe(before);
    w.g.client.belief.doubt();
    expect(begun).toBe(1);
    for (let n = 0; n < 200; n++) expect(stat(w, `/f${n}`)).toBe(found[n]);
    expect(begun).toBe(2);
    expect(w.g.client.calls - before).toBeLessThan(60);
  });

  test('a name that somebody else made first is told and then seen', () => {
    const dir = freshDir();
    const w = world(dir, { exclusive: false });
    expect(inode(w, '/f')).toBe(-ENOENT);
    writeFileSync(join(dir, 'f'), 'theirs');
    expect(openPath(w.c, null, '/f', O_RDWR | O_CREAT | O_EXCL, 0o666)).toBe(-EEXIST);
    expect(text(w, '/f')).toBe('theirs');
  });
});

describe('a read-only tree', () => {
  test('refuses writers', () => {
    const dir = freshDir();
    writeFileSync(join(dir, 'f'), 'x');
    const w = world(dir, { readonly: true });
    expect(text(w, '/f')).toBe('x');
    expect(openPath(w.c, null, '/f', O_RDWR, 0)).toBe(-EROFS);
    expect(openPath(w.c, null, '/n', O_RDWR | O_CREAT, 0)).toBe(-EROFS);
    expect(unlinkPath(w.c, null, '/f')).toBe(-EROFS);
    expect(w.fs.options().startsWith('ro')).toBe(true);
  });
});

describe('a file as attach point', () => {
  test('is a file system of one file', () => {
    const dir = freshDir();
    writeFileSync(join(dir, 'hosts'), '127.0.0.1');
    const w = world(join(dir, 'hosts'), { exclusive: false });
    expect(w.fs.root.mode & 0o170000).toBe(0o100000);
    const f = w.fs.root.open(w.c, O_RDONLY, w.c.fs.rootMount, w.c.fs.rootDentry) as File;
    const b = Buffer.alloc(20);
    expect(f.pread(w.c, b, 0, 20, 0)).toBe(9);
  });
});
