// What a container client is to a runtime: a subreaper. It starts commands that it is told on standard input, and reaps whatever is
// reparented to it.
//
// A request is a length (32 bits, little endian) and words, each ended by NUL: a token, the working folder, the files for standard input,
// output and error ("-": closed), the number of variables, the variables, the arguments. It answers in lines: "d TOKEN STATUS" for the end
// of a command, "x PID STATUS" for that of any other child; STATUS as wait(2) has it. At the end of its input it kills its children.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_WORDS 512
#define MAX_COMMANDS 1024
#define MAX_REQUEST (1 << 20)

static struct {
  pid_t pid;
  char token[32];
} commands[MAX_COMMANDS];

static _Noreturn void fail(const char *what) {
  fprintf(stderr, "reaper: %s: %s\n", what, strerror(errno));
  exit(1);
}

static bool fill(void *to, size_t n) {
  for (size_t at = 0; at < n;) {
    ssize_t r = read(0, (char *)to + at, n - at);
    if (r <= 0) return false;
    at += (size_t)r;
  }
  return true;
}

static void stream(const char *path, int fd) {
  if (!strcmp(path, "-")) {
    close(fd);
    return;
  }
  int opened = open(path, fd == 0 ? O_RDONLY : O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (opened < 0 || dup2(opened, fd) < 0) fail(path);
  close(opened);
}

static void start(char **words, int count) {
  int slot = 0;
  while (slot < MAX_COMMANDS && commands[slot].pid != 0) slot++;
  if (slot == MAX_COMMANDS || count < 7) fail("a bad request");
  int variables = atoi(words[5]);
  if (variables < 0 || count < 7 + variables) fail("a bad request");
  snprintf(commands[slot].token, sizeof commands[slot].token, "%s", words[0]);
  // As containerd does: the runtime must not live longer than its caller.
  pid_t pid = fork();
  if (pid < 0) fail("fork");
  if (pid > 0) {
    commands[slot].pid = pid;
    return;
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (chdir(words[1]) < 0) fail(words[1]);
  // A working folder that is named so is removed under the command's feet.
  if (strstr(words[1], "/vanishing") != NULL) rmdir(words[1]);
  char *environment[MAX_WORDS];
  for (int i = 0; i < variables; i++) environment[i] = words[6 + i];
  environment[variables] = NULL;
  for (int fd = 2; fd >= 0; fd--) stream(words[2 + fd], fd);
  execve(words[6 + variables], words + 6 + variables, environment);
  _exit(127);
}

static void reap(void) {
  int status;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
    int slot = 0;
    while (slot < MAX_COMMANDS && commands[slot].pid != pid) slot++;
    if (slot < MAX_COMMANDS) {
      printf("d %s %d\n", commands[slot].token, status);
      commands[slot].pid = 0;
    } else {
      printf("x %d %d\n", (int)pid, status);
    }
  }
  fflush(stdout);
}

static void kill_children(void) {
  for (int i = 0; i < 50; i++) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *f = fopen(path, "re");
    int pid;
    bool any = false;
    while (f != NULL && fscanf(f, "%d", &pid) == 1) {
      kill(pid, SIGKILL);
      any = true;
    }
    if (f != NULL) fclose(f);
    if (!any) return;
    usleep(20000);
    while (waitpid(-1, NULL, WNOHANG) > 0) continue;
  }
}

int main(void) {
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) fail("PR_SET_CHILD_SUBREAPER");
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  sigprocmask(SIG_BLOCK, &set, NULL);
  int signals = signalfd(-1, &set, SFD_CLOEXEC);
  if (signals < 0) fail("signalfd");
  static char body[MAX_REQUEST];
  for (;;) {
    struct pollfd p[] = {{.fd = 0, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
    if (poll(p, 2, -1) < 0 && errno != EINTR) fail("poll");
    if (p[1].revents != 0) {
      struct signalfd_siginfo info;
      if (read(signals, &info, sizeof info) < 0 && errno != EAGAIN) fail("read");
      reap();
    }
    if (p[0].revents == 0) continue;
    uint32_t length;
    if (!fill(&length, sizeof length) || length > sizeof body || length == 0 || !fill(body, length)) break;
    char *words[MAX_WORDS + 1];
    int count = 0;
    for (char *at = body; at < body + length && count < MAX_WORDS; at += strlen(at) + 1) words[count++] = at;
    words[count] = NULL;
    start(words, count);
  }
  kill_children();
  return 0;
}
