// A container in the Sentry: its processes, how their end is told, and what it gives back at its own.

import { EPOLLHUP, EPOLLIN } from '../../abi/epoll.ts';
import { EACCES, EAGAIN, ENOENT } from '../../abi/errno.ts';
import { RLIMIT_NOFILE } from '../../abi/resource.ts';
import { SIGCHLD, SIGCONT, SIGKILL, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH } from '../../abi/signal.ts';
import { latin1Decode } from '../../base/bytes.ts';
import { monotonicNs } from '../../base/clock.ts';
import { type ContainerConfig, NOTIFY_PATH, type ProcessConfig } from '../../wire/boot.ts';
import { setConsole } from '../fs/tty/devices.ts';
import { exitGroup } from '../kernel/exit.ts';
import { watchCpuLimit } from '../kernel/cputimers.ts';
import { FDTable } from '../kernel/fdtable.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { type NamespaceSet, switchNamespaces } from '../kernel/namespaces.ts';
import { ProcessGroup, Session } from '../kernel/session.ts';
import { SigInfo, SignalHandlers } from '../kernel/siginfo.ts';
import { signalGroup } from '../kernel/signals.ts';
import { Task } from '../kernel/task.ts';
import { ThreadGroup } from '../kernel/threadgroup.ts';
import { Timer } from '../kernel/timers.ts';
import { MemoryManager } from '../mm/memory.ts';
import { FsContext } from '../vfs/fscontext.ts';
import { homeOf } from './home.ts';
import type { MountNamespace } from '../vfs/namespace.ts';
import { forgetPaths } from '../vfs/pathcache.ts';
import {
  credentials,
  type Donated,
  enterDirectory,
  executeArgs,
  giveStreams,
  type HostFileFactory,
  type JoinedConsole,
  joinConsole,
  type StartError,
  setLimits,
  setScheduling,
} from './process.ts';
import { type ProcView, showProcesses } from './procview.ts';
import { Readiness } from './readiness.ts';

const SI_USER = 0;
/** Longest message of a stand-in. */
const MAX_VIEW = 33 * 1024;
/** Statuses of processes that nobody has waited for are kept up to this many. */
const KEPT_STATUSES = 1024;
/** What a signal from outside does not end a container with that has not been started. */
const HARMLESS: readonly number[] = [0, SIGCHLD, SIGCONT, SIGURG, SIGWINCH, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU];
/** wait(2) statuses of a first process that could not be started, as a shell has them. */
const NOT_FOUND = 127 << 8;
const NOT_EXECUTABLE = 126 << 8;
const FAILED = 1 << 8;

/** The tree of names of a container; given by boot. */
export interface ContainerFiles {
  readonly mounts: MountNamespace;
  /** Messages to its Gofer so far. */
  messages(): number;
  /** No process of the container is left: gives back what came from the Gofer. */
  close(): void;
  /** Lets go of the Gofer itself. */
  hangUp(): void;
}

/** What containers of a sandbox have in common. */
export interface Surroundings {
  readonly kernel: Kernel;
  readonly hostFile: HostFileFactory;
  /** Keeps the tasks of a container out of the guest, and lets them in again. */
  pause(id: string): void;
  resume(id: string): void;
  /** The end of a process that the entrypoint started, or (`stopped` > 0) a job control stop of a first process. */
  changed(c: Container, g: ThreadGroup | null, status: number, stopped: number): void;
  /** No process of the container is left, nor will there be one. */
  released(c: Container): void;
}

/** A process that is over, with what of it must wait for the loop: until CLOCK_MONOTONIC `until` (ns) its terminal may be slow. */
interface Closing {
  joined: JoinedConsole;
  standin: number;
  status: number;
  until: number;
}

/** How long a terminal may take to show what an ended process has written, and how often it is looked at meanwhile, in ns. */
const SLOW_TERMINAL = 1e9;
const LOOK_AGAIN = 1e7;

export class Container {
  readonly config: ContainerConfig;
  readonly namespaces: NamespaceSet;
  readonly files: ContainerFiles;
  init: ThreadGroup | null = null;
  /** wait(2) status of its first process, once it is over. */
  status = -1;
  /** Statuses of processes that ended before anybody waited, by pid; the oldest first. */
  readonly statuses: Map<number, number> = new Map();
  private readonly around: Surroundings;
  private readonly kernel: Kernel;
  private readonly streams: Donated;
  private readonly standin: number;
  /** The pid namespace came with it. */
  private readonly ownPids: boolean;
  /** Its processes as the stand-in's /proc shows them. */
  private view: ProcView | null = null;
  private readonly consoles: Map<ThreadGroup, JoinedConsole> = new Map();
  /** Processes that the entrypoint started. */
  private readonly started: Set<ThreadGroup> = new Set();
  private readonly standins: Map<ThreadGroup, number> = new Map();
  private readonly closing: Closing[] = [];
  private readonly closeTimer: Timer = new Timer(() => this.settle());
  /** Signals from outside that came during a pause. */
  private readonly waiting: { g: ThreadGroup; signal: number }[] = [];
  private paused = false;
  private released = false;

