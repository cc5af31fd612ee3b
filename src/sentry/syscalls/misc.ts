// Calls without a family: names of the system, its figures, random bytes, the log, barriers.

import { CAP_SYS_ADMIN, CAP_SYS_BOOT, CAP_SYSLOG } from '../../abi/capability.ts';
import { EFAULT, EINVAL, ENOSYS, EPERM } from '../../abi/errno.ts';
import { SYSINFO, UTSNAME } from '../../abi/layouts.ts';
import {
  SYS_getrandom,
  SYS_membarrier,
  SYS_personality,
  SYS_reboot,
  SYS_rseq,
  SYS_setdomainname,
  SYS_sethostname,
  SYS_sysinfo,
  SYS_syslog,
  SYS_uname,
  SYS_vhangup,
} from '../../abi/nr.ts';
import {
  LINUX_REBOOT_CMD_HALT,
  LINUX_REBOOT_CMD_POWER_OFF,
  LINUX_REBOOT_CMD_RESTART,
  LINUX_REBOOT_CMD_RESTART2,
  LINUX_REBOOT_MAGIC1,
  LINUX_REBOOT_MAGIC2,
  LINUX_REBOOT_MAGIC2A,
  LINUX_REBOOT_MAGIC2B,
  LINUX_REBOOT_MAGIC2C,
} from '../../abi/reboot.ts';
import { SIGHUP, SIGINT, SIGKILL } from '../../abi/signal.ts';
import { UTS_FIELD, UTS_MACHINE, UTS_RELEASE, UTS_SYSNAME, UTS_VERSION } from '../../abi/utsname.ts';
import { latin1Decode, latin1Encode, latin1Write, putU16, putU32, putU64 } from '../../base/bytes.ts';
import { monotonicNs } from '../../base/clock.ts';
import { limitsOf } from '../kernel/limits.ts';
import { TASK_EXITED } from '../../base/result.ts';
import { exitGroup } from '../kernel/exit.ts';
import type { Task } from '../kernel/task.ts';
import { full, partial, type Row } from './row.ts';

const PER_MASK = 0xff;
const PER_LINUX32 = 8;
const PER_QUERY = 0xffffffff;
const GRND_NONBLOCK = 1;
const GRND_RANDOM = 2;
const GRND_INSECURE = 4;
const REBOOT_MAGIC2: readonly number[] = [LINUX_REBOOT_MAGIC2, LINUX_REBOOT_MAGIC2A, LINUX_REBOOT_MAGIC2B, LINUX_REBOOT_MAGIC2C];
const RANDOM_MAX = 0x1fffffff;

/** uname(2). */
export function sys_uname(t: Task): number {
  const b = t.kernel.tmp;
  b.fill(0, 0, UTSNAME.size);
  latin1Write(UTS_SYSNAME, b, UTSNAME.sysname);
  latin1Write(t.ns.uts.hostname, b, UTSNAME.nodename);
  latin1Write(UTS_RELEASE, b, UTSNAME.release);
  latin1Write(UTS_VERSION, b, UTSNAME.version);
  latin1Write((t.personality & PER_MASK) === PER_LINUX32 ? 'i686' : UTS_MACHINE, b, UTSNAME.machine);
  latin1Write(t.ns.uts.domainname, b, UTSNAME.domainname);
  return t.copyOut(t.arg(0), b, 0, UTSNAME.size);
}

/** A new host or domain name from the arguments, or -errno. */
function nameArgument(t: Task): string | number {
  if (!t.creds.has(CAP_SYS_ADMIN)) return -EPERM;
  const len = t.argI(1);
  if (len < 0 || len >= UTS_FIELD) return -EINVAL;
  const b = t.kernel.tmp;
  return t.copyIn(t.arg(0), b, 0, len) < 0 ? -EFAULT : latin1Decode(b, 0, len);
}

