// seccomp(2): modes, the check of programs, every action, inheritance, threads, and what the filter sees.
#define TEST_HELPER
#include "test.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <ucontext.h>

#define NR offsetof(struct seccomp_data, nr)
#define ARCH offsetof(struct seccomp_data, arch)
#define IP offsetof(struct seccomp_data, instruction_pointer)
#define ARG(n) (offsetof(struct seccomp_data, args) + 8 * (n))
#define LOAD(off) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (off))
#define RET(v) BPF_STMT(BPF_RET | BPF_K, (v))
#define UNLESS(k, n) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (k), 0, (n))

static long put(unsigned flags, struct sock_filter *code, unsigned short n) {
  struct sock_fprog p = {n, code};
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &p);
}
#define PUT(flags, ...)                                        \
  ({                                                           \
    struct sock_filter code_[] = {__VA_ARGS__};                \
    put((flags), code_, sizeof code_ / sizeof code_[0]);       \
  })
// One call gets `action`, all others are allowed.
#define PUT_ONE(nr, action) PUT(0, LOAD(NR), UNLESS((nr), 1), RET(action), RET(SECCOMP_RET_ALLOW))

static void no_new_privs(void) { CHECK_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)); }
static int mode_in_proc(const char *field) {
  char text[8192];
  int fd = open("/proc/self/status", O_RDONLY);
  ssize_t n = read(fd, text, sizeof text - 1);
  CHECK(n > 0);
  text[n] = 0;
  close(fd);
  char *p = strstr(text, field);
  CHECK(p != NULL);
  return atoi(p + strlen(field));
}

TEST(modes_are_told) {
  CHECK_EQ(prctl(PR_GET_SECCOMP, 0, 0, 0, 0), 0);
  CHECK_EQ(mode_in_proc("Seccomp:"), 0);
  no_new_privs();
  CHECK_OK(PUT_ONE(SYS_getpgid, SECCOMP_RET_ERRNO | EXDEV));
  CHECK_EQ(prctl(PR_GET_SECCOMP, 0, 0, 0, 0), 2);
  CHECK_EQ(mode_in_proc("Seccomp:"), 2);
  CHECK_EQ(mode_in_proc("Seccomp_filters:"), 1);
  CHECK_OK(PUT_ONE(SYS_getpgid, SECCOMP_RET_ALLOW));
  CHECK_EQ(mode_in_proc("Seccomp_filters:"), 2);
}

TEST(strict) {
  pid_t pid = fork();
  if (!pid) {
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, NULL)) _exit(1);
    if (write(1, "", 0)) _exit(2);
    syscall(SYS_exit, 7);
  }
  WAIT_STATUS(pid, 7 << 8);
  pid = fork();
  if (!pid) {
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0)) _exit(1);
    syscall(SYS_getpid);
    syscall(SYS_exit, 7);
  }
  WAIT_STATUS(pid, SIGKILL);
  CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 1, NULL), EINVAL);
  CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, &pid), EINVAL);
  no_new_privs();
  CHECK_OK(PUT_ONE(SYS_getpgid, SECCOMP_RET_ALLOW));
  CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, NULL), EINVAL);
}

TEST(wrong_arguments, prctl, seccomp) {
  struct sock_filter ok[] = {RET(SECCOMP_RET_ALLOW)};
  struct sock_fprog none = {0, ok}, many = {4097, ok}, nowhere = {1, (void *)8};
  CHECK_ERRNO(syscall(SYS_seccomp, 77, 0, NULL), EINVAL);
  CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NULL), EFAULT);
  CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0x8000, NULL), EINVAL);
  CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &none), EINVAL);
  CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &many), EINVAL);
  no_new_privs();
  CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &nowhere), EFAULT);
  CHECK_ERRNO(prctl(PR_SET_SECCOMP, 3, NULL, 0, 0), EINVAL);
  CHECK_ERRNO(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL, 0, 0), EFAULT);
}

TEST(privilege_needed, prctl, seccomp) {
  pid_t pid = fork();
  if (!pid) {
    CHECK_OK(setresuid(1000, 1000, 1000));
    CHECK_ERRNO(PUT_ONE(SYS_getpgid, SECCOMP_RET_ALLOW), EACCES);
    no_new_privs();
    CHECK_OK(PUT_ONE(SYS_getpgid, SECCOMP_RET_ALLOW));
    _exit(0);
  }
  WAIT_OK(pid);
}

