// Acts on one file that the gofer knows: attributes, links, extended attributes, and opening it.

import { EACCES, EINVAL, EISDIR, ELOOP, ENOENT, EOPNOTSUPP, EROFS, ESTALE } from '../abi/errno.ts';
import { AT_EMPTY_PATH, AT_FDCWD, O_DIRECTORY, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_PATH, O_RDONLY, O_WRONLY } from '../abi/fcntl.ts';
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from '../abi/stat.ts';
import type { Native } from '../host/native.ts';
import {
  type Attr,
  type GoferReply,
  type GoferRequest,
  MAX_TARGET,
  type NodeInfo,
  OP_GETXATTR,
  OP_LISTXATTR,
  OP_REMOVEXATTR,
  OP_SETXATTR,
  SET_ATIME,
  SET_GID,
  SET_MODE,
  SET_MTIME,
  SET_SIZE,
  SET_UID,
} from '../wire/gofer.ts';
import { type Node, type NodeTable, RESOLVE } from './nodes.ts';

const UTIME_OMIT = 0x3ffffffe;
/** The one kind of extended attribute that a guest may see or set: others are the host's own business. */
const XATTR_PREFIX = 'user.';

export class Files {
  readonly native: Native;
  readonly table: NodeTable;
  /** What the last stat of any method told. */
  readonly stat = new Float64Array(21);
  readonly times = new Float64Array(4);
  private readonly link = Buffer.alloc(MAX_TARGET + 1);
  private readonly values = Buffer.alloc(64 * 1024);
  /** /proc/self/fd as a directory, by which a node's very file is opened; -1: open by name and compare. */
  private readonly selfFd: number;

  constructor(native: Native, table: NodeTable) {
    this.native = native;
    this.table = table;
    this.selfFd = this.openSelfFd();
  }

  private openSelfFd(): number {
    const fd = this.native.openat(AT_FDCWD, '/proc/self/fd', O_PATH | O_DIRECTORY, 0);
    if (fd < 0) return -1;
    const f = new Float64Array(12);
    if (this.native.fstatfs(fd, f) === 0 && f[0] === 0x9fa0) return fd;
    this.native.close(fd);
    return -1;
  }

  /** Where a symbolic link leads, or -errno. */
  private target(dir: number, name: string): string | number {
    const n = this.native.readlinkat(dir, name, this.link);
    if (n < 0) return n;
    return n > MAX_TARGET ? -EINVAL : this.link.toString('latin1', 0, n);
  }

  /** Describes `name` in `dir` with a fresh identifier. `stat` is overwritten. */
  describe(dir: Node, name: string): { info: NodeInfo; node: Node } | number {
    const err = this.table.statChild(dir, name, this.stat);
    if (err < 0) return err;
    const attr = attrOf(this.stat);
    let target = '';
    if ((attr.mode & S_IFMT) === S_IFLNK) {
      const t = this.target(dir.fd, name);
      if (typeof t === 'number') return t;
      target = t;
    }
    const node = this.table.add(dir, name, this.stat);
    if (typeof node === 'number') return node;
    return { info: { id: node.id, attr, target, name: '' }, node };
  }

  getattr(n: Node, r: GoferReply): number {
    const fd = this.table.fdOf(n);
    if (fd < 0) return fd;
    const err = this.native.fstat(fd, this.stat);
    if (err < 0) return err;
    r.attr = attrOf(this.stat);
    return 0;
  }

  setattr(n: Node, q: GoferRequest, r: GoferReply): number {
    const native = this.native;
    if (n.readonly) return -EROFS;
    const fd = this.table.fdOf(n);
    if (fd < 0) return fd;
    let err = 0;
    if ((q.mask & SET_SIZE) !== 0) {
      if (n.type !== S_IFREG) return n.type === S_IFDIR ? -EISDIR : -EINVAL;
      const w = this.openNode(n, O_WRONLY);
      if (w < 0) return w;
      err = native.ftruncate(w, q.size);
      native.close(w);
      if (err < 0) return err;
    }
    if ((q.mask & (SET_UID | SET_GID)) !== 0) {
      const uid = (q.mask & SET_UID) !== 0 ? q.uid : -1;
      const gid = (q.mask & SET_GID) !== 0 ? q.gid : -1;
      err = native.fchownat(fd, '', uid, gid, AT_EMPTY_PATH);
      if (err < 0) return err;
    }
    if ((q.mask & SET_MODE) !== 0) {
      err = n.type === S_IFLNK ? -EOPNOTSUPP : this.chmod(n, fd, q.mode & 0o7777);
      if (err < 0) return err;
    }
    if ((q.mask & (SET_ATIME | SET_MTIME)) !== 0) {
      const t = this.times;
      t[0] = q.atimeSec;
      t[1] = (q.mask & SET_ATIME) !== 0 ? q.atimeNsec : UTIME_OMIT;
      t[2] = q.mtimeSec;
      t[3] = (q.mask & SET_MTIME) !== 0 ? q.mtimeNsec : UTIME_OMIT;
      err = native.utimensat(fd, '', t, AT_EMPTY_PATH);
      if (err < 0) return err;
    }
    return this.getattr(n, r);
  }

