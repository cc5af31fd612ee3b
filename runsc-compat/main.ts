// ringfence: the command that container clients and people call. One file a command in cmd/.

import { Command, CommanderError, Option } from 'commander';
import { defineCheckpoint } from './cmd/checkpoint.ts';
import { defineCompletion } from './cmd/completion.ts';
import { defineCreate } from './cmd/create.ts';
import { defineDebug } from './cmd/debug.ts';
import { defineDelete } from './cmd/delete.ts';
import { defineDo } from './cmd/do.ts';
import { defineDoctor } from './cmd/doctor.ts';
import { defineEvents } from './cmd/events.ts';
import { defineExec } from './cmd/exec.ts';
import { defineFeatures } from './cmd/features.ts';
import { defineKill } from './cmd/kill.ts';
import { defineList } from './cmd/list.ts';
import { definePause } from './cmd/pause.ts';
import { definePs } from './cmd/ps.ts';
import { defineRun } from './cmd/run.ts';
import { defineSpec } from './cmd/spec.ts';
import { defineStart } from './cmd/start.ts';
import { defineState } from './cmd/state.ts';
import { defineUpdate } from './cmd/update.ts';
import { defineWait } from './cmd/wait.ts';
import type { GlobalOptions } from './context.ts';
import { CliError, EXIT_OWN, messageOf } from './errors.ts';
import { leave } from './host.ts';
import { logFailure } from './log.ts';
import { SPEC_VERSION, VERSION } from './version.ts';
import { complain } from './output.ts';

/** Global flags of other runtimes that clients and their wrappers pass: understood, without effect here. */
const IGNORED = [
  '--criu <path>',
  '--cgroup-manager <name>',
  '--panic-log <file>',
  '--user-log <file>',
  '--overlay2 <kind>',
  '--file-access <kind>',
];
const IGNORED_SWITCHES = ['--systemd-cgroup', '--net-raw', '--ignore-cgroups'];
const SWITCHES = ['--debug', '--strace', ...IGNORED_SWITCHES];

/** Switches as Go's flag packages write them: --debug=true, --debug=false. Only those before the command are ours. */
function goSwitches(program: Command, words: string[]): string[] {
  const out: string[] = [];
  let i = 0;
  for (; i < words.length; i++) {
    const w = words[i] as string;
    if (!w.startsWith('-')) break;
    const m = /^(--[a-z0-9-]+)=(true|false)$/.exec(w);
    if (m !== null && SWITCHES.includes(m[1] as string)) {
      if (m[2] === 'true') out.push(m[1] as string);
      continue;
    }
    out.push(w);
    const takesValue = program.options.some((o) => o.long === w && o.required);
    if (takesValue && i + 1 < words.length) out.push(words[++i] as string);
  }
  return [...out, ...words.slice(i)];
}

function build(): Command {
  const program = new Command('ringfence');
  const globals = (): GlobalOptions => program.opts<GlobalOptions>();
  program
    .description('Runs containers and commands on a Linux kernel written in TypeScript.')
    .usage('[options] <command> [arguments]')
    .version(`ringfence version ${VERSION}\nspec: ${SPEC_VERSION}`, '-v, --version', 'print the version')
    .enablePositionalOptions()
    .showSuggestionAfterError()
    .option('--root <dir>', 'where the states of containers live (default: /run/ringfence, $XDG_RUNTIME_DIR/ringfence for ordinary users)')
    .option('--log <file>', 'where failures are noted')
    .addOption(new Option('--log-format <format>', 'of --log').choices(['text', 'json']).default('text'))
    .option('--debug', 'log what the sandbox does (with do: to standard error, unless there is a --debug-log)')
    .option('--debug-log <file>', 'log to this file; %ID% and %COMMAND% are replaced, a folder gets one file a container')
    .option('--strace', 'log every system call')
    .option('--jitless', 'run Sentry and Gofer without compiled JavaScript: slower, and nothing in them becomes executable')
    .addOption(new Option('--platform <name>', 'how system calls are trapped').choices(['systrap']).default('systrap'))
    .option(
      '--platform-option <name=value>',
      'patch=off: call sites are not rewritten, every call traps',
      (v: string, all: string[]) => [...all, v],
      [],
    )
    .addOption(
      new Option('--cpu-mode <mode>', 'how long Sentry and guest look for each other before they sleep, while processors are free')
        .choices(['latency', 'balanced', 'density'])
        .default('balanced'),
    )
    .option('--network <kind>', 'none, host or sandbox')
    .addOption(new Option('--rootless <kind>').hideHelp());
  for (const flags of [...IGNORED, ...IGNORED_SWITCHES]) program.addOption(new Option(flags).hideHelp());
  program.addHelpText(
    'after',
    `
Examples:
  ringfence do -- uname -a                  a command on this host's files, changes are forgotten
  ringfence run --bundle /srv/web web       a container from an OCI bundle
  ringfence doctor                          what this host lacks

\`ringfence <command> --help\` tells more about a command.`,
  );
  program.exitOverride();
  program.configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'ringfence: ')) });
  defineDo(program, globals);
  defineRun(program, globals);
  defineCreate(program, globals);
  defineStart(program, globals);
  defineState(program, globals);
  defineKill(program, globals);
  defineDelete(program, globals);
  defineExec(program, globals);
  defineList(program, globals);
  definePs(program, globals);
  defineDebug(program, globals);
  definePause(program, globals);
  defineWait(program, globals);
  defineUpdate(program, globals);
  defineEvents(program, globals);
  defineCheckpoint(program);
  defineSpec(program);
  defineFeatures(program);
  defineDoctor(program, globals);
  defineCompletion(program);
  for (const c of program.commands)
    c.exitOverride().configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'ringfence: ')) });
  return program;
}

async function main(): Promise<void> {
  const program = build();
  try {
    await program.parseAsync(goSwitches(program, process.argv.slice(2)), { from: 'user' });
  } catch (e) {
    if (e instanceof CommanderError) {
      // It has printed its text; usage errors of `do` must not look like a status of the command.
      const own = process.argv.includes('do') ? EXIT_OWN : 1;
      process.exitCode = e.exitCode === 0 ? 0 : own;
      if (e.exitCode !== 0) await logFailure(program.opts<GlobalOptions>(), e.message.replace(/^error: /, ''));
    } else {
      const message = messageOf(e);
      complain(message);
      process.exitCode = e instanceof CliError ? e.exitCode : 1;
      await logFailure(program.opts<GlobalOptions>(), message);
      if (!(e instanceof CliError) && program.opts<GlobalOptions>().debug === true)
        process.stderr.write(`${e instanceof Error ? e.stack : ''}\n`);
    }
  }
  // After everybody else's: node's own way out takes the heap down first.
  process.on('exit', (code) => leave(code));
  process.exit();
}

void main();
