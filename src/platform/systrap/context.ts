// One guest thread: its block in the context region, and the commands that its stub carries out.
//
// Every word of the block may be changed by the guest at any time. State words are compared with what is allowed, numbers are only
// handed on as the guest's claims, and whatever else is found there kills the address space.
import { EAGAIN, EFAULT, EINVAL, EIO, ENOMEM, ENOSYS, ESRCH } from '../../abi/errno.ts';
import { MAP_ANONYMOUS, MAP_FIXED } from '../../abi/mman.ts';
import {
  SYS_arch_prctl,
  SYS_execve,
  SYS_execveat,
  SYS_exit_group,
  SYS_madvise,
  SYS_membarrier,
  SYS_mincore,
  SYS_mmap,
  SYS_mprotect,
  SYS_mremap,
  SYS_msync,
  SYS_munmap,
} from '../../abi/nr.ts';
import { SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP } from '../../abi/signal.ts';
import { copyBytes } from '../../base/bytes.ts';
import { MAP_ZERO, type MapBatch, type MapStep } from '../mapbatch.ts';
import type { Context, HostUsage, ThreadStart } from '../platform.ts';
import { EVENT_GONE, EVENT_NONE, EVENT_RESTART, EVENT_SYSCALL, REG_COUNT, REG_FS_BASE, REG_RAX, REG_RIP, REG_RSP } from '../platform.ts';
import type { Engine, Runner } from './engine.ts';
import { COMMAND_LIMIT } from './engine.ts';
import {
  BLOCK_SIZE,
  COMMAND_CLONE,
  COMMAND_EXIT,
  COMMAND_FORK,
  COMMAND_FP_LOAD,
  COMMAND_FP_SAVE,
  COMMAND_HOSTCALL,
  COMMAND_INLINE,
  COMMAND_LOADS,
  COMMAND_MAPS,
  COMMAND_START,
  COMMAND_MMAP_FD,
  COMMAND_PATCH,
  COMMAND_RESUME,
  COMMAND_RESUME_FULL,
  COMMAND_SAVES,
  COMMAND_SLEEP,
  COMMAND_UNPATCH,
  COMMAND_USAGE,
  EVENT_FAULT,
  EVENT_INTERRUPTED,
  EVENT_SITE,
  EVENT_INLINE,
  IN_RANGES,
  MESSAGE_FORK,
  MESSAGE_MAP,
  MIN_ADDRESS,
  OUT_INLINE,
  OUT_RANGES,
  STATE_GUEST,
  STATE_SLEEPING,
  STATE_STOPPED,
  STUB_BASE,
  W_CALL_ARGS,
  W_CALL_NR,
  W_COLD,
  W_COMMAND,
  W_EVENT,
  W_FAULT_ADDRESS,
  W_FAULT_CODE,
  W_FAULT_ERROR,
  W_FAULT_SIGNAL,
  W_FAULT_TRAP,
  W_FP_SIZE,
  W_NATIVE,
  W_NATIVE_WAIT,
  W_OUT,
  W_REGS,
  W_STATE,
  W_USAGE_READY,
  W_WANT_INTERRUPT,
  WINDOW_DATA,
  WINDOW_SIZE,
  WINDOWS,
  WINDOWS_OFFSET,
} from './layout.ts';
import type { Nursery } from './nursery.ts';
import type { SystrapSpace } from './space.ts';

const TWO31 = 2147483648;
const TWO32 = 4294967296;
const TID_MAX = 4194304;
const PAGE = 4096;
const ARCH_SET_GS = 0x1001;
const ARCH_SET_FS = 0x1002;
const MREMAP_FIXED = 2;
/** What the regs of a context show after exit(): nothing of anybody. */
const NO_REGS = new Uint32Array(REG_COUNT * 2);
const NO_WINDOW = new Uint8Array(0);
/** Engine.rangeAt of a piece that is not in the window but in Engine.smallOut. */
const IN_SMALL = -1;

const scratch: HostUsage = { cpuNs: 0, userNs: 0, systemNs: 0, maxRssKb: 0, minorFaults: 0, majorFaults: 0 };

