// The life of containers from bundles: states, streams, exit statuses, signals, hooks, terminals, and what is left at the end.

import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SOCK_CLOEXEC, SOCK_STREAM } from '../../src/abi/socket.ts';
import { loadNative } from '../../src/host/native.ts';
import { unixAddress } from '../../src/host/paths.ts';
import { repository } from '../support/build.ts';
import { testPlatform } from '../support/platform.ts';
import { Bench, background, childrenOf, lives, ringfence } from './support.ts';

let bench: Bench;
beforeAll(() => {
  bench = new Bench();
});
afterAll(() => bench.close());

describe('run', () => {
  test('gives streams and exit status on, and deletes the container', () => {
    const bundle = bench.bundle(['sh', '-c', 'read x; echo "got $x"; echo warn >&2; exit 3']);
    expect(bench.run(['run', '--bundle', bundle, 'r1'], { input: 'hello\n' })).toEqual({
      status: 3,
      stdout: 'got hello\n',
      stderr: 'warn\n',
    });
    expect(existsSync(join(bench.states, 'r1'))).toBe(false);
  });

  test('the first process is safe from its own signals, others are not', () => {
    expect(bench.run(['run', '-b', bench.bundle(['sh', '-c', 'kill -9 $$; sh -c "kill -9 \\$\\$"; exit $?']), 'r2']).status).toBe(137);
  });

  test('environment, folder, user, umask, hostname and limits are those of the configuration', () => {
    const bundle = bench.bundle(['sh', '-c', 'env | sort; pwd; id; umask; hostname; ulimit -n; ulimit -c'], (s) => {
      s.hostname = 'box';
      if (s.process === undefined) return;
      s.process.env = ['PATH=/bin', 'A=b c', 'U=\u00e4'];
      s.process.cwd = '/tmp';
      s.process.user = { uid: 1000, gid: 1001, additionalGids: [5, 6], umask: 0o077 };
      s.process.rlimits = [
        { type: 'RLIMIT_NOFILE', soft: 100, hard: 200 },
        { type: 'RLIMIT_CORE', soft: 0, hard: 0 },
      ];
    });
    const r = bench.run(['run', '-b', bundle, 'r3']);
    expect(r.stdout.split('\n').filter((l) => !/^(PWD|SHLVL|OLDPWD|HOME)=/.test(l))).toEqual([
      'A=b c',
      'PATH=/bin',
      'U=\u00e4',
      '/tmp',
      'uid=1000 gid=1001 groups=5,6',
      '0077',
      'box',
      '100',
      '0',
      '',
    ]);
    expect(r.status).toBe(0);
  });

  test('mounts: bind read-only and writable, tmpfs; the root is written through', () => {
    const data = join(bench.dir, 'data');
    mkdirSync(data);
    writeFileSync(join(data, 'in'), 'from the host\n');
    const script =
      'cat /ro/in; touch /ro/x && echo wrong; echo out > /rw/out; echo t > /t/file; cat /t/file; echo root > /rootfile; stat -c %a /t';
    const bundle = bench.bundle(['sh', '-c', script], (s) => {
      s.mounts?.push(
        { destination: '/ro', type: 'bind', source: data, options: ['rbind', 'ro'] },
        { destination: '/rw', type: 'bind', source: data, options: ['bind', 'rw'] },
        { destination: '/t', type: 'tmpfs', source: 'tmpfs', options: ['size=64k', 'mode=1777'] },
      );
    });
    const r = bench.run(['run', '-b', bundle, 'r4']);
    expect(r.stdout).toBe('from the host\nt\n1777\n');
    expect(r.stderr).toMatch(/Read-only file system/);
    expect(readFileSync(join(data, 'out'), 'utf8')).toBe('out\n');
    expect(readFileSync(join(bundle, 'rootfs/rootfile'), 'utf8')).toBe('root\n');
    expect(existsSync(join(bundle, 'rootfs/t/file'))).toBe(false);
  });

  test('a read-only root, masked and read-only paths, devices and sysctl', () => {
    const script =
      'touch /x; cat /proc/kcore | wc -c; stat -c "%F %t %T %a" /dev/mine; cat /proc/sys/kernel/domainname; echo y > /dev/null';
    const bundle = bench.bundle(['sh', '-c', script], (s) => {
      if (s.root !== undefined) s.root.readonly = true;
      s.domainname = 'example';
      if (s.linux !== undefined) s.linux.devices = [{ path: '/dev/mine', type: 'c', major: 1, minor: 3, fileMode: 0o640 }];
    });
    const r = bench.run(['run', '-b', bundle, 'r5']);
    expect(r.stderr).toMatch(/x: Read-only file system/);
    expect(r.stdout).toBe('0\ncharacter special file 1 3 640\nexample\n');
  });

  test('a command that cannot be found or executed', () => {
    expect(bench.run(['run', '-b', bench.bundle(['nosuch']), 'r6'])).toEqual({
      status: 127,
      stdout: '',
      stderr: 'ringfence: exec: "nosuch": executable file not found in $PATH\n',
    });
    expect(bench.run(['run', '-b', bench.bundle(['/tmp']), 'r7']).status).toBe(126);
  });
});

