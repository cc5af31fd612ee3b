// signalfd(2): reading takes signals that are pending for the reading task.

import { EAGAIN, EINVAL } from '../../../abi/errno.ts';
import { O_RDWR } from '../../../abi/fcntl.ts';
import { POLLIN, POLLRDNORM } from '../../../abi/poll.ts';
import { putU16, putU32, putU64 } from '../../../base/bytes.ts';
import { WaitEntry, type Wakeable } from '../../../base/waitqueue.ts';
import { type SigInfo, UNBLOCKABLE_LO } from '../../kernel/siginfo.ts';
import { TASK_DEAD, type Task } from '../../kernel/task.ts';
import type { Caller } from '../../vfs/caller.ts';
import { AnonFile } from './anon.ts';
import { currentPoller } from './poller.ts';

/** sizeof(struct signalfd_siginfo). */
const INFO_SIZE = 128;

export class SignalFile extends AnonFile implements Wakeable {
  private maskLo = 0;
  private maskHi = 0;
  /** One entry in the signal queue of each task that waits here: its signals are passed on to our queue. The key is the task. */
  private bridges: WaitEntry[] = [];

  constructor(maskLo: number, maskHi: number, flags: number) {
    super(O_RDWR | flags);
    this.setMask(maskLo, maskHi);
  }

  setMask(lo: number, hi: number): void {
    this.maskLo = (lo & ~UNBLOCKABLE_LO) >>> 0;
    this.maskHi = hi >>> 0;
    this.queue.notify(POLLIN | POLLRDNORM);
  }

  notify(_e: WaitEntry, _mask: number): void {
    this.queue.notify(POLLIN | POLLRDNORM);
  }

  private listen(t: Task): void {
    for (const e of this.bridges) if (e.key === t) return;
    this.bridges = this.bridges.filter((e) => {
      const live = (e.key as Task).state !== TASK_DEAD;
      if (!live) e.remove();
      return live;
    });
    const e = new WaitEntry(this, t);
    this.bridges.push(e);
    t.signalQueue.add(e, -1);
  }

  override read(c: Caller, buf: Uint8Array, off: number, len: number): number {
    const t = c as Task;
    if (len < INFO_SIZE) return -EINVAL;
    let done = 0;
    while (done + INFO_SIZE <= len) {
      const info = t.pending.take(this.maskLo, this.maskHi) ?? t.tg.pending.take(this.maskLo, this.maskHi);
      if (info === null) break;
      encode(info, buf, off + done);
      done += INFO_SIZE;
    }
    if (done > 0) return done;
    this.listen(t);
    return -EAGAIN;
  }

  override poll(): number {
    const t = currentPoller();
    if (t === null) return 0;
    this.listen(t);
    const lo = (t.pending.lo | t.tg.pending.lo) & this.maskLo;
    const hi = (t.pending.hi | t.tg.pending.hi) & this.maskHi;
    return (lo | hi) !== 0 ? POLLIN | POLLRDNORM : 0;
  }

  override fdinfo(): string {
    return `sigmask:\t${this.maskHi.toString(16).padStart(8, '0')}${this.maskLo.toString(16).padStart(8, '0')}\n`;
  }

  override anonName(): string {
    return 'anon_inode:[signalfd]';
  }

  protected override release(): void {
    for (const e of this.bridges) e.remove();
    this.bridges = [];
  }
}

/** struct signalfd_siginfo. */
function encode(s: SigInfo, buf: Uint8Array, at: number): void {
  buf.fill(0, at, at + INFO_SIZE);
  putU32(buf, at, s.signo);
  putU32(buf, at + 4, s.errno);
  putU32(buf, at + 8, s.code);
  putU32(buf, at + 12, s.pid);
  putU32(buf, at + 16, s.uid);
  putU32(buf, at + 20, s.fd);
  putU32(buf, at + 24, s.timerId);
  putU32(buf, at + 28, s.band);
  putU32(buf, at + 32, s.overrun);
  putU32(buf, at + 40, s.status);
  putU32(buf, at + 44, s.valueLo);
  putU32(buf, at + 48, s.valueLo);
  putU32(buf, at + 52, s.valueHi);
  putU64(buf, at + 56, s.utime);
  putU64(buf, at + 64, s.stime);
  putU64(buf, at + 72, s.addr);
  putU16(buf, at + 80, 0);
}
