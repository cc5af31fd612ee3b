// Every signal of a guest thread: traps of the guest that become events, and what happens to the stub itself.
#include "../../../stub/sys.h"
#include "../systrap.h"

#include <linux/audit.h>

#define SI_KERNEL 0x80

static void save_regs(struct rf_block *b, const struct rf_thread *t, const struct sigcontext *m) {
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
  r[15] = ~0ULL;
  r[16] = m->rip;
  r[17] = m->cs;
  r[18] = m->eflags;
  r[19] = m->rsp;
  r[20] = m->ss;
  r[21] = get_base(0);
  // What the guest has loaded by itself (wrgsbase) is its own from now on.
  const u64 gs = HAS_FSGSBASE ? get_base(1) : (u64)t;
  r[22] = gs != (u64)t ? gs : t->gs_base;
}

// Selectors stay; rt_sigreturn(2) keeps the privileged flags away.
static void load_regs(const struct rf_block *b, struct rf_thread *t, struct sigcontext *m) {
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
  m->rip = jump_target(t, r[16]);
  m->eflags = r[18];
  m->rsp = r[19];
  set_base(0, r[21]);
  if (r[22] != t->gs_base) set_guest_gs(t, r[22]);
}

// Carries out commands until one of them resumes the guest, with a signal frame to return from.
static void wait_and_serve(struct rf_block *b, u32 index, struct stub_ucontext *uc) {
  struct rf_thread *t = thread_of(index);
  char *fp = (char *)uc->mcontext.fpstate;
  for (;;) {
    wait_command(b);
    const u32 command = load(&b->command);
    s64 r;
    switch (command & 0xff) {
    case RF_COMMAND_RESUME:
      deliver(b, command);
      if (b->regs[RF_GS_BASE] != t->gs_base) set_guest_gs(t, b->regs[RF_GS_BASE]);
      uc->mcontext.rax = b->regs[RF_RAX];
      return;
    case RF_COMMAND_RESUME_FULL:
      if (!prepare_full(b, command, fp)) continue;
      load_regs(b, t, &uc->mcontext);
      return;
    case RF_COMMAND_START:
      if (map_received() < 0) sys1(__NR_exit_group, 79);
      __atomic_store_n(&b->call_args[0], 0, __ATOMIC_SEQ_CST);
      load_regs(b, t, &uc->mcontext);
      return;
    case RF_COMMAND_CLONE:
      r = start_thread((u32)b->call_args[0], uc);
      break;
    case RF_COMMAND_FORK:
      r = fork_process(index, b->call_args[0] != 0);
      // In the child the block is the one that the Sentry prepared: it already says that the thread is stopped.
      if (r == 0) continue;
      break;
    case RF_COMMAND_FP_SAVE:
      r = fp_save(fp, b->call_args[0]);
      break;
    case RF_COMMAND_FP_LOAD:
      r = fp_load(fp, b->call_args[0]);
      break;
    default:
      r = carry_out(b, command & 0xff);
      break;
    }
    answer(b, r);
  }
}

void stub_thread_main(u32 index, struct stub_ucontext *uc) {
  enter_thread(index);
  wait_and_serve(block_of(index), index, uc);
  stub_return_to((u64)uc);
}

// The Sentry has let the guest go on, or the stub was about to on its own: what is in the block is what the guest shall have.
// What comes with the registers is done here, once more perhaps: the stub does not go on where it was.
static int leaves(struct rf_block *b, const struct rf_thread *t, char *fp) {
  if (t->phase == PHASE_FINISHED) return 1;
  if (t->phase != PHASE_SHOWN || load(&b->state) != RF_STATE_GUEST) return 0;
  const u32 command = load(&b->command);
  if ((command & 0xff) == RF_COMMAND_RESUME) {
    deliver(b, command);
    return 1;
  }
  return (command & 0xff) == RF_COMMAND_RESUME_FULL && prepare_full(b, command, fp);
}

enum found { FOUND_GUEST, FOUND_HANDLED, FOUND_ESCAPE };

// A signal that found the stub at work for a rewritten call site, or with a copy from or to guest memory that failed.
static enum found at_work(struct rf_block *b, struct rf_thread *t, int signal, struct sigcontext *m) {
  const u64 ip = m->rip;
  if (ip >= (u64)stub_copy_start && ip < (u64)stub_copy_end && signal != RF_INTERRUPT_SIGNAL) {
    m->rip = (u64)stub_copy_failed;
    return FOUND_HANDLED;
  }
  if (ip >= (u64)stub_copy_string && ip < (u64)stub_copy_string_failed && signal != RF_INTERRUPT_SIGNAL) {
    m->rip = (u64)stub_copy_string_failed;
    return FOUND_HANDLED;
  }
  if (signal == SIGSYS && ip == (u64)stub_escaped) return FOUND_ESCAPE;
  if (signal != RF_INTERRUPT_SIGNAL) {
    for (;;) sys1(__NR_exit_group, 78);
  }
  if (load(&b->want_interrupt) == 0) return FOUND_HANDLED;
  if (ip >= (u64)stub_wait_start && ip < (u64)stub_wait_end) {
    m->rip = (u64)stub_wait_interrupted;
    return FOUND_HANDLED;
  }
  // The event that is about to be shown, or that is shown, serves as well.
  if (!leaves(b, t, (char *)m->fpstate)) return FOUND_HANDLED;
  load_regs(b, t, m);
  m->rip = b->regs[RF_RIP];
  return FOUND_GUEST;
}

