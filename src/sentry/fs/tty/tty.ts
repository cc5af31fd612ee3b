// A terminal: line discipline, window size, session and foreground group, and job control (tty_jobctrl.c). Both ends of a pty share one.

import { EINTR, EIO, ENOTTY } from '../../../abi/errno.ts';
import {
  EXTPROC,
  IXON,
  TIOCPKT_DOSTOP,
  TIOCPKT_FLUSHREAD,
  TIOCPKT_FLUSHWRITE,
  TIOCPKT_IOCTL,
  TIOCPKT_NOSTOP,
  TIOCPKT_START,
  TIOCPKT_STOP,
  VSTART,
  VSTOP,
} from '../../../abi/ioctl.ts';
import { POLLERR, POLLHUP, POLLIN, POLLOUT, POLLPRI, POLLRDNORM, POLLWRNORM } from '../../../abi/poll.ts';
import { SIGCONT, SIGHUP, SIGTTIN, SIGWINCH } from '../../../abi/signal.ts';
import { ERESTARTSYS } from '../../../base/result.ts';
import { WaitQueue } from '../../../base/waitqueue.ts';
import type { ControllingTty, ProcessGroup, Session } from '../../kernel/session.ts';
import { SigInfo, sigIn } from '../../kernel/siginfo.ts';
import { signalGroup, signalPgrp } from '../../kernel/signals.ts';
import type { Task } from '../../kernel/task.ts';
import { LineDiscipline } from './ldisc.ts';
import type { TtyPort } from './output.ts';
import type { Termios } from './termios.ts';

const SI_KERNEL = 0x80;
const READY_IN = POLLIN | POLLRDNORM;
const READY_OUT = POLLOUT | POLLWRNORM;

export class Tty implements ControllingTty, TtyPort {
  /** "pts/0". */
  readonly name: string;
  /** Device number of the end that programs use. */
  readonly dev: number;
  readonly ldisc: LineDiscipline;
  /** Told of input for programs and room for their output. */
  readonly slaveQueue: WaitQueue = new WaitQueue();
  /** Told of output for the terminal and room for its input. */
  readonly masterQueue: WaitQueue = new WaitQueue();

  foreground: ProcessGroup | null = null;
  session: Session | null = null;

  rows = 0;
  cols = 0;
  xpixels = 0;
  ypixels = 0;

  /** Open descriptions of the programs' end, dead ones too: the master sees its end only when all are closed. */
  slaves = 0;
  /** Programs' end was open and is not any more: the master reads EIO once all output is taken. */
  slaveClosed = false;
  /** The master is gone. */
  masterClosed = false;
  /** TIOCSPTLCK: the programs' end cannot be opened yet. */
  locked = false;
  /** TIOCEXCL. */
  exclusive = false;
  /** Raised by each hangup: descriptions opened before it are dead. */
  generation = 0;
  /** TIOCPKT: reads of the master begin with a status byte; the TIOCPKT_* bits to report next. */
  packet = false;
  packetStatus = 0;
  /** When input last came, monotonic ns (VTIME). */
  lastInput = 0;

  constructor(name: string, dev: number) {
    this.name = name;
    this.dev = dev;
    this.ldisc = new LineDiscipline(this);
  }

  // TtyPort.

  signal(sig: number): void {
    const p = this.foreground;
    if (p !== null) signalPgrp(p, () => new SigInfo(sig, SI_KERNEL));
  }

  inputReady(): void {
    this.slaveQueue.notify(READY_IN);
  }

  outputReady(): void {
    this.masterQueue.notify(READY_IN);
  }

  flowChanged(stopped: boolean): void {
    this.tellPacket(stopped ? TIOCPKT_STOP : TIOCPKT_START, stopped ? TIOCPKT_START : TIOCPKT_STOP);
    if (!stopped) this.slaveQueue.notify(READY_OUT);
  }

  outputFlushed(): void {
    this.tellPacket(TIOCPKT_FLUSHWRITE, 0);
    this.slaveQueue.notify(READY_OUT);
  }

  private tellPacket(set: number, clear: number): void {
    if (!this.packet) return;
    this.packetStatus = (this.packetStatus & ~clear) | set;
    this.masterQueue.notify(READY_IN | POLLPRI);
  }

  // Settings.

