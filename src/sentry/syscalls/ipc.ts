// System V IPC: shmget(2), shmat(2), semget(2), semop(2), msgget(2), msgop(2) and their control calls.

import { CAP_IPC_LOCK, CAP_SYS_RESOURCE } from '../../abi/capability.ts';
import { E2BIG, EAGAIN, EFAULT, EIDRM, EINTR, EINVAL, ENOMSG, EPERM, ERANGE } from '../../abi/errno.ts';
import {
  GETALL,
  GETNCNT,
  GETPID,
  GETVAL,
  GETZCNT,
  IPC_INFO,
  IPC_NOWAIT,
  IPC_RMID,
  IPC_SET,
  IPC_STAT,
  MSG_COPY,
  MSG_EXCEPT,
  MSG_INFO,
  MSG_STAT,
  MSG_STAT_ANY,
  SEM_INFO,
  SEM_STAT,
  SEM_STAT_ANY,
  SETALL,
  SETVAL,
  SHM_EXEC,
  SHM_INFO,
  SHM_LOCK,
  SHM_LOCKED,
  SHM_RDONLY,
  SHM_REMAP,
  SHM_RND,
  SHM_STAT,
  SHM_STAT_ANY,
  SHM_UNLOCK,
} from '../../abi/ipc.ts';
import { MSGINFO, SEMBUF, SEMINFO, SHM_INFO_STRUCT, SHMINFO64 } from '../../abi/layouts.ts';
import { MAP_FIXED, MAP_SHARED, PROT_EXEC, PROT_READ, PROT_WRITE } from '../../abi/mman.ts';
import {
  SYS_msgctl,
  SYS_msgget,
  SYS_msgrcv,
  SYS_msgsnd,
  SYS_semctl,
  SYS_semget,
  SYS_semop,
  SYS_semtimedop,
  SYS_shmat,
  SYS_shmctl,
  SYS_shmdt,
  SYS_shmget,
} from '../../abi/nr.ts';
import { getI16, getI64, getU16, getU64, putU16, putU32, putU64 } from '../../base/bytes.ts';
import { monotonicNs } from '../../base/clock.ts';
import { BLOCKED } from '../../base/result.ts';
import { type IpcObject, type IpcTable, nowSec } from '../ipc/ids.ts';
import { MSGMAX, MSGMNB, MSGMNI, MSQID_DS_SIZE } from '../ipc/msg.ts';
import { ipcOf } from '../ipc/namespace.ts';
import { SEMID_DS_SIZE, SEMMNI, SEMMNS, SEMMSL, type SemOperation, SEMOPM, SEMVMX, type SemSet, type SemWaiter } from '../ipc/sem.ts';
import { SHMID_DS_SIZE, ShmMapping, SHMMAX, SHMMIN, SHMMNI, type ShmSegment } from '../ipc/shm.ts';
import { numberIn } from '../kernel/pidns.ts';
import { TASK_BLOCKED, type Task } from '../kernel/task.ts';
import { PAGE } from '../mm/memory.ts';
import { full, type Row } from './row.ts';

/** Permission bits for ipcperms: read and write, in any of the three places. */
const MAY_READ = 0o444;
const MAY_WRITE = 0o222;
/** SHMLBA. */
const ATTACH_ALIGN = PAGE;

/** The object of a control call: by identifier, or by slot for the *_STAT family; with permission to read unless `any`. Or -errno. */
function forStat<T extends IpcObject>(t: Task, table: IpcTable<T>, id: number, bySlot: boolean, any: boolean): T | number {
  const o = bySlot ? table.atIndex(id) : table.get(id);
  if (typeof o === 'number' || any) return o;
  const err = o.permission(t.creds, MAY_READ);
  return err < 0 ? err : o;
}

/** The object that the caller may change or remove. */
function owned<T extends IpcObject>(t: Task, table: IpcTable<T>, id: number): T | number {
  const o = table.get(id);
  if (typeof o === 'number') return o;
  const err = o.ownership(t.creds);
  return err < 0 ? err : o;
}

// Shared memory.

