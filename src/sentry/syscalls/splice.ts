// Moving data between pipes and files without a detour through the guest: splice(2), tee(2), vmsplice(2).

import { EAGAIN, EBADF, EFAULT, EINVAL, EPIPE, ESPIPE } from '../../abi/errno.ts';
import { O_APPEND, O_NONBLOCK, SPLICE_F_GIFT, SPLICE_F_MORE, SPLICE_F_MOVE, SPLICE_F_NONBLOCK } from '../../abi/fcntl.ts';
import { SYS_splice, SYS_tee, SYS_vmsplice } from '../../abi/nr.ts';
import { POLLERR, POLLHUP, POLLIN, POLLOUT } from '../../abi/poll.ts';
import { SIGPIPE } from '../../abi/signal.ts';
import { UIO_MAXIOV } from '../../abi/uio.ts';
import { type Pipe, pipeOf } from '../fs/pipe/pipe.ts';
import type { Task } from '../kernel/task.ts';
import type { File } from '../vfs/file.ts';
import { full, partial, type Row } from './row.ts';

const FLAGS = SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT;
const READABLE = POLLIN | POLLHUP | POLLERR;
const WRITABLE = POLLOUT | POLLHUP | POLLERR;

/** -EAGAIN for those that do not wait, else a wait for `f`. */
function again(t: Task, f: File, mask: number, flags: number): number {
  if ((flags & SPLICE_F_NONBLOCK) !== 0 || (f.flags & O_NONBLOCK) !== 0) return -EAGAIN;
  return t.waitOn(f.queue, mask);
}

function broken(t: Task): number {
  t.raise(SIGPIPE);
  return -EPIPE;
}

/** The 64-bit offset at `addr`: -1 for a null pointer (the description's own position); -EFAULT, -EINVAL. */
function offsetAt(t: Task, addr: number): number {
  if (addr === 0) return -1;
  const v = t.readU64(addr);
  return v < 0 ? -EFAULT : v > Number.MAX_SAFE_INTEGER ? -EINVAL : v;
}

/** splice(2). */
export function sys_splice(t: Task): number {
  const flags = t.argU(5);
  const len = Math.min(t.arg(4), t.scratch.length);
  if ((flags & ~FLAGS) !== 0) return -EINVAL;
  if (len === 0) return 0;
  const from = t.fds.get(t.argI(0));
  const to = t.fds.get(t.argI(2));
  if (from === null || to === null || from.isPath || to.isPath || !from.readable || !to.writable) return -EBADF;
  const src = pipeOf(from);
  const dst = pipeOf(to);
  const inAddr = t.arg(1);
  const outAddr = t.arg(3);
  if ((src !== null && inAddr !== 0) || (dst !== null && outAddr !== 0)) return -ESPIPE;
  if (src === null && dst === null) {
    const b = t.kernel.tmp;
    if ((outAddr !== 0 && t.copyIn(outAddr, b, 0, 8) < 0) || (inAddr !== 0 && t.copyIn(inAddr, b, 0, 8) < 0)) return -EFAULT;
    return -EINVAL;
  }
  if (src !== null && dst !== null) return pipeToPipe(t, from, to, src, dst, len, flags, true);
  const addr = src === null ? inAddr : outAddr;
  if (addr !== 0 && (src === null ? from : to).stream) return -ESPIPE;
  const pos = offsetAt(t, addr);
  if (pos < -1) return pos;
  const n = src === null ? fileToPipe(t, from, to, dst!, len, pos, flags) : pipeToFile(t, from, src, to, len, pos, flags);
  if (n > 0 && addr !== 0 && t.writeU64(addr, pos + n) < 0) return -EFAULT;
  return n;
}

/** Between two pipes: `take` moves (splice), else copies (tee). */
function pipeToPipe(t: Task, from: File, to: File, src: Pipe, dst: Pipe, len: number, flags: number, take: boolean): number {
  if (src === dst) return -EINVAL;
  if (dst.readers === 0) return broken(t);
  const space = dst.data.space;
  const n = src.peek(t.scratch, 0, space > 0 && space < len ? space : len);
  if (n === -EAGAIN) return again(t, from, READABLE, flags);
  if (n <= 0) return n;
  if (space === 0) return again(t, to, WRITABLE, flags);
  dst.write(t.scratch, 0, n, false);
  if (take) src.consume(n);
  return n;
}