/** A guest thread of the systrap engine. */
export class SystrapContext implements Context, Runner {
  owner: unknown = null;
  readonly addressSpace: SystrapSpace;
  regs: Uint32Array;
  event = EVENT_NONE;
  faultSignal = 0;
  faultCode = 0;
  faultAddress = 0;
  faultTrap = 0;
  faultError = 0;
  /** It was resumed and its next event was not seen yet. */
  runs = false;
  /** Index in Engine.running or Engine.cold; -1: in neither. While its event is handled it stays there: most are resumed at once. */
  position = -1;
  cold = false;
  looks = 0;
  wantsPatch = false;
  readonly window: Uint8Array;
  readonly windowWords: Uint32Array;
  fetchedLength = 0;
  /** First word of its window, where the ranges stand that travelled with a call. */
  private readonly windowBase: number;
  /** Ranges that travelled with the call; 0 when none is being answered. */
  private ranges = 0;
  /** The call is a short write whose bytes are among its arguments. */
  private inline = false;
  /** An event is being answered: bytes may travel with the resume. */
  private answering = false;
  /** COMMAND_SAVES or COMMAND_LOADS for resumeFull, 0: neither. */
  private vectors = 0;
  private vectorsAt = 0;
  /** Its stub was told to go on before it existed: see ThreadStart. */
  armed = false;
  /** Mappings wait in its stub's socket for the next resumeFull(). */
  private mapping = false;
  /** exit() was called while it ran. */
  exiting = false;
  readonly words: Int32Array;
  /** First word of its block. */
  readonly base: number;
  private readonly index: number;
  /** 0: its process's first thread. */
  private readonly tid: number;
  private readonly engine: Engine;
  /** Address of its block in the Sentry. */
  private readonly address: number;
  private interrupting = false;
  /** Its processor time when last asked, ns. */
  private cpuNs = 0;

  constructor(space: SystrapSpace, index: number, tid: number) {
    this.addressSpace = space;
    this.engine = space.engine;
    this.index = index;
    this.tid = tid;
    this.words = space.slot.words;
    this.base = space.base(index);
    this.address = space.slot.address + index * BLOCK_SIZE;
    this.regs = new Uint32Array(space.slot.buffer, (this.base + W_REGS) * 4, REG_COUNT * 2);
    const window = space.slot.offset + WINDOWS_OFFSET + index * WINDOW_SIZE;
    this.windowBase = window / 4;
    this.window = index < WINDOWS ? new Uint8Array(space.slot.buffer, window, WINDOW_SIZE) : NO_WINDOW;
    this.windowWords = new Uint32Array(this.window.buffer, this.window.byteOffset, this.window.length >>> 2);
    this.words[this.base + W_NATIVE] = space.native;
    space.attach(index, this);
  }

  get fpSize(): number {
    return this.engine.fpSize;
  }

  resumeSyscall(result: number): void {
    const at = this.base + W_CALL_ARGS;
    this.words[at] = result | 0;
    this.words[at + 1] = result >= 0 && result < TWO31 ? 0 : Math.floor(result / TWO32);
    this.resume(this.delivering ? COMMAND_RESUME | this.putResult() : COMMAND_RESUME);
  }

  resumeFull(): void {
    const command = COMMAND_RESUME_FULL | this.vectors;
    if (this.vectors !== 0) {
      this.setArg(0, this.vectorsAt);
      this.vectors = 0;
    }
    if (this.delivering && this.engine.rangeAt[0] === IN_SMALL && !this.spill()) this.flush();
    this.resume(this.delivering ? command | (this.putRanges() << 8) : command);
  }

  takeCall(args: Uint32Array): number {
    const w = this.words;
    const at = this.base + W_CALL_ARGS;
    for (let i = 0; i < 12; i++) args[i] = w[at + i] as number;
    if (this.inline) {
      this.inline = false;
      this.engine.takeSmall(this, args);
    }
    return w[this.base + W_CALL_NR] as number;
  }

  get waitsNatively(): boolean {
    return this.words[this.base + W_NATIVE_WAIT] !== 0;
  }

  receive(addr: number, dst: Uint8Array, off: number, len: number): boolean {
    const e = this.engine;
    if (e.smallOwner === this && addr === e.smallAddress && len <= e.smallLength) {
      copyBytes(e.smallIn, 0, dst, off, len);
      return true;
    }
    const at = this.fetched(addr, len);
    if (at < 0) return false;
    copyBytes(this.window, at, dst, off, len);
    return true;
  }

