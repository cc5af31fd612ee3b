// Structures at the end of a page: one that just fits is read and written, one that reaches a byte further is a bad address, whatever a
// call does with it otherwise. Each structure has the size that the kernel knows, not the C library.
#include "test.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>

static char *end; // where mapped memory ends

static void edge_at(int line, const char *what, int at, size_t size, const void *init, long nr, const long *args) {
  long a[6];
  memcpy(a, args, sizeof a);
  if (!end) {
    end = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (end == MAP_FAILED || munmap(end + 4096, 4096)) test_fail(__FILE__, line, "mmap");
    end += 4096;
  }
  const long bad[] = {(long)end - (long)size + 1, 1, -4096, (long)1 << 62};
  for (int i = 0; i < 4; i++) {
    // What can be read of it is the same.
    if (i == 0 && init) memcpy(end - size + 1, init, size - 1);
    a[at] = bad[i];
    errno = 0;
    long r = syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (r != -1 || errno != EFAULT) test_fail(__FILE__, line, "%s: bad address %d: got %ld %s", what, i, r, strerrorname(errno));
  }
  memset(end - size, 0, size);
  if (init) memcpy(end - size, init, size);
  a[at] = (long)(end - size);
  errno = 0;
  long r = syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
  if (r == -1) test_fail(__FILE__, line, "%s: at the end of a page: %s", what, strerrorname(errno));
}

// Argument `at` (from 0) of the call points at `size` bytes, which are those at `init`, or zero.
#define ARGUMENTS(a, b, c, d, e, f, ...) (const long[]){(long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f)}
#define EDGE(at, size, init, call, ...) edge_at(__LINE__, #call, at, size, init, SYS_##call, ARGUMENTS(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0))
#define HOLE 0

TEST(attributes, fstat, stat, lstat, newfstatat, statx, statfs, fstatfs) {
  put_file("f", "x");
  int fd = open("f", O_RDONLY);
  EDGE(1, 144, NULL, fstat, fd, HOLE);
  EDGE(1, 144, NULL, stat, "f", HOLE);
  EDGE(1, 144, NULL, lstat, "f", HOLE);
  EDGE(2, 144, NULL, newfstatat, AT_FDCWD, "f", HOLE, 0);
  EDGE(2, 144, NULL, newfstatat, fd, "", HOLE, AT_EMPTY_PATH);
  EDGE(4, 256, NULL, statx, AT_FDCWD, "f", 0, 0x7ff, HOLE);
  EDGE(1, 120, NULL, statfs, "f", HOLE);
  EDGE(1, 120, NULL, fstatfs, fd, HOLE);
}

TEST(names_of_files, access, chmod, chdir, readlink, unlink, mkdir, rmdir, truncate, symlink, link, rename, chown, getcwd, mknod) {
  char b[PATH_MAX];
  put_file("f", "x");
  CHECK_OK(symlink("f", "l"));
  EDGE(0, 2, "f", access, HOLE, R_OK);
  EDGE(0, 2, "f", chmod, HOLE, 0600);
  EDGE(0, 2, "f", truncate, HOLE, 3);
  EDGE(0, 2, "f", chown, HOLE, -1, -1);
  EDGE(0, 2, "l", readlink, HOLE, b, sizeof b);
  EDGE(1, 1, NULL, readlink, "l", HOLE, 1);
  EDGE(0, 2, "d", mkdir, HOLE, 0700);
  EDGE(0, 2, "d", rmdir, HOLE);
  EDGE(0, 2, "t", symlink, HOLE, "s1");
  EDGE(1, 3, "s2", symlink, "t", HOLE);
  EDGE(0, 2, "f", link, HOLE, "g");
  EDGE(1, 2, "h", link, "f", HOLE);
  EDGE(0, 2, "h", rename, HOLE, "i");
  EDGE(1, 2, "h", rename, "i", HOLE);
  EDGE(0, 2, "h", unlink, HOLE);
  EDGE(0, 2, "n", mknod, HOLE, S_IFIFO | 0600, 0);
  EDGE(0, 2, ".", chdir, HOLE);
  long n = syscall(SYS_getcwd, b, sizeof b);
  EDGE(0, n, NULL, getcwd, HOLE, n);
}

