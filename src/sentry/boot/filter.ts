// What the Sentry may ask of the host's kernel from the first guest instruction on: its descriptors, its guests' memory, its own memory.
//
// No name is resolved, no program started, no process or thread made, no socket opened. What no code of ours or of Node's asks for and an
// attacker would ask for first ends the process; everything else that is not listed answers EPERM, because libraries try such things and
// cope (glibc opens /proc/sys/vm/overcommit_memory, node restores terminals at its end).

import { AT_EMPTY_PATH, F_ADD_SEALS, F_DUPFD_CLOEXEC, F_GETFD, F_GETFL, F_SETFD, F_SETFL } from '../../abi/fcntl.ts';
import { FUTEX_CLOCK_REALTIME, FUTEX_PRIVATE_FLAG, FUTEX_WAIT, FUTEX_WAIT_BITSET, FUTEX_WAKE } from '../../abi/futex.ts';
import { FIONREAD, TCGETS, TCSETS, TCSETSF, TCSETSW, TIOCGWINSZ } from '../../abi/ioctl.ts';
import { PROT_EXEC } from '../../abi/mman.ts';
import * as nr from '../../abi/nr.ts';
import { PR_SET_NAME } from '../../abi/prctl.ts';
import { SIGABRT, SIGKILL, SIGUSR1 } from '../../abi/signal.ts';
import { AF_UNIX, SOCK_CLOEXEC, SOCK_SEQPACKET } from '../../abi/socket.ts';
import type { ArgumentRule, FilterPlan } from '../../host/seccomp.ts';
import { HOST_OPTIONS, type OptionNames } from '../net/host/options.ts';

const ALL = 0xffffffff;
const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;

/** Calls whose arguments can do no harm that the descriptors and the address space of this process do not do already. */
const ALLOW: readonly number[] = [
  // guests: memory, processes
  nr.SYS_process_vm_readv,
  nr.SYS_process_vm_writev,
  // descriptors that the Sentry holds
  nr.SYS_read,
  nr.SYS_write,
  nr.SYS_readv,
  nr.SYS_writev,
  nr.SYS_pread64,
  nr.SYS_pwrite64,
  nr.SYS_lseek,
  nr.SYS_fstat,
  nr.SYS_ftruncate,
  nr.SYS_fallocate,
  nr.SYS_fsync,
  nr.SYS_fdatasync,
  nr.SYS_close,
  nr.SYS_sendmsg,
  nr.SYS_recvmsg,
  nr.SYS_getsockname,
  nr.SYS_getpeername,
  nr.SYS_shutdown,
  nr.SYS_poll,
  nr.SYS_ppoll,
  nr.SYS_epoll_ctl,
  nr.SYS_epoll_wait,
  nr.SYS_epoll_pwait,
  nr.SYS_epoll_pwait2,
  // memory of this process
  nr.SYS_munmap,
  nr.SYS_mremap,
  nr.SYS_madvise,
  nr.SYS_brk,
  nr.SYS_membarrier,
  // clocks, chance, who am I
  nr.SYS_clock_gettime,
  nr.SYS_clock_nanosleep,
  nr.SYS_nanosleep,
  nr.SYS_gettimeofday,
  nr.SYS_getrandom,
  nr.SYS_getpid,
  nr.SYS_gettid,
  nr.SYS_getrusage,
  nr.SYS_sched_yield,
  nr.SYS_sched_getaffinity,
  nr.SYS_sched_getparam,
  nr.SYS_sched_getscheduler,
  // signals to this process, the first steps of a thread that node made and that did not run before, the end
  nr.SYS_set_robust_list,
  nr.SYS_rseq,
  nr.SYS_rt_sigaction,
  nr.SYS_rt_sigprocmask,
  nr.SYS_rt_sigreturn,
  nr.SYS_sigaltstack,
  nr.SYS_restart_syscall,
  nr.SYS_exit,
  nr.SYS_exit_group,
];

