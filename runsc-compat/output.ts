// What commands print. process.stdout and process.stderr load node's streams, which takes longer than most commands do.

import { writeSync } from 'node:fs';
import { CliError, codeOf } from './errors.ts';
import { host } from './host.ts';

const STDOUT = 1;
const STDERR = 2;
const POLLOUT = 4;

/** Writes all of `text`; waits where the reader of a pipe that does not block is slow. A reader that is gone is no failure of ours, and of a
 * failure of standard error nobody can be told. */
function write(fd: number, text: string): void {
  const bytes = Buffer.from(text, 'utf8');
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (e) {
      const code = codeOf(e);
      if (code === 'EAGAIN') host().pollOne(fd, POLLOUT, -1);
      else if (code === 'EPIPE' || fd === STDERR) return;
      else throw new CliError(`cannot write to standard output: ${code}`);
    }
  }
}

/** To standard output, as it is. */
export function print(text: string): void {
  write(STDOUT, text);
}

/** One line to standard error, with the program's name before it. */
export function complain(text: string): void {
  write(STDERR, `ringfence: ${text}\n`);
}
