// chroot, mount (tmpfs, bind, proc), umount, pivot_root, unshare.
#include "test.h"
#include <sys/mount.h>
#include <sys/statfs.h>

// The case goes on in a mount namespace of its own, in which nothing is shared with the host.
static void own_mounts(void) {
  CHECK_OK(unshare(CLONE_NEWNS));
  CHECK_OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
}

TEST(tmpfs, access, mount, statfs, umount2, unshare) {
  own_mounts();
  struct stat a, b;
  CHECK_OK(mkdir("m", 0755));
  put_file("m/hidden", "");
  CHECK_OK(stat("m", &a));
  CHECK_OK(mount("none", "m", "tmpfs", 0, "mode=0701,size=64k"));
  CHECK_OK(stat("m", &b));
  CHECK(a.st_dev != b.st_dev && (b.st_mode & 07777) == 0701);
  CHECK_ERRNO(access("m/hidden", F_OK), ENOENT);
  put_file("m/f", "in tmpfs");
  CHECK_STR(get_file("m/f"), "in tmpfs");
  struct statfs sf;
  CHECK_OK(statfs("m", &sf));
  CHECK_EQ(sf.f_type, 0x01021994);
  CHECK_EQ(sf.f_blocks * sf.f_bsize, 65536);
  static char big[100000];
  int fd = open("m/big", O_RDWR | O_CREAT, 0600);
  CHECK(write(fd, big, sizeof big) < 65536);
  CHECK_ERRNO(write(fd, big, 65536), ENOSPC);
  CHECK_ERRNO(umount("m"), EBUSY);
  CHECK_OK(close(fd));
  CHECK_OK(umount("m"));
  CHECK_OK(access("m/hidden", F_OK));
  CHECK_ERRNO(umount("m"), EINVAL);
}

