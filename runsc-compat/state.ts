// A container's state below --root: one folder a container, written so that a crash of any command leaves something that can be read.
//
//   STATE/ID/state.json    replaced as a whole (rename), see State
//   STATE/ID/config.json   the checked configuration as it was at create
//   STATE/ID/control.sock  the Sentry's control socket
//   STATE/ID/exit          the wait(2) status of the first process, written by the stand-in at its end
//   STATE/ID/crash.log     standard error of the Sentry and the Gofer
//   STATE/ID/lock          held (flock) by a command that changes the container

import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import type { NamespaceWords, PlatformName } from '../src/wire/boot.ts';
import type { CgroupRecord } from './cgroups/cgroup.ts';
import { CliError, codeOf } from './errors.ts';
import { host } from './host.ts';
import type { Spec } from './spec/types.ts';

const LOCK_EX = 2;
const STATE_VERSION = 1;
/** Of the flags in /proc/PID/stat: the process is on its way out (linux/sched.h). */
const PF_EXITING = 4;

export type Status = 'creating' | 'created' | 'running' | 'paused' | 'stopped';

export interface State {
  version: number;
  id: string;
  ociVersion: string;
  /** What the last command left it in; `statusOf` knows whether that still holds. */
  status: Status;
  /** The stand-in, and its start time in clock ticks after boot: a pid alone may be somebody else's by now. */
  pid: number;
  pidStart: number;
  /** The command that creates it, while it does. */
  creator: number;
  creatorStart: number;
  bundle: string;
  rootfs: string;
  created: string;
  owner: string;
  annotations: Record<string, string>;
  /** The container whose sandbox it is in; absent: it has one of its own. */
  sandbox?: string;
  /** By which words the Sentry knows its namespaces. */
  namespaces?: NamespaceWords;
  /** What traps its system calls. */
  platform?: PlatformName | undefined;
  /** Its groups; absent: it has none. */
  cgroups?: CgroupRecord;
}

/** A container as `state` and hooks show it. */
export interface OciState {
  ociVersion: string;
  id: string;
  status: Status;
  pid?: number;
  bundle: string;
  rootfs?: string;
  created?: string;
  owner?: string;
  annotations?: Record<string, string>;
}

/**
 * The first process of a pid namespace, once dead, stays until everybody of the namespace is reaped: also those whose parents are outside and
 * take their time. Nothing runs any more when it is ending and has no child that lives.
 */
function hasLivingChild(pid: number): boolean {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').split(' ');
  return children.some((c) => c !== '' && processStart(Number(c)) !== 0);
}

/** Start time of a living process in clock ticks, 0 when there is none (or only a zombie). */
export function processStart(pid: number): number {
  if (pid <= 0) return 0;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const f = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (f[0] === 'Z' || f[0] === 'X' || (Number(f[6]) & PF_EXITING && !hasLivingChild(pid))) return 0;
    return Number(f[19]);
  } catch {
    return 0;
  }
}

export function checkId(id: string): void {
  if (!/^[\w+.-]+$/.test(id) || id === '.' || id === '..') {
    throw new CliError(`invalid container ID format: "${id}" (allowed are letters, digits, _ + - .)`);
  }
}

/** The containers below one --root. */
export class StateRoot {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  folder(id: string): string {
    return join(this.path, id);
  }

  /** What there is of a container, if there is one. */
  at(id: string): ContainerState {
    return new ContainerState(this.folder(id));
  }

  /** Takes the name for a new container. Throws when it is taken; what has the name is not touched. */
  claim(id: string): ContainerState {
    checkId(id);
    try {
      mkdirSync(this.path, { recursive: true, mode: 0o711 });
      mkdirSync(this.folder(id), { mode: 0o711 });
    } catch (e) {
      if (codeOf(e) === 'EEXIST') throw new CliError(`container with given ID already exists: ${id}`);
      throw new CliError(`cannot create ${this.folder(id)}: ${codeOf(e)} (--root names another place for states)`);
    }
    return this.at(id);
  }

  /** An existing container. */
  open(id: string): ContainerState {
    checkId(id);
    const c = this.at(id);
    if (!c.exists()) throw new CliError(`container does not exist: ${id}`);
    return c;
  }

  ids(): string[] {
    try {
      return readdirSync(this.path, { withFileTypes: true })
        .filter((e) => e.isDirectory())
        .map((e) => e.name)
        .sort();
    } catch (e) {
      if (codeOf(e) === 'ENOENT') return [];
      throw new CliError(`cannot read ${this.path}: ${codeOf(e)}`);
    }
  }
}

