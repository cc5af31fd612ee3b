// x87, SSE, AVX and AVX-512 state: nothing of it changes over a system call, an interrupt, a fault, fork(2) or clone(2); in a signal's
// frame it stands as XSAVE left it, behind it the marks of struct _fpx_sw_bytes (arch/x86/include/uapi/asm/sigcontext.h), and what
// rt_sigreturn(2) finds there is what the thread goes on with (arch/x86/kernel/fpu/signal.c).
#include "bare.h"

#define MAGIC1 0x46505853U
#define MAGIC2 0x46505845U
#define AT_XMM 160
#define AT_SOFTWARE 464
#define AT_HEADER 512
#define MXCSR_INITIAL 0x1f80
#define CONTROL_INITIAL 0x37f

// The numbers of state components, as in XCR0.
enum { X87, SSE, AVX, OPMASK = 5, ZMM_HIGH, ZMM_UPPER };

struct vectors {
  unsigned char zmm[32][64];
  u64 k[8];
  u32 mxcsr, pad[15];
  unsigned char x87[128]; // FNSAVE: control, status and tag words at 0, 4 and 8, registers at 28
} __attribute__((aligned(64)));

static u64 xcr0;
static int has_avx, has_512;

static void look(void) {
  if (!(cpuid(1, 0).c >> 27 & 1)) return;
  u32 lo, hi;
  __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
  xcr0 = lo | (u64)hi << 32;
  has_avx = (xcr0 & 7) == 7;
  has_512 = (xcr0 & 0xe7) == 0xe7 && (cpuid(7, 0).b >> 30 & 1); // with AVX512BW: 64-bit opmasks
}

#define EACH8(X, a) X(a##0) X(a##1) X(a##2) X(a##3) X(a##4) X(a##5) X(a##6) X(a##7)
#define EACH32(X) \
  EACH8(X, ) X(8) X(9) EACH8(X, 1) X(18) X(19) EACH8(X, 2) X(28) X(29) X(30) X(31)
#define EACH16(X) EACH8(X, ) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define LOAD512(n) "vmovdqu64 " #n "*64(%0), %%zmm" #n "\n"
#define SAVE512(n) "vmovdqu64 %%zmm" #n ", " #n "*64(%0)\n"
#define LOAD256(n) "vmovups " #n "*64(%0), %%ymm" #n "\n"
#define SAVE256(n) "vmovups %%ymm" #n ", " #n "*64(%0)\n"
#define LOAD128(n) "movups " #n "*64(%0), %%xmm" #n "\n"
#define SAVE128(n) "movups %%xmm" #n ", " #n "*64(%0)\n"
#define LOADK(n) "kmovq 2048+" #n "*8(%0), %%k" #n "\n"
#define SAVEK(n) "kmovq %%k" #n ", 2048+" #n "*8(%0)\n"

static void load_vectors(const struct vectors *v) {
  __asm__ volatile("frstor %0\nldmxcsr %1\n" : : "m"(v->x87), "m"(v->mxcsr) : "memory");
  if (has_512) {
    __asm__ volatile(EACH32(LOAD512) EACH8(LOADK, ) : : "r"(v) : "memory");
  } else if (has_avx) {
    __asm__ volatile(EACH16(LOAD256) : : "r"(v) : "memory");
  } else {
    __asm__ volatile(EACH16(LOAD128) : : "r"(v) : "memory");
  }
}

static void save_vectors(struct vectors *v) {
  if (has_512) {
    __asm__ volatile(EACH32(SAVE512) EACH8(SAVEK, ) : : "r"(v) : "memory");
  } else if (has_avx) {
    __asm__ volatile(EACH16(SAVE256) : : "r"(v) : "memory");
  } else {
    __asm__ volatile(EACH16(SAVE128) : : "r"(v) : "memory");
  }
  __asm__ volatile("stmxcsr %1\nfnsave %0\nfrstor %0\n" : "=m"(v->x87), "=m"(v->mxcsr) : : "memory");
}

