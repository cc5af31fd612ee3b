// POSIX message queues (mq_overview(7)): named queues of messages with priorities, and the open descriptions that lead to them.

import { EACCES, EAGAIN, EBUSY, EEXIST, EINVAL, EMFILE, ENAMETOOLONG, ENOENT, ENOSPC } from '../../abi/errno.ts';
import { CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_SYS_RESOURCE } from '../../abi/capability.ts';
import { O_ACCMODE, O_CREAT, O_EXCL, O_NONBLOCK, O_RDONLY, O_WRONLY } from '../../abi/fcntl.ts';
import { SYS_mq_timedreceive } from '../../abi/nr.ts';
import { POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM } from '../../abi/poll.ts';
import { S_IFDIR, S_IFREG } from '../../abi/stat.ts';
import { latin1Encode } from '../../base/bytes.ts';
import { WaitQueue } from '../../base/waitqueue.ts';
import { Task } from '../kernel/task.ts';
import type { Caller } from '../vfs/caller.ts';
import { File } from '../vfs/file.ts';
import { anonDev, FileSystem, type StatFs } from '../vfs/filesystem.ts';
import { Inode } from '../vfs/inode.ts';

const MQUEUE_MAGIC = 0x19800202;
const NAME_LIMIT = 255;
/** fs.mqueue.*: what ordinary users, and the privileged, may ask for. */
const QUEUES_MAX = 256;
const MSG_MAX = 10;
const MSGSIZE_MAX = 8192;
const HARD_MSG_MAX = 65536;
const HARD_MSGSIZE_MAX = 16 * 1024 * 1024;
const DEFAULT_MSG = 10;
const DEFAULT_MSGSIZE = 8192;
export const MQ_PRIO_MAX = 32768;

interface MqMessage {
  readonly priority: number;
  readonly data: Uint8Array;
}

/** Who is to be told when a message comes to an empty queue (mq_notify(3)). */
export interface MqNotify {
  /** Process that asked. */
  readonly tgid: number;
  readonly signo: number;
  /** Told by the system call layer, which knows how. Called once, with true when a message came, false when the registration ends. */
  readonly tell: (woken: boolean) => void;
}

class MqFs extends FileSystem {
  readonly root: Inode;

  constructor() {
    super('mqueue', anonDev());
    this.root = new MqInode(this, 1, S_IFDIR | 0o1777);
  }

  statfs(out: StatFs): number {
    out.type = MQUEUE_MAGIC;
    out.bsize = 4096;
    out.blocks = 0;
    out.bfree = 0;
    out.bavail = 0;
    out.files = 0;
    out.ffree = 0;
    out.namelen = NAME_LIMIT;
    out.flags = 0;
    return 0;
  }
}

class MqInode extends Inode {}

export class MessageQueue {
  readonly name: string;
  readonly inode: Inode;
  readonly maxMessages: number;
  readonly messageSize: number;
  /** Highest priority first, oldest first among equals. */
  private readonly messages: MqMessage[] = [];
  /** Bytes in all messages. */
  bytes = 0;
  readonly queue: WaitQueue = new WaitQueue();
  notify: MqNotify | null = null;

  constructor(name: string, inode: Inode, maxMessages: number, messageSize: number) {
    this.name = name;
    this.inode = inode;
    this.maxMessages = maxMessages;
    this.messageSize = messageSize;
  }

  get count(): number {
    return this.messages.length;
  }

  get full(): boolean {
    return this.messages.length >= this.maxMessages;
  }

  /** True if a task is blocked in mq_timedreceive: it comes before a notification. */
  private get awaited(): boolean {
    for (let e = this.queue.head; e !== null; e = e.next) {
      if (e.owner instanceof Task && e.owner.nr === SYS_mq_timedreceive) return true;
    }
    return false;
  }

  /** Adds a copy of the bytes. 0 or -EAGAIN. */
  send(src: Uint8Array, len: number, priority: number): number {
    if (this.full) return -EAGAIN;
    let i = this.messages.length;
    while (i > 0 && this.messages[i - 1]!.priority < priority) i--;
    this.messages.splice(i, 0, { priority, data: src.slice(0, len) });
    this.bytes += len;
    if (this.messages.length === 1 && !this.awaited && this.notify !== null) {
      const n = this.notify;
      this.notify = null;
      n.tell(true);
    }
    this.queue.notify(POLLIN | POLLRDNORM);
    return 0;
  }

  /** Takes the first message out; null when there is none. */
  receive(): MqMessage | null {
    const m = this.messages.shift();
    if (m === undefined) return null;
    this.bytes -= m.data.length;
    this.queue.notify(POLLOUT | POLLWRNORM);
    return m;
  }

  /** mq_notify(3). 0 or -EBUSY. */
  register(n: MqNotify): number {
    if (this.notify !== null) return -EBUSY;
    this.notify = n;
    return 0;
  }

  /** Ends the registration of a process, if it has one. */
  unregister(tgid: number): void {
    const n = this.notify;
    if (n === null || n.tgid !== tgid) return;
    this.notify = null;
    n.tell(false);
  }

