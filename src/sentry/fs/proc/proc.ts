// The proc file system (proc(5)).

import { ENOENT } from '../../../abi/errno.ts';
import { PROC_SUPER_MAGIC } from '../../../abi/mount.ts';
import { UTS_RELEASE, UTS_SYSNAME, UTS_VERSION } from '../../../abi/utsname.ts';
import { monotonicNs, realtime } from '../../../base/clock.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import { callerLimits, type Limits } from '../../kernel/limits.ts';
import { TASK_RUNNING, type Task } from '../../kernel/task.ts';
import type { PidNamespace } from '../../kernel/pidns.ts';
import type { ThreadGroup } from '../../kernel/threadgroup.ts';
import type { Caller } from '../../vfs/caller.ts';
import { fileSystemNames } from '../../vfs/fstypes.ts';
import type { Inode } from '../../vfs/inode.ts';
import { cgroupsText } from '../cgroup/cgroupfs.ts';
import { SynthDir, type SynthEntry, SynthFs } from '../synthetic.ts';
import type { ProcExtras } from './extras.ts';
import { type NsFs, nsFsOf } from './nsfs.ts';
import { PidDir } from './pid.ts';
import { fillSysctls } from './sysctl.ts';
import { allCpuNs } from './text.ts';

const DT_DIR = 4;
const HZ_NS = 1e7;
/** What every x86-64 processor has, when nobody told more. */
const BASELINE_CPU: readonly string[] = ['flags\t\t: fpu tsc cx8 cmov mmx fxsr sse sse2 syscall nx lm'];
const now = new Float64Array(2);
const DEVICES =
  'Character devices:\n  1 mem\n  4 /dev/vc/0\n  4 tty\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n 10 misc\n136 pts\n\nBlock devices:\n';

export class ProcFs extends SynthFs {
  readonly kernel: Kernel;
  /** Whose processes it shows, by their numbers there: the namespace of who mounted it. */
  readonly pidns: PidNamespace;
  readonly extras: ProcExtras;
  readonly namespaces: NsFs;
  readonly root: ProcRoot;
  readonly #groups = new WeakMap<ThreadGroup, PidDir>();
  readonly #threads = new WeakMap<Task, PidDir>();
  readonly #shown: string;

  constructor(kernel: Kernel, pidns: PidNamespace, extras: ProcExtras, options: readonly string[]) {
    super('proc', PROC_SUPER_MAGIC);
    this.kernel = kernel;
    this.pidns = pidns;
    this.namespaces = nsFsOf(kernel);
    this.extras = extras;
    this.volatileNames = true;
    this.makingFails = ENOENT;
    this.#shown = ['rw', ...options].join(',');
    this.root = new ProcRoot(this);
  }

  override options(): string {
    return this.#shown;
  }

  groupDir(g: ThreadGroup): PidDir {
    let d = this.#groups.get(g);
    if (d === undefined) {
      d = new PidDir(this, () => (g.reaped ? null : g.leader), false);
      this.#groups.set(g, d);
    }
    return d;
  }

  threadDir(t: Task): PidDir {
    let d = this.#threads.get(t);
    if (d === undefined) {
      d = new PidDir(this, () => (t.pid.task === t ? t : null), true);
      this.#threads.set(t, d);
    }
    return d;
  }
}

class ProcRoot extends SynthDir {
  readonly proc: ProcFs;

  constructor(fs: ProcFs) {
    super(fs);
    this.proc = fs;
    fillRoot(fs, this);
  }

  protected override find(_c: Caller, name: string): Inode | number {
    const first = name.charCodeAt(0);
    if (first < 49 || first > 57 || !/^\d+$/.test(name)) return -ENOENT;
    const pid = this.proc.pidns.ids.get(Number(name));
    // Threads can be named but are not listed.
    const g = pid?.group ?? pid?.task?.tg ?? null;
    if (g === null || g.reaped) return -ENOENT;
    const d = this.proc.groupDir(g);
    return d.own(d);
  }

  protected override others(_c: Caller): SynthEntry[] {
    const out: SynthEntry[] = [];
    const ns = this.proc.pidns;
    for (const g of ns.groups().sort((a, b) => a.pid.in(ns) - b.pid.in(ns)))
      if (!g.reaped) out.push({ name: String(g.pid.in(ns)), ino: this.proc.groupDir(g).ino, type: DT_DIR });
    return out;
  }
}

function meminfo(l: Limits): string {
  const kbytes = (bytes: number): number => Math.floor(bytes / 1024);
  const total = kbytes(l.memory);
  const cached = kbytes(l.cacheUsed);
  const used = kbytes(l.memoryUsed);
  const free = Math.max(0, total - used);
  const anon = Math.max(0, used - cached);
  const swap = kbytes(l.swap);
  const line = (name: string, kb: number): string => `${`${name}:`.padEnd(15)}${String(kb).padStart(9)} kB\n`;
  return (
    line('MemTotal', total) +
    line('MemFree', free) +
    line('MemAvailable', free + cached) +
    line('Buffers', 0) +
    line('Cached', cached) +
    line('SwapCached', 0) +
    line('Active', anon) +
    line('Inactive', cached) +
    line('Active(anon)', anon) +
    line('Inactive(anon)', 0) +
    line('Active(file)', 0) +
    line('Inactive(file)', cached) +
    line('Unevictable', 0) +
    line('Mlocked', 0) +
    line('SwapTotal', swap) +
    line('SwapFree', swap - kbytes(l.swapUsed)) +
    line('Dirty', 0) +
    line('Writeback', 0) +
    line('AnonPages', anon) +
    line('Mapped', 0) +
    line('Shmem', 0) +
    line('Slab', 0) +
    line('SReclaimable', 0) +
    line('SUnreclaim', 0) +
    line('PageTables', 0) +
    line('CommitLimit', Math.floor(total / 2) + swap) +
    line('Committed_AS', anon) +
    line('VmallocTotal', 34359738367) +
    line('VmallocUsed', 0) +
    line('VmallocChunk', 0) +
    'HugePages_Total:       0\nHugePages_Free:        0\nHugePages_Rsvd:        0\nHugePages_Surp:        0\n' +
    line('Hugepagesize', 2048)
  );
}

