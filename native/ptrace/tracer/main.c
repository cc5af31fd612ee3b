// The tracer's program: exec'ed once for a sandbox, with its socket to the Sentry as descriptor 3. When the Sentry is gone it exits, and
// PTRACE_O_EXITKILL ends every guest with it.
#include "tracer.h"

#include <linux/auxvec.h>
#include <linux/prctl.h>

int tracer_pid;
static u32 hwcap2;

void die(int code) {
  for (;;) sys1(__NR_exit_group, (u64)code);
}

static void handle(u32 signal, u64 handler) {
  const struct kernel_sigaction sa = {handler, SA_SIGINFO | SA_RESTORER, (u64)tracer_restorer, ~0ULL};
  sys4(__NR_rt_sigaction, signal, (u64)&sa, 0, 8);
}

static u64 read_auxv(const u64 *stack) {
  const u64 *p = stack + 1 + stack[0] + 1;
  u64 at = 0;
  while (*p != 0) p++;
  for (p++; p[0] != AT_NULL; p += 2) {
    if (p[0] == AT_SYSINFO_EHDR) at = p[1];
    if (p[0] == AT_HWCAP2) hwcap2 = (u32)p[1];
  }
  return at;
}

// Messages on our own socket are told by a signal.
static void announce_mail(void) {
  if (sys3(__NR_fcntl, RF_SOCKET_FD, F_SETOWN, (u64)tracer_pid) < 0 || sys3(__NR_fcntl, RF_SOCKET_FD, F_SETFL, O_ASYNC) < 0) die(76);
}

static void prepare(const u64 *stack, int checks) {
  const u64 no_core[2] = {0, 0};
  u64 files[2];
  const u64 vdso_address = read_auxv(stack);
  if (!checks) sys3(__NR_close_range, 0, 2, 0);
  sys3(__NR_close_range, RF_SOCKET_FD + 1, ~0U, 0);
  sys4(__NR_prlimit64, 0, RLIMIT_CORE, (u64)no_core, 0);
  // A socket for each address space.
  if (sys4(__NR_prlimit64, 0, RLIMIT_NOFILE, 0, (u64)files) == 0) {
    files[0] = files[1];
    sys4(__NR_prlimit64, 0, RLIMIT_NOFILE, (u64)files, 0);
  }
  sys3(__NR_prctl, PR_SET_DUMPABLE, 0, 0);
  sys3(__NR_prctl, PR_SET_PDEATHSIG, SIGKILL, 0);
  tracer_pid = (int)sys1(__NR_getpid, 0);
  handle(SIGUSR1, (u64)on_signal);
  handle(SIGIO, (u64)on_signal);
  handle(SIGPIPE, SIG_IGN);
  // The first of them shows what the vector state looks like in a frame.
  sys3(__NR_tgkill, (u64)tracer_pid, (u64)tracer_pid, SIGUSR1);
  if (!move_vdso(vdso_address)) die(70); // in the way: as likely as 1 to 1000, and sealed
  if (sys6(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0) < 0) die(72);
  if (install_filter() < 0) die(73);
}

static void initialise(const struct descriptors *d) {
  const s64 at = sys6(__NR_mmap, RF_CONTROL_BASE, RF_CONTROL_SIZE, PROT_READ, MAP_SHARED | MAP_FIXED, (u64)d->fd[0], 0);
  if (at < 0) die(74);
  sys1(__NR_close, (u64)d->fd[0]);
  if (d->fd[1] != RF_DOORBELL_FD) {
    if (sys3(__NR_dup3, (u64)d->fd[1], RF_DOORBELL_FD, 0) < 0) die(75);
    sys1(__NR_close, (u64)d->fd[1]);
  }
  const s64 error = make_seed();
  struct rf_info info = {RF_MESSAGE_INFO, hwcap2, vdso.address, vdso.size, vdso.data};
  if (error < 0) info = (struct rf_info){RF_MESSAGE_REFUSED, (u32)-error, 0, 0, 0};
  sys3(__NR_write, RF_SOCKET_FD, (u64)&info, sizeof info);
}

// A copy of the tracer becomes one of its own, on a socket of its own, so that the guests that it makes are in the control groups that it is
// moved to. It ends with the first one, and with its socket.
static void become_tracer(const struct descriptors *d) {
  forget_all();
  seed.tid = 0; // the next one is made in the right control groups
  tracer_pid = (int)sys1(__NR_getpid, 0);
  sys3(__NR_prctl, PR_SET_PDEATHSIG, SIGKILL, 0);
  sys3(__NR_prctl, PR_SET_DUMPABLE, 1, 0); // until its seed is made: the caller, who may be no root, says when it is to be killed
  if (sys3(__NR_dup3, (u64)d->fd[1], RF_SOCKET_FD, 0) < 0) die(78);
  sys3(__NR_close_range, RF_DOORBELL_FD + 1, ~0U, 0);
  const struct rf_message hello = {RF_MESSAGE_HELLO, 0};
  if (sys3(__NR_write, RF_SOCKET_FD, (u64)&hello, sizeof hello) != sizeof hello) die(79);
  announce_mail();
}

static void take_message(const struct descriptors *d) {
  if (d->count == 2 && d->kind == RF_MESSAGE_INIT) {
    initialise(d);
  } else if (d->count == 2 && d->kind == RF_MESSAGE_NEW) {
    birth(d->fd[0], d->fd[1]);
  } else if (d->count == 2 && d->kind == RF_MESSAGE_STUB) {
    if (sys6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0) == 0) become_tracer(d);
    else drop(d);
  } else {
    drop(d);
  }
}

// All that wait; with `flags` 0 the first one is waited for.
void take_messages(u64 flags) {
  struct descriptors d;
  for (;;) {
    const int r = receive(RF_SOCKET_FD, &d, flags);
    if (r == 0) die(0); // the Sentry is gone
    if (r == -EAGAIN) return;
    if (r < 0) continue;
    flags = MSG_DONTWAIT;
    take_message(&d);
  }
}

// tracer --check: may we trace here? Says what is in the way, or nothing, and ends.
static void check(void) {
  static const char line[] = "ptrace(2) of a process's own children is refused (error ";
  const s64 r = make_seed();
  if (r == 0) die(0);
  char text[sizeof line + 8];
  memcpy(text, line, sizeof line - 1);
  u32 n = sizeof line - 1;
  if (r <= -100) text[n++] = (char)('0' + -r / 100 % 10);
  if (r <= -10) text[n++] = (char)('0' + -r / 10 % 10);
  text[n++] = (char)('0' + -r % 10);
  text[n++] = ')';
  text[n++] = '\n';
  sys3(__NR_write, 1, (u64)text, n);
  die(1);
}

__attribute__((noreturn)) void tracer_main(const u64 *stack) {
  const int checks = stack[0] > 1;
  prepare(stack, checks);
  if (checks) check();
  announce_mail();
  loop();
}
