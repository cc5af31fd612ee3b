// A tiny harness for guest programs: each case runs in a forked child, in a fresh directory, under a time limit.
// The same program runs on the host and in the sandbox. Its output is TAP:
//   PROGRAM [--limit SECONDS] [--refuse NUMBER] [PATTERN...]     runs all cases, or those whose name matches one of the patterns (glob(7))
//   PROGRAM --list [PATTERN...]                                  their names
//   PROGRAM --calls [PATTERN...]                                 one line a case: its name, a tab, the system calls that it is about
// `--only PATTERN` is the same as PATTERN: so a runner that knows only names goes on behind a case that hangs.
// With --refuse, system call NUMBER answers ENOSYS in the cases: one that is about that call fails then.
#ifndef TEST_H
#define TEST_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <ftw.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct test_case {
  const char *name, *calls;
  void (*run)(void);
};
static struct test_case test_cases[256];
static int test_count;
static int test_report_fd = -1;  // failures go here; close-on-exec
static int test_limit = 20;      // seconds a case may take
static int test_refused = -1;    // the system call that answers ENOSYS
static char test_self[PATH_MAX]; // this program's own path

// A case: TEST(name, call, call...) { body }. The calls are those that it is about: without one of them it must fail.
#define TEST(name, ...)                                                           \
  static void t_##name(void);                                                     \
  __attribute__((constructor)) static void register_##name(void) {                \
    test_cases[test_count++] = (struct test_case){#name, #__VA_ARGS__, t_##name}; \
  }                                                                               \
  static void t_##name(void)

// Reports a failure and ends this process (the case, or a child of it).
__attribute__((noreturn, format(printf, 3, 4))) static void test_fail(const char *file, int line, const char *fmt, ...) {
  char text[400];
  const char *base = strrchr(file, '/');
  int n = snprintf(text, sizeof text, "%s:%d: ", base ? base + 1 : file, line);
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text + n, sizeof text - n, fmt, ap);
  va_end(ap);
  for (char *p = text; *p; p++)
    if (*p == '\n') *p = ' ';
  if (write(test_report_fd, text, strlen(text)) < 0) _exit(98);
  if (write(test_report_fd, "; ", 2) < 0) _exit(98);
  _exit(99);
}