/** sethostname(2). */
export function sys_sethostname(t: Task): number {
  const name = nameArgument(t);
  if (typeof name === 'number') return name;
  t.ns.uts.hostname = name;
  return 0;
}

/** setdomainname(2). */
export function sys_setdomainname(t: Task): number {
  const name = nameArgument(t);
  if (typeof name === 'number') return name;
  t.ns.uts.domainname = name;
  return 0;
}

/** sysinfo(2). */
export function sys_sysinfo(t: Task): number {
  const b = t.kernel.tmp;
  const k = t.kernel;
  b.fill(0, 0, SYSINFO.size);
  putU64(b, SYSINFO.uptime, Math.floor((monotonicNs() - k.bootNs) / 1e9));
  const l = limitsOf(k, t.tg.container);
  putU64(b, SYSINFO.totalram, l.memory);
  putU64(b, SYSINFO.freeram, Math.max(0, l.memory - l.memoryUsed));
  putU64(b, SYSINFO.totalswap, l.swap);
  putU64(b, SYSINFO.freeswap, l.swap - l.swapUsed);
  putU16(b, SYSINFO.procs, Math.min(l.tasks, 65535));
  putU32(b, SYSINFO.mem_unit, 1);
  return t.copyOut(t.arg(0), b, 0, SYSINFO.size);
}

/** getrandom(2): the host's random bytes, never blocking. */
export function sys_getrandom(t: Task): number {
  const flags = t.argU(2);
  if ((flags & ~(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE)) !== 0) return -EINVAL;
  if ((flags & (GRND_RANDOM | GRND_INSECURE)) === (GRND_RANDOM | GRND_INSECURE)) return -EINVAL;
  const len = t.arg(1) < RANDOM_MAX ? t.arg(1) : RANDOM_MAX;
  const buf = t.kernel.scratch;
  let done = 0;
  while (done < len) {
    const n = len - done < buf.length ? len - done : buf.length;
    const got = t.kernel.host.random(buf.subarray(0, n));
    if (got < 0) return done > 0 ? done : got;
    if (t.copyOut(t.arg(0) + done, buf, 0, n) < 0) return done > 0 ? done : -EFAULT;
    done += n;
  }
  return done;
}

const LOG_SIZE = 65536;
const BOOT_LOG: Uint8Array = latin1Encode(`<5>[    0.000000] ${UTS_SYSNAME} version ${UTS_RELEASE} (ringfence) ${UTS_VERSION}\n`);
const SYSLOG_READ_ALL = 3;
const SYSLOG_READ_CLEAR = 4;
const SYSLOG_CLEAR = 5;
const SYSLOG_CONSOLE_LEVEL = 8;
const SYSLOG_SIZE_UNREAD = 9;
const SYSLOG_SIZE_BUFFER = 10;

/** syslog(2): the kernel's log is one line. */
export function sys_syslog(t: Task): number {
  const type = t.argI(0);
  const open = type === SYSLOG_READ_ALL || type === SYSLOG_SIZE_BUFFER;
  if (!open && !t.creds.has(CAP_SYSLOG) && !t.creds.has(CAP_SYS_ADMIN)) return -EPERM;
  if (type < 0 || type > SYSLOG_SIZE_BUFFER) return -EINVAL;
  switch (type) {
    case SYSLOG_READ_ALL:
    case SYSLOG_READ_CLEAR: {
      const room = t.argI(2);
      if (t.arg(1) === 0 || room < 0) return -EINVAL;
      const n = room < BOOT_LOG.length ? room : BOOT_LOG.length;
      return t.copyOut(t.arg(1), BOOT_LOG, BOOT_LOG.length - n, n) < 0 ? -EFAULT : n;
    }
    case SYSLOG_SIZE_BUFFER:
      return LOG_SIZE;
    case SYSLOG_SIZE_UNREAD:
      return 0;
    default:
      return type >= SYSLOG_CLEAR && type <= SYSLOG_CONSOLE_LEVEL ? 0 : type < 2 ? 0 : -EINVAL;
  }
}

