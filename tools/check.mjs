// Runs the checks that need no built product, two at a time, and prints one line for each; the output of those that fail.
//
//   node tools/check.mjs [NAME...]      all, or the named ones

import { spawn } from 'node:child_process';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const bin = (name) => join(root, 'node_modules/.bin', name);
const tool = (name) => join(root, 'tools', name);

const checks = [
  { name: 'generate', argv: [process.execPath, tool('build.mjs'), '--quiet', 'generate'] },
  { name: 'typecheck', argv: [bin('tsc'), '-p', '.'] },
  { name: 'format', argv: [bin('biome'), 'format', '.', '--max-diagnostics=30'] },
  { name: 'lint', argv: [bin('biome'), 'lint', '.', '--error-on-warnings', '--max-diagnostics=50'] },
  { name: 'layers', argv: [process.execPath, tool('check-layers.mjs')] },
  { name: 'abi', argv: [process.execPath, tool('check-abi.mjs')] },
  { name: 'docs', argv: [process.execPath, tool('gen-syscalls.mjs'), '--check'] },
  { name: 'cases', argv: [process.execPath, tool('check-cases.mjs')] },
  { name: 'text', argv: [process.execPath, tool('check-text.mjs')] },
  { name: 'deadcode', argv: [bin('knip'), '--no-progress'] },
];

const wanted = process.argv.slice(2);
for (const w of wanted) {
  if (!checks.some((c) => c.name === w)) {
    process.stderr.write(`check: no check '${w}'; there are: ${checks.map((c) => c.name).join(' ')}\n`);
    process.exit(2);
  }
}

function run({ name, argv }) {
  const started = Date.now();
  return new Promise((done) => {
    const child = spawn(argv[0], argv.slice(1), { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, NO_COLOR: '1' } });
    let text = '';
    child.stdout.on('data', (d) => (text += d));
    child.stderr.on('data', (d) => (text += d));
    child.on('error', (e) => (text += e.message));
    child.on('close', (code) => {
      process.stdout.write(`${code === 0 ? 'ok    ' : 'FAILED'}  ${name} (${((Date.now() - started) / 1000).toFixed(1)} s)\n`);
      if (code !== 0) process.stdout.write(`${text.trimEnd()}\n`);
      done(code === 0);
    });
  });
}

const chosen = checks.filter((c) => wanted.length === 0 || wanted.includes(c.name));
let good = true;
// Other checks read what the generators write.
if (chosen[0]?.name === 'generate') good = await run(chosen.shift());
const queue = [...chosen];
const worker = async () => {
  for (let c = queue.shift(); c !== undefined; c = queue.shift()) if (!(await run(c))) good = false;
};
await Promise.all([worker(), worker()]);
process.exit(good ? 0 : 1);
