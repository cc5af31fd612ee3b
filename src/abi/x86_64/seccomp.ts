// How seccomp(2) names this architecture.

export const AUDIT_ARCH_X86_64 = 0xc000003e;
