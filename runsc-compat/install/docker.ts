// Docker: one JSON file for all of the daemon's settings (dockerd(8), daemon.json). Only the entry `runtimes.ringfence` is ours.

import { CliError } from '../errors.ts';
import type { Change, Client, Sysroot } from './client.ts';

const PATH = '/etc/docker/daemon.json';

type Json = Record<string, unknown>;

function isObject(x: unknown): x is Json {
  return typeof x === 'object' && x !== null && !Array.isArray(x);
}

/** The settings, and how the file is indented. */
function parse(text: string | null): { settings: Json; indent: string } {
  if (text === null || text.trim() === '') return { settings: {}, indent: '  ' };
  let settings: unknown;
  try {
    settings = JSON.parse(text);
  } catch (e) {
    throw new CliError(`${PATH} is not JSON: ${e instanceof Error ? e.message : String(e)}`);
  }
  if (!isObject(settings)) throw new CliError(`${PATH} is not a JSON object`);
  if (settings.runtimes !== undefined && !isObject(settings.runtimes)) throw new CliError(`${PATH}: runtimes is not an object`);
  return { settings, indent: /^([ \t]+)"/m.exec(text)?.[1] ?? '  ' };
}

function print(settings: Json, indent: string): string {
  return `${JSON.stringify(settings, null, indent)}\n`;
}

export const docker: Client = {
  name: 'docker',
  signs: ['/usr/bin/dockerd', '/usr/local/bin/dockerd', '/etc/docker'],
  install(files: Sysroot, runtime: string): Change {
    const before = files.read(PATH);
    const { settings, indent } = parse(before);
    const runtimes = (settings.runtimes ?? {}) as Json;
    const known = runtimes.ringfence;
    const entry = isObject(known) ? { ...known, path: runtime } : { path: runtime };
    if (isObject(known) && known.path === runtime) return { path: PATH, before, after: before };
    return { path: PATH, before, after: print({ ...settings, runtimes: { ...runtimes, ringfence: entry } }, indent) };
  },
  uninstall(files: Sysroot): Change {
    const before = files.read(PATH);
    const { settings, indent } = parse(before);
    const runtimes = settings.runtimes as Json | undefined;
    if (runtimes?.ringfence === undefined) return { path: PATH, before, after: before };
    const { ringfence: _ours, ...others } = runtimes;
    const { runtimes: _all, ...rest } = settings;
    const left = Object.keys(others).length > 0 ? { ...settings, runtimes: others } : rest;
    // The default runtime must be one that exists: dockerd would not start.
    if (left['default-runtime'] === 'ringfence') delete left['default-runtime'];
    return { path: PATH, before, after: Object.keys(left).length === 0 ? null : print(left, indent) };
  },
  next: ['systemctl reload docker', 'docker run --rm --runtime ringfence IMAGE uname -a'],
};
