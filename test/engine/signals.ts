// Signals and a few more calls for the mini kernel, as Linux has them: enough for the guests of guests/bare.h, which run on the host too.
// Frames are those of arch/x86/kernel/signal_64.c (x64_setup_rt_frame): struct rt_sigframe below the vector state.
import { closeSync, ftruncateSync, openSync } from 'node:fs';
import {
  EVENT_NONE,
  REG_COUNT,
  REG_FS_BASE,
  REG_GS_BASE,
  REG_EFLAGS,
  REG_ORIG_RAX,
  REG_RAX,
  REG_RDI,
  REG_RDX,
  REG_RIP,
  REG_RSI,
  REG_RSP,
} from '../../src/platform/platform.ts';
import { BLOCKED, type FaultRecord, type MiniKernel, type Process, type Task } from './kernel.ts';

const SIGSEGV = 11;
const SIGALRM = 14;
const SI_KERNEL = 128;
const FRAME_BYTES = 440;
const AT_CONTEXT = 8;
const AT_REGS = 48;
const AT_SELECTORS = AT_REGS + 18 * 8;
const AT_INFO = 312;
const RED_ZONE = 128;
const MAP_FIXED = 16;
const MAP_ANONYMOUS = 32;
const ARCH_SET_FS = 0x1002;
const ARCH_GET_FS = 0x1003;
const ARCH_GET_GS = 0x1004;
const UC_FP_XSTATE = 1;
const UC_SIGCONTEXT_SS = 2;
const UC_STRICT_RESTORE_SS = 4;
/** What rt_sigreturn(2) takes from a frame: FIX_EFLAGS of arch/x86/kernel/signal.c. */
const FIX_FLAGS = 0x50dd5n;
/** DF, RF and TF are off in a handler. */
const HANDLER_FLAGS_OFF = 0x10500n;
/** Registers of struct context (guests/bare.h) as REG_*: r8 to r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, flags. */
const ORDER = [9, 8, 7, 6, 3, 2, 1, 0, 14, 13, 4, 5, 12, 10, 11, 19, 16, 18];

interface Action {
  handler: bigint;
  restorer: bigint;
}

interface Alternate {
  sp: number;
  size: number;
}

/** All registers of a stopped thread, 64 bits each. */
export function registers(t: Task): BigUint64Array {
  const r = t.context.regs;
  return new BigUint64Array(r.buffer, r.byteOffset, REG_COUNT);
}

export class Signals {
  /** Frames that were made, and returns from them. */
  delivered = 0;
  returned = 0;
  /** Alarms that came while the thread was in a call or a fault: the next event after that took them. */
  private readonly k: MiniKernel;
  private readonly actions = new Map<Process, Map<number, Action>>();
  private readonly stacks = new Map<Task, Alternate>();
  private readonly alarmed = new Set<Task>();
  private readonly timers = new Map<Process, { interval: number; next: number; threads: number }>();
  private readonly files: number[] = [];
  private readonly frame = Buffer.alloc(FRAME_BYTES);

  constructor(k: MiniKernel) {
    this.k = k;
    k.onFault = (t, fault) => this.fault(t, fault);
    k.onInterrupt = (t) => this.interrupted(t);
    k.onTurn = () => this.turn();
    k.onClone = (from, to) => this.cloned(from, to);
    const calls: [number, (t: Task, args: number[]) => number][] = [
      [9, (t, a) => this.mmap(t, a)],
      [13, (t, a) => this.action(t, a)],
      [15, (t) => this.sigreturn(t)],
      [38, (t, a) => this.setitimer(t, a)],
      [77, (_t, a) => this.truncate(a)],
      [158, (t, a) => this.archPrctl(t, a)],
      [96, (t, a) => this.timeOfDay(t, a)],
      [131, (t, a) => this.alternateStack(t, a)],
      [201, () => Math.floor(Date.now() / 1000)],
      [319, () => this.memoryFile()],
    ];
    for (const [nr, call] of calls) k.answers.set(nr, call);
  }

  close(): void {
    for (const fd of this.files.splice(0)) closeSync(fd);
  }

  private words(t: Task, address: number, count: number): BigUint64Array | null {
    const bytes = new Uint8Array(8 * count);
    return t.context.addressSpace.read(address, bytes, 0, bytes.length) < 0 ? null : new BigUint64Array(bytes.buffer);
  }

