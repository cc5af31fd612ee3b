// The System V objects of an IPC namespace, and the texts of /proc/sysvipc.

import type { Kernel } from '../kernel/kernel.ts';
import { numberIn, type PidNamespace } from '../kernel/pidns.ts';
import type { Task } from '../kernel/task.ts';
import type { ThreadGroup } from '../kernel/threadgroup.ts';
import { MSGMAX, MSGMNB, MSGMNI, MsgTable } from './msg.ts';
import { SEMMNI, SEMMNS, SEMMSL, SEMOPM, SemTable } from './sem.ts';
import { SHMMNI, ShmTable } from './shm.ts';

export class IpcNamespace {
  readonly shm: ShmTable;
  readonly sem: SemTable = new SemTable();
  readonly msg: MsgTable = new MsgTable();

  constructor(kernel: Kernel) {
    this.shm = new ShmTable(kernel.host);
  }
}

const spaces = new WeakMap<object, IpcNamespace>();

/** The IPC objects of the namespace with this key (Namespace.key), made on first use. */
export function ipcOf(kernel: Kernel, key: object): IpcNamespace {
  let ns = spaces.get(key);
  if (ns === undefined) {
    if (key === kernel) kernel.groupEnded.push(leaveSemaphores);
    else ipcOf(kernel, kernel);
    ns = new IpcNamespace(kernel);
    spaces.set(key, ns);
  }
  return ns;
}

/** Takes back what the process did with SEM_UNDO: it ends, or moves to another namespace. */
export function leaveSemaphores(g: ThreadGroup): void {
  spaces.get(g.leader.ns.ipc.key)?.sem.leave(g, g.pid);
}

function pad(v: number, width: number): string {
  return String(v).padStart(width);
}

/** The files of /proc/sysvipc: name to a function that renders the text now, for the namespaces of a task. */
export function procSysvipc(kernel: Kernel): ReadonlyMap<string, (t: Task) => string> {
  return new Map<string, (t: Task) => string>([
    ['shm', (t) => shm(ipcOf(kernel, t.ns.ipc.key), t.pidns)],
    ['sem', (t) => sem(ipcOf(kernel, t.ns.ipc.key))],
    ['msg', (t) => msg(ipcOf(kernel, t.ns.ipc.key), t.pidns)],
  ]);
}

function shm(ns: IpcNamespace, viewer: PidNamespace): string {
  let out =
    '       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap\n';
  ns.shm.forEach((s) => {
    out +=
      `${pad(s.key | 0, 10)} ${pad(s.id, 10)}  ${s.mode.toString(8).padStart(4)} ${pad(s.size, 21)} ${pad(s.cpid.in(viewer), 5)} ${pad(numberIn(s.lpid, viewer), 5)}  ` +
      `${pad(s.attached, 5)} ${pad(s.uid, 5)} ${pad(s.gid, 5)} ${pad(s.cuid, 5)} ${pad(s.cgid, 5)} ${pad(s.atime, 10)} ${pad(s.dtime, 10)} ` +
      `${pad(s.ctime, 10)} ${pad(s.size, 21)} ${pad(0, 21)}\n`;
  });
  return out;
}

function sem(ns: IpcNamespace): string {
  let out = '       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n';
  ns.sem.forEach((s) => {
    out +=
      `${pad(s.key | 0, 10)} ${pad(s.id, 10)}  ${s.mode.toString(8).padStart(4)} ${pad(s.count, 10)} ${pad(s.uid, 5)} ${pad(s.gid, 5)} ` +
      `${pad(s.cuid, 5)} ${pad(s.cgid, 5)} ${pad(s.otime, 10)} ${pad(s.ctime, 10)}\n`;
  });
  return out;
}

function msg(ns: IpcNamespace, viewer: PidNamespace): string {
  let out = '       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime      ctime\n';
  ns.msg.forEach((q) => {
    out +=
      `${pad(q.key | 0, 10)} ${pad(q.id, 10)}  ${q.mode.toString(8).padStart(4)}  ${pad(q.bytes, 10)} ${pad(q.count, 10)} ${pad(numberIn(q.lspid, viewer), 5)} ` +
      `${pad(numberIn(q.lrpid, viewer), 5)} ${pad(q.uid, 5)} ${pad(q.gid, 5)} ${pad(q.cuid, 5)} ${pad(q.cgid, 5)} ${pad(q.stime, 10)} ${pad(q.rtime, 10)} ` +
      `${pad(q.ctime, 10)}\n`;
  });
  return out;
}

/** Sysctls of System V and POSIX IPC: dotted name to its text. */
export const IPC_SYSCTLS: ReadonlyMap<string, string> = new Map([
  ['kernel.shmmax', '18446744073692774399'],
  ['kernel.shmall', '18446744073692774399'],
  ['kernel.shmmni', String(SHMMNI)],
  ['kernel.shm_rmid_forced', '0'],
  ['kernel.sem', `${SEMMSL}\t${SEMMNS}\t${SEMOPM}\t${SEMMNI}`],
  ['kernel.msgmax', String(MSGMAX)],
  ['kernel.msgmnb', String(MSGMNB)],
  ['kernel.msgmni', String(MSGMNI)],
  ['fs.mqueue.msg_max', '10'],
  ['fs.mqueue.msgsize_max', '8192'],
  ['fs.mqueue.msg_default', '10'],
  ['fs.mqueue.msgsize_default', '8192'],
  ['fs.mqueue.queues_max', '256'],
]);
