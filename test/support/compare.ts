// Runs the same shell command on the host and in a sandbox, and demands the same output and exit status.

import { mkdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { plainEnvironment, type RunOptions, type RunResult, runInSandbox, runOnHost } from './run.ts';

export interface CompareOptions extends Omit<RunOptions, 'cwd'> {
  /** Fills the working directory; called before each of the two runs. */
  setup?: (directory: string) => void;
  /** What must be equal: the output after this change. The default is the output as it is. */
  normal?: (output: string) => string;
  /** The exit status that both must have: 0 unless told. */
  status?: number;
  /** The shell: `/bin/sh` unless told. */
  shell?: string;
}

let serial = 0;

/**
 * Runs a shell command twice, each time in a fresh directory of the same name, and compares standard output and exit
 * status. Returns both results for further checks. Milliseconds in `timeout` bind each run.
 */
export async function hostAndSandbox(command: string, options: CompareOptions = {}): Promise<{ host: RunResult; sandbox: RunResult }> {
  const directory = join(tmpdir(), `rf-program-${process.pid}-${serial++}`);
  const normal = options.normal ?? ((output) => output);
  const runs: RunResult[] = [];
  try {
    for (const run of [runOnHost, runInSandbox]) {
      rmSync(directory, { recursive: true, force: true });
      mkdirSync(directory, { recursive: true, mode: 0o755 });
      options.setup?.(directory);
      const env = { ...plainEnvironment, HOME: directory, ...options.env };
      runs.push(await run([options.shell ?? '/bin/sh', '-c', command], { timeout: 120_000, ...options, env, cwd: directory }));
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  const [host, sandbox] = runs as [RunResult, RunResult];
  const tail = (r: RunResult): string => `status ${r.status}, standard error: ${r.stderr.slice(-2000)}`;
  expect(host.status, `on the host: ${tail(host)}\n${host.stdout.slice(-2000)}`).toBe(options.status ?? 0);
  const [wanted, got] = [normal(host.stdout), normal(sandbox.stdout)];
  if (got !== wanted || sandbox.status !== host.status) {
    let same = 0;
    while (same < got.length && got[same] === wanted[same]) same++;
    const from = Math.max(0, wanted.lastIndexOf('\n', same - 1) + 1);
    throw new Error(
      `the sandbox differs from line ${wanted.slice(0, same).split('\n').length} on; ${tail(sandbox)}\n` +
        `host:    ${JSON.stringify(wanted.slice(from, from + 300))}\nsandbox: ${JSON.stringify(got.slice(from, from + 300))}`,
    );
  }
  return { host, sandbox };
}
