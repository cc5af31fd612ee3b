// The VM and its virtual processors: what /dev/kvm must offer, how each processor begins, and the few instructions and tables that system calls
// and exceptions go through.
#include "kvm.h"

struct vcpu vcpus[MOST_VCPUS];
u32 vm_xsave_bytes;
int vm_fd = -1;
int vm_guesses;
static u64 run_bytes;
static u32 most_vcpus;
static u64 xcr0;

#define CPUID_ROOM 256
static struct {
  u32 count, padding;
  struct kvm_cpuid_entry2 entries[CPUID_ROOM];
} cpuid;

#define MSR_SYSENTER_CS 0x174
#define MSR_STAR 0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_CSTAR 0xc0000083
#define MSR_SFMASK 0xc0000084
#define SFMASK 0x47700 // TF, IF, DF, IOPL, NT, AC

#define CR0 0x80050033ULL // PG, AM, WP, NE, ET, MP, PE
#define CR4_PAE (1ULL << 5)
#define CR4_OSFXSR (1ULL << 9)
#define CR4_OSXMMEXCPT (1ULL << 10)
#define CR4_FSGSBASE (1ULL << 16)
#define CR4_OSXSAVE (1ULL << 18)
#define EFER 0xd01ULL // SCE, LME, LMA, NXE

#define KVM_CAP_SYNC_REGS_NEEDED (KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS)
#define XSAVE_LIMIT 16384
#define TSS_PORTS_AT 0x66
#define TSS_PORTS 0x68
#define TSS_BYTES (TSS_PORTS + 33) // ports below 256, and the byte of ones behind them
#define LEAST_SLOTS 4096

static void host_cpuid(u32 function, u32 index, struct kvm_cpuid_entry2 *e) {
  __asm__ volatile("cpuid" : "=a"(e->eax), "=b"(e->ebx), "=c"(e->ecx), "=d"(e->edx) : "a"(function), "c"(index));
}

// Programs see the processor that they would see outside, but for what would need state that the VM does not keep: protection keys, AMX.
static void see_host(struct kvm_cpuid_entry2 *e) {
  struct kvm_cpuid_entry2 host = *e;
  if (e->function == 0xd || e->function >= 0x80000008) return;
  if (e->function >= 0x40000000 && e->function < 0x80000000) return;
  host_cpuid(e->function, e->index, &host);
  if (e->function == 7 && e->index == 0) {
    host.ecx &= ~(1U << 3 | 1U << 4);            // PKU, OSPKE
    host.edx &= ~(1U << 22 | 1U << 24 | 1U << 25); // AMX
  }
  if (e->function == 7 && e->index == 1) host.eax &= ~(1U << 21); // AMX-FP16
  if (e->function == 1) host.ecx &= ~(1U << 27); // OSXSAVE: KVM's own
  e->eax = host.eax;
  e->ebx = host.ebx;
  e->ecx = host.ecx;
  e->edx = host.edx;
}

static struct kvm_cpuid_entry2 *cpuid_entry(u32 function, u32 index) {
  for (u32 i = 0; i < cpuid.count; i++) {
    if (cpuid.entries[i].function == function && cpuid.entries[i].index == index) return &cpuid.entries[i];
  }
  return 0;
}

// The vector state that a signal frame has: the trailer that the host's kernel would write (struct _fpx_sw_bytes).
static void learn_frames(void) {
  char frame[512] __attribute__((aligned(64)));
  u64 bytes = 512 + 64;
  for (u32 i = 2; i < 63; i++) {
    const struct kvm_cpuid_entry2 *e = cpuid_entry(0xd, i);
    if (!(xcr0 >> i & 1) || e == 0) continue;
    if (e->ebx + (u64)e->eax > bytes) bytes = e->ebx + (u64)e->eax;
  }
  u32 software[12] = {0x46505853U, (u32)bytes + 4, (u32)xcr0, (u32)(xcr0 >> 32), (u32)bytes};
  memset(frame, 0, sizeof frame);
  memcpy(frame + 464, software, sizeof software);
  fp_learn(frame);
}

