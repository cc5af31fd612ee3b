// Makes system calls in another process, as ptrace(2) allows root to: what a compromised process of a sandbox could do.
//
//   inject PID NR[,ARG...]...    prints a line for each call: its result, or "gone" when the process ended of it
//
// An argument is a number, or text of up to 63 bytes after an @ (its address is passed).
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t pid;

static void need(int ok, const char *what) {
  if (ok) return;
  printf("cannot %s: %s\n", what, strerror(errno));
  exit(1);
}

static void put(unsigned long at, const char *text) {
  char room[64] = {0};
  strncpy(room, text, sizeof room - 1);
  for (size_t i = 0; i < sizeof room; i += 8) {
    long word;
    memcpy(&word, room + i, 8);
    need(ptrace(PTRACE_POKEDATA, pid, at + i, word) == 0, "write");
  }
}

// The process stands behind a syscall instruction; `site` is that instruction.
static int run(const struct user_regs_struct *saved, unsigned long site, char *spec) {
  struct user_regs_struct r = *saved;
  unsigned long long *args[] = {&r.rdi, &r.rsi, &r.rdx, &r.r10, &r.r8, &r.r9};
  unsigned long text = (saved->rsp - 4096) & ~63UL;
  char *next = spec;
  r.orig_rax = -1;
  r.rip = site;
  r.rax = strtoull(strsep(&next, ","), NULL, 0);
  for (int i = 0; i < 6; i++) {
    char *word = strsep(&next, ",");
    *args[i] = 0;
    if (word == NULL) continue;
    if (*word == '@') {
      put(text, word + 1);
      *args[i] = text;
      text -= 64;
    } else {
      *args[i] = strtoull(word, NULL, 0);
    }
  }
  need(ptrace(PTRACE_SETREGS, pid, 0, &r) == 0, "set registers");
  need(ptrace(PTRACE_SINGLESTEP, pid, 0, 0) == 0, "step");
  int status;
  need(waitpid(pid, &status, __WALL) == pid, "wait");
  if (!WIFSTOPPED(status)) {
    printf("gone\n");
    return 0;
  }
  need(ptrace(PTRACE_GETREGS, pid, 0, &r) == 0, "get registers");
  printf("%lld\n", (long long)r.rax);
  return 1;
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  pid = atoi(argv[1]);
  int status;
  struct user_regs_struct saved;
  need(ptrace(PTRACE_SEIZE, pid, 0, 0) == 0, "attach");
  need(ptrace(PTRACE_INTERRUPT, pid, 0, 0) == 0, "interrupt");
  need(waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status), "wait");
  need(ptrace(PTRACE_GETREGS, pid, 0, &saved) == 0, "get registers");
  errno = 0;
  unsigned long site = saved.rip - 2;
  long code = ptrace(PTRACE_PEEKTEXT, pid, site, 0);
  need(errno == 0 && (code & 0xffff) == 0x050f, "find a syscall instruction: the process is not in a system call");
  int lives = 1;
  for (int i = 2; i < argc && lives; i++) lives = run(&saved, site, argv[i]);
  if (lives) {
    // As if a signal had come and gone: the call that was interrupted starts again.
    saved.rip = site;
    saved.rax = saved.orig_rax;
    saved.orig_rax = -1;
    need(ptrace(PTRACE_SETREGS, pid, 0, &saved) == 0, "set registers");
    ptrace(PTRACE_DETACH, pid, 0, 0);
  }
  return 0;
}
