// ringfence compat run: programs on the host and in sandboxes, and what differs.

import { randomBytes } from 'node:crypto';
import { constants } from 'node:os';
import { CliError } from '../errors.ts';
import { print } from '../output.ts';
import { coloured } from './columns.ts';
import { compare, fails } from './compare.ts';
import { execute, stopAll } from './execute.ts';
import type { Comparison, Kind, Program, ProgramRun } from './model.ts';
import { openProgram } from './programs.ts';
import { Progress } from './progress.ts';
import { jsonReport, junitReport, tapReport } from './report-files.ts';
import { textReport } from './report-text.ts';
import { runProgram, WHOLE } from './runner.ts';
import { EXIT_FAILS, EXIT_USAGE } from './status.ts';
import { HOST, platformWorld, type World } from './worlds.ts';

export interface RunRequest {
  /** Words of the command line that name programs. */
  programs: string[];
  args: string[];
  platforms: string[];
  jobs: number;
  /** Milliseconds. */
  limit: number;
  format: 'text' | 'tap' | 'junit' | 'json';
  kind: Kind | 'auto';
  patterns: string[];
  strict: boolean;
  quiet: boolean;
  /** The caller's. */
  env: Readonly<Record<string, string>>;
  /** bin/ringfence, and options for it that stand before the command. */
  ringfence: string;
  options: string[];
}

/** A program that is nowhere. */
const PROBE = '/.ringfence-compat-probe';

/** At most `n` things at a time. */
class Slots {
  private free: number;
  private readonly waiting: (() => void)[] = [];

  constructor(n: number) {
    this.free = n;
  }

  async use<T>(work: () => Promise<T>): Promise<T> {
    if (this.free === 0) await new Promise<void>((go) => this.waiting.push(go));
    else this.free--;
    try {
      return await work();
    } finally {
      const next = this.waiting.shift();
      if (next === undefined) this.free++;
      else next();
    }
  }
}

/** A sandbox that cannot be made is told of once and before anything is run. */
async function probe(world: World, r: RunRequest): Promise<void> {
  const mark = randomBytes(8).toString('hex');
  const outcome = await execute({ argv: world.command([PROBE]), limit: r.limit, mark, sandbox: true }, r.env);
  // There is no such program inside: the sandbox was there, and says so with the status of a shell.
  if (outcome.status === 125 || outcome.status === null) {
    const why = outcome.stderr.text
      .trim()
      .replace(/^ringfence: /gm, '')
      .replaceAll('\n', '; ');
    throw new CliError(`compat run: platform ${world.name} cannot be used here: ${why || 'no answer within the time limit'}`, EXIT_USAGE);
  }
}

/** Signals end what runs, and then this command. */
function endWithSignals(progress: Progress): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      progress.clear();
      stopAll()
        .then(() => process.exit(128 + constants.signals[signal]))
        .catch(() => process.exit(EXIT_USAGE));
    });
  }
}

/** Runs it all; the exit status. */
export async function runCompat(r: RunRequest): Promise<number> {
  const programs: Program[] = [];
  for (const word of r.programs) programs.push(await openProgram(word, r, r.env));
  const worlds = r.platforms.map((name) => platformWorld(r.ringfence, name, r.options));
  for (const world of worlds) await probe(world, r);
  const progress = new Progress(programs.length * (worlds.length + 1), r.quiet);
  endWithSignals(progress);
  const slots = new Slots(r.jobs);
  const all = await Promise.all(programs.map((p) => runEverywhere(p, worlds, slots, progress, r)));
  progress.clear();
  report(all.flat(), worlds, r);
  return all.flat().some((c) => fails(c, r.strict)) ? EXIT_FAILS : 0;
}

/** A program on the host, then on all platforms. */
async function runEverywhere(p: Program, worlds: World[], slots: Slots, progress: Progress, r: RunRequest): Promise<Comparison[]> {
  const mark = randomBytes(8).toString('hex');
  const run = (world: World, host: ProgramRun | null): Promise<ProgramRun> =>
    slots.use(async () => {
      progress.began(p.name, world.name);
      const told = host === null ? null : { kind: host.kind, cases: host.cases.map((c) => c.name) };
      const onCase = progress.caseEnded.bind(progress, p.name, world.name);
      const done = await runProgram(world, p, told, { limit: r.limit, env: r.env, mark, onCase });
      progress.ended(p.name, done);
      return done;
    });
  const host = await run(HOST, null);
  const inside = await Promise.all(worlds.map((w) => run(w, host)));
  return inside.map((i) => compare(p, host, i, WHOLE));
}

function report(all: Comparison[], worlds: World[], r: RunRequest): void {
  if (r.format === 'text') print(textReport(all, worlds, coloured(1, r.env)));
  else if (r.format === 'tap') print(tapReport(all, r.strict));
  else if (r.format === 'junit') print(junitReport(all, r.strict));
  else print(jsonReport(all, r.strict));
}
