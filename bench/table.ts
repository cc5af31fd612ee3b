// One table over the host, runc, runsc and ringfence. Run: npm run bench, which starts it below bench/host/keeper.c.

import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { type Engine, engines, OURS, type Places, RUNSC } from './table/engines.ts';
import { makeFixtures } from './table/fixtures.ts';
import { discardAll } from './table/life.ts';
import { json, keep, readKept } from './table/kept.ts';
import { thisMachine } from './table/machine.ts';
import { measureGroup, measureSizes, type Plan } from './table/measure.ts';
import { merge } from './table/merge.ts';
import { help, type Options, parseOptions } from './table/options.ts';
import { compare, type Comparison, FACTOR } from './table/quick.ts';
import { report, table } from './table/report.ts';
import { type Naming, type Results, resultGroups, resultSizes } from './table/results.ts';
import { type Group, groups, sizes } from './table/rows.ts';
import { Samples } from './table/samples.ts';
import { ratioText } from './table/stats.ts';

/** What the command line calls the second table. */
const SIZES = 'sizes';

/** How often a suspicious row is measured again before it counts. */
const AGAIN = 3;

const progress = (text: string): void => {
  process.stderr.write(`bench: ${text}\n`);
};

class Mistake extends Error {}

/** Groups with only the rows that were asked for. */
function chosenGroups(o: Options): Group[] {
  const all = groups.flatMap((g) => g.rows.map((r) => r.id));
  for (const r of o.rows) if (r !== SIZES && !all.includes(r)) throw new Mistake(`no row '${r}'; --list names them`);
  const wanted = (id: string): boolean => o.rows.length === 0 || o.rows.includes(id);
  return groups.map((g) => ({ ...g, rows: g.rows.filter((r) => wanted(r.id) && (!o.quick || r.quick)) })).filter((g) => g.rows.length > 0);
}

function chosenEngines(names: readonly string[]): Engine[] {
  for (const n of names) if (!engines.some((e) => e.name.startsWith(n))) throw new Mistake(`no engine '${n}'; --list names them`);
  return engines.filter((e) => names.some((n) => e.name.startsWith(n)));
}

function listing(): string {
  const rows = groups.flatMap((g) => g.rows.map((r) => [r.id, g.name, r.title, r.quick ? 'quick' : '']));
  rows.push([SIZES, 'among many', 'the second table: calls among few and many', '']);
  const head = table(['row', 'group', 'what', ''], ['left', 'left', 'left', 'left'], rows);
  return `${head}\n\nengines: ${engines.map((e) => e.name).join(', ')}\n`;
}

function places(root: string): Places {
  const work = mkdtempSync(join(tmpdir(), 'ringfence-bench-'));
  let memory = '/dev/shm';
  try {
    accessSync(memory, constants.W_OK);
  } catch {
    progress('there is no /dev/shm to write to: native rows that write use the folder for temporary files');
    memory = tmpdir();
  }
  return { root, dist: join(root, 'dist/bench'), work, nativeScratch: mkdtempSync(join(memory, 'ringfence-bench-')) };
}

/** The engines of the second table: what it counts is the kernels' doing, not that of who traps calls. */
const AMONG = ['native', RUNSC, OURS];

/** Splits engines into those that run here, and the reasons of the others. */
function present(p: Places, wanted: Engine[]): { here: Engine[]; absent: Record<string, string> } {
  const here: Engine[] = [];
  const absent: Record<string, string> = {};
  for (const e of wanted) {
    const why = e.absent(p);
    if (why === undefined) here.push(e);
    else absent[e.name] = why;
  }
  return { here, absent };
}

function commandLine(args: string[]): string {
  const quoted = args.map((a) => (/^[\w@=,./-]+$/.test(a) ? a : `'${a.replaceAll("'", "'\\''")}'`));
  return ['npm run bench', ...(quoted.length > 0 ? ['--'] : []), ...quoted].join(' ');
}

async function full(p: Places, o: Options): Promise<number> {
  const wanted = o.engines === undefined ? [...engines] : chosenEngines(o.engines);
  const { here, absent } = present(p, wanted);
  const machine = thisMachine(p.root);
  const plan: Plan = { engines: here, runs: o.runs, ms: 150, progress };
  const samples = new Samples();
  const chosen = chosenGroups(o);
  for (const g of chosen) {
    const rows = g.rows.map((r) => r.id);
    await measureGroup(p, plan, g, rows, samples);
  }
  const withSizes = o.rows.length === 0 || o.rows.includes(SIZES);
  if (withSizes) await measureSizes(p, { ...plan, engines: here.filter((e) => AMONG.includes(e.name)) }, samples);
  const naming: Naming = { engines: wanted.map((e) => e.name), absent, ours: OURS, runsc: RUNSC };
  const among = { ...naming, engines: naming.engines.filter((e) => AMONG.includes(e)) };
  const results: Results = {
    command: commandLine(process.argv.slice(3)),
    date: new Date().toISOString().slice(0, 16).replace('T', ' '),
    runs: o.runs,
    machine,
    engines: naming.engines,
    absent,
    groups: resultGroups(chosen, samples, naming),
    sizes: [...sizes],
    among: withSizes ? resultSizes(samples, among) : [],
  };
  // First of all, so that nothing that goes wrong with the rest costs another half hour.
  writeFileSync(join(p.dist, 'last.json'), json(results));
  process.stdout.write(`\n${report(results)}`);
  if (o.json !== undefined) writeFileSync(resolve(o.json), json(results));
  const complete = o.rows.length === 0 && o.engines === undefined;
  if (complete || o.keep) {
    const kept = complete ? undefined : readKept(p.root);
    keep(p.root, kept === undefined ? results : merge(kept, results, { ours: OURS, runsc: RUNSC }));
    progress('kept in docs/performance.md and docs/performance.json');
  }
  return 0;
}

