// fork, vfork, clone, clone3, wait4, waitid, zombies, reparenting.
#include "test.h"
#include <linux/sched.h>
#include <sys/prctl.h>

TEST(exit_status, clone, wait4) {
  for (int code = 0; code < 300; code += 37) {
    pid_t pid = fork();
    if (!pid) _exit(code);
    WAIT_STATUS(pid, (code & 255) << 8);
  }
}

TEST(killed_status, clone, wait4) {
  int sigs[] = {SIGKILL, SIGTERM, SIGUSR1, SIGHUP, SIGRTMIN};
  for (int i = 0; i < 5; i++) {
    pid_t pid = fork();
    if (!pid)
      for (;;) pause();
    CHECK_OK(kill(pid, sigs[i]));
    WAIT_STATUS(pid, sigs[i]);
  }
}

TEST(core_bit, clone, getpid, wait4) {
  struct rlimit none = {0, 0};
  CHECK_OK(setrlimit(RLIMIT_CORE, &none));
  pid_t pid = fork();
  if (!pid) abort();
  int st;
  CHECK_EQ(waitpid(pid, &st, 0), pid);
  CHECK(WIFSIGNALED(st) && WTERMSIG(st) == SIGABRT);
}

TEST(pids, clone, getpid, getppid, wait4) {
  pid_t me = getpid(), pid = fork();
  if (!pid) {
    CHECK_EQ(getppid(), me);
    CHECK(getpid() != me);
    CHECK_EQ(gettid(), getpid());
    _exit(0);
  }
  CHECK(pid > 0 && pid != me);
  WAIT_OK(pid);
}

TEST(wait_errors, clone, wait4) {
  int st;
  CHECK_ERRNO(waitpid(-1, &st, 0), ECHILD);
  CHECK_ERRNO(waitpid(1, &st, 0), ECHILD);
  CHECK_ERRNO(waitpid(getpid(), &st, 0), ECHILD);
  CHECK_ERRNO(syscall(SYS_wait4, -1, &st, 0x40, NULL), EINVAL);
  pid_t pid = fork();
  if (!pid) _exit(0);
  CHECK_ERRNO(syscall(SYS_wait4, pid, 8, 0, NULL), EFAULT);
}

TEST(wnohang, clone, wait4) {
  struct gate g = gate_new();
  pid_t pid = fork();
  if (!pid) {
    gate_wait(&g);
    _exit(1);
  }
  int st = 77;
  CHECK_EQ(waitpid(pid, &st, WNOHANG), 0);
  CHECK_EQ(st, 77);
  gate_open(&g);
  CHECK_EQ(waitpid(pid, &st, 0), pid);
  CHECK_EQ(st, 0x100);
  CHECK_ERRNO(waitpid(pid, &st, 0), ECHILD);
}

TEST(wait_by_group, clone, setpgid, wait4) {
  pid_t a = fork();
  if (!a) {
    setpgid(0, 0);
    _exit(1);
  }
  setpgid(a, a);
  pid_t b = fork();
  if (!b) _exit(2);
  int st;
  CHECK_EQ(waitpid(0, &st, 0), b);
  CHECK_EQ(waitpid(-a, &st, 0), a);
  CHECK_EQ(st, 0x100);
  CHECK_ERRNO(waitpid(0, &st, 0), ECHILD);
}

TEST(waitid_fields, clone, getuid, waitid) {
  pid_t pid = fork();
  if (!pid) _exit(9);
  siginfo_t si;
  memset(&si, 0, sizeof si);
  CHECK_OK(waitid(P_PID, pid, &si, WEXITED | WNOWAIT));
  CHECK(si.si_signo == SIGCHLD && si.si_code == CLD_EXITED && si.si_status == 9 && si.si_pid == pid);
  CHECK_EQ(si.si_uid, getuid());
  CHECK_OK(waitid(P_ALL, 0, &si, WEXITED));
  CHECK_ERRNO(waitid(P_ALL, 0, &si, WEXITED), ECHILD);
  CHECK_ERRNO(waitid(P_ALL, 0, &si, 0), EINVAL);
  CHECK_ERRNO(waitid(77, 0, &si, WEXITED), EINVAL);
  pid = fork();
  if (!pid)
    for (;;) pause();
  si.si_pid = 5;
  CHECK_OK(waitid(P_PID, pid, &si, WEXITED | WNOHANG));
  CHECK_EQ(si.si_pid, 0);
  CHECK_OK(kill(pid, SIGKILL));
  CHECK_OK(waitid(P_PID, pid, &si, WEXITED));
  CHECK(si.si_code == CLD_KILLED && si.si_status == SIGKILL);
}