describe('create, start, kill, delete', () => {
  test('states, pid file and the stand-in', async () => {
    const bundle = bench.bundle(['sh', '-c', 'echo started; exec sleep 1000'], (s) => (s.annotations = { 'a.b': 'c' }));
    const pidFile = join(bench.dir, 'c1.pid');
    const created = bench.detached(['create', '--bundle', bundle, '--pid-file', pidFile, 'c1']);
    expect(created).toEqual({ status: 0, stdout: '', stderr: '' });
    const pid = Number(readFileSync(pidFile, 'utf8'));
    expect(bench.state('c1')).toMatchObject({ ociVersion: '1.2.0', id: 'c1', status: 'created', pid, bundle, annotations: { 'a.b': 'c' } });
    expect(lives(pid)).toBe(true);
    expect(bench.run(['delete', 'c1', '--force=x']).status).toBe(1);

    expect(bench.run(['create', '--bundle', bundle, 'c1']).stderr).toMatch(/container with given ID already exists/);
    expect(bench.state('c1').status).toBe('created');

    expect(bench.run(['start', 'c1'])).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(bench.state('c1').status).toBe('running');
    expect(bench.run(['start', 'c1']).stderr).toMatch(/cannot start an already running container/);
    expect(bench.run(['delete', 'c1']).stderr).toBe('ringfence: cannot delete container c1 that is not stopped: running\n');
    expect(bench.run(['kill', 'c1', '0']).status).toBe(0);
    expect(bench.run(['list']).stdout).toMatch(new RegExp(`^c1 +${pid} +running +${bundle}`, 'm'));
    expect(JSON.parse(bench.run(['ps', '-f', 'json', 'c1']).stdout)).toEqual([pid]);
    expect(bench.run(['ps', 'c1']).stdout).toMatch(/^UID +PID +PPID .*\n0 +1 +0 .* sleep 1000\n$/);

    expect(bench.run(['kill', 'c1', 'KILL']).status).toBe(0);
    expect(await bench.until(() => bench.state('c1').status === 'stopped')).toBe(true);
    expect(bench.state('c1').pid).toBe(0);
    expect(lives(pid)).toBe(false);
    const late = bench.run(['kill', 'c1', '9']);
    expect(late).toEqual({ status: 1, stdout: '', stderr: 'ringfence: container not running\n' });
    expect(bench.run(['kill', '--all', 'c1', '9']).status).toBe(0);
    expect(JSON.parse(bench.run(['wait', 'c1']).stdout)).toEqual({ id: 'c1', exitStatus: 137 });
    expect(bench.run(['delete', 'c1'])).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(bench.run(['state', 'c1']).status).toBe(1);
  });

  test('a container that was only created can be deleted, and one that runs by force', async () => {
    bench.detached(['create', '-b', bench.bundle(['sleep', '1000']), 'c2']);
    const pid = bench.state('c2').pid;
    expect(bench.run(['delete', 'c2']).status).toBe(0);
    expect(lives(pid)).toBe(false);

    bench.detached(['run', '-d', '-b', bench.bundle(['sleep', '1000']), 'c3']);
    const running = bench.state('c3').pid;
    const children = childrenOf(running);
    expect(children.length).toBe(2);
    expect(bench.run(['delete', '-f', 'c3']).status).toBe(0);
    expect(await bench.until(() => [running, ...children.map((c) => c.pid)].every((p) => !lives(p)), 2000)).toBe(true);
  });

  test('TERM and KILL reach a container before its start', async () => {
    bench.detached(['create', '-b', bench.bundle(['sleep', '1000']), 'c4']);
    expect(bench.run(['kill', 'c4', 'TERM']).status).toBe(0);
    expect(await bench.until(() => bench.state('c4').status === 'stopped')).toBe(true);
    expect(bench.run(['delete', 'c4']).status).toBe(0);
  });

  test('a signal that the guest catches', async () => {
    const bundle = bench.bundle(['sh', '-c', 'trap "exit 9" USR1; echo ready > /ready; while :; do sleep 0.1; done']);
    bench.detached(['run', '-d', '-b', bundle, 'c5']);
    expect(await bench.until(() => existsSync(join(bundle, 'rootfs/ready')))).toBe(true);
    expect(bench.run(['kill', 'c5', 'USR1']).status).toBe(0);
    expect(JSON.parse(bench.run(['wait', 'c5']).stdout).exitStatus).toBe(9);
  });

  test('the pid of the pid file takes signals and its death is the end of the container', async () => {
    const bundle = bench.bundle(['sh', '-c', 'trap "exit 8" TERM; echo ready > /ready; while :; do sleep 0.1; done']);
    bench.detached(['run', '-d', '-b', bundle, 'c6']);
    expect(await bench.until(() => existsSync(join(bundle, 'rootfs/ready')))).toBe(true);
    process.kill(bench.state('c6').pid, 'SIGTERM');
    expect(JSON.parse(bench.run(['wait', 'c6']).stdout).exitStatus).toBe(8);

    bench.detached(['run', '-d', '-b', bench.bundle(['sleep', '1000']), 'c7']);
    const pid = bench.state('c7').pid;
    const children = childrenOf(pid);
    process.kill(pid, 'SIGKILL');
    expect(await bench.until(() => children.every((c) => !lives(c.pid)), 2000)).toBe(true);
    expect(bench.state('c7').status).toBe('stopped');
    expect(bench.run(['delete', '--force', 'c7']).status).toBe(0);
  });

  test.each([0, 1])('killing a helper process (%i) ends the container and can be cleared', async (which) => {
    const id = `k${which}`;
    bench.detached(['run', '-d', '-b', bench.bundle(['sleep', '1000']), id]);
    const pid = bench.state(id).pid;
    const children = childrenOf(pid);
    const victim = children[which]?.pid ?? 0;
    expect(victim).toBeGreaterThan(1);
    process.kill(victim, 'SIGKILL');
    expect(await bench.until(() => !lives(pid) && children.every((c) => !lives(c.pid)), 2000)).toBe(true);
    expect(bench.state(id).status).toBe('stopped');
    expect(bench.run(['exec', id, 'true'])).toEqual({
      status: 255,
      stdout: '',
      stderr: 'ringfence: cannot exec in a stopped container\n',
    });
    expect(bench.run(['delete', id]).status).toBe(0);
  });

  test('debug counts what a sandbox does, and says which call sites were rewritten', async () => {
    for (const [mode, patch] of [
      ['latency', 'on'],
      ['density', 'off'],
    ] as const) {
      const id = `count-${mode}`;
      const bundle = bench.bundle(['sh', '-c', 'i=0; while [ $i -lt 500 ]; do read x < /etc/passwd; i=$((i + 1)); done; sleep 1000']);
      bench.detached(['--cpu-mode', mode, '--platform-option', `patch=${patch}`, 'create', '--bundle', bundle, id]);
      expect(bench.run(['start', id]).stderr).toBe('');
      const counts = (): Record<string, number> => JSON.parse(bench.run(['debug', '--format', 'json', id]).stdout);
      for (let i = 0; i < 100 && (counts()['system calls'] ?? 0) < 1500; i++) await new Promise((done) => setTimeout(done, 50));
      const c = counts();
      expect(c['system calls']).toBeGreaterThanOrEqual(1500);
      expect(c['tasks']).toBeGreaterThanOrEqual(1);
      expect(c['messages to the Gofer']).toBeGreaterThan(0);
      if (testPlatform === 'ptrace') expect(c['call sites rewritten']).toBe(undefined);
      else if (patch === 'on') expect(c['call sites rewritten']).toBeGreaterThan(0);
      else expect(c['call sites rewritten']).toBe(0);
      expect(bench.run(['debug', id]).stdout).toMatch(/^COUNT +VALUE\n/);
      expect(bench.run(['delete', '--force', id]).status).toBe(0);
    }
  });

  test('pause and resume', async () => {
    const bundle = bench.bundle(['sh', '-c', 'while :; do echo x >> /ticks; sleep 0.05; done']);
    bench.detached(['run', '-d', '-b', bundle, 'c8']);
    const ticks = (): number => (existsSync(join(bundle, 'rootfs/ticks')) ? readFileSync(join(bundle, 'rootfs/ticks')).length : 0);
    expect(await bench.until(() => ticks() > 4)).toBe(true);
    expect(bench.run(['pause', 'c8']).status).toBe(0);
    expect(bench.state('c8').status).toBe('paused');
    const before = ticks();
    await new Promise((done) => setTimeout(done, 300));
    expect(ticks() - before).toBeLessThan(3);
    expect(bench.run(['pause', 'c8']).stderr).toMatch(/container not running/);
    expect(bench.run(['resume', 'c8']).status).toBe(0);
    expect(await bench.until(() => ticks() > before + 4)).toBe(true);
    expect(bench.run(['delete', '-f', 'c8']).status).toBe(0);
  });
});

