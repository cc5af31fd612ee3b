// Entry points of the stub that C cannot express.
  .text

// Program entry: the kernel's stack holds argc, argv, envp and the auxiliary vector. Leave that stack at once.
  .globl stub_start
stub_start:
  xor %ebp, %ebp
  mov %rsp, %rdi
  lea stub_stack_top(%rip), %rsp
  call stub_main
  ud2

// Every signal arrives here on the thread's area: rdi signal, rsi siginfo, rdx ucontext.
  .globl stub_signal_entry
stub_signal_entry:
  pushf
  andl $~0x40000, (%rsp)  // a guest may have set AC: the stub must not fault on its own accesses
  popf
  jmp stub_signal

// Return from a signal. The kernel finds the frame at rsp - 8.
  .globl stub_restorer
stub_restorer:
  mov $15, %eax
  syscall
  ud2

// clone(2) of a thread: rdi flags, rsi stack, rdx parent tid, r10 child tid, r8 index, r9 ucontext. The child never returns.
  .globl stub_clone_thread
stub_clone_thread:
  mov %rcx, %r10
  push %rbx
  push %r12
  mov %r8, %rbx
  mov %r9, %r12
  xor %r8d, %r8d
  mov $56, %eax
  syscall
  test %rax, %rax
  jz 1f
  pop %r12
  pop %rbx
  ret
1:
  mov %rbx, %rdi
  mov %r12, %rsi
  xor %ebp, %ebp
  call stub_thread_main
  ud2

// Sets rsp to rdi (the address behind a signal frame's first word) and returns from that signal.
  .globl stub_return_to
stub_return_to:
  mov %rdi, %rsp
  jmp stub_restorer

// The deliberate trap of a new address space: this instruction lies outside what the filter admits.
  .section .trap, "ax"
  .globl stub_first_trap
stub_first_trap:
  xor %eax, %eax
  dec %rax
  syscall
  ud2

  .bss
  .balign 4096
  .skip 16384
stub_stack_top:
  .section .note.GNU-stack, "", @progbits
