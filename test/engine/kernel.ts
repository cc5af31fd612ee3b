// A kernel of few calls, enough for static glibc programs, to drive the engine alone.
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import {
  type AddressSpace,
  type Context,
  EVENT_FAULT,
  EVENT_GONE,
  EVENT_INTERRUPTED,
  EVENT_SYSCALL,
  REG_EFLAGS,
  REG_FS_BASE,
  REG_ORIG_RAX,
  REG_R8,
  REG_R10,
  REG_RAX,
  REG_RBX,
  REG_RDI,
  REG_RDX,
  REG_RIP,
  REG_RSI,
  REG_RSP,
} from '../../src/platform/platform.ts';
import type { SystrapAddon } from '../../src/platform/systrap/addon.ts';
import { SystrapPlatform } from '../../src/platform/systrap/platform.ts';

const PROT_RWX = 7;
const MAP_PRIVATE = 2;
const STACK_TOP = 0x7fe000000000;
const STACK_SIZE = 1 << 20;
export const BLOCKED = -100000;

export interface FaultRecord {
  signal: number;
  code: number;
  address: number;
  trap: number;
  error: number;
  rip: number;
}

/** A guest process: memory, and who waits for it. */
export interface Process {
  pid: number;
  parent: Process | null;
  brk: number;
  next: number; // where the next mmap goes
  handler: number;
  threads: number;
  status: number; // -1: runs
  reaped: boolean;
  waiter: Task | null;
}

export interface Task {
  tid: number;
  context: Context;
  process: Process;
  clearTid: number;
  vforkParent: Task | null;
  futex: number;
  waitStatus: number;
}

export class MiniKernel {
  readonly platform: SystrapPlatform;
  readonly addon: SystrapAddon;
  output = '';
  faults: FaultRecord[] = [];
  syscalls = 0;
  gone = 0;
  interrupts = 0;
  /** For the answers of the harness. */
  shared = -1;
  note = '';
  /** Numbers of calls that came from the stub's own text. */
  fromStub: number[] = [];
  tasks = new Set<Task>();
  processes: Process[] = [];
  /** Called for numbers of 1000 up. */
  special: (t: Task, nr: number, args: number[]) => number = () => -38;
  onInterrupt: (t: Task) => void = (t) => t.context.resumeFull();
  /** How often the loop looks for an event before it sleeps. */
  spins: number;
  private turns = 0;
  private lastId = 1;
  private readonly child: ChildProcess;
  private readonly scratch = Buffer.alloc(65536);

  constructor(directory: string, cpus?: number) {
    this.addon = createRequire(`${directory}/`)(`${directory}/systrap.node`) as SystrapAddon;
    this.spins = cpus === 1 ? 1 : 2000;
    const pair = new Int32Array(2);
    this.addon.socketpair(pair);
    this.child = spawn(`${directory}/stub`, [], { stdio: ['ignore', 'ignore', 'inherit', pair[1] as number] });
    this.addon.close(pair[1] as number);
    this.platform = new SystrapPlatform({ addon: this.addon, stubFd: pair[0] as number, ...(cpus === undefined ? {} : { cpus }) });
    this.platform.stopped = (c) => this.stopped(c);
  }

  get stubPid(): number {
    return this.child.pid as number;
  }

  close(): void {
    this.platform.shutdown();
  }

