// epoll instances (epoll(7)): a set of watched descriptions and the list of those that reported something.

import { EPOLLET, EPOLLEXCLUSIVE, EPOLLONESHOT, EPOLLWAKEUP } from '../../../abi/epoll.ts';
import { EEXIST, EINVAL, ELOOP, ENOENT, EPERM } from '../../../abi/errno.ts';
import { O_RDWR } from '../../../abi/fcntl.ts';
import { POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDNORM } from '../../../abi/poll.ts';
import { S_IFDIR, S_IFMT, S_IFREG } from '../../../abi/stat.ts';
import { putU32 } from '../../../base/bytes.ts';
import { WaitEntry, type Wakeable } from '../../../base/waitqueue.ts';
import type { File } from '../../vfs/file.ts';
import { AnonFile } from './anon.ts';

/** Bytes of struct epoll_event: packed on x86-64. */
export const EPOLL_EVENT_SIZE = 12;
/** Bits of `events` that say how, not what. */
const HOW = EPOLLET | EPOLLONESHOT | EPOLLWAKEUP | EPOLLEXCLUSIVE;
/** What may accompany EPOLLEXCLUSIVE. */
const EXCLUSIVE_OK = POLLIN | POLLOUT | POLLERR | POLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE;
/** Deepest chain of instances that watch one another. */
const MAX_NESTING = 5;

/** One watched descriptor. Several can stand under one number when a descriptor was closed but its description lives on. */
class EpollItem implements Wakeable {
  readonly ep: EpollFile;
  readonly fd: number;
  readonly file: File;
  readonly entry: WaitEntry;
  /** `events` of struct epoll_event. */
  events = 0;
  /** POLL* bits that count; 0 while disarmed by EPOLLONESHOT. */
  want = 0;
  dataLo = 0;
  dataHi = 0;
  /** Links of the ready list. */
  ready = false;
  prev: EpollItem | null = null;
  next: EpollItem | null = null;
  /** Another item of the same number. */
  older: EpollItem | null = null;

  constructor(ep: EpollFile, fd: number, file: File) {
    this.ep = ep;
    this.fd = fd;
    this.file = file;
    this.entry = new WaitEntry(this);
  }

  notify(_e: WaitEntry, _mask: number): void {
    if (this.want !== 0) this.ep.markReady(this);
  }
}

export class EpollFile extends AnonFile {
  private readonly items: Map<number, EpollItem> = new Map();
  private head: EpollItem | null = null;
  private tail: EpollItem | null = null;

  constructor() {
    super(O_RDWR);
  }

  markReady(it: EpollItem): void {
    if (!it.ready) this.append(it);
    this.queue.notify(POLLIN | POLLRDNORM);
  }

  private append(it: EpollItem): void {
    it.ready = true;
    it.prev = this.tail;
    it.next = null;
    if (this.tail === null) this.head = it;
    else this.tail.next = it;
    this.tail = it;
  }

  private unlink(it: EpollItem): void {
    if (!it.ready) return;
    it.ready = false;
    if (it.prev === null) this.head = it.next;
    else it.prev.next = it.next;
    if (it.next === null) this.tail = it.prev;
    else it.next.prev = it.prev;
    it.prev = null;
    it.next = null;
  }

  private find(fd: number, file: File): EpollItem | null {
    let it = this.items.get(fd) ?? null;
    while (it !== null && it.file !== file) it = it.older;
    return it;
  }

  private drop(it: EpollItem): void {
    it.entry.remove();
    this.unlink(it);
    it.want = 0;
    const first = this.items.get(it.fd);
    if (first === it) {
      if (it.older === null) this.items.delete(it.fd);
      else this.items.set(it.fd, it.older);
      return;
    }
    for (let p = first ?? null; p !== null; p = p.older) if (p.older === it) p.older = it.older;
  }

  /** Forgets items whose descriptions were closed; closing is noticed when the number is used again or the item would report. */
  private sweep(fd: number): void {
    let it = this.items.get(fd) ?? null;
    while (it !== null) {
      const older: EpollItem | null = it.older;
      if (it.file.refs <= 0) this.drop(it);
      it = older;
    }
  }