  fetched(addr: number, len: number): number {
    const at = this.ranges === 0 ? -1 : this.fetchedFrom(addr);
    return at >= 0 && len <= this.fetchedLength ? at : -1;
  }

  fetchedFrom(addr: number): number {
    const w = this.words;
    for (let i = 0, r = this.windowBase; i < this.ranges; i++, r += 4) {
      const skip = addr - ((w[r + 1] as number) * TWO32 + ((w[r] as number) >>> 0));
      const length = (w[r + 2] as number) >>> 0;
      if (!(skip >= 0 && skip < length)) continue;
      const at = (w[r + 3] as number) >>> 0;
      if (at + length > WINDOW_SIZE || length > WINDOW_SIZE) return -1;
      this.fetchedLength = length - skip;
      return at + skip;
    }
    return -1;
  }

  forgetFetched(): void {
    this.ranges = 0;
    if (this.engine.smallOwner === this) this.engine.smallOwner = null;
  }

  get delivering(): boolean {
    return this.engine.sender === this;
  }

  send(addr: number, src: Uint8Array, off: number, len: number): boolean {
    const e = this.engine;
    if (len <= OUT_INLINE && this.answering && e.sender === null) {
      copyBytes(src, off, e.smallOut, 0, len);
      e.sender = this;
      e.ranges = 1;
      e.rangeAddress[0] = addr;
      e.rangeLength[0] = len;
      e.rangeAt[0] = IN_SMALL;
      return true;
    }
    const at = this.reserve(len);
    if (at < 0) return false;
    copyBytes(src, off, this.window, at, len);
    this.deliver(addr, at, len);
    return true;
  }

  reserve(len: number): number {
    if (!this.answering) return -1;
    const e = this.engine;
    if (e.sender !== this) {
      if (len > WINDOW_DATA || e.sender !== null) return -1;
      e.room = this.firstRoom();
      e.ranges = 0;
    } else {
      if (e.ranges === OUT_RANGES) return -1;
      if (e.rangeAt[0] === IN_SMALL && !this.spill()) return -1;
    }
    return e.room + len <= (this.ranges === 0 ? WINDOW_DATA : WINDOW_SIZE) ? e.room : -1;
  }

  /** What travelled to the window may still be asked for: the first free byte behind it. */
  private firstRoom(): number {
    const w = this.words;
    let free = 0;
    for (let i = 0, r = this.windowBase; i < this.ranges; i++, r += 4) {
      const end = ((w[r + 3] as number) >>> 0) + ((w[r + 2] as number) >>> 0);
      if (end > free) free = end;
    }
    return (free + 15) & ~15;
  }

  /** The one small piece on its way gets a place in the window, so that others can follow. */
  private spill(): boolean {
    const e = this.engine;
    const at = this.firstRoom();
    const length = e.rangeLength[0] as number;
    if (!(at >= 0 && at + length <= WINDOW_SIZE)) return false;
    copyBytes(e.smallOut, 0, this.window, at, length);
    e.rangeAt[0] = at;
    e.room = (at + length + 15) & ~15;
    return true;
  }

  deliver(addr: number, at: number, len: number): void {
    const e = this.engine;
    e.sender = this;
    const i = e.ranges++;
    e.rangeAddress[i] = addr;
    e.rangeLength[i] = len;
    e.rangeAt[i] = at;
    e.room = (at + len + 15) & ~15;
  }

  flush(): number {
    const e = this.engine;
    if (e.sender !== this) return 0;
    e.sender = null;
    let r = 0;
    for (let i = 0; i < e.ranges; i++) {
      const at = e.rangeAt[i] as number;
      const from = at === IN_SMALL ? e.smallOut : this.window;
      const start = at === IN_SMALL ? 0 : at;
      if (this.addressSpace.write(e.rangeAddress[i] as number, from, start, e.rangeLength[i] as number) < 0) r = -EFAULT;
    }
    return r;
  }