/** shmget(2). */
export function sys_shmget(t: Task): number {
  const table = ipcOf(t.kernel, t.ns.ipc.key).shm;
  const key = t.argI(0);
  const size = t.arg(1);
  const flags = t.argI(2);
  const o = table.find(t.creds, key, flags);
  if (typeof o === 'number') return o;
  if (o === null) return table.create(t.creds, key, flags, size, t.tg.pid);
  return size > o.size ? -EINVAL : o.id;
}

/** shmat(2): the address. */
export function sys_shmat(t: Task): number {
  const s = ipcOf(t.kernel, t.ns.ipc.key).shm.get(t.argI(0));
  if (typeof s === 'number') return s;
  let addr = t.arg(1);
  const flags = t.argI(2);
  let mapFlags = MAP_SHARED;
  if (addr !== 0) {
    const over = addr % ATTACH_ALIGN;
    if (over !== 0) {
      if ((flags & SHM_RND) === 0) return -EINVAL;
      addr -= over;
      if (addr === 0 && (flags & SHM_REMAP) !== 0) return -EINVAL;
    }
    mapFlags |= MAP_FIXED;
  } else if ((flags & SHM_REMAP) !== 0) return -EINVAL;
  const readOnly = (flags & SHM_RDONLY) !== 0;
  const exec = (flags & SHM_EXEC) !== 0;
  const err = s.permission(t.creds, readOnly ? MAY_READ : MAY_READ | MAY_WRITE);
  if (err < 0) return err;
  const prot = PROT_READ | (readOnly ? 0 : PROT_WRITE) | (exec ? PROT_EXEC : 0);
  const len = Math.ceil(s.size / PAGE) * PAGE;
  if (addr !== 0 && (flags & SHM_REMAP) === 0 && t.mm.vmas.overlaps(addr, addr + len)) return -EINVAL;
  const maxProt = PROT_READ | PROT_EXEC | (readOnly ? 0 : PROT_WRITE);
  const r = t.mm.mmap(t.ctx, addr, len, prot, mapFlags, maxProt, s.mapping, 0, s.fd, 0);
  if (r >= 0) s.lpid = t.tg.pid;
  return r;
}

/** shmdt(2): takes away all that remains of the attachment that began at the address. */
export function sys_shmdt(t: Task): number {
  const addr = t.arg(0);
  if (addr % PAGE !== 0) return -EINVAL;
  const list = t.mm.vmas.list;
  let segment: ShmSegment | null = null;
  // An attachment may have been split or cut: its pieces know their offset from its start.
  for (let i = t.mm.vmas.indexAfter(addr); i < list.length; i++) {
    const v = list[i]!;
    const o = v.object;
    if (o instanceof ShmMapping && v.start - v.offset === addr) {
      segment = o.segment;
      break;
    }
    if (segment === null && v.start >= addr + 2 ** 40) break;
  }
  if (segment === null) return -EINVAL;
  const end = addr + Math.ceil(segment.size / PAGE) * PAGE;
  for (;;) {
    const v = list.find((x) => x.start >= addr && x.end <= end && x.object === segment.mapping && x.start - x.offset === addr);
    if (v === undefined) break;
    segment.lpid = t.tg.pid;
    const r = t.mm.munmap(t.ctx, v.start, v.end - v.start);
    if (r < 0) return r;
  }
  return 0;
}

