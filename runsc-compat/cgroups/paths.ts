// Where a container's groups are: linux.cgroupsPath (runtime specification, config-linux.md) as runc 1.1 takes it.

import { dirname, join, normalize, relative } from 'node:path';
import { CliError } from '../errors.ts';
import { folderOf, type Hierarchies, mountOf, UNIFIED } from './hierarchies.ts';

/** Lexically clean, and never above its start: "../../x" is "x". */
export function cleanPath(path: string): string {
  if (path === '') return '';
  const inside = (p: string): string => (p.length > 1 && p.endsWith('/') ? p.slice(0, -1) : p);
  if (path.startsWith('/')) return inside(normalize(path));
  return relative('/', normalize(`/${path}`)) || '.';
}

/** v1 controllers in the order in which groups are made and joined; the unified one of a hybrid machine comes last. */
export const V1_CONTROLLERS = [
  'cpuset',
  'devices',
  'memory',
  'cpu',
  'cpuacct',
  'pids',
  'blkio',
  'hugetlb',
  'net_cls',
  'net_prio',
  'perf_event',
  'freezer',
  'rdma',
  'misc',
  'name=systemd',
  UNIFIED,
] as const;

/**
 * Folders by controller for the cgroupfs driver. An absolute path counts from the top of each hierarchy, a relative one (or the container's id
 * where there is none) from the group that this process is in; with v2 from the group above that, which may have members no more than ours.
 * Controllers that are not mounted are left out; a machine with v1 and without the devices controller is refused.
 */
export function groupFolders(h: Hierarchies, cgroupsPath: string, id: string): Map<string, string> {
  const inner = cgroupsPath === '' ? id : cleanPath(cgroupsPath);
  const out = new Map<string, string>();
  if (h.version === 0) throw new CliError('no cgroup hierarchy is mounted: mount one, or use --ignore-cgroups');
  const wanted = h.version === 2 ? [UNIFIED] : V1_CONTROLLERS;
  for (const controller of wanted) {
    const m = mountOf(h, controller);
    if (m === null) {
      if (controller === 'devices') throw new CliError('mountpoint for devices not found: the devices cgroup hierarchy must be mounted');
      continue;
    }
    const own = h.own.get(controller);
    if (inner.startsWith('/')) out.set(controller, join(m.mountpoint, inner));
    else if (own !== undefined) out.set(controller, join(folderOf(m, h.version === 2 ? dirname(own) : own), inner));
  }
  return out;
}
