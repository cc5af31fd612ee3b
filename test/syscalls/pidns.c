// Pid namespaces: numbers, births and deaths, the first process and what reaches it.
#define TEST_HELPER
#include "test.h"
#include <linux/capability.h>
#include <linux/reboot.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>

// As fork, with the child as first process of a new namespace.
static pid_t fork_inside(void) { return syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0); }

// A number that no process of the caller's namespace has.
static pid_t free_number(void) {
  pid_t n = 20011;
  while (kill(n, 0) == 0 || errno != ESRCH) n++;
  return n;
}

static int wait_for(pid_t pid) {
  int st = -1;
  CHECK_EQ(test_wait(pid, &st), pid);
  return st;
}

static volatile sig_atomic_t got_signal, got_pid, got_code;
static void note(int sig, siginfo_t *info, void *context) {
  (void)context;
  got_signal = sig;
  got_pid = info->si_pid;
  got_code = info->si_code;
}

static void note_signal(int sig) {
  struct sigaction sa = {.sa_sigaction = note, .sa_flags = SA_SIGINFO};
  CHECK_OK(sigaction(sig, &sa, NULL));
}

// With the signal blocked before: waits until it has come.
static void until_signal(int sig) {
  sigset_t set;
  sigfillset(&set);
  sigdelset(&set, sig);
  while (got_signal != sig) sigsuspend(&set);
}

TEST(numbers_inside_and_outside, getpgid, getpgrp, getpid, getppid, getsid, gettid) {
  pid_t kid = fork_inside();
  if (!kid) {
    CHECK(getpid() == 1 && syscall(SYS_gettid) == 1 && getppid() == 0);
    CHECK(getpgrp() == 0 && getpgid(0) == 0 && getsid(0) == 0); // the parent's, out of sight
    CHECK_EQ(setsid(), 1);
    CHECK(getpgrp() == 1 && getsid(0) == 1 && getpgid(1) == 1);
    pid_t second = fork();
    if (!second) {
      CHECK(getpid() == 2 && getppid() == 1 && getpgrp() == 1);
      CHECK_OK(setpgid(0, 0));
      CHECK_EQ(getpgrp(), 2);
      _exit(0);
    }
    CHECK_EQ(second, 2);
    WAIT_OK(second);
    CHECK_ERRNO(getpgid(2), ESRCH);
    _exit(0);
  }
  CHECK(kid > 1);
  WAIT_OK(kid);
}

TEST(unshare_moves_the_children, getpid, getppid, unshare) {
  pid_t me = getpid();
  CHECK_OK(unshare(CLONE_NEWPID));
  CHECK_EQ(getpid(), me);
  CHECK_ERRNO(unshare(CLONE_NEWPID), EINVAL);
  CHECK_ERRNO(fork_inside(), EINVAL);
  struct gate ready = gate_new();
  pid_t first = fork();
  if (!first) {
    CHECK_EQ(getpid(), 1);
    gate_wait(&ready);
    _exit(0);
  }
  pid_t second = fork();
  if (!second) {
    CHECK(getpid() == 2 && getppid() == 0);
    _exit(0);
  }
  WAIT_OK(second);
  gate_open(&ready);
  WAIT_OK(first);
  CHECK_ERRNO(fork(), ENOMEM);
}

static void *nothing(void *arg) { return arg; }

TEST(threads_stay_in_their_process, unshare) {
  pid_t pid = fork();
  if (!pid) {
    CHECK_OK(unshare(CLONE_NEWPID));
    pthread_t t;
    CHECK_EQ(pthread_create(&t, NULL, nothing, NULL), EINVAL);
    _exit(0);
  }
  WAIT_OK(pid);
  CHECK_ERRNO(syscall(SYS_clone, CLONE_NEWPID | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM, 0, 0, 0, 0), EINVAL);
  become(1234, 1234);
  CHECK_ERRNO(fork_inside(), EPERM);
}

TEST(ids_that_clone_writes, clone) {
  static volatile pid_t parent_tid, child_tid;
  pid_t kid = syscall(SYS_clone, CLONE_NEWPID | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD, 0, &parent_tid, &child_tid, 0);
  if (!kid) _exit(child_tid == 1 ? 0 : 1);
  CHECK_EQ(parent_tid, kid);
  CHECK_EQ(child_tid, 0);
  WAIT_OK(kid);
}

static pid_t clone_as(uint64_t flags, pid_t *numbers, unsigned count) {
  struct clone_args a = {.flags = flags, .exit_signal = SIGCHLD, .set_tid = (uintptr_t)numbers, .set_tid_size = count};
  pid_t pid = syscall(SYS_clone3, &a, sizeof a);
  if (!pid) _exit(getpid() == numbers[0] ? 0 : 1);
  return pid;
}

