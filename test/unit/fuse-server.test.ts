// The FUSE server by itself: requests as the host's kernel writes them, answers as it reads them (fuse(4)).

import { beforeEach, expect, test } from 'vitest';
import { ENFILE, ENOENT, ENOSYS, ENOTDIR, EROFS, ESTALE } from '../../src/abi/errno.ts';
import { PROC_SUPER_MAGIC } from '../../src/abi/mount.ts';
import { OutsideIds } from '../../src/sentry/fs/fuse/ids.ts';
import * as p from '../../src/sentry/fs/fuse/protocol.ts';
import { FuseServer, MAX_DATA } from '../../src/sentry/fs/fuse/server.ts';
import { SynthDir, SynthFs, SynthMagicLink } from '../../src/sentry/fs/synthetic.ts';
import { text, world } from './vfs-support.ts';

class Fs extends SynthFs {
  readonly root: SynthDir;

  constructor() {
    super('proc', PROC_SUPER_MAGIC);
    this.root = new SynthDir(this);
  }
}

const out = new Uint8Array(p.OUT_HEADER + MAX_DATA);
const view = new DataView(out.buffer);
let fs: Fs;
let server: FuseServer;
let status: string;

beforeEach(() => {
  fs = new Fs();
  status = 'Name:\tsh\n';
  const one = fs.root.dir('1');
  one.text('status', () => status);
  one.text('maps', () => 'x'.repeat(300_000));
  one.text('net', () => 'net');
  one.text('mounts', () => 'mounts');
  one.text('bad', () => {
    throw new Error('a bug');
  });
  one.add(
    'root',
    new SynthMagicLink(
      fs,
      () => '/',
      () => -ENOENT,
    ),
  );
  for (const name of ['self', 'thread-self']) fs.root.symbolic(name, () => -ENOENT);
  fs.root.symbolic('mounts', () => 'self/mounts');
  server = new FuseServer(fs, () => fs.root.fixed.get('1') ?? -ENOENT, world().c, out, new OutsideIds(''));
});

interface Answer {
  error: number;
  body: Uint8Array;
}

function ask(op: number, node: number, ...args: (string | number)[]): Answer | null {
  const buf = new Uint8Array(512);
  const v = new DataView(buf.buffer);
  let at = p.IN_HEADER;
  // Strings end in a NUL; numbers are of 64 bits.
  for (const a of args) {
    if (typeof a === 'number') {
      v.setBigUint64(at, BigInt(a), true);
      at += 8;
    } else {
      for (const c of `${a}\0`) buf[at++] = c.charCodeAt(0);
    }
  }
  v.setUint32(0, at, true);
  v.setUint32(4, op, true);
  v.setBigUint64(8, 0x1234567890abcdefn, true);
  v.setBigUint64(16, BigInt(node), true);
  v.setUint32(32, 77, true); // who asks
  const n = server.handle(buf, at);
  if (n === 0) return null;
  expect(view.getUint32(0, true)).toBe(n);
  expect(view.getBigUint64(8, true)).toBe(0x1234567890abcdefn);
  return { error: view.getInt32(4, true), body: out.slice(p.OUT_HEADER, n) };
}

function node(dir: number, name: string): number {
  const a = ask(p.FUSE_LOOKUP, dir, name);
  expect([name, a?.error, a?.body.length]).toEqual([name, 0, p.ENTRY_BYTES]);
  return Number(new DataView(a!.body.buffer).getBigUint64(0, true));
}

function open(id: number, op = p.FUSE_OPEN): number {
  const a = ask(op, id, 0);
  expect([a?.error, a?.body.length]).toEqual([0, p.OPEN_OUT_BYTES]);
  return Number(new DataView(a!.body.buffer).getBigUint64(0, true));
}

