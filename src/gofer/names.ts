// Changes names in directories: make, link, unlink, rename.

import { EBADF, EEXIST, EINVAL, ELOOP, ENOENT, ENOSPC, ENOTDIR, EPERM, EROFS, ESTALE } from '../abi/errno.ts';
import {
  AT_EMPTY_PATH,
  AT_REMOVEDIR,
  AT_SYMLINK_NOFOLLOW,
  O_ACCMODE,
  O_CREAT,
  O_EXCL,
  O_NOCTTY,
  O_NOFOLLOW,
  O_RDWR,
} from '../abi/fcntl.ts';
import { S_IFDIR, S_IFIFO, S_IFMT, S_IFSOCK, S_ISGID, S_ISUID } from '../abi/stat.ts';
import { RENAME_EXCHANGE, RENAME_NOREPLACE } from '../abi/uio.ts';
import { type GoferReply, type GoferRequest, type NodeInfo, OP_CREATE, OP_MKDIR, OP_SYMLINK, type PutRequest } from '../wire/gofer.ts';
import { attrOf, type Files } from './files.ts';
import { type Node, type NodeTable, RESOLVE } from './nodes.ts';

export class Names {
  private readonly files: Files;
  private readonly table: NodeTable;
  /** The descriptor of the file that make() just made, or -1. The caller takes it over. */
  made = -1;

  constructor(files: Files) {
    this.files = files;
    this.table = files.table;
  }

  /** OP_CREATE, OP_MKDIR, OP_MKNOD, OP_SYMLINK: a name that must not exist yet. */
  make(dir: Node, q: GoferRequest, r: GoferReply): number {
    const { native, name } = { native: this.files.native, name: q.name };
    if (dir.type !== S_IFDIR) return -ENOTDIR;
    if (dir.readonly) return -EROFS;
    const fd = this.table.fdOf(dir);
    if (fd < 0) return fd;
    const perm = q.mode & 0o7777;
    let err: number;
    let made = -1;
    switch (q.op) {
      case OP_CREATE:
        if ((q.flags & ~O_ACCMODE) !== 0) return -EINVAL;
        made = native.openat2(fd, name, O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW | O_NOCTTY, perm, RESOLVE);
        err = made;
        break;
      case OP_MKDIR:
        err = native.mkdirat(fd, name, perm);
        break;
      case OP_SYMLINK:
        err = q.text === '' ? -ENOENT : native.symlinkat(q.text, fd, name);
        break;
      default: {
        const type = q.mode & S_IFMT;
        if (type !== S_IFIFO && type !== S_IFSOCK && type !== 0x2000 && type !== 0x6000) return -EINVAL;
        err = native.mknodat(fd, name, type | perm, q.major, q.minor);
      }
    }
    if (err < 0) return err === -ELOOP ? -EEXIST : err;
    err = this.own(fd, name, q, made);
    const d = err < 0 ? err : this.files.describe(dir, name);
    if (typeof d === 'number') {
      if (made >= 0) native.close(made);
      native.unlinkat(fd, name, q.op === OP_MKDIR ? AT_REMOVEDIR : 0);
      return d;
    }
    r.node = d.info;
    this.made = made;
    return 0;
  }

  /** A new regular file with its content, owner, mode and times; nothing is left of it when any of that fails. What was made, or -errno. */
  put(dir: Node, p: PutRequest): NodeInfo | number {
    const { native, stat, table } = this.files;
    if (dir.type !== S_IFDIR) return -ENOTDIR;
    if (dir.readonly) return -EROFS;
    const at = table.fdOf(dir);
    if (at < 0) return at;
    const fd = native.openat2(at, p.name, O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW | O_NOCTTY, p.mode & 0o7777, RESOLVE);
    if (fd < 0) return fd === -ELOOP ? -EEXIST : fd;
    const made = this.fill(dir, fd, p, stat);
    native.close(fd);
    if (typeof made === 'number') native.unlinkat(at, p.name, 0);
    return made;
  }

  private fill(dir: Node, fd: number, p: PutRequest, stat: Float64Array): NodeInfo | number {
    const { native, times } = this.files;
    for (let at = 0; at < p.data.length; ) {
      const n = native.pwrite(fd, p.data, at, p.data.length - at, at);
      if (n <= 0) return n < 0 ? n : -ENOSPC;
      at += n;
    }
    let err = native.fstat(fd, stat);
    if (err < 0) return err;
    const uid = p.uid === stat[4] ? -1 : p.uid;
    const gid = p.gid === stat[5] ? -1 : p.gid;
    if (uid !== -1 || gid !== -1) {
      err = native.fchownat(fd, '', uid, gid, AT_EMPTY_PATH);
      if (err < 0 && err !== -EPERM && err !== -EINVAL) return err;
    }
    // Writing and chown(2) take set-id bits away.
    if ((p.mode & (S_ISUID | S_ISGID)) !== 0) native.fchmod(fd, p.mode & 0o7777);
    times[0] = p.atimeSec;
    times[1] = p.atimeNsec;
    times[2] = p.mtimeSec;
    times[3] = p.mtimeNsec;
    err = native.utimensat(fd, '', times, AT_EMPTY_PATH);
    if (err === 0) err = native.fstat(fd, stat);
    if (err < 0) return err;
    const node = this.table.add(dir, p.name, stat);
    return typeof node === 'number' ? node : { id: node.id, attr: attrOf(stat), target: '', name: '' };
  }

