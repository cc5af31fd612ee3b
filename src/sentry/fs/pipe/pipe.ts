// Pipes and FIFOs (pipe(7), fifo(7)): a bounded store of bytes between descriptions for reading and for writing.

import { CAP_SYS_RESOURCE } from '../../../abi/capability.ts';
import { EAGAIN, EBUSY, EINVAL, ENOTTY, EPERM, EPIPE } from '../../../abi/errno.ts';
import { O_ACCMODE, O_DIRECT, O_RDONLY, O_WRONLY } from '../../../abi/fcntl.ts';
import { FIONREAD } from '../../../abi/ioctl.ts';
import { POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM } from '../../../abi/poll.ts';
import { SIGPIPE } from '../../../abi/signal.ts';
import { S_IFIFO } from '../../../abi/stat.ts';
import { PIPE_BUF } from '../../../abi/uio.ts';
import { putU32 } from '../../../base/bytes.ts';
import { ByteRing } from '../../../base/ring.ts';
import { WaitQueue } from '../../../base/waitqueue.ts';
import type { Caller } from '../../vfs/caller.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import { File } from '../../vfs/file.ts';
import type { SetAttr } from '../../vfs/inode.ts';
import { dropFifo } from '../../vfs/hostfiles.ts';
import { ATTR_ATIME, ATTR_CTIME, ATTR_GID, ATTR_MODE, ATTR_MTIME, ATTR_UID, Inode } from '../../vfs/inode.ts';
import type { Mount } from '../../vfs/mount.ts';
import { pipeFs } from '../event/anon.ts';

/** Default and greatest capacity in bytes (/proc/sys/fs/pipe-max-size). */
const PIPE_DEFAULT_SIZE = 65536;
const PIPE_MAX_SIZE = 1048576;
/** A privileged caller may go up to this. */
const PIPE_HARD_MAX = 1 << 30;
const PAGE = 4096;

const READY_IN = POLLIN | POLLRDNORM;
const READY_OUT = POLLOUT | POLLWRNORM;
const word = new Uint8Array(4);

export class Pipe {
  readonly data: ByteRing = new ByteRing(PIPE_DEFAULT_SIZE, 1024);
  /** Told of data (IN), room (OUT), and either end's going (HUP, ERR). */
  readonly queue: WaitQueue = new WaitQueue();
  /** Tasks that stand in open(2) of a FIFO and wait for the other end. */
  readonly openQueue: WaitQueue = new WaitQueue();
  readers = 0;
  writers = 0;
  /** How often each end was opened: an opener that waits watches the other end's count. */
  readerOpens = 0;
  writerOpens = 0;
  /** Packet boundaries once O_DIRECT was used: > 0 a packet of so many bytes, < 0 a stretch of stream bytes. Null: all stream. */
  private marks: number[] | null = null;

  /** Up to `len` bytes, one packet at most. 0: end of file; -EAGAIN: empty and a writer is there. */
  read(buf: Uint8Array, off: number, len: number): number {
    const data = this.data;
    if (data.length === 0) return this.writers === 0 || len === 0 ? 0 : -EAGAIN;
    const n = this.marks === null ? data.read(buf, off, len) : this.readMarked(this.marks, buf, off, len);
    this.queue.notify(READY_OUT);
    return n;
  }

  private readMarked(marks: number[], buf: Uint8Array, off: number, len: number): number {
    const mark = marks[0]!;
    const size = mark < 0 ? -mark : mark;
    const n = this.data.read(buf, off, len < size ? len : size);
    if (mark > 0) {
      if (n < size) this.data.drop(size - n);
      marks.shift();
    } else if (n === size) marks.shift();
    else marks[0] = mark + n;
    if (this.data.length === 0) this.marks = null;
    return n;
  }

