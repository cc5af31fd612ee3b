// Compiles the C guest programs of test/syscalls into dist/test, when a source is newer than its program.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';

export const repository = resolve(import.meta.dirname, '../..');
const sources = join(repository, 'test/syscalls');
const outputs = join(repository, 'dist/test');

// The cases pass wrong buffers and lengths on purpose.
const warnings = [
  '-Wall',
  '-Wextra',
  '-Werror',
  ...['stringop-overflow', 'stringop-overread', 'nonnull', 'array-bounds', 'restrict'].map((name) => `-Wno-${name}`),
  ...['format-truncation', 'stringop-truncation', 'use-after-free'].map((name) => `-Wno-${name}`),
];

/** How a program is linked: most are static; one also runs on musl and one with the dynamic loader. */
interface Variant {
  suffix: string;
  compiler: string;
  link: string[];
}

const plain: Variant = { suffix: '', compiler: 'gcc', link: ['-static'] };
const musl: Variant = { suffix: '-musl', compiler: 'musl-gcc', link: ['-static'] };
const dynamic: Variant = { suffix: '-dynamic', compiler: 'gcc', link: [] };
const variants: Record<string, Variant[]> = { threads: [plain, musl, dynamic] };

/** A compiled guest program. */
export interface GuestProgram {
  name: string;
  path: string;
}

/** Compiles what is out of date and returns all guest programs, by name. */
export function buildGuests(): GuestProgram[] {
  mkdirSync(outputs, { recursive: true });
  const harness = statSync(join(sources, 'test.h')).mtimeMs;
  const programs: GuestProgram[] = [];
  for (const file of readdirSync(sources).sort()) {
    if (!file.endsWith('.c')) continue;
    const base = file.slice(0, -2);
    for (const variant of variants[base] ?? [plain]) {
      const program = { name: base + variant.suffix, path: join(outputs, base + variant.suffix) };
      const newest = Math.max(harness, statSync(join(sources, file)).mtimeMs);
      if (!existsSync(program.path) || statSync(program.path).mtimeMs < newest) compile(join(sources, file), program.path, variant);
      programs.push(program);
    }
  }
  return programs;
}

function compile(source: string, output: string, variant: Variant): void {
  const args = ['-O1', '-g', '-pthread', ...warnings, '-o', output, source, ...variant.link];
  const r = spawnSync(variant.compiler, args, { encoding: 'utf8' });
  if (r.status !== 0) throw new Error(`${variant.compiler} ${source}: ${r.error?.message ?? r.stderr}`);
}

/** A case of a guest program, and the system calls that it is about. */
export interface GuestCase {
  name: string;
  calls: string[];
}

/** A guest program's cases. */
export function listCases(program: GuestProgram): GuestCase[] {
  const r = spawnSync(program.path, ['--calls'], { encoding: 'utf8' });
  if (r.status !== 0) throw new Error(`${program.path} --calls: ${r.stderr}`);
  const lines = r.stdout.split('\n').filter((line) => line !== '');
  return lines.map((line) => {
    const [name = '', calls = ''] = line.split('\t');
    return { name, calls: calls.split(' ').filter((call) => call !== '') };
  });
}

/** The names of a guest program's cases. */
export function casesOf(program: GuestProgram): string[] {
  return listCases(program).map((c) => c.name);
}

/** Compiles one C file of the tests into a static program, if that is out of date; its path. */
export function buildTool(source: string): string {
  const output = join(outputs, basename(source, '.c'));
  if (existsSync(output) && statSync(output).mtimeMs >= statSync(source).mtimeMs) return output;
  mkdirSync(outputs, { recursive: true });
  const partial = `${output}.${process.pid}`; // another test file may be compiling it too
  const r = spawnSync('gcc', ['-O1', '-g', '-Wall', '-Wextra', '-Werror', '-static', '-o', partial, source], { encoding: 'utf8' });
  if (r.status !== 0) throw new Error(`gcc ${source}: ${r.error?.message ?? r.stderr}`);
  renameSync(partial, output);
  return output;
}
