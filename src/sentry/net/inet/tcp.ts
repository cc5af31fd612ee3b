// TCP between processes of the sandbox (tcp(7), RFC 9293): connections are pairs of byte rings, without packets, with the states, errors
// and readiness that Linux shows. A real stack can take the place of this file behind the same Socket interface.

import {
  EADDRINUSE,
  EADDRNOTAVAIL,
  EAGAIN,
  EALREADY,
  ECONNABORTED,
  ECONNREFUSED,
  ECONNRESET,
  EINPROGRESS,
  EINVAL,
  EISCONN,
  ENOTCONN,
  EOPNOTSUPP,
  EPIPE,
} from '../../../abi/errno.ts';
import { POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP, POLLRDNORM, POLLWRNORM } from '../../../abi/poll.ts';
import { SIGPIPE } from '../../../abi/signal.ts';
import {
  AF_UNSPEC,
  IPPROTO_TCP,
  MSG_ERRQUEUE,
  MSG_NOSIGNAL,
  MSG_OOB,
  MSG_PEEK,
  MSG_TRUNC,
  SHUT_RD,
  SHUT_RDWR,
  SHUT_WR,
  SOCK_STREAM,
  SOL_TCP,
} from '../../../abi/socket.ts';
import { getU16 } from '../../../base/bytes.ts';
import { ByteRing } from '../../../base/ring.ts';
import type { Caller } from '../../vfs/caller.ts';
import { Fifo } from '../fifo.ts';
import type { Message } from '../message.ts';
import type { NetNs } from '../netns.ts';
import type { Socket } from '../socket.ts';
import { Endpoint, matchScore, parseEndpoint } from './addr.ts';
import type { PortTable } from './ports.ts';
import { InetSocket, NO_ROUTE, UNREACHABLE } from './socket.ts';
import { inetTables } from './tables.ts';
import { getTcpOption, setTcpOption } from './tcpopts.ts';

/** States, numbered as in /proc/net/tcp and struct tcp_info. */
export const TCP_ESTABLISHED = 1;
export const TCP_SYN_SENT = 2;
export const TCP_FIN_WAIT2 = 5;
export const TCP_CLOSE = 7;
export const TCP_CLOSE_WAIT = 8;
export const TCP_LISTEN = 10;

const IN = POLLIN | POLLRDNORM;
const OUT = POLLOUT | POLLWRNORM;
const SOMAXCONN_LIMIT = 4096;
/** net.ipv4.tcp_rmem and tcp_wmem, in the middle. */
const TCP_RCVBUF = 131072;
const TCP_SNDBUF = 131072;
const RING_START = 4096;

const endpoint = new Endpoint();

export class TcpSocket extends InetSocket {
  state = TCP_CLOSE;
  /** The other end; null before the connection and after either side has closed it. */
  peer: TcpSocket | null = null;
  readonly rx: ByteRing = new ByteRing(TCP_RCVBUF, RING_START);
  rcvShut = false;
  sndShut = false;
  /** The peer's FIN has come: reads end with 0, whatever error follows. */
  private finSeen = false;
  /** connect(2) has begun and its outcome was not reported yet. */
  private connecting = false;
  /** Bytes sent and received, for TCP_INFO. */
  bytesSent = 0;
  bytesReceived = 0;

  // Listening.
  backlog = 0;
  readonly acceptQueue: Fifo<TcpSocket> = new Fifo();
  /** Sockets whose SYN waits for room in the accept queue. */
  private readonly synQueue: Fifo<TcpSocket> = new Fifo();
  private listener: TcpSocket | null = null;

  constructor(ns: NetNs, family: number) {
    super(ns, family, SOCK_STREAM, IPPROTO_TCP);
    this.rcvbuf = TCP_RCVBUF;
    this.sndbuf = TCP_SNDBUF;
  }

  protected get table(): PortTable<InetSocket> {
    return inetTables(this.ns).tcp as PortTable<InetSocket>;
  }

  override get listening(): boolean {
    return this.state === TCP_LISTEN;
  }

  protected get hasPeer(): boolean {
    return this.remotePort !== 0 && this.state !== TCP_CLOSE && this.state !== TCP_SYN_SENT;
  }

  protected override get mayBind(): boolean {
    return this.localPort === 0 && this.state === TCP_CLOSE;
  }

