// The seccomp filter of every guest process. Guest code cannot make a host system call: only instructions of the stub's own text may,
// and a guest that jumps there finds calls that reach its own address space, its socket to the Sentry and the doorbell, nothing else.
#include "sys.h"

#include <linux/audit.h>
#include <linux/bpf_common.h>
#include <linux/filter.h>
#ifdef STUB_KVM
#include <linux/kvm.h>
#endif
#include <linux/prctl.h>
#include <linux/seccomp.h>

#define OFFSET_NR 0
#define OFFSET_ARCH 4
#define OFFSET_IP 8
#define OFFSET_ARG(n) (16 + 8 * (n))

#define LOAD(offset) {BPF_LD | BPF_W | BPF_ABS, 0, 0, (offset)}
// What a guest does by itself becomes its event. A guest in a VM makes no host call at all: another one is not the stub's.
#ifdef STUB_KVM
#define TRAP {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_PROCESS}
#else
#define TRAP {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_TRAP}
#endif
#define ALLOW {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}
// Equal: next instruction; else skip `n`.
#define UNLESS(k, n) {BPF_JMP | BPF_JEQ | BPF_K, 0, (n), (u32)(k)}
#define IF(k, n) {BPF_JMP | BPF_JEQ | BPF_K, (n), 0, (u32)(k)}
#define PERMIT(nr) UNLESS(nr, 1), ALLOW
// The call is allowed when the low half of an argument is one of two values, and its high half is zero.
#define PERMIT_ARG(nr, arg, a, b) \
  UNLESS(nr, 7), LOAD(OFFSET_ARG(arg) + 4), UNLESS(0, 4), LOAD(OFFSET_ARG(arg)), IF(a, 1), UNLESS(b, 1), ALLOW, TRAP

s64 install_filter(void) {
  const u64 start = (u64)stub_text_start;
  const u64 end = (u64)stub_text_end;
  // The instruction pointer that the kernel reports stands behind the syscall instruction: (start, end].
  struct sock_filter program[] = {
      LOAD(OFFSET_ARCH),
      IF(RF_AUDIT_ARCH, 1),
      TRAP,
      LOAD(OFFSET_IP + 4),
      IF(start >> 32, 1),
      TRAP,
      LOAD(OFFSET_IP),
      {BPF_JMP | BPF_JGT | BPF_K, 0, 1, (u32)start},
      {BPF_JMP | BPF_JGT | BPF_K, 0, 1, (u32)end},
      TRAP,
      LOAD(OFFSET_NR),
      PERMIT(__NR_rt_sigreturn),
      // FUTEX_WAIT and WAKE, and what is private to the address space: not the PI operations (6, 7, 8, 11, 12, 13).
      UNLESS(__NR_futex, 11),
      LOAD(OFFSET_ARG(1)),
      IF(FUTEX_WAIT, 7),
      IF(FUTEX_WAKE, 6),
      {BPF_ALU | BPF_AND | BPF_K, 0, 0, 0xff},
      {BPF_JMP | BPF_JGE | BPF_K, 0, 5, 0x80},
      {BPF_JMP | BPF_JGT | BPF_K, 4, 0, 0x8a},
      IF(0x86, 3),
      IF(0x87, 2),
      IF(0x88, 1),
      ALLOW,
      TRAP,
      PERMIT(__NR_rt_sigprocmask),
      PERMIT_ARG(__NR_write, 0, RF_DOORBELL_FD, RF_SOCKET_FD),
      PERMIT(__NR_mmap),
      PERMIT(__NR_munmap),
      PERMIT(__NR_mprotect),
      PERMIT(__NR_mremap),
      PERMIT(__NR_madvise),
      PERMIT(__NR_msync),
      PERMIT(__NR_mincore),
      PERMIT(__NR_membarrier),
      PERMIT(__NR_getrusage),
      PERMIT_ARG(__NR_clock_gettime, 0, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID),
      PERMIT_ARG(__NR_recvmsg, 0, RF_SOCKET_FD, RF_SOCKET_FD),
      PERMIT(__NR_close),
      PERMIT(__NR_close_range),
      PERMIT_ARG(__NR_dup3, 1, RF_SOCKET_FD, RF_DOORBELL_FD),
      UNLESS(__NR_clone, 8),
      LOAD(OFFSET_ARG(0) + 4),
      UNLESS(0, 5),
      LOAD(OFFSET_ARG(0)),
      IF(SIGCHLD, 2),
      IF(CLONE_FORK_FLAGS, 1),
      UNLESS(CLONE_THREAD_FLAGS, 1),
      ALLOW,
      TRAP,
#ifdef STUB_KVM
      // /dev/kvm and what came of it: these requests mean nothing to the other descriptors.
      UNLESS(__NR_ioctl, 17),
      LOAD(OFFSET_ARG(1)),
      IF(KVM_RUN, 13),
      IF(KVM_SET_USER_MEMORY_REGION, 12),
      IF(KVM_GET_XSAVE, 11),
      IF(KVM_GET_XSAVE2, 10),
      IF(KVM_SET_XSAVE, 9),
      IF(KVM_CREATE_VM, 8),
      IF(KVM_CREATE_VCPU, 7),
      IF(KVM_SET_TSS_ADDR, 6),
      IF(KVM_GET_SREGS, 5),
      IF(KVM_SET_SREGS, 4),
      IF(KVM_SET_CPUID2, 3),
      IF(KVM_SET_MSRS, 2),
      IF(KVM_SET_XCRS, 1),
      UNLESS(KVM_SET_DEVICE_ATTR, 1),
      ALLOW,
      TRAP,
#else
      PERMIT(__NR_sigaltstack),
#endif
      PERMIT(NR_mseal),
      PERMIT(__NR_exit),
      PERMIT(__NR_exit_group),
#ifndef STUB_KVM
      UNLESS(__NR_arch_prctl, 5),
      LOAD(OFFSET_ARG(0)),
      {BPF_JMP | BPF_JGE | BPF_K, 0, 2, ARCH_SET_GS},
      {BPF_JMP | BPF_JGT | BPF_K, 1, 0, ARCH_GET_GS},
      ALLOW,
      TRAP,
#endif
      UNLESS(__NR_prctl, 7),
      LOAD(OFFSET_ARG(0)),
      IF(PR_SET_PTRACER, 3),
      UNLESS(PR_SET_PDEATHSIG, 3),
      LOAD(OFFSET_ARG(1)),
      UNLESS(SIGKILL, 1),
      ALLOW,
      TRAP,
      TRAP,
  };
  const struct sock_fprog fprog = {sizeof program / sizeof program[0], program};
  s64 r = sys3(__NR_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, (u64)&fprog);
  if (r == -EINVAL) r = sys3(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, (u64)&fprog);
  return r;
}