  /** What goes with a result: for one piece, as near to it as it fits. Bits of the command. */
  private putResult(): number {
    const e = this.engine;
    if (e.ranges !== 1) return this.putRanges() << 8;
    const w = this.words;
    const at = this.base + W_CALL_ARGS;
    const address = e.rangeAddress[0] as number;
    const length = e.rangeLength[0] as number;
    const from = e.rangeAt[0] as number;
    e.sender = null;
    w[at + 2] = address | 0;
    w[at + 3] = Math.floor(address / TWO32);
    if (from !== IN_SMALL) {
      w[at + 4] = length;
      w[at + 5] = from;
      return 1 << 8;
    }
    const words = e.smallOutWords;
    for (let i = 0; i < length; i += 4) w[at + 4 + (i >> 2)] = words[i >> 2] as number;
    return COMMAND_INLINE | (length << 24);
  }

  /** Tells the stub what to copy: how many ranges. */
  private putRanges(): number {
    const e = this.engine;
    const w = this.words;
    e.sender = null;
    for (let i = 0, r = this.base + W_OUT; i < e.ranges; i++, r += 4) {
      const address = e.rangeAddress[i] as number;
      w[r] = address | 0;
      w[r + 1] = Math.floor(address / TWO32);
      w[r + 2] = e.rangeLength[i] as number;
      w[r + 3] = e.rangeAt[i] as number;
    }
    return e.ranges;
  }

  waits(): void {
    if (!this.runs) this.words[this.base + W_COMMAND] = COMMAND_SLEEP;
  }

  patch(prot: number): number {
    this.wantsPatch = false;
    const r = this.regs;
    this.setArg(0, (r[2 * REG_RIP + 1] as number) * TWO32 + (r[2 * REG_RIP] as number) - 2);
    this.setArg(1, prot);
    this.setArg(2, this.addressSpace.threads > 1 ? 1 : 0);
    const result = this.transact(COMMAND_PATCH);
    if (result === 0) this.engine.patched++;
    else this.engine.refused++;
    return result;
  }

  unpatch(): void {
    this.transact(COMMAND_UNPATCH);
  }

  /** From now on its stub rings for its next event. */
  chill(): void {
    Atomics.store(this.words, this.base + W_COLD, 1);
    // The stub stores its state before it looks at the word: an event that was under way is seen here.
    if (Atomics.load(this.words, this.base + W_STATE) !== STATE_GUEST) this.looks = 0;
    else this.engine.chill(this);
  }

  private resume(command: number): void {
    if (this.runs || this.regs === NO_REGS) throw new Error('systrap: resume of a context that is not stopped');
    this.event = EVENT_NONE;
    // What travelled with this call says nothing about the next one.
    this.forgetFetched();
    this.answering = false;
    this.runs = true;
    this.looks = 0;
    const atOnce = this.position >= 0;
    if (!atOnce) this.engine.addRunning(this);
    if (this.addressSpace.dead) {
      this.engine.deaths = true; // poll() reports it
      return;
    }
    if (this.armed) {
      this.armed = false;
      return;
    }
    let order = command;
    if (this.mapping) {
      this.mapping = false;
      this.words[this.base + W_CALL_ARGS] = 1;
      order = COMMAND_START;
    }
    this.words[this.base + W_COMMAND] = order;
    if (Atomics.exchange(this.words, this.base + W_STATE, STATE_GUEST) === STATE_SLEEPING) this.engine.wake(this.address, atOnce);
  }

  /** Called by poll() for a state word that is not GUEST: takes the event over. False if nobody is to be told. */
  collect(state: number): boolean {
    const w = this.words;
    const base = this.base;
    this.runs = false;
    this.wantsPatch = false;
    // The answer will be written to this line: a store now fetches it while the handler runs.
    w[base + W_COMMAND] = 0;
    if (this.cold) {
      w[base + W_COLD] = 0;
      this.engine.removeRunning(this);
    }
    this.addressSpace.starting = null;
    const shown =
      this.addressSpace.dead || (state !== STATE_STOPPED && state !== STATE_SLEEPING) ? EVENT_GONE : (w[base + W_EVENT] as number);
    const event = shown & 0xff;
    if (this.interrupting) {
      this.interrupting = false;
      w[base + W_WANT_INTERRUPT] = 0;
    }
    this.answering = this.window !== NO_WINDOW;
    if (event === EVENT_SYSCALL) {
      this.event = event;
      const n = (shown >>> 8) & 0xff;
      this.ranges = n <= IN_RANGES ? n : 0;
      this.inline = (shown & EVENT_INLINE) !== 0;
      this.wantsPatch = (shown & EVENT_SITE) !== 0;
    } else if (event === EVENT_INTERRUPTED || event === EVENT_RESTART) {
      this.event = event;
      this.wantsPatch = (shown & EVENT_SITE) !== 0;
    } else if (event === EVENT_FAULT && this.takeFaultSignal()) {
      this.event = event;
      this.faultCode = w[base + W_FAULT_CODE] as number;
      this.faultAddress = this.unsigned(W_FAULT_ADDRESS);
      this.faultTrap = w[base + W_FAULT_TRAP] as number;
      this.faultError = w[base + W_FAULT_ERROR] as number;
    } else {
      this.event = EVENT_GONE;
      this.addressSpace.kill();
    }
    if (!this.exiting) return true;
    if (this.position >= 0) this.engine.removeRunning(this);
    if (!this.addressSpace.dead) this.endThread();
    this.addressSpace.ended(this.index, true);
    return false;
  }

