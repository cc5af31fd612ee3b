// Sockets (socket(2), socket(7)): the protocol-independent half, and the open file that leads to one.
//
// A protocol subclasses Socket. No method blocks: -EAGAIN tells the system call layer to wait on `queue` and to call again.
// Addresses are raw struct sockaddr bytes, so that one interface serves all families.

import { EAGAIN, EINVAL, EOPNOTSUPP } from '../../abi/errno.ts';
import { O_NONBLOCK, O_RDWR } from '../../abi/fcntl.ts';
import { SO_PASSCRED, SO_RCVLOWAT, SO_REUSEADDR, SO_REUSEPORT, SOCK_STREAM, SOL_SOCKET } from '../../abi/socket.ts';
import { monotonicNs } from '../../base/clock.ts';
import { WaitQueue } from '../../base/waitqueue.ts';
import type { Task } from '../kernel/task.ts';
import type { Caller } from '../vfs/caller.ts';
import { File } from '../vfs/file.ts';
import { socketIoctl } from './ioctl.ts';
import type { Message } from './message.ts';
import type { NetNs } from './netns.ts';

/** net.core.rmem_default and wmem_default. */
export const DEFAULT_BUFFER = 212992;

export abstract class Socket {
  readonly ns: NetNs;
  readonly family: number;
  /** SOCK_* without flags. */
  readonly type: number;
  readonly protocol: number;
  readonly ino: number;
  /** Owner, for permission to share ports and for /proc/net. */
  uid = 0;
  gid = 0;
  /** The open file; null before accept(2) and after the last close. */
  file: SocketFile | null = null;
  /** POLL* changes. The open file uses the same queue. */
  readonly queue: WaitQueue = new WaitQueue();
  /** Pending error (positive), taken by SO_ERROR or the next operation. */
  error = 0;
  rcvbuf = DEFAULT_BUFFER;
  sndbuf = DEFAULT_BUFFER;
  /** Nanoseconds; Infinity: none. */
  rcvTimeout = Infinity;
  sndTimeout = Infinity;
  lingerOn = false;
  /** Seconds. */
  lingerTime = 0;
  /** Integer options by level * 65536 + name: those that are only stored. */
  readonly options: Map<number, number> = new Map();
  // Options that hot paths look at, kept beside the map.
  reuseAddr = false;
  reusePort = false;
  passCred = false;
  rcvLowat = 1;

  constructor(ns: NetNs, family: number, type: number, protocol: number) {
    this.ns = ns;
    this.family = family;
    this.type = type;
    this.protocol = protocol;
    this.ino = ns.nextIno();
  }

  /** True for SOCK_STREAM: writes may be taken in part and a zero-length read at the end means end of file. */
  get isStream(): boolean {
    return this.type === SOCK_STREAM;
  }

  /** SO_ACCEPTCONN. */
  get listening(): boolean {
    return false;
  }

  abstract bind(c: Caller, addr: Uint8Array, len: number): number;
  /** 0, or -errno; -EAGAIN: must wait for room at the listener; -EINPROGRESS: wait for POLLOUT, then call again. */
  abstract connect(c: Caller, addr: Uint8Array, len: number, nonblock: boolean): number;
  abstract send(c: Caller, m: Message): number;
  abstract recv(c: Caller, m: Message): number;
  abstract poll(): number;
  /** Writes the local address (or the peer's) as sockaddr. Its length or -errno. */
  abstract getName(out: Uint8Array, peer: boolean): number;
  /** Called when the last descriptor is closed. */
  abstract release(): void;

  listen(_c: Caller, _backlog: number): number {
    return -EOPNOTSUPP;
  }

  /** A connected socket without a file, or -errno (-EAGAIN: none waits). */
  accept(): Socket | number {
    return -EOPNOTSUPP;
  }

  /** Puts back what accept() answered, as the next to be accepted: no descriptor was free for it. */
  unaccept(_s: Socket): void {}

  shutdown(_how: number): number {
    return -EOPNOTSUPP;
  }

  /** Room for a stream's write now, in bytes: spares copies that would be refused. */
  get sendSpace(): number {
    return Infinity;
  }

  /** Bytes that FIONREAD answers, or -errno. */
  pendingBytes(): number {
    return 0;
  }

  /** Unsent or unread bytes of what was sent (SIOCOUTQ), or -errno. */
  outstandingBytes(): number {
    return -EINVAL;
  }

