// One host process that holds a guest's memory.
import { EFAULT } from '../../abi/errno.ts';
import type { AddressSpace, Context } from '../platform.ts';
import { EVENT_GONE } from '../platform.ts';
import type { Slot } from './arena.ts';
import type { Engine, Runner } from './engine.ts';
import { BLOCK_SIZE, CONTEXTS, MIN_ADDRESS, STUB_BASE, STUB_END, VDSO_BASE, W_NATIVE, W_TID } from './layout.ts';

/** An address space as a host process. */
export class HostSpace implements AddressSpace {
  dead = false;
  /** NATIVE_*: what its threads may do on their own. */
  native: number;
  /** True once there was a thread beside the first. */
  threaded = false;
  readonly id: number;
  readonly socket: number;
  readonly slot: Slot;
  /** Index of the context whose thread is the process's first one: it must not end before the others. */
  readonly leader: number;
  readonly engine: Engine;
  /** By index; null: free, or ending (see `ending`). */
  private readonly contexts: (Context | null)[] = [];
  /** Indices whose host threads were told to exit. */
  private readonly ending: number[] = [];
  /** Its one thread has mappings to make before it runs guest code: memory must not be looked at before. */
  starting: { finishMaps(): boolean } | null = null;
  /** 0 and -1 until its process has been met. */
  private hostPid = 0;
  private hostPidfd = -1;
  private live = 0;
  /** Contexts that still use the region: running ones that were told to exit. */
  private lingering = 0;
  private released = false;
  /** Its process is stopped for good and need not be killed at once. */
  private doomed = false;

  constructor(engine: Engine, slot: Slot, socket: number, leader: number) {
    this.engine = engine;
    this.slot = slot;
    this.socket = socket;
    this.leader = leader;
    this.id = engine.nextId();
    this.native = engine.native;
    for (let i = 0; i < leader; i++) {
      this.contexts.push(null);
      this.ending.push(i);
    }
    engine.spaces.set(this.id, this);
    engine.expect(this);
  }

  /**
   * Takes the hello of its process, and waits for it if need be: from then on the kernel has vouched for the pid, and a death is noticed.
   * Dead when none comes. Called by Engine.meetAll() alone.
   */
  meet(): void {
    if (this.dead || this.hostPid !== 0) return;
    const engine = this.engine;
    const pid = engine.receiveHello(this.socket);
    const pidfd = pid < 0 ? pid : engine.addon.pidfdOpen(pid);
    if (pidfd < 0) {
      this.die();
      return;
    }
    this.hostPid = pid;
    this.hostPidfd = pidfd;
    engine.pids.set(pid, this);
    engine.addon.epollAdd(engine.epoll, pidfd, this.id);
  }

  /** The host's pid of its process; 0 if that could not be met. */
  get pid(): number {
    this.engine.meetAll();
    return this.hostPid;
  }

  /** -1 if its process could not be met, or is gone. */
  get pidfd(): number {
    this.engine.meetAll();
    return this.hostPidfd;
  }

  /** The first word of a block in slot.words. */
  base(index: number): number {
    return (this.slot.offset + index * BLOCK_SIZE) / 4;
  }

  /** A free context index, or -1. An index is free again when the kernel has cleared the tid word of the thread that had it. */
  allocate(): number {
    this.threaded = true;
    for (let i = 0; i < this.ending.length; i++) {
      const index = this.ending[i] as number;
      if (Atomics.load(this.slot.words, this.base(index) + W_TID) !== 0) continue;
      this.ending[i] = this.ending[this.ending.length - 1] as number;
      this.ending.pop();
      return index;
    }
    if (this.contexts.length < CONTEXTS) {
      this.contexts.push(null);
      return this.contexts.length - 1;
    }
    return -1;
  }

  /** Undoes allocate() of an index that no thread uses. */
  giveBack(index: number): void {
    this.ending.push(index);
  }