export class ContainerState {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  file(name: string): string {
    return join(this.folder, name);
  }

  /** The folder with the control socket of its Sentry. */
  get controlFolder(): string {
    const sandbox = this.read()?.sandbox;
    return sandbox === undefined ? this.folder : join(dirname(this.folder), sandbox);
  }

  exists(): boolean {
    const fd = tryOpen(this.folder);
    if (fd < 0) return false;
    closeSync(fd);
    return true;
  }

  /** The state, or null where a create was cut off before it had one. */
  read(): State | null {
    try {
      return JSON.parse(readFileSync(this.file('state.json'), 'utf8')) as State;
    } catch (e) {
      if (codeOf(e) === 'ENOENT' || e instanceof SyntaxError) return null;
      throw new CliError(`cannot read ${this.file('state.json')}: ${codeOf(e)}`);
    }
  }

  /** The state of a container that was made whole. */
  load(): State {
    const s = this.read();
    if (s === null) throw new CliError(`container ${this.folder} was never finished: \`ringfence delete --force\` clears it`);
    return s;
  }

  write(state: State): void {
    writeWhole(this.file('state.json'), `${JSON.stringify(state)}\n`);
  }

  spec(): Spec {
    return JSON.parse(readFileSync(this.file('config.json'), 'utf8')) as Spec;
  }

  saveSpec(spec: Spec): void {
    writeWhole(this.file('config.json'), `${JSON.stringify(spec)}\n`);
  }

  /** What it is in now: a stand-in that is gone means stopped, whatever the file says. */
  statusOf(s: State): Status {
    if (s.status === 'creating' && s.pid <= 0)
      return processStart(s.creator) === s.creatorStart && s.creatorStart !== 0 ? 'creating' : 'stopped';
    return this.alive(s) ? s.status : 'stopped';
  }

  alive(s: State): boolean {
    const start = processStart(s.pid);
    return start !== 0 && start === s.pidStart;
  }

  /** The exit status as a shell has it; 137 where the stand-in could not write one. */
  exitCode(): number {
    try {
      const status = Number.parseInt(readFileSync(this.file('exit'), 'utf8'), 10);
      if (Number.isNaN(status)) return 137;
      return (status & 0x7f) === 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f);
    } catch {
      return 137;
    }
  }

  oci(s: State): OciState {
    const status = this.statusOf(s);
    return {
      ociVersion: s.ociVersion,
      id: s.id,
      status,
      pid: status === 'stopped' ? 0 : s.pid,
      bundle: s.bundle,
      rootfs: s.rootfs,
      created: s.created,
      owner: s.owner,
      annotations: s.annotations,
    };
  }

  /** Runs `f` while no other command changes the container. */
  async locked<T>(f: () => Promise<T>): Promise<T> {
    let fd: number;
    try {
      fd = openSync(this.file('lock'), 'w', 0o600);
    } catch (e) {
      if (codeOf(e) === 'ENOENT') throw new CliError(`container does not exist: ${this.folder}`);
      throw new CliError(`cannot lock ${this.folder}: ${codeOf(e)}`);
    }
    try {
      host().flock(fd, LOCK_EX);
      return await f();
    } finally {
      closeSync(fd);
    }
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function tryOpen(folder: string): number {
  try {
    return openSync(folder, 'r');
  } catch {
    return -1;
  }
}

/** Writes a file whole or not at all. */
export function writeWhole(path: string, text: string, mode: number = 0o600): void {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    writeFileSync(temporary, text, { mode });
    renameSync(temporary, path);
  } catch (e) {
    rmSync(temporary, { force: true });
    throw new CliError(`cannot write ${path}: ${codeOf(e)}`);
  }
}

/** A first state: the name is taken, nothing runs yet. */
export function newState(id: string, spec: Spec, bundle: string, rootfs: string): State {
  return {
    version: STATE_VERSION,
    id,
    ociVersion: spec.ociVersion,
    status: 'creating',
    pid: 0,
    pidStart: 0,
    creator: process.pid,
    creatorStart: processStart(process.pid),
    bundle,
    rootfs,
    created: new Date().toISOString(),
    owner: ownerName(),
    annotations: spec.annotations ?? {},
  };
}

function ownerName(): string {
  if (process.geteuid?.() === 0) return 'root';
  try {
    return userInfo().username;
  } catch {
    return String(process.geteuid?.() ?? '');
  }
}
