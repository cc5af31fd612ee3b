// The line discipline N_TTY (termios(3), drivers/tty/n_tty.c): what becomes of characters between a terminal and the programs on it. Its way
// out is in output.ts.
//
// It knows nothing of tasks: signals, wake-ups and the way out go through TtyPort.

import { EAGAIN } from '../../../abi/errno.ts';
import {
  ECHO,
  ECHOCTL,
  ECHOE,
  ECHOK,
  ECHOKE,
  ECHONL,
  ECHOPRT,
  EXTPROC,
  ICANON,
  ICRNL,
  IEXTEN,
  IGNCR,
  INLCR,
  ISIG,
  ISTRIP,
  IUCLC,
  IXANY,
  IXON,
  NOFLSH,
  PARMRK,
  VEOF,
  VEOL,
  VEOL2,
  VERASE,
  VINTR,
  VKILL,
  VLNEXT,
  VMIN,
  VQUIT,
  VREPRINT,
  VSTART,
  VSTOP,
  VSUSP,
  VTIME,
  VWERASE,
} from '../../../abi/ioctl.ts';
import { SIGINT, SIGQUIT, SIGTSTP } from '../../../abi/signal.ts';
import { BS, CR, isalnum, iscntrl, NL, SPACE, TAB, toLower } from './chars.ts';
import { OutputProcessor, type TtyPort } from './output.ts';
import type { Termios } from './termios.ts';

/** Input that fits before a reader takes it. */
const SIZE = 4096;
const MASK = SIZE - 1;
/** A special character of this value is switched off (_POSIX_VDISABLE). */
const DISABLED = 0;

const CARET = 94;
const BACKSLASH = 92;
const SLASH = 47;

export class LineDiscipline extends OutputProcessor {
  /** Input. Indices only grow; the place is index & MASK. */
  private readonly buf: Uint8Array = new Uint8Array(SIZE);
  /** 1 where a line ends. */
  private readonly ends: Uint8Array = new Uint8Array(SIZE);
  private head = 0;
  private tail = 0;
  /** Behind the last complete line. */
  private canonHead = 0;
  /** The next character is literal (^V). */
  private literal = false;
  /** Inside a \.../ sequence of ECHOPRT. */
  private erasing = false;
  /** Characters that need more than storing and echoing. */
  private readonly special: Uint8Array = new Uint8Array(256);

  constructor(port: TtyPort) {
    super(port);
    this.buildSpecial();
  }

  get canonical(): boolean {
    return (this.termios.lflag & ICANON) !== 0;
  }

  private buildSpecial(): void {
    const t = this.termios;
    const s = this.special;
    const cc = t.cc;
    s.fill(0);
    if ((t.iflag & (IGNCR | ICRNL)) !== 0) s[CR] = 1;
    if ((t.iflag & INLCR) !== 0) s[NL] = 1;
    if ((t.lflag & ICANON) !== 0) {
      s[cc[VERASE]!] = 1;
      s[cc[VKILL]!] = 1;
      s[cc[VEOF]!] = 1;
      s[NL] = 1;
      s[cc[VEOL]!] = 1;
      if ((t.lflag & IEXTEN) !== 0) {
        s[cc[VWERASE]!] = 1;
        s[cc[VLNEXT]!] = 1;
        s[cc[VEOL2]!] = 1;
        if ((t.lflag & ECHO) !== 0) s[cc[VREPRINT]!] = 1;
      }
    }
    if ((t.iflag & IXON) !== 0) {
      s[cc[VSTART]!] = 1;
      s[cc[VSTOP]!] = 1;
    }
    if ((t.lflag & ISIG) !== 0) {
      s[cc[VINTR]!] = 1;
      s[cc[VQUIT]!] = 1;
      s[cc[VSUSP]!] = 1;
    }
    s[DISABLED] = 0;
  }

