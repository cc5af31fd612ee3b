// Signals about readiness (fcntl(2) F_SETOWN, F_SETSIG, O_ASYNC).

import { F_OWNER_PGRP, F_OWNER_TID, O_ASYNC } from '../../abi/fcntl.ts';
import { POLLERR, POLLHUP, POLLIN, POLLOUT, POLLPRI, POLLRDNORM, POLLWRNORM } from '../../abi/poll.ts';
import { SIGIO } from '../../abi/signal.ts';
import { WaitEntry, type Wakeable } from '../../base/waitqueue.ts';
import type { Pid } from '../kernel/pidns.ts';
import { SigInfo } from '../kernel/siginfo.ts';
import { signalGroup, signalPgrp, signalTask } from '../kernel/signals.ts';
import type { Task } from '../kernel/task.ts';
import type { File } from '../vfs/file.ts';

const POLL_IN = 1;
const POLL_OUT = 2;

/** Stands in the queue of a description and tells its owner of each change. */
class AsyncNotifier implements Wakeable {
  readonly file: File;
  readonly fd: number;
  readonly entry: WaitEntry;

  constructor(file: File, fd: number) {
    this.file = file;
    this.fd = fd;
    this.entry = new WaitEntry(this);
    file.queue.add(this.entry, -1);
  }

  remove(): void {
    this.entry.remove();
  }

  notify(_entry: WaitEntry, mask: number): void {
    const f = this.file;
    const owner = f.owner as Pid | null;
    if (owner === null) return;
    const relevant = (f.readable ? POLLIN | POLLRDNORM | POLLPRI : 0) | (f.writable ? POLLOUT | POLLWRNORM : 0) | POLLHUP | POLLERR;
    if ((mask & relevant) === 0) return;
    const make = (): SigInfo => {
      const info = new SigInfo(f.ownerSignal === 0 ? SIGIO : f.ownerSignal, (mask & POLLIN) !== 0 ? POLL_IN : POLL_OUT);
      info.band = mask & relevant;
      info.fd = this.fd;
      return info;
    };
    if (f.ownerType === F_OWNER_PGRP) {
      if (owner.pgrp !== null) signalPgrp(owner.pgrp, make);
    } else if (f.ownerType === F_OWNER_TID) {
      if (owner.task !== null) signalTask(owner.task, make());
    } else if (owner.group !== null) signalGroup(owner.group, make());
  }
}

/** Makes the description's O_ASYNC flag true: starts or ends the signals. */
export function setAsync(t: Task, f: File): void {
  const want = (f.flags & O_ASYNC) !== 0;
  if (want === (f.async !== null)) return;
  if (f.async !== null) {
    f.async.remove();
    f.async = null;
  } else {
    f.async = new AsyncNotifier(f, t.argI(0));
  }
}
