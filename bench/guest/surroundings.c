// What surrounds a row: spinning threads, many descriptors, sleeping threads, many mappings.
#include "bench.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

static volatile unsigned long spun;

static void *spin(void *arg) {
  for (;;) spun++;
  return arg;
}

static void *sleep_on(void *arg) {
  for (;;) pause();
  return arg;
}

static long start_threads(long n, void *(*body)(void *)) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN);
  long made = 0;
  pthread_t thread;
  while (made < n && pthread_create(&thread, &attributes, body, NULL) == 0) made++;
  return made;
}

long surround_busy(long n) { return start_threads(n, spin); }

// The row's own thread is one of the tasks.
long surround_tasks(long n) { return 1 + start_threads(n - 1, sleep_on); }

long surround_files(long n) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  int null = MUST(open("/dev/null", O_RDONLY));
  long made = 1;
  // A few descriptors stay free for the row itself.
  int spare[16];
  for (int i = 0; i < 16; i++) spare[i] = dup(null);
  while (made < n && open("/dev/null", O_RDONLY) >= 0) made++;
  for (int i = 0; i < 16; i++)
    if (spare[i] >= 0) close(spare[i]);
  return made;
}

// Neighbours differ in protection, so that they stay mappings of their own.
long surround_maps(long n) {
  long made = 0;
  while (made < n) {
    char *p = mmap(NULL, 4096, made & 1 ? PROT_READ : PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) break;
    made++;
  }
  return made;
}
