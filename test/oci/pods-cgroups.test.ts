// Control groups of the containers of a pod: each one's guests are measured, limited and killed for lack of memory in its own.

import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { hostHierarchies, mountOf, UNIFIED } from '../../runsc-compat/cgroups/hierarchies.ts';
import type { Resources } from '../../runsc-compat/cgroups/resources.ts';
import { childrenOf, kill9, sandboxOf } from '../security/support.ts';
import { type Member, Pod } from './kit/pod.ts';
import { Rig, type RuntimeName, type TestSpec } from './kit/runtimes.ts';
import { until } from '../support/until.ts';
import { lives } from './support.ts';

const BOTH: RuntimeName[] = ['runc', 'ringfence'];
const MIB = 1024 * 1024;
const host = hostHierarchies();
const v1 = host.version === 1;

/** Takes memory by touching it itself, until it is killed. */
const EATER = "sh -c 'a=0123456789abcdef; while :; do a=$a$a; done' 2>/dev/null";
/** Takes 64 MiB and more, and keeps them: nobody writes to that FIFO. */
const HOLDER = 'a=0123456789abcdef; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22; do a=$a$a; done; read x </tmp/f';
const HELD = 60 * MIB;

/** A file of a container's group. */
function knob(m: Member, controller: string, v1Name: string, v2Name: string): string {
  for (const line of readFileSync(`/proc/${m.pid}/cgroup`, 'utf8').trim().split('\n')) {
    const [, controllers = '', path = ''] = line.split(':');
    const wanted = v1 ? controller : UNIFIED;
    if (!controllers.split(',').includes(wanted)) continue;
    return readFileSync(join(mountOf(host, wanted)?.mountpoint ?? '/-', path, v1 ? v1Name : v2Name), 'utf8');
  }
  throw new Error(`${m.id} has no group of ${controller}`);
}

const usage = (m: Member): number => Number(knob(m, 'memory', 'memory.usage_in_bytes', 'memory.current'));
const kills = (m: Member): number =>
  Number(/^oom_kill (\d+)$/m.exec(knob(m, 'memory', 'memory.oom_control', 'memory.events'))?.[1] ?? 'NaN');
const throttled = (m: Member): number => Number(/^nr_throttled (\d+)$/m.exec(knob(m, 'cpu', 'cpu.stat', 'cpu.stat'))?.[1] ?? 'NaN');
const processes = (m: Member): number[] => knob(m, 'memory', 'cgroup.procs', 'cgroup.procs').trim().split('\n').map(Number);

/** Anonymous memory of a host process, in bytes. */
function held(pid: number): number {
  try {
    return 1024 * Number(/^RssAnon:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '0');
  } catch {
    return 0;
  }
}

function descends(pid: number, from: number): boolean {
  return childrenOf(from).some((c) => c === pid || descends(pid, c));
}

