// Small calls about the caller and other tasks: scheduling, identities, signals to threads, the end of a process.
#include "test.h"
#include <pthread.h>
#include <sys/sem.h>
#include <sys/timex.h>

TEST(yielding, sched_yield) {
  for (int i = 0; i < 100; i++) CHECK_OK(sched_yield());
}

static void *sleeper(void *unused) {
  (void)unused;
  pause();
  return NULL;
}

TEST(exit_group_ends_all_threads, exit_group) {
  pid_t pid = fork();
  if (pid == 0) {
    pthread_t t;
    if (pthread_create(&t, NULL, sleeper, NULL)) FAIL("pthread_create");
    syscall(SYS_exit_group, 0x1234);
    FAIL("exit_group came back");
  }
  WAIT_STATUS(pid, 0x34 << 8);
}

TEST(set_tid_address_is_cleared, set_tid_address) {
  int *word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(word != MAP_FAILED);
  *word = 77;
  CHECK_EQ(syscall(SYS_set_tid_address, NULL), syscall(SYS_gettid));
  CHECK_EQ(syscall(SYS_set_tid_address, word), syscall(SYS_gettid));
  CHECK_EQ(*word, 77);
  CHECK_EQ(syscall(SYS_set_tid_address, 8), syscall(SYS_gettid)); // nobody looks at the address before the end
  pid_t pid = fork();
  if (pid == 0) {
    CHECK_EQ(syscall(SYS_set_tid_address, word), getpid());
    _exit(0);
  }
  WAIT_OK(pid);
}

TEST(robust_lists, set_robust_list, get_robust_list) {
  long head[3] = {(long)head, 0, 0}, *got = NULL;
  size_t len = 0;
  CHECK_OK(syscall(SYS_set_robust_list, head, 24));
  CHECK_OK(syscall(SYS_get_robust_list, 0, &got, &len));
  CHECK(got == head);
  CHECK_EQ(len, 24);
  CHECK_ERRNO(syscall(SYS_set_robust_list, head, 16), EINVAL);
  CHECK_ERRNO(syscall(SYS_get_robust_list, 0, NULL, &len), EFAULT);
  CHECK_ERRNO(syscall(SYS_get_robust_list, 0x3fffffff, &got, &len), ESRCH);
  CHECK_OK(syscall(SYS_set_robust_list, NULL, 24));
}

static volatile sig_atomic_t got_signal, got_value, got_code;
static void note(int sig, siginfo_t *info, void *context) {
  (void)context;
  got_signal = sig;
  got_value = info->si_value.sival_int;
  got_code = info->si_code;
}

static void noting(int sig) {
  struct sigaction sa = {.sa_sigaction = note, .sa_flags = SA_SIGINFO};
  CHECK_OK(sigaction(sig, &sa, NULL));
}

TEST(signals_to_threads, tkill, rt_tgsigqueueinfo) {
  siginfo_t info;
  noting(SIGUSR1);
  CHECK_OK(syscall(SYS_tkill, gettid(), SIGUSR1));
  CHECK_EQ(got_signal, SIGUSR1);
  CHECK_EQ(got_code, SI_TKILL);
  CHECK_OK(syscall(SYS_tkill, gettid(), 0));
  CHECK_ERRNO(syscall(SYS_tkill, gettid(), 65), EINVAL);
  CHECK_ERRNO(syscall(SYS_tkill, 0, SIGUSR1), EINVAL);
  CHECK_ERRNO(syscall(SYS_tkill, -1, SIGUSR1), EINVAL);
  CHECK_ERRNO(syscall(SYS_tkill, 0x3fffffff, SIGUSR1), ESRCH);

  memset(&info, 0, sizeof info);
  info.si_code = SI_QUEUE;
  info.si_value.sival_int = 4711;
  got_signal = 0;
  CHECK_OK(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGUSR1, &info));
  CHECK_EQ(got_signal, SIGUSR1);
  CHECK_EQ(got_value, 4711);
  CHECK_EQ(got_code, SI_QUEUE);
  info.si_code = SI_USER; // only the kernel says that, except to oneself
  CHECK_OK(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGUSR1, &info));
  CHECK_ERRNO(syscall(SYS_rt_tgsigqueueinfo, getppid(), getppid(), SIGUSR1, &info), EPERM);
  info.si_code = SI_QUEUE;
  CHECK_ERRNO(syscall(SYS_rt_tgsigqueueinfo, getpid(), 0x3fffffff, SIGUSR1, &info), ESRCH);
  CHECK_ERRNO(syscall(SYS_rt_tgsigqueueinfo, 0, gettid(), SIGUSR1, &info), EINVAL);
  CHECK_ERRNO(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), 65, &info), EINVAL);
  CHECK_ERRNO(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGUSR1, NULL), EFAULT);
}

