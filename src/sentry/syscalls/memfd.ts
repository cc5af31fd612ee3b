// memfd_create(2): an unnamed tmpfs file with seals.

import { EINVAL, ENAMETOOLONG } from '../../abi/errno.ts';
import { F_SEAL_SEAL, O_RDWR } from '../../abi/fcntl.ts';
import { MFD_ALLOW_SEALING, MFD_CLOEXEC } from '../../abi/mman.ts';
import { SYS_memfd_create } from '../../abi/nr.ts';
import { TmpFs } from '../fs/tmpfs/tmpfs.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { Task } from '../kernel/task.ts';
import { Dentry, rootDentry } from '../vfs/dentry.ts';
import { internalMount } from '../vfs/mount.ts';
import { openDentry } from '../vfs/open.ts';
import { partial, type Row } from './row.ts';

const MFD_NOEXEC_SEAL = 8;
const MFD_EXEC = 0x10;
const NAME_MOST = 249;
const F_SEAL_EXEC = 0x20;

const instances = new WeakMap<Kernel, TmpFs>();

/** The file system of memfds and of shared anonymous memory: no names, no limits. */
export function shmFs(kernel: Kernel): TmpFs {
  let fs = instances.get(kernel);
  if (fs === undefined) {
    fs = new TmpFs(kernel.host, { size: Infinity, inodes: Infinity, mode: 0o1777, uid: 0, gid: 0, shown: '' });
    instances.set(kernel, fs);
  }
  return fs;
}

/** memfd_create(2). A descriptor or -errno. */
export function sys_memfd_create(t: Task): number {
  const flags = t.argU(1);
  if ((flags & ~(MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC)) !== 0) return -EINVAL;
  if ((flags & MFD_NOEXEC_SEAL) !== 0 && (flags & MFD_EXEC) !== 0) return -EINVAL;
  const name = t.copyInString(t.arg(0), NAME_MOST + 1);
  if (typeof name === 'number') return name === -ENAMETOOLONG ? -EINVAL : name;
  const fs = shmFs(t.kernel);
  const inode = fs.newFile((flags & MFD_NOEXEC_SEAL) !== 0 ? 0o666 : 0o777);
  inode.uid = t.creds.fsuid;
  inode.gid = t.creds.fsgid;
  inode.label = `/memfd:${name} (deleted)`;
  if ((flags & MFD_NOEXEC_SEAL) !== 0) inode.seals = F_SEAL_EXEC;
  else inode.seals = (flags & MFD_ALLOW_SEALING) !== 0 ? 0 : F_SEAL_SEAL;
  const d = new Dentry(fs, rootDentry(fs), `memfd:${name}`, inode);
  d.deleted = true;
  const f = openDentry(t, internalMount(fs), d, O_RDWR);
  if (typeof f === 'number') return f;
  return t.fds.install(f, (flags & MFD_CLOEXEC) !== 0);
}

export const rows: readonly Row[] = [partial(SYS_memfd_create, 'memfd_create', sys_memfd_create, 'huge pages', 'str', 'hex')];
