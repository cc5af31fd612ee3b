// AF_UNIX sockets: stream, datagram, seqpacket, names, passed descriptors and credentials.
#include "test.h"
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

static int sv[2];
static char buf[4096];
static socklen_t name(struct sockaddr_un *a, const char *path) {
  memset(a, 0, sizeof *a);
  a->sun_family = AF_UNIX;
  if (path[0] == '@') {
    size_t n = strlen(path);
    memcpy(a->sun_path + 1, path + 1, n - 1);
    return offsetof(struct sockaddr_un, sun_path) + n;
  }
  strcpy(a->sun_path, path);
  return sizeof *a;
}
static int server(int type, const char *path) {
  struct sockaddr_un a;
  int s = socket(AF_UNIX, type, 0);
  CHECK_OK(bind(s, (void *)&a, name(&a, path)));
  if (type != SOCK_DGRAM) CHECK_OK(listen(s, 5));
  return s;
}
static int client(int type, const char *path) {
  struct sockaddr_un a;
  int s = socket(AF_UNIX, type, 0);
  if (connect(s, (void *)&a, name(&a, path)) == 0) return s;
  int e = errno;
  close(s);
  errno = e;
  return -1;
}
// A name of its own in the abstract namespace, which all tests of a host share.
static const char *abstract(void) {
  static char path[64];
  snprintf(path, sizeof path, "@rf-test-%d", getpid());
  return path;
}

TEST(stream_pair, recvfrom, sendto, socketpair) {
  CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
  CHECK_EQ(write(sv[0], "hello", 5), 5);
  CHECK_EQ(write(sv[0], "world", 5), 5);
  CHECK_EQ(read(sv[1], buf, 7), 7);
  CHECK_EQ(read(sv[1], buf, 7), 3);
  CHECK_EQ(write(sv[1], "back", 4), 4);
  CHECK_EQ(recv(sv[0], buf, 10, 0), 4);
  CHECK_OK(close(sv[1]));
  CHECK_EQ(read(sv[0], buf, 1), 0);
  signal(SIGPIPE, SIG_IGN);
  CHECK_ERRNO(write(sv[0], "x", 1), EPIPE);
  signal(SIGPIPE, SIG_DFL);
  CHECK_ERRNO(send(sv[0], "x", 1, MSG_NOSIGNAL), EPIPE);
}

TEST(datagram_pair_keeps_boundaries, recvfrom, sendto, socketpair) {
  CHECK_OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv));
  CHECK_EQ(send(sv[0], "first", 5, 0), 5);
  CHECK_EQ(send(sv[0], "", 0, 0), 0);
  CHECK_EQ(send(sv[0], "third", 5, 0), 5);
  CHECK_EQ(recv(sv[1], buf, 2, 0), 2);
  CHECK_EQ(recv(sv[1], buf, 10, 0), 0);
  CHECK_EQ(recv(sv[1], buf, 2, MSG_TRUNC), 5);
  CHECK_ERRNO(recv(sv[1], buf, 2, MSG_DONTWAIT), EAGAIN);
}

TEST(seqpacket_pair, recvfrom, recvmsg, sendto, socketpair) {
  CHECK_OK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv));
  CHECK_EQ(send(sv[0], "abc", 3, 0), 3);
  CHECK_EQ(send(sv[0], "defgh", 5, 0), 5);
  struct iovec v = {buf, 2};
  struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
  CHECK_EQ(recvmsg(sv[1], &m, 0), 2);
  CHECK(m.msg_flags & MSG_TRUNC);
  CHECK_EQ(recv(sv[1], buf, 10, 0), 5);
  CHECK_OK(close(sv[0]));
  CHECK_EQ(recv(sv[1], buf, 10, 0), 0);
}

TEST(bind_connect_accept, accept4, bind, connect, getpeername, getsockname, listen, socket) {
  int s = server(SOCK_STREAM, "sock");
  struct stat st;
  CHECK_OK(stat("sock", &st));
  CHECK(S_ISSOCK(st.st_mode) && (st.st_mode & 07777) == 0755);
  int c = client(SOCK_STREAM, "sock");
  CHECK(c >= 0);
  CHECK_EQ(write(c, "early", 5), 5);
  struct sockaddr_un a;
  socklen_t n = sizeof a;
  int d = accept4(s, (void *)&a, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);
  CHECK(d >= 0);
  CHECK_EQ(n, 2); // the client has no name
  CHECK_EQ(fcntl(d, F_GETFD), FD_CLOEXEC);
  CHECK_EQ(read(d, buf, 10), 5);
  CHECK_ERRNO(read(d, buf, 10), EAGAIN);
  n = sizeof a;
  CHECK_OK(getpeername(c, (void *)&a, &n));
  CHECK_STR(a.sun_path, "sock");
  n = sizeof a;
  CHECK_OK(getsockname(d, (void *)&a, &n));
  CHECK_STR(a.sun_path, "sock");
}

