// Calls that the C library makes no more: it has newer ones for the same functions. Programs linked otherwise still make them.
#include "test.h"
#include <dirent.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/sysmacros.h>
#include <utime.h>

// An address at which nothing is mapped, behind a page that is.
static char *page_end(void) {
  char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED || munmap(p + 4096, 4096)) FAIL("mmap: %s", strerrorname(errno));
  return p + 4096;
}

TEST(open_call, open) {
  struct stat st;
  char long_name[300];
  long fd = syscall(SYS_open, "f", O_RDWR | O_CREAT | O_EXCL, 0640);
  CHECK_OK(fd);
  CHECK_OK(fstat(fd, &st));
  CHECK_EQ(st.st_mode, S_IFREG | 0640);
  CHECK_EQ(fcntl(fd, F_GETFD), 0);
  CHECK_EQ(write(fd, "abc", 3), 3);
  CHECK_ERRNO(syscall(SYS_open, "f", O_RDWR | O_CREAT | O_EXCL, 0640), EEXIST);
  CHECK_ERRNO(syscall(SYS_open, "f", O_RDONLY | O_DIRECTORY), ENOTDIR);
  CHECK_ERRNO(syscall(SYS_open, "g", O_RDONLY), ENOENT);
  CHECK_ERRNO(syscall(SYS_open, "", O_RDONLY), ENOENT);
  CHECK_ERRNO(syscall(SYS_open, "f/x", O_RDONLY), ENOTDIR);
  CHECK_ERRNO(syscall(SYS_open, ".", O_WRONLY), EISDIR);
  CHECK_ERRNO(syscall(SYS_open, NULL, O_RDONLY), EFAULT);
  memset(long_name, 'n', sizeof long_name);
  long_name[256] = 0;
  CHECK_ERRNO(syscall(SYS_open, long_name, O_RDONLY), ENAMETOOLONG);
  CHECK_OK(symlink("loop", "loop"));
  CHECK_ERRNO(syscall(SYS_open, "loop", O_RDONLY), ELOOP);
  fd = syscall(SYS_open, "f", O_WRONLY | O_TRUNC | O_CLOEXEC);
  CHECK_OK(fd);
  CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
  CHECK_OK(fstat(fd, &st));
  CHECK_EQ(st.st_size, 0);
  // A name may end where the page does, and not behind it.
  char *end = page_end();
  memcpy(end - 2, "f", 2);
  CHECK_OK(syscall(SYS_open, end - 2, O_RDONLY));
  memcpy(end - 2, "ff", 2);
  CHECK_ERRNO(syscall(SYS_open, end - 2, O_RDONLY), EFAULT);
}

TEST(stat_calls, stat, lstat, fstat) {
  struct stat a, b;
  put_file("f", "12345");
  CHECK_OK(symlink("f", "l"));
  CHECK_OK(syscall(SYS_stat, "l", &a));
  CHECK_EQ(a.st_size, 5);
  CHECK_EQ(a.st_mode, S_IFREG | 0644);
  CHECK_OK(syscall(SYS_lstat, "l", &b));
  CHECK(S_ISLNK(b.st_mode));
  CHECK_EQ(b.st_size, 1);
  CHECK(a.st_ino != b.st_ino);
  int fd = open("f", O_RDONLY);
  CHECK_OK(syscall(SYS_fstat, fd, &b));
  CHECK(a.st_ino == b.st_ino && a.st_dev == b.st_dev && a.st_nlink == 1 && b.st_size == 5);
  CHECK_ERRNO(syscall(SYS_stat, "none", &a), ENOENT);
  CHECK_ERRNO(syscall(SYS_lstat, "f/x", &a), ENOTDIR);
  CHECK_ERRNO(syscall(SYS_stat, "", &a), ENOENT);
  CHECK_ERRNO(syscall(SYS_fstat, -1, &a), EBADF);
  CHECK_ERRNO(syscall(SYS_stat, "f", NULL), EFAULT);
  CHECK_ERRNO(syscall(SYS_lstat, "f", page_end() - 143), EFAULT);
  CHECK_ERRNO(syscall(SYS_fstat, fd, page_end() - 143), EFAULT);
  CHECK_OK(syscall(SYS_fstat, fd, page_end() - 144));
}

