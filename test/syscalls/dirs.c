// Directories: getdents64, mkdir, rmdir, chdir, getcwd, rename, renameat2.
#include "test.h"
#include <dirent.h>
#include <linux/fs.h>

struct dent {
  uint64_t ino;
  int64_t off;
  uint16_t reclen;
  uint8_t type;
  char name[];
};

static int count_entries(const char *path) {
  DIR *d = opendir(path);
  if (!d) FAIL("opendir %s: %s", path, strerrorname(errno));
  int n = 0;
  while (readdir(d)) n++;
  closedir(d);
  return n;
}

TEST(mkdir_modes, mkdir) {
  struct stat st;
  umask(022);
  CHECK_OK(mkdir("a", 0777));
  CHECK_OK(stat("a", &st));
  CHECK_EQ(st.st_mode, S_IFDIR | 0755);
  umask(0);
  CHECK_OK(mkdir("b", 01777));
  CHECK_OK(stat("b", &st));
  CHECK_EQ(st.st_mode, S_IFDIR | 01777);
  CHECK_OK(mkdir("c/", 0700));
}

TEST(mkdir_errors, mkdir) {
  put_file("f", "");
  CHECK_OK(mkdir("d", 0755));
  CHECK_ERRNO(mkdir("d", 0755), EEXIST);
  CHECK_ERRNO(mkdir("f", 0755), EEXIST);
  CHECK_ERRNO(mkdir("f/x", 0755), ENOTDIR);
  CHECK_ERRNO(mkdir("x/y", 0755), ENOENT);
  CHECK_ERRNO(mkdir("", 0755), ENOENT);
  CHECK_ERRNO(mkdir("/", 0755), EEXIST);
  CHECK_ERRNO(mkdir(".", 0755), EEXIST);
  CHECK_OK(symlink("absent", "s"));
  CHECK_ERRNO(mkdir("s", 0755), EEXIST);
}

TEST(directory_link_count, mkdir, rmdir) {
  struct stat st;
  CHECK_OK(mkdir("d", 0755));
  CHECK_OK(mkdir("d/a", 0755));
  CHECK_OK(mkdir("d/b", 0755));
  CHECK_OK(stat("d", &st));
  CHECK(st.st_nlink == 4 || st.st_nlink == 1);
  CHECK_OK(rmdir("d/a"));
  CHECK_OK(stat("d", &st));
  CHECK(st.st_nlink == 3 || st.st_nlink == 1);
}

TEST(rmdir_errors, mkdir, rmdir, unlink) {
  put_file("f", "");
  CHECK_OK(mkdir("d", 0755));
  put_file("d/f", "");
  CHECK_ERRNO(rmdir("d"), ENOTEMPTY);
  CHECK_ERRNO(rmdir("f"), ENOTDIR);
  CHECK_ERRNO(rmdir("absent"), ENOENT);
  CHECK_ERRNO(rmdir("d/."), EINVAL);
  CHECK_ERRNO(rmdir("d/.."), ENOTEMPTY);
  CHECK_ERRNO(rmdir("/"), EBUSY);
  CHECK_OK(unlink("d/f"));
  CHECK_OK(rmdir("d/"));
  CHECK_ERRNO(rmdir("d"), ENOENT);
}

TEST(unlink_directory, mkdir, unlink, unlinkat) {
  CHECK_OK(mkdir("d", 0755));
  CHECK_ERRNO(unlink("d"), EISDIR);
  put_file("f", "");
  CHECK_ERRNO(unlinkat(AT_FDCWD, "f", AT_REMOVEDIR), ENOTDIR);
  CHECK_OK(unlinkat(AT_FDCWD, "d", AT_REMOVEDIR));
  CHECK_ERRNO(unlinkat(AT_FDCWD, "f", 0x4000), EINVAL);
  CHECK_ERRNO(unlink("f/"), ENOTDIR);
}

