// What chroot(2), chdir(2) and umask(2) change (Linux: struct fs_struct); shared by clone(CLONE_FS).

import type { Dentry } from './dentry.ts';
import { putDentry } from './dentry.ts';
import type { Mount } from './mount.ts';

export class FsContext {
  rootMount: Mount;
  rootDentry: Dentry;
  cwdMount: Mount;
  cwdDentry: Dentry;
  umask: number;
  /** Tasks that share it. */
  refs = 1;

  constructor(rootMount: Mount, rootDentry: Dentry, cwdMount: Mount, cwdDentry: Dentry, umask = 0o022) {
    this.rootMount = rootMount;
    this.rootDentry = rootDentry;
    this.cwdMount = cwdMount;
    this.cwdDentry = cwdDentry;
    this.umask = umask;
    rootMount.refs++;
    rootDentry.refs++;
    cwdMount.refs++;
    cwdDentry.refs++;
  }

  /** A copy of its own, for fork(2) and unshare(CLONE_FS). */
  copy(): FsContext {
    return new FsContext(this.rootMount, this.rootDentry, this.cwdMount, this.cwdDentry, this.umask);
  }

  setCwd(mount: Mount, dentry: Dentry): void {
    mount.refs++;
    dentry.refs++;
    this.cwdMount.refs--;
    putDentry(this.cwdDentry);
    this.cwdMount = mount;
    this.cwdDentry = dentry;
  }

  setRoot(mount: Mount, dentry: Dentry): void {
    mount.refs++;
    dentry.refs++;
    this.rootMount.refs--;
    putDentry(this.rootDentry);
    this.rootMount = mount;
    this.rootDentry = dentry;
  }

  /** Drops one sharer. */
  unref(): void {
    if (--this.refs > 0) return;
    this.cwdMount.refs--;
    putDentry(this.cwdDentry);
    this.rootMount.refs--;
    putDentry(this.rootDentry);
  }
}