  /** Puts new settings in force (tcsetattr(3)). Unread input stays, as what the new mode makes of it. */
  setTermios(t: Termios): void {
    const old = this.termios.lflag;
    const oldIxon = this.i(IXON);
    this.termios.copyFrom(t);
    if (((old ^ t.lflag) & (ICANON | EXTPROC)) !== 0) {
      this.ends.fill(0);
      if (!this.canonical || this.head === this.tail) this.canonHead = this.tail;
      else {
        // What was typed raw is readable at once.
        this.ends[(this.head - 1) & MASK] = 1;
        this.canonHead = this.head;
      }
      this.erasing = false;
      this.literal = false;
    }
    this.buildSpecial();
    if (oldIxon && !this.i(IXON) && this.stopped && !this.stoppedByIoctl) this.start(false);
    if (this.readable) this.port.inputReady();
  }

  /** Throws unread input away (TCIFLUSH). */
  flushInput(): void {
    this.head = 0;
    this.tail = 0;
    this.canonHead = 0;
    this.ends.fill(0);
    this.erasing = false;
    this.literal = false;
  }

  // Echo.

  private echoChar(c: number): void {
    if (this.l(ECHOCTL) && iscntrl(c) && c !== TAB) {
      this.emit(CARET);
      this.emit(c ^ 0x40);
      this.column += 2;
    } else this.echoRaw(c);
  }

  private rubOut(): void {
    this.echoRaw(BS);
    this.echoRaw(SPACE);
    this.echoRaw(BS);
  }

  private finishErasing(): void {
    if (!this.erasing) return;
    this.echoRaw(SLASH);
    this.erasing = false;
  }

  /** Echoes an ordinary character; at the start of a line the column is noted, for tabs that may be erased. */
  private echoInput(c: number): void {
    this.finishErasing();
    if (this.canonHead === this.head) this.canonColumn = this.column;
    this.echoChar(c);
  }

  // Input.

  /** How many bytes the terminal may send now. One that ends or edits a full line always fits. */
  get inputSpace(): number {
    const room = SIZE - 1 - (this.head - this.tail);
    if (room > 0) return room;
    return this.canonical && this.canonHead === this.tail ? 1 : 0;
  }

  /** Takes characters from the terminal. How many were taken: fewer than `len` when the buffer is full. */
  receive(src: Uint8Array, off: number, len: number): number {
    const before = this.out.length;
    const t = this.termios;
    let n: number;
    if (
      (t.lflag & (ICANON | ECHO | ISIG | EXTPROC)) === 0 &&
      (t.iflag & (ISTRIP | IUCLC | IXON | PARMRK | ICRNL | INLCR | IGNCR)) === 0 &&
      !this.literal
    ) {
      n = this.receiveRaw(src, off, len);
    } else {
      n = 0;
      while (n < len && this.makeRoom()) this.receiveChar(src[off + n++]!);
    }
    if (n > 0 && this.readable) this.port.inputReady();
    if (this.out.length !== before) this.port.outputReady();
    return n;
  }

  private receiveRaw(src: Uint8Array, off: number, len: number): number {
    const space = this.inputSpace;
    const n = len < space ? len : space;
    for (let i = 0; i < n; i++) this.buf[this.head++ & MASK] = src[off + i]!;
    return n;
  }

  /** True if one more character may come. In a line that fills the buffer the last place is overwritten again and again. */
  private makeRoom(): boolean {
    const room = SIZE - 1 - (this.head - this.tail);
    if (room > 0) return true;
    if (!this.canonical || this.canonHead !== this.tail) return false;
    if (room < 0) this.head--;
    return true;
  }

  private put(c: number): void {
    this.ends[this.head & MASK] = 0;
    this.buf[this.head++ & MASK] = c;
  }

  private receiveChar(byte: number): void {
    let c = byte;
    if (this.i(ISTRIP)) c &= 0x7f;
    if (this.i(IUCLC) && this.l(IEXTEN)) c = toLower(c);
    if (this.l(EXTPROC)) {
      this.put(c);
      return;
    }
    if (this.literal) {
      this.literal = false;
      this.receivePlain(c);
    } else if (this.special[c] !== 0) this.receiveSpecial(c);
    else this.receivePlain(c);
  }

  private receivePlain(c: number): void {
    if (this.stopped && this.i(IXON) && this.i(IXANY)) this.start(false);
    if (this.l(ECHO)) this.echoInput(c);
    if (c === 0xff && this.i(PARMRK)) this.put(c);
    this.put(c);
  }

