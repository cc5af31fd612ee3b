// Programs built on GoogleTest: the list of their cases, how some of them are chosen, and their output.

import { Reader } from './reader.ts';

/** What a program has in its file that knows GoogleTest's options, or loads the library that does. */
export const SIGNS = ['gtest_list_tests', 'libgtest'];

/** Always given: verdicts in plain text. */
const PLAIN = ['--gtest_color=no'];
/** Bytes of a filter; the kernel takes 128 KiB in one argument. */
const FILTER = 64 * 1024;

export function listArguments(args: readonly string[]): string[] {
  return [...args, '--gtest_list_tests'];
}

/** The names that --gtest_list_tests printed, without those that do not run by themselves. Null: that is no such list. */
export function parseList(text: string, disabledToo: boolean): string[] | null {
  const names: string[] = [];
  let suite = '';
  for (const line of text.split('\n')) {
    const bare = line.replace(/\s+# .*$/, '').replace(/\s+$/, '');
    if (bare === '' || line.startsWith('Running main() from ')) continue;
    if (/^\s/.test(line)) {
      if (suite === '') return null;
      const name = suite + bare.trim();
      if (disabledToo || !/(^|[./])DISABLED_/.test(name)) names.push(name);
    } else if (/^\S+\.$/.test(bare)) suite = bare;
    else return null;
  }
  return suite === '' ? null : names;
}

/** Arguments that choose cases, and how many of them fitted in; null: all that the program runs by itself. */
export function chooseArguments(args: readonly string[], cases: readonly string[] | null): { args: string[]; count: number } {
  if (cases === null) return { args: [...args, ...PLAIN], count: Infinity };
  let filter = '';
  let count = 0;
  for (const c of cases) {
    if (count > 0 && filter.length + c.length > FILTER) break;
    filter += count === 0 ? c : `:${c}`;
    count++;
  }
  return { args: [...args, ...PLAIN, `--gtest_filter=${filter}`], count };
}

/** Reads what such a program prints. A verdict may stand behind what the case printed without a line break. */
export class GtestReader extends Reader {
  /** The program came to its regular end. */
  complete = false;

  protected line(line: string): void {
    if (/^\[==========\] .* ran\./.test(line)) this.complete = true;
    const run = /\[ RUN {6}\] (\S+)\s*$/.exec(line);
    if (run !== null) {
      this.begin(run[1] as string);
      return;
    }
    const name = this.current;
    const end = name === null ? null : /\[( {7}OK | {2}FAILED {2}| {2}SKIPPED )\] ([^\s,]+)/.exec(line);
    if (name === null || end === null || end[2] !== name) {
      if (name !== null) this.note(line);
      return;
    }
    if (end.index > 0) this.note(line.slice(0, end.index));
    const word = (end[1] as string).trim();
    if (word === 'OK') this.finish(name, 'pass', '');
    else this.finish(name, word === 'FAILED' ? 'fail' : 'skip', reason(this.noted()));
  }
}

/** What of a case's output tells why: from its first failure or skip on. */
function reason(text: string): string {
  const at = text.search(/^\S.*(: Failure|: Skipped)$|^unknown file/m);
  return at < 0 ? text : text.slice(at);
}