  /** Options of levels other than SOL_SOCKET, and overrides of those: length written to out, or -errno. `undefined`: not mine. */
  getOption(_c: Caller, _level: number, _name: number, _out: Uint8Array, _len: number): number | undefined {
    return undefined;
  }

  setOption(_c: Caller, _level: number, _name: number, _val: Uint8Array, _len: number): number | undefined {
    return undefined;
  }

  /** Descriptors in messages that nobody has received: for the collector of cycles. */
  eachHeldFile(_fn: (f: File) => void): void {}

  /** Throws away messages that carry descriptors. */
  dropHeldFiles(): void {}

  /** Takes the pending error: -errno, or 0. */
  takeError(): number {
    const e = this.error;
    this.error = 0;
    return -e;
  }

  storeOption(level: number, name: number, value: number): void {
    this.options.set(level * 65536 + name, value);
    if (level !== SOL_SOCKET) return;
    if (name === SO_REUSEADDR) this.reuseAddr = value !== 0;
    else if (name === SO_REUSEPORT) this.reusePort = value !== 0;
    else if (name === SO_PASSCRED) this.passCred = value !== 0;
    else if (name === SO_RCVLOWAT) this.rcvLowat = value < 1 ? 1 : value;
  }

  storedOption(level: number, name: number, otherwise = 0): number {
    return this.options.get(level * 65536 + name) ?? otherwise;
  }

  /** accept(2): what a new connection takes from its listener. */
  inherit(listener: Socket): void {
    this.uid = listener.uid;
    this.gid = listener.gid;
    this.rcvbuf = listener.rcvbuf;
    this.sndbuf = listener.sndbuf;
    this.rcvTimeout = listener.rcvTimeout;
    this.sndTimeout = listener.sndTimeout;
    this.lingerOn = listener.lingerOn;
    this.lingerTime = listener.lingerTime;
    this.reuseAddr = listener.reuseAddr;
    this.reusePort = listener.reusePort;
    this.passCred = listener.passCred;
    this.rcvLowat = listener.rcvLowat;
    for (const [k, v] of listener.options) this.options.set(k, v);
  }
}

export class SocketFile extends File {
  readonly sock: Socket;
  /** How many of its references are held by messages in flight (SCM_RIGHTS). */
  inflight = 0;
  /** The socket outlives this description (it goes back to its listener). */
  keepsSocket = false;

  /** `flags`: O_NONBLOCK or 0. */
  constructor(sock: Socket, flags: number) {
    super(sock.ns.makeInode(sock.ino, sock.uid, sock.gid), O_RDWR | flags);
    this.sock = sock;
    this.queue = sock.queue;
    sock.file = this;
  }

  override unref(): void {
    super.unref();
    if (this.refs > 0 && this.refs === this.inflight) this.sock.ns.orphaned();
  }

  override get stream(): boolean {
    return true;
  }

  override get direct(): boolean {
    return this.sock.isStream;
  }

  get nonblock(): boolean {
    return (this.flags & O_NONBLOCK) !== 0;
  }

  override read(c: Caller, buf: Uint8Array, off: number, len: number): number {
    const m = this.sock.ns.message.reset(buf, off, len, 0);
    const n = this.sock.recv(c, m);
    // Descriptors that come with bytes read by read(2) are closed (unix(7)).
    if (m.files !== null) {
      for (const f of m.files) f.unref();
      m.files = null;
    }
    if (n === -EAGAIN && this.sock.rcvTimeout !== Infinity) (c as Task).setDeadline(monotonicNs() + this.sock.rcvTimeout);
    return n;
  }

  override write(c: Caller, buf: Uint8Array, off: number, len: number): number {
    const n = this.sock.send(c, this.sock.ns.message.reset(buf, off, len, 0));
    if (n === -EAGAIN && this.sock.sndTimeout !== Infinity) (c as Task).setDeadline(monotonicNs() + this.sock.sndTimeout);
    return n;
  }

  override poll(): number {
    return this.sock.poll();
  }

  override ioctl(c: Caller, cmd: number, arg: number): number {
    return socketIoctl(c, this.sock, cmd, arg);
  }

  override anonName(): string {
    return `socket:[${this.sock.ino}]`;
  }

  protected override release(): void {
    const sock = this.sock;
    sock.file = null;
    if (!this.keepsSocket) sock.release();
  }
}
