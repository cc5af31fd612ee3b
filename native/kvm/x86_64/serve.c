// A guest thread's life: it waits for the Sentry, carries out what that asks, and runs the guest.
#include "kvm.h"

#define FP_LIMIT 16384

// The vector state that the guest has, as a signal frame would hold it. 0 or -errno.
s64 get_fp(const struct vcpu *v, char *buffer) {
  const s64 r = ioctl(v->fd, vm_xsave_bytes > 4096 ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, (u64)buffer);
  if (r < 0) return r;
  fp_mark(buffer);
  // KVM also shows what programs cannot have: protection keys, where the processor knows them.
  u64 has;
  __builtin_memcpy(&has, buffer + FP_LEGACY, 8);
  has &= fp_known.features;
  __builtin_memcpy(buffer + FP_LEGACY, &has, 8);
  return 0;
}

s64 set_fp(const struct vcpu *v, char *buffer) { return ioctl(v->fd, KVM_SET_XSAVE, (u64)buffer); }

static s64 save_fp(const struct vcpu *v, u64 address) {
  char buffer[FP_LIMIT] __attribute__((aligned(64)));
  const s64 r = get_fp(v, buffer);
  return r < 0 ? r : fp_save(buffer, address);
}

static s64 load_fp(const struct vcpu *v, u64 address) {
  char buffer[FP_LIMIT] __attribute__((aligned(64)));
  s64 r = get_fp(v, buffer);
  if (r < 0) return r;
  r = fp_load(buffer, address);
  const s64 set = set_fp(v, buffer);
  return r < 0 ? r : set;
}