  /** Copies the oldest bytes, of one packet at most, without taking them (tee(2), splice(2)). As read() otherwise. */
  peek(buf: Uint8Array, off: number, len: number): number {
    if (this.data.length === 0) return this.writers === 0 ? 0 : -EAGAIN;
    const mark = this.marks === null ? len : Math.abs(this.marks[0]!);
    return this.data.peek(buf, off, len < mark ? len : mark);
  }

  /** Takes `n` bytes that peek() showed; the rest of a packet stays. */
  consume(n: number): void {
    this.data.drop(n);
    const marks = this.marks;
    if (marks !== null) {
      const mark = marks[0]!;
      if (Math.abs(mark) === n) marks.shift();
      else marks[0] = mark > 0 ? mark - n : mark + n;
      if (this.data.length === 0) this.marks = null;
    }
    this.queue.notify(READY_OUT);
  }

  /** Writes up to PIPE_BUF bytes whole or not at all, more in part. -EPIPE without SIGPIPE: the file raises it. */
  write(buf: Uint8Array, off: number, len: number, packet: boolean): number {
    if (len === 0) return 0;
    if (this.readers === 0) return -EPIPE;
    const data = this.data;
    const space = data.space;
    if (space === 0 || (len <= PIPE_BUF && space < len)) return -EAGAIN;
    const n = packet || this.marks !== null ? this.writeMarked(buf, off, len, packet) : data.write(buf, off, len);
    if (n > 0) this.queue.notify(READY_IN);
    return n;
  }

  private writeMarked(buf: Uint8Array, off: number, len: number, packet: boolean): number {
    if (this.marks === null) this.marks = this.data.length > 0 ? [-this.data.length] : [];
    const marks = this.marks;
    if (!packet) {
      const n = this.data.write(buf, off, len);
      const last = marks.length - 1;
      if (last >= 0 && marks[last]! < 0) marks[last]! -= n;
      else marks.push(-n);
      return n;
    }
    let done = 0;
    while (done < len) {
      const size = len - done < PIPE_BUF ? len - done : PIPE_BUF;
      if (this.data.space < size) break;
      this.data.write(buf, off + done, size);
      marks.push(size);
      done += size;
    }
    return done > 0 ? done : -EAGAIN;
  }

  /** Room that poll(2) calls writable: a whole PIPE_BUF. */
  get roomy(): boolean {
    return this.data.space >= PIPE_BUF;
  }

  addReader(): void {
    this.readers++;
    this.readerOpens++;
    this.openQueue.notify(-1);
  }

  addWriter(): void {
    this.writers++;
    this.writerOpens++;
    this.openQueue.notify(-1);
  }

  dropReader(): void {
    if (--this.readers === 0) this.queue.notify(READY_OUT | POLLERR);
  }

  dropWriter(): void {
    if (--this.writers === 0) this.queue.notify(READY_IN | POLLHUP);
  }

  /** F_SETPIPE_SZ: the new capacity in bytes, or -errno (fcntl(2)). */
  resize(c: Caller, size: number): number {
    if (size < 0 || size > PIPE_HARD_MAX) return -EINVAL;
    let want = PAGE;
    while (want < size) want *= 2;
    if (want > PIPE_MAX_SIZE && want > this.data.limit && !c.creds.has(CAP_SYS_RESOURCE)) return -EPERM;
    if (want < this.data.length) return -EBUSY;
    const grew = want > this.data.limit;
    this.data.limit = want;
    if (grew) this.queue.notify(READY_OUT);
    return want;
  }
}

/** The inode of an anonymous pipe. */
class PipeInode extends Inode {
  readonly pipe: Pipe;

  constructor(c: Caller, pipe: Pipe) {
    super(pipeFs, pipeFs.nextIno(), S_IFIFO | 0o600);
    this.pipe = pipe;
    this.fifo = pipe;
    this.opensItself = true;
    this.uid = c.creds.fsuid;
    this.gid = c.creds.fsgid;
    this.touch(ATTR_ATIME | ATTR_MTIME | ATTR_CTIME);
  }

