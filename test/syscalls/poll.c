// poll, ppoll, select, pselect6.
#include "test.h"
#include <sys/select.h>

TEST(pipe_states, poll) {
  int p[2];
  CHECK_OK(pipe(p));
  struct pollfd f[2] = {{p[0], POLLIN, 0}, {p[1], POLLOUT, 0}};
  CHECK_EQ(poll(f, 2, 0), 1);
  CHECK_EQ(f[0].revents, 0);
  CHECK_EQ(f[1].revents, POLLOUT);
  CHECK_EQ(write(p[1], "x", 1), 1);
  CHECK_EQ(poll(f, 2, -1), 2);
  CHECK_EQ(f[0].revents, POLLIN);
  CHECK_OK(close(p[1]));
  CHECK_EQ(poll(f, 1, 0), 1);
  CHECK_EQ(f[0].revents, POLLIN | POLLHUP);
  char c;
  CHECK_EQ(read(p[0], &c, 1), 1);
  CHECK_EQ(poll(f, 1, 0), 1);
  CHECK_EQ(f[0].revents, POLLHUP);
  CHECK_OK(pipe(p));
  CHECK_OK(close(p[0]));
  f[1].fd = p[1];
  CHECK_EQ(poll(&f[1], 1, 0), 1);
  CHECK_EQ(f[1].revents, POLLOUT | POLLERR);
}

TEST(full_pipe_is_not_writable, poll) {
  int p[2];
  static char b[65536];
  CHECK_OK(pipe2(p, O_NONBLOCK));
  CHECK_EQ(write(p[1], b, 65536), 65536);
  struct pollfd f = {p[1], POLLOUT, 0};
  CHECK_EQ(poll(&f, 1, 0), 0);
  CHECK_EQ(read(p[0], b, 4096), 4096);
  CHECK_EQ(poll(&f, 1, 0), 1);
}

TEST(bad_and_negative_descriptors, poll) {
  struct pollfd f[3] = {{-1, POLLIN, 77}, {999, POLLIN, 0}, {-5, POLLIN, 1}};
  CHECK_EQ(poll(f, 3, 0), 1);
  CHECK_EQ(f[0].revents, 0);
  CHECK_EQ(f[1].revents, POLLNVAL);
  CHECK_EQ(f[2].revents, 0);
  CHECK_ERRNO(syscall(SYS_poll, 8, 1, 0), EFAULT);
}

TEST(regular_files_are_always_ready, poll) {
  put_file("f", "");
  struct pollfd f = {open("f", O_RDWR), POLLIN | POLLOUT | POLLPRI, 0};
  CHECK_EQ(poll(&f, 1, 0), 1);
  CHECK_EQ(f.revents, POLLIN | POLLOUT);
}

TEST(timeout_elapses, poll, ppoll) {
  double start = now();
  CHECK_EQ(poll(NULL, 0, 50), 0);
  double took = now() - start;
  CHECK(took >= 0.049 && took < 2);
  struct timespec ts = {0, 30000000};
  start = now();
  CHECK_EQ(ppoll(NULL, 0, &ts, NULL), 0);
  CHECK(now() - start >= 0.029);
  struct timespec bad = {0, 1000000000};
  CHECK_ERRNO(ppoll(NULL, 0, &bad, NULL), EINVAL);
}

TEST(woken_by_another_process, poll) {
  int p[2];
  CHECK_OK(pipe(p));
  pid_t me = getpid(), pid = fork();
  if (!pid) {
    until_sleeps(me);
    CHECK_EQ(write(p[1], "x", 1), 1);
    _exit(0);
  }
  struct pollfd f = {p[0], POLLIN, 0};
  CHECK_EQ(poll(&f, 1, 5000), 1);
  WAIT_OK(pid);
}

TEST(too_many, poll) {
  struct rlimit rl;
  CHECK_OK(getrlimit(RLIMIT_NOFILE, &rl));
  rl.rlim_cur = 256;
  CHECK_OK(setrlimit(RLIMIT_NOFILE, &rl));
  static struct pollfd f[257];
  for (int i = 0; i < 257; i++) f[i].fd = -1;
  CHECK_EQ(poll(f, 256, 0), 0);
  CHECK_ERRNO(poll(f, 257, 0), EINVAL);
}

