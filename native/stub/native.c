// Calls that need no state of the Sentry's: the guest's own thread makes them, in its own address space. The Sentry allows them for each
// context (struct rf_block.native): a tracer must see every call.
#include "sys.h"

#include <linux/futex.h>

#define MADV_FREE 8
#define MADV_COLD 20
#define MADV_PAGEOUT 21

// Words of the guest, private to its address space: nobody else can wait there. What a waiter that is interrupted sees is decided by the
// Sentry (RF_EVENT_RESTART).
static int futex_is_native(const u64 *a) {
  const u32 op = (u32)a[1];
  if ((op & FUTEX_PRIVATE_FLAG) == 0 || a[0] > RF_STUB_BASE - 4 || a[0] < RF_MIN_ADDRESS) return 0;
  switch (op & (u32)FUTEX_CMD_MASK) {
  case FUTEX_WAIT:
  case FUTEX_WAIT_BITSET:
  case FUTEX_WAKE:
  case FUTEX_WAKE_BITSET:
    return 1;
  case FUTEX_REQUEUE:
  case FUTEX_CMP_REQUEUE:
  case FUTEX_WAKE_OP:
    return a[4] <= RF_STUB_BASE - 4 && a[4] >= RF_MIN_ADDRESS;
  default:
    return 0;
  }
}

static int madvise_is_native(const u64 *a) {
  if (a[0] < RF_MIN_ADDRESS || a[0] > RF_STUB_BASE || a[1] > RF_STUB_BASE - a[0]) return 0;
  return a[2] == MADV_DONTNEED || a[2] == MADV_FREE || a[2] == MADV_COLD || a[2] == MADV_PAGEOUT;
}

static void interrupts(int how) {
  const u64 set = 1ULL << (RF_INTERRUPT_SIGNAL - 1);
  sys6(__NR_rt_sigprocmask, (u64)how, (u64)&set, 0, 8, 0, 0);
}

// Handlers run with interrupts blocked; a thread that waits must be reachable.
static s64 wait_call(struct rf_block *b, const u64 *args, int in_signal) {
  b->native_wait = 1;
  if (in_signal) interrupts(SIG_UNBLOCK);
  const s64 result = stub_wait_call(__NR_futex, args, &b->want_interrupt);
  if (in_signal) interrupts(SIG_BLOCK);
  b->native_wait = 0;
  return result;
}

// May the call in the block be made here?
int is_native(const struct rf_block *b) {
  const u64 *r = b->regs;
  const u64 args[6] = {r[14], r[13], r[12], r[7], r[9], r[8]};
  const u32 allowed = load(&b->native);
  if (r[15] == __NR_futex) return (allowed & RF_NATIVE_FUTEX) && futex_is_native(args);
  return r[15] == __NR_madvise && (allowed & RF_NATIVE_MADVISE) && madvise_is_native(args);
}

// Makes the call in the block if it may be made here. 1: its result is in the block. 0: it is the Sentry's. -EINTR: it was interrupted.
int native_call(struct rf_block *b, struct rf_thread *t, int in_signal) {
  if (!is_native(b)) return 0;
  const u64 *r = b->regs;
  const u64 args[6] = {r[14], r[13], r[12], r[7], r[9], r[8]};
  s64 result;
  const u32 op = (u32)args[1] & (u32)FUTEX_CMD_MASK;
  if (r[15] == __NR_futex && (op == FUTEX_WAIT || op == FUTEX_WAIT_BITSET)) {
    result = wait_call(b, args, in_signal);
    if (result == -EINTR) return -EINTR;
  } else if (r[15] == __NR_futex) {
    result = sys6(__NR_futex, args[0], args[1], args[2], args[3], args[4], args[5]);
  } else {
    result = sys3(__NR_madvise, args[0], args[1], args[2]);
  }
  b->regs[RF_RAX] = (u64)result;
  __atomic_store_n(&t->phase, PHASE_FINISHED, __ATOMIC_SEQ_CST);
  return 1;
}
