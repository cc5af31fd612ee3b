// TCP and UDP over loopback, IPv4 and IPv6.
#include "test.h"
#include <arpa/inet.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static char buf[65536];
static struct sockaddr_in v4(uint16_t port) {
  return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}
static struct sockaddr_in6 v6(uint16_t port) {
  return (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = port, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
}
static uint16_t port_of(int s) {
  struct sockaddr_in6 a;
  socklen_t n = sizeof a;
  CHECK_OK(getsockname(s, (void *)&a, &n));
  return a.sin6_port; // at the same place in both families
}
static int listener(int backlog) {
  struct sockaddr_in a = v4(0);
  int s = socket(AF_INET, SOCK_STREAM, 0);
  CHECK_OK(bind(s, (void *)&a, sizeof a));
  CHECK_OK(listen(s, backlog));
  return s;
}
static int dial(uint16_t port) {
  struct sockaddr_in a = v4(port);
  int c = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(c, (void *)&a, sizeof a) == 0) return c;
  int e = errno;
  close(c);
  errno = e;
  return -1;
}
static int pair_c, pair_s;
static void tcp_pair(void) {
  int l = listener(5);
  pair_c = dial(port_of(l));
  CHECK(pair_c >= 0);
  pair_s = accept(l, NULL, NULL);
  CHECK(pair_s >= 0);
  close(l);
}
static bool wait_for(int fd, short events) {
  struct pollfd f = {fd, events, 0};
  return poll(&f, 1, 5000) == 1 && f.revents & events;
}
static int sock_error(int s) {
  int e = -1;
  socklen_t n = sizeof e;
  CHECK_OK(getsockopt(s, SOL_SOCKET, SO_ERROR, &e, &n));
  return e;
}

TEST(tcp_names, accept, bind, connect, getpeername, getsockname, listen, socket) {
  int l = listener(5);
  CHECK(port_of(l) != 0);
  int c = dial(port_of(l));
  CHECK(c >= 0);
  struct sockaddr_in a, b;
  socklen_t n = sizeof a;
  int s = accept(l, (void *)&a, &n);
  CHECK(s >= 0 && n == sizeof a);
  CHECK_EQ(ntohl(a.sin_addr.s_addr), INADDR_LOOPBACK);
  n = sizeof b;
  CHECK_OK(getsockname(c, (void *)&b, &n));
  CHECK_EQ(a.sin_port, b.sin_port);
  CHECK_OK(getpeername(c, (void *)&b, &n));
  CHECK_EQ(b.sin_port, port_of(l));
  CHECK_EQ(port_of(s), port_of(l));
}

TEST(tcp_data_and_eof, accept, bind, connect, getsockname, listen, recvfrom, sendto, shutdown, socket) {
  tcp_pair();
  CHECK_EQ(write(pair_c, "ping", 4), 4);
  CHECK(wait_for(pair_s, POLLIN));
  CHECK_EQ(read(pair_s, buf, 10), 4);
  CHECK_EQ(send(pair_s, "pong!", 5, 0), 5);
  CHECK_EQ(recv(pair_c, buf, 5, MSG_WAITALL), 5);
  CHECK_OK(shutdown(pair_c, SHUT_WR));
  CHECK_EQ(read(pair_s, buf, 10), 0);
  CHECK_EQ(write(pair_s, "late", 4), 4);
  CHECK_EQ(recv(pair_c, buf, 4, MSG_WAITALL), 4);
  CHECK_OK(close(pair_s));
  CHECK_EQ(read(pair_c, buf, 10), 0);
  CHECK_ERRNO(send(pair_c, "x", 1, MSG_NOSIGNAL), EPIPE);
}

