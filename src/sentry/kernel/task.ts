// A task: one guest thread (Linux: struct task_struct). Plain data with an explicit state; no host thread, promise or generator stands
// behind it. A blocked task is its system call number, its arguments and its restart record.

import { EAGAIN, EFAULT, ENAMETOOLONG } from '../../abi/errno.ts';
import { O_NONBLOCK } from '../../abi/fcntl.ts';
import { PATH_MAX } from '../../abi/uio.ts';
import { getI64, getU64, latin1Decode } from '../../base/bytes.ts';
import { monotonicNs } from '../../base/clock.ts';
import { BLOCKED, ERESTARTSYS } from '../../base/result.ts';
import { WaitEntry, WaitQueue, type Wakeable } from '../../base/waitqueue.ts';
import type { Context } from '../../platform/platform.ts';
import type { MemoryManager } from '../mm/memory.ts';
import type { Caller } from '../vfs/caller.ts';
import type { Credentials } from '../vfs/creds.ts';
import type { File } from '../vfs/file.ts';
import type { FsContext } from '../vfs/fscontext.ts';
import type { FDTable } from './fdtable.ts';
import type { Kernel } from './kernel.ts';
import type { NamespaceSet } from './namespaces.ts';
import type { Pid, PidNamespace } from './pidns.ts';
import type { Ptrace } from './ptrace.ts';
import type { Seccomp } from './seccomp.ts';
import { PendingSignals, SigInfo } from './siginfo.ts';
import type { ThreadGroup } from './threadgroup.ts';
import { Timer } from './timers.ts';

/** Runs guest code, or the Sentry is just handling its event. */
export const TASK_RUNNING = 0;
/** Waits on queues or a deadline inside a system call. */
export const TASK_BLOCKED = 1;
/** Rests until SIGCONT or SIGKILL. */
export const TASK_STOPPED = 2;
export const TASK_DEAD = 3;
/** Rests until its tracer lets it go (ptrace.ts). */
export const TASK_TRACED = 4;

/** What a system call remembers between its invocations. Reset when a call begins. */
export class RestartRecord {
  /** True on the first invocation. */
  fresh = true;
  /** Bytes or items done so far. */
  done = 0;
  /** Nanoseconds of CLOCK_MONOTONIC; Infinity: none. */
  deadline = Infinity;
  a = 0;
  b = 0;
  obj: unknown = null;

  reset(): void {
    this.fresh = true;
    this.done = 0;
    this.deadline = Infinity;
    this.a = 0;
    this.b = 0;
    this.obj = null;
  }
}

/** One element of an I/O vector. */
export interface IoVec {
  base: number;
  len: number;
}

const iovecs: IoVec[] = [];
const SI_KERNEL = 0x80;

export class Task implements Caller, Wakeable {
  readonly kernel: Kernel;
  pid: Pid;
  /** Its id in the Sentry, and what it is called in its own pid namespace (gettid). */
  tid: number;
  vtid: number;
  /** The pid namespace that it is in. */
  readonly pidns: PidNamespace;
  tg: ThreadGroup;
  /** comm: at most 15 bytes, latin1. */
  name: string;
  ctx: Context;
  mm: MemoryManager;
  creds: Credentials;
  fs: FsContext;
  fds: FDTable;
  ns: NamespaceSet;
  state = TASK_RUNNING;

  /** Number of the call being handled, -1 outside one. */
  nr = -1;
  /** Its six arguments, low and high words: copied once from the hostile context block. */
  readonly args: Uint32Array = new Uint32Array(12);
  readonly rs: RestartRecord = new RestartRecord();

  // Waiting.
  private readonly entries: WaitEntry[] = [];
  private waiting = 0;
  readonly timer: Timer;
  /** Its registers are ready for guest code: when it is made ready it returns there; else its call is invoked again. */
  returning = false;
  /** Its call was carried out by the engine and interrupted (EVENT_RESTART): made again, it is the guest that makes it. */
  nativeCall = false;
  /** On the kernel's ready list. */
  queued = false;
  next: Task | null = null;

  // Signals.
  readonly pending: PendingSignals = new PendingSignals();
  maskLo = 0;
  maskHi = 0;
  /** sigsuspend, ppoll: the mask to return to. */
  savedMaskLo = 0;
  savedMaskHi = 0;
  hasSavedMask = false;
  altStack = 0;
  altStackSize = 0;
  altStackFlags = 2; // SS_DISABLE
  /** Something must be looked at before the guest goes on: signals, stops. */
  attention = false;
  /** Told when a signal arrives for this task or its group (signalfd). */
  readonly signalQueue: WaitQueue = new WaitQueue();
  /** sigtimedwait waits for these (they do not count as blocked for waking). */
  waitSetLo = 0;
  waitSetHi = 0;

