// Running the guest: into the VM and out again, until there is something to show to the Sentry.
#include "kvm.h"

#define FLAGS_USER 0x254dd5ULL // what a program may set: those of rt_sigreturn(2), NT and ID
#define FLAGS_ALWAYS 0x202ULL

static struct vcpu *of_thread[RF_CONTEXTS];

struct vcpu *vcpu_of(u32 index) { return of_thread[index]; }

void set_vcpu(u32 index, struct vcpu *v) { of_thread[index] = v; }

void save_regs(struct rf_block *b, const struct vcpu *v) {
  const struct kvm_regs *g = &v->run->s.regs.regs;
  u64 *r = b->regs;
  r[0] = g->r15;
  r[1] = g->r14;
  r[2] = g->r13;
  r[3] = g->r12;
  r[4] = g->rbp;
  r[5] = g->rbx;
  r[6] = g->r11;
  r[7] = g->r10;
  r[8] = g->r9;
  r[9] = g->r8;
  r[10] = g->rax;
  r[11] = g->rcx;
  r[12] = g->rdx;
  r[13] = g->rsi;
  r[14] = g->rdi;
  r[15] = ~0ULL;
  r[16] = g->rip;
  r[17] = v->cs;
  r[18] = g->rflags;
  r[19] = g->rsp;
  r[20] = USER_DS;
  r[21] = v->run->s.regs.sregs.fs.base;
  r[22] = v->run->s.regs.sregs.gs.base;
}

static void load_regs(const struct rf_block *b, struct vcpu *v) {
  struct kvm_regs *g = &v->run->s.regs.regs;
  const u64 *r = b->regs;
  g->r15 = r[0];
  g->r14 = r[1];
  g->r13 = r[2];
  g->r12 = r[3];
  g->rbp = r[4];
  g->rbx = r[5];
  g->r11 = r[6];
  g->r10 = r[7];
  g->r9 = r[8];
  g->r8 = r[9];
  g->rax = r[10];
  g->rcx = r[11];
  g->rdx = r[12];
  g->rsi = r[13];
  g->rdi = r[14];
  g->rip = r[16];
  g->rflags = r[18];
  g->rsp = r[19];
}

static int canonical(u64 address) { return address + (1ULL << 47) < 1ULL << 48; }

// What the processor shall have at the next entry: the registers in the run page, at level 3. Segments are written only if they changed:
// that is dear.
static void make_ready(struct vcpu *v, u64 fs, u64 gs) {
  struct kvm_sync_regs *s = &v->run->s.regs;
  s->regs.rflags = (s->regs.rflags & FLAGS_USER) | FLAGS_ALWAYS;
  v->run->kvm_dirty_regs |= KVM_SYNC_X86_REGS; // KVM takes away what it has read
  const u32 cs = v->cs == USER_CS32 ? USER_CS32 : USER_CS;
  const int same = s->sregs.cs.dpl == 3 && s->sregs.ss.dpl == 3 && s->sregs.cs.selector == cs;
  if (same && !v->stale && s->sregs.fs.base == fs && s->sregs.gs.base == gs) return;
  struct kvm_segment code = {.limit = ~0U, .selector = (u16)cs, .type = 11, .present = 1, .dpl = 3, .s = 1, .g = 1};
  code.l = cs == USER_CS;
  code.db = cs == USER_CS32;
  s->sregs.cs = code;
  s->sregs.ss = (struct kvm_segment){.limit = ~0U, .selector = USER_DS, .type = 3, .present = 1, .dpl = 3, .db = 1, .s = 1, .g = 1};
  s->sregs.fs.base = canonical(fs) ? fs : 0;
  s->sregs.gs.base = canonical(gs) ? gs : 0;
  v->run->kvm_dirty_regs |= KVM_SYNC_X86_SREGS;
  v->stale = 0;
}

static void ready_again(struct vcpu *v) { make_ready(v, v->run->s.regs.sregs.fs.base, v->run->s.regs.sregs.gs.base); }

// Is the processor on its way from the guest to an exit, or about to be given an exception? Then it must get there first.
static int under_way(const struct vcpu *v) {
  const struct kvm_sync_regs *s = &v->run->s.regs;
  return s->regs.rip - KERNEL_BASE < 0x800000 || s->events.exception.injected || s->events.exception.pending;
}

