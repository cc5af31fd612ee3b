// futex: wait, wake, requeue, timeouts, bitsets, priority inheritance, robust lists.
#include "test.h"
#include <linux/futex.h>
#include <pthread.h>

static uint32_t word, word2;
static long futex(void *at, int op, uint32_t val, const void *timeout, void *at2, uint32_t val3) {
  return syscall(SYS_futex, at, op, val, timeout, at2, val3);
}
#define PRIV FUTEX_PRIVATE_FLAG

static pid_t waiter_tid[8];
static long waiter_result[8];
static int waiter_errno[8];
static void *waiter(void *arg) {
  long i = (long)arg;
  __atomic_store_n(&waiter_tid[i], syscall(SYS_gettid), __ATOMIC_SEQ_CST);
  waiter_result[i] = futex(&word, FUTEX_WAIT | PRIV, 0, NULL, NULL, 0);
  waiter_errno[i] = errno;
  return NULL;
}
static pthread_t start_waiter(long i) {
  pthread_t t;
  CHECK_EQ(pthread_create(&t, NULL, waiter, (void *)i), 0);
  while (!__atomic_load_n(&waiter_tid[i], __ATOMIC_SEQ_CST)) msleep(1);
  until_thread_sleeps(getpid(), waiter_tid[i]);
  return t;
}

TEST(wait_errors, futex) {
  word = 5;
  CHECK_ERRNO(futex(&word, FUTEX_WAIT, 4, NULL, NULL, 0), EAGAIN);
  CHECK_ERRNO(futex(&word, FUTEX_WAIT | PRIV, 4, NULL, NULL, 0), EAGAIN);
  CHECK_ERRNO(futex((char *)&word + 1, FUTEX_WAIT, 5, NULL, NULL, 0), EINVAL);
  CHECK_ERRNO(futex((void *)8, FUTEX_WAIT, 5, NULL, NULL, 0), EFAULT);
  CHECK_ERRNO(futex(&word, 99, 5, NULL, NULL, 0), ENOSYS);
  struct timespec bad = {0, 1000000000};
  CHECK_ERRNO(futex(&word, FUTEX_WAIT, 5, &bad, NULL, 0), EINVAL);
  CHECK_EQ(futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0), 0);
}

TEST(timeout_relative, futex) {
  struct timespec ts = {0, 30000000};
  double start = now();
  CHECK_ERRNO(futex(&word, FUTEX_WAIT | PRIV, 0, &ts, NULL, 0), ETIMEDOUT);
  CHECK(now() - start >= 0.029);
  start = now();
  CHECK_ERRNO(futex(&word, FUTEX_WAIT, 0, &ts, NULL, 0), ETIMEDOUT);
  CHECK(now() - start >= 0.029);
}

TEST(timeout_absolute, futex) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  ts.tv_nsec += 30000000;
  if (ts.tv_nsec >= 1000000000) ts.tv_sec++, ts.tv_nsec -= 1000000000;
  double start = now();
  CHECK_ERRNO(futex(&word, FUTEX_WAIT_BITSET | PRIV, 0, &ts, NULL, FUTEX_BITSET_MATCH_ANY), ETIMEDOUT);
  CHECK(now() - start >= 0.02);
  clock_gettime(CLOCK_REALTIME, &ts);
  ts.tv_sec -= 5;
  CHECK_ERRNO(futex(&word, FUTEX_WAIT_BITSET | PRIV | FUTEX_CLOCK_REALTIME, 0, &ts, NULL, ~0u), ETIMEDOUT);
}

TEST(wake_one_and_all, futex) {
  pthread_t t[4];
  for (int i = 0; i < 4; i++) t[i] = start_waiter(i);
  CHECK_EQ(futex(&word, FUTEX_WAKE | PRIV, 1, NULL, NULL, 0), 1);
  CHECK_EQ(futex(&word, FUTEX_WAKE | PRIV, INT_MAX, NULL, NULL, 0), 3);
  CHECK_EQ(futex(&word, FUTEX_WAKE | PRIV, INT_MAX, NULL, NULL, 0), 0);
  for (int i = 0; i < 4; i++) {
    CHECK_EQ(pthread_join(t[i], NULL), 0);
    CHECK_EQ(waiter_result[i], 0);
  }
}

