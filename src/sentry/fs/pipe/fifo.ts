// open(2) of a FIFO (fifo(7)): both ends wait for each other.

import { EINVAL, ENXIO } from '../../../abi/errno.ts';
import { O_ACCMODE, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY } from '../../../abi/fcntl.ts';
import { BLOCKED } from '../../../base/result.ts';
import type { Task } from '../../kernel/task.ts';
import type { Caller } from '../../vfs/caller.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import type { File } from '../../vfs/file.ts';
import type { Inode } from '../../vfs/inode.ts';
import type { Mount } from '../../vfs/mount.ts';
import { Pipe, PipeFile } from './pipe.ts';

/** Kept in the restart record while the other end is awaited: the description counts as an end from the start. */
class FifoOpen {
  readonly file: PipeFile;
  readonly reading: boolean;
  /** The other end's count of opens when the wait began. */
  readonly seen: number;

  constructor(file: PipeFile, reading: boolean) {
    this.file = file;
    this.reading = reading;
    this.seen = reading ? file.pipe.writerOpens : file.pipe.readerOpens;
  }

  get met(): boolean {
    return (this.reading ? this.file.pipe.writerOpens : this.file.pipe.readerOpens) !== this.seen;
  }

  /** The call was given up. */
  abandon(): void {
    this.file.unref();
  }
}

/** The special-open function of S_IFIFO inodes: a description, -errno, or BLOCKED (the open is then invoked again). */
export function openFifo(c: Caller, inode: Inode, flags: number, mount: Mount, dentry: Dentry): File | number {
  const t = c as Task;
  const started = t.rs.obj;
  if (started instanceof FifoOpen && started.file.inode === inode) return finish(t, started);
  if (!(inode.fifo instanceof Pipe)) inode.fifo = new Pipe();
  const pipe = inode.fifo as Pipe;
  const acc = flags & O_ACCMODE;
  if (acc !== O_RDONLY && acc !== O_WRONLY && acc !== O_RDWR) return -EINVAL;
  const nonblock = (flags & O_NONBLOCK) !== 0;
  if (acc === O_WRONLY && nonblock && pipe.readers === 0) return -ENXIO;
  const file = new PipeFile(inode, pipe, flags, mount, dentry);
  if (acc === O_RDWR || nonblock) return file;
  const reading = acc === O_RDONLY;
  if (reading ? pipe.writers > 0 : pipe.readers > 0) return file;
  const wait = new FifoOpen(file, reading);
  t.rs.obj = wait;
  return finish(t, wait);
}

function finish(t: Task, wait: FifoOpen): File | number {
  if (wait.met) {
    t.rs.obj = null;
    return wait.file;
  }
  const r = t.waitOn(wait.file.pipe.openQueue, -1);
  if (r !== BLOCKED) {
    t.rs.obj = null;
    wait.abandon();
  }
  return r;
}