describe('exec', () => {
  const id = 'e1';
  beforeAll(() => {
    bench.detached(['run', '-d', '-b', bench.bundle(['sleep', '1000']), id]);
  });

  test('exit status, streams, environment, folder and user', () => {
    expect(bench.run(['exec', id, 'sh', '-c', 'cat; exit 7'], { input: 'in' })).toEqual({ status: 7, stdout: 'in', stderr: '' });
    const r = bench.run(['exec', '--env', 'A=1', '--cwd', '/tmp', '--user', '10:20', id, 'sh', '-c', 'echo $A; pwd; id -u; id -g']);
    expect(r.stdout).toBe('1\n/tmp\n10\n20\n');
    expect(bench.run(['exec', id, 'sh', '-c', 'kill -TERM $$']).status).toBe(143);
  });

  test('a process from a file, detached, with a pid of its own', async () => {
    const file = join(bench.dir, 'process.json');
    const pidFile = join(bench.dir, 'exec.pid');
    writeFileSync(
      file,
      JSON.stringify({
        cwd: '/',
        args: ['sh', '-c', 'trap "exit 4" TERM; echo up > /up; while :; do sleep 0.1; done'],
        env: ['PATH=/bin'],
      }),
    );
    expect(bench.detached(['exec', '--process', file, '--detach', '--pid-file', pidFile, id]).status).toBe(0);
    const pid = Number(readFileSync(pidFile, 'utf8'));
    expect(lives(pid)).toBe(true);
    expect(JSON.parse(bench.run(['ps', '--format', 'json', id]).stdout)).toEqual([bench.state(id).pid, pid]);
    process.kill(pid, 'SIGKILL');
    expect(await bench.until(() => !bench.run(['ps', id]).stdout.includes('trap'), 3000)).toBe(true);
    expect(bench.state(id).status).toBe('running');
  });

  test('errors', () => {
    expect(bench.run(['exec', id, 'nosuch']).status).toBe(255);
    expect(bench.run(['exec', id]).stderr).toMatch(/exec needs a command/);
    const file = join(bench.dir, 'wrong.json');
    writeFileSync(file, JSON.stringify({ cwd: 5, args: ['x'] }));
    const r = bench.run(['exec', '--process', file, id]);
    expect(r.status).toBe(255);
    expect(r.stderr).toMatch(/wrong\.json: \/cwd is 5, allowed is a string/);
  });
});

