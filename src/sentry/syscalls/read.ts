// read(2), write(2) and their kin: one body for reading and one for writing, whatever the variant.

import { EAGAIN, EBADF, EFAULT, EFBIG, EINVAL, EISDIR, EOPNOTSUPP, EOVERFLOW, ESPIPE } from '../../abi/errno.ts';
import { IN_ACCESS, IN_MODIFY } from '../../abi/eventfd.ts';
import { O_APPEND, O_DSYNC, O_NONBLOCK, O_SYNC } from '../../abi/fcntl.ts';
import {
  SYS_copy_file_range,
  SYS_lseek,
  SYS_pread64,
  SYS_preadv,
  SYS_preadv2,
  SYS_pwrite64,
  SYS_pwritev,
  SYS_pwritev2,
  SYS_read,
  SYS_readahead,
  SYS_readv,
  SYS_sendfile,
  SYS_write,
  SYS_writev,
} from '../../abi/nr.ts';
import { POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP, POLLRDNORM, POLLWRNORM } from '../../abi/poll.ts';
import { RLIMIT_FSIZE } from '../../abi/resource.ts';
import { SIGXFSZ } from '../../abi/signal.ts';
import { S_IFDIR, S_IFMT, S_IFREG } from '../../abi/stat.ts';
import { RWF_APPEND, RWF_DSYNC, RWF_NOWAIT, RWF_SUPPORTED, RWF_SYNC, SEEK_CUR, SEEK_SET, UIO_MAXIOV } from '../../abi/uio.ts';
import { BLOCKED } from '../../base/result.ts';
import type { IoVec, Task } from '../kernel/task.ts';
import type { File } from '../vfs/file.ts';
import { notifyDentry } from '../vfs/notify.ts';
import { stripPrivileges } from '../vfs/permission.ts';
import { full, type Row } from './row.ts';

/** MAX_RW_COUNT: what one call moves at most. */
const MAX_COUNT = 0x7ffff000;
const READABLE = POLLIN | POLLRDNORM | POLLHUP | POLLERR | POLLRDHUP;
const WRITABLE = POLLOUT | POLLWRNORM | POLLHUP | POLLERR;
/** Up to so many bytes travel best beside the call itself, where Task.copyIn and copyOut find and put them. */
const SHORT = 32;
/** The position argument of calls that use the description's own. */
const SEQUENTIAL = -1;

function readable(t: Task, fd: number): File | number {
  const f = t.fds.get(fd);
  return f === null || f.isPath || !f.readable ? -EBADF : f;
}

function writable(t: Task, fd: number): File | number {
  const f = t.fds.get(fd);
  return f === null || f.isPath || !f.writable ? -EBADF : f;
}

/** Tells watchers that a file was read or written. */
function touched(f: File, mask: number): void {
  const d = f.dentry;
  if (d !== null) notifyDentry(d, mask);
}

/** What remains when `done` bytes went and then an operation answered `err` (negative). */
function partialResult(t: Task, f: File, done: number, err: number, mask: number, nowait: boolean): number {
  if (err !== -EAGAIN) return done > 0 && err !== BLOCKED ? done : err;
  if (nowait || (f.flags & O_NONBLOCK) !== 0) return done > 0 ? done : err;
  // SO_RCVTIMEO and SO_SNDTIMEO.
  if (t.expired()) return done > 0 ? done : err;
  t.rs.done = done;
  const r = t.waitOn(f.queue, mask);
  return r !== BLOCKED && done > 0 ? done : r;
}

