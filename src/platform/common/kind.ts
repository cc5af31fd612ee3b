// What sets one engine apart from another for the Sentry's half. What is the same for all of them is Engine, HostSpace and HostContext.
import { NATIVE_FUTEX, NATIVE_MADVISE } from '../platform.ts';
import type { Engine } from './engine.ts';

/**
 * An engine's own ways. The defaults are those of an engine whose native half is in each guest process: it sleeps on the state word, and
 * a signal calls it back. One process uses one engine, so that a call of these methods costs what a call of a function costs.
 */
export class EngineKind {
  readonly name: string;
  /** Its native half can rewrite call sites (COMMAND_PATCH, COMMAND_UNPATCH). */
  readonly patches: boolean;
  /** NATIVE_*: what its threads can carry out on their own. */
  readonly native: number;

  constructor(name: string, patches = true, native = NATIVE_FUTEX | NATIVE_MADVISE) {
    this.name = name;
    this.patches = patches;
    this.native = native;
  }

  /** Wakes who sleeps on the state word of the block at this address, which says GUEST by now. */
  wake(engine: Engine, block: number): void {
    engine.addon.wake(block);
  }

  /** Has the running thread `tid` of process `pid`, whose block is at this address and asks for it (want_interrupt), stop soon. */
  interrupt(engine: Engine, pid: number, tid: number, _block: number): void {
    engine.addon.interrupt(pid, tid);
  }

  /** Copies memory of a guest process, as process_vm_readv(2): bytes copied or -errno. */
  read(engine: Engine, pid: number, address: number, buf: Uint8Array, off: number, len: number): number {
    return engine.addon.vmRead(pid, address, buf, off, len);
  }

  /** The other way. */
  write(engine: Engine, pid: number, address: number, buf: Uint8Array, off: number, len: number): number {
    return engine.addon.vmWrite(pid, address, buf, off, len);
  }

  /** The native half cannot work on this host, for the reason `errno`: what to tell people. */
  refused(errno: number): string {
    return `${this.name}: the host refuses what this engine needs (errno ${errno})`;
  }

  /** What it has done so far, by name, besides what all engines count. */
  statistics(_engine: Engine): Readonly<Record<string, number>> {
    return {};
  }
}
