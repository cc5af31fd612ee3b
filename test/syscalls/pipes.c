// Pipes, FIFOs, splice, tee, vmsplice.
#include "test.h"
#include <sys/ioctl.h>
#include <sys/uio.h>

TEST(basic, pipe2) {
  int p[2];
  char b[8] = "";
  CHECK_OK(pipe(p));
  CHECK_EQ(write(p[1], "hello", 5), 5);
  CHECK_EQ(read(p[0], b, 2), 2);
  CHECK_EQ(read(p[0], b, 8), 3);
  CHECK(!memcmp(b, "llo", 3));
  CHECK_ERRNO(read(p[1], b, 1), EBADF);
  CHECK_ERRNO(write(p[0], b, 1), EBADF);
  CHECK_OK(close(p[1]));
  CHECK_EQ(read(p[0], b, 1), 0);
}

TEST(pipe2_flags, pipe2) {
  int p[2];
  CHECK_OK(pipe2(p, O_CLOEXEC | O_NONBLOCK));
  CHECK_EQ(fcntl(p[0], F_GETFD), FD_CLOEXEC);
  CHECK_EQ(fcntl(p[0], F_GETFL), O_NONBLOCK);
  CHECK_EQ(fcntl(p[1], F_GETFL), O_NONBLOCK | O_WRONLY);
  char c;
  CHECK_ERRNO(read(p[0], &c, 1), EAGAIN);
  CHECK_ERRNO(pipe2(p, O_APPEND), EINVAL);
  CHECK_ERRNO(pipe2((int *)8, 0), EFAULT);
}

TEST(epipe_and_sigpipe, pipe2) {
  int p[2];
  CHECK_OK(pipe(p));
  CHECK_OK(close(p[0]));
  pid_t pid = fork();
  if (!pid) {
    if (write(p[1], "x", 1)) _exit(1);
    _exit(2);
  }
  WAIT_STATUS(pid, SIGPIPE);
  signal(SIGPIPE, SIG_IGN);
  CHECK_ERRNO(write(p[1], "x", 1), EPIPE);
  CHECK_EQ(write(p[1], "x", 0), 0);
}

TEST(capacity, ioctl, pipe2) {
  int p[2];
  char page[4096] = {0};
  CHECK_OK(pipe2(p, O_NONBLOCK));
  CHECK_EQ(fcntl(p[0], F_GETPIPE_SZ), 65536);
  for (int i = 0; i < 16; i++) CHECK_EQ(write(p[1], page, 4096), 4096);
  CHECK_ERRNO(write(p[1], page, 1), EAGAIN);
  CHECK_EQ(read(p[0], page, 4095), 4095);
  CHECK_ERRNO(write(p[1], page, 4096), EAGAIN);
  CHECK_EQ(read(p[0], page, 1), 1);
  CHECK_EQ(write(p[1], page, 4096), 4096);
  int n;
  CHECK_OK(ioctl(p[0], FIONREAD, &n));
  CHECK_EQ(n, 65536);
}

TEST(set_pipe_size, pipe2) {
  int p[2];
  char b[8192] = {0};
  CHECK_OK(pipe2(p, O_NONBLOCK));
  CHECK_EQ(fcntl(p[0], F_SETPIPE_SZ, 5000), 8192);
  CHECK_EQ(fcntl(p[1], F_GETPIPE_SZ), 8192);
  CHECK_EQ(write(p[1], b, 8192), 8192);
  CHECK_ERRNO(write(p[1], b, 1), EAGAIN);
  CHECK_ERRNO(fcntl(p[0], F_SETPIPE_SZ, 4096), EBUSY);
  CHECK_EQ(fcntl(p[0], F_SETPIPE_SZ, 1 << 20), 1 << 20);
  CHECK_ERRNO(fcntl(p[0], F_SETPIPE_SZ, 1), EBUSY);
  CHECK_EQ(read(p[0], b, 8192), 8192);
  CHECK_EQ(fcntl(p[0], F_SETPIPE_SZ, 1), 4096);
  CHECK_ERRNO(fcntl(0x7000, F_GETPIPE_SZ), EBADF);
  drop_cap(24); // CAP_SYS_RESOURCE
  CHECK_ERRNO(fcntl(p[0], F_SETPIPE_SZ, 1 << 21), EPERM);
  int fd = open("/dev/null", O_RDONLY);
  CHECK_ERRNO(fcntl(fd, F_GETPIPE_SZ), EBADF);
}

