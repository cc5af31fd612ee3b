// prctl(2), arch_prctl(2), resource limits (getrlimit(2)).

import { CAP_SETPCAP, CAP_SYS_RESOURCE } from '../../abi/capability.ts';
import { EFAULT, EINVAL, ENODEV, EPERM, ESRCH } from '../../abi/errno.ts';
import { SYS_arch_prctl, SYS_getrlimit, SYS_prctl, SYS_prlimit64, SYS_setrlimit } from '../../abi/nr.ts';
import {
  ARCH_GET_CPUID,
  ARCH_GET_FS,
  ARCH_GET_GS,
  ARCH_SET_CPUID,
  ARCH_SET_FS,
  ARCH_SET_GS,
  PR_CAP_AMBIENT,
  PR_CAP_AMBIENT_CLEAR_ALL,
  PR_CAP_AMBIENT_IS_SET,
  PR_CAP_AMBIENT_LOWER,
  PR_CAP_AMBIENT_RAISE,
  PR_CAPBSET_DROP,
  PR_CAPBSET_READ,
  PR_GET_CHILD_SUBREAPER,
  PR_GET_DUMPABLE,
  PR_GET_KEEPCAPS,
  PR_GET_NAME,
  PR_GET_NO_NEW_PRIVS,
  PR_GET_PDEATHSIG,
  PR_GET_SECCOMP,
  PR_GET_SECUREBITS,
  PR_GET_TID_ADDRESS,
  PR_GET_TIMERSLACK,
  PR_GET_TIMING,
  PR_GET_TSC,
  PR_SET_CHILD_SUBREAPER,
  PR_SET_DUMPABLE,
  PR_SET_KEEPCAPS,
  PR_SET_NAME,
  PR_SET_NO_NEW_PRIVS,
  PR_SET_PDEATHSIG,
  PR_SET_PTRACER,
  PR_SET_SECCOMP,
  PR_SET_SECUREBITS,
  PR_SET_TIMERSLACK,
  PR_SET_TIMING,
} from '../../abi/prctl.ts';
import { RLIMIT_AS, RLIMIT_CPU, RLIMIT_DATA, RLIMIT_NLIMITS, RLIMIT_NOFILE } from '../../abi/resource.ts';
import { getU32, latin1DecodeZ, latin1Write, putU32, putU64 } from '../../base/bytes.ts';
import { REG_FS_BASE, REG_GS_BASE } from '../../platform/platform.ts';
import { watchCpuLimit } from '../kernel/cputimers.ts';
import type { Task } from '../kernel/task.ts';
import { type CapSet, hasCap } from '../vfs/creds.ts';
import { unknownOption } from './options.ts';
import { full, partial, type Row } from './row.ts';
import { prctlSetSeccomp } from './seccomp.ts';

const CAP_LAST = 40;
const SECBITS_ALL = 0xff;
const SECBIT_LOCKS = 0xaa;
const SECBIT_KEEP_CAPS = 16;
const SECBIT_NO_CAP_AMBIENT_RAISE = 64;
const NR_OPEN = 1048576;

function withCap(s: CapSet, cap: number, on: boolean): CapSet {
  const bit = (1 << (cap & 31)) >>> 0;
  const lo = cap < 32 ? (on ? s.lo | bit : s.lo & ~bit) >>> 0 : s.lo;
  const hi = cap >= 32 ? (on ? s.hi | bit : s.hi & ~bit) >>> 0 : s.hi;
  return { lo, hi };
}

function ambient(t: Task, op: number, cap: number): number {
  const old = t.creds;
  if (op === PR_CAP_AMBIENT_CLEAR_ALL) {
    if (cap !== 0) return -EINVAL;
    const c = old.clone();
    c.ambient = { lo: 0, hi: 0 };
    t.creds = c;
    return 0;
  }
  if (cap > CAP_LAST) return -EINVAL;
  if (op === PR_CAP_AMBIENT_IS_SET) return hasCap(old.ambient, cap) ? 1 : 0;
  if (op !== PR_CAP_AMBIENT_RAISE && op !== PR_CAP_AMBIENT_LOWER) return -EINVAL;
  const raise = op === PR_CAP_AMBIENT_RAISE;
  if (raise && (!hasCap(old.permitted, cap) || !hasCap(old.inheritable, cap) || (old.securebits & SECBIT_NO_CAP_AMBIENT_RAISE) !== 0))
    return -EPERM;
  const c = old.clone();
  c.ambient = withCap(old.ambient, cap, raise);
  t.creds = c;
  return 0;
}

