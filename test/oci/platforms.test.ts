// --platform as a user meets it: what `doctor` says of an engine is what happens to a sandbox that asks for it.

import { readdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Bench } from './support.ts';

let bench: Bench;
const said = new Map<string, { verdict: string; detail: string }>();
beforeAll(() => {
  bench = new Bench();
  for (const line of bench.run(['doctor']).stdout.split('\n')) {
    const m = /^(ok|note|missing) +platform (\w+) +(.*)$/.exec(line);
    if (m !== null) said.set(m[2] as string, { verdict: m[1] as string, detail: m[3] as string });
  }
});
afterAll(() => bench.close());

test('doctor has a line for each engine', () => {
  expect([...said.keys()]).toEqual(['systrap', 'ptrace', 'kvm']);
  expect([...said.values()].filter((s) => s.detail === 'usable, taken by auto')).toHaveLength(1);
});

describe.each(['systrap', 'ptrace', 'kvm'])('--platform %s', (name) => {
  test('runs what it is asked to, or says in one line why it cannot', () => {
    const { verdict, detail } = said.get(name) as { verdict: string; detail: string };
    const r = bench.run(['do', '--', '/bin/echo', 'up'], { global: ['--platform', name] });
    if (verdict === 'ok') expect(r).toEqual({ status: 0, stdout: 'up\n', stderr: '' });
    else expect(r).toEqual({ status: 125, stdout: '', stderr: `ringfence: --platform ${name}: ${detail}\n` });
  });

  test('is in the state of a container, or leaves none behind', () => {
    const id = `c-${name}`;
    const r = bench.detached(['create', '--bundle', bench.bundle(['true']), id], { global: [`--platform=${name}`] });
    if (said.get(name)?.verdict === 'ok') {
      expect(r).toEqual({ status: 0, stdout: '', stderr: '' });
      expect(bench.recorded(id)).toMatchObject({ platform: name });
      expect(bench.run(['delete', '--force', id]).status).toBe(0);
    } else {
      expect(r).toEqual({ status: 1, stdout: '', stderr: `ringfence: --platform ${name}: ${said.get(name)?.detail}\n` });
    }
    expect(readdirSync(bench.states)).toEqual([]);
  });
});

test('auto is the default, and takes what doctor says', () => {
  const automatic = [...said].find(([, s]) => s.detail === 'usable, taken by auto')?.[0];
  const r = bench.detached(['create', '--bundle', bench.bundle(['true']), 'auto'], { global: ['--platform=auto'] });
  expect(r).toEqual({ status: 0, stdout: '', stderr: '' });
  expect(bench.recorded('auto')).toMatchObject({ platform: automatic });
});
