// linux.seccomp of config.json: what a profile refuses is the same under runc and in the sandbox, call by call.

import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as numbers from '../../src/abi/nr.ts';
import type { Seccomp, Spec } from '../../runsc-compat/spec/types.ts';
import { repository } from '../support/build.ts';
import { Bench, type Result, ringfence } from './support.ts';

const PROFILE = '/usr/share/containers/seccomp.json';
/** No errno of Linux: what a rule answers is told from what a kernel answers. */
const FIRST_MARK = 3000;
const OTHER_MARK = 3999;
const ENOSYS = 38;

let bench: Bench;
let work: string;
let probe: string;

beforeAll(() => {
  bench = new Bench();
  work = mkdtempSync(join(tmpdir(), 'rf-seccomp-'));
  probe = join(work, 'probe');
  const source = join(repository, 'test/oci/guests/probe.c');
  const r = spawnSync('gcc', ['-static', '-O1', '-Wall', '-Wextra', '-Werror', '-o', probe, source], { encoding: 'utf8' });
  if (r.status !== 0) throw new Error(r.stderr);
});
afterAll(() => {
  bench.close();
  rmSync(work, { recursive: true, force: true });
});

const RUNTIMES: { name: string; argv: (root: string) => string[] }[] = [
  { name: 'runc', argv: (root) => ['runc', '--root', root] },
  { name: 'ringfence', argv: (root) => [ringfence, '--root', root] },
];

let serial = 0;

/** Runs a bundle to its end. */
function runBundle(runtime: (typeof RUNTIMES)[number], bundle: string): Result {
  const [command, ...args] = runtime.argv(join(work, runtime.name));
  const r = spawnSync(command as string, [...args, 'run', '--bundle', bundle, `seccomp-${process.pid}-${serial++}`], {
    encoding: 'utf8',
    input: '',
    timeout: 90_000,
  });
  return { status: r.status ?? -1, stdout: r.stdout, stderr: r.stderr };
}

function bundleWith(seccomp: Seccomp | undefined, args: string[], change: (s: Spec) => void = () => undefined): string {
  const bundle = bench.bundle(args, (s) => {
    s.linux = { ...s.linux, ...(seccomp === undefined ? {} : { seccomp }) };
    if (s.process !== undefined) s.process.noNewPrivileges = true;
    change(s);
  });
  copyFileSync(probe, join(bundle, 'rootfs/bin/probe'));
  return bundle;
}

/** Each call that was made and how it ended. */
function verdicts(r: Result): Map<number, string> {
  const out = new Map<number, string>();
  for (const line of r.stdout.split('\n')) {
    const m = /^(\d+) (.+)$/.exec(line);
    if (m !== null) out.set(Number(m[1]), m[2] as string);
  }
  if (out.size === 0) throw new Error(`no call was made: ${r.status} ${r.stderr}`);
  return out;
}

/** Only what the filter decides: a mark, a signal, or that the kernel had its say. */
function decision(verdict: string, exact: boolean): string {
  if (verdict.startsWith('signal') || Number(verdict) >= FIRST_MARK || exact) return verdict;
  return 'let through';
}

interface Group {
  names: string[];
  action: string;
  errnoRet?: number;
  args?: { index: number; value: number; valueTwo?: number; op: string }[] | null;
  includes?: { caps?: string[]; arches?: string[]; minKernel?: string };
  excludes?: { caps?: string[]; arches?: string[] };
}

/** The engines' default profile for a container with these capabilities, each rule's errno replaced by a mark of its own. */
function defaultProfile(capabilities: string[]): Seccomp {
  const file = JSON.parse(readFileSync(PROFILE, 'utf8')) as { syscalls: Group[] };
  const applies = (g: Group): boolean => {
    const has = (c: string): boolean => capabilities.includes(c);
    const arch = (g.includes?.arches ?? []).length === 0 || (g.includes?.arches ?? []).includes('amd64');
    return (
      arch && (g.includes?.caps ?? []).every(has) && !(g.excludes?.caps ?? []).some(has) && !(g.excludes?.arches ?? []).includes('amd64')
    );
  };
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: OTHER_MARK,
    architectures: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'],
    syscalls: file.syscalls.filter(applies).map((g, i) => ({
      names: g.names,
      action: g.action,
      ...(g.action === 'SCMP_ACT_ERRNO' ? { errnoRet: FIRST_MARK + i } : {}),
      args: g.args ?? [],
    })),
  };
}

const ALLOW: Seccomp = { defaultAction: 'SCMP_ACT_ALLOW', architectures: ['SCMP_ARCH_X86_64'] };

