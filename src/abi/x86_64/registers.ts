// The general registers of a guest thread.

/** Indices of general registers, in the order of struct user_regs_struct (arch/x86/include/asm/user_64.h). */
export const REG_R15 = 0;
export const REG_R14 = 1;
export const REG_R13 = 2;
export const REG_R12 = 3;
export const REG_RBP = 4;
export const REG_RBX = 5;
export const REG_R11 = 6;
export const REG_R10 = 7;
export const REG_R9 = 8;
export const REG_R8 = 9;
export const REG_RAX = 10;
export const REG_RCX = 11;
export const REG_RDX = 12;
export const REG_RSI = 13;
export const REG_RDI = 14;
export const REG_ORIG_RAX = 15;
export const REG_RIP = 16;
export const REG_CS = 17;
export const REG_EFLAGS = 18;
export const REG_RSP = 19;
export const REG_SS = 20;
export const REG_FS_BASE = 21;
export const REG_GS_BASE = 22;
export const REG_COUNT = 23;
