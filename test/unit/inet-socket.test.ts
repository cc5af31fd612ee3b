// TCP, UDP, ICMP and netlink on the loopback interface, through their system calls.

import { expect, test } from 'vitest';
import { BLOCKED } from '../../src/base/result.ts';
import { procNet } from '../../src/sentry/net/procnet.ts';
import {
  sys_accept,
  sys_bind,
  sys_connect,
  sys_getpeername,
  sys_getsockname,
  sys_listen,
  sys_shutdown,
  sys_socket,
} from '../../src/sentry/syscalls/socket.ts';
import { sys_recvfrom, sys_sendto } from '../../src/sentry/syscalls/sockmsg.ts';
import { sys_getsockopt, sys_setsockopt } from '../../src/sentry/syscalls/sockopt.ts';
import { type Guest, guests, sockaddrIn, sockaddrIn6 } from './guest.ts';

const EPERM = 1;
const EAGAIN = 11;
const EINVAL = 22;
const EPIPE = 32;
const EDESTADDRREQ = 89;
const EPROTONOSUPPORT = 93;
const EAFNOSUPPORT = 97;
const EADDRINUSE = 98;
const EADDRNOTAVAIL = 99;
const ENETUNREACH = 101;
const ECONNRESET = 104;
const EISCONN = 106;
const ENOTCONN = 107;
const ECONNREFUSED = 111;
const EINPROGRESS = 115;
const NONBLOCK = 0x800;
const LO: [number, number, number, number] = [127, 0, 0, 1];
const RELEVANT = 0x2000 | 0x10 | 8 | 4 | 1;

function send(g: Guest, fd: number, data: string, flags = 0x4000): number {
  return g.call(sys_sendto, fd, g.put(data), data.length, flags);
}

function recv(g: Guest, fd: number, n: number, flags = 0x40): string | number {
  const a = g.alloc(n);
  const r = g.call(sys_recvfrom, fd, a, n, flags);
  return r < 0 ? r : g.get(a, Math.min(r, n));
}

function poll(g: Guest, fd: number): number {
  return g.task.fds.get(fd)!.poll() & RELEVANT;
}

function port(g: Guest, fd: number): number {
  const a = g.alloc(28);
  const l = g.put([28, 0, 0, 0]);
  expect(g.call(sys_getsockname, fd, a, l)).toBe(0);
  return (g.memory.bytes[a + 2]! << 8) | g.memory.bytes[a + 3]!;
}

function option(g: Guest, fd: number, level: number, name: number): number {
  const v = g.alloc(4);
  expect(g.call(sys_getsockopt, fd, level, name, v, g.put([4, 0, 0, 0]))).toBe(0);
  return g.i32(v);
}

function set(g: Guest, fd: number, level: number, name: number, ...ints: number[]): number {
  const v = g.alloc(4 * ints.length);
  ints.forEach((x, i) => {
    g.setU32(v + 4 * i, x);
  });
  return g.call(sys_setsockopt, fd, level, name, v, 4 * ints.length);
}

function listener(g: Guest, backlog = 5): number {
  const s = g.call(sys_socket, 2, 1, 0);
  expect(g.call(sys_bind, s, ...g.addr(sockaddrIn(LO, 0)))).toBe(0);
  expect(g.call(sys_listen, s, backlog)).toBe(0);
  return s;
}

function tcpPair(g: Guest): [number, number] {
  const l = listener(g);
  const c = g.call(sys_socket, 2, 1, 0);
  expect(g.call(sys_connect, c, ...g.addr(sockaddrIn(LO, port(g, l))))).toBe(0);
  const s = g.call(sys_accept, l);
  g.task.fds.close(l, g.task);
  return [c, s];
}

test('data, half close, end of file', () => {
  const g = guests(1).all[0]!;
  const [c, s] = tcpPair(g);
  expect(poll(g, c)).toBe(4);
  expect(send(g, c, 'ping')).toBe(4);
  expect(recv(g, s, 9)).toBe('ping');
  g.call(sys_shutdown, c, 1);
  expect(recv(g, s, 9)).toBe('');
  expect(poll(g, s)).toBe(0x2000 | 4 | 1);
  expect(send(g, s, 'late')).toBe(4);
  g.task.fds.close(s, g.task);
  expect(recv(g, c, 9)).toBe('late');
  expect(recv(g, c, 9)).toBe('');
  expect(send(g, c, 'x')).toBe(-EPIPE);
  expect(poll(g, c) & 0x10).toBe(0x10);
});