function list(id: number, size: number): string[] {
  const fh = open(id, p.FUSE_OPENDIR);
  const names: string[] = [];
  for (let pos = 0; ; ) {
    const a = ask(p.FUSE_READDIR, id, fh, pos, size);
    expect(a?.error).toBe(0);
    const b = a!.body;
    expect(b.length).toBeLessThanOrEqual(size);
    if (b.length === 0) break;
    const v = new DataView(b.buffer);
    for (let at = 0; at < b.length; ) {
      const n = v.getUint32(at + 16, true);
      names.push(text(b.subarray(at + p.DIRENT_BYTES, at + p.DIRENT_BYTES + n)));
      pos = Number(v.getBigUint64(at + 8, true));
      at += (p.DIRENT_BYTES + n + 7) & ~7;
    }
  }
  ask(p.FUSE_RELEASEDIR, id, fh);
  return names;
}

test('begins with the version that both know', () => {
  const a = ask(p.FUSE_INIT, 0, 7 + 45 * 2 ** 32, 0);
  const v = new DataView(a!.body.buffer);
  expect([a?.error, a?.body.length, v.getUint32(0, true), v.getUint32(4, true)]).toEqual([0, p.INIT_OUT_BYTES, 7, 31]);
});

test('names, attributes and text', () => {
  const file = node(node(p.FUSE_ROOT_ID, '1'), 'status');
  const attr = new DataView(ask(p.FUSE_GETATTR, file, 0, 0)!.body.buffer);
  expect([attr.getBigUint64(0, true), attr.getBigUint64(24, true), attr.getUint32(16 + 60, true)]).toEqual([0n, 9n, 0o100444]);
  const fh = open(file);
  expect(text(ask(p.FUSE_READ, file, fh, 0, 4096)!.body)).toBe('Name:\tsh\n');
  expect(text(ask(p.FUSE_READ, file, fh, 5, 2)!.body)).toBe('\ts');
  status = 'changed';
  expect(text(ask(p.FUSE_READ, file, fh, 0, 4096)!.body)).toBe('changed');
  expect(ask(p.FUSE_LOOKUP, p.FUSE_ROOT_ID, '2')).toMatchObject({ error: -ENOENT });
  expect(ask(p.FUSE_LOOKUP, file, 'x')).toMatchObject({ error: -ENOTDIR });
});

test('no answer is longer than its buffer', () => {
  const file = node(node(p.FUSE_ROOT_ID, '1'), 'maps');
  const fh = open(file);
  const a = ask(p.FUSE_READ, file, fh, 0, 2 ** 31);
  expect([a?.error, a?.body.length]).toEqual([0, MAX_DATA]);
  expect(ask(p.FUSE_READ, file, fh, 299_990, 4096)?.body.length).toBe(10);
  expect(ask(p.FUSE_READ, file, fh, 2 ** 52, 4096)?.body.length).toBe(0);
});

test('a listing comes whole, however small the pieces are', () => {
  const names = ['.', '..', '1', 'self', 'mounts'];
  expect(list(p.FUSE_ROOT_ID, 4096)).toEqual(names);
  expect(list(p.FUSE_ROOT_ID, 40)).toEqual(names);
});

test('self is what of the first process leads nowhere', () => {
  const self = node(p.FUSE_ROOT_ID, 'self');
  expect(list(self, 4096)).toEqual(['.', '..', 'status', 'net', 'mounts']);
  expect(ask(p.FUSE_LOOKUP, self, 'root')).toMatchObject({ error: -ENOENT });
  expect(ask(p.FUSE_LOOKUP, p.FUSE_ROOT_ID, 'thread-self')).toMatchObject({ error: -ENOENT });
  // The number of who asks is nobody's in there.
  expect(list(node(p.FUSE_ROOT_ID, '77'), 4096)).toEqual(['.', '..', 'status', 'net', 'mounts']);
  expect(ask(p.FUSE_LOOKUP, p.FUSE_ROOT_ID, '78')).toMatchObject({ error: -ENOENT });
  const mounts = node(p.FUSE_ROOT_ID, 'mounts');
  expect(text(ask(p.FUSE_READ, mounts, open(mounts), 0, 100)!.body)).toBe('mounts');
  fs.root.fixed.delete('1');
  expect(ask(p.FUSE_LOOKUP, p.FUSE_ROOT_ID, 'self')).toMatchObject({ error: -ENOENT });
});

