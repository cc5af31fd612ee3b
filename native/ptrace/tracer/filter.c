// Seccomp filters. The tracer's own lets through what its code calls, and, since guests inherit it, what they are told to call. The guests'
// second one, on top, lets through these calls only, and only from the page's `syscall`. Guest code cannot make a call at all, and a mistake
// of the tracer's would find this second wall. What is refused traps: the vsyscall page asks the filters and nobody else.
#include "tracer.h"

#include <linux/audit.h>
#include <linux/bpf_common.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>

#define OFFSET_NR 0
#define OFFSET_ARCH 4
#define OFFSET_IP 8
#define OFFSET_ARG(n) (16 + 8 * (n))

#define LOAD(offset) {BPF_LD | BPF_W | BPF_ABS, 0, 0, (offset)}
#define TRAP {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_TRAP}
#define ALLOW {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}
// Equal: next instruction; else skip `n`.
#define UNLESS(k, n) {BPF_JMP | BPF_JEQ | BPF_K, 0, (n), (u32)(k)}
#define IF(k, n) {BPF_JMP | BPF_JEQ | BPF_K, (n), 0, (u32)(k)}
#define PERMIT(nr) UNLESS(nr, 1), ALLOW
// The call is allowed when the low half of an argument is one of two values.
#define PERMIT_ARG(nr, arg, a, b) UNLESS(nr, 5), LOAD(OFFSET_ARG(arg)), IF(a, 1), UNLESS(b, 1), ALLOW, TRAP
// A call that was taken away from a thread on its way into the kernel (PTRACE_SYSCALL).
#define NO_CALL UNLESS(~0U, 1), {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | ENOSYS}

#define HEAD LOAD(OFFSET_NR), NO_CALL, LOAD(OFFSET_ARCH), IF(RF_AUDIT_ARCH, 1), TRAP, LOAD(OFFSET_NR)

// What guests are told to call in their own address space.
#define MEMORY_CALLS \
  PERMIT(__NR_mmap), PERMIT(__NR_munmap), PERMIT(__NR_mprotect), PERMIT(__NR_mremap), PERMIT(__NR_madvise), PERMIT(__NR_msync), \
      PERMIT(__NR_mincore), PERMIT(__NR_membarrier), PERMIT(NR_mseal), PERMIT(__NR_getrusage), PERMIT(__NR_exit)

#define PAGE_SYSCALL 0x7ff000001002ULL // behind the instruction, as the kernel reports it; seed.c compares

static const struct sock_filter guest_code[] = {
    HEAD,
    LOAD(OFFSET_IP + 4),
    IF(PAGE_SYSCALL >> 32, 1),
    TRAP,
    LOAD(OFFSET_IP),
    IF((u32)PAGE_SYSCALL, 1),
    TRAP,
    LOAD(OFFSET_NR),
    MEMORY_CALLS,
    PERMIT_ARG(__NR_clock_gettime, 0, CLOCK_THREAD_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID),
    PERMIT_ARG(__NR_clone, 0, CLONE_FORK_FLAGS, CLONE_THREAD_FLAGS),
    PERMIT_ARG(__NR_prctl, 0, PR_SET_PTRACER, PR_SET_PTRACER),
    PERMIT_ARG(__NR_write, 2, sizeof(struct rf_message), sizeof(struct rf_message)),
    TRAP,
};

static const struct sock_filter tracer_code[] = {
    HEAD,
    PERMIT(__NR_wait4),
    UNLESS(__NR_ptrace, 17),
    LOAD(OFFSET_ARG(0)),
    IF(PTRACE_SYSEMU, 14),
    IF(PTRACE_SYSCALL, 13),
    IF(PTRACE_CONT, 12),
    IF(PTRACE_GETREGS, 11),
    IF(PTRACE_SETREGS, 10),
    IF(PTRACE_POKEUSR, 9),
    IF(PTRACE_GETREGSET, 8),
    IF(PTRACE_SETREGSET, 7),
    IF(PTRACE_GETSIGINFO, 6),
    IF(PTRACE_GETEVENTMSG, 5),
    IF(PTRACE_GET_SYSCALL_INFO, 4),
    IF(PTRACE_SEIZE, 3),
    IF(PTRACE_INTERRUPT, 2),
    IF(PTRACE_LISTEN, 1),
    TRAP,
    ALLOW,
    PERMIT(__NR_process_vm_readv),
    PERMIT(__NR_process_vm_writev),
    PERMIT(__NR_write),
    PERMIT(__NR_recvmsg),
    PERMIT(__NR_close),
    PERMIT_ARG(__NR_futex, 1, FUTEX_WAKE, FUTEX_WAKE),
    PERMIT(__NR_rt_sigreturn),
    PERMIT(__NR_tgkill),
    PERMIT_ARG(__NR_kill, 1, SIGKILL, SIGKILL),
    MEMORY_CALLS,
    PERMIT(__NR_exit_group),
    PERMIT(__NR_clock_gettime),
    UNLESS(__NR_clone, 7),
    LOAD(OFFSET_ARG(0)),
    IF(CLONE_FORK_FLAGS, 4),
    IF(CLONE_THREAD_FLAGS, 3),
    IF(CLONE_SEED_FLAGS, 2),
    IF(SIGCHLD, 1),
    TRAP,
    ALLOW,
    UNLESS(__NR_prctl, 6),
    LOAD(OFFSET_ARG(0)),
    IF(PR_SET_PTRACER, 3),
    IF(PR_SET_PDEATHSIG, 2),
    IF(PR_SET_DUMPABLE, 1),
    TRAP,
    ALLOW,
    // What a seed is made with, and a further tracer.
    PERMIT(__NR_pause),
    PERMIT(__NR_rt_sigaction),
    PERMIT_ARG(__NR_seccomp, 0, SECCOMP_SET_MODE_FILTER, SECCOMP_SET_MODE_FILTER),
    PERMIT_ARG(__NR_fcntl, 1, F_SETOWN, F_SETFL),
    PERMIT(__NR_getpid),
    PERMIT(__NR_dup3),
    PERMIT(__NR_close_range),
    TRAP,
};

const struct filter guest_filter = {sizeof guest_code / sizeof guest_code[0], guest_code};

s64 install_filter(void) {
  const struct filter own = {sizeof tracer_code / sizeof tracer_code[0], tracer_code};
  s64 r = sys3(__NR_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, (u64)&own);
  if (r == -EINVAL) r = sys3(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, (u64)&own);
  return r;
}
