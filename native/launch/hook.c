// A hook that runs in the namespaces of the container, from the host's files: createContainer, before the stand-in enters the container's root.
#define _GNU_SOURCE
#include "launch.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

// Standard streams are those that we were given. Ends as the hook does.
void hook_main(struct plan *p) {
  if (p->hook_args.n < 2 || p->hook_cwd == NULL) die("the plan lacks a hook");
  join_process(p);
  pid_t pid = fork(); // into the pid namespace
  if (pid < 0) die("cannot fork: %s", strerror(errno));
  if (pid == 0) {
    die_with_parent();
    if (chdir(p->hook_cwd) < 0 && chdir("/") < 0) die("cannot enter %s: %s", p->hook_cwd, strerror(errno));
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(p->hook_args.v[0], (char *const *)(p->hook_args.v + 1), (char *const *)p->hook_env.v);
    die("cannot start %s: %s", p->hook_args.v[0], strerror(errno));
  }
  int status;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) die("cannot wait for the hook: %s", strerror(errno));
  if (WIFSIGNALED(status)) {
    signal(WTERMSIG(status), SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); // one core is enough
    kill(getpid(), WTERMSIG(status));
  }
  _exit(WEXITSTATUS(status));
}
