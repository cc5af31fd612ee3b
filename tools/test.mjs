// Builds, gets what the tests need, runs them, and ends with one line `N passed, N failed`.
//
//   node tools/test.mjs [--no-setup] [VITEST ARGUMENTS...]       npm test -- test/unit runs a part

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const results = join(root, 'dist', 'test-results.json');
const args = process.argv.slice(2);
const setup = !args.includes('--no-setup');
const rest = args.filter((a) => a !== '--no-setup');

/** The last line of the output, then the end. */
function finish(passed, failed, status) {
  process.stdout.write(`${passed} passed, ${failed} failed\n`);
  process.exit(status);
}

function stage(command, argv) {
  const r = spawnSync(command, argv, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  if (r.error !== undefined) process.stderr.write(`${command}: ${r.error.message}\n`);
  return r.status ?? 1;
}

mkdirSync(join(root, 'dist'), { recursive: true });
if (stage(process.execPath, [join(root, 'tools/build.mjs'), '--quiet']) !== 0) finish(0, 1, 1);
if (setup && stage('bash', [join(root, 'tools/test-setup.sh')]) !== 0) finish(0, 1, 1);

rmSync(results, { force: true });
const vitest = join(root, 'node_modules/vitest/vitest.mjs');
const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${results}`];
const status = stage(process.execPath, [vitest, 'run', ...reporters, ...rest]);

if (!existsSync(results)) finish(0, 1, status === 0 ? 1 : status);
const json = JSON.parse(readFileSync(results, 'utf8'));
let failed = json.numFailedTests;
// A file that could not even be loaded has no tests that could fail: it counts as one.
for (const file of json.testResults) if (file.status === 'failed' && file.assertionResults.length === 0) failed++;
if (failed === 0 && status !== 0) failed = 1;
const skipped = json.numPendingTests + json.numTodoTests;
if (skipped > 0) process.stdout.write(`${skipped} skipped\n`);
finish(json.numPassedTests, failed, failed > 0 ? status || 1 : 0);
