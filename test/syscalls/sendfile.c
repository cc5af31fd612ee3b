// sendfile and copy_file_range.
#include "test.h"
#include <sys/sendfile.h>
#include <sys/socket.h>

TEST(file_to_file, sendfile) {
  put_file("a", "0123456789");
  int in = open("a", O_RDONLY), out = open("b", O_RDWR | O_CREAT, 0600);
  CHECK_EQ(sendfile(out, in, NULL, 4), 4);
  CHECK_EQ(lseek(in, 0, SEEK_CUR), 4);
  off_t off = 8;
  CHECK_EQ(sendfile(out, in, &off, 100), 2);
  CHECK_EQ(off, 10);
  CHECK_EQ(lseek(in, 0, SEEK_CUR), 4);
  CHECK_EQ(sendfile(out, in, &off, 100), 0);
  CHECK_STR(get_file("b"), "012389");
}

TEST(file_to_socket_and_pipe, sendfile) {
  char b[16] = "";
  int sv[2], p[2];
  put_file("a", "0123456789");
  int in = open("a", O_RDONLY);
  CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
  CHECK_EQ(sendfile(sv[0], in, NULL, 5), 5);
  CHECK_EQ(read(sv[1], b, 16), 5);
  CHECK_STR(b, "01234");
  CHECK_OK(pipe(p));
  CHECK_EQ(sendfile(p[1], in, NULL, 5), 5);
  CHECK_EQ(read(p[0], b, 16), 5);
  CHECK_STR(b, "56789");
}

TEST(sendfile_errors, sendfile) {
  put_file("a", "0123456789");
  int in = open("a", O_RDONLY), wo = open("a", O_WRONLY), p[2];
  CHECK_ERRNO(sendfile(in, in, NULL, 1), EBADF);
  CHECK_ERRNO(sendfile(1, wo, NULL, 1), EBADF);
  CHECK_ERRNO(sendfile(-1, in, NULL, 1), EBADF);
  CHECK_OK(pipe(p));
  CHECK_ERRNO(sendfile(wo, p[0], NULL, 1), EINVAL);
  off_t off = -1;
  CHECK_ERRNO(sendfile(p[1], in, &off, 1), EINVAL);
  int app = open("b", O_WRONLY | O_APPEND | O_CREAT, 0600);
  CHECK_ERRNO(sendfile(app, in, NULL, 1), EINVAL);
}

TEST(large, pread64, sendfile) {
  size_t n = 1 << 20;
  char *b = malloc(n), *c = malloc(n);
  for (size_t i = 0; i < n; i++) b[i] = i % 249;
  int in = open("a", O_RDWR | O_CREAT, 0600), out = open("b", O_RDWR | O_CREAT, 0600);
  CHECK_EQ(write(in, b, n), n);
  off_t off = 0;
  while (off < (off_t)n) CHECK(sendfile(out, in, &off, n) > 0);
  CHECK_EQ(pread(out, c, n, 0), n);
  CHECK(!memcmp(b, c, n));
}

TEST(copy_range, copy_file_range) {
  put_file("a", "0123456789");
  int in = open("a", O_RDONLY), out = open("b", O_RDWR | O_CREAT, 0600);
  off_t oi = 2, oo = 1;
  CHECK_EQ(copy_file_range(in, &oi, out, &oo, 4, 0), 4);
  CHECK(oi == 6 && oo == 5);
  CHECK_EQ(copy_file_range(in, NULL, out, NULL, 1, 0), 1);
  CHECK_EQ(lseek(in, 0, SEEK_CUR), 1);
  CHECK_STR(get_file("b"), "02345");
  oi = 50;
  CHECK_EQ(copy_file_range(in, &oi, out, NULL, 4, 0), 0);
}

TEST(copy_range_errors, copy_file_range) {
  put_file("a", "0123456789");
  int in = open("a", O_RDWR), ro = open("a", O_RDONLY), p[2];
  off_t oi = 0, oo = 2;
  CHECK_ERRNO(copy_file_range(in, &oi, in, &oo, 5, 0), EINVAL); // overlapping
  CHECK_ERRNO(copy_file_range(in, NULL, ro, NULL, 5, 0), EBADF);
  CHECK_ERRNO(copy_file_range(in, NULL, in, NULL, 5, 1), EINVAL);
  CHECK_OK(pipe(p));
  CHECK_ERRNO(copy_file_range(in, NULL, p[1], NULL, 5, 0), EINVAL);
  int d = open(".", O_RDONLY);
  CHECK_ERRNO(copy_file_range(d, NULL, in, NULL, 5, 0), EISDIR);
  int app = open("b", O_WRONLY | O_APPEND | O_CREAT, 0600);
  CHECK_ERRNO(copy_file_range(in, NULL, app, NULL, 5, 0), EBADF);
}
