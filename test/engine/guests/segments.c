// Segment registers and bases: FS and GS bases by arch_prctl(2) and by instruction, selectors that a program may load, and that they stay
// over calls, interrupts, fork(2) and clone(2).
#include "bare.h"

#define HWCAP2_FSGSBASE 2

static u64 fs_base(void) {
  u64 v;
  __asm__ volatile("rdfsbase %0" : "=r"(v));
  return v;
}

static u64 gs_base(void) {
  u64 v;
  __asm__ volatile("rdgsbase %0" : "=r"(v));
  return v;
}

static void set_fs_base(u64 v) { __asm__ volatile("wrfsbase %0" : : "r"(v)); }
static void set_gs_base(u64 v) { __asm__ volatile("wrgsbase %0" : : "r"(v)); }

static u64 fs_word(void) {
  u64 v;
  __asm__ volatile("mov %%fs:8, %0" : "=r"(v));
  return v;
}

static u64 gs_word(void) {
  u64 v;
  __asm__ volatile("mov %%gs:8, %0" : "=r"(v));
  return v;
}

static u64 fs_data[2] = {1, 0x1234567890abcdef}, gs_data[2] = {2, 0xfedcba0987654321};

static void some_calls(void) {
  for (int i = 0; i < 12; i++) MUST(CALL(i % 2 ? SYS_getpid : SYS_yield) >= 0);
}

static void by_call(void) {
  u64 got = 1;
  SAME(CALL(SYS_arch_prctl, ARCH_SET_FS, fs_data), 0);
  some_calls();
  SAME(fs_word(), fs_data[1]);
  SAME(CALL(SYS_arch_prctl, ARCH_SET_GS, gs_data), 0);
  some_calls();
  SAME(gs_word(), gs_data[1]);
  SAME(fs_word(), fs_data[1]);
  SAME(CALL(SYS_arch_prctl, ARCH_GET_GS, &got), 0);
  SAME(got, gs_data);
  SAME(CALL(SYS_arch_prctl, ARCH_GET_FS, &got), 0);
  SAME(got, fs_data);
  // Addresses beyond a program's own are refused.
  SAME(CALL(SYS_arch_prctl, ARCH_SET_FS, 1UL << 63), -1);
  SAME(CALL(SYS_arch_prctl, ARCH_SET_GS, 0x800000000000UL), -1);
  SAME(CALL(SYS_arch_prctl, ARCH_SET_GS, 0), 0);
  some_calls();
  SAME(CALL(SYS_arch_prctl, ARCH_GET_GS, &got), 0);
  SAME(got, 0);
}

// A base may be any canonical address then.
static void by_instruction(void) {
  if (!(cpuid(7, 0).b & 1)) return;
  static const u64 bases[] = {0, 1, 0x7ffffffff000, 0xffff800000000000, ~0UL, 0x123456789abc};
  for (size_t i = 0; i < NUM(bases); i++) {
    set_fs_base(bases[i]);
    some_calls();
    SAME(fs_base(), bases[i]);
  }
  set_fs_base((u64)fs_data);
  for (size_t i = 0; i < NUM(bases); i++) {
    set_gs_base(bases[i]);
    some_calls();
    SAME(gs_base(), bases[i]);
    SAME(fs_word(), fs_data[1]);
  }
}

// A GS base that shows writable memory, by instruction, after calls that an engine may have rewritten.
static void gs_by_instruction(void) {
  if (!(cpuid(7, 0).b & 1)) return;
  some_calls();
  const u64 before[2] = {gs_data[0], gs_data[1]};
  u64 got = 0;
  set_gs_base((u64)gs_data);
  some_calls();
  SAME(gs_data[0], before[0]);
  SAME(gs_word(), before[1]);
  SAME(CALL(SYS_arch_prctl, ARCH_GET_GS, &got), 0);
  SAME(got, gs_data);
}

static void ud(int signal, struct info *info, struct context *c) {
  (void)signal;
  (void)info;
  c->regs[RIP] += 2;
}