  private receiveSpecial(given: number): void {
    let c = given;
    const cc = this.termios.cc;
    if (this.i(IXON)) {
      if (c === cc[VSTART]) {
        this.start(false);
        return;
      }
      if (c === cc[VSTOP]) {
        this.stop(false);
        return;
      }
    }
    if (this.l(ISIG)) {
      const sig = c === cc[VINTR] ? SIGINT : c === cc[VQUIT] ? SIGQUIT : c === cc[VSUSP] ? SIGTSTP : 0;
      if (sig !== 0) {
        this.receiveSignal(sig, c);
        return;
      }
    }
    if (this.stopped && this.i(IXON) && this.i(IXANY)) this.start(false);
    if (c === CR) {
      if (this.i(IGNCR)) return;
      if (this.i(ICRNL)) c = NL;
    } else if (c === NL && this.i(INLCR)) c = CR;
    if (this.canonical && this.receiveEditing(c)) return;
    if (this.l(ECHO)) {
      if (c === NL) {
        this.finishErasing();
        this.echoRaw(NL);
      } else this.echoInput(c);
    }
    if (c === 0xff && this.i(PARMRK)) this.put(c);
    this.put(c);
  }

  private receiveSignal(sig: number, c: number): void {
    if (!this.l(NOFLSH)) {
      this.flushOutput();
      this.flushInput();
    }
    this.port.signal(sig);
    if (this.i(IXON)) this.start(false);
    if (this.l(ECHO)) this.echoChar(c);
  }

  /** Canonical mode: editing characters and those that end a line. False: nothing of the kind. */
  private receiveEditing(c: number): boolean {
    const cc = this.termios.cc;
    const extended = this.l(IEXTEN);
    if (c === cc[VERASE] || c === cc[VKILL] || (c === cc[VWERASE] && extended)) {
      this.erase(c);
      return true;
    }
    if (c === cc[VLNEXT] && extended) {
      this.literal = true;
      if (this.l(ECHO)) {
        this.finishErasing();
        if (this.l(ECHOCTL)) {
          this.echoRaw(CARET);
          this.echoRaw(BS);
        }
      }
      return true;
    }
    if (c === cc[VREPRINT] && this.l(ECHO) && extended) {
      this.finishErasing();
      this.echoChar(c);
      this.echoRaw(NL);
      for (let i = this.canonHead; i !== this.head; i++) this.echoChar(this.buf[i & MASK]!);
      return true;
    }
    if (c === NL) {
      if (this.l(ECHO) || this.l(ECHONL)) this.echoRaw(NL);
      this.endLine(NL);
      return true;
    }
    if (c === cc[VEOF]) {
      this.endLine(DISABLED);
      return true;
    }
    if (c === cc[VEOL] || (c === cc[VEOL2] && extended)) {
      if (this.l(ECHO)) {
        if (this.canonHead === this.head) this.canonColumn = this.column;
        this.echoChar(c);
      }
      if (c === 0xff && this.i(PARMRK)) this.put(c);
      this.endLine(c);
      return true;
    }
    return false;
  }

  private endLine(c: number): void {
    this.put(c);
    this.ends[(this.head - 1) & MASK] = 1;
    this.canonHead = this.head;
  }

  /** ERASE, WERASE and KILL. */
  private erase(c: number): void {
    if (this.head === this.canonHead) return;
    const cc = this.termios.cc;
    const echo = this.l(ECHO);
    const word = c !== cc[VERASE] && c === cc[VWERASE];
    const kill = c !== cc[VERASE] && !word;
    if (kill) {
      if (!echo) {
        this.head = this.canonHead;
        return;
      }
      if (!this.l(ECHOK) || !this.l(ECHOKE) || !this.l(ECHOE)) {
        this.head = this.canonHead;
        this.finishErasing();
        this.echoChar(cc[VKILL]!);
        if (this.l(ECHOK)) this.echoRaw(NL);
        return;
      }
    }
    let inWord = false;
    while (this.head !== this.canonHead) {
      let at = this.head;
      let ch: number;
      do {
        ch = this.buf[--at & MASK]!;
      } while (this.isContinuation(ch) && at !== this.canonHead);
      if (this.isContinuation(ch)) break;
      if (word) {
        if (isalnum(ch) || ch === 95) inWord = true;
        else if (inWord) break;
      }
      const bytes = this.head - at;
      this.head = at;
      if (echo) this.echoErased(ch, at, bytes, !word && !kill);
      if (!word && !kill) break;
    }
    if (this.head === this.canonHead && echo) this.finishErasing();
  }

