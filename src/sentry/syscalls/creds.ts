// Credentials: user and group ids, supplementary groups, capabilities (credentials(7), capabilities(7)).

import { EFAULT, EINVAL, EPERM, ESRCH } from '../../abi/errno.ts';
import { CAP_SETGID, CAP_SETPCAP, CAP_SETUID } from '../../abi/capability.ts';
import {
  SYS_capget,
  SYS_capset,
  SYS_getegid,
  SYS_geteuid,
  SYS_getgid,
  SYS_getgroups,
  SYS_getresgid,
  SYS_getresuid,
  SYS_getuid,
  SYS_setfsgid,
  SYS_setfsuid,
  SYS_setgid,
  SYS_setgroups,
  SYS_setregid,
  SYS_setresgid,
  SYS_setresuid,
  SYS_setreuid,
  SYS_setuid,
} from '../../abi/nr.ts';
import { getU32, putU32 } from '../../base/bytes.ts';
import type { Task } from '../kernel/task.ts';
import type { Credentials } from '../vfs/creds.ts';
import { full, type Row } from './row.ts';

const SECBIT_NO_SETUID_FIXUP = 4;
const NGROUPS_MAX = 65536;
const NONE = 0xffffffff;
/** Capabilities that the file system user id carries: CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID MKNOD LINUX_IMMUTABLE MAC_OVERRIDE. */
const FS_CAPS_LO = 0x1f | (1 << 9) | (1 << 27);
const FS_CAPS_HI = 1 << 0;

/** What a change of user ids does to capability sets (capabilities(7), "Effect of user ID changes"). */
function fixCaps(c: Credentials, old: Credentials, keepCaps: boolean): void {
  if ((c.securebits & SECBIT_NO_SETUID_FIXUP) !== 0) return;
  const wasRoot = old.ruid === 0 || old.euid === 0 || old.suid === 0;
  const isRoot = c.ruid === 0 || c.euid === 0 || c.suid === 0;
  if (wasRoot && !isRoot) {
    if (!keepCaps) {
      c.permitted = { lo: 0, hi: 0 };
      c.effective = { lo: 0, hi: 0 };
    }
    c.ambient = { lo: 0, hi: 0 };
  }
  if (old.euid === 0 && c.euid !== 0) c.effective = { lo: 0, hi: 0 };
  if (old.euid !== 0 && c.euid === 0) c.effective = { ...c.permitted };
}

function fixFsCaps(c: Credentials, old: Credentials): void {
  if ((c.securebits & SECBIT_NO_SETUID_FIXUP) !== 0) return;
  if (old.fsuid === 0 && c.fsuid !== 0)
    c.effective = { lo: (c.effective.lo & ~FS_CAPS_LO) >>> 0, hi: (c.effective.hi & ~FS_CAPS_HI) >>> 0 };
  if (old.fsuid !== 0 && c.fsuid === 0) {
    c.effective = {
      lo: (c.effective.lo | (c.permitted.lo & FS_CAPS_LO)) >>> 0,
      hi: (c.effective.hi | (c.permitted.hi & FS_CAPS_HI)) >>> 0,
    };
  }
}

function commit(t: Task, c: Credentials): number {
  const old = t.creds;
  if (c.euid !== old.euid || c.egid !== old.egid || c.fsuid !== old.fsuid || c.fsgid !== old.fsgid) {
    t.mm.dumpable = 0;
    t.parentDeathSignal = 0;
  }
  t.creds = c;
  return 0;
}

function setUids(t: Task, r: number, e: number, s: number): number {
  const old = t.creds;
  const c = old.clone();
  if (r !== NONE) c.ruid = r;
  if (e !== NONE) c.euid = e;
  if (s !== NONE) c.suid = s;
  c.fsuid = c.euid;
  fixCaps(c, old, t.keepCaps);
  return commit(t, c);
}

function setGids(t: Task, r: number, e: number, s: number): number {
  const c = t.creds.clone();
  if (r !== NONE) c.rgid = r;
  if (e !== NONE) c.egid = e;
  if (s !== NONE) c.sgid = s;
  c.fsgid = c.egid;
  return commit(t, c);
}

export function sys_getuid(t: Task): number {
  return t.creds.ruid;
}

export function sys_geteuid(t: Task): number {
  return t.creds.euid;
}

export function sys_getgid(t: Task): number {
  return t.creds.rgid;
}

export function sys_getegid(t: Task): number {
  return t.creds.egid;
}

export function sys_setuid(t: Task): number {
  const u = t.argU(0);
  const c = t.creds;
  if (u === NONE) return -EINVAL;
  if (c.has(CAP_SETUID)) return setUids(t, u, u, u);
  if (u !== c.ruid && u !== c.suid) return -EPERM;
  return setUids(t, NONE, u, NONE);
}