function setSecurebits(t: Task, bits: number): number {
  const old = t.creds;
  const locked = (old.securebits & SECBIT_LOCKS) >> 1;
  if ((bits & ~SECBITS_ALL) !== 0 || ((bits ^ old.securebits) & locked) !== 0 || (old.securebits & SECBIT_LOCKS & ~bits) !== 0)
    return -EPERM;
  if (!old.has(CAP_SETPCAP)) return -EPERM;
  const c = old.clone();
  c.securebits = bits;
  t.keepCaps = (bits & SECBIT_KEEP_CAPS) !== 0;
  t.creds = c;
  return 0;
}

export function sys_prctl(t: Task): number {
  const op = t.argI(0);
  const v = t.arg(1);
  const b = t.kernel.tmp;
  switch (op) {
    case PR_SET_NAME: {
      b.fill(0, 0, 16);
      const n = t.mm.readUpTo(v, b, 0, 15);
      if (n <= 0) return -EFAULT;
      t.name = latin1DecodeZ(b, 0, n);
      return 0;
    }
    case PR_GET_NAME:
      b.fill(0, 0, 16);
      latin1Write(t.name, b, 0);
      return t.copyOut(v, b, 0, 16);
    case PR_SET_PDEATHSIG:
      if (v > 64) return -EINVAL;
      t.parentDeathSignal = v;
      return 0;
    case PR_GET_PDEATHSIG:
      return t.writeU32(v, t.parentDeathSignal);
    case PR_GET_DUMPABLE:
      return t.mm.dumpable;
    case PR_SET_DUMPABLE:
      if (v !== 0 && v !== 1) return -EINVAL;
      t.mm.dumpable = v;
      return 0;
    case PR_GET_KEEPCAPS:
      return t.keepCaps ? 1 : 0;
    case PR_SET_KEEPCAPS:
      if (v > 1) return -EINVAL;
      t.keepCaps = v === 1;
      return 0;
    case PR_SET_NO_NEW_PRIVS: {
      if (v !== 1 || t.arg(2) !== 0 || t.arg(3) !== 0 || t.arg(4) !== 0) return -EINVAL;
      const c = t.creds.clone();
      c.noNewPrivs = true;
      t.creds = c;
      return 0;
    }
    case PR_GET_NO_NEW_PRIVS:
      if (v !== 0 || t.arg(2) !== 0 || t.arg(3) !== 0 || t.arg(4) !== 0) return -EINVAL;
      return t.creds.noNewPrivs ? 1 : 0;
    case PR_SET_CHILD_SUBREAPER:
      t.tg.subreaper = v !== 0;
      return 0;
    case PR_GET_CHILD_SUBREAPER:
      return t.writeU32(v, t.tg.subreaper ? 1 : 0);
    case PR_CAPBSET_READ:
      return v > CAP_LAST ? -EINVAL : hasCap(t.creds.bounding, v) ? 1 : 0;
    case PR_CAPBSET_DROP: {
      if (!t.creds.has(CAP_SETPCAP)) return -EPERM;
      if (v > CAP_LAST) return -EINVAL;
      const c = t.creds.clone();
      c.bounding = withCap(c.bounding, v, false);
      t.creds = c;
      return 0;
    }
    case PR_CAP_AMBIENT:
      if (t.arg(3) !== 0 || t.arg(4) !== 0) return -EINVAL;
      return ambient(t, v, t.arg(2));
    case PR_GET_SECUREBITS:
      return t.creds.securebits;
    case PR_SET_SECUREBITS:
      return setSecurebits(t, v);
    case PR_GET_SECCOMP:
      return t.seccomp === null ? 0 : t.seccomp.mode;
    case PR_SET_SECCOMP:
      return prctlSetSeccomp(t, v, t.arg(2));
    case PR_SET_TIMERSLACK:
      t.timerSlackNs = v === 0 ? 50000 : v;
      return 0;
    case PR_GET_TIMERSLACK:
      return t.timerSlackNs;
    case PR_GET_TIMING:
      return 0;
    case PR_SET_TIMING:
      return v === 0 ? 0 : -EINVAL;
    case PR_GET_TSC:
      return t.writeU32(v, 1);
    case PR_SET_PTRACER:
      return 0;
    case PR_GET_TID_ADDRESS:
      return t.writeU64(v, t.clearChildTid);
    // Names of anonymous areas (PR_SET_VMA) too: as a kernel without CONFIG_ANON_VMA_NAME.
    default:
      return unknownOption(t, 'prctl', op, EINVAL);
  }
}

function base(t: Task, r: number): number {
  return t.ctx.regs[2 * r + 1]! * 4294967296 + t.ctx.regs[2 * r]!;
}

/** Sets the segment base now, and in the registers that a full resume would load. */
function setBase(t: Task, v: number): number {
  const r = t.ctx.hostcall(SYS_arch_prctl, t.argI(0), v, 0, 0, 0, 0);
  if (r < 0) return r;
  const reg = t.argI(0) === ARCH_SET_FS ? REG_FS_BASE : REG_GS_BASE;
  t.ctx.regs[2 * reg] = v;
  t.ctx.regs[2 * reg + 1] = Math.floor(v / 4294967296);
  return 0;
}

