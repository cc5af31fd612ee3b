// This machine and this process: the addon, the installation's folders, the caller's environment and arguments.

import { closeSync, existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { getSystemErrorName } from 'node:util';
import { loadNative, type Native } from '../src/host/native.ts';
import { CliError } from './errors.ts';

let native: Native | undefined;
let install = '';

/** The folder that holds bin/ and dist/. */
export function installDir(): string {
  if (install !== '') return install;
  let dir = import.meta.dirname;
  while (dir !== '/' && !existsSync(join(dir, 'dist', 'native'))) dir = dirname(dir);
  install = dir;
  return dir;
}

export function distFile(name: string): string {
  return join(installDir(), 'dist', name);
}

/** The addon, loaded at its first use. */
export function host(): Native {
  if (native === undefined) {
    try {
      native = loadNative(distFile('native/host.node'));
    } catch (e) {
      throw new CliError(
        `cannot load the host addon, run \`npm run build\` in ${installDir()}: ${e instanceof Error ? e.message : String(e)}`,
      );
    }
  }
  return native;
}

/** Ends this process at once, if the addon was used at all; else the caller has to. */
export function leave(status: number): void {
  native?.exit(status);
}

/** The name of a negative errno: 'ENOENT'. */
export function errnoName(result: number): string {
  return result < 0 ? getSystemErrorName(result) : String(result);
}

/** Throws one line when `result` is a negative errno. */
export function check(result: number, what: string): number {
  if (result < 0) throw new CliError(`${what}: ${errnoName(result)}`);
  return result;
}

let environment: string[] | undefined;

/** The caller's environment as byte strings (one char per byte). bin/ringfence passes it in a memfd; without it, node's own. */
export function callerEnvironment(): string[] {
  if (environment !== undefined) return environment;
  const fd = Number(process.env.RINGFENCE_ENV_FD ?? '-1');
  if (fd > 2) {
    environment = readFileSync(fd, 'latin1').split('\0').slice(0, -1);
    closeSync(fd);
  } else {
    environment = Object.entries(process.env).map(([k, v]) => Buffer.from(`${k}=${v ?? ''}`).toString('latin1'));
  }
  return environment;
}

/** One variable of the caller's environment. */
export function callerVariable(name: string): string | undefined {
  const hit = callerEnvironment().find((e) => e.startsWith(`${name}=`));
  return hit?.slice(name.length + 1);
}

/** The last `count` arguments of the command as byte strings: process.argv loses bytes that are not UTF-8. */
export function lastArguments(count: number): string[] {
  if (count === 0) return [];
  const words = readFileSync('/proc/self/cmdline', 'latin1').split('\0').slice(0, -1);
  return words.slice(-count);
}
