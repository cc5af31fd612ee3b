// Directories of /proc for processes and threads.

import { CAP_SYS_RESOURCE } from '../../../abi/capability.ts';
import { EACCES, EINVAL, EIO, ENOENT, EPERM, ESRCH } from '../../../abi/errno.ts';
import { S_IFMT } from '../../../abi/stat.ts';
import { limitsOf } from '../../kernel/limits.ts';
import { peekMemory, pokeMemory } from '../../kernel/ptrace.ts';
import type { Task } from '../../kernel/task.ts';
import type { ThreadGroup } from '../../kernel/threadgroup.ts';
import type { Caller } from '../../vfs/caller.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import type { File } from '../../vfs/file.ts';
import type { Inode } from '../../vfs/inode.ts';
import type { Mount } from '../../vfs/mount.ts';
import { dentryPath, filePath } from '../../vfs/path.ts';
import { RegularFile } from '../../vfs/regular.ts';
import { nameAnonymous } from '../../vfs/walk.ts';
import { cgroupText } from '../cgroup/cgroupfs.ts';
import { SynthDir, type SynthEntry, SynthMagicLink, SynthText } from '../synthetic.ts';
import { type AnyNamespace, NAMESPACE_LINKS, namespaceText } from './nsfs.ts';
import type { ProcFs } from './proc.ts';
import {
  cmdlineText,
  fdinfoText,
  guestText,
  limitsText,
  mapsText,
  mayLook,
  mountinfoText,
  mountsText,
  mountstatsText,
  smapsText,
  statmText,
  statText,
  statusText,
} from './text.ts';

const DT_DIR = 4;
const DT_REG = 8;
const DT_LNK = 10;
const COMM_MOST = 15;
const USER_MAP = '         0          0 4294967295\n';
const NO_ID = '4294967295';

/** Login ids that processes were given (pam_loginuid); inherited by nobody. */
const loginUids = new WeakMap<ThreadGroup, string>();

type Place = { mount: Mount; dentry: Dentry };

/** A thing of a task that may be gone: the task, or null. */
export type TaskOf = () => Task | null;

/** Base of directories that belong to a task: owned by its user, emptied by its end. */
abstract class OwnedDir extends SynthDir {
  readonly proc: ProcFs;
  readonly task: TaskOf;

  constructor(fs: ProcFs, task: TaskOf, mode: number) {
    super(fs, mode);
    this.proc = fs;
    this.task = task;
  }

  /** Gives `i` the owner that the task has now. */
  own(i: Inode): Inode {
    const t = this.task();
    if (t !== null) {
      const mine = t.mm.dumpable === 1;
      i.uid = mine ? t.creds.euid : 0;
      i.gid = mine ? t.creds.egid : 0;
    }
    return i;
  }

  override lookup(c: Caller, name: string): Inode | number {
    if (this.task() === null) return -ENOENT;
    const r = super.lookup(c, name);
    return typeof r === 'number' ? r : this.own(r);
  }
}

/** /proc/PID/fd: magic links to open files. */
class FdDir extends OwnedDir {
  readonly #links = new Map<number, { file: File; link: SynthMagicLink }>();

  protected fileOf(name: string): File | null {
    if (!/^(0|[1-9]\d*)$/.test(name)) return null;
    return this.task()?.fds.get(Number(name)) ?? null;
  }

  protected override find(_c: Caller, name: string): Inode | number {
    const f = this.fileOf(name);
    const fd = Number(name);
    if (f === null) {
      this.#links.delete(fd);
      return -ENOENT;
    }
    const have = this.#links.get(fd);
    if (have !== undefined && have.file === f) return have.link;
    const link = new SynthMagicLink(
      this.proc,
      (c) => filePath(f, c),
      () => placeOf(f),
    );
    link.mode = (link.mode & S_IFMT) | (f.isPath || f.readable ? 0o500 : 0) | (!f.isPath && f.writable ? 0o300 : 0);
    link.size = 64;
    this.#links.set(fd, { file: f, link });
    return link;
  }

  protected override others(c: Caller): SynthEntry[] {
    const out: SynthEntry[] = [];
    this.task()?.fds.forEach((fd) => {
      const i = this.find(c, String(fd));
      out.push({ name: String(fd), ino: typeof i === 'number' ? 0 : i.ino, type: DT_LNK });
    });
    return out;
  }
}

