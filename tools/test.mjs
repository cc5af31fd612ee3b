// Builds, gets what the tests need, runs them, and ends with one line `N passed, N failed`.
//
//   node tools/test.mjs [--no-setup] [VITEST ARGUMENTS...]       npm test -- test/unit runs a part
//
// A part runs on one engine: systrap, or what RINGFENCE_TEST_PLATFORM names. The whole runs on systrap, and what an engine can break once
// more on each of the others.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The other engines that the whole run is for, as { name, must }; `must`: one that cannot work here is a failure. */
const OTHERS = [
  { name: 'ptrace', must: true },
  { name: 'kvm', must: false },
];
/** What runs on each of them. */
const THEIRS = ['test/syscalls', 'test/engine'];

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const args = process.argv.slice(2);
const setup = !args.includes('--no-setup');
const rest = args.filter((a) => a !== '--no-setup');
const total = { passed: 0, failed: 0, skipped: 0, status: 0 };

/** The last line of the output, then the end. */
function finish() {
  if (total.skipped > 0) process.stdout.write(`${total.skipped} skipped\n`);
  process.stdout.write(`${total.passed} passed, ${total.failed} failed\n`);
  process.exit(total.failed > 0 ? total.status || 1 : 0);
}

function fail(status = 1) {
  total.failed++;
  total.status ||= status;
}

function stage(command, argv, env = {}) {
  const r = spawnSync(command, argv, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, ...env } });
  if (r.error !== undefined) process.stderr.write(`${command}: ${r.error.message}\n`);
  return r.status ?? 1;
}

/** Runs tests and counts them. */
function tests(name, argv, env) {
  const results = join(root, 'dist', `test-results${name}.json`);
  rmSync(results, { force: true });
  const vitest = join(root, 'node_modules/vitest/vitest.mjs');
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${results}`];
  const status = stage(process.execPath, [vitest, 'run', ...reporters, ...argv], env);
  total.status ||= status;
  if (!existsSync(results)) return fail(status);
  const json = JSON.parse(readFileSync(results, 'utf8'));
  let failed = json.numFailedTests;
  // A file that could not even be loaded has no tests that could fail: it counts as one.
  for (const file of json.testResults) if (file.status === 'failed' && file.assertionResults.length === 0) failed++;
  if (failed === 0 && status !== 0) failed = 1;
  total.passed += json.numPassedTests;
  total.failed += failed;
  total.skipped += json.numPendingTests + json.numTodoTests;
}

/** Why an engine cannot run anything here; '' if it can. */
function refusal(engine) {
  const argv = ['--platform', engine, 'do', '--', '/bin/true'];
  const r = spawnSync(join(root, 'bin/ringfence'), argv, { encoding: 'utf8', timeout: 60_000 });
  return r.status === 0 ? '' : r.stderr.trim() || `ringfence ${argv.join(' ')} ended with status ${r.status}`;
}

mkdirSync(join(root, 'dist'), { recursive: true });
if (stage(process.execPath, [join(root, 'tools/build.mjs'), '--quiet']) !== 0) fail();
else if (setup && stage('bash', [join(root, 'tools/test-setup.sh')]) !== 0) fail();
if (total.failed > 0) finish();

tests('', rest);
if (rest.length === 0 && process.env.RINGFENCE_TEST_PLATFORM === undefined) {
  for (const { name, must } of OTHERS) {
    const why = refusal(name);
    if (why === '') {
      process.stdout.write(`tests on ${name}: ${THEIRS.join(', ')}\n`);
      tests(`-${name}`, THEIRS, { RINGFENCE_TEST_PLATFORM: name });
    } else {
      process.stdout.write(`tests on ${name}: ${must ? 'FAILED' : 'NOT RUN'}: ${why}\n`);
      if (must) fail();
    }
  }
}
finish();
