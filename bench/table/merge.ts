// Some rows or engines measured anew, put into the kept results.

import { judge, type ResultRow, type Results } from './results.ts';
import type { Row } from './rows.ts';

/** A kept row with the values of a new one; the ratios and the verdict are made anew from all of them. */
function mergeRow(kept: ResultRow, fresh: ResultRow, names: { ours: string; runsc: string }): ResultRow {
  const values = { ...kept.values, ...fresh.values };
  const ours = values[names.ours]?.value;
  const over = (name: string): number | undefined => {
    const v = values[name]?.value;
    return ours === undefined || v === undefined || v === 0 ? undefined : ours / v;
  };
  const toBase = over(fresh.base);
  const toRunsc = over(names.runsc);
  const row: Row = { ...fresh, quick: false };
  return { ...fresh, values, toBase, toRunsc, verdict: judge(row, ours, toBase, toRunsc) };
}

/**
 * The kept results with the fresh ones in their places. What was not measured anew stays; the machine, the date and the command are those
 * of the kept ones, with the fresh command noted behind.
 */
export function merge(kept: Results, fresh: Results, names: { ours: string; runsc: string }): Results {
  const freshRows = new Map(fresh.groups.flatMap((g) => g.rows).map((r) => [r.id, r]));
  const groups = kept.groups.map((g) => ({
    name: g.name,
    rows: g.rows.map((r) => {
      const f = freshRows.get(r.id);
      freshRows.delete(r.id);
      return f === undefined ? r : mergeRow(r, f, names);
    }),
  }));
  // Rows that did not exist when the others were kept.
  for (const g of fresh.groups) {
    const rows = g.rows.filter((r) => freshRows.has(r.id));
    if (rows.length === 0) continue;
    const there = groups.find((k) => k.name === g.name);
    if (there === undefined) groups.push({ name: g.name, rows });
    else there.rows.push(...rows);
  }
  return {
    ...kept,
    command: kept.command.includes(fresh.command) ? kept.command : `${kept.command}, then ${fresh.command}`,
    engines: [...new Set([...kept.engines, ...fresh.engines])],
    absent: { ...Object.fromEntries(Object.entries(kept.absent).filter(([name]) => !fresh.engines.includes(name))), ...fresh.absent },
    groups,
    among: fresh.among.some((r) => Object.keys(r.values).length > 0) ? fresh.among : kept.among,
  };
}
