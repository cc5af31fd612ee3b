// The only text of ours in a guest process. A guest may run it: what it then calls is trapped like any other call of a guest. Only a thread
// that the tracer itself sends here, and which stops at the trap behind the call, is not trapped on the way.
  .section .page, "ax"
  .balign 4096
  .globl page_start, page_syscall, page_trapped, page_handler, page_handled, page_hello
page_start:
page_syscall:
  syscall
  int3
page_trapped:
  ud2
// Where the kernel sends a thread with a frame that tells what kind of fault it had.
page_handler:
  int3
page_handled:
  ud2
  .balign 8
page_hello:               // struct rf_message
  .long 0x52460005
  .long 0
  .balign 4096
  .section .note.GNU-stack, "", @progbits
