// What a system call leaves of a thread's registers, flags and stack: all but rax, rcx and r11 (syscall(2); SYSCALL in the Intel and AMD
// manuals; arch/x86/entry/entry_64.S), whatever the stack pointer is.
#include "bare.h"

#define FLAG_RF 0x10000UL // what a fault pushes shows it (Intel SDM 3, 18.3.1.1)
#define FLAG_TF 0x100UL
#define CALLS 24 // an engine may rewrite the call site meanwhile

extern const char call_bare[], call_bare_end[], call_leaf[], call_leaf_end[], call_pair[], call_pair_end[], call_child[], call_child_here[];
extern const char two_traps[], two_traps_end[], steps_start[], steps_end[];
u64 child_regs[16], child_flags;
__asm__(".text\n"
        "call_bare: syscall\ncall_bare_end: ud2\n"
        "nopw 0(%rax,%rax)\n"
        "call_leaf: mov $39, %eax\nsyscall\ncall_leaf_end: ud2\n"
        "nopw 0(%rax,%rax)\n"
        "call_pair: syscall\nmov %rax, %rax\ncall_pair_end: ud2\n"
        "nopw 0(%rax,%rax)\n"
        "two_traps: int3\ntwo_traps_end: ud2\n"
        // clone(2) without waiting for anybody: the child writes its registers down.
        "call_child: mov $56, %eax\nsyscall\ncall_child_here: test %rax, %rax\njz 1f\nud2\n"
        "1: mov %r8, child_regs+0(%rip)\nmov %r9, child_regs+8(%rip)\nmov %r10, child_regs+16(%rip)\nmov %r11, child_regs+24(%rip)\n"
        "mov %r12, child_regs+32(%rip)\nmov %r13, child_regs+40(%rip)\nmov %r14, child_regs+48(%rip)\nmov %r15, child_regs+56(%rip)\n"
        "mov %rdi, child_regs+64(%rip)\nmov %rsi, child_regs+72(%rip)\nmov %rbp, child_regs+80(%rip)\nmov %rbx, child_regs+88(%rip)\n"
        "mov %rdx, child_regs+96(%rip)\nmov %rax, child_regs+104(%rip)\nmov %rcx, child_regs+112(%rip)\nmov %rsp, child_regs+120(%rip)\n"
        "mov $60, %eax\nxor %edi, %edi\nsyscall\nud2\n");

static const u64 flag_bits[] = {0, 1, 4, 0x10, 0x40, 0x80, 0x400, 0x800, 0xcd5, 0x40000, 0x200000, 0x240cd5};

static void same_registers(const struct attempt *a, u64 result, const char *behind, const char *end) {
  for (int i = 0; i < 16; i++) {
    if (i == RAX || i == RCX || i == R11) continue;
    SAME(a->seen[i], a->regs[i]);
  }
  SAME(a->signal, SIGILL);
  SAME(a->seen[RAX], result);
  SAME(a->seen[RCX], behind);
  SAME(a->seen[R11], a->flags);
  SAME(a->seen[RIP], end);
  SAME(a->seen[FLAGS] & ~FLAG_RF, a->flags);
}

static void registers(void) {
  const struct {
    const char *code, *behind, *end;
  } shapes[] = {{call_bare, call_bare + 2, call_bare_end}, {call_leaf, call_leaf + 7, call_leaf_end}, {call_pair, call_pair + 2, call_pair_end}};
  const u64 pid = (u64)CALL(SYS_getpid);
  for (size_t s = 0; s < NUM(shapes); s++) {
    for (int n = 0; n < CALLS; n++) {
      struct attempt a;
      attempt_pattern(&a);
      a.flags = flag_bits[(size_t)n % NUM(flag_bits)] | 0x202;
      a.regs[RAX] = SYS_getpid;
      attempt(&a, shapes[s].code);
      same_registers(&a, pid, shapes[s].behind, shapes[s].end);
    }
  }
}

// The number is an int: do_syscall_64 of arch/x86/entry/syscall_64.c.
static void numbers(void) {
  const u64 pid = (u64)CALL(SYS_getpid);
  const struct {
    u64 number, result;
  } cases[] = {{SYS_getpid, pid}, {500, -38UL}, {-1UL, -38UL}, {1UL << 32 | SYS_getpid, pid}, {~0UL << 32 | SYS_getpid, pid},
               {0x80000000UL | SYS_getpid, -38UL}, {0x7fffffffUL, -38UL}, {SYS_getpid, pid}};
  for (size_t i = 0; i < NUM(cases); i++) {
    for (int n = 0; n < 4; n++) {
      struct attempt a;
      attempt_pattern(&a);
      a.regs[RAX] = cases[i].number;
      attempt(&a, call_bare);
      same_registers(&a, cases[i].result, call_bare + 2, call_bare_end);
    }
  }
}

