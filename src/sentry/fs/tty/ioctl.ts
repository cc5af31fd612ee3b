// ioctl_tty(2): what both ends of a terminal answer alike.

import { CAP_SYS_ADMIN, CAP_SYS_TTY_CONFIG } from '../../../abi/capability.ts';
import { EFAULT, EINVAL, EIO, ENOTTY, EPERM, ESRCH } from '../../../abi/errno.ts';
import {
  N_TTY,
  TCFLSH,
  TCGETA,
  TCGETS,
  TCGETS2,
  TCIFLUSH,
  TCIOFF,
  TCIOFLUSH,
  TCION,
  TCOFLUSH,
  TCOOFF,
  TCOON,
  TCSBRK,
  TCSBRKP,
  TCSETA,
  TCSETAF,
  TCSETAW,
  TCSETS,
  TCSETS2,
  TCSETSF,
  TCSETSF2,
  TCSETSW,
  TCSETSW2,
  TCXONC,
  TIOCCBRK,
  TIOCEXCL,
  TIOCGDEV,
  TIOCGETD,
  TIOCGEXCL,
  TIOCGLCKTRMIOS,
  TIOCGPGRP,
  TIOCGSID,
  TIOCGWINSZ,
  TIOCNOTTY,
  TIOCNXCL,
  TIOCOUTQ,
  TIOCSBRK,
  TIOCSCTTY,
  TIOCSETD,
  TIOCSLCKTRMIOS,
  TIOCSPGRP,
  TIOCSTI,
  TIOCSWINSZ,
  TIOCVHANGUP,
  VSTART,
  VSTOP,
} from '../../../abi/ioctl.ts';
import { SIGTTOU } from '../../../abi/signal.ts';
import { getI32, getU16, putU16, putU32 } from '../../../base/bytes.ts';
import { monotonicNs } from '../../../base/clock.ts';
import type { Task } from '../../kernel/task.ts';
import { TERMIO_SIZE, TERMIOS_SIZE, TERMIOS2_SIZE, Termios } from './termios.ts';
import type { Tty } from './tty.ts';

const WINSIZE_SIZE = 8;
const buf = new Uint8Array(64);
const next = new Termios();

function putInt(t: Task, addr: number, v: number): number {
  putU32(buf, 0, v);
  return t.copyOut(addr, buf, 0, 4);
}

/** The int at `addr`, or NaN where it cannot be read. */
export function getInt(t: Task, addr: number): number {
  return t.copyIn(addr, buf, 0, 4) < 0 ? Number.NaN : getI32(buf, 0);
}

/** tcsetattr(3) in its nine forms: `size` of the struct, `flush`: input is thrown away. Output is never waited for: a pty takes it at once. */
function setAttr(t: Task, tty: Tty, addr: number, size: number, flush: boolean): number {
  const r = tty.checkBackground(t, SIGTTOU);
  if (r < 0) return r;
  if (t.copyIn(addr, buf, 0, size) < 0) return -EFAULT;
  next.copyFrom(tty.ldisc.termios);
  if (size === TERMIO_SIZE) next.decodeOld(buf);
  else next.decode(buf, size === TERMIOS2_SIZE);
  if (flush) tty.flushInput();
  tty.setTermios(next);
  return 0;
}

/** TIOCSCTTY: the session leader `t` takes the terminal; `steal` by a privileged one, from another session. */
function setControlling(t: Task, tty: Tty, steal: boolean, readable: boolean): number {
  const g = t.tg;
  const leads = g.session.leader === g;
  if (leads && tty.session === g.session) return 0;
  if (!leads || g.session.tty !== null) return -EPERM;
  if (tty.session !== null) {
    if (!steal || !t.creds.has(CAP_SYS_ADMIN)) return -EPERM;
    tty.disown();
  }
  if (!readable && !t.creds.has(CAP_SYS_ADMIN)) return -EPERM;
  tty.adopt(t);
  return 0;
}

function setForeground(t: Task, tty: Tty, addr: number): number {
  const r = tty.checkBackground(t, SIGTTOU);
  if (r < 0) return r === -EIO ? -ENOTTY : r;
  if (!tty.controls(t) || tty.session !== t.tg.session) return -ENOTTY;
  const pgid = getInt(t, addr);
  if (Number.isNaN(pgid)) return -EFAULT;
  if (pgid < 0) return -EINVAL;
  const p = t.pidns.pgrp(pgid);
  if (p === null) return -ESRCH;
  if (p.session !== t.tg.session) return -EPERM;
  tty.foreground = p;
  return 0;
}

/** TCFLSH; `swap`: asked on the master, whose input is the programs' output. */
function flushQueues(t: Task, tty: Tty, arg: number, swap: boolean): number {
  const r = swap ? 0 : tty.checkBackground(t, SIGTTOU);
  if (r < 0) return r;
  if (arg !== TCIFLUSH && arg !== TCOFLUSH && arg !== TCIOFLUSH) return -EINVAL;
  const input = arg === TCIOFLUSH || (arg === TCIFLUSH) !== swap;
  const output = arg === TCIOFLUSH || (arg === TCOFLUSH) !== swap;
  if (input) tty.flushInput();
  if (output) tty.ldisc.flushOutput();
  return 0;
}

