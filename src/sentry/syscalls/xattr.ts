// Extended attributes (xattr(7)).

import { CAP_FOWNER, CAP_SETFCAP, CAP_SYS_ADMIN } from '../../abi/capability.ts';
import { E2BIG, EBADF, EINVAL, ENAMETOOLONG, ENODATA, EOPNOTSUPP, EPERM, ERANGE, EROFS } from '../../abi/errno.ts';
import { IN_ATTRIB } from '../../abi/eventfd.ts';
import { AT_FDCWD, AT_SYMLINK_NOFOLLOW } from '../../abi/fcntl.ts';
import {
  SYS_fgetxattr,
  SYS_flistxattr,
  SYS_fremovexattr,
  SYS_fsetxattr,
  SYS_getxattr,
  SYS_lgetxattr,
  SYS_listxattr,
  SYS_llistxattr,
  SYS_lremovexattr,
  SYS_lsetxattr,
  SYS_removexattr,
  SYS_setxattr,
} from '../../abi/nr.ts';
import { S_IFDIR, S_IFMT, S_IFREG, S_ISVTX } from '../../abi/stat.ts';
import { XATTR_CREATE, XATTR_NAME_MAX, XATTR_REPLACE, XATTR_SIZE_MAX } from '../../abi/xattr.ts';
import { latin1Write } from '../../base/bytes.ts';
import type { Task } from '../kernel/task.ts';
import type { Dentry } from '../vfs/dentry.ts';
import type { Inode } from '../vfs/inode.ts';
import type { Mount } from '../vfs/mount.ts';
import { notifyDentry } from '../vfs/notify.ts';
import { MAY_READ, MAY_WRITE, permission } from '../vfs/permission.ts';
import { found, walkAt } from './at.ts';
import { full, type Row } from './row.ts';

/** How the first argument names the file. */
const BY_PATH = 0;
const BY_LINK = 1;
const BY_FD = 2;

let inode: Inode;
let mount: Mount | null = null;
let dentry: Dentry | null = null;

/** Finds the file of argument 0. 0 or -errno. */
function find(t: Task, how: number): number {
  if (how === BY_FD) {
    const f = t.fds.get(t.argI(0));
    if (f === null || f.isPath) return -EBADF;
    inode = f.inode;
    mount = f.mount;
    dentry = f.dentry;
    return 0;
  }
  const err = walkAt(t, AT_FDCWD, t.arg(0), how === BY_LINK ? AT_SYMLINK_NOFOLLOW : 0);
  if (err < 0) return err;
  inode = found.dentry.inode!;
  mount = found.mount;
  dentry = found.dentry;
  return 0;
}

function attrName(t: Task): string | number {
  const name = t.copyInString(t.arg(1), XATTR_NAME_MAX + 1);
  if (name === -ENAMETOOLONG || name === '') return -ERANGE;
  return name;
}

/** Whether the caller may read or write the attribute (xattr_permission). 0 or -errno. */
function allowed(t: Task, name: string, write: boolean): number {
  const cr = t.creds;
  if (write && mount?.readonly === true) return -EROFS;
  if (name.startsWith('trusted.')) return cr.has(CAP_SYS_ADMIN) ? 0 : write ? -EPERM : -ENODATA;
  if (name.startsWith('security.')) {
    if (!write) return 0;
    return cr.has(name === 'security.capability' ? CAP_SETFCAP : CAP_SYS_ADMIN) ? 0 : -EPERM;
  }
  if (!name.startsWith('user.') || name.length === 5) return -EOPNOTSUPP;
  const type = inode.mode & S_IFMT;
  if (type !== S_IFREG && type !== S_IFDIR) return write ? -EPERM : -ENODATA;
  if (write && type === S_IFDIR && (inode.mode & S_ISVTX) !== 0 && cr.fsuid !== inode.uid && !cr.has(CAP_FOWNER)) return -EPERM;
  return permission(cr, inode, write ? MAY_WRITE : MAY_READ);
}

function set(t: Task, how: number): number {
  const flags = t.argI(4);
  if ((flags & ~(XATTR_CREATE | XATTR_REPLACE)) !== 0) return -EINVAL;
  const name = attrName(t);
  if (typeof name === 'number') return name;
  const size = t.arg(3);
  if (size > XATTR_SIZE_MAX) return -E2BIG;
  const value = new Uint8Array(size);
  let err = size === 0 ? 0 : t.copyIn(t.arg(2), value, 0, size);
  if (err < 0) return err;
  err = find(t, how);
  if (err < 0) return err;
  err = allowed(t, name, true);
  if (err < 0) return err;
  err = inode.setxattr(t, name, value, flags);
  if (err === 0 && dentry !== null) notifyDentry(dentry, IN_ATTRIB);
  return err;
}

