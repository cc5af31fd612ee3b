// What the pristine stub does in this engine's way: the descriptor of /dev/kvm, a trial of it, signals, and the first thread of a copy.
#include "kvm.h"

#define SA_SIGINFO 4
#define SA_NODEFER 0x40000000
#define BIT(signal) (1ULL << ((signal)-1))
#define RLIMIT_NOFILE 7

static u32 refused;
static int hide_clock;

// It is asked for a trial alone (kvmstub --check [DEVICE]): says on its standard output what it found.
static void check(void) {
  static const char *const reasons[] = {
      "ok\n",
      "/dev/kvm cannot be opened, or is no KVM\n",
      "/dev/kvm lacks a capability that is needed (sync registers, immediate exit, XSAVE)\n",
      "/dev/kvm offers too few memory slots\n",
      "a virtual machine cannot be made\n",
      "a trial of /dev/kvm did not end within a second\n",
      "a trial of /dev/kvm ended wrong: it emulates what cannot be emulated here\n",
  };
  const char *text = reasons[refused < sizeof reasons / sizeof reasons[0] ? refused : RF_REFUSED_TRIAL];
  u64 length = 0;
  while (text[length] != 0) length++;
  sys3(__NR_write, RF_DOORBELL_FD, (u64)text, length);
  die(refused != 0);
}

static void try_kvm(u64 vdso) {
  refused = (u32)vm_prepare();
  if (refused == 0) refused = (u32)self_test(&hide_clock);
  if (vdso == 0) hide_clock = 1;
}

void engine_start(const u64 *stack) {
  u64 files[2];
  // Whatever is opened gets the lowest number that is free: 0, 1, 2, and what is above these three.
  if (stack[0] > 1) { // there is an argument: no Sentry is behind the socket
    sys3(__NR_dup3, 1, RF_DOORBELL_FD, 0);
    const u64 device = stack[0] > 2 ? stack[3] : (u64) "/dev/kvm";
    const s64 fd = sys3(__NR_openat, (u64)-100, device, 2 /* O_RDWR */);
    if (fd < 0 || (fd != RF_DEVICE_FD && sys3(__NR_dup3, (u64)fd, RF_DEVICE_FD, 0) < 0)) {
      refused = RF_REFUSED_DEVICE;
    } else {
      areas_prepare();
      set_signals();
      try_kvm(0);
    }
    check();
  }
  sys3(__NR_close_range, 0, 2, 0);
  sys1(__NR_close, RF_SOCKET_FD + 1);
  sys3(__NR_close_range, RF_DEVICE_FD + 1, ~0U, 0);
  // A virtual processor is a descriptor: as many as the host allows.
  if (sys6(__NR_prlimit64, 0, RLIMIT_NOFILE, 0, (u64)files, 0, 0) == 0) {
    files[0] = files[1];
    sys6(__NR_prlimit64, 0, RLIMIT_NOFILE, (u64)files, 0, 0, 0);
  }
}

// Interrupts, and faults of copies from and to guest memory: nothing else of the guest's comes as a signal. They arrive on the thread's own
// stack.
void set_signals(void) {
  static const unsigned char caught[] = {SIGSEGV, SIGBUS, RF_INTERRUPT_SIGNAL, SIGALRM};
  for (u32 i = 0; i < sizeof caught; i++) {
    catch_signal(caught[i], (u64)stub_signal_entry, SA_SIGINFO | SA_NODEFER, ~(BIT(SIGSEGV) | BIT(SIGBUS)));
  }
}

void engine_prepare(u64 vdso_data, u64 vdso, u64 vdso_size) {
  set_signals();
  areas_prepare();
  try_kvm(vdso);
  if (refused != 0 || hide_clock) return;
  // The data pages of the vDSO and the vDSO itself are the guests' too.
  area_set(vdso_data, vdso, PROT_READ | AREA_MAPPED);
  area_set(vdso, vdso + vdso_size, PROT_READ | PROT_EXEC | AREA_MAPPED);
}

void engine_info(struct rf_info *info) {
  if (refused != 0) {
    info->kind = RF_MESSAGE_REFUSED;
    info->hwcap2 = refused;
  } else if (hide_clock) {
    info->vdso_address = info->vdso_size = info->data_address = 0;
  }
}

static void first(void) {
  if (vm_create() < 0) die(96);
  struct vcpu *v = vcpu_take();
  if (v == 0) die(97);
  struct rf_block *b = block_of(0);
  b->fp_size = fp_frame_bytes();
  b->call_nr = ~0U;
  thread_of(0)->index = 0;
  show(b, RF_EVENT_SYSCALL);
  guest_thread(0, v);
}

void engine_first_thread(void) {
  vm_forget();
  stub_on_stack((u64)thread_of(0) - 256, first);
}

// An interrupt makes the VM be left as soon as it is entered; a copy that fails, or a wait, ends with an error.
void stub_signal(int signal, const struct stub_siginfo *info, struct stub_ucontext *uc) {
  struct sigcontext *m = &uc->mcontext;
  const u64 ip = m->rip;
  const u64 index = ((u64)uc - RF_AREA_BASE) / RF_AREA_SIZE;
  struct vcpu *v = index < RF_CONTEXTS ? vcpu_of((u32)index) : 0;
  (void)info;
  if (signal == SIGALRM) {
    if (vcpus[0].run != 0) __atomic_store_n(&vcpus[0].run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    trial_over = 1;
    return;
  }
  if (signal == RF_INTERRUPT_SIGNAL) {
    if (index >= RF_CONTEXTS) return;
    if (v != 0) __atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    if (ip >= (u64)stub_wait_start && ip < (u64)stub_wait_end && load(&block_of((u32)index)->want_interrupt)) {
      m->rip = (u64)stub_wait_interrupted;
    }
    return;
  }
  if (v != 0) v->signal = (u32)signal;
  if (ip >= (u64)stub_copy_start && ip < (u64)stub_copy_end) {
    m->rip = (u64)stub_copy_failed;
  } else if (ip >= (u64)stub_copy_string && ip < (u64)stub_copy_string_failed) {
    m->rip = (u64)stub_copy_string_failed;
  } else if (ip >= (u64)stub_touch_start && ip < (u64)stub_touch_end) {
    m->rip = (u64)stub_touch_end;
    m->rax = (u64)-EFAULT;
  } else {
    die(78);
  }
}
