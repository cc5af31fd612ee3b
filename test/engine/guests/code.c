// Code that changes while it runs (Intel SDM 3, 8.1.3 and AMD APM 2, 7.6.1: the same processor sees its own stores at the next jump, another
// one after a serialising instruction), through one mapping or two, and mappings that change under running threads.
#include "bare.h"

typedef long function(void);

// mov $value,%eax; ret
static void write_constant(unsigned char *at, u32 value) {
  at[0] = 0xb8;
  memcpy(at + 1, &value, 4);
  at[5] = 0xc3;
}

// mov $nr,%eax; syscall; ret
static void write_call(unsigned char *at, u32 nr) {
  write_constant(at, nr);
  at[5] = 0x0f;
  at[6] = 0x05;
  at[7] = 0xc3;
}

static void same_thread(void) {
  unsigned char *p = map_at(0, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (u32 i = 0; i < 2000; i++) {
    write_constant(p + i % 64, i);
    SAME(((function *)(p + i % 64))(), i);
  }
  const long pid = CALL(SYS_getpid);
  for (u32 i = 0; i < 400; i++) {
    write_call(p, i % 2 ? SYS_getpid : 500);
    SAME(((function *)p)(), i % 2 ? pid : -38);
    write_constant(p, i);
    SAME(((function *)p)(), i);
  }
}

static void two_mappings(void) {
  const int fd = memory_file(PAGE);
  unsigned char *w = map_at(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  unsigned char *x = map_at(0, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
  const long pid = CALL(SYS_getpid);
  for (u32 i = 0; i < 1000; i++) {
    write_constant(w + i % 64, i);
    cpuid(0, 0);
    SAME(((function *)(x + i % 64))(), i);
  }
  for (u32 i = 0; i < 200; i++) {
    write_call(w, i % 2 ? SYS_getpid : 500);
    cpuid(0, 0);
    for (int n = 0; n < 5; n++) SAME(((function *)x)(), i % 2 ? pid : -38);
    SAME(memcmp(w, x, PAGE), 0);
  }
}

// As a compiler at run time does: writable or executable, never both.
static void by_protection(void) {
  unsigned char *p = map(PAGE);
  const long pid = CALL(SYS_getpid);
  for (u32 i = 0; i < 120; i++) {
    const u32 at = i * 3 % 128; // some calls come to stand where others were, a byte beside them
    SAME(CALL(SYS_mprotect, p, PAGE, PROT_READ | PROT_WRITE), 0);
    memset(p, 0x90, 256);
    if (i % 3 == 2) write_constant(p + at, i);
    else write_call(p + at, SYS_getpid);
    SAME(CALL(SYS_mprotect, p, PAGE, PROT_READ | PROT_EXEC), 0);
    for (int n = 0; n < 10; n++) {
      SAME(((function *)(p + at))(), i % 3 == 2 ? (long)i : pid);
      SAME(((function *)p)(), i % 3 == 2 ? (long)i : pid);
    }
  }
}

// Other code comes to stand at the same place.
static void by_mapping(void) {
  const u64 at = (u64)map(2 * PAGE);
  const long pid = CALL(SYS_getpid);
  for (u32 i = 0; i < 60; i++) {
    unsigned char *p = map_at(at, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    SAME(p[0], 0);
    if (i % 2) write_constant(p, i);
    else write_call(p, SYS_getpid);
    SAME(CALL(SYS_mprotect, p, PAGE, PROT_READ | PROT_EXEC), 0);
    for (int n = 0; n < 10; n++) SAME(((function *)p)(), i % 2 ? (long)i : pid);
    if (i % 5 == 4) SAME(CALL(SYS_munmap, p, PAGE), 0);
    if (i % 7 == 6) {
      // The same code elsewhere.
      unsigned char *q = map_at(at, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      write_call(q, SYS_getpid);
      SAME(CALL(SYS_mprotect, q, PAGE, PROT_READ | PROT_EXEC), 0);
      for (int n = 0; n < 10; n++) SAME(((function *)q)(), pid);
      unsigned char *r = (unsigned char *)CALL(SYS_mremap, q, PAGE, PAGE, 3, at + PAGE); // MAYMOVE, FIXED
      SAME(r, at + PAGE);
      for (int n = 0; n < 10; n++) SAME(((function *)r)(), pid);
    }
  }
}

static volatile u32 turn, stop;
static unsigned char *volatile shared_code;

static void runner(void *unused) {
  (void)unused;
  for (u32 i = 1;; i++) {
    while (get(&turn) != 2 * i - 1) {
      if (get(&stop)) return;
      CALL(SYS_yield);
    }
    cpuid(0, 0);
    SAME(((function *)shared_code)(), i);
    set(&turn, 2 * i);
  }
}

// One thread writes, another runs.
static void other_thread(void) {
  unsigned char *p = map_at(0, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  struct thread t;
  shared_code = p;
  MUST(start_thread(&t, runner, 0, map(65536) + 65536) > 0);
  for (u32 i = 1; i < 300; i++) {
    write_constant(p, i);
    set(&turn, 2 * i - 1);
    await(&turn, 2 * i);
  }
  set(&stop, 1);
  join(&t);
}

// Memory that a thread uses all the time, and what it met when it could not.
static u32 *volatile counter;
static volatile u32 fault_count, fault_code, go_on;
static volatile u64 fault_address;

static void on_missing(int signal, struct info *info, struct context *c) {
  (void)signal;
  (void)c;
  fault_address = info->address;
  fault_code = (u32)info->code;
  const u32 ticket = get(&go_on);
  __atomic_fetch_add(&fault_count, 1, __ATOMIC_SEQ_CST);
  while (get(&go_on) == ticket) CALL(SYS_yield);
}

static void counting(void *unused) {
  (void)unused;
  alternate_stack();
  while (!get(&stop)) __atomic_fetch_add(counter, 1, __ATOMIC_SEQ_CST);
}

static void must_count(volatile u32 *word) {
  const u32 before = get(word);
  while (get(word) == before) CALL(SYS_yield);
}

static void must_stand(volatile u32 *word, u32 faults, u64 address, u32 code) {
  const u32 before = get(word);
  for (int i = 0; i < 20; i++) CALL(SYS_yield);
  SAME(get(word), before);
  await(&fault_count, faults);
  SAME(fault_address, address);
  SAME(fault_code, code);
}

// What mprotect(2), munmap(2), mmap(2) and mremap(2) say holds for all threads when they return.
static void seen_at_once(void) {
  const int fd = memory_file(2 * PAGE);
  unsigned char *const area = map(4 * PAGE);
  volatile u32 *const watch = (u32 *)map_at(0, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  const u64 at = (u64)area;
  map_at(at, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  counter = (u32 *)area;
  on_signal(SIGSEGV, on_missing);
  struct thread t;
  MUST(start_thread(&t, counting, 0, map(65536) + 65536) > 0);
  u32 faults = 0;
  for (int round = 0; round < 25; round++) {
    must_count(watch);
    SAME(CALL(SYS_mprotect, at, PAGE, PROT_READ), 0);
    must_stand(watch, ++faults, at, 2);
    SAME(CALL(SYS_mprotect, at, PAGE, PROT_READ | PROT_WRITE), 0);
    set(&go_on, faults);
    must_count(watch);
    SAME(CALL(SYS_munmap, at, PAGE), 0);
    must_stand(watch, ++faults, at, 1);
    map_at(at, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    set(&go_on, faults);
    must_count(watch);
    // Another page of the file in the same place.
    map_at(at, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, PAGE);
    const u32 first = get(watch);
    must_count(watch + PAGE / 4);
    SAME(get(watch), first);
    map_at(at, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    must_count(watch);
    // The page goes elsewhere.
    SAME(CALL(SYS_mremap, at, PAGE, PAGE, 3, at + 2 * PAGE), at + 2 * PAGE);
    must_stand(watch, ++faults, at, 1);
    SAME(CALL(SYS_mremap, at + 2 * PAGE, PAGE, PAGE, 3, at), at);
    set(&go_on, faults);
  }
  set(&stop, 1);
  join(&t);
}

TESTS({"same_thread", same_thread}, {"two_mappings", two_mappings}, {"by_protection", by_protection}, {"by_mapping", by_mapping},
      {"other_thread", other_thread}, {"seen_at_once", seen_at_once});
