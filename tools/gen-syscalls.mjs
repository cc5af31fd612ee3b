// Writes docs/syscalls.md from the system call table (src/sentry/syscalls/table.ts).
//
//   node tools/gen-syscalls.mjs [--check]      --check only compares, with status 1 when the file is out of date

import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadTable } from './table.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const target = join(root, 'docs/syscalls.md');

const { table, names } = await loadTable();

const rows = table.filter((r) => r !== undefined);
const count = (support) => rows.filter((r) => r.support === support).length;
const missing = [...names.keys()].filter((n) => table[n] === undefined).sort((a, b) => a - b);

const lines = [
  '# System calls',
  '',
  '<!-- Written by tools/gen-syscalls.mjs from src/sentry/syscalls/table.ts: run `npm run docs` after a change there. -->',
  '',
  `${rows.length} of the ${names.size} system calls of x86-64 Linux have a handler: ${count('full')} in full, ${count('partial')} in part` +
    `${count('none') > 0 ? `, ${count('none')} only to answer an error` : ''}.`,
  'All others answer ENOSYS and are named once in the log.',
  '',
  '| number | name | support | what is missing |',
  '| ---: | --- | --- | --- |',
  ...rows.map((r) => `| ${r.nr} | ${r.name} | ${r.support} | ${r.note.replaceAll('|', '\\|')} |`),
  '',
  '## Without a handler',
  '',
  `${missing.map((n) => names.get(n)).join(', ')}.`,
];
const text = `${lines.join('\n')}\n`;

let old = '';
try {
  old = readFileSync(target, 'utf8');
} catch {
  // Not written yet.
}
if (process.argv.includes('--check')) {
  if (old !== text) {
    process.stdout.write('docs/syscalls.md is out of date: run `npm run docs`\n');
    process.exit(1);
  }
} else if (old !== text) {
  writeFileSync(target, text);
  process.stdout.write(`docs/syscalls.md: ${rows.length} system calls\n`);
}
