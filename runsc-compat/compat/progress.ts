// What a long run does meanwhile, on standard error: one line that changes on a terminal, a line for each finished run elsewhere.

import { writeSync } from 'node:fs';
import { isTerminal, windowSize } from '../console.ts';
import { counted } from './columns.ts';
import type { CaseResult, ProgramRun } from './model.ts';

const STDERR = 2;
const INTERVAL_MS = 100;

export class Progress {
  private readonly live: boolean;
  private readonly quiet: boolean;
  private readonly running = new Map<string, { cases: number; last: string }>();
  private readonly total: number;
  private done = 0;
  private shown = 0;
  private drawn = false;

  /** `total`: runs of programs that are expected. `quiet`: says nothing. */
  constructor(total: number, quiet: boolean) {
    this.total = total;
    this.quiet = quiet;
    this.live = !quiet && isTerminal(STDERR);
  }

  began(program: string, world: string): void {
    this.running.set(`${world} ${program}`, { cases: 0, last: '' });
    this.draw(true);
  }

  ended(program: string, run: ProgramRun): void {
    this.running.delete(`${run.world} ${program}`);
    this.done++;
    if (this.quiet) return;
    const bad = run.cases.filter((r) => r.verdict !== 'pass' && r.verdict !== 'skip').length;
    const what =
      run.kind === 'plain' ? (bad === 0 ? 'passed' : (run.cases[0]?.detail.split('\n')[0] ?? 'failed')) : counted(run.cases.length, 'case');
    const failed = run.kind === 'plain' || bad === 0 ? '' : `, ${bad} not passed`;
    const again = run.starts > 1 ? `, ${run.starts} starts` : '';
    this.clear();
    this.say(
      `[${this.done}/${this.total}] ${run.world} ${program}: ${what}${failed}${again} (${(run.milliseconds / 1000).toFixed(1)} s)\n`,
    );
    this.draw(true);
  }

  /** A case has begun (null) or ended. */
  caseEnded(program: string, world: string, r: CaseResult | null): void {
    const now = this.running.get(`${world} ${program}`);
    if (now === undefined || r === null) return;
    now.cases++;
    now.last = r.name;
    this.draw(false);
  }

  /** Takes the line that changes away. */
  clear(): void {
    if (this.drawn) this.say('\r\x1b[K');
    this.drawn = false;
  }

  private draw(now: boolean): void {
    if (!this.live || (!now && performance.now() - this.shown < INTERVAL_MS)) return;
    this.shown = performance.now();
    const parts = [...this.running].map(([name, n]) => `${name} ${n.cases}${n.last === '' ? '' : ` ${n.last}`}`);
    const width = windowSize(STDERR)?.cols || 80;
    const text = `[${this.done}/${this.total}] ${parts.join(' | ')}`;
    this.say(`\r${text.replace(/[^\x20-\x7e]/g, '?').slice(0, width - 1)}\x1b[K`);
    this.drawn = true;
  }

  private say(text: string): void {
    try {
      writeSync(STDERR, text);
    } catch {
      // Nobody can be told.
    }
  }
}