  // Tracing (ptrace.ts).
  ptrace: Ptrace | null = null;
  /** STAGE_*: where the loop goes on with it after a stop; 0: as its state says. */
  stage = 0;
  stageResult = 0;
  stageInCall = false;
  /** The tracer has changed registers during the stop. */
  regsSet = false;
  /** The signal that its tracer lets through. */
  injected: SigInfo | null = null;

  /** What it may call; null: everything. */
  seccomp: Seccomp | null = null;

  // Threads.
  clearChildTid = 0;
  robustList = 0;
  /** Signal to this task when its parent dies (PR_SET_PDEATHSIG). */
  parentDeathSignal = 0;
  /** Blocked in vfork for this child group. */
  vforkChild: ThreadGroup | null = null;
  nice = 0;
  policy = 0;
  rtPriority = 0;
  resetOnFork = false;
  /** Affinity as two words for the first 64 CPUs; zero: all. */
  cpuLo = 0;
  cpuHi = 0;
  timerSlackNs = 50000;
  readonly startNs: number;
  keepCaps = false;
  personality = 0;
  /** Processor time in address spaces that it has left by execve, ns. */
  cpuBeforeNs = 0;
  /** Counts for /proc and getrusage. */
  syscalls = 0;

  constructor(kernel: Kernel, pid: Pid, ctx: Context, mm: MemoryManager, creds: Credentials, fs: FsContext, fds: FDTable, name: string) {
    this.kernel = kernel;
    this.pid = pid;
    this.tid = pid.id;
    this.vtid = pid.nr;
    this.pidns = pid.ns;
    this.ctx = ctx;
    this.mm = mm;
    this.creds = creds;
    this.fs = fs;
    this.fds = fds;
    this.ns = kernel.namespaces;
    this.ns.refs++;
    this.name = name;
    this.tg = null as unknown as ThreadGroup; // set by whoever makes the task, at once
    this.startNs = monotonicNs();
    this.timer = new Timer(() => this.wake());
    ctx.owner = this;
  }

  /** It waits, in the Sentry or in its own address space. */
  get sleeps(): boolean {
    return this.state === TASK_BLOCKED || (this.state === TASK_RUNNING && this.ctx.waitsNatively);
  }

  /** Id of its process in the Sentry. */
  get tgid(): number {
    return this.tg.tgid;
  }

  /** Takes over another name (execve: that of the thread that led its group). */
  rename(pid: Pid): void {
    this.pid = pid;
    this.tid = pid.id;
    this.vtid = pid.nr;
  }

  // Arguments.

  /** Argument i as an unsigned 64-bit double. */
  arg(i: number): number {
    const a = this.args;
    return a[2 * i + 1]! * 4294967296 + a[2 * i]!;
  }

  /** Argument i as a signed 64-bit double. */
  argS(i: number): number {
    const a = this.args;
    return (a[2 * i + 1]! | 0) * 4294967296 + a[2 * i]!;
  }

  /** Argument i as int. */
  argI(i: number): number {
    return this.args[2 * i]! | 0;
  }

  /** Argument i as unsigned int. */
  argU(i: number): number {
    return this.args[2 * i]!;
  }

  argLo(i: number): number {
    return this.args[2 * i]!;
  }

  argHi(i: number): number {
    return this.args[2 * i + 1]!;
  }

  // Guest memory.

  /** Guest memory -> dst. 0 or -EFAULT. */
  copyIn(addr: number, dst: Uint8Array, off: number, len: number): number {
    const c = this.ctx;
    if (c.delivering) c.flush();
    return c.receive(addr, dst, off, len) ? 0 : this.mm.read(addr, dst, off, len);
  }

  /** src -> guest memory, at the latest when this call's result gets there. 0 or -EFAULT. */
  copyOut(addr: number, src: Uint8Array, off: number, len: number): number {
    if (len > 0 && this.mm.mayWrite(addr, len) && this.ctx.send(addr, src, off, len)) return 0;
    return this.copyOutNow(addr, src, off, len);
  }

  /** Room in the context's window for `len` bytes to guest memory at `addr`, for ctx.deliver(). -1: none, copyOut() must do. */
  outRoom(addr: number, len: number): number {
    const at = this.ctx.reserve(len);
    return at >= 0 && this.mm.mayWrite(addr, len) ? at : -1;
  }

