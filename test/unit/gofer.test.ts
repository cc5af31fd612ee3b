// A real gofer process on temporary trees: what it serves, and what it must never serve.

import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EACCES, EBADF, ECONNREFUSED, EEXIST, EINVAL, EISDIR, ELOOP, ENOENT, ENOTDIR, EPROTO, EROFS, ESTALE } from '../../src/abi/errno.ts';
import { O_APPEND, O_CREAT, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } from '../../src/abi/fcntl.ts';
import {
  type NodeInfo,
  OP_CONNECT,
  OP_CREATE,
  OP_LINK,
  OP_MKDIR,
  OP_READDIR,
  OP_RENAME,
  OP_SETATTR,
  OP_SYMLINK,
  OP_UNLINK,
  OP_WALK,
  SET_MODE,
  SET_SIZE,
} from '../../src/wire/gofer.ts';
import { Encoder } from '../../src/wire/gofercodec.ts';
import { canHideProc, freshDir, host, type Running, type StartOptions, startGofer } from './gofer-support.ts';

const running: Running[] = [];
let noProc = false;

function start(attach: { path: string; readonly: boolean }[], options: StartOptions = {}): Running {
  const g = startGofer(attach, { noProc, ...options });
  running.push(g);
  return g;
}

afterEach(async () => {
  for (const g of running.splice(0)) await g.stop();
});

function attach(g: Running, index = 0): number {
  const n = g.client.attach(index);
  if (typeof n === 'number') throw new Error(`attach: ${n}`);
  return n.id;
}

function walk(g: Running, dir: number, ...names: string[]): NodeInfo {
  let info: NodeInfo | number = -1;
  for (const name of names) {
    info = g.client.walk(dir, name);
    if (typeof info === 'number') throw new Error(`${name}: ${info}`);
    dir = info.id;
  }
  return info as NodeInfo;
}

/** Sends bytes as they are and tells the status of the answer. */
function raw(g: Running, bytes: Uint8Array): number {
  host.sendFds(g.socket, bytes, 0, bytes.length, []);
  host.waitFd(g.socket, 1, 10000);
  const b = Buffer.alloc(200000);
  const n = host.recvFds(g.socket, b, 0, b.length, []);
  expect(n).toBeGreaterThanOrEqual(8);
  return b.readInt32LE(4);
}

