// From config.json to what the Sentry, the Gofer and the launcher are told.

import { realpathSync, statSync } from 'node:fs';
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { latin1Decode } from '../../src/base/bytes.ts';
import { hostPath } from '../../src/host/paths.ts';
import type { ContainerConfig, MountConfig, ProcessConfig } from '../../src/wire/boot.ts';
import { CliError, codeOf } from '../errors.ts';
import { host } from '../host.ts';
import type { AttachSource } from '../launch.ts';
import { checkLinux, schedulingOf, sysctlName } from './linux.ts';
import { checkOptions, fileSystemOptions, mountFlags } from './mountoptions.ts';
import { maskOf, rlimitType } from '../process.ts';
import { checkLabels } from './labels.ts';
import { convertSeccomp } from './seccomp.ts';
import type { Device, Linux, Mount, Process, Spec } from './types.ts';

const RLIM_INFINITY = 2 ** 64;
const DEFAULT_UMASK = 0o022;
const DEFAULT_DEVICE_MODE = 0o666;
const TYPES: Record<string, MountConfig['type']> = {
  tmpfs: 'tmpfs',
  proc: 'proc',
  sysfs: 'sysfs',
  devpts: 'devpts',
  mqueue: 'mqueue',
  cgroup: 'cgroup',
  cgroup2: 'cgroup2',
  devtmpfs: 'devtmpfs',
};

export interface Converted {
  container: ContainerConfig;
  attach: AttachSource[];
  /** The container's root on the host. */
  rootfs: string;
  /** What is left out, for the log. */
  notes: string[];
}

function rlimitsOf(p: Process, file: string): ProcessConfig['rlimits'] {
  const seen = new Set<number>();
  return (p.rlimits ?? []).map((r, i) => {
    const type = rlimitType(r.type);
    if (type < 0) throw new CliError(`${file}: /process/rlimits/${i}/type is "${r.type}", which is no resource limit of Linux`);
    if (seen.has(type)) throw new CliError(`${file}: /process/rlimits/${i}/type is "${r.type}" a second time`);
    if (r.soft > r.hard) throw new CliError(`${file}: /process/rlimits/${i}/soft is ${r.soft}, allowed is a number <= hard, ${r.hard}`);
    seen.add(type);
    const limit = (v: number): number => (v >= RLIM_INFINITY ? -1 : v);
    return { type, soft: limit(r.soft), hard: limit(r.hard) };
  });
}

/** The process as the Sentry starts it. `file` and pointers name where a wrong value stands. */
export function convertProcess(p: Process, file: string, note: (line: string) => void = () => undefined): ProcessConfig {
  if (p.args === undefined || p.args.length === 0) throw new CliError(`${file}: /process/args is empty, args must not be empty`);
  const caps = p.capabilities ?? {};
  const unknown: string[] = [];
  const u = p.user ?? {};
  if (!p.cwd.startsWith('/')) throw new CliError(`${file}: /process/cwd is "${p.cwd}", Cwd must be an absolute path`);
  const capabilities = {
    bounding: maskOf(caps.bounding ?? [], unknown),
    effective: maskOf(caps.effective ?? [], unknown),
    inheritable: maskOf(caps.inheritable ?? [], unknown),
    permitted: maskOf(caps.permitted ?? [], unknown),
    ambient: maskOf(caps.ambient ?? [], unknown),
  };
  // Left out with a warning, as the specification asks.
  if (unknown.length > 0) note(`${file}: /process/capabilities: unknown ${[...new Set(unknown)].join(', ')}`);
  return {
    args: p.args.map(hostPath),
    env: (p.env ?? []).map(hostPath),
    cwd: hostPath(p.cwd),
    uid: u.uid ?? 0,
    gid: u.gid ?? 0,
    additionalGids: u.additionalGids ?? [],
    umask: u.umask ?? DEFAULT_UMASK,
    capabilities,
    noNewPrivileges: p.noNewPrivileges ?? false,
    rlimits: rlimitsOf(p, file),
    oomScoreAdj: p.oomScoreAdj ?? 0,
    terminal: p.terminal ?? false,
    ...schedulingOf(p, file),
    consoleSize: p.consoleSize === undefined ? null : { rows: p.consoleSize.height, cols: p.consoleSize.width },
  };
}

/** convertProcess() with what confines the container's processes. */
export function confinedProcess(p: Process, linux: Linux, file: string, note: (line: string) => void): ProcessConfig {
  checkLabels(p, linux, note);
  const config = convertProcess(p, file, note);
  const seccomp = convertSeccomp(linux.seccomp, file, note);
  if (seccomp !== undefined) config.seccomp = seccomp;
  return config;
}

