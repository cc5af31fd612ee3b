// Signals: handlers, masks, siginfo, alternate stack, queueing, frames, stop and continue, permission.
#include "test.h"
#include <setjmp.h>
#include <sys/prctl.h>
#include <ucontext.h>

static volatile sig_atomic_t count, last;
static volatile siginfo_t info; // volatile: the C library calls itself a leaf, so plain statics would be cached over kill()
static void hit(int sig) { count++, last = sig; }
static void hit_info(int sig, siginfo_t *si, void *ctx) {
  (void)ctx;
  count++, last = sig, info = *si;
}
static void on_info(int sig, int flags) {
  struct sigaction sa;
  memset(&sa, 0, sizeof sa);
  sa.sa_sigaction = hit_info;
  sa.sa_flags = SA_SIGINFO | flags;
  CHECK_OK(sigaction(sig, &sa, NULL));
}
static void set_mask(int how, int sig) {
  sigset_t s;
  sigemptyset(&s);
  if (sig) sigaddset(&s, sig);
  CHECK_OK(sigprocmask(how, &s, NULL));
}

TEST(raise_runs_handler, kill, rt_sigaction, rt_sigreturn, tgkill) {
  on_signal(SIGUSR1, hit, 0);
  CHECK_OK(raise(SIGUSR1));
  CHECK(count == 1 && last == SIGUSR1);
  CHECK_OK(kill(getpid(), SIGUSR1));
  CHECK_EQ(count, 2);
}

TEST(sigaction_returns_old, rt_sigaction) {
  struct sigaction sa;
  on_signal(SIGUSR1, hit, SA_RESTART | SA_NODEFER);
  CHECK_OK(sigaction(SIGUSR1, NULL, &sa));
  CHECK(sa.sa_handler == hit);
  CHECK_EQ(sa.sa_flags & (SA_RESTART | SA_NODEFER | SA_SIGINFO), SA_RESTART | SA_NODEFER);
  CHECK_ERRNO(sigaction(SIGKILL, &sa, NULL), EINVAL);
  CHECK_ERRNO(sigaction(SIGSTOP, &sa, NULL), EINVAL);
  CHECK_OK(sigaction(SIGKILL, NULL, &sa));
  CHECK_ERRNO(sigaction(65, NULL, &sa), EINVAL);
  CHECK_ERRNO(syscall(SYS_rt_sigaction, SIGUSR1, NULL, &sa, 4), EINVAL);
}

TEST(blocked_signals_pend, rt_sigaction, rt_sigpending, rt_sigprocmask, rt_sigreturn, tgkill) {
  on_signal(SIGUSR1, hit, 0);
  set_mask(SIG_BLOCK, SIGUSR1);
  for (int i = 0; i < 3; i++) CHECK_OK(raise(SIGUSR1));
  CHECK_EQ(count, 0);
  sigset_t p;
  CHECK_OK(sigpending(&p));
  CHECK(sigismember(&p, SIGUSR1) && !sigismember(&p, SIGUSR2));
  set_mask(SIG_UNBLOCK, SIGUSR1);
  CHECK_EQ(count, 1); // not queued
  CHECK_OK(sigpending(&p));
  CHECK(!sigismember(&p, SIGUSR1));
}

TEST(kill_and_stop_cannot_be_blocked, rt_sigprocmask) {
  sigset_t all, now_set;
  sigfillset(&all);
  CHECK_OK(sigprocmask(SIG_SETMASK, &all, NULL));
  CHECK_OK(sigprocmask(SIG_SETMASK, NULL, &now_set));
  CHECK(!sigismember(&now_set, SIGKILL) && !sigismember(&now_set, SIGSTOP) && sigismember(&now_set, SIGTERM));
  CHECK_ERRNO(syscall(SYS_rt_sigprocmask, 9, &all, NULL, 8), EINVAL);
  CHECK_ERRNO(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, NULL, 16), EINVAL);
  CHECK_ERRNO(syscall(SYS_rt_sigprocmask, SIG_BLOCK, 8, NULL, 8), EFAULT);
}