TEST(names_at_directories, openat, openat2, unlinkat, faccessat2, fchmodat, fchownat, mkdirat, linkat, symlinkat, renameat, renameat2, readlinkat) {
  char b[64];
  uint64_t how[3] = {O_RDONLY, 0, 0};
  put_file("f", "x");
  CHECK_OK(symlink("f", "l"));
  EDGE(1, 2, "f", openat, AT_FDCWD, HOLE, O_RDONLY);
  EDGE(1, 2, "f", openat2, AT_FDCWD, HOLE, how, sizeof how);
  EDGE(2, 24, how, openat2, AT_FDCWD, "f", HOLE, 24);
  EDGE(1, 2, "f", faccessat2, AT_FDCWD, HOLE, R_OK, 0);
  EDGE(1, 2, "f", fchmodat, AT_FDCWD, HOLE, 0600);
  EDGE(1, 2, "f", fchownat, AT_FDCWD, HOLE, -1, -1, 0);
  EDGE(1, 2, "d", mkdirat, AT_FDCWD, HOLE, 0700);
  EDGE(1, 2, "d", unlinkat, AT_FDCWD, HOLE, AT_REMOVEDIR);
  EDGE(1, 2, "f", linkat, AT_FDCWD, HOLE, AT_FDCWD, "g", 0);
  EDGE(3, 2, "h", linkat, AT_FDCWD, "f", AT_FDCWD, HOLE, 0);
  EDGE(0, 2, "t", symlinkat, HOLE, AT_FDCWD, "s1");
  EDGE(2, 3, "s2", symlinkat, "t", AT_FDCWD, HOLE);
  EDGE(1, 2, "h", renameat, AT_FDCWD, HOLE, AT_FDCWD, "i");
  EDGE(3, 2, "h", renameat2, AT_FDCWD, "i", AT_FDCWD, HOLE, 0);
  EDGE(1, 2, "l", readlinkat, AT_FDCWD, HOLE, b, sizeof b);
}

TEST(attributes_by_name, setxattr, getxattr, listxattr, removexattr, fsetxattr, fgetxattr) {
  char b[8];
  put_file("f", "x");
  int fd = open("f", O_RDWR);
  EDGE(0, 2, "f", setxattr, HOLE, "user.a", "v", 1, 0);
  EDGE(1, 7, "user.b", setxattr, "f", HOLE, "v", 1, 0);
  EDGE(2, 2, "vw", setxattr, "f", "user.c", HOLE, 2, 0);
  EDGE(2, 2, "vw", fsetxattr, fd, "user.c", HOLE, 2, 0);
  EDGE(1, 7, "user.c", getxattr, "f", HOLE, b, sizeof b);
  EDGE(2, 2, NULL, getxattr, "f", "user.c", HOLE, 2);
  EDGE(2, 2, NULL, fgetxattr, fd, "user.c", HOLE, 2);
  EDGE(1, 21, NULL, listxattr, "f", HOLE, 21);
  EDGE(1, 7, "user.a", removexattr, "f", HOLE);
}

TEST(clocks, clock_gettime, clock_getres, gettimeofday, time, times, getrusage, sysinfo, uname, nanosleep, clock_nanosleep) {
  EDGE(1, 16, NULL, clock_gettime, CLOCK_MONOTONIC, HOLE);
  EDGE(1, 16, NULL, clock_gettime, CLOCK_PROCESS_CPUTIME_ID, HOLE);
  EDGE(1, 16, NULL, clock_getres, CLOCK_MONOTONIC, HOLE);
  EDGE(0, 16, NULL, gettimeofday, HOLE, 0);
  EDGE(1, 8, NULL, gettimeofday, 0, HOLE);
  EDGE(0, 8, NULL, time, HOLE);
  EDGE(0, 32, NULL, times, HOLE);
  EDGE(1, 144, NULL, getrusage, RUSAGE_SELF, HOLE);
  EDGE(0, 112, NULL, sysinfo, HOLE);
  EDGE(0, 390, NULL, uname, HOLE);
  EDGE(0, 16, NULL, nanosleep, HOLE, 0);
  EDGE(2, 16, NULL, clock_nanosleep, CLOCK_MONOTONIC, 0, HOLE, 0);
}

