// How elf(5) names this architecture.

export const EM_X86_64 = 0x3e;
