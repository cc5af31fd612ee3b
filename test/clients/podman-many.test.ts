// Many containers: a hundred at a time, and one after the other, with nothing left of any.

import { expect, test } from 'vitest';
import { withPodman } from './kit/each.ts';
import { busybox } from './kit/images.ts';

const BB = 'localhost/bb';
const AT_ONCE = 100;
/** RINGFENCE_TEST_CYCLES=500 for the whole of it (CONTRIBUTING.md). */
const CYCLES = Number(process.env['RINGFENCE_TEST_CYCLES'] ?? 20);
const WORKERS = 4;
const MINUTES = 60_000;

/** Works through 0 .. count-1, WORKERS at a time. */
async function each(count: number, work: (i: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: WORKERS }, worker));
}

withPodman(
  'podman many',
  () => [busybox()],
  (s) => {
    test(`${AT_ONCE} containers at once`, { timeout: 10 * MINUTES }, async () => {
      const name = (i: number): string => `at-once-${i}`;
      await each(AT_ONCE, async (i) => {
        await s.podman.must(['run', '-d', '--network=none', '--name', name(i), BB, 'sh', '-c', `echo ${i} >/number; exec sleep 10000`]);
      });
      const running = (await s.podman.must(['ps', '--format', '{{.Names}}'])).split('\n').filter((n) => n.startsWith('at-once-'));
      expect(running.length).toBe(AT_ONCE);
      await each(AT_ONCE / 5, async (i) => {
        expect(await s.exec(name(i * 5), 'cat', '/number')).toBe(String(i * 5));
      });
      await each(AT_ONCE / 10, async (i) => {
        const ten = [...Array(10).keys()].map((k) => name(i * 10 + k));
        await s.podman.must(['rm', '-f', '-t', '0', ...ten], { timeout: 5 * MINUTES });
      });
      expect(await s.podman.leftovers()).toEqual([]);
    });

    test(`${CYCLES} times create, start, exec, kill, delete`, { timeout: 60 * MINUTES }, async () => {
      await each(CYCLES, async (i) => {
        const name = `cycle-${i}`;
        await s.podman.must(['create', '--network=none', '--name', name, BB, 'sh', '-c', `echo begun ${i}; exec sleep 10000`]);
        await s.podman.must(['start', name]);
        const r = await s.podman.run(['exec', name, 'sh', '-c', `echo ${i} | tee /number; exit ${i % 100}`]);
        expect([r.stdout, r.status]).toEqual([`${i}\n`, i % 100]);
        await s.podman.must(['kill', name]);
        expect(await s.end(name)).toBe(137);
        expect(await s.podman.must(['logs', name])).toBe(`begun ${i}`);
        await s.podman.must(['rm', name]);
      });
      expect(await s.podman.must(['ps', '-aq'])).toBe('');
      expect(await s.podman.leftovers()).toEqual([]);
    });
  },
);