TEST(bind_and_connect_errors, accept, bind, connect, listen, sendto, socket) {
  struct sockaddr_un a;
  int s = server(SOCK_STREAM, "sock"), t = socket(AF_UNIX, SOCK_STREAM, 0);
  CHECK_ERRNO(bind(t, (void *)&a, name(&a, "sock")), EADDRINUSE);
  CHECK_ERRNO(bind(s, (void *)&a, name(&a, "other")), EINVAL);
  CHECK_ERRNO(connect(t, (void *)&a, name(&a, "absent")), ENOENT);
  put_file("plain", "");
  CHECK_ERRNO(connect(t, (void *)&a, name(&a, "plain")), ECONNREFUSED);
  CHECK_ERRNO(client(SOCK_DGRAM, "sock"), EPROTOTYPE);
  CHECK_OK(close(s));
  CHECK_ERRNO(client(SOCK_STREAM, "sock"), ECONNREFUSED);
  a.sun_family = AF_INET;
  CHECK_ERRNO(connect(t, (void *)&a, sizeof a), EINVAL);
  CHECK_ERRNO(accept(t, NULL, NULL), EINVAL);
  CHECK_ERRNO(bind(t, (void *)&a, 1), EINVAL);
  CHECK_ERRNO(socket(AF_UNIX, SOCK_STREAM, 7), EPROTONOSUPPORT);
  CHECK_ERRNO(socket(AF_UNIX, 77, 0), EINVAL);
  CHECK_ERRNO(socket(200, SOCK_STREAM, 0), EAFNOSUPPORT);
  CHECK_ERRNO(read(t, buf, 1), EINVAL);
  CHECK_ERRNO(send(t, "x", 1, MSG_NOSIGNAL), ENOTCONN);
}

TEST(abstract_names, bind, connect, getpeername, listen, socket) {
  int s = server(SOCK_STREAM, abstract());
  int c = client(SOCK_STREAM, abstract());
  CHECK(c >= 0);
  struct sockaddr_un a;
  socklen_t n = sizeof a;
  CHECK_OK(getpeername(c, (void *)&a, &n));
  CHECK_EQ(n, 2 + strlen(abstract()));
  CHECK_EQ(a.sun_path[0], 0);
  CHECK(!memcmp(a.sun_path + 1, abstract() + 1, n - 3));
  CHECK_OK(close(s));
  CHECK_ERRNO(client(SOCK_STREAM, abstract()), ECONNREFUSED);
}

TEST(autobind, bind, getsockname, socket) {
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  int s = socket(AF_UNIX, SOCK_STREAM, 0);
  CHECK_OK(bind(s, (void *)&a, 2));
  socklen_t n = sizeof a;
  CHECK_OK(getsockname(s, (void *)&a, &n));
  CHECK_EQ(n, 2 + 6); // NUL and five hexadecimal digits
}

TEST(backlog_blocks, accept, bind, connect, listen, socket) {
  struct sockaddr_un a;
  int s = socket(AF_UNIX, SOCK_STREAM, 0);
  CHECK_OK(bind(s, (void *)&a, name(&a, "s")));
  CHECK_OK(listen(s, 0));
  int c = socket(AF_UNIX, SOCK_STREAM, 0), d = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
  CHECK_OK(connect(c, (void *)&a, name(&a, "s")));
  CHECK_ERRNO(connect(d, (void *)&a, name(&a, "s")), EAGAIN);
  pid_t pid = fork();
  if (!pid) {
    CHECK(client(SOCK_STREAM, "s") >= 0);
    _exit(0);
  }
  until_sleeps(pid);
  CHECK_OK(accept(s, NULL, NULL));
  WAIT_OK(pid);
}

