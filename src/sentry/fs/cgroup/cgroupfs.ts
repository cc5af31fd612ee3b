// /sys/fs/cgroup inside: the container's own group as the root of its cgroup namespace (cgroups(7)), in the layout of the host or as the
// mount says. Limits are what the configuration and `update` say; numbers are the host's, where it counts.
//
// Guests can look, but make no groups of their own and change no limit.

import { EPERM } from '../../../abi/errno.ts';
import { CGROUP2_SUPER_MAGIC, CGROUP_SUPER_MAGIC } from '../../../abi/mount.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import { type Limits, limitsOf } from '../../kernel/limits.ts';
import type { Task } from '../../kernel/task.ts';
import type { ThreadGroup } from '../../kernel/threadgroup.ts';
import type { Caller } from '../../vfs/caller.ts';
import { SynthDir, SynthFs } from '../synthetic.ts';

/** memory.limit_in_bytes without a limit: PAGE_COUNTER_MAX in bytes. */
const V1_UNLIMITED = '9223372036854771712';
const TICK_NS = 10_000_000;
const DEFAULT_WEIGHT = 100;

type Text = () => string;
const refuse = (): number => -EPERM;

function range(n: number): string {
  return n === 1 ? '0' : `0-${n - 1}`;
}

function most(n: number): string {
  return n < 0 ? 'max' : String(n);
}

class GroupFs extends SynthFs {
  readonly root: SynthDir;
  readonly #shown: string;
  protected readonly kernel: Kernel;
  protected readonly container: string;

  constructor(name: string, magic: number, kernel: Kernel, container: string, shown: string) {
    super(name, magic);
    this.kernel = kernel;
    this.container = container;
    this.#shown = shown;
    this.root = new SynthDir(this, 0o755);
  }

  override options(): string {
    return this.#shown;
  }

  protected get limits(): Limits {
    return limitsOf(this.kernel, this.container);
  }

  /** Processes of the container. */
  private members(): ThreadGroup[] {
    const all = [...this.kernel.groups.values()];
    return this.container === '' ? all : all.filter((g) => g.container === this.container);
  }

  /** Their pids, as whoever reads them has it. */
  protected procs(c: Caller): string {
    const ns = (c as Task).pidns;
    return this.members()
      .map((g) => `${g.pid.in(ns)}\n`)
      .join('');
  }

  protected threads(c: Caller): string {
    const ns = (c as Task).pidns;
    return this.members()
      .flatMap((g) => [...g.tasks].map((t) => `${t.pid.in(ns)}\n`))
      .join('');
  }

  /** A limit: shown, and refused to be written. */
  protected limit(name: string, shows: Text): void {
    this.root.text(name, () => `${shows()}\n`, refuse);
  }

  protected value(name: string, shows: Text): void {
    this.root.text(name, () => `${shows()}\n`);
  }

  /** A file of the host's group as it is, or what we know ourselves. */
  protected passed(name: string, otherwise: Text): void {
    this.root.text(name, () => this.limits.text(name) ?? `${otherwise()}\n`);
  }
}

/** The unified hierarchy (Documentation/admin-guide/cgroup-v2.rst). */
export class Cgroup2Fs extends GroupFs {
  constructor(kernel: Kernel, container: string) {
    super('cgroup2', CGROUP2_SUPER_MAGIC, kernel, container, 'rw,nsdelegate');
    const zero: Text = () => '0';
    this.value('cgroup.controllers', () => 'cpuset cpu io memory pids');
    this.root.text('cgroup.subtree_control', () => '\n', refuse);
    this.root.text('cgroup.procs', (c) => this.procs(c), refuse);
    this.root.text('cgroup.threads', (c) => this.threads(c), refuse);
    this.limit('cgroup.type', () => 'domain');
    this.value('cgroup.events', () => `populated 1\nfrozen 0`);
    this.limit('cgroup.freeze', zero);
    this.limit('cgroup.max.depth', () => 'max');
    this.limit('cgroup.max.descendants', () => 'max');
    this.value('cgroup.stat', () => 'nr_descendants 0\nnr_dying_descendants 0');
    this.cpu();
    this.memory();
    this.limit('pids.max', () => most(this.limits.config.pids));
    this.value('pids.current', () => String(this.limits.tasks));
    this.value('pids.events', () => `max ${this.limits.refusedTasks}`);
    this.passed('io.stat', () => '');
    this.limit('io.max', () => '');
  }

