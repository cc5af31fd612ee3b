// POSIX message queues (mq_overview(7)): named queues of messages with priorities, and the open descriptions that lead to them.

import { EACCES, EAGAIN, EBUSY, EEXIST, EINVAL, EMFILE, ENAMETOOLONG, ENOENT, ENOSPC, EPERM } from '../../abi/errno.ts';
import { CAP_SYS_RESOURCE } from '../../abi/capability.ts';
import { O_ACCMODE, O_CREAT, O_EXCL, O_NONBLOCK, O_RDONLY, O_WRONLY } from '../../abi/fcntl.ts';
import { SYS_mq_timedreceive } from '../../abi/nr.ts';
import { POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM } from '../../abi/poll.ts';
import { S_IFDIR, S_IFMT, S_IFREG } from '../../abi/stat.ts';
import { SEEK_CUR, SEEK_SET } from '../../abi/uio.ts';
import { latin1Encode } from '../../base/bytes.ts';
import { WaitQueue } from '../../base/waitqueue.ts';
import type { PidNamespace } from '../kernel/pidns.ts';
import { Task } from '../kernel/task.ts';
import type { ThreadGroup } from '../kernel/threadgroup.ts';
import type { Caller } from '../vfs/caller.ts';
import type { Dentry } from '../vfs/dentry.ts';
import { type DirSink, File } from '../vfs/file.ts';
import { anonDev, FileSystem, type StatFs } from '../vfs/filesystem.ts';
import { ATTR_CTIME, ATTR_GID, ATTR_MODE, ATTR_MTIME, ATTR_UID, Inode, type SetAttr } from '../vfs/inode.ts';
import type { Mount } from '../vfs/mount.ts';
import { MAY_READ, MAY_WRITE, permission, sticky } from '../vfs/permission.ts';

const MQUEUE_MAGIC = 0x19800202;
const NAME_LIMIT = 255;
/** fs.mqueue.*: what ordinary users, and the privileged, may ask for. */
const QUEUES_MAX = 256;
const MSG_MAX = 10;
const DT_DIR = 4;
const DT_REG = 8;
/** FILENT_SIZE: what stat shows of a queue. */
const STATUS_SIZE = 80;
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
  readonly group: ThreadGroup;
  readonly signo: number;
  /** Told by the system call layer, which knows how. Called once, with true when a message came, false when the registration ends. */
  readonly tell: (woken: boolean) => void;
}

/** The file system that shows the queues: the same one wherever it is mounted. */
class MqFs extends FileSystem {
  readonly root: Inode;
  readonly registry: MqRegistry;
  private lastIno = 1;

  constructor(registry: MqRegistry) {
    super('mqueue', anonDev());
    // mq_open and mq_unlink make and remove names without a walk.
    this.volatileNames = true;
    this.registry = registry;
    this.root = new MqDir(this, this.nextIno(), S_IFDIR | 0o1777);
    this.root.nlink = 2;
    this.root.touch(-1);
  }

  nextIno(): number {
    return this.lastIno++;
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

abstract class MqNode extends Inode {
  override setattr(_c: Caller, a: SetAttr): number {
    if ((a.mask & ATTR_MODE) !== 0) this.mode = (this.mode & S_IFMT) | (a.mode & 0o7777);
    if ((a.mask & ATTR_UID) !== 0) this.uid = a.uid;
    if ((a.mask & ATTR_GID) !== 0) this.gid = a.gid;
    this.touch(ATTR_CTIME);
    return 0;
  }
}

/** The root directory: its names are the queues. */
class MqDir extends MqNode {
  private get registry(): MqRegistry {
    return (this.fs as MqFs).registry;
  }

  override lookup(_c: Caller, name: string): Inode | number {
    return this.registry.queues.get(name)?.inode ?? -ENOENT;
  }

  override create(c: Caller, name: string, mode: number, _rdev: number): Inode | number {
    if ((mode & S_IFMT) !== S_IFREG) return -EPERM;
    const q = this.registry.make(c, name, mode, -1, -1);
    return typeof q === 'number' ? q : q.inode;
  }

  override unlink(_c: Caller, name: string, target: Inode): number {
    this.registry.queues.delete(name);
    target.nlink = 0;
    this.touch(ATTR_MTIME | ATTR_CTIME);
    return 0;
  }

  override open(_c: Caller, flags: number, _mount: Mount, _dentry: Dentry): File {
    return new MqDirFile(this, flags);
  }

  /** Name and inode of each queue, in order. */
  entries(): MessageQueue[] {
    return [...this.registry.queues.values()];
  }
}

class MqDirFile extends File {
  override readdir(_c: Caller, sink: DirSink): number {
    const list = (this.inode as MqDir).entries();
    for (; this.pos < list.length + 2; this.pos++) {
      const q = list[this.pos - 2];
      const name = this.pos === 0 ? '.' : this.pos === 1 ? '..' : q!.name;
      const ino = q === undefined ? this.inode.ino : q.inode.ino;
      if (!sink.add(name, ino, q === undefined ? DT_DIR : DT_REG, this.pos + 1)) break;
    }
    return 0;
  }

  override seek(_c: Caller, offset: number, whence: number): number {
    const to = whence === SEEK_SET ? offset : whence === SEEK_CUR ? this.pos + offset : -1;
    if (to < 0) return -EINVAL;
    this.pos = to;
    return to;
  }
}

class MqInode extends MqNode {
  queue: MessageQueue | null = null;

  override open(_c: Caller, flags: number, _mount: Mount, _dentry: Dentry): File | number {
    return this.queue === null ? -ENOENT : new MqFile(this.queue, flags);
  }
}

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
    if (n === null || n.group.tgid !== tgid) return;
    this.notify = null;
    n.tell(false);
  }

