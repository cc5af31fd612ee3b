// A container's terminal: a pty of the sandbox whose master side is pumped to donated host descriptors. The host terminal is raw; the line
// discipline is ours.
//
// Work is done from the loop (a timer that is due at once), never from inside a notification, so that many small writes of a guest leave
// as one.

import { EPOLLET } from '../../../abi/epoll.ts';
import { EAGAIN, EINTR, EINVAL, ENXIO } from '../../../abi/errno.ts';
import { O_RDWR } from '../../../abi/fcntl.ts';
import { TIOCGWINSZ } from '../../../abi/ioctl.ts';
import { POLLHUP, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM } from '../../../abi/poll.ts';
import { WaitEntry, type Wakeable } from '../../../base/waitqueue.ts';
import type { HostIO } from '../../../platform/hostio.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import type { Task } from '../../kernel/task.ts';
import { Timer } from '../../kernel/timers.ts';
import type { File } from '../../vfs/file.ts';
import type { Mount } from '../../vfs/mount.ts';
import { setConsole } from './devices.ts';
import { DevPts } from './devpts.ts';
import { ttyInput } from './ioctl.ts';
import type { MasterFile } from './pty.ts';
import type { Tty } from './tty.ts';

const CHUNK = 8192;
/** Bytes moved in each direction before others get their turn. */
const TURN = 65536;
const DONATED_IN = POLLIN | POLLHUP;
const DONATED_OUT = POLLOUT;

export interface ConsoleOptions {
  /** Donated host descriptors of a raw terminal (or of pipes); the same number twice for one descriptor. */
  inFd: number;
  outFd: number;
  rows: number;
  cols: number;
  /** Owner of the pty's name. */
  uid: number;
  gid: number;
}

export class Console implements Wakeable {
  readonly tty: Tty;
  private readonly kernel: Kernel;
  private readonly host: HostIO;
  private readonly master: MasterFile;
  private readonly pts: Mount;
  private readonly inFd: number;
  private readonly outFd: number;
  private readonly entry: WaitEntry;
  private readonly timer: Timer;
  private readonly buf: Uint8Array = new Uint8Array(CHUNK);
  /** The host descriptor may have something; stays set while our own input buffer is full. */
  private inReady = true;
  private outReady = true;
  private inOpen = true;
  private outOpen = true;
  private closed = false;
  private readonly fromTerminal: boolean;
  /** Asked before typed bytes are taken in: the window may have changed before they were typed. */
  beforeInput: (() => void) | null = null;

  constructor(kernel: Kernel, pts: Mount, master: MasterFile, o: ConsoleOptions) {
    this.kernel = kernel;
    this.host = kernel.host;
    this.pts = pts;
    this.master = master;
    this.tty = master.tty;
    this.inFd = o.inFd;
    this.outFd = o.outFd;
    this.fromTerminal = this.host.ioctl(o.inFd, TIOCGWINSZ, new Uint8Array(8)) >= 0;
    this.tty.rows = o.rows;
    this.tty.cols = o.cols;
    this.timer = new Timer(() => this.pump());
    this.entry = new WaitEntry(this);
    this.tty.masterQueue.add(this.entry, POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM | POLLHUP);
    this.begin();
  }

  private begin(): void {
    const same = this.inFd === this.outFd;
    this.host.setNonblock(this.inFd, true);
    if (!same) this.host.setNonblock(this.outFd, true);
    // A descriptor that epoll refuses (a regular file) never answers EAGAIN, and both sides begin as ready. Only edges are told: a terminal
    // nearly always has room, one that hung up stays so, and typed bytes that find no room are read when there is some.
    this.host.watch(this.inFd, EPOLLET | (same ? DONATED_IN | DONATED_OUT : DONATED_IN), (events) => this.hostReady(events));
    if (!same) this.host.watch(this.outFd, EPOLLET | DONATED_OUT, (events) => this.hostReady(events & ~DONATED_IN));
    this.schedule();
  }

  private hostReady(events: number): void {
    if ((events & DONATED_IN) !== 0) this.inReady = true;
    if ((events & ~POLLIN) !== 0) this.outReady = true;
    this.schedule();
  }

  /** Wakeable: the pty has output, or room. */
  notify(_e: WaitEntry, _mask: number): void {
    this.schedule();
  }

