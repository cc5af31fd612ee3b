// ringfence compat run: GoogleTest, TAP and plain programs; hangs, crashes and differences; reports.

import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ringfence, testPlatform } from '../support/platform.ts';
import { build, compat, type JsonReport, programs, report, verdicts } from './support.ts';

/** Seconds without a sign of life, where something hangs: long enough for a sandbox to start on a busy machine. */
const LIMIT = '15';

let dir = '';
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'rf-compat-'));
});
afterAll(() => rmSync(dir, { recursive: true }));

function script(name: string, text: string): string {
  const path = join(dir, name);
  writeFileSync(path, `#!/bin/sh\n${text}\n`);
  chmodSync(path, 0o755);
  return path;
}

/** Command lines of processes of the host. */
function commandLines(): string[] {
  const pids = readdirSync('/proc').filter((n) => /^\d+$/.test(n));
  return pids.map((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ').trim();
    } catch {
      return '';
    }
  });
}

const GTEST = {
  'Plain.Passes': 'pass > pass',
  'Plain.FailsEverywhere': 'fail > fail',
  'Plain.SkipsEverywhere': 'skip > skip',
  'Differs.FailsInside': 'pass > fail',
  'Differs.CrashesInside': 'pass > crash',
  'Differs.HangsInside': 'pass > hang',
  'Differs.SkipsInside': 'pass > skip',
  'Differs.PrintsSomethingElse': 'pass > pass',
  'Differs.ExitsInside': 'pass > crash',
  'Last.StillRuns': 'pass > pass',
  'Some/Numbers.AreSmall/0': 'pass > pass',
  'Some/Numbers.AreSmall/1': 'pass > pass',
};

