// --log: what went wrong, as clients read it. One record a failure and nothing else: some clients parse the whole file as one JSON value.

import { appendFileSync } from 'node:fs';
import type { GlobalOptions } from './context.ts';
import { codeOf } from './errors.ts';
import { complain } from './output.ts';

/** Appends one record to the file that --log names. Its own failure is told on standard error and changes nothing. */
export async function logFailure(options: GlobalOptions, message: string): Promise<void> {
  if (options.log === undefined || options.log === '' || options.log === '/dev/stderr') return;
  try {
    if (options.logFormat === 'json') {
      const { pino } = await import('pino');
      const logger = pino(
        {
          base: null,
          messageKey: 'msg',
          timestamp: () => `,"time":"${new Date().toISOString()}"`,
          formatters: { level: (label) => ({ level: label }) },
        },
        pino.destination({ dest: options.log, append: true, sync: true, mkdir: false }),
      );
      logger.error(message);
      logger.flush();
    } else if (options.logFormat === 'json-k8s') {
      appendFileSync(options.log, `${JSON.stringify({ log: message, level: 'error', time: new Date().toISOString() })}\n`);
    } else {
      appendFileSync(options.log, `time="${new Date().toISOString()}" level=error msg=${JSON.stringify(message)}\n`);
    }
  } catch (e) {
    complain(`cannot write the log ${options.log}: ${codeOf(e) || String(e)}`);
  }
}