  /** `streams` and `standin` (a socket, or -1) are the first process's; the container owns them from now on. */
  constructor(
    around: Surroundings,
    config: ContainerConfig,
    namespaces: NamespaceSet,
    files: ContainerFiles,
    streams: Donated,
    standin: number,
    ownPids: boolean,
  ) {
    this.around = around;
    this.kernel = around.kernel;
    this.config = config;
    this.namespaces = namespaces;
    this.files = files;
    this.streams = streams;
    this.standin = standin;
    this.ownPids = ownPids;
    if (standin >= 0) this.watchStandin(null, standin);
  }

  get state(): 'created' | 'running' | 'paused' | 'stopped' {
    if (this.status >= 0) return 'stopped';
    if (this.paused) return 'paused';
    return this.init === null ? 'created' : 'running';
  }

  /** Its processes, zombies too. */
  groups(): ThreadGroup[] {
    const out: ThreadGroup[] = [];
    for (const g of this.kernel.groups.values()) if (g.container === this.config.id) out.push(g);
    return out;
  }

  /** What a process is called in the container's pid namespace. */
  number(g: ThreadGroup): number {
    return g.pid.in(this.namespaces.pid);
  }

  /** Its process of that number, or null. */
  find(pid: number): ThreadGroup | null {
    const g = this.namespaces.pid.group(pid);
    return g !== null && g.container === this.config.id ? g : null;
  }

  /** Starts the container's first process. A container whose process cannot be started is over. */
  start(): ThreadGroup | StartError {
    const unbound = this.bindReadiness();
    if (unbound !== null) return unbound;
    const g = this.spawn(this.config.process, this.streams, true, this.standin);
    if (g instanceof ThreadGroup) this.init = g;
    else this.end(g.errno === -ENOENT ? NOT_FOUND : g.errno === -EACCES ? NOT_EXECUTABLE : FAILED);
    return g;
  }

  /** Starts a further process (exec). Streams and stand-in are the process's, or closed. */
  exec(p: ProcessConfig, streams: Donated, standin: number): ThreadGroup | StartError {
    const g = this.spawn(p, streams, false, standin);
    if (!(g instanceof ThreadGroup)) {
      streams.close(this.kernel);
      if (standin >= 0) this.kernel.host.close(standin);
    }
    return g;
  }

  /** Where the container says that it is ready; null: it is not to. */
  readiness: Readiness | null = null;

  private bindReadiness(): StartError | null {
    if (this.config.notify !== true) return null;
    const r = Readiness.bind(this.kernel, this.files.mounts.root, this.config.id, this.namespaces);
    if (typeof r === 'number') return { errno: r, error: `cannot bind ${NOTIFY_PATH}` };
    this.readiness = r;
    return null;
  }

  private spawn(p: ProcessConfig, streams: Donated, init: boolean, standin: number): ThreadGroup | StartError {
    const k = this.kernel;
    for (const f of k.outside) f();
    // Under job control from outside the command is a process like any other: orphans are reaped by the kernel, not by it.
    // In a shared pid namespace it is the first process of the container that brought the namespace.
    const pidns = this.namespaces.pid;
    const reaper = init && this.config.jobControl !== true && this.ownPids;
    const pid = pidns.alloc(reaper ? [1] : null);
    if (typeof pid === 'number') return { errno: pid, error: 'cannot make a process' };
    const first = k.platform.newAddressSpace(k.origins.get(this.config.id));
    if (typeof first === 'number') {
      pid.drop();
      return { errno: first, error: 'cannot make an address space' };
    }
    const mm = new MemoryManager(k.platform, first.addressSpace);
    const root = this.files.mounts.root;
    const fs = new FsContext(root, root.root, root, root.root, p.umask);
    const fds = new FDTable(() => t.rlimit(RLIMIT_NOFILE));
    const t = new Task(k, pid, first, mm, credentials(p), fs, fds, 'ringfence');
    this.namespaces.refs++;
    switchNamespaces(t, this.namespaces);
    const session = new Session(pid, null);
    const pgrp = new ProcessGroup(pid, session);
    const g = new ThreadGroup(k, pid, t, null, new SignalHandlers(), pgrp, SIGCHLD, this.config.id, monotonicNs());
    session.leader = g;
    t.tg = g;
    g.tasks.add(t);
    g.oomScoreAdj = p.oomScoreAdj;
    setScheduling(t, p);
    g.outsideParent = init && this.config.jobControl === true;
    setLimits(g, p);
    watchCpuLimit(g);
    k.addTask(t);
    k.addGroup(g);
    const error = this.prepare(t, p, streams, init);
    if (error !== null) {
      exitGroup(g, SIGKILL);
      return error;
    }
    if (reaper) {
      pidns.init = g;
      g.unkillable = true;
    }
    this.started.add(g);
    if (!init && standin >= 0) {
      this.standins.set(g, standin);
      this.watchStandin(g, standin);
    }
    t.ctx.resumeFull();
    if (this.paused) this.around.pause(this.config.id);
    return g;
  }