describe('GoogleTest', () => {
  let program = '';
  let all: Awaited<ReturnType<typeof report>>;
  beforeAll(async () => {
    program = build('cases.cc', '-lgtest', '-lpthread');
    all = await report(['--timeout', LIMIT, '--', program]);
  }, 300_000);

  test('every case has a verdict on both sides, also behind a hang and a crash', () => {
    expect(all.programs[0]?.kind).toBe('gtest');
    expect(verdicts(all)).toEqual(GTEST);
    expect(all.programs[0]?.host.starts).toBe(1);
    expect(all.programs[0]?.inside.starts).toBe(4);
  });

  test('what differs is told with its reason', () => {
    const of = (name: string) => all.programs[0]?.cases.find((c) => c.name === name);
    expect(of('Differs.FailsInside')?.change).toBe('fails');
    expect(of('Differs.FailsInside')?.inside.detail).toMatch(/cases\.cc:\d+: Failure[\s\S]*a reason <with> "marks" & more/);
    expect(of('Differs.CrashesInside')?.inside.detail).toMatch(/exit status 139 \(SIGSEGV\)[\s\S]*half a line/);
    expect(of('Differs.HangsInside')?.inside.detail).toContain('time limit');
    expect(of('Differs.ExitsInside')?.inside.detail).toContain('exit status 0');
    expect(of('Differs.SkipsInside')).toMatchObject({ change: 'skips', inside: { detail: expect.stringContaining('only on the host') } });
    expect(of('Differs.PrintsSomethingElse')).toMatchObject({ change: 'same', output: 'differs' });
    expect(of('Plain.Passes')).toMatchObject({ change: 'same', output: 'same' });
  });

  test('unsupported calls are named, and what fails inside is the exit status', () => {
    expect(all.programs[0]?.unsupported).toContain('io_uring_setup');
    expect(all.status).toBe(1);
  });

  test('--case chooses', async () => {
    const r = await report(['--case', 'Plain.*', '--case', '*/1', '--', program]);
    expect(verdicts(r)).toEqual({
      'Plain.Passes': 'pass > pass',
      'Plain.FailsEverywhere': 'fail > fail',
      'Plain.SkipsEverywhere': 'skip > skip',
      'Some/Numbers.AreSmall/1': 'pass > pass',
    });
    // What fails on the host says nothing about the sandbox.
    expect(r.status).toBe(0);
  });

  test('--args reach the program: its own filter, and cases that are switched off', async () => {
    const r = await report(['--args', `--gtest_filter='*.DISABLED_*' --gtest_also_run_disabled_tests`, '--', program]);
    expect(verdicts(r)).toEqual({ 'Plain.DISABLED_IsNotRun': 'fail > fail' });
  });

  test('JUnit: suites, cases, counts', async () => {
    const r = await compat([
      'run',
      '-q',
      '--format',
      'junit',
      '--case',
      'Plain.*',
      '--case',
      'Differs.[CFS]*',
      '--case',
      'Differs.FailsInside',
      '--case',
      'Differs.CrashesInside',
      '--case',
      'Differs.SkipsInside',
      '--',
      program,
    ]);
    expect({ status: r.status, stderr: r.stderr }).toEqual({ status: 1, stderr: '' });
    // A parser of its own, which refuses what is not well-formed.
    const parse =
      'import sys,json,xml.etree.ElementTree as e\nf=lambda n:[n.tag,n.attrib,n.text,[f(c) for c in n]]\nprint(json.dumps(f(e.fromstring(sys.stdin.buffer.read()))))';
    const xml = spawnSync('python3', ['-c', parse], { input: Buffer.from(r.stdout, 'latin1'), encoding: 'utf8' });
    expect(xml.stderr).toBe('');
    type Node = [tag: string, attributes: Record<string, string>, text: string | null, children: Node[]];
    const [tag, counts, , suites] = JSON.parse(xml.stdout) as Node;
    expect(tag).toBe('testsuites');
    expect(counts).toMatchObject({ tests: '6', failures: '1', errors: '1', skipped: '3' });
    expect(suites.map((s) => s[0])).toEqual(['testsuite']);
    const [, attributes, , children] = suites[0] as Node;
    expect(attributes).toMatchObject({ name: `${testPlatform}.${program}`, tests: '6', failures: '1', errors: '1', skipped: '3' });
    expect(attributes['time']).toMatch(/^\d+\.\d{3}$/);
    const cases = children.filter((c) => c[0] === 'testcase');
    for (const c of cases)
      expect(c[1]).toMatchObject({ classname: `${testPlatform}.${program}`, time: expect.stringMatching(/^\d+\.\d{3}$/) });
    const kinds = Object.fromEntries(cases.map((c) => [c[1]['name'], c[3].map((x) => x[0]).join()]));
    expect(kinds).toEqual({
      'Plain.Passes': '',
      'Plain.FailsEverywhere': 'skipped',
      'Plain.SkipsEverywhere': 'skipped',
      'Differs.FailsInside': 'failure',
      'Differs.CrashesInside': 'error',
      'Differs.SkipsInside': 'skipped',
    });
    expect(cases.find((c) => c[1]['name'] === 'Differs.FailsInside')?.[3][0]?.[2]).toContain('a reason <with> "marks" & more');
  });

  test('TAP: a test point for each case', async () => {
    const r = await compat(['run', '-q', '--format', 'tap', '--case', 'Plain.*', '--case', 'Differs.FailsInside', '--', program]);
    const head = `${testPlatform} ${program}`;
    const lines = r.stdout.split('\n');
    expect(lines.slice(0, 3)).toEqual(['TAP version 13', '1..4', `ok 1 - ${head} Plain.Passes`]);
    expect(lines).toContain(`ok 2 - ${head} Plain.FailsEverywhere # SKIP fail on the host`);
    expect(lines).toContain(`not ok 4 - ${head} Differs.FailsInside`);
    expect(lines).toContain('  message: "pass on the host, fail inside"');
    expect(r.status).toBe(1);
  });
});

