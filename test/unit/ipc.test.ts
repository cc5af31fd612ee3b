// System V and POSIX IPC through their system calls.

import { expect, test } from 'vitest';
import { BLOCKED } from '../../src/base/result.ts';
import { mqueuesOf } from '../../src/sentry/ipc/mqueue.ts';
import { procSysvipc } from '../../src/sentry/ipc/namespace.ts';
import {
  sys_msgctl,
  sys_msgget,
  sys_msgrcv,
  sys_msgsnd,
  sys_semctl,
  sys_semget,
  sys_semop,
  sys_shmctl,
  sys_shmget,
} from '../../src/sentry/syscalls/ipc.ts';
import { sys_mq_getsetattr, sys_mq_open, sys_mq_timedreceive, sys_mq_timedsend, sys_mq_unlink } from '../../src/sentry/syscalls/mq.ts';
import { type Guest, guests } from './guest.ts';

const ENOENT = 2;
const E2BIG = 7;
const EAGAIN = 11;
const EACCES = 13;
const EEXIST = 17;
const EINVAL = 22;
const EFBIG = 27;
const ERANGE = 34;
const EMSGSIZE = 90;
const ENOMSG = 42;
const EIDRM = 43;
const CREAT = 0o1000;
const EXCL = 0o2000;
const NOWAIT = 0o4000;
const UNDO = 0x1000;

function sembuf(g: Guest, ...ops: [number, number, number][]): [number, number] {
  const b = new Uint8Array(6 * ops.length);
  const v = new DataView(b.buffer);
  ops.forEach(([num, op, flags], i) => {
    v.setUint16(i * 6, num, true);
    v.setInt16(i * 6 + 2, op, true);
    v.setInt16(i * 6 + 4, flags, true);
  });
  return [g.put(b), ops.length];
}

test('segments: keys, sizes, permissions, status', () => {
  const { kernel, all } = guests(2);
  const [g, h] = all as [Guest, Guest];
  expect(g.call(sys_shmget, 7, 100, 0o600)).toBe(-ENOENT);
  const id = g.call(sys_shmget, 7, 100, CREAT | EXCL | 0o600);
  expect(id).toBeGreaterThanOrEqual(0);
  expect(g.call(sys_shmget, 7, 100, CREAT | EXCL | 0o600)).toBe(-EEXIST);
  expect(g.call(sys_shmget, 7, 50, 0)).toBe(id);
  expect(g.call(sys_shmget, 7, 200, 0)).toBe(-EINVAL);
  expect(g.call(sys_shmget, 0, 0, CREAT)).toBe(-EINVAL);
  h.task.creds.effective = { lo: 0, hi: 0 };
  h.task.creds.euid = 9;
  expect(h.call(sys_shmget, 7, 50, 0o400)).toBe(-EACCES);
  const ds = g.alloc(112);
  expect(g.call(sys_shmctl, id, 2, ds)).toBe(0);
  expect(g.u64(ds + 48)).toBe(100);
  expect(g.u32(ds + 80)).toBe(1);
  expect(procSysvipc(kernel).get('shm')!(g.task).split('\n')).toHaveLength(3);
  expect(g.call(sys_shmctl, id, 0, 0)).toBe(0);
  expect(g.call(sys_shmctl, id, 2, ds)).toBe(-EINVAL);
  const again = g.call(sys_shmget, 7, 100, CREAT | 0o600);
  expect(again).not.toBe(id);
});

test('semaphores: all or nothing, waiting, removal', () => {
  const { all } = guests(2);
  const [g, h] = all as [Guest, Guest];
  const id = g.call(sys_semget, 0, 3, 0o600);
  expect(g.call(sys_semctl, id, 1, 16, 5)).toBe(0);
  expect(g.call(sys_semop, id, ...sembuf(g, [1, -3, 0]))).toBe(0);
  expect(g.call(sys_semctl, id, 1, 12)).toBe(2);
  expect(g.call(sys_semop, id, ...sembuf(g, [1, -1, 0], [2, -1, NOWAIT]))).toBe(-EAGAIN);
  expect(g.call(sys_semctl, id, 1, 12)).toBe(2);
  expect(g.call(sys_semop, id, ...sembuf(g, [7, 1, 0]))).toBe(-EFBIG);
  expect(g.call(sys_semctl, id, 1, 16, 40000)).toBe(-ERANGE);
  expect(h.call(sys_semop, id, ...sembuf(h, [0, -1, 0]))).toBe(BLOCKED);
  expect(g.call(sys_semctl, id, 0, 14)).toBe(1);
  expect(g.call(sys_semop, id, ...sembuf(g, [0, 1, 0]))).toBe(0);
  expect(h.woken).toBe(true);
  expect(h.again()).toBe(0);
  expect(h.call(sys_semop, id, ...sembuf(h, [0, -1, 0]))).toBe(BLOCKED);
  expect(g.call(sys_semctl, id, 0, 0)).toBe(0);
  expect(h.again()).toBe(-EIDRM);
  expect(h.call(sys_semop, id, ...sembuf(h, [0, -1, 0]))).toBe(-EINVAL);
});

