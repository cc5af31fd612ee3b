// read, write, pread, readv, preadv2, lseek.
#include "test.h"
#include <sys/socket.h>
#include <sys/uio.h>

static int fresh(const char *text) {
  put_file("f", text);
  return open("f", O_RDWR);
}

TEST(read_write_offsets, read, write) {
  char b[16] = "";
  int fd = fresh("0123456789");
  CHECK_EQ(read(fd, b, 4), 4);
  CHECK_EQ(write(fd, "XY", 2), 2);
  CHECK_EQ(read(fd, b, 16), 4);
  CHECK_EQ(read(fd, b, 16), 0);
  CHECK_STR(get_file("f"), "0123XY6789");
}

TEST(zero_length, read, write) {
  int fd = fresh("abc");
  CHECK_EQ(read(fd, NULL, 0), 0);
  CHECK_EQ(write(fd, NULL, 0), 0);
  CHECK_EQ(read(fd, (char *)8, 0), 0);
}

TEST(bad_buffers, lseek, pread64, read, write) {
  int fd = fresh("abc");
  CHECK_ERRNO(read(fd, (char *)8, 3), EFAULT);
  CHECK_ERRNO(write(fd, (char *)8, 3), EFAULT);
  CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
  char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK_OK(mprotect(p + 4096, 4096, PROT_NONE));
  CHECK_EQ(pread(fd, p + 4096 - 3, 3, 0), 3);
  memset(p, 'z', 4096);
  int pipefd[2];
  CHECK_OK(pipe(pipefd));
  CHECK_ERRNO(write(pipefd[1], p + 4096, 4), EFAULT);
  CHECK_ERRNO(read(fd, p + 4096, 2), EFAULT);
}

TEST(pread_pwrite, lseek, pread64, pwrite64, write) {
  char b[8] = "";
  int fd = fresh("0123456789");
  CHECK_EQ(pread(fd, b, 3, 7), 3);
  CHECK_STR(b, "789");
  CHECK_EQ(pread(fd, b, 3, 10), 0);
  CHECK_EQ(pread(fd, b, 3, 9), 1);
  CHECK_EQ(pwrite(fd, "AB", 2, 12), 2);
  CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
  CHECK_EQ(lseek(fd, 0, SEEK_END), 14);
  CHECK_EQ(pread(fd, b, 2, 10), 2);
  CHECK(b[0] == 0 && b[1] == 0);
  CHECK_ERRNO(pread(fd, b, 1, -1), EINVAL);
  CHECK_ERRNO(pwrite(fd, b, 1, -1), EINVAL);
}

TEST(readv_writev, lseek, readv, write, writev) {
  char a[4] = "", b[4] = "", c[8] = "";
  int fd = fresh("");
  struct iovec w[3] = {{"abc", 3}, {"", 0}, {"defg", 4}};
  CHECK_EQ(writev(fd, w, 3), 7);
  CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
  struct iovec r[3] = {{a, 2}, {b, 3}, {c, 8}};
  CHECK_EQ(readv(fd, r, 3), 7);
  CHECK_STR(a, "ab");
  CHECK_STR(b, "cde");
  CHECK_STR(c, "fg");
  CHECK_EQ(writev(fd, w, 0), 0);
  CHECK_ERRNO(writev(fd, w, -1), EINVAL);
  CHECK_ERRNO(writev(fd, w, 1025), EINVAL);
  CHECK_ERRNO(readv(fd, (struct iovec *)8, 1), EFAULT);
  struct iovec huge = {a, (size_t)-1};
  CHECK_ERRNO(readv(fd, &huge, 1), EINVAL);
}

TEST(preadv_pwritev, lseek, preadv, pwritev, read, write) {
  char a[3] = "", b[4] = "";
  int fd = fresh("0123456789");
  struct iovec r[2] = {{a, 2}, {b, 3}};
  CHECK_EQ(preadv(fd, r, 2, 4), 5);
  CHECK_STR(a, "45");
  CHECK_STR(b, "678");
  struct iovec w[2] = {{"xx", 2}, {"yy", 2}};
  CHECK_EQ(pwritev(fd, w, 2, 1), 4);
  CHECK_STR(get_file("f"), "0xxyy56789");
  CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
}

