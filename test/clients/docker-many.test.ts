// Many containers at once and one after the other, through docker: all of them work, and nothing of them is left behind.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DockerMachine } from './docker/machine.ts';
import { busybox } from './kit/images.ts';
import { runtimes, several } from './kit/machine.ts';

/** How many times a container is made and removed. */
const CYCLES = Number(process.env['RINGFENCE_TEST_CYCLES'] ?? 20);
/** Generous for a machine with other work: milliseconds a cycle. */
const CYCLE_MS = 15_000;
const AT_ONCE = 100;
const IMAGE = busybox().reference;

let m: DockerMachine;
beforeAll(async () => {
  m = await DockerMachine.start(busybox());
}, 300_000);
afterAll(() => m?.stop());

describe.each(runtimes)('$name', ({ name: runtime }) => {
  const base = ['run', '--runtime', runtime, '--network', 'none', '-d'];

  test(`${AT_ONCE} containers at once`, async () => {
    const names = Array.from({ length: AT_ONCE }, (_, i) => `at-once-${i}`);
    await several(AT_ONCE, async (i) => {
      await m.must([...base, '--name', names[i] as string, IMAGE, 'sh', '-c', `echo ${i}; exec sleep 1000`], { timeout: 120_000 });
    });
    expect((await m.must(['ps', '-q'])).split('\n').length).toBe(AT_ONCE);
    await several(AT_ONCE, async (i) => {
      const r = await m.docker(['exec', names[i] as string, 'sh', '-c', `echo in ${i}; exit ${i}`], { timeout: 120_000 });
      expect(r).toEqual({ status: i, stdout: `in ${i}\n`, stderr: '' });
      expect(await m.must(['logs', names[i] as string])).toBe(String(i));
    });
    await m.must(['rm', '-f', ...names], { timeout: 300_000 });
    await m.expectClean();
  }, 900_000);

  test(
    `${CYCLES} containers one after the other: create, start, exec, kill, remove`,
    async () => {
      await several(CYCLES, async (i) => {
        const name = `cycle-${i}`;
        const create = ['create', '--runtime', runtime, '--network', 'none', '--name', name, IMAGE, 'sleep', '1000'];
        await m.must(create);
        await m.must(['start', name]);
        expect(await m.docker(['exec', name, 'sh', '-c', `echo ${i}; exit 3`])).toEqual({ status: 3, stdout: `${i}\n`, stderr: '' });
        await m.must(['kill', name]);
        await m.must(['rm', '-f', name]);
      });
      await m.expectClean();
    },
    CYCLES * CYCLE_MS,
  );
});
