// SOCK_STREAM unix sockets (unix(7)): a ring of bytes, and beside it the stretches that carry descriptors or credentials.

import { EAGAIN, EINVAL, EISCONN, ENOTCONN, EOPNOTSUPP, EPIPE } from '../../../abi/errno.ts';
import { POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP, POLLRDNORM, POLLWRBAND, POLLWRNORM } from '../../../abi/poll.ts';
import { MSG_NOSIGNAL, MSG_OOB, MSG_PEEK, SOCK_STREAM } from '../../../abi/socket.ts';
import { SIGPIPE } from '../../../abi/signal.ts';
import { ByteRing } from '../../../base/ring.ts';
import type { Caller } from '../../vfs/caller.ts';
import type { File } from '../../vfs/file.ts';
import { Fifo } from '../fifo.ts';
import type { Message, Ucred } from '../message.ts';
import type { NetNs } from '../netns.ts';
import { dropFiles, land, takeOff } from './flight.ts';
import { putUnixName } from './names.ts';
import { CONNECTED, LISTENING, UNCONNECTED, ucredOf, UnixSocket } from './socket.ts';

/** Bytes [start, end) of the stream, counted from its beginning, with what travels beside them. */
interface Stretch {
  start: number;
  end: number;
  files: File[] | null;
  /** Who sent the descriptors, for the count of those in flight. */
  uid: number;
  creds: Ucred | null;
}

const NOBODY: Ucred = { pid: null, uid: 65534, gid: 65534 };

export class UnixStream extends UnixSocket {
  /** Received and not yet read. */
  readonly rx: ByteRing;
  /** Count of bytes read so far: the position of the oldest byte in rx. */
  private taken = 0;
  private readonly stretches: Fifo<Stretch> = new Fifo();
  private lastStretch: Stretch | null = null;

  constructor(ns: NetNs) {
    super(ns, SOCK_STREAM);
    this.rx = new ByteRing(this.rcvbuf);
  }

  protected sibling(): UnixSocket {
    return new UnixStream(this.ns);
  }

  override get sendSpace(): number {
    const p = this.peer as UnixStream | null;
    if (p === null || this.sndShut) return Infinity;
    return this.sndbuf - p.rx.length;
  }

  send(c: Caller, m: Message): number {
    if ((m.flags & MSG_OOB) !== 0) return -EOPNOTSUPP;
    const p = this.peer as UnixStream | null;
    if (m.nameLen > 0) return this.state === CONNECTED ? -EISCONN : -EOPNOTSUPP;
    if (p === null) return this.sndShut ? this.pipeError(c, m) : -ENOTCONN;
    if (this.sndShut || p.dead || p.rcvShut) return this.pipeError(c, m);
    if (m.len === 0) return 0;
    p.rx.limit = this.sndbuf;
    const at = p.taken + p.rx.length;
    const n = p.rx.write(m.buf, m.off, m.len);
    if (n === 0) return -EAGAIN;
    if (m.files !== null || m.creds !== null || this.passCred || p.passCred) p.attach(c, m, at, at + n);
    else p.lastStretch = null;
    p.queue.notify(POLLIN | POLLRDNORM);
    return n;
  }

  private pipeError(c: Caller, m: Message): number {
    if ((m.flags & MSG_NOSIGNAL) === 0) c.raise(SIGPIPE);
    return -EPIPE;
  }

  /** Notes what came with the bytes [start, end). */
  private attach(c: Caller, m: Message, start: number, end: number): void {
    const creds = m.creds ?? ucredOf(c);
    const last = this.lastStretch;
    if (m.files === null && last !== null && last.files === null && last.end === start && sameCreds(last.creds, creds)) {
      last.end = end;
      return;
    }
    const s: Stretch = { start, end, files: m.files, uid: c.creds.ruid, creds };
    if (m.files !== null) takeOff(this.ns, m.files, s.uid);
    m.files = null;
    this.stretches.push(s);
    this.lastStretch = s;
  }