  private schedule(): void {
    if (!this.closed && !this.timer.armed) this.kernel.addTimer(this.timer, 0);
  }

  private pump(): void {
    if (this.closed) return;
    this.pumpOut();
    if (this.inOpen) this.pumpIn();
    this.pumpOut();
  }

  private pumpIn(): void {
    let moved = 0;
    while (this.inReady && moved < TURN && !this.closed) {
      const space = this.tty.ldisc.inputSpace;
      if (space <= 0) return;
      const n = this.host.read(this.inFd, this.buf, 0, space < CHUNK ? space : CHUNK);
      if (n === -EINTR) continue;
      if (n === -EAGAIN) {
        this.inReady = false;
        return;
      }
      if (n <= 0) {
        this.inOpen = false;
        // The terminal is gone: as when a modem hangs up. The end of a pipe is only the end of typing.
        if (this.fromTerminal) this.tty.lineLost();
        return;
      }
      if (this.beforeInput !== null) this.beforeInput();
      ttyInput(this.tty, this.buf, 0, n);
      moved += n;
    }
    if (this.inReady) this.schedule();
  }

  private pumpOut(): void {
    const out = this.tty.ldisc.out;
    let moved = 0;
    while (out.length > 0 && this.outReady && moved < TURN) {
      const want = out.peek(this.buf, 0, CHUNK);
      const n = this.outOpen ? this.host.write(this.outFd, this.buf, 0, want) : want;
      if (n === -EINTR) continue;
      if (n === -EAGAIN) {
        this.outReady = false;
        break;
      }
      if (n < 0) this.outOpen = false;
      out.drop(n < 0 ? want : n);
      moved += n < 0 ? want : n;
    }
    if (moved > 0) this.tty.slaveQueue.notify(POLLOUT | POLLWRNORM);
    if (out.length > 0 && this.outReady) this.schedule();
  }

  /** A description of the programs' end with one reference, for descriptors 0 to 2; or -errno. */
  openSlave(): File | number {
    return (this.pts.fs as DevPts).openPeer(this.master.index, O_RDWR, this.pts);
  }

  /** Makes it the controlling terminal of session leader `t` (TIOCSCTTY), its group in the foreground. */
  control(t: Task): void {
    if (t.tg.session.leader === t.tg && t.tg.session.tty === null) this.tty.adopt(t);
  }

  /** The window of the terminal has changed: SIGWINCH to the foreground group. */
  resize(rows: number, cols: number): void {
    this.tty.resize(rows, cols);
  }

  /** Writes what programs have left, waiting up to `ms` for a slow terminal. True when nothing is left. */
  drain(ms: number): boolean {
    const out = this.tty.ldisc.out;
    for (let left = ms; out.length > 0 && !this.closed && this.outOpen; left -= 10) {
      this.pumpOut();
      if (out.length === 0 || left <= 0) break;
      this.host.waitFd(this.outFd, POLLOUT, 10);
      this.outReady = true;
    }
    return out.length === 0 || !this.outOpen;
  }

  /**
   * Takes the terminal away: programs that still hold it get SIGHUP. What they have left may take up to `ms` to write. The donated
   * descriptors stay open, blocking again.
   */
  close(ms = 1000): void {
    if (this.closed) return;
    this.drain(ms);
    this.closed = true;
    this.entry.remove();
    this.kernel.cancelTimer(this.timer);
    this.host.unwatch(this.inFd);
    this.host.setNonblock(this.inFd, false);
    if (this.inFd !== this.outFd) {
      this.host.unwatch(this.outFd);
      this.host.setNonblock(this.outFd, false);
    }
    this.master.unref();
  }
}

/**
 * A console for a process of `container`: a new terminal of the devpts mounted as `pts`. `isContainer`: it is the container's own, which
 * /dev/console leads to. -errno: no devpts, or no terminal left.
 */
export function createConsole(kernel: Kernel, pts: Mount, container: string, isContainer: boolean, o: ConsoleOptions): Console | number {
  if (!(pts.fs instanceof DevPts)) return -ENXIO;
  if (o.inFd < 0 || o.outFd < 0) return -EINVAL;
  const master = pts.fs.newConsole(o.uid, o.gid, O_RDWR, pts);
  if (typeof master === 'number') return master;
  const console = new Console(kernel, pts, master, o);
  if (isContainer) setConsole(kernel, container, console.tty);
  return console;
}
