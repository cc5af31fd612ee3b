// Makes system calls and prints how each ends, for comparing what filters refuse. One line a call: NUMBER ERRNO, or NUMBER signal N.
//   probe all             every number from 0 to 511, and some beyond, with arguments that no call takes
//   probe NR ARG...       one call
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void probe(long nr, const unsigned long *a) {
  int st;
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) {
    errno = 0;
    long r = syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
    const int e = r == -1 ? errno : 0;
    dprintf(1, "%ld %d\n", nr, e);
    // exit_group may be what is refused.
    for (;;) syscall(SYS_exit, 0), kill(getpid(), SIGKILL);
  }
  if (pid < 0 || waitpid(pid, &st, 0) != pid) {
    perror("probe");
    exit(1);
  }
  if (WIFSIGNALED(st)) printf("%ld signal %d\n", nr, WTERMSIG(st));
}

// Calls that do something whatever their arguments are.
static int harmful(long nr) {
  return nr == SYS_rt_sigreturn || nr == SYS_pause || nr == SYS_fork || nr == SYS_vfork || nr == SYS_exit || nr == SYS_exit_group;
}

int main(int argc, char **argv) {
  unsigned long a[6] = {-1UL, -1UL, -1UL, -1UL, -1UL, -1UL};
  if (argc > 1 && strcmp(argv[1], "all") == 0) {
    for (long nr = 0; nr < 512; nr++)
      if (!harmful(nr)) probe(nr, a);
    const long beyond[] = {1000, 0x3fffffff, 0x40000000, 0x40000001, 0x40000000 + 512, 0x40000000 + 600, 0x7fffffff};
    for (size_t i = 0; i < sizeof beyond / sizeof beyond[0]; i++) probe(beyond[i], a);
    return 0;
  }
  for (int i = 1; i < argc; i++) {
    char *p = argv[i];
    const long nr = strtol(p, &p, 0);
    for (int n = 0; n < 6; n++) a[n] = *p == ',' ? strtoul(p + 1, &p, 0) : 0;
    probe(nr, a);
  }
  return 0;
}
