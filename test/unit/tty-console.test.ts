import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { EAGAIN } from '../../src/abi/errno.ts';
import { O_NOCTTY, O_RDWR } from '../../src/abi/fcntl.ts';
import type { HostIO } from '../../src/platform/hostio.ts';
import { type Console, createConsole } from '../../src/sentry/fs/tty/console.ts';
import { createDevpts, type DevPts } from '../../src/sentry/fs/tty/devpts.ts';
import type { Kernel } from '../../src/sentry/kernel/kernel.ts';
import { type Timer, TimerQueue } from '../../src/sentry/kernel/timers.ts';
import type { File } from '../../src/sentry/vfs/file.ts';
import { newMount } from '../../src/sentry/vfs/mount.ts';
import { bytes, FakeTask, text } from './faketask.ts';
import { host as realHost } from './gofer-support.ts';

/** A host terminal: `typed` is read, `shown` collects what is written while there is room. */
class FakeHost {
  typed = '';
  shown = '';
  room = Number.POSITIVE_INFINITY;
  reads = 0;
  ready: (events: number) => void = () => {};

  read(_fd: number, buf: Uint8Array, off: number, len: number): number {
    if (this.typed === '') return -EAGAIN;
    const part = this.typed.slice(0, len);
    this.typed = this.typed.slice(len);
    buf.set(bytes(part), off);
    this.reads += part.length;
    return part.length;
  }
  write(_fd: number, buf: Uint8Array, off: number, len: number): number {
    if (this.room === 0) return -EAGAIN;
    const n = Math.min(len, this.room);
    this.room -= n;
    this.shown += text(buf.subarray(off, off + n));
    return n;
  }
  watch(_fd: number, _events: number, ready: (events: number) => void): number {
    this.ready = ready;
    return 0;
  }
  unwatch(): number {
    return 0;
  }
  setNonblock(): number {
    return 0;
  }
  ioctl(): number {
    return 0;
  }
  waitFd(): number {
    return 0;
  }
}

interface World {
  console: Console;
  slave: File;
  turn: () => void;
  task: FakeTask;
}

function world(): World & { host: FakeHost } {
  const host = new FakeHost();
  return { host, ...onHost(host as unknown as HostIO, 5, 5) };
}

function onHost(host: HostIO, inFd: number, outFd: number): World {
  const timers = new TimerQueue();
  const kernel = {
    host,
    addTimer: (t: Timer, at: number) => timers.arm(t, at),
    cancelTimer: (t: Timer) => timers.cancel(t),
  } as unknown as Kernel;
  const mount = newMount(createDevpts('mode=620') as DevPts, 0, 'devpts');
  const console = createConsole(kernel, mount, 'c', true, { inFd, outFd, rows: 24, cols: 80, uid: 0, gid: 5 }) as Console;
  const turn = (): void => {
    for (let i = 0; i < 50 && timers.next < Infinity; i++) timers.run(1);
  };
  turn();
  return { console, slave: console.openSlave() as File, turn, task: new FakeTask() };
}

it('carries typing in and output out', () => {
  const w = world();
  expect(w.slave.flags).toBe(O_RDWR);
  w.host.typed = 'hi\r';
  w.host.ready(1);
  w.turn();
  const b = new Uint8Array(100);
  expect(text(b, w.slave.read(w.task.task, b, 0, 100))).toBe('hi\n');
  w.slave.write(w.task.task, bytes('out\n'), 0, 4);
  w.turn();
  expect(w.host.shown).toBe('hi\r\nout\r\n');
});

it('stops programs when the terminal is slow, and goes on', () => {
  const w = world();
  w.host.room = 10;
  const line = bytes('0123456789'.repeat(1000));
  let sent = 0;
  for (let n = 1; n > 0; sent += n > 0 ? n : 0) n = w.slave.write(w.task.task, line, 0, line.length);
  w.turn();
  expect(w.host.shown).toBe('0123456789');
  expect(sent).toBeLessThan(20000);
  expect(w.slave.write(w.task.task, line, 0, 100)).toBeGreaterThan(0); // the ten bytes that left
  expect(w.slave.write(w.task.task, line, 0, 100)).toBe(-EAGAIN);
  w.host.room = Number.POSITIVE_INFINITY;
  w.host.ready(4);
  w.turn();
  expect(w.host.shown.length).toBeGreaterThanOrEqual(sent);
});

it('reads no more typing than fits', () => {
  const w = world();
  w.host.typed = `x\r${'y'.repeat(10000)}`;
  w.host.ready(1);
  w.turn();
  expect(w.host.reads).toBeLessThan(5000);
  const b = new Uint8Array(5000);
  w.slave.read(w.task.task, b, 0, 5000);
  w.turn();
  expect(w.host.typed).toBe(''); // an endless line is cut, not held up
});

it('drains at the end', () => {
  const w = world();
  w.slave.write(w.task.task, bytes('last words'), 0, 10);
  w.console.close();
  expect(w.host.shown).toBe('last words');
  expect(w.slave.read(w.task.task, new Uint8Array(1), 0, 1)).toBe(0);
});

it.each(['one descriptor', 'two descriptors'])('wakes nobody while nothing happens: %s', (count) => {
  const native = realHost.native;
  const master = native.openpt(O_RDWR | O_NOCTTY);
  const slave = native.ptyPeer(master, O_RDWR | O_NOCTTY);
  expect(spawnSync('stty', ['raw', '-echo'], { stdio: [slave, 'ignore', 'ignore'] }).status).toBe(0);
  realHost.setNonblock(master, true);
  const second = count === 'one descriptor' ? slave : native.ptyPeer(master, O_RDWR | O_NOCTTY);
  const w = onHost(realHost, slave, second);
  // The host carries bytes from one end to the other in its own time.
  const settle = (): void => {
    for (let i = 0; i < 10; i++) {
      realHost.wait(20);
      w.turn();
    }
  };
  // The first edges are news: there is room.
  settle();
  expect([realHost.wait(0), realHost.wait(0)]).toEqual([0, 0]);
  // Typing beyond what fits is no reason to look again before a program has read.
  const typed = bytes('y'.repeat(4096));
  w.console.tty.ldisc.termios.lflag = 0;
  w.console.tty.ldisc.termios.iflag = 0;
  let sent = 0;
  for (let i = 0; i < 4; i++) {
    sent += Math.max(0, realHost.write(master, typed, 0, typed.length));
    settle();
  }
  expect(realHost.wait(0)).toBe(0);
  const b = new Uint8Array(5000);
  let got = 0;
  for (let i = 0; i < 100 && got < sent; i++) {
    got += Math.max(0, w.slave.read(w.task.task, b, 0, 5000));
    settle();
  }
  expect([got, sent > 4096]).toEqual([sent, true]);
  // A terminal that hangs up says so once.
  native.close(master);
  settle();
  expect(w.slave.read(w.task.task, b, 0, 1)).toBe(0);
  expect([realHost.wait(0), realHost.wait(0)]).toEqual([0, 0]);
  w.console.close();
  native.close(slave);
  if (second !== slave) native.close(second);
});
