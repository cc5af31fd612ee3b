// execve(2): the program is found (program.ts), a fresh address space filled with it (build.ts), and the calling task switched over to it.

import { ENOMEM } from '../../abi/errno.ts';
import { RLIMIT_AS, RLIMIT_DATA, RLIMIT_NOFILE } from '../../abi/resource.ts';
import { SIGCHLD } from '../../abi/signal.ts';
import { type Context, REG_COUNT, REG_CS, REG_EFLAGS, REG_RIP, REG_RSP, REG_SS } from '../../platform/platform.ts';
import { endOtherThreads, endVfork } from '../kernel/exit.ts';
import { ExeMapping } from '../kernel/filemapping.ts';
import type { Task } from '../kernel/task.ts';
import { leaveAddressSpace } from '../kernel/usage.ts';
import { MemoryManager } from '../mm/memory.ts';
import type { File } from '../vfs/file.ts';
import { build, type Layout } from './build.ts';
import { execCredentials } from './execcreds.ts';
import { prepare, release } from './program.ts';

const USER_CS = 0x33;
const USER_SS = 0x2b;

/** The last component of a path, as comm keeps it. */
function commOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1).slice(0, 15);
}

function switchTo(t: Task, ctx: Context, mm: MemoryManager, at: Layout): void {
  const regs = ctx.regs;
  for (let i = 0; i < 2 * REG_COUNT; i++) regs[i] = 0;
  const set = (r: number, v: number): void => {
    regs[2 * r] = v;
    regs[2 * r + 1] = Math.floor(v / 4294967296);
  };
  set(REG_RIP, at.entry);
  set(REG_RSP, at.sp);
  set(REG_EFLAGS, 0x202);
  set(REG_CS, USER_CS);
  set(REG_SS, USER_SS);
  t.ctx = ctx;
  t.mm = mm;
  ctx.owner = t;
}

/**
 * Replaces the program of `t`. `path` is relative to `dir` (null: working directory); `flags` are LOOKUP_FOLLOW and LOOKUP_EMPTY;
 * `display` is what scripts see as their name; `visible` is false when an interpreter could not open it. 0 with the new registers in place (the caller answers NO_RESULT), or -errno with nothing
 * changed.
 */
export function execProgram(
  t: Task,
  dir: File | null,
  path: string,
  flags: number,
  argv: string[],
  envp: string[],
  display: string,
  visible = true,
): number {
  const p = prepare(t, dir, path, flags, argv, display, visible);
  if (typeof p === 'number') return p;
  // An empty vector gets one empty string, as Linux does since 5.18.
  if (p.argv.length === 0) p.argv.push('');
  const creds = execCredentials(t, p.file);
  const ctx = t.kernel.platform.newAddressSpace(t.kernel.origins.get(t.tg.container));
  if (typeof ctx === 'number') {
    release(p);
    return ctx < 0 ? ctx : -ENOMEM;
  }
  const mm = new MemoryManager(t.kernel.platform, ctx.addressSpace);
  mm.limitAs = t.rlimit(RLIMIT_AS);
  mm.limitData = t.rlimit(RLIMIT_DATA);
  const oldCreds = t.creds;
  t.creds = creds.creds;
  const at = build(t, ctx, mm, p, envp, creds.secure);
  if (typeof at === 'number') {
    t.creds = oldCreds;
    mm.unref();
    ctx.exit();
    release(p);
    return at;
  }
  if (t.seccomp !== null) mm.limitNative(t.seccomp.native());
  mm.exe = new ExeMapping(p.file);
  mm.exe.ref();
  if (creds.secure || !creds.readable) mm.dumpable = 0;

  // The point of no return.
  endOtherThreads(t);
  const g = t.tg;
  const oldCtx = t.ctx;
  const oldMm = t.mm;
  // A vfork child is one thread of its parent's process, all of whose time it has spent since its birth.
  const spent = g.vforkParent === null ? oldCtx.cpuTimeNs() : 0;
  t.cpuBeforeNs += leaveAddressSpace(g, t, spent);
  if (g.vforkParent !== null) endVfork(g, t);
  oldCtx.owner = null;
  oldMm.unref();
  oldCtx.exit();
  switchTo(t, ctx, mm, at);
  if (g.handlers.refs > 1) {
    g.handlers.refs--;
    g.handlers = g.handlers.copy();
  }
  g.handlers.reset();
  t.altStack = 0;
  t.altStackSize = 0;
  t.altStackFlags = 2;
  t.clearChildTid = 0;
  t.robustList = 0;
  t.keepCaps = false;
  if (creds.secure) t.parentDeathSignal = 0;
  t.name = commOf(p.argv === argv ? path : p.execfn);
  g.execed = true;
  if (g.exitSignal !== 0) g.exitSignal = SIGCHLD;
  if (t.fds.refs > 1) {
    const own = t.fds.copy(() => t.rlimit(RLIMIT_NOFILE));
    t.fds.refs--;
    t.fds = own;
  }
  t.fds.closeOnExec(t);
  for (const hook of t.kernel.groupExeced) hook(g);
  release(p);
  return 0;
}
