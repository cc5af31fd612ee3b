// The form in which a program is told what to run, by its kind.

import * as gtest from './gtest.ts';
import type { Program } from './model.ts';
import * as tap from './tap.ts';

/** Arguments by which a program runs one case, or all of it where it cannot be told. */
export function caseArguments(p: Program, name: string): string[] {
  if (p.cases === null || !p.cases.includes(name)) return p.args;
  return p.kind === 'gtest' ? gtest.chooseArguments(p.args, [name]).args : tap.chooseArguments(p.args, [name]).args;
}
