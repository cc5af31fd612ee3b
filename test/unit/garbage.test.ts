// Calls that programs make all the time leave nothing behind for the garbage collector.

import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { installLatin1 } from '../../src/base/bytes.ts';
import { GoferFileSystem } from '../../src/sentry/fs/gofer/fs.ts';
import { OverlayFs } from '../../src/sentry/fs/overlay/overlay.ts';
import { TmpFs } from '../../src/sentry/fs/tmpfs/tmpfs.ts';
import { sys_close, sys_open } from '../../src/sentry/syscalls/open.ts';
import { sys_lseek, sys_pread64, sys_pwrite64, sys_read, sys_write } from '../../src/sentry/syscalls/read.ts';
import { sys_access, sys_fstat, sys_lstat, sys_newfstatat, sys_readlink, sys_stat, sys_statx } from '../../src/sentry/syscalls/stat.ts';
import { freshDir, host, type Running, startGofer } from './gofer-support.ts';
import { heapTaken } from './allocated.ts';
import { type HotTask, hotTask } from './hot-task.ts';

const CALLS = 1_000_000;
const AT_FDCWD = 0xffffff9c;
const O_RDWR = 2;
const PATH = 4096;
const LINKED = 8192;
const ABSENT = 12288;
const LINK = 16384;
const DATA = 20480;
const OUT = 65536;

describe.each(['gofer', 'overlay'])('%s', (kind) => {
  let gofer: Running;
  let hot: HotTask;
  let fd = 0;

  beforeAll(() => {
    installLatin1(
      (Buffer.prototype as unknown as { latin1Slice: Parameters<typeof installLatin1>[0] }).latin1Slice,
      (Buffer.prototype as unknown as { latin1Write: Parameters<typeof installLatin1>[1] }).latin1Write,
    );
    const dir = freshDir();
    mkdirSync(join(dir, 'usr/lib/x86_64-linux-gnu'), { recursive: true });
    writeFileSync(join(dir, 'usr/lib/x86_64-linux-gnu/libc.so.6'), '');
    // Large enough to be in a host file when the overlay has copied it.
    writeFileSync(join(dir, 'data'), Buffer.alloc(1_500_000));
    symlinkSync('usr/lib', join(dir, 'lib'));
    gofer = startGofer([{ path: dir, readonly: false }]);
    const lower = GoferFileSystem.attach(gofer.client, 0, true) as GoferFileSystem;
    const upper = new TmpFs(host, { size: Infinity, inodes: Infinity, mode: 0o755, uid: 0, gid: 0, shown: '' });
    hot = hotTask(kind === 'gofer' ? lower : new OverlayFs(upper, lower));
    hot.put(PATH, '/usr/lib/x86_64-linux-gnu/libc.so.6');
    hot.put(LINKED, '/lib/x86_64-linux-gnu/libc.so.6');
    hot.put(ABSENT, '/usr/lib/x86_64-linux-gnu/libm.so.6');
    hot.put(LINK, '/lib');
    hot.put(DATA, '/data');
    fd = sys_open(hot.args(DATA, O_RDWR));
    expect(fd).toBeGreaterThanOrEqual(0);
  });

  afterAll(async () => {
    await gofer.stop();
  });

  const free: [string, (h: HotTask) => number, number][] = [
    ['stat', (h) => sys_stat(h.args(PATH, OUT)), 0],
    ['lstat', (h) => sys_lstat(h.args(PATH, OUT)), 0],
    ['stat by a link', (h) => sys_stat(h.args(LINKED, OUT)), 0],
    ['stat of an absent name', (h) => sys_stat(h.args(ABSENT, OUT)), -2],
    ['newfstatat', (h) => sys_newfstatat(h.args(AT_FDCWD, PATH, OUT, 0)), 0],
    ['statx', (h) => sys_statx(h.args(AT_FDCWD, PATH, 0, 0xfff, OUT)), 0],
    ['fstat', (h) => sys_fstat(h.args(fd, OUT)), 0],
    ['access', (h) => sys_access(h.args(PATH, 4)), 0],
    ['readlink', (h) => sys_readlink(h.args(LINK, OUT, 100)), 7],
    ['pread', (h) => sys_pread64(h.args(fd, OUT, 512, 4096)), 512],
    ['pwrite', (h) => sys_pwrite64(h.args(fd, OUT, 512, 4096)), 512],
    ['lseek and read', (h) => sys_lseek(h.args(fd, 0, 0)) + sys_read(h.args(fd, OUT, 512)), 512],
    ['lseek and write', (h) => sys_lseek(h.args(fd, 0, 0)) + sys_write(h.args(fd, OUT, 512)), 512],
  ];

  test.each(free)('%s leaves nothing', (_name, call, result) => {
    expect(call(hot)).toBe(result);
    const messages = gofer.client.calls;
    expect(heapTaken(() => call(hot))).toBeLessThan(300 * 1024);
    expect(gofer.client.calls).toBe(messages);
  });

  test('open and close leave the description alone, and ask nobody', () => {
    const call = (): number => sys_close(hot.args(sys_open(hot.args(PATH, 0))));
    expect(call()).toBe(0);
    const messages = gofer.client.calls;
    expect(heapTaken(call)).toBeLessThan((kind === 'gofer' ? 400 : 800) * CALLS);
    expect(gofer.client.calls).toBe(messages);
  });
});
