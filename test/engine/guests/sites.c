// Rewritten call sites, seen from inside: sites NAME. Code is generated, so that every byte is known; what a call at a site must leave
// behind is computed by running the instruction behind it alone.
#include "guest.h"

#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <ucontext.h>

#define CODE 0x20000000UL
#define CODE_PAGES 4
#define CALLS 50

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, FLAGS, WORDS };

uint64_t regs_in[WORDS], regs_out[WORDS], run_at;

// Runs the code at run_at with the registers of regs_in until it jumps to run_back, which leaves them in regs_out.
void run_site(void);
extern const char run_back[];
__asm__(".text\n"
        "run_site:\n"
        "push %rbx\npush %rbp\npush %r12\npush %r13\npush %r14\npush %r15\n"
        "mov %rsp, run_stack(%rip)\n"
        "push regs_in+128(%rip)\n"
        "popf\n"
        "mov regs_in+0(%rip), %rax\nmov regs_in+8(%rip), %rcx\nmov regs_in+16(%rip), %rdx\nmov regs_in+24(%rip), %rbx\n"
        "mov regs_in+32(%rip), %rsp\nmov regs_in+40(%rip), %rbp\nmov regs_in+48(%rip), %rsi\nmov regs_in+56(%rip), %rdi\n"
        "mov regs_in+64(%rip), %r8\nmov regs_in+72(%rip), %r9\nmov regs_in+80(%rip), %r10\nmov regs_in+88(%rip), %r11\n"
        "mov regs_in+96(%rip), %r12\nmov regs_in+104(%rip), %r13\nmov regs_in+112(%rip), %r14\nmov regs_in+120(%rip), %r15\n"
        "jmp *run_at(%rip)\n"
        "run_back:\n"
        "mov %rax, regs_out+0(%rip)\nmov %rcx, regs_out+8(%rip)\nmov %rdx, regs_out+16(%rip)\nmov %rbx, regs_out+24(%rip)\n"
        "mov %rsp, regs_out+32(%rip)\nmov %rbp, regs_out+40(%rip)\nmov %rsi, regs_out+48(%rip)\nmov %rdi, regs_out+56(%rip)\n"
        "mov %r8, regs_out+64(%rip)\nmov %r9, regs_out+72(%rip)\nmov %r10, regs_out+80(%rip)\nmov %r11, regs_out+88(%rip)\n"
        "mov %r12, regs_out+96(%rip)\nmov %r13, regs_out+104(%rip)\nmov %r14, regs_out+112(%rip)\nmov %r15, regs_out+120(%rip)\n"
        "mov run_stack(%rip), %rsp\n"
        "pushf\n"
        "pop regs_out+128(%rip)\n"
        "push $0x202\n"
        "popf\n"
        "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbp\npop %rbx\n"
        "ret\n"
        ".local run_stack\n.comm run_stack, 8, 8\n");

static int hosted;
static int patching;
static long pid;
static unsigned char *code_end;
// The code's own stack, with room for a signal frame of the host's.
static unsigned char stack[5 * PAGE] __attribute__((aligned(64)));
#define MIDDLE ((uint64_t)stack + 4 * PAGE)

static void open_code(void) {
  MUST(mprotect((void *)CODE, CODE_PAGES * PAGE, PROT_READ | PROT_WRITE) == 0);
}

static void close_code(void) { MUST(mprotect((void *)CODE, CODE_PAGES * PAGE, PROT_READ | PROT_EXEC) == 0); }

static uint64_t put(const void *bytes, size_t n) {
  unsigned char *p = code_end;
  memcpy(p, bytes, n);
  code_end += n;
  return (uint64_t)p;
}

// jmp *...(%rip) to run_back: changes nothing, and reads an aligned word.
static void put_back(void) {
  const uint64_t back = (uint64_t)run_back;
  const int32_t distance = (int32_t)(-(uint64_t)(code_end + 6) & 7);
  put("\xff\x25", 2);
  put(&distance, 4);
  code_end += distance;
  put(&back, 8);
  code_end = (unsigned char *)(((uint64_t)code_end + 63) & ~63UL);
}

static void settle(void) {
  for (int i = 0; i < 5; i++) {
    ask(ASK_PATCHED);
    getpid();
  }
}

