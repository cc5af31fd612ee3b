// Joining and leaving namespaces: unshare(2), setns(2).

import { CAP_SYS_ADMIN, CAP_SYS_CHROOT } from '../../abi/capability.ts';
import { EBADF, EINVAL, EPERM, ESRCH } from '../../abi/errno.ts';
import { SYS_setns, SYS_unshare } from '../../abi/nr.ts';
import {
  CLONE_FILES,
  CLONE_FS,
  CLONE_NEWCGROUP,
  CLONE_NEWIPC,
  CLONE_NEWNET,
  CLONE_NEWNS,
  CLONE_NEWPID,
  CLONE_NEWTIME,
  CLONE_NEWUSER,
  CLONE_NEWUTS,
  CLONE_SIGHAND,
  CLONE_SYSVSEM,
  CLONE_THREAD,
  CLONE_VM,
} from '../../abi/sched.ts';
import { pidfdGroup } from '../fs/event/pidfd.ts';
import { namespaceOf } from '../fs/proc/nsfs.ts';
import { leaveSemaphores } from '../ipc/namespace.ts';
import {
  CLONE_NEW_ALL,
  makeNamespaces,
  mayMakeNamespaces,
  type NamespaceSet,
  switchNamespaces,
  UtsNamespace,
} from '../kernel/namespaces.ts';
import type { Namespace } from '../kernel/namespace.ts';
import { PidNamespace } from '../kernel/pidns.ts';
import type { Task } from '../kernel/task.ts';
import { MountNamespace, topMount } from '../vfs/namespace.ts';
import { partial, type Row } from './row.ts';

const SHARED = CLONE_FILES | CLONE_FS | CLONE_SYSVSEM;
/** What only a lone thread may ask for, where it changes nothing. */
const LONE = CLONE_THREAD | CLONE_SIGHAND | CLONE_VM;

/** A file-system context (root, working directory, umask) that no other task shares. */
function ownFs(t: Task): void {
  if (t.fs.refs === 1) return;
  const copy = t.fs.copy();
  t.fs.unref();
  t.fs = copy;
}

/** unshare(2). */
export function sys_unshare(t: Task): number {
  const flags = t.argU(0);
  if ((flags & ~(SHARED | LONE | CLONE_NEW_ALL)) !== 0) return -EINVAL;
  if ((flags & (LONE | CLONE_NEWUSER)) !== 0 && t.tg.tasks.size > 1) return -EINVAL;
  const err = mayMakeNamespaces(t, flags);
  if (err < 0) return err;
  if ((flags & CLONE_FILES) !== 0 && t.fds.refs > 1) {
    const copy = t.fds.copy(t.fds.limit);
    t.fds.unref(t);
    t.fds = copy;
  }
  if ((flags & (CLONE_FS | CLONE_NEWNS)) !== 0) ownFs(t);
  if ((flags & (CLONE_SYSVSEM | CLONE_NEWIPC)) !== 0 && t.tg.tasks.size === 1) leaveSemaphores(t.tg);
  if ((flags & CLONE_NEW_ALL) !== 0) switchNamespaces(t, makeNamespaces(t.ns, flags, t.fs));
  return 0;
}

/** Puts `ns` into the set `s`, which is to become the task's. 0 or -errno. */
function enter(t: Task, s: NamespaceSet, ns: Namespace | MountNamespace): number {
  if (ns instanceof MountNamespace) {
    if (!t.creds.has(CAP_SYS_ADMIN) || !t.creds.has(CAP_SYS_CHROOT)) return -EPERM;
    if (t.fs.refs > 1 || ns.refs === 0) return -EINVAL;
    ns.refs++;
    s.setMounts(ns);
    return 0;
  }
  // Nobody is in another user namespace than this one, and one cannot enter one's own again.
  if (ns.kind === CLONE_NEWUSER) return -EINVAL;
  if (!t.creds.has(CAP_SYS_ADMIN)) return -EPERM;
  if (ns instanceof PidNamespace) {
    // Never upwards or aside: what a task can see of others does not grow.
    if (!t.pidns.holds(ns)) return -EINVAL;
    s.pid = ns;
  } else if (ns instanceof UtsNamespace) s.uts = ns;
  else if (ns.kind === CLONE_NEWIPC) s.ipc = ns;
  else if (ns.kind === CLONE_NEWNET) s.net = ns;
  else if (ns.kind === CLONE_NEWCGROUP) s.cgroup = ns;
  else if (ns.kind === CLONE_NEWTIME && t.tg.tasks.size > 1) return -EINVAL; // EUSERS on Linux, for a namespace that differs
  return 0;
}

/** Makes the prepared set the task's; root and working directory follow the mounts. */
function commit(t: Task, s: NamespaceSet): void {
  if (s.ipc !== t.ns.ipc && t.tg.tasks.size === 1) leaveSemaphores(t.tg);
  const m = s.mnt;
  if (m !== null && m !== t.ns.mnt) {
    const top = topMount(m.root, m.root.root);
    t.fs.setRoot(top, top.root);
    t.fs.setCwd(top, top.root);
  }
  switchNamespaces(t, s);
}

/** setns(2): a file of /proc/PID/ns, or a pidfd with the kinds to be entered. */
export function sys_setns(t: Task): number {
  const f = t.fds.get(t.argI(0));
  const types = t.argU(1);
  if (f === null) return -EBADF;
  const ns = namespaceOf(f);
  const s = t.ns.copy();
  let err = 0;
  if (ns !== null) {
    const kind = ns instanceof MountNamespace ? CLONE_NEWNS : ns.kind;
    err = types !== 0 && types !== kind ? -EINVAL : enter(t, s, ns);
  } else {
    err = enterAll(t, s, pidfdGroup(f)?.leader ?? null, types);
  }
  if (err < 0) {
    s.unref();
    return err;
  }
  commit(t, s);
  return 0;
}

function enterAll(t: Task, s: NamespaceSet, o: Task | null, types: number): number {
  if (o === null || types === 0 || (types & ~CLONE_NEW_ALL) !== 0) return -EINVAL;
  if (o.tg.zombie) return -ESRCH;
  const list: [number, Namespace | MountNamespace | null][] = [
    [CLONE_NEWUSER, o.ns.user],
    [CLONE_NEWNS, o.ns.mnt],
    [CLONE_NEWUTS, o.ns.uts],
    [CLONE_NEWIPC, o.ns.ipc],
    [CLONE_NEWPID, o.pidns],
    [CLONE_NEWCGROUP, o.ns.cgroup],
    [CLONE_NEWNET, o.ns.net],
    [CLONE_NEWTIME, o.ns.time],
  ];
  for (const [kind, ns] of list) {
    if ((types & kind) === 0 || ns === null) continue;
    const err = enter(t, s, ns);
    if (err < 0) return err;
  }
  return 0;
}

const REFUSED = 'user namespaces are refused with ENOSPC, as with their limit at 0; time namespaces with EINVAL';

export const rows: readonly Row[] = [
  partial(SYS_unshare, 'unshare', sys_unshare, REFUSED, 'clone'),
  partial(SYS_setns, 'setns', sys_setns, REFUSED, 'fd', 'clone'),
];