describe.each(canHideProc ? [false, true] : [false])('service, without /proc: %s', (hide) => {
  beforeEach(() => {
    noProc = hide;
  });

  test('finds, reads and changes files', () => {
    const dir = freshDir();
    mkdirSync(join(dir, 'a/b'), { recursive: true });
    writeFileSync(join(dir, 'a/b/file'), 'hello');
    symlinkSync('b/file', join(dir, 'a/link'));
    const g = start([{ path: dir, readonly: false }]);
    const root = attach(g);
    const file = walk(g, root, 'a', 'b', 'file');
    expect(file.attr.size).toBe(5);
    expect(walk(g, root, 'a', 'link').target).toBe('b/file');
    expect(g.client.walk(root, 'absent')).toBe(-ENOENT);
    expect(g.client.walk(file.id, 'x')).toBe(-ENOTDIR);
    const fd = g.client.open(file.id, O_RDWR);
    const b = Buffer.alloc(10);
    expect(host.pread(fd, b, 0, 10, 0)).toBe(5);
    expect(b.toString('latin1', 0, 5)).toBe('hello');
    expect(host.pwrite(fd, b, 0, 5, 5)).toBe(5);
    expect(readFileSync(join(dir, 'a/b/file'), 'latin1')).toBe('hellohello');
    host.close(fd);
    const q = g.client.q;
    Object.assign(q, { id: root, name: 'new', flags: O_RDWR, mode: 0o100640, uid: 12, gid: 13 });
    expect(g.client.call(OP_CREATE)).toBe(0);
    host.close(g.client.donated);
    const st = statSync(join(dir, 'new'));
    expect([st.mode & 0o7777, st.uid, st.gid]).toEqual([0o640, 12, 13]);
    expect(g.client.call(OP_CREATE)).toBe(-EEXIST);
    Object.assign(q, { id: g.client.r.node?.id, mask: SET_MODE | SET_SIZE, mode: 0o4755, size: 100 });
    expect(g.client.call(OP_SETATTR)).toBe(0);
    expect(g.client.r.attr?.size).toBe(100);
    expect(statSync(join(dir, 'new')).mode & 0o7777).toBe(0o4755);
  });

  test('lists 10,000 entries in pages, with attributes and identifiers', () => {
    const dir = freshDir();
    for (let i = 0; i < 10000; i++) writeFileSync(join(dir, `file-${i}`), '');
    const g = start([{ path: dir, readonly: false }]);
    const root = attach(g);
    const before = g.client.calls;
    const all = g.client.readdir(root) as NodeInfo[];
    expect(all.length).toBe(10000);
    expect(new Set(all.map((n) => n.name)).size).toBe(10000);
    expect(g.client.calls - before).toBeLessThan(30);
    const a = g.client.getattr((all[5000] as NodeInfo).id);
    expect(typeof a === 'number' ? a : a.ino).toBe((all[5000] as NodeInfo).attr.ino);
  });

  test('serves more identifiers than it may have descriptors', () => {
    const dir = freshDir();
    for (let i = 0; i < 300; i++) {
      mkdirSync(join(dir, `d${i}`));
      writeFileSync(join(dir, `d${i}/f`), `${i}`);
    }
    const g = start([{ path: dir, readonly: false }], { nofile: 128 });
    const root = attach(g);
    const files: NodeInfo[] = [];
    for (let i = 0; i < 300; i++) files.push(walk(g, root, `d${i}`, 'f'));
    const b = Buffer.alloc(8);
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 300; i++) {
        const fd = g.client.open((files[i] as NodeInfo).id, O_RDONLY);
        expect(fd).toBeGreaterThan(0);
        const n = host.pread(fd, b, 0, 8, 0);
        expect(b.toString('latin1', 0, n)).toBe(`${i}`);
        host.close(fd);
      }
    }
  });

  test('follows renames that went through it', () => {
    const dir = freshDir();
    mkdirSync(join(dir, 'x/deep'), { recursive: true });
    writeFileSync(join(dir, 'x/deep/f'), 'f');
    const g = start([{ path: dir, readonly: false }], { nofile: 128 });
    const root = attach(g);
    const x = walk(g, root, 'x');
    const f = walk(g, x.id, 'deep', 'f');
    Object.assign(g.client.q, { id: root, name: 'x', newDir: root, newName: 'y', flags: 0, child: x.id, newChild: 0 });
    expect(g.client.call(OP_RENAME)).toBe(0);
    expect(existsSync(join(dir, 'y/deep/f'))).toBe(true);
    // Into itself: a lie that must not hurt.
    Object.assign(g.client.q, { id: root, name: 'y', newDir: x.id, newName: 'z', flags: 0, child: x.id, newChild: 0 });
    expect(g.client.call(OP_RENAME)).toBe(-EINVAL);
    const fd = g.client.open(f.id, O_RDONLY);
    expect(fd).toBeGreaterThan(0);
    host.close(fd);
  });

  test('an unlinked file that was announced still answers', () => {
    const dir = freshDir();
    writeFileSync(join(dir, 'f'), 'data');
    const g = start([{ path: dir, readonly: false }]);
    const root = attach(g);
    const f = walk(g, root, 'f');
    Object.assign(g.client.q, { id: root, name: 'f', flags: 0, child: f.id });
    expect(g.client.call(OP_UNLINK)).toBe(0);
    const a = g.client.getattr(f.id);
    expect(typeof a === 'number' ? a : a.nlink).toBe(0);
    expect(g.client.walk(root, 'f')).toBe(-ENOENT);
  });

  test('forgets identifiers and ends with its socket', async () => {
    const dir = freshDir();
    const g = startGofer([{ path: dir, readonly: false }]);
    const root = attach(g);
    g.client.clunk(root);
    g.client.flushClunks();
    expect(g.client.getattr(root)).toBe(-EBADF);
    expect(await g.stop()).toBe(0);
  });

  test('names are bytes', () => {
    const dir = freshDir();
    const g = start([{ path: dir, readonly: false }]);
    const root = attach(g);
    const name = 'caf\xc3\xa9\xff\x01 \n';
    Object.assign(g.client.q, { id: root, name, mode: 0o755, uid: 0, gid: 0 });
    expect(g.client.call(OP_MKDIR)).toBe(0);
    expect((g.client.readdir(root) as NodeInfo[]).map((n) => n.name)).toEqual([name]);
    expect(lstatSync(Buffer.concat([Buffer.from(`${dir}/`), Buffer.from(name, 'latin1')])).isDirectory()).toBe(true);
  });
});

