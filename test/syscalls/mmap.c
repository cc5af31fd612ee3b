// mmap, munmap, mprotect, mremap, madvise, brk, mincore, faults, /proc/self/maps.
#include "test.h"
#include <setjmp.h>

#define PAGE 4096ul
#define RW (PROT_READ | PROT_WRITE)

static void *anon(size_t n) {
  void *p = mmap(NULL, n, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(p != MAP_FAILED);
  return p;
}

static sigjmp_buf back;
static siginfo_t fault;
static void on_fault(int sig, siginfo_t *si, void *ctx) {
  (void)sig, (void)ctx;
  fault = *si;
  siglongjmp(back, 1);
}
static void catch_faults(void) {
  struct sigaction sa = {.sa_flags = SA_SIGINFO};
  sa.sa_sigaction = on_fault;
  CHECK_OK(sigaction(SIGSEGV, &sa, NULL));
  CHECK_OK(sigaction(SIGBUS, &sa, NULL));
}
#define CHECK_FAULT(stmt, sig, code, addr)                                                                         \
  do {                                                                                                             \
    if (!sigsetjmp(back, 1)) {                                                                                     \
      stmt;                                                                                                        \
      FAIL("%s did not fault", #stmt);                                                                             \
    }                                                                                                              \
    CHECK_EQ(fault.si_signo, sig);                                                                                 \
    CHECK_EQ(fault.si_code, code);                                                                                 \
    CHECK_EQ(fault.si_addr, addr);                                                                                 \
  } while (0)

TEST(anonymous_is_zero, mmap, munmap) {
  char *p = anon(3 * PAGE);
  for (size_t i = 0; i < 3 * PAGE; i++) CHECK(p[i] == 0);
  CHECK_EQ((uintptr_t)p % PAGE, 0);
  p[PAGE] = 1;
  CHECK_OK(munmap(p, 3 * PAGE));
}

TEST(mmap_errors, mmap) {
  CHECK_ERRNO(mmap(NULL, 0, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), EINVAL);
  CHECK_ERRNO(mmap(NULL, PAGE, RW, MAP_ANONYMOUS, -1, 0), EINVAL);
  CHECK_ERRNO(mmap(NULL, PAGE, RW, MAP_PRIVATE, -1, 0), EBADF);
  CHECK_ERRNO(mmap((void *)1, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), EINVAL);
  CHECK_ERRNO(mmap(NULL, 1ul << 50, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
  put_file("f", "x");
  int fd = open("f", O_RDONLY), w = open("f", O_WRONLY);
  CHECK_ERRNO(syscall(SYS_mmap, NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 1), EINVAL);
  CHECK_ERRNO(mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0), EACCES);
  CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, w, 0), EACCES);
  CHECK_OK(mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0));
  int p[2];
  CHECK_OK(pipe(p));
  CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, p[0], 0), ENODEV);
}

TEST(munmap_errors_and_holes, mmap, munmap) {
  char *p = anon(3 * PAGE);
  CHECK_ERRNO(munmap(p + 1, PAGE), EINVAL);
  CHECK_ERRNO(munmap(p, 0), EINVAL);
  CHECK_OK(munmap(p + PAGE, PAGE));
  CHECK_OK(munmap(p + PAGE, PAGE)); // nothing there: no error
  p[0] = p[2 * PAGE] = 1;
  catch_faults();
  CHECK_FAULT(p[PAGE] = 1, SIGSEGV, SEGV_MAPERR, p + PAGE);
}

