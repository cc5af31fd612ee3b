// Whom the host's kernel kills when memory runs out (oom_score_adj in proc(5)): guests before the processes that serve them.
#define _GNU_SOURCE
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST 1000

static bool put(int fd, int value) {
  char text[16];
  int n = snprintf(text, sizeof text, "%d", value < MOST ? value : MOST);
  return pwrite(fd, text, (size_t)n, 0) == n;
}

// Makes room above this process's own value for one that is higher by `lead`. Needs /proc of this process's pid namespace, and keeps the
// file open for later, when there is none. A value that may not be lowered (CAP_SYS_RESOURCE) stays: the lead is smaller then.
struct oom oom_begin(int lead) {
  struct oom o = {-1, 0};
  if (lead <= 0) return o;
  o.fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
  if (o.fd < 0) return o;
  char text[16] = "";
  if (pread(o.fd, text, sizeof text - 1, 0) <= 0) {
    close(o.fd);
    o.fd = -1;
    return o;
  }
  o.base = atoi(text);
  if (o.base + lead <= MOST) return o;
  if (put(o.fd, MOST - lead)) o.base = MOST - lead;
  return o;
}

// This process's value, and that of those it forks: `lead` above its own.
void oom_set(struct oom *o, int lead) {
  if (o->fd >= 0 && !put(o->fd, o->base + lead)) die("cannot set oom_score_adj: %s", strerror(errno));
}
