// dup, dup2, dup3, fcntl on descriptors, close_range, descriptor limits.
#include "test.h"
#include <linux/close_range.h>
#include <sys/ioctl.h>

TEST(dup_shares_description, dup, fcntl) {
  int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), d = dup(fd);
  CHECK(d > fd);
  CHECK_EQ(fcntl(d, F_GETFD), 0);
  CHECK_OK(fcntl(d, F_SETFL, O_NONBLOCK));
  CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
  CHECK_ERRNO(dup(-1), EBADF);
}

TEST(dup2_semantics, dup2, fcntl, pipe2) {
  int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  CHECK_EQ(dup2(fd, 77), 77);
  CHECK_EQ(fcntl(77, F_GETFD), 0);
  CHECK_EQ(dup2(fd, fd), fd);
  CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
  CHECK_ERRNO(dup2(88, 88), EBADF);
  CHECK_ERRNO(dup2(-1, 5), EBADF);
  CHECK_ERRNO(dup2(fd, -1), EBADF);
  int p[2];
  CHECK_OK(pipe(p));
  CHECK_EQ(dup2(fd, p[1]), p[1]); // closes the pipe's only writer
  char c;
  CHECK_EQ(read(p[0], &c, 1), 0);
}

TEST(dup3_semantics, dup3, fcntl) {
  int fd = open("/dev/null", O_RDONLY);
  CHECK_EQ(dup3(fd, 50, O_CLOEXEC), 50);
  CHECK_EQ(fcntl(50, F_GETFD), FD_CLOEXEC);
  CHECK_ERRNO(dup3(fd, fd, 0), EINVAL);
  CHECK_ERRNO(dup3(fd, 51, O_NONBLOCK), EINVAL);
  CHECK_ERRNO(dup3(-1, 51, 0), EBADF);
}

TEST(f_dupfd, fcntl) {
  int fd = open("/dev/null", O_RDONLY);
  CHECK_EQ(fcntl(fd, F_DUPFD, 40), 40);
  CHECK_EQ(fcntl(fd, F_DUPFD, 40), 41);
  CHECK_EQ(fcntl(fd, F_DUPFD_CLOEXEC, 40), 42);
  CHECK_EQ(fcntl(42, F_GETFD), FD_CLOEXEC);
  CHECK_ERRNO(fcntl(fd, F_DUPFD, -1), EINVAL);
  CHECK_ERRNO(fcntl(fd, F_DUPFD, 1 << 30), EINVAL);
}

TEST(f_setfd, fcntl) {
  int fd = open("/dev/null", O_RDONLY);
  CHECK_OK(fcntl(fd, F_SETFD, FD_CLOEXEC));
  CHECK_EQ(fcntl(fd, F_GETFD), 1);
  CHECK_OK(fcntl(fd, F_SETFD, 0));
  CHECK_EQ(fcntl(fd, F_GETFD), 0);
  CHECK_OK(ioctl(fd, FIOCLEX));
  CHECK_EQ(fcntl(fd, F_GETFD), 1);
  CHECK_OK(ioctl(fd, FIONCLEX));
  CHECK_EQ(fcntl(fd, F_GETFD), 0);
  CHECK_ERRNO(fcntl(fd, 9999, 0), EINVAL);
  CHECK_ERRNO(fcntl(-1, F_GETFD), EBADF);
}

TEST(fionbio, pipe2) {
  int p[2], on = 1;
  char c;
  CHECK_OK(pipe(p));
  CHECK_OK(ioctl(p[0], FIONBIO, &on));
  CHECK_ERRNO(read(p[0], &c, 1), EAGAIN);
  CHECK(fcntl(p[0], F_GETFL) & O_NONBLOCK);
}

