// Numbers of ptrace(2) that x86-64 alone has.

export const PTRACE_GETREGS = 12;
export const PTRACE_SETREGS = 13;
export const PTRACE_GETFPREGS = 14;
export const PTRACE_SETFPREGS = 15;
export const NT_X86_XSTATE = 0x202;
export const AUDIT_ARCH_X86_64 = 0xc000003e;