describe('TAP', () => {
  test('verdicts, reasons, directives, names', async () => {
    const r = await report(['--', join(programs, 'tap.sh')]);
    expect(r.programs[0]?.kind).toBe('tap');
    expect(verdicts(r)).toEqual({
      first: 'pass > pass',
      known: 'pass > pass',
      absent: 'skip > skip',
      'a # in a name': 'pass > pass',
      wrong: 'fail > fail',
      'test 6': 'pass > pass',
    });
    expect(r.programs[0]?.cases[4]?.host.detail).toContain('because it is');
    expect(r.status).toBe(0);
  });

  // The folder is a mount of the host that a sandbox does not show, so that the program ends there only.
  test.each([
    ['crash', 'crash'],
    ['hang', 'hang'],
    ['bail', 'crash'],
  ])('%s in the midst, without a way to choose cases', async (how, verdict) => {
    const sign = '/dev/shm/rf-compat-sign';
    writeFileSync(sign, '');
    let r: JsonReport & { status: number | 'timeout' };
    try {
      r = await report(['--timeout', LIMIT, '--args', `${sign} ${how}`, '--', join(programs, 'tap.sh')]);
    } finally {
      rmSync(sign);
    }
    expect(verdicts(r)).toEqual({
      first: 'pass > pass',
      known: 'pass > pass',
      absent: 'skip > skip',
      'a # in a name': `pass > ${verdict}`,
      wrong: 'fail > missing',
      'test 6': 'pass > missing',
    });
    if (how === 'bail') expect(r.programs[0]?.cases[3]?.inside.detail).toContain('out of paper');
    expect(r.status).toBe(1);
  });

  test('a program that can be asked for its cases goes on behind a hang and a crash', async () => {
    const program = build('chosen.c');
    const r = await report(['--timeout', LIMIT, '--', program]);
    expect(r.programs[0]?.kind).toBe('tap');
    expect(verdicts(r)).toEqual({
      first: 'pass > pass',
      hangs: 'pass > hang',
      second: 'pass > pass',
      dies: 'pass > crash',
      third: 'pass > pass',
      prints: 'pass > pass',
    });
    expect(r.programs[0]?.inside.starts).toBe(3);
    expect(r.programs[0]?.cases.map((c) => c.output)).toEqual(['same', 'same', 'same', 'same', 'same', 'differs']);
  });

  test('a program that runs nothing', async () => {
    const r = await report(['--', script('none', 'echo "1..0 # SKIP no network"')]);
    expect(verdicts(r)).toEqual({ '(program)': 'skip > skip' });
    expect(r.programs[0]?.cases[0]?.host.detail).toBe('no network');
  });

  test('a program that fails though no case does', async () => {
    const text = 'echo 1..1; echo "ok 1 - good"; [ -e /dev/shm/rf-compat-sign2 ] || exit 3';
    writeFileSync('/dev/shm/rf-compat-sign2', '');
    try {
      const r = await report(['--', script('late', text)]);
      expect(verdicts(r)).toEqual({ good: 'pass > pass', '(program)': 'pass > fail' });
      expect(r.status).toBe(1);
    } finally {
      rmSync('/dev/shm/rf-compat-sign2');
    }
  });
});

describe('plain programs', () => {
  test('exit status and output', async () => {
    const same = script('same', 'echo out; echo err >&2; exit 3');
    const other = script('other', 'ls /dev/shm >/dev/null; echo $$ >&2; exit 0');
    const r = await report(['--jobs', '2', '--', same, other, 'true']);
    expect(r.programs.map((p) => p.kind)).toEqual(['plain', 'plain', 'plain']);
    expect(verdicts(r, 0)).toEqual({ '(program)': 'fail > fail' });
    expect(r.programs[0]?.cases[0]).toMatchObject({ change: 'same', output: 'same' });
    expect(r.programs[1]?.cases[0]).toMatchObject({ change: 'same', output: 'differs' });
    expect(verdicts(r, 2)).toEqual({ '(program)': 'pass > pass' });
    expect(r.status).toBe(0);
    expect((await report(['--strict', '--', other])).status).toBe(1);
  });

  test('what is written stays inside', async () => {
    const folder = join(dir, 'written');
    mkdirSync(folder);
    const r = await report(['--', script('writes', `cd ${folder} && ls && touch "by-$$"`)]);
    expect(verdicts(r)).toEqual({ '(program)': 'pass > pass' });
    expect(readdirSync(folder)).toHaveLength(1); // the host's own
  });

  test('a hang leaves no process behind, on the host or inside', async () => {
    const r = await report(['--timeout', LIMIT, '--', join(programs, 'tree.sh')]);
    expect(verdicts(r)).toEqual({ '(program)': 'hang > hang' });
    expect(r.programs[0]?.host.status).toBeNull();
    expect(commandLines().filter((c) => c.includes('sleep 4321') || c.includes('tree.sh'))).toEqual([]);
  });

  test.each(['SIGINT', 'SIGTERM'] as const)('%s ends all of it', async (signal) => {
    const sign = `/dev/shm/rf-compat-${signal}`;
    const program = script(`waits-${signal}`, `touch ${sign}; setsid sleep 4322 & sleep 4322`);
    const child = spawn(ringfence, ['compat', 'run', '-q', '--', program], { stdio: 'ignore' });
    const end = new Promise((done) => child.on('exit', (code) => done(code)));
    try {
      while (!existsSync(sign) || commandLines().filter((c) => c === 'sleep 4322').length < 2) await new Promise((r) => setTimeout(r, 50));
      child.kill(signal);
      expect(await end).toBe(signal === 'SIGINT' ? 130 : 143);
      expect(commandLines().filter((c) => c.includes('sleep 4322') || c.includes(program))).toEqual([]);
    } finally {
      rmSync(sign, { force: true });
    }
  });

  test('unsupported calls and options', async () => {
    const r = await report(['--', build('options.c')]);
    expect(r.programs[0]?.unsupported).toEqual([
      'futex(FUTEX_LOCK_PI)',
      'io_uring_setup',
      'mmap(MAP_HUGETLB)',
      'prctl(PR_SET_MM)',
      'socket(AF_VSOCK)',
    ]);
  });
});