describe('the default profile of the engines', () => {
  for (const capabilities of [
    ['CAP_CHOWN', 'CAP_KILL'],
    ['CAP_SYS_ADMIN', 'CAP_SYS_PTRACE', 'CAP_SYS_CHROOT', 'CAP_AUDIT_WRITE'],
  ]) {
    test(`refuses the same calls with ${capabilities.join(', ')}`, () => {
      if (!existsSync(PROFILE)) throw new Error(`${PROFILE} is missing: it comes with podman`);
      const bundle = bundleWith(defaultProfile(capabilities), ['/bin/probe', 'all']);
      const [a, b] = RUNTIMES.map((r) => verdicts(runBundle(r, bundle))) as [Map<number, string>, Map<number, string>];
      const newest = Math.max(...Object.values(numbers as Record<string, number>).filter((n) => n < 512));
      const compared = (m: Map<number, string>): Map<number, string> => new Map([...m].map(([nr, v]) => [nr, decision(v, nr > newest)]));
      expect(compared(b)).toEqual(compared(a));
      expect([...compared(a).values()].filter((v) => v === String(OTHER_MARK)).length).toBeGreaterThan(30);
      expect(a.get(1000)).toBe(String(ENOSYS));
    }, 120_000);
  }

  test('sees arguments as there: sockets of the audit system, personalities', () => {
    const calls = ['135,0xffffffff', '135,5', '135,8', '41,16,3,9', '41,16,3,0', '41,40,1,0', '41,1,1,0'];
    const bundle = bundleWith(defaultProfile(['CAP_CHOWN']), ['/bin/probe', ...calls]);
    const [a, b] = RUNTIMES.map((r) =>
      runBundle(r, bundle)
        .stdout.split('\n')
        .map((l) => (/ (3\d\d\d|signal .*)$/.test(l) ? l : 'let through')),
    );
    expect(b).toEqual(a);
    expect(a?.some((l) => l !== 'let through')).toBe(true);
  }, 120_000);
});

describe('rules', () => {
  const GETPGID = 121;
  const big = 2 ** 40 + 5;
  /** A rule on the first argument of getpgid. */
  const one = (op: string, value: number, valueTwo?: number): Seccomp => ({
    ...ALLOW,
    syscalls: [
      {
        names: ['getpgid'],
        action: 'SCMP_ACT_ERRNO',
        errnoRet: FIRST_MARK,
        args: [{ index: 1, value, ...(valueTwo === undefined ? {} : { valueTwo }), op }],
      },
    ],
  });
  const values = [0, 1, 5, 6, 0xffffffff, 2 ** 32, 2 ** 32 + 5, big - 1, big, big + 1];
  const calls = values.map((v) => `${GETPGID},0,${v}`);
  const cases: [string, Seccomp, string[]][] = [
    ...['EQ', 'NE', 'LT', 'LE', 'GT', 'GE'].flatMap((op): [string, Seccomp, string[]][] => [
      [`${op} of a small value`, one(`SCMP_CMP_${op}`, 5), calls],
      [`${op} of a large value`, one(`SCMP_CMP_${op}`, big), calls],
    ]),
    ['masked equality', one('SCMP_CMP_MASKED_EQ', 2 ** 40 + 4, 2 ** 40 + 4), calls],
    ['masked equality in the low word', one('SCMP_CMP_MASKED_EQ', 6, 4), calls],
    [
      'conditions on two arguments hold together',
      {
        ...ALLOW,
        syscalls: [
          {
            names: ['getpgid'],
            action: 'SCMP_ACT_ERRNO',
            errnoRet: FIRST_MARK,
            args: [
              { index: 1, value: 5, op: 'SCMP_CMP_EQ' },
              { index: 2, value: 7, op: 'SCMP_CMP_EQ' },
            ],
          },
        ],
      },
      ['121,0,5,7', '121,0,5,8', '121,0,4,7'],
    ],
    [
      'conditions on one argument twice are alternatives',
      {
        ...ALLOW,
        syscalls: [
          {
            names: ['getpgid'],
            action: 'SCMP_ACT_ERRNO',
            errnoRet: FIRST_MARK,
            args: [
              { index: 1, value: 5, op: 'SCMP_CMP_EQ' },
              { index: 1, value: 6, op: 'SCMP_CMP_EQ' },
            ],
          },
        ],
      },
      calls,
    ],
    [
      'a rule without conditions stands above those with, the first above the second',
      {
        ...ALLOW,
        syscalls: [
          { names: ['getpgid'], action: 'SCMP_ACT_ERRNO', errnoRet: 3001, args: [{ index: 1, value: 1, op: 'SCMP_CMP_EQ' }] },
          { names: ['getpgid'], action: 'SCMP_ACT_ERRNO', errnoRet: 3002 },
          { names: ['getpgid'], action: 'SCMP_ACT_ERRNO', errnoRet: 3003 },
        ],
      },
      calls,
    ],
    [
      'every action',
      {
        ...ALLOW,
        syscalls: [
          { names: ['getpgid'], action: 'SCMP_ACT_ERRNO' },
          { names: ['mlockall'], action: 'SCMP_ACT_KILL' },
          { names: ['getpriority'], action: 'SCMP_ACT_KILL_PROCESS' },
          { names: ['times'], action: 'SCMP_ACT_TRAP' },
          { names: ['alarm'], action: 'SCMP_ACT_TRACE', errnoRet: 5 },
          { names: ['umask'], action: 'SCMP_ACT_LOG' },
          { names: ['no_such_call', 'getrusage'], action: 'SCMP_ACT_ERRNO', errnoRet: 0 },
        ],
      },
      ['121', '151', '140', '100', '37', '95', '98', '39'],
    ],
    ['foreign calls without architectures', { defaultAction: 'SCMP_ACT_ALLOW' }, ['39', '1000', '0x40000000', '0x40000027']],
  ];
  test.each(cases)(
    '%s',
    (_name, seccomp, args) => {
      const bundle = bundleWith(seccomp, ['/bin/probe', ...args]);
      const [a, b] = RUNTIMES.map((r) => runBundle(r, bundle)) as [Result, Result];
      expect(a.stdout.split('\n').length).toBe(args.length + 1);
      expect(b.stdout).toBe(a.stdout);
    },
    60_000,
  );
});

