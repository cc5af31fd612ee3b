// The options that stand before the command, and what follows from them.

import { closeSync, lstatSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import type { PlatformName } from '../src/wire/boot.ts';
import { CliError, codeOf } from './errors.ts';
import { callerVariable } from './host.ts';
import { chooseEngine, type EngineParts } from './platforms.ts';

export interface GlobalOptions {
  root?: string;
  log?: string;
  logFormat?: string;
  debug?: boolean;
  debugLog?: string;
  strace?: boolean;
  jitless?: boolean;
  platform?: PlatformName | 'auto';
  platform_device_path?: string;
  platformOption?: string[];
  cpuMode?: string;
  network?: string;
  cgroupManager?: string;
  panicLog?: string;
  straceSyscalls?: string;
  overlay2?: string;
  overlay?: boolean;
  fileAccess?: string;
  fileAccessMounts?: string;
  systemdCgroup?: boolean;
  ignoreCgroups?: boolean;
  rootless?: string;
}

/** --rootless, checked. */
export function rootlessKind(text: string): string {
  if (text === 'true' || text === 'false' || text === 'auto') return text;
  throw new CliError(`--rootless takes true, false or auto, not "${text}"`);
}

/** Makes the check of an option that says who else changes a tree's files. */
export function fileAccess(option: string): (text: string) => string {
  return (text) => {
    if (text === 'shared' || text === 'exclusive') return text;
    throw new CliError(`${option} takes shared or exclusive, not "${text}"`);
  };
}

/** What of a container is kept in memory: nothing, its root, or its root and all bind mounts. */
export interface OverlayKind {
  root: boolean;
  mounts: boolean;
  /** Bytes that each may hold; null: as much as the sandbox has. */
  size: number | null;
}

const UNITS: Record<string, number> = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };

/** --overlay2 as runsc has it: none, or root|all : memory|self|dir=PATH [,size=N]. Wherever it says, writes stay in memory here. */
export function overlayKind(options: GlobalOptions): OverlayKind {
  const none = { root: false, mounts: false, size: null };
  const text = options.overlay2 ?? '';
  if (text === '') return options.overlay === true ? { root: true, mounts: true, size: null } : none;
  if (text === 'none') return none;
  const m = /^(root|all):(memory|self|dir=\/[^,]*)(?:,size=(\d+)([kmgt]?)b?)?$/i.exec(text);
  if (m === null) throw new CliError(`--overlay2 takes none, root:memory or all:memory (with ,size=BYTES), not "${text}"`);
  const size = m[3] === undefined ? null : Number(m[3]) * (UNITS[(m[4] as string).toLowerCase()] as number);
  return { root: true, mounts: m[1]?.toLowerCase() === 'all', size };
}

/** How a sandbox's engine is run. */
export interface EngineOptions {
  /** What is done with processors that nobody needs. */
  cpuMode: string;
  /** Call sites are rewritten, where the engine can. */
  patch: boolean;
  /** What traps system calls. */
  parts: EngineParts;
}

/** What --platform, --cpu-mode and --platform-option say. Throws one line if that engine cannot be used here; nothing was started then. */
export function engineOptions(options: GlobalOptions, status = 1): EngineOptions {
  let patch = true;
  for (const word of options.platformOption ?? []) {
    const m = /^patch=(on|off)$/.exec(word);
    if (m === null) throw new CliError(`unknown platform option "${word}": there is patch=on and patch=off`, status);
    patch = m[1] === 'on';
  }
  const parts = chooseEngine(options.platform ?? 'auto', options.platform_device_path ?? '', status);
  return { cpuMode: options.cpuMode ?? 'balanced', patch, parts };
}

export type Network = 'none' | 'host' | 'sandbox';

