// A dockerd of its own, on a machine of its own: new pid, network and mount namespaces, whose end ends everything in them.
//
// Nothing of the host is touched: data, sockets, bridge and packet filter are private. Control groups are the host's, below a name that only
// this test uses, and are removed at the end.

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { Image } from '../kit/images.ts';
import { ringfence, type Runtime, runc } from '../kit/runtimes.ts';
import { Terminal } from '../kit/terminal.ts';

/** The oracle and the candidate: every test runs on both. */
export const runtimes: Runtime[] = [runc, ringfence];

export interface Result {
  /** The exit status, -1 when the command was killed or took too long. */
  status: number;
  stdout: string;
  stderr: string;
}

const PRIVATE = ['/run/docker', '/var/lib/docker', '/run/containerd'];
const INIT = `ip link set lo up && for d in ${PRIVATE.join(' ')}; do mkdir -p $d && mount -t tmpfs none $d; done && echo up; while :; do sleep 3600 & wait $!; done`;
const ENVIRONMENT = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8', HOME: '/root' };
const DOCKER = '/usr/bin/docker';
const DAEMON = '/usr/sbin/dockerd';

export class DockerMachine {
  readonly dir: string = mkdtempSync(join(tmpdir(), 'rf-dk-'));
  private readonly socket: string = `unix://${join(this.dir, 'docker.sock')}`;
  private readonly group: string = `rf-docker-${process.pid}`;
  private holder: ChildProcess | null = null;
  private settings: object = {};
  /** The first process of the machine, as the host numbers it. */
  private init = 0;
  private daemon: ChildProcess | null = null;

  /** Makes the machine, starts dockerd on it and loads the images. */
  static async start(...images: Image[]): Promise<DockerMachine> {
    const m = new DockerMachine();
    try {
      await m.boot(images);
      return m;
    } catch (e) {
      await m.stop();
      throw e;
    }
  }

  private async boot(images: Image[]): Promise<void> {
    const argv = ['--pdeathsig', 'KILL', 'unshare', '-m', '-n', '-p', '--fork', '--kill-child', '--mount-proc', '--propagation', 'private'];
    this.holder = spawn('setpriv', [...argv, 'sh', '-c', INIT], { stdio: ['ignore', 'pipe', 'inherit'], env: ENVIRONMENT });
    await new Promise<void>((done, fail) => {
      this.holder?.stdout?.once('data', () => done());
      this.holder?.once('exit', (code) => fail(new Error(`the machine did not come up: ${code}`)));
    });
    const children = readFileSync(`/proc/${this.holder.pid}/task/${this.holder.pid}/children`, 'latin1');
    this.init = Number(children.trim().split(' ')[0]);
    const settings = {
      'data-root': join(this.dir, 'data'),
      'exec-root': join(this.dir, 'exec'),
      pidfile: join(this.dir, 'docker.pid'),
      hosts: [this.socket],
      'cgroup-parent': `/${this.group}`,
      'exec-opts': ['native.cgroupdriver=cgroupfs'],
      'default-ulimits': { nofile: { Name: 'nofile', Hard: 20000, Soft: 20000 } },
      runtimes: { ringfence: { path: ringfence.path } },
    };
    this.settings = settings;
    writeFileSync(join(this.dir, 'daemon.json'), JSON.stringify(settings));
    await this.startDaemon();
    for (const image of images) await this.must(['load', '-i', image.docker()]);
  }

  /** Has dockerd use a runtime where none is named, such as for what an image is built with. */
  async defaultRuntime(name: string): Promise<void> {
    writeFileSync(join(this.dir, 'daemon.json'), JSON.stringify({ ...this.settings, 'default-runtime': name }));
    await this.run(['kill', '-HUP', readFileSync(join(this.dir, 'docker.pid'), 'utf8').trim()]);
    const known = await this.until(async () => (await this.must(['info', '-f', '{{.DefaultRuntime}}'])) === name);
    if (!known) throw new Error(`dockerd does not take ${name} as default runtime`);
  }

  /** Starts dockerd, or starts it again, and waits until it answers. */
  async startDaemon(): Promise<void> {
    const log = join(this.dir, 'dockerd.log');
    this.daemon = this.spawn(['sh', '-c', `exec ${DAEMON} --config-file ${this.dir}/daemon.json >>${log} 2>&1`]);
    const up = await this.until(async () => (await this.docker(['version'])).status === 0, 60_000);
    if (!up) throw new Error(`dockerd does not answer: ${readFileSync(log, 'utf8').slice(-2000)}`);
  }

  private entered(argv: string[]): string[] {
    // nsenter stays outside of the pid namespace: its child has to be told to end with it
    return ['-t', String(this.init), '-m', '-n', '-p', '--', 'setpriv', '--pdeathsig', 'KILL', ...argv];
  }

  /** Starts a command on the machine. It is not waited for. */
  private spawn(argv: string[], stdio: 'pipe' | 'ignore' = 'ignore'): ChildProcess {
    return spawn('nsenter', this.entered(argv), { stdio, env: { ...ENVIRONMENT, DOCKER_HOST: this.socket } });
  }

