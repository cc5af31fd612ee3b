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

// A signal of the stub's own: rdi signal, rsi siginfo, rdx ucontext.
  .globl stub_signal_entry
stub_signal_entry:
  jmp stub_signal

// Return from a signal. The kernel finds the frame at rsp - 8.
  .globl stub_restorer
stub_restorer:
  mov $15, %eax
  syscall
  ud2

// void stub_on_stack(top, function): goes on in `function` with an empty stack.
  .globl stub_on_stack
stub_on_stack:
  mov %rdi, %rsp
  xor %ebp, %ebp
  call *%rsi
  ud2

// clone(2) of a thread: rdi flags, rsi stack, rdx parent tid, rcx child tid, r8 index, r9 virtual processor. The child never returns.
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
  call guest_thread
  ud2

// long stub_touch(address): writes a byte that stays what it is; 0, or -EFAULT.
  .globl stub_touch, stub_touch_start, stub_touch_end
stub_touch:
  xor %eax, %eax
stub_touch_start:
  lock orb $0, (%rdi)
stub_touch_end:
  ret

  .bss
  .balign 4096
  .skip 32768
stub_stack_top:
  .section .note.GNU-stack, "", @progbits