/** Reads up to `len` bytes to guest address `addr`; `pos` SEQUENTIAL or an offset. */
function readTo(t: Task, f: File, addr: number, len: number, pos: number, nowait: boolean): number {
  if (len > SHORT && f.direct) {
    const at = t.outRoom(addr, len);
    if (at >= 0) return readDirect(t, f, addr, len, pos, nowait, at);
  }
  const buf = t.kernel.scratch;
  if (len > MAX_COUNT) len = MAX_COUNT;
  let done = 0;
  do {
    const left = len - done;
    const want = left < buf.length ? left : buf.length;
    const n = pos < 0 ? f.read(t, buf, 0, want) : f.pread(t, buf, 0, want, pos + done);
    if (n <= 0) {
      if (n === 0) return done;
      return done > 0 ? done : partialResult(t, f, 0, n, READABLE, nowait);
    }
    const err = t.copyOut(addr + done, buf, 0, n);
    if (err < 0) {
      // What could not be delivered was not read.
      if (pos < 0 && !f.stream) f.pos -= n;
      return done > 0 ? done : err;
    }
    done += n;
    if (n < want || f.stream) break;
  } while (done < len);
  touched(f, IN_ACCESS);
  return done;
}

/** As readTo() with one copy less: to the place `at` of the window, from where the bytes go to the guest with the result. */
function readDirect(t: Task, f: File, addr: number, len: number, pos: number, nowait: boolean, at: number): number {
  const c = t.ctx;
  const n = pos < 0 ? f.read(t, c.window, at, len) : f.pread(t, c.window, at, len, pos);
  if (n <= 0) return n === 0 ? 0 : partialResult(t, f, 0, n, READABLE, nowait);
  // Much room is asked for, little is there: what is short goes the short way.
  if (n > SHORT) c.deliver(addr, at, n);
  else {
    const err = t.copyOut(addr, c.window, at, n);
    if (err < 0) {
      if (pos < 0 && !f.stream) f.pos -= n;
      return err;
    }
  }
  touched(f, IN_ACCESS);
  return n;
}

/** How many of `len` bytes RLIMIT_FSIZE allows at `pos` of a regular file; -EFBIG (with SIGXFSZ) for none. */
function sizeLimit(t: Task, f: File, pos: number, len: number): number {
  const limit = t.rlimit(RLIMIT_FSIZE);
  if (limit === Infinity || (f.inode.mode & S_IFMT) !== S_IFREG) return len;
  const at = (f.flags & O_APPEND) !== 0 ? f.inode.size : pos < 0 ? f.pos : pos;
  if (at >= limit) {
    t.raise(SIGXFSZ);
    return -EFBIG;
  }
  return Math.min(len, limit - at);
}

function writeFrom(t: Task, f: File, addr: number, length: number, pos: number, nowait: boolean): number {
  const buf = t.kernel.scratch;
  let len = length > MAX_COUNT ? MAX_COUNT : length;
  if (len > 0) {
    len = sizeLimit(t, f, pos, len);
    if (len < 0) return len;
    if ((f.inode.mode & 0o6000) !== 0) stripPrivileges(t, f.inode);
    if (f.discards) return len;
  }
  let done = t.rs.done;
  if (len > SHORT && done === 0 && f.direct) {
    const at = t.inRoom(addr, len);
    if (at >= 0) {
      // With one copy less: from the place in the window where the bytes came with the call.
      const n = pos < 0 ? f.write(t, t.ctx.window, at, len) : f.pwrite(t, t.ctx.window, at, len, pos);
      if (n < 0) return partialResult(t, f, 0, n, WRITABLE, nowait);
      done = n;
      if (n === len || !f.stream) {
        touched(f, IN_MODIFY);
        return n;
      }
    }
  }
  do {
    const left = len - done;
    const want = left < buf.length ? left : buf.length;
    const err = t.copyIn(addr + done, buf, 0, want);
    if (err < 0) return done > 0 ? done : err;
    const n = pos < 0 ? f.write(t, buf, 0, want) : f.pwrite(t, buf, 0, want, pos + done);
    if (n < 0) return partialResult(t, f, done, n, WRITABLE, nowait);
    done += n;
    if (n < want && !f.stream) break;
  } while (done < len);
  touched(f, IN_MODIFY);
  return done;
}

