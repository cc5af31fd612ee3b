// Hostile guests (hostile.c): each attack may end its own process; the sandbox and the host live on.

import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testPlatform } from '../support/platform.ts';
import { type RunResult, runInSandbox } from '../support/run.ts';
import { program } from './support.ts';

/** Attacks that must fail: the child sees that and ends by itself. All others may also kill their own process. */
const MUST_FAIL = [
  'escape_calls',
  'escape_arguments',
  'pointers',
  'control_writable',
  'odd_registers',
  'upgrade_mapping',
  'flood_doorbell',
  'many_threads',
  'many_descriptors',
  'many_memfds',
  'many_processes',
  'much_memory',
];
/** Attacks after which the child can only wait: its parent ends it. */
const MAY_HANG = ['replace_region', 'flood_socket', 'close_all', 'unmap_region', 'block_zero', 'block_ones', 'block_noise', 'steal'];

const hostile = program('hostile');
const cases = spawnSync(hostile, ['--list'], { encoding: 'utf8' }).stdout.trim().split('\n');

/** A call costs a hundred times as much where KVM emulates. */
const slow = testPlatform === 'kvm';

describe('a hostile guest', { timeout: slow ? 150_000 : 60_000 }, () => {
  let dir = '';
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'rf-hostile-'));
    mkdirSync(join(dir, 'root'));
    for (const d of ['proc', 'dev', 'sys', 'tmp']) mkdirSync(join(dir, 'root', d));
    copyFileSync(hostile, join(dir, 'root/hostile'));
    writeFileSync(join(dir, 'marker'), 'of the host');
  });
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  function attack(name: string, user: string): Promise<RunResult> {
    const options = [
      '--root',
      join(dir, 'root'),
      '--user',
      user,
      '--env',
      `HOST_MARKER=${dir}/marker`,
      '--env',
      `LIMIT=${MAY_HANG.includes(name) ? 2 : slow ? 100 : 20}`,
    ];
    return runInSandbox(['/hostile', name], { options, timeout: slow ? 140_000 : 50_000 });
  }

  test('there are attacks', () => {
    expect(cases.length).toBeGreaterThan(30);
    for (const name of [...MUST_FAIL, ...MAY_HANG]) expect(cases).toContain(name);
  });

  for (const user of ['0:0', '1000:1000']) {
    test.each(cases)(`of user ${user} hurts only itself: %s`, async (name) => {
      const r = await attack(name, user);
      expect(r.stderr).toBe('');
      expect(r.stdout).toMatch(/^alive after/m);
      expect(r.status).toBe(0);
      if (/^nothing of the engine is in sight$/m.test(r.stdout)) expect(testPlatform).toBe('kvm');
      const end = /^end: (.*)$/m.exec(r.stdout)?.[1] ?? 'nothing';
      if (MUST_FAIL.includes(name)) expect(end, r.stdout).toBe('exit 0');
      else if (MAY_HANG.includes(name)) expect(end, r.stdout).toMatch(/^(exit 0|signal \d+|still runs)$/);
      else expect(end, r.stdout).toMatch(/^(exit 0|signal (4|5|7|9|10|11|31))$/);
      expect(readFileSync(join(dir, 'marker'), 'utf8')).toBe('of the host');
      expect(existsSync(join(dir, 'x'))).toBe(false);
    });
  }
});
