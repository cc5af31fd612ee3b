// The systrap engine alone: guests of native code on a kernel of 300 lines.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testEngine } from './engines.ts';
import { answer, buildEngine } from './harness.ts';
import { MiniKernel } from './kernel.ts';

const root = path.resolve(import.meta.dirname, '../..');
let directory = '';

beforeAll(() => {
  directory = buildEngine(root, mkdtempSync(path.join(os.tmpdir(), 'ringfence-engine-')));
}, 60000);

afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
});

async function run(args: string[], cpus?: number, program = 'guest'): Promise<MiniKernel> {
  const k = new MiniKernel(directory, cpus);
  answer(k, directory);
  try {
    k.start(path.join(directory, program), args);
    await k.run();
  } finally {
    k.close();
  }
  return k;
}

/** Processes whose parent is `pid`. */
function children(pid: number): number[] {
  const found: number[] = [];
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'latin1');
      if (Number(stat.slice(stat.lastIndexOf(')') + 4).split(' ')[0]) === pid) found.push(Number(name));
    } catch {
      // It has ended meanwhile.
    }
  }
  return found;
}

/** Does a process run? One that nobody has reaped yet does not. */
function alive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat[stat.lastIndexOf(')') + 2] !== 'Z';
  } catch {
    return false;
  }
}

describe.each([
  ['spinning', undefined],
  ['sleeping', 1],
])('%s', (_name, cpus) => {
  test('a static program runs, with the host vDSO', async () => {
    const k = await run(['there'], cpus, 'hello');
    expect(k.output).toBe('hello 2 there pid 2 clock 1\n');
    expect(k.processes[0]?.status).toBe(3 << 8);
  });

  test.each(['registers', 'vectors', 'vector_state', 'threads', 'forks', 'maps', 'storm', 'crowd', 'leave'])('%s', async (name) => {
    const k = await run([name], cpus);
    expect(k.output).toBe(`ok ${name}\n`);
    if (name === 'storm') expect(k.interrupts).toBeGreaterThan(0);
    expect(k.processes[0]?.status).toBe(0);
  });

  test('a busy loop is interrupted', async () => {
    const k = await run(['spin'], cpus);
    expect(k.output).toBe('ok spin\n');
    expect(k.interrupts).toBe(1);
  });
});

test('more address spaces than one reservation of regions holds', async () => {
  const k = new MiniKernel(directory);
  try {
    for (let i = 0; i < 150; i++) k.start(path.join(directory, 'hello'), [`${i}`]);
    await k.run();
    expect(k.output.split('\n').length).toBe(151);
    for (let i = 0; i < 300; i++) {
      k.start(path.join(directory, 'hello'), ['again']);
      await k.run();
    }
    expect(k.processes.every((p) => p.status === 3 << 8)).toBe(true);
  } finally {
    k.close();
  }
});

test('faults carry signal, code, address, trap and error', async () => {
  const k = await run(['faults']);
  expect(k.output).toBe('ok faults\n');
  const seen = k.faults.map((f) => [f.signal, f.code, f.address, f.trap, f.error]);
  const constant = k.faults[2]?.address as number;
  const division = k.faults[3]?.rip as number;
  const undefinedAt = k.faults[4]?.rip as number;
  expect(constant % 4096).toBe(5);
  expect(seen).toEqual([
    [11, 1, 0x123456789000, 14, 4],
    [11, 1, 0x123456789000, 14, 6],
    [11, 2, constant, 14, 7],
    [8, 1, division, 0, 0],
    [4, 2, undefinedAt, 6, 0],
    [5, 128, 0, 3, 0],
    [11, 128, 0, 13, 0],
    [11, 128, 0, 13, 0],
    [11, 1, 0x200000, 14, 20],
    [11, 128, 0, 13, 0x402],
    [11, 1, 8, 14, 6],
  ]);
});

const unseen = testEngine().without.includes('a stub in guest memory');

async function looksForEngine(): Promise<void> {
  const k = await run(['unseen']);
  expect(k.output).toBe('ok unseen\n');
  expect(k.faults.length).toBe(36);
  for (const f of k.faults) expect([f.signal, f.code, f.trap]).toEqual([11, 1, 14]);
}

async function callsIntoStub(): Promise<void> {
  const k = await run(['hostile']);
  expect(k.output).toBe('ok hostile\n');
  expect(k.fromStub.length).toBe(30);
  const region = testEngine().without.includes('a region in guest memory') ? [0x7ff000200000] : [];
  expect(k.faults.map((f) => f.address)).toEqual([0x7ff000100000, 0x7ff000001000, ...region]);
  expect(k.gone).toBe(1 - region.length);
}

// What an engine does not have by nature is not looked for: the other test takes its place.
if (unseen) test('a guest that looks for the engine finds nothing', looksForEngine);
else test('a guest that calls into the stub gets nothing', callsIntoStub);

test('a killed guest process shows as gone, even while the Sentry sleeps', async () => {
  const k = await run(['killed']);
  expect(k.gone).toBe(1);
  expect(k.output).toBe('');
});

test('guests end with the Sentry: nothing is left', async () => {
  const k = new MiniKernel(directory);
  answer(k, directory);
  const t = k.start(path.join(directory, 'guest'), ['spin']);
  const pid = t.context.addressSpace as unknown as { pid: number };
  expect(children(k.stubPid)).toContain(pid.pid);
  k.platform['engine'].addon.close(k.platform['engine'].stubFd); // as when the Sentry's process ends
  for (let i = 0; i < 200; i++) {
    if (children(k.stubPid).length === 0) break;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  expect(children(k.stubPid)).toEqual([]);
  for (let i = 0; i < 200 && alive(pid.pid); i++) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(alive(pid.pid)).toBe(false);
});
