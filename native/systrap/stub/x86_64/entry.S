// The way in and out without a signal: a rewritten call site jumps to its slot, the slot jumps here.
//
// On arrival rcx is the instruction pointer behind the call (what `syscall` would have put there), r11 is where to go on, all else is the
// guest's: its stack is not ours to touch (red zone), flags and vector registers must survive. Offsets are those of struct rf_thread and
// of struct rf_block.regs.
#define T_RSP %gs:0
#define T_RESUME %gs:8
#define T_STACK %gs:16
#define T_BLOCK %gs:24
#define T_PHASE %gs:32
#define REG(n) (128 + 8 * (n))(%r11)

  .text
  .globl stub_entry, stub_entry_switched
  .balign 64
stub_entry:
  mov %rsp, T_RSP
  mov %r11, T_RESUME
  movl $1, T_PHASE
  mov T_STACK, %rsp
stub_entry_switched:
  pushf
  mov T_BLOCK, %r11
  mov %rbx, REG(5)
  pop %rbx
  mov %r15, REG(0)
  mov %r14, REG(1)
  mov %r13, REG(2)
  mov %r12, REG(3)
  mov %rbp, REG(4)
  mov %rbx, REG(6)
  mov %r10, REG(7)
  mov %r9, REG(8)
  mov %r8, REG(9)
  mov %rax, REG(10)
  mov %rcx, REG(11)
  mov %rdx, REG(12)
  mov %rsi, REG(13)
  mov %rdi, REG(14)
  mov %rax, REG(15)
  mov %rcx, REG(16)
  movq $0x33, REG(17)
  mov %rbx, REG(18)
  mov T_RSP, %rax
  mov %rax, REG(19)
  movq $0x2b, REG(20)
  movq $0, REG(22)
  cld
  test $0x40000, %ebx     // AC: the stub must not fault on its own accesses
  jnz 2f
1:
  mov %r11, %rdi
  xor %ebp, %ebp
  call stub_call
  // The block holds the registers to return with; T_RSP and T_RESUME the rest. A signal from here on leaves with exactly these.
  mov T_BLOCK, %r11
  push REG(18)
  mov REG(0), %r15
  mov REG(1), %r14
  mov REG(2), %r13
  mov REG(3), %r12
  mov REG(4), %rbp
  mov REG(5), %rbx
  mov REG(7), %r10
  mov REG(8), %r9
  mov REG(9), %r8
  mov REG(10), %rax
  mov REG(11), %rcx
  mov REG(12), %rdx
  mov REG(13), %rsi
  mov REG(14), %rdi
  mov REG(6), %r11
  popf
  mov T_RSP, %rsp
  .globl stub_exit_switched, stub_exit_end
stub_exit_switched:
  jmp *T_RESUME
stub_exit_end:
2:
  pushf
  andl $~0x40000, (%rsp)
  popf
  jmp 1b

// From C that was entered above into the handler of a signal: what follows needs a signal frame.
  .section .trap, "ax"
  .globl stub_escape, stub_escaped
stub_escape:
  mov $-1, %rax
  syscall
stub_escaped:
  ud2
  .section .note.GNU-stack, "", @progbits
