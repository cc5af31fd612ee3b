// What travels with calls, and calls that the engine makes itself: traffic NAME.
#include "guest.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#define TOP 0x7ff000000000UL // of what a guest may map
#define WINDOW 65536
#define FETCHED 4096 // of the data of a write

// The kernel of the test compares what travelled with what stands in memory. Bytes that travelled, or:
#define CAME_NOT -1000 // they are readable, and did not travel
#define DIFFERS -1001

static int hosted;

// A call whose site is rewritten after the third time.
static __attribute__((noinline)) long call(long nr, long a, long b, long c, long d, long e, long f) {
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall\nmov %%rax, %%rax" : "+a"(nr) : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
  return nr;
}

#define CALL(nr, a, b, c) call(nr, (long)(a), (long)(b), (long)(c), 0, 0, 0)

static void rewrite(void) {
  for (int i = 0; i < 5; i++) MUST(CALL(SYS_getpid, 0, 0, 0) > 0);
}

static void paths(void) {
  unsigned char *p = map_at(0, 3 * PAGE);
  MUST(munmap(p + 2 * PAGE, PAGE) == 0);
  unsigned char *end = p + 2 * PAGE;
  memset(p, 'x', 2 * PAGE);
  end[-1] = 0;
  for (int n = 1; n < 20; n++) SAME(CALL(SYS_open, end - n, 0, 0), n);
  SAME(CALL(SYS_open, end - 4096, 0, 0), 4096);
  end[-1] = 'x';
  SAME(CALL(SYS_open, end - 1, 0, 0), -EFAULT);
  SAME(CALL(SYS_open, end - 77, 0, 0), -EFAULT);
  SAME(CALL(SYS_open, p, 0, 0), -ENAMETOOLONG);
  SAME(CALL(SYS_open, end, 0, 0), -EFAULT);
  SAME(CALL(SYS_open, 0, 0, 0), -EFAULT);
  SAME(CALL(SYS_open, 0x10000, 0, 0), -EFAULT);
  SAME(CALL(SYS_open, -1L, 0, 0), -EFAULT);
  SAME(CALL(SYS_open, LONG_MIN, 0, 0), -EFAULT);
  SAME(CALL(SYS_open, TOP, 0, 0), -EFAULT);
  SAME(CALL(SYS_open, TOP - 1, 0, 0), -EFAULT);
  SAME(CALL(SYS_open, 0x7ff020000000, 0, 0), -EFAULT); // the island
  SAME(CALL(SYS_open, 0x7ff000001000, 0, 0), -EFAULT); // the stub
  SAME(CALL(SYS_open, 0x7ff000200000, 0, 0), -EFAULT); // the region
  unsigned char *top = map_at(TOP - PAGE, PAGE);
  memset(top, 'x', PAGE);
  SAME(CALL(SYS_open, TOP - 5, 0, 0), -EFAULT);
  top[PAGE - 1] = 0;
  SAME(CALL(SYS_open, TOP - 5, 0, 0), 5);
  MUST(munmap(top, PAGE) == 0);
  strcpy((char *)p, "one");
  strcpy((char *)p + 100, "another");
  SAME(CALL(SYS_rename, p, p + 100, 0), 12);
  SAME(CALL(SYS_rename, p, p, 0), 8);
  SAME(CALL(SYS_rename, p, p + 1, 0), 7);
  SAME(CALL(SYS_rename, p, TOP, 0), -EFAULT);
}

