// File notifications (inotify(7)): the file system layer tells, whoever hangs on Inode.watches hears.

import { IN_ISDIR } from '../../abi/eventfd.ts';
import { S_IFDIR, S_IFMT } from '../../abi/stat.ts';
import type { Dentry } from './dentry.ts';
import type { Inode } from './inode.ts';

/** What Inode.watches holds when not null. `name` is '' for the watched inode itself. */
export interface Watches {
  notify(mask: number, cookie: number, name: string): void;
}

let cookies = 0;

/** A number that ties IN_MOVED_FROM to IN_MOVED_TO. */
export function nextCookie(): number {
  cookies = (cookies + 1) >>> 0;
  return cookies;
}

/** Tells those who watch `inode` itself. */
export function notifyInode(inode: Inode, mask: number, cookie = 0): void {
  if (inode.watches === null) return;
  (inode.watches as Watches).notify((inode.mode & S_IFMT) === S_IFDIR ? mask | IN_ISDIR : mask, cookie, '');
}

/** Tells those who watch directory `dir` that something happened to `name` in it. */
export function notifyName(dir: Inode, name: string, mask: number, isDir: boolean, cookie = 0): void {
  if (dir.watches === null) return;
  (dir.watches as Watches).notify(isDir ? mask | IN_ISDIR : mask, cookie, name);
}

/** Tells those who watch the inode of `d`, and those who watch its directory (fsnotify_dentry). */
export function notifyDentry(d: Dentry, mask: number): void {
  const inode = d.inode;
  if (inode === null) return;
  const parent = d.parent.inode;
  if (d.parent !== d && parent !== null && parent.watches !== null) {
    notifyName(parent, d.name, mask, (inode.mode & S_IFMT) === S_IFDIR);
  }
  if (inode.watches !== null) notifyInode(inode, mask);
}
