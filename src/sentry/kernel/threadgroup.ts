// Thread groups: what user space calls a process (Linux: struct signal_struct plus the leader's task).

import { RLIMIT_NLIMITS } from '../../abi/resource.ts';
import { WaitQueue } from '../../base/waitqueue.ts';
import type { Kernel } from './kernel.ts';
import type { Pid } from './pidns.ts';
import type { TracedEnd } from './ptrace.ts';
import type { ProcessGroup, Session } from './session.ts';
import { PendingSignals, type SignalHandlers } from './siginfo.ts';
import type { Task } from './task.ts';
import type { Timer } from './timers.ts';
import { Usage } from './usage.ts';

/** One interval timer: setitimer(2) or timer_create(2). */
export interface IntervalTimer {
  timer: Timer;
  intervalNs: number;
  /** Clock of timer_create. */
  clock: number;
}

export class ThreadGroup {
  readonly kernel: Kernel;
  readonly pid: Pid;
  /** Its id in the Sentry, and what it is called in its own pid namespace. */
  readonly tgid: number;
  readonly vtgid: number;
  /** The thread whose tid is tgid; stays (dead) until the group is reaped. */
  leader: Task;
  readonly tasks: Set<Task> = new Set();
  parent: ThreadGroup | null;
  readonly children: Set<ThreadGroup> = new Set();
  /** Sent to the parent at the end; 0: nothing. */
  exitSignal: number;
  handlers: SignalHandlers;
  readonly pending: PendingSignals = new PendingSignals();
  pgrp: ProcessGroup;
  session: Session;
  /** Told when a child changes state (wait4). */
  readonly childQueue: WaitQueue = new WaitQueue();
  /** Told when this group ends (pidfd poll, control wait). */
  readonly exitQueue: WaitQueue = new WaitQueue();

  /** exit_group has begun; exitStatus is set. */
  exiting = false;
  /** wait(2) encoding. */
  exitStatus = 0;
  zombie = false;
  reaped = false;

  /** Stopped by job control: all tasks rest. */
  stopped = false;
  /** Signal that stopped it; reported once by WUNTRACED. */
  stopSignal = 0;
  stopReported = true;
  continuedPending = false;

  /** First process of its pid namespace: signals that it has no handler for do not reach it (SIGNAL_UNKILLABLE). */
  unkillable = false;
  /** Its parent is a shell outside the sandbox, in the same terminal's session: it may be stopped. */
  outsideParent = false;
  /** PR_SET_CHILD_SUBREAPER. */
  subreaper = false;
  /** execve has happened since fork (setpgid by the parent is over). */
  execed = false;

  /** Soft and hard limits by RLIMIT_*; Infinity for none. */
  readonly limitSoft: Float64Array = new Float64Array(RLIMIT_NLIMITS).fill(Infinity);
  readonly limitHard: Float64Array = new Float64Array(RLIMIT_NLIMITS).fill(Infinity);

  oomScoreAdj = 0;
  /** Nanoseconds of CLOCK_MONOTONIC. */
  readonly startNs: number;
  /** What it used in address spaces that it has left, and what its reaped children used. See usage.ts. */
  readonly usage: Usage = new Usage();
  readonly childUsage: Usage = new Usage();
  /** Processor time of its present address space that is not its own, and what that space had used when last looked at; ns. */
  cpuBaseNs = 0;
  cpuSeenNs = 0;
  /** Timers over processor time; made by cputimers.ts. */
  cpuTimers: unknown = null;

  /** setitimer(2) ITIMER_REAL. */
  readonly itimers: (IntervalTimer | null)[] = [null, null, null];
  /** The last two of them; made by syscalls/timers.ts. */
  readonly cpuItimers: unknown[] = [null, null];
  /** timer_create(2) by id; made by syscalls/timers.ts. */
  posixTimers: Map<number, unknown> | null = null;
  nextTimerId = 0;

  /** Tasks that it traces, and tracees that have ended and were not waited for. See ptrace.ts. */
  tracees: Set<Task> | null = null;
  readonly tracedEnds: TracedEnd[] = [];
  /** A zombie that its tracer must wait for first; its parent does not see it yet. */
  heldByTracer = false;

  /** Container that it belongs to. */
  container: string;
  /** Parent blocked in vfork until this group execs or exits. */
  vforkParent: Task | null = null;

  constructor(
    kernel: Kernel,
    pid: Pid,
    leader: Task,
    parent: ThreadGroup | null,
    handlers: SignalHandlers,
    pgrp: ProcessGroup,
    exitSignal: number,
    container: string,
    startNs: number,
  ) {
    this.kernel = kernel;
    this.pid = pid;
    this.tgid = pid.id;
    this.vtgid = pid.nr;
    this.leader = leader;
    this.parent = parent;
    this.exitSignal = exitSignal;
    this.handlers = handlers;
    this.pgrp = pgrp;
    this.session = pgrp.session;
    this.container = container;
    this.startNs = startNs;
    pgrp.members.add(this);
  }

  /** Moves to another process group. */
  joinGroup(pgrp: ProcessGroup): void {
    const old = this.pgrp;
    if (pgrp === old) return;
    this.pgrp = pgrp;
    this.session = pgrp.session;
    pgrp.members.add(this);
    old.remove(this);
  }
}
