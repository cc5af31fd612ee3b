// open, openat, openat2, creat, close and the O_ flags.
#include "test.h"
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>

static long sys_openat2(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
  struct open_how how = {flags, mode, resolve};
  return syscall(SYS_openat2, dir, path, &how, sizeof how);
}

TEST(lowest_descriptor, openat) {
  int a = open("/dev/null", O_RDONLY), b = open("/dev/null", O_RDONLY), c = open("/dev/null", O_RDONLY);
  CHECK(a >= 0 && b > a && c > b);
  CHECK_OK(close(b));
  CHECK_OK(close(a));
  CHECK_EQ(open("/dev/null", O_RDONLY), a);
  CHECK_EQ(open("/dev/null", O_RDONLY), b);
}

TEST(close_errors, close, openat) {
  CHECK_ERRNO(close(-1), EBADF);
  CHECK_ERRNO(close(12345), EBADF);
  int fd = open("/dev/null", O_RDONLY);
  CHECK_OK(close(fd));
  CHECK_ERRNO(close(fd), EBADF);
  CHECK_ERRNO(read(fd, NULL, 0), EBADF);
}

TEST(open_errors, openat) {
  CHECK_ERRNO(open("", O_RDONLY), ENOENT);
  CHECK_ERRNO(open("absent", O_RDONLY), ENOENT);
  CHECK_ERRNO(open("absent/x", O_RDONLY | O_CREAT, 0644), ENOENT);
  CHECK_ERRNO(open((char *)8, O_RDONLY), EFAULT);
  put_file("f", "x");
  CHECK_ERRNO(open("f/x", O_RDONLY), ENOTDIR);
  CHECK_ERRNO(open("f/", O_RDONLY), ENOTDIR);
  CHECK_ERRNO(open("f", O_RDONLY | O_DIRECTORY), ENOTDIR);
  CHECK_ERRNO(open(".", O_WRONLY), EISDIR);
  CHECK_ERRNO(open(".", O_RDWR), EISDIR);
  CHECK_ERRNO(open("newdir/", O_CREAT | O_RDWR, 0644), EISDIR);
  CHECK_ERRNO(openat(999, "f", O_RDONLY), EBADF);
  int fd = open("f", O_RDONLY);
  CHECK_ERRNO(openat(fd, "x", O_RDONLY), ENOTDIR);
}

TEST(name_too_long, openat) {
  char name[300], path[5000];
  memset(name, 'a', sizeof name);
  name[255] = 0;
  int fd = open(name, O_CREAT | O_RDWR, 0644);
  CHECK(fd >= 0);
  name[255] = 'a';
  name[256] = 0;
  CHECK_ERRNO(open(name, O_CREAT | O_RDWR, 0644), ENAMETOOLONG);
  CHECK_ERRNO(open(name, O_RDONLY), ENAMETOOLONG);
  memset(path, '/', sizeof path);
  path[4095] = 0;
  CHECK_OK(open(path, O_RDONLY | O_DIRECTORY));
  path[4095] = '/';
  path[4096] = 0;
  CHECK_ERRNO(open(path, O_RDONLY), ENAMETOOLONG);
}

TEST(creat_excl, openat) {
  int fd = open("f", O_CREAT | O_EXCL | O_RDWR, 0600);
  CHECK(fd >= 0);
  CHECK_ERRNO(open("f", O_CREAT | O_EXCL | O_RDWR, 0600), EEXIST);
  CHECK_OK(symlink("nowhere", "s"));
  CHECK_ERRNO(open("s", O_CREAT | O_EXCL | O_RDWR, 0600), EEXIST);
  CHECK_ERRNO(open("nowhere", O_RDONLY), ENOENT);
  CHECK_ERRNO(open(".", O_CREAT | O_EXCL, 0600), EEXIST);
}

TEST(creat_through_dangling_symlink, openat, symlink) {
  CHECK_OK(symlink("target", "s"));
  int fd = open("s", O_CREAT | O_WRONLY, 0640);
  CHECK(fd >= 0);
  struct stat st;
  CHECK_OK(lstat("target", &st));
  CHECK_EQ(st.st_mode, S_IFREG | 0640);
}

TEST(creat_mode_and_umask, openat, umask) {
  struct stat st;
  umask(027);
  int fd = open("a", O_CREAT | O_WRONLY, 0666);
  CHECK_OK(fstat(fd, &st));
  CHECK_EQ(st.st_mode, S_IFREG | 0640);
  umask(0);
  fd = open("b", O_CREAT | O_WRONLY, 07777);
  CHECK_OK(fstat(fd, &st));
  CHECK_EQ(st.st_mode, S_IFREG | 07777);
  // The mode does not bind the descriptor that created it.
  fd = open("c", O_CREAT | O_RDWR, 0);
  CHECK_EQ(write(fd, "x", 1), 1);
}

TEST(creat_is_open_trunc, creat, openat) {
  put_file("f", "hello");
  int fd = creat("f", 0600);
  CHECK(fd >= 0);
  struct stat st;
  CHECK_OK(fstat(fd, &st));
  CHECK_EQ(st.st_size, 0);
  CHECK_EQ(st.st_mode & 07777, 0644);
  CHECK_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_WRONLY);
}

