// ringfence compat trace: what a command called, with our support for each.

import { writeFileSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import type { CallCounts } from '../../src/wire/counts.ts';
import { CliError, codeOf, EXIT_OWN } from '../errors.ts';
import { coloured, columns, counted, styled } from './columns.ts';
import { SYSCALLS } from './syscalls.gen.ts';
import { SUPPORT_STYLE, type Support } from './table.ts';

export interface TraceRequest {
  format: 'text' | 'json';
  /** A file; '': standard error. */
  output: string;
  /** How the command ended. */
  status: number;
  env: Readonly<Record<string, string>>;
}

interface TracedCall {
  number: number;
  name: string;
  support: Support;
  missing: string;
  calls: number;
  errors: Record<string, number>;
  microseconds: number;
  waitedMicroseconds: number;
}

const STDERR = 2;
const ORDER: readonly Support[] = ['none', 'partial', 'full'];
const BY_NUMBER = new Map(SYSCALLS.map((row) => [row[0], row]));

/** All that comes from a pipe. */
export function readPipe(fd: number): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const s = new Socket({ fd, readable: true, writable: false });
    s.setEncoding('utf8');
    s.on('data', (part) => (text += String(part)));
    s.on('error', () => s.destroy());
    s.on('close', () => resolve(text));
  });
}

/** Unsupported ones first, then by the time that they took. */
function traced(counts: CallCounts): TracedCall[] {
  return counts.calls
    .map((c): TracedCall => {
      const [, name, support, missing] = BY_NUMBER.get(c.nr) ?? [
        c.nr,
        c.nr < 0 ? 'others' : `number ${c.nr}`,
        'none',
        'ENOSYS: no such call',
      ];
      const { calls, errors } = c;
      const microseconds = Math.round(c.ns / 100) / 10;
      return { number: c.nr, name, support, missing, calls, errors, microseconds, waitedMicroseconds: Math.round(c.waited / 100) / 10 };
    })
    .sort((a, b) => ORDER.indexOf(a.support) - ORDER.indexOf(b.support) || b.microseconds - a.microseconds);
}

function errorsText(errors: Record<string, number>): string {
  return Object.entries(errors)
    .sort((a, b) => b[1] - a[1])
    .map(([name, n]) => `${n} ${name}`)
    .join(', ');
}

function text(calls: readonly TracedCall[], options: readonly string[], colour: boolean): string {
  const milliseconds = (us: number): string => (us / 1000).toFixed(3);
  const heads = [
    { title: 'CALL' },
    { title: 'SUPPORT', style: (cell: string) => SUPPORT_STYLE[cell as Support] },
    { title: 'CALLS', right: true },
    { title: 'TIME MS', right: true },
    { title: 'EACH US', right: true },
    { title: 'WAITED MS', right: true },
    { title: 'ERRORS' },
    { title: 'WHAT IS MISSING' },
  ];
  const rows = calls.map((c) => [
    c.name,
    c.support,
    String(c.calls),
    milliseconds(c.microseconds),
    (c.microseconds / c.calls).toFixed(1),
    c.waitedMicroseconds === 0 ? '-' : milliseconds(c.waitedMicroseconds),
    errorsText(c.errors),
    c.missing,
  ]);
  const total = (f: (c: TracedCall) => number): number => calls.reduce((n, c) => n + f(c), 0);
  const kinds = (s: Support): number => calls.filter((c) => c.support === s).length;
  const asked = options.length === 0 ? '' : `${styled('yellow', `unsupported options: ${options.join(' ')}`, colour)}\n`;
  const number = `${counted(
    total((c) => c.calls),
    'call',
  )} of ${counted(calls.length, 'kind')}`;
  const support = `${kinds('none')} not supported, ${kinds('partial')} in part`;
  return `${columns(heads, rows, colour)}\n${asked}${number}, ${milliseconds(total((c) => c.microseconds))} ms in the Sentry; ${support}\n`;
}

/** Prints what the Sentry counted; `said` is what it said at its end. */
export function printTrace(said: string, r: TraceRequest): void {
  if (said === '') throw new CliError('compat trace: the sandbox ended without saying what was called', EXIT_OWN);
  const counts = JSON.parse(said) as CallCounts;
  const calls = traced(counts);
  const options = counts.unsupported.filter((u) => u.includes('('));
  const colour = r.output === '' && coloured(STDERR, r.env);
  const out =
    r.format === 'json'
      ? `${JSON.stringify({ status: r.status, calls, unsupportedOptions: options }, null, 2)}\n`
      : text(calls, options, colour);
  try {
    if (r.output === '') writeSync(STDERR, out);
    else writeFileSync(r.output, out);
  } catch (e) {
    throw new CliError(`compat trace: cannot write to ${r.output === '' ? 'standard error' : r.output}: ${codeOf(e)}`, EXIT_OWN);
  }
}