  /** By way of /proc/PID/fd: another description of the same pipe. */
  override open(_c: Caller, flags: number, mount: Mount, dentry: Dentry): File | number {
    return new PipeFile(this, this.pipe, flags, mount, dentry);
  }

  override setattr(_c: Caller, a: SetAttr): number {
    if ((a.mask & ATTR_MODE) !== 0) this.mode = S_IFIFO | (a.mode & 0o7777);
    if ((a.mask & ATTR_UID) !== 0) this.uid = a.uid;
    if ((a.mask & ATTR_GID) !== 0) this.gid = a.gid;
    this.touch(ATTR_CTIME);
    return 0;
  }
}

export class PipeFile extends File {
  readonly pipe: Pipe;
  /** A FIFO opened for reading shows no POLLHUP until a writer came after it. */
  private readonly sawWriters: number;
  private readonly isFifo: boolean;

  constructor(inode: Inode, pipe: Pipe, flags: number, mount: Mount | null, dentry: Dentry | null) {
    super(inode, flags, mount, dentry);
    this.pipe = pipe;
    this.queue = pipe.queue;
    this.isFifo = !(inode instanceof PipeInode);
    this.sawWriters = this.isFifo && pipe.writers === 0 ? pipe.writerOpens : -1;
    if (this.readable) pipe.addReader();
    if (this.writable) pipe.addWriter();
  }

  override get stream(): boolean {
    return true;
  }

  override get direct(): boolean {
    return true;
  }

  override read(_c: Caller, buf: Uint8Array, off: number, len: number): number {
    return this.pipe.read(buf, off, len);
  }

  override write(c: Caller, buf: Uint8Array, off: number, len: number): number {
    const n = this.pipe.write(buf, off, len, (this.flags & O_DIRECT) !== 0);
    if (n === -EPIPE) c.raise(SIGPIPE);
    return n;
  }

  override poll(): number {
    const p = this.pipe;
    const acc = this.flags & O_ACCMODE;
    let mask = 0;
    if (acc !== O_WRONLY) {
      if (p.data.length > 0) mask |= READY_IN;
      if (p.writers === 0 && this.sawWriters !== p.writerOpens) mask |= POLLHUP;
    }
    if (acc !== O_RDONLY) {
      if (p.roomy) mask |= READY_OUT;
      if (p.readers === 0) mask |= POLLERR;
    }
    return mask;
  }

  override ioctl(c: Caller, cmd: number, arg: number): number {
    if (cmd !== FIONREAD) return -ENOTTY;
    putU32(word, 0, this.pipe.data.length);
    return c.copyOut(arg, word, 0, 4);
  }

  override fsync(_dataOnly: boolean): number {
    return -EINVAL;
  }

  override anonName(): string {
    return this.isFifo ? '' : `pipe:[${this.inode.ino}]`;
  }

  protected override release(): void {
    if (this.readable) this.pipe.dropReader();
    if (this.writable) this.pipe.dropWriter();
    // A FIFO that nobody holds open forgets its data (fifo(7)).
    if (this.isFifo && this.pipe.readers === 0 && this.pipe.writers === 0 && this.pipe.openQueue.empty) dropFifo(this.inode);
  }
}

/** pipe2(2): [read end, write end]. `flags`: O_NONBLOCK and O_DIRECT. */
export function createPipe(c: Caller, flags: number): [PipeFile, PipeFile] {
  const pipe = new Pipe();
  const inode = new PipeInode(c, pipe);
  const r = new PipeFile(inode, pipe, O_RDONLY | flags, null, null);
  const w = new PipeFile(inode, pipe, O_WRONLY | flags, null, null);
  return [r, w];
}

/** The pipe behind a description, or null when it is none. */
export function pipeOf(f: File): Pipe | null {
  return f instanceof PipeFile ? f.pipe : null;
}
