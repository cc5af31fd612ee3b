// Carrying out the Sentry's commands; the path of a call that came without a signal.
#include "../../stub/sys.h"
#include "systrap.h"

#define FLAGS_PLAIN 0xed7U // CF, PF, AF, ZF, SF, DF, OF, IF and the bit that is always one: what popf can load without a thought

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

static s64 hostcall(struct rf_block *b) {
  const u64 *a = b->call_args;
  if (b->call_nr == __NR_arch_prctl && a[0] == ARCH_SET_GS) {
    b->regs[RF_GS_BASE] = a[1]; // loaded on the way back
    return a[1] < (1ULL << 47) ? 0 : -EPERM;
  }
  const s64 r = sys6((s64)b->call_nr, a[0], a[1], a[2], a[3], a[4], a[5]);
  if (b->call_nr == __NR_arch_prctl) b->regs[RF_FS_BASE] = get_base(0);
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
    return patch_site(b->call_args[0], b->call_args[1], b->call_args[2] != 0, b->regs[RF_ORIG_RAX]);
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
      if (b->regs[RF_GS_BASE] != 0) stub_escape();
      deliver(b, command);
      return;
    case RF_COMMAND_RESUME_FULL:
      if (!can_jump(b)) stub_escape();
      if (!prepare_full(b, command, 0)) break;
      set_base(0, b->regs[RF_FS_BASE]);
      t->guest_rsp = b->regs[RF_RSP];
      t->resume = jump_target(t, b->regs[RF_RIP]);
      t->site_rip = b->regs[RF_RIP];
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
  b->regs[RF_FS_BASE] = get_base(0);
  t->site_rip = b->regs[RF_RIP];
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
