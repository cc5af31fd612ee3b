// Where programs are run: on the host, and in a sandbox on each platform.

import { LOG_PATH } from './execute.ts';
import { SYSCALLS } from './syscalls.gen.ts';

export interface World {
  name: string;
  sandbox: boolean;
  /** What is executed for a command there. */
  command(argv: readonly string[]): string[];
  /** The same for a person to type. */
  typed(argv: readonly string[]): string;
}

export const HOST: World = {
  name: 'host',
  sandbox: false,
  command: (argv) => [...argv],
  typed: (argv) => argv.map(quoted).join(' '),
};

/** A word for a shell. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** Sandboxes as `ringfence do` makes them. `ringfence`: the program; `options`: those before the command. */
export function platformWorld(ringfence: string, platform: string, options: readonly string[]): World {
  const own = [...options, '--platform', platform];
  return {
    name: platform,
    sandbox: true,
    command: (argv) => [ringfence, ...own, '--debug-log', LOG_PATH, 'do', '--', ...argv],
    typed: (argv) => ['ringfence', ...own, 'do', '--', ...argv].map(quoted).join(' '),
  };
}

/** The highest number that is known here, and one that Linux will not reach soon. */
const LAST = Math.max(...SYSCALLS.map(([number]) => number));
const BEYOND = 1024;

/** A call by its name, or by a number that a newer Linux may have given away: tests call others to see an error. */
function mayBeCall(name: string): boolean {
  return !/^-?\d+$/.test(name) || (Number(name) > LAST && Number(name) < BEYOND);
}

/** What the log of a sandbox says that the Sentry does not have. */
export function unsupportedIn(log: string): string[] {
  const found: string[] = [];
  for (const line of log.split('\n')) {
    if (!line.includes('"unsupported ')) continue;
    try {
      const entry = JSON.parse(line) as { msg?: string; call?: string; option?: string };
      if (entry.msg === 'unsupported system call' && mayBeCall(String(entry.call))) found.push(String(entry.call));
      if (entry.msg === 'unsupported option') found.push(`${entry.call}(${entry.option})`);
    } catch {
      // The last line of a log that was cut.
    }
  }
  return found;
}
