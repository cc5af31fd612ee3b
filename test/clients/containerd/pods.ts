// Pods and containers made through the CRI, as a kubelet makes them.

import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Cri, type Message } from './cri.ts';
import { ContainerdMachine } from './machine.ts';

/** What is said of a container; anything else of the CRI's ContainerConfig comes by `more`. */
export interface ContainerOptions {
  resources?: Message;
  security?: Message;
  more?: Message;
}

/** A pod that runs. */
export class Pod {
  readonly id: string;
  readonly config: Message;
  private readonly pods: Pods;

  constructor(pods: Pods, id: string, config: Message) {
    this.pods = pods;
    this.id = id;
    this.config = config;
  }

  /** Makes a container in the pod that runs a command of the image. */
  async create(name: string, command: string[], o: ContainerOptions = {}): Promise<string> {
    const config = {
      metadata: { name, attempt: 0 },
      image: { image: 'localhost/bb:latest' },
      command,
      log_path: `${name}.log`,
      labels: { name },
      linux: { resources: o.resources ?? {}, security_context: security(o.security ?? {}) },
      ...o.more,
    };
    const request = { pod_sandbox_id: this.id, config, sandbox_config: this.config };
    return (await this.pods.cri.call('CreateContainer', request))['container_id'];
  }

  /** Makes and starts a container. */
  async run(name: string, command: string[], o: ContainerOptions = {}): Promise<string> {
    const id = await this.create(name, command, o);
    await this.pods.cri.call('StartContainer', { container_id: id });
    return id;
  }

  /** The lines of a container's log, as `STREAM TEXT`. */
  log(name: string): string[] {
    const text = readFileSync(join(this.config['log_directory'], `${name}.log`), 'utf8');
    // each line is TIME STREAM F|P TEXT
    return text
      .split('\n')
      .filter((l) => l !== '')
      .map((l) => l.replace(/^\S+ (stdout|stderr) [FP] /, '$1 '));
  }

  status(): Promise<Message> {
    return this.pods.cri.call('PodSandboxStatus', { pod_sandbox_id: this.id }).then((r) => r['status']);
  }

  async remove(): Promise<void> {
    await this.pods.cri.call('StopPodSandbox', { pod_sandbox_id: this.id });
    await this.pods.cri.call('RemovePodSandbox', { pod_sandbox_id: this.id });
  }
}

/** Namespaces as a kubelet asks for them: processes of a container see only those of their container. */
function security(s: Message): Message {
  return { namespace_options: { pid: 'CONTAINER' }, ...s };
}

/** A machine, a connection to its CRI plugin, and the pods that were made. */
export class Pods {
  readonly machine: ContainerdMachine;
  readonly cri: Cri;
  private count = 0;

  private constructor(machine: ContainerdMachine) {
    this.machine = machine;
    this.cri = new Cri(machine.socket);
  }

  static async start(): Promise<Pods> {
    const pods = new Pods(await ContainerdMachine.start());
    await pods.ready();
    return pods;
  }

  /** Waits until the CRI plugin has found what there is and answers. */
  async ready(): Promise<void> {
    const answers = (): Promise<boolean> =>
      this.cri.call('ListPodSandbox').then(
        () => true,
        () => false,
      );
    if (!(await this.machine.until(answers, 60_000))) throw new Error('the CRI plugin does not answer');
  }

  /** Runs a pod with a runtime handler. `more` is put over the CRI's PodSandboxConfig, `context` over its security context. */
  async run(handler: string, more: Message = {}, context: Message = {}): Promise<Pod> {
    const n = ++this.count;
    const logs = join(this.machine.dir, `logs-${n}`);
    mkdirSync(logs);
    const config = {
      metadata: { name: `pod${n}`, uid: `uid${n}`, namespace: 'test', attempt: 0 },
      hostname: `pod${n}`,
      log_directory: logs,
      dns_config: { servers: ['192.0.2.1'], searches: ['test.example'] },
      linux: { cgroup_parent: this.machine.podGroup, security_context: security(context) },
      ...more,
    };
    const r = await this.cri.call('RunPodSandbox', { config, runtime_handler: handler });
    return new Pod(this, r['pod_sandbox_id'], config);
  }

  /** Waits until a container has ended, for its status. */
  async ended(id: string): Promise<Message> {
    let status: Message = {};
    const over = await this.machine.until(async () => (status = await this.cri.status(id))['state'] === 'CONTAINER_EXITED', 40_000);
    if (!over) throw new Error(`the container does not end: ${JSON.stringify(status)}`);
    return status;
  }

  /** Stops and removes all pods, and expects that nothing is left of them. */
  async clean(): Promise<void> {
    for (const { id } of (await this.cri.call('ListPodSandbox'))['items']) {
      await this.cri.call('StopPodSandbox', { pod_sandbox_id: id });
      await this.cri.call('RemovePodSandbox', { pod_sandbox_id: id });
    }
    await this.machine.expectClean();
  }

  async stop(): Promise<void> {
    this.cri.close();
    await this.machine.stop();
  }
}
