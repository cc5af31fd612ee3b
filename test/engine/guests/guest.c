// What the engine's tests run as a guest: guest NAME. Built with glibc, static. Prints "ok NAME" when all is as on Linux.
#define _GNU_SOURCE
#include <cpuid.h>
#include <immintrin.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SYS_SET_HANDLER 1000 // (address): faults go there
#define SYS_ASK 1001         // (what, ...): the test answers

static void fail(const char *what) {
  printf("FAILED: %s\n", what);
  fflush(stdout);
  _exit(1);
}

#define MUST(e) ((e) ? (void)0 : fail(#e))

// Registers and flags over a system call.
static void registers(void) {
  uint64_t in[16], out[16], flags = 0;
  uint64_t *from = in, *to = out, *seen = &flags;
  for (int i = 0; i < 16; i++) in[i] = 0x1111111111111111ULL * (uint64_t)(i + 1) ^ 0x8000000000000001ULL;
  __asm__ volatile("push %%rbp\n"
                   "push %%rbx\n"
                   "push %[out]\n"
                   "push %[flags]\n"
                   "mov %[in], %%rax\n"
                   "mov 0(%%rax), %%rbx\n"
                   "mov 8(%%rax), %%rbp\n"
                   "mov 16(%%rax), %%rdx\n"
                   "mov 24(%%rax), %%rsi\n"
                   "mov 32(%%rax), %%rdi\n"
                   "mov 40(%%rax), %%r8\n"
                   "mov 48(%%rax), %%r9\n"
                   "mov 56(%%rax), %%r10\n"
                   "mov 64(%%rax), %%r12\n"
                   "mov 72(%%rax), %%r13\n"
                   "mov 80(%%rax), %%r14\n"
                   "mov 88(%%rax), %%r15\n"
                   "mov $39, %%eax\n"
                   "std\n"
                   "stc\n"
                   "syscall\n"
                   "1: pushfq\n"
                   "cld\n"
                   "push %%rax\n"
                   "lea 1b(%%rip), %%rax\n"
                   "cmp %%rax, %%rcx\n"
                   "je 2f\n"
                   "ud2\n"
                   "2: pop %%rcx\n"
                   "pop %%r11\n"
                   "pop %%rax\n"
                   "mov %%r11, (%%rax)\n"
                   "pop %%rax\n"
                   "mov %%rbx, 0(%%rax)\n"
                   "mov %%rbp, 8(%%rax)\n"
                   "mov %%rdx, 16(%%rax)\n"
                   "mov %%rsi, 24(%%rax)\n"
                   "mov %%rdi, 32(%%rax)\n"
                   "mov %%r8, 40(%%rax)\n"
                   "mov %%r9, 48(%%rax)\n"
                   "mov %%r10, 56(%%rax)\n"
                   "mov %%r12, 64(%%rax)\n"
                   "mov %%r13, 72(%%rax)\n"
                   "mov %%r14, 80(%%rax)\n"
                   "mov %%r15, 88(%%rax)\n"
                   "mov %%rcx, 96(%%rax)\n"
                   "pop %%rbx\n"
                   "pop %%rbp\n"
                   : [in] "+c"(from), [out] "+S"(to), [flags] "+D"(seen)
                   :
                   : "rax", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
  MUST(memcmp(in, out, 12 * 8) == 0);
  MUST(out[12] == (uint64_t)getpid());
  MUST((flags & 0x401) == 0x401);
}

static int has_avx(void) {
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_AVX) && (c & bit_OSXSAVE);
}

static int has_avx512(void) {
  unsigned a, b, c, d;
  if (!has_avx() || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & bit_AVX512F)) return 0;
  unsigned lo, hi;
  __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
  return (lo & 0xe6) == 0xe6;
}

