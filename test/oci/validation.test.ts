// config.json: what is wrong is told in one line that names the place, the value and what is allowed.

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { defaultSpec } from '../../runsc-compat/cmd/spec.ts';
import { convertProcess } from '../../runsc-compat/spec/convert.ts';
import { checkSpec, parseJson } from '../../runsc-compat/spec/validate.ts';
import { Bench } from './support.ts';

type Json = Record<string, unknown>;

function changed(change: (spec: Json) => void): unknown {
  const spec = JSON.parse(JSON.stringify(defaultSpec(false))) as Json;
  change(spec);
  return spec;
}

const process = (spec: Json): Json => spec.process as Json;
const linux = (spec: Json): Json => spec.linux as Json;

const WRONG: [string, (spec: Json) => void, string][] = [
  ['no version', (s) => delete s.ociVersion, '/ociVersion is missing'],
  ['another version', (s) => (s.ociVersion = '2.0.0'), '/ociVersion is "2.0.0", allowed is what matches ^1\\.[0-9]+\\.[0-9]+'],
  ['a number as hostname', (s) => (s.hostname = 5), '/hostname is 5, allowed is a string'],
  ['args as text', (s) => (process(s).args = 'sh'), '/process/args is "sh", allowed is an array'],
  ['a relative cwd', (s) => (process(s).cwd = 'tmp'), '/process/cwd is "tmp", allowed is what matches ^/'],
  ['no cwd', (s) => delete process(s).cwd, '/process/cwd is missing'],
  ['a negative uid', (s) => (process(s).user = { uid: -1 }), '/process/user/uid is -1, allowed is a number >= 0'],
  ['a huge oomScoreAdj', (s) => (process(s).oomScoreAdj = 5000), '/process/oomScoreAdj is 5000, allowed is a number <= 1000'],
  [
    'a namespace of no kind',
    (s) => (linux(s).namespaces = [{ type: 'net' }]),
    '/linux/namespaces/0/type is "net", allowed are mount, pid, network',
  ],
  ['a mount without place', (s) => (s.mounts = [{ type: 'proc' }]), '/mounts/0/destination is missing'],
  ['a root without path', (s) => (s.root = {}), '/root/path is missing'],
  [
    'a hook that never ends',
    (s) => (s.hooks = { prestart: [{ path: '/x', timeout: 0 }] }),
    '/hooks/prestart/0/timeout is 0, allowed is a number >= 1',
  ],
  [
    'a device of no type',
    (s) => (linux(s).devices = [{ path: '/dev/x', type: 'z' }]),
    '/linux/devices/0/type is "z", allowed is what matches ^[cbup]$',
  ],
  ['an annotation that is no text', (s) => (s.annotations = { a: 1 }), '/annotations/a is 1, allowed is a string'],
];