function comparisonTable(comparisons: Comparison[]): string {
  const lines = comparisons.map((c) => [
    c.row.id,
    c.ratio === undefined ? '-' : ratioText(c.ratio),
    c.kept === undefined ? '-' : ratioText(c.kept),
    c.worse ? `WORSE than ${FACTOR} times the kept ratio` : c.ratio === undefined ? c.reason! : c.kept === undefined ? 'none kept' : 'good',
  ]);
  return table(['row', 'now', 'kept', ''], ['left', 'right', 'right', 'left'], lines);
}

/** Measures the cheap rows and compares with what is kept; what looks bad is measured again before it counts. */
async function quick(p: Places, o: Options): Promise<number> {
  const kept = readKept(p.root);
  if (kept === undefined) throw new Mistake('there is no docs/performance.json to compare with; npm run bench makes it');
  const start = Date.now();
  const chosen = chosenGroups(o);
  const samples = new Samples();
  const measure = async (g: Group, rows: string[], runs: number, ms: number): Promise<void> => {
    const { here, absent } = present(
      p,
      [...new Set(['native', ...g.rows.map((r) => r.base), OURS])].flatMap((n) => chosenEngines([n])),
    );
    for (const [name, why] of Object.entries(absent)) for (const r of rows) samples.refuse(r, name, why);
    const ofRow = (e: Engine): boolean => e.name === OURS || g.rows.some((r) => r.base === e.name);
    const plan: Plan = { engines: here.filter(ofRow), runs, ms, progress };
    await measureGroup(p, plan, { ...g, maxRuns: runs }, rows, samples);
  };
  for (const g of chosen) {
    const rows = g.rows.map((r) => r.id);
    await measure(g, rows, g.by === 'programs' ? 1 : o.runs, 40);
  }
  const worse = (g: Group): string[] => g.rows.filter((r) => compare(r, samples, kept, OURS).worse).map((r) => r.id);
  for (let again = 1; again <= AGAIN; again++) {
    // What disturbs may pass.
    if (chosen.some((g) => worse(g).length > 0)) await setTimeout(again * 1500);
    for (const g of chosen) {
      const suspicious = worse(g);
      if (suspicious.length === 0) continue;
      progress(`measuring again (${again} of ${AGAIN}): ${suspicious.join(' ')}`);
      await measure(g, suspicious, g.by === 'life' ? 4 : 2, 80);
    }
  }
  const comparisons = chosen.flatMap((g) => g.rows).map((r) => compare(r, samples, kept, OURS));
  const bad = comparisons.filter((c) => c.worse);
  process.stdout.write(
    `\nRatios of ${OURS} to the host (life cycle: to runc), best of all rounds, beside the kept ones. Load average: ${loadavg()[0]!.toFixed(2)}.\n\n`,
  );
  process.stdout.write(`${comparisonTable(comparisons)}\n\n${((Date.now() - start) / 1000).toFixed(0)} s; `);
  process.stdout.write(bad.length === 0 ? 'no row is worse\n' : `worse: ${bad.map((c) => c.row.id).join(' ')}\n`);
  return bad.length === 0 ? 0 : 1;
}

async function main(): Promise<number> {
  let o: Options;
  try {
    o = parseOptions(process.argv.slice(3));
  } catch (e) {
    throw new Mistake((e as Error).message);
  }
  if (o.help || o.list) {
    process.stdout.write(o.help ? help : listing());
    return 0;
  }
  const p = places(process.argv[2]!);
  // At the end of the process, so that it happens after an interruption too; what still runs is killed by the keeper.
  process.on('exit', () => {
    discardAll();
    for (const dir of [p.nativeScratch, p.work]) rmSync(dir, { recursive: true, force: true });
  });
  makeFixtures(p);
  return o.quick ? await quick(p, o) : await full(p, o);
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(130));

try {
  process.exitCode = await main();
} catch (e) {
  if (!(e instanceof Mistake)) throw e;
  process.stderr.write(`bench: ${e.message}\n`);
  process.exitCode = 2;
}
