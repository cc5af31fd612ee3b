// truncate, ftruncate, fallocate and sparse files.
#include "test.h"
#include <linux/falloc.h>

static off_t size_of(int fd) {
  struct stat st;
  CHECK_OK(fstat(fd, &st));
  return st.st_size;
}

TEST(shrink_and_grow, ftruncate, pread64, truncate) {
  char b[8];
  put_file("f", "0123456789");
  CHECK_OK(truncate("f", 4));
  CHECK_STR(get_file("f"), "0123");
  int fd = open("f", O_RDWR);
  CHECK_OK(ftruncate(fd, 8));
  CHECK_EQ(pread(fd, b, 8, 0), 8);
  CHECK(!memcmp(b, "0123\0\0\0\0", 8));
  CHECK_OK(ftruncate(fd, 0));
  CHECK_EQ(read(fd, b, 8), 0);
}

TEST(truncate_errors, ftruncate, truncate) {
  put_file("f", "x");
  CHECK_OK(mkdir("d", 0755));
  CHECK_ERRNO(truncate("f", -1), EINVAL);
  CHECK_ERRNO(truncate("d", 0), EISDIR);
  CHECK_ERRNO(truncate("absent", 0), ENOENT);
  CHECK_ERRNO(truncate("f/x", 0), ENOTDIR);
  CHECK_ERRNO(ftruncate(-1, 0), EBADF);
  int p[2];
  CHECK_OK(pipe(p));
  CHECK_ERRNO(ftruncate(p[1], 0), EINVAL);
}

TEST(offset_stays, ftruncate) {
  put_file("f", "0123456789");
  int fd = open("f", O_RDWR);
  CHECK_EQ(lseek(fd, 8, SEEK_SET), 8);
  CHECK_OK(ftruncate(fd, 2));
  CHECK_EQ(lseek(fd, 0, SEEK_CUR), 8);
  CHECK_EQ(write(fd, "z", 1), 1);
  CHECK_EQ(size_of(fd), 9);
}

TEST(fallocate_grows, fallocate) {
  put_file("f", "x");
  int fd = open("f", O_RDWR);
  CHECK_OK(fallocate(fd, 0, 0, 10000));
  CHECK_EQ(size_of(fd), 10000);
  CHECK_OK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 50000));
  CHECK_EQ(size_of(fd), 10000);
  CHECK_OK(fallocate(fd, 0, 0, 10));
  CHECK_EQ(size_of(fd), 10000);
}

TEST(fallocate_errors, fallocate) {
  put_file("f", "x");
  int fd = open("f", O_RDWR), r = open("f", O_RDONLY), p[2];
  CHECK_ERRNO(fallocate(fd, 0, -1, 10), EINVAL);
  CHECK_ERRNO(fallocate(fd, 0, 0, 0), EINVAL);
  CHECK_ERRNO(fallocate(r, 0, 0, 10), EBADF);
  CHECK_ERRNO(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 10), EOPNOTSUPP);
  CHECK_ERRNO(fallocate(fd, 0x400, 0, 10), EOPNOTSUPP);
  CHECK_OK(pipe(p));
  CHECK_ERRNO(fallocate(p[1], 0, 0, 10), ESPIPE);
  int d = open(".", O_RDONLY);
  CHECK_ERRNO(fallocate(d, 0, 0, 10), EBADF);
}

TEST(punch_hole, fallocate, pread64) {
  char b[16384], z[4096] = {0};
  memset(b, 'x', sizeof b);
  int fd = open("f", O_RDWR | O_CREAT, 0600);
  CHECK_EQ(write(fd, b, sizeof b), sizeof b);
  CHECK_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 8192));
  CHECK_EQ(size_of(fd), 16384);
  CHECK_EQ(pread(fd, b, 4096, 8192), 4096);
  CHECK(!memcmp(b, z, 4096));
  CHECK_EQ(pread(fd, b, 1, 4095), 1);
  CHECK(b[0] == 'x');
}

TEST(truncate_clears_suid, truncate) {
  struct stat st;
  put_file("f", "x");
  CHECK_OK(chown("f", 1234, 1234));
  CHECK_OK(chmod("f", 06777));
  CHECK_OK(chmod(".", 0777));
  pid_t pid = fork();
  if (!pid) {
    become(1234, 1234);
    CHECK_OK(truncate("f", 0));
    CHECK_OK(stat("f", &st));
    CHECK_EQ(st.st_mode & 07777, 0777);
    _exit(0);
  }
  WAIT_OK(pid);
}

TEST(truncate_permission, truncate) {
  put_file("f", "x");
  pid_t pid = fork();
  if (!pid) {
    become(1234, 1234);
    CHECK_ERRNO(truncate("f", 0), EACCES);
    _exit(0);
  }
  WAIT_OK(pid);
}