test('SEM_UNDO gives back what a dead process took', () => {
  const { kernel, all } = guests(2);
  const [g, h] = all as [Guest, Guest];
  const id = g.call(sys_semget, 0, 1, 0o600);
  g.call(sys_semctl, id, 0, 16, 3);
  expect(h.call(sys_semop, id, ...sembuf(h, [0, -2, UNDO]))).toBe(0);
  expect(g.call(sys_semctl, id, 0, 12)).toBe(1);
  for (const hook of kernel.groupEnded) hook(h.task.tg);
  expect(g.call(sys_semctl, id, 0, 12)).toBe(3);
});

function message(g: Guest, type: number, text: string): number {
  const a = g.alloc(8 + text.length);
  g.setU32(a, type);
  for (let i = 0; i < text.length; i++) g.memory.bytes[a + 8 + i] = text.charCodeAt(i);
  return a;
}

test('message queues choose by type, wait, and go away', () => {
  const { all } = guests(2);
  const [g, h] = all as [Guest, Guest];
  const id = g.call(sys_msgget, 0, 0o600);
  for (const [type, text] of [
    [3, 'three'],
    [1, 'one'],
    [2, 'two'],
  ] as const) {
    expect(g.call(sys_msgsnd, id, message(g, type, text), text.length, 0)).toBe(0);
  }
  const r = g.alloc(72);
  expect(g.call(sys_msgrcv, id, r, 64, 2, 0)).toBe(3);
  expect(g.get(r + 8, 3)).toBe('two');
  expect(g.call(sys_msgrcv, id, r, 64, -3, 0)).toBe(3);
  expect(g.u64(r)).toBe(1);
  expect(g.call(sys_msgrcv, id, r, 64, 9, NOWAIT)).toBe(-ENOMSG);
  expect(g.call(sys_msgrcv, id, r, 2, 0, 0)).toBe(-E2BIG);
  expect(g.call(sys_msgrcv, id, r, 2, 0, 0o10000)).toBe(2);
  expect(g.call(sys_msgsnd, id, message(g, 0, 'x'), 1, 0)).toBe(-EINVAL);
  const at = h.alloc(72);
  expect(h.call(sys_msgrcv, id, at, 64, 5, 0)).toBe(BLOCKED);
  g.call(sys_msgsnd, id, message(g, 5, 'wake'), 4, 0);
  expect(h.again()).toBe(4);
  expect(h.call(sys_msgrcv, id, at, 64, 5, 0)).toBe(BLOCKED);
  expect(g.call(sys_msgctl, id, 0, 0)).toBe(0);
  expect(h.again()).toBe(-EIDRM);
});

test('POSIX queues: priorities, limits, waiting', () => {
  const { kernel, all } = guests(2);
  const [g, h] = all as [Guest, Guest];
  const attr = g.alloc(64);
  g.setU32(attr + 8, 2);
  g.setU32(attr + 16, 32);
  const q = g.call(sys_mq_open, g.put('name\0'), 0o102 | 0o4000, 0o600, attr);
  expect(q).toBeGreaterThanOrEqual(0);
  expect(g.call(sys_mq_open, g.put('name\0'), 0o302, 0o600, attr)).toBe(-EEXIST);
  expect(g.call(sys_mq_open, g.put('absent\0'), 0, 0, 0)).toBe(-ENOENT);
  const text = g.put('text');
  expect(g.call(sys_mq_timedsend, q, text, 3, 1, 0)).toBe(0);
  expect(g.call(sys_mq_timedsend, q, text, 4, 9, 0)).toBe(0);
  expect(g.call(sys_mq_timedsend, q, text, 4, 9, 0)).toBe(-EAGAIN);
  expect(g.call(sys_mq_timedsend, q, text, 33, 9, 0)).toBe(-EMSGSIZE);
  const out = g.alloc(32);
  const prio = g.alloc(4);
  expect(g.call(sys_mq_timedreceive, q, out, 31, prio, 0)).toBe(-EMSGSIZE);
  expect(g.call(sys_mq_timedreceive, q, out, 32, prio, 0)).toBe(4);
  expect(g.u32(prio)).toBe(9);
  expect(g.call(sys_mq_getsetattr, q, 0, attr)).toBe(0);
  expect(g.u64(attr + 24)).toBe(1);
  expect(g.call(sys_mq_timedreceive, q, out, 32, 0, 0)).toBe(3);
  const there = h.call(sys_mq_open, h.put('name\0'), 2, 0, 0);
  const buf = h.alloc(32);
  expect(h.call(sys_mq_timedreceive, there, buf, 32, 0, 0)).toBe(BLOCKED);
  g.call(sys_mq_timedsend, q, text, 4, 0, 0);
  expect(h.woken).toBe(true);
  expect(h.again()).toBe(4);
  expect(g.call(sys_mq_unlink, g.put('name\0'))).toBe(0);
  expect(mqueuesOf(kernel).queues.size).toBe(0);
});
