// The Sentry's end of the gofer protocol: one request, one answer, one after the other. The answers are checked (src/wire/gofer.ts).

import { E2BIG, EAGAIN, EIO, EMFILE, EPROTO } from '../../../abi/errno.ts';
import { POLLIN, POLLOUT } from '../../../abi/poll.ts';
import type { HostIO } from '../../../platform/hostio.ts';
import {
  type Attr,
  bringsDescriptor,
  GoferReply,
  GoferRequest,
  MAX_MESSAGE,
  type NodeInfo,
  OP_ATTACH,
  OP_CLUNK,
  OP_GETATTR,
  OP_OPEN,
  OP_PUT,
  OP_READDIR,
  OP_REMOVE,
  OP_STATFS,
  OP_WALK,
} from '../../../wire/gofer.ts';
import { Decoder, decodeReply, Encoder, encodeRequest } from '../../../wire/gofercodec.ts';
import { Behind } from './behind.ts';
import { Belief } from './belief.ts';
import { IdleList } from './idle.ts';

/** How long an answer may take before the gofer counts as dead, in ms. */
const TIME_LIMIT = 60000;
/** Identifiers are given back in lots of this many. */
const CLUNK_LOT = 256;
/** Most messages about files made late that wait for their answers. */
const MAX_UNANSWERED = 8;

export class GoferClient {
  readonly host: HostIO;
  private readonly fd: number;
  private readonly encoder = new Encoder(new Uint8Array(64 * 1024 + 8192));
  private readonly decoder = new Decoder();
  private readonly buf = new Uint8Array(MAX_MESSAGE);
  private readonly none: number[] = [];
  private readonly received: number[] = [];
  private clunks: number[] = [];
  private tag = 0;
  /** The request to fill before call(), and what it answered. Both are used again by the next call. */
  readonly q = new GoferRequest();
  readonly r = new GoferReply();
  /** The descriptor of the last answer: the caller takes it over. -1: none. */
  donated = -1;
  /** Broke off: every call answers -EIO. */
  dead = false;
  /** Files of all its trees that keep descriptors for the next open. */
  readonly idle: IdleList;
  /** How long its shared trees are believed. */
  readonly belief: Belief = new Belief();
  /** Files that the gofer makes behind the guest's back. */
  readonly behind: Behind = new Behind();
  private readonly late = new GoferReply();
  private readonly lateRequest = new GoferRequest();
  private lateBuffer: Encoder | null = null;
  /** Told of a file that was written and could not be made. */
  onLost: (name: string, errno: number) => void = () => {};
  /** Messages so far, for tests and statistics. */
  calls = 0;

  /** `fd`: a SOCK_SEQPACKET socket to the gofer. */
  constructor(host: HostIO, fd: number) {
    this.host = host;
    this.fd = fd;
    this.idle = new IdleList(host.descriptorLimit());
  }

  /** Sends `q` with operation `op` and waits for the answer in `r`. Its status: >= 0 or -errno. */
  call(op: number): number {
    this.donated = -1;
    // In order: what was done before is known to the gofer before this.
    if (this.behind.queued()) this.sendLate();
    if (this.dead) return -EIO;
    const { q, r, host } = this;
    q.op = op;
    this.tag = (this.tag + 1) >>> 0;
    q.tag = this.tag;
    const len = encodeRequest(q, this.encoder);
    if (len < 0) return len;
    if (!this.send(this.encoder.buf, len)) return -EIO;
    const fds = this.received;
    for (;;) {
      if (host.waitFd(this.fd, POLLIN, TIME_LIMIT) <= 0) return this.fail();
      const n = host.recvFds(this.fd, this.buf, 0, this.buf.length, fds);
      if (n === -EAGAIN) continue;
      if (this.behind.unanswered > 0) {
        if (!this.heardLate(n)) return -EIO;
        continue;
      }
      // The answer came, but its descriptor found no room here.
      if (n === -EMFILE) return n;
      if (n <= 0) return this.fail();
      const err = decodeReply(this.decoder, op, this.buf, n, r);
      const want = err === 0 && r.status >= 0 && bringsDescriptor(op) ? 1 : 0;
      if (err < 0 || r.tag !== this.tag || fds.length !== want) return this.fail();
      if (want === 1) this.donated = fds.pop()!;
      return r.status;
    }
  }

  private get lateEncoder(): Encoder {
    if (this.lateBuffer === null) this.lateBuffer = new Encoder(new Uint8Array(MAX_MESSAGE));
    return this.lateBuffer;
  }

  private send(buf: Uint8Array, len: number): boolean {
    this.calls++;
    for (;;) {
      const sent = this.host.sendFds(this.fd, buf, 0, len, this.none);
      if (sent === len) return true;
      if (sent !== -EAGAIN || this.host.waitFd(this.fd, POLLOUT, TIME_LIMIT) <= 0) {
        this.fail();
        return false;
      }
    }
  }

  /** The other side does not keep to the protocol, or is gone. */
  private fail(): number {
    for (const fd of this.received) this.host.close(fd);
    this.received.length = 0;
    this.dead = true;
    this.behind.lose(-EIO);
    return -EIO;
  }

