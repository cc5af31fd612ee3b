// A mounted file system's instance (Linux: struct super_block).

import type { Dentry } from './dentry.ts';
import type { Inode } from './inode.ts';
import type { Mount } from './mount.ts';

export interface StatFs {
  type: number;
  bsize: number;
  blocks: number;
  bfree: number;
  bavail: number;
  files: number;
  ffree: number;
  namelen: number;
  flags: number;
}

export abstract class FileSystem {
  /** As in /proc/filesystems and mountinfo. */
  readonly name: string;
  /** st_dev of its inodes. */
  readonly dev: number;
  /** True when names may appear or vanish behind the Sentry's back: positive and negative dentries are revalidated. */
  volatileNames = false;
  /** Names of trees that others change are believed for one epoch: a dentry of another one is asked for again. 0: they hold. */
  epoch = 0;
  /** Set by the dentry and mount layers. */
  rootDentry: Dentry | null = null;
  internalMount: Mount | null = null;
  mountCount = 0;

  constructor(name: string, dev: number) {
    this.name = name;
    this.dev = dev;
  }

  abstract readonly root: Inode;

  abstract statfs(out: StatFs): number;

  /** Super-block options of mountinfo's last field ("rw,size=65536k"). */
  options(): string {
    return 'rw';
  }

  /** The last mount is gone, and no name leads here any more: only open descriptions may be left. */
  release(): void {}
}

let nextMinor = 0x20;

/** A fresh anonymous device number (a minor of major 0) as st_dev encodes it, as Linux gives file systems without a block device. */
export function anonDev(): number {
  const minor = nextMinor++;
  return Math.floor(minor / 256) * 2 ** 20 + (minor % 256);
}
