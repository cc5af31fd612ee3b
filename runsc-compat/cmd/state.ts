// ringfence state: what the runtime specification calls the state of a container.

import type { Command } from 'commander';
import type { GlobalOptions } from '../context.ts';
import { containers } from '../container.ts';
import { print } from '../output.ts';

/** Defines the command. */
export function defineState(program: Command, globals: () => GlobalOptions): void {
  program
    .command('state')
    .summary('print the state of a container')
    .description('Prints the state of a container as JSON.')
    .argument('<id>', 'name of the container')
    .addHelpText('after', '\nExample:\n  ringfence state web')
    .action((id: string) => {
      const c = containers(globals()).open(id);
      print(`${JSON.stringify(c.oci(c.load()), null, 2)}\n`);
    });
}
