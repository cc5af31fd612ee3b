// Exit statuses of `ringfence compat`, and statuses of programs in words.

import { constants } from 'node:os';

/** Something that passes on the host fails inside. */
export const EXIT_FAILS = 1;
/** Bad use, or a platform that cannot be used here. */
export const EXIT_USAGE = 2;

/** An exit status as a shell has it, in words; null: the time limit. */
export function statusText(status: number | null): string {
  if (status === null) return 'hung';
  if (status <= 128) return `exit status ${status}`;
  for (const [name, value] of Object.entries(constants.signals)) if (value === status - 128) return `exit status ${status} (${name})`;
  return `exit status ${status}`;
}
