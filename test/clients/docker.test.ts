// docker drives the runtime through dockerd, containerd and the shim io.containerd.runc.v2: the same tests on runc and on ringfence.

import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { DockerMachine } from './docker/machine.ts';
import { type Result, runtimes } from './kit/machine.ts';
import { busybox, nginx, python, setuid } from './kit/images.ts';

const IMAGE = busybox().reference;
let m: DockerMachine;
beforeAll(async () => {
  m = await DockerMachine.start(busybox(), nginx(), python(), setuid());
}, 300_000);
afterAll(() => m?.stop());

describe.each(runtimes)('$name', ({ name: runtime }) => {
  const base = ['run', '--runtime', runtime, '--network', 'none'];
  const run = (flags: string[], ...command: string[]): Promise<Result> => m.docker([...base, '--rm', ...flags, IMAGE, ...command]);
  const detached = (name: string, flags: string[], ...command: string[]): Promise<string> =>
    m.must([...base, '-d', '--name', name, ...flags, IMAGE, ...command]);
  const exec = (name: string, ...command: string[]): Promise<Result> => m.docker(['exec', name, ...command]);
  const inspect = (name: string, format: string): Promise<string> => m.must(['inspect', '-f', format, name]);
  const remove = (...names: string[]): Promise<string> => m.must(['rm', '-f', ...names]);

  afterEach(async () => {
    const left = (await m.must(['ps', '-aq'])).split('\n').filter((l) => l !== '');
    if (left.length > 0) await remove(...left);
    await m.expectClean();
  });

  describe('run', () => {
    test('streams, exit statuses, errors', async () => {
      expect(await run([], 'sh', '-c', 'echo out; echo err >&2; exit 6')).toEqual({ status: 6, stdout: 'out\n', stderr: 'err\n' });
      expect((await m.docker([...base, '--rm', '-i', IMAGE, 'head', '-n', '1'], { input: 'words\n' })).stdout).toBe('words\n');
      expect((await run([], '/no/such')).status).toBe(127);
      expect(await run([], 'nosuch')).toMatchObject({ status: 127, stderr: expect.stringMatching(/executable file not found/) });
      expect(await run([], '/etc/passwd')).toMatchObject({ status: 126, stderr: expect.stringMatching(/permission denied/) });
      expect((await run([], 'sh', '-c', 'sh -c "kill -9 \\$\\$"; exit $?')).status).toBe(137);
    });

    test('user, environment, folder, host name, capabilities, no new privileges, read-only root, tmpfs, limits of descriptors', async () => {
      const flags = ['--user', '1000:2000', '-e', 'A=b c', '-w', '/home', '--hostname', 'box', '--ulimit', 'nofile=100:200'];
      const r = await run(flags, 'sh', '-c', 'id -u; id -g; echo "$A"; pwd; hostname; ulimit -n; ulimit -Hn');
      const said = r.stdout.split('\n');
      expect(said.slice(0, 5)).toEqual(['1000', '2000', 'b c', '/home', 'box']);
      // Go's runtime in `runc init` may put back the limit that it began with.
      if (runtime !== 'runc') expect(said.slice(5)).toEqual(['100', '200', '']);
      const caps = async (...more: string[]): Promise<string> => (await run(more, 'grep', 'CapEff', '/proc/self/status')).stdout.trim();
      expect(await caps('--cap-drop', 'ALL')).toBe('CapEff:\t0000000000000000');
      expect(await caps('--cap-drop', 'ALL', '--cap-add', 'CHOWN')).toBe('CapEff:\t0000000000000001');
      const nnp = await m.docker([...base, '--rm', '--user', '1000', setuid().reference, 'suid']);
      expect(nnp.status).toBe(0);
      const kept = await m.docker([...base, '--rm', '--user', '1000', '--security-opt', 'no-new-privileges', setuid().reference, 'suid']);
      expect(kept.stdout).not.toBe(nnp.stdout);
      const ro = await run(
        ['--read-only', '--tmpfs', '/t:size=1m'],
        'sh',
        '-c',
        'touch /t/x && df -k /t | tail -1 | awk "{print \\$2}"; touch /x',
      );
      expect(ro).toMatchObject({ status: 1, stdout: '1024\n', stderr: expect.stringMatching(/Read-only file system/) });
    });

    test('volumes, read-only and not; --init', async () => {
      const dir = mkdtempSync(join(m.dir, 'volume-'));
      writeFileSync(join(dir, 'a'), 'from outside\n');
      const volumes = ['-v', `${dir}:/rw`, '-v', `${dir}:/ro:ro`];
      const r = await run(volumes, 'sh', '-c', 'cat /ro/a; echo inside > /rw/b; touch /ro/c');
      expect(r).toMatchObject({ status: 1, stdout: 'from outside\n', stderr: expect.stringMatching(/Read-only file system/) });
      expect(readFileSync(join(dir, 'b'), 'utf8')).toBe('inside\n');
      expect((await run(['--init'], 'cat', '/proc/1/comm')).stdout).toBe('docker-init\n');
    });

    test('the default seccomp profile, and none', async () => {
      const script = 'grep ^Seccomp: /proc/self/status; unshare -U true && echo new';
      expect(await run([], 'sh', '-c', script)).toMatchObject({ stdout: 'Seccomp:\t2\n' });
      const open = await run(['--security-opt', 'seccomp=unconfined'], 'grep', '^Seccomp:', '/proc/self/status');
      expect(open.stdout).toBe('Seccomp:\t0\n');
    });

    test('on a terminal', async () => {
      const script = 'tty; until stty size | grep "33 77"; do sleep 0.1; done; read x; echo "got <$x>"; exit 8';
      const t = m.terminal([...base, '--rm', '-it', IMAGE, 'sh', '-c', script], 33, 77);
      try {
        await t.expect(/33 77\r+\n/);
        t.type('word\n');
        await t.expect(/got <word>\r+\n/);
        expect(await t.exit).toBe(8);
      } finally {
        await t.close();
      }
    });
  });

  describe('a container', () => {
    test('logs, stop with and without a handler, start again, kill, exit codes', async () => {
      await detached('c1', [], 'sh', '-c', 'trap "echo bye; exit 4" TERM; echo up; while :; do sleep 0.05; done');
      expect(await m.until(async () => (await m.docker(['logs', 'c1'])).stdout === 'up\n')).toBe(true);
      await m.must(['stop', '-t', '20', 'c1']);
      expect(await inspect('c1', '{{.State.Status}} {{.State.ExitCode}}')).toBe('exited 4');
      expect(await m.must(['logs', 'c1'])).toBe('up\nbye');
      await m.must(['start', 'c1']);
      expect(await inspect('c1', '{{.State.Status}}')).toBe('running');
      await m.must(['restart', '-t', '20', 'c1']);
      await m.must(['kill', 'c1']);
      expect(await m.until(async () => (await inspect('c1', '{{.State.Status}} {{.State.ExitCode}}')) === 'exited 137')).toBe(true);
      await detached('c2', [], 'sleep', '1000');
      await m.must(['stop', '-t', '1', 'c2']);
      expect(await inspect('c2', '{{.State.ExitCode}}')).toBe('137');
    });

    test('exec: streams, status, user, folder, environment, in the background, on a terminal', async () => {
      await detached('e1', [], 'sleep', '1000');
      expect(await exec('e1', 'sh', '-c', 'echo in; echo err >&2; exit 9')).toEqual({ status: 9, stdout: 'in\n', stderr: 'err\n' });
      const flags = ['exec', '-u', '1000:2000', '-w', '/home', '-e', 'B=c d', 'e1'];
      expect(await m.must([...flags, 'sh', '-c', 'id -u; id -g; pwd; echo "$B"'])).toBe('1000\n2000\n/home\nc d');
      expect((await m.docker(['exec', '-i', 'e1', 'head', '-n', '1'], { input: 'words\n' })).stdout).toBe('words\n');
      expect((await exec('e1', 'nosuch')).status).toBe(126);
      await m.must(['exec', '-d', 'e1', 'sh', '-c', 'echo done > /flag']);
      expect(await m.until(async () => (await exec('e1', 'cat', '/flag')).stdout === 'done\n')).toBe(true);
      const t = m.terminal(['exec', '-it', 'e1', 'sh', '-c', 'trap "exit 3" INT; tty; read x; echo "got <$x>"; sleep 1000'], 24, 80);
      try {
        await t.expect(/\/dev\/pts\/\d+\r+\n/);
        t.type('word\n');
        await t.expect(/got <word>\r+\n/);
        t.type('\x03');
        expect(await t.exit).toBe(3);
      } finally {
        await t.close();
      }
    });

    test('attach, pause, top, stats', async () => {
      await detached('t1', ['-i'], 'sh', '-c', 'while read x; do [ "$x" = quit ] && sleep 1 && exit 5; echo "got <$x>"; done');
      expect((await m.docker(['attach', '--sig-proxy=false', 't1'], { input: 'a\nb\nquit\n' })).status).toBe(5);
      expect(await m.must(['logs', 't1'])).toBe('got <a>\ngot <b>');
      await detached('t3', [], 'sh', '-c', 'while :; do echo tick; sleep 0.1; done');
      const t = m.terminal(['attach', '--sig-proxy=false', 't3'], 24, 80);
      try {
        await t.expect(/tick\r+\n.*tick\r+\n/);
      } finally {
        await t.close();
      }
      await detached('t2', [], 'sleep', '1000');
      await m.must(['pause', 't2']);
      expect(await inspect('t2', '{{.State.Status}}')).toBe('paused');
      await m.must(['unpause', 't2']);
      expect(await inspect('t2', '{{.State.Status}}')).toBe('running');
      expect(await m.must(['top', 't2'])).toMatch(/sleep 1000/);
      const stats = JSON.parse(await m.must(['stats', '--no-stream', '--format', '{{json .}}', 't2']));
      expect(Number.parseFloat(stats.MemUsage)).toBeGreaterThan(0);
      expect(Number(stats.PIDs)).toBeGreaterThan(0);
    });

    test('cp in and out, running and stopped; diff, commit, export', async () => {
      await detached('f1', [], 'sh', '-c', 'mkdir /made; echo text > /made/file; rm /etc/group; while :; do sleep 1; done');
      writeFileSync(join(m.dir, 'in'), 'copied in\n');
      await m.must(['cp', join(m.dir, 'in'), 'f1:/home/in']);
      expect((await exec('f1', 'cat', '/home/in')).stdout).toBe('copied in\n');
      writeFileSync(join(m.dir, 'in'), 'copied again\n');
      await m.must(['cp', join(m.dir, 'in'), 'f1:/home/in']);
      expect((await exec('f1', 'cat', '/home/in')).stdout).toBe('copied again\n');
      await m.must(['cp', 'f1:/made/file', join(m.dir, 'out')]);
      expect(readFileSync(join(m.dir, 'out'), 'utf8')).toBe('text\n');
      const diff = (await m.must(['diff', 'f1'])).split('\n');
      for (const line of ['A /made', 'A /made/file', 'D /etc/group', 'A /home/in']) expect(diff).toContain(line);
      await m.must(['commit', 'f1', `localhost/made-${runtime}`]);
      const made = await m.docker([...base, '--rm', `localhost/made-${runtime}`, 'cat', '/made/file', '/home/in', '/etc/group']);
      expect(made).toMatchObject({ status: 1, stdout: 'text\ncopied again\n' });
      await m.must(['kill', 'f1']);
      await m.must(['cp', 'f1:/home/in', join(m.dir, 'out')]);
      expect(readFileSync(join(m.dir, 'out'), 'utf8')).toBe('copied again\n');
      await m.must(['export', '-o', join(m.dir, 'export.tar'), 'f1']);
      expect((await m.run(['tar', '-tf', join(m.dir, 'export.tar'), 'made/file'])).stdout).toBe('made/file\n');
      await m.must(['rmi', '-f', `localhost/made-${runtime}`]);
    });

    test('memory, cpus and pids: what the limits are inside, and update', async () => {
      await detached('l1', ['--memory', '128m', '--cpus', '0.5', '--pids-limit', '40'], 'sleep', '1000');
      const group = (await inspect('l1', '{{.Id}}')).trim();
      const of = (controller: string, file: string): string => {
        const parent = /\/(rf-docker-\d+)\//.exec(m.proc(`${pid}/cgroup`))?.[1] ?? '';
        return readFileSync(join('/sys/fs/cgroup', controller, parent, group, file), 'utf8').trim();
      };
      const pid = await inspect('l1', '{{.State.Pid}}');
      expect(of('memory', 'memory.limit_in_bytes')).toBe(String(128 << 20));
      expect(of('cpu', 'cpu.cfs_quota_us')).toBe('50000');
      await m.must(['update', '--memory', '160m', '--memory-swap', '320m', 'l1']);
      expect(of('memory', 'memory.limit_in_bytes')).toBe(String(160 << 20));
      const forks = 'i=0; while [ $i -lt 60 ]; do sleep 20 & i=$((i+1)); done 2>&1; echo end';
      expect((await exec('l1', 'sh', '-c', forks)).stdout + (await exec('l1', 'true')).stderr).toMatch(/can't fork|Resource temporarily/);
    });

    test('out of memory: killed, and known to be', async () => {
      const eat = 'b=[]\nwhile True: b.append(bytearray(1<<20))';
      const r = await m.docker([
        'run',
        '--runtime',
        runtime,
        '--network',
        'none',
        '--name',
        'o1',
        '--memory',
        '128m',
        '--memory-swap',
        '128m',
        python().reference,
        'python3',
        '-c',
        eat,
      ]);
      expect(r.status).toBe(137);
      expect(await inspect('o1', '{{.State.OOMKilled}}')).toBe('true');
    });

    test('health checks', async () => {
      const health = ['--health-cmd', 'test -e /well', '--health-interval', '300ms', '--health-retries', '1'];
      await detached('h1', health, 'sh', '-c', 'sleep 1; touch /well; sleep 1000');
      expect(await m.until(async () => (await inspect('h1', '{{.State.Health.Status}}')) === 'healthy')).toBe(true);
      await exec('h1', 'rm', '/well');
      expect(await m.until(async () => (await inspect('h1', '{{.State.Health.Status}}')) === 'unhealthy')).toBe(true);
    });

    test('restart policies', async () => {
      await detached('p1', ['--restart', 'on-failure:2'], 'sh', '-c', 'echo try; exit 3');
      const over = async (): Promise<boolean> => (await inspect('p1', '{{.State.Status}} {{.RestartCount}}')) === 'exited 2';
      expect(await m.until(over, 40_000)).toBe(true);
      expect(await m.must(['logs', 'p1'])).toBe('try\ntry\ntry');
      await detached('p2', ['--restart', 'always'], 'sh', '-c', 'echo once; sleep 1000');
      const first = await inspect('p2', '{{.State.Pid}}');
      await m.run(['kill', '-9', first]);
      const again = async (): Promise<boolean> => {
        const [status, pid] = (await inspect('p2', '{{.State.Status}} {{.State.Pid}}')).split(' ');
        return status === 'running' && pid !== first;
      };
      expect(await m.until(again)).toBe(true);
      await m.must(['stop', '-t', '0', 'p2']);
    });

    test('privileged: every capability, and none of the host', async () => {
      // Without CAP_SYS_RESOURCE in the host's own set, runc cannot give what docker asks for.
      const bounding = /^CapBnd:\t([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '';
      const whole = (BigInt(`0x${bounding}`) & (1n << 24n)) !== 0n;
      const r = await run(['--privileged'], 'sh', '-c', 'grep CapEff /proc/self/status; grep ^Seccomp: /proc/self/status');
      if (runtime === 'runc' && !whole)
        expect(r).toMatchObject({ status: 125, stderr: expect.stringMatching(/unable to apply caps|not permitted/) });
      else {
        const all = (1n << 38n) - 1n; // as many as this docker knows
        expect(BigInt(`0x${/^CapEff:\t([0-9a-f]+)\nSeccomp:\t0\n$/.exec(r.stdout)?.[1] ?? 0}`) & all).toBe(all);
      }
    });
  });

  test('build, with the runtime as default', async () => {
    await m.defaultRuntime(runtime);
    try {
      const dir = mkdtempSync(join(m.dir, 'build-'));
      writeFileSync(join(dir, 'file'), 'from the context\n');
      const lines = [
        `FROM ${IMAGE}`,
        'COPY file /file',
        'RUN cat /file > /made && chown 5:6 /made && mkdir /d && echo x > /d/x',
        'CMD ["cat", "/made"]',
      ];
      writeFileSync(join(dir, 'Dockerfile'), `${lines.join('\n')}\n`);
      const built = `localhost/built-${runtime}`;
      await m.must(['build', '--network', 'none', '--no-cache', '-t', built, dir], { timeout: 120_000 });
      expect(await m.must([...base, '--rm', built])).toBe('from the context');
      expect(await m.must([...base, '--rm', built, 'stat', '-c', '%u:%g', '/made'])).toBe('5:6');
      await m.must(['rmi', '-f', built]);
    } finally {
      await m.defaultRuntime('runc');
    }
  });

  describe('two services', () => {
    test('that share a network namespace, as in a pod', async () => {
      await m.must(['run', '--runtime', runtime, '--network', 'bridge', '-d', '--name', 's1', nginx().reference]);
      const fetch = 'for i in 1 2 3 4 5 6 7 8 9 10; do busybox wget -qO- http://127.0.0.1:8080/ && exit; sleep 0.5; done; exit 1';
      const own = await m.docker(['exec', 's1', 'sh', '-c', fetch]);
      expect(own.stdout).toBe('served by nginx\n');
      expect((await m.docker(['logs', 's1'])).stdout).toMatch(/"GET \/ HTTP\/1.1" 200/);
    });

    test('that share a volume, started together and stopped together', async () => {
      await m.must(['volume', 'create', 'shared']);
      const make = [
        '-v',
        'shared:/v',
        IMAGE,
        'sh',
        '-c',
        'i=0; while :; do i=$((i+1)); echo $i > /v/n.new; mv /v/n.new /v/n; sleep 0.1; done',
      ];
      const use = [
        '-v',
        'shared:/v:ro',
        IMAGE,
        'sh',
        '-c',
        'until [ "$(cat /v/n 2>/dev/null || echo 0)" -gt 10 ]; do sleep 0.1; done; echo seen; sleep 1000',
      ];
      await m.must([...base, '-d', '--name', 'v1', ...make]);
      await m.must([...base, '-d', '--name', 'v2', ...use]);
      expect(await m.until(async () => (await m.docker(['logs', 'v2'])).stdout === 'seen\n', 30_000)).toBe(true);
      await m.must(['stop', '-t', '1', 'v1', 'v2']);
      await remove('v1', 'v2');
      await m.must(['volume', 'rm', 'shared']);
    });
  });
});