__attribute__((target("avx"))) static void vector_avx(void) {
  uint64_t in[16][4], out[16][4];
  for (int i = 0; i < 64; i++) in[i / 4][i % 4] = 0x0123456789abcdefULL * (uint64_t)(i + 3);
  long nr = 39;
#define LOAD(n) "vmovups " #n "*32(%1), %%ymm" #n "\n"
#define STORE(n) "vmovups %%ymm" #n ", " #n "*32(%2)\n"
#define ALL(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
  __asm__ volatile(ALL(LOAD) "syscall\n" ALL(STORE) : "+a"(nr) : "r"(in), "r"(out) : "rcx", "r11", "memory");
  MUST(memcmp(in, out, sizeof in) == 0);
}

__attribute__((target("avx512f"))) static void vector_avx512(void) {
  uint64_t in[8], out[8];
  for (int i = 0; i < 8; i++) in[i] = 0xfedcba9876543210ULL * (uint64_t)(i + 7);
  long nr = 39;
  __asm__ volatile("vmovups (%1), %%zmm31\nsyscall\nvmovups %%zmm31, (%2)\n" : "+a"(nr) : "r"(in), "r"(out) : "rcx", "r11", "memory");
  MUST(memcmp(in, out, sizeof in) == 0);
}

static void vectors(void) {
  uint64_t in[16][2], out[16][2];
  for (int i = 0; i < 32; i++) in[i / 2][i % 2] = 0x9e3779b97f4a7c15ULL * (uint64_t)(i + 1);
  long nr = 39;
#define LOADX(n) "movups " #n "*16(%1), %%xmm" #n "\n"
#define STOREX(n) "movups %%xmm" #n ", " #n "*16(%2)\n"
  unsigned mxcsr = 0x3f80, got = 0; // round down
  __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
  __asm__ volatile(ALL(LOADX) "syscall\n" ALL(STOREX) : "+a"(nr) : "r"(in), "r"(out) : "rcx", "r11", "memory");
  __asm__ volatile("stmxcsr %0" : "=m"(got));
  MUST(memcmp(in, out, sizeof in) == 0);
  MUST(got == mxcsr);
  long double x = 1.0L / 3.0L;
  MUST(getpid() > 0);
  MUST(x * 3.0L > 0.99L);
  if (has_avx()) vector_avx();
  if (has_avx512()) vector_avx512();
}

// Vector state saved and loaded by the test at the guest's addresses.
static void vector_state(void) {
  static unsigned char area[32768] __attribute__((aligned(64)));
  const uint64_t a[2] = {0x1122334455667788ULL, 0x99aabbccddeeff00ULL};
  uint64_t out[2];
  long nr = SYS_ASK;
  register long r10 __asm__("r10") = 0;
  __asm__ volatile("movups (%2), %%xmm9\nsyscall\n" : "+a"(nr) : "D"(1L), "r"(a), "S"(area), "r"(r10) : "rcx", "r11", "memory"); // save
  MUST(nr == 0);
  MUST(memcmp(area + 160 + 9 * 16, a, 16) == 0);
  memset(area + 160 + 9 * 16, 0x5a, 16);
  nr = SYS_ASK;
  __asm__ volatile("syscall\nmovups %%xmm9, (%2)\n" : "+a"(nr) : "D"(2L), "r"(out), "S"(area) : "rcx", "r11", "memory"); // load
  MUST(nr == 0);
  MUST(out[0] == 0x5a5a5a5a5a5a5a5aULL && out[1] == out[0]);
  nr = SYS_ASK;
  __asm__ volatile("syscall\nmovups %%xmm9, (%2)\n" : "+a"(nr) : "D"(2L), "r"(out), "S"(0L) : "rcx", "r11", "memory"); // reset
  MUST(nr == 0);
  MUST(out[0] == 0 && out[1] == 0);
  MUST(syscall(SYS_ASK, 1, 0x100000L) == -1); // nothing mapped there
  MUST(syscall(SYS_ASK, 2, 0x100000L) == -1);
  memset(area + 512, 0xff, 64); // an impossible header
  MUST(syscall(SYS_ASK, 2, area) == -1);
  MUST(getpid() > 0);
}

static jmp_buf after_fault;

static void on_fault(void) { longjmp(after_fault, 1); }

#define FAULT(...) \
  do { \
    if (setjmp(after_fault) == 0) { \
      __VA_ARGS__; \
      fail("no fault"); \
    } \
  } while (0)

