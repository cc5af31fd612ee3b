// open(2) of a FIFO (fifo(7)): both ends wait for each other.

import { EINVAL, ENXIO } from '../../../abi/errno.ts';
import { O_ACCMODE, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY } from '../../../abi/fcntl.ts';
import { BLOCKED } from '../../../base/result.ts';
import { TASK_DEAD, type Task } from '../../kernel/task.ts';
import type { Caller } from '../../vfs/caller.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import type { File } from '../../vfs/file.ts';
import { dropFifo, fifoOf } from '../../vfs/hostfiles.ts';
import type { Inode } from '../../vfs/inode.ts';
import type { Mount } from '../../vfs/mount.ts';
import { Pipe, PipeFile } from './pipe.ts';

/** Kept in the restart record while the other end is awaited: the description counts as an end from the start. */
class FifoOpen {
  readonly task: Task;
  readonly file: PipeFile;
  readonly reading: boolean;
  /** The other end's count of opens when the wait began. */
  readonly seen: number;

  constructor(task: Task, file: PipeFile, reading: boolean) {
    this.task = task;
    this.file = file;
    this.reading = reading;
    this.seen = reading ? file.pipe.writerOpens : file.pipe.readerOpens;
  }

  get met(): boolean {
    return (this.reading ? this.file.pipe.writerOpens : this.file.pipe.readerOpens) !== this.seen;
  }

  /** The call was given up: a signal, a name that is gone, the end of the task. */
  get abandoned(): boolean {
    return this.task.state === TASK_DEAD || this.task.rs.obj !== this;
  }
}

/** All that wait. Few at any time. */
const waiting: Set<FifoOpen> = new Set();

/** Takes back the ends that stood for calls which will never finish. Told when a process ends. */
export function sweepFifoOpens(): void {
  for (const w of waiting) {
    if (!w.abandoned) continue;
    waiting.delete(w);
    w.file.unref();
  }
}

/** The special-open function of S_IFIFO inodes: a description, -errno, or BLOCKED (the open is then invoked again). */
export function openFifo(c: Caller, inode: Inode, flags: number, mount: Mount, dentry: Dentry): File | number {
  const t = c as Task;
  const started = t.rs.obj;
  if (started instanceof FifoOpen && started.file.inode === inode) return finish(t, started);
  if (waiting.size > 0) sweepFifoOpens();
  const acc = flags & O_ACCMODE;
  if (acc !== O_RDONLY && acc !== O_WRONLY && acc !== O_RDWR) return -EINVAL;
  const nonblock = (flags & O_NONBLOCK) !== 0;
  const pipe = fifoOf(inode, () => new Pipe());
  if (acc === O_WRONLY && nonblock && pipe.readers === 0) {
    if (pipe.writers === 0 && pipe.openQueue.empty) dropFifo(inode);
    return -ENXIO;
  }
  const file = new PipeFile(inode, pipe, flags, mount, dentry);
  if (acc === O_RDWR || nonblock) return file;
  const reading = acc === O_RDONLY;
  if (reading ? pipe.writers > 0 : pipe.readers > 0) return file;
  const wait = new FifoOpen(t, file, reading);
  t.rs.obj = wait;
  waiting.add(wait);
  return finish(t, wait);
}

function finish(t: Task, wait: FifoOpen): File | number {
  if (wait.met) {
    t.rs.obj = null;
    waiting.delete(wait);
    return wait.file;
  }
  const r = t.waitOn(wait.file.pipe.openQueue, -1);
  if (r !== BLOCKED) {
    t.rs.obj = null;
    sweepFifoOpens();
  }
  return r;
}