  attach(index: number, c: Context): void {
    this.contexts[index] = c;
    this.live++;
  }

  /** The context is not used any more. `lingers`: its thread still runs and will be told to exit. The answer: was it the last? */
  detach(index: number, lingers: boolean): boolean {
    this.contexts[index] = null;
    this.live--;
    if (lingers) this.lingering++;
    if (this.dead) this.release();
    return this.live === 0;
  }

  /** The thread of a detached context was told to exit, or died with its process. */
  ended(index: number, lingered: boolean): void {
    if (lingered) this.lingering--;
    if (this.dead) {
      this.release();
    } else if (index !== this.leader) {
      this.ending.push(index);
    }
  }

  read(addr: number, buf: Uint8Array, off: number, len: number): number {
    if (len === 0) return 0;
    return this.readUpTo(addr, buf, off, len) === len ? 0 : -EFAULT;
  }

  write(addr: number, buf: Uint8Array, off: number, len: number): number {
    if (len === 0) return 0;
    if (this.starting !== null) this.starting.finishMaps();
    if (this.dead || !(addr >= MIN_ADDRESS) || addr + len > STUB_BASE) return -EFAULT;
    return this.engine.kind.write(this.engine, this.pid, addr, buf, off, len) === len ? 0 : -EFAULT;
  }

  readUpTo(addr: number, buf: Uint8Array, off: number, len: number): number {
    // Beside the guest's own part, the vDSO may be read: debuggers do.
    const end = addr >= VDSO_BASE ? STUB_END : STUB_BASE;
    if (this.starting !== null) this.starting.finishMaps();
    if (this.dead || !(addr >= MIN_ADDRESS) || addr >= end) return 0;
    const n = this.engine.kind.read(this.engine, this.pid, addr, buf, off, addr + len > end ? end - addr : len);
    return n < 0 ? 0 : n;
  }

  cpuTimeNs(): number {
    return this.dead ? -1 : this.engine.addon.cpuTime(this.pid);
  }

  /** Threads that are not told to exit. */
  get threads(): number {
    return this.live;
  }

  setNative(calls: number): void {
    const taken = this.native & ~calls;
    if (taken === 0) return;
    this.native &= calls;
    for (let i = 0; i < this.contexts.length; i++) {
      const c = this.contexts[i];
      if (c === null || c === undefined) continue;
      this.slot.words[this.base(i) + W_NATIVE] = this.native;
      c.interrupt();
    }
  }

  kill(): void {
    this.engine.meetAll();
    if (this.dead) return;
    if (this.runs()) this.engine.addon.pidfdKill(this.pidfd);
    else this.doomed = true;
    this.die();
  }

  /** Does any of its threads run guest code? */
  private runs(): boolean {
    if (this.lingering > 0) return true;
    for (const c of this.contexts) if (c !== null && (c as Context & Runner).runs) return true;
    return false;
  }

  /** The process is gone, or as good as: forgets it. The region stays until the last context is detached. */
  die(): void {
    if (this.dead) return;
    this.dead = true;
    const engine = this.engine;
    engine.spaces.delete(this.id);
    if (this.hostPid !== 0) {
      if (engine.pids.get(this.hostPid) === this) engine.pids.delete(this.hostPid);
      if (this.doomed) engine.doom(this.hostPidfd);
      else engine.addon.close(this.hostPidfd);
      this.hostPidfd = -1;
    }
    engine.addon.close(this.socket);
    engine.deaths = true;
    engine.dead.push(this);
    for (const c of this.waiting()) c.event = EVENT_GONE;
    this.release();
  }

  waiting(): Context[] {
    return this.contexts.filter((c): c is Context & Runner => c !== null && !(c as Context & Runner).runs);
  }

  private release(): void {
    if (this.live > 0 || this.lingering > 0 || this.released) return;
    this.released = true;
    this.engine.arena.release(this.slot);
  }
}
