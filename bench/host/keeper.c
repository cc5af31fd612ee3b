// keeper COMMAND ARGUMENT...
//
// Runs a command so that nothing that it starts outlives it. Processes whose parents end become children of the keeper (the sandboxes that
// runtimes leave behind, too), so that the command can find them in /proc; when it ends, however that happens, they are killed. The keeper
// ends with the command's status.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t command;

static void forward(int number) { kill(command, number); }

// The parent of a process, 0 if there is none any more. The name in stat may hold anything, so what follows its last bracket counts.
static pid_t parent_of(const char *pid) {
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/%s/stat", pid);
  FILE *file = fopen(path, "re");
  if (!file) return 0;
  size_t n = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[n] = 0;
  int parent = 0;
  for (size_t i = n; i-- > 0;)
    if (text[i] == ')') {
      if (sscanf(text + i, ") %*c %d", &parent) != 1) parent = 0;
      break;
    }
  return parent;
}

// Kills all children; their own children come to us and are killed the next time.
static int kill_children(void) {
  DIR *proc = opendir("/proc");
  if (!proc) return -1;
  int killed = 0;
  for (struct dirent *e; (e = readdir(proc));)
    if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && parent_of(e->d_name) == getpid()) killed += kill(atoi(e->d_name), SIGKILL) == 0;
  closedir(proc);
  return killed;
}

int main(int argc, char **argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: keeper COMMAND ARGUMENT...\n");
    return 2;
  }
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) {
    perror("keeper: PR_SET_CHILD_SUBREAPER");
    return 1;
  }
  pid_t self = getpid();
  command = fork();
  if (command < 0) {
    perror("keeper: fork");
    return 1;
  }
  if (command == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != self) _exit(1);
    execvp(argv[1], argv + 1);
    perror(argv[1]);
    _exit(127);
  }
  // The terminal sends its own to the command as well, which may want to say what it has got.
  signal(SIGINT, SIG_IGN);
  signal(SIGTERM, forward);
  signal(SIGHUP, forward);
  int status = 0, ended;
  pid_t pid;
  do {
    pid = wait(&ended);
    if (pid == command) status = ended;
  } while (pid != command && (pid > 0 || errno == EINTR));
  while (kill_children() > 0)
    while (waitpid(-1, NULL, WNOHANG) > 0) continue;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
