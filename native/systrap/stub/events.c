// Events and commands: what happens between a trap of the guest and its return.
#include "sys.h"

#include <linux/audit.h>

#define FP_MAGIC1 0x46505853U
#define FP_MAGIC2 0x46505845U
#define FP_LEGACY 512
#define FP_HEADER 64
#define FP_SW_OFFSET 464 // struct _fpx_sw_bytes
#define MXCSR_OFFSET 24
#define MXCSR_INITIAL 0x1f80U
#define MXCSR_MASK_OFFSET 28

struct fp_software {
  u32 magic1;
  u32 extended_size;
  u64 features;
  u32 state_size;
};

static inline u32 load(const u32 *p) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }

static inline void pause(void) { __asm__ volatile("pause"); }

static u64 get_base(int gs) {
  u64 base = 0;
  if (HAS_FSGSBASE) {
    if (gs) {
      __asm__ volatile("rdgsbase %0" : "=r"(base));
    } else {
      __asm__ volatile("rdfsbase %0" : "=r"(base));
    }
  } else {
    sys3(__NR_arch_prctl, gs ? ARCH_GET_GS : ARCH_GET_FS, (u64)&base, 0);
  }
  return base;
}

// A base that is no user address would fault in the processor: arch_prctl(2) checks it.
static void set_base(int gs, u64 base) {
  if (base == get_base(gs)) return;
  if (HAS_FSGSBASE && base < (1ULL << 47)) {
    if (gs) {
      __asm__ volatile("wrgsbase %0" : : "r"(base));
    } else {
      __asm__ volatile("wrfsbase %0" : : "r"(base));
    }
  } else {
    sys3(__NR_arch_prctl, gs ? ARCH_SET_GS : ARCH_SET_FS, base, 0);
  }
}

static void save_regs(struct rf_block *b, const struct sigcontext *m) {
  u64 *r = b->regs;
  r[0] = m->r15;
  r[1] = m->r14;
  r[2] = m->r13;
  r[3] = m->r12;
  r[4] = m->rbp;
  r[5] = m->rbx;
  r[6] = m->r11;
  r[7] = m->r10;
  r[8] = m->r9;
  r[9] = m->r8;
  r[10] = m->rax;
  r[11] = m->rcx;
  r[12] = m->rdx;
  r[13] = m->rsi;
  r[14] = m->rdi;
  r[15] = b->event == RF_EVENT_SYSCALL ? m->rax : ~0ULL;
  r[16] = m->rip;
  r[17] = m->cs;
  r[18] = m->eflags;
  r[19] = m->rsp;
  r[20] = m->ss;
  r[21] = get_base(0);
  r[22] = get_base(1);
}

// Selectors stay; rt_sigreturn(2) keeps the privileged flags away.
static void load_regs(const struct rf_block *b, struct sigcontext *m) {
  const u64 *r = b->regs;
  m->r15 = r[0];
  m->r14 = r[1];
  m->r13 = r[2];
  m->r12 = r[3];
  m->rbp = r[4];
  m->rbx = r[5];
  m->r11 = r[6];
  m->r10 = r[7];
  m->r9 = r[8];
  m->r8 = r[9];
  m->rax = r[10];
  m->rcx = r[11];
  m->rdx = r[12];
  m->rsi = r[13];
  m->rdi = r[14];
  m->rip = r[16];
  m->eflags = r[18];
  m->rsp = r[19];
  set_base(0, r[21]);
  set_base(1, r[22]);
}

static void ring(void) {
  if (load(&CONTROL->asleep) == 0) return;
  const u64 one = 1;
  sys3(__NR_write, RF_DOORBELL_FD, (u64)&one, sizeof one);
}

// The exchange is a full fence: either the Sentry's next look at `state` sees it, or the words that it set before tell us to wake it.
static void stop(struct rf_block *b, int event) {
  __atomic_exchange_n(&b->state, RF_STATE_STOPPED, __ATOMIC_SEQ_CST);
  if (load(&b->sentry_waits)) sys6(__NR_futex, (u64)&b->state, FUTEX_WAKE, 1, 0, 0, 0);
  if (event) ring();
}