  /** Accepted connections hold the port but cannot listen; only listeners defeat SO_REUSEADDR. */
  override listen(_c: Caller, backlog: number): number {
    if (this.state !== TCP_CLOSE && this.state !== TCP_LISTEN) return -EINVAL;
    const n = backlog >>> 0;
    this.backlog = n < SOMAXCONN_LIMIT ? n : SOMAXCONN_LIMIT;
    if (this.state === TCP_LISTEN) {
      this.admit();
      return 0;
    }
    const err = this.autobind();
    if (err < 0) return err;
    if (!this.table.mayListen(this)) return -EADDRINUSE;
    this.state = TCP_LISTEN;
    this.rcvShut = false;
    this.sndShut = false;
    return 0;
  }

  override unaccept(s: Socket): void {
    this.acceptQueue.unshift(s as TcpSocket);
  }

  override accept(): Socket | number {
    if (this.state !== TCP_LISTEN) return -EINVAL;
    const far = this.acceptQueue.shift();
    if (far === undefined) return -EAGAIN;
    if (this.synQueue.length > 0) this.admit();
    return far;
  }

  /** Lets waiting connections into the accept queue while there is room. */
  private admit(): void {
    while (this.synQueue.length > 0 && this.acceptQueue.length <= this.backlog) {
      const s = this.synQueue.shift()!;
      s.listener = null;
      s.establish(this);
      s.queue.notify(OUT);
    }
  }

  connect(_c: Caller, addr: Uint8Array, len: number, nonblock: boolean): number {
    if (len < 2) return -EINVAL;
    if (getU16(addr, 0) === AF_UNSPEC) return this.disconnect();
    if (this.connecting) {
      if (this.state === TCP_SYN_SENT) return -EALREADY;
      this.connecting = false;
      if (this.state !== TCP_CLOSE) return 0;
      return this.failedConnect();
    }
    if (this.state !== TCP_CLOSE) return -EISCONN;
    const err = parseEndpoint(addr, len, this.family, endpoint);
    if (err < 0) return err;
    const port = endpoint.port;
    const dest = this.route(endpoint.ip);
    if (dest === NO_ROUTE) return UNREACHABLE;
    const bound = this.autobind();
    if (bound < 0) return -EADDRNOTAVAIL;
    this.localIp = this.sourceFor(dest);
    this.remoteIp = dest;
    this.remotePort = port;
    this.error = 0;
    this.rcvShut = false;
    this.sndShut = false;
    this.finSeen = false;
    const to = this.findListener(dest, port);
    if (to === null) {
      this.refused();
      if (!nonblock) return this.failedConnect();
    } else if (to.acceptQueue.length > to.backlog) {
      this.state = TCP_SYN_SENT;
      this.listener = to;
      to.synQueue.push(this);
      this.connecting = true;
      return -EINPROGRESS;
    } else {
      this.establish(to);
      if (!nonblock) return 0;
    }
    // A non-blocking connect never tells its outcome at once, not even on lo.
    this.connecting = true;
    return -EINPROGRESS;
  }

  /** The listener that a connection to dest:port goes to: the best fit, and among equal ones (SO_REUSEPORT) the least busy. */
  private findListener(dest: number, port: number): TcpSocket | null {
    let best: TcpSocket | null = null;
    let bestScore = 0;
    const holders = this.table.at(port);
    if (holders === undefined) return null;
    for (const h of holders) {
      const s = h as TcpSocket;
      if (s.state !== TCP_LISTEN) continue;
      const score = matchScore(s.localIp, s.v6only, dest);
      if (score > bestScore || (score > 0 && score === bestScore && s.acceptQueue.length < best!.acceptQueue.length)) {
        best = s;
        bestScore = score;
      }
    }
    return best;
  }

  /** connect(2) reports its failure: the socket is as good as new. */
  private failedConnect(): number {
    const err = this.error !== 0 ? -this.error : -ECONNABORTED;
    this.disconnect();
    return err;
  }

  private refused(): void {
    this.error = ECONNREFUSED;
    this.fail();
  }

  /** The connection is over for both directions (tcp_done). */
  private fail(): void {
    this.state = TCP_CLOSE;
    this.rcvShut = true;
    this.sndShut = true;
    this.peer = null;
    if (this.boundPort === 0 && this.localPort !== 0 && this.error === ECONNREFUSED) {
      this.table.remove(this);
      this.localPort = 0;
      this.localIp = this.boundIp;
    }
    this.queue.notify(-1);
  }

