// Rows: processes, threads, signals.
#include "bench.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t handled;
static pid_t self;

static void reap(pid_t pid) {
  int status;
  MUST(waitpid(pid, &status, 0));
  if (status != 0) fail("a child ended with status 0x%x", status);
}

static void op_fork(long n) {
  while (n-- > 0) {
    pid_t pid = MUST(fork());
    if (pid == 0) _exit(0);
    reap(pid);
  }
}

static void op_fork_exec(long n) {
  while (n-- > 0) {
    pid_t pid = MUST(fork());
    if (pid == 0) {
      execl("/bin/true", "true", NULL);
      _exit(127);
    }
    reap(pid);
  }
}

static void *no_work(void *arg) { return arg; }

static void op_thread(long n) {
  while (n-- > 0) {
    pthread_t thread;
    int error = pthread_create(&thread, NULL, no_work, NULL);
    if (error) fail("pthread_create: error %d", error);
    pthread_join(thread, NULL);
  }
}

static void on_signal(int number) {
  (void)number;
  handled++;
}

static void prepare_signal(void) {
  struct sigaction action = {.sa_handler = on_signal};
  MUST(sigaction(SIGUSR1, &action, NULL));
  self = getpid();
}

static void op_signal(long n) {
  while (n-- > 0) MUST(kill(self, SIGUSR1));
  if (!handled) fail("no signal came");
}

const struct row process_rows[] = {
    {"fork", NULL, op_fork},
    {"fork-exec", NULL, op_fork_exec},
    {"thread", NULL, op_thread},
    {"signal", prepare_signal, op_signal},
    {NULL, NULL, NULL},
};
