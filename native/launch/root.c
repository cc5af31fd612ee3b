// New roots: a tmpfs that holds node's own files, read-only, and for a Gofer the container's trees below /attach.
//
// Sources are opened as detached trees (open_tree(2)) before anything is mounted, so that no mount of ours can hide or show up in one.
#define _GNU_SOURCE
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MNT_DETACH
#define MNT_DETACH 2
#endif
#define OLD_MS_RDONLY 1
#define OLD_MS_NOSUID 2
#define OLD_MS_NODEV 4
#define OLD_MS_REC 0x4000
#define OLD_MS_SLAVE (1 << 19)

int mount(const char *, const char *, const char *, unsigned long, const void *);
int umount2(const char *, int);

static void old_kernel(const char *call) {
  if (errno == ENOSYS) die("the kernel has no %s: Linux 5.12 or newer is needed", call);
}

static void set_attributes(int fd, const char *path, unsigned flags, uint64_t set) {
  struct mount_attr attr = {.attr_set = set};
  if (syscall(SYS_mount_setattr, fd, path, flags, &attr, sizeof attr) < 0) {
    old_kernel("mount_setattr");
    die("cannot make a mount read-only: %s", strerror(errno));
  }
}

// A detached copy of the mount at `source`. An unprivileged user may only copy a tree whole when mounts below it are locked to it.
int clone_tree(const char *source, bool recursive, bool privileged, bool *is_dir) {
  unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
  int fd = (int)syscall(SYS_open_tree, AT_FDCWD, source, flags | (recursive ? AT_RECURSIVE : 0u));
  if (fd < 0 && !recursive && !privileged && errno == EINVAL) fd = (int)syscall(SYS_open_tree, AT_FDCWD, source, flags | AT_RECURSIVE);
  if (fd < 0) {
    old_kernel("open_tree");
    die("cannot mount %s: %s", source, strerror(errno));
  }
  struct stat st;
  if (fstat(fd, &st) < 0) die("cannot stat %s: %s", source, strerror(errno));
  *is_dir = S_ISDIR(st.st_mode);
  struct mount_attr attr = {.propagation = OLD_MS_SLAVE};
  if (syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr) < 0)
    die("cannot detach the mounts of %s from the host's: %s", source, strerror(errno));
  return fd;
}

// Copies the sources of one or both roots. They get the host's later mounts, the host gets none of ours. Runs where the caller's files are
// seen and its mounts are ours to copy: in the caller's mount namespace, or in a new one of an ordinary user's.
void open_sources(struct plan *p, bool privileged, bool sandbox, bool gofer) {
  for (int i = 0; i < p->nitems; i++) {
    struct rootitem *it = &p->items[i];
    if (it->kind != ROOT_BIND) continue;
    if (sandbox) it->tree[OF_SANDBOX] = clone_tree(it->a, false, privileged, &it->is_dir);
    if (gofer) it->tree[OF_GOFER] = clone_tree(it->a, false, privileged, &it->is_dir);
  }
  for (int i = 0; gofer && i < p->nattach; i++) {
    struct attach *a = &p->attach[i];
    a->tree = clone_tree(a->source, a->recursive, privileged, &a->is_dir);
  }
}

static void make_parents(const char *path) {
  char part[4096];
  for (size_t i = 1; path[i] != 0 && i < sizeof part; i++) {
    if (path[i] != '/') continue;
    memcpy(part, path, i);
    part[i] = 0;
    if (mkdir(part, 0755) < 0 && errno != EEXIST) die("cannot make %s in the new root: %s", part, strerror(errno));
  }
}

static const char *relative(const char *path) {
  while (*path == '/') path++;
  return path;
}