/** shmctl(2). */
export function sys_shmctl(t: Task): number {
  const table = ipcOf(t.kernel, t.ns.ipc.key).shm;
  const id = t.argI(0);
  const command = t.argI(1);
  const out = t.arg(2);
  const b = t.kernel.tmp;
  if (id < 0 || command < 0) return -EINVAL;
  switch (command) {
    case IPC_INFO:
      b.fill(0, 0, SHMINFO64.size);
      putU64(b, SHMINFO64.shmmax, SHMMAX);
      putU64(b, SHMINFO64.shmmin, SHMMIN);
      putU64(b, SHMINFO64.shmmni, SHMMNI);
      putU64(b, SHMINFO64.shmseg, SHMMNI);
      putU64(b, SHMINFO64.shmall, SHMMAX);
      return t.copyOut(out, b, 0, SHMINFO64.size) < 0 ? -EFAULT : table.maxIndex;
    case SHM_INFO:
      b.fill(0, 0, SHM_INFO_STRUCT.size);
      putU32(b, SHM_INFO_STRUCT.used_ids, table.count);
      putU64(b, SHM_INFO_STRUCT.shm_tot, table.pages);
      putU64(b, SHM_INFO_STRUCT.shm_rss, table.pages);
      return t.copyOut(out, b, 0, SHM_INFO_STRUCT.size) < 0 ? -EFAULT : table.maxIndex;
    case IPC_STAT:
    case SHM_STAT:
    case SHM_STAT_ANY: {
      const s = forStat(t, table, id, command !== IPC_STAT, command === SHM_STAT_ANY);
      if (typeof s === 'number') return s;
      s.putDs(b, t.pidns);
      return t.copyOut(out, b, 0, SHMID_DS_SIZE) < 0 ? -EFAULT : command === IPC_STAT ? 0 : s.id;
    }
    case IPC_SET: {
      if (t.copyIn(out, b, 0, SHMID_DS_SIZE) < 0) return -EFAULT;
      const s = owned(t, table, id);
      return typeof s === 'number' ? s : s.setPerm(b);
    }
    case IPC_RMID: {
      const s = owned(t, table, id);
      if (typeof s === 'number') return s;
      table.markForRemoval(s);
      return 0;
    }
    case SHM_LOCK:
    case SHM_UNLOCK: {
      const s = table.get(id);
      if (typeof s === 'number') return s;
      if (!t.creds.has(CAP_IPC_LOCK) && s.ownership(t.creds) < 0) return -EPERM;
      s.mode = command === SHM_LOCK ? s.mode | SHM_LOCKED : s.mode & ~SHM_LOCKED;
      return 0;
    }
    default:
      return -EINVAL;
  }
}

// Semaphores.

/** semget(2). */
export function sys_semget(t: Task): number {
  const table = ipcOf(t.kernel, t.ns.ipc.key).sem;
  const key = t.argI(0);
  const count = t.argI(1);
  const flags = t.argI(2);
  if (count < 0 || count > SEMMSL) return -EINVAL;
  const o = table.find(t.creds, key, flags);
  if (typeof o === 'number') return o;
  if (o === null) return count === 0 ? -EINVAL : table.create(t.creds, key, flags, count);
  return count > o.count ? -EINVAL : o.id;
}

const operations: SemOperation[] = [];

/** semtimedop(2); `timeout` is the address of a struct timespec, or 0. The restart record holds what is waited for. */
function semop(t: Task, timeout: number): number {
  const table = ipcOf(t.kernel, t.ns.ipc.key).sem;
  const id = t.argI(0);
  const n = t.arg(2);
  const b = t.kernel.tmp;
  if (timeout !== 0 && t.copyIn(timeout, b, 0, 16) < 0) return -EFAULT;
  if (n > SEMOPM) return -E2BIG;
  if (t.copyIn(t.arg(1), b, 0, n * SEMBUF.size) < 0) return -EFAULT;
  if (n < 1 || id < 0) return -EINVAL;
  let alter = false;
  for (let i = 0; i < n; i++) {
    let o = operations[i];
    if (o === undefined) {
      o = { num: 0, op: 0, flags: 0 };
      operations[i] = o;
    }
    o.num = getU16(b, i * SEMBUF.size + SEMBUF.sem_num);
    o.op = getI16(b, i * SEMBUF.size + SEMBUF.sem_op);
    o.flags = getU16(b, i * SEMBUF.size + SEMBUF.sem_flg);
    if (o.op !== 0) alter = true;
  }
  if (timeout !== 0 && t.rs.fresh) {
    if (t.copyIn(timeout, b, 0, 16) < 0) return -EFAULT;
    const sec = getI64(b, 0);
    const nsec = getI64(b, 8);
    if (sec < 0 || nsec < 0 || nsec >= 1e9) return -EINVAL;
    t.setDeadline(monotonicNs() + sec * 1e9 + nsec);
  }
  const waited = t.rs.obj as SemSet | null;
  if (waited !== null) waited.waiters.delete(t);
  const s = table.get(id);
  if (typeof s === 'number') return waited !== null ? -EIDRM : s;
  if (waited !== null && waited !== s) return -EIDRM;
  const err = s.permission(t.creds, alter ? MAY_WRITE : MAY_READ);
  if (err < 0) return err;
  const r = s.operate(operations, n, t.tg, t.tg.pid);
  if (r <= 0) return r;
  if (t.expired()) return -EAGAIN;
  const w = t.waitOn(s.queue, -1, EINTR);
  if (w === BLOCKED) {
    const o = operations[r - 1]!;
    s.waiters.set(t, { num: o.num, zero: o.op === 0 });
    t.rs.obj = s;
  }
  return w;
}

