// Rules for /linux of config.json that the schema cannot say: which namespaces are there, and which sysctls belong to one of them.

import { existsSync } from 'node:fs';
import { CliError } from '../errors.ts';
import type { ProcessConfig } from '../../src/wire/boot.ts';
import type { Process, Spec } from './types.ts';

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

const POLICIES: Record<string, number> = { SCHED_OTHER: 0, SCHED_FIFO: 1, SCHED_RR: 2, SCHED_BATCH: 3, SCHED_IDLE: 5 };
const IO_CLASSES: Record<string, number> = { IOPRIO_CLASS_RT: 1, IOPRIO_CLASS_BE: 2, IOPRIO_CLASS_IDLE: 3 };
const IOPRIO_SHIFT = 13;
const IO_LEVELS = 8;
const RT_PRIORITY_MAX = 99;

/** /process/scheduler and /process/ioPriority (sched_setattr(2), ioprio_set(2)). */
export function schedulingOf(p: Process, file: string): Pick<ProcessConfig, 'scheduler' | 'ioPriority'> {
  const out: Pick<ProcessConfig, 'scheduler' | 'ioPriority'> = {};
  const wrong = (where: string, value: unknown, allowed: string): never => {
    throw new CliError(`${file}: /process/${where} is ${JSON.stringify(value)}, allowed ${allowed}`);
  };
  const s = p.scheduler;
  if (s !== undefined) {
    const policy = POLICIES[s.policy] ?? wrong('scheduler/policy', s.policy, `are ${Object.keys(POLICIES).join(', ')}`);
    const realtime = policy === POLICIES.SCHED_FIFO || policy === POLICIES.SCHED_RR;
    const [nice, priority] = [s.nice ?? 0, s.priority ?? 0];
    if (nice < -20 || nice > 19) wrong('scheduler/nice', nice, 'is a number from -20 to 19');
    if (realtime ? priority < 1 || priority > RT_PRIORITY_MAX : priority !== 0)
      wrong('scheduler/priority', priority, realtime ? 'is a number from 1 to 99' : `is 0 with ${s.policy}`);
    const other = (s.flags ?? []).find((f) => f !== 'SCHED_FLAG_RESET_ON_FORK');
    if (other !== undefined) wrong('scheduler/flags', other, 'is SCHED_FLAG_RESET_ON_FORK');
    out.scheduler = { policy, nice, priority, resetOnFork: (s.flags ?? []).length > 0 };
  }
  const io = p.ioPriority;
  if (io !== undefined) {
    const level = io.priority ?? 0;
    const known = IO_CLASSES[io.class ?? ''] ?? wrong('ioPriority/class', io.class ?? '', `are ${Object.keys(IO_CLASSES).join(', ')}`);
    if (level < 0 || level >= IO_LEVELS) wrong('ioPriority/priority', level, 'is a number from 0 to 7');
    out.ioPriority = (known << IOPRIO_SHIFT) | level;
  }
  return out;
}

/** Fields that the sandbox has nothing for: leaving them out would run the container under other rules than those asked for. */
function refuse(spec: Spec, file: string): void {
  const linux = spec.linux ?? {};
  const no = (where: string, why: string): never => {
    throw new CliError(`${file}: ${where} cannot be honoured: ${why}`);
  };
  if (linux.intelRdt !== undefined) no('/linux/intelRdt', 'the sandbox joins no groups of Intel RDT');
  if (Object.keys(linux.timeOffsets ?? {}).length > 0) no('/linux/timeOffsets', 'the sandbox has no time namespaces');
  const time = (linux.namespaces ?? []).findIndex((n) => n.type === 'time');
  if (time >= 0) no(`/linux/namespaces/${time}`, 'the sandbox has no time namespaces');
  const domain = linux.personality?.domain ?? 'LINUX';
  if (domain !== 'LINUX') no('/linux/personality/domain', `${domain} is not run`);
  if ((linux.personality?.flags ?? []).length > 0) no('/linux/personality/flags', 'there are none');
  if (spec.process?.execCPUAffinity !== undefined) no('/process/execCPUAffinity', 'processors are not chosen for single processes');
}

/** Throws one line for what contradicts itself. `file`: what the message begins with. */
export function checkLinux(spec: Spec, file: string): void {
  refuse(spec, file);
  const linux = spec.linux ?? {};
  const namespaces = linux.namespaces ?? [];
  const types = namespaces.map((n) => n.type);
  const again = types.findIndex((t, i) => types.indexOf(t) !== i);
  if (again >= 0) throw new CliError(`${file}: /linux/namespaces/${again}/type is "${types[again]}" a second time`);
  const relative = namespaces.findIndex((n) => n.path !== undefined && n.path !== '' && !n.path.startsWith('/'));
  if (relative >= 0)
    throw new CliError(`${file}: /linux/namespaces/${relative}/path is "${namespaces[relative]?.path}", allowed is an absolute path`);
  const has = (type: string): boolean => types.includes(type);
  for (const field of ['hostname', 'domainname'] as const) {
    if (spec[field] !== undefined && spec[field] !== '' && !has('uts'))
      throw new CliError(`${file}: /${field} is "${spec[field]}", unable to set it without a private UTS namespace`);
  }
  for (const name of Object.keys(linux.sysctl ?? {})) checkSysctl(name, spec, has, `${file}: /linux/sysctl`);
  if (!ROOTFS_PROPAGATION.has(linux.rootfsPropagation ?? ''))
    throw new CliError(`${file}: /linux/rootfsPropagation is "${linux.rootfsPropagation}", allowed are shared, slave, private, unbindable`);
}
