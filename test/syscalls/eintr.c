// EINTR and SA_RESTART: which blocking calls restart after a handler, and which never do.
#include "test.h"
#include <mqueue.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/socket.h>

static volatile sig_atomic_t hits;
static void hit(int sig) { (void)sig, hits++; }

// Runs the last argument in a child that has a SIGUSR1 handler, sends the signal when the child sleeps, then, for the restarting
// case, `release`s it. The child's CHECKs judge.
#define INTERRUPT(flags, release, ...)    \
  do {                                    \
    pid_t it = fork();                    \
    if (!it) {                            \
      on_signal(SIGUSR1, hit, flags);     \
      __VA_ARGS__;                        \
      CHECK_EQ(hits, 1);                  \
      _exit(0);                           \
    }                                     \
    until_sleeps(it);                     \
    CHECK_OK(kill(it, SIGUSR1));          \
    msleep(5);                            \
    until_maybe_sleeps(it);               \
    release;                              \
    WAIT_OK(it);                          \
  } while (0)
static void until_maybe_sleeps(pid_t pid) {
  for (int i = 0; i < 100; i++) {
    char c = task_state(pid, pid);
    if (c == 'S' || c == 'Z') return;
    msleep(2);
  }
}

static char c;
static int p[2];

TEST(read_pipe_eintr, read, rt_sigaction) {
  CHECK_OK(pipe(p));
  INTERRUPT(0, (void)0, CHECK_ERRNO(read(p[0], &c, 1), EINTR));
}
TEST(read_pipe_restarts, read, rt_sigaction) {
  CHECK_OK(pipe(p));
  INTERRUPT(SA_RESTART, CHECK_EQ(write(p[1], "x", 1), 1), CHECK_EQ(read(p[0], &c, 1), 1));
}
TEST(write_pipe_eintr_counts_what_was_written, rt_sigaction, write) {
  static char big[100000];
  CHECK_OK(pipe(p));
  INTERRUPT(0, (void)0, CHECK_EQ(write(p[1], big, sizeof big), 65536));
}
TEST(write_full_pipe_restarts, rt_sigaction, write) {
  static char big[65536];
  CHECK_OK(pipe(p));
  CHECK_EQ(write(p[1], big, 65536), 65536);
  INTERRUPT(SA_RESTART, CHECK_EQ(read(p[0], big, 4096), 4096), CHECK_EQ(write(p[1], "x", 1), 1));
}
TEST(wait_eintr_and_restart, rt_sigaction) {
  INTERRUPT(0, (void)0, {
    pid_t q = fork();
    if (!q)
      for (;;) pause();
    CHECK_ERRNO(waitpid(q, NULL, 0), EINTR);
    kill(q, SIGKILL);
  });
  struct gate g = gate_new();
  INTERRUPT(SA_RESTART, gate_open(&g), {
    pid_t q = fork();
    if (!q) {
      gate_wait(&g);
      _exit(0);
    }
    CHECK_EQ(waitpid(q, NULL, 0), q);
  });
}
TEST(nanosleep_never_restarts, clock_nanosleep, rt_sigaction) {
  INTERRUPT(SA_RESTART, (void)0, {
    struct timespec ts = {5, 0}, rem = {0, 0};
    CHECK_ERRNO(nanosleep(&ts, &rem), EINTR);
    CHECK(rem.tv_sec >= 3 && rem.tv_sec <= 5);
  });
}
TEST(poll_never_restarts, poll, rt_sigaction) {
  CHECK_OK(pipe(p));
  INTERRUPT(SA_RESTART, (void)0, {
    struct pollfd f = {p[0], POLLIN, 0};
    CHECK_ERRNO(poll(&f, 1, -1), EINTR);
  });
}
TEST(select_never_restarts, pselect6, rt_sigaction) {
  INTERRUPT(SA_RESTART, (void)0, CHECK_ERRNO(select(0, NULL, NULL, NULL, NULL), EINTR));
}
TEST(epoll_wait_never_restarts, epoll_create1, epoll_wait, rt_sigaction) {
  INTERRUPT(SA_RESTART, (void)0, {
    struct epoll_event e;
    CHECK_ERRNO(epoll_wait(epoll_create1(0), &e, 1, -1), EINTR);
  });
}
TEST(pause_never_restarts, pause, rt_sigaction) {
  INTERRUPT(SA_RESTART, (void)0, CHECK_ERRNO(pause(), EINTR));
}
TEST(flock_eintr_and_restart, flock, rt_sigaction) {
  put_file("f", "");
  int fd = open("f", O_RDWR);
  CHECK_OK(flock(fd, LOCK_EX));
  INTERRUPT(0, (void)0, CHECK_ERRNO(flock(open("f", O_RDWR), LOCK_EX), EINTR));
  INTERRUPT(SA_RESTART, CHECK_OK(flock(fd, LOCK_UN)), CHECK_OK(flock(open("f", O_RDWR), LOCK_EX)));
}
TEST(fcntl_lock_eintr_and_restart, fcntl, rt_sigaction) {
  put_file("f", "");
  int fd = open("f", O_RDWR);
  struct flock l = {.l_type = F_WRLCK}, u = {.l_type = F_UNLCK};
  CHECK_OK(fcntl(fd, F_SETLK, &l));
  INTERRUPT(0, (void)0, CHECK_ERRNO(fcntl(fd, F_SETLKW, &l), EINTR));
  INTERRUPT(SA_RESTART, CHECK_OK(fcntl(fd, F_SETLK, &u)), CHECK_OK(fcntl(fd, F_SETLKW, &l)));
}
TEST(fifo_open_eintr, mknodat, rt_sigaction) {
  CHECK_OK(mkfifo("p", 0600));
  INTERRUPT(0, (void)0, CHECK_ERRNO(open("p", O_RDONLY), EINTR));
}
TEST(recv_eintr_and_restart, recvfrom, rt_sigaction, sendto) {
  CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, p));
  INTERRUPT(0, (void)0, CHECK_ERRNO(recv(p[0], &c, 1, 0), EINTR));
  INTERRUPT(SA_RESTART, CHECK_EQ(send(p[1], "x", 1, 0), 1), CHECK_EQ(recv(p[0], &c, 1, 0), 1));
}
TEST(recv_with_timeout_never_restarts, recvfrom, rt_sigaction) {
  CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, p));
  struct timeval tv = {5, 0};
  CHECK_OK(setsockopt(p[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
  INTERRUPT(SA_RESTART, (void)0, CHECK_ERRNO(recv(p[0], &c, 1, 0), EINTR));
}
TEST(accept_eintr, accept, rt_sigaction) {
  int s = socket(AF_UNIX, SOCK_STREAM, 0);
  struct sockaddr sa = {AF_UNIX, ""};
  CHECK_OK(bind(s, &sa, 2)); // autobind
  CHECK_OK(listen(s, 1));
  INTERRUPT(0, (void)0, CHECK_ERRNO(accept(s, NULL, NULL), EINTR));
}
TEST(semop_never_restarts, rt_sigaction, semctl, semget, semtimedop) {
  int id = semget(IPC_PRIVATE, 1, 0600);
  CHECK(id >= 0);
  INTERRUPT(SA_RESTART, (void)0, {
    struct sembuf b = {0, -1, 0};
    CHECK_ERRNO(semop(id, &b, 1), EINTR);
  });
  CHECK_OK(semctl(id, 0, IPC_RMID));
}
TEST(msgrcv_never_restarts, msgctl, msgget, msgrcv, rt_sigaction) {
  int id = msgget(IPC_PRIVATE, 0600);
  CHECK(id >= 0);
  INTERRUPT(SA_RESTART, (void)0, {
    char m[64];
    CHECK_ERRNO(msgrcv(id, m, 16, 0, 0), EINTR);
  });
  CHECK_OK(msgctl(id, IPC_RMID, NULL));
}
TEST(eventfd_read_restarts, eventfd2, read, rt_sigaction) {
  int fd = eventfd(0, 0);
  uint64_t v = 1;
  INTERRUPT(SA_RESTART, CHECK_EQ(write(fd, &v, 8), 8), CHECK_EQ(read(fd, &v, 8), 8));
}
TEST(stop_and_continue_does_not_interrupt) {
  CHECK_OK(pipe(p));
  pid_t pid = fork();
  if (!pid) {
    CHECK_EQ(read(p[0], &c, 1), 1);
    _exit(0);
  }
  until_sleeps(pid);
  int st;
  CHECK_OK(kill(pid, SIGSTOP));
  CHECK_EQ(waitpid(pid, &st, WUNTRACED), pid);
  CHECK_OK(kill(pid, SIGCONT));
  CHECK_EQ(waitpid(pid, &st, WCONTINUED), pid);
  CHECK_EQ(write(p[1], "x", 1), 1);
  WAIT_OK(pid);
}
TEST(stop_and_continue_keeps_the_deadline, clock_nanosleep) {
  pid_t pid = fork();
  if (!pid) {
    double start = now();
    struct timespec ts = {0, 150000000};
    CHECK_OK(nanosleep(&ts, NULL)); // restarted by restart_syscall with what is left
    double took = now() - start;
    CHECK(took >= 0.149 && took < 1);
    _exit(0);
  }
  until_sleeps(pid);
  int st;
  CHECK_OK(kill(pid, SIGSTOP));
  CHECK_EQ(waitpid(pid, &st, WUNTRACED), pid);
  CHECK_OK(kill(pid, SIGCONT));
  WAIT_OK(pid);
}
TEST(ignored_signal_does_not_interrupt) {
  CHECK_OK(pipe(p));
  pid_t pid = fork();
  if (!pid) {
    signal(SIGUSR1, SIG_IGN);
    CHECK_EQ(read(p[0], &c, 1), 1);
    _exit(0);
  }
  until_sleeps(pid);
  CHECK_OK(kill(pid, SIGWINCH));
  msleep(5);
  CHECK_EQ(write(p[1], "x", 1), 1);
  WAIT_OK(pid);
}