  /** Gives what was just made to the guest's user. Where the host does not let us (ordinary users), it stays ours. */
  private own(dir: number, name: string, q: GoferRequest, fd: number): number {
    const { native, stat } = this.files;
    const err = fd >= 0 ? native.fstat(fd, stat) : native.fstatat(dir, name, stat, AT_SYMLINK_NOFOLLOW);
    if (err < 0) return err;
    const uid = q.uid === stat[4] ? -1 : q.uid;
    const gid = q.gid === stat[5] ? -1 : q.gid;
    if (uid === -1 && gid === -1) return 0;
    const r = fd >= 0 ? native.fchownat(fd, '', uid, gid, AT_EMPTY_PATH) : native.fchownat(dir, name, uid, gid, AT_SYMLINK_NOFOLLOW);
    if (r < 0) return r === -EPERM || r === -EINVAL ? 0 : r;
    // chown(2) takes the set-id bits of what can be executed.
    if (fd >= 0 && (q.mode & (S_ISUID | S_ISGID)) !== 0) return native.fchmod(fd, q.mode & 0o7777);
    return 0;
  }

  link(n: Node, q: GoferRequest, r: GoferReply): number {
    const native = this.files.native;
    const dir = this.table.get(q.newDir);
    if (dir === null) return -EBADF;
    if (dir.type !== S_IFDIR) return -ENOTDIR;
    if (n.type === S_IFDIR) return -EPERM;
    if (n.readonly || dir.readonly) return -EROFS;
    const from = this.table.fdOf(n);
    const to = this.table.fdOf(dir);
    if (from < 0) return from;
    if (to < 0) return to;
    // AT_EMPTY_PATH needs CAP_DAC_READ_SEARCH; without it the name serves, if it still leads to the same file.
    let err = native.linkat(from, '', to, q.newName, AT_EMPTY_PATH);
    if (err === -ENOENT && n.parent !== null && !n.orphan) {
      err = this.table.statChild(n.parent, n.name, this.files.stat);
      if (err < 0) return err;
      if (!this.table.same(n, this.files.stat)) return -ESTALE;
      err = native.linkat(n.parent.fd, n.name, to, q.newName, 0);
    }
    return err < 0 ? err : this.files.getattr(n, r);
  }

  unlink(dir: Node, q: GoferRequest): number {
    if (dir.type !== S_IFDIR) return -ENOTDIR;
    if ((q.flags & ~AT_REMOVEDIR) !== 0) return -EINVAL;
    if (dir.readonly) return -EROFS;
    const fd = this.table.fdOf(dir);
    if (fd < 0) return fd;
    const child = this.child(dir, q.name, q.child);
    if (child !== null) this.table.orphan(child);
    const err = this.files.native.unlinkat(fd, q.name, q.flags);
    if (err < 0 && child !== null) this.table.adopt(child);
    return err;
  }

  /** The node `id` if it stands as `name` in `dir`, else null. */
  private child(dir: Node, name: string, id: number): Node | null {
    const n = id === 0 ? null : this.table.get(id);
    return n !== null && n.parent === dir && n.name === name && !n.orphan ? n : null;
  }

  rename(dir: Node, q: GoferRequest): number {
    const newDir = this.table.get(q.newDir);
    if (newDir === null) return -EBADF;
    if (dir.type !== S_IFDIR || newDir.type !== S_IFDIR) return -ENOTDIR;
    if ((q.flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) !== 0) return -EINVAL;
    if (dir.readonly || newDir.readonly) return -EROFS;
    const from = this.table.fdOf(dir);
    const to = this.table.fdOf(newDir);
    if (from < 0) return from;
    if (to < 0) return to;
    const child = this.child(dir, q.name, q.child);
    const other = this.child(newDir, q.newName, q.newChild);
    const exchange = (q.flags & RENAME_EXCHANGE) !== 0;
    if (other !== null && !exchange && other !== child) this.table.orphan(other);
    const err = this.files.native.renameat2(from, q.name, to, q.newName, q.flags);
    if (err < 0) {
      if (other !== null && !exchange) this.table.adopt(other);
      return err;
    }
    if (child !== null) this.table.move(child, newDir, q.newName);
    if (other !== null && exchange) this.table.move(other, dir, q.name);
    return 0;
  }
}