TEST(pipe_call, pipe) {
  int fd[2];
  char c;
  CHECK_OK(syscall(SYS_pipe, fd));
  CHECK_EQ(fcntl(fd[0], F_GETFD), 0);
  CHECK_EQ(fcntl(fd[1], F_GETFL), O_WRONLY);
  CHECK_EQ(write(fd[1], "p", 1), 1);
  CHECK_EQ(read(fd[0], &c, 1), 1);
  CHECK_EQ(c, 'p');
  int next = dup(0);
  close(next);
  CHECK_ERRNO(syscall(SYS_pipe, page_end() - 4), EFAULT);
  CHECK_EQ(dup(0), next); // no descriptor was left behind
}

TEST(fork_call, fork) {
  int x = 1;
  pid_t pid = syscall(SYS_fork);
  CHECK_OK(pid);
  if (pid == 0) {
    x = 2;
    _exit(getppid() > 0 && x == 2 ? 7 : 1);
  }
  WAIT_STATUS(pid, 7 << 8);
  CHECK_EQ(x, 1);
}

TEST(getdents_call, getdents) {
  struct old_dirent {
    unsigned long ino, off;
    unsigned short reclen;
    char name[];
  };
  char b[1024];
  int seen = 0;
  put_file("one", "");
  CHECK_OK(mkdir("two", 0755));
  int fd = open(".", O_RDONLY | O_DIRECTORY);
  long n = syscall(SYS_getdents, fd, b, sizeof b);
  CHECK_OK(n);
  for (long i = 0; i < n;) {
    struct old_dirent *d = (void *)(b + i);
    char type = b[i + d->reclen - 1]; // the type is the last byte of the record
    CHECK(d->reclen % 8 == 0 && d->ino != 0);
    if (!strcmp(d->name, "one")) seen |= type == DT_REG ? 1 : 8;
    if (!strcmp(d->name, "two")) seen |= type == DT_DIR ? 2 : 8;
    if (!strcmp(d->name, ".") || !strcmp(d->name, "..")) seen |= type == DT_DIR ? 4 : 8;
    i += d->reclen;
  }
  CHECK_EQ(seen, 7);
  CHECK_EQ(syscall(SYS_getdents, fd, b, sizeof b), 0);
  CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
  CHECK_ERRNO(syscall(SYS_getdents, fd, b, 8), EINVAL);
  CHECK_ERRNO(syscall(SYS_getdents, fd, NULL, sizeof b), EFAULT);
  CHECK_ERRNO(syscall(SYS_getdents, 0, b, sizeof b), ENOTDIR);
  CHECK_ERRNO(syscall(SYS_getdents, -1, b, sizeof b), EBADF);
}

TEST(times_of_files, utime, utimes, futimesat) {
  struct stat st;
  struct utimbuf u = {1000, 2000};
  struct timeval tv[2] = {{3000, 5}, {4000, 6}};
  put_file("f", "");
  int dir = open(".", O_RDONLY), fd = open("f", O_RDONLY);
  CHECK_OK(syscall(SYS_utime, "f", &u));
  CHECK_OK(stat("f", &st));
  CHECK(st.st_atim.tv_sec == 1000 && st.st_mtim.tv_sec == 2000 && st.st_mtim.tv_nsec == 0);
  CHECK_OK(syscall(SYS_utimes, "f", tv));
  CHECK_OK(stat("f", &st));
  CHECK(st.st_atim.tv_sec == 3000 && st.st_atim.tv_nsec == 5000 && st.st_mtim.tv_sec == 4000 && st.st_mtim.tv_nsec == 6000);
  tv[0].tv_sec = 7000;
  CHECK_OK(syscall(SYS_futimesat, dir, "f", tv));
  CHECK_OK(stat("f", &st));
  CHECK_EQ(st.st_atim.tv_sec, 7000);
  tv[1].tv_sec = 8000;
  CHECK_OK(syscall(SYS_futimesat, fd, NULL, tv)); // of the descriptor itself
  CHECK_OK(stat("f", &st));
  CHECK_EQ(st.st_mtim.tv_sec, 8000);
  time_t before = time(NULL) - 1;
  CHECK_OK(syscall(SYS_utime, "f", NULL));
  CHECK_OK(stat("f", &st));
  CHECK(st.st_mtim.tv_sec >= before);
  tv[0].tv_usec = 1000000;
  CHECK_ERRNO(syscall(SYS_utimes, "f", tv), EINVAL);
  CHECK_ERRNO(syscall(SYS_futimesat, dir, "f", tv), EINVAL);
  CHECK_ERRNO(syscall(SYS_utimes, "none", NULL), ENOENT);
  CHECK_ERRNO(syscall(SYS_utime, "none", &u), ENOENT);
  CHECK_ERRNO(syscall(SYS_utime, "f", page_end() - 8), EFAULT);
  CHECK_ERRNO(syscall(SYS_utimes, "f", page_end() - 24), EFAULT);
  CHECK_ERRNO(syscall(SYS_futimesat, -1, "f", NULL), EBADF);
  CHECK_ERRNO(syscall(SYS_futimesat, fd, "f", NULL), ENOTDIR);
  CHECK_OK(chmod("f", 0444));
  become(1000, 1000);
  CHECK_ERRNO(syscall(SYS_utime, "f", NULL), EACCES);
  CHECK_ERRNO(syscall(SYS_utime, "f", &u), EPERM);
}

