// Futexes (futex(2), kernel/futex): waiting on a word of guest memory. The Sentry's one thread is the lock: a wait reads the word and
// queues in one step, so no wake-up between the two is lost.

import { EAGAIN, EFAULT, EINVAL, ETIMEDOUT } from '../../abi/errno.ts';
import { FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS } from '../../abi/futex.ts';
import { MAP_SHARED } from '../../abi/mman.ts';
import { getU32, getU64 } from '../../base/bytes.ts';
import { BLOCKED, ERESTART_RESTARTBLOCK, ERESTARTSYS } from '../../base/result.ts';
import type { Task } from './task.ts';

/** One waiting task in one queue. */
class FutexWaiter {
  /** Null while nobody waits with it. */
  task: Task | null = null;
  bitset = 0;
  woken = false;
  queue: FutexQueue | null = null;
  prev: FutexWaiter | null = null;
  next: FutexWaiter | null = null;
}

/** The waiters of one word, in the order of their coming. */
class FutexQueue {
  /** Null while it is in none. */
  table: FutexTable | null = null;
  key = 0;
  head: FutexWaiter | null = null;
  tail: FutexWaiter | null = null;
  /** The next one of the same bucket, or of the free ones. */
  next: FutexQueue | null = null;

  push(w: FutexWaiter): void {
    w.queue = this;
    w.prev = this.tail;
    w.next = null;
    if (this.tail === null) this.head = w;
    else this.tail.next = w;
    this.tail = w;
  }

  /** Takes a waiter out. A queue that is empty afterwards is the caller's to drop. */
  remove(w: FutexWaiter): void {
    if (w.prev === null) this.head = w.next;
    else w.prev.next = w.next;
    if (w.next === null) this.tail = w.prev;
    else w.next.prev = w.prev;
    w.queue = null;
    w.prev = null;
    w.next = null;
  }
}

// What a wait needs is kept for the next one, within bounds: waits begin and end all the time, and few are under way at once.
const KEPT = 256;
let freeWaiter: FutexWaiter | null = null;
let freeWaiters = 0;
let freeQueue: FutexQueue | null = null;
let freeQueues = 0;

function takeWaiter(t: Task, bitset: number): FutexWaiter {
  let w = freeWaiter;
  if (w === null) w = new FutexWaiter();
  else {
    freeWaiter = w.next;
    freeWaiters--;
    w.next = null;
  }
  w.task = t;
  w.bitset = bitset;
  w.woken = false;
  return w;
}

/** The wait of `t` is over; `w` is in no queue. */
function endWait(t: Task, w: FutexWaiter): void {
  t.rs.obj = null;
  w.task = null;
  if (freeWaiters === KEPT) return;
  freeWaiters++;
  w.next = freeWaiter;
  freeWaiter = w;
}

function takeQueue(table: FutexTable, key: number): FutexQueue {
  let q = freeQueue;
  if (q === null) q = new FutexQueue();
  else {
    freeQueue = q.next;
    freeQueues--;
  }
  q.table = table;
  q.key = key;
  return q;
}

/** Queues by key: a hash table that grows with them. */
class FutexTable {
  private buckets: (FutexQueue | null)[] = [null, null, null, null, null, null, null, null];
  private count = 0;

  private bucket(key: number): number {
    const word = key / 4;
    // The words of one page spread out, and those at the same place of different pages do, too.
    return ((word ^ (word >>> 10) ^ Math.floor(word / 1048576)) >>> 0) & (this.buckets.length - 1);
  }

  get(key: number): FutexQueue | null {
    let q = this.buckets[this.bucket(key)] ?? null;
    while (q !== null && q.key !== key) q = q.next;
    return q;
  }

  /** The queue of `key`, made if there is none. */
  need(key: number): FutexQueue {
    const known = this.get(key);
    if (known !== null) return known;
    if (this.count >= this.buckets.length) this.grow();
    const q = takeQueue(this, key);
    this.put(q);
    this.count++;
    return q;
  }

  private put(q: FutexQueue): void {
    const b = this.bucket(q.key);
    q.next = this.buckets[b] ?? null;
    this.buckets[b] = q;
  }

  /** Takes an empty queue out. */
  drop(q: FutexQueue): void {
    const b = this.bucket(q.key);
    let p = this.buckets[b] ?? null;
    if (p === q) this.buckets[b] = q.next;
    else {
      while (p !== null && p.next !== q) p = p.next;
      if (p !== null) p.next = q.next;
    }
    this.count--;
    q.table = null;
    if (freeQueues === KEPT) return;
    freeQueues++;
    q.next = freeQueue;
    freeQueue = q;
  }