export function sys_semop(t: Task): number {
  return semop(t, 0);
}

export function sys_semtimedop(t: Task): number {
  return semop(t, t.arg(3));
}

/** How many tasks wait for semaphore `num` to grow, or to become zero. */
function countWaiters(s: SemSet, num: number, zero: boolean): number {
  let n = 0;
  for (const [o, w] of s.waiters as Map<Task, SemWaiter>) {
    if (o.state !== TASK_BLOCKED || o.rs.obj !== s) s.waiters.delete(o);
    else if (w.num === num && w.zero === zero) n++;
  }
  return n;
}

function semInfo(t: Task, command: number, out: number): number {
  const table = ipcOf(t.kernel, t.ns.ipc.key).sem;
  const b = t.kernel.tmp;
  b.fill(0, 0, SEMINFO.size);
  putU32(b, SEMINFO.semmap, SEMMNS);
  putU32(b, SEMINFO.semmni, SEMMNI);
  putU32(b, SEMINFO.semmns, SEMMNS);
  putU32(b, SEMINFO.semmnu, SEMMNS);
  putU32(b, SEMINFO.semmsl, SEMMSL);
  putU32(b, SEMINFO.semopm, SEMOPM);
  putU32(b, SEMINFO.semume, SEMOPM);
  putU32(b, SEMINFO.semusz, command === SEM_INFO ? table.count : 20);
  putU32(b, SEMINFO.semvmx, SEMVMX);
  putU32(b, SEMINFO.semaem, command === SEM_INFO ? table.total : SEMVMX);
  return t.copyOut(out, b, 0, SEMINFO.size) < 0 ? -EFAULT : table.maxIndex;
}

/** semctl(2). */
export function sys_semctl(t: Task): number {
  const table = ipcOf(t.kernel, t.ns.ipc.key).sem;
  const id = t.argI(0);
  const num = t.argI(1);
  const command = t.argI(2);
  const out = t.arg(3);
  if (id < 0) return -EINVAL;
  switch (command) {
    case IPC_INFO:
    case SEM_INFO:
      return semInfo(t, command, out);
    case IPC_STAT:
    case SEM_STAT:
    case SEM_STAT_ANY: {
      const s = forStat(t, table, id, command !== IPC_STAT, command === SEM_STAT_ANY);
      if (typeof s === 'number') return s;
      s.putDs(t.kernel.tmp);
      return t.copyOut(out, t.kernel.tmp, 0, SEMID_DS_SIZE) < 0 ? -EFAULT : command === IPC_STAT ? 0 : s.id;
    }
    case IPC_SET: {
      if (t.copyIn(out, t.kernel.tmp, 0, SEMID_DS_SIZE) < 0) return -EFAULT;
      const s = owned(t, table, id);
      return typeof s === 'number' ? s : s.setPerm(t.kernel.tmp);
    }
    case IPC_RMID: {
      const s = owned(t, table, id);
      if (typeof s === 'number') return s;
      table.destroy(s);
      return 0;
    }
    case GETALL:
    case SETALL:
      return semAll(t, id, command, out);
    case GETVAL:
    case GETPID:
    case GETNCNT:
    case GETZCNT:
    case SETVAL: {
      const s = table.get(id);
      if (typeof s === 'number') return s;
      const err = s.permission(t.creds, command === SETVAL ? MAY_WRITE : MAY_READ);
      if (err < 0) return err;
      if (num < 0 || num >= s.count) return -EINVAL;
      if (command === GETVAL) return s.values[num]!;
      if (command === GETPID) return numberIn(s.pids[num]!, t.pidns);
      if (command !== SETVAL) return countWaiters(s, num, command === GETZCNT);
      const value = t.argI(3);
      if (value < 0 || value > SEMVMX) return -ERANGE;
      s.set(num, value, t.tg.pid);
      touch(s);
      return 0;
    }
    default:
      return -EINVAL;
  }
}