  /** Where in the context's window the bytes at `addr` came with this call. -1: they did not, copyIn() must do. */
  inRoom(addr: number, len: number): number {
    const c = this.ctx;
    return c.delivering ? -1 : c.fetched(addr, len);
  }

  /** As copyOut() of the first `count` words of `src`, whose bytes are `bytes`. */
  copyOutWords(addr: number, src: Uint32Array, bytes: Uint8Array, count: number): number {
    const c = this.ctx;
    const len = count * 4;
    const at = this.outRoom(addr, len);
    if (at < 0) return this.copyOutNow(addr, bytes, 0, len);
    const w = c.windowWords;
    const to = at >>> 2;
    for (let i = 0; i < count; i++) w[to + i] = src[i]!;
    c.deliver(addr, at, len);
    return 0;
  }

  /** The same at once: for what others look at before this task goes on. */
  copyOutNow(addr: number, src: Uint8Array, off: number, len: number): number {
    if (this.ctx.delivering && this.ctx.flush() < 0) return -EFAULT;
    return this.mm.write(addr, src, off, len);
  }

  /** The byte at addr, or -EFAULT. */
  readU8(addr: number): number {
    const b = this.kernel.word;
    return this.copyIn(addr, b, 0, 1) < 0 ? -EFAULT : b[0]!;
  }

  /** The word at addr (0..2^32-1), or -EFAULT. */
  readU32(addr: number): number {
    const b = this.kernel.word;
    if (this.copyIn(addr, b, 0, 4) < 0) return -EFAULT;
    return this.kernel.word32[0]!;
  }

  /** The 64-bit word at addr as a double, or -EFAULT. Values of 2^53 and more lose low bits. */
  readU64(addr: number): number {
    const b = this.kernel.word;
    if (this.copyIn(addr, b, 0, 8) < 0) return -EFAULT;
    return this.kernel.word32[1]! * 4294967296 + this.kernel.word32[0]!;
  }

  writeU16(addr: number, v: number): number {
    this.kernel.word32[0] = v;
    return this.copyOut(addr, this.kernel.word, 0, 2);
  }

  writeU32(addr: number, v: number): number {
    this.kernel.word32[0] = v;
    return this.copyOut(addr, this.kernel.word, 0, 4);
  }

  /** writeU32 that others may see before this task goes on. */
  writeU32Now(addr: number, v: number): number {
    this.kernel.word32[0] = v;
    return this.copyOutNow(addr, this.kernel.word, 0, 4);
  }

  /** Writes a signed or unsigned integer of up to 2^53 as 64 bits. */
  writeU64(addr: number, v: number): number {
    this.kernel.word32[0] = v;
    this.kernel.word32[1] = Math.floor(v / 4294967296);
    return this.copyOut(addr, this.kernel.word, 0, 8);
  }

  /** A NUL-terminated string of fewer than `max` bytes, as latin1. -EFAULT, or -ENAMETOOLONG without a NUL in `max` bytes. */
  copyInString(addr: number, max: number): string | number {
    const c = this.ctx;
    if (c.delivering) c.flush();
    const from = c.fetchedFrom(addr);
    if (from >= 0) {
      // One copy, then one look: the guest may change the window meanwhile.
      const n = Math.min(c.fetchedLength, max);
      const s = latin1Decode(c.window, from, from + n);
      const end = s.indexOf('\0');
      if (end >= 0) return end === s.length - 1 ? s.slice(0, -1) : s.slice(0, end);
    }
    const buf = this.kernel.tmp;
    let s = '';
    let done = 0;
    while (done < max) {
      const at = addr + done;
      // Never across a page that the string may not reach.
      const want = Math.min(max - done, 4096 - (at % 4096), buf.length);
      const n = this.mm.readUpTo(at, buf, 0, want);
      if (n <= 0) return -EFAULT;
      let end = 0;
      while (end < n && buf[end] !== 0) end++;
      s += latin1Decode(buf, 0, end);
      if (end < n) return s;
      if (n < want) return -EFAULT;
      done += n;
    }
    return -ENAMETOOLONG;
  }

  /** A path argument. -EFAULT or -ENAMETOOLONG (PATH_MAX). */
  copyInPath(addr: number): string | number {
    return this.copyInString(addr, PATH_MAX);
  }

