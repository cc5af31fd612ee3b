// What a /dev/kvm can do of what the kvm engine needs: each line of output is a fact, status 1 if one of the needed ones fails.
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

// Guest-physical memory: page tables, a GDT, an IDT, a TSS, ring-0 code and ring-3 code, all in the first megabyte.
enum { PML4 = 0x1000, PDPT = 0x2000, PD = 0x3000, PT = 0x4000, GDT = 0x5000, IDT = 0x6000, TSS = 0x7000, STACK = 0x9000, KERNEL = 0xa000 };
enum { USER = 0x10000, MEMORY = 1 << 20 };
enum { KCODE = 8, KDATA = 16, UDATA = 24, UCODE = 32, TR = 40, PORT = 0x10 };
enum { P = 1, W = 2, U = 4 };

static unsigned char *memory;
static int vcpu;
static struct kvm_run *run;
static int failed;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static void die(const char *what) {
  printf("FAIL %s: %s\n", what, strerror(errno));
  exit(1);
}

static void check(int ok, const char *what) {
  printf("%s %s\n", ok ? "ok  " : "FAIL", what);
  if (!ok) failed = 1;
}

static void put64(unsigned at, unsigned long value) { memcpy(memory + at, &value, 8); }

static struct kvm_segment segment(unsigned selector, int type, int dpl, int code) {
  return (struct kvm_segment){.base = 0, .limit = 0xffffffff, .selector = selector | dpl, .type = type, .present = 1, .dpl = dpl,
                              .db = !code, .s = 1, .l = code, .g = 1};
}

static void gate(int vector, unsigned long target) {
  put64(IDT + vector * 16, (target & 0xffff) | (unsigned long)KCODE << 16 | 0xee00UL << 32 | (target >> 16 & 0xffff) << 48);
  put64(IDT + vector * 16 + 8, target >> 32);
}

static void setup(int vm, struct kvm_sregs *s) {
  put64(PML4, PDPT | P | W | U);
  put64(PDPT, PD | P | W | U);
  put64(PD, PT | P | W | U);
  for (unsigned page = 1; page < 0xb; page++) put64(PT + page * 8, page << 12 | P | W);  // ring 0 alone
  put64(PT + 0x10 * 8, USER | P | U);                                                     // code of ring 3, read-only
  put64(PT + 0x11 * 8, 0x11000 | P | W | U);                                              // its stack
  put64(GDT + KCODE, 0x00af9a000000ffffUL);
  put64(GDT + KDATA, 0x00cf92000000ffffUL);
  put64(GDT + UDATA, 0x00cff2000000ffffUL);
  put64(GDT + UCODE, 0x00affa000000ffffUL);
  put64(GDT + TR, 0x67 | (unsigned long)(TSS & 0xffffff) << 16 | 0x8bUL << 40);
  put64(TSS + 4, STACK + 0x1000);
  // Ring 0: `out %al, $PORT + n; hlt`, for system calls and for each exception.
  for (int i = 0; i < 33; i++) memcpy(memory + KERNEL + i * 8, (unsigned char[]){0xe6, PORT + i, 0xf4, 0xf4, 0xf4, 0xf4, 0xf4, 0xf4}, 8);
  for (int i = 0; i < 32; i++) gate(i, KERNEL + i * 8);
  struct kvm_userspace_memory_region region = {.memory_size = MEMORY, .userspace_addr = (unsigned long)memory};
  if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region)) die("KVM_SET_USER_MEMORY_REGION");
  if (ioctl(vcpu, KVM_GET_SREGS, s)) die("KVM_GET_SREGS");
  s->cr3 = PML4;
  s->cr4 = 0x620 | 0x10000;  // PAE, OSFXSR, OSXMMEXCPT, FSGSBASE
  s->cr0 = 0x80050033;       // PE MP ET NE WP AM PG
  s->efer = 0x1d01;          // SCE LME LMA NXE, and SVME where KVM wants it is its own
  s->efer &= ~0x1000UL;
  s->cs = segment(UCODE, 11, 3, 1);
  s->ss = s->ds = s->es = s->fs = s->gs = segment(UDATA, 3, 3, 0);
  s->tr = (struct kvm_segment){.base = TSS, .limit = 0x67, .selector = TR, .type = 11, .present = 1};
  s->gdt = (struct kvm_dtable){.base = GDT, .limit = TR + 15};
  s->idt = (struct kvm_dtable){.base = IDT, .limit = 0xfff};
  if (ioctl(vcpu, KVM_SET_SREGS, s)) die("KVM_SET_SREGS");
  struct {
    struct kvm_msrs head;
    struct kvm_msr_entry entries[3];
  } msrs = {.head.nmsrs = 3,
            .entries = {{.index = 0xc0000081, .data = (unsigned long)KCODE << 32 | (unsigned long)(KDATA | 3) << 48},
                        {.index = 0xc0000082, .data = KERNEL + 32 * 8},
                        {.index = 0xc0000084, .data = 0x700}}};
  int set = ioctl(vcpu, KVM_SET_MSRS, &msrs);
  if (set != 3) die("KVM_SET_MSRS (STAR, LSTAR, SFMASK)");
}

