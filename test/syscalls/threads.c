// Threads: create, join, thread-local storage, cancellation, many at once, exit of the group.
#include "test.h"
#include <dirent.h>
#include <pthread.h>
#include <semaphore.h>

static void *give_back(void *arg) { return arg; }

TEST(create_and_join, exit) {
  pthread_t t;
  void *r;
  CHECK_EQ(pthread_create(&t, NULL, give_back, (void *)42), 0);
  CHECK_EQ(pthread_join(t, &r), 0);
  CHECK_EQ((long)r, 42);
}

static pid_t seen_pid, seen_tid;
static void *note_ids(void *arg) {
  seen_pid = getpid();
  seen_tid = syscall(SYS_gettid);
  return arg;
}
TEST(ids, exit, gettid) {
  pthread_t t;
  CHECK_EQ(pthread_create(&t, NULL, note_ids, NULL), 0);
  CHECK_EQ(pthread_join(t, NULL), 0);
  CHECK_EQ(seen_pid, getpid());
  CHECK(seen_tid > 0 && seen_tid != getpid());
}

static __thread int tls = 5;
static __thread char tls_big[5000];
static void *use_tls(void *arg) {
  long wrong = tls != 5 || tls_big[4999] != 0;
  tls = (long)arg;
  memset(tls_big, (long)arg, sizeof tls_big);
  sched_yield();
  return (void *)(long)(wrong || tls != (long)arg || tls_big[2500] != (char)(long)arg);
}
TEST(thread_local_storage, exit) {
  pthread_t t[20];
  for (long i = 0; i < 20; i++) CHECK_EQ(pthread_create(&t[i], NULL, use_tls, (void *)(i + 1)), 0);
  for (int i = 0; i < 20; i++) {
    void *r;
    CHECK_EQ(pthread_join(t[i], &r), 0);
    CHECK_EQ((long)r, 0);
  }
  CHECK_EQ(tls, 5);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int counter;
static void *count_up(void *arg) {
  for (int i = 0; i < 500; i++) {
    pthread_mutex_lock(&lock);
    counter++;
    pthread_mutex_unlock(&lock);
  }
  return arg;
}
TEST(mutex_contention, exit) {
  pthread_t t[8];
  for (int i = 0; i < 8; i++) CHECK_EQ(pthread_create(&t[i], NULL, count_up, NULL), 0);
  for (int i = 0; i < 8; i++) CHECK_EQ(pthread_join(t[i], NULL), 0);
  CHECK_EQ(counter, 4000);
}

static int turn;
static void *take_turns(void *arg) {
  for (int i = 0; i < 50; i++) {
    pthread_mutex_lock(&lock);
    while (turn % 3 != (long)arg) pthread_cond_wait(&cond, &lock);
    turn++;
    pthread_cond_broadcast(&cond);
    pthread_mutex_unlock(&lock);
  }
  return NULL;
}
TEST(condition_variables, exit) {
  pthread_t t[3];
  for (long i = 0; i < 3; i++) CHECK_EQ(pthread_create(&t[i], NULL, take_turns, (void *)i), 0);
  for (int i = 0; i < 3; i++) CHECK_EQ(pthread_join(t[i], NULL), 0);
  CHECK_EQ(turn, 150);
}

static sem_t all_here, go;
static void *meet(void *arg) {
  sem_post(&all_here);
  while (sem_wait(&go)) continue;
  return arg;
}
TEST(two_hundred_at_once, exit) {
  static pthread_t t[200];
  sem_init(&all_here, 0, 0);
  sem_init(&go, 0, 0);
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  pthread_attr_setstacksize(&attr, 65536);
  for (long i = 0; i < 200; i++) CHECK_EQ(pthread_create(&t[i], &attr, meet, (void *)i), 0);
  for (int i = 0; i < 200; i++)
    while (sem_wait(&all_here)) continue;
  DIR *d = opendir("/proc/self/task");
  CHECK(d);
  int n = 0;
  while (readdir(d)) n++;
  CHECK_EQ(n, 203);
  char *p = strstr(get_file("/proc/self/status"), "Threads:");
  CHECK(p && atoi(p + 8) == 201);
  for (int i = 0; i < 200; i++) sem_post(&go);
  for (long i = 0; i < 200; i++) {
    void *r;
    CHECK_EQ(pthread_join(t[i], &r), 0);
    CHECK_EQ((long)r, i);
  }
}

TEST(many_in_sequence, exit) {
  for (int i = 0; i < 300; i++) {
    pthread_t t;
    CHECK_EQ(pthread_create(&t, NULL, give_back, NULL), 0);
    CHECK_EQ(pthread_join(t, NULL), 0);
  }
}

static int cleaned;
static void clean(void *arg) { cleaned += (long)arg; }
static int block_fd[2];
static void *block_in_read(void *arg) {
  (void)arg;
  char c;
  pthread_cleanup_push(clean, (void *)1);
  sem_post(&all_here);
  if (read(block_fd[0], &c, 1) == 1) cleaned += 100;
  pthread_cleanup_pop(0);
  return NULL;
}
TEST(cancel_in_blocking_call, exit) {
  pthread_t t;
  void *r;
  sem_init(&all_here, 0, 0);
  CHECK_OK(pipe(block_fd));
  CHECK_EQ(pthread_create(&t, NULL, block_in_read, NULL), 0);
  while (sem_wait(&all_here)) continue;
  CHECK_EQ(pthread_cancel(t), 0);
  CHECK_EQ(pthread_join(t, &r), 0);
  CHECK(r == PTHREAD_CANCELED && cleaned == 1);
}

TEST(exit_group_ends_all, clone) {
  pid_t pid = fork();
  if (!pid) {
    pthread_t t;
    sem_init(&all_here, 0, 0);
    CHECK_OK(pipe(block_fd));
    for (int i = 0; i < 5; i++) CHECK_EQ(pthread_create(&t, NULL, block_in_read, NULL), 0);
    for (int i = 0; i < 5; i++)
      while (sem_wait(&all_here)) continue;
    _exit(3);
  }
  WAIT_STATUS(pid, 3 << 8);
}

static void *exit_from_thread(void *arg) {
  (void)arg;
  _exit(12);
}
TEST(exit_from_other_thread, clone) {
  pid_t pid = fork();
  if (!pid) {
    pthread_t t;
    pthread_create(&t, NULL, exit_from_thread, NULL);
    for (;;) pause();
  }
  WAIT_STATUS(pid, 12 << 8);
}

static void *after_leader(void *arg) {
  (void)arg;
  until_thread_sleeps(getpid(), getpid());
  for (int i = 0; i < 200 && task_state(getpid(), getpid()) != 'Z'; i++) msleep(2);
  _exit(task_state(getpid(), getpid()) == 'Z' ? 21 : 22);
}
TEST(leader_exits_first, clone, exit) {
  pid_t pid = fork();
  if (!pid) {
    pthread_t t;
    pthread_create(&t, NULL, after_leader, NULL);
    syscall(SYS_exit, 5);
  }
  WAIT_STATUS(pid, 21 << 8);
}

static void *exec_from_thread(void *arg) {
  (void)arg;
  execl("/bin/sh", "sh", "-c", "exit 33", NULL);
  return NULL;
}
TEST(exec_from_other_thread, arch_prctl, clone, pread64) {
  pid_t pid = fork();
  if (!pid) {
    pthread_t t;
    pthread_create(&t, NULL, exec_from_thread, NULL);
    for (;;) pause();
  }
  WAIT_STATUS(pid, 33 << 8);
}

static void *fork_in_thread(void *arg) {
  pid_t pid = fork();
  if (!pid) _exit(getpid() == syscall(SYS_gettid) ? 4 : 5);
  int st = 0;
  *(long *)arg = test_wait(pid, &st) == pid && st == 4 << 8;
  return NULL;
}
TEST(fork_from_threads, clone, exit, gettid) {
  pthread_t t[6];
  static long ok[6];
  for (int i = 0; i < 6; i++) CHECK_EQ(pthread_create(&t[i], NULL, fork_in_thread, &ok[i]), 0);
  for (int i = 0; i < 6; i++) {
    CHECK_EQ(pthread_join(t[i], NULL), 0);
    CHECK(ok[i]);
  }
}

static void *fault_here(void *arg) {
  *(volatile int *)arg = 1;
  return NULL;
}
TEST(fault_in_thread_ends_the_group, clone) {
  pid_t pid = fork();
  if (!pid) {
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    pthread_t t;
    pthread_create(&t, NULL, fault_here, (void *)16);
    for (;;) pause();
  }
  int st;
  CHECK_EQ(test_wait(pid, &st), pid);
  CHECK(WIFSIGNALED(st) && WTERMSIG(st) == SIGSEGV);
}

static pthread_barrier_t barrier;
static void *at_barrier(void *arg) {
  for (int i = 0; i < 20; i++) pthread_barrier_wait(&barrier);
  return arg;
}
TEST(barriers, exit) {
  pthread_t t[4];
  pthread_barrier_init(&barrier, NULL, 5);
  for (int i = 0; i < 4; i++) CHECK_EQ(pthread_create(&t[i], NULL, at_barrier, NULL), 0);
  at_barrier(NULL);
  for (int i = 0; i < 4; i++) CHECK_EQ(pthread_join(t[i], NULL), 0);
}

TEST(names) {
  CHECK_EQ(pthread_setname_np(pthread_self(), "worker-name"), 0);
  char path[64], b[32];
  snprintf(path, sizeof path, "/proc/self/task/%d/comm", getpid());
  CHECK_STR(get_file(path), "worker-name\n");
  CHECK_EQ(pthread_getname_np(pthread_self(), b, sizeof b), 0);
  CHECK_STR(b, "worker-name");
}

TEST(timed_lock_times_out) {
  struct timespec ts;
  pthread_mutex_lock(&lock);
  clock_gettime(CLOCK_REALTIME, &ts);
  ts.tv_nsec += 30000000;
  if (ts.tv_nsec >= 1000000000) ts.tv_sec++, ts.tv_nsec -= 1000000000;
  double start = now();
  CHECK_EQ(pthread_mutex_timedlock(&lock, &ts), ETIMEDOUT);
  CHECK(now() - start > 0.02);
}

static void *close_and_open(void *arg) {
  for (int i = 0; i < 100; i++) {
    int fd = open("/dev/null", O_RDONLY);
    if (fd < 0 || close(fd)) return (void *)1;
  }
  return arg;
}
TEST(descriptors_are_shared, exit) {
  pthread_t t[4];
  void *r;
  for (int i = 0; i < 4; i++) CHECK_EQ(pthread_create(&t[i], NULL, close_and_open, NULL), 0);
  for (int i = 0; i < 4; i++) {
    CHECK_EQ(pthread_join(t[i], &r), 0);
    CHECK(!r);
  }
}
