// The tables as text, aligned so that they are read in a terminal and in Markdown alike.

import type { Machine } from './machine.ts';
import { FLAT, growth, type ResultRow, type Results, type SizeRow, type Value } from './results.ts';
import { format, median, ratioText, type Unit } from './stats.ts';

type Align = 'left' | 'right';

/** A Markdown table whose columns are padded to the same width. */
export function table(header: string[], align: Align[], rows: string[][]): string {
  const widths = header.map((h, i) => Math.max(3, h.length, ...rows.map((r) => r[i]!.length)));
  const pad = (text: string, i: number): string => (align[i] === 'right' ? text.padStart(widths[i]!) : text.padEnd(widths[i]!));
  const line = (cells: string[]): string => `| ${cells.map(pad).join(' | ')} |`;
  const rule = widths.map((w, i) => (align[i] === 'right' ? `${'-'.repeat(w - 1)}:` : '-'.repeat(w)));
  return [line(header), `| ${rule.join(' | ')} |`, ...rows.map(line)].join('\n');
}

/** Reasons for empty cells, numbered as they come; the same reason has the same number. */
export class Footnotes {
  private readonly reasons: string[] = [];

  mark(reason: string): string {
    let i = this.reasons.indexOf(reason);
    if (i < 0) i = this.reasons.push(reason) - 1;
    return `- (${i + 1})`;
  }

  text(): string {
    return this.reasons.map((r, i) => `(${i + 1}) ${r}  `).join('\n');
  }
}

function cell(v: Value | undefined, unit: Unit, notes: Footnotes): string {
  if (v === undefined) return '';
  return v.value === undefined ? notes.mark(v.reason ?? 'not measured') : format(v.value, unit);
}

/** `1.23 (2.5)`: what it is and what it may be. */
function against(ratio: number | undefined, goal: number | undefined): string {
  if (ratio === undefined) return goal === undefined ? '' : `- (${goal})`;
  return goal === undefined ? ratioText(ratio) : `${ratioText(ratio)} (${goal})`;
}

function mainTable(r: Results, notes: Footnotes): string {
  const header = ['row', ...r.engines, 'to native', 'to runsc', 'verdict'];
  const align = header.map((_, i): Align => (i === 0 || i === header.length - 1 ? 'left' : 'right'));
  const line = (row: ResultRow): string[] => [
    row.limit === undefined ? row.title : `${row.title} (at most ${format(row.limit, row.unit)})`,
    ...r.engines.map((e) => cell(row.values[e], row.unit, notes)),
    `${against(row.toBase, row.goal)}${row.base === 'runc' && (row.toBase !== undefined || row.goal !== undefined) ? ' runc' : ''}`,
    against(row.toRunsc, row.runscGoal),
    row.verdict,
  ];
  return table(header, align, r.groups.flatMap((g) => g.rows).map(line));
}

function sizeCells(values: Value[] | undefined, notes: Footnotes): string[] {
  return (values ?? []).map((v) => `${cell(v, 'ns', notes)}${v.made === undefined ? '' : ` [${v.made}]`}`);
}

function sizeTable(r: Results, rows: SizeRow[], notes: Footnotes): string {
  const header = ['row', 'among', 'engine', ...r.sizes.map((n) => n.toLocaleString('en-US')), 'growth', 'verdict'];
  const align = header.map((_, i): Align => (i < 3 || i === header.length - 1 ? 'left' : 'right'));
  const lines = rows.flatMap((row) =>
    Object.keys(row.values).map((e) => {
      const g = growth(row.values[e]);
      const verdict = e.startsWith('ringfence') ? row.verdict : '';
      return [row.row, row.kind, e, ...sizeCells(row.values[e], notes), g === undefined ? '-' : ratioText(g), verdict];
    }),
  );
  return table(header, align, lines);
}

/** How many rows have which verdict, in words. */
export function tally(r: Results): string {
  const counts = new Map<string, number>();
  for (const row of r.groups.flatMap((g) => g.rows)) {
    const kind = row.verdict.split(' (')[0]!;
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return [...counts].map(([kind, n]) => `${n} ${kind}`).join(', ');
}

function machineText(m: Machine): string {
  return [
    `- processor: ${m.cpu}, ${m.cores} core${m.cores === 1 ? '' : 's'}${m.virtual ? ', a virtual machine' : ''}; ${format(m.memory, 'bytes')} of memory`,
    `- Linux ${m.kernel} on ${m.architecture}, node ${m.node}, runc ${m.runc}, runsc ${m.runsc}, ringfence ${m.ringfence}`,
    `- load average of the minute before: ${m.load.toFixed(2)}`,
  ].join('\n');
}

function noiseText(r: Results): string {
  const spreads = r.groups
    .flatMap((g) => g.rows)
    .map((row) => row.values['native']?.spread)
    .filter((s): s is number => s !== undefined && s > 0);
  if (spreads.length === 0) return 'Every row ran once: nothing is known about the noise.';
  const percent = (s: number): string => `${(s * 100).toFixed(0)} %`;
  return (
    `Noise: the host's own values moved by ${percent(median(spreads))} between runs in the middle of the rows and by ` +
    `${percent(Math.max(...spreads))} in the worst. Engines took turns, so that ratios suffer less than values; ` +
    'a ratio within 20 % of its goal may fall on either side in another run.'
  );
}

const EXPLANATION =
  'Values are medians of runs in which the engines took turns. `to native` is the time of ringfence on its default engine as a multiple of ' +
  'the host\'s (of runc\'s where "runc" stands behind it), `to runsc` as a share of the time of runsc on systrap; the goal stands in ' +
  'brackets. A number in brackets without a value names the reason below the table.';

/** Everything between the markers of docs/performance.md; also what the command prints. */
export function report(r: Results): string {
  const notes = new Footnotes();
  const absent = Object.entries(r.absent).map(([name, why]) => `- ${name} did not run: ${why}`);
  const parts = [
    `Made by \`${r.command}\` on ${r.date}; ${r.runs} run${r.runs === 1 ? '' : 's'}, fewer for rows that take long.`,
    [machineText(r.machine), ...absent].join('\n'),
    noiseText(r),
  ];
  if (r.groups.length > 0) parts.push(EXPLANATION, mainTable(r, notes), `Verdicts: ${tally(r)}.`);
  if (r.among.length > 0) {
    parts.push(
      'Calls among few and many of something, the best values. `growth` is the last column by the first; flat is a growth of at most ' +
        `${FLAT} times the host's own. [n]: the host allowed no more than n.`,
      sizeTable(r, r.among, notes),
    );
  }
  const reasons = notes.text();
  if (reasons !== '') parts.push(`Reasons:\n\n${reasons}`);
  return `${parts.join('\n\n')}\n`;
}