static int in_stub(u64 ip) { return ip - RF_STUB_BASE < RF_CONTROL_BASE - RF_STUB_BASE; }

static int in_areas(u64 sp) { return sp - RF_AREA_BASE < (u64)RF_CONTEXTS * RF_AREA_SIZE; }

// Between the guest's stack and ours: the first steps in, the last one out.
static enum found at_the_door(struct rf_block *b, struct rf_thread *t, int signal, struct sigcontext *m, enum place *place) {
  if (m->rip >= (u64)stub_entry && m->rip < (u64)stub_entry_switched) {
    if (signal == RF_INTERRUPT_SIGNAL) return FOUND_HANDLED;
    // A GS base that is not ours, which the guest has set by itself: this call goes the long way.
    m->rip = m->rcx;
    m->r11 = m->eflags;
    *place = PLACE_CALL;
  } else if (m->rip >= (u64)stub_exit_switched && m->rip < (u64)stub_exit_end) {
    if (signal == RF_INTERRUPT_SIGNAL && load(&b->want_interrupt) == 0) return FOUND_HANDLED;
    load_regs(b, t, m);
    m->rip = b->regs[RF_RIP];
  }
  return FOUND_GUEST;
}

// `ip`: where the signal was raised, which may be a copy of what `m` shows by now.
static void fill_fault(struct rf_block *b, int signal, const struct stub_siginfo *info, struct sigcontext *m, u64 ip) {
  b->fault_signal = (u32)signal;
  b->fault_code = info->code;
  b->fault_address = info->address == ip ? m->rip : info->address;
  b->fault_trap = (u32)m->trapno;
  b->fault_error = (u32)m->err;
  if (signal != SIGSYS) return;
  // int $0x80: what a processor without that gate would do.
  m->rip -= 2;
  b->fault_signal = SIGSEGV;
  b->fault_code = SI_KERNEL;
  b->fault_address = 0;
  b->fault_trap = 13;
  b->fault_error = 0x402;
}

// The call that the guest's registers in the block make, found by a signal. 1: it is done.
static int enter_call(struct rf_block *b, struct rf_thread *t, u32 index, u32 flags, u64 nr, struct sigcontext *m) {
  b->regs[RF_ORIG_RAX] = nr;
  t->site_rip = ~0ULL;
  t->phase = PHASE_ENTRY;
  if (flags != 0 && is_native(b)) {
    // The Sentry only hears of the site; then the guest makes the call again.
    show_call(b, index, RF_EVENT_RESTART | flags);
    return 0;
  }
  const int done = native_call(b, t, 1);
  t->phase = PHASE_ENTRY;
  if (done > 0) {
    if (load(&b->want_interrupt) == 0) {
      m->rax = b->regs[RF_RAX];
      return 1;
    }
    show(b, RF_EVENT_INTERRUPTED);
    return 0;
  }
  show_call(b, index, done < 0 ? RF_EVENT_RESTART : RF_EVENT_SYSCALL | flags);
  return 0;
}

// C's own stack is the thread's area, so its address tells the context.
void stub_signal(int signal, const struct stub_siginfo *info, struct stub_ucontext *uc) {
  struct sigcontext *m = &uc->mcontext;
  const u64 ip = m->rip;
  const u32 index = (u32)(((u64)uc - RF_AREA_BASE) / RF_AREA_SIZE);
  struct rf_block *b = block_of(index);
  struct rf_thread *t = thread_of(index);
  enum place place = PLACE_GUEST;
  enum found found = FOUND_GUEST;
  fp_learn((const char *)m->fpstate);
  if (in_stub(m->rip)) {
    found = in_areas(m->rsp) ? at_work(b, t, signal, m) : at_the_door(b, t, signal, m, &place);
    if (found == FOUND_HANDLED) return;
    if (found == FOUND_ESCAPE) {
      load_regs(b, t, m);
      wait_and_serve(b, index, uc);
      return;
    }
  } else {
    place = place_of(m, signal, info->code);
    if (place == PLACE_AGAIN) return;
  }
  b->fp_size = fp_bytes((const char *)m->fpstate);
  if (place == PLACE_CALL || (signal == SIGSYS && info->arch == RF_AUDIT_ARCH)) {
    save_regs(b, t, m);
    if (enter_call(b, t, index, place == PLACE_CALL ? 0 : site_event(m->rip), m->rax, m)) return;
  } else if (signal == RF_INTERRUPT_SIGNAL) {
    if (load(&b->want_interrupt) == 0) return;
    save_regs(b, t, m);
    show(b, RF_EVENT_INTERRUPTED);
  } else {
    fill_fault(b, signal, info, m, ip);
    save_regs(b, t, m);
    show(b, RF_EVENT_FAULT);
  }
  wait_and_serve(b, index, uc);
}
