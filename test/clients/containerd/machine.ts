// A containerd of its own, on a machine of its own: new pid, network and mount namespaces, whose end ends everything in them.
//
// Nothing of the host is touched: root, state, socket, CNI network and /run/containerd are private. Control groups are the host's, below
// names that only this test uses, and are removed at the end.

import { type ChildProcess, spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { repository } from '../../support/build.ts';
import { busybox, type Image, pause } from '../kit/images.ts';
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

export interface RunOptions {
  input?: string;
  /** Milliseconds. */
  timeout?: number;
}

/** Where Debian's package containernetworking-plugins puts its programs. */
const CNI_BIN = '/usr/lib/cni';
/** Plugins that need what the machine may not have, or that would touch folders of the host. */
const OFF = ['snapshotter.v1.btrfs', 'snapshotter.v1.devmapper', 'snapshotter.v1.aufs', 'snapshotter.v1.zfs', 'internal.v1.opt'];
const INIT =
  'ip link set lo up && mkdir -p /run/containerd && mount -t tmpfs none /run/containerd && echo up; while :; do sleep 3600 & wait $!; done';
const DAEMON = 'containerd --config';
const ENVIRONMENT = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8', HOME: '/root' };

/** The lines for one runtime: those that docs/kubernetes.md tells people to write, with another name and path. */
function handlerLines({ name, path }: Runtime): string {
  const text = readFileSync(join(repository, 'docs/kubernetes.md'), 'utf8');
  const lines = /```toml\n(\[plugins\."io\.containerd[^`]*)```/.exec(text)?.[1];
  if (lines === undefined) throw new Error('docs/kubernetes.md has no lines for containerd');
  return lines.replaceAll('runtimes.ringfence', `runtimes.${name}`).replace('/usr/local/bin/ringfence', path);
}

/**
 * A command that says nothing at first. `ctr task exec` of containerd 1.6 loses the output of one that is over before ctr has opened its
 * pipes, whatever the runtime is: once in some hundred times on a busy machine.
 */
export function unhurried(...command: string[]): string[] {
  return ['sh', '-c', 'sleep 0.3; exec "$@"', 'sh', ...command];
}

export class Machine {
  readonly dir: string = mkdtempSync(join(tmpdir(), 'rf-ctd-'));
  readonly socket: string = join(this.dir, 'containerd.sock');
  /** The containerd namespace that ctr's containers live in; also the name of their control groups. */
  readonly namespace: string = `rf-ctr-${process.pid}`;
  /** The control group below which pods are made. */
  readonly podGroup: string = `/rf-cri-${process.pid}`;
  private holder: ChildProcess | null = null;
  /** The first process of the machine, as the host numbers it. */
  private init = 0;
  private daemon: ChildProcess | null = null;

  /** Makes the machine, starts containerd on it and imports the images. */
  static async start(): Promise<Machine> {
    const m = new Machine();
    try {
      await m.boot();
      return m;
    } catch (e) {
      await m.stop();
      throw e;
    }
  }

  private async boot(): Promise<void> {
    const argv = ['--pdeathsig', 'KILL', 'unshare', '-m', '-n', '-p', '--fork', '--kill-child', '--mount-proc', '--propagation', 'private'];
    this.holder = spawn('setpriv', [...argv, 'sh', '-c', INIT], { stdio: ['ignore', 'pipe', 'inherit'], env: ENVIRONMENT });
    await new Promise<void>((done, fail) => {
      this.holder?.stdout?.once('data', () => done());
      this.holder?.once('exit', (code) => fail(new Error(`the machine did not come up: ${code}`)));
    });
    const children = readFileSync(`/proc/${this.holder.pid}/task/${this.holder.pid}/children`, 'latin1');
    this.init = Number(children.trim().split(' ')[0]);
    // users of a container with mapped ids have to reach its root
    chmodSync(this.dir, 0o711);
    this.configure();
    await this.startDaemon();
    for (const image of [busybox(), pause()]) await this.import(image);
  }

  /** Imports an image for ctr and for the CRI plugin. */
  async import(image: Image): Promise<void> {
    for (const namespace of [this.namespace, 'k8s.io']) await this.must(['ctr', '-n', namespace, 'image', 'import', image.docker()]);
  }

  private configure(): void {
    const handlers = runtimes.map(handlerLines);
    const config = `
