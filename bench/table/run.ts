// Runs one command and hands over its lines as they come; bounded in time for each line, ended with all its descendants if it is late.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { environment } from './engines.ts';
import { descendants } from './processes.ts';

export interface Outcome {
  /** The exit status; 128 + number for a signal; undefined if the command could not be started. */
  status: number | undefined;
  /** It said nothing for too long and was ended. */
  late: boolean;
  /** The end of what it wrote to standard error. */
  complaint: string;
}

function killTree(pid: number): void {
  for (const p of [...descendants(pid), pid]) {
    try {
      process.kill(p, 'SIGKILL');
    } catch (e) {
      // It ended by itself in the meantime.
      if ((e as NodeJS.ErrnoException).code !== 'ESRCH') throw e;
    }
  }
}

/**
 * Starts argv and calls `line` with each line of its output.
 * Waits for its end, or until `silence` milliseconds went by without a line, which ends it by force.
 */
export function run(argv: string[], silence: number, line: (text: string) => void): Promise<Outcome> {
  return new Promise((done) => {
    const child = spawn(argv[0]!, argv.slice(1), { cwd: '/', env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
    let complaint = '';
    let late = false;
    const onSilence = (): void => {
      late = true;
      if (child.pid !== undefined) killTree(child.pid);
    };
    let timer = setTimeout(onSilence, silence);
    createInterface({ input: child.stdout }).on('line', (text) => {
      clearTimeout(timer);
      if (!late) timer = setTimeout(onSilence, silence);
      line(text);
    });
    child.stderr.on('data', (d) => (complaint = (complaint + d).slice(-2000)));
    child.on('error', (e) => (complaint = e.message));
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      const status = code ?? (signal === null ? undefined : 128);
      done({ status: child.pid === undefined ? undefined : status, late, complaint: complaint.trim() });
    });
  });
}

/** The last line of a complaint, cut to what fits under a table. */
export function lastLine(text: string): string {
  const lines = text.split('\n').filter((l) => l.trim() !== '');
  return (lines.at(-1) ?? '').trim().slice(0, 160);
}
