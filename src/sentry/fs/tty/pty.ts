// The two ends of a pseudoterminal (pty(7)): the master, which the terminal emulator holds, and the slave, which programs use.

import { CAP_SYS_ADMIN } from '../../../abi/capability.ts';
import { EAGAIN, EBUSY, EFAULT, EINVAL, EIO, ENOTTY } from '../../../abi/errno.ts';
import { O_ACCMODE, O_CLOEXEC, O_NOCTTY, O_NONBLOCK, O_WRONLY } from '../../../abi/fcntl.ts';
import {
  FIONREAD,
  TIOCGPKT,
  TIOCGPTLCK,
  TIOCGPTN,
  TIOCGPTPEER,
  TIOCPKT,
  TIOCPKT_DATA,
  TIOCSIG,
  TIOCSPGRP,
  TIOCSPTLCK,
  TOSTOP,
} from '../../../abi/ioctl.ts';
import { POLLERR, POLLHUP, POLLIN, POLLOUT, POLLPRI, POLLRDNORM, POLLWRNORM } from '../../../abi/poll.ts';
import { SIGTTIN, SIGTTOU } from '../../../abi/signal.ts';
import { putU32 } from '../../../base/bytes.ts';
import { monotonicNs } from '../../../base/clock.ts';
import type { Task } from '../../kernel/task.ts';
import type { Caller } from '../../vfs/caller.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import { File } from '../../vfs/file.ts';
import type { Inode } from '../../vfs/inode.ts';
import type { Mount } from '../../vfs/mount.ts';
import { getInt, ttyInput, ttyIoctl } from './ioctl.ts';
import type { Tty } from './tty.ts';

const READY_IN = POLLIN | POLLRDNORM;
const READY_OUT = POLLOUT | POLLWRNORM;
/** A tenth of a second, the unit of VTIME. */
const DECISECOND = 1e8;
const SIGNAL_MAX = 64;
const word = new Uint8Array(4);

/** The device file system's part in a pty: its number, and the peer's opening. */
export interface PtyHome {
  /** Opens the slave of number `index` (TIOCGPTPEER). */
  openPeer(index: number, flags: number, mount: Mount): File | number;
  /** The master is closed: the number is free again. */
  freed(index: number): void;
}

export class SlaveFile extends File {
  readonly tty: Tty;
  /** Of the terminal when this was opened: a later hangup makes this description dead. */
  private readonly generation: number;

  constructor(tty: Tty, inode: Inode, flags: number, mount: Mount | null, dentry: Dentry | null) {
    super(inode, flags & ~O_NOCTTY, mount, dentry);
    this.tty = tty;
    this.queue = tty.slaveQueue;
    tty.openSlave();
    this.generation = tty.generation;
  }

  override get stream(): boolean {
    return true;
  }

  private get dead(): boolean {
    return this.generation !== this.tty.generation;
  }

  override read(c: Caller, buf: Uint8Array, off: number, len: number): number {
    if (this.dead) return 0;
    const t = c as Task;
    const tty = this.tty;
    const r = tty.checkBackground(t, SIGTTIN);
    if (r < 0) return r;
    const n = tty.ldisc.canonical ? tty.ldisc.read(buf, off, len) : this.readRaw(t, buf, off, len);
    if (n > 0) tty.masterQueue.notify(READY_OUT);
    return n;
  }

  /** MIN and TIME of termios(3). */
  private readRaw(t: Task, buf: Uint8Array, off: number, len: number): number {
    const l = this.tty.ldisc;
    const held = l.pending;
    const nonblock = (this.flags & O_NONBLOCK) !== 0;
    const min = l.minimum < len ? l.minimum : len;
    if (held >= min && held > 0) return l.read(buf, off, len);
    if (nonblock) return held > 0 ? l.read(buf, off, len) : min === 0 && l.time === 0 ? 0 : -EAGAIN;
    if (l.time === 0) return min === 0 ? 0 : -EAGAIN;
    const now = monotonicNs();
    if (l.minimum === 0) {
      // A timeout for the whole read.
      if (t.rs.deadline === Infinity) t.rs.deadline = now + l.time * DECISECOND;
      return now >= t.rs.deadline ? 0 : -EAGAIN;
    }
    // A timeout between bytes, from the first one on.
    if (held === 0) {
      t.rs.deadline = Infinity;
      return -EAGAIN;
    }
    if (t.rs.a === 0) t.rs.a = now;
    const from = this.tty.lastInput > t.rs.a ? this.tty.lastInput : t.rs.a;
    t.rs.deadline = from + l.time * DECISECOND;
    return now >= t.rs.deadline ? l.read(buf, off, len) : -EAGAIN;
  }

  override write(c: Caller, buf: Uint8Array, off: number, len: number): number {
    const tty = this.tty;
    if (this.dead || tty.masterClosed) return -EIO;
    if ((tty.ldisc.termios.lflag & TOSTOP) !== 0) {
      const r = tty.checkBackground(c as Task, SIGTTOU);
      if (r < 0) return r;
    }
    return tty.ldisc.write(buf, off, len);
  }

  override poll(): number {
    if (this.dead || this.tty.masterClosed) return READY_IN | READY_OUT | POLLERR | POLLHUP;
    const l = this.tty.ldisc;
    let mask = 0;
    if (l.readable) mask |= READY_IN;
    if (l.outputSpace > 0) mask |= READY_OUT;
    return mask;
  }