static void buffers(void) {
  const size_t big = 2 * WINDOW;
  unsigned char *p = map_at(0, big + PAGE);
  MUST(munmap(p + big, PAGE) == 0);
  for (size_t i = 0; i < big; i++) p[i] = (unsigned char)(i * 7 + i / 256);
  unsigned char *end = p + big;
  SAME(CALL(SYS_pwrite64, 1, p, 0), 0);
  SAME(CALL(SYS_pwrite64, 1, p, 1), 1);
  SAME(CALL(SYS_pwrite64, 1, p + 3, FETCHED), FETCHED);
  SAME(CALL(SYS_pwrite64, 1, p, FETCHED + 1), CAME_NOT);
  SAME(CALL(SYS_pwrite64, 1, p, WINDOW), CAME_NOT);
  SAME(CALL(SYS_pwrite64, 1, end - 10, 10), 10);
  SAME(CALL(SYS_pwrite64, 1, end - 10, 11), -EFAULT);
  SAME(CALL(SYS_pwrite64, 1, 0, 11), -EFAULT);
  SAME(CALL(SYS_pwrite64, 1, p, -1L), -EFAULT);
  SAME(CALL(SYS_pwrite64, 1, -4096L, 8192), -EFAULT);
  SAME(CALL(SYS_pwrite64, 1, 0x10000, 64), -EFAULT);
  SAME(CALL(SYS_pwrite64, 1, 0x7ff020000000, 64), -EFAULT);
  SAME(CALL(SYS_pwrite64, 1, 0x7ff000200000, 64), -EFAULT);
  map_at(TOP - PAGE, PAGE);
  SAME(CALL(SYS_pwrite64, 1, TOP - PAGE, PAGE), PAGE);
  SAME(CALL(SYS_pwrite64, 1, TOP - PAGE, PAGE + 1), -EFAULT);
  MUST(munmap((void *)(TOP - PAGE), PAGE) == 0);
  // Vectors: the elements, and then as many buffers as there are ranges for.
  struct iovec v[70];
  for (int i = 0; i < 70; i++) v[i] = (struct iovec){p + 16 * i, 16};
  SAME(CALL(SYS_writev, 1, v, 2), 32);
  SAME(CALL(SYS_writev, 1, v, 1), 16);
  SAME(CALL(SYS_writev, 1, v, 3), CAME_NOT);
  SAME(CALL(SYS_writev, 1, v, 70), CAME_NOT);
  SAME(CALL(SYS_writev, 1, v, 0), 0);
  SAME(CALL(SYS_writev, 1, v, -1L), -EINVAL);
  SAME(CALL(SYS_writev, 1, v, 1L << 60), -EINVAL);
  SAME(CALL(SYS_writev, 1, end - 8, 1), -EFAULT);
  v[0].iov_base = (void *)0x7ff000200000;
  SAME(CALL(SYS_writev, 1, v, 2), -EFAULT);
  v[0] = (struct iovec){p, SIZE_MAX};
  SAME(CALL(SYS_writev, 1, v, 2), -EFAULT);
  v[0] = (struct iovec){v, sizeof v[0]}; // what it writes is itself
  SAME(CALL(SYS_writev, 1, v, 1), 16);
  struct msghdr m = {.msg_iov = v, .msg_iovlen = 1};
  SAME(CALL(SYS_sendmsg, 1, &m, 0), 16);
  m.msg_iovlen = (size_t)-1;
  SAME(CALL(SYS_sendmsg, 1, &m, 0), -EINVAL);
  m.msg_iovlen = 1;
  m.msg_iov = (struct iovec *)0x7ff000200000;
  SAME(CALL(SYS_sendmsg, 1, &m, 0), -EFAULT);
  SAME(CALL(SYS_sendmsg, 1, end - 8, 0), -EFAULT);
}

// Results: `pieces` of them that travel with the resume.
static void results(void) {
  unsigned char *p = map_at(0, 2 * WINDOW + PAGE);
  MUST(munmap(p + 2 * WINDOW, PAGE) == 0);
  unsigned char *end = p + 2 * WINDOW;
  static const struct {
    long bytes, pieces, sent;
  } cases[] = {{1, 1, 1}, {10, 1, 1}, {PAGE, 1, 1}, {WINDOW, 1, 1}, {WINDOW + 8, 1, 0}, {64, 8, 8}, {72, 9, 8}, {WINDOW, 8, 8}, {WINDOW + 128, 2, 1}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    const long each = cases[i].bytes / cases[i].pieces;
    for (int where = 0; where < 3; where++) {
      memset(p, 0, 2 * WINDOW);
      unsigned char *at = where == 0 ? p : where == 1 ? p + 4093 : end - cases[i].bytes;
      SAME(call(SYS_ASK, ASK_DELIVER, (long)at, cases[i].bytes, cases[i].pieces, 0, 0), cases[i].sent);
      for (unsigned char *q = p; q < end; q++) MUST(*q == (q >= at && q < at + each * cases[i].sent ? 0x5a : 0));
    }
  }
  // The test says that these may be written, and they may not.
  SAME(call(SYS_ASK, ASK_DELIVER, (long)end - 5, 10, 1, 0, 0), -EFAULT);
  MUST(end[-1] == 0x5a);
  MUST(mprotect(p, PAGE, PROT_READ) == 0);
  SAME(call(SYS_ASK, ASK_DELIVER, (long)p, 10, 1, 0, 0), -EFAULT);
  SAME(call(SYS_ASK, ASK_DELIVER, (long)p + PAGE - 8, 16, 2, 0, 0), -EFAULT);
  MUST(CALL(SYS_getpid, 0, 0, 0) > 0);
}