static void run(uint64_t at) {
  run_at = at;
  run_site();
}

static void registers_for(uint64_t flags, uint64_t sp) {
  for (int i = 0; i < 16; i++) regs_in[i] = 0x0123456789abcdefULL * (uint64_t)(2 * i + 3);
  regs_in[RAX] = SYS_getpid;
  regs_in[RDX] = (uint64_t)stack + 256;
  regs_in[RSP] = sp;
  regs_in[FLAGS] = flags | 0x202;
}

struct shape {
  const char *name;
  const char *before;
  uint8_t before_bytes;
  const char *behind;
  uint8_t behind_bytes;
  uint8_t good; // it may be rewritten; 2: what it does depends on where it stands
};

#define SHAPE(name, before, behind, good) {name, before, sizeof before - 1, behind, sizeof behind - 1, good}
#define LEAF "\xb8\x27\0\0\0"
#define NOP4 "\x90\x90\x90\x90"

static const struct shape shapes[] = {
    SHAPE("mov $nr", LEAF, "\x90", 1),
    SHAPE("mov $nr and ret", LEAF, "\xeb\0", 1),
    SHAPE("cmp imm32, rax", "", "\x48\x3d\x01\xf0\xff\xff", 1),
    SHAPE("cmp imm32, eax", "", "\x3d\x01\xf0\xff\xff", 1),
    SHAPE("cmp imm8, rax", "", "\x48\x83\xf8\x05", 1),
    SHAPE("test rax", "", "\x48\x85\xc0", 1),
    SHAPE("mov rax, rdi", "", "\x48\x89\xc7", 1),
    SHAPE("mov rax, rcx", "", "\x48\x89\xc1", 1),
    SHAPE("mov rcx, r12", "", "\x49\x89\xcc", 1),
    SHAPE("mov r11, r13", "", "\x4d\x89\xdd", 1),
    SHAPE("mov eax, 0x30(rsp)", "", "\x89\x44\x24\x30", 1),
    SHAPE("mov rax, -8(rsp)", "", "\x48\x89\x44\x24\xf8", 1),
    SHAPE("mov rax, (rdx)", "", "\x48\x89\x02", 1),
    SHAPE("mov eax, 0x40(rdx)", "", "\x89\x42\x40", 1),
    SHAPE("mov 0x110(rdx), ebp", "", "\x8b\xaa\x10\x01\0\0", 1),
    SHAPE("movslq eax, rbx", "", "\x48\x63\xd8", 1),
    SHAPE("lea 8(rsp), rsp", "", "\x48\x8d\x64\x24\x08", 1),
    SHAPE("add 16, rsp", "", "\x48\x83\xc4\x10", 1),
    SHAPE("mov imm64, r9", "", "\x49\xb9\1\2\3\4\5\6\7\x88", 1),
    SHAPE("mov imm32, esi", "", "\xbe\1\2\3\x84", 1),
    SHAPE("movl imm32, 0x10(rdx)", "", "\xc7\x42\x10\1\2\3\4", 1),
    SHAPE("cmovs eax, ebx", "", "\x0f\x48\xd8", 1),
    SHAPE("movzbl al, ebx", "", "\x0f\xb6\xd8", 1),
    SHAPE("cmpb 0, 0x10(rdx)", "", "\x80\x7a\x10\0", 1),
    SHAPE("neg rax", "", "\x48\xf7\xd8", 1),
    SHAPE("test 1, eax", "", "\xf7\xc0\1\0\0\0", 1),
    SHAPE("nopl 0(rax)", "", "\x0f\x1f\x40\0", 1),
    SHAPE("syscall", "", "\x0f\x05\x90", 0),
    SHAPE("xor edi, edi", "", "\x31\xff", 0),
    SHAPE("nop", "", "\x90", 0),
    SHAPE("jmp", "", "\xeb\0\x90", 0),
    SHAPE("jns", "", "\x79\0\x90", 0),
    SHAPE("jmp rel32", "", "\xe9\0\0\0\0", 0),
    SHAPE("mov 0(rip), rax", "", "\x48\x8b\x05\0\0\0\0", 2),
    SHAPE("lea 0(rip), rbx", "", "\x48\x8d\x1d\0\0\0\0", 2),
    SHAPE("movups", "", "\x0f\x10\xc1", 0),
    SHAPE("push rax, pop rbx", "", "\x50\x5b\x90", 0),
};
#define SHAPES (sizeof shapes / sizeof shapes[0])