function get(t: Task, how: number): number {
  const name = attrName(t);
  if (typeof name === 'number') return name;
  let err = find(t, how);
  if (err < 0) return err;
  err = allowed(t, name, false);
  if (err < 0) return err;
  const v = inode.getxattr(t, name);
  if (typeof v === 'number') return v;
  const size = t.arg(3);
  if (size === 0) return v.length;
  if (v.length > size) return -ERANGE;
  err = t.copyOut(t.arg(2), v, 0, v.length);
  return err < 0 ? err : v.length;
}

function list(t: Task, how: number): number {
  let err = find(t, how);
  if (err < 0) return err;
  const names = inode.listxattr(t);
  if (typeof names === 'number') return names === -EOPNOTSUPP ? 0 : names;
  const admin = t.creds.has(CAP_SYS_ADMIN);
  const buf = t.kernel.scratch;
  let n = 0;
  for (const name of names) {
    if (!admin && name.startsWith('trusted.')) continue;
    latin1Write(name, buf, n);
    n += name.length;
    buf[n++] = 0;
  }
  const size = t.arg(2);
  if (size === 0) return n;
  if (n > size) return -ERANGE;
  err = t.copyOut(t.arg(1), buf, 0, n);
  return err < 0 ? err : n;
}

function remove(t: Task, how: number): number {
  const name = attrName(t);
  if (typeof name === 'number') return name;
  let err = find(t, how);
  if (err < 0) return err;
  err = allowed(t, name, true);
  if (err < 0) return err;
  err = inode.removexattr(t, name);
  if (err === 0 && dentry !== null) notifyDentry(dentry, IN_ATTRIB);
  return err;
}

/** setxattr(2). */
export function sys_setxattr(t: Task): number {
  return set(t, BY_PATH);
}

/** lsetxattr(2). */
export function sys_lsetxattr(t: Task): number {
  return set(t, BY_LINK);
}

/** fsetxattr(2). */
export function sys_fsetxattr(t: Task): number {
  return set(t, BY_FD);
}

/** getxattr(2): the size of the value. */
export function sys_getxattr(t: Task): number {
  return get(t, BY_PATH);
}

/** lgetxattr(2). */
export function sys_lgetxattr(t: Task): number {
  return get(t, BY_LINK);
}

/** fgetxattr(2). */
export function sys_fgetxattr(t: Task): number {
  return get(t, BY_FD);
}

/** listxattr(2): the size of the list. */
export function sys_listxattr(t: Task): number {
  return list(t, BY_PATH);
}

/** llistxattr(2). */
export function sys_llistxattr(t: Task): number {
  return list(t, BY_LINK);
}

/** flistxattr(2). */
export function sys_flistxattr(t: Task): number {
  return list(t, BY_FD);
}

/** removexattr(2). */
export function sys_removexattr(t: Task): number {
  return remove(t, BY_PATH);
}

/** lremovexattr(2). */
export function sys_lremovexattr(t: Task): number {
  return remove(t, BY_LINK);
}

/** fremovexattr(2). */
export function sys_fremovexattr(t: Task): number {
  return remove(t, BY_FD);
}

export const rows: readonly Row[] = [
  full(SYS_setxattr, 'setxattr', sys_setxattr, 'path', 'str', 'buf', 'size', 'hex'),
  full(SYS_lsetxattr, 'lsetxattr', sys_lsetxattr, 'path', 'str', 'buf', 'size', 'hex'),
  full(SYS_fsetxattr, 'fsetxattr', sys_fsetxattr, 'fd', 'str', 'buf', 'size', 'hex'),
  full(SYS_getxattr, 'getxattr', sys_getxattr, 'path', 'str', 'outbuf', 'size'),
  full(SYS_lgetxattr, 'lgetxattr', sys_lgetxattr, 'path', 'str', 'outbuf', 'size'),
  full(SYS_fgetxattr, 'fgetxattr', sys_fgetxattr, 'fd', 'str', 'outbuf', 'size'),
  full(SYS_listxattr, 'listxattr', sys_listxattr, 'path', 'outbuf', 'size'),
  full(SYS_llistxattr, 'llistxattr', sys_llistxattr, 'path', 'outbuf', 'size'),
  full(SYS_flistxattr, 'flistxattr', sys_flistxattr, 'fd', 'outbuf', 'size'),
  full(SYS_removexattr, 'removexattr', sys_removexattr, 'path', 'str'),
  full(SYS_lremovexattr, 'lremovexattr', sys_lremovexattr, 'path', 'str'),
  full(SYS_fremovexattr, 'fremovexattr', sys_fremovexattr, 'fd', 'str'),
];
