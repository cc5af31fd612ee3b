// The namespaces of a stand-in: those at a path are joined, the others are made with it.
#define _GNU_SOURCE
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

struct kind {
  const char *name; // in config.json
  const char *file; // below /proc/PID/ns
  int flag;
};

// The user namespace last: what can be joined without it is joined with the caller's own rights.
static const struct kind kinds[] = {
    {"ipc", "ipc", CLONE_NEWIPC},          {"uts", "uts", CLONE_NEWUTS},    {"network", "net", CLONE_NEWNET}, {"pid", "pid", CLONE_NEWPID},
    {"cgroup", "cgroup", CLONE_NEWCGROUP}, {"time", "time", CLONE_NEWTIME}, {"mount", "mnt", CLONE_NEWNS},    {"user", "user", CLONE_NEWUSER},
};
#define KINDS ((int)(sizeof kinds / sizeof *kinds))

static const struct kind *kind_of(const char *name) {
  for (int i = 0; i < KINDS; i++)
    if (!strcmp(kinds[i].name, name)) return &kinds[i];
  die("there is no namespace of kind %s", name);
}

// True when mounts can be copied from, and made in, the mount namespace that we are in.
bool owns_mounts(void) {
  if (!has_capability(CAP_SYS_ADMIN)) return false;
  int fd = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  int owner = ioctl(fd, NS_GET_USERNS); // EPERM: it is none of ours
  close(fd);
  if (owner >= 0) close(owner);
  return owner >= 0;
}

static int open_space(const struct kind *k, const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0) die("cannot join the %s namespace %s: %s", k->name, path, strerror(errno));
  int type = ioctl(fd, NS_GET_NSTYPE);
  if (type < 0) die("cannot join the %s namespace %s: it is no namespace", k->name, path);
  if (type != k->flag) die("cannot join the %s namespace %s: it is of another type", k->name, path);
  return fd;
}

static bool same_user_space(int fd) {
  struct stat theirs, ours;
  return fstat(fd, &theirs) == 0 && stat("/proc/self/ns/user", &ours) == 0 && theirs.st_ino == ours.st_ino && theirs.st_dev == ours.st_dev;
}

// Joins the namespaces that are given by path. Those of pid and time take effect for the stand-in.
void join_spaces(struct plan *p) {
  int fds[KINDS];
  for (int i = 0; i < KINDS; i++) fds[i] = -1;
  const char *paths[KINDS] = {0};
  for (int i = 0; i + 1 < p->spaces.n; i += 2) {
    const struct kind *k = kind_of(p->spaces.v[i]);
    if (*p->spaces.v[i + 1] == 0) continue;
    paths[k - kinds] = p->spaces.v[i + 1];
    fds[k - kinds] = open_space(k, p->spaces.v[i + 1]);
  }
  // What the caller may not join with his own rights he may with those that the user namespace gives him.
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < KINDS; i++) {
      if (fds[i] < 0) continue;
      bool user = kinds[i].flag == CLONE_NEWUSER;
      if (!(user && same_user_space(fds[i])) && setns(fds[i], kinds[i].flag) < 0) {
        if (errno == EPERM && round == 0 && !user && fds[KINDS - 1] >= 0) continue;
        die("cannot join the %s namespace %s: %s", kinds[i].name, paths[i], strerror(errno));
      }
      close(fds[i]);
      fds[i] = -1;
    }
  }
}

static uint64_t start_of(pid_t pid) {
  char path[32], text[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  if (n <= 0) return 0;
  text[n] = 0;
  char *at = strrchr(text, ')'); // the command's name may hold anything
  for (int field = 2; at != NULL && field < 22; field++) at = strchr(at + 1, ' ');
  return at == NULL ? 0 : strtoull(at + 1, NULL, 10);
}

// Joins all namespaces of the container's stand-in.
void join_process(struct plan *p) {
  int pidfd = (int)syscall(SYS_pidfd_open, p->join_pid, 0);
  if (pidfd < 0 || start_of(p->join_pid) != p->join_start) die("the container's process %d is gone", (int)p->join_pid);
  int flags = 0;
  for (int i = 0; i < KINDS; i++) {
    char path[64];
    struct stat theirs, ours;
    snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)p->join_pid, kinds[i].file);
    if (stat(path, &theirs) < 0) {
      if (errno == ENOENT && kinds[i].flag == CLONE_NEWTIME) continue;
      die("cannot look at the namespaces of the container's process %d: %s", (int)p->join_pid, strerror(errno));
    }
    snprintf(path, sizeof path, "/proc/self/ns/%s", kinds[i].file);
    if (stat(path, &ours) < 0) die("cannot stat %s: %s", path, strerror(errno));
    if (theirs.st_ino != ours.st_ino) flags |= kinds[i].flag;
  }
  if (flags != 0 && setns(pidfd, flags) < 0)
    die("cannot join the namespaces of the container's process %d: %s", (int)p->join_pid, strerror(errno));
  close(pidfd);
}

static int new_spaces(struct plan *p) {
  int flags = 0;
  for (int i = 0; i + 1 < p->spaces.n; i += 2)
    if (*p->spaces.v[i + 1] == 0) flags |= kind_of(p->spaces.v[i])->flag;
  return flags;
}

// Makes the stand-in, in its namespaces, as a child of our parent. Returns in both: 0 in the stand-in.
pid_t clone_standin(struct plan *p) {
  int flags = new_spaces(p);
  if ((flags & CLONE_NEWTIME) && unshare(CLONE_NEWTIME) < 0) die("cannot create a namespace of kind time: %s", strerror(errno));
  flags &= ~CLONE_NEWTIME;
  int sync[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sync) < 0) die("cannot create a socket pair: %s", strerror(errno));
  pid_t pid = clone_with((uint64_t)flags | CLONE_PARENT);
  char c;
  if (pid == 0) {
    close(sync[0]);
    if ((flags & CLONE_NEWUSER) && read(sync[1], &c, 1) != 1) _exit(125);
    close(sync[1]);
    return 0;
  }
  close(sync[1]);
  if (flags & CLONE_NEWUSER) {
    write_maps(pid, &p->uids, &p->gids);
    if (write(sync[0], "m", 1) != 1) _exit(125);
  }
  close(sync[0]);
  return pid;
}

// The stand-in's first steps in its namespaces: their root user, and their names.
void settle_in_spaces(struct plan *p) {
  setsid();
  for (int i = 0; i + 1 < p->spaces.n; i += 2) {
    const char *kind = p->spaces.v[i];
    bool fresh = *p->spaces.v[i + 1] == 0;
    if (!strcmp(kind, "user") && has_id("/proc/self/uid_map", 0) && has_id("/proc/self/gid_map", 0)) {
      // Outside it may still be who it was, whom the namespace does not know.
      if (setgroups(0, NULL) < 0 && errno != EPERM) die("cannot leave the caller's groups: %s", strerror(errno));
      if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0) die("cannot become root of the user namespace: %s", strerror(errno));
      prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); // or the ids of its own children could not be mapped
    } else if (!strcmp(kind, "uts") && fresh) {
      if (p->hostname != NULL && sethostname(p->hostname, strlen(p->hostname)) < 0) die("cannot set the host name: %s", strerror(errno));
      if (p->domainname != NULL && setdomainname(p->domainname, strlen(p->domainname)) < 0)
        die("cannot set the domain name: %s", strerror(errno));
    }
  }
}
