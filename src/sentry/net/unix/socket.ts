// What all AF_UNIX sockets share (unix(7)): names, connections, and the accept queue of stream and seqpacket listeners.

import {
  EADDRINUSE,
  EAGAIN,
  ECONNREFUSED,
  ECONNRESET,
  EINVAL,
  EISCONN,
  ENOTCONN,
  EOPNOTSUPP,
  EPERM,
  EPROTOTYPE,
  ESRCH,
} from '../../../abi/errno.ts';
import { POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM } from '../../../abi/poll.ts';
import {
  AF_UNIX,
  AF_UNSPEC,
  SHUT_RD,
  SHUT_RDWR,
  SHUT_WR,
  SO_PEERCRED,
  SO_PEERGROUPS,
  SOCK_DGRAM,
  SOL_SOCKET,
} from '../../../abi/socket.ts';
import { getU16, putU32 } from '../../../base/bytes.ts';
import type { Caller } from '../../vfs/caller.ts';
import { numberIn } from '../../kernel/pidns.ts';
import type { Task } from '../../kernel/task.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import { Fifo } from '../fifo.ts';
import type { Ucred } from '../message.ts';
import type { NetNs } from '../netns.ts';
import { Socket } from '../socket.ts';
import { mayCollect } from './flight.ts';
import { autoName, parseUnixName, putUnixName, unixTable } from './names.ts';
import { bindSocket, socketOf } from '../../vfs/hostfiles.ts';
import { bindPath, findPath, unbindPath } from './path.ts';

export const UNCONNECTED = 0;
export const CONNECTED = 1;
export const LISTENING = 2;

const IN = POLLIN | POLLRDNORM;
const OUT = POLLOUT | POLLWRNORM;
/** net.core.somaxconn: what a longer backlog is cut to. */
const SOMAXCONN_LIMIT = 4096;

let lastCred: Ucred = { pid: null, uid: 0, gid: 0 };

/** Credentials of a task as unix sockets show them. */
export function ucredOf(c: Caller): Ucred {
  const { euid, egid } = c.creds;
  const pid = (c as Task).tg.pid;
  if (lastCred.pid !== pid || lastCred.uid !== euid || lastCred.gid !== egid) lastCred = { pid, uid: euid, gid: egid };
  return lastCred;
}

export abstract class UnixSocket extends Socket {
  /** '' unnamed, '\0...' abstract, else a path. */
  name = '';
  /** Where a path name was bound. */
  private dentry: Dentry | null = null;
  state = UNCONNECTED;
  peer: UnixSocket | null = null;
  peerCred: Ucred | null = null;
  peerGroups: number[] = [];
  /** Nothing more will be received, or sent. */
  rcvShut = false;
  sndShut = false;
  /** Closed: those who still point here find nobody. */
  dead = false;

  // Listening.
  backlog = 0;
  readonly acceptQueue: Fifo<UnixSocket> = new Fifo();
  /** Sockets that wait for room in this one's accept queue or message queue. */
  private roomWanted: Set<UnixSocket> | null = null;

  constructor(ns: NetNs, type: number) {
    super(ns, AF_UNIX, type, 0);
    unixTable(ns).all.add(this);
  }

  override get listening(): boolean {
    return this.state === LISTENING;
  }

  /** A fresh socket of the same kind, for the far end of a connection. */
  protected abstract sibling(): UnixSocket;

  /** Unread data is thrown away. True if there was any. */
  protected abstract discard(): boolean;

  bind(c: Caller, addr: Uint8Array, len: number): number {
    const name = parseUnixName(addr, len);
    if (typeof name === 'number') return name;
    if (this.name !== '') return name === '' ? 0 : -EINVAL;
    if (name === '') return this.autobind();
    if (name.charCodeAt(0) === 0) {
      const table = unixTable(this.ns).abstract;
      const key = name.slice(1);
      if (table.has(key)) return -EADDRINUSE;
      table.set(key, this);
    } else {
      const r = bindPath(c, name);
      if (typeof r === 'number') return r;
      bindSocket(r.inode!, this);
      this.dentry = r;
    }
    this.name = name;
    return 0;
  }