  /** Working directory, streams, program. Null when the task stands at its first instruction. */
  private prepare(t: Task, p: ProcessConfig, streams: Donated, init: boolean): StartError | null {
    const cwd = enterDirectory(t, p.cwd);
    if (cwd < 0) return { errno: cwd, error: `chdir to cwd ("${p.cwd}") set in config.json failed` };
    let joined: JoinedConsole | null = null;
    if (p.terminal && streams.consoleIn >= 0) {
      const made = joinConsole(this.kernel, this.files.mounts, this.config.id, p, streams, init);
      if (typeof made === 'number') return { errno: made, error: 'cannot make a terminal: is /dev/pts mounted?' };
      joined = made;
      this.consoles.set(t.tg, made);
      made.console.control(t);
    }
    const e = giveStreams(t, p, streams, joined === null ? null : joined.console, this.around.hostFile);
    if (e !== null) return e;
    // The home of `do` is that of its caller.
    const env =
      this.config.jobControl === true || p.env.some((v) => v.startsWith('HOME=')) ? p.env : [...p.env, `HOME=${homeOf(t, p.uid)}`];
    const r = executeArgs(t, { ...p, env });
    return r < 0 ? { errno: r, error: `exec: "${p.args[0] ?? ''}"` } : null;
  }

  /**
   * A stand-in on the host: a byte from it is a signal for its process, its end is the end of its process. `g` null: the container's
   * own, before and after its start. That one sends a byte 0, text and an open /dev/fuse as well, when it is in the container's root.
   */
  private watchStandin(g: ThreadGroup | null, fd: number): void {
    const host = this.kernel.host;
    const b = new Uint8Array(g === null ? MAX_VIEW : 64);
    host.setNonblock(fd, true);
    host.watch(fd, EPOLLIN | EPOLLHUP, () => {
      for (;;) {
        const fds: number[] = [];
        const n = host.recvFds(fd, b, 0, b.length, fds);
        if (g === null && n > 0 && b[0] === 0) {
          this.show(fds.shift() ?? -1, latin1Decode(b, 1, n));
          continue;
        }
        for (const f of fds) host.close(f);
        if (n > 0) {
          for (let i = 0; i < n; i++) this.fromStandin(g ?? this.init, b[i]!);
          continue;
        }
        if (n === 0 || n !== -EAGAIN) {
          host.unwatch(fd);
          if (g === null) this.kill();
          else if (!g.zombie) exitGroup(g, SIGKILL);
        }
        return;
      }
    });
  }

  /** The stand-in's /proc is ours to answer for; -1: the host has no FUSE for it. `ids`: uid_map and gid_map of its users, or ''. */
  private show(device: number, ids: string): void {
    if (device < 0) this.kernel.log.info('no FUSE: /proc of the stand-in shows host processes', { container: this.config.id });
    else if (this.view !== null || this.released) this.kernel.host.close(device);
    else this.view = showProcesses(this.kernel, device, this.config.id, this.namespaces, this.files.mounts.root, ids);
  }

  /** A signal that the stand-in got. SIGWINCH comes from the host's terminal: its size is the console's. */
  private fromStandin(g: ThreadGroup | null, sig: number): void {
    const joined = g === null ? undefined : this.consoles.get(g);
    if (sig === SIGWINCH && joined !== undefined) joined.followSize();
    else this.signal(g, sig);
  }

  /** A signal from outside the container for one of its processes. `g` null: it has not been started, and a deadly one is its end. */
  signal(g: ThreadGroup | null, sig: number): void {
    if (sig < 1 || sig > 64) return;
    if (g === null) {
      if (!HARMLESS.includes(sig)) this.end(sig);
    } else if (g.zombie) return;
    else if (sig === SIGKILL) exitGroup(g, SIGKILL);
    else if (this.paused) this.waiting.push({ g, signal: sig });
    else signalGroup(g, new SigInfo(sig, SI_USER), true);
  }