describe('several programs', () => {
  test('--jobs changes nothing but the time; the report keeps the order of the programs', async () => {
    const all = [1, 2, 3, 4].map((n) => script(`p${n}`, `echo ${n}; exit $((${n} % 2))`));
    const one = await report(['--jobs', '1', '--', ...all]);
    const four = await report(['--jobs', '4', '--', ...all]);
    const summary = (r: JsonReport) => r.programs.map((p) => [p.program, p.host.stdout, p.inside.stdout, p.inside.status]);
    expect(summary(four)).toEqual(summary(one));
    expect(summary(four)).toEqual(all.map((path, i) => [path, `${i + 1}\n`, `${i + 1}\n`, (i + 1) % 2]));
  });

  test('progress has a line for each run, --quiet none', async () => {
    const loud = await compat(['run', '--', 'true']);
    expect(loud.stderr).toMatch(/^\[1\/2\] host true: passed \(\d+\.\d s\)\n\[2\/2\] \w+ true: passed \(\d+\.\d s\)\n$/);
    expect((await compat(['run', '-q', '--', 'true'])).stderr).toBe('');
  });

  test('the report for people: what differs, how to see it again, a table', async () => {
    const program = build('cases.cc', '-lgtest', '-lpthread');
    const r = await compat(['run', '-q', '--case', 'Differs.FailsInside', '--case', 'Plain.Passes', '--', program]);
    const lines = r.stdout.split('\n');
    expect(lines[0]).toBe(`${testPlatform}  ${program}  Differs.FailsInside  fails inside`);
    expect(lines[1]).toMatch(/^ {2}host +pass$/);
    expect(lines[2]).toMatch(/^ {2}\w+ +fail$/);
    const again = lines.find((l) => l.startsWith('  again'));
    expect(again).toBe(
      `  again    ringfence --platform ${testPlatform} do -- ${program} --gtest_color=no --gtest_filter=Differs.FailsInside`.replace(
        'again    ',
        'again'.padEnd(Math.max(4, testPlatform.length) + 2),
      ),
    );
    const row = lines.find((l) => l.startsWith(program));
    expect(row?.replace(program, '').trim().split(/\s+/).slice(0, 5)).toEqual(['gtest', testPlatform, '2', '2', '1']);
    expect(lines.at(-2)).toBe(`${testPlatform}: 1 of 2 cases that pass on the host fails inside`);
    expect(r.stdout).not.toContain('\x1b');
    expect(r.status).toBe(1);
  });
});

describe('bad use', () => {
  test.each([
    [['run'], "missing required argument 'program'"],
    [['run', '--', 'no-such-program'], 'no-such-program: not found in $PATH'],
    [['run', '--', '/no/such/program'], '/no/such/program: no such file'],
    [['run', '--', '/etc/passwd'], '/etc/passwd: is not executable'],
    [['run', '--', '/etc'], '/etc: is no file'],
    [['run', '--platform', 'qemu', '--', 'true'], 'unknown platform "qemu"'],
    [['run', '--format', 'yaml', '--', 'true'], 'Allowed choices are text, tap, junit, json'],
    [['run', '--jobs', '0', '--', 'true'], '--jobs takes a number from 1 to 999999, not "0"'],
    [['run', '--timeout', 'soon', '--', 'true'], '--timeout takes a number'],
    [['run', '--args', "'open", '--', 'true'], "--args: there is no end to what ' begins"],
    [['run', '--case', 'x', '--', 'true'], 'true cannot be asked for single cases'],
    [['run', '--kind', 'gtest', '--', 'true'], 'true does not list its cases'],
    [['nonsense'], 'there is no command "nonsense"'],
    [[], 'a command is missing'],
  ])('%j', async (words, text) => {
    const r = await compat(words);
    expect(r.status).toBe(2);
    expect(r.stdout).toBe('');
    expect(r.stderr).toMatch(/^ringfence: [^\n]+\n$/);
    expect(r.stderr).toContain(text);
  });
});
