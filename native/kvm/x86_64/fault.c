// What exceptions of the guest mean to it: the signals that the host's kernel would send for them.
#include "kvm.h"

#define SI_KERNEL 0x80
#define FPE_INTDIV 1
#define FPE_FLTDIV 3
#define FPE_FLTOVF 4
#define FPE_FLTUND 5
#define FPE_FLTRES 6
#define FPE_FLTINV 7
#define ILL_ILLOPN 2
#define SEGV_MAPERR 1
#define SEGV_ACCERR 2
#define BUS_ADRALN 1
#define BUS_ADRERR 2
#define TRAP_BRKPT 1
#define TRAP_TRACE 2

#define FLAG_TF 0x100
#define WITH_ERROR (1U << 8 | 1U << 10 | 1U << 11 | 1U << 12 | 1U << 13 | 1U << 14 | 1U << 17 | 1U << 21)
#define PROBE_STEPS 64
#define MOST_STUCK 16

// Shows a fault; the registers in the run page are those at the instruction. Always 0.
int fault(struct rf_block *b, struct vcpu *v, u32 signal, s64 code, u64 address, u32 trap, u32 error) {
  save_regs(b, v);
  b->fault_signal = signal;
  b->fault_code = (int32_t)code;
  b->fault_address = address;
  b->fault_trap = trap;
  b->fault_error = error;
  show(b, RF_EVENT_FAULT);
  return 0;
}

// Was the instruction before `rip` int1? All else is a step: no program has debug registers.
static int is_trap(u64 rip) {
  unsigned char code;
  return rip > RF_MIN_ADDRESS && rip <= RF_STUB_BASE && stub_copy(&code, (const void *)(rip - 1), 1) == 0 && code == 0xf1;
}

static s64 float_code(u32 raised) {
  if (raised & 1) return FPE_FLTINV;
  if (raised & 4) return FPE_FLTDIV;
  if (raised & 8) return FPE_FLTOVF;
  if (raised & 0x12) return FPE_FLTUND;
  return raised & 0x20 ? FPE_FLTRES : 0;
}

// #MF of the x87 unit, #XM of SSE: what its status says that its control does not mask.
static int float_fault(struct rf_block *b, struct vcpu *v, u32 vector) {
  char fp[16384] __attribute__((aligned(64)));
  u32 control, status;
  if (get_fp(v, fp) < 0) die(92);
  __builtin_memcpy(&control, fp, 4);
  __builtin_memcpy(&status, fp + 24, 4);
  const u32 raised = vector == 16 ? control >> 16 & ~control : status & ~(status >> 7);
  return fault(b, v, SIGFPE, float_code(raised), v->run->s.regs.regs.rip, vector, 0);
}

// The error code as the host's own tables would give it: they have a page when the kernel was asked for it once.
static u32 error_code(u64 address, u32 error) {
  unsigned char resident = 0;
  u64 end;
  lock_space();
  const u32 prot = area_at(address, &end);
  unlock_space();
  if (prot & (PROT_READ | PROT_WRITE | PROT_EXEC)) {
    if (error & ERROR_FETCH) return error | 5; // a fetch brings the page in, as a read does, before it is found forbidden
    sys3(__NR_mincore, address & ~(PAGE - 1), PAGE, (u64)&resident);
  }
  return (error & ~1U) | (resident & 1) | 4;
}

static int page_fault(struct rf_block *b, struct vcpu *v, u32 error) {
  const u64 address = v->run->s.regs.sregs.cr2;
  switch (tables_fault(address, error)) {
  case FAULT_AGAIN:
    return 1;
  case FAULT_DENIED:
    return fault(b, v, SIGSEGV, SEGV_ACCERR, address, 14, error_code(address, error));
  case FAULT_FULL:
    return fault(b, v, SIGBUS, BUS_ADRERR, address, 14, error | 4);
  default:
    if (address == v->run->s.regs.regs.rip && address >= 0xffffffffff600000ULL && address < 0xffffffffff601000ULL) return 2;
    return fault(b, v, SIGSEGV, SEGV_MAPERR, address, 14, error | 4 | (address >> 47 ? 1 : 0));
  }
}