TEST(getdents64_content, getdents64, mkdir, mknodat) {
  CHECK_OK(mkdir("d", 0755));
  put_file("d/file", "");
  CHECK_OK(mkdir("d/dir", 0755));
  CHECK_OK(symlink("x", "d/link"));
  CHECK_OK(mkfifo("d/fifo", 0600));
  int fd = open("d", O_RDONLY | O_DIRECTORY), seen = 0;
  char buf[4096];
  long n = syscall(SYS_getdents64, fd, buf, sizeof buf);
  CHECK(n > 0);
  for (long at = 0; at < n;) {
    struct dent *e = (void *)(buf + at);
    CHECK(e->reclen % 8 == 0 && e->reclen >= 24);
    if (!strcmp(e->name, "file")) seen |= e->type == DT_REG ? 1 : 64;
    if (!strcmp(e->name, "dir")) seen |= e->type == DT_DIR ? 2 : 64;
    if (!strcmp(e->name, "link")) seen |= e->type == DT_LNK ? 4 : 64;
    if (!strcmp(e->name, "fifo")) seen |= e->type == DT_FIFO ? 8 : 64;
    if (!strcmp(e->name, ".")) seen |= e->type == DT_DIR ? 16 : 64;
    if (!strcmp(e->name, "..")) seen |= e->type == DT_DIR ? 32 : 64;
    struct stat st;
    char path[300];
    snprintf(path, sizeof path, "d/%s", e->name);
    CHECK_OK(lstat(path, &st));
    if (strcmp(e->name, "..")) CHECK_EQ(st.st_ino, e->ino);
    at += e->reclen;
  }
  CHECK_EQ(seen, 63);
  CHECK_EQ(syscall(SYS_getdents64, fd, buf, sizeof buf), 0);
  CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
  CHECK_EQ(syscall(SYS_getdents64, fd, buf, sizeof buf), n);
}

TEST(getdents64_errors, getdents64, mkdir, rmdir) {
  char buf[256];
  put_file("f", "");
  int fd = open("f", O_RDONLY), d = open(".", O_RDONLY);
  CHECK_ERRNO(syscall(SYS_getdents64, fd, buf, sizeof buf), ENOTDIR);
  CHECK_ERRNO(syscall(SYS_getdents64, d, buf, 10), EINVAL);
  CHECK_ERRNO(syscall(SYS_getdents64, -1, buf, sizeof buf), EBADF);
  CHECK_ERRNO(syscall(SYS_getdents64, d, (void *)8, 4096), EFAULT);
  CHECK_OK(mkdir("gone", 0755));
  d = open("gone", O_RDONLY);
  CHECK_OK(rmdir("gone"));
  CHECK_ERRNO(syscall(SYS_getdents64, d, buf, sizeof buf), ENOENT);
}

TEST(large_directory_in_small_pieces, getdents64, mkdir) {
  CHECK_OK(mkdir("d", 0755));
  char path[64];
  for (int i = 0; i < 500; i++) {
    snprintf(path, sizeof path, "d/entry-%04d", i);
    put_file(path, "");
  }
  CHECK_EQ(count_entries("d"), 502);
  char seen[500] = {0}, buf[128];
  int fd = open("d", O_RDONLY), total = 0;
  long n;
  while ((n = syscall(SYS_getdents64, fd, buf, sizeof buf)) > 0)
    for (long at = 0; at < n; at += ((struct dent *)(buf + at))->reclen, total++) {
      int i;
      if (sscanf(((struct dent *)(buf + at))->name, "entry-%d", &i) == 1) {
        CHECK(!seen[i]);
        seen[i] = 1;
      }
    }
  CHECK_EQ(n, 0);
  CHECK_EQ(total, 502);
}