/** read(2). */
export function sys_read(t: Task): number {
  const f = readable(t, t.argI(0));
  if (typeof f === 'number') return f;
  return readTo(t, f, t.arg(1), t.arg(2), SEQUENTIAL, false);
}

/** write(2). */
export function sys_write(t: Task): number {
  const f = writable(t, t.argI(0));
  if (typeof f === 'number') return f;
  return settled(f, writeFrom(t, f, t.arg(1), t.arg(2), SEQUENTIAL, false), f.flags);
}

/** pread(2). */
export function sys_pread64(t: Task): number {
  const pos = t.argS(3);
  if (pos < 0) return -EINVAL;
  const f = readable(t, t.argI(0));
  if (typeof f === 'number') return f;
  if (f.stream) return -ESPIPE;
  return readTo(t, f, t.arg(1), t.arg(2), pos, false);
}

/** pwrite(2). */
export function sys_pwrite64(t: Task): number {
  const pos = t.argS(3);
  if (pos < 0) return -EINVAL;
  const f = writable(t, t.argI(0));
  if (typeof f === 'number') return f;
  if (f.stream) return -ESPIPE;
  return settled(f, writeFrom(t, f, t.arg(1), t.arg(2), pos, false), f.flags);
}

// Vectors: gathered into or scattered from the transfer buffer, so that the file sees one operation.

let vectorTotal = 0;

/** Reads and checks a vector; its length in bytes, capped, goes to vectorTotal. */
function vector(t: Task, addr: number, count: number): IoVec[] | number {
  if (count < 0 || count > UIO_MAXIOV) return -EINVAL;
  const v = t.copyInIovec(addr, count);
  if (typeof v === 'number') return v;
  let total = 0;
  for (let i = 0; i < count; i++) {
    const n = v[i]!.len;
    if (n < 0 || n >= 2 ** 63) return -EINVAL;
    total += n;
    if (total >= 2 ** 63) return -EINVAL;
  }
  vectorTotal = total > MAX_COUNT ? MAX_COUNT : total;
  return v;
}

function readVector(t: Task, f: File, v: IoVec[], count: number, pos: number, nowait: boolean): number {
  if (count === 1) return readTo(t, f, v[0]!.base, v[0]!.len, pos, nowait);
  const buf = t.kernel.scratch;
  const total = vectorTotal;
  let done = 0;
  let index = 0;
  let within = 0;
  for (;;) {
    const left = total - done;
    const want = left < buf.length ? left : buf.length;
    const n = pos < 0 ? f.read(t, buf, 0, want) : f.pread(t, buf, 0, want, pos + done);
    if (n < 0) return done > 0 ? done : partialResult(t, f, 0, n, READABLE, nowait);
    let used = 0;
    while (used < n) {
      const e = v[index]!;
      const m = Math.min(n - used, e.len - within);
      const err = m === 0 ? 0 : t.copyOut(e.base + within, buf, used, m);
      if (err < 0) return done + used > 0 ? done + used : err;
      used += m;
      within += m;
      if (within === e.len) {
        index++;
        within = 0;
      }
    }
    done += n;
    if (n < want || f.stream || done >= total || n === 0) break;
  }
  if (done > 0) touched(f, IN_ACCESS);
  return done;
}

