// sysfs(5): what programs ask for processors and memory nodes.

import { SYSFS_MAGIC } from '../../../abi/mount.ts';
import { ENOENT } from '../../../abi/errno.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import { type Limits, limitsOf } from '../../kernel/limits.ts';
import type { Caller } from '../../vfs/caller.ts';
import type { Inode } from '../../vfs/inode.ts';
import { SynthDir, type SynthEntry, SynthFs } from '../synthetic.ts';

const DT_DIR = 4;

const DIRECTORIES = ['block', 'bus', 'class', 'dev', 'devices', 'firmware', 'fs', 'hypervisor', 'kernel', 'module', 'power'] as const;

export class SysFs extends SynthFs {
  readonly root: SynthDir;

  /** `container`: whose limits it shows. */
  constructor(kernel: Kernel, container: string) {
    super('sysfs', SYSFS_MAGIC);
    this.root = new SynthDir(this);
    for (const d of DIRECTORIES) this.root.dir(d);
    fillCpus(this, () => limitsOf(kernel, container), this.root.dir('devices').dir('system'));
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

/** /sys/devices/system/cpu: as many processors as the container's limits leave it now. */
class CpusDir extends SynthDir {
  readonly #count: () => number;
  readonly #made: SynthDir[] = [];

  constructor(fs: SynthFs, count: () => number) {
    super(fs);
    this.#count = count;
    for (const name of ['online', 'possible', 'present']) this.text(name, () => `${range(count())}\n`);
    this.text('offline', () => '\n');
    this.text('isolated', () => '\n');
    this.text('kernel_max', () => '8191\n');
  }

  #cpu(i: number): SynthDir {
    for (let n = this.#made.length; n <= i; n++) this.#made.push(this.#make(n));
    return this.#made[i]!;
  }

  #make(i: number): SynthDir {
    const d = new SynthDir(this.synth);
    if (i > 0) d.text('online', () => '1\n');
    const t = d.dir('topology');
    const bit = 2 ** (i % 32);
    t.text('core_id', () => `${i}\n`);
    t.text('physical_package_id', () => '0\n');
    t.text('die_id', () => '0\n');
    for (const name of ['thread_siblings_list', 'core_cpus_list']) t.text(name, () => `${i}\n`);
    for (const name of ['core_siblings_list', 'package_cpus_list']) t.text(name, () => `${range(this.#count())}\n`);
    for (const name of ['thread_siblings', 'core_cpus']) t.text(name, () => `${bit.toString(16)}\n`);
    for (const name of ['core_siblings', 'package_cpus']) t.text(name, () => `${mask(this.#count())}\n`);
    return d;
  }

  protected override find(_c: Caller, name: string): Inode | number {
    const m = /^cpu(0|[1-9]\d{0,3})$/.exec(name);
    const i = m === null ? Infinity : Number(m[1]);
    return i < this.#count() ? this.#cpu(i) : -ENOENT;
  }

  protected override others(): SynthEntry[] {
    const out: SynthEntry[] = [];
    for (let i = 0; i < this.#count(); i++) out.push({ name: `cpu${i}`, ino: this.#cpu(i).ino, type: DT_DIR });
    return out;
  }
}

function fillCpus(fs: SynthFs, limits: () => Limits, system: SynthDir): void {
  const count = (): number => limits().cpus;
  system.add('cpu', new CpusDir(fs, count));
  const node = system.dir('node');
  for (const name of ['online', 'possible', 'has_cpu', 'has_memory', 'has_normal_memory']) node.text(name, () => '0\n');
  const zero = node.dir('node0');
  zero.text('cpulist', () => `${range(count())}\n`);
  zero.text('cpumap', () => `${mask(count())}\n`);
  zero.text('distance', () => '10\n');
  zero.text('meminfo', () => {
    const total = Math.floor(limits().memory / 1024);
    const free = Math.max(0, total - Math.floor(limits().memoryUsed / 1024));
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
