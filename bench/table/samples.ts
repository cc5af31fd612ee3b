// What was measured: for each row and engine the value of each run, or why there is none.

/** One line that the program in the sandbox printed. */
export type Reported =
  | { row: string; min: number; median: number; mean: number }
  | { row: string; reason: string }
  | { surrounding: string; made: number };

/** Reads a line of the guest program or of programs.sh; undefined for anything else that a program may have printed. */
export function parseLine(text: string): Reported | undefined {
  const surrounding = /^# (\w+) (\d+)$/.exec(text);
  if (surrounding !== null) return { surrounding: surrounding[1]!, made: Number(surrounding[2]) };
  const failed = /^([a-z0-9_-]+) ! (.*)$/.exec(text);
  if (failed !== null) return { row: failed[1]!, reason: failed[2]! };
  const values = /^([a-z0-9_-]+) ([\d.]+) ([\d.]+) ([\d.]+)$/.exec(text);
  if (values === null) return undefined;
  return { row: values[1]!, min: Number(values[2]), median: Number(values[3]), mean: Number(values[4]) };
}

export interface Cell {
  /** The statistic that the row is judged by, of each run. */
  values: number[];
  /** The best of all, for comparisons on a machine with other things to do. */
  best: number;
  /** Why there is no value. */
  reason?: string;
  /** How many there were around, where the host gave fewer than were asked for. */
  made?: number;
}

export class Samples {
  private readonly cells = new Map<string, Cell>();

  /** The cell of a row and an engine, empty if nothing was measured yet. */
  cell(row: string, engine: string): Cell {
    const key = `${row}\n${engine}`;
    let c = this.cells.get(key);
    if (c === undefined) this.cells.set(key, (c = { values: [], best: Number.POSITIVE_INFINITY }));
    return c;
  }

  add(row: string, engine: string, value: number, best: number = value): void {
    const c = this.cell(row, engine);
    c.values.push(value);
    c.best = Math.min(c.best, best);
  }

  /** Notes why a row has no value; a row that failed once is not tried again. */
  refuse(row: string, engine: string, reason: string): void {
    this.cell(row, engine).reason ??= reason;
  }

  refused(row: string, engine: string): boolean {
    return this.cell(row, engine).reason !== undefined;
  }
}
