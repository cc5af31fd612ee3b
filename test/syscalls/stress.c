// Many at once: forks, execs, threads, signals, pipes, maps and sockets in parallel. What is checked is that nothing is
// lost, mixed up or left hanging.
#include "test.h"
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#define WORKERS 4
// Runs the body in WORKERS processes (number `w`) and waits for all.
#define IN_PROCESSES(...)                       \
  do {                                          \
    pid_t kids[WORKERS];                        \
    for (int w = 0; w < WORKERS; w++) {         \
      kids[w] = fork();                         \
      if (!kids[w]) {                           \
        __VA_ARGS__;                            \
        _exit(0);                               \
      }                                         \
    }                                           \
    for (int w = 0; w < WORKERS; w++) WAIT_OK(kids[w]); \
  } while (0)

static void in_threads(int n, void *(*body)(void *)) {
  pthread_t t[32];
  void *r;
  for (long i = 0; i < n; i++) CHECK_EQ(pthread_create(&t[i], NULL, body, (void *)i), 0);
  for (int i = 0; i < n; i++) {
    CHECK_EQ(pthread_join(t[i], &r), 0);
    CHECK(r == NULL);
  }
}

TEST(fork_storm) {
  IN_PROCESSES({
    for (int i = 0; i < 40; i++) {
      pid_t pid = fork();
      if (!pid) _exit((i + w) & 127);
      WAIT_STATUS(pid, ((i + w) & 127) << 8);
    }
  });
}

TEST(exec_storm, pread64, vfork) {
  IN_PROCESSES({
    for (int i = 0; i < 15; i++) {
      pid_t pid = i & 1 ? vfork() : fork();
      if (!pid) {
        execl("/bin/true", "true", NULL);
        _exit(1);
      }
      WAIT_OK(pid);
    }
  });
}

static void *spawn_in_thread(void *arg) {
  for (int i = 0; i < 10; i++) {
    int st = -1;
    pid_t pid = fork();
    if (!pid) _exit((int)(long)arg);
    if (test_wait(pid, &st) != pid || st != (int)(long)arg << 8) return (void *)1;
  }
  return NULL;
}
TEST(threads_that_fork) { in_threads(8, spawn_in_thread); }

static void *map_and_touch(void *arg) {
  for (int i = 0; i < 150; i++) {
    size_t n = 4096 * (1 + i % 7);
    char *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || p[n - 1]) return (void *)1;
    memset(p, (int)(long)arg + 1, n);
    if (mprotect(p, 4096, PROT_READ)) return (void *)2;
    if (p[0] != (long)arg + 1 || munmap(p, n)) return (void *)3;
  }
  return NULL;
}
TEST(threads_that_map) { in_threads(8, map_and_touch); }

static void *nothing(void *arg) { return arg; }
static void *make_threads(void *arg) {
  (void)arg;
  for (int i = 0; i < 20; i++) {
    pthread_t t;
    if (pthread_create(&t, NULL, nothing, NULL)) return (void *)1;
    if (pthread_join(t, NULL)) return (void *)2;
  }
  return NULL;
}
TEST(threads_that_make_threads) { in_threads(6, make_threads); }

static void *small_calls(void *arg) {
  (void)arg;
  pid_t pid = getpid();
  for (int i = 0; i < 3000; i++)
    if (syscall(SYS_getpid) != pid || syscall(SYS_getppid) <= 0) return (void *)1;
  return NULL;
}
TEST(threads_with_small_calls) { in_threads(8, small_calls); }

TEST(ping_pong) {
  IN_PROCESSES({
    int a[2];
    int b[2];
    CHECK_OK(pipe(a));
    CHECK_OK(pipe(b));
    pid_t pid = fork();
    char c = 'x';
    for (int i = 0; i < 400; i++) {
      if (pid) {
        CHECK_EQ(write(a[1], &c, 1), 1);
        CHECK_EQ(read(b[0], &c, 1), 1);
      } else {
        CHECK_EQ(read(a[0], &c, 1), 1);
        CHECK_EQ(write(b[1], &c, 1), 1);
      }
    }
    if (!pid) _exit(0);
    WAIT_OK(pid);
  });
}

