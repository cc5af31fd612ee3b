// Guests without an engine: the real kernel and tasks, with an array for memory. A test calls handlers as the loop would.

import type { HostIO } from '../../src/platform/hostio.ts';
import type { Platform } from '../../src/platform/platform.ts';
import { BLOCKED } from '../../src/base/result.ts';
import { putU16, putU32, putU64 } from '../../src/base/bytes.ts';
import { FDTable } from '../../src/sentry/kernel/fdtable.ts';
import { Kernel } from '../../src/sentry/kernel/kernel.ts';
import type { Pid } from '../../src/sentry/kernel/pidns.ts';
import { ProcessGroup, Session } from '../../src/sentry/kernel/session.ts';
import { SignalHandlers } from '../../src/sentry/kernel/siginfo.ts';
import { TASK_BLOCKED, TASK_RUNNING, Task } from '../../src/sentry/kernel/task.ts';
import { ThreadGroup } from '../../src/sentry/kernel/threadgroup.ts';
import type { MemoryManager } from '../../src/sentry/mm/memory.ts';
import { Credentials } from '../../src/sentry/vfs/creds.ts';
import { FsContext } from '../../src/sentry/vfs/fscontext.ts';
import { plainContext } from './context.ts';
import { fakeHost, world } from './vfs-support.ts';

const EFAULT = 14;
const SIZE = 1 << 22;

/** Copies without leaving a view behind where it is a little. */
function copy(src: Uint8Array, from: number, dst: Uint8Array, to: number, len: number): void {
  if (len <= 4096) for (let i = 0; i < len; i++) dst[to + i] = src[from + i]!;
  else dst.set(src.subarray(from, from + len), to);
}

/** Guest memory: [4096, SIZE) is mapped. */
class ArrayMemory {
  readonly bytes = new Uint8Array(SIZE);
  futexes: unknown = null;

  private ok(addr: number, len: number): boolean {
    return addr >= 4096 && addr + len <= SIZE;
  }

  mayWrite(addr: number, len: number): boolean {
    return this.ok(addr, len);
  }

  read(addr: number, buf: Uint8Array, off: number, len: number): number {
    if (len === 0) return 0;
    if (!this.ok(addr, len)) return -EFAULT;
    copy(this.bytes, addr, buf, off, len);
    return 0;
  }

  write(addr: number, buf: Uint8Array, off: number, len: number): number {
    if (len === 0) return 0;
    if (!this.ok(addr, len)) return -EFAULT;
    copy(buf, off, this.bytes, addr, len);
    return 0;
  }

  readUpTo(addr: number, buf: Uint8Array, off: number, len: number): number {
    const n = Math.max(0, Math.min(len, SIZE - addr));
    buf.set(this.bytes.subarray(addr, addr + n), off);
    return n;
  }
}

type Handler = (t: Task) => number;

/** One process of one thread. */
export class Guest {
  readonly task: Task;
  readonly memory: ArrayMemory;
  readonly signals: number[] = [];
  private at = 8192;
  private handler: Handler = () => 0;

  constructor(kernel: Kernel, fs: FsContext) {
    this.memory = new ArrayMemory();
    const creds = new Credentials();
    creds.effective = { lo: 0xffffffff, hi: 0x1ff };
    const table = new FDTable(() => 1024);
    const mm = this.memory as unknown as MemoryManager;
    const pid = kernel.namespaces.pid.alloc() as Pid;
    this.task = new Task(kernel, pid, plainContext(), mm, creds, fs, table, 'guest');
    const group = new ThreadGroup(
      kernel,
      pid,
      this.task,
      null,
      new SignalHandlers(),
      new ProcessGroup(pid, new Session(pid, null)),
      0,
      'test',
      0,
    );
    this.task.tg = group;
    kernel.addTask(this.task);
    kernel.addGroup(group);
    this.task.raise = (sig) => void this.signals.push(sig);
  }

  /** Calls a handler with these arguments. BLOCKED leaves the task waiting: see `woken` and `again`. */
  call(handler: Handler, ...args: number[]): number {
    const t = this.task;
    for (let i = 0; i < 6; i++) {
      const v = args[i] ?? 0;
      t.args[2 * i] = v >>> 0;
      t.args[2 * i + 1] = Math.floor(v / 4294967296) >>> 0;
    }
    t.rs.reset();
    this.handler = handler;
    return this.run();
  }