static void window(void) {
  // By traps first (each with a different path into the stub), then by the rewritten site.
  for (int round = 0; round < 2; round++) {
    paths();
    buffers();
    results();
    rewrite();
  }
}

static uint32_t words[4];
static volatile int woken;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

#define FUTEX(word, op, value, timeout) call(SYS_futex, (long)(word), (op) | FUTEX_PRIVATE_FLAG, (value), (long)(timeout), 0, 0)

static void *wait_on(void *word) {
  long r;
  do r = FUTEX(word, FUTEX_WAIT, 0, 0);
  while (r == -EINTR);
  MUST(r == 0);
  __atomic_fetch_add(&woken, 1, __ATOMIC_SEQ_CST);
  return NULL;
}

// Until `n` threads wait: then nobody is late.
static void await(long n) {
  while (hosted && ask(ASK_NATIVELY) != n) FUTEX(&words[3], FUTEX_WAIT, 0, &((struct timespec){0, 1000000}));
  if (!hosted) usleep(50000);
}

static void await_woken(int n) {
  while (woken != n) FUTEX(&words[3], FUTEX_WAIT, 0, &((struct timespec){0, 1000000}));
}

static void *ping(void *unused) {
  for (uint32_t i = 0; i < 300; i++) {
    while (__atomic_load_n(&words[0], __ATOMIC_SEQ_CST) == i) FUTEX(&words[0], FUTEX_WAIT, i, 0);
    __atomic_store_n(&words[1], i + 1, __ATOMIC_SEQ_CST);
    FUTEX(&words[1], FUTEX_WAKE, 1, 0);
  }
  return unused;
}

static void futex(void) {
  pthread_t t[3];
  rewrite();
  MUST(pthread_create(&t[0], NULL, ping, NULL) == 0);
  for (uint32_t i = 0; i < 300; i++) {
    __atomic_store_n(&words[0], i + 1, __ATOMIC_SEQ_CST);
    FUTEX(&words[0], FUTEX_WAKE, 1, 0);
    while (__atomic_load_n(&words[1], __ATOMIC_SEQ_CST) == i) FUTEX(&words[1], FUTEX_WAIT, i, 0);
  }
  MUST(pthread_join(t[0], NULL) == 0);

  words[0] = 0;
  double start = now();
  SAME(FUTEX(&words[0], FUTEX_WAIT, 0, &((struct timespec){0, 20000000})), -ETIMEDOUT);
  MUST(now() - start >= 0.02);
  start = now();
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_sec += (until.tv_nsec + 20000000) / 1000000000;
  until.tv_nsec = (until.tv_nsec + 20000000) % 1000000000;
  SAME(call(SYS_futex, (long)&words[0], FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, 0, (long)&until, 0, -1), -ETIMEDOUT);
  MUST(now() - start >= 0.02);
  SAME(FUTEX(&words[0], FUTEX_WAIT, 1, 0), -EAGAIN);
  SAME(FUTEX(&words[0], FUTEX_WAIT, 0, &((struct timespec){0, -1})), -EINVAL);
  SAME(FUTEX((char *)words + 1, FUTEX_WAIT, 0, 0), -EINVAL);
  SAME(FUTEX(0x123456789000, FUTEX_WAIT, 0, 0), -EFAULT);
  SAME(FUTEX(&words[0], FUTEX_WAKE, 10, 0), 0);

  for (int i = 0; i < 3; i++) MUST(pthread_create(&t[i], NULL, wait_on, &words[0]) == 0);
  await(3);
  SAME(FUTEX(&words[0], FUTEX_WAKE, 1, 0), 1);
  await_woken(1);
  SAME(call(SYS_futex, (long)&words[0], FUTEX_CMP_REQUEUE | FUTEX_PRIVATE_FLAG, 0, 1, (long)&words[2], 1), -EAGAIN);
  SAME(call(SYS_futex, (long)&words[0], FUTEX_CMP_REQUEUE | FUTEX_PRIVATE_FLAG, 0, 1, (long)&words[2], 0), 1);
  SAME(FUTEX(&words[2], FUTEX_WAKE, 5, 0), 1);
  await_woken(2);
  SAME(FUTEX(&words[0], FUTEX_WAKE, 5, 0), 1);
  for (int i = 0; i < 3; i++) MUST(pthread_join(t[i], NULL) == 0);
}

