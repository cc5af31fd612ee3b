// Failures as the user sees them: one line and an exit status.

/** A failure that is told in one line. `exitCode` is the status of the command. */
export class CliError extends Error {
  readonly exitCode: number;

  constructor(message: string, exitCode: number = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** Statuses of a shell: the command was not found, or could not be executed. */
export const EXIT_NOT_FOUND = 127;
export const EXIT_NOT_EXECUTABLE = 126;
/** ringfence itself failed before the command ran (run, do). */
export const EXIT_OWN = 125;

/** The text of any thrown thing, on one line. */
export function messageOf(e: unknown): string {
  const text = e instanceof Error ? e.message : String(e);
  return text.replace(/\s*\n\s*/g, '; ').trim();
}

/** The code of a node:fs error ('ENOENT'), or ''. */
export function codeOf(e: unknown): string {
  return e instanceof Error && 'code' in e && typeof e.code === 'string' ? e.code : '';
}
