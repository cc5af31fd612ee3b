// Calls on one open descriptor: data, polling, epoll, ioctl, locks, pipes, memfd.

#include "host.h"

#include <linux/fs.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/uio.h>
#include <signal.h>
#include <stdlib.h>

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

#define RETRY(expr)                     \
  ({                                    \
    long r_;                            \
    do r_ = (expr);                     \
    while (r_ < 0 && errno == EINTR);   \
    r_;                                 \
  })

FN(read) {
  int fd = arg_int(a, 0);
  struct span s = arg_slice(a, 1);
  CHECK_ARGS();
  return result(RETRY(read(fd, s.p, s.len)));
}

FN(write) {
  int fd = arg_int(a, 0);
  struct span s = arg_slice(a, 1);
  CHECK_ARGS();
  return result(RETRY(write(fd, s.p, s.len)));
}

FN(pread) {
  int fd = arg_int(a, 0);
  struct span s = arg_slice(a, 1);
  int64_t pos = arg_i64(a, 4);
  CHECK_ARGS();
  return result(RETRY(pread(fd, s.p, s.len, pos)));
}

FN(pwrite) {
  int fd = arg_int(a, 0);
  struct span s = arg_slice(a, 1);
  int64_t pos = arg_i64(a, 4);
  CHECK_ARGS();
  return result(RETRY(pwrite(fd, s.p, s.len, pos)));
}

// preadv2(2)/pwritev2(2) of one buffer, for RWF_NOWAIT and its kin. Position -1: the descriptor's own.
FN(preadv2) {
  int fd = arg_int(a, 0);
  struct span s = arg_slice(a, 1);
  int64_t pos = arg_i64(a, 4);
  int flags = arg_int(a, 5);
  CHECK_ARGS();
  struct iovec iov = {s.p, s.len};
  return result(preadv2(fd, &iov, 1, pos, flags));
}

FN(pwritev2) {
  int fd = arg_int(a, 0);
  struct span s = arg_slice(a, 1);
  int64_t pos = arg_i64(a, 4);
  int flags = arg_int(a, 5);
  CHECK_ARGS();
  struct iovec iov = {s.p, s.len};
  return result(pwritev2(fd, &iov, 1, pos, flags));
}

FN(lseek) {
  int fd = arg_int(a, 0), whence = arg_int(a, 2);
  int64_t pos = arg_i64(a, 1);
  CHECK_ARGS();
  return result(lseek(fd, pos, whence));
}

FN(ftruncate) {
  int fd = arg_int(a, 0);
  int64_t size = arg_i64(a, 1);
  CHECK_ARGS();
  return result(RETRY(ftruncate(fd, size)));
}

FN(fallocate) {
  int fd = arg_int(a, 0), mode = arg_int(a, 1);
  int64_t off = arg_i64(a, 2), len = arg_i64(a, 3);
  CHECK_ARGS();
  return result(RETRY(fallocate(fd, mode, off, len)));
}

FN(fsync) {
  int fd = arg_int(a, 0);
  CHECK_ARGS();
  return result(RETRY(fsync(fd)));
}

FN(fdatasync) {
  int fd = arg_int(a, 0);
  CHECK_ARGS();
  return result(RETRY(fdatasync(fd)));
}

FN(syncfs) {
  int fd = arg_int(a, 0);
  CHECK_ARGS();
  return result(syncfs(fd));
}

// copy_file_range(2); position -1: the descriptor's own.
FN(copyFileRange) {
  int in = arg_int(a, 0), out = arg_int(a, 2);
  int64_t inPos = arg_i64(a, 1), outPos = arg_i64(a, 3), len = arg_i64(a, 4);
  CHECK_ARGS();
  if (len < 0) return -EINVAL;
  off_t i = inPos, o = outPos;
  return result(RETRY(copy_file_range(in, inPos < 0 ? NULL : &i, out, outPos < 0 ? NULL : &o, (size_t)len, 0)));
}