  /** tcsetattr(3). */
  setTermios(t: Termios): void {
    const old = this.ldisc.termios;
    const extproc = ((old.lflag | t.lflag) & EXTPROC) !== 0;
    const flowWas = (old.iflag & IXON) !== 0 && old.cc[VSTOP] === 0x13 && old.cc[VSTART] === 0x11;
    this.ldisc.setTermios(t);
    if (!this.packet) return;
    const flow = (t.iflag & IXON) !== 0 && t.cc[VSTOP] === 0x13 && t.cc[VSTART] === 0x11;
    if (flow !== flowWas) this.tellPacket(flow ? TIOCPKT_DOSTOP : TIOCPKT_NOSTOP, flow ? TIOCPKT_NOSTOP : TIOCPKT_DOSTOP);
    if (extproc) this.tellPacket(TIOCPKT_IOCTL, 0);
  }

  flushInput(): void {
    this.ldisc.flushInput();
    this.tellPacket(TIOCPKT_FLUSHREAD, 0);
    this.masterQueue.notify(READY_OUT);
  }

  /** TIOCSWINSZ: the foreground group hears of a change. */
  resize(rows: number, cols: number, xpixels = 0, ypixels = 0): void {
    if (rows === this.rows && cols === this.cols && xpixels === this.xpixels && ypixels === this.ypixels) return;
    this.rows = rows;
    this.cols = cols;
    this.xpixels = xpixels;
    this.ypixels = ypixels;
    this.signal(SIGWINCH);
  }

  // Job control.

  /** True if this terminal controls the session of `t`. */
  controls(t: Task): boolean {
    return t.tg.session.tty === this;
  }

  /**
   * What a background process may do here (tty_check_change): 0 to go on; -EIO; or -ERESTARTSYS after `sig` (SIGTTIN, SIGTTOU) went to
   * its group.
   */
  checkBackground(t: Task, sig: number): number {
    if (!this.controls(t)) return 0;
    const p = t.tg.pgrp;
    if (this.foreground === null || p === this.foreground) return 0;
    if (sigIn(t.maskLo, t.maskHi, sig) || t.tg.handlers.actions[sig]!.handler === 1) return sig === SIGTTIN ? -EIO : 0;
    if (p.orphaned()) return -EIO;
    signalPgrp(p, () => new SigInfo(sig, SI_KERNEL));
    return t.attention ? -ERESTARTSYS : -EINTR;
  }

  /** Makes this the controlling terminal of the leader `t`. */
  adopt(t: Task): void {
    const s = t.tg.session;
    this.session = s;
    this.foreground = t.tg.pgrp;
    s.tty = this;
  }

  /** The session has this terminal no more. */
  disown(): void {
    if (this.session !== null && this.session.tty === this) this.session.tty = null;
    this.session = null;
    this.foreground = null;
  }

  /** TIOCNOTTY of the session leader, and what the exit of a leader does first: the foreground group is told. */
  release(t: Task): number {
    if (!this.controls(t)) return -ENOTTY;
    if (t.tg.session.leader !== t.tg) return 0;
    const p = this.foreground;
    if (p !== null) {
      signalPgrp(p, () => new SigInfo(SIGHUP, SI_KERNEL));
      signalPgrp(p, () => new SigInfo(SIGCONT, SI_KERNEL));
    }
    this.disown();
    return 0;
  }

  /** The session leader has exited (disassociate_ctty): SIGHUP to the foreground group, and every open description is dead. */
  hangup(): void {
    const p = this.foreground;
    this.disown();
    if (p !== null) signalPgrp(p, () => new SigInfo(SIGHUP, SI_KERNEL));
    this.die();
  }

  /** vhangup(2), or the master was closed: SIGHUP and SIGCONT to the session's leader. */
  lineLost(): void {
    const leader = this.session?.leader ?? null;
    this.disown();
    if (leader !== null && !leader.zombie) {
      signalGroup(leader, new SigInfo(SIGHUP, SI_KERNEL));
      signalGroup(leader, new SigInfo(SIGCONT, SI_KERNEL));
    }
    this.die();
  }

  private die(): void {
    this.generation++;
    this.ldisc.flushInput();
    this.ldisc.start(true);
    this.slaveQueue.notify(READY_IN | READY_OUT | POLLHUP | POLLERR);
    this.masterQueue.notify(READY_IN | READY_OUT | POLLHUP);
  }

  // The two ends.

  openSlave(): void {
    this.slaves++;
    this.slaveClosed = false;
  }

  /** The last description of the programs' end is closed. */
  closeSlave(): void {
    if (--this.slaves > 0) return;
    this.slaveClosed = true;
    this.exclusive = false;
    this.masterQueue.notify(READY_IN | POLLHUP);
  }

  closeMaster(): void {
    this.masterClosed = true;
    this.packet = false;
    this.lineLost();
  }
}