  private grow(): void {
    const old = this.buckets;
    this.buckets = new Array<FutexQueue | null>(old.length * 2).fill(null);
    for (const first of old) {
      let q = first;
      while (q !== null) {
        const next: FutexQueue | null = q.next;
        this.put(q);
        q = next;
      }
    }
  }
}

/** Futexes in memory that several address spaces share: by object, then by offset. */
const sharedTables = new WeakMap<object, FutexTable>();

function tableOf(owner: { futexes: unknown }): FutexTable {
  if (owner.futexes === null) owner.futexes = new FutexTable();
  return owner.futexes as FutexTable;
}

let keyTable: FutexTable;
let keyOffset = 0;

/** Finds the table and key of a word; leaves them in keyTable and keyOffset. 0 or -errno. */
function locate(t: Task, addr: number, shared: boolean): number {
  if (addr % 4 !== 0) return -EINVAL;
  if (addr + 4 > t.kernel.platform.maxAddress) return -EFAULT;
  if (shared) {
    const v = t.mm.vmas.find(addr);
    if (v === null) return -EFAULT;
    if ((v.flags & MAP_SHARED) !== 0 && v.object !== null) {
      let table = sharedTables.get(v.object.key);
      if (table === undefined) {
        table = new FutexTable();
        sharedTables.set(v.object.key, table);
      }
      keyTable = table;
      keyOffset = v.offset + (addr - v.start);
      return 0;
    }
  }
  keyTable = tableOf(t.mm);
  keyOffset = addr;
  return 0;
}

function dequeue(w: FutexWaiter): void {
  const q = w.queue;
  if (q === null) return;
  q.remove(w);
  if (q.head === null) q.table!.drop(q);
}

/** FUTEX_WAIT(_BITSET). The deadline is in t.rs already. */
export function futexWait(t: Task, addr: number, value: number, bitset: number, shared: boolean): number {
  if (bitset === 0) return -EINVAL;
  let w = t.rs.obj as FutexWaiter | null;
  if (w === null) {
    const r = locate(t, addr, shared);
    if (r < 0) return r;
    const now = t.readU32(addr);
    if (now < 0) return now;
    if (now !== value >>> 0) return -EAGAIN;
    w = takeWaiter(t, bitset);
    t.rs.obj = w;
    keyTable.need(keyOffset).push(w);
  }
  if (w.woken) {
    endWait(t, w);
    return 0;
  }
  if (t.expired()) {
    dequeue(w);
    endWait(t, w);
    return -ETIMEDOUT;
  }
  const r = t.block(t.rs.deadline === Infinity ? ERESTARTSYS : ERESTART_RESTARTBLOCK);
  if (r !== BLOCKED) {
    // A restart begins anew: the word is read again.
    dequeue(w);
    endWait(t, w);
  }
  return r;
}

function wakeQueue(q: FutexQueue | null, count: number, bitset: number): number {
  if (q === null) return 0;
  let n = 0;
  for (let w = q.head; w !== null && n < count; ) {
    const next: FutexWaiter | null = w.next;
    if ((w.bitset & bitset) !== 0) {
      q.remove(w);
      w.woken = true;
      w.task!.wake();
      n++;
    }
    w = next;
  }
  if (q.head === null) q.table!.drop(q);
  return n;
}

/** FUTEX_WAKE(_BITSET). How many were woken. */
export function futexWake(t: Task, addr: number, count: number, bitset: number, shared: boolean): number {
  if (bitset === 0) return -EINVAL;
  const r = locate(t, addr, shared);
  if (r < 0) return r;
  return wakeQueue(keyTable.get(keyOffset), count, bitset);
}

/** Wakes waiters of a word as the kernel does at thread exit, private and shared alike. */
export function futexWakeAddress(t: Task, addr: number, count: number): void {
  if (locate(t, addr, true) < 0) return;
  const n = wakeQueue(keyTable.get(keyOffset), count, 0xffffffff);
  if (n < count) wakeQueue(tableOf(t.mm).get(addr), count - n, 0xffffffff);
}