  private autobind(): number {
    if (this.name !== '') return 0;
    const name = autoName(this.ns, this);
    if (name === '') return -EADDRINUSE;
    this.name = name;
    return 0;
  }

  /** SO_PASSCRED makes a socket that sends have a name (unix(7)). */
  protected nameForCredentials(): void {
    if (this.passCred && this.name === '') this.autobind();
  }

  /** The socket bound to `name`, or -errno. */
  protected find(c: Caller, name: string): UnixSocket | number {
    if (name === '') return -EINVAL;
    let s: unknown;
    if (name.charCodeAt(0) === 0) s = unixTable(this.ns).abstract.get(name.slice(1));
    else {
      const inode = findPath(c, name);
      if (typeof inode === 'number') return inode;
      s = socketOf(inode);
    }
    if (!(s instanceof UnixSocket) || s.dead) return -ECONNREFUSED;
    if (s.type !== this.type) return -EPROTOTYPE;
    return s;
  }

  connect(c: Caller, addr: Uint8Array, len: number, _nonblock: boolean): number {
    if (len < 2) return -EINVAL;
    if (this.type === SOCK_DGRAM && getU16(addr, 0) === AF_UNSPEC) {
      this.setPeer(null);
      return 0;
    }
    const name = parseUnixName(addr, len);
    if (typeof name === 'number') return name;
    if (this.state === LISTENING) return -EINVAL;
    if (this.state === CONNECTED && this.type !== SOCK_DGRAM) return -EISCONN;
    const to = this.find(c, name);
    if (typeof to === 'number') return to;
    this.nameForCredentials();
    if (this.type === SOCK_DGRAM) {
      if (to.peer !== null && to.peer !== this) return -EPERM;
      this.setPeer(to);
      this.peerCred = ucredOf(c);
      return 0;
    }
    if (to.state !== LISTENING || to.rcvShut) return -ECONNREFUSED;
    if (to.acceptQueue.length > to.backlog) {
      to.wantRoom(this);
      return -EAGAIN;
    }
    const far = this.sibling();
    far.inherit(to);
    far.name = to.name;
    far.peerCred = ucredOf(c);
    far.peerGroups = c.creds.groups;
    far.state = CONNECTED;
    far.peer = this;
    this.peer = far;
    this.peerCred = to.peerCred;
    this.peerGroups = to.peerGroups;
    this.state = CONNECTED;
    to.acceptQueue.push(far);
    to.queue.notify(IN);
    this.queue.notify(OUT);
    return 0;
  }

  /** socketpair(2). */
  static join(c: Caller, a: UnixSocket, b: UnixSocket): void {
    const cred = ucredOf(c);
    a.peer = b;
    b.peer = a;
    a.peerCred = cred;
    b.peerCred = cred;
    a.peerGroups = c.creds.groups;
    b.peerGroups = c.creds.groups;
    a.state = CONNECTED;
    b.state = CONNECTED;
  }

  protected setPeer(to: UnixSocket | null): void {
    const old = this.peer;
    this.peer = to;
    this.state = to === null ? UNCONNECTED : CONNECTED;
    if (old !== null && old !== to) this.queue.notify(OUT);
  }

  override listen(c: Caller, backlog: number): number {
    if (this.type === SOCK_DGRAM) return -EOPNOTSUPP;
    if (this.name === '' || this.state === CONNECTED) return -EINVAL;
    const n = backlog >>> 0;
    const room = n > this.backlog;
    this.backlog = n < SOMAXCONN_LIMIT ? n : SOMAXCONN_LIMIT;
    this.state = LISTENING;
    this.peerCred = ucredOf(c);
    this.peerGroups = c.creds.groups;
    if (room) this.roomMade();
    return 0;
  }