function touch(s: SemSet): void {
  s.ctime = nowSec();
  s.queue.notify(-1);
}

function semAll(t: Task, id: number, command: number, addr: number): number {
  const s = ipcOf(t.kernel, t.ns.ipc.key).sem.get(id);
  if (typeof s === 'number') return s;
  const err = s.permission(t.creds, command === SETALL ? MAY_WRITE : MAY_READ);
  if (err < 0) return err;
  const b = t.kernel.scratch;
  const size = s.count * 2;
  if (command === GETALL) {
    for (let i = 0; i < s.count; i++) putU16(b, i * 2, s.values[i]!);
    return t.copyOut(addr, b, 0, size);
  }
  if (t.copyIn(addr, b, 0, size) < 0) return -EFAULT;
  for (let i = 0; i < s.count; i++) if (getU16(b, i * 2) > SEMVMX) return -ERANGE;
  for (let i = 0; i < s.count; i++) s.set(i, getU16(b, i * 2), t.tg.pid);
  touch(s);
  return 0;
}

// Message queues.

/** msgget(2). */
export function sys_msgget(t: Task): number {
  const table = ipcOf(t.kernel, t.ns.ipc.key).msg;
  const key = t.argI(0);
  const flags = t.argI(1);
  const o = table.find(t.creds, key, flags);
  if (typeof o === 'number') return o;
  return o === null ? table.create(t.creds, key, flags) : o.id;
}

/** msgsnd(2). */
export function sys_msgsnd(t: Task): number {
  const size = t.argS(2);
  const id = t.argI(0);
  const b = t.kernel.scratch;
  if (t.copyIn(t.arg(1), b, 0, 8) < 0) return -EFAULT;
  if (size < 0 || size > MSGMAX || id < 0) return -EINVAL;
  const type = getI64(b, 0);
  if (type < 1) return -EINVAL;
  if (t.copyIn(t.arg(1) + 8, b, 0, size) < 0) return -EFAULT;
  const q = ipcOf(t.kernel, t.ns.ipc.key).msg.get(id);
  if (typeof q === 'number') return t.rs.obj !== null ? -EIDRM : q;
  const err = q.permission(t.creds, MAY_WRITE);
  if (err < 0) return err;
  const r = q.send(type, b, size, t.tg.pid);
  if (r !== -EAGAIN || (t.argI(3) & IPC_NOWAIT) !== 0) return r;
  t.rs.obj = q;
  return t.waitOn(q.senders, -1, EINTR);
}

/** msgrcv(2): the length of the text. */
export function sys_msgrcv(t: Task): number {
  const room = t.argS(2);
  const type = t.argS(3);
  const flags = t.argI(4);
  const id = t.argI(0);
  if (room < 0 || id < 0) return -EINVAL;
  if ((flags & MSG_COPY) !== 0) {
    if ((flags & MSG_EXCEPT) !== 0 || (flags & IPC_NOWAIT) === 0) return -EINVAL;
  }
  const q = ipcOf(t.kernel, t.ns.ipc.key).msg.get(id);
  if (typeof q === 'number') return t.rs.obj !== null ? -EIDRM : q;
  const err = q.permission(t.creds, MAY_READ);
  if (err < 0) return err;
  const m = q.receive(type, flags, room, t.tg.pid);
  if (typeof m === 'number') {
    if (m !== -ENOMSG || (flags & IPC_NOWAIT) !== 0) return m;
    t.rs.obj = q;
    return t.waitOn(q.receivers, -1, EINTR);
  }
  const n = m.data.length < room ? m.data.length : room;
  if (t.writeU64(t.arg(1), m.type) < 0) return -EFAULT;
  return t.copyOut(t.arg(1) + 8, m.data, 0, n) < 0 ? -EFAULT : n;
}

