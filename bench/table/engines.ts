// What the table compares, as data: how each engine runs a command on the host's files, and containers from a bundle.

import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Where the benchmark keeps its things. */
export interface Places {
  /** The repository. */
  root: string;
  /** Programs that the harness compiled, and fixtures: below the repository, the same for all. */
  dist: string;
  /** States and bundles of this run, removed at its end. */
  work: string;
  /** Where the host's own rows write: in memory, as the sandboxes do. */
  nativeScratch: string;
}

export interface Engine {
  name: string;
  family: 'native' | 'runc' | 'runsc' | 'ringfence';
  /** Why it cannot run here; undefined if it can. */
  absent(p: Places): string | undefined;
  /** The command line that runs a command on the host's files, with writes kept in memory. */
  inside(p: Places, command: string[]): string[];
  /** Where such a command may write. */
  scratch(p: Places): string;
  /** The runtime's command line before an OCI command; undefined if there are no containers. */
  oci?(p: Places): string[];
}

/** The environment of everything that is measured. */
export const environment: Record<string, string> = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/tmp',
  LC_ALL: 'C',
};

const inTmp = (): string => '/tmp';

function missing(program: string, asRoot: boolean): string | undefined {
  const found = spawnSync(program, ['--version'], { stdio: 'ignore', timeout: 10_000 });
  if (found.error !== undefined) return `${program} is not installed (tools/bench-setup.sh installs it)`;
  if (found.status !== 0) return `${program} --version fails`;
  return asRoot && process.getuid?.() !== 0 ? `${program} needs root here` : undefined;
}

/** Why a command that does nothing does not even do that: its last line. */
function refusal(command: string[]): string | undefined {
  const r = spawnSync(command[0]!, command.slice(1), { encoding: 'utf8', env: environment, timeout: 30_000 });
  if (r.status === 0) return undefined;
  return r.stderr?.trim().split('\n').at(-1) || `${command.join(' ')} fails`;
}

const native: Engine = {
  name: 'native',
  family: 'native',
  absent: () => undefined,
  inside: (_, command) => command,
  scratch: (p) => p.nativeScratch,
};

const capabilities = ['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID', 'KILL', 'SETGID', 'SETUID'].map((c) => `CAP_${c}`);

/** What runc and the others are told of a container; `root` is relative to the bundle. */
export function config(args: string[], writable: boolean): object {
  const space = (type: string) => ({ type });
  return {
    ociVersion: '1.0.2',
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      args,
      env: Object.entries(environment).map(([k, v]) => `${k}=${v}`),
      cwd: '/',
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
    },
    root: { path: 'rootfs', readonly: !writable },
    hostname: 'bench',
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'] },
    ],
    linux: { namespaces: ['pid', 'network', 'ipc', 'uts', 'mount'].map(space) },
  };
}

let bundles = 0;

/** An overlay of / with its upper layer in a tmpfs, in a mount namespace of its own: what runc has to compare with `do`. */
function runcInside(p: Places, command: string[]): string[] {
  const id = `inside-${process.pid}-${bundles++}`;
  const bundle = join(p.work, id);
  for (const d of ['rootfs', 'memory']) mkdirSync(join(bundle, d), { recursive: true });
  writeFileSync(join(bundle, 'config.json'), JSON.stringify(config(command, true)));
  const script =
    'cd "$1" && mount -t tmpfs tmpfs memory && mkdir memory/upper memory/work && ' +
    'mount -t overlay -o lowerdir=/,upperdir=memory/upper,workdir=memory/work overlay rootfs && ' +
    'exec runc --root "$2" run --bundle "$1" "$3"';
  return ['unshare', '--mount', '--', 'sh', '-c', script, 'sh', bundle, join(p.work, 'runc'), id];
}

const runc: Engine = {
  name: 'runc',
  family: 'runc',
  absent: () => missing('runc', true),
  inside: runcInside,
  scratch: inTmp,
  oci: (p) => ['runc', '--root', join(p.work, 'runc')],
};

function runsc(platform: string): Engine {
  const flags = ['--network=none', '--ignore-cgroups', `--platform=${platform}`];
  return {
    name: `runsc ${platform}`,
    family: 'runsc',
    absent: () => missing('runsc', true),
    inside: (_, command) => ['runsc', ...flags, 'do', ...command],
    scratch: inTmp,
    oci: (p) => ['runsc', '--root', join(p.work, `runsc-${platform}`), ...flags],
  };
}

function ringfence(platform: string): Engine {
  const program = (p: Places): string[] => [join(p.root, 'bin/ringfence'), '--platform', platform];
  return {
    name: `ringfence ${platform}`,
    family: 'ringfence',
    absent: (p) => refusal([...program(p), 'do', '--', '/bin/true']),
    inside: (p, command) => [...program(p), 'do', '--', ...command],
    scratch: inTmp,
    oci: (p) => [...program(p), '--root', join(p.work, `ringfence-${platform}`)],
  };
}

/** All engines, in the order of the columns. The first of ringfence's is the default, which the goals are for. */
export const engines: readonly Engine[] = [native, runc, runsc('systrap'), runsc('ptrace'), ...['systrap', 'ptrace', 'kvm'].map(ringfence)];

/** The engine that ringfence's goals against gVisor name. */
export const RUNSC = 'runsc systrap';

/** ringfence's default engine. */
export const OURS: string = engines.find((e) => e.family === 'ringfence')!.name;
