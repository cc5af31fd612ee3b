// SOCK_DGRAM and SOCK_SEQPACKET unix sockets (unix(7)): queues of whole messages.

import { EAGAIN, ECONNREFUSED, EINVAL, EISCONN, EMSGSIZE, ENOTCONN, EOPNOTSUPP, EPERM, EPIPE } from '../../../abi/errno.ts';
import { POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP, POLLRDNORM, POLLWRBAND, POLLWRNORM } from '../../../abi/poll.ts';
import { MSG_DONTWAIT, MSG_EOR, MSG_OOB, MSG_PEEK, MSG_TRUNC, SOCK_SEQPACKET } from '../../../abi/socket.ts';
import { copyBytes } from '../../../base/bytes.ts';
import type { Caller } from '../../vfs/caller.ts';
import type { File } from '../../vfs/file.ts';
import { Fifo } from '../fifo.ts';
import type { Message, Ucred } from '../message.ts';
import { dropFiles, land, takeOff } from './flight.ts';
import { parseUnixName, putUnixName } from './names.ts';
import { CONNECTED, LISTENING, UNCONNECTED, ucredOf, UnixSocket } from './socket.ts';

/** net.unix.max_dgram_qlen: messages that strangers may queue at a socket. */
const MAX_QUEUE = 10;
/** What a message counts for beside its bytes (Linux: sizeof(struct sk_buff) and shared info). */
const OVERHEAD = 576;
const NO_DATA = new Uint8Array(0);
const NOBODY: Ucred = { pid: null, uid: 0, gid: 0 };

class Packet {
  /** Its bytes are [0, length). */
  data: Uint8Array = NO_DATA;
  length = 0;
  /** Null while it is on nobody's way. */
  from: UnixDgram | null = null;
  /** The sender's name when it sent. */
  name = '';
  files: File[] | null = null;
  uid = 0;
  creds: Ucred = NOBODY;
  next: Packet | null = null;
}

// Small packets are used again, with their memory.
const SMALL = 4096;
const KEPT = 64;
let free: Packet | null = null;
let frees = 0;

/** A packet with a copy of the message's bytes. */
function packetOf(m: Message): Packet {
  const len = m.len;
  let p: Packet | null = null;
  if (len <= SMALL && free !== null) {
    p = free;
    free = p.next;
    frees--;
    p.next = null;
  } else p = new Packet();
  if (p.data.length < len) {
    let size = len;
    if (len <= SMALL) for (size = 128; size < len; ) size *= 2;
    p.data = new Uint8Array(size);
  }
  copyBytes(m.buf, m.off, p.data, 0, len);
  p.length = len;
  return p;
}

/** Nobody looks at it any more. */
function recycle(p: Packet): void {
  p.from = null;
  p.files = null;
  p.creds = NOBODY;
  p.name = '';
  if (p.data.length > SMALL || frees === KEPT) return;
  frees++;
  p.next = free;
  free = p;
}

export class UnixDgram extends UnixSocket {
  private readonly rx: Fifo<Packet> = new Fifo();
  /** Bytes of this socket's messages that nobody has read yet. */
  private sent = 0;

  protected sibling(): UnixSocket {
    return new UnixDgram(this.ns, this.type);
  }

  send(c: Caller, m: Message): number {
    if ((m.flags & MSG_OOB) !== 0) return -EOPNOTSUPP;
    const seq = this.type === SOCK_SEQPACKET;
    let to = this.peer as UnixDgram | null;
    if (seq) {
      if (this.error !== 0) return this.takeError();
      if (this.state !== CONNECTED || to === null) return this.sndShut ? -EPIPE : -ENOTCONN;
    } else if (m.nameLen > 0) {
      const name = parseUnixName(m.name, m.nameLen);
      if (typeof name === 'number') return name;
      const found = this.find(c, name);
      if (typeof found === 'number') return found;
      to = found as UnixDgram;
      if (to.peer !== null && to.peer !== this) return -EPERM;
    } else if (to === null) return -ENOTCONN;
    if (this.sndShut) return -EPIPE;
    if (to!.dead) {
      if (seq) return -EPIPE;
      this.setPeer(null);
      return -ECONNREFUSED;
    }
    const target = to!;
    if (target.rcvShut) return -EPIPE;
    const size = m.len + OVERHEAD;
    if (m.len > this.sndbuf - 32) return -EMSGSIZE;
    this.nameForCredentials();
    if (this.sent > 0 && this.sent + size > this.sndbuf) return -EAGAIN;
    if (target.peer !== this && target.rx.length > MAX_QUEUE) {
      target.wantRoom(this);
      return -EAGAIN;
    }
    const p = packetOf(m);
    p.from = this;
    p.name = this.name;
    p.files = m.files;
    p.uid = c.creds.ruid;
    p.creds = m.creds ?? ucredOf(c);
    if (m.files !== null) takeOff(this.ns, m.files, p.uid);
    m.files = null;
    this.sent += size;
    target.rx.push(p);
    target.queue.notify(POLLIN | POLLRDNORM);
    return m.len;
  }

