// A container in the Sentry: how its processes are made from what the entrypoint sends, and how their end is told.

import { EACCES, EAGAIN, EINVAL, ENOENT, ENOTDIR } from '../../abi/errno.ts';
import { EPOLLHUP, EPOLLIN } from '../../abi/epoll.ts';
import { RLIMIT_NLIMITS, RLIMIT_NOFILE, RLIMIT_STACK } from '../../abi/resource.ts';
import { SIGCHLD, SIGCONT, SIGKILL, SIGWINCH } from '../../abi/signal.ts';
import { TIOCGWINSZ } from '../../abi/ioctl.ts';
import { WINSIZE } from '../../abi/layouts.ts';
import { getU16 } from '../../base/bytes.ts';
import { monotonicNs } from '../../base/clock.ts';
import type { ContainerConfig, ProcessConfig, StdioFds } from '../../wire/boot.ts';
import { type Console, createConsole } from '../fs/tty/console.ts';
import { exitGroup } from '../kernel/exit.ts';
import { watchCpuLimit } from '../kernel/cputimers.ts';
import { FDTable } from '../kernel/fdtable.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { type NamespaceSet, switchNamespaces } from '../kernel/namespaces.ts';
import type { PidNamespace } from '../kernel/pidns.ts';
import { ProcessGroup, Session } from '../kernel/session.ts';
import { SigInfo, SignalHandlers } from '../kernel/siginfo.ts';
import { signalGroup } from '../kernel/signals.ts';
import { Task } from '../kernel/task.ts';
import { ThreadGroup } from '../kernel/threadgroup.ts';
import { Timer } from '../kernel/timers.ts';
import { execProgram } from '../loader/exec.ts';
import { MemoryManager } from '../mm/memory.ts';
import { Credentials } from '../vfs/creds.ts';
import type { File } from '../vfs/file.ts';
import { FsContext } from '../vfs/fscontext.ts';
import type { Mount } from '../vfs/mount.ts';
import type { MountNamespace } from '../vfs/namespace.ts';
import { LOOKUP_FOLLOW, resolve, Walk } from '../vfs/walk.ts';

/** Makes files over donated host descriptors; given by boot. */
export type HostFileFactory = (fd: number) => File | number;

const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const SI_USER = 0;
const DEFAULT_STACK = 8 << 20;

/** A failure to start a process: where and why. */
export interface StartError {
  errno: number;
  error: string;
}

export class Container {
  readonly kernel: Kernel;
  readonly config: ContainerConfig;
  readonly mounts: MountNamespace;
  readonly pidns: PidNamespace;
  /** What its processes begin in. */
  readonly namespaces: NamespaceSet;
  init: ThreadGroup | null = null;
  /** wait(2) status of init, once it is over. */
  status = -1;
  private readonly hostFile: HostFileFactory;
  private readonly consoles: Map<ThreadGroup, Console> = new Map();
  /** Processes that the entrypoint started. */
  private readonly started: Set<ThreadGroup> = new Set();
  private readonly standins: Map<ThreadGroup, number> = new Map();
  /** Host descriptors of consoles, whose window size the host keeps. */
  private readonly consoleFds: Map<ThreadGroup, number> = new Map();
  private readonly closing: Console[] = [];
  private readonly closeTimer: Timer = new Timer(() => this.closeConsoles());
  /** Told of the end of any process that the entrypoint started, and of job control stops of init. */
  private readonly listeners: ((g: ThreadGroup, status: number, stopped: number) => void)[] = [];

  /** `pidns`: a pid namespace that is `hosted`. Its init is the first process of the container that starts first there. */
  constructor(kernel: Kernel, config: ContainerConfig, mounts: MountNamespace, pidns: PidNamespace, hostFile: HostFileFactory) {
    this.kernel = kernel;
    this.config = config;
    this.mounts = mounts;
    this.pidns = pidns;
    this.namespaces = kernel.namespaces.copy();
    this.namespaces.pid = pidns;
    this.hostFile = hostFile;
    kernel.groupEnded.push((g) => this.ended(g));
    kernel.stopHook = (g, sig) => {
      if (g === this.init) for (const f of this.listeners) f(g, -1, sig);
    };
  }

