// Host system calls of the tracer, and the few kernel structures that it needs. Freestanding: a C library would register restartable
// sequences and the like, which the guests, copies of this process, would inherit.
#ifndef RINGFENCE_TRACER_SYS_H
#define RINGFENCE_TRACER_SYS_H

#include "../../common/common.h"

#include <asm/ptrace-abi.h>
#include <asm/sigcontext.h>
#include <linux/elf.h>
#include <linux/ptrace.h>
#include <sys/user.h>

// One program: addresses are computed from rip, not looked up.
#pragma GCC visibility push(hidden)

#define NR_mseal 462 // younger than many header files

#define EPERM 1
#define ESRCH 3
#define EINTR 4
#define EIO 5
#define ECHILD 10
#define EAGAIN 11
#define ENOMEM 12
#define ENOSYS 38
#define EPROTO 71

#define PROT_READ 1
#define PROT_WRITE 2
#define MAP_SHARED 1
#define MAP_PRIVATE 2
#define MAP_FIXED 0x10
#define MAP_ANONYMOUS 0x20
#define MSG_DONTWAIT 0x40
#define FUTEX_WAKE 1
#define F_SETOWN 8
#define F_GETFL 3
#define F_SETFL 4
#define O_NONBLOCK 04000
#define O_ASYNC 020000
#define WNOHANG 1
#define WALL 0x40000000

#define SIGILL 4
#define SIGTRAP 5
#define SIGBUS 7
#define SIGFPE 8
#define SIGKILL 9
#define SIGUSR1 10
#define SIGSEGV 11
#define SIGPIPE 13
#define SIGCHLD 17
#define SIGSTOP 19
#define SIGIO 29
#define SIGSYS 31
#define SIG_DFL 0
#define SIG_IGN 1
#define SI_KERNEL 0x80
#define SYSCALL_STOP (SIGTRAP | 0x80) // PTRACE_O_TRACESYSGOOD

#define SA_SIGINFO 4
#define SA_RESTORER 0x04000000
#define SA_NODEFER 0x40000000

#define CLOCK_THREAD_CPUTIME_ID 3
#define RUSAGE_SELF 0
#define RUSAGE_THREAD 1
#define RLIMIT_CORE 4
#define RLIMIT_NOFILE 7

#define ARCH_SET_GS 0x1001
#define ARCH_SET_FS 0x1002

// The guests' descriptors are the tracer's: what the Sentry sends can be mapped at once. No call of a guest ever names one.
#define CLONE_SEED_FLAGS (0x400 | SIGCHLD)          // CLONE_FILES
#define CLONE_FORK_FLAGS (0x8000 | 0x400 | SIGCHLD) // CLONE_PARENT | CLONE_FILES
#define CLONE_THREAD_FLAGS 0x50f00                  // CLONE_VM | FS | FILES | SIGHAND | THREAD | SYSVSEM

// struct sigaction of the kernel.
struct kernel_sigaction {
  u64 handler;
  u64 flags;
  u64 restorer;
  u64 mask;
};

struct iovec {
  void *base;
  u64 length;
};

// siginfo_t, as far as faults fill it.
struct fault_info {
  int signo;
  int error;
  int code;
  int pad;
  u64 address; // si_addr, or si_call_addr
  int syscall;
  u32 arch;
  char rest[128 - 32];
};

static inline s64 ptrace(u64 request, int tid, u64 address, u64 data) { return sys4(__NR_ptrace, request, (u64)tid, address, data); }

static inline u32 load(const u32 *p) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }

#endif
