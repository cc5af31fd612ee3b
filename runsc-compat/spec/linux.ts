// Rules for /linux of config.json that the schema cannot say: which namespaces are there, and which sysctls belong to one of them.

import { existsSync } from 'node:fs';
import { CliError } from '../errors.ts';
import type { Spec } from './types.ts';

/** Sysctls of an IPC namespace (namespaces(7), ipc_namespaces(7)); those of mqueue begin with fs.mqueue. */
const OF_IPC = new Set(['msgmax', 'msgmnb', 'msgmni', 'sem', 'shmall', 'shmmax', 'shmmni', 'shm_rmid_forced'].map((n) => `kernel.${n}`));
const ROOTFS_PROPAGATION = new Set(['', 'private', 'rprivate', 'slave', 'rslave', 'shared', 'rshared', 'unbindable', 'runbindable']);

/** A sysctl's name with dots, and the file that stands for it. Slashes may separate the parts, where one has dots (sysctl(8)). */
export function sysctlName(name: string): { dotted: string; path: string } {
  const slash = name.search(/[./]/) >= 0 && name[name.search(/[./]/)] === '/';
  const parts = name.split(slash ? '/' : '.');
  return { dotted: parts.join('.'), path: parts.join('/') };
}

/** True when the host's kernel knows the name. Names of interfaces are those of the container. */
function known(path: string): boolean {
  return existsSync(`/proc/sys/${path.replace(/^(net\/ipv[46]\/(?:conf|neigh))\/[^/]+\//, '$1/default/')}`);
}

function checkSysctl(name: string, spec: Spec, has: (type: string) => boolean, where: string): void {
  const { dotted, path } = sysctlName(name);
  const wrong = (why: string): never => {
    throw new CliError(`${where}: sysctl "${name}" ${why}`);
  };
  const needs = (type: string, words: string): void => {
    if (!has(type)) wrong(`is not allowed without ${words} of its own`);
  };
  if (OF_IPC.has(dotted) || dotted.startsWith('fs.mqueue.')) needs('ipc', 'an ipc namespace');
  else if (dotted.startsWith('net.')) needs('network', 'a network namespace');
  else if (dotted === 'kernel.domainname') needs('uts', 'a uts namespace');
  else if (dotted === 'kernel.hostname') {
    needs('uts', 'a uts namespace');
    if (spec.hostname !== undefined) wrong('conflicts with /hostname');
  } else wrong('is not in a separate kernel namespace');
  if (dotted !== 'kernel.domainname' && dotted !== 'kernel.hostname' && !known(path))
    wrong(`: /proc/sys/${path}: no such file or directory`);
}

/** Throws one line for what contradicts itself. `file`: what the message begins with. */
export function checkLinux(spec: Spec, file: string): void {
  const linux = spec.linux ?? {};
  const namespaces = linux.namespaces ?? [];
  const types = namespaces.map((n) => n.type);
  const again = types.findIndex((t, i) => types.indexOf(t) !== i);
  if (again >= 0) throw new CliError(`${file}: /linux/namespaces/${again}/type is "${types[again]}" a second time`);
  const has = (type: string): boolean => types.includes(type);
  for (const field of ['hostname', 'domainname'] as const) {
    if (spec[field] !== undefined && spec[field] !== '' && !has('uts'))
      throw new CliError(`${file}: /${field} is "${spec[field]}", unable to set it without a private UTS namespace`);
  }
  for (const name of Object.keys(linux.sysctl ?? {})) checkSysctl(name, spec, has, `${file}: /linux/sysctl`);
  if (!ROOTFS_PROPAGATION.has(linux.rootfsPropagation ?? ''))
    throw new CliError(`${file}: /linux/rootfsPropagation is "${linux.rootfsPropagation}", allowed are shared, slave, private, unbindable`);
}