TEST(partial_nonblocking_write, pipe2, write) {
  int p[2];
  static char big[100000];
  CHECK_OK(pipe2(p, O_NONBLOCK));
  CHECK_EQ(write(p[1], big, sizeof big), 65536);
  CHECK_ERRNO(write(p[1], big, sizeof big), EAGAIN);
  CHECK_EQ(read(p[0], big, 4096), 4096);
  CHECK_EQ(write(p[1], big, 10000), 4096); // more than PIPE_BUF may be split
}

TEST(pipe_buf_is_atomic, pipe2) {
  int p[2];
  CHECK_OK(pipe(p));
  for (int w = 0; w < 4; w++)
    if (!fork()) {
      char b[4096];
      memset(b, 'a' + w, sizeof b);
      close(p[0]);
      for (int i = 0; i < 40; i++)
        if (write(p[1], b, sizeof b) != sizeof b) _exit(1);
      _exit(0);
    }
  close(p[1]);
  char b[4096];
  int blocks = 0;
  for (;;) {
    size_t have = 0;
    ssize_t n = 1;
    while (have < sizeof b && (n = read(p[0], b + have, sizeof b - have)) > 0) have += n;
    if (!have) break;
    CHECK_EQ(have, 4096);
    for (int i = 1; i < 4096; i++) CHECK(b[i] == b[0]);
    blocks++;
  }
  CHECK_EQ(blocks, 160);
}

TEST(blocking_write_of_much, pipe2, write) {
  int p[2];
  size_t n = 1 << 20;
  CHECK_OK(pipe(p));
  pid_t pid = fork();
  if (!pid) {
    char *b = malloc(n);
    for (size_t i = 0; i < n; i++) b[i] = i % 251;
    CHECK_EQ(write(p[1], b, n), n);
    _exit(0);
  }
  close(p[1]);
  size_t at = 0;
  unsigned char b[5000];
  ssize_t r;
  while ((r = read(p[0], b, sizeof b)) > 0)
    for (ssize_t i = 0; i < r; i++, at++) CHECK_EQ(b[i], at % 251);
  CHECK_EQ(at, n);
  WAIT_OK(pid);
}

TEST(reader_wakes_on_close, close, pipe2) {
  int p[2];
  CHECK_OK(pipe(p));
  pid_t pid = fork();
  if (!pid) {
    close(p[1]);
    char c;
    CHECK_EQ(read(p[0], &c, 1), 0);
    _exit(0);
  }
  until_sleeps(pid);
  CHECK_OK(close(p[1]));
  WAIT_OK(pid);
}

TEST(writer_wakes_with_epipe, pipe2) {
  int p[2];
  static char big[70000];
  CHECK_OK(pipe(p));
  pid_t pid = fork();
  if (!pid) {
    signal(SIGPIPE, SIG_IGN);
    close(p[0]);
    ssize_t n = write(p[1], big, sizeof big); // part was taken: the count wins over EPIPE
    CHECK_EQ(n, 65536);
    CHECK_ERRNO(write(p[1], big, 1), EPIPE);
    _exit(0);
  }
  until_sleeps(pid);
  CHECK_OK(close(p[0]));
  WAIT_OK(pid);
}

TEST(packet_mode, pipe2) {
  int p[2];
  char b[16];
  CHECK_OK(pipe2(p, O_DIRECT));
  CHECK_EQ(write(p[1], "first", 5), 5);
  CHECK_EQ(write(p[1], "second", 6), 6);
  CHECK_EQ(read(p[0], b, 3), 3);
  CHECK_EQ(read(p[0], b, 16), 6);
  CHECK(!memcmp(b, "second", 6));
}

TEST(fifo_open_rules, mknodat) {
  CHECK_OK(mkfifo("p", 0600));
  CHECK_ERRNO(open("p", O_WRONLY | O_NONBLOCK), ENXIO);
  int r = open("p", O_RDONLY | O_NONBLOCK);
  CHECK(r >= 0);
  char b[8];
  CHECK_EQ(read(r, b, 8), 0);
  int w = open("p", O_WRONLY | O_NONBLOCK);
  CHECK(w >= 0);
  CHECK_ERRNO(read(r, b, 8), EAGAIN);
  CHECK_EQ(write(w, "abc", 3), 3);
  CHECK_EQ(read(r, b, 8), 3);
  CHECK_OK(close(w));
  CHECK_EQ(read(r, b, 8), 0);
  int rw = open("p", O_RDWR);
  CHECK(rw >= 0);
  CHECK_EQ(write(rw, "x", 1), 1);
  CHECK_EQ(read(rw, b, 1), 1);
}

