// What the gofer may ask of the host's kernel once it serves: names below its attach points, one socket, and what node itself needs.

import { FUTEX_CLOCK_REALTIME, FUTEX_PRIVATE_FLAG, FUTEX_WAIT, FUTEX_WAIT_BITSET, FUTEX_WAKE } from '../abi/futex.ts';
import { PROT_EXEC } from '../abi/mman.ts';
import * as nr from '../abi/nr.ts';
import type { ArgumentRule, FilterPlan } from '../host/seccomp.ts';

const ALL = 0xffffffff;

export const GOFER_FILTER: FilterPlan = {
  allow: [
    // requests and answers
    nr.SYS_recvmsg,
    nr.SYS_sendmsg,
    // names and attributes
    nr.SYS_openat2,
    nr.SYS_newfstatat,
    nr.SYS_fstat,
    nr.SYS_close,
    nr.SYS_statx,
    nr.SYS_openat,
    nr.SYS_getdents64,
    nr.SYS_readlinkat,
    nr.SYS_mkdirat,
    nr.SYS_mknodat,
    nr.SYS_symlinkat,
    nr.SYS_linkat,
    nr.SYS_unlinkat,
    nr.SYS_renameat2,
    nr.SYS_fchownat,
    nr.SYS_fchmod,
    nr.SYS_fchmodat2,
    nr.SYS_chmod,
    nr.SYS_utimensat,
    nr.SYS_ftruncate,
    nr.SYS_fstatfs,
    nr.SYS_fcntl,
    nr.SYS_getxattrat,
    nr.SYS_setxattrat,
    nr.SYS_listxattrat,
    nr.SYS_removexattrat,
    nr.SYS_fgetxattr,
    nr.SYS_fsetxattr,
    nr.SYS_flistxattr,
    nr.SYS_fremovexattr,
    nr.SYS_getxattr,
    nr.SYS_setxattr,
    nr.SYS_listxattr,
    nr.SYS_removexattr,
    // node and V8: memory, threads that stand already, clocks, the log, the end
    nr.SYS_futex,
    nr.SYS_mmap,
    nr.SYS_munmap,
    nr.SYS_mprotect,
    nr.SYS_madvise,
    nr.SYS_mremap,
    nr.SYS_brk,
    nr.SYS_read,
    nr.SYS_write,
    nr.SYS_writev,
    nr.SYS_poll,
    nr.SYS_ppoll,
    nr.SYS_epoll_wait,
    nr.SYS_epoll_pwait,
    nr.SYS_epoll_ctl,
    nr.SYS_clock_gettime,
    nr.SYS_clock_nanosleep,
    nr.SYS_nanosleep,
    nr.SYS_gettimeofday,
    nr.SYS_getpid,
    nr.SYS_gettid,
    nr.SYS_getrandom,
    nr.SYS_getrusage,
    nr.SYS_sched_yield,
    nr.SYS_sched_getaffinity,
    nr.SYS_sched_getparam,
    nr.SYS_sched_getscheduler,
    nr.SYS_rt_sigaction,
    nr.SYS_rt_sigprocmask,
    nr.SYS_rt_sigreturn,
    nr.SYS_sigaltstack,
    nr.SYS_restart_syscall,
    nr.SYS_rseq,
    nr.SYS_set_robust_list,
    nr.SYS_membarrier,
    nr.SYS_exit,
    nr.SYS_exit_group,
  ],
  kill: [
    nr.SYS_execve,
    nr.SYS_execveat,
    nr.SYS_ptrace,
    nr.SYS_process_vm_readv,
    nr.SYS_process_vm_writev,
    nr.SYS_pidfd_getfd,
    nr.SYS_mount,
    nr.SYS_umount2,
    nr.SYS_pivot_root,
    nr.SYS_chroot,
    nr.SYS_setns,
    nr.SYS_unshare,
    nr.SYS_open_by_handle_at,
    nr.SYS_bpf,
    nr.SYS_perf_event_open,
    nr.SYS_userfaultfd,
    nr.SYS_io_uring_setup,
    nr.SYS_init_module,
    nr.SYS_finit_module,
    nr.SYS_kexec_load,
    nr.SYS_keyctl,
    nr.SYS_add_key,
    nr.SYS_request_key,
  ],
};

/** The filter with checks of arguments: no executable memory but what V8 makes by mprotect(2), and without `jit` not even that. */
export function goferFilter(jit: boolean): FilterPlan {
  const rules: ArgumentRule[] = [
    {
      nr: nr.SYS_futex,
      arg: 1,
      mask: ALL - FUTEX_PRIVATE_FLAG - FUTEX_CLOCK_REALTIME,
      values: [FUTEX_WAKE, FUTEX_WAIT, FUTEX_WAIT_BITSET],
    },
    { nr: nr.SYS_mmap, arg: 2, mask: PROT_EXEC, values: [0] },
  ];
  if (!jit) rules.push({ nr: nr.SYS_mprotect, arg: 2, mask: PROT_EXEC, values: [0] });
  return { ...GOFER_FILTER, allow: GOFER_FILTER.allow.filter((n) => !rules.some((r) => r.nr === n)), rules };
}
