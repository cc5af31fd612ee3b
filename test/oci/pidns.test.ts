// A container's pid namespace: who is in it, what reaches its first process, and what ends with that.

import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildGuests, casesOf } from '../support/build.ts';
import { parseTap } from '../support/tap.ts';
import { Rig, RUNTIMES, type TestSpec } from './kit/runtimes.ts';

function capabilities(spec: TestSpec, ...names: string[]): void {
  const c = spec.process.capabilities ?? {};
  for (const set of ['bounding', 'effective', 'permitted'] as const) c[set] = [...(c[set] ?? []), ...names];
}

const programs = buildGuests().filter((p) => p.name === 'pidns' || p.name === 'pidviews');

describe.each(RUNTIMES)('%s', (name) => {
  let rig: Rig;
  beforeAll(() => {
    rig = new Rig(name);
  });
  afterAll(() => rig.close());

  /** Starts a shell script as a container of its own. Its id. */
  async function started(script: string): Promise<string> {
    const id = rig.id();
    const r = await rig.run(['run', '--detach', '--bundle', rig.bundle(['sh', '-c', script]), id]);
    expect(r).toMatchObject({ status: 0, stderr: '' });
    return id;
  }

  async function inside(id: string, script: string): Promise<string> {
    const r = await rig.run(['exec', id, 'sh', '-c', script]);
    expect(r).toMatchObject({ status: 0, stderr: '' });
    return r.stdout;
  }

  async function gone(id: string): Promise<void> {
    await rig.reaches(id, 'stopped');
    await rig.run(['delete', id]);
  }

  test('the first process is number 1 and child of nobody', async () => {
    const r = await rig.script('echo $$ $PPID; grep -E "^(Pid|PPid|NSpid|NSpgid|NSsid):" /proc/1/status; cd /proc; echo [0-9]*');
    expect(r.stdout).toBe('1 0\nPid:\t1\nPPid:\t0\nNSpid:\t1\nNSpgid:\t1\nNSsid:\t1\n1\n');
    expect(r.status).toBe(0);
  });

  test('exec adds a child of nobody', async () => {
    const id = await started('sleep 1000 & wait');
    expect(await inside(id, 'echo $PPID; [ $$ -gt 2 ] && echo later; cat /proc/$$/status | grep -cx "NSpid:.$$"')).toBe('0\nlater\n1\n');
    expect(await inside(id, 'ps -o args | grep -c "^sleep 1000$"')).toBe('1\n');
    await rig.run(['kill', id, 'KILL']);
    await gone(id);
  });

  test('the first process gets what it has a handler for, and SIGKILL from outside', async () => {
    const id = await started('trap "echo got it > /tmp/usr1" USR1; : > /tmp/ready; while :; do sleep 1000 & wait; done');
    await inside(id, 'until [ -e /tmp/ready ]; do sleep 0.1; done');
    expect((await rig.run(['kill', id, 'TERM'])).status).toBe(0);
    await inside(id, 'kill -TERM 1; kill -KILL 1; kill -STOP 1');
    expect((await rig.run(['kill', id, 'USR1'])).status).toBe(0);
    expect(await inside(id, 'until [ -s /tmp/usr1 ]; do sleep 0.1; done; cat /tmp/usr1')).toBe('got it\n');
    expect((await rig.state(id)).status).toBe('running');
    expect((await rig.run(['kill', id, 'KILL'])).status).toBe(0);
    await gone(id);
  });

  test('orphans are the first process’s', async () => {
    const id = await started('while :; do sleep 1000 & wait; done');
    const parent = 'grep -h PPid /proc/$(cat /tmp/orphan)/status';
    await inside(id, '(sleep 2000 < /dev/null > /dev/null 2>&1 & echo $! > /tmp/orphan)');
    expect(await inside(id, `until ${parent} | grep -q "1$"; do sleep 0.1; done; ${parent}`)).toBe('PPid:\t1\n');
    await rig.run(['kill', id, 'KILL']);
    await gone(id);
  });

  test.each([
    ['reboot', 129],
    ['halt', 130],
    ['poweroff', 130],
  ])('%s ends the container', async (applet, status) => {
    const r = await rig.script(`sleep 1000 & ${applet} -f; sleep 1000`, (spec) => capabilities(spec, 'CAP_SYS_BOOT'));
    expect(r.status).toBe(status);
  });

  test.each(programs)('all cases of $name hold in a container', async (program) => {
    const r = await rig.script('cd /tmp && /bin/guest; true', (spec, bundle) => {
      const more = ['SYS_ADMIN', 'SYS_PTRACE', 'SYS_BOOT', 'SYS_NICE', 'FOWNER', 'IPC_OWNER', 'IPC_LOCK', 'SETPCAP'];
      capabilities(spec, ...more.map((c) => `CAP_${c}`));
      copyFileSync(program.path, join(bundle, 'rootfs/bin/guest'));
    });
    expect(r.stderr).toBe('');
    expect(parseTap(r.stdout)).toEqual(new Map(casesOf(program).map((name) => [name, 'ok'])));
  });
});