export function sys_arch_prctl(t: Task): number {
  const v = t.arg(1);
  switch (t.argI(0)) {
    case ARCH_SET_FS:
    case ARCH_SET_GS:
      if (v >= 2 ** 47) return -EPERM;
      return setBase(t, v);
    case ARCH_GET_FS:
      return t.writeU64(v, base(t, REG_FS_BASE));
    case ARCH_GET_GS:
      return t.writeU64(v, base(t, REG_GS_BASE));
    case ARCH_GET_CPUID:
      return 1;
    case ARCH_SET_CPUID:
      return -ENODEV;
    default:
      return unknownOption(t, 'arch_prctl', t.argI(0), EINVAL);
  }
}

function putLimit(b: Uint8Array, off: number, v: number): void {
  if (v === Infinity) {
    putU32(b, off, 0xffffffff);
    putU32(b, off + 4, 0xffffffff);
  } else putU64(b, off, v);
}

function getLimit(b: Uint8Array, off: number): number {
  const hi = getU32(b, off + 4);
  return hi >= 0x80000000 ? Infinity : hi * 4294967296 + getU32(b, off);
}

function limits(t: Task, o: Task, resource: number, newAddr: number, oldAddr: number): number {
  if (resource < 0 || resource >= RLIMIT_NLIMITS) return -EINVAL;
  const g = o.tg;
  const b = t.kernel.tmp;
  const soft = g.limitSoft[resource]!;
  const hard = g.limitHard[resource]!;
  if (newAddr !== 0) {
    if (t.copyIn(newAddr, b, 0, 16) < 0) return -EFAULT;
    const s = getLimit(b, 0);
    const h = getLimit(b, 8);
    if (s > h) return -EINVAL;
    if (resource === RLIMIT_NOFILE && h > NR_OPEN) return -EPERM;
    if (h > hard && !t.creds.has(CAP_SYS_RESOURCE)) return -EPERM;
    if (oldAddr !== 0) {
      putLimit(b, 0, soft);
      putLimit(b, 8, hard);
      if (t.copyOut(oldAddr, b, 0, 16) < 0) return -EFAULT;
    }
    g.limitSoft[resource] = s;
    g.limitHard[resource] = h;
    if (resource === RLIMIT_AS) o.mm.limitAs = s;
    if (resource === RLIMIT_DATA) o.mm.limitData = s;
    if (resource === RLIMIT_CPU) watchCpuLimit(g);
    return 0;
  }
  if (oldAddr === 0) return 0;
  putLimit(b, 0, soft);
  putLimit(b, 8, hard);
  return t.copyOut(oldAddr, b, 0, 16);
}

export function sys_getrlimit(t: Task): number {
  return t.arg(1) === 0 ? -EFAULT : limits(t, t, t.argI(0), 0, t.arg(1));
}

/** Can a limit to set be read? */
function unreadable(t: Task, addr: number): boolean {
  return t.copyIn(addr, t.kernel.tmp, 0, 16) < 0;
}

export function sys_setrlimit(t: Task): number {
  return unreadable(t, t.arg(1)) ? -EFAULT : limits(t, t, t.argI(0), t.arg(1), 0);
}

export function sys_prlimit64(t: Task): number {
  const pid = t.argI(0);
  if (t.arg(2) !== 0 && unreadable(t, t.arg(2))) return -EFAULT;
  const o = pid === 0 ? t : t.pidns.task(pid);
  if (o === null) return -ESRCH;
  const c = t.creds;
  const oc = o.creds;
  if (o.tg !== t.tg && !c.has(CAP_SYS_RESOURCE) && (c.ruid !== oc.ruid || c.ruid !== oc.euid || c.ruid !== oc.suid)) return -EPERM;
  return limits(t, o, t.argI(1), t.arg(2), t.arg(3));
}

export const rows: readonly Row[] = [
  full(SYS_getrlimit, 'getrlimit', sys_getrlimit, 'int', 'ptr'),
  partial(
    SYS_prctl,
    'prctl',
    sys_prctl,
    'no memory map changes, no machine-check or speculation control',
    'int',
    'hex',
    'hex',
    'hex',
    'hex',
  ),
  full(SYS_arch_prctl, 'arch_prctl', sys_arch_prctl, 'hex', 'ptr'),
  full(SYS_setrlimit, 'setrlimit', sys_setrlimit, 'int', 'ptr'),
  full(SYS_prlimit64, 'prlimit64', sys_prlimit64, 'int', 'int', 'ptr', 'ptr'),
];
