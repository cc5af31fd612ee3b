// linux.resources in groups of v1 hierarchies: values and their order as runc writes them.

import { dirname } from 'node:path';
import { CliError } from '../errors.ts';
import { integerText } from './convert.ts';
import { deviceList, writeDevices } from './devices.ts';
import { KnobError, knobExists, readKnob, tryKnob, writeKnob } from './knobs.ts';
import { type BlockIO, type Cpu, hostPids, type Memory, type Resources } from './resources.ts';

export type Folders = ReadonlyMap<string, string>;

const MEMORY_LIMIT = 'memory.limit_in_bytes';
const SWAP_LIMIT = 'memory.memsw.limit_in_bytes';
const MAX_SWAPPINESS = 100;

/** Writes `value` unless it is unset. */
function set(folder: string, name: string, value: number | undefined): void {
  if (value !== undefined && value !== 0) writeKnob(folder, name, integerText(value));
}

/** A new cpuset has no processors: it begins with those of the group above, made so as well where it is empty. */
export function fillCpuset(folder: string, mountpoint: string): void {
  if (folder.length <= mountpoint.length) return;
  for (const name of ['cpuset.cpus', 'cpuset.mems']) {
    if (tryKnob(folder, name) !== '') continue;
    const above = dirname(folder);
    fillCpuset(above, mountpoint);
    writeKnob(folder, name, readKnob(above, name));
  }
}

function setCpu(folder: string, c: Cpu): void {
  if (c.realtimePeriod !== undefined) set(folder, 'cpu.rt_period_us', c.realtimePeriod);
  if (c.realtimeRuntime !== undefined) set(folder, 'cpu.rt_runtime_us', c.realtimeRuntime);
  if (c.idle !== undefined && c.idle !== 0) writeKnob(folder, 'cpu.idle', String(c.idle));
  if (c.shares !== undefined && c.shares !== 0) {
    writeKnob(folder, 'cpu.shares', integerText(c.shares));
    const got = Number(readKnob(folder, 'cpu.shares'));
    if (c.shares > got) throw new CliError(`the maximum allowed cpu-shares is ${got}`);
    if (c.shares < got) throw new CliError(`the minimum allowed cpu-shares is ${got}`);
  }
  // Against the old quota a new period or burst may be wrong: both are tried again behind the quota.
  const later: [string, string][] = [];
  const early = (name: string, value: number | undefined): void => {
    if (value === undefined || value === 0) return;
    try {
      writeKnob(folder, name, integerText(value));
    } catch (e) {
      if (!(e instanceof KnobError) || e.code !== 'EINVAL' || (c.quota ?? 0) === 0) throw e;
      later.push([name, integerText(value)]);
    }
  };
  early('cpu.cfs_period_us', c.period);
  early('cpu.cfs_burst_us', c.burst);
  set(folder, 'cpu.cfs_quota_us', c.quota);
  for (const [name, value] of later) writeKnob(folder, name, value);
}

function setMemoryLimit(folder: string, limit: number): void {
  if (limit === 0) return;
  try {
    writeKnob(folder, MEMORY_LIMIT, integerText(limit));
  } catch (e) {
    if (!(e instanceof KnobError) || e.code !== 'EBUSY') throw e;
    const usage = tryKnob(folder, 'memory.usage_in_bytes');
    const most = tryKnob(folder, 'memory.max_usage_in_bytes');
    throw new KnobError(`unable to set memory limit to ${limit} (current usage: ${usage}, peak usage: ${most})`, e.code);
  }
}

function setMemory(folder: string, m: Memory): void {
  const limit = m.limit ?? 0;
  let swap = m.swap ?? 0;
  if (limit === -1 && swap === 0 && knobExists(folder, SWAP_LIMIT)) swap = -1;
  const setSwap = (): void => set(folder, SWAP_LIMIT, swap);
  // The smaller of the two limits must never be the larger one on the way.
  if (limit !== 0 && swap !== 0 && (swap === -1 || Number(readKnob(folder, MEMORY_LIMIT)) < swap)) {
    setSwap();
    setMemoryLimit(folder, limit);
  } else {
    setMemoryLimit(folder, limit);
    setSwap();
  }
  set(folder, 'memory.soft_limit_in_bytes', m.reservation);
  if (m.disableOOMKiller === true) writeKnob(folder, 'memory.oom_control', '1');
  const swappiness = m.swappiness;
  // Go clients write "unset" as -1, which is 2^64 - 1 here.
  if (swappiness === undefined || swappiness === -1 || swappiness >= 2 ** 63) return;
  if (swappiness > MAX_SWAPPINESS) throw new CliError(`invalid memory swappiness value: ${swappiness} (valid range is 0-100)`);
  writeKnob(folder, 'memory.swappiness', String(swappiness));
}