// What differs from one `seed` to the next, in all of it.
static void fill_vectors(struct vectors *v, u64 seed) {
  u64 x = seed * 0x9e3779b97f4a7c15UL + 1;
  memset(v, 0, sizeof *v);
  for (int i = 0; i < 32; i++) {
    for (int j = 0; j < 8; j++) {
      x = x * 6364136223846793005UL + 1442695040888963407UL;
      // Without AVX-512 or AVX nobody has the rest.
      if (has_512 || (i < 16 && j < (has_avx ? 4 : 2))) ((u64 *)v->zmm[i])[j] = x ^ x >> 29;
    }
  }
  for (int i = 0; i < 8 && has_512; i++) v->k[i] = x = x * 6364136223846793005UL + 7;
  static const u32 rounding[] = {0x1f80, 0x3f80, 0x5f80, 0x7fc0, 0x9f80, 0x1fbf};
  v->mxcsr = rounding[seed % NUM(rounding)];
  __asm__ volatile("fninit\nfldpi\nfld1\nfldl2t\nfldlg2\n");
  for (u64 i = 0; i < seed % 4; i++) __asm__ volatile("fldln2\n");
  __asm__ volatile("fnsave %0" : "=m"(v->x87) : : "memory");
  v->x87[1] = seed % 2 ? 0x0f : 0x03; // rounding
  v->x87[5] |= 0x41;                  // condition codes
  v->x87[28] ^= (unsigned char)seed;
}

static void same_vectors(const struct vectors *a, const struct vectors *b) {
  for (int i = 0; i < 32; i++) {
    for (int j = 0; j < 8; j++) SAME(((const u64 *)b->zmm[i])[j], ((const u64 *)a->zmm[i])[j]);
  }
  for (int i = 0; i < 8; i++) SAME(b->k[i], a->k[i]);
  SAME(b->mxcsr, a->mxcsr);
  SAME(*(const uint16_t *)b->x87, *(const uint16_t *)a->x87);
  SAME(*(const uint16_t *)(b->x87 + 4), *(const uint16_t *)(a->x87 + 4));
  SAME(*(const uint16_t *)(b->x87 + 8), *(const uint16_t *)(a->x87 + 8));
  SAME(memcmp(a->x87 + 28, b->x87 + 28, 80), 0);
}

static void over_calls(void) {
  look();
  struct vectors a, b;
  for (u64 n = 0; n < 40; n++) {
    fill_vectors(&a, n);
    memset(&b, 0, sizeof b);
    load_vectors(&a);
    for (u64 i = 0; i <= n % 3; i++) CALL(n % 2 ? SYS_getpid : SYS_yield);
    save_vectors(&b);
    same_vectors(&a, &b);
  }
}

static struct vectors in_handler, other;

static void clobber(int signal, struct info *info, struct context *c) {
  (void)signal;
  (void)info;
  (void)c;
  save_vectors(&in_handler);
  load_vectors(&other);
  c->regs[RIP] += signal == SIGILL ? 2 : 0;
  alarm_count++;
}

static void over_faults(void) {
  look();
  fill_vectors(&other, 1000);
  on_signal(SIGILL, clobber);
  struct vectors a, b, initial;
  memset(&initial, 0, sizeof initial);
  for (u64 n = 0; n < 40; n++) {
    fill_vectors(&a, n);
    memset(&b, 0, sizeof b);
    memset(&in_handler, 0, sizeof in_handler);
    load_vectors(&a);
    __asm__ volatile("ud2" : : : "memory");
    save_vectors(&b);
    same_vectors(&a, &b);
    // A handler begins with the initial state (fpu__clear_user_states).
    SAME(in_handler.mxcsr, MXCSR_INITIAL);
    SAME(*(uint16_t *)in_handler.x87, CONTROL_INITIAL);
    SAME(*(uint16_t *)(in_handler.x87 + 8), 0xffff);
    SAME(memcmp(in_handler.zmm, initial.zmm, sizeof initial.zmm), 0);
    SAME(memcmp(in_handler.k, initial.k, sizeof initial.k), 0);
  }
}

static void over_interrupts(void) {
  look();
  fill_vectors(&other, 1001);
  on_signal(SIGALRM, clobber);
  alarms(1000);
  struct vectors a, b;
  for (u64 n = 0; n < 30; n++) {
    fill_vectors(&a, n);
    memset(&b, 0, sizeof b);
    const u32 before = alarm_count;
    load_vectors(&a);
    while (alarm_count == before) {
    }
    save_vectors(&b);
    same_vectors(&a, &b);
  }
  alarms(0);
}

static void over_fork(void) {
  look();
  struct vectors a, b;
  for (u64 n = 0; n < 12; n++) {
    fill_vectors(&a, n);
    memset(&b, 0, sizeof b);
    load_vectors(&a);
    const long pid = CALL(SYS_fork);
    save_vectors(&b);
    same_vectors(&a, &b);
    if (pid == 0) {
      // The copy's own, too.
      fill_vectors(&a, n + 50);
      load_vectors(&a);
      CALL(SYS_getpid);
      memset(&b, 0, sizeof b);
      save_vectors(&b);
      same_vectors(&a, &b);
      leave(5);
    }
    SAME(reap(pid), 5 << 8);
  }
}

