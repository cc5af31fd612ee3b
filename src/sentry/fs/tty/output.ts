// The way out of the line discipline N_TTY (termios(3), drivers/tty/n_tty.c): output processing, columns, and stopping.

import { EAGAIN } from '../../../abi/errno.ts';
import { IUTF8, OCRNL, OLCUC, ONLCR, ONLRET, ONOCR, OPOST, TABDLY, XTABS } from '../../../abi/ioctl.ts';
import { ByteRing } from '../../../base/ring.ts';
import { BS, CR, iscntrl, NL, SPACE, TAB, toUpper } from './chars.ts';
import { Termios } from './termios.ts';

/** Output that programs may have waiting, and what echoes may add to it. */
const OUT_LIMIT = 16384;
const ECHO_LIMIT = 8192;
/** Echoes that wait while output is stopped. */
const HELD_LIMIT = 4096;

const ECHO_OP_START = 0xff;

/** How the discipline reaches the terminal's other parts. */
export interface TtyPort {
  /** Sends `signal` to the foreground group. */
  signal(signal: number): void;
  /** Input became readable. */
  inputReady(): void;
  /** There is something in `out`. */
  outputReady(): void;
  /** Output was stopped (^S) or started again. */
  flowChanged(stopped: boolean): void;
  /** Unread output was thrown away. */
  outputFlushed(): void;
}

/** The half of a line discipline that programs write to. */
export class OutputProcessor {
  readonly termios: Termios = new Termios();
  /** What goes to the terminal: output and echoes. */
  readonly out: ByteRing = new ByteRing(OUT_LIMIT + ECHO_LIMIT, 1024);
  /** Output is stopped by ^S or TCXONC; `byIoctl`: only TCXONC starts it again. */
  stopped = false;
  protected stoppedByIoctl = false;
  protected readonly port: TtyPort;
  /** Echoes that were made while output was stopped. */
  private held: ByteRing | null = null;
  protected column = 0;
  /** The column where the line that is being typed begins. */
  protected canonColumn = 0;

  constructor(port: TtyPort) {
    this.port = port;
  }

  protected l(flag: number): boolean {
    return (this.termios.lflag & flag) !== 0;
  }

  protected i(flag: number): boolean {
    return (this.termios.iflag & flag) !== 0;
  }

  /** The continuation byte of a UTF-8 character, where the terminal is told to care. */
  protected isContinuation(c: number): boolean {
    return this.i(IUTF8) && (c & 0xc0) === 0x80;
  }

  /** Bytes that a program may write now without waiting. */
  get outputSpace(): number {
    return this.stopped || this.out.length >= OUT_LIMIT ? 0 : OUT_LIMIT - this.out.length;
  }

  /** Takes up to `len` bytes of a program's output. Count; -EAGAIN: none now. */
  write(src: Uint8Array, off: number, len: number): number {
    if (len === 0) return 0;
    if (this.outputSpace === 0) return -EAGAIN;
    const n =
      (this.termios.oflag & OPOST) !== 0 ? this.writeProcessed(src, off, len) : this.out.write(src, off, Math.min(len, this.outputSpace));
    if (n > 0) this.port.outputReady();
    return n > 0 ? n : -EAGAIN;
  }

  private writeProcessed(src: Uint8Array, off: number, len: number): number {
    const plain = (this.termios.oflag & OLCUC) === 0;
    let at = off;
    const end = off + len;
    while (at < end) {
      const space = OUT_LIMIT - this.out.length;
      if (space < 8) break;
      // A run of printing characters goes as one piece.
      let run = at;
      const stop = end - at > space ? at + space : end;
      if (plain) {
        while (run < stop && src[run]! >= 32 && src[run] !== 127) {
          if (!this.isContinuation(src[run]!)) this.column++;
          run++;
        }
      }
      if (run > at) {
        this.out.write(src, at, run - at);
        at = run;
      } else {
        this.outputChar(src[at]!);
        at++;
      }
    }
    return at - off;
  }

  /** One character through output processing (OPOST). */
  private outputChar(c: number): void {
    const o = this.termios.oflag;
    switch (c) {
      case NL:
        if ((o & ONLRET) !== 0) this.column = 0;
        if ((o & ONLCR) !== 0) {
          this.column = 0;
          this.canonColumn = 0;
          this.emit(CR);
        } else this.canonColumn = this.column;
        this.emit(NL);
        return;
      case CR:
        if ((o & ONOCR) !== 0 && this.column === 0) return;
        if ((o & OCRNL) !== 0) {
          if ((o & ONLRET) !== 0) {
            this.column = 0;
            this.canonColumn = 0;
          }
          this.emit(NL);
          return;
        }
        this.column = 0;
        this.canonColumn = 0;
        this.emit(CR);
        return;
      case TAB: {
        const spaces = 8 - (this.column & 7);
        this.column += spaces;
        if ((o & TABDLY) === XTABS) for (let i = 0; i < spaces; i++) this.emit(SPACE);
        else this.emit(TAB);
        return;
      }
      case BS:
        if (this.column > 0) this.column--;
        this.emit(BS);
        return;
      default: {
        let ch = c;
        if (!iscntrl(c)) {
          if ((o & OLCUC) !== 0) ch = toUpper(c);
          if (!this.isContinuation(c)) this.column++;
        }
        this.emit(ch);
      }
    }
  }

  /** A byte on its way out; while output is stopped only echoes come here, and they wait. */
  protected emit(c: number): void {
    if (!this.stopped) {
      this.out.push(c);
      return;
    }
    if (this.held === null) this.held = new ByteRing(HELD_LIMIT, 64);
    this.held.push(c);
  }

  stop(byIoctl: boolean): void {
    if (byIoctl) this.stoppedByIoctl = true;
    if (this.stopped) return;
    this.stopped = true;
    this.port.flowChanged(true);
  }

  start(byIoctl: boolean): void {
    if (!this.stopped || (this.stoppedByIoctl && !byIoctl)) return;
    this.stopped = false;
    this.stoppedByIoctl = false;
    if (this.held !== null) {
      for (let c = this.held.at(0); c >= 0; c = this.held.at(0)) {
        this.out.push(c);
        this.held.drop(1);
      }
      this.held = null;
    }
    this.port.flowChanged(false);
    if (this.out.length > 0) this.port.outputReady();
  }

  /** Throws unsent output away (TCOFLUSH). */
  flushOutput(): void {
    this.held = null;
    this.out.clear();
    this.port.outputFlushed();
  }

  /** A character that is no input: as output, but what marks operations in Linux's echo buffer passes by its processing. */
  protected echoRaw(c: number): void {
    if (c === ECHO_OP_START) {
      this.emit(c);
      this.column++;
    } else if ((this.termios.oflag & OPOST) !== 0) this.outputChar(c);
    else this.emit(c);
  }
}