  private takeFaultSignal(): boolean {
    const signal = this.words[this.base + W_FAULT_SIGNAL] as number;
    this.faultSignal = signal;
    return signal === SIGSEGV || signal === SIGBUS || signal === SIGFPE || signal === SIGILL || signal === SIGTRAP;
  }

  private unsigned(at: number): number {
    const w = this.words;
    return ((w[this.base + at + 1] as number) >>> 0) * TWO32 + ((w[this.base + at] as number) >>> 0);
  }

  interrupt(): void {
    if (!this.runs || this.addressSpace.dead) return;
    this.interrupting = true;
    Atomics.store(this.words, this.base + W_WANT_INTERRUPT, 1);
    const pid = this.addressSpace.pid;
    this.engine.addon.interrupt(pid, this.tid === 0 ? pid : this.tid);
  }

  exit(): void {
    if (this.regs === NO_REGS) return;
    const space = this.addressSpace;
    const runs = this.runs;
    this.regs = NO_REGS;
    this.owner = null;
    this.event = EVENT_GONE;
    // Nothing of it is on its way any more: others may send.
    if (this.delivering) this.engine.sender = null;
    this.forgetFetched();
    if (runs && space.dead) {
      this.runs = false;
      this.engine.removeRunning(this);
    }
    if (runs && !space.dead) {
      this.interrupt();
      this.exiting = true;
    }
    if (space.detach(this.index, this.exiting)) {
      space.kill(); // a thread that still runs is reaped by poll()
    } else if (!runs && !space.dead) {
      this.endThread();
      space.ended(this.index, false);
    }
  }

  /** Lets the stopped thread exit. The process's first thread stays for ever: its pid stands for the process. */
  private endThread(): void {
    if (this.index === this.addressSpace.leader) return;
    this.words[this.base + W_COMMAND] = COMMAND_EXIT;
    if (Atomics.exchange(this.words, this.base + W_STATE, STATE_GUEST) === STATE_SLEEPING) this.engine.addon.wake(this.address);
  }

  /** Hands a command over and waits: its result as a double, -ESRCH when the address space is dead (now). */
  private transact(command: number): number {
    const space = this.addressSpace;
    if (space.dead || this.runs || this.regs === NO_REGS) return -ESRCH;
    if (this.mapping && !this.finishMaps()) return -ESRCH;
    const pidfd = space.pidfd;
    if (space.dead) return -ESRCH;
    const engine = this.engine;
    const w = this.words;
    const at = this.base + W_STATE;
    w[this.base + W_COMMAND] = command;
    if (Atomics.exchange(w, at, STATE_GUEST) === STATE_SLEEPING) engine.addon.wake(this.address);
    // Most commands are done before a call of the addon would have begun.
    let state = STATE_GUEST;
    for (let i = engine.commandSpins; i > 0 && state === STATE_GUEST; i--) state = Atomics.load(w, at);
    if (state === STATE_GUEST) state = engine.addon.settle(this.address, pidfd, 0, COMMAND_LIMIT);
    if (state !== STATE_STOPPED && state !== STATE_SLEEPING) {
      space.kill();
      return -ESRCH;
    }
    return (w[this.base + W_CALL_ARGS + 1] as number) * TWO32 + ((w[this.base + W_CALL_ARGS] as number) >>> 0);
  }

