// One guest thread: how it goes on, what it shows when it stops, how it ends, and how threads and processes come of it.
import { EAGAIN, EIO, ESRCH } from '../../abi/errno.ts';
import { SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP } from '../../abi/signal.ts';
import type { Context, ThreadStart } from '../platform.ts';
import { EVENT_GONE, EVENT_NONE, EVENT_RESTART, EVENT_SYSCALL, REG_COUNT, REG_FS_BASE, REG_RAX, REG_RSP } from '../platform.ts';
import { NO_REGS, setWords, TWO32 } from './block.ts';
import { Commander } from './commands.ts';
import type { Engine, Runner } from './engine.ts';
import { COMMAND_LIMIT } from './engine.ts';
import {
  COMMAND_CLONE,
  COMMAND_EXIT,
  COMMAND_FORK,
  COMMAND_RESUME,
  COMMAND_RESUME_FULL,
  COMMAND_SLEEP,
  COMMAND_START,
  EVENT_FAULT,
  EVENT_INLINE,
  EVENT_INTERRUPTED,
  EVENT_SITE,
  IN_RANGES,
  MESSAGE_FORK,
  STATE_GUEST,
  STATE_SLEEPING,
  STATE_STOPPED,
  W_CALL_ARGS,
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
  W_REGS,
  W_STATE,
  W_WANT_INTERRUPT,
} from './layout.ts';
import type { Nursery } from './nursery.ts';
import type { HostSpace } from './space.ts';
import { IN_SMALL, NO_WINDOW } from './traffic.ts';

const TWO31 = 2147483648;
const TID_MAX = 4194304;

/** A guest thread of an engine whose address spaces are host processes. */
export class HostContext extends Commander implements Context, Runner {
  owner: unknown = null;
  faultSignal = 0;
  faultCode = 0;
  faultAddress = 0;
  faultTrap = 0;
  faultError = 0;
  /** Index in Engine.running or Engine.cold; -1: in neither. While its event is handled it stays there: most are resumed at once. */
  position = -1;
  cold = false;
  looks = 0;
  /** Its native half was told to go on before it existed: see ThreadStart. */
  armed = false;
  /** exit() was called while it ran. */
  exiting = false;
  /** 0: its process's first thread. */
  private readonly tid: number;
  private interrupting = false;

  constructor(space: HostSpace, index: number, tid: number) {
    super(space, index);
    this.tid = tid;
    this.words[this.base + W_NATIVE] = space.native;
    space.attach(index, this);
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

  get waitsNatively(): boolean {
    return this.words[this.base + W_NATIVE_WAIT] !== 0;
  }

  waits(): void {
    if (!this.runs) this.words[this.base + W_COMMAND] = COMMAND_SLEEP;
  }

  /** From now on its stub rings for its next event. */
  chill(): void {
    Atomics.store(this.words, this.base + W_COLD, 1);
    // The stub stores its state before it looks at the word: an event that was under way is seen here.
    if (Atomics.load(this.words, this.base + W_STATE) !== STATE_GUEST) this.looks = 0;
    else this.engine.chill(this);
  }

  private resume(command: number): void {
    if (this.runs || this.regs === NO_REGS) throw new Error('resume of a context that is not stopped');
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
      this.faultAddress = (w[base + W_FAULT_ADDRESS + 1] as number) * TWO32 + ((w[base + W_FAULT_ADDRESS] as number) >>> 0);
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

  interrupt(): void {
    if (!this.runs || this.addressSpace.dead) return;
    this.interrupting = true;
    Atomics.store(this.words, this.base + W_WANT_INTERRUPT, 1);
    const pid = this.addressSpace.pid;
    this.engine.kind.interrupt(this.engine, pid, this.tid === 0 ? pid : this.tid, this.address);
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
    if (Atomics.exchange(this.words, this.base + W_STATE, STATE_GUEST) === STATE_SLEEPING) this.engine.kind.wake(this.engine, this.address);
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
    const c = new HostContext(space, index, tid);
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
    const c = new HostContext(child, this.index, 0);
    c.event = this.event;
    c.armed = start !== undefined;
    return c;
  }
}

/** A fresh address space from a pristine stub, with its one stopped thread. Negative: -errno. */
export function newSpace(engine: Engine, nursery: Nursery): HostContext | number {
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
  const c = new HostContext(space, 0, 0);
  if (state !== STATE_STOPPED && state !== STATE_SLEEPING) {
    c.exit();
    return -EAGAIN;
  }
  if (engine.fpSize === 0) engine.fpSize = ((slot.words[c.base + W_FP_SIZE] as number) + 63) & ~63;
  c.event = EVENT_SYSCALL;
  c.regs.fill(0);
  return c;
}
