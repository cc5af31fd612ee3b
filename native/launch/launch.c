// launch: makes the processes of a sandbox, because node has threads before its first line and threads cannot change namespaces.
//
//   mode sandbox      the stand-in of a container, with a Gofer and a sandbox (pid 1, stub, Sentry) below it
//   mode container    the same for a further container of a sandbox: a Gofer, whose sockets the plan gives
//   mode standin      the stand-in of a further process of a container
//   mode hook         a hook in the namespaces of a container (hook.c)
//
// This process enters the cgroups, opens what the roots are made of, joins the namespaces that are given by path, makes the stand-in in
// the new ones as a child of its own parent (CLONE_PARENT), and leaves.
//
// Descriptor 3 is a socket to the entrypoint. The plan comes in on it (see plan.c). Lines go out: 'C' and the stand-in's pid, 'P' when it
// is in its namespaces, 'R' when it is in the container's root, error lines ('E' and text) and warnings ('W'); and the byte with which a
// Sentry says that it is ready. With the directive `hooks` the root is entered when 'G' has come in. With `lifeline` the end of that socket
// ends everything; without it, it does so until 'R' has come in: the sandbox is on record. The arguments are those of the guest's command,
// for clients that list processes; nothing reads them here.
#define _GNU_SOURCE
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char **title;
static int title_words;

static void pair(int fds[2]) {
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0) die("cannot create a socket pair: %s", strerror(errno));
}

static void told(const char *format, int number) {
  char line[32];
  int n = snprintf(line, sizeof line, format, number);
  if (report_fd >= 0) send(report_fd, line, (size_t)n, MSG_NOSIGNAL);
}

// What a stand-in stands for: the processes below it and its socket to the Sentry.
struct stood_for {
  int socket;
  pid_t box;
  pid_t gofer;
};

static struct stood_for start_programs(struct plan *p, bool box, bool gofer) {
  struct stood_for s = {.socket = p->socket_fd};
  bool privileged = is_privileged();
  uint64_t spaces = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | (privileged ? 0 : CLONE_NEWUSER);
  int gofer_s[2] = {-1, p->gofer_socket_fd}, stub_s[2], standin_s[2], gofer_sync[2], box_sync[2];
  pair(gofer_sync);
  pair(box_sync);
  if (box) {
    pair(gofer_s);
    pair(stub_s);
    pair(standin_s);
    s.socket = standin_s[1];
    s.box = clone_with(spaces);
    if (s.box == 0) {
      close(box_sync[0]);
      sandbox_main(p, privileged, box_sync[1], stub_s[0], stub_s[1], gofer_s[0], standin_s[0]);
    }
  }
  if (gofer) {
    s.gofer = clone_with(spaces);
    if (s.gofer == 0) {
      close(gofer_sync[0]);
      gofer_main(p, privileged, gofer_sync[1], gofer_s[1]);
    }
  }
  close(box_sync[1]);
  close(gofer_sync[1]);
  bool ok = (!gofer || privileged || serve_maps(gofer_sync[0], false)) && (!box || serve_maps(box_sync[0], privileged));
  if (!ok) {
    for (int i = 0; i < 2; i++) {
      pid_t pid = i == 0 ? s.box : s.gofer;
      if (pid <= 0) continue;
      kill(pid, SIGKILL);
      waitpid(pid, NULL, 0);
    }
    _exit(125);
  }
  if (box) close(standin_s[0]);
  if (p->stub_device_fd >= 0) close(p->stub_device_fd);
  return s;
}

static void open_device(struct plan *p) {
  p->stub_device_fd = open(p->stub_device, O_RDWR | O_CLOEXEC);
  if (p->stub_device_fd < 0) die("cannot open %s: %s", p->stub_device, strerror(errno));
}

static void join_cgroups(struct plan *p) {
  for (int i = 0; i < p->cgroups.n; i++) {
    if (!write_file(p->cgroups.v[i], "0")) die("cannot join the cgroup %s: %s", p->cgroups.v[i], strerror(errno));
  }
}

// The stand-in has the name of the guest's command, too.
static void show_title(void) {
  const char *name = title_words > 0 ? strrchr(title[0], '/') : NULL;
  name = name != NULL ? name + 1 : title_words > 0 ? title[0] : "";
  prctl(PR_SET_NAME, *name != 0 ? name : "ringfence-init", 0, 0, 0);
}

// Only the stand-in shows the guest's command.
void forget_title(void) {
  for (int i = 0; i < title_words; i++) memset(title[i], 0, strlen(title[i]));
}

// Our parent is the entrypoint.
static void watch_entrypoint(struct plan *p) {
  char path[32];
  snprintf(path, sizeof path, "/proc/%d/stat", getppid());
  p->entrypoint_fd = open(path, O_RDONLY | O_CLOEXEC);
}

// The entrypoint runs hooks while the container's root is not ours yet. Its end is ours.
static void wait_for_hooks(struct plan *p) {
  char c = 0;
  while (c != 'G') {
    if (recv(report_fd, &c, 1, 0) != 1) _exit(125);
    if (c == 'R') p->recorded = true;
  }
}

int main(int argc, char **argv) {
  title = argv;
  title_words = argc;
  report_fd = PLAN_FD;
  standin_signals();
  umask(022);
  raise_nofile();
  struct stat st;
  if (fstat(PLAN_FD, &st) < 0 || !S_ISSOCK(st.st_mode)) {
    report_fd = -1;
    die("launch is started by ringfence");
  }
  fcntl(PLAN_FD, F_SETFD, FD_CLOEXEC);
  struct plan *p = read_plan(PLAN_FD);
  if (p->passed > 0) close_range((unsigned)p->passed, ~0u, 0); // what the caller let slip through
  bool box = !strcmp(p->mode, "sandbox"), container = !strcmp(p->mode, "container"), exec = !strcmp(p->mode, "standin");
  bool gofer = box || container;
  if (!strcmp(p->mode, "hook")) hook_main(p);
  if (!gofer && !exec) die("launch does not know %s", p->mode);
  if (box && (p->sentry.args.n == 0 || p->sentry.config == NULL)) die("the plan lacks a program");
  if (gofer && (p->gofer.args.n == 0 || p->gofer.config == NULL)) die("the plan lacks a program");
  if ((!box && p->socket_fd < 0) || (container && p->gofer_socket_fd < 0)) die("the plan lacks a socket");

  if (p->stub_device != NULL) open_device(p); // while our groups and capabilities allow it
  if (gofer && owns_mounts()) open_view(p, false);
  if (exec && !p->lifeline) watch_entrypoint(p);
  join_cgroups(p);
  if (p->oom_score_adj != NULL) write_file("/proc/self/oom_score_adj", p->oom_score_adj);
  if (gofer && owns_mounts()) {
    open_sources(p, true, box, true);
    open_container(p, true);
    p->opened = true;
  }
  if (p->join_pid > 0) join_process(p);
  join_spaces(p);
  pid_t pid = clone_standin(p);
  if (pid > 0) {
    told("C%d\n", pid);
    _exit(0);
  }
  show_title();
  settle_in_spaces(p);
  struct stood_for s = {.socket = p->socket_fd};
  if (gofer) s = start_programs(p, box, true);
  make_container(p);
  told("P\n", 0);
  if (p->hooks) wait_for_hooks(p);
  enter_container(p, s.socket);
  told("R\n", 0);
  standin_main(p, s.socket, s.box, s.gofer);
}
