// As much of D-Bus as the systemd driver needs (D-Bus specification, "Message Protocol"): a client of one bus over a unix socket.

import type { Socket } from 'node:net';
import { CliError } from '../errors.ts';

/** A value with its type where the signature says "v". */
export interface Variant {
  type: string;
  value: unknown;
}

export interface Message {
  /** 1 call, 2 return, 3 error, 4 signal. */
  kind: number;
  serial: number;
  path?: string;
  interface?: string;
  member?: string;
  error?: string;
  replySerial?: number;
  destination?: string;
  sender?: string;
  signature?: string;
  body: unknown[];
}

const CALL = 1;
const RETURN = 2;
const ERROR = 3;
const SIGNAL = 4;
/** Header fields: code, type, name in Message. */
const FIELDS: readonly (readonly [number, string, keyof Message])[] = [
  [1, 'o', 'path'],
  [2, 's', 'interface'],
  [3, 's', 'member'],
  [4, 's', 'error'],
  [5, 'u', 'replySerial'],
  [6, 's', 'destination'],
  [7, 's', 'sender'],
  [8, 'g', 'signature'],
];
const ANSWER_MS = 25_000;

/** The complete types of a signature: "sa(sv)" is "s" and "a(sv)". */
export function completeTypes(signature: string): string[] {
  const out: string[] = [];
  for (let i = 0; i < signature.length; ) {
    let end = i;
    while (signature[end] === 'a') end++;
    if (signature[end] === '(' || signature[end] === '{') {
      let depth = 0;
      do {
        const c = signature[end++] as string;
        if (c === '(' || c === '{') depth++;
        if (c === ')' || c === '}') depth--;
      } while (depth > 0);
    } else end++;
    out.push(signature.slice(i, end));
    i = end;
  }
  return out;
}

function alignment(type: string): number {
  const c = type[0] as string;
  if ('xtd({'.includes(c)) return 8;
  if ('ybgv'.includes(c)) return c === 'b' ? 4 : 1;
  return c === 'n' || c === 'q' ? 2 : 4;
}

/** Bytes in the order of the protocol, each value on its boundary. */
class Writer {
  private bytes: Buffer = Buffer.alloc(256);
  length = 0;

  private room(n: number): void {
    while (this.length + n > this.bytes.length) this.bytes = Buffer.concat([this.bytes, Buffer.alloc(this.bytes.length)]);
  }

  align(to: number): void {
    const n = (to - (this.length % to)) % to;
    this.room(n);
    this.length += n;
  }

  u32(n: number): void {
    this.align(4);
    this.room(4);
    this.bytes.writeUInt32LE(n >>> 0, this.length);
    this.length += 4;
  }

  private byte(n: number): void {
    this.room(1);
    this.bytes[this.length++] = n;
  }

  private text(s: string, small: boolean): void {
    const b = Buffer.from(s, 'utf8');
    if (small) this.byte(b.length);
    else this.u32(b.length);
    this.room(b.length + 1);
    b.copy(this.bytes, this.length);
    this.length += b.length;
    this.bytes[this.length++] = 0;
  }

  put(type: string, value: unknown): void {
    const c = type[0] as string;
    if (c === 'y') this.byte(value as number);
    else if (c === 'b') this.u32(value === true ? 1 : 0);
    else if (c === 'u' || c === 'i') this.u32(value as number);
    else if (c === 't' || c === 'x') {
      this.align(8);
      this.room(8);
      this.bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value as number | bigint)), this.length);
      this.length += 8;
    } else if (c === 's' || c === 'o') this.text(value as string, false);
    else if (c === 'g') this.text(value as string, true);
    else if (c === 'v') {
      const v = value as Variant;
      this.text(v.type, true);
      this.put(v.type, v.value);
    } else if (c === 'a') this.array(type.slice(1), value as unknown[]);
    else if (c === '(' || c === '{') {
      this.align(8);
      const parts = completeTypes(type.slice(1, -1));
      for (const [i, t] of parts.entries()) this.put(t, (value as unknown[])[i]);
    } else throw new Error(`D-Bus type ${type}`);
  }

  private array(element: string, values: unknown[]): void {
    this.u32(0);
    const at = this.length;
    this.align(alignment(element));
    const start = this.length;
    for (const v of values) this.put(element, v);
    this.bytes.writeUInt32LE(this.length - start, at - 4);
  }

  done(): Buffer {
    return this.bytes.subarray(0, this.length);
  }
}

class Reader {
  private readonly b: Buffer;
  at: number;

  constructor(b: Buffer, at = 0) {
    this.b = b;
    this.at = at;
  }

  align(to: number): void {
    this.at += (to - (this.at % to)) % to;
  }

  u32(): number {
    this.align(4);
    this.at += 4;
    return this.b.readUInt32LE(this.at - 4);
  }

  private text(length: number): string {
    this.at += length + 1;
    return this.b.toString('utf8', this.at - length - 1, this.at - 1);
  }

  get(type: string): unknown {
    const c = type[0] as string;
    if (c === 'y') return this.b[this.at++];
    if (c === 'b') return this.u32() !== 0;
    if (c === 'u' || c === 'i') return this.u32();
    if (c === 't' || c === 'x') {
      this.align(8);
      this.at += 8;
      return this.b.readBigUInt64LE(this.at - 8);
    }
    if (c === 's' || c === 'o') return this.text(this.u32());
    if (c === 'g') return this.text(this.b[this.at++] as number);
    if (c === 'v') {
      const inner = this.text(this.b[this.at++] as number);
      return { type: inner, value: this.get(inner) };
    }
    if (c === 'a') {
      const n = this.u32();
      this.align(alignment(type.slice(1)));
      const end = this.at + n;
      const out: unknown[] = [];
      while (this.at < end) out.push(this.get(type.slice(1)));
      return out;
    }
    if (c === '(' || c === '{') {
      this.align(8);
      return completeTypes(type.slice(1, -1)).map((t) => this.get(t));
    }
    throw new Error(`D-Bus type ${type}`);
  }
}

