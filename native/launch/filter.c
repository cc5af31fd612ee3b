// The seccomp filters of the launcher's own long-lived processes: the sandbox's first process and the stand-ins. Both run no guest code and
// read next to nothing from anybody; a call that is not listed ends them.
#define _GNU_SOURCE
#include "launch.h"
#include "../include/arch.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define FIELD(name) ((unsigned)offsetof(struct seccomp_data, name))
#define LOAD(offset) ((struct sock_filter){BPF_LD | BPF_W | BPF_ABS, 0, 0, (offset)})
#define EQUAL(k, yes, no) ((struct sock_filter){BPF_JMP | BPF_JEQ | BPF_K, (yes), (no), (unsigned)(k)})
#define RETURN(k) ((struct sock_filter){BPF_RET | BPF_K, 0, 0, (unsigned)(k)})
#define ALLOW RETURN(SECCOMP_RET_ALLOW)
#define MAX_PROGRAM 96

static struct sock_filter program[MAX_PROGRAM];
static unsigned short length;

static void add(struct sock_filter f) {
  if (length == MAX_PROGRAM) die("the filter is too long");
  program[length++] = f;
}

static void begin(void) {
  length = 0;
  add(LOAD(FIELD(arch)));
  add(EQUAL(RF_AUDIT_ARCH, 1, 0));
  add(RETURN(SECCOMP_RET_KILL_PROCESS));
  add(LOAD(FIELD(nr)));
}

static void allow(const int *calls, size_t n) {
  for (size_t i = 0; i < n; i++) {
    add(EQUAL(calls[i], 0, 1));
    add(ALLOW);
  }
}

// The call is allowed when the low half of an argument has this value.
static void allow_with(int call, int argument, unsigned value) {
  add(EQUAL(call, 0, 4));
  add(LOAD(FIELD(args) + 8u * (unsigned)argument));
  add(EQUAL(value, 0, 1));
  add(ALLOW);
  add(LOAD(FIELD(nr)));
}

static void install(void) {
  add(RETURN(SECCOMP_RET_KILL_PROCESS));
  struct sock_fprog f = {length, program};
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &f, 0, 0) < 0) {
    if (errno == EINVAL) die("the kernel has no seccomp filters (CONFIG_SECCOMP_FILTER)");
    die("cannot install a seccomp filter: %s", strerror(errno));
  }
}

// pid 1 of the sandbox: waits, and ends.
void confine_init(void) {
  static const int calls[] = {SYS_wait4, SYS_exit_group, SYS_exit, SYS_rt_sigreturn, SYS_restart_syscall};
  begin();
  allow(calls, sizeof calls / sizeof *calls);
  install();
}

// A stand-in: its descriptors, its children, SIGKILL to them.
void confine_standin(pid_t box, pid_t gofer) {
  static const int calls[] = {SYS_poll,     SYS_ppoll,  SYS_read,      SYS_write,         SYS_recvfrom,   SYS_sendto,       SYS_pwrite64,
                              SYS_wait4,    SYS_close,  SYS_exit_group, SYS_exit,         SYS_rt_sigreturn, SYS_rt_sigtimedwait, SYS_restart_syscall,
                              SYS_clock_gettime, SYS_pread64};
  begin();
  allow(calls, sizeof calls / sizeof *calls);
  allow_with(SYS_ioctl, 1, 0x5402 /* TCSETS */);
  if (box > 0) allow_with(SYS_kill, 0, (unsigned)box);
  if (gofer > 0) allow_with(SYS_kill, 0, (unsigned)gofer);
  install();
}
