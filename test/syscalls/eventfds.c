// eventfd, timerfd, signalfd, pidfd.
#include "test.h"
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

TEST(eventfd_counter, eventfd2) {
  uint64_t v = 5;
  int fd = eventfd(3, EFD_NONBLOCK);
  CHECK_EQ(write(fd, &v, 8), 8);
  CHECK_EQ(read(fd, &v, 8), 8);
  CHECK_EQ(v, 8);
  CHECK_ERRNO(read(fd, &v, 8), EAGAIN);
  CHECK_ERRNO(read(fd, &v, 4), EINVAL);
  CHECK_ERRNO(write(fd, &v, 4), EINVAL);
  v = UINT64_MAX;
  CHECK_ERRNO(write(fd, &v, 8), EINVAL);
  v = UINT64_MAX - 1;
  CHECK_EQ(write(fd, &v, 8), 8);
  v = 1;
  CHECK_ERRNO(write(fd, &v, 8), EAGAIN);
  struct pollfd f = {fd, POLLIN | POLLOUT, 0};
  CHECK_EQ(poll(&f, 1, 0), 1);
  CHECK_EQ(f.revents, POLLIN);
  CHECK_EQ(read(fd, &v, 8), 8);
  CHECK(v == UINT64_MAX - 1);
  CHECK_EQ(lseek(fd, 5, SEEK_SET), 0);
  CHECK_ERRNO(syscall(SYS_eventfd2, 0, 0x10), EINVAL);
}

TEST(eventfd_semaphore, eventfd2) {
  uint64_t v;
  int fd = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
  for (int i = 0; i < 2; i++) {
    CHECK_EQ(read(fd, &v, 8), 8);
    CHECK_EQ(v, 1);
  }
  CHECK_ERRNO(read(fd, &v, 8), EAGAIN);
}

TEST(eventfd_wakes_reader, eventfd2) {
  int fd = eventfd(0, 0);
  pid_t pid = fork();
  uint64_t v = 9;
  if (!pid) {
    CHECK_EQ(read(fd, &v, 8), 8);
    CHECK_EQ(v, 9);
    _exit(0);
  }
  until_sleeps(pid);
  CHECK_EQ(write(fd, &v, 8), 8);
  WAIT_OK(pid);
}

TEST(timerfd_one_shot, timerfd_create, timerfd_gettime, timerfd_settime) {
  int fd = timerfd_create(CLOCK_MONOTONIC, 0);
  CHECK(fd >= 0);
  struct itimerspec it = {{0, 0}, {0, 20000000}}, cur;
  double start = now();
  CHECK_OK(timerfd_settime(fd, 0, &it, NULL));
  CHECK_OK(timerfd_gettime(fd, &cur));
  CHECK(cur.it_value.tv_nsec > 0 && cur.it_value.tv_nsec <= 20000000);
  uint64_t v;
  CHECK_EQ(read(fd, &v, 8), 8);
  CHECK_EQ(v, 1);
  CHECK(now() - start >= 0.0199);
  CHECK_OK(timerfd_gettime(fd, &cur));
  CHECK(cur.it_value.tv_sec == 0 && cur.it_value.tv_nsec == 0);
}

TEST(timerfd_periodic, timerfd_create, timerfd_settime) {
  int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  struct itimerspec it = {{0, 5000000}, {0, 5000000}};
  CHECK_OK(timerfd_settime(fd, 0, &it, NULL));
  uint64_t v, sum = 0;
  CHECK_ERRNO(read(fd, &v, 4), EINVAL);
  double start = now();
  while (sum < 4) {
    struct pollfd f = {fd, POLLIN, 0};
    CHECK_EQ(poll(&f, 1, 5000), 1);
    CHECK_EQ(read(fd, &v, 8), 8);
    sum += v;
  }
  CHECK(now() - start >= 0.014);
  struct itimerspec off = {{0, 0}, {0, 0}}, old;
  CHECK_OK(timerfd_settime(fd, 0, &off, &old));
  CHECK_EQ(old.it_interval.tv_nsec, 5000000);
  msleep(12);
  CHECK_ERRNO(read(fd, &v, 8), EAGAIN);
}

TEST(timerfd_absolute, timerfd_create, timerfd_settime) {
  int fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC);
  CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
  struct itimerspec it = {{0, 0}, {0, 0}};
  clock_gettime(CLOCK_REALTIME, &it.it_value);
  it.it_value.tv_sec -= 10;
  CHECK_OK(timerfd_settime(fd, TFD_TIMER_ABSTIME, &it, NULL));
  uint64_t v;
  CHECK_EQ(read(fd, &v, 8), 8);
  CHECK_EQ(v, 1);
}

TEST(timerfd_errors, timerfd_create, timerfd_settime) {
  CHECK_ERRNO(timerfd_create(77, 0), EINVAL);
  CHECK_ERRNO(timerfd_create(CLOCK_MONOTONIC, 1), EINVAL);
  int fd = timerfd_create(CLOCK_MONOTONIC, 0);
  struct itimerspec bad = {{0, 0}, {0, 1000000000}};
  CHECK_ERRNO(timerfd_settime(fd, 0, &bad, NULL), EINVAL);
  CHECK_ERRNO(timerfd_settime(fd, 8, &(struct itimerspec){{0, 0}, {1, 0}}, NULL), EINVAL);
  CHECK_ERRNO(timerfd_settime(0, 0, &(struct itimerspec){{0, 0}, {1, 0}}, NULL), EINVAL);
  uint64_t v = 1;
  CHECK_ERRNO(write(fd, &v, 8), EINVAL);
}

