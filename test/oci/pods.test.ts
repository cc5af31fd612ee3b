// Pods: several containers that share namespaces, as containerd's CRI plugin, CRI-O and podman make them.

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Client, Pod } from './kit/pod.ts';
import { Rig, RUNTIMES } from './kit/runtimes.ts';
import { processesWith } from './support.ts';

/** Removes all containers of a rig, whatever state they are in. */
async function clear(rig: Rig): Promise<void> {
  if (existsSync(rig.states)) for (const id of readdirSync(rig.states)) await rig.run(['delete', '--force', id]);
}

describe.each(RUNTIMES)('%s', (name) => {
  let rig: Rig;
  beforeAll(() => {
    rig = new Rig(name);
  });
  afterEach(() => clear(rig));
  afterAll(() => rig.close());

  test('three containers share loopback, abstract sockets, System V shared memory and message queues', async () => {
    const pod = new Pod(rig);
    await pod.begin();
    await pod.member(['podmate', 'tcp-serve', '5000', 'over tcp']);
    await pod.member(['podmate', 'abstract-serve', 'mate', 'over unix']);
    const c = await pod.member(['sleep', '1000']);
    await pod.prints(c, 'over tcp', 'podmate', 'tcp-get', '5000');
    await pod.prints(c, 'over unix', 'podmate', 'abstract-get', 'mate');
    const d = await pod.member(['sh', '-c', 'podmate shm-put shared && podmate mq-put queued && sleep 1000']);
    await pod.prints(c, 'shared', 'podmate', 'shm-get');
    await pod.prints(c, 'queued', 'podmate', 'mq-get');
    expect((await pod.exec(c, 'hostname')).stdout).toBe('the-pod\n');
    expect((await pod.exec(d, 'sh', '-c', 'ls /dev/mqueue')).stdout).toBe('pod\n');
  });

  test('what is not shared is a container its own', async () => {
    const pod = new Pod(rig);
    await pod.begin();
    const a = await pod.member(['podmate', 'tcp-serve', '5000', 'x']);
    const alone = await pod.member(['sleep', '1000'], { share: [], change: (s) => (s.hostname = 'alone') });
    await pod.prints(a, 'x', 'podmate', 'tcp-get', '5000');
    await pod.exec(a, 'sh', '-c', 'podmate shm-put a; podmate mq-put a; touch /tmp/mine /dev/shm/mine');
    expect((await pod.exec(alone, 'podmate', 'tcp-get', '5000')).stdout).toMatch(/connect: Connection refused/);
    expect((await pod.exec(alone, 'podmate', 'shm-get')).stdout).toMatch(/shm: No such file/);
    expect((await pod.exec(alone, 'podmate', 'mq-get')).stdout).toMatch(/mq: No such file/);
    expect((await pod.exec(alone, 'hostname')).stdout).toBe('alone\n');
    expect((await pod.exec(alone, 'sh', '-c', 'ls /tmp /dev/shm')).stdout).toBe('/dev/shm:\n\n/tmp:\n');
    expect((await pod.exec(a, 'sh', '-c', 'ls /tmp /dev/shm')).stdout).toBe('/dev/shm:\nmine\n\n/tmp:\nmine\n');
    expect(readdirSync(join(a.bundle, 'rootfs/tmp'))).toEqual(['mine']);
  });

  test('process ids are a container its own, or shared', async () => {
    const pod = new Pod(rig);
    await pod.begin();
    const own = await pod.member(['sh', '-c', 'sleep 1000 & wait']);
    const shared = await pod.member(['sh', '-c', 'sleep 2000 & wait'], { share: ['network', 'ipc', 'uts', 'pid'] });
    const seen = async (m: typeof own): Promise<string[]> =>
      (await pod.exec(m, 'ps', '-o', 'args')).stdout.split('\n').filter((l) => /sleep|wait/.test(l));
    expect(await seen(own)).toEqual(['sh -c sleep 1000 & wait', 'sleep 1000']);
    expect(await seen(shared)).toEqual(['sleep 100000', 'sh -c sleep 2000 & wait', 'sleep 2000']);
    expect((await pod.exec(own, 'sh', '-c', 'cat /proc/1/comm')).stdout).toBe('sh\n');
    expect((await pod.exec(shared, 'sh', '-c', 'cat /proc/1/comm')).stdout).toBe('sleep\n');
    // Nobody outlives the container's first process.
    await pod.must('kill', shared.id, 'KILL');
    expect(await rig.reaper.exitOf(shared.pid)).toBe(137);
    await pod.must('delete', shared.id);
    expect((await rig.state(pod.sandbox.id)).status).toBe('running');
  });

  test('each ends with its own status, and takes nobody along', async () => {
    const pod = new Pod(rig);
    await pod.begin();
    const a = await pod.member(['sh', '-c', 'exit 3']);
    const b = await pod.member(['sleep', '1000']);
    const c = await pod.member(['sh', '-c', 'trap "exit 9" TERM; touch /tmp/ready; while true; do sleep 0.1; done']);
    const d = await pod.add(['sleep', '1000']);
    expect(await rig.reaper.exitOf(a.pid)).toBe(3);
    await pod.prints(c, '/tmp/ready', 'ls', '/tmp/ready');
    await pod.must('kill', c.id, 'TERM');
    expect(await rig.reaper.exitOf(c.pid)).toBe(9);
    for (const [m, status] of [
      [a, 'stopped'],
      [b, 'running'],
      [c, 'stopped'],
      [d, 'created'],
      [pod.sandbox, 'running'],
    ] as const) {
      expect([m.id, (await rig.state(m.id)).status]).toEqual([m.id, status]);
    }
    await pod.must('kill', '--all', b.id, 'KILL');
    expect(await rig.reaper.exitOf(b.pid)).toBe(137);
    await pod.must('start', d.id);
    await pod.must('delete', a.id);
    await pod.must('delete', '--force', d.id);
    expect((await rig.state(pod.sandbox.id)).status).toBe('running');
  });

  test('a pause holds one container, and the others go on', async () => {
    const pod = new Pod(rig);
    await pod.begin();
    const count = 'i=0; while true; do i=$((i+1)); echo $i > /tmp/n; sleep 0.02; done';
    const a = await pod.member(['sh', '-c', count]);
    const b = await pod.member(['sh', '-c', count]);
    const read = (m: typeof a): string => readFileSync(join(m.bundle, 'rootfs/tmp/n'), 'utf8').trim();
    const grows = async (m: typeof a): Promise<boolean> => {
      const before = Number(read(m));
      for (let i = 0; i < 200; i++) {
        await new Promise((done) => setTimeout(done, 50));
        if (Number(read(m)) > before + 2) return true;
      }
      return false;
    };
    await pod.prints(a, '/tmp/n', 'ls', '/tmp/n');
    await pod.prints(b, '/tmp/n', 'ls', '/tmp/n');
    await pod.must('pause', a.id);
    expect((await rig.state(a.id)).status).toBe('paused');
    expect((await rig.state(b.id)).status).toBe('running');
    const held = read(a);
    expect(await grows(b)).toBe(true);
    expect(read(a)).toBe(held);
    expect((await pod.exec(b, 'echo', 'here')).stdout).toBe('here\n');
    await pod.must('resume', a.id);
    expect(await grows(a)).toBe(true);
  });

  test('exec goes into the container that it names', async () => {
    const pod = new Pod(rig);
    await pod.begin();
    const members = [];
    for (const word of ['one', 'two', 'three']) {
      members.push(
        await pod.member(['sleep', '1000'], {
          change: (s, dir) => {
            writeFileSync(join(dir, 'rootfs/name'), word);
            s.process.env = [...(s.process.env ?? []), `WORD=${word}`];
          },
        }),
      );
    }
    for (const [i, word] of ['one', 'two', 'three'].entries()) {
      const m = members[i]!;
      expect((await pod.exec(m, 'sh', '-c', 'cat /name; echo " $WORD"; exit 5')).stdout).toBe(`${word} ${word}\n`);
      expect((await pod.exec(m, 'sh', '-c', 'exit 5')).status).toBe(5);
    }
  });
});

describe('ringfence', () => {
  let rig: Rig;
  beforeAll(() => {
    rig = new Rig('ringfence');
  });
  afterEach(async () => {
    await clear(rig);
    expect(readdirSync(rig.states)).toEqual([]);
    expect(processesWith(rig.dir)).toEqual([]);
  });
  afterAll(() => rig.close());

  test.each<Client>(['containerd', 'cri-o', 'podman'])('pods of %s share one Sentry', async (client) => {
    const pod = new Pod(rig, client);
    const sandbox = await pod.begin();
    await pod.member(['podmate', 'tcp-serve', '5000', 'served']);
    const b = await pod.member(['sleep', '1000']);
    await pod.prints(b, 'served', 'podmate', 'tcp-get', '5000');
    const state = JSON.parse(readFileSync(join(rig.states, b.id, 'state.json'), 'utf8')) as { sandbox?: string };
    expect(state.sandbox).toBe(sandbox.id);
    expect(existsSync(join(rig.states, b.id, 'control.sock'))).toBe(false);
  });
});
