// Rows in which one thread or process waits for another: pipes, futexes, eventfds, unix sockets. One operation is a round trip.
#include "bench.h"

#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CHUNK = 65536 };

static int there[2], back[2], sockets[2];
static int event_fd, event_set, answer_fd, answer_set;
static uint32_t *turn;
static int futex_private;
static char chunk[CHUNK];

static void start_thread(void *(*body)(void *)) {
  pthread_t thread;
  int error = pthread_create(&thread, NULL, body, NULL);
  if (error) fail("pthread_create: error %d", error);
}

// The other process ends with the row's.
static void start_process(void *(*body)(void *)) {
  if (MUST(fork()) > 0) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  body(NULL);
  _exit(0);
}

static void *pipe_peer(void *arg) {
  char c;
  while (read(there[0], &c, 1) == 1)
    if (write(back[1], &c, 1) != 1) break;
  return arg;
}

static void make_pipes(void) {
  MUST(pipe(there));
  MUST(pipe(back));
}

static void prepare_pipe_threads(void) {
  make_pipes();
  start_thread(pipe_peer);
}

static void prepare_pipe_processes(void) {
  make_pipes();
  start_process(pipe_peer);
}

static void op_pipe_round(long n) {
  char c = 'x';
  while (n-- > 0) {
    MUST(write(there[1], &c, 1));
    MUST(read(back[0], &c, 1));
  }
}

// Gives the turn away, then waits until it is back. The word says whose turn it is: 0 the row's, 1 the peer's.
static void wait_turn(uint32_t mine) {
  uint32_t now;
  while ((now = __atomic_load_n(turn, __ATOMIC_ACQUIRE)) != mine) syscall(SYS_futex, turn, FUTEX_WAIT | futex_private, now, NULL);
}

static void give_turn(uint32_t to) {
  __atomic_store_n(turn, to, __ATOMIC_RELEASE);
  syscall(SYS_futex, turn, FUTEX_WAKE | futex_private, 1);
}

static void *futex_peer(void *arg) {
  for (;;) {
    wait_turn(1);
    give_turn(0);
  }
  return arg;
}

static void make_turn(int flags) {
  turn = mmap(NULL, 4096, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
  if (turn == MAP_FAILED) fail("mmap: %m");
}

static void prepare_futex_threads(void) {
  make_turn(MAP_PRIVATE);
  futex_private = FUTEX_PRIVATE_FLAG;
  start_thread(futex_peer);
}

static void prepare_futex_processes(void) {
  make_turn(MAP_SHARED);
  start_process(futex_peer);
}

static void op_futex_round(long n) {
  while (n-- > 0) {
    give_turn(1);
    wait_turn(0);
  }
}

static void make_event(int *fd, int *set) {
  *fd = MUST(eventfd(0, 0));
  *set = MUST(epoll_create1(0));
  struct epoll_event wanted = {.events = EPOLLIN};
  MUST(epoll_ctl(*set, EPOLL_CTL_ADD, *fd, &wanted));
}

static void signal_event(int fd) {
  uint64_t one = 1;
  MUST(write(fd, &one, sizeof one));
}

static void await_event(int fd, int set) {
  struct epoll_event event;
  uint64_t count;
  MUST(epoll_wait(set, &event, 1, -1));
  MUST(read(fd, &count, sizeof count));
}

static void prepare_epoll(void) { make_event(&event_fd, &event_set); }

static void op_epoll(long n) {
  while (n-- > 0) {
    signal_event(event_fd);
    await_event(event_fd, event_set);
  }
}

static void *event_peer(void *arg) {
  for (;;) {
    await_event(event_fd, event_set);
    signal_event(answer_fd);
  }
  return arg;
}

static void prepare_epoll_wake(void) {
  make_event(&event_fd, &event_set);
  make_event(&answer_fd, &answer_set);
  start_thread(event_peer);
}

static void op_epoll_wake(long n) {
  while (n-- > 0) {
    signal_event(event_fd);
    await_event(answer_fd, answer_set);
  }
}

static void *socket_peer(void *arg) {
  char c;
  while (read(sockets[1], &c, 1) == 1)
    if (write(sockets[1], &c, 1) != 1) break;
  return arg;
}

static void prepare_socket_round(void) {
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
  start_process(socket_peer);
}

static void op_socket_round(long n) {
  char c = 'x';
  while (n-- > 0) {
    MUST(write(sockets[0], &c, 1));
    MUST(read(sockets[0], &c, 1));
  }
}

static void read_all(int fd, void *to, long size) {
  for (long at = 0; at < size;) {
    long got = MUST(read(fd, (char *)to + at, size - at));
    if (got == 0) _exit(0);
    at += got;
  }
}

// Reads as many chunks as it is told, then says so by one byte.
static void *stream_peer(void *arg) {
  static char into[CHUNK];
  for (;;) {
    long n;
    read_all(sockets[1], &n, sizeof n);
    while (n-- > 0) read_all(sockets[1], into, CHUNK);
    MUST(write(sockets[1], into, 1));
  }
  return arg;
}

static void prepare_stream(void) {
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
  start_process(stream_peer);
}

static void op_stream(long n) {
  MUST(write(sockets[0], &n, sizeof n));
  while (n-- > 0)
    for (long at = 0; at < CHUNK;) at += MUST(write(sockets[0], chunk + at, CHUNK - at));
  MUST(read(sockets[0], chunk, 1));
}

// No call at all: two processors hand a cache line to each other, which is what Sentry and guest do for every call.
static _Alignas(64) uint32_t line;

static void *bounce_back(void *arg) {
  for (uint32_t n = 1;; n += 2) {
    while (__atomic_load_n(&line, __ATOMIC_SEQ_CST) != n) {
    }
    __atomic_exchange_n(&line, n + 1, __ATOMIC_SEQ_CST);
  }
  return arg;
}

static void prepare_bounce(void) { start_thread(bounce_back); }

static void op_bounce(long n) {
  while (n-- > 0) {
    const uint32_t now = __atomic_load_n(&line, __ATOMIC_SEQ_CST);
    __atomic_exchange_n(&line, now + 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&line, __ATOMIC_SEQ_CST) != now + 2) {
    }
  }
}

const struct row wake_rows[] = {
    {"bounce", prepare_bounce, op_bounce},
    {"pipe-threads", prepare_pipe_threads, op_pipe_round},
    {"pipe-processes", prepare_pipe_processes, op_pipe_round},
    {"futex-threads", prepare_futex_threads, op_futex_round},
    {"futex-processes", prepare_futex_processes, op_futex_round},
    {"epoll", prepare_epoll, op_epoll},
    {"epoll-wake", prepare_epoll_wake, op_epoll_wake},
    {"unix-round", prepare_socket_round, op_socket_round},
    {"unix-stream-64k", prepare_stream, op_stream},
    {NULL, NULL, NULL},
};