static void write_text(void) {
  u64 *idt = arena_page(PAGE_SYSTEM);
  u64 *gdt = idt + 256;
  unsigned char *text = (unsigned char *)arena_page(PAGE_TEXT);
  text[0] = 0xe6; // out %al,$port
  text[1] = PORT_SYSCALL;
  text[16] = 0xe6;
  text[17] = PORT_SYSCALL32;
  for (u64 v = 0; v < VECTORS; v++) {
    unsigned char *code = text + (TEXT_VECTOR(v) - KERNEL_TEXT);
    const u64 at = TEXT_VECTOR(v);
    code[0] = 0xe6;
    code[1] = (unsigned char)v;
    const u64 level = v == 3 || v == 4 ? 3 : 0; // int3 and into may be executed by programs
    idt[2 * v] = (at & 0xffff) | (u64)KERNEL_CS << 16 | 1ULL << 32 | (0x8e00 | level << 13) << 32 | (at >> 16 & 0xffff) << 48;
    idt[2 * v + 1] = at >> 32;
  }
  gdt[KERNEL_CS / 8] = 0x00af9b000000ffffULL;
  gdt[KERNEL_CS / 8 + 1] = 0x00cf93000000ffffULL;
  gdt[USER_CS32 / 8] = 0x00cffb000000ffffULL;
  gdt[USER_DS / 8] = 0x00cff3000000ffffULL;
  gdt[USER_CS / 8] = 0x00affb000000ffffULL;
  gdt[15] = 0x0040f50000000000ULL; // processor and node, as getcpu(2) of the vDSO reads them: 0
  tables_map_kernel(KERNEL_SYSTEM, PAGE_SYSTEM, PTE_WRITE | PTE_NX);
  // Some paravirtual KVMs execute it at level 3, as far as translations go. There is nothing to see or to gain there.
  tables_map_kernel(KERNEL_TEXT, PAGE_TEXT, PTE_USER);
}

static s64 extension(u64 cap) { return ioctl(RF_DEVICE_FD, KVM_CHECK_EXTENSION, cap); }

// Looks at what /dev/kvm offers and prepares what all copies of this process have in common. 0, or REFUSED_*.
s64 vm_prepare(void) {
  if (ioctl(RF_DEVICE_FD, KVM_GET_API_VERSION, 0) != KVM_API_VERSION) return RF_REFUSED_DEVICE;
  run_bytes = (u64)ioctl(RF_DEVICE_FD, KVM_GET_VCPU_MMAP_SIZE, 0);
  if ((s64)run_bytes < (s64)sizeof(struct kvm_run) || run_bytes > RUN_STRIDE) return RF_REFUSED_CAPABILITY;
  if ((extension(KVM_CAP_SYNC_REGS) & KVM_CAP_SYNC_REGS_NEEDED) != KVM_CAP_SYNC_REGS_NEEDED) return RF_REFUSED_CAPABILITY;
  if (extension(KVM_CAP_IMMEDIATE_EXIT) <= 0 || extension(KVM_CAP_SYNC_MMU) <= 0) return RF_REFUSED_CAPABILITY;
  if (extension(KVM_CAP_XCRS) <= 0 || extension(KVM_CAP_XSAVE) <= 0) return RF_REFUSED_CAPABILITY;
  const s64 slots = extension(KVM_CAP_NR_MEMSLOTS);
  if (slots < LEAST_SLOTS) return RF_REFUSED_SLOTS;
  const s64 processors = extension(KVM_CAP_MAX_VCPUS);
  most_vcpus = processors <= 0 ? 4 : processors < MOST_VCPUS ? (u32)processors : MOST_VCPUS;
  const s64 xsave = extension(KVM_CAP_XSAVE2);
  vm_xsave_bytes = xsave <= 0 ? 4096 : (u32)xsave;
  if (vm_xsave_bytes > XSAVE_LIMIT) return RF_REFUSED_CAPABILITY;
  cpuid.count = CPUID_ROOM;
  if (ioctl(RF_DEVICE_FD, KVM_GET_SUPPORTED_CPUID, (u64)&cpuid) < 0) return RF_REFUSED_CAPABILITY;
  const struct kvm_cpuid_entry2 *d = cpuid_entry(0xd, 0);
  xcr0 = d == 0 ? 0 : ((u64)d->edx << 32 | d->eax) & 0xe7;
  if ((xcr0 & 3) != 3) return RF_REFUSED_CAPABILITY;
  if ((xcr0 & 0xe0) != 0xe0) xcr0 &= ~0xe0ULL;
  for (u32 i = 0; i < cpuid.count; i++) see_host(&cpuid.entries[i]);
  learn_frames();
  const struct kvm_cpuid_entry2 *sizes = cpuid_entry(0x80000008, 0);
  tables_prepare(sizes == 0 ? 36 : sizes->eax & 0xff, (u64)slots);
  write_text();
  return 0;
}

