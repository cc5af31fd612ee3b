// Copying a lower file's data and extended attributes to its new place above.

import { EIO } from '../../../abi/errno.ts';
import { O_RDONLY } from '../../../abi/fcntl.ts';
import type { Caller } from '../../vfs/caller.ts';
import { rootDentry } from '../../vfs/dentry.ts';
import type { Inode } from '../../vfs/inode.ts';
import { internalMount } from '../../vfs/mount.ts';
import type { TmpInode } from '../tmpfs/tmpfs.ts';

/** Attributes that the overlay keeps for itself. */
export const PRIVATE_PREFIX = 'trusted.overlay.';
/** Data of larger files is copied block by block, when it is changed. */
const COPY_AT_ONCE = 1 << 18;
const COPY_CHUNK = 1 << 16;

/** Gives `u` the first `most` bytes of a lower file. 0 or -errno. */
export function copyData(c: Caller, lower: Inode, u: TmpInode, most: number): number {
  const size = Math.min(lower.size, most);
  if (size === 0) return 0;
  const f = lower.open(c, O_RDONLY, internalMount(lower.fs), rootDentry(lower.fs));
  if (typeof f === 'number') return f;
  if (size > COPY_AT_ONCE) {
    const below = f.mapping(c, 0, size, false, false);
    if (typeof below !== 'number' && u.copyOf(f, below, size) === 0) return 0;
  }
  const buf = new Uint8Array(Math.min(size, COPY_CHUNK));
  let pos = 0;
  let err = 0;
  while (pos < size) {
    const n = f.pread(c, buf, 0, Math.min(buf.length, size - pos), pos);
    if (n <= 0) {
      err = n;
      break;
    }
    const w = u.writeAt(buf, 0, n, pos);
    if (w !== n) {
      err = w < 0 ? w : -EIO;
      break;
    }
    pos += n;
  }
  f.unref();
  return err;
}

/** Copies the extended attributes, but those that are the overlay's own. */
export function copyXattrs(c: Caller, lower: Inode, u: TmpInode): void {
  const names = lower.listxattr(c);
  if (typeof names === 'number') return;
  for (const name of names) {
    if (name.startsWith(PRIVATE_PREFIX)) continue;
    const v = lower.getxattr(c, name);
    if (typeof v !== 'number') u.setxattr(c, name, v, 0);
  }
}