static void keep(void *at) {
  struct vectors *v = at;
  save_vectors(v);
}

static void over_clone(void) {
  look();
  struct vectors a, b;
  static struct vectors first;
  unsigned char *stack = map(65536);
  for (u64 n = 0; n < 12; n++) {
    struct thread t;
    fill_vectors(&a, n);
    memset(&b, 0, sizeof b);
    memset(&first, 0, sizeof first);
    load_vectors(&a);
    MUST(start_thread(&t, keep, &first, stack + 65536) > 0);
    save_vectors(&b);
    join(&t);
    same_vectors(&a, &b);
    same_vectors(&a, &first);
  }
}

static void carry(void *seed) {
  struct vectors a, b;
  for (u64 n = 0; n < 40; n++) {
    fill_vectors(&a, (u64)seed * 100 + n);
    memset(&b, 0, sizeof b);
    load_vectors(&a);
    for (u64 i = 0; i < 4; i++) CALL(i % 2 ? SYS_yield : SYS_gettid);
    save_vectors(&b);
    same_vectors(&a, &b);
  }
}

// Threads that take turns on a processor.
static void over_turns(void) {
  look();
  struct thread t[12];
  for (u64 i = 0; i < NUM(t); i++) MUST(start_thread(&t[i], carry, (void *)i, map(65536) + 65536) > 0);
  for (u64 i = 0; i < NUM(t); i++) join(&t[i]);
}

static const struct vectors *framed, *wanted;
static u32 component_at(int n) { return cpuid(0xd, (u32)n).b; }

// The frame has it all, and the thread goes on with what stands there.
static void in_frame(int signal, struct info *info, struct context *c) {
  (void)signal;
  (void)info;
  unsigned char *f = c->fpstate;
  const u32 *software = (const u32 *)(f + AT_SOFTWARE);
  SAME((u64)f % 64, 0);
  SAME(c->flags & 1, xcr0 != 0);
  SAME(*(uint16_t *)f, *(const uint16_t *)framed->x87);
  SAME(*(u32 *)(f + 24), framed->mxcsr);
  const u32 top = *(uint16_t *)(f + 2) >> 11 & 7;
  SAME(top, *(const uint16_t *)(framed->x87 + 4) >> 11 & 7);
  for (int i = 0; i < 8; i++) {
    if (f[4] >> ((top + (u32)i) & 7) & 1) SAME(memcmp(f + 32 + 16 * i, framed->x87 + 28 + 10 * i, 10), 0);
  }
  for (int i = 0; i < 16; i++) SAME(memcmp(f + AT_XMM + 16 * i, framed->zmm[i], 16), 0);
  *(u32 *)(f + 24) = wanted->mxcsr;
  for (int i = 0; i < 16; i++) memcpy(f + AT_XMM + 16 * i, wanted->zmm[i], 16);
  memcpy(f + 32, wanted->x87 + 28, 10);
  *(uint16_t *)f = *(const uint16_t *)wanted->x87;
  c->regs[RIP] += 2;
  if (xcr0 == 0) return;
  SAME(software[0], MAGIC1);
  const u64 features = *(const u64 *)(software + 2);
  SAME(features & 7, xcr0 & 7);
  MUST((features & 0xe4) == (xcr0 & 0xe4));
  SAME(software[1], software[4] + 4);
  SAME(*(u32 *)(f + software[4]), MAGIC2);
  MUST(software[4] >= AT_HEADER + 64 && software[4] <= cpuid(0xd, 0).c);
  const u64 present = *(u64 *)(f + AT_HEADER);
  SAME(present & ~features, 0);
  if (has_avx) {
    MUST(present >> AVX & 1);
    unsigned char *high = f + component_at(AVX);
    for (int i = 0; i < 16; i++) {
      SAME(memcmp(high + 16 * i, framed->zmm[i] + 16, 16), 0);
      memcpy(high + 16 * i, wanted->zmm[i] + 16, 16);
    }
  }
  if (has_512) {
    MUST((present & 0xe0) == 0xe0);
    SAME(memcmp(f + component_at(OPMASK), framed->k, 64), 0);
    memcpy(f + component_at(OPMASK), wanted->k, 64);
    for (int i = 0; i < 16; i++) {
      unsigned char *high = f + component_at(ZMM_HIGH) + 32 * i, *upper = f + component_at(ZMM_UPPER) + 64 * i;
      SAME(memcmp(high, framed->zmm[i] + 32, 32), 0);
      SAME(memcmp(upper, framed->zmm[16 + i], 64), 0);
      memcpy(high, wanted->zmm[i] + 32, 32);
      memcpy(upper, wanted->zmm[16 + i], 64);
    }
  }
}