  recv(_c: Caller, m: Message): number {
    if ((m.flags & MSG_OOB) !== 0) return -EOPNOTSUPP;
    if (this.type === SOCK_SEQPACKET && this.state !== CONNECTED) return -ENOTCONN;
    const peek = (m.flags & MSG_PEEK) !== 0;
    const p = peek ? this.rx.first() : this.rx.shift();
    if (p === undefined) {
      if (this.error !== 0) return this.takeError();
      if (!this.rcvShut) return -EAGAIN;
      return this.type === SOCK_SEQPACKET || (m.flags & MSG_DONTWAIT) === 0 ? 0 : -EAGAIN;
    }
    const n = p.length < m.len ? p.length : m.len;
    copyBytes(p.data, 0, m.buf, m.off, n);
    m.fullLength = p.length;
    if (n < p.length) m.outFlags |= MSG_TRUNC;
    if (this.type === SOCK_SEQPACKET) m.outFlags |= MSG_EOR;
    m.nameLen = p.name === '' ? 0 : putUnixName(m.name, p.name);
    if (this.passCred) m.creds = p.creds;
    m.files = p.files;
    if (peek) {
      if (p.files !== null) for (const f of p.files) f.ref();
    } else {
      if (p.files !== null) land(this.ns, p.files, p.uid);
      p.files = null;
      this.consumed(p);
    }
    return n;
  }

  /** A message left the queue: its sender, and whoever waits for room, may go on. */
  private consumed(p: Packet): void {
    const from = p.from!;
    const before = from.sent;
    from.sent -= p.length + OVERHEAD;
    recycle(p);
    if (before * 4 > from.sndbuf || this.rx.length >= MAX_QUEUE) from.queue.notify(POLLOUT | POLLWRNORM);
    this.roomMade();
  }

  override poll(): number {
    if (this.state === LISTENING) return this.acceptQueue.length > 0 || this.rcvShut ? POLLIN | POLLRDNORM : 0;
    let mask = 0;
    if (this.error !== 0) mask |= POLLERR;
    if (this.rcvShut) {
      mask |= POLLRDHUP | POLLIN | POLLRDNORM;
      if (this.sndShut) mask |= POLLHUP;
    }
    if (this.rx.length > 0) mask |= POLLIN | POLLRDNORM;
    if (this.type === SOCK_SEQPACKET && this.state === UNCONNECTED) mask |= POLLHUP;
    if (this.sent * 4 <= this.sndbuf) {
      const p = this.peer as UnixDgram | null;
      if (p !== null && !p.dead && p.peer !== this && p.rx.length > MAX_QUEUE) p.wantRoom(this);
      else mask |= POLLOUT | POLLWRNORM | POLLWRBAND;
    }
    return mask;
  }

  override pendingBytes(): number {
    if (this.state === LISTENING) return -EINVAL;
    if (this.type !== SOCK_SEQPACKET) return this.rx.first()?.length ?? 0;
    let n = 0;
    this.rx.forEach((p) => {
      n += p.length;
    });
    return n;
  }

  override outstandingBytes(): number {
    return this.sent;
  }

  override eachHeldFile(fn: (f: File) => void): void {
    this.rx.forEach((p) => p.files?.forEach(fn));
    this.acceptQueue.forEach((far) => far.eachHeldFile(fn));
  }

  override dropHeldFiles(): void {
    this.rx.forEach((p) => {
      if (p.files === null) return;
      const files = p.files;
      p.files = null;
      land(this.ns, files, p.uid);
      dropFiles(this.ns, files);
    });
    this.acceptQueue.forEach((far) => far.dropHeldFiles());
  }

  protected discard(): boolean {
    const unread = this.rx.length > 0;
    this.dropHeldFiles();
    for (let p = this.rx.shift(); p !== undefined; p = this.rx.shift()) this.consumed(p);
    return unread;
  }

  override get sendSpace(): number {
    return Infinity;
  }

  /** connect(2) of a connected datagram socket to itself is allowed; a second connect of SOCK_SEQPACKET is not. */
  override connect(c: Caller, addr: Uint8Array, len: number, nonblock: boolean): number {
    return this.type === SOCK_SEQPACKET && this.state === CONNECTED ? -EISCONN : super.connect(c, addr, len, nonblock);
  }
}
