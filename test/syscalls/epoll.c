// epoll: level and edge triggered, one-shot, nested, exclusive.
#include "test.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>

static int ep;
static void add(int fd, uint32_t events, uint64_t data) {
  struct epoll_event e = {events, {.u64 = data}};
  CHECK_OK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
}
static struct epoll_event out[16];
static int wait_now(void) { return epoll_wait(ep, out, 16, 0); }

TEST(create, epoll_create, epoll_create1) {
  int fd = epoll_create1(EPOLL_CLOEXEC);
  CHECK(fd >= 0);
  CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
  CHECK_ERRNO(epoll_create1(1), EINVAL);
  CHECK_ERRNO(epoll_create(0), EINVAL);
  CHECK_OK(epoll_create(1));
}

TEST(ctl_errors, epoll_create1, epoll_ctl, epoll_wait) {
  ep = epoll_create1(0);
  int p[2];
  CHECK_OK(pipe(p));
  struct epoll_event e = {EPOLLIN, {0}};
  CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, -1, &e), EBADF);
  CHECK_ERRNO(epoll_ctl(-1, EPOLL_CTL_ADD, p[0], &e), EBADF);
  CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, ep, &e), EINVAL);
  CHECK_ERRNO(epoll_ctl(p[0], EPOLL_CTL_ADD, p[1], &e), EINVAL);
  CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &e), ENOENT);
  CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_DEL, p[0], &e), ENOENT);
  CHECK_OK(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e));
  CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e), EEXIST);
  CHECK_ERRNO(epoll_ctl(ep, 9, p[0], &e), EINVAL);
  CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], (void *)8), EFAULT);
  put_file("f", "");
  CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, open("f", O_RDONLY), &e), EPERM);
  CHECK_ERRNO(epoll_wait(ep, out, 0, 0), EINVAL);
  CHECK_ERRNO(epoll_wait(p[0], out, 1, 0), EINVAL);
  CHECK_OK(epoll_ctl(ep, EPOLL_CTL_DEL, p[0], NULL));
}

TEST(level_triggered, epoll_create1, epoll_ctl, epoll_wait) {
  int p[2];
  char c;
  ep = epoll_create1(0);
  CHECK_OK(pipe(p));
  add(p[0], EPOLLIN, 42);
  CHECK_EQ(wait_now(), 0);
  CHECK_EQ(write(p[1], "ab", 2), 2);
  CHECK_EQ(wait_now(), 1);
  CHECK(out[0].events == EPOLLIN && out[0].data.u64 == 42);
  CHECK_EQ(read(p[0], &c, 1), 1);
  CHECK_EQ(wait_now(), 1);
  CHECK_EQ(read(p[0], &c, 1), 1);
  CHECK_EQ(wait_now(), 0);
  CHECK_OK(close(p[1]));
  CHECK_EQ(wait_now(), 1);
  CHECK_EQ(out[0].events, EPOLLHUP);
}

TEST(edge_triggered, epoll_create1, epoll_ctl, epoll_wait) {
  int p[2];
  char c;
  ep = epoll_create1(0);
  CHECK_OK(pipe(p));
  add(p[0], EPOLLIN | EPOLLET, 1);
  CHECK_EQ(write(p[1], "a", 1), 1);
  CHECK_EQ(wait_now(), 1);
  CHECK_EQ(wait_now(), 0);
  CHECK_EQ(write(p[1], "b", 1), 1); // news, although unread data was there
  CHECK_EQ(wait_now(), 1);
  CHECK_EQ(read(p[0], &c, 1), 1);
  CHECK_EQ(wait_now(), 0);
}

TEST(edge_triggered_out, epoll_create1, epoll_ctl, epoll_wait) {
  int p[2];
  static char b[65536];
  ep = epoll_create1(0);
  CHECK_OK(pipe2(p, O_NONBLOCK));
  add(p[1], EPOLLOUT | EPOLLET, 1);
  CHECK_EQ(wait_now(), 1);
  CHECK_EQ(wait_now(), 0);
  CHECK_EQ(write(p[1], b, 65536), 65536);
  CHECK_EQ(wait_now(), 0);
  CHECK_EQ(read(p[0], b, 65536), 65536);
  CHECK_EQ(wait_now(), 1);
}

TEST(one_shot, epoll_create1, epoll_ctl, epoll_wait) {
  int p[2];
  ep = epoll_create1(0);
  CHECK_OK(pipe(p));
  add(p[0], EPOLLIN | EPOLLONESHOT, 1);
  CHECK_EQ(write(p[1], "a", 1), 1);
  CHECK_EQ(wait_now(), 1);
  CHECK_EQ(wait_now(), 0);
  CHECK_EQ(write(p[1], "a", 1), 1);
  CHECK_EQ(wait_now(), 0);
  struct epoll_event e = {EPOLLIN | EPOLLONESHOT, {.u64 = 2}};
  CHECK_OK(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &e));
  CHECK_EQ(wait_now(), 1);
  CHECK_EQ(out[0].data.u64, 2);
}

TEST(modify_reports_at_once, epoll_create1, epoll_ctl, epoll_wait) {
  int p[2];
  ep = epoll_create1(0);
  CHECK_OK(pipe(p));
  add(p[1], EPOLLIN | EPOLLET, 1);
  CHECK_EQ(wait_now(), 0);
  struct epoll_event e = {EPOLLOUT | EPOLLET, {.u64 = 9}};
  CHECK_OK(epoll_ctl(ep, EPOLL_CTL_MOD, p[1], &e));
  CHECK_EQ(wait_now(), 1);
  CHECK(out[0].events == EPOLLOUT && out[0].data.u64 == 9);
}

