// The basics of ptrace.
#include "test.h"
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <elf.h>

static volatile long secret = 1111;

static pid_t traced(void (*body)(void)) {
  pid_t pid = fork();
  if (!pid) {
    CHECK_OK(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
    raise(SIGSTOP);
    body();
    _exit(0);
  }
  int st;
  CHECK_EQ(test_wait(pid, &st), pid);
  CHECK(WIFSTOPPED(st) && WSTOPSIG(st) == SIGSTOP);
  return pid;
}
static void check_secret(void) { _exit(secret == 2222 ? 42 : 1); }
static void nothing(void) {}
static void one_call(void) { syscall(SYS_getpgid, 0); }
static void get_signal(void) {
  signal(SIGUSR1, SIG_IGN);
  raise(SIGUSR2);
}

TEST(traceme_and_continue, ptrace) {
  pid_t pid = traced(nothing);
  CHECK_EQ(task_state(pid, pid), 't');
  CHECK_OK(ptrace(PTRACE_CONT, pid, NULL, NULL));
  WAIT_OK(pid);
}

TEST(peek_and_poke, ptrace) {
  pid_t pid = traced(check_secret);
  errno = 0;
  CHECK_EQ(ptrace(PTRACE_PEEKDATA, pid, &secret, NULL), 1111);
  CHECK_OK(ptrace(PTRACE_POKEDATA, pid, &secret, 2222));
  CHECK_EQ(secret, 1111);
  CHECK_ERRNO(ptrace(PTRACE_PEEKDATA, pid, 8, NULL), EIO);
  CHECK_OK(ptrace(PTRACE_CONT, pid, NULL, NULL));
  WAIT_STATUS(pid, 42 << 8);
}

TEST(registers, ptrace) {
  pid_t pid = traced(nothing);
  struct user_regs_struct r, s;
  CHECK_OK(ptrace(PTRACE_GETREGS, pid, NULL, &r));
  CHECK(r.rip != 0 && r.rsp != 0 && r.cs == 0x33);
  struct iovec v = {&s, sizeof s};
  CHECK_OK(ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &v));
  CHECK(s.rip == r.rip && s.rsp == r.rsp);
  CHECK_OK(ptrace(PTRACE_SETREGS, pid, NULL, &r));
  CHECK_OK(ptrace(PTRACE_CONT, pid, NULL, NULL));
  WAIT_OK(pid);
}

TEST(system_call_stops, ptrace) {
  pid_t pid = traced(one_call);
  CHECK_OK(ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD));
  int st, stops = 0;
  bool seen = false;
  for (;;) {
    CHECK_OK(ptrace(PTRACE_SYSCALL, pid, NULL, NULL));
    CHECK_EQ(test_wait(pid, &st), pid);
    if (!WIFSTOPPED(st)) break;
    CHECK_EQ(WSTOPSIG(st), SIGTRAP | 0x80);
    struct user_regs_struct r;
    CHECK_OK(ptrace(PTRACE_GETREGS, pid, NULL, &r));
    seen |= r.orig_rax == SYS_getpgid;
    stops++;
  }
  CHECK(seen && stops >= 3 && st == 0);
}

TEST(signals_are_shown_first, ptrace) {
  pid_t pid = traced(get_signal);
  int st;
  CHECK_OK(ptrace(PTRACE_CONT, pid, NULL, NULL));
  CHECK_EQ(test_wait(pid, &st), pid);
  CHECK(WIFSTOPPED(st) && WSTOPSIG(st) == SIGUSR2);
  siginfo_t si;
  CHECK_OK(ptrace(PTRACE_GETSIGINFO, pid, NULL, &si));
  CHECK_EQ(si.si_signo, SIGUSR2);
  CHECK_OK(ptrace(PTRACE_CONT, pid, NULL, NULL)); // swallowed
  WAIT_OK(pid);
}

TEST(attach_and_detach, ptrace) {
  pid_t pid = fork();
  if (!pid)
    for (;;) pause();
  int st;
  CHECK_OK(ptrace(PTRACE_ATTACH, pid, NULL, NULL));
  CHECK_EQ(test_wait(pid, &st), pid);
  CHECK(WIFSTOPPED(st));
  CHECK_OK(ptrace(PTRACE_DETACH, pid, NULL, NULL));
  CHECK_ERRNO(ptrace(PTRACE_CONT, pid, NULL, NULL), ESRCH);
  CHECK_OK(kill(pid, SIGKILL));
  WAIT_STATUS(pid, SIGKILL);
  CHECK_ERRNO(ptrace(PTRACE_ATTACH, 0x3fffff, NULL, NULL), ESRCH);
}

TEST(exec_stop, ptrace) {
  pid_t pid = fork();
  if (!pid) {
    CHECK_OK(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
    execl("/bin/true", "true", NULL);
    _exit(1);
  }
  int st;
  CHECK_EQ(test_wait(pid, &st), pid);
  CHECK(WIFSTOPPED(st) && WSTOPSIG(st) == SIGTRAP);
  CHECK_OK(ptrace(PTRACE_CONT, pid, NULL, NULL));
  WAIT_OK(pid);
}

TEST(tracer_exit_frees, ptrace) {
  pid_t pid = fork();
  if (!pid)
    for (;;) pause();
  pid_t tracer = fork();
  if (!tracer) {
    int st;
    CHECK_OK(ptrace(PTRACE_SEIZE, pid, NULL, NULL));
    CHECK_OK(ptrace(PTRACE_INTERRUPT, pid, NULL, NULL));
    CHECK_EQ(test_wait(pid, &st), pid);
    _exit(0);
  }
  WAIT_OK(tracer);
  CHECK_OK(kill(pid, SIGTERM));
  WAIT_STATUS(pid, SIGTERM);
}
