// The command line of the table.

import { parseArgs } from 'node:util';

export interface Options {
  rows: string[];
  quick: boolean;
  list: boolean;
  help: boolean;
  keep: boolean;
  engines: string[] | undefined;
  runs: number;
  json: string | undefined;
}

export const help = `Usage: npm run bench -- [options] [ROW...]

Measures system calls, programs and life cycles natively, in runc, in runsc and in ringfence, prints one table, and, when all rows ran in
all engines, keeps it as docs/performance.md and docs/performance.json. It takes about half an hour. tools/bench-setup.sh installs what it
compares with.

Options:
  --list             names the rows and engines
  --engines A,B      only these engines: a name or the beginning of one (native,ringfence)
  --runs N           runs of each row (default: 5)
  --json FILE        writes the results there as well
  --keep             keeps the results even when only some rows or engines ran; the others keep theirs
  --quick            the cheap rows, natively and in ringfence, in less than a minute; status 1 if one is worse than twice its kept ratio
  --help             shows this

Examples:
  npm run bench                                          everything
  npm run bench -- --quick                               what CI runs
  npm run bench -- --engines native,ringfence stat pipe  two rows
  npm run bench -- --runs 1 --json out.json              once through everything
  npm run bench -- sizes                                 the second table: calls among few and many
  npm run bench -- micro                                 costs of ringfence's own parts, in nanoseconds
  npm run bench -- startup                               start and end of a small command, with a distribution
`;

/** Reads the command line. Throws an Error with a message for people if it makes no sense. */
export function parseOptions(argv: string[]): Options {
  const { values, positionals } = parseArgs({
    args: argv,
    allowPositionals: true,
    options: {
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
      quick: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      engines: { type: 'string' },
      runs: { type: 'string' },
      json: { type: 'string' },
    },
  });
  const runs = Number(values.runs ?? (values.quick ? 3 : 5));
  if (!Number.isInteger(runs) || runs < 1) throw new Error(`--runs ${values.runs}: a whole number from 1 on is needed`);
  if (values.quick && values.keep) throw new Error('--quick compares with what is kept; it does not replace it');
  return {
    rows: positionals,
    quick: values.quick,
    list: values.list,
    help: values.help,
    keep: values.keep,
    engines: values.engines?.split(',').filter((e) => e !== ''),
    runs,
    json: values.json,
  };
}
