// A stand-in for a task, for tests of files and of the calls that wait for them: guest memory is one array, a blocked call shows in `blocked`.

import { BLOCKED, ERESTARTSYS } from '../../src/base/result.ts';
import { WaitEntry, type WaitQueue } from '../../src/base/waitqueue.ts';
import { FDTable } from '../../src/sentry/kernel/fdtable.ts';
import { type Pid, PidNamespace } from '../../src/sentry/kernel/pidns.ts';
import { PendingSignals, SignalHandlers } from '../../src/sentry/kernel/siginfo.ts';
import { RestartRecord, type Task } from '../../src/sentry/kernel/task.ts';
import { TimerQueue } from '../../src/sentry/kernel/timers.ts';
import { Credentials } from '../../src/sentry/vfs/creds.ts';

const EINVAL = 22;
const EFAULT = 14;

export class FakeTask {
  readonly memory: Uint8Array = new Uint8Array(1 << 20);
  readonly scratch: Uint8Array = new Uint8Array(1 << 16);
  readonly creds: Credentials = new Credentials();
  readonly rs: RestartRecord = new RestartRecord();
  readonly fds: FDTable = new FDTable(() => 1024);
  readonly raised: number[] = [];
  /** Signals that were sent to its group. */
  readonly pending: PendingSignals = new PendingSignals();
  state = 0;
  waitSetLo = 0;
  waitSetHi = 0;
  ctx = { event: 1 };
  readonly args: number[] = [0, 0, 0, 0, 0, 0];
  readonly kernel: { timers: TimerQueue; scratch: Uint8Array; tmp: Uint8Array };
  readonly pidns: PidNamespace = new PidNamespace(null, 1);
  readonly pid: Pid = this.pidns.alloc() as Pid;
  tg: Record<string, unknown>;
  tid = 1;
  vtid = 1;
  tgid = 1;
  maskLo = 0;
  maskHi = 0;
  attention = false;
  ptrace = null;
  injected = null;
  hasSavedMask = false;
  woken = 0;
  private entries: WaitEntry[] = [];

  constructor() {
    this.kernel = { timers: new TimerQueue(), scratch: this.scratch, tmp: new Uint8Array(4096) };
    const session = { sid: 1, pid: this.pid, leader: null as unknown, tty: null };
    const pgrp = { pgid: 1, pid: this.pid, session, members: new Set<unknown>(), orphaned: () => false };
    this.tg = {
      session,
      pgrp,
      handlers: new SignalHandlers(),
      tgid: 1,
      vtgid: 1,
      pid: this.pid,
      unkillable: false,
      zombie: false,
      exiting: false,
      stopped: false,
      pending: this.pending,
      tasks: new Set(),
      kernel: { current: { tg: null } },
      leader: this,
    };
    (this.tg['kernel'] as { current: { tg: unknown } }).current.tg = this.tg;
    session.leader = this.tg;
    pgrp.members.add(this.tg);
  }

  get task(): Task {
    return this as unknown as Task;
  }

  /** Calls a handler as the loop does: `again` after a wake-up. */
  call(handler: (t: Task) => number, args: number[], again = false): number {
    for (const e of this.entries) e.remove();
    this.entries = [];
    for (let i = 0; i < 6; i++) this.args[i] = args[i] ?? 0;
    if (again) this.rs.fresh = false;
    else this.rs.reset();
    return handler(this.task);
  }

  arg(i: number): number {
    return this.args[i]!;
  }
  argI(i: number): number {
    return this.args[i]! | 0;
  }
  argU(i: number): number {
    return this.args[i]! >>> 0;
  }
  rlimit(): number {
    return 1024;
  }
  raise(sig: number): void {
    this.raised.push(sig);
  }
  copyIn(addr: number, dst: Uint8Array, off: number, len: number): number {
    if (addr + len > this.memory.length) return -EFAULT;
    dst.set(this.memory.subarray(addr, addr + len), off);
    return 0;
  }
  copyOut(addr: number, src: Uint8Array, off: number, len: number): number {
    if (addr <= 0 || addr + len > this.memory.length) return addr === 0 ? -EFAULT : -EINVAL;
    this.memory.set(src.subarray(off, off + len), addr);
    return 0;
  }
  waitOn(queue: WaitQueue, mask: number, restart: number = ERESTARTSYS): number {
    if (this.attention) return -restart;
    const e = new WaitEntry({ notify: () => this.woken++ });
    this.entries.push(e);
    queue.add(e, mask);
    return BLOCKED;
  }
  block(): number {
    return BLOCKED;
  }
  expired(): boolean {
    return false;
  }
}

export function bytes(s: string): Uint8Array {
  return Uint8Array.from(s, (c) => c.charCodeAt(0));
}

export function text(b: Uint8Array, n = b.length): string {
  return String.fromCharCode(...b.subarray(0, n));
}