// Runs from ring 3 at `rip` until an exit; the registers and segments go in and come out by KVM_CAP_SYNC_REGS.
static int enter(struct kvm_sregs *user, unsigned long rip, unsigned long rax) {
  memset(&run->s.regs.regs, 0, sizeof run->s.regs.regs);
  run->s.regs.regs.rip = rip;
  run->s.regs.regs.rax = rax;
  run->s.regs.regs.rsp = 0x11ff0;
  run->s.regs.regs.rflags = 0x202;
  run->s.regs.sregs = *user;
  run->kvm_valid_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS;
  run->kvm_dirty_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
  if (ioctl(vcpu, KVM_RUN, 0)) {
    printf("     KVM_RUN: %s, exit reason %u\n", strerror(errno), run->exit_reason);
    return -1;
  }
  if (run->exit_reason == KVM_EXIT_IO && run->io.direction == KVM_EXIT_IO_OUT) return run->io.port - PORT;
  printf("     exit reason %u, rip %llx\n", run->exit_reason, run->s.regs.regs.rip);
  return -2;
}

static void show(int kvm, const char *name, int capability) { printf("     %s %d\n", name, ioctl(kvm, KVM_CHECK_EXTENSION, capability)); }

int main(void) {
  int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (kvm < 0) die("open /dev/kvm");
  check(ioctl(kvm, KVM_GET_API_VERSION, 0) == 12, "KVM_GET_API_VERSION 12");
  show(kvm, "KVM_CAP_SYNC_REGS", KVM_CAP_SYNC_REGS);
  show(kvm, "KVM_CAP_NR_MEMSLOTS", KVM_CAP_NR_MEMSLOTS);
  show(kvm, "KVM_CAP_MAX_VCPUS", KVM_CAP_MAX_VCPUS);
  show(kvm, "KVM_CAP_NR_VCPUS", KVM_CAP_NR_VCPUS);
  show(kvm, "KVM_CAP_MEMORY_FAULT_INFO", 232);
  show(kvm, "KVM_CAP_XSAVE2", 208);
  show(kvm, "KVM_CAP_VM_TSC_CONTROL", 214);
  show(kvm, "KVM_CAP_TSC_CONTROL", KVM_CAP_TSC_CONTROL);
  show(kvm, "KVM_CAP_IMMEDIATE_EXIT", KVM_CAP_IMMEDIATE_EXIT);
  show(kvm, "KVM_CAP_READONLY_MEM", KVM_CAP_READONLY_MEM);
  show(kvm, "KVM_CAP_SET_GUEST_DEBUG", KVM_CAP_SET_GUEST_DEBUG);
  show(kvm, "KVM_CAP_MULTI_ADDRESS_SPACE", KVM_CAP_MULTI_ADDRESS_SPACE);
  double t0 = now();
  int vm = ioctl(kvm, KVM_CREATE_VM, 0);
  if (vm < 0) die("KVM_CREATE_VM");
  double t1 = now();
  vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
  if (vcpu < 0) die("KVM_CREATE_VCPU");
  printf("     KVM_CREATE_VM %.0f us, KVM_CREATE_VCPU %.0f us\n", t1 - t0, now() - t1);
  int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
  run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
  memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  static struct {
    struct kvm_cpuid2 head;
    struct kvm_cpuid_entry2 entries[128];
  } cpuid = {.head.nent = 128};
  if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &cpuid)) die("KVM_GET_SUPPORTED_CPUID");
  if (ioctl(vcpu, KVM_SET_CPUID2, &cpuid)) die("KVM_SET_CPUID2");
  struct kvm_sregs user;
  setup(vm, &user);

  memcpy(memory + USER, (unsigned char[]){0x0f, 0x05}, 2);  // syscall
  int got = enter(&user, USER, 39);
  check(got == 32, "syscall at CPL 3 ends in `out` at LSTAR");
  check(run->s.regs.regs.rcx == USER + 2 && run->s.regs.regs.rax == 39, "rcx and rax of it by KVM_CAP_SYNC_REGS");
  int ok = 1;
  t0 = now();
  for (int i = 0; i < 1000 && ok; i++) ok = enter(&user, USER, i) == 32 && run->s.regs.regs.rax == (unsigned)i;
  printf("     a call with all registers %.1f us\n", (now() - t0) / 1000);
  check(ok, "a thousand calls: back to CPL 3 by segments of KVM_CAP_SYNC_REGS");

  memcpy(memory + USER + 0x20, (unsigned char[]){0x8a, 0x04, 0x25, 0x56, 0x34, 0x02, 0x00}, 7);  // mov 0x23456, %al
  got = enter(&user, USER + 0x20, 0);
  check(got == 14 && run->s.regs.sregs.cr2 == 0x23456, "#PF of an absent page by the IDT, cr2");
  unsigned long frame[6];
  memcpy(frame, memory + run->s.regs.regs.rsp, sizeof frame);
  check(frame[0] == 4 && frame[1] == USER + 0x20, "its error code (user, read) and rip on the ring-0 stack");
  memcpy(memory + USER + 0x40, (unsigned char[]){0x88, 0x04, 0x25, 0x00, 0x00, 0x01, 0x00}, 7);  // mov %al, 0x10000
  got = enter(&user, USER + 0x40, 0);
  memcpy(frame, memory + run->s.regs.regs.rsp, sizeof frame);
  check(got == 14 && frame[0] == 7, "#PF of a write to a read-only page: error code 7");
  put64(PT + 0x23 * 8, 0x23000 | P | U);
  memory[0x23456] = 0x5a;
  memcpy(memory + USER + 0x27, (unsigned char[]){0x0f, 0x05}, 2);
  got = enter(&user, USER + 0x20, 0);
  check(got == 32 && (run->s.regs.regs.rax & 255) == 0x5a, "a page that a changed table makes present is seen without a flush");
  put64(PT + 0x23 * 8, 0);
  got = enter(&user, USER + 0x20, 0);
  printf("     a page taken from the tables without a flush: %s\n", got == 14 ? "#PF" : "still seen");
  struct kvm_sregs other = user;
  got = ioctl(vcpu, KVM_SET_SREGS, &other);
  got = enter(&user, USER + 0x20, 0);
  printf("     the same after KVM_SET_SREGS with the same cr3: %s\n", got == 14 ? "#PF" : "still seen");

  memcpy(memory + USER + 0x60, (unsigned char[]){0x0f, 0x0b}, 2);  // ud2
  check(enter(&user, USER + 0x60, 0) == 6, "#UD by the IDT");
  memcpy(memory + USER + 0x70, (unsigned char[]){0x31, 0xc9, 0xf7, 0xf1}, 4);  // xor %ecx, %ecx; div %ecx
  check(enter(&user, USER + 0x70, 0) == 0, "#DE by the IDT");
  memcpy(memory + USER + 0x80, (unsigned char[]){0xcc}, 1);  // int3
  check(enter(&user, USER + 0x80, 0) == 3, "#BP by the IDT");
  memcpy(memory + USER + 0x90, (unsigned char[]){0xf4}, 1);  // hlt
  check(enter(&user, USER + 0x90, 0) == 13, "#GP of hlt at CPL 3 by the IDT");
  memcpy(memory + USER + 0xa0, (unsigned char[]){0xe6, 0x80}, 2);  // out
  check(enter(&user, USER + 0xa0, 0) == 13, "#GP of `out` at CPL 3 by the IDT");
  run->immediate_exit = 1;
  check(ioctl(vcpu, KVM_RUN, 0) == -1 && errno == EINTR, "immediate_exit");
  run->immediate_exit = 0;
  memcpy(memory + USER + 0xb0, (unsigned char[]){0x0f, 0x01, 0xd0, 0x0f, 0x05}, 5);  // xgetbv
  got = enter(&user, USER + 0xb0, 0);
  printf("     xgetbv at CPL 3 with OSXSAVE off: %s\n", got == 6 ? "#UD" : "other");
  // A slot whose memory is not there: the fault of the host's own page.
  struct kvm_userspace_memory_region hole = {.slot = 1, .guest_phys_addr = 0x40000000, .memory_size = 0x200000};
  void *none = mmap(NULL, 0x200000, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  hole.userspace_addr = (unsigned long)none;
  check(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &hole) == 0, "a second slot, over memory without access");
  put64(PT + 0x23 * 8, 0x40000000 | P | W | U);
  run->s.regs.sregs.cr3 = PML4;
  got = enter(&user, USER + 0x20, 0);
  printf("     its first touch: KVM_RUN %d %s, exit reason %u\n", got, got == -1 ? strerror(errno) : "", run->exit_reason);
  if (run->exit_reason == 39) {
    unsigned long *fault = (unsigned long *)&run->hw;
    printf("     memory fault: flags %lx gpa %lx size %lx\n", fault[0], fault[1], fault[2]);
  }
  mprotect(none, 0x200000, PROT_READ | PROT_WRITE);
  got = enter(&user, USER + 0x20, 0);
  check(got == 32, "after mprotect of the host's memory the same read succeeds");
  t0 = now();
  close(vcpu);
  munmap(run, size);
  close(vm);
  printf("     close %.0f us\n", now() - t0);
  return failed;
}