TEST(datagram_addresses, bind, connect, recvfrom, sendto, socket) {
  struct sockaddr_un a, from;
  int s = server(SOCK_DGRAM, "s"), c = server(SOCK_DGRAM, "c");
  CHECK_EQ(sendto(c, "hi", 2, 0, (void *)&a, name(&a, "s")), 2);
  socklen_t n = sizeof from;
  CHECK_EQ(recvfrom(s, buf, 10, 0, (void *)&from, &n), 2);
  CHECK_STR(from.sun_path, "c");
  CHECK_EQ(n, 4);
  CHECK_ERRNO(send(c, "x", 1, 0), ENOTCONN);
  CHECK_OK(connect(c, (void *)&a, name(&a, "s")));
  CHECK_EQ(send(c, "x", 1, 0), 1);
  CHECK_OK(close(s));
  CHECK_ERRNO(send(c, "x", 1, 0), ECONNREFUSED);
}

TEST(shutdown_directions, sendto, shutdown, socketpair) {
  CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
  CHECK_EQ(write(sv[0], "x", 1), 1);
  CHECK_OK(shutdown(sv[0], SHUT_WR));
  CHECK_EQ(read(sv[1], buf, 2), 1);
  CHECK_EQ(read(sv[1], buf, 2), 0);
  CHECK_ERRNO(send(sv[0], "x", 1, MSG_NOSIGNAL), EPIPE);
  CHECK_EQ(write(sv[1], "y", 1), 1);
  CHECK_EQ(read(sv[0], buf, 2), 1);
  struct pollfd f = {sv[1], POLLIN | POLLRDHUP, 0};
  CHECK_EQ(poll(&f, 1, 0), 1);
  CHECK(f.revents & POLLRDHUP && !(f.revents & POLLHUP));
  CHECK_OK(shutdown(sv[1], SHUT_RDWR));
  CHECK_EQ(poll(&f, 1, 0), 1);
  CHECK(f.revents & POLLHUP);
  CHECK_ERRNO(shutdown(sv[1], 9), EINVAL);
}

TEST(peek_and_waitall, recvfrom, socketpair) {
  CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
  CHECK_EQ(write(sv[0], "abcdef", 6), 6);
  CHECK_EQ(recv(sv[1], buf, 3, MSG_PEEK), 3);
  CHECK_EQ(recv(sv[1], buf, 4, 0), 4);
  CHECK(!memcmp(buf, "abcd", 4));
  pid_t pid = fork();
  if (!pid) {
    CHECK_EQ(recv(sv[1], buf, 5, MSG_WAITALL), 5);
    CHECK(!memcmp(buf, "efghi", 5));
    _exit(0);
  }
  until_sleeps(pid);
  CHECK_EQ(write(sv[0], "ghi", 3), 3);
  WAIT_OK(pid);
  int n;
  CHECK_EQ(write(sv[0], "12345", 5), 5);
  CHECK_OK(ioctl(sv[1], FIONREAD, &n));
  CHECK_EQ(n, 5);
}

static void send_fds(int s, const int *fds, int n) {
  char ctl[CMSG_SPACE(10 * sizeof(int))] = {0};
  struct iovec v = {"f", 1};
  struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = ctl, .msg_controllen = CMSG_SPACE(n * sizeof(int))};
  struct cmsghdr *c = CMSG_FIRSTHDR(&m);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(n * sizeof(int));
  memcpy(CMSG_DATA(c), fds, n * sizeof(int));
  CHECK_EQ(sendmsg(s, &m, 0), 1);
}
static int recv_fds(int s, int *fds, int max, int flags, int *msg_flags) {
  char ctl[CMSG_SPACE(10 * sizeof(int))], b;
  struct iovec v = {&b, 1};
  struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = ctl, .msg_controllen = CMSG_SPACE(max * sizeof(int))};
  CHECK_EQ(recvmsg(s, &m, flags), 1);
  if (msg_flags) *msg_flags = m.msg_flags;
  struct cmsghdr *c = CMSG_FIRSTHDR(&m);
  if (!c) return 0;
  CHECK(c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS);
  int n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
  memcpy(fds, CMSG_DATA(c), n * sizeof(int));
  return n;
}

TEST(pass_descriptors, recvmsg, sendmsg, socketpair) {
  CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
  pid_t pid = fork();
  if (!pid) {
    put_file("f", "content");
    int fds[2] = {open("f", O_RDONLY), open("/dev/zero", O_RDONLY)};
    send_fds(sv[0], fds, 2);
    _exit(0);
  }
  WAIT_OK(pid);
  int got[2];
  CHECK_EQ(recv_fds(sv[1], got, 2, MSG_CMSG_CLOEXEC, NULL), 2);
  CHECK_EQ(fcntl(got[0], F_GETFD), FD_CLOEXEC);
  CHECK_EQ(read(got[0], buf, 20), 7);
  CHECK_EQ(read(got[1], buf, 20), 20);
  CHECK_EQ(buf[0], 0);
}

