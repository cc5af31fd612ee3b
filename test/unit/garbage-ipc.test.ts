// Calls between tasks that programs make all the time leave nothing behind for the garbage collector.

import { describe, expect, test } from 'vitest';
import { EPOLL_CTL_ADD, EPOLLIN } from '../../src/abi/epoll.ts';
import { FUTEX_PRIVATE_FLAG, FUTEX_WAIT, FUTEX_WAKE } from '../../src/abi/futex.ts';
import {
  SYS_clock_gettime,
  SYS_epoll_create1,
  SYS_epoll_ctl,
  SYS_epoll_wait,
  SYS_eventfd2,
  SYS_futex,
  SYS_kill,
  SYS_pipe2,
  SYS_poll,
  SYS_read,
  SYS_recvfrom,
  SYS_recvmsg,
  SYS_rt_sigaction,
  SYS_rt_sigprocmask,
  SYS_rt_sigreturn,
  SYS_sched_yield,
  SYS_select,
  SYS_sendmsg,
  SYS_sendto,
  SYS_socketpair,
  SYS_tgkill,
  SYS_write,
} from '../../src/abi/nr.ts';
import { POLLIN } from '../../src/abi/poll.ts';
import { SA_RESTORER, SIGUSR1 } from '../../src/abi/signal.ts';
import { AF_UNIX, SOCK_SEQPACKET, SOCK_STREAM } from '../../src/abi/socket.ts';
import { putU16, putU32, putU64 } from '../../src/base/bytes.ts';
import { BLOCKED } from '../../src/base/result.ts';
import { REG_RSP } from '../../src/platform/platform.ts';
import { heapTaken } from './allocated.ts';
import { loopGuests } from './loop-guest.ts';

/** What a million calls may take all together: less than half a byte each. */
const NOTHING = 400 * 1024;

const [a, b] = loopGuests(2) as [ReturnType<typeof loopGuests>[0], ReturnType<typeof loopGuests>[0]];
// Both are threads of one process, as far as memory and descriptors are concerned.
b.task.mm = a.task.mm;
b.task.fds = a.task.fds;
const mem = a.guest.memory.bytes;
const DATA = a.guest.alloc(65536);
const OUT = a.guest.alloc(65536);
const SMALL = a.guest.alloc(256);
const STACK = a.guest.alloc(16384) + 16384;

function pair(nr: number, ...args: number[]): [number, number] {
  expect(a.call(nr, ...args, SMALL)).toBe(0);
  return [a.guest.u32(SMALL), a.guest.u32(SMALL + 4)];
}

function pipe(): [number, number] {
  expect(a.call(SYS_pipe2, SMALL, 0)).toBe(0);
  return [a.guest.u32(SMALL), a.guest.u32(SMALL + 4)];
}

function eventfd(count: number): number {
  return a.call(SYS_eventfd2, count, 0);
}

function watch(fd: number): number {
  const ep = a.call(SYS_epoll_create1, 0);
  putU32(mem, SMALL, EPOLLIN);
  expect(a.call(SYS_epoll_ctl, ep, EPOLL_CTL_ADD, fd, SMALL)).toBe(0);
  return ep;
}

/** Signal to itself, handler, sigreturn: the frame is where the kernel put it. */
function handled(nr: number, first: number, second: number, third: number): number {
  const regs = a.regs;
  regs[2 * REG_RSP] = STACK;
  regs[2 * REG_RSP + 1] = 0;
  a.call(nr, first, second, third);
  // The handler's ret takes the address of the restorer off the stack.
  regs[2 * REG_RSP]! += 8;
  a.call(SYS_rt_sigreturn);
  return regs[2 * REG_RSP]!;
}

