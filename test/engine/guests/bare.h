// What the guests of the conformance suite share: a freestanding static program, so that every instruction and every system call of it is
// in sight. The same program runs on the host, whose kernel and processor say what is right, and on an engine.
#ifndef RINGFENCE_TEST_BARE_H
#define RINGFENCE_TEST_BARE_H

#include <stddef.h>
#include <stdint.h>

typedef uint64_t u64;
typedef uint32_t u32;

#define PAGE 4096UL
#define NUM(a) (sizeof(a) / sizeof((a)[0]))

enum {
  SYS_write = 1, SYS_mmap = 9, SYS_mprotect = 10, SYS_munmap = 11, SYS_rt_sigaction = 13, SYS_rt_sigreturn = 15, SYS_yield = 24,
  SYS_mremap = 25, SYS_madvise = 28, SYS_setitimer = 38, SYS_getpid = 39, SYS_clone = 56, SYS_fork = 57, SYS_vfork = 58, SYS_exit = 60,
  SYS_wait4 = 61, SYS_ftruncate = 77, SYS_sigaltstack = 131, SYS_arch_prctl = 158, SYS_gettid = 186, SYS_futex = 202,
  SYS_exit_group = 231, SYS_memfd_create = 319,
};

enum { SIGILL = 4, SIGTRAP = 5, SIGBUS = 7, SIGFPE = 8, SIGSEGV = 11, SIGALRM = 14 };
enum { PROT_READ = 1, PROT_WRITE = 2, PROT_EXEC = 4, MAP_SHARED = 1, MAP_PRIVATE = 2, MAP_FIXED = 16, MAP_ANONYMOUS = 32 };
enum { ARCH_SET_GS = 0x1001, ARCH_SET_FS = 0x1002, ARCH_GET_FS = 0x1003, ARCH_GET_GS = 0x1004 };

static inline long sys(long nr, long a, long b, long c, long d, long e, long f) {
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall" : "+a"(nr) : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
  return nr;
}

#define SYS_ARGS(nr, a, b, c, d, e, f, ...) sys(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define CALL(...) SYS_ARGS(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)

void *memset(void *to, int value, size_t n);
void *memcpy(void *to, const void *from, size_t n);
int memcmp(const void *a, const void *b, size_t n);

static inline size_t length_of(const char *s) {
  size_t n = 0;
  while (s[n] != 0) n++;
  return n;
}

static inline void say(const char *s) { CALL(SYS_write, 1, s, length_of(s)); }

static inline void say_hex(u64 v) {
  char text[17];
  for (int i = 0; i < 16; i++) text[i] = "0123456789abcdef"[v >> (60 - 4 * i) & 15];
  const char *p = text;
  text[16] = 0;
  while (p[0] == '0' && p[1] != 0) p++;
  say(p);
}

static inline _Noreturn void leave(int status) {
  for (;;) CALL(SYS_exit_group, status);
}

// What is being looked at, for the message of a failure.
extern const char *looking_at;
// The second argument.
extern u64 test_number;

static inline _Noreturn void failed(const char *what, int line, u64 got, u64 wanted) {
  say("FAILED: ");
  say(looking_at);
  say(": line ");
  say_hex((u64)line);
  say(" (hex): ");
  say(what);
  say(" is ");
  say_hex(got);
  say(", not ");
  say_hex(wanted);
  say("\n");
  leave(1);
}

