// Flags of mmap(2) that x86-64 alone has.

export const MAP_32BIT = 0x40;