describe.each(canHideProc ? [false, true] : [false])('confinement, without /proc: %s', (hide) => {
  beforeEach(() => {
    noProc = hide;
  });

  test('no name leads up or out', () => {
    const dir = freshDir();
    const secret = freshDir();
    writeFileSync(join(secret, 'secret'), 'secret');
    symlinkSync(secret, join(dir, 'out'));
    symlinkSync('../..', join(dir, 'up'));
    symlinkSync('/proc/self/root', join(dir, 'magic'));
    const g = start([{ path: dir, readonly: false }]);
    const root = attach(g);
    for (const name of ['..', '.', 'a/../..', '/etc', '']) {
      const e = new Encoder(new Uint8Array(100));
      for (const x of [OP_WALK, 1, root, 1]) e.u32(x);
      e.text(name);
      expect(raw(g, e.buf.subarray(0, e.pos))).toBe(-EPROTO);
    }
    for (const name of ['out', 'up', 'magic']) {
      const link = walk(g, root, name);
      expect(link.attr.mode & 0o170000).toBe(0o120000);
      expect(g.client.walk(link.id, 'secret')).toBe(-ELOOP);
      expect(g.client.open(link.id, O_RDONLY)).toBe(-EACCES);
      Object.assign(g.client.q, { id: link.id, page: 0 });
      expect(g.client.call(OP_READDIR)).toBe(-ENOTDIR);
      Object.assign(g.client.q, { id: link.id, name: 'x', flags: O_RDWR, mode: 0o100644 });
      expect(g.client.call(OP_CREATE)).toBe(-ENOTDIR);
      Object.assign(g.client.q, { id: link.id, mask: SET_SIZE, size: 0 });
      expect(g.client.call(OP_SETATTR)).toBe(-EINVAL);
    }
  });

  test('a directory that becomes a link to the outside is noticed', () => {
    const dir = freshDir();
    const secret = freshDir();
    writeFileSync(join(secret, 'f'), 'secret');
    mkdirSync(join(dir, 'd'));
    writeFileSync(join(dir, 'd/f'), 'inside');
    for (let i = 0; i < 100; i++) mkdirSync(join(dir, `n${i}`));
    const g = start([{ path: dir, readonly: false }], { nofile: 96 });
    const root = attach(g);
    const d = walk(g, root, 'd');
    const f = walk(g, d.id, 'f');
    // Push its descriptor out of the gofer's table, then swap the name.
    for (let i = 0; i < 100; i++) g.client.getattr(walk(g, root, `n${i}`).id);
    renameSync(join(dir, 'd'), join(secret, 'moved'));
    symlinkSync(secret, join(dir, 'd'));
    const open = g.client.open(f.id, O_RDONLY);
    expect([-ESTALE, -ELOOP]).toContain(open);
    expect(g.client.walk(d.id, 'f')).toBeLessThan(0);
    // Another directory of that name is not the one that was meant, either.
    rmSync(join(dir, 'd'));
    mkdirSync(join(dir, 'd'));
    writeFileSync(join(dir, 'd/f'), 'other');
    expect(g.client.open(f.id, O_RDONLY)).toBe(-ESTALE);
  });

  test('renaming in a race never hands out what is outside', async () => {
    const dir = freshDir();
    const secret = freshDir();
    writeFileSync(join(secret, 'f'), 'SECRET');
    mkdirSync(join(dir, 'd'));
    writeFileSync(join(dir, 'd/f'), 'inside');
    symlinkSync(secret, join(dir, 'evil'));
    const g = start([{ path: dir, readonly: false }]);
    const root = attach(g);
    const script = `const fs=require('fs');const d=${JSON.stringify(dir)};const end=Date.now()+1500;
      while(Date.now()<end){try{fs.renameSync(d+'/d',d+'/t');fs.renameSync(d+'/evil',d+'/d');fs.renameSync(d+'/d',d+'/evil');
      fs.renameSync(d+'/t',d+'/d')}catch(e){}}`;
    const racer = (await import('node:child_process')).spawn(process.execPath, ['-e', script]);
    const b = Buffer.alloc(16);
    let opened = 0;
    const end = Date.now() + 1500;
    while (Date.now() < end) {
      const d = g.client.walk(root, 'd');
      if (typeof d === 'number') continue;
      const f = g.client.walk(d.id, 'f');
      g.client.clunk(d.id);
      if (typeof f === 'number') continue;
      const fd = g.client.open(f.id, O_RDONLY);
      g.client.clunk(f.id);
      if (fd < 0) continue;
      opened++;
      const n = host.pread(fd, b, 0, 16, 0);
      host.close(fd);
      expect(b.toString('latin1', 0, n)).toBe('inside');
    }
    racer.kill();
    expect(opened).toBeGreaterThan(0);
  });

  test('devices, FIFOs and sockets are never opened, directories never donated', () => {
    const dir = freshDir();
    expect(spawnSync('mkfifo', [join(dir, 'fifo')]).status).toBe(0);
    mkdirSync(join(dir, 'd'));
    const made = spawnSync('mknod', [join(dir, 'mem'), 'c', '1', '1']).status === 0;
    const g = start([{ path: dir, readonly: false }]);
    const root = attach(g);
    expect(g.client.open(walk(g, root, 'fifo').id, O_RDONLY)).toBe(-EACCES);
    expect(g.client.open(walk(g, root, 'fifo').id, O_RDWR)).toBe(-EACCES);
    if (made) expect(g.client.open(walk(g, root, 'mem').id, O_RDONLY)).toBe(-EACCES);
    expect(g.client.open(walk(g, root, 'd').id, O_RDONLY)).toBe(-EISDIR);
    expect(g.client.open(root, O_RDONLY)).toBe(-EISDIR);
    Object.assign(g.client.q, { id: walk(g, root, 'fifo').id, flags: 0 });
    expect(g.client.call(OP_CONNECT)).toBe(-ECONNREFUSED);
    writeFileSync(join(dir, 'f'), '');
    const f = walk(g, root, 'f').id;
    for (const flags of [3, O_RDWR | O_CREAT, O_RDWR | O_APPEND, 0o4000000]) expect(g.client.open(f, flags)).toBe(-EINVAL);
  });

  test('a read-only tree refuses every change', () => {
    const dir = freshDir();
    writeFileSync(join(dir, 'f'), 'x');
    mkdirSync(join(dir, 'd'));
    const g = start([{ path: dir, readonly: true }]);
    const root = attach(g);
    expect(g.client.r.flag).toBe(1);
    const f = walk(g, root, 'f').id;
    for (const flags of [O_RDWR, O_WRONLY, O_RDONLY | O_TRUNC]) expect(g.client.open(f, flags)).toBe(-EROFS);
    const q = g.client.q;
    Object.assign(q, { id: root, name: 'n', newDir: root, newName: 'm', mode: 0o100644, flags: 0, text: 't', child: 0, newChild: 0 });
    for (const op of [OP_CREATE, OP_MKDIR, OP_SYMLINK, OP_UNLINK, OP_RENAME]) expect(g.client.call(op)).toBe(-EROFS);
    q.id = f;
    q.mask = SET_MODE;
    for (const op of [OP_LINK, OP_SETATTR]) expect(g.client.call(op)).toBe(-EROFS);
    const fd = g.client.open(f, O_RDONLY);
    expect(host.pwrite(fd, Buffer.from('y'), 0, 1, 0)).toBe(-EBADF);
    host.close(fd);
    expect(readFileSync(join(dir, 'f'), 'latin1')).toBe('x');
  });

  test('one tree does not reach into another, nor an unknown identifier anywhere', () => {
    const a = freshDir();
    const b = freshDir();
    writeFileSync(join(a, 'f'), 'x');
    const g = start([
      { path: a, readonly: false },
      { path: b, readonly: true },
      { path: '/nonexistent-attach-point', readonly: false },
    ]);
    const ra = attach(g, 0);
    const rb = attach(g, 1);
    Object.assign(g.client.q, { id: ra, name: 'f', newDir: rb, newName: 'f', flags: 0, child: 0, newChild: 0 });
    expect(g.client.call(OP_RENAME)).toBe(-EROFS);
    expect(g.client.attach(2)).toBe(-ENOENT);
    expect(g.client.attach(3)).toBe(-ENOENT);
    expect(g.client.getattr(0)).toBe(-EBADF);
    expect(g.client.getattr(12345678)).toBe(-EBADF);
  });

  test('nonsense is answered, and descriptors sent along are closed', () => {
    const dir = freshDir();
    const g = start([{ path: dir, readonly: false }]);
    const root = attach(g);
    expect(raw(g, new Uint8Array(8))).toBe(-EPROTO);
    expect(raw(g, new Uint8Array(3))).toBe(-EPROTO);
    expect(raw(g, new Uint8Array(100000).fill(255))).toBe(-EPROTO);
    const pid = g.child.pid as number;
    const count = () => spawnSync('sh', ['-c', `ls /proc/${pid}/fd | wc -l`], { encoding: 'latin1' }).stdout.trim();
    const before = count();
    const e = new Encoder(new Uint8Array(100));
    for (const x of [OP_READDIR, 1, root, 5]) e.u32(x);
    host.sendFds(g.socket, e.buf, 0, e.pos, [0, 1, 2]);
    host.waitFd(g.socket, 1, 5000);
    const b = Buffer.alloc(100);
    expect(host.recvFds(g.socket, b, 0, 100, [])).toBe(8);
    expect(b.readInt32LE(4)).toBe(-EINVAL);
    expect(count()).toBe(before);
  });

  test('as an ordinary user it does what that user may', () => {
    const dir = freshDir();
    chmodSync(join(dir, '..'), 0o755);
    chmodSync(dir, 0o755);
    writeFileSync(join(dir, 'private'), 'x', { mode: 0o600 });
    mkdirSync(join(dir, 'open'));
    chmodSync(join(dir, 'open'), 0o777);
    linkSync(join(dir, 'private'), join(dir, 'private2'));
    const g = start([{ path: dir, readonly: false }], { uid: 65534, noProc: false });
    const root = attach(g);
    expect(g.client.open(walk(g, root, 'private').id, O_RDONLY)).toBe(-EACCES);
    Object.assign(g.client.q, { id: root, name: 'n', mode: 0o100644, flags: O_RDWR, uid: 0, gid: 0 });
    expect(g.client.call(OP_CREATE)).toBe(-EACCES);
    g.client.q.id = walk(g, root, 'open').id;
    g.client.q.name = 'n';
    expect(g.client.call(OP_CREATE)).toBe(0);
    host.close(g.client.donated);
    expect(statSync(join(dir, 'open/n')).uid).toBe(65534);
    Object.assign(g.client.q, { name: 'l', text: '../private' });
    expect(g.client.call(OP_SYMLINK)).toBe(0);
    expect(readlinkSync(join(dir, 'open/l'))).toBe('../private');
  });
});