export function sys_setgid(t: Task): number {
  const g = t.argU(0);
  const c = t.creds;
  if (g === NONE) return -EINVAL;
  if (c.has(CAP_SETGID)) return setGids(t, g, g, g);
  if (g !== c.rgid && g !== c.sgid) return -EPERM;
  return setGids(t, NONE, g, NONE);
}

export function sys_setreuid(t: Task): number {
  const r = t.argU(0);
  const e = t.argU(1);
  const c = t.creds;
  if (!c.has(CAP_SETUID)) {
    if (r !== NONE && r !== c.ruid && r !== c.euid) return -EPERM;
    if (e !== NONE && e !== c.ruid && e !== c.euid && e !== c.suid) return -EPERM;
  }
  const newE = e === NONE ? c.euid : e;
  const saved = r !== NONE || (e !== NONE && e !== c.ruid) ? newE : NONE;
  return setUids(t, r, e, saved);
}

export function sys_setregid(t: Task): number {
  const r = t.argU(0);
  const e = t.argU(1);
  const c = t.creds;
  if (!c.has(CAP_SETGID)) {
    if (r !== NONE && r !== c.rgid && r !== c.egid) return -EPERM;
    if (e !== NONE && e !== c.rgid && e !== c.egid && e !== c.sgid) return -EPERM;
  }
  const newE = e === NONE ? c.egid : e;
  const saved = r !== NONE || (e !== NONE && e !== c.rgid) ? newE : NONE;
  return setGids(t, r, e, saved);
}

export function sys_setresuid(t: Task): number {
  const c = t.creds;
  if (!c.has(CAP_SETUID)) {
    for (let i = 0; i < 3; i++) {
      const v = t.argU(i);
      if (v !== NONE && v !== c.ruid && v !== c.euid && v !== c.suid) return -EPERM;
    }
  }
  return setUids(t, t.argU(0), t.argU(1), t.argU(2));
}

export function sys_setresgid(t: Task): number {
  const c = t.creds;
  if (!c.has(CAP_SETGID)) {
    for (let i = 0; i < 3; i++) {
      const v = t.argU(i);
      if (v !== NONE && v !== c.rgid && v !== c.egid && v !== c.sgid) return -EPERM;
    }
  }
  return setGids(t, t.argU(0), t.argU(1), t.argU(2));
}

function write3(t: Task, a: number, b: number, c: number): number {
  if (t.writeU32(t.arg(0), a) < 0 || t.writeU32(t.arg(1), b) < 0 || t.writeU32(t.arg(2), c) < 0) return -EFAULT;
  return 0;
}

export function sys_getresuid(t: Task): number {
  return write3(t, t.creds.ruid, t.creds.euid, t.creds.suid);
}

export function sys_getresgid(t: Task): number {
  return write3(t, t.creds.rgid, t.creds.egid, t.creds.sgid);
}

export function sys_setfsuid(t: Task): number {
  const u = t.argU(0);
  const old = t.creds;
  if (u !== NONE && (old.has(CAP_SETUID) || u === old.ruid || u === old.euid || u === old.suid || u === old.fsuid)) {
    const c = old.clone();
    c.fsuid = u;
    fixFsCaps(c, old);
    commit(t, c);
  }
  return old.fsuid;
}

export function sys_setfsgid(t: Task): number {
  const g = t.argU(0);
  const old = t.creds;
  if (g !== NONE && (old.has(CAP_SETGID) || g === old.rgid || g === old.egid || g === old.sgid || g === old.fsgid)) {
    const c = old.clone();
    c.fsgid = g;
    commit(t, c);
  }
  return old.fsgid;
}

export function sys_getgroups(t: Task): number {
  const size = t.argI(0);
  const groups = t.creds.groups;
  if (size < 0) return -EINVAL;
  if (size === 0) return groups.length;
  if (size < groups.length) return -EINVAL;
  const b = new Uint8Array(groups.length * 4);
  for (let i = 0; i < groups.length; i++) putU32(b, i * 4, groups[i]!);
  return t.copyOut(t.arg(1), b, 0, b.length) < 0 ? -EFAULT : groups.length;
}

export function sys_setgroups(t: Task): number {
  const size = t.argI(0);
  if (!t.creds.has(CAP_SETGID)) return -EPERM;
  if (size < 0 || size > NGROUPS_MAX) return -EINVAL;
  const b = new Uint8Array(size * 4);
  if (size > 0 && t.copyIn(t.arg(1), b, 0, b.length) < 0) return -EFAULT;
  const c = t.creds.clone();
  c.groups = [];
  for (let i = 0; i < size; i++) c.groups.push(getU32(b, i * 4));
  t.creds = c;
  return 0;
}

