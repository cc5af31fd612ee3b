// What tasks and processes have used of the processor and of memory (getrusage(2), times(2)).
//
// The host counts: an address space is a host process with a CPU clock. A process that ends or execs leaves its host process, so what that
// one used is kept in ThreadGroup.usage. A vfork child runs in its parent's: it is charged from the time of its birth on.

import type { HostUsage } from '../../platform/platform.ts';
import type { Task } from './task.ts';
import type { ThreadGroup } from './threadgroup.ts';

/** A sum of usages. */
export class Usage implements HostUsage {
  cpuNs = 0;
  userNs = 0;
  systemNs = 0;
  maxRssKb = 0;
  minorFaults = 0;
  majorFaults = 0;

  add(u: HostUsage): void {
    this.cpuNs += u.cpuNs;
    this.userNs += u.userNs;
    this.systemNs += u.systemNs;
    if (u.maxRssKb > this.maxRssKb) this.maxRssKb = u.maxRssKb;
    this.minorFaults += u.minorFaults;
    this.majorFaults += u.majorFaults;
  }

  clear(): void {
    this.cpuNs = 0;
    this.userNs = 0;
    this.systemNs = 0;
    this.maxRssKb = 0;
    this.minorFaults = 0;
    this.majorFaults = 0;
  }
}

const host = new Usage();

/** Processor time of one task, ns. */
export function taskCpuNs(t: Task): number {
  return t.cpuBeforeNs + t.ctx.cpuTimeNs();
}

/** Processor time of a process and its threads, those that are gone included, ns. */
export function groupCpuNs(g: ThreadGroup): number {
  if (g.zombie || g.tasks.size === 0) return g.usage.cpuNs;
  const ns = anyTask(g).mm.as.cpuTimeNs();
  return g.usage.cpuNs + Math.max(0, (ns < 0 ? g.cpuSeenNs : ns) - g.cpuBaseNs);
}

function anyTask(g: ThreadGroup): Task {
  for (const t of g.tasks) return t;
  return g.leader;
}

/** Divides `cpuNs` as the host divided what it saw. */
function divide(u: HostUsage, cpuNs: number): void {
  const seen = u.userNs + u.systemNs;
  const system = seen > 0 ? (cpuNs * u.systemNs) / seen : 0;
  u.cpuNs = cpuNs;
  u.systemNs = system;
  u.userNs = cpuNs - system;
}

/** Fills `out` for a living process whose task `t` is stopped in the kernel (the caller of getrusage), or for a dead one. */
export function groupUsage(g: ThreadGroup, t: Task | null, out: Usage): void {
  out.clear();
  out.add(g.usage);
  if (g.zombie || g.tasks.size === 0) return;
  current(g, t ?? anyTask(g));
  out.add(host);
}

/** What the process has used in its present address space, to `host`. */
function current(g: ThreadGroup, t: Task): void {
  const as = t.mm.as;
  host.clear();
  // The pages and faults of a vfork parent are not the child's.
  const shared = g.vforkParent !== null;
  if (!shared) t.ctx.usage(true, host);
  const ns = as.cpuTimeNs();
  if (ns >= 0) g.cpuSeenNs = ns;
  divide(host, Math.max(0, g.cpuSeenNs - g.cpuBaseNs));
}

/** Fills `out` for one task that is stopped in the kernel. */
export function taskUsage(t: Task, out: Usage): void {
  out.clear();
  t.ctx.usage(false, out);
  divide(out, out.cpuNs + t.cpuBeforeNs);
}

/** A process is born: in the address space of another (CLONE_VM) it pays from now on. */
export function beginUsage(g: ThreadGroup, shared: boolean): void {
  if (shared) g.cpuBaseNs = Math.max(0, g.leader.mm.as.cpuTimeNs());
}

/**
 * The last task `t` of a process leaves its address space: the end, or execve (then the process goes on in another). The answer is what
 * the task itself has used there, ns: `own`, or for the child of a vfork all that its process has.
 */
export function leaveAddressSpace(g: ThreadGroup, t: Task, own = 0): number {
  current(g, t);
  g.usage.add(host);
  const p = g.vforkParent?.tg ?? null;
  if (p !== null) p.cpuBaseNs += host.cpuNs;
  g.cpuBaseNs = 0;
  g.cpuSeenNs = 0;
  return p === null ? own : host.cpuNs;
}
