// pipe(2), pipe2(2). The calls that move data between pipes and files are in splice.ts.

import { EFAULT, EINVAL } from '../../abi/errno.ts';
import { O_CLOEXEC, O_DIRECT, O_NONBLOCK } from '../../abi/fcntl.ts';
import { SYS_pipe, SYS_pipe2 } from '../../abi/nr.ts';
import { putU32 } from '../../base/bytes.ts';
import { createPipe } from '../fs/pipe/pipe.ts';
import type { Task } from '../kernel/task.ts';
import { full, type Row } from './row.ts';

const pair = new Uint8Array(8);

function makePipe(t: Task, addr: number, flags: number): number {
  const cloexec = (flags & O_CLOEXEC) !== 0;
  const [r, w] = createPipe(t, flags & (O_NONBLOCK | O_DIRECT));
  const rfd = t.fds.install(r, cloexec);
  if (rfd < 0) {
    w.unref();
    return rfd;
  }
  const wfd = t.fds.install(w, cloexec);
  if (wfd < 0) {
    t.fds.close(rfd, t);
    return wfd;
  }
  putU32(pair, 0, rfd);
  putU32(pair, 4, wfd);
  if (t.copyOut(addr, pair, 0, 8) < 0) {
    t.fds.close(rfd, t);
    t.fds.close(wfd, t);
    return -EFAULT;
  }
  return 0;
}

/** pipe(2). */
export function sys_pipe(t: Task): number {
  return makePipe(t, t.arg(0), 0);
}

/** pipe2(2). */
export function sys_pipe2(t: Task): number {
  const flags = t.argI(1);
  if ((flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT)) !== 0) return -EINVAL;
  return makePipe(t, t.arg(0), flags);
}

export const rows: readonly Row[] = [full(SYS_pipe, 'pipe', sys_pipe, 'ptr'), full(SYS_pipe2, 'pipe2', sys_pipe2, 'ptr', 'hex')];