static atomic_int got_signals;
static void count_signal(int sig) { (void)sig, atomic_fetch_add(&got_signals, 1); }
TEST(no_queued_signal_is_lost, rt_sigqueueinfo) {
  on_signal(SIGRTMIN, count_signal, SA_RESTART);
  pid_t me = getpid(), kids[WORKERS];
  for (int w = 0; w < WORKERS; w++) {
    kids[w] = fork();
    if (!kids[w]) {
      for (int i = 0; i < 200; i++)
        while (sigqueue(me, SIGRTMIN, (union sigval){.sival_int = i})) CHECK_EQ(errno, EAGAIN);
      _exit(0);
    }
  }
  for (int w = 0; w < WORKERS; w++) WAIT_OK(kids[w]);
  for (int i = 0; i < 500 && got_signals < 200 * WORKERS; i++) msleep(2);
  CHECK_EQ(got_signals, 200 * WORKERS);
}

static volatile double tick_sum;
static void on_tick(int sig) {
  (void)sig;
  volatile double x = 1;
  for (int i = 0; i < 10; i++) x = x * 1.5 + 1;
  tick_sum += x;
}
TEST(computing_under_timer_signals, setitimer) {
  struct itimerval it = {{0, 1000}, {0, 1000}};
  on_signal(SIGALRM, on_tick, SA_RESTART);
  CHECK_OK(setitimer(ITIMER_REAL, &it, NULL));
  double end = now() + 0.4;
  while (now() < end) {
    double x = 0;
    for (int i = 1; i < 1000; i++) x += 1.0 / i;
    CHECK(x > 7.484 && x < 7.485);
    char b[32];
    snprintf(b, sizeof b, "%.6f", x);
    CHECK_STR(b, "7.484471");
  }
  CHECK(tick_sum > 0);
}

TEST(appending_writers) {
  IN_PROCESSES({
    int fd = open("log", O_WRONLY | O_APPEND | O_CREAT, 0644);
    char line[32];
    for (int i = 0; i < 200; i++) {
      int n = snprintf(line, sizeof line, "writer %d line %03d\n", w, i);
      CHECK_EQ(write(fd, line, n), n);
    }
  });
  FILE *f = fopen("log", "r");
  int next[WORKERS] = {0}, w, i, lines = 0;
  while (fscanf(f, "writer %d line %d\n", &w, &i) == 2) {
    CHECK(w >= 0 && w < WORKERS);
    CHECK_EQ(i, next[w]++);
    lines++;
  }
  CHECK_EQ(lines, 200 * WORKERS);
}

TEST(files_made_and_removed_in_one_directory, rename) {
  IN_PROCESSES({
    char name[32];
    for (int i = 0; i < 100; i++) {
      snprintf(name, sizeof name, "w%d-%d", w, i);
      put_file(name, name);
      CHECK_STR(get_file(name), name);
      CHECK_OK(rename(name, "common"));
      if (i % 3 == 0) CHECK(unlink("common") == 0 || errno == ENOENT);
    }
  });
}

static int ep_fd, ev_fds[16];
static atomic_int ep_seen;
static void *drain_events(void *arg) {
  (void)arg;
  for (;;) {
    struct epoll_event e;
    if (epoll_wait(ep_fd, &e, 1, 3000) != 1) return (void *)1;
    uint64_t v;
    if (e.data.u32 == 99) return NULL;
    if (read(ev_fds[e.data.u32], &v, 8) == 8) atomic_fetch_add(&ep_seen, v);
    struct epoll_event again = {EPOLLIN | EPOLLONESHOT, {.u32 = e.data.u32}};
    if (epoll_ctl(ep_fd, EPOLL_CTL_MOD, ev_fds[e.data.u32], &again)) return (void *)2;
  }
}
TEST(epoll_shared_by_threads, epoll_create1, epoll_ctl, epoll_wait, eventfd2) {
  ep_fd = epoll_create1(0);
  for (int i = 0; i < 16; i++) {
    ev_fds[i] = eventfd(0, EFD_NONBLOCK);
    struct epoll_event e = {EPOLLIN | EPOLLONESHOT, {.u32 = i}};
    CHECK_OK(epoll_ctl(ep_fd, EPOLL_CTL_ADD, ev_fds[i], &e));
  }
  pthread_t t[4];
  for (int i = 0; i < 4; i++) CHECK_EQ(pthread_create(&t[i], NULL, drain_events, NULL), 0);
  uint64_t one = 1;
  for (int i = 0; i < 2000; i++) CHECK_EQ(write(ev_fds[i % 16], &one, 8), 8);
  for (int i = 0; i < 1000 && ep_seen < 2000; i++) msleep(2);
  CHECK_EQ(ep_seen, 2000);
  struct epoll_event stop = {EPOLLIN, {.u32 = 99}};
  CHECK_OK(epoll_ctl(ep_fd, EPOLL_CTL_ADD, eventfd(1, 0), &stop));
  for (int i = 0; i < 4; i++) {
    void *r;
    CHECK_EQ(pthread_join(t[i], &r), 0);
    CHECK(r == NULL);
  }
}

