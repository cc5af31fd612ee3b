// The root of a stand-in: the container's, with the mounts of its configuration, for those who look at the container from outside (they enter the
// stand-in's mount namespace). The guest never sees it: it has the Sentry's.
//
// The tree is hostile. Names in it are resolved as if it were the root (openat2(2), RESOLVE_IN_ROOT), nothing in it is a device or gives a
// privilege, and a mount that cannot be made as configured is left out. What exists in the Sentry's memory alone (tmpfs and the like) is shown as an
// empty, read-only place, so that nobody writes to where no guest will ever look.
#define _GNU_SOURCE
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MNT_DETACH 2

int mount(const char *, const char *, const char *, unsigned long, const void *);
int umount2(const char *, int);

// The number and the depth of a propagation word (mount_namespaces(7)); 0: none.
static unsigned long propagation(const char *word) {
  static const struct {
    const char *name;
    unsigned long flags;
  } words[] = {
      {"private", MS_PRIVATE},       {"rprivate", MS_PRIVATE | MS_REC}, {"slave", MS_SLAVE},           {"rslave", MS_SLAVE | MS_REC},
      {"shared", MS_SHARED},         {"rshared", MS_SHARED | MS_REC},   {"unbindable", MS_UNBINDABLE}, {"runbindable", MS_UNBINDABLE | MS_REC},
  };
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (!strcmp(words[i].name, word)) return words[i].flags;
  return 0;
}

// Opens a name below the root, wherever its symbolic links would like to lead.
int open_inside(int root, const char *path) {
  struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
  while (*path == '/') path++;
  return (int)syscall(SYS_openat2, root, *path == 0 ? "." : path, &how, sizeof how);
}

// Opens a mount point; what lacks of it is made, its last part as a folder or a file. -1: it is none that can be made.
static int mount_point(int root, const char *path, bool is_dir) {
  int fd = open_inside(root, path);
  if (fd >= 0 || errno != ENOENT) return fd;
  char part[4096];
  size_t n = strlen(path);
  if (n >= sizeof part) return -1;
  int parent = open_inside(root, "/");
  for (size_t at = 0; parent >= 0 && at < n;) {
    while (path[at] == '/') at++;
    size_t from = at;
    while (at < n && path[at] != '/') at++;
    if (at == from) break;
    memcpy(part, path, at);
    part[at] = 0;
    bool last = strspn(path + at, "/") == n - at;
    fd = open_inside(root, part);
    if (fd < 0 && errno == ENOENT) {
      if (!last || is_dir) {
        mkdirat(parent, part + from, 0755);
      } else {
        int made = openat(parent, part + from, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0644);
        if (made >= 0) close(made);
      }
      fd = open_inside(root, part);
    }
    close(parent);
    parent = fd;
  }
  return parent;
}

static void set_attributes(int fd, bool recursive, uint64_t set, unsigned long spread) {
  struct mount_attr attr = {.attr_set = set, .propagation = spread & ~(unsigned long)MS_REC};
  unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0u);
  syscall(SYS_mount_setattr, fd, "", flags, &attr, sizeof attr);
}

// A detached new file system; -1 where it cannot be made.
static int new_mount(const char *type, const char *source, uint64_t attributes) {
  int fs = (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
  if (fs < 0) return -1;
  syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "source", source, 0);
  if (!strcmp(type, "tmpfs")) {
    syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "mode", "0755", 0);
    syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "size", "256k", 0);
  }
  int tree = -1;
  if (syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0) tree = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attributes);
  close(fs);
  return tree;
}

static int tree_of(struct contmount *m) {
  uint64_t set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
  if (m->tree >= 0) {
    set_attributes(m->tree, true, set, 0);
    if (m->readonly) set |= MOUNT_ATTR_RDONLY;
    if (m->noexec) set |= MOUNT_ATTR_NOEXEC;
    set_attributes(m->tree, false, set, 0);
    unsigned long spread = propagation(m->propagation);
    if (spread != 0) set_attributes(m->tree, (spread & MS_REC) != 0, 0, spread);
    return m->tree;
  }
  set |= MOUNT_ATTR_NOEXEC;
  bool kernels = !strcmp(m->type, "proc") || !strcmp(m->type, "sysfs") || !strcmp(m->type, "mqueue") || !strcmp(m->type, "devpts");
  int tree = kernels ? new_mount(m->type, m->type, set | MOUNT_ATTR_RDONLY) : -1;
  return tree >= 0 ? tree : new_mount("tmpfs", m->type, set);
}

// Copies the root and the sources of bind mounts, where the caller's files are seen.
void open_container(struct plan *p, bool privileged) {
  if (p->root == NULL) return;
  bool is_dir;
  p->root_tree = clone_tree(p->root, true, privileged, &is_dir);
  for (int i = 0; i < p->ncont; i++) {
    struct contmount *m = &p->cont[i];
    if (*m->source != 0) m->tree = clone_tree(m->source, m->recursive, privileged, &m->is_dir);
  }
}

// Puts the root together, beside what the stand-in still sees as its root.
void make_container(struct plan *p) {
  if (p->root == NULL) return;
  // Whatever is to be shared among mounts of the container: the host gets none of them.
  if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0) die("cannot detach the mounts from the host's: %s", strerror(errno));
  if (p->root_tree < 0) open_container(p, is_privileged());
  set_attributes(p->root_tree, true, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, MS_REC | MS_PRIVATE);
  // Its own place is best, for programs that are to find it there before the root changes; any other will do.
  if (syscall(SYS_move_mount, p->root_tree, "", AT_FDCWD, p->root, MOVE_MOUNT_F_EMPTY_PATH) < 0 &&
      syscall(SYS_move_mount, p->root_tree, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
    die("cannot mount the root of the container: %s", strerror(errno));
  for (int i = 0; i < p->ncont; i++) {
    struct contmount *m = &p->cont[i];
    int at = mount_point(p->root_tree, m->target, m->tree < 0 || m->is_dir);
    int tree = at < 0 ? -1 : tree_of(m);
    if (tree >= 0 && syscall(SYS_move_mount, tree, "", at, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) == 0) m->mounted = tree;
    else if (tree >= 0 && tree != m->tree) close(tree);
    if (at >= 0) close(at);
  }
  // All mount points are there: nothing is to be written to what no guest sees.
  for (int i = 0; i < p->ncont; i++)
    if (p->cont[i].mounted >= 0 && p->cont[i].tree < 0) set_attributes(p->cont[i].mounted, false, MOUNT_ATTR_RDONLY, 0);
  if (p->root_readonly) set_attributes(p->root_tree, false, MOUNT_ATTR_RDONLY, 0);
}

// Makes the container's root ours, and leaves the host's. `socket` leads to the Sentry.
void enter_container(struct plan *p, int socket) {
  if (p->root == NULL) return;
  open_view(p, true);
  name_view(p);
  if (fchdir(p->root_tree) < 0) die("cannot enter the root of the container: %s", strerror(errno));
  if (syscall(SYS_pivot_root, ".", ".") < 0) die("cannot make %s the root of the container: %s", p->root, strerror(errno));
  // What is unmounted here must not be unmounted elsewhere.
  if (mount(NULL, ".", NULL, MS_REC | MS_SLAVE, NULL) < 0 || umount2(".", MNT_DETACH) < 0)
    die("cannot leave the host's root: %s", strerror(errno));
  if (chdir("/") < 0) die("cannot enter the root of the container: %s", strerror(errno));
  show_view(p, socket);
  unsigned long spread = propagation(p->root_propagation);
  if (spread != 0) mount(NULL, "/", NULL, spread & ~(unsigned long)MS_REC, NULL);
}