static void wait_command(struct rf_block *b) {
  for (u32 n = load(&CONTROL->spin); n > 0; n--) {
    if (load(&b->state) == RF_STATE_GUEST) return;
    pause();
  }
  u32 expected = RF_STATE_STOPPED;
  __atomic_compare_exchange_n(&b->state, &expected, RF_STATE_SLEEPING, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  while (load(&b->state) != RF_STATE_GUEST) sys6(__NR_futex, (u64)&b->state, FUTEX_WAIT, RF_STATE_SLEEPING, 0, 0, 0);
}

static s64 fp_save(const struct stub_ucontext *uc, u64 address) {
  const char *fp = (const char *)uc->mcontext.fpstate;
  const struct fp_software *sw = (const struct fp_software *)(fp + FP_SW_OFFSET);
  const u64 bytes = sw->magic1 == FP_MAGIC1 ? sw->extended_size : FP_LEGACY;
  return stub_copy((void *)address, fp, bytes);
}

static void fp_reset(char *fp, u64 bytes) {
  u32 mask;
  __builtin_memcpy(&mask, fp + MXCSR_MASK_OFFSET, 4);
  memset(fp, 0, FP_SW_OFFSET);
  if (bytes > FP_LEGACY) memset(fp + FP_LEGACY, 0, bytes - FP_LEGACY);
  fp[0] = 0x7f;
  fp[1] = 0x03;
  const u32 mxcsr = MXCSR_INITIAL;
  __builtin_memcpy(fp + MXCSR_OFFSET, &mxcsr, 4);
  __builtin_memcpy(fp + MXCSR_MASK_OFFSET, &mask, 4);
}

// Loads the frame's vector state as rt_sigreturn(2) does: with a whole extended area if its marks are right, else only the 512 bytes
// of FXSAVE. What would make the processor refuse the state is -EINVAL. The frame's own marks never change.
static s64 fp_load(struct stub_ucontext *uc, u64 address) {
  char *fp = (char *)uc->mcontext.fpstate;
  const struct fp_software own = *(const struct fp_software *)(fp + FP_SW_OFFSET);
  const u64 bytes = own.magic1 == FP_MAGIC1 ? own.state_size : FP_LEGACY;
  u32 own_mask;
  __builtin_memcpy(&own_mask, fp + MXCSR_MASK_OFFSET, 4);
  if (address == 0) {
    fp_reset(fp, bytes);
    return 0;
  }
  struct fp_software sw;
  u32 magic2 = 0;
  u64 header[8];
  if (stub_copy(&sw, (const void *)(address + FP_SW_OFFSET), sizeof sw) < 0) return -EFAULT;
  int extended = bytes > FP_LEGACY && sw.magic1 == FP_MAGIC1 && sw.state_size == own.state_size && sw.extended_size == own.extended_size;
  if (extended && stub_copy(&magic2, (const void *)(address + bytes), 4) < 0) return -EFAULT;
  if (magic2 != FP_MAGIC2) extended = 0;
  if (extended) {
    if (stub_copy(header, (const void *)(address + FP_LEGACY), FP_HEADER) < 0) return -EFAULT;
    if (header[0] & ~own.features) return -EINVAL;
    for (int i = 1; i < 8; i++) {
      if (header[i] != 0) return -EINVAL;
    }
  }
  u32 mxcsr;
  if (stub_copy(&mxcsr, (const void *)(address + MXCSR_OFFSET), 4) < 0) return -EFAULT;
  if (mxcsr & ~(own_mask ? own_mask : 0xffbfU)) return -EINVAL;
  s64 r = stub_copy(fp, (const void *)address, FP_SW_OFFSET);
  if (r == 0 && extended) r = stub_copy(fp + FP_LEGACY + FP_HEADER, (const void *)(address + FP_LEGACY + FP_HEADER), bytes - FP_LEGACY - FP_HEADER);
  if (!extended) {
    memset(header, 0, sizeof header);
    header[0] = 3; // x87 and SSE
  }
  if (bytes > FP_LEGACY) memcpy(fp + FP_LEGACY, header, FP_HEADER);
  // Another thread may have changed guest memory meanwhile: what counts is what was checked.
  __builtin_memcpy(fp + MXCSR_OFFSET, &mxcsr, 4);
  __builtin_memcpy(fp + MXCSR_MASK_OFFSET, &own_mask, 4);
  if (r < 0) fp_reset(fp, bytes);
  return r;
}

static s64 mmap_received(const struct rf_block *b) {
  struct descriptors d;
  const int got = receive(&d, MSG_DONTWAIT); // as for RF_COMMAND_FORK
  s64 r = -EPROTO;
  if (got > 0 && d.kind == RF_MESSAGE_MAP && d.count == 1) {
    r = sys6(__NR_mmap, b->call_args[0], b->call_args[1], b->call_args[2], b->call_args[3], (u64)d.fd[0], b->call_args[5]);
  }
  for (int i = 0; i < d.count; i++) sys1(__NR_close, (u64)d.fd[i]);
  return r;
}

static s64 hostcall(struct rf_block *b) {
  const u64 nr = b->call_nr;
  const u64 *a = b->call_args;
  const s64 r = sys6((s64)nr, a[0], a[1], a[2], a[3], a[4], a[5]);
  if (nr == __NR_arch_prctl) {
    b->regs[21] = get_base(0);
    b->regs[22] = get_base(1);
  }
  return r;
}

// Shows what is in the block and carries out commands until one of them resumes the guest.
void wait_and_serve(struct rf_block *b, u32 index, struct stub_ucontext *uc) {
  for (;;) {
    wait_command(b);
    s64 r = -EINVAL;
    switch (load(&b->command)) {
    case RF_COMMAND_RESUME:
      uc->mcontext.rax = b->result;
      return;
    case RF_COMMAND_RESUME_FULL:
      load_regs(b, &uc->mcontext);
      return;
    case RF_COMMAND_HOSTCALL:
      r = hostcall(b);
      break;
    case RF_COMMAND_MMAP_FD:
      r = mmap_received(b);
      break;
    case RF_COMMAND_START:
      if (map_received() < 0) sys1(__NR_exit_group, 79);
      __atomic_store_n(&b->call_args[0], 0, __ATOMIC_SEQ_CST);
      load_regs(b, &uc->mcontext);
      return;
    case RF_COMMAND_MAPS:
      r = map_received();
      break;
    case RF_COMMAND_CLONE:
      r = start_thread((u32)b->call_args[0], uc);
      break;
    case RF_COMMAND_FORK:
      r = fork_process(index, b->call_args[0] != 0);
      // In the child the block is the one that the Sentry prepared: it already says that the thread is stopped.
      if (r == 0) continue;
      break;
    case RF_COMMAND_FP_SAVE:
      r = fp_save(uc, b->call_args[0]);
      break;
    case RF_COMMAND_FP_LOAD:
      r = fp_load(uc, b->call_args[0]);
      break;
    case RF_COMMAND_USAGE:
      r = usage(b, b->call_args[0] == 1);
      break;
    case RF_COMMAND_EXIT:
      for (;;) sys1(__NR_exit, 0);
    default:
      break;
    }
    b->result = (u64)r;
    stop(b, 0);
  }
}

void stub_thread_main(u32 index, struct stub_ucontext *uc) {
  set_altstack(index);
  wait_and_serve(block_of(index), index, uc);
  stub_return_to((u64)uc);
}

// Every signal. C's own stack is the thread's area, so its address tells the context.
void stub_signal(int signal, const struct stub_siginfo *info, struct stub_ucontext *uc) {
  struct sigcontext *m = &uc->mcontext;
  const u32 index = (u32)(((u64)uc - RF_AREA_BASE) / RF_AREA_SIZE);
  if (m->rsp - RF_AREA_BASE < (u64)RF_CONTEXTS * RF_AREA_SIZE && m->rip - RF_STUB_BASE < RF_CONTROL_BASE - RF_STUB_BASE) {
    // The stub itself was interrupted: a copy from or to guest memory failed. Anything else cannot go on.
    if (m->rip >= (u64)stub_copy_start && m->rip < (u64)stub_copy_end) {
      m->rip = (u64)stub_copy_failed;
      return;
    }
    sys1(__NR_exit_group, 78);
  }
  struct rf_block *b = block_of(index);
  const struct fp_software *sw = (const struct fp_software *)((const char *)m->fpstate + FP_SW_OFFSET);
  b->fp_size = sw->magic1 == FP_MAGIC1 ? sw->extended_size : FP_LEGACY;
  if (signal == SIGSYS && info->arch == AUDIT_ARCH_X86_64) {
    b->event = RF_EVENT_SYSCALL;
    last_usage(b, m->rax);
  } else if (signal == RF_INTERRUPT_SIGNAL) {
    if (load(&b->want_interrupt) == 0) return;
    b->event = RF_EVENT_INTERRUPTED;
  } else {
    b->event = RF_EVENT_FAULT;
    b->fault_signal = (u32)signal;
    b->fault_code = info->code;
    b->fault_address = info->address;
    b->fault_trap = (u32)m->trapno;
    b->fault_error = (u32)m->err;
    if (signal == SIGSYS) {
      // int $0x80: what a processor without that gate would do.
      m->rip -= 2;
      b->fault_signal = SIGSEGV;
      b->fault_code = 0x80; // SI_KERNEL
      b->fault_address = 0;
      b->fault_trap = 13;
      b->fault_error = 0x402;
    }
  }
  save_regs(b, m);
  stop(b, 1);
  wait_and_serve(b, index, uc);
}