/** personality(2). */
export function sys_personality(t: Task): number {
  const old = t.personality;
  if (t.argU(0) !== PER_QUERY) t.personality = t.argU(0);
  return old;
}

const MEMBARRIER_QUERY = 0;
const MEMBARRIER_PRIVATE_EXPEDITED = 8;
const MEMBARRIER_REGISTER_PRIVATE_EXPEDITED = 16;

/** membarrier(2): the host does it, in the guest's own address space, where the threads to be reached run. */
export function sys_membarrier(t: Task): number {
  const command = t.argI(0);
  if (t.argU(1) !== 0) return -EINVAL;
  if (command === MEMBARRIER_QUERY) return MEMBARRIER_PRIVATE_EXPEDITED | MEMBARRIER_REGISTER_PRIVATE_EXPEDITED;
  if (command !== MEMBARRIER_PRIVATE_EXPEDITED && command !== MEMBARRIER_REGISTER_PRIVATE_EXPEDITED) return -EINVAL;
  return t.ctx.hostcall(SYS_membarrier, command, 0, 0, 0, 0, 0);
}

/** rseq(2): the host moves threads between CPUs without telling the Sentry, so restart could not be promised. */
export function sys_rseq(_t: Task): number {
  return -ENOSYS;
}

/** reboot(2): ends the caller's pid namespace, whose first process then ends as if by SIGHUP or SIGINT (pid_namespaces(7)). */
export function sys_reboot(t: Task): number {
  if (!t.creds.has(CAP_SYS_BOOT)) return -EPERM;
  if (t.argU(0) !== LINUX_REBOOT_MAGIC1 || !REBOOT_MAGIC2.includes(t.argU(1))) return -EINVAL;
  const command = t.argU(2);
  const again = command === LINUX_REBOOT_CMD_RESTART || command === LINUX_REBOOT_CMD_RESTART2;
  const init = t.pidns.init;
  if (init === null || (!again && command !== LINUX_REBOOT_CMD_HALT && command !== LINUX_REBOOT_CMD_POWER_OFF)) return -EINVAL;
  t.pidns.reboot = again ? SIGHUP : SIGINT;
  exitGroup(init, SIGKILL);
  return TASK_EXITED;
}

/** vhangup(2). */
export function sys_vhangup(_t: Task): number {
  return -EPERM;
}

export const rows: readonly Row[] = [
  full(SYS_uname, 'uname', sys_uname, 'ptr'),
  full(SYS_sethostname, 'sethostname', sys_sethostname, 'str', 'int'),
  full(SYS_setdomainname, 'setdomainname', sys_setdomainname, 'str', 'int'),
  partial(SYS_sysinfo, 'sysinfo', sys_sysinfo, 'no load averages', 'ptr'),
  full(SYS_getrandom, 'getrandom', sys_getrandom, 'ptr', 'size', 'hex'),
  partial(SYS_syslog, 'syslog', sys_syslog, 'a log of one line', 'int', 'ptr', 'int'),
  partial(SYS_personality, 'personality', sys_personality, 'kept; only PER_LINUX32 changes anything (uname)', 'hex'),
  partial(SYS_membarrier, 'membarrier', sys_membarrier, 'private expedited only', 'int', 'hex'),
  {
    nr: SYS_rseq,
    name: 'rseq',
    handler: sys_rseq,
    support: 'none',
    note: 'ENOSYS; libraries go on without',
    args: ['ptr', 'uint', 'hex', 'uint'],
  },
  partial(
    SYS_reboot,
    'reboot',
    sys_reboot,
    'ends the pid namespace; EINVAL in one without a first process (do)',
    'hex',
    'hex',
    'int',
    'ptr',
  ),
  partial(SYS_vhangup, 'vhangup', sys_vhangup, 'always EPERM'),
];