static void faults(void) {
  static volatile char constant[8192] __attribute__((aligned(4096))) = "x";
  MUST(mprotect((void *)constant, 4096, PROT_READ) == 0);
  syscall(SYS_SET_HANDLER, on_fault);
  volatile int zero = 0;
  volatile int *nowhere = (int *)0x123456789000;
  FAULT((void)*nowhere);
  FAULT(*nowhere = 1);
  FAULT(constant[5] = 1);
  FAULT(zero = 12345 / zero);
  FAULT(__asm__ volatile("ud2"));
  FAULT(__asm__ volatile("int3"));
  FAULT(__asm__ volatile("hlt"));
  FAULT(*(volatile int *)0x8000123456789abcULL);
  FAULT(((void (*)(void))(uintptr_t)0x200000)());
  FAULT(__asm__ volatile("int $0x80" : : "a"(20)));
  FAULT(__asm__ volatile("mov $0x10, %%rsp\n push %%rax\n" : : : "memory"));
}

static volatile int released;

static void spin(void) {
  syscall(SYS_ASK, 3, &released);
  while (released == 0) {
  }
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int total;
static __thread int own;

static void *add(void *n) {
  own = (int)(intptr_t)n;
  for (int i = 0; i < 200; i++) {
    pthread_mutex_lock(&lock);
    total += own;
    pthread_mutex_unlock(&lock);
  }
  return n;
}

static void threads(void) {
  for (int round = 0; round < 5; round++) {
    pthread_t t[8];
    total = 0;
    for (int i = 0; i < 8; i++) MUST(pthread_create(&t[i], NULL, add, (void *)(intptr_t)(i + 1)) == 0);
    for (int i = 0; i < 8; i++) {
      void *result;
      MUST(pthread_join(t[i], &result) == 0);
      MUST((intptr_t)result == i + 1);
    }
    MUST(total == 200 * 36);
  }
}

static int tree(int depth) {
  int sum = 1;
  if (depth == 0) return 1;
  for (int i = 0; i < 3; i++) {
    const pid_t pid = fork();
    MUST(pid >= 0);
    if (pid == 0) _exit(tree(depth - 1));
  }
  for (int i = 0; i < 3; i++) {
    int status;
    MUST(wait4(-1, &status, 0, NULL) > 0);
    MUST(WIFEXITED(status));
    sum += WEXITSTATUS(status);
  }
  return sum;
}

static void *fork_in_thread(void *unused) {
  (void)unused;
  const pid_t pid = fork();
  if (pid == 0) {
    total += 5;
    _exit(total == 12 ? 42 : 1);
  }
  int status;
  MUST(wait4(pid, &status, 0, NULL) == pid);
  MUST(WEXITSTATUS(status) == 42);
  return NULL;
}

static void forks(void) {
  total = 7;
  MUST(tree(2) == 13);
  pthread_t t;
  MUST(pthread_create(&t, NULL, fork_in_thread, NULL) == 0);
  pthread_join(t, NULL);
  MUST(total == 7);
  const pid_t pid = vfork();
  if (pid == 0) {
    total = 8;
    _exit(9);
  }
  int status;
  MUST(wait4(pid, &status, 0, NULL) == pid && WEXITSTATUS(status) == 9);
  MUST(total == 8);
}

static void maps(void) {
  char *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  MUST(p != MAP_FAILED);
  memset(p, 7, 65536);
  MUST(mprotect(p, 4096, PROT_READ) == 0);
  MUST(p[0] == 7 && p[65535] == 7);
  char *q = mremap(p + 4096, 61440, 122880, MREMAP_MAYMOVE);
  MUST(q != MAP_FAILED);
  MUST(q[0] == 7 && q[122879] == 0);
  MUST(munmap(p, 4096) == 0);
  syscall(SYS_SET_HANDLER, on_fault);
  FAULT((void)*(volatile char *)p);
  // A file: the test maps its descriptor at this address.
  char *f = (char *)0x300000000;
  MUST(syscall(SYS_ASK, 4, f) == 0);
  MUST(memcmp(f, "\177ELF", 4) == 0);
  f[0] = 'x'; // private
  FAULT((void)*(volatile char *)(f + (64 << 20)));
  MUST(syscall(SYS_ASK, 5, f) == 0); // shared memory that the test fills
  MUST(strcmp(f, "from the test") == 0);
  strcpy(f + 100, "from the guest");
  MUST(syscall(SYS_ASK, 6, f) == 0);
}

// Calls through the stub's own system call instructions. rbx tells the test where to return.
static long stub_call(const void *site, long nr, long a, long b, long c, long d) {
  long result;
  register long r10 __asm__("r10") = d;
  __asm__ volatile("lea 1f(%%rip), %%rcx\n"
                   "push %%rcx\n"
                   "mov %%rsp, %%rbx\n"
                   "jmp *%[site]\n"
                   "1:\n"
                   : "=a"(result)
                   : [site] "r"(site), "0"(nr), "D"(a), "S"(b), "d"(c), "r"(r10)
                   : "rcx", "r11", "rbx", "memory");
  return result;
}

static void hostile(void) {
  const unsigned char *text = (const unsigned char *)0x7ff000001000;
  const unsigned char *site = NULL;
  for (int i = 0; i < 0x1800 && site == NULL; i++) {
    if (text[i] == 0x0f && text[i + 1] == 0x05) site = text + i;
  }
  MUST(site != NULL);
  static char word[64] = "/etc/passwd";
  static const int forbidden[] = {SYS_open, SYS_openat, SYS_socket, SYS_execve, SYS_kill, SYS_tgkill, SYS_ptrace, SYS_getpid, SYS_read,
                                  SYS_sendmsg, SYS_setuid, SYS_unshare, SYS_mount, SYS_bpf, SYS_io_uring_setup, SYS_process_vm_readv,
                                  SYS_rt_sigaction, SYS_seccomp, SYS_memfd_create, SYS_ioctl, SYS_fork, SYS_vfork, SYS_clone3, SYS_sendto};
  for (unsigned i = 0; i < sizeof forbidden / sizeof forbidden[0]; i++) {
    stub_call(site, forbidden[i], (long)word, (long)word, 0, 0);
  }
  stub_call(site, SYS_write, 1, (long)word, 8, 0);
  stub_call(site, SYS_write, 4 + (1L << 32), (long)word, 8, 0);
  stub_call(site, SYS_clone, 0x10000000 | 17, 0, 0, 0); // CLONE_NEWUSER
  stub_call(site, SYS_prctl, 1, 0, 0, 0);               // no death signal
  stub_call(site, SYS_dup3, 3, 7, 0, 0);
  stub_call(site, SYS_futex, (long)word, 6, 0, 0);
  MUST(getpid() > 0);
  syscall(SYS_SET_HANDLER, on_fault);
  FAULT(*(volatile int *)0x7ff000100000 = 0); // the control page
  FAULT(*(volatile int *)0x7ff000001000 = 0); // the stub's text
  MUST(syscall(SYS_ASK, 8, 0x7ff000200000L) == -1); // the Sentry does not copy from or to the stub's memory
  volatile uint32_t *block = (volatile uint32_t *)0x7ff000200000;
  printf("ok hostile\n");
  fflush(stdout);
  if (setjmp(after_fault) != 0) _exit(0);
  block[0] = 77; // a state that cannot be, where there is a region at all
  for (;;) {
  }
}

// Where an engine keeps nothing in guest memory, there is nothing: of all that a guest might look for.
static void unseen(void) {
  static const unsigned long places[] = {0x7ff000001000, 0x7ff000100000, 0x7ff000200000, 0x7ff000800000,     0x7ff100000000,    0x7ff110000000,
                                         0x7ff120000000, 0x7ff200000000, 0x7ff280000000, 0xffffffffc0000000, 0xffffffffc0001000, 0xffffffffc0200000};
  syscall(SYS_SET_HANDLER, on_fault);
  for (unsigned i = 0; i < sizeof places / sizeof places[0]; i++) {
    FAULT((void)*(volatile char *)places[i]);
    FAULT(*(volatile char *)places[i] = 1);
    FAULT(((void (*)(void))places[i])());
  }
}

static void killed(void) {
  syscall(SYS_ASK, 7);
  for (;;) {
  }
}

static void *calls(void *n) {
  // Vector and general registers carry the sum over system calls and interrupts.
  double sum = 0;
  long check = 0;
  for (int i = 0; i < 20000; i++) {
    sum += i * 0.5;
    check += syscall(SYS_getpid) > 0 ? i : 0;
    for (volatile int j = 0; j < 300; j++) {
    }
  }
  MUST(sum == check * 0.5);
  return n;
}

// Threads that the test interrupts all the time.
static void storm(void) {
  pthread_t t[12];
  syscall(SYS_ASK, 9);
  for (int i = 0; i < 12; i++) MUST(pthread_create(&t[i], NULL, calls, NULL) == 0);
  for (int i = 0; i < 12; i++) MUST(pthread_join(t[i], NULL) == 0);
}

static pthread_barrier_t barrier;

static void *meet(void *n) {
  pthread_barrier_wait(&barrier);
  return n;
}

// More threads at once than most programs have; twice, so that contexts are used again.
static void crowd(void) {
  static pthread_t t[400];
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 65536);
  for (int round = 0; round < 2; round++) {
    pthread_barrier_init(&barrier, NULL, 401);
    for (int i = 0; i < 400; i++) MUST(pthread_create(&t[i], &small, meet, (void *)(intptr_t)i) == 0);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 400; i++) {
      void *result;
      MUST(pthread_join(t[i], &result) == 0);
      MUST((intptr_t)result == i);
    }
  }
}

