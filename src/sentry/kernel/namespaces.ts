// Namespaces of tasks (namespaces(7)): names of the system, System V and POSIX IPC, the network, mounts.
//
// Users and clocks have one namespace that all share. cgroup namespaces can be made, but change no view: there is one group. Those of
// process ids are in pidns.ts.

import { CAP_SYS_ADMIN } from '../../abi/capability.ts';
import { EINVAL, ENOSPC, EPERM } from '../../abi/errno.ts';
import { SYS_unshare } from '../../abi/nr.ts';
import {
  CLONE_NEWCGROUP,
  CLONE_NEWIPC,
  CLONE_NEWNET,
  CLONE_NEWNS,
  CLONE_NEWPID,
  CLONE_NEWTIME,
  CLONE_NEWUSER,
  CLONE_NEWUTS,
} from '../../abi/sched.ts';
import type { FsContext } from '../vfs/fscontext.ts';
import { type MountNamespace, nextNamespaceIno } from '../vfs/namespace.ts';
import { Namespace } from './namespace.ts';
import { PID_LEVEL_MAX, PidNamespace } from './pidns.ts';
import type { Task } from './task.ts';
import { noteOption } from './unsupported.ts';

/** All flags of clone(2) that ask for new namespaces. */
export const CLONE_NEW_ALL: number =
  CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWTIME;
const CLONE_NEW_MADE = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET;

/** Host and domain name. */
export class UtsNamespace extends Namespace {
  hostname: string;
  domainname: string;

  constructor(ino: number, hostname: string, domainname: string) {
    super(CLONE_NEWUTS, ino, null);
    this.hostname = hostname;
    this.domainname = domainname;
  }
}

/** The namespaces of a task (Linux: struct nsproxy). Shared and unchanging, but for the first set, which gets its mounts at boot. */
export class NamespaceSet {
  uts: UtsNamespace;
  ipc: Namespace;
  net: Namespace;
  cgroup: Namespace;
  /** The one that children are born into; a task itself is in the one of its Pid. */
  pid: PidNamespace;
  readonly user: Namespace;
  readonly time: Namespace;
  mnt: MountNamespace | null = null;
  /** Tasks that use it. */
  refs = 1;

  /** The first set of a kernel, with Linux's fixed inode numbers (include/linux/proc_ns.h). */
  constructor(key: object) {
    this.uts = new UtsNamespace(0xeffffffe, 'ringfence', '(none)');
    this.ipc = new Namespace(CLONE_NEWIPC, 0xefffffff, key);
    this.net = new Namespace(CLONE_NEWNET, 0xeffffff9, key);
    this.cgroup = new Namespace(CLONE_NEWCGROUP, 0xeffffffb, key);
    this.pid = new PidNamespace(null, 0xeffffffc, key);
    this.user = new Namespace(CLONE_NEWUSER, 0xeffffffd, key);
    this.time = new Namespace(CLONE_NEWTIME, 0xeffffffa, key);
  }

  /** The same namespaces in a set of their own, to be changed by the caller before anybody sees it. */
  copy(): NamespaceSet {
    const s = this.bare();
    s.mnt = this.mnt;
    if (s.mnt !== null) s.mnt.refs++;
    return s;
  }

  /** The same without mounts. */
  bare(): NamespaceSet {
    const s = Object.create(NamespaceSet.prototype) as NamespaceSet;
    Object.assign(s, this);
    s.refs = 1;
    s.mnt = null;
    return s;
  }

  /** Puts another mount namespace in place; takes over the caller's reference. */
  setMounts(m: MountNamespace): void {
    this.mnt?.unref();
    this.mnt = m;
  }

  /** Drops one user; the last gives up the mounts. */
  unref(): void {
    if (--this.refs > 0) return;
    this.mnt?.unref();
    this.mnt = null;
  }
}

/** Where the value of a sysctl is kept: by the namespace that it belongs to, else by the kernel. */
export function sysctlHome(kernel: { readonly sysctls: Map<string, string> }, ns: NamespaceSet, name: string): Map<string, string> {
  if (name.startsWith('net.')) return ns.net.sysctls;
  if (/^(kernel\.(shm|msg|sem)|fs\.mqueue\.)/.test(name)) return ns.ipc.sysctls;
  return kernel.sysctls;
}

/**
 * May the task make the namespaces that `flags` names? 0 or -errno. User namespaces are refused as with their limit
 * (user.max_user_namespaces) at 0; a kernel without CONFIG_TIME_NS knows no CLONE_NEWTIME. Whose children are born into another pid
 * namespace already cannot make one more.
 */
export function mayMakeNamespaces(t: Task, flags: number): number {
  if ((flags & CLONE_NEW_ALL) === 0) return 0;
  if ((flags & CLONE_NEWUSER) !== 0) {
    noteOption(t, t.nr === SYS_unshare ? 'unshare' : 'clone', 'CLONE_NEWUSER');
    return -ENOSPC;
  }
  if (!t.creds.has(CAP_SYS_ADMIN)) return -EPERM;
  if ((flags & CLONE_NEWPID) !== 0) {
    if (t.ns.pid !== t.pidns) return -EINVAL;
    if (t.pidns.level >= PID_LEVEL_MAX) return -ENOSPC;
  }
  return (flags & ~CLONE_NEW_MADE & CLONE_NEW_ALL) !== 0 ? -EINVAL : 0;
}

/**
 * `old` with new namespaces for those that `flags` names; `fs` (not shared) moves into the copy of the mounts. `pidns`: the pid namespace,
 * where the caller has made it already.
 */
export function makeNamespaces(old: NamespaceSet, flags: number, fs: FsContext, pidns: PidNamespace | null = null): NamespaceSet {
  const s = old.copy();
  if ((flags & CLONE_NEWUTS) !== 0) s.uts = new UtsNamespace(nextNamespaceIno(), old.uts.hostname, old.uts.domainname);
  if ((flags & CLONE_NEWIPC) !== 0) s.ipc = new Namespace(CLONE_NEWIPC, nextNamespaceIno(), null);
  if ((flags & CLONE_NEWPID) !== 0) s.pid = pidns ?? new PidNamespace(old.pid, nextNamespaceIno());
  if ((flags & CLONE_NEWNET) !== 0) s.net = new Namespace(CLONE_NEWNET, nextNamespaceIno(), null);
  if ((flags & CLONE_NEWCGROUP) !== 0) s.cgroup = new Namespace(CLONE_NEWCGROUP, nextNamespaceIno(), null);
  if ((flags & CLONE_NEWNS) !== 0 && old.mnt !== null) s.setMounts(old.mnt.clone(fs));
  return s;
}

/** Gives the task the set `s` (taken over) in place of its own. */
export function switchNamespaces(t: Task, s: NamespaceSet): void {
  const old = t.ns;
  t.ns = s;
  old.unref();
}
