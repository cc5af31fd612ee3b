import { describe, expect, it } from 'vitest';
import { EAGAIN, EINVAL, EIO, ENOTTY, EPERM } from '../../src/abi/errno.ts';
import { O_NOCTTY, O_NONBLOCK, O_RDWR } from '../../src/abi/fcntl.ts';
import {
  ECHO,
  FIONREAD,
  ICANON,
  TCFLSH,
  TCGETS,
  TCIFLUSH,
  TCSETS,
  TCSETSF,
  TIOCGPGRP,
  TIOCGPTN,
  TIOCGSID,
  TIOCGWINSZ,
  TIOCNOTTY,
  TIOCPKT,
  TIOCSCTTY,
  TIOCSPGRP,
  TIOCSPTLCK,
  TIOCSTI,
  TIOCSWINSZ,
  TOSTOP,
  VMIN,
  VTIME,
} from '../../src/abi/ioctl.ts';
import { POLLHUP, POLLIN, POLLOUT } from '../../src/abi/poll.ts';
import { SIGHUP, SIGINT, SIGTTIN, SIGTTOU, SIGWINCH } from '../../src/abi/signal.ts';
import { getU16, getU32, putU16, putU32 } from '../../src/base/bytes.ts';
import { createDevpts, type DevPts } from '../../src/sentry/fs/tty/devpts.ts';
import type { MasterFile } from '../../src/sentry/fs/tty/pty.ts';
import { sigIn } from '../../src/sentry/kernel/siginfo.ts';
import type { File } from '../../src/sentry/vfs/file.ts';
import { newMount } from '../../src/sentry/vfs/mount.ts';
import { bytes, FakeTask, text } from './faketask.ts';

const ARG = 64;
const buf = new Uint8Array(8192);

class World extends FakeTask {
  readonly pts: DevPts;
  readonly master: MasterFile;
  readonly slave: File;
  constructor(flags = O_RDWR) {
    super();
    this.pts = createDevpts('gid=5,mode=620,ptmxmode=666') as DevPts;
    const mount = newMount(this.pts, 0, 'devpts');
    this.master = this.pts.openMaster(1000, 1000, this.pts.find('ptmx')!, O_RDWR, mount) as MasterFile;
    this.int(0);
    this.master.ioctl(this.task, TIOCSPTLCK, ARG);
    this.slave = this.pts.openPeer(0, flags, mount) as File;
  }
  int(v: number): void {
    putU32(this.memory, ARG, v);
  }
  type(s: string): number {
    return this.master.write(this.task, bytes(s), 0, s.length);
  }
  screen(): string | number {
    const n = this.master.read(this.task, buf, 0, buf.length);
    return n < 0 ? n : text(buf, n);
  }
  read(len = 100): string | number {
    const n = this.slave.read(this.task, buf, 0, len);
    return n < 0 ? n : text(buf, n);
  }
  control(): number {
    return this.slave.ioctl(this.task, TIOCSCTTY, 0);
  }
  /** Puts the task into a background group of its session. */
  background(): void {
    const other = { pgid: 2, session: this.tg['session'], members: new Set([this.tg]), orphaned: () => false };
    this.tg['pgrp'] = other;
  }
  has(sig: number): boolean {
    return sigIn(this.pending.lo, this.pending.hi, sig);
  }
  lflag(change: (l: number) => number, cc: Record<number, number> = {}): void {
    this.slave.ioctl(this.task, TCGETS, ARG);
    putU32(this.memory, ARG + 12, change(getU32(this.memory, ARG + 12)));
    for (const [i, v] of Object.entries(cc)) this.memory[ARG + 17 + Number(i)] = v;
    expect(this.slave.ioctl(this.task, TCSETS, ARG)).toBe(0);
  }
}

