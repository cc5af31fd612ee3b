// The gofer protocol as bytes: little-endian words, doubles, and counted strings (see gofer.ts for what the messages mean).

import { EINVAL, EMSGSIZE, EPROTO } from '../abi/errno.ts';
import { latin1Decode, latin1Write } from '../base/bytes.ts';
import {
  type Attr,
  type GoferReply,
  type GoferRequest,
  MAX_CLUNK,
  MAX_NAME,
  MAX_PUTS,
  MAX_TARGET,
  MAX_WALK,
  type NodeInfo,
  OP_READDIR,
  type PutRequest,
  REPLY_FIELDS,
  REQUEST_FIELDS,
  validName,
} from './gofer.ts';

const EMPTY = new Uint8Array(0);
const STATFS_WORDS = 10;
/** Tag and status of an answer. */
const HEADER = 8;

/** Writes fields one behind the other; `bad` once something did not fit or was not sendable. */
export class Encoder {
  readonly buf: Uint8Array;
  private readonly view: DataView;
  pos = 0;
  bad = false;

  constructor(buf: Uint8Array) {
    this.buf = buf;
    this.view = new DataView(buf.buffer, buf.byteOffset, buf.byteLength);
  }

  reset(): void {
    this.pos = 0;
    this.bad = false;
  }

  private room(n: number): boolean {
    if (this.buf.length - this.pos >= n) return true;
    this.bad = true;
    return false;
  }

  u32(x: number): void {
    if (!this.room(4)) return;
    this.view.setUint32(this.pos, x, true);
    this.pos += 4;
  }

  f64(x: number): void {
    if (!this.room(8)) return;
    this.view.setFloat64(this.pos, x, true);
    this.pos += 8;
  }

  text(s: string): void {
    if (!this.room(4 + s.length)) return;
    this.u32(s.length);
    latin1Write(s, this.buf, this.pos);
    this.pos += s.length;
  }

  bytes(b: Uint8Array): void {
    if (!this.room(4 + b.length)) return;
    this.u32(b.length);
    this.buf.set(b, this.pos);
    this.pos += b.length;
  }

  attr(a: Attr): void {
    if (!this.room(96)) return;
    this.u32(a.mode);
    this.u32(a.nlink);
    this.u32(a.uid);
    this.u32(a.gid);
    this.u32(a.blksize);
    this.u32(a.atimeNsec);
    this.u32(a.mtimeNsec);
    this.u32(a.ctimeNsec);
    this.f64(a.dev);
    this.f64(a.ino);
    this.f64(a.rdev);
    this.f64(a.size);
    this.f64(a.blocks);
    this.f64(a.atimeSec);
    this.f64(a.mtimeSec);
    this.f64(a.ctimeSec);
  }

  node(n: NodeInfo): void {
    this.u32(n.id);
    this.attr(n.attr);
    this.text(n.target);
    this.text(n.name);
  }
}

function encodePut(e: Encoder, p: PutRequest): void {
  e.u32(p.dir);
  e.text(p.name);
  e.u32(p.mode);
  e.u32(p.uid);
  e.u32(p.gid);
  e.f64(p.atimeSec);
  e.u32(p.atimeNsec);
  e.f64(p.mtimeSec);
  e.u32(p.mtimeNsec);
  e.bytes(p.data);
}

/** Reads fields; `bad` once one was missing or made no sense, and all further ones are 0 or ''. */
export class Decoder {
  private buf: Uint8Array = EMPTY;
  private view: DataView = new DataView(EMPTY.buffer);
  private pos = 0;
  private end = 0;
  bad = false;

  /** Starts on buf[0..len). */
  begin(buf: Uint8Array, len: number): void {
    if (this.buf !== buf) {
      this.buf = buf;
      this.view = new DataView(buf.buffer, buf.byteOffset, buf.byteLength);
    }
    this.pos = 0;
    this.end = len > buf.length ? buf.length : len;
    this.bad = false;
  }

  get left(): number {
    return this.end - this.pos;
  }

  private take(n: number): number {
    if (this.bad || n > this.end - this.pos) {
      this.bad = true;
      return -1;
    }
    const at = this.pos;
    this.pos += n;
    return at;
  }

  u32(): number {
    const at = this.take(4);
    return at < 0 ? 0 : this.view.getUint32(at, true);
  }

  i32(): number {
    return this.u32() | 0;
  }

  /** An integral double. */
  integer(): number {
    const at = this.take(8);
    if (at < 0) return 0;
    const x = this.view.getFloat64(at, true);
    if (Number.isInteger(x)) return x;
    this.bad = true;
    return 0;
  }

  /** An integral double >= 0. */
  count(): number {
    const x = this.integer();
    if (x >= 0) return x;
    this.bad = true;
    return 0;
  }

