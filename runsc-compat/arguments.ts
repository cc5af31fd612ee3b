// Arguments as Go's flag packages read them, which every client of runc and runsc relies on: one dash or two before a long name, values
// after a space or an equals sign, switches with =true and =false. What comes out is what commander reads.

import type { Command, Option } from 'commander';
import { CliError } from './errors.ts';
import { checkForeign, foreignKind } from './foreign.ts';

const TRUE = new Set(['1', 't', 'T', 'true', 'TRUE', 'True']);
const FALSE = new Set(['0', 'f', 'F', 'false', 'FALSE', 'False']);

function switchValue(flag: string, value: string | undefined): boolean {
  if (value === undefined || TRUE.has(value)) return true;
  if (FALSE.has(value)) return false;
  throw new CliError(`invalid boolean value "${value}" for ${flag}`);
}

interface Flag {
  name: string;
  /** What follows an equals sign. */
  value: string | undefined;
}

/** A word as a flag with a long name or an equals sign; null for all other words. */
function flagOf(word: string): Flag | null {
  const m = /^--?([A-Za-z0-9][\w-]*)(?:=(.*))?$/s.exec(word);
  if (m === null) return null;
  return { name: m[1] as string, value: m[2] };
}

function optionOf(c: Command, word: string, name: string): Option | undefined {
  const short = name.length === 1 && !word.startsWith('--');
  return c.options.find((o) => (short ? o.short === `-${name}` : o.long === `--${name}`));
}

/** --rootless is a switch of runsc and takes a word with runc. */
function rootlessWord(next: string | undefined): boolean {
  return next === 'true' || next === 'false' || next === 'auto';
}

/** The words of one level, up to the first that is no flag (`all`: to the end, wherever flags stand). Returns the number of words read. */
function normalise(c: Command, words: readonly string[], all: boolean, foreign: boolean, out: string[]): number {
  let i = 0;
  for (; i < words.length; i++) {
    const word = words[i] as string;
    if (word === '--') break;
    if (!word.startsWith('-') || word === '-') {
      if (!all) break;
      out.push(word);
      continue;
    }
    const flag = flagOf(word);
    const option = flag === null ? undefined : optionOf(c, word, flag.name);
    if (flag === null) {
      out.push(word);
    } else if (option !== undefined) {
      const long = option.long ?? (option.short as string);
      if (option.required) {
        if (flag.value !== undefined) out.push(long, flag.value);
        else if (option.long === '--rootless' && !rootlessWord(words[i + 1])) out.push(long, 'true');
        else {
          out.push(long);
          if (i + 1 < words.length) out.push(words[++i] as string);
        }
      } else if (switchValue(long, flag.value)) out.push(long);
    } else if (foreign && foreignKind(flag.name) !== null) {
      const takesValue = foreignKind(flag.name) === 'value';
      if (takesValue && flag.value === undefined && i + 1 >= words.length) throw new CliError(`option '--${flag.name}' argument missing`);
      const value = takesValue ? (flag.value ?? (words[++i] as string)) : String(switchValue(word, flag.value));
      checkForeign(flag.name, value);
    } else out.push(word);
  }
  return i;
}

/** Commands whose arguments may look like flags: theirs end at the first word that is none. */
const PASSING = new Set(['do', 'exec', 'ps', 'compat run', 'compat trace']);

/** Where --log and --log-format point, found before anything is checked: also a wrong flag is told there. */
export function logOptions(program: Command, words: readonly string[]): { log?: string; logFormat?: string } {
  const found: { log?: string; logFormat?: string } = {};
  const names = new Set(program.commands.map((c) => c.name()));
  const end = words.findIndex((w) => names.has(w));
  for (let i = 0; i < (end < 0 ? words.length : end); i++) {
    const flag = flagOf(words[i] as string);
    if (flag?.name !== 'log' && flag?.name !== 'log-format') continue;
    const value = flag.value ?? words[++i] ?? '';
    if (flag.name === 'log') found.log = value;
    else found.logFormat = value;
  }
  return found;
}

/** The words after the program's name, in commander's form. Throws one line for a foreign flag that cannot be honoured. */
export function goArguments(program: Command, words: readonly string[]): string[] {
  const out: string[] = [];
  const n = normalise(program, words, false, true, out);
  const name = words[n];
  if (name === undefined) return out;
  out.push(name);
  const command = program.commands.find((c) => c.name() === name);
  return [...out, ...commandArguments(command, name, words.slice(n + 1))];
}

/** The words behind a command's name; a command with others below it ends its own at the name of one. */
function commandArguments(command: Command | undefined, name: string, words: readonly string[]): string[] {
  if (command === undefined) return [...words];
  const out: string[] = [];
  const group = command.commands.length > 0;
  const n = normalise(command, words, !group && !PASSING.has(name), false, out);
  const below = group ? command.commands.find((c) => c.name() === words[n]) : undefined;
  if (below === undefined) return [...out, ...words.slice(n)];
  return [...out, below.name(), ...commandArguments(below, `${name} ${below.name()}`, words.slice(n + 1))];
}
