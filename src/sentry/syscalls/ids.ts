// Process identity: pids, process groups, sessions (getpid(2), setpgid(2), setsid(2)).

import { EACCES, EINVAL, EPERM, ESRCH } from '../../abi/errno.ts';
import { SYS_getpgid, SYS_getpgrp, SYS_getpid, SYS_getppid, SYS_getsid, SYS_gettid, SYS_setpgid, SYS_setsid } from '../../abi/nr.ts';
import { ProcessGroup, Session } from '../kernel/session.ts';
import type { Task } from '../kernel/task.ts';
import type { ThreadGroup } from '../kernel/threadgroup.ts';
import { full, type Row } from './row.ts';

export function sys_getpid(t: Task): number {
  return t.tg.vtgid;
}

export function sys_gettid(t: Task): number {
  return t.vtid;
}

export function sys_getppid(t: Task): number {
  const p = t.tg.parent;
  if (p !== null) return p.pid.in(t.pidns);
  // Without a first process of its own (`do`), orphans are children of the host's, as far as they can tell.
  return t.pidns.hosted && t.pidns.init === null ? 1 : 0;
}

export function sys_getpgrp(t: Task): number {
  return t.tg.pgrp.pid.in(t.pidns);
}

function groupOf(t: Task, pid: number): ThreadGroup | null {
  return pid === 0 ? t.tg : (t.pidns.task(pid)?.tg ?? null);
}

export function sys_getpgid(t: Task): number {
  const g = groupOf(t, t.argI(0));
  return g === null ? -ESRCH : g.pgrp.pid.in(t.pidns);
}

export function sys_getsid(t: Task): number {
  const g = groupOf(t, t.argI(0));
  return g === null ? -ESRCH : g.session.pid.in(t.pidns);
}

export function sys_setpgid(t: Task): number {
  const pid = t.argI(0) === 0 ? t.tg.vtgid : t.argI(0);
  const pgid = t.argI(1) === 0 ? pid : t.argI(1);
  if (pgid < 0) return -EINVAL;
  const g = t.pidns.group(pid);
  if (g === null || (g !== t.tg && g.parent !== t.tg)) return -ESRCH;
  if (g !== t.tg) {
    if (g.session !== t.tg.session) return -EPERM;
    if (g.execed) return -EACCES;
  }
  if (g.session.leader === g || g.session.pid === g.pid) return -EPERM;
  let pg = t.pidns.pgrp(pgid);
  if (pg === null) {
    if (pgid !== pid) return -EPERM;
    pg = new ProcessGroup(g.pid, g.session);
  } else if (pg.session !== g.session) return -EPERM;
  g.joinGroup(pg);
  return 0;
}

export function sys_setsid(t: Task): number {
  const g = t.tg;
  if (g.pid.pgrp !== null) return -EPERM;
  g.joinGroup(new ProcessGroup(g.pid, new Session(g.pid, g)));
  return g.vtgid;
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
