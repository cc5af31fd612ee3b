// Every guest program runs on the host and in a sandbox, by `ringfence compat run`. Each case must pass on both.

import { beforeAll, describe, expect, test } from 'vitest';
import { type JsonReport, report } from '../compat/support.ts';
import { buildGuests, casesOf } from '../support/build.ts';

// The programs to run, all by default: RINGFENCE_TEST_PROGRAMS=mmap,fork
const wanted = process.env['RINGFENCE_TEST_PROGRAMS']?.split(',');

for (const program of buildGuests()) {
  if (wanted !== undefined && !wanted.includes(program.name)) continue;
  const cases = casesOf(program);
  describe(program.name, () => {
    let found: JsonReport['programs'][number]['cases'] = [];
    beforeAll(async () => {
      found = (await report(['--timeout', '90', '--', program.path])).programs[0]?.cases ?? [];
    }, 600_000);
    test.each(cases)(`${program.name}/%s`, (name) => {
      const c = found.find((f) => f.name === name);
      expect([c?.host.verdict, c?.inside.verdict], `${c?.host.detail}\n${c?.inside.detail}`).toEqual(['pass', 'pass']);
    });
  });
}
