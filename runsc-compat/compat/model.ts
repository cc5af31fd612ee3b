// What a compatibility run learns: verdicts of cases, runs of a program in a world, and how a sandbox compares with the host.

import type { Captured } from './capture.ts';

/**
 * How a case ended. crash: the program died in it; hang: it was ended at the time limit; missing: it did not run, because the program
 * ended before and nothing can choose it.
 */
export type Verdict = 'pass' | 'fail' | 'skip' | 'crash' | 'hang' | 'missing';

/** How a program tells of its cases; plain: it has one, its exit status. */
export type Kind = 'gtest' | 'tap' | 'plain';

export interface CaseResult {
  name: string;
  verdict: Verdict;
  /** Why, where it is neither passed nor without a reason. */
  detail: string;
  /** What the program printed meanwhile, on standard output. */
  output: Captured;
  milliseconds: number;
}

/** A program under test. */
export interface Program {
  /** As it was named. */
  name: string;
  /** Absolute. */
  path: string;
  args: string[];
  kind: Kind;
  /** Names of its cases in order, those that were chosen; null: only a run tells them. */
  cases: string[] | null;
  /** These are all that it runs by itself. */
  whole: boolean;
}

/** All of a program in one world: the host, or a sandbox on a platform. */
export interface ProgramRun {
  world: string;
  kind: Kind;
  cases: CaseResult[];
  /** Starts of the program: more than one after a hang or crash. */
  starts: number;
  /** Exit status of the last start, 128 + signal where one killed it; null at the time limit. */
  status: number | null;
  /** Of a program that ran in one go. */
  stdout: Captured;
  stderr: Captured;
  /** System calls and options that the Sentry does not have and the program asked for. */
  unsupported: string[];
  milliseconds: number;
}

/** What became of a case that has a verdict on the host. */
export type Change = 'same' | 'fails' | 'skips' | 'passes' | 'differs';

export interface CaseComparison {
  name: string;
  change: Change;
  host: CaseResult;
  inside: CaseResult;
  /** It printed something else. */
  output: boolean;
}

export interface Comparison {
  program: Program;
  world: string;
  host: ProgramRun;
  inside: ProgramRun;
  cases: CaseComparison[];
}
