// Makes every system call number up to a last one, and some wild ones, with arguments that lead nowhere, each in a process of its own and
// without privileges. One line each: NUMBER ARGUMENTS RESULT, where the result is `ok`, an errno, `exit STATUS` or `signal NUMBER`.
//
//   numbers LAST SKIP...      SKIP: numbers that would sleep for ever or do harm
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static long call(long nr, const long a[6]) {
  long r;
  register long r10 __asm__("r10") = a[3];
  register long r8 __asm__("r8") = a[4];
  register long r9 __asm__("r9") = a[5];
  __asm__ volatile("syscall" : "=a"(r) : "0"(nr), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
  return r;
}

static void die(const char *what) {
  perror(what);
  exit(2);
}

static void attempt(long nr, const char *name, const long args[6], volatile long *result) {
  int st;
  *result = 1;
  fflush(stdout);
  pid_t pid = fork();
  if (pid < 0) die("fork");
  if (pid == 0) {
    pid_t self = getpid();
    long r = call(nr, args);
    if (getpid() == self) *result = r < 0 && r >= -4095 ? r : 0;
    _exit(0);
  }
  while (waitpid(pid, &st, __WALL) != pid)
    if (errno != EINTR) die("waitpid");
  printf("%ld %s ", nr, name);
  if (WIFSIGNALED(st)) printf("signal %d\n", WTERMSIG(st));
  else if (*result > 0) printf("exit %d\n", WEXITSTATUS(st));
  else if (*result == 0) printf("ok\n");
  else printf("%s\n", strerrorname_np(-*result));
}

int main(int argc, char **argv) {
  static const long wild[] = {600,        1000,       0x40000000, 0x40000027, 0x7fffffff,         0x80000000,
                              0xffffffff, 0xfffffffe, -1,         -100,       0x7fffffffffffffff, 0x8000000000000000};
  struct rlimit none = {0, 0};
  long last = argc > 1 ? atol(argv[1]) : 0;
  bool skip[1024] = {0};
  for (int i = 2; i < argc; i++)
    if (atol(argv[i]) < 1024) skip[atol(argv[i])] = true;
  volatile long *result = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (result == MAP_FAILED) die("mmap");
  // Nothing of these calls reaches what others have: an IPC namespace of their own, nobody's identity, no privilege.
  if (unshare(CLONE_NEWIPC)) die("unshare");
  int file = open("/dev/zero", O_RDONLY);
  int null = open("/dev/null", O_RDWR);
  if (file < 0 || null < 0 || dup2(file, 100) != 100 || dup2(null, 0) != 0) die("/dev/zero");
  if (chdir("/") || setrlimit(RLIMIT_MEMLOCK, &none) || setrlimit(RLIMIT_CORE, &none)) die("setrlimit");
  if (setgroups(0, NULL) || setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534)) die("setresuid");
  const long zeros[6] = {0}, ones[6] = {-1, -1, -1, -1, -1, -1}, fd[6] = {100, -1, -1, -1, -1, -1}, one[6] = {100, 1, 1, 1, 1, 1};
  for (long nr = 0; nr <= last; nr++) {
    if (nr < 1024 && skip[nr]) continue;
    attempt(nr, "zeros", zeros, result);
    attempt(nr, "ones", ones, result);
    attempt(nr, "descriptor", fd, result);
    attempt(nr, "addresses", one, result);
  }
  for (unsigned i = 0; i < sizeof wild / sizeof *wild; i++) attempt(wild[i], "zeros", zeros, result);
  // Only the lower half of the register counts.
  attempt(0x100000027, "zeros", zeros, result);
  return 0;
}