TEST(trunc, openat) {
  put_file("f", "hello");
  int fd = open("f", O_RDWR | O_TRUNC);
  struct stat st;
  CHECK_OK(fstat(fd, &st));
  CHECK_EQ(st.st_size, 0);
}

TEST(access_mode_is_enforced, openat) {
  char c;
  put_file("f", "hello");
  int r = open("f", O_RDONLY), w = open("f", O_WRONLY);
  CHECK_ERRNO(write(r, "x", 1), EBADF);
  CHECK_ERRNO(read(w, &c, 1), EBADF);
  CHECK_ERRNO(ftruncate(r, 0), EINVAL);
}

TEST(append, openat, pwrite64) {
  put_file("f", "12345");
  int a = open("f", O_WRONLY | O_APPEND), b = open("f", O_WRONLY | O_APPEND);
  CHECK_EQ(write(a, "a", 1), 1);
  CHECK_EQ(write(b, "b", 1), 1);
  CHECK_EQ(lseek(a, 0, SEEK_SET), 0);
  CHECK_EQ(write(a, "c", 1), 1);
  CHECK_EQ(lseek(a, 0, SEEK_CUR), 8);
  CHECK_STR(get_file("f"), "12345abc");
  // Linux appends even for pwrite.
  CHECK_EQ(pwrite(a, "d", 1, 0), 1);
  CHECK_STR(get_file("f"), "12345abcd");
}

TEST(nofollow, openat) {
  put_file("f", "x");
  CHECK_OK(symlink("f", "s"));
  CHECK_ERRNO(open("s", O_RDONLY | O_NOFOLLOW), ELOOP);
  int fd = open("s", O_PATH | O_NOFOLLOW);
  CHECK(fd >= 0);
  struct stat st;
  CHECK_OK(fstat(fd, &st));
  CHECK(S_ISLNK(st.st_mode));
  char text[8] = "";
  CHECK_EQ(readlinkat(fd, "", text, sizeof text), 1);
  CHECK_STR(text, "f");
  CHECK_ERRNO(open("s", O_DIRECTORY | O_NOFOLLOW), ENOTDIR);
}

TEST(o_path, fgetxattr, openat) {
  char c;
  put_file("f", "x");
  int fd = open("f", O_PATH);
  CHECK(fd >= 0);
  CHECK_ERRNO(read(fd, &c, 1), EBADF);
  CHECK_ERRNO(write(fd, "x", 1), EBADF);
  CHECK_ERRNO(fchmod(fd, 0600), EBADF);
  CHECK_ERRNO(ioctl(fd, 0x5401, NULL), EBADF);
  CHECK_ERRNO(fgetxattr(fd, "user.x", &c, 1), EBADF);
  CHECK_ERRNO(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0), EBADF);
  CHECK_ERRNO(lseek(fd, 0, SEEK_SET), EBADF);
  struct stat st;
  CHECK_OK(fstat(fd, &st));
  CHECK_EQ(st.st_size, 1);
  CHECK_EQ(fcntl(fd, F_GETFL), O_PATH);
  int dir = open(".", O_PATH);
  CHECK_OK(openat(dir, "f", O_RDONLY));
  CHECK_OK(fchdir(dir));
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  int again = open(path, O_RDONLY);
  CHECK_EQ(read(again, &c, 1), 1);
}

TEST(o_cloexec_flag, openat) {
  int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
  fd = open("/dev/null", O_RDONLY);
  CHECK_EQ(fcntl(fd, F_GETFD), 0);
}

TEST(tmpfile_and_linkat, linkat, openat) {
  int fd = open(".", O_TMPFILE | O_RDWR, 0600);
  CHECK(fd >= 0);
  struct stat st;
  CHECK_OK(fstat(fd, &st));
  CHECK_EQ(st.st_nlink, 0);
  CHECK_EQ(write(fd, "hi", 2), 2);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  CHECK_OK(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
  CHECK_STR(get_file("named"), "hi");
  CHECK_OK(fstat(fd, &st));
  CHECK_EQ(st.st_nlink, 1);
  fd = open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600);
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  CHECK_ERRNO(linkat(AT_FDCWD, path, AT_FDCWD, "other", AT_SYMLINK_FOLLOW), ENOENT);
  CHECK_ERRNO(open(".", O_TMPFILE | O_RDONLY, 0600), EINVAL);
}

TEST(open_directory, openat, pread64) {
  int fd = open(".", O_RDONLY);
  char c;
  CHECK_ERRNO(read(fd, &c, 1), EISDIR);
  CHECK_ERRNO(pread(fd, &c, 1, 0), EISDIR);
  CHECK_ERRNO(write(fd, "x", 1), EBADF);
  CHECK_ERRNO(open(".", O_RDONLY | O_CREAT, 0600), EISDIR);
}

