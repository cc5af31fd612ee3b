// How a process that the entrypoint asks for comes to be: credentials, limits, streams, terminal, program.

import { EACCES, EINVAL, ENOENT, ENOTDIR } from '../../abi/errno.ts';
import { RLIMIT_NLIMITS, RLIMIT_NOFILE, RLIMIT_STACK } from '../../abi/resource.ts';
import { TIOCGWINSZ } from '../../abi/ioctl.ts';
import { WINSIZE } from '../../abi/layouts.ts';
import { getU16 } from '../../base/bytes.ts';
import type { ProcessConfig, StdioFds } from '../../wire/boot.ts';
import { type Console, createConsole } from '../fs/tty/console.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { setIoPriority } from '../syscalls/sched.ts';
import type { Task } from '../kernel/task.ts';
import type { ThreadGroup } from '../kernel/threadgroup.ts';
import { execProgram } from '../loader/exec.ts';
import { Credentials } from '../vfs/creds.ts';
import type { File } from '../vfs/file.ts';
import type { Mount } from '../vfs/mount.ts';
import type { MountNamespace } from '../vfs/namespace.ts';
import { LOOKUP_FOLLOW, resolve, Walk } from '../vfs/walk.ts';
import { applyProfile } from './profile.ts';

/** Makes a file over a donated host descriptor, which it owns from then on, for a user of the sandbox; given by boot. */
export type HostFileFactory = (fd: number, uid: number, gid: number) => File | number;

const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const DEFAULT_STACK = 8 << 20;

/** A failure to start a process: where and why. */
export interface StartError {
  errno: number;
  error: string;
}

/** Descriptors that came with a request. Those that no file or terminal took are closed by `close`. */
export class Donated {
  readonly fds: [number, number, number];
  readonly extra: number[];
  consoleIn: number;
  consoleOut: number;

  constructor(s: StdioFds) {
    this.fds = [s.fds[0], s.fds[1], s.fds[2]];
    this.extra = s.extra.slice();
    this.consoleIn = s.consoleIn;
    this.consoleOut = s.consoleOut;
  }

  /** Streams of a process that has none. */
  static none(): Donated {
    return new Donated({ fds: [-1, -1, -1], consoleIn: -1, consoleOut: -1, extra: [] });
  }

  close(kernel: Kernel): void {
    const all = new Set([...this.fds, ...this.extra, this.consoleIn, this.consoleOut]);
    for (const fd of all) if (fd >= 0) kernel.host.close(fd);
    this.fds.fill(-1);
    this.extra.length = 0;
    this.consoleIn = -1;
    this.consoleOut = -1;
  }
}

/** A terminal of the sandbox, and the host's descriptors that it is joined to. */
export class JoinedConsole {
  readonly console: Console;
  private readonly kernel: Kernel;
  private readonly inFd: number;
  private readonly outFd: number;

  constructor(kernel: Kernel, console: Console, inFd: number, outFd: number) {
    this.kernel = kernel;
    this.console = console;
    this.inFd = inFd;
    this.outFd = outFd;
    console.beforeInput = () => this.followSize();
  }

  /** Takes over the window size that the host's terminal has now. */
  followSize(): void {
    const size = hostSize(this.kernel, this.inFd);
    const tty = this.console.tty;
    if (size !== null && (size.rows !== tty.rows || size.cols !== tty.cols)) this.console.resize(size.rows, size.cols);
  }

  /** Writes what programs have left, waiting up to `ms`, and gives the terminal up: whoever holds its other end sees the end. */
  close(ms: number): void {
    this.console.close(ms);
    this.kernel.host.close(this.inFd);
    if (this.outFd !== this.inFd) this.kernel.host.close(this.outFd);
  }
}

/** The window size of a host terminal; null when it has none. */
function hostSize(kernel: Kernel, fd: number): { rows: number; cols: number } | null {
  const b = new Uint8Array(WINSIZE.size);
  if (kernel.host.ioctl(fd, TIOCGWINSZ, b) < 0) return null;
  const rows = getU16(b, WINSIZE.ws_row);
  const cols = getU16(b, WINSIZE.ws_col);
  return rows === 0 && cols === 0 ? null : { rows, cols };
}

