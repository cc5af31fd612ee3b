// Hard links, symbolic links, unlink while open, mknod.
#include "test.h"
#include <sys/sysmacros.h>

TEST(hard_links, link, unlink) {
  struct stat st;
  put_file("a", "x");
  CHECK_OK(link("a", "b"));
  CHECK_OK(stat("b", &st));
  CHECK_EQ(st.st_nlink, 2);
  int fd = open("b", O_WRONLY | O_TRUNC);
  CHECK_EQ(write(fd, "new", 3), 3);
  CHECK_STR(get_file("a"), "new");
  CHECK_OK(unlink("a"));
  CHECK_OK(fstat(fd, &st));
  CHECK_EQ(st.st_nlink, 1);
}

TEST(link_errors, link, linkat) {
  put_file("a", "");
  put_file("b", "");
  CHECK_OK(mkdir("d", 0755));
  CHECK_ERRNO(link("a", "b"), EEXIST);
  CHECK_ERRNO(link("absent", "c"), ENOENT);
  CHECK_ERRNO(link("d", "e"), EPERM);
  CHECK_ERRNO(link("a", "d/x/y"), ENOENT);
  CHECK_ERRNO(link("a", "b/x"), ENOTDIR);
  CHECK_ERRNO(linkat(AT_FDCWD, "a", AT_FDCWD, "c", 0x8000), EINVAL);
}

TEST(link_of_symlink, link, linkat, symlink) {
  struct stat st;
  put_file("a", "");
  CHECK_OK(symlink("a", "s"));
  CHECK_OK(link("s", "s2"));
  CHECK_OK(lstat("s2", &st));
  CHECK(S_ISLNK(st.st_mode));
  CHECK_OK(linkat(AT_FDCWD, "s", AT_FDCWD, "h", AT_SYMLINK_FOLLOW));
  CHECK_OK(lstat("h", &st));
  CHECK(S_ISREG(st.st_mode));
}

TEST(readlink_sizes, readlink, symlink) {
  char b[32];
  CHECK_OK(symlink("0123456789", "s"));
  memset(b, 'z', sizeof b);
  CHECK_EQ(readlink("s", b, 4), 4);
  CHECK(!memcmp(b, "0123z", 5));
  CHECK_EQ(readlink("s", b, 32), 10);
  CHECK_ERRNO(syscall(SYS_readlink, "s", b, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_readlink, "s", b, -1), EINVAL);
  put_file("f", "");
  CHECK_ERRNO(readlink("f", b, 4), EINVAL);
  CHECK_ERRNO(readlink("absent", b, 4), ENOENT);
}

TEST(symlink_errors, readlink, symlink) {
  put_file("f", "");
  CHECK_ERRNO(symlink("", "s"), ENOENT);
  CHECK_ERRNO(symlink("x", "f"), EEXIST);
  CHECK_ERRNO(symlink("x", "f/s"), ENOTDIR);
  CHECK_ERRNO(symlink("x", ""), ENOENT);
  char big[4200];
  memset(big, 'a', sizeof big);
  big[4096] = 0;
  CHECK_ERRNO(symlink(big, "s"), ENAMETOOLONG);
  big[4095] = 0;
  CHECK_OK(symlink(big, "s"));
  CHECK_EQ(readlink("s", big, sizeof big), 4095);
}

TEST(symlink_loops, symlink) {
  struct stat st;
  CHECK_OK(symlink("b", "a"));
  CHECK_OK(symlink("a", "b"));
  CHECK_ERRNO(stat("a", &st), ELOOP);
  CHECK_ERRNO(open("a", O_RDONLY), ELOOP);
  CHECK_ERRNO(stat("a/x", &st), ELOOP);
  CHECK_OK(symlink("self", "self"));
  CHECK_ERRNO(chdir("self"), ELOOP);
}