  private cpu(): void {
    const cpus: Text = () => range(this.limits.cpus);
    this.limit('cpu.max', () => `${most(this.limits.config.cpuQuota)} ${this.limits.config.cpuPeriod}`);
    this.limit('cpu.max.burst', () => '0');
    this.limit('cpu.weight', () => {
      const shares = this.limits.config.cpuShares;
      return String(shares === 1024 ? DEFAULT_WEIGHT : 1 + Math.floor(((shares - 2) * 9999) / 262142));
    });
    this.limit('cpu.weight.nice', () => '0');
    this.limit('cpu.idle', () => '0');
    this.root.text('cpu.stat', () => {
      const l = this.limits;
      const text = l.text('cpu.stat');
      if (text?.startsWith('usage_usec') === true) return text;
      const us = Math.floor(l.cpuNs / 1000);
      const system = Math.max(0, l.field('cpuacct.stat', 'system')) * (TICK_NS / 1000);
      const throttled = Math.floor(Math.max(0, l.field('cpu.stat', 'throttled_time')) / 1000);
      const n = (key: string): number => Math.max(0, l.field('cpu.stat', key));
      return (
        `usage_usec ${us}\nuser_usec ${Math.max(0, us - system)}\nsystem_usec ${system}\n` +
        `nr_periods ${n('nr_periods')}\nnr_throttled ${n('nr_throttled')}\nthrottled_usec ${throttled}\nnr_bursts 0\nburst_usec 0\n`
      );
    });
    this.limit('cpuset.cpus', cpus);
    this.value('cpuset.cpus.effective', cpus);
    this.limit('cpuset.mems', () => '0');
    this.value('cpuset.mems.effective', () => '0');
  }

  private memory(): void {
    const zero: Text = () => '0';
    const c = (): Limits['config'] => this.limits.config;
    this.limit('memory.max', () => most(c().memory));
    this.limit('memory.high', () => 'max');
    this.limit('memory.low', () => String(Math.max(0, c().memoryReservation)));
    this.limit('memory.min', zero);
    this.limit('memory.oom.group', zero);
    this.limit('memory.swap.max', () => (c().memorySwap < 0 ? 'max' : String(Math.max(0, c().memorySwap - Math.max(0, c().memory)))));
    this.limit('memory.swap.high', () => 'max');
    this.value('memory.current', () => String(this.limits.memoryUsed));
    this.value('memory.swap.current', () => String(this.limits.swapUsed));
    this.value('memory.peak', () => {
      const l = this.limits;
      return String(Math.max(l.memoryUsed, l.number('memory.peak'), l.number('memory.max_usage_in_bytes')));
    });
    this.root.text('memory.events', () => {
      const l = this.limits;
      const kills = Math.max(0, l.field('memory.oom_control', 'oom_kill'));
      return (
        l.text('memory.events') ??
        `low 0\nhigh 0\nmax ${Math.max(0, l.number('memory.failcnt'))}\noom ${kills}\noom_kill ${kills}\noom_group_kill 0\n`
      );
    });
    this.root.text('memory.stat', () => {
      const l = this.limits;
      const text = l.text('memory.stat');
      if (text?.startsWith('anon ') === true) return text;
      const n = (key: string): number => Math.max(0, l.field('memory.stat', `total_${key}`));
      const file = l.cacheUsed;
      const anon = text === null ? l.memoryUsed - file : n('rss');
      let s = `anon ${anon}\nfile ${file}\nkernel ${Math.max(0, l.memoryUsed - anon - file)}\nshmem ${n('shmem')}\nfile_mapped ${n('mapped_file')}\n`;
      s += `file_dirty ${n('dirty')}\nfile_writeback ${n('writeback')}\nswapcached 0\nanon_thp ${n('rss_huge')}\n`;
      for (const key of ['inactive_anon', 'active_anon', 'inactive_file', 'active_file', 'unevictable']) s += `${key} ${n(key)}\n`;
      return `${s}slab_reclaimable 0\nslab_unreclaimable 0\nslab 0\npgfault ${n('pgfault')}\npgmajfault ${n('pgmajfault')}\n`;
    });
  }
}

/** One v1 hierarchy (Documentation/admin-guide/cgroup-v1). */
export class Cgroup1Fs extends GroupFs {
  constructor(kernel: Kernel, container: string, controllers: readonly string[]) {
    super('cgroup', CGROUP_SUPER_MAGIC, kernel, container, `rw,${controllers.join(',')}`);
    this.root.text('cgroup.procs', (c) => this.procs(c), refuse);
    this.root.text('tasks', (c) => this.threads(c), refuse);
    this.limit('cgroup.clone_children', () => '0');
    this.limit('notify_on_release', () => '0');
    for (const c of controllers) this.fill(c);
  }