describe('hooks', () => {
  /** A hook that appends the name of its place and what it was told to a file. */
  const hook = (out: string, place: string) => ({
    path: '/bin/sh',
    args: ['sh', '-c', `{ echo "${place} $(env | grep -v -E '^(PWD|SHLVL|_|OLDPWD)=' | tr '\\n' ' ')"; cat; echo; } >> ${out}`],
    env: [`PLACE=${place}`, 'PATH=/bin:/usr/bin'],
  });

  test('run in order, with the state on standard input and exactly their environment', async () => {
    const out = join(bench.dir, 'hooks');
    const bundle = bench.bundle(['true'], (s) => {
      s.hooks = {};
      for (const p of ['prestart', 'createRuntime', 'createContainer', 'poststart', 'poststop'] as const) s.hooks[p] = [hook(out, p)];
    });
    expect(bench.run(['run', '-b', bundle, 'h1'])).toMatchObject({ status: 0, stderr: '' });
    const lines = readFileSync(out, 'utf8').trim().split('\n');
    const places = lines.filter((_, i) => i % 2 === 0);
    expect(places.map((l) => l.split(' ')[0])).toEqual(['prestart', 'createRuntime', 'createContainer', 'poststart', 'poststop']);
    for (const l of places)
      expect(
        l
          .split(' ')
          .slice(1)
          .filter((x) => x !== '')
          .sort(),
      ).toEqual(['PATH=/bin:/usr/bin', `PLACE=${l.split(' ')[0]}`]);
    const states = lines
      .filter((_, i) => i % 2 === 1)
      .map((l) => JSON.parse(l) as { id: string; status: string; pid: number; bundle: string });
    expect(states.every((s) => s.id === 'h1' && s.bundle === bundle)).toBe(true);
    expect(states.slice(0, 3).every((s) => s.status === 'creating' && s.pid > 0)).toBe(true);
    expect(states[4]?.status).toBe('stopped');
  });

  test('startContainer runs in the container', () => {
    const bundle = bench.bundle(['cat', '/told'], (s) => {
      s.hooks = { startContainer: [{ path: '/bin/sh', args: ['sh', '-c', 'cat > /told'], env: ['PATH=/bin'] }] };
    });
    const r = bench.run(['run', '-b', bundle, 'h2']);
    expect(r.stderr).toBe('');
    expect(JSON.parse(r.stdout)).toMatchObject({ id: 'h2', status: 'created' });
  });

  test('one that fails or takes too long ends the creation and leaves nothing', () => {
    for (const [args, why] of [
      ['echo no >&2; exit 3', 'exit status 3, stderr: no'],
      ['exec sleep 100', 'it took longer than 1 s'],
    ]) {
      const bundle = bench.bundle(
        ['true'],
        (s) => (s.hooks = { createRuntime: [{ path: '/bin/sh', args: ['sh', '-c', args as string], timeout: 1 }] }),
      );
      const r = bench.run(['create', '-b', bundle, 'h3']);
      expect(r.stderr).toBe(`ringfence: error running createRuntime hook /bin/sh: ${why}\n`);
      expect(r.status).toBe(1);
      expect(existsSync(join(bench.states, 'h3'))).toBe(false);
    }
  });

  test('poststop runs at delete, after the end, and its failure is a warning', () => {
    const bundle = bench.bundle(['true'], (s) => (s.hooks = { poststop: [{ path: '/bin/false' }] }));
    const r = bench.run(['run', '-b', bundle, 'h4']);
    expect(r.status).toBe(0);
    expect(r.stderr).toBe('ringfence: warning: error running poststop hook /bin/false: exit status 1\n');
  });
});