TEST(preadv2_flags, lseek, preadv2, pwritev2, read, write) {
  char a[4] = "";
  int fd = fresh("0123456789");
  struct iovec v = {a, 3};
  CHECK_EQ(preadv2(fd, &v, 1, -1, 0), 3);
  CHECK_EQ(lseek(fd, 0, SEEK_CUR), 3);
  CHECK_EQ(preadv2(fd, &v, 1, 5, RWF_HIPRI), 3);
  CHECK_STR(a, "567");
  CHECK_ERRNO(preadv2(fd, &v, 1, 0, 0x40000000), EOPNOTSUPP);
  CHECK_EQ(pwritev2(fd, &(struct iovec){"Z", 1}, 1, 0, RWF_APPEND), 1);
  CHECK_STR(get_file("f"), "0123456789Z");
  CHECK_EQ(pwritev2(fd, &(struct iovec){"Y", 1}, 1, 0, RWF_DSYNC), 1);
  CHECK_EQ(pwritev2(fd, &(struct iovec){"X", 1}, 1, 1, RWF_SYNC | RWF_HIPRI), 1);
  CHECK_STR(get_file("f"), "YX23456789Z");
  CHECK_ERRNO(pwritev2(fd, &(struct iovec){"Y", 1}, 1, 0, 0x40000000), EOPNOTSUPP);
  CHECK_ERRNO(preadv2(fd, &v, 1, -2, 0), EINVAL);
  CHECK_ERRNO(pwritev2(fd, &v, 1, -2, 0), EINVAL);
  CHECK_ERRNO(preadv2(-1, &v, 1, 0, 0), EBADF);
  CHECK_ERRNO(pwritev2(fd, &v, 1025, 0, 0), EINVAL);
}

TEST(synchronous_writes, openat, write, pwrite64, writev) {
  const int kinds[] = {O_SYNC, O_DSYNC};
  for (int i = 0; i < 2; i++) {
    int fd = open("s", O_RDWR | O_CREAT | O_TRUNC | kinds[i], 0600), fds[2];
    CHECK_OK(fd);
    CHECK_EQ(fcntl(fd, F_GETFL) & O_SYNC, kinds[i]);
    CHECK_EQ(write(fd, "abc", 3), 3);
    CHECK_EQ(pwrite(fd, "B", 1, 1), 1);
    CHECK_EQ(writev(fd, &(struct iovec){"d", 1}, 1), 1);
    CHECK_STR(get_file("s"), "aBcd");
    CHECK_OK(pipe(fds));
    CHECK_EQ(write(fds[1], "x", 1), 1);
    close(fd);
  }
}

TEST(lseek_whence, lseek, pread64, write) {
  int fd = fresh("0123456789");
  CHECK_EQ(lseek(fd, 4, SEEK_SET), 4);
  CHECK_EQ(lseek(fd, 3, SEEK_CUR), 7);
  CHECK_EQ(lseek(fd, -7, SEEK_CUR), 0);
  CHECK_EQ(lseek(fd, -1, SEEK_END), 9);
  CHECK_EQ(lseek(fd, 100, SEEK_END), 110);
  CHECK_ERRNO(lseek(fd, -1, SEEK_SET), EINVAL);
  CHECK_ERRNO(lseek(fd, -200, SEEK_CUR), EINVAL);
  CHECK_ERRNO(lseek(fd, 0, 99), EINVAL);
  CHECK_EQ(lseek(fd, 0, SEEK_CUR), 110);
  int p[2];
  CHECK_OK(pipe(p));
  CHECK_ERRNO(lseek(p[0], 0, SEEK_CUR), ESPIPE);
  CHECK_ERRNO(pread(p[0], NULL, 0, 0), ESPIPE);
  CHECK_ERRNO(lseek(-1, 0, SEEK_CUR), EBADF);
}

TEST(write_behind_end_leaves_a_hole, lseek, pread64, write) {
  int fd = fresh("");
  CHECK_EQ(lseek(fd, 1 << 20, SEEK_SET), 1 << 20);
  CHECK_EQ(write(fd, "x", 1), 1);
  struct stat st;
  CHECK_OK(fstat(fd, &st));
  CHECK_EQ(st.st_size, (1 << 20) + 1);
  CHECK(st.st_blocks < 2048);
  char b[4096];
  CHECK_EQ(pread(fd, b, 4096, 4096), 4096);
  for (int i = 0; i < 4096; i++) CHECK(b[i] == 0);
}

