// AF_UNIX sockets through their system calls.

import { expect, test } from 'vitest';
import { BLOCKED } from '../../src/base/result.ts';
import type { SocketFile } from '../../src/sentry/net/socket.ts';
import {
  sys_accept,
  sys_bind,
  sys_connect,
  sys_getpeername,
  sys_getsockname,
  sys_listen,
  sys_shutdown,
  sys_socket,
  sys_socketpair,
} from '../../src/sentry/syscalls/socket.ts';
import { sys_recvfrom, sys_recvmsg, sys_sendmsg, sys_sendto } from '../../src/sentry/syscalls/sockmsg.ts';
import { sys_getsockopt, sys_setsockopt } from '../../src/sentry/syscalls/sockopt.ts';
import { type Guest, guests, sockaddrUn } from './guest.ts';

const EAGAIN = 11;
const EPIPE = 32;
const EADDRINUSE = 98;
const ECONNRESET = 104;
const ECONNREFUSED = 111;
const SIGPIPE = 13;
const POLLIN = 1;
const POLLOUT = 4;
const POLLHUP = 0x10;
const POLLRDHUP = 0x2000;
const STREAM = 1;
const DGRAM = 2;
const SEQPACKET = 5;
const NONBLOCK = 0x800;

function pair(g: Guest, type: number): [number, number] {
  const out = g.alloc(8);
  expect(g.call(sys_socketpair, 1, type, 0, out)).toBe(0);
  return [g.i32(out), g.i32(out + 4)];
}

function send(g: Guest, fd: number, data: string, flags = 0): number {
  return g.call(sys_sendto, fd, g.put(data), data.length, flags);
}

function recv(g: Guest, fd: number, n: number, flags = 0): string | number {
  const a = g.alloc(n);
  const r = g.call(sys_recvfrom, fd, a, n, flags);
  return r < 0 ? r : g.get(a, Math.min(r, n));
}

function poll(g: Guest, fd: number): number {
  return g.task.fds.get(fd)!.poll();
}

function sendFd(g: Guest, via: number, fd: number): number {
  const c = g.alloc(24);
  const m = g.memory.bytes;
  m[c] = 20;
  g.setU32(c + 8, 1);
  g.setU32(c + 12, 1);
  g.setU32(c + 16, fd);
  return g.call(sys_sendmsg, via, g.msghdr(g.put('x'), 1, c, 24), 0);
}

function recvFd(g: Guest, via: number): number {
  const c = g.alloc(24);
  const h = g.msghdr(g.alloc(1), 1, c, 24);
  expect(g.call(sys_recvmsg, via, h, 0)).toBe(1);
  expect(g.u64(h + 40)).toBe(24);
  return g.i32(c + 16);
}

test('a stream glues writes, ends, and breaks', () => {
  const g = guests(1).all[0]!;
  const [a, b] = pair(g, STREAM);
  expect(send(g, a, 'hello')).toBe(5);
  expect(send(g, a, 'world')).toBe(5);
  expect(recv(g, b, 7)).toBe('hellowo');
  expect(recv(g, b, 7, 2)).toBe('rld');
  expect(recv(g, b, 7)).toBe('rld');
  expect(recv(g, b, 7, 0x40)).toBe(-EAGAIN);
  g.task.fds.close(b, g.task);
  expect(recv(g, a, 1)).toBe('');
  expect(send(g, a, 'x')).toBe(-EPIPE);
  expect(g.signals).toEqual([SIGPIPE]);
  expect(send(g, a, 'x', 0x4000)).toBe(-EPIPE);
  expect(g.signals).toHaveLength(1);
  expect(poll(g, a) & POLLHUP).toBe(POLLHUP);
});

test('closing with unread data resets the peer', () => {
  const g = guests(1).all[0]!;
  const [a, b] = pair(g, STREAM);
  send(g, a, 'unread');
  g.task.fds.close(b, g.task);
  expect(recv(g, a, 1)).toBe(-ECONNRESET);
  expect(recv(g, a, 1)).toBe('');
});

test('a reader blocks until data comes, a writer until there is room', () => {
  const { all } = guests(2);
  const [g, h] = all as [Guest, Guest];
  const [a, b] = pair(g, STREAM);
  const there = h.task.fds.install(g.task.fds.get(b)!.ref(), false);
  const at = h.alloc(10);
  expect(h.call(sys_recvfrom, there, at, 10, 0)).toBe(BLOCKED);
  expect(h.woken).toBe(false);
  send(g, a, 'wake');
  expect(h.woken).toBe(true);
  expect(h.again()).toBe(4);
  const big = g.alloc(500000);
  expect(g.call(sys_sendto, a, big, 500000, 0)).toBe(BLOCKED);
  let got = 0;
  const into = h.alloc(300000);
  for (let i = 0; i < 10 && got < 500000; i++) {
    const n = h.call(sys_recvfrom, there, into, 300000, 0x40);
    if (n > 0) got += n;
    if (g.woken) {
      const r = g.again();
      if (r !== BLOCKED) expect(r).toBe(500000);
    }
  }
  expect(got).toBe(500000);
});