  private run(): number {
    const r = this.handler(this.task);
    this.task.rs.fresh = false;
    this.task.state = r === BLOCKED ? TASK_BLOCKED : TASK_RUNNING;
    if (r !== BLOCKED) this.task.clearWaits();
    return r;
  }

  /** True once what it waits for has changed. */
  get woken(): boolean {
    return this.task.queued;
  }

  /** Invokes the blocked call again, as the loop does for a woken task. */
  again(): number {
    while (this.task.kernel.dequeue() !== null);
    this.task.clearWaits();
    return this.run();
  }

  /** Fresh guest memory of `n` bytes. */
  alloc(n: number): number {
    const a = this.at;
    this.at += (n + 15) & ~15;
    if (this.at > SIZE) throw new Error('guest memory is full');
    this.memory.bytes.fill(0, a, a + n);
    return a;
  }

  /** Guest memory that holds these bytes (a latin1 string or an array). */
  put(data: string | Uint8Array | number[]): number {
    const b = typeof data === 'string' ? Uint8Array.from(data, (c) => c.charCodeAt(0)) : Uint8Array.from(data);
    const a = this.alloc(b.length === 0 ? 1 : b.length);
    this.memory.bytes.set(b, a);
    return a;
  }

  get(addr: number, n: number): string {
    return String.fromCharCode(...this.memory.bytes.subarray(addr, addr + n));
  }

  u32(addr: number): number {
    return new DataView(this.memory.bytes.buffer).getUint32(addr, true);
  }

  i32(addr: number): number {
    return new DataView(this.memory.bytes.buffer).getInt32(addr, true);
  }

  u64(addr: number): number {
    return Number(new DataView(this.memory.bytes.buffer).getBigUint64(addr, true));
  }

  setU32(addr: number, v: number): void {
    putU32(this.memory.bytes, addr, v);
  }

  /** A socket address argument: its address and length. */
  addr(sockaddr: Uint8Array): [number, number] {
    return [this.put(sockaddr), sockaddr.length];
  }

  /** A struct msghdr with one buffer and a control area. */
  msghdr(data: number, len: number, control = 0, controlLen = 0): number {
    const iov = this.alloc(16);
    const h = this.alloc(56);
    const m = this.memory.bytes;
    putU64(m, iov, data);
    putU64(m, iov + 8, len);
    putU64(m, h + 16, iov);
    putU64(m, h + 24, 1);
    putU64(m, h + 32, control);
    putU64(m, h + 40, controlLen);
    return h;
  }
}

/** A kernel over a tmpfs, and as many processes as asked for. */
export function guests(n: number): { kernel: Kernel; all: Guest[]; fs: FsContext } {
  const log = { info() {}, warn() {}, error() {} };
  const kernel = new Kernel(fakeHost() as unknown as HostIO, { maxAddress: 2 ** 47 } as Platform, log);
  const { root } = world();
  const fs = new FsContext(root, root.root, root, root.root, 0o022);
  const all: Guest[] = [];
  for (let i = 0; i < n; i++) all.push(new Guest(kernel, fs));
  return { kernel, all, fs };
}

export function sockaddrUn(name: string): Uint8Array {
  const b = new Uint8Array(2 + name.length);
  putU16(b, 0, 1);
  for (let i = 0; i < name.length; i++) b[2 + i] = name.charCodeAt(i);
  return b;
}

export function sockaddrIn(a: [number, number, number, number], port: number): Uint8Array {
  const b = new Uint8Array(16);
  putU16(b, 0, 2);
  b[2] = port >>> 8;
  b[3] = port;
  b.set(a, 4);
  return b;
}

/** `last`: the last byte of the address: 1 is ::1, 0 is ::. */
export function sockaddrIn6(last: number, port: number): Uint8Array {
  const b = new Uint8Array(28);
  putU16(b, 0, 10);
  b[2] = port >>> 8;
  b[3] = port;
  b[23] = last;
  return b;
}
