// ringfence delete: removes a container that has ended.

import type { Command } from 'commander';
import type { GlobalOptions } from '../context.ts';
import { containers, destroyContainer, waitForEnd } from '../container.ts';
import { CliError } from '../errors.ts';
import { checkId } from '../state.ts';

const JUST_ENDED_MS = 200;

/** Defines the command. */
export function defineDelete(program: Command, globals: () => GlobalOptions): void {
  program
    .command('delete')
    .summary('delete a container')
    .description('Removes what is left of a container that has ended.')
    .argument('<id>', 'name of the container')
    .option('-f, --force', 'kills it first if it runs; no error when there is no such container')
    .addHelpText('after', '\nExamples:\n  ringfence delete web\n  ringfence delete --force web')
    .action(async (id: string, o: { force?: boolean }) => {
      const root = containers(globals());
      checkId(id);
      const c = root.at(id);
      if (!c.exists()) {
        if (o.force === true) return;
        root.open(id);
      }
      await c.locked(async () => {
        const state = c.read();
        if (o.force !== true && state !== null) {
          let status = c.statusOf(state);
          // A signal may have been sent just now.
          if (status === 'running' && (await waitForEnd(c, state, JUST_ENDED_MS))) status = 'stopped';
          if (status !== 'stopped' && status !== 'created')
            throw new CliError(`cannot delete container ${id} that is not stopped: ${status}`);
        }
        await destroyContainer(c, state);
      });
    });
}