TEST(select_sets, pselect6, select) {
  int p[2];
  CHECK_OK(pipe(p));
  fd_set r, w;
  FD_ZERO(&r);
  FD_ZERO(&w);
  FD_SET(p[0], &r);
  FD_SET(p[1], &w);
  struct timeval tv = {0, 0};
  CHECK_EQ(select(p[1] + 1, &r, &w, NULL, &tv), 1);
  CHECK(!FD_ISSET(p[0], &r) && FD_ISSET(p[1], &w));
  CHECK_EQ(write(p[1], "x", 1), 1);
  FD_SET(p[0], &r);
  CHECK_EQ(select(p[1] + 1, &r, &w, NULL, NULL), 2);
  FD_ZERO(&r);
  FD_SET(150, &r);
  CHECK_ERRNO(select(151, &r, NULL, NULL, &tv), EBADF);
  CHECK_ERRNO(select(-1, NULL, NULL, NULL, &tv), EINVAL);
  struct timeval bad = {-1, 0};
  CHECK_ERRNO(syscall(SYS_select, 0, NULL, NULL, NULL, &bad), EINVAL);
}

TEST(select_updates_timeout, pselect6) {
  int p[2];
  CHECK_OK(pipe(p));
  fd_set r;
  FD_ZERO(&r);
  FD_SET(p[0], &r);
  struct timeval tv = {0, 30000};
  CHECK_EQ(select(p[0] + 1, &r, NULL, NULL, &tv), 0);
  CHECK(tv.tv_sec == 0 && tv.tv_usec == 0 && !FD_ISSET(p[0], &r));
  CHECK_EQ(write(p[1], "x", 1), 1);
  FD_SET(p[0], &r);
  tv.tv_sec = 100;
  CHECK_EQ(select(p[0] + 1, &r, NULL, NULL, &tv), 1);
  CHECK(tv.tv_sec >= 98 && tv.tv_sec <= 100);
}

static volatile sig_atomic_t hits;
static void hit(int sig) { (void)sig, hits++; }

TEST(ppoll_swaps_the_mask, ppoll) {
  on_signal(SIGUSR1, hit, 0);
  block_signal(SIGUSR1);
  CHECK_OK(raise(SIGUSR1));
  CHECK_EQ(hits, 0);
  sigset_t none;
  sigemptyset(&none);
  struct timespec ts = {5, 0};
  CHECK_ERRNO(ppoll(NULL, 0, &ts, &none), EINTR);
  CHECK_EQ(hits, 1);
  sigset_t cur;
  CHECK_OK(sigprocmask(SIG_BLOCK, NULL, &cur));
  CHECK(sigismember(&cur, SIGUSR1));
}

TEST(pselect_swaps_the_mask, pselect6) {
  on_signal(SIGUSR1, hit, SA_RESTART);
  block_signal(SIGUSR1);
  CHECK_OK(raise(SIGUSR1));
  sigset_t none;
  sigemptyset(&none);
  struct timespec ts = {5, 0};
  CHECK_ERRNO(pselect(0, NULL, NULL, NULL, &ts, &none), EINTR);
  CHECK_EQ(hits, 1);
}

TEST(ready_beats_pending_signal, ppoll) {
  int p[2];
  CHECK_OK(pipe(p));
  CHECK_EQ(write(p[1], "x", 1), 1);
  on_signal(SIGUSR1, hit, 0);
  block_signal(SIGUSR1);
  CHECK_OK(raise(SIGUSR1));
  sigset_t none;
  sigemptyset(&none);
  struct pollfd f = {p[0], POLLIN, 0};
  CHECK_EQ(ppoll(&f, 1, NULL, &none), 1);
  CHECK_EQ(hits, 0); // the call succeeded, so the mask is put back before the signal can be delivered
}