  /** Sends the queue of files to be made, but for the last `keep`, and waits for no answer but where too many are on their way. */
  sendLate(keep = 0): void {
    const q = this.lateRequest;
    while (this.behind.queued(keep) && !this.dead) {
      while (this.behind.unanswered >= MAX_UNANSWERED) if (!this.awaitLate()) return;
      this.tag = (this.tag + 1) >>> 0;
      q.op = this.behind.removing ? OP_REMOVE : OP_PUT;
      q.tag = this.tag;
      if (q.op === OP_REMOVE) q.removals = this.behind.takeRemovals(this.tag);
      else q.puts = this.behind.take(this.tag, keep);
      const len = encodeRequest(q, this.lateEncoder);
      q.puts = [];
      if (len < 0) this.fail();
      else this.send(this.lateEncoder.buf, len);
    }
  }

  /** Waits for the answer to the oldest such message. False: the gofer is gone. */
  private awaitLate(): boolean {
    for (;;) {
      if (this.dead) return false;
      if (this.host.waitFd(this.fd, POLLIN, TIME_LIMIT) <= 0) {
        this.fail();
        return false;
      }
      const n = this.host.recvFds(this.fd, this.buf, 0, this.buf.length, this.received);
      if (n !== -EAGAIN) return this.heardLate(n);
    }
  }

  /** Takes the answer in buf[0..n) to the oldest message about files made late. */
  private heardLate(n: number): boolean {
    const r = this.late;
    const next = this.behind.next;
    const op = next.files === null ? OP_REMOVE : OP_PUT;
    const ok = n > 0 && this.received.length === 0 && decodeReply(this.decoder, op, this.buf, n, r) === 0;
    if (ok && r.tag === next.tag && r.status === 0 && this.behind.answered(r.statuses, r.nodes)) return true;
    this.fail();
    return false;
  }

  /** Takes the answers that are there, without waiting. False: the gofer is gone. */
  hearLate(): boolean {
    while (!this.dead) {
      const n = this.host.recvFds(this.fd, this.buf, 0, this.buf.length, this.received);
      if (n === -EAGAIN) return true;
      if (this.behind.unanswered === 0) this.fail();
      else this.heardLate(n);
    }
    return false;
  }

  /** Waits until the files that are queued are made. */
  finishLate(): void {
    this.sendLate();
    while (this.behind.unanswered > 0) if (!this.awaitLate()) return;
  }

  /** Waits until all files that exist only here are made, the open ones too. */
  settleAll(): void {
    this.behind.enqueueOpen();
    this.finishLate();
  }

  /** The container is over: calls answer -EIO from now on, and descriptors are closed, but those of files that are still open. */
  close(): void {
    this.dead = true;
    this.behind.lose(-EIO);
    this.clunks.length = 0;
    this.idle.dropAll();
  }

  /** Lets go of the gofer, after close(). */
  hangUp(): void {
    this.host.close(this.fd);
  }

  /** The root of attach point `index`, or -errno; `r.flag` is 1 when it is read-only. */
  attach(index: number): NodeInfo | number {
    this.q.page = index;
    const err = this.call(OP_ATTACH);
    return err < 0 ? err : this.r.node!;
  }

  /** One name in a directory, or -errno. */
  walk(dir: number, name: string): NodeInfo | number {
    this.q.id = dir;
    this.q.names = [name];
    const err = this.call(OP_WALK);
    if (err < 0) return err;
    const node = this.r.nodes[0];
    if (node !== undefined && this.r.nodes.length === 1 && this.r.stop === 0) return node;
    const stop = this.r.stop;
    for (const n of this.r.nodes) this.clunk(n.id);
    return stop < 0 ? stop : -EPROTO;
  }

  getattr(id: number): Attr | number {
    this.q.id = id;
    const err = this.call(OP_GETATTR);
    return err < 0 ? err : this.r.attr!;
  }

  /** A descriptor on a regular file, or -errno; `r.attr` holds its attributes. */
  open(id: number, flags: number): number {
    this.q.id = id;
    this.q.flags = flags;
    const err = this.call(OP_OPEN);
    return err < 0 ? err : this.donated;
  }

  /**
   * All entries of a directory (but "." and ".."), each with an identifier that the caller now holds. Or -errno: -E2BIG when there are
   * more than `most`.
   */
  readdir(id: number, most = Infinity): NodeInfo[] | number {
    const all: NodeInfo[] = [];
    for (let page = 0; ; page++) {
      this.q.id = id;
      this.q.page = page;
      const err = all.length > most ? -E2BIG : this.call(OP_READDIR);
      if (err < 0) {
        for (const n of all) this.clunk(n.id);
        return err;
      }
      for (const n of this.r.nodes) all.push(n);
      if (this.r.flag === 1) return all;
    }
  }

  /** The words of OP_STATFS, or -errno. */
  statfs(id: number): number[] | number {
    this.q.id = id;
    const err = this.call(OP_STATFS);
    return err < 0 ? err : this.r.statfs;
  }

  /** Gives an identifier back, some time soon. */
  clunk(id: number): void {
    if (id === 0 || this.dead) return;
    this.clunks.push(id);
    if (this.clunks.length >= CLUNK_LOT) this.flushClunks();
  }

  /** As clunk(), where no message may go out. */
  clunkLater(id: number): void {
    this.clunks.push(id);
  }

  /** Gives identifiers back now. Must not be called while the answer of another call is in use. */
  flushClunks(): void {
    if (this.clunks.length === 0 || this.dead) return;
    const list = this.clunks;
    this.clunks = [];
    for (let i = 0; i < list.length; i += CLUNK_LOT) {
      this.q.ids = list.slice(i, i + CLUNK_LOT);
      this.call(OP_CLUNK);
    }
  }
}