  private establish(to: TcpSocket): void {
    const far = new TcpSocket(this.ns, to.family);
    far.inherit(to);
    far.localIp = this.remoteIp;
    far.localPort = to.localPort;
    far.remoteIp = this.localIp;
    far.remotePort = this.localPort;
    far.state = TCP_ESTABLISHED;
    far.peer = this;
    this.peer = far;
    this.state = TCP_ESTABLISHED;
    this.table.add(far);
    to.acceptQueue.push(far);
    to.queue.notify(IN);
  }

  /** connect(2) with AF_UNSPEC: back to the beginning. */
  private disconnect(): number {
    if (this.state === TCP_LISTEN) this.stopListening();
    else if (this.state === TCP_SYN_SENT) this.leaveListener();
    else if (this.peer !== null) this.reset();
    this.state = TCP_CLOSE;
    this.connecting = false;
    this.error = 0;
    this.rcvShut = false;
    this.sndShut = false;
    this.finSeen = false;
    this.rx.clear();
    this.remotePort = 0;
    if (this.boundPort === 0 && this.localPort !== 0) {
      this.table.remove(this);
      this.localPort = 0;
    }
    this.localIp = this.boundIp;
    this.queue.notify(-1);
    return 0;
  }

  override get sendSpace(): number {
    const p = this.peer;
    if (p === null || this.sndShut) return Infinity;
    return this.sndbuf + p.rcvbuf - p.rx.length;
  }

  send(c: Caller, m: Message): number {
    if (this.error !== 0 || this.sndShut) return this.sendError(c, m);
    if (this.state === TCP_SYN_SENT) return -EAGAIN;
    if (this.state !== TCP_ESTABLISHED && this.state !== TCP_CLOSE_WAIT) return this.sendError(c, m);
    if ((m.flags & MSG_OOB) !== 0) return -EOPNOTSUPP;
    if (m.len === 0) return 0;
    const p = this.peer;
    if (p === null) {
      // Nobody is there any more: the bytes go out, and a reset comes back.
      this.error = this.state === TCP_CLOSE_WAIT ? EPIPE : ECONNRESET;
      this.fail();
      return m.len;
    }
    p.rx.limit = this.sndbuf + p.rcvbuf;
    const n = p.rx.write(m.buf, m.off, m.len);
    if (n === 0) return -EAGAIN;
    this.bytesSent += n;
    p.bytesReceived += n;
    this.ns.lo.count(n);
    p.queue.notify(IN);
    return n;
  }

  private sendError(c: Caller, m: Message): number {
    const e = this.error !== 0 ? this.takeError() : -EPIPE;
    if (e === -EPIPE && (m.flags & MSG_NOSIGNAL) === 0) c.raise(SIGPIPE);
    return e;
  }

  recv(_c: Caller, m: Message): number {
    if ((m.flags & MSG_ERRQUEUE) !== 0) return -EAGAIN;
    if (this.state === TCP_LISTEN) return -ENOTCONN;
    if ((m.flags & MSG_OOB) !== 0) return -EINVAL;
    const rx = this.rx;
    if (rx.length === 0) {
      if (this.finSeen) return 0;
      if (this.error !== 0) return this.takeError();
      if (this.rcvShut) return 0;
      return this.state === TCP_CLOSE ? -ENOTCONN : -EAGAIN;
    }
    if ((m.flags & MSG_PEEK) !== 0) return rx.peek(m.buf, m.off, m.len);
    const before = rx.length;
    let n: number;
    if ((m.flags & MSG_TRUNC) !== 0) {
      n = m.len < before ? m.len : before;
      rx.drop(n);
      m.discarded = true;
    } else n = rx.read(m.buf, m.off, m.len);
    const mark = writeMark(rx.limit);
    if (before > mark && rx.length <= mark && this.peer !== null) this.peer.queue.notify(OUT);
    return n;
  }

