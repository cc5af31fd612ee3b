// ringfence checkpoint, ringfence restore: not supported, in a way that clients understand.

import type { Command } from 'commander';
import { CliError } from '../errors.ts';

/** Defines both commands. Not even their help succeeds: clients take that for the promise of the feature. */
export function defineCheckpoint(program: Command): void {
  for (const name of ['checkpoint', 'restore']) {
    program
      .command(name, { hidden: true })
      .helpOption(false)
      .allowUnknownOption()
      .allowExcessArguments()
      .argument('[words...]')
      .action(() => {
        throw new CliError(`${name} is not supported`);
      });
  }
}
