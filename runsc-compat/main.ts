// ringfence: the command that container clients and people call. One file a command in cmd/.

import { Command, CommanderError, Option } from 'commander';
import { goArguments, logOptions } from './arguments.ts';
import { defineCheckpoint } from './cmd/checkpoint.ts';
import { defineCompat } from './cmd/compat.ts';
import { defineCompletion } from './cmd/completion.ts';
import { defineCreate } from './cmd/create.ts';
import { defineDebug } from './cmd/debug.ts';
import { defineDelete } from './cmd/delete.ts';
import { defineDo } from './cmd/do.ts';
import { defineDoctor } from './cmd/doctor.ts';
import { defineEvents } from './cmd/events.ts';
import { defineExec } from './cmd/exec.ts';
import { defineFeatures } from './cmd/features.ts';
import { defineInstall } from './cmd/install.ts';
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
import { EXIT_USAGE } from './compat/status.ts';
import { fileAccess, type GlobalOptions, rootlessKind } from './context.ts';
import { CliError, EXIT_OWN, messageOf } from './errors.ts';
import { leave } from './host.ts';
import { logFailure } from './log.ts';
import { complain } from './output.ts';
import { ENGINES, platformName } from './platforms.ts';
import { SPEC_VERSION, VERSION } from './version.ts';

/** commander's message as ours: one line. */
function oneLine(text: string): string {
  return text
    .replace(/^error: /, '')
    .trim()
    .replace(/\s*\n\s*/g, ' ');
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
    .addOption(new Option('--log-format <format>', 'of --log').choices(['text', 'json', 'json-k8s']).default('text'))
    .option('--debug', 'log what the sandbox does (with do: to standard error, unless there is a --debug-log)')
    .option('--debug-log <file>', 'log to this file; %ID%, %COMMAND% and %TIMESTAMP% are replaced, a folder gets one file a container')
    .option('--panic-log <file>', "where the sandbox's own standard error goes (default: kept with the container's state)")
    .option('--strace', 'log every system call')
    .option('--strace-syscalls <names>', 'with --strace: only these, separated by commas')
    .option('--jitless', 'run Sentry and Gofer without compiled JavaScript: slower, and nothing in them becomes executable')
    .addOption(
      new Option('--platform <name>', 'how system calls are trapped; auto: what works here')
        .choices([...ENGINES.map((e) => e.name), 'auto'])
        .argParser(platformName)
        .default('auto'),
    )
    .addOption(new Option('--platform_device_path <file>', 'of kvm').hideHelp())
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
    .option(
      '--overlay2 <where>',
      'none, or root:memory, all:memory: what a container writes is kept in memory and forgotten (default: none)',
    )
    .addOption(new Option('--overlay').hideHelp())
    .option(
      '--file-access <kind>',
      "shared: others may change the root's files (default); exclusive: nobody else does",
      fileAccess('--file-access'),
    )
    .addOption(new Option('--file-access-mounts <kind>').argParser(fileAccess('--file-access-mounts')).hideHelp())
    .option('--systemd-cgroup', 'cgroups are made by systemd: cgroupsPath is slice:prefix:name')
    .option('--cgroup-manager <name>', 'cgroupfs (default), systemd or disabled')
    .option('--ignore-cgroups', 'no cgroup is made or joined')
    .option('--rootless <when>', 'true, false or auto: a cgroup that may not be made is no failure (default: auto)', rootlessKind);
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
  program.configureOutput({ outputError: (text, write) => write(`ringfence: ${oneLine(text)}\n`) });
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
  defineInstall(program);
  defineCompat(program, globals);
  defineCompletion(program);
  for (const c of program.commands.flatMap((x) => [x, ...x.commands]))
    c.exitOverride().configureOutput({ outputError: (text, write) => write(`ringfence: ${oneLine(text)}\n`) });
  return program;
}

/** The status of a command that was not understood; those of `do` and of tests must not look like a result. */
function ownStatus(name: string | undefined): number {
  return name === 'do' ? EXIT_OWN : name === 'compat' ? EXIT_USAGE : 1;
}

async function main(): Promise<void> {
  const program = build();
  const words = process.argv.slice(2);
  try {
    await program.parseAsync(goArguments(program, words), { from: 'user' });
  } catch (e) {
    const commander = e instanceof CommanderError;
    if (commander && e.exitCode === 0) process.exitCode = 0;
    else {
      // Commander has printed its text.
      const own = ownStatus(words.find((w) => program.commands.some((c) => c.name() === w)));
      const message = commander ? oneLine(e.message) : messageOf(e);
      if (!commander) complain(message);
      process.exitCode = e instanceof CliError && e.exitCode !== 1 ? e.exitCode : own;
      await logFailure(logOptions(program, words), message);
      if (!commander && !(e instanceof CliError) && words.includes('--debug')) complain(e instanceof Error ? (e.stack ?? '') : '');
    }
  }
  // After everybody else's: node's own way out takes the heap down first.
  process.on('exit', (code) => leave(code));
  process.exit();
}

void main();
