// Showing events to the Sentry, waiting for its commands, and what is the same in all of them.
#include "sys.h"

static void ring(const struct rf_block *b) {
  if (load(&CONTROL->asleep) == 0 && load(&b->cold) == 0) return;
  const u64 one = 1;
  sys3(__NR_write, RF_DOORBELL_FD, (u64)&one, sizeof one);
}

// The exchange is a full fence: either the Sentry's next look at `state` sees it, or the words that it set before tell us to ring.
void show(struct rf_block *b, u32 event) {
  b->event = event;
  b->command = 0;
  __atomic_store_n(&thread_of(index_of(b))->phase, PHASE_SHOWN, __ATOMIC_RELEASE);
  __atomic_exchange_n(&b->state, RF_STATE_STOPPED, __ATOMIC_SEQ_CST);
  ring(b);
}

// Shows the call in b->regs. The stores to the block's first line stand together: the Sentry polls that line.
void show_call(struct rf_block *b, u32 index, u32 event) {
  const u64 *r = b->regs;
  const u32 fetched = fetch(b, window_of(index));
  const u64 nr = r[15];
  last_usage(b, nr);
  b->call_nr = (u32)nr;
  b->call_args[0] = r[14];
  b->call_args[1] = r[13];
  b->call_args[2] = r[12];
  if (!(fetched & RF_EVENT_INLINE)) {
    b->call_args[3] = r[7];
    b->call_args[4] = r[9];
    b->call_args[5] = r[8];
  }
  show(b, event | fetched);
}

// The answer to a command.
void answer(struct rf_block *b, s64 result) {
  b->call_args[0] = (u64)result;
  __atomic_exchange_n(&b->state, RF_STATE_STOPPED, __ATOMIC_SEQ_CST);
  if (load(&b->sentry_waits)) sys6(__NR_futex, (u64)&b->state, FUTEX_WAKE, 1, 0, 0, 0);
}

// Looks in the first moments only take the line from the Sentry, which is reading the call and will write its answer there.
#define FIRST_PAUSES 10


void wait_command(struct rf_block *b) {
  for (u32 n = 0; n < FIRST_PAUSES; n++) rf_pause();
  u32 n = load(&CONTROL->spin);
  if (n == 0 && load(&CONTROL->asleep) == 0) n = load(&CONTROL->short_spin);
  for (; n > 0; n--) {
    if (load(&b->state) == RF_STATE_GUEST) return;
    if (load(&b->command) == RF_COMMAND_SLEEP) break;
    rf_pause();
  }
  u32 expected = RF_STATE_STOPPED;
  __atomic_compare_exchange_n(&b->state, &expected, RF_STATE_SLEEPING, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  while (load(&b->state) != RF_STATE_GUEST) sys6(__NR_futex, (u64)&b->state, FUTEX_WAIT, RF_STATE_SLEEPING, 0, 0, 0);
}

// Copies what the Sentry's answer brings from the window to the guest; a bad address is the call's EFAULT.
s64 copy_out(const struct rf_block *b, u32 count) {
  const char *window = window_of(index_of(b));
  s64 r = 0;
  for (u32 i = 0; i < count && i < RF_OUT_RANGES && window != 0; i++) {
    const struct rf_range range = b->out[i];
    if (stub_copy((void *)range.address, window + range.offset, range.length) < 0) r = -EFAULT;
  }
  return r;
}

// RF_COMMAND_RESUME: rax and the guest's memory become what the Sentry says. May be done twice.
void deliver(struct rf_block *b, u32 command) {
  const u64 *a = b->call_args;
  const u32 count = command >> 8 & 0xff;
  s64 r = 0;
  if (command & RF_COMMAND_INLINE) {
    r = stub_copy((void *)a[1], &a[2], command >> 24 <= RF_OUT_INLINE ? command >> 24 : RF_OUT_INLINE);
  } else if (count == 1) {
    const char *window = window_of(index_of(b));
    if (window != 0) r = stub_copy((void *)a[1], window + (a[2] >> 32), a[2] & 0xffffffff);
  } else if (count != 0) {
    r = copy_out(b, count);
  }
  b->regs[RF_RAX] = r < 0 ? (u64)r : a[0];
}

s64 mmap_received(const struct rf_block *b) {
  struct descriptors d;
  const int got = receive(&d, MSG_DONTWAIT); // as for RF_COMMAND_FORK
  s64 r = -EPROTO;
  if (got > 0 && d.kind == RF_MESSAGE_MAP && d.count == 1) {
    r = memory_call(__NR_mmap, b->call_args[0], b->call_args[1], b->call_args[2], b->call_args[3], (u64)d.fd[0], b->call_args[5]);
  }
  for (int i = 0; i < d.count; i++) sys1(__NR_close, (u64)d.fd[i]);
  return r;
}
