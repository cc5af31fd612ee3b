// The runtime of bare.h.
#include "bare.h"

const char *looking_at = "start";
u64 test_number;
volatile u32 alarm_count;

__asm__(".globl _start\n"
        "_start:\n"
        "xor %ebp, %ebp\n"
        "mov %rsp, %rdi\n"
        "and $-16, %rsp\n"
        "call run_tests\n"
        "ud2\n"
        ".globl restorer\n"
        "restorer:\n"
        "mov $15, %eax\n"
        "syscall\n"
        "ud2\n"
        ".section .note.GNU-stack, \"\", @progbits\n"
        ".text\n");
void restorer(void);

void *memset(void *to, int value, size_t n) {
  void *start = to;
  __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(value) : "memory");
  return start;
}

void *memcpy(void *to, const void *from, size_t n) {
  void *start = to;
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
  return start;
}

int memcmp(const void *a, const void *b, size_t n) {
  const unsigned char *p = a, *q = b;
  for (size_t i = 0; i < n; i++) {
    if (p[i] != q[i]) return p[i] - q[i];
  }
  return 0;
}

static int equal(const char *a, const char *b) {
  const size_t n = length_of(a);
  return n == length_of(b) && memcmp(a, b, n) == 0;
}

__attribute__((used)) void run_tests(const u64 *stack) {
  const char *wanted = stack[0] > 1 ? (const char *)stack[2] : "";
  for (const char *p = stack[0] > 2 ? (const char *)stack[3] : ""; *p != 0; p++) test_number = test_number * 10 + (u64)(*p - '0');
  for (size_t i = 0; i < test_count; i++) {
    if (!equal(wanted, tests[i].name)) continue;
    looking_at = tests[i].name;
    tests[i].run();
    say("ok ");
    say(wanted);
    say("\n");
    leave(0);
  }
  // Without a name, or with one that there is not: what there is.
  for (size_t i = 0; i < test_count; i++) {
    say(tests[i].name);
    say("\n");
  }
  leave(2);
}

int memory_file(size_t bytes) {
  const long fd = CALL(SYS_memfd_create, "guest", 0);
  MUST(fd >= 0);
  SAME(CALL(SYS_ftruncate, fd, bytes), 0);
  return (int)fd;
}

#define SA_SIGINFO 4UL
#define SA_RESTORER 0x04000000UL
#define SA_ONSTACK 0x08000000UL

void on_signal(int signal, handler *h) {
  const struct {
    handler *h;
    u64 flags;
    void (*restorer)(void);
    u64 mask;
  } sa = {h, SA_SIGINFO | SA_RESTORER | SA_ONSTACK, restorer, 0};
  SAME(CALL(SYS_rt_sigaction, signal, &sa, 0, 8), 0);
}

void alternate_stack(void) {
  const struct {
    unsigned char *sp;
    u64 flags, size;
  } s = {map(65536), 0, 65536};
  SAME(CALL(SYS_sigaltstack, &s, 0), 0);
}

void count_alarm(int signal, struct info *info, struct context *c) {
  (void)signal;
  (void)info;
  (void)c;
  // All that a handler may use is used.
  __asm__ volatile("fninit\nfldpi\nfld1\npxor %%xmm0, %%xmm0\nmovaps %%xmm0, %%xmm7\nmovaps %%xmm0, %%xmm15\n" : : : "memory");
  alarm_count++;
}

void alarms(u64 microseconds) {
  const u64 timer[4] = {0, microseconds, 0, microseconds};
  SAME(CALL(SYS_setitimer, 0, timer, 0), 0);
}

