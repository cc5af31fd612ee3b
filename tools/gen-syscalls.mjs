// Writes docs/syscalls.md from the system call table (src/sentry/syscalls/table.ts and absent.ts).
//
//   node tools/gen-syscalls.mjs [--check]      --check only compares, with status 1 when the file is out of date
//
// Either way every number that the headers of this machine know must have a row that says how far it is supported.

import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { syscallRows } from './table.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const target = join(root, 'docs/syscalls.md');

/** Names and numbers of x86-64 as the headers have them. */
function headerNumbers() {
  const out = execFileSync(process.env.CC ?? 'gcc', ['-E', '-dM', '-x', 'c', '-'], {
    input: '#include <asm/unistd_64.h>\n',
    encoding: 'utf8',
  });
  return [...out.matchAll(/^#define __NR_(\w+) (\d+)$/gm)].map((m) => ({ name: m[1], nr: Number(m[2]) }));
}

const rows = await syscallRows();
const problems = [];
const byNumber = new Map(rows.map((r) => [r.nr, r]));
const numbers = headerNumbers();
if (numbers.length < 300) problems.push(`asm/unistd_64.h names only ${numbers.length} system calls`);
for (const { name, nr } of numbers) {
  const row = byNumber.get(nr);
  if (row === undefined) problems.push(`system call ${nr} (${name}) of asm/unistd_64.h is not in src/abi/nr.ts`);
  else if (row.name !== name) problems.push(`system call ${nr} is ${name} in asm/unistd_64.h, and ${row.name} in src/abi/nr.ts`);
}
for (const r of rows) {
  if (!r.handled && r.note === '')
    problems.push(`system call ${r.nr} (${r.name}) has neither a handler nor a reason in src/sentry/syscalls/absent.ts`);
  if (r.support !== 'full' && r.note === '')
    problems.push(`system call ${r.nr} (${r.name}) is ${r.support} without saying what is missing`);
}
if (problems.length > 0) {
  process.stdout.write(`${problems.join('\n')}\n`);
  process.exit(1);
}

const count = (what) => rows.filter(what).length;
const lines = [
  '# System calls',
  '',
  '<!-- Written by tools/gen-syscalls.mjs from src/sentry/syscalls/: run `npm run docs` after a change there. -->',
  '',
  `Of the ${rows.length} system calls of x86-64 Linux ${count((r) => r.support === 'full')} are supported in full, ` +
    `${count((r) => r.support === 'partial')} in part, ${count((r) => r.support === 'none')} not at all.`,
  'What is not supported answers an error and is named once in the log of the sandbox. `ringfence compat table` prints this table,',
  '`ringfence compat trace -- COMMAND` what of it a command uses ([compat.md](compat.md)).',
  '',
  '| number | name | support | what is missing |',
  '| ---: | --- | --- | --- |',
  ...rows.map((r) => `| ${r.nr} | ${r.name} | ${r.support} | ${r.note.replaceAll('|', '\\|')} |`),
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
