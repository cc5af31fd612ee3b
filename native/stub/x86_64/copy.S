// What may fault, or wait, and is known by its address to the handler of signals.
  .text

// long stub_copy(to, from, bytes): 0, or -EFAULT when either side faults.
  .globl stub_copy, stub_copy_start, stub_copy_end, stub_copy_failed
stub_copy:
  mov %rdx, %rcx
stub_copy_start:
  rep movsb
stub_copy_end:
  xor %eax, %eax
  ret
stub_copy_failed:
  mov $-14, %rax
  ret

// long stub_copy_string(to, from, limit): bytes copied, with the NUL if there is one among `limit`; fewer when `from` faults.
  .globl stub_copy_string, stub_copy_string_failed
stub_copy_string:
  xor %eax, %eax
1:
  cmp %rdx, %rax
  jae 2f
  movzbl (%rsi,%rax), %ecx
  mov %cl, (%rdi,%rax)
  inc %rax
  test %cl, %cl
  jnz 1b
2:
stub_copy_string_failed:
  ret

// long stub_wait_call(long nr, const u64 args[6], const u32 *want_interrupt): a host call that may wait. -EINTR at once if an interrupt is
// wanted; a signal that arrives between that look and the call goes to stub_wait_interrupted.
  .globl stub_wait_call, stub_wait_start, stub_wait_end, stub_wait_interrupted
stub_wait_call:
  push %rbx
  mov %rdx, %rbx
  mov %rdi, %rax
  mov %rsi, %r11
  mov (%r11), %rdi
  mov 8(%r11), %rsi
  mov 16(%r11), %rdx
  mov 24(%r11), %r10
  mov 32(%r11), %r8
  mov 40(%r11), %r9
stub_wait_start:
  cmpl $0, (%rbx)
  jne stub_wait_interrupted
  syscall
stub_wait_end:
  pop %rbx
  ret
stub_wait_interrupted:
  mov $-4, %rax
  pop %rbx
  ret
  .section .note.GNU-stack, "", @progbits
