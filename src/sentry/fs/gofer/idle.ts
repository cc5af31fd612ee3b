// Host descriptors of files that no guest has open, kept for the next open: a list with the one that was used last in front.

/** Most files that keep their descriptors, over all trees of a gofer. */
const MAX_IDLE = 4096;
/** What part of the descriptors that the Sentry may have they take at most. */
const SHARE = 8;

/** Something with descriptors that can be closed and asked for again. */
export interface Idle {
  idlePrev: Idle | null;
  idleNext: Idle | null;
  idle: boolean;
  /** Closes them. The list has let go of it already. */
  closeDescriptors(): void;
}

export class IdleList {
  private head: Idle | null = null;
  private tail: Idle | null = null;
  private count = 0;
  private readonly most: number;

  /** `limit`: descriptors that this process may have in all. */
  constructor(limit: number) {
    this.most = Math.min(MAX_IDLE, Math.max(32, Math.floor(limit / SHARE)));
  }

  /** `f` has no user any more. The one that was not used for longest may have to go. */
  add(f: Idle): void {
    if (f.idle) this.remove(f);
    f.idle = true;
    f.idleNext = this.head;
    if (this.head === null) this.tail = f;
    else this.head.idlePrev = f;
    this.head = f;
    if (++this.count > this.most) this.close(this.tail!);
  }

  /** `f` is in use again, or gone. Harmless when it is not in the list. */
  remove(f: Idle): void {
    if (!f.idle) return;
    f.idle = false;
    if (f.idlePrev === null) this.head = f.idleNext;
    else f.idlePrev.idleNext = f.idleNext;
    if (f.idleNext === null) this.tail = f.idlePrev;
    else f.idleNext.idlePrev = f.idlePrev;
    f.idlePrev = null;
    f.idleNext = null;
    this.count--;
  }

  /** Closes them all: the Sentry has run out of descriptors. */
  dropAll(): void {
    while (this.tail !== null) this.close(this.tail);
  }

  private close(f: Idle): void {
    this.remove(f);
    f.closeDescriptors();
  }
}