/** A message as it goes over the socket. */
export function encode(m: Message): Buffer {
  const body = new Writer();
  for (const [i, t] of completeTypes(m.signature ?? '').entries()) body.put(t, m.body[i]);
  const fields = FIELDS.filter(([, , name]) => m[name] !== undefined && m[name] !== '').map(([code, type, name]) => [
    code,
    { type, value: m[name] },
  ]);
  const head = new Writer();
  for (const b of ['l'.charCodeAt(0), m.kind, 0, 1]) head.put('y', b);
  head.u32(body.length);
  head.u32(m.serial);
  head.put('a(yv)', fields);
  head.align(8);
  return Buffer.concat([head.done(), body.done()]);
}

/** The message at the beginning of `b` and its length, or null while it is not there as a whole. */
export function decode(b: Buffer): { message: Message; length: number } | null {
  if (b.length < 16) return null;
  const r = new Reader(b, 4);
  const bodyLength = r.u32();
  const serial = r.u32();
  const start = (16 + b.readUInt32LE(12) + 7) & ~7;
  if (b.length < start + bodyLength) return null;
  const message: Message = { kind: b[1] as number, serial, body: [] };
  for (const [code, v] of r.get('a(yv)') as [number, Variant][]) {
    const field = FIELDS.find(([c]) => c === code);
    if (field !== undefined) (message as unknown as Record<string, unknown>)[field[2]] = v.value;
  }
  // Boundaries count from the beginning of the body, which is on one of eight bytes.
  const inner = new Reader(b.subarray(start, start + bodyLength));
  for (const t of completeTypes(message.signature ?? '')) message.body.push(inner.get(t));
  return { message, length: start + bodyLength };
}

/** A connection to a bus, or directly to a service. */
export class Bus {
  /** Signals, and calls to us. */
  onMessage: (m: Message) => void = () => {};
  private readonly socket: Socket;
  private serial = 0;
  private pending: Buffer = Buffer.alloc(0);
  private greeting: (() => void) | null = null;
  private failed: Error | null = null;
  private readonly waiting = new Map<number, { done: (m: Message) => void; fail: (e: Error) => void }>();

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (d: Buffer) => this.heard(d));
    socket.on('error', (e) => this.end(e));
    socket.on('close', () => this.end(new CliError('the D-Bus connection was closed')));
  }

  /** Connects to a unix socket and says who we are; with `hello` also to the bus. */
  static async connect(path: string, hello: boolean): Promise<Bus> {
    const { createConnection } = await import('node:net');
    const socket = createConnection(path);
    const bus = new Bus(socket);
    await new Promise<void>((done, fail) => {
      socket.once('connect', done);
      socket.once('error', fail);
    });
    const uid = Buffer.from(String(process.geteuid?.() ?? 0)).toString('hex');
    const greeted = new Promise<void>((done, fail) => {
      bus.greeting = done;
      socket.once('close', () => fail(new CliError('D-Bus refuses us')));
    });
    socket.write(`\0AUTH EXTERNAL ${uid}\r\n`);
    await greeted;
    socket.write('BEGIN\r\n');
    if (hello) await bus.call('org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus', 'Hello', '', []);
    return bus;
  }

  private end(e: Error): void {
    this.failed ??= e;
    for (const w of this.waiting.values()) w.fail(this.failed);
    this.waiting.clear();
  }

  private heard(d: Buffer): void {
    this.pending = Buffer.concat([this.pending, d]);
    if (this.greeting !== null) {
      const at = this.pending.indexOf('\r\n');
      if (at < 0) return;
      const line = this.pending.toString('latin1', 0, at);
      this.pending = this.pending.subarray(at + 2);
      if (!line.startsWith('OK ')) {
        this.socket.destroy();
        return;
      }
      this.greeting();
      this.greeting = null;
    }
    for (let m = decode(this.pending); m !== null; m = decode(this.pending)) {
      this.pending = this.pending.subarray(m.length);
      this.arrived(m.message);
    }
  }

  private arrived(m: Message): void {
    if (m.kind === CALL || m.kind === SIGNAL) {
      this.onMessage(m);
      return;
    }
    const w = this.waiting.get(m.replySerial ?? 0);
    if (w === undefined) return;
    this.waiting.delete(m.replySerial ?? 0);
    if (m.kind === RETURN) w.done(m);
    else if (m.kind === ERROR) w.fail(new CliError(`${m.error}: ${String(m.body[0] ?? '')}`));
  }

  send(m: Omit<Message, 'serial'>): number {
    this.serial++;
    this.socket.write(encode({ ...m, serial: this.serial }));
    return this.serial;
  }

  /** Calls a method and waits for its return. Throws the error that it answers. */
  async call(destination: string, path: string, iface: string, member: string, signature: string, body: unknown[]): Promise<unknown[]> {
    if (this.failed !== null) throw this.failed;
    const serial = this.send({ kind: CALL, destination, path, interface: iface, member, signature, body });
    let timer: NodeJS.Timeout | undefined;
    try {
      const reply = await new Promise<Message>((done, fail) => {
        this.waiting.set(serial, { done, fail });
        timer = setTimeout(() => fail(new CliError(`${destination} does not answer ${member}`)), ANSWER_MS);
      });
      return reply.body;
    } finally {
      clearTimeout(timer);
      this.waiting.delete(serial);
    }
  }

  close(): void {
    this.socket.destroy();
  }
}