TEST(actions_available, seccomp) {
  unsigned good[] = {SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP, SECCOMP_RET_ERRNO,
                     SECCOMP_RET_TRACE, SECCOMP_RET_LOG, SECCOMP_RET_ALLOW};
  unsigned bad[] = {1, SECCOMP_RET_ERRNO | 1, 0x7ffd0000};
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) CHECK_OK(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &good[i]));
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
    CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &bad[i]), EOPNOTSUPP);
  CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 1, &good[0]), EINVAL);
  CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, NULL), EFAULT);
}

#define REFUSED(...) CHECK_ERRNO(PUT(0, __VA_ARGS__), EINVAL)
TEST(programs_are_checked) {
  no_new_privs();
  REFUSED(LOAD(NR));                                                            // does not end with a return
  REFUSED(LOAD(64), RET(SECCOMP_RET_ALLOW));                                    // behind the data
  REFUSED(LOAD(2), RET(SECCOMP_RET_ALLOW));                                     // not aligned
  REFUSED(BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 0), RET(SECCOMP_RET_ALLOW));       // half a word
  REFUSED(BPF_STMT(BPF_LD | BPF_W | BPF_IND, 0), RET(SECCOMP_RET_ALLOW));       // by index
  REFUSED(BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0), RET(SECCOMP_RET_ALLOW));      // of packets
  REFUSED(BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, 2), RET(SECCOMP_RET_ALLOW));      // not of seccomp's
  REFUSED(BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0), RET(SECCOMP_RET_ALLOW));      // by zero
  REFUSED(BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 32), RET(SECCOMP_RET_ALLOW));     // too far
  REFUSED(BPF_STMT(BPF_LD | BPF_MEM, 16), RET(SECCOMP_RET_ALLOW));              // no such word
  REFUSED(BPF_STMT(BPF_LD | BPF_MEM, 1), RET(SECCOMP_RET_ALLOW));               // never stored
  REFUSED(BPF_STMT(BPF_JMP | BPF_JA, 1), RET(SECCOMP_RET_ALLOW));               // out of the program
  REFUSED(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1), RET(SECCOMP_RET_ALLOW));
  REFUSED(BPF_STMT(0xffff, 0), RET(SECCOMP_RET_ALLOW));
  // Stored on one of two paths only.
  REFUSED(LOAD(NR), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 1), BPF_STMT(BPF_ST, 3), BPF_STMT(BPF_LD | BPF_MEM, 3), RET(SECCOMP_RET_ALLOW));
  CHECK_EQ(prctl(PR_GET_SECCOMP, 0, 0, 0, 0), 0);
}

// Arithmetic over the first argument of getpgid, whose result is the errno.
#define COMPUTES(want, ...)                                                                                              \
  do {                                                                                                                   \
    pid_t pid_ = fork();                                                                                                 \
    if (!pid_) {                                                                                                         \
      no_new_privs();                                                                                                    \
      CHECK_OK(PUT(0, LOAD(NR), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpgid, 1, 0), RET(SECCOMP_RET_ALLOW),            \
                   LOAD(ARG(0)), __VA_ARGS__, BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xff),                                  \
                   BPF_STMT(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO), BPF_STMT(BPF_RET | BPF_A, 0)));                 \
      errno = 0;                                                                                                         \
      syscall(SYS_getpgid, 100);                                                                                         \
      CHECK_EQ(errno, (want));                                                                                           \
      _exit(0);                                                                                                          \
    }                                                                                                                    \
    WAIT_OK(pid_);                                                                                                       \
  } while (0)
#define ALU(op, v) BPF_STMT(BPF_ALU | (op) | BPF_K, (v))
#define ALUX(op, v) BPF_STMT(BPF_LDX | BPF_IMM, (v)), BPF_STMT(BPF_ALU | (op) | BPF_X, 0)
// 1 if the jump is taken, else 2.
#define TAKES(want, op, v)                                                                                      \
  COMPUTES((want), BPF_JUMP(BPF_JMP | (op) | BPF_K, (v), 0, 2), BPF_STMT(BPF_LD | BPF_IMM, 1),                   \
           BPF_STMT(BPF_JMP | BPF_JA, 1), BPF_STMT(BPF_LD | BPF_IMM, 2))
