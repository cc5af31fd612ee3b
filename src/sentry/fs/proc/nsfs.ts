// The file system of namespaces (ioctl_ns(2)): one inode for each, which /proc/PID/ns leads to and setns(2) takes.

import { EINVAL, ENOTTY, EPERM, ESRCH } from '../../../abi/errno.ts';
import { O_RDONLY } from '../../../abi/fcntl.ts';
import { NSFS_MAGIC } from '../../../abi/mount.ts';
import {
  CLONE_NEWCGROUP,
  CLONE_NEWIPC,
  CLONE_NEWNET,
  CLONE_NEWNS,
  CLONE_NEWPID,
  CLONE_NEWTIME,
  CLONE_NEWUSER,
  CLONE_NEWUTS,
} from '../../../abi/sched.ts';
import { S_IFREG } from '../../../abi/stat.ts';
import type { Namespace } from '../../kernel/namespace.ts';
import { PidNamespace } from '../../kernel/pidns.ts';
import type { Task } from '../../kernel/task.ts';
import type { Caller } from '../../vfs/caller.ts';
import { Dentry } from '../../vfs/dentry.ts';
import type { File } from '../../vfs/file.ts';
import { internalMount, type Mount } from '../../vfs/mount.ts';
import { MountNamespace } from '../../vfs/namespace.ts';
import { RegularFile } from '../../vfs/regular.ts';
import { SynthDir, SynthFs, SynthText } from '../synthetic.ts';

const NS_GET_PARENT = 0xb702;
const NS_GET_NSTYPE = 0xb703;
const NS_GET_OWNER_UID = 0xb704;
// Numbers of a task in another pid namespace: the file's, or the caller's.
const NS_GET_PID_FROM_PIDNS = 0x8004b706;
const NS_GET_TGID_FROM_PIDNS = 0x8004b707;
const NS_GET_PID_IN_PIDNS = 0x8004b708;
const NS_GET_TGID_IN_PIDNS = 0x8004b709;

/** Any namespace: those of mounts belong to the VFS. */
export type AnyNamespace = Namespace | MountNamespace;

/** CLONE_NEW* of a namespace. */
export function kindOf(ns: AnyNamespace): number {
  return ns instanceof MountNamespace ? CLONE_NEWNS : ns.kind;
}

/** The names of /proc/PID/ns, with what they lead to. */
export const NAMESPACE_LINKS: readonly (readonly [string, (t: Task) => AnyNamespace | null])[] = [
  ['cgroup', (t) => t.ns.cgroup],
  ['ipc', (t) => t.ns.ipc],
  ['mnt', (t) => t.ns.mnt],
  ['net', (t) => t.ns.net],
  ['pid', (t) => t.pidns],
  ['pid_for_children', (t) => (t.ns.pid.init === null && !t.ns.pid.hosted ? null : t.ns.pid)],
  ['time', (t) => t.ns.time],
  ['time_for_children', (t) => t.ns.time],
  ['user', (t) => t.ns.user],
  ['uts', (t) => t.ns.uts],
];

const KIND_NAMES: ReadonlyMap<number, string> = new Map([
  [CLONE_NEWCGROUP, 'cgroup'],
  [CLONE_NEWIPC, 'ipc'],
  [CLONE_NEWNS, 'mnt'],
  [CLONE_NEWNET, 'net'],
  [CLONE_NEWPID, 'pid'],
  [CLONE_NEWTIME, 'time'],
  [CLONE_NEWUSER, 'user'],
  [CLONE_NEWUTS, 'uts'],
]);

/** What readlink(2) shows: "uts:[4026531838]". */
export function namespaceText(ns: AnyNamespace): string {
  return `${KIND_NAMES.get(kindOf(ns))}:[${ns.ino}]`;
}

export class NsFs extends SynthFs {
  readonly root: SynthDir;
  readonly #places = new WeakMap<AnyNamespace, { mount: Mount; dentry: Dentry }>();