function writeVector(t: Task, f: File, v: IoVec[], count: number, pos: number, nowait: boolean): number {
  if (count === 1) return writeFrom(t, f, v[0]!.base, v[0]!.len, pos, nowait);
  const buf = t.kernel.scratch;
  let total = vectorTotal;
  if (total > 0) {
    total = sizeLimit(t, f, pos, total);
    if (total < 0) return total;
    if ((f.inode.mode & 0o6000) !== 0) stripPrivileges(t, f.inode);
  }
  let done = t.rs.done;
  do {
    const left = total - done;
    const want = left < buf.length ? left : buf.length;
    // Gather bytes [done, done + want).
    let skip = done;
    let have = 0;
    for (let i = 0; i < count && have < want; i++) {
      const e = v[i]!;
      if (skip >= e.len) {
        skip -= e.len;
        continue;
      }
      const m = Math.min(e.len - skip, want - have);
      const err = t.copyIn(e.base + skip, buf, have, m);
      if (err < 0) {
        if (have === 0) return done > 0 ? done : err;
        break;
      }
      have += m;
      skip = 0;
    }
    const n = pos < 0 ? f.write(t, buf, 0, have) : f.pwrite(t, buf, 0, have, pos + done);
    if (n < 0) return partialResult(t, f, done, n, WRITABLE, nowait);
    done += n;
    if (have < want || (n < have && !f.stream)) break;
  } while (done < total);
  touched(f, IN_MODIFY);
  return done;
}

function readv(t: Task, pos: number, nowait: boolean): number {
  const f = readable(t, t.argI(0));
  if (typeof f === 'number') return f;
  if (pos >= 0 && f.stream) return -ESPIPE;
  const count = t.argI(2);
  const v = vector(t, t.arg(1), count);
  if (typeof v === 'number') return v;
  return vectorTotal === 0 ? 0 : readVector(t, f, v, count, pos, nowait);
}

/** A write to a file that was opened with O_SYNC or O_DSYNC, or with such flags of its own, is on the disk when it returns. */
function settled(f: File, n: number, flags: number): number {
  if ((flags & O_DSYNC) === 0 || n <= 0 || (f.inode.mode & S_IFMT) !== S_IFREG) return n;
  const err = f.fsync((flags & O_SYNC) !== O_SYNC);
  return err < 0 ? err : n;
}

function writev(t: Task, pos: number, nowait: boolean): number {
  const f = writable(t, t.argI(0));
  if (typeof f === 'number') return f;
  if (pos >= 0 && f.stream) return -ESPIPE;
  const count = t.argI(2);
  const v = vector(t, t.arg(1), count);
  if (typeof v === 'number') return v;
  return vectorTotal === 0 ? 0 : settled(f, writeVector(t, f, v, count, pos, nowait), f.flags);
}

/** readv(2). */
export function sys_readv(t: Task): number {
  return readv(t, SEQUENTIAL, false);
}

/** writev(2). */
export function sys_writev(t: Task): number {
  return writev(t, SEQUENTIAL, false);
}

/** preadv(2). The offset is its low word's argument alone on 64-bit machines. */
export function sys_preadv(t: Task): number {
  const pos = t.argS(3);
  return pos < 0 ? -EINVAL : readv(t, pos, false);
}

/** pwritev(2). */
export function sys_pwritev(t: Task): number {
  const pos = t.argS(3);
  return pos < 0 ? -EINVAL : writev(t, pos, false);
}

/** preadv2(2): offset -1 is the description's own position. */
/** What preadv2 and pwritev2 answer to flags that are not known: what is wrong with the descriptor and the count goes first. */
function unknownFlags(t: Task, f: File | number): number {
  if (typeof f === 'number') return f;
  return t.arg(2) > UIO_MAXIOV ? -EINVAL : -EOPNOTSUPP;
}

export function sys_preadv2(t: Task): number {
  const pos = t.argS(3);
  const flags = t.argU(5);
  if ((flags & ~RWF_SUPPORTED) !== 0 || (flags & RWF_APPEND) !== 0) return unknownFlags(t, readable(t, t.argI(0)));
  if (pos < -1) return -EINVAL;
  return readv(t, pos, (flags & RWF_NOWAIT) !== 0);
}

/** pwritev2(2). */
export function sys_pwritev2(t: Task): number {
  const flags = t.argU(5);
  const n = writevFlags(t, flags);
  if (n <= 0 || (flags & (RWF_DSYNC | RWF_SYNC)) === 0) return n;
  const f = t.fds.get(t.argI(0));
  return f === null ? n : settled(f, n, (flags & RWF_SYNC) !== 0 ? O_SYNC : O_DSYNC);
}