TEST(setregid_and_fsgid, setregid, setfsgid, getegid) {
  struct stat st;
  CHECK_EQ(syscall(SYS_setfsgid, 500), 0); // the one before
  CHECK_EQ(syscall(SYS_setfsgid, -1), 500);
  put_file("f", "");
  CHECK_OK(stat("f", &st));
  CHECK_EQ(st.st_gid, 500);
  CHECK_OK(syscall(SYS_setregid, 10, 20));
  CHECK_EQ(syscall(SYS_getgid), 10);
  CHECK_EQ(syscall(SYS_getegid), 20);
  CHECK_EQ(syscall(SYS_setfsgid, -1), 20); // follows the effective one
  CHECK_OK(syscall(SYS_setresuid, 1000, 1000, 1000));
  CHECK_OK(syscall(SYS_setregid, -1, 10));
  CHECK_OK(syscall(SYS_setregid, -1, 20)); // kept as the saved one
  CHECK_ERRNO(syscall(SYS_setregid, 30, -1), EPERM);
  CHECK_ERRNO(syscall(SYS_setregid, -1, 0), EPERM);
  CHECK_EQ(syscall(SYS_setfsgid, 77), 20);
  CHECK_EQ(syscall(SYS_setfsgid, -1), 20); // refused without a word
}

TEST(round_robin_interval, sched_rr_get_interval) {
  struct timespec ts = {-1, -1};
  CHECK_OK(syscall(SYS_sched_rr_get_interval, 0, &ts));
  CHECK(ts.tv_sec == 0 && ts.tv_nsec >= 0 && ts.tv_nsec < 1000000000);
  CHECK_ERRNO(syscall(SYS_sched_rr_get_interval, -1, &ts), EINVAL);
  CHECK_ERRNO(syscall(SYS_sched_rr_get_interval, 0x3fffffff, &ts), ESRCH);
  CHECK_ERRNO(syscall(SYS_sched_rr_get_interval, 0, NULL), EFAULT);
}

struct attributes {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
  uint32_t min, max;
};

TEST(scheduling_attributes, sched_getattr, sched_setattr) {
  struct attributes a;
  memset(&a, 0xff, sizeof a);
  CHECK_OK(syscall(SYS_sched_getattr, 0, &a, sizeof a, 0));
  CHECK_EQ(a.size, sizeof a);
  CHECK_EQ(a.policy, SCHED_OTHER);
  CHECK_EQ(a.nice, 0);
  a.nice = 5;
  a.policy = SCHED_BATCH;
  CHECK_OK(syscall(SYS_sched_setattr, 0, &a, 0));
  memset(&a, 0, sizeof a);
  CHECK_OK(syscall(SYS_sched_getattr, 0, &a, 48, 0));
  CHECK_EQ(a.size, 48);
  CHECK_EQ(a.policy, SCHED_BATCH);
  CHECK_EQ(a.nice, 5);
  CHECK_ERRNO(syscall(SYS_sched_getattr, 0, &a, 47, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_sched_getattr, 0, &a, 5000, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_sched_getattr, 0, &a, sizeof a, 1), EINVAL);
  CHECK_ERRNO(syscall(SYS_sched_getattr, 0x3fffffff, &a, sizeof a, 0), ESRCH);
  CHECK_ERRNO(syscall(SYS_sched_getattr, 0, 8, sizeof a, 0), EFAULT);
  a.size = 8;
  CHECK_ERRNO(syscall(SYS_sched_setattr, 0, &a, 0), E2BIG);
  CHECK_EQ(a.size, sizeof a);
  a.policy = 99;
  CHECK_ERRNO(syscall(SYS_sched_setattr, 0, &a, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_sched_setattr, 0, NULL, 0), EINVAL);
}

