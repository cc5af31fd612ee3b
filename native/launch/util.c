// Errors, files and descriptors.
#define _GNU_SOURCE
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

// Where error lines go: 'E', the text, a newline. -1: standard error.
int report_fd = -1;

static void say(const char *format, va_list ap) {
  char line[1024];
  int n = 0;
  if (report_fd >= 0) line[n++] = 'E';
  int m = vsnprintf(line + n, sizeof line - 2, format, ap);
  if (m < 0) m = 0;
  n += m < (int)sizeof line - 2 ? m : (int)sizeof line - 3;
  line[n++] = '\n';
  if (report_fd < 0 || send(report_fd, line, (size_t)n, MSG_NOSIGNAL) < 0) {
    if (write(2, line, (size_t)n) < 0) return;
  }
}

void die(const char *format, ...) {
  va_list ap;
  va_start(ap, format);
  say(format, ap);
  va_end(ap);
  _exit(125);
}

void *need(size_t bytes) {
  void *p = calloc(1, bytes);
  if (p == NULL) die("out of memory");
  return p;
}

bool write_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  ssize_t n = write(fd, text, strlen(text));
  int e = errno;
  close(fd);
  errno = e;
  return n == (ssize_t)strlen(text);
}

static void close_range_from(unsigned first, unsigned last) {
  if (first > last) return;
  if (syscall(SYS_close_range, first, last, 0) == 0) return;
  for (unsigned fd = first; fd <= last && fd < 65536; fd++) close((int)fd);
}

static int ascending(const void *a, const void *b) {
  return *(const int *)a - *(const int *)b;
}

// Closes every descriptor that is not in `keep`.
void close_other_fds(const int *keep, int n) {
  int sorted[1024];
  int m = 0;
  for (int i = 0; i < n && m < 1024; i++)
    if (keep[i] >= 0) sorted[m++] = keep[i];
  qsort(sorted, (size_t)m, sizeof *sorted, ascending);
  unsigned from = 0;
  for (int i = 0; i < m; i++) {
    if (sorted[i] > (int)from) close_range_from(from, (unsigned)sorted[i] - 1);
    from = (unsigned)sorted[i] + 1;
  }
  close_range_from(from, ~0u);
}

// A memfd that holds `text`, to be read from its start.
int memfd_with(const char *name, const char *text) {
  int fd = (int)syscall(SYS_memfd_create, name, MFD_CLOEXEC);
  if (fd < 0) die("cannot create a memfd: %s", strerror(errno));
  size_t left = strlen(text);
  while (left > 0) {
    ssize_t n = write(fd, text, left);
    if (n <= 0) die("cannot write a memfd: %s", strerror(errno));
    text += n;
    left -= (size_t)n;
  }
  lseek(fd, 0, SEEK_SET);
  return fd;
}

// Gives the descriptors their numbers, inheritable, and closes all others. The error socket, if any, survives at the top, close-on-exec.
void place_fds(struct fdmap *map, int n) {
  int keep[600];
  int nkeep = 0;
  int top = 600;
  for (int i = 0; i < n; i++)
    if (map[i].to >= top) top = map[i].to + 1;
  for (int i = 0; i < n; i++) {
    int fd = fcntl(map[i].from, F_DUPFD_CLOEXEC, top);
    if (fd < 0) die("descriptor %d for %d: %s", map[i].from, map[i].to, strerror(errno));
    map[i].from = fd;
  }
  if (report_fd >= 0) {
    int fd = fcntl(report_fd, F_DUPFD_CLOEXEC, top);
    if (fd < 0) die("too few descriptors: %s", strerror(errno));
    report_fd = fd;
    keep[nkeep++] = fd;
  }
  for (int i = 0; i < n; i++) {
    if (dup2(map[i].from, map[i].to) < 0) die("descriptor %d: %s", map[i].to, strerror(errno));
    keep[nkeep++] = map[i].to;
  }
  close_other_fds(keep, nkeep);
}
