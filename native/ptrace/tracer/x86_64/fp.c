// Vector state of a stopped thread, in the form of a signal frame.
#include "../tracer.h"

static char state[FP_LIMIT] __attribute__((aligned(64)));
static u64 state_length; // as the kernel has it

static u64 kind(void) { return fp_known.magic1 == FP_MAGIC1 ? NT_X86_XSTATE : NT_PRFPREG; }

// Bytes of the vector state in a frame, with its trailer.
u32 vector_bytes(void) { return fp_known.magic1 == FP_MAGIC1 ? fp_known.extended_size : FP_LEGACY; }

// Takes the thread's state to `state`.
s64 get_vectors(struct thread *t) {
  struct iovec iov = {state, sizeof state};
  const s64 r = ptrace(PTRACE_GETREGSET, t->tid, kind(), (u64)&iov);
  if (r < 0) return r;
  state_length = iov.length;
  if (fp_known.magic1 != FP_MAGIC1) return 0;
  // What the kernel has there is for debuggers.
  memcpy(state + FP_SW_OFFSET, &fp_known, sizeof fp_known);
  const u32 magic2 = FP_MAGIC2;
  __builtin_memcpy(state + fp_known.state_size, &magic2, sizeof magic2);
  return 0;
}

// `state` becomes the thread's.
s64 put_vectors(struct thread *t) {
  struct iovec iov = {state, state_length};
  return ptrace(PTRACE_SETREGSET, t->tid, kind(), (u64)&iov);
}

// To guest memory. 0 or -EFAULT.
s64 save_vectors(struct thread *t, u64 address) {
  guest_pid = t->space->pid;
  const s64 r = get_vectors(t);
  return r < 0 ? r : fp_save(state, address);
}

// From guest memory, or with address 0 the initial state. 0, -EFAULT or -EINVAL.
s64 load_vectors(struct thread *t, u64 address) {
  guest_pid = t->space->pid;
  s64 r = get_vectors(t);
  if (r < 0) return r;
  r = fp_load(state, address);
  const s64 put = put_vectors(t);
  return r < 0 ? r : put < 0 ? -EINVAL : 0;
}
