// What proc shows of parts that stand beside or above it: boot hands it over.

import type { Task } from '../../kernel/task.ts';
import type { ThreadGroup } from '../../kernel/threadgroup.ts';

export interface ProcExtras {
  /** Processor time, ns. */
  groupCpuNs(g: ThreadGroup): number;
  taskCpuNs(t: Task): number;
  /** Files of /proc/net: name to text, by the key of a network namespace. */
  net: ReadonlyMap<string, (key?: object) => string>;
  /** Files of /proc/sysvipc as a task sees them. */
  sysvipc: ReadonlyMap<string, (t: Task) => string>;
  /** Dotted names of further sysctls with their initial text. */
  sysctls: readonly ReadonlyMap<string, string>[];
  /** Lines of /proc/cpuinfo behind "processor", the same for each: "name\t: value". */
  cpuLines: readonly string[];
}
