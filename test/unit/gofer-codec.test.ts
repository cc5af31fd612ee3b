// The gofer protocol on paper: what is written is read back, and nothing that comes in can do harm.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EMSGSIZE, EPROTO } from '../../src/abi/errno.ts';
import {
  type Attr,
  GoferReply,
  GoferRequest,
  MAX_MESSAGE,
  type NodeInfo,
  OP_CREATE,
  OP_GETATTR,
  OP_READDIR,
  OP_RENAME,
  OP_SETXATTR,
  OP_WALK,
  REPLY_FIELDS,
  REQUEST_FIELDS,
  validName,
} from '../../src/wire/gofer.ts';
import { beginPage, Decoder, decodeReply, decodeRequest, Encoder, encodeReply, encodeRequest, endPage } from '../../src/wire/gofercodec.ts';

const ops = Object.keys(REQUEST_FIELDS).map(Number);
const e = new Encoder(new Uint8Array(MAX_MESSAGE));
const d = new Decoder();

const u32 = fc.nat(0xffffffff);
const size = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const nsec = fc.nat(999999999);
const latin1 = fc.string({ unit: fc.integer({ min: 1, max: 255 }).map((c) => String.fromCharCode(c)), maxLength: 300 });
const name = fc
  .string({ unit: fc.integer({ min: 1, max: 255 }).map((c) => String.fromCharCode(c === 47 ? 48 : c)), minLength: 1, maxLength: 255 })
  .filter(validName);
const attr: fc.Arbitrary<Attr> = fc.record({
  dev: size,
  ino: size,
  mode: u32,
  nlink: u32,
  uid: u32,
  gid: u32,
  rdev: size,
  size,
  blksize: u32,
  blocks: size,
  atimeSec: fc.maxSafeInteger(),
  atimeNsec: nsec,
  mtimeSec: fc.maxSafeInteger(),
  mtimeNsec: nsec,
  ctimeSec: fc.maxSafeInteger(),
  ctimeNsec: nsec,
});
const zero = (n: Attr): Attr => ({ ...n, atimeSec: n.atimeSec + 0, mtimeSec: n.mtimeSec + 0, ctimeSec: n.ctimeSec + 0 });

function request(fields: Partial<GoferRequest>): GoferRequest {
  return Object.assign(new GoferRequest(), fields);
}

describe('requests', () => {
  test('come back as they were', () => {
    const any = fc.record({
      op: fc.constantFrom(...ops),
      tag: u32,
      id: u32,
      name,
      newDir: u32,
      newName: name,
      child: u32,
      newChild: u32,
      flags: u32,
      mode: u32,
      uid: u32,
      gid: u32,
      major: u32,
      minor: u32,
      mask: u32,
      page: u32,
      size,
      atimeSec: fc.maxSafeInteger(),
      atimeNsec: nsec,
      mtimeSec: fc.maxSafeInteger(),
      mtimeNsec: nsec,
      text: latin1,
      names: fc.array(name, { maxLength: 8 }),
      ids: fc.array(u32, { maxLength: 50 }),
      bytes: fc.uint8Array({ maxLength: 500 }),
      removals: fc.array(fc.record({ dir: u32, name }), { maxLength: 8 }),
      puts: fc.array(
        fc.record({
          dir: u32,
          name,
          mode: u32,
          uid: u32,
          gid: u32,
          atimeSec: size,
          atimeNsec: nsec,
          mtimeSec: size,
          mtimeNsec: nsec,
          data: fc.uint8Array({ maxLength: 200 }),
        }),
        { maxLength: 8 },
      ),
    });
    fc.assert(
      fc.property(any, (q) => {
        const len = encodeRequest(request(q), e);
        expect(len).toBeGreaterThan(0);
        const out = new GoferRequest();
        expect(decodeRequest(d, e.buf, len, out)).toBe(0);
        expect(out.op).toBe(q.op);
        expect(out.tag).toBe(q.tag);
        for (const f of REQUEST_FIELDS[q.op] ?? []) expect(out[f]).toEqual(q[f]);
        // One byte less or more is no request.
        expect(decodeRequest(d, e.buf, len - 1, out)).toBe(-EPROTO);
        expect(decodeRequest(d, e.buf, len + 1, out)).toBe(-EPROTO);
      }),
      { numRuns: 300 },
    );
  });

  test('names that could lead elsewhere are refused on both sides', () => {
    for (const bad of ['', '.', '..', 'a/b', '/', '../x', 'a\0b', 'x'.repeat(256), 'Ā']) {
      expect(validName(bad)).toBe(false);
      expect(encodeRequest(request({ op: OP_WALK, names: [bad] }), e)).toBeLessThan(0);
      expect(encodeRequest(request({ op: OP_CREATE, name: bad }), e)).toBeLessThan(0);
      expect(encodeRequest(request({ op: OP_RENAME, name: 'a', newName: bad }), e)).toBeLessThan(0);
      // As a liar would write it.
      const w = new Encoder(new Uint8Array(1024));
      w.u32(OP_WALK);
      w.u32(1);
      w.u32(1);
      w.u32(1);
      w.text(bad === 'Ā' ? '/' : bad);
      expect(decodeRequest(d, w.buf, w.pos, new GoferRequest())).toBe(-EPROTO);
    }
  });

  test('what is too long is not sent', () => {
    expect(encodeRequest(request({ op: OP_SETXATTR, text: 'user.a', bytes: new Uint8Array(MAX_MESSAGE) }), e)).toBe(-EMSGSIZE);
    expect(encodeRequest(request({ op: OP_WALK, names: Array(65).fill('a') }), e)).toBe(-EMSGSIZE);
  });
});

