// Interrupts at any moment: while a thread computes, calls, faults or waits. Whatever was interrupted goes on with exact state.
#include "bare.h"

#define ALARMS 60

static void repair(int signal, struct info *info, struct context *c) {
  (void)info;
  SAME(signal, SIGSEGV);
  c->regs[RDX] = c->regs[R15];
}

static void skip(int signal, struct info *info, struct context *c) {
  (void)info;
  SAME(signal, SIGILL);
  c->regs[RIP] += 2;
}

// A long computation with all registers and the flags: it comes to the same result whenever it is interrupted. The red zone holds a part of
// it, and so do vector registers.
static u64 computation(void) {
  u64 result;
  __asm__ volatile("push %%rbp\n"
                   "mov $0x9e3779b97f4a7c15, %%rax\n"
                   "mov $1, %%ebx\nmov $2, %%ecx\nmov $3, %%edx\nmov $4, %%esi\nmov $5, %%edi\nmov $6, %%ebp\n"
                   "mov $7, %%r8d\nmov $8, %%r9d\nmov $9, %%r10d\nmov $10, %%r11d\nmov $11, %%r12d\nmov $12, %%r13d\nmov $13, %%r14d\n"
                   "mov $200000, %%r15d\n"
                   "pxor %%xmm0, %%xmm0\n"
                   "movq %%rax, %%xmm1\n"
                   "1: add %%rax, %%rbx\nadc %%rbx, %%rcx\nadc %%rcx, %%rdx\nadc %%rdx, %%rsi\nadc %%rsi, %%rdi\nadc %%rdi, %%rbp\n"
                   "mov %%rbp, -8(%%rsp)\nmov %%rdi, -120(%%rsp)\n"
                   "rcl $7, %%r8\nadc %%rbp, %%r8\nadc %%r8, %%r9\nadc %%r9, %%r10\nadc %%r10, %%r11\nadc %%r11, %%r12\n"
                   "adc %%r12, %%r13\nadc %%r13, %%r14\n"
                   "adc -8(%%rsp), %%r14\nadc -120(%%rsp), %%rax\n"
                   "movq %%r14, %%xmm2\npaddq %%xmm2, %%xmm0\npxor %%xmm1, %%xmm0\npaddq %%xmm0, %%xmm1\n"
                   "rol $5, %%rax\n"
                   "dec %%r15\n"
                   "jnz 1b\n"
                   "movq %%xmm0, %%r15\n"
                   "add %%r15, %%rax\n"
                   "pop %%rbp\n"
                   : "=a"(result)
                   :
                   : "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "cc", "memory");
  return result;
}

static void compute(void) {
  const u64 alone = computation();
  on_signal(SIGALRM, count_alarm);
  alarms(700);
  while (alarm_count < ALARMS) SAME(computation(), alone);
  alarms(0);
}

extern const char calls_loop[];
__asm__(".text\n"
        "calls_loop: mov $39, %eax\nsyscall\nadd %rax, %rbx\n"
        "mov $39, %eax\nnop\nsyscall\nmov %rax, %r12\nadd %r12, %rbx\n"
        "dec %r15\njnz calls_loop\nud2\n");

// Calls, rewritten or not: each is made exactly once.
static void calls(void) {
  const u64 pid = (u64)CALL(SYS_getpid);
  struct attempt a;
  on_signal(SIGALRM, count_alarm);
  alarms(700);
  for (int n = 0; n < 6 || alarm_count < ALARMS; n++) {
    attempt_pattern(&a);
    a.regs[RBX] = 0;
    a.regs[R15] = 500;
    attempt(&a, calls_loop);
    SAME(a.signal, SIGILL);
    SAME(a.seen[RBX], 1000 * pid);
    SAME(a.seen[R15], 0);
    for (int i = 0; i < 16; i++) {
      if (i == RAX || i == RBX || i == RCX || i == R11 || i == R12 || i == R15) continue;
      SAME(a.seen[i], a.regs[i]);
    }
  }
  alarms(0);
}

extern const char faults_loop[], ud2_alone[];
__asm__(".text\n"
        "ud2_alone: ud2\n"
        "faults_loop: mov %r14, %rdx\n"
        "incq (%rdx)\n" // a fault each time: the handler puts a good address there
        "ud2\n"
        "dec %rbx\njnz faults_loop\n"
        "int3\n");

static u64 word;

static void faults(void) {
  struct attempt a;
  attempt_pattern(&a);
  attempt(&a, ud2_alone); // its handlers first: some are changed below
  on_signal(SIGALRM, count_alarm);
  alarms(700);
  u64 total = 0;
  for (int n = 0; n < 6 || alarm_count < ALARMS; n++) {
    on_signal(SIGSEGV, repair);
    on_signal(SIGILL, skip);
    attempt_pattern(&a);
    a.regs[R14] = 0x1008;
    a.regs[R15] = (u64)&word;
    a.regs[RBX] = 200;
    total += 200;
    attempt(&a, faults_loop);
    SAME(a.signal, SIGTRAP);
    SAME(word, total);
    SAME(a.seen[RDX], &word);
  }
  alarms(0);
}

static volatile u32 ping, finish;

static void other(void *unused) {
  (void)unused;
  const u64 alone = computation();
  while (!get(&finish)) {
    SAME(computation(), alone);
    set(&ping, 1);
    futex_wake(&ping, 1);
  }
}

// Several threads, one of which waits most of the time.
static void threads(void) {
  struct thread t[3];
  on_signal(SIGALRM, count_alarm);
  for (int i = 0; i < 3; i++) MUST(start_thread(&t[i], other, 0, map(65536) + 65536) > 0);
  alarms(700);
  const u64 pid = (u64)CALL(SYS_getpid);
  while (alarm_count < ALARMS) {
    set(&ping, 0);
    while (get(&ping) == 0) futex_wait(&ping, 0);
    SAME(CALL(SYS_getpid), pid);
  }
  alarms(0);
  set(&finish, 1);
  for (int i = 0; i < 3; i++) join(&t[i]);
}

// Processes are copied while they are interrupted.
static void forks(void) {
  on_signal(SIGALRM, count_alarm);
  alarms(700);
  const u64 alone = computation();
  for (int n = 0; n < 20; n++) {
    const long pid = CALL(SYS_fork);
    MUST(pid >= 0);
    if (pid == 0) {
      SAME(computation(), alone);
      leave(n);
    }
    SAME(computation(), alone);
    long r;
    u32 status = 0;
    do r = CALL(SYS_wait4, pid, &status, 0, 0);
    while (r == -4); // EINTR
    SAME(r, pid);
    SAME(status, n << 8);
  }
  alarms(0);
}

TESTS({"compute", compute}, {"calls", calls}, {"faults", faults}, {"threads", threads}, {"forks", forks});
