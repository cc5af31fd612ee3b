// ringfence wait: the exit status of a container, when it has one.

import type { Command } from 'commander';
import type { GlobalOptions } from '../context.ts';
import { containers, waitForEnd } from '../container.ts';
import { print } from '../output.ts';

/** Defines the command. */
export function defineWait(program: Command, globals: () => GlobalOptions): void {
  program
    .command('wait')
    .summary('wait for the end of a container')
    .description('Waits until a container has ended and prints its exit status as JSON: {"id","exitStatus"}.')
    .argument('<id>', 'name of the container')
    .addHelpText('after', '\nExample:\n  ringfence wait web')
    .action(async (id: string) => {
      const c = containers(globals()).open(id);
      await waitForEnd(c, c.load(), Number.POSITIVE_INFINITY);
      print(`${JSON.stringify({ id, exitStatus: c.exitCode() })}\n`);
    });
}