test('links are text', () => {
  const link = node(node(p.FUSE_ROOT_ID, '1'), 'root');
  expect(text(ask(p.FUSE_READLINK, link)!.body)).toBe('/');
  expect(ask(p.FUSE_OPEN, link, 0)?.error).toBeLessThan(0);
});

test('what is forgotten and released is not kept', () => {
  expect(server.kept).toEqual({ nodes: 1, files: 0 });
  const dir = node(p.FUSE_ROOT_ID, '1');
  expect(node(p.FUSE_ROOT_ID, '1')).toBe(dir);
  const file = node(dir, 'status');
  const fh = open(file);
  expect(server.kept).toEqual({ nodes: 3, files: 1 });
  expect(ask(p.FUSE_FORGET, dir, 1)).toBeNull();
  expect(server.kept.nodes).toBe(3);
  expect(ask(p.FUSE_BATCH_FORGET, 0, 2, dir, 1, file, 1)).toBeNull();
  expect(ask(p.FUSE_RELEASE, file, fh)?.error).toBe(0);
  expect(server.kept).toEqual({ nodes: 1, files: 0 });
  expect(ask(p.FUSE_GETATTR, file, 0, 0)?.error).toBe(-ESTALE);
  expect(ask(p.FUSE_READ, file, fh, 0, 10)?.error).toBe(-ESTALE);
  ask(p.FUSE_FORGET, p.FUSE_ROOT_ID, 100);
  expect(ask(p.FUSE_GETATTR, p.FUSE_ROOT_ID, 0, 0)?.error).toBe(0);
});

test('open files have a limit', () => {
  const file = node(node(p.FUSE_ROOT_ID, '1'), 'status');
  let last: Answer | null = null;
  for (let i = 0; i < 5000; i++) last = ask(p.FUSE_OPEN, file, 0);
  expect(last?.error).toBe(-ENFILE);
  server.close();
  expect(server.kept).toEqual({ nodes: 0, files: 0 });
});

test('nothing can be changed, and what is unknown, cut short or a bug gets an error', () => {
  for (const op of p.FUSE_CHANGES) expect([op, ask(op, p.FUSE_ROOT_ID, 'x')?.error]).toEqual([op, -EROFS]);
  for (const op of [22, 25, 34, 39, 46, 4096]) expect([op, ask(op, p.FUSE_ROOT_ID)?.error]).toEqual([op, -ENOSYS]);
  expect(ask(p.FUSE_READ, p.FUSE_ROOT_ID)?.error).toBeLessThan(0);
  expect(ask(p.FUSE_LOOKUP, node(p.FUSE_ROOT_ID, '1'), 'bad')?.error).toBeLessThan(0);
  expect(ask(p.FUSE_INTERRUPT, 0, 5)).toBeNull();
  expect(server.handle(new Uint8Array(20), 20)).toBe(0);
});

test('ids of a user namespace are told as the host calls them', () => {
  const ids = new OutsideIds('         0     100000      65536\n     70000          5          1\n\0         0     200000          1\n\0');
  expect([0, 7, 65_535, 65_536, 70_000, 70_001].map((i) => ids.uid(i))).toEqual([100_000, 100_007, 165_535, 65_534, 5, 65_534]);
  expect([0, 1].map((i) => ids.gid(i))).toEqual([200_000, 65_534]);
  const same = new OutsideIds('');
  expect([same.uid(12), same.gid(4_000_000_000)]).toEqual([12, 4_000_000_000]);
});
