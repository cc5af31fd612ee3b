// The written posture of a sandbox's processes: what SECURITY.md says in words, as data. posture.test.ts compares running ones with it.

import * as nr from '../../src/abi/nr.ts';
import { testPlatform } from '../support/platform.ts';
import type { Role } from './support.ts';

export interface Posture {
  /** 'caller': the uid of whoever started the sandbox; 'sandbox': nobody's (65534) if root started it, else the caller's. */
  uid: 'caller' | 'sandbox';
  /** Capabilities at most, for a sandbox that root started: CAP_* bits. An ordinary user's has none at all. */
  capabilities: bigint;
  /** The bounding set is that mask too. An ordinary user's stand-in keeps the caller's; it has no_new_privs and nothing to gain. */
  bounded: boolean;
  /** Seccomp filters, each on every thread. */
  filters: number;
  /** Namespaces that are not the host's; `user` only where it is named. All of one sandbox's processes but Gofer and stand-in share theirs. */
  namespaces: readonly string[];
  /** Nobody but the host's root may trace it or read its /proc files. */
  dumpable: boolean;
  /** What its descriptors may refer to. */
  descriptors: readonly RegExp[];
  /**
   * How many sockets among them, at most; -1: its own five, one for each guest, and the caller's output, which is one in the test; -2: one,
   * and one for each guest.
   */
  sockets: number;
  /** Names in its root, /dist and /attach/N left closed; null: the host's root. */
  root: RegExp | null;
}

const SEPARATE = ['pid', 'mnt', 'net', 'ipc', 'uts'];
const NODE_ROOT = /^\/(bin(\/node)?|dist|lib(64)?|lib\/[^/]*|usr(\/lib(64)?)?)$/;
const ANONYMOUS = [/^pipe:/, /^socket:/, /^anon_inode:\[(eventfd|eventpoll)\]$/];
/** What the caller's standard streams are in the test; "/null" is the host's /dev/null seen from elsewhere. */
const STREAMS = [/^(\/dev)?\/null$/, /^pipe:/];

/** Files of the container's own groups that count what it uses, open for reading. */
const COUNTER = /\/(memory|cpu|cpuacct|io)\.[a-z_.]+$/;

/** Mounted as /proc of a stand-in, for a container (test/oci/proc-view.test.ts). */
export const FUSE_DEVICE = /^(\/dev)?\/fuse$/;

/** CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID, LINUX_IMMUTABLE, MKNOD, SETFCAP. */
const FILE_CAPABILITIES = 0b11111n | (1n << 9n) | (1n << 27n) | (1n << 31n);

/** What makes and runs a virtual machine: of the stubs of that engine alone. */
const MACHINE = testPlatform === 'kvm' ? [/^(\/dev)?\/kvm$/, /^anon_inode:kvm-vm$/, /^anon_inode:kvm-vcpu:\d+$/] : [];

const guest: Posture = {
  uid: 'sandbox',
  capabilities: 0n,
  bounded: true,
  filters: 1,
  namespaces: ['user', ...SEPARATE],
  dumpable: true, // the Sentry reads and writes its memory
  descriptors: [/^socket:/, /^anon_inode:\[eventfd\]$/, ...MACHINE],
  sockets: 1,
  root: NODE_ROOT,
};

/** On ptrace the stub is the tracer, and its descriptors are those of all guests too, none of whose calls reaches the host. */
const traced = testPlatform === 'ptrace';