TEST(seekdir_telldir, getdents64, mkdir) {
  CHECK_OK(mkdir("d", 0755));
  char path[64];
  for (int i = 0; i < 20; i++) {
    snprintf(path, sizeof path, "d/%d", i);
    put_file(path, "");
  }
  DIR *d = opendir("d");
  for (int i = 0; i < 7; i++) CHECK(readdir(d));
  long at = telldir(d);
  char name[256];
  snprintf(name, sizeof name, "%s", readdir(d)->d_name);
  while (readdir(d)) continue;
  seekdir(d, at);
  CHECK_STR(readdir(d)->d_name, name);
  rewinddir(d);
  int n = 0;
  while (readdir(d)) n++;
  CHECK_EQ(n, 22);
}

TEST(deleting_while_reading, getdents64, mkdir, rmdir, unlink) {
  CHECK_OK(mkdir("d", 0755));
  char path[300];
  for (int i = 0; i < 300; i++) {
    snprintf(path, sizeof path, "d/%d", i);
    put_file(path, "");
  }
  DIR *d = opendir("d");
  struct dirent *e;
  while ((e = readdir(d)))
    if (e->d_name[0] != '.') {
      snprintf(path, sizeof path, "d/%s", e->d_name);
      CHECK_OK(unlink(path));
    }
  CHECK_OK(rmdir("d"));
}

TEST(chdir_getcwd, chdir, fchdir, getcwd, mkdir) {
  char a[PATH_MAX], b[PATH_MAX], want[PATH_MAX + 8];
  CHECK(getcwd(a, sizeof a));
  CHECK_OK(mkdir("d", 0755));
  CHECK_OK(symlink("d", "s"));
  CHECK_OK(chdir("s"));
  CHECK(getcwd(b, sizeof b));
  snprintf(want, sizeof want, "%s/d", a);
  CHECK_STR(b, want);
  CHECK_EQ(syscall(SYS_getcwd, b, sizeof b), strlen(want) + 1);
  CHECK_ERRNO(syscall(SYS_getcwd, b, 3), ERANGE);
  CHECK_OK(chdir(".."));
  CHECK(getcwd(b, sizeof b));
  CHECK_STR(b, a);
  put_file("f", "");
  CHECK_ERRNO(chdir("f"), ENOTDIR);
  CHECK_ERRNO(chdir("absent"), ENOENT);
  int fd = open("d", O_RDONLY), f = open("f", O_RDONLY);
  CHECK_OK(fchdir(fd));
  CHECK_ERRNO(fchdir(f), ENOTDIR);
  CHECK_ERRNO(fchdir(-1), EBADF);
}

TEST(getcwd_of_removed_directory, chdir, getcwd, mkdir, rmdir) {
  char b[PATH_MAX];
  CHECK_OK(mkdir("d", 0755));
  CHECK_OK(chdir("d"));
  CHECK_OK(rmdir("../d"));
  CHECK_ERRNO(syscall(SYS_getcwd, b, sizeof b), ENOENT);
  CHECK_ERRNO(open("f", O_CREAT | O_RDWR, 0600), ENOENT);
  CHECK_ERRNO(mkdir("x", 0700), ENOENT);
  CHECK_OK(chdir(".."));
}

TEST(rename_files, access, mkdir, rename) {
  put_file("a", "A");
  put_file("b", "B");
  CHECK_OK(rename("a", "b"));
  CHECK_STR(get_file("b"), "A");
  CHECK_ERRNO(rename("a", "c"), ENOENT);
  CHECK_OK(mkdir("d", 0755));
  CHECK_OK(rename("b", "d/c"));
  CHECK_STR(get_file("d/c"), "A");
  CHECK_OK(link("d/c", "e"));
  CHECK_OK(rename("e", "d/c")); // two names of one file: nothing happens
  CHECK_OK(access("e", F_OK));
  CHECK_OK(rename("e", "e"));
}

