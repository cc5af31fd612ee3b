// The groups of one container: made at create, joined by the launcher, changed by update, removed at delete. What is needed for the
// later steps is in the container's state, so that they work without its configuration.

import { join } from 'node:path';
import { type GlobalOptions, inUserNamespace } from '../context.ts';
import { CliError } from '../errors.ts';
import type { Spec } from '../spec/types.ts';
import { type Hierarchies, hostHierarchies, mountOf, UNIFIED } from './hierarchies.ts';
import { KnobError, makeFolders, removeFolders, tryKnob, tryRemoveGroup } from './knobs.ts';
import { cleanPath, groupFolders } from './paths.ts';
import type { Resources } from './resources.ts';
import { fillCpuset, setV1 } from './v1.ts';
import { makeV2, needsControllers, setV2 } from './v2.ts';

/** What a container's state keeps of its groups. */
export interface CgroupRecord {
  version: 1 | 2;
  /** Folders by controller; '' is the unified hierarchy. */
  paths: Record<string, string>;
  /** The scope that systemd keeps the groups in. */
  unit?: string;
  /** The slice of the scope. */
  slice?: string;
  /** Made below groups that others hand on: permissions are missed only where a limit needs them. */
  rootless: boolean;
}

/** How this call deals with groups. */
export interface CgroupMode {
  driver: 'none' | 'cgroupfs' | 'systemd';
  rootless: boolean;
}

const REMOVE_MS = 2000;
const PERMISSION = ['EPERM', 'EACCES', 'EROFS'];

/** From --ignore-cgroups, --cgroup-manager, --systemd-cgroup and --rootless. */
export function cgroupMode(o: GlobalOptions): CgroupMode {
  let rootless = process.geteuid?.() !== 0 || inUserNamespace();
  if (o.rootless !== undefined && o.rootless !== 'auto') {
    if (!['true', 'false', '1', '0', 't', 'f'].includes(o.rootless))
      throw new CliError(`--rootless takes true, false or auto, not "${o.rootless}"`);
    rootless = o.rootless === 'true' || o.rootless === '1' || o.rootless === 't';
  }
  const manager = o.cgroupManager ?? (o.systemdCgroup === true ? 'systemd' : 'cgroupfs');
  if (!['disabled', 'systemd', 'cgroupfs'].includes(manager))
    throw new CliError(`--cgroup-manager takes cgroupfs, systemd or disabled, not "${manager}"`);
  if (o.ignoreCgroups === true || manager === 'disabled') return { driver: 'none', rootless };
  return { driver: manager === 'systemd' ? 'systemd' : 'cgroupfs', rootless };
}

/** Are there limits at all, device rules apart? */
function limited(r: Resources): boolean {
  return needsControllers(r) || r.network !== undefined;
}

/** Where the groups of a new container will be; null: it gets none. */
export async function planCgroup(
  spec: Spec,
  id: string,
  mode: CgroupMode,
  h: Hierarchies = hostHierarchies(),
): Promise<CgroupRecord | null> {
  if (mode.driver === 'none') return null;
  const path = spec.linux?.cgroupsPath ?? '';
  if (h.version === 0) {
    if (mode.rootless && path === '' && !limited(spec.linux?.resources ?? {})) return null;
    throw new CliError('no cgroup hierarchy is mounted: mount one, or use --ignore-cgroups');
  }
  const version = h.version === 2 ? 2 : 1;
  if (mode.driver === 'systemd') {
    const { unitOf, unitFolders } = await import('./systemd.ts');
    const unit = unitOf(path, id, mode.rootless && version === 2 ? 'user.slice' : 'system.slice');
    return { version, paths: Object.fromEntries(unitFolders(h, unit)), unit: unit.name, slice: unit.slice, rootless: mode.rootless };
  }
  return { version, paths: Object.fromEntries(groupFolders(h, path, id)), rootless: mode.rootless && path === '' };
}

function makeV1(record: CgroupRecord, h: Hierarchies, made: string[]): void {
  for (const [controller, folder] of Object.entries(record.paths)) {
    try {
      made.push(...makeFolders(folder));
      if (controller === 'cpuset') fillCpuset(folder, mountOf(h, controller)?.mountpoint ?? folder);
    } catch (e) {
      // Without rights and without having been asked for a place there is simply no group; limits that need one say so.
      if (!record.rootless || !(e instanceof KnobError) || !PERMISSION.includes(e.code)) throw e;
      delete record.paths[controller];
    }
  }
}

