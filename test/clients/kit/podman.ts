// podman and buildah on storage, state and configuration of their own.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { plainEnvironment, type RunOptions, type RunResult } from '../../support/run.ts';
import { Folder } from './folder.ts';
import { sleep } from '../../support/until.ts';
import type { Image } from './images.ts';
import { type Runtime, statesNamed } from './runtimes.ts';
import type { Terminal } from './terminal.ts';

const BUSY_TRIES = 5;

/** Debian's podman with one runtime as its default. */
export class Podman {
  readonly folder: Folder;
  readonly runtime: Runtime;
  private readonly prefix: string[];

  /** `options`: further lines for the [engine] table of containers.conf. */
  constructor(runtime: Runtime, options: string[] = []) {
    this.runtime = runtime;
    const folder = new Folder(`podman-${runtime.name}`);
    this.folder = folder;
    const f = (name: string): string => folder.file(name);
    for (const d of ['root', 'runroot', 'tmp', 'hooks', 'home']) mkdirSync(f(d));
    const quoted = JSON.stringify;
    // Limits above those of the caller cannot be given to containers by a runtime without CAP_SYS_RESOURCE.
    writeFileSync(
      f('containers.conf'),
      `[containers]
default_ulimits = ["nofile=${limit('Max open files', 20_000)}", "nproc=${limit('Max processes', 32_768)}"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
events_logfile_path = ${quoted(f('events.log'))}
infra_image = "localhost/pause:latest"
runtime = ${quoted(runtime.name)}
runtime_supports_json = ["runc", "crun", "ringfence"]
${options.join('\n')}
[engine.runtimes]
${runtime.name} = [${quoted(runtime.path)}]
[network]
network_config_dir = ${quoted(f('networks'))}
`,
    );
    writeFileSync(
      f('storage.conf'),
      `[storage]\ndriver = "overlay"\nrunroot = ${quoted(f('runroot'))}\ngraphroot = ${quoted(f('root'))}\n`,
    );
    writeFileSync(f('policy.json'), '{"default":[{"type":"insecureAcceptAnything"}]}');
    this.prefix = ['podman', '--root', f('root'), '--runroot', f('runroot'), '--tmpdir', f('tmp')];
  }

  private options(o: RunOptions): RunOptions {
    const f = this.folder;
    const env = {
      CONTAINERS_CONF: f.file('containers.conf'),
      CONTAINERS_STORAGE_CONF: f.file('storage.conf'),
      TMPDIR: f.file('tmp'),
      HOME: f.file('home'),
    };
    return { timeout: 90_000, ...o, env: { ...env, ...o.env } };
  }

  /** Runs `podman ARGS`. */
  run(args: string[], options: RunOptions = {}): Promise<RunResult> {
    return this.folder.run([...this.prefix, ...args], this.options(options));
  }

  /** Runs `podman ARGS`, which must succeed; its standard output without the last newline. */
  async must(args: string[], options: RunOptions = {}): Promise<string> {
    for (let tries = BUSY_TRIES; ; tries--) {
      try {
        return await this.folder.must([...this.prefix, ...args], this.options(options));
      } catch (e) {
        // podman gives up where a mount namespace that somebody makes just now still has a copy of what it unmounts.
        if (tries === 0 || !args.includes('rm') || !String(e).includes('device or resource busy')) throw e;
        await sleep(300);
      }
    }
  }

  /** Runs `buildah ARGS`, which must succeed, on the same storage; its standard output without the last newline. */
  buildah(args: string[]): Promise<string> {
    const f = this.folder;
    const policy = ['from', 'commit'].includes(args[0] as string) ? ['--signature-policy', f.file('policy.json')] : [];
    const words = ['buildah', '--root', f.file('root'), '--runroot', f.file('runroot'), args[0] as string, ...policy, ...args.slice(1)];
    return f.must(words, this.options({}));
  }

  /** Runs a shell script in which `podman` is this one; its standard output without the last newline. */
  shell(script: string): Promise<string> {
    const o = this.options({});
    // A function would be a process more, and a descriptor's number or a pid would not be podman's own.
    writeFileSync(this.folder.file('podman'), `#!/bin/sh\nexec /usr/bin/${this.prefix.join(' ')} "$@"\n`, { mode: 0o755 });
    return this.folder.must(['sh', '-c', script], { ...o, env: { ...o.env, PATH: `${this.folder.path}:${plainEnvironment['PATH']}` } });
  }

  /** `podman ARGS` on a terminal. */
  terminal(args: string[], rows: number = 24, cols: number = 80): Terminal {
    return this.folder.terminal([...this.prefix, ...args], rows, cols, this.options({}).env);
  }

  /** Loads images into the private storage. */
  async load(...images: Image[]): Promise<void> {
    for (const image of images) await this.loadFile(image.docker());
  }

  /** As `load`, from OCI archives. */
  async loadOci(...images: Image[]): Promise<void> {
    for (const image of images) await this.loadFile(image.oci());
  }

  private async loadFile(archive: string): Promise<void> {
    await this.must(['load', '-q', '--signature-policy', this.folder.file('policy.json'), '-i', archive]);
  }

  /** One value of `podman inspect`. */
  async inspect(name: string, format: string): Promise<string> {
    return await this.must(['inspect', '--format', format, name]);
  }

  /** The ids of all containers and pods that there ever were. */
  private ids(): Set<string> {
    const log = this.folder.file('events.log');
    const ids = new Set<string>();
    if (!existsSync(log)) return ids;
    for (const m of readFileSync(log, 'utf8').matchAll(/"ID":"([0-9a-f]{64})"/g)) ids.add(m[1] as string);
    return ids;
  }

  /** Removes all pods and containers, and waits until nothing of them is left on the host; what is left in spite of that. */
  async leftovers(): Promise<string[]> {
    await this.must(['pod', 'rm', '--all', '--force', '--time', '0']);
    await this.must(['rm', '--all', '--force', '--time', '0']);
    for (const id of this.ids()) this.folder.words.add(id);
    // The mount point of podman's storage driver stays, and on a host with both kinds of cgroups empty ones of pods in hierarchies that
    // podman does not know of.
    const own = `mount ${this.folder.file('root')}/overlay`;
    const ofPods = /\/(systemd|unified)\/libpod_parent\/[0-9a-f]{64}$/;
    const left = await this.folder.settled((line) => line === own || ofPods.test(line));
    for (const line of this.folder.leftovers().filter((l) => ofPods.test(l)))
      await this.folder.run(['rmdir', line.slice('cgroup '.length)]);
    return [...left, ...statesNamed(this.runtime, this.ids())];
  }

  /** Ends everything, whatever state it is in. */
  async close(): Promise<void> {
    await this.run(['pod', 'rm', '--all', '--force', '--time', '0']);
    await this.run(['rm', '--all', '--force', '--time', '0']);
    await this.folder.close();
  }
}

/** A hard limit of this process, at most `most`, as podman's options have it. */
function limit(name: string, most: number): string {
  const line = readFileSync('/proc/self/limits', 'utf8')
    .split('\n')
    .find((l) => l.startsWith(name));
  const hard = Number(/\s(\d+|unlimited)\s+\w*\s*$/.exec(line ?? '')?.[1]);
  const n = Number.isNaN(hard) ? most : Math.min(hard, most);
  return `${n}:${n}`;
}