  /** EPOLL_CTL_ADD. 0 or -errno (epoll_ctl(2)). */
  add(fd: number, file: File, events: number, dataLo: number, dataHi: number): number {
    if (file === this) return -EINVAL;
    const type = file.inode.mode & S_IFMT;
    if (type === S_IFREG || type === S_IFDIR) return -EPERM;
    const nested = file instanceof EpollFile;
    if ((events & EPOLLEXCLUSIVE) !== 0 && (nested || (events & ~EXCLUSIVE_OK) !== 0)) return -EINVAL;
    this.sweep(fd);
    if (this.find(fd, file) !== null) return -EEXIST;
    if (nested && (file.reaches(this, 0) || file.depth(0) >= MAX_NESTING)) return -ELOOP;
    const it = new EpollItem(this, fd, file);
    it.dataLo = dataLo;
    it.dataHi = dataHi;
    it.older = this.items.get(fd) ?? null;
    this.items.set(fd, it);
    this.arm(it, events);
    return 0;
  }

  /** EPOLL_CTL_MOD. */
  modify(fd: number, file: File, events: number, dataLo: number, dataHi: number): number {
    const it = this.find(fd, file);
    if (it === null) return -ENOENT;
    if (((events | it.events) & EPOLLEXCLUSIVE) !== 0) return -EINVAL;
    it.dataLo = dataLo;
    it.dataHi = dataHi;
    this.arm(it, events);
    return 0;
  }

  /** EPOLL_CTL_DEL. */
  remove(fd: number, file: File): number {
    const it = this.find(fd, file);
    if (it === null) return -ENOENT;
    this.drop(it);
    return 0;
  }

  private arm(it: EpollItem, events: number): void {
    it.events = events;
    it.want = (events & ~HOW) | POLLERR | POLLHUP;
    it.file.queue.add(it.entry, it.want);
    if ((it.file.poll() & it.want) !== 0) this.markReady(it);
  }

  /** True if `target` is watched by this instance or by one below it. */
  private reaches(target: EpollFile, level: number): boolean {
    if (level > MAX_NESTING) return true;
    for (const it of this.items.values()) {
      if (it.file.refs <= 0 || !(it.file instanceof EpollFile)) continue;
      if (it.file === target || it.file.reaches(target, level + 1)) return true;
    }
    return false;
  }

  /** Instances on the longest chain that begins here. */
  private depth(level: number): number {
    if (level > MAX_NESTING) return level;
    let deepest = 0;
    for (const it of this.items.values()) {
      if (!(it.file instanceof EpollFile)) continue;
      const d = it.file.depth(level + 1);
      if (d > deepest) deepest = d;
    }
    return deepest + 1;
  }

  /** Writes up to `max` struct epoll_event to out[0..] and takes them off the list. How many. */
  collect(out: Uint8Array, max: number): number {
    let it = this.head;
    const last = this.tail;
    let n = 0;
    while (it !== null && n < max) {
      const next: EpollItem | null = it === last ? null : it.next;
      this.unlink(it);
      if (it.file.refs <= 0) this.drop(it);
      else {
        const got = it.file.poll() & it.want;
        if (got !== 0) {
          const at = n * EPOLL_EVENT_SIZE;
          putU32(out, at, got);
          putU32(out, at + 4, it.dataLo);
          putU32(out, at + 8, it.dataHi);
          n++;
          if ((it.events & EPOLLONESHOT) !== 0) it.want = 0;
          else if ((it.events & EPOLLET) === 0) this.append(it);
        }
      }
      it = next;
    }
    return n;
  }

  override poll(): number {
    let it = this.head;
    while (it !== null) {
      const next: EpollItem | null = it.next;
      if (it.file.refs <= 0) this.drop(it);
      else if ((it.file.poll() & it.want) !== 0) return POLLIN | POLLRDNORM;
      else this.unlink(it);
      it = next;
    }
    return 0;
  }

  override fdinfo(): string {
    let s = '';
    for (const first of this.items.values()) {
      for (let it: EpollItem | null = first; it !== null; it = it.older) {
        if (it.file.refs <= 0) continue;
        const data = ((it.dataHi >>> 0) * 0x100000000 + (it.dataLo >>> 0)).toString(16);
        s += `tfd: ${String(it.fd).padStart(8)} events: ${(it.events >>> 0).toString(16).padStart(8)} data: ${data.padStart(16)} `;
        s += ` pos:${it.file.pos} ino:${it.file.inode.ino.toString(16)} sdev:${it.file.inode.fs.dev.toString(16)}\n`;
      }
    }
    return s;
  }

  override anonName(): string {
    return 'anon_inode:[eventpoll]';
  }

  protected override release(): void {
    for (const first of this.items.values()) {
      for (let it: EpollItem | null = first; it !== null; it = it.older) it.entry.remove();
    }
    this.items.clear();
    this.head = null;
    this.tail = null;
  }
}
