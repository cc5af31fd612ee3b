// The Platform of every engine whose address spaces are host processes. See native/include/context.h for how the Sentry and the native half talk.
import { type Context, EVENT_GONE, NATIVE_FUTEX, NATIVE_MADVISE, type Origin, type Platform } from '../platform.ts';
import type { PlatformAddon } from './addon.ts';
import type { HostContext } from './context.ts';
import { newSpace } from './context.ts';
import { CPU_MODES, type CpuMode, Engine, type Runner } from './engine.ts';
import type { EngineKind } from './kind.ts';
import { MESSAGE_INFO, MESSAGE_INIT, MESSAGE_REFUSED, MIN_ADDRESS, STATE_GUEST, STUB_BASE } from './layout.ts';
import { HostOrigin } from './nursery.ts';

/** How many calls of poll() may pass between two looks for dead processes and at cold contexts while the Sentry does not sleep. */
const POLLS_PER_DRAIN = 128;
const INFO_BYTES = 32;
const INFO_LIMIT = 10_000; // milliseconds

export interface HostOptions {
  addon: PlatformAddon;
  /** SOCK_SEQPACKET socket to the pristine stub. */
  stubFd: number;
  /** Processors that the sandbox may keep busy; by default those of this process's affinity. 1: nothing ever spins. */
  cpus?: number;
  /** By default `balanced`. */
  mode?: CpuMode;
  /** Call sites are rewritten (default), or every call traps. */
  patch?: boolean;
  /** NATIVE_*: calls that guest threads may carry out on their own; by default all. */
  native?: number;
}

/** The constructor throws when the native half does not answer. */
export class HostPlatform implements Platform {
  readonly name: string;
  readonly minAddress = MIN_ADDRESS;
  readonly maxAddress = STUB_BASE;
  readonly vdsoAddress: number;
  readonly vdsoSize: number;
  /** First of the data pages that stand before the vDSO and end where it begins. On hosts that seal the vDSO this and the vDSO may lie
   * below maxAddress: then guests must be kept off [vdsoDataAddress, vdsoAddress + vdsoSize). */
  readonly vdsoDataAddress: number;
  readonly doorbell: number;
  stopped: (c: Context) => void = () => {};
  private readonly engine: Engine;
  private drainDue = false;
  private polls = 0;

  constructor(kind: EngineKind, options: HostOptions) {
    this.name = kind.name;
    const { addon, stubFd } = options;
    const engine = new Engine(
      kind,
      addon,
      stubFd,
      options.cpus ?? addon.cpus(),
      options.mode ?? (CPU_MODES['balanced'] as CpuMode),
      options.patch ?? true,
      options.native ?? NATIVE_FUTEX | NATIVE_MADVISE,
    );
    this.engine = engine;
    this.doorbell = engine.epoll;
    const info = new Uint32Array(INFO_BYTES / 4);
    let r = addon.send(stubFd, MESSAGE_INIT, engine.controlFd, engine.doorbell);
    if (r >= 0) r = addon.receive(stubFd, INFO_LIMIT, new Uint8Array(info.buffer));
    addon.close(engine.controlFd);
    if (r >= 0 && info[0] === MESSAGE_REFUSED) throw new Error(kind.refused(info[1] as number));
    if (r < 0 || info[0] !== MESSAGE_INFO) throw new Error(`${kind.name}: its program does not answer: error ${r}`);
    this.vdsoAddress = (info[3] as number) * 4294967296 + (info[2] as number);
    this.vdsoSize = info[4] as number;
    this.vdsoDataAddress = (info[7] as number) * 4294967296 + (info[6] as number);
    engine.nursery.prepareStart();
  }

  /** Whether a loop that found nothing should look again for a while (true) or sleep at once, because guests need every processor. */
  get spinAdvised(): boolean {
    return this.engine.spinAdvised;
  }

  get spinNs(): number {
    return this.engine.spinNs;
  }

  newAddressSpace(origin: Origin | null = null): Context | number {
    return newSpace(this.engine, origin === null ? this.engine.nursery : (origin as HostOrigin).nursery);
  }

  newOrigin(): Origin | number {
    return HostOrigin.make(this.engine);
  }

  poll(): number {
    const engine = this.engine;
    let count = 0;
    if (this.drainDue || ++this.polls >= POLLS_PER_DRAIN) {
      this.drainDue = false;
      this.polls = 0;
      engine.drain();
      engine.settle();
      if (engine.cold.length > 0) count = this.look(engine.cold, false);
    }
    const gone = engine.deaths;
    engine.deaths = false;
    if (gone && engine.cold.length > 0) count += this.look(engine.cold, true);
    count += this.look(engine.running, gone);
    if (engine.dead.length > 0) return count + this.reportDead();
    if (count === 0) {
      if (engine.woke) {
        engine.woke = false;
        engine.addon.yieldCpu();
      }
      engine.killDoomed();
      engine.refill();
    }
    return count;
  }

  /** Takes the events of the contexts in `list`; with `gone` those of dead address spaces too. */
  private look(list: Runner[], gone: boolean): number {
    let count = 0;
    for (let i = list.length - 1; i >= 0; i--) {
      if (i >= list.length) continue; // `stopped` ended others
      const c = list[i] as HostContext;
      const state = Atomics.load(c.words, c.base);
      if (state === STATE_GUEST && !(gone && c.addressSpace.dead)) {
        if (!c.cold && this.engine.lookedAt(c)) c.chill();
        continue;
      }
      if (!c.collect(state)) continue;
      count++;
      this.stopped(c);
      if (!c.runs && c.position >= 0) this.engine.removeRunning(c);
    }
    return count;
  }

  /** Threads whose process died while they waited for the Sentry: nobody would notice before they are resumed. */
  private reportDead(): number {
    let count = 0;
    for (const space of this.engine.dead.splice(0)) {
      for (const c of space.waiting()) {
        if (c.owner === null) continue;
        c.event = EVENT_GONE;
        count++;
        this.stopped(c);
      }
    }
    return count;
  }

  statistics(): Readonly<Record<string, number>> {
    const e = this.engine;
    return {
      ...e.kind.statistics(e),
      'threads in the guest': e.running.length + e.cold.length,
      'threads without a call for long': e.cold.length,
    };
  }

  prepareSleep(asleep: boolean): void {
    if (asleep) {
      this.engine.meetAll();
      this.engine.killDoomed();
      while (this.engine.refill());
    }
    this.engine.setAsleep(asleep);
    if (!asleep) this.drainDue = true;
  }

  shutdown(): void {
    const engine = this.engine;
    for (const space of [...engine.spaces.values()]) space.kill();
    engine.killDoomed();
    for (const o of [...engine.origins]) o.close();
    engine.nursery.clear();
    engine.addon.close(engine.stubFd);
    engine.addon.close(engine.doorbell);
    engine.addon.close(engine.epoll);
  }
}
