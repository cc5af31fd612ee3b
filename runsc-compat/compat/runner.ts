// One program in one world: all its cases, also those behind one that hangs or crashes.

import { captured, decoded } from './capture.ts';
import { execute, type Outcome } from './execute.ts';
import * as gtest from './gtest.ts';
import type { CaseResult, Kind, Program, ProgramRun, Verdict } from './model.ts';
import type { Reader } from './reader.ts';
import { statusText } from './status.ts';
import * as tap from './tap.ts';
import { unsupportedIn, type World } from './worlds.ts';

/** The name of the one case of a program that tells of none, and of what a program does beside its cases. */
export const WHOLE = '(program)';
/** Starts that may end before the first case until it is given up. */
const FALSE_STARTS = 3;
/** Last lines of standard error that are shown as a reason. */
const LAST_LINES = 5;

export interface RunOptions {
  /** Milliseconds in which no case begins or ends. */
  limit: number;
  env: Readonly<Record<string, string>>;
  mark: string;
  /** Told when a case has begun (null) or ended. */
  onCase: (r: CaseResult | null) => void;
}

/** How a program told of its cases on the host. */
export interface Told {
  kind: Kind;
  cases: string[];
}

/** Some runs of a program that together are one. */
class Collected {
  readonly results: Map<string, CaseResult> = new Map();
  readonly unsupported: Set<string> = new Set();
  starts = 0;
  last: Outcome | null = null;
  private readonly world: World;
  private readonly program: Program;
  private readonly options: RunOptions;

  constructor(world: World, program: Program, options: RunOptions) {
    this.world = world;
    this.program = program;
    this.options = options;
  }

  /** Starts the program once, to its end. */
  async start(args: string[], reader: Reader): Promise<Outcome> {
    const { world, options } = this;
    let alive = (): void => {};
    reader.progress = (r) => {
      alive();
      options.onCase(r);
    };
    const outcome = await execute(
      {
        argv: world.command([this.program.path, ...args]),
        limit: options.limit,
        mark: options.mark,
        sandbox: world.sandbox,
        onOutput: (text) => reader.feed(text),
        onStart: (f) => (alive = f),
      },
      options.env,
    );
    reader.end();
    this.starts++;
    this.last = outcome;
    for (const u of unsupportedIn(outcome.log)) this.unsupported.add(u);
    return outcome;
  }

  without(name: string, why: string): void {
    this.results.set(name, { name, verdict: 'missing', detail: why, output: captured(''), milliseconds: 0 });
  }
}

/** The end of what a program said on standard error, on lines of their own. */
function lastWords(o: Outcome): string {
  const said = decoded(o.stderr.text).trim().split('\n').slice(-LAST_LINES).join('\n');
  return said === '' ? '' : `\n${said}`;
}

/** How a program ended that had more to say. */
function ending(o: Outcome): { verdict: Verdict; detail: string } {
  if (o.status === null) return { verdict: 'hang', detail: `no sign of life within the time limit${lastWords(o)}` };
  return { verdict: 'crash', detail: `the program ended here: ${statusText(o.status)}${lastWords(o)}` };
}

function plainResult(name: string, o: Outcome): CaseResult {
  const verdict: Verdict = o.status === null ? 'hang' : o.status === 0 ? 'pass' : o.status > 128 ? 'crash' : 'fail';
  const why = verdict === 'hang' ? 'no end within the time limit' : statusText(o.status);
  return { name, verdict, detail: verdict === 'pass' ? '' : why + lastWords(o), output: o.stdout, milliseconds: o.milliseconds };
}