  recv(_c: Caller, m: Message): number {
    if ((m.flags & MSG_OOB) !== 0) return -EOPNOTSUPP;
    if (this.state !== CONNECTED) return -EINVAL;
    if (this.rx.length === 0) {
      if (this.error !== 0) return this.takeError();
      return this.rcvShut ? 0 : -EAGAIN;
    }
    if (m.len === 0) return 0;
    const peek = (m.flags & MSG_PEEK) !== 0;
    let want = m.len < this.rx.length ? m.len : this.rx.length;
    if (this.stretches.length > 0) want = this.beside(m, want, peek);
    else if (this.passCred) m.creds = NOBODY;
    if (this.peer !== null) m.nameLen = this.peer.name === '' ? 0 : putUnixName(m.name, this.peer.name);
    if (peek) return this.rx.peek(m.buf, m.off, want);
    const before = this.rx.length;
    const n = this.rx.read(m.buf, m.off, want);
    this.taken += n;
    const limit = this.rx.limit;
    if (before * 4 > limit && this.rx.length * 4 <= limit && this.peer !== null) this.peer.queue.notify(POLLOUT | POLLWRNORM);
    return n;
  }

  /** Takes what travels with the next `want` bytes into the message, and says how many of them may be read at once. */
  private beside(m: Message, want: number, peek: boolean): number {
    let n = 0;
    for (let s = this.stretches.first(); n < want; s = this.stretches.first()) {
      const at = this.taken + n;
      if (s === undefined || at < s.start) {
        // Bytes that came without anything.
        if (this.passCred) {
          if (m.creds !== null && m.creds !== NOBODY) break;
          m.creds = NOBODY;
        }
        const stop = s === undefined ? want : s.start - this.taken;
        n = stop < want ? stop : want;
        continue;
      }
      if (this.passCred) {
        if (m.creds !== null && !sameCreds(m.creds, s.creds)) break;
        m.creds = s.creds;
      }
      const end = s.end - this.taken;
      const whole = end <= want;
      n = whole ? end : want;
      if (s.files !== null) {
        m.files = s.files;
        if (peek) for (const f of s.files) f.ref();
        else {
          land(this.ns, s.files, s.uid);
          s.files = null;
        }
        if (peek || whole) m.boundary = true;
      }
      if (peek) return n;
      if (!whole) return n;
      this.stretches.shift();
      if (s === this.lastStretch) this.lastStretch = null;
      if (m.files !== null) return n;
    }
    m.boundary = n < want;
    return n;
  }

  override poll(): number {
    if (this.state === LISTENING) {
      const more = this.acceptQueue.length > 0 ? POLLIN | POLLRDNORM : 0;
      return this.rcvShut ? more | POLLIN | POLLRDNORM | POLLRDHUP | (this.sndShut ? POLLHUP : 0) : more;
    }
    let mask = 0;
    if (this.error !== 0) mask |= POLLERR;
    if (this.rcvShut) {
      mask |= POLLRDHUP | POLLIN | POLLRDNORM;
      if (this.sndShut) mask |= POLLHUP;
    }
    if (this.rx.length > 0) mask |= POLLIN | POLLRDNORM;
    if (this.state === UNCONNECTED) mask |= POLLHUP;
    const p = this.peer as UnixStream | null;
    if (p === null || p.rx.length * 4 <= this.sndbuf) mask |= POLLOUT | POLLWRNORM | POLLWRBAND;
    return mask;
  }

  override pendingBytes(): number {
    return this.state === LISTENING ? -EINVAL : this.rx.length;
  }

  override outstandingBytes(): number {
    return this.peer === null ? 0 : (this.peer as UnixStream).rx.length;
  }

  override eachHeldFile(fn: (f: File) => void): void {
    this.stretches.forEach((s) => s.files?.forEach(fn));
    this.acceptQueue.forEach((far) => far.eachHeldFile(fn));
  }

  override dropHeldFiles(): void {
    this.stretches.forEach((s) => {
      if (s.files === null) return;
      const files = s.files;
      s.files = null;
      land(this.ns, files, s.uid);
      dropFiles(this.ns, files);
    });
    this.acceptQueue.forEach((far) => far.dropHeldFiles());
  }

  protected discard(): boolean {
    const unread = this.rx.length > 0;
    this.dropHeldFiles();
    this.rx.clear();
    return unread;
  }
}

function sameCreds(a: Ucred | null, b: Ucred | null): boolean {
  if (a === b) return true;
  return a !== null && b !== null && a.pid === b.pid && a.uid === b.uid && a.gid === b.gid;
}
