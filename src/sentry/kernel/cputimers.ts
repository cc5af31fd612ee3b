// Timers over processor time: setitimer(2) ITIMER_VIRTUAL and ITIMER_PROF, timer_create(2) on CPU clocks, RLIMIT_CPU.
//
// The host's CPU clocks cannot wake the Sentry, so they are looked at: when the first timer could be due at the earliest (all processors
// busy for the process), then again for what is left. A process that sleeps is looked at ever more seldom.

import { RLIMIT_CPU } from '../../abi/resource.ts';
import { SIGKILL, SIGXCPU } from '../../abi/signal.ts';
import { monotonicNs } from '../../base/clock.ts';
import { exitGroup } from './exit.ts';
import { SigInfo } from './siginfo.ts';
import type { Task } from './task.ts';
import type { ThreadGroup } from './threadgroup.ts';
import { Timer } from './timers.ts';
import { groupCpuNs, taskCpuNs } from './usage.ts';

const SI_KERNEL = 0x80;
/** Shortest and longest time between two looks while nothing else is known, ns. */
const SHORTEST = 1e6;
const LONGEST_IDLE = 200e6;

/** One timer over the processor time of a process or of one of its threads. */
export class CpuTimer {
  readonly group: ThreadGroup;
  /** null: the process. */
  readonly task: Task | null;
  /** Processor time at which it is due, ns; Infinity: not armed. */
  expires = Infinity;
  /** 0: once. */
  intervalNs = 0;
  /** Told when it is due, with how many further periods have passed as well. */
  readonly due: (more: number) => void;

  constructor(group: ThreadGroup, task: Task | null, due: (more: number) => void) {
    this.group = group;
    this.task = task;
    this.due = due;
  }

  get armed(): boolean {
    return this.expires !== Infinity;
  }

  /** Processor time now, ns. */
  now(): number {
    return this.task === null ? groupCpuNs(this.group) : taskCpuNs(this.task);
  }

  /** Arms it for a time of its clock; Infinity disarms. */
  arm(expires: number, intervalNs: number): void {
    this.expires = expires;
    this.intervalNs = intervalNs;
    const w = watchOf(this.group);
    if (expires === Infinity) w.timers.delete(this);
    else {
      w.timers.add(this);
      w.look();
    }
  }

  /** Fires if it is due at `now` of its clock. */
  check(now: number): void {
    if (now < this.expires) return;
    let more = 0;
    if (this.intervalNs > 0) {
      more = Math.floor((now - this.expires) / this.intervalNs);
      this.expires += (more + 1) * this.intervalNs;
    } else {
      this.expires = Infinity;
      watchOf(this.group).timers.delete(this);
    }
    this.due(more);
  }
}

/** Looks at the CPU clocks of one process. */
class CpuWatch {
  readonly group: ThreadGroup;
  readonly timers: Set<CpuTimer> = new Set();
  /** Processor time of the next SIGXCPU, ns. */
  limitNs = Infinity;
  private readonly timer: Timer;
  private lastCpu = 0;
  private idle = SHORTEST;

  constructor(group: ThreadGroup) {
    this.group = group;
    this.timer = new Timer(() => this.look());
  }

  /** Fires what is due and plans the next look. */
  look(): void {
    const g = this.group;
    const k = g.kernel;
    k.timers.cancel(this.timer);
    if (g.zombie || (this.timers.size === 0 && this.limitNs === Infinity)) return;
    const cpu = groupCpuNs(g);
    for (const t of [...this.timers]) t.check(t.task === null ? cpu : t.now());
    this.checkLimit(cpu);
    if (g.zombie) return;
    let left = this.limitNs - cpu;
    for (const t of this.timers) left = Math.min(left, t.expires - (t.task === null ? cpu : t.now()));
    if (left === Infinity) return;
    this.idle = cpu - this.lastCpu < SHORTEST / 10 ? Math.min(LONGEST_IDLE, this.idle * 2) : SHORTEST;
    this.lastCpu = cpu;
    const atOnce = Math.max(1, Math.min(k.cpus, g.tasks.size));
    k.timers.arm(this.timer, monotonicNs() + Math.max(left / atOnce, this.idle));
  }

  private checkLimit(cpu: number): void {
    if (cpu < this.limitNs) return;
    const g = this.group;
    if (cpu >= g.limitHard[RLIMIT_CPU]! * 1e9) {
      exitGroup(g, SIGKILL);
      return;
    }
    // Once a second until the hard limit.
    this.limitNs = Math.min((Math.floor(cpu / 1e9) + 1) * 1e9, g.limitHard[RLIMIT_CPU]! * 1e9);
    g.kernel.signalGroup(g, new SigInfo(SIGXCPU, SI_KERNEL));
  }

  stop(): void {
    this.timers.clear();
    this.group.kernel.timers.cancel(this.timer);
  }
}

function watchOf(g: ThreadGroup): CpuWatch {
  if (g.cpuTimers === null) g.cpuTimers = new CpuWatch(g);
  return g.cpuTimers as CpuWatch;
}

/** RLIMIT_CPU was set or inherited. */
export function watchCpuLimit(g: ThreadGroup): void {
  const soft = g.limitSoft[RLIMIT_CPU]!;
  const hard = g.limitHard[RLIMIT_CPU]!;
  if (soft === Infinity && hard === Infinity && g.cpuTimers === null) return;
  const w = watchOf(g);
  w.limitNs = Math.min(soft, hard) * 1e9;
  w.look();
}

/** The process has ended. */
export function stopCpuWatch(g: ThreadGroup): void {
  if (g.cpuTimers !== null) (g.cpuTimers as CpuWatch).stop();
}
