// Host calls that a stopped guest thread makes in its own address space: it is sent to the page's `syscall` with the call's registers, not
// trapped on the way, and stops at the trap behind it. The calls are the tracer's; the page is the only place where they are made, and the
// guests' filter lets no other place and no other calls through.
#include "../tracer.h"

#define PLAIN_FLAGS 0x202 // IF, and the bit that is always one

// Waits for the next stop of one thread, or its end. 0: its end, which was taken note of.
int wait_for(int tid, int *status) {
  s64 r;
  do {
    r = sys4(__NR_wait4, (u64)tid, (u64)status, WALL, 0);
  } while (r == -EINTR);
  if (r == tid && (*status & 0xff) == 0x7f) return 1;
  ended(tid);
  return 0;
}

int get_regs(struct thread *t) { return ptrace(PTRACE_GETREGS, t->tid, 0, (u64)&t->regs) == 0; }

// The registers that the guest is to go on with. No call of the kernel's is to be made again because of them.
int set_regs(struct thread *t) {
  t->regs.orig_rax = ~0ULL;
  t->dirty = 0;
  return ptrace(PTRACE_SETREGS, t->tid, 0, (u64)&t->regs) == 0;
}

// Its process cannot go on.
void kill_process(struct thread *t) { sys3(__NR_kill, (u64)t->space->pid, SIGKILL, 0); }

// A stop in between, for something that the thread is to meet when it goes on in guest code.
void hold(struct thread *t, int status) {
  const u32 signal = (u32)status >> 8 & 0x7f;
  const u32 event = (u32)status >> 16;
  if (event == 0) t->held |= 1ULL << (signal & 63);
  else if (event == PTRACE_EVENT_STOP && signal == SIGTRAP) t->held &= ~(1ULL << SIGSTOP);
  else if (event == PTRACE_EVENT_STOP) t->held |= 1ULL << SIGSTOP;
}

// Lets the thread go on, with a signal or none, until it stands behind the trap at `trap`: its registers are `now` then. Signals that come
// meanwhile are kept. 0: it is gone.
int run_to(struct thread *t, const char *trap, u64 signal, struct user_regs_struct *now) {
  for (;;) {
    int status;
    if (ptrace(PTRACE_CONT, t->tid, 0, signal) < 0 || !wait_for(t->tid, &status)) return 0;
    signal = 0;
    const u32 sig = (u32)status >> 8 & 0xff;
    if (status >> 16 != 0) {
      hold(t, status);
      continue;
    }
    if (sig == SIGTRAP) {
      if (ptrace(PTRACE_GETREGS, t->tid, 0, (u64)now) < 0) return 0;
      if (now->rip == (u64)trap) return 1;
      continue;
    }
    if (sig == SIGSEGV || sig == SIGBUS || sig == SIGILL || sig == SIGSYS) {
      kill_process(t); // there is no page any more, or a call that the filter does not know
      return 0;
    }
    hold(t, status);
  }
}

static int start(struct thread *t, s64 nr, const u64 *args) {
  struct user_regs_struct r = t->regs;
  r.rip = (u64)page_syscall;
  r.rax = (u64)nr;
  r.orig_rax = ~0ULL;
  r.eflags = PLAIN_FLAGS;
  r.rdi = args[0];
  r.rsi = args[1];
  r.rdx = args[2];
  r.r10 = args[3];
  r.r8 = args[4];
  r.r9 = args[5];
  t->dirty = 1;
  return ptrace(PTRACE_SETREGS, t->tid, 0, (u64)&r) == 0;
}

// The call's result; -ESRCH: the thread is gone.
s64 inject(struct thread *t, s64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f) {
  const u64 args[6] = {a, b, c, d, e, f};
  struct user_regs_struct now;
  if (!start(t, nr, args) || !run_to(t, page_trapped, 0, &now)) return -ESRCH;
  return (s64)now.rax;
}

// clone(2): the id of the new thread or process, which is stopped, or -errno.
s64 inject_clone(struct thread *t, u64 flags) {
  const u64 args[6] = {flags, 0, 0, 0, 0, 0};
  struct user_regs_struct now;
  u64 child = 0;
  int status;
  if (!start(t, __NR_clone, args)) return -ESRCH;
  // The stop that tells of the child comes before the trap; the signals that do, too, are kept.
  for (;;) {
    if (ptrace(PTRACE_CONT, t->tid, 0, 0) < 0 || !wait_for(t->tid, &status)) return -ESRCH;
    const u32 event = (u32)status >> 16;
    const u32 sig = (u32)status >> 8 & 0xff;
    if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_CLONE) {
      if (ptrace(PTRACE_GETEVENTMSG, t->tid, 0, (u64)&child) < 0) return -ESRCH;
      break;
    }
    if (event == 0 && sig == SIGTRAP) {
      if (ptrace(PTRACE_GETREGS, t->tid, 0, (u64)&now) < 0) return -ESRCH;
      if (now.rip == (u64)page_trapped) return (s64)now.rax;
    } else {
      hold(t, status);
    }
  }
  const int whole = run_to(t, page_trapped, 0, &now);
  // The child's own first stop, before it does anything.
  const int lives = wait_for((int)child, &status);
  if (whole && lives) return (s64)child;
  if (lives) sys3(__NR_kill, child, SIGKILL, 0);
  return whole ? -EAGAIN : -ESRCH;
}

// Has the thread make a call that it does not come back from.
void leave(struct thread *t) {
  const u64 args[6] = {0, 0, 0, 0, 0, 0};
  set_status(t, LEAVES);
  if (start(t, __NR_exit, args)) ptrace(PTRACE_CONT, t->tid, 0, 0);
}
