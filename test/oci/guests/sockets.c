// A guest for tests of donated sockets: does what its arguments say, one after another, and prints one line each.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *name_of(int e) { return e == 0 ? "ok" : strerrorname_np(e); }
static int option(int fd, int level, int name) {
  int v = -1;
  socklen_t n = sizeof v;
  return getsockopt(fd, level, name, &v, &n) == 0 ? v : -errno;
}

static void show(int fd) {
  struct stat st;
  struct sockaddr_storage a = {0};
  socklen_t n = sizeof a;
  fstat(fd, &st);
  printf("fd %d: socket=%d domain=%d type=%d", fd, S_ISSOCK(st.st_mode), option(fd, SOL_SOCKET, SO_DOMAIN), option(fd, SOL_SOCKET, SO_TYPE));
  printf(" protocol=%d listening=%d", option(fd, SOL_SOCKET, SO_PROTOCOL), option(fd, SOL_SOCKET, SO_ACCEPTCONN));
  printf(" error=%d", option(fd, SOL_SOCKET, SO_ERROR));
  const int r = getsockname(fd, (struct sockaddr *)&a, &n);
  printf(" name=%d/%s", r == 0 ? a.ss_family : -1, name_of(r == 0 ? 0 : errno));
  n = sizeof a;
  printf(" peer=%s\n", name_of(getpeername(fd, (struct sockaddr *)&a, &n) == 0 ? 0 : errno));
}

static void wait_for(int fd, short events) {
  struct pollfd p = {fd, events, 0};
  poll(&p, 1, 30000);
}

// Takes one connection by epoll and answers what it says with its length.
static void serve(int fd) {
  int ep = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event ev = {.events = EPOLLIN, .data = {.fd = fd}};
  epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
  int n = epoll_wait(ep, &ev, 1, 30000);
  struct sockaddr_storage a;
  socklen_t len = sizeof a;
  int c = accept4(fd, (struct sockaddr *)&a, &len, SOCK_CLOEXEC);
  if (c < 0) {
    printf("accept: %d %s\n", n, name_of(errno));
    return;
  }
  char text[256];
  ssize_t got = recv(c, text, sizeof text - 1, 0);
  text[got > 0 ? got : 0] = 0;
  printf("accepted family %d, nodelay %d: %s\n", a.ss_family,
         a.ss_family == AF_INET ? setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)) : 0, text);
  dprintf(c, "you said %zd bytes", got);
  shutdown(c, SHUT_WR);
  char rest;
  printf("then %zd\n", recv(c, &rest, 1, 0));
  close(c);
  close(ep);
}

static void receive(int fd) {
  char text[64];
  char control[CMSG_SPACE(sizeof(int) * 4)];
  struct iovec iov = {text, sizeof text - 1};
  struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  ssize_t n = recvmsg(fd, &m, 0);
  text[n > 0 ? n : 0] = 0;
  printf("received %zd: %s%s\n", n, n < 0 ? name_of(errno) : text, (m.msg_flags & MSG_TRUNC) != 0 ? " (cut)" : "");
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    int got;
    memcpy(&got, CMSG_DATA(c), sizeof got);
    char inner[64] = "";
    const ssize_t k = read(got, inner, sizeof inner - 1);
    printf("with a descriptor that reads %zd: %s\n", k, inner);
    close(got);
  }
}

// Sends descriptor `what` over `fd`.
static void give(int fd, int what) {
  char control[CMSG_SPACE(sizeof(int))];
  memset(control, 0, sizeof control);
  struct iovec iov = {"fd", 2};
  struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr *c = CMSG_FIRSTHDR(&m);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(c), &what, sizeof what);
  const ssize_t n = sendmsg(fd, &m, MSG_NOSIGNAL);
  printf("gave: %s\n", name_of(n < 0 ? errno : 0));
}

int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (int i = 1; i < argc; i++) {
    char *p = strchr(argv[i], ':');
    const int fd = p ? atoi(p + 1) : 0;
    if (p) *p = 0;
    if (!strcmp(argv[i], "env")) printf("LISTEN_FDS=%s LISTEN_PID=%s pid=%d\n", getenv("LISTEN_FDS"), getenv("LISTEN_PID"), getpid());
    else if (!strcmp(argv[i], "show")) show(fd);
    else if (!strcmp(argv[i], "serve")) serve(fd);
    else if (!strcmp(argv[i], "receive")) receive(fd);
    else if (!strcmp(argv[i], "wait")) wait_for(fd, POLLIN);
    else if (!strcmp(argv[i], "send")) printf("sent: %s\n", name_of(send(fd, "from the guest", 14, MSG_NOSIGNAL) < 0 ? errno : 0));
    else if (!strcmp(argv[i], "give")) give(fd, fd);
    else if (!strcmp(argv[i], "giveown")) give(fd, open("/bin/sockets", O_RDONLY));
    else if (!strcmp(argv[i], "listen")) printf("listen: %s\n", name_of(listen(fd, 5) < 0 ? errno : 0));
    else if (!strcmp(argv[i], "connect")) {
      struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr = {htonl(INADDR_LOOPBACK)}};
      printf("connect: %s\n", name_of(connect(fd, (struct sockaddr *)&a, sizeof a) < 0 ? errno : 0));
    } else if (!strcmp(argv[i], "shut")) printf("shutdown: %s\n", name_of(shutdown(fd, SHUT_RDWR) < 0 ? errno : 0));
    else if (!strcmp(argv[i], "open")) printf("F_GETFD %d: %s\n", fd, name_of(fcntl(fd, F_GETFD) < 0 ? errno : 0));
  }
  return 0;
}
