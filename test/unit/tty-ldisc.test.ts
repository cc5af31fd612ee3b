import { describe, expect, it } from 'vitest';
import { EAGAIN } from '../../src/abi/errno.ts';
import {
  ECHO,
  ECHOCTL,
  ECHOE,
  ECHOK,
  ECHOKE,
  ECHONL,
  ECHOPRT,
  ICANON,
  ICRNL,
  IGNCR,
  INLCR,
  ISIG,
  ISTRIP,
  IUTF8,
  IXANY,
  NOFLSH,
  OCRNL,
  ONLCR,
  OPOST,
  VMIN,
  VTIME,
  XTABS,
} from '../../src/abi/ioctl.ts';
import { SIGINT, SIGQUIT, SIGTSTP } from '../../src/abi/signal.ts';
import { LineDiscipline } from '../../src/sentry/fs/tty/ldisc.ts';
import { Termios } from '../../src/sentry/fs/tty/termios.ts';
import { bytes, text } from './faketask.ts';

class Line {
  readonly signals: number[] = [];
  readonly flow: boolean[] = [];
  readonly ldisc: LineDiscipline;
  constructor(change?: (t: Termios) => void) {
    this.ldisc = new LineDiscipline({
      signal: (s) => this.signals.push(s),
      inputReady: () => {},
      outputReady: () => {},
      flowChanged: (s) => this.flow.push(s),
      outputFlushed: () => {},
    });
    if (change !== undefined) this.set(change);
  }
  set(change: (t: Termios) => void): void {
    const t = new Termios();
    t.copyFrom(this.ldisc.termios);
    change(t);
    this.ldisc.setTermios(t);
  }
  type(s: string): number {
    return this.ldisc.receive(bytes(s), 0, s.length);
  }
  /** What the terminal was sent since the last call. */
  screen(): string {
    const b = new Uint8Array(65536);
    return text(b, this.ldisc.out.read(b));
  }
  read(len = 4096): string | number {
    const b = new Uint8Array(len);
    const n = this.ldisc.read(b, 0, len);
    return n < 0 ? n : text(b, n);
  }
  write(s: string): number {
    return this.ldisc.write(bytes(s), 0, s.length);
  }
}

const BACK = '\b \b';