TEST(bind, mount, rename, umount2, unshare) {
  own_mounts();
  CHECK_OK(mkdir("a", 0755));
  CHECK_OK(mkdir("b", 0755));
  put_file("a/f", "bound");
  CHECK_OK(mount("a", "b", NULL, MS_BIND, NULL));
  CHECK_STR(get_file("b/f"), "bound");
  put_file("b/g", "new");
  CHECK_STR(get_file("a/g"), "new");
  CHECK_ERRNO(rename("a/g", "b/h"), EXDEV);
  CHECK_ERRNO(rmdir("b"), EBUSY);
  CHECK_OK(mount(NULL, "b", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
  CHECK_ERRNO(open("b/new", O_CREAT | O_WRONLY, 0600), EROFS);
  CHECK_ERRNO(unlink("b/f"), EROFS);
  CHECK_OK(unlink("a/g"));
  CHECK_OK(umount("b"));
  put_file("x", "one");
  put_file("y", "two");
  CHECK_OK(mount("x", "y", NULL, MS_BIND, NULL)); // a file on a file
  CHECK_STR(get_file("y"), "one");
  CHECK_OK(umount2("y", MNT_DETACH));
  CHECK_STR(get_file("y"), "two");
}

TEST(recursive_bind, access, mount, umount2, unshare) {
  own_mounts();
  CHECK_OK(mkdir("a", 0755));
  CHECK_OK(mkdir("b", 0755));
  CHECK_OK(mkdir("a/t", 0755));
  CHECK_OK(mount("none", "a/t", "tmpfs", 0, NULL));
  put_file("a/t/f", "deep");
  CHECK_OK(mount("a", "b", NULL, MS_BIND, NULL));
  CHECK_ERRNO(access("b/t/f", F_OK), ENOENT);
  CHECK_OK(umount("b"));
  CHECK_OK(mount("a", "b", NULL, MS_BIND | MS_REC, NULL));
  CHECK_STR(get_file("b/t/f"), "deep");
}

TEST(mount_errors, mount, umount2, unshare) {
  own_mounts();
  put_file("f", "");
  CHECK_OK(mkdir("d", 0755));
  CHECK_ERRNO(mount("none", "absent", "tmpfs", 0, NULL), ENOENT);
  CHECK_ERRNO(mount("none", "d", "nonesuchfs", 0, NULL), ENODEV);
  CHECK_ERRNO(mount("none", "f", "tmpfs", 0, NULL), ENOTDIR);
  CHECK_ERRNO(mount("none", "d", "tmpfs", 0, "size=rubbish"), EINVAL);
  CHECK_ERRNO(mount("d", "f", NULL, MS_BIND, NULL), ENOTDIR);
  CHECK_ERRNO(umount2("d", 0x1000), EINVAL);
  CHECK_ERRNO(umount("absent"), ENOENT);
  become(1234, 1234);
  CHECK_ERRNO(mount("none", "d", "tmpfs", 0, NULL), EPERM);
  CHECK_ERRNO(umount("d"), EPERM);
}

TEST(listed_in_mountinfo, getcwd, mount, unshare) {
  own_mounts();
  char cwd[PATH_MAX], want[PATH_MAX + 32];
  CHECK(getcwd(cwd, sizeof cwd));
  CHECK_OK(mkdir("m p", 0755));
  CHECK_OK(mount("src", "m p", "tmpfs", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL));
  snprintf(want, sizeof want, "src %s/m\\040p tmpfs rw,nosuid,nodev,noexec,relatime", cwd);
  CHECK(strstr(get_file("/proc/self/mounts"), want));
  snprintf(want, sizeof want, " / %s/m\\040p rw,nosuid,nodev,noexec,relatime - tmpfs src ", cwd);
  CHECK(strstr(get_file("/proc/self/mountinfo"), want));
}

TEST(noexec_is_kept, access, mount, unshare) {
  own_mounts();
  CHECK_OK(mkdir("m", 0755));
  CHECK_OK(mount("none", "m", "tmpfs", MS_NOEXEC, NULL));
  put_file("m/s", "#!/bin/sh\n");
  CHECK_OK(chmod("m/s", 0755));
  char *const argv[] = {"s", NULL};
  CHECK_ERRNO(execv("m/s", argv), EACCES);
  CHECK_ERRNO(access("m/s", X_OK), EACCES);
}

TEST(chroot_confines, access, chroot, getcwd) {
  CHECK_OK(mkdir("r", 0755));
  CHECK_OK(mkdir("r/in", 0755));
  put_file("r/f", "inside");
  put_file("outside", "x");
  CHECK_OK(symlink("/f", "r/link"));
  pid_t pid = fork();
  if (!pid) {
    CHECK_OK(chroot("r"));
    CHECK_OK(chdir("/"));
    CHECK_STR(get_file("/f"), "inside");
    CHECK_STR(get_file("/link"), "inside");
    CHECK_STR(get_file("/../../f"), "inside");
    CHECK_ERRNO(access("/outside", F_OK), ENOENT);
    CHECK_ERRNO(access("../outside", F_OK), ENOENT);
    char b[64];
    CHECK_OK(chdir("in"));
    CHECK(getcwd(b, sizeof b));
    CHECK_STR(b, "/in");
    _exit(0);
  }
  WAIT_OK(pid);
  CHECK_ERRNO(chroot("absent"), ENOENT);
  CHECK_ERRNO(chroot("outside"), ENOTDIR);
}

TEST(pivot_root_swaps, access, mount, pivot_root, umount2, unshare) {
  own_mounts();
  CHECK_OK(mkdir("new", 0755));
  CHECK_OK(mount("none", "new", "tmpfs", 0, NULL));
  CHECK_OK(mkdir("new/old", 0755));
  put_file("new/f", "new root");
  CHECK_OK(chdir("new"));
  CHECK_OK(syscall(SYS_pivot_root, ".", "old"));
  CHECK_OK(chdir("/"));
  CHECK_STR(get_file("/f"), "new root");
  CHECK_OK(access("/old/bin/sh", X_OK));
  CHECK_OK(umount2("/old", MNT_DETACH));
  CHECK_ERRNO(access("/old/bin/sh", X_OK), ENOENT);
  CHECK_ERRNO(syscall(SYS_pivot_root, "/old", "/old"), EBUSY); // not a mount of its own
}

TEST(namespaces_are_separate, access, mount, unshare) {
  CHECK_OK(mkdir("m", 0755));
  pid_t pid = fork();
  if (!pid) {
    own_mounts();
    CHECK_OK(mount("none", "m", "tmpfs", 0, NULL));
    put_file("m/f", "");
    _exit(0);
  }
  WAIT_OK(pid);
  CHECK_ERRNO(access("m/f", F_OK), ENOENT);
}

TEST(proc_can_be_mounted, mount, unshare) {
  own_mounts();
  CHECK_OK(mkdir("p", 0755));
  CHECK_OK(mount("proc", "p", "proc", 0, NULL));
  char b[32] = "", want[32];
  snprintf(want, sizeof want, "%d", getpid());
  CHECK(readlink("p/self", b, sizeof b) > 0);
  CHECK_STR(b, want);
}

TEST(unshare_files_and_errors, unshare) {
  CHECK_OK(unshare(CLONE_FILES));
  CHECK_OK(unshare(CLONE_FS));
  CHECK_OK(unshare(0));
  CHECK_ERRNO(unshare(0x1), EINVAL);
  become(1234, 1234);
  CHECK_ERRNO(unshare(CLONE_NEWNS), EPERM);
}