// Some KVMs try to emulate what a processor answers with #GP, and say #UD when they do not know the instruction. Instructions that are
// never #UD on a processor of ours, and may be #GP: gates, what only a kernel may do, and vector loads and stores that want alignment.
// 0: it is #UD.
static int is_protection(u64 rip, u32 *error) {
  unsigned char code[15] = {0};
  u32 n = 0;
  if (rip < RF_MIN_ADDRESS || rip > RF_STUB_BASE - sizeof code) return 0;
  stub_copy(code, (const void *)rip, sizeof code);
  while (n < 5 && (code[n] == 0x66 || code[n] == 0xf2 || code[n] == 0xf3 || code[n] == 0x64 || code[n] == 0x65 || code[n] == 0x2e)) n++;
  int vector = 0;
  if (code[n] == 0xc5) {
    vector = 2;
  } else if (code[n] == 0xc4 && (code[n + 1] & 0x1f) == 1) {
    vector = 3;
  } else if (code[n] == 0x62 && (code[n + 1] & 7) == 1) {
    vector = 4;
  } else if ((code[n] & 0xf0) == 0x40) {
    n++;
  }
  *error = 0;
  if (vector != 0) {
    const unsigned char op = code[n + (u32)vector];
    return op == 0x28 || op == 0x29 || op == 0x2b || op == 0x6f || op == 0x7f || op == 0xe7;
  }
  switch (code[n]) {
  case 0xcd:
    *error = code[n + 1] * 8U + 2;
    return 1;
  case 0x6c: case 0x6d: case 0x6e: case 0x6f: case 0xe4: case 0xe5: case 0xe6: case 0xe7: // ports
  case 0xec: case 0xed: case 0xee: case 0xef:
  case 0xf4: case 0xfa: case 0xfb: case 0xcf: // hlt, cli, sti, iret
    return 1;
  case 0x0f:
    break;
  default:
    return 0;
  }
  const unsigned char op = code[n + 1];
  const unsigned char reg = code[n + 2] >> 3 & 7;
  switch (op) {
  case 0x00: // lldt, ltr
    return reg == 2 || reg == 3;
  case 0x01: // lgdt, lidt, lmsw, invlpg, swapgs; xsetbv
    return ((reg == 2 || reg == 3) && code[n + 2] < 0xc0) || reg == 6 || (reg == 7 && code[n + 2] < 0xc0) || code[n + 2] == 0xf8 ||
           code[n + 2] == 0xd1;
  case 0x06: case 0x07: case 0x08: case 0x09: case 0x20: case 0x21: case 0x22: case 0x23: case 0x30: case 0x32: case 0x33: case 0x34:
  case 0x35:
    return 1;
  case 0xae: // fxsave, fxrstor, ldmxcsr, xsave, xrstor
    return code[n + 2] < 0xc0 && reg < 6;
  case 0xc7: // cmpxchg16b, xrstors, xsavec, xsaves
    return code[n + 2] < 0xc0 && reg != 0 && reg < 6;
  default: // movaps and its kin, and arithmetic on unaligned memory
    return op == 0x28 || op == 0x29 || op == 0x2b || op == 0x6f || op == 0x7f || op == 0xe7 || (op >= 0x51 && op <= 0x6d) || op >= 0xd0;
  }
}

// The guest was left by the exception `vector`: its frame becomes the registers in the run page. 1: it goes on. 0: a fault is shown. 2: it
// jumped to the page of the old calls.
int exception(struct rf_block *b, struct vcpu *v, u32 vector) {
  const u64 *frame = (const u64 *)vcpu_frame(v);
  struct kvm_regs *g = &v->run->s.regs.regs;
  if (vector >= VECTORS || vector == 8 || vector == 2 || vector == 18) die(93);
  u32 error = WITH_ERROR & 1U << vector ? (u32)frame[-1] : 0;
  g->rip = frame[0];
  v->cs = (u32)frame[1];
  g->rflags = frame[2];
  g->rsp = frame[3];
  const u64 rip = g->rip;
  switch (vector) {
  case 0:
    return fault(b, v, SIGFPE, FPE_INTDIV, rip, vector, 0);
  case 1:
    return fault(b, v, SIGTRAP, !(g->rflags & FLAG_TF) && is_trap(rip) ? TRAP_BRKPT : TRAP_TRACE, rip, vector, 0);
  case 3:
    return fault(b, v, SIGTRAP, SI_KERNEL, 0, vector, 0);
  case 6:
    if (vm_guesses && is_protection(rip, &error)) return fault(b, v, SIGSEGV, SI_KERNEL, 0, 13, error);
    return fault(b, v, SIGILL, ILL_ILLOPN, rip, vector, 0);
  case 11:
  case 12:
    return fault(b, v, SIGBUS, SI_KERNEL, 0, vector, error);
  case 14:
    return page_fault(b, v, error);
  case 16:
  case 19:
    return float_fault(b, v, vector);
  case 17:
    return fault(b, v, SIGBUS, BUS_ADRALN, 0, vector, error);
  default: // 4, 5, 10, 13 and what no program can cause
    return fault(b, v, SIGSEGV, SI_KERNEL, 0, vector, error);
  }
}

