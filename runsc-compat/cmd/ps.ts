// ringfence ps: the processes of a container.

import { readdirSync } from 'node:fs';
import type { Command } from 'commander';
import type { GlobalOptions } from '../context.ts';
import type { PsRow } from '../../src/wire/control.ts';
import { containers, demand } from '../container.ts';
import { CliError } from '../errors.ts';
import { type ContainerState, processStart } from '../state.ts';
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
    .argument('[ps-options...]', 'options of ps(1): -o with names of columns; others change nothing')
    .option('-f, --format <format>', 'table or json', 'table')
    .addHelpText('after', '\nExamples:\n  ringfence ps web\n  ringfence ps --format json web\n  ringfence ps web -o pid,cmd')
    .passThroughOptions()
    .action(async (id: string, options: string[], o: { format: string }) => {
      if (o.format !== 'table' && o.format !== 'json') throw new CliError('invalid format option: --format takes table or json');
      const columns = columnsOf(options);
      const c = containers(globals()).open(id);
      const state = c.load();
      const stopped = c.statusOf(state) === 'stopped';
      if (o.format === 'json') {
        print(`${JSON.stringify(stopped ? [] : [state.pid, ...execStandins(c)])}\n`);
        return;
      }
      const rows = stopped ? [] : ((await demand(c, { method: 'ps', id }, 'cannot list the processes')).ps ?? []);
      const cells = columns.map((name) => COLUMNS[name] as (r: PsRow) => string);
      print(
        table([columns.map((name) => (name === 'args' ? 'CMD' : name.toUpperCase())), ...rows.map((r) => cells.map((cell) => cell(r)))]),
      );
    });
}

/** The host's pids that stand for processes which exec started. */
function execStandins(c: ContainerState): number[] {
  return readdirSync(c.folder)
    .map((name) => /^exec-(\d+)-(\d+)$/.exec(name))
    .filter((m) => m !== null && processStart(Number(m[1])) === Number(m[2]))
    .map((m) => Number(m?.[1]));
}

const COLUMNS: Record<string, (r: PsRow) => string> = {
  uid: (r) => String(r.uid),
  pid: (r) => String(r.pid),
  ppid: (r) => String(r.ppid),
  stime: (r) => started(r.startTimeSec),
  tty: (r) => r.tty || '?',
  time: (r) => cpuTime(r.cpuTimeMs),
  cmd: (r) => r.cmd,
  args: (r) => r.cmd,
  comm: (r) => (r.cmd.split(' ')[0] as string).replace(/^.*\//, ''),
  state: (r) => r.state,
};
const ALIASES: Record<string, string> = {
  user: 'uid',
  euid: 'uid',
  command: 'args',
  s: 'state',
  stat: 'state',
  tt: 'tty',
  cputime: 'time',
  ucmd: 'comm',
};
const USUAL = ['uid', 'pid', 'ppid', 'stime', 'tty', 'time', 'cmd'];

/** The columns that options of ps(1) ask for: -o with names; every other set of options gives the usual ones. */
function columnsOf(options: readonly string[]): string[] {
  const names: string[] = [];
  for (let i = 0; i < options.length; i++) {
    const m = /^(?:-o|--format=?)(.*)$/.exec(options[i] as string);
    if (m === null) continue;
    for (const word of ((m[1] as string) || (options[++i] ?? '')).split(',')) {
      const name = ALIASES[word.toLowerCase()] ?? word.toLowerCase();
      if (COLUMNS[name] === undefined) throw new CliError(`ps: unknown column "${word}": there are ${Object.keys(COLUMNS).join(', ')}`);
      names.push(name);
    }
  }
  return names.length === 0 ? USUAL : names;
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
