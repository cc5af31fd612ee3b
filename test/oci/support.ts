// Bundles and calls for the tests of the OCI commands.

import { spawn, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { defaultSpec } from '../../runsc-compat/cmd/spec.ts';
import type { Spec } from '../../runsc-compat/spec/types.ts';
import { ringfence } from '../support/platform.ts';

export { ringfence };

export interface Result {
  status: number;
  stdout: string;
  stderr: string;
}

const APPLETS = [
  'sh',
  'cat',
  'echo',
  'env',
  'id',
  'kill',
  'ls',
  'mkdir',
  'mount',
  'ps',
  'pwd',
  'sleep',
  'stat',
  'stty',
  'touch',
  'true',
  'tty',
  'umask',
  'wc',
  'hostname',
];

/** A folder of its own for states and bundles, and the commands that work on it. */
export class Bench {
  readonly dir: string;
  readonly states: string;

  constructor() {
    this.dir = mkdtempSync(join(tmpdir(), 'rf-oci-'));
    this.states = join(this.dir, 'states');
  }

  /** Runs ringfence with an own --root. */
  run(args: string[], options: { input?: string; env?: Record<string, string>; global?: string[] } = {}): Result {
    const r = spawnSync(ringfence, ['--root', this.states, ...(options.global ?? []), ...args], {
      cwd: this.dir,
      encoding: 'utf8',
      input: options.input ?? '',
      env: options.env ?? {},
      timeout: 50_000,
    });
    return { status: r.status ?? -1, stdout: r.stdout, stderr: r.stderr };
  }

  /**
   * As `run`, for commands that leave a container behind: its streams must not be pipes of ours, or spawnSync would wait for them.
   * The output of the command and of the container comes from a file.
   */
  detached(args: string[], options: { global?: string[] } = {}): Result {
    const out = join(this.dir, `out-${Math.random().toString(36).slice(2)}`);
    const quoted = [ringfence, '--root', this.states, ...(options.global ?? []), ...args]
      .map((a) => `'${a.replaceAll("'", "'\\''")}'`)
      .join(' ');
    const r = spawnSync('/bin/sh', ['-c', `${quoted} </dev/null >${out} 2>${out}.err`], {
      cwd: this.dir,
      stdio: 'ignore',
      timeout: 50_000,
    });
    return { status: r.status ?? -1, stdout: readFileSync(out, 'utf8'), stderr: readFileSync(`${out}.err`, 'utf8') };
  }

  /** Makes a bundle with a busybox root. `change` edits the configuration. */
  bundle(args: string[], change: (spec: Spec) => void = () => undefined): string {
    const dir = mkdtempSync(join(this.dir, 'bundle-'));
    const bin = join(dir, 'rootfs/bin');
    mkdirSync(bin, { recursive: true });
    for (const d of ['proc', 'sys', 'dev', 'tmp', 'etc']) mkdirSync(join(dir, 'rootfs', d));
    copyFileSync('/bin/busybox', join(bin, 'busybox'));
    for (const a of APPLETS) symlinkSync('busybox', join(bin, a));
    const spec = defaultSpec(false);
    if (spec.process !== undefined) {
      spec.process.terminal = false;
      spec.process.args = args;
    }
    if (spec.root !== undefined) spec.root.readonly = false;
    // By default a group has the container's id: other runs of the same test on this machine have that one too.
    if (spec.linux !== undefined) spec.linux.cgroupsPath = `/${basename(this.dir)}-${basename(dir)}`;
    change(spec);
    this.configure(dir, spec);
    return dir;
  }

  configure(bundle: string, spec: unknown): void {
    writeFileSync(join(bundle, 'config.json'), JSON.stringify(spec));
  }

  /** The state of a container. */
  state(id: string): { status: string; pid: number; bundle: string; annotations: Record<string, string> } {
    return JSON.parse(this.run(['state', id]).stdout);
  }

  /** What the commands have on record of a container (runsc-compat/state.ts). */
  recorded(id: string): Record<string, unknown> {
    return JSON.parse(readFileSync(join(this.states, id, 'state.json'), 'utf8'));
  }

  /** Waits until `test` holds; false after `ms`. */
  async until(test: () => boolean, ms: number = 10_000): Promise<boolean> {
    const end = Date.now() + ms;
    while (!test()) {
      if (Date.now() > end) return false;
      await new Promise((done) => setTimeout(done, 30));
    }
    return true;
  }

  /** Ends all containers and removes the folder. */
  close(): void {
    if (existsSync(this.states)) {
      for (const id of this.run(['list', '--quiet']).stdout.split('\n')) if (id !== '') this.run(['delete', '--force', id]);
    }
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** Processes whose arguments contain all the words; zombies have none. */
export function processesWith(...words: string[]): number[] {
  const r = spawnSync('ps', ['-eo', 'pid=,args='], { encoding: 'utf8' });
  return r.stdout
    .split('\n')
    .filter((line) => words.every((w) => line.includes(w)) && !line.includes('<defunct>'))
    .map((line) => Number.parseInt(line, 10));
}

/** Children of a process, by pid. */
export function childrenOf(pid: number): { pid: number; args: string }[] {
  const r = spawnSync('ps', ['-o', 'pid=,args=', '--ppid', String(pid)], { encoding: 'utf8' });
  return r.stdout
    .split('\n')
    .filter((l) => l.trim() !== '' && !l.includes('<defunct>'))
    .map((l) => ({ pid: Number.parseInt(l, 10), args: l.trim().replace(/^\d+\s+/, '') }));
}

/**
 * True while the process exists and is no zombie. The first one of a pid namespace, once dead, waits until others' orphans are reaped by whoever has to:
 * it has PF_EXITING in its flags, and nothing runs below it.
 */
export function lives(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const f = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if ('ZX'.includes(f[0] as string)) return false;
    return (Number(f[6]) & 4) === 0 || readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1') !== '';
  } catch {
    return false;
  }
}

/** Starts a command whose streams are pipes; the caller ends it. */
export function background(args: string[], cwd: string): { pid: number; exit: Promise<number>; output: () => string } {
  const child = spawn(ringfence, args, { cwd, env: {}, stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  child.stdout.on('data', (d: Buffer) => (text += d.toString()));
  child.stderr.on('data', (d: Buffer) => (text += d.toString()));
  const exit = new Promise<number>((done) => child.on('exit', (code, signal) => done(code ?? (signal === 'SIGKILL' ? 137 : 143))));
  return { pid: child.pid ?? -1, exit, output: () => text };
}
