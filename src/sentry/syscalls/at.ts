// What the *at() calls share: directory descriptors and paths.

import { EBADF, ENOENT } from '../../abi/errno.ts';
import { AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW } from '../../abi/fcntl.ts';
import type { Task } from '../kernel/task.ts';
import { trimDentries } from '../vfs/dentry.ts';
import type { File } from '../vfs/file.ts';
import { LOOKUP_EMPTY, LOOKUP_FOLLOW, resolveBytes, Walk } from '../vfs/walk.ts';

const SLASH = 47;

/** The directory that a path starts at for descriptor `fd`: null for the working directory or an absolute path. -EBADF. */
export function startDir(t: Task, fd: number, absolute: boolean): File | null | number {
  if (fd === AT_FDCWD || absolute) return null;
  const f = t.fds.get(fd);
  return f === null ? -EBADF : f;
}

/** Where the last walkAt() ended; valid until the next walk of any call. */
export const found: Walk = new Walk();

/**
 * Reads the path at `addr` and walks it from `fd` by AT_SYMLINK_NOFOLLOW and AT_EMPTY_PATH in `flags`. 0 with `found` filled, or -errno.
 */
export function walkAt(t: Task, fd: number, addr: number, flags: number): number {
  const n = readPath(t, addr, flags);
  return n < 0 ? n : walkRead(t, fd, n, flags);
}

/** Reads a path argument to kernel.tmp: its length. With AT_EMPTY_PATH no address is an empty path. */
export function readPath(t: Task, addr: number, flags: number): number {
  return addr === 0 && (flags & AT_EMPTY_PATH) !== 0 ? 0 : t.copyInPathBytes(addr);
}

/** As walkAt() for the path of `n` bytes that lies in kernel.tmp. */
export function walkRead(t: Task, fd: number, n: number, flags: number): number {
  const buf = t.kernel.tmp;
  trimDentries(t.fs.rootDentry);
  const dir = startDir(t, fd, n > 0 && buf[0] === SLASH);
  if (typeof dir === 'number') return n === 0 && (flags & AT_EMPTY_PATH) === 0 ? -ENOENT : dir;
  const lookup = ((flags & AT_SYMLINK_NOFOLLOW) !== 0 ? 0 : LOOKUP_FOLLOW) | ((flags & AT_EMPTY_PATH) !== 0 ? LOOKUP_EMPTY : 0);
  return resolveBytes(t, dir, buf, n, lookup, found);
}

/** A path argument together with its directory: fills `at`. 0 or -errno. */
export class PathArg {
  dir: File | null = null;
  path = '';

  read(t: Task, fd: number, addr: number): number {
    const path = t.copyInPath(addr);
    if (typeof path === 'number') return path;
    const dir = startDir(t, fd, path.charCodeAt(0) === SLASH);
    if (typeof dir === 'number') return dir;
    this.dir = dir;
    this.path = path;
    return 0;
  }
}