TEST(stop_and_continue, clone, wait4) {
  pid_t pid = fork();
  if (!pid)
    for (;;) pause();
  int st;
  CHECK_OK(kill(pid, SIGSTOP));
  CHECK_EQ(waitpid(pid, &st, WUNTRACED), pid);
  CHECK(WIFSTOPPED(st) && WSTOPSIG(st) == SIGSTOP);
  CHECK_EQ(task_state(pid, pid), 'T');
  CHECK_EQ(waitpid(pid, &st, WUNTRACED | WNOHANG), 0);
  CHECK_OK(kill(pid, SIGCONT));
  CHECK_EQ(waitpid(pid, &st, WCONTINUED), pid);
  CHECK(WIFCONTINUED(st));
  siginfo_t si;
  CHECK_OK(kill(pid, SIGTSTP));
  CHECK_OK(waitid(P_PID, pid, &si, WSTOPPED));
  CHECK(si.si_code == CLD_STOPPED && si.si_status == SIGTSTP);
  CHECK_OK(kill(pid, SIGKILL)); // a stopped process dies at once
  WAIT_STATUS(pid, SIGKILL);
}

TEST(zombie_in_proc, clone, wait4, waitid) {
  pid_t pid = fork();
  if (!pid) _exit(0);
  siginfo_t si;
  CHECK_OK(waitid(P_PID, pid, &si, WEXITED | WNOWAIT));
  CHECK_EQ(task_state(pid, pid), 'Z');
  CHECK_OK(kill(pid, 0)); // a zombie still has its number
  WAIT_OK(pid);
  CHECK_ERRNO(kill(pid, 0), ESRCH);
}

TEST(sigchld_ignored_reaps, wait4) {
  signal(SIGCHLD, SIG_IGN);
  pid_t pid = fork();
  if (!pid) _exit(3);
  int st;
  CHECK_ERRNO(waitpid(pid, &st, 0), ECHILD); // waits until it is gone
  CHECK_ERRNO(kill(pid, 0), ESRCH);
}

TEST(sa_nocldwait, wait4) {
  struct sigaction sa = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT};
  CHECK_OK(sigaction(SIGCHLD, &sa, NULL));
  pid_t pid = fork();
  if (!pid) _exit(3);
  CHECK_ERRNO(waitpid(-1, NULL, 0), ECHILD);
}

TEST(orphans_go_to_the_subreaper, clone, getpid, getppid, wait4) {
  CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
  int on = 0;
  CHECK_OK(prctl(PR_GET_CHILD_SUBREAPER, &on));
  CHECK_EQ(on, 1);
  struct gate orphaned = gate_new();
  pid_t me = getpid();
  int p[2];
  CHECK_OK(pipe(p));
  pid_t mid = fork();
  if (!mid) {
    pid_t leaf = fork();
    if (!leaf) {
      gate_wait(&orphaned);
      CHECK_EQ(getppid(), me);
      _exit(5);
    }
    CHECK_EQ(write(p[1], &leaf, sizeof leaf), sizeof leaf);
    _exit(0);
  }
  pid_t leaf;
  CHECK_EQ(read(p[0], &leaf, sizeof leaf), sizeof leaf);
  WAIT_OK(mid);
  gate_open(&orphaned);
  WAIT_STATUS(leaf, 5 << 8);
}

TEST(parent_death_signal, clone, wait4) {
  CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
  int p[2];
  CHECK_OK(pipe(p));
  struct gate ready = gate_new(), go = gate_new();
  pid_t mid = fork();
  if (!mid) {
    pid_t leaf = fork();
    if (!leaf) {
      CHECK_OK(prctl(PR_SET_PDEATHSIG, SIGUSR1));
      int s = 0;
      CHECK_OK(prctl(PR_GET_PDEATHSIG, &s));
      CHECK_EQ(s, SIGUSR1);
      gate_open(&ready);
      for (;;) pause();
    }
    CHECK_EQ(write(p[1], &leaf, sizeof leaf), sizeof leaf);
    gate_wait(&go);
    _exit(0);
  }
  pid_t leaf;
  CHECK_EQ(read(p[0], &leaf, sizeof leaf), sizeof leaf);
  gate_wait(&ready);
  gate_open(&go);
  WAIT_OK(mid);
  WAIT_STATUS(leaf, SIGUSR1);
}

TEST(vfork_shares_memory_and_waits, vfork, wait4) {
  static volatile int shared = 0;
  pid_t pid = vfork();
  if (!pid) {
    shared = 42;
    _exit(6);
  }
  CHECK_EQ(shared, 42);
  WAIT_STATUS(pid, 6 << 8);
}

static char clone_stack[65536] __attribute__((aligned(16)));
static volatile int clone_result;
static int store(void *arg) {
  clone_result = *(int *)arg;
  return 7;
}
TEST(clone_vm_without_thread, clone, exit, wait4) {
  int v = 99;
  pid_t pid = clone(store, clone_stack + sizeof clone_stack, CLONE_VM | SIGCHLD, &v);
  WAIT_STATUS(pid, 7 << 8);
  CHECK_EQ(clone_result, 99);
}