version = 2
root = "${this.dir}/root"
state = "${this.dir}/state"
disabled_plugins = [${OFF.map((p) => `"io.containerd.${p}"`).join(', ')}]
[grpc]
  address = "${this.socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:latest"
  # the machine may lack CAP_SYS_RESOURCE, AppArmor and a hugetlb hierarchy
  restrict_oom_score_adj = true
  disable_apparmor = true
  disable_hugetlb_controller = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${CNI_BIN}"
    conf_dir = "${this.dir}/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
${handlers.join('\n')}
`;
    const network = {
      cniVersion: '0.4.0',
      name: 'pods',
      plugins: [
        {
          type: 'bridge',
          bridge: 'pods0',
          isGateway: true,
          ipam: {
            type: 'host-local',
            dataDir: join(this.dir, 'ipam'),
            ranges: [[{ subnet: '10.77.0.0/22' }]],
            routes: [{ dst: '0.0.0.0/0' }],
          },
        },
        { type: 'portmap', capabilities: { portMappings: true } },
      ],
    };
    writeFileSync(join(this.dir, 'config.toml'), config);
    mkdirSync(join(this.dir, 'net.d'));
    writeFileSync(join(this.dir, 'net.d/10-pods.conflist'), JSON.stringify(network));
  }

  /** Starts containerd, or starts it again, and waits until it answers. */
  async startDaemon(): Promise<void> {
    const log = join(this.dir, 'containerd.log');
    this.daemon = this.spawn(['sh', '-c', `exec ${DAEMON} ${this.dir}/config.toml >>${log} 2>&1`]);
    const up = await this.until(async () => (await this.run(['ctr', 'version'])).status === 0, 60_000);
    if (!up) throw new Error(`containerd does not answer: ${this.log().slice(-2000)}`);
  }

  /** Kills containerd as a crash would, and waits until it is gone. What it started lives on. */
  async killDaemon(): Promise<void> {
    const daemon = this.daemon;
    if (daemon === null) return;
    this.daemon = null;
    daemon.kill('SIGKILL');
    if (!(await this.until(() => !this.all().some((p) => p.args.startsWith(DAEMON))))) throw new Error('containerd does not end');
  }

  /** What containerd said so far. */
  log(): string {
    return readFileSync(join(this.dir, 'containerd.log'), 'utf8');
  }

  private entered(argv: string[]): string[] {
    // nsenter stays outside of the pid namespace: its child has to be told to end with it
    return ['-t', String(this.init), '-m', '-n', '-p', '--', 'setpriv', '--pdeathsig', 'KILL', ...argv];
  }

  /** Starts a command on the machine. It is not waited for. */
  spawn(argv: string[], stdio: 'pipe' | 'ignore' = 'ignore'): ChildProcess {
    return spawn('nsenter', this.entered(argv), { stdio, env: { ...ENVIRONMENT, CONTAINERD_ADDRESS: this.socket } });
  }

  /** Runs a command on the machine. */
  run(argv: string[], options: RunOptions = {}): Promise<Result> {
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
      }, options.timeout ?? 30_000);
      child.on('error', fail);
      child.on('close', (code) => {
        clearTimeout(timer);
        done({ status: code ?? -1, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() });
      });
    });
  }

  /** Runs a command that must succeed, for its output. */
  async must(argv: string[], options: RunOptions = {}): Promise<string> {
    const r = await this.run(argv, options);
    if (r.status !== 0) throw new Error(`${argv.join(' ')}: ${r.status}: ${r.stderr}${r.stdout}`);
    return r.stdout;
  }

  /** Runs ctr in this machine's namespace. */
  ctr(args: string[], options: RunOptions = {}): Promise<Result> {
    return this.run(['ctr', '-n', this.namespace, ...args], options);
  }

  /** Starts ctr on a terminal. */
  terminal(args: string[], rows: number, cols: number): Terminal {
    const argv = ['nsenter', ...this.entered(['ctr', '-n', this.namespace, ...args])];
    return new Terminal([], argv, rows, cols, this.dir, { ...ENVIRONMENT, CONTAINERD_ADDRESS: this.socket });
  }

  /** A file of the machine's /proc, by the machine's own pids. */
  proc(path: string): string {
    return readFileSync(`/proc/${this.init}/root/proc/${path}`, 'latin1');
  }

  /** The machine's processes but its own two and containerd: pid and arguments. Zombies do not count. */
  processes(): { pid: number; args: string }[] {
    return this.all().filter(({ args }) => args !== 'sleep 3600' && !args.startsWith(DAEMON));
  }

  private all(): { pid: number; args: string }[] {
    const all: { pid: number; args: string }[] = [];
    for (const name of readdirSync(`/proc/${this.init}/root/proc`)) {
      const pid = Number(name);
      if (!(pid > 1)) continue;
      try {
        const args = this.proc(`${pid}/cmdline`).replaceAll('\0', ' ').trim();
        if (args !== '') all.push({ pid, args });
      } catch {
        // it ended meanwhile
      }
    }
    return all;
  }

  /** Mounts that containers have on the machine. */
  mounts(): string[] {
    return this.proc('1/mounts')
      .split('\n')
      .map((line) => line.split(' ')[1] ?? '')
      .filter((p) => p.startsWith(this.dir));
  }

  /** Control groups of containers and pods that exist. */
  groups(): string[] {
    return this.ownGroups().flatMap((g) => below(g));
  }

  private ownGroups(): string[] {
    const names = [this.namespace, this.podGroup.slice(1)];
    const roots = readdirSync('/sys/fs/cgroup').map((c) => join('/sys/fs/cgroup', c));
    return ['/sys/fs/cgroup', ...roots]
      .flatMap((r) => names.map((n) => join(r, n)))
      .filter((p) => existsSync(p) && statSync(p).isDirectory());
  }

  /** States that runtimes keep below their root. */
  states(): string[] {
    const root = `/proc/${this.init}/root/run/containerd/runc`;
    return existsSync(root) ? readdirSync(root).flatMap((n) => readdirSync(join(root, n)).map((id) => `${n}/${id}`)) : [];
  }

  /** Sockets of shims that still exist. */
  shims(): string[] {
    const dir = `/proc/${this.init}/root/run/containerd/s`;
    return existsSync(dir) ? readdirSync(dir) : [];
  }

  /** Everything that containers may have left behind. */
  leftovers(): string[] {
    return [...this.processes().map((p) => `${p.pid} ${p.args}`), ...this.mounts(), ...this.groups(), ...this.states(), ...this.shims()];
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

  /** Ends everything and removes the folder. */
  async stop(): Promise<void> {
    const holder = this.holder;
    if (holder !== null && holder.exitCode === null && holder.signalCode === null) {
      const gone = new Promise((done) => holder.once('exit', done));
      if (this.init > 0) process.kill(this.init, 'SIGKILL');
      else holder.kill('SIGKILL');
      await gone;
    }
    for (const g of this.ownGroups()) for (const path of [...below(g), g]) await removeGroup(path);
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** The groups below a group, innermost first. */
function below(group: string): string[] {
  return readdirSync(group, { withFileTypes: true })
    .filter((e) => e.isDirectory())
    .flatMap((e) => [...below(join(group, e.name)), join(group, e.name)]);
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