function placeOf(f: File): Place {
  if (f.mount === null || f.dentry === null) nameAnonymous(f);
  return { mount: f.mount!, dentry: f.dentry! };
}

class FdInfoDir extends OwnedDir {
  readonly #texts = new Map<number, { file: File; text: SynthText }>();

  protected override find(_c: Caller, name: string): Inode | number {
    const fd = Number(name);
    const f = /^(0|[1-9]\d*)$/.test(name) ? (this.task()?.fds.get(fd) ?? null) : null;
    if (f === null) return -ENOENT;
    const have = this.#texts.get(fd);
    if (have !== undefined && have.file === f) return have.text;
    const text = new SynthText(this.proc, 0o400, () => fdinfoText(f, this.proc));
    this.#texts.set(fd, { file: f, text });
    return text;
  }

  protected override others(_c: Caller): SynthEntry[] {
    const out: SynthEntry[] = [];
    this.task()?.fds.forEach((fd) => out.push({ name: String(fd), ino: this.ino * 4096 + fd, type: DT_REG }));
    return out;
  }
}

/** /proc/PID/task. */
class TaskDir extends OwnedDir {
  protected override find(_c: Caller, name: string): Inode | number {
    if (!/^[1-9]\d*$/.test(name)) return -ENOENT;
    const t = this.task();
    const other = this.proc.pidns.task(Number(name));
    return t === null || other === null || other.tg !== t.tg ? -ENOENT : this.proc.threadDir(other);
  }

  protected override others(_c: Caller): SynthEntry[] {
    const out: SynthEntry[] = [];
    const t = this.task();
    if (t !== null)
      for (const x of t.tg.tasks) out.push({ name: String(x.pid.in(this.proc.pidns)), ino: this.proc.threadDir(x).ino, type: DT_DIR });
    return out;
  }
}

/** /proc/PID/mem: the memory of the process. */
class MemInode extends SynthText {
  readonly task: TaskOf;

  constructor(fs: ProcFs, task: TaskOf) {
    super(fs, 0o600, () => '');
    this.task = task;
  }

  override open(c: Caller, flags: number, mount: Mount, dentry: Dentry): File | number {
    const t = this.task();
    if (t === null) return -ESRCH;
    const err = mayLook(c as Task, t);
    return err < 0 ? err : new MemFile(this, flags, mount, dentry);
  }
}

class MemFile extends RegularFile {
  readonly node: MemInode;

  constructor(inode: MemInode, flags: number, mount: Mount, dentry: Dentry) {
    super(inode, flags, mount, dentry);
    this.node = inode;
  }

  override pread(_c: Caller, buf: Uint8Array, off: number, len: number, pos: number): number {
    const t = this.node.task();
    if (t === null || len === 0) return 0;
    const n = t.mm.readUpTo(pos, buf, off, len);
    if (n > 0) return n;
    return peekMemory(t, pos, buf, off, len) < 0 ? -EIO : len;
  }

  override pwrite(_c: Caller, buf: Uint8Array, off: number, len: number, pos: number): number {
    const t = this.node.task();
    if (t === null) return 0;
    return pokeMemory(t, pos, buf, off, len) < 0 ? -EIO : len;
  }

  override seek(_c: Caller, offset: number, whence: number): number {
    if (whence > 1) return -EINVAL;
    this.pos = whence === 0 ? offset : this.pos + offset;
    return this.pos;
  }
}

/** What files of a process directory are made of, by name. */
type Maker = (d: PidDir) => Inode;

function text(shows: (t: Task, d: PidDir) => string | Uint8Array | number, mode = 0o444): Maker {
  return (d) =>
    new SynthText(d.proc, mode, () => {
      const t = d.task();
      return t === null ? -ESRCH : shows(t, d);
    });
}

/** A file that only those may read who may look into the process. */
function guarded(shows: (t: Task) => string | Uint8Array, mode = 0o400): Maker {
  return (d) =>
    new SynthText(d.proc, mode, (c) => {
      const t = d.task();
      if (t === null) return -ESRCH;
      const err = mayLook(c as Task, t);
      return err < 0 ? err : shows(t);
    });
}

