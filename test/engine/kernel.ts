// A kernel of few calls, enough for static glibc programs, to drive the engine alone.
import { type ChildProcess, spawn } from 'node:child_process';
import { openSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { PlatformAddon } from '../../src/platform/common/addon.ts';
import type { HostOptions, HostPlatform } from '../../src/platform/common/platform.ts';
import {
  type AddressSpace,
  type Context,
  EVENT_FAULT,
  EVENT_GONE,
  EVENT_INTERRUPTED,
  EVENT_RESTART,
  EVENT_SYSCALL,
  REG_FS_BASE,
  REG_ORIG_RAX,
  REG_RAX,
  REG_RBX,
  REG_RDI,
  REG_RIP,
  REG_RSP,
} from '../../src/platform/platform.ts';
import { testEngine } from './engines.ts';
import { codeProtection, load, protect, reg, STACK_TOP, setReg } from './program.ts';

const MAP_PRIVATE = 2;
const PROT_RW = 3;
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
  /** What was mapped or protected, in this order: the last one that touches an address counts. */
  code: { start: number; end: number; prot: number }[];
  threads: number;
  status: number; // -1: runs
  reaped: boolean;
  waiters: Task[];
}

export interface Task {
  tid: number;
  context: Context;
  process: Process;
  clearTid: number;
  vforkParent: Task | null;
  futex: number;
  waitPid: number;
  waitStatus: number;
}

export class MiniKernel {
  readonly platform: HostPlatform;
  readonly addon: PlatformAddon;
  output = '';
  faults: FaultRecord[] = [];
  syscalls = 0;
  /** EVENT_SYSCALL by number. */
  readonly counts = new Map<number, number>();
  /** Calls that the engine made itself and that were interrupted. */
  restarts = 0;
  /** The most contexts that were cold at a time. */
  coldest = 0;
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
  /** Calls that a test answers instead of this kernel. */
  readonly answers = new Map<number, (t: Task, args: number[]) => number>();
  /** Called once in every turn of the loop. */
  onTurn: () => void = () => {};
  /** True: the fault was handled, and the thread resumed. */
  onFault: (t: Task, fault: FaultRecord) => boolean = () => false;
  /** By default the call is made again. */
  onRestart: (t: Task) => void = (t) => {
    setReg(t.context, REG_RIP, reg(t.context, REG_RIP) - 2);
    setReg(t.context, REG_RAX, reg(t.context, REG_ORIG_RAX));
    t.context.resumeFull();
  };
  /** A child or a thread is about to run. */
  onClone: (from: Task, to: Task) => void = () => {};
  onInterrupt: (t: Task) => void = (t) => t.context.resumeFull();
  /** How often the loop looks for an event before it sleeps. */
  spins: number;
  /** How long a sleep may last, ms. */
  nap = 10;
  private turns = 0;
  private lastId = 1;
  private readonly child: ChildProcess;
  private readonly scratch = Buffer.alloc(65536);
  private readonly words = new Uint32Array(12);

