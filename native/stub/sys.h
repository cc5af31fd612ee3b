// Host system calls of the stub, and the few kernel structures that it needs. Freestanding: no libc.
#ifndef RINGFENCE_STUB_SYS_H
#define RINGFENCE_STUB_SYS_H

#include "../common/common.h"

#include <asm/sigcontext.h>

typedef uint16_t u16;
typedef uint8_t u8;

// One program: addresses are computed from rip, not looked up.
#pragma GCC visibility push(hidden)

#define NR_mseal 462 // younger than many header files

#define EPERM 1
#define EINTR 4
#define ENOSPC 28
#define EPROTO 71

#define PROT_READ 1
#define PROT_WRITE 2
#define PROT_EXEC 4
#define MAP_SHARED 1
#define MAP_PRIVATE 2
#define MAP_FIXED 0x10
#define MAP_ANONYMOUS 0x20
#define MAP_NORESERVE 0x4000
#define MADV_DONTNEED 4
#define MADV_DONTFORK 10
#define MADV_NOHUGEPAGE 15
#define MADV_DONTDUMP 16
#define MSG_DONTWAIT 0x40
#define FUTEX_WAIT 0
#define FUTEX_WAKE 1
#define SIG_BLOCK 0
#define SIG_UNBLOCK 1

#define SIGILL 4
#define SIGTRAP 5
#define SIGBUS 7
#define SIGFPE 8
#define SIGKILL 9
#define SIGSEGV 11
#define SIGPIPE 13
#define SIGALRM 14
#define SIGCHLD 17
#define SIGSYS 31

#define CLOCK_PROCESS_CPUTIME_ID 2
#define CLOCK_THREAD_CPUTIME_ID 3
#define RUSAGE_SELF 0
#define RUSAGE_THREAD 1

#define CLONE_FORK_FLAGS (0x8000 | SIGCHLD) // CLONE_PARENT
// CLONE_VM | FS | FILES | SIGHAND | THREAD | SYSVSEM | PARENT_SETTID | CHILD_CLEARTID
#define CLONE_THREAD_FLAGS 0x350f00

#define ARCH_SET_GS 0x1001
#define ARCH_SET_FS 0x1002
#define ARCH_GET_FS 0x1003
#define ARCH_GET_GS 0x1004

// struct ucontext of <asm/ucontext.h>, with the kernel's names.
struct stub_ucontext {
  u64 flags;
  u64 link;
  u64 stack_sp;
  u32 stack_flags;
  u32 stack_pad;
  u64 stack_size;
  struct sigcontext mcontext;
  u64 sigmask;
};

struct stub_siginfo {
  int signo;
  int error;
  int code;
  int pad;
  u64 address; // si_addr, or si_call_addr
  int syscall;
  u32 arch;
};

// What stands in the private part of an area: the stub's own view of its thread. The GS base points here, so that a rewritten call site
// finds it; entry.S knows the offsets.
struct rf_thread {
  u64 guest_rsp;          // 0
  u64 resume;             // 8: where the guest goes on: behind the call, or in the slot of its site
  u64 stack_top;          // 16
  struct rf_block *block; // 24
  u32 phase;              // 32: PHASE_*
  u32 index;
  u64 site_rip; // the instruction pointer that the guest knows for `resume`
  u64 gs_base;  // the guest's own; 0: it has none, and the register is ours
};

// How far a call that came through entry.S has got, for signals that arrive meanwhile.
#define PHASE_ENTRY 1     // about to show the event
#define PHASE_SHOWN 2     // it is shown: the Sentry may have answered
#define PHASE_FINISHED 3  // carried out by the stub alone: the block holds the registers to return with

static inline struct rf_block *block_of(u32 index) {
  return (struct rf_block *)(RF_REGION_BASE + (u64)index * RF_BLOCK_SIZE);
}

static inline u64 area_of(u32 index) { return RF_AREA_BASE + (u64)index * RF_AREA_SIZE; }

static inline struct rf_thread *thread_of(u32 index) {
  return (struct rf_thread *)(area_of(index) + RF_AREA_SIZE - RF_AREA_PRIVATE);
}

static inline u32 index_of(const struct rf_block *b) { return (u32)(((u64)b - RF_REGION_BASE) / RF_BLOCK_SIZE); }

// The data window of a context; NULL: it has none.
static inline char *window_of(u32 index) {
  return index < RF_WINDOWS ? (char *)(RF_REGION_BASE + RF_WINDOWS_OFFSET + (u64)index * RF_WINDOW_SIZE) : 0;
}

static inline u32 load(const u32 *p) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }

#define CONTROL ((const struct rf_control *)RF_CONTROL_BASE)

// main.c
void die(int code) __attribute__((noreturn));
void catch_signal(int signal, u64 handler, u64 flags, u64 mask);

// What each engine's stub does in its own way. engine_start: the descriptors beside the socket, before anything else; engine_prepare: all
// that copies of the pristine stub inherit, before the filter; engine_info: what the Sentry is told; engine_first_thread: the only thread of a
// fresh copy, whose region is mapped.
void engine_start(const u64 *stack);
void engine_prepare(u64 vdso_data, u64 vdso, u64 vdso_size);
void engine_info(struct rf_info *info);
void engine_first_thread(void) __attribute__((noreturn));
s64 install_filter(void);

// A call that changes the address space, in the guest's name.
#ifdef STUB_KVM
s64 memory_call(s64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f);
#else
#define memory_call sys6
#endif

// Of each engine's assembler
void stub_restorer(void);

// copy.S
s64 stub_copy(void *to, const void *from, u64 bytes);
s64 stub_copy_string(void *to, const void *from, u64 limit);
extern const char stub_copy_start[], stub_copy_end[], stub_copy_failed[], stub_copy_string_failed[];
s64 stub_wait_call(s64 nr, const u64 *args, const u32 *want_interrupt);
extern const char stub_wait_start[], stub_wait_end[], stub_wait_interrupted[];

// messages.c
struct descriptors {
  u32 kind;
  int count;
  int fd[2];
};
int receive(struct descriptors *out, u64 flags);
void enter_address_space(const struct descriptors *d);
s64 map_received(void);
s64 usage(struct rf_block *b, int process);
void last_usage(struct rf_block *b, u64 nr);

// talk.c
void show_call(struct rf_block *b, u32 index, u32 event);
void show(struct rf_block *b, u32 event);
void wait_command(struct rf_block *b);
void answer(struct rf_block *b, s64 result);
void deliver(struct rf_block *b, u32 command);
s64 copy_out(const struct rf_block *b, u32 count);
s64 mmap_received(const struct rf_block *b);

// native.c
int is_native(const struct rf_block *b);
int native_call(struct rf_block *b, struct rf_thread *t, int in_signal);

// fp.c
s64 fp_save_live(u64 address);
s64 fp_load_live(u64 address);

// The linker's script
extern const char stub_text_start[], stub_text_end[], stub_sealed_end[];

// main.c: whether rdfsbase and its kin may be used; the same in every process.
extern u32 stub_hwcap2;
// main.c: whether the host's kernel asks who may read a process's memory (the Yama module).
extern u32 stub_yama;
#define HAS_FSGSBASE (stub_hwcap2 & 2)

#endif
