// What all sockets of a kernel share: the file system that their inodes live in, and the message that read and write use.

import { EINVAL } from '../../abi/errno.ts';
import { S_IFDIR, S_IFMT, S_IFSOCK } from '../../abi/stat.ts';
import { Namespace } from '../kernel/namespace.ts';
import type { Caller } from '../vfs/caller.ts';
import { anonDev, FileSystem, type StatFs } from '../vfs/filesystem.ts';
import { ATTR_CTIME, ATTR_GID, ATTR_MODE, ATTR_SIZE, ATTR_UID, Inode, type SetAttr } from '../vfs/inode.ts';
import { LinkCounters } from './lo.ts';
import { Message } from './message.ts';

const SOCKFS_MAGIC = 0x534f434b;

class SockFs extends FileSystem {
  readonly root: Inode;

  constructor() {
    super('sockfs', anonDev());
    this.root = new SockInode(this, 1, S_IFDIR | 0o555);
  }

  statfs(out: StatFs): number {
    out.type = SOCKFS_MAGIC;
    out.bsize = 4096;
    out.blocks = 0;
    out.bfree = 0;
    out.bavail = 0;
    out.files = 0;
    out.ffree = 0;
    out.namelen = 255;
    out.flags = 0;
    return 0;
  }
}

class SockInode extends Inode {
  /** fchmod(2) and fchown(2) of a socket change what fstat(2) shows and nothing else. */
  override setattr(_c: Caller, a: SetAttr): number {
    if ((a.mask & ATTR_SIZE) !== 0) return -EINVAL;
    if ((a.mask & ATTR_MODE) !== 0) this.mode = (this.mode & S_IFMT) | (a.mode & 0o7777);
    if ((a.mask & ATTR_UID) !== 0) this.uid = a.uid;
    if ((a.mask & ATTR_GID) !== 0) this.gid = a.gid;
    this.touch(ATTR_CTIME);
    return 0;
  }
}

export class NetNs {
  readonly fs: FileSystem = new SockFs();
  /** For read(2) and write(2), which never nest. */
  readonly message: Message = new Message();
  readonly lo: LinkCounters = new LinkCounters();
  /** Told when only messages in flight still hold a socket (unix/flight.ts). */
  orphaned: () => void = () => {};
  private lastIno = 1000;

  /** A fresh socket inode number, shown by /proc/net and fd links. */
  nextIno(): number {
    return ++this.lastIno;
  }

  makeInode(ino: number, uid: number, gid: number): Inode {
    const inode = new SockInode(this.fs, ino, S_IFSOCK | 0o777);
    inode.uid = uid;
    inode.gid = gid;
    inode.touch(-1);
    return inode;
  }
}

const spaces = new WeakMap<object, NetNs>();

/** The network of the namespace with this key (Namespace.key), made on first use. */
export function netOf(key: object): NetNs {
  let ns = spaces.get(key);
  if (ns === undefined) {
    ns = new NetNs();
    ns.lo.up = !(key instanceof Namespace);
    spaces.set(key, ns);
  }
  return ns;
}