describe('answers', () => {
  const node = fc.record({ id: u32, attr, target: latin1, name: fc.constant('') });

  test('come back as they were', () => {
    const any = fc.record({
      op: fc.constantFrom(...ops.filter((op) => op !== OP_READDIR)),
      tag: u32,
      status: fc.integer({ min: -4095, max: 0 }),
      attr,
      node,
      nodes: fc.array(node, { maxLength: 5 }),
      stop: fc.integer({ min: -4095, max: 0 }),
      flag: u32,
      text: latin1,
      bytes: fc.uint8Array({ maxLength: 500 }),
      statfs: fc.array(size, { minLength: 10, maxLength: 10 }),
      statuses: fc.array(fc.integer({ min: -4095, max: 0 }), { maxLength: 8 }),
    });
    fc.assert(
      fc.property(any, (a) => {
        const len = encodeReply(a.op, Object.assign(new GoferReply(), a), e);
        expect(len).toBeGreaterThan(0);
        const out = new GoferReply();
        expect(decodeReply(d, a.op, e.buf, len, out)).toBe(0);
        expect(out.tag).toBe(a.tag);
        expect(out.status).toBe(a.status);
        if (a.status === 0) for (const f of REPLY_FIELDS[a.op] ?? []) expect(out[f]).toEqual(a[f]);
        expect(decodeReply(d, a.op, e.buf, len + 1, out)).toBe(-EPROTO);
      }),
      { numRuns: 300 },
    );
  });

  test('pages of a directory hold names', () => {
    const entries = fc.array(fc.record({ id: u32, attr: attr.map(zero), target: latin1, name }), { maxLength: 20 });
    fc.assert(
      fc.property(entries, fc.boolean(), (list: NodeInfo[], last) => {
        beginPage(e, 7);
        for (const n of list) e.node(n);
        const len = endPage(e, last, list.length);
        const out = new GoferReply();
        expect(decodeReply(d, OP_READDIR, e.buf, len, out)).toBe(0);
        expect(out.flag).toBe(last ? 1 : 0);
        expect(out.nodes).toEqual(list);
      }),
    );
  });
});

describe('hostile bytes', () => {
  test('never throw, never read beyond the end', () => {
    const q = new GoferRequest();
    const r = new GoferReply();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.constantFrom(...ops), (b, op) => {
        for (const bytes of [b, Uint8Array.of(op, 0, 0, 0, 1, 0, 0, 0, ...b), Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0, ...b)]) {
          const x = decodeRequest(d, bytes, bytes.length, q);
          expect(x === 0 || x === -EPROTO).toBe(true);
          const y = decodeReply(d, op, bytes, bytes.length, r);
          expect(y === 0 || y === -EPROTO).toBe(true);
        }
      }),
      { numRuns: 2000 },
    );
  });

  test('a flipped byte of a good answer is refused or makes sense', () => {
    const good = Object.assign(new GoferReply(), { attr: fc.sample(attr, 1)[0] });
    const len = encodeReply(OP_GETATTR, good, e);
    const copy = e.buf.slice(0, len);
    for (let i = 0; i < len; i++) {
      const b = copy.slice();
      b[i] = (b[i] as number) ^ 0xff;
      const out = new GoferReply();
      if (decodeReply(d, OP_GETATTR, b, len, out) < 0 || out.status < 0) continue;
      const a = out.attr as Attr;
      for (const x of [a.size, a.ino, a.blocks, a.mtimeSec]) expect(Number.isInteger(x)).toBe(true);
      expect(a.size).toBeGreaterThanOrEqual(0);
      expect(a.mtimeNsec).toBeLessThan(1e9);
    }
  });
});