TEST(timers, getitimer, setitimer, timer_create, timer_settime, timer_gettime, timerfd_settime, timerfd_gettime) {
  int id = 0;
  struct sigevent event = {.sigev_notify = SIGEV_NONE};
  EDGE(1, 32, NULL, getitimer, ITIMER_REAL, HOLE);
  EDGE(1, 32, NULL, setitimer, ITIMER_REAL, HOLE, 0);
  EDGE(2, 32, NULL, setitimer, ITIMER_REAL, 0, HOLE);
  EDGE(1, 64, &event, timer_create, CLOCK_MONOTONIC, HOLE, &id);
  EDGE(2, 4, NULL, timer_create, CLOCK_MONOTONIC, &event, HOLE);
  EDGE(2, 32, NULL, timer_settime, id, 0, HOLE, 0);
  EDGE(1, 32, NULL, timer_gettime, id, HOLE);
  long fd = syscall(SYS_timerfd_create, CLOCK_MONOTONIC, 0);
  EDGE(2, 32, NULL, timerfd_settime, fd, 0, HOLE, 0);
  EDGE(1, 32, NULL, timerfd_gettime, fd, HOLE);
}

TEST(signal_structures, rt_sigaction, rt_sigprocmask, rt_sigpending, sigaltstack, rt_sigtimedwait, signalfd4, rt_sigqueueinfo) {
  struct timespec none = {0, 0};
  sigset_t usr1;
  siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_QUEUE};
  stack_t off = {.ss_flags = SS_DISABLE};
  sigemptyset(&usr1);
  sigaddset(&usr1, SIGUSR1);
  block_signal(SIGUSR1);
  EDGE(1, 32, NULL, rt_sigaction, SIGUSR2, HOLE, 0, 8);
  EDGE(2, 32, NULL, rt_sigaction, SIGUSR2, 0, HOLE, 8);
  EDGE(1, 8, NULL, rt_sigprocmask, SIG_BLOCK, HOLE, 0, 8);
  EDGE(2, 8, NULL, rt_sigprocmask, SIG_BLOCK, 0, HOLE, 8);
  EDGE(0, 8, NULL, rt_sigpending, HOLE, 8);
  EDGE(0, 24, &off, sigaltstack, HOLE, 0);
  EDGE(1, 24, NULL, sigaltstack, 0, HOLE);
  EDGE(1, 8, &usr1, signalfd4, -1, HOLE, 8, 0);
  EDGE(2, 48, &info, rt_sigqueueinfo, getpid(), SIGUSR1, HOLE);
  EDGE(0, 8, &usr1, rt_sigtimedwait, HOLE, 0, &none, 8);
  for (int i = 0; i < 4; i++) CHECK_OK(kill(getpid(), SIGUSR1));
  EDGE(2, 16, NULL, rt_sigtimedwait, &usr1, 0, HOLE, 8);
}