// The process ends while threads run.
static void *forever(void *n) {
  for (;;) {
  }
  return n;
}

static void leave(void) {
  for (int i = 0; i < 3; i++) {
    const pid_t pid = fork();
    if (pid == 0) {
      pthread_t t;
      pthread_create(&t, NULL, forever, NULL);
      pthread_create(&t, NULL, forever, NULL);
      _exit(5);
    }
    int status;
    MUST(wait4(pid, &status, 0, NULL) == pid && WEXITSTATUS(status) == 5);
  }
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void bench(void) {
  double start = now();
  const int calls = 100000;
  for (int i = 0; i < calls; i++) syscall(SYS_getpid);
  printf("getpid %.0f ns\n", (now() - start) / calls);
  const int maps = 5000;
  start = now();
  for (int i = 0; i < maps; i++) {
    char *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int j = 0; j < 65536; j += 4096) p[j] = 1;
    munmap(p, 65536);
  }
  printf("mmap+touch 64 KiB+munmap %.0f ns\n", (now() - start) / maps);
  const int forks = 300;
  start = now();
  for (int i = 0; i < forks; i++) {
    const pid_t pid = fork();
    if (pid == 0) _exit(0);
    wait4(pid, NULL, 0, NULL);
  }
  printf("fork+exit+wait %.0f ns\n", (now() - start) / forks);
  start = now();
  for (int i = 0; i < forks; i++) {
    pthread_t t;
    pthread_create(&t, NULL, add, NULL);
    pthread_join(t, NULL);
  }
  printf("thread create+200 locks+join %.0f ns\n", (now() - start) / forks);
}

int main(int argc, char **argv) {
  static const struct {
    const char *name;
    void (*run)(void);
  } all[] = {{"registers", registers}, {"vectors", vectors}, {"vector_state", vector_state}, {"faults", faults},   {"spin", spin},
             {"threads", threads},     {"forks", forks},     {"maps", maps},                 {"hostile", hostile},
             {"unseen", unseen},       {"killed", killed},
             {"storm", storm},         {"crowd", crowd},     {"leave", leave},               {"bench", bench}};
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
    if (argc < 2 || strcmp(argv[1], all[i].name) != 0) continue;
    all[i].run();
    printf("ok %s\n", argv[1]);
    return 0;
  }
  return 2;
}