  override poll(): number {
    if (this.state === TCP_LISTEN) return this.acceptQueue.length > 0 ? IN : 0;
    let mask = 0;
    if ((this.rcvShut && this.sndShut) || this.state === TCP_CLOSE) mask |= POLLHUP;
    if (this.rcvShut) mask |= IN | POLLRDHUP;
    if (this.state !== TCP_SYN_SENT) {
      if (this.rx.length >= this.rcvLowat) mask |= IN;
      const p = this.peer;
      if (this.sndShut || p === null || p.rx.length <= writeMark(this.sndbuf + p.rcvbuf)) mask |= OUT;
    }
    if (this.error !== 0) mask |= POLLERR;
    return mask;
  }

  override shutdown(how: number): number {
    if (how < SHUT_RD || how > SHUT_RDWR) return -EINVAL;
    if (this.state === TCP_LISTEN) {
      if (how === SHUT_WR) return 0;
      this.stopListening();
      this.state = TCP_CLOSE;
      this.queue.notify(-1);
      return 0;
    }
    if (this.state === TCP_SYN_SENT) {
      this.leaveListener();
      this.error = ECONNRESET;
      this.fail();
      return 0;
    }
    if (this.state === TCP_CLOSE) return -ENOTCONN;
    if (how !== SHUT_WR) this.rcvShut = true;
    if (how !== SHUT_RD && !this.sndShut) {
      this.sndShut = true;
      this.sendFin();
    }
    this.queue.notify(-1);
    return 0;
  }

  /** Tells the peer that no more data will come; when it said so before, both sides are done. */
  private sendFin(): void {
    const p = this.peer;
    if (p !== null) {
      p.finSeen = true;
      p.rcvShut = true;
      if (p.sndShut) p.finish();
      else p.state = TCP_CLOSE_WAIT;
      p.queue.notify(-1);
    }
    if (this.finSeen) this.finish();
    else this.state = TCP_FIN_WAIT2;
  }

  /** Both directions are closed in order. */
  private finish(): void {
    this.state = TCP_CLOSE;
    this.rcvShut = true;
    this.sndShut = true;
    this.peer = null;
  }

  /** The peer gets a reset. */
  private reset(): void {
    const p = this.peer;
    this.peer = null;
    if (p === null) return;
    p.error = p.state === TCP_CLOSE_WAIT ? EPIPE : ECONNRESET;
    p.fail();
  }

  private stopListening(): void {
    for (let s = this.acceptQueue.shift(); s !== undefined; s = this.acceptQueue.shift()) {
      s.reset();
      s.table.remove(s);
    }
    for (let s = this.synQueue.shift(); s !== undefined; s = this.synQueue.shift()) {
      s.listener = null;
      s.refused();
    }
  }

  private leaveListener(): void {
    if (this.listener !== null) this.listener.synQueue.remove(this);
    this.listener = null;
  }

  release(): void {
    if (this.state === TCP_LISTEN) this.stopListening();
    else if (this.state === TCP_SYN_SENT) this.leaveListener();
    else if (this.rx.length > 0 || (this.lingerOn && this.lingerTime === 0)) this.reset();
    else if (this.peer !== null) {
      const p = this.peer;
      if (!this.sndShut) this.sendFin();
      // What the peer sends from now on meets nobody.
      if (p.peer === this) {
        p.peer = null;
        p.queue.notify(OUT);
      }
    }
    this.state = TCP_CLOSE;
    this.peer = null;
    this.rx.clear();
    if (this.localPort !== 0) this.table.remove(this);
    this.localPort = 0;
  }

  override pendingBytes(): number {
    return this.state === TCP_LISTEN ? -EINVAL : this.rx.length;
  }

  override outstandingBytes(): number {
    if (this.state === TCP_LISTEN) return -EINVAL;
    return this.peer === null ? 0 : this.peer.rx.length;
  }

  override getOption(c: Caller, level: number, name: number, out: Uint8Array, len: number): number | undefined {
    return level === SOL_TCP ? getTcpOption(this, name, out, len) : super.getOption(c, level, name, out, len);
  }

  override setOption(c: Caller, level: number, name: number, val: Uint8Array, len: number): number | undefined {
    return level === SOL_TCP ? setTcpOption(this, name, val, len) : super.setOption(c, level, name, val, len);
  }
}

/** Most unread bytes with which a socket counts as writable: a third of the room must be free (sk_stream_is_writeable). */
function writeMark(limit: number): number {
  return limit - limit / 3;
}
