// Characters as the terminal code of Linux classes them: ISO 8859-1, and case as the kernel's table has it (lib/ctype.c).

export const NL = 10;
export const CR = 13;
export const TAB = 9;
export const BS = 8;
export const SPACE = 32;

export function iscntrl(c: number): boolean {
  return c < 32 || c === 127;
}

export function toUpper(c: number): number {
  return (c >= 97 && c <= 122) || (c >= 0xdf && c !== 0xf7) ? c - 32 : c;
}

export function isalnum(c: number): boolean {
  if (c < 128) return (c >= 48 && c <= 57) || (c >= 65 && c <= 90) || (c >= 97 && c <= 122);
  return c >= 0xc0 && c !== 0xd7 && c !== 0xf7;
}

export function toLower(c: number): number {
  return (c >= 65 && c <= 90) || (c >= 0xc0 && c <= 0xde && c !== 0xd7) ? c + 32 : c;
}
