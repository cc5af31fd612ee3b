// The kernel object: what all tasks of a sandbox share. State only; behaviour lives in the files beside it.

import type { HostIO } from '../../platform/hostio.ts';
import type { Platform } from '../../platform/platform.ts';
import type { File } from '../vfs/file.ts';
import { NamespaceSet } from './namespaces.ts';
import type { ProcessGroup, Session } from './session.ts';
import type { SigInfo } from './siginfo.ts';
import type { Task } from './task.ts';
import type { ThreadGroup } from './threadgroup.ts';
import { type Timer, TimerQueue } from './timers.ts';

/** The log that the kernel writes: one line each. */
export interface KernelLog {
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
}

export const PID_MAX = 32768;
/** After wrap-around pids start here, as in Linux. */
const RESERVED_PIDS = 300;

export class Kernel {
  readonly host: HostIO;
  readonly platform: Platform;
  readonly log: KernelLog;
  readonly timers: TimerQueue = new TimerQueue();
  /** 1 MiB for data between files and guests; valid within one handler invocation. */
  readonly scratch: Uint8Array = new Uint8Array(1 << 20);
  /** 4 KiB for structs. */
  readonly tmp: Uint8Array = new Uint8Array(4096);
  /** Eight bytes for single words. */
  readonly word: Uint8Array = new Uint8Array(8);
  readonly word32: Uint32Array = new Uint32Array(this.word.buffer);

  /** Live and zombie tasks by tid. */
  readonly tasks: Map<number, Task> = new Map();
  readonly groups: Map<number, ThreadGroup> = new Map();
  readonly pgrps: Map<number, ProcessGroup> = new Map();
  readonly sessions: Map<number, Session> = new Map();
  /** The first process: adopts orphans. */
  init: ThreadGroup | null = null;
  private lastPid = 0;

  /** The namespaces that the container's processes begin in. */
  readonly namespaces: NamespaceSet = new NamespaceSet(this);
  /** sysctl values by dotted name, where they differ from what the kernel computes: those that belong to no namespace (sysctlHome). */
  readonly sysctls: Map<string, string> = new Map();
  /** Names of those that a configuration has set: they exist from then on. */
  readonly sysctlNames: Set<string> = new Set();
  /** 16 random bytes of this boot, for /proc/sys/kernel/random/boot_id. */
  readonly bootId: Uint8Array = new Uint8Array(16);
  /** CLOCK_MONOTONIC ns when the sandbox began. */
  bootNs = 0;
  forks = 0;
  /** Counts that others keep, by name, for people (`ringfence debug`). */
  readonly counters: Map<string, () => number> = new Map();
  /** Told (log, control) of calls without a handler, once each. */
  readonly unsupported: Set<string> = new Set();
  /** Told after a successful execve (posix timers). */
  readonly groupExeced: ((g: ThreadGroup) => void)[] = [];
  /** AT_HWCAP. */
  hwcap = 0;
  cpus = 1;
  memoryBytes = 0;
  /** Containers that are paused, by id: their tasks are kept out of the guest. */
  readonly pausedContainers: Set<string> = new Set();
  /** True while there is one. */
  paused = false;
  /** Tasks whose event waits for the end of their container's pause. */
  readonly parked: Task[] = [];
  /** Tasks that were woken and wait for it (`queued`, on no list). */
  readonly held: Task[] = [];
  /** The task whose handler or event is being worked on. */
  current: Task | null = null;
  /** True: the first process gets no signal that it has no handler for (pid_namespaces(7)). */
  protectInit = false;

  /** Head and tail of tasks to be invoked again. */
  readyHead: Task | null = null;
  private readyTail: Task | null = null;
  /** Ends the loop. */
  done = false;

  /** Told when a group is stopped by job control (the `do` command stops with it). */
  stopHook: ((g: ThreadGroup, sig: number) => void) | null = null;

  /** Told when a group has become a zombie (control, stand-ins, posix timers). */
  readonly groupEnded: ((g: ThreadGroup) => void)[] = [];
  /** Called when somebody outside may have changed files just now, or is about to look at them. */
  readonly outside: Set<() => void> = new Set();
  /** Called before the loop waits. */
  readonly resting: Set<() => void> = new Set();

  /** Makes a pidfd for a group in the task's table (installed by fs/event). The descriptor or -errno. */
  makePidfd: ((t: Task, g: ThreadGroup) => number) | null = null;

  /** The group that a pidfd file names, or null (installed by fs/event). */
  pidfdGroup: ((f: File) => ThreadGroup | null) | null = null;

  /** Installed by signals.ts. */
  signalTask: (t: Task, info: SigInfo) => void = () => {};
  signalGroup: (g: ThreadGroup, info: SigInfo) => void = () => {};
  constructor(host: HostIO, platform: Platform, log: KernelLog) {
    this.host = host;
    this.platform = platform;
    this.log = log;
  }

  /** Puts a blocked task at the end of the ready list. */
  enqueue(t: Task): void {
    t.queued = true;
    t.next = null;
    if (this.readyTail === null) this.readyHead = t;
    else this.readyTail.next = t;
    this.readyTail = t;
  }

  /** The first ready task, or null. */
  dequeue(): Task | null {
    const t = this.readyHead;
    if (t === null) return null;
    this.readyHead = t.next;
    if (t.next === null) this.readyTail = null;
    t.next = null;
    t.queued = false;
    return t;
  }

  /** A fresh pid, cyclic as in Linux. -1 when all are taken. */
  allocPid(): number {
    for (let i = 0; i < PID_MAX; i++) {
      this.lastPid = this.lastPid + 1 < PID_MAX ? this.lastPid + 1 : RESERVED_PIDS;
      const p = this.lastPid;
      if (!this.tasks.has(p) && !this.groups.has(p) && !this.pgrps.has(p) && !this.sessions.has(p)) return p;
    }
    return -1;
  }

  /** True while the task's container is paused. */
  isPaused(t: Task): boolean {
    return this.paused && this.pausedContainers.has(t.tg.container);
  }

  findTask(tid: number): Task | null {
    return this.tasks.get(tid) ?? null;
  }

  findGroup(tgid: number): ThreadGroup | null {
    return this.groups.get(tgid) ?? null;
  }

  forEachGroup(fn: (g: ThreadGroup) => void): void {
    for (const g of this.groups.values()) fn(g);
  }

  /** Arms a timer at `deadlineNs` of CLOCK_MONOTONIC. */
  addTimer(t: Timer, deadlineNs: number): void {
    this.timers.arm(t, deadlineNs);
  }

  cancelTimer(t: Timer): void {
    this.timers.cancel(t);
  }
}
