// Parts of a process's description (ProcessConfig) that several commands need.

import * as capability from '../src/abi/capability.ts';
import * as resource from '../src/abi/resource.ts';
import type { ProcessConfig } from '../src/wire/boot.ts';
import { CliError } from './errors.ts';
import { host } from './host.ts';

export type CapabilityMask = [number, number];

const CAPABILITY_COUNT = capability.CAP_LAST_CAP + 1;
const RLIMITS = [
  'CPU',
  'FSIZE',
  'DATA',
  'STACK',
  'CORE',
  'RSS',
  'NPROC',
  'NOFILE',
  'MEMLOCK',
  'AS',
  'LOCKS',
  'SIGPENDING',
  'MSGQUEUE',
  'NICE',
  'RTPRIO',
  'RTTIME',
];

export function fullMask(): CapabilityMask {
  return [0xffffffff, 2 ** (CAPABILITY_COUNT - 32) - 1];
}

/** The mask of capabilities by name ('CAP_CHOWN', 'chown'). Unknown names are left out, as the runtime specification asks, and listed in `unknown`. */
export function maskOf(names: readonly string[], unknown?: string[]): CapabilityMask {
  const numbers = capability as unknown as Record<string, number>;
  const mask: CapabilityMask = [0, 0];
  for (const name of names) {
    const n = numbers[name.toUpperCase().replace(/^(CAP_)?/, 'CAP_')];
    if (n === undefined || n >= CAPABILITY_COUNT) unknown?.push(name);
    else if (n < 32) mask[0] = (mask[0] | (1 << n)) >>> 0;
    else mask[1] = (mask[1] | (1 << (n - 32))) >>> 0;
  }
  return mask;
}

/** All of root's capabilities, or none for an ordinary user (who may gain them from a file). */
export function capabilitiesFor(uid: number): ProcessConfig['capabilities'] {
  const full = fullMask();
  const held: CapabilityMask = uid === 0 ? full : [0, 0];
  return { bounding: full, effective: held, inheritable: [0, 0], permitted: held, ambient: [0, 0] };
}

/** The number of RLIMIT_NOFILE and the like; -1 when there is no such limit. */
export function rlimitType(name: string): number {
  const n = (resource as unknown as Record<string, number>)[name];
  return n !== undefined && RLIMITS.includes(name.replace(/^RLIMIT_/, '')) ? n : -1;
}

/** This process's own limits; RLIM_INFINITY is -1. `softNofile` is the soft limit of descriptors before node raised it. */
export function ownRlimits(): ProcessConfig['rlimits'] {
  const out = new Float64Array(2);
  const limits: ProcessConfig['rlimits'] = [];
  for (let type = 0; type < resource.RLIMIT_NLIMITS; type++) {
    if (host().getrlimit(type, out) < 0) continue;
    let soft = out[0] as number;
    const nofile = Number(process.env.RINGFENCE_NOFILE ?? 'NaN');
    if (type === resource.RLIMIT_NOFILE && Number.isSafeInteger(nofile)) soft = nofile;
    limits.push({ type, soft, hard: out[1] as number });
  }
  return limits;
}

/** UID[:GID] in numbers. */
export function parseUser(text: string): { uid: number; gid: number | undefined } {
  const m = /^(\d+)(?::(\d+))?$/.exec(text);
  if (m === null) throw new CliError(`--user takes UID[:GID] in numbers, not "${text}"`);
  return { uid: Number(m[1]), gid: m[2] === undefined ? undefined : Number(m[2]) };
}