const [in1, out1] = pipe();
const [in2, out2] = pipe();
const counter = eventfd(0);
const one = a.guest.put([1, 0, 0, 0, 0, 0, 0, 0]);
const readyEp = watch(eventfd(1));
const wakeEp = watch(counter);
const [s1, s2] = pair(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0);
const [q1, q2] = pair(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET, 0);
const header = a.guest.msghdr(DATA, 200);
const pollfds = a.guest.alloc(16);
putU32(mem, pollfds, counter);
putU16(mem, pollfds + 4, POLLIN);
putU32(mem, pollfds + 8, readyEp);
putU16(mem, pollfds + 12, POLLIN);
const sets = a.guest.alloc(128);
mem[sets + (readyEp >> 3)]! |= 1 << (readyEp & 7);
const action = a.guest.alloc(32);
putU64(mem, action, 0x5000);
putU32(mem, action + 8, SA_RESTORER);
putU64(mem, action + 16, 0x6000);
expect(a.call(SYS_rt_sigaction, SIGUSR1, action, 0, 8)).toBe(0);
const word = a.guest.alloc(4);

const calls: [string, number, () => number][] = [
  ['sched_yield', 0, () => a.call(SYS_sched_yield)],
  ['clock_gettime', 0, () => a.call(SYS_clock_gettime, 1, OUT)],
  ['pipe write and read of a byte', 1, () => a.call(SYS_write, out1, DATA, 1) && a.call(SYS_read, in1, OUT, 1)],
  ['pipe write and read of 512 bytes', 512, () => a.call(SYS_write, out1, DATA, 512) && a.call(SYS_read, in1, OUT, 512)],
  ['eventfd write and read', 8, () => a.call(SYS_write, counter, one, 8) && a.call(SYS_read, counter, OUT, 8)],
  ['epoll_wait with a ready eventfd', 1, () => a.call(SYS_epoll_wait, readyEp, OUT, 8, 0)],
  ['poll', 1, () => a.call(SYS_poll, pollfds, 2, 0)],
  ['select', 1, () => a.call(SYS_select, 64, sets, 0, 0, 0)],
  ['stream socket', 200, () => a.call(SYS_sendto, s1, DATA, 200) && a.call(SYS_recvfrom, s2, OUT, 200)],
  ['stream socket with sendmsg', 200, () => a.call(SYS_sendmsg, s1, header) && a.call(SYS_recvmsg, s2, header)],
  ['seqpacket socket', 200, () => a.call(SYS_write, q1, DATA, 200) && a.call(SYS_read, q2, OUT, 256)],
  ['rt_sigprocmask', 0, () => a.call(SYS_rt_sigprocmask, 0, SMALL + 64, OUT, 8)],
  ['kill of itself and sigreturn', STACK, () => handled(SYS_kill, a.task.tgid, SIGUSR1, 0)],
  ['tgkill of itself and sigreturn', STACK, () => handled(SYS_tgkill, a.task.tgid, a.task.tid, SIGUSR1)],
];

/** One waits, the other wakes it: both results must be what the wait is to give. */
function woken(wait: () => number, wake: () => number): () => number {
  return () => {
    const r = wait();
    if (r !== BLOCKED) return r;
    wake();
    return b.result;
  };
}

const waits: [string, number, () => number][] = [
  [
    'a pipe reader is woken',
    1,
    woken(
      () => b.call(SYS_read, in2, OUT, 1),
      () => a.call(SYS_write, out2, DATA, 1),
    ),
  ],
  [
    'a futex waiter is woken',
    0,
    woken(
      () => b.call(SYS_futex, word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, 0),
      () => a.call(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1),
    ),
  ],
  [
    'epoll_wait is woken',
    1,
    () => {
      b.call(SYS_epoll_wait, wakeEp, OUT, 8, -1);
      a.call(SYS_write, counter, one, 8);
      a.call(SYS_read, counter, OUT, 8);
      return b.result;
    },
  ],
  [
    'a socket reader is woken',
    200,
    woken(
      () => b.call(SYS_recvfrom, s2, OUT, 200),
      () => a.call(SYS_sendto, s1, DATA, 200),
    ),
  ],
];

describe('a million calls leave nothing', () => {
  test.each([...calls, ...waits])('%s', (_name, result, call) => {
    for (let i = 0; i < 3; i++) expect(call()).toBe(result);
    expect(heapTaken(call)).toBeLessThan(NOTHING);
  });
});
