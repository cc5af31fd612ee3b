// What the tests of clients stand on: the images load, and what is left on the host is found.

import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { until } from '../support/until.ts';
import * as images from './kit/images.ts';
import { Podman } from './kit/podman.ts';
import { crun, ringfence, runc, statesNamed } from './kit/runtimes.ts';

describe('the kit for tests of clients', () => {
  let podman: Podman;

  beforeAll(() => {
    podman = new Podman(runc);
  });

  afterAll(() => podman.close());

  test('images of both kinds load, and their programs run', { timeout: 300_000 }, async () => {
    const all = [images.busybox(), images.pause(), images.setuid(), images.debian(), images.nginx(), images.python()];
    await podman.load(...all);
    const run = (image: images.Image, ...argv: string[]): Promise<string> =>
      podman.must(['run', '--rm', '--network=none', image.reference, ...argv]);
    expect(await run(images.busybox(), 'id', '-un')).toBe('root');
    expect(await run(images.setuid())).toBe('real 0 effective 0 saved 0\nno_new_privs 0\nsecret open');
    expect(await run(images.debian(), 'cat', '/etc/os-release')).toContain(`PRETTY_NAME="${images.debianName()}"`);
    expect(await run(images.nginx(), 'sh', '-c', 'nginx -v 2>&1')).toMatch(/^nginx version/);
    expect(await run(images.python(), 'python3', '-c', 'import json, sqlite3; print(json.dumps([6 * 7]))')).toBe('[42]');
    for (const image of all) await podman.must(['rmi', image.reference]);
    await podman.loadOci(images.busybox());
    expect(await run(images.busybox(), 'id', '-un')).toBe('root');
  });

  test('what a container has on the host is found, and gone after it', async () => {
    await podman.load(images.busybox());
    const id = await podman.must(['run', '-d', '--network=none', 'localhost/bb', 'sleep', '1000']);
    podman.folder.words.add(id);
    const kinds = new Set(podman.folder.leftovers().map((line) => line.split(' ')[0]));
    expect([...kinds].sort()).toEqual(['cgroup', 'mount', 'process']);
    await until('its process is found', () => podman.folder.leftovers().some((line) => /^process \d+ sleep 1000$/.test(line)));
    expect(statesNamed(runc, [id])).toEqual([`state /run/runc/${id}`]);
    expect(await podman.leftovers()).toEqual([]);
    expect(existsSync(podman.folder.file('events.log'))).toBe(true);
  });

  test('podman knows the runtime of this checkout', async () => {
    const other = new Podman(ringfence);
    try {
      expect(await other.must(['info', '--format', '{{.Host.OCIRuntime.Name}} {{.Host.OCIRuntime.Version}}'])).toMatch(
        /^ringfence ringfence version/,
      );
    } finally {
      await other.close();
    }
  });

  test('a terminal shows what is typed, and has a size that changes', async () => {
    const t = podman.folder.terminal(['sh'], 33, 99);
    await t.expect(/[#$] /);
    t.type('stty size\n');
    await t.expect(/33 99/);
    t.resize(44, 88);
    t.type('sleep 0.2; stty size; exit 7\n');
    await t.expect(/44 88/);
    expect(await t.exit).toBe(7);
  });

  test('crun runs containers on a host with both kinds of cgroups', async () => {
    const other = new Podman(runc);
    try {
      await other.load(images.busybox());
      const path = crun(other.folder).path;
      expect(await other.must(['--runtime', path, 'run', '--rm', '--network=none', 'localhost/bb', 'echo', 'by crun'])).toBe('by crun');
    } finally {
      await other.close();
    }
  });
});