TEST(instructions, prctl, seccomp) {
  COMPUTES(107, ALU(BPF_ADD, 7));
  COMPUTES(93, ALU(BPF_SUB, 7));
  COMPUTES((100 * 3) & 0xff, ALU(BPF_MUL, 3));
  COMPUTES(14, ALU(BPF_DIV, 7));
  COMPUTES(100 & 0x6f, ALU(BPF_AND, 0x6f));
  COMPUTES(100 | 3, ALU(BPF_OR, 3));
  COMPUTES(100 ^ 0x7f, ALU(BPF_XOR, 0x7f));
  COMPUTES((100 << 1) & 0xff, ALU(BPF_LSH, 1));
  COMPUTES(25, ALU(BPF_RSH, 2));
  COMPUTES(-100 & 0xff, BPF_STMT(BPF_ALU | BPF_NEG, 0));
  COMPUTES(107, ALUX(BPF_ADD, 7));
  COMPUTES(93, ALUX(BPF_SUB, 7));
  COMPUTES(44, ALUX(BPF_MUL, 3));
  COMPUTES(14, ALUX(BPF_DIV, 7));
  COMPUTES(100 & 0x6f, ALUX(BPF_AND, 0x6f));
  COMPUTES(100 | 3, ALUX(BPF_OR, 3));
  COMPUTES(100 ^ 0x7f, ALUX(BPF_XOR, 0x7f));
  COMPUTES(200, ALUX(BPF_LSH, 1));
  COMPUTES(25, ALUX(BPF_RSH, 2));
  COMPUTES(100, BPF_STMT(BPF_ST, 5), BPF_STMT(BPF_LD | BPF_IMM, 1), BPF_STMT(BPF_LD | BPF_MEM, 5));
  COMPUTES(100, BPF_STMT(BPF_MISC | BPF_TAX, 0), BPF_STMT(BPF_STX, 2), BPF_STMT(BPF_LDX | BPF_MEM, 2), BPF_STMT(BPF_MISC | BPF_TXA, 0));
  COMPUTES(64, BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0));
  COMPUTES(64, BPF_STMT(BPF_LDX | BPF_W | BPF_LEN, 0), BPF_STMT(BPF_MISC | BPF_TXA, 0));
  TAKES(1, BPF_JGT, 99);
  TAKES(2, BPF_JGT, 100);
  TAKES(1, BPF_JGE, 100);
  TAKES(1, BPF_JSET, 4);
}

TEST(division_by_x_of_zero_kills, prctl, seccomp) {
  pid_t pid = fork();
  if (!pid) {
    no_new_privs();
    if (PUT(0, LOAD(NR), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpgid, 1, 0), RET(SECCOMP_RET_ALLOW), BPF_STMT(BPF_LDX | BPF_IMM, 0),
            BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0), RET(SECCOMP_RET_ALLOW)))
      _exit(1);
    syscall(SYS_getpgid, 0);
    _exit(2);
  }
  int st;
  CHECK_EQ(test_wait(pid, &st), pid);
  CHECK(WIFSIGNALED(st) && WTERMSIG(st) == SIGSYS);
}

TEST(errno_action, prctl, seccomp) {
  no_new_privs();
  CHECK_OK(PUT_ONE(SYS_getpgid, SECCOMP_RET_ERRNO | EXDEV));
  CHECK_ERRNO(syscall(SYS_getpgid, 0), EXDEV);
  CHECK_OK(PUT_ONE(SYS_getsid, SECCOMP_RET_ERRNO | 0xffff));
  CHECK_ERRNO(syscall(SYS_getsid, 0), 4095);
  CHECK_OK(PUT_ONE(SYS_getppid, SECCOMP_RET_ERRNO));
  CHECK_EQ(syscall(SYS_getppid), 0);
  CHECK_OK(syscall(SYS_getpid));
}

TEST(log_allows, getpgid, getpgrp, prctl, seccomp) {
  no_new_privs();
  CHECK_OK(PUT_ONE(SYS_getpgid, SECCOMP_RET_LOG));
  CHECK_EQ(syscall(SYS_getpgid, 0), getpgrp());
  CHECK_OK(PUT(SECCOMP_FILTER_FLAG_LOG, LOAD(NR), UNLESS(SYS_getsid, 1), RET(SECCOMP_RET_ERRNO | ENOMSG), RET(SECCOMP_RET_ALLOW)));
  CHECK_ERRNO(syscall(SYS_getsid, 0), ENOMSG);
}

