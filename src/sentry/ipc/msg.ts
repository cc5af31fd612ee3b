// System V message queues (msgget(2), msgop(2), msgctl(2)).

import { E2BIG, EAGAIN, ENOMSG } from '../../abi/errno.ts';
import { MSG_COPY, MSG_EXCEPT, MSG_NOERROR } from '../../abi/ipc.ts';
import { putU32, putU64 } from '../../base/bytes.ts';
import { WaitQueue } from '../../base/waitqueue.ts';
import { numberIn, type Pid, type PidNamespace } from '../kernel/pidns.ts';
import type { Credentials } from '../vfs/creds.ts';
import { IpcObject, IpcTable, nowSec, PERM_SIZE, putTime } from './ids.ts';

/** sizeof(struct msqid64_ds). */
export const MSQID_DS_SIZE = 120;
/** kernel.msgmax, msgmnb, msgmni. */
export const MSGMAX = 8192;
export const MSGMNB = 16384;
export const MSGMNI = 32000;

interface QueuedMessage {
  readonly type: number;
  readonly data: Uint8Array;
}

export class MsgQueue extends IpcObject {
  private readonly messages: QueuedMessage[] = [];
  bytes = 0;
  limit = MSGMNB;
  stime = 0;
  rtime = 0;
  lspid: Pid | null = null;
  lrpid: Pid | null = null;
  readonly senders: WaitQueue = new WaitQueue();
  readonly receivers: WaitQueue = new WaitQueue();

  constructor(cr: Credentials, key: number, mode: number) {
    super(cr, key, mode);
  }

  get count(): number {
    return this.messages.length;
  }

  /** Fills a struct msqid64_ds as it looks to `viewer`. */
  putDs(b: Uint8Array, viewer: PidNamespace): void {
    this.putPerm(b);
    b.fill(0, PERM_SIZE, MSQID_DS_SIZE);
    putTime(b, 48, this.stime);
    putTime(b, 56, this.rtime);
    putTime(b, 64, this.ctime);
    putU64(b, 72, this.bytes);
    putU64(b, 80, this.messages.length);
    putU64(b, 88, this.limit);
    putU32(b, 96, numberIn(this.lspid, viewer));
    putU32(b, 100, numberIn(this.lrpid, viewer));
  }

  /** Appends a message (its data is copied). 0, or -EAGAIN when the queue is full. */
  send(type: number, src: Uint8Array, len: number, pid: Pid): number {
    if (this.bytes + len > this.limit || this.messages.length + 1 > this.limit) return -EAGAIN;
    this.messages.push({ type, data: src.slice(0, len) });
    this.bytes += len;
    this.lspid = pid;
    this.stime = nowSec();
    this.receivers.notify(-1);
    return 0;
  }

  /** Takes the message that `type` and `flags` choose (msgrcv(2)). -ENOMSG when there is none, -E2BIG when it is longer than `room`. */
  receive(type: number, flags: number, room: number, pid: Pid): QueuedMessage | number {
    const i = this.choose(type, flags);
    const m = this.messages[i];
    if (m === undefined) return -ENOMSG;
    if (m.data.length > room && (flags & MSG_NOERROR) === 0) return -E2BIG;
    if ((flags & MSG_COPY) !== 0) return m;
    this.messages.splice(i, 1);
    this.bytes -= m.data.length;
    this.lrpid = pid;
    this.rtime = nowSec();
    this.senders.notify(-1);
    return m;
  }

  private choose(type: number, flags: number): number {
    if ((flags & MSG_COPY) !== 0) return type;
    if (type === 0) return 0;
    if (type > 0) {
      const except = (flags & MSG_EXCEPT) !== 0;
      return this.messages.findIndex((m) => (m.type === type) !== except);
    }
    let best = -1;
    for (let i = 0; i < this.messages.length; i++) {
      const t = this.messages[i]!.type;
      if (t <= -type && (best < 0 || t < this.messages[best]!.type)) best = i;
    }
    return best;
  }
}

export class MsgTable extends IpcTable<MsgQueue> {
  constructor() {
    super(MSGMNI);
  }

  create(cr: Credentials, key: number, mode: number): number {
    return this.add(new MsgQueue(cr, key, mode));
  }

  /** IPC_RMID: those who wait hear EIDRM. */
  destroy(q: MsgQueue): void {
    this.remove(q);
    q.senders.notify(-1);
    q.receivers.notify(-1);
  }
}
