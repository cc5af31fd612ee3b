// ringfence pause, ringfence resume: stop and continue all of a container.

import type { Command } from 'commander';
import type { GlobalOptions } from '../context.ts';
import { containers, demand } from '../container.ts';
import { CliError } from '../errors.ts';
import type { Status } from '../state.ts';

async function change(id: string, globals: GlobalOptions, method: 'pause' | 'resume', from: Status[], to: Status): Promise<void> {
  const c = containers(globals).open(id);
  await c.locked(async () => {
    const state = c.load();
    const status = c.statusOf(state);
    if (!from.includes(status)) throw new CliError(method === 'pause' ? 'container not running' : 'container not paused');
    await demand(c, { method, id }, `cannot ${method} the container`);
    state.status = to;
    c.write(state);
  });
}

/** Defines both commands. */
export function definePause(program: Command, globals: () => GlobalOptions): void {
  program
    .command('pause')
    .summary('stop all processes of a container')
    .description('Stops all processes of a container until `resume`.')
    .argument('<id>', 'name of the container')
    .addHelpText('after', '\nExample:\n  ringfence pause web')
    .action((id: string) => change(id, globals(), 'pause', ['running'], 'paused'));
  program
    .command('resume')
    .summary('continue a paused container')
    .description('Continues a paused container.')
    .argument('<id>', 'name of the container')
    .addHelpText('after', '\nExample:\n  ringfence resume web')
    .action((id: string) => change(id, globals(), 'resume', ['paused'], 'running'));
}
