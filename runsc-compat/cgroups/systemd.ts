// The systemd driver: the container is a transient scope that systemd makes, in the slice that cgroupsPath names ("slice:prefix:name").
// systemd sets the limits that it knows, so that a reload does not take them back; all are written to the group as well.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { callerVariable } from '../host.ts';
import { CliError, messageOf } from '../errors.ts';
import { Bus, type Message, type Variant } from './dbus.ts';
import type { CgroupRecord } from './cgroup.ts';
import { cpuWeight, swapOnly } from './convert.ts';
import { folderOf, type Hierarchies, hostHierarchies, mountOf, UNIFIED } from './hierarchies.ts';
import { V1_CONTROLLERS } from './paths.ts';
import { hostPids, type Resources } from './resources.ts';

const SERVICE = 'org.freedesktop.systemd1';
const OBJECT = '/org/freedesktop/systemd1';
const MANAGER = 'org.freedesktop.systemd1.Manager';
const JOB_MS = 30_000;
const INFINITY = 2n ** 64n - 1n;
const DEFAULT_PERIOD_US = 100_000;
/** systemd counts quotas in steps of 1 %. */
const QUOTA_STEP_US = 10_000;

type Property = [string, Variant];

/** The scope and slice that a cgroupsPath means. */
export interface Unit {
  name: string;
  slice: string;
}

/** `fallback`: the slice where none is named. Throws for a path of another form. */
export function unitOf(cgroupsPath: string, id: string, fallback: string): Unit {
  if (cgroupsPath === '') return { name: `ringfence-${id}.scope`, slice: fallback };
  const parts = cgroupsPath.split(':');
  if (parts.length !== 3)
    throw new CliError(`expected cgroupsPath to be of format "slice:prefix:name" for systemd cgroups, got "${cgroupsPath}" instead`);
  const [slice, prefix, name] = parts as [string, string, string];
  const unit = name.endsWith('.slice') ? name : prefix === '' ? `${name}.scope` : `${prefix}-${name}.scope`;
  return { name: unit, slice: slice === '' ? fallback : slice };
}

/** The folders that a slice lies in: "a-b.slice" is "/a.slice/a-b.slice". */
export function expandSlice(slice: string): string {
  const suffix = '.slice';
  if (slice === '-.slice') return '/';
  const name = slice.slice(0, -suffix.length);
  if (!slice.endsWith(suffix) || name === '' || slice.includes('/')) throw new CliError(`invalid slice name: ${slice}`);
  let path = '';
  let prefix = '';
  for (const part of name.split('-')) {
    if (part === '') throw new CliError(`invalid slice name: ${slice}`);
    path += `/${prefix}${part}${suffix}`;
    prefix += `${part}-`;
  }
  return path;
}

/** Where systemd puts the scope, and where the groups of controllers that it does not look after are made beside it. */
export function unitFolders(h: Hierarchies, u: Unit): Map<string, string> {
  const inner = join(expandSlice(u.slice), u.name);
  const out = new Map<string, string>();
  for (const c of h.version === 2 ? [UNIFIED] : V1_CONTROLLERS) {
    const m = mountOf(h, c);
    if (m !== null) out.set(c, join(m.mountpoint, inner));
  }
  return out;
}

function t(name: string, n: number | bigint): Property {
  return [name, { type: 't', value: n }];
}

function yes(name: string): Property {
  return [name, { type: 'b', value: true }];
}

/** Limits as properties of a unit. */
export function limitProperties(r: Resources, version: 1 | 2): Property[] {
  const out: Property[] = [];
  const most = (n: number): number | bigint => (n < 0 ? INFINITY : n);
  const m = r.memory ?? {};
  const c = r.cpu ?? {};
  if ((m.limit ?? 0) !== 0) out.push(t(version === 1 ? 'MemoryLimit' : 'MemoryMax', most(m.limit as number)));
  if (version === 2) {
    if ((m.reservation ?? 0) !== 0) out.push(t('MemoryLow', most(m.reservation as number)));
    const swap = swapOnly(m.swap ?? 0, m.limit ?? 0);
    if (swap !== 0 || (m.swap ?? 0) > 0) out.push(t('MemorySwapMax', most(swap)));
  }
  const shares = c.shares ?? 0;
  if (shares !== 0) out.push(version === 1 ? t('CPUShares', shares) : t('CPUWeight', cpuWeight(shares)));
  const quota = c.quota ?? 0;
  if ((c.period ?? 0) !== 0) out.push(t('CPUQuotaPeriodUSec', c.period as number));
  if (quota !== 0) {
    const perSecond = Math.floor((quota * 1e6) / (c.period === undefined || c.period === 0 ? DEFAULT_PERIOD_US : c.period));
    out.push(t('CPUQuotaPerSecUSec', quota < 0 ? INFINITY : Math.ceil(perSecond / QUOTA_STEP_US) * QUOTA_STEP_US));
  }
  const pids = hostPids(r.pids?.limit ?? 0);
  if (pids !== 0) out.push(t('TasksMax', most(pids)));
  const weight = r.blockIO?.weight ?? 0;
  if (version === 1 && weight !== 0) out.push(t('BlockIOWeight', weight));
  return out;
}

