// What the address spaces and contexts of one sandbox share: the addon, the control page, the list of running contexts, the doorbell.
import { EAGAIN, EIO } from '../../abi/errno.ts';
import type { Context } from '../platform.ts';
import type { PlatformAddon } from './addon.ts';
import { Arena, makeControl } from './arena.ts';
import type { EngineKind } from './kind.ts';
import { CONTROL_ASLEEP, CONTROL_PATCH, CONTROL_SHORT_SPIN, CONTROL_SPIN, IN_INLINE, MESSAGE_HELLO, OUT_INLINE } from './layout.ts';
import { MapMessage } from './maps.ts';
import { type HostOrigin, Nursery } from './nursery.ts';

/** Milliseconds that a stub may take for one command before its address space is killed. */
export const COMMAND_LIMIT = 10_000;
/** How often the Sentry looks for the end of a command before it sleeps. */
const COMMAND_SPINS = 1000;
/** Looks at a running context without an event after which its stub has to ring for the next one (about a millisecond). */
const COLD_AFTER = 20_000;
/** After so many traps a call site is rewritten: it costs about as much as this many traps. */
const PATCH_AFTER = 3;
/** Bytes on their way to guest memory at a time. */
const RANGES = 8;

/** So many sleeping stubs between two looks are no accident. */
const TOGETHER = 16;
/** Looks between two moves to another processor. */
const LEAST_PATIENCE = 32;
const MOST_PATIENCE = 4096;
/** How many processes may wait for their end. */
const MOST_DOOMED = 8;
/** How many processes may be left unmet. */
const MOST_EXPECTED = 16;

/** What a sandbox does with processors that nobody needs: how long each side looks for the other before it sleeps. */
export interface CpuMode {
  /** Looks of a stub for its answer; about 20 to 50 ns each. 0: it sleeps at once. */
  stubSpins: number;
  /** The same while no processor is free, but the Sentry is awake: most calls take less time than to sleep and be woken. */
  shortSpins: number;
  /** The Sentry's search for work, ns. */
  sentryNs: number;
  /** The same while no processor is free. */
  shortNs: number;
}

export const CPU_MODES: Readonly<Record<string, CpuMode>> = {
  latency: { stubSpins: 20_000, shortSpins: 400, sentryNs: 1_000_000, shortNs: 10_000 },
  balanced: { stubSpins: 2000, shortSpins: 100, sentryNs: 100_000, shortNs: 3000 },
  density: { stubSpins: 0, shortSpins: 0, sentryNs: 0, shortNs: 0 },
};

/** A context as the lists of running ones see it. */
export interface Runner {
  /** Index in Engine.running or Engine.cold; -1: in neither. */
  position: number;
  /** It was resumed and its next event was not seen yet. */
  readonly runs: boolean;
  /** It is in Engine.cold: its stub rings the doorbell. */
  cold: boolean;
  /** Looks at it since it was resumed. */
  looks: number;
  /** The stub waits for something that is not the Sentry's. */
  readonly waitsNatively: boolean;
}

/** An address space as the watch for dead processes sees it. */
export interface Mortal {
  readonly id: number;
  /** Learns its pid. */
  meet(): void;
  kill(): void;
  /** The process is known to be gone. */
  die(): void;
  /** Contexts that are not running and not detached. */
  waiting(): Context[];
}

