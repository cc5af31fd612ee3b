// The results that a system call handler can have besides a value and a negative errno.

/** The task waits on queues or a deadline; the loop invokes the handler again when it is woken. */
export const BLOCKED = -0x100000;
/** The handler changed the registers itself (rt_sigreturn, execve): leave rax alone. */
export const NO_RESULT = -0x100001;
/** The task is gone or stopped for good; do not resume its context. */
export const TASK_EXITED = -0x100002;

/** Kernel-internal restart codes (include/linux/errno.h): never shown to the guest. */
export const ERESTARTSYS = 512;
export const ERESTARTNOINTR = 513;
export const ERESTARTNOHAND = 514;
export const ERESTART_RESTARTBLOCK = 516;
