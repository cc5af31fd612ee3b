// What kind of fault a guest thread had.
//
// ptrace(2) tells signal, code and address of a fault, but not the trap and the processor's error code that a handler on Linux finds in its
// frame (a collector may want to know whether a page was written). The kernel tells them in that frame and nowhere else: where the signal
// leaves a doubt, the kernel is made to build one, in memory of ours, and what stands there is handed on.
#include "../tracer.h"

// struct ucontext at the stack pointer of a handler, behind the return address.
#define FRAME_CONTEXT 8
#define CONTEXT_SIGCONTEXT 40

#define TRAP_BRKPT 1
#define TRAP_TRACE 2
#define FLAG_TF 0x100

// 0: the thread is gone.
static int ask_kernel(struct thread *t, struct fault *f) {
  struct user_regs_struct away = t->regs, now;
  u64 word[2];
  // The frame's making puts the vector state aside.
  if (get_vectors(t) < 0) return 0;
  away.rsp = SCRATCH_BASE + SCRATCH_SIZE;
  if (ptrace(PTRACE_SETREGS, t->tid, 0, (u64)&away) < 0 || !run_to(t, page_handled, f->signal, &now) || put_vectors(t) < 0) return 0;
  guest_pid = t->space->pid;
  const u64 at = now.rsp + FRAME_CONTEXT + CONTEXT_SIGCONTEXT;
  if (guest_read(word, at + offsetof(struct sigcontext, err), sizeof word) == 0) {
    f->error = (u32)word[0];
    f->trap = (u32)word[1];
  }
  return 1;
}

// The thread stands where one of the signals of faults is about to be delivered, with its registers in `regs`. 0: it is gone.
int explain_fault(struct thread *t, u32 signal, struct fault *f) {
  struct fault_info info;
  if (ptrace(PTRACE_GETSIGINFO, t->tid, 0, (u64)&info) < 0) return 0;
  *f = (struct fault){signal, info.code, info.address, 0, 0};
  if (info.code <= 0) return 1; // somebody on the host sent it
  if (signal == SIGILL) {
    f->trap = 6;
    return 1;
  }
  if (signal == SIGTRAP) {
    f->trap = info.code == SI_KERNEL ? 3 : 1;
    // A step that the kernel reports itself, on its way out of a call (user_single_step_report), has a debugger's code.
    if (info.code == TRAP_BRKPT && (t->regs.eflags & FLAG_TF)) f->code = TRAP_TRACE;
    return 1;
  }
  return ask_kernel(t, f);
}

_Static_assert(offsetof(struct sigcontext, trapno) == offsetof(struct sigcontext, err) + 8, "both in one read");
