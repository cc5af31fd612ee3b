import { expect, it } from 'vitest';
import { EAGAIN } from '../../src/abi/errno.ts';
import { O_RDWR } from '../../src/abi/fcntl.ts';
import type { HostIO } from '../../src/platform/hostio.ts';
import { type Console, createConsole } from '../../src/sentry/fs/tty/console.ts';
import { createDevpts, type DevPts } from '../../src/sentry/fs/tty/devpts.ts';
import type { Kernel } from '../../src/sentry/kernel/kernel.ts';
import { type Timer, TimerQueue } from '../../src/sentry/kernel/timers.ts';
import type { File } from '../../src/sentry/vfs/file.ts';
import { newMount } from '../../src/sentry/vfs/mount.ts';
import { bytes, FakeTask, text } from './faketask.ts';

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
  waitFd(): number {
    return 0;
  }
}

function world(): { host: FakeHost; console: Console; slave: File; turn: () => void; task: FakeTask } {
  const host = new FakeHost();
  const timers = new TimerQueue();
  const kernel = {
    host: host as unknown as HostIO,
    addTimer: (t: Timer, at: number) => timers.arm(t, at),
    cancelTimer: (t: Timer) => timers.cancel(t),
  } as unknown as Kernel;
  const mount = newMount(createDevpts('mode=620') as DevPts, 0, 'devpts');
  const console = createConsole(kernel, mount, 'c', true, { inFd: 5, outFd: 5, rows: 24, cols: 80, uid: 0, gid: 5 }) as Console;
  const turn = (): void => {
    for (let i = 0; i < 50 && timers.next < Infinity; i++) timers.run(1);
  };
  turn();
  return { host, console, slave: console.openSlave() as File, turn, task: new FakeTask() };
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