  /** What reading the queue's file shows. */
  status(): string {
    const n = this.notify;
    const pad = (v: number, w: number): string => String(v).padEnd(w);
    return `QSIZE:${pad(this.bytes, 10)} NOTIFY:${pad(0, 5)} SIGNO:${pad(n === null ? 0 : n.signo, 5)} NOTIFY_PID:${pad(n === null ? 0 : n.tgid, 6)}\n`;
  }
}

/** An open description of a queue. */
export class MqFile extends File {
  readonly mq: MessageQueue;

  constructor(mq: MessageQueue, flags: number) {
    super(mq.inode, flags);
    this.mq = mq;
    this.queue = mq.queue;
  }

  override poll(): number {
    return (this.mq.count > 0 ? POLLIN | POLLRDNORM : 0) | (this.mq.full ? 0 : POLLOUT | POLLWRNORM);
  }

  override pread(_c: Caller, buf: Uint8Array, off: number, len: number, pos: number): number {
    const text = latin1Encode(this.mq.status()).subarray(pos);
    const n = text.length < len ? text.length : len;
    buf.set(text.subarray(0, n), off);
    return n;
  }

  override flush(c: Caller): void {
    this.mq.unregister(c.tgid);
    super.flush(c);
  }

  override anonName(): string {
    return `/${this.mq.name}`;
  }
}

/** The queues of a kernel by name. A mounted mqueue file system shows these. */
export class MqRegistry {
  readonly fs: FileSystem = new MqFs();
  readonly queues: Map<string, MessageQueue> = new Map();
  private lastIno = 1;

  /** mq_open(3). `max` and `size` -1: the defaults. The queue or -errno. */
  open(c: Caller, name: string, flags: number, mode: number, max: number, size: number): MessageQueue | number {
    const err = checkName(name);
    if (err < 0) return err;
    const found = this.queues.get(name);
    if (found !== undefined) {
      if ((flags & (O_CREAT | O_EXCL)) === (O_CREAT | O_EXCL)) return -EEXIST;
      return mayOpen(c, found.inode, flags) ? found : -EACCES;
    }
    if ((flags & O_CREAT) === 0) return -ENOENT;
    const privileged = c.creds.has(CAP_SYS_RESOURCE);
    if (this.queues.size >= QUEUES_MAX && !privileged) return -ENOSPC;
    const maxMessages = max < 0 ? DEFAULT_MSG : max;
    const messageSize = size < 0 ? DEFAULT_MSGSIZE : size;
    if (maxMessages < 1 || messageSize < 1) return -EINVAL;
    if (maxMessages > (privileged ? HARD_MSG_MAX : MSG_MAX) || messageSize > (privileged ? HARD_MSGSIZE_MAX : MSGSIZE_MAX)) return -EINVAL;
    if (maxMessages * messageSize > 0x7fffffff) return -EMFILE;
    const inode = new MqInode(this.fs, ++this.lastIno, S_IFREG | (mode & 0o777 & ~c.fs.umask));
    inode.uid = c.creds.fsuid;
    inode.gid = c.creds.fsgid;
    inode.size = 80;
    inode.touch(-1);
    const q = new MessageQueue(name, inode, maxMessages, messageSize);
    this.queues.set(name, q);
    return q;
  }

  /** mq_unlink(3): the name goes, descriptions keep the queue. */
  unlink(c: Caller, name: string): number {
    const err = checkName(name);
    if (err < 0) return err;
    const q = this.queues.get(name);
    if (q === undefined) return -ENOENT;
    // The directory is sticky: only the owner may.
    if (c.creds.fsuid !== q.inode.uid && !c.creds.has(CAP_FOWNER)) return -EACCES;
    this.queues.delete(name);
    q.inode.nlink = 0;
    return 0;
  }
}

function checkName(name: string): number {
  if (name === '') return -ENOENT;
  if (name.length > NAME_LIMIT) return -ENAMETOOLONG;
  return name.includes('/') || name === '.' || name === '..' ? -EACCES : 0;
}

function mayOpen(c: Caller, inode: Inode, flags: number): boolean {
  const acc = flags & O_ACCMODE;
  const want = acc === O_RDONLY ? 4 : acc === O_WRONLY ? 2 : 6;
  const cr = c.creds;
  const bits = cr.fsuid === inode.uid ? inode.mode >> 6 : cr.inGroup(inode.gid) ? inode.mode >> 3 : inode.mode;
  return (want & ~bits & 7) === 0 || cr.has(CAP_DAC_OVERRIDE);
}

/** Flags of mq_open that stay with the description. */
export const MQ_STATUS_FLAGS: number = O_ACCMODE | O_NONBLOCK;

const registries = new WeakMap<object, MqRegistry>();

/** The queues of a kernel, made on first use. */
export function mqueuesOf(kernel: object): MqRegistry {
  let r = registries.get(kernel);
  if (r === undefined) {
    r = new MqRegistry();
    registries.set(kernel, r);
  }
  return r;
}