TEST(a_server_with_many_clients) {
  struct sockaddr_un a = {AF_UNIX, "sock"};
  int s = socket(AF_UNIX, SOCK_STREAM, 0);
  CHECK_OK(bind(s, (void *)&a, sizeof a));
  CHECK_OK(listen(s, 64));
  pid_t server = fork();
  if (!server) {
    for (int i = 0; i < WORKERS * 30; i++) {
      char b[64];
      int c = accept(s, NULL, NULL);
      ssize_t n = read(c, b, sizeof b);
      CHECK(n > 0);
      CHECK_EQ(write(c, b, n), n);
      CHECK_OK(close(c));
    }
    _exit(0);
  }
  IN_PROCESSES({
    for (int i = 0; i < 30; i++) {
      char out[32];
      char in[64] = "";
      int c = socket(AF_UNIX, SOCK_STREAM, 0);
      CHECK_OK(connect(c, (void *)&a, sizeof a));
      int n = snprintf(out, sizeof out, "client %d call %d", w, i);
      CHECK_EQ(write(c, out, n), n);
      size_t have = 0;
      ssize_t r;
      while ((r = read(c, in + have, sizeof in - 1 - have)) > 0) have += r;
      CHECK_STR(in, out);
      CHECK_OK(close(c));
    }
  });
  WAIT_OK(server);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t not_empty = PTHREAD_COND_INITIALIZER, not_full = PTHREAD_COND_INITIALIZER;
static int queue[8], queued;
static long taken;
static void *produce_or_consume(void *arg) {
  for (int i = 0; i < 300; i++) {
    pthread_mutex_lock(&lock);
    if ((long)arg % 2) {
      while (queued == 8) pthread_cond_wait(&not_full, &lock);
      queue[queued++] = i;
      pthread_cond_signal(&not_empty);
    } else {
      while (queued == 0) pthread_cond_wait(&not_empty, &lock);
      taken += queue[--queued];
      pthread_cond_signal(&not_full);
    }
    pthread_mutex_unlock(&lock);
  }
  return NULL;
}
TEST(producers_and_consumers) {
  in_threads(8, produce_or_consume);
  CHECK(queued == 0 && taken == 4 * 299 * 300 / 2);
}

static void *wait_for_ever(void *arg) {
  while (pause()) continue;
  return arg;
}
TEST(exit_with_busy_threads) {
  for (int i = 0; i < 10; i++) {
    pid_t pid = fork();
    if (!pid) {
      pthread_t t;
      for (int k = 0; k < 6; k++) pthread_create(&t, NULL, k % 2 ? small_calls : wait_for_ever, NULL);
      _exit(i);
    }
    WAIT_STATUS(pid, i << 8);
  }
}

TEST(killed_at_any_moment) {
  for (int i = 0; i < 30; i++) {
    pid_t pid = fork();
    if (!pid)
      for (;;) {
        pid_t q = fork();
        if (!q) _exit(0);
        test_wait(q, NULL);
        close(open("/dev/null", O_RDONLY));
      }
    struct timespec ts = {0, 100000 * i};
    nanosleep(&ts, NULL);
    CHECK_OK(kill(pid, SIGKILL));
    WAIT_STATUS(pid, SIGKILL);
  }
}

TEST(copy_on_write_trees) {
  size_t n = 2 << 20;
  unsigned char *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (size_t i = 0; i < n; i += 512) p[i] = i / 512;
  IN_PROCESSES({
    for (size_t i = 0; i < n; i += 512) p[i] ^= (unsigned char)(w + 1);
    pid_t pid = fork();
    for (size_t i = 0; i < n; i += 512) CHECK_EQ(p[i], (unsigned char)(i / 512) ^ (unsigned char)(w + 1));
    if (!pid) _exit(0);
    WAIT_OK(pid);
  });
  for (size_t i = 0; i < n; i += 512) CHECK_EQ(p[i], (unsigned char)(i / 512));
}