TEST(signalfd_reads_signals, getuid, rt_sigqueueinfo, signalfd4) {
  sigset_t s;
  sigemptyset(&s);
  sigaddset(&s, SIGUSR1);
  sigaddset(&s, SIGRTMIN);
  CHECK_OK(sigprocmask(SIG_BLOCK, &s, NULL));
  int fd = signalfd(-1, &s, SFD_NONBLOCK | SFD_CLOEXEC);
  CHECK(fd >= 0);
  struct signalfd_siginfo si[4];
  CHECK_ERRNO(read(fd, si, sizeof si), EAGAIN);
  CHECK_ERRNO(read(fd, si, 10), EINVAL);
  CHECK_OK(kill(getpid(), SIGUSR1));
  CHECK_OK(kill(getpid(), SIGUSR1));
  CHECK_OK(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 11}));
  CHECK_OK(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 22}));
  struct pollfd f = {fd, POLLIN, 0};
  CHECK_EQ(poll(&f, 1, 0), 1);
  CHECK_EQ(read(fd, si, sizeof si), 3 * sizeof si[0]);
  CHECK_EQ(si[0].ssi_signo, SIGUSR1);
  CHECK_EQ(si[0].ssi_code, SI_USER);
  CHECK_EQ(si[0].ssi_pid, getpid());
  CHECK_EQ(si[0].ssi_uid, getuid());
  CHECK_EQ(si[1].ssi_signo, SIGRTMIN);
  CHECK_EQ(si[1].ssi_code, SI_QUEUE);
  CHECK_EQ(si[1].ssi_int, 11);
  CHECK_EQ(si[2].ssi_int, 22);
  CHECK_EQ(poll(&f, 1, 0), 0);
}

TEST(signalfd_update_and_errors, signalfd4) {
  sigset_t s;
  sigemptyset(&s);
  sigaddset(&s, SIGUSR1);
  CHECK_OK(sigprocmask(SIG_BLOCK, &s, NULL));
  int fd = signalfd(-1, &s, SFD_NONBLOCK);
  sigset_t t;
  sigemptyset(&t);
  sigaddset(&t, SIGUSR2);
  CHECK_EQ(signalfd(fd, &t, 0), fd);
  CHECK_OK(raise(SIGUSR1));
  struct signalfd_siginfo si;
  CHECK_ERRNO(read(fd, &si, sizeof si), EAGAIN);
  CHECK_EQ(signalfd(fd, &s, 0), fd);
  CHECK_EQ(read(fd, &si, sizeof si), sizeof si);
  CHECK_ERRNO(signalfd(0x5000, &s, 0), EBADF);
  int p[2];
  CHECK_OK(pipe(p));
  CHECK_ERRNO(signalfd(p[0], &s, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_signalfd4, -1, &s, 4, 0), EINVAL);
}

TEST(signalfd_sigchld_blocks_until_exit, signalfd4) {
  sigset_t s;
  sigemptyset(&s);
  sigaddset(&s, SIGCHLD);
  CHECK_OK(sigprocmask(SIG_BLOCK, &s, NULL));
  int fd = signalfd(-1, &s, 0);
  pid_t pid = fork();
  if (!pid) _exit(7);
  struct signalfd_siginfo si;
  CHECK_EQ(read(fd, &si, sizeof si), sizeof si);
  CHECK_EQ(si.ssi_signo, SIGCHLD);
  CHECK_EQ(si.ssi_pid, pid);
  CHECK_EQ(si.ssi_status, 7);
  CHECK_EQ(si.ssi_code, CLD_EXITED);
  WAIT_STATUS(pid, 7 << 8);
}

TEST(pidfd_open_and_poll, pidfd_open, pidfd_send_signal, poll) {
  struct gate g = gate_new();
  pid_t pid = fork();
  if (!pid) {
    gate_wait(&g);
    _exit(3);
  }
  int fd = syscall(SYS_pidfd_open, pid, 0);
  CHECK(fd >= 0);
  CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
  struct pollfd f = {fd, POLLIN, 0};
  CHECK_EQ(poll(&f, 1, 0), 0);
  gate_open(&g);
  CHECK_EQ(poll(&f, 1, 5000), 1);
  siginfo_t si = {0};
  CHECK_OK(waitid(P_PIDFD, fd, &si, WEXITED));
  CHECK_EQ(si.si_pid, pid);
  CHECK_EQ(si.si_status, 3);
  CHECK_ERRNO(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0), ESRCH);
  CHECK_ERRNO(syscall(SYS_pidfd_open, pid, 0), ESRCH);
  CHECK_ERRNO(syscall(SYS_pidfd_open, -1, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_pidfd_open, getpid(), 0x10), EINVAL);
}

TEST(pidfd_send_signal_and_getfd, pidfd_getfd, pidfd_open, pidfd_send_signal) {
  int p[2];
  CHECK_OK(pipe(p));
  struct gate g = gate_new();
  pid_t pid = fork();
  if (!pid) {
    CHECK_EQ(dup2(p[0], 120), 120);
    gate_open(&g);
    for (;;) pause();
  }
  gate_wait(&g);
  int fd = syscall(SYS_pidfd_open, pid, 0);
  int got = syscall(SYS_pidfd_getfd, fd, 120, 0);
  CHECK(got >= 0);
  CHECK_EQ(write(p[1], "k", 1), 1);
  char c;
  CHECK_EQ(read(got, &c, 1), 1);
  CHECK_ERRNO(syscall(SYS_pidfd_getfd, fd, 121, 0), EBADF);
  CHECK_OK(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0));
  WAIT_STATUS(pid, SIGTERM);
}
