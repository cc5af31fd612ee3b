// seccomp(2), and prctl(2) where it does the same.

import { CAP_SYS_ADMIN } from '../../abi/capability.ts';
import { EACCES, EFAULT, EINVAL, ENOMEM, EOPNOTSUPP, ESRCH } from '../../abi/errno.ts';
import { SYS_seccomp } from '../../abi/nr.ts';
import {
  BPF_MAXINSNS,
  SECCOMP_FILTER_FLAG_LOG,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW,
  SECCOMP_FILTER_FLAG_TSYNC,
  SECCOMP_FILTER_FLAG_TSYNC_ESRCH,
  SECCOMP_GET_ACTION_AVAIL,
  SECCOMP_MODE_FILTER,
  SECCOMP_MODE_STRICT,
  SECCOMP_RET_ALLOW,
  SECCOMP_RET_ERRNO,
  SECCOMP_RET_KILL_PROCESS,
  SECCOMP_RET_KILL_THREAD,
  SECCOMP_RET_LOG,
  SECCOMP_RET_TRACE,
  SECCOMP_RET_TRAP,
  SECCOMP_SET_MODE_FILTER,
  SECCOMP_SET_MODE_STRICT,
} from '../../abi/seccomp.ts';
import { getU16, getU32, getU64 } from '../../base/bytes.ts';
import { BpfProgram, INSN_SIZE } from '../kernel/bpf.ts';
import { Seccomp, setSeccomp } from '../kernel/seccomp.ts';
import { TASK_DEAD, type Task } from '../kernel/task.ts';
import { partial, type Row } from './row.ts';

/** Without NEW_LISTENER and what belongs to it: a kernel before Linux 5.0 answers as this one does. */
const FLAGS = SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW | SECCOMP_FILTER_FLAG_TSYNC_ESRCH;
const ACTIONS: readonly number[] = [
  SECCOMP_RET_KILL_PROCESS,
  SECCOMP_RET_KILL_THREAD,
  SECCOMP_RET_TRAP,
  SECCOMP_RET_ERRNO,
  SECCOMP_RET_TRACE,
  SECCOMP_RET_LOG,
  SECCOMP_RET_ALLOW,
];

function setStrict(t: Task): number {
  if (t.seccomp !== null) return t.seccomp.mode === SECCOMP_MODE_STRICT ? 0 : -EINVAL;
  setSeccomp(t, Seccomp.strict());
  return 0;
}

/** The program that struct sock_fprog at `addr` names, or -errno. */
function readProgram(t: Task, addr: number): BpfProgram | number {
  const b = t.kernel.tmp;
  if (t.copyIn(addr, b, 0, 16) < 0) return -EFAULT;
  const count = getU16(b, 0);
  const at = getU64(b, 8);
  if (count === 0 || count > BPF_MAXINSNS) return -EINVAL;
  if (!t.creds.noNewPrivs && !t.creds.has(CAP_SYS_ADMIN)) return -EACCES;
  const code = new Uint8Array(count * INSN_SIZE);
  if (t.copyIn(at, code, 0, code.length) < 0) return -EFAULT;
  return BpfProgram.check(code, count) ?? -EINVAL;
}

/** A thread of the process that does not have the caller's filters, or a part of them: it cannot be brought to the same ones. */
function outOfStep(t: Task): Task | null {
  for (const o of t.tg.tasks) {
    if (o === t || o.state === TASK_DEAD || o.seccomp === null || o.seccomp === t.seccomp) continue;
    if (t.seccomp === null || !t.seccomp.descendsFrom(o.seccomp)) return o;
  }
  return null;
}

function setFilter(t: Task, flags: number, addr: number): number {
  if ((flags & ~FLAGS) !== 0) return -EINVAL;
  const program = readProgram(t, addr);
  if (typeof program === 'number') return program;
  if (t.seccomp !== null && t.seccomp.mode !== SECCOMP_MODE_FILTER) return -EINVAL;
  const next = Seccomp.filtered(t.seccomp, program, (flags & SECCOMP_FILTER_FLAG_LOG) !== 0);
  if (next === null) return -ENOMEM;
  if ((flags & SECCOMP_FILTER_FLAG_TSYNC) !== 0) {
    const other = outOfStep(t);
    if (other !== null) return (flags & SECCOMP_FILTER_FLAG_TSYNC_ESRCH) !== 0 ? -ESRCH : other.vtid;
    for (const o of t.tg.tasks) {
      if (o === t || o.state === TASK_DEAD) continue;
      if (t.creds.noNewPrivs && !o.creds.noNewPrivs) {
        o.creds = o.creds.clone();
        o.creds.noNewPrivs = true;
      }
      setSeccomp(o, next);
    }
  }
  setSeccomp(t, next);
  return 0;
}

function actionAvailable(t: Task, addr: number): number {
  const b = t.kernel.tmp;
  if (t.copyIn(addr, b, 0, 4) < 0) return -EFAULT;
  return ACTIONS.includes(getU32(b, 0)) ? 0 : -EOPNOTSUPP;
}

/** seccomp(2). */
export function sys_seccomp(t: Task): number {
  const flags = t.argU(1);
  const addr = t.arg(2);
  switch (t.argU(0)) {
    case SECCOMP_SET_MODE_STRICT:
      return flags !== 0 || addr !== 0 ? -EINVAL : setStrict(t);
    case SECCOMP_SET_MODE_FILTER:
      return setFilter(t, flags, addr);
    case SECCOMP_GET_ACTION_AVAIL:
      return flags !== 0 ? -EINVAL : actionAvailable(t, addr);
    default:
      return -EINVAL;
  }
}

/** prctl(PR_SET_SECCOMP): SECCOMP_MODE_STRICT, or SECCOMP_MODE_FILTER with a program. */
export function prctlSetSeccomp(t: Task, mode: number, addr: number): number {
  if (mode === SECCOMP_MODE_STRICT) return setStrict(t);
  return mode === SECCOMP_MODE_FILTER ? setFilter(t, 0, addr) : -EINVAL;
}

export const rows: readonly Row[] = [
  partial(SYS_seccomp, 'seccomp', sys_seccomp, 'no user notification (SECCOMP_FILTER_FLAG_NEW_LISTENER)', 'uint', 'hex', 'ptr'),
];