  private setArg(i: number, value: number): void {
    const at = this.base + W_CALL_ARGS + 2 * i;
    this.words[at] = value | 0;
    this.words[at + 1] = Math.floor(value / TWO32);
  }

  fpSaveLater(address: number): number {
    return this.vectorsLater(COMMAND_SAVES, address);
  }

  fpLoadLater(address: number): number {
    return this.vectorsLater(COMMAND_LOADS, address);
  }

  private vectorsLater(command: number, address: number): number {
    if (address !== 0 || command === COMMAND_SAVES) {
      if (!(address >= MIN_ADDRESS) || address + this.fpSize > STUB_BASE) return -EFAULT;
    }
    const r = this.vectorsNow();
    this.vectors = command;
    this.vectorsAt = address;
    return r;
  }

  /** Does what waits for resumeFull. */
  private vectorsNow(): number {
    const command = this.vectors;
    if (command === 0) return 0;
    this.vectors = 0;
    this.setArg(0, this.vectorsAt);
    return errorOnly(this.transact(command === COMMAND_SAVES ? COMMAND_FP_SAVE : COMMAND_FP_LOAD));
  }

  fpSave(address: number): number {
    if (!(address >= MIN_ADDRESS) || address + this.fpSize > STUB_BASE) return -EFAULT;
    const r = this.vectorsNow();
    if (r < 0) return r;
    this.setArg(0, address);
    return errorOnly(this.transact(COMMAND_FP_SAVE));
  }

  fpLoad(address: number): number {
    if (address !== 0 && (!(address >= MIN_ADDRESS) || address + this.fpSize > STUB_BASE)) return -EFAULT;
    const r = this.vectorsNow();
    if (r < 0) return r;
    this.setArg(0, address);
    return errorOnly(this.transact(COMMAND_FP_LOAD));
  }

  usage(process: boolean, out: HostUsage): number {
    if (!(process && this.tookUsageAlong())) {
      this.setArg(0, process ? 1 : 0);
      const r = this.transact(COMMAND_USAGE);
      if (r < 0) return r;
    }
    out.cpuNs = this.unsigned(W_OUT);
    out.userNs = this.unsigned(W_OUT + 2) * 1000;
    out.systemNs = this.unsigned(W_OUT + 4) * 1000;
    out.maxRssKb = this.unsigned(W_OUT + 6);
    out.minorFaults = this.unsigned(W_OUT + 8);
    out.majorFaults = this.unsigned(W_OUT + 10);
    if (!process) this.cpuNs = out.cpuNs;
    return 0;
  }

  /** Did the call that the thread stands in bring the usage of its process along? */
  private tookUsageAlong(): boolean {
    if (this.event !== EVENT_SYSCALL || this.addressSpace.dead || this.regs === NO_REGS) return false;
    const nr = this.regs[2 * REG_RAX] as number;
    if (nr !== SYS_exit_group && nr !== SYS_execve && nr !== SYS_execveat) return false;
    const ready = this.words[this.base + W_USAGE_READY] === 1;
    this.words[this.base + W_USAGE_READY] = 0;
    return ready;
  }

  cpuTimeNs(): number {
    const space = this.addressSpace;
    if (space.dead || this.regs === NO_REGS) return this.cpuNs;
    if (!space.threaded) {
      this.cpuNs = space.cpuTimeNs();
    } else if (!this.runs) {
      this.usage(false, scratch);
    } else {
      // Another process's thread clock cannot be read; an even share, but never less than what was seen.
      this.cpuNs = Math.max(this.cpuNs, space.cpuTimeNs() / Math.max(1, space.threads));
    }
    return this.cpuNs;
  }

  hostcall(nr: number, a0: number, a1: number, a2: number, a3: number, a4: number, a5: number): number {
    const error = admit(nr, a0, a1, a2, a3, a4);
    if (error < 0) return error;
    this.words[this.base + W_CALL_NR] = nr;
    this.setArg(0, a0);
    this.setArg(1, a1);
    this.setArg(2, a2);
    this.setArg(3, a3);
    this.setArg(4, a4);
    this.setArg(5, a5);
    return this.transact(COMMAND_HOSTCALL);
  }