TEST(openat_relative, openat, rename) {
  CHECK_OK(mkdir("d", 0755));
  put_file("d/f", "inner");
  int d = open("d", O_RDONLY | O_DIRECTORY);
  char text[8] = "";
  int fd = openat(d, "f", O_RDONLY);
  CHECK_EQ(read(fd, text, 8), 5);
  CHECK_OK(rename("d", "e"));
  CHECK_OK(openat(d, "f", O_RDONLY));
  CHECK_OK(openat(d, "../e/f", O_RDONLY));
  CHECK_OK(openat(-100, "e/f", O_RDONLY));
  CHECK_OK(openat(12345, "/dev/null", O_RDONLY));
}

TEST(openat2_basic, openat2) {
  long fd = sys_openat2(AT_FDCWD, "f", O_CREAT | O_RDWR, 0600, 0);
  CHECK(fd >= 0);
  CHECK_ERRNO(sys_openat2(AT_FDCWD, "f", O_RDONLY, 0600, 0), EINVAL); // a mode without O_CREAT
  CHECK_ERRNO(sys_openat2(AT_FDCWD, "f", 1ull << 40, 0, 0), EINVAL);
  CHECK_ERRNO(sys_openat2(AT_FDCWD, "f", O_RDONLY, 0, 1ull << 20), EINVAL);
  CHECK_ERRNO(sys_openat2(AT_FDCWD, "f", O_CREAT, 010000, 0), EINVAL);
  struct open_how how = {O_RDONLY, 0, 0};
  CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "f", &how, 8), EINVAL);
  char big[64] = {0};
  CHECK_OK(syscall(SYS_openat2, AT_FDCWD, "f", big, sizeof big));
  big[60] = 1;
  CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "f", big, sizeof big), E2BIG);
}

TEST(openat2_resolve, openat, openat2) {
  CHECK_OK(mkdir("d", 0755));
  put_file("d/f", "x");
  put_file("out", "x");
  CHECK_OK(symlink("../out", "d/up"));
  CHECK_OK(symlink("f", "d/in"));
  CHECK_OK(symlink("/f", "d/abs"));
  int d = open("d", O_RDONLY | O_DIRECTORY);
  CHECK_OK(sys_openat2(d, "f", O_RDONLY, 0, RESOLVE_BENEATH));
  CHECK_OK(sys_openat2(d, "in", O_RDONLY, 0, RESOLVE_BENEATH));
  CHECK_ERRNO(sys_openat2(d, "up", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
  CHECK_ERRNO(sys_openat2(d, "../out", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
  CHECK_ERRNO(sys_openat2(d, "/dev/null", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
  CHECK_ERRNO(sys_openat2(d, "abs", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
  CHECK_OK(sys_openat2(d, "abs", O_RDONLY, 0, RESOLVE_IN_ROOT));
  CHECK_OK(sys_openat2(d, "../../f", O_RDONLY, 0, RESOLVE_IN_ROOT));
  CHECK_ERRNO(sys_openat2(d, "in", O_RDONLY, 0, RESOLVE_NO_SYMLINKS), ELOOP);
  CHECK_OK(sys_openat2(d, "f", O_RDONLY, 0, RESOLVE_NO_SYMLINKS));
  CHECK_ERRNO(sys_openat2(AT_FDCWD, "/proc/self/fd/0", O_RDONLY, 0, RESOLVE_NO_MAGICLINKS), ELOOP);
  CHECK_ERRNO(sys_openat2(AT_FDCWD, "/proc/self/stat", O_RDONLY, 0, RESOLVE_NO_XDEV), EXDEV);
  CHECK_ERRNO(sys_openat2(d, "f", O_RDONLY, 0, RESOLVE_BENEATH | RESOLVE_IN_ROOT), EINVAL);
}

TEST(offset_is_per_description, openat) {
  put_file("f", "abcdef");
  char c[2];
  int a = open("f", O_RDONLY), b = open("f", O_RDONLY), d = dup(a);
  CHECK_EQ(read(a, c, 2), 2);
  CHECK_EQ(lseek(b, 0, SEEK_CUR), 0);
  CHECK_EQ(lseek(d, 0, SEEK_CUR), 2);
  pid_t pid = fork();
  if (!pid) {
    CHECK_EQ(read(a, c, 2), 2);
    _exit(0);
  }
  WAIT_OK(pid);
  CHECK_EQ(lseek(a, 0, SEEK_CUR), 4);
}

TEST(getfl_flags, openat) {
  int fd = open("f", O_CREAT | O_RDWR | O_APPEND | O_NONBLOCK | O_TRUNC, 0600);
  CHECK_EQ(fcntl(fd, F_GETFL), O_RDWR | O_APPEND | O_NONBLOCK | 0100000);
  CHECK_OK(fcntl(fd, F_SETFL, 0));
  CHECK_EQ(fcntl(fd, F_GETFL), O_RDWR | 0100000);
  CHECK_OK(fcntl(fd, F_SETFL, O_WRONLY | O_CREAT | O_APPEND));
  CHECK_EQ(fcntl(fd, F_GETFL), O_RDWR | O_APPEND | 0100000);
}
