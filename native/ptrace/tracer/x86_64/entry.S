// Entry points of the tracer that C cannot express.
  .text

// Program entry: the kernel's stack holds argc, argv, envp and the auxiliary vector.
  .globl tracer_start
tracer_start:
  xor %ebp, %ebp
  mov %rsp, %rdi
  and $-16, %rsp
  call tracer_main
  ud2

// Signals: rdi signal, rsi siginfo, rdx ucontext.
  .globl tracer_restorer
tracer_restorer:
  mov $15, %eax
  syscall
  ud2

// long tracer_sleep(int *status, const u32 *alarm): waits for a stop or the end of any guest thread: its tid; -EINTR at once if the alarm is
// set. A signal that arrives between that look and the call goes to sleep_interrupted.
  .globl tracer_sleep, sleep_start, sleep_end, sleep_interrupted
tracer_sleep:
  push %rbx
  mov %rsi, %rbx
  mov %rdi, %rsi
  mov $-1, %rdi
  mov $0x40000000, %edx   // __WALL
  xor %r10d, %r10d
  mov $61, %eax
sleep_start:
  cmpl $0, (%rbx)
  jne sleep_interrupted
  syscall
sleep_end:
  pop %rbx
  ret
sleep_interrupted:
  mov $-4, %rax
  pop %rbx
  ret
  .section .note.GNU-stack, "", @progbits
