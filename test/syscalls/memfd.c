// memfd_create and seals.
#include "test.h"

static int seals(int fd) { return fcntl(fd, F_GET_SEALS); }

TEST(basic, memfd_create) {
  int fd = memfd_create("hello", MFD_CLOEXEC);
  CHECK(fd >= 0);
  CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
  CHECK_EQ(write(fd, "abc", 3), 3);
  struct stat st;
  CHECK_OK(fstat(fd, &st));
  CHECK(S_ISREG(st.st_mode) && st.st_size == 3);
  CHECK_EQ(st.st_mode & 07777, 0777);
  char path[64], name[128] = "";
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  CHECK(readlink(path, name, sizeof name) > 0);
  CHECK_STR(name, "/memfd:hello (deleted)");
  int again = open(path, O_RDONLY);
  CHECK(again >= 0);
  CHECK_EQ(read(again, name, 8), 3);
}

TEST(errors, memfd_create) {
  CHECK_ERRNO(memfd_create("x", 0x800), EINVAL);
  char name[300];
  memset(name, 'n', sizeof name);
  name[250] = 0;
  CHECK_ERRNO(memfd_create(name, 0), EINVAL);
  name[249] = 0;
  CHECK_OK(memfd_create(name, 0));
  CHECK_ERRNO(memfd_create((char *)8, 0), EFAULT);
}

TEST(without_sealing, memfd_create) {
  int fd = memfd_create("x", 0);
  CHECK_EQ(seals(fd), F_SEAL_SEAL);
  CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
  put_file("f", "");
  CHECK_ERRNO(fcntl(open("f", O_RDWR), F_GET_SEALS), EINVAL);
}

TEST(seal_grow_and_shrink, memfd_create, pwrite64) {
  int fd = memfd_create("x", MFD_ALLOW_SEALING);
  CHECK_EQ(seals(fd), 0);
  CHECK_OK(ftruncate(fd, 100));
  CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
  CHECK_ERRNO(ftruncate(fd, 200), EPERM);
  CHECK_OK(ftruncate(fd, 50));
  CHECK_ERRNO(pwrite(fd, "x", 1, 5000), EPERM);
  CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
  CHECK_ERRNO(ftruncate(fd, 10), EPERM);
  CHECK_EQ(pwrite(fd, "x", 1, 0), 1);
  CHECK_EQ(seals(fd), F_SEAL_GROW | F_SEAL_SHRINK);
}

TEST(seal_write, memfd_create, mmap, write) {
  int fd = memfd_create("x", MFD_ALLOW_SEALING);
  CHECK_OK(ftruncate(fd, 4096));
  void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  CHECK(p != MAP_FAILED);
  CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
  CHECK_OK(munmap(p, 4096));
  CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
  CHECK_ERRNO(write(fd, "x", 1), EPERM);
  CHECK_ERRNO(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), EPERM);
  CHECK_OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
}

TEST(seal_seal, memfd_create) {
  int fd = memfd_create("x", MFD_ALLOW_SEALING);
  CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
  CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
  fd = memfd_create("x", MFD_ALLOW_SEALING);
  CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, 0x1000), EINVAL);
}

TEST(shared_between_processes, memfd_create, mmap, pread64, pwrite64) {
  int fd = memfd_create("x", 0);
  CHECK_OK(ftruncate(fd, 4096));
  pid_t pid = fork();
  if (!pid) {
    char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(p != MAP_FAILED);
    strcpy(p, "from child");
    _exit(0);
  }
  WAIT_OK(pid);
  char *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
  CHECK_STR(p, "from child");
  char b[16] = "";
  CHECK_EQ(pread(fd, b, 10, 0), 10);
  CHECK_STR(b, "from child");
  CHECK_EQ(pwrite(fd, "F", 1, 0), 1);
  CHECK_EQ(p[0], 'F');
}
