// What a sandbox makes of a program, beside the host.

import { captured, sameOutput } from './capture.ts';
import type { CaseComparison, CaseResult, Change, Comparison, Program, ProgramRun, Verdict } from './model.ts';

function changeOf(host: Verdict, inside: Verdict): Change {
  if (host === inside) return 'same';
  if (host === 'pass') return inside === 'skip' ? 'skips' : 'fails';
  return inside === 'pass' ? 'passes' : 'differs';
}

/** A case that only the other world tells of. */
function absent(name: string): CaseResult {
  return { name, verdict: 'missing', detail: 'there is no such case', output: captured(''), milliseconds: 0 };
}

/** What a program does beside its cases is told only where it goes wrong. */
function unsaid(name: string): CaseResult {
  return { ...absent(name), verdict: 'pass', detail: '' };
}

/** Compares the runs of a program. `beside`: the name of what it does beside its cases. */
export function compare(program: Program, host: ProgramRun, inside: ProgramRun, beside: string): Comparison {
  const ours = new Map(inside.cases.map((r) => [r.name, r]));
  const names = host.cases.map((r) => r.name);
  const theirs = new Map(host.cases.map((r) => [r.name, r]));
  for (const r of inside.cases) if (!theirs.has(r.name)) names.push(r.name);
  const other = (name: string): CaseResult => (name === beside ? unsaid(name) : absent(name));
  const plain = host.kind === 'plain';
  const cases = names.map((name): CaseComparison => {
    const a = theirs.get(name) ?? other(name);
    const b = ours.get(name) ?? other(name);
    let change = changeOf(a.verdict, b.verdict);
    if (plain && change === 'same' && host.status !== inside.status) change = 'differs';
    const errors = plain && !sameOutput(host.stderr, inside.stderr);
    return { name, change, host: a, inside: b, output: errors || !sameOutput(a.output, b.output) };
  });
  return { program, world: inside.world, host, inside, cases };
}

/** Does anything that passes on the host fail inside? `strict`: or is skipped there, or prints something else. */
export function fails(c: Comparison, strict: boolean): boolean {
  return c.cases.some((k) => k.change === 'fails' || (strict && (k.change !== 'same' || k.output)));
}

/** Cases by what became of them. */
export function count(c: Comparison, change: Change): number {
  return c.cases.filter((k) => k.change === change).length;
}