TEST(seek_data_and_hole, lseek, pwrite64, write) {
  int fd = fresh("");
  CHECK_OK(ftruncate(fd, 1 << 20));
  CHECK_EQ(pwrite(fd, "data", 4, 512 << 10), 4);
  off_t data = lseek(fd, 0, SEEK_DATA), hole = lseek(fd, 0, SEEK_HOLE);
  // A file system may call all of it data; one that knows holes is exact to a block.
  CHECK((data == 0 && hole == 1 << 20) || (data > 0 && data <= 512 << 10 && hole == 0));
  CHECK_EQ(lseek(fd, 512 << 10, SEEK_DATA), 512 << 10);
  CHECK_ERRNO(lseek(fd, 1 << 20, SEEK_DATA), ENXIO);
  CHECK_ERRNO(lseek(fd, 1 << 20, SEEK_HOLE), ENXIO);
  CHECK_ERRNO(lseek(fd, 2 << 20, SEEK_DATA), ENXIO);
  CHECK(lseek(fd, 600 << 10, SEEK_HOLE) <= 1 << 20);
}

TEST(big_transfer, pread64, write) {
  size_t n = 3 << 20;
  char *w = malloc(n), *r = malloc(n);
  for (size_t i = 0; i < n; i++) w[i] = i * 7 + (i >> 12);
  int fd = fresh("");
  CHECK_EQ(write(fd, w, n), n);
  CHECK_EQ(pread(fd, r, n, 0), n);
  CHECK(!memcmp(r, w, n));
  CHECK_EQ(pread(fd, r, 100, n - 50), 50);
}

TEST(offset_beyond_4g, lseek, pread64, pwrite64, write) {
  int fd = fresh("");
  off_t at = (5ll << 30) + 3;
  CHECK_EQ(pwrite(fd, "far", 3, at), 3);
  CHECK_EQ(lseek(fd, 0, SEEK_END), at + 3);
  char b[4] = "";
  CHECK_EQ(pread(fd, b, 3, at), 3);
  CHECK_STR(b, "far");
}

TEST(count_is_capped, read, write) {
  int fd = open("/dev/null", O_WRONLY), z = open("/dev/zero", O_RDONLY);
  static char b[16]; // low in memory, so that the whole range is below the end of user space
  CHECK_EQ(write(fd, b, 16), 16);
  CHECK_EQ(read(z, b, 16), 16);
  CHECK_EQ(syscall(SYS_write, fd, b, 1ul << 40), 0x7ffff000);
}

TEST(fsync_family, fadvise64, fdatasync, fsync, readahead, sync_file_range, syncfs, write) {
  int fd = fresh("abc");
  CHECK_OK(fsync(fd));
  CHECK_OK(fdatasync(fd));
  CHECK_OK(syncfs(fd));
  CHECK_OK(sync_file_range(fd, 0, 3, SYNC_FILE_RANGE_WRITE));
  CHECK_ERRNO(fsync(-1), EBADF);
  int p[2];
  CHECK_OK(pipe(p));
  CHECK_ERRNO(fsync(p[0]), EINVAL);
  CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL), 0);
  CHECK_EQ(posix_fadvise(fd, 0, 0, 77), EINVAL);
  CHECK_EQ(posix_fadvise(p[0], 0, 0, POSIX_FADV_NORMAL), ESPIPE);
  CHECK_OK(readahead(fd, 0, 100));
}

// The same few bytes of memory, written, changed, and given to other calls: each sees what stands there when it is made.
TEST(short_buffer_used_again, getsockopt, read, sendto, write) {
  int p[2], s[2], value = 1, got = -1;
  socklen_t size = sizeof got;
  CHECK_OK(pipe(p));
  CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
  CHECK_EQ(write(p[1], &value, sizeof value), (ssize_t)sizeof value);
  value = 0;
  CHECK_OK(setsockopt(s[0], SOL_SOCKET, SO_KEEPALIVE, &value, sizeof value));
  CHECK_OK(getsockopt(s[0], SOL_SOCKET, SO_KEEPALIVE, &got, &size));
  CHECK_EQ(got, 0);
  CHECK_EQ(write(p[1], &value, sizeof value), (ssize_t)sizeof value);
  value = 7;
  CHECK_EQ(send(s[0], &value, sizeof value, 0), (ssize_t)sizeof value);
  CHECK_EQ(read(s[1], &got, sizeof got), (ssize_t)sizeof got);
  CHECK_EQ(got, 7);
}
