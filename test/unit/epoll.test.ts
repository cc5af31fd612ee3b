import { describe, expect, it } from 'vitest';
import { EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLET, EPOLLEXCLUSIVE, EPOLLIN, EPOLLONESHOT } from '../../src/abi/epoll.ts';
import { EAGAIN, EBADF, EEXIST, EINVAL, ELOOP, ENOENT } from '../../src/abi/errno.ts';
import { POLLIN, POLLNVAL, POLLOUT } from '../../src/abi/poll.ts';
import { getU32, putU32 } from '../../src/base/bytes.ts';
import { BLOCKED } from '../../src/base/result.ts';
import { EventFile } from '../../src/sentry/fs/event/eventfd.ts';
import { createPipe } from '../../src/sentry/fs/pipe/pipe.ts';
import { sys_epoll_create1, sys_epoll_ctl, sys_epoll_wait } from '../../src/sentry/syscalls/epoll.ts';
import { sys_poll, sys_select } from '../../src/sentry/syscalls/poll.ts';
import { FakeTask } from './faketask.ts';

const EVENT = 4096;
const OUT = 8192;

class World extends FakeTask {
  readonly ep: number;
  constructor() {
    super();
    this.ep = this.call(sys_epoll_create1, [0]);
  }
  ctl(op: number, fd: number, events: number, data = fd, ep = this.ep): number {
    putU32(this.memory, EVENT, events);
    putU32(this.memory, EVENT + 4, data);
    putU32(this.memory, EVENT + 8, 0);
    return this.call(sys_epoll_ctl, [ep, op, fd, EVENT]);
  }
  /** The events that are there now, as [data, events] pairs; or the result when it is no count. */
  wait(ms = 0, max = 8, again = false): [number, number][] | number {
    const n = this.call(sys_epoll_wait, [this.ep, OUT, max, ms], again);
    if (n < 0) return n;
    return Array.from({ length: n }, (_, i) => [getU32(this.memory, OUT + i * 12 + 4), getU32(this.memory, OUT + i * 12)]);
  }
  event(initial = 0): [number, EventFile] {
    const f = new EventFile(initial, false, 0);
    return [this.fds.install(f, false), f];
  }
}

const drain = new Uint8Array(8);

describe('epoll', () => {
  it('reports again while the level stands', () => {
    const w = new World();
    const [fd, f] = w.event();
    expect(w.ctl(EPOLL_CTL_ADD, fd, EPOLLIN)).toBe(0);
    expect(w.ctl(EPOLL_CTL_ADD, fd, EPOLLIN)).toBe(-EEXIST);
    expect(w.wait()).toEqual([]);
    f.signal(1);
    expect(w.wait()).toEqual([[fd, EPOLLIN]]);
    expect(w.wait()).toEqual([[fd, EPOLLIN]]);
    f.read(w.task, drain, 0, 8);
    expect(w.wait()).toEqual([]);
  });

  it('reports an edge once', () => {
    const w = new World();
    const [fd, f] = w.event(1);
    w.ctl(EPOLL_CTL_ADD, fd, (EPOLLIN | EPOLLET) >>> 0);
    expect(w.wait()).toEqual([[fd, EPOLLIN]]);
    expect(w.wait()).toEqual([]);
    f.signal(1);
    expect(w.wait()).toEqual([[fd, EPOLLIN]]);
  });

  it('reports one shot until it is armed again', () => {
    const w = new World();
    const [fd, f] = w.event(1);
    w.ctl(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLONESHOT);
    expect(w.wait()).toEqual([[fd, EPOLLIN]]);
    f.signal(1);
    expect(w.wait()).toEqual([]);
    w.ctl(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLONESHOT, 99);
    expect(w.wait()).toEqual([[99, EPOLLIN]]);
  });

  it('blocks and is woken', () => {
    const w = new World();
    const [fd, f] = w.event();
    w.ctl(EPOLL_CTL_ADD, fd, EPOLLIN);
    expect(w.wait(-1)).toBe(BLOCKED);
    f.signal(1);
    expect(w.woken).toBe(1);
    expect(w.wait(-1, 8, true)).toEqual([[fd, EPOLLIN]]);
  });

  it('serves all in turn when asked for fewer', () => {
    const w = new World();
    const [a] = w.event(1);
    const [b] = w.event(1);
    w.ctl(EPOLL_CTL_ADD, a, EPOLLIN);
    w.ctl(EPOLL_CTL_ADD, b, EPOLLIN);
    const first = w.wait(0, 1) as [number, number][];
    const second = w.wait(0, 1) as [number, number][];
    expect([first[0]![0], second[0]![0]].sort()).toEqual([a, b]);
  });

  it('forgets a closed description, but not one that a duplicate keeps', () => {
    const w = new World();
    const [fd, f] = w.event(1);
    w.ctl(EPOLL_CTL_ADD, fd, EPOLLIN);
    const dup = w.fds.install(f.ref(), false);
    w.fds.close(fd, null);
    expect(w.wait()).toEqual([[fd, EPOLLIN]]);
    w.fds.close(dup, null);
    expect(w.wait()).toEqual([]);
    const [again] = w.event(1);
    expect(again).toBe(fd);
    expect(w.ctl(EPOLL_CTL_ADD, again, EPOLLIN)).toBe(0);
    expect(w.wait()).toEqual([[fd, EPOLLIN]]);
  });

  it('nests, and refuses circles', () => {
    const w = new World();
    const inner = w.call(sys_epoll_create1, [0]);
    const [fd, f] = w.event();
    w.ctl(EPOLL_CTL_ADD, fd, EPOLLIN, 1, inner);
    expect(w.ctl(EPOLL_CTL_ADD, inner, EPOLLIN)).toBe(0);
    expect(w.ctl(EPOLL_CTL_ADD, w.ep, EPOLLIN, 0, inner)).toBe(-ELOOP);
    expect(w.ctl(EPOLL_CTL_ADD, w.ep, EPOLLIN)).toBe(-EINVAL);
    expect(w.wait()).toEqual([]);
    f.signal(1);
    expect(w.wait()).toEqual([[inner, EPOLLIN]]);
    f.read(w.task, drain, 0, 8);
    expect(w.wait()).toEqual([]);
  });

  it('checks its arguments', () => {
    const w = new World();
    const [fd] = w.event();
    expect(w.ctl(EPOLL_CTL_MOD, fd, EPOLLIN)).toBe(-ENOENT);
    expect(w.ctl(EPOLL_CTL_DEL, fd, 0)).toBe(-ENOENT);
    expect(w.ctl(EPOLL_CTL_ADD, 77, EPOLLIN)).toBe(-EBADF);
    expect(w.ctl(7, fd, EPOLLIN)).toBe(-EINVAL);
    expect(w.ctl(EPOLL_CTL_ADD, fd, EPOLLEXCLUSIVE | EPOLLONESHOT | EPOLLIN)).toBe(-EINVAL);
    expect(w.wait(0, 0)).toBe(-EINVAL);
  });
});