function flowControl(t: Task, tty: Tty, arg: number): number {
  const r = tty.checkBackground(t, SIGTTOU);
  if (r < 0) return r;
  const cc = tty.ldisc.termios.cc;
  switch (arg) {
    case TCOOFF:
      tty.ldisc.stop(true);
      return 0;
    case TCOON:
      tty.ldisc.start(true);
      return 0;
    case TCIOFF:
    case TCION: {
      const c = cc[arg === TCIOFF ? VSTOP : VSTART]!;
      if (c !== 0 && tty.ldisc.out.push(c)) tty.outputReady();
      return 0;
    }
    default:
      return -EINVAL;
  }
}

/** Bytes from the terminal, by way of its master or TIOCSTI. How many were taken. */
export function ttyInput(tty: Tty, src: Uint8Array, off: number, len: number): number {
  tty.lastInput = monotonicNs();
  return tty.ldisc.receive(src, off, len);
}

/** `master`: asked on the master's description. -ENOTTY: not one of these. */
export function ttyIoctl(t: Task, tty: Tty, cmd: number, arg: number, master: boolean, readable: boolean): number {
  switch (cmd) {
    case TCGETS:
    case TCGETS2:
      tty.ldisc.termios.encode(buf);
      return t.copyOut(arg, buf, 0, cmd === TCGETS ? TERMIOS_SIZE : TERMIOS2_SIZE);
    case TCSETS:
    case TCSETSW:
      return setAttr(t, tty, arg, TERMIOS_SIZE, false);
    case TCSETSF:
      return setAttr(t, tty, arg, TERMIOS_SIZE, true);
    case TCSETS2:
    case TCSETSW2:
      return setAttr(t, tty, arg, TERMIOS2_SIZE, false);
    case TCSETSF2:
      return setAttr(t, tty, arg, TERMIOS2_SIZE, true);
    case TCGETA:
      tty.ldisc.termios.encodeOld(buf);
      return t.copyOut(arg, buf, 0, TERMIO_SIZE);
    case TCSETA:
    case TCSETAW:
      return setAttr(t, tty, arg, TERMIO_SIZE, false);
    case TCSETAF:
      return setAttr(t, tty, arg, TERMIO_SIZE, true);
    case TIOCGWINSZ:
      putU16(buf, 0, tty.rows);
      putU16(buf, 2, tty.cols);
      putU16(buf, 4, tty.xpixels);
      putU16(buf, 6, tty.ypixels);
      return t.copyOut(arg, buf, 0, WINSIZE_SIZE);
    case TIOCSWINSZ:
      if (t.copyIn(arg, buf, 0, WINSIZE_SIZE) < 0) return -EFAULT;
      tty.resize(getU16(buf, 0), getU16(buf, 2), getU16(buf, 4), getU16(buf, 6));
      return 0;
    case TIOCSCTTY:
      return setControlling(t, tty, arg === 1, readable);
    case TIOCNOTTY:
      return tty.release(t);
    case TIOCGPGRP:
      if (!master && !tty.controls(t)) return -ENOTTY;
      return putInt(t, arg, tty.foreground === null ? 0 : tty.foreground.pid.in(t.pidns));
    case TIOCSPGRP:
      return setForeground(t, tty, arg);
    case TIOCGSID:
      if ((!master && !tty.controls(t)) || tty.session === null) return -ENOTTY;
      return putInt(t, arg, tty.session.pid.in(t.pidns));
    case TIOCSTI:
      if (!tty.controls(t) && !t.creds.has(CAP_SYS_ADMIN)) return -EPERM;
      if (t.copyIn(arg, buf, 0, 1) < 0) return -EFAULT;
      ttyInput(tty, buf, 0, 1);
      return 0;
    case TIOCOUTQ:
      return putInt(t, arg, 0);
    case TCSBRK:
    case TCSBRKP:
    case TIOCSBRK:
    case TIOCCBRK:
      // There is no line to break, and nothing to wait for.
      return master ? 0 : tty.checkBackground(t, SIGTTOU);
    case TCXONC:
      return flowControl(t, tty, arg);
    case TCFLSH:
      return flushQueues(t, tty, arg, master);
    case TIOCEXCL:
      tty.exclusive = true;
      return 0;
    case TIOCNXCL:
      tty.exclusive = false;
      return 0;
    case TIOCGEXCL:
      return putInt(t, arg, tty.exclusive ? 1 : 0);
    case TIOCGETD:
      return putInt(t, arg, N_TTY);
    case TIOCSETD: {
      const n = getInt(t, arg);
      return Number.isNaN(n) ? -EFAULT : n === N_TTY ? 0 : -EINVAL;
    }
    case TIOCGDEV:
      return putInt(t, arg, tty.dev);
    case TIOCVHANGUP:
      if (!t.creds.has(CAP_SYS_ADMIN)) return -EPERM;
      tty.lineLost();
      return 0;
    case TIOCGLCKTRMIOS:
      buf.fill(0);
      return t.copyOut(arg, buf, 0, TERMIOS_SIZE);
    case TIOCSLCKTRMIOS:
      return t.creds.has(CAP_SYS_ADMIN) || t.creds.has(CAP_SYS_TTY_CONFIG) ? 0 : -EPERM;
    default:
      return -ENOTTY;
  }
}