TEST(precedence, prctl, seccomp) {
  no_new_privs();
  CHECK_OK(PUT_ONE(SYS_getpgid, SECCOMP_RET_ERRNO | 1));
  CHECK_OK(PUT_ONE(SYS_getpgid, SECCOMP_RET_LOG));
  CHECK_ERRNO(syscall(SYS_getpgid, 0), EPERM);
  CHECK_OK(PUT_ONE(SYS_getpgid, SECCOMP_RET_ERRNO | 2)); // of equal actions the newest filter's
  CHECK_ERRNO(syscall(SYS_getpgid, 0), ENOENT);
  pid_t pid = fork();
  if (!pid) {
    if (PUT_ONE(SYS_getpgid, SECCOMP_RET_KILL_PROCESS)) _exit(1);
    syscall(SYS_getpgid, 0);
    _exit(2);
  }
  int st;
  CHECK_EQ(test_wait(pid, &st), pid);
  CHECK(WIFSIGNALED(st) && WTERMSIG(st) == SIGSYS);
}

TEST(arguments_have_64_bits, getpgid, getpgrp, prctl, seccomp) {
  no_new_privs();
  CHECK_OK(PUT(0, LOAD(ARCH), UNLESS(AUDIT_ARCH_X86_64, 5), LOAD(NR), UNLESS(SYS_getpgid, 3), LOAD(ARG(5) + 4), UNLESS(0x1234, 1),
               RET(SECCOMP_RET_ERRNO | EXDEV), RET(SECCOMP_RET_ALLOW)));
  CHECK_ERRNO(syscall(SYS_getpgid, 0, 0, 0, 0, 0, 0x123400000000L), EXDEV);
  CHECK_EQ(syscall(SYS_getpgid, 0, 0, 0, 0, 0, 0x1234L), getpgrp());
}

static siginfo_t trapped;
static greg_t trapped_rax;
static volatile int traps;
static void on_sys(int sig, siginfo_t *info, void *uc) {
  (void)sig;
  greg_t *r = ((ucontext_t *)uc)->uc_mcontext.gregs;
  trapped = *info;
  trapped_rax = r[REG_RAX];
  traps++;
  r[REG_RAX] = 4711;
}
TEST(trap_action, prctl, seccomp) {
  struct sigaction sa = {.sa_sigaction = on_sys, .sa_flags = SA_SIGINFO};
  CHECK_OK(sigaction(SIGSYS, &sa, NULL));
  no_new_privs();
  CHECK_OK(PUT_ONE(SYS_getpgid, SECCOMP_RET_TRAP | 77));
  for (int i = 1; i <= 5; i++) { // a site that traps often may be rewritten
    CHECK_EQ(syscall(SYS_getpgid, 0), 4711);
    CHECK_EQ(traps, i);
    CHECK_EQ(trapped.si_signo, SIGSYS);
    CHECK_EQ(trapped.si_code, 1);
    CHECK_EQ(trapped.si_errno, 77);
    CHECK_EQ(trapped.si_syscall, SYS_getpgid);
    CHECK_EQ(trapped.si_arch, AUDIT_ARCH_X86_64);
    CHECK_EQ(trapped_rax, SYS_getpgid);
    const unsigned char *at = trapped.si_call_addr;
    CHECK(at > (unsigned char *)4096);
  }
}
TEST(trap_without_handler_kills, prctl, seccomp) {
  pid_t pid = fork();
  if (!pid) {
    no_new_privs();
    signal(SIGSYS, SIG_IGN); // cannot be ignored
    if (PUT_ONE(SYS_getpgid, SECCOMP_RET_TRAP)) _exit(1);
    syscall(SYS_getpgid, 0);
    _exit(2);
  }
  int st;
  CHECK_EQ(test_wait(pid, &st), pid);
  CHECK(WIFSIGNALED(st) && WTERMSIG(st) == SIGSYS);
}

static long raw_call(long nr) {
  long r;
  __asm__ volatile("syscall\n.globl seccomp_site\nseccomp_site:" : "=a"(r) : "a"(nr), "D"(0L) : "rcx", "r11", "memory");
  return r;
}
extern char seccomp_site[];
TEST(instruction_pointer, getpgid, getpgrp, prctl, seccomp) {
  no_new_privs();
  CHECK_OK(PUT(0, LOAD(NR), UNLESS(SYS_getpgid, 3), LOAD(IP), UNLESS((uint32_t)(uintptr_t)seccomp_site, 1), RET(SECCOMP_RET_ERRNO | EXDEV),
               RET(SECCOMP_RET_ALLOW)));
  for (int i = 0; i < 8; i++) CHECK_EQ(raw_call(SYS_getpgid), -EXDEV);
  CHECK_EQ(syscall(SYS_getpgid, 0), getpgrp());
}

