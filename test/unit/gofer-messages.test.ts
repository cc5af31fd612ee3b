// How many messages to the gofer file calls cost: names are asked once, changes cost one each, and closing costs nothing.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { O_CREAT, O_DIRECTORY, O_EXCL, O_WRONLY } from '../../src/abi/fcntl.ts';
import { GoferFileSystem } from '../../src/sentry/fs/gofer/fs.ts';
import { OverlayFs } from '../../src/sentry/fs/overlay/overlay.ts';
import { TmpFs } from '../../src/sentry/fs/tmpfs/tmpfs.ts';
import { sys_chmod, sys_chown } from '../../src/sentry/syscalls/attr.ts';
import { sys_getdents64, sys_mkdir, sys_rename, sys_rmdir, sys_unlink } from '../../src/sentry/syscalls/dir.ts';
import { sys_close, sys_open } from '../../src/sentry/syscalls/open.ts';
import { sys_read, sys_write } from '../../src/sentry/syscalls/read.ts';
import { sys_lstat, sys_stat } from '../../src/sentry/syscalls/stat.ts';
import { freshDir, host, type Running, startGofer } from './gofer-support.ts';
import { type HotTask, hotTask } from './hot-task.ts';

const PATH = 4096;
const SECOND = 6144;
const OUT = 65536;
const FILES = 200;
const OLD = 60;
const MANY = 3000;

let gofer: Running;
let hot: HotTask;

function start(overlay: boolean): void {
  const dir = freshDir();
  mkdirSync(join(dir, 'old'));
  for (let i = 0; i < OLD; i++) writeFileSync(join(dir, 'old', `o${i}`), `${i}`);
  mkdirSync(join(dir, 'many'));
  for (let i = 0; i < MANY; i++) writeFileSync(join(dir, 'many', `m${i}`), '');
  gofer = startGofer([{ path: dir, readonly: false }]);
  const lower = GoferFileSystem.attach(gofer.client, 0, true) as GoferFileSystem;
  const upper = new TmpFs(host, { size: Infinity, inodes: Infinity, mode: 0o755, uid: 0, gid: 0, shown: '' });
  hot = hotTask(overlay ? new OverlayFs(upper, lower) : lower);
}

/** Does something for each of `n` names; the messages that it cost. */
function cost(n: number, name: (i: number) => string, call: (path: number) => number): number {
  const before = gofer.client.calls;
  for (let i = 0; i < n; i++) {
    hot.put(PATH, name(i));
    expect(call(PATH), name(i)).toBe(0);
  }
  return gofer.client.calls - before;
}

function write(path: number): number {
  const fd = sys_open(hot.args(path, O_CREAT | O_EXCL | O_WRONLY, 0o644));
  if (fd < 0) return fd;
  return sys_write(hot.args(fd, OUT, 100)) === 100 ? sys_close(hot.args(fd)) : -1;
}

function read(path: number): number {
  const fd = sys_open(hot.args(path, 0));
  if (fd < 0) return fd;
  return sys_read(hot.args(fd, OUT, 100)) > 0 ? sys_close(hot.args(fd)) : -1;
}

function list(path: number): number {
  const fd = sys_open(hot.args(path, O_DIRECTORY));
  while (sys_getdents64(hot.args(fd, OUT, 32768)) > 0);
  return sys_close(hot.args(fd));
}

afterEach(async () => {
  await gofer.stop();
});

describe('a tree of its own', () => {
  beforeEach(() => start(false));

  test('a new directory and what is made in it', () => {
    // The name is asked for once, then made.
    expect(
      cost(
        1,
        () => '/new',
        (p) => sys_mkdir(hot.args(p, 0o755)),
      ),
    ).toBe(2);
    const file = (i: number): string => `/new/f${i}`;
    expect(cost(FILES, file, write)).toBe(FILES);
    expect(cost(FILES, file, (p) => sys_stat(hot.args(p, OUT)))).toBe(0);
    expect(cost(FILES, file, read)).toBe(0);
    expect(cost(FILES, file, (p) => sys_chmod(hot.args(p, 0o600)))).toBe(FILES);
    expect(cost(FILES, file, (p) => sys_chown(hot.args(p, 1, 1)))).toBe(FILES);
    expect(cost(1, () => '/new', list)).toBe(0);
    const renamed = (path: number): number => {
      hot.put(SECOND, '/new/other');
      return sys_rename(hot.args(path, SECOND));
    };
    expect(cost(1, () => '/new/f0', renamed)).toBe(1);
    // Identifiers are given back in lots.
    expect(
      cost(
        FILES - 1,
        (i) => `/new/f${i + 1}`,
        (p) => sys_unlink(hot.args(p)),
      ),
    ).toBeLessThanOrEqual(FILES + 1);
    expect(
      cost(
        1,
        () => '/new/other',
        (p) => sys_unlink(hot.args(p)),
      ),
    ).toBeLessThanOrEqual(2);
    expect(
      cost(
        1,
        () => '/new',
        (p) => sys_rmdir(hot.args(p)),
      ),
    ).toBeLessThanOrEqual(2);
  });

  test('a directory is listed when it is asked for one name after the other', () => {
    expect(
      cost(
        OLD,
        (i) => `/old/o${i}`,
        (p) => sys_lstat(hot.args(p, OUT)),
      ),
    ).toBeLessThan(12);
    expect(
      cost(
        FILES,
        (i) => `/old/n${i}`,
        (p) => (sys_stat(hot.args(p, OUT)) === -2 ? 0 : -1),
      ),
    ).toBe(0);
    expect(cost(FILES, (i) => `/old/n${i}`, write)).toBe(FILES);
  });

  test('a directory that is too large for that is not listed', () => {
    const name = (i: number): string => `/many/n${i}`;
    expect(cost(20, name, (p) => (sys_stat(hot.args(p, OUT)) === -2 ? 0 : -1))).toBeGreaterThanOrEqual(20);
    expect(cost(1, () => '/many', list)).toBeGreaterThanOrEqual(1);
    expect(
      cost(
        20,
        (i) => name(i + 20),
        (p) => (sys_stat(hot.args(p, OUT)) === -2 ? 0 : -1),
      ),
    ).toBe(0);
  });

  test('reading a listed directory asks for descriptors only', () => {
    cost(1, () => '/old', list);
    expect(cost(OLD, (i) => `/old/o${i}`, read)).toBe(OLD);
    expect(cost(OLD, (i) => `/old/o${i}`, read)).toBe(0);
  });
});

test('above an overlay nothing new costs a message', () => {
  start(true);
  cost(
    1,
    () => '/new',
    (p) => sys_mkdir(hot.args(p, 0o755)),
  );
  const file = (i: number): string => `/new/f${i}`;
  const before = gofer.client.calls;
  cost(FILES, file, write);
  cost(FILES, file, (p) => sys_chmod(hot.args(p, 0o600)));
  cost(FILES, file, read);
  cost(1, () => '/new', list);
  cost(FILES, file, (p) => sys_unlink(hot.args(p)));
  cost(
    1,
    () => '/new',
    (p) => sys_rmdir(hot.args(p)),
  );
  expect(gofer.client.calls).toBe(before);
});
