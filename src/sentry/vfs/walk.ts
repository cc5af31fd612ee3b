// The path walk (path_resolution(7); Linux: fs/namei.c): from a path of latin1 characters to a mount and a dentry.
//
// The result lives in a Walk that the caller owns and reuses: a walk over cached names allocates nothing. A walk runs to its end before the
// next one begins: file systems that are asked on the way do not walk themselves.

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
import { PATH_MAX } from '../../abi/uio.ts';
import { latin1Decode, latin1Write } from '../../base/bytes.ts';
import type { Caller } from './caller.ts';
import { findBytes, HASH_SEED, hashByte } from './dcache.ts';
import { Dentry, lookupBytes } from './dentry.ts';
import type { File } from './file.ts';
import { internalMount, MNT_NOSYMFOLLOW, type Mount } from './mount.ts';
import { findPath, keepPath, MAX_KEPT } from './pathcache.ts';
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

/** Paths with these flags are walked each time. */
const NOT_KEPT = LOOKUP_PARENT | 0x3f;
/** begin(): there is something to walk. */
const GO = 1;
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
  /** The walk went by no "..", and through no file system whose names come and go by themselves. */
  lasting = false;
  /** All directories on the way may be searched by anyone. */
  open = false;
}

/** Paths that came as strings, as bytes. */
let text: Uint8Array = new Uint8Array(2 * PATH_MAX);
/** What is left to walk once a symbolic link was met: its target and the rest of the path, flush with the end. */
let rest: Uint8Array = new Uint8Array(4 * PATH_MAX);

/** Writes a path into `text`; its length. */
function encode(path: string): number {
  if (path.length > text.length) text = new Uint8Array(path.length * 2);
  return latin1Write(path, text, 0);
}

/**
 * Finds `path` for `c`. `dir`: the open directory that relative paths start at; null for the working directory (AT_FDCWD). Answers 0
 * with `out` filled, or -errno. The final name exists unless LOOKUP_PARENT is given.
 */
export function resolve(c: Caller, dir: File | null, path: string, flags: number, out: Walk): number {
  const len = encode(path);
  const err = begin(c, dir, text, len, flags, out);
  return err !== GO ? err : walkBytes(c, out, text, 0, len, flags);
}

/** As resolve() for the path buf[0..len), which nothing below may overwrite. Known paths allocate nothing. `buf` begins at a word. */
export function resolveBytes(c: Caller, dir: File | null, buf: Uint8Array, len: number, flags: number, out: Walk): number {
  const err = begin(c, dir, buf, len, flags, out);
  if (err !== GO) return err;
  if (len > MAX_KEPT || (flags & NOT_KEPT) !== 0) return walkBytes(c, out, buf, 0, len, flags);
  const { mount, dentry, rootMount, rootDentry } = out;
  const known = findPath(buf, len, flags, mount, dentry, rootMount, rootDentry, c.creds);
  if (known !== null) {
    if (known.absent) return -ENOENT;
    out.mount = known.mount!;
    out.dentry = known.dentry!;
    return 0;
  }
  const r = walkBytes(c, out, buf, 0, len, flags);
  if (out.lasting && (r === 0 || (r === -ENOENT && out.dentry.inode === null)) && !out.dentry.deleted)
    keepPath(len, flags, mount, dentry, rootMount, rootDentry, out.open ? null : c.creds, out.mount, out.dentry);
  return r;
}

/** Sets `out` to where the path buf[0..len) begins. GO, or what resolve() answers without a walk. */
function begin(c: Caller, dir: File | null, buf: Uint8Array, len: number, flags: number, out: Walk): number {
  const fs = c.fs;
  out.links = 0;
  out.rootMount = fs.rootMount;
  out.rootDentry = fs.rootDentry;
  const absolute = len > 0 && buf[0] === SLASH;
  if (absolute && (flags & (RESOLVE_BENEATH | RESOLVE_IN_ROOT)) === 0) {
    out.mount = fs.rootMount;
    out.dentry = fs.rootDentry;
    return GO;
  }
  if (len === 0 && (flags & LOOKUP_EMPTY) === 0) return -ENOENT;
  if (dir === null) {
    out.mount = fs.cwdMount;
    out.dentry = fs.cwdDentry;
  } else {
    if (len > 0 && (dir.inode.mode & S_IFMT) !== S_IFDIR) return -ENOTDIR;
    if (dir.mount === null || dir.dentry === null) nameAnonymous(dir);
    out.mount = dir.mount!;
    out.dentry = dir.dentry!;
  }
  if (len === 0) {
    out.last = LAST_DOT;
    return (flags & LOOKUP_DIRECTORY) !== 0 && !out.dentry.isDir ? -ENOTDIR : 0;
  }
  if ((flags & (RESOLVE_BENEATH | RESOLVE_IN_ROOT)) !== 0) {
    if ((flags & RESOLVE_BENEATH) !== 0 && absolute) return -EXDEV;
    out.rootMount = out.mount;
    out.rootDentry = out.dentry;
  }
  return GO;
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
  return walkBytes(c, out, text, 0, encode(target), flags);
}

/**
 * Puts the target of a link in front of what follows it: buf[from..to), with a slash between unless the link was the last. The new path
 * lies in rest[answer..rest.length).
 */