// What RF_COMMAND_RESUME_FULL brings besides registers. 0: the event of a SIGSEGV is shown instead.
static int prepare_full(struct rf_block *b, const struct vcpu *v, u32 command) {
  const u64 address = b->call_args[0];
  // The Sentry has looked at what the guest may write: only a guest that unmaps its own stack meanwhile gets here.
  if ((command >> 8 & 0xff) != 0 && copy_out(b, command >> 8 & 0xff) < 0) die(79);
  if ((command & RF_COMMAND_SAVES) && save_fp(v, address) < 0) die(79);
  if (!(command & RF_COMMAND_LOADS) || load_fp(v, address) == 0) return 1;
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
  if (b->call_nr == __NR_arch_prctl) {
    b->regs[a[0] == ARCH_SET_GS ? 22 : 21] = a[1]; // loaded on the way back
    return a[1] < (1ULL << 47) ? 0 : -EPERM;
  }
  return memory_call(b->call_nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

// A thread in context `index`, with the caller's vector state: its registers are in its block. Tid or -errno.
static s64 start_thread(u32 index, u32 mine, const struct vcpu *v) {
  char buffer[FP_LIMIT] __attribute__((aligned(64)));
  if (index >= RF_CONTEXTS || index == mine) return -EINVAL;
  struct vcpu *other = vcpu_take();
  if (other == 0) return -EAGAIN;
  const u64 tid = (u64)&block_of(index)->tid;
  const u64 stack = (u64)thread_of(index) - 256;
  s64 r = get_fp(v, buffer);
  set_vcpu(index, 0);
  if (r >= 0) r = set_fp(other, buffer);
  if (r >= 0) r = stub_clone_thread(CLONE_THREAD_FLAGS, stack, tid, tid, index, (u64)other);
  if (r < 0) vcpu_release(other);
  return r;
}

static void need(s64 result) {
  if (result < 0) die(94);
}

// fork(2) of the calling thread: the child's pid in the parent, 0 in the child, where `v` is another one, or -errno.
static s64 fork_process(u32 index, int others, struct vcpu **v) {
  char buffer[FP_LIMIT] __attribute__((aligned(64)));
  struct descriptors d;
  const int got = receive(&d, MSG_DONTWAIT); // sent before the command
  s64 r = -EPROTO;
  if (got > 0 && d.kind == RF_MESSAGE_FORK && d.count == 2) {
    r = get_fp(*v, buffer);
    set_vcpu(index, 0); // an interrupt finds nothing to hurry in the child, which has no processor yet
    lock_space();
    if (r >= 0) r = sys6(__NR_clone, CLONE_FORK_FLAGS, 0, 0, 0, 0, 0);
    if (r != 0) {
      unlock_space();
      set_vcpu(index, *v);
    }
    if (r == 0) {
      enter_address_space(&d);
      vm_forget();
      if (others) {
        // The stacks of threads that do not exist here.
        if (index > 0) sys3(__NR_madvise, area_of(0), (u64)index * RF_AREA_SIZE, MADV_DONTNEED);
        if (index + 1 < RF_CONTEXTS) {
          sys3(__NR_madvise, area_of(index + 1), (u64)(RF_CONTEXTS - 1 - index) * RF_AREA_SIZE, MADV_DONTNEED);
        }
      }
      need(vm_create());
      *v = vcpu_take();
      if (*v == 0) die(95);
      need(set_fp(*v, buffer));
      set_vcpu(index, *v);
      const struct rf_block *b = block_of(index);
      const u64 tid_address = b->call_args[0];
      const u32 tid = (u32)b->call_args[1];
      if (tid_address != 0) stub_copy((void *)tid_address, &tid, sizeof tid); // CLONE_CHILD_SETTID: a bad address is nobody's error
      return 0;
    }
  }
  for (int i = 0; i < d.count; i++) sys1(__NR_close, (u64)d.fd[i]);
  return r;
}

static s64 carry_out(struct rf_block *b, u32 index, struct vcpu *v, u32 command) {
  switch (command) {
  case RF_COMMAND_HOSTCALL:
    return hostcall(b);
  case RF_COMMAND_MMAP_FD:
    return mmap_received(b);
  case RF_COMMAND_USAGE:
    return usage(b, b->call_args[0] == 1);
  case RF_COMMAND_MAPS:
    return map_received();
  case RF_COMMAND_CLONE:
    return start_thread((u32)b->call_args[0], index, v);
  case RF_COMMAND_FP_SAVE:
    return save_fp(v, b->call_args[0]);
  case RF_COMMAND_FP_LOAD:
    return load_fp(v, b->call_args[0]);
  case RF_COMMAND_UNPATCH: // nothing is ever rewritten
    return 0;
  case RF_COMMAND_EXIT:
    vcpu_release(v);
    for (;;) sys1(__NR_exit, 0);
  default:
    return -EINVAL;
  }
}

// Carries out commands until one of them resumes the guest: its registers are in the block.
static void serve(struct rf_block *b, u32 index, struct vcpu **v) {
  for (;;) {
    wait_command(b);
    const u32 command = load(&b->command);
    s64 r;
    switch (command & 0xff) {
    case RF_COMMAND_RESUME:
      deliver(b, command);
      return;
    case RF_COMMAND_RESUME_FULL:
      if (!prepare_full(b, *v, command)) continue;
      return;
    case RF_COMMAND_START:
      if (map_received() < 0) die(79);
      __atomic_store_n(&b->call_args[0], 0, __ATOMIC_SEQ_CST);
      return;
    case RF_COMMAND_FORK:
      r = fork_process(index, b->call_args[0] != 0, v);
      // In the child the block is the one that the Sentry prepared: it already says that the thread is stopped.
      if (r == 0) {
        b = block_of(index);
        b->fp_size = fp_frame_bytes();
        continue;
      }
      break;
    default:
      r = carry_out(b, index, *v, command & 0xff);
      break;
    }
    answer(b, r);
  }
}

// The calling host thread is that of context `index` from now on, and `v` is its processor.
void guest_thread(u32 index, struct vcpu *v) {
  struct rf_thread *t = thread_of(index);
  struct rf_block *b = block_of(index);
  t->block = b;
  t->index = index;
  t->phase = PHASE_FINISHED;
  set_vcpu(index, v);
  b->fp_size = fp_frame_bytes();
  for (;;) {
    serve(b, index, &v);
    run_guest(b, t, v);
  }
}
