// linux.resources of config.json and of `update` (runtime specification, config-linux.md).

export interface DeviceRule {
  allow: boolean;
  type?: string;
  major?: number;
  minor?: number;
  access?: string;
}

export interface BlockRate {
  major: number;
  minor: number;
  rate: number;
}

export interface BlockWeight {
  major: number;
  minor: number;
  weight?: number;
  leafWeight?: number;
}

export interface Memory {
  limit?: number;
  reservation?: number;
  /** Memory and swap together. */
  swap?: number;
  kernel?: number;
  kernelTCP?: number;
  swappiness?: number;
  disableOOMKiller?: boolean;
  checkBeforeUpdate?: boolean;
}

export interface Cpu {
  shares?: number;
  quota?: number;
  period?: number;
  burst?: number;
  realtimeRuntime?: number;
  realtimePeriod?: number;
  cpus?: string;
  mems?: string;
  idle?: number;
}

export interface BlockIO {
  weight?: number;
  leafWeight?: number;
  weightDevice?: BlockWeight[];
  throttleReadBpsDevice?: BlockRate[];
  throttleWriteBpsDevice?: BlockRate[];
  throttleReadIOPSDevice?: BlockRate[];
  throttleWriteIOPSDevice?: BlockRate[];
}

export interface Resources {
  devices?: DeviceRule[];
  memory?: Memory;
  cpu?: Cpu;
  pids?: { limit: number };
  blockIO?: BlockIO;
  hugepageLimits?: { pageSize: string; limit: number }[];
  network?: { classID?: number; priorities?: { name: string; priority: number }[] };
  rdma?: Record<string, { hcaHandles?: number; hcaObjects?: number }>;
  unified?: Record<string, string>;
}

/**
 * Tasks of a sandbox that the guest does not see: the threads of Sentry and Gofer, stand-ins, the sandbox's first process, copies of the stub
 * that wait for the next program. The host's pids.max is the container's limit and this.
 */
export const PIDS_ROOM = 256;

/** The host's limit of tasks for a guest's: 0 unset, below 0 none. */
export function hostPids(limit: number): number {
  return limit > 0 ? limit + PIDS_ROOM : limit;
}

/** What must be written for a change: what it names, and period and quota together, as v2 has them in one file. */
export function changed(all: Resources, more: Resources): Resources {
  const { quota = 0, period = 0 } = more.cpu ?? {};
  return quota === 0 && period === 0 ? more : { ...more, cpu: { ...more.cpu, quota: all.cpu?.quota ?? 0, period: all.cpu?.period ?? 0 } };
}

/** `old` with what `more` sets; 0 and empty texts set nothing. Quota and period belong together: one alone keeps the other. */
export function merged(old: Resources, more: Resources): Resources {
  const set = <T extends object>(a: T | undefined, b: T | undefined): T | undefined => {
    const given = Object.entries(b ?? {}).filter(([, v]) => v !== 0 && v !== '');
    return a === undefined && given.length === 0 ? undefined : ({ ...a, ...Object.fromEntries(given) } as T);
  };
  const out: Resources = { ...old };
  const memory = set(old.memory, more.memory);
  const cpu = set(old.cpu, more.cpu);
  const blockIO = set(old.blockIO, more.blockIO);
  const pids = set(old.pids, more.pids);
  // No limit of memory is none of swap either, unless that is named.
  if (memory !== undefined) out.memory = memory.limit === -1 && (more.memory?.swap ?? 0) === 0 ? { ...memory, swap: -1 } : memory;
  if (cpu !== undefined) out.cpu = cpu;
  if (blockIO !== undefined) out.blockIO = blockIO;
  if (pids !== undefined) out.pids = pids;
  if (more.hugepageLimits !== undefined) out.hugepageLimits = more.hugepageLimits;
  if (more.unified !== undefined) out.unified = { ...old.unified, ...more.unified };
  return out;
}
