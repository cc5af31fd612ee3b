// Programs for the tests of `ringfence compat`, and the command itself.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { repository } from '../support/build.ts';
import { ringfence } from '../support/platform.ts';
import { type RunResult, runOnHost } from '../support/run.ts';

export const programs: string = join(import.meta.dirname, 'programs');
const outputs = join(repository, 'dist/test/compat');

/** Compiles a program of programs/ if that is out of date; its path. */
export function build(source: string, ...link: string[]): string {
  const from = join(programs, source);
  const to = join(outputs, source.replace(/\.\w+$/, ''));
  if (existsSync(to) && statSync(to).mtimeMs >= statSync(from).mtimeMs) return to;
  mkdirSync(outputs, { recursive: true });
  const partial = `${to}.${process.pid}`;
  const compiler = source.endsWith('.cc') ? 'g++' : 'gcc';
  const r = spawnSync(compiler, ['-O1', '-g', '-Wall', '-Werror', '-o', partial, from, ...link], { encoding: 'utf8' });
  if (r.status !== 0) throw new Error(`${compiler} ${source}: ${r.error?.message ?? r.stderr}`);
  renameSync(partial, to);
  return to;
}

/** Runs `ringfence compat`. */
export function compat(words: string[], timeout: number = 240_000): Promise<RunResult> {
  return runOnHost([ringfence, 'compat', ...words], { timeout });
}

interface Half {
  verdict: string;
  detail: string;
}

export interface JsonReport {
  fails: boolean;
  programs: {
    program: string;
    kind: string;
    platform: string;
    fails: boolean;
    unsupported: string[];
    host: { status: number | null; starts: number; stdout: string };
    inside: { status: number | null; starts: number; stdout: string };
    cases: { name: string; change: string; output: string; host: Half; inside: Half }[];
  }[];
}

/** Runs `ringfence compat run` for its report; the status is part of it. */
export async function report(words: string[]): Promise<JsonReport & { status: number | 'timeout'; stderr: string }> {
  const r = await compat(['run', '--format', 'json', ...words]);
  if (r.stdout === '') throw new Error(`compat run ${words.join(' ')}: status ${r.status}, ${r.stderr}`);
  return { ...(JSON.parse(r.stdout) as JsonReport), status: r.status, stderr: r.stderr };
}

/** Cases as NAME: HOST > INSIDE. */
export function verdicts(r: JsonReport, program: number = 0): Record<string, string> {
  const cases = r.programs[program]?.cases ?? [];
  return Object.fromEntries(cases.map((c) => [c.name, `${c.host.verdict} > ${c.inside.verdict}`]));
}
