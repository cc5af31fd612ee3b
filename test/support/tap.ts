// What the guest programs of test/syscalls print: TAP, with the reason of a failure in the comment behind it.

/** What the cases said, by name: 'ok', or 'not ok' and why. */
export type Verdicts = Map<string, string>;

/** Reads verdicts out of a program's output, which may be cut off. */
export function parseTap(output: string, verdicts: Verdicts = new Map()): Verdicts {
  let failed: string | null = null;
  for (const line of output.split('\n')) {
    const m = /^(ok|not ok) \d+ - (\S+)$/.exec(line);
    if (m?.[2] !== undefined) {
      verdicts.set(m[2], m[1] as string);
      failed = m[1] === 'ok' ? null : m[2];
    } else if (failed !== null && line.startsWith('# ')) verdicts.set(failed, `not ok: ${line.slice(2)}`);
  }
  return verdicts;
}
