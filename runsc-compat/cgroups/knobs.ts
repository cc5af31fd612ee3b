// Files and folders of a cgroup hierarchy (cgroups(7)): reads, writes and their errors as one line.

import { closeSync, constants, mkdirSync, openSync, readdirSync, readFileSync, rmdirSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { getSystemErrorMap } from 'node:util';
import { CliError, codeOf } from '../errors.ts';

/** A failure of one file or folder, with the code of its errno ('ENOENT'). */
export class KnobError extends CliError {
  readonly code: string;

  constructor(message: string, code: string) {
    super(message);
    this.code = code;
  }
}

/** The text of an error's number, as strerror(3) has it. */
function reason(e: unknown): string {
  const code = codeOf(e);
  for (const [name, text] of getSystemErrorMap().values()) if (name === code) return text;
  return code === '' ? String(e) : code;
}

/** Writes one value with one write(2). Throws KnobError. */
export function writeKnob(folder: string, name: string, value: string): void {
  const path = join(folder, name);
  let fd: number;
  try {
    fd = openSync(path, constants.O_WRONLY);
  } catch (e) {
    throw new KnobError(`open ${path}: ${reason(e)}`, codeOf(e));
  }
  try {
    writeSync(fd, value);
  } catch (e) {
    throw new KnobError(`failed to write "${value}": write ${path}: ${reason(e)}`, codeOf(e));
  } finally {
    closeSync(fd);
  }
}

/** The text of a file without the newline at its end. Throws KnobError. */
export function readKnob(folder: string, name: string): string {
  const path = join(folder, name);
  try {
    return readFileSync(path, 'latin1').trimEnd();
  } catch (e) {
    throw new KnobError(`open ${path}: ${reason(e)}`, codeOf(e));
  }
}

/** The text of a file, or null where it cannot be read. */
export function tryKnob(folder: string, name: string): string | null {
  try {
    return readFileSync(join(folder, name), 'latin1').trimEnd();
  } catch {
    return null;
  }
}

export function knobExists(folder: string, name: string): boolean {
  return tryKnob(folder, name) !== null;
}

/** Makes a folder and those above it. The paths of those that were made, topmost first. */
export function makeFolders(path: string): string[] {
  const made: string[] = [];
  const missing: string[] = [];
  let at = path;
  for (;;) {
    try {
      mkdirSync(at, 0o755);
      made.push(at);
      break;
    } catch (e) {
      const code = codeOf(e);
      if (code === 'EEXIST') break;
      const above = at.slice(0, at.lastIndexOf('/'));
      if (code !== 'ENOENT' || above === '') {
        removeFolders(made);
        throw new KnobError(`mkdir ${at}: ${reason(e)}`, code);
      }
      missing.unshift(at);
      at = above;
    }
  }
  for (const folder of missing) {
    try {
      mkdirSync(folder, 0o755);
      made.push(folder);
    } catch (e) {
      if (codeOf(e) === 'EEXIST') continue;
      removeFolders(made);
      throw new KnobError(`mkdir ${folder}: ${reason(e)}`, codeOf(e));
    }
  }
  return made;
}

/** Removes folders that were just made, last first; one that is in use by now stays. */
export function removeFolders(made: readonly string[]): void {
  for (const folder of [...made].reverse()) {
    try {
      rmdirSync(folder);
    } catch {
      // somebody else has put something in it
    }
  }
}

/** The groups below a group. */
function groupsIn(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((e) => e.isDirectory())
      .map((e) => join(folder, e.name));
  } catch {
    return [];
  }
}

/** Tries to remove a group with all groups below it. '' when it is gone, else the code of what stands against it. */
export function tryRemoveGroup(folder: string): string {
  try {
    rmdirSync(folder);
    return '';
  } catch (e) {
    if (codeOf(e) === 'ENOENT') return '';
  }
  for (const below of groupsIn(folder)) tryRemoveGroup(below);
  try {
    rmdirSync(folder);
    return '';
  } catch (e) {
    return codeOf(e) === 'ENOENT' ? '' : codeOf(e);
  }
}
