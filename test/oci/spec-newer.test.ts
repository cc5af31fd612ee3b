// Fields of config.json that are newer than Debian's runc and crun, or that a sandbox has nothing for: honoured, or refused in one line.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Rig, type TestSpec } from './kit/runtimes.ts';

let rig: Rig;
beforeAll(() => {
  rig = new Rig('ringfence');
});
afterAll(() => rig.close());

test('scheduler and ioPriority are what the process sees', async () => {
  // nice value, real-time priority and policy in /proc/PID/stat (proc(5))
  const script = "cut -d' ' -f19,40,41 /proc/self/stat; ionice -p $$";
  const r = await rig.script(script, (s) => {
    s.process.scheduler = { policy: 'SCHED_BATCH', nice: 5 };
    s.process.ioPriority = { class: 'IOPRIO_CLASS_BE', priority: 6 };
  });
  expect(r.stdout).toBe('5 0 3\nbest-effort: prio 6\n');
  const fifo = await rig.script(script, (s) => (s.process.scheduler = { policy: 'SCHED_FIFO', priority: 7 }));
  expect(fifo.stdout).toMatch(/^0 7 1\n/);
});

const REFUSED: [string, (s: TestSpec) => unknown][] = [
  ['/process/scheduler/policy', (s) => (s.process.scheduler = { policy: 'SCHED_DEADLINE' })],
  ['/process/scheduler/nice', (s) => (s.process.scheduler = { policy: 'SCHED_OTHER', nice: 20 })],
  ['/process/scheduler/priority', (s) => (s.process.scheduler = { policy: 'SCHED_OTHER', priority: 3 })],
  ['/process/ioPriority/priority', (s) => (s.process.ioPriority = { class: 'IOPRIO_CLASS_BE', priority: 8 })],
  ['/process/ioPriority/class', (s) => (s.process.ioPriority = { class: 'IOPRIO_CLASS_NO', priority: 1 })],
  ['/process/execCPUAffinity', (s) => (s.process.execCPUAffinity = { initial: '0' })],
  ['/linux/intelRdt', (s) => (s.linux.intelRdt = { closID: 'x' })],
  ['/linux/timeOffsets', (s) => (s.linux.timeOffsets = { monotonic: { secs: 1 } })],
  ['/linux/namespaces/5', (s) => s.linux.namespaces?.push({ type: 'time' })],
  ['/linux/personality/domain', (s) => (s.linux.personality = { domain: 'LINUX32' })],
  ['/mounts/6/options', (s) => s.mounts.push({ destination: '/x', type: 'tmpfs', source: 'tmpfs', options: ['idmap'] })],
];

test.each(REFUSED)('%s is refused where it cannot be honoured', async (pointer, change) => {
  const r = await rig.script('true', change);
  expect(r.status).toBe(1);
  expect(r.stderr).toMatch(/^ringfence: [^\n]*config\.json: [^\n]*\n$/);
  expect(r.stderr).toContain(`config.json: ${pointer}`);
});

test('what is left out is told in the debug log', async () => {
  const log = join(rig.dir, 'debug.log');
  const bundle = rig.bundle(['true'], (s) => {
    s.process.capabilities = { bounding: ['CAP_NO_SUCH_THING'] };
    s.mounts.push({ destination: '/x', type: 'tmpfs', source: 'tmpfs', options: ['rshared'] });
  });
  const r = await rig.run(['run', '--bundle', bundle, rig.id()], { global: ['--debug-log', log] });
  expect(r).toEqual({ status: 0, stdout: '', stderr: '' });
  expect(readFileSync(log, 'utf8')).toMatch(/CAP_NO_SUCH_THING/);
  expect(readFileSync(log, 'utf8')).toMatch(/\/mounts\/6\/options: mounts that the container makes are not seen outside of it/);
});
