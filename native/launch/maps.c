// User and group ids of the user namespaces that are made here (user_namespaces(7)).
//
// Whoever enters a new user namespace cannot map its ids itself. A process of a nested pid namespace has another pid than /proc shows, so it hands
// its folder of /proc to its parent as a descriptor.
#define _GNU_SOURCE
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINE 40 // bytes of one line of a map at most

static bool write_at(int folder, const char *name, const char *text) {
  int fd = openat(folder, name, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  bool done = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
  int e = errno;
  close(fd);
  errno = e;
  return done;
}

static char *text_of(const struct idmaps *m) {
  char *text = need((size_t)m->n * LINE + 1);
  size_t at = 0;
  for (int i = 0; i < m->n; i++) at += (size_t)snprintf(text + at, LINE, "%u %u %u\n", m->v[i].inside, m->v[i].outside, m->v[i].count);
  return text;
}

// newuidmap(1) and newgidmap(1) map the subordinate ids of an ordinary user.
static bool run_helper(const char *helper, pid_t pid, const struct idmaps *m) {
  char **argv = need(sizeof *argv * ((size_t)m->n * 3 + 3));
  char *numbers = need((size_t)m->n * 3 * 16 + 16);
  int argc = 0;
  argv[argc++] = (char *)helper;
  snprintf(numbers, 16, "%d", (int)pid);
  argv[argc++] = numbers;
  for (int i = 0; i < m->n; i++) {
    unsigned part[3] = {m->v[i].inside, m->v[i].outside, m->v[i].count};
    for (int k = 0; k < 3; k++) {
      numbers += 16;
      snprintf(numbers, 16, "%u", part[k]);
      argv[argc++] = numbers;
    }
  }
  pid_t child = fork();
  if (child < 0) return false;
  if (child == 0) {
    static char *const env[] = {(char *)"PATH=/usr/local/bin:/usr/bin:/bin", NULL};
    char path[64];
    for (const char *dir = "/usr/bin\0/usr/local/bin\0/bin\0"; *dir != 0; dir += strlen(dir) + 1) {
      snprintf(path, sizeof path, "%s/%s", dir, helper);
      execve(path, argv, env);
    }
    _exit(127);
  }
  int status;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return false;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 127) die("cannot map ids: %s is not installed", helper);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// True when the kernel lets the owner write this map himself: one id, his own.
static bool is_own(const struct idmaps *m, unsigned own) {
  return m->n == 1 && m->v[0].count == 1 && m->v[0].outside == own;
}

static void write_map(int folder, pid_t pid, const char *name, const char *helper, const struct idmaps *m, unsigned own, bool may) {
  if (may || is_own(m, own)) {
    if (!write_at(folder, name, text_of(m))) die("cannot write the %s of the container: %s", name, strerror(errno));
  } else if (!run_helper(helper, pid, m)) {
    die("%s refuses the %s of the container", helper, name);
  }
}

// Maps the ids of a process in a user namespace that the caller has just made.
void write_maps(pid_t pid, const struct idmaps *uids, const struct idmaps *gids) {
  char path[32];
  snprintf(path, sizeof path, "/proc/%d", (int)pid);
  int folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) die("cannot open %s: %s", path, strerror(errno));
  bool groups = has_capability(CAP_SETGID);
  if (!groups && is_own(gids, getegid())) write_at(folder, "setgroups", "deny");
  write_map(folder, pid, "uid_map", "newuidmap", uids, geteuid(), has_capability(CAP_SETUID));
  write_map(folder, pid, "gid_map", "newgidmap", gids, getegid(), groups);
  close(folder);
}

// The calling process's folder of /proc, to be given to ask_maps when /proc is out of sight.
int own_folder(void) {
  int fd = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) die("cannot open /proc/self: %s", strerror(errno));
  return fd;
}

// Asks the parent to map our ids and waits for it.
void ask_maps(int sync, int folder) {
  char c = 'm';
  struct iovec iov = {&c, 1};
  union {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(int))];
  } control = {0};
  struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
  control.head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
  memcpy(CMSG_DATA(&control.head), &folder, sizeof folder);
  if (sendmsg(sync, &msg, MSG_NOSIGNAL) != 1 || read(sync, &c, 1) != 1) _exit(125);
  close(folder);
}

// Waits for a child's request and maps one user and one group. False: it died (and has said why).
bool serve_maps(int sync, bool privileged) {
  char c;
  struct iovec iov = {&c, 1};
  union {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(int))];
  } control = {0};
  struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
  if (recvmsg(sync, &msg, MSG_CMSG_CLOEXEC) != 1 || msg.msg_controllen < CMSG_LEN(sizeof(int))) return false;
  int folder;
  memcpy(&folder, CMSG_DATA(&control.head), sizeof folder);
  unsigned uid = privileged ? SANDBOX_ID : geteuid();
  unsigned gid = privileged ? SANDBOX_ID : getegid();
  char line[LINE];
  if (!privileged) write_at(folder, "setgroups", "deny");
  snprintf(line, sizeof line, "%u %u 1", uid, uid);
  bool done = write_at(folder, "uid_map", line);
  snprintf(line, sizeof line, "%u %u 1", gid, gid);
  if (!done || !write_at(folder, "gid_map", line)) die("cannot map user %u into the sandbox: %s", uid, strerror(errno));
  close(folder);
  return write(sync, "m", 1) == 1;
}