  /** Loads a static program and starts it. */
  start(file: string, args: string[]): Task {
    const c = this.platform.newAddressSpace();
    if (typeof c === 'number') throw new Error(`newAddressSpace: ${c}`);
    const process: Process = {
      pid: ++this.lastId,
      parent: null,
      brk: 0,
      next: 0x100000000,
      handler: 0,
      threads: 1,
      status: -1,
      reaped: false,
      waiter: null,
    };
    this.processes.push(process);
    const t = this.addTask(c, process, process.pid);
    const image = readFileSync(file);
    const phoff = Number(image.readBigUInt64LE(32));
    for (let i = 0; i < image.readUInt16LE(56); i++) {
      const p = phoff + i * 56;
      if (image.readUInt32LE(p) !== 1) continue;
      const [offset, vaddr, , filesz, memsz] = [8, 16, 24, 32, 40].map((o) => Number(image.readBigUInt64LE(p + o))) as number[];
      const first = (vaddr as number) & ~4095;
      const end = ((vaddr as number) + (memsz as number) + 4095) & ~4095;
      const r = c.mmap(first, end - first, PROT_RWX, MAP_PRIVATE, -1, 0);
      if (r < 0 || c.addressSpace.write(vaddr as number, image, offset as number, filesz as number) < 0) throw new Error(`load: ${r}`);
      process.brk = Math.max(process.brk, end);
    }
    process.brk = (process.brk + 0xffffff) & ~0xffffff;
    if (c.mmap(STACK_TOP - STACK_SIZE, STACK_SIZE, 3, MAP_PRIVATE, -1, 0) < 0) throw new Error('stack');
    const strings = [file, ...args].map((s) => Buffer.from(`${s}\0`, 'latin1'));
    let at = STACK_TOP - 4096;
    const words = [strings.length];
    for (const s of strings) {
      c.addressSpace.write(at, s, 0, s.length);
      words.push(at);
      at += s.length;
    }
    const vdso = this.platform.vdsoAddress;
    words.push(0, 0, 3, 0x400000 + phoff, 4, 56, 5, image.readUInt16LE(56), 6, 4096, 25, STACK_TOP - 64, 33, vdso, 0, 0);
    const stack = new Float64Array(words);
    const bytes = Buffer.alloc(words.length * 8);
    stack.forEach((w, i) => bytes.writeBigUInt64LE(BigInt(w), i * 8));
    const sp = STACK_TOP - 8192;
    c.addressSpace.write(sp, bytes, 0, bytes.length);
    setReg(c, REG_RIP, Number(image.readBigUInt64LE(24)));
    setReg(c, REG_RSP, sp);
    setReg(c, REG_EFLAGS, 0x202);
    c.fpLoad(0);
    c.resumeFull();
    return t;
  }

  addTask(context: Context, process: Process, tid: number): Task {
    const t: Task = { tid, context, process, clearTid: 0, vforkParent: null, futex: 0, waitStatus: 0 };
    context.owner = t;
    this.tasks.add(t);
    return t;
  }

