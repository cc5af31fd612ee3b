// launch: makes the processes of a sandbox, because node has threads before its first line and threads cannot change namespaces.
//
//   launch sandbox    the plan starts a Gofer and a sandbox (pid 1, stub, Sentry); this process becomes the container's stand-in
//   launch standin    this process becomes a stand-in of something that runs in a sandbox already
//
// Descriptor 3 is a socket to the entrypoint. The plan comes in on it (see plan.c), error lines ('E', text, newline) and warnings ('W')
// go out, 'P' and a newline when the stand-in is where it belongs, and the byte with which a Sentry says that it is ready. With the directive
// `lifeline` the end of that socket ends everything; without it, it does so until a byte has come in that says that the sandbox is on record.
#define _GNU_SOURCE
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef __x86_64__
#error "ringfence runs on x86-64 only"
#endif

static void pair(int fds[2]) {
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0) die("cannot create a socket pair: %s", strerror(errno));
}

// Waits for a child's request and maps its ids. False: it died (and has said why).
static bool serve_maps(pid_t pid, int sync, bool privileged) {
  char c;
  if (read(sync, &c, 1) != 1) return false;
  if (privileged) {
    if (!write_id_maps(pid, SANDBOX_ID, SANDBOX_ID, SANDBOX_ID, SANDBOX_ID, true))
      die("cannot map user %d into the sandbox: %s", SANDBOX_ID, strerror(errno));
  } else if (!write_id_maps(pid, geteuid(), geteuid(), getegid(), getegid(), false)) {
    die("cannot map user %d into the sandbox: %s (is /proc mounted?)", (int)geteuid(), strerror(errno));
  }
  return write(sync, "m", 1) == 1;
}

// Everything that is started later is in the container's groups.
static void join_cgroups(struct plan *p) {
  for (int i = 0; i < p->cgroups.n; i++)
    if (!write_file(p->cgroups.v[i], "0")) die("cannot join the cgroup %s: %s", p->cgroups.v[i], strerror(errno));
}

static _Noreturn void sandbox(struct plan *p) {
  if (p->sentry.args.n == 0 || p->sentry.config == NULL || p->gofer.args.n == 0 || p->gofer.config == NULL) die("the plan lacks a program");
  bool privileged = is_privileged();
  int gofer_s[2], stub_s[2], standin_s[2], gofer_sync[2], box_sync[2];
  pair(gofer_s);
  pair(stub_s);
  pair(standin_s);
  pair(gofer_sync);
  pair(box_sync);
  join_cgroups(p);
  if (p->oom_score_adj != NULL) write_file("/proc/self/oom_score_adj", p->oom_score_adj);

  uint64_t spaces = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | (privileged ? 0 : CLONE_NEWUSER);
  pid_t box = clone_with(spaces | CLONE_NEWNET);
  if (box == 0) {
    close(box_sync[0]);
    sandbox_main(p, privileged, box_sync[1], stub_s[0], stub_s[1], gofer_s[0], standin_s[0]);
  }
  pid_t gofer = clone_with(spaces | CLONE_NEWNET);
  if (gofer == 0) {
    close(gofer_sync[0]);
    gofer_main(p, privileged, gofer_sync[1], gofer_s[1]);
  }
  close(box_sync[1]);
  close(gofer_sync[1]);
  bool ok = (privileged || serve_maps(gofer, gofer_sync[0], false)) && serve_maps(box, box_sync[0], privileged);
  if (!ok) {
    kill(box, SIGKILL);
    kill(gofer, SIGKILL);
    waitpid(box, NULL, 0);
    waitpid(gofer, NULL, 0);
    _exit(125);
  }
  close(standin_s[0]);
  standin_namespaces(p, privileged);
  standin_main(p, standin_s[1], box, gofer);
}

int main(int argc, char **argv) {
  report_fd = PLAN_FD;
  standin_signals();
  umask(022);
  raise_nofile();
  if (argc != 2) {
    report_fd = -1;
    die("launch is started by ringfence");
  }
  struct stat st;
  if (fstat(PLAN_FD, &st) < 0 || !S_ISSOCK(st.st_mode)) {
    report_fd = -1;
    die("launch is started by ringfence");
  }
  fcntl(PLAN_FD, F_SETFD, FD_CLOEXEC);
  struct plan *p = read_plan(PLAN_FD);
  if (!strcmp(argv[1], "sandbox")) sandbox(p);
  if (!strcmp(argv[1], "standin")) {
    if (p->socket_fd < 0) die("the plan lacks a socket");
    join_cgroups(p);
    standin_main(p, p->socket_fd, 0, 0);
  }
  die("launch does not know %s", argv[1]);
}
