// Credentials across execve: set-user-ID files, file capabilities, and the transformation of capability sets (capabilities(7)).

import { S_IFMT, S_IFREG, S_ISGID, S_ISUID, S_IXGRP } from '../../abi/stat.ts';
import { ST_NOSUID } from '../../abi/mount.ts';
import { getU32 } from '../../base/bytes.ts';
import { tracedByLesser } from '../kernel/ptrace.ts';
import type { Task } from '../kernel/task.ts';
import type { CapSet, Credentials } from '../vfs/creds.ts';
import type { File } from '../vfs/file.ts';
import { MAY_READ, permission } from '../vfs/permission.ts';

const SECBIT_NOROOT = 1;
const VFS_CAP_REVISION_MASK = 0xff000000;
const VFS_CAP_REVISION_2 = 0x02000000;
const VFS_CAP_REVISION_3 = 0x03000000;
const ALL: CapSet = { lo: 0xffffffff, hi: 0x1ff };

export interface ExecCredentials {
  creds: Credentials;
  /** AT_SECURE: privileges were gained. */
  secure: boolean;
  /** The caller may read the file: otherwise the process is not dumpable. */
  readable: boolean;
}

interface FileCaps {
  permitted: CapSet;
  inheritable: CapSet;
  effective: boolean;
}

function fileCaps(t: Task, f: File): FileCaps | null {
  const v = f.inode.getxattr(t, 'security.capability');
  if (typeof v === 'number' || v.length < 20) return null;
  const magic = getU32(v, 0);
  const revision = (magic & VFS_CAP_REVISION_MASK) >>> 0;
  if (revision !== VFS_CAP_REVISION_2 && revision !== VFS_CAP_REVISION_3) return null;
  return {
    permitted: { lo: getU32(v, 4), hi: getU32(v, 12) },
    inheritable: { lo: getU32(v, 8), hi: getU32(v, 16) },
    effective: (magic & 1) !== 0,
  };
}

function and(a: CapSet, b: CapSet): CapSet {
  return { lo: (a.lo & b.lo) >>> 0, hi: (a.hi & b.hi) >>> 0 };
}

function or(a: CapSet, b: CapSet): CapSet {
  return { lo: (a.lo | b.lo) >>> 0, hi: (a.hi | b.hi) >>> 0 };
}

/** The credentials that the program in `f` will have. */
export function execCredentials(t: Task, f: File): ExecCredentials {
  const old = t.creds;
  const c = old.clone();
  const mode = f.inode.mode;
  const honoured =
    !old.noNewPrivs && !tracedByLesser(t) && (f.mount === null || (f.mount.flags & ST_NOSUID) === 0) && (mode & S_IFMT) === S_IFREG;
  if (honoured && (mode & S_ISUID) !== 0) c.euid = f.inode.uid;
  if (honoured && (mode & (S_ISGID | S_IXGRP)) === (S_ISGID | S_IXGRP)) c.egid = f.inode.gid;
  c.suid = c.euid;
  c.sgid = c.egid;
  c.fsuid = c.euid;
  c.fsgid = c.egid;
  const changed = c.euid !== old.euid || c.egid !== old.egid;

  const caps = honoured ? fileCaps(t, f) : null;
  let permitted: CapSet = caps === null ? { lo: 0, hi: 0 } : caps.permitted;
  let inheritable: CapSet = caps === null ? { lo: 0, hi: 0 } : caps.inheritable;
  let effective = caps?.effective === true;
  const root = (c.securebits & SECBIT_NOROOT) === 0 && (c.euid === 0 || c.ruid === 0);
  // A set-user-ID-root file with capabilities of its own gives those and no more to a non-root caller.
  if (root && !(caps !== null && c.euid === 0 && old.ruid !== 0)) {
    permitted = ALL;
    inheritable = ALL;
    effective = c.euid === 0;
  }
  const ambient = changed || caps !== null ? { lo: 0, hi: 0 } : old.ambient;
  c.ambient = { ...ambient };
  c.permitted = or(or(and(old.inheritable, inheritable), and(permitted, old.bounding)), ambient);
  c.effective = effective ? { ...c.permitted } : { ...ambient };
  const gained = c.ruid !== 0 && ((c.permitted.lo & ~ambient.lo) !== 0 || (c.permitted.hi & ~ambient.hi) !== 0);
  return {
    creds: c,
    secure: c.euid !== c.ruid || c.egid !== c.rgid || (gained && (effective || changed)),
    readable: permission(old, f.inode, MAY_READ) === 0,
  };
}
