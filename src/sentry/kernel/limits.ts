// Limits of containers (cgroups(7)): what of them the Sentry enforces itself, and the numbers that /proc, /sys and sysinfo show.
//
// The number of tasks is enforced here, because the host counts the sandbox's own threads too; the use of devices, because guests have none
// of the host's. Memory and processor time are the host's to give; what they amount to comes from files of the container's groups
// there, donated open.

import type { LimitsConfig } from '../../wire/boot.ts';
import { latin1Decode } from '../../base/bytes.ts';
import type { Caller } from '../vfs/caller.ts';
import { devMajor, devMinor, setDeviceGate } from '../vfs/devices.ts';
import type { Kernel } from './kernel.ts';
import type { Task } from './task.ts';
import { groupCpuNs } from './usage.ts';

/** Of a container whose configuration has none. */
export const NO_LIMITS: LimitsConfig = {
  version: 2,
  hierarchies: [],
  memory: -1,
  memorySwap: -1,
  memoryReservation: -1,
  swap: 0,
  cpuShares: 1024,
  cpuQuota: -1,
  cpuPeriod: 100_000,
  cpus: 0,
  pids: -1,
  devices: { open: true, except: {} },
};

/** Whole processors that a quota amounts to, rounded up; Infinity without one. */
export function quotaCpus(c: LimitsConfig): number {
  return c.cpuQuota > 0 && c.cpuPeriod > 0 ? Math.max(1, Math.ceil(c.cpuQuota / c.cpuPeriod)) : Infinity;
}

export class Limits {
  readonly kernel: Kernel;
  /** The container's id. */
  readonly id: string;
  private now: LimitsConfig;
  /** How often a task was refused (pids.events). */
  refusedTasks = 0;
  private readonly counters: Readonly<Record<string, number>>;
  private readonly buffer: Uint8Array = new Uint8Array(16384);

  /** `counters`: open files of the host by name. */
  constructor(kernel: Kernel, id: string, config: LimitsConfig, counters: Readonly<Record<string, number>>) {
    this.kernel = kernel;
    this.id = id;
    this.now = config;
    this.counters = counters;
  }

  get config(): LimitsConfig {
    return this.now;
  }

  /** From now on other limits hold. The layout of /sys/fs/cgroup stays. */
  update(config: LimitsConfig): void {
    this.now = { ...config, version: this.now.version, hierarchies: this.now.hierarchies };
  }

  /** Nobody will ask any more. */
  close(): void {
    for (const fd of Object.values(this.counters)) this.kernel.host.close(fd);
  }

  /** The text of a file of the host's group, or null where there is none. */
  text(name: string): string | null {
    const fd = this.counters[name];
    if (fd === undefined) return null;
    const n = this.kernel.host.pread(fd, this.buffer, 0, this.buffer.length, 0);
    return n < 0 ? null : latin1Decode(this.buffer, 0, n);
  }

  /** The number in such a file; -1 where there is none. */
  number(name: string): number {
    const text = this.text(name);
    return text === null || !/^\d/.test(text) ? -1 : Number.parseInt(text, 10);
  }

  /** The number behind `key` in lines "key number"; -1 where there is none. */
  field(name: string, key: string): number {
    const text = this.text(name);
    const m = text === null ? null : new RegExp(`^${key} (\\d+)$`, 'm').exec(text);
    return m === null ? -1 : Number(m[1]);
  }

  /** Processors that it sees: those of its cpuset, and no more than its quota amounts to. */
  get cpus(): number {
    const set = this.now.cpus > 0 ? this.now.cpus : this.kernel.cpus;
    return Math.max(1, Math.min(set, quotaCpus(this.now)));
  }

  /** Bytes of memory that it has. */
  get memory(): number {
    const all = this.kernel.memoryBytes;
    return this.now.memory >= 0 && this.now.memory < all ? this.now.memory : all;
  }

  /** Bytes in use, page cache included. Without the host's count a quarter is called so. */
  get memoryUsed(): number {
    let n = this.number('memory.current');
    if (n < 0) n = this.number('memory.usage_in_bytes');
    return n < 0 ? Math.floor(this.memory / 4) : Math.min(n, this.memory);
  }

  /** Bytes of that which are page cache. */
  get cacheUsed(): number {
    let n = this.field('memory.stat', 'file');
    if (n < 0) n = this.field('memory.stat', 'total_cache');
    return n < 0 ? 0 : Math.min(n, this.memoryUsed);
  }

  /** Bytes of swap that it has, and how many of them are in use. */
  get swap(): number {
    return Math.max(0, this.now.swap);
  }

  get swapUsed(): number {
    let n = this.number('memory.swap.current');
    if (n < 0) n = this.field('memory.stat', 'total_swap');
    return Math.max(0, Math.min(n, this.swap));
  }

  /** Processor time of all its processes, the sandbox's own work included where the host counts it; ns. */
  get cpuNs(): number {
    const ns = this.number('cpuacct.usage');
    if (ns >= 0) return ns;
    const us = this.field('cpu.stat', 'usage_usec');
    if (us >= 0) return us * 1000;
    let sum = 0;
    for (const g of this.kernel.groups.values()) if (this.owns(g.container)) sum += groupCpuNs(g);
    return sum;
  }

  private owns(container: string): boolean {
    return this.id === '' || container === this.id;
  }

  /** Processes and threads, zombies included. */
  get tasks(): number {
    const k = this.kernel;
    if (k.limits.size <= 1) return k.tasks.size;
    let n = 0;
    for (const t of k.tasks.values()) if (this.owns(t.tg.container)) n++;
    return n;
  }

  /** May its processes use a device so? `type`: 'b' or 'c', `access`: letters of "rwm". */
  mayUse(type: string, major: number, minor: number, access: string): boolean {
    const { open, except } = this.now.devices;
    for (const a of access) {
      const listed =
        except[`${type} ${major}:${minor}`]?.includes(a) === true ||
        except[`${type} ${major}:*`]?.includes(a) === true ||
        except[`${type} *:${minor}`]?.includes(a) === true ||
        except[`${type} *:*`]?.includes(a) === true;
      if (listed === open) return false;
    }
    return true;
  }
}

const unlimited = new WeakMap<Kernel, Limits>();

/** The limits of a container. */
export function limitsOf(k: Kernel, container: string): Limits {
  const l = k.limits.get(container);
  if (l !== undefined) return l;
  let none = unlimited.get(k);
  if (none === undefined) {
    none = new Limits(k, '', NO_LIMITS, {});
    unlimited.set(k, none);
  }
  return none;
}

/** The limits of the container that a caller belongs to. */
export function callerLimits(k: Kernel, c: Caller | null): Limits {
  return limitsOf(k, containerOf(c));
}

/** The container of a caller; '' for boot, which sees no limits. */
export function containerOf(c: Caller | null): string {
  return (c as Partial<Task> | null)?.tg?.container ?? '';
}

/** Device rules hold where files are opened and made. Once for a kernel. */
export function installDeviceRules(k: Kernel): void {
  setDeviceGate((c, type, rdev, access) => {
    const l = k.limits.get(containerOf(c));
    return l === undefined || l.mayUse(type, devMajor(rdev), devMinor(rdev), access);
  });
}

/** False when the task's container has as many processes and threads as it may have (pids.max). */
export function mayAddTask(t: Task): boolean {
  const l = t.kernel.limits.get(t.tg.container);
  if (l === undefined || l.config.pids < 0 || l.tasks < l.config.pids) return true;
  l.refusedTasks++;
  return false;
}
