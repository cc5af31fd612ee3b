// Measures rows inside a sandbox: one start for all of them, again without the ones that hung.

import { join } from 'node:path';
import type { Engine, Places } from './engines.ts';
import { guestName } from './rows.ts';
import { lastLine, run } from './run.ts';
import { parseLine, type Samples } from './samples.ts';

export interface Batch {
  by: 'guest' | 'programs';
  /** Identifiers of the rows; what stands before the @ is the name that the program knows. */
  rows: string[];
  /** Options of the C program. */
  options: string[];
  /** Milliseconds for each row of the C program. */
  ms: number;
  mean: boolean;
  oneCpu: boolean;
}

/** How long a row may take, in milliseconds. Making 10,000 threads or tasks around it belongs to it. */
const SILENCE = { guest: 30_000, programs: 120_000 };

/** The first processor that this process may use. */
async function firstCpu(): Promise<string> {
  let list = '0';
  await run(['sh', '-c', 'taskset -cp $$'], 5000, (text) => (list = /: (\d+)/.exec(text)?.[1] ?? '0'));
  return list;
}

function command(p: Places, engine: Engine, batch: Batch, names: string[]): string[] {
  const fixtures = join(p.dist, 'fixtures');
  const scratch = engine.scratch(p);
  if (batch.by === 'programs') return ['/bin/bash', join(p.root, 'bench/guest/programs.sh'), fixtures, scratch, ...names];
  const places = ['--fixtures', fixtures, '--scratch', scratch];
  return [join(p.dist, 'guest'), '--ms', `${batch.ms}`, ...places, ...batch.options, ...names];
}

/**
 * Measures the rows of a batch once in one engine; rows that were refused before are left out.
 * A sandbox that says nothing for too long is ended, the row that it was at is refused, and the others go on in a new one.
 */
export async function measureInside(p: Places, engine: Engine, batch: Batch, samples: Samples): Promise<void> {
  let left = batch.rows.filter((r) => !samples.refused(r, engine.name));
  const prefix = batch.oneCpu ? ['taskset', '-c', await firstCpu()] : [];
  while (left.length > 0) {
    const byName = new Map(left.map((r) => [guestName(r), r]));
    const done = new Set<string>();
    let made: number | undefined;
    const argv = [...prefix, ...engine.inside(p, command(p, engine, batch, [...byName.keys()]))];
    const outcome = await run(argv, SILENCE[batch.by], (text) => {
      const reported = parseLine(text);
      if (reported === undefined) return;
      if ('surrounding' in reported) {
        made = reported.made;
        return;
      }
      const id = byName.get(reported.row);
      if (id === undefined) return;
      done.add(id);
      if (made !== undefined) samples.cell(id, engine.name).made = made;
      made = undefined;
      if ('reason' in reported) samples.refuse(id, engine.name, reported.reason);
      else samples.add(id, engine.name, batch.mean ? reported.mean : reported.median, batch.mean ? reported.mean : reported.min);
    });
    left = left.filter((r) => !done.has(r));
    if (left.length === 0) return;
    const said = lastLine(outcome.complaint);
    const ended = `the sandbox ended with status ${outcome.status ?? 'none'}${said === '' ? '' : `: ${said}`}`;
    const why = outcome.late ? `hung for ${SILENCE[batch.by] / 1000} s` : ended;
    samples.refuse(left.shift()!, engine.name, why);
  }
}
