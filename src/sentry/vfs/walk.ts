// The path walk (path_resolution(7); Linux: fs/namei.c): from a path of latin1 characters to a mount and a dentry.
//
// The result lives in a Walk that the caller owns and reuses: a walk over cached names without symbolic links allocates nothing but the
// component strings.

import { EACCES, EAGAIN, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, EXDEV } from '../../abi/errno.ts';
import {
  RESOLVE_BENEATH,
  RESOLVE_CACHED,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
} from '../../abi/fcntl.ts';
import { S_IFDIR, S_IFLNK, S_IFMT } from '../../abi/stat.ts';
import type { Caller } from './caller.ts';
import { cachedChild, Dentry, lookupChild } from './dentry.ts';
import type { File } from './file.ts';
import { internalMount, MNT_NOSYMFOLLOW, type Mount } from './mount.ts';
import { maySearch } from './permission.ts';

/** Flags of resolve(); the low six bits are RESOLVE_* of openat2(2). */
export const LOOKUP_FOLLOW = 0x100;
export const LOOKUP_DIRECTORY = 0x200;
/** Stop at the directory of the last component; Walk.name and Walk.last say what it is. */
export const LOOKUP_PARENT = 0x400;
/** An empty path means the start itself (AT_EMPTY_PATH). */
export const LOOKUP_EMPTY = 0x800;

/** Kinds of the last component of a LOOKUP_PARENT walk. */
export const LAST_NORM = 0;
export const LAST_DOT = 1;
export const LAST_DOTDOT = 2;
/** The path was "/" (or only slashes). */
export const LAST_ROOT = 3;

const MAX_LINKS = 40;
const NAME_LIMIT = 255;
const SLASH = 47;
const DOT = 46;

/** Where a walk ended. Fields are valid after resolve() answered 0. */
export class Walk {
  mount!: Mount;
  dentry!: Dentry;
  /** LOOKUP_PARENT: the last component, without slashes. */
  name = '';
  last = LAST_NORM;
  /** LOOKUP_PARENT: slashes followed the last component. */
  trailing = false;
  /** Symbolic links followed so far. */
  links = 0;
  rootMount!: Mount;
  rootDentry!: Dentry;
}

/**
 * Finds `path` for `c`. `dir`: the open directory that relative paths start at; null for the working directory (AT_FDCWD). Answers 0
 * with `out` filled, or -errno. The final name exists unless LOOKUP_PARENT is given.
 */
export function resolve(c: Caller, dir: File | null, path: string, flags: number, out: Walk): number {
  const fs = c.fs;
  out.links = 0;
  out.rootMount = fs.rootMount;
  out.rootDentry = fs.rootDentry;
  if (path.charCodeAt(0) === SLASH && (flags & (RESOLVE_BENEATH | RESOLVE_IN_ROOT)) === 0) {
    out.mount = fs.rootMount;
    out.dentry = fs.rootDentry;
    return walkOn(c, out, path, flags);
  }
  if (path.length === 0 && (flags & LOOKUP_EMPTY) === 0) return -ENOENT;
  if (dir === null) {
    out.mount = fs.cwdMount;
    out.dentry = fs.cwdDentry;
  } else {
    if (path.length > 0 && (dir.inode.mode & S_IFMT) !== S_IFDIR) return -ENOTDIR;
    if (dir.mount === null || dir.dentry === null) nameAnonymous(dir);
    out.mount = dir.mount!;
    out.dentry = dir.dentry!;
  }
  if (path.length === 0) {
    out.last = LAST_DOT;
    return (flags & LOOKUP_DIRECTORY) !== 0 && !out.dentry.isDir ? -ENOTDIR : 0;
  }
  if ((flags & (RESOLVE_BENEATH | RESOLVE_IN_ROOT)) !== 0) {
    if ((flags & RESOLVE_BENEATH) !== 0 && path.charCodeAt(0) === SLASH) return -EXDEV;
    out.rootMount = out.mount;
    out.rootDentry = out.dentry;
  }
  return walkOn(c, out, path, flags);
}

/** Gives an open file without a name (pipe, socket, eventfd) a mount and dentry of its own, so that magic links can lead to it. */
export function nameAnonymous(f: File): void {
  f.mount = internalMount(f.inode.fs);
  f.dentry = new Dentry(f.inode.fs, null, f.anonName(), f.inode);
  f.mount.refs++;
  f.dentry.refs++;
  f.named = true;
}

