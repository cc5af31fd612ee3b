// Which cgroup hierarchies this machine has mounted, and where this process is in them (cgroups(7), proc(5)).
//
// v1: one mount a controller or a few of them, named hierarchies ("name=systemd") too; v2: one mount at /sys/fs/cgroup; hybrid: v1, and v2 at
// /sys/fs/cgroup/unified with whatever controllers v1 has not taken.

import { readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { CliError, codeOf } from '../errors.ts';

/** Key of the v2 hierarchy in lists of controllers. */
export const UNIFIED = '';

export interface Hierarchy {
  mountpoint: string;
  /** The group that is mounted there: "/" but in containers. */
  root: string;
  /** v1: 'memory', 'name=systemd'; v2: UNIFIED alone. */
  controllers: string[];
}

export interface Hierarchies {
  /** 2: there is only the unified one; 0: none is mounted. */
  version: 0 | 1 | 2;
  mounts: Hierarchy[];
  /** The group of this process by controller. */
  own: Map<string, string>;
}

const CONTROLLERS = new Set([
  'cpuset',
  'cpu',
  'cpuacct',
  'blkio',
  'memory',
  'devices',
  'freezer',
  'net_cls',
  'perf_event',
  'net_prio',
  'hugetlb',
  'pids',
  'rdma',
  'misc',
]);

function unescaped(field: string): string {
  return field.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** The cgroup mounts of a mountinfo text (proc(5)). The first mount of a hierarchy counts. */
export function parseMounts(mountinfo: string): Hierarchy[] {
  const out: Hierarchy[] = [];
  const seen = new Set<string>();
  for (const line of mountinfo.split('\n')) {
    const at = line.indexOf(' - ');
    if (at < 0) continue;
    const [type, , options = ''] = line.slice(at + 3).split(' ');
    if (type !== 'cgroup' && type !== 'cgroup2') continue;
    const fields = line.slice(0, at).split(' ');
    const controllers = type === 'cgroup2' ? [UNIFIED] : options.split(',').filter((o) => CONTROLLERS.has(o) || o.startsWith('name='));
    const key = controllers.join();
    if (controllers.length === 0 || seen.has(key)) continue;
    seen.add(key);
    out.push({ mountpoint: unescaped(fields[4] ?? ''), root: unescaped(fields[3] ?? '/'), controllers });
  }
  return out;
}

/** /proc/PID/cgroup as a map from controllers (UNIFIED: v2) to groups. */
export function parseOwn(text: string): Map<string, string> {
  const own = new Map<string, string>();
  for (const line of text.split('\n')) {
    const m = /^\d+:([^:]*):(.*)$/.exec(line);
    if (m === null) continue;
    for (const c of (m[1] as string).split(',')) own.set(c, m[2] as string);
  }
  return own;
}

/** From the texts of /proc/self/mountinfo and /proc/self/cgroup. */
export function hierarchies(mountinfo: string, own: string): Hierarchies {
  const mounts = parseMounts(mountinfo);
  const v1 = mounts.some((m) => !m.controllers.includes(UNIFIED));
  return { version: v1 ? 1 : mounts.length > 0 ? 2 : 0, mounts, own: parseOwn(own) };
}

function text(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch (e) {
    throw new CliError(`cannot read ${path}: ${codeOf(e)}`);
  }
}

/** This machine's. */
export function hostHierarchies(): Hierarchies {
  return hierarchies(text('/proc/self/mountinfo'), text('/proc/self/cgroup'));
}

/** The mount that has a controller. */
export function mountOf(h: Hierarchies, controller: string): Hierarchy | null {
  return h.mounts.find((m) => m.controllers.includes(controller)) ?? null;
}

/** The folder of a group that /proc/PID/cgroup names, below what is mounted. */
export function folderOf(m: Hierarchy, group: string): string {
  return join(m.mountpoint, relative(m.root, group));
}