// What a call at `site` leaves: the instruction behind it with the call's result. `expected`, then the memory that rsp and rdx show.
static void compare(const struct shape *s, uint64_t entry, uint64_t site, uint64_t behind, uint64_t flags, uint64_t sp) {
  uint64_t expected[WORDS];
  static unsigned char memory[sizeof stack];
  memset(stack, 0x6b, sizeof stack);
  registers_for(flags, sp);
  const uint64_t nr = regs_in[RAX];
  regs_in[RAX] = (uint64_t)pid;
  regs_in[RCX] = site + 2;
  regs_in[R11] = regs_in[FLAGS];
  run(behind);
  memcpy(expected, regs_out, sizeof expected);
  memcpy(memory, stack, sizeof stack);
  memset(stack, 0x6b, sizeof stack);
  registers_for(flags, sp);
  regs_in[RAX] = nr;
  run(entry);
  for (int i = 0; i < WORDS; i++) {
    if (i == RCX && s->behind[1] == 5) continue; // that one calls again, with whatever the pid is
    if (regs_out[i] == expected[i] || (i == RBX && s->behind[1] == '\x8d' && s->behind_bytes == 7)) continue;
    if (i == RAX && s->behind[1] == '\x8b' && s->behind_bytes == 7) continue; // relative to rip: where it stands
    printf("%s: register %d is %lx, not %lx\n", s->name, i, regs_out[i], expected[i]);
    fail_at("registers", __LINE__);
  }
  if (memcmp(memory, stack, sizeof stack) != 0) fail_at(s->name, __LINE__);
}

static uint64_t shape_entry[SHAPES], shape_site[SHAPES], shape_behind[SHAPES];

static void put_shapes(void) {
  open_code();
  for (size_t i = 0; i < SHAPES; i++) {
    const struct shape *s = &shapes[i];
    put(NOP4 NOP4, 8);
    shape_entry[i] = put(s->before, s->before_bytes);
    shape_site[i] = put("\x0f\x05", 2);
    put(s->behind, s->behind_bytes);
    put_back();
    shape_behind[i] = put(s->behind, s->behind_bytes);
    put_back();
  }
  close_code();
}

static void shapes_case(void) {
  static const uint64_t flags[] = {0, 1, 4, 0x10, 0x40, 0x80, 0x400, 0x800, 0xcd5, 0x40000, 0x200000};
  const uint64_t sp = MIDDLE;
  put_shapes();
  settle();
  const unsigned char *code = (const unsigned char *)CODE;
  for (size_t i = 0; i < SHAPES; i++) {
    const long patched = ask(ASK_PATCHED), refused = ask(ASK_REFUSED);
    for (int n = 0; n < CALLS; n++) {
      const uint64_t odd = n % 3 == 2 ? (uint64_t)n : 0; // a stack pointer that is not aligned
      uint64_t f = flags[(size_t)n % (sizeof flags / sizeof flags[0])];
      if (f == 0x40000 && odd % 8 != 0) f = 0; // AC: the code itself stores to the stack
      if (f == 0x40000 && i > 1) f = 0;
      compare(&shapes[i], shape_entry[i], shape_site[i], shape_behind[i], f, sp + odd);
    }
    if (!hosted) continue;
    // The one of two calls is two sites; the second looks like mov $nr to nobody.
    const long offered = patching ? 1 : 0;
    const long p = ask(ASK_PATCHED) - patched, r = ask(ASK_REFUSED) - refused;
    if (p != (shapes[i].good ? offered : 0) || (shapes[i].good && r != 0) || (!shapes[i].good && r < offered)) {
      printf("%s: %ld patched, %ld refused\n", shapes[i].name, p, r);
      fail_at("statistics", __LINE__);
    }
    MUST((code[shape_entry[i] - CODE] == 0xe9) == (shapes[i].good && patching));
  }
  // Their insides: the second instruction of a pair, the call behind mov $nr.
  for (size_t i = 0; i < SHAPES; i++) {
    if (shapes[i].good != 1) continue;
    const int leaf = shapes[i].before_bytes != 0;
    for (int n = 0; n < 3; n++) {
      if (leaf) {
        compare(&shapes[i], shape_site[i], shape_site[i], shape_behind[i], 1, sp);
        continue;
      }
      registers_for(0x801, sp);
      memset(stack, 0x6b, sizeof stack);
      run(shape_behind[i]);
      uint64_t expected[WORDS];
      memcpy(expected, regs_out, sizeof expected);
      run(shape_site[i] + 2);
      MUST(memcmp(expected, regs_out, sizeof expected) == 0);
    }
  }
}