TEST(nested, epoll_create1, epoll_ctl, epoll_wait) {
  int p[2], inner = epoll_create1(0);
  CHECK_OK(pipe(p));
  ep = inner;
  add(p[0], EPOLLIN, 1);
  ep = epoll_create1(0);
  add(inner, EPOLLIN, 2);
  CHECK_EQ(wait_now(), 0);
  CHECK_EQ(write(p[1], "x", 1), 1);
  CHECK_EQ(wait_now(), 1);
  CHECK_EQ(out[0].data.u64, 2);
  struct pollfd f = {ep, POLLIN, 0};
  CHECK_EQ(poll(&f, 1, 0), 1);
  struct epoll_event e = {EPOLLIN, {0}};
  CHECK_ERRNO(epoll_ctl(inner, EPOLL_CTL_ADD, ep, &e), ELOOP);
  char c;
  CHECK_EQ(read(p[0], &c, 1), 1);
  CHECK_EQ(wait_now(), 0);
}

TEST(closing_removes, epoll_create1, epoll_ctl, epoll_wait) {
  int p[2];
  ep = epoll_create1(0);
  CHECK_OK(pipe(p));
  CHECK_EQ(write(p[1], "x", 1), 1);
  add(p[0], EPOLLIN, 1);
  int d = dup(p[0]);
  CHECK_OK(close(p[0]));
  CHECK_EQ(wait_now(), 1); // the description lives
  CHECK_OK(close(d));
  CHECK_EQ(wait_now(), 0);
}

TEST(two_descriptors_of_one_description, epoll_create1, epoll_ctl, epoll_wait) {
  int p[2];
  ep = epoll_create1(0);
  CHECK_OK(pipe(p));
  int d = dup(p[0]);
  add(p[0], EPOLLIN, 1);
  add(d, EPOLLIN, 2);
  CHECK_EQ(write(p[1], "x", 1), 1);
  CHECK_EQ(wait_now(), 2);
  CHECK_EQ(out[0].data.u64 + out[1].data.u64, 3);
}

TEST(max_events_rotates, epoll_create1, epoll_ctl, epoll_wait, eventfd2) {
  ep = epoll_create1(0);
  for (int i = 0; i < 5; i++) add(eventfd(1, 0), EPOLLIN, i);
  int seen = 0;
  for (int i = 0; i < 5; i++) {
    CHECK_EQ(epoll_wait(ep, out, 1, 0), 1);
    seen |= 1 << out[0].data.u64;
  }
  CHECK_EQ(seen, 31);
}

TEST(timeout, epoll_create1, epoll_pwait2, epoll_wait) {
  ep = epoll_create1(0);
  double start = now();
  CHECK_EQ(epoll_wait(ep, out, 1, 40), 0);
  CHECK(now() - start >= 0.039);
  struct timespec ts = {0, 20000000};
  start = now();
  long r = syscall(SYS_epoll_pwait2, ep, out, 1, &ts, NULL, 0);
  CHECK_EQ(r, 0);
  CHECK(now() - start >= 0.019);
}

static volatile sig_atomic_t hits;
static void hit(int sig) { (void)sig, hits++; }
TEST(pwait_mask_and_eintr, epoll_create1, epoll_pwait) {
  ep = epoll_create1(0);
  on_signal(SIGUSR1, hit, SA_RESTART);
  block_signal(SIGUSR1);
  CHECK_OK(raise(SIGUSR1));
  sigset_t none;
  sigemptyset(&none);
  CHECK_ERRNO(epoll_pwait(ep, out, 1, 5000, &none), EINTR);
  CHECK_EQ(hits, 1);
}

TEST(waiter_is_woken, epoll_create1, epoll_ctl, epoll_wait) {
  int p[2];
  ep = epoll_create1(0);
  CHECK_OK(pipe(p));
  add(p[0], EPOLLIN, 7);
  pid_t pid = fork();
  if (!pid) {
    CHECK_EQ(epoll_wait(ep, out, 16, 5000), 1);
    CHECK_EQ(out[0].data.u64, 7);
    _exit(0);
  }
  until_sleeps(pid);
  CHECK_EQ(write(p[1], "x", 1), 1);
  WAIT_OK(pid);
}

TEST(add_while_waiting, epoll_create1, epoll_ctl, epoll_wait, eventfd2) {
  ep = epoll_create1(0);
  pid_t pid = fork();
  if (!pid) {
    CHECK_EQ(epoll_wait(ep, out, 16, 5000), 1);
    _exit(0);
  }
  until_sleeps(pid);
  add(eventfd(1, 0), EPOLLIN, 7);
  WAIT_OK(pid);
}

TEST(exclusive_flags, epoll_create1, epoll_ctl, epoll_wait) {
  int p[2];
  ep = epoll_create1(0);
  CHECK_OK(pipe(p));
  add(p[0], EPOLLIN | EPOLLEXCLUSIVE, 1);
  struct epoll_event e = {EPOLLIN, {0}};
  CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &e), EINVAL);
  e.events = EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT;
  CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, p[1], &e), EINVAL);
  e.events = EPOLLIN | EPOLLEXCLUSIVE;
  CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, epoll_create1(0), &e), EINVAL);
  CHECK_EQ(write(p[1], "x", 1), 1);
  CHECK_EQ(wait_now(), 1);
}

TEST(rdhup_and_err_are_reported, epoll_create1, epoll_ctl, epoll_wait) {
  int p[2];
  ep = epoll_create1(0);
  CHECK_OK(pipe(p));
  add(p[1], 0, 3);
  CHECK_EQ(wait_now(), 0);
  CHECK_OK(close(p[0]));
  CHECK_EQ(wait_now(), 1);
  CHECK_EQ(out[0].events, EPOLLERR);
}