  override unaccept(s: Socket): void {
    this.acceptQueue.unshift(s as UnixSocket);
  }

  override accept(): Socket | number {
    if (this.type === SOCK_DGRAM) return -EOPNOTSUPP;
    if (this.state !== LISTENING) return -EINVAL;
    const far = this.acceptQueue.shift();
    if (far === undefined) return this.rcvShut ? -EINVAL : -EAGAIN;
    this.roomMade();
    return far;
  }

  override getName(out: Uint8Array, peer: boolean): number {
    if (!peer) return putUnixName(out, this.name);
    if (this.peer === null) return -ENOTCONN;
    return putUnixName(out, this.peer.name);
  }

  override shutdown(how: number): number {
    if (how < SHUT_RD || how > SHUT_RDWR) return -EINVAL;
    const read = how !== SHUT_WR;
    const write = how !== SHUT_RD;
    if (read) this.rcvShut = true;
    if (write) this.sndShut = true;
    this.queue.notify(-1);
    const p = this.peer;
    if (p !== null && this.type !== SOCK_DGRAM) {
      if (read) p.sndShut = true;
      if (write) p.rcvShut = true;
      p.queue.notify(-1);
    }
    return 0;
  }

  /** `s` is told when this socket's queue has room again. */
  wantRoom(s: UnixSocket): void {
    if (this.roomWanted === null) this.roomWanted = new Set();
    this.roomWanted.add(s);
  }

  protected roomMade(): void {
    if (this.roomWanted === null) return;
    const waiting = this.roomWanted;
    this.roomWanted = null;
    for (const s of waiting) s.queue.notify(OUT);
  }

  release(): void {
    if (this.dead) return;
    this.dead = true;
    const table = unixTable(this.ns);
    table.all.delete(this);
    // The far end of a connection shares its listener's name, but does not own it.
    if (this.name.charCodeAt(0) === 0 && table.abstract.get(this.name.slice(1)) === this) table.abstract.delete(this.name.slice(1));
    if (this.dentry !== null) unbindPath(this.dentry, this);
    this.dentry = null;
    const unread = this.discard();
    if (this.state === LISTENING) {
      for (let s = this.acceptQueue.shift(); s !== undefined; s = this.acceptQueue.shift()) {
        if (s.peer !== null) s.peer.error = ECONNRESET;
        s.release();
      }
    }
    const p = this.peer;
    if (p !== null) {
      if (this.type !== SOCK_DGRAM) {
        p.rcvShut = true;
        p.sndShut = true;
        if (unread) p.error = ECONNRESET;
      }
      p.queue.notify(-1);
      this.peer = null;
    }
    this.roomMade();
    mayCollect(this.ns);
  }

  override getOption(c: Caller, level: number, name: number, out: Uint8Array, len: number): number | undefined {
    if (level !== SOL_SOCKET) return -EOPNOTSUPP;
    if (name === SO_PEERCRED) {
      const cred = this.peerCred ?? { pid: null, uid: -1, gid: -1 };
      putU32(out, 0, numberIn(cred.pid, (c as Task).pidns));
      putU32(out, 4, cred.uid);
      putU32(out, 8, cred.gid);
      return len < 12 ? len : 12;
    }
    if (name === SO_PEERGROUPS) {
      if (this.peerCred === null) return -ESRCH;
      const n = this.peerGroups.length * 4;
      for (let i = 0; i < this.peerGroups.length && i * 4 + 4 <= out.length; i++) putU32(out, i * 4, this.peerGroups[i]!);
      return len < n ? len : n;
    }
    return undefined;
  }

  override setOption(_c: Caller, level: number, _name: number, _val: Uint8Array, _len: number): number | undefined {
    return level !== SOL_SOCKET ? -EOPNOTSUPP : undefined;
  }
}