test('datagrams keep their borders and tell their length', () => {
  const g = guests(1).all[0]!;
  const [a, b] = pair(g, DGRAM);
  send(g, a, 'first');
  send(g, a, '');
  send(g, a, 'third');
  expect(recv(g, b, 2)).toBe('fi');
  expect(recv(g, b, 9)).toBe('');
  const at = g.alloc(2);
  expect(g.call(sys_recvfrom, b, at, 2, 0x20)).toBe(5);
  const [c, d] = pair(g, SEQPACKET);
  send(g, c, 'abc');
  const h = g.msghdr(g.alloc(2), 2);
  expect(g.call(sys_recvmsg, d, h, 0)).toBe(2);
  expect(g.u32(h + 48) & 0x20).toBe(0x20);
  g.task.fds.close(c, g.task);
  expect(recv(g, d, 5)).toBe('');
});

test('names: paths, abstract ones, autobind, and who is refused', () => {
  const g = guests(1).all[0]!;
  const s = g.call(sys_socket, 1, STREAM, 0);
  expect(g.call(sys_bind, s, ...g.addr(sockaddrUn('/sock\0')))).toBe(0);
  expect(g.call(sys_listen, s, 5)).toBe(0);
  const t = g.call(sys_socket, 1, STREAM, 0);
  expect(g.call(sys_bind, t, ...g.addr(sockaddrUn('/sock')))).toBe(-EADDRINUSE);
  expect(g.call(sys_connect, t, ...g.addr(sockaddrUn('/absent')))).toBe(-2);
  expect(g.call(sys_connect, t, ...g.addr(sockaddrUn('/sock')))).toBe(0);
  expect(send(g, t, 'early')).toBe(5);
  const a = g.alloc(110);
  const l = g.alloc(4);
  g.setU32(l, 110);
  const c = g.call(sys_accept, s, a, l);
  expect(c).toBeGreaterThan(0);
  expect(g.u32(l)).toBe(2);
  expect(recv(g, c, 9)).toBe('early');
  g.setU32(l, 110);
  expect(g.call(sys_getpeername, t, a, l)).toBe(0);
  expect(g.get(a + 2, g.u32(l) - 2)).toBe('/sock\0');
  g.task.fds.close(s, g.task);
  const u = g.call(sys_socket, 1, STREAM, 0);
  expect(g.call(sys_connect, u, ...g.addr(sockaddrUn('/sock')))).toBe(-ECONNREFUSED);
  const x = g.call(sys_socket, 1, DGRAM, 0);
  expect(g.call(sys_bind, x, ...g.addr(sockaddrUn('')))).toBe(0);
  g.setU32(l, 110);
  g.call(sys_getsockname, x, a, l);
  expect(g.u32(l)).toBe(8);
  const y = g.call(sys_socket, 1, DGRAM, 0);
  expect(g.call(sys_bind, y, ...g.addr(sockaddrUn('\0name')))).toBe(0);
  expect(g.call(sys_sendto, x, g.put('hi'), 2, 0, ...g.addr(sockaddrUn('\0name')))).toBe(2);
  g.task.fds.close(y, g.task);
  expect(g.call(sys_sendto, x, g.put('hi'), 2, 0, ...g.addr(sockaddrUn('\0name')))).toBe(-ECONNREFUSED);
});

test('a full backlog makes a connection wait', () => {
  const { all } = guests(2);
  const [g, h] = all as [Guest, Guest];
  const s = g.call(sys_socket, 1, STREAM, 0);
  g.call(sys_bind, s, ...g.addr(sockaddrUn('\0busy')));
  g.call(sys_listen, s, 0);
  const one = h.call(sys_socket, 1, STREAM, 0);
  const two = h.call(sys_socket, 1, STREAM | NONBLOCK, 0);
  const three = h.call(sys_socket, 1, STREAM, 0);
  expect(h.call(sys_connect, one, ...h.addr(sockaddrUn('\0busy')))).toBe(0);
  expect(h.call(sys_connect, two, ...h.addr(sockaddrUn('\0busy')))).toBe(-EAGAIN);
  expect(h.call(sys_connect, three, ...h.addr(sockaddrUn('\0busy')))).toBe(BLOCKED);
  expect(g.call(sys_accept, s)).toBeGreaterThan(0);
  expect(h.woken).toBe(true);
  expect(h.again()).toBe(0);
});