describe('eventfd', () => {
  it('counts to 2^64 - 2 without loss', () => {
    const w = new World();
    const f = new EventFile(0, false, 0);
    const b = new Uint8Array(8);
    b.fill(0xff);
    expect(f.write(w.task, b, 0, 8)).toBe(-EINVAL);
    b[0] = 0xfe;
    expect(f.write(w.task, b, 0, 8)).toBe(8);
    expect(f.poll() & POLLOUT).toBe(0);
    expect(f.write(w.task, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0), 0, 8)).toBe(-EAGAIN);
    b.fill(0);
    expect(f.read(w.task, b, 0, 8)).toBe(8);
    expect([b[0], b[7]]).toEqual([0xfe, 0xff]);
    expect(f.read(w.task, b, 0, 8)).toBe(-EAGAIN);
    expect(f.read(w.task, b, 0, 4)).toBe(-EINVAL);
  });

  it('gives ones as a semaphore', () => {
    const w = new World();
    const f = new EventFile(2, true, 0);
    const b = new Uint8Array(8);
    expect(f.read(w.task, b, 0, 8)).toBe(8);
    expect(b[0]).toBe(1);
    expect(f.read(w.task, b, 0, 8)).toBe(8);
    expect(f.read(w.task, b, 0, 8)).toBe(-EAGAIN);
  });
});

describe('poll and select', () => {
  it('poll looks, waits, and names bad descriptors', () => {
    const w = new World();
    const [r, p] = createPipe(w.task, 0);
    const rfd = w.fds.install(r, false);
    putU32(w.memory, EVENT, rfd);
    putU32(w.memory, EVENT + 4, POLLIN);
    putU32(w.memory, EVENT + 8, 99);
    putU32(w.memory, EVENT + 12, POLLIN);
    expect(w.call(sys_poll, [EVENT, 2, -1])).toBe(1);
    expect(getU32(w.memory, EVENT + 12) >>> 16).toBe(POLLNVAL);
    expect(w.call(sys_poll, [EVENT, 1, 0])).toBe(0);
    expect(w.call(sys_poll, [EVENT, 1, -1])).toBe(BLOCKED);
    p.write(w.task, drain, 0, 1);
    expect(w.woken).toBe(1);
    expect(w.call(sys_poll, [EVENT, 1, -1], true)).toBe(1);
    expect(getU32(w.memory, EVENT + 4) >>> 16).toBe(POLLIN);
  });

  it('select answers in the sets', () => {
    const w = new World();
    const [r, p] = createPipe(w.task, 0);
    const rfd = w.fds.install(r, false);
    const wfd = w.fds.install(p, false);
    const READ = EVENT;
    const WRITE = EVENT + 128;
    w.memory[READ] = 1 << rfd;
    w.memory[WRITE] = 1 << wfd;
    expect(w.call(sys_select, [wfd + 1, READ, WRITE, 0, 0])).toBe(1);
    expect([w.memory[READ], w.memory[WRITE]]).toEqual([0, 1 << wfd]);
    w.memory[READ] = 1 << rfd;
    expect(w.call(sys_select, [rfd + 1, READ, 0, 0, 0])).toBe(BLOCKED);
    p.write(w.task, drain, 0, 1);
    expect(w.call(sys_select, [rfd + 1, READ, 0, 0, 0], true)).toBe(1);
    w.memory[READ] = 1 << 7;
    w.fds.install(r.ref(), false, 9);
    expect(w.call(sys_select, [8, READ, 0, 0, 0])).toBe(-EBADF);
  });
});