// b8 NR NR NR NR that is the end of another instruction: mov $nr,%r8d.
static void lookalike(void) {
  open_code();
  put(NOP4 NOP4, 8);
  const uint64_t prefixed = put("\x41\xb8\x27\0\0\0\x0f\x05\x90", 9);
  put_back();
  close_code();
  for (int n = 0; n < CALLS; n++) {
    registers_for(0, MIDDLE);
    run(prefixed);
    MUST(regs_out[RAX] == (uint64_t)pid && regs_out[R8] == SYS_getpid);
  }
}

// long site(long nr): one of each kind.
typedef long (*site_function)(long);
#define SITES 48
static site_function page_sites[SITES];
static unsigned char page_bytes[CODE_PAGES * PAGE];

static void put_functions(void) {
  open_code();
  for (int i = 0; i < SITES; i++) {
    put(NOP4 NOP4, 8);
    const char *const kinds[] = {LEAF "\x0f\x05\xc3", "\x89\xf8\x0f\x05\x48\x89\xc2\xc3", "\x89\xf8\x0f\x05\x48\x3d\x01\xf0\xff\xff\xc3"};
    const size_t bytes[] = {8, 8, 11};
    page_sites[i] = (site_function)put(kinds[i % 3], bytes[i % 3]);
    put(NOP4 NOP4 NOP4 NOP4, 16);
    code_end += i % 7; // sites at all distances from lines and words
  }
  close_code();
  memcpy(page_bytes, (void *)CODE, sizeof page_bytes);
}

static volatile int hammered, stop;

static void *hammer(void *n) {
  for (int site = 0; site < SITES; site++) {
    for (int i = 0; i < 12; i++) MUST(page_sites[site](SYS_getpid) == pid);
  }
  __atomic_fetch_add(&hammered, 1, __ATOMIC_SEQ_CST);
  return n;
}

static void *stand(void *n) {
  MUST(page_sites[(intptr_t)n](SYS_BLOCK) == BLOCK_RESULT);
  return n;
}

static void crowd_at(int standing) {
  settle();
  pthread_t t[3], s[SITES];
  put_functions();
  for (int i = 0; i < SITES && standing; i++) {
    if (i % 3 != 0) MUST(pthread_create(&s[i], NULL, stand, (void *)(intptr_t)i) == 0);
  }
  for (int i = 0; i < 3; i++) MUST(pthread_create(&t[i], NULL, hammer, NULL) == 0);
  for (int i = 0; i < 3; i++) MUST(pthread_join(t[i], NULL) == 0);
  for (int i = 0; i < SITES && standing; i++) {
    while (i % 3 != 0 && syscall(SYS_RELEASE) == 0) {
    }
  }
  for (int i = 0; i < SITES && standing; i++) {
    if (i % 3 != 0) MUST(pthread_join(s[i], NULL) == 0);
  }
}

static void crowd(void) { crowd_at(hosted); }

static volatile uint64_t steps[4096];
static volatile int step_count;

static void on_step(int signal, siginfo_t *info, void *context) {
  (void)signal;
  (void)info;
  const ucontext_t *u = context;
  if (step_count < 4096) steps[step_count++] = (uint64_t)u->uc_mcontext.gregs[REG_RIP];
}

static void print_steps(void) {
  for (int i = 0; i < step_count; i++) {
    if (steps[i] - CODE < CODE_PAGES * PAGE) printf("%lx ", steps[i] - CODE);
  }
}