// Waiters are interrupted, and taken out of their calls. Not on the host.
static void *wait_often(void *word) {
  while (__atomic_load_n((uint32_t *)word, __ATOMIC_SEQ_CST) == 0) {
    const long r = FUTEX(word, FUTEX_WAIT, 0, 0);
    MUST(r == 0 || r == -EINTR || r == -EAGAIN);
  }
  return NULL;
}

static void waiters(void) {
  pthread_t t[2];
  rewrite();
  for (int i = 0; i < 2; i++) MUST(pthread_create(&t[i], NULL, wait_often, &words[0]) == 0);
  await(2);
  MUST(ask(ASK_INTERRUPT, 100L) == 0);
  MUST(ask(ASK_RESTARTS) >= 1); // how many depends on the scheduler
  await(2);
  MUST(ask(ASK_COUNT, (long)SYS_futex) == 0);
  MUST(ask(ASK_NATIVE, 0L) == 0);
  while (ask(ASK_COUNT, (long)SYS_futex) < 2) {
  }
  MUST(ask(ASK_NATIVELY) == 0);
  __atomic_store_n(&words[0], 1, __ATOMIC_SEQ_CST);
  SAME(FUTEX(&words[0], FUTEX_WAKE, 5, 0), 2);
  for (int i = 0; i < 2; i++) MUST(pthread_join(t[i], NULL) == 0);
  MUST(ask(ASK_COUNT, (long)SYS_futex) >= 3);
}


// Calls that the engine makes itself, as fast as they can be made, with interrupts at any moment: each must be made.
static void native_storm(void) {
  rewrite();
  ask(ASK_STORM, 1L << 30);
  const double until = now() + 1;
  while (now() < until) {
    for (int i = 0; i < 1000; i++) SAME(FUTEX(&words[0], FUTEX_WAKE, 1, 0), 0);
  }
  ask(ASK_STORM, 0L);
}