TEST(identities, getresuid, getresgid, getgroups, setgroups, capget, capset) {
  int32_t id;
  uint32_t head[2] = {0x20080522, 0};
  struct cap_data d[2];
  gid_t group = 7;
  CHECK_OK(syscall(SYS_capget, head, d));
  EDGE(0, 4, NULL, getresuid, HOLE, &id, &id);
  EDGE(1, 4, NULL, getresuid, &id, HOLE, &id);
  EDGE(2, 4, NULL, getresuid, &id, &id, HOLE);
  EDGE(0, 4, NULL, getresgid, HOLE, &id, &id);
  EDGE(2, 4, NULL, getresgid, &id, &id, HOLE);
  EDGE(1, 4, &group, setgroups, 1, HOLE);
  EDGE(1, 4, NULL, getgroups, 1, HOLE);
  EDGE(0, 8, head, capget, HOLE, d);
  EDGE(1, 24, NULL, capget, head, HOLE);
  EDGE(0, 8, head, capset, HOLE, d);
  EDGE(1, 24, d, capset, head, HOLE);
}

TEST(limits_and_scheduling, getrlimit, setrlimit, prlimit64, sched_getparam, sched_rr_get_interval, sched_getaffinity, sched_getattr) {
  struct rlimit r;
  unsigned long mask[16];
  CHECK_OK(getrlimit(RLIMIT_CORE, &r));
  EDGE(1, 16, NULL, getrlimit, RLIMIT_CORE, HOLE);
  EDGE(1, 16, &r, setrlimit, RLIMIT_CORE, HOLE);
  EDGE(2, 16, &r, prlimit64, 0, RLIMIT_CORE, HOLE, 0);
  EDGE(3, 16, NULL, prlimit64, 0, RLIMIT_CORE, 0, HOLE);
  EDGE(1, 4, NULL, sched_getparam, 0, HOLE);
  EDGE(1, 16, NULL, sched_rr_get_interval, 0, HOLE);
  EDGE(1, 48, NULL, sched_getattr, 0, HOLE, 48, 0);
  long n = syscall(SYS_sched_getaffinity, 0, sizeof mask, mask);
  CHECK_OK(n);
  EDGE(2, n, NULL, sched_getaffinity, 0, n, HOLE);
}

TEST(transfers, read, write, pread64, pwrite64, readv, writev, preadv, pwritev, getrandom, getdents64) {
  char b[8];
  struct iovec v = {b, 8};
  put_file("f", "0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz");
  int fd = open("f", O_RDWR), dir = open(".", O_RDONLY);
  EDGE(1, 1, NULL, read, fd, HOLE, 1);
  EDGE(1, 1, NULL, write, fd, HOLE, 1);
  EDGE(1, 1, NULL, pread64, fd, HOLE, 1, 0);
  EDGE(1, 1, NULL, pwrite64, fd, HOLE, 1, 0);
  EDGE(1, 16, &v, readv, fd, HOLE, 1);
  EDGE(1, 16, &v, writev, fd, HOLE, 1);
  EDGE(1, 16, &v, preadv, fd, HOLE, 1, 0, 0);
  EDGE(1, 16, &v, pwritev, fd, HOLE, 1, 0, 0);
  EDGE(0, 1, NULL, getrandom, HOLE, 1, 0);
  // An entry may end before its padding does; what could not be told is told again.
  char entries[200];
  CHECK_ERRNO(syscall(SYS_getdents64, dir, 1, sizeof entries), EFAULT);
  long n = syscall(SYS_getdents64, dir, entries, sizeof entries);
  CHECK(n > 60);
  CHECK_EQ(lseek(dir, 0, SEEK_SET), 0);
  CHECK_EQ(syscall(SYS_getdents64, dir, end - n, n), n);
}

