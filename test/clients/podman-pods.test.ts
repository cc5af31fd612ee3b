// Pods: several containers with namespaces in common, made by hand and from Kubernetes' YAML.

import { writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { type Subject, withPodman } from './kit/each.ts';
import { until } from '../support/until.ts';
import { busybox, pause } from './kit/images.ts';

const BB = 'localhost/bb';

/** Makes a pod with containers that sleep; their names. */
async function pod(s: Subject, name: string, count: number, ...options: string[]): Promise<string[]> {
  await s.podman.must(['pod', 'create', '--name', name, '--network=none', ...options]);
  const names = [...Array(count).keys()].map((i) => `${name}-${i}`);
  for (const n of names)
    await s.podman.must(['run', '-d', '--pod', name, '--name', n, BB, 'sh', '-c', `echo ${n} >/who; exec sleep 10${n.at(-1)}0`]);
  return names;
}

withPodman(
  'podman pods',
  () => [busybox(), pause()],
  (s) => {
    test('three containers share network, IPC and host name, and nothing else', async () => {
      const [a, b, c] = (await pod(s, 'p1', 3, '--hostname', 'podhost')) as [string, string, string];
      for (const n of [a, b, c]) {
        expect(await s.exec(n, 'cat', '/who')).toBe(n);
        expect(await s.exec(n, 'hostname')).toBe('podhost');
      }
      for (const kind of ['net', 'ipc', 'uts']) {
        const links = await Promise.all([a, b, c].map((n) => s.exec(n, 'readlink', `/proc/self/ns/${kind}`)));
        expect(new Set(links).size).toBe(1);
      }
      const others = await Promise.all([a, b, c].map((n) => s.exec(n, 'readlink', '/proc/self/ns/mnt')));
      expect(new Set(others).size).toBe(3);
      expect(await s.exec(a, 'ps')).not.toContain('sleep 1010');
      const server = s.podman.run(['exec', a, 'sh', '-c', 'echo over the loopback | nc -l -p 7777']);
      await until('it listens', async () => (await s.podman.run(['exec', b, 'sh', '-c', 'netstat -ltn | grep -q 7777'])).status === 0);
      expect(await s.exec(b, 'nc', '127.0.0.1', '7777')).toBe('over the loopback');
      expect((await server).status).toBe(0);
      const id = await s.exec(a, 'sh', '-c', 'echo shared >/dev/shm/word; ls /dev/shm');
      expect(id).toBe('word');
      expect(await s.exec(c, 'cat', '/dev/shm/word')).toBe('shared');
      await s.podman.must(['pod', 'rm', '-f', '-t', '0', 'p1']);
    });

    test("--share pid: they see and signal each other's processes", async () => {
      const [a, b] = (await pod(s, 'p2', 2, '--share', 'net,ipc,uts,pid')) as [string, string];
      const seen = await s.exec(a, 'ps', '-o', 'pid,args');
      expect(seen).toMatch(/^\s*1 \/pause$/m);
      expect(seen).toMatch(/sleep 1000/);
      expect(seen).toMatch(/sleep 1010/);
      const pid = /^\s*(\d+) sleep 1010$/m.exec(seen)?.[1] as string;
      await s.exec(a, 'kill', '-9', pid);
      expect(await s.end(b)).toBe(137);
      expect(await s.podman.inspect(a, '{{.State.Status}}')).toBe('running');
      await s.podman.must(['pod', 'rm', '-f', '-t', '0', 'p2']);
    });

    test('each container ends by itself, with its own status, and can be started again', async () => {
      const [a, b] = (await pod(s, 'p3', 2)) as [string, string];
      await s.podman.must(['run', '-d', '--pod', 'p3', '--name', 'p3-x', BB, 'sh', '-c', 'exit 23']);
      expect(await s.end('p3-x')).toBe(23);
      await s.podman.must(['kill', '-s', 'KILL', a]);
      expect(await s.end(a)).toBe(137);
      expect(await s.exec(b, 'cat', '/who')).toBe(b);
      await s.podman.must(['start', a]);
      expect(await s.exec(a, 'hostname')).toBe(await s.exec(b, 'hostname'));
      await s.podman.must(['pod', 'rm', '-f', '-t', '0', 'p3']);
    });

    test('a pod is stopped, started, paused and looked at as a whole', async () => {
      const names = await pod(s, 'p4', 2);
      const states = async (): Promise<string> => await s.podman.must(['pod', 'inspect', '--format', '{{.State}}', 'p4']);
      expect(await states()).toBe('Running');
      expect(await s.podman.must(['pod', 'top', 'p4', 'args'])).toMatch(/sleep 1000/);
      const stats = JSON.parse(await s.podman.must(['pod', 'stats', '--no-stream', '--format', 'json', 'p4'])) as unknown[];
      expect(stats.length).toBe(3);
      await s.podman.must(['pod', 'pause', 'p4']);
      expect(await s.podman.inspect(names[0] as string, '{{.State.Status}}')).toBe('paused');
      await s.podman.must(['pod', 'unpause', 'p4']);
      await s.podman.run(['pod', 'stop', '-t', '0', 'p4']);
      expect(await states()).toBe('Exited');
      await s.podman.must(['pod', 'start', 'p4']);
      expect(await states()).toBe('Running');
      expect(await s.exec(names[1] as string, 'cat', '/who')).toBe(names[1]);
      await s.podman.must(['pod', 'rm', '-f', '-t', '0', 'p4']);
    });

    test('limits of one container of a pod are its own', async () => {
      await s.podman.must(['pod', 'create', '--name', 'p5', '--network=none']);
      await s.podman.must(['run', '-d', '--pod', 'p5', '--name', 'p5-a', '--memory=100m', BB, 'sleep', '1000']);
      await s.podman.must(['run', '-d', '--pod', 'p5', '--name', 'p5-b', '--memory=50m', BB, 'sleep', '1000']);
      const limit = (n: string): Promise<string> =>
        s.exec(n, 'sh', '-c', 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max');
      expect(await limit('p5-a')).toBe(String(100 << 20));
      expect(await limit('p5-b')).toBe(String(50 << 20));
      await s.podman.must(['pod', 'rm', '-f', '-t', '0', 'p5']);
    });

    test('generate kube and play kube', async () => {
      await pod(s, 'p6', 2);
      const yaml = s.podman.folder.file('pod.yaml');
      writeFileSync(yaml, await s.podman.must(['generate', 'kube', 'p6']));
      await s.podman.must(['pod', 'rm', '-f', '-t', '0', 'p6']);
      await s.podman.must(['play', 'kube', '--network=none', yaml]);
      await until(
        'its containers run',
        async () => (await s.podman.must(['ps', '--format', '{{.Names}}', '--filter', 'pod=p6'])).split('\n').length === 3,
      );
      expect(await s.exec('p6-p6-0', 'cat', '/who')).toBe('p6-0');
      expect(await s.exec('p6-p6-1', 'hostname')).toBe('p6');
      await s.podman.must(['play', 'kube', '--down', yaml]);
    });

    test("containers that join another one's namespaces", async () => {
      const first = await s.start(['--hostname', 'first', '--ipc=shareable', BB, 'sleep', '1000']);
      const join = ['--network', `container:${first}`, '--ipc', `container:${first}`, '--uts', `container:${first}`];
      const second = s.name();
      await s.podman.must(['run', '-d', '--name', second, ...join, BB, 'sleep', '2000']);
      for (const kind of ['net', 'ipc']) {
        expect(await s.exec(second, 'readlink', `/proc/self/ns/${kind}`)).toBe(await s.exec(first, 'readlink', `/proc/self/ns/${kind}`));
      }
      const served = s.podman.run(['exec', first, 'sh', '-c', 'echo through one loopback | nc -l -p 7778']);
      await until('it listens', async () => (await s.podman.run(['exec', second, 'sh', '-c', 'netstat -ltn | grep -q 7778'])).status === 0);
      expect(await s.exec(second, 'nc', '127.0.0.1', '7778')).toBe('through one loopback');
      expect((await served).status).toBe(0);
      for (const name of [second, first]) await s.remove(name);
    });
  },
);