const CAP_V1 = 0x19980330;
const CAP_V2 = 0x20071026;
const CAP_V3 = 0x20080522;

/** Words of the data array for a header version; 0: unknown. */
function capWords(version: number): number {
  return version === CAP_V1 ? 1 : version === CAP_V2 || version === CAP_V3 ? 2 : 0;
}

export function sys_capget(t: Task): number {
  const b = t.kernel.tmp;
  if (t.copyIn(t.arg(0), b, 0, 8) < 0) return -EFAULT;
  const words = capWords(getU32(b, 0));
  if (words === 0) {
    if (t.writeU32(t.arg(0), CAP_V3) < 0) return -EFAULT;
    return t.arg(1) === 0 ? 0 : -EINVAL;
  }
  const pid = getU32(b, 4) | 0;
  if (pid < 0) return -EINVAL;
  const o = pid === 0 ? t : t.pidns.task(pid);
  if (o === null) return -ESRCH;
  if (t.arg(1) === 0) return 0;
  const c = o.creds;
  putU32(b, 0, c.effective.lo);
  putU32(b, 4, c.permitted.lo);
  putU32(b, 8, c.inheritable.lo);
  putU32(b, 12, c.effective.hi);
  putU32(b, 16, c.permitted.hi);
  putU32(b, 20, c.inheritable.hi);
  return t.copyOut(t.arg(1), b, 0, words * 12);
}

export function sys_capset(t: Task): number {
  const b = t.kernel.tmp;
  if (t.copyIn(t.arg(0), b, 0, 8) < 0) return -EFAULT;
  const words = capWords(getU32(b, 0));
  if (words === 0) return t.writeU32(t.arg(0), CAP_V3) < 0 ? -EFAULT : -EINVAL;
  const pid = getU32(b, 4);
  if (pid !== 0 && pid !== t.vtid) return -EPERM;
  b.fill(0, 0, 24);
  if (t.copyIn(t.arg(1), b, 0, words * 12) < 0) return -EFAULT;
  const old = t.creds;
  const c = old.clone();
  c.effective = { lo: getU32(b, 0), hi: getU32(b, 12) & 0x1ff };
  c.permitted = { lo: getU32(b, 4), hi: getU32(b, 16) & 0x1ff };
  c.inheritable = { lo: getU32(b, 8), hi: getU32(b, 20) & 0x1ff };
  const mayRaise = old.has(CAP_SETPCAP);
  for (const w of ['lo', 'hi'] as const) {
    if ((c.inheritable[w] & ~(old.inheritable[w] | old.bounding[w])) !== 0) return -EPERM;
    if (!mayRaise && (c.inheritable[w] & ~(old.inheritable[w] | old.permitted[w])) !== 0) return -EPERM;
    if ((c.permitted[w] & ~old.permitted[w]) !== 0) return -EPERM;
    if ((c.effective[w] & ~c.permitted[w]) !== 0) return -EPERM;
    c.ambient[w] = (c.ambient[w] & c.permitted[w] & c.inheritable[w]) >>> 0;
  }
  t.creds = c;
  return 0;
}

export const rows: readonly Row[] = [
  full(SYS_getuid, 'getuid', sys_getuid),
  full(SYS_getgid, 'getgid', sys_getgid),
  full(SYS_setuid, 'setuid', sys_setuid, 'uint'),
  full(SYS_setgid, 'setgid', sys_setgid, 'uint'),
  full(SYS_geteuid, 'geteuid', sys_geteuid),
  full(SYS_getegid, 'getegid', sys_getegid),
  full(SYS_setreuid, 'setreuid', sys_setreuid, 'int', 'int'),
  full(SYS_setregid, 'setregid', sys_setregid, 'int', 'int'),
  full(SYS_getgroups, 'getgroups', sys_getgroups, 'int', 'ptr'),
  full(SYS_setgroups, 'setgroups', sys_setgroups, 'int', 'ptr'),
  full(SYS_setresuid, 'setresuid', sys_setresuid, 'int', 'int', 'int'),
  full(SYS_getresuid, 'getresuid', sys_getresuid, 'ptr', 'ptr', 'ptr'),
  full(SYS_setresgid, 'setresgid', sys_setresgid, 'int', 'int', 'int'),
  full(SYS_getresgid, 'getresgid', sys_getresgid, 'ptr', 'ptr', 'ptr'),
  full(SYS_setfsuid, 'setfsuid', sys_setfsuid, 'uint'),
  full(SYS_setfsgid, 'setfsgid', sys_setfsgid, 'uint'),
  full(SYS_capget, 'capget', sys_capget, 'ptr', 'ptr'),
  full(SYS_capset, 'capset', sys_capset, 'ptr', 'ptr'),
];