TEST(rename_directories, access, mkdir, rename) {
  CHECK_OK(mkdir("a", 0755));
  CHECK_OK(mkdir("a/in", 0755));
  CHECK_OK(mkdir("empty", 0755));
  CHECK_OK(mkdir("full", 0755));
  put_file("full/f", "");
  put_file("file", "");
  CHECK_ERRNO(rename("a", "full"), ENOTEMPTY);
  CHECK_ERRNO(rename("a", "a/in/x"), EINVAL);
  CHECK_ERRNO(rename("a/in", "a"), ENOTEMPTY);
  CHECK_ERRNO(rename("a", "file"), ENOTDIR);
  CHECK_ERRNO(rename("file", "a"), EISDIR);
  CHECK_OK(rename("a", "empty"));
  CHECK_OK(access("empty/in", F_OK));
  CHECK_ERRNO(rename("empty/.", "x"), EBUSY);
  CHECK_ERRNO(rename("empty", "full/.."), EBUSY);
  CHECK_ERRNO(rename("file", "x/"), ENOTDIR);
  CHECK_OK(rename("empty", "y/"));
}

TEST(rename_moves_the_cwd, chdir, getcwd, mkdir, rename) {
  char b[PATH_MAX];
  CHECK_OK(mkdir("a", 0755));
  CHECK_OK(mkdir("a/b", 0755));
  CHECK_OK(chdir("a/b"));
  CHECK_OK(rename("../../a", "../../z"));
  CHECK(getcwd(b, sizeof b));
  CHECK(strlen(b) > 4 && !strcmp(b + strlen(b) - 4, "/z/b"));
}

TEST(renameat2_flags, mkdir, renameat2) {
  put_file("a", "A");
  put_file("b", "B");
  CHECK_ERRNO(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE), EEXIST);
  CHECK_OK(renameat2(AT_FDCWD, "a", AT_FDCWD, "c", RENAME_NOREPLACE));
  CHECK_OK(renameat2(AT_FDCWD, "b", AT_FDCWD, "c", RENAME_EXCHANGE));
  CHECK_STR(get_file("b"), "A");
  CHECK_STR(get_file("c"), "B");
  CHECK_ERRNO(renameat2(AT_FDCWD, "b", AT_FDCWD, "absent", RENAME_EXCHANGE), ENOENT);
  CHECK_ERRNO(renameat2(AT_FDCWD, "b", AT_FDCWD, "c", RENAME_EXCHANGE | RENAME_NOREPLACE), EINVAL);
  CHECK_ERRNO(renameat2(AT_FDCWD, "b", AT_FDCWD, "c", 64), EINVAL);
  CHECK_OK(mkdir("d", 0755));
  CHECK_OK(renameat2(AT_FDCWD, "b", AT_FDCWD, "d", RENAME_EXCHANGE));
  struct stat st;
  CHECK_OK(stat("b", &st));
  CHECK(S_ISDIR(st.st_mode));
}

TEST(rename_over_open_file, rename) {
  put_file("a", "A");
  put_file("b", "old");
  int fd = open("b", O_RDONLY);
  CHECK_OK(rename("a", "b"));
  char t[8] = "";
  CHECK_EQ(read(fd, t, 8), 3);
  CHECK_STR(t, "old");
  struct stat st;
  CHECK_OK(fstat(fd, &st));
  CHECK_EQ(st.st_nlink, 0);
}

TEST(rename_across_mounts, rename) {
  put_file("a", "");
  CHECK_ERRNO(rename("a", "/dev/shm/rf-x"), EXDEV);
  CHECK_ERRNO(link("a", "/dev/shm/rf-x"), EXDEV);
}

TEST(dot_dot_of_root) {
  struct stat a, b;
  CHECK_OK(stat("/", &a));
  CHECK_OK(stat("/../../..", &b));
  CHECK_EQ(a.st_ino, b.st_ino);
  CHECK_EQ(a.st_dev, b.st_dev);
}

TEST(names_are_bytes, getdents64) {
  const char *odd = "\xff\xfe caf\xc3\xa9\n\t*";
  put_file(odd, "odd");
  DIR *d = opendir(".");
  struct dirent *e;
  int found = 0;
  while ((e = readdir(d)))
    if (!strcmp(e->d_name, odd)) found++;
  CHECK_EQ(found, 1);
  CHECK_STR(get_file(odd), "odd");
}
