// The containers of a sandbox, by id. The first one came with the Sentry, and its end is the end of all.

import { EEXIST, EINVAL } from '../../abi/errno.ts';
import type { Origin } from '../../platform/platform.ts';
import type { ContainerConfig } from '../../wire/boot.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { Limits, NO_LIMITS } from '../kernel/limits.ts';
import type { NamespaceSet } from '../kernel/namespaces.ts';
import type { ThreadGroup } from '../kernel/threadgroup.ts';
import { Container, type ContainerFiles, type Surroundings } from './container.ts';
import { containerPids, furtherNamespaces, setNames } from './namespaces.ts';
import type { Donated, HostFileFactory, StartError } from './process.ts';

/** What boot gives: the parts that are above this folder. */
export interface SandboxParts {
  readonly hostFile: HostFileFactory;
  /**
   * Builds the mounts of a container in these namespaces, which have none yet, served by the Gofer behind `goferFd`; the socket is taken
   * over. Throws an Error that says what could not be mounted where.
   */
  files(config: ContainerConfig, goferFd: number, namespaces: NamespaceSet): ContainerFiles;
  /** Keeps the tasks of a container out of the guest, and lets them in again. */
  pause(id: string): void;
  resume(id: string): void;
}

/** Control groups that a container has for itself: descriptors of their cgroup.procs files, and of their counters by name. */
export interface OwnGroups {
  groups: number[];
  counters: Record<string, number>;
}

/** Told of changes: the end of a process (`g` null: of a container that was never started), or a job control stop. */
export type Listener = (c: Container, g: ThreadGroup | null, status: number, stopped: number) => void;

export class Sandbox implements Surroundings {
  readonly kernel: Kernel;
  readonly hostFile: HostFileFactory;
  private readonly parts: SandboxParts;
  private readonly containers: Map<string, Container> = new Map();
  private readonly first: Container;
  private readonly listeners: Listener[] = [];

  /** With its first container, whose namespaces are the kernel's first ones, but for that of process ids. */
  constructor(kernel: Kernel, parts: SandboxParts, config: ContainerConfig, goferFd: number, streams: Donated, standin: number) {
    this.kernel = kernel;
    this.parts = parts;
    this.hostFile = parts.hostFile;
    setNames(kernel.namespaces.uts, config);
    kernel.namespaces.pid = containerPids(kernel);
    const files = parts.files(config, goferFd, kernel.namespaces);
    kernel.namespaces.setMounts(files.mounts);
    this.first = new Container(this, config, kernel.namespaces, files, streams, standin, true);
    this.containers.set(config.id, this.first);
    kernel.groupEnded.push((g) => this.containers.get(g.container)?.ended(g));
    kernel.stopHook = (g, sig) => {
      const c = this.containers.get(g.container);
      if (c !== undefined && c.init === g) this.tell(c, g, -1, sig);
    };
  }

  onChange(f: Listener): void {
    this.listeners.push(f);
  }

  get(id: string): Container | null {
    return this.containers.get(id) ?? null;
  }

  /**
   * Adds a container, up to its start. It owns the descriptors from now on; on a failure they are closed. An ended container of that id
   * that nobody has destroyed makes room.
   */
  create(config: ContainerConfig, goferFd: number, own: OwnGroups, streams: Donated, standin: number): Container | StartError {
    const k = this.kernel;
    const refuse = (errno: number, error: string): StartError => {
      streams.close(k);
      if (standin >= 0) k.host.close(standin);
      for (const fd of [...own.groups, ...Object.values(own.counters)]) k.host.close(fd);
      return { errno, error };
    };
    const old = this.containers.get(config.id);
    const taken = old !== undefined && (old === this.first || old.status < 0);
    if (taken || this.first.status >= 0) {
      k.host.close(goferFd);
      return taken ? refuse(-EEXIST, `container with given ID already exists: ${config.id}`) : refuse(-EINVAL, 'the sandbox is ending');
    }
    if (old !== undefined) this.destroy(old);
    const others = [...this.containers.values()].filter((c) => c.status < 0);
    const origin = this.originIn(own.groups);
    if (typeof origin === 'number') {
      k.host.close(goferFd);
      return refuse(origin, 'its processes cannot be put into its control groups');
    }
    for (const fd of own.groups.splice(0)) k.host.close(fd);
    if (origin !== null) k.origins.set(config.id, origin);
    const ns = furtherNamespaces(k, config, others);
    k.limits.set(config.id, new Limits(k, config.id, config.limits ?? NO_LIMITS, own.counters));
    try {
      const files = this.parts.files(config, goferFd, ns);
      ns.setMounts(files.mounts);
      const c = new Container(this, config, ns, files, streams, standin, !others.some((o) => o.namespaces.pid === ns.pid));
      this.containers.set(config.id, c);
      return c;
    } catch (e) {
      ns.unref();
      k.limits.delete(config.id);
      this.dropOrigin(config.id);
      return refuse(-EINVAL, e instanceof Error ? e.message : String(e));
    }
  }

  /** What a container's programs start from, in the groups of these cgroup.procs files; null: where the sandbox is. Negative: -errno. */
  private originIn(groups: readonly number[]): Origin | number | null {
    if (groups.length === 0) return null;
    const origin = this.kernel.platform.newOrigin();
    if (typeof origin === 'number') return origin;
    const pid = new Uint8Array([...`${origin.pid}\n`].map((c) => c.charCodeAt(0)));
    for (const fd of groups) {
      const r = this.kernel.host.write(fd, pid, 0, pid.length);
      if (r >= 0) continue;
      origin.close();
      return r;
    }
    return origin;
  }

  private dropOrigin(id: string): void {
    this.kernel.origins.get(id)?.close();
    this.kernel.origins.delete(id);
  }

  /** Ends a container and forgets it. With the first one the sandbox ends. */
  destroy(c: Container): void {
    c.kill();
    if (c === this.first) return;
    c.release();
    this.kernel.limits.get(c.config.id)?.close();
    this.kernel.limits.delete(c.config.id);
    if (this.containers.get(c.config.id) === c) this.containers.delete(c.config.id);
  }

  /** After the loop: what must be told before this process ends. */
  finish(): void {
    for (const c of this.containers.values()) c.finish();
  }

  pause(id: string): void {
    this.parts.pause(id);
  }

  resume(id: string): void {
    this.parts.resume(id);
  }

  released(c: Container): void {
    this.dropOrigin(c.config.id);
  }

  changed(c: Container, g: ThreadGroup | null, status: number, stopped: number): void {
    this.tell(c, g, status, stopped);
    if (c !== this.first || c.status < 0) return;
    for (const o of this.containers.values()) if (o !== c) o.kill();
    this.kernel.done = true;
  }

  private tell(c: Container, g: ThreadGroup | null, status: number, stopped: number): void {
    for (const f of this.listeners) f(c, g, status, stopped);
  }
}
