// How clients call a runtime: argument forms, logs, streams, working folders and environments that are poor or gone. On runc and ringfence where both
// have the form; flags of runsc on ringfence alone.

import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ringfence } from '../support/platform.ts';
import { Rig } from './kit/runtimes.ts';

const log = (rig: Rig): string => join(rig.dir, `log-${rig.id()}`);

describe.each(['runc', 'ringfence'] as const)('%s', (name) => {
  let rig: Rig;
  beforeAll(() => {
    rig = new Rig(name);
  });
  afterAll(() => rig.close());

  test.each([['--bundle', 'B'], ['--bundle=B'], ['-bundle', 'B'], ['-bundle=B'], ['-b', 'B'], ['-b=B']])(
    'create %s %s',
    async (...form) => {
      const id = rig.id();
      const bundle = rig.bundle(['sleep', '1000']);
      const pid = join(rig.dir, `pid-${id}`);
      const words = form.map((w) => w.replace('B', bundle));
      const r = await rig.run(['create', ...words, '-pid-file', pid, '--no-pivot=false', '--no-new-keyring', id]);
      expect(r).toEqual({ status: 0, stdout: '', stderr: '' });
      expect(Number(readFileSync(pid, 'utf8'))).toBeGreaterThan(0);
      expect((await rig.run(['delete', '-f', id])).status).toBe(0);
    },
  );

  test('short and long flags of the other commands', async () => {
    const id = rig.id();
    expect((await rig.run(['run', '-d', '-b', rig.bundle(['sleep', '1000']), id])).status).toBe(0);
    const ok = async (words: string[], stdout: string | RegExp = ''): Promise<void> => {
      const r = await rig.run(words);
      expect(r.status, `${words.join(' ')}: ${r.stderr}`).toBe(0);
      expect(r.stdout, words.join(' ')).toMatch(typeof stdout === 'string' ? new RegExp(`^${stdout}$`) : stdout);
    };
    await ok(['list', '-q'], `${id}\n`);
    await ok(['list', '--quiet=true'], `${id}\n`);
    await ok(['list', '-f', 'json'], new RegExp(`^\\[\\{.*"id":"${id}".*\\}\\]`));
    await ok(['list', '-format=table'], /^ID +PID +STATUS +BUNDLE +CREATED +OWNER\n/);
    await ok(['ps', '-f', 'json', id], /^\[\d+\]\n$/);
    await ok(
      ['exec', '-e', 'A=1', '-e', 'B=2', '-u', '5:6', '-g', '7', '-cwd', '/tmp', id, 'sh', '-c', 'echo $A$B; id; pwd'],
      /^12\nuid=5 gid=6 groups=(6,)?7\n\/tmp\n$/,
    );
    await ok(['exec', id, 'echo', '-n', '--flag', '-x'], '--flag -x');
    await ok(['kill', '-a', id, 'KILL']);
    await rig.reaches(id, 'stopped');
    await ok(['delete', id]);
  });

  test('a failure is one record in the log and one on standard error; success is none', async () => {
    for (const format of ['json', 'text']) {
      const file = log(rig);
      const global = [`--log=${file}`, '--log-format', format];
      const id = rig.id();
      expect((await rig.run(['create', '--bundle', rig.bundle(['sleep', '1000']), id], { global })).status).toBe(0);
      expect((await rig.run(['start', id], { global })).status).toBe(0);
      expect((await rig.run(['delete', '--force', id], { global })).status).toBe(0);
      if (existsSync(file)) expect(readFileSync(file, 'utf8')).toBe('');
      writeFileSync(file, format === 'json' ? '' : 'kept\n');
      expect((await rig.run(['start', id], { global })).status).not.toBe(0);
      const text = readFileSync(file, 'utf8');
      if (format === 'json') {
        expect(JSON.parse(text)).toMatchObject({ level: 'error', msg: expect.stringContaining('container does not exist') });
        expect((JSON.parse(text) as { time: string }).time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/);
      } else expect(text).toMatch(/^kept\n.*level=error.*container does not exist.*\n$/);
    }
  });

  test('a command that cannot be started is told in the log, by create, run and exec', async () => {
    const bundle = rig.bundle(['/no/such']);
    for (const words of [
      ['create', '--bundle', bundle, rig.id()],
      ['run', '--bundle', bundle, rig.id()],
    ]) {
      const file = log(rig);
      const r = await rig.run(words, { global: ['--log', file, '--log-format', 'json'] });
      expect(r.status).not.toBe(0);
      expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({
        level: 'error',
        msg: expect.stringMatching(/exec: "\/no\/such": stat \/no\/such: no such file or directory/),
      });
    }
  });

  test('without any variable, with a working folder that is gone', async () => {
    const id = rig.id();
    const bundle = rig.bundle(['sh', '-c', 'echo out; sleep 1000']);
    const at = (): { cwd: string; env: Record<string, string> } => {
      const cwd = join(rig.dir, `vanishing-${rig.id()}`);
      mkdirSync(cwd);
      return { cwd, env: {} };
    };
    for (const words of [
      ['create', '--bundle', bundle, id],
      ['start', id],
      ['state', id],
      ['ps', '--format', 'json', id],
      ['pause', id],
      ['resume', id],
      ['exec', id, 'true'],
      ['kill', id, '9'],
    ]) {
      const r = await rig.run(words, at());
      expect(r.status, `${words.join(' ')}: ${r.stderr}`).toBe(0);
      expect(r.stderr).toBe('');
    }
    await rig.reaches(id, 'stopped');
    expect((await rig.run(['delete', id], at())).status).toBe(0);
  });

  test('with standard streams that are closed', async () => {
    const id = rig.id();
    const bundle = rig.bundle(['sh', '-c', 'echo lost; cat; touch /ran; sleep 1000']);
    const closed: (0 | 1 | 2)[] = [0, 1, 2];
    expect((await rig.run(['create', '--bundle', bundle, id], { closed })).status).toBe(0);
    expect((await rig.run(['start', id], { closed })).status).toBe(0);
    const end = Date.now() + 10_000;
    while (!existsSync(join(bundle, 'rootfs/ran')) && Date.now() < end) await new Promise((done) => setTimeout(done, 20));
    expect(existsSync(join(bundle, 'rootfs/ran'))).toBe(true);
    expect((await rig.run(['exec', id, 'sh', '-c', 'cat; exit 4'], { closed })).status).toBe(4);
    expect((await rig.run(['state', id], { closed })).status).toBe(0);
    expect((await rig.run(['delete', '--force', id], { closed })).status).toBe(0);
  });

  test('streams belong to create, not to start', async () => {
    const id = rig.id();
    expect(
      (await rig.run(['create', '--bundle', rig.bundle(['sh', '-c', 'cat; echo err >&2']), id], { input: 'given at create\n' })).status,
    ).toBe(0);
    const { pid } = await rig.state(id);
    expect(await rig.run(['start', id], { input: 'given at start\n' })).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(await rig.reaper.exitOf(pid)).toBe(0);
    await rig.run(['delete', id]);
  });

  test('--console-socket without a terminal is an error', async () => {
    const r = await rig.run(['create', '--bundle', rig.bundle(['true']), '--console-socket', '/no/socket', rig.id()]);
    expect(r.status).not.toBe(0);
    expect(r.stderr).toMatch(/cannot use console socket/);
  });

  test('flags, commands and arguments that do not exist', async () => {
    for (const words of [
      ['--no-such-flag', 'list'],
      ['list', '--no-such-flag'],
      ['nosuchcommand'],
      ['state'],
      ['start'],
      ['kill'],
      ['delete'],
      ['state', 'a', 'b'],
      ['list', '--format', 'xml'],
    ]) {
      const r = await rig.run(words);
      // runc prints its help for a command that it does not know.
      if (name === 'runc' && words[0] === 'nosuchcommand') continue;
      expect(r.status, words.join(' ')).not.toBe(0);
      if (name === 'ringfence') expect(r.stderr, words.join(' ')).toMatch(/^ringfence: [^\n]+\n$/);
    }
  });

  test('--version is two lines and more, of which clients read the first and the one of the specification', async () => {
    const { stdout } = await rig.run(['--version']);
    expect(stdout).toMatch(/^\w+ version \d+\.\d+\.\d+\S*\n/);
    expect(stdout).toMatch(/^spec: \d+\.\d+\.\d+\S*$/m);
    for (const form of ['-v', '-version']) expect((await rig.run([form])).stdout).toBe(stdout);
  });

  test('signals by number and name', async () => {
    const id = rig.id();
    const bundle = rig.bundle([
      'sh',
      '-c',
      'for s in HUP USR2 WINCH TERM; do trap "echo $s >> /got" $s; done; touch /ready; while :; do sleep 0.05; done',
    ]);
    expect((await rig.run(['run', '-d', '--bundle', bundle, id])).status).toBe(0);
    const until = async (test: () => boolean): Promise<void> => {
      const end = Date.now() + 10_000;
      while (!test() && Date.now() < end) await new Promise((done) => setTimeout(done, 20));
    };
    await until(() => existsSync(join(bundle, 'rootfs/ready')));
    const got = (): string => (existsSync(join(bundle, 'rootfs/got')) ? readFileSync(join(bundle, 'rootfs/got'), 'utf8') : '');
    let wanted = '';
    for (const [signal, text] of [
      ['1', 'HUP'],
      ['SIGUSR2', 'USR2'],
      ['winch', 'WINCH'],
      [undefined, 'TERM'],
    ] as const) {
      expect((await rig.run(['kill', id, ...(signal === undefined ? [] : [signal])])).status).toBe(0);
      wanted += `${text}\n`;
      await until(() => got() === wanted);
      expect(got()).toBe(wanted);
    }
    expect((await rig.run(['kill', id, '0'])).status).toBe(0);
    for (const signal of name === 'runc' ? ['KILLX'] : ['KILLX', '65', '-1', ''])
      expect((await rig.run(['kill', '--', id, signal])).status, signal).not.toBe(0);
    await rig.run(['delete', '--force', id]);
  });

  test('spec writes a configuration that run takes', async () => {
    const dir = join(rig.dir, 'spec');
    mkdirSync(dir);
    expect((await rig.run(['spec', '--bundle', dir])).status).toBe(0);
    const config = JSON.parse(readFileSync(join(dir, 'config.json'), 'utf8')) as { process: { args: string[] }; root: { path: string } };
    expect(config.process.args).toEqual(['sh']);
    expect(config.root.path).toBe('rootfs');
    expect((await rig.run(['spec', '--bundle', dir])).status).not.toBe(0);
  });

  test('preserved descriptors are there, others are not', async () => {
    const file = join(rig.dir, 'inherited');
    writeFileSync(file, 'passed on\n');
    for (const [n, wanted] of [
      [1, 'passed on\n'],
      [0, ''],
    ] as const) {
      const bundle = rig.bundle(['sh', '-c', 'cat <&3; ls /proc/self/fd | wc -l']);
      const runtime = name === 'runc' ? '/usr/sbin/runc' : ringfence;
      const script = `exec 3< ${file} 9< ${file}; exec ${runtime} --root ${rig.states} run --preserve-fds ${n} --bundle ${bundle} ${rig.id()}`;
      const r = await rig.reaper.run(['/bin/bash', '-c', script]);
      expect(r.stdout).toBe(`${wanted}${4 + n}\n`);
    }
  });
});