test('refused, fresh and non-blocking connections', () => {
  const g = guests(1).all[0]!;
  const l = listener(g);
  const p = port(g, l);
  const c = g.call(sys_socket, 2, 1 | NONBLOCK, 0);
  expect(poll(g, c)).toBe(0x10 | 4);
  expect(g.call(sys_connect, c, ...g.addr(sockaddrIn(LO, p)))).toBe(-EINPROGRESS);
  expect(poll(g, c)).toBe(4);
  expect(option(g, c, 1, 4)).toBe(0);
  expect(g.call(sys_connect, c, ...g.addr(sockaddrIn(LO, p)))).toBe(0);
  expect(g.call(sys_connect, c, ...g.addr(sockaddrIn(LO, p)))).toBe(-EISCONN);
  g.task.fds.close(l, g.task);
  expect(poll(g, c) & (8 | 0x10)).toBe(8 | 0x10);
  const d = g.call(sys_socket, 2, 1 | NONBLOCK, 0);
  expect(g.call(sys_connect, d, ...g.addr(sockaddrIn(LO, p)))).toBe(-EINPROGRESS);
  expect(option(g, d, 1, 4)).toBe(ECONNREFUSED);
  const e = g.call(sys_socket, 2, 1, 0);
  expect(g.call(sys_connect, e, ...g.addr(sockaddrIn(LO, p)))).toBe(-ECONNREFUSED);
  expect(g.call(sys_connect, e, ...g.addr(sockaddrIn([8, 8, 8, 8], 53)))).toBe(-ENETUNREACH);
  expect(recv(g, e, 1)).toBe(-ENOTCONN);
  expect(send(g, e, 'x')).toBe(-EPIPE);
});

test('a full backlog keeps the connection waiting', () => {
  const { all } = guests(2);
  const [g, h] = all as [Guest, Guest];
  const l = listener(g, 0);
  const p = port(g, l);
  const one = h.call(sys_socket, 2, 1, 0);
  const two = h.call(sys_socket, 2, 1, 0);
  expect(h.call(sys_connect, one, ...h.addr(sockaddrIn(LO, p)))).toBe(0);
  expect(h.call(sys_connect, two, ...h.addr(sockaddrIn(LO, p)))).toBe(BLOCKED);
  expect(g.call(sys_accept, l)).toBeGreaterThan(0);
  expect(h.woken).toBe(true);
  expect(h.again()).toBe(0);
});

test('resets', () => {
  const g = guests(1).all[0]!;
  let [c, s] = tcpPair(g);
  set(g, s, 1, 13, 1, 0);
  g.task.fds.close(s, g.task);
  expect(poll(g, c) & 8).toBe(8);
  expect(recv(g, c, 1)).toBe(-ECONNRESET);
  expect(recv(g, c, 1)).toBe('');
  expect(send(g, c, 'x')).toBe(-EPIPE);
  [c, s] = tcpPair(g);
  send(g, c, 'unread');
  g.task.fds.close(s, g.task);
  expect(recv(g, c, 1)).toBe(-ECONNRESET);
  [c, s] = tcpPair(g);
  g.task.fds.close(s, g.task);
  expect(send(g, c, 'into the void')).toBe(13);
  expect(send(g, c, 'x')).toBe(-EPIPE);
});

test('ports: in use, shared, taken over', () => {
  const g = guests(1).all[0]!;
  const l = listener(g);
  const p = port(g, l);
  const t = g.call(sys_socket, 2, 1, 0);
  expect(g.call(sys_bind, t, ...g.addr(sockaddrIn(LO, p)))).toBe(-EADDRINUSE);
  set(g, t, 1, 2, 1);
  expect(g.call(sys_bind, t, ...g.addr(sockaddrIn(LO, p)))).toBe(-EADDRINUSE);
  expect(g.call(sys_bind, t, ...g.addr(sockaddrIn([127, 0, 0, 2], p)))).toBe(0);
  const six = g.call(sys_socket, 10, 1, 0);
  expect(g.call(sys_bind, six, ...g.addr(sockaddrIn6(0, p)))).toBe(-EADDRINUSE);
  set(g, six, 41, 26, 1);
  expect(g.call(sys_bind, six, ...g.addr(sockaddrIn6(0, p)))).toBe(0);
  const bad = g.call(sys_socket, 2, 1, 0);
  expect(g.call(sys_bind, bad, ...g.addr(sockaddrIn([203, 0, 113, 7], 0)))).toBe(-EADDRNOTAVAIL);
  expect(g.call(sys_bind, l, ...g.addr(sockaddrIn(LO, 0)))).toBe(-EINVAL);
});

test('a dual-stack listener takes IPv4 as mapped addresses', () => {
  const g = guests(1).all[0]!;
  const l = g.call(sys_socket, 10, 1, 0);
  g.call(sys_bind, l, ...g.addr(sockaddrIn6(0, 0)));
  g.call(sys_listen, l, 2);
  const c = g.call(sys_socket, 2, 1, 0);
  expect(g.call(sys_connect, c, ...g.addr(sockaddrIn(LO, port(g, l))))).toBe(0);
  const s = g.call(sys_accept, l);
  const a = g.alloc(28);
  expect(g.call(sys_getpeername, s, a, g.put([28, 0, 0, 0]))).toBe(0);
  expect([...g.memory.bytes.subarray(a + 18, a + 24)]).toEqual([255, 255, 127, 0, 0, 1]);
  const d = g.call(sys_socket, 10, 1, 0);
  expect(g.call(sys_connect, d, ...g.addr(sockaddrIn6(1, port(g, l))))).toBe(0);
});

