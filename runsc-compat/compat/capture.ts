// Output of a program: the beginning is kept, of all of it only length and hash.

import { createHash, type Hash } from 'node:crypto';

/** Characters that are kept. */
const KEPT = 64 * 1024;

/** Output that is complete. `text` is its beginning, latin1: one character a byte. */
export interface Captured {
  text: string;
  length: number;
  hash: string;
}

/** Bytes as text for people. */
export function decoded(latin1: string): string {
  return Buffer.from(latin1, 'latin1').toString('utf8');
}

/** Output that is still coming. */
export class Capture {
  private text = '';
  private length = 0;
  private hash: Hash | null = null;

  add(text: string): void {
    if (this.length <= KEPT && this.length + text.length > KEPT) this.hash = createHash('sha256').update(this.text, 'latin1');
    this.hash?.update(text, 'latin1');
    this.length += text.length;
    if (this.text.length < KEPT) this.text += text.slice(0, KEPT - this.text.length);
  }

  done(): Captured {
    return { text: this.text, length: this.length, hash: this.hash?.digest('hex') ?? '' };
  }
}

/** A text as captured output. */
export function captured(text: string): Captured {
  const c = new Capture();
  c.add(text);
  return c.done();
}

export function sameOutput(a: Captured, b: Captured): boolean {
  return a.length === b.length && a.hash === b.hash && a.text === b.text;
}

/** The first line in which two outputs differ, with its number from 1, and what each has there; null: beyond what is kept. */
export function firstDifference(a: Captured, b: Captured): { line: number; a: string; b: string } | null {
  const left = a.text.split('\n');
  const right = b.text.split('\n');
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    if (left[i] !== right[i]) return { line: i + 1, a: left[i] ?? '(no such line)', b: right[i] ?? '(no such line)' };
  }
  return null;
}