TEST(tcp_v6, accept, bind, connect, getsockname, listen, recvfrom, socket) {
  struct sockaddr_in6 a = v6(0);
  int l = socket(AF_INET6, SOCK_STREAM, 0);
  CHECK_OK(bind(l, (void *)&a, sizeof a));
  CHECK_OK(listen(l, 1));
  a = v6(port_of(l));
  int c = socket(AF_INET6, SOCK_STREAM, 0);
  CHECK_OK(connect(c, (void *)&a, sizeof a));
  struct sockaddr_in6 from;
  socklen_t n = sizeof from;
  int s = accept(l, (void *)&from, &n);
  CHECK(s >= 0 && n == sizeof from && from.sin6_family == AF_INET6);
  CHECK(!memcmp(&from.sin6_addr, &in6addr_loopback, 16));
  CHECK_EQ(write(s, "six", 3), 3);
  CHECK_EQ(recv(c, buf, 3, MSG_WAITALL), 3);
}

TEST(v6_wildcard_takes_v4, accept, bind, connect, getsockname, listen, setsockopt, socket) {
  struct sockaddr_in6 a = {.sin6_family = AF_INET6}, from;
  int l = socket(AF_INET6, SOCK_STREAM, 0), off = 0;
  CHECK_OK(setsockopt(l, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off));
  CHECK_OK(bind(l, (void *)&a, sizeof a));
  CHECK_OK(listen(l, 1));
  CHECK(dial(port_of(l)) >= 0);
  socklen_t n = sizeof from;
  CHECK_OK(accept(l, (void *)&from, &n));
  CHECK(IN6_IS_ADDR_V4MAPPED(&from.sin6_addr));
}

TEST(connection_refused, bind, connect, getsockname, listen, socket) {
  int l = listener(1);
  uint16_t port = port_of(l);
  CHECK_OK(close(l));
  CHECK_ERRNO(dial(port), ECONNREFUSED);
}

TEST(nonblocking_connect, bind, connect, getsockname, getsockopt, listen, socket) {
  int l = listener(5), c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  struct sockaddr_in a = v4(port_of(l));
  int r = connect(c, (void *)&a, sizeof a);
  CHECK(r == 0 || errno == EINPROGRESS);
  CHECK(wait_for(c, POLLOUT));
  CHECK_EQ(sock_error(c), 0);
  if (r == -1) CHECK_OK(connect(c, (void *)&a, sizeof a)); // reports the success once
  CHECK_ERRNO(connect(c, (void *)&a, sizeof a), EISCONN);
  CHECK_OK(close(l));
  c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  r = connect(c, (void *)&a, sizeof a);
  CHECK(r == -1 && (errno == EINPROGRESS || errno == ECONNREFUSED));
  if (errno == EINPROGRESS) {
    CHECK(wait_for(c, POLLERR | POLLHUP | POLLOUT));
    CHECK_EQ(sock_error(c), ECONNREFUSED);
    CHECK_EQ(sock_error(c), 0);
  }
}

