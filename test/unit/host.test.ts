// The host addon and its typed face: results are numbers, arguments are checked, descriptors travel.

import { spawnSync } from 'node:child_process';
import { closeSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { EPOLLET, EPOLLIN } from '../../src/abi/epoll.ts';
import { EBADF, EEXIST, EINVAL, EMSGSIZE, ENAMETOOLONG, ENOENT, EPERM, EXDEV } from '../../src/abi/errno.ts';
import { AT_FDCWD, O_DIRECTORY, O_PATH, O_RDONLY, RESOLVE_BENEATH } from '../../src/abi/fcntl.ts';
import { POLLIN } from '../../src/abi/poll.ts';
import { newHostStat } from '../../src/platform/hostio.ts';
import type { Native } from '../../src/host/native.ts';
import { displayName, hostPath, unixAddress } from '../../src/host/paths.ts';
import { Poller } from '../../src/host/poller.ts';
import { freshDir, host } from './gofer-support.ts';

const native = host.native;
const AF_UNIX = 1;
const SOCK_SEQPACKET = 5;

function pair(): [number, number] {
  const p = new Int32Array(2);
  expect(native.socketpair(AF_UNIX, SOCK_SEQPACKET, 0, p)).toBe(0);
  return [p[0] as number, p[1] as number];
}

describe('arguments', () => {
  test('of a wrong kind answer EINVAL without a call', () => {
    const free = ['epollCreate', 'getaffinity', 'cpuCount', 'uvBackendFd', 'shrink'];
    for (const [name, fn] of Object.entries(native as unknown as Record<string, (...a: unknown[]) => unknown>)) {
      if (free.includes(name)) continue;
      expect([name, fn()]).toEqual([name, -EINVAL]);
      expect([name, fn({}, {}, {}, {}, {}, {}, {}, {})]).toEqual([name, -EINVAL]);
      expect([name, fn(null, 'x', undefined, Symbol.iterator, [], {}, 1, 2)]).toEqual([name, -EINVAL]);
    }
  });

  test('beyond a buffer or a name are refused', () => {
    const b = new Uint8Array(16);
    for (const [off, len] of [
      [0, 17],
      [16, 1],
      [-1, 4],
      [4, -1],
      [2 ** 40, 1],
      [1, Number.MAX_SAFE_INTEGER],
    ] as const) {
      expect(native.read(0, b, off, len)).toBe(-EINVAL);
      expect(native.pwrite(0, b, off, len, 0)).toBe(-EINVAL);
    }
    expect(native.fstat(0, new Float64Array(15))).toBe(-EINVAL);
    expect(native.openat(AT_FDCWD, 'a\0b', 0, 0)).toBe(-EINVAL);
    expect(native.openat(AT_FDCWD, 'x'.repeat(5000), 0, 0)).toBe(-ENAMETOOLONG);
    expect(native.ioctl(0, 0x5413, new Uint8Array(20000))).toBe(-EINVAL);
    expect(native.fcntl(0, 5, 0)).toBe(-EINVAL);
    expect(native.prctl(15, 0, 0)).toBe(-EINVAL);
    expect(native.seccomp(new Uint8Array(7), 0)).toBe(-EINVAL);
  });
});

describe('files', () => {
  test('names, attributes and data', () => {
    const dir = freshDir();
    writeFileSync(join(dir, 'é'), 'hello');
    const d = native.openat(AT_FDCWD, hostPath(dir), O_PATH | O_DIRECTORY, 0);
    expect(d).toBeGreaterThan(0);
    expect(native.openat2(d, '..', O_PATH, 0, RESOLVE_BENEATH)).toBe(-EXDEV);
    expect(native.openat2(d, 'absent', O_PATH, 0, RESOLVE_BENEATH)).toBe(-ENOENT);
    const fd = native.openat2(d, hostPath('é'), O_RDONLY, 0, RESOLVE_BENEATH);
    const st = newHostStat();
    expect(host.fstat(fd, st)).toBe(0);
    expect(st.size).toBe(5);
    expect(host.pwrite(fd, new Uint8Array(1), 0, 1, 0)).toBe(-EBADF);
    const x = new Float64Array(21);
    expect(native.statx(d, hostPath('é'), x, 0, 0xfff)).toBe(0);
    expect(Array.from(x.subarray(1, 4))).toEqual([st.ino, st.mode, st.nlink]);
    expect(native.mkdirat(d, 'sub', 0o700)).toBe(0);
    expect(native.mkdirat(d, 'sub', 0o700)).toBe(-EEXIST);
    expect(readdirSync(dir).sort()).toEqual(['sub', 'é'].sort());
    expect(displayName(hostPath('é'))).toBe('é');
    expect(host.close(fd)).toBe(0);
    expect(host.close(fd)).toBe(-EBADF);
    host.close(d);
  });

  test('shared memory is seen on both sides', () => {
    const fd = host.memfd('test');
    expect(host.ftruncate(fd, 8192)).toBe(0);
    const map = native.mapShared(fd, 4096, 4096, 1);
    if (typeof map === 'number') throw new Error(`${map}`);
    new Int32Array(map)[0] = 42;
    const b = Buffer.alloc(4);
    expect(host.pread(fd, b, 0, 4, 4096)).toBe(4);
    expect(b.readInt32LE(0)).toBe(42);
    expect(native.mapShared(fd, 0, 0, 1)).toBe(-EINVAL);
    expect(native.mapShared(-1, 0, 4096, 1)).toBe(-EBADF);
    host.close(fd);
  });
});

describe('descriptors in messages', () => {
  test('arrive, close-on-exec', () => {
    const [a, b] = pair();
    const mem = host.memfd('m');
    const msg = Buffer.from('hello');
    expect(host.sendFds(a, msg, 0, 5, [mem, mem])).toBe(5);
    const fds: number[] = [];
    const buf = Buffer.alloc(10);
    expect(host.recvFds(b, buf, 0, 10, fds)).toBe(5);
    expect(fds.length).toBe(2);
    for (const fd of fds) {
      expect(native.fcntl(fd, 1, 0)).toBe(1);
      host.close(fd);
    }
    expect(host.recvFds(b, buf, 0, 10, fds)).toBe(-11);
    host.close(a);
    expect(host.recvFds(b, buf, 0, 10, fds)).toBe(0);
    host.close(b);
    host.close(mem);
  });

  test('of a cut message are closed', () => {
    const [a, b] = pair();
    const count = () => readdirSync('/proc/self/fd').length;
    const before = count();
    host.sendFds(a, Buffer.from('hello'), 0, 5, [a, b]);
    const fds: number[] = [];
    expect(host.recvFds(b, Buffer.alloc(3), 0, 3, fds)).toBe(-EMSGSIZE);
    expect(fds).toEqual([]);
    expect(count()).toBe(before);
    host.close(a);
    host.close(b);
  });
});

describe('waiting', () => {
  test('calls what is ready, and nothing that was taken out', () => {
    const p = new Poller(native);
    const [a, b] = pair();
    const seen: number[] = [];
    expect(p.add(b, EPOLLIN | EPOLLET, (e) => seen.push(e))).toBe(0);
    expect(p.wait(0)).toBe(0);
    host.sendFds(a, Buffer.from('x'), 0, 1, []);
    expect(p.wait(1000)).toBe(1);
    expect(p.wait(0)).toBe(0);
    expect(seen).toEqual([EPOLLIN]);
    host.sendFds(a, Buffer.from('x'), 0, 1, []);
    expect(p.remove(b)).toBe(0);
    expect(p.wait(0)).toBe(0);
    expect(p.remove(b)).toBe(-EBADF);
    expect(p.add(-1, EPOLLIN, () => {})).toBe(-EBADF);
    p.close();
    host.close(a);
    host.close(b);
  });

  test('keeps to fractions of a millisecond', () => {
    const p = new Poller(native);
    const best = Math.min(
      ...Array.from({ length: 20 }, () => {
        const t = performance.now();
        p.wait(0.2);
        return performance.now() - t;
      }),
    );
    expect(best).toBeGreaterThanOrEqual(0.19);
    expect(best).toBeLessThan(0.95);
    p.close();
  });

  test('waitFd ends with readiness or the time limit', () => {
    const [a, b] = pair();
    const t = performance.now();
    expect(host.waitFd(b, POLLIN, 20)).toBe(0);
    expect(performance.now() - t).toBeGreaterThanOrEqual(19);
    host.sendFds(a, Buffer.from('x'), 0, 1, []);
    expect(host.waitFd(b, POLLIN, 1000)).toBe(POLLIN);
    host.close(a);
    host.close(b);
  });
});

test('unix addresses', () => {
  expect(unixAddress('')).toBeNull();
  expect(unixAddress('x'.repeat(108))).toBeNull();
  const dir = freshDir();
  const s = native.socket(AF_UNIX, SOCK_SEQPACKET, 0);
  const address = unixAddress(hostPath(join(dir, 's'))) as Uint8Array;
  expect(native.bind(s, address)).toBe(0);
  expect(native.listen(s, 1)).toBe(0);
  const c = native.socket(AF_UNIX, SOCK_SEQPACKET, 0);
  expect(native.connect(c, address)).toBe(0);
  const cred = new Int32Array(3);
  const peer = native.accept(s, 0);
  expect(native.peerCredentials(peer, cred)).toBe(0);
  expect(cred[0]).toBe(process.pid);
  for (const fd of [s, c, peer]) host.close(fd);
});

test('a terminal without a path', () => {
  const master = native.openpt(2);
  expect(master).toBeGreaterThan(0);
  const slave = native.ptyPeer(master, 2);
  expect(native.isatty(slave)).toBe(1);
  const size = Buffer.alloc(8);
  size.writeUInt16LE(24, 0);
  size.writeUInt16LE(80, 2);
  expect(host.ioctl(master, 0x5414, size)).toBe(0);
  const back = Buffer.alloc(8);
  expect(host.ioctl(slave, 0x5413, back)).toBe(0);
  expect([back.readUInt16LE(0), back.readUInt16LE(2)]).toEqual([24, 80]);
  closeSync(slave);
  host.close(master);
});

test('a filter lets through what it names, by argument too, on all threads', () => {
  const root = resolve(import.meta.dirname, '../..');
  const program = join(freshDir(), 'filtered.mts');
  writeFileSync(
    program,
    `import { writeSync } from 'node:fs';
     import { loadHost } from ${JSON.stringify(join(root, 'src/host/host.ts'))};
     import { compileFilter, installFilter } from ${JSON.stringify(join(root, 'src/host/seccomp.ts'))};
     import { GOFER_FILTER } from ${JSON.stringify(join(root, 'src/gofer/filter.ts'))};
     const native = loadHost(process.argv[2] as string).native;
     const rules = [{ nr: 41, arg: 0, mask: 0xffffffff, values: [1] }, { nr: 62, arg: 1, mask: 0xff, values: [0, 3] }];
     const out = [installFilter(native, compileFilter({ ...GOFER_FILTER, rules }))];
     out.push(native.socket(1, 1, 0) > 0 ? 1 : 0, native.socket(2, 1, 0), native.kill(process.pid, 0), native.kill(process.pid, 9));
     writeSync(1, JSON.stringify(out));
     process.exit(0);`,
  );
  const bundle = join(freshDir(), 'filtered.cjs');
  const esbuild = join(root, 'node_modules/.bin/esbuild');
  spawnSync(esbuild, [program, '--bundle', '--platform=node', '--format=cjs', `--outfile=${bundle}`]);
  const r = spawnSync(process.execPath, [bundle, addonPath(native)], { encoding: 'utf8' });
  expect(r.stdout).toBe(JSON.stringify([0, 1, -EPERM, 0, -EPERM]));
});

/** Where the addon of this process was loaded from. */
function addonPath(_n: Native): string {
  const line = readFileSync('/proc/self/maps', 'latin1')
    .split('\n')
    .find((l) => l.endsWith('/host.node'));
  return (line as string).slice((line as string).indexOf('/'));
}