export const POSTURE: Record<Role, Posture> = {
  standin: {
    uid: 'caller',
    capabilities: 0n,
    bounded: false,
    filters: 1,
    namespaces: [],
    dumpable: true,
    descriptors: [/^socket:/, /^anon_inode:\[signalfd\]$/],
    sockets: 2,
    root: null,
  },
  init: { ...guest, dumpable: false, descriptors: [], sockets: 0 },
  sentry: {
    ...guest,
    filters: 2,
    dumpable: false,
    descriptors: [...STREAMS, ...ANONYMOUS, /^anon_inode:\[pidfd\]$/, /^\/memfd:/, /^\/attach\/0\//, COUNTER, FUSE_DEVICE],
    sockets: -1,
  },
  stub: traced ? { ...guest, dumpable: false, sockets: -2 } : guest,
  guest: traced ? { ...guest, filters: 2, sockets: -2 } : guest,
  gofer: {
    uid: 'caller',
    capabilities: FILE_CAPABILITIES,
    bounded: true,
    filters: 2,
    namespaces: SEPARATE, // and `user` for an ordinary user
    dumpable: false,
    descriptors: [...STREAMS, ...ANONYMOUS, /^\/attach\/0(\/|$)/],
    sockets: 1,
    root: /^\/(bin(\/node)?|dist|lib(64)?|lib\/[^/]*|usr(\/lib(64)?)?|attach(\/0)?)$/,
  },
};

/** A call made in the process's name, its arguments as test/security/inject.c takes them, and the answer. */
export interface Probe {
  call: string;
  nr: number;
  args: (string | number)[];
  answer: number | 'gone';
}

const AT_FDCWD = -100;
const EPERM = -1;
const EBADF = -9;
const ENOMEM = -12;

const refused = (call: string, n: number, ...args: (string | number)[]): Probe => ({ call, nr: n, args, answer: EPERM });
const fatal = (call: string, n: number, ...args: (string | number)[]): Probe => ({ call, nr: n, args, answer: 'gone' });

export const SENTRY_REFUSED: readonly Probe[] = [
  { call: 'getpid()', nr: nr.SYS_getpid, args: [], answer: 3 }, // the probe itself works, and the pid namespace is the sandbox's
  refused('openat of a file of its root', nr.SYS_openat, AT_FDCWD, '@/dist/sentry.cjs', 0),
  refused('open', nr.SYS_open, '@/dist/sentry.cjs', 0),
  refused('stat', nr.SYS_stat, '@/dist', 0),
  refused('newfstatat of a path', nr.SYS_newfstatat, AT_FDCWD, '@/dist', 0, 0),
  refused('statx', nr.SYS_statx, AT_FDCWD, '@/dist', 0, 0, 0),
  refused('access', nr.SYS_access, '@/dist', 0),
  refused('readlink', nr.SYS_readlink, '@/lib64', 0, 0),
  refused('unlink', nr.SYS_unlink, '@/dist'),
  refused('mkdir', nr.SYS_mkdir, '@/x', 0),
  refused('chdir', nr.SYS_chdir, '@/dist'),
  refused('chmod', nr.SYS_chmod, '@/dist', 0),
  refused('fork by clone', nr.SYS_clone, 17),
  refused('thread by clone', nr.SYS_clone, 0x3d0f00),
  refused('clone3', nr.SYS_clone3, 0, 88),
  refused('mmap of executable memory', nr.SYS_mmap, 0, 4096, 7, 0x22, -1, 0),
  refused('memfd_create with other flags', nr.SYS_memfd_create, '@x', 4),
  refused('tgkill with SIGKILL', nr.SYS_tgkill, 2, 2, 9),
  refused('pidfd_send_signal with SIGTERM', nr.SYS_pidfd_send_signal, 0, 15, 0, 0),
  refused('pidfd_open of a thread', nr.SYS_pidfd_open, 2, 0x80),
  refused('prctl(PR_SET_DUMPABLE)', nr.SYS_prctl, 4, 1),
  refused('prctl(PR_SET_NO_NEW_PRIVS)', nr.SYS_prctl, 38, 1),
  refused('ioctl(TIOCSTI)', nr.SYS_ioctl, 2, 0x5412, '@x'),
  refused('ioctl(TIOCSCTTY)', nr.SYS_ioctl, 2, 0x540e, 0),
  refused('fcntl(F_SETOWN)', nr.SYS_fcntl, 2, 8, 1),
  refused('futex(FUTEX_LOCK_PI)', nr.SYS_futex, 0, 6, 0, 0),
  refused('accept4 of a descriptor that programs would inherit', nr.SYS_accept4, 4, 0, 0, 0),
  refused('setsockopt(SO_ATTACH_FILTER)', nr.SYS_setsockopt, 5, 1, 26, '@xxxx', 4),
  refused('getsockopt(SO_PEERPIDFD)', nr.SYS_getsockopt, 5, 1, 77, '@xxxx', '@xxxx'),
  refused('accept', nr.SYS_accept, 4, 0, 0),
  refused('socketpair of streams', nr.SYS_socketpair, 1, 1, 0, 0),
  refused('setsockopt(SO_RCVBUFFORCE)', nr.SYS_setsockopt, 5, 1, 33, '@xxxx', 4),
  refused('sendto', nr.SYS_sendto, 5, '@x', 1, 0, 0, 0),
  refused('shmget', nr.SYS_shmget, 0, 4096, 0o1600),
  refused('inotify_init1', nr.SYS_inotify_init1, 0),
  refused('timerfd_create', nr.SYS_timerfd_create, 1, 0),
  refused('prlimit64', nr.SYS_prlimit64, 2, 7, 0, 0),
  refused('sched_setaffinity', nr.SYS_sched_setaffinity, 2, 0, 0),
  refused('personality', nr.SYS_personality, 0xffffffff),
  refused('seccomp', nr.SYS_seccomp, 1, 0, 0),
  refused('sethostname', nr.SYS_sethostname, '@x', 1),
  refused('getdents64', nr.SYS_getdents64, 0, 0, 0),
  { call: 'read of a closed descriptor', nr: nr.SYS_read, args: [999999, 0, 0], answer: EBADF },
];

/** With --jitless nothing of Sentry and Gofer becomes executable any more. */
export const JITLESS_REFUSED: readonly Probe[] = [
  refused('mprotect to executable', nr.SYS_mprotect, 0x10000, 4096, 5),
  refused('mmap of executable memory', nr.SYS_mmap, 0, 4096, 5, 0x22, -1, 0),
  { call: 'mprotect to writable', nr: nr.SYS_mprotect, args: [0x10000, 4096, 3], answer: ENOMEM },
];

/** Each of them ends the Sentry, and with it the sandbox. */
export const SENTRY_FATAL: readonly Probe[] = [
  fatal('execve', nr.SYS_execve, '@/bin/node', 0, 0),
  fatal('socket', nr.SYS_socket, 1, 1, 0),
  fatal('fork', nr.SYS_fork),
  fatal('kill', nr.SYS_kill, 2, 9),
  fatal('ptrace', nr.SYS_ptrace, 16, 2),
  fatal('getpid of x32', 0x40000000 + nr.SYS_getpid),
];

export const GOFER_REFUSED: readonly Probe[] = [
  { call: 'getpid()', nr: nr.SYS_getpid, args: [], answer: 1 },
  refused('socket', nr.SYS_socket, 1, 1, 0),
  refused('connect', nr.SYS_connect, 4, 0, 0),
  refused('fork by clone', nr.SYS_clone, 17),
  refused('clone3', nr.SYS_clone3, 0, 88),
  refused('kill', nr.SYS_kill, 1, 0),
  refused('setuid', nr.SYS_setuid, 0),
  refused('ioctl', nr.SYS_ioctl, 2, 0x5401, 0),
  refused('memfd_create', nr.SYS_memfd_create, '@x', 0),
  refused('mmap of executable memory', nr.SYS_mmap, 0, 4096, 5, 0x22, -1, 0),
];

export const GOFER_FATAL: readonly Probe[] = [
  fatal('execve', nr.SYS_execve, '@/bin/node', 0, 0),
  fatal('mount', nr.SYS_mount, '@x', '@/', '@tmpfs', 0, 0),
  fatal('ptrace', nr.SYS_ptrace, 16, 1),
  fatal('open_by_handle_at', nr.SYS_open_by_handle_at, 3, 0, 0),
];

/** The launcher's own processes know a handful of calls; any other ends them. */
export const INIT_FATAL: readonly Probe[] = [fatal('openat', nr.SYS_openat, AT_FDCWD, '@/', 0), fatal('getpid', nr.SYS_getpid)];
export const STANDIN_FATAL: readonly Probe[] = [
  fatal('openat', nr.SYS_openat, AT_FDCWD, '@/', 0),
  fatal('kill of a stranger', nr.SYS_kill, 999999, 0),
  fatal('ioctl(TIOCSTI)', nr.SYS_ioctl, 0, 0x5412, 0),
];
