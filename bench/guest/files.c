// Rows: calls that hardly do anything, files, pipes, names.
#include "bench.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { DATA_SIZE = 1 << 20 };

static int fd, pipe_fds[2];
static char buffer[65536];
static char name[4096];

int open_data(void) {
  snprintf(name, sizeof name, "%s/data", fixtures);
  return MUST(open(name, O_RDONLY | O_CLOEXEC));
}

int open_scratch(void) {
  snprintf(name, sizeof name, "%s/bench-data-%d", scratch, getpid());
  int file = MUST(open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  MUST(unlink(name));
  memset(buffer, 'x', sizeof buffer);
  for (long at = 0; at < DATA_SIZE; at += sizeof buffer) MUST(pwrite(file, buffer, sizeof buffer, at));
  return file;
}

static void op_getppid(long n) {
  while (n-- > 0) getppid();
}

// The wrapper would be answered by the vDSO.
static void op_clock_gettime(long n) {
  struct timespec t;
  while (n-- > 0) syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
}

static void op_sched_yield(long n) {
  while (n-- > 0) sched_yield();
}

static void open_zero(void) { fd = MUST(open("/dev/zero", O_RDONLY)); }
static void open_null(void) { fd = MUST(open("/dev/null", O_WRONLY)); }

static void op_read_1(long n) {
  while (n-- > 0) MUST(read(fd, buffer, 1));
}

static void op_write_1(long n) {
  while (n-- > 0) MUST(write(fd, buffer, 1));
}

static void open_pipe(void) { MUST(pipe(pipe_fds)); }

static void op_pipe(long n) {
  while (n-- > 0) {
    MUST(write(pipe_fds[1], buffer, 1));
    MUST(read(pipe_fds[0], buffer, 1));
  }
}

static void prepare_read(void) {
  fd = open_data();
  for (long at = 0; at < DATA_SIZE; at += sizeof buffer) MUST(pread(fd, buffer, sizeof buffer, at));
}

static void prepare_write(void) { fd = open_scratch(); }

static void positions(long n, long size, ssize_t (*transfer)(int, long, long)) {
  for (long at = 0; n-- > 0; at = (at + size) & (DATA_SIZE - 1))
    if (transfer(fd, size, at) != size) fail("%ld bytes at %ld: %m", size, at);
}

static ssize_t get(int file, long size, long at) { return pread(file, buffer, size, at); }
static ssize_t put(int file, long size, long at) { return pwrite(file, buffer, size, at); }
static void op_pread_4k(long n) { positions(n, 4096, get); }
static void op_pread_64k(long n) { positions(n, 65536, get); }
static void op_pwrite_4k(long n) { positions(n, 4096, put); }
static void op_pwrite_64k(long n) { positions(n, 65536, put); }

// A name that every program knows, or one in the middle of a crowd.
static void prepare_name(void) {
  if (crowd) snprintf(name, sizeof name, "%s/0", crowd);
  else strcpy(name, "/usr/bin/env");
  struct stat st;
  MUST(stat(name, &st));
  fd = MUST(open(name, O_RDONLY | O_CLOEXEC));
}

static void op_stat(long n) {
  struct stat st;
  while (n-- > 0) MUST(stat(name, &st));
}

static void op_fstat(long n) {
  struct stat st;
  while (n-- > 0) MUST(fstat(fd, &st));
}

static void op_open_close(long n) {
  while (n-- > 0) MUST(close(MUST(open(name, O_RDONLY))));
}

static void prepare_names(void) {
  if (crowd) snprintf(name, sizeof name, "%s", crowd);
  else snprintf(name, sizeof name, "%s/names-1000", fixtures);
  fd = MUST(open(name, O_RDONLY | O_DIRECTORY));
}

static void op_getdents(long n) {
  while (n-- > 0) {
    MUST(lseek(fd, 0, SEEK_SET));
    while (MUST(getdents64(fd, buffer, 32768)) > 0) continue;
  }
}

const struct row file_rows[] = {
    {"getppid", NULL, op_getppid},
    {"clock_gettime", NULL, op_clock_gettime},
    {"sched_yield", NULL, op_sched_yield},
    {"read-zero", open_zero, op_read_1},
    {"write-null", open_null, op_write_1},
    {"pipe", open_pipe, op_pipe},
    {"pread-4k", prepare_read, op_pread_4k},
    {"pwrite-4k", prepare_write, op_pwrite_4k},
    {"pread-64k", prepare_read, op_pread_64k},
    {"pwrite-64k", prepare_write, op_pwrite_64k},
    {"stat", prepare_name, op_stat},
    {"fstat", prepare_name, op_fstat},
    {"open-close", prepare_name, op_open_close},
    {"getdents-1000", prepare_names, op_getdents},
    {NULL, NULL, NULL},
};