// Nobody looks at the stack: neither where there is none, nor at the 128 bytes below it (System V ABI, 3.2.2).
static void stacks(void) {
  static unsigned char before[ATTEMPT_STACK];
  unsigned char *gone = map(2 * PAGE);
  SAME(CALL(SYS_munmap, gone, 2 * PAGE), 0);
  const u64 middle = (u64)attempt_stack + ATTEMPT_STACK / 2;
  const u64 pointers[] = {middle, middle - 3, (u64)attempt_stack, (u64)gone + 100, 8, 1,
                          0x7ffffffffff8UL, 0x800000000000UL, -8UL, 0xffffffffff600000UL, middle};
  const u64 pid = (u64)CALL(SYS_getpid);
  for (size_t i = 0; i < NUM(pointers); i++) {
    for (int n = 0; n < 8; n++) {
      struct attempt a;
      attempt_pattern(&a);
      a.regs[RSP] = pointers[i];
      a.regs[RAX] = SYS_getpid;
      for (int k = 0; k < ATTEMPT_STACK; k++) attempt_stack[k] = (unsigned char)(k * 7 + n);
      memcpy(before, attempt_stack, ATTEMPT_STACK);
      attempt(&a, n % 2 ? call_leaf : call_pair);
      same_registers(&a, pid, n % 2 ? call_leaf + 7 : call_pair + 2, n % 2 ? call_leaf_end : call_pair_end);
      SAME(memcmp(before, attempt_stack, ATTEMPT_STACK), 0);
    }
  }
}

// A call whose instruction is the last thing before an unmapped page: it is made, and then the next instruction is missing.
static void page_end(void) {
  const u64 pid = (u64)CALL(SYS_getpid);
  for (int shape = 0; shape < 2; shape++) {
    unsigned char *p = map(2 * PAGE);
    SAME(CALL(SYS_munmap, p + PAGE, PAGE), 0);
    static const unsigned char code[] = {0xb8, SYS_getpid, 0, 0, 0, 0x0f, 0x05};
    const size_t skip = shape ? 5 : 0;
    unsigned char *at = p + PAGE - (sizeof code - skip);
    memcpy(at, code + skip, sizeof code - skip);
    SAME(CALL(SYS_mprotect, p, PAGE, PROT_READ | PROT_EXEC), 0);
    for (int n = 0; n < CALLS; n++) {
      struct attempt a;
      attempt_pattern(&a);
      a.regs[RAX] = SYS_getpid;
      attempt(&a, at);
      SAME(a.signal, SIGSEGV);
      SAME(a.code, 1);
      SAME(a.address, p + PAGE);
      SAME(a.seen[RIP], p + PAGE);
      SAME(a.seen[ERROR], 0x14);
      SAME(a.seen[TRAP], 14);
      SAME(a.seen[RAX], pid);
      SAME(a.seen[RCX], p + PAGE);
    }
  }
}

