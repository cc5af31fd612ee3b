// ringfence compat table: every system call, how far it is supported, and what is missing.

import { CliError } from '../errors.ts';
import { print } from '../output.ts';
import { coloured, columns, counted } from './columns.ts';
import { matchesAny } from './patterns.ts';
import { EXIT_USAGE } from './status.ts';
import { SYSCALLS } from './syscalls.gen.ts';

export type Support = 'full' | 'partial' | 'none';

/** How a word for the support looks on a terminal. */
export const SUPPORT_STYLE: Record<Support, 'green' | 'yellow' | 'red'> = { full: 'green', partial: 'yellow', none: 'red' };

export interface TableRequest {
  format: 'text' | 'json' | 'markdown';
  /** Only these; none: all. */
  support: Support[];
  /** Names with * and ?, or numbers; none: all. */
  patterns: string[];
  env: Readonly<Record<string, string>>;
}

interface Row {
  number: number;
  name: string;
  support: Support;
  missing: string;
}

function chosen(r: TableRequest): Row[] {
  const rows = SYSCALLS.map(([number, name, support, missing]): Row => ({ number, name, support, missing }));
  for (const p of r.patterns) {
    if (!rows.some((row) => fits(p, row))) {
      throw new CliError(
        `compat table: no system call "${p}" (names take * and ?, as in '*xattr*'; numbers are those of x86-64)`,
        EXIT_USAGE,
      );
    }
  }
  return rows
    .filter((row) => r.support.length === 0 || r.support.includes(row.support))
    .filter((row) => r.patterns.length === 0 || r.patterns.some((p) => fits(p, row)));
}

function fits(pattern: string, row: Row): boolean {
  return /^\d+$/.test(pattern) ? row.number === Number(pattern) : matchesAny([pattern], row.name);
}

function sums(rows: readonly Row[]): { total: number; full: number; partial: number; none: number } {
  const n = (s: Support): number => rows.filter((row) => row.support === s).length;
  return { total: rows.length, full: n('full'), partial: n('partial'), none: n('none') };
}

function summary(rows: readonly Row[]): string {
  const s = sums(rows);
  return `${counted(s.total, 'system call')}: ${s.full} full, ${s.partial} partial, ${s.none} none`;
}

function markdown(rows: readonly Row[]): string {
  const lines = rows.map((r) => `| ${r.number} | ${r.name} | ${r.support} | ${r.missing.replaceAll('|', '\\|')} |\n`);
  return `| number | name | support | what is missing |\n| ---: | --- | --- | --- |\n${lines.join('')}\n${summary(rows)}\n`;
}

/** Prints the table; the exit status. */
export function printTable(r: TableRequest): number {
  const rows = chosen(r);
  if (r.format === 'json') print(`${JSON.stringify({ summary: sums(rows), syscalls: rows }, null, 2)}\n`);
  else if (r.format === 'markdown') print(markdown(rows));
  else {
    const heads = [
      { title: 'NUMBER', right: true },
      { title: 'NAME' },
      { title: 'SUPPORT', style: (cell: string) => SUPPORT_STYLE[cell as Support] },
      { title: 'WHAT IS MISSING' },
    ];
    const cells = rows.map((row) => [String(row.number), row.name, row.support, row.missing]);
    print(`${columns(heads, cells, coloured(1, r.env))}\n${summary(rows)}\n`);
  }
  return 0;
}
