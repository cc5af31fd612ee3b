// /proc in the root of a stand-in: the container's processes, as the Sentry tells of them (src/sentry/fs/fuse), for those who look at the
// container from outside. Nothing of ours reads it.
//
// What is read there is answered by the Sentry, so it can lie, and make its reader wait until the sandbox ends. The mount gives nothing else:
// it is read-only, without devices, programs and privileges, and its symbolic links cannot be followed. Where the host has no FUSE for
// us, the kernel's own proc stays, which shows the processes of the sandbox.
#define _GNU_SOURCE
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000
#endif
#define MNT_DETACH 2
#define MAX_IDS 16384 // bytes of two files of at most 340 lines

int umount2(const char *, int);

// The mount of the plan that is the container's /proc, or NULL.
static struct contmount *proc_of(struct plan *p) {
  struct contmount *found = NULL;
  for (int i = 0; p->root != NULL && i < p->ncont; i++) {
    struct contmount *m = &p->cont[i];
    size_t n = strlen(m->target);
    while (n > 1 && m->target[n - 1] == '/') n--;
    if (n == 5 && !strncmp(m->target, "/proc", 5)) found = *m->source == 0 && !strcmp(m->type, "proc") ? m : NULL;
  }
  return found;
}

static int view_mount(int device) {
  int fs = (int)syscall(SYS_fsopen, "fuse", FSOPEN_CLOEXEC);
  if (fs < 0) return -1;
  char number[16];
  snprintf(number, sizeof number, "%d", device);
  const char *const words[][2] = {
      {"source", "proc"}, {"subtype", "ringfence"}, {"fd", number}, {"rootmode", "40555"}, {"user_id", "0"}, {"group_id", "0"},
  };
  const char *const flags[] = {"ro", "allow_other", "default_permissions"};
  bool ok = true;
  for (size_t i = 0; ok && i < sizeof words / sizeof *words; i++)
    ok = syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, words[i][0], words[i][1], 0) == 0;
  for (size_t i = 0; ok && i < sizeof flags / sizeof *flags; i++) ok = syscall(SYS_fsconfig, fs, FSCONFIG_SET_FLAG, flags[i], NULL, 0) == 0;
  int tree = -1;
  const unsigned attributes =
      MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSYMFOLLOW;
  if (ok && syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0) tree = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attributes);
  close(fs);
  return tree;
}

static ino_t user_space(void) {
  struct stat st;
  return stat("/proc/self/ns/user", &st) == 0 ? st.st_ino : 0;
}

// Adds a file's text and a NUL to the ids.
static void add_ids(struct plan *p, const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  size_t limit = p->nview_ids + MAX_IDS - 1;
  ssize_t n;
  while (fd >= 0 && p->nview_ids < limit && (n = read(fd, p->view_ids + p->nview_ids, limit - p->nview_ids)) > 0)
    p->nview_ids += (size_t)n;
  if (fd >= 0) close(fd);
  p->nview_ids++;
}

static bool new_user_space(struct plan *p) {
  for (int i = 0; i + 1 < p->spaces.n; i += 2)
    if (!strcmp(p->spaces.v[i], "user")) return true;
  return false;
}

// Opens the host's FUSE device, and mounts it nowhere yet. Called first in the place of the caller, if he may: the container's groups keep the
// device away. Then in the stand-in, while the host's files are seen: the kernel takes the device in the user namespace alone in which it was
// opened, and tells the numbers of those who read as the pid namespace has them in which it was mounted.
void open_view(struct plan *p, bool standin) {
  if (proc_of(p) == NULL) return;
  if (p->view_device < 0) p->view_device = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (p->view_device < 0 || p->view_tree >= 0 || (!standin && !new_user_space(p))) return;
  p->view_tree = view_mount(p->view_device);
  p->view_user = user_space();
}

// What the Sentry is told in the stand-in, while the host's files are seen: a byte 0, which is no signal's number, and where the mount is of
// another user namespace than the container's, how the container's ids are called there.
void name_view(struct plan *p) {
  p->view_ids = need(2 * MAX_IDS + 1);
  p->nview_ids = 1;
  if (p->view_tree < 0 || p->view_user == user_space()) return;
  add_ids(p, "/proc/self/uid_map");
  add_ids(p, "/proc/self/gid_map");
}

// Gives the Sentry the device; -1: there is none.
static void give(struct plan *p, int socket, int device) {
  struct iovec data = {p->view_ids, p->nview_ids};
  union {
    char room[CMSG_SPACE(sizeof device)];
    struct cmsghdr align;
  } control = {0};
  struct msghdr msg = {.msg_iov = &data, .msg_iovlen = 1};
  if (device >= 0) {
    msg.msg_control = control.room;
    msg.msg_controllen = sizeof control.room;
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof device);
    memcpy(CMSG_DATA(c), &device, sizeof device);
  }
  sendmsg(socket, &msg, MSG_NOSIGNAL); // whoever is not there any more is missed soon enough
}

// Puts the view in the place of the kernel's proc. We are in the container's root, and all hooks that see it are over: before the Sentry has
// the device, whoever looks waits.
void show_view(struct plan *p, int socket) {
  struct contmount *m = proc_of(p);
  if (m == NULL || m->mounted < 0) return;
  if (p->view_tree >= 0) {
    // With what the configuration has below it: a mount that hides a part of the kernel's proc hides nothing in this one.
    if (fchdir(m->mounted) == 0) umount2(".", MNT_DETACH);
    if (chdir("/") < 0) die("cannot enter the root of the container: %s", strerror(errno));
    int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int at = root < 0 ? -1 : open_inside(root, m->target);
    if (at < 0 || syscall(SYS_move_mount, p->view_tree, "", at, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
      die("cannot mount what shows the processes of the container: %s", strerror(errno));
    close(at);
    close(root);
  }
  give(p, socket, p->view_tree < 0 ? -1 : p->view_device);
}
