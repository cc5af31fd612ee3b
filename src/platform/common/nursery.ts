// Address spaces that are made before anybody asks for them: regions for the next forks, and copies of the pristine stub for the next execs.
//
// All of it is begun while the Sentry has nothing else to do and finished when it is taken: a copy says hello whenever it gets a processor,
// and nobody looks for that before it is needed. A copy in waiting is nobody's process: the Sentry learns its pid when it is taken, and it
// ends with the pristine stub.
//
// A sandbox of several containers has a pristine stub for each, in the container's control groups: what is copied from it is there from birth.

import type { Origin } from '../platform.ts';
import { Birth } from './birth.ts';
import type { Engine } from './engine.ts';
import { MESSAGE_NEW, MESSAGE_STUB, STATE_GUEST, W_STATE } from './layout.ts';

/** Copies of the pristine stub in waiting, and regions. */
const COPIES = 2;
const REGIONS = 2;
/** The first copies serve the start of the sandbox: one that never starts another program keeps none in waiting. */
const START = 2;

/** The address spaces in waiting of one pristine stub. */
export class Nursery {
  private readonly engine: Engine;
  private readonly stubFd: number;
  private readonly regions: Birth[] = [];
  private readonly copies: Birth[] = [];
  /** How many are kept: none before the first was asked for. */
  private wantedRegions = 0;
  private wantedCopies = 0;
  private taken = 0;

  constructor(engine: Engine, stubFd: number) {
    this.engine = engine;
    this.stubFd = stubFd;
  }

  /** For the sandbox's first programs. */
  prepareStart(): void {
    for (let i = 0; i < START; i++) this.beginCopy();
  }

  /** A region with its socket, for a fork. Negative: -errno. */
  region(): Birth | number {
    this.wantedRegions = REGIONS;
    const birth = this.regions.pop();
    if (birth !== undefined) return birth;
    return this.newRegion();
  }

  /** A copy of the pristine stub that says or has said hello: the longest under way. Negative: -errno. */
  copy(): Birth | number {
    if (++this.taken > START) this.wantedCopies = COPIES;
    const birth = this.copies.shift();
    if (birth !== undefined) return birth;
    return this.newCopy();
  }

  /** Makes at most one of what is missing; true if there was anything to make. For a loop that has nothing else to do. */
  refill(): boolean {
    if (this.copies.length < this.wantedCopies) return this.beginCopy();
    if (this.regions.length >= this.wantedRegions) return false;
    const birth = this.newRegion();
    if (typeof birth === 'number') return false;
    this.regions.push(birth);
    return true;
  }

  private newRegion(): Birth | number {
    const birth = new Birth(this.engine);
    const r = birth.prepare();
    return r < 0 ? r : birth;
  }

  private newCopy(): Birth | number {
    const birth = this.regions.pop() ?? this.newRegion();
    if (typeof birth === 'number') return birth;
    Atomics.store(birth.words, birth.base(0) + W_STATE, STATE_GUEST);
    const r = birth.sendTo(this.stubFd, MESSAGE_NEW);
    if (r < 0) {
      birth.abandon();
      return r;
    }
    return birth;
  }

  private beginCopy(): boolean {
    const birth = this.newCopy();
    if (typeof birth === 'number') return false;
    this.copies.push(birth);
    return true;
  }

  /** Gives everything back. Copies end with the pristine stub. */
  clear(): void {
    this.wantedRegions = 0;
    this.wantedCopies = 0;
    for (const birth of this.regions.splice(0)) {
      birth.closeUnsent();
      birth.abandon();
    }
    for (const birth of this.copies.splice(0)) birth.abandon();
  }
}

/** A further pristine stub, and the copies of it in waiting. */
export class HostOrigin implements Origin {
  readonly pid: number;
  readonly nursery: Nursery;
  private readonly engine: Engine;
  private readonly birth: Birth;
  private closed = false;

  private constructor(engine: Engine, birth: Birth, pid: number) {
    this.engine = engine;
    this.birth = birth;
    this.pid = pid;
    this.nursery = new Nursery(engine, birth.socket);
    engine.origins.add(this);
  }

  /** Has the first stub copy itself. Negative: -errno. */
  static make(engine: Engine): HostOrigin | number {
    engine.meetAll(); // hellos are taken in the order of birth
    const birth = new Birth(engine);
    let r = birth.prepare();
    if (r < 0) return r;
    r = birth.sendTo(engine.stubFd, MESSAGE_STUB);
    const pid = r < 0 ? r : engine.receiveHello(birth.socket);
    if (pid < 0) {
      birth.abandon();
      return pid;
    }
    return new HostOrigin(engine, birth, pid);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.engine.origins.delete(this);
    this.nursery.clear();
    // The end of its socket is the stub's.
    this.birth.abandon();
  }
}
