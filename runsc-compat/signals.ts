// Signal names and numbers as commands take them.

import { constants } from 'node:os';
import { CliError } from './errors.ts';

const SIGRTMIN = 34;
const SIGRTMAX = 64;

/** A signal's number from '9', 'KILL', 'SIGKILL', 'SIGRTMIN+3'; 0 is allowed (signal(7)). */
export function parseSignal(text: string): number {
  if (/^\d+$/.test(text)) {
    const n = Number(text);
    if (n <= SIGRTMAX) return n;
    throw new CliError(`unknown signal "${text}"`);
  }
  const name = text.toUpperCase().replace(/^(SIG)?/, 'SIG');
  const known = (constants.signals as Record<string, number>)[name];
  if (known !== undefined) return known;
  const rt = /^SIGRT(MIN|MAX)([+-]\d+)?$/.exec(name);
  if (rt !== null) {
    const n = (rt[1] === 'MIN' ? SIGRTMIN : SIGRTMAX) + Number(rt[2] ?? '0');
    if (n >= SIGRTMIN && n <= SIGRTMAX) return n;
  }
  throw new CliError(`unknown signal "${text}"`);
}

/** Signals that a foreground command hands on to what it stands for. */
export const FORWARDED: NodeJS.Signals[] = [
  'SIGINT',
  'SIGTERM',
  'SIGHUP',
  'SIGQUIT',
  'SIGUSR1',
  'SIGUSR2',
  'SIGALRM',
  'SIGPIPE',
  'SIGVTALRM',
  'SIGXCPU',
  'SIGXFSZ',
  'SIGIO',
  'SIGPWR',
  'SIGSYS',
  'SIGURG',
];