TEST(old_scheduling_calls, sched_setparam, sched_getparam, sched_setscheduler) {
  struct sched_param p = {-1};
  CHECK_OK(syscall(SYS_sched_getparam, 0, &p));
  CHECK_EQ(p.sched_priority, 0);
  CHECK_OK(syscall(SYS_sched_setparam, 0, &p));
  p.sched_priority = 1;
  CHECK_ERRNO(syscall(SYS_sched_setparam, 0, &p), EINVAL);
  CHECK_ERRNO(syscall(SYS_sched_setparam, -1, &p), EINVAL);
  CHECK_ERRNO(syscall(SYS_sched_setparam, 0, NULL), EINVAL);
  CHECK_ERRNO(syscall(SYS_sched_setparam, 0x3fffffff, &p), ESRCH);
  p.sched_priority = 0;
  CHECK_OK(syscall(SYS_sched_setscheduler, 0, SCHED_IDLE, &p));
  CHECK_EQ(syscall(SYS_sched_getscheduler, 0), SCHED_IDLE);
  CHECK_ERRNO(syscall(SYS_sched_setscheduler, 0, 99, &p), EINVAL);
}

TEST(io_priorities, ioprio_get, ioprio_set) {
  enum { PROCESS = 1, PGRP, USER, BEST_EFFORT = 2 << 13, IDLE = 3 << 13 };
  CHECK_OK(syscall(SYS_ioprio_get, PROCESS, 0));
  CHECK_OK(syscall(SYS_ioprio_set, PROCESS, 0, BEST_EFFORT | 3));
  CHECK_EQ(syscall(SYS_ioprio_get, PROCESS, 0), BEST_EFFORT | 3);
  CHECK_EQ(syscall(SYS_ioprio_get, PROCESS, getpid()), BEST_EFFORT | 3);
  CHECK_OK(syscall(SYS_ioprio_set, PROCESS, 0, IDLE));
  CHECK_EQ(syscall(SYS_ioprio_get, PROCESS, 0), IDLE);
  CHECK_ERRNO(syscall(SYS_ioprio_set, PROCESS, 0, 7 << 13), EINVAL);
  CHECK_ERRNO(syscall(SYS_ioprio_set, 9, 0, IDLE), EINVAL);
  CHECK_ERRNO(syscall(SYS_ioprio_get, 9, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_ioprio_get, PROCESS, 0x3fffffff), ESRCH);
}

TEST(locked_memory, mlock, munlock, mlock2, mlockall, munlockall) {
  char *p = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK_OK(syscall(SYS_mlock, p + 10, 100));
  CHECK_OK(syscall(SYS_mlock2, p, 4096, 1));
  CHECK_ERRNO(syscall(SYS_mlock2, p, 4096, 2), EINVAL);
  CHECK_OK(syscall(SYS_munlock, p, 16384));
  CHECK_OK(munmap(p + 8192, 4096));
  CHECK_ERRNO(syscall(SYS_mlock, p, 16384), ENOMEM);
  CHECK_ERRNO(syscall(SYS_munlock, p, 16384), ENOMEM);
  CHECK_ERRNO(syscall(SYS_mlock, p, -4096L), EINVAL);
  CHECK_ERRNO(syscall(SYS_mlockall, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_mlockall, 8), EINVAL);
  CHECK_ERRNO(syscall(SYS_mlockall, 4), EINVAL); // when, without what
  CHECK_OK(syscall(SYS_mlockall, MCL_CURRENT | MCL_FUTURE));
  CHECK_OK(syscall(SYS_munlockall));
  struct rlimit none = {0, 0};
  CHECK_OK(setrlimit(RLIMIT_MEMLOCK, &none));
  become(1000, 1000);
  CHECK_ERRNO(syscall(SYS_mlock, p, 4096), EPERM);
  CHECK_ERRNO(syscall(SYS_mlockall, MCL_CURRENT), EPERM);
  CHECK_OK(syscall(SYS_munlockall));
}

