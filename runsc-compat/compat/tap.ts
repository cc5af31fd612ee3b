// Programs that print TAP (Test Anything Protocol, 12 to 14). Those that know --list and --only NAME can be resumed behind a case that hangs.

import type { CaseResult } from './model.ts';
import { Reader } from './reader.ts';

/** What a program that can be asked for its cases has in its file, each as a string of its own. */
export const SIGNS = ['--list\0', '--only\0', 'TAP version 1'];

export function listArguments(args: readonly string[]): string[] {
  return [...args, '--list'];
}

/** The names that --list printed, one a line. Null: that is no such list. */
export function parseList(text: string): string[] | null {
  const names = text.split('\n').filter((l) => l !== '');
  return names.every((n) => n.trim() === n && !/[\0-\x1f#]/.test(n)) && new Set(names).size === names.length ? names : null;
}

/** Arguments that choose cases; null: all. */
export function chooseArguments(args: readonly string[], cases: readonly string[] | null): { args: string[]; count: number } {
  if (cases === null) return { args: [...args], count: Infinity };
  // A program has room for some thousand words.
  const some = cases.slice(0, 500);
  return { args: [...args, ...some.flatMap((c) => ['--only', c])], count: some.length };
}

/** A verdict: `not`, number, description, directive and its reason. What is still to be done may fail. */
const POINT = /^(not )?ok\b(?:\s+(\d+))?(?:\s*-)?\s*(.*?)\s*(?:(?<!\\)#\s*(SKIP|TO[D]O)\b\s*(.*?))?\s*$/i;

export class TapReader extends Reader {
  /** How many cases the program announced; -1: it did not. */
  plan = -1;
  /** Why the program ran no case at all, or stopped by itself. */
  skipped: string | null = null;
  bailed: string | null = null;
  /** It said that it speaks TAP. */
  declared = false;
  private readonly names = new Map<string, number>();
  private last: CaseResult | null = null;
  private points = 0;

  protected line(line: string): void {
    if (/^TAP version \d+\s*$/.test(line)) {
      this.declared = true;
      return;
    }
    const plan = /^1\.\.(\d+)\s*(?:#\s*(.*))?$/.exec(line);
    if (plan !== null && this.plan < 0) {
      this.plan = Number(plan[1]);
      if (this.plan === 0) this.skipped = (plan[2] ?? '').replace(/^skip(ped)?:?\s*/i, '');
      return;
    }
    const bail = /^Bail out!\s*(.*)$/.exec(line);
    if (bail !== null) {
      this.bailed = bail[1] as string;
      return;
    }
    const point = POINT.exec(line);
    if (point !== null) this.point(point);
    else if (this.last !== null && /^#|^\s+/.test(line) && this.last.verdict === 'fail') {
      // Why a case failed stands below it, as comment or as YAML block.
      if (this.last.detail.length < 4000) this.last.detail += `${this.last.detail === '' ? '' : '\n'}${line.replace(/^#\s?/, '')}`;
    } else this.note(line);
  }

  private point(m: RegExpExecArray): void {
    this.points++;
    const name = this.unique((m[3] as string).replace(/\\([#\\])/g, '$1') || `test ${m[2] ?? this.points}`);
    const word = m[4]?.toUpperCase();
    if (word === 'SKIP') this.last = this.finish(name, 'skip', m[5] ?? '');
    else this.last = this.finish(name, m[1] === undefined || word !== undefined ? 'pass' : 'fail', '');
  }

  private unique(name: string): string {
    const n = (this.names.get(name) ?? 0) + 1;
    this.names.set(name, n);
    return n === 1 ? name : `${name} (${n})`;
  }

  override broken(name: string, verdict: CaseResult['verdict'], detail: string): CaseResult {
    this.last = null;
    return super.broken(name, verdict, this.bailed === null ? detail : `${detail}; it said: Bail out! ${this.bailed}`);
  }

  /** Is this output of TAP: at least announced and followed by a verdict, or complete. */
  get speaks(): boolean {
    return (this.declared || this.plan >= 0) && (this.points > 0 || this.plan === 0 || this.bailed !== null);
  }
}
