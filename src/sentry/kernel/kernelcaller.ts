// The kernel itself as a caller of file system operations: may do all, has no memory.

import { EFAULT } from '../../abi/errno.ts';
import type { Caller } from '../vfs/caller.ts';
import { Credentials } from '../vfs/creds.ts';
import { FsContext } from '../vfs/fscontext.ts';
import type { Mount } from '../vfs/mount.ts';
import type { NamespaceSet } from './namespaces.ts';
import type { PidNamespace } from './pidns.ts';

export class KernelCaller implements Caller {
  readonly creds: Credentials = new Credentials();
  /** To be given back (unref) at the end. */
  readonly fs: FsContext;
  readonly tid: number = 0;
  readonly tgid: number = 0;
  /** What tells the container of a task. */
  readonly tg: { container: string };
  /** File systems that show a namespace are made for these. */
  readonly ns: NamespaceSet;

  constructor(root: Mount, container: string, ns: NamespaceSet) {
    this.tg = { container };
    this.ns = ns;
    this.creds.effective = { lo: 0xffffffff, hi: 0x1ff };
    this.creds.permitted = { lo: 0xffffffff, hi: 0x1ff };
    this.fs = new FsContext(root, root.root, root, root.root, 0);
  }

  get pidns(): PidNamespace {
    return this.ns.pid;
  }

  copyIn(): number {
    return -EFAULT;
  }

  copyOut(): number {
    return -EFAULT;
  }

  rlimit(): number {
    return Infinity;
  }

  raise(): void {}
}
