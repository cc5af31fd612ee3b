// ringfence: the command that container clients and people call. One file a command in cmd/.

import { Command } from 'commander';
import type { GlobalOptions } from './context.ts';
import { defineDo } from './cmd/do.ts';
import { CliError, messageOf } from './errors.ts';

const program = new Command('ringfence');

const globals = (): GlobalOptions => program.opts<GlobalOptions>();

program.enablePositionalOptions().showHelpAfterError('(--help tells more)');
program.option('--debug').option('--debug-log <file>').option('--strace').option('--network <kind>').option('--root <dir>');
defineDo(program, globals);

async function main(): Promise<void> {
  try {
    await program.parseAsync(process.argv);
  } catch (e) {
    process.stderr.write(`ringfence: ${messageOf(e)}\n`);
    process.exitCode = e instanceof CliError ? e.exitCode : 1;
  }
  process.exit();
}

void main();