TEST(ignored_pending_is_discarded, rt_sigaction, rt_sigpending, rt_sigprocmask, tgkill) {
  set_mask(SIG_BLOCK, SIGUSR1);
  CHECK_OK(raise(SIGUSR1));
  signal(SIGUSR1, SIG_IGN);
  sigset_t p;
  CHECK_OK(sigpending(&p));
  CHECK(!sigismember(&p, SIGUSR1));
  on_signal(SIGUSR1, hit, 0);
  set_mask(SIG_UNBLOCK, SIGUSR1);
  CHECK_EQ(count, 0);
}

static volatile sig_atomic_t inside, masked;
static void check_mask(int sig) {
  sigset_t s;
  sigprocmask(SIG_BLOCK, NULL, &s);
  masked = sigismember(&s, sig) | sigismember(&s, SIGUSR2) << 1;
}
TEST(handler_mask, rt_sigaction, rt_sigprocmask, rt_sigreturn, tgkill) {
  struct sigaction sa = {.sa_handler = check_mask};
  sigaddset(&sa.sa_mask, SIGUSR2);
  CHECK_OK(sigaction(SIGUSR1, &sa, NULL));
  CHECK_OK(raise(SIGUSR1));
  CHECK_EQ(masked, 3);
  sa.sa_flags = SA_NODEFER;
  CHECK_OK(sigaction(SIGUSR1, &sa, NULL));
  CHECK_OK(raise(SIGUSR1));
  CHECK_EQ(masked, 2);
  sigset_t s;
  CHECK_OK(sigprocmask(SIG_BLOCK, NULL, &s));
  CHECK(!sigismember(&s, SIGUSR1) && !sigismember(&s, SIGUSR2));
}

static void nest(int sig) {
  if (++inside < 5) raise(sig);
  count++;
}
TEST(nodefer_nests, rt_sigaction, rt_sigreturn, tgkill) {
  on_signal(SIGUSR1, nest, SA_NODEFER);
  CHECK_OK(raise(SIGUSR1));
  CHECK(inside == 5 && count == 5);
}

TEST(resethand, rt_sigaction, rt_sigreturn, tgkill) {
  struct sigaction sa;
  on_signal(SIGUSR1, hit, SA_RESETHAND);
  CHECK_OK(raise(SIGUSR1));
  CHECK_OK(sigaction(SIGUSR1, NULL, &sa));
  CHECK(count == 1 && sa.sa_handler == SIG_DFL);
}

TEST(siginfo_of_kill_and_sigqueue, getuid, kill, rt_sigaction, rt_sigqueueinfo, rt_sigreturn, tgkill) {
  on_info(SIGUSR1, 0);
  CHECK_OK(kill(getpid(), SIGUSR1));
  CHECK(info.si_signo == SIGUSR1 && info.si_code == SI_USER && info.si_pid == getpid() && info.si_uid == getuid());
  CHECK_OK(syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1));
  CHECK(info.si_code == SI_TKILL && info.si_pid == getpid());
  CHECK_OK(sigqueue(getpid(), SIGUSR1, (union sigval){.sival_ptr = (void *)0x1234567890}));
  CHECK(info.si_code == SI_QUEUE && info.si_value.sival_ptr == (void *)0x1234567890);
}

static volatile int order[20], order_n;
static void note(int sig, siginfo_t *si, void *ctx) {
  (void)ctx;
  order[order_n++] = (sig - SIGRTMIN) * 100 + si->si_value.sival_int;
}
TEST(real_time_signals_queue_in_order, rt_sigaction, rt_sigprocmask, rt_sigqueueinfo, rt_sigreturn) {
  struct sigaction sa = {.sa_flags = SA_SIGINFO};
  sa.sa_sigaction = note;
  sigset_t all;
  sigfillset(&all);
  sa.sa_mask = all;
  for (int i = 0; i < 3; i++) CHECK_OK(sigaction(SIGRTMIN + i, &sa, NULL));
  CHECK_OK(sigprocmask(SIG_BLOCK, &all, NULL));
  for (int v = 1; v <= 2; v++)
    for (int i = 2; i >= 0; i--) CHECK_OK(sigqueue(getpid(), SIGRTMIN + i, (union sigval){.sival_int = v}));
  CHECK_OK(sigprocmask(SIG_UNBLOCK, &all, NULL));
  int want[] = {1, 2, 101, 102, 201, 202};
  CHECK_EQ(order_n, 6);
  for (int i = 0; i < 6; i++) CHECK_EQ(order[i], want[i]);
}