function convertMount(
  m: Mount,
  i: number,
  bundle: string,
  file: string,
  attach: AttachSource[],
  note: (line: string) => void,
): MountConfig {
  const options = mountFlags(m.options ?? []);
  const bind = m.type === 'bind' || options.includes('bind') || options.includes('rbind');
  if (options.some((o) => o === 'shared' || o === 'rshared')) {
    note(`${file}: /mounts/${i}/options: mounts that the container makes are not seen outside of it`);
  }
  const last = (on: string, off: string): boolean => options.lastIndexOf(on) > options.lastIndexOf(off);
  const mount: MountConfig = {
    destination: hostPath(m.destination.startsWith('/') ? m.destination : `/${m.destination}`),
    type: 'bind',
    source: hostPath(m.source ?? m.type ?? ''),
    attach: -1,
    readonly: last('ro', 'rw'),
    nosuid: last('nosuid', 'suid'),
    nodev: last('nodev', 'dev'),
    noexec: last('noexec', 'exec'),
    options: fileSystemOptions(options).map(hostPath),
  };
  if (bind) {
    if (m.source === undefined) throw new CliError(`${file}: /mounts/${i}/source is missing, a bind mount needs one`);
    let source: string;
    try {
      source = realpathSync(resolve(bundle, m.source));
    } catch (e) {
      throw new CliError(
        `${file}: /mounts/${i}/source is "${m.source}": ${codeOf(e) === 'ENOENT' ? 'no such file or directory' : codeOf(e)}`,
      );
    }
    attach.push({ source, readonly: mount.readonly, recursive: options.includes('rbind') });
    mount.attach = attach.length - 1;
    return mount;
  }
  const type = TYPES[m.type ?? ''];
  if (type === undefined) {
    throw new CliError(`${file}: /mounts/${i}/type is "${m.type ?? ''}", allowed are bind, ${Object.keys(TYPES).join(', ')}`);
  }
  checkOptions(mount.options, type, `${file}: /mounts/${i}/options`);
  // A tmpfs on /dev is a folder of devices: the Sentry fills it with those that every container has.
  mount.type = type === 'tmpfs' && mount.destination === '/dev' ? 'devtmpfs' : type;
  return mount;
}

function convertDevice(d: Device, where: string): ContainerConfig['devices'][number] {
  if (!d.path.startsWith('/')) throw new CliError(`${where}/path is "${d.path}", allowed is an absolute path`);
  for (const n of ['major', 'minor'] as const) {
    if (d.type !== 'p' && d[n] === undefined) throw new CliError(`${where}/${n} is missing, only a FIFO has none`);
  }
  return {
    path: hostPath(d.path),
    type: d.type,
    major: d.major ?? 0,
    minor: d.minor ?? 0,
    mode: (d.fileMode ?? DEFAULT_DEVICE_MODE) & 0o7777,
    uid: d.uid ?? 0,
    gid: d.gid ?? 0,
  };
}

function latin1Record(r: Record<string, string> | undefined): Record<string, string> {
  const out: Record<string, string> = {};
  for (const [k, v] of Object.entries(r ?? {})) out[hostPath(k)] = hostPath(v);
  return out;
}

/** The host name of a container that is given none: that of its UTS namespace. */
function nameOf(spec: Spec): string {
  const path = spec.linux?.namespaces?.find((n) => n.type === 'uts')?.path;
  const name = new Uint8Array(64);
  // What cannot be looked at fails where it is joined, and tells why there.
  const n = path === undefined || path === '' ? -1 : host().hostNameOf(path, name);
  return n < 0 ? hostPath(hostname()) : latin1Decode(name, 0, n);
}

/** Everything that a new container is made of. */
export function convertSpec(spec: Spec, id: string, bundle: string): Converted {
  const file = `${bundle}/config.json`;
  if (spec.process === undefined) throw new CliError(`${file}: /process is missing, process property must not be empty`);
  checkLinux(spec, file);
  if (spec.root === undefined) throw new CliError(`${file}: /root is missing`);
  const rootfs = resolve(bundle, spec.root.path);
  let real: string;
  try {
    real = realpathSync(rootfs);
  } catch (e) {
    const why = codeOf(e) === 'ENOENT' ? 'no such file or directory' : codeOf(e);
    throw new CliError(`${file}: /root/path is "${spec.root.path}": ${why}`);
  }
  if (!statSync(real).isDirectory()) throw new CliError(`${file}: /root/path is "${spec.root.path}", allowed is a folder`);
  const attach: AttachSource[] = [{ source: real, readonly: spec.root.readonly ?? false, recursive: true }];
  const linux = spec.linux ?? {};
  const notes: string[] = [];
  const note = (line: string): number => notes.push(line);
  const mounts = (spec.mounts ?? []).map((m, i) => convertMount(m, i, bundle, file, attach, note));
  return {
    rootfs: real,
    notes,
    attach,
    container: {
      id,
      hostname: spec.hostname === undefined ? nameOf(spec) : hostPath(spec.hostname),
      domainname: hostPath(spec.domainname ?? ''),
      rootReadonly: spec.root.readonly ?? false,
      overlay: false,
      mounts,
      maskedPaths: (linux.maskedPaths ?? []).map(hostPath),
      readonlyPaths: (linux.readonlyPaths ?? []).map(hostPath),
      sysctl: latin1Record(Object.fromEntries(Object.entries(linux.sysctl ?? {}).map(([k, v]) => [sysctlName(k).dotted, v]))),
      devices: (linux.devices ?? []).map((d, i) => convertDevice(d, `${file}: /linux/devices/${i}`)),
      annotations: latin1Record(spec.annotations),
      process: confinedProcess(spec.process, linux, file, note),
    },
  };
}
