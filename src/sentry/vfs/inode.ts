// Inodes (inode(7)): the objects that names lead to. A file system subclasses Inode and overrides what it supports.
//
// Name arguments are single components, checked for length and emptiness by the walk. Permission checks against the caller's
// credentials are done above, in the generic layer (permission.ts), but for file systems that must add their own.
// Methods answer an object or 0 on success and -errno otherwise. They never block.

import { EINVAL, ENOTDIR, ENXIO, EOPNOTSUPP, EPERM } from '../../abi/errno.ts';
import { realtime } from '../../base/clock.ts';
import type { Caller } from './caller.ts';
import type { Dentry } from './dentry.ts';
import type { File } from './file.ts';
import type { FileSystem } from './filesystem.ts';
import type { Mount } from './mount.ts';

/** Bits of SetAttr.mask. */
export const ATTR_MODE = 1;
export const ATTR_UID = 2;
export const ATTR_GID = 4;
export const ATTR_SIZE = 8;
export const ATTR_ATIME = 16;
export const ATTR_MTIME = 32;
export const ATTR_CTIME = 64;

/** What setattr changes: only the fields that `mask` names are valid. */
export class SetAttr {
  mask = 0;
  mode = 0;
  uid = 0;
  gid = 0;
  size = 0;
  atimeSec = 0;
  atimeNsec = 0;
  mtimeSec = 0;
  mtimeNsec = 0;
}

const now = new Float64Array(2);

export abstract class Inode {
  readonly fs: FileSystem;
  ino: number;
  /** File type and permission bits, as st_mode. */
  mode: number;
  uid = 0;
  gid = 0;
  nlink = 1;
  /** Device number of device nodes, as the kernel's dev_t in stat(2): (major << 8) | minor for small numbers; see abi makedev. */
  rdev = 0;
  /** Bytes; for directories what the file system likes. Kept current by the file system (refresh() first where it may be stale). */
  size = 0;
  atimeSec = 0;
  atimeNsec = 0;
  mtimeSec = 0;
  mtimeNsec = 0;
  ctimeSec = 0;
  ctimeNsec = 0;
  btimeSec = 0;
  btimeNsec = 0;
  /** 512-byte units. */
  blocks = 0;
  blksize = 4096;
  /** Object that other parts of the kernel hang on an inode, made on demand: pipe of a FIFO, bound socket, lock list, inotify watches. */
  fifo: unknown = null;
  socket: unknown = null;
  locks: unknown = null;
  watches: unknown = null;
  /** Count of open descriptions for writing, and of mappings that deny writing (ETXTBSY). */
  writers = 0;
  denyWrite = 0;
  /** Dentries and open descriptions that refer to it; evict() is called when the last goes. */
  holds = 0;
  /** FIFOs, sockets and devices: open() of this inode is asked instead of the registry of special files. */
  opensItself = false;
  /** O_TRUNC is applied before open() of this inode, which then has less to copy. */
  truncateFirst = false;
  /** Made by O_TMPFILE with O_EXCL: never gets a name. */
  neverLinked = false;

  constructor(fs: FileSystem, ino: number, mode: number) {
    this.fs = fs;
    this.ino = ino;
    this.mode = mode;
  }

  /** Which file of the host it is, the same word in all containers that have it mounted; '': it exists here alone. */
  get hostKey(): string {
    return '';
  }

  /** Brings cached attributes up to date (shared trees, /proc sizes). 0 or -errno. */
  refresh(): number {
    return 0;
  }

  /** Sets mtime and/or ctime/atime to now: ATTR_* bits. */
  touch(mask: number): void {
    realtime(now);
    if ((mask & ATTR_ATIME) !== 0) {
      this.atimeSec = now[0]!;
      this.atimeNsec = now[1]!;
    }
    if ((mask & ATTR_MTIME) !== 0) {
      this.mtimeSec = now[0]!;
      this.mtimeNsec = now[1]!;
    }
    if ((mask & ATTR_CTIME) !== 0) {
      this.ctimeSec = now[0]!;
      this.ctimeNsec = now[1]!;
    }
  }

  // Directories.

  lookup(_c: Caller, _name: string): Inode | number {
    return -ENOTDIR;
  }

  /** Makes a regular file, FIFO, socket or device by `mode`'s type; owner fsuid/fsgid (or the set-gid directory's group) of the caller. */
  create(_c: Caller, _name: string, _mode: number, _rdev: number): Inode | number {
    return -EPERM;
  }

  mkdir(_c: Caller, _name: string, _mode: number): Inode | number {
    return -EPERM;
  }

  symlink(_c: Caller, _name: string, _target: string): Inode | number {
    return -EPERM;
  }

  link(_c: Caller, _name: string, _target: Inode): number {
    return -EPERM;
  }

  unlink(_c: Caller, _name: string, _target: Inode): number {
    return -EPERM;
  }

  rmdir(_c: Caller, _name: string, _target: Inode): number {
    return -EPERM;
  }

  /** rename(2) of `name` here to `newName` in `newDir` (same file system). `target`: what stands there now, or null. RENAME_EXCHANGE in flags. */
  rename(_c: Caller, _name: string, _inode: Inode, _newDir: Inode, _newName: string, _target: Inode | null, _flags: number): number {
    return -EPERM;
  }

  /** O_TMPFILE. */
  tmpfile(_c: Caller, _mode: number): Inode | number {
    return -EOPNOTSUPP;
  }

  // All kinds.

  readlink(_c: Caller): string | number {
    return -EINVAL;
  }

  /** For magic links (/proc/PID/fd/N): where they lead without a walk; null for ordinary links. */
  jump(_c: Caller): { mount: Mount; dentry: Dentry } | number | null {
    return null;
  }

  /** Makes an open description of this inode; the walk and permissions are done. O_TRUNC is applied by the layer above. */
  open(_c: Caller, _flags: number, _mount: Mount, _dentry: Dentry): File | number {
    return -ENXIO;
  }

  /** Applies `a` (checked already) and updates ctime. Size changes only on regular files. */
  setattr(_c: Caller, _a: SetAttr): number {
    return -EPERM;
  }

  getxattr(_c: Caller, _name: string): Uint8Array | number {
    return -EOPNOTSUPP;
  }

  setxattr(_c: Caller, _name: string, _value: Uint8Array, _flags: number): number {
    return -EOPNOTSUPP;
  }

  listxattr(_c: Caller): string[] | number {
    return -EOPNOTSUPP;
  }

  removexattr(_c: Caller, _name: string): number {
    return -EOPNOTSUPP;
  }

  /** F_GET_SEALS of fcntl(2): F_SEAL_* bits, -EINVAL for files that cannot be sealed. */
  getSeals(): number {
    return -EINVAL;
  }

  /** F_ADD_SEALS. 0 or -errno. */
  addSeals(_seals: number): number {
    return -EINVAL;
  }

  /** No dentry and no open description refers to it any more: cached names may have been dropped, so look at nlink before freeing data. */
  evict(): void {}
}
