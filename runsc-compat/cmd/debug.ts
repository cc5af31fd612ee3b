// ringfence debug: what a running sandbox has done so far.

import type { Command } from 'commander';
import type { GlobalOptions } from '../context.ts';
import { containers, demand } from '../container.ts';
import { CliError } from '../errors.ts';
import { print } from '../output.ts';
import { table } from '../table.ts';

/** Defines the command. */
export function defineDebug(program: Command, globals: () => GlobalOptions): void {
  program
    .command('debug')
    .summary('show what a sandbox has done so far')
    .description(
      'Shows counts of a running sandbox: tasks, system calls of those that live, call sites that were rewritten and that could not be, messages to the Gofer.',
    )
    .argument('<id>', 'name of the container')
    .option('-f, --format <format>', 'table or json', 'table')
    .addHelpText('after', '\nExamples:\n  ringfence debug web\n  ringfence debug --format json web')
    .action(async (id: string, o: { format: string }) => {
      if (o.format !== 'table' && o.format !== 'json') throw new CliError('invalid format option: --format takes table or json');
      const c = containers(globals()).open(id);
      if (c.statusOf(c.load()) === 'stopped') throw new CliError('container not running');
      const counts = (await demand(c, { method: 'statistics', id }, 'cannot ask the sandbox')).statistics ?? {};
      if (o.format === 'json') print(`${JSON.stringify(counts)}\n`);
      else print(table([['COUNT', 'VALUE'], ...Object.entries(counts).map(([name, n]) => [name, String(n)])]));
    });
}
