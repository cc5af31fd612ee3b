// The stand-in: the process that clients watch in place of the container's first process (or of an exec's).
//
// On its socket to the Sentry it sends one byte per signal that it gets (the signal's number) and receives four bytes, the wait(2) status with
// which it exits. Its death closes the socket, which kills what it stands for. The stand-in of a sandbox is the parent of the sandbox and the
// Gofer and reaps both before it exits, so that nothing runs on when the client learns of the end.
#define _GNU_SOURCE
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <asm/ioctls.h>
#include <sys/ioctl.h>

#define GRACE_MS 2000

// Signals are read from a descriptor; blocked from the very start so that none is lost or kills us half way.
void standin_signals(void) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
}

static long now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

// The terminal as it was before the entrypoint made it raw: it may have been killed since.
static void restore_terminal(struct plan *p) {
  if (p->tty_fd < 0 || p->tty_state == NULL) return;
  unsigned char state[64] = {0};
  for (size_t i = 0; i < sizeof state && p->tty_state[2 * i] && p->tty_state[2 * i + 1]; i++) {
    unsigned v;
    if (sscanf(p->tty_state + 2 * i, "%2x", &v) != 1) return;
    state[i] = (unsigned char)v;
  }
  ioctl(p->tty_fd, TCSETS, state);
}

static bool reap(pid_t pid, long until) {
  if (pid <= 0) return true;
  for (;;) {
    pid_t r = waitpid(pid, NULL, WNOHANG);
    if (r == pid || (r < 0 && errno == ECHILD)) return true;
    long left = until - now_ms();
    if (left <= 0) return false;
    sigset_t chld;
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    struct timespec t = {0, (left < 50 ? left : 50) * 1000000};
    sigtimedwait(&chld, NULL, &t);
  }
}

static void end(pid_t pid, long grace) {
  if (reap(pid, now_ms() + grace)) return;
  kill(pid, SIGKILL);
  reap(pid, now_ms() + GRACE_MS);
}

static bool get_status(int socket, int *status) {
  unsigned char b[4];
  if (recv(socket, b, 4, MSG_DONTWAIT) != 4) return false;
  *status = (int)(b[0] | b[1] << 8 | b[2] << 16 | (unsigned)b[3] << 24);
  return true;
}

// Clients learn a process's pid when the command that started it is over, and some (conmon) know nothing of a child that they reap before:
// the status would be lost. So whoever has a detached entrypoint outlives it, until its parent has reaped it, and not for ever if nobody does.
static void outlive_entrypoint(struct plan *p) {
  char b[8];
  const long until = now_ms() + GRACE_MS;
  while (p->entrypoint_fd >= 0 && pread(p->entrypoint_fd, b, sizeof b, 0) >= 0 && now_ms() < until) poll(NULL, 0, 1);
}

// A line for the entrypoint to show: 'W', text, newline.
static void warn(int life, const char *text) {
  char line[128];
  int n = snprintf(line, sizeof line, "W%s\n", text);
  if (life >= 0) send(life, line, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static _Noreturn void finish(struct plan *p, int socket, pid_t box, pid_t gofer, bool known, int status, bool abandon) {
  if (!known) status = 9;
  if (abandon && box > 0) kill(box, SIGKILL);
  if (box > 0) end(box, known ? GRACE_MS : 500);
  close(socket);
  if (gofer > 0) end(gofer, 500);
  restore_terminal(p);
  if (p->exit_fd >= 0) {
    char line[32];
    int n = snprintf(line, sizeof line, "%d%s\n", status, known ? "" : " lost");
    if (pwrite(p->exit_fd, line, (size_t)n, 0) < 0) n = 0;
  }
  outlive_entrypoint(p);
  _exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

void standin_main(struct plan *p, int socket, pid_t box, pid_t gofer) {
  sigset_t all;
  sigfillset(&all);
  int sfd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
  if (sfd < 0) die("cannot create a signalfd: %s", strerror(errno));
  // Signals of the terminal come to its session's leader. The descriptor itself is closed: the Sentry's must be the last one.
  if (p->ctty_fd >= 0) ioctl(p->ctty_fd, TIOCSCTTY, 0);
  // Until the entrypoint has written down that a detached sandbox exists, its end is the sandbox's: nobody else would ever find it.
  bool unknown = !p->lifeline && gofer > 0 && !p->recorded;
  int life = p->lifeline || unknown ? report_fd : -1;
  int keep[] = {sfd, socket, life, p->exit_fd, p->tty_fd, p->entrypoint_fd};
  report_fd = -1;
  close_other_fds(keep, 6);
  if (chdir("/") < 0) _exit(125);
  drop_all_capabilities();
  no_new_privs();
  confine_standin(box, gofer);

  struct pollfd set[3] = {{sfd, POLLIN, 0}, {socket, POLLIN, 0}, {life, POLLIN, 0}};
  for (;;) {
    if (poll(set, 3, -1) < 0) continue;
    int status;
    if (set[1].revents != 0) {
      bool known = get_status(socket, &status);
      bool over = (set[1].revents & (POLLHUP | POLLERR)) != 0;
      if (!known && over) warn(life, "the sandbox ended unexpectedly");
      if (known || over) finish(p, socket, box, gofer, known, status, !known);
    }
    if (set[0].revents & POLLIN) {
      struct signalfd_siginfo si;
      while (read(sfd, &si, sizeof si) == (ssize_t)sizeof si) {
        // What the terminal sends itself is the Sentry's business, but for the news of another window size.
        bool from_terminal = si.ssi_code == SI_KERNEL && si.ssi_signo != SIGWINCH;
        if (si.ssi_signo != SIGCHLD) {
          if (from_terminal) continue;
          unsigned char b = (unsigned char)si.ssi_signo;
          send(socket, &b, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
          continue;
        }
        // As the first process of a pid namespace it reaps those that others have left in it.
        for (pid_t dead; (dead = waitpid(-1, NULL, WNOHANG)) > 0;) {
          if (dead == box) {
            bool known = get_status(socket, &status);
            if (!known) warn(life, "the sandbox was killed");
            finish(p, socket, 0, gofer, known, status, false);
          } else if (dead == gofer) {
            // Without its files a container cannot go on. A regular end has sent the status before the Gofer could notice.
            bool known = get_status(socket, &status);
            if (!known) warn(life, "the gofer was killed");
            finish(p, socket, box, 0, known, known ? status : 0, !known);
          }
        }
      }
    }
    if (set[2].revents & POLLIN) {
      char b[64];
      ssize_t n = recv(life, b, sizeof b, MSG_DONTWAIT);
      if (n == 0) finish(p, socket, box, gofer, false, 0, true);
      if (n > 0 && unknown) {
        unknown = false;
        close(life);
        set[2] = (struct pollfd){life = -1, 0, 0};
      }
    }
    if (set[2].revents & (POLLHUP | POLLERR)) finish(p, socket, box, gofer, false, 0, true);
  }
}
