// The kernel object: what all tasks of a sandbox share. State only; behaviour lives in the files beside it.

import type { HostIO } from '../../platform/hostio.ts';
import type { Origin, Platform } from '../../platform/platform.ts';
import type { File } from '../vfs/file.ts';
import type { Limits } from './limits.ts';
import { NamespaceSet } from './namespaces.ts';
import type { Pid, PidNamespace } from './pidns.ts';
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

  /** Live and zombie tasks by tid: their numbers in the first pid namespace, which no guest sees. What guests name is in pidns.ts. */
  readonly tasks: Map<number, Task> = new Map();
  readonly groups: Map<number, ThreadGroup> = new Map();

  /** The first namespaces: those of the first container, but for process ids. */
  readonly namespaces: NamespaceSet = new NamespaceSet(this);
  /** The first pid namespace: above those of all containers. */
  readonly pids: PidNamespace = this.namespaces.pid;
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
  /** Calls without a handler and options that guests asked for: told once each. */
  readonly unsupported: Set<string> = new Set();
  /** Takes note of a call that is not there; boot gives it. */
  unsupportedCall: (t: Task, nr: number) => void = () => {};
  /** Told after a successful execve (posix timers). */
  readonly groupExeced: ((g: ThreadGroup) => void)[] = [];
  /** AT_HWCAP. */
  hwcap = 0;
  cpus = 1;
  memoryBytes = 0;
  /** Limits by container id; a container that is not here has none. See limits.ts. */
  readonly limits: Map<string, Limits> = new Map();
  /** What programs of a container start from, by its id; a container that is not here uses the platform's first. */
  readonly origins: Map<string, Origin> = new Map();
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

  /** Makes a pidfd for a group in the task's table (installed by fs/event). The descriptor or -errno. */
  makePidfd: ((t: Task, g: ThreadGroup) => number) | null = null;

  /** The group that a pidfd file names, or null (installed by fs/event). */
  pidfdGroup: ((f: File) => ThreadGroup | null) | null = null;

  /** Installed by signals.ts. */
  signalTask: (t: Task, info: SigInfo, forced?: boolean) => void = () => {};
  signalGroup: (g: ThreadGroup, info: SigInfo, forced?: boolean) => void = () => {};
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

  /** Whom a tid or tgid stands for; null: nobody any more. */
  pidOf(id: number): Pid | null {
    return this.pids.ids.get(id) ?? null;
  }

  /** True while the task's container is paused. */
  isPaused(t: Task): boolean {
    return this.paused && this.pausedContainers.has(t.tg.container);
  }

  /** Makes a task known. */
  addTask(t: Task): void {
    this.tasks.set(t.tid, t);
    t.pid.task = t;
  }

  /** Makes it unknown; its number is free when nothing else bears it. */
  removeTask(t: Task): void {
    this.tasks.delete(t.tid);
    if (t.pid.task !== t) return;
    t.pid.task = null;
    t.pid.drop();
  }

  addGroup(g: ThreadGroup): void {
    this.groups.set(g.tgid, g);
    g.pid.group = g;
  }

  removeGroup(g: ThreadGroup): void {
    this.groups.delete(g.tgid);
    g.pid.group = null;
    g.pid.drop();
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