const oomScoreAdj = (pid: number): number => Number(readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8'));

function limited(resources: Resources, adj?: number): { change: (spec: TestSpec) => void } {
  return {
    change: (spec) => {
      spec.linux.resources = resources;
      if (adj !== undefined) spec.process.oomScoreAdj = adj;
    },
  };
}

describe.each(BOTH)('%s', (name) => {
  let rig: Rig;
  beforeAll(() => {
    rig = new Rig(name);
  });
  afterEach(async () => {
    if (existsSync(rig.states)) for (const id of readdirSync(rig.states)) await rig.run(['delete', '--force', id]);
  });
  afterAll(() => rig.close());

  const WAYS: [string, (pod: Pod) => Promise<Member>][] = [
    ['the first process', (pod) => pod.member(['sh', '-c', `mkfifo /tmp/f; ${HOLDER}`])],
    ['a fork', (pod) => pod.member(['sh', '-c', `mkfifo /tmp/f; (${HOLDER}) & wait`])],
    ['a program that another one became', (pod) => pod.member(['sh', '-c', `mkfifo /tmp/f; exec sh -c '${HOLDER}'`])],
    ['a program started by another one', (pod) => pod.member(['sh', '-c', `mkfifo /tmp/f; sh -c '${HOLDER}'; true`])],
    [
      'a process that exec started',
      async (pod) => {
        const m = await pod.member(['sleep', '1000']);
        await pod.must('exec', '--detach', m.id, 'sh', '-c', `mkfifo /tmp/f; ${HOLDER}`);
        return m;
      },
    ],
  ];

  test.each(WAYS)("memory that %s takes is its container's", async (_what, start) => {
    const pod = new Pod(rig);
    await pod.begin();
    const other = await pod.member(['sleep', '1000']);
    const before = [usage(pod.sandbox), usage(other)] as const;
    const m = await start(pod);
    await until('the guest has its memory', () => processes(m).some((pid) => held(pid) > HELD));
    const pid = processes(m).find((p) => held(p) > HELD) as number;
    expect(readFileSync(`/proc/${pid}/cgroup`, 'utf8')).toBe(readFileSync(`/proc/${m.pid}/cgroup`, 'utf8'));
    expect(usage(m)).toBeGreaterThan(HELD);
    expect(usage(other) - before[1]).toBeLessThan(HELD / 2);
    expect(usage(pod.sandbox) - before[0]).toBeLessThan(HELD / 2);
  });

  // As on a Kubernetes node: sandboxes are the last to be killed, containers by their class.
  const WORTH: (number | undefined)[] = [undefined, 500, 900, 1000];

  test.each(WORTH)('too much memory, oom_score_adj %s: the process that took it is killed, nobody else', async (adj) => {
    const pod = new Pod(rig);
    await pod.begin();
    const small = { memory: { limit: 96 * MIB, swap: 96 * MIB } };
    const m = await pod.member(['sleep', '1000'], limited(small, adj));
    const other = await pod.member(['sleep', '1000'], limited(small, adj));
    expect((await pod.exec(m, 'sh', '-c', `${EATER}; echo $?`)).stdout).toBe('137\n');
    expect(kills(m)).toBeGreaterThan(0);
    for (const c of [m, other, pod.sandbox]) expect([c.id, (await rig.state(c.id)).status]).toEqual([c.id, 'running']);
    expect((await pod.exec(m, 'echo', 'on')).stdout).toBe('on\n');
    const last = await pod.member(['sh', '-c', `exec ${EATER}`], limited(small, adj));
    expect(await rig.reaper.exitOf(last.pid)).toBe(137);
    expect((await pod.exec(other, 'echo', 'on')).stdout).toBe('on\n');
    expect([kills(other), kills(pod.sandbox)]).toEqual([0, 0]);
  });

  test('processor time is its own', async () => {
    const pod = new Pod(rig);
    await pod.begin();
    const quota = { cpu: { quota: 10_000, period: 100_000 } };
    const m = await pod.member(['sh', '-c', 'while :; do :; done'], limited(quota));
    const other = await pod.member(['sleep', '1000'], limited({ cpu: { quota: 100_000, period: 100_000 } }));
    const [mine, others] = [throttled(m), throttled(other)];
    await until('the container is held back', () => throttled(m) > mine + 10);
    expect(throttled(other)).toBe(others);
  });
});

describe('ringfence', () => {
  let rig: Rig;
  beforeAll(() => {
    rig = new Rig('ringfence');
  });
  afterEach(async () => {
    if (existsSync(rig.states)) for (const id of readdirSync(rig.states)) await rig.run(['delete', '--force', id]);
  });
  afterAll(() => rig.close());

  /** The pristine stub of a member: the one process of its group that the sandbox's own stub made. */
  function originOf(pod: Pod, m: Member): number {
    const stub = sandboxOf(pod.sandbox.pid).stub;
    const found = processes(m).filter((pid) => childrenOf(stub).includes(pid));
    expect(found).toHaveLength(1);
    return found[0] as number;
  }

  test('all guests of a member come from a stub in its groups, are worth less than its helpers, and are gone with it', async () => {
    const pod = new Pod(rig);
    await pod.begin();
    const m = await pod.add(['sh', '-c', 'sleep 1000 & sleep 1000 & wait'], limited({ memory: { limit: 1024 * MIB } }, 300));
    const origin = originOf(pod, m);
    expect(childrenOf(origin)).toEqual([]);
    await pod.must('start', m.id);
    await pod.must('exec', '--detach', m.id, 'sleep', '1000');
    const { init, sentry } = sandboxOf(pod.sandbox.pid);
    const guests = (): number[] => processes(m).filter((pid) => descends(pid, init));
    await until('all run', () => guests().length >= 5);
    const seen = guests();
    expect(seen).toContain(origin);
    for (const pid of seen) expect(oomScoreAdj(pid)).toBe(550); // 256 of 1024 MiB more
    for (const pid of [m.pid, ...childrenOf(m.pid)]) expect(oomScoreAdj(pid)).toBe(300);
    // The files by which it was moved are not kept.
    const open = readdirSync(`/proc/${sentry}/fd`).map((fd) => {
      try {
        return readlinkSync(`/proc/${sentry}/fd/${fd}`);
      } catch {
        return '';
      }
    });
    expect(open.filter((f) => f.endsWith('cgroup.procs'))).toEqual([]);
    await pod.must('delete', '--force', m.id);
    await until('its stub is reaped', () => !existsSync(`/proc/${origin}`));
    for (const pid of seen) expect(lives(pid)).toBe(false);
    expect((await rig.state(pod.sandbox.id)).status).toBe('running');
  });

  test('the end of its stub is the end of its guests, and of nobody else', async () => {
    const pod = new Pod(rig);
    await pod.begin();
    const m = await pod.member(['sleep', '1000']);
    const other = await pod.member(['sleep', '1000']);
    kill9(originOf(pod, m));
    expect(await rig.reaper.exitOf(m.pid)).toBe(137);
    expect((await pod.exec(other, 'echo', 'on')).stdout).toBe('on\n');
    const created = await pod.add(['sleep', '1000']);
    kill9(originOf(pod, created));
    const r = await rig.run(['start', created.id]);
    expect([r.status, r.stderr.trim().split('\n').length]).toEqual([1, 1]);
    expect((await rig.state(pod.sandbox.id)).status).toBe('running');
  });

  test('a memory limit that no member fits in is told in one line', async () => {
    const pod = new Pod(rig);
    await pod.begin();
    const r = await rig.run(['create', '--bundle', pod.bundle(['true'], limited({ memory: { limit: 4 * MIB } })), rig.id()]);
    expect(r.status).toBe(125);
    expect(r.stderr.trim()).toMatch(/^ringfence: the memory limit is too small: [^\n]*$/);
    expect(readdirSync(rig.states)).toEqual([pod.sandbox.id]);
  });
});
