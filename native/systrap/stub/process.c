// Address spaces and threads: how a stub becomes another one.
#include "../../stub/sys.h"
#include "systrap.h"

void set_altstack(u32 index) {
  const struct {
    u64 sp;
    u32 flags, pad;
    u64 size;
  } stack = {area_of(index), 0, 0, RF_AREA_SIZE - RF_AREA_PRIVATE};
  sys3(__NR_sigaltstack, (u64)&stack, 0, 0);
}

// fork(2) of the calling thread: the child's pid in the parent, 0 in the child, or -errno.
s64 fork_process(u32 index, int others) {
  struct descriptors d;
  const int got = receive(&d, MSG_DONTWAIT); // sent before the command: what is not there was taken by the guest itself
  s64 r = -EPROTO;
  if (got > 0 && d.kind == RF_MESSAGE_FORK && d.count == 2) {
    r = sys6(__NR_clone, CLONE_FORK_FLAGS, 0, 0, 0, 0, 0);
    if (r == 0) {
      enter_address_space(&d);
      struct rf_block *b = block_of(index);
      const u64 tid_address = b->call_args[0];
      const u32 tid = (u32)b->call_args[1];
      if (tid_address != 0) stub_copy((void *)tid_address, &tid, sizeof tid); // CLONE_CHILD_SETTID: a bad address is nobody's error
      if (others) {
        // The stacks of threads that do not exist here.
        if (index > 0) sys3(__NR_madvise, area_of(0), (u64)index * RF_AREA_SIZE, MADV_DONTNEED);
        if (index + 1 < RF_CONTEXTS) {
          sys3(__NR_madvise, area_of(index + 1), (u64)(RF_CONTEXTS - 1 - index) * RF_AREA_SIZE, MADV_DONTNEED);
        }
      }
      return 0;
    }
  }
  for (int i = 0; i < d.count; i++) sys1(__NR_close, (u64)d.fd[i]);
  return r;
}

s64 stub_clone_thread(u64 flags, u64 stack, u64 parent_tid, u64 child_tid, u64 index, u64 uc);

// Starts a thread in context `index` with a copy of the caller's signal frame, from which it later returns into the guest. Tid or -errno.
s64 start_thread(u32 index, const struct stub_ucontext *uc) {
  const u32 mine = (u32)(((u64)uc - RF_AREA_BASE) / RF_AREA_SIZE);
  if (index >= RF_CONTEXTS || index == mine) return -EINVAL;
  const u64 frame = (u64)uc - 8;
  const u64 delta = area_of(index) - area_of(mine);
  const u64 bytes = area_of(mine) + RF_AREA_SIZE - frame; // with the private part
  memcpy((void *)(frame + delta), (const void *)frame, bytes);
  struct stub_ucontext *copy = (struct stub_ucontext *)((u64)uc + delta);
  copy->mcontext.fpstate = (void *)((u64)uc->mcontext.fpstate + delta);
  copy->stack_sp = area_of(index);
  const u64 tid = (u64)&block_of(index)->tid;
  const u64 stack = ((frame + delta) & ~63ULL) - 256;
  return stub_clone_thread(CLONE_THREAD_FLAGS, stack, tid, tid, index, (u64)copy);
}