function setBlockIO(folder: string, b: BlockIO): void {
  const bfq = knobExists(folder, 'blkio.bfq.weight');
  set(folder, bfq ? 'blkio.bfq.weight' : 'blkio.weight', b.weight);
  set(folder, 'blkio.leaf_weight', b.leafWeight);
  for (const d of b.weightDevice ?? []) {
    const at = `${d.major}:${d.minor}`;
    if ((d.weight ?? 0) !== 0) writeKnob(folder, bfq ? 'blkio.bfq.weight_device' : 'blkio.weight_device', `${at} ${d.weight}`);
    if ((d.leafWeight ?? 0) !== 0) writeKnob(folder, 'blkio.leaf_weight_device', `${at} ${d.leafWeight}`);
  }
  for (const [name, rates] of [
    ['read_bps_device', b.throttleReadBpsDevice],
    ['write_bps_device', b.throttleWriteBpsDevice],
    ['read_iops_device', b.throttleReadIOPSDevice],
    ['write_iops_device', b.throttleWriteIOPSDevice],
  ] as const) {
    for (const r of rates ?? []) writeKnob(folder, `blkio.throttle.${name}`, `${r.major}:${r.minor} ${integerText(r.rate)}`);
  }
}

/** Which controllers these resources need a group of. */
function needs(r: Resources): Map<string, (folder: string) => void> {
  const out = new Map<string, (folder: string) => void>();
  const c = r.cpu ?? {};
  const any = (...values: (number | string | boolean | undefined)[]): boolean =>
    values.some((v) => v !== undefined && v !== 0 && v !== '' && v !== false);
  if (any(c.cpus, c.mems)) {
    out.set('cpuset', (f) => {
      if (any(c.cpus)) writeKnob(f, 'cpuset.cpus', c.cpus as string);
      if (any(c.mems)) writeKnob(f, 'cpuset.mems', c.mems as string);
    });
  }
  const m = r.memory;
  if (m !== undefined && (any(m.limit, m.swap, m.reservation, m.disableOOMKiller) || m.swappiness !== undefined))
    out.set('memory', (f) => setMemory(f, m));
  if (any(c.shares, c.quota, c.period, c.burst, c.realtimePeriod, c.realtimeRuntime, c.idle)) out.set('cpu', (f) => setCpu(f, c));
  const pids = r.pids?.limit ?? 0;
  if (pids !== 0) out.set('pids', (f) => writeKnob(f, 'pids.max', pids < 0 ? 'max' : String(hostPids(pids))));
  const b = r.blockIO;
  if (b !== undefined && Object.values(b).some((v) => (Array.isArray(v) ? v.length > 0 : v !== 0)))
    out.set('blkio', (f) => setBlockIO(f, b));
  const huge = r.hugepageLimits ?? [];
  if (huge.length > 0)
    out.set('hugetlb', (f) => {
      for (const h of huge) writeKnob(f, `hugetlb.${h.pageSize}.limit_in_bytes`, integerText(h.limit));
    });
  const n = r.network ?? {};
  if (any(n.classID)) out.set('net_cls', (f) => writeKnob(f, 'net_cls.classid', String(n.classID)));
  const priorities = n.priorities ?? [];
  if (priorities.length > 0)
    out.set('net_prio', (f) => {
      for (const p of priorities) writeKnob(f, 'net_prio.ifpriomap', `${p.name} ${p.priority}`);
    });
  const rdma = Object.entries(r.rdma ?? {});
  if (rdma.length > 0)
    out.set('rdma', (f) => {
      for (const [device, l] of rdma)
        writeKnob(f, 'rdma.max', `${device} hca_handle=${l.hcaHandles ?? 'max'} hca_object=${l.hcaObjects ?? 'max'}`);
    });
  return out;
}

/** Writes all limits. `devices`: the device rules too (a new container). Throws one line for the first that cannot be. */
export function setV1(folders: Folders, r: Resources, devices: boolean): void {
  if (r.unified !== undefined && Object.keys(r.unified).length > 0)
    throw new CliError('invalid configuration: cannot use unified on cgroup v1');
  for (const [controller, write] of needs(r)) {
    const folder = folders.get(controller);
    if (folder === undefined) throw new CliError(`cannot set ${controller} limit: container could not join or create cgroup`);
    write(folder);
  }
  const folder = folders.get('devices');
  if (devices && folder !== undefined) writeDevices(folder, deviceList(r.devices ?? []));
}