TEST(nonblocking_accept, accept, accept4, bind, connect, getsockname, listen, recvfrom, socket) {
  int l = listener(5);
  CHECK_OK(fcntl(l, F_SETFL, O_NONBLOCK));
  CHECK_ERRNO(accept(l, NULL, NULL), EAGAIN);
  CHECK(dial(port_of(l)) >= 0);
  CHECK(wait_for(l, POLLIN));
  int s = accept4(l, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  CHECK(s >= 0);
  CHECK_EQ(fcntl(s, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
  CHECK_EQ(fcntl(s, F_GETFD), FD_CLOEXEC);
  CHECK_ERRNO(recv(s, buf, 1, 0), EAGAIN);
  CHECK_ERRNO(accept4(l, NULL, NULL, 1), EINVAL);
}

TEST(blocking_accept_wakes, accept, bind, connect, getsockname, listen, recvfrom, socket) {
  int l = listener(5);
  pid_t pid = fork();
  if (!pid) {
    int s = accept(l, NULL, NULL);
    CHECK_EQ(write(s, "welcome", 7), 7);
    _exit(0);
  }
  until_sleeps(pid);
  int c = dial(port_of(l));
  CHECK_EQ(recv(c, buf, 7, MSG_WAITALL), 7);
  WAIT_OK(pid);
}

TEST(address_in_use_and_reuse, bind, getsockname, listen, setsockopt, socket) {
  int l = listener(5), t = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  struct sockaddr_in a = v4(port_of(l));
  CHECK_ERRNO(bind(t, (void *)&a, sizeof a), EADDRINUSE);
  CHECK_OK(setsockopt(t, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
  CHECK_ERRNO(bind(t, (void *)&a, sizeof a), EADDRINUSE); // a listener keeps its port
  int p = socket(AF_INET, SOCK_STREAM, 0), q = socket(AF_INET, SOCK_STREAM, 0);
  CHECK_OK(setsockopt(p, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on));
  CHECK_OK(setsockopt(q, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on));
  a = v4(0);
  CHECK_OK(bind(p, (void *)&a, sizeof a));
  a = v4(port_of(p));
  CHECK_OK(bind(q, (void *)&a, sizeof a));
  CHECK_ERRNO(bind(l, (void *)&a, sizeof a), EINVAL);
}

TEST(bind_errors, accept, bind, getpeername, listen, recvfrom, sendto, shutdown, socket) {
  int s = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in a = v4(0);
  a.sin_addr.s_addr = inet_addr("203.0.113.77");
  CHECK_ERRNO(bind(s, (void *)&a, sizeof a), EADDRNOTAVAIL);
  CHECK_ERRNO(bind(s, (void *)&a, 4), EINVAL);
  a.sin_family = 77;
  CHECK_ERRNO(bind(s, (void *)&a, sizeof a), EAFNOSUPPORT);
  CHECK_ERRNO(bind(s, (void *)8, sizeof a), EFAULT);
  CHECK_ERRNO(listen(-1, 1), EBADF);
  CHECK_ERRNO(listen(0, 1), ENOTSOCK);
  CHECK_ERRNO(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
  CHECK_ERRNO(socket(AF_INET, 77, 0), EINVAL);
  int u = socket(AF_INET, SOCK_DGRAM, 0);
  CHECK_ERRNO(listen(u, 1), EOPNOTSUPP);
  CHECK_ERRNO(accept(u, NULL, NULL), EOPNOTSUPP);
  CHECK_ERRNO(recv(s, buf, 1, 0), ENOTCONN);
  CHECK_ERRNO(send(s, "x", 1, MSG_NOSIGNAL), EPIPE);
  CHECK_ERRNO(getpeername(s, (void *)&a, &(socklen_t){sizeof a}), ENOTCONN);
  CHECK_ERRNO(shutdown(s, SHUT_RD), ENOTCONN);
}

TEST(low_port_needs_capability, bind, socket) {
  drop_cap(10); // CAP_NET_BIND_SERVICE
  int s = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in a = v4(htons(81));
  CHECK_ERRNO(bind(s, (void *)&a, sizeof a), EACCES);
}

TEST(reset_by_linger_zero, accept, bind, connect, getsockname, listen, sendto, setsockopt, socket) {
  tcp_pair();
  struct linger l = {1, 0};
  CHECK_OK(setsockopt(pair_s, SOL_SOCKET, SO_LINGER, &l, sizeof l));
  CHECK_OK(close(pair_s));
  CHECK(wait_for(pair_c, POLLERR | POLLHUP));
  CHECK_ERRNO(read(pair_c, buf, 1), ECONNRESET);
  CHECK_EQ(read(pair_c, buf, 1), 0);
  CHECK_ERRNO(send(pair_c, "x", 1, MSG_NOSIGNAL), EPIPE);
}

TEST(close_with_unread_data_resets, accept, bind, close, connect, getsockname, listen, socket) {
  tcp_pair();
  CHECK_EQ(write(pair_c, "unread", 6), 6);
  CHECK(wait_for(pair_s, POLLIN));
  CHECK_OK(close(pair_s));
  CHECK(wait_for(pair_c, POLLIN | POLLERR));
  CHECK_ERRNO(read(pair_c, buf, 1), ECONNRESET);
}

TEST(poll_states, accept, bind, connect, getsockname, listen, poll, shutdown, socket) {
  int l = listener(5);
  struct pollfd f = {l, POLLIN | POLLOUT, 0};
  CHECK_EQ(poll(&f, 1, 0), 0);
  int fresh = socket(AF_INET, SOCK_STREAM, 0);
  f.fd = fresh;
  CHECK_EQ(poll(&f, 1, 0), 1);
  CHECK_EQ(f.revents, POLLOUT | POLLHUP);
  tcp_pair();
  f.fd = pair_c;
  CHECK_EQ(poll(&f, 1, 0), 1);
  CHECK_EQ(f.revents, POLLOUT);
  CHECK_OK(shutdown(pair_s, SHUT_WR));
  f.events = POLLIN | POLLRDHUP;
  CHECK_EQ(poll(&f, 1, 5000), 1);
  CHECK_EQ(f.revents, POLLIN | POLLRDHUP);
  CHECK_OK(shutdown(pair_c, SHUT_WR));
  for (int i = 0; i < 500 && !(f.revents & POLLHUP); i++) {
    CHECK_EQ(poll(&f, 1, 5000), 1);
    if (!(f.revents & POLLHUP)) msleep(2);
  }
  CHECK(f.revents & POLLHUP);
}

TEST(big_transfer_with_flow_control, accept, bind, connect, getsockname, listen, socket) {
  tcp_pair();
  pid_t pid = fork();
  size_t total = 4 << 20;
  if (!pid) {
    close(pair_s);
    for (size_t at = 0; at < total;) {
      size_t n = total - at < sizeof buf ? total - at : sizeof buf;
      for (size_t i = 0; i < n; i++) buf[i] = (at + i) % 253;
      ssize_t w = write(pair_c, buf, n);
      CHECK(w > 0);
      at += w;
    }
    _exit(0);
  }
  close(pair_c);
  size_t at = 0;
  ssize_t n;
  while ((n = read(pair_s, buf, sizeof buf)) > 0)
    for (ssize_t i = 0; i < n; i++, at++) CHECK_EQ((unsigned char)buf[i], at % 253);
  CHECK_EQ(n, 0);
  CHECK_EQ(at, total);
  WAIT_OK(pid);
}

TEST(nonblocking_send_fills, accept, bind, connect, getsockname, listen, sendto, shutdown, socket) {
  tcp_pair();
  CHECK_OK(fcntl(pair_c, F_SETFL, O_NONBLOCK));
  size_t sent = 0, got = 0;
  ssize_t n;
  for (int idle = 0; idle < 3;) { // the receive window opens for a while
    n = send(pair_c, buf, sizeof buf, 0);
    if (n > 0) sent += n, idle = 0;
    else {
      CHECK_EQ(errno, EAGAIN);
      idle++;
      msleep(5);
    }
    CHECK(sent < 64 << 20);
  }
  struct pollfd f = {pair_c, POLLOUT, 0};
  CHECK_EQ(poll(&f, 1, 0), 0);
  CHECK_OK(shutdown(pair_c, SHUT_WR));
  while ((n = read(pair_s, buf, sizeof buf)) > 0) got += n;
  CHECK_EQ(got, sent);
}

TEST(peek_and_fionread, accept, bind, connect, getsockname, ioctl, listen, recvfrom, socket) {
  tcp_pair();
  int n = 0;
  CHECK_EQ(write(pair_c, "abcdef", 6), 6);
  CHECK(wait_for(pair_s, POLLIN));
  CHECK_EQ(recv(pair_s, buf, 3, MSG_PEEK), 3);
  CHECK_OK(ioctl(pair_s, FIONREAD, &n));
  CHECK_EQ(n, 6);
  CHECK_EQ(recv(pair_s, buf, 3, 0), 3);
  CHECK_EQ(recv(pair_s, buf, 10, 0), 3);
  CHECK_ERRNO(recv(pair_s, buf, 10, MSG_DONTWAIT), EAGAIN);
}

TEST(socket_options, accept, bind, connect, getsockname, getsockopt, listen, setsockopt, socket) {
  int v, s = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  socklen_t n = sizeof v;
  CHECK_OK(setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
  CHECK_OK(getsockopt(s, IPPROTO_TCP, TCP_NODELAY, &v, &n));
  CHECK(v && n == 4);
  CHECK_OK(setsockopt(s, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on));
  CHECK_OK(getsockopt(s, SOL_SOCKET, SO_KEEPALIVE, &v, &n));
  CHECK_EQ(v, 1);
  int size = 20000;
  CHECK_OK(setsockopt(s, SOL_SOCKET, SO_RCVBUF, &size, sizeof size));
  CHECK_OK(getsockopt(s, SOL_SOCKET, SO_RCVBUF, &v, &n));
  CHECK_EQ(v, 40000);
  CHECK_OK(getsockopt(s, SOL_SOCKET, SO_PROTOCOL, &v, &n));
  CHECK_EQ(v, IPPROTO_TCP);
  CHECK_OK(getsockopt(s, SOL_SOCKET, SO_ACCEPTCONN, &v, &n));
  CHECK_EQ(v, 0);
  CHECK_OK(getsockopt(listener(1), SOL_SOCKET, SO_ACCEPTCONN, &v, &n));
  CHECK_EQ(v, 1);
  CHECK_ERRNO(setsockopt(s, SOL_SOCKET, SO_KEEPALIVE, &on, 1), EINVAL);
  CHECK_ERRNO(setsockopt(s, IPPROTO_TCP, 9999, &on, sizeof on), ENOPROTOOPT);
  struct tcp_info ti;
  n = sizeof ti;
  tcp_pair();
  CHECK_OK(getsockopt(pair_c, IPPROTO_TCP, TCP_INFO, &ti, &n));
  CHECK_EQ(ti.tcpi_state, 1); // established
}

TEST(udp_datagrams, bind, getsockname, recvfrom, sendto, socket) {
  struct sockaddr_in a = v4(0), from;
  int s = socket(AF_INET, SOCK_DGRAM, 0), c = socket(AF_INET, SOCK_DGRAM, 0);
  CHECK_OK(bind(s, (void *)&a, sizeof a));
  a = v4(port_of(s));
  CHECK_EQ(sendto(c, "first", 5, 0, (void *)&a, sizeof a), 5);
  CHECK_EQ(sendto(c, "", 0, 0, (void *)&a, sizeof a), 0);
  CHECK_EQ(sendto(c, "third", 5, 0, (void *)&a, sizeof a), 5);
  socklen_t n = sizeof from;
  CHECK_EQ(recvfrom(s, buf, 2, 0, (void *)&from, &n), 2);
  CHECK_EQ(from.sin_port, port_of(c));
  CHECK_EQ(recv(s, buf, 10, 0), 0);
  CHECK_EQ(recv(s, buf, 2, MSG_TRUNC), 5);
  CHECK_EQ(sendto(s, "back", 4, 0, (void *)&from, n), 4);
  CHECK_EQ(recv(c, buf, 10, 0), 4);
}

TEST(udp_connected, bind, connect, getpeername, getsockname, recvfrom, sendto, socket) {
  struct sockaddr_in a = v4(0);
  int s = socket(AF_INET, SOCK_DGRAM, 0), c = socket(AF_INET, SOCK_DGRAM, 0), other = socket(AF_INET, SOCK_DGRAM, 0);
  CHECK_OK(bind(s, (void *)&a, sizeof a));
  a = v4(port_of(s));
  CHECK_ERRNO(send(c, "x", 1, 0), EDESTADDRREQ);
  CHECK_OK(connect(c, (void *)&a, sizeof a));
  CHECK_EQ(send(c, "hi", 2, 0), 2);
  CHECK_EQ(recv(s, buf, 10, 0), 2);
  a = v4(port_of(c));
  CHECK_EQ(sendto(other, "stranger", 8, 0, (void *)&a, sizeof a), 8);
  CHECK_ERRNO(recv(c, buf, 10, MSG_DONTWAIT), EAGAIN); // only the peer is heard
  uint16_t gone = port_of(s);
  CHECK_OK(close(s));
  a = v4(gone);
  CHECK_EQ(send(c, "x", 1, 0), 1);
  CHECK(wait_for(c, POLLERR | POLLIN));
  CHECK_ERRNO(recv(c, buf, 1, 0), ECONNREFUSED);
  struct sockaddr un = {AF_UNSPEC, ""};
  CHECK_OK(connect(c, &un, sizeof un));
  CHECK_ERRNO(getpeername(c, (void *)&a, &(socklen_t){sizeof a}), ENOTCONN);
}

TEST(udp_v6_and_size_limit, bind, getsockname, recvfrom, sendto, socket) {
  struct sockaddr_in6 a = v6(0);
  int s = socket(AF_INET6, SOCK_DGRAM, 0);
  CHECK_OK(bind(s, (void *)&a, sizeof a));
  a = v6(port_of(s));
  CHECK_EQ(sendto(s, "self", 4, 0, (void *)&a, sizeof a), 4);
  CHECK_EQ(recv(s, buf, 10, 0), 4);
  int c = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in b = v4(htons(9));
  CHECK_ERRNO(sendto(c, buf, 65508, 0, (void *)&b, sizeof b), EMSGSIZE);
}

TEST(receive_timeout, accept, bind, connect, getsockname, listen, recvfrom, setsockopt, socket) {
  tcp_pair();
  struct timeval tv = {0, 30000};
  CHECK_OK(setsockopt(pair_c, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
  double start = now();
  CHECK_ERRNO(recv(pair_c, buf, 1, 0), EAGAIN);
  CHECK(now() - start >= 0.028);
}

TEST(many_connections, accept, bind, connect, getsockname, listen, recvfrom, socket) {
  int l = listener(100), c[60];
  for (int i = 0; i < 60; i++) {
    c[i] = dial(port_of(l));
    CHECK(c[i] >= 0);
  }
  for (int i = 0; i < 60; i++) {
    int s = accept(l, NULL, NULL);
    CHECK(s >= 0);
    CHECK_EQ(write(s, "k", 1), 1);
    CHECK_OK(close(s));
  }
  for (int i = 0; i < 60; i++) {
    CHECK_EQ(recv(c[i], buf, 10, MSG_WAITALL), 1);
    CHECK_EQ(recv(c[i], buf, 10, 0), 0);
  }
}

TEST(accept_on_closed_peer, accept, bind, connect, getsockname, listen, recvfrom, socket) {
  int l = listener(5), c = dial(port_of(l));
  CHECK_EQ(write(c, "gone", 4), 4);
  CHECK_OK(close(c));
  int s = accept(l, NULL, NULL);
  CHECK(s >= 0);
  CHECK_EQ(recv(s, buf, 10, MSG_WAITALL), 4);
  CHECK_EQ(recv(s, buf, 10, 0), 0);
}

TEST(loopback_interface, ioctl, socket) {
  struct {
    char name[16];
    union {
      struct sockaddr_in addr;
      short flags;
      int index;
      char pad[24];
    };
  } ifr = {.name = "lo"};
  int s = socket(AF_INET, SOCK_DGRAM, 0);
  CHECK_OK(ioctl(s, SIOCGIFFLAGS, &ifr));
  CHECK((ifr.flags & 9) == 9); // up, loopback
  CHECK_OK(ioctl(s, SIOCGIFADDR, &ifr));
  CHECK_EQ(ntohl(ifr.addr.sin_addr.s_addr), INADDR_LOOPBACK);
  CHECK_OK(ioctl(s, SIOCGIFINDEX, &ifr));
  CHECK_EQ(ifr.index, 1);
  strcpy(ifr.name, "absent0");
  CHECK_ERRNO(ioctl(s, SIOCGIFFLAGS, &ifr), ENODEV);
}
