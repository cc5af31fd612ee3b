#include <stdio.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
  struct timespec t = {0, 0};
  clock_gettime(CLOCK_MONOTONIC, &t);
  printf("hello %d %s pid %d clock %d\n", argc, argv[argc - 1], (int)getpid(), t.tv_sec > 0);
  return 3;
}
