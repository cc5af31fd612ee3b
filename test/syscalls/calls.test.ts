// Cases are about the system calls that they name: on the host, each holds as things are, and fails when one of its calls answers ENOSYS.
// A case that does not make a call, or does not look at what comes of it, cannot name it. tools/check-cases.mjs counts on that. Cases that
// look at filters or at who their parents are name no calls: a refusal changes those.

import { describe, test } from 'vitest';
import * as nr from '../../src/abi/nr.ts';
import { buildGuests, type GuestCase, type GuestProgram, listCases } from '../support/build.ts';
import { runOnHost } from '../support/run.ts';
import { parseTap, type Verdicts } from '../support/tap.ts';

/** A number that no system call has: refusing it changes nothing. */
const NOTHING = 2000;
/** Seconds for a case; one that waits for ever without its call has failed as well. */
const LIMIT = 2;

async function refusing(number: number, program: GuestProgram, cases: GuestCase[], limit: number): Promise<Verdicts> {
  const argv = [program.path, '--limit', String(limit), '--refuse', String(number), ...cases.map((c) => c.name)];
  const r = await runOnHost(argv, { timeout: 300_000 });
  const verdicts = parseTap(r.stdout);
  if (verdicts.size !== cases.length) throw new Error(`${argv.join(' ')}: status ${r.status}; ${r.stderr}`);
  return verdicts;
}

// The first program of each source: its other builds have the same cases.
const seen = new Set<string>();
const programs = buildGuests().filter((p) => {
  const key = JSON.stringify(listCases(p));
  return !seen.has(key) && seen.add(key);
});

// Most of the time is waiting, for calls that do not come.
describe.concurrent.each(programs)('$name', (program) => {
  const cases = listCases(program).filter((c) => c.calls.length > 0);

  test.concurrent('cases hold when nothing is refused', { timeout: 600_000 }, async ({ expect }) => {
    const verdicts = await refusing(NOTHING, program, cases, 30);
    expect([...verdicts].filter(([, v]) => v !== 'ok')).toEqual([]);
  });

  test.concurrent('cases fail without the calls that they name', { timeout: 600_000 }, async ({ expect }) => {
    const numbers: Record<string, number> = nr;
    const unmoved: string[] = [];
    for (const call of new Set(cases.flatMap((c) => c.calls))) {
      const number = numbers[`SYS_${call}`];
      if (number === undefined) throw new Error(`${program.name}: '${call}' is no system call`);
      const about = cases.filter((c) => c.calls.includes(call));
      for (const [name, v] of await refusing(number, program, about, LIMIT)) if (v === 'ok') unmoved.push(`${name} passes without ${call}`);
    }
    expect(unmoved).toEqual([]);
  });
});