function writevFlags(t: Task, flags: number): number {
  let pos = t.argS(3);
  if ((flags & ~RWF_SUPPORTED) !== 0) return unknownFlags(t, writable(t, t.argI(0)));
  if (pos < -1) return -EINVAL;
  if ((flags & RWF_APPEND) !== 0) {
    const f = t.fds.get(t.argI(0));
    if (f !== null && !f.stream) {
      const at = f.inode.size;
      const n = writev(t, at, (flags & RWF_NOWAIT) !== 0);
      if (pos === -1 && n > 0) f.pos = at + n;
      return n;
    }
    pos = SEQUENTIAL;
  }
  return writev(t, pos, (flags & RWF_NOWAIT) !== 0);
}

/** lseek(2). */
export function sys_lseek(t: Task): number {
  const f = t.fds.get(t.argI(0));
  if (f === null || f.isPath) return -EBADF;
  const whence = t.argU(2);
  if (whence > 4) return -EINVAL;
  if (f.stream) return -ESPIPE;
  return f.seek(t, t.argS(1), whence);
}

/** sendfile(2): the source is read at a position that moves only by what the destination took. */
export function sys_sendfile(t: Task): number {
  const offsetAddr = t.arg(2);
  const offset = offsetAddr === 0 ? 0 : t.readU64(offsetAddr);
  if (offset < 0) return offset;
  const out = writable(t, t.argI(0));
  const src = readable(t, t.argI(1));
  if (typeof src === 'number') return src;
  if (typeof out === 'number') return out;
  if ((src.inode.mode & S_IFMT) === S_IFDIR) return -EINVAL;
  if (offsetAddr !== 0 && src.stream) return -ESPIPE;
  if (src.stream) return -EINVAL;
  if ((out.flags & O_APPEND) !== 0) return -EINVAL;
  const count = Math.min(t.arg(3), MAX_COUNT);
  let pos = src.pos;
  if (offsetAddr !== 0) {
    pos = offset;
    if (pos >= 2 ** 63) return -EINVAL;
  }
  // A blocked call comes back here: what went already was added to the position then.
  let done = t.rs.done;
  const buf = t.kernel.scratch;
  let result = 0;
  while (done < count) {
    const want = Math.min(count - done, buf.length);
    const n = src.pread(t, buf, 0, want, pos);
    if (n <= 0) {
      result = n;
      break;
    }
    const m = out.write(t, buf, 0, n);
    if (m < 0) {
      result = m;
      break;
    }
    pos += m;
    done += m;
    if (m < n && !out.stream) break;
  }
  if (offsetAddr === 0) {
    src.pos = pos;
  } else {
    const err = t.writeU64(offsetAddr, pos);
    if (err < 0) return err;
  }
  if (done > t.rs.done) {
    touched(src, IN_ACCESS);
    touched(out, IN_MODIFY);
  }
  return result < 0 ? partialResult(t, out, done, result, WRITABLE, false) : done;
}