TEST(passed_descriptors_share_the_offset, recvmsg, sendmsg, socketpair) {
  CHECK_OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv));
  put_file("f", "0123456789");
  int fd = open("f", O_RDONLY), got;
  send_fds(sv[0], &fd, 1);
  CHECK_EQ(read(fd, buf, 3), 3);
  CHECK_EQ(recv_fds(sv[1], &got, 1, 0, NULL), 1);
  CHECK_EQ(lseek(got, 0, SEEK_CUR), 3);
}

TEST(too_small_control_buffer_truncates, recvmsg, sendmsg, socketpair) {
  CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
  int fds[4] = {0, 1, 2, 0}, got[4], flags;
  send_fds(sv[0], fds, 4);
  CHECK_EQ(recv_fds(sv[1], got, 2, 0, &flags), 2);
  CHECK(flags & MSG_CTRUNC);
  send_fds(sv[0], fds, 1);
  CHECK_EQ(read(sv[1], buf, 1), 1); // plain read: the descriptors are dropped
  int bad = 777;
  struct iovec v = {"f", 1};
  char ctl[CMSG_SPACE(sizeof(int))] = {0};
  struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = ctl, .msg_controllen = sizeof ctl};
  struct cmsghdr *c = CMSG_FIRSTHDR(&m);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(c), &bad, sizeof bad);
  CHECK_ERRNO(sendmsg(sv[0], &m, 0), EBADF);
}

TEST(reads_stop_at_descriptors, recvmsg, sendmsg, socketpair) {
  CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
  int fd = 0;
  CHECK_EQ(write(sv[0], "aaa", 3), 3);
  send_fds(sv[0], &fd, 1);
  CHECK_EQ(write(sv[0], "bbb", 3), 3);
  char ctl[64];
  struct iovec v = {buf, 100};
  struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = ctl, .msg_controllen = sizeof ctl};
  CHECK_EQ(recvmsg(sv[1], &m, 0), 4);
  CHECK(CMSG_FIRSTHDR(&m) != NULL);
  CHECK_EQ(read(sv[1], buf, 100), 3);
}

TEST(descriptors_in_a_cycle_are_collected, sendmsg, socketpair) {
  int p[2];
  CHECK_OK(pipe(p));
  CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
  int fds[3] = {sv[0], sv[1], p[1]};
  send_fds(sv[0], fds, 3); // the socket now holds itself, and the pipe's writer
  CHECK_OK(close(sv[0]));
  CHECK_OK(close(sv[1]));
  CHECK_OK(close(p[1]));
  for (int i = 0; i < 5; i++) { // collection may be lazy: give it reasons
    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
    CHECK_OK(close(sv[0]));
    CHECK_OK(close(sv[1]));
  }
  struct pollfd f = {p[0], POLLIN, 0};
  CHECK_EQ(poll(&f, 1, 5000), 1);
  CHECK_EQ(read(p[0], buf, 1), 0);
}

