// ringfence kill: a signal for a container.

import type { Command } from 'commander';
import type { GlobalOptions } from '../context.ts';
import { containers, signalContainer } from '../container.ts';
import { parseSignal } from '../signals.ts';

/** Defines the command. */
export function defineKill(program: Command, globals: () => GlobalOptions): void {
  program
    .command('kill')
    .summary('send a signal to a container')
    .description("Sends a signal to a container's first process, or to all of them.")
    .argument('<id>', 'name of the container')
    .argument('[signal]', 'number or name', 'SIGTERM')
    .option('-a, --all', 'to every process of the container')
    .addHelpText('after', '\nExamples:\n  ringfence kill web\n  ringfence kill web 9\n  ringfence kill --all web SIGKILL')
    .action(async (id: string, signal: string, o: { all?: boolean }) => {
      const n = parseSignal(signal);
      const c = containers(globals()).open(id);
      await signalContainer(c, c.load(), n, o.all === true);
    });
}