  mmap(addr: number, len: number, prot: number, flags: number, fd: number, offset: number): number {
    if (fd < 0) return errorOnly(this.hostcall(SYS_mmap, addr, len, prot, flags | MAP_FIXED | MAP_ANONYMOUS, -1, 0));
    const error = admit(SYS_mmap, addr, len, prot, flags | MAP_FIXED, fd);
    if (error < 0) return error;
    if (this.addressSpace.dead) return -ESRCH;
    this.setArg(0, addr);
    this.setArg(1, len);
    this.setArg(2, prot);
    this.setArg(3, flags | MAP_FIXED);
    this.setArg(5, offset);
    const sent = this.engine.addon.send(this.addressSpace.socket, MESSAGE_MAP, fd, -1);
    if (sent < 0) return this.lost(sent);
    return errorOnly(this.transact(COMMAND_MMAP_FD));
  }

  mapAll(batch: MapBatch): number {
    const steps = batch.steps;
    for (let i = 0; i < steps.length; i++) {
      const s = steps[i] as MapStep;
      if (!inside(s.address, s.length) || (s.fd === MAP_ZERO && s.length > PAGE)) return -EINVAL;
    }
    const space = this.addressSpace;
    const m = this.engine.mapMessage;
    for (let done = 0; ; ) {
      if (space.dead) return -ESRCH;
      done += m.fill(steps, done, MAP_FIXED, MAP_ANONYMOUS);
      const whole = done === steps.length && m.addData(batch);
      const sent = this.engine.addon.sendMaps(space.socket, m.bytes, m.length, m.fds, m.count);
      if (sent < 0) return this.lost(sent);
      if (whole) break;
      const r = errorOnly(this.transact(COMMAND_MAPS));
      if (r < 0) return r;
      if (done === steps.length) return batch.data === null ? 0 : space.write(batch.dataAddress, batch.data, 0, batch.data.length);
    }
    this.mapping = true;
    space.starting = this;
    return 0;
  }

  /** Sees to it that what mapAll() promised is done. False when the address space is dead (now). */
  finishMaps(): boolean {
    const space = this.addressSpace;
    space.starting = null;
    if (this.mapping) {
      this.mapping = false;
      if (this.transact(COMMAND_MAPS) === 0) return true;
      space.kill();
      return false;
    }
    // It was resumed: the stub clears this word in between.
    const w = this.words;
    const at = this.base + W_CALL_ARGS;
    const { addon, commandSpins } = this.engine;
    for (let i = 0; i < commandSpins; i++) if (Atomics.load(w, at) === 0) return true;
    for (let ms = 0; ms < COMMAND_LIMIT; ms++) {
      if (Atomics.load(w, at) === 0) return true;
      if (addon.waitReady(space.pidfd, 1) !== 0) break;
    }
    space.kill();
    return false;
  }

  /** The socket does not work: a guest meddled with it, or its process is gone. */
  private lost(error: number): number {
    this.addressSpace.kill();
    return error === -EAGAIN ? -EIO : error;
  }

  /** Makes the block at word `to` of `words` that of a thread with this one's registers: stopped, or with `start` told to go on. */
  private copyBlock(words: Int32Array, to: number, start: ThreadStart | undefined): void {
    words.fill(0, to, to + W_REGS);
    words.set(this.words.subarray(this.base + W_REGS, this.base + W_REGS + REG_COUNT * 2), to + W_REGS);
    words[to + W_NATIVE] = this.addressSpace.native;
    if (start === undefined) {
      Atomics.store(words, to + W_STATE, STATE_STOPPED);
      return;
    }
    setWords(words, to + W_REGS + 2 * REG_RAX, 0);
    if (start.stack !== 0) setWords(words, to + W_REGS + 2 * REG_RSP, start.stack);
    if (start.tls >= 0) setWords(words, to + W_REGS + 2 * REG_FS_BASE, start.tls);
    setWords(words, to + W_CALL_ARGS, start.tidAddress);
    setWords(words, to + W_CALL_ARGS + 2, start.tid);
    words[to + W_COMMAND] = COMMAND_RESUME_FULL;
    Atomics.store(words, to + W_STATE, STATE_GUEST);
  }