TEST(time_calls, time, gettimeofday) {
  struct timeval tv = {0, -1};
  struct timezone tz = {9, 9};
  struct timespec ts;
  long stored = 0;
  CHECK_OK(clock_gettime(CLOCK_REALTIME, &ts));
  long t = syscall(SYS_time, &stored);
  CHECK_EQ(t, stored);
  CHECK(t >= ts.tv_sec - 1);
  CHECK_OK(syscall(SYS_gettimeofday, &tv, &tz));
  CHECK(tv.tv_sec >= ts.tv_sec && tv.tv_usec >= 0 && tv.tv_usec < 1000000);
  CHECK(tz.tz_minuteswest != 9 || tz.tz_dsttime != 9);
  CHECK(syscall(SYS_time, NULL) >= t);
  CHECK_OK(syscall(SYS_gettimeofday, NULL, NULL));
  CHECK_ERRNO(syscall(SYS_time, 8), EFAULT);
  CHECK_ERRNO(syscall(SYS_gettimeofday, 8, NULL), EFAULT);
  CHECK_ERRNO(syscall(SYS_gettimeofday, NULL, 8), EFAULT);
}

TEST(mknod_call, mknod) {
  struct stat st;
  CHECK_OK(syscall(SYS_mknod, "fifo", S_IFIFO | 0600, 0));
  CHECK_OK(stat("fifo", &st));
  CHECK_EQ(st.st_mode, S_IFIFO | 0600);
  CHECK_OK(syscall(SYS_mknod, "file", 0666, 0)); // no type: a regular file
  CHECK_OK(stat("file", &st));
  CHECK_EQ(st.st_mode, S_IFREG | 0644);
  CHECK_OK(syscall(SYS_mknod, "sock", S_IFSOCK | 0755, 0));
  CHECK_OK(stat("sock", &st));
  CHECK(S_ISSOCK(st.st_mode));
  CHECK_ERRNO(syscall(SYS_mknod, "file", S_IFREG | 0600, 0), EEXIST);
  CHECK_ERRNO(syscall(SYS_mknod, "dir", S_IFDIR | 0755, 0), EPERM);
  CHECK_ERRNO(syscall(SYS_mknod, "odd", S_IFLNK | 0755, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_mknod, "none/x", S_IFREG | 0755, 0), ENOENT);
  CHECK_ERRNO(syscall(SYS_mknod, NULL, S_IFREG | 0755, 0), EFAULT);
  become(1000, 1000);
  CHECK_ERRNO(syscall(SYS_mknod, "/tmp/device", S_IFCHR | 0600, makedev(1, 3)), EPERM);
}

TEST(descriptors_without_flags, eventfd, signalfd, inotify_init) {
  uint64_t value = 0;
  sigset_t set;
  struct signalfd_siginfo info;
  long fd = syscall(SYS_eventfd, 5);
  CHECK_OK(fd);
  CHECK_EQ(fcntl(fd, F_GETFD), 0);
  CHECK_EQ(fcntl(fd, F_GETFL), O_RDWR);
  CHECK_EQ(read(fd, &value, 8), 8);
  CHECK_EQ(value, 5);

  block_signal(SIGUSR1);
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  fd = syscall(SYS_signalfd, -1, &set, 8);
  CHECK_OK(fd);
  CHECK_EQ(fcntl(fd, F_GETFD), 0);
  CHECK_OK(kill(getpid(), SIGUSR1));
  CHECK_EQ(read(fd, &info, sizeof info), (ssize_t)sizeof info);
  CHECK_EQ(info.ssi_signo, SIGUSR1);
  CHECK_EQ(syscall(SYS_signalfd, fd, &set, 8), fd);
  CHECK_ERRNO(syscall(SYS_signalfd, -1, &set, 4), EINVAL);
  CHECK_ERRNO(syscall(SYS_signalfd, 0, &set, 8), EINVAL);
  CHECK_ERRNO(syscall(SYS_signalfd, 1000, &set, 8), EBADF);
  CHECK_ERRNO(syscall(SYS_signalfd, -1, NULL, 8), EFAULT);

  fd = syscall(SYS_inotify_init);
  CHECK_OK(fd);
  CHECK_EQ(fcntl(fd, F_GETFD), 0);
  CHECK_EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
  CHECK_EQ(inotify_add_watch(fd, ".", IN_CREATE), 1);
}

