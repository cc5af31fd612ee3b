// What the Sentry is told of a container's limits and counters.

import { openSync, readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { basename, join } from 'node:path';
import type { LimitsConfig } from '../../src/wire/boot.ts';
import type { CgroupRecord } from './cgroup.ts';
import { deviceList } from './devices.ts';
import { type Hierarchies, hostHierarchies, UNIFIED } from './hierarchies.ts';
import { tryKnob } from './knobs.ts';
import type { Resources } from './resources.ts';

const DEFAULT_SHARES = 1024;
const DEFAULT_PERIOD_US = 100_000;
/** The console of a container is a device of its own inside. */
const CONSOLE = 'c 5:1';

/** Files by hierarchy that say what a container uses. */
const COUNTERS: readonly (readonly [string, string])[] = [
  ['memory', 'memory.usage_in_bytes'],
  ['memory', 'memory.max_usage_in_bytes'],
  ['memory', 'memory.failcnt'],
  ['memory', 'memory.stat'],
  ['memory', 'memory.oom_control'],
  ['cpuacct', 'cpuacct.usage'],
  ['cpuacct', 'cpuacct.stat'],
  ['cpu', 'cpu.stat'],
];
const COUNTERS_V2 = ['memory.current', 'memory.peak', 'memory.stat', 'memory.events', 'memory.swap.current', 'cpu.stat', 'io.stat'];

/** Opens the counters of a container's groups for reading: descriptors by name. */
export function openCounters(record: CgroupRecord | undefined): Record<string, number> {
  const out: Record<string, number> = {};
  if (record === undefined) return out;
  const wanted = record.version === 2 ? COUNTERS_V2.map((name) => [UNIFIED, name] as const) : COUNTERS;
  for (const [controller, name] of wanted) {
    const folder = record.paths[controller];
    if (folder === undefined) continue;
    try {
      out[name] = openSync(join(folder, name), 'r');
    } catch {
      // a kernel or a group without it: what it counts is not known inside
    }
  }
  return out;
}

/** How many numbers a list as "0-2,5" names; 0 for an empty one. */
function listed(list: string): number {
  let n = 0;
  for (const part of list.split(',')) {
    const m = /^\s*(\d+)(?:-(\d+))?\s*$/.exec(part);
    if (m !== null) n += Math.max(0, Number(m[2] ?? m[1]) - Number(m[1]) + 1);
  }
  return n;
}

/** Processors that the container's group may use; 0: nobody knows. */
function cpusetSize(record: CgroupRecord | undefined, r: Resources): number {
  const folder = record?.version === 2 ? record.paths[UNIFIED] : record?.paths.cpuset;
  const text =
    folder === undefined ? null : (tryKnob(folder, record?.version === 2 ? 'cpuset.cpus.effective' : 'cpuset.effective_cpus') ?? null);
  return listed(text ?? r.cpu?.cpus ?? '');
}

function hostSwap(): number {
  try {
    return Number(/^SwapTotal:\s+(\d+)/m.exec(readFileSync('/proc/meminfo', 'latin1'))?.[1] ?? '0') * 1024;
  } catch {
    return 0;
  }
}

/** A limit that 0 leaves unset. */
function limit(n: number | undefined): number {
  return n === undefined || n <= 0 ? -1 : n;
}

/** The limits of a container as the Sentry keeps them. */
export function sentryLimits(r: Resources, record: CgroupRecord | undefined, h: Hierarchies = hostHierarchies()): LimitsConfig {
  const memory = limit(r.memory?.limit);
  const both = limit(r.memory?.swap);
  const swap = hostSwap();
  const { open, entries } = deviceList(r.devices ?? []);
  const except = Object.fromEntries([...entries].map(([key, access]) => [key, [...access].join('')]));
  if (open) delete except[CONSOLE];
  else except[CONSOLE] = 'rwm';
  return {
    version: h.version === 1 ? 1 : 2,
    hierarchies: h.mounts
      .filter((m) => h.version === 1 && !m.controllers.includes(UNIFIED))
      .map((m) => ({ folder: basename(m.mountpoint), controllers: m.controllers })),
    memory,
    memorySwap: both,
    memoryReservation: limit(r.memory?.reservation),
    swap: memory < 0 || both < 0 ? swap : Math.max(0, Math.min(swap, both - memory)),
    cpuShares: (r.cpu?.shares ?? 0) === 0 ? DEFAULT_SHARES : (r.cpu?.shares as number),
    cpuQuota: limit(r.cpu?.quota),
    cpuPeriod: (r.cpu?.period ?? 0) === 0 ? DEFAULT_PERIOD_US : (r.cpu?.period as number),
    cpus: cpusetSize(record, r),
    pids: limit(r.pids?.limit),
    devices: { open, except },
  };
}

/** What a Sentry is taken to need at most; oom_score_adj counts in thousandths of the memory that ran out. */
const SENTRY_BYTES = 256 * 1024 * 1024;
const MOST_LEAD = 1000;

/**
 * How much more oom_score_adj guests get than Sentry and Gofer, so that any of them, however small, is killed before these when memory runs
 * out: the container then loses a process and not its kernel.
 */
export function oomLead(l: Pick<LimitsConfig, 'memory'>): number {
  const memory = l.memory > 0 ? Math.min(l.memory, totalmem()) : totalmem();
  return Math.min(MOST_LEAD, Math.ceil((MOST_LEAD * SENTRY_BYTES) / memory));
}
