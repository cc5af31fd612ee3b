// Descriptors of processes: pidfd_open(2), pidfd_send_signal(2), pidfd_getfd(2).

import { EBADF, EFAULT, EINVAL, EPERM, ESRCH } from '../../abi/errno.ts';
import { O_NONBLOCK } from '../../abi/fcntl.ts';
import { SYS_pidfd_getfd, SYS_pidfd_open, SYS_pidfd_send_signal } from '../../abi/nr.ts';
import { SI_TKILL, SI_USER } from '../../abi/signal.ts';
import { getI32, getU32 } from '../../base/bytes.ts';
import { PidFile, pidfdGroup } from '../fs/event/pidfd.ts';
import { mayPtrace } from '../kernel/ptrace.ts';
import { SigInfo } from '../kernel/siginfo.ts';
import type { Task } from '../kernel/task.ts';
import type { ThreadGroup } from '../kernel/threadgroup.ts';
import { full, partial, type Row } from './row.ts';
import { mayKill, sendTo } from './signal.ts';

const NSIG = 64;
const SIGINFO_SIZE = 48;

/** pidfd_open(2). */
export function sys_pidfd_open(t: Task): number {
  const pid = t.argI(0);
  const flags = t.argU(1);
  if ((flags & ~O_NONBLOCK) !== 0 || pid <= 0) return -EINVAL;
  const g = t.pidns.group(pid);
  if (g === null || g.reaped) return t.pidns.task(pid) === null ? -ESRCH : -EINVAL;
  return t.fds.install(new PidFile(g, flags), true);
}

function groupAt(t: Task, fd: number): ThreadGroup | number {
  const f = t.fds.get(fd);
  return f === null ? -EBADF : (pidfdGroup(f) ?? -EBADF);
}

/** The siginfo_t at `addr`: only codes below zero are a program's to give, unless it sends to itself. */
function readInfo(t: Task, addr: number, sig: number, self: boolean): SigInfo | number {
  const b = t.kernel.tmp;
  if (t.copyIn(addr, b, 0, SIGINFO_SIZE) < 0) return -EFAULT;
  const code = getI32(b, 8);
  if (getI32(b, 0) !== sig) return -EINVAL;
  if ((code >= 0 || code === SI_TKILL) && !self) return -EPERM;
  const info = new SigInfo(sig, code);
  info.errno = getI32(b, 4);
  info.pid = getI32(b, 16);
  info.uid = getU32(b, 20);
  info.valueLo = getU32(b, 24);
  info.valueHi = getU32(b, 28);
  return info;
}

/** pidfd_send_signal(2). */
export function sys_pidfd_send_signal(t: Task): number {
  const sig = t.argI(1);
  if (t.argU(3) !== 0) return -EINVAL;
  const g = groupAt(t, t.argI(0));
  if (typeof g === 'number') return g;
  if (sig < 0 || sig > NSIG || !t.pidns.holds(g.pid.ns)) return -EINVAL;
  let info: SigInfo | number;
  if (t.arg(2) !== 0) info = readInfo(t, t.arg(2), sig, g === t.tg);
  else {
    info = new SigInfo(sig, SI_USER);
    info.pid = t.tg.vtgid;
    info.uid = t.creds.ruid;
  }
  if (typeof info === 'number') return info;
  if (g.reaped) return -ESRCH;
  if (!mayKill(t, g, sig)) return -EPERM;
  if (sig !== 0) sendTo(t, g, null, info);
  return 0;
}

/** pidfd_getfd(2). */
export function sys_pidfd_getfd(t: Task): number {
  if (t.argU(2) !== 0) return -EINVAL;
  const g = groupAt(t, t.argI(0));
  if (typeof g === 'number') return g;
  if (g.zombie) return -ESRCH;
  if (mayPtrace(t, g.leader) < 0) return -EPERM;
  const f = g.leader.fds.get(t.argI(1));
  return f === null ? -EBADF : t.fds.install(f.ref(), true);
}

export const rows: readonly Row[] = [
  full(SYS_pidfd_open, 'pidfd_open', sys_pidfd_open, 'int', 'hex'),
  partial(SYS_pidfd_send_signal, 'pidfd_send_signal', sys_pidfd_send_signal, 'no descriptors of /proc/PID', 'fd', 'signal', 'ptr', 'hex'),
  full(SYS_pidfd_getfd, 'pidfd_getfd', sys_pidfd_getfd, 'fd', 'fd', 'hex'),
];
