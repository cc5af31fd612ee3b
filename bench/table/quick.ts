// --quick: whether a row has become worse than twice its kept ratio.

import type { Results } from './results.ts';
import type { Row } from './rows.ts';
import type { Samples } from './samples.ts';

/** A row may be so many times worse than its kept ratio. */
export const FACTOR = 2;

export interface Comparison {
  row: Row;
  /** Of the best values of all rounds; undefined if one side has none. */
  ratio: number | undefined;
  /** Undefined if none is kept. */
  kept: number | undefined;
  /** Why there is no ratio. */
  reason: string | undefined;
  worse: boolean;
}

/**
 * The kept ratio of a row in one engine, undefined if none is kept: that of the medians or that of the best values, whichever is higher.
 * A disturbance while they were measured can have spoilt either, and must not make later runs look worse than they are.
 */
export function keptRatio(kept: Results | undefined, row: Row, engine: string): number | undefined {
  const found = kept?.groups.flatMap((g) => g.rows).find((r) => r.id === row.id);
  const ours = found?.values[engine];
  const base = found?.values[row.base];
  if (ours?.value === undefined || !base?.value) return undefined;
  const medians = ours.value / base.value;
  return ours.best === undefined || !base.best ? medians : Math.max(medians, ours.best / base.best);
}

/**
 * Compares the best values with the kept ratio. A row that has a kept ratio and no value in ringfence any more counts as worse;
 * one whose base cannot run here does not.
 */
export function compare(row: Row, samples: Samples, kept: Results | undefined, engine: string): Comparison {
  const ours = samples.cell(row.id, engine);
  const base = samples.cell(row.id, row.base);
  const keptValue = keptRatio(kept, row, engine);
  const both = ours.values.length > 0 && base.values.length > 0;
  const ratio = both ? ours.best / base.best : undefined;
  const reason = both ? undefined : ours.values.length === 0 ? (ours.reason ?? 'not measured') : (base.reason ?? 'not measured');
  const lost = ours.values.length === 0 && base.values.length > 0;
  const worse = keptValue !== undefined && (ratio === undefined ? lost : ratio > FACTOR * keptValue);
  return { row, ratio, kept: keptValue, reason, worse };
}