// The guest has executed `in` or `out` by itself on the ports that are open to what `syscall` leads to. No program may: back to the
// instruction, when KVM is done with it.
int own_output(struct rf_block *b, struct vcpu *v) {
  struct kvm_run *run = v->run;
  struct kvm_regs *g = &run->s.regs.regs;
  const struct kvm_regs before = *g;
  const u32 port = run->io.port;
  unsigned char code[3] = {0};
  __atomic_store_n(&run->immediate_exit, 1, __ATOMIC_SEQ_CST);
  enter_vm(v);
  const u64 after = g->rip;
  *g = before;
  if (after >= RF_MIN_ADDRESS + 3 && after < RF_STUB_BASE) stub_copy(code, (const void *)(after - 3), 3);
  v->cs = run->s.regs.sregs.cs.selector;
  u64 length = ((code[1] & 0xfe) == 0xe6 || (code[1] & 0xfe) == 0xe4) && code[2] == port ? 2 : 1;
  if (code[2 - length] == 0x66) length++;
  g->rip = after - length;
  return fault(b, v, SIGSEGV, SI_KERNEL, 0, 13, 0);
}

// Does the page at `address` hold memory that the process can reach in this way?
static s64 reachable(u64 address, u32 error) {
  char byte;
  if (error & ERROR_WRITE) return stub_touch((void *)address);
  return stub_copy(&byte, (const void *)address, 1);
}

// KVM could not reach memory that the guest's tables allow (a file that became shorter, above all), and does not say where. The same
// instruction runs again with tables in which nothing is, page by page, until the one is found. 0: a fault is shown. 1: the guest goes on.
// 2: it does, and the VM was left for another reason, which is in the run page.
int unreachable(struct rf_block *b, struct vcpu *v) {
  struct kvm_run *run = v->run;
  struct kvm_sync_regs *s = &run->s.regs;
  struct kvm_regs start = s->regs;
  u64 top, bad = 0;
  u32 bad_error = 0;
  int result = 1;
  v->signal = SIGBUS;
  if (++v->stuck > MOST_STUCK || probe_tables(&top) < 0) return fault(b, v, SIGBUS, BUS_ADRERR, start.rip, 14, 4);
  s->sregs.cr3 = top;
  for (u32 i = 0; i < PROBE_STEPS; i++) {
    run->kvm_dirty_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
    __atomic_store_n(&run->immediate_exit, 0, __ATOMIC_SEQ_CST);
    s64 r = enter_vm(v);
    while (r == -EINTR && s->regs.rip - KERNEL_BASE < 0x800000) {
      __atomic_store_n(&run->immediate_exit, 0, __ATOMIC_SEQ_CST);
      r = enter_vm(v);
    }
    if (r == -EINTR) continue;
    if (r < 0) break;
    if (run->exit_reason != KVM_EXIT_IO || run->io.port != 14 || s->regs.rip - KERNEL_TEXT >= PAGE) {
      result = 2; // it got through, and further
      break;
    }
    const u64 *frame = (const u64 *)vcpu_frame(v);
    const u64 address = s->sregs.cr2;
    const u32 error = (u32)frame[-1];
    const int moved = frame[0] != start.rip;
    start.rip = frame[0];
    start.rflags = frame[2];
    start.rsp = frame[3];
    if (moved) { // a further instruction: the one in question was done
      result = 3;
      break;
    }
    const s64 mapped = probe_map(address, error);
    if (mapped < 0 || reachable(address, error) < 0) {
      bad = address;
      bad_error = error;
      result = mapped == -EFAULT ? 3 : 0;
      break;
    }
    const struct kvm_segment user = {.limit = ~0U, .selector = USER_CS, .type = 11, .present = 1, .dpl = 3, .s = 1, .l = 1, .g = 1};
    s->regs.rip = start.rip;
    s->regs.rflags = start.rflags;
    s->regs.rsp = start.rsp;
    s->sregs.cs = user;
    s->sregs.ss = (struct kvm_segment){.limit = ~0U, .selector = USER_DS, .type = 3, .present = 1, .dpl = 3, .db = 1, .s = 1, .g = 1};
  }
  s->sregs.cr3 = PAGE_TOP * PAGE;
  v->stale = 1;
  probe_done();
  if (result == 2) return 2;
  s->regs.rip = start.rip;
  s->regs.rflags = start.rflags;
  s->regs.rsp = start.rsp;
  if (result != 0) return 1;
  // Memory that the process does not have, whatever the record says: the guest has asked for it (MADV_DONTFORK).
  if (v->signal == SIGSEGV) return fault(b, v, SIGSEGV, SEGV_MAPERR, bad, 14, (bad_error & ~1U) | 4);
  return fault(b, v, SIGBUS, BUS_ADRERR, bad, 14, bad_error | 4);
}
