// Faults as a handler sees them: signal, si_code, address, trap number, error code, and all registers as they were before the instruction
// (exceptions in the Intel and AMD manuals; arch/x86/mm/fault.c, arch/x86/kernel/traps.c). Each was seen on the host first.
#include "bare.h"

#define FLAG_RF 0x10000UL
#define FLAG_AC 0x40000UL

#define CODE(name, text) \
  extern const char name[]; \
  __asm__(".text\n" #name ": " text "\nud2\nnopw 0(%rax,%rax)\n")

CODE(load, "mov (%rdx), %rbx");
CODE(load_byte, "movb (%rdx), %bl");
CODE(store, "mov %rax, (%rdx)");
CODE(update, "addl $1, (%rdx)");
CODE(locked, "lock incq (%rdx)");
CODE(jump, "jmp *%rdx");
CODE(call_rdx, "call *%rdx");
CODE(push, "push %rax");
CODE(pop, "pop %rbx");
CODE(ret_, "ret");
CODE(copy_bytes, "rep movsb");
CODE(aligned_load, "movaps (%rdx), %xmm0");
CODE(vector_load, "movups (%rdx), %xmm0");
CODE(int3_, "int3");
CODE(int3_long, ".byte 0xcd, 3");
CODE(int1_, ".byte 0xf1");
CODE(ud2_, "ud2");
CODE(ud1_, "ud1 %rax, %rbx");
CODE(into_, ".byte 0xce");
CODE(bad_lock, ".byte 0xf0, 0x90");
CODE(push_es, ".byte 0x06");
CODE(far_call, ".byte 0x9a");
CODE(hlt_, "hlt");
CODE(cli_, "cli");
CODE(sti_, "sti");
CODE(in_, "in $0x80, %al");
CODE(out_, "out %al, $0x80");
CODE(outsb_, "outsb");
CODE(rdmsr_, "rdmsr");
CODE(wrmsr_, "wrmsr");
CODE(mov_cr0, "mov %cr0, %rbx");
CODE(mov_cr3, "mov %rbx, %cr3");
CODE(mov_dr0, "mov %dr0, %rbx");
CODE(lgdt_, "lgdt (%rsp)");
CODE(lidt_, "lidt (%rsp)");
CODE(ltr_, "ltr %ax");
CODE(invlpg_, "invlpg (%rsp)");
CODE(wbinvd_, "wbinvd");
CODE(clts_, "clts");
CODE(swapgs_, "swapgs");
CODE(sysret_, "sysretq");
CODE(int_21, "int $0x21");
CODE(int_0e, "int $0x0e");
CODE(int_82, "int $0x82");
CODE(int_ff, "int $0xff");
CODE(bad_selector, "mov %dx, %ds");
CODE(bad_stack_selector, "mov %dx, %ss");
CODE(divide, "div %rbx");
CODE(divide_signed, "idivl %ebx");
CODE(x87_fault, "fninit\nmovl $0x37b, -8(%rsp)\nfldcw -8(%rsp)\nfld1\nfldz\nfdivrp\nx87_here: fwait");
extern const char x87_here[];
CODE(sse_fault, "movl $0x1d80, -8(%rsp)\nldmxcsr -8(%rsp)\nmov $1, %eax\ncvtsi2sd %eax, %xmm0\nxorps %xmm1, %xmm1\nsse_here: divsd %xmm1, %xmm0");
extern const char sse_here[];
CODE(bad_mxcsr, "movl $0xffff0000, -8(%rsp)\nmxcsr_here: ldmxcsr -8(%rsp)");
extern const char mxcsr_here[];
CODE(middle, "mov $0xcc90, %eax");
CODE(long_instruction, ".byte 0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x90");
CODE(undefined_vector, ".byte 0xc5, 0xf8, 0x0a, 0xc0");
CODE(rsm_, ".byte 0x0f, 0xaa");
CODE(rdpmc_, "rdpmc");
CODE(xsetbv_, "xsetbv");

struct expected {
  const char *name;
  const char *code;
  u64 rdx;
  int signal, si_code;
  u64 address, trap, error;
  const char *rip; // NULL: at the instruction
};

#define HERE (~0UL - 1) // the address is the instruction's

static void check(const struct expected *e, u64 rsp, u64 flags) {
  for (int n = 0; n < 3; n++) {
    struct attempt a;
    attempt_pattern(&a);
    a.regs[RDX] = e->rdx;
    a.regs[RSP] = rsp;
    a.regs[RCX] = 8;
    a.flags = flags | 0x202;
    looking_at = e->name;
    attempt(&a, e->code);
    const u64 rip = (u64)(e->rip ? e->rip : e->code);
    SAME(a.signal, e->signal);
    SAME(a.code, e->si_code);
    SAME(a.address, e->address == HERE ? rip : e->address);
    SAME(a.seen[TRAP], e->trap);
    SAME(a.seen[ERROR], e->error);
    SAME(a.seen[RIP], rip);
    if (e->rip != 0) continue; // several instructions, which change what they change
    SAME(a.seen[FLAGS] & ~FLAG_RF, a.flags);
    for (int i = 0; i < 16; i++) SAME(a.seen[i], a.regs[i]);
  }
}

#define PF(name, code, rdx, si_code, address, error) {name, code, (u64)(rdx), SIGSEGV, si_code, (u64)(address), 14, error, 0}
#define RUN(name, rdx, si_code, error) {name, jump, (u64)(rdx), SIGSEGV, si_code, (u64)(rdx), 14, error, (const char *)(rdx)}
#define GP(name, code) {name, code, 0, SIGSEGV, 128, 0, 13, 0, 0}

#define CHECK_ALL(list) \
  do { \
    for (size_t i_ = 0; i_ < NUM(list); i_++) check(&(list)[i_], 0, 0); \
  } while (0)

// Page faults: bit 0 of the error code says whether the page was present, 1 a write, 2 user code, 4 an instruction fetch.
static void memory(void) {
  unsigned char *gone = map(4 * PAGE);
  unsigned char *ro = map(4 * PAGE); // touched
  memset(ro, 0xcc, 4 * PAGE);
  SAME(CALL(SYS_mprotect, ro, 2 * PAGE, PROT_READ), 0);
  unsigned char *fresh = map_at(0, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); // never touched
  unsigned char *fresh_rw = map(PAGE);
  unsigned char *none = map(3 * PAGE);
  memset(none, 1, 3 * PAGE);
  SAME(CALL(SYS_mprotect, none + PAGE, PAGE, 0), 0);
  unsigned char *code = map(PAGE);
  memset(code, 0xcc, PAGE);
  SAME(CALL(SYS_mprotect, code, PAGE, PROT_READ | PROT_EXEC), 0);
  SAME(CALL(SYS_munmap, gone, 4 * PAGE), 0);
  const struct expected list[] = {
      PF("load unmapped", load, gone, 1, gone, 4),
      PF("store unmapped", store, gone + 8, 1, gone + 8, 6),
      PF("update unmapped", update, gone + 12, 1, gone + 12, 6),
      PF("locked unmapped", locked, gone + 16, 1, gone + 16, 6),
      PF("load null", load, 0, 1, 0, 4),
      PF("store 8", store, 8, 1, 8, 6),
      PF("load below the lowest", load, 0xfff0, 1, 0xfff0, 4),
      RUN("run unmapped", gone + 5, 1, 0x14),
      RUN("run low", 0x800UL, 1, 0x14),
      PF("store read-only", store, ro + 64, 2, ro + 64, 7),
      PF("update read-only", update, ro + 64, 2, ro + 64, 7),
      PF("locked read-only", locked, ro + 64, 2, ro + 64, 7),
      PF("store code", store, code + 64, 2, code + 64, 7),
      RUN("run data", ro + 100, 2, 0x15),
      RUN("run writable", ro + 3 * PAGE, 2, 0x15),
      RUN("run fresh", fresh_rw, 2, 0x15), // a fetch brings the page in as a read does, and then finds it forbidden (access_error)
      PF("load forbidden", load, none + PAGE + 24, 2, none + PAGE + 24, 4),
      PF("store forbidden", store, none + PAGE + 24, 2, none + PAGE + 24, 6),
      PF("load into forbidden", load, none + PAGE - 3, 2, none + PAGE, 4),
      PF("store into forbidden", store, none + PAGE - 3, 2, none + PAGE, 6),
      PF("load out of forbidden", load, none + 2 * PAGE - 3, 2, none + 2 * PAGE - 3, 4),
      PF("vector into forbidden", vector_load, none + PAGE - 1, 2, none + PAGE, 4),
      PF("load last byte", load_byte, none + 2 * PAGE - 1, 2, none + 2 * PAGE - 1, 4),
      RUN("run forbidden", none + PAGE, 2, 0x14),
      PF("store fresh read-only", store, fresh, 2, fresh, 6),
  };
  CHECK_ALL(list);
  // What was refused has changed nothing, and may be allowed later.
  SAME(ro[64], 0xcc);
  SAME(CALL(SYS_mprotect, none + PAGE, PAGE, PROT_READ), 0);
  SAME(none[PAGE + 24], 1);
  SAME(fresh[0], 0);
}

// The kernel's half: the address is shown, and the page always as present, so that nothing is learnt of it (set_signal_archinfo).
static void kernel_half(void) {
  const struct expected list[] = {
      PF("load kernel", load, 0xffff888000000000UL, 1, 0xffff888000000000UL, 5),
      PF("load kernel text", load, 0xffffffff81000000UL, 1, 0xffffffff81000000UL, 5),
      PF("store kernel", store, 0xffffc90000000008UL, 1, 0xffffc90000000008UL, 7),
      PF("load the last word", load, 0xfffffffffffffff0UL, 1, 0xfffffffffffffff0UL, 5),
      RUN("run kernel", 0xffffffff81000000UL, 1, 0x15),
  };
  CHECK_ALL(list);
}

// Addresses that are none: a general protection fault without an address, or for the stack a stack fault (arch/x86/kernel/traps.c).
static void no_addresses(void) {
  const struct expected list[] = {
      {"load", load, 0x800000000000UL, SIGSEGV, 128, 0, 13, 0, 0},
      {"store", store, 0xffff7ffffffffff8UL, SIGSEGV, 128, 0, 13, 0, 0},
      {"load far", load, 0x123456789abcdef0UL, SIGSEGV, 128, 0, 13, 0, 0},
      {"jump", jump, 0x800000000000UL, SIGSEGV, 128, 0, 13, 0, 0},
      {"call", call_rdx, 0x8000000000000000UL, SIGSEGV, 128, 0, 13, 0, 0},
      {"aligned load", aligned_load, (u64)attempt_stack + 8, SIGSEGV, 128, 0, 13, 0, 0},
  };
  CHECK_ALL(list);
  const struct expected stacks[] = {
      {"push", push, 0, SIGBUS, 128, 0, 12, 0, 0},
      {"pop", pop, 0, SIGBUS, 128, 0, 12, 0, 0},
      {"ret", ret_, 0, SIGBUS, 128, 0, 12, 0, 0},
  };
  for (size_t i = 0; i < NUM(stacks); i++) check(&stacks[i], 0x900000000000UL, 0);
  u64 *to = (u64 *)(attempt_stack + 4096);
  *to = 0x800000000000UL;
  const struct expected back = {"ret to no address", ret_, 0, SIGSEGV, 128, 0, 13, 0, 0};
  check(&back, (u64)to, 0);
}

// The page of old system calls: a kernel makes them for whoever jumps there (vsyscall=xonly), or has no such page (vsyscall=none). Nobody
// runs what stands there, and nobody is killed for it unasked.
static void old_calls(void) {
  for (int n = 0; n < 8; n++) {
    const u64 page = 0xffffffffff600000UL;
    u64 now[2] = {0, 0}, later[2] = {0, 0};
    struct attempt a;
    SAME(CALL(96, now, 0), 0); // gettimeofday(2)
    attempt_pattern(&a);
    a.regs[RDX] = page + 0x400; // time(2)
    a.regs[RDI] = 0;
    attempt(&a, call_rdx);
    SAME(CALL(96, later, 0), 0);
    if (a.signal == SIGILL) {
      SAME(a.seen[RIP], call_rdx + 2);
      SAME(a.seen[RSP], a.regs[RSP]);
      SAME(a.seen[RBX], a.regs[RBX]);
      MUST(a.seen[RAX] >= now[0] && a.seen[RAX] <= later[0]);
    } else {
      SAME(a.signal, SIGSEGV);
      SAME(a.address, page + 0x400);
      SAME(a.seen[RIP], page + 0x400);
      SAME(a.seen[ERROR], 0x15);
    }
    // Elsewhere in the page there is nothing to call.
    attempt_pattern(&a);
    a.regs[RDX] = page + 0x123;
    attempt(&a, jump);
    SAME(a.signal, SIGSEGV);
    SAME(a.seen[RIP], page + 0x123);
  }
}

static void stack_pages(void) {
  unsigned char *p = map(3 * PAGE);
  memset(p, 0, 3 * PAGE);
  SAME(CALL(SYS_mprotect, p, PAGE, 0), 0);
  const struct expected low = PF("push below", push, 0, 2, p + PAGE - 8, 6);
  check(&low, (u64)p + PAGE, 0);
  const struct expected half = PF("push half below", push, 0, 2, p + PAGE - 4, 6);
  check(&half, (u64)p + PAGE + 4, 0);
  const struct expected call = PF("call below", call_rdx, load, 2, p + PAGE - 8, 6);
  check(&call, (u64)p + PAGE, 0);
  SAME(CALL(SYS_munmap, p + 2 * PAGE, PAGE), 0);
  const struct expected high = PF("pop above", pop, 0, 1, p + 2 * PAGE, 4);
  check(&high, (u64)p + 2 * PAGE, 0);
}

static void traps(void) {
  const struct expected list[] = {
      {"int3", int3_, 0, SIGTRAP, 128, 0, 3, 0, int3_ + 1},
      {"int 3", int3_long, 0, SIGTRAP, 128, 0, 3, 0, int3_long + 2},
      {"int1", int1_, 0, SIGTRAP, 1, HERE, 1, 0, int1_ + 1},
      {"ud2", ud2_, 0, SIGILL, 2, HERE, 6, 0, 0},
      {"ud1", ud1_, 0, SIGILL, 2, HERE, 6, 0, 0},
      {"into", into_, 0, SIGILL, 2, HERE, 6, 0, 0},
      {"lock nop", bad_lock, 0, SIGILL, 2, HERE, 6, 0, 0},
      {"push es", push_es, 0, SIGILL, 2, HERE, 6, 0, 0},
      {"far call", far_call, 0, SIGILL, 2, HERE, 6, 0, 0},
      {"undefined vector", undefined_vector, 0, SIGILL, 2, HERE, 6, 0, 0},
      {"rsm", rsm_, 0, SIGILL, 2, HERE, 6, 0, 0},
  };
  CHECK_ALL(list);
}

static void privileged(void) {
  const struct expected list[] = {
      GP("hlt", hlt_),       GP("cli", cli_),         GP("sti", sti_),         GP("in", in_),
      GP("out", out_),       GP("outsb", outsb_),     GP("rdmsr", rdmsr_),     GP("wrmsr", wrmsr_),
      GP("mov cr0", mov_cr0), GP("mov to cr3", mov_cr3), GP("mov dr0", mov_dr0), GP("lgdt", lgdt_),
      GP("lidt", lidt_),     GP("ltr", ltr_),         GP("invlpg", invlpg_),   GP("wbinvd", wbinvd_),
      GP("clts", clts_),     GP("swapgs", swapgs_),   GP("sysret", sysret_),   GP("xsetbv", xsetbv_),
      GP("rdpmc", rdpmc_),   GP("an instruction of sixteen bytes", long_instruction),
  };
  CHECK_ALL(list);
}

// Gates that user code may not use: the error code is the entry of the table, with bit 1 for the interrupt table.
static void gates(void) {
  const struct expected list[] = {
      {"int $0x21", int_21, 0, SIGSEGV, 128, 0, 13, 0x21 * 8 + 2, 0},
      {"int $0x0e", int_0e, 0, SIGSEGV, 128, 0, 13, 0x0e * 8 + 2, 0},
      {"int $0x82", int_82, 0, SIGSEGV, 128, 0, 13, 0x82 * 8 + 2, 0},
      {"int $0xff", int_ff, 0, SIGSEGV, 128, 0, 13, 0xff * 8 + 2, 0},
      {"ds of no entry", bad_selector, 0x7ffb, SIGSEGV, 128, 0, 13, 0x7ff8, 0},
      {"ds of the kernel", bad_selector, 0x10, SIGSEGV, 128, 0, 13, 0x10, 0},
      {"null ss", bad_stack_selector, 0, SIGSEGV, 128, 0, 13, 0, 0},
      {"code as ss", bad_stack_selector, 0x33, SIGSEGV, 128, 0, 13, 0x30, 0},
  };
  CHECK_ALL(list);
}

static void arithmetic(void) {
  struct attempt a;
  attempt_pattern(&a);
  a.regs[RBX] = 0;
  attempt(&a, divide);
  SAME(a.signal, SIGFPE);
  SAME(a.code, 1);
  SAME(a.address, divide);
  SAME(a.seen[TRAP], 0);
  SAME(a.seen[ERROR], 0);
  attempt_pattern(&a);
  a.regs[RAX] = 0x80000000;
  a.regs[RDX] = 0xffffffff;
  a.regs[RBX] = 0xffffffff;
  attempt(&a, divide_signed);
  SAME(a.signal, SIGFPE);
  SAME(a.code, 1);
  SAME(a.seen[RIP], divide_signed);
  const struct expected list[] = {
      {"x87 division by zero", x87_fault, 0, SIGFPE, 3, HERE, 16, 0, x87_here},
      {"SSE division by zero", sse_fault, 0, SIGFPE, 3, HERE, 19, 0, sse_here},
      {"reserved bits of MXCSR", bad_mxcsr, 0, SIGSEGV, 128, 0, 13, 0, mxcsr_here},
  };
  CHECK_ALL(list);
}

// Alignment is checked where the flag says so (CR0.AM is set).
static void alignment(void) {
  const struct expected list[] = {
      {"load", load, (u64)attempt_stack + 1, SIGBUS, 1, 0, 17, 0, 0},
      {"store", store, (u64)attempt_stack + 4, SIGBUS, 1, 0, 17, 0, 0},
  };
  for (size_t i = 0; i < NUM(list); i++) check(&list[i], 0, FLAG_AC);
}

// Behind the end of a file there is no page: SIGBUS (mmap(2)).
static void file_end(void) {
  const int fd = memory_file(PAGE + 100);
  unsigned char *p = map_at(0, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  unsigned char *q = map_at(0, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  unsigned char *x = map_at(0, 4 * PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
  p[PAGE + 99] = 7;
  SAME(p[2 * PAGE - 1], 0);
  SAME(q[PAGE + 99], 7);
  const struct expected list[] = {
      {"load", load, (u64)p + 2 * PAGE + 16, SIGBUS, 2, (u64)p + 2 * PAGE + 16, 14, 4, 0},
      {"store", store, (u64)p + 2 * PAGE + 16, SIGBUS, 2, (u64)p + 2 * PAGE + 16, 14, 6, 0},
      {"load across", load, (u64)p + 2 * PAGE - 3, SIGBUS, 2, (u64)p + 2 * PAGE, 14, 4, 0},
      {"private load", load, (u64)q + 3 * PAGE, SIGBUS, 2, (u64)q + 3 * PAGE, 14, 4, 0},
      {"private store", store, (u64)q + 3 * PAGE, SIGBUS, 2, (u64)q + 3 * PAGE, 14, 6, 0},
      {"run", jump, (u64)x + 2 * PAGE, SIGBUS, 2, (u64)x + 2 * PAGE, 14, 0x14, (const char *)x + 2 * PAGE},
  };
  CHECK_ALL(list);
  // The file grows, and the pages are there; it shrinks, and they are gone.
  SAME(CALL(SYS_ftruncate, fd, 4 * PAGE), 0);
  p[3 * PAGE] = 9;
  SAME(q[3 * PAGE], 9);
  SAME(CALL(SYS_ftruncate, fd, 2 * PAGE), 0);
  CHECK_ALL(list);
  SAME(CALL(SYS_ftruncate, fd, PAGE), 0);
  const struct expected gone = {"cut off", load, (u64)p + PAGE, SIGBUS, 2, (u64)p + PAGE, 14, 4, 0};
  check(&gone, 0, 0);
}

// A string instruction that faults has done what it had done.
static void strings(void) {
  unsigned char *from = map(PAGE), *to = map(2 * PAGE);
  SAME(CALL(SYS_munmap, to + PAGE, PAGE), 0);
  for (u64 i = 0; i < 100; i++) from[i] = (unsigned char)(i + 1);
  struct attempt a;
  attempt_pattern(&a);
  a.regs[RSI] = (u64)from;
  a.regs[RDI] = (u64)to + PAGE - 40;
  a.regs[RCX] = 100;
  attempt(&a, copy_bytes);
  SAME(a.signal, SIGSEGV);
  SAME(a.address, to + PAGE);
  SAME(a.seen[ERROR], 6);
  SAME(a.seen[RCX], 60);
  SAME(a.seen[RSI], from + 40);
  SAME(a.seen[RDI], to + PAGE);
  SAME(a.seen[RIP], copy_bytes);
  SAME(memcmp(to + PAGE - 40, from, 40), 0);
}

static void repair(int signal, struct info *info, struct context *c) {
  SAME(signal, SIGSEGV);
  SAME(info->address, c->regs[R14]);
  c->regs[RDX] = c->regs[R15];
}

// The instruction is made again when the handler returns, with the registers that it left.
static void again(void) {
  struct attempt a;
  attempt_pattern(&a);
  attempt(&a, ud2_);
  static u64 word;
  on_signal(SIGSEGV, repair);
  for (u64 n = 1; n < 50; n++) {
    attempt_pattern(&a);
    a.regs[RDX] = a.regs[R14] = 0x1000 + 16 * n;
    a.regs[R15] = (u64)&word;
    a.regs[RAX] = n;
    attempt(&a, store); // then the ud2 behind it
    SAME(a.signal, SIGILL);
    SAME(word, n);
    SAME(a.seen[RDX], &word);
    SAME(a.seen[RBX], a.regs[RBX]);
  }
}

// Code may be entered anywhere: the middle of one instruction is another.
static void inside(void) {
  struct attempt a;
  attempt_pattern(&a);
  attempt(&a, middle + 2); // b8 90 cc 00 00: from the second byte on nop, int3
  SAME(a.signal, SIGTRAP);
  SAME(a.seen[RIP], middle + 3);
  attempt_pattern(&a);
  attempt(&a, middle + 1);
  SAME(a.signal, SIGTRAP);
  attempt_pattern(&a);
  attempt(&a, middle);
  SAME(a.signal, SIGILL);
  SAME(a.seen[RAX], 0xcc90);
}

TESTS({"memory", memory}, {"kernel_half", kernel_half}, {"no_addresses", no_addresses}, {"old_calls", old_calls},
      {"stack_pages", stack_pages}, {"traps", traps},
      {"privileged", privileged}, {"gates", gates}, {"arithmetic", arithmetic}, {"alignment", alignment}, {"file_end", file_end},
      {"strings", strings}, {"again", again}, {"inside", inside});
