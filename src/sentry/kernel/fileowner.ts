// Who gets the signals of a description (fcntl(2) F_SETOWN, F_SETOWN_EX; ioctl(2) FIOSETOWN).

import { EINVAL, ESRCH } from '../../abi/errno.ts';
import { F_OWNER_PGRP, F_OWNER_PID } from '../../abi/fcntl.ts';
import type { File } from '../vfs/file.ts';
import type { Pid } from './pidns.ts';
import type { Task } from './task.ts';

/** Makes whom the caller calls `nr` the owner; 0: nobody. 0 or -ESRCH. */
export function setOwner(t: Task, f: File, type: number, nr: number): number {
  const pid = nr === 0 ? null : (t.pidns.ids.get(nr) ?? null);
  if (nr !== 0 && pid === null) return -ESRCH;
  f.owner = pid;
  f.ownerType = type;
  return 0;
}

/** The same with a process (> 0) or a process group (< 0). 0 or -errno. */
export function setSignedOwner(t: Task, f: File, who: number): number {
  if (who === -2147483648) return -EINVAL;
  return who < 0 ? setOwner(t, f, F_OWNER_PGRP, -who) : setOwner(t, f, F_OWNER_PID, who);
}

/** The owner's number for the caller, 0 when it is gone or out of sight. */
export function ownerNumber(t: Task, f: File): number {
  const p = f.owner as Pid | null;
  if (p === null) return 0;
  const lives = f.ownerType === F_OWNER_PGRP ? p.pgrp : f.ownerType === F_OWNER_PID ? p.group : p.task;
  return lives === null ? 0 : p.in(t.pidns);
}

/** The same, negative for a process group. */
export function signedOwner(t: Task, f: File): number {
  const nr = ownerNumber(t, f);
  return f.ownerType === F_OWNER_PGRP ? -nr : nr;
}
