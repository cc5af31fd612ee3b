// Processes and threads as clone(2), fork(2), vfork(2), exit(2) and wait4(2) have them, many of them, and memory that copies do not share.
#include "bare.h"

static int depth_of(int depth) {
  if (depth == 0) return 0;
  const long pid = CALL(SYS_fork);
  MUST(pid >= 0);
  if (pid == 0) leave(depth_of(depth - 1) + 1);
  const u32 status = reap(pid);
  SAME(status & 0xff, 0);
  return (int)(status >> 8);
}

// A chain of processes, each of which waits for the next.
static void chain(void) { SAME(depth_of(24), 24); }

// Many children at a time.
static void breadth(void) {
  for (int round = 0; round < 2; round++) {
    u64 seen = 0;
    for (int i = 0; i < 40; i++) {
      const long pid = CALL(SYS_fork);
      MUST(pid >= 0);
      if (pid == 0) leave(i);
    }
    for (int i = 0; i < 40; i++) seen |= 1UL << (reap(-1) >> 8);
    SAME(seen, (1UL << 40) - 1);
    SAME(CALL(SYS_wait4, -1, 0, 0, 0), -10); // ECHILD
  }
}

// Processes whose parent ended long before them.
static void orphans(void) {
  volatile u32 *shared = (u32 *)map_at(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memory_file(PAGE), 0);
  for (u32 i = 0; i < 8; i++) {
    const long pid = CALL(SYS_fork);
    if (pid == 0) {
      if (CALL(SYS_fork) != 0) leave(4);
      while (get(shared) < i) CALL(SYS_yield);
      __atomic_fetch_add(shared, 1, __ATOMIC_SEQ_CST);
      leave(0);
    }
    SAME(reap(pid), 4 << 8);
  }
  while (get(shared) < 8) CALL(SYS_yield);
}

// Each has its own copy of private memory, written or not when the copy was made; shared memory is everybody's.
static void copies(void) {
  const size_t pages = 200;
  unsigned char *p = map(pages * PAGE);
  volatile u32 *shared = (u32 *)map_at(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memory_file(PAGE), 0);
  for (size_t i = 0; i < pages; i += 2) p[i * PAGE] = 1;
  for (u32 round = 0; round < 4; round++) {
    const long pid = CALL(SYS_fork);
    MUST(pid >= 0);
    if (pid == 0) {
      for (size_t i = 0; i < pages; i++) SAME(p[i * PAGE], i % 2 ? 0 : round + 1);
      memset(p, 0x77, pages * PAGE);
      set(shared, 2 * round + 1);
      await(shared, 2 * round + 2);
      for (size_t i = 0; i < pages * PAGE; i += 511) SAME(p[i], 0x77);
      leave(0);
    }
    await(shared, 2 * round + 1);
    for (size_t i = 0; i < pages; i++) {
      SAME(p[i * PAGE], i % 2 ? 0 : round + 1);
      if (i % 2 == 0) p[i * PAGE] = (unsigned char)(round + 2);
    }
    set(shared, 2 * round + 2);
    SAME(reap(pid), 0);
  }
}

// vfork(2): the parent waits, the memory is the same.
volatile u32 written;
static void borrowed(void) {
  for (u32 i = 1; i < 20; i++) {
    long pid;
    // By hand: the child must not return from what the parent will return from.
    __asm__ volatile("mov $58, %%eax\n"
                     "syscall\n"
                     "test %%rax, %%rax\n"
                     "jnz 1f\n"
                     "incl written(%%rip)\n"
                     "mov $60, %%eax\n"
                     "mov $6, %%edi\n"
                     "syscall\n"
                     "1:\n"
                     : "=a"(pid)
                     :
                     : "rcx", "r11", "rdi", "memory");
    SAME(written, i);
    SAME(reap(pid), 6 << 8);
  }
}

static volatile u32 arrived, released, sum;

static void stand(void *n) {
  __atomic_fetch_add(&arrived, 1, __ATOMIC_SEQ_CST);
  while (get(&released) == 0) futex_wait(&released, 0);
  __atomic_fetch_add(&sum, (u32)(u64)n, __ATOMIC_SEQ_CST);
}

#define CROWD 1000
static struct thread crowd_threads[CROWD];

