// futex(2) and robust lists (get_robust_list(2)).

import { EFAULT, EINVAL, ENOSYS, EPERM, ESRCH } from '../../abi/errno.ts';
import {
  FUTEX_CLOCK_REALTIME,
  FUTEX_CMD_MASK,
  FUTEX_CMP_REQUEUE,
  FUTEX_PRIVATE_FLAG,
  FUTEX_REQUEUE,
  FUTEX_WAIT,
  FUTEX_WAIT_BITSET,
  FUTEX_WAKE,
  FUTEX_WAKE_BITSET,
  FUTEX_WAKE_OP,
} from '../../abi/futex.ts';
import { SYS_futex, SYS_get_robust_list, SYS_set_robust_list } from '../../abi/nr.ts';
import { monotonicNs, realtime } from '../../base/clock.ts';
import { getI64, getU64 } from '../../base/bytes.ts';
import { futexRequeue, futexWait, futexWake, futexWakeOp } from '../kernel/futex.ts';
import type { Task } from '../kernel/task.ts';
import { unknownOption } from './options.ts';
import { full, partial, type Row } from './row.ts';

const ANY = 0xffffffff;
const ROBUST_HEAD_SIZE = 24;
const clock = new Float64Array(2);

/** Reads the timeout argument into the restart record. */
function deadline(t: Task, absolute: boolean, real: boolean): number {
  const addr = t.arg(3);
  if (addr === 0 || !t.rs.fresh) return 0;
  const b = t.kernel.tmp;
  if (t.copyIn(addr, b, 0, 16) < 0) return -EFAULT;
  const sec = getI64(b, 0);
  const nsec = getU64(b, 8);
  if (sec < 0 || nsec >= 1e9) return -EINVAL;
  let ns = sec * 1e9 + nsec;
  if (absolute && real) {
    realtime(clock);
    ns -= clock[0]! * 1e9 + clock[1]!;
    t.setDeadline(monotonicNs() + ns);
  } else t.setDeadline(absolute ? ns : monotonicNs() + ns);
  return 0;
}

export function sys_futex(t: Task): number {
  const op = t.argU(1);
  const cmd = op & FUTEX_CMD_MASK;
  const shared = (op & FUTEX_PRIVATE_FLAG) === 0;
  const real = (op & FUTEX_CLOCK_REALTIME) !== 0;
  const addr = t.arg(0);
  const val = t.argU(2);
  if (real && cmd !== FUTEX_WAIT_BITSET && cmd !== FUTEX_WAIT) return -ENOSYS;
  switch (cmd) {
    case FUTEX_WAIT: {
      const r = deadline(t, false, false);
      return r < 0 ? r : futexWait(t, addr, val, ANY, shared);
    }
    case FUTEX_WAIT_BITSET: {
      const r = deadline(t, true, real);
      return r < 0 ? r : futexWait(t, addr, val, t.argU(5), shared);
    }
    case FUTEX_WAKE:
      return futexWake(t, addr, Math.max(1, val | 0), ANY, shared);
    case FUTEX_WAKE_BITSET:
      return futexWake(t, addr, Math.max(1, val | 0), t.argU(5), shared);
    case FUTEX_REQUEUE:
      return futexRequeue(t, addr, val | 0, t.argI(3), t.arg(4), null, shared);
    case FUTEX_CMP_REQUEUE:
      return futexRequeue(t, addr, val | 0, t.argI(3), t.arg(4), t.argU(5), shared);
    case FUTEX_WAKE_OP:
      return futexWakeOp(t, addr, Math.max(1, val | 0), t.arg(4), Math.max(1, t.argI(3)), t.argU(5), shared);
    default:
      return unknownOption(t, 'futex', cmd, ENOSYS);
  }
}

export function sys_set_robust_list(t: Task): number {
  if (t.arg(1) !== ROBUST_HEAD_SIZE) return -EINVAL;
  t.robustList = t.arg(0);
  return 0;
}

export function sys_get_robust_list(t: Task): number {
  const pid = t.argI(0);
  const o = pid === 0 ? t : t.pidns.task(pid);
  if (o === null) return -ESRCH;
  if (o.tg !== t.tg && t.creds.euid !== 0 && t.creds.euid !== o.creds.ruid) return -EPERM;
  if (t.writeU64(t.arg(1), o.robustList) < 0 || t.writeU64(t.arg(2), ROBUST_HEAD_SIZE) < 0) return -EFAULT;
  return 0;
}

export const rows: readonly Row[] = [
  partial(SYS_futex, 'futex', sys_futex, 'no priority inheritance', 'ptr', 'int', 'uint', 'ptr', 'ptr', 'uint'),
  full(SYS_set_robust_list, 'set_robust_list', sys_set_robust_list, 'ptr', 'size'),
  full(SYS_get_robust_list, 'get_robust_list', sys_get_robust_list, 'int', 'ptr', 'ptr'),
];