TEST(sigchld_info, kill, rt_sigaction, rt_sigreturn) {
  on_info(SIGCHLD, 0);
  pid_t pid = fork();
  if (!pid) _exit(5);
  int st;
  CHECK_EQ(test_wait(pid, &st), pid);
  CHECK_EQ(count, 1);
  CHECK(info.si_pid == pid && info.si_code == CLD_EXITED && info.si_status == 5);
  pid = fork();
  if (!pid)
    for (;;) pause();
  CHECK_OK(kill(pid, SIGKILL));
  CHECK_EQ(test_wait(pid, &st), pid);
  CHECK(info.si_code == CLD_KILLED && info.si_status == SIGKILL);
}

TEST(nocldstop, kill, rt_sigaction, rt_sigreturn) {
  on_info(SIGCHLD, SA_NOCLDSTOP);
  pid_t pid = fork();
  if (!pid)
    for (;;) pause();
  int st;
  CHECK_OK(kill(pid, SIGSTOP));
  CHECK_EQ(waitpid(pid, &st, WUNTRACED), pid);
  CHECK_EQ(count, 0);
  on_info(SIGCHLD, 0);
  CHECK_OK(kill(pid, SIGCONT));
  while (waitpid(pid, &st, WCONTINUED) == -1) CHECK_EQ(errno, EINTR);
  for (int i = 0; i < 500 && !count; i++) msleep(2); // the signal comes when the child has woken
  CHECK_EQ(count, 1);
  CHECK_EQ(info.si_code, CLD_CONTINUED);
  CHECK_OK(kill(pid, SIGKILL));
  CHECK_EQ(test_wait(pid, &st), pid);
}

static char alt[65536];
static void *handler_sp;
static volatile int ss_seen;
static void on_alt(int sig) {
  char here;
  stack_t cur;
  (void)sig;
  handler_sp = &here;
  sigaltstack(NULL, &cur);
  ss_seen = cur.ss_flags;
}
TEST(alternate_stack, rt_sigaction, rt_sigreturn, sigaltstack, tgkill) {
  stack_t ss = {.ss_sp = alt, .ss_size = sizeof alt}, old;
  CHECK_OK(sigaltstack(&ss, &old));
  CHECK_EQ(old.ss_flags, SS_DISABLE);
  on_signal(SIGUSR1, on_alt, SA_ONSTACK);
  CHECK_OK(raise(SIGUSR1));
  CHECK((char *)handler_sp >= alt && (char *)handler_sp < alt + sizeof alt);
  CHECK_EQ(ss_seen, SS_ONSTACK);
  CHECK_OK(sigaltstack(NULL, &old));
  CHECK(old.ss_sp == alt && old.ss_size == sizeof alt && old.ss_flags == 0);
  on_signal(SIGUSR1, on_alt, 0);
  CHECK_OK(raise(SIGUSR1));
  CHECK((char *)handler_sp < alt || (char *)handler_sp >= alt + sizeof alt);
  ss.ss_size = 100;
  CHECK_ERRNO(sigaltstack(&ss, NULL), ENOMEM);
  ss.ss_flags = 77;
  CHECK_ERRNO(sigaltstack(&ss, NULL), EINVAL);
  ss.ss_flags = SS_DISABLE;
  CHECK_OK(sigaltstack(&ss, NULL));
}

static void try_change(int sig) {
  (void)sig;
  stack_t ss = {.ss_sp = alt, .ss_size = sizeof alt};
  last = sigaltstack(&ss, NULL) == -1 ? errno : 0;
}
TEST(alternate_stack_in_use, rt_sigaction, rt_sigreturn, sigaltstack, tgkill) {
  stack_t ss = {.ss_sp = alt, .ss_size = sizeof alt};
  CHECK_OK(sigaltstack(&ss, NULL));
  on_signal(SIGUSR1, try_change, SA_ONSTACK);
  CHECK_OK(raise(SIGUSR1));
  CHECK_EQ(last, EPERM);
}

static sigjmp_buf env;
static void jump(int sig) { siglongjmp(env, sig); }
TEST(stack_overflow_on_alternate_stack, rt_sigaction, sigaltstack) {
  stack_t ss = {.ss_sp = alt, .ss_size = sizeof alt};
  CHECK_OK(sigaltstack(&ss, NULL));
  on_signal(SIGSEGV, jump, SA_ONSTACK);
  struct rlimit rl = {1 << 20, 1 << 20};
  pid_t pid = fork();
  if (!pid) {
    CHECK_OK(setrlimit(RLIMIT_STACK, &rl));
    if (!sigsetjmp(env, 1)) {
      for (volatile char *p = __builtin_frame_address(0);; p -= 4096) *p = 1;
    }
    _exit(0);
  }
  WAIT_OK(pid);
}