/**
 * Makes the groups of the container `id` and sets their limits. On a failure nothing is left. What it returns is called when the launcher has
 * joined: this process may have had to be in there until then.
 */
export async function makeCgroup(
  record: CgroupRecord,
  id: string,
  resources: Resources,
  h: Hierarchies = hostHierarchies(),
): Promise<() => void> {
  if (record.unit === undefined || record.slice === undefined) {
    makeGroups(record, resources, h);
    return () => undefined;
  }
  const { startUnit } = await import('./systemd.ts');
  const leave = await startUnit({ name: record.unit, slice: record.slice }, id, resources, record.version, record.rootless);
  try {
    makeGroups(record, resources, h);
  } catch (e) {
    leave();
    throw e;
  }
  return leave;
}

function makeGroups(record: CgroupRecord, resources: Resources, h: Hierarchies): void {
  const made: string[] = [];
  try {
    if (record.version === 1) {
      makeV1(record, h, made);
      setV1(new Map(Object.entries(record.paths)), resources, true);
      return;
    }
    const folder = record.paths[UNIFIED] as string;
    try {
      made.push(...makeV2(mountOf(h, UNIFIED)?.mountpoint ?? folder, folder));
    } catch (e) {
      if (!record.rootless || !(e instanceof KnobError) || !PERMISSION.includes(e.code)) throw e;
      if (needsControllers(resources))
        throw new CliError(`rootless needs no limits + no cgrouppath when no permission is granted for cgroups: ${e.message}`);
      record.paths = {};
      return;
    }
    setV2(folder, resources);
  } catch (e) {
    removeFolders(made);
    throw e;
  }
}

/** The files that a process of the container writes its pid to. */
export function joinFiles(record: CgroupRecord | undefined, sub = ''): string[] {
  if (record === undefined) return [];
  const at = sub.indexOf(':');
  const controllers = at < 0 ? null : sub.slice(0, at).split(',');
  const below = cleanPath(at < 0 ? sub : sub.slice(at + 1)).replace(/^\/+/, '');
  return Object.entries(record.paths).map(([controller, folder]) => {
    const inner = controllers === null || controllers.includes(controller) ? below : '';
    return join(folder, inner, 'cgroup.procs');
  });
}

/** Sets other limits on the groups of a container. */
export async function setCgroup(record: CgroupRecord, resources: Resources): Promise<void> {
  if (record.unit !== undefined) {
    const { updateUnit } = await import('./systemd.ts');
    await updateUnit(record, resources);
  }
  if (record.version === 1) setV1(new Map(Object.entries(record.paths)), resources, false);
  else if (record.paths[UNIFIED] !== undefined) setV2(record.paths[UNIFIED], resources);
  else if (needsControllers(resources)) throw new CliError('cannot set limits: the container has no cgroup');
}

/** Removes the groups with all below them; members may take a moment to go. Throws when one stays. */
export async function removeCgroup(record: CgroupRecord | undefined): Promise<void> {
  if (record === undefined) return;
  if (record.unit !== undefined) {
    const { stopUnit } = await import('./systemd.ts');
    await stopUnit(record);
  }
  const until = Date.now() + REMOVE_MS;
  let left = Object.values(record.paths);
  for (let pause = 1; ; pause = Math.min(pause * 2, 100)) {
    const failed: [string, string][] = [];
    for (const folder of left) {
      const code = tryRemoveGroup(folder);
      if (code !== '') failed.push([folder, code]);
    }
    left = failed.map(([folder]) => folder);
    if (left.length === 0) return;
    // Read-only or not ours: it will not change. Only a group that is in use is worth waiting for.
    if (Date.now() > until || failed.every(([, code]) => code !== 'EBUSY')) {
      if (record.rootless) return;
      throw new CliError(`failed to remove cgroup ${failed.map(([folder, code]) => `${folder} (${code})`).join(', ')}`);
    }
    await new Promise((done) => setTimeout(done, pause));
  }
}

/** How often the kernel has killed a process of the groups because memory ran out; 0 where it cannot be known. */
export function oomKills(record: CgroupRecord | undefined): number {
  if (record === undefined) return 0;
  const text =
    record.version === 1
      ? tryKnob(record.paths.memory ?? '/-', 'memory.oom_control')
      : tryKnob(record.paths[UNIFIED] ?? '/-', 'memory.events');
  return Number(/^oom_kill (\d+)$/m.exec(text ?? '')?.[1] ?? '0');
}