function counts(k: Kernel): { running: number; all: number } {
  let running = 0;
  for (const t of k.tasks.values()) if (t.state === TASK_RUNNING && !t.sleeps) running++;
  return { running, all: k.tasks.size };
}

function stat(k: Kernel, x: ProcExtras, cpus: number): string {
  const up = monotonicNs() - k.bootNs;
  realtime(now);
  const used = Math.floor(allCpuNs(k, x) / HZ_NS);
  const idle = Math.max(0, Math.floor((up * cpus) / HZ_NS) - used);
  let s = `cpu  ${used} 0 0 ${idle} 0 0 0 0 0 0\n`;
  for (let i = 0; i < cpus; i++) s += `cpu${i} ${Math.floor(used / cpus)} 0 0 ${Math.floor(idle / cpus)} 0 0 0 0 0 0\n`;
  const { running } = counts(k);
  s += `intr 0\nctxt 0\nbtime ${Math.floor(now[0]! - up / 1e9)}\nprocesses ${k.forks}\nprocs_running ${running}\nprocs_blocked 0\n`;
  return `${s}softirq 0 0 0 0 0 0 0 0 0 0 0\n`;
}

function cpuinfo(cpus: number, x: ProcExtras): string {
  let s = '';
  for (let i = 0; i < cpus; i++) {
    s += `processor\t: ${i}\n`;
    for (const line of x.cpuLines.length > 0 ? x.cpuLines : BASELINE_CPU) s += `${line}\n`;
    s += `physical id\t: 0\nsiblings\t: ${cpus}\ncore id\t\t: ${i}\ncpu cores\t: ${cpus}\napicid\t\t: ${i}\n\n`;
  }
  return s;
}

function fillRoot(fs: ProcFs, root: SynthDir): void {
  const k = fs.kernel;
  const x = fs.extras;
  // Nobody is there for whom this proc's namespace does not know.
  root.symbolic('self', (c) => {
    const pid = (c as Task).tg.pid.in(fs.pidns);
    return pid === 0 ? -ENOENT : String(pid);
  });
  root.symbolic('thread-self', (c) => {
    const t = c as Task;
    const pid = t.tg.pid.in(fs.pidns);
    return pid === 0 ? -ENOENT : `${pid}/task/${t.pid.in(fs.pidns)}`;
  });
  root.symbolic('mounts', () => 'self/mounts');
  root.symbolic('net', () => 'self/net');
  root.text('meminfo', (c) => meminfo(callerLimits(k, c)));
  root.text('stat', (c) => stat(k, x, callerLimits(k, c).cpus));
  root.text('uptime', (c) => {
    const up = (monotonicNs() - k.bootNs) / 1e9;
    return `${up.toFixed(2)} ${Math.max(0, up * callerLimits(k, c).cpus - allCpuNs(k, x) / 1e9).toFixed(2)}\n`;
  });
  root.text('loadavg', (c) => {
    const { running, all } = counts(k);
    return `0.00 0.00 0.00 ${running}/${all} ${(c as Task).pidns.last}\n`;
  });
  root.text('cpuinfo', (c) => cpuinfo(callerLimits(k, c).cpus, x));
  root.text('version', () => `${UTS_SYSNAME} version ${UTS_RELEASE} (ringfence) ${UTS_VERSION}\n`);
  root.text('filesystems', () =>
    fileSystemNames()
      .map((n) => `nodev\t${n}\n`)
      .join(''),
  );
  root.text('devices', () => DEVICES);
  root.text('cmdline', () => '\n');
  root.text('partitions', () => 'major minor  #blocks  name\n\n');
  root.text('swaps', () => 'Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n');
  root.text(
    'vmstat',
    () => 'nr_free_pages 0\nnr_inactive_anon 0\nnr_active_anon 0\npgpgin 0\npgpgout 0\npswpin 0\npswpout 0\npgfault 0\npgmajfault 0\n',
  );
  root.text('diskstats', () => '');
  root.text('modules', () => '');
  root.text('consoles', () => '');
  root.text('cgroups', (c) => cgroupsText(callerLimits(k, c)));
  root.text('execdomains', () => '0-0\tLinux           \t[kernel]\n');
  root.text('misc', () => '');
  const ipc = root.dir('sysvipc');
  for (const [name, shows] of x.sysvipc) ipc.text(name, (c) => shows(c as Task));
  root.dir('fs');
  root.dir('tty').dir('driver');
  fillSysctls(k, root.dir('sys'), x);
}