// The site of a call that the engine makes itself is rewritten too: no round of these costs a trap.
static __attribute__((noinline)) long own_site(long nr, long a, long b, long c, long d) {
  register long r10 __asm__("r10") = d;
  __asm__ volatile("syscall\nmov %%rax, %%rax" : "+a"(nr) : "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
  return nr;
}

static void native_site(void) {
  for (int i = 0; i < 5; i++) ask(ASK_PATCHED);
  const long patched = ask(ASK_PATCHED);
  for (int i = 0; i < 50; i++) MUST(own_site(SYS_futex, (long)&words[0], FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, 0) == 0);
  MUST(ask(ASK_PATCHED) == patched + (ask(ASK_PATCHING) == 1));
}

static void cold(void) {
  rewrite();
  for (int round = 0; round < 500; round++) {
    const double until = now() + 0.03;
    while (now() < until) {
    }
    MUST(CALL(SYS_getpid, 0, 0, 0) > 0);
    MUST(ask(ASK_COUNT, (long)SYS_getpid) > 0);
    if (ask(ASK_COLD) > 0 && round > 2) return;
  }
  MUST(ask(ASK_COLD) > 0);
}

static unsigned char area[32768] __attribute__((aligned(64)));

#define XMM9 (area + 160 + 9 * 16)

// xmm9 is loaded with `in`, the test is asked, what xmm9 then is goes to `out`.
static __attribute__((noinline)) long with_vectors(long what, void *address, const uint64_t *in, uint64_t *out) {
  long nr = SYS_ASK;
  __asm__ volatile("movups (%3), %%xmm9\nsyscall\nmov %%rax, %%rax\nmovups %%xmm9, (%4)"
                   : "+a"(nr)
                   : "D"(what), "S"(address), "r"(in), "r"(out)
                   : "rcx", "r11", "xmm9", "memory");
  return nr;
}

static void vectors(void) {
  const uint64_t a[2] = {0x1122334455667788ULL, 0x99aabbccddeeff00ULL};
  uint64_t out[2];
  for (int i = 0; i < 8; i++) {
    memset(area, 0, sizeof area);
    SAME(with_vectors(ASK_SAVE, area, a, out), 0);
    MUST(memcmp(XMM9, a, 16) == 0 && memcmp(out, a, 16) == 0);
    memset(XMM9, 0x40 + i, 16);
    SAME(with_vectors(ASK_LOAD, area, a, out), 0);
    MUST(memcmp(out, XMM9, 16) == 0);
    SAME(with_vectors(ASK_LOAD, NULL, a, out), 0);
    MUST(out[0] == 0 && out[1] == 0);
    SAME(with_vectors(ASK_SAVE, (void *)TOP, a, out), -EFAULT);
    SAME(with_vectors(ASK_LOAD, (void *)0x10000, a, out), -EFAULT);
  }
}

// mov $nr,%eax; syscall: rewritten after the third time.
#define LEAF "mov $39, %%eax\nsyscall\n"
#define EACH(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define ABOVE(X) X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31)
#define LOAD_X(n) "movups " #n "*64(%[in]), %%xmm" #n "\n"
#define STORE_X(n) "movups %%xmm" #n ", " #n "*64(%[out])\n"
#define LOAD_Y(n) "vmovups " #n "*64(%[in]), %%ymm" #n "\n"
#define STORE_Y(n) "vmovups %%ymm" #n ", " #n "*64(%[out])\n"
#define LOAD_Z(n) "vmovups " #n "*64(%[in]), %%zmm" #n "\n"
#define STORE_Z(n) "vmovups %%zmm" #n ", " #n "*64(%[out])\n"

static void over_call_sse(const void *in, void *out) {
  long r;
  __asm__ volatile(EACH(LOAD_X) LEAF EACH(STORE_X) : "=&a"(r) : [in] "r"(in), [out] "r"(out) : "rcx", "r11", "memory");
}

__attribute__((target("avx"))) static void over_call_avx(const void *in, void *out) {
  long r;
  __asm__ volatile(EACH(LOAD_Y) LEAF EACH(STORE_Y) "vzeroupper\n" : "=&a"(r) : [in] "r"(in), [out] "r"(out) : "rcx", "r11", "memory");
}

__attribute__((target("avx512f"))) static void over_call_avx512(const void *in, void *out) {
  long r;
  uint32_t mask = 0xa5c3, got = 0;
  __asm__ volatile("kmovw %[mask], %%k3\n" EACH(LOAD_Z) ABOVE(LOAD_Z) LEAF EACH(STORE_Z) ABOVE(STORE_Z) "kmovw %%k3, %[got]\nvzeroupper\n"
                   : "=&a"(r), [got] "=&r"(got)
                   : [in] "r"(in), [out] "r"(out), [mask] "r"(mask)
                   : "rcx", "r11", "memory");
  MUST(got == mask);
}

// Vector, x87 and control registers over rewritten calls.
static void state(void) {
  static const struct {
    size_t registers, bytes;
  } kinds[] = {{16, 16}, {16, 32}, {32, 64}}; // SSE, AVX, AVX-512
  static uint64_t in[32][8], out[32][8];
  const int has[] = {1, __builtin_cpu_supports("avx"), __builtin_cpu_supports("avx512f")};
  for (size_t kind = 0; kind < 3; kind++) {
    for (uint64_t n = 0; n < 10 && has[kind]; n++) {
      for (uint64_t i = 0; i < 256; i++) in[i / 8][i % 8] = 0x9e3779b97f4a7c15ULL * (i + 256 * n + 1);
      memset(out, 0, sizeof out);
      uint32_t mxcsr = n % 2 ? 0x3f80 : 0x7fbf, mxcsr_got = 0; // rounding, and flags that stick
      uint16_t control = n % 2 ? 0x0f7f : 0x027f, control_got = 0;
      long double x = 3.25L + (long double)n, y = 0;
      __asm__ volatile("ldmxcsr %0\nfldcw %1\nfldt %2" : : "m"(mxcsr), "m"(control), "m"(x));
      if (kind == 0) over_call_sse(in, out);
      else if (kind == 1) over_call_avx(in, out);
      else over_call_avx512(in, out);
      __asm__ volatile("fstpt %0\nfnstcw %1\nstmxcsr %2\nfninit" : "=m"(y), "=m"(control_got), "=m"(mxcsr_got));
      const uint32_t initial = 0x1f80;
      __asm__ volatile("ldmxcsr %0" : : "m"(initial));
      MUST(mxcsr_got == mxcsr && control_got == control && x == y);
      for (size_t i = 0; i < kinds[kind].registers; i++) MUST(memcmp(in[i], out[i], kinds[kind].bytes) == 0);
    }
  }
}

static int forgery;

static void after_forgery(int signal) {
  MUST(signal == 11);
  MUST(CALL(SYS_getpid, 0, 0, 0) > 0);
  printf("refused ");
  if (++forgery < 8) {
    static const uint64_t zero[2];
    uint64_t out[2];
    memset(area, 0, sizeof area);
    SAME(with_vectors(ASK_SAVE, area, zero, out), 0);
    memset(forgery % 2 ? area + 512 : area + 24, 0xff, 16); // the header; MXCSR
    with_vectors(ASK_LOAD, forgery % 4 == 3 ? (void *)0x123456789000 : area, zero, out);
    fail_at("a forged frame was loaded", __LINE__);
  }
  printf("ok forged\n");
  fflush(stdout);
  _exit(0);
}

static void forged(void) {
  syscall(1000, after_forgery);
  after_forgery(11);
}

// Memory, and with it vector state, travel with a resume that is interrupted before the thread sees it.
static void frame(void) {
  const uint64_t a[2] = {0x0102030405060708ULL, 0x1112131415161718ULL};
  static unsigned char bytes[64];
  for (int i = 0; i < 200; i++) {
    memset(area, 0, sizeof area);
    memset(bytes, 0, sizeof bytes);
    register long rdx __asm__("rdx") = i % 2 ? (long)area : 0;
    long nr = SYS_ASK;
    __asm__ volatile("movups (%4), %%xmm9\nsyscall\nmov %%rax, %%rax"
                     : "+a"(nr)
                     : "D"((long)ASK_FRAME), "S"(bytes), "r"(rdx), "r"(a)
                     : "rcx", "r11", "xmm9", "memory");
    MUST(nr == 0);
    for (int k = 0; k < 64; k++) MUST(bytes[k] == 0x5a);
    MUST(i % 2 == 0 || memcmp(XMM9, a, 16) == 0);
  }
}

int main(int argc, char **argv) {
  static const struct {
    const char *name;
    void (*run)(void);
  } all[] = {{"window", window},   {"futex", futex},   {"waiters", waiters}, {"native_storm", native_storm}, {"native_site", native_site},
             {"cold", cold}, {"state", state},       {"vectors", vectors}, {"forged", forged},   {"frame", frame}};
  hosted = ask(ASK_HOSTED) == 1;
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
    if (argc < 2 || strcmp(argv[1], all[i].name) != 0) continue;
    all[i].run();
    printf("ok %s\n", argv[1]);
    return 0;
  }
  return 2;
}
