// What an engine's self-test says, and what is made of it.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { distFile } from '../../runsc-compat/host.ts';
import { chooseEngine, ENGINES, type EngineParts, platformName, whyNot } from '../../runsc-compat/platforms.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rf-platforms-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** An engine whose program is a shell script. */
function engineOf(script: string, device: string = ''): EngineParts {
  const file = join(folder, `program-${Math.random().toString(36).slice(2)}`);
  writeFileSync(file, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return { name: 'ptrace', program: relative(distFile('native'), file), device, obstacle: () => null, selfTest: true };
}

describe('an engine', () => {
  test('that finds nothing in its way is usable', () => {
    expect(whyNot(engineOf('[ "$*" = --check ]'))).toBeNull();
    expect(whyNot(engineOf('[ "$*" = "--check /dev/some" ]', '/dev/some'))).toBeNull();
  });

  test('says what is in its way in one line', () => {
    expect(whyNot(engineOf('echo "the moon is full: wait"; echo more; exit 1'))).toBe('the moon is full: wait');
    expect(whyNot(engineOf('echo "not on standard output" >&2; exit 3'))).toBe('not on standard output');
  });

  test('whose program ends without a word is not usable', () => {
    expect(whyNot(engineOf('exit 3'))).toBe('its self-test ended with wait status 768');
    expect(whyNot(engineOf('kill -SEGV $$'))).toMatch(/^its self-test ended with wait status (11|139)$/);
  });

  test('whose program sleeps is given up', () => {
    const started = performance.now();
    expect(whyNot(engineOf('exec sleep 1000', '/dev/some'))).toBe('its self-test hangs (/dev/some)');
    expect(performance.now() - started).toBeGreaterThan(900);
  });

  test('whose program waits for a child that works is waited for', () => {
    expect(whyNot(engineOf("sh -c 'i=0; while [ $i -lt 3000000 ]; do i=$((i + 1)); done'; exit 0"))).toBeNull();
  });

  test('whose program is slow because it works is waited for', () => {
    expect(whyNot(engineOf('i=0; while [ $i -lt 3000000 ]; do i=$((i + 1)); done'))).toBeNull();
  });

  test('whose program is not there was not built', () => {
    const gone: EngineParts = { ...engineOf(''), program: 'no-such-program' };
    expect(whyNot(gone)).toBe('dist/native/no-such-program was not built (npm run build)');
  });

  test('that knows an obstacle is not tried', () => {
    expect(whyNot({ ...engineOf('exit 0'), obstacle: () => 'a reason' })).toBe('a reason');
  });
});

describe('the choice', () => {
  test('of a name: known ones and auto', () => {
    for (const e of ENGINES) expect(platformName(e.name)).toBe(e.name);
    expect([platformName('auto'), platformName('')]).toEqual(['auto', 'auto']);
    expect(() => platformName('gvisor')).toThrow('unknown platform "gvisor": there are systrap, ptrace, kvm and auto');
  });

  test('of auto is the first that works, and never kvm', () => {
    const usable = ENGINES.filter((e) => e.name !== 'kvm' && whyNot(e) === null);
    expect(chooseEngine('auto', '', 1).name).toBe(usable[0]?.name);
  });

  test('of an engine whose device is not there fails with a hint', () => {
    expect(() => chooseEngine('kvm', '/no/such/kvm', 1)).toThrow(
      /^--platform kvm: (\/no\/such\/kvm is not there: modprobe|dist\/native\/kvmstub was not built)/,
    );
    const kvm = ENGINES.find((e) => e.name === 'kvm') as EngineParts;
    expect(kvm.obstacle('/no/such/kvm')).toMatch(/^\/no\/such\/kvm is not there: modprobe kvm_intel or kvm_amd/);
  });
});