static void *forbidden(void *arg) {
  (void)arg;
  syscall(SYS_getpgid, 0);
  return NULL;
}
static void with_thread(unsigned action, int *st) {
  pid_t pid = fork();
  if (!pid) {
    pthread_t t;
    no_new_privs();
    if (PUT_ONE(SYS_getpgid, action)) _exit(1);
    if (pthread_create(&t, NULL, forbidden, NULL)) _exit(2);
    pthread_join(t, NULL);
    _exit(5);
  }
  CHECK_EQ(test_wait(pid, st), pid);
}
TEST(kill_thread_and_process, prctl, seccomp) {
  int st;
  with_thread(SECCOMP_RET_KILL_THREAD, &st);
  CHECK(WIFEXITED(st) && WEXITSTATUS(st) == 5);
  with_thread(SECCOMP_RET_KILL_PROCESS, &st);
  CHECK(WIFSIGNALED(st) && WTERMSIG(st) == SIGSYS);
  with_thread(0x00010000, &st); // an action that does not exist
  CHECK(WIFSIGNALED(st) && WTERMSIG(st) == SIGSYS);
}

TEST(inherited_and_kept) {
  no_new_privs();
  CHECK_OK(PUT_ONE(SYS_getpgid, SECCOMP_RET_ERRNO | EXDEV));
  pid_t pid = fork();
  if (!pid) {
    CHECK_ERRNO(syscall(SYS_getpgid, 0), EXDEV);
    CHECK_EQ(mode_in_proc("Seccomp_filters:"), 1);
    execl(test_self, test_self, "--helper", NULL);
    _exit(9);
  }
  int st;
  CHECK_EQ(test_wait(pid, &st), pid);
  CHECK_EQ(st, 0);
}
static int test_helper(int argc, char **argv) {
  (void)argc;
  (void)argv;
  return syscall(SYS_getpgid, 0) == -1 && errno == EXDEV && prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 2 ? 0 : 1;
}

static struct gate turn, done;
static void *waits(void *arg) {
  (void)arg;
  gate_open(&done);
  gate_wait(&turn);
  errno = 0;
  syscall(SYS_getpgid, 0);
  return (void *)(long)errno;
}
static void *filters_itself(void *arg) {
  (void)arg;
  CHECK_OK(PUT_ONE(SYS_getsid, SECCOMP_RET_ERRNO | ENOMSG));
  gate_open(&done);
  gate_wait(&turn);
  return (void *)(long)syscall(SYS_gettid);
}
TEST(all_threads_at_once, prctl, seccomp) {
  pthread_t t;
  void *r;
  turn = gate_new();
  done = gate_new();
  no_new_privs();
  CHECK_EQ(pthread_create(&t, NULL, waits, NULL), 0);
  gate_wait(&done);
  CHECK_OK(PUT(SECCOMP_FILTER_FLAG_TSYNC, LOAD(NR), UNLESS(SYS_getpgid, 1), RET(SECCOMP_RET_ERRNO | EXDEV), RET(SECCOMP_RET_ALLOW)));
  gate_open(&turn);
  pthread_join(t, &r);
  CHECK_EQ((long)r, EXDEV);
}
TEST(only_the_caller_without_tsync, getpgid, prctl, seccomp) {
  pthread_t t;
  void *r;
  turn = gate_new();
  done = gate_new();
  no_new_privs();
  CHECK_EQ(pthread_create(&t, NULL, waits, NULL), 0);
  gate_wait(&done);
  CHECK_OK(PUT_ONE(SYS_getpgid, SECCOMP_RET_ERRNO | EXDEV));
  gate_open(&turn);
  pthread_join(t, &r);
  CHECK_EQ((long)r, 0);
  CHECK_ERRNO(syscall(SYS_getpgid, 0), EXDEV);
}
TEST(tsync_names_the_thread_that_differs) {
  pthread_t t;
  void *r;
  turn = gate_new();
  done = gate_new();
  no_new_privs();
  CHECK_EQ(pthread_create(&t, NULL, filters_itself, NULL), 0);
  gate_wait(&done);
  long tid = PUT(SECCOMP_FILTER_FLAG_TSYNC, RET(SECCOMP_RET_ALLOW));
  CHECK(tid > 0);
  CHECK_EQ(prctl(PR_GET_SECCOMP, 0, 0, 0, 0), 0);
  CHECK_ERRNO(PUT(SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH, RET(SECCOMP_RET_ALLOW)), ESRCH);
  gate_open(&turn);
  pthread_join(t, &r);
  CHECK_EQ((long)r, tid);
}