/** copy_file_range(2). */
export function sys_copy_file_range(t: Task): number {
  const src = readable(t, t.argI(0));
  const out = writable(t, t.argI(2));
  if (typeof src === 'number') return src;
  if (typeof out === 'number') return out;
  for (let i = 1; i <= 3; i += 2) if (t.arg(i) !== 0 && t.copyIn(t.arg(i), t.kernel.tmp, 0, 8) < 0) return -EFAULT;
  if (t.argU(5) !== 0) return -EINVAL;
  if ((out.flags & O_APPEND) !== 0) return -EBADF;
  const srcType = src.inode.mode & S_IFMT;
  const outType = out.inode.mode & S_IFMT;
  if (srcType === S_IFDIR || outType === S_IFDIR) return -EISDIR;
  if (srcType !== S_IFREG || outType !== S_IFREG) return -EINVAL;
  const srcAddr = t.arg(1);
  const outAddr = t.arg(3);
  // A description from outside may share its position with others there: it is asked, and moved by reading and writing.
  let from = srcAddr === 0 ? src.seek(t, 0, SEEK_CUR) : t.readU64(srcAddr);
  let to = outAddr === 0 ? out.seek(t, 0, SEEK_CUR) : t.readU64(outAddr);
  if (from < 0) return from;
  if (to < 0) return to;
  let count = Math.min(t.arg(4), MAX_COUNT);
  if (from + count >= 2 ** 63 || to + count >= 2 ** 63) return -EOVERFLOW;
  count = Math.min(count, Math.max(0, src.inode.size - from));
  if (src.inode === out.inode && from < to + count && to < from + count) return count === 0 ? 0 : -EINVAL;
  if (count > 0) {
    count = sizeLimit(t, out, to, count);
    if (count < 0) return count;
    if ((out.inode.mode & 0o6000) !== 0) stripPrivileges(t, out.inode);
  }
  const buf = t.kernel.scratch;
  let done = 0;
  let err = 0;
  while (done < count) {
    const n = src.pread(t, buf, 0, Math.min(count - done, buf.length), from);
    if (n <= 0) {
      err = n;
      break;
    }
    const m = outAddr === 0 ? out.write(t, buf, 0, n) : out.pwrite(t, buf, 0, n, to);
    if (m < 0) {
      err = m;
      break;
    }
    from += m;
    to += m;
    done += m;
    if (m < n) break;
  }
  if (done === 0) return err;
  if (srcAddr === 0) src.seek(t, from, SEEK_SET);
  else t.writeU64(srcAddr, from);
  if (outAddr !== 0) t.writeU64(outAddr, to);
  touched(src, IN_ACCESS);
  touched(out, IN_MODIFY);
  return done;
}

/** readahead(2): the host reads ahead as it likes. */
export function sys_readahead(t: Task): number {
  const f = readable(t, t.argI(0));
  if (typeof f === 'number') return f;
  return (f.inode.mode & S_IFMT) === S_IFREG ? 0 : -EINVAL;
}

export const rows: readonly Row[] = [
  full(SYS_read, 'read', sys_read, 'fd', 'outbuf', 'size'),
  full(SYS_write, 'write', sys_write, 'fd', 'buf', 'size'),
  full(SYS_pread64, 'pread64', sys_pread64, 'fd', 'outbuf', 'size', 'long'),
  full(SYS_pwrite64, 'pwrite64', sys_pwrite64, 'fd', 'buf', 'size', 'long'),
  full(SYS_readv, 'readv', sys_readv, 'fd', 'ptr', 'int'),
  full(SYS_writev, 'writev', sys_writev, 'fd', 'ptr', 'int'),
  full(SYS_preadv, 'preadv', sys_preadv, 'fd', 'ptr', 'int', 'long'),
  full(SYS_pwritev, 'pwritev', sys_pwritev, 'fd', 'ptr', 'int', 'long'),
  // RWF_HIPRI asks to poll a device that can be polled; none here can.
  full(SYS_preadv2, 'preadv2', sys_preadv2, 'fd', 'ptr', 'int', 'long', 'long', 'hex'),
  full(SYS_pwritev2, 'pwritev2', sys_pwritev2, 'fd', 'ptr', 'int', 'long', 'long', 'hex'),
  full(SYS_lseek, 'lseek', sys_lseek, 'fd', 'long', 'whence'),
  full(SYS_sendfile, 'sendfile', sys_sendfile, 'fd', 'fd', 'ptr', 'size'),
  full(SYS_copy_file_range, 'copy_file_range', sys_copy_file_range, 'fd', 'ptr', 'fd', 'ptr', 'size', 'hex'),
  full(SYS_readahead, 'readahead', sys_readahead, 'fd', 'long', 'size'),
];