TEST(bitsets, futex) {
  CHECK_ERRNO(futex(&word, FUTEX_WAIT_BITSET | PRIV, 0, NULL, NULL, 0), EINVAL);
  CHECK_ERRNO(futex(&word, FUTEX_WAKE_BITSET | PRIV, 1, NULL, NULL, 0), EINVAL);
  pthread_t t = start_waiter(0); // plain waiters match any bit
  CHECK_EQ(futex(&word, FUTEX_WAKE_BITSET | PRIV, 1, NULL, NULL, 4), 1);
  CHECK_EQ(pthread_join(t, NULL), 0);
}

TEST(requeue, futex) {
  pthread_t t[3];
  for (int i = 0; i < 3; i++) t[i] = start_waiter(i);
  CHECK_ERRNO(futex(&word, FUTEX_CMP_REQUEUE | PRIV, 1, (void *)2, &word2, 77), EAGAIN);
  CHECK_EQ(futex(&word, FUTEX_CMP_REQUEUE | PRIV, 1, (void *)2, &word2, 0), 3);
  CHECK_EQ(futex(&word, FUTEX_WAKE | PRIV, 10, NULL, NULL, 0), 0);
  CHECK_EQ(futex(&word2, FUTEX_WAKE | PRIV, 10, NULL, NULL, 0), 2);
  for (int i = 0; i < 3; i++) CHECK_EQ(pthread_join(t[i], NULL), 0);
}

TEST(wake_op, futex) {
  pthread_t t = start_waiter(0);
  word2 = 3;
  // word2 += 4; wake one of word, and of word2 if its old value was 3
  CHECK_EQ(futex(&word, FUTEX_WAKE_OP | PRIV, 1, (void *)1, &word2, FUTEX_OP(FUTEX_OP_ADD, 4, FUTEX_OP_CMP_EQ, 3)), 1);
  CHECK_EQ(word2, 7);
  CHECK_EQ(pthread_join(t, NULL), 0);
}

static void on_usr1(int sig) { (void)sig; }
TEST(interrupted, futex) {
  on_signal(SIGUSR1, on_usr1, 0);
  pthread_t t = start_waiter(0);
  CHECK_EQ(pthread_kill(t, SIGUSR1), 0);
  CHECK_EQ(pthread_join(t, NULL), 0);
  CHECK(waiter_result[0] == -1 && waiter_errno[0] == EINTR);
}

TEST(restarted, futex) {
  on_signal(SIGUSR1, on_usr1, SA_RESTART);
  pthread_t t = start_waiter(0);
  CHECK_EQ(pthread_kill(t, SIGUSR1), 0);
  msleep(10);
  until_thread_sleeps(getpid(), waiter_tid[0]);
  CHECK_EQ(futex(&word, FUTEX_WAKE | PRIV, 1, NULL, NULL, 0), 1);
  CHECK_EQ(pthread_join(t, NULL), 0);
  CHECK_EQ(waiter_result[0], 0);
}

TEST(shared_between_processes, futex) {
  uint32_t *w = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pid_t pid = fork();
  if (!pid) {
    CHECK_OK(futex(w, FUTEX_WAIT, 0, NULL, NULL, 0));
    CHECK_EQ(*w, 1);
    _exit(0);
  }
  until_sleeps(pid);
  *w = 1;
  CHECK_EQ(futex(w, FUTEX_WAKE, 1, NULL, NULL, 0), 1);
  WAIT_OK(pid);
}