function fileToPipe(t: Task, from: File, to: File, dst: Pipe, len: number, pos: number, flags: number): number {
  if (dst.readers === 0) return broken(t);
  const space = dst.data.space;
  if (space === 0) return again(t, to, WRITABLE, flags);
  const want = len < space ? len : space;
  const n = pos < 0 ? from.read(t, t.scratch, 0, want) : from.pread(t, t.scratch, 0, want, pos);
  if (n === -EAGAIN) return again(t, from, READABLE, flags);
  if (n > 0) dst.write(t.scratch, 0, n, false);
  return n;
}

function pipeToFile(t: Task, from: File, src: Pipe, to: File, len: number, pos: number, flags: number): number {
  if ((to.flags & O_APPEND) !== 0) return -EINVAL;
  const n = src.peek(t.scratch, 0, len);
  if (n === -EAGAIN) return again(t, from, READABLE, flags);
  if (n <= 0) return n;
  const done = pos < 0 ? to.write(t, t.scratch, 0, n) : to.pwrite(t, t.scratch, 0, n, pos);
  if (done === -EAGAIN) return again(t, to, WRITABLE, flags);
  if (done > 0) src.consume(done);
  return done;
}

/** tee(2). */
export function sys_tee(t: Task): number {
  const flags = t.argU(3);
  const len = Math.min(t.arg(2), t.scratch.length);
  if ((flags & ~FLAGS) !== 0) return -EINVAL;
  if (len === 0) return 0;
  const from = t.fds.get(t.argI(0));
  const to = t.fds.get(t.argI(1));
  if (from === null || to === null || !from.readable || !to.writable) return -EBADF;
  const src = pipeOf(from);
  const dst = pipeOf(to);
  if (src === null || dst === null) return -EINVAL;
  return pipeToPipe(t, from, to, src, dst, len, flags, false);
}

/** vmsplice(2): the pages are copied, not lent. */
export function sys_vmsplice(t: Task): number {
  const count = t.arg(2);
  const flags = t.argU(3);
  if ((flags & ~FLAGS) !== 0) return -EINVAL;
  const f = t.fds.get(t.argI(0));
  if (f === null || (!f.writable && !f.readable)) return -EBADF;
  if (count > UIO_MAXIOV) return -EINVAL;
  const iov = t.copyInIovec(t.arg(1), count);
  if (typeof iov === 'number') return iov;
  if (iov.every((v) => v.len === 0)) return 0;
  const pipe = pipeOf(f);
  if (pipe === null) return -EBADF;
  let done = 0;
  let r = 0;
  for (let i = 0; i < count && r >= 0; i++) {
    const v = iov[i]!;
    for (let at = 0; at < v.len; at += r) {
      r = f.writable ? gatherOne(t, pipe, v.base + at, v.len - at) : scatterOne(t, pipe, v.base + at, v.len - at);
      if (r <= 0) break;
      done += r;
    }
    if (r === 0 && v.len > 0) break;
  }
  if (done > 0 || r >= 0) return done;
  if (r === -EPIPE) return broken(t);
  return r === -EAGAIN ? again(t, f, f.writable ? WRITABLE : READABLE, flags) : r;
}

/** From guest memory into the pipe, as much as fits. */
function gatherOne(t: Task, pipe: Pipe, addr: number, len: number): number {
  if (pipe.readers === 0) return -EPIPE;
  const space = pipe.data.space;
  if (space === 0) return -EAGAIN;
  const n = Math.min(len, space, t.scratch.length);
  return t.copyIn(addr, t.scratch, 0, n) < 0 ? -EFAULT : pipe.write(t.scratch, 0, n, false);
}

function scatterOne(t: Task, pipe: Pipe, addr: number, len: number): number {
  const n = pipe.peek(t.scratch, 0, Math.min(len, t.scratch.length));
  if (n <= 0) return n;
  if (t.copyOut(addr, t.scratch, 0, n) < 0) return -EFAULT;
  pipe.consume(n);
  return n;
}

export const rows: readonly Row[] = [
  full(SYS_splice, 'splice', sys_splice, 'fd', 'ptr', 'fd', 'ptr', 'size', 'hex'),
  full(SYS_tee, 'tee', sys_tee, 'fd', 'fd', 'size', 'hex'),
  partial(SYS_vmsplice, 'vmsplice', sys_vmsplice, 'pages are copied', 'fd', 'ptr', 'size', 'hex'),
];