TEST(numbers_that_clone3_is_asked_for, clone3, getpid) {
  pid_t n = free_number(), two[2] = {1, n}, bad[2] = {2, n};
  CHECK_EQ(clone_as(0, &n, 1), n);
  CHECK_ERRNO(clone_as(0, &n, 1), EEXIST);
  WAIT_OK(n);
  CHECK_EQ(clone_as(CLONE_NEWPID, two, 2), n);
  WAIT_OK(n);
  CHECK_ERRNO(clone_as(CLONE_NEWPID, bad, 2), EINVAL);
  CHECK_ERRNO(clone_as(0, two, 40), EINVAL);
  CHECK_ERRNO(clone_as(0, NULL, 1), EINVAL);
  CHECK_ERRNO(clone_as(0, &n, 0), EINVAL);
  CHECK_ERRNO(clone_as(0, (pid_t *)8, 1), EFAULT);
  pid_t zero = 0;
  CHECK_ERRNO(clone_as(0, &zero, 1), EINVAL);
  become(1234, 1234);
  CHECK_ERRNO(clone_as(0, &n, 1), EPERM);
}

TEST(nesting_ends, getpid) {
  int depth = 0;
  for (; depth < 40; depth++) {
    pid_t pid = fork_inside();
    if (pid < 0) {
      CHECK_EQ(errno, ENOSPC);
      break;
    }
    if (pid) {
      int st = wait_for(pid);
      _exit(WIFEXITED(st) ? WEXITSTATUS(st) : 1);
    }
    CHECK_EQ(getpid(), 1);
  }
  _exit(depth > 10 && depth <= 32 ? 0 : 1); // MAX_PID_NS_LEVEL, less those around this test
}

TEST(first_process_is_shielded_from_inside, getpid, gettid) {
  pid_t kid = fork_inside();
  if (!kid) {
    pid_t second = fork();
    if (!second) {
      int deadly[] = {SIGTERM, SIGKILL, SIGSTOP, SIGTSTP, SIGSEGV, SIGUSR1};
      for (unsigned i = 0; i < sizeof deadly / sizeof *deadly; i++) CHECK_OK(kill(1, deadly[i]));
      _exit(0);
    }
    CHECK_OK(kill(getpid(), SIGKILL));
    CHECK_OK(raise(SIGTERM));
    WAIT_OK(second);
    block_signal(SIGUSR1);
    note_signal(SIGUSR1);
    second = fork();
    if (!second) _exit(kill(1, SIGUSR1));
    until_signal(SIGUSR1);
    CHECK_EQ(got_pid, 2 + 1);
    WAIT_OK(second);
    _exit(5);
  }
  WAIT_STATUS(kid, 5 << 8);
}

TEST(first_process_is_shielded_from_outside, rt_sigsuspend) {
  struct gate ready = gate_new();
  pid_t kid = fork_inside();
  if (!kid) {
    block_signal(SIGUSR1);
    note_signal(SIGUSR1);
    gate_open(&ready);
    until_signal(SIGUSR1);
    CHECK(got_pid == 0 && got_code == SI_USER); // who is above is nobody
    gate_open(&ready);
    for (;;) pause();
  }
  gate_wait(&ready);
  CHECK_OK(kill(kid, SIGTERM)); // no handler: vanishes
  CHECK_OK(kill(kid, SIGTSTP));
  CHECK_OK(kill(kid, SIGUSR1));
  gate_wait(&ready);
  int st;
  CHECK_OK(kill(kid, SIGSTOP));
  CHECK_EQ(waitpid(kid, &st, WUNTRACED), kid);
  CHECK(WIFSTOPPED(st) && WSTOPSIG(st) == SIGSTOP);
  CHECK_OK(kill(kid, SIGCONT));
  CHECK_EQ(waitpid(kid, &st, WCONTINUED), kid);
  CHECK(WIFCONTINUED(st));
  CHECK_OK(kill(kid, SIGKILL));
  WAIT_STATUS(kid, SIGKILL);
}

TEST(blocked_signals_reach_the_first_process, rt_sigtimedwait) {
  pid_t kid = fork_inside();
  if (!kid) {
    block_signal(SIGTERM);
    pid_t second = fork();
    if (!second) _exit(kill(1, SIGTERM));
    WAIT_OK(second);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    siginfo_t info;
    CHECK_EQ(sigwaitinfo(&set, &info), SIGTERM);
    CHECK_EQ(info.si_pid, 2);
    CHECK_OK(kill(1, SIGTERM));
    CHECK_OK(sigprocmask(SIG_UNBLOCK, &set, NULL)); // the default action is not taken
    _exit(6);
  }
  WAIT_STATUS(kid, 6 << 8);
}

TEST(first_process_dies_of_its_own_fault) {
  pid_t kid = fork_inside();
  if (!kid) {
    signal(SIGSEGV, SIG_DFL);
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    *(volatile int *)16 = 1;
    _exit(1);
  }
  CHECK_EQ(wait_for(kid) & 0x7f, SIGSEGV);
}

