// Every guest program runs on the host and in a sandbox. Each case must pass on both.

import { beforeAll, describe, expect, test } from 'vitest';
import { buildGuests, casesOf, type GuestProgram } from '../support/build.ts';
import { type RunResult, runInSandbox, runOnHost } from '../support/run.ts';
import { parseTap, type Verdicts } from '../support/tap.ts';

type Runner = (argv: string[], options: { timeout: number }) => Promise<RunResult>;

// The programs to run, all by default: RINGFENCE_TEST_PROGRAMS=mmap,fork
const wanted = process.env['RINGFENCE_TEST_PROGRAMS']?.split(',');

/** Runs all cases in one go; if the run breaks off, the case it broke off in is noted and a new run takes the rest. */
async function verdictsOf(run: Runner, program: GuestProgram, cases: string[]): Promise<Verdicts> {
  const verdicts: Verdicts = new Map();
  let rest = cases;
  for (let attempt = 0; attempt < 4 && rest.length > 0; attempt++) {
    const only = rest.length === cases.length ? [] : rest;
    const r = await run([program.path, ...only], { timeout: 90_000 });
    parseTap(r.stdout, verdicts);
    rest = rest.filter((name) => !verdicts.has(name));
    const broken = rest.shift();
    if (broken !== undefined) verdicts.set(broken, `no verdict: the run ended with ${r.status}; ${r.stderr.trim().slice(-300)}`);
  }
  return verdicts;
}

for (const program of buildGuests()) {
  if (wanted !== undefined && !wanted.includes(program.name)) continue;
  const cases = casesOf(program);
  describe(program.name, () => {
    let host: Verdicts = new Map();
    let sandbox: Verdicts = new Map();
    beforeAll(async () => {
      host = await verdictsOf(runOnHost, program, cases);
      sandbox = await verdictsOf(runInSandbox, program, cases);
    }, 600_000);
    test.each(cases)(`${program.name}/%s`, (name) => {
      expect({ host: host.get(name), sandbox: sandbox.get(name) }).toEqual({ host: 'ok', sandbox: 'ok' });
    });
  });
}
