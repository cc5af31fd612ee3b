// conmon drives the runtime as under CRI-O: logs, exit files, attach sockets, execs, terminals and pods.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Crio } from './kit/crio.ts';
import { until } from '../support/until.ts';
import { ringfence, runc } from './kit/runtimes.ts';

describe.each([runc, ringfence])('conmon as CRI-O calls it, $name', (runtime) => {
  let crio: Crio;

  beforeAll(() => {
    crio = new Crio(runtime);
  });

  afterAll(() => crio.close());

  const state = async (id: string): Promise<{ status: string; pid: number }> => JSON.parse(await crio.must('state', id));
  const texts = (id: string, stream: string): string[] =>
    crio
      .logLines(id)
      .filter((l) => l.stream === stream)
      .map((l) => l.text);

  test('create, start, logs, and the status in the exit file', async () => {
    const pid = await crio.create('c1', ['sh', '-c', 'echo out; echo err >&2; printf partial; exit 33']);
    expect(Number(readFileSync(`${crio.bundle('c1')}/pidfile`, 'utf8'))).toBe(pid);
    expect(await state('c1')).toMatchObject({ status: 'created', pid });
    expect(crio.logLines('c1')).toEqual([]);
    await crio.must('start', 'c1');
    expect(await crio.end('c1')).toBe(33);
    await until('all is logged', () => texts('c1', 'stdout').includes('partial'));
    expect(texts('c1', 'stdout')).toEqual(['out', 'partial']);
    expect(texts('c1', 'stderr')).toEqual(['err']);
    expect(crio.logLines('c1').find((l) => l.text === 'partial')?.tag).toBe('P');
    expect(await state('c1')).toMatchObject({ status: 'stopped' });
    await crio.must('delete', '--force', 'c1');
  });

  test('a command that is not there is refused with the reason', async () => {
    await expect(crio.create('c2', ['no-such-command'])).rejects.toThrow(/conmon: .*(no-such-command|container create failed)/);
    expect((await crio.call('state', 'c2')).status).not.toBe(0);
    expect((await crio.call('delete', '--force', 'c2')).status).toBe(0);
  });

  test('without a keyring and without pivot_root', async () => {
    await crio.start('c3', ['sh', '-c', 'echo ran'], { conmon: ['--no-new-keyring'] });
    expect(await crio.end('c3')).toBe(0);
    await crio.must('delete', '--force', 'c3');
    await crio.start('c4', ['sh', '-c', 'echo ran; ls -d /bin'], { conmon: ['--no-pivot'] });
    expect(await crio.end('c4')).toBe(0);
    expect(texts('c4', 'stdout')).toEqual(['ran', '/bin']);
    await crio.must('delete', '--force', 'c4');
  });

  test('stop: the signal first, then KILL; killing what has ended is told as such', async () => {
    const pid = await crio.start('c5', ['sh', '-c', 'trap "exit 4" TERM; echo ready; while :; do sleep 0.1; done']);
    await until('it is ready', () => texts('c5', 'stdout').includes('ready'));
    await crio.must('kill', 'c5', '15');
    expect(await crio.end('c5')).toBe(4);
    const again = await crio.call('kill', 'c5', '9');
    expect(again.status).not.toBe(0);
    expect(again.stderr).toMatch(/not running|no such process|already finished/);
    await crio.must('delete', '--force', 'c5');
    expect(existsSync(`/proc/${pid}`)).toBe(false);
    await crio.start('c6', ['sleep', '1000']);
    await crio.remove('c6');
    expect(await crio.end('c6')).toBe(137);
  });

  test('attach: input and both streams', async () => {
    await crio.start('c7', ['sh', '-c', 'while read a; do echo "got $a"; echo "no $a" >&2; done'], {
      stdin: true,
      conmon: ['--leave-stdin-open'],
    });
    await until('the socket', () => existsSync(crio.folder.file('attach/c7/attach')));
    const seen = await crio.attach('c7', 'word\n', 'no word');
    expect(seen).toContain('2:got word');
    expect(seen).toContain('3:no word');
    expect(await crio.attach('c7', 'again\n', 'no again')).toContain('2:got again');
    await crio.remove('c7');
  });

  test('a terminal: one stream, its size, and its end', async () => {
    await crio.start('c8', ['sh'], { terminal: true, stdin: true, conmon: ['--leave-stdin-open'] });
    crio.resize('c8', 35, 95);
    const typed = 'while [ "$(stty size)" != "35 95" ]; do :; done; tty; echo d""one\n';
    const seen = await crio.attach('c8', typed, 'done\r\n');
    expect(seen).toMatch(/\/dev\/(pts\/0|console)/);
    await crio.attach('c8', 'exit 6\n', 'exit 6');
    expect(await crio.end('c8')).toBe(6);
    await crio.must('delete', '--force', 'c8');
  });

  test('ExecSync: status, both streams, user, variables, folder', async () => {
    await crio.start('c9', ['sleep', '1000']);
    const r = await crio.exec('c9', ['sh', '-c', 'sleep 0.3; echo out; echo err >&2; exit 17']);
    expect(r.status).toBe(17);
    expect(r.output.map((l) => `${l.stream} ${l.text}`).sort()).toEqual(['stderr err', 'stdout out']);
    const as = await crio.exec('c9', ['sh', '-c', 'sleep 0.3; id -u; pwd; echo $MORE'], [], (p) => {
      p.user = { uid: 1000, gid: 1000 };
      p.cwd = '/var/tmp';
      p.env = [...(p.env ?? []), 'MORE=given'];
    });
    expect(as.output.map((l) => l.text)).toEqual(['1000', '/var/tmp', 'given']);
    // conmon has no status of a command that is over before its runtime has returned: runc's often is, ringfence's never.
    const pause = runtime.name === 'runc' ? 'sleep 0.3; ' : '';
    const many = await Promise.all([...Array(16).keys()].map((i) => crio.exec('c9', ['sh', '-c', `${pause}exit ${i}`])));
    expect(many.map((m) => m.status)).toEqual([...Array(16).keys()]);
    await expect(crio.exec('c9', ['no-such-command'])).rejects.toThrow(/no-such-command/);
    await crio.remove('c9');
  });

  test('ExecSync that takes longer than it may is ended', async () => {
    await crio.start('c10', ['sleep', '1000']);
    await expect(crio.exec('c10', ['sleep', '2000'], ['-T', '1'])).rejects.toThrow(/conmon: .*command timed out/);
    await until('it is gone', async () => !(await crio.exec('c10', ['ps'])).output.some((l) => l.text.includes('sleep 2000')));
    await crio.remove('c10');
  });

  test("pause, resume, update, and the container's cgroup", async () => {
    const pid = await crio.start('c11', ['sleep', '1000']);
    expect(readFileSync(`/proc/${pid}/cgroup`, 'utf8')).toContain('/c11');
    await crio.must('pause', 'c11');
    expect((await state('c11')).status).toBe('paused');
    await crio.must('resume', 'c11');
    expect((await state('c11')).status).toBe('running');
    const file = crio.folder.file('resources.json');
    writeFileSync(file, JSON.stringify({ memory: { limit: 200 << 20 }, cpu: { shares: 512 } }));
    await crio.must('update', '--resources', file, 'c11');
    const v1 = existsSync('/sys/fs/cgroup/memory');
    const line = readFileSync(`/proc/${pid}/cgroup`, 'utf8')
      .split('\n')
      .find((l) => (v1 ? l.includes(':memory:') : l.startsWith('0::')));
    const limit = v1 ? 'memory/' : '';
    const path = `/sys/fs/cgroup/${limit}${line?.split(':')[2]}/${v1 ? 'memory.limit_in_bytes' : 'memory.max'}`;
    expect(readFileSync(path, 'utf8').trim()).toBe(String(200 << 20));
    await crio.remove('c11');
  });

  test('a pod: pinned namespaces, a sandbox container and two more by annotations', async () => {
    const pins = Object.fromEntries(['net', 'ipc', 'uts'].map((n) => [n, crio.folder.file(`pin-${n}`)])) as Record<string, string>;
    for (const p of Object.values(pins)) writeFileSync(p, '');
    await crio.folder.must([
      'unshare',
      ...Object.entries(pins).map(([n, p]) => `--${n}=${p}`),
      'sh',
      '-c',
      'hostname in-the-pod; busybox ip link set lo up',
    ]);
    const types: Record<string, string> = { network: 'net', ipc: 'ipc', uts: 'uts' };
    const member = (type: string, name: string): { change: (spec: import('../../runsc-compat/spec/types.ts').Spec) => void } => ({
      change: (spec) => {
        delete spec.hostname;
        spec.annotations = {
          'io.kubernetes.cri-o.ContainerType': type,
          'io.kubernetes.cri-o.SandboxID': 'pod',
          'io.kubernetes.cri-o.ContainerName': name,
        };
        for (const n of spec.linux?.namespaces ?? []) {
          const pin = pins[types[n.type] ?? ''];
          if (pin !== undefined) n.path = pin;
        }
      },
    });
    await crio.start('pod', ['sleep', '1000'], member('sandbox', 'POD'));
    await crio.start('pod-a', ['sh', '-c', 'echo of a >/dev/shm/a; sleep 1001'], member('container', 'a'));
    await crio.start('pod-b', ['sleep', '1002'], member('container', 'b'));
    for (const id of ['pod', 'pod-a', 'pod-b']) {
      expect((await crio.exec(id, ['hostname'])).output.map((l) => l.text)).toEqual(['in-the-pod']);
    }
    const serve = crio.exec('pod-a', ['sh', '-c', 'echo served | nc -l -p 5555']);
    await until('it listens', async () => (await crio.exec('pod-b', ['sh', '-c', 'netstat -ltn | grep -q 5555'])).status === 0);
    expect((await crio.exec('pod-b', ['nc', '127.0.0.1', '5555'])).output.map((l) => l.text)).toEqual(['served']);
    expect((await serve).status).toBe(0);
    expect((await crio.exec('pod-a', ['ps'])).output.some((l) => l.text.includes('sleep 1002'))).toBe(false);
    await crio.remove('pod-a');
    expect((await crio.exec('pod-b', ['echo', 'still'])).output.map((l) => l.text)).toEqual(['still']);
    await crio.remove('pod-b');
    await crio.remove('pod');
    await crio.folder.must(['umount', ...Object.values(pins)]);
  });

  test('nothing is left on the host', { timeout: 120_000 }, async () => {
    expect(await crio.leftovers()).toEqual([]);
  });
});
