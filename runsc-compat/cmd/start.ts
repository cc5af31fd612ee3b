// ringfence start: runs the process of a created container.

import type { Command } from 'commander';
import type { GlobalOptions } from '../context.ts';
import { afterStart, beforeStart, containers, demand, destroyContainer } from '../container.ts';
import { passReadiness } from '../notify.ts';
import { CliError } from '../errors.ts';

/** Defines the command. */
export function defineStart(program: Command, globals: () => GlobalOptions): void {
  program
    .command('start')
    .summary('start a created container')
    .description('Starts the process of a created container.')
    .argument('<id>', 'name of the container')
    .addHelpText('after', '\nExample:\n  ringfence start web')
    .action(async (id: string) => {
      const c = containers(globals()).open(id);
      const started = await c.locked(async () => {
        const state = c.load();
        const status = c.statusOf(state);
        if (status !== 'created') {
          if (status === 'running') throw new CliError('cannot start an already running container');
          throw new CliError(
            status === 'stopped' ? 'cannot start a container that has stopped' : `cannot start a container in the ${status} state`,
          );
        }
        const spec = c.spec();
        try {
          await beforeStart(c, state, spec);
        } catch (e) {
          await destroyContainer(c, state);
          throw e;
        }
        await demand(c, { method: 'start', id }, 'cannot start the container');
        await afterStart(c, state, spec);
        return state;
      });
      // Without the lock: whoever is tired of waiting may delete the container.
      await passReadiness(c, started);
    });
}
