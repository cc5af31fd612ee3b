// eventfd(2): a 64-bit counter, kept as two words so that no count is lost to rounding.

import { EAGAIN, EINVAL } from '../../../abi/errno.ts';
import { O_RDWR } from '../../../abi/fcntl.ts';
import { POLLERR, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM } from '../../../abi/poll.ts';
import { getU32, putU32 } from '../../../base/bytes.ts';
import type { Caller } from '../../vfs/caller.ts';
import { AnonFile } from './anon.ts';

const WORD = 0x100000000;
const MAX = 0xffffffff;
let lastId = 0;

export class EventFile extends AnonFile {
  private lo: number;
  private hi = 0;
  private readonly semaphore: boolean;
  private readonly id: number;

  /** `flags`: O_NONBLOCK or 0. */
  constructor(initial: number, semaphore: boolean, flags: number) {
    super(O_RDWR | flags);
    this.lo = initial >>> 0;
    this.semaphore = semaphore;
    this.id = lastId++;
  }

  /** Adds `n` (below 2^53) from inside the kernel; the counter stops at its greatest value. */
  signal(n: number): void {
    if (this.add(n >>> 0, Math.floor(n / WORD)) < 0) {
      this.lo = MAX - 1;
      this.hi = MAX;
    }
    this.queue.notify(POLLIN | POLLRDNORM);
  }

  /** 0, or -EAGAIN when the sum would pass 2^64 - 2. */
  private add(lo: number, hi: number): number {
    let l = this.lo + lo;
    let h = this.hi + hi;
    if (l >= WORD) {
      l -= WORD;
      h++;
    }
    if (h > MAX || (h === MAX && l === MAX)) return -EAGAIN;
    this.lo = l;
    this.hi = h;
    return 0;
  }

  override read(_c: Caller, buf: Uint8Array, off: number, len: number): number {
    if (len < 8) return -EINVAL;
    if (this.lo === 0 && this.hi === 0) return -EAGAIN;
    if (this.semaphore) {
      putU32(buf, off, 1);
      putU32(buf, off + 4, 0);
      if (this.lo === 0) {
        this.lo = MAX;
        this.hi--;
      } else this.lo--;
    } else {
      putU32(buf, off, this.lo);
      putU32(buf, off + 4, this.hi);
      this.lo = 0;
      this.hi = 0;
    }
    this.queue.notify(POLLOUT | POLLWRNORM);
    return 8;
  }

  override write(_c: Caller, buf: Uint8Array, off: number, len: number): number {
    if (len < 8) return -EINVAL;
    const lo = getU32(buf, off);
    const hi = getU32(buf, off + 4);
    if (lo === MAX && hi === MAX) return -EINVAL;
    const r = this.add(lo, hi);
    if (r < 0) return r;
    this.queue.notify(POLLIN | POLLRDNORM);
    return 8;
  }

  override poll(): number {
    let mask = 0;
    if (this.lo !== 0 || this.hi !== 0) mask |= POLLIN | POLLRDNORM;
    if (this.hi < MAX || this.lo < MAX - 1) mask |= POLLOUT | POLLWRNORM;
    if (this.hi === MAX && this.lo === MAX) mask |= POLLERR;
    return mask;
  }

  override fdinfo(): string {
    const count = this.hi === 0 ? this.lo.toString(16) : this.hi.toString(16) + this.lo.toString(16).padStart(8, '0');
    return `eventfd-count: ${count.padStart(16)}\neventfd-id: ${this.id}\neventfd-semaphore: ${this.semaphore ? 1 : 0}\n`;
  }

  override anonName(): string {
    return 'anon_inode:[eventfd]';
  }
}
