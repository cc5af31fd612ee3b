// linux.resources in a group of the unified hierarchy (Documentation/admin-guide/cgroup-v2.rst): values as runc converts them.

import { relative } from 'node:path';
import { CliError } from '../errors.ts';
import { cpuWeight, integerText, ioWeight, limitText, swapOnly } from './convert.ts';
import { KnobError, knobExists, makeFolders, removeFolders, tryKnob, writeKnob } from './knobs.ts';
import { type BlockIO, type Cpu, hostPids, type Memory, type Resources } from './resources.ts';

const DEFAULT_PERIOD_US = 100_000;

/** Hands the controllers that a group has on to the groups below it; those that cannot be are missed when a limit is set. */
function handOn(folder: string): void {
  const all = (tryKnob(folder, 'cgroup.controllers') ?? '').split(' ').filter((c) => c !== '');
  if (all.length === 0) return;
  try {
    writeKnob(folder, 'cgroup.subtree_control', all.map((c) => `+${c}`).join(' '));
  } catch {
    for (const c of all) {
      try {
        writeKnob(folder, 'cgroup.subtree_control', `+${c}`);
      } catch {
        // the limit that needs it says so
      }
    }
  }
}

/** Makes a group with all its controllers. The folders that were made. */
export function makeV2(mountpoint: string, folder: string): string[] {
  const made: string[] = [];
  let at = mountpoint;
  try {
    for (const name of relative(mountpoint, folder).split('/')) {
      handOn(at);
      at = `${at}/${name}`;
      made.push(...makeFolders(at));
    }
  } catch (e) {
    removeFolders(made);
    throw e;
  }
  const type = tryKnob(folder, 'cgroup.type');
  if (type === 'domain invalid' || type === 'threaded') {
    removeFolders(made);
    throw new CliError(`cannot use the cgroup ${folder}: it is in ${type} mode`);
  }
  return made;
}

function setMemory(folder: string, m: Memory): void {
  const limit = m.limit ?? 0;
  const swap = swapOnly(m.swap ?? 0, limit);
  let text = limitText(swap);
  if (text === '' && (m.swap ?? 0) > 0) text = '0';
  if (text !== '') {
    try {
      writeKnob(folder, 'memory.swap.max', text);
    } catch (e) {
      // A kernel without swap limits has none to lift or to forbid.
      if (!(e instanceof KnobError) || e.code !== 'ENOENT' || (text !== 'max' && text !== '0')) throw e;
    }
  }
  if (limit !== 0) writeKnob(folder, 'memory.max', limitText(limit));
  const low = limitText(m.reservation ?? 0);
  if (low !== '') writeKnob(folder, 'memory.low', low);
}

function setCpu(folder: string, c: Cpu): void {
  if ((c.idle ?? 0) !== 0) writeKnob(folder, 'cpu.idle', String(c.idle));
  const weight = cpuWeight(c.shares ?? 0);
  if (weight !== 0) writeKnob(folder, 'cpu.weight', String(weight));
  const quota = c.quota ?? 0;
  const period = c.period ?? 0;
  const max = quota !== 0 || period !== 0 ? `${quota > 0 ? quota : 'max'} ${period === 0 ? DEFAULT_PERIOD_US : period}` : '';
  let burst = (c.burst ?? 0) === 0 ? '' : String(c.burst);
  if (burst !== '') {
    try {
      writeKnob(folder, 'cpu.max.burst', burst);
      burst = '';
    } catch (e) {
      // Against the old quota it may be too long.
      if (!(e instanceof KnobError) || e.code !== 'EINVAL' || quota === 0) throw e;
    }
  }
  if (max !== '') writeKnob(folder, 'cpu.max', max);
  if (burst !== '') writeKnob(folder, 'cpu.max.burst', burst);
}

function setIo(folder: string, b: BlockIO): void {
  const bfq = knobExists(folder, 'io.bfq.weight');
  const weight = b.weight ?? 0;
  if (weight !== 0) writeKnob(folder, bfq ? 'io.bfq.weight' : 'io.weight', String(bfq ? weight : ioWeight(weight)));
  if (bfq)
    for (const d of b.weightDevice ?? [])
      if ((d.weight ?? 0) !== 0) writeKnob(folder, 'io.bfq.weight', `${d.major}:${d.minor} ${d.weight}`);
  for (const [key, rates] of [
    ['rbps', b.throttleReadBpsDevice],
    ['wbps', b.throttleWriteBpsDevice],
    ['riops', b.throttleReadIOPSDevice],
    ['wiops', b.throttleWriteIOPSDevice],
  ] as const) {
    for (const r of rates ?? []) writeKnob(folder, 'io.max', `${r.major}:${r.minor} ${key}=${r.rate === 0 ? 'max' : integerText(r.rate)}`);
  }
}

function setUnified(folder: string, values: Record<string, string>): void {
  const controllers = new Set((tryKnob(folder, 'cgroup.controllers') ?? '').split(' '));
  for (const [name, value] of Object.entries(values)) {
    if (name.includes('/')) throw new CliError(`unified resource "${name}" must be a file name (no slashes)`);
    try {
      writeKnob(folder, name, value);
    } catch (e) {
      if (e instanceof KnobError && ['ENOENT', 'EPERM', 'EACCES'].includes(e.code)) {
        const dot = name.indexOf('.');
        if (dot < 0) throw new CliError(`unified resource "${name}" must be in the form CONTROLLER.PARAMETER`);
        const controller = name.slice(0, dot);
        if (controller !== 'cgroup' && !controllers.has(controller))
          throw new CliError(`unified resource "${name}" can't be set: controller "${controller}" not available`);
      }
      throw new CliError(`unable to set unified resource "${name}": ${e instanceof Error ? e.message : String(e)}`);
    }
  }
}

/** Does any limit need a controller of the group? */
export function needsControllers(r: Resources): boolean {
  const set = (o: object | undefined): boolean =>
    Object.values(o ?? {}).some((v) => v !== undefined && v !== 0 && v !== '' && v !== false && !(Array.isArray(v) && v.length === 0));
  return (
    set(r.memory) || set(r.cpu) || set(r.blockIO) || set(r.pids) || set(r.rdma) || set(r.unified) || (r.hugepageLimits ?? []).length > 0
  );
}

/** Writes all limits. Device rules are the Sentry's to keep. Throws one line for the first that cannot be. */
export function setV2(folder: string, r: Resources): void {
  const m = r.memory ?? {};
  const pids = limitText(hostPids(r.pids?.limit ?? 0));
  if (pids !== '') writeKnob(folder, 'pids.max', pids);
  setMemory(folder, m);
  setIo(folder, r.blockIO ?? {});
  setCpu(folder, r.cpu ?? {});
  if ((r.cpu?.cpus ?? '') !== '') writeKnob(folder, 'cpuset.cpus', r.cpu?.cpus as string);
  if ((r.cpu?.mems ?? '') !== '') writeKnob(folder, 'cpuset.mems', r.cpu?.mems as string);
  for (const h of r.hugepageLimits ?? []) writeKnob(folder, `hugetlb.${h.pageSize}.max`, integerText(h.limit));
  for (const [device, l] of Object.entries(r.rdma ?? {}))
    writeKnob(folder, 'rdma.max', `${device} hca_handle=${l.hcaHandles ?? 'max'} hca_object=${l.hcaObjects ?? 'max'}`);
  if (r.unified !== undefined) setUnified(folder, r.unified);
}
