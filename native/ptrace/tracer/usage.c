// What a thread, or its process, has used of the processor and of memory.
#include "tracer.h"

#define RUSAGE_AT SCRATCH_BASE
#define TIME_AT (SCRATCH_BASE + 512)
#define SCHED_CLOCK_OF(pid) ((u64)(s64)(int)(~(u32)(pid) << 3 | 2)) // clock_getcpuclockid(3)

// To where the block's `out` is.
s64 usage(struct thread *t, int process) {
  s64 time[2] = {0, 0};
  s64 ru[18]; // struct rusage
  guest_pid = t->space->pid;
  s64 r = inject(t, __NR_getrusage, (u64)(process ? RUSAGE_SELF : RUSAGE_THREAD), RUSAGE_AT, 0, 0, 0, 0);
  if (r == 0) r = guest_read(ru, RUSAGE_AT, sizeof ru);
  if (r == 0 && process) {
    r = sys3(__NR_clock_gettime, SCHED_CLOCK_OF(t->space->pid), (u64)time, 0);
  } else if (r == 0) {
    r = inject(t, __NR_clock_gettime, CLOCK_THREAD_CPUTIME_ID, TIME_AT, 0, 0, 0, 0);
    if (r == 0) r = guest_read(time, TIME_AT, sizeof time);
  }
  if (r < 0) return r;
  struct rf_usage *u = (struct rf_usage *)t->block->out;
  u->cpu = (u64)(time[0] * 1000000000 + time[1]);
  u->user = (u64)(ru[0] * 1000000 + ru[1]);
  u->system = (u64)(ru[2] * 1000000 + ru[3]);
  u->max_rss = (u64)ru[4];
  u->minor_faults = (u64)ru[8];
  u->major_faults = (u64)ru[9];
  return 0;
}

// The Sentry asks for the usage of a process that ends or changes its program: the calls that do so bring it along.
void last_usage(struct thread *t, u64 nr) {
  if (nr == __NR_exit_group || nr == __NR_execve || nr == __NR_execveat) t->block->usage_ready = usage(t, 1) == 0;
}
