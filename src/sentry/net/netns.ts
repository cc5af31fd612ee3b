// What all sockets of a kernel share: the file system that their inodes live in, and the message that read and write use.

import { S_IFDIR, S_IFSOCK } from '../../abi/stat.ts';
import { anonDev, FileSystem, type StatFs } from '../vfs/filesystem.ts';
import { Inode } from '../vfs/inode.ts';
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

class SockInode extends Inode {}

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

/** The network of a kernel, made on first use. */
export function netOf(kernel: object): NetNs {
  let ns = spaces.get(kernel);
  if (ns === undefined) {
    ns = new NetNs();
    spaces.set(kernel, ns);
  }
  return ns;
}