  private fill(controller: string): void {
    const c = (): Limits['config'] => this.limits.config;
    const cpus: Text = () => range(this.limits.cpus);
    switch (controller) {
      case 'memory':
        this.memory();
        break;
      case 'cpu':
        this.limit('cpu.shares', () => String(c().cpuShares));
        this.limit('cpu.cfs_quota_us', () => String(c().cpuQuota > 0 ? c().cpuQuota : -1));
        this.limit('cpu.cfs_period_us', () => String(c().cpuPeriod));
        this.limit('cpu.cfs_burst_us', () => '0');
        this.passed('cpu.stat', () => 'nr_periods 0\nnr_throttled 0\nthrottled_time 0');
        break;
      case 'cpuacct':
        this.value('cpuacct.usage', () => String(this.limits.cpuNs));
        this.passed('cpuacct.stat', () => `user ${Math.floor(this.limits.cpuNs / TICK_NS)}\nsystem 0`);
        this.value('cpuacct.usage_percpu', () => {
          const n = this.limits.cpus;
          return new Array<number>(n).fill(Math.floor(this.limits.cpuNs / n)).join(' ');
        });
        break;
      case 'cpuset':
        for (const name of ['cpuset.cpus', 'cpuset.effective_cpus']) this.limit(name, cpus);
        for (const name of ['cpuset.mems', 'cpuset.effective_mems']) this.limit(name, () => '0');
        break;
      case 'pids':
        this.limit('pids.max', () => most(c().pids));
        this.value('pids.current', () => String(this.limits.tasks));
        this.value('pids.events', () => `max ${this.limits.refusedTasks}`);
        break;
      case 'devices':
        this.value('devices.list', () => this.devices());
        break;
      case 'freezer':
        this.limit('freezer.state', () => 'THAWED');
        break;
      case 'blkio':
        for (const name of ['io_service_bytes', 'io_serviced']) this.value(`blkio.throttle.${name}`, () => 'Total 0');
        break;
    }
  }

  private devices(): string {
    const { open, except } = this.limits.config.devices;
    if (open) return 'a *:* rwm';
    return Object.entries(except)
      .map(([key, access]) => `${key} ${access}`)
      .join('\n');
  }

  private memory(): void {
    const c = (): Limits['config'] => this.limits.config;
    const bytes = (n: number): string => (n < 0 ? V1_UNLIMITED : String(n));
    this.limit('memory.limit_in_bytes', () => bytes(c().memory));
    this.limit('memory.soft_limit_in_bytes', () => bytes(c().memoryReservation));
    this.limit('memory.memsw.limit_in_bytes', () => bytes(c().memorySwap));
    this.limit('memory.kmem.limit_in_bytes', () => V1_UNLIMITED);
    this.limit('memory.swappiness', () => '60');
    this.limit('memory.use_hierarchy', () => '1');
    this.value('memory.usage_in_bytes', () => String(this.limits.memoryUsed));
    this.value('memory.memsw.usage_in_bytes', () => String(this.limits.memoryUsed + this.limits.swapUsed));
    this.passed('memory.max_usage_in_bytes', () => String(this.limits.memoryUsed));
    this.passed('memory.failcnt', () => '0');
    this.passed('memory.oom_control', () => 'oom_kill_disable 0\nunder_oom 0\noom_kill 0');
    this.passed('memory.stat', () => {
      const l = this.limits;
      const parts = { cache: l.cacheUsed, rss: l.memoryUsed - l.cacheUsed, inactive_file: 0, active_file: 0, swap: l.swapUsed };
      const own = Object.entries(parts).map(([k, v]) => `${k} ${v}`);
      const total = Object.entries(parts).map(([k, v]) => `total_${k} ${v}`);
      return [...own, `hierarchical_memory_limit ${bytes(c().memory)}`, `hierarchical_memsw_limit ${bytes(c().memorySwap)}`, ...total].join(
        '\n',
      );
    });
  }
}

/** /proc/PID/cgroup: the container's group is the root of its namespace in every hierarchy. */
export function cgroupText(l: Limits): string {
  const all = l.config.version === 2 ? [] : l.config.hierarchies;
  let s = '';
  for (let i = all.length - 1; i >= 0; i--) s += `${i + 1}:${all[i]!.controllers.join(',')}:/\n`;
  return `${s}0::/\n`;
}

/** /proc/cgroups. */
export function cgroupsText(l: Limits): string {
  let s = '#subsys_name\thierarchy\tnum_cgroups\tenabled\n';
  if (l.config.version === 2)
    for (const c of ['cpuset', 'cpu', 'cpuacct', 'blkio', 'memory', 'devices', 'freezer', 'pids']) s += `${c}\t0\t1\t1\n`;
  else
    l.config.hierarchies.forEach((h, i) => {
      for (const c of h.controllers) if (!c.startsWith('name=')) s += `${c}\t${i + 1}\t1\t1\n`;
    });
  return s;
}
