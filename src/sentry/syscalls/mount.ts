// mount(2), umount2(2), pivot_root(2).

import { CAP_SYS_ADMIN } from '../../abi/capability.ts';
import { EBUSY, EINVAL, ENOTDIR, EPERM } from '../../abi/errno.ts';
import {
  MNT_DETACH,
  MNT_EXPIRE,
  MNT_FORCE,
  MS_BIND,
  MS_MOVE,
  MS_NOATIME,
  MS_NODEV,
  MS_NODIRATIME,
  MS_NOEXEC,
  MS_NOSUID,
  MS_NOSYMFOLLOW,
  MS_PRIVATE,
  MS_RDONLY,
  MS_REC,
  MS_RELATIME,
  MS_REMOUNT,
  MS_SHARED,
  MS_SLAVE,
  MS_UNBINDABLE,
  ST_NOATIME,
  ST_NODEV,
  ST_NODIRATIME,
  ST_NOEXEC,
  ST_NOSUID,
  ST_RDONLY,
  ST_RELATIME,
  UMOUNT_NOFOLLOW,
} from '../../abi/mount.ts';
import { SYS_mount, SYS_pivot_root, SYS_umount2 } from '../../abi/nr.ts';
import { PATH_MAX } from '../../abi/uio.ts';
import type { Task } from '../kernel/task.ts';
import { makeFileSystem } from '../vfs/fstypes.ts';
import { MNT_LOCKED, MNT_NOSYMFOLLOW, newMount } from '../vfs/mount.ts';
import { bindMount, mountAt, moveMount, pivotRoot, unmount } from '../vfs/namespace.ts';
import { LOOKUP_DIRECTORY, LOOKUP_FOLLOW, resolve, Walk } from '../vfs/walk.ts';
import { full, partial, type Row } from './row.ts';

const source = new Walk();
const target = new Walk();

/** Mount flags (ST_*) of mount(2)'s MS_* bits. */
function mountFlags(ms: number): number {
  let f = 0;
  if ((ms & MS_RDONLY) !== 0) f |= ST_RDONLY;
  if ((ms & MS_NOSUID) !== 0) f |= ST_NOSUID;
  if ((ms & MS_NODEV) !== 0) f |= ST_NODEV;
  if ((ms & MS_NOEXEC) !== 0) f |= ST_NOEXEC;
  if ((ms & MS_NOATIME) !== 0) f |= ST_NOATIME;
  else if ((ms & MS_RELATIME) !== 0 || (ms & MS_NODIRATIME) === 0) f |= ST_RELATIME;
  if ((ms & MS_NODIRATIME) !== 0) f |= ST_NODIRATIME;
  if ((ms & MS_NOSYMFOLLOW) !== 0) f |= MNT_NOSYMFOLLOW;
  return f;
}

function optionalString(t: Task, addr: number): string | number {
  return addr === 0 ? '' : t.copyInString(addr, PATH_MAX);
}

