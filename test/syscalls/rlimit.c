// Resource limits.
#include "test.h"
#include <pthread.h>

static void limit(int which, rlim_t cur) {
  struct rlimit rl;
  CHECK_OK(getrlimit(which, &rl));
  rl.rlim_cur = cur;
  CHECK_OK(setrlimit(which, &rl));
}

TEST(get_and_set, getrlimit, prlimit64) {
  struct rlimit rl, got;
  for (int i = 0; i < 16; i++) {
    CHECK_OK(getrlimit(i, &rl));
    CHECK(rl.rlim_cur <= rl.rlim_max);
    CHECK_OK(setrlimit(i, &rl));
  }
  CHECK_ERRNO(syscall(SYS_getrlimit, 16, &rl), EINVAL);
  rl = (struct rlimit){100, 50};
  CHECK_ERRNO(setrlimit(RLIMIT_NOFILE, &rl), EINVAL);
  rl = (struct rlimit){50, 100};
  CHECK_OK(setrlimit(RLIMIT_CORE, &rl));
  CHECK_OK(prlimit(0, RLIMIT_CORE, NULL, &got));
  CHECK(got.rlim_cur == 50 && got.rlim_max == 100);
}

TEST(raising_the_hard_limit, prlimit64) {
  struct rlimit rl = {50, 100};
  CHECK_OK(setrlimit(RLIMIT_CORE, &rl));
  drop_cap(24); // CAP_SYS_RESOURCE
  rl.rlim_max = 101;
  CHECK_ERRNO(setrlimit(RLIMIT_CORE, &rl), EPERM);
  rl = (struct rlimit){100, 100};
  CHECK_OK(setrlimit(RLIMIT_CORE, &rl));
}

TEST(prlimit_of_a_child, prlimit64) {
  struct gate g = gate_new();
  pid_t pid = fork();
  if (!pid) {
    gate_wait(&g);
    struct rlimit rl;
    CHECK_OK(getrlimit(RLIMIT_CORE, &rl));
    CHECK_EQ(rl.rlim_cur, 7);
    _exit(0);
  }
  struct rlimit rl = {7, 8}, old;
  CHECK_OK(prlimit(pid, RLIMIT_CORE, &rl, &old));
  gate_open(&g);
  WAIT_OK(pid);
  CHECK_ERRNO(prlimit(0x3fffff, RLIMIT_CORE, NULL, &old), ESRCH);
}

static volatile sig_atomic_t hits;
static void hit(int sig) { (void)sig, hits++; }
TEST(file_size, prlimit64, pwrite64) {
  int fd = open("f", O_RDWR | O_CREAT, 0600);
  on_signal(SIGXFSZ, hit, 0);
  limit(RLIMIT_FSIZE, 1000);
  char b[2000] = {0};
  CHECK_EQ(write(fd, b, 800), 800);
  CHECK_EQ(write(fd, b, 800), 200); // up to the limit
  CHECK_EQ(hits, 0);
  CHECK_ERRNO(write(fd, b, 1), EFBIG);
  CHECK_EQ(hits, 1);
  CHECK_ERRNO(ftruncate(fd, 1001), EFBIG);
  CHECK_EQ(hits, 2);
  CHECK_OK(ftruncate(fd, 1000));
  CHECK_EQ(pwrite(fd, b, 5, 0), 5);
  int p[2];
  CHECK_OK(pipe(p));
  CHECK_EQ(write(p[1], b, 2000), 2000); // only files count
  signal(SIGXFSZ, SIG_DFL);
  pid_t pid = fork();
  if (!pid) {
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    if (pwrite(fd, b, 1, 1000)) _exit(1);
    _exit(2);
  }
  int st;
  CHECK_EQ(test_wait(pid, &st), pid);
  CHECK(WIFSIGNALED(st) && WTERMSIG(st) == SIGXFSZ);
}

TEST(address_space, prlimit64) {
  limit(RLIMIT_AS, 256 << 20);
  CHECK_ERRNO(mmap(NULL, 300 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
  CHECK_ERRNO(mmap(NULL, 300 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0), ENOMEM);
  void *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(p != MAP_FAILED);
  CHECK_ERRNO(mremap(p, 1 << 20, 300 << 20, MREMAP_MAYMOVE), ENOMEM);
}

TEST(data_segment, prlimit64) {
  char *b = sbrk(0);
  limit(RLIMIT_DATA, 16 << 20);
  CHECK_ERRNO(brk(b + (64 << 20)), ENOMEM);
  CHECK_OK(brk(b + 4096));
}

TEST(processes, prlimit64) {
  drop_cap(24); // CAP_SYS_RESOURCE and CAP_SYS_ADMIN lift the limit
  drop_cap(21);
  CHECK_OK(syscall(SYS_setresuid, 54321, 54321, 54321));
  limit(RLIMIT_NPROC, 3);
  pid_t a = fork();
  if (!a)
    for (;;) pause();
  CHECK(a > 0);
  pid_t b = fork();
  if (!b)
    for (;;) pause();
  CHECK(b > 0);
  CHECK_ERRNO(fork(), EAGAIN);
  CHECK_OK(kill(a, SIGKILL));
  CHECK_OK(kill(b, SIGKILL));
  WAIT_STATUS(a, SIGKILL);
  pid_t c = fork();
  if (!c) _exit(0);
  WAIT_OK(c);
}

TEST(stack_limit_at_exec, prlimit64) {
  limit(RLIMIT_STACK, 64 << 10);
  pid_t pid = fork();
  if (!pid) {
    char *big = malloc(40000);
    memset(big, 'a', 40000);
    big[39999] = 0;
    char *argv[] = {"true", big, big, big, big, NULL};
    CHECK_ERRNO(execv("/bin/true", argv), E2BIG); // arguments may take a quarter, but at least 128 KiB
    _exit(0);
  }
  WAIT_OK(pid);
}

TEST(inherited, pread64, prlimit64) {
  limit(RLIMIT_NOFILE, 222);
  pid_t pid = fork();
  if (!pid) {
    execl("/bin/sh", "sh", "-c", "test $(ulimit -n) = 222", NULL);
    _exit(9);
  }
  WAIT_OK(pid);
  CHECK(strstr(get_file("/proc/self/limits"), "Max open files            222 "));
}

TEST(cpu_seconds, prlimit64) {
  pid_t pid = fork();
  if (!pid) {
    struct rlimit rl = {1, 2};
    CHECK_OK(setrlimit(RLIMIT_CPU, &rl));
    for (;;) continue;
  }
  int st;
  CHECK_EQ(test_wait(pid, &st), pid);
  CHECK(WIFSIGNALED(st) && (WTERMSIG(st) == SIGXCPU || WTERMSIG(st) == SIGKILL));
}
