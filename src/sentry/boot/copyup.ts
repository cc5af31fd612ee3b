// tmpcopyup: a tmpfs begins with a copy of what lies below its mount point.

import { EIO } from '../../abi/errno.ts';
import { O_CREAT, O_DIRECTORY, O_EXCL, O_RDONLY, O_WRONLY } from '../../abi/fcntl.ts';
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from '../../abi/stat.ts';
import { latin1Encode } from '../../base/bytes.ts';
import type { Caller } from '../vfs/caller.ts';
import type { Dentry } from '../vfs/dentry.ts';
import type { File } from '../vfs/file.ts';
import type { Mount } from '../vfs/mount.ts';
import { openDentry, openPath } from '../vfs/open.ts';
import { mkdirPath, mknodPath, symlinkPath } from '../vfs/ops.ts';
import { changeMode, changeOwner } from '../vfs/setattr.ts';
import { resolve, Walk } from '../vfs/walk.ts';

const CHUNK = 64 * 1024;

class CopyUp {
  readonly c: Caller;
  readonly buf = new Uint8Array(CHUNK);

  constructor(c: Caller) {
    this.c = c;
  }

  /** The content of a folder into another one. 0 or -errno. */
  folder(from: File, to: File): number {
    const names: string[] = [];
    const sink = { add: (name: string): boolean => name === '.' || name === '..' || names.push(name) > 0 };
    for (let more = 1; more > 0; ) {
      const before = names.length;
      more = from.readdir(this.c, sink);
      if (more < 0) return more;
      if (names.length === before) break;
    }
    for (const name of names) {
      const err = this.entry(from, to, name);
      if (err < 0) return err;
    }
    return 0;
  }

  private entry(from: File, to: File, name: string): number {
    const w = new Walk();
    let err = resolve(this.c, from, name, 0, w);
    if (err < 0) return err;
    const { mount, dentry } = w;
    const inode = dentry.inode!;
    const type = inode.mode & S_IFMT;
    if (type === S_IFLNK) {
      const target = inode.readlink(this.c);
      return typeof target === 'number' ? target : symlinkPath(this.c, target, to, name);
    }
    if (type === S_IFDIR) err = mkdirPath(this.c, to, name, 0o700);
    else if (type === S_IFREG) err = this.data(mount, dentry, to, name);
    else err = mknodPath(this.c, to, name, inode.mode, inode.rdev);
    if (err < 0) return err;
    err = resolve(this.c, to, name, 0, w);
    if (err < 0) return err;
    const made = w.dentry.inode!;
    changeOwner(this.c, w.mount, w.dentry, made, inode.uid, inode.gid);
    changeMode(this.c, w.mount, w.dentry, made, inode.mode & 0o7777);
    return type === S_IFDIR ? this.below(mount, dentry, w.mount, w.dentry) : 0;
  }

  /** As `folder`, by dentries. */
  below(fromMount: Mount, fromDentry: Dentry, toMount: Mount, toDentry: Dentry): number {
    const from = openDentry(this.c, fromMount, fromDentry, O_RDONLY | O_DIRECTORY);
    if (typeof from === 'number') return from;
    const to = openDentry(this.c, toMount, toDentry, O_RDONLY | O_DIRECTORY);
    const err = typeof to === 'number' ? to : this.folder(from, to);
    from.unref();
    if (typeof to !== 'number') to.unref();
    return err;
  }

  private data(mount: Mount, dentry: Dentry, to: File, name: string): number {
    const path = latin1Encode(name);
    const input = openDentry(this.c, mount, dentry, O_RDONLY);
    if (typeof input === 'number') return input;
    const output = openPath(this.c, to, path, path.length, O_WRONLY | O_CREAT | O_EXCL, 0o600, 0);
    let err = typeof output === 'number' ? output : 0;
    for (let pos = 0; typeof output !== 'number'; ) {
      const n = input.pread(this.c, this.buf, 0, CHUNK, pos);
      if (n <= 0) {
        err = n;
        break;
      }
      const w = output.pwrite(this.c, this.buf, 0, n, pos);
      if (w !== n) {
        err = w < 0 ? w : -EIO;
        break;
      }
      pos += n;
    }
    input.unref();
    if (typeof output !== 'number') output.unref();
    return err;
  }
}

/** Copies what is in the folder `below` into the root of `mount`. 0 or -errno. */
export function copyUp(c: Caller, belowMount: Mount, below: Dentry, mount: Mount): number {
  return new CopyUp(c).below(belowMount, below, mount, mount.root);
}