TEST(forty_links_are_the_limit, symlink) {
  char a[16], b[16];
  struct stat st;
  put_file("l0", "x");
  for (int i = 1; i <= 41; i++) {
    snprintf(a, sizeof a, "l%d", i - 1);
    snprintf(b, sizeof b, "l%d", i);
    CHECK_OK(symlink(a, b));
  }
  CHECK_OK(stat("l40", &st));
  CHECK_ERRNO(stat("l41", &st), ELOOP);
}

TEST(symlink_in_the_middle, symlink) {
  CHECK_OK(mkdir("d", 0755));
  CHECK_OK(mkdir("d/e", 0755));
  put_file("d/e/f", "x");
  put_file("d/g", "g");
  CHECK_OK(symlink("d/e", "s"));
  CHECK_STR(get_file("s/f"), "x");
  CHECK_STR(get_file("s/../g"), "g"); // .. is the parent of the target
  CHECK_STR(get_file("s/./f"), "x");
  CHECK_STR(get_file("s//f"), "x");
}

TEST(trailing_slash_follows, access, symlink, unlink) {
  struct stat st;
  CHECK_OK(mkdir("d", 0755));
  CHECK_OK(symlink("d", "s"));
  CHECK_OK(lstat("s/", &st));
  CHECK(S_ISDIR(st.st_mode));
  CHECK_ERRNO(unlink("s/"), ENOTDIR);
  CHECK_ERRNO(rmdir("s/"), ENOTDIR);
  CHECK_ERRNO(rmdir("s"), ENOTDIR);
  CHECK_OK(unlink("s"));
  CHECK_OK(access("d", F_OK));
}

TEST(unlink_while_open, pread64, readlink, unlink) {
  struct stat st;
  char b[8] = "";
  put_file("f", "alive");
  int fd = open("f", O_RDWR);
  CHECK_OK(unlink("f"));
  CHECK_ERRNO(stat("f", &st), ENOENT);
  CHECK_OK(fstat(fd, &st));
  CHECK_EQ(st.st_nlink, 0);
  CHECK_EQ(read(fd, b, 8), 5);
  CHECK_EQ(write(fd, "more", 4), 4);
  CHECK_EQ(lseek(fd, 0, SEEK_END), 9);
  put_file("f", "other");
  CHECK_EQ(pread(fd, b, 5, 0), 5);
  CHECK_STR(b, "alive");
  char path[64], name[PATH_MAX];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(path, name, sizeof name);
  CHECK(n > 10 && !memcmp(name + n - 10, " (deleted)", 10));
  int again = open(path, O_RDONLY);
  CHECK(again >= 0);
  CHECK_EQ(pread(again, b, 5, 0), 5);
}

TEST(unlink_errors, unlink, unlinkat) {
  CHECK_ERRNO(unlink("absent"), ENOENT);
  CHECK_ERRNO(unlink(""), ENOENT);
  put_file("f", "");
  CHECK_ERRNO(unlink("f/x"), ENOTDIR);
  CHECK_ERRNO(unlinkat(-1, "f", 0), EBADF);
}

TEST(mknod_kinds, mknodat) {
  struct stat st;
  CHECK_OK(mknod("r", S_IFREG | 0640, 0));
  CHECK_OK(stat("r", &st));
  CHECK_EQ(st.st_mode, S_IFREG | 0640);
  CHECK_OK(mknod("p", S_IFIFO | 0600, 0));
  CHECK_OK(stat("p", &st));
  CHECK(S_ISFIFO(st.st_mode));
  CHECK_OK(mknod("s", S_IFSOCK | 0600, 0));
  CHECK_OK(stat("s", &st));
  CHECK(S_ISSOCK(st.st_mode));
  CHECK_ERRNO(open("s", O_RDWR), ENXIO);
  CHECK_ERRNO(mknod("r", S_IFREG, 0), EEXIST);
  CHECK_ERRNO(mknod("d", S_IFDIR | 0700, 0), EPERM);
}
