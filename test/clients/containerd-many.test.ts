// Many containers at once and one after the other, through containerd: all of them work, and nothing of them is left behind.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { unhurried } from './containerd/machine.ts';
import { runtimes, several } from './kit/machine.ts';
import { type Pod, Pods } from './containerd/pods.ts';

/** How many times a container is made and removed by each client; 500 take a quarter of an hour. */
const CYCLES = Number(process.env['RINGFENCE_TEST_CYCLES'] ?? 40);
/** Generous for a machine with other work: milliseconds a cycle. */
const CYCLE_MS = 10_000;
const PODS = 10;
const CONTAINERS = 10;

let p: Pods;
beforeAll(async () => {
  p = await Pods.start();
});
afterAll(() => p?.stop());

describe.each(runtimes)('$name', ({ name: handler, path }) => {
  test(`${PODS * CONTAINERS} containers in ${PODS} pods at once`, async () => {
    const containers: { id: string; pod: Pod; i: number }[] = [];
    const pods: Pod[] = [];
    await several(PODS, async () => {
      pods.push(await p.run(handler));
    });
    await several(PODS * CONTAINERS, async (i) => {
      const pod = pods[i % PODS] as Pod;
      const id = await pod.run(`c${i}`, ['sh', '-c', `echo ${i} > /me; trap 'exit ${i}' TERM; while :; do sleep 0.5; done`]);
      containers.push({ id, pod, i });
    });
    const listed = (await p.cri.call('ListContainers'))['containers'];
    expect(listed).toHaveLength(PODS * CONTAINERS);
    for (const c of listed) expect(c['state']).toBe('CONTAINER_RUNNING');
    await several(containers.length, async (n) => {
      const { id, pod, i } = containers[n] as (typeof containers)[number];
      const said = await p.cri.exec(id, 'sh', '-c', 'cat /me; hostname');
      expect(said).toEqual({ status: 0, stdout: `${i}\n${pod.config['hostname']}\n`, stderr: '' });
    });
    await several(containers.length, async (n) => {
      const { id, i } = containers[n] as (typeof containers)[number];
      await p.cri.call('StopContainer', { container_id: id, timeout: 60 });
      expect(await p.cri.status(id)).toMatchObject({ state: 'CONTAINER_EXITED', exit_code: i });
    });
    await p.clean();
  }, 600_000);

  test(
    `${CYCLES} containers of ctr, one after the other: run, exec, kill, remove`,
    async () => {
      const m = p.machine;
      await several(CYCLES, async (i) => {
        const id = `cycle-${handler}-${i}`;
        expect(await m.ctr(['run', '-d', '--runc-binary', path, 'localhost/bb:latest', id, 'sleep', '1000'])).toMatchObject({ status: 0 });
        const said = await m.ctr(['task', 'exec', '--exec-id', 'x', id, ...unhurried('sh', '-c', `echo ${i}; exit 3`)]);
        expect(said).toEqual({ status: 3, stdout: `${i}\n`, stderr: '' });
        expect((await m.ctr(['task', 'kill', '-s', 'KILL', id])).stderr).toBe('');
        // --force waits for the end
        await m.ctr(['task', 'rm', '--force', id]);
        expect(await m.ctr(['container', 'rm', id])).toEqual({ status: 0, stdout: '', stderr: '' });
      });
      await m.expectClean();
    },
    CYCLES * CYCLE_MS,
  );

  test(
    `${CYCLES} containers of the CRI, in pods of ten: create, start, exec, stop, remove`,
    async () => {
      // The containers of one pod come one after the other, as from a kubelet: their shim makes one at a time, and containerd waits two
      // seconds at most for the answers that stand behind.
      await several(Math.ceil(CYCLES / CONTAINERS), async (n) => {
        const pod = await p.run(handler);
        for (let i = 0; i < Math.min(CONTAINERS, CYCLES - n * CONTAINERS); i++) {
          const id = await pod.run(`c${i}`, ['sleep', '1000']);
          expect(await p.cri.exec(id, 'sh', '-c', `echo ${i}; exit 3`)).toEqual({ status: 3, stdout: `${i}\n`, stderr: '' });
          await p.cri.call('StopContainer', { container_id: id, timeout: 0 });
          expect(await p.cri.status(id)).toMatchObject({ state: 'CONTAINER_EXITED', exit_code: 137 });
          await p.cri.call('RemoveContainer', { container_id: id });
        }
        await pod.remove();
      });
      await p.machine.expectClean();
    },
    CYCLES * CYCLE_MS,
  );
});