  nsec(): number {
    const x = this.u32();
    if (x < 1e9) return x;
    this.bad = true;
    return 0;
  }

  text(max: number): string {
    const n = this.u32();
    const at = n > max ? this.take(Number.MAX_SAFE_INTEGER) : this.take(n);
    return at < 0 ? '' : latin1Decode(this.buf, at, at + n);
  }

  name(): string {
    const s = this.text(MAX_NAME);
    if (!this.bad && validName(s)) return s;
    this.bad = true;
    return '';
  }

  /** A copy. */
  bytes(): Uint8Array {
    const n = this.u32();
    const at = this.take(n);
    return at < 0 ? EMPTY : this.buf.slice(at, at + n);
  }

  attr(): Attr {
    return {
      mode: this.u32(),
      nlink: this.u32(),
      uid: this.u32(),
      gid: this.u32(),
      blksize: this.u32(),
      atimeNsec: this.nsec(),
      mtimeNsec: this.nsec(),
      ctimeNsec: this.nsec(),
      dev: this.count(),
      ino: this.count(),
      rdev: this.count(),
      size: this.count(),
      blocks: this.count(),
      atimeSec: this.integer(),
      mtimeSec: this.integer(),
      ctimeSec: this.integer(),
    };
  }

  put(): PutRequest {
    return {
      dir: this.u32(),
      name: this.name(),
      mode: this.u32(),
      uid: this.u32(),
      gid: this.u32(),
      atimeSec: this.integer(),
      atimeNsec: this.nsec(),
      mtimeSec: this.integer(),
      mtimeNsec: this.nsec(),
      data: this.bytes(),
    };
  }

  node(named: boolean): NodeInfo {
    const id = this.u32();
    const attr = this.attr();
    const target = this.text(MAX_TARGET);
    if (target.includes('\0')) this.bad = true;
    let name = '';
    if (named) name = this.name();
    else if (this.text(0) !== '') this.bad = true;
    return { id, attr, target, name };
  }
}

/** Writes `q` into `e` from its start. Bytes, or -EMSGSIZE when a name or value is too long. */
export function encodeRequest(q: GoferRequest, e: Encoder): number {
  const fields = REQUEST_FIELDS[q.op];
  e.reset();
  if (fields === undefined) return -EINVAL;
  e.u32(q.op);
  e.u32(q.tag);
  for (const f of fields) {
    switch (f) {
      case 'name':
      case 'newName':
        if (!validName(q[f])) return -EINVAL;
        e.text(q[f]);
        break;
      case 'text':
        if (q.text.length > MAX_TARGET) return -EMSGSIZE;
        e.text(q.text);
        break;
      case 'names':
        if (q.names.length > MAX_WALK) return -EMSGSIZE;
        e.u32(q.names.length);
        for (const s of q.names) {
          if (!validName(s)) return -EINVAL;
          e.text(s);
        }
        break;
      case 'ids':
        if (q.ids.length > MAX_CLUNK) return -EMSGSIZE;
        e.u32(q.ids.length);
        for (const id of q.ids) e.u32(id);
        break;
      case 'bytes':
        e.bytes(q.bytes);
        break;
      case 'puts':
        if (q.puts.length > MAX_PUTS) return -EMSGSIZE;
        e.u32(q.puts.length);
        for (const p of q.puts) {
          if (!validName(p.name)) return -EINVAL;
          encodePut(e, p);
        }
        break;
      case 'removals':
        if (q.removals.length > MAX_PUTS) return -EMSGSIZE;
        e.u32(q.removals.length);
        for (const m of q.removals) {
          if (!validName(m.name)) return -EINVAL;
          e.u32(m.dir);
          e.text(m.name);
        }
        break;
      case 'size':
      case 'atimeSec':
      case 'mtimeSec':
        e.f64(q[f]);
        break;
      default:
        e.u32(q[f]);
    }
  }
  return e.bad ? -EMSGSIZE : e.pos;
}