describe('a pseudoterminal', () => {
  it('has a name, an owner and a number', () => {
    const w = new World();
    const inode = w.pts.find('0')!;
    expect([inode.mode, inode.uid, inode.gid, inode.rdev]).toEqual([0o20620, 1000, 5, 136 * 256]);
    expect(w.master.ioctl(w.task, TIOCGPTN, ARG)).toBe(0);
    expect(getU32(w.memory, ARG)).toBe(0);
    expect(w.slave.dentry!.name).toBe('0');
    w.master.unref();
    expect(w.pts.find('0')).toBe(undefined);
    expect(createDevpts('frobnicate=1')).toBe(-EINVAL);
  });

  it('is locked at first', () => {
    const pts = createDevpts('') as DevPts;
    const mount = newMount(pts, 0, 'devpts');
    pts.openMaster(0, 0, pts.root, O_RDWR, mount);
    expect(pts.openPeer(0, O_RDWR, mount)).toBe(-EIO);
  });

  it('carries both ways', () => {
    const w = new World();
    expect(w.screen()).toBe(-EAGAIN);
    w.type('hi\r');
    expect(w.screen()).toBe('hi\r\n');
    expect(w.slave.poll() & POLLIN).toBe(POLLIN);
    expect(w.read()).toBe('hi\n');
    w.slave.write(w.task, bytes('x\n'), 0, 2);
    expect(w.master.poll() & POLLIN).toBe(POLLIN);
    w.master.ioctl(w.task, FIONREAD, ARG);
    expect(getU32(w.memory, ARG)).toBe(3);
    expect(w.screen()).toBe('x\r\n');
  });

  it('ends for the master when the last slave is closed', () => {
    const w = new World();
    w.slave.write(w.task, bytes('bye'), 0, 3);
    w.slave.unref();
    expect(w.screen()).toBe('bye');
    expect(w.screen()).toBe(-EIO);
    expect(w.master.poll()).toBe(POLLHUP);
  });

  it('hangs up for the slave when the master is closed', () => {
    const w = new World();
    expect(w.control()).toBe(0);
    w.master.unref();
    expect(w.has(SIGHUP)).toBe(true);
    expect(w.read()).toBe('');
    expect(w.slave.write(w.task, bytes('x'), 0, 1)).toBe(-EIO);
    expect(w.slave.poll() & (POLLHUP | POLLIN | POLLOUT)).toBe(POLLHUP | POLLIN | POLLOUT);
    expect(w.slave.ioctl(w.task, TCGETS, ARG)).toBe(-EIO);
    expect((w.tg['session'] as { tty: unknown }).tty).toBe(null);
  });

  it('reports status in packet mode', () => {
    const w = new World();
    w.int(1);
    w.master.ioctl(w.task, TIOCPKT, ARG);
    w.slave.write(w.task, bytes('ab'), 0, 2);
    expect(w.screen()).toBe('\0ab');
    w.slave.ioctl(w.task, TCFLSH, TCIFLUSH);
    expect(w.screen()).toBe('\x01');
  });
});