function writable(shows: (t: Task) => string, takes: (c: Caller, t: Task, s: string) => number): Maker {
  return (d) =>
    new SynthText(
      d.proc,
      0o644,
      () => {
        const t = d.task();
        return t === null ? -ESRCH : shows(t);
      },
      (c, s) => {
        const t = d.task();
        return t === null ? -ESRCH : takes(c, t, s.trim());
      },
    );
}

function magic(place: (t: Task) => Place | null): Maker {
  return (d) => {
    const where = (c: Caller): Place | number => {
      const t = d.task();
      if (t === null) return -ENOENT;
      const err = mayLook(c as Task, t);
      return err < 0 ? err : (place(t) ?? -ENOENT);
    };
    return new SynthMagicLink(
      d.proc,
      (c) => {
        const p = where(c);
        return typeof p === 'number' ? p : dentryPath(c, p.mount, p.dentry);
      },
      where,
    );
  };
}

function exePlace(t: Task): Place | null {
  const exe = t.mm.exe as { file?: File } | null;
  return exe === null || exe.file === undefined ? null : placeOf(exe.file);
}

function setOomScoreAdj(c: Caller, t: Task, s: string): number {
  const v = Number(s);
  if (!/^-?\d+$/.test(s) || v < -1000 || v > 1000) return -EINVAL;
  if (v < t.tg.oomScoreAdj && !c.creds.has(CAP_SYS_RESOURCE)) return -EACCES;
  t.tg.oomScoreAdj = v;
  return 0;
}

function nsDir(d: PidDir): Inode {
  const dir = new SynthDir(d.proc, 0o511);
  for (const [name, find] of NAMESPACE_LINKS) {
    const where = (c: Caller): AnyNamespace | number => {
      const t = d.task();
      if (t === null) return -ENOENT;
      const err = mayLook(c as Task, t);
      return err < 0 ? err : (find(t) ?? -ENOENT);
    };
    dir.add(
      name,
      new SynthMagicLink(
        d.proc,
        (c) => {
          const ns = where(c);
          return typeof ns === 'number' ? ns : namespaceText(ns);
        },
        (c) => {
          const ns = where(c);
          return typeof ns === 'number' ? ns : d.proc.namespaces.place(ns);
        },
      ),
    );
  }
  return dir;
}

function netDir(d: PidDir): Inode {
  const dir = new SynthDir(d.proc);
  for (const [name, shows] of d.proc.extras.net) dir.text(name, () => shows(d.task()?.ns.net.key));
  return dir;
}

