// The Gofer: pid 1 of its own namespaces, in a root that holds node's own files and the container's trees below /attach.
#define _GNU_SOURCE
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void gofer_main(struct plan *p, bool privileged, int sync, int socket) {
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) die("cannot open /dev/null: %s", strerror(errno));
  forget_title();
  setsid();
  struct oom oom = oom_begin(p->guest_oom);
  if (oom.fd >= 0) close(oom.fd);
  if (!privileged) ask_maps(sync, own_folder());
  if (!p->opened) open_sources(p, privileged, false, true);
  make_root(p, OF_GOFER);
  if (privileged) keep_file_capabilities();
  else drop_all_capabilities();
  no_new_privs();
  umask(0);
  die_with_parent();

  struct program *g = &p->gofer;
  struct fdmap *m = g->fds;
  m[g->nfds++] = (struct fdmap){null, 0};
  m[g->nfds++] = (struct fdmap){2, 1};
  m[g->nfds++] = (struct fdmap){2, 2};
  m[g->nfds++] = (struct fdmap){memfd_with("config", g->config), FD_CONFIG};
  m[g->nfds++] = (struct fdmap){socket, GOFER_FD_SOCKET};
  place_fds(m, g->nfds);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  refuse_io_uring();
  execve(g->args.v[0], (char *const *)g->args.v, (char *const *)p->env.v);
  die("cannot start %s beside the sandbox: %s", g->args.v[0], strerror(errno));
}
