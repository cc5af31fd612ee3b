// config.json as a whole: versions, unknown fields, and wrong values, which are told in one line that names where they stand.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RUNTIMES, Rig, type TestSpec } from './kit/runtimes.ts';

/** A path of keys in a configuration, set to a value; undefined removes it. */
function set(spec: TestSpec, pointer: string, value: unknown): void {
  const keys = pointer.split('/').slice(1);
  let at = spec as unknown as Record<string, unknown>;
  for (const k of keys.slice(0, -1)) at = (at[k] ??= {}) as Record<string, unknown>;
  const last = keys.at(-1) as string;
  if (value === undefined) delete at[last];
  else at[last] = value;
}

describe.each(RUNTIMES)('%s', (name) => {
  let rig: Rig;
  beforeAll(() => {
    rig = new Rig(name);
  });
  afterAll(() => rig.close());

  test('fields that nobody knows are ignored', async () => {
    const r = await rig.script('echo ok', (s) => {
      for (const p of ['/x', '/process/x', '/root/x', '/linux/x', '/linux/resources/x', '/hooks/x'])
        set(s, p, p === '/hooks/x' ? [] : { y: [1] });
    });
    expect(r).toEqual({ status: 0, stdout: 'ok\n', stderr: '' });
  });

  test('other platforms are ignored', async () => {
    const r = await rig.script('echo ok', (s) => {
      set(s, '/solaris', { milestone: 'x' });
    });
    expect(r).toEqual({ status: 0, stdout: 'ok\n', stderr: '' });
  });

  test.each(['1.0.0', '1.0.2', '1.0.2-dev', '1.1.0', '1.2.0', '1.3.0'])('ociVersion %s', async (version) => {
    const r = await rig.script('echo ok', (s) => (s.ociVersion = version));
    // crun of Debian knows versions by name.
    if (name === 'crun' && /^1\.[123]/.test(version) && r.status !== 0) return expect(r.stderr).toMatch(/unknown version/);
    expect(r).toEqual({ status: 0, stdout: 'ok\n', stderr: '' });
  });

  test.each([undefined, '', '2.0.0', 'x', 1])('ociVersion %s is an error', async (version) => {
    const r = await rig.script('true', (s) => set(s, '/ociVersion', version));
    if (name !== 'ringfence') return;
    expect(r.status).toBe(1);
    expect(r.stderr).toMatch(/^ringfence: .*config\.json: \/ociVersion .*\n$/);
  });

  test.each(['', '{', '[]', 'null', '{"ociVersion": "1.0.2", }', '\u0000'])('what is no configuration is an error: %j', async (text) => {
    const bundle = rig.bundle(['true']);
    rig.configure(bundle, text);
    const id = rig.id();
    const r = await rig.run(['create', '--bundle', bundle, id]);
    expect(r.status).not.toBe(0);
    expect(r.stderr).not.toBe('');
    expect((await rig.run(['state', id])).status).not.toBe(0);
    if (name === 'ringfence') expect(r.stderr).toMatch(/^ringfence: .*config\.json.*\n$/);
  });

  const WRONG: [string, unknown][] = [
    ['/process', undefined],
    ['/process', 'x'],
    ['/process/args', 'sh'],
    ['/process/args', [1]],
    ['/process/cwd', undefined],
    ['/process/cwd', ''],
    ['/process/cwd', 7],
    ['/process/env', { A: 'b' }],
    ['/process/user', 'root'],
    ['/process/user/uid', -1],
    ['/process/user/uid', 'x'],
    ['/process/user/uid', 2 ** 33],
    ['/process/user/additionalGids', ['x']],
    ['/process/terminal', 'yes'],
    ['/process/rlimits', [{ type: 'RLIMIT_NOFILE', soft: 10 }]],
    ['/process/rlimits', [{ type: 'nofile', soft: 10, hard: 10 }]],
    ['/process/rlimits', [{ type: 'RLIMIT_NOFILE', soft: 11, hard: 10 }]],
    ['/process/oomScoreAdj', 'x'],
    ['/process/oomScoreAdj', 1001],
    ['/process/noNewPrivileges', 1],
    ['/root', undefined],
    ['/root/path', undefined],
    ['/root/path', 5],
    ['/root/readonly', 'x'],
    ['/hostname', 5],
    ['/mounts', {}],
    ['/mounts', [{ type: 'tmpfs', source: 'tmpfs' }]],
    ['/mounts', [{ destination: '/x', type: 'tmpfs', options: 'ro' }]],
    ['/mounts', [{ destination: '/x', type: 'bind', options: ['bind'] }]],
    ['/mounts', [{ destination: '/x', type: 'nosuchfs' }]],
    ['/annotations', { a: 1 }],
    ['/annotations', []],
    ['/hooks', { prestart: [{}] }],
    ['/hooks', { poststart: 'x' }],
    ['/hooks', { poststart: [{ path: '/bin/true', timeout: -1 }] }],
    ['/linux/namespaces', [{ type: 'nosuch' }]],
    ['/linux/namespaces', [{ path: '/proc/1/ns/net' }]],
    ['/linux/devices', [{ path: '/dev/x', type: 'z', major: 1, minor: 3 }]],
    ['/linux/devices', [{ type: 'c', major: 1, minor: 3 }]],
    ['/linux/devices', [{ path: 'dev/x', type: 'c', major: 1, minor: 3 }]],
    ['/linux/namespaces', [{ type: 'network', path: 'run/netns/x' }]],
    ['/linux/devices', [{ path: '/dev/x', type: 'c' }]],
    ['/linux/sysctl', { 'net.ipv4.ip_forward': 1 }],
    ['/linux/maskedPaths', '/x'],
    ['/linux/rootfsPropagation', 'nosuch'],
    ['/linux/resources', []],
    ['/linux/seccomp', { defaultAction: 'SCMP_ACT_NOSUCH' }],
    ['/linux/cgroupsPath', 5],
  ];

  test.each(WRONG)('%s = %j is an error', async (pointer, value) => {
    const bundle = rig.bundle(['true'], (s) => set(s, pointer, value));
    const id = rig.id();
    const r = await rig.run(['create', '--bundle', bundle, id]);
    // The others take some of them: what counts is that they do not lose a container over it.
    if (name !== 'ringfence') {
      await rig.run(['delete', '--force', id]);
      return;
    }
    expect(r.status).not.toBe(0);
    expect(r.stdout).toBe('');
    expect(r.stderr).toMatch(/^ringfence: [^\n]*config\.json[^\n]*\n$/);
    expect(r.stderr, 'names the place').toContain(pointer.split('/').slice(0, 3).join('/'));
    expect((await rig.run(['state', id])).status).not.toBe(0);
  });

  test('null is an absent field', async () => {
    const r = await rig.script('echo ok', (s) => {
      for (const p of [
        '/hooks',
        '/annotations',
        '/linux/sysctl',
        '/linux/devices',
        '/process/rlimits',
        '/linux/seccomp',
        '/process/consoleSize',
      ])
        set(s, p, null);
    });
    expect(r).toEqual({ status: 0, stdout: 'ok\n', stderr: '' });
  });
});