test('half-closed streams', () => {
  const g = guests(1).all[0]!;
  const [a, b] = pair(g, STREAM);
  send(g, a, 'x');
  expect(g.call(sys_shutdown, a, 1)).toBe(0);
  expect(recv(g, b, 2)).toBe('x');
  expect(recv(g, b, 2)).toBe('');
  expect(send(g, b, 'y')).toBe(1);
  expect(recv(g, a, 2)).toBe('y');
  expect(poll(g, b) & (POLLIN | POLLRDHUP | POLLHUP)).toBe(POLLIN | POLLRDHUP);
  g.call(sys_shutdown, b, 2);
  expect(poll(g, b) & POLLHUP).toBe(POLLHUP);
});

test('descriptors travel, and share what they name', () => {
  const { all } = guests(2);
  const [g, h] = all as [Guest, Guest];
  const [a, b] = pair(g, STREAM);
  const there = h.task.fds.install(g.task.fds.get(b)!.ref(), false);
  const [c, d] = pair(g, STREAM);
  expect(sendFd(g, a, d)).toBe(1);
  g.task.fds.close(d, g.task);
  send(g, a, 'rest');
  const got = recvFd(h, there);
  expect(send(h, got, 'through')).toBe(7);
  expect(recv(g, c, 20)).toBe('through');
  expect(recv(h, there, 20)).toBe('rest');
});

test('a socket that only its own queue holds is collected', () => {
  const g = guests(1).all[0]!;
  const [a, b] = pair(g, STREAM);
  const [c, d] = pair(g, STREAM);
  const fileA = g.task.fds.get(a) as SocketFile;
  sendFd(g, a, a);
  sendFd(g, a, b);
  sendFd(g, a, d);
  g.task.fds.close(a, g.task);
  g.task.fds.close(b, g.task);
  g.task.fds.close(d, g.task);
  expect(fileA.refs).toBe(0);
  expect(recv(g, c, 1)).toBe('');
});

test('a long chain of sockets in flight goes without recursion', () => {
  const g = guests(1).all[0]!;
  g.task.creds.effective = { lo: 0xffffffff, hi: 0x1ff };
  let [keep, last] = pair(g, STREAM);
  for (let i = 0; i < 3000; i++) {
    const [a, b] = pair(g, STREAM);
    sendFd(g, a, keep);
    sendFd(g, a, last);
    g.task.fds.close(keep, g.task);
    g.task.fds.close(last, g.task);
    keep = a;
    last = b;
    g['at' as never] = 8192 as never;
  }
  g.task.fds.close(keep, g.task);
  g.task.fds.close(last, g.task);
  expect(g.call(sys_socket, 1, STREAM, 0)).toBe(0);
});

test('credentials of the sender and of the peer', () => {
  const { all } = guests(2);
  const [g, h] = all as [Guest, Guest];
  const [a, b] = pair(g, STREAM);
  const one = g.put([1, 0, 0, 0]);
  expect(g.call(sys_setsockopt, b, 1, 16, one, 4)).toBe(0);
  const there = h.task.fds.install(g.task.fds.get(a)!.ref(), false);
  h.task.creds.euid = 42;
  send(h, there, 'x');
  const c = g.alloc(32);
  const m = g.msghdr(g.alloc(1), 1, c, 32);
  expect(g.call(sys_recvmsg, b, m, 0)).toBe(1);
  expect([g.u32(c + 12), g.u32(c + 16), g.u32(c + 20)]).toEqual([2, 2, 42]);
  const out = g.alloc(12);
  const len = g.put([12, 0, 0, 0]);
  expect(g.call(sys_getsockopt, a, 1, 17, out, len)).toBe(0);
  expect(g.u32(out)).toBe(1);
});

test('a listener wakes, and reports POLLIN', () => {
  const { all } = guests(2);
  const [g, h] = all as [Guest, Guest];
  const s = g.call(sys_socket, 1, SEQPACKET, 0);
  g.call(sys_bind, s, ...g.addr(sockaddrUn('\0l')));
  g.call(sys_listen, s, 1);
  expect(poll(g, s)).toBe(0);
  expect(g.call(sys_accept, s)).toBe(BLOCKED);
  const c = h.call(sys_socket, 1, SEQPACKET, 0);
  expect(poll(h, c) & (POLLOUT | POLLHUP)).toBe(POLLOUT | POLLHUP);
  expect(h.call(sys_connect, c, ...h.addr(sockaddrUn('\0l')))).toBe(0);
  expect(g.woken).toBe(true);
  expect(poll(g, s) & POLLIN).toBe(POLLIN);
  expect(g.again()).toBeGreaterThan(0);
});