  /** What reading the queue's file shows to `viewer`. */
  status(viewer: PidNamespace): string {
    const n = this.notify;
    const pad = (v: number, w: number): string => String(v).padEnd(w);
    return `QSIZE:${pad(this.bytes, 10)} NOTIFY:${pad(0, 5)} SIGNO:${pad(n === null ? 0 : n.signo, 5)} NOTIFY_PID:${pad(n === null ? 0 : n.group.pid.in(viewer), 6)}\n`;
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

  override pread(c: Caller, buf: Uint8Array, off: number, len: number, pos: number): number {
    const text = latin1Encode(this.mq.status((c as Task).pidns)).subarray(pos);
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
  readonly queues: Map<string, MessageQueue> = new Map();
  private readonly mqfs: MqFs;

  constructor() {
    this.mqfs = new MqFs(this);
  }

  /** For mount(2): one file system however often it is mounted. */
  get fs(): FileSystem {
    return this.mqfs;
  }

  /** mq_open(3). `max` and `size` -1: the defaults. The queue or -errno. */
  open(c: Caller, name: string, flags: number, mode: number, max: number, size: number): MessageQueue | number {
    const err = checkName(name);
    if (err < 0) return err;
    const found = this.queues.get(name);
    if (found === undefined) return (flags & O_CREAT) === 0 ? -ENOENT : this.make(c, name, mode & ~c.fs.umask, max, size);
    if ((flags & (O_CREAT | O_EXCL)) === (O_CREAT | O_EXCL)) return -EEXIST;
    const acc = flags & O_ACCMODE;
    const want = acc === O_RDONLY ? MAY_READ : acc === O_WRONLY ? MAY_WRITE : MAY_READ | MAY_WRITE;
    const may = permission(c.creds, found.inode, want);
    return may < 0 ? may : found;
  }

  /** A new queue under a name that is free; limits as in mq_overview(7). */
  make(c: Caller, name: string, mode: number, max: number, size: number): MessageQueue | number {
    const privileged = c.creds.has(CAP_SYS_RESOURCE);
    if (this.queues.size >= QUEUES_MAX && !privileged) return -ENOSPC;
    const maxMessages = max < 0 ? DEFAULT_MSG : max;
    const messageSize = size < 0 ? DEFAULT_MSGSIZE : size;
    if (maxMessages < 1 || messageSize < 1) return -EINVAL;
    if (maxMessages > (privileged ? HARD_MSG_MAX : MSG_MAX) || messageSize > (privileged ? HARD_MSGSIZE_MAX : MSGSIZE_MAX)) return -EINVAL;
    if (maxMessages * messageSize > 0x7fffffff) return -EMFILE;
    const inode = new MqInode(this.mqfs, this.mqfs.nextIno(), S_IFREG | (mode & 0o777));
    inode.uid = c.creds.fsuid;
    inode.gid = c.creds.fsgid;
    inode.size = STATUS_SIZE;
    inode.touch(-1);
    const q = new MessageQueue(name, inode, maxMessages, messageSize);
    inode.queue = q;
    this.queues.set(name, q);
    return q;
  }

  /** mq_unlink(3): the name goes, descriptions keep the queue. */
  unlink(c: Caller, name: string): number {
    const err = checkName(name);
    if (err < 0) return err;
    const q = this.queues.get(name);
    if (q === undefined) return -ENOENT;
    if (sticky(c.creds, this.mqfs.root, q.inode)) return -EPERM;
    this.mqfs.root.unlink(c, name, q.inode);
    return 0;
  }
}

function checkName(name: string): number {
  if (name === '') return -ENOENT;
  if (name.length > NAME_LIMIT) return -ENAMETOOLONG;
  return name.includes('/') || name === '.' || name === '..' ? -EACCES : 0;
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
