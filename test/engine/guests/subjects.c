// What the tests of address spaces look at from outside: subjects ROLE [NUMBER]. Most of them never end by themselves.
#include "bare.h"

#define SYS_ASK 1001 // (what, ...): the test answers
enum { ASK_BLOCK, ASK_READY, ASK_FLAGS };

#define AREA 0x50000000UL // pages: three that may be written, one that may be read, one that may not, none

static void spin(void) {
  for (;;) {
  }
}

static void call(void) {
  for (;;) CALL(SYS_getpid);
}

static void block(void) {
  for (;;) CALL(SYS_ASK, ASK_BLOCK);
}

static void touch(void) {
  for (;;) {
    volatile unsigned char *p = map(16 * PAGE);
    for (u64 i = 0; i < 16; i++) p[i * PAGE] = 1;
    CALL(SYS_munmap, p, 16 * PAGE);
  }
}

static void spin_thread(void *unused) {
  (void)unused;
  spin();
}

static void many(void) {
  static struct thread t[3];
  for (int i = 0; i < 3; i++) start_thread(&t[i], spin_thread, 0, map(PAGE) + PAGE);
  CALL(SYS_ASK, ASK_READY);
  call();
}

static void memory(void) {
  unsigned char *p = map_at(AREA, 6 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (u64 i = 0; i < 6 * PAGE; i++) p[i] = (unsigned char)(i * 7 + (i >> 8));
  SAME(CALL(SYS_mprotect, p + 3 * PAGE, PAGE, PROT_READ), 0);
  SAME(CALL(SYS_mprotect, p + 4 * PAGE, PAGE, 0), 0);
  SAME(CALL(SYS_munmap, p + 5 * PAGE, PAGE), 0);
  CALL(SYS_ASK, ASK_READY);
  volatile u64 *word = (u64 *)(p + 2 * PAGE);
  for (;;) word[0] = word[1] + 1; // the test writes the second, and reads the first
}

static void burn(void) {
  CALL(SYS_ASK, ASK_READY);
  volatile u64 sum = 0;
  for (u64 i = 0; i < 100000000; i++) sum += i;
  unsigned char *p = map(2000 * PAGE);
  CALL(SYS_madvise, p, 2000 * PAGE, 15); // MADV_NOHUGEPAGE: a fault for each
  for (u64 i = 0; i < 2000; i++) p[i * PAGE] = 1;
  CALL(SYS_ASK, ASK_READY);
  leave(0);
}

static void flags(void) {
  for (;;) {
    u64 f;
    __asm__ volatile("pushf\npop %0" : "=r"(f));
    CALL(SYS_ASK, ASK_FLAGS, f);
  }
}

// So many calls, with pauses of all lengths in between.
static void calls(void) {
  u64 x = test_number * 12345 + 1;
  for (u64 i = 0; i < 25000; i++) {
    x = x * 6364136223846793005UL + 1442695040888963407UL;
    if (CALL(SYS_ASK, ASK_FLAGS, i) != (long)(i * 3)) failed("the answer", __LINE__, i, i * 3);
    const u64 pause = x >> 40 & 3 ? x >> 44 & 63 : x >> 44 & 65535;
    for (volatile u64 n = 0; n < pause; n++) {
    }
  }
  leave(0);
}

static volatile u32 scribblers;

static void keep_calling(void *unused) {
  (void)unused;
  set(&scribblers, 1);
  for (;;) {
    CALL(SYS_getpid);
    CALL(SYS_write, 1, "x", 0);
    CALL(SYS_mprotect, AREA, PAGE, PROT_READ | PROT_WRITE);
  }
}

static void shrug(int signal, struct info *info, struct context *c) {
  (void)signal;
  (void)info;
  (void)c;
  leave(0); // there is no such memory here
}

// Writes what it likes to where blocks, ranges and windows of its own threads stand (native/include/context.h), while they are used.
static void scribble(void) {
  static struct thread t;
  alternate_stack();
  on_signal(SIGSEGV, shrug);
  map_at(AREA, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  start_thread(&t, keep_calling, 0, map(65536) + 65536);
  await(&scribblers, 1);
  volatile u32 *const region = (u32 *)0x7ff000200000UL;
  u64 x = test_number * 977 + 13;
  for (u64 i = 0; i < 3000; i++) {
    x = x * 6364136223846793005UL + 1442695040888963407UL;
    const u64 word = x >> 33;
    const u32 values[] = {(u32)(x >> 20), (u32)(x >> 60), 0xffffffff, 0x7ff00020, 0, 1, 2, 3};
    // Its own block, the other thread's, those of no thread, or the window; small offsets are state, command, event and number.
    const u64 where = word % 7 < 5 ? (word >> 8 & 1) * 128 + (word >> 9 & 3 ? word >> 12 & 3 : word >> 12 & 127)
                      : word % 7 == 5 ? word % 4096 : 0x40000 + word % 20000;
    region[where] = values[x >> 50 & 7];
    for (volatile u64 n = 0; n < (x >> 40 & 255); n++) {
    }
  }
  leave(0);
}

TESTS({"spin", spin}, {"call", call}, {"block", block}, {"touch", touch}, {"many", many}, {"memory", memory}, {"burn", burn}, {"flags", flags},
      {"calls", calls}, {"scribble", scribble});
