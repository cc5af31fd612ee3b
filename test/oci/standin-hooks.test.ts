// Hooks: where each of them runs, what it is told, and what its failure does; the same of runc and of ringfence.

import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Hook, HookPoint } from '../../runsc-compat/spec/types.ts';
import { Rig, type TestSpec } from './kit/runtimes.ts';

const KINDS = ['mnt', 'net', 'pid', 'uts', 'ipc'];
const POINTS: HookPoint[] = ['prestart', 'createRuntime', 'createContainer', 'startContainer', 'poststart', 'poststop'];
/** Those that run on the host, in the order of a container's life. */
const OUTSIDE = POINTS.filter((p) => p !== 'startContainer');

const here = (kind: string): string => readlinkSync(`/proc/self/ns/${kind}`);

/** A hook of the host that writes down what it sees. */
function witness(out: string, point: HookPoint): Hook {
  const links = KINDS.map((k) => `/proc/self/ns/${k}`).join(' ');
  const script = `{ echo "${point}"; cat; echo; pwd; env | sort | tr '\\n' ' '; echo; readlink ${links} | tr '\\n' ' '; echo; } >> ${out}`;
  return { path: '/bin/sh', args: ['sh', '-c', script], env: ['PATH=/bin:/usr/bin', 'ONLY=this'] };
}

interface Seen {
  point: string;
  state: { id: string; status: string; pid?: number; bundle: string };
  cwd: string;
  env: string[];
  spaces: string[];
}

function seen(out: string): Seen[] {
  if (!existsSync(out)) return [];
  const lines = readFileSync(out, 'utf8').trim().split('\n');
  const all: Seen[] = [];
  for (let i = 0; i + 4 < lines.length; i += 5) {
    const [point, state, cwd, env, spaces] = lines.slice(i, i + 5) as [string, string, string, string, string];
    all.push({ point, state: JSON.parse(state), cwd, env: env.trim().split(' '), spaces: spaces.trim().split(' ') });
  }
  return all;
}

describe.each(['runc', 'ringfence'] as const)('hooks of %s', (name) => {
  let rig: Rig;
  beforeAll(() => {
    rig = new Rig(name);
  });
  afterAll(async () => {
    await rig.close();
  });

  test('run in order, in the namespaces that they are for, with the state on standard input and their own environment', async () => {
    const id = rig.id();
    let out = '';
    const bundle = rig.bundle(['sleep', '1000'], (s: TestSpec, dir) => {
      out = join(dir, 'seen');
      s.hooks = {};
      for (const p of OUTSIDE) s.hooks[p] = [witness(out, p)];
      s.hooks.startContainer = [{ path: '/bin/sh', args: ['sh', '-c', 'cat > /tmp/told'], env: ['PATH=/bin'] }];
    });
    expect((await rig.run(['create', '--bundle', bundle, id])).status).toBe(0);
    const { pid } = await rig.state(id);
    const spaces = KINDS.map((k) => readlinkSync(`/proc/${pid}/ns/${k}`));
    expect((await rig.run(['start', id])).status).toBe(0);
    expect((await rig.run(['delete', '--force', id])).status).toBe(0);
    const all = seen(out);
    expect(all.map((s) => s.point)).toEqual(OUTSIDE);
    for (const s of all) {
      expect([s.point, s.state.id, s.state.bundle]).toEqual([s.point, id, bundle]);
      expect(s.env.filter((e) => !/^(PWD|SHLVL|_|OLDPWD)=/.test(e))).toEqual(['ONLY=this', 'PATH=/bin:/usr/bin']);
      const inside = s.point === 'createContainer';
      expect([s.point, s.spaces]).toEqual([s.point, inside ? spaces : KINDS.map(here)]);
      if (s.point === 'prestart' || s.point === 'createRuntime') expect([s.state.status, s.state.pid]).toEqual(['creating', pid]);
      if (inside) expect([s.state.status, s.state.pid]).toEqual(['creating', 1]);
      if (s.point === 'poststop') expect([s.state.status, s.state.pid ?? 0]).toEqual(['stopped', 0]);
      if (!inside && s.point !== 'poststop') expect(s.cwd).toBe(bundle);
    }
    const told = JSON.parse(readFileSync(join(bundle, 'rootfs/tmp/told'), 'utf8'));
    expect(told).toMatchObject({ id, status: 'created', pid: 1, bundle });
  });

  test.each(['prestart', 'createRuntime', 'createContainer'] as const)(
    'a %s hook that fails ends the creation; poststop hooks run',
    async (point) => {
      for (const [args, text] of [
        ['echo because >&2; exit 3', /because/],
        ['kill -9 $$', /./],
      ] as const) {
        const id = rig.id();
        let out = '';
        const bundle = rig.bundle(['sleep', '1000'], (s, dir) => {
          out = join(dir, 'seen');
          s.hooks = {
            [point]: [{ path: '/bin/sh', args: ['sh', '-c', args] }, witness(out, point)],
            poststop: [witness(out, 'poststop')],
          };
        });
        const r = await rig.run(['create', '--bundle', bundle, id]);
        expect(r.status).not.toBe(0);
        expect(r.stderr).toMatch(text);
        expect((await rig.run(['state', id])).status).not.toBe(0);
        expect(seen(out).map((s) => s.point)).toEqual(['poststop']);
      }
    },
  );

  test.each(['prestart', 'createRuntime', 'createContainer'] as const)(
    'a %s hook that takes longer than it may ends the creation',
    async (point) => {
      const id = rig.id();
      const bundle = rig.bundle(['sleep', '1000'], (s) => {
        s.hooks = { [point]: [{ path: '/bin/sh', args: ['sh', '-c', 'exec sleep 1000'], timeout: 1 }] };
      });
      const r = await rig.run(['create', '--bundle', bundle, id]);
      expect(r.status).not.toBe(0);
      expect((await rig.run(['state', id])).status).not.toBe(0);
    },
  );

  test('a startContainer hook that fails ends the container', async () => {
    const id = rig.id();
    const bundle = rig.bundle(['sh', '-c', 'echo ran > /tmp/ran'], (s) => {
      s.hooks = { startContainer: [{ path: '/bin/sh', args: ['sh', '-c', 'exit 4'], env: ['PATH=/bin'] }] };
    });
    expect((await rig.run(['create', '--bundle', bundle, id])).status).toBe(0);
    await rig.run(['start', id]);
    if ((await rig.run(['state', id])).status === 0) await rig.reaches(id, 'stopped');
    expect(existsSync(join(bundle, 'rootfs/tmp/ran'))).toBe(false);
  });

  test('a poststop hook that fails is no failure of delete, and the others run', async () => {
    const id = rig.id();
    let out = '';
    const bundle = rig.bundle(['true'], (s, dir) => {
      out = join(dir, 'seen');
      s.hooks = { poststop: [{ path: '/bin/false' }, witness(out, 'poststop')] };
    });
    expect((await rig.run(['create', '--bundle', bundle, id])).status).toBe(0);
    expect((await rig.run(['start', id])).status).toBe(0);
    await rig.reaches(id, 'stopped');
    expect((await rig.run(['delete', id])).status).toBe(0);
    expect(seen(out).map((s) => s.point)).toEqual(name === 'runc' ? [] : ['poststop']); // the specification has the others run
  });
});