describe('flags of runsc', () => {
  let rig: Rig;
  beforeAll(() => {
    rig = new Rig('ringfence');
  });
  afterAll(() => rig.close());

  test('those that mean the same, or change nothing, are taken', async () => {
    const global = [
      ...[
        '--platform=systrap',
        '-network=sandbox',
        '-file-access',
        'shared',
        '--file-access-mounts=shared',
        '--overlay2=none',
        '-host-uds=none',
      ],
      ...[
        '--ignore-cgroups=false',
        '-debug=false',
        '-debug-log-format=text',
        '--strace=false',
        '-watchdog-action=log',
        '-gso=true',
        '-rootless=false',
      ],
      ...[
        '-num-network-channels',
        '2',
        '--net-raw',
        '-oci-seccomp',
        '--directfs=false',
        '--allow-flag-override',
        '-cpu-num-from-quota',
        '--TESTONLY=no',
      ],
    ].slice(0, -1);
    expect(await rig.run(['list', '-quiet'], { global })).toEqual({ status: 0, stdout: '', stderr: '' });
    expect((await rig.run(['list'], { global: ['--rootless'] })).status).toBe(0);
  });

  test.each([
    [['-platform', 'nosuch'], /unknown platform "nosuch": there are systrap, ptrace, kvm and auto/],
    [['--platform=kvm', '--platform_device_path=/no/such'], /--platform kvm: .*(\/no\/such is not there|was not built)/],
    [['--network=plugin'], /--network takes none, host or sandbox/],
    [['--overlay2=nosuch:memory'], /--overlay2 takes/],
    [['--host-uds=all'], /--host-uds=all cannot be honoured/],
    [['--host-fifo', 'open'], /--host-fifo=open cannot be honoured/],
    [['--nvproxy'], /--nvproxy cannot be honoured/],
    [['--reproduce-nat=true'], /--reproduce-nat cannot be honoured/],
    [['-watchdog-action=panic'], /--watchdog-action=panic cannot be honoured/],
    [['--qdisc=tbf'], /--qdisc=tbf cannot be honoured/],
    [['--file-access=some'], /--file-access takes shared or exclusive/],
    [['--debug=perhaps'], /invalid boolean value "perhaps"/],
  ])('%j cannot be honoured: one line, in the log too', async (flags, text) => {
    const file = log(rig);
    const r = await rig.run(['create', '--bundle', rig.bundle(['true']), rig.id()], {
      global: [...flags, '--log', file, '-log-format=json'],
    });
    expect(r.status).toBe(1);
    expect(r.stderr).toMatch(text);
    expect(r.stderr).toMatch(/^[^\n]+\n$/);
    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ level: 'error', msg: expect.stringMatching(text) });
  });

  test('--overlay2: what is written to the root, or to all mounts, stays in memory', async () => {
    for (const [kind, root, volume] of [
      ['none', true, true],
      ['root:memory', false, true],
      ['root:self,size=1m', false, true],
      ['all:memory', false, false],
    ] as const) {
      let bundle = '';
      bundle = rig.bundle(['sh', '-c', 'echo x > /root-file; echo x > /v/volume-file; cat /root-file /v/volume-file'], (s, b) => {
        mkdirSync(join(b, 'v'));
        s.mounts.push({ destination: '/v', type: 'bind', source: join(b, 'v'), options: ['rbind'] });
      });
      const r = await rig.run(['run', '--bundle', bundle, rig.id()], { global: ['--overlay2', kind] });
      expect(r, kind).toEqual({ status: 0, stdout: 'x\nx\n', stderr: '' });
      expect(existsSync(join(bundle, 'rootfs/root-file')), kind).toBe(root);
      expect(existsSync(join(bundle, 'v/volume-file')), kind).toBe(volume);
    }
  });

  test('--debug-log, --strace, --strace-syscalls and --panic-log name their files', async () => {
    const dir = join(rig.dir, 'logs');
    mkdirSync(dir);
    const id = rig.id();
    const global = [`--debug-log=${dir}/%ID%.%COMMAND%.log`, '-strace', '-strace-syscalls=openat,execve', `-panic-log=${dir}/%ID%.panic`];
    expect((await rig.run(['run', '--bundle', rig.bundle(['/bin/cat', '/etc/passwd']), id], { global })).status).toBe(1);
    const text = readFileSync(join(dir, `${id}.boot.log`), 'utf8');
    expect(text).toMatch(/openat\(.*\/etc\/passwd/);
    expect(text).not.toMatch(/: (mmap|brk|exit_group)\(/);
    expect(statSync(join(dir, `${id}.panic`)).isFile()).toBe(true);
  });

  test('wait prints the exit status as JSON', async () => {
    const id = rig.id();
    expect((await rig.run(['run', '-detach', '-bundle', rig.bundle(['sh', '-c', 'exit 5']), id])).status).toBe(0);
    const r = await rig.run(['wait', id]);
    expect(JSON.parse(r.stdout)).toEqual({ id, exitStatus: 5 });
    await rig.run(['delete', id]);
  });

  test('json-k8s logs', async () => {
    const file = log(rig);
    expect((await rig.run(['state', 'x'], { global: ['--log', file, '--log-format=json-k8s'] })).status).toBe(1);
    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ level: 'error', log: 'container does not exist: x' });
  });

  test('-user-log and the retired flags of create are taken', async () => {
    const id = rig.id();
    const r = await rig.run(['create', '-user-log', '/dev/null', '-bundle', rig.bundle(['true']), id], {
      global: ['-vfs2', '-lisafs', '-fuse=true'],
    });
    expect(r).toEqual({ status: 0, stdout: '', stderr: '' });
    await rig.run(['delete', '--force', id]);
  });
});
