// Programs under test: where they are, and how they tell of their cases.

import { randomBytes } from 'node:crypto';
import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { CliError, codeOf } from '../errors.ts';
import { execute } from './execute.ts';
import * as gtest from './gtest.ts';
import type { Kind, Program } from './model.ts';
import { matchesAny } from './patterns.ts';
import { EXIT_USAGE } from './status.ts';
import * as tap from './tap.ts';

/** Bytes of a program that are searched for what tells its kind. */
const SEARCHED = 256 * 1024 * 1024;

/** A word of the command line as a program: a path, or a name that is looked for as a shell does. */
function find(word: string, path: string): string {
  const places = word.includes('/') ? [resolve(word)] : path.split(':').map((dir) => resolve(dir === '' ? '.' : dir, word));
  let why = word.includes('/') ? 'no such file' : `not found in $PATH (a program of the current folder is ./${word})`;
  for (const p of places) {
    try {
      accessSync(p, constants.X_OK);
      if (statSync(p).isFile()) return p;
      if (word.includes('/')) why = 'is no file';
    } catch (e) {
      const code = codeOf(e);
      if (word.includes('/') && code !== 'ENOENT') why = code === 'EACCES' ? 'is not executable' : code;
    }
  }
  throw new CliError(`compat run: ${word === '' ? "''" : word}: ${why}`, EXIT_USAGE);
}

/** What a program's file tells of its kind, if it can be asked for its cases; null: only its output will tell. */
function kindOf(path: string): 'gtest' | 'tap' | null {
  let bytes: Buffer;
  try {
    if (statSync(path).size > SEARCHED) return null;
    bytes = readFileSync(path);
  } catch {
    return null; // it may be executed and not read
  }
  if (gtest.SIGNS.some((sign) => bytes.includes(sign))) return 'gtest';
  return tap.SIGNS.every((sign) => bytes.includes(sign)) ? 'tap' : null;
}

export interface ProgramOptions {
  args: string[];
  /** auto: as the file and the output tell. */
  kind: Kind | 'auto';
  /** Patterns of names; none: all cases. */
  patterns: string[];
  /** Milliseconds. */
  limit: number;
}

/** Finds a program and asks it for its cases, on the host. */
export async function openProgram(word: string, o: ProgramOptions, env: Readonly<Record<string, string>>): Promise<Program> {
  const path = find(word, env['PATH'] ?? '');
  const found = kindOf(path);
  const kind = o.kind === 'auto' ? (found ?? 'plain') : o.kind;
  const program: Program = { name: word, path, args: o.args, kind, cases: null, whole: true };
  if (kind === 'gtest' || (kind === 'tap' && found === 'tap')) program.cases = await listCases(program, o.limit, env);
  if (kind === 'gtest' && program.cases === null) {
    if (o.kind === 'gtest') throw new CliError(`compat run: ${word} does not list its cases for --gtest_list_tests`, EXIT_USAGE);
    program.kind = 'plain';
  }
  if (o.patterns.length > 0) choose(program, o.patterns);
  return program;
}

function choose(p: Program, patterns: string[]): void {
  if (p.cases === null) throw new CliError(`compat run: --case: ${p.name} cannot be asked for single cases`, EXIT_USAGE);
  p.cases = p.cases.filter((name) => matchesAny(patterns, name));
  p.whole = false;
}

async function listCases(p: Program, limit: number, env: Readonly<Record<string, string>>): Promise<string[] | null> {
  const argv = [p.path, ...(p.kind === 'gtest' ? gtest.listArguments(p.args) : tap.listArguments(p.args))];
  let text = '';
  const mark = randomBytes(8).toString('hex');
  const outcome = await execute({ argv, limit, mark, sandbox: false, onOutput: (t) => (text += t) }, env);
  if (outcome.status !== 0) return null;
  return p.kind === 'tap' ? tap.parseList(text) : gtest.parseList(text, p.args.includes('--gtest_also_run_disabled_tests'));
}