const COMMON: Readonly<Record<string, Maker>> = {
  status: text((t, d) => statusText(t, d.proc.pidns)),
  stat: text((t, d) => statText(t, d.thread, d.proc)),
  statm: text((t) => statmText(t)),
  cmdline: text((t) => cmdlineText(t)),
  comm: writable(
    (t) => `${t.name}\n`,
    (c, t, s) => {
      if ((c as Task).tg !== t.tg) return -EINVAL;
      t.name = s.slice(0, COMM_MOST);
      return 0;
    },
  ),
  environ: guarded((t) => guestText(t, t.mm.layout.envStart, t.mm.layout.envEnd)),
  auxv: guarded((t) => t.mm.layout.auxv),
  exe: magic(exePlace),
  cwd: magic((t) => ({ mount: t.fs.cwdMount, dentry: t.fs.cwdDentry })),
  root: magic((t) => ({ mount: t.fs.rootMount, dentry: t.fs.rootDentry })),
  fd: (d) => new FdDir(d.proc, d.task, 0o500),
  fdinfo: (d) => new FdInfoDir(d.proc, d.task, 0o555),
  maps: guarded((t) => mapsText(t), 0o444),
  smaps: guarded((t) => smapsText(t), 0o444),
  mem: (d) => new MemInode(d.proc, d.task),
  mounts: text((t) => mountsText(t)),
  mountinfo: text((t) => mountinfoText(t)),
  ns: nsDir,
  net: netDir,
  limits: text((t) => limitsText(t)),
  cgroup: text((t) => cgroupText(limitsOf(t.kernel, t.tg.container))),
  cpuset: text(() => '/\n'),
  oom_score: text((t) => `${Math.max(0, t.tg.oomScoreAdj)}\n`),
  oom_score_adj: writable((t) => `${t.tg.oomScoreAdj}\n`, setOomScoreAdj),
  oom_adj: writable(
    (t) => `${Math.trunc((t.tg.oomScoreAdj * 17) / 1000)}\n`,
    (c, t, s) => setOomScoreAdj(c, t, String(Math.trunc((Number(s) * 1000) / 17))),
  ),
  uid_map: text(() => USER_MAP, 0o444),
  gid_map: text(() => USER_MAP, 0o444),
  projid_map: text(() => USER_MAP, 0o444),
  setgroups: text(() => 'allow\n', 0o444),
  loginuid: writable(
    (t) => loginUids.get(t.tg) ?? NO_ID,
    (_c, t, s) => {
      if (!/^\d+$/.test(s)) return -EINVAL;
      if (loginUids.has(t.tg)) return -EPERM;
      loginUids.set(t.tg, s);
      return 0;
    },
  ),
  sessionid: text(() => NO_ID),
  wchan: text(() => '0'),
  syscall: text(
    (t) => (t.nr < 0 ? 'running\n' : `${t.nr} ${[0, 1, 2, 3, 4, 5].map((i) => `0x${t.arg(i).toString(16)}`).join(' ')} 0x0 0x0\n`),
    0o400,
  ),
  personality: text((t) => `${t.personality.toString(16).padStart(8, '0')}\n`, 0o400),
  sched: text(
    (t, d) =>
      `${t.name} (${t.pid.in(d.proc.pidns)}, #threads: ${t.tg.tasks.size})\n-------------------------------------------------------------------\nse.sum_exec_runtime                          :     ${(d.proc.extras.taskCpuNs(t) / 1e6).toFixed(6)}\nnr_switches                                  :     ${t.syscalls}\npolicy                                       :     ${t.policy}\nprio                                         :     ${120 + t.nice}\n`,
  ),
  schedstat: text((t, d) => `${Math.floor(d.proc.extras.taskCpuNs(t))} 0 ${t.syscalls}\n`),
};

const GROUP_ONLY: Readonly<Record<string, Maker>> = {
  task: (d) => new TaskDir(d.proc, d.task, 0o555),
  mountstats: text((t) => mountstatsText(t), 0o400),
  coredump_filter: text(() => '00000033\n'),
  timerslack_ns: writable(
    (t) => `${t.timerSlackNs}\n`,
    (_c, t, s) => {
      if (!/^\d+$/.test(s)) return -EINVAL;
      t.timerSlackNs = Number(s);
      return 0;
    },
  ),
};

const THREAD_ONLY: Readonly<Record<string, Maker>> = {
  children: text((t, d) => (t === t.tg.leader ? [...t.tg.children].map((g) => `${g.pid.in(d.proc.pidns)} `).join('') : '')),
};

/** /proc/PID or /proc/PID/task/TID. Files are made when they are first asked for. */
export class PidDir extends OwnedDir {
  /** A thread's own directory, below task. */
  readonly thread: boolean;

  constructor(fs: ProcFs, task: TaskOf, thread: boolean) {
    super(fs, task, 0o555);
    this.thread = thread;
    this.nlink = thread ? 7 : 9;
  }

  private maker(name: string): Maker | undefined {
    return COMMON[name] ?? (this.thread ? THREAD_ONLY[name] : GROUP_ONLY[name]);
  }

  protected override find(_c: Caller, name: string): Inode | number {
    if (!Object.hasOwn(COMMON, name) && !Object.hasOwn(this.thread ? THREAD_ONLY : GROUP_ONLY, name)) return -ENOENT;
    const i = this.maker(name)!(this);
    this.fixed.set(name, i);
    return i;
  }

  override list(c: Caller): SynthEntry[] {
    const out: SynthEntry[] = [];
    for (const name of Object.keys(COMMON).concat(Object.keys(this.thread ? THREAD_ONLY : GROUP_ONLY))) {
      const i = this.lookup(c, name);
      if (typeof i !== 'number') out.push({ name, ino: i.ino, type: (i.mode & S_IFMT) >> 12 });
    }
    return out;
  }
}