  onChange(f: (g: ThreadGroup, status: number, stopped: number) => void): void {
    this.listeners.push(f);
  }

  get state(): 'created' | 'running' | 'paused' | 'stopped' {
    if (this.status >= 0) return 'stopped';
    if (this.init === null) return 'created';
    return this.kernel.paused ? 'paused' : 'running';
  }

  /** Starts the container's first process. */
  start(stdio: StdioFds, standin: number): ThreadGroup | StartError {
    const g = this.spawn(this.config.process, stdio, true, standin);
    if (g instanceof ThreadGroup) this.init = g;
    return g;
  }

  /** Starts a further process (exec). */
  exec(p: ProcessConfig, stdio: StdioFds, standin: number): ThreadGroup | StartError {
    return this.spawn(p, stdio, false, standin);
  }

  private spawn(p: ProcessConfig, stdio: StdioFds, init: boolean, standin: number): ThreadGroup | StartError {
    const k = this.kernel;
    for (const f of k.entered) f();
    // Under job control from outside the command is a process like any other: orphans are reaped by the kernel, not by it.
    const reaper = init && this.config.jobControl !== true && this.pidns.init === null;
    const pid = this.pidns.alloc(reaper ? [1] : null);
    if (typeof pid === 'number') return { errno: pid, error: 'cannot make a process' };
    const first = k.platform.newAddressSpace();
    if (typeof first === 'number') {
      pid.drop();
      return { errno: first, error: 'cannot make an address space' };
    }
    const mm = new MemoryManager(k.platform, first.addressSpace);
    const root = this.mounts.root;
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
    g.outsideParent = init && this.config.jobControl === true;
    setLimits(g, p);
    watchCpuLimit(g);
    k.addTask(t);
    k.addGroup(g);
    this.started.add(g);
    const error = this.prepare(t, p, stdio, init);
    if (error !== null) {
      exitGroup(g, SIGKILL);
      this.consoles.get(g)?.close();
      return error;
    }
    if (reaper) {
      this.pidns.init = g;
      g.unkillable = true;
    }
    if (standin >= 0) this.watchStandin(g, standin);
    t.ctx.resumeFull();
    return g;
  }

  /** Working directory, streams, program. Null when the task stands at its first instruction. */
  private prepare(t: Task, p: ProcessConfig, stdio: StdioFds, init: boolean): StartError | null {
    const cwd = this.enter(t, p.cwd);
    if (cwd < 0) return { errno: cwd, error: `chdir to cwd ("${p.cwd}") set in config.json failed` };
    const e = this.streams(t, p, stdio, init);
    if (e !== null) return e;
    const r = this.execute(t, p);
    if (r < 0) return { errno: r, error: `exec: "${p.args[0] ?? ''}"` };
    return null;
  }

  private enter(t: Task, path: string): number {
    const w = new Walk();
    const r = resolve(t, null, path === '' ? '/' : path, LOOKUP_FOLLOW, w);
    if (r < 0) return r;
    if (!w.dentry.isDir) return -ENOTDIR;
    t.fs.setCwd(w.mount, w.dentry);
    return 0;
  }

  private streams(t: Task, p: ProcessConfig, stdio: StdioFds, init: boolean): StartError | null {
    let console: Console | null = null;
    if (p.terminal && stdio.consoleIn >= 0) {
      const made = this.console(p, stdio, init);
      if (typeof made === 'number') return { errno: made, error: 'cannot make a terminal: is /dev/pts mounted?' };
      console = made;
      this.consoles.set(t.tg, console);
      this.consoleFds.set(t.tg, stdio.consoleIn);
      made.beforeInput = () => this.followSize(made, stdio.consoleIn);
      console.control(t);
    }
    for (let i = 0; i < 3; i++) {
      const fd = stdio.fds[i]!;
      let f: File | number | null = null;
      if (fd >= 0) f = this.hostFile(fd);
      else if (console !== null) f = console.openSlave();
      if (f === null) continue;
      if (typeof f === 'number') return { errno: f, error: `cannot use standard stream ${i}` };
      t.fds.replace(i, f, false, null);
    }
    for (let i = 0; i < stdio.extra.length; i++) {
      const f = this.hostFile(stdio.extra[i]!);
      if (typeof f === 'number') return { errno: f, error: `cannot use descriptor ${3 + i}` };
      t.fds.replace(3 + i, f, false, null);
    }
    return null;
  }

