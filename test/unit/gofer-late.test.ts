// Files that are made behind the guest's back: any sequence of calls must answer, and leave on the host, what the same calls do at once.

import { lstatSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { EEXIST, EIO } from '../../src/abi/errno.ts';
import { O_APPEND, O_CREAT, O_DIRECTORY, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } from '../../src/abi/fcntl.ts';
import { SEEK_SET } from '../../src/abi/uio.ts';
import { GoferFileSystem } from '../../src/sentry/fs/gofer/fs.ts';
import type { Caller } from '../../src/sentry/vfs/caller.ts';
import type { File } from '../../src/sentry/vfs/file.ts';
import { FsContext } from '../../src/sentry/vfs/fscontext.ts';
import { newMount } from '../../src/sentry/vfs/mount.ts';
import { linkPath, mkdirPath, renamePath, rmdirPath, unlinkPath } from '../../src/sentry/vfs/ops.ts';
import { changeMode, changeOwner, changeTimes } from '../../src/sentry/vfs/setattr.ts';
import { LOOKUP_FOLLOW, resolve, Walk } from '../../src/sentry/vfs/walk.ts';
import { caller, canHideProc, freshDir, type Running, startGofer } from './gofer-support.ts';
import { openPath } from './open-path.ts';

const running: Running[] = [];
afterEach(async () => {
  for (const g of running.splice(0)) await g.stop();
});

interface World {
  dir: string;
  g: Running;
  c: Caller;
  open: (File | null)[];
}

/** A tree whose files are made late, or (the oracle) at once. */
function world(late: boolean): World {
  const dir = freshDir();
  const g = startGofer([{ path: dir, readonly: false }], { noProc: canHideProc });
  running.push(g);
  const fs = GoferFileSystem.attach(g.client, 0, !late);
  if (typeof fs === 'number') throw new Error(`attach: ${fs}`);
  fs.session.late = late;
  const mount = newMount(fs, 0, 'test');
  const c = { ...caller(), fs: new FsContext(mount, mount.root, mount, mount.root, 0o022) };
  return { dir, g, c, open: [] };
}

/** All files of a host folder: mode, owner, links, size and content. */
function tree(dir: string, at = ''): string[] {
  return readdirSync(join(dir, at))
    .sort()
    .flatMap((name) => {
      const path = `${at}/${name}`;
      const st = lstatSync(join(dir, path));
      const own = `${path} ${st.mode.toString(8)} ${st.uid}:${st.gid} ${st.nlink}`;
      return st.isDirectory() ? [own, ...tree(dir, path)] : [`${own} ${readFileSync(join(dir, path), 'latin1')}`];
    });
}

type Step = readonly [string, number, number, number];
const NAMES = ['/a', '/b', '/d/a', '/d/b', '/e/a'];
const DIRS = ['/d', '/e', '/f'];
const FLAGS = [O_RDONLY, O_WRONLY | O_CREAT, O_RDWR | O_CREAT | O_EXCL, O_RDWR | O_CREAT | O_TRUNC, O_WRONLY | O_CREAT | O_APPEND];
const SIZES = [0, 1, 10, 3000, 30000, 40000];

/** One call in a world; what it answers, as far as both must agree. */
function step(w: World, [what, x, y, z]: Step): unknown {
  const path = NAMES[x % NAMES.length]!;
  const other = NAMES[y % NAMES.length]!;
  const walk = new Walk();
  const file = w.open[x % 4] ?? null;
  const size = SIZES[z % SIZES.length]!;
  const found = (p: string, then: () => unknown): unknown => {
    const err = resolve(w.c, null, p, LOOKUP_FOLLOW, walk);
    return err < 0 ? err : then();
  };
  switch (what) {
    case 'open': {
      w.open[y % 4]?.unref();
      const f = openPath(w.c, null, path, FLAGS[z % FLAGS.length]!, 0o664);
      w.open[y % 4] = typeof f === 'number' ? null : f;
      return typeof f === 'number' ? f : 0;
    }
    case 'close':
      w.open[x % 4]?.unref();
      w.open[x % 4] = null;
      return 0;
    case 'write':
      return file?.writable === true ? file.write(w.c, Buffer.alloc(size, 97 + (y % 26)), 0, size) : 0;
    case 'seek':
      return file === null ? 0 : file.seek(w.c, SIZES[y % SIZES.length]!, SEEK_SET);
    case 'read': {
      if (file === null || !file.readable) return 0;
      const b = Buffer.alloc(100000);
      const n = file.pread(w.c, b, 0, b.length, y % 50);
      return n < 0 ? n : b.toString('latin1', 0, n);
    }
    case 'truncate':
      return file?.writable === true ? file.truncate(w.c, size) : 0;
    case 'fsync':
      return file === null ? 0 : file.fsync(false);
    case 'fstat':
      return file === null ? 0 : [file.inode.refresh(), file.inode.size, file.inode.mode, file.inode.nlink];
    case 'stat':
      return found(path, () => [walk.dentry.inode!.refresh(), walk.dentry.inode!.size, walk.dentry.inode!.mode, walk.dentry.inode!.nlink]);
    case 'chmod':
      return found(path, () => changeMode(w.c, walk.mount, walk.dentry, walk.dentry.inode!, [0o600, 0o755, 0o4711][y % 3]!));
    case 'chown':
      return found(path, () => changeOwner(w.c, walk.mount, walk.dentry, walk.dentry.inode!, y % 3, z % 3));
    case 'utimes':
      return found(path, () => changeTimes(w.c, walk.mount, walk.dentry, walk.dentry.inode!, y, 5, z, 7));
    case 'times':
      return found(path, () => [walk.dentry.inode!.refresh(), walk.dentry.inode!.mtimeSec < 1000 ? walk.dentry.inode!.mtimeSec : 'now']);
    case 'rename':
      return renamePath(w.c, null, path, null, other, 0);
    case 'link':
      return linkPath(w.c, null, path, null, other, false, false);
    case 'unlink':
      return unlinkPath(w.c, null, path);
    case 'mkdir':
      return mkdirPath(w.c, null, DIRS[x % DIRS.length]!, 0o755);
    case 'rmdir':
      return rmdirPath(w.c, null, DIRS[x % DIRS.length]!);
    case 'move':
      return renamePath(w.c, null, DIRS[x % DIRS.length]!, null, DIRS[y % DIRS.length]!, 0);
    case 'list': {
      const f = openPath(w.c, null, x % 2 === 0 ? '/' : '/d', O_RDONLY | O_DIRECTORY, 0);
      if (typeof f === 'number') return f;
      const names: string[] = [];
      f.readdir(w.c, { add: (name, ino) => (ino > 0 ? names.push(name) : names.push(`${name} without a number`)) > 0 });
      f.unref();
      return names.sort();
    }
    case 'doubt':
      w.g.client.belief.doubt();
      return 0;
    case 'rest':
      w.g.client.sendLate();
      return 0;
    case 'hear':
      return w.g.client.hearLate();
    default:
      w.g.client.settleAll();
      return 0;
  }
}

const WORDS = [
  ...['open', 'open', 'open', 'open', 'write', 'write', 'write', 'close', 'close', 'close', 'read', 'seek', 'truncate', 'fsync', 'fstat'],
  ...['stat', 'chmod', 'chown', 'utimes', 'times', 'rename', 'rename', 'link', 'unlink', 'unlink', 'unlink', 'mkdir', 'rmdir', 'move'],
  ...['list', 'doubt', 'rest', 'hear', 'settle'],
];
const small = fc.nat({ max: 59 });

describe('files made late', () => {
  test('any sequence of calls answers and leaves what it does at once', () => {
    const late = world(true);
    const now = world(false);
    const lost: string[] = [];
    late.g.client.onLost = (name, errno) => lost.push(`${name}: ${errno}`);
    late.g.client.behind.onKept = late.g.client.onLost;
    const clear = (w: World): void => {
      for (const f of w.open) f?.unref();
      w.open = [];
      for (const n of NAMES) unlinkPath(w.c, null, n);
      for (const d of [...DIRS, '/f/a', '/f/b']) for (const n of ['a', 'b']) unlinkPath(w.c, null, `${d}/${n}`);
      for (const d of DIRS) rmdirPath(w.c, null, d);
      w.g.client.settleAll();
    };
    const sequence = fc.array(fc.tuple(fc.constantFrom(...WORDS), small, small, small), { maxLength: 60 });
    fc.assert(
      fc.property(sequence, (steps) => {
        for (const w of [late, now]) for (const d of ['/d', '/e']) mkdirPath(w.c, null, d, 0o755);
        for (const s of steps) expect([s, step(late, s)]).toEqual([s, step(now, s)]);
        late.g.client.settleAll();
        expect(tree(late.dir)).toEqual(tree(now.dir));
        clear(late);
        clear(now);
        expect(tree(late.dir)).toEqual([]);
        expect(lost).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });

  test('a thousand files need few messages, and are there when all is settled', () => {
    const w = world(true);
    const before = w.g.client.calls;
    mkdirPath(w.c, null, '/d', 0o755);
    for (let i = 0; i < 1000; i++) {
      const f = openPath(w.c, null, `/d/f${i}`, O_WRONLY | O_CREAT | O_EXCL, 0o644) as File;
      expect(f.write(w.c, Buffer.from(`file ${i}`), 0, 6)).toBe(6);
      f.unref();
    }
    w.g.client.settleAll();
    expect(w.g.client.calls - before).toBeLessThan(100);
    expect(readdirSync(join(w.dir, 'd')).length).toBe(1000);
    expect(readFileSync(join(w.dir, 'd/f999'), 'latin1')).toBe('file 9');
    for (let i = 0; i < 1000; i++) expect(unlinkPath(w.c, null, `/d/f${i}`)).toBe(0);
    expect(rmdirPath(w.c, null, '/d')).toBe(0);
    expect(w.g.client.calls - before).toBeLessThan(200);
    expect(readdirSync(w.dir)).toEqual([]);
  });

  test('a name that the host takes meanwhile loses the file, which is told and known', () => {
    const w = world(true);
    const lost: (string | number)[] = [];
    w.g.client.onLost = (name, errno) => lost.push(name, errno);
    const f = openPath(w.c, null, '/f', O_RDWR | O_CREAT | O_EXCL, 0o644) as File;
    f.write(w.c, Buffer.from('ours'), 0, 4);
    writeFileSync(join(w.dir, 'f'), 'theirs');
    w.g.client.settleAll();
    expect(lost).toEqual(['f', -EEXIST]);
    expect(f.fsync(false)).toBe(-EEXIST);
    f.unref();
    expect(readFileSync(join(w.dir, 'f'), 'latin1')).toBe('theirs');
    const again = openPath(w.c, null, '/f', O_RDONLY, 0) as File;
    const b = Buffer.alloc(10);
    expect(b.toString('latin1', 0, again.pread(w.c, b, 0, 10, 0))).toBe('theirs');
  });

  test('the end of the gofer loses what it had not made, and every call after it fails', async () => {
    const w = world(true);
    const lost: number[] = [];
    w.g.client.onLost = (_name, errno) => lost.push(errno);
    const f = openPath(w.c, null, '/f', O_RDWR | O_CREAT | O_EXCL, 0o644) as File;
    w.g.child.kill('SIGKILL');
    await new Promise((done) => w.g.child.once('exit', done));
    w.g.client.settleAll();
    expect(lost).toEqual([-EIO]);
    expect(f.fsync(false)).toBe(-EIO);
    expect(openPath(w.c, null, '/g', O_RDWR | O_CREAT, 0o644)).toBe(-EIO);
  });
});
