// Showing events to the Sentry, waiting for its commands and carrying them out; the path of a call that came without a signal.
#include "sys.h"

#define FLAGS_PLAIN 0xed7U // CF, PF, AF, ZF, SF, DF, OF, IF and the bit that is always one: what popf can load without a thought

static inline void pause(void) { __asm__ volatile("pause"); }

u64 get_base(int gs) {
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
void set_base(int gs, u64 base) {
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

// The guest wants this GS base, 0: none. One that has its own cannot use rewritten call sites, which find their context there: then there
// are no more of them in this process.
void set_guest_gs(struct rf_thread *t, u64 base) {
  if (base != 0 && t->gs_base == 0) forget_sites();
  t->gs_base = base;
  set_base(1, base != 0 ? base : (u64)t);
}

// The calling host thread becomes that of context `index`. Where it goes on stays as it is: a new thread goes where its maker would.
void enter_thread(u32 index) {
  struct rf_thread *t = thread_of(index);
  t->stack_top = (u64)t;
  t->block = block_of(index);
  t->index = index;
  t->phase = PHASE_FINISHED;
  t->gs_base = 0;
  set_base(1, (u64)t);
  set_altstack(index);
}

// Where to go on so that the guest finds itself at `rip`.
u64 jump_target(const struct rf_thread *t, u64 rip) { return rip == t->site_rip ? t->resume : rip; }

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
  const u32 fetched = fetch(b, index);
  const u64 *r = b->regs;
  const u64 nr = r[15];
  last_usage(b, nr);
  b->call_nr = nr >> 32 ? ~0U : (u32)nr;
  b->call_args[0] = r[14];
  b->call_args[1] = r[13];
  b->call_args[2] = r[12];
  b->call_args[3] = r[7];
  b->call_args[4] = r[9];
  b->call_args[5] = r[8];
  show(b, event | fetched << 8);
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
  for (u32 n = 0; n < FIRST_PAUSES; n++) pause();
  for (u32 n = load(&CONTROL->spin); n > 0; n--) {
    if (load(&b->state) == RF_STATE_GUEST) return;
    if (load(&b->command) == RF_COMMAND_SLEEP) break;
    pause();
  }
  u32 expected = RF_STATE_STOPPED;
  __atomic_compare_exchange_n(&b->state, &expected, RF_STATE_SLEEPING, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  while (load(&b->state) != RF_STATE_GUEST) sys6(__NR_futex, (u64)&b->state, FUTEX_WAIT, RF_STATE_SLEEPING, 0, 0, 0);
}

// Copies what the Sentry's answer brings from the window to the guest; a bad address is the call's EFAULT.
static s64 copy_out(const struct rf_block *b, u32 count) {
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
  const u32 count = command >> 8 & 0xff;
  const s64 r = count == 0 ? 0 : copy_out(b, count);
  b->regs[10] = r < 0 ? (u64)r : b->call_args[0];
}

// What RF_COMMAND_RESUME_FULL brings besides registers: memory, and vector state, which is at `fp` or, NULL, in the processor. 0: the event
// of a SIGSEGV is shown instead.
int prepare_full(struct rf_block *b, u32 command, char *fp) {
  const u64 address = b->call_args[0];
  // The Sentry has looked at what the guest may write: only a guest that unmaps its own stack meanwhile gets here.
  if ((command >> 8 & 0xff) != 0 && copy_out(b, command >> 8 & 0xff) < 0) sys1(__NR_exit_group, 79);
  if ((command & RF_COMMAND_SAVES) && (fp ? fp_save(fp, address) : fp_save_live(address)) < 0) sys1(__NR_exit_group, 79);
  if (!(command & RF_COMMAND_LOADS) || (fp ? fp_load(fp, address) : fp_load_live(address)) == 0) return 1;
  b->fault_signal = SIGSEGV;
  b->fault_code = 0x80; // SI_KERNEL
  b->fault_address = 0;
  b->fault_trap = 13;
  b->fault_error = 0;
  show(b, RF_EVENT_FAULT);
  return 0;
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
  const u64 *a = b->call_args;
  if (b->call_nr == __NR_arch_prctl && a[0] == ARCH_SET_GS) {
    b->regs[22] = a[1]; // loaded on the way back
    return a[1] < (1ULL << 47) ? 0 : -EPERM;
  }
  const s64 r = sys6((s64)b->call_nr, a[0], a[1], a[2], a[3], a[4], a[5]);
  if (b->call_nr == __NR_arch_prctl) b->regs[21] = get_base(0);
  return r;
}

// Commands that are the same whichever way the thread came here. Never returns from RF_COMMAND_EXIT.
s64 carry_out(struct rf_block *b, u32 command) {
  switch (command) {
  case RF_COMMAND_HOSTCALL:
    return hostcall(b);
  case RF_COMMAND_MMAP_FD:
    return mmap_received(b);
  case RF_COMMAND_USAGE:
    return usage(b, b->call_args[0] == 1);
  case RF_COMMAND_MAPS:
    return map_received();
  case RF_COMMAND_PATCH:
    return patch_site(b->call_args[0], b->call_args[1], b->call_args[2] != 0, b->regs[15]);
  case RF_COMMAND_UNPATCH:
    forget_sites();
    return 0;
  case RF_COMMAND_EXIT:
    for (;;) sys1(__NR_exit, 0);
  default:
    return -EINVAL;
  }
}

// RESUME_FULL without a signal frame: only for registers that can be loaded by ordinary instructions.
static int can_jump(const struct rf_block *b) {
  const u64 *r = b->regs;
  return (r[18] & ~(u64)FLAGS_PLAIN) == 0 && r[16] < (1ULL << 47) && r[21] < (1ULL << 47) && r[22] == 0;
}

static void wait_and_return(struct rf_block *b, struct rf_thread *t) {
  for (;;) {
    wait_command(b);
    const u32 command = load(&b->command);
    switch (command & 0xff) {
    case RF_COMMAND_RESUME:
      if (b->regs[22] != 0) stub_escape();
      deliver(b, command);
      return;
    case RF_COMMAND_RESUME_FULL:
      if (!can_jump(b)) stub_escape();
      if (!prepare_full(b, command, 0)) break;
      set_base(0, b->regs[21]);
      t->guest_rsp = b->regs[19];
      t->resume = jump_target(t, b->regs[16]);
      t->site_rip = b->regs[16];
      return;
    case RF_COMMAND_CLONE:
    case RF_COMMAND_FORK:
      stub_escape(); // what the new thread starts from is a signal frame
    case RF_COMMAND_FP_SAVE:
      answer(b, fp_save_live(b->call_args[0]));
      break;
    case RF_COMMAND_FP_LOAD:
      answer(b, fp_load_live(b->call_args[0]));
      break;
    default:
      answer(b, carry_out(b, command & 0xff));
      break;
    }
  }
}

// A call from a rewritten site: entry.S has put the guest's registers into the block and takes what stands there when this returns.
void stub_call(struct rf_block *b) {
  struct rf_thread *t = thread_of(index_of(b));
  b->regs[21] = get_base(0);
  t->site_rip = b->regs[16];
  const int done = native_call(b, t, 0);
  if (done == 0) {
    show_call(b, t->index, RF_EVENT_SYSCALL);
  } else if (done < 0) {
    show_call(b, t->index, RF_EVENT_RESTART);
  } else if (load(&b->want_interrupt)) {
    show(b, RF_EVENT_INTERRUPTED);
  } else {
    return;
  }
  wait_and_return(b, t);
}
