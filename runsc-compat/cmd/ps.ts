// ringfence ps: the processes of a container.

import { readdirSync } from 'node:fs';
import type { Command } from 'commander';
import type { GlobalOptions } from '../context.ts';
import { containers, demand } from '../container.ts';
import { CliError } from '../errors.ts';
import { processStart } from '../state.ts';
import { table } from '../table.ts';
import { print } from '../output.ts';

/** Defines the command. */
export function definePs(program: Command, globals: () => GlobalOptions): void {
  program
    .command('ps')
    .summary('list the processes of a container')
    .description(
      'Lists the processes of a container. As a table: as the container sees them. As JSON: the pids on the host that stand for its first process and for those that exec started.',
    )
    .argument('<id>', 'name of the container')
    .argument('[ps-options...]', 'accepted; the table has one form')
    .option('-f, --format <format>', 'table or json', 'table')
    .addHelpText('after', '\nExamples:\n  ringfence ps web\n  ringfence ps --format json web')
    .action(async (id: string, _options: string[], o: { format: string }) => {
      if (o.format !== 'table' && o.format !== 'json') throw new CliError('invalid format option: --format takes table or json');
      const c = containers(globals()).open(id);
      const state = c.load();
      if (c.statusOf(state) === 'stopped') throw new CliError('container not running');
      if (o.format === 'json') {
        const execs = readdirSync(c.folder)
          .map((name) => /^exec-(\d+)-(\d+)$/.exec(name))
          .filter((m) => m !== null && processStart(Number(m[1])) === Number(m[2]))
          .map((m) => Number(m?.[1]));
        print(`${JSON.stringify([state.pid, ...execs])}\n`);
        return;
      }
      const rows = (await demand(c, { method: 'ps', id }, 'cannot list the processes')).ps ?? [];
      const lines = rows.map((r) => [
        String(r.uid),
        String(r.pid),
        String(r.ppid),
        started(r.startTimeSec),
        r.tty || '?',
        cpuTime(r.cpuTimeMs),
        r.cmd,
      ]);
      print(table([['UID', 'PID', 'PPID', 'STIME', 'TTY', 'TIME', 'CMD'], ...lines]));
    });
}

function two(n: number): string {
  return String(n).padStart(2, '0');
}

function started(sec: number): string {
  const d = new Date(sec * 1000);
  return `${two(d.getHours())}:${two(d.getMinutes())}`;
}

function cpuTime(ms: number): string {
  const s = Math.floor(ms / 1000);
  return `${two(Math.floor(s / 3600))}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
}