// All six arguments arrive.
static void arguments(void) {
  const int fd = memory_file(4 * PAGE);
  unsigned char *p = map_at(0, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  for (u64 i = 0; i < 4; i++) p[i * PAGE] = (unsigned char)(i + 5);
  unsigned char *q = map(PAGE);
  for (u64 i = 0; i < 20; i++) {
    const u64 page = i % 4;
    SAME(CALL(SYS_mmap, q, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, page * PAGE), q);
    SAME(*q, page + 5);
  }
}

static struct attempt *returned;

static void on_trap(int signal, struct info *info, struct context *c) {
  SAME(signal, SIGTRAP);
  SAME(info->code, 0x80);
  SAME(c->regs[RIP], two_traps_end);
  for (int i = 0; i < 16; i++) {
    SAME(c->regs[i], returned->regs[i]);
    if (i != RSP) c->regs[i] = returned->regs[i] = ~returned->regs[i] * 3;
  }
  c->regs[FLAGS] = returned->flags;
}

// rt_sigreturn(2) sets all registers, rcx and r11 among them.
static void all_registers(void) {
  struct attempt a;
  attempt_pattern(&a);
  attempt(&a, call_leaf);
  on_signal(SIGTRAP, on_trap);
  for (size_t n = 0; n < CALLS; n++) {
    attempt_pattern(&a);
    a.regs[RSP] = (u64)attempt_stack + 8192;
    returned = &a;
    const u64 wanted = (flag_bits[n % NUM(flag_bits)] & ~0x200000UL) | 0x202; // ID is not rt_sigreturn's to change (FIX_EFLAGS)
    a.flags = wanted;
    attempt(&a, two_traps);
    SAME(a.signal, SIGILL);
    for (int i = 0; i < 16; i++) SAME(a.seen[i], a.regs[i]);
    SAME(a.seen[RIP], two_traps_end);
    SAME(a.seen[FLAGS] & ~FLAG_RF, wanted);
  }
}

// The child of fork(2) and the thread of clone(2) have their maker's registers, but for rax and the stack pointer.
static void children(void) {
  static unsigned char stack[4096] __attribute__((aligned(16)));
  const u64 flags[] = {17, 17 | 0x100, 17 | 0x4100}; // SIGCHLD; CLONE_VM; CLONE_VM and CLONE_VFORK
  for (size_t n = 0; n < CALLS; n++) {
    struct attempt a;
    attempt_pattern(&a);
    a.flags = flag_bits[n % NUM(flag_bits)] | 0x202;
    // The child of fork(2) writes to memory of its own: only those with ours are looked at.
    const size_t kind = 1 + n % 2;
    a.regs[RDI] = flags[kind];
    a.regs[RSI] = (u64)stack + sizeof stack - 64;
    a.regs[RDX] = a.regs[R10] = 0;
    child_regs[RSP] = 0;
    attempt(&a, call_child);
    MUST((long)a.seen[RAX] > 0);
    reap((long)a.seen[RAX]);
    for (int i = 0; i < 16; i++) {
      const u64 wanted = i == RAX ? 0 : i == RSP ? a.regs[RSI] : i == RCX ? (u64)call_child_here : i == R11 ? a.flags : a.regs[i];
      SAME(child_regs[i], wanted);
      if (i != RAX) SAME(a.seen[i], i == RSP ? a.regs[RSP] : wanted);
    }
  }
  // fork(2): the child looks itself.
  for (size_t n = 0; n < CALLS; n++) {
    struct attempt a;
    attempt_pattern(&a);
    a.flags = flag_bits[n % NUM(flag_bits)] | 0x202;
    a.regs[RAX] = SYS_fork;
    attempt(&a, call_bare);
    const u64 pid = a.seen[RAX];
    same_registers(&a, pid, call_bare + 2, call_bare_end);
    if (pid == 0) leave(7);
    SAME(reap((long)pid), 7 << 8);
  }
}

static u64 stepped[64];
static u32 step_count;

static void on_step(int signal, struct info *info, struct context *c) {
  SAME(signal, SIGTRAP);
  SAME(info->code, 2); // TRAP_TRACE
  SAME(info->address, c->regs[RIP]);
  SAME(c->regs[TRAP], 1);
  if (step_count < NUM(stepped)) stepped[step_count] = c->regs[RIP] - (u64)steps_start;
  step_count++;
}

u64 pushed_flags;
__asm__(".text\n"
        "steps: push %rbx\n"
        "pushf\norl $0x100, (%rsp)\npopf\n"
        "nop\n" // the trap comes behind this
        "steps_start: pushf\n"
        "pop pushed_flags(%rip)\n"
        "mov $39, %eax\n"
        "syscall\n"
        "mov %rax, %rbx\n"
        "mov $39, %eax\n"
        "nop\n"
        "syscall\n"
        "steps_mid: nop\n"
        "cpuid\n"
        "rdtsc\n"
        "push %rax\n"
        "andl $~0x100, 0(%rsp)\n"
        "pop %rax\n"
        "pushf\n"
        "andl $~0x100, (%rsp)\n"
        "popf\n"
        "steps_end: nop\n"
        "pop %rbx\n"
        "ret\n");
void steps(void);

// Each instruction is a trap, a system call with what it does included; the flag shows in what pushf stores.
static void single_steps(void) {
  on_signal(SIGTRAP, on_step);
  for (int n = 0; n < CALLS; n++) {
    step_count = 0;
    steps();
    MUST((pushed_flags & FLAG_TF) != 0);
    const u32 count = step_count;
    // A system call does not trap by itself: what it returns to is the instruction behind it (SYSCALL clears the flag, IRET sets it).
    static const unsigned char expected[] = {0,    1,    0x07, 0x0c, 0x11, 0x16, 0x17, 0x1a,
                                             0x1c, 0x1e, 0x1f, 0x26, 0x27, 0x28, 0x2f, 0x30};
    SAME(count, NUM(expected));
    for (u32 i = 0; i < count; i++) SAME(stepped[i], expected[i]);
  }
}

TESTS({"registers", registers}, {"numbers", numbers}, {"stacks", stacks}, {"page_end", page_end}, {"arguments", arguments},
      {"all_registers", all_registers}, {"children", children}, {"single_steps", single_steps});