TEST(waiting, poll, ppoll, select, pselect6, epoll_ctl, epoll_wait, wait4, waitid) {
  struct timespec none = {0, 0};
  struct pollfd p = {0, POLLIN, 0};
  int pipe_fds[2];
  long set = 1;
  CHECK_OK(pipe(pipe_fds));
  EDGE(0, 8, &p, poll, HOLE, 1, 0);
  EDGE(0, 8, &p, ppoll, HOLE, 1, &none, 0, 8);
  EDGE(2, 16, NULL, ppoll, &p, 1, HOLE, 0, 8);
  EDGE(3, 8, NULL, ppoll, &p, 1, &none, HOLE, 8);
  EDGE(1, 8, &set, select, 1, HOLE, 0, 0, 0);
  EDGE(2, 8, &set, select, 1, 0, HOLE, 0, 0);
  EDGE(4, 16, NULL, select, 0, 0, 0, 0, HOLE);
  EDGE(4, 16, NULL, pselect6, 0, 0, 0, 0, HOLE, 0);
  struct epoll_event e = {EPOLLOUT, {.u64 = 5}};
  int ep = epoll_create1(0);
  EDGE(3, 12, &e, epoll_ctl, ep, EPOLL_CTL_ADD, pipe_fds[1], HOLE);
  EDGE(1, 12, NULL, epoll_wait, ep, HOLE, 1, 0);
  pid_t pid = fork();
  if (pid == 0) _exit(0);
  int st;
  CHECK_OK(waitid(P_PID, pid, &(siginfo_t){0}, WEXITED | WNOWAIT));
  EDGE(2, 28, NULL, waitid, P_PID, pid, HOLE, WEXITED | WNOWAIT, 0);
  WAIT_OK(pid);
  if ((pid = fork()) == 0) _exit(0);
  CHECK_ERRNO(syscall(SYS_wait4, pid, end - 3, 0, 0), EFAULT); // gone all the same
  CHECK_ERRNO(syscall(SYS_wait4, pid, &st, 0, 0), ECHILD);
}

TEST(pairs_of_descriptors, pipe, pipe2, socketpair) {
  EDGE(0, 8, NULL, pipe, HOLE);
  EDGE(0, 8, NULL, pipe2, HOLE, O_CLOEXEC);
  EDGE(3, 8, NULL, socketpair, AF_UNIX, SOCK_STREAM, 0, HOLE);
}

TEST(socket_structures, bind, getsockname, getsockopt, setsockopt, sendmsg) {
  struct sockaddr_un a = {AF_UNIX, "s"};
  socklen_t len = sizeof a, four = 4;
  int one = 1, sv[2], fd = socket(AF_UNIX, SOCK_STREAM, 0);
  EDGE(1, 5, &a, bind, fd, HOLE, 5);
  EDGE(1, 4, NULL, getsockname, fd, HOLE, &len);
  len = 0;
  EDGE(2, 4, &len, getsockname, fd, &a, HOLE);
  EDGE(3, 4, NULL, getsockopt, fd, SOL_SOCKET, SO_TYPE, HOLE, &four);
  EDGE(4, 4, &four, getsockopt, fd, SOL_SOCKET, SO_TYPE, &one, HOLE);
  EDGE(3, 4, &one, setsockopt, fd, SOL_SOCKET, SO_PASSCRED, HOLE, 4);
  CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
  struct iovec v = {"x", 1};
  struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
  EDGE(1, 56, &m, sendmsg, sv[0], HOLE, 0);
}

TEST(ipc_structures, shmctl, msgctl, semctl, msgsnd, semop) {
  struct sembuf up = {0, 1, 0};
  struct { long type; char text[8]; } m = {1, "text"};
  int shm = shmget(IPC_PRIVATE, 4096, 0600), msg = msgget(IPC_PRIVATE, 0600), sem = semget(IPC_PRIVATE, 1, 0600);
  EDGE(2, 112, NULL, shmctl, shm, IPC_STAT, HOLE);
  EDGE(2, 120, NULL, msgctl, msg, IPC_STAT, HOLE);
  EDGE(3, 104, NULL, semctl, sem, 0, IPC_STAT, HOLE);
  EDGE(3, 2, NULL, semctl, sem, 0, GETALL, HOLE);
  EDGE(1, 16, &m, msgsnd, msg, HOLE, 8, 0);
  EDGE(1, 6, &up, semop, sem, HOLE, 1);
  CHECK_OK(shmctl(shm, IPC_RMID, NULL));
  CHECK_OK(msgctl(msg, IPC_RMID, NULL));
  CHECK_OK(semctl(sem, 0, IPC_RMID));
}
