// Starting a program, and ending this one at once.
//
// node:child_process does the first as well, and takes 8 ms to load: streams, sockets, dgram. The entrypoint needs a pid and no more.

#include "host.h"

#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sched.h>

#define MAX_FDS 1024

// What the child of vfork needs; nothing in it is written by the child but `error`.
struct launch {
  const char *path;
  char **argv;
  int fds[MAX_FDS];
  int count;
  volatile int error;
};

// Runs in the parent's memory, with its own signal handlers and descriptors, while the parent waits: system calls and nothing else.
static void child(struct launch *l, const sigset_t *none) {
  for (int sig = 1; sig < NSIG; sig++) {
    struct sigaction old;
    if (sigaction(sig, NULL, &old) < 0 || old.sa_handler == SIG_DFL) continue;
    struct sigaction usual = {.sa_handler = SIG_DFL};
    sigaction(sig, &usual, NULL);
  }
  setsid();
  // First out of the way of the numbers that are given out, then onto them: a copy by dup2 is inheritable.
  for (int i = 0; i < l->count; i++) {
    int fd = fcntl(l->fds[i], F_DUPFD_CLOEXEC, l->count);
    if (fd < 0) goto failed;
    l->fds[i] = fd;
  }
  for (int i = 0; i < l->count; i++)
    if (dup2(l->fds[i], i) < 0) goto failed;
  sigprocmask(SIG_SETMASK, none, NULL);
  char *const environment[] = {NULL};
  execve(l->path, l->argv, environment);
failed:
  l->error = errno;
  _exit(127);
}

// spawn(path, arguments, fds): the program at `path` in a session of its own, with an empty environment. `arguments`: its words, each
// ended by NUL. `fds`: Int32Array, what becomes its descriptors 0, 1, 2, ...; it gets no other that is not inheritable already.
// The pid, or -errno (also of execve).
FN(spawn) {
  char path[PATH_MAX];
  struct launch l = {.path = arg_str(a, 0, path, sizeof path)};
  struct span words = arg_span(a, 1);
  size_t count = 0;
  int32_t *fds = arg_i32(a, 2, 0, &count);
  CHECK_ARGS();
  if (count > MAX_FDS || words.len == 0 || words.p[words.len - 1] != 0) return -EINVAL;
  size_t most = 1;
  for (size_t i = 0; i < words.len; i++) most += words.p[i] == 0;
  l.argv = calloc(most, sizeof *l.argv);
  if (l.argv == NULL) return -ENOMEM;
  int argc = 0;
  for (size_t at = 0; at < words.len; at += strlen((char *)words.p + at) + 1) {
    l.argv[argc++] = (char *)words.p + at;
  }
  for (size_t i = 0; i < count; i++) l.fds[i] = fds[i];
  l.count = (int)count;
  // A signal handler of ours must not run in the child, which has our memory.
  sigset_t all, none, before;
  sigfillset(&all);
  sigemptyset(&none);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pid_t pid = vfork();
  if (pid == 0) child(&l, &none);
  int error = errno;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  free(l.argv);
  if (pid < 0) return -error;
  return l.error != 0 ? -l.error : pid;
}

// exit_group(2): no handlers, no destructors. Node's own way out takes down the heap first, for 3 ms and nobody.
FN(exit) {
  int status = arg_int(a, 0);
  CHECK_ARGS();
  _exit(status);
}

const struct host_entry spawn_entries[] = {
    ENTRY(spawn),
    ENTRY(exit),
    END_OF_TABLE,
};