/** msgctl(2). */
export function sys_msgctl(t: Task): number {
  const table = ipcOf(t.kernel, t.ns.ipc.key).msg;
  const id = t.argI(0);
  const command = t.argI(1);
  const out = t.arg(2);
  const b = t.kernel.tmp;
  if (id < 0 || command < 0) return -EINVAL;
  switch (command) {
    case IPC_INFO:
    case MSG_INFO: {
      b.fill(0, 0, MSGINFO.size);
      let messages = 0;
      let bytes = 0;
      table.forEach((q) => {
        messages += q.count;
        bytes += q.bytes;
      });
      putU32(b, MSGINFO.msgpool, command === MSG_INFO ? table.count : (MSGMNI * MSGMNB) / 1024);
      putU32(b, MSGINFO.msgmap, command === MSG_INFO ? messages : MSGMNB);
      putU32(b, MSGINFO.msgmax, MSGMAX);
      putU32(b, MSGINFO.msgmnb, MSGMNB);
      putU32(b, MSGINFO.msgmni, MSGMNI);
      putU32(b, MSGINFO.msgssz, 16);
      putU32(b, MSGINFO.msgtql, command === MSG_INFO ? bytes : MSGMNB);
      putU16(b, MSGINFO.msgseg, 0xffff);
      return t.copyOut(out, b, 0, MSGINFO.size) < 0 ? -EFAULT : table.maxIndex;
    }
    case IPC_STAT:
    case MSG_STAT:
    case MSG_STAT_ANY: {
      const q = forStat(t, table, id, command !== IPC_STAT, command === MSG_STAT_ANY);
      if (typeof q === 'number') return q;
      q.putDs(b, t.pidns);
      return t.copyOut(out, b, 0, MSQID_DS_SIZE) < 0 ? -EFAULT : command === IPC_STAT ? 0 : q.id;
    }
    case IPC_SET: {
      if (t.copyIn(out, b, 0, MSQID_DS_SIZE) < 0) return -EFAULT;
      const q = owned(t, table, id);
      if (typeof q === 'number') return q;
      const limit = getU64(b, 88);
      if (limit > MSGMNB && !t.creds.has(CAP_SYS_RESOURCE)) return -EPERM;
      const err = q.setPerm(b);
      if (err < 0) return err;
      q.limit = limit;
      q.senders.notify(-1);
      q.receivers.notify(-1);
      return 0;
    }
    case IPC_RMID: {
      const q = owned(t, table, id);
      if (typeof q === 'number') return q;
      table.destroy(q);
      return 0;
    }
    default:
      return -EINVAL;
  }
}

export const rows: readonly Row[] = [
  full(SYS_shmget, 'shmget', sys_shmget, 'hex', 'size', 'oct'),
  full(SYS_shmat, 'shmat', sys_shmat, 'int', 'ptr', 'hex'),
  full(SYS_shmdt, 'shmdt', sys_shmdt, 'ptr'),
  full(SYS_shmctl, 'shmctl', sys_shmctl, 'int', 'int', 'ptr'),
  full(SYS_semget, 'semget', sys_semget, 'hex', 'int', 'oct'),
  full(SYS_semop, 'semop', sys_semop, 'int', 'ptr', 'size'),
  full(SYS_semtimedop, 'semtimedop', sys_semtimedop, 'int', 'ptr', 'size', 'ptr'),
  full(SYS_semctl, 'semctl', sys_semctl, 'int', 'int', 'int', 'ptr'),
  full(SYS_msgget, 'msgget', sys_msgget, 'hex', 'oct'),
  full(SYS_msgsnd, 'msgsnd', sys_msgsnd, 'int', 'ptr', 'size', 'hex'),
  full(SYS_msgrcv, 'msgrcv', sys_msgrcv, 'int', 'ptr', 'size', 'long', 'hex'),
  full(SYS_msgctl, 'msgctl', sys_msgctl, 'int', 'int', 'ptr'),
];