/** State shared by everything of one platform. */
export class Engine {
  readonly kind: EngineKind;
  readonly addon: PlatformAddon;
  readonly arena: Arena;
  readonly stubFd: number;
  /** Polls readable when the doorbell rang or a guest process died. */
  readonly epoll: number;
  readonly doorbell: number;
  readonly control: Int32Array;
  /** Address of the control page in the Sentry. */
  readonly controlAddress: number;
  readonly controlFd: number;
  /** Contexts that run and called lately; each look for events goes through all of them. */
  readonly running: Runner[] = [];
  /** Contexts that run and did not call for long. */
  readonly cold: Runner[] = [];
  /** Call sites rewritten, and refused. */
  patched = 0;
  refused = 0;
  readonly mode: CpuMode;
  /** NATIVE_* of a new address space. */
  readonly native: number;
  /** The context whose bytes are on their way (Context.deliver), and the bytes: all are sent before another context is looked at. */
  sender: unknown = null;
  ranges = 0;
  readonly rangeAddress = new Float64Array(RANGES);
  readonly rangeLength = new Int32Array(RANGES);
  readonly rangeAt = new Int32Array(RANGES);
  /** A single small piece does not stand in the window but here: it goes with the result. */
  readonly smallOut: Uint8Array = new Uint8Array(OUT_INLINE);
  readonly smallOutWords: Int32Array = new Int32Array(this.smallOut.buffer);
  /** What a short write brought among its arguments, and whose it is. */
  readonly smallIn: Uint8Array = new Uint8Array(IN_INLINE);
  private readonly smallInWords = new Uint32Array(this.smallIn.buffer);
  smallOwner: unknown = null;
  smallAddress = 0;
  smallLength = 0;
  /** First free byte of the sender's window. */
  room = 0;
  readonly spaces = new Map<number, Mortal>();
  /** By the host's pid: those whose process has been met. */
  readonly pids = new Map<number, Mortal>();
  /** Those whose process has not. */
  private readonly expected: Mortal[] = [];
  /** A stub was woken that may wait for the Sentry's own processor. */
  woke = false;
  /** Calls answered at once whose stub slept already, since the last look at them. */
  private slept = 0;
  /** Looks to let pass before the next move, and how many that was the last time. */
  private patience = 0;
  private lastPatience = LEAST_PATIENCE;
  /** Address spaces in waiting. */
  readonly nursery: Nursery;
  /** Pristine stubs beside the first. */
  readonly origins: Set<HostOrigin> = new Set();
  readonly mapMessage = new MapMessage();
  /** Some address space died whose contexts poll() has not reported yet. */
  deaths = false;
  /** Address spaces that died: their contexts that wait for the Sentry are to be reported by poll(). */
  readonly dead: Mortal[] = [];
  /** Bytes of vector state in a signal frame; learnt from the first address space before any guest code ran in it. */
  fpSize = 0;
  /** pidfds of processes that are to be killed: all their threads are stopped, so that it can wait until guests that run have been served. */
  private readonly doomed: number[] = [];
  private readonly cpus: number;
  private spinning = -1;
  private lastId = 0;
  private readonly hello = new Uint32Array(2);
  private readonly helloBytes = new Uint8Array(this.hello.buffer);
  private readonly ready = new Int32Array(64);

  constructor(kind: EngineKind, addon: PlatformAddon, stubFd: number, cpus: number, mode: CpuMode, patch: boolean, native: number) {
    this.kind = kind;
    this.addon = addon;
    this.mode = mode;
    this.native = native & kind.native;
    this.stubFd = stubFd;
    this.nursery = new Nursery(this, stubFd);
    this.cpus = cpus;
    this.arena = new Arena(addon);
    this.epoll = checked(addon.epollCreate());
    this.doorbell = checked(addon.eventfd());
    checked(addon.epollAdd(this.epoll, this.doorbell, 0));
    const control = makeControl(addon);
    if (typeof control === 'number') throw new Error(`${kind.name}: control page: error ${control}`);
    this.control = control.words;
    this.controlAddress = control.address;
    this.controlFd = control.fd;
    this.control[CONTROL_SHORT_SPIN] = cpus > 1 ? mode.shortSpins : 0;
    this.control[CONTROL_PATCH] = patch && kind.patches ? PATCH_AFTER : 0;
    this.adapt();
  }

  /** Guest threads that may be using a processor now. */
  private get busy(): number {
    let n = this.running.length;
    for (let i = 0; i < this.cold.length && n < this.cpus; i++) if (!this.cold[i]!.waitsNatively) n++;
    return n;
  }

  /** True while guests run that called lately: a search for their next events may pay. */
  get spinAdvised(): boolean {
    return this.running.length > 0 && this.mode.sentryNs > 0 && this.cpus > 1;
  }

  /** How long the search may last. */
  get spinNs(): number {
    return this.busy < this.cpus ? this.mode.sentryNs : this.mode.shortNs;
  }

  /** How long the Sentry may spin for the end of a command now. */
  get commandSpins(): number {
    return this.cpus > 1 && this.running.length < this.cpus ? COMMAND_SPINS : 0;
  }

  /** Stubs spin only while a processor is free. */
  private adapt(): void {
    const spins = this.running.length < this.cpus && (this.cold.length === 0 || this.busy < this.cpus) ? this.mode.stubSpins : 0;
    if (spins === this.spinning) return;
    this.spinning = spins;
    Atomics.store(this.control, CONTROL_SPIN, spins);
  }

  /** A stub slept before the answer came. `atOnce`: to a call that did not block. */
  wake(block: number, atOnce: boolean): void {
    this.kind.wake(this, block);
    this.woke = true;
    if (atOnce) this.slept++;
  }