// Single steps over a rewritten call. The kernel of the test records them, or a handler on the host.
static void step(void) {
  static const size_t chosen[] = {0, 2, 6, 12, 15};
  put_shapes();
  if (!hosted) {
    struct sigaction sa = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};
    MUST(sigaction(SIGTRAP, &sa, NULL) == 0);
  }
  for (int round = 0; round < 2; round++) {
    for (size_t i = 0; i < sizeof chosen / sizeof chosen[0]; i++) {
      const size_t k = chosen[i];
      step_count = 0;
      registers_for(0x100, MIDDLE);
      if (hosted) ask(ASK_STEP, 1L);
      run(shape_entry[k]);
      if (hosted) ask(ASK_STEP, 0L);
      MUST(round == 0 || k == 12 || regs_out[RAX] == (uint64_t)pid);
      print_steps();
      for (int n = 0; n < CALLS && round == 0; n++) compare(&shapes[k], shape_entry[k], shape_site[k], shape_behind[k], 0, MIDDLE);
    }
  }
  printf("\n");
}

static void *carry(void *n) {
  // A sum that lives in registers over rewritten calls.
  for (int round = 0; round < 50; round++) {
    uint64_t sum = 0, count = 0;
    long r;
    __asm__ volatile("xor %%ebx, %%ebx\n"
                     "xor %%r12d, %%r12d\n"
                     "1: mov $39, %%eax\n"
                     "syscall\n"
                     "add %%rax, %%rbx\n"
                     "mov $39, %%eax\n"
                     "nop\n"
                     "syscall\n"
                     "mov %%rax, %%r13\n"
                     "add %%r13, %%rbx\n"
                     "inc %%r12\n"
                     "cmp $100, %%r12\n"
                     "jb 1b\n"
                     "mov %%rbx, %[sum]\n"
                     "mov %%r12, %[count]\n"
                     : [sum] "=&r"(sum), [count] "=&r"(count), "=a"(r)
                     :
                     : "rbx", "r12", "r13", "rcx", "r11", "memory", "cc");
    MUST(count == 100 && sum == 200 * (uint64_t)pid);
  }
  return n;
}

// Interrupts at any moment of a loop of rewritten calls.
static void storm(void) {
  pthread_t t;
  ask(ASK_STORM, 2000L);
  MUST(pthread_create(&t, NULL, carry, NULL) == 0);
  carry(NULL);
  MUST(pthread_join(t, NULL) == 0);
  ask(ASK_STORM, 0L);
}

static uint64_t fault_rip, fault_address, fault_repair;

static void on_fault(int signal, siginfo_t *info, void *context) {
  (void)signal;
  ucontext_t *u = context;
  fault_rip = (uint64_t)u->uc_mcontext.gregs[REG_RIP];
  fault_address = (uint64_t)info->si_addr;
  u->uc_mcontext.gregs[REG_RDX] = (greg_t)fault_repair;
}

// A fault of the instruction behind the call.
static void fault(void) {
  const size_t k = 12; // mov %rax,(%rdx)
  put_shapes();
  static uint64_t word;
  struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
  if (!hosted) MUST(sigaction(SIGSEGV, &sa, NULL) == 0);
  for (int n = 0; n < 10; n++) {
    word = 0;
    fault_repair = (uint64_t)&word;
    if (hosted) ask(ASK_REPAIR, &word, &fault_rip, &fault_address);
    registers_for(0xc1, MIDDLE);
    regs_in[RDX] = 0x123456789000;
    run(shape_entry[k]);
    MUST(word == (uint64_t)pid);
    MUST(fault_rip == shape_site[k] + 2 && fault_address == 0x123456789000);
    MUST(regs_out[RDX] == (uint64_t)&word && regs_out[RAX] == (uint64_t)pid && (regs_out[FLAGS] & 0xc1) == 0xc1);
    for (int i = 0; i < 2; i++) compare(&shapes[k], shape_entry[k], shape_site[k], shape_behind[k], 0, MIDDLE);
  }
}