  private chmod(n: Node, fd: number, mode: number): number {
    const err = this.native.chmodAt(fd, mode);
    // Before Linux 6.6 the addon needs /proc; without both, a real descriptor serves.
    if (err !== -ENOENT || this.selfFd >= 0) return err;
    const real = this.openNode(n, O_RDONLY);
    if (real < 0) return real === -EACCES ? -EOPNOTSUPP : real;
    const r = this.native.fchmod(real, mode);
    this.native.close(real);
    return r;
  }

  /** Opens the file of a node for data: regular files, and directories to list them. Never what could block or act on a device. */
  openNode(n: Node, flags: number): number {
    const native = this.native;
    if (n.type !== S_IFREG && n.type !== S_IFDIR) return -EACCES;
    const how = flags | O_NOCTTY | O_NONBLOCK;
    let fd: number;
    if (this.selfFd >= 0) {
      // The magic link leads to the very file that the O_PATH descriptor stands for: no name is walked.
      const path = this.table.fdOf(n);
      fd = path < 0 ? path : native.openat(this.selfFd, String(path), how, 0);
    } else if (n.parent === null) {
      fd = native.openat(AT_FDCWD, n.name, how, 0);
    } else {
      // Whatever took the file's name meanwhile is not waited for (O_NONBLOCK), and refused below.
      const dir = n.orphan ? -ESTALE : this.table.fdOf(n.parent);
      fd = dir < 0 ? dir : native.openat2(dir, n.name, how | O_NOFOLLOW, 0, RESOLVE);
      if (fd === -ENOENT || fd === -ELOOP) return -ESTALE;
    }
    if (fd < 0) return fd;
    const err = native.fstat(fd, this.stat);
    if (err < 0 || (this.selfFd < 0 && !this.table.same(n, this.stat))) {
      native.close(fd);
      return err < 0 ? err : -ESTALE;
    }
    return fd;
  }

  readlink(n: Node, r: GoferReply): number {
    if (n.type !== S_IFLNK) return -EINVAL;
    const fd = this.table.fdOf(n);
    if (fd < 0) return fd;
    const t = this.target(fd, '');
    if (typeof t === 'number') return t;
    r.text = t;
    return 0;
  }

  statfs(n: Node, r: GoferReply): number {
    const fd = this.table.fdOf(n);
    if (fd < 0) return fd;
    const f = new Float64Array(12);
    const err = this.native.fstatfs(fd, f);
    if (err < 0) return err;
    r.statfs = Array.from(f.subarray(0, 10));
    return 0;
  }

  xattr(n: Node, q: GoferRequest, r: GoferReply): number {
    const native = this.native;
    const writes = q.op === OP_SETXATTR || q.op === OP_REMOVEXATTR;
    if (writes && n.readonly) return -EROFS;
    if (q.op !== OP_LISTXATTR && (!q.text.startsWith(XATTR_PREFIX) || q.text.length > 255)) return -EOPNOTSUPP;
    const fd = this.table.fdOf(n);
    if (fd < 0) return fd;
    const err = this.xattrOn(fd, q, r);
    // Before Linux 6.13 the addon needs /proc; without both, a real descriptor serves.
    if (err !== -ENOENT || this.selfFd >= 0) return err;
    const real = this.openNode(n, O_RDONLY);
    if (real < 0) return -EOPNOTSUPP;
    const again = this.xattrOn(real, q, r);
    native.close(real);
    return again;
  }

  private xattrOn(fd: number, q: GoferRequest, r: GoferReply): number {
    const { native, values } = this;
    switch (q.op) {
      case OP_GETXATTR: {
        const k = native.getxattrAt(fd, q.text, values);
        if (k < 0) return k;
        r.bytes = values.subarray(0, k);
        return 0;
      }
      case OP_SETXATTR:
        return q.flags > 3 ? -EINVAL : native.setxattrAt(fd, q.text, q.bytes, q.flags);
      case OP_REMOVEXATTR:
        return native.removexattrAt(fd, q.text);
      default: {
        const k = native.listxattrAt(fd, values);
        if (k < 0) return k;
        const names = values.toString('latin1', 0, k).split('\0');
        const shown = names.filter((s) => s.startsWith(XATTR_PREFIX)).map((s) => `${s}\0`);
        r.bytes = Buffer.from(shown.join(''), 'latin1');
        return 0;
      }
    }
  }
}

/** What the kernel shows for ids that the user namespace does not map (/proc/sys/kernel/overflowuid). */
const OVERFLOW_ID = 65534;
/** A gofer of an ordinary user sees the owners of all that is not the user's as the overflow id: most of it is root's, and is shown so. */
const unmappedId: number = process.getuid?.() === 0 ? OVERFLOW_ID : 0;

/** The attributes that a stat of the addon told. */
export function attrOf(s: Float64Array): Attr {
  return {
    dev: s[0] as number,
    ino: s[1] as number,
    mode: s[2] as number,
    nlink: s[3] as number,
    uid: s[4] === OVERFLOW_ID ? unmappedId : (s[4] as number),
    gid: s[5] === OVERFLOW_ID ? unmappedId : (s[5] as number),
    rdev: s[6] as number,
    size: s[7] as number,
    blksize: s[8] as number,
    blocks: s[9] as number,
    atimeSec: s[10] as number,
    atimeNsec: s[11] as number,
    mtimeSec: s[12] as number,
    mtimeNsec: s[13] as number,
    ctimeSec: s[14] as number,
    ctimeNsec: s[15] as number,
  };
}