  /**
   * To be called once in a while. Stubs that sleep before an answer that comes at once share this processor: whoever looks for the other
   * keeps it from running, for as long as the host's scheduler leaves both where they are. Then the Sentry moves, and if that does not
   * help, because other processors are busy too, not again for a while.
   */
  settle(): void {
    const together = this.slept > TOGETHER;
    this.slept = 0;
    if (this.patience > 0) {
      this.patience--;
      return;
    }
    if (!together) {
      this.lastPatience = LEAST_PATIENCE;
      return;
    }
    if (!this.spinAdvised || this.busy >= this.cpus) return;
    this.addon.moveAway();
    this.patience = this.lastPatience;
    this.lastPatience = Math.min(2 * this.lastPatience, MOST_PATIENCE);
  }

  /** Keeps what stands in the last three arguments of a short write(2). */
  takeSmall(owner: unknown, args: Uint32Array): void {
    for (let i = 0; i < IN_INLINE / 4; i++) this.smallInWords[i] = args[6 + i] as number;
    const length = args[4] as number;
    this.smallOwner = owner;
    this.smallAddress = (args[3] as number) * 4294967296 + (args[2] as number);
    this.smallLength = length <= IN_INLINE ? length : 0;
  }

  setAsleep(asleep: boolean): void {
    Atomics.store(this.control, CONTROL_ASLEEP, asleep ? 1 : 0);
  }

  addRunning(c: Runner): void {
    c.cold = false;
    c.position = this.running.length;
    this.running.push(c);
    this.adapt();
  }

  removeRunning(c: Runner): void {
    this.take(c.cold ? this.cold : this.running, c);
    c.position = -1;
    this.adapt();
  }

  /** A look at a running context found nothing: true when it should become cold. */
  lookedAt(c: Runner): boolean {
    return ++c.looks > COLD_AFTER;
  }

  /** Moves a running context to the cold ones. */
  chill(c: Runner): void {
    this.take(this.running, c);
    c.cold = true;
    c.position = this.cold.length;
    this.cold.push(c);
    this.adapt();
  }

  private take(list: Runner[], c: Runner): void {
    const last = list.pop() as Runner;
    if (last === c) return;
    list[c.position] = last;
    last.position = c.position;
  }

  /** Kills the process behind `pidfd`, which is closed then, before the Sentry next sleeps. */
  doom(pidfd: number): void {
    this.doomed.push(pidfd);
    if (this.doomed.length >= MOST_DOOMED) this.killDoomed();
  }

  killDoomed(): void {
    for (let pidfd = this.doomed.pop(); pidfd !== undefined; pidfd = this.doomed.pop()) {
      this.addon.pidfdKill(pidfd);
      this.addon.close(pidfd);
    }
  }

  /** An identity for a new address space; never 0. */
  nextId(): number {
    this.lastId = this.lastId >= 0x7fffffff ? 1 : this.lastId + 1;
    return this.lastId;
  }

  /** Waits for the hello of a new process on `socket`: its pid, vouched for by the kernel, or -errno. */
  receiveHello(socket: number): number {
    const pid = this.addon.receive(socket, COMMAND_LIMIT, this.helloBytes);
    if (pid < 0) return pid === -EAGAIN ? -EIO : pid;
    if (pid === 0 || this.hello[0] !== MESSAGE_HELLO) return -EIO;
    // A pid that comes again: the process that had it is gone.
    this.pids.get(pid)?.die();
    return pid;
  }

  /** A new address space will be met when the pid of any is next needed, or before the Sentry sleeps. */
  expect(space: Mortal): void {
    this.expected.push(space);
    if (this.expected.length > MOST_EXPECTED) this.meetAll();
  }

  /**
   * Meets all that were not met yet, in the order of their birth. Done before any pid is used: a process that died unnoticed may have left
   * its pid to one of them, and only the hello of that one tells.
   */
  meetAll(): void {
    if (this.expected.length === 0) return;
    for (const space of this.expected) space.meet();
    this.expected.length = 0;
  }

  /** Looks for processes that died, and resets the doorbell. */
  drain(): void {
    this.meetAll();
    const n = this.addon.epollDrain(this.epoll, this.doorbell, this.ready);
    for (let i = 0; i < n; i++) this.spaces.get(this.ready[i] as number)?.die();
  }

  /** Makes at most one address space that is missing in waiting; true if there was any. */
  refill(): boolean {
    if (this.nursery.refill()) return true;
    for (const o of this.origins) if (o.nursery.refill()) return true;
    return false;
  }
}

function checked(result: number): number {
  if (result < 0) throw new Error(`no room for an engine: error ${result}`);
  return result;
}
