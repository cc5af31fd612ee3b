// Options that guests asked for and the Sentry does not have: each is named once in the log, as calls are (Kernel.unsupportedCall).

import type { Task } from './task.ts';

/** An option of a call, by the name that Linux gives it: there are only so many of them. */
export function noteOption(t: Task, call: string, option: string): void {
  const k = t.kernel;
  const both = `${call}(${option})`;
  if (k.unsupported.has(both)) return;
  k.unsupported.add(both);
  k.log.warn('unsupported option', { call, option, program: t.name });
}
