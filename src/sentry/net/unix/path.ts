// Path names of unix sockets: bind(2) makes a file of type S_IFSOCK, connect(2) finds it.

import { EADDRINUSE, ECONNREFUSED, EEXIST, ENOENT } from '../../../abi/errno.ts';
import { IN_CREATE } from '../../../abi/eventfd.ts';
import { S_IFMT, S_IFSOCK } from '../../../abi/stat.ts';
import type { Caller } from '../../vfs/caller.ts';
import { type Dentry, instantiate, lookupChild, putDentry } from '../../vfs/dentry.ts';
import { unbindSocket } from '../../vfs/hostfiles.ts';
import type { Inode } from '../../vfs/inode.ts';
import { notifyName } from '../../vfs/notify.ts';
import { MAY_WRITE, mayCreate, permission } from '../../vfs/permission.ts';
import { LAST_NORM, LOOKUP_FOLLOW, LOOKUP_PARENT, resolve, Walk } from '../../vfs/walk.ts';

const walk = new Walk();

/** Makes the socket file `path`. Its dentry with a reference for the socket, or -errno (-EADDRINUSE when the name exists). */
export function bindPath(c: Caller, path: string): Dentry | number {
  const err = resolve(c, null, path, LOOKUP_PARENT, walk);
  if (err < 0) return err;
  if (walk.last !== LAST_NORM) return -EADDRINUSE;
  const { mount, dentry: dir, name } = walk;
  const d = lookupChild(c, dir, name);
  if (typeof d === 'number') return d;
  if (d.inode !== null) return -EADDRINUSE;
  if (walk.trailing) return -ENOENT;
  const may = mayCreate(c, mount, dir);
  if (may < 0) return may;
  const made = dir.inode!.create(c, name, S_IFSOCK | (0o777 & ~c.fs.umask), 0);
  if (typeof made === 'number') return made === -EEXIST ? -EADDRINUSE : made;
  instantiate(d, made);
  notifyName(dir.inode!, name, IN_CREATE, false);
  d.refs++;
  return d;
}

/** The socket file that `path` leads to, if the caller may write to it; or -errno. */
export function findPath(c: Caller, path: string): Inode | number {
  const err = resolve(c, null, path, LOOKUP_FOLLOW, walk);
  if (err < 0) return err;
  const inode = walk.dentry.inode!;
  const may = permission(c.creds, inode, MAY_WRITE);
  if (may < 0) return may;
  return (inode.mode & S_IFMT) === S_IFSOCK ? inode : -ECONNREFUSED;
}

/** The socket is gone; the name stays until unlink(2). */
export function unbindPath(d: Dentry, sock: unknown): void {
  if (d.inode !== null) unbindSocket(d.inode, sock);
  putDentry(d);
}
