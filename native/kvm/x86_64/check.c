// A trial of /dev/kvm before anything depends on it: a tiny guest reads the clock, makes a system call, touches a page that is not there, and
// goes on behind it. Some KVMs emulate so much that one of these fails, or never ends.
#include "kvm.h"

#define SIZE 4096
#define AT 0x200000ULL
#define DATA (AT + 4096)
#define ITIMER_REAL 0

volatile u32 trial_over;

static void limit(u64 seconds) {
  const u64 timer[4] = {0, 0, seconds, 0};
  sys3(__NR_setitimer, ITIMER_REAL, (u64)timer, 0);
}

static u64 clock(void) {
  u32 low, high;
  __asm__ volatile("lfence; rdtsc; lfence" : "=a"(low), "=d"(high));
  return (u64)high << 32 | low;
}

// Runs the guest from `rip` until it is left for `port`. 0, or REFUSED_*.
static int until(struct vcpu *v, u64 rip, u32 port) {
  struct kvm_sync_regs *s = &v->run->s.regs;
  const struct kvm_segment code = {.limit = ~0U, .selector = USER_CS, .type = 11, .present = 1, .dpl = 3, .s = 1, .l = 1, .g = 1};
  const struct kvm_segment data = {.limit = ~0U, .selector = USER_DS, .type = 3, .present = 1, .dpl = 3, .db = 1, .s = 1, .g = 1};
  s->regs.rip = rip;
  s->regs.rflags = 0x202;
  s->regs.rsp = DATA;
  s->sregs.cs = code;
  s->sregs.ss = data;
  v->run->kvm_dirty_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
  const s64 r = enter_vm(v);
  if (trial_over || r == -EINTR) return RF_REFUSED_HANGS;
  if (r < 0 || v->run->exit_reason != KVM_EXIT_IO || v->run->io.port != port) return RF_REFUSED_TRIAL;
  return s->regs.rip - KERNEL_TEXT < PAGE ? 0 : RF_REFUSED_TRIAL;
}

static int run_trial(struct vcpu *v, int *hide_clock) {
  // rdtsc; mov $DATA,%ebx; syscall; mov (%rbx),%rbx; syscall; int $0x80
  static const unsigned char code[] = {0x0f, 0x31, 0xbb, DATA & 0xff, DATA >> 8 & 0xff, DATA >> 16 & 0xff, 0, 0x0f, 0x05,
                                       0x48, 0x8b, 0x1b, 0x0f, 0x05, 0xcd, 0x80};
  const struct kvm_sync_regs *s = &v->run->s.regs;
  memcpy((void *)AT, code, sizeof code);
  if (tables_fault(AT, ERROR_FETCH) != FAULT_AGAIN) return RF_REFUSED_VM;
  const u64 before = clock();
  int r = until(v, AT, PORT_SYSCALL);
  const u64 after = clock();
  if (r != 0) return r;
  const u64 inside = s->regs.rdx << 32 | (u32)s->regs.rax;
  if (s->regs.rcx != AT + 9 || s->regs.rbx != DATA) return RF_REFUSED_TRIAL;
  *hide_clock = inside < before || inside > after;
  r = until(v, AT + 9, 14);
  const u64 *frame = (const u64 *)vcpu_frame(v);
  if (r != 0) return r;
  if (s->sregs.cr2 != DATA || frame[0] != AT + 9 || (frame[-1] & ~4ULL) != 0) return RF_REFUSED_TRIAL;
  area_set(DATA, DATA + SIZE, PROT_READ | PROT_WRITE | AREA_MAPPED);
  if (memory_call(__NR_mprotect, DATA, SIZE, PROT_READ | PROT_WRITE, 0, 0, 0) < 0) return RF_REFUSED_VM;
  *(u64 *)DATA = 0x1234567890abcdefULL;
  r = until(v, AT + 9, PORT_SYSCALL);
  if (r != 0) return r;
  if (s->regs.rbx != *(u64 *)DATA || s->regs.rcx != AT + 14) return RF_REFUSED_TRIAL;
  // Nobody has a gate for int $0x80 there: #GP.
  if (until(v, AT + 14, 13) == 0) return 0;
  vm_guesses = v->run->io.port == 6;
  return vm_guesses ? 0 : RF_REFUSED_TRIAL;
}

// 0, or REFUSED_*. `hide_clock`: processors of the VM tell another time than the host's, so that its vDSO would be wrong there.
int self_test(int *hide_clock) {
  const u64 flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  int r = RF_REFUSED_VM;
  limit(1);
  if (vm_create() == 0) {
    struct vcpu *v = vcpu_take();
    if (v != 0 && memory_call(__NR_mmap, AT, SIZE, PROT_READ | PROT_WRITE | PROT_EXEC, flags, (u64)-1, 0) >= 0 &&
        sys6(__NR_mmap, DATA, SIZE, PROT_READ | PROT_WRITE, flags, (u64)-1, 0) >= 0) {
      r = run_trial(v, hide_clock);
      memory_call(__NR_munmap, AT, DATA + SIZE - AT, 0, 0, 0, 0);
    }
  }
  limit(0);
  if (trial_over) r = RF_REFUSED_HANGS;
  // What is copied from this process begins without a VM, and so does it go on itself.
  for (u32 i = 0; i < MOST_VCPUS && vcpus[i].state != VCPU_NONE; i++) sys3(__NR_munmap, RUN_BASE + i * RUN_STRIDE, RUN_STRIDE, 0);
  vm_forget();
  return r;
}