  cloneThread(start?: ThreadStart): Context | null {
    const space = this.addressSpace;
    if (space.dead) return null;
    const index = space.allocate();
    if (index < 0) return null;
    this.copyBlock(space.slot.words, space.base(index), start);
    this.setArg(0, index);
    const tid = this.transact(COMMAND_CLONE);
    if (space.dead) return null;
    if (tid < 0) {
      space.giveBack(index);
      return null;
    }
    if (!(tid > 0 && tid <= TID_MAX)) {
      space.kill();
      return null;
    }
    const c = new SystrapContext(space, index, tid);
    c.event = EVENT_SYSCALL;
    c.armed = start !== undefined;
    return c;
  }

  fork(start?: ThreadStart): Context | number {
    const space = this.addressSpace;
    if (space.dead) return -ESRCH;
    const birth = this.engine.nursery.region();
    if (typeof birth === 'number') return birth;
    this.copyBlock(birth.words, birth.base(this.index), start);
    let r = birth.sendTo(space.socket, MESSAGE_FORK);
    if (r < 0) {
      birth.abandon();
      return this.lost(r);
    }
    this.setArg(0, space.threaded ? 1 : 0);
    r = this.transact(COMMAND_FORK);
    if (!(r > 0)) {
      birth.abandon();
      return r < 0 ? r : -EIO;
    }
    const child = birth.space(this.index);
    child.native = space.native;
    if (start === undefined) this.engine.meetAll();
    if (child.dead) return -EAGAIN; // what fork(2) says when there is no room for a process
    const c = new SystrapContext(child, this.index, 0);
    c.event = this.event;
    c.armed = start !== undefined;
    return c;
  }
}

/** A fresh address space from a pristine stub, with its one stopped thread. Negative: -errno. */
export function newSpace(engine: Engine, nursery: Nursery): SystrapContext | number {
  let birth = nursery.copy();
  if (typeof birth === 'number') return birth;
  let space = birth.space(0);
  engine.meetAll();
  if (space.dead) {
    // One that was in waiting may have been killed meanwhile (the host was out of memory).
    birth = nursery.copy();
    if (typeof birth === 'number') return birth;
    space = birth.space(0);
    engine.meetAll();
    if (space.dead) return -EAGAIN;
  }
  const slot = space.slot;
  const state = engine.addon.settle(slot.address, space.pidfd, engine.commandSpins, COMMAND_LIMIT);
  const c = new SystrapContext(space, 0, 0);
  if (state !== STATE_STOPPED && state !== STATE_SLEEPING) {
    c.exit();
    return -EAGAIN;
  }
  if (engine.fpSize === 0) engine.fpSize = ((slot.words[c.base + W_FP_SIZE] as number) + 63) & ~63;
  c.event = EVENT_SYSCALL;
  c.regs.fill(0);
  return c;
}

/** A double as two words. */
function setWords(words: Int32Array, at: number, value: number): void {
  words[at] = value | 0;
  words[at + 1] = Math.floor(value / TWO32);
}

function errorOnly(result: number): number {
  return result >= 0 ? 0 : result;
}

/** Which host calls a stub may be told to make, and with which addresses: the guest's own. 0 or -errno. */
function admit(nr: number, a0: number, a1: number, a2: number, a3: number, a4: number): number {
  switch (nr) {
    case SYS_mmap:
      if ((a3 & MAP_FIXED) === 0) return -EINVAL;
      break;
    case SYS_mremap:
      if ((a3 & 1) !== 0 && (a3 & MREMAP_FIXED) === 0) return -EINVAL;
      if ((a3 & MREMAP_FIXED) !== 0 && !inside(a4, a2)) return -ENOMEM;
      break;
    case SYS_mincore:
      if (!inside(a2, Math.ceil(a1 / 4096))) return -EFAULT;
      break;
    case SYS_munmap:
      return inside(a0, a1) ? 0 : -EINVAL;
    case SYS_mprotect:
    case SYS_madvise:
    case SYS_msync:
      break;
    case SYS_membarrier:
      return 0;
    case SYS_arch_prctl:
      return a0 === ARCH_SET_GS || a0 === ARCH_SET_FS ? 0 : -EINVAL;
    default:
      return -ENOSYS;
  }
  return inside(a0, a1) ? 0 : -ENOMEM;
}

function inside(addr: number, len: number): boolean {
  return addr >= MIN_ADDRESS && len >= 0 && addr + len <= STUB_BASE;
}
