// The settings of a terminal (termios(3)) and their layouts as ioctl_tty(2) passes them.

import {
  B38400,
  BOTHER,
  CBAUD,
  CREAD,
  CS8,
  CSIZE,
  ECHO,
  ECHOCTL,
  ECHOE,
  ECHOK,
  ECHOKE,
  IBSHIFT,
  ICANON,
  ICRNL,
  IEXTEN,
  ISIG,
  IXON,
  ONLCR,
  OPOST,
  PARENB,
} from '../../../abi/ioctl.ts';
import { getU16, getU32, putU16, putU32 } from '../../../base/bytes.ts';

/** Special characters that the kernel keeps. */
export const NCC = 19;
/** Special characters of the old struct termio. */
const OLD_NCC = 8;
/** sizeof(struct termios), termios2 and termio as the system call sees them. */
export const TERMIOS_SIZE = 36;
export const TERMIOS2_SIZE = 44;
export const TERMIO_SIZE = 18;

/** ^C ^\ DEL ^U ^D time=0 min=1 swtc=0 ^Q ^S ^Z eol=0 ^R ^O ^W ^V eol2=0. */
const DEFAULT_CC: readonly number[] = [3, 0x1c, 0x7f, 0x15, 4, 0, 1, 0, 0x11, 0x13, 0x1a, 0, 0x12, 0x0f, 0x17, 0x16, 0, 0, 0];

/** Rates of B0 to B38400, then of B57600 on. */
const LOW_RATES: readonly number[] = [0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400];
const HIGH_RATES: readonly number[] = [
  57600, 115200, 230400, 460800, 500000, 576000, 921600, 1000000, 1152000, 1500000, 2000000, 2500000, 3000000, 3500000, 4000000,
];

export class Termios {
  iflag = ICRNL | IXON;
  oflag = OPOST | ONLCR;
  cflag = B38400 | CS8 | CREAD;
  lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN;
  line = 0;
  readonly cc: Uint8Array = Uint8Array.from(DEFAULT_CC);
  ispeed = 38400;
  ospeed = 38400;

  copyFrom(o: Termios): void {
    this.iflag = o.iflag;
    this.oflag = o.oflag;
    this.cflag = o.cflag;
    this.lflag = o.lflag;
    this.line = o.line;
    this.cc.set(o.cc);
    this.ispeed = o.ispeed;
    this.ospeed = o.ospeed;
  }

  /** struct termios2; struct termios is its beginning. */
  encode(buf: Uint8Array): void {
    putU32(buf, 0, this.iflag);
    putU32(buf, 4, this.oflag);
    putU32(buf, 8, this.cflag);
    putU32(buf, 12, this.lflag);
    buf[16] = this.line;
    buf.set(this.cc, 17);
    putU32(buf, 36, this.ispeed);
    putU32(buf, 40, this.ospeed);
  }

  /** Takes struct termios, or termios2 with `two`. A pty knows no sizes but eight bits and no parity. */
  decode(buf: Uint8Array, two: boolean): void {
    this.iflag = getU32(buf, 0);
    this.oflag = getU32(buf, 4);
    this.cflag = ((getU32(buf, 8) & ~(CSIZE | PARENB)) | CS8 | CREAD) >>> 0;
    this.lflag = getU32(buf, 12);
    this.line = buf[16]!;
    this.cc.set(buf.subarray(17, 17 + NCC));
    this.takeSpeeds(two ? getU32(buf, 36) : 0, two ? getU32(buf, 40) : 0);
  }

  /** struct termio, of System V. */
  encodeOld(buf: Uint8Array): void {
    putU16(buf, 0, this.iflag);
    putU16(buf, 2, this.oflag);
    putU16(buf, 4, this.cflag);
    putU16(buf, 6, this.lflag);
    buf[8] = this.line;
    buf.set(this.cc.subarray(0, OLD_NCC), 9);
    buf[17] = 0;
  }

  /** Takes struct termio: the upper halves of the flags stay. */
  decodeOld(buf: Uint8Array): void {
    this.iflag = ((this.iflag & 0xffff0000) | getU16(buf, 0)) >>> 0;
    this.oflag = ((this.oflag & 0xffff0000) | getU16(buf, 2)) >>> 0;
    const c = (this.cflag & 0xffff0000) | getU16(buf, 4);
    this.cflag = ((c & ~(CSIZE | PARENB)) | CS8 | CREAD) >>> 0;
    this.lflag = ((this.lflag & 0xffff0000) | getU16(buf, 6)) >>> 0;
    this.line = buf[8]!;
    this.cc.set(buf.subarray(9, 9 + OLD_NCC));
    this.takeSpeeds(0, 0);
  }

  private takeSpeeds(ispeed: number, ospeed: number): void {
    const out = this.cflag & CBAUD;
    this.ospeed = out === BOTHER ? ospeed : rate(out);
    const inp = (this.cflag >>> IBSHIFT) & CBAUD;
    this.ispeed = inp === 0 ? this.ospeed : inp === BOTHER ? ispeed : rate(inp);
  }
}

function rate(code: number): number {
  return (code < 0x1000 ? LOW_RATES[code] : HIGH_RATES[code - 0x1001]) ?? 38400;
}
