// The streams of `kubectl exec`, `attach` and `port-forward`: SPDY/3.1 after an HTTP upgrade, with Kubernetes' protocol v4 on top.
//
// Only what a client of such streams needs: it opens them, sends and receives data and resets. Header blocks are compressed without SPDY's
// dictionary, which is allowed, and those of the answers are not looked at.

import type { ChildProcess } from 'node:child_process';
import { constants, createDeflate, type Deflate } from 'node:zlib';
import type { Machine } from '../kit/machine.ts';

const SYN_STREAM = 1;
const RST_STREAM = 3;
const PING = 6;
const GOAWAY = 7;
const FLAG_FIN = 1;
const FRAME_HEAD = 8;
const CONTROL_VERSION_3 = 0x8003;

/** What the server says at the end of a command: its exit status, or what went wrong. */
export interface End {
  status: 'Success' | 'Failure';
  reason?: string;
  message?: string;
  details?: { causes: { reason: string; message: string }[] };
}

export class Streams {
  /** All that came so far, by stream. */
  readonly text: Record<string, string> = {};
  /** Resolves with the names of the streams that the server has ended, when the connection is closed. */
  readonly closed: Promise<void>;
  private readonly child: ChildProcess;
  private readonly deflate: Deflate = createDeflate();
  private readonly ids = new Map<string, number>();
  private pending: Buffer = Buffer.alloc(0);
  private upgraded: ((error: Error | null) => void) | null = null;
  private over = false;

  private constructor(machine: Machine, url: URL) {
    // the streaming server listens on the machine's loopback interface
    this.child = machine.spawn(['busybox', 'nc', url.hostname, url.port], 'pipe');
    this.child.stdin?.on('error', () => undefined);
    this.child.stdout?.on('data', (d: Buffer) => this.received(d));
    this.closed = new Promise((done) =>
      this.child.on('close', () => {
        this.over = true;
        this.upgraded?.(new Error('the streaming server closed the connection'));
        done();
      }),
    );
  }

  /** Connects to the address that the CRI gave and opens streams by their Kubernetes names, in this order. */
  static async open(machine: Machine, address: string, names: string[]): Promise<Streams> {
    const url = new URL(address);
    const s = new Streams(machine, url);
    const ready = new Promise<void>((done, fail) => {
      s.upgraded = (error) => (error === null ? done() : fail(error));
    });
    const lines = [`POST ${url.pathname} HTTP/1.1`, `Host: ${url.host}`, 'Connection: Upgrade', 'Upgrade: SPDY/3.1'];
    s.child.stdin?.write([...lines, 'X-Stream-Protocol-Version: v4.channel.k8s.io', 'Content-Length: 0', '', ''].join('\r\n'));
    await ready;
    for (const [i, name] of names.entries()) await s.create(2 * i + 1, name);
    return s;
  }

  private async create(id: number, name: string): Promise<void> {
    this.ids.set(name, id);
    this.text[name] = '';
    const pairs = [['streamtype', name]] as const;
    const parts = [word(pairs.length)];
    for (const [k, v] of pairs) parts.push(word(k.length), Buffer.from(k), word(v.length), Buffer.from(v));
    const block = await this.compressed(Buffer.concat(parts));
    // id, no associated stream, priority and slot 0
    this.control(SYN_STREAM, 0, Buffer.concat([word(id), word(0), Buffer.alloc(2), block]));
  }

  /** All header blocks of a connection are one zlib stream, flushed after each. */
  private compressed(bytes: Buffer): Promise<Buffer> {
    return new Promise((done) => {
      const out: Buffer[] = [];
      const take = (d: Buffer): void => void out.push(d);
      this.deflate.on('data', take);
      this.deflate.write(bytes);
      this.deflate.flush(constants.Z_SYNC_FLUSH, () => {
        this.deflate.off('data', take);
        done(Buffer.concat(out));
      });
    });
  }

  private control(type: number, flags: number, body: Buffer): void {
    const head = Buffer.alloc(FRAME_HEAD);
    head.writeUInt16BE(CONTROL_VERSION_3, 0);
    head.writeUInt16BE(type, 2);
    head.writeUInt32BE((flags << 24) | body.length, 4);
    this.child.stdin?.write(Buffer.concat([head, body]));
  }

  private data(name: string, text: string, flags: number): void {
    const bytes = Buffer.from(text, 'latin1');
    const head = Buffer.alloc(FRAME_HEAD);
    head.writeUInt32BE(this.ids.get(name) as number, 0);
    head.writeUInt32BE((flags << 24) | bytes.length, 4);
    this.child.stdin?.write(Buffer.concat([head, bytes]));
  }

  /** Sends text on a stream. */
  write(name: string, text: string): void {
    this.data(name, text, 0);
  }

  /** Ends our side of a stream. */
  end(name: string): void {
    this.data(name, '', FLAG_FIN);
  }

  private received(bytes: Buffer): void {
    this.pending = Buffer.concat([this.pending, bytes]);
    if (this.upgraded !== null && !this.understoodAnswer()) return;
    while (this.pending.length >= FRAME_HEAD) {
      const length = this.pending.readUInt32BE(4) & 0xffffff;
      if (this.pending.length < FRAME_HEAD + length) return;
      this.frame(this.pending.subarray(0, FRAME_HEAD + length));
      this.pending = this.pending.subarray(FRAME_HEAD + length);
    }
  }

  /** The answer to the upgrade; false as long as it is not whole. */
  private understoodAnswer(): boolean {
    const end = this.pending.indexOf('\r\n\r\n');
    if (end < 0) return false;
    const head = this.pending.toString('latin1', 0, end);
    this.pending = this.pending.subarray(end + 4);
    this.upgraded?.(/^HTTP\/1\.1 101 /.test(head) ? null : new Error(`the streaming server answers ${head}${this.pending}`));
    this.upgraded = null;
    return true;
  }

  private frame(f: Buffer): void {
    const first = f.readUInt32BE(0);
    if (first < 0x80000000) {
      for (const [name, id] of this.ids) if (id === first) this.text[name] += f.toString('latin1', FRAME_HEAD);
      return;
    }
    const type = first & 0xffff;
    if (type === PING) this.control(PING, 0, Buffer.from(f.subarray(FRAME_HEAD)));
    else if (type === RST_STREAM) this.text['reset'] = String(f.readUInt32BE(FRAME_HEAD + 4));
    else if (type === GOAWAY) this.child.stdin?.end();
  }

  /** Waits for output on a stream; returns all of that stream up to now. */
  async expect(name: string, pattern: RegExp, ms: number = 30_000): Promise<string> {
    const end = Date.now() + ms;
    while (!pattern.test(this.text[name] ?? '')) {
      if (this.over || Date.now() > end) throw new Error(`${pattern} did not come on ${name}; there is: ${JSON.stringify(this.text)}`);
      await new Promise((done) => setTimeout(done, 20));
    }
    return this.text[name] as string;
  }

  /** What the server says on the error stream at the end of the command. */
  async result(): Promise<End> {
    return JSON.parse(await this.expect('error', /\}\s*$/));
  }

  /** Ends the connection. */
  async close(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.closed;
  }
}

function word(n: number): Buffer {
  const b = Buffer.alloc(4);
  b.writeUInt32BE(n);
  return b;
}
