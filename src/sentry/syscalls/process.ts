// Making and ending processes: fork, clone, execve, exit.

import { E2BIG, EBADF, EFAULT, EINVAL } from '../../abi/errno.ts';
import { AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW } from '../../abi/fcntl.ts';
import {
  SYS_clone,
  SYS_clone3,
  SYS_execve,
  SYS_execveat,
  SYS_exit,
  SYS_exit_group,
  SYS_fork,
  SYS_set_tid_address,
  SYS_vfork,
} from '../../abi/nr.ts';
import { PTRACE_EVENT_EXIT, PTRACE_EVENT_VFORK_DONE } from '../../abi/ptrace.ts';
import {
  CLONE_CLEAR_SIGHAND,
  CLONE_DETACHED,
  CLONE_PARENT_SETTID,
  CLONE_PIDFD,
  CLONE_THREAD,
  CLONE_VFORK,
  CLONE_VM,
} from '../../abi/sched.ts';
import { SIGCHLD } from '../../abi/signal.ts';
import { getI32, getU64 } from '../../base/bytes.ts';
import { BLOCKED, NO_RESULT, TASK_EXITED } from '../../base/result.ts';
import { type CloneArgs, cloneTask } from '../kernel/clone.ts';
import { exitGroup, exitTask } from '../kernel/exit.ts';
import { PID_LEVEL_MAX } from '../kernel/pidns.ts';
import { noteTaskEvent, stopToDie, traceExec } from '../kernel/ptrace.ts';
import { TASK_BLOCKED, type Task } from '../kernel/task.ts';
import { argsRoom, copyInStrings } from '../loader/args.ts';
import { execProgram } from '../loader/exec.ts';
import type { File } from '../vfs/file.ts';
import { LOOKUP_EMPTY, LOOKUP_FOLLOW } from '../vfs/walk.ts';
import { full, partial, type Row } from './row.ts';

/** The byte of clone's flags that is the exit signal. */
const CSIGNAL = 0xff;
const SIGNALS = 64;

/** Makes the child and lets it go; vfork's parent then waits until the child execs or ends. */
function start(t: Task, a: CloneArgs): number {
  if (!t.rs.fresh) return awaitVfork(t);
  const c = cloneTask(t, a);
  if (typeof c === 'number') return c;
  t.rs.a = c.pid.in(t.pidns);
  if (c.ptrace === null) c.ctx.resumeFull();
  else beginTraced(c);
  return (a.flags & CLONE_VFORK) !== 0 ? awaitVfork(t) : t.rs.a;
}

/** A child that is traced from birth stops before its first instruction: the loop sees to that. */
function beginTraced(c: Task): void {
  c.state = TASK_BLOCKED;
  c.returning = true;
  c.kernel.enqueue(c);
}

/** Waits for the vfork child; only death gets the parent out of it. */
function awaitVfork(t: Task): number {
  const g = t.vforkChild;
  if (g !== null && g.vforkParent === t) return BLOCKED;
  t.vforkChild = null;
  if (g !== null) noteTaskEvent(t, PTRACE_EVENT_VFORK_DONE, g.pid);
  return t.rs.a;
}

const PLAIN: CloneArgs = {
  flags: 0,
  clearHandlers: false,
  exitSignal: SIGCHLD,
  stack: 0,
  parentTid: 0,
  childTid: 0,
  tls: 0,
  setTid: null,
  pidfd: 0,
};

export function sys_fork(t: Task): number {
  return start(t, PLAIN);
}

const VFORK: CloneArgs = { ...PLAIN, flags: CLONE_VM | CLONE_VFORK };

export function sys_vfork(t: Task): number {
  return start(t, VFORK);
}

export function sys_clone(t: Task): number {
  const flags = t.argU(0);
  const pidfd = (flags & CLONE_PIDFD) !== 0;
  if (pidfd && (flags & (CLONE_PARENT_SETTID | CLONE_DETACHED)) !== 0) return -EINVAL;
  return start(t, {
    flags: (flags & ~CSIGNAL) >>> 0,
    clearHandlers: false,
    // A number that no signal has is as good as none.
    exitSignal: (flags & CSIGNAL) > SIGNALS ? 0 : flags & CSIGNAL,
    stack: t.arg(1),
    parentTid: t.arg(2),
    childTid: t.arg(3),
    tls: t.arg(4),
    setTid: null,
    pidfd: pidfd ? t.arg(2) : 0,
  });
}

const CLONE_ARGS_SIZE_VER0 = 64;
const CLONE_ARGS_MOST = 4096;

/** The array of clone3's set_tid: `count` numbers, the first for the child's own pid namespace. Null: none; or -errno. */
function readSetTid(t: Task, addr: number, count: number): number[] | null | number {
  if (count > PID_LEVEL_MAX || (addr === 0) !== (count === 0)) return -EINVAL;
  if (count === 0) return null;
  const b = new Uint8Array(4 * count);
  if (t.copyIn(addr, b, 0, b.length) < 0) return -EFAULT;
  return Array.from({ length: count }, (_, i) => getI32(b, 4 * i));
}

