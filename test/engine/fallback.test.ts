// The ptrace engine on a host without PTRACE_SYSEMU: guests of native code behave the same.
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { answer, buildEngine } from './harness.ts';
import { MiniKernel } from './kernel.ts';

const root = path.resolve(import.meta.dirname, '../..');

// Whatever engine the other suites run on.
vi.hoisted(() => {
  process.env['RINGFENCE_TEST_PLATFORM'] = 'ptrace';
});

describe('without PTRACE_SYSEMU', () => {
  let directory = '';
  beforeAll(() => {
    const cc = process.env['CC'];
    process.env['CC'] = `${cc ?? 'gcc'} -DWITHOUT_SYSEMU`;
    directory = buildEngine(root, mkdtempSync(path.join(os.tmpdir(), 'ringfence-fallback-')));
    if (cc === undefined) delete process.env['CC'];
    else process.env['CC'] = cc;
  }, 60_000);
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  test.each([
    ['sleeping', 1],
    ['spinning', undefined],
  ])('%s', async (_name, cpus) => {
    for (const name of ['registers', 'vectors', 'vector_state', 'faults', 'spin', 'threads', 'forks', 'maps', 'leave']) {
      const k = new MiniKernel(directory, cpus);
      answer(k, directory);
      try {
        k.start(path.join(directory, 'guest'), [name]);
        await k.run();
        expect(k.output).toBe(`ok ${name}\n`);
        expect(k.faults.length, name).toBe(name === 'faults' ? 11 : name === 'maps' ? 2 : 0);
      } finally {
        k.close();
      }
    }
  });
});