/** mount(2). Propagation is private everywhere: making a mount private or a slave changes nothing, shared is refused. */
export function sys_mount(t: Task): number {
  const ms = t.argU(3);
  const src = optionalString(t, t.arg(0));
  if (typeof src === 'number') return src;
  const path = t.copyInPath(t.arg(1));
  if (typeof path === 'number') return path;
  const type = optionalString(t, t.arg(2));
  if (typeof type === 'number') return type;
  if (!t.creds.has(CAP_SYS_ADMIN)) return -EPERM;
  let err = resolve(t, null, path, LOOKUP_FOLLOW, target);
  if (err < 0) return err;
  const mount = target.mount;
  const dentry = target.dentry;
  const atRoot = dentry === mount.root;
  if ((ms & MS_REMOUNT) !== 0) {
    if (!atRoot) return -EINVAL;
    if ((mount.flags & MNT_LOCKED) !== 0) return -EPERM;
    mount.flags = mountFlags(ms);
    return 0;
  }
  if ((ms & MS_BIND) !== 0) {
    if (src === '') return -EINVAL;
    err = resolve(t, null, src, LOOKUP_FOLLOW, source);
    if (err < 0) return err;
    const m = bindMount(source.mount, source.dentry, (ms & MS_REC) !== 0);
    m.source = source.mount.source;
    err = mountAt(m, mount, dentry);
    if (err < 0) m.kill();
    return err;
  }
  if ((ms & (MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE)) !== 0) {
    if (!atRoot || (ms & MS_SHARED) !== 0) return -EINVAL;
    return 0;
  }
  if ((ms & MS_MOVE) !== 0) {
    err = resolve(t, null, src, LOOKUP_FOLLOW, source);
    if (err < 0) return err;
    return source.dentry === source.mount.root ? moveMount(source.mount, mount, dentry) : -EINVAL;
  }
  const data = optionalString(t, t.arg(4));
  if (typeof data === 'number') return data;
  if (!dentry.isDir) return -ENOTDIR;
  const fs = makeFileSystem(
    t,
    type,
    src,
    data.split(',').filter((o) => o !== ''),
  );
  if (typeof fs === 'number') return fs;
  const m = newMount(fs, mountFlags(ms), src === '' ? 'none' : src);
  err = mountAt(m, mount, dentry);
  if (err < 0) m.kill();
  return err;
}

/** umount2(2). */
export function sys_umount2(t: Task): number {
  const flags = t.argI(1);
  if ((flags & ~(MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW)) !== 0) return -EINVAL;
  if ((flags & MNT_EXPIRE) !== 0) return -EINVAL;
  const path = t.copyInPath(t.arg(0));
  if (typeof path === 'number') return path;
  const err = resolve(t, null, path, (flags & UMOUNT_NOFOLLOW) !== 0 ? 0 : LOOKUP_FOLLOW, target);
  if (err < 0) return err;
  if (!t.creds.has(CAP_SYS_ADMIN)) return -EPERM;
  if (target.dentry !== target.mount.root) return -EINVAL;
  if (target.mount === t.fs.rootMount && (flags & MNT_DETACH) === 0) return -EBUSY;
  return unmount(target.mount, flags);
}

/** pivot_root(2). */
export function sys_pivot_root(t: Task): number {
  if (!t.creds.has(CAP_SYS_ADMIN)) return -EPERM;
  const newPath = t.copyInPath(t.arg(0));
  if (typeof newPath === 'number') return newPath;
  const putPath = t.copyInPath(t.arg(1));
  if (typeof putPath === 'number') return putPath;
  let err = resolve(t, null, newPath, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, source);
  if (err < 0) return err;
  err = resolve(t, null, putPath, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, target);
  if (err < 0) return err;
  const oldMount = t.fs.rootMount;
  const oldDentry = t.fs.rootDentry;
  const newMountRoot = source.mount;
  err = pivotRoot(t, newMountRoot, source.dentry, target.mount, target.dentry);
  if (err < 0) return err;
  // Every task that stood at the old root stands at the new one now.
  for (const other of t.kernel.tasks.values()) {
    const fs = other.fs;
    if (fs.rootMount === oldMount && fs.rootDentry === oldDentry) fs.setRoot(newMountRoot, newMountRoot.root);
    if (fs.cwdMount === oldMount && fs.cwdDentry === oldDentry) fs.setCwd(newMountRoot, newMountRoot.root);
  }
  return 0;
}

export const rows: readonly Row[] = [
  partial(SYS_mount, 'mount', sys_mount, 'propagation between mounts (MS_SHARED)', 'path', 'path', 'str', 'hex', 'ptr'),
  partial(SYS_umount2, 'umount2', sys_umount2, 'MNT_EXPIRE', 'path', 'hex'),
  full(SYS_pivot_root, 'pivot_root', sys_pivot_root, 'path', 'path'),
];
