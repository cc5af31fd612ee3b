// How an address space comes into the world: a region and a socket of its own, handed to a stub that copies itself.
import type { Slot } from './arena.ts';
import type { Engine } from './engine.ts';
import { BLOCK_SIZE } from './layout.ts';
import { HostSpace } from './space.ts';

/** The steps that every new address space has in common. */
export class Birth {
  slot: Slot | null = null;
  private readonly engine: Engine;
  private readonly fds = new Int32Array(3); // region, our socket, the stub's socket

  constructor(engine: Engine) {
    this.engine = engine;
  }

  prepare(): number {
    const slot = this.engine.arena.take();
    if (typeof slot === 'number') return slot;
    const r = this.engine.addon.space(slot.address, this.fds);
    if (r < 0) {
      this.engine.arena.release(slot);
      return r;
    }
    this.slot = slot;
    return 0;
  }

  /** What the region lies in. */
  get words(): Int32Array {
    return (this.slot as Slot).words;
  }

  base(index: number): number {
    return ((this.slot as Slot).offset + index * BLOCK_SIZE) / 4;
  }

  /** Our end of its socket. */
  get socket(): number {
    return this.fds[1] as number;
  }

  /** Closes what sendTo() would have sent. */
  closeUnsent(): void {
    this.engine.addon.close(this.fds[0] as number);
    this.engine.addon.close(this.fds[2] as number);
  }

  /** Gives region and socket to the stub behind `socket`. */
  sendTo(socket: number, kind: number): number {
    const addon = this.engine.addon;
    const r = addon.send(socket, kind, this.fds[0] as number, this.fds[2] as number);
    this.closeUnsent();
    return r;
  }

  abandon(): void {
    this.engine.addon.close(this.fds[1] as number);
    this.engine.arena.release(this.slot as Slot);
  }

  /** The address space that a stub is making of it; its process has yet to say hello. */
  space(leader: number): HostSpace {
    return new HostSpace(this.engine, this.slot as Slot, this.fds[1] as number, leader);
  }
}