#define FAIL(...) test_fail(__FILE__, __LINE__, __VA_ARGS__)
#define CHECK(cond)                                                          \
  do {                                                                       \
    if (!(cond)) FAIL("%s (errno %s)", #cond, strerrorname(errno));          \
  } while (0)
// The expression succeeds (is not -1).
#define CHECK_OK(expr)                                                            \
  do {                                                                            \
    errno = 0;                                                                    \
    if ((long)(expr) == -1) FAIL("%s: %s", #expr, strerrorname(errno));           \
  } while (0)
// The expression is -1 and sets errno to this.
#define CHECK_ERRNO(expr, e)                                                                            \
  do {                                                                                                  \
    errno = 0;                                                                                          \
    long check_r = (long)(expr);                                                                        \
    if (check_r != -1) FAIL("%s: want %s, got %ld", #expr, #e, check_r);                                \
    if (errno != (e)) FAIL("%s: want %s, got %s", #expr, #e, strerrorname(errno));                      \
  } while (0)
#define CHECK_EQ(a, b)                                                                                                \
  do {                                                                                                                \
    long long check_a = (long long)(a), check_b = (long long)(b);                                                     \
    if (check_a != check_b) FAIL("%s == %s: got %lld, want %lld (errno %s)", #a, #b, check_a, check_b, strerrorname(errno)); \
  } while (0)
#define CHECK_STR(a, b)                                                                          \
  do {                                                                                           \
    const char *check_a = (a), *check_b = (b);                                                   \
    if (strcmp(check_a, check_b)) FAIL("%s: got \"%.100s\", want \"%.100s\"", #a, check_a, check_b); \
  } while (0)
// The child exits with status 0 (a CHECK that fails in it has reported already).
#define WAIT_OK(pid)                                                                      \
  do {                                                                                    \
    int wait_st = 0;                                                                      \
    pid_t wait_pid = (pid);                                                               \
    CHECK(wait_pid > 0);                                                                  \
    if (test_wait(wait_pid, &wait_st) != wait_pid) FAIL("wait: %s", strerrorname(errno)); \
    if (wait_st != 0) FAIL("child's status %#x", wait_st);                                \
  } while (0)
// The child ends with this wait status.
#define WAIT_STATUS(pid, want)                                                          \
  do {                                                                                  \
    int wait_st = 0;                                                                    \
    pid_t wait_pid = (pid);                                                             \
    CHECK(wait_pid > 0);                                                                \
    if (test_wait(wait_pid, &wait_st) != wait_pid) FAIL("wait: %s", strerrorname(errno)); \
    if (wait_st != (want)) FAIL("child's status %#x, want %#x", wait_st, (want));       \
  } while (0)

#define UNUSED __attribute__((unused))

UNUSED static const char *strerrorname(int e) {
  static char other[24];
  switch (e) {
#define E(x) case x: return #x
    E(0); E(EPERM); E(ENOENT); E(ESRCH); E(EINTR); E(EIO); E(ENXIO); E(E2BIG); E(ENOEXEC); E(EBADF); E(ECHILD); E(EAGAIN); E(ENOMEM);
    E(EACCES); E(EFAULT); E(ENOTBLK); E(EBUSY); E(EEXIST); E(EXDEV); E(ENODEV); E(ENOTDIR); E(EISDIR); E(EINVAL); E(ENFILE); E(EMFILE);
    E(ENOTTY); E(ETXTBSY); E(EFBIG); E(ENOSPC); E(ESPIPE); E(EROFS); E(EMLINK); E(EPIPE); E(EDOM); E(ERANGE); E(EDEADLK);
    E(ENAMETOOLONG); E(ENOLCK); E(ENOSYS); E(ENOTEMPTY); E(ELOOP); E(ENOMSG); E(EIDRM); E(ENODATA); E(ETIME); E(EOVERFLOW);
    E(EILSEQ); E(ENOTSOCK); E(EDESTADDRREQ); E(EMSGSIZE); E(EPROTOTYPE); E(ENOPROTOOPT); E(EPROTONOSUPPORT); E(ESOCKTNOSUPPORT);
    E(EOPNOTSUPP); E(EAFNOSUPPORT); E(EADDRINUSE); E(EADDRNOTAVAIL); E(ENETUNREACH); E(ECONNABORTED); E(ECONNRESET); E(ENOBUFS);
    E(EISCONN); E(ENOTCONN); E(ETIMEDOUT); E(ECONNREFUSED); E(EALREADY); E(EINPROGRESS); E(EOWNERDEAD); E(ECANCELED);
#undef E
  }
  snprintf(other, sizeof other, "errno %d", e);
  return other;
}

UNUSED static pid_t test_wait(pid_t pid, int *st) {
  pid_t r;
  do r = waitpid(pid, st, __WALL);
  while (r == -1 && errno == EINTR);
  return r;
}

UNUSED static void msleep(int ms) {
  struct timespec ts = {ms / 1000, (ms % 1000) * 1000000L};
  while (nanosleep(&ts, &ts) == -1 && errno == EINTR) continue;
}

UNUSED static double now(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return ts.tv_sec + ts.tv_nsec / 1e9;
}

UNUSED static char task_state(pid_t tgid, pid_t tid) {
  char path[64], text[512];
  snprintf(path, sizeof path, "/proc/%d/task/%d/stat", tgid, tid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  if (n <= 0) return 0;
  text[n] = 0;
  char *p = strrchr(text, ')');
  return p ? p[2] : 0;
}

// Waits until a thread sleeps in a system call (state S in /proc), at most a second.
UNUSED static void until_thread_sleeps(pid_t tgid, pid_t tid) {
  for (int i = 0, seen = 0; i < 500 && seen < 3; i++) {
    seen = task_state(tgid, tid) == 'S' ? seen + 1 : 0;
    msleep(2);
  }
}
UNUSED static void until_sleeps(pid_t pid) { until_thread_sleeps(pid, pid); }

// A gate: some process waits until another opens it.
struct gate {
  int fd[2];
};
UNUSED static struct gate gate_new(void) {
  struct gate g;
  if (pipe2(g.fd, O_CLOEXEC)) FAIL("pipe2: %s", strerrorname(errno));
  return g;
}
UNUSED static void gate_open(struct gate *g) {
  if (write(g->fd[1], "x", 1) != 1) FAIL("gate: %s", strerrorname(errno));
}
UNUSED static void gate_wait(struct gate *g) {
  char c;
  ssize_t n;
  do n = read(g->fd[0], &c, 1);
  while (n == -1 && errno == EINTR);
  if (n != 1) FAIL("gate: read %zd %s", n, strerrorname(errno));
}

UNUSED static void put_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd < 0) FAIL("put_file %s: %s", path, strerrorname(errno));
  if (write(fd, text, strlen(text)) != (ssize_t)strlen(text)) FAIL("put_file %s: %s", path, strerrorname(errno));
  close(fd);
}

// The text of a file, in a static buffer; NULL if it cannot be read.
UNUSED static char *get_file(const char *path) {
  static char text[65536];
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return NULL;
  size_t have = 0;
  ssize_t n;
  while (have < sizeof text - 1 && (n = read(fd, text + have, sizeof text - 1 - have)) > 0) have += n;
  close(fd);
  text[have] = 0;
  return text;
}

UNUSED static void on_signal(int sig, void (*handler)(int), int flags) {
  struct sigaction sa;
  memset(&sa, 0, sizeof sa);
  sa.sa_handler = handler;
  sa.sa_flags = flags;
  if (sigaction(sig, &sa, NULL)) FAIL("sigaction %d: %s", sig, strerrorname(errno));
}

UNUSED static void block_signal(int sig) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, sig);
  if (sigprocmask(SIG_BLOCK, &set, NULL)) FAIL("sigprocmask: %s", strerrorname(errno));
}

struct cap_header {
  uint32_t version;
  int pid;
};
struct cap_data {
  uint32_t effective, permitted, inheritable;
};
// Drops a capability from the effective and permitted sets, so that the host and the sandbox agree on its absence.
UNUSED static void drop_cap(int cap) {
  struct cap_header h = {0x20080522, 0};
  struct cap_data d[2];
  if (syscall(SYS_capget, &h, d)) FAIL("capget: %s", strerrorname(errno));
  d[cap / 32].effective &= ~(1u << cap % 32);
  d[cap / 32].permitted &= ~(1u << cap % 32);
  d[cap / 32].inheritable &= ~(1u << cap % 32);
  if (syscall(SYS_capset, &h, d)) FAIL("capset: %s", strerrorname(errno));
}

// Becomes an ordinary user for good.
UNUSED static void become(uid_t uid, gid_t gid) {
  if (syscall(SYS_setgroups, 0, NULL)) FAIL("setgroups: %s", strerrorname(errno));
  if (syscall(SYS_setresgid, gid, gid, gid)) FAIL("setresgid: %s", strerrorname(errno));
  if (syscall(SYS_setresuid, uid, uid, uid)) FAIL("setresuid: %s", strerrorname(errno));
}

static pid_t test_child;
static volatile sig_atomic_t test_timed_out;
static void test_on_alarm(int sig) {
  (void)sig;
  test_timed_out = 1;
  kill(-test_child, SIGKILL);
  kill(test_child, SIGKILL);
}

static int test_remove(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
  (void)st, (void)flag, (void)ftw;
  return remove(path);
}

// Has a system call answer ENOSYS in this process and what comes of it. (musl has no headers for filters: seccomp(2), numbers of linux/filter.h.)
static void test_refuse(int nr) {
  struct { uint16_t code; uint8_t yes, no; uint32_t k; } code[] = {
    {0x20, 0, 0, 0},                         // load the number
    {0x15, 0, 1, (uint32_t)nr},              // is it this one?
    {0x06, 0, 0, 0x00050000 | ENOSYS},       // SECCOMP_RET_ERRNO
    {0x06, 0, 0, 0x7fff0000},                // SECCOMP_RET_ALLOW
  };
  struct { unsigned short len; void *code; } program = {4, code};
  if (syscall(SYS_seccomp, 1, 0, &program)) FAIL("seccomp: %s", strerrorname(errno));
}

// A case in which a call is refused may do anything, such as kill(-1) with the pid of a fork that failed: this process becomes
// the first of a pid namespace, where that reaches nobody else.
static void test_enclose(void) {
  int st = 0;
  pid_t pid = unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC) ? -1 : fork();
  if (pid == 0) {
    if (getpid() != 1 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) || mount("proc", "/proc", "proc", 0, NULL)) _exit(2);
    return;
  }
  if (pid < 0 || waitpid(pid, &st, 0) != pid) perror("--refuse");
  exit(pid > 0 && WIFEXITED(st) ? WEXITSTATUS(st) : 2);
}

// Ends what a case left behind in the pid namespace of test_enclose.
static void test_clear(void) {
  if (getpid() != 1) _exit(2);
  if (kill(-1, SIGKILL) && errno != ESRCH) _exit(2);
  while (waitpid(-1, NULL, __WALL) > 0 || errno == EINTR) continue;
}

// Runs a case; what went wrong is put to `why`.
static bool test_run(struct test_case *c, char why[1200]) {
  char dir[256], text[1024] = "";
  int report[2], st = 0;
  const char *tmp = getenv("TMPDIR");
  snprintf(dir, sizeof dir, "%s/rf-test-XXXXXX", tmp ? tmp : "/tmp");
  if (!mkdtemp(dir) || chmod(dir, 0755) || pipe2(report, O_CLOEXEC | O_NONBLOCK)) {
    snprintf(why, 1200, "setup: %s", strerrorname(errno));
    return false;
  }
  fflush(NULL);
  test_timed_out = 0;
  pid_t pid = fork();
  if (pid == 0) {
    test_report_fd = fcntl(report[1], F_DUPFD_CLOEXEC, 200);
    close(report[0]);
    close(report[1]);
    close(0); // whatever standard input is, the case gets none
    if (open("/dev/null", O_RDWR) != 0) FAIL("/dev/null: %s", strerrorname(errno));
    setpgid(0, 0);
    signal(SIGALRM, SIG_DFL);
    umask(022);
    if (chdir(dir)) FAIL("chdir %s: %s", dir, strerrorname(errno));
    if (test_refused >= 0) test_refuse(test_refused);
    c->run();
    _exit(0);
  }
  if (pid < 0) {
    snprintf(why, 1200, "fork: %s", strerrorname(errno));
    return false;
  }
  test_child = pid;
  alarm(test_limit);
  test_wait(pid, &st);
  alarm(0);
  kill(-pid, SIGKILL);
  if (test_refused >= 0) test_clear();
  ssize_t n = read(report[0], text, sizeof text - 1);
  close(report[0]);
  close(report[1]);
  text[n > 0 ? n : 0] = 0;
  nftw(dir, test_remove, 16, FTW_DEPTH | FTW_PHYS);
  if (test_timed_out) snprintf(why, 1200, "timed out; %s", text);
  else if (WIFSIGNALED(st)) snprintf(why, 1200, "killed by signal %d; %s", WTERMSIG(st), text);
  else snprintf(why, 1200, "%s", text[0] ? text : "exited early");
  return st == 0;
}

static bool test_wanted(char **patterns, const char *name) {
  if (*patterns == NULL) return true;
  for (; *patterns; patterns++)
    if (!fnmatch(*patterns, name, 0)) return true;
  return false;
}

static int test_list(char **patterns, bool calls) {
  for (int i = 0; i < test_count; i++) {
    struct test_case *c = &test_cases[i];
    if (!test_wanted(patterns, c->name)) continue;
    printf(calls ? "%s\t" : "%s", c->name);
    for (const char *p = c->calls; calls && *p; p++)
      if (*p != ',') putchar(*p);
    putchar('\n');
  }
  return 0;
}

// A program that is also run as a child by its own cases defines this: called with the arguments after "--helper".
#ifdef TEST_HELPER
static int test_helper(int argc, char **argv);
#endif

int main(int argc, char **argv) {
  bool good = true, list = false, calls = false;
  int chosen = 0, done = 0, words = 0;
  char *patterns[argc + 1];
#ifdef TEST_HELPER
  if (argc > 1 && !strcmp(argv[1], "--helper")) return test_helper(argc - 2, argv + 2);
#endif
  if (!realpath(argv[0], test_self)) snprintf(test_self, sizeof test_self, "%s", argv[0]);
  while (*++argv) {
    if (strncmp(*argv, "--", 2)) patterns[words++] = *argv;
    else if (!strcmp(*argv, "--only") && argv[1]) patterns[words++] = *++argv;
    else if (!strcmp(*argv, "--list")) list = true;
    else if (!strcmp(*argv, "--calls")) calls = true;
    else if (!strcmp(*argv, "--limit") && argv[1]) test_limit = atoi(*++argv);
    else if (!strcmp(*argv, "--refuse") && argv[1]) test_refused = atoi(*++argv);
    else {
      fprintf(stderr, "%s: no option %s; there are --list, --calls, --only NAME, --limit SECONDS, --refuse NUMBER\n", test_self, *argv);
      return 2;
    }
  }
  patterns[words] = NULL;
  if (list || calls) return test_list(patterns, calls);
  for (int i = 0; i < test_count; i++) chosen += test_wanted(patterns, test_cases[i].name);
  if (chosen == 0) {
    fprintf(stderr, "%s: no case has such a name\n", test_self);
    return 2;
  }
  on_signal(SIGALRM, test_on_alarm, 0);
  signal(SIGPIPE, SIG_DFL);
  if (test_refused >= 0) test_enclose();
  printf("TAP version 13\n1..%d\n", chosen);
  for (int i = 0; i < test_count; i++) {
    char why[1200] = "";
    if (!test_wanted(patterns, test_cases[i].name)) continue;
    bool ok = test_run(&test_cases[i], why);
    good &= ok;
    printf("%s %d - %s\n", ok ? "ok" : "not ok", ++done, test_cases[i].name);
    if (!ok) printf("# %s\n", why);
    fflush(stdout);
  }
  return good ? 0 : 1;
}
#endif
