// A pod as its clients make it: a sandbox container, and members that name it in their annotations and join its namespaces by path.

import { copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildTool, repository } from '../../support/build.ts';
import type { Result } from '../support.ts';
import type { Rig, TestSpec } from './runtimes.ts';

/** Whose annotations a pod has. */
export type Client = 'containerd' | 'cri-o' | 'podman';

const NS_FILES: Record<string, string> = { network: 'net', ipc: 'ipc', uts: 'uts', pid: 'pid' };

export interface MemberOptions {
  /** Namespaces that it shares with the sandbox; else it has one of its own. */
  share?: string[];
  change?: (spec: TestSpec, bundle: string) => void;
  /** Words of `create` beside the usual ones. */
  words?: string[];
}

/** A container that was created, by the pid that stands for it. */
export interface Member {
  id: string;
  pid: number;
  bundle: string;
}

export class Pod {
  readonly rig: Rig;
  readonly client: Client;
  sandbox: Member = { id: '', pid: 0, bundle: '' };

  constructor(rig: Rig, client: Client = 'containerd') {
    this.rig = rig;
    this.client = client;
  }

  private annotations(sandbox: string | null): Record<string, string> {
    const prefix = this.client === 'containerd' ? 'io.kubernetes.cri.container-type' : 'io.kubernetes.cri-o.ContainerType';
    const name = this.client === 'containerd' ? 'io.kubernetes.cri.sandbox-id' : 'io.kubernetes.cri-o.SandboxID';
    if (sandbox !== null) return { [prefix]: 'container', [name]: sandbox };
    return this.client === 'podman' ? {} : { [prefix]: 'sandbox', [name]: this.sandbox.id };
  }

  private async create(id: string, bundle: string, words: string[] = []): Promise<Member> {
    const pidFile = join(bundle, 'pid');
    const r = await this.rig.run(['create', '--bundle', bundle, '--pid-file', pidFile, ...words, id]);
    if (r.status !== 0) throw new Error(`create ${id}: ${r.stderr}`);
    return { id, pid: Number(readFileSync(pidFile, 'utf8')), bundle };
  }

  /** Makes and starts the sandbox container, with a program that does nothing. */
  async begin(change: (spec: TestSpec, bundle: string) => void = () => undefined): Promise<Member> {
    this.sandbox.id = this.rig.id();
    const bundle = this.rig.bundle(['sleep', '100000'], (spec, dir) => {
      spec.annotations = this.annotations(null);
      spec.hostname = 'the-pod';
      change(spec, dir);
    });
    this.sandbox = await this.create(this.sandbox.id, bundle);
    await this.must('start', this.sandbox.id);
    return this.sandbox;
  }

  /** The bundle of a member: podmate is in its /bin. */
  bundle(args: string[], o: MemberOptions = {}): string {
    return this.rig.bundle(args, (spec, dir) => {
      spec.annotations = this.annotations(this.sandbox.id);
      delete spec.hostname;
      for (const kind of o.share ?? ['network', 'ipc', 'uts']) {
        const entry = spec.linux.namespaces?.find((n) => n.type === kind);
        if (entry !== undefined) entry.path = `/proc/${this.sandbox.pid}/ns/${NS_FILES[kind]}`;
      }
      copyFileSync(buildTool(join(repository, 'test/oci/guests/podmate.c')), join(dir, 'rootfs/bin/podmate'));
      o.change?.(spec, dir);
    });
  }

  /** Creates a member; `start` it. */
  async add(args: string[], o: MemberOptions = {}): Promise<Member> {
    return await this.create(this.rig.id(), this.bundle(args, o), o.words);
  }

  /** Creates and starts a member. */
  async member(args: string[], o: MemberOptions = {}): Promise<Member> {
    const m = await this.add(args, o);
    await this.must('start', m.id);
    return m;
  }

  /** A command that must succeed. */
  async must(...args: string[]): Promise<string> {
    const r = await this.rig.run(args);
    if (r.status !== 0) throw new Error(`${args.join(' ')}: ${r.stderr}`);
    return r.stdout;
  }

  async exec(m: Member, ...args: string[]): Promise<Result> {
    return await this.rig.run(['exec', m.id, ...args]);
  }

  /** Runs a command in a member again and again until it prints `text`. */
  async prints(m: Member, text: string, ...args: string[]): Promise<void> {
    for (let i = 0; ; i++) {
      const r = await this.exec(m, ...args);
      if (r.stdout.trim() === text) return;
      if (i === 100) throw new Error(`${args.join(' ')}: ${r.stdout}${r.stderr}`);
      await new Promise((done) => setTimeout(done, 50));
    }
  }
}
