// Every system call number that there is, the next 64 and some wild ones, with arguments that lead nowhere: a call that the table has answers
// as on the host, any other number ENOSYS, and the log names it once.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import * as nr from '../../src/abi/nr.ts';
import { names, table } from '../../src/sentry/syscalls/table.ts';
import { buildTool, repository } from '../support/build.ts';
import { ringfence } from '../support/platform.ts';
import { runOnHost } from '../support/run.ts';

const last = Math.max(...names.keys()) + 64;

/** Numbers that are not tried: they wait for ever, end more than themselves, or come back twice on one stack; or the answer lies on the stack. */
const untried = [
  ...[nr.SYS_select, nr.SYS_pselect6, nr.SYS_ppoll, nr.SYS_pause, nr.SYS_vfork, nr.SYS_kill, nr.SYS_vhangup, nr.SYS_sync],
  nr.SYS_rt_sigreturn,
];

/** Where a row that is there answers otherwise than the host, which may be newer: NUMBER ARGUMENTS. */
const otherwise = new Map<string, string>([[`${nr.SYS_pidfd_send_signal} addresses`, 'flags of later kernels']]);

/** uretprobe and uprobe: newer kernels let them through every filter (seccomp(2)), and answer SIGILL and ENXIO where no probe is. */
const unfiltered = [335, 336];

/** Results by number and kind of arguments. */
let host: Map<string, string>;
let sandbox: Map<string, string>;
let log: string[];

function parse(out: string): Map<string, string> {
  return new Map([...out.matchAll(/^(-?\d+ \w+) (.+)$/gm)].map((m) => [m[1] as string, m[2] as string]));
}

/** The number of a line as the kernel takes it: an int, the lower half of a register. */
function numberOf(key: string): number {
  return Number(BigInt.asIntN(32, BigInt(key.split(' ')[0] as string)));
}

beforeAll(async () => {
  const program = buildTool(join(repository, 'test/syscalls/numbers/numbers.c'));
  const folder = mkdtempSync(join(tmpdir(), 'numbers-'));
  try {
    const argv = [program, String(last), ...untried.map(String)];
    const file = join(folder, 'log');
    const outside = await runOnHost(['unshare', '--pid', '--fork', '--mount-proc', ...argv], { timeout: 400_000 });
    const inside = await runOnHost([ringfence, '--debug-log', file, 'do', '--', ...argv], { timeout: 400_000 });
    expect([outside.stderr, outside.status, inside.stderr, inside.status]).toEqual(['', 0, '', 0]);
    host = parse(outside.stdout);
    sandbox = parse(inside.stdout);
    log = readFileSync(file, 'utf8').split('\n');
  } finally {
    rmSync(folder, { recursive: true });
  }
}, 900_000);

test('all numbers were tried on both sides', () => {
  expect(host.size).toBeGreaterThan(4 * (last - untried.length));
  expect([...sandbox.keys()]).toEqual([...host.keys()]);
});

test('a call that is there answers as on the host', () => {
  const different: string[] = [];
  for (const [key, answer] of sandbox) {
    const row = table[numberOf(key)];
    if (row === undefined || row.support === 'none' || otherwise.has(key)) continue;
    // A host may be made without it.
    const wanted = host.get(key);
    if (wanted !== 'ENOSYS' && answer !== wanted) different.push(`${row.name} ${key}: ${answer}, on the host ${wanted}`);
  }
  expect(different).toEqual([]);
});

test('a call that is not there answers ENOSYS, or EPERM to those who may not make it', () => {
  const different: string[] = [];
  for (const [key, answer] of sandbox) {
    const row = table[numberOf(key)];
    if (row !== undefined && row.support !== 'none') continue;
    if (unfiltered.includes(numberOf(key)) && answer === host.get(key)) continue;
    if (answer !== 'ENOSYS' && (row === undefined || answer !== 'EPERM')) different.push(`${row?.name} ${key}: ${answer}`);
  }
  expect(different).toEqual([]);
});

test('the log names each of them once, and a bounded count of numbers that Linux does not have', () => {
  const told = log.flatMap((line) => (line.includes('unsupported system call') ? [String(JSON.parse(line).call)] : []));
  expect(told.length).toBe(new Set(told).size);
  const missing = [...names].filter(([number]) => table[number] === undefined).map(([, name]) => name);
  expect(told.filter((name) => /^[a-z_]/.test(name)).sort()).toEqual(missing.sort());
  const wild = told.filter((name) => !/^[a-z_]/.test(name));
  expect(wild.length).toBeGreaterThan(0);
  expect(wild.length).toBeLessThanOrEqual(32);
});
