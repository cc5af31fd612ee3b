// flock, POSIX record locks, open file description locks.
#include "test.h"
#include <sys/file.h>

static int lock(int fd, int cmd, short type, off_t start, off_t len) {
  struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
  return fcntl(fd, cmd, &l);
}

// Runs an assertion in another process.
#define IN_CHILD(...)         \
  do {                        \
    pid_t in_child = fork();  \
    if (!in_child) {          \
      __VA_ARGS__;            \
      _exit(0);               \
    }                         \
    WAIT_OK(in_child);        \
  } while (0)

static int file(void) {
  put_file("f", "0123456789");
  int fd = open("f", O_RDWR);
  CHECK(fd >= 0);
  return fd;
}

TEST(flock_exclusive_and_shared, flock) {
  int a = file(), b = open("f", O_RDWR);
  CHECK_OK(flock(a, LOCK_EX));
  CHECK_ERRNO(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK);
  CHECK_ERRNO(flock(b, LOCK_SH | LOCK_NB), EWOULDBLOCK);
  CHECK_OK(flock(a, LOCK_SH));
  CHECK_OK(flock(b, LOCK_SH | LOCK_NB));
  CHECK_ERRNO(flock(a, LOCK_EX | LOCK_NB), EWOULDBLOCK);
  CHECK_OK(flock(b, LOCK_UN));
  CHECK_OK(flock(a, LOCK_EX | LOCK_NB));
  CHECK_OK(close(a));
  CHECK_OK(flock(b, LOCK_EX | LOCK_NB));
  CHECK_ERRNO(flock(b, 77), EINVAL);
  CHECK_ERRNO(flock(-1, LOCK_SH), EBADF);
}

TEST(flock_belongs_to_the_description, flock) {
  int a = file(), d = dup(a), b = open("f", O_RDONLY);
  CHECK_OK(flock(a, LOCK_EX));
  CHECK_OK(flock(d, LOCK_EX | LOCK_NB));
  CHECK_OK(close(a));
  CHECK_ERRNO(flock(b, LOCK_SH | LOCK_NB), EWOULDBLOCK);
  IN_CHILD(CHECK_OK(flock(d, LOCK_UN)));
  CHECK_OK(flock(b, LOCK_SH | LOCK_NB));
}

TEST(flock_waits, flock, pread64, pwrite64) {
  int a = file();
  CHECK_OK(flock(a, LOCK_EX));
  pid_t pid = fork();
  if (!pid) {
    int b = open("f", O_RDWR);
    CHECK_OK(flock(b, LOCK_EX));
    char c;
    CHECK_EQ(pread(b, &c, 1, 0), 1);
    CHECK_EQ(c, 'Z');
    _exit(0);
  }
  until_sleeps(pid);
  CHECK_EQ(pwrite(a, "Z", 1, 0), 1);
  CHECK_OK(flock(a, LOCK_UN));
  WAIT_OK(pid);
}

TEST(posix_conflicts, fcntl) {
  int fd = file();
  CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 2, 4));
  IN_CHILD({
    int b = open("f", O_RDWR);
    CHECK_ERRNO(lock(b, F_SETLK, F_RDLCK, 5, 1), EAGAIN);
    CHECK_OK(lock(b, F_SETLK, F_WRLCK, 0, 2));
    CHECK_OK(lock(b, F_SETLK, F_WRLCK, 6, 0));
    CHECK_ERRNO(lock(b, F_SETLK, F_WRLCK, 0, 0), EAGAIN);
  });
  CHECK_OK(lock(fd, F_SETLK, F_RDLCK, 2, 4));
  IN_CHILD({
    int b = open("f", O_RDWR);
    CHECK_OK(lock(b, F_SETLK, F_RDLCK, 0, 0));
    CHECK_ERRNO(lock(b, F_SETLK, F_WRLCK, 3, 1), EAGAIN);
  });
}

TEST(posix_getlk, fcntl) {
  int fd = file();
  CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 2, 4));
  pid_t me = getpid();
  IN_CHILD({
    struct flock l = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    CHECK_OK(fcntl(fd, F_GETLK, &l));
    CHECK_EQ(l.l_type, F_WRLCK);
    CHECK_EQ(l.l_start, 2);
    CHECK_EQ(l.l_len, 4);
    CHECK_EQ(l.l_pid, me);
  });
  struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  CHECK_OK(fcntl(fd, F_GETLK, &l));
  CHECK_EQ(l.l_type, F_UNLCK);
}

TEST(posix_split_and_merge, fcntl) {
  int fd = file();
  CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 0, 10));
  CHECK_OK(lock(fd, F_SETLK, F_UNLCK, 4, 2));
  IN_CHILD({
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 4, .l_len = 10};
    CHECK_OK(fcntl(fd, F_GETLK, &l));
    CHECK_EQ(l.l_start, 6);
    CHECK_EQ(l.l_len, 4);
    CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 4, 2));
    CHECK_ERRNO(lock(fd, F_SETLK, F_WRLCK, 3, 1), EAGAIN);
  });
  CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 4, 2));
  IN_CHILD({
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    CHECK_OK(fcntl(fd, F_GETLK, &l));
    CHECK_EQ(l.l_start, 0);
    CHECK_EQ(l.l_len, 10);
  });
}

