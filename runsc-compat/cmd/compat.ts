// ringfence compat: how far the kernel surface goes, and whether programs see a difference.

import { closeSync, openSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { O_CLOEXEC } from '../../src/abi/fcntl.ts';
import type { RunRequest } from '../compat/run.ts';
import type { Support, TableRequest } from '../compat/table.ts';
import type { TraceRequest } from '../compat/trace.ts';
import { EXIT_USAGE } from '../compat/status.ts';
import { type GlobalOptions, networkKind } from '../context.ts';
import { CliError, codeOf, EXIT_OWN } from '../errors.ts';
import { callerEnvironment, check, host, installDir } from '../host.ts';
import { chooseEngine, platformName } from '../platforms.ts';
import { type DoOptions, doOptions, runDo } from './do.ts';

interface RunOptions {
  platform: string[];
  jobs: number;
  timeout: number;
  format: RunRequest['format'];
  kind: RunRequest['kind'];
  case: string[];
  args: string;
  strict?: boolean;
  quiet?: boolean;
}

const RUN_HELP = `
Each PROGRAM is a path, or a name that is found in $PATH; --args gives all of them the same arguments.

How a program tells of its cases:
  gtest   GoogleTest: found by what is in its file, asked with --gtest_list_tests, resumed with --gtest_filter
  tap     it prints TAP; one that knows --list (names, one a line) and --only NAME (repeatable) can be resumed
  plain   any other: its exit status, and what it prints

Each program runs on the host first, then as by \`ringfence do\` on each platform: it sees the host's files, what it writes there is kept
in memory. A program in which no case begins or ends for --timeout seconds is ended, and started again with the cases behind that one;
so is one that crashes. A case that does not pass on the host says nothing about the sandbox. Unsupported calls and options that a
program asked for are named; \`ringfence compat table\` has all of them.

Exit status: 0 all that passes on the host passes inside; 1 something does not; 2 bad use, or a platform that cannot be used here.

Examples:
  ringfence compat run -- ./stat_test ./mmap_test
  ringfence compat run --platform systrap --platform ptrace --jobs 4 --format junit -- tests/* >report.xml
  ringfence compat run --case 'Mmap*.Shared*' --args '--quick' -- ./mmap_test
  ringfence compat run --strict -- date`;

interface TraceOptions extends DoOptions {
  platform?: string;
  format: TraceRequest['format'];
  output?: string;
}

const HELP = `
Examples:
  ringfence compat table --support none         what there is not
  ringfence compat run -- tests/*               do these programs see a difference?
  ringfence compat trace -- redis-server        what does it call, and is all of it there?`;

const TRACE_HELP = `
TIME is spent in the Sentry, WAITED until something happened that the call waited for. Calls that are not supported come first, then
those that are in part; unsupported options of calls are named below. What never leaves the program is not counted: the clock of the vDSO.
Counting makes calls slower, also those that need no Sentry otherwise (private futexes). The exit status is that of the command.

Examples:
  ringfence compat trace -- ls -l /
  ringfence compat trace --format json --output calls.json -- make test`;

const TABLE_HELP = `
PATTERN is a name with * and ?, or a number. Support: full; partial: something is missing that Linux has; none: it answers an error.

Examples:
  ringfence compat table --support partial
  ringfence compat table '*xattr*' 'io_*'
  ringfence compat table --format json 157`;

const list = (value: string, all: string[]): string[] => [...all, value];

const SUPPORTS: readonly Support[] = ['full', 'partial', 'none'];

function oneOfSupports(value: string, all: Support[]): Support[] {
  const found = SUPPORTS.find((s) => s === value);
  if (found === undefined) throw new CliError(`--support takes ${SUPPORTS.join(', ')}, not "${value}"`, EXIT_USAGE);
  return [...all, found];
}

/** A number of at least `least`; whole ones only. */
function number(option: string, least: number): (text: string) => number {
  return (text) => {
    const n = Number(text);
    if (/^\d{1,6}$/.test(text) && n >= least) return n;
    throw new CliError(`${option} takes a number from ${least} to 999999, not "${text}"`, EXIT_USAGE);
  };
}

/** Words of a line as a shell splits them: blanks, quotes, backslashes; nothing is replaced. */
function words(line: string): string[] {
  const out: string[] = [];
  let word: string | null = null;
  let quote = '';
  for (let i = 0; i < line.length; i++) {
    const c = line[i] as string;
    if (quote !== '') {
      if (c === quote) quote = '';
      else word += c === '\\' && quote === '"' && /["\\]/.test(line[i + 1] ?? '') ? line[++i] : c;
    } else if (c === "'" || c === '"') {
      quote = c;
      word ??= '';
    } else if (c === '\\' && i + 1 < line.length) word = (word ?? '') + line[++i];
    else if (/\s/.test(c)) {
      if (word !== null) out.push(word);
      word = null;
    } else word = (word ?? '') + c;
  }
  if (quote !== '') throw new CliError(`--args: there is no end to what ${quote} begins`, EXIT_USAGE);
  return word === null ? out : [...out, word];
}

/** The caller's environment as node passes it on. */
function environment(): Record<string, string> {
  const out: Record<string, string> = {};
  for (const entry of callerEnvironment()) {
    const at = entry.indexOf('=');
    if (at > 0) out[Buffer.from(entry.slice(0, at), 'latin1').toString()] = Buffer.from(entry.slice(at + 1), 'latin1').toString();
  }
  return out;
}

/** Options before the command that matter in the sandboxes of a run too. */
function handedOn(g: GlobalOptions): string[] {
  const out: string[] = [];
  if (g.jitless === true) out.push('--jitless');
  if (g.cpuMode !== undefined && g.cpuMode !== 'balanced') out.push('--cpu-mode', g.cpuMode);
  if (g.network !== undefined) out.push('--network', networkKind(g.network, EXIT_USAGE));
  if (g.platform_device_path !== undefined) out.push('--platform_device_path', g.platform_device_path);
  for (const o of g.platformOption ?? []) out.push('--platform-option', o);
  return out;
}

/** Names of platforms that work here; `auto` becomes the one that it stands for. */
function platforms(wishes: string[], g: GlobalOptions): string[] {
  const names = (wishes.length > 0 ? wishes : [g.platform ?? 'auto']).map((wish) => named(wish, EXIT_USAGE));
  return [...new Set(names.map((name) => chooseEngine(name, g.platform_device_path ?? '', EXIT_USAGE).name))];
}

/** Defines the command and those below it. */
export function defineCompat(program: Command, globals: () => GlobalOptions): void {
  const compat = program
    .command('compat')
    .summary('system call compatibility: what there is, and what programs see of it')
    .description('Tells how far the kernel surface goes, and compares what programs do in a sandbox with what they do on the host.')
    .usage('table | run | trace [options] ...')
    .argument('[what]')
    .helpCommand(false)
    .enablePositionalOptions()
    .addHelpText('after', HELP)
    .action((what: string | undefined) => {
      const problem = what === undefined ? 'a command is missing' : `there is no command "${what}"`;
      throw new CliError(`compat: ${problem}; there are table, run and trace (ringfence compat --help)`, EXIT_USAGE);
    });
  compat
    .command('table')
    .summary('print all system calls and how far they are supported')
    .description('Prints every system call of x86-64 Linux, how far it is supported, and what is missing.')
    .argument('[pattern...]', 'only these')
    .addOption(new Option('--format <format>', 'of the table').choices(['text', 'json', 'markdown']).default('text'))
    .addOption(new Option('--support <kind>', 'only such calls; repeatable').choices(SUPPORTS).argParser(oneOfSupports).default([]))
    .addHelpText('after', TABLE_HELP)
    .action(async (patterns: string[], o: { format: TableRequest['format']; support: Support[] }) => {
      const request: TableRequest = { format: o.format, support: o.support, patterns, env: environment() };
      process.exitCode = await asOurs(async () => (await import('../compat/part.ts')).printTable(request));
    });
  compat
    .command('run')
    .summary('run test programs on the host and in sandboxes, and compare')
    .description('Runs test programs on the host and in sandboxes, and tells what differs.')
    .argument('<program...>', 'paths of programs; behind --')
    .option('--platform <name>', 'where to run them beside the host; repeatable (default: what works here)', list, [])
    .option('-j, --jobs <n>', 'how many programs run at a time', number('--jobs', 1), Math.max(1, availableParallelism() >> 1))
    .option('--timeout <seconds>', 'how long a program may show no sign of life', number('--timeout', 1), 60)
    .addOption(new Option('--format <format>', 'of the report').choices(['text', 'tap', 'junit', 'json']).default('text'))
    .addOption(new Option('--kind <kind>', 'how programs tell of their cases').choices(['auto', 'gtest', 'tap', 'plain']).default('auto'))
    .option('--case <pattern>', 'only cases whose name fits (* and ? as in a shell); repeatable', list, [])
    .option('--args <words>', 'arguments for every program, in one word', '')
    .option('--strict', 'other output, and cases that are skipped inside only, count as failed')
    .option('-q, --quiet', 'show no progress')
    .addHelpText('after', RUN_HELP)
    .passThroughOptions()
    .action(async (programs: string[], o: RunOptions) => {
      const request: RunRequest = {
        programs,
        args: words(o.args),
        platforms: platforms(o.platform, globals()),
        jobs: o.jobs,
        limit: o.timeout * 1000,
        format: o.format,
        kind: o.kind,
        patterns: o.case,
        strict: o.strict === true,
        quiet: o.quiet === true,
        env: environment(),
        ringfence: join(installDir(), 'bin/ringfence'),
        options: handedOn(globals()),
      };
      process.exitCode = await asOurs(async () => (await import('../compat/part.ts')).runCompat(request));
    });
  const traced = compat
    .command('trace')
    .summary('run a command in a sandbox and count the calls it makes')
    .description('Runs a command as `ringfence do` does, then prints the system calls it made, with our support for each.');
  doOptions(traced)
    .option('--platform <name>', 'as before the command')
    .addOption(new Option('--format <format>', 'of the report').choices(['text', 'json']).default('text'))
    .option('-o, --output <file>', 'where the report goes (default: standard error)')
    .addHelpText('after', TRACE_HELP)
    .passThroughOptions()
    .action(async (command: string[], o: TraceOptions) => {
      process.exitCode = await trace(command, o, globals());
    });
}

/** Runs a command as `do` does, with its calls counted. */
async function trace(command: string[], o: TraceOptions, g: GlobalOptions): Promise<number> {
  if (g.strace === true) throw new CliError('compat trace: calls are counted or, with --strace, logged: ringfence --strace do', EXIT_OWN);
  const platform = o.platform === undefined ? g.platform : named(o.platform, EXIT_OWN);
  const part = await import('../compat/part.ts');
  const output = o.output ?? '';
  try {
    if (output !== '') closeSync(openSync(output, 'w'));
  } catch (e) {
    throw new CliError(`compat trace: cannot write to --output ${output}: ${codeOf(e)}`, EXIT_OWN);
  }
  const ends = new Int32Array(2);
  check(host().pipe2(ends, O_CLOEXEC), 'cannot create a pipe');
  const said = part.readPipe(ends[0] as number);
  const status = await runDo(command, o, { ...g, ...(platform === undefined ? {} : { platform }) }, ends[1] as number);
  const text = await said;
  // Without a sandbox there is nothing to tell, and why has been told.
  if (text !== '' || status !== EXIT_OWN)
    await asOurs(async () => part.printTrace(text, { format: o.format, output, status, env: environment() }));
  return status;
}

/** A platform by its name, or `auto`. */
function named(wish: string, status: number): ReturnType<typeof platformName> {
  try {
    return platformName(wish);
  } catch (e) {
    throw new CliError((e as Error).message, status);
  }
}

/** Failures of the part are told like our own: it has its own copy of their class. */
async function asOurs<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (e) {
    if (e instanceof Error && 'exitCode' in e && typeof e.exitCode === 'number') throw new CliError(e.message, e.exitCode);
    throw e;
  }
}
