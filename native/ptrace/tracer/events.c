// What a stop of a guest thread means, and how it is shown to the Sentry.
#include "tracer.h"

#include <linux/audit.h>

static void ring(const struct rf_block *b) {
  if (load(&CONTROL->asleep) == 0 && load(&b->cold) == 0) return;
  const u64 one = 1;
  sys3(__NR_write, RF_DOORBELL_FD, (u64)&one, sizeof one);
}

static void publish(struct thread *t, u32 event) {
  struct rf_block *b = t->block;
  b->event = event;
  b->command = 0;
  set_status(t, SHOWN);
  // A full fence: either the Sentry's next look at `state` sees it, or the words that it set before tell us to ring.
  __atomic_exchange_n(&b->state, RF_STATE_STOPPED, __ATOMIC_SEQ_CST);
  ring(b);
  if (load(&b->sentry_waits)) sys6(__NR_futex, (u64)&b->state, FUTEX_WAKE, 1, 0, 0, 0);
}

void show(struct thread *t, u32 event) {
  memcpy(t->block->regs, &t->regs, sizeof t->block->regs);
  publish(t, event);
}

void show_fault(struct thread *t, const struct fault *f) {
  struct rf_block *b = t->block;
  b->fault_signal = f->signal;
  b->fault_code = f->code;
  b->fault_address = f->address;
  b->fault_trap = f->trap;
  b->fault_error = f->error;
  t->regs.orig_rax = ~0ULL;
  show(t, RF_EVENT_FAULT);
}

// The thread stands behind a call with number `nr`, which the kernel does not make. rcx and r11 are as `syscall` leaves them.
static void show_call(struct thread *t, u64 nr) {
  struct rf_block *b = t->block;
  t->regs.rax = nr;
  t->regs.orig_rax = nr;
  memcpy(b->regs, &t->regs, sizeof b->regs);
  guest_pid = t->space->pid;
  const u32 fetched = fetch(b, window_of(t));
  last_usage(t, nr);
  b->call_nr = (u32)nr; // the kernel takes an int
  b->call_args[0] = t->regs.rdi;
  b->call_args[1] = t->regs.rsi;
  b->call_args[2] = t->regs.rdx;
  if (!(fetched & RF_EVENT_INLINE)) {
    b->call_args[3] = t->regs.r10;
    b->call_args[4] = t->regs.r8;
    b->call_args[5] = t->regs.r9;
  }
  publish(t, RF_EVENT_SYSCALL | fetched);
}

// Another entry into the kernel than `syscall` (int $0x80, sysenter): what a processor without that gate would do.
static void show_foreign(struct thread *t) {
  const struct fault f = {SIGSEGV, SI_KERNEL, 0, 13, 0x402};
  t->regs.rip -= 2;
  t->regs.rax = t->regs.orig_rax;
  t->dirty = 1;
  show_fault(t, &f);
}

// Was it `syscall`? That leaves the next address in rcx and the flags in r11, as good as nothing else does; what does may count as one.
static int by_syscall(const struct thread *t) {
  if (t->regs.rcx == t->regs.rip && t->regs.r11 == t->regs.eflags) return 1;
  struct ptrace_syscall_info info;
  memset(&info, 0, sizeof info);
  if (ptrace(PTRACE_GET_SYSCALL_INFO, t->tid, sizeof info, (u64)&info) <= 0) return 0;
  return info.arch == RF_AUDIT_ARCH;
}

static void call_stop(struct thread *t) {
  if (!get_regs(t)) return;
  const u64 nr = t->regs.orig_rax;
  const int plain = by_syscall(t);
  if (tracer_request == PTRACE_SYSCALL) {
    // The call goes on as one that there is none of, up to the stop behind it.
    int status;
    if (ptrace(PTRACE_POKEUSR, t->tid, offsetof(struct user_regs_struct, orig_rax), ~0ULL) < 0) return;
    do {
      if (ptrace(PTRACE_SYSCALL, t->tid, 0, 0) < 0 || !wait_for(t->tid, &status)) return;
      if (status >> 8 != SYSCALL_STOP) hold(t, status);
    } while ((status >> 8) != SYSCALL_STOP);
    t->dirty = 1;
  }
  if (plain) show_call(t, nr);
  else show_foreign(t);
}

static void interrupted(struct thread *t) {
  if (load(&t->block->want_interrupt) == 0) {
    resume_as_it_is(t, 0);
    return;
  }
  if (!get_regs(t)) return;
  t->regs.orig_rax = ~0ULL;
  t->dirty = 1;
  show(t, RF_EVENT_INTERRUPTED);
}

static void signal_stop(struct thread *t, u32 signal) {
  struct fault_info info;
  struct fault f;
  switch (signal) {
  case RF_INTERRUPT_SIGNAL:
    interrupted(t);
    return;
  case SIGSEGV:
  case SIGBUS:
  case SIGFPE:
  case SIGILL:
  case SIGTRAP:
    if (!get_regs(t)) return;
    t->dirty = 1;
    if (explain_fault(t, signal, &f)) show_fault(t, &f);
    return;
  case SIGSYS:
    // The filter: a call by way of the vsyscall page, which the kernel makes without a stop.
    if (!get_regs(t) || ptrace(PTRACE_GETSIGINFO, t->tid, 0, (u64)&info) < 0) return;
    t->dirty = 1;
    if (info.arch == RF_AUDIT_ARCH) show_call(t, t->regs.rax);
    else show_foreign(t);
    return;
  default:
    // Somebody on the host sent it: it does what it does to a process without handlers.
    resume_as_it_is(t, signal);
  }
}

// A stop of a thread that ran.
void stopped(struct thread *t, int status) {
  const u32 signal = (u32)status >> 8 & 0xff;
  const u32 event = (u32)status >> 16;
  if (event == PTRACE_EVENT_STOP && signal != SIGTRAP) {
    ptrace(PTRACE_LISTEN, t->tid, 0, 0); // a stopped process stays so until SIGCONT
  } else if (event != 0) {
    resume_as_it_is(t, 0);
  } else if (signal == SYSCALL_STOP) {
    call_stop(t);
  } else {
    signal_stop(t, signal);
  }
}

// Goes on in guest code.
void resume_as_it_is(struct thread *t, u64 signal) {
  set_status(t, RUNS);
  ptrace(tracer_request, t->tid, 0, signal);
}

// Goes on in guest code with `regs`, and with the signals that came while it carried out commands.
void resume(struct thread *t) {
  if (!set_regs(t)) {
    set_status(t, LEAVES); // it is dying
    return;
  }
  for (u32 signal = 1; signal < 64 && t->held >> signal != 0; signal++) {
    if ((t->held >> signal & 1) == 0) continue;
    if (signal == RF_INTERRUPT_SIGNAL && load(&t->block->want_interrupt) == 0) continue;
    sys3(__NR_tgkill, (u64)t->space->pid, (u64)t->tid, signal);
  }
  t->held = 0;
  resume_as_it_is(t, 0);
}