TEST(shared_file_page, futex) {
  int fd = open("f", O_RDWR | O_CREAT, 0600);
  CHECK_OK(ftruncate(fd, 4096));
  pid_t pid = fork();
  if (!pid) {
    uint32_t *w = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK_OK(futex(w + 4, FUTEX_WAIT, 0, NULL, NULL, 0));
    _exit(0);
  }
  until_sleeps(pid);
  uint32_t *w = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  CHECK_EQ(futex(w + 4, FUTEX_WAKE, 1, NULL, NULL, 0), 1);
  WAIT_OK(pid);
}

TEST(process_shared_mutex) {
  struct {
    pthread_mutex_t m;
    int n;
  } *s = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pthread_mutexattr_t a;
  pthread_mutexattr_init(&a);
  pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
  pthread_mutex_init(&s->m, &a);
  pid_t pids[4];
  for (int p = 0; p < 4; p++) {
    pids[p] = fork();
    if (!pids[p]) {
      for (int i = 0; i < 200; i++) {
        pthread_mutex_lock(&s->m);
        s->n++;
        pthread_mutex_unlock(&s->m);
      }
      _exit(0);
    }
  }
  for (int p = 0; p < 4; p++) WAIT_OK(pids[p]);
  CHECK_EQ(s->n, 800);
}

TEST(robust_mutex_owner_dies, futex) {
  pthread_mutex_t *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pthread_mutexattr_t a;
  pthread_mutexattr_init(&a);
  pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(m, &a);
  struct gate held = gate_new(), die = gate_new();
  pid_t pid = fork();
  if (!pid) {
    CHECK_EQ(pthread_mutex_lock(m), 0);
    gate_open(&held);
    gate_wait(&die);
    _exit(0);
  }
  gate_wait(&held);
  pid_t locker = fork();
  if (!locker) {
    CHECK_EQ(pthread_mutex_lock(m), EOWNERDEAD);
    CHECK_EQ(pthread_mutex_consistent(m), 0);
    CHECK_EQ(pthread_mutex_unlock(m), 0);
    _exit(0);
  }
  until_sleeps(locker);
  gate_open(&die);
  WAIT_OK(pid);
  WAIT_OK(locker);
}

TEST(robust_list_calls, get_robust_list) {
  struct robust_list_head h = {{&h.list}, 0, NULL}, *got;
  size_t len;
  CHECK_ERRNO(syscall(SYS_set_robust_list, &h, 8), EINVAL);
  CHECK_OK(syscall(SYS_set_robust_list, &h, sizeof h));
  CHECK_OK(syscall(SYS_get_robust_list, 0, &got, &len));
  CHECK(got == &h && len == sizeof h);
  CHECK_ERRNO(syscall(SYS_get_robust_list, 0x3fffff, &got, &len), ESRCH);
}

TEST(clear_child_tid) {
  uint32_t *w = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pid_t pid = fork();
  if (!pid) {
    *w = 77;
    CHECK_EQ(syscall(SYS_set_tid_address, w), getpid());
    _exit(0);
  }
  WAIT_OK(pid);
  // Only cleared if the memory was shared with someone at exit: a forked process leaves it.
  CHECK(*w == 0 || *w == 77);
}

TEST(priority_inheritance) {
  // Either supported, or refused as by a kernel without it; never a hang.
  word = 0;
  long r = futex(&word, FUTEX_LOCK_PI | PRIV, 0, NULL, NULL, 0);
  if (r == -1) CHECK_EQ(errno, ENOSYS);
  else {
    CHECK_EQ(word & FUTEX_TID_MASK, syscall(SYS_gettid));
    CHECK_ERRNO(futex(&word, FUTEX_LOCK_PI | PRIV, 0, NULL, NULL, 0), EDEADLK);
    CHECK_OK(futex(&word, FUTEX_UNLOCK_PI | PRIV, 0, NULL, NULL, 0));
    CHECK_EQ(word, 0);
    CHECK_ERRNO(futex(&word, FUTEX_UNLOCK_PI | PRIV, 0, NULL, NULL, 0), EPERM);
  }
}