TEST(posix_closing_any_descriptor_drops_them, fcntl) {
  int fd = file(), other = open("f", O_RDONLY);
  CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 0, 0));
  CHECK_OK(close(other));
  IN_CHILD(CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 0, 0)));
}

TEST(posix_not_inherited_by_fork, fcntl) {
  int fd = file();
  CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 0, 0));
  IN_CHILD(CHECK_ERRNO(lock(fd, F_SETLK, F_WRLCK, 0, 0), EAGAIN));
  IN_CHILD(CHECK_OK(close(fd)));
  IN_CHILD(CHECK_ERRNO(lock(fd, F_SETLK, F_WRLCK, 0, 0), EAGAIN));
}

TEST(posix_setlkw_waits, fcntl, pread64, pwrite64) {
  int fd = file();
  CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 0, 5));
  pid_t pid = fork();
  if (!pid) {
    CHECK_OK(lock(fd, F_SETLKW, F_WRLCK, 3, 1));
    char c;
    CHECK_EQ(pread(fd, &c, 1, 0), 1);
    CHECK_EQ(c, 'Z');
    _exit(0);
  }
  until_sleeps(pid);
  CHECK_EQ(pwrite(fd, "Z", 1, 0), 1);
  CHECK_OK(lock(fd, F_SETLK, F_UNLCK, 0, 0));
  WAIT_OK(pid);
}

TEST(posix_deadlock, fcntl) {
  int fd = file();
  struct gate ready = gate_new();
  CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 0, 1));
  pid_t pid = fork();
  if (!pid) {
    CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 1, 1));
    gate_open(&ready);
    CHECK_OK(lock(fd, F_SETLKW, F_WRLCK, 0, 1)); // gets it when the parent gives up
    _exit(0);
  }
  gate_wait(&ready);
  until_sleeps(pid);
  CHECK_ERRNO(lock(fd, F_SETLKW, F_WRLCK, 1, 1), EDEADLK);
  CHECK_OK(lock(fd, F_SETLK, F_UNLCK, 0, 0));
  WAIT_OK(pid);
}

TEST(posix_errors, fcntl) {
  int fd = file(), r = open("f", O_RDONLY), w = open("f", O_WRONLY);
  CHECK_ERRNO(lock(r, F_SETLK, F_WRLCK, 0, 0), EBADF);
  CHECK_ERRNO(lock(w, F_SETLK, F_RDLCK, 0, 0), EBADF);
  CHECK_ERRNO(lock(fd, F_SETLK, 77, 0, 0), EINVAL);
  CHECK_ERRNO(lock(fd, F_SETLK, F_RDLCK, -5, 1), EINVAL);
  CHECK_ERRNO(fcntl(fd, F_SETLK, (void *)8), EFAULT);
  CHECK_ERRNO(lock(-1, F_SETLK, F_RDLCK, 0, 0), EBADF);
  struct flock l = {.l_type = F_RDLCK, .l_whence = SEEK_END, .l_start = -2, .l_len = -3};
  CHECK_OK(fcntl(fd, F_SETLK, &l)); // bytes 5, 6, 7
  IN_CHILD({
    CHECK_ERRNO(lock(fd, F_SETLK, F_WRLCK, 5, 1), EAGAIN);
    CHECK_ERRNO(lock(fd, F_SETLK, F_WRLCK, 7, 1), EAGAIN);
    CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 4, 1));
    CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 8, 1));
  });
}

TEST(ofd_locks, fcntl) {
  int a = file(), b = open("f", O_RDWR), d = dup(a);
  CHECK_OK(lock(a, F_OFD_SETLK, F_WRLCK, 0, 5));
  CHECK_ERRNO(lock(b, F_OFD_SETLK, F_WRLCK, 4, 1), EAGAIN);
  CHECK_OK(lock(d, F_OFD_SETLK, F_WRLCK, 4, 1));
  struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  CHECK_OK(fcntl(b, F_OFD_GETLK, &l));
  CHECK_EQ(l.l_pid, -1);
  CHECK_EQ(l.l_type, F_WRLCK);
  CHECK_ERRNO(lock(b, F_SETLK, F_WRLCK, 0, 1), EAGAIN); // they conflict with POSIX locks too
  CHECK_OK(close(a));
  CHECK_ERRNO(lock(b, F_OFD_SETLK, F_WRLCK, 0, 1), EAGAIN);
  CHECK_OK(close(d));
  CHECK_OK(lock(b, F_OFD_SETLK, F_WRLCK, 0, 1));
  struct flock with_pid = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_pid = 1};
  CHECK_ERRNO(fcntl(b, F_OFD_SETLK, &with_pid), EINVAL);
}

TEST(exit_releases, fcntl) {
  int fd = file();
  IN_CHILD(CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 0, 0)));
  CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 0, 0));
}
