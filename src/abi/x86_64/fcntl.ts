// Flags of open(2) whose values each architecture has its own way.

export const O_LARGEFILE = 0;
export const O_DIRECT = 0x4000;
export const O_DIRECTORY = 0x10000;
export const O_NOFOLLOW = 0x20000;
export const O_TMPFILE = 0x410000;