static void put_tree(int tree, const char *target, bool is_dir) {
  make_parents(target);
  if (is_dir) {
    if (mkdir(target, 0755) < 0 && errno != EEXIST) die("cannot make %s in the new root: %s", target, strerror(errno));
  } else {
    int fd = open(target, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    if (fd < 0) die("cannot make %s in the new root: %s", target, strerror(errno));
    close(fd);
  }
  if (syscall(SYS_move_mount, tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) < 0)
    die("cannot mount on %s in the new root: %s", target, strerror(errno));
  close(tree);
}

// Takes away a tree of the host's kernel that no container asked for. In an ordinary user's namespace it is locked to its parent: there an
// empty, read-only tree covers it, which nobody without capabilities can take off again.
static void hide(const char *path) {
  while (umount2(path, MNT_DETACH) == 0) continue;
  struct stat above, st;
  char parent[4096];
  if (snprintf(parent, sizeof parent, "%s/..", path) >= (int)sizeof parent) return;
  if (stat(path, &st) < 0 || stat(parent, &above) < 0 || st.st_dev == above.st_dev) return;
  if (mount("none", path, "tmpfs", OLD_MS_RDONLY | OLD_MS_NOSUID | OLD_MS_NODEV, "size=4k,mode=0555") < 0)
    die("cannot hide the host's %s from the sandbox: %s", path, strerror(errno));
}

// Builds the root and makes it the process's own; everything else is unmounted.
void make_root(struct plan *p, enum whose whose) {
  bool with_attach = whose == OF_GOFER;
  if (mount(NULL, "/", NULL, OLD_MS_REC | OLD_MS_SLAVE, NULL) < 0) die("cannot detach the mounts from the host's: %s", strerror(errno));
  int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
  if (fs < 0) {
    old_kernel("fsopen");
    die("cannot create a tmpfs: %s", strerror(errno));
  }
  syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "mode", "0755", 0);
  syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "size", "1m", 0);
  if (syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0) die("cannot create a tmpfs: %s", strerror(errno));
  int root = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
  if (root < 0) die("cannot create a tmpfs: %s", strerror(errno));
  close(fs);
  if (syscall(SYS_move_mount, root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0) die("cannot mount the new root: %s", strerror(errno));
  if (fchdir(root) < 0) die("cannot enter the new root: %s", strerror(errno));

  for (int i = 0; i < p->nitems; i++) {
    struct rootitem *it = &p->items[i];
    const char *path = relative(it->kind == ROOT_DIR ? it->a : it->b);
    if (it->kind == ROOT_DIR) {
      make_parents(path);
      if (mkdir(path, 0755) < 0 && errno != EEXIST) die("cannot make %s in the new root: %s", path, strerror(errno));
    } else if (it->kind == ROOT_LINK) {
      make_parents(path);
      if (symlink(it->a, path) < 0 && errno != EEXIST) die("cannot make %s in the new root: %s", path, strerror(errno));
    } else {
      set_attributes(it->tree[whose], "", AT_EMPTY_PATH | AT_RECURSIVE, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
      put_tree(it->tree[whose], path, it->is_dir);
    }
  }
  for (int i = 0; with_attach && i < p->nattach; i++) {
    struct attach *a = &p->attach[i];
    char target[64];
    snprintf(target, sizeof target, "attach/%d", i);
    uint64_t set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
    if (a->readonly) set |= MOUNT_ATTR_RDONLY;
    set_attributes(a->tree, "", AT_EMPTY_PATH | AT_RECURSIVE, set);
    put_tree(a->tree, target, a->is_dir);
  }
  for (int i = 0; with_attach && i < p->prune.n; i++) hide(relative(p->prune.v[i]));

  if (syscall(SYS_pivot_root, ".", ".") < 0) die("cannot change the root: %s", strerror(errno));
  if (umount2(".", MNT_DETACH) < 0) die("cannot leave the old root: %s", strerror(errno));
  if (chdir("/") < 0) die("cannot enter the new root: %s", strerror(errno));
  set_attributes(root, "", AT_EMPTY_PATH, MOUNT_ATTR_RDONLY);
  close(root);
}