TEST(fifo_blocking_open, mknodat) {
  CHECK_OK(mkfifo("p", 0600));
  pid_t pid = fork();
  if (!pid) {
    int w = open("p", O_WRONLY);
    CHECK_EQ(write(w, "through", 7), 7);
    _exit(0);
  }
  until_sleeps(pid);
  char b[8] = "";
  int r = open("p", O_RDONLY);
  CHECK_EQ(read(r, b, 8), 7);
  CHECK_STR(b, "through");
  CHECK_EQ(read(r, b, 8), 0);
  WAIT_OK(pid);
}

TEST(splice_file_to_pipe, pipe2, splice) {
  int p[2];
  char b[16] = "";
  put_file("f", "0123456789");
  int fd = open("f", O_RDONLY);
  CHECK_OK(pipe(p));
  off_t off = 3;
  CHECK_EQ(splice(fd, &off, p[1], NULL, 4, 0), 4);
  CHECK_EQ(off, 7);
  CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
  CHECK_EQ(splice(fd, NULL, p[1], NULL, 2, 0), 2);
  CHECK_EQ(lseek(fd, 0, SEEK_CUR), 2);
  CHECK_EQ(read(p[0], b, 16), 6);
  CHECK(!memcmp(b, "345601", 6));
  int out = open("g", O_RDWR | O_CREAT, 0600);
  CHECK_EQ(write(p[1], "copied", 6), 6);
  CHECK_EQ(splice(p[0], NULL, out, NULL, 100, 0), 6);
  CHECK_STR(get_file("g"), "copied");
}

TEST(splice_errors, pipe2, splice) {
  int p[2], q[2];
  put_file("f", "0123456789");
  int fd = open("f", O_RDWR);
  CHECK_OK(pipe2(p, O_NONBLOCK));
  CHECK_OK(pipe(q));
  off_t off = 0;
  CHECK_ERRNO(splice(fd, NULL, fd, NULL, 1, 0), EINVAL);
  CHECK_ERRNO(splice(p[0], &off, fd, NULL, 1, 0), ESPIPE);
  CHECK_ERRNO(splice(p[0], NULL, p[1], NULL, 1, 0), EINVAL);
  CHECK_ERRNO(splice(p[0], NULL, q[1], NULL, 1, SPLICE_F_NONBLOCK), EAGAIN);
  CHECK_ERRNO(splice(-1, NULL, p[1], NULL, 1, 0), EBADF);
  CHECK_EQ(splice(fd, NULL, p[1], NULL, 0, 0), 0);
  int app = open("f", O_WRONLY | O_APPEND);
  CHECK_EQ(write(p[1], "x", 1), 1);
  CHECK_ERRNO(splice(p[0], NULL, app, NULL, 1, 0), EINVAL);
}

TEST(splice_pipe_to_pipe, pipe2, splice) {
  int p[2], q[2];
  char b[16];
  CHECK_OK(pipe(p));
  CHECK_OK(pipe(q));
  CHECK_EQ(write(p[1], "abcdef", 6), 6);
  CHECK_EQ(splice(p[0], NULL, q[1], NULL, 4, 0), 4);
  CHECK_EQ(read(q[0], b, 16), 4);
  CHECK(!memcmp(b, "abcd", 4));
  CHECK_EQ(read(p[0], b, 16), 2);
}

TEST(tee_keeps_the_source, pipe2, tee) {
  int p[2], q[2];
  char b[16];
  CHECK_OK(pipe(p));
  CHECK_OK(pipe(q));
  CHECK_EQ(write(p[1], "abc", 3), 3);
  CHECK_EQ(tee(p[0], q[1], 100, 0), 3);
  CHECK_EQ(read(q[0], b, 16), 3);
  CHECK_EQ(read(p[0], b, 16), 3);
  CHECK(!memcmp(b, "abc", 3));
  put_file("f", "");
  CHECK_ERRNO(tee(open("f", O_RDONLY), q[1], 1, 0), EINVAL);
}

TEST(vmsplice_both_ways, pipe2, vmsplice) {
  int p[2];
  char b[8] = "";
  CHECK_OK(pipe(p));
  struct iovec v[2] = {{"abc", 3}, {"de", 2}};
  CHECK_EQ(vmsplice(p[1], v, 2, 0), 5);
  struct iovec r = {b, 8};
  CHECK_EQ(vmsplice(p[0], &r, 1, 0), 5);
  CHECK_STR(b, "abcde");
}
