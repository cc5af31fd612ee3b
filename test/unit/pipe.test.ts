import { describe, expect, it } from 'vitest';
import { EAGAIN, EBADF, EBUSY, EINVAL, EPERM, EPIPE } from '../../src/abi/errno.ts';
import { O_DIRECT, O_NONBLOCK } from '../../src/abi/fcntl.ts';
import { POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM } from '../../src/abi/poll.ts';
import { SIGPIPE } from '../../src/abi/signal.ts';
import { createPipe } from '../../src/sentry/fs/pipe/pipe.ts';
import { sys_pipe2 } from '../../src/sentry/syscalls/pipe.ts';
import { bytes, FakeTask, text } from './faketask.ts';

const IN = POLLIN | POLLRDNORM;
const OUT = POLLOUT | POLLWRNORM;

describe('a pipe', () => {
  const t = new FakeTask();
  const c = t.task;

  it('moves bytes and reports readiness', () => {
    const [r, w] = createPipe(c, 0);
    const b = new Uint8Array(16);
    expect(r.poll()).toBe(0);
    expect(w.poll()).toBe(OUT);
    expect(r.read(c, b, 0, 16)).toBe(-EAGAIN);
    expect(w.write(c, bytes('hello'), 0, 5)).toBe(5);
    expect(r.poll()).toBe(IN);
    expect(r.read(c, b, 0, 3)).toBe(3);
    expect(r.read(c, b, 3, 13)).toBe(2);
    expect(text(b, 5)).toBe('hello');
  });

  it('ends when the writers are gone, breaks when the readers are', () => {
    const [r, w] = createPipe(c, 0);
    w.write(c, bytes('x'), 0, 1);
    w.unref();
    const b = new Uint8Array(4);
    expect(r.poll()).toBe(IN | POLLHUP);
    expect(r.read(c, b, 0, 4)).toBe(1);
    expect(r.read(c, b, 0, 4)).toBe(0);
    const [r2, w2] = createPipe(c, 0);
    r2.unref();
    expect(w2.poll()).toBe(OUT | POLLERR);
    expect(w2.write(c, b, 0, 1)).toBe(-EPIPE);
    expect(t.raised).toEqual([SIGPIPE]);
  });

  it('takes writes up to PIPE_BUF whole or not at all', () => {
    const [r, w] = createPipe(c, 0);
    const big = new Uint8Array(65536);
    expect(w.write(c, big, 0, 65536 - 100)).toBe(65536 - 100);
    expect(w.poll()).toBe(0);
    expect(w.write(c, big, 0, 101)).toBe(-EAGAIN);
    expect(w.write(c, big, 0, 5000)).toBe(100);
    expect(w.write(c, big, 0, 1)).toBe(-EAGAIN);
    expect(r.read(c, big, 0, 4096)).toBe(4096);
    expect(w.poll()).toBe(OUT);
  });

  it('keeps packets apart with O_DIRECT', () => {
    const [r, w] = createPipe(c, O_DIRECT);
    w.write(c, bytes('abc'), 0, 3);
    w.write(c, bytes('defg'), 0, 4);
    const b = new Uint8Array(16);
    expect(r.read(c, b, 0, 2)).toBe(2);
    expect(text(b, 2)).toBe('ab');
    expect(r.read(c, b, 0, 16)).toBe(4);
    expect(text(b, 4)).toBe('defg');
  });

  it('changes its size within the limits', () => {
    const [, w] = createPipe(c, 0);
    expect(w.pipe.resize(c, 5000)).toBe(8192);
    expect(w.pipe.resize(c, 2 << 20)).toBe(-EPERM);
    w.write(c, new Uint8Array(8192), 0, 8192);
    expect(w.pipe.resize(c, 4096)).toBe(-EBUSY);
  });
});

describe('pipe2', () => {
  it('installs both ends and refuses unknown flags', () => {
    const t = new FakeTask();
    expect(t.call(sys_pipe2, [64, O_NONBLOCK])).toBe(0);
    expect([t.memory[64], t.memory[68]]).toEqual([0, 1]);
    expect(t.fds.get(0)!.flags & O_NONBLOCK).toBe(O_NONBLOCK);
    expect(t.call(sys_pipe2, [64, 1])).toBe(-EINVAL);
    expect(t.fds.close(7, null)).toBe(-EBADF);
  });
});
