// sysfs(5) and the cgroup tree: what programs ask for processors, memory nodes and limits.

import { CGROUP2_SUPER_MAGIC, SYSFS_MAGIC } from '../../../abi/mount.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import type { Task } from '../../kernel/task.ts';
import type { ThreadGroup } from '../../kernel/threadgroup.ts';
import type { Caller } from '../../vfs/caller.ts';
import { SynthDir, SynthFs } from '../synthetic.ts';

const DIRECTORIES = ['block', 'bus', 'class', 'dev', 'devices', 'firmware', 'fs', 'hypervisor', 'kernel', 'module', 'power'] as const;

export class SysFs extends SynthFs {
  readonly root: SynthDir;

  constructor(kernel: Kernel) {
    super('sysfs', SYSFS_MAGIC);
    this.root = new SynthDir(this);
    for (const d of DIRECTORIES) this.root.dir(d);
    fillCpus(kernel, this.root.dir('devices').dir('system'));
    fillMemory(this.root);
    fillNet(this.root);
    this.root.dir('fs').dir('cgroup');
  }
}

function range(n: number): string {
  return n === 1 ? '0' : `0-${n - 1}`;
}

/** A CPU mask of `n` low bits, in groups of 32 as the kernel prints it. */
function mask(n: number): string {
  let s = '';
  for (let left = n; left > 0; left -= 32) {
    const word = left >= 32 ? 'ffffffff' : (2 ** left - 1).toString(16).padStart(n > 32 ? 8 : 1, '0');
    s = s === '' ? word : left >= 32 ? `${s},${word}` : `${word},${s}`;
  }
  return s;
}

function fillCpus(k: Kernel, system: SynthDir): void {
  const cpu = system.dir('cpu');
  const n = k.cpus;
  for (const name of ['online', 'possible', 'present']) cpu.text(name, () => `${range(n)}\n`);
  cpu.text('offline', () => '\n');
  cpu.text('isolated', () => '\n');
  cpu.text('kernel_max', () => '8191\n');
  for (let i = 0; i < n; i++) {
    const d = cpu.dir(`cpu${i}`);
    if (i > 0) d.text('online', () => '1\n');
    const t = d.dir('topology');
    const bit = 2 ** (i % 32);
    t.text('core_id', () => `${i}\n`);
    t.text('physical_package_id', () => '0\n');
    t.text('die_id', () => '0\n');
    for (const name of ['thread_siblings_list', 'core_cpus_list']) t.text(name, () => `${i}\n`);
    for (const name of ['core_siblings_list', 'package_cpus_list']) t.text(name, () => `${range(n)}\n`);
    for (const name of ['thread_siblings', 'core_cpus']) t.text(name, () => `${bit.toString(16)}\n`);
    for (const name of ['core_siblings', 'package_cpus']) t.text(name, () => `${mask(n)}\n`);
  }
  const node = system.dir('node');
  for (const name of ['online', 'possible', 'has_cpu', 'has_memory', 'has_normal_memory']) node.text(name, () => '0\n');
  const zero = node.dir('node0');
  zero.text('cpulist', () => `${range(n)}\n`);
  zero.text('cpumap', () => `${mask(n)}\n`);
  zero.text('distance', () => '10\n');
  zero.text('meminfo', () => {
    const total = Math.floor(k.memoryBytes / 1024);
    const free = Math.floor(total / 4) * 3;
    return `Node 0 MemTotal:       ${total} kB\nNode 0 MemFree:        ${free} kB\nNode 0 MemUsed:        ${total - free} kB\n`;
  });
}

function fillMemory(root: SynthDir): void {
  const kernel = root.dir('kernel');
  const mm = kernel.dir('mm');
  const thp = mm.dir('transparent_hugepage');
  thp.text('enabled', () => 'always [madvise] never\n');
  thp.text('defrag', () => 'always defer defer+madvise [madvise] never\n');
  thp.text('shmem_enabled', () => 'always within_size advise [never] deny force\n');
  thp.text('hpage_pmd_size', () => '2097152\n');
  thp.text('use_zero_page', () => '1\n');
  const huge = mm.dir('hugepages').dir('hugepages-2048kB');
  for (const name of ['nr_hugepages', 'free_hugepages', 'resv_hugepages', 'surplus_hugepages', 'nr_overcommit_hugepages'])
    huge.text(name, () => '0\n');
  kernel.dir('security');
  kernel.dir('debug', 0o700);
  kernel.text('uevent_seqnum', () => '0\n');
  kernel.text('profiling', () => '0\n');
}

function fillNet(root: SynthDir): void {
  const lo = root.dir('devices').dir('virtual').dir('net').dir('lo');
  const values: readonly (readonly [string, string])[] = [
    ['address', '00:00:00:00:00:00'],
    ['broadcast', '00:00:00:00:00:00'],
    ['addr_len', '6'],
    ['carrier', '1'],
    ['dev_id', '0x0'],
    ['dormant', '0'],
    ['flags', '0x9'],
    ['ifindex', '1'],
    ['iflink', '1'],
    ['link_mode', '0'],
    ['mtu', '65536'],
    ['operstate', 'unknown'],
    ['tx_queue_len', '1000'],
    ['type', '772'],
    ['uevent', 'INTERFACE=lo\nIFINDEX=1'],
  ];
  for (const [name, v] of values) lo.text(name, () => `${v}\n`);
  root
    .dir('class')
    .dir('net')
    .symbolic('lo', () => '../../devices/virtual/net/lo');
}

/** The unified hierarchy as its own root group sees it from inside: one group, no controllers to hand on. */
export class Cgroup2Fs extends SynthFs {
  readonly root: SynthDir;

  constructor(kernel: Kernel) {
    super('cgroup2', CGROUP2_SUPER_MAGIC);
    const d = new SynthDir(this);
    this.root = d;
    const numbers = (c: Caller, of: Iterable<Task | ThreadGroup>): string =>
      [...of].map((o) => `${o.pid.in((c as Task).pidns)}\n`).join('');
    d.text('cgroup.controllers', () => '\n');
    d.text('cgroup.subtree_control', () => '\n');
    d.text('cgroup.procs', (c) => numbers(c, kernel.groups.values()));
    d.text('cgroup.threads', (c) => numbers(c, kernel.tasks.values()));
    d.text('cgroup.type', () => 'domain\n');
    d.text('cgroup.events', () => 'populated 1\nfrozen 0\n');
    d.text('cgroup.max.depth', () => 'max\n');
    d.text('cgroup.max.descendants', () => 'max\n');
    d.text('cgroup.stat', () => 'nr_descendants 0\nnr_dying_descendants 0\n');
  }
}
