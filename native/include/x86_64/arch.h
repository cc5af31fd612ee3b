// x86-64.
#ifndef RINGFENCE_X86_64_ARCH_H
#define RINGFENCE_X86_64_ARCH_H

// The general registers of a context block: struct user_regs_struct of <sys/user.h>, without the selectors.
enum {
  RF_R15, RF_R14, RF_R13, RF_R12, RF_RBP, RF_RBX, RF_R11, RF_R10, RF_R9, RF_R8, RF_RAX, RF_RCX,
  RF_RDX, RF_RSI, RF_RDI, RF_ORIG_RAX, RF_RIP, RF_CS, RF_EFLAGS, RF_RSP, RF_SS, RF_FS_BASE, RF_GS_BASE,
  RF_REGS,
};

// What seccomp(2) calls it (AUDIT_ARCH_X86_64).
#define RF_AUDIT_ARCH 0xc000003eU

// In a loop that looks for another processor's store.
static inline void rf_pause(void) { __builtin_ia32_pause(); }

#endif