/** The socket of a D-Bus address ("unix:path=/x,guid=..."). */
function socketOf(address: string | undefined): string | null {
  const m = /(?:^|;)unix:(?:[^;]*,)?path=([^,;]+)/.exec(address ?? '');
  return m === null ? null : decodeURIComponent(m[1] as string);
}

async function connect(rootless: boolean): Promise<Bus> {
  const runtime = callerVariable('XDG_RUNTIME_DIR');
  const bus = rootless
    ? (socketOf(callerVariable('DBUS_SESSION_BUS_ADDRESS')) ?? (runtime === undefined ? null : `${runtime}/bus`))
    : (socketOf(callerVariable('DBUS_SYSTEM_BUS_ADDRESS')) ?? '/run/dbus/system_bus_socket');
  try {
    if (bus === null) throw new Error('neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR is set');
    return await Bus.connect(bus, true);
  } catch (e) {
    throw new CliError(`cannot reach systemd by D-Bus: ${messageOf(e)}; without systemd use the cgroupfs driver`);
  }
}

/** Runs what makes systemd queue a job, and waits for its end. */
async function job(bus: Bus, member: string, signature: string, body: unknown[]): Promise<void> {
  const results = new Map<string, string>();
  let tell: () => void = () => {};
  bus.onMessage = (m: Message) => {
    if (m.member !== 'JobRemoved' || m.interface !== MANAGER) return;
    results.set(m.body[1] as string, m.body[3] as string);
    tell();
  };
  const rule = `type='signal',sender='${SERVICE}',interface='${MANAGER}',member='JobRemoved'`;
  await bus.call('org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus', 'AddMatch', 's', [rule]);
  await bus.call(SERVICE, OBJECT, MANAGER, 'Subscribe', '', []);
  const [path] = (await bus.call(SERVICE, OBJECT, MANAGER, member, signature, body)) as [string];
  const until = Date.now() + JOB_MS;
  while (!results.has(path)) {
    const left = until - Date.now();
    if (left <= 0) throw new CliError(`systemd does not finish ${member} of ${String(body[0])}`);
    await new Promise<void>((done) => {
      const timer = setTimeout(done, left);
      tell = () => {
        clearTimeout(timer);
        done();
      };
    });
  }
  const result = results.get(path);
  if (result !== 'done') throw new CliError(`systemd: ${member} of ${String(body[0])}: ${result}`);
}

/**
 * Has systemd make the scope. A scope needs a process from its beginning: it is this one, until the launcher has joined and what this
 * returns is called.
 */
export async function startUnit(u: Unit, id: string, r: Resources, version: 1 | 2, rootless: boolean): Promise<() => void> {
  const h = hostHierarchies();
  const properties: Property[] = [
    ['Description', { type: 's', value: `ringfence container ${id}` }],
    u.name.endsWith('.slice') ? ['Wants', { type: 'as', value: [u.slice] }] : ['Slice', { type: 's', value: u.slice }],
    ...(u.name.endsWith('.slice') ? [] : [yes('Delegate'), ['PIDs', { type: 'au', value: [process.pid] }] as Property]),
    yes('MemoryAccounting'),
    yes('CPUAccounting'),
    yes(version === 1 ? 'BlockIOAccounting' : 'IOAccounting'),
    yes('TasksAccounting'),
    ['DefaultDependencies', { type: 'b', value: false }],
    ...limitProperties(r, version),
  ];
  const leave = (): void => {
    for (const [controller, group] of h.own) {
      const m = mountOf(h, controller);
      if (m === null) continue;
      try {
        writeFileSync(join(folderOf(m, group), 'cgroup.procs'), String(process.pid));
      } catch {
        // we stay in the scope, until this command ends
      }
    }
  };
  const bus = await connect(rootless);
  try {
    await job(bus, 'StartTransientUnit', 'ssa(sv)a(sa(sv))', [u.name, 'replace', properties, []]);
  } catch (e) {
    leave();
    throw e;
  } finally {
    bus.close();
  }
  return leave;
}

/** Other limits for a scope that is there. */
export async function updateUnit(record: CgroupRecord, r: Resources): Promise<void> {
  const properties = limitProperties(r, record.version);
  if (record.unit === undefined || properties.length === 0) return;
  const bus = await connect(record.rootless);
  try {
    await bus.call(SERVICE, OBJECT, MANAGER, 'SetUnitProperties', 'sba(sv)', [record.unit, true, properties]);
  } finally {
    bus.close();
  }
}

/** Has systemd end the scope. One that is gone already is none to be ended. */
export async function stopUnit(record: CgroupRecord): Promise<void> {
  if (record.unit === undefined) return;
  const bus = await connect(record.rootless);
  try {
    await job(bus, 'StopUnit', 'ss', [record.unit, 'replace']);
  } catch (e) {
    if (!messageOf(e).includes('NoSuchUnit')) throw e;
  } finally {
    await bus.call(SERVICE, OBJECT, MANAGER, 'ResetFailedUnit', 's', [record.unit]).catch(() => undefined); // only a failed one has to be
    bus.close();
  }
}