static int close_fd(void *arg) {
  close(*(int *)arg);
  clone_result = chdir("/") == 0;
  return 0;
}
TEST(clone_files_and_fs, clone, exit, getcwd, wait4) {
  int fd = open("/dev/null", O_RDONLY);
  pid_t pid = clone(close_fd, clone_stack + sizeof clone_stack, CLONE_VM | CLONE_FILES | CLONE_FS | SIGCHLD, &fd);
  WAIT_OK(pid);
  CHECK_ERRNO(fcntl(fd, F_GETFD), EBADF);
  char b[PATH_MAX];
  CHECK(getcwd(b, sizeof b));
  CHECK_STR(b, "/");
}

TEST(clone_errors, clone) {
  CHECK_ERRNO(syscall(SYS_clone, CLONE_THREAD | SIGCHLD, 0, 0, 0, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_clone, CLONE_SIGHAND | SIGCHLD, 0, 0, 0, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_clone, CLONE_THREAD | CLONE_SIGHAND, 0, 0, 0, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_clone, CLONE_FS | CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0), EINVAL);
}

TEST(clone_set_tids, clone, getpid, wait4) {
  static pid_t parent_tid, child_tid;
  long pid = syscall(SYS_clone, CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD, 0, &parent_tid, &child_tid, 0);
  if (!pid) {
    CHECK_EQ(child_tid, getpid());
    _exit(0);
  }
  CHECK_EQ(parent_tid, pid);
  CHECK_EQ(child_tid, 0);
  WAIT_OK(pid);
}

TEST(clone_parent, clone, getpid, getppid, wait4) {
  int p[2];
  CHECK_OK(pipe(p));
  pid_t me = getpid(), mid = fork();
  if (!mid) {
    long sibling = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
    if (!sibling) {
      CHECK_EQ(getppid(), me);
      _exit(4);
    }
    CHECK_EQ(write(p[1], &sibling, sizeof sibling), sizeof sibling);
    _exit(0);
  }
  long sibling;
  CHECK_EQ(read(p[0], &sibling, sizeof sibling), sizeof sibling);
  WAIT_OK(mid);
  WAIT_STATUS(sibling, 4 << 8);
}

TEST(clone3_basic, clone3, waitid) {
  int pidfd = -1;
  struct clone_args a = {.flags = CLONE_PIDFD, .pidfd = (uintptr_t)&pidfd, .exit_signal = SIGCHLD};
  long pid = syscall(SYS_clone3, &a, sizeof a);
  if (!pid) _exit(8);
  CHECK(pid > 0 && pidfd >= 0);
  siginfo_t si;
  CHECK_OK(waitid(P_PIDFD, pidfd, &si, WEXITED));
  CHECK(si.si_pid == pid && si.si_status == 8);
  CHECK_ERRNO(syscall(SYS_clone3, &a, 8), EINVAL);
  a.exit_signal = 300;
  CHECK_ERRNO(syscall(SYS_clone3, &a, sizeof a), EINVAL);
}

TEST(no_exit_signal_needs_wclone, clone, wait4) {
  long pid = syscall(SYS_clone, 0, 0, 0, 0, 0);
  if (!pid) _exit(1);
  CHECK_ERRNO(waitpid(pid, NULL, 0), ECHILD);
  int st;
  CHECK_EQ(waitpid(pid, &st, __WCLONE), pid);
  CHECK_EQ(st, 0x100);
}

TEST(rusage_of_children, wait4) {
  pid_t pid = fork();
  if (!pid) {
    while (clock() < CLOCKS_PER_SEC / 20) continue; // processor time: others may want the processor too
    _exit(0);
  }
  struct rusage ru;
  int st;
  CHECK_EQ(wait4(pid, &st, 0, &ru), pid);
  CHECK(ru.ru_utime.tv_sec * 1000000 + ru.ru_utime.tv_usec + ru.ru_stime.tv_sec * 1000000 + ru.ru_stime.tv_usec > 10000);
  CHECK(ru.ru_maxrss > 0);
}

TEST(hundred_children, clone, wait4) {
  pid_t pids[100];
  for (int i = 0; i < 100; i++) {
    pids[i] = fork();
    if (!pids[i]) _exit(i);
  }
  char seen[100] = {0};
  for (int i = 0; i < 100; i++) {
    int st;
    CHECK(waitpid(-1, &st, 0) > 0);
    CHECK(WIFEXITED(st) && !seen[WEXITSTATUS(st)]);
    seen[WEXITSTATUS(st)] = 1;
  }
  CHECK_ERRNO(wait(NULL), ECHILD);
}

TEST(deep_fork_chain, clone, wait4) {
  int depth = 0;
  for (; depth < 30; depth++) {
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid) {
      WAIT_STATUS(pid, (29 - depth) << 8);
      _exit(depth ? 30 - depth : 0);
    }
  }
  _exit(0);
}
