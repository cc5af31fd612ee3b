// Sockets: addresses are raw struct sockaddr bytes; descriptors travel by SCM_RIGHTS.

#include "host.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#define MAX_FDS 253 // SCM_MAX_FD of the kernel

FN(socket) {
  int domain = arg_int(a, 0), type = arg_int(a, 1), protocol = arg_int(a, 2);
  CHECK_ARGS();
  return result(socket(domain, type | SOCK_CLOEXEC, protocol));
}

FN(socketpair) {
  int domain = arg_int(a, 0), type = arg_int(a, 1), protocol = arg_int(a, 2);
  int32_t *out = arg_i32(a, 3, 2, NULL);
  CHECK_ARGS();
  return result(socketpair(domain, type | SOCK_CLOEXEC, protocol, out));
}

FN(bind) {
  int fd = arg_int(a, 0);
  struct span s = arg_span(a, 1);
  CHECK_ARGS();
  return result(bind(fd, (const struct sockaddr *)(const void *)s.p, (socklen_t)s.len));
}

FN(connect) {
  int fd = arg_int(a, 0);
  struct span s = arg_span(a, 1);
  CHECK_ARGS();
  return result(connect(fd, (const struct sockaddr *)(const void *)s.p, (socklen_t)s.len));
}

FN(listen) {
  int fd = arg_int(a, 0), backlog = arg_int(a, 1);
  CHECK_ARGS();
  return result(listen(fd, backlog));
}

FN(accept) {
  int fd = arg_int(a, 0), flags = arg_int(a, 1);
  CHECK_ARGS();
  return result(accept4(fd, NULL, NULL, flags | SOCK_CLOEXEC));
}

// Fill a byte array with an address; the length that the kernel tells (may exceed the array).
FN(getsockname) {
  int fd = arg_int(a, 0);
  struct span s = arg_span(a, 1);
  CHECK_ARGS();
  socklen_t n = (socklen_t)s.len;
  return getsockname(fd, (struct sockaddr *)(void *)s.p, &n) < 0 ? -errno : (double)n;
}

FN(getpeername) {
  int fd = arg_int(a, 0);
  struct span s = arg_span(a, 1);
  CHECK_ARGS();
  socklen_t n = (socklen_t)s.len;
  return getpeername(fd, (struct sockaddr *)(void *)s.p, &n) < 0 ? -errno : (double)n;
}

FN(getsockopt) {
  int fd = arg_int(a, 0), level = arg_int(a, 1), name = arg_int(a, 2);
  struct span s = arg_span(a, 3);
  CHECK_ARGS();
  socklen_t n = (socklen_t)s.len;
  return getsockopt(fd, level, name, s.p, &n) < 0 ? -errno : (double)n;
}

FN(setsockopt) {
  int fd = arg_int(a, 0), level = arg_int(a, 1), name = arg_int(a, 2);
  struct span s = arg_span(a, 3);
  CHECK_ARGS();
  return result(setsockopt(fd, level, name, s.p, (socklen_t)s.len));
}

FN(shutdown) {
  int fd = arg_int(a, 0), how = arg_int(a, 1);
  CHECK_ARGS();
  return result(shutdown(fd, how));
}

FN(sendto) {
  int fd = arg_int(a, 0), flags = arg_int(a, 4);
  struct span s = arg_slice(a, 1);
  struct span to = arg_span(a, 5);
  CHECK_ARGS();
  return result(sendto(fd, s.p, s.len, flags | MSG_NOSIGNAL, to.len ? (struct sockaddr *)(void *)to.p : NULL, (socklen_t)to.len));
}

// recvfrom(2): fd, buffer, offset, length, flags, address array, Int32Array whose [0] gets the address length.
FN(recvfrom) {
  int fd = arg_int(a, 0), flags = arg_int(a, 4);
  struct span s = arg_slice(a, 1);
  struct span from = arg_span(a, 5);
  int32_t *info = arg_i32(a, 6, 1, NULL);
  CHECK_ARGS();
  socklen_t n = (socklen_t)from.len;
  long r = recvfrom(fd, s.p, s.len, flags, (struct sockaddr *)(void *)from.p, &n);
  if (r < 0) return -errno;
  info[0] = (int32_t)n;
  return (double)r;
}