#define SAME(e, value) \
  do { \
    const u64 got_ = (u64)(e), wanted_ = (u64)(value); \
    if (got_ != wanted_) failed(#e, __LINE__, got_, wanted_); \
  } while (0)
#define MUST(e) \
  do { \
    if (!(e)) failed(#e, __LINE__, 0, 1); \
  } while (0)

struct test {
  const char *name;
  void (*run)(void);
};

// Defined by each guest.
extern const struct test tests[];
extern const size_t test_count;
#define TESTS(...) \
  const struct test tests[] = {__VA_ARGS__}; \
  const size_t test_count = NUM(tests)

// Memory.
static inline unsigned char *map_at(u64 at, size_t bytes, int prot, int flags, int fd, long offset) {
  const long p = CALL(SYS_mmap, at, bytes, prot, flags | (at != 0 ? MAP_FIXED : 0), fd, offset);
  if (p < 0 && p > -4096) failed("mmap", __LINE__, (u64)p, 0);
  return (unsigned char *)p;
}
static inline unsigned char *map(size_t bytes) { return map_at(0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }
// A file without a name, of so many bytes.
int memory_file(size_t bytes);

// Signals: struct rt_sigframe of arch/x86/include/asm/sigframe.h, behind its return address.
enum { R8, R9, R10, R11, R12, R13, R14, R15, RDI, RSI, RBP, RBX, RDX, RAX, RCX, RSP, RIP, FLAGS, SELECTORS, ERROR, TRAP, OLDMASK, CR2, GREGS };

struct context {
  u64 flags, link, stack_sp;
  u32 stack_flags, pad;
  u64 stack_size;
  u64 regs[GREGS];
  unsigned char *fpstate;
  u64 reserved[8];
  u64 mask;
};

struct info {
  int signal, error, code, pad;
  u64 address;
  u64 rest[13];
};

typedef void handler(int signal, struct info *info, struct context *c);
// On the alternate stack that there is. Nothing is blocked meanwhile, but the signal itself.
void on_signal(int signal, handler *h);
// An alternate stack for the calling thread.
void alternate_stack(void);
// SIGALRM every so many microseconds; 0: no more.
void alarms(u64 microseconds);
extern volatile u32 alarm_count;
void count_alarm(int signal, struct info *info, struct context *c);

// Code that may fault, run with known registers.
struct attempt {
  u64 regs[16]; // R8..RSP: with which it starts; RSP 0: a stack of its own
  u64 flags;
  // What the signal showed.
  int signal, code;
  u64 address;
  u64 seen[GREGS];
};
// Runs `code` until it raises a signal. The numbers of registers are those of struct context.
void attempt(struct attempt *a, const void *code);
void attempt_pattern(struct attempt *a);
extern unsigned char attempt_stack[];
#define ATTEMPT_STACK 16384

// Threads.
struct thread {
  volatile u32 tid; // 0 when it is gone
  void (*run)(void *);
  void *argument;
  u64 own[8]; // what FS points at
};
#define THREAD_FLAGS 0x3d0f00 // CLONE_VM, FS, FILES, SIGHAND, THREAD, SYSVSEM, SETTLS, PARENT_SETTID, CHILD_CLEARTID
// `stack`: its end. Answers the tid, or what clone(2) said.
long start_thread(struct thread *t, void (*run)(void *), void *argument, unsigned char *stack);
void join(struct thread *t);
static inline _Noreturn void leave_thread(void) {
  for (;;) CALL(SYS_exit, 0);
}

static inline void futex_wait(volatile u32 *word, u32 value) { CALL(SYS_futex, word, 0, value); }
static inline void futex_wake(volatile u32 *word, u32 count) { CALL(SYS_futex, word, 1, count); }
static inline u32 get(volatile u32 *word) { return __atomic_load_n(word, __ATOMIC_SEQ_CST); }
static inline void set(volatile u32 *word, u32 value) { __atomic_store_n(word, value, __ATOMIC_SEQ_CST); }
// Waits until the word is `value`; its writers do not wake.
static inline void await(volatile u32 *word, u32 value) {
  while (get(word) != value) CALL(SYS_yield);
}

// Waits for a child: its status as wait4(2) shows it.
u32 reap(long pid);

struct cpuid {
  u32 a, b, c, d;
};
static inline struct cpuid cpuid(u32 leaf, u32 sub) {
  struct cpuid r;
  __asm__ volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "0"(leaf), "2"(sub));
  return r;
}

#endif