TEST(credentials, getgid, getsockopt, getuid, recvmsg, setsockopt, socketpair) {
  CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
  int on = 1;
  CHECK_OK(setsockopt(sv[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
  pid_t pid = fork();
  if (!pid) {
    CHECK_EQ(write(sv[0], "x", 1), 1);
    _exit(0);
  }
  char ctl[CMSG_SPACE(sizeof(struct ucred))], b;
  struct iovec v = {&b, 1};
  struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = ctl, .msg_controllen = sizeof ctl};
  CHECK_EQ(recvmsg(sv[1], &m, 0), 1);
  struct cmsghdr *c = CMSG_FIRSTHDR(&m);
  CHECK(c && c->cmsg_type == SCM_CREDENTIALS);
  struct ucred cr;
  memcpy(&cr, CMSG_DATA(c), sizeof cr);
  CHECK(cr.pid == pid && cr.uid == getuid() && cr.gid == getgid());
  WAIT_OK(pid);
  socklen_t n = sizeof cr;
  CHECK_OK(getsockopt(sv[0], SOL_SOCKET, SO_PEERCRED, &cr, &n));
  CHECK_EQ(cr.pid, getpid());
}

TEST(options, getsockopt, recvfrom, setsockopt, socketpair) {
  CHECK_OK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv));
  int v;
  socklen_t n = sizeof v;
  CHECK_OK(getsockopt(sv[0], SOL_SOCKET, SO_TYPE, &v, &n));
  CHECK_EQ(v, SOCK_SEQPACKET);
  CHECK_OK(getsockopt(sv[0], SOL_SOCKET, SO_DOMAIN, &v, &n));
  CHECK_EQ(v, AF_UNIX);
  CHECK_OK(getsockopt(sv[0], SOL_SOCKET, SO_ERROR, &v, &n));
  CHECK_EQ(v, 0);
  CHECK_OK(getsockopt(sv[0], SOL_SOCKET, SO_ACCEPTCONN, &v, &n));
  CHECK_EQ(v, 0);
  CHECK_ERRNO(getsockopt(sv[0], SOL_SOCKET, 9999, &v, &n), ENOPROTOOPT);
  CHECK_ERRNO(getsockopt(0, SOL_SOCKET, SO_TYPE, &v, &n), ENOTSOCK);
  struct timeval tv = {0, 30000};
  CHECK_OK(setsockopt(sv[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
  double start = now();
  CHECK_ERRNO(recv(sv[0], buf, 1, 0), EAGAIN);
  CHECK(now() - start >= 0.029);
}

TEST(send_buffer_limits, sendto, socketpair) {
  CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv));
  static char big[1 << 20];
  ssize_t total = 0, n;
  while ((n = write(sv[0], big, sizeof big)) > 0) total += n;
  CHECK_EQ(errno, EAGAIN);
  CHECK(total >= 65536 && total < 4 << 20);
  struct pollfd f = {sv[0], POLLOUT, 0};
  CHECK_EQ(poll(&f, 1, 0), 0);
  ssize_t got = 0;
  while ((n = read(sv[1], big, sizeof big)) > 0) got += n;
  CHECK_EQ(got, total);
  CHECK_EQ(poll(&f, 1, 0), 1);
  CHECK_OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv));
  CHECK_ERRNO(send(sv[0], big, sizeof big, 0), EMSGSIZE);
}

TEST(sendmmsg_recvmmsg, recvmmsg, sendmmsg, socketpair) {
  CHECK_OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv));
  struct iovec o[3] = {{"a", 1}, {"bb", 2}, {"ccc", 3}}, in[4];
  struct mmsghdr w[3], r[4];
  memset(w, 0, sizeof w);
  memset(r, 0, sizeof r);
  for (int i = 0; i < 3; i++) w[i].msg_hdr = (struct msghdr){.msg_iov = &o[i], .msg_iovlen = 1};
  for (int i = 0; i < 4; i++) in[i] = (struct iovec){buf + i * 10, 10}, r[i].msg_hdr = (struct msghdr){.msg_iov = &in[i], .msg_iovlen = 1};
  CHECK_EQ(sendmmsg(sv[0], w, 3, 0), 3);
  CHECK_EQ(w[2].msg_len, 3);
  CHECK_EQ(recvmmsg(sv[1], r, 4, MSG_DONTWAIT, NULL), 3);
  CHECK(r[0].msg_len == 1 && r[1].msg_len == 2 && r[2].msg_len == 3 && !memcmp(buf + 20, "ccc", 3));
}

TEST(unlinked_name_stays_connected, accept, bind, connect, listen, rename, socket) {
  int s = server(SOCK_STREAM, "s");
  CHECK_OK(rename("s", "t"));
  int c = client(SOCK_STREAM, "t");
  CHECK(c >= 0);
  CHECK_OK(unlink("t"));
  CHECK_ERRNO(client(SOCK_STREAM, "t"), ENOENT);
  int d = accept(s, NULL, NULL);
  CHECK_EQ(write(c, "ok", 2), 2);
  CHECK_EQ(read(d, buf, 5), 2);
}

TEST(connect_needs_write_permission, bind, connect, listen, socket) {
  server(SOCK_STREAM, "s");
  CHECK_OK(chmod("s", 0755));
  pid_t pid = fork();
  if (!pid) {
    become(1234, 1234);
    CHECK_ERRNO(client(SOCK_STREAM, "s"), EACCES);
    _exit(0);
  }
  WAIT_OK(pid);
}
