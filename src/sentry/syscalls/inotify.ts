// inotify(7): inotify_init(2), inotify_add_watch(2), inotify_rm_watch(2).

import { EBADF, EINVAL } from '../../abi/errno.ts';
import {
  IN_ALL_EVENTS,
  IN_CLOEXEC,
  IN_DONT_FOLLOW,
  IN_EXCL_UNLINK,
  IN_ISDIR,
  IN_MASK_ADD,
  IN_MASK_CREATE,
  IN_NONBLOCK,
  IN_ONESHOT,
  IN_ONLYDIR,
  IN_Q_OVERFLOW,
  IN_UNMOUNT,
} from '../../abi/eventfd.ts';
import { SYS_inotify_add_watch, SYS_inotify_init, SYS_inotify_init1, SYS_inotify_rm_watch } from '../../abi/nr.ts';
import { InotifyFile } from '../fs/event/inotify.ts';
import type { Task } from '../kernel/task.ts';
import { MAY_READ, permission } from '../vfs/permission.ts';
import { LOOKUP_DIRECTORY, LOOKUP_FOLLOW, resolve, Walk } from '../vfs/walk.ts';
import { full, partial, type Row } from './row.ts';

/** Every bit that an add_watch mask may hold (ALL_INOTIFY_BITS). */
const KNOWN =
  IN_ALL_EVENTS |
  IN_UNMOUNT |
  IN_Q_OVERFLOW |
  IN_ONLYDIR |
  IN_DONT_FOLLOW |
  IN_EXCL_UNLINK |
  IN_MASK_ADD |
  IN_MASK_CREATE |
  IN_ISDIR |
  IN_ONESHOT;
const walk = new Walk();

function init(t: Task, flags: number): number {
  if ((flags & ~(IN_NONBLOCK | IN_CLOEXEC)) !== 0) return -EINVAL;
  return t.fds.install(new InotifyFile(flags & IN_NONBLOCK), (flags & IN_CLOEXEC) !== 0);
}

/** inotify_init(2). */
export function sys_inotify_init(t: Task): number {
  return init(t, 0);
}

/** inotify_init1(2). */
export function sys_inotify_init1(t: Task): number {
  return init(t, t.argI(0));
}

function inotifyAt(t: Task, fd: number): InotifyFile | number {
  const f = t.fds.get(fd);
  if (f === null) return -EBADF;
  return f instanceof InotifyFile ? f : -EINVAL;
}

/** inotify_add_watch(2). */
export function sys_inotify_add_watch(t: Task): number {
  const mask = t.argU(2);
  if ((mask & IN_ALL_EVENTS) === 0 || (mask & ~KNOWN) !== 0) return -EINVAL;
  if ((mask & IN_MASK_ADD) !== 0 && (mask & IN_MASK_CREATE) !== 0) return -EINVAL;
  const f = inotifyAt(t, t.argI(0));
  if (typeof f === 'number') return f;
  const path = t.copyInPath(t.arg(1));
  if (typeof path === 'number') return path;
  const lookup = ((mask & IN_DONT_FOLLOW) !== 0 ? 0 : LOOKUP_FOLLOW) | ((mask & IN_ONLYDIR) !== 0 ? LOOKUP_DIRECTORY : 0);
  const err = resolve(t, null, path, lookup, walk);
  if (err < 0) return err;
  const inode = walk.dentry.inode!;
  const may = permission(t.creds, inode, MAY_READ);
  return may < 0 ? may : f.watch(inode, mask);
}

/** inotify_rm_watch(2). */
export function sys_inotify_rm_watch(t: Task): number {
  const f = inotifyAt(t, t.argI(0));
  return typeof f === 'number' ? f : f.unwatch(t.argI(1));
}

const BEHIND = 'changes made outside the sandbox are not seen';

export const rows: readonly Row[] = [
  full(SYS_inotify_init, 'inotify_init', sys_inotify_init),
  full(SYS_inotify_init1, 'inotify_init1', sys_inotify_init1, 'hex'),
  partial(SYS_inotify_add_watch, 'inotify_add_watch', sys_inotify_add_watch, BEHIND, 'fd', 'path', 'hex'),
  full(SYS_inotify_rm_watch, 'inotify_rm_watch', sys_inotify_rm_watch, 'fd', 'int'),
];
