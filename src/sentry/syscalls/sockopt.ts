// getsockopt(2) and setsockopt(2).

import { EFAULT, EINVAL, ENOPROTOOPT } from '../../abi/errno.ts';
import { SYS_getsockopt, SYS_setsockopt } from '../../abi/nr.ts';
import { SOL_SOCKET } from '../../abi/socket.ts';
import { getI32, putU32 } from '../../base/bytes.ts';
import type { Task } from '../kernel/task.ts';
import { getSocketOption, setSocketOption } from '../net/options.ts';
import { unknownSocketOption } from './options.ts';
import { full, type Row } from './row.ts';
import { socketOf } from './socket.ts';

/** getsockopt(2). */
export function sys_getsockopt(t: Task): number {
  const f = socketOf(t, t.argI(0));
  if (typeof f === 'number') return f;
  const level = t.argI(1);
  const name = t.argI(2);
  const out = t.kernel.tmp;
  const word = t.kernel.word;
  if (t.copyIn(t.arg(4), word, 0, 4) < 0) return -EFAULT;
  const asked = getI32(word, 0);
  if (asked < 0) return -EINVAL;
  const len = asked < out.length ? asked : out.length;
  const n =
    level === SOL_SOCKET ? getSocketOption(t, f.sock, name, out, len) : (f.sock.getOption(t, level, name, out, len) ?? -ENOPROTOOPT);
  if (n === -ENOPROTOOPT) return unknownSocketOption(t, 'getsockopt', level, name, ENOPROTOOPT);
  if (n < 0) return n;
  if (t.copyOut(t.arg(3), out, 0, n) < 0) return -EFAULT;
  putU32(word, 0, n);
  return t.copyOut(t.arg(4), word, 0, 4);
}

/** setsockopt(2). */
export function sys_setsockopt(t: Task): number {
  const f = socketOf(t, t.argI(0));
  if (typeof f === 'number') return f;
  const level = t.argI(1);
  const name = t.argI(2);
  const given = t.argI(4);
  if (given < 0) return -EINVAL;
  const val = t.kernel.tmp;
  const len = given < val.length ? given : val.length;
  if (t.copyIn(t.arg(3), val, 0, len) < 0) return -EFAULT;
  const r =
    level === SOL_SOCKET ? setSocketOption(t, f.sock, name, val, len) : (f.sock.setOption(t, level, name, val, len) ?? -ENOPROTOOPT);
  return r === -ENOPROTOOPT ? unknownSocketOption(t, 'setsockopt', level, name, ENOPROTOOPT) : r;
}

export const rows: readonly Row[] = [
  full(SYS_getsockopt, 'getsockopt', sys_getsockopt, 'fd', 'int', 'int', 'ptr', 'ptr'),
  full(SYS_setsockopt, 'setsockopt', sys_setsockopt, 'fd', 'int', 'int', 'ptr', 'int'),
];