static void frames(void) {
  look();
  on_signal(SIGILL, in_frame);
  struct vectors a, b, seen;
  for (u64 n = 0; n < 24; n++) {
    fill_vectors(&b, n + 100);
    fill_vectors(&a, n);
    // Of the x87 the first register and the control word are changed.
    memcpy(b.x87 + 4, a.x87 + 4, 24);
    memcpy(b.x87 + 38, a.x87 + 38, 70);
    framed = &a;
    wanted = &b;
    memset(&seen, 0, sizeof seen);
    load_vectors(&a);
    __asm__ volatile("ud2" : : : "memory");
    save_vectors(&seen);
    same_vectors(&b, &seen);
  }
}

enum change { NO_STATE, NO_AVX, ONLY_LEGACY, SHORT_SIZE, BAD_MXCSR, COMPACTED, RESERVED, UNKNOWN_COMPONENT, NO_MAGIC2, CHANGES };
static int change;

static void forge(int signal, struct info *info, struct context *c) {
  (void)signal;
  (void)info;
  unsigned char *f = c->fpstate;
  u32 *software = (u32 *)(f + AT_SOFTWARE);
  u64 *header = (u64 *)(f + AT_HEADER);
  c->regs[RIP] += 2;
  if (change == NO_STATE) c->fpstate = 0;
  if (change == NO_AVX) header[0] &= 3;
  if (change == ONLY_LEGACY) software[0] = 0;
  if (change == SHORT_SIZE) software[4] = 8;
  if (change == BAD_MXCSR) *(u32 *)(f + 24) = 0xffff0000;
  if (change == COMPACTED) header[1] = 1UL << 63 | 7;
  if (change == RESERVED) header[2] = 1;
  if (change == UNKNOWN_COMPONENT) header[0] |= 1UL << 62;
  if (change == NO_MAGIC2) *(u32 *)(f + software[4]) = 0;
}

static int refused;

static void on_refusal(int signal, struct info *info, struct context *c) {
  (void)c;
  SAME(signal, SIGSEGV);
  SAME(info->code, 128);
  SAME(info->address, 0);
  refused++;
}

// Frames that a program has changed. What the kernel cannot take as it stands is a SIGSEGV, or less of the state.
static void forged(void) {
  look();
  if (!has_avx) return; // nothing to forge: FXSAVE alone has no header
  alternate_stack();
  on_signal(SIGILL, forge);
  on_signal(SIGSEGV, on_refusal);
  static const char *const names[CHANGES] = {"no state",  "no AVX",  "only legacy",  "short size", "bad MXCSR",
                                             "compacted", "reserved", "unknown component", "no magic at the end"};
  struct vectors a, seen, initial;
  memset(&initial, 0, sizeof initial);
  for (change = 0; change < CHANGES; change++) {
    for (u64 n = 0; n < 4; n++) {
      looking_at = names[change];
      fill_vectors(&a, n);
      memset(&seen, 0, sizeof seen);
      refused = 0;
      load_vectors(&a);
      __asm__ volatile("ud2" : : : "memory");
      save_vectors(&seen);
      const int bad = change == BAD_MXCSR || change == COMPACTED || change == RESERVED || change == UNKNOWN_COMPONENT;
      SAME(refused, bad);
      if (bad) continue;
      if (change == NO_STATE) {
        SAME(seen.mxcsr, MXCSR_INITIAL);
        SAME(*(uint16_t *)seen.x87, CONTROL_INITIAL);
        SAME(memcmp(seen.zmm, initial.zmm, sizeof seen.zmm), 0);
        continue;
      }
      SAME(seen.mxcsr, a.mxcsr);
      for (int i = 0; i < 16; i++) {
        SAME(memcmp(seen.zmm[i], a.zmm[i], 16), 0);
        SAME(memcmp(seen.zmm[i] + 16, initial.zmm[i] + 16, 48), 0);
      }
      SAME(memcmp(seen.zmm[16], initial.zmm[16], 16 * 64), 0);
      SAME(memcmp(seen.k, initial.k, sizeof seen.k), 0);
    }
  }
}

TESTS({"over_calls", over_calls}, {"over_faults", over_faults}, {"over_interrupts", over_interrupts}, {"over_fork", over_fork},
      {"over_clone", over_clone}, {"over_turns", over_turns}, {"frames", frames}, {"forged", forged});