  private console(p: ProcessConfig, stdio: StdioFds, init: boolean): Console | number {
    const pts = this.findPts();
    if (pts === null) return -ENOENT;
    const size = this.hostSize(stdio.consoleIn) ?? p.consoleSize ?? { rows: 0, cols: 0 };
    return createConsole(this.kernel, pts, this.config.id, init, {
      inFd: stdio.consoleIn,
      outFd: stdio.consoleOut,
      rows: size.rows,
      cols: size.cols,
      uid: p.uid,
      gid: p.gid,
    });
  }

  /** The window size of a host terminal; null when it has none. */
  private hostSize(fd: number): { rows: number; cols: number } | null {
    const b = new Uint8Array(WINSIZE.size);
    if (this.kernel.host.ioctl(fd, TIOCGWINSZ, b) < 0) return null;
    const rows = getU16(b, WINSIZE.ws_row);
    const cols = getU16(b, WINSIZE.ws_col);
    return rows === 0 && cols === 0 ? null : { rows, cols };
  }

  private findPts(): Mount | null {
    for (const m of this.mounts.list()) if (m.fs.name === 'devpts') return m;
    return null;
  }

  /** Runs args[0], looked up in PATH when it has no slash. 0 or -errno. */
  private execute(t: Task, p: ProcessConfig): number {
    const name = p.args[0];
    if (name === undefined || name === '') return -EINVAL;
    if (name.includes('/')) return execProgram(t, null, name, LOOKUP_FOLLOW, p.args.slice(), p.env, name);
    const variable = p.env.find((e) => e.startsWith('PATH='));
    const path = variable === undefined ? DEFAULT_PATH : variable.slice('PATH='.length);
    let worst = -ENOENT;
    for (const dir of path.split(':')) {
      const full = `${dir === '' ? '.' : dir}/${name}`;
      const r = execProgram(t, null, full, LOOKUP_FOLLOW, p.args.slice(), p.env, full);
      if (r === 0) return 0;
      if (r === -EACCES) worst = r;
      else if (r !== -ENOENT && r !== -ENOTDIR) return r;
    }
    return worst;
  }

  /** A stand-in on the host: a byte from it is a signal for its process, its end is the end of its process. */
  private watchStandin(g: ThreadGroup, fd: number): void {
    const host = this.kernel.host;
    const b = new Uint8Array(64);
    this.standins.set(g, fd);
    host.setNonblock(fd, true);
    host.watch(fd, EPOLLIN | EPOLLHUP, () => {
      for (;;) {
        const n = host.read(fd, b, 0, b.length);
        if (n > 0) {
          for (let i = 0; i < n; i++) this.fromStandin(g, b[i]!);
          continue;
        }
        if (n === 0 || (n < 0 && n !== -EAGAIN)) {
          host.unwatch(fd);
          this.standins.delete(g);
          if (g === this.init) this.kill();
          else if (!g.zombie) exitGroup(g, SIGKILL);
        }
        return;
      }
    });
  }

  /** A signal that the stand-in got. SIGWINCH comes from the host's terminal: its size is the console's. */
  private fromStandin(g: ThreadGroup, sig: number): void {
    const console = this.consoles.get(g);
    const fd = this.consoleFds.get(g);
    if (sig !== SIGWINCH || console === undefined || fd === undefined) {
      this.signal(g, sig);
      return;
    }
    this.followSize(console, fd);
  }

  private followSize(console: Console, fd: number): void {
    const size = this.hostSize(fd);
    if (size !== null && (size.rows !== console.tty.rows || size.cols !== console.tty.cols)) console.resize(size.rows, size.cols);
  }

