// ringfence list: the containers below --root.

import type { Command } from 'commander';
import type { GlobalOptions } from '../context.ts';
import { containers } from '../container.ts';
import { CliError } from '../errors.ts';
import type { OciState } from '../state.ts';
import { table } from '../table.ts';
import { print } from '../output.ts';

/** Defines the command. */
export function defineList(program: Command, globals: () => GlobalOptions): void {
  program
    .command('list')
    .summary('list containers')
    .description('Lists the containers below --root.')
    .option('-f, --format <format>', 'table or json', 'table')
    .option('-q, --quiet', 'names only')
    .addHelpText('after', '\nExamples:\n  ringfence list\n  ringfence --root /run/user/1000/ringfence list --format json')
    .action((o: { format: string; quiet?: boolean }) => {
      if (o.format !== 'table' && o.format !== 'json') throw new CliError('invalid format option: --format takes table or json');
      const root = containers(globals());
      const found: OciState[] = [];
      for (const id of root.ids()) {
        const c = root.at(id);
        const s = c.read();
        if (s !== null) found.push(c.oci(s));
      }
      if (o.quiet === true) print(found.map((s) => `${s.id}\n`).join(''));
      else if (o.format === 'json') print(`${JSON.stringify(found)}\n`);
      else {
        const rows = found.map((s) => [s.id, String(s.pid ?? 0), s.status, s.bundle, s.created ?? '', s.owner ?? '']);
        print(table([['ID', 'PID', 'STATUS', 'BUNDLE', 'CREATED', 'OWNER'], ...rows]));
      }
    });
}
