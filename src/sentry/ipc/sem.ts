// System V semaphore sets (semget(2), semop(2), semctl(2)), with the adjustments of SEM_UNDO that a process leaves behind.

import { EAGAIN, EFBIG, ERANGE } from '../../abi/errno.ts';
import { IPC_NOWAIT, SEM_UNDO } from '../../abi/ipc.ts';
import { putU64 } from '../../base/bytes.ts';
import { WaitQueue } from '../../base/waitqueue.ts';
import type { Pid } from '../kernel/pidns.ts';
import type { Credentials } from '../vfs/creds.ts';
import { IpcObject, IpcTable, nowSec, PERM_SIZE, putTime } from './ids.ts';

/** sizeof(struct semid64_ds). */
export const SEMID_DS_SIZE = 104;
/** kernel.sem: semaphores a set, in all, operations a call, sets. */
export const SEMMSL = 32000;
export const SEMMNS = 1024000000;
export const SEMOPM = 500;
export const SEMMNI = 32000;
export const SEMVMX = 32767;
const SEMAEM = 16383;

/** One struct sembuf. */
export interface SemOperation {
  num: number;
  op: number;
  flags: number;
}

/** What a blocked semop(2) waits for, for GETNCNT and GETZCNT. */
export interface SemWaiter {
  num: number;
  zero: boolean;
}

export class SemSet extends IpcObject {
  readonly values: Int32Array;
  /** Who changed each last (GETPID). */
  readonly pids: (Pid | null)[];
  otime = 0;
  readonly queue: WaitQueue = new WaitQueue();
  /** semadj of each process that used SEM_UNDO; the key is its thread group. */
  readonly undo: Map<object, Int32Array> = new Map();
  /** Blocked tasks. Entries of dead ones are dropped when counted. */
  readonly waiters: Map<object, SemWaiter> = new Map();

  constructor(cr: Credentials, key: number, mode: number, count: number) {
    super(cr, key, mode);
    this.values = new Int32Array(count);
    this.pids = new Array<Pid | null>(count).fill(null);
  }

  get count(): number {
    return this.values.length;
  }

  /** Fills a struct semid64_ds. */
  putDs(b: Uint8Array): void {
    this.putPerm(b);
    b.fill(0, PERM_SIZE, SEMID_DS_SIZE);
    putTime(b, 48, this.otime);
    putTime(b, 64, this.ctime);
    putU64(b, 80, this.count);
  }

  /**
   * Does all operations or none. 0, -errno, or the index of the operation that must wait plus 1 (as a positive number). -EAGAIN: it must
   * wait and said IPC_NOWAIT.
   */
  operate(ops: readonly SemOperation[], n: number, owner: object, pid: Pid): number {
    const v = this.values;
    for (let i = 0; i < n; i++) if (ops[i]!.num >= v.length) return -EFBIG;
    let i = 0;
    let result = 0;
    for (; i < n; i++) {
      const o = ops[i]!;
      const now = v[o.num]!;
      const next = now + o.op;
      if ((o.op === 0 && now !== 0) || next < 0) {
        result = (o.flags & IPC_NOWAIT) !== 0 ? -EAGAIN : i + 1;
        break;
      }
      if (next > SEMVMX) {
        result = -ERANGE;
        break;
      }
      if ((o.flags & SEM_UNDO) !== 0) {
        const adj = (this.undo.get(owner)?.[o.num] ?? 0) - o.op;
        if (adj < -SEMAEM - 1 || adj > SEMAEM) {
          result = -ERANGE;
          break;
        }
      }
      v[o.num] = next;
    }
    if (result !== 0) {
      while (--i >= 0) v[ops[i]!.num]! -= ops[i]!.op;
      return result;
    }
    let changed = false;
    for (i = 0; i < n; i++) {
      const o = ops[i]!;
      this.pids[o.num] = pid;
      if (o.op === 0) continue;
      changed = true;
      if ((o.flags & SEM_UNDO) !== 0) this.adjustments(owner)[o.num]! -= o.op;
    }
    this.otime = nowSec();
    if (changed) this.queue.notify(-1);
    return 0;
  }

  private adjustments(owner: object): Int32Array {
    let a = this.undo.get(owner);
    if (a === undefined) {
      a = new Int32Array(this.values.length);
      this.undo.set(owner, a);
    }
    return a;
  }

  /** SETVAL and SETALL: the adjustments of everybody for this semaphore are forgotten. */
  set(num: number, value: number, pid: Pid): void {
    this.values[num] = value;
    this.pids[num] = pid;
    for (const a of this.undo.values()) a[num] = 0;
  }

  /** The process is gone: what it did with SEM_UNDO is taken back. */
  leave(owner: object, pid: Pid): void {
    const a = this.undo.get(owner);
    if (a === undefined) return;
    this.undo.delete(owner);
    for (let i = 0; i < a.length; i++) {
      if (a[i] === 0) continue;
      const v = this.values[i]! + a[i]!;
      this.values[i] = v < 0 ? 0 : v > SEMVMX ? SEMVMX : v;
      this.pids[i] = pid;
    }
    this.otime = nowSec();
    this.queue.notify(-1);
  }
}

export class SemTable extends IpcTable<SemSet> {
  constructor() {
    super(SEMMNI);
  }

  create(cr: Credentials, key: number, mode: number, count: number): number {
    return this.add(new SemSet(cr, key, mode, count));
  }

  /** IPC_RMID: those who wait hear EIDRM. */
  destroy(s: SemSet): void {
    this.remove(s);
    s.queue.notify(-1);
  }

  /** A process has ended. */
  leave(owner: object, pid: Pid): void {
    this.forEach((s) => s.leave(owner, pid));
  }

  /** Semaphores in all sets. */
  get total(): number {
    let n = 0;
    this.forEach((s) => {
      n += s.count;
    });
    return n;
  }
}
