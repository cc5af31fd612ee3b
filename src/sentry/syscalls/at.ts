// What the *at() calls share: directory descriptors and paths.

import { EBADF, ENOENT } from '../../abi/errno.ts';
import { AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW } from '../../abi/fcntl.ts';
import type { Task } from '../kernel/task.ts';
import { trimDentries } from '../vfs/dentry.ts';
import type { File } from '../vfs/file.ts';
import { LOOKUP_EMPTY, LOOKUP_FOLLOW, resolve, Walk } from '../vfs/walk.ts';

const SLASH = 47;

/** The directory that `path` starts at for descriptor `fd`: null for the working directory or an absolute path. -EBADF. */
export function dirFile(t: Task, fd: number, path: string): File | null | number {
  if (fd === AT_FDCWD || path.charCodeAt(0) === SLASH) return null;
  const f = t.fds.get(fd);
  return f === null ? -EBADF : f;
}

/** Where the last walkAt() ended; valid until the next walk of any call. */
export const found: Walk = new Walk();

/**
 * Reads the path at `addr` and walks it from `fd` by AT_SYMLINK_NOFOLLOW and AT_EMPTY_PATH in `flags`. 0 with `found` filled, or -errno.
 */
export function walkAt(t: Task, fd: number, addr: number, flags: number): number {
  let path: string | number = '';
  if (addr !== 0 || (flags & AT_EMPTY_PATH) === 0) {
    path = t.copyInPath(addr);
    if (typeof path === 'number') return path;
  }
  trimDentries(t.fs.rootDentry);
  return walkPath(t, fd, path, flags);
}

/** As walkAt() for a path that was read already. */
export function walkPath(t: Task, fd: number, path: string, flags: number): number {
  const dir = dirFile(t, fd, path);
  if (typeof dir === 'number') return path.length === 0 && (flags & AT_EMPTY_PATH) === 0 ? -ENOENT : dir;
  const lookup = ((flags & AT_SYMLINK_NOFOLLOW) !== 0 ? 0 : LOOKUP_FOLLOW) | ((flags & AT_EMPTY_PATH) !== 0 ? LOOKUP_EMPTY : 0);
  return resolve(t, dir, path, lookup, found);
}

/** A path argument together with its directory: fills `at`. 0 or -errno. */
export class PathArg {
  dir: File | null = null;
  path = '';

  read(t: Task, fd: number, addr: number): number {
    const path = t.copyInPath(addr);
    if (typeof path === 'number') return path;
    const dir = dirFile(t, fd, path);
    if (typeof dir === 'number') return dir;
    this.dir = dir;
    this.path = path;
    return 0;
  }
}