unsigned char attempt_stack[ATTEMPT_STACK] __attribute__((aligned(64)));
u64 attempt_sp;
const void *attempt_code;
static struct attempt *attempt_now;
void attempt_run(u64 *regs);
extern const char attempt_back[];
__asm__(".text\n"
        "attempt_run:\n"
        "push %rbx\npush %rbp\npush %r12\npush %r13\npush %r14\npush %r15\n"
        "mov %rsp, attempt_sp(%rip)\n"
        "mov %rdi, %rax\n"
        "mov 0(%rax), %r8\nmov 8(%rax), %r9\nmov 16(%rax), %r10\nmov 24(%rax), %r11\n"
        "mov 32(%rax), %r12\nmov 40(%rax), %r13\nmov 48(%rax), %r14\nmov 56(%rax), %r15\n"
        "mov 64(%rax), %rdi\nmov 72(%rax), %rsi\nmov 80(%rax), %rbp\nmov 88(%rax), %rbx\n"
        "mov 96(%rax), %rdx\nmov 112(%rax), %rcx\n"
        "push 128(%rax)\n"
        "mov 120(%rax), %rsp\n" // the flags need a stack
        "mov 104(%rax), %rax\n"
        "xchg attempt_sp(%rip), %rsp\n"
        "lea -8(%rsp), %rsp\n"
        "popf\n"
        "xchg attempt_sp(%rip), %rsp\n"
        "jmp *attempt_code(%rip)\n"
        "attempt_back:\n"
        "mov attempt_sp(%rip), %rsp\n"
        "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbp\npop %rbx\n"
        "ret\n");

static void on_attempt(int signal, struct info *info, struct context *c) {
  struct attempt *a = attempt_now;
  a->signal = signal;
  a->code = info->code;
  a->address = info->address;
  for (int i = 0; i < GREGS; i++) a->seen[i] = c->regs[i];
  c->regs[RIP] = (u64)attempt_back;
  c->regs[FLAGS] = 0x202;
}

void attempt_pattern(struct attempt *a) {
  for (int i = 0; i < 16; i++) a->regs[i] = 0x0123456789abcdefULL * (u64)(2 * i + 3);
  a->regs[RSP] = 0;
  a->flags = 0x202;
  a->signal = 0;
}

void attempt(struct attempt *a, const void *code) {
  static int ready;
  static const unsigned char all[] = {SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV};
  if (!ready) {
    alternate_stack();
    for (size_t i = 0; i < NUM(all); i++) on_signal(all[i], on_attempt);
    ready = 1;
  }
  if (a->regs[RSP] == 0) a->regs[RSP] = (u64)attempt_stack + ATTEMPT_STACK - 512;
  attempt_now = a;
  attempt_code = code;
  attempt_run(a->regs);
}

// rdi: struct thread; rsi: the end of its stack.
long clone_thread(struct thread *t, unsigned char *stack, u64 flags, u64 *own);
__asm__(".text\n"
        "clone_thread:\n"
        "push %rbx\n"
        "mov %rdi, %rbx\n"
        "mov %rcx, %r8\n" // FS base
        "mov %rdx, %rax\n"
        "mov %rbx, %rdx\n" // parent's tid word: the first of struct thread
        "mov %rbx, %r10\n"
        "mov %rax, %rdi\n"
        "mov $56, %eax\n"
        "syscall\n"
        "test %rax, %rax\n"
        "jz 1f\n"
        "pop %rbx\n"
        "ret\n"
        "1: xor %ebp, %ebp\n"
        "mov %rbx, %rdi\n"
        "call thread_main\n"
        "ud2\n");

__attribute__((used)) void thread_main(struct thread *t) {
  t->run(t->argument);
  leave_thread();
}

long start_thread(struct thread *t, void (*run)(void *), void *argument, unsigned char *stack) {
  t->tid = 0;
  t->run = run;
  t->argument = argument;
  return clone_thread(t, (unsigned char *)((u64)stack & ~15UL), THREAD_FLAGS, t->own);
}

void join(struct thread *t) {
  for (;;) {
    const u32 tid = get(&t->tid);
    if (tid == 0) return;
    futex_wait(&t->tid, tid); // the kernel wakes it: not a private futex
  }
}

u32 reap(long pid) {
  u32 status = ~0U;
  const long r = CALL(SYS_wait4, pid, &status, 0, 0);
  if (pid > 0) SAME(r, pid);
  MUST(r > 0);
  return status;
}
