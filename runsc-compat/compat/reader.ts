// What all readers of test output share: they are fed pieces of text, and say which case runs and how cases ended.

import { Capture, decoded } from './capture.ts';
import type { CaseResult, Verdict } from './model.ts';

/** Characters of a case's reason that are kept. */
const DETAIL = 4000;

/** `text` in so many characters. */
export function shortened(text: string, limit: number = DETAIL): string {
  const t = text.replace(/\s+$/, '');
  return t.length <= limit ? t : `${t.slice(0, limit)} ...`;
}

export abstract class Reader {
  readonly results: CaseResult[] = [];
  /** The case that runs; null between cases. */
  current: string | null = null;
  /** Told when a case has begun or ended. */
  progress: (r: CaseResult | null) => void = () => {};
  private partial = '';
  private output = new Capture();
  private lines: string[] = [];
  private since = performance.now();

  /** A piece of the program's standard output, latin1. */
  feed(text: string): void {
    const parts = (this.partial + text).split('\n');
    this.partial = parts.pop() as string;
    for (const line of parts) this.line(decoded(line.endsWith('\r') ? line.slice(0, -1) : line));
  }

  /** The output has ended. */
  end(): void {
    if (this.partial !== '') this.line(decoded(this.partial));
    this.partial = '';
  }

  protected abstract line(line: string): void;

  /** The case has begun. */
  protected begin(name: string): void {
    this.current = name;
    this.clear();
    this.progress(null);
  }

  /** A line that belongs to the case that runs. */
  protected note(line: string): void {
    this.output.add(Buffer.from(`${line}\n`).toString('latin1'));
    if (this.lines.length < 200) this.lines.push(line);
  }

  /** What was noted of the case so far. */
  protected noted(): string {
    return this.lines.join('\n');
  }

  protected clear(): void {
    this.output = new Capture();
    this.lines = [];
    this.since = performance.now();
  }

  /** The case has ended. */
  protected finish(name: string, verdict: Verdict, detail: string): CaseResult {
    const milliseconds = performance.now() - this.since;
    const r: CaseResult = { name, verdict, detail: shortened(detail), output: this.output.done(), milliseconds };
    this.results.push(r);
    this.current = null;
    this.clear();
    this.progress(r);
    return r;
  }

  /** The program has ended, or was ended, in this case. */
  broken(name: string, verdict: Verdict, detail: string): CaseResult {
    const said = this.noted();
    return this.finish(name, verdict, said === '' ? detail : `${detail}\n${said}`);
  }
}