export function sys_clone3(t: Task): number {
  if (!t.rs.fresh) return awaitVfork(t);
  const size = t.arg(1);
  if (size < CLONE_ARGS_SIZE_VER0 || size > CLONE_ARGS_MOST) return size > CLONE_ARGS_MOST ? -E2BIG : -EINVAL;
  const b = t.kernel.tmp;
  b.fill(0, 0, 88);
  if (t.copyIn(t.arg(0), b, 0, size) < 0) return -EFAULT;
  for (let i = 88; i < size; i++) if (b[i] !== 0) return -E2BIG;
  const flagsHigh = getU64(b, 0) >= 4294967296 ? Math.floor(getU64(b, 0) / 4294967296) : 0;
  const flags = getU64(b, 0) % 4294967296;
  if ((flagsHigh & ~(CLONE_CLEAR_SIGHAND / 4294967296)) !== 0) return -EINVAL;
  if ((flags & (CSIGNAL | CLONE_DETACHED)) !== 0) return -EINVAL;
  const exitSignal = getU64(b, 32);
  const stack = getU64(b, 40);
  const stackSize = getU64(b, 48);
  if ((stack === 0) !== (stackSize === 0)) return -EINVAL;
  if (((flags & CLONE_THREAD) !== 0 && exitSignal !== 0) || exitSignal > 64) return -EINVAL;
  const setTid = readSetTid(t, getU64(b, 64), getU64(b, 72));
  if (typeof setTid === 'number') return setTid;
  return start(t, {
    flags,
    clearHandlers: flagsHigh !== 0,
    exitSignal,
    stack: stack === 0 ? 0 : stack + stackSize,
    parentTid: getU64(b, 24),
    childTid: getU64(b, 16),
    tls: getU64(b, 56),
    setTid,
    pidfd: getU64(b, 8),
  });
}

function exec(t: Task, dir: File | null, pathAddr: number, argvAddr: number, envpAddr: number, flags: number, fd: number): number {
  const path = t.copyInPath(pathAddr);
  if (typeof path === 'number') return path;
  const argv: string[] = [];
  const envp: string[] = [];
  const room = argsRoom(t);
  const used = copyInStrings(t, argvAddr, argv, room);
  if (used < 0) return used;
  const more = copyInStrings(t, envpAddr, envp, room - used);
  if (more < 0) return more;
  const display = fd === AT_FDCWD || path.startsWith('/') ? path : path === '' ? `/dev/fd/${fd}` : `/dev/fd/${fd}/${path}`;
  const visible = fd === AT_FDCWD || path.startsWith('/') || !t.fds.getCloexec(fd);
  const old = t.pid;
  const r = execProgram(t, dir, path, flags, argv, envp, display, visible);
  if (r !== 0) return r;
  traceExec(t, old);
  return NO_RESULT;
}

export function sys_execve(t: Task): number {
  return exec(t, null, t.arg(0), t.arg(1), t.arg(2), LOOKUP_FOLLOW, AT_FDCWD);
}

export function sys_execveat(t: Task): number {
  const flags = t.argI(4);
  const path = t.copyInPath(t.arg(1));
  if (typeof path === 'number') return path;
  if ((flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)) !== 0) return -EINVAL;
  const fd = t.argI(0);
  const dir = fd === AT_FDCWD ? null : t.fds.get(fd);
  if (fd !== AT_FDCWD && dir === null) return -EBADF;
  const lookup = ((flags & AT_SYMLINK_NOFOLLOW) !== 0 ? 0 : LOOKUP_FOLLOW) | ((flags & AT_EMPTY_PATH) !== 0 ? LOOKUP_EMPTY : 0);
  return exec(t, dir, t.arg(1), t.arg(2), t.arg(3), lookup, fd);
}

export function sys_exit(t: Task): number {
  if (stopToDie(t, (t.argI(0) & 0xff) << 8, PTRACE_EVENT_EXIT, true)) return TASK_EXITED;
  exitTask(t, (t.argI(0) & 0xff) << 8);
  return TASK_EXITED;
}

export function sys_exit_group(t: Task): number {
  if (stopToDie(t, (t.argI(0) & 0xff) << 8, PTRACE_EVENT_EXIT, false)) return TASK_EXITED;
  exitGroup(t.tg, (t.argI(0) & 0xff) << 8);
  return TASK_EXITED;
}

export function sys_set_tid_address(t: Task): number {
  t.clearChildTid = t.arg(0);
  return t.vtid;
}

const NO_NAMESPACES = 'no user and time namespaces';

export const rows: readonly Row[] = [
  partial(SYS_clone, 'clone', sys_clone, NO_NAMESPACES, 'clone', 'ptr', 'ptr', 'ptr', 'ptr'),
  full(SYS_fork, 'fork', sys_fork),
  full(SYS_vfork, 'vfork', sys_vfork),
  full(SYS_execve, 'execve', sys_execve, 'path', 'argv', 'ptr'),
  full(SYS_exit, 'exit', sys_exit, 'int'),
  full(SYS_set_tid_address, 'set_tid_address', sys_set_tid_address, 'ptr'),
  full(SYS_exit_group, 'exit_group', sys_exit_group, 'int'),
  full(SYS_execveat, 'execveat', sys_execveat, 'dirfd', 'path', 'argv', 'ptr', 'int'),
  partial(SYS_clone3, 'clone3', sys_clone3, `${NO_NAMESPACES}; no cgroup`, 'ptr', 'size'),
];