// A call of the guest's, whose registers are in the run page. 1: it is done.
static int enter_call(struct rf_block *b, struct rf_thread *t, struct vcpu *v) {
  struct kvm_regs *g = &v->run->s.regs.regs;
  save_regs(b, v);
  b->regs[RF_ORIG_RAX] = g->rax;
  t->phase = PHASE_ENTRY;
  const int done = native_call(b, t, 0);
  if (done > 0) {
    g->rax = b->regs[RF_RAX];
    return 1;
  }
  show_call(b, t->index, done < 0 ? RF_EVENT_RESTART : RF_EVENT_SYSCALL);
  return 0;
}

// The addresses of the old way to call the kernel (vsyscall): the host's kernel would emulate it.
static int old_call(struct rf_block *b, struct rf_thread *t, struct vcpu *v) {
  struct kvm_regs *g = &v->run->s.regs.regs;
  static const u16 calls[] = {__NR_gettimeofday, __NR_time, __NR_getcpu};
  const u64 which = (g->rip - 0xffffffffff600000ULL) / 1024;
  u64 back;
  if (g->rip % 1024 != 0 || which >= sizeof calls / sizeof calls[0] || v->run->s.regs.sregs.cr2 != g->rip) return 0;
  if (g->rsp < RF_MIN_ADDRESS || g->rsp > RF_STUB_BASE - 8 || stub_copy(&back, (const void *)g->rsp, 8) < 0) return 0;
  g->rip = back;
  g->rsp += 8;
  g->rax = calls[which];
  return enter_call(b, t, v) ? 1 : 2;
}

// The VM was left. 1: the guest goes on at once, with what is in the run page. 0: an event is shown.
static int look(struct rf_block *b, struct rf_thread *t, struct vcpu *v) {
  struct kvm_run *run = v->run;
  struct kvm_regs *g = &run->s.regs.regs;
  if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR && run->s.regs.sregs.cs.dpl == 3) {
    return fault(b, v, SIGILL, 2 /* ILL_ILLOPN */, g->rip, 6, 0);
  }
  if (run->exit_reason != KVM_EXIT_IO) die(90);
  if (g->rip - KERNEL_TEXT >= PAGE) return own_output(b, v);
  if (run->io.port == PORT_SYSCALL) {
    g->rip = g->rcx;
    g->rflags = g->r11;
    v->cs = USER_CS;
    return enter_call(b, t, v);
  }
  if (run->io.port == PORT_SYSCALL32) {
    g->rip = (u32)g->rcx - 2;
    g->rflags = g->r11;
    v->cs = USER_CS32;
    return fault(b, v, SIGSEGV, 0x80, 0, 13, 0x402);
  }
  const int r = exception(b, v, run->io.port);
  if (r != 2) return r;
  const int old = old_call(b, t, v);
  if (old != 0) return old == 1;
  return fault(b, v, SIGSEGV, 1 /* SEGV_MAPERR */, run->s.regs.sregs.cr2, 14, 0x15);
}

// Runs the guest with the registers in the block until an event is shown.
void run_guest(struct rf_block *b, struct rf_thread *t, struct vcpu *v) {
  struct kvm_run *run = v->run;
  load_regs(b, v);
  make_ready(v, b->regs[RF_FS_BASE], b->regs[RF_GS_BASE]);
  for (;;) {
    // An interrupt that comes from here on sets the word again (engine.c), and the VM is left at once.
    __atomic_store_n(&run->immediate_exit, 0, __ATOMIC_SEQ_CST);
    if (load(&b->want_interrupt)) {
      save_regs(b, v);
      show(b, RF_EVENT_INTERRUPTED);
      return;
    }
    if (!canonical(run->s.regs.regs.rip)) {
      fault(b, v, SIGSEGV, 0x80, 0, 13, 0);
      return;
    }
    s64 r = enter_vm(v);
    while (r == -EINTR && under_way(v)) {
      __atomic_store_n(&run->immediate_exit, 0, __ATOMIC_SEQ_CST);
      r = enter_vm(v);
    }
    if (r == -EINTR || (r >= 0 && run->exit_reason == KVM_EXIT_INTR)) {
      v->cs = run->s.regs.sregs.cs.selector;
    } else if (r == -EFAULT) {
      v->cs = run->s.regs.sregs.cs.selector;
      const int known = unreachable(b, v);
      if (known == 0) return;
      if (known == 2 && !look(b, t, v)) return;
    } else if (r < 0) {
      die(91);
    } else {
      v->stuck = 0;
      if (!look(b, t, v)) return;
    }
    ready_again(v);
  }
}