TEST(close_range_closes, close_range, dup2, fcntl) {
  int fd = open("/dev/null", O_RDONLY);
  for (int i = 60; i < 70; i++) CHECK_EQ(dup2(fd, i), i);
  CHECK_OK(close_range(62, 65, 0));
  CHECK_OK(fcntl(61, F_GETFD));
  for (int i = 62; i <= 65; i++) CHECK_ERRNO(fcntl(i, F_GETFD), EBADF);
  CHECK_OK(fcntl(66, F_GETFD));
  CHECK_OK(close_range(66, 69, CLOSE_RANGE_CLOEXEC));
  CHECK_EQ(fcntl(66, F_GETFD), FD_CLOEXEC);
  CHECK_ERRNO(close_range(9, 8, 0), EINVAL);
  CHECK_ERRNO(close_range(9, 10, 64), EINVAL);
  CHECK_OK(close_range(100, 199, CLOSE_RANGE_UNSHARE));
  CHECK_OK(close_range(300, ~0u, 0));
}

TEST(limit_emfile, close, dup, dup2, fcntl, pipe2) {
  struct rlimit rl;
  CHECK_OK(getrlimit(RLIMIT_NOFILE, &rl));
  rl.rlim_cur = 300;
  CHECK_OK(setrlimit(RLIMIT_NOFILE, &rl));
  int fd, last = -1;
  while ((fd = open("/dev/null", O_RDONLY)) >= 0) last = fd;
  CHECK_EQ(errno, EMFILE);
  CHECK_EQ(last, 299);
  int p[2];
  CHECK_ERRNO(pipe(p), EMFILE);
  CHECK_ERRNO(dup(0), EMFILE);
  CHECK_ERRNO(dup2(last, 300), EBADF);
  CHECK_ERRNO(fcntl(last, F_DUPFD, 300), EINVAL);
  CHECK_OK(close(last));
  CHECK_ERRNO(pipe(p), EMFILE); // one is not enough
  CHECK_EQ(open("/dev/null", O_RDONLY), last);
}

TEST(fork_copies_the_table, close) {
  int fd = open("/dev/null", O_RDONLY);
  pid_t pid = fork();
  if (!pid) {
    CHECK_OK(close(fd));
    CHECK_EQ(open("/dev/zero", O_RDONLY), fd);
    _exit(0);
  }
  WAIT_OK(pid);
  char c;
  CHECK_EQ(read(fd, &c, 1), 0);
}

TEST(owner_and_signal_settings, fcntl, pipe2) {
  int p[2];
  CHECK_OK(pipe(p));
  CHECK_EQ(fcntl(p[0], F_GETOWN), 0);
  CHECK_OK(fcntl(p[0], F_SETOWN, getpid()));
  CHECK_EQ(fcntl(p[0], F_GETOWN), getpid());
  struct f_owner_ex own = {F_OWNER_TID, getpid()};
  CHECK_OK(fcntl(p[0], F_SETOWN_EX, &own));
  memset(&own, 0, sizeof own);
  CHECK_OK(fcntl(p[0], F_GETOWN_EX, &own));
  CHECK(own.type == F_OWNER_TID && own.pid == getpid());
  CHECK_OK(fcntl(p[0], F_SETSIG, SIGRTMIN));
  CHECK_EQ(fcntl(p[0], F_GETSIG), SIGRTMIN);
}

static volatile sig_atomic_t got_io;
static void on_io(int sig) { (void)sig, got_io++; }
TEST(sigio_on_pipe, fcntl, pipe2) {
  int p[2];
  CHECK_OK(pipe(p));
  on_signal(SIGIO, on_io, 0);
  CHECK_OK(fcntl(p[0], F_SETOWN, getpid()));
  CHECK_OK(fcntl(p[0], F_SETFL, O_ASYNC | O_NONBLOCK));
  CHECK_EQ(write(p[1], "x", 1), 1);
  for (int i = 0; i < 100 && !got_io; i++) msleep(2);
  CHECK_EQ(got_io, 1);
}

TEST(kcmp_files, dup) {
  int a = open("/dev/null", O_RDONLY), b = dup(a), c = open("/dev/null", O_RDONLY);
  long same = syscall(SYS_kcmp, getpid(), getpid(), 0, a, b), other = syscall(SYS_kcmp, getpid(), getpid(), 0, a, c);
  // A kernel may be built without kcmp; then it says so.
  if (same == -1) CHECK_EQ(errno, ENOSYS);
  else CHECK(same == 0 && other > 0);
}