describe('what a process sees of its filter', () => {
  const script = 'grep -E "NoNewPrivs|Seccomp:|Seccomp_filters" /proc/self/status';
  const shown = (s: Spec): void => {
    if (s.process !== undefined) s.process.noNewPrivileges = false;
  };

  test('mode and number of filters', () => {
    for (const runtime of RUNTIMES) {
      const bundle = bundleWith(ALLOW, ['busybox', 'sh', '-c', script.replace('grep', 'busybox grep')], shown);
      expect([runtime.name, runBundle(runtime, bundle).stdout]).toEqual([
        runtime.name,
        'NoNewPrivs:\t0\nSeccomp:\t2\nSeccomp_filters:\t1\n',
      ]);
    }
  }, 60_000);

  test('processes that exec starts have it as well', () => {
    const seccomp: Seccomp = { ...ALLOW, syscalls: [{ names: ['getpgid'], action: 'SCMP_ACT_ERRNO', errnoRet: OTHER_MARK }] };
    const bundle = bundleWith(seccomp, ['sleep', '1000']);
    for (const runtime of RUNTIMES) {
      const [command, ...args] = runtime.argv(join(work, runtime.name)) as [string, ...string[]];
      const id = `seccomp-exec-${process.pid}-${runtime.name}`;
      const call = (...words: string[]): string =>
        spawnSync('/bin/sh', ['-c', `exec "$@" </dev/null`, 'sh', command, ...args, ...words], { encoding: 'utf8', timeout: 60_000 })
          .stdout;
      spawnSync(command, [...args, 'run', '--detach', '--bundle', bundle, id], { stdio: 'ignore', timeout: 60_000 });
      try {
        expect([runtime.name, call('exec', id, '/bin/probe', '121')]).toEqual([runtime.name, `121 ${OTHER_MARK}\n`]);
      } finally {
        call('delete', '--force', id);
      }
    }
  }, 60_000);

  test('a profile that refuses execve lets nothing start', () => {
    const bundle = bundleWith({ ...ALLOW, syscalls: [{ names: ['execve'], action: 'SCMP_ACT_ERRNO' }] }, ['true']);
    for (const runtime of RUNTIMES) {
      const r = runBundle(runtime, bundle);
      expect([runtime.name, r.status === 0, r.stderr.includes('operation not permitted')]).toEqual([runtime.name, false, true]);
    }
  }, 60_000);
});

describe('what cannot be done is refused', () => {
  test('user notification', () => {
    const notify: Seccomp = { ...ALLOW, syscalls: [{ names: ['mkdir'], action: 'SCMP_ACT_NOTIFY' }] };
    const r = bench.run(['run', '--bundle', bundleWith(notify, ['true']), 's1']);
    expect(r.status).not.toBe(0);
    expect(r.stderr).toContain('/linux/seccomp/syscalls/0/action is "SCMP_ACT_NOTIFY"');
    const listener = bench.run(['run', '--bundle', bundleWith({ ...ALLOW, listenerPath: '/run/x' }, ['true']), 's2']);
    expect(listener.stderr).toContain('/linux/seccomp/listenerPath');
  });

  test('labels of security modules that the host does not have', () => {
    for (const [field, text] of [
      ['apparmorProfile', 'apparmor'],
      ['selinuxLabel', 'selinux label is specified in config, but selinux is disabled or not supported'],
    ] as const) {
      const host = existsSync(field === 'apparmorProfile' ? '/sys/module/apparmor/parameters/enabled' : '/sys/fs/selinux/policyvers');
      if (host) continue;
      const bundle = bundleWith(undefined, ['true'], (s) => {
        if (s.process !== undefined) s.process[field] = 'some_label';
      });
      for (const runtime of RUNTIMES) {
        const r = runBundle(runtime, bundle);
        expect([runtime.name, r.status === 0, r.stderr.includes(text)]).toEqual([runtime.name, false, true]);
      }
    }
  });

  test('a mount label is left out, with a line in the log', () => {
    const bundle = bundleWith(undefined, ['true'], (s) => {
      s.linux = { ...s.linux, mountLabel: 'system_u:object_r:some_t:s0' };
    });
    const log = join(work, 'labels.log');
    expect(bench.run(['run', '--bundle', bundle, 's3'], { global: ['--debug-log', log] }).status).toBe(0);
    expect(readFileSync(log, 'utf8')).toContain('"level":"warning","msg":"mount label system_u:object_r:some_t:s0 is left out');
  });
});