describe('canonical input', () => {
  const rows: [name: string, input: string, screen: string, line: string | number, change?: (t: Termios) => void][] = [
    ['a line', 'ls\r', 'ls\r\n', 'ls\n'],
    ['an unfinished line', 'ls', 'ls', -EAGAIN],
    ['erase', 'lx\x7fs\r', `lx${BACK}s\r\n`, 'ls\n'],
    ['erase at the beginning', '\x7f\x7fa\r', 'a\r\n', 'a\n'],
    ['erase of a control character', 'a\x01\x7fb\r', `a^A${BACK}${BACK}b\r\n`, 'ab\n'],
    ['kill', 'abc\x15d\r', `abc${BACK}${BACK}${BACK}d\r\n`, 'd\n'],
    ['kill without ECHOKE', 'abc\x15d\r', 'abc^U\r\nd\r\n', 'd\n', (t) => (t.lflag &= ~ECHOKE)],
    ['kill without ECHOK', 'abc\x15d\r', 'abc^Ud\r\n', 'd\n', (t) => (t.lflag &= ~ECHOK)],
    ['erase without ECHOE', 'ab\x7f\r', 'ab^?\r\n', 'a\n', (t) => (t.lflag &= ~ECHOE)],
    ['word erase', 'one two  \x17x\r', `one two  ${BACK.repeat(5)}x\r\n`, 'one x\n'],
    ['word erase stops at punctuation', 'a/b-c\x17\r', `a/b-c${BACK}\r\n`, 'a/b-\n'],
    ['reprint', 'ab\x12c\r', 'ab^R\r\nabc\r\n', 'abc\n'],
    ['literal next', 'a\x16\x03b\r', 'a^\b^Cb\r\n', 'a\x03b\n'],
    ['literal carriage return', '\x16\r\r', '^\b^M\r\n', '\r\n'],
    ['end of file', '\x04', '', ''],
    ['end of file behind text', 'ab\x04', 'ab', 'ab'],
    ['a tab erased', 'ab\t\x7f', 'ab\t\b\b\b\b\b\b', -EAGAIN],
    ['two tabs, one erased', '\t\t\x7f', '\t\t\b\b\b\b\b\b\b\b', -EAGAIN],
    ['no echo', 'secret\r', '\r\n', 'secret\n', (t) => (t.lflag = (t.lflag & ~ECHO) | ECHONL)],
    ['no ECHOCTL', 'a\x01b\r', 'a\x01b\r\n', 'a\x01b\n', (t) => (t.lflag &= ~ECHOCTL)],
    ['IGNCR', 'a\rb\n', 'ab\r\n', 'ab\n', (t) => (t.iflag |= IGNCR)],
    ['INLCR', 'a\nb', 'a^Mb', -EAGAIN, (t) => (t.iflag = (t.iflag & ~ICRNL) | INLCR)],
    ['ISTRIP', '\xe1\r', 'a\r\n', 'a\n', (t) => (t.iflag |= ISTRIP)],
    ['ECHOPRT', 'abc\x7f\x7fd\r', 'abc\\cb/d\r\n', 'ad\n', (t) => (t.lflag |= ECHOPRT)],
    ['UTF-8 erased as one', '\xc3\xa9\x7f\r', `\xc3\xa9${BACK}\r\n`, '\n', (t) => (t.iflag |= IUTF8)],
    ['EOL2', 'ab;c', 'ab;c', 'ab;', (t) => (t.cc[16] = 59)],
  ];
  for (const [name, input, screen, line, change] of rows) {
    it(name, () => {
      const l = new Line(change);
      l.type(input);
      expect(l.screen()).toBe(screen);
      expect(l.read()).toBe(line);
    });
  }

  it('gives one line a read, and its rest to a short one', () => {
    const l = new Line();
    l.type('abcdef\rgh\r');
    expect(l.read(4)).toBe('abcd');
    expect(l.read()).toBe('ef\n');
    expect(l.ldisc.available).toBe(3);
    expect(l.read()).toBe('gh\n');
    expect(l.read()).toBe(-EAGAIN);
  });

  it('takes an end of file right behind what fits as part of the read', () => {
    const l = new Line();
    l.type('abcd\x04');
    expect(l.read(4)).toBe('abcd');
    expect(l.read()).toBe(-EAGAIN);
  });

  it('leaves an end of line behind what fits', () => {
    const l = new Line();
    l.type('abcd\r');
    expect(l.read(4)).toBe('abcd');
    expect(l.read()).toBe('\n');
  });

  it('keeps 4095 bytes of an endless line and its end', () => {
    const l = new Line((t) => (t.lflag &= ~ECHO));
    expect(l.type('x'.repeat(5000))).toBe(5000);
    expect(l.ldisc.inputSpace).toBe(1);
    expect(l.type('\n')).toBe(1);
    const got = l.read(8192) as string;
    expect(got.length).toBe(4096);
    expect(got.endsWith('x\n')).toBe(true);
  });

  it('takes no more while a finished line waits and the buffer is full', () => {
    const l = new Line((t) => (t.lflag &= ~ECHO));
    expect(l.type(`a\n${'x'.repeat(5000)}`)).toBe(4095);
    expect(l.read()).toBe('a\n');
    expect(l.type('yy')).toBe(2);
  });
});

