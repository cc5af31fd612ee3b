// What every engine must leave of the processor and of Linux: freestanding guests, each of whose assertions holds on the host first, and
// then on the engine that RINGFENCE_TEST_PLATFORM names, under a kernel of a few hundred lines. Each runs with a Sentry that looks for
// events all the time and with one that sleeps, with call sites rewritten and left alone.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { testEngine } from './engines.ts';
import { buildBare, buildEngine } from './harness.ts';
import { MiniKernel } from './kernel.ts';
import { Signals } from './signals.ts';

const root = path.resolve(import.meta.dirname, '../..');
const GUESTS = ['calls', 'faults', 'vectors', 'segments', 'code', 'processes', 'storms'];
const directory = buildEngine(root, mkdtempSync(path.join(os.tmpdir(), 'ringfence-conformance-')));
const engine = testEngine();
const LIMIT = 50_000; // milliseconds, of one guest

afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
});

const modes: [string, number | undefined, boolean][] = [
  ['spinning', undefined, true],
  ['sleeping', 1, true],
  ['spinning, nothing is rewritten', undefined, false],
  ['sleeping, nothing is rewritten', 1, false],
];

/** The output of a guest and its status as wait4(2) shows it. */
async function run(program: string, name: string, cpus: number | undefined, patch: boolean): Promise<[string, number]> {
  const k = new MiniKernel(directory, cpus, { patch });
  const signals = new Signals(k);
  try {
    k.start(program, [name]);
    await k.run(LIMIT);
    return [k.output, k.processes[0]?.status ?? -1];
  } finally {
    k.close();
    signals.close();
  }
}

/** What comes of a guest that does what the engine cannot do by nature: output and status. Null: the engine can. */
function declared(name: string, patch: boolean): [string, number] | null {
  // SECURITY.md, "What a compromised process can do": the process ends with SIGSEGV.
  if (name === 'gs_by_instruction' && patch && engine.without.includes('GS bases by instruction beside rewritten call sites'))
    return ['', 11];
  return null;
}

console.log(`engine ${engine.name}; by its nature it is without: ${engine.without.join(', ') || 'nothing'}`);

for (const guest of GUESTS) {
  const program = buildBare(root, directory, guest);
  const names = spawnSync(program, [], { encoding: 'latin1' }).stdout.trim().split('\n');
  describe(guest, () => {
    test.each(names)('on the host: %s', (name) => {
      expect(execFileSync(program, [name], { encoding: 'latin1', timeout: LIMIT })).toBe(`ok ${name}\n`);
    });
    describe.each(modes)(`${engine.name}, %s`, (_mode, cpus, patch) => {
      test.each(names)('%s', async (name) => {
        expect(await run(program, name, cpus, patch)).toEqual(declared(name, patch) ?? [`ok ${name}\n`, 0]);
      });
    });
  });
}
