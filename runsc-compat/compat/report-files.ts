// The report of a run for machines: TAP 13, JUnit's XML, JSON.

import { decoded } from './capture.ts';
import { fails } from './compare.ts';
import type { CaseComparison, Comparison } from './model.ts';

function title(c: Comparison, k: CaseComparison): string {
  return c.host.kind === 'plain' ? `${c.world} ${c.program.name}` : `${c.world} ${c.program.name} ${k.name}`;
}

/** Does the case count: one that does not pass on the host says nothing about the sandbox. */
function counts(k: CaseComparison): boolean {
  return k.host.verdict === 'pass';
}

function bad(k: CaseComparison, strict: boolean): boolean {
  return k.change === 'fails' || (strict && (k.change !== 'same' || k.output));
}

/** Why a case counts as failed, in one line and in full. */
function why(k: CaseComparison): { short: string; long: string } {
  const short = k.change === 'same' && k.output ? 'prints something else' : `${k.host.verdict} on the host, ${k.inside.verdict} inside`;
  return { short, long: k.inside.detail };
}

/** TAP: a test point for each case on each platform; those that do not pass on the host are skipped. */
export function tapReport(all: readonly Comparison[], strict: boolean): string {
  const lines = ['TAP version 13', `1..${all.reduce((n, c) => n + c.cases.length, 0)}`];
  let number = 0;
  for (const c of all) {
    for (const k of c.cases) {
      const name = title(c, k)
        .replace(/[\\#]/g, '\\$&')
        .replace(/[\0-\x1f]/g, ' ');
      number++;
      if (bad(k, strict)) {
        const { short, long } = why(k);
        lines.push(`not ok ${number} - ${name}`, '  ---', `  message: ${JSON.stringify(short)}`);
        if (long !== '') lines.push(`  reason: ${JSON.stringify(long)}`);
        if (c.inside.unsupported.length > 0) lines.push(`  unsupported: ${JSON.stringify(c.inside.unsupported)}`);
        lines.push('  ...');
      } else if (counts(k)) lines.push(`ok ${number} - ${name}${k.change === 'skips' ? ' # SKIP it skips inside' : ''}`);
      else lines.push(`ok ${number} - ${name} # SKIP ${k.host.verdict} on the host`);
    }
  }
  return `${lines.join('\n')}\n`;
}

/** Text in XML 1.0, which has no way to write most control characters. */
function xml(text: string): string {
  return text
    .replace(/[^\t\n\r\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '?')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll('\n', '&#10;');
}

function seconds(milliseconds: number): string {
  return (milliseconds / 1000).toFixed(3);
}

function junitCase(c: Comparison, k: CaseComparison, strict: boolean): string {
  const { short, long } = why(k);
  let inner = '';
  if (bad(k, strict)) {
    const broken = k.inside.verdict === 'crash' || k.inside.verdict === 'hang';
    const tag = broken ? 'error' : 'failure';
    inner = `<${tag} message="${xml(short)}" type="${broken ? k.inside.verdict : k.change}">${xml(long)}</${tag}>`;
  } else if (!counts(k)) inner = `<skipped message="${xml(`${k.host.verdict} on the host`)}"/>`;
  else if (k.change === 'skips') inner = `<skipped message="${xml(k.inside.detail === '' ? 'it skips inside' : k.inside.detail)}"/>`;
  const head = `    <testcase classname="${xml(`${c.world}.${c.program.name}`)}" name="${xml(k.name)}" time="${seconds(k.inside.milliseconds)}"`;
  return inner === '' ? `${head}/>` : `${head}>${inner}</testcase>`;
}

/** JUnit's XML: a suite for each program on each platform. */
export function junitReport(all: readonly Comparison[], strict: boolean): string {
  const lines = ['<?xml version="1.0" encoding="UTF-8"?>'];
  const numbers = { tests: 0, failures: 0, errors: 0, skipped: 0 };
  const suites: string[] = [];
  for (const c of all) {
    const cases = c.cases.map((k) => junitCase(c, k, strict));
    const having = (tag: string): number => cases.filter((text) => text.includes(`<${tag} `)).length;
    const own = { tests: cases.length, failures: having('failure'), errors: having('error'), skipped: having('skipped') };
    for (const key of Object.keys(numbers) as (keyof typeof numbers)[]) numbers[key] += own[key];
    const attributes = Object.entries(own).map(([key, n]) => `${key}="${n}"`);
    suites.push(
      `  <testsuite name="${xml(`${c.world}.${c.program.name}`)}" ${attributes.join(' ')} time="${seconds(c.inside.milliseconds)}">`,
      `    <properties><property name="platform" value="${xml(c.world)}"/><property name="unsupported" value="${xml(c.inside.unsupported.join(' '))}"/></properties>`,
      ...cases,
      '  </testsuite>',
    );
  }
  const attributes = Object.entries(numbers).map(([key, n]) => `${key}="${n}"`);
  const time = seconds(all.reduce((n, c) => n + c.inside.milliseconds, 0));
  lines.push(`<testsuites name="ringfence compat" ${attributes.join(' ')} time="${time}">`, ...suites, '</testsuites>');
  return `${lines.join('\n')}\n`;
}

/** All that is known, as one object. Texts are UTF-8; of long output there is only the beginning. */
export function jsonReport(all: readonly Comparison[], strict: boolean): string {
  const programs = all.map((c) => ({
    program: c.program.path,
    args: c.program.args,
    kind: c.host.kind,
    platform: c.world,
    fails: fails(c, strict),
    unsupported: c.inside.unsupported,
    host: runOf(c.host),
    inside: runOf(c.inside),
    cases: c.cases.map((k) => ({
      name: k.name,
      change: k.change,
      output: k.output ? 'differs' : 'same',
      host: { verdict: k.host.verdict, detail: k.host.detail, milliseconds: Math.round(k.host.milliseconds) },
      inside: { verdict: k.inside.verdict, detail: k.inside.detail, milliseconds: Math.round(k.inside.milliseconds) },
    })),
  }));
  return `${JSON.stringify({ fails: programs.some((p) => p.fails), programs }, null, 2)}\n`;
}

function runOf(r: Comparison['host']): Record<string, unknown> {
  const milliseconds = Math.round(r.milliseconds);
  return { status: r.status, starts: r.starts, milliseconds, stdout: decoded(r.stdout.text), stderr: decoded(r.stderr.text) };
}
