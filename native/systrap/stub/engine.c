// What the pristine stub does in this engine's way: signals, and the first trap of a copy.
#include "../../stub/sys.h"
#include "systrap.h"

#define SA_SIGINFO 4
#define SA_ONSTACK 0x08000000
#define SA_NODEFER 0x40000000
#define BIT(signal) (1ULL << ((signal)-1))

void engine_start(const u64 *stack) {
  (void)stack;
  sys3(__NR_close_range, 0, 2, 0);
  sys3(__NR_close_range, RF_SOCKET_FD + 1, ~0U, 0);
}

void engine_prepare(u64 vdso_data, u64 vdso, u64 vdso_size) {
  static const unsigned char caught[] = {SIGSYS, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, RF_INTERRUPT_SIGNAL};
  (void)vdso_data;
  (void)vdso;
  (void)vdso_size;
  // For patch.c, in all copies: a process that registers when it has threads waits for all processors.
  sys3(__NR_membarrier, 64 /* MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE */, 0, 0);
  // While a handler runs everything is blocked but the faults of copying from and to guest memory (and interrupts, while it waits in a
  // call of its own: native.c).
  for (u32 i = 0; i < sizeof caught; i++) {
    catch_signal(caught[i], (u64)stub_signal_entry, SA_SIGINFO | SA_ONSTACK | SA_NODEFER, ~(BIT(SIGSEGV) | BIT(SIGBUS)));
  }
  set_altstack(0); // copies inherit it
}

void engine_info(struct rf_info *info) { (void)info; }

void engine_first_thread(void) {
  enter_thread(0);
  thread_of(0)->site_rip = ~0ULL;
  stub_first_trap();
}
