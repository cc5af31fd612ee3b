// Paths for people: where a mount and a dentry stand, as getcwd(2) and /proc print it.

import type { Caller } from './caller.ts';
import type { Dentry } from './dentry.ts';
import type { File } from './file.ts';
import type { Mount } from './mount.ts';

interface Place {
  path: string;
  /** False: the root is not above it. */
  reached: boolean;
}

/** The path of (mount, dentry) below (rootMount, rootDentry). '' when the root is not above it: then `unreachable` applies. */
function pathBelow(mount: Mount, dentry: Dentry, rootMount: Mount | null, rootDentry: Dentry | null): Place {
  let s = '';
  let m = mount;
  let d = dentry;
  for (;;) {
    if (m === rootMount && d === rootDentry) return { path: s === '' ? '/' : s, reached: true };
    if (d === m.root) {
      if (m.parent === null) {
        // The top of a namespace; a detached mount or internal one has no place in any tree.
        return { path: s === '' ? '/' : s, reached: rootMount === null && m.ns !== null };
      }
      d = m.point!;
      m = m.parent;
      continue;
    }
    if (d.parent === d) return { path: s === '' ? '/' : s, reached: false };
    s = `/${d.name}${s}`;
    d = d.parent;
  }
}

/** True if the name of `d`, or of a directory above it, was removed. */
function unlinked(d: Dentry): boolean {
  return d.deleted && d.parent !== d;
}

/** The path that getcwd(2) and the links of /proc show to `c` (null: below the namespace's root): with "(unreachable)" before and " (deleted)" behind where it applies. */
export function dentryPath(c: Caller | null, mount: Mount, dentry: Dentry): string {
  const r = c === null ? pathBelow(mount, dentry, null, null) : pathBelow(mount, dentry, c.fs.rootMount, c.fs.rootDentry);
  let s = r.reached ? r.path : `(unreachable)${r.path}`;
  if (unlinked(dentry)) s += ' (deleted)';
  return s;
}

/** What readlink of /proc/PID/fd/N shows for `f` to `c`. */
export function filePath(f: File, c: Caller | null = null): string {
  const anon = f.anonName();
  if (anon !== '') return anon;
  if (f.mount === null || f.dentry === null) return '';
  return dentryPath(c, f.mount, f.dentry);
}

/** The path of a mount point below the caller's root for /proc/PID/mountinfo; null when it is not below it. */
export function mountPath(c: Caller, m: Mount): string | null {
  const r = pathBelow(m, m.root, c.fs.rootMount, c.fs.rootDentry);
  return r.reached ? r.path : null;
}

/** The path of a dentry inside its own file system, for the fourth field of mountinfo. */
export function pathInFs(d: Dentry): string {
  let s = '';
  for (let e = d; e.parent !== e; e = e.parent) s = `/${e.name}${s}`;
  return s === '' ? '/' : s;
}