// fork(2) from rewritten sites of both kinds; the copies rewrite sites of their own, with threads.
static void forks(void) {
  put_functions();
  for (int n = 0; n < 12; n++) {
    const long child = page_sites[1 + n % 2](SYS_fork);
    MUST(child >= 0);
    if (child == 0) {
      pid = getpid();
      MUST(page_sites[1](SYS_getpid) == pid);
      pthread_t t[2];
      const int threads = n % 4 == 3;
      for (int i = 0; i < 2 && threads; i++) MUST(pthread_create(&t[i], NULL, hammer, NULL) == 0);
      hammer(NULL);
      for (int i = 0; i < 2 && threads; i++) MUST(pthread_join(t[i], NULL) == 0);
      _exit(7);
    }
    int status;
    MUST(waitpid((pid_t)child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7);
  }
  hammer(NULL);
}

static void exec(void) {
  put_functions();
  hammer(NULL);
  char *args[] = {"hello", "there", NULL};
  if (!hosted) return;
  execve("/hello", args, NULL);
  fail_at("execve", __LINE__);
}

extern const unsigned char etext[];

// Of the program's text, the library's part included.
static uint64_t own_text(void) {
  uint64_t sum = 14695981039346656037ULL;
  for (const unsigned char *p = (const unsigned char *)run_site; p < etext; p++) sum = (sum ^ *p) * 1099511628211ULL;
  return sum;
}

static uint64_t first_sum;

static void *until_stop(void *n) {
  while (!stop) {
    for (int site = 0; site < SITES; site++) MUST(page_sites[site](SYS_getpid) == pid);
  }
  return n;
}

// All sites are put back; `threads` call at them meanwhile.
static void unpatch_with(int threads) {
  pthread_t t[2];
  put_functions();
  hammer(NULL);
  MUST((memcmp(page_bytes, (void *)CODE, sizeof page_bytes) != 0) == (patching && hosted));
  for (int i = 0; i < threads; i++) MUST(pthread_create(&t[i], NULL, until_stop, NULL) == 0);
  for (int i = 0; i < 200 && threads; i++) MUST(page_sites[1](SYS_getpid) == pid);
  ask(ASK_UNPATCH);
  MUST(memcmp(page_bytes, (void *)CODE, sizeof page_bytes) == 0);
  const long patched = ask(ASK_PATCHED);
  hammer(NULL);
  stop = 1;
  for (int i = 0; i < threads; i++) MUST(pthread_join(t[i], NULL) == 0);
  MUST(memcmp(page_bytes, (void *)CODE, sizeof page_bytes) == 0);
  MUST(own_text() == first_sum);
  MUST(ask(ASK_PATCHED) == patched);
}

static void unpatch(void) { unpatch_with(0); }
static void unpatch_threads(void) { unpatch_with(2); }

#define ARCH_SET_GS 0x1001
#define ARCH_GET_GS 0x1004

static uint64_t gs_word(void) {
  uint64_t word;
  __asm__ volatile("mov %%gs:8, %0" : "=r"(word));
  return word;
}

static void gs(void) {
  static uint64_t data[2] = {1, 0x1234567890abcdefULL};
  put_functions();
  hammer(NULL);
  MUST(syscall(SYS_arch_prctl, ARCH_SET_GS, data) == 0);
  MUST(gs_word() == data[1]);
  hammer(NULL);
  MUST(gs_word() == data[1]);
  MUST(memcmp(page_bytes, (void *)CODE, sizeof page_bytes) == 0);
  pthread_t t;
  MUST(pthread_create(&t, NULL, hammer, NULL) == 0);
  MUST(pthread_join(t, NULL) == 0);
  MUST(gs_word() == data[1]);
  MUST(syscall(SYS_arch_prctl, ARCH_SET_GS, 0) == 0);
  hammer(NULL);
  MUST(own_text() == first_sum);
}

int main(int argc, char **argv) {
  static const struct {
    const char *name;
    void (*run)(void);
  } all[] = {{"shapes", shapes_case}, {"lookalike", lookalike}, {"crowd", crowd}, {"step", step},         {"storm", storm}, {"fault", fault},
             {"forks", forks},        {"exec", exec},           {"gs", gs},       {"unpatch", unpatch}, {"unpatch_threads", unpatch_threads}};
  first_sum = own_text();
  hosted = ask(ASK_HOSTED) == 1;
  patching = hosted && ask(ASK_PATCHING) == 1;
  pid = getpid();
  code_end = map_at(CODE, CODE_PAGES * PAGE);
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
    if (argc < 2 || strcmp(argv[1], all[i].name) != 0) continue;
    all[i].run();
    printf("ok %s\n", argv[1]);
    return 0;
  }
  return 2;
}
