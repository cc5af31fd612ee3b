// What guests asked for and the Sentry does not have: each is named once in the log.

import type { Task } from './task.ts';

/** Names that are told: a guest may call any number. */
const MOST = 1000;

/** A system call without a handler. */
export function noteCall(t: Task, name: string): void {
  const k = t.kernel;
  if (k.unsupported.has(name) || k.unsupported.size >= MOST) return;
  k.unsupported.add(name);
  k.log.warn('unsupported system call', { call: name, program: t.name });
}

/** An option of a call, by the name that Linux gives it: there are only so many of them. */
export function noteOption(t: Task, call: string, option: string): void {
  const k = t.kernel;
  const both = `${call}(${option})`;
  if (k.unsupported.has(both) || k.unsupported.size >= MOST) return;
  k.unsupported.add(both);
  k.log.warn('unsupported option', { call, option, program: t.name });
}
