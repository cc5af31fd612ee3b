// The pristine stub: exec'ed once for a sandbox, with its socket to the Sentry as descriptor 3. It makes itself empty, closes the door
// behind it (the filter), and copies itself into a new address space whenever the Sentry asks. When the Sentry is gone it exits, and
// PR_SET_PDEATHSIG ends every copy with it.
#include "sys.h"

#include <linux/auxvec.h>
#include <linux/prctl.h>

#define SA_RESTORER 0x04000000

u32 stub_hwcap2;
u32 stub_yama;
static u64 vdso_address;

void die(int code) {
  for (;;) sys1(__NR_exit_group, (u64)code);
}

// struct sigaction of the kernel.
struct kernel_sigaction {
  u64 handler;
  u64 flags;
  u64 restorer;
  u64 mask;
};

// Has `signal` go to `handler` (1: ignored) with the kernel's SA_* `flags`, while those in `mask` are blocked.
void catch_signal(int signal, u64 handler, u64 flags, u64 mask) {
  const struct kernel_sigaction sa = {handler, flags | SA_RESTORER, (u64)stub_restorer, mask};
  sys6(__NR_rt_sigaction, (u64)signal, (u64)&sa, 0, 8, 0, 0);
}

// `stack` is what the kernel left in rsp: argc, argv, envp, auxiliary vector.
static void read_auxv(const u64 *stack, u64 *stack_end) {
  const u64 *p = stack + 1 + stack[0] + 1;
  while (*p != 0) p++;
  for (p++; p[0] != AT_NULL; p += 2) {
    if (p[0] == AT_SYSINFO_EHDR) vdso_address = p[1];
    if (p[0] == AT_HWCAP2) stub_hwcap2 = (u32)p[1];
    if (p[0] == AT_EXECFN) *stack_end = p[1];
  }
  const char *name = (const char *)*stack_end;
  while (*name != 0) name++;
  *stack_end = ((u64)name + 9 + 4095) & ~4095ULL; // the name is followed by its NUL and eight bytes
}

// Nobody may unmap or replace these pages (mseal(2), Linux 6.10; older hosts do without).
static void seal(u64 address, u64 length) { sys3(NR_mseal, address, length, 0); }

static void prepare(const u64 *stack) {
  u64 stack_end = 0;
  read_auxv(stack, &stack_end);
  const u64 stack_page = (u64)stack & ~4095ULL;
  engine_start(stack);
  const u64 none[2] = {0, 0};
  sys6(__NR_prlimit64, 0, 4 /* RLIMIT_CORE */, (u64)none, 0, 0, 0);
  sys6(__NR_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0, 0); // the Sentry copies by process_vm_readv(2)
  sys6(__NR_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0, 0);
  stub_yama = sys6(__NR_prctl, PR_SET_PTRACER, (u64)-1, 0, 0, 0, 0) != -EINVAL; // each copy asks for itself
  catch_signal(SIGCHLD, 1, 0, 0);
  catch_signal(SIGPIPE, 1, 0, 0);
  sys3(__NR_munmap, stack_page - (8 << 20), stack_end - stack_page + (8 << 20), 0);
  if (!move_vdso(vdso_address)) die(70); // in the way: as likely as 1 to 1000, and sealed
  const u64 length = (u64)RF_CONTEXTS * RF_AREA_SIZE;
  const u64 flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
  if (sys6(__NR_mmap, RF_AREA_BASE, length, PROT_READ | PROT_WRITE, flags, (u64)-1, 0) < 0) die(71);
  sys3(__NR_madvise, RF_AREA_BASE, length, MADV_NOHUGEPAGE);
  engine_prepare(vdso.data, vdso.address, vdso.size);
  seal((u64)stub_text_start & ~4095ULL, (u64)stub_sealed_end - ((u64)stub_text_start & ~4095ULL));
  if (sys6(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0) < 0) die(72);
  if (install_filter() < 0) die(73);
}

static void initialise(const struct descriptors *d) {
  const s64 at = sys6(__NR_mmap, RF_CONTROL_BASE, RF_CONTROL_SIZE, PROT_READ, MAP_SHARED | MAP_FIXED, (u64)d->fd[0], 0);
  if (at < 0) die(74);
  if (d->fd[1] != RF_DOORBELL_FD) {
    if (sys3(__NR_dup3, (u64)d->fd[1], RF_DOORBELL_FD, 0) < 0) die(75);
    sys1(__NR_close, (u64)d->fd[1]);
  }
  seal(RF_CONTROL_BASE, RF_CONTROL_SIZE);
  sys1(__NR_close, (u64)d->fd[0]);
  struct rf_info info = {RF_MESSAGE_INFO, stub_hwcap2, vdso.address, vdso.size, vdso.data};
  engine_info(&info);
  sys3(__NR_write, RF_SOCKET_FD, (u64)&info, sizeof info);
}

// A fresh copy of the pristine stub becomes one itself, on a socket of its own, so that what is copied from it is in the control groups that
// it is moved to. It ends with the first one, and with its socket.
static void become_pristine(const struct descriptors *d) {
  sys6(__NR_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0, 0);
  if (stub_yama) sys6(__NR_prctl, PR_SET_PTRACER, (u64)-1, 0, 0, 0, 0);
  if (sys3(__NR_dup3, (u64)d->fd[1], RF_SOCKET_FD, 0) < 0) die(78);
  const struct rf_message hello = {RF_MESSAGE_HELLO, 0};
  if (sys3(__NR_write, RF_SOCKET_FD, (u64)&hello, sizeof hello) != sizeof hello) die(79);
}

s64 guest_read(void *to, u64 from, u64 bytes) { return stub_copy(to, (const void *)from, bytes); }

s64 guest_write(u64 to, const void *from, u64 bytes) { return stub_copy((void *)to, from, bytes); }

u64 guest_read_string(void *to, u64 from, u64 limit) { return (u64)stub_copy_string(to, (const void *)from, limit); }

__attribute__((noreturn)) void stub_main(const u64 *stack) {
  prepare(stack);
  for (;;) {
    struct descriptors d;
    const int r = receive(&d, 0);
    if (r == 0) die(0); // the Sentry is gone
    if (r > 0 && d.kind == RF_MESSAGE_INIT && d.count == 2) {
      initialise(&d);
      continue;
    }
    if (r > 0 && d.kind == RF_MESSAGE_NEW && d.count == 2) {
      if (sys6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0) == 0) {
        enter_address_space(&d);
        engine_first_thread();
      }
    }
    if (r > 0 && d.kind == RF_MESSAGE_STUB && d.count == 2) {
      if (sys6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0) == 0) become_pristine(&d);
    }
    // A copy that failed shows as the end of its socket.
    for (int i = 0; i < d.count; i++) sys1(__NR_close, (u64)d.fd[i]);
  }
}