  constructor(directory: string, cpus?: number, options: Partial<HostOptions> = {}) {
    this.addon = createRequire(`${directory}/`)(`${directory}/platform.node`) as PlatformAddon;
    this.spins = cpus === 1 ? 1 : 2000;
    const pair = new Int32Array(2);
    this.addon.socketpair(pair);
    const engine = testEngine();
    const files = engine.files.map((f) => openSync(f, 'r+'));
    this.child = spawn(`${directory}/${engine.program}`, [], {
      stdio: ['ignore', 'ignore', 'inherit', pair[1] as number, 'ignore', ...files],
    });
    for (const fd of [pair[1] as number, ...files]) this.addon.close(fd);
    const given = cpus === undefined ? options : { ...options, cpus };
    this.platform = engine.platform({ addon: this.addon, stubFd: pair[0] as number, ...given });
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
      code: [],
      threads: 1,
      status: -1,
      reaped: false,
      waiters: [],
    };
    this.processes.push(process);
    const t = this.addTask(c, process, process.pid);
    load(this.platform, c, process, file, args);
    return t;
  }

  /** execve(2): the program in a new address space. */
  exec(t: Task, file: string, args: string[]): number {
    const c = this.platform.newAddressSpace();
    if (typeof c === 'number') return c;
    t.context.exit();
    t.context = c;
    c.owner = t;
    t.process.code = [];
    t.process.handler = 0;
    load(this.platform, c, t.process, file, args);
    return BLOCKED;
  }

  /** Guest memory as the answer of a call: with the resume if there is room. */
  put(c: Context, address: number, bytes: Uint8Array): number {
    const at = c.reserve(bytes.length);
    if (at < 0) return c.flush() < 0 ? -14 : c.addressSpace.write(address, bytes, 0, bytes.length);
    c.window.set(bytes, at);
    c.deliver(address, at, bytes.length);
    return 0;
  }

  addTask(context: Context, process: Process, tid: number): Task {
    const t: Task = { tid, context, process, clearTid: 0, vforkParent: null, futex: 0, waitPid: 0, waitStatus: 0 };
    context.owner = t;
    this.tasks.add(t);
    return t;
  }

  /** Runs until every task has ended; `limit` in milliseconds. As a kernel's loop does it: look a while, then sleep on the doorbell. */
  async run(limit = 60000): Promise<void> {
    const { platform, addon } = this;
    const deadline = Date.now() + limit;
    let idle = 0;
    while (this.tasks.size > 0) {
      this.onTurn();
      if (platform.poll() > 0) {
        idle = 0;
        if (++this.turns % 1024 === 0) await new Promise((resolve) => setTimeout(resolve, 1)); // the tests' timers
        continue;
      }
      const cold = platform.statistics()['threads without a call for long'];
      if (cold > this.coldest) this.coldest = cold;
      if (++idle < this.spins && platform.spinAdvised) continue;
      idle = 0;
      platform.prepareSleep(true);
      if (platform.poll() === 0 && this.tasks.size > 0) addon.waitReady(platform.doorbell, this.nap);
      platform.prepareSleep(false);
      if (Date.now() > deadline) throw new Error(`the guest did not end: ${this.output}`);
      if (++this.turns % 16 === 0 || platform.statistics()['threads in the guest'] === 0)
        await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  private stopped(c: Context): void {
    const t = c.owner as Task;
    if (c.event === EVENT_SYSCALL) {
      this.syscalls++;
      if (reg(c, REG_RIP) > this.platform.maxAddress && reg(c, REG_RIP) < this.platform.maxAddress + 0x100000) return this.stubCall(c);
      const nr = c.takeCall(this.words);
      this.counts.set(nr, (this.counts.get(nr) ?? 0) + 1);
      const w = this.words;
      const args = [0, 2, 4, 6, 8, 10].map((i) => (w[i + 1] as number) * 4294967296 + (w[i] as number));
      this.offer(t);
      const r = this.syscall(t, nr, args);
      if (r === BLOCKED) c.flush();
      else c.resumeSyscall(r);
    } else if (c.event === EVENT_RESTART) {
      this.restarts++;
      this.offer(t);
      this.onRestart(t);
    } else if (c.event === EVENT_FAULT) {
      const rip = reg(c, REG_RIP);
      const fault = { signal: c.faultSignal, code: c.faultCode, address: c.faultAddress, trap: c.faultTrap, error: c.faultError, rip };
      this.faults.push(fault);
      if (this.onFault(t, fault)) return;
      if (t.process.handler === 0) return this.exitProcess(t.process, c.faultSignal);
      const sp = reg(c, REG_RSP) > 65536 ? reg(c, REG_RSP) - 1024 : STACK_TOP - 65536;
      setReg(c, REG_RSP, sp - (sp % 16) - 8);
      setReg(c, REG_RIP, t.process.handler);
      setReg(c, REG_RDI, c.faultSignal);
      c.resumeFull();
    } else if (c.event === EVENT_INTERRUPTED) {
      this.interrupts++;
      this.offer(t);
      this.onInterrupt(t);
    } else if (c.event === EVENT_GONE) {
      this.gone++;
      this.exitProcess(t.process, 9);
    }
  }

  /** The call site of this event is worth rewriting: has the engine do it where the code allows. */
  private offer(t: Task): void {
    const c = t.context;
    if (!c.wantsPatch) return;
    const prot = codeProtection(t.process, reg(c, REG_RIP));
    if (prot >= 0) c.patch(prot);
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
    const waiters = t.process.parent?.waiters.splice(0) ?? [];
    for (const waiter of waiters) {
      if (!this.tasks.has(waiter)) continue;
      const r = this.reap(waiter, waiter.waitPid, waiter.waitStatus);
      if (r !== BLOCKED) waiter.context.resumeSyscall(r);
    }
  }

  private releaseVfork(t: Task): void {
    if (t.vforkParent === null) return;
    t.vforkParent.context.resumeSyscall(t.process.pid);
    t.vforkParent = null;
  }

  private reap(t: Task, pid: number, statusAt: number): number {
    const any = pid <= 0 || pid > 0x7fffffff;
    const children = this.processes.filter((p) => p.parent === t.process && !p.reaped && (any || p.pid === pid));
    if (children.length === 0) return -10;
    const done = children.find((p) => p.status >= 0);
    if (done === undefined) {
      t.process.waiters.push(t);
      t.waitPid = pid;
      t.waitStatus = statusAt;
      return BLOCKED;
    }
    done.reaped = true;
    if (statusAt !== 0) {
      const word = Buffer.alloc(4);
      word.writeInt32LE(done.status);
      if (this.put(t.context, statusAt, word) < 0) return -14;
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
      process = {
        ...t.process,
        code: [...t.process.code],
        pid: id,
        parent: t.process,
        threads: 0,
        status: -1,
        reaped: false,
        waiters: [],
      };
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
    if ((flags & 0x4000) !== 0) child.vforkParent = t;
    this.onClone(t, child);
    c.resumeFull();
    if ((flags & 0x4000) === 0) return id;
    return BLOCKED;
  }

  /** mremap(2) to a given address. */
  private remap(t: Task, from: number, old: number, length: number, to: number): number {
    const prot = codeProtection(t.process, from + 64);
    const r = t.context.hostcall(25, from, old, length, 3, to, 0);
    if (r === to) t.process.code.push({ start: to, end: to + length, prot: prot >= 0 ? prot : PROT_RW });
    return r;
  }

  private syscall(t: Task, nr: number, args: number[]): number {
    const c = t.context;
    const p = t.process;
    const [a0, a1, a2, a3, a4] = args as [number, number, number, number, number];
    const answer = this.answers.get(nr);
    if (answer !== undefined) return answer(t, args);
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
        if (r === 0) p.code.push({ start: at, end: at + a1, prot: a2 });
        return r < 0 ? r : at;
      }
      case 10:
        return protect(c, p, a0, a1, a2);
      case 11:
      case 28:
        return c.hostcall(nr, a0, a1, a2, 0, 0, 0);
      case 25: {
        if ((a3 & 2) !== 0) return this.remap(t, a0, a1, a2, a4);
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
        return this.reap(t, a0, a1);
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
        return nr > 1000 ? this.special(t, nr, args) : -38;
    }
  }
}
