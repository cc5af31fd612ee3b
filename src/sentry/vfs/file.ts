// Open file descriptions (open(2)): what a file descriptor refers to. Every kind of file is a subclass that overrides what it supports.
//
// No method blocks: one that would answers -EAGAIN, and the system call layer waits on `queue` (unless O_NONBLOCK) and calls again.
// Results are counts >= 0 or -errno. Buffers are the Sentry's own; the system call layer copies to and from guest memory.

import { EBADF, EINVAL, EISDIR, ENODEV, ENOTDIR, ENOTTY, EOPNOTSUPP, ESPIPE } from '../../abi/errno.ts';
import { O_ACCMODE, O_PATH, O_RDONLY, O_WRONLY } from '../../abi/fcntl.ts';
import { POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM } from '../../abi/poll.ts';
import { S_IFDIR, S_IFMT } from '../../abi/stat.ts';
import { WaitQueue } from '../../base/waitqueue.ts';
import type { Caller } from './caller.ts';
import type { Dentry } from './dentry.ts';
import type { Inode } from './inode.ts';
import type { Mount } from './mount.ts';

/** Takes directory entries; false: full, the entry was not taken. */
export interface DirSink {
  /** `next` is the position (d_off) that continues behind this entry; `type` is DT_* (S_IFMT >> 12). */
  add(name: string, ino: number, type: number, next: number): boolean;
}

/** What a mapping of a file is backed by: a host descriptor (kept by the file) and an offset in it; fd -1: anonymous zero pages. */
export interface MapBacking {
  fd: number;
  offset: number;
}

let lastClose: (f: File) => void = () => {};
let dropLocks: (f: File, c: Caller) => void = () => {};

/** Gives this module what the open and lock layers do at the last close of a description, and at each close of a descriptor. */
export function setCloseHooks(last: (f: File) => void, each: (f: File, c: Caller) => void): void {
  lastClose = last;
  dropLocks = each;
}

/** The queue of all files that are always ready: nothing ever happens in it. */
export const QUIET: WaitQueue = new WaitQueue();

export class File {
  /** Where it was opened; null for files without a name (pipes, sockets, eventfd). */
  mount: Mount | null;
  dentry: Dentry | null;
  readonly inode: Inode;
  /** O_ACCMODE and status flags, as F_GETFL shows them (without creation flags and O_CLOEXEC). */
  flags: number;
  /** Position of sequential reads, writes and readdir. */
  pos = 0;
  /** References by descriptor tables, mappings and messages in flight. */
  refs = 1;
  /** Told when poll() may have changed. Kinds with a shared object (pipes) may share one queue. */
  queue: WaitQueue;
  /** True once the open path counted it at its mount, dentry and inode: the last close takes that back. */
  named = false;
  /** True if it counts among inode.writers. */
  countedWriter = false;
  /** False for O_PATH descriptions: they only name the file. */
  get isPath(): boolean {
    return (this.flags & O_PATH) !== 0;
  }
  /** F_SETOWN/F_SETSIG/O_ASYNC: whom the kernel knows by this (kernel/fileowner.ts) gets the signal (0: SIGIO). */
  owner: object | null = null;
  /** F_OWNER_TID, F_OWNER_PID or F_OWNER_PGRP. */
  ownerType = 1;
  ownerSignal = 0;
  /** O_ASYNC: the membership in `queue` that sends the signal; ended with the description. */
  async: { remove(): void } | null = null;

  constructor(inode: Inode, flags: number, mount: Mount | null = null, dentry: Dentry | null = null, queue: WaitQueue = new WaitQueue()) {
    this.inode = inode;
    this.flags = flags;
    this.mount = mount;
    this.dentry = dentry;
    this.queue = queue;
  }

  get readable(): boolean {
    return (this.flags & O_ACCMODE) !== O_WRONLY;
  }

  get writable(): boolean {
    return (this.flags & O_ACCMODE) !== O_RDONLY;
  }

  /** True for kinds without a position (pipes, sockets, terminals): pread and lseek answer ESPIPE. */
  get stream(): boolean {
    return false;
  }

  /** True if what is written goes nowhere (/dev/null): it need not be fetched from the guest. */
  get discards(): boolean {
    return false;
  }

  /** True if its reads and writes touch each byte of the buffer once: the buffer may then be memory that the guest can change meanwhile. */
  get direct(): boolean {
    return false;
  }

  ref(): this {
    this.refs++;
    return this;
  }

  /** Drops one reference; the last one releases. */
  unref(): void {
    if (--this.refs !== 0) return;
    if (this.async !== null) this.async.remove();
    if (this.named || this.inode.locks !== null) lastClose(this);
    this.release();
  }

  /** Called once, when the last reference is gone. */
  protected release(): void {}

  /** Called at each close(2) of a descriptor (POSIX locks, flush). Rarely overridden. */
  flush(c: Caller): void {
    if (this.inode.locks !== null) dropLocks(this, c);
  }

  /** Sequential read at `pos` (or of the stream). The caller has checked `readable`. Default: pread and advance. */
  read(c: Caller, buf: Uint8Array, off: number, len: number): number {
    const n = this.pread(c, buf, off, len, this.pos);
    if (n > 0) this.pos += n;
    return n;
  }

  /** Sequential write at `pos` (O_APPEND is the file system's to honour, in pwrite with pos -1 meaning the end). */
  write(c: Caller, buf: Uint8Array, off: number, len: number): number {
    const n = this.pwrite(c, buf, off, len, this.pos);
    if (n > 0) this.pos += n;
    return n;
  }

  pread(_c: Caller, _buf: Uint8Array, _off: number, _len: number, _pos: number): number {
    return (this.inode.mode & S_IFMT) === S_IFDIR ? -EISDIR : -EINVAL;
  }

  pwrite(_c: Caller, _buf: Uint8Array, _off: number, _len: number, _pos: number): number {
    return (this.inode.mode & S_IFMT) === S_IFDIR ? -EISDIR : -EINVAL;
  }

  /** lseek(2). The new position or -errno. Regular files override through the file system's size. */
  seek(_c: Caller, _offset: number, _whence: number): number {
    return -ESPIPE;
  }

  /** POLL* bits that hold now. Regular files and directories are always ready. */
  poll(): number {
    return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
  }

  ioctl(_c: Caller, _cmd: number, _arg: number): number {
    return -ENOTTY;
  }

  /** Emits entries from `pos` on and moves `pos`. 0 or -errno. */
  readdir(_c: Caller, _sink: DirSink): number {
    return -ENOTDIR;
  }

  /** What mmap(2) of [offset, offset+len) maps, or -errno. `write`: a shared mapping that may be written. */
  mapping(_c: Caller, _offset: number, _len: number, _shared: boolean, _write: boolean): MapBacking | number {
    return -ENODEV;
  }

  fsync(_dataOnly: boolean): number {
    return -EINVAL;
  }

  /** fallocate(2). */
  allocate(_c: Caller, _mode: number, _offset: number, _len: number): number {
    return (this.flags & O_ACCMODE) === O_RDONLY ? -EBADF : this.stream ? -ESPIPE : -EOPNOTSUPP;
  }

  /** ftruncate(2) on this description. */
  truncate(_c: Caller, _size: number): number {
    return -EINVAL;
  }

  /** Lines after pos/flags/mnt_id of /proc/PID/fdinfo/N. `_pidns`: the pid namespace of the proc that shows them. */
  fdinfo(_pidns: object): string {
    return '';
  }

  /** What readlink of /proc/PID/fd/N shows for files without a name ("pipe:[123]"); '' when the dentry names it. */
  anonName(): string {
    return '';
  }
}
