// podman looks into containers that run: exec in all its forms, top, stats, health checks.

import { expect, test } from 'vitest';
import { withPodman } from './kit/each.ts';
import { until } from '../support/until.ts';
import { busybox } from './kit/images.ts';

const BB = 'localhost/bb';

withPodman(
  'podman exec',
  () => [busybox()],
  (s) => {
    test('exec: streams, standard input and status', async () => {
      const name = await s.start([BB, 'sleep', '1000']);
      const r = await s.podman.run(['exec', name, 'sh', '-c', 'echo out; echo err >&2; exit 11']);
      expect(r).toMatchObject({ status: 11, stdout: 'out\n', stderr: 'err\n' });
      expect(await s.podman.must(['exec', '-i', name, 'wc', '-c'], { input: 'x'.repeat(200_000) })).toBe('200000');
      expect((await s.podman.run(['exec', name, 'sh', '-c', 'kill -9 $$'])).status).toBe(137);
      await s.remove(name);
    });

    test('exec of what cannot be run is told by status 127 and 126', async () => {
      const name = await s.start([BB, 'sleep', '1000']);
      expect((await s.podman.run(['exec', name, 'no-such-command'])).status).toBe(127);
      expect((await s.podman.run(['exec', name, '/etc/passwd'])).status).toBe(126);
      expect((await s.podman.run(['exec', 'no-such-container', 'true'])).status).toBe(125);
      expect(await s.exec(name, 'echo', 'still there')).toBe('still there');
      await s.remove(name);
    });

    test('exec as another user, with variables, in another folder, without privileges', async () => {
      const name = await s.start(['--env', 'OWN=1', BB, 'sleep', '1000']);
      expect(await s.podman.must(['exec', '-u', 'guest', name, 'id'])).toMatch(
        /^uid=1000\(guest\) gid=1000\(guest\) groups=.*2000\(extra\)$/,
      );
      expect(await s.podman.must(['exec', '-u', '5:6', name, 'id', '-u'])).toBe('5');
      expect(await s.podman.must(['exec', '-e', 'MORE=2', name, 'sh', '-c', 'echo $OWN $MORE'])).toBe('1 2');
      expect(await s.podman.must(['exec', '-w', '/var/tmp', name, 'pwd'])).toBe('/var/tmp');
      expect(await s.podman.must(['exec', '-u', 'guest', name, 'grep', 'CapEff', '/proc/self/status'])).toMatch(/0000000000000000$/);
      const all = await s.podman.must(['exec', '--privileged', name, 'grep', 'CapEff', '/proc/self/status']);
      const own = await s.podman.must(['exec', name, 'grep', 'CapEff', '/proc/self/status']);
      expect(Number.parseInt(all.slice(8), 16)).toBeGreaterThan(Number.parseInt(own.slice(8), 16));
      await s.remove(name);
    });

    test('exec -it: a terminal of its own, with its size', async () => {
      const name = await s.start([BB, 'sleep', '1000']);
      const t = s.podman.terminal(['exec', '-it', name, 'sh'], 25, 85);
      await t.expect(/# /);
      t.type('tty; while [ "$(stty size)" != "25 85" ]; do :; done; echo si""zed\n');
      await t.expect(/\/dev\/pts\/\d+\r\n/);
      await t.expect(/sized\r\n/);
      t.resize(26, 86);
      t.type('while [ "$(stty size)" != "26 86" ]; do :; done; echo gr""own\n');
      await t.expect(/grown\r\n/);
      t.type('cat\n');
      await new Promise((done) => setTimeout(done, 500)); // a key before that would be the shell's
      t.type('\x03');
      await t.expect(/\^C\r\n.*# /);
      t.type('exit 12\n');
      expect(await t.exit).toBe(12);
      await s.remove(name);
    });

    test('exec -d leaves a process behind that the container ends with', async () => {
      const name = await s.start([BB, 'sleep', '1000']);
      await s.podman.must(['exec', '-d', name, 'sh', '-c', 'echo made >/made; exec sleep 2000']);
      await until('it runs', async () => (await s.exec(name, 'sh', '-c', 'cat /made || true')) === 'made');
      await until('it is seen', async () => (await s.exec(name, 'ps')).includes('sleep 2000'));
      await s.remove(name);
    });

    test('ten at a time', async () => {
      const name = await s.start([BB, 'sleep', '1000']);
      const numbers = [...Array(10).keys()];
      const all = await Promise.all(numbers.map((i) => s.podman.run(['exec', name, 'sh', '-c', `echo ${i}; exit ${i}`])));
      expect(all.map((r) => [r.stdout, r.status])).toEqual(numbers.map((i) => [`${i}\n`, i]));
      await s.remove(name);
    });

    test('an exec ends with its container', async () => {
      const name = await s.start([BB, 'sleep', '1000']);
      const running = s.podman.run(['exec', name, 'sh', '-c', 'echo in; sleep 1000']);
      await until('it runs', async () => (await s.exec(name, 'ps')).includes('sleep 1000'));
      await s.podman.must(['kill', name]);
      expect((await running).status).not.toBe(0);
      await s.remove(name);
    });

    test('top: of the host and by the ps of the container', async () => {
      const name = await s.start([BB, 'sh', '-c', 'sleep 1111 & wait']);
      await until('both run', async () => (await s.exec(name, 'ps')).includes('sleep 1111'));
      const byHost = await s.podman.must(['top', name, 'pid', 'comm', 'user', 'args']);
      expect(byHost).toMatch(/^1\s+\S+\s+root\s+sh -c/m);
      const byContainer = await s.podman.must(['top', name, '-o', 'pid,args']);
      expect(byContainer).toMatch(/\d+ sleep 1111/);
      await s.remove(name);
    });

    test('stats: processes, memory and processor time of the container alone', async () => {
      const name = await s.start([BB, 'sh', '-c', 'i=0; while :; do i=$((i + 1)); done']);
      const idle = await s.start([BB, 'sleep', '1000']);
      await until('it has worked', async () => {
        const json = await s.podman.must(['stats', '--no-stream', '--format', 'json', name, idle]);
        const rows = JSON.parse(json) as { name: string; cpu_time: string; pids: string; mem_usage: string }[];
        const time = (n: string): number => seconds(rows.find((r) => r.name === n)?.cpu_time ?? '');
        expect(Number(rows[0]?.pids)).toBeGreaterThan(0);
        expect(rows[0]?.mem_usage).toMatch(/^[1-9].*B \//);
        return time(name) > 1 + time(idle);
      });
      for (const n of [name, idle]) await s.remove(n);
    });

    test('health checks: a healthy one, and one that fails', async () => {
      const check = ['--health-interval=disable', '--health-retries=1', '--health-cmd', 'test -e /healthy'];
      const name = await s.start([...check, BB, 'sleep', '1000']);
      const sick = await s.podman.run(['healthcheck', 'run', name]);
      expect(sick.status).toBe(1);
      expect(await s.podman.inspect(name, '{{.State.Health.Status}}')).toBe('unhealthy');
      await s.exec(name, 'touch', '/healthy');
      await s.podman.must(['healthcheck', 'run', name]);
      expect(await s.podman.inspect(name, '{{.State.Health.Status}}')).toBe('healthy');
      await s.remove(name);
    });
  },
);

/** Seconds of a time as Go prints it: 1m2.5s, 300ms. */
function seconds(text: string): number {
  let sum = 0;
  for (const [, n, unit] of text.matchAll(/([\d.]+)(h|ms|µs|us|ns|m|s)/g)) {
    sum += Number(n) * ({ h: 3600, m: 60, s: 1, ms: 1e-3, µs: 1e-6, us: 1e-6, ns: 1e-9 }[unit as string] ?? 0);
  }
  return sum;
}
