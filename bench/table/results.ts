// Results as they are kept in docs/performance.json, and the verdicts on them.

import type { Machine } from './machine.ts';
import { type Group, type Row, sizeId, sizes, surroundings } from './rows.ts';
import type { Cell, Samples } from './samples.ts';
import { median, spread, type Unit } from './stats.ts';

export interface Value {
  /** The median of the runs, of the second table the best, in the row's unit; missing where there is a reason. */
  value?: number;
  /** The best of all batches of all runs. */
  best?: number;
  /** Why there is none. */
  reason?: string;
  /** How far the runs lay apart, as a part of the median. */
  spread?: number;
  /** How many there were around, where the host gave fewer than were asked for. */
  made?: number;
}

export interface ResultRow {
  id: string;
  title: string;
  unit: Unit;
  base: Row['base'];
  goal?: number;
  runscGoal?: number;
  limit?: number;
  /** By the names of the engines. */
  values: Record<string, Value>;
  toBase?: number;
  toRunsc?: number;
  /** The verdict on the default engine. */
  verdict: string;
}

export interface SizeRow {
  row: string;
  kind: string;
  /** By engine: values at each size. */
  values: Record<string, Value[]>;
  verdict: string;
}

export interface Results {
  command: string;
  date: string;
  runs: number;
  machine: Machine;
  /** Names of the engines, in the order of the columns. */
  engines: string[];
  /** Engines that could not run at all, and why. */
  absent: Record<string, string>;
  groups: { name: string; rows: ResultRow[] }[];
  sizes: number[];
  among: SizeRow[];
}

function valueFrom(cell: Cell, absent: string | undefined, statistic: (c: Cell) => number = (c) => median(c.values)): Value {
  if (absent !== undefined) return { reason: absent };
  if (cell.values.length === 0) return { reason: cell.reason ?? 'not measured' };
  const v: Value = { value: statistic(cell), best: cell.best, spread: Math.round(spread(cell.values) * 1000) / 1000 };
  if (cell.made !== undefined) v.made = cell.made;
  return v;
}

/** What is to be said of a row: which of its goals were met, and which could not be looked at. */
export function judge(row: Row, ours: number | undefined, toBase: number | undefined, toRunsc: number | undefined): string {
  if (ours === undefined) return 'not measured';
  const missed: string[] = [];
  let looked = 0;
  const look = (actual: number | undefined, goal: number | undefined, name: string): void => {
    if (goal === undefined || actual === undefined) return;
    looked++;
    if (actual > goal) missed.push(name);
  };
  look(toBase, row.goal, row.base);
  look(toRunsc, row.runscGoal, 'runsc');
  look(ours, row.limit, 'limit');
  if (looked === 0) return 'not comparable';
  return missed.length === 0 ? 'met' : `missed (${missed.join(', ')})`;
}

function divided(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined || b === 0 ? undefined : a / b;
}

export interface Naming {
  engines: string[];
  absent: Record<string, string>;
  /** The engine that the verdicts are on, and the one of gVisor's that goals name. */
  ours: string;
  runsc: string;
}

/** Makes the result of a row of its samples. */
export function resultRow(row: Row, samples: Samples, n: Naming): ResultRow {
  const values: Record<string, Value> = {};
  for (const e of n.engines) values[e] = valueFrom(samples.cell(row.id, e), n.absent[e]);
  const ours = values[n.ours]?.value;
  const toBase = divided(ours, values[row.base]?.value);
  const toRunsc = divided(ours, values[n.runsc]?.value);
  const { id, title, unit, base, goal, runscGoal, limit } = row;
  return { id, title, unit, base, goal, runscGoal, limit, values, toBase, toRunsc, verdict: judge(row, ours, toBase, toRunsc) };
}

export function resultGroups(groups: readonly Group[], samples: Samples, n: Naming): Results['groups'] {
  return groups.map((g) => ({ name: g.name, rows: g.rows.map((r) => resultRow(r, samples, n)) }));
}

/** A cost is flat if it grows at most so much more than the host's own between the smallest and the largest size. */
export const FLAT = 1.5;

/** What is to be said of the growth of a cost: of ours, and of the host's. */
export function judgeGrowth(ours: number | undefined, native: number | undefined): string {
  if (ours === undefined) return 'not measured';
  return ours <= FLAT * Math.max(1, native ?? 1) ? 'flat' : 'grows';
}

export function growth(values: readonly Value[] | undefined): number | undefined {
  return divided(values?.at(-1)?.value, values?.[0]?.value);
}

/** The host's growth as far as we could follow: where we were allowed fewer than the host had, its share of it. */
function comparable(native: readonly Value[] | undefined, ours: readonly Value[] | undefined): number | undefined {
  const whole = growth(native);
  const largest = sizes.at(-1)!;
  const had = native?.at(-1)?.made ?? largest;
  const made = ours?.at(-1)?.made ?? largest;
  return whole === undefined || made >= had ? whole : 1 + ((whole - 1) * made) / had;
}

/** The second table. It compares best values: a growth is told from noise better by them. */
export function resultSizes(samples: Samples, n: Naming): SizeRow[] {
  return surroundings.flatMap(({ kind, title, rows }) =>
    rows.map((row) => {
      const values: Record<string, Value[]> = {};
      for (const e of n.engines)
        values[e] = sizes.map((size) => valueFrom(samples.cell(sizeId(row, kind, size), e), n.absent[e], (c) => c.best));
      return { row, kind: title, values, verdict: judgeGrowth(growth(values[n.ours]), comparable(values['native'], values[n.ours])) };
    }),
  );
}
