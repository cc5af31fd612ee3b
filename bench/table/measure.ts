// Measures groups of rows in several engines, in turns: a disturbance of the machine then meets all of them.

import type { Engine, Places } from './engines.ts';
import { type Batch, measureInside } from './inside.ts';
import { lifeLeader, measureLife } from './life.ts';
import { type Group, type Surrounding, sizeId, sizes, surroundings } from './rows.ts';
import { Samples } from './samples.ts';

export interface Plan {
  engines: readonly Engine[];
  /** How many rounds; groups that take long have fewer. */
  runs: number;
  /** Milliseconds for each row of the C program. */
  ms: number;
  progress(text: string): void;
}

const seconds = (since: number): string => ((Date.now() - since) / 1000).toFixed(1);

/** Calls `measure` for every engine in every round; each round begins with another engine. */
async function rounds(plan: Plan, name: string, runs: number, measure: (e: Engine) => Promise<void>): Promise<void> {
  for (let round = 0; round < runs; round++) {
    for (let i = 0; i < plan.engines.length; i++) {
      const engine = plan.engines[(i + round) % plan.engines.length]!;
      const start = Date.now();
      await measure(engine);
      plan.progress(`${name}: run ${round + 1} of ${runs}, ${engine.name}: ${seconds(start)} s`);
    }
  }
}

/** Measures the named rows of a group. */
export async function measureGroup(p: Places, plan: Plan, group: Group, rows: string[], samples: Samples): Promise<void> {
  const runs = Math.min(plan.runs, group.maxRuns ?? plan.runs);
  if (group.by === 'life') {
    const leaders = [...new Set(rows.map(lifeLeader))];
    await rounds(plan, group.name, runs, async (engine) => {
      for (const row of leaders) if (!samples.refused(row, engine.name)) await measureLife(p, engine, row, samples);
    });
    return;
  }
  const batch: Batch = {
    by: group.by,
    rows,
    options: group.options ?? [],
    ms: group.ms ?? plan.ms,
    mean: group.mean === true,
    oneCpu: group.oneCpu === true,
  };
  if (group.by === 'programs' && plan.engines.length > 0) {
    // Otherwise the first engine of the first round would be the one to read programs and fixtures from the disk.
    await measureInside(p, plan.engines[0]!, batch, new Samples());
  }
  await rounds(plan, group.name, runs, (engine) => measureInside(p, engine, batch, samples));
}

function surroundingOptions(p: Places, kind: Surrounding['kind'], n: number): string[] {
  return kind === 'names' ? ['--crowd', `${p.dist}/fixtures/names-${n}`] : [`--${kind}`, `${n}`];
}

/** Measures the rows of the second table: calls among few and many. */
export async function measureSizes(p: Places, plan: Plan, samples: Samples): Promise<void> {
  for (const { kind, title, rows } of surroundings) {
    await rounds(plan, `among many: ${title}`, Math.min(plan.runs, 2), async (engine) => {
      for (const n of sizes) {
        const ids = rows.map((r) => sizeId(r, kind, n));
        const options = surroundingOptions(p, kind, n);
        await measureInside(p, engine, { by: 'guest', rows: ids, options, ms: 60, mean: false, oneCpu: false }, samples);
      }
    });
  }
}