test('UDP: borders, connected sockets, unreachable ports', () => {
  const g = guests(1).all[0]!;
  const s = g.call(sys_socket, 2, 2, 0);
  g.call(sys_bind, s, ...g.addr(sockaddrIn(LO, 0)));
  const c = g.call(sys_socket, 2, 2, 0);
  const to = sockaddrIn(LO, port(g, s));
  expect(send(g, c, 'x')).toBe(-EDESTADDRREQ);
  expect(g.call(sys_sendto, c, g.put('first'), 5, 0, ...g.addr(to))).toBe(5);
  expect(recv(g, s, 2)).toBe('fi');
  expect(recv(g, s, 2)).toBe(-EAGAIN);
  expect(g.call(sys_connect, c, ...g.addr(to))).toBe(0);
  const other = g.call(sys_socket, 2, 2, 0);
  g.call(sys_sendto, other, g.put('stranger'), 8, 0, ...g.addr(sockaddrIn(LO, port(g, c))));
  expect(recv(g, c, 9)).toBe(-EAGAIN);
  g.task.fds.close(s, g.task);
  expect(send(g, c, 'x')).toBe(1);
  expect(poll(g, c) & 8).toBe(8);
  expect(recv(g, c, 9)).toBe(-ECONNREFUSED);
  expect(g.call(sys_sendto, c, g.put('x'), 1, 0, ...g.addr(sockaddrIn([1, 1, 1, 1], 9)))).toBe(-ENETUNREACH);
});

test('echo requests are answered', () => {
  const g = guests(1).all[0]!;
  const s = g.call(sys_socket, 2, 2, 1);
  const request = new Uint8Array(12);
  request[0] = 8;
  expect(g.call(sys_sendto, s, g.put(request), 12, 0, ...g.addr(sockaddrIn(LO, 0)))).toBe(12);
  const reply = recv(g, s, 64) as string;
  expect(reply).toHaveLength(12);
  expect(reply.charCodeAt(0)).toBe(0);
});

test('families and protocols that are not there', () => {
  const g = guests(1).all[0]!;
  expect(g.call(sys_socket, 200, 1, 0)).toBe(-EAFNOSUPPORT);
  expect(g.call(sys_socket, 40, 1, 0)).toBe(-EAFNOSUPPORT);
  expect(g.call(sys_socket, 2, 1, 17)).toBe(-EPROTONOSUPPORT);
  expect(g.call(sys_socket, 2, 0x45, 0)).toBe(-EINVAL);
  g.task.creds.effective = { lo: 0, hi: 0 };
  expect(g.call(sys_socket, 2, 3, 1)).toBe(-EPERM);
});

test('netlink tells of lo and its addresses', () => {
  const g = guests(1).all[0]!;
  const s = g.call(sys_socket, 16, 3, 0);
  const request = new Uint8Array(32);
  const v = new DataView(request.buffer);
  v.setUint32(0, 32, true);
  v.setUint16(4, 18, true); // RTM_GETLINK
  v.setUint16(6, 0x301, true);
  v.setUint32(8, 77, true);
  expect(g.call(sys_sendto, s, g.put(request), 32, 0)).toBe(32);
  const links = recv(g, s, 4096) as string;
  expect(links).toContain('lo\0');
  expect(links.charCodeAt(4)).toBe(16);
  expect(links.charCodeAt(8)).toBe(77);
  expect((recv(g, s, 4096) as string).charCodeAt(4)).toBe(3);
  v.setUint16(4, 22, true); // RTM_GETADDR
  g.call(sys_sendto, s, g.put(request), 32, 0);
  expect(recv(g, s, 4096)).toContain('\x7f\0\0\x01');
});

test('options are checked, kept and read back', () => {
  const g = guests(1).all[0]!;
  const s = g.call(sys_socket, 2, 1, 0);
  expect(set(g, s, 6, 1, 5)).toBe(0);
  expect(option(g, s, 6, 1)).toBe(1);
  expect(set(g, s, 1, 8, 20000)).toBe(0);
  expect(option(g, s, 1, 8)).toBe(40000);
  expect(option(g, s, 1, 38)).toBe(6);
  expect(option(g, s, 1, 3)).toBe(1);
  expect(g.call(sys_setsockopt, s, 1, 9, g.put([1]), 1)).toBe(-EINVAL);
  expect(set(g, s, 6, 9999, 1)).toBe(-92);
  expect(set(g, s, 0, 1, 16)).toBe(0);
  expect(option(g, s, 0, 1)).toBe(16);
});

test('/proc/net lists what is open', () => {
  const { kernel, all } = guests(1);
  const g = all[0]!;
  const l = listener(g);
  const files = procNet(kernel);
  const line = files.get('tcp')!().split('\n')[1]!;
  expect(line).toContain(`0100007F:${port(g, l).toString(16).toUpperCase().padStart(4, '0')} 00000000:0000 0A`);
  for (const [name, render] of files) expect(typeof render(), name).toBe('string');
});
