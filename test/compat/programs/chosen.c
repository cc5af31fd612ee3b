// TAP with cases that can be chosen: --list, --only NAME. Where there is no io_uring (the sandbox) one hangs and one ends the program.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *const names[] = {"first", "hangs", "second", "dies", "third", "prints"};
#define COUNT ((int)(sizeof names / sizeof *names))

static int inside(void) { return syscall(SYS_io_uring_setup, 0, NULL) == -1 && errno == ENOSYS; }

static int wanted(int argc, char **argv, const char *name) {
  int any = 0;
  for (int i = 1; i + 1 < argc; i++) {
    if (strcmp(argv[i], "--only")) continue;
    any = 1;
    if (!strcmp(argv[++i], name)) return 1;
  }
  return !any;
}

int main(int argc, char **argv) {
  int count = 0, number = 0;
  for (int i = 0; i < COUNT; i++) {
    if (argc > 1 && !strcmp(argv[1], "--list")) puts(names[i]);
    count += wanted(argc, argv, names[i]);
  }
  if (argc > 1 && !strcmp(argv[1], "--list")) return 0;
  printf("TAP version 13\n1..%d\n", count);
  for (int i = 0; i < COUNT; i++) {
    if (!wanted(argc, argv, names[i])) continue;
    fflush(stdout);
    if (!strcmp(names[i], "hangs") && inside()) pause();
    if (!strcmp(names[i], "dies") && inside()) abort();
    if (!strcmp(names[i], "prints")) puts(inside() ? "the sandbox" : "the host");
    printf("ok %d - %s\n", ++number, names[i]);
  }
  return 0;
}