FN(ficlone) {
  int dst = arg_int(a, 0), src = arg_int(a, 1);
  CHECK_ARGS();
  return result(ioctl(dst, FICLONE, src));
}

// EINTR is not retried: Linux frees the descriptor before it can be interrupted (close(2)).
FN(close) {
  int fd = arg_int(a, 0);
  CHECK_ARGS();
  return result(close(fd));
}

FN(dup) {
  int fd = arg_int(a, 0);
  CHECK_ARGS();
  return result(fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

FN(dup3) {
  int from = arg_int(a, 0), to = arg_int(a, 1), flags = arg_int(a, 2);
  CHECK_ARGS();
  return result(dup3(from, to, flags));
}

// fcntl(2) for the commands whose argument is an int.
FN(fcntl) {
  int fd = arg_int(a, 0), cmd = arg_int(a, 1), arg = arg_int(a, 2);
  CHECK_ARGS();
  switch (cmd) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
    case F_GETFD:
    case F_SETFD:
    case F_GETFL:
    case F_SETFL:
    case F_GETPIPE_SZ:
    case F_SETPIPE_SZ:
    case F_ADD_SEALS:
    case F_GET_SEALS:
    case F_GETOWN:
    case F_SETOWN:
      return result(fcntl(fd, cmd, arg));
    default:
      return -EINVAL;
  }
}

FN(setNonblock) {
  int fd = arg_int(a, 0), on = arg_int(a, 1);
  CHECK_ARGS();
  int fl = fcntl(fd, F_GETFL);
  if (fl < 0) return -errno;
  int want = on ? fl | O_NONBLOCK : fl & ~O_NONBLOCK;
  return want == fl ? 0 : result(fcntl(fd, F_SETFL, want));
}

FN(flock) {
  int fd = arg_int(a, 0), op = arg_int(a, 1);
  CHECK_ARGS();
  return result(flock(fd, op));
}

// Open file description locks: fd, command (F_OFD_SETLK, F_OFD_SETLKW, F_OFD_GETLK), type, start, length.
// F_OFD_GETLK answers the type of the lock that stands in the way, or F_UNLCK.
FN(ofdLock) {
  int fd = arg_int(a, 0), cmd = arg_int(a, 1), type = arg_int(a, 2);
  int64_t start = arg_i64(a, 3), len = arg_i64(a, 4);
  CHECK_ARGS();
  if (cmd != F_OFD_SETLK && cmd != F_OFD_SETLKW && cmd != F_OFD_GETLK) return -EINVAL;
  struct flock fl = {.l_type = (short)type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
  if (fcntl(fd, cmd, &fl) < 0) return -errno;
  return cmd == F_OFD_GETLK ? fl.l_type : 0;
}

FN(pipe2) {
  int32_t *out = arg_i32(a, 0, 2, NULL);
  int flags = arg_int(a, 1);
  CHECK_ARGS();
  return result(pipe2(out, flags));
}

FN(eventfd) {
  int init = arg_int(a, 0), flags = arg_int(a, 1);
  CHECK_ARGS();
  return result(eventfd((unsigned)init, flags));
}

FN(memfdCreate) {
  char name[250];
  arg_str(a, 0, name, sizeof name);
  int flags = arg_int(a, 1);
  CHECK_ARGS();
  return result(memfd_create(name, (unsigned)flags));
}

FN(pollNow) {
  struct pollfd p = {.fd = arg_int(a, 0), .events = (short)arg_int(a, 1)};
  CHECK_ARGS();
  int r = poll(&p, 1, 0);
  return r < 0 ? -errno : p.revents;
}

// One descriptor, with a time limit in ms: ready bits, 0 at the limit, -EINTR after a signal.
FN(pollOne) {
  struct pollfd p = {.fd = arg_int(a, 0), .events = (short)arg_int(a, 1)};
  struct timespec ts, *limit = arg_timeout(a, 2, &ts);
  CHECK_ARGS();
  int r = ppoll(&p, 1, limit, NULL);
  return r < 0 ? -errno : p.revents;
}

// poll(2) of many: an Int32Array of triples fd, events, revents; time limit in ms. The count of ready ones.
FN(poll) {
  size_t n;
  int32_t *t = arg_i32(a, 0, 0, &n);
  struct timespec ts, *limit = arg_timeout(a, 1, &ts);
  struct pollfd p[256];
  CHECK_ARGS();
  n /= 3;
  if (n > 256) return -EINVAL;
  for (size_t i = 0; i < n; i++) p[i] = (struct pollfd){.fd = t[3 * i], .events = (short)t[3 * i + 1]};
  int r = ppoll(p, n, limit, NULL);
  if (r < 0) return -errno;
  for (size_t i = 0; i < n; i++) t[3 * i + 2] = p[i].revents;
  return r;
}

FN(epollCreate) {
  (void)a;
  return result(epoll_create1(EPOLL_CLOEXEC));
}

FN(epollCtl) {
  int ep = arg_int(a, 0), op = arg_int(a, 1), fd = arg_int(a, 2);
  struct epoll_event ev = {.events = (uint32_t)arg_int(a, 3), .data.fd = fd};
  CHECK_ARGS();
  return result(epoll_ctl(ep, op, fd, &ev));
}

// epoll_pwait2(2): fills an Int32Array with pairs fd, events; time limit in ms, fractions count. The count of pairs; 0 also after a signal.
FN(epollWait) {
  int ep = arg_int(a, 0);
  size_t n;
  int32_t *out = arg_i32(a, 1, 2, &n);
  struct timespec ts, *limit = arg_timeout(a, 2, &ts);
  struct epoll_event ev[256];
  CHECK_ARGS();
  int max = n / 2 > 256 ? 256 : (int)(n / 2);
  static bool no_pwait2;
  long r = -1;
  if (!no_pwait2) {
    r = syscall(SYS_epoll_pwait2, ep, ev, max, limit, NULL, (size_t)8);
    if (r < 0 && errno == ENOSYS) no_pwait2 = true;
  }
  if (no_pwait2) {
    // Before Linux 5.11: whole milliseconds, rounded up so that a deadline is not missed by spinning.
    int ms = limit == NULL ? -1 : ts.tv_sec > 1000000 ? 1000000000 : (int)(ts.tv_sec * 1000 + (ts.tv_nsec + 999999) / 1000000);
    r = epoll_wait(ep, ev, max, ms);
  }
  if (r < 0) return errno == EINTR ? 0 : -errno;
  for (int i = 0; i < r; i++) {
    out[2 * i] = ev[i].data.fd;
    out[2 * i + 1] = (int32_t)ev[i].events;
  }
  return (double)r;
}

// ioctl(2) whose argument is a buffer. The kernel works on a bounce buffer of the largest size that a request number can name,
// so that a request and a short buffer that do not fit together cannot hurt this process.
FN(ioctl) {
  int fd = arg_int(a, 0);
  uint32_t cmd = (uint32_t)arg_int(a, 1);
  struct span s = arg_span(a, 2);
  CHECK_ARGS();
  _Alignas(16) uint8_t bounce[16384];
  if (s.len > sizeof bounce) return -EINVAL;
  memset(bounce, 0, s.len < 256 ? 256 : s.len);
  memcpy(bounce, s.p, s.len);
  int r = ioctl(fd, cmd, bounce);
  if (r < 0) return -errno;
  memcpy(s.p, bounce, s.len);
  return r;
}

// ioctl(2) whose argument is a number (FICLONE, TIOCSCTTY, TIOCGPTPEER...).
FN(ioctlInt) {
  int fd = arg_int(a, 0);
  uint32_t cmd = (uint32_t)arg_int(a, 1);
  int64_t arg = arg_i64(a, 2);
  CHECK_ARGS();
  return result(ioctl(fd, cmd, arg));
}

// A new terminal: the master end. Its slave is opened by ptyPeer, without a path.
FN(openpt) {
  int flags = arg_int(a, 0);
  CHECK_ARGS();
  int fd = posix_openpt(flags | O_CLOEXEC);
  if (fd < 0) return -errno;
  if (unlockpt(fd) < 0) {
    int e = errno;
    close(fd);
    return -e;
  }
  return fd;
}

FN(ptyPeer) {
  int fd = arg_int(a, 0), flags = arg_int(a, 1);
  CHECK_ARGS();
  return result(ioctl(fd, TIOCGPTPEER, flags));
}

FN(isatty) {
  int fd = arg_int(a, 0);
  CHECK_ARGS();
  return isatty(fd);
}

// signalfd4(2): fd or -1, mask as low and high half, flags. Block the signals first (sigmask).
FN(signalfd) {
  int fd = arg_int(a, 0), lo = arg_int(a, 1), hi = arg_int(a, 2), flags = arg_int(a, 3);
  CHECK_ARGS();
  uint64_t mask = (uint32_t)lo | (uint64_t)(uint32_t)hi << 32;
  return result(syscall(SYS_signalfd4, fd, &mask, sizeof mask, flags));
}

FN(inotifyInit) {
  int flags = arg_int(a, 0);
  CHECK_ARGS();
  return result(inotify_init1(flags));
}

FN(inotifyAdd) {
  char path[PATH_MAX];
  int fd = arg_int(a, 0), mask = arg_int(a, 2);
  arg_str(a, 1, path, sizeof path);
  CHECK_ARGS();
  return result(inotify_add_watch(fd, path, (uint32_t)mask));
}

FN(inotifyRemove) {
  int fd = arg_int(a, 0), wd = arg_int(a, 1);
  CHECK_ARGS();
  return result(inotify_rm_watch(fd, wd));
}

FN(clockGettime) {
  int id = arg_int(a, 0);
  double *out = arg_f64(a, 1, 2);
  struct timespec ts;
  CHECK_ARGS();
  if (clock_gettime(id, &ts) < 0) return -errno;
  out[0] = (double)ts.tv_sec;
  out[1] = (double)ts.tv_nsec;
  return 0;
}

FN(getrandom) {
  struct span s = arg_span(a, 0);
  CHECK_ARGS();
  size_t done = 0;
  while (done < s.len) {
    ssize_t r = getrandom(s.p + done, s.len - done, 0);
    if (r < 0 && errno != EINTR) return -errno;
    if (r > 0) done += (size_t)r;
  }
  return (double)done;
}

const struct host_entry io_entries[] = {
    ENTRY(read),         ENTRY(write),       ENTRY(pread),       ENTRY(pwrite),       ENTRY(preadv2),    ENTRY(pwritev2),
    ENTRY(lseek),        ENTRY(ftruncate),   ENTRY(fallocate),   ENTRY(fsync),        ENTRY(fdatasync),  ENTRY(syncfs),
    ENTRY(copyFileRange), ENTRY(ficlone),    ENTRY(close),       ENTRY(dup),          ENTRY(dup3),       ENTRY(fcntl),
    ENTRY(setNonblock),  ENTRY(flock),       ENTRY(ofdLock),     ENTRY(pipe2),        ENTRY(eventfd),    ENTRY(memfdCreate),
    ENTRY(pollNow),      ENTRY(pollOne),     ENTRY(poll),        ENTRY(epollCreate),  ENTRY(epollCtl),   ENTRY(epollWait),
    ENTRY(ioctl),        ENTRY(ioctlInt),    ENTRY(openpt),      ENTRY(ptyPeer),      ENTRY(isatty),     ENTRY(signalfd),
    ENTRY(inotifyInit),  ENTRY(inotifyAdd),  ENTRY(inotifyRemove), ENTRY(clockGettime), ENTRY(getrandom),
    END_OF_TABLE,
};
