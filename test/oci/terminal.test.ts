// `do` on a terminal: raw mode, window size, control characters, job control, and the terminal as it was at the end.

import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { TCGETS, TIOCSPTLCK, TIOCSWINSZ } from '../../src/abi/ioctl.ts';
import { loadNative, type Native } from '../../src/host/native.ts';
import { repository } from '../support/build.ts';
import { processesWith, ringfence } from './support.ts';

const O_RDWR_NOCTTY = 0o402;

/** A pseudo-terminal with a shell as its session leader, as a terminal emulator has it. */
class Terminal {
  private readonly native: Native = loadNative(join(repository, 'dist/native/host.node'));
  private readonly master: number;
  private readonly slave: number;
  private readonly shell: ChildProcess;
  private readonly chunk = Buffer.alloc(8192);
  text = '';

  constructor(rows: number, cols: number) {
    const n = this.native;
    this.master = n.openpt(O_RDWR_NOCTTY);
    n.ioctl(this.master, TIOCSPTLCK, Buffer.alloc(4));
    this.slave = n.ptyPeer(this.master, O_RDWR_NOCTTY);
    this.resize(rows, cols);
    n.setNonblock(this.master, 1);
    this.shell = spawn('setsid', ['--ctty', '--wait', 'bash', '--norc', '--noprofile', '--noediting'], {
      stdio: [this.slave, this.slave, this.slave],
      env: { PATH: '/usr/bin:/bin', PS1: '$ ', TERM: 'dumb' },
      cwd: '/',
    });
  }

  resize(rows: number, cols: number): void {
    this.native.ioctl(this.master, TIOCSWINSZ, Buffer.from([rows, 0, cols, 0, 0, 0, 0, 0]));
  }

  /** The terminal's settings, to be compared. */
  settings(): string {
    const b = Buffer.alloc(36);
    this.native.ioctl(this.slave, TCGETS, b);
    return b.toString('hex');
  }

  type(text: string): void {
    const b = Buffer.from(text, 'latin1');
    this.native.write(this.master, b, 0, b.length);
  }

  /** Waits for output that matches and takes it away; returns what came up to there. */
  async expect(pattern: RegExp, ms: number = 15_000): Promise<string> {
    const end = Date.now() + ms;
    for (;;) {
      for (;;) {
        const n = this.native.read(this.master, this.chunk, 0, this.chunk.length);
        if (n <= 0) break;
        this.text += this.chunk.toString('latin1', 0, n);
      }
      const m = pattern.exec(this.text);
      if (m !== null) {
        const upTo = this.text.slice(0, m.index + m[0].length);
        this.text = this.text.slice(upTo.length);
        return upTo;
      }
      if (Date.now() > end) throw new Error(`nothing like ${pattern} in ${JSON.stringify(this.text)}`);
      await new Promise((done) => setTimeout(done, 20));
    }
  }

  close(): void {
    this.shell.kill('SIGKILL');
    this.native.close(this.slave);
    this.native.close(this.master);
  }
}

let terminal: Terminal;
afterEach(() => terminal.close());

describe('do on a terminal', () => {
  test('the guest has a terminal of its own, of the right size, that follows', async () => {
    terminal = new Terminal(21, 77);
    await terminal.expect(/\$ $/);
    const before = terminal.settings();
    terminal.type(`${ringfence} do -- sh -c 'tty; stty size; read x; echo "got $x"; stty size; exit 5'; echo "rc=$?"\n`);
    await terminal.expect(/\/dev\/pts\/0\r\n21 77\r\n/);
    expect(terminal.settings()).not.toBe(before);
    terminal.resize(30, 99);
    await new Promise((done) => setTimeout(done, 300));
    terminal.type('word\r');
    await terminal.expect(/word\r\ngot word\r\n30 99\r\nrc=5\r\n/);
    expect(terminal.settings()).toBe(before);
  });

  test('control characters are signals for the guest', async () => {
    terminal = new Terminal(24, 80);
    await terminal.expect(/\$ $/);
    for (const [key, code] of [
      ['\x03', 130],
      ['\x1c', 131],
    ] as const) {
      terminal.type(`${ringfence} do -- sh -c 'ulimit -c 0; echo up; exec sleep 1000'; echo "rc=$?"\n`);
      await terminal.expect(/\nup\r\n/);
      terminal.type(key);
      await terminal.expect(new RegExp(`rc=${code}\\r\\n`));
    }
  });

  test('Ctrl-Z stops the command, fg continues it', async () => {
    terminal = new Terminal(24, 80);
    await terminal.expect(/\$ $/);
    const before = terminal.settings();
    terminal.type(`${ringfence} do -- sh -c 'echo up; while :; do sleep 0.2; echo tick; done'\n`);
    await terminal.expect(/\nup\r\n/);
    terminal.type('\x1a');
    await terminal.expect(/Stopped/);
    await terminal.expect(/\$ $/);
    expect(terminal.settings()).toBe(before);
    terminal.type('fg\n');
    await terminal.expect(/tick\r\ntick\r\n/);
    terminal.type('\x03');
    await terminal.expect(/\$ $/);
    expect(terminal.settings()).toBe(before);
  });

  test('a command that stops at once is seen to stop', async () => {
    terminal = new Terminal(24, 80);
    await terminal.expect(/\$ $/);
    terminal.type(`${ringfence} do -- sh -c 'kill -STOP $$; echo went on'\n`);
    await terminal.expect(/Stopped/);
    terminal.type('fg\n');
    await terminal.expect(/\nwent on\r\n/);
    await terminal.expect(/\$ $/);
  });

  test('kill -9 of the command leaves a usable terminal', async () => {
    terminal = new Terminal(24, 80);
    await terminal.expect(/\$ $/);
    const before = terminal.settings();
    terminal.type(`${ringfence} do -- sh -c 'echo up; exec sleep 4321'\n`);
    await terminal.expect(/\nup\r\n/);
    for (const pid of processesWith('ringfence.cjs', ' do -- ', 'sleep 4321')) process.kill(pid, 'SIGKILL');
    await terminal.expect(/Killed/);
    const end = Date.now() + 2000;
    while (terminal.settings() !== before && Date.now() < end) await new Promise((done) => setTimeout(done, 20));
    expect(terminal.settings()).toBe(before);
  });

  test('pipes stay pipes beside a terminal', async () => {
    terminal = new Terminal(24, 80);
    await terminal.expect(/\$ $/);
    terminal.type(
      `echo in | ${ringfence} do -- sh -c 'test -t 0 || echo no terminal 0; test -t 1 || echo no terminal 1; cat' | cat; echo "rc=$?"\n`,
    );
    await terminal.expect(/\nno terminal 0\r\nno terminal 1\r\nin\r\nrc=0\r\n/);
    terminal.type(`${ringfence} do -- sh -c 'test -t 0 && echo terminal 0; test -t 1 || echo no terminal 1' | cat\n`);
    await terminal.expect(/\nterminal 0\r\nno terminal 1\r\n/);
  });
});