  constructor() {
    super('nsfs', NSFS_MAGIC);
    this.root = new SynthDir(this);
  }

  /** Where a namespace stands in this file system. */
  place(ns: AnyNamespace): { mount: Mount; dentry: Dentry } {
    let p = this.#places.get(ns);
    if (p === undefined) {
      p = { mount: internalMount(this), dentry: new Dentry(this, null, namespaceText(ns), new NsInode(this, ns)) };
      this.#places.set(ns, p);
    }
    return p;
  }
}

export class NsInode extends SynthText {
  readonly namespace: AnyNamespace;

  constructor(fs: NsFs, ns: AnyNamespace) {
    super(fs, 0o444, () => -EINVAL);
    this.namespace = ns;
    this.ino = ns.ino;
    this.mode = S_IFREG | 0o444;
  }

  override open(_c: Caller, flags: number, mount: Mount, dentry: Dentry): File | number {
    return new NsFile(this, flags, mount, dentry);
  }
}

/** An open namespace: it keeps a mount namespace alive. */
class NsFile extends RegularFile {
  readonly namespace: AnyNamespace;

  constructor(inode: NsInode, flags: number, mount: Mount, dentry: Dentry) {
    super(inode, flags, mount, dentry);
    this.namespace = inode.namespace;
    if (this.namespace instanceof MountNamespace) this.namespace.refs++;
  }

  override pread(_c: Caller, _buf: Uint8Array, _off: number, _len: number, _pos: number): number {
    return -EINVAL;
  }

  override ioctl(c: Caller, cmd: number, arg: number): number {
    if (cmd === NS_GET_NSTYPE) return kindOf(this.namespace);
    if (cmd === NS_GET_PARENT) return this.#openParent(c as Task);
    if (cmd >= NS_GET_PID_FROM_PIDNS && cmd <= NS_GET_TGID_IN_PIDNS) return this.#translate(c as Task, cmd, arg);
    if (cmd !== NS_GET_OWNER_UID) return -ENOTTY;
    return kindOf(this.namespace) === CLONE_NEWUSER ? c.copyOut(arg, new Uint8Array(4), 0, 4) : -EINVAL;
  }

  /** A descriptor of the namespace above, as far as the caller can see it. */
  #openParent(t: Task): number {
    if (!(this.namespace instanceof PidNamespace)) return -EINVAL;
    const p = this.namespace.parent;
    if (p === null || !t.pidns.holds(p)) return -EPERM;
    const at = (this.inode.fs as NsFs).place(p);
    return t.fds.install(new NsFile(at.dentry.inode as NsInode, O_RDONLY, at.mount, at.dentry), true);
  }

  #translate(t: Task, cmd: number, nr: number): number {
    const ns = this.namespace;
    if (!(ns instanceof PidNamespace)) return -EINVAL;
    const into = cmd === NS_GET_PID_IN_PIDNS || cmd === NS_GET_TGID_IN_PIDNS;
    const o = (into ? t.pidns : ns).task(nr);
    if (o === null) return -ESRCH;
    const process = cmd === NS_GET_TGID_FROM_PIDNS || cmd === NS_GET_TGID_IN_PIDNS;
    return (process ? o.tg.pid : o.pid).in(into ? ns : t.pidns) || -ESRCH;
  }

  override release(): void {
    if (this.namespace instanceof MountNamespace) this.namespace.unref();
    super.release();
  }
}

/** The namespace that a descriptor stands for, or null. */
export function namespaceOf(f: File): AnyNamespace | null {
  return f.inode instanceof NsInode && !f.isPath ? f.inode.namespace : null;
}

/** The nsfs of a kernel: all instances of proc lead to the same. */
const instances = new WeakMap<object, NsFs>();

export function nsFsOf(kernel: object): NsFs {
  let fs = instances.get(kernel);
  if (fs === undefined) {
    fs = new NsFs();
    instances.set(kernel, fs);
  }
  return fs;
}
