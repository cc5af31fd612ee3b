// Processor time of tasks and processes, in nanoseconds.

import { monotonicNs } from '../../base/clock.ts';
import type { Task } from '../kernel/task.ts';
import type { ThreadGroup } from '../kernel/threadgroup.ts';

const CPUCLOCK_SCHED = 2;
const pair = new Float64Array(2);

/** What an engine tells of the host process behind a guest's. */
interface HostIds {
  readonly pid?: number;
}

/** The host's clock of a process that it knows by number (clock_getcpuclockid(3)); -1 when it has none. */
function hostClock(t: Task, id: number | undefined, kind: number): number {
  if (id === undefined || id <= 0) return -1;
  if (t.kernel.host.clock((~id << 3) | kind, pair) < 0) return -1;
  return pair[0]! * 1e9 + pair[1]!;
}

/**
 * Time of one task. The host keeps the clocks of other processes' threads to itself, so a thread among several shows its process's time.
 * Where the engine cannot tell that either, the time since it began.
 */
export function taskCpuNs(t: Task): number {
  const ns = hostClock(t, (t.mm.as as unknown as HostIds).pid, CPUCLOCK_SCHED);
  return ns >= 0 ? ns : monotonicNs() - t.startNs;
}

/** Time of a process and its threads, those that are gone included. */
export function groupCpuNs(g: ThreadGroup): number {
  if (g.zombie) return g.deadUserNs;
  const t = g.leader;
  const ns = hostClock(t, (t.mm.as as unknown as HostIds).pid, CPUCLOCK_SCHED);
  return g.deadUserNs + (ns >= 0 ? ns : monotonicNs() - g.startNs);
}
