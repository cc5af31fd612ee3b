// Pods: several containers that share namespaces, as containerd's CRI plugin, CRI-O and podman make them.

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { childrenOf, commandLine, kill9, sandboxOf } from '../security/support.ts';
import { type Client, type Member, Pod } from './kit/pod.ts';
import { Rig, RUNTIMES, type TestSpec } from './kit/runtimes.ts';
import { processesWith, type Result } from './support.ts';

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

  test('files, sockets and FIFOs of a volume that several have mounted', async () => {
    const pod = new Pod(rig);
    await pod.begin();
    const volume = join(rig.dir, `volume-${rig.id()}`);
    mkdirSync(volume);
    const change = (s: TestSpec): void => {
      s.mounts.push({ destination: '/shared', type: 'bind', source: volume, options: ['rbind', 'rw'] });
    };
    const a = await pod.member(['podmate', 'path-serve', '/shared/sock', 'by name'], { change });
    const b = await pod.member(['sh', '-c', 'mkfifo /shared/fifo; cat /shared/fifo > /got; sleep 1000'], { change });
    const c = await pod.member(['sleep', '1000'], { change });
    await pod.prints(c, 'by name', 'podmate', 'path-get', '/shared/sock');
    await pod.prints(c, '/shared/fifo', 'ls', '/shared/fifo');
    await pod.must('exec', c.id, 'sh', '-c', 'echo flown > /shared/fifo');
    await pod.prints(b, 'flown', 'cat', '/got');
    await pod.must('exec', a.id, 'sh', '-c', 'echo written > /shared/file');
    await pod.prints(b, 'written', 'cat', '/shared/file');
    // A name whose socket is gone is a name all the same.
    await pod.must('kill', a.id, 'KILL');
    await rig.reaches(a.id, 'stopped');
    expect((await pod.exec(c, 'podmate', 'path-get', '/shared/sock')).stdout).toMatch(/connect: Connection refused/);
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

  test('the end of a helper process is the end of its container, or of the pod', async () => {
    const kinds: [string, (p: Pod, m: Member) => number, 'member' | 'pod'][] = [
      ["a member's stand-in", (_p, m) => m.pid, 'member'],
      ["a member's Gofer", (_p, m) => goferOf(m.pid), 'member'],
      ["the sandbox's stand-in", (p) => p.sandbox.pid, 'pod'],
      ["the sandbox's Gofer", (p) => goferOf(p.sandbox.pid), 'pod'],
      ['the Sentry', (p) => sandboxOf(p.sandbox.pid).sentry, 'pod'],
    ];
    for (const [what, victim, whose] of kinds) {
      const pod = new Pod(rig);
      await pod.begin();
      const m = await pod.member(['sleep', '1000']);
      const other = await pod.member(['sleep', '1000']);
      kill9(victim(pod, m));
      await rig.reaches(m.id, 'stopped');
      expect(await rig.reaper.exitOf(m.pid), what).toBe(137);
      if (whose === 'member') {
        for (const o of [other, pod.sandbox]) expect([what, (await rig.state(o.id)).status]).toEqual([what, 'running']);
        expect((await pod.exec(other, 'echo', 'on')).stdout).toBe('on\n');
        await pod.must('delete', m.id);
        await pod.must('delete', '--force', other.id);
      } else {
        await rig.reaches(other.id, 'stopped');
        await rig.reaches(pod.sandbox.id, 'stopped');
        // Members whose sandbox is gone are dead containers like any other.
        await pod.must('kill', '--all', m.id, 'KILL');
        expect((await rig.run(['kill', m.id, 'TERM'])).stderr).toMatch(/container not running/);
        await pod.must('delete', pod.sandbox.id);
        await pod.must('delete', m.id);
        await pod.must('delete', '--force', other.id);
      }
      await clear(rig);
    }
  });

  test('the end of the sandbox container ends its members', async () => {
    const pod = new Pod(rig);
    await pod.begin();
    const m = await pod.member(['sleep', '1000']);
    const created = await pod.add(['sleep', '1000']);
    await pod.must('kill', pod.sandbox.id, 'KILL');
    expect(await rig.reaper.exitOf(m.pid)).toBe(137);
    expect(await rig.reaper.exitOf(created.pid)).toBe(137);
    await pod.must('delete', m.id);
    await pod.must('delete', pod.sandbox.id);
    await pod.must('delete', created.id);
  });

  test('members go in any order, also after their sandbox', async () => {
    const orders = [
      [0, 1, 2, 3],
      [3, 2, 1, 0],
      [1, 0, 3, 2],
      [2, 3, 0, 1],
    ];
    for (const order of orders) {
      const pod = new Pod(rig);
      const all = [await pod.begin()];
      for (let i = 0; i < 3; i++) all.push(await pod.member(['sleep', '1000']));
      for (const i of order) await pod.must('delete', '--force', all[i]!.id);
      expect(readdirSync(rig.states)).toEqual([]);
    }
  });

  test('what a container cannot join is told in one line', async () => {
    const pod = new Pod(rig);
    const m = async (sandbox: string): Promise<Result> => {
      const bundle = rig.bundle(['true'], (s) => {
        s.annotations = { 'io.kubernetes.cri.container-type': 'container', 'io.kubernetes.cri.sandbox-id': sandbox };
      });
      return await rig.run(['create', '--bundle', bundle, rig.id()]);
    };
    expect(await m('nosuch')).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/in the sandbox "nosuch".*: there is no such container\n$/),
    });
    for (const bad of ['../../etc', 'a/b', '..', 'x\ny']) {
      const r = await m(bad);
      expect(r.status).toBe(1);
      expect(r.stderr).toMatch(/: that is not the id of a container\n$/);
      expect(r.stderr.trim().split('\n')).toHaveLength(1);
    }
    await pod.begin();
    await pod.must('kill', pod.sandbox.id, 'KILL');
    await rig.reaches(pod.sandbox.id, 'stopped');
    expect((await m(pod.sandbox.id)).stderr).toMatch(/: it is stopped\n$/);
    expect(readdirSync(rig.states)).toEqual([pod.sandbox.id]);
  });

  test('a process that cannot be started is the end of its container alone', async () => {
    const pod = new Pod(rig);
    await pod.begin();
    const bad = await pod.add(['/bin/garbage'], {
      change: (_s, dir) => writeFileSync(join(dir, 'rootfs/bin/garbage'), 'no program\n', { mode: 0o755 }),
    });
    const r = await rig.run(['start', bad.id]);
    expect(r.status).not.toBe(0);
    expect(r.stderr).toMatch(/exec.*garbage/);
    await rig.reaches(bad.id, 'stopped');
    expect((await rig.state(pod.sandbox.id)).status).toBe('running');
    await pod.must('delete', bad.id);
  });

  test('configurations may be large', async () => {
    const pod = new Pod(rig);
    await pod.begin();
    const big = 'x'.repeat(100_000);
    const m = await pod.member(['sleep', '1000'], {
      change: (s) => (s.process.env = [...(s.process.env ?? []), `A=${big}`, `B=${big}`, `C=${big}`]),
    });
    expect((await pod.exec(m, 'sh', '-c', 'for i in "$A" "$B" "$C"; do echo -n "$i" | wc -c; done')).stdout).toBe(
      '100000\n100000\n100000\n',
    );
  });

  test('containers of a pod come and go at the same time', async () => {
    const pod = new Pod(rig);
    await pod.begin();
    const members = await Promise.all(Array.from({ length: 10 }, () => pod.member(['sleep', '1000'])));
    const seen = await Promise.all(members.map((m) => pod.exec(m, 'cat', '/proc/1/comm')));
    expect(seen.map((r) => r.stdout)).toEqual(members.map(() => 'sleep\n'));
    await Promise.all(members.slice(0, 5).map((m) => pod.must('delete', '--force', m.id)));
    // The sandbox goes while members are made: each is made whole or not at all.
    const late = Promise.allSettled(Array.from({ length: 4 }, () => pod.member(['sleep', '1000'])));
    await pod.must('delete', '--force', pod.sandbox.id);
    await late;
    for (const id of readdirSync(rig.states)) expect((await rig.state(id)).status).toBe('stopped');
  });

  test('signals, lists of processes and counts stay in their container', async () => {
    const pod = new Pod(rig);
    await pod.begin();
    const share = ['network', 'ipc', 'uts', 'pid'];
    const a = await pod.member(['sh', '-c', 'sleep 1000 & sleep 1001 & wait'], { share });
    const b = await pod.member(['sleep', '2000'], { share });
    const rows = (await pod.must('ps', a.id)).trim().split('\n').slice(1);
    expect(rows.map((r) => r.replace(/^.*\d\d:\d\d:\d\d +/, ''))).toEqual([
      'sh -c sleep 1000 & sleep 1001 & wait',
      'sleep 1000',
      'sleep 1001',
    ]);
    const counts = JSON.parse(await pod.must('debug', '--format', 'json', b.id)) as { tasks: number };
    expect(counts.tasks).toBe(1);
    await pod.must('kill', '--all', a.id, 'KILL');
    expect(await rig.reaper.exitOf(a.pid)).toBe(137);
    expect((await rig.state(b.id)).status).toBe('running');
    // The first process of the namespace, which inherits them, reaps nobody.
    const left = (await pod.exec(b, 'ps', '-o', 'args')).stdout.split('\n').filter((l) => !l.startsWith('['));
    expect(left).toEqual(['COMMAND', 'sleep 100000', 'sleep 2000', 'ps -o args', '']);
  });

  test('two hundred members leave nothing in the Sentry', { timeout: 240_000 }, async () => {
    const pod = new Pod(rig);
    await pod.begin();
    const sentry = sandboxOf(pod.sandbox.pid).sentry;
    const script = 'echo x > /tmp/file; head -c 300000 /dev/zero > /dev/shm/large; mkfifo /tmp/f; sleep 1000';
    const bundle = pod.bundle(['sh', '-c', script]);
    let cycles = 0;
    const cycle = async (): Promise<void> => {
      const id = rig.id();
      await pod.must('create', '--bundle', bundle, id);
      await pod.must('start', id);
      if (cycles++ % 4 === 0) await rig.run(['exec', id, 'ls', '-R', '/bin', '/tmp']);
      await pod.must('delete', '--force', id);
    };
    const some = async (n: number): Promise<void> => {
      for (let i = 0; i < n; i += 2) await Promise.all([cycle(), cycle()]);
    };
    await some(20);
    const before = await resting(sentry);
    await some(200);
    const after = await resting(sentry);
    expect(after.descriptors).toBeLessThanOrEqual(before.descriptors + 2);
    expect(after.memory).toBeLessThan(before.memory + 12 * 1024);
  });
});

function goferOf(standin: number): number {
  const gofer = childrenOf(standin).find((pid) => commandLine(pid).includes('gofer.cjs'));
  if (gofer === undefined) throw new Error(`no Gofer below ${standin}`);
  return gofer;
}

/** Descriptors and private memory in KiB of a Sentry that has nothing to do: the least of some looks, for it gives back what it does not need. */
async function resting(sentry: number): Promise<{ descriptors: number; memory: number }> {
  let descriptors = Number.POSITIVE_INFINITY;
  let memory = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 10; i++) {
    await new Promise((done) => setTimeout(done, 500));
    const text = readFileSync(`/proc/${sentry}/smaps_rollup`, 'latin1');
    const kib = (name: string): number => Number(new RegExp(`^${name}: +(\\d+)`, 'm').exec(text)?.[1] ?? 'NaN');
    descriptors = Math.min(descriptors, readdirSync(`/proc/${sentry}/fd`).length);
    memory = Math.min(memory, kib('Private_Dirty'));
  }
  return { descriptors, memory };
}