  /** Shows that the character `ch`, `bytes` long at `at`, is gone. */
  private echoErased(ch: number, at: number, bytes: number, single: boolean): void {
    if (this.l(ECHOPRT)) {
      if (!this.erasing) {
        this.echoRaw(BACKSLASH);
        this.erasing = true;
      }
      this.echoChar(ch);
      for (let i = 1; i < bytes; i++) this.emit(this.buf[(at + i) & MASK]!);
    } else if (single && !this.l(ECHOE)) {
      this.echoChar(this.termios.cc[VERASE]!);
    } else if (ch === TAB) {
      this.echoEraseTab();
    } else {
      if (iscntrl(ch) && this.l(ECHOCTL)) this.rubOut();
      if (!iscntrl(ch) || this.l(ECHOCTL)) this.rubOut();
    }
  }

  /** Goes back over an erased tab: as far as the columns before it say, counted from the tab before or from the line's beginning. */
  private echoEraseTab(): void {
    let chars = 0;
    let afterTab = false;
    for (let i = this.head; i !== this.canonHead; ) {
      const c = this.buf[--i & MASK]!;
      if (c === TAB) {
        afterTab = true;
        break;
      }
      if (iscntrl(c)) {
        if (this.l(ECHOCTL)) chars += 2;
      } else if (!this.isContinuation(c)) chars++;
    }
    if (!afterTab) chars += this.canonColumn;
    for (let n = 8 - (chars & 7); n > 0; n--) {
      this.emit(BS);
      if (this.column > 0) this.column--;
    }
  }

  // Reading.

  /** Bytes that a raw read waits for. */
  get minimum(): number {
    return this.termios.cc[VMIN]!;
  }

  /** Tenths of a second that a raw read waits. */
  get time(): number {
    return this.termios.cc[VTIME]!;
  }

  /** Unread bytes, with those of an unfinished line. */
  get pending(): number {
    return this.head - this.tail;
  }

  /** True if poll(2) calls it readable. */
  get readable(): boolean {
    if (this.canonical && !this.l(EXTPROC)) return this.canonHead !== this.tail;
    const want = this.time === 0 && this.minimum > 0 ? this.minimum : 1;
    return this.head - this.tail >= want;
  }

  /** FIONREAD: bytes of finished lines in canonical mode (without ends of file), all in raw mode. */
  get available(): number {
    if (!this.canonical) return this.head - this.tail;
    let n = 0;
    for (let i = this.tail; i !== this.canonHead; i++) if (this.ends[i & MASK] === 0 || this.buf[i & MASK] !== DISABLED) n++;
    return n;
  }

  /** Takes up to `len` bytes: one line at most in canonical mode (0: end of file), what is there in raw mode. -EAGAIN: nothing. */
  read(dst: Uint8Array, off: number, len: number): number {
    if (this.canonical && !this.l(EXTPROC)) return this.readLine(dst, off, len);
    const held = this.head - this.tail;
    if (held === 0) return -EAGAIN;
    const n = len < held ? len : held;
    this.copy(dst, off, n);
    this.tail += n;
    return n;
  }

  private copy(dst: Uint8Array, off: number, n: number): void {
    const at = this.tail & MASK;
    const run = n < SIZE - at ? n : SIZE - at;
    dst.set(this.buf.subarray(at, at + run), off);
    if (n > run) dst.set(this.buf.subarray(0, n - run), off + run);
  }

  private readLine(dst: Uint8Array, off: number, len: number): number {
    const held = this.canonHead - this.tail;
    if (held === 0) return -EAGAIN;
    // One further than asked: an end of file right behind the data belongs to it.
    const limit = len + 1 < held ? len + 1 : held;
    let n = 0;
    while (n < limit && this.ends[(this.tail + n) & MASK] === 0) n++;
    const found = n < limit;
    const eof = found && this.buf[(this.tail + n) & MASK] === DISABLED;
    let take = n;
    if (found && !eof) take = n + 1;
    if (take > len) take = len;
    this.copy(dst, off, take);
    this.tail += take + (eof && take === n ? 1 : 0);
    return take;
  }
}