describe('descriptors and terminals', () => {
  test('--preserve-fds hands descriptors on, and nothing else leaks', async () => {
    const bundle = bench.bundle(['sh', '-c', 'cat <&3; ls /proc/self/fd | wc -l']);
    writeFileSync(join(bench.dir, 'three'), 'third\n');
    const command = `exec '${ringfence}' --root '${bench.states}' run --preserve-fds 1 -b '${bundle}' p1 3<'${join(bench.dir, 'three')}' 7</dev/null`;
    const child = spawn('/bin/sh', ['-c', command], { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (d: Buffer) => (text += d.toString()));
    expect(await new Promise((done) => child.on('exit', done))).toBe(0);
    expect(text).toBe('third\n5\n'); // 0 to 3 and the folder itself
  });

  test('--console-socket gets the master of a terminal that the container has', async () => {
    const native = loadNative(join(repository, 'dist/native/host.node'));
    const path = join(bench.dir, 'console.sock');
    const listener = native.socket(1, SOCK_STREAM | SOCK_CLOEXEC, 0);
    native.bind(listener, unixAddress(path) as Uint8Array);
    native.listen(listener, 1);
    const bundle = bench.bundle(['sh', '-c', 'tty; stty size; read x; echo "got $x"; stty size'], (s) => {
      if (s.process !== undefined) s.process.terminal = true;
      if (s.process !== undefined) s.process.consoleSize = { height: 20, width: 70 };
    });
    const created = bench.detached(['create', '-b', bundle, '--console-socket', path, 't1']);
    expect(created).toEqual({ status: 0, stdout: '', stderr: '' });
    const connection = native.accept(listener, 0);
    const fds = new Int32Array(4);
    const info = new Int32Array(5);
    const name = Buffer.alloc(64);
    expect(native.recvmsg(connection, name, 0, 64, fds, 0, info)).toBeGreaterThan(0);
    expect(name.toString('latin1')).toMatch(/^\/dev\/ptmx/);
    expect(info[0]).toBe(1);
    const master = fds[0] as number;
    native.setNonblock(master, 1);
    let text = '';
    const chunk = Buffer.alloc(4096);
    const said = (what: string): boolean => {
      const n = native.read(master, chunk, 0, chunk.length);
      if (n > 0) text += chunk.toString('latin1', 0, n);
      return text.includes(what);
    };
    expect(bench.run(['start', 't1']).status).toBe(0);
    expect(await bench.until(() => said('20 70'))).toBe(true);
    expect(text).toMatch(/^\/dev\/pts\/0\r\n20 70\r\n/);
    const size = Buffer.from([33, 0, 99, 0, 0, 0, 0, 0]);
    native.ioctl(master, 0x5414, size);
    native.write(master, Buffer.from('word\r'), 0, 5);
    expect(await bench.until(() => said('33 99'))).toBe(true);
    expect(text).toMatch(/word\r\ngot word\r\n33 99\r\n$/);
    for (const fd of [master, connection, listener]) native.close(fd);
  });
});

describe('a command that is killed', () => {
  test.each(['do', 'run'])('%s: kill -9 leaves no process', async (verb) => {
    const args =
      verb === 'do' ? ['do', '--', 'sleep', '1000'] : ['--root', bench.states, 'run', '-b', bench.bundle(['sleep', '1000']), 'dead'];
    const b = background(args, bench.dir);
    const standin = (): number => childrenOf(b.pid).find((c) => c.args.startsWith('sleep'))?.pid ?? -1;
    expect(await bench.until(() => standin() > 0 && childrenOf(standin()).length === 2)).toBe(true);
    const pids = [standin(), ...childrenOf(standin()).map((c) => c.pid)];
    process.kill(b.pid, 'SIGKILL');
    await b.exit;
    expect(await bench.until(() => pids.every((p) => !lives(p)), 2000)).toBe(true);
    if (verb === 'run') expect(bench.run(['delete', '--force', 'dead']).status).toBe(0);
  });
});

describe('namespaces of the stand-in', () => {
  test('are new where the configuration lists them, there before the hooks run, and can be joined by path', () => {
    const of = (pid: number | 'self', kind: string): string => readlinkSync(`/proc/${pid}/ns/${kind}`);
    const seen = join(bench.dir, 'netns');
    const hook = {
      path: '/bin/sh',
      args: ['sh', '-c', `pid=$(sed 's/.*"pid":\\([0-9]*\\).*/\\1/'); readlink /proc/$pid/ns/net > ${seen}`],
      env: ['PATH=/bin'],
    };
    const first = bench.bundle(['sleep', '1000'], (s) => (s.hooks = { prestart: [hook] }));
    bench.detached(['run', '-d', '-b', first, 'n1']);
    const pid = bench.state('n1').pid;
    for (const kind of ['net', 'ipc', 'uts']) expect(of(pid, kind), kind).not.toBe(of('self', kind));
    expect(readFileSync(seen, 'utf8').trim()).toBe(of(pid, 'net'));
    const second = bench.bundle(['sleep', '1000'], (s) => {
      delete s.hostname;
      if (s.linux !== undefined)
        s.linux.namespaces = [{ type: 'pid' }, { type: 'mount' }, { type: 'network', path: `/proc/${pid}/ns/net` }];
    });
    bench.detached(['run', '-d', '-b', second, 'n2']);
    const other = bench.state('n2').pid;
    expect(of(other, 'net')).toBe(of(pid, 'net'));
    expect(of(other, 'ipc')).toBe(of('self', 'ipc'));
    const wrong = bench.bundle(['true'], (s) => {
      delete s.hostname;
      if (s.linux !== undefined) s.linux.namespaces = [{ type: 'network', path: '/nowhere' }];
    });
    expect(bench.run(['run', '-b', wrong, 'n3']).stderr).toBe(
      'ringfence: cannot join the network namespace /nowhere: No such file or directory\n',
    );
    expect(existsSync(join(bench.states, 'n3'))).toBe(false);
    for (const id of ['n1', 'n2']) expect(bench.run(['delete', '-f', id]).status).toBe(0);
  });
});
