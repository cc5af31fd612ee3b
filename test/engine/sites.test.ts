// Rewritten call sites, bytes that travel with calls, calls that the engine makes itself: guests of native code on the mini kernel. The
// same programs run on the host, which says what is right.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Asks } from './asks.ts';
import { testEngine } from './engines.ts';
import { buildEngine } from './harness.ts';
import { BLOCKED, MiniKernel } from './kernel.ts';
import { compareWindows } from './window.ts';

const root = path.resolve(import.meta.dirname, '../..');
const CODE = 0x20000000;
const CODE_SIZE = 0x4000;
const SYS_EXECVE = 59;
let directory = '';

beforeAll(() => {
  directory = buildEngine(root, mkdtempSync(path.join(os.tmpdir(), 'ringfence-sites-')));
}, 60000);

afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
});

interface Run {
  k: MiniKernel;
  asks: Asks;
}

async function run(program: string, name: string, cpus: number | undefined, patch: boolean): Promise<Run> {
  const k = new MiniKernel(directory, cpus, { patch });
  if (name === 'cold') k.spins = Infinity;
  const asks = new Asks(k, patch);
  compareWindows(k);
  k.answers.set(SYS_EXECVE, (t) => {
    const r = k.exec(t, path.join(directory, 'hello'), ['again']);
    return r < 0 ? r : BLOCKED;
  });
  try {
    k.start(path.join(directory, program), [name]);
    await k.run();
  } finally {
    k.close();
  }
  return { k, asks };
}

function host(program: string, name: string): string {
  return execFileSync(path.join(directory, program), [name], { encoding: 'latin1' });
}

/** Steps in generated code, relative to it. Others are the library's; none may be in an island. */
function stepsIn(steps: readonly number[]): string {
  return steps
    .filter((rip) => rip >= CODE && rip < CODE + CODE_SIZE)
    .map((rip) => `${(rip - CODE).toString(16)} `)
    .join('');
}

const engine = testEngine();
const rewrites = !engine.without.includes('rewriting of call sites');
const calls = !engine.without.includes('calls of its own');

const allModes: [string, number | undefined, boolean][] = [
  ['spinning', undefined, true],
  ['sleeping', 1, true],
  ['spinning, nothing is rewritten', undefined, false],
  ['sleeping, nothing is rewritten', 1, false],
];
const modes = allModes.filter(([, , patch]) => rewrites || !patch);
if (engine.without.length > 0) console.log(`${engine.name} is not asked for: ${engine.without.join(', ')}`);

test.each(['shapes', 'lookalike', 'crowd', 'storm', 'fault', 'forks', 'gs'])('on the host: %s', (name) => {
  expect(host('sites', name)).toBe(`ok ${name}\n`);
});

test.each(['state', 'futex'])('on the host: %s', (name) => {
  expect(host('traffic', name)).toBe(`ok ${name}\n`);
});

describe.each(modes)('call sites, %s', (_name, cpus, patch) => {
  test.each(['shapes', 'crowd', 'fault', 'forks', 'gs', 'unpatch', 'unpatch_threads', 'lookalike'])('%s', async (name) => {
    const { k } = await run('sites', name, cpus, patch);
    if (name !== 'fault') expect(k.faults).toEqual([]);
    expect(k.output).toBe(`ok ${name}\n`);
    if (name !== 'lookalike') expect((k.platform.statistics()['call sites rewritten'] ?? 0) > 0).toBe(patch);
  });

  test('another program after rewritten sites', async () => {
    const { k } = await run('sites', 'exec', cpus, patch);
    expect(k.output).toBe('hello 2 again pid 2 clock 1\n');
  });

  test('single steps', async () => {
    const { k, asks } = await run('sites', 'step', cpus, patch);
    expect(k.output).toBe('\nok step\n');
    expect(`${stepsIn(asks.steps)}\nok step\n`).toBe(host('sites', 'step'));
    expect(asks.steps.every((rip) => rip >= k.platform.minAddress && rip < k.platform.maxAddress)).toBe(true);
  });

  test('interrupts at any moment', async () => {
    const { k, asks } = await run('sites', 'storm', cpus, patch);
    expect(k.output).toBe('ok storm\n');
    expect(k.interrupts).toBeGreaterThan(0);
    expect(asks.strange).toEqual([]);
  });
});

describe.each(modes)('bytes and calls of the engine, %s', (_name, cpus, patch) => {
  test.each(['window', 'state', 'vectors', 'frame', ...(calls ? ['waiters', 'native_site'] : [])])('%s', async (name) => {
    const { k, asks } = await run('traffic', name, cpus, patch);
    expect(k.output).toBe(`ok ${name}\n`);
    expect(asks.strange).toEqual([]);
  });

  const stormsOfItsCalls = async (): Promise<void> => {
    const { k, asks } = await run('traffic', 'native_storm', cpus, patch);
    expect(k.output).toBe('ok native_storm\n');
    expect(asks.strange).toEqual([]);
    expect(k.restarts).toBe(0); // FUTEX_WAKE cannot be interrupted
  };

  const ownFutexes = async (): Promise<void> => {
    const { k } = await run('traffic', 'futex', cpus, patch);
    expect(k.output).toBe('ok futex\n');
    // pthread_join waits for a word that the kernel wakes: not private, and not the engine's.
    expect(k.counts.get(202) ?? 0).toBeLessThan(10);
  };

  if (calls) {
    test('interrupts at any moment of calls that the engine makes itself', stormsOfItsCalls);
    test('futex', ownFutexes);
  }

  test('a forged frame is a fault', async () => {
    const { k } = await run('traffic', 'forged', cpus, patch);
    expect(k.output).toBe(`${'refused '.repeat(8)}ok forged\n`);
    expect(k.faults.map((f) => [f.signal, f.code])).toEqual(Array(7).fill([11, 128]));
  });
});

test('a quiet context is cold, and its next event comes', async () => {
  const { k } = await run('traffic', 'cold', undefined, true);
  expect(k.output).toBe('ok cold\n');
});
