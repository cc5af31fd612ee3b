// One epoll set for all that can wake a process (epoll(7)).

import { EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD } from '../abi/epoll.ts';
import { EBADF, EEXIST } from '../abi/errno.ts';
import type { Native } from './native.ts';

const BATCH = 128;

export type Ready = (events: number) => void;

export class Poller {
  /** The epoll descriptor, or -errno when none could be made. */
  readonly fd: number;
  private readonly native: Native;
  private readonly pairs = new Int32Array(2 * BATCH);
  /** By descriptor. */
  private readonly callbacks: (Ready | undefined)[] = [];
  private count = 0;

  constructor(native: Native) {
    this.native = native;
    this.fd = native.epollCreate();
  }

  get size(): number {
    return this.count;
  }

  /** Watches `fd` for EPOLL* bits (with EPOLLET for edges). Watching it again replaces bits and callback. 0 or -errno. */
  add(fd: number, events: number, ready: Ready): number {
    let r = this.native.epollCtl(this.fd, EPOLL_CTL_ADD, fd, events);
    if (r === -EEXIST) r = this.native.epollCtl(this.fd, EPOLL_CTL_MOD, fd, events);
    if (r < 0) return r;
    if (this.callbacks[fd] === undefined) this.count++;
    this.callbacks[fd] = ready;
    return 0;
  }

  /** Stops watching. Call it before the descriptor is closed. 0 or -errno. */
  remove(fd: number): number {
    if (this.callbacks[fd] === undefined) return -EBADF;
    this.callbacks[fd] = undefined;
    this.count--;
    return this.native.epollCtl(this.fd, EPOLL_CTL_DEL, fd, 0);
  }

  /** Waits up to `timeoutMs` (fractions count, negative: for ever) and calls what is ready. How many were, or -errno. */
  wait(timeoutMs: number): number {
    const pairs = this.pairs;
    const n = this.native.epollWait(this.fd, pairs, timeoutMs);
    for (let i = 0; i < n; i++) {
      const ready = this.callbacks[pairs[2 * i] as number];
      if (ready !== undefined) ready(pairs[2 * i + 1] as number);
    }
    return n;
  }

  close(): void {
    this.native.close(this.fd);
  }
}
