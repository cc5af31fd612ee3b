// /dev: null, zero, full, random, urandom, tty, ptmx, shm, fd, stdin.
#include "test.h"
#include <sys/sysmacros.h>

static char b[8192];

TEST(null) {
  int fd = open("/dev/null", O_RDWR);
  CHECK_EQ(read(fd, b, 10), 0);
  CHECK_EQ(write(fd, b, 5000), 5000);
  CHECK_EQ(lseek(fd, 100, SEEK_SET), 0);
  CHECK_OK(open("/dev/null", O_WRONLY | O_TRUNC | O_CREAT, 0666));
  CHECK_ERRNO(ftruncate(fd, 10), EINVAL);
}

TEST(zero) {
  int fd = open("/dev/zero", O_RDWR);
  memset(b, 1, sizeof b);
  CHECK_EQ(read(fd, b, sizeof b), sizeof b);
  for (size_t i = 0; i < sizeof b; i++) CHECK(b[i] == 0);
  CHECK_EQ(write(fd, b, 10), 10);
  char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  CHECK(p != MAP_FAILED && p[5000] == 0);
  p[5000] = 1;
  char *s = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  CHECK(s != MAP_FAILED);
  pid_t pid = fork();
  if (!pid) {
    s[0] = 7;
    _exit(0);
  }
  WAIT_OK(pid);
  CHECK_EQ(s[0], 7);
}

TEST(full) {
  int fd = open("/dev/full", O_RDWR);
  CHECK_ERRNO(write(fd, "x", 1), ENOSPC);
  memset(b, 1, 16);
  CHECK_EQ(read(fd, b, 16), 16);
  CHECK(b[7] == 0);
}

TEST(random_devices) {
  char c[64] = {0}, d[64] = {0};
  int r = open("/dev/random", O_RDONLY), u = open("/dev/urandom", O_RDWR);
  CHECK_EQ(read(r, c, 64), 64);
  CHECK_EQ(read(u, d, 64), 64);
  CHECK(memcmp(c, d, 64));
  CHECK_EQ(write(u, "seed", 4), 4);
}

TEST(numbers_and_modes) {
  struct {
    const char *path;
    int maj, min;
  } all[] = {{"/dev/null", 1, 3}, {"/dev/zero", 1, 5}, {"/dev/full", 1, 7},
           {"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    struct stat st;
    CHECK_OK(stat(all[i].path, &st));
    CHECK(S_ISCHR(st.st_mode));
    CHECK_EQ(st.st_rdev, makedev(all[i].maj, all[i].min));
    CHECK_EQ(st.st_mode & 0777, 0666);
  }
}

TEST(no_controlling_terminal) {
  pid_t pid = fork();
  if (!pid) {
    CHECK(setsid() > 0);
    CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
    _exit(0);
  }
  WAIT_OK(pid);
}

TEST(shm_directory) {
  struct stat st;
  CHECK_OK(stat("/dev/shm", &st));
  CHECK(S_ISDIR(st.st_mode) && (st.st_mode & 07777) == 01777);
  char name[64];
  snprintf(name, sizeof name, "/rf-test-%d", getpid());
  int fd = shm_open(name, O_CREAT | O_EXCL | O_RDWR, 0600);
  CHECK(fd >= 0);
  CHECK_OK(ftruncate(fd, 4096));
  char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  strcpy(p, "shared");
  int again = shm_open(name, O_RDONLY, 0);
  CHECK_OK(shm_unlink(name));
  CHECK_EQ(read(again, b, 6), 6);
  CHECK(!memcmp(b, "shared", 6));
  CHECK_ERRNO(shm_open(name, O_RDONLY, 0), ENOENT);
}

TEST(fd_links) {
  put_file("f", "abc");
  int fd = open("f", O_RDONLY);
  char path[64];
  snprintf(path, sizeof path, "/dev/fd/%d", fd);
  int again = open(path, O_RDONLY);
  CHECK(again >= 0);
  CHECK_EQ(read(again, b, 10), 3);
  CHECK_EQ(dup2(fd, 0), 0);
  again = open("/dev/stdin", O_RDONLY);
  CHECK_EQ(read(again, b, 10), 3);
}

TEST(ptmx_gives_new_terminals, access, ioctl) {
  int a = open("/dev/ptmx", O_RDWR | O_NOCTTY), c = open("/dev/ptmx", O_RDWR | O_NOCTTY);
  CHECK(a >= 0 && c >= 0);
  char n1[32], n2[32];
  CHECK_EQ(ptsname_r(a, n1, 32), 0);
  CHECK_EQ(ptsname_r(c, n2, 32), 0);
  CHECK(strcmp(n1, n2));
  CHECK_OK(access(n1, F_OK));
  CHECK_OK(close(a));
  CHECK_ERRNO(access(n1, F_OK), ENOENT);
}