  /** Runs until every task has ended; `limit` in milliseconds. As a kernel's loop does it: look a while, then sleep on the doorbell. */
  async run(limit = 20000): Promise<void> {
    const { platform, addon } = this;
    const deadline = Date.now() + limit;
    let idle = 0;
    while (this.tasks.size > 0) {
      if (platform.poll() > 0) {
        idle = 0;
        if (++this.turns % 1024 === 0) await new Promise((resolve) => setTimeout(resolve, 1)); // the tests' timers
        continue;
      }
      if (++idle < this.spins && platform.spinAdvised) continue;
      idle = 0;
      platform.prepareSleep(true);
      if (platform.poll() === 0 && this.tasks.size > 0) addon.waitReady(platform.doorbell, 10);
      platform.prepareSleep(false);
      if (Date.now() > deadline) throw new Error(`the guest did not end: ${this.output}`);
      if (++this.turns % 16 === 0 || platform.statistics().running === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  private stopped(c: Context): void {
    const t = c.owner as Task;
    if (c.event === EVENT_SYSCALL) {
      this.syscalls++;
      if (reg(c, REG_RIP) > this.platform.maxAddress && reg(c, REG_RIP) < this.platform.maxAddress + 0x100000) return this.stubCall(c);
      const nr = reg(c, REG_ORIG_RAX);
      const r = this.syscall(t, nr);
      if (r !== BLOCKED) c.resumeSyscall(r);
    } else if (c.event === EVENT_FAULT) {
      const rip = reg(c, REG_RIP);
      this.faults.push({ signal: c.faultSignal, code: c.faultCode, address: c.faultAddress, trap: c.faultTrap, error: c.faultError, rip });
      if (t.process.handler === 0) return this.exitProcess(t.process, c.faultSignal);
      const sp = reg(c, REG_RSP) > 65536 ? reg(c, REG_RSP) - 1024 : STACK_TOP - 65536;
      setReg(c, REG_RSP, sp - (sp % 16) - 8);
      setReg(c, REG_RIP, t.process.handler);
      setReg(c, REG_RDI, c.faultSignal);
      c.resumeFull();
    } else if (c.event === EVENT_INTERRUPTED) {
      this.interrupts++;
      this.onInterrupt(t);
    } else if (c.event === EVENT_GONE) {
      this.gone++;
      this.exitProcess(t.process, 9);
    }
  }

  /** Hostile code called into the stub: returns to the address on its stack with ENOSYS. */
  private stubCall(c: Context): void {
    this.fromStub.push(reg(c, REG_ORIG_RAX));
    const word = Buffer.alloc(8);
    c.addressSpace.read(reg(c, REG_RBX), word, 0, 8);
    setReg(c, REG_RSP, reg(c, REG_RBX) + 8);
    setReg(c, REG_RIP, Number(word.readBigUInt64LE(0)));
    setReg(c, REG_RAX, 0xffffffda);
    c.resumeFull();
  }

  /** All threads of a process end. */
  exitProcess(p: Process, status: number): void {
    for (const t of [...this.tasks]) {
      if (t.process === p) this.exitTask(t, status);
    }
  }

  exitTask(t: Task, status: number): void {
    if (!this.tasks.delete(t)) return;
    const c = t.context;
    if (t.clearTid !== 0) {
      c.addressSpace.write(t.clearTid, Buffer.alloc(4), 0, 4);
      this.wakeFutex(c.addressSpace, t.clearTid, 1);
    }
    this.releaseVfork(t);
    c.exit();
    if (--t.process.threads > 0) return;
    t.process.status = status;
    const waiter = t.process.parent?.waiter;
    if (waiter) {
      t.process.parent!.waiter = null;
      waiter.context.resumeSyscall(this.reap(waiter, waiter.waitStatus));
    }
  }

  private releaseVfork(t: Task): void {
    if (t.vforkParent === null) return;
    t.vforkParent.context.resumeSyscall(t.process.pid);
    t.vforkParent = null;
  }

  private reap(t: Task, statusAt: number): number {
    const children = this.processes.filter((p) => p.parent === t.process && !p.reaped);
    if (children.length === 0) return -10;
    const done = children.find((p) => p.status >= 0);
    if (done === undefined) {
      t.process.waiter = t;
      t.waitStatus = statusAt;
      return BLOCKED;
    }
    done.reaped = true;
    if (statusAt !== 0) {
      const word = Buffer.alloc(4);
      word.writeInt32LE(done.status);
      t.context.addressSpace.write(statusAt, word, 0, 4);
    }
    return done.pid;
  }

  private wakeFutex(space: AddressSpace, address: number, count: number): number {
    let n = 0;
    for (const t of this.tasks) {
      if (n >= count) break;
      if (t.futex !== address || t.context.addressSpace !== space) continue;
      t.futex = 0;
      t.context.resumeSyscall(0);
      n++;
    }
    return n;
  }

  private clone(t: Task, flags: number, stack: number, ptid: number, ctid: number, tls: number): number {
    const vm = (flags & 0x100) !== 0;
    const c = vm ? t.context.cloneThread() : t.context.fork();
    if (c === null) return -11;
    if (typeof c === 'number') return c;
    const id = ++this.lastId;
    let process = t.process;
    if ((flags & 0x10000) === 0) {
      process = { ...t.process, pid: id, parent: t.process, threads: 0, status: -1, reaped: false, waiter: null };
      this.processes.push(process);
    }
    process.threads++;
    const child = this.addTask(c, process, id);
    const word = Buffer.alloc(4);
    word.writeInt32LE(id);
    if ((flags & 0x100000) !== 0) t.context.addressSpace.write(ptid, word, 0, 4);
    if ((flags & 0x1000000) !== 0) c.addressSpace.write(ctid, word, 0, 4);
    if ((flags & 0x200000) !== 0) child.clearTid = ctid;
    if ((flags & 0x80000) !== 0) setReg(c, REG_FS_BASE, tls);
    if (stack !== 0) setReg(c, REG_RSP, stack);
    setReg(c, REG_RAX, 0);
    c.resumeFull();
    if ((flags & 0x4000) === 0) return id;
    child.vforkParent = t;
    return BLOCKED;
  }

  private syscall(t: Task, nr: number): number {
    const c = t.context;
    const p = t.process;
    const a0 = reg(c, REG_RDI);
    const a1 = reg(c, REG_RSI);
    const a2 = reg(c, REG_RDX);
    const a3 = reg(c, REG_R10);
    const a4 = reg(c, REG_R8);
    switch (nr) {
      case 1: {
        if (c.addressSpace.read(a1, this.scratch, 0, Math.min(a2, 65536)) < 0) return -14;
        this.output += this.scratch.toString('latin1', 0, a2);
        return a2;
      }
      case 9: {
        const at = (a3 & 16) !== 0 ? a0 : p.next;
        if ((a3 & 16) === 0) p.next += Math.ceil(a1 / 4096) * 4096 + 65536;
        const r = c.mmap(at, a1, a2, a3, -1, 0);
        return r < 0 ? r : at;
      }
      case 10:
      case 11:
      case 28:
        return c.hostcall(nr, a0, a1, a2, 0, 0, 0);
      case 25: {
        const r = c.hostcall(25, a0, a1, a2, 3, p.next, 0);
        p.next += Math.ceil(a2 / 4096) * 4096 + 65536;
        return r;
      }
      case 12: {
        if (a0 <= p.brk) return p.brk;
        const end = Math.ceil(a0 / 4096) * 4096;
        if (c.mmap(p.brk, end - p.brk, 3, MAP_PRIVATE, -1, 0) < 0) return p.brk;
        p.brk = end;
        return end;
      }
      case 39:
        return p.pid;
      case 56:
        return this.clone(t, a0, a1, a2, a3, a4);
      case 57:
        return this.clone(t, 17, 0, 0, 0, 0);
      case 58:
        return this.clone(t, 0x4111, 0, 0, 0, 0);
      case 60:
        this.exitTask(t, (a0 & 255) << 8);
        return BLOCKED;
      case 231:
        this.exitProcess(p, (a0 & 255) << 8);
        return BLOCKED;
      case 61:
        return this.reap(t, a1);
      case 158:
        return c.hostcall(158, a0, a1, 0, 0, 0, 0);
      case 186:
        return t.tid;
      case 202: {
        const op = a1 & 127;
        if (op === 1 || op === 10) return this.wakeFutex(c.addressSpace, a0, a2);
        if (op !== 0 && op !== 9) return -38;
        c.addressSpace.read(a0, this.scratch, 0, 4);
        if (this.scratch.readUInt32LE(0) !== a2 % 4294967296) return -11;
        t.futex = a0;
        return BLOCKED;
      }
      case 218:
        t.clearTid = a0;
        return t.tid;
      case 13:
      case 14:
      case 16:
      case 24:
      case 273:
        return 0;
      case 1000:
        p.handler = a0;
        return 0;
      default:
        return nr > 1000 ? this.special(t, nr, [a0, a1, a2, a3, a4]) : -38;
    }
  }
}

/** A register as a double. */
export function reg(c: Context, i: number): number {
  return (c.regs[2 * i + 1] as number) * 4294967296 + (c.regs[2 * i] as number);
}

export function setReg(c: Context, i: number, value: number): void {
  c.regs[2 * i] = value;
  c.regs[2 * i + 1] = Math.floor(value / 4294967296);
}