describe('the schema', () => {
  test.each(WRONG)('refuses %s', async (_name, change, line) => {
    await expect(checkSpec(changed(change), 'config.json')).rejects.toThrow(`config.json: ${line}`);
  });

  test('takes the default configuration, any version 1, unknown fields and nulls', async () => {
    await checkSpec(defaultSpec(true), 'config.json');
    for (const ociVersion of ['1.0.0', '1.0.2-dev', '1.1.0+dev', '1.3.0'])
      await checkSpec(
        changed((s) => (s.ociVersion = ociVersion)),
        'c',
      );
    await checkSpec(
      changed((s) => (s.somethingNew = { a: [1] })),
      'c',
    );
    await checkSpec(parseJson('{"ociVersion":"1.0.2","process":{"cwd":"/","args":null,"user":{"uid":0,"gid":0}},"linux":null}', 'c'), 'c');
  });

  test('says where a value stands in a long list, and cuts long values', async () => {
    const long = 'x'.repeat(500);
    const error = await checkSpec(
      changed((s) => (process(s).rlimits = [{ type: long, soft: 1, hard: 1 }])),
      'c',
    ).catch((e: Error) => e.message);
    expect(error).toMatch(/^c: \/process\/rlimits\/0\/type is "x+\.\.\., allowed is what matches/);
    expect(String(error).length).toBeLessThan(250);
  });
});

describe('what a schema cannot say', () => {
  test('limits that Linux does not have, twice, or above the hard one', () => {
    const p = (rlimits: { type: string; soft: number; hard: number }[]) => () => convertProcess({ cwd: '/', args: ['x'], rlimits }, 'c');
    expect(p([{ type: 'RLIMIT_BOGUS', soft: 1, hard: 1 }])).toThrow('c: /process/rlimits/0/type is "RLIMIT_BOGUS"');
    const core = { type: 'RLIMIT_CORE', soft: 1, hard: 1 };
    expect(p([core, core])).toThrow('/process/rlimits/1/type is "RLIMIT_CORE" a second time');
    expect(p([{ ...core, soft: 2 }])).toThrow('/process/rlimits/0/soft is 2');
  });

  test('a process without arguments', () => {
    expect(() => convertProcess({ cwd: '/' }, 'c')).toThrow('args must not be empty');
  });

  test('infinite limits, capabilities and byte strings are converted', () => {
    const capabilities = { bounding: ['CAP_CHOWN', 'CAP_CHECKPOINT_RESTORE', 'CAP_FROM_THE_FUTURE'] };
    const p = convertProcess({ cwd: '/ä', args: ['x'], rlimits: [{ type: 'RLIMIT_CORE', soft: 0, hard: 2 ** 64 }], capabilities }, 'c');
    expect(p.rlimits).toEqual([{ type: 4, soft: 0, hard: -1 }]);
    expect(p.capabilities.bounding).toEqual([1, 1 << 8]);
    expect(p.cwd).toBe('/\u00c3\u00a4');
  });
});

describe('create with a wrong bundle', () => {
  let bench: Bench;
  beforeAll(() => {
    bench = new Bench();
  });
  afterAll(() => bench.close());

  /** Runs create and demands a failure that leaves nothing. */
  function refused(bundle: string): string {
    const log = join(bench.dir, `log-${Math.random()}`);
    const r = bench.run(['create', '--bundle', bundle, 'x'], { global: ['--log', log, '--log-format', 'json'] });
    expect(r.status).toBeGreaterThan(0);
    expect(existsSync(join(bench.states, 'x'))).toBe(false);
    const record = JSON.parse(readFileSync(log, 'utf8')) as { level: string; msg: string; time: string };
    expect(record.level).toBe('error');
    expect(Number.isNaN(Date.parse(record.time))).toBe(false);
    expect(r.stderr).toBe(`ringfence: ${record.msg}\n`);
    expect(r.stdout).toBe('');
    return record.msg;
  }

  test('no config.json, or one that is no JSON', () => {
    expect(refused(bench.dir)).toMatch(/^JSON specification file .*\/config\.json not found$/);
    const bundle = bench.bundle(['true']);
    writeFileSync(join(bundle, 'config.json'), '{"ociVersion": ');
    expect(refused(bundle)).toMatch(/config\.json is not JSON: /);
  });

  test('a wrong value, a missing root, a missing source, an unknown type', () => {
    expect(refused(bench.bundle(['true'], (s) => ((s.process as unknown as Json).terminal = 'yes')))).toMatch(
      /\/process\/terminal is "yes", allowed is a boolean$/,
    );
    expect(refused(bench.bundle(['true'], (s) => (s.root = { path: 'nowhere' })))).toMatch(
      /\/root\/path is "nowhere": no such file or directory$/,
    );
    const bind = bench.bundle(['true'], (s) => s.mounts?.push({ destination: '/a', type: 'bind', source: '/nowhere', options: ['bind'] }));
    expect(refused(bind)).toMatch(/\/mounts\/7\/source is "\/nowhere": no such file or directory$/);
    expect(refused(bench.bundle(['true'], (s) => s.mounts?.push({ destination: '/a', type: 'nfs' })))).toMatch(
      /\/mounts\/7\/type is "nfs", allowed are bind,/,
    );
  });

  test('a command that is not there or cannot be executed', () => {
    expect(refused(bench.bundle(['/no/such']))).toBe('exec: "/no/such": stat /no/such: no such file or directory');
    expect(refused(bench.bundle(['nosuch']))).toBe('exec: "nosuch": executable file not found in $PATH');
    const denied = bench.bundle(['/etc/file']);
    writeFileSync(join(denied, 'rootfs/etc/file'), 'x', { mode: 0o644 });
    expect(refused(denied)).toBe('exec: "/etc/file": permission denied');
  });

  test('terminals that cannot be', () => {
    const withTerminal = bench.bundle(['true'], (s) => ((s.process as unknown as Json).terminal = true));
    expect(refused(withTerminal)).toMatch(/cannot allocate tty if ringfence will detach without setting console socket/);
    expect(readdirSync(bench.states)).toEqual([]);
  });
});