// The VM of this process. 0 or -errno.
s64 vm_create(void) {
  s64 fd;
  // A signal that comes meanwhile breaks it off; its handler has run.
  do fd = ioctl(RF_DEVICE_FD, KVM_CREATE_VM, 0);
  while (fd == -EINTR);
  if (fd < 0) return fd;
  vm_fd = (int)fd;
  ioctl(vm_fd, KVM_SET_TSS_ADDR, 0xfffbd000); // for processors that cannot run real mode by themselves; nobody does
  return tables_slots();
}

// A copy of the process has neither the VM of its maker nor that one's processors.
void vm_forget(void) {
  sys3(__NR_close_range, 0, RF_SOCKET_FD - 1, 0);
  sys3(__NR_close_range, RF_DEVICE_FD + 1, ~0U, 0);
  vm_fd = -1;
  for (u32 i = 0; i < MOST_VCPUS && vcpus[i].state != VCPU_NONE; i++) vcpus[i].state = VCPU_NONE;
  tables_forget();
}

static struct kvm_segment segment(u16 selector, u8 type, u8 level, u8 wide) {
  const struct kvm_segment s = {.limit = ~0U, .selector = selector, .type = type, .present = 1, .dpl = level, .db = !wide, .s = 1, .l = wide, .g = 1};
  return s;
}

// Where an exception leaves the guest's rip, cs, rflags, rsp and ss.
u64 vcpu_frame(const struct vcpu *v) { return (u64)arena_page(PAGE_VCPUS + v->id) + PAGE - 40; }

static s64 begin_sregs(const struct vcpu *v, struct kvm_sregs *s) {
  const s64 r = ioctl(v->fd, KVM_GET_SREGS, (u64)s);
  if (r < 0) return r;
  const u64 tss = KERNEL_VCPU(v->id);
  const u64 stack = tss + PAGE;
  char *page = (char *)arena_page(PAGE_VCPUS + v->id);
  memcpy(page + 4, &stack, 8);    // rsp0
  memcpy(page + 0x24, &stack, 8); // ist1
  // Some paravirtual KVMs execute what `syscall` leads to at level 3: it may use its ports. A guest that does so too leaves the VM from its
  // own code (own_output).
  page[TSS_PORTS_AT] = TSS_PORTS;
  memset(page + TSS_PORTS, 0xff, TSS_BYTES - TSS_PORTS);
  page[TSS_PORTS + PORT_SYSCALL / 8] = (char)~(1U << PORT_SYSCALL % 8 | 1U << PORT_SYSCALL32 % 8);
  tables_map_kernel(tss, PAGE_VCPUS + v->id, PTE_WRITE | PTE_NX);
  s->cr0 = CR0;
  s->cr3 = PAGE_TOP * PAGE;
  s->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | (HAS_FSGSBASE ? CR4_FSGSBASE : 0);
  s->efer = EFER;
  s->idt = (struct kvm_dtable){KERNEL_SYSTEM, VECTORS * 16 - 1, {0}};
  s->gdt = (struct kvm_dtable){KERNEL_SYSTEM + 2048, 16 * 8 - 1, {0}};
  s->tr = (struct kvm_segment){.base = tss, .limit = TSS_BYTES - 1, .selector = KERNEL_TSS, .type = 11, .present = 1};
  s->cs = segment(USER_CS, 11, 3, 1);
  s->ss = segment(USER_DS, 3, 3, 0);
  s->ds = s->es = s->fs = s->gs = s->ss;
  return ioctl(v->fd, KVM_SET_SREGS, (u64)s);
}

