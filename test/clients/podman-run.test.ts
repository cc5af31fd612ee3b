// podman runs containers: streams, terminals, statuses, logs, and every way in which they end.

import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { withPodman } from './kit/each.ts';
import { until } from '../support/until.ts';
import { busybox } from './kit/images.ts';

const BB = 'localhost/bb';

withPodman(
  'podman run',
  () => [busybox()],
  (s) => {
    test("output goes to its streams, and the status is the container's", async () => {
      const r = await s.run([BB, 'sh', '-c', 'echo to out; echo to err >&2; exit 6']);
      expect(r).toMatchObject({ status: 6, stdout: 'to out\n', stderr: 'to err\n' });
      expect(await s.run([BB, 'true'])).toMatchObject({ status: 0, stdout: '', stderr: '' });
    });

    test('standard input reaches the container and ends', async () => {
      expect(await s.says(['-i', BB, 'sh', '-c', 'read a; echo "first $a"; wc -c'], { input: 'one\ntwo\nthree\n' })).toBe('first one\n10');
      expect(await s.says([BB, 'wc', '-c'], { input: 'not passed on' })).toBe('0');
      const long = 'x'.repeat(300_000);
      expect(await s.says(['-i', BB, 'md5sum'], { input: long })).toBe(`${createHash('md5').update(long).digest('hex')}  -`);
    });

    test('a command that cannot be run is told by status 127 and 126, and leaves nothing', async () => {
      const missing = await s.run([BB, 'no-such-command']);
      expect(missing.status).toBe(127);
      expect(missing.stderr).toMatch(/no-such-command.*not found/);
      const absolute = await s.run([BB, '/no/such/command']);
      expect(absolute.status).toBe(127);
      expect(absolute.stderr).toMatch(/no such file or directory/);
      const folder = await s.run([BB, '/etc']);
      expect(folder.status).toBe(126);
      expect(folder.stderr).toMatch(/permission denied|is a directory/);
      const plain = await s.run([BB, '/etc/passwd']);
      expect(plain.status).toBe(126);
      expect(plain.stderr).toMatch(/permission denied/);
    });

    test('a process that a signal ends has 128 + its number', async () => {
      expect((await s.run([BB, 'sh', '-c', 'sh -c "kill -9 \\$\\$"; exit $?'])).status).toBe(137);
      expect((await s.run([BB, 'sh', '-c', 'sh -c "kill -TERM \\$\\$"; exit $?'])).status).toBe(143);
      const name = await s.start([BB, 'sleep', '1000']);
      await s.podman.must(['kill', name]);
      expect(await s.end(name)).toBe(137);
      await s.remove(name);
    });

    test('run -it is a terminal with a size that follows, signals from the keyboard, and a status', async () => {
      const t = s.podman.terminal(['run', '-it', '--rm', '--network=none', BB, 'sh'], 33, 99);
      await t.expect(/# /);
      t.type('tty; stty size\n');
      await t.expect(/\/dev\/(pts\/0|console)\r\n33 99\r\n/);
      t.resize(44, 88);
      t.type('while [ "$(stty size)" != \'44 88\' ]; do :; done; echo grown\n');
      await t.expect(/\ngrown/);
      t.type('sleep 1000\n');
      await t.expect(/sleep 1000\r\n/);
      await new Promise((done) => setTimeout(done, 500)); // a key before that would be the shell's
      t.type('\x03');
      await t.expect(/# /);
      t.type('echo $((6 * 7)); exit 7\n');
      await t.expect(/\n42/);
      expect(await t.exit).toBe(7);
    });

    test('run -t without input, and -i without a terminal', async () => {
      expect(await s.says(['-t', BB, 'sh', '-c', 'test -t 1 && echo a terminal'])).toBe('a terminal\r');
      expect(await s.says(['-i', BB, 'sh', '-c', 'test -t 0 || echo no terminal'], { input: '' })).toBe('no terminal');
    });

    test('-d, logs, wait and the state while it runs and after', async () => {
      const name = await s.start([
        BB,
        'sh',
        '-c',
        'echo begun; echo complaint >&2; while [ ! -e /go ]; do sleep 0.1; done; echo ended; exit 9',
      ]);
      await until('it has begun', async () => (await s.podman.must(['logs', name])).includes('begun'));
      expect(await s.podman.inspect(name, '{{.State.Status}} {{.State.Running}} {{.State.ExitCode}}')).toBe('running true 0');
      await s.exec(name, 'touch', '/go');
      expect(await s.end(name)).toBe(9);
      const logs = await s.podman.run(['logs', name]);
      expect(logs.stdout).toBe('begun\nended\n');
      expect(logs.stderr).toBe('complaint\n');
      expect(await s.podman.must(['logs', '--tail', '1', name])).toBe('ended');
      expect(await s.podman.inspect(name, '{{.State.Status}} {{.State.Running}} {{.State.ExitCode}} {{.State.Pid}}')).toBe(
        'exited false 9 0',
      );
      await s.remove(name);
    });

    test('all output of a process that ends at once is in the logs', async () => {
      const name = await s.start([BB, 'sh', '-c', 'i=0; while [ $i -lt 2000 ]; do echo "line $i"; i=$((i + 1)); done']);
      expect(await s.end(name)).toBe(0);
      const lines = (await s.podman.must(['logs', name])).split('\n');
      expect(lines.length).toBe(2000);
      expect(lines[1999]).toBe('line 1999');
      await s.remove(name);
    });

    test('attach brings streams back', async () => {
      const name = await s.start(['-i', BB, 'sh', '-c', 'while read a; do echo "got $a"; done; exit 5']);
      const r = await s.podman.run(['attach', '--sig-proxy=false', name], { input: 'hello\nagain\n' });
      expect(r.stdout.trimEnd()).toBe('got hello\ngot again');
      expect(await s.end(name)).toBe(5);
      await s.remove(name);
    });

    test('attach to a terminal, detach, attach again', async () => {
      const name = await s.start(['-it', BB, 'sh']);
      const first = s.podman.terminal(['attach', '--sig-proxy=false', '--detach-keys=ctrl-x', name], 30, 90);
      // The size comes with the attachment, which may take longer than typing.
      first.type('mark=kept; until stty size | grep "30 90"; do sleep 0.1; done\n');
      await first.expect(/\n30 90\r/);
      first.type('\x18');
      expect(await first.exit).toBe(0);
      const second = s.podman.terminal(['attach', '--sig-proxy=false', name], 31, 91);
      second.type('echo mark is $mark; exit 4\n');
      await second.expect(/mark is kept/);
      await second.exit;
      expect(await s.end(name)).toBe(4);
      await s.remove(name);
    });

    test('stop: a process that handles TERM ends by itself, one that does not is killed', async () => {
      const polite = await s.start([BB, 'sh', '-c', 'trap "echo told; exit 3" TERM; echo ready; while :; do sleep 0.1; done']);
      await until('it has begun', async () => (await s.podman.must(['logs', polite])).includes('ready'));
      await s.podman.must(['stop', '-t', '60', polite]);
      expect(await s.podman.inspect(polite, '{{.State.ExitCode}}')).toBe('3');
      expect(await s.podman.must(['logs', polite])).toContain('told');
      const deaf = await s.start([BB, 'sleep', '1000']);
      await s.podman.run(['stop', '-t', '1', deaf]);
      expect(await s.podman.inspect(deaf, '{{.State.ExitCode}}')).toBe('137');
      for (const name of [polite, deaf]) await s.remove(name);
    });

    test("kill with a signal of one's choice", async () => {
      const name = await s.start([BB, 'sh', '-c', 'trap "echo usr1" USR1; trap "exit 8" HUP; echo ready; while :; do sleep 0.1; done']);
      await until('it has begun', async () => (await s.podman.must(['logs', name])).includes('ready'));
      await s.podman.must(['kill', '--signal', 'USR1', name]);
      await until('it got the signal', async () => (await s.podman.must(['logs', name])).includes('usr1'));
      await s.podman.must(['kill', '-s', '1', name]);
      expect(await s.end(name)).toBe(8);
      const again = await s.podman.run(['kill', name]);
      expect(again.status).not.toBe(0);
      expect(again.stderr).toMatch(/not running|can only kill running containers/);
      await s.remove(name);
    });

    test('pause and unpause', async () => {
      const name = await s.start([BB, 'sh', '-c', 'i=0; while :; do i=$((i + 1)); echo $i >/count; sleep 0.02; done']);
      const count = async (): Promise<number> => {
        await s.podman.must(['cp', `${name}:/count`, s.podman.folder.file('count')]);
        return Number(await s.podman.folder.must(['cat', s.podman.folder.file('count')]));
      };
      await until('it counts', async () => (await s.exec(name, 'sh', '-c', 'cat /count || true')) !== '');
      await s.podman.must(['pause', name]);
      expect(await s.podman.inspect(name, '{{.State.Status}}')).toBe('paused');
      const before = await count();
      await new Promise((done) => setTimeout(done, 500));
      expect(await count()).toBe(before);
      await s.podman.must(['unpause', name]);
      expect(await s.podman.inspect(name, '{{.State.Status}}')).toBe('running');
      await until('it counts again', async () => (await count()) > before);
      await s.remove(name);
    });

    test('restart and start again: a new process each time, files are kept', async () => {
      const name = await s.start([BB, 'sh', '-c', 'echo x >>/starts; wc -l </starts; exec sleep 1000']);
      await s.podman.must(['restart', '-t', '0', name]);
      await until('two starts', async () => (await s.exec(name, 'cat', '/starts')) === 'x\nx');
      await s.podman.run(['stop', '-t', '0', name]);
      await s.podman.must(['start', name]);
      await until('three starts', async () => (await s.exec(name, 'cat', '/starts')) === 'x\nx\nx');
      await s.remove(name);
    });

    test('init makes a container that waits for start', async () => {
      const name = s.name();
      await s.podman.must(['create', '--network=none', '--name', name, BB, 'sh', '-c', 'echo ran; exit 2']);
      await s.podman.must(['init', name]);
      expect(await s.podman.inspect(name, '{{.State.Status}}')).toBe('initialized');
      expect(await s.podman.must(['logs', name])).toBe('');
      const r = await s.podman.run(['start', '-a', name]);
      expect(r).toMatchObject({ status: 2, stdout: 'ran\n' });
      const other = s.name();
      await s.podman.must(['create', '--network=none', '--name', other, BB, 'sleep', '1000']);
      await s.podman.must(['init', other]);
      for (const n of [name, other]) await s.remove(n);
    });

    test("--init: an init of the client's reaps and forwards", async () => {
      const name = await s.start(['--init', '--init-path', '/usr/bin/tini-static', BB, 'sh', '-c', 'sh -c "sleep 0.1 &"; exec sleep 1000']);
      await until(
        'nothing but the two is left',
        async () => (await s.exec(name, 'ls', '/proc')).split('\n').filter((l) => /^\d+$/.test(l)).length === 3,
      );
      expect(await s.exec(name, 'sh', '-c', 'tr "\\0" " " </proc/1/cmdline')).toMatch(/init.* sh /);
      await s.podman.must(['stop', '-t', '60', name]);
      expect(await s.podman.inspect(name, '{{.State.ExitCode}}')).toBe('143');
      await s.remove(name);
    });

    test('a container that is killed from outside is exited with 137', async () => {
      const name = await s.start([BB, 'sleep', '1000']);
      process.kill(Number(await s.podman.inspect(name, '{{.State.Pid}}')), 'SIGKILL');
      expect(await s.end(name)).toBe(137);
      await s.remove(name);
    });

    test('a restart policy starts it again', async () => {
      const name = await s.start(['--restart=on-failure:2', BB, 'sh', '-c', 'echo x >>/starts; exit 1']);
      await until(
        'it was started three times',
        async () => (await s.podman.inspect(name, '{{.RestartCount}} {{.State.Status}}')) === '2 exited',
      );
      await s.podman.must(['cp', `${name}:/starts`, s.podman.folder.file('starts')]);
      expect(await s.podman.folder.must(['cat', s.podman.folder.file('starts')])).toBe('x\nx\nx');
      await s.remove(name);
    });
  },
);