  private action(t: Task, [signal, address]: number[]): number {
    const w = this.words(t, address as number, 4);
    if (w === null) return -14;
    let own = this.actions.get(t.process);
    if (own === undefined) {
      own = new Map();
      this.actions.set(t.process, own);
    }
    own.set(signal as number, { handler: w[0] as bigint, restorer: w[2] as bigint });
    return 0;
  }

  private alternateStack(t: Task, [address]: number[]): number {
    const w = this.words(t, address as number, 3);
    if (w === null) return -14;
    this.stacks.set(t, { sp: Number(w[0]), size: Number(w[2]) });
    return 0;
  }

  /** What a child of fork(2) and a new thread have of their maker's. A thread has no alternate stack, but after vfork(2). */
  private cloned(from: Task, to: Task): void {
    const own = this.actions.get(from.process);
    if (own !== undefined && to.process !== from.process) this.actions.set(to.process, new Map(own));
    const stack = this.stacks.get(from);
    if (stack !== undefined && (to.process !== from.process || to.vforkParent !== null)) this.stacks.set(to, stack);
  }

  private fault(t: Task, f: FaultRecord): boolean {
    return this.deliver(t, f.signal, f.code, f.address, f.trap, f.error);
  }

  /** Goes on in the handler of a signal, from this stopped thread's registers. False: there is none. */
  private deliver(t: Task, signal: number, code: number, address: number, trap: number, error: number): boolean {
    const action = this.actions.get(t.process)?.get(signal);
    if (action === undefined) return false;
    const c = t.context;
    const r = registers(t);
    const stack = this.stacks.get(t);
    const sp = Number(r[REG_RSP]);
    const on = stack !== undefined && sp > stack.sp && sp <= stack.sp + stack.size;
    let at = stack !== undefined && !on ? stack.sp + stack.size : sp - RED_ZONE;
    at -= c.fpSize;
    at -= at % 64;
    const fpstate = at;
    at -= FRAME_BYTES;
    at -= at % 16;
    at -= 8;
    const b = this.frame.fill(0);
    b.writeBigUInt64LE(action.restorer, 0);
    b.writeBigUInt64LE(BigInt(UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS), AT_CONTEXT);
    ORDER.forEach((reg, i) => b.writeBigUInt64LE(r[reg] as bigint, AT_REGS + 8 * i));
    b.writeUInt16LE(0x33, AT_SELECTORS);
    b.writeUInt16LE(0x2b, AT_SELECTORS + 6);
    const behind = [BigInt(error), BigInt(trap), 0n, BigInt.asUintN(64, BigInt(address)), BigInt(fpstate)];
    behind.forEach((word, i) => b.writeBigUInt64LE(word, AT_SELECTORS + 8 + 8 * i));
    b.writeInt32LE(signal, AT_INFO);
    b.writeInt32LE(code, AT_INFO + 8);
    b.writeBigUInt64LE(BigInt.asUintN(64, BigInt(address)), AT_INFO + 16);
    // A debugger's way and the everyday one by turns: what is done at once, and what is done with the resume.
    this.delivered++;
    const later = this.delivered % 2 === 0;
    if (c.flush() < 0 || c.addressSpace.write(at, b, 0, FRAME_BYTES) < 0) return false;
    if ((later ? c.fpSaveLater(fpstate) : c.fpSave(fpstate)) < 0) return false;
    r[REG_RSP] = BigInt(at);
    r[REG_RIP] = action.handler;
    r[REG_EFLAGS] = (r[REG_EFLAGS] as bigint) & ~HANDLER_FLAGS_OFF;
    r[REG_RDI] = BigInt(signal);
    r[REG_RSI] = BigInt(at + AT_INFO);
    r[REG_RDX] = BigInt(at + AT_CONTEXT);
    r[REG_RAX] = 0n;
    if ((later ? c.fpLoadLater(0) : c.fpLoad(0)) < 0) return false;
    c.resumeFull();
    return true;
  }

