// The Sentry's log: one JSON object a line, written to a donated descriptor at once.

import type { HostIO } from '../../platform/hostio.ts';
import type { KernelLog } from '../kernel/kernel.ts';

const STANDARD_ERROR = 2;

/** A log on `fd`; -1: only errors, on standard error. `debug` lets the informative lines through. */
export function openLog(host: HostIO, fd: number, debug: boolean): KernelLog {
  const write = (level: string, msg: string, fields: Record<string, unknown> | undefined): void => {
    const line = Buffer.from(`${JSON.stringify({ level, msg, time: new Date().toISOString(), ...fields })}\n`, 'utf8');
    host.write(fd < 0 ? STANDARD_ERROR : fd, line, 0, line.length);
  };
  const silent = (): void => {};
  if (fd < 0) return { info: silent, warn: silent, error: (m, f) => write('error', m, f) };
  return {
    info: debug ? (m, f) => write('info', m, f) : silent,
    warn: (m, f) => write('warning', m, f),
    error: (m, f) => write('error', m, f),
  };
}
