// New guest processes and threads: the seed or a guest thread makes them, the kernel hands them to their tracer.
#include "tracer.h"

#include <linux/prctl.h>

// The first steps of a fresh process: the Sentry learns its pid from the message's credentials. 0: it is gone.
static int settle_in(struct thread *t) {
  if (tracer_yama && inject(t, __NR_prctl, PR_SET_PTRACER, (u64)-1, 0, 0, 0, 0) == -ESRCH) return 0;
  t->block->fp_size = vector_bytes();
  return inject(t, __NR_write, (u64)t->space->socket, (u64)page_hello, sizeof(struct rf_message), 0, 0, 0) > 0;
}

// The new host thread `tid`, a copy of `maker`, becomes that of a context. NULL: it was killed for lack of memory.
static struct thread *take_in(struct space *s, u32 index, int tid, const struct thread *maker) {
  struct thread *t = add_thread(s, index, tid);
  if (t == 0) {
    sys3(__NR_kill, (u64)s->pid, SIGKILL, 0);
    return 0;
  }
  t->regs = maker->regs;
  t->dirty = 1;
  return t;
}

// The Sentry has said what a new thread shall do: to go on, or to wait.
static void begin(struct thread *t) {
  if (load(&t->block->state) == RF_STATE_GUEST) serve(t);
  else set_status(t, SHOWN);
}

// RF_MESSAGE_NEW: a fresh address space. What fails shows as the end of its socket.
void birth(int region, int socket) {
  struct space *s = new_space(region, socket);
  if (s == 0) {
    sys1(__NR_close, (u64)region);
    sys1(__NR_close, (u64)socket);
    return;
  }
  const s64 pid = seed.tid != 0 || make_seed() == 0 ? inject_clone(&seed, CLONE_FORK_FLAGS) : -ESRCH;
  s->pid = (int)pid;
  struct thread *t = pid > 0 ? take_in(s, 0, (int)pid, &seed) : 0;
  if (t == 0) {
    free_space(s);
    return;
  }
  if (settle_in(t)) show(t, RF_EVENT_SYSCALL);
}

// RF_COMMAND_CLONE: the new thread's id or -errno.
s64 clone_thread(struct thread *t, u32 index) {
  if (index >= RF_CONTEXTS || index == t->index) return -EINVAL;
  const s64 tid = inject_clone(t, CLONE_THREAD_FLAGS);
  if (tid <= 0) return tid;
  struct thread *n = take_in(t->space, index, (int)tid, t);
  if (n == 0) return -ENOMEM;
  n->block->fp_size = vector_bytes();
  begin(n);
  return tid;
}

// RF_COMMAND_FORK: region and socket were sent before the command. The child's pid or -errno.
s64 fork_process(struct thread *t) {
  struct descriptors d;
  if (receive(t->space->socket, &d, MSG_DONTWAIT) <= 0 || d.kind != RF_MESSAGE_FORK || d.count != 2) {
    drop(&d);
    return -EPROTO;
  }
  struct space *s = new_space(d.fd[0], d.fd[1]);
  if (s == 0) {
    drop(&d);
    return -ENOMEM;
  }
  const s64 pid = inject_clone(t, CLONE_FORK_FLAGS);
  s->pid = (int)pid;
  struct thread *c = pid > 0 ? take_in(s, t->index, (int)pid, t) : 0;
  if (c == 0) {
    free_space(s);
    return pid > 0 ? -ENOMEM : pid;
  }
  if (!settle_in(c)) return pid; // it died: its socket tells
  const u64 tid_address = c->block->call_args[0];
  const u32 tid = (u32)c->block->call_args[1];
  guest_pid = (int)pid;
  if (tid_address != 0) guest_write(tid_address, &tid, sizeof tid); // CLONE_CHILD_SETTID: a bad address is nobody's error
  begin(c);
  return pid;
}
