// ringfence compat table and trace, and the shell completion of compat.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { repository } from '../support/build.ts';
import { build, compat } from './support.ts';

interface TableJson {
  summary: { total: number; full: number; partial: number; none: number };
  syscalls: { number: number; name: string; support: string; missing: string }[];
}

let dir = '';
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'rf-compat-'));
});
afterAll(() => rmSync(dir, { recursive: true }));

describe('table', () => {
  let all: TableJson;
  beforeAll(async () => {
    all = JSON.parse((await compat(['table', '--format', 'json'])).stdout) as TableJson;
  });

  test('every number of the headers has a row of its name', () => {
    const out = execFileSync('gcc', ['-E', '-dM', '-x', 'c', '-'], { input: '#include <asm/unistd_64.h>\n', encoding: 'utf8' });
    const numbers = [...out.matchAll(/^#define __NR_(\w+) (\d+)$/gm)].map((m) => [Number(m[2]), m[1]]);
    expect(numbers.length).toBeGreaterThan(300);
    const rows = new Map(all.syscalls.map((r) => [r.number, r.name]));
    expect(numbers.filter(([nr, name]) => rows.get(nr as number) !== name)).toEqual([]);
  });

  test('what is not full says what is missing; the sums are right', () => {
    expect(all.syscalls.filter((r) => r.support !== 'full' && r.missing === '')).toEqual([]);
    const count = (s: string) => all.syscalls.filter((r) => r.support === s).length;
    expect(all.summary).toEqual({ total: all.syscalls.length, full: count('full'), partial: count('partial'), none: count('none') });
  });

  test('it is the table of the documentation', async () => {
    const rows = (text: string) => text.split('\n').filter((l) => /^\| \d+ \|/.test(l));
    const docs = rows(readFileSync(join(repository, 'docs/syscalls.md'), 'utf8'));
    expect(rows((await compat(['table', '--format', 'markdown'])).stdout)).toEqual(docs);
    expect(docs).toHaveLength(all.syscalls.length);
  });

  test('aligned, without colours in a pipe, with a line that sums up', async () => {
    const r = await compat(['table', 'getp*', '--support', 'full', '39']);
    const lines = r.stdout.split('\n').slice(0, -1);
    expect(lines[0]).toMatch(/^NUMBER {2}NAME +SUPPORT {2}WHAT IS MISSING$/);
    const at = lines[0]?.indexOf('SUPPORT') as number;
    const rows = lines.slice(1, -2);
    for (const l of rows) expect(l.slice(at, at + 4)).toBe('full');
    expect(rows.map((l) => l.slice(8, at).trim())).toContain('getpid');
    expect(lines.at(-1)).toBe(`${rows.length} system calls: ${rows.length} full, 0 partial, 0 none`);
    expect(r.stdout).not.toContain('\x1b');
  });

  test('on a terminal in colour, unless NO_COLOR says otherwise', () => {
    const tty = (env: Record<string, string>) =>
      spawnSync('script', ['-qec', `${join(repository, 'bin/ringfence')} compat table futex`, '/dev/null'], {
        encoding: 'utf8',
        env: { PATH: process.env['PATH'], TERM: 'xterm', ...env },
      }).stdout;
    expect(tty({})).toContain('\x1b[33mpartial');
    expect(tty({ NO_COLOR: '1' })).not.toContain('\x1b');
    expect(tty({ TERM: 'dumb' })).not.toContain('\x1b');
  });

  test.each([
    [['table', 'no_such_call'], 'no system call "no_such_call"'],
    [['table', '99999'], 'no system call "99999"'],
    [['table', '--support', 'half'], '--support takes full, partial, none, not "half"'],
    [['table', '--format', 'xml'], 'Allowed choices are text, json, markdown'],
  ])('%j is refused in one line', async (words, text) => {
    const r = await compat(words);
    expect(r).toMatchObject({ status: 2, stdout: '', stderr: expect.stringMatching(/^ringfence: [^\n]+\n$/) });
    expect(r.stderr).toContain(text);
  });
});

describe('trace', () => {
  interface TraceJson {
    status: number;
    calls: {
      name: string;
      support: string;
      calls: number;
      errors: Record<string, number>;
      microseconds: number;
      waitedMicroseconds: number;
    }[];
    unsupportedOptions: string[];
  }
  const traced = async (...words: string[]): Promise<TraceJson> => {
    const output = join(dir, 'calls.json');
    rmSync(output, { force: true });
    await compat(['trace', '--format', 'json', '--output', output, '--', ...words]);
    return JSON.parse(readFileSync(output, 'utf8')) as TraceJson;
  };

  test('counts, errors, support; unsupported ones first', async () => {
    const r = await traced(build('options.c'));
    const of = (name: string) => r.calls.find((c) => c.name === name);
    expect(of('io_uring_setup')).toMatchObject({ support: 'none', calls: 1, errors: { ENOSYS: 1 } });
    expect(of('number 100000')).toMatchObject({ support: 'none', calls: 1, errors: { ENOSYS: 1 } });
    expect(of('socket')).toMatchObject({ support: 'full', calls: 2, errors: { EAFNOSUPPORT: 2 } });
    expect(of('prctl')).toMatchObject({ calls: 2, errors: { EINVAL: 2 } });
    expect(of('exit_group')).toMatchObject({ calls: 1, errors: {} });
    expect(r.unsupportedOptions.sort()).toEqual(['futex(FUTEX_LOCK_PI)', 'mmap(MAP_HUGETLB)', 'prctl(PR_SET_MM)', 'socket(AF_VSOCK)']);
    const order = r.calls.map((c) => ['none', 'partial', 'full'].indexOf(c.support));
    expect(order).toEqual([...order].sort((a, b) => a - b));
    expect(r.status).toBe(0);
  });

  test('waiting is not work', async () => {
    const r = await traced('sh', '-c', 'sleep 1; exit 7');
    const sleep = r.calls.find((c) => c.name === 'clock_nanosleep');
    expect(sleep?.calls).toBe(1);
    expect(sleep?.waitedMicroseconds).toBeGreaterThan(990_000);
    expect(r.status).toBe(7);
  });

  test('calls that the engine makes by itself otherwise are counted, and those of killed processes', async () => {
    const r = await traced('python3', '-c', 'import threading; l = threading.Lock(); l.acquire(); l.acquire(timeout=0.2)');
    expect(r.calls.find((c) => c.name === 'futex')?.calls).toBeGreaterThan(0);
    const killed = await traced('timeout', '-s', 'KILL', '1', 'sleep', '100');
    expect(killed.calls.find((c) => c.name === 'clock_nanosleep')?.calls).toBe(1);
    expect(killed.status).toBe(137);
  });

  test('the report for people goes to standard error, the output and status are those of the command', async () => {
    const r = await compat(['trace', '--', 'sh', '-c', 'echo said; exit 9']);
    expect({ status: r.status, stdout: r.stdout }).toEqual({ status: 9, stdout: 'said\n' });
    const lines = r.stderr.split('\n');
    expect(lines[0]).toMatch(/^CALL +SUPPORT +CALLS +TIME MS +EACH US +WAITED MS +ERRORS +WHAT IS MISSING$/);
    expect(r.stderr).toMatch(/^write +full +\d/m);
    expect(lines.at(-2)).toMatch(/^\d+ calls of \d+ kinds, [\d.]+ ms in the Sentry; \d+ not supported, \d+ in part$/);
  });

  test('options of do', async () => {
    const r = await compat(['trace', '-o', '/dev/null', '--cwd', '/usr', '--env', 'A=b', '--', 'sh', '-c', 'pwd; echo $A']);
    expect(r).toMatchObject({ status: 0, stdout: '/usr\nb\n', stderr: '' });
  });

  test.each([
    [['trace'], "missing required argument 'command'", 2],
    [['trace', '--', '/no/such/program'], 'no such file or directory', 127],
    [['trace', '-o', '/no/such/folder/file', '--', 'true'], 'cannot write to --output /no/such/folder/file: ENOENT', 125],
    [['trace', '--platform', 'qemu', '--', 'true'], 'unknown platform "qemu"', 125],
  ])('%j is refused in one line', async (words, text, status) => {
    const r = await compat(words);
    expect(r).toMatchObject({ status, stdout: '', stderr: expect.stringMatching(/^ringfence: [^\n]+\n$/) });
    expect(r.stderr).toContain(text);
  });
});

describe('completion', () => {
  const complete = (...words: string[]): string[] => {
    const file = join(dir, 'completion');
    writeFileSync(file, execFileSync(join(repository, 'bin/ringfence'), ['completion', 'bash']));
    const text = `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _ringfence; echo "\${COMPREPLY[*]}"`;
    const r = spawnSync('bash', ['-c', text, 'bash', file, 'ringfence', ...words], { encoding: 'utf8' });
    expect(r.stderr).toBe('');
    return r.stdout.trim().split(' ');
  };

  test.each([
    [['compa'], ['compat']],
    [
      ['compat', ''],
      ['table', 'run', 'trace'],
    ],
    [['compat', 'run', '--fo'], ['--format']],
    [
      ['compat', 'run', '--format', ''],
      ['text', 'tap', 'junit', 'json'],
    ],
    [
      ['compat', 'table', '--format', ''],
      ['text', 'json', 'markdown'],
    ],
    [['compat', 'table', '--support', 'p'], ['partial']],
    [
      ['compat', 'trace', '--platform', ''],
      ['systrap', 'ptrace', 'kvm', 'auto'],
    ],
    [['--platform', 's'], ['systrap']],
    [['do', '--vol'], ['--volume']],
  ])('%j', (words, expected) => {
    expect(complete(...words)).toEqual(expected);
  });

  test('programs are files', () => {
    expect(complete('compat', 'run', join(repository, 'package.js'))).toEqual([join(repository, 'package.json')]);
  });
});
