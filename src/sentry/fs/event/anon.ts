// Inodes of files that have no name: eventfd, timerfd, signalfd, epoll, inotify, pidfd (Linux: fs/anon_inodes.c).

import type { Caller } from '../../vfs/caller.ts';
import { File } from '../../vfs/file.ts';
import type { StatFs } from '../../vfs/filesystem.ts';
import { anonDev, FileSystem } from '../../vfs/filesystem.ts';
import { Inode } from '../../vfs/inode.ts';

const ANON_INODE_FS_MAGIC = 0x09041934;
const PIPEFS_MAGIC = 0x50495045;

/** The one inode that all such files share; fstat shows mode 0600 without a file type, as on Linux. */
class AnonInode extends Inode {}

/** A kernel-internal file system: it cannot be mounted, its root is never seen. */
export class InternalFileSystem extends FileSystem {
  readonly root: Inode;
  private readonly magic: number;
  private lastIno = 1;

  constructor(name: string, magic: number) {
    super(name, anonDev());
    this.magic = magic;
    this.root = new AnonInode(this, 1, 0o600);
  }

  nextIno(): number {
    return ++this.lastIno;
  }

  override statfs(out: StatFs): number {
    out.type = this.magic;
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

const anonFs: InternalFileSystem = new InternalFileSystem('anon_inodefs', ANON_INODE_FS_MAGIC);
export const pipeFs: InternalFileSystem = new InternalFileSystem('pipefs', PIPEFS_MAGIC);

/** The inode of every anonymous file. */
const anonInode: Inode = anonFs.root;

/** A file without a name: seeking does nothing, as with noop_llseek of Linux. */
export abstract class AnonFile extends File {
  constructor(flags: number) {
    super(anonInode, flags);
  }

  override seek(_c: Caller, _offset: number, _whence: number): number {
    return this.pos;
  }
}