TEST(siglongjmp_restores_mask, rt_sigaction, rt_sigprocmask, tgkill) {
  on_signal(SIGUSR1, jump, 0);
  for (int i = 0; i < 3; i++) {
    int r = sigsetjmp(env, 1);
    if (!r) raise(SIGUSR1);
    else {
      sigset_t s;
      CHECK_OK(sigprocmask(SIG_BLOCK, NULL, &s));
      CHECK(r == SIGUSR1 && !sigismember(&s, SIGUSR1));
      count++;
    }
  }
  CHECK_EQ(count, 3);
}

TEST(sigtimedwait_takes, kill, rt_sigaction, rt_sigprocmask, rt_sigqueueinfo, rt_sigreturn, rt_sigtimedwait, tgkill) {
  sigset_t s;
  sigemptyset(&s);
  sigaddset(&s, SIGUSR1);
  sigaddset(&s, SIGRTMIN);
  CHECK_OK(sigprocmask(SIG_BLOCK, &s, NULL));
  CHECK_OK(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 3}));
  CHECK_OK(raise(SIGUSR1));
  siginfo_t si;
  struct timespec ts = {0, 20000000};
  CHECK_EQ(sigtimedwait(&s, &si, &ts), SIGUSR1);
  CHECK_EQ(sigtimedwait(&s, &si, &ts), SIGRTMIN);
  CHECK_EQ(si.si_value.sival_int, 3);
  double start = now();
  CHECK_ERRNO(sigtimedwait(&s, &si, &ts), EAGAIN);
  CHECK(now() - start > 0.019);
  struct timespec bad = {-1, 0};
  CHECK_ERRNO(sigtimedwait(&s, &si, &bad), EINVAL);
  on_signal(SIGUSR2, hit, 0);
  pid_t me = getpid(), pid = fork();
  if (!pid) {
    until_sleeps(me);
    kill(me, SIGUSR2);
    _exit(0);
  }
  ts.tv_sec = 5;
  CHECK_ERRNO(sigtimedwait(&s, &si, &ts), EINTR);
  WAIT_OK(pid);
}

TEST(sigsuspend_swaps, rt_sigaction, rt_sigprocmask, rt_sigreturn, rt_sigsuspend, tgkill) {
  on_signal(SIGUSR1, hit, SA_RESTART);
  set_mask(SIG_BLOCK, SIGUSR1);
  CHECK_OK(raise(SIGUSR1));
  sigset_t none, cur;
  sigemptyset(&none);
  CHECK_ERRNO(sigsuspend(&none), EINTR);
  CHECK_EQ(count, 1);
  CHECK_OK(sigprocmask(SIG_BLOCK, NULL, &cur));
  CHECK(sigismember(&cur, SIGUSR1));
}

TEST(kill_errors_and_permission, kill, tgkill) {
  CHECK_ERRNO(kill(getpid(), 65), EINVAL);
  CHECK_ERRNO(kill(getpid(), -1), EINVAL);
  CHECK_ERRNO(kill(0x3fffff, 0), ESRCH);
  CHECK_ERRNO(kill(-0x3fffff, SIGTERM), ESRCH);
  CHECK_OK(kill(getpid(), 0));
  CHECK_ERRNO(syscall(SYS_tgkill, -1, 1, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_tgkill, getpid(), 1, 0), ESRCH);
  pid_t target = fork();
  if (!target)
    for (;;) pause();
  pid_t pid = fork();
  if (!pid) {
    become(1234, 1234);
    CHECK_ERRNO(kill(target, 0), EPERM);
    CHECK_ERRNO(kill(target, SIGTERM), EPERM);
    CHECK_OK(kill(target, SIGCONT)); // allowed within the session
    _exit(0);
  }
  WAIT_OK(pid);
  CHECK_OK(kill(target, SIGKILL));
  WAIT_STATUS(target, SIGKILL);
}