  private sigreturn(t: Task): number {
    this.returned++;
    const c = t.context;
    const r = registers(t);
    const at = Number(r[REG_RSP]) - 8;
    if (c.addressSpace.read(at, this.frame, 0, FRAME_BYTES) < 0) return this.refuse(t);
    const flags = r[REG_EFLAGS] as bigint;
    ORDER.forEach((reg, i) => {
      r[reg] = this.frame.readBigUInt64LE(AT_REGS + 8 * i);
    });
    r[REG_EFLAGS] = (flags & ~FIX_FLAGS) | ((r[REG_EFLAGS] as bigint) & FIX_FLAGS);
    r[REG_ORIG_RAX] = ~0n;
    const fpstate = Number(this.frame.readBigUInt64LE(AT_SELECTORS + 8 + 32));
    // What fails with the resume comes back as a fault.
    if ((this.returned % 2 === 0 ? c.fpLoadLater(fpstate) : c.fpLoad(fpstate)) < 0) return this.refuse(t);
    c.resumeFull();
    return BLOCKED;
  }

  /** A frame that cannot be returned from. */
  private refuse(t: Task): number {
    if (!this.deliver(t, SIGSEGV, SI_KERNEL, 0, 0, 0)) this.k.exitProcess(t.process, SIGSEGV);
    return BLOCKED;
  }

  private setitimer(t: Task, [which, address]: number[]): number {
    const w = this.words(t, address as number, 4);
    if (w === null || which !== 0) return -22;
    const interval = Number(w[0]) * 1000 + Number(w[1]) / 1000;
    if (interval === 0) this.timers.delete(t.process);
    else this.timers.set(t.process, { interval, next: performance.now() + interval, threads: 0 });
    this.k.nap = this.timers.size > 0 ? 1 : 10;
    return 0;
  }

  private turn(): void {
    if (this.timers.size === 0) return;
    const now = performance.now();
    for (const [process, timer] of this.timers) {
      if (process.status >= 0 || process.threads === 0) this.timers.delete(process);
      if (now < timer.next) continue;
      timer.next = now + timer.interval;
      const own = [...this.k.tasks].filter((t) => t.process === process);
      const t = own[timer.threads++ % own.length];
      if (t === undefined) continue;
      this.alarmed.add(t);
      t.context.interrupt();
      if (timer.threads % 3 === 0) t.context.interrupt(); // twice is as good as once
    }
  }

  private interrupted(t: Task): void {
    if (this.alarmed.delete(t) && this.deliver(t, SIGALRM, SI_KERNEL, 0, 0, 0)) return;
    if (t.context.event !== EVENT_NONE) t.context.resumeFull();
  }

  private mmap(t: Task, args: number[]): number {
    const [a0, a1, a2, a3, a4, a5] = args as [number, number, number, number, number, number];
    const c = t.context;
    const p = t.process;
    const at = (a3 & MAP_FIXED) !== 0 ? a0 : p.next;
    if ((a3 & MAP_FIXED) === 0) p.next += Math.ceil(a1 / 4096) * 4096 + 65536;
    const r = c.mmap(at, a1, a2, a3 & ~MAP_ANONYMOUS, (a3 & MAP_ANONYMOUS) !== 0 ? -1 : (this.files[a4 - 100] ?? -1), a5);
    // Only private pages may be rewritten.
    if (r === 0) p.code.push({ start: at, end: at + a1, prot: (a3 & 1) !== 0 ? a2 | 2 : a2 });
    return r < 0 ? r : at;
  }

  private archPrctl(t: Task, [what, value]: number[]): number {
    const reg = what === ARCH_SET_FS || what === ARCH_GET_FS ? REG_FS_BASE : REG_GS_BASE;
    if (what === ARCH_GET_FS || what === ARCH_GET_GS) {
      const b = Buffer.alloc(8);
      b.writeBigUInt64LE(registers(t)[reg] as bigint);
      return this.k.put(t.context, value as number, b);
    }
    if ((value as number) >= 2 ** 47) return -1; // EPERM
    return t.context.hostcall(158, what as number, value as number, 0, 0, 0, 0);
  }

  private memoryFile(): number {
    this.files.push(openSync('/dev/shm', 0x410002)); // O_TMPFILE | O_RDWR
    return 99 + this.files.length;
  }

  private truncate([fd, length]: number[]): number {
    const file = this.files[(fd as number) - 100];
    if (file === undefined) return -9;
    ftruncateSync(file, length as number);
    return 0;
  }

  private timeOfDay(t: Task, [address]: number[]): number {
    const b = Buffer.alloc(16);
    const now = Date.now();
    b.writeBigInt64LE(BigInt(Math.floor(now / 1000)), 0);
    b.writeBigInt64LE(BigInt((now % 1000) * 1000), 8);
    return this.k.put(t.context, address as number, b);
  }
}