TEST(kill_all_is_all_of_the_namespace, kill, rt_sigpending) {
  block_signal(SIGUSR2);
  note_signal(SIGUSR2);
  struct gate ready = gate_new();
  pid_t kid = fork_inside();
  if (!kid) {
    pid_t some[3];
    for (int i = 0; i < 3; i++) {
      some[i] = fork();
      if (!some[i]) {
        gate_wait(&ready);
        for (;;) pause();
      }
    }
    for (int i = 0; i < 3; i++) gate_open(&ready);
    CHECK_OK(kill(-1, SIGUSR2));
    CHECK(got_signal == 0); // the sender is spared
    for (int i = 0; i < 3; i++) CHECK_OK(kill(some[i], SIGKILL));
    for (int i = 0; i < 3; i++) wait_for(some[i]);
    CHECK_ERRNO(kill(-1, SIGTERM), ESRCH);
    CHECK_ERRNO(kill(20000, 0), ESRCH);
    _exit(0);
  }
  WAIT_OK(kid);
  sigset_t pending;
  sigpending(&pending);
  CHECK(!sigismember(&pending, SIGUSR2));
}

TEST(a_group_reaches_across, rt_sigsuspend) {
  block_signal(SIGUSR1);
  note_signal(SIGUSR1);
  pid_t kid = fork_inside();
  if (!kid) {
    signal(SIGUSR1, SIG_IGN);
    CHECK_OK(kill(0, SIGUSR1)); // its group is its parent's
    CHECK_ERRNO(kill(-20000, 0), ESRCH);
    _exit(0);
  }
  WAIT_OK(kid);
  until_signal(SIGUSR1);
  CHECK_EQ(got_pid, 1); // its own idea of itself
}

TEST(child_signals_and_waits_name_the_child_as_the_parent_knows_it, getpgrp, rt_sigsuspend) {
  block_signal(SIGCHLD);
  note_signal(SIGCHLD);
  pid_t kid = fork_inside();
  if (!kid) {
    CHECK_ERRNO(waitpid(7, NULL, 0), ECHILD);
    _exit(4);
  }
  until_signal(SIGCHLD);
  CHECK_EQ(got_pid, kid);
  siginfo_t info;
  CHECK_ERRNO(waitid(P_PID, 1, &info, WEXITED | WNOHANG), ECHILD);
  CHECK_OK(waitid(P_PID, kid, &info, WEXITED | WNOWAIT));
  CHECK_EQ(info.si_pid, kid);
  CHECK_OK(waitid(P_PGID, getpgrp(), &info, WEXITED | WNOWAIT));
  CHECK_EQ(info.si_pid, kid);
  WAIT_STATUS(kid, 4 << 8);
}

TEST(orphans_go_to_the_first_process, getppid) {
  CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 1)); // of another namespace: not for them
  pid_t kid = fork_inside();
  if (!kid) {
    struct gate ready = gate_new();
    pid_t middle = fork();
    if (!middle) {
      pid_t last = fork();
      if (!last) {
        gate_wait(&ready);
        _exit(getppid() == 1 ? 8 : 9);
      }
      _exit(0);
    }
    WAIT_OK(middle);
    gate_open(&ready);
    WAIT_STATUS(3, 8 << 8);
    pid_t reaper = fork(); // one of the same namespace is nearer
    if (!reaper) {
      CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
      middle = fork();
      if (!middle) {
        if (!fork()) _exit(7);
        _exit(0);
      }
      WAIT_OK(middle);
      int st;
      CHECK_EQ(wait(&st), 6);
      CHECK_EQ(st, 7 << 8);
      _exit(0);
    }
    CHECK_EQ(reaper, 4);
    WAIT_OK(reaper);
    _exit(0);
  }
  WAIT_OK(kid);
}

TEST(all_end_with_the_first_process) {
  struct gate held = gate_new(), ready = gate_new();
  pid_t kid = fork_inside();
  if (!kid) {
    close(held.fd[0]);
    if (!fork()) {
      pid_t nested = fork_inside();
      if (!nested) gate_open(&ready);
      for (;;) pause();
    }
    for (;;) pause();
  }
  close(held.fd[1]);
  gate_wait(&ready);
  CHECK_OK(kill(kid, SIGKILL));
  WAIT_STATUS(kid, SIGKILL);
  char c;
  CHECK_EQ(read(held.fd[0], &c, 1), 0); // nobody is left who holds the other end
}