TEST(kill_process_group, kill) {
  struct gate ready = gate_new();
  pid_t leader = fork();
  if (!leader) {
    setpgid(0, 0);
    gate_open(&ready);
    for (;;) pause();
  }
  gate_wait(&ready);
  pid_t member = fork();
  if (!member) {
    CHECK_OK(setpgid(0, leader));
    gate_open(&ready);
    for (;;) pause();
  }
  gate_wait(&ready);
  CHECK_OK(kill(-leader, SIGUSR1));
  WAIT_STATUS(leader, SIGUSR1);
  WAIT_STATUS(member, SIGUSR1);
}

static void add_100(int sig, siginfo_t *si, void *ctx) {
  (void)sig, (void)si;
  ((ucontext_t *)ctx)->uc_mcontext.gregs[REG_RBX] += 100;
}
TEST(context_changes_take_effect, kill, rt_sigaction, rt_sigreturn) {
  struct sigaction sa = {.sa_flags = SA_SIGINFO};
  sa.sa_sigaction = add_100;
  CHECK_OK(sigaction(SIGUSR1, &sa, NULL));
  long r = 7, pid = getpid(), nr = SYS_kill;
  __asm__ volatile("syscall" : "+b"(r), "+a"(nr) : "D"(pid), "S"((long)SIGUSR1) : "rcx", "r11", "memory");
  CHECK_EQ(nr, 0);
  CHECK_EQ(r, 107);
}

static void skip(int sig, siginfo_t *si, void *ctx) {
  (void)sig, info = *si;
  ((ucontext_t *)ctx)->uc_mcontext.gregs[REG_RIP] += 2;
  count++;
}
TEST(faulting_instruction_can_be_skipped, rt_sigaction, rt_sigreturn) {
  struct sigaction sa = {.sa_flags = SA_SIGINFO};
  sa.sa_sigaction = skip;
  CHECK_OK(sigaction(SIGILL, &sa, NULL));
  CHECK_OK(sigaction(SIGSEGV, &sa, NULL));
  __asm__ volatile("ud2");
  CHECK(count == 1 && info.si_signo == SIGILL && info.si_code == ILL_ILLOPN);
  long zero = 0;
  __asm__ volatile("movb %%al,(%0)" : : "r"(zero) : "memory"); // two bytes long
  CHECK(count == 2 && info.si_signo == SIGSEGV && info.si_addr == NULL);
}

TEST(divide_error_and_breakpoint, rt_sigaction, rt_sigreturn) {
  on_info(SIGTRAP, 0);
  __asm__ volatile("int3");
  CHECK(count == 1 && info.si_signo == SIGTRAP);
  pid_t pid = fork();
  if (!pid) {
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    volatile int z = 0;
    _exit(10 / z);
  }
  int st;
  CHECK_EQ(test_wait(pid, &st), pid);
  CHECK(WIFSIGNALED(st) && WTERMSIG(st) == SIGFPE);
}

static void spoil_fp(int sig) {
  (void)sig;
  __asm__ volatile("xorps %%xmm0,%%xmm0; xorps %%xmm15,%%xmm15; fldz; fstp %%st(0)" : : : "xmm0", "xmm15");
  if (__builtin_cpu_supports("avx")) __asm__ volatile("vzeroall" : : : "memory");
  count++;
}
TEST(vector_state_survives_handlers, kill, rt_sigaction, rt_sigreturn) {
  on_signal(SIGUSR1, spoil_fp, 0);
  double in[4] = {1.5, 2.5, 3.5, 4.5}, out[4] = {0};
  long pid = getpid(), nr = SYS_kill;
  if (__builtin_cpu_supports("avx")) {
    __asm__ volatile("vmovupd %2,%%ymm7; syscall; vmovupd %%ymm7,%1"
                     : "+a"(nr), "=m"(out)
                     : "m"(in), "D"(pid), "S"((long)SIGUSR1)
                     : "rcx", "r11", "xmm7", "memory");
    CHECK(!memcmp(in, out, 32));
  } else {
    __asm__ volatile("movupd %2,%%xmm7; syscall; movupd %%xmm7,%1"
                     : "+a"(nr), "=m"(out)
                     : "m"(in), "D"(pid), "S"((long)SIGUSR1)
                     : "rcx", "r11", "xmm7", "memory");
    CHECK(!memcmp(in, out, 16));
  }
  CHECK_EQ(count, 1);
}