TEST(fixed_replaces, mmap) {
  char *p = anon(3 * PAGE);
  memset(p, 'x', 3 * PAGE);
  CHECK(mmap(p + PAGE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p + PAGE);
  CHECK(p[PAGE - 1] == 'x' && p[PAGE] == 0 && p[2 * PAGE] == 'x');
}

TEST(fixed_noreplace, mmap, munmap) {
  char *p = anon(2 * PAGE);
  CHECK_ERRNO(mmap(p, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
  CHECK_OK(munmap(p + PAGE, PAGE));
  CHECK_ERRNO(mmap(p, 2 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
  CHECK(mmap(p + PAGE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == p + PAGE);
}

TEST(hint_is_honoured, mmap, munmap) {
  char *p = anon(16 * PAGE);
  CHECK_OK(munmap(p, 16 * PAGE));
  CHECK(mmap(p + 4 * PAGE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == p + 4 * PAGE);
  char *q = mmap(p + 4 * PAGE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(q != MAP_FAILED && q != p + 4 * PAGE);
}

TEST(private_file, mmap, pread64) {
  put_file("f", "file content");
  int fd = open("f", O_RDWR);
  char *p = mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0);
  CHECK(!memcmp(p, "file content", 12));
  CHECK_EQ(p[12], 0);
  p[0] = 'X';
  char c;
  CHECK_EQ(pread(fd, &c, 1, 0), 1);
  CHECK_EQ(c, 'f');
  CHECK_OK(close(fd));
  CHECK_EQ(p[1], 'i');
}

TEST(shared_file, mmap, msync, munmap, pread64, pwrite64) {
  put_file("f", "file content");
  int fd = open("f", O_RDWR);
  char *p = mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0), *q = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
  CHECK(p != MAP_FAILED && q != MAP_FAILED && p != q);
  p[0] = 'X';
  CHECK_EQ(q[0], 'X');
  char c;
  CHECK_EQ(pread(fd, &c, 1, 0), 1);
  CHECK_EQ(c, 'X');
  CHECK_EQ(pwrite(fd, "Y", 1, 1), 1);
  CHECK_EQ(p[1], 'Y');
  CHECK_OK(msync(p, PAGE, MS_SYNC));
  CHECK_OK(munmap(p, PAGE));
  CHECK(get_file("f")[0] == 'X');
}

TEST(file_offset, mmap, pwrite64) {
  int fd = open("f", O_RDWR | O_CREAT, 0600);
  for (int i = 0; i < 4; i++) CHECK_EQ(pwrite(fd, &"abcd"[i], 1, i * PAGE), 1);
  char *p = mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fd, 2 * PAGE);
  CHECK(p[0] == 'c' && p[PAGE] == 'd');
}

TEST(sigbus_behind_the_end, mmap) {
  put_file("f", "x");
  int fd = open("f", O_RDWR);
  char *p = mmap(NULL, 3 * PAGE, RW, MAP_SHARED, fd, 0);
  catch_faults();
  CHECK_FAULT(p[PAGE + 5] = 1, SIGBUS, BUS_ADRERR, p + PAGE + 5);
  CHECK_OK(ftruncate(fd, 2 * PAGE));
  p[PAGE + 5] = 1;
  CHECK_OK(ftruncate(fd, 1));
  CHECK_FAULT(p[PAGE + 5] = 1, SIGBUS, BUS_ADRERR, p + PAGE + 5);
  CHECK_EQ(p[1], 0);
}

TEST(fault_codes, mmap, mprotect) {
  char *p = anon(2 * PAGE);
  catch_faults();
  CHECK_OK(mprotect(p, PAGE, PROT_READ));
  CHECK_FAULT(p[123] = 1, SIGSEGV, SEGV_ACCERR, p + 123);
  CHECK_OK(mprotect(p, PAGE, PROT_NONE));
  CHECK_FAULT(*(volatile char *)(p + 5), SIGSEGV, SEGV_ACCERR, p + 5);
  CHECK_FAULT(*(volatile char *)16, SIGSEGV, SEGV_MAPERR, 16);
  CHECK_FAULT(((void (*)(void))(p + PAGE))(), SIGSEGV, SEGV_ACCERR, p + PAGE);
  volatile char *odd = (char *)0x800000000000ull; // not canonical: no address is given
  CHECK_FAULT(*odd = 1, SIGSEGV, SI_KERNEL, 0);
}

TEST(mprotect_errors, mmap, mprotect, munmap) {
  char *p = anon(3 * PAGE);
  CHECK_ERRNO(mprotect(p + 1, PAGE, PROT_READ), EINVAL);
  CHECK_OK(mprotect(p, 0, PROT_READ));
  CHECK_OK(munmap(p + PAGE, PAGE));
  CHECK_ERRNO(mprotect(p, 3 * PAGE, PROT_READ), ENOMEM);
  CHECK_ERRNO(mprotect(p, PAGE, 0x70000000), EINVAL);
  put_file("f", "x");
  char *q = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, open("f", O_RDONLY), 0);
  CHECK_ERRNO(mprotect(q, PAGE, RW), EACCES);
}

TEST(code_can_be_made_and_run, mmap, mprotect) {
  unsigned char *p = anon(PAGE);
  memcpy(p, "\xb8\x2a\x00\x00\x00\xc3", 6); // mov $42,%eax; ret
  CHECK_OK(mprotect(p, PAGE, PROT_READ | PROT_EXEC));
  CHECK_EQ(((int (*)(void))p)(), 42);
}

TEST(mremap_grow_and_shrink, mmap, mremap) {
  char *p = anon(4 * PAGE);
  memset(p, 'x', 4 * PAGE);
  CHECK(mremap(p, 4 * PAGE, 2 * PAGE, 0) == p);
  CHECK(mremap(p, 2 * PAGE, 4 * PAGE, 0) == p);
  CHECK(p[2 * PAGE - 1] == 'x' && p[2 * PAGE] == 0);
  CHECK(mmap(p + 2 * PAGE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED);
  char *a = anon(2 * PAGE);
  a[0] = 'a';
  CHECK(mmap(a + PAGE, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED);
  CHECK_ERRNO(mremap(a, PAGE, 2 * PAGE, 0), ENOMEM);
  char *b = mremap(a, PAGE, 2 * PAGE, MREMAP_MAYMOVE);
  CHECK(b != MAP_FAILED && b != a && b[0] == 'a' && b[PAGE] == 0);
  catch_faults();
  CHECK_FAULT(a[0] = 1, SIGSEGV, SEGV_MAPERR, a);
}

TEST(mremap_fixed_and_dontunmap, mmap, mremap) {
  char *p = anon(PAGE), *area = anon(4 * PAGE);
  p[0] = 'p';
  area[PAGE] = 'q';
  CHECK(mremap(p, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, area + PAGE) == area + PAGE);
  CHECK_EQ(area[PAGE], 'p');
  char *d = mremap(area + PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0);
  CHECK(d != MAP_FAILED && d != area + PAGE && d[0] == 'p');
  CHECK_EQ(area[PAGE], 0);
  CHECK_ERRNO(mremap(p + 1, PAGE, PAGE, MREMAP_MAYMOVE), EINVAL);
  CHECK_ERRNO(mremap(area, PAGE, 0, MREMAP_MAYMOVE), EINVAL);
  CHECK_ERRNO(mremap(area, PAGE, PAGE, MREMAP_FIXED, area), EINVAL);
  CHECK_ERRNO(mremap((void *)(PAGE * 4), PAGE, 2 * PAGE, MREMAP_MAYMOVE), EFAULT);
}

TEST(madvise_dontneed, madvise, mmap, munmap) {
  char *p = anon(2 * PAGE);
  memset(p, 'x', 2 * PAGE);
  CHECK_OK(madvise(p, PAGE, MADV_DONTNEED));
  CHECK(p[0] == 0 && p[PAGE] == 'x');
  put_file("f", "abc");
  char *q = mmap(NULL, PAGE, RW, MAP_PRIVATE, open("f", O_RDONLY), 0);
  q[0] = 'Z';
  CHECK_OK(madvise(q, PAGE, MADV_DONTNEED));
  CHECK_EQ(q[0], 'a');
  CHECK_ERRNO(madvise(p + 1, PAGE, MADV_NORMAL), EINVAL);
  CHECK_ERRNO(madvise(p, PAGE, 12345), EINVAL);
  CHECK_OK(munmap(p, PAGE));
  CHECK_ERRNO(madvise(p, 2 * PAGE, MADV_DONTNEED), ENOMEM);
}

TEST(madvise_fork_behaviour, madvise, mmap) {
  char *p = anon(2 * PAGE);
  p[0] = p[PAGE] = 'x';
  CHECK_OK(madvise(p, PAGE, MADV_DONTFORK));
  CHECK_OK(madvise(p + PAGE, PAGE, MADV_WIPEONFORK));
  pid_t pid = fork();
  if (!pid) {
    catch_faults();
    CHECK_EQ(p[PAGE], 0);
    CHECK_FAULT(p[0] = 1, SIGSEGV, SEGV_MAPERR, p);
    _exit(0);
  }
  WAIT_OK(pid);
  CHECK(p[0] == 'x' && p[PAGE] == 'x');
}

TEST(fork_copies_private_shares_shared, mmap) {
  char *a = anon(PAGE), *s = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  a[0] = s[0] = 'p';
  pid_t pid = fork();
  if (!pid) {
    CHECK(a[0] == 'p' && s[0] == 'p');
    a[0] = s[0] = 'c';
    _exit(0);
  }
  WAIT_OK(pid);
  CHECK(a[0] == 'p' && s[0] == 'c');
}

TEST(brk_moves, brk) {
  char *b = sbrk(0);
  CHECK_OK(brk(b + 5 * PAGE));
  CHECK(sbrk(0) == b + 5 * PAGE);
  b[5 * PAGE - 1] = 'x';
  CHECK_EQ(b[0], 0);
  CHECK_OK(brk(b));
  CHECK_OK(brk(b + 5 * PAGE));
  CHECK_EQ(b[5 * PAGE - 1], 0);
  CHECK_EQ(syscall(SYS_brk, 0), (long)(b + 5 * PAGE));
  CHECK_EQ(syscall(SYS_brk, 1ul << 46), (long)(b + 5 * PAGE)); // refused: the old end is returned
}

TEST(mincore_residency, mincore, mmap, munmap) {
  unsigned char v[3];
  char *p = anon(3 * PAGE);
  p[0] = p[2 * PAGE] = 1;
  CHECK_OK(mincore(p, 3 * PAGE, v));
  CHECK((v[0] & 1) && (v[2] & 1));
  CHECK_ERRNO(mincore(p + 1, PAGE, v), EINVAL);
  CHECK_OK(munmap(p, PAGE));
  CHECK_ERRNO(mincore(p, PAGE, v), ENOMEM);
}

TEST(mlock_and_msync, mlock, mmap, msync, munlock, munmap) {
  char *p = anon(2 * PAGE);
  CHECK_OK(mlock(p, PAGE));
  CHECK_OK(munlock(p, PAGE));
  CHECK_ERRNO(msync(p + 1, PAGE, MS_SYNC), EINVAL);
  CHECK_ERRNO(msync(p, PAGE, MS_SYNC | MS_ASYNC), EINVAL);
  CHECK_OK(munmap(p, PAGE));
  CHECK_ERRNO(msync(p, PAGE, MS_SYNC), ENOMEM);
  CHECK_ERRNO(mlock(p, PAGE), ENOMEM);
}

static int find_map(const void *addr, char *perms, char *name) {
  FILE *f = fopen("/proc/self/maps", "r");
  CHECK(f);
  char line[600];
  while (fgets(line, sizeof line, f)) {
    unsigned long a, b;
    int at = 0;
    CHECK(sscanf(line, "%lx-%lx %4s %*x %*x:%*x %*u %n", &a, &b, perms, &at) == 3 && at > 0);
    if ((unsigned long)addr >= a && (unsigned long)addr < b) {
      strcpy(name, line + at);
      name[strcspn(name, "\n")] = 0;
      fclose(f);
      return (b - a) / PAGE;
    }
  }
  fclose(f);
  return 0;
}

TEST(proc_maps, getcwd, mmap, mprotect, munmap) {
  char perms[5], name[512], cwd[PATH_MAX], want[PATH_MAX + 8];
  char *guard = mmap(NULL, 5 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *p = guard + PAGE;
  CHECK_OK(mprotect(p, 3 * PAGE, RW));
  CHECK_EQ(find_map(p, perms, name), 3);
  CHECK_STR(perms, "rw-p");
  CHECK_STR(name, "");
  CHECK_OK(mprotect(p + PAGE, PAGE, PROT_READ));
  CHECK_EQ(find_map(p + PAGE, perms, name), 1);
  CHECK_STR(perms, "r--p");
  CHECK_OK(mprotect(p + PAGE, PAGE, RW));
  CHECK_EQ(find_map(p, perms, name), 3); // merged again
  put_file("mapped", "x");
  char *q = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, open("mapped", O_RDONLY), 0);
  CHECK(q != MAP_FAILED);
  CHECK_EQ(find_map(q, perms, name), 1);
  CHECK_STR(perms, "r-xs");
  CHECK(getcwd(cwd, sizeof cwd));
  snprintf(want, sizeof want, "%s/mapped", cwd);
  CHECK_STR(name, want);
  CHECK(find_map(&perms, perms, name) > 0);
  CHECK_STR(name, "[stack]");
  CHECK(find_map((void *)find_map, perms, name) > 0);
  CHECK_STR(perms, "r-xp");
  CHECK_STR(name, test_self);
  CHECK_OK(munmap(p, PAGE));
  CHECK_EQ(find_map(p, perms, name), 0);
}

TEST(growsdown_stack_grows) {
  volatile char *deep = __builtin_alloca(1 << 20);
  for (int i = (1 << 20) - 1; i >= 0; i -= 4096) deep[i] = 1;
  deep[0] = 2;
  CHECK_EQ(deep[0], 2);
}

TEST(many_mappings, mmap, mprotect, munmap) {
  char *area = mmap(NULL, 2000 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  for (int i = 0; i < 2000; i += 2) CHECK_OK(mprotect(area + i * PAGE, PAGE, RW));
  for (int i = 0; i < 2000; i += 2) area[i * PAGE] = i;
  for (int i = 0; i < 2000; i += 2) CHECK_EQ((unsigned char)area[i * PAGE], i & 255);
  CHECK_OK(munmap(area, 2000 * PAGE));
}

TEST(read_into_fresh_mapping, mmap, munmap, pread64, read) {
  put_file("f", "content");
  int fd = open("f", O_RDONLY);
  char *p = anon(PAGE), *ro = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK_EQ(read(fd, p, 7), 7);
  CHECK(!memcmp(p, "content", 7));
  CHECK_ERRNO(pread(fd, ro, 7, 0), EFAULT);
  char *half = anon(2 * PAGE);
  CHECK_OK(munmap(half + PAGE, PAGE));
  CHECK_EQ(pread(fd, half + PAGE - 3, 3, 0), 3);
}

TEST(process_vm_calls, process_vm_readv, process_vm_writev) {
  char src[16] = "remote bytes", dst[16] = "";
  struct iovec { void *p; size_t n; } l = {dst, 12}, r = {src, 12};
  CHECK_EQ(syscall(SYS_process_vm_readv, getpid(), &l, 1, &r, 1, 0), 12);
  CHECK_STR(dst, "remote bytes");
  strcpy(dst, "changed");
  CHECK_EQ(syscall(SYS_process_vm_writev, getpid(), &l, 1, &r, 1, 0), 12);
  CHECK_STR(src, "changed");
  r.p = (void *)8;
  CHECK_ERRNO(syscall(SYS_process_vm_readv, getpid(), &l, 1, &r, 1, 0), EFAULT);
  CHECK_ERRNO(syscall(SYS_process_vm_readv, 0x3fffff, &l, 1, &r, 1, 0), ESRCH);
}