// Calls that need no kernel state are judged like all others.
TEST(futex_and_madvise_are_judged, futex, madvise, prctl, seccomp) {
  unsigned word = 0;
  char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (int i = 0; i < 4; i++) {
    CHECK_EQ(syscall(SYS_futex, &word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0), 0);
    CHECK_OK(madvise(page, 4096, MADV_DONTNEED));
  }
  no_new_privs();
  CHECK_OK(PUT_ONE(SYS_futex, SECCOMP_RET_ERRNO | EXDEV));
  CHECK_ERRNO(syscall(SYS_futex, &word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0), EXDEV);
  CHECK_OK(madvise(page, 4096, MADV_DONTNEED));
  CHECK_OK(PUT(0, LOAD(NR), UNLESS(SYS_madvise, 3), LOAD(ARG(1)), UNLESS(8192, 1), RET(SECCOMP_RET_ERRNO | ENOMSG), RET(SECCOMP_RET_ALLOW)));
  CHECK_OK(madvise(page, 4096, MADV_DONTNEED));
  CHECK_ERRNO(madvise(page, 8192, MADV_DONTNEED), ENOMSG);
  pid_t pid = fork();
  if (!pid) _exit(syscall(SYS_futex, &word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0) == -1 && errno == EXDEV ? 0 : 1);
  WAIT_OK(pid);
}

TEST(trace_without_tracer, prctl, seccomp) {
  no_new_privs();
  CHECK_OK(PUT_ONE(SYS_getpgid, SECCOMP_RET_TRACE | 5));
  CHECK_ERRNO(syscall(SYS_getpgid, 0), ENOSYS);
}
TEST(trace, ptrace) {
  pid_t pid = fork();
  if (!pid) {
    CHECK_OK(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
    raise(SIGSTOP);
    no_new_privs();
    CHECK_OK(PUT_ONE(SYS_getpgid, SECCOMP_RET_TRACE | 5));
    CHECK_EQ(syscall(SYS_getpgid, 0), getpgrp()); // the tracer lets it be
    CHECK_EQ(syscall(SYS_getpgid, 1), 99);        // the tracer answers
    _exit(0);
  }
  int st;
  unsigned long message;
  CHECK_EQ(test_wait(pid, &st), pid);
  CHECK_OK(ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)(long)PTRACE_O_TRACESECCOMP));
  for (int i = 0; i < 2; i++) {
    CHECK_OK(ptrace(PTRACE_CONT, pid, NULL, NULL));
    CHECK_EQ(test_wait(pid, &st), pid);
    CHECK_EQ(st >> 8, SIGTRAP | (PTRACE_EVENT_SECCOMP << 8));
    CHECK_OK(ptrace(PTRACE_GETEVENTMSG, pid, NULL, &message));
    CHECK_EQ(message, 5);
    CHECK_EQ(ptrace(PTRACE_PEEKUSER, pid, 8 * 15, NULL), SYS_getpgid);
    if (i == 1) {
      CHECK_OK(ptrace(PTRACE_POKEUSER, pid, 8 * 15, -1L));
      CHECK_OK(ptrace(PTRACE_POKEUSER, pid, 8 * 10, 99L));
    }
  }
  CHECK_OK(ptrace(PTRACE_CONT, pid, NULL, NULL));
  WAIT_OK(pid);
}

TEST(too_many_instructions, prctl, seccomp) {
  no_new_privs();
  static struct sock_filter code[4096];
  for (int i = 0; i < 4096; i++) code[i] = (struct sock_filter)RET(SECCOMP_RET_ALLOW);
  struct sock_fprog p = {4096, code};
  int n = 0;
  while (n < 32 && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &p) == 0) n++;
  CHECK_EQ(errno, ENOMEM);
  CHECK_EQ(n, 3); // the kernel counts what it translates them to
}