/** Goes on from (out.mount, out.dentry), for example with the target of a symbolic link that the caller chose to follow. */
export function walkOn(c: Caller, out: Walk, target: string, flags: number): number {
  const cr = c.creds;
  let mount = out.mount;
  let dentry = out.dentry;
  let path = target;
  let pos = 0;
  if (path.charCodeAt(0) === SLASH) {
    if ((flags & RESOLVE_BENEATH) !== 0) return -EXDEV;
    if ((flags & RESOLVE_NO_XDEV) !== 0 && mount !== out.rootMount) return -EXDEV;
    mount = out.rootMount;
    dentry = out.rootDentry;
    do pos++;
    while (path.charCodeAt(pos) === SLASH);
    if (pos === path.length) {
      out.mount = mount;
      out.dentry = dentry;
      out.last = LAST_ROOT;
      out.name = '/';
      out.trailing = true;
      return 0;
    }
  }
  for (;;) {
    const dirInode = dentry.inode!;
    if ((dirInode.mode & S_IFMT) !== S_IFDIR) return -ENOTDIR;
    if (maySearch(cr, dirInode) < 0) return -EACCES;
    let end = path.indexOf('/', pos);
    let next = end;
    if (end < 0) {
      end = path.length;
      next = end;
    } else {
      do next++;
      while (path.charCodeAt(next) === SLASH);
    }
    const last = next >= path.length;
    let kind = LAST_NORM;
    if (path.charCodeAt(pos) === DOT) {
      if (end === pos + 1) kind = LAST_DOT;
      else if (end === pos + 2 && path.charCodeAt(pos + 1) === DOT) kind = LAST_DOTDOT;
    }
    if (last && (flags & LOOKUP_PARENT) !== 0) {
      if (end - pos > NAME_LIMIT) return -ENAMETOOLONG;
      out.mount = mount;
      out.dentry = dentry;
      out.name = path.substring(pos, end);
      out.last = kind;
      out.trailing = next > end;
      return 0;
    }
    if (kind === LAST_NORM) {
      if (end - pos > NAME_LIMIT) return -ENAMETOOLONG;
      const name = path.substring(pos, end);
      if ((flags & RESOLVE_CACHED) !== 0 && (dentry.fs.volatileNames || cachedChild(dentry, name) === null)) return -EAGAIN;
      const child = lookupChild(c, dentry, name);
      if (typeof child === 'number') return child;
      const inode = child.inode;
      if (inode === null) return -ENOENT;
      if ((inode.mode & S_IFMT) === S_IFLNK && (!last || next > end || (flags & LOOKUP_FOLLOW) !== 0)) {
        if (++out.links > MAX_LINKS || (flags & RESOLVE_NO_SYMLINKS) !== 0 || (mount.flags & MNT_NOSYMFOLLOW) !== 0) return -ELOOP;
        const j = inode.jump(c);
        if (j !== null) {
          if (typeof j === 'number') return j;
          if ((flags & RESOLVE_NO_MAGICLINKS) !== 0) return -ELOOP;
          if ((flags & (RESOLVE_BENEATH | RESOLVE_IN_ROOT)) !== 0) return -EXDEV;
          if ((flags & RESOLVE_NO_XDEV) !== 0 && j.mount !== mount) return -EXDEV;
          mount = j.mount;
          dentry = j.dentry;
        } else {
          const t = inode.readlink(c);
          if (typeof t === 'number') return t;
          if (t.length === 0) return -ENOENT;
          path = !last ? `${t}/${path.substring(next)}` : next > end ? `${t}/` : t;
          pos = 0;
          if (t.charCodeAt(0) === SLASH) {
            if ((flags & RESOLVE_BENEATH) !== 0) return -EXDEV;
            if ((flags & RESOLVE_NO_XDEV) !== 0 && mount !== out.rootMount) return -EXDEV;
            mount = out.rootMount;
            dentry = out.rootDentry;
            do pos++;
            while (path.charCodeAt(pos) === SLASH);
            if (pos === path.length) {
              out.mount = mount;
              out.dentry = dentry;
              out.last = LAST_ROOT;
              out.name = '/';
              out.trailing = true;
              return 0;
            }
          }
          continue;
        }
      } else {
        dentry = child;
        while (dentry.mounts > 0) {
          const m = mount.mountedOn(dentry);
          if (m === null) break;
          if ((flags & RESOLVE_NO_XDEV) !== 0) return -EXDEV;
          mount = m;
          dentry = m.root;
        }
      }
    } else if (kind === LAST_DOTDOT) {
      // At the root of the walk ".." stays; at the root of a mount it goes on from the mount point.
      for (;;) {
        if (dentry === out.rootDentry && mount === out.rootMount) {
          if ((flags & RESOLVE_BENEATH) !== 0) return -EXDEV;
          break;
        }
        if (dentry !== mount.root) {
          dentry = dentry.parent;
          break;
        }
        if (mount.parent === null) break;
        if ((flags & RESOLVE_NO_XDEV) !== 0) return -EXDEV;
        dentry = mount.point!;
        mount = mount.parent;
      }
      while (dentry.mounts > 0) {
        const m = mount.mountedOn(dentry);
        if (m === null) break;
        mount = m;
        dentry = m.root;
      }
    }
    if (last) {
      if ((next > end || (flags & LOOKUP_DIRECTORY) !== 0) && !dentry.isDir) return -ENOTDIR;
      out.mount = mount;
      out.dentry = dentry;
      out.last = kind;
      return 0;
    }
    pos = next;
  }
}