  /** A signal to every process; SIGCONT reaches the stopped ones. */
  signalAll(sig: number): void {
    if (this.init === null) this.signal(null, sig);
    else for (const g of this.groups()) this.signal(g, sig);
  }

  /** Ends all processes at once. */
  kill(): void {
    for (const g of this.groups()) if (!g.zombie) exitGroup(g, SIGKILL);
    this.end(SIGKILL);
  }

  /** Told by the sandbox of the end of a process of this container. */
  ended(g: ThreadGroup): void {
    const ours = this.started.delete(g);
    const standin = this.standins.get(g) ?? -1;
    this.standins.delete(g);
    const joined = this.consoles.get(g);
    if (joined !== undefined) {
      // Not now: the end may come from its own pump, which has an echo to write yet.
      this.consoles.delete(g);
      this.closing.push({ joined, standin, status: g.exitStatus, until: monotonicNs() + SLOW_TERMINAL });
      this.kernel.addTimer(this.closeTimer, 0);
    } else {
      this.tell(standin, g.exitStatus);
    }
    if (g === this.init) {
      this.end(g.exitStatus);
      return;
    }
    if (!ours) return;
    this.statuses.set(this.number(g), g.exitStatus);
    if (this.statuses.size > KEPT_STATUSES) this.statuses.delete(this.statuses.keys().next().value!);
    this.around.changed(this, g, g.exitStatus, 0);
  }

  /** The container is over, with this wait(2) status. What it has is given back from the loop, when no task is being worked on. */
  private end(status: number): void {
    if (this.status >= 0) return;
    this.status = status;
    if (this.paused) {
      this.paused = false;
      this.around.resume(this.config.id);
    }
    for (const g of this.groups()) if (!g.zombie) exitGroup(g, SIGKILL);
    this.waiting.length = 0;
    this.kernel.addTimer(this.closeTimer, 0);
    this.around.changed(this, this.init, status, 0);
  }

  /** What could not be done at once when a process ended. Terminals that are slow are given some time, without holding up the loop. */
  private settle(): void {
    const now = monotonicNs();
    for (const c of this.closing.splice(0)) {
      if (now < c.until && !c.joined.console.drain(0)) this.closing.push(c);
      else this.closeConsole(c, 0);
    }
    if (this.closing.length > 0) this.kernel.addTimer(this.closeTimer, now + LOOK_AGAIN);
    else if (this.status >= 0) this.release();
  }

  private closeConsole(c: Closing, ms: number): void {
    c.joined.close(ms);
    this.tell(c.standin, c.status);
  }

  /** Says how a process ended to its stand-in, which then exits in the same way. */
  private tell(standin: number, status: number): void {
    for (const f of this.kernel.outside) f();
    if (standin < 0) return;
    const b = new Uint8Array(4);
    b[0] = status & 0xff;
    b[1] = (status >> 8) & 0xff;
    this.kernel.host.unwatch(standin);
    this.kernel.host.write(standin, b, 0, 4);
    this.kernel.host.close(standin);
  }

  /** Gives back what an ended container has: terminals, names, descriptors, the Gofer. Last its stand-in learns of the end. */
  release(): void {
    if (this.released) return;
    this.released = true;
    this.kernel.cancelTimer(this.closeTimer);
    for (const c of this.closing.splice(0)) this.closeConsole(c, 0);
    setConsole(this.kernel, this.config.id, null);
    this.streams.close(this.kernel);
    this.view?.close();
    this.readiness?.close();
    this.namespaces.unref();
    this.around.released(this);
    this.files.close();
    forgetPaths();
    // The stand-in must not learn of the end from the Gofer's.
    this.tell(this.standin, this.status);
    this.files.hangUp();
  }

  /** The same where this process ends with the container, and takes the rest along. */
  finish(): void {
    if (this.released) return;
    this.released = true;
    for (const c of this.closing.splice(0)) this.closeConsole(c, SLOW_TERMINAL / 1e6);
    this.tell(this.standin, this.status);
  }

  resize(g: ThreadGroup | null, rows: number, cols: number): void {
    const target = g ?? this.init;
    if (target !== null) this.consoles.get(target)?.console.resize(rows, cols);
  }

  pause(): void {
    for (const f of this.kernel.outside) f();
    this.paused = true;
    this.around.pause(this.config.id);
  }

  resume(): void {
    this.paused = false;
    this.around.resume(this.config.id);
    for (const { g, signal } of this.waiting.splice(0)) this.signal(g, signal);
  }
}
