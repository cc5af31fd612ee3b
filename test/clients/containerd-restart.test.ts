// containerd crashes and comes back while containers and pods run: they go on, are found again, and can be driven on.

import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { unhurried } from './containerd/machine.ts';
import { runtimes } from './kit/machine.ts';
import { Pods } from './containerd/pods.ts';

let p: Pods;
beforeAll(async () => {
  p = await Pods.start();
});
afterAll(() => p?.stop());

describe.each(runtimes)('$name', ({ name: handler, path }) => {
  afterEach(() => p.clean());
  const ticking = ['sh', '-c', 'trap "exit 6" TERM; while :; do echo x >> /ticks; sleep 0.1; done'];
  const count = 'wc -l < /ticks';

  test('pods and containers of the CRI', async () => {
    const m = p.machine;
    const pod = await p.run(handler);
    const first = await pod.run('first', ticking);
    const second = await pod.run('second', ['sh', '-c', 'until [ -e /go ]; do sleep 0.1; done; exit 7']);
    const ticks = async (): Promise<number> => Number((await p.cri.exec(first, 'sh', '-c', count)).stdout);
    const address = (await pod.status())['network']['ip'];
    expect(await m.until(async () => (await ticks()) > 2)).toBe(true);
    const before = await ticks();
    expect((await p.cri.exec(second, 'sh', '-c', '(sleep 1; touch /go) >/dev/null 2>&1 &')).status).toBe(0);
    await m.killDaemon();
    // the second one ends while nobody looks
    await new Promise((done) => setTimeout(done, 2000));
    await m.startDaemon();
    await p.ready();
    expect(await p.cri.status(first)).toMatchObject({ state: 'CONTAINER_RUNNING' });
    expect(await pod.status()).toMatchObject({ state: 'SANDBOX_READY', network: { ip: address } });
    expect(await p.ended(second)).toMatchObject({ exit_code: 7 });
    const after = await ticks();
    expect(after).toBeGreaterThan(before + 5);
    expect(await m.until(async () => (await ticks()) > after)).toBe(true);
    const third = await pod.run('third', ['sh', '-c', 'echo new; exit 2']);
    expect(await p.ended(third)).toMatchObject({ exit_code: 2 });
    expect(pod.log('third')).toEqual(['stdout new']);
    await p.cri.call('StopContainer', { container_id: first, timeout: 20 });
    expect(await p.cri.status(first)).toMatchObject({ state: 'CONTAINER_EXITED', exit_code: 6 });
  });

  test('tasks of ctr', async () => {
    const m = p.machine;
    const id = `again-${handler}`;
    expect(await m.ctr(['run', '-d', '--runc-binary', path, 'localhost/bb:latest', id, ...ticking])).toMatchObject({ status: 0 });
    const task = async (): Promise<string> => (await m.ctr(['task', 'ls'])).stdout.split('\n').find((l) => l.startsWith(`${id} `)) ?? '';
    const running = await task();
    expect(running).toMatch(/RUNNING/);
    await m.killDaemon();
    await m.startDaemon();
    expect(await task()).toBe(running);
    const ran = (await m.ctr(['task', 'exec', '--exec-id', 'x', id, ...unhurried('sh', '-c', count)])).stdout;
    expect(Number(ran)).toBeGreaterThan(0);
    expect((await m.ctr(['task', 'kill', '-s', 'TERM', id])).stderr).toBe('');
    expect(await m.until(async () => /STOPPED/.test(await task()))).toBe(true);
    expect((await m.ctr(['task', 'rm', id])).stderr).toMatch(/non-zero exit code 6\b/);
    await m.ctr(['container', 'rm', id]);
  });
});
