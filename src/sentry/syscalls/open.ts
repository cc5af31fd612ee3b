// open(2), openat(2), openat2(2), creat(2), close(2), close_range(2).

import { E2BIG, EAGAIN, EINVAL } from '../../abi/errno.ts';
import {
  AT_FDCWD,
  O_ACCMODE,
  O_APPEND,
  O_ASYNC,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECT,
  O_DIRECTORY,
  O_EXCL,
  O_NOATIME,
  O_NOCTTY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_SYNC,
  O_TMPFILE,
  O_TRUNC,
  O_WRONLY,
  RESOLVE_BENEATH,
  RESOLVE_CACHED,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
} from '../../abi/fcntl.ts';
import { SYS_close, SYS_close_range, SYS_creat, SYS_open, SYS_openat, SYS_openat2 } from '../../abi/nr.ts';
import { getU32 } from '../../base/bytes.ts';
import type { Task } from '../kernel/task.ts';
import { trimDentries } from '../vfs/dentry.ts';
import { openPath } from '../vfs/open.ts';
import { startDir } from './at.ts';
import { full, type Row } from './row.ts';

/** The kernel's own O_LARGEFILE: 64-bit programs always have it, and F_GETFL shows it. */
const LARGEFILE = 0x8000;
const VALID =
  O_ACCMODE |
  O_CREAT |
  O_EXCL |
  O_NOCTTY |
  O_TRUNC |
  O_APPEND |
  O_NONBLOCK |
  O_SYNC |
  O_ASYNC |
  O_DIRECT |
  LARGEFILE |
  O_DIRECTORY |
  O_NOFOLLOW |
  O_NOATIME |
  O_CLOEXEC |
  O_PATH |
  O_TMPFILE;
const VALID_RESOLVE = RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH | RESOLVE_IN_ROOT | RESOLVE_CACHED;
const CLOSE_RANGE_UNSHARE = 2;
const CLOSE_RANGE_CLOEXEC = 4;
const OPEN_HOW_SIZE = 24;
const SLASH = 47;

/** Opens the path of `n` bytes that lies in kernel.tmp. */
function open(t: Task, fd: number, n: number, flags: number, mode: number, resolveFlags: number): number {
  const path = t.kernel.tmp;
  const dir = startDir(t, fd, n > 0 && path[0] === SLASH);
  if (typeof dir === 'number') return dir;
  const f = openPath(t, dir, path, n, flags, mode, resolveFlags);
  if (typeof f === 'number') return f;
  if ((f.flags & O_PATH) === 0) f.flags |= LARGEFILE;
  return t.fds.install(f, (flags & O_CLOEXEC) !== 0);
}

function openAddr(t: Task, fd: number, addr: number, flags: number, mode: number): number {
  const n = t.copyInPathBytes(addr);
  if (n < 0) return n;
  trimDentries(t.fs.rootDentry);
  return open(t, fd, n, flags & VALID, mode, 0);
}

/** open(2). A descriptor or -errno. */
export function sys_open(t: Task): number {
  return openAddr(t, AT_FDCWD, t.arg(0), t.argI(1), t.argU(2) & 0o7777);
}

/** openat(2). */
export function sys_openat(t: Task): number {
  return openAddr(t, t.argI(0), t.arg(1), t.argI(2), t.argU(3) & 0o7777);
}

/** creat(2). */
export function sys_creat(t: Task): number {
  return openAddr(t, AT_FDCWD, t.arg(0), O_CREAT | O_WRONLY | O_TRUNC, t.argU(1) & 0o7777);
}

/** openat2(2): as openat, but unknown flags are errors, and RESOLVE_* restrict the walk. */
export function sys_openat2(t: Task): number {
  const size = t.arg(3);
  if (size < OPEN_HOW_SIZE) return -EINVAL;
  if (size > 4096) return -E2BIG;
  const how = t.kernel.tmp;
  const err = t.copyIn(t.arg(2), how, 0, size);
  if (err < 0) return err;
  for (let i = OPEN_HOW_SIZE; i < size; i++) if (how[i] !== 0) return -E2BIG;
  const flags = getU32(how, 0);
  const mode = getU32(how, 8);
  const resolveFlags = getU32(how, 16);
  if (getU32(how, 4) !== 0 || (flags & ~VALID) !== 0) return -EINVAL;
  if (getU32(how, 20) !== 0 || (resolveFlags & ~VALID_RESOLVE) !== 0) return -EINVAL;
  if ((resolveFlags & RESOLVE_BENEATH) !== 0 && (resolveFlags & RESOLVE_IN_ROOT) !== 0) return -EINVAL;
  const makes = (flags & O_CREAT) !== 0 || (flags & O_TMPFILE) === O_TMPFILE;
  if (getU32(how, 12) !== 0 || (mode & ~0o7777) !== 0 || (!makes && mode !== 0)) return -EINVAL;
  if ((flags & O_PATH) !== 0 && (flags & ~(O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) !== 0) return -EINVAL;
  if ((resolveFlags & RESOLVE_CACHED) !== 0 && (flags & (O_TRUNC | O_CREAT)) !== 0) return -EAGAIN;
  const n = t.copyInPathBytes(t.arg(1));
  if (n < 0) return n;
  return open(t, t.argI(0), n, flags, mode, resolveFlags);
}

/** close(2). */
export function sys_close(t: Task): number {
  return t.fds.close(t.argI(0), t);
}

/** close_range(2). */
export function sys_close_range(t: Task): number {
  const first = t.argU(0);
  const last = t.argU(1);
  const flags = t.argU(2);
  if ((flags & ~(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC)) !== 0 || first > last) return -EINVAL;
  if ((flags & CLOSE_RANGE_UNSHARE) !== 0 && t.fds.refs > 1) {
    const copy = t.fds.copy(t.fds.limit);
    t.fds.unref(t);
    t.fds = copy;
  }
  const end = Math.min(last, t.fds.size - 1);
  for (let fd = first; fd <= end; fd++) {
    if ((flags & CLOSE_RANGE_CLOEXEC) !== 0) t.fds.setCloexec(fd, true);
    else if (t.fds.get(fd) !== null) t.fds.close(fd, t);
  }
  return 0;
}

export const rows: readonly Row[] = [
  full(SYS_open, 'open', sys_open, 'path', 'open', 'oct'),
  full(SYS_openat, 'openat', sys_openat, 'dirfd', 'path', 'open', 'oct'),
  full(SYS_openat2, 'openat2', sys_openat2, 'dirfd', 'path', 'ptr', 'size'),
  full(SYS_creat, 'creat', sys_creat, 'path', 'oct'),
  full(SYS_close, 'close', sys_close, 'fd'),
  full(SYS_close_range, 'close_range', sys_close_range, 'uint', 'uint', 'hex'),
];
