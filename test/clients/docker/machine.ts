// A dockerd of its own, on a machine of its own. Nothing of the host is touched: data, sockets, bridge and packet filter are private.

import type { ChildProcess } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Image } from '../kit/images.ts';
import { Machine, type Result, type RunOptions } from '../kit/machine.ts';
import { ringfence } from '../kit/runtimes.ts';
import type { Terminal } from '../kit/terminal.ts';

const DOCKER = '/usr/bin/docker';
const DAEMON = '/usr/sbin/dockerd';

const socketIn = (dir: string): string => `unix://${join(dir, 'docker.sock')}`;

export class DockerMachine extends Machine {
  private readonly group: string = `rf-docker-${process.pid}`;
  private settings: object = {};
  private daemon: ChildProcess | null = null;

  private constructor() {
    super('rf-dk-', 'DOCKER_HOST', socketIn, 60_000);
  }

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
    await this.begin(['/run/docker', '/var/lib/docker', '/run/containerd']);
    const settings = {
      'data-root': join(this.dir, 'data'),
      'exec-root': join(this.dir, 'exec'),
      pidfile: join(this.dir, 'docker.pid'),
      hosts: [socketIn(this.dir)],
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

  docker(args: string[], options: RunOptions = {}): Promise<Result> {
    return this.run([DOCKER, ...args], options);
  }

  /** A docker command that must succeed; its standard output without the last newline. */
  async must(args: string[], options: RunOptions = {}): Promise<string> {
    const r = await this.docker(args, options);
    if (r.status !== 0) throw new Error(`docker ${args.join(' ')}: ${r.status}: ${r.stderr}${r.stdout}`);
    return r.stdout.replace(/\n$/, '');
  }

  /** Starts docker on a terminal. */
  terminal(args: string[], rows: number, cols: number): Terminal {
    return this.onTerminal([DOCKER, ...args], rows, cols);
  }

  /** Everything that containers may have left behind: processes, mounts, groups, states. */
  leftovers(): string[] {
    const own = [DAEMON, 'containerd --config'];
    const left = this.all()
      .filter(({ args }) => !own.some((o) => args.startsWith(o)))
      .map(({ pid, args }) => `process ${pid} ${args}`);
    for (const line of this.proc('1/mounts').split('\n')) {
      const path = line.split(' ')[1] ?? '';
      if (path.startsWith(`${this.dir}/data/overlay2/`) || path.startsWith(`${this.dir}/exec/`)) {
        if (!path.endsWith('/netns/default')) left.push(`mount ${path}`);
      }
    }
    left.push(...this.groups());
    const states = join(this.dir, 'exec/runtime-runc/moby');
    if (existsSync(states)) left.push(...readdirSync(states).map((id) => `state ${id}`));
    return left;
  }

  protected groupNames(): string[] {
    return [this.group];
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
}