static s64 set_clock(const struct vcpu *v) {
  const u64 offset = 0;
  const struct kvm_device_attr a = {0, 0 /* KVM_VCPU_TSC_CTRL */, 0 /* KVM_VCPU_TSC_OFFSET */, (u64)&offset};
  return ioctl(v->fd, KVM_SET_DEVICE_ATTR, (u64)&a);
}

static s64 begin(struct vcpu *v) {
  struct {
    u32 count, padding;
    struct kvm_msr_entry entries[5];
  } msrs = {5, 0, {{MSR_STAR, 0, (u64)USER_CS32 << 48 | (u64)KERNEL_CS << 32}, {MSR_LSTAR, 0, KERNEL_TEXT},
                   {MSR_CSTAR, 0, KERNEL_TEXT + 16}, {MSR_SFMASK, 0, SFMASK}, {MSR_SYSENTER_CS, 0, 0}}};
  struct kvm_xcrs xcrs;
  struct kvm_sregs sregs;
  s64 r = ioctl(v->fd, KVM_SET_CPUID2, (u64)&cpuid);
  if (r >= 0) r = begin_sregs(v, &sregs);
  if (r >= 0) r = ioctl(v->fd, KVM_SET_MSRS, (u64)&msrs) >= 4 ? 0 : -EINVAL;
  memset(&xcrs, 0, sizeof xcrs);
  xcrs.nr_xcrs = 1;
  xcrs.xcrs[0].value = xcr0;
  if (r >= 0) r = ioctl(v->fd, KVM_SET_XCRS, (u64)&xcrs);
  if (r < 0) return r;
  set_clock(v);
  memset(&v->run->s.regs, 0, sizeof v->run->s.regs);
  v->run->s.regs.sregs = sregs;
  v->run->kvm_valid_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS;
  v->cs = USER_CS;
  return 0;
}

static struct vcpu *make(u32 id) {
  struct vcpu *v = &vcpus[id];
  const s64 fd = ioctl(vm_fd, KVM_CREATE_VCPU, id);
  if (fd < 0) return 0;
  v->fd = (int)fd;
  v->id = id;
  const u64 at = RUN_BASE + id * RUN_STRIDE;
  if (sys6(__NR_mmap, at, run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, (u64)fd, 0) >= 0) {
    sys3(__NR_madvise, at, run_bytes, MADV_DONTFORK);
    v->run = (struct kvm_run *)at;
    if (begin(v) == 0) return v;
  }
  // The number is spent: it counts as one that is never free.
  v->state = VCPU_USED;
  return 0;
}

// A virtual processor that no thread uses. NULL: there is no further one.
struct vcpu *vcpu_take(void) {
  struct vcpu *v = 0;
  lock_space();
  for (u32 i = 0; i < most_vcpus && v == 0; i++) {
    if (vcpus[i].state == VCPU_USED) continue;
    v = vcpus[i].state == VCPU_FREE ? &vcpus[i] : make(i);
    if (v == 0) break;
    v->state = VCPU_USED;
  }
  unlock_space();
  return v;
}

void vcpu_release(struct vcpu *v) { __atomic_store_n(&v->state, VCPU_FREE, __ATOMIC_RELEASE); }
