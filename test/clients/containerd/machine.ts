// A containerd of its own, on a machine of its own. Nothing of the host is touched: root, state, socket, CNI network and /run/containerd are
// private.

import type { ChildProcess } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { repository } from '../../support/build.ts';
import { busybox, type Image, pause } from '../kit/images.ts';
import { Machine, type Result, type RunOptions, runtimes } from '../kit/machine.ts';
import type { Runtime } from '../kit/runtimes.ts';
import type { Terminal } from '../kit/terminal.ts';

/** Where Debian's package containernetworking-plugins puts its programs. */
const CNI_BIN = '/usr/lib/cni';
/** Plugins that need what the machine may not have, or that would touch folders of the host. */
const OFF = ['snapshotter.v1.btrfs', 'snapshotter.v1.devmapper', 'snapshotter.v1.aufs', 'snapshotter.v1.zfs', 'internal.v1.opt'];
const DAEMON = 'containerd --config';

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

const socketIn = (dir: string): string => join(dir, 'containerd.sock');

export class ContainerdMachine extends Machine {
  readonly socket: string = socketIn(this.dir);
  /** The containerd namespace that ctr's containers live in; also the name of their control groups. */
  readonly namespace: string = `rf-ctr-${process.pid}`;
  /** The control group below which pods are made. */
  readonly podGroup: string = `/rf-cri-${process.pid}`;
  private daemon: ChildProcess | null = null;

  private constructor() {
    super('rf-ctd-', 'CONTAINERD_ADDRESS', socketIn, 30_000);
  }

  /** Makes the machine, starts containerd on it and imports the images. */
  static async start(): Promise<ContainerdMachine> {
    const m = new ContainerdMachine();
    try {
      await m.boot();
      return m;
    } catch (e) {
      await m.stop();
      throw e;
    }
  }

  private async boot(): Promise<void> {
    await this.begin(['/run/containerd']);
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
    return this.onTerminal(['ctr', '-n', this.namespace, ...args], rows, cols);
  }

  /** The machine's processes but its own two and containerd. */
  private processes(): { pid: number; args: string }[] {
    return this.all().filter(({ args }) => !args.startsWith(DAEMON));
  }

  /** Mounts that containers have on the machine. */
  private mounts(): string[] {
    return this.proc('1/mounts')
      .split('\n')
      .map((line) => line.split(' ')[1] ?? '')
      .filter((p) => p.startsWith(this.dir));
  }

  protected groupNames(): string[] {
    return [this.namespace, this.podGroup.slice(1)];
  }

  /** States that runtimes keep below their root. */
  private states(): string[] {
    const root = `/proc/${this.init}/root/run/containerd/runc`;
    return existsSync(root) ? readdirSync(root).flatMap((n) => readdirSync(join(root, n)).map((id) => `${n}/${id}`)) : [];
  }

  /** Sockets of shims that still exist. */
  private shims(): string[] {
    const dir = `/proc/${this.init}/root/run/containerd/s`;
    return existsSync(dir) ? readdirSync(dir) : [];
  }

  leftovers(): string[] {
    return [...this.processes().map((p) => `${p.pid} ${p.args}`), ...this.mounts(), ...this.groups(), ...this.states(), ...this.shims()];
  }
}