const KILL: readonly number[] = [
  // programs and processes
  nr.SYS_execve,
  nr.SYS_execveat,
  nr.SYS_fork,
  nr.SYS_vfork,
  nr.SYS_kill,
  nr.SYS_tkill,
  nr.SYS_rt_sigqueueinfo,
  nr.SYS_rt_tgsigqueueinfo,
  nr.SYS_ptrace,
  nr.SYS_pidfd_getfd,
  nr.SYS_process_madvise,
  // the network
  nr.SYS_socket,
  nr.SYS_connect,
  nr.SYS_bind,
  nr.SYS_listen,
  // names, mounts and namespaces
  nr.SYS_openat2,
  nr.SYS_creat,
  nr.SYS_link,
  nr.SYS_linkat,
  nr.SYS_symlink,
  nr.SYS_symlinkat,
  nr.SYS_rename,
  nr.SYS_renameat,
  nr.SYS_renameat2,
  nr.SYS_mknod,
  nr.SYS_mknodat,
  nr.SYS_name_to_handle_at,
  nr.SYS_open_by_handle_at,
  nr.SYS_mount,
  nr.SYS_umount2,
  nr.SYS_move_mount,
  nr.SYS_open_tree,
  nr.SYS_fsopen,
  nr.SYS_fsconfig,
  nr.SYS_fsmount,
  nr.SYS_fspick,
  nr.SYS_mount_setattr,
  nr.SYS_pivot_root,
  nr.SYS_chroot,
  nr.SYS_setns,
  nr.SYS_unshare,
  // identity
  nr.SYS_setuid,
  nr.SYS_setgid,
  nr.SYS_setresuid,
  nr.SYS_setresgid,
  nr.SYS_setgroups,
  nr.SYS_capset,
  // the kernel's wider surface
  nr.SYS_bpf,
  nr.SYS_perf_event_open,
  nr.SYS_userfaultfd,
  nr.SYS_io_uring_setup,
  nr.SYS_io_uring_enter,
  nr.SYS_io_uring_register,
  nr.SYS_init_module,
  nr.SYS_finit_module,
  nr.SYS_delete_module,
  nr.SYS_kexec_load,
  nr.SYS_kexec_file_load,
  nr.SYS_keyctl,
  nr.SYS_add_key,
  nr.SYS_request_key,
  nr.SYS_modify_ldt,
  nr.SYS_iopl,
  nr.SYS_ioperm,
  nr.SYS_reboot,
];

export interface SentryFilterOptions {
  /** V8 compiles at run time: it makes pages writable and executable by mprotect(2). False: nothing becomes executable any more. */
  jit: boolean;
}

function socketOptions(call: number, names: OptionNames): ArgumentRule[] {
  return names.map(([level, values]) => ({ nr: call, arg: 1, mask: ALL, values: [level], and: [{ arg: 2, mask: ALL, values }] }));
}

/** The Sentry's filter: see SECURITY.md. */
export function sentryFilter(o: SentryFilterOptions): FilterPlan {
  const rules: ArgumentRule[] = [
    // FUTEX_LOCK_PI, FUTEX_REQUEUE and their kin are not used and have a history.
    {
      nr: nr.SYS_futex,
      arg: 1,
      mask: ALL - FUTEX_PRIVATE_FLAG - FUTEX_CLOCK_REALTIME,
      values: [FUTEX_WAKE, FUTEX_WAIT, FUTEX_WAIT_BITSET],
    },
    o.jit ? { nr: nr.SYS_mprotect, arg: 0, mask: 0, values: [0] } : { nr: nr.SYS_mprotect, arg: 2, mask: PROT_EXEC, values: [0] },
    { nr: nr.SYS_mmap, arg: 2, mask: PROT_EXEC, values: [0] },
    // Away from the processor that a guest needs.
    { nr: nr.SYS_sched_setaffinity, arg: 0, mask: ALL, values: [0] },
    // A thread of a guest is interrupted; abort(3) of this process.
    { nr: nr.SYS_tgkill, arg: 2, mask: ALL, values: [SIGUSR1, SIGABRT] },
    { nr: nr.SYS_pidfd_send_signal, arg: 1, mask: ALL, values: [SIGKILL], and: [{ arg: 3, mask: ALL, values: [0] }] },
    { nr: nr.SYS_pidfd_open, arg: 1, mask: ALL, values: [0] },
    { nr: nr.SYS_memfd_create, arg: 1, mask: ALL, values: [MFD_CLOEXEC, MFD_CLOEXEC | MFD_ALLOW_SEALING] },
    { nr: nr.SYS_fcntl, arg: 1, mask: ALL, values: [F_ADD_SEALS, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD] },
    {
      nr: nr.SYS_socketpair,
      arg: 0,
      mask: ALL,
      values: [AF_UNIX],
      and: [
        { arg: 1, mask: ALL, values: [SOCK_SEQPACKET | SOCK_CLOEXEC] },
        { arg: 2, mask: ALL, values: [0] },
      ],
    },
    // Options of donated sockets, and connections of donated listeners and of the control socket: there is no other that listens, and
    // none can be made.
    ...socketOptions(nr.SYS_getsockopt, HOST_OPTIONS.get),
    ...socketOptions(nr.SYS_setsockopt, HOST_OPTIONS.set),
    { nr: nr.SYS_accept4, arg: 3, mask: ALL, values: [SOCK_CLOEXEC] },
    // fstat(3) of a descriptor. A path with it is resolved, but the root holds nothing.
    { nr: nr.SYS_newfstatat, arg: 3, mask: ALL, values: [AT_EMPTY_PATH] },
    { nr: nr.SYS_prctl, arg: 0, mask: ALL, values: [PR_SET_NAME] },
    // Nothing that changes a terminal.
    { nr: nr.SYS_ioctl, arg: 1, mask: ALL, values: [FIONREAD, TCGETS, TCSETS, TCSETSW, TCSETSF, TIOCGWINSZ] },
  ];
  return { allow: ALLOW, rules, kill: KILL };
}