TEST(semaphores_by_semop, semop, semget, semctl) {
  struct sembuf up = {0, 2, 0}, down = {0, -1, IPC_NOWAIT}, zero = {0, 0, IPC_NOWAIT}, far = {3, 1, 0};
  int id = syscall(SYS_semget, IPC_PRIVATE, 2, 0600);
  CHECK_OK(id);
  CHECK_OK(syscall(SYS_semop, id, &up, 1));
  CHECK_OK(syscall(SYS_semop, id, &down, 1));
  CHECK_ERRNO(syscall(SYS_semop, id, &zero, 1), EAGAIN);
  CHECK_OK(syscall(SYS_semop, id, &down, 1));
  CHECK_ERRNO(syscall(SYS_semop, id, &down, 1), EAGAIN);
  CHECK_OK(syscall(SYS_semop, id, &zero, 1));
  CHECK_ERRNO(syscall(SYS_semop, id, &far, 1), EFBIG);
  CHECK_ERRNO(syscall(SYS_semop, id, &up, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_semop, id, &up, 501), E2BIG);
  CHECK_ERRNO(syscall(SYS_semop, id, NULL, 1), EFAULT);
  CHECK_ERRNO(syscall(SYS_semop, -1, &up, 1), EINVAL);
  CHECK_OK(syscall(SYS_semctl, id, 0, IPC_RMID, 0));
  CHECK_ERRNO(syscall(SYS_semop, id, &up, 1), EINVAL);
}

TEST(setting_clocks_is_refused, adjtimex, settimeofday) {
  struct timex tx = {.modes = ADJ_FREQUENCY};
  struct timeval tv = {1, 0};
  drop_cap(25); // CAP_SYS_TIME
  CHECK_ERRNO(syscall(SYS_adjtimex, &tx), EPERM);
  tx.modes = 0;
  CHECK_OK(syscall(SYS_adjtimex, &tx));
  CHECK(tx.tick > 0);
  CHECK_ERRNO(syscall(SYS_adjtimex, NULL), EFAULT);
  CHECK_ERRNO(syscall(SYS_settimeofday, &tv, NULL), EPERM);
  tv.tv_usec = 1000000;
  CHECK_ERRNO(syscall(SYS_settimeofday, &tv, NULL), EINVAL);
  CHECK_ERRNO(syscall(SYS_settimeofday, 8, NULL), EFAULT);
}

TEST(barriers, membarrier) {
  long r = syscall(SYS_membarrier, 0, 0, 0);
  CHECK_OK(r);
  CHECK(r & 8);                                                 // private expedited
  CHECK_ERRNO(syscall(SYS_membarrier, 8, 0, 0), EPERM);         // not registered
  CHECK_OK(syscall(SYS_membarrier, 16, 0, 0));
  CHECK_OK(syscall(SYS_membarrier, 8, 0, 0));
  CHECK_ERRNO(syscall(SYS_membarrier, 8, 2, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_membarrier, 1 << 30, 0, 0), EINVAL);
}

TEST(log_of_the_kernel, syslog) {
  char b[16];
  CHECK_OK(syscall(SYS_syslog, 10, NULL, 0)); // its size
  CHECK_ERRNO(syscall(SYS_syslog, 3, NULL, 16), EINVAL);
  CHECK_ERRNO(syscall(SYS_syslog, 3, b, -1), EINVAL);
  CHECK_ERRNO(syscall(SYS_syslog, 99, b, 16), EINVAL);
  CHECK_EQ(syscall(SYS_syslog, 3, b, 0), 0);
  become(1000, 1000);
  CHECK_ERRNO(syscall(SYS_syslog, 2, b, 16), EPERM);
}
