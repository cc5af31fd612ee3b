// Exec and attach as `kubectl` has them: streams over the streaming server of containerd's CRI plugin, on runc and on ringfence.

import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { runtimes } from './kit/machine.ts';
import { Pods } from './containerd/pods.ts';
import { Streams } from './containerd/spdy.ts';

let p: Pods;
beforeAll(async () => {
  p = await Pods.start();
});
afterAll(() => p?.stop());

describe.each(runtimes)('$name', ({ name: handler }) => {
  const open: Streams[] = [];
  afterEach(async () => {
    for (const s of open.splice(0)) await s.close();
    await p.clean();
  });
  const streams = async (method: string, id: string, names: string[], more: object = {}): Promise<Streams> => {
    const wanted = Object.fromEntries(['stdin', 'stdout', 'stderr'].map((n) => [n, names.includes(n)]));
    const { url } = await p.cri.call(method, { container_id: id, ...wanted, ...more });
    const s = await Streams.open(p.machine, url, ['error', ...names]);
    open.push(s);
    return s;
  };

  test('exec: three streams, the end of the input, the exit status', async () => {
    const id = await (await p.run(handler)).run('c', ['sleep', '1000']);
    const cmd = ['sh', '-c', 'echo up; echo err >&2; cat; exit 3'];
    const s = await streams('Exec', id, ['stdin', 'stdout', 'stderr'], { cmd });
    await s.expect('stdout', /^up\n$/);
    await s.expect('stderr', /^err\n$/);
    s.write('stdin', 'typed\n');
    await s.expect('stdout', /^up\ntyped\n$/);
    s.end('stdin');
    expect(await s.result()).toMatchObject({
      status: 'Failure',
      reason: 'NonZeroExitCode',
      details: { causes: [{ reason: 'ExitCode', message: '3' }] },
    });
    const good = await streams('Exec', id, ['stdout'], { cmd: ['seq', '20000'] });
    expect(await good.result()).toMatchObject({ status: 'Success' });
    expect(good.text['stdout']).toBe(Array.from({ length: 20_000 }, (_, i) => `${i + 1}\n`).join(''));
    const bad = await streams('Exec', id, ['stdout'], { cmd: ['/no/such'] });
    expect((await bad.result()).message).toMatch(/no such file or directory/);
  });

  test('exec with a terminal: size, its change, Ctrl-C', async () => {
    const id = await (await p.run(handler)).run('c', ['sleep', '1000']);
    const wait = (size: string): string => `until stty size | grep "${size}"; do sleep 0.1; done`;
    const cmd = ['sh', '-c', `trap "exit 5" INT; tty; ${wait('33 77')}; read x; echo "got <$x>"; ${wait('40 90')}; sleep 1000`];
    const s = await streams('Exec', id, ['stdin', 'stdout', 'resize'], { cmd, tty: true });
    s.write('resize', '{"Width":77,"Height":33}\n');
    await s.expect('stdout', /\/dev\/pts\/\d+\r\n/);
    await s.expect('stdout', /33 77\r\n/);
    s.write('stdin', 'word\r');
    await s.expect('stdout', /got <word>\r\n/);
    s.write('resize', '{"Width":90,"Height":40}\n');
    await s.expect('stdout', /40 90\r\n/);
    s.write('stdin', '\x03');
    expect((await s.result()).details?.causes[0]?.message).toBe('5');
  });

  test('attach: to a container that reads, and to one with a terminal', async () => {
    const pod = await p.run(handler);
    const plain = await pod.run('plain', ['sh', '-c', 'while read x; do echo "got <$x>"; echo err >&2; done; exit 4'], {
      more: { stdin: true },
    });
    const s = await streams('Attach', plain, ['stdin', 'stdout', 'stderr']);
    s.write('stdin', 'one\n');
    await s.expect('stdout', /^got <one>\n$/);
    await s.expect('stderr', /^err\n$/);
    const again = await streams('Attach', plain, ['stdin', 'stdout']);
    again.write('stdin', 'two\n');
    for (const a of [s, again]) await a.expect('stdout', /got <two>\n$/);
    expect(pod.log('plain')).toContain('stdout got <two>');
    const more = { stdin: true, tty: true };
    const tty = await pod.run('tty', ['sh', '-c', 'read x; tty; echo "got <$x>"; exit 2'], { more });
    const t = await streams('Attach', tty, ['stdin', 'stdout', 'resize'], { tty: true });
    t.write('stdin', 'word\r');
    await t.expect('stdout', /\/dev\/pts\/0\r\ngot <word>\r\n/);
    expect(await p.ended(tty)).toMatchObject({ exit_code: 2 });
  });

  test('the end of the input reaches a container that is attached to once', async () => {
    const pod = await p.run(handler);
    const id = await pod.run('c', ['sh', '-c', 'cat; exit 9'], { more: { stdin: true, stdin_once: true } });
    const s = await streams('Attach', id, ['stdin', 'stdout']);
    s.write('stdin', 'all\n');
    await s.expect('stdout', /^all\n$/);
    s.end('stdin');
    expect(await p.ended(id)).toMatchObject({ exit_code: 9 });
  });
});