union control {
  struct cmsghdr h;
  char space[CMSG_SPACE(MAX_FDS * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
};

static double send_message(int fd, struct msghdr *m, const int32_t *fds, int nfds, int flags) {
  union control control;
  if (nfds > 0) {
    memset(&control, 0, CMSG_SPACE((size_t)nfds * sizeof(int)));
    m->msg_control = &control;
    m->msg_controllen = CMSG_SPACE((size_t)nfds * sizeof(int));
    struct cmsghdr *c = CMSG_FIRSTHDR(m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN((size_t)nfds * sizeof(int));
    memcpy(CMSG_DATA(c), fds, (size_t)nfds * sizeof(int));
  }
  long r;
  do r = sendmsg(fd, m, flags | MSG_NOSIGNAL);
  while (r < 0 && errno == EINTR);
  return result(r);
}

// sendmsg(2) with descriptors: fd, buffer, offset, length, Int32Array of descriptors, how many of them, MSG_* flags.
FN(sendmsg) {
  int fd = arg_int(a, 0), nfds = arg_int(a, 5), flags = arg_int(a, 6);
  struct span s = arg_slice(a, 1);
  size_t cap;
  int32_t *fds = arg_i32(a, 4, 0, &cap);
  CHECK_ARGS();
  if (nfds < 0 || nfds > MAX_FDS || (size_t)nfds > cap) return -EINVAL;
  struct iovec iov = {s.p, s.len};
  struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
  return send_message(fd, &m, fds, nfds, flags);
}

// The same with an address: a byte array, and how much of it is the address (0: none).
FN(sendTo) {
  int fd = arg_int(a, 0), nfds = arg_int(a, 5), flags = arg_int(a, 6), name_len = arg_int(a, 8);
  struct span s = arg_slice(a, 1);
  size_t cap;
  int32_t *fds = arg_i32(a, 4, 0, &cap);
  struct span name = arg_span(a, 7);
  CHECK_ARGS();
  if (nfds < 0 || nfds > MAX_FDS || (size_t)nfds > cap || name_len < 0 || (size_t)name_len > name.len) return -EINVAL;
  struct iovec iov = {s.p, s.len};
  struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
  if (name_len > 0) {
    m.msg_name = name.p;
    m.msg_namelen = (socklen_t)name_len;
  }
  return send_message(fd, &m, fds, nfds, flags);
}

// Fills info: count of descriptors, msg_flags (MSG_TRUNC, MSG_CTRUNC), and pid, uid, gid of SCM_CREDENTIALS (-1 without). Descriptors
// (close-on-exec) beyond the array's room are closed and count as MSG_CTRUNC.
static double receive_message(int fd, struct msghdr *m, int32_t *fds, size_t cap, int flags, int32_t *info) {
  union control control;
  m->msg_control = &control;
  m->msg_controllen = sizeof control;
  long r;
  do r = recvmsg(fd, m, flags | MSG_CMSG_CLOEXEC);
  while (r < 0 && errno == EINTR);
  if (r < 0) return -errno;
  size_t n = 0;
  info[2] = info[3] = info[4] = -1;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
    if (c->cmsg_level != SOL_SOCKET) continue;
    if (c->cmsg_type == SCM_RIGHTS) {
      size_t k = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (size_t i = 0; i < k; i++) {
        int got;
        memcpy(&got, CMSG_DATA(c) + i * sizeof(int), sizeof got);
        if (n < cap) {
          fds[n++] = got;
        } else {
          close(got);
          m->msg_flags |= MSG_CTRUNC;
        }
      }
    } else if (c->cmsg_type == SCM_CREDENTIALS && c->cmsg_len >= CMSG_LEN(sizeof(struct ucred))) {
      struct ucred u;
      memcpy(&u, CMSG_DATA(c), sizeof u);
      info[2] = u.pid;
      info[3] = (int32_t)u.uid;
      info[4] = (int32_t)u.gid;
    }
  }
  info[0] = (int32_t)n;
  info[1] = m->msg_flags;
  return (double)r;
}

// recvmsg(2): fd, buffer, offset, length, Int32Array for descriptors, flags, Int32Array of 5 (see above).
FN(recvmsg) {
  int fd = arg_int(a, 0), flags = arg_int(a, 5);
  struct span s = arg_slice(a, 1);
  size_t cap;
  int32_t *fds = arg_i32(a, 4, 0, &cap);
  int32_t *info = arg_i32(a, 6, 5, NULL);
  CHECK_ARGS();
  struct iovec iov = {s.p, s.len};
  struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
  return receive_message(fd, &m, fds, cap, flags, info);
}

// The same with the sender's address: a sixth word of info gets its length, a byte array the address.
FN(receiveFrom) {
  int fd = arg_int(a, 0), flags = arg_int(a, 5);
  struct span s = arg_slice(a, 1);
  size_t cap;
  int32_t *fds = arg_i32(a, 4, 0, &cap);
  int32_t *info = arg_i32(a, 6, 6, NULL);
  struct span name = arg_span(a, 7);
  CHECK_ARGS();
  struct iovec iov = {s.p, s.len};
  struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_name = name.p, .msg_namelen = (socklen_t)name.len};
  double r = receive_message(fd, &m, fds, cap, flags, info);
  if (r >= 0) info[5] = (int32_t)m.msg_namelen;
  return r;
}

// SO_PEERCRED of a unix socket: pid, uid, gid into an Int32Array of 3.
FN(peerCredentials) {
  int fd = arg_int(a, 0);
  int32_t *out = arg_i32(a, 1, 3, NULL);
  struct ucred u;
  socklen_t n = sizeof u;
  CHECK_ARGS();
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &u, &n) < 0) return -errno;
  out[0] = u.pid;
  out[1] = (int32_t)u.uid;
  out[2] = (int32_t)u.gid;
  return 0;
}

const struct host_entry sock_entries[] = {
    ENTRY(socket),      ENTRY(socketpair), ENTRY(bind),       ENTRY(connect),  ENTRY(listen), ENTRY(accept),
    ENTRY(getsockname), ENTRY(getpeername), ENTRY(getsockopt), ENTRY(setsockopt), ENTRY(shutdown), ENTRY(sendto),
    ENTRY(recvfrom),    ENTRY(sendmsg),    ENTRY(recvmsg),    ENTRY(sendTo),   ENTRY(receiveFrom), ENTRY(peerCredentials),
    END_OF_TABLE,
};
