// Process ids and the namespaces that give them (pid_namespaces(7); Linux: kernel/pid.c, kernel/pid_namespace.c).
//
// A Pid is what tasks, processes, process groups and sessions are called by. It has one number in its own namespace and one in each above
// that, up to the first namespace, in which nothing but the Sentry itself is: there its number is unique, and that one is what the kernel
// means by `tid`, `tgid`, `pgid` and `sid`. What a guest names or sees are numbers of the namespace that it is in itself.

import { EAGAIN, EEXIST, EINVAL, ENOMEM } from '../../abi/errno.ts';
import { CLONE_NEWPID } from '../../abi/sched.ts';
import { Namespace } from './namespace.ts';
import type { ProcessGroup, Session } from './session.ts';
import type { Task } from './task.ts';
import type { ThreadGroup } from './threadgroup.ts';

/** kernel.pid_max of a namespace. */
export const PID_MAX = 32768;
/** The same of the first one, which all others' ids count in. */
const ROOT_PID_MAX = 4194304;
/** After wrap-around pids start here, as in Linux. */
const RESERVED_PIDS = 300;
/** MAX_PID_NS_LEVEL: how deep namespaces may be nested. */
export const PID_LEVEL_MAX = 32;

/** The name of a task and of what it leads (Linux: struct pid). Its numbers are others' again when nothing bears it any more. */
export class Pid {
  /** The deepest namespace that knows it: the one its processes are in. */
  readonly ns: PidNamespace;
  /** Its number in each namespace, by level. */
  readonly numbers: readonly number[];
  /** Its number in the first namespace. */
  readonly id: number;
  /** Its number in its own namespace. */
  readonly nr: number;
  task: Task | null = null;
  group: ThreadGroup | null = null;
  pgrp: ProcessGroup | null = null;
  session: Session | null = null;

  constructor(ns: PidNamespace, numbers: readonly number[]) {
    this.ns = ns;
    this.numbers = numbers;
    this.id = numbers[0]!;
    this.nr = numbers[ns.level]!;
  }

  /** Its number as seen from `ns`; 0: it cannot be seen from there. */
  in(ns: PidNamespace): number {
    return ns === this.ns ? this.nr : ns.holds(this.ns) ? this.numbers[ns.level]! : 0;
  }

  /** What people outside are told: its number in its container. */
  get shown(): number {
    return this.numbers[1] ?? this.id;
  }

  /** Gives its numbers back if neither task, process, group nor session has it. */
  drop(): void {
    if (this.task !== null || this.group !== null || this.pgrp !== null || this.session !== null) return;
    let ns: PidNamespace | null = this.ns;
    for (; ns !== null; ns = ns.parent) if (ns.ids.get(this.numbers[ns.level]!) === this) ns.ids.delete(this.numbers[ns.level]!);
  }
}

/** The number of what may be nobody. */
export function numberIn(pid: Pid | null, ns: PidNamespace): number {
  return pid === null ? 0 : pid.in(ns);
}

export class PidNamespace extends Namespace {
  readonly parent: PidNamespace | null;
  /** 0: the first. */
  readonly level: number;
  /** What is named here, by number: of this namespace and of those below it. */
  readonly ids: Map<number, Pid> = new Map();
  /** Its first process: adopts orphans; with it end all. */
  init: ThreadGroup | null = null;
  /** Its processes are started from outside the sandbox, and it may do without a first process (`do`, exec before start). */
  readonly hosted: boolean;
  /** Its first process has ended: there will be no other. */
  ended = false;
  /** Signal that reboot(2) makes its first process end with; 0: none. */
  reboot = 0;
  /** The number given last. */
  last: number;

  /** `hosted`: number 1 is given to nobody but whom the container makes its first process. */
  constructor(parent: PidNamespace | null, ino: number, key: object | null = null, hosted = false) {
    super(CLONE_NEWPID, ino, key);
    this.parent = parent;
    this.level = parent === null ? 0 : parent.level + 1;
    this.hosted = hosted;
    this.last = hosted ? 1 : 0;
  }

  /** True if `other` is this namespace or below it. */
  holds(other: PidNamespace): boolean {
    let ns: PidNamespace | null = other;
    while (ns !== null && ns.level > this.level) ns = ns.parent;
    return ns === this;
  }

  task(nr: number): Task | null {
    return this.ids.get(nr)?.task ?? null;
  }

  group(nr: number): ThreadGroup | null {
    return this.ids.get(nr)?.group ?? null;
  }

  pgrp(nr: number): ProcessGroup | null {
    return this.ids.get(nr)?.pgrp ?? null;
  }

  /** All processes that can be seen here, zombies too. */
  groups(): ThreadGroup[] {
    const out: ThreadGroup[] = [];
    for (const p of this.ids.values()) if (p.group !== null) out.push(p.group);
    return out;
  }

  /**
   * A fresh name for a task in this namespace. `wanted`: its numbers here and in the namespaces above, as far as they are asked for
   * (clone3(2), set_tid). -EAGAIN: all numbers are taken; -EEXIST: a wanted one is; -EINVAL: it cannot be one; -ENOMEM: the
   * namespace's first process has ended.
   */
  alloc(wanted: readonly number[] | null = null): Pid | number {
    const numbers: number[] = new Array<number>(this.level + 1).fill(0);
    let ns: PidNamespace | null = this;
    for (let i = 0; ns !== null; ns = ns.parent, i++) {
      const nr = ns.choose(wanted?.[i] ?? 0);
      if (nr < 0) return nr;
      numbers[ns.level] = nr;
    }
    if (this.ended) return -ENOMEM;
    const pid = new Pid(this, numbers);
    for (ns = this; ns !== null; ns = ns.parent) ns.ids.set(numbers[ns.level]!, pid);
    return pid;
  }

  private choose(wanted: number): number {
    const most = this.parent === null ? ROOT_PID_MAX : PID_MAX;
    if (wanted !== 0) {
      if (wanted < 1 || wanted >= most || (wanted !== 1 && this.init === null && !this.hosted)) return -EINVAL;
      return this.ids.has(wanted) ? -EEXIST : wanted;
    }
    for (let i = 0; i < most; i++) {
      this.last = this.last + 1 < most ? this.last + 1 : RESERVED_PIDS;
      if (!this.ids.has(this.last)) return this.last;
    }
    return -EAGAIN;
  }
}