/** Runs a program; `told`: what it told on the host, null there. */
export async function runProgram(world: World, program: Program, told: Told | null, o: RunOptions): Promise<ProgramRun> {
  const c = new Collected(world, program, o);
  const began = performance.now();
  let kind = told?.kind ?? program.kind;
  let cases: CaseResult[];
  if (program.cases !== null) {
    await runChosen(program, program.cases, c);
    cases = program.cases.map((name) => c.results.get(name) as CaseResult);
  } else {
    const reader = new tap.TapReader();
    const outcome = await c.start(program.args, reader);
    if (kind === 'tap' || (told === null && reader.speaks)) {
      kind = 'tap';
      takeAll(reader, told?.cases ?? [], outcome, c);
      cases = [...c.results.values()];
    } else cases = [plainResult(WHOLE, outcome)];
  }
  if (kind !== 'plain') cases.push(...beside(cases, c));
  const nothing = captured('');
  return {
    world: world.name,
    kind,
    cases,
    starts: c.starts,
    status: c.last === null ? 0 : c.last.status,
    stdout: c.last?.stdout ?? nothing,
    stderr: c.last?.stderr ?? nothing,
    unsupported: [...c.unsupported].sort(),
    milliseconds: performance.now() - began,
  };
}

/** What a program does beside its cases: it may fail though each of them passes. */
function beside(cases: readonly CaseResult[], c: Collected): CaseResult[] {
  if (c.last === null || c.last.status === 0) return [];
  if (cases.some((r) => r.verdict !== 'pass' && r.verdict !== 'skip')) return [];
  const r = plainResult(WHOLE, c.last);
  return [{ ...r, output: captured(''), detail: `no case fails, and then: ${r.detail}` }];
}

/** Cases that can be chosen: goes on behind each that hangs or crashes. */
async function runChosen(program: Program, all: readonly string[], c: Collected): Promise<void> {
  const form = program.kind === 'gtest' ? gtest : tap;
  let falseStarts = 0;
  let rest = [...all];
  while (rest.length > 0) {
    const chosen = form.chooseArguments(program.args, rest.length === all.length && program.whole ? null : rest);
    const gtestReader = new gtest.GtestReader();
    const tapReader = new tap.TapReader();
    const reader = program.kind === 'gtest' ? gtestReader : tapReader;
    const outcome = await c.start(chosen.args, reader);
    const due = rest.slice(0, chosen.count);
    for (const r of reader.results.splice(0)) if (due.includes(r.name) && !c.results.has(r.name)) c.results.set(r.name, r);
    const open = due.filter((name) => !c.results.has(name));
    const reached = open.length < due.length || gtestReader.current !== null || tapReader.plan >= 0;
    if (!reached) falseStarts++;
    if (open.length > 0) breakOff(reader, open, outcome, falseStarts, c);
    rest = rest.filter((name) => !c.results.has(name));
  }
}

/** A start of the program left cases without a verdict. Gives one to the case that it ended in, or to all. */
function breakOff(reader: Reader, open: readonly string[], outcome: Outcome, falseStarts: number, c: Collected): void {
  const running = reader.current;
  if (reader instanceof gtest.GtestReader && running === null && outcome.status !== null && outcome.status < 128 && reader.complete) {
    for (const name of open) c.without(name, 'the program did not run it');
    return;
  }
  // TAP names a case only at its end; a GoogleTest program may also end while it prepares a suite.
  const name = running !== null && open.includes(running) ? running : (open[0] as string);
  const { verdict, detail } = ending(outcome);
  c.results.set(name, reader.broken(name, verdict, detail));
  if (falseStarts < FALSE_STARTS) return;
  for (const other of open.slice(1)) c.without(other, `given up: the program ends before its first case (${statusText(outcome.status)})`);
}

/** Cases that cannot be chosen: those behind a hang or crash did not run. */
function takeAll(reader: tap.TapReader, expected: readonly string[], outcome: Outcome, c: Collected): void {
  for (const r of reader.results) c.results.set(r.name, r);
  const seen = reader.results.length;
  if (reader.skipped !== null) {
    const output = captured('');
    c.results.set(WHOLE, { name: WHOLE, verdict: 'skip', detail: reader.skipped, output, milliseconds: outcome.milliseconds });
  }
  const open = expected.filter((name) => !c.results.has(name) && name !== WHOLE);
  const short = reader.plan >= 0 ? reader.plan - seen : open.length;
  if (short > 0 || outcome.status === null) {
    const { verdict, detail } = ending(outcome);
    const name = short > 0 ? (open.shift() ?? `test ${seen + 1}`) : WHOLE;
    c.results.set(name, reader.broken(name, verdict, detail));
  }
  for (const name of open)
    c.without(name, short > 0 ? 'the program ended before, and cannot begin behind that' : 'the program did not name it');
}