describe('settings', () => {
  it('go round and apply to input', () => {
    const w = new World();
    w.lflag((l) => l & ~(ICANON | ECHO));
    w.type('a');
    expect(w.screen()).toBe(-EAGAIN);
    expect(w.read()).toBe('a');
    w.slave.ioctl(w.task, TCGETS, ARG);
    expect(getU32(w.memory, ARG + 12) & (ICANON | ECHO)).toBe(0);
    w.type('gone');
    w.slave.ioctl(w.task, TCSETSF, ARG);
    expect(w.read()).toBe(-EAGAIN);
  });

  it('MIN and TIME', () => {
    const w = new World();
    const raw = (l: number): number => l & ~(ICANON | ECHO);
    w.lflag(raw, { [VMIN]: 3, [VTIME]: 0 });
    w.type('ab');
    expect(w.read()).toBe(-EAGAIN);
    expect(w.read(2)).toBe('ab');
    w.lflag(raw, { [VMIN]: 0, [VTIME]: 0 });
    expect(w.read()).toBe('');
    w.lflag(raw, { [VMIN]: 0, [VTIME]: 2 });
    w.rs.reset();
    expect(w.read()).toBe(-EAGAIN);
    expect(w.rs.deadline).toBeLessThan(Infinity);
    w.slave.flags |= O_NONBLOCK;
    w.lflag(raw, { [VMIN]: 5, [VTIME]: 0 });
    expect(w.read()).toBe(-EAGAIN);
    w.type('x');
    expect(w.read()).toBe('x');
  });

  it('window size tells the foreground group', () => {
    const w = new World();
    w.control();
    putU16(w.memory, ARG, 24);
    putU16(w.memory, ARG + 2, 80);
    expect(w.master.ioctl(w.task, TIOCSWINSZ, ARG)).toBe(0);
    expect(w.has(SIGWINCH)).toBe(false); // ignored by default, and not blocked
    w.maskLo = 1 << (SIGWINCH - 1);
    putU16(w.memory, ARG, 25);
    w.slave.ioctl(w.task, TIOCSWINSZ, ARG);
    expect(w.has(SIGWINCH)).toBe(true);
    w.memory.fill(0, ARG, ARG + 8);
    w.slave.ioctl(w.task, TIOCGWINSZ, ARG);
    expect([getU16(w.memory, ARG), getU16(w.memory, ARG + 2)]).toEqual([25, 80]);
  });
});

describe('job control', () => {
  it('^C goes to the foreground group', () => {
    const w = new World();
    w.control();
    w.type('\x03');
    expect(w.has(SIGINT)).toBe(true);
  });

  it('is refused to those without the terminal', () => {
    const w = new World(O_RDWR | O_NOCTTY);
    expect(w.slave.ioctl(w.task, TIOCGPGRP, ARG)).toBe(-ENOTTY);
    expect(w.slave.ioctl(w.task, TIOCGSID, ARG)).toBe(-ENOTTY);
    expect(w.slave.ioctl(w.task, TIOCNOTTY, 0)).toBe(-ENOTTY);
    expect(w.slave.ioctl(w.task, TIOCSPGRP, ARG)).toBe(-ENOTTY);
    expect(w.slave.ioctl(w.task, TIOCSTI, ARG)).toBe(-EPERM);
    (w.tg['session'] as { leader: unknown }).leader = null;
    expect(w.control()).toBe(-EPERM);
  });

  it('stops background readers, and writers under TOSTOP', () => {
    const w = new World();
    w.control();
    w.background();
    expect(w.read()).toBeLessThan(0);
    expect(w.has(SIGTTIN)).toBe(true);
    expect(w.slave.write(w.task, bytes('x'), 0, 1)).toBe(1);
    w.maskLo = 1 << (SIGTTOU - 1);
    w.lflag((l) => l | TOSTOP);
    w.maskLo = 0;
    expect(w.slave.write(w.task, bytes('x'), 0, 1)).toBeLessThan(0);
    expect(w.has(SIGTTOU)).toBe(true);
  });

  it('answers EIO to readers that block SIGTTIN or are orphaned', () => {
    const w = new World();
    w.control();
    w.background();
    w.maskLo = 1 << (SIGTTIN - 1);
    expect(w.read()).toBe(-EIO);
    w.maskLo = 0;
    (w.tg['pgrp'] as { orphaned: () => boolean }).orphaned = () => true;
    expect(w.read()).toBe(-EIO);
    expect(w.has(SIGTTIN)).toBe(false);
  });

  it('dies with the session leader', () => {
    const w = new World();
    w.control();
    w.slave.write(w.task, bytes('last'), 0, 4);
    w.master.tty.hangup();
    expect(w.has(SIGHUP)).toBe(true);
    expect(w.read()).toBe('');
    expect(w.screen()).toBe('last');
    expect(w.screen()).toBe(-EAGAIN); // a dead description is still open
    w.slave.unref();
    expect(w.screen()).toBe(-EIO);
  });
});