TEST(registers_survive_system_calls) {
  long rbx = 1, r8 = 8, r9 = 9, r10 = 10, r12 = 12, r15 = 15, nr = SYS_getppid;
  register long a8 __asm__("r8") = r8, a9 __asm__("r9") = r9, a10 __asm__("r10") = r10, a12 __asm__("r12") = r12, a15 __asm__("r15") = r15;
  long rdi = 101, rsi = 102, rdx = 103;
  __asm__ volatile("syscall"
                   : "+a"(nr), "+b"(rbx), "+D"(rdi), "+S"(rsi), "+d"(rdx), "+r"(a8), "+r"(a9), "+r"(a10), "+r"(a12), "+r"(a15)
                   :
                   : "rcx", "r11", "memory");
  CHECK(rbx == 1 && rdi == 101 && rsi == 102 && rdx == 103 && a8 == 8 && a9 == 9 && a10 == 10 && a12 == 12 && a15 == 15);
  CHECK_EQ(nr, getppid());
}

TEST(red_zone_survives, kill, rt_sigaction, rt_sigreturn) {
  on_signal(SIGUSR1, hit, 0);
  long pid = getpid(), nr = SYS_kill, v = 0x1122334455667788, got;
  __asm__ volatile("mov %4,-64(%%rsp); syscall; mov -64(%%rsp),%1"
                   : "+a"(nr), "=&r"(got)
                   : "D"(pid), "S"((long)SIGUSR1), "r"(v)
                   : "rcx", "r11", "memory");
  CHECK(got == v && count == 1);
}

TEST(default_actions, tgkill) {
  int ignored[] = {SIGCHLD, SIGURG, SIGWINCH, SIGCONT}, fatal[] = {SIGINT, SIGALRM, SIGIO, SIGPROF, SIGVTALRM, SIGSTKFLT, SIGPWR};
  for (int i = 0; i < 4; i++) CHECK_OK(raise(ignored[i]));
  for (int i = 0; i < 7; i++) {
    pid_t pid = fork();
    if (!pid) {
      raise(fatal[i]);
      _exit(0);
    }
    WAIT_STATUS(pid, fatal[i]);
  }
}

TEST(signal_during_handler_of_other, rt_sigaction, rt_sigprocmask, rt_sigreturn, tgkill) {
  on_signal(SIGUSR1, hit, 0);
  struct sigaction sa = {.sa_handler = hit};
  sigfillset(&sa.sa_mask);
  CHECK_OK(sigaction(SIGUSR2, &sa, NULL));
  set_mask(SIG_BLOCK, SIGUSR1);
  set_mask(SIG_BLOCK, SIGUSR2);
  CHECK_OK(raise(SIGUSR2));
  CHECK_OK(raise(SIGUSR1));
  sigset_t none;
  sigemptyset(&none);
  CHECK_OK(sigprocmask(SIG_SETMASK, &none, NULL));
  CHECK_EQ(count, 2);
}

TEST(continue_drops_pending_stops, rt_sigpending, rt_sigprocmask) {
  pid_t pid = fork();
  if (!pid) {
    set_mask(SIG_BLOCK, SIGTSTP);
    raise(SIGTSTP);
    raise(SIGCONT);
    sigset_t p;
    CHECK_OK(sigpending(&p));
    CHECK(!sigismember(&p, SIGTSTP));
    _exit(0);
  }
  WAIT_OK(pid);
}

TEST(own_fault_while_blocked_kills, rt_sigaction, rt_sigprocmask) {
  pid_t pid = fork();
  if (!pid) {
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    on_signal(SIGSEGV, hit, 0);
    set_mask(SIG_BLOCK, SIGSEGV);
    *(volatile int *)8 = 1;
    _exit(0);
  }
  int st;
  CHECK_EQ(test_wait(pid, &st), pid);
  CHECK(WIFSIGNALED(st) && WTERMSIG(st) == SIGSEGV);
}

TEST(rt_sigqueueinfo_rules, rt_sigqueueinfo) {
  siginfo_t si = {.si_code = SI_USER};
  pid_t child = fork();
  if (!child)
    for (;;) pause();
  CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, child, SIGUSR1, &si), EPERM); // nobody may look like kill()
  si.si_code = SI_QUEUE;
  CHECK_OK(syscall(SYS_rt_sigqueueinfo, child, SIGUSR1, &si));
  WAIT_STATUS(child, SIGUSR1);
}
