// What is said of the machine that measured.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { arch, cpus, loadavg, release, totalmem } from 'node:os';

export interface Machine {
  cpu: string;
  cores: number;
  /** Bytes. */
  memory: number;
  kernel: string;
  architecture: string;
  virtual: boolean;
  node: string;
  runc: string;
  runsc: string;
  /** The commit of ringfence that was measured. */
  ringfence: string;
  /** Load average of the minute before. */
  load: number;
}

function firstLine(argv: string[]): string {
  const r = spawnSync(argv[0]!, argv.slice(1), { encoding: 'utf8', timeout: 10_000 });
  return r.status === 0 ? r.stdout.split('\n')[0]!.trim() : 'not there';
}

export function thisMachine(root: string): Machine {
  const cpuinfo = readFileSync('/proc/cpuinfo', 'latin1');
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memory: totalmem(),
    kernel: release(),
    architecture: arch(),
    virtual: /^flags\s*:.*\bhypervisor\b/m.test(cpuinfo),
    node: process.version,
    runc: firstLine(['runc', '--version']).replace(/^runc version /, ''),
    runsc: firstLine(['runsc', '--version']).replace(/^runsc version /, ''),
    ringfence: firstLine(['git', '-C', root, 'describe', '--always', '--dirty']),
    load: loadavg()[0]!,
  };
}
