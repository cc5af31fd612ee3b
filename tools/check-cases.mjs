// Holds the system call table against the cases of test/syscalls: a row that says full has a case that names its call, a case names
// only calls that there are, and no two cases of a program have one name.
//
//   node tools/check-cases.mjs [-v]      -v lists the number of cases of every row
//
// That a case is about the calls it names is shown by running it: test/syscalls/calls.test.ts.

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadTable } from './table.mjs';

const sources = resolve(dirname(fileURLToPath(import.meta.url)), '../test/syscalls');
const { table, names } = await loadTable();
const known = new Set(names.values());
const problems = [];
let cases = 0;
const counts = new Map(); // by call: its cases

for (const file of readdirSync(sources).sort()) {
  if (!file.endsWith('.c')) continue;
  const here = new Set();
  const text = readFileSync(join(sources, file), 'utf8');
  for (const m of text.matchAll(/^TEST\(([^)]*)\)/gm)) {
    const [name, ...calls] = m[1].split(',').map((w) => w.trim());
    if (here.has(name)) problems.push(`${file}: two cases are named ${name}`);
    here.add(name);
    cases++;
    for (const call of calls) {
      if (!known.has(call)) problems.push(`${file}: case ${name} is about '${call}', which is no system call`);
      counts.set(call, (counts.get(call) ?? 0) + 1);
    }
  }
}

for (const row of table) {
  if (row === undefined) continue;
  if (process.argv.includes('-v')) process.stdout.write(`${row.name} ${row.support} ${counts.get(row.name) ?? 0}\n`);
  if (row.support === 'full' && !counts.has(row.name)) {
    problems.push(`${row.name}(2) is said to be there in full, and no case of test/syscalls names it: TEST(name, ${row.name})`);
  }
}

for (const p of problems) process.stdout.write(`${p}\n`);
if (problems.length > 0) process.exit(1);
process.stdout.write(`${cases} cases are about ${counts.size} system calls\n`);
