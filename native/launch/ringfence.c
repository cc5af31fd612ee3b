// bin/ringfence: finds node and the installation it belongs to, and becomes `node dist/ringfence.cjs ARG...`.
//
// Container clients call it from any directory, with few or no environment variables, and node must not be steered by those of a stranger
// (NODE_OPTIONS, OPENSSL_CONF, LD_*): node starts with an environment of three variables: RINGFENCE_ENV_FD names a memfd with the
// caller's own environment (NUL-terminated strings), RINGFENCE_NOFILE is the caller's soft limit of descriptors, RINGFENCE_INHERITED how
// many descriptors from 3 on the caller has given us, without a gap.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ENV_FD_MIN 200

// Options for node: those under which the code cache was made (runsc-compat/nodeflags.json; build.sh puts them here).
#ifndef NODE_OPTIONS_LIST
#define NODE_OPTIONS_LIST
#endif
static const char *const node_options[] = {NODE_OPTIONS_LIST NULL};

extern char **environ;

static _Noreturn void fail(const char *what, const char *detail) {
  dprintf(2, "ringfence: %s%s%s\n", what, detail != NULL ? ": " : "", detail != NULL ? detail : "");
  _exit(125);
}

static const char *variable(const char *name) {
  size_t n = strlen(name);
  for (char **e = environ; e != NULL && *e != NULL; e++)
    if (!strncmp(*e, name, n) && (*e)[n] == '=') return *e + n + 1;
  return NULL;
}

static int environment_file(void) {
  int fd = (int)syscall(SYS_memfd_create, "environment", 0);
  if (fd < 0) fail("cannot create a memfd", strerror(errno));
  for (char **e = environ; e != NULL && *e != NULL; e++) {
    size_t left = strlen(*e) + 1;
    const char *at = *e;
    while (left > 0) {
      ssize_t n = write(fd, at, left);
      if (n <= 0) fail("cannot pass the environment on", strerror(errno));
      at += n;
      left -= (size_t)n;
    }
  }
  lseek(fd, 0, SEEK_SET);
  // Away from the numbers that a caller may hand on (--preserve-fds), as far as its limit allows.
  struct rlimit limit = {1024, 1024};
  getrlimit(RLIMIT_NOFILE, &limit);
  int least = limit.rlim_cur > ENV_FD_MIN ? ENV_FD_MIN : (int)limit.rlim_cur - 1;
  int high = fcntl(fd, F_DUPFD, least);
  if (high < 0) return fd;
  close(fd);
  return high;
}

static int inherited(void) {
  int n = 0;
  while (n < ENV_FD_MIN - 3 && fcntl(3 + n, F_GETFD) >= 0) n++;
  return n;
}

// Streams that the caller closed: whatever we open next would take their place, and what is written to them would go there.
static void fill_streams(void) {
  for (int fd = 0; fd < 3; fd++) {
    if (fcntl(fd, F_GETFD) >= 0) continue;
    if (open("/dev/null", O_RDWR) != fd) fail("cannot open /dev/null", strerror(errno));
  }
}

// The node that the installation was built with, written beside this program. False: no such file, or it names nothing that runs.
static bool recorded_node(const char *home, char *node) {
  char path[PATH_MAX];
  if (snprintf(path, sizeof path, "%s/bin/.node", home) >= (int)sizeof path) return false;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  ssize_t n = read(fd, node, PATH_MAX - 1);
  close(fd);
  if (n <= 0) return false;
  node[n] = 0;
  node[strcspn(node, "\n")] = 0;
  return node[0] == '/' && access(node, X_OK) == 0;
}

static bool node_on_path(char *node) {
  const char *p = variable("PATH");
  while (p != NULL && *p != 0) {
    size_t n = strcspn(p, ":");
    if (n > 0 && *p == '/' && snprintf(node, PATH_MAX, "%.*s/node", (int)n, p) < PATH_MAX && access(node, X_OK) == 0) return true;
    p += n;
    if (*p == ':') p++;
  }
  static const char *usual[] = {"/usr/bin/node", "/usr/local/bin/node"};
  for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
    if (access(usual[i], X_OK) != 0) continue;
    strcpy(node, usual[i]);
    return true;
  }
  return false;
}

int main(int argc, char **argv) {
  fill_streams();
  char home[PATH_MAX];
  ssize_t n = readlink("/proc/self/exe", home, sizeof home - 1);
  if (n <= 0) fail("/proc is not mounted", "mount it (mount -t proc proc /proc) and try again");
  home[n] = 0;
  for (int i = 0; i < 2; i++) {
    char *slash = strrchr(home, '/');
    if (slash == NULL) fail("cannot tell where it is installed", home);
    *slash = 0;
  }
  char node[PATH_MAX];
  if (!recorded_node(home, node) && !node_on_path(node))
    fail("node was not found", "install Node 20 or newer, or put its path into bin/.node beside this program");
  char script[PATH_MAX];
  if (snprintf(script, sizeof script, "%s/dist/ringfence.cjs", home) >= (int)sizeof script) fail("the path of the installation is too long", home);
  if (access(script, R_OK) != 0) fail("the installation is not complete, run `npm run build` in it", script);

  const char **args = calloc((size_t)argc + 2 + sizeof node_options / sizeof *node_options, sizeof *args);
  if (args == NULL) fail("out of memory", NULL);
  int m = 0;
  args[m++] = "ringfence";
  for (const char *const *o = node_options; *o != NULL; o++) args[m++] = *o;
  args[m++] = script;
  for (int i = 1; i < argc; i++) args[m++] = argv[i];
  // node raises the soft limit of descriptors at its start; the guest gets the caller's.
  struct rlimit limit = {1024, 1024};
  getrlimit(RLIMIT_NOFILE, &limit);
  char env[64];
  char nofile[64];
  char given[64];
  snprintf(given, sizeof given, "RINGFENCE_INHERITED=%d", inherited());
  snprintf(env, sizeof env, "RINGFENCE_ENV_FD=%d", environment_file());
  snprintf(nofile, sizeof nofile, "RINGFENCE_NOFILE=%llu", (unsigned long long)limit.rlim_cur);
  char *const envp[] = {env, nofile, given, NULL};
  execve(node, (char *const *)args, envp);
  fail("cannot start node", strerror(errno));
}
