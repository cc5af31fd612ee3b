// The runtimes that the same assertions are made on: runc and crun, as the oracle, and ringfence.

import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, linkSync, mkdirSync, mkdtempSync, readdirSync, rmdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Spec } from '../../../runsc-compat/spec/types.ts';
import { type Result, ringfence } from '../support.ts';
import { type CommandOptions, Reaper } from './reaper.ts';

export type RuntimeName = 'runc' | 'crun' | 'ringfence';
export const RUNTIMES: RuntimeName[] = ['runc', 'crun', 'ringfence'];

/** Command words that a runtime is called with, before its own arguments. */
function commandOf(name: RuntimeName): string[] {
  if (name === 'ringfence') return [ringfence];
  if (name === 'runc') return ['/usr/sbin/runc'];
  // crun wants no v2 hierarchy beside v1 controllers: it gets a mount namespace without one.
  if (!existsSync('/sys/fs/cgroup/unified')) return ['/usr/bin/crun'];
  const script = 'umount /sys/fs/cgroup/unified; exec /usr/bin/crun "$@"';
  return ['/usr/bin/unshare', '-m', '--propagation', 'slave', '/bin/sh', '-c', script, 'crun'];
}

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const CAPABILITIES = ['CAP_AUDIT_WRITE', 'CAP_KILL', 'CAP_NET_BIND_SERVICE', 'CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_SETUID', 'CAP_SETGID'];

export type TestSpec = Spec & {
  linux: NonNullable<Spec['linux']>;
  process: NonNullable<Spec['process']>;
  mounts: NonNullable<Spec['mounts']>;
};

/** A configuration that every runtime takes. */
export function baseSpec(args: string[]): TestSpec {
  return {
    ociVersion: '1.0.2',
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      args,
      env: [`PATH=${PATH}`, 'TERM=xterm'],
      cwd: '/',
      capabilities: { bounding: CAPABILITIES, effective: CAPABILITIES, permitted: CAPABILITIES },
      noNewPrivileges: true,
    },
    root: { path: 'rootfs', readonly: false },
    hostname: 'box',
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'] },
      {
        destination: '/dev/pts',
        type: 'devpts',
        source: 'devpts',
        options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
      },
      { destination: '/dev/shm', type: 'tmpfs', source: 'shm', options: ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=65536k'] },
      { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: ['nosuid', 'noexec', 'nodev'] },
      { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', 'ro'] },
    ],
    linux: { namespaces: ['pid', 'network', 'ipc', 'uts', 'mount'].map((type) => ({ type })) },
  };
}

/** A runtime with a folder, states and a subreaper of its own. */
export class Rig {
  readonly name: RuntimeName;
  readonly dir: string;
  readonly states: string;
  readonly reaper: Reaper;
  private readonly cgroup: string;
  private serial = 0;

  constructor(name: RuntimeName) {
    this.name = name;
    this.dir = mkdtempSync(join(tmpdir(), `rf-${name}-`));
    this.states = join(this.dir, 'states');
    this.cgroup = `rf-${process.pid}-${Math.random().toString(36).slice(2, 8)}`;
    mkdirSync(join(this.dir, 'io'));
    this.reaper = new Reaper(join(this.dir, 'io'));
  }

  /** A name for a container that no other has. */
  id(): string {
    return `${this.cgroup}-${this.serial++}`;
  }

  /** Runs a command of the runtime. `global`: words between it and --root; `through`: a command that starts it. */
  async run(args: string[], o: CommandOptions & { global?: string[]; through?: string[] } = {}): Promise<Result> {
    const argv = [...(o.through ?? []), ...commandOf(this.name), '--root', this.states, ...(o.global ?? []), ...args];
    // crun's wrapper needs umount; the others work without any variable.
    const env = this.name === 'crun' ? { PATH, ...o.env } : o.env;
    return await this.reaper.run(argv, { cwd: this.dir, ...o, ...(env === undefined ? {} : { env }) });
  }

  /** A bundle: a root with busybox, and a configuration that `change` edits. */
  bundle(args: string[], change: (spec: TestSpec, bundle: string) => void = () => undefined): string {
    const dir = mkdtempSync(join(this.dir, 'bundle-'));
    makeRoot(join(dir, 'rootfs'));
    const spec = baseSpec(args);
    spec.linux.cgroupsPath = `/${this.id()}`;
    change(spec, dir);
    this.configure(dir, spec);
    return dir;
  }

  configure(bundle: string, spec: unknown): void {
    writeFileSync(join(bundle, 'config.json'), typeof spec === 'string' ? spec : JSON.stringify(spec));
  }

  /** Runs a shell script as a container's first process, to its end. */
  async script(
    script: string,
    change: (spec: TestSpec, bundle: string) => void = () => undefined,
    o: CommandOptions = {},
  ): Promise<Result> {
    return await this.run(['run', '--bundle', this.bundle(['sh', '-c', script], change), this.id()], o);
  }

  async state(id: string): Promise<Record<string, unknown> & { status: string; pid: number }> {
    const r = await this.run(['state', id]);
    if (r.status !== 0) throw new Error(`${this.name} state: ${r.stderr}`);
    return JSON.parse(r.stdout);
  }

  /** Waits until the container has a status. */
  async reaches(id: string, status: string, ms = 20_000): Promise<void> {
    const end = Date.now() + ms;
    for (;;) {
      const now = (await this.state(id)).status;
      if (now === status) return;
      if (Date.now() > end) throw new Error(`container ${id} of ${this.name} is ${now}, not ${status}`);
      await new Promise((done) => setTimeout(done, 30));
    }
  }

  /** Ends all containers; nothing of them stays. */
  async close(): Promise<void> {
    try {
      const ids = existsSync(this.states) ? readdirSync(this.states) : [];
      for (const id of ids) await this.run(['delete', '--force', id]);
    } finally {
      await this.reaper.close();
      this.removeCgroups();
      rmSync(this.dir, { recursive: true, force: true });
    }
  }

  private removeCgroups(): void {
    for (const hierarchy of readdirSync('/sys/fs/cgroup')) {
      const top = join('/sys/fs/cgroup', hierarchy);
      try {
        for (const name of readdirSync(top)) if (name.startsWith(this.cgroup)) rmdirSync(join(top, name));
      } catch {
        // not a hierarchy, or a group that is not empty: the check of what is left says so
      }
    }
  }
}

/** Fills a root with busybox and the folders that mounts need. The files of all roots are one, made once. */
function makeRoot(root: string): void {
  mkdirSync(join(root, 'bin'), { recursive: true });
  for (const d of ['proc', 'sys', 'dev', 'tmp', 'etc']) mkdirSync(join(root, d));
  linkSync(template(), join(root, 'bin/busybox'));
  for (const a of applets()) if (a !== 'busybox') symlinkSync('busybox', join(root, 'bin', a));
}

let appletNames: string[] | undefined;
function applets(): string[] {
  appletNames ??= spawnSync('/bin/busybox', ['--list'], { encoding: 'utf8' })
    .stdout.split('\n')
    .filter((a) => a !== '');
  return appletNames;
}

/** busybox on the file system of the temporary folders, to link to. */
function template(): string {
  const file = join(tmpdir(), `rf-busybox-${process.pid}`);
  if (!existsSync(file)) {
    cpSync('/bin/busybox', file);
    process.on('exit', () => rmSync(file, { force: true }));
  }
  return file;
}