  /** As copyInPath(), as bytes in kernel.tmp without the NUL: their count. Valid until something else is read there. */
  copyInPathBytes(addr: number): number {
    const c = this.ctx;
    const buf = this.kernel.tmp;
    if (c.delivering) c.flush();
    const from = c.fetchedFrom(addr);
    if (from >= 0) {
      // Each byte is read once: the guest may change the window meanwhile.
      const w = c.window;
      const n = c.fetchedLength < PATH_MAX ? c.fetchedLength : PATH_MAX;
      for (let i = 0; i < n; i++) {
        const b = w[from + i]!;
        if (b === 0) return i;
        buf[i] = b;
      }
    }
    let done = 0;
    while (done < PATH_MAX) {
      const at = addr + done;
      const want = Math.min(PATH_MAX - done, 4096 - (at % 4096));
      const n = this.mm.readUpTo(at, buf, done, want);
      if (n <= 0) return -EFAULT;
      const end = done + n;
      while (done < end && buf[done] !== 0) done++;
      if (done < end) return done;
      if (n < want) return -EFAULT;
    }
    return -ENAMETOOLONG;
  }

  /** An I/O vector. The array is reused by the next call; -EFAULT or -EINVAL is the caller's to judge for counts and sums. */
  copyInIovec(addr: number, count: number): IoVec[] | number {
    const buf = count * 16 <= this.kernel.tmp.length ? this.kernel.tmp : new Uint8Array(count * 16);
    if (this.copyIn(addr, buf, 0, count * 16) < 0) return -EFAULT;
    iovecs.length = count;
    for (let i = 0; i < count; i++) {
      const base = getU64(buf, i * 16);
      const len = getI64(buf, i * 16 + 8);
      const e = iovecs[i];
      if (e === undefined) iovecs[i] = { base, len };
      else {
        e.base = base;
        e.len = len;
      }
    }
    return iovecs;
  }

  // Waiting.

  /** True if a signal or a stop wants this task out of its wait. */
  signalPending(): boolean {
    return this.attention;
  }

  /**
   * Waits for `queue`: the handler returns what this returns. BLOCKED, or -restart if a signal is pending. `restart` is ERESTARTSYS,
   * ERESTARTNOHAND, ERESTARTNOINTR, or EINTR for calls that never restart. Several queues may be named before returning.
   */
  waitOn(queue: WaitQueue, mask: number, restart: number = ERESTARTSYS): number {
    if (this.attention) return -restart;
    const i = this.waiting++;
    let e = this.entries[i];
    if (e === undefined) {
      e = new WaitEntry(this);
      this.entries[i] = e;
    }
    queue.add(e, mask);
    return BLOCKED;
  }

  /** Waits for the deadline (or a wake()) alone. */
  block(restart: number = ERESTARTSYS): number {
    return this.attention ? -restart : BLOCKED;
  }

  /** -EAGAIN for a non-blocking description, else waitOn its queue. */
  waitFile(file: File, mask: number): number {
    if ((file.flags & O_NONBLOCK) !== 0) return -EAGAIN;
    return this.waitOn(file.queue, mask);
  }

  /** Gives the call a deadline (CLOCK_MONOTONIC ns) on its first invocation; later ones keep it. */
  setDeadline(ns: number): void {
    if (this.rs.fresh) this.rs.deadline = ns;
  }

  /** True when the deadline has passed. */
  expired(): boolean {
    return this.rs.deadline !== Infinity && monotonicNs() >= this.rs.deadline;
  }

  /** Leaves all wait queues and disarms the deadline. */
  clearWaits(): void {
    for (let i = 0; i < this.waiting; i++) this.entries[i]!.remove();
    this.waiting = 0;
    if (this.timer.armed) this.kernel.timers.cancel(this.timer);
  }

  /** Wakeable: an object that it waits on has changed. */
  notify(_entry: WaitEntry, _mask: number): void {
    this.wake();
  }

  /** Puts a blocked task on the ready list; its handler will be invoked again. */
  wake(): void {
    if (this.state === TASK_BLOCKED && !this.queued) this.kernel.enqueue(this);
  }

  // Caller.

  rlimit(resource: number): number {
    return this.tg.limitSoft[resource]!;
  }

  /** Sends itself a signal as the kernel does (SI_KERNEL). */
  raise(signal: number): void {
    this.kernel.signalTask(this, new SigInfo(signal, SI_KERNEL));
  }

  /** The kernel-wide transfer buffer: valid within one handler invocation. */
  get scratch(): Uint8Array {
    return this.kernel.scratch;
  }
}
