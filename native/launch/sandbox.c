// The sandbox: pid 1 of a pid namespace whose root holds node's own files. It starts the pristine stub and the Sentry, reaps, and ends with the
// Sentry; the kernel then ends every process of the namespace.
#define _GNU_SOURCE
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void plain_signals(void) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

static void start_stub(struct plan *p, int socket) {
  pid_t pid = fork();
  if (pid < 0) die("cannot fork: %s", strerror(errno));
  if (pid > 0) return;
  plain_signals();
  prctl(PR_SET_NAME, "stub", 0, 0, 0);
  struct fdmap map[2] = {{socket, STUB_FD_SOCKET}, {p->stub_device_fd, STUB_FD_DEVICE}};
  place_fds(map, p->stub_device_fd < 0 ? 1 : 2);
  char *const argv[] = {(char *)"stub", NULL};
  char *const envp[] = {NULL};
  execve(p->stub, argv, envp);
  die("cannot start the stub %s: %s", p->stub, strerror(errno));
}

void sandbox_main(struct plan *p, bool privileged, int sync, int stub_sentry, int stub_stub, int gofer, int standin) {
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) die("cannot open /dev/null: %s", strerror(errno));
  forget_title();
  setsid();
  int self = own_folder();
  struct oom oom = oom_begin(p->guest_oom);
  if (!privileged) ask_maps(sync, self);
  if (!p->opened) open_sources(p, privileged, true, false);
  make_root(p, OF_SANDBOX);
  if (privileged) {
    // The mounts and the other namespaces belong to the host's user namespace; whatever runs here has no say over them.
    setgroups(0, NULL);
    if (unshare(CLONE_NEWUSER) < 0)
      die("cannot create a user namespace (%s): allow them with sysctl user.max_user_namespaces", strerror(errno));
    ask_maps(sync, self);
    if (setresgid(SANDBOX_ID, SANDBOX_ID, SANDBOX_ID) < 0 || setresuid(SANDBOX_ID, SANDBOX_ID, SANDBOX_ID) < 0)
      die("cannot become user %d: %s", SANDBOX_ID, strerror(errno));
  }
  drop_all_capabilities();
  no_new_privs();
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  die_with_parent();

  // Files that get their numbers in the Sentry's own process.
  struct program *s = &p->sentry;
  int config = memfd_with("config", s->config);
  // The stub and all guests, which are its copies, are killed before us.
  oom_set(&oom, p->guest_oom);
  if (p->stub != NULL) start_stub(p, stub_stub);
  if (p->stub_device_fd >= 0) close(p->stub_device_fd);
  oom_set(&oom, 0);
  if (oom.fd >= 0) close(oom.fd);
  pid_t sentry = fork();
  if (sentry < 0) die("cannot fork: %s", strerror(errno));
  if (sentry == 0) {
    struct fdmap *m = s->fds;
    m[s->nfds++] = (struct fdmap){null, 0};
    m[s->nfds++] = (struct fdmap){2, 1};
    m[s->nfds++] = (struct fdmap){2, 2};
    m[s->nfds++] = (struct fdmap){config, FD_CONFIG};
    if (p->stub != NULL) m[s->nfds++] = (struct fdmap){stub_sentry, SENTRY_FD_STUB};
    m[s->nfds++] = (struct fdmap){gofer, SENTRY_FD_GOFER};
    m[s->nfds++] = (struct fdmap){standin, SENTRY_FD_STANDIN};
    m[s->nfds++] = (struct fdmap){report_fd, SENTRY_FD_READY};
    place_fds(m, s->nfds);
    plain_signals();
    refuse_io_uring();
    execve(s->args.v[0], (char *const *)s->args.v, (char *const *)p->env.v);
    die("cannot start %s in the sandbox: %s", s->args.v[0], strerror(errno));
  }
  report_fd = -1;
  close_other_fds(NULL, 0);
  prctl(PR_SET_NAME, "sandbox-init", 0, 0, 0);
  confine_init();
  for (;;) {
    int status;
    pid_t pid = waitpid(-1, &status, __WALL);
    if (pid == sentry) _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    if (pid < 0 && errno != EINTR) _exit(125);
  }
}