// A thousand threads at a time, twice: what the first had is there for the second.
static void crowd(void) {
  unsigned char *stacks = map(CROWD * PAGE);
  for (int round = 0; round < 2; round++) {
    sum = arrived = released = 0;
    for (u64 i = 0; i < CROWD; i++) MUST(start_thread(&crowd_threads[i], stand, (void *)i, stacks + (i + 1) * PAGE) > 0);
    await(&arrived, CROWD);
    set(&released, 1);
    futex_wake(&released, CROWD);
    for (u64 i = 0; i < CROWD; i++) join(&crowd_threads[i]);
    SAME(sum, CROWD * (CROWD - 1) / 2);
  }
}

static volatile u32 turn;

static void leave_in_turn(void *n) {
  while (get(&turn) != (u32)(u64)n) CALL(SYS_yield);
}

// Threads may end in any order, and their places are used again.
static void any_order(void) {
  struct thread t[16];
  unsigned char *stacks = map(16 * PAGE);
  static const unsigned char order[] = {15, 0, 7, 8, 1, 14, 3, 12, 2, 13, 9, 6, 4, 11, 5, 10};
  for (int round = 0; round < 6; round++) {
    turn = 100;
    for (u64 i = 0; i < 16; i++) MUST(start_thread(&t[i], leave_in_turn, (void *)i, stacks + (i + 1) * PAGE) > 0);
    for (int i = 0; i < 16; i++) {
      const u32 next = order[(i + round) % 16];
      set(&turn, next);
      join(&t[next]);
    }
  }
}

static void last_word(void *unused) {
  (void)unused;
  for (int i = 0; i < 50; i++) CALL(SYS_yield);
  say("ok first_leaves\n");
  leave(0);
}

// The first thread of a process is a thread like others: the process goes on without it.
static void first_leaves(void) {
  static struct thread t;
  MUST(start_thread(&t, last_word, 0, map(65536) + 65536) > 0);
  leave_thread();
}

// The process ends while its threads compute, call, fault and wait.
static volatile u32 nobody;
static void compute(void *unused) {
  (void)unused;
  for (;;) {
  }
}
static void call(void *unused) {
  (void)unused;
  for (;;) CALL(SYS_getpid);
}
static void touch(void *unused) {
  (void)unused;
  for (;;) {
    volatile unsigned char *p = map(16 * PAGE);
    for (u64 i = 0; i < 16; i++) p[i * PAGE] = 1;
    CALL(SYS_munmap, p, 16 * PAGE);
  }
}
static void wait_for_ever(void *unused) {
  (void)unused;
  for (;;) futex_wait(&nobody, 0);
}

static void all_leave(void) {
  static struct thread t[4];
  static void (*const what[])(void *) = {compute, call, touch, wait_for_ever};
  for (int round = 0; round < 10; round++) {
    const long pid = CALL(SYS_fork);
    if (pid == 0) {
      for (int i = 0; i < 4; i++) MUST(start_thread(&t[i], what[i], 0, map(65536) + 65536) > 0);
      for (int i = 0; i < round * 5; i++) CALL(SYS_yield);
      leave(round);
    }
    SAME(reap(pid), round << 8);
  }
}

static void forker(void *result) {
  const long pid = CALL(SYS_fork);
  if (pid == 0) {
    // Only the thread that called is here; it may make others.
    struct thread t;
    MUST(start_thread(&t, stand, (void *)3, map(65536) + 65536) > 0);
    set(&released, 1);
    futex_wake(&released, 1);
    join(&t);
    leave((int)sum);
  }
  *(volatile u32 *)result = reap(pid);
}

// fork(2) out of threads, several at a time.
static void from_threads(void) {
  struct thread t[6];
  volatile u32 status[6];
  sum = released = 0;
  for (int i = 0; i < 6; i++) MUST(start_thread(&t[i], forker, (void *)&status[i], map(65536) + 65536) > 0);
  for (int i = 0; i < 6; i++) join(&t[i]);
  for (int i = 0; i < 6; i++) SAME(status[i], 3 << 8);
}

TESTS({"chain", chain}, {"breadth", breadth}, {"orphans", orphans}, {"copies", copies}, {"borrowed", borrowed}, {"crowd", crowd},
      {"any_order", any_order}, {"first_leaves", first_leaves}, {"all_leave", all_leave}, {"from_threads", from_threads});