describe('raw input', () => {
  const raw = (t: Termios): void => {
    t.lflag &= ~(ICANON | ECHO | ISIG);
    t.iflag = 0;
    t.oflag &= ~OPOST;
  };

  it('passes bytes untouched', () => {
    const l = new Line(raw);
    l.type('\x03\x04\r\x7f\x00');
    expect(l.screen()).toBe('');
    expect(l.read(3)).toBe('\x03\x04\r');
    expect(l.read()).toBe('\x7f\x00');
  });

  it('is readable from VMIN on, or from one byte with VTIME', () => {
    const l = new Line((t) => {
      raw(t);
      t.cc[VMIN] = 3;
    });
    l.type('ab');
    expect(l.ldisc.readable).toBe(false);
    l.type('c');
    expect(l.ldisc.readable).toBe(true);
    expect(l.read()).toBe('abc');
    l.set((t) => (t.cc[VTIME] = 1));
    l.type('d');
    expect(l.ldisc.readable).toBe(true);
  });

  it('echoes a newline as ^J when it is no line end', () => {
    const l = new Line((t) => (t.lflag &= ~ICANON));
    l.type('\n\t');
    expect(l.screen()).toBe('^J\t');
  });

  it('holds 4095 bytes', () => {
    const l = new Line(raw);
    expect(l.type('x'.repeat(5000))).toBe(4095);
    expect(l.ldisc.inputSpace).toBe(0);
    expect((l.read(8192) as string).length).toBe(4095);
  });

  it('makes typed-ahead bytes readable when the mode becomes canonical', () => {
    const l = new Line(raw);
    l.type('ab');
    l.set((t) => (t.lflag |= ICANON));
    expect(l.read()).toBe('ab');
    l.type('cd\n');
    expect(l.read()).toBe('cd\n');
  });

  it('shows lines as bytes when the mode becomes raw', () => {
    const l = new Line();
    l.type('ab\rc');
    l.set(raw);
    expect(l.read()).toBe('ab\nc');
  });
});

describe('signals', () => {
  it('come of ^C ^\\ ^Z, with input and output thrown away', () => {
    const l = new Line();
    l.type('abc\rdef');
    l.screen();
    l.write('pending');
    l.type('\x03');
    expect(l.signals).toEqual([SIGINT]);
    expect(l.screen()).toBe('^C');
    expect(l.read()).toBe(-EAGAIN);
    l.type('\x1c\x1a');
    expect(l.signals).toEqual([SIGINT, SIGQUIT, SIGTSTP]);
  });

  it('leave the queues alone with NOFLSH', () => {
    const l = new Line((t) => (t.lflag |= NOFLSH));
    l.type('abc\r\x03');
    expect(l.screen()).toBe('abc\r\n^C');
    expect(l.read()).toBe('abc\n');
  });

  it('are off without ISIG', () => {
    const l = new Line((t) => (t.lflag &= ~ISIG));
    l.type('\x03\r');
    expect(l.signals).toEqual([]);
    expect(l.read()).toBe('\x03\n');
  });
});

describe('output', () => {
  const rows: [name: string, written: string, screen: string, change?: (t: Termios) => void][] = [
    ['ONLCR', 'a\nb', 'a\r\nb'],
    ['without ONLCR', 'a\nb', 'a\nb', (t) => (t.oflag &= ~ONLCR)],
    ['without OPOST', 'a\nb\t', 'a\nb\t', (t) => (t.oflag &= ~OPOST)],
    ['XTABS', 'ab\tc\n\td', 'ab      c\r\n        d', (t) => (t.oflag |= XTABS)],
    ['OCRNL', 'a\rb', 'a\nb', (t) => (t.oflag |= OCRNL)],
  ];
  for (const [name, written, screen, change] of rows) {
    it(name, () => {
      const l = new Line(change);
      expect(l.write(written)).toBe(written.length);
      expect(l.screen()).toBe(screen);
    });
  }

  it('waits while stopped, echoes with it, and goes on with ^Q', () => {
    const l = new Line();
    l.type('\x13');
    expect(l.write('x')).toBe(-EAGAIN);
    l.type('a');
    expect(l.screen()).toBe('');
    l.type('\x11');
    expect(l.flow).toEqual([true, false]);
    expect(l.screen()).toBe('a');
    expect(l.write('x')).toBe(1);
  });

  it('goes on with any key under IXANY', () => {
    const l = new Line((t) => (t.iflag |= IXANY));
    l.type('\x13b');
    expect(l.screen()).toBe('b');
  });

  it('is bounded', () => {
    const l = new Line();
    let total = 0;
    for (let n = l.write('y\n'.repeat(1000)); n > 0; n = l.write('y\n'.repeat(1000))) total += n;
    expect(total).toBeGreaterThan(8000);
    expect(total).toBeLessThan(20000);
    l.type('z');
    expect(l.screen().endsWith('z')).toBe(true);
  });
});