/** FUTEX_REQUEUE and FUTEX_CMP_REQUEUE (`compare` null: without). Woken plus requeued (or woken alone without compare). */
export function futexRequeue(
  t: Task,
  addr: number,
  wake: number,
  requeue: number,
  addr2: number,
  compare: number | null,
  shared: boolean,
): number {
  if (wake < 0 || requeue < 0) return -EINVAL;
  let r = locate(t, addr, shared);
  if (r < 0) return r;
  const table = keyTable;
  const key = keyOffset;
  r = locate(t, addr2, shared);
  if (r < 0) return r;
  const table2 = keyTable;
  const key2 = keyOffset;
  if (compare !== null) {
    const now = t.readU32(addr);
    if (now < 0) return now;
    if (now !== compare >>> 0) return -EAGAIN;
  }
  const woken = wakeQueue(table.get(key), wake, 0xffffffff);
  let moved = 0;
  const q = table.get(key);
  if (q !== null && requeue > 0 && !(table === table2 && key === key2)) {
    const to = table2.need(key2);
    for (let w = q.head; w !== null && moved < requeue; w = q.head) {
      q.remove(w);
      to.push(w);
      moved++;
    }
    if (q.head === null) table.drop(q);
  }
  return compare === null ? woken : woken + moved;
}

const OP_SET = 0;
const OP_ADD = 1;
const OP_OR = 2;
const OP_ANDN = 3;
const OP_XOR = 4;

/** FUTEX_WAKE_OP: changes the word at addr2, wakes addr, and addr2 if the old value meets the comparison. */
export function futexWakeOp(t: Task, addr: number, count: number, addr2: number, count2: number, code: number, shared: boolean): number {
  let op = (code >>> 28) & 15;
  const cmp = (code >>> 24) & 15;
  let oparg = (code << 8) >> 20;
  const cmparg = (code << 20) >> 20;
  if ((op & 8) !== 0) {
    oparg = 1 << (oparg & 31);
    op &= 7;
  }
  const r = locate(t, addr2, shared);
  if (r < 0) return r;
  const table2 = keyTable;
  const key2 = keyOffset;
  const old = t.readU32(addr2);
  if (old < 0) return old;
  const o = old | 0;
  let v: number;
  if (op === OP_SET) v = oparg;
  else if (op === OP_ADD) v = o + oparg;
  else if (op === OP_OR) v = o | oparg;
  else if (op === OP_ANDN) v = o & ~oparg;
  else if (op === OP_XOR) v = o ^ oparg;
  else return -EINVAL;
  if (t.writeU32Now(addr2, v >>> 0) < 0) return -EFAULT;
  let n = futexWake(t, addr, count, 0xffffffff, shared);
  if (n < 0) return n;
  const meets =
    cmp === 0
      ? o === cmparg
      : cmp === 1
        ? o !== cmparg
        : cmp === 2
          ? o < cmparg
          : cmp === 3
            ? o <= cmparg
            : cmp === 4
              ? o > cmparg
              : cmp === 5
                ? o >= cmparg
                : null;
  if (meets === null) return -EINVAL;
  if (meets) n += wakeQueue(table2.get(key2), count2, 0xffffffff);
  return n;
}

/** A wait that ends for another reason (exit, signal): leaves its queue. */
export function futexForget(t: Task): void {
  const o = t.rs.obj;
  if (!(o instanceof FutexWaiter)) return;
  dequeue(o);
  endWait(t, o);
}

const ROBUST_LIMIT = 2048;
const listHead = new Uint8Array(24);

/** Marks the mutexes of a dying thread's robust list as orphaned and wakes a waiter of each (get_robust_list(2)). */
export function exitRobustList(t: Task): void {
  const head = t.robustList;
  // struct robust_list_head: first entry, offset of the futex from its entry, entry under way.
  if (t.mm.read(head, listHead, 0, 24) < 0) return;
  const futexOffset = (getU32(listHead, 12) | 0) * 4294967296 + getU32(listHead, 8);
  const pending = getU64(listHead, 16);
  let entry = getU64(listHead, 0);
  for (let i = 0; i < ROBUST_LIMIT && entry > 0 && entry !== head; i++) {
    const at = entry - (entry % 2);
    const next = t.readU64(at);
    if (at !== pending - (pending % 2)) robustDeath(t, at + futexOffset, entry % 2 === 1);
    entry = next;
  }
  if (pending > 0) robustDeath(t, pending - (pending % 2) + futexOffset, pending % 2 === 1);
}

function robustDeath(t: Task, addr: number, pi: boolean): void {
  const v = t.readU32(addr);
  if (v < 0 || (v & FUTEX_TID_MASK) !== t.vtid) return;
  if (t.writeU32Now(addr, ((v & FUTEX_WAITERS) | FUTEX_OWNER_DIED) >>> 0) < 0) return;
  if (!pi && (v & FUTEX_WAITERS) !== 0) futexWakeAddress(t, addr, 1);
}
