// The seed: a guest process with nothing in it, stopped for ever, of which fresh address spaces are copies.
#include "tracer.h"

#include <linux/prctl.h>
#include <linux/seccomp.h>

#define OPTIONS (PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK)
#define TOP 0x7ffffffff000ULL // of user addresses with four levels of page tables

struct thread seed;
#ifdef WITHOUT_SYSEMU // CC='gcc -DWITHOUT_SYSEMU': for tests on hosts that have it
u32 tracer_request = PTRACE_SYSCALL;
#else
u32 tracer_request = PTRACE_SYSEMU;
#endif
u32 tracer_yama;

static struct space seed_space;

// Does the kernel know PTRACE_SYSEMU, and stop as it says?
static int has_sysemu(void) {
  struct user_regs_struct r = seed.regs, now;
  int status;
  r.rip = (u64)page_syscall;
  r.rax = __NR_getppid;
  r.orig_rax = ~0ULL;
  if (ptrace(PTRACE_SETREGS, seed.tid, 0, (u64)&r) < 0 || ptrace(PTRACE_SYSEMU, seed.tid, 0, 0) < 0) return 0;
  if (!wait_for(seed.tid, &status) || ptrace(PTRACE_GETREGS, seed.tid, 0, (u64)&now) < 0) return 0;
  return status >> 8 == SYSCALL_STOP && now.orig_rax == __NR_getppid;
}

static s64 call(s64 nr, u64 a, u64 b, u64 c, u64 d) { return inject(&seed, nr, a, b, c, d, 0, 0); }

static s64 unmap(u64 from, u64 to) { return from < to ? call(__NR_munmap, from, to - from, 0, 0) : 0; }

static s64 set_action(u32 signal, u64 handler) {
  static struct kernel_sigaction sa; // in the seed's copy of our memory too
  // Handlers are only ever entered for the frame that the kernel builds for them (fault.c).
  sa = (struct kernel_sigaction){handler, SA_SIGINFO | SA_RESTORER | SA_NODEFER, handler, 0};
  guest_pid = seed.tid;
  const s64 r = guest_write((u64)&sa, &sa, sizeof sa);
  return r < 0 ? r : call(__NR_rt_sigaction, signal, (u64)&sa, 0, 8);
}

// Everything but the page, memory to leave things in, and the vDSO goes.
static s64 make_empty(void) {
  const u64 end = vdso.address + vdso.size;
  const u64 page_end = (u64)page_start + 4096;
  s64 r = unmap(4096, (u64)page_start < vdso.data || vdso.address == 0 ? (u64)page_start : vdso.data);
  if (r == 0 && vdso.address != 0 && vdso.data < (u64)page_start) r = unmap(end, (u64)page_start);
  if (r == 0) r = unmap(page_end, vdso.data > page_end ? vdso.data : TOP);
  if (r == 0 && vdso.data > page_end) r = unmap(end, TOP);
  if (r == 0) {
    const u64 flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    r = inject(&seed, __NR_mmap, SCRATCH_BASE, SCRATCH_SIZE, PROT_READ | PROT_WRITE, flags, (u64)-1, 0);
    if (r > 0) r = 0;
  }
  // Nobody may unmap or replace the page (mseal(2), Linux 6.10; older hosts do without).
  if (r == 0) call(NR_mseal, (u64)page_start, 4096, 0, 0);
  return r;
}

static s64 equip(void) {
  static const unsigned char frames[] = {SIGSEGV, SIGBUS, SIGFPE};
  static const unsigned char own[] = {SIGUSR1, SIGIO};
  s64 r = call(__NR_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0);
  for (u32 i = 0; r == 0 && i < sizeof frames; i++) r = set_action(frames[i], (u64)page_handler);
  for (u32 i = 0; r == 0 && i < sizeof own; i++) r = set_action(own[i], SIG_DFL);
  if (r < 0) return r;
  // Whether the host's kernel asks who may read a process's memory (the Yama module): each copy allows it for itself.
  tracer_yama = call(__NR_prctl, PR_SET_PTRACER, (u64)-1, 0, 0) != -EINVAL;
  r = call(__NR_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, (u64)&guest_filter, 0);
  if (r == -EINVAL) r = call(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, (u64)&guest_filter, 0);
  if (r == 0) r = make_empty();
  return r == 0 ? load_vectors(&seed, 0) : r;
}

// The first guest registers: nothing of ours but the selectors.
static void clear_regs(void) {
  const struct user_regs_struct r = seed.regs;
  memset(&seed.regs, 0, sizeof seed.regs);
  seed.regs.cs = r.cs;
  seed.regs.ss = r.ss;
  seed.regs.ds = r.ds;
  seed.regs.es = r.es;
  seed.regs.eflags = 0x202;
}

// 0, or -errno: the host does not let us trace.
s64 make_seed(void) {
  int status;
  // Who is not dumpable cannot be traced; we ourselves need not be.
  sys3(__NR_prctl, PR_SET_DUMPABLE, 1, 0);
  const s64 pid = sys6(__NR_clone, CLONE_SEED_FLAGS, 0, 0, 0, 0, 0);
  if (pid == 0) {
    for (;;) sys1(__NR_pause, 0);
  }
  sys3(__NR_prctl, PR_SET_DUMPABLE, 0, 0);
  if (pid < 0) return pid;
  seed = (struct thread){0};
  seed_space = (struct space){0};
  seed.space = &seed_space;
  seed.tid = seed_space.pid = (int)pid;
  s64 r = ptrace(PTRACE_SEIZE, seed.tid, 0, OPTIONS);
  if (r == 0) r = ptrace(PTRACE_INTERRUPT, seed.tid, 0, 0);
  if (r == 0) {
    if (!wait_for(seed.tid, &status) || !get_regs(&seed)) return -ESRCH;
    clear_regs();
    if (tracer_request == PTRACE_SYSEMU && !has_sysemu()) tracer_request = PTRACE_SYSCALL;
    r = equip();
  }
  if (r == 0) return 0;
  sys3(__NR_kill, (u64)pid, SIGKILL, 0);
  while (wait_for((int)pid, &status));
  return r;
}