/** A folder where everybody may make one: it must be ours and closed to others. */
function ownFolder(path: string): string {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (e) {
    if (codeOf(e) !== 'EEXIST') throw new CliError(`cannot create ${path}: ${codeOf(e)} (--root names another place for states)`);
  }
  const st = lstatSync(path);
  if (st.isDirectory() && st.uid === process.geteuid?.() && (st.mode & 0o022) === 0) return path;
  throw new CliError(`${path} is not a folder that only you can write to: remove it, or name another place for states with --root`);
}

/** False in the host's own user namespace. */
export function inUserNamespace(): boolean {
  try {
    return !/^\s*0\s+0\s+4294967295\s*$/.test(readFileSync('/proc/self/uid_map', 'latin1'));
  } catch {
    return false;
  }
}

/** Where containers' states live: --root, or the default for this user. */
export function stateRoot(options: GlobalOptions): string {
  if (options.root !== undefined && options.root !== '') return options.root;
  const runtimeDir = callerVariable('XDG_RUNTIME_DIR');
  // As runc: root of a user namespace is an ordinary user's client, unless the environment says that he is root.
  const ordinary = process.geteuid?.() !== 0 || (inUserNamespace() && callerVariable('USER') !== 'root');
  if (ordinary && runtimeDir !== undefined && runtimeDir !== '') return `${runtimeDir}/ringfence`;
  if (process.geteuid?.() !== 0) return ownFolder(`/tmp/ringfence-${process.geteuid?.() ?? 0}`);
  return '/run/ringfence';
}

/** Descriptors of the log files of a sandbox; -1: none. */
export interface LogFds {
  log: number;
  strace: number;
  /** Names of the calls that are logged; none: all. */
  only: string[];
}

/** The path of a log, where %ID%, %CID%, %COMMAND% and %TIMESTAMP% are replaced. */
export function namedPath(path: string, id: string, command: string): string {
  const now = new Date().toISOString().replace(/[-:]/g, '').replace('T', '-').replace('Z', '');
  return path.replaceAll('%ID%', id).replaceAll('%CID%', id).replaceAll('%COMMAND%', command).replaceAll('%TIMESTAMP%', now);
}

/** Opens --debug-log (`%ID%` and `%COMMAND%` are replaced; a folder gets one file a container). Without it, --debug and --strace go to `fallback`. */
export function openLogs(options: GlobalOptions, id: string, command: string, fallback: number): LogFds {
  let fd = -1;
  if (options.debugLog !== undefined && options.debugLog !== '') {
    let path = namedPath(options.debugLog, id, command);
    if (path.endsWith('/')) path += `ringfence.${id}.${command}.log`;
    fd = openSync(path, 'a', 0o644);
  } else if (options.debug === true || options.strace === true) {
    fd = fallback;
  }
  const only = (options.straceSyscalls ?? '').split(',').filter((name) => name !== '');
  return { log: options.debug === true || options.debugLog !== undefined ? fd : -1, strace: options.strace === true ? fd : -1, only };
}

/** Lines of the log of a sandbox. They never go to --log, which holds what a command failed with and nothing else. */
export function writeWarnings(fd: number, lines: readonly string[]): void {
  if (fd < 0) return;
  for (const msg of lines) writeSync(fd, `${JSON.stringify({ level: 'warning', msg, time: new Date().toISOString() })}\n`);
}

/** As writeWarnings(), by a command that has no log open. */
export function noteWarnings(options: GlobalOptions, id: string, command: string, lines: readonly string[]): void {
  if (lines.length === 0) return;
  const { log } = openLogs(options, id, command, -1);
  writeWarnings(log, lines);
  if (log >= 0) closeSync(log);
}

/** Network kind from an option, checked; sandbox unless told. `exitCode`: of the failure. */
export function networkKind(text: string | undefined, exitCode: number = 1): Network {
  if (text === undefined || text === '') return 'sandbox';
  if (text === 'none' || text === 'sandbox') return text;
  const host = "the host's network cannot be given to a sandbox yet; none and sandbox are a loopback of its own";
  throw new CliError(text === 'host' ? `--network host: ${host}` : `--network takes none, host or sandbox, not "${text}"`, exitCode);
}