TEST(calls_at_a_directory, mkdirat, renameat, symlinkat, readlinkat, faccessat) {
  char b[64];
  struct stat st;
  CHECK_OK(mkdir("d", 0755));
  int d = open("d", O_RDONLY), file = (put_file("f", ""), open("f", O_RDONLY));
  CHECK_OK(syscall(SYS_mkdirat, d, "sub", 0700));
  CHECK_OK(stat("d/sub", &st));
  CHECK_EQ(st.st_mode, S_IFDIR | 0700);
  CHECK_ERRNO(syscall(SYS_mkdirat, d, "sub", 0700), EEXIST);
  CHECK_ERRNO(syscall(SYS_mkdirat, -1, "x", 0700), EBADF);
  CHECK_ERRNO(syscall(SYS_mkdirat, file, "x", 0700), ENOTDIR);
  CHECK_ERRNO(syscall(SYS_mkdirat, d, "", 0700), ENOENT);
  CHECK_ERRNO(syscall(SYS_mkdirat, d, NULL, 0700), EFAULT);

  CHECK_OK(syscall(SYS_renameat, AT_FDCWD, "f", d, "g"));
  CHECK_OK(stat("d/g", &st));
  CHECK_ERRNO(stat("f", &st), ENOENT);
  CHECK_ERRNO(syscall(SYS_renameat, d, "none", d, "g"), ENOENT);
  CHECK_ERRNO(syscall(SYS_renameat, d, "g", d, "sub"), EISDIR);
  CHECK_ERRNO(syscall(SYS_renameat, d, "sub", d, "g"), ENOTDIR);
  CHECK_ERRNO(syscall(SYS_renameat, d, "sub", d, "sub/below"), EINVAL);
  CHECK_ERRNO(syscall(SYS_renameat, -1, "g", d, "h"), EBADF);
  CHECK_ERRNO(syscall(SYS_renameat, d, "g", file, "h"), ENOTDIR);

  CHECK_OK(syscall(SYS_symlinkat, "target", d, "link"));
  memset(b, 'x', sizeof b);
  CHECK_EQ(syscall(SYS_readlinkat, d, "link", b, sizeof b), 6);
  CHECK(!memcmp(b, "targetx", 7)); // no zero at the end
  CHECK_EQ(syscall(SYS_readlinkat, d, "link", b, 3), 3);
  CHECK_ERRNO(syscall(SYS_symlinkat, "target", d, "link"), EEXIST);
  CHECK_ERRNO(syscall(SYS_symlinkat, "", d, "l2"), ENOENT);
  CHECK_ERRNO(syscall(SYS_symlinkat, "t", -1, "l2"), EBADF);
  CHECK_ERRNO(syscall(SYS_readlinkat, d, "g", b, sizeof b), EINVAL);
  CHECK_ERRNO(syscall(SYS_readlinkat, d, "link", b, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_readlinkat, d, "none", b, 8), ENOENT);
  CHECK_ERRNO(syscall(SYS_readlinkat, -1, "link", b, 8), EBADF);
  CHECK_ERRNO(syscall(SYS_readlinkat, d, "link", page_end() - 5, 8), EFAULT);
  int link = openat(d, "link", O_PATH | O_NOFOLLOW);
  CHECK_EQ(syscall(SYS_readlinkat, link, "", b, sizeof b), 6);

  CHECK_OK(syscall(SYS_faccessat, d, "g", R_OK | W_OK));
  CHECK_ERRNO(syscall(SYS_faccessat, d, "g", X_OK), EACCES);
  CHECK_ERRNO(syscall(SYS_faccessat, d, "none", F_OK), ENOENT);
  CHECK_ERRNO(syscall(SYS_faccessat, -1, "g", F_OK), EBADF);
  CHECK_ERRNO(syscall(SYS_faccessat, d, "g", 8), EINVAL);
}

