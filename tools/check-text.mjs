// Checks the text of every file that belongs to the repository: no notes to oneself, no paths of one machine, no hosts of package
// registries, no trailing blanks, a line break at the end, lines of C and shell within the width.

import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const WIDTH = 150;

/** Patterns are put together from pieces so that this file does not hold what it looks for. */
const notes = ['TO-DO', 'FIX-ME', 'XX-X', 'HA-CK'].map((w) => w.replace('-', ''));
const places = ['wo-rk/', 'ho-me/\\w', 'Us-ers/', 'tm-p/rf'].map((w) => w.replace('-', ''));
const hosts = ['registry\\.np-mjs', 'registry\\.ya-rnpkg', 'npm\\.pkg\\.git-hub', 'deb\\.deb-ian\\.org'].map((w) => w.replace('-', ''));

const rules = [
  { name: 'a note to oneself', pattern: new RegExp(`\\b(?:${notes.join('|')})\\b`) },
  { name: 'a path of one machine', pattern: new RegExp(`(?:^|[\\s'"\`(=:])/(?:${places.join('|')})`), skip: /^test\// },
  { name: 'a host of packages', pattern: new RegExp(hosts.join('|')) },
  { name: 'a resolved address', pattern: /"resolved":/, only: /^package-lock\.json$/ },
  { name: 'trailing blanks', pattern: /[ \t]+$/, skip: /^test\/|\.(md|diff|patch)$/ },
];

/** What belongs to the repository: git knows; without git, all but what is made or installed. */
function files() {
  try {
    const out = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '-z'], {
      cwd: root,
      encoding: 'utf8',
      maxBuffer: 1 << 26,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return out.split('\0').filter((f) => f !== '' && statSync(join(root, f), { throwIfNoEntry: false })?.isFile());
  } catch {
    const made = /(^|\/)(node_modules|dist|bin|coverage|\.git)(\/|$)|\.gen\.ts$/;
    return readdirSync(root, { recursive: true, withFileTypes: true })
      .filter((e) => e.isFile())
      .map((e) => relative(root, join(e.parentPath ?? e.path, e.name)))
      .filter((f) => !made.test(f));
  }
}

const problems = [];
for (const file of files()) {
  if (file.endsWith('.schema.json') || file.includes('oci-schema/') || file === 'LICENSE') continue;
  const bytes = readFileSync(join(root, file));
  if (bytes.includes(0)) continue;
  const text = bytes.toString('utf8');
  if (text !== '' && !text.endsWith('\n')) problems.push(`${file}: no line break at the end`);
  const lines = text.split('\n');
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i];
    for (const { name, pattern, only, skip } of rules) {
      if (only !== undefined && !only.test(file)) continue;
      if (skip?.test(file)) continue;
      if (pattern.test(line)) problems.push(`${file}:${i + 1}: ${name}`);
    }
    if (line.length > WIDTH && /\.(c|h|S|sh)$/.test(file)) problems.push(`${file}:${i + 1}: longer than ${WIDTH} characters`);
  }
}

for (const p of problems) process.stdout.write(`${p}\n`);
if (problems.length > 0) process.exit(1);