  /** Runs a command on the machine. `timeout` in milliseconds. */
  run(argv: string[], options: { input?: string; timeout?: number } = {}): Promise<Result> {
    return new Promise((done, fail) => {
      const child = this.spawn(argv, 'pipe');
      const out: Buffer[] = [];
      const err: Buffer[] = [];
      child.stdout?.on('data', (d: Buffer) => out.push(d));
      child.stderr?.on('data', (d: Buffer) => err.push(d));
      child.stdin?.on('error', () => {}); // it may exit without reading
      child.stdin?.end(options.input ?? '');
      const timer = setTimeout(() => {
        err.push(Buffer.from(`\n${argv.join(' ')}: killed, it took too long\n`));
        child.kill('SIGKILL');
      }, options.timeout ?? 60_000);
      child.on('error', fail);
      child.on('close', (code) => {
        clearTimeout(timer);
        done({ status: code ?? -1, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() });
      });
    });
  }

  docker(args: string[], options: { input?: string; timeout?: number } = {}): Promise<Result> {
    return this.run([DOCKER, ...args], options);
  }

  /** A docker command that must succeed; its standard output without the last newline. */
  async must(args: string[], options: { input?: string; timeout?: number } = {}): Promise<string> {
    const r = await this.docker(args, options);
    if (r.status !== 0) throw new Error(`docker ${args.join(' ')}: ${r.status}: ${r.stderr}${r.stdout}`);
    return r.stdout.replace(/\n$/, '');
  }

  /** Starts docker on a terminal. */
  terminal(args: string[], rows: number, cols: number): Terminal {
    const argv = ['nsenter', ...this.entered([DOCKER, ...args])];
    return new Terminal([], argv, rows, cols, this.dir, { ...ENVIRONMENT, DOCKER_HOST: this.socket });
  }

  /** A file of the machine's /proc, by the machine's own pids. */
  proc(path: string): string {
    return readFileSync(`/proc/${this.init}/root/proc/${path}`, 'latin1');
  }

  /** Everything that containers may have left behind: processes, mounts, groups, states. */
  leftovers(): string[] {
    const left: string[] = [];
    for (const name of readdirSync(`/proc/${this.init}/root/proc`)) {
      if (!(Number(name) > 1)) continue;
      try {
        const args = this.proc(`${name}/cmdline`).replaceAll('\0', ' ').trim();
        const own = args === '' || args === 'sleep 3600' || args.startsWith(DAEMON) || args.startsWith('containerd --config');
        if (!own) left.push(`process ${name} ${args}`);
      } catch {
        // it ended meanwhile
      }
    }
    for (const line of this.proc('1/mounts').split('\n')) {
      const path = line.split(' ')[1] ?? '';
      if (path.startsWith(`${this.dir}/data/overlay2/`) || path.startsWith(`${this.dir}/exec/`)) {
        if (!path.endsWith('/netns/default')) left.push(`mount ${path}`);
      }
    }
    for (const g of this.groups())
      left.push(...readdirSync(g, { withFileTypes: true }).flatMap((e) => (e.isDirectory() ? [join(g, e.name)] : [])));
    const states = join(this.dir, 'exec/runtime-runc/moby');
    if (existsSync(states)) left.push(...readdirSync(states).map((id) => `state ${id}`));
    return left;
  }

  private groups(): string[] {
    const roots = ['/sys/fs/cgroup', ...readdirSync('/sys/fs/cgroup').map((c) => join('/sys/fs/cgroup', c))];
    return roots.map((r) => join(r, this.group)).filter((p) => existsSync(p));
  }

  /** Expects that nothing is left behind, at the latest after some seconds. */
  async expectClean(): Promise<void> {
    await this.until(() => this.leftovers().length === 0, 20_000);
    expect(this.leftovers()).toEqual([]);
  }

  /** Waits until `test` holds; false after `ms`. */
  async until(test: () => boolean | Promise<boolean>, ms: number = 20_000): Promise<boolean> {
    const end = Date.now() + ms;
    while (!(await test())) {
      if (Date.now() > end) return false;
      await new Promise((done) => setTimeout(done, 50));
    }
    return true;
  }

  /** Ends dockerd as a crash would. What it started lives on only with live-restore. */
  async stopDaemon(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const daemon = this.daemon;
    if (daemon === null) return;
    this.daemon = null;
    const end = new Promise((done) => daemon.once('exit', done));
    const pid = readFileSync(join(this.dir, 'docker.pid'), 'utf8').trim();
    await this.run(['kill', `-${signal}`, pid]);
    await end;
  }

  /** Ends everything and removes the folder. */
  async stop(): Promise<void> {
    const holder = this.holder;
    if (holder !== null && holder.exitCode === null && holder.signalCode === null) {
      const gone = new Promise((done) => holder.once('exit', done));
      if (this.init > 0) process.kill(this.init, 'SIGKILL');
      else holder.kill('SIGKILL');
      await gone;
    }
    for (const g of this.groups()) {
      const below = readdirSync(g, { withFileTypes: true }).flatMap((e) => (e.isDirectory() ? [join(g, e.name)] : []));
      for (const path of [...below, g]) await removeGroup(path);
    }
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** Removes a group whose processes are dying. */
async function removeGroup(path: string): Promise<void> {
  for (let i = 0; ; i++) {
    try {
      return rmdirSync(path);
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code === 'ENOENT') return;
      if (i === 100) throw e;
      await new Promise((done) => setTimeout(done, 50));
    }
  }
}