TEST(fchmodat2_call, fchmodat2) {
  struct stat st;
  put_file("f", "");
  CHECK_OK(symlink("f", "l"));
  CHECK_OK(syscall(452, AT_FDCWD, "l", 0600, 0));
  CHECK_OK(stat("f", &st));
  CHECK_EQ(st.st_mode & 07777, 0600);
  int fd = open("f", O_PATH);
  CHECK_OK(syscall(452, fd, "", 04711, AT_EMPTY_PATH));
  CHECK_OK(stat("f", &st));
  CHECK_EQ(st.st_mode & 07777, 04711);
  CHECK_ERRNO(syscall(452, AT_FDCWD, "l", 0600, AT_SYMLINK_NOFOLLOW), EOPNOTSUPP);
  CHECK_OK(syscall(452, AT_FDCWD, "f", 0640, AT_SYMLINK_NOFOLLOW));
  CHECK_ERRNO(syscall(452, AT_FDCWD, "f", 0600, 1), EINVAL);
  CHECK_ERRNO(syscall(452, AT_FDCWD, "", 0600, 0), ENOENT);
  CHECK_ERRNO(syscall(452, -1, "f", 0600, 0), EBADF);
  become(1000, 1000);
  CHECK_ERRNO(syscall(452, AT_FDCWD, "f", 0600, 0), EPERM);
}

TEST(link_attributes, lsetxattr, lgetxattr, llistxattr, flistxattr, lremovexattr, fremovexattr) {
  char b[64];
  put_file("f", "");
  CHECK_OK(symlink("f", "l"));
  int fd = open("f", O_RDONLY);
  // Links carry no attributes of users.
  CHECK_ERRNO(syscall(SYS_lsetxattr, "l", "user.a", "1", 1, 0), EPERM);
  CHECK_OK(syscall(SYS_lsetxattr, "f", "user.a", "12", 2, 0));
  CHECK_EQ(syscall(SYS_lgetxattr, "f", "user.a", b, sizeof b), 2);
  CHECK_EQ(syscall(SYS_lgetxattr, "f", "user.a", NULL, 0), 2);
  CHECK_ERRNO(syscall(SYS_lgetxattr, "f", "user.a", b, 1), ERANGE);
  CHECK_ERRNO(syscall(SYS_lgetxattr, "f", "user.b", b, sizeof b), ENODATA);
  CHECK_ERRNO(syscall(SYS_lgetxattr, "none", "user.a", b, sizeof b), ENOENT);
  CHECK_EQ(syscall(SYS_llistxattr, "f", b, sizeof b), 7);
  CHECK(!memcmp(b, "user.a", 7));
  CHECK_EQ(syscall(SYS_llistxattr, "l", b, sizeof b), 0);
  CHECK_EQ(syscall(SYS_flistxattr, fd, NULL, 0), 7);
  CHECK_ERRNO(syscall(SYS_flistxattr, fd, b, 6), ERANGE);
  CHECK_ERRNO(syscall(SYS_flistxattr, -1, b, sizeof b), EBADF);
  CHECK_OK(syscall(SYS_lremovexattr, "f", "user.a"));
  CHECK_ERRNO(syscall(SYS_lremovexattr, "f", "user.a"), ENODATA);
  CHECK_ERRNO(syscall(SYS_fremovexattr, fd, "user.a"), ENODATA);
  CHECK_OK(syscall(SYS_lsetxattr, "f", "user.c", "", 0, 0));
  CHECK_OK(syscall(SYS_fremovexattr, fd, "user.c"));
  CHECK_ERRNO(syscall(SYS_fremovexattr, -1, "user.c"), EBADF);
  CHECK_EQ(syscall(SYS_flistxattr, fd, b, sizeof b), 0);
}

TEST(limits_by_old_calls, setrlimit, getrlimit) {
  struct rlimit r = {0, 0}, old;
  CHECK_OK(syscall(SYS_getrlimit, RLIMIT_NOFILE, &old));
  r.rlim_cur = 50, r.rlim_max = old.rlim_max;
  CHECK_OK(syscall(SYS_setrlimit, RLIMIT_NOFILE, &r));
  r.rlim_cur = 0;
  CHECK_OK(syscall(SYS_getrlimit, RLIMIT_NOFILE, &r));
  CHECK_EQ(r.rlim_cur, 50);
  CHECK_ERRNO(fcntl(0, F_DUPFD, 50), EINVAL);
  CHECK_ERRNO(syscall(SYS_setrlimit, 16, &r), EINVAL);
  CHECK_ERRNO(syscall(SYS_getrlimit, 16, &r), EINVAL);
  CHECK_ERRNO(syscall(SYS_setrlimit, RLIMIT_NOFILE, page_end() - 8), EFAULT);
  CHECK_ERRNO(syscall(SYS_getrlimit, RLIMIT_NOFILE, page_end() - 8), EFAULT);
  r.rlim_cur = 60, r.rlim_max = 50;
  CHECK_ERRNO(syscall(SYS_setrlimit, RLIMIT_NOFILE, &r), EINVAL);
}
