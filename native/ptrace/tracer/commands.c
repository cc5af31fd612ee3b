// The Sentry's commands to a stopped thread.
#include "tracer.h"

// Results that the kernel, on its way to the guest, would take for its own wish to make a call again.
#define RESTARTS_FIRST (-516)
#define RESTARTS_LAST (-512)

// The answer to a command.
static void answer(struct thread *t, s64 result) {
  struct rf_block *b = t->block;
  if (t->gone) return;
  b->call_args[0] = (u64)result;
  set_status(t, SHOWN);
  __atomic_exchange_n(&b->state, RF_STATE_STOPPED, __ATOMIC_SEQ_CST);
  if (load(&b->sentry_waits)) sys6(__NR_futex, (u64)&b->state, FUTEX_WAKE, 1, 0, 0, 0);
}

// Copies what the Sentry's answer brings from the window to the guest; a bad address is the call's EFAULT.
static s64 copy_out(struct thread *t, u32 count) {
  const struct rf_block *b = t->block;
  const char *window = window_of(t);
  s64 r = 0;
  for (u32 i = 0; i < count && i < RF_OUT_RANGES && window != 0; i++) {
    const struct rf_range range = b->out[i];
    if (range.offset > RF_WINDOW_SIZE || range.length > RF_WINDOW_SIZE - range.offset) return -EFAULT;
    if (guest_write(range.address, window + range.offset, range.length) < 0) r = -EFAULT;
  }
  return r;
}

// RF_COMMAND_RESUME: guest memory becomes what the Sentry says. What is in rax then.
static s64 deliver(struct thread *t, u32 command) {
  const u64 *a = t->block->call_args;
  const u32 count = command >> 8 & 0xff;
  const char *window = window_of(t);
  s64 r = 0;
  if (command & RF_COMMAND_INLINE) {
    r = guest_write(a[1], &a[2], command >> 24 <= RF_OUT_INLINE ? command >> 24 : RF_OUT_INLINE);
  } else if (count == 1 && window != 0) {
    const u64 offset = a[2] >> 32, length = a[2] & 0xffffffff;
    r = offset > RF_WINDOW_SIZE || length > RF_WINDOW_SIZE - offset ? -EFAULT : guest_write(a[1], window + offset, length);
  } else if (count > 1) {
    r = copy_out(t, count);
  }
  return r < 0 ? r : (s64)a[0];
}

static void resume_with(struct thread *t, s64 result) {
  if (t->dirty || t->held != 0 || (result >= RESTARTS_FIRST && result <= RESTARTS_LAST)) {
    t->regs.rax = (u64)result;
    resume(t);
    return;
  }
  if (ptrace(PTRACE_POKEUSR, t->tid, offsetof(struct user_regs_struct, rax), (u64)result) < 0) return;
  resume_as_it_is(t, 0);
}

// The guest's registers become those of the block; selectors stay, and so does a base that is no user address.
static void take_regs(struct thread *t) {
  const struct user_regs_struct old = t->regs;
  memcpy(&t->regs, t->block->regs, sizeof t->block->regs);
  t->regs.cs = old.cs;
  t->regs.ss = old.ss;
  if (t->regs.fs_base >= 1ULL << 47) t->regs.fs_base = old.fs_base;
  if (t->regs.gs_base >= 1ULL << 47) t->regs.gs_base = old.gs_base;
}

// What RF_COMMAND_RESUME_FULL brings besides registers: memory, and vector state. 0: it does not go on.
static int prepare_full(struct thread *t, u32 command) {
  static const struct fault refused = {SIGSEGV, SI_KERNEL, 0, 13, 0};
  const u64 address = t->block->call_args[0];
  s64 r = copy_out(t, command >> 8 & 0xff);
  if (r == 0 && (command & RF_COMMAND_SAVES)) r = save_vectors(t, address);
  if (r < 0) {
    // The Sentry has looked at what the guest may write: only one that unmaps its own stack meanwhile gets here.
    kill_process(t);
    return 0;
  }
  if (!(command & RF_COMMAND_LOADS) || load_vectors(t, address) == 0) return 1;
  memcpy(&t->regs, t->block->regs, sizeof t->block->regs);
  show_fault(t, &refused);
  return 0;
}

static s64 hostcall(struct thread *t) {
  struct rf_block *b = t->block;
  const u64 *a = b->call_args;
  if (b->call_nr != __NR_arch_prctl) return inject(t, b->call_nr, a[0], a[1], a[2], a[3], a[4], a[5]);
  if (a[0] != ARCH_SET_GS && a[0] != ARCH_SET_FS) return -EINVAL;
  if (a[1] >= 1ULL << 47) return -EPERM;
  if (a[0] == ARCH_SET_GS) t->regs.gs_base = b->regs[RF_GS_BASE] = a[1];
  else t->regs.fs_base = b->regs[RF_FS_BASE] = a[1];
  t->dirty = 1;
  return 0;
}

// Carries out the command that stands in the block of a stopped thread.
void serve(struct thread *t) {
  struct rf_block *b = t->block;
  const u32 command = load(&b->command);
  guest_pid = t->space->pid;
  switch (command & 0xff) {
  case RF_COMMAND_RESUME:
    resume_with(t, deliver(t, command));
    break;
  case RF_COMMAND_RESUME_FULL:
    if (!prepare_full(t, command)) break;
    take_regs(t);
    resume(t);
    break;
  case RF_COMMAND_START:
    if (map_received(t) < 0) {
      kill_process(t);
      break;
    }
    __atomic_store_n(&b->call_args[0], 0, __ATOMIC_SEQ_CST);
    take_regs(t);
    resume(t);
    break;
  case RF_COMMAND_HOSTCALL:
    answer(t, hostcall(t));
    break;
  case RF_COMMAND_MMAP_FD:
    answer(t, mmap_received(t));
    break;
  case RF_COMMAND_MAPS:
    answer(t, map_received(t));
    break;
  case RF_COMMAND_CLONE:
    answer(t, clone_thread(t, (u32)b->call_args[0]));
    break;
  case RF_COMMAND_FORK:
    answer(t, fork_process(t));
    break;
  case RF_COMMAND_FP_SAVE:
    answer(t, save_vectors(t, b->call_args[0]));
    break;
  case RF_COMMAND_FP_LOAD:
    answer(t, load_vectors(t, b->call_args[0]));
    break;
  case RF_COMMAND_USAGE:
    answer(t, usage(t, b->call_args[0] == 1));
    break;
  case RF_COMMAND_EXIT:
    leave(t);
    break;
  default:
    answer(t, -EINVAL);
    break;
  }
}