  /** A signal from outside the container. */
  signal(g: ThreadGroup, sig: number): void {
    if (g.zombie || sig < 1 || sig > 64) return;
    if (sig === SIGKILL) exitGroup(g, SIGKILL);
    else signalGroup(g, new SigInfo(sig, SI_USER), true);
  }

  /** A signal to every process; SIGCONT reaches the stopped ones. */
  signalAll(sig: number): void {
    for (const g of [...this.kernel.groups.values()]) if (!g.zombie) this.signal(g, sig);
  }

  /** Ends all processes at once. */
  kill(): void {
    if (this.kernel.paused) this.resume();
    for (const g of [...this.kernel.groups.values()]) if (!g.zombie) exitGroup(g, SIGKILL);
    if (this.init === null && this.status < 0) this.kernel.done = true;
  }

  private ended(g: ThreadGroup): void {
    const standin = this.standins.get(g);
    const ours = this.started.delete(g);
    const console = this.consoles.get(g);
    if (console !== undefined) {
      // Not now: the end may come from its own pump, which has an echo to write yet.
      this.consoles.delete(g);
      this.consoleFds.delete(g);
      this.closing.push(console);
      this.kernel.addTimer(this.closeTimer, 0);
    }
    if (standin !== undefined) {
      this.standins.delete(g);
      this.kernel.host.unwatch(standin);
      const b = new Uint8Array(4);
      b[0] = g.exitStatus & 0xff;
      b[1] = (g.exitStatus >> 8) & 0xff;
      this.kernel.host.write(standin, b, 0, 4);
      if (g !== this.init) this.kernel.host.close(standin);
    }
    if (g === this.init) this.status = g.exitStatus;
    if (ours) for (const f of this.listeners) f(g, g.exitStatus, 0);
    if (g === this.init) this.kernel.done = true;
  }

  /** Writes what ended processes left on their terminals and gives those up. Boot calls it once more after the loop. */
  closeConsoles(): void {
    for (const c of this.closing.splice(0)) c.close();
  }

  resize(g: ThreadGroup | null, rows: number, cols: number): void {
    const target = g ?? this.init;
    if (target === null) return;
    this.consoles.get(target)?.resize(rows, cols);
  }

  pauseHook: () => void = () => {};
  resumeHook: () => void = () => {};

  pause(): void {
    this.pauseHook();
  }

  resume(): void {
    this.resumeHook();
  }

  /** Lets a stopped foreground go on (the `do` command came back). */
  continueAll(): void {
    this.signalAll(SIGCONT);
  }
}

function credentials(p: ProcessConfig): Credentials {
  const c = new Credentials();
  c.ruid = p.uid;
  c.euid = p.uid;
  c.suid = p.uid;
  c.fsuid = p.uid;
  c.rgid = p.gid;
  c.egid = p.gid;
  c.sgid = p.gid;
  c.fsgid = p.gid;
  c.groups = p.additionalGids.slice();
  const set = (w: [number, number]): { lo: number; hi: number } => ({ lo: w[0] >>> 0, hi: w[1] >>> 0 });
  c.permitted = set(p.capabilities.permitted);
  c.effective = set(p.capabilities.effective);
  c.inheritable = set(p.capabilities.inheritable);
  c.bounding = set(p.capabilities.bounding);
  c.ambient = set(p.capabilities.ambient);
  c.noNewPrivs = p.noNewPrivileges;
  return c;
}

function setLimits(g: ThreadGroup, p: ProcessConfig): void {
  g.limitSoft[RLIMIT_NOFILE] = 1024;
  g.limitHard[RLIMIT_NOFILE] = 1048576;
  g.limitSoft[RLIMIT_STACK] = DEFAULT_STACK;
  for (const l of p.rlimits) {
    if (l.type < 0 || l.type >= RLIMIT_NLIMITS) continue;
    g.limitSoft[l.type] = l.soft < 0 ? Infinity : l.soft;
    g.limitHard[l.type] = l.hard < 0 ? Infinity : l.hard;
  }
}