static void over_signals(void) {
  SAME(CALL(SYS_arch_prctl, ARCH_SET_FS, fs_data), 0);
  SAME(CALL(SYS_arch_prctl, ARCH_SET_GS, gs_data), 0);
  on_signal(SIGILL, ud);
  on_signal(SIGALRM, count_alarm);
  for (int i = 0; i < 10; i++) {
    __asm__ volatile("ud2" : : : "memory");
    SAME(fs_word(), fs_data[1]);
    SAME(gs_word(), gs_data[1]);
  }
  alarms(1000);
  while (alarm_count < 10) {
    SAME(fs_word(), fs_data[1]);
    SAME(gs_word(), gs_data[1]);
  }
  alarms(0);
}

static void in_thread(void *data) {
  // FS is what clone(2) was given, GS the maker's.
  SAME(fs_word(), ((struct thread *)data)->own[1]);
  SAME(gs_word(), gs_data[1]);
  u64 own[2] = {3, 4};
  SAME(CALL(SYS_arch_prctl, ARCH_SET_GS, own), 0);
  some_calls();
  SAME(gs_word(), 4);
}

static void over_clone(void) {
  SAME(CALL(SYS_arch_prctl, ARCH_SET_FS, fs_data), 0);
  SAME(CALL(SYS_arch_prctl, ARCH_SET_GS, gs_data), 0);
  unsigned char *stack = map(65536);
  for (u64 i = 0; i < 8; i++) {
    struct thread t;
    t.own[1] = 1000 + i;
    MUST(start_thread(&t, in_thread, &t, stack + 65536) > 0);
    join(&t);
    SAME(fs_word(), fs_data[1]);
    SAME(gs_word(), gs_data[1]);
    const long pid = CALL(SYS_fork);
    SAME(fs_word(), fs_data[1]);
    SAME(gs_word(), gs_data[1]);
    if (pid == 0) leave(3);
    SAME(reap(pid), 3 << 8);
  }
}

struct selectors {
  uint16_t cs, ds, es, fs, gs, ss;
};

static struct selectors selectors(void) {
  struct selectors s;
  __asm__ volatile("mov %%cs, %0\nmov %%ds, %1\nmov %%es, %2\nmov %%fs, %3\nmov %%gs, %4\nmov %%ss, %5\n"
                   : "=r"(s.cs), "=r"(s.ds), "=r"(s.es), "=r"(s.fs), "=r"(s.gs), "=r"(s.ss));
  return s;
}

static void check_selectors(uint16_t ds, uint16_t es) {
  const struct selectors s = selectors();
  SAME(s.cs, 0x33); // __USER_CS
  SAME(s.ss, 0x2b); // __USER_DS
  SAME(s.ds, ds);
  SAME(s.es, es);
  SAME(s.fs, 0);
  SAME(s.gs, 0);
}

// A program begins with null selectors (start_thread), and may load the user's data segment.
static void of_program(void) {
  check_selectors(0, 0);
  __asm__ volatile("mov %0, %%ds" : : "r"(0x2b));
  some_calls();
  check_selectors(0x2b, 0);
  __asm__ volatile("mov %0, %%es" : : "r"(0x2b));
  some_calls();
  check_selectors(0x2b, 0x2b);
  on_signal(SIGILL, ud);
  __asm__ volatile("ud2" : : : "memory");
  check_selectors(0x2b, 0x2b);
  on_signal(SIGALRM, count_alarm);
  alarms(1000);
  while (alarm_count < 5) {
  }
  alarms(0);
  check_selectors(0x2b, 0x2b);
  const long pid = CALL(SYS_fork);
  check_selectors(0x2b, 0x2b);
  if (pid == 0) leave(9);
  SAME(reap(pid), 9 << 8);
  __asm__ volatile("mov %0, %%ds\nmov %0, %%es" : : "r"(0));
  some_calls();
  check_selectors(0, 0);
}

TESTS({"by_call", by_call}, {"by_instruction", by_instruction}, {"gs_by_instruction", gs_by_instruction}, {"over_signals", over_signals},
      {"over_clone", over_clone}, {"of_program", of_program});
