// Process identity: pids, process groups, sessions (getpid(2), setpgid(2), setsid(2)).

import { EACCES, EINVAL, EPERM, ESRCH } from '../../abi/errno.ts';
import { SYS_getpgid, SYS_getpgrp, SYS_getpid, SYS_getppid, SYS_getsid, SYS_gettid, SYS_setpgid, SYS_setsid } from '../../abi/nr.ts';
import { ProcessGroup, Session } from '../kernel/session.ts';
import type { Task } from '../kernel/task.ts';
import type { ThreadGroup } from '../kernel/threadgroup.ts';
import { full, type Row } from './row.ts';

export function sys_getpid(t: Task): number {
  return t.tg.tgid;
}

export function sys_gettid(t: Task): number {
  return t.tid;
}

export function sys_getppid(t: Task): number {
  const p = t.tg.parent;
  if (p !== null) return p.tgid;
  // Without a first process of its own (`do`), orphans are children of the host's, as far as they can tell.
  return t.kernel.init === null ? 1 : 0;
}

export function sys_getpgrp(t: Task): number {
  return t.tg.pgrp.pgid;
}

function groupOf(t: Task, pid: number): ThreadGroup | null {
  return pid === 0 ? t.tg : (t.kernel.findTask(pid)?.tg ?? null);
}

export function sys_getpgid(t: Task): number {
  const g = groupOf(t, t.argI(0));
  return g === null ? -ESRCH : g.pgrp.pgid;
}

export function sys_getsid(t: Task): number {
  const g = groupOf(t, t.argI(0));
  return g === null ? -ESRCH : g.session.sid;
}

/** Moves `g` to `to`, letting an emptied group and session go. */
function move(t: Task, g: ThreadGroup, to: ProcessGroup): void {
  const k = t.kernel;
  const from = g.pgrp;
  if (from === to) return;
  g.joinGroup(to);
  if (from.members.size > 0) return;
  k.pgrps.delete(from.pgid);
  if (--from.session.groups === 0) k.sessions.delete(from.session.sid);
}

export function sys_setpgid(t: Task): number {
  const k = t.kernel;
  const pid = t.argI(0) === 0 ? t.tgid : t.argI(0);
  const pgid = t.argI(1) === 0 ? pid : t.argI(1);
  if (pgid < 0) return -EINVAL;
  const g = k.findGroup(pid);
  if (g === null || (g !== t.tg && g.parent !== t.tg)) return -ESRCH;
  if (g !== t.tg) {
    if (g.session !== t.tg.session) return -EPERM;
    if (g.execed) return -EACCES;
  }
  if (g.session.sid === g.tgid) return -EPERM;
  let pg = k.pgrps.get(pgid);
  if (pg === undefined) {
    if (pgid !== pid) return -EPERM;
    pg = new ProcessGroup(pgid, g.session);
    k.pgrps.set(pgid, pg);
  } else if (pg.session !== g.session) return -EPERM;
  move(t, g, pg);
  return 0;
}

export function sys_setsid(t: Task): number {
  const k = t.kernel;
  const g = t.tg;
  if (g.pgrp.pgid === g.tgid || k.pgrps.has(g.tgid)) return -EPERM;
  const s = new Session(g.tgid, g);
  k.sessions.set(s.sid, s);
  const pg = new ProcessGroup(g.tgid, s);
  k.pgrps.set(pg.pgid, pg);
  move(t, g, pg);
  return s.sid;
}

export const rows: readonly Row[] = [
  full(SYS_getpid, 'getpid', sys_getpid),
  full(SYS_setpgid, 'setpgid', sys_setpgid, 'int', 'int'),
  full(SYS_getppid, 'getppid', sys_getppid),
  full(SYS_getpgrp, 'getpgrp', sys_getpgrp),
  full(SYS_setsid, 'setsid', sys_setsid),
  full(SYS_getpgid, 'getpgid', sys_getpgid, 'int'),
  full(SYS_getsid, 'getsid', sys_getsid, 'int'),
  full(SYS_gettid, 'gettid', sys_gettid),
];