TEST(no_siblings_of_the_first_process, getppid) {
  pid_t kid = fork_inside();
  if (!kid) {
    CHECK_ERRNO(syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0), EINVAL);
    pid_t second = fork();
    if (!second) {
      long third = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
      if (!third) _exit(getppid() == 1 ? 3 : 4);
      _exit(third == 3 ? 0 : 1);
    }
    WAIT_OK(second);
    WAIT_STATUS(3, 3 << 8);
    _exit(0);
  }
  WAIT_OK(kid);
}

static void *become_leader(void *arg) {
  (void)arg;
  execl(test_self, test_self, "--helper", "pids", NULL);
  _exit(9);
}

TEST(exec_keeps_the_number, getpid, gettid, unshare) {
  CHECK_OK(unshare(CLONE_NEWPID));
  pid_t kid = fork();
  if (!kid) {
    pthread_t t;
    pthread_create(&t, NULL, become_leader, NULL);
    pthread_join(t, NULL);
  }
  WAIT_OK(kid);
}

TEST(parent_death_signal_from_above, rt_sigsuspend) {
  struct gate done = gate_new(), ready = gate_new();
  pid_t middle = fork();
  if (!middle) {
    if (!fork_inside()) {
      block_signal(SIGUSR1);
      note_signal(SIGUSR1);
      CHECK_OK(prctl(PR_SET_PDEATHSIG, SIGUSR1));
      gate_open(&ready);
      until_signal(SIGUSR1);
      CHECK(got_pid == 0 && got_code == SI_USER);
      gate_open(&done);
      _exit(0);
    }
    gate_wait(&ready);
    _exit(0);
  }
  WAIT_OK(middle);
  gate_wait(&done);
}

static int reboot_inside(unsigned command, bool of_first) {
  pid_t kid = fork_inside();
  if (!kid) {
    CHECK_ERRNO(syscall(SYS_reboot, 1, 2, command, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_CAD_ON, NULL), EINVAL);
    if (of_first || !fork()) {
      syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, command, NULL);
      _exit(9);
    }
    for (;;) pause();
  }
  return wait_for(kid);
}

TEST(reboot_ends_the_namespace) {
  CHECK_EQ(reboot_inside(LINUX_REBOOT_CMD_RESTART, false), SIGHUP);
  CHECK_EQ(reboot_inside(LINUX_REBOOT_CMD_RESTART2, true), SIGHUP);
  CHECK_EQ(reboot_inside(LINUX_REBOOT_CMD_POWER_OFF, true), SIGINT);
  CHECK_EQ(reboot_inside(LINUX_REBOOT_CMD_HALT, false), SIGINT);
}

TEST(reboot_needs_privilege) {
  pid_t kid = fork_inside();
  if (!kid) {
    drop_cap(CAP_SYS_BOOT);
    CHECK_ERRNO(syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_HALT, NULL), EPERM);
    _exit(0);
  }
  WAIT_OK(kid);
}

TEST(traced_from_above, ptrace, unshare) {
  pid_t kid = fork();
  if (!kid) {
    CHECK_OK(unshare(CLONE_NEWPID));
    CHECK_OK(ptrace(PTRACE_TRACEME, 0, 0, 0));
    raise(SIGSTOP);
    pid_t inner = fork();
    if (!inner) _exit(0);
    WAIT_OK(inner);
    _exit(0);
  }
  int st;
  CHECK_EQ(waitpid(kid, &st, 0), kid);
  CHECK(WIFSTOPPED(st));
  CHECK_OK(ptrace(PTRACE_SETOPTIONS, kid, 0, PTRACE_O_TRACEFORK));
  CHECK_OK(ptrace(PTRACE_CONT, kid, 0, 0));
  CHECK_EQ(waitpid(kid, &st, 0), kid);
  CHECK_EQ(st >> 8, SIGTRAP | PTRACE_EVENT_FORK << 8);
  unsigned long inner = 0;
  CHECK_OK(ptrace(PTRACE_GETEVENTMSG, kid, 0, &inner));
  CHECK(inner > 1);
  CHECK_EQ(waitpid(inner, &st, __WALL), (pid_t)inner); // it stops at its beginning
  siginfo_t info;
  CHECK_OK(ptrace(PTRACE_GETSIGINFO, inner, 0, &info));
  CHECK_OK(ptrace(PTRACE_CONT, inner, 0, 0));
  CHECK_EQ(waitpid(inner, &st, __WALL), (pid_t)inner);
  CHECK_EQ(st, 0);
  CHECK_OK(ptrace(PTRACE_CONT, kid, 0, 0));
  while (waitpid(kid, &st, 0) == kid && WIFSTOPPED(st))
    CHECK_OK(ptrace(PTRACE_CONT, kid, 0, WSTOPSIG(st) == SIGTRAP ? 0 : WSTOPSIG(st)));
  CHECK_EQ(st, 0);
}

static int test_helper(int argc, char **argv) {
  (void)argc, (void)argv;
  return getpid() == 1 && syscall(SYS_gettid) == 1 ? 0 : 1;
}