/** Reads buf[0..len) into `q`. 0, or -EPROTO when it is not a request. `q.op` and `q.tag` are set when 8 bytes are there. */
export function decodeRequest(d: Decoder, buf: Uint8Array, len: number, q: GoferRequest): number {
  d.begin(buf, len);
  q.op = d.u32();
  q.tag = d.u32();
  const fields = REQUEST_FIELDS[q.op];
  if (d.bad || fields === undefined) return -EPROTO;
  for (const f of fields) {
    switch (f) {
      case 'name':
      case 'newName':
        q[f] = d.name();
        break;
      case 'text':
        q.text = d.text(MAX_TARGET);
        if (q.text.includes('\0')) d.bad = true;
        break;
      case 'names': {
        const n = d.u32();
        if (n > MAX_WALK) d.bad = true;
        q.names = [];
        for (let i = 0; i < n && !d.bad; i++) q.names.push(d.name());
        break;
      }
      case 'ids': {
        const n = d.u32();
        if (n > MAX_CLUNK) d.bad = true;
        q.ids = [];
        for (let i = 0; i < n && !d.bad; i++) q.ids.push(d.u32());
        break;
      }
      case 'bytes':
        q.bytes = d.bytes();
        break;
      case 'puts': {
        const n = d.u32();
        if (n > MAX_PUTS) d.bad = true;
        q.puts = [];
        for (let i = 0; i < n && !d.bad; i++) q.puts.push(d.put());
        break;
      }
      case 'removals': {
        const n = d.u32();
        if (n > MAX_PUTS) d.bad = true;
        q.removals = [];
        for (let i = 0; i < n && !d.bad; i++) q.removals.push({ dir: d.u32(), name: d.name() });
        break;
      }
      case 'size':
        q.size = d.count();
        break;
      case 'atimeSec':
      case 'mtimeSec':
        q[f] = d.integer();
        break;
      case 'atimeNsec':
      case 'mtimeNsec':
        q[f] = d.nsec();
        break;
      default:
        q[f] = d.u32();
    }
  }
  return d.bad || d.left !== 0 ? -EPROTO : 0;
}

/** Writes the start of an answer: for pages that are filled entry by entry, see beginPage and endPage. */
function header(e: Encoder, tag: number, status: number): void {
  e.reset();
  e.u32(tag);
  e.u32(status);
}

/** Writes the answer to `op`. Bytes, or -EMSGSIZE. */
export function encodeReply(op: number, r: GoferReply, e: Encoder): number {
  header(e, r.tag, r.status);
  if (r.status < 0) return e.pos;
  for (const f of REPLY_FIELDS[op] ?? []) {
    switch (f) {
      case 'attr':
        if (r.attr === null) return -EINVAL;
        e.attr(r.attr);
        break;
      case 'node':
        if (r.node === null) return -EINVAL;
        e.node(r.node);
        break;
      case 'nodes':
        e.u32(r.nodes.length);
        for (const n of r.nodes) e.node(n);
        break;
      case 'text':
        e.text(r.text);
        break;
      case 'bytes':
        e.bytes(r.bytes);
        break;
      case 'statuses':
        e.u32(r.statuses.length);
        for (const s of r.statuses) e.u32(s);
        break;
      case 'statfs':
        for (let i = 0; i < STATFS_WORDS; i++) e.f64(r.statfs[i] ?? 0);
        break;
      default:
        e.u32(r[f]);
    }
  }
  return e.bad ? -EMSGSIZE : e.pos;
}

/** Reads the answer to `op` from buf[0..len). 0, or -EPROTO when it is not one. */
export function decodeReply(d: Decoder, op: number, buf: Uint8Array, len: number, r: GoferReply): number {
  d.begin(buf, len);
  r.tag = d.u32();
  r.status = d.i32();
  if (d.bad || r.status < -4095) return -EPROTO;
  if (r.status < 0) return d.left === 0 ? 0 : -EPROTO;
  for (const f of REPLY_FIELDS[op] ?? []) {
    switch (f) {
      case 'attr':
        r.attr = d.attr();
        break;
      case 'node':
        r.node = d.node(false);
        break;
      case 'nodes': {
        const n = d.u32();
        r.nodes = [];
        for (let i = 0; i < n && !d.bad; i++) r.nodes.push(d.node(op === OP_READDIR));
        break;
      }
      case 'text':
        r.text = d.text(MAX_TARGET);
        break;
      case 'bytes':
        r.bytes = d.bytes();
        break;
      case 'statuses': {
        const n = d.u32();
        if (n > MAX_PUTS) d.bad = true;
        r.statuses = [];
        for (let i = 0; i < n && !d.bad; i++) r.statuses.push(d.i32());
        if (r.statuses.some((s) => s > 0 || s < -4095)) d.bad = true;
        break;
      }
      case 'statfs':
        r.statfs = [];
        for (let i = 0; i < STATFS_WORDS; i++) r.statfs.push(d.count());
        break;
      case 'stop':
        r.stop = d.i32();
        if (r.stop > 0 || r.stop < -4095) d.bad = true;
        break;
      default:
        r[f] = d.u32();
    }
  }
  return d.bad || d.left !== 0 ? -EPROTO : 0;
}

/** Starts an OP_READDIR answer that is filled entry by entry with Encoder.node. */
export function beginPage(e: Encoder, tag: number): void {
  header(e, tag, 0);
  e.u32(0);
  e.u32(0);
}

/** Ends it: whether it is the last page, and how many entries it holds. Bytes. */
export function endPage(e: Encoder, last: boolean, count: number): number {
  const end = e.pos;
  e.pos = HEADER;
  e.u32(last ? 1 : 0);
  e.u32(count);
  e.pos = end;
  return end;
}