  override ioctl(c: Caller, command: number, arg: number): number {
    const t = c as Task;
    const cmd = command >>> 0;
    if (this.dead) return cmd === TIOCSPGRP ? -ENOTTY : -EIO;
    if (cmd === FIONREAD) {
      putU32(word, 0, this.tty.ldisc.available);
      return t.copyOut(arg, word, 0, 4);
    }
    return ttyIoctl(t, this.tty, cmd, arg, false, (this.flags & O_ACCMODE) !== O_WRONLY);
  }

  protected override release(): void {
    this.tty.closeSlave();
  }
}

/** Opens the programs' end for `c`: a session leader without a terminal gets it as its controlling one, unless O_NOCTTY is given. */
export function openSlave(
  c: Caller | null,
  tty: Tty,
  inode: Inode,
  flags: number,
  mount: Mount | null,
  dentry: Dentry | null,
): File | number {
  if (tty.masterClosed || tty.locked) return -EIO;
  if (tty.exclusive && c !== null && !c.creds.has(CAP_SYS_ADMIN)) return -EBUSY;
  const f = new SlaveFile(tty, inode, flags, mount, dentry);
  if (c !== null && (flags & O_NOCTTY) === 0 && (flags & O_ACCMODE) !== O_WRONLY) {
    const t = c as Task;
    const g = t.tg;
    if (g.session.leader === g && g.session.tty === null && tty.session === null) tty.adopt(t);
  }
  return f;
}

export class MasterFile extends File {
  readonly tty: Tty;
  readonly index: number;
  private readonly home: PtyHome;
  /** Where the slave's name is seen (TIOCGPTPEER). */
  private readonly ptsMount: Mount;

  constructor(tty: Tty, index: number, home: PtyHome, inode: Inode, flags: number, ptsMount: Mount) {
    super(inode, flags & ~O_NOCTTY);
    this.tty = tty;
    this.index = index;
    this.home = home;
    this.ptsMount = ptsMount;
    this.queue = tty.masterQueue;
  }

  override get stream(): boolean {
    return true;
  }

  override read(_c: Caller | null, buf: Uint8Array, off: number, len: number): number {
    const tty = this.tty;
    const out = tty.ldisc.out;
    if (tty.packet) return this.readPacket(buf, off, len);
    if (out.length === 0) return tty.slaveClosed ? -EIO : len === 0 ? 0 : -EAGAIN;
    const n = out.read(buf, off, len);
    tty.slaveQueue.notify(READY_OUT);
    return n;
  }

  private readPacket(buf: Uint8Array, off: number, len: number): number {
    const tty = this.tty;
    const out = tty.ldisc.out;
    if (len === 0) return 0;
    if (tty.packetStatus !== 0) {
      buf[off] = tty.packetStatus;
      tty.packetStatus = 0;
      return 1;
    }
    if (out.length === 0) return tty.slaveClosed ? -EIO : -EAGAIN;
    buf[off] = TIOCPKT_DATA;
    const n = out.read(buf, off + 1, len - 1);
    tty.slaveQueue.notify(READY_OUT);
    return n + 1;
  }

  override write(_c: Caller | null, buf: Uint8Array, off: number, len: number): number {
    const tty = this.tty;
    if (len === 0) return 0;
    if (tty.slaveClosed) return -EIO;
    const n = ttyInput(tty, buf, off, len);
    return n > 0 ? n : -EAGAIN;
  }

  override poll(): number {
    const tty = this.tty;
    let mask = 0;
    if (tty.ldisc.out.length > 0) mask |= READY_IN;
    if (tty.packet && tty.packetStatus !== 0) mask |= READY_IN | POLLPRI;
    if (tty.slaveClosed) mask |= POLLHUP;
    else if (tty.ldisc.inputSpace > 0) mask |= READY_OUT;
    return mask;
  }

  override ioctl(c: Caller, command: number, arg: number): number {
    const t = c as Task;
    const cmd = command >>> 0;
    const tty = this.tty;
    switch (cmd) {
      case FIONREAD:
        putU32(word, 0, tty.ldisc.out.length);
        return t.copyOut(arg, word, 0, 4);
      case TIOCGPTN:
        putU32(word, 0, this.index);
        return t.copyOut(arg, word, 0, 4);
      case TIOCSPTLCK: {
        const v = getInt(t, arg);
        if (Number.isNaN(v)) return -EFAULT;
        tty.locked = v !== 0;
        return 0;
      }
      case TIOCGPTLCK:
        putU32(word, 0, tty.locked ? 1 : 0);
        return t.copyOut(arg, word, 0, 4);
      case TIOCPKT: {
        const v = getInt(t, arg);
        if (Number.isNaN(v)) return -EFAULT;
        if (v !== 0 && !tty.packet) tty.packetStatus = 0;
        tty.packet = v !== 0;
        return 0;
      }
      case TIOCGPKT:
        putU32(word, 0, tty.packet ? 1 : 0);
        return t.copyOut(arg, word, 0, 4);
      case TIOCSIG:
        if (arg < 1 || arg > SIGNAL_MAX) return -EINVAL;
        tty.signal(arg);
        return 0;
      case TIOCGPTPEER: {
        if ((arg & ~(O_ACCMODE | O_NOCTTY | O_CLOEXEC | O_NONBLOCK)) !== 0) return -EINVAL;
        const peer = this.home.openPeer(this.index, arg & ~O_CLOEXEC, this.ptsMount);
        return typeof peer === 'number' ? peer : t.fds.install(peer, (arg & O_CLOEXEC) !== 0);
      }
      default:
        return ttyIoctl(t, tty, cmd, arg, true, true);
    }
  }

  protected override release(): void {
    this.tty.closeMaster();
    this.home.freed(this.index);
  }
}
