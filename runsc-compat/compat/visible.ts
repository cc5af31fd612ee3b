// Text of programs under test, which is anybody's, made safe for a terminal and for files.

/** Control characters as escapes. */
export function visible(text: string): string {
  return text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
}
