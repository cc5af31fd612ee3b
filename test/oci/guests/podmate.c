// What containers of a pod share, seen from one of them: sockets of the loopback interface, abstract unix sockets, System V shared memory,
// POSIX message queues. `serve` forms stay; `get` forms print what another container has put there.
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define KEY 0x706f64
#define QUEUE "/pod"

static void fail(const char *what) {
  printf("%s: %s\n", what, strerror(errno));
  exit(1);
}

static struct sockaddr_in loopback(int port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return a;
}

static socklen_t abstract(struct sockaddr_un *a, const char *name) {
  *a = (struct sockaddr_un){.sun_family = AF_UNIX};
  strncpy(a->sun_path + 1, name, sizeof a->sun_path - 2);
  return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
}

static socklen_t named(struct sockaddr_un *a, const char *path) {
  *a = (struct sockaddr_un){.sun_family = AF_UNIX};
  strncpy(a->sun_path, path, sizeof a->sun_path - 1);
  return sizeof *a;
}

// Answers every connection with `text`.
static void serve(int family, const struct sockaddr *address, socklen_t size, const char *text) {
  int s = socket(family, SOCK_STREAM, 0), one = 1;
  setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(s, address, size) < 0) fail("bind");
  if (listen(s, 8) < 0) fail("listen");
  printf("ready\n");
  fflush(stdout);
  for (;;) {
    int c = accept(s, NULL, NULL);
    if (c < 0) fail("accept");
    if (write(c, text, strlen(text)) < 0) fail("write");
    close(c);
  }
}

static void get(int family, const struct sockaddr *address, socklen_t size) {
  char b[256];
  int s = socket(family, SOCK_STREAM, 0);
  if (connect(s, address, size) < 0) fail("connect");
  ssize_t n = read(s, b, sizeof b - 1);
  if (n < 0) fail("read");
  b[n] = 0;
  printf("%s\n", b);
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  const char *arg = argc > 2 ? argv[2] : "";
  const char *text = argc > 3 ? argv[3] : "";
  struct sockaddr_un u;
  if (!strcmp(what, "tcp-serve")) {
    struct sockaddr_in a = loopback(atoi(arg));
    serve(AF_INET, (struct sockaddr *)&a, sizeof a, text);
  } else if (!strcmp(what, "tcp-get")) {
    struct sockaddr_in a = loopback(atoi(arg));
    get(AF_INET, (struct sockaddr *)&a, sizeof a);
  } else if (!strcmp(what, "abstract-serve")) {
    socklen_t n = abstract(&u, arg);
    serve(AF_UNIX, (struct sockaddr *)&u, n, text);
  } else if (!strcmp(what, "abstract-get")) {
    socklen_t n = abstract(&u, arg);
    get(AF_UNIX, (struct sockaddr *)&u, n);
  } else if (!strcmp(what, "path-serve")) {
    socklen_t n = named(&u, arg);
    serve(AF_UNIX, (struct sockaddr *)&u, n, text);
  } else if (!strcmp(what, "path-get")) {
    socklen_t n = named(&u, arg);
    get(AF_UNIX, (struct sockaddr *)&u, n);
  } else if (!strcmp(what, "shm-put")) {
    int id = shmget(KEY, 4096, IPC_CREAT | 0600);
    char *p = id < 0 ? (void *)-1 : shmat(id, NULL, 0);
    if (p == (void *)-1) fail("shm");
    strcpy(p, arg);
    printf("put\n");
  } else if (!strcmp(what, "shm-get")) {
    int id = shmget(KEY, 4096, 0);
    char *p = id < 0 ? (void *)-1 : shmat(id, NULL, 0);
    if (p == (void *)-1) fail("shm");
    printf("%s\n", p);
  } else if (!strcmp(what, "mq-put")) {
    mqd_t q = mq_open(QUEUE, O_RDWR | O_CREAT, 0600, NULL);
    if (q < 0 || mq_send(q, arg, strlen(arg) + 1, 0) < 0) fail("mq");
    printf("put\n");
  } else if (!strcmp(what, "mq-get")) {
    char b[8192];
    mqd_t q = mq_open(QUEUE, O_RDONLY | O_NONBLOCK);
    if (q < 0 || mq_receive(q, b, sizeof b, NULL) < 0) fail("mq");
    printf("%s\n", b);
  } else {
    printf("podmate does not know %s\n", what);
    return 2;
  }
  return 0;
}