/** A terminal for a process of container `id`, joined to the donated console, which it takes over. Or -errno. */
export function joinConsole(
  kernel: Kernel,
  mounts: MountNamespace,
  id: string,
  p: ProcessConfig,
  d: Donated,
  init: boolean,
): JoinedConsole | number {
  const pts = findPts(mounts);
  if (pts === null) return -ENOENT;
  const size = hostSize(kernel, d.consoleIn) ?? p.consoleSize ?? { rows: 0, cols: 0 };
  const made = createConsole(kernel, pts, id, init, {
    inFd: d.consoleIn,
    outFd: d.consoleOut,
    rows: size.rows,
    cols: size.cols,
    uid: p.uid,
    gid: p.gid,
  });
  if (typeof made === 'number') return made;
  const joined = new JoinedConsole(kernel, made, d.consoleIn, d.consoleOut);
  d.consoleIn = -1;
  d.consoleOut = -1;
  return joined;
}

function findPts(mounts: MountNamespace): Mount | null {
  for (const m of mounts.list()) if (m.fs.name === 'devpts') return m;
  return null;
}

/** Descriptors 0, 1, 2: donated ones, or the terminal; then those beyond. Null, or what failed. */
export function giveStreams(t: Task, p: ProcessConfig, d: Donated, console: Console | null, hostFile: HostFileFactory): StartError | null {
  for (let i = 0; i < 3; i++) {
    const fd = d.fds[i]!;
    d.fds[i] = -1;
    const f = fd >= 0 ? hostFile(fd, p.uid, p.gid) : console !== null ? console.openSlave() : null;
    if (f === null) continue;
    if (typeof f === 'number') {
      if (fd >= 0) t.kernel.host.close(fd);
      return { errno: f, error: `cannot use standard stream ${i}` };
    }
    t.fds.replace(i, f, false, null);
  }
  const extra = d.extra.splice(0);
  for (let i = 0; i < extra.length; i++) {
    const f = hostFile(extra[i]!, p.uid, p.gid);
    if (typeof f === 'number') {
      for (const fd of extra.slice(i)) t.kernel.host.close(fd);
      return { errno: f, error: `cannot use descriptor ${3 + i}` };
    }
    t.fds.replace(3 + i, f, false, null);
  }
  return null;
}

/** Moves the task to its working directory. 0 or -errno. */
export function enterDirectory(t: Task, path: string): number {
  const w = new Walk();
  const r = resolve(t, null, path === '' ? '/' : path, LOOKUP_FOLLOW, w);
  if (r < 0) return r;
  if (!w.dentry.isDir) return -ENOTDIR;
  t.fs.setCwd(w.mount, w.dentry);
  return 0;
}

/** Runs args[0], looked up in PATH when it has no slash, under the configuration's filter. 0 or -errno. */
export function executeArgs(t: Task, p: ProcessConfig): number {
  const name = p.args[0];
  if (name === undefined || name === '') return -EINVAL;
  const filtered = applyProfile(t, p.seccomp);
  if (filtered < 0) return filtered;
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

export function credentials(p: ProcessConfig): Credentials {
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

/** What the process sees of its priorities. */
export function setScheduling(t: Task, p: ProcessConfig): void {
  if (p.scheduler !== undefined) {
    t.policy = p.scheduler.policy;
    t.nice = p.scheduler.nice;
    t.rtPriority = p.scheduler.priority;
    t.resetOnFork = p.scheduler.resetOnFork;
  }
  if (p.ioPriority !== undefined) setIoPriority(t, p.ioPriority);
}

export function setLimits(g: ThreadGroup, p: ProcessConfig): void {
  g.limitSoft[RLIMIT_NOFILE] = 1024;
  g.limitHard[RLIMIT_NOFILE] = 1048576;
  g.limitSoft[RLIMIT_STACK] = DEFAULT_STACK;
  for (const l of p.rlimits) {
    if (l.type < 0 || l.type >= RLIMIT_NLIMITS) continue;
    g.limitSoft[l.type] = l.soft < 0 ? Infinity : l.soft;
    g.limitHard[l.type] = l.hard < 0 ? Infinity : l.hard;
  }
}
