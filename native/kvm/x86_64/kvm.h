// The KVM engine's stub: one VM for an address space, whose guest-physical memory is the stub's own process, and one virtual processor for
// each guest thread.
//
// Guest code runs at privilege level 3 with page tables that this process keeps (tables.c). Nothing of the stub is in them: a guest cannot
// name its memory, and there is no way from the guest to a host call. Every system call and exception ends in one `out` instruction (vm.c
// writes them), which leaves the VM.
#ifndef RINGFENCE_KVM_H
#define RINGFENCE_KVM_H

#include "../../stub/sys.h"

#include <linux/kvm.h>

#define PAGE 4096ULL

// Where things stand in the stub's process, above what native/include/context.h has.
#define RUN_BASE 0x7ff100000000ULL   // struct kvm_run of each virtual processor
#define RUN_STRIDE 65536ULL
#define RECORD_BASE 0x7ff110000000ULL // areas.c
#define NUMBERS_BASE 0x7ff120000000ULL // tables.c
#define ARENA_BASE 0x7ff200000000ULL  // page tables and what else the VM's kernel half needs

#define MOST_VCPUS 1024

// Pages of the arena. Its address in the VM is its offset.
#define PAGE_TOP 0     // first level of the page tables
#define PAGE_SYSTEM 1  // IDT, and the GDT in its second half
#define PAGE_TEXT 2    // what `syscall` and exceptions lead to
#define PAGE_KERNEL 3  // and 4 to 7: tables of the addresses from KERNEL_BASE on
#define PAGE_FREE 8    // first of those that are given out
#define PAGE_VCPUS 1024 // one for each virtual processor: task state segment and exception stack
#define ARENA_FIRST 2048 // pages of the arena's first memory slot; all further ones have twice as many
#define ARENA_SLOTS 64

// Guest-virtual addresses of the kernel half.
#define KERNEL_BASE 0xffffffffc0000000ULL
#define KERNEL_SYSTEM (KERNEL_BASE + PAGE_SYSTEM * PAGE)
#define KERNEL_TEXT (KERNEL_BASE + PAGE_TEXT * PAGE)
#define KERNEL_VCPU(i) (KERNEL_BASE + 0x200000 + (u64)(i) * PAGE)

// I/O ports that say why the VM was left: the vector of an exception, or one of these.
#define PORT_SYSCALL 0x80
#define PORT_SYSCALL32 0x81
#define VECTORS 32
#define TEXT_VECTOR(v) (KERNEL_TEXT + 64 + 4 * (u64)(v))

#define USER_CS 0x33
#define USER_CS32 0x23
#define USER_DS 0x2b
#define KERNEL_CS 0x10
#define KERNEL_TSS 0x40

#define ENOMEM 12
#define EAGAIN 11
#define ENOTTY 25

struct vcpu {
  int fd;
  u32 id;
  struct kvm_run *run;
  u32 state; // VCPU_*
  u32 cs;    // the selector that the guest runs with
  u32 stale; // the processor has other control registers than the run page says
  u32 signal; // of the last copy from or to guest memory that failed
  u32 stuck; // how often in a row memory could not be reached
};

#define VCPU_NONE 0
#define VCPU_FREE 1
#define VCPU_USED 2

// vm.c
extern struct vcpu vcpus[MOST_VCPUS];
extern u32 vm_xsave_bytes;
extern int vm_fd;
extern int vm_guesses; // KVM says #UD for some #GP
s64 vm_prepare(void);  // once, in the pristine stub: 0, or what is missing (REFUSED_*)
s64 vm_create(void);   // of this process: 0 or -errno
struct vcpu *vcpu_take(void);
void vcpu_release(struct vcpu *v);
void vm_forget(void); // in a copy of the process: the VM was its maker's
u64 vcpu_frame(const struct vcpu *v);

// areas.c: what is mapped, by addresses alone. Protections are PROT_* | AREA_MAPPED; 0: nothing.
#define AREA_MAPPED 8
void areas_prepare(void);
u32 area_at(u64 address, u64 *end);
s64 area_set(u64 start, u64 end, u32 prot);
int areas_full(void);

// tables.c
void tables_prepare(u32 bits, u64 slots);
void tables_forget(void);
s64 tables_slots(void);
u64 *arena_page(u64 number);
u64 arena_take(void);
void tables_map_kernel(u64 virtual, u64 number, u64 flags);
enum fault { FAULT_AGAIN, FAULT_NO_AREA, FAULT_DENIED, FAULT_FULL };
enum fault tables_fault(u64 address, u32 error);
void tables_drop_shadows(void);
void lock_space(void);
void unlock_space(void);
s64 probe_tables(u64 *top);
s64 probe_map(u64 address, u32 error);
void probe_done(void);

#define PTE_PRESENT 1ULL
#define PTE_WRITE 2ULL
#define PTE_USER 4ULL
#define PTE_DONE 0x60ULL // accessed and dirty: the processor never needs to write
#define PTE_NX (1ULL << 63)
#define PTE_ADDRESS 0x000ffffffffff000ULL

#define ERROR_WRITE 2U
#define ERROR_FETCH 16U

// run.c
void run_guest(struct rf_block *b, struct rf_thread *t, struct vcpu *v);
struct vcpu *vcpu_of(u32 index);
void set_vcpu(u32 index, struct vcpu *v);
void save_regs(struct rf_block *b, const struct vcpu *v);

// fault.c
int exception(struct rf_block *b, struct vcpu *v, u32 vector);
int own_output(struct rf_block *b, struct vcpu *v);
int unreachable(struct rf_block *b, struct vcpu *v);
int fault(struct rf_block *b, struct vcpu *v, u32 signal, s64 code, u64 address, u32 trap, u32 error);

// serve.c
void guest_thread(u32 index, struct vcpu *v) __attribute__((noreturn));
s64 get_fp(const struct vcpu *v, char *buffer);
s64 set_fp(const struct vcpu *v, char *buffer);

// check.c
int self_test(int *hide_clock);
extern volatile u32 trial_over;

// engine.c
void set_signals(void);

// entry.S
void stub_signal_entry(void);
void stub_on_stack(u64 top, void (*function)(void)) __attribute__((noreturn));
s64 stub_clone_thread(u64 flags, u64 stack, u64 parent_tid, u64 child_tid, u64 index, u64 vcpu);
s64 stub_touch(void *address);
extern const char stub_touch_start[], stub_touch_end[];

// An interrupt that arrives meanwhile is for later.
static inline s64 ioctl(int fd, u64 request, u64 argument) {
  s64 r;
  do {
    r = sys3(__NR_ioctl, (u64)fd, request, argument);
  } while (r == -EINTR);
  return r;
}

static inline s64 enter_vm(const struct vcpu *v) { return sys3(__NR_ioctl, (u64)v->fd, KVM_RUN, 0); }

#endif