function splice(target: string, slash: boolean, buf: Uint8Array, from: number, to: number): number {
  const left = to - from;
  const need = target.length + 1 + left;
  let at = rest.length - left;
  if (need > rest.length) {
    const wider = new Uint8Array(need * 2);
    at = wider.length - left;
    wider.set(buf.subarray(from, to), at);
    rest = wider;
  } else if (buf !== rest && left > 0) {
    rest.set(buf.subarray(from, to), at);
  }
  if (slash) rest[--at] = SLASH;
  at -= target.length;
  latin1Write(target, rest, at);
  return at;
}

/** Ends a walk at a path of slashes. */
function atRoot(out: Walk): number {
  out.mount = out.rootMount;
  out.dentry = out.rootDentry;
  out.last = LAST_ROOT;
  out.name = '/';
  out.trailing = true;
  return 0;
}

/** LAST_DOT, LAST_DOTDOT or LAST_NORM. */
function kindOf(buf: Uint8Array, from: number, to: number): number {
  if (buf[from] !== DOT || to - from > 2) return LAST_NORM;
  if (to === from + 1) return LAST_DOT;
  return buf[from + 1] === DOT ? LAST_DOTDOT : LAST_NORM;
}

/** Goes one step up from (out.mount, out.dentry): at the root of the walk it stays, at the root of a mount it goes on from there. */
function stepUp(out: Walk, flags: number): number {
  let { mount, dentry } = out;
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
  out.mount = mount;
  out.dentry = dentry;
  return 0;
}

/** The walk proper, from (out.mount, out.dentry) along path[pos..limit), which is not empty. */
function walkBytes(c: Caller, out: Walk, path: Uint8Array, pos: number, limit: number, flags: number): number {
  const cr = c.creds;
  let mount = out.mount;
  let dentry = out.dentry;
  let restart = true;
  out.lasting = true;
  out.open = true;
  for (;;) {
    if (restart) {
      // At the beginning of a path: the caller's, or the target of a link.
      restart = false;
      if (path[pos] === SLASH) {
        if ((flags & RESOLVE_BENEATH) !== 0) return -EXDEV;
        if ((flags & RESOLVE_NO_XDEV) !== 0 && mount !== out.rootMount) return -EXDEV;
        mount = out.rootMount;
        dentry = out.rootDentry;
        do pos++;
        while (pos < limit && path[pos] === SLASH);
        if (pos === limit) return atRoot(out);
      }
    }
    const dirInode = dentry.inode!;
    const dirMode = dirInode.mode;
    if ((dirMode & S_IFMT) !== S_IFDIR) return -ENOTDIR;
    if ((dirMode & 0o111) !== 0o111) {
      if (maySearch(cr, dirInode) < 0) return -EACCES;
      out.open = false;
    }
    if (dentry.fs.volatileNames) out.lasting = false;
    let end = pos;
    let hash = HASH_SEED;
    while (end < limit) {
      const b = path[end]!;
      if (b === SLASH) break;
      hash = hashByte(hash, b);
      end++;
    }
    let next = end;
    while (next < limit && path[next] === SLASH) next++;
    const last = next === limit;
    const kind = kindOf(path, pos, end);
    if (end - pos > NAME_LIMIT) return -ENAMETOOLONG;
    if (last && (flags & LOOKUP_PARENT) !== 0) {
      out.mount = mount;
      out.dentry = dentry;
      out.name = latin1Decode(path, pos, end);
      out.last = kind;
      out.trailing = next > end;
      return 0;
    }
    if (kind === LAST_NORM) {
      if ((flags & RESOLVE_CACHED) !== 0 && (dentry.fs.volatileNames || findBytes(dentry, path, pos, end, hash) === null)) return -EAGAIN;
      const child = lookupBytes(c, dentry, path, pos, end, hash);
      if (typeof child === 'number') return child;
      const inode = child.inode;
      if (inode === null) {
        out.mount = mount;
        out.dentry = child;
        return -ENOENT;
      }
      if ((inode.mode & S_IFMT) === S_IFLNK && (!last || next > end || (flags & LOOKUP_FOLLOW) !== 0)) {
        if (++out.links > MAX_LINKS || (flags & RESOLVE_NO_SYMLINKS) !== 0 || (mount.flags & MNT_NOSYMFOLLOW) !== 0) return -ELOOP;
        const j = inode.jump(c);
        if (j === null) {
          const t = inode.readlink(c);
          if (typeof t === 'number') return t;
          if (t.length === 0) return -ENOENT;
          pos = splice(t, !last || next > end, path, next, limit);
          path = rest;
          limit = rest.length;
          restart = true;
          continue;
        }
        if (typeof j === 'number') return j;
        if ((flags & RESOLVE_NO_MAGICLINKS) !== 0) return -ELOOP;
        if ((flags & (RESOLVE_BENEATH | RESOLVE_IN_ROOT)) !== 0) return -EXDEV;
        if ((flags & RESOLVE_NO_XDEV) !== 0 && j.mount !== mount) return -EXDEV;
        mount = j.mount;
        dentry = j.dentry;
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
      out.lasting = false;
      out.mount = mount;
      out.dentry = dentry;
      const err = stepUp(out, flags);
      if (err < 0) return err;
      mount = out.mount;
      dentry = out.dentry;
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
