// Finds a program in a container's root as it will be, to refuse a command at create that could never start.

import { lstatSync, readlinkSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { displayName } from '../../src/host/paths.ts';
import type { ContainerConfig } from '../../src/wire/boot.ts';
import { CliError, codeOf, EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND } from '../errors.ts';
import type { AttachSource } from '../launch.ts';

const MAX_LINKS = 40;
const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

type Found = { kind: 'file'; stats: Stats } | { kind: 'error'; code: string } | { kind: 'unknown' };

/** Where a clean absolute guest path lies on the host; null in a file system that only the Sentry has. */
function hostPathOf(path: string, c: ContainerConfig, attach: AttachSource[]): string | null {
  let best = { destination: '/', attach: 0 };
  for (const m of c.mounts) {
    const d = displayName(m.destination).replace(/\/+$/, '') || '/';
    const inside = d === '/' || path === d || path.startsWith(`${d}/`);
    if (inside && d.length >= best.destination.length) best = { destination: d, attach: m.attach };
  }
  const tree = attach[best.attach];
  if (tree === undefined) return null;
  return join(tree.source, best.destination === '/' ? path : path.slice(best.destination.length));
}

/** Follows a guest path, symbolic links included, without ever leaving the container's root. */
export function lookup(path: string, c: ContainerConfig, attach: AttachSource[]): Found {
  let rest = path.split('/').filter((p) => p !== '' && p !== '.');
  let at: string[] = [];
  let links = 0;
  let stats: Stats | null = null;
  while (rest.length > 0) {
    const name = rest[0] as string;
    rest = rest.slice(1);
    if (name === '..') {
      at.pop();
      continue;
    }
    const here = hostPathOf(`/${[...at, name].join('/')}`, c, attach);
    if (here === null) return { kind: 'unknown' };
    try {
      stats = lstatSync(here);
    } catch (e) {
      return { kind: 'error', code: codeOf(e) };
    }
    if (stats.isSymbolicLink()) {
      if (++links > MAX_LINKS) return { kind: 'error', code: 'ELOOP' };
      const target = readlinkSync(here);
      if (target.startsWith('/')) at = [];
      rest = [...target.split('/').filter((p) => p !== '' && p !== '.'), ...rest];
    } else {
      at.push(name);
    }
  }
  return stats === null ? { kind: 'unknown' } : { kind: 'file', stats };
}

function refuse(command: string, why: string, exitCode: number): never {
  throw new CliError(`exec: "${command}": ${why}`, exitCode);
}

/** Throws with a shell's exit status when the first argument is no program that can be executed. Says nothing where it cannot know. */
export function checkCommand(c: ContainerConfig, attach: AttachSource[]): void {
  const command = displayName(c.process.args[0] ?? '');
  const cwd = displayName(c.process.cwd);
  if (command.includes('/')) {
    const path = command.startsWith('/') ? command : join(cwd, command);
    const f = lookup(path, c, attach);
    if (f.kind === 'unknown') return;
    if (f.kind === 'error')
      refuse(
        command,
        `stat ${path}: ${f.code === 'EACCES' ? 'permission denied' : 'no such file or directory'}`,
        f.code === 'EACCES' ? EXIT_NOT_EXECUTABLE : EXIT_NOT_FOUND,
      );
    if (f.stats.isDirectory() || (f.stats.mode & 0o111) === 0) refuse(command, 'permission denied', EXIT_NOT_EXECUTABLE);
    return;
  }
  const variable = c.process.env.find((e) => e.startsWith('PATH='));
  let denied = false;
  for (const folder of (variable === undefined ? DEFAULT_PATH : displayName(variable.slice(5))).split(':')) {
    const f = lookup(join(folder.startsWith('/') ? folder : join(cwd, folder), command), c, attach);
    if (f.kind === 'unknown') return;
    if (f.kind !== 'file' || f.stats.isDirectory()) continue;
    if ((f.stats.mode & 0o111) !== 0) return;
    denied = true;
  }
  if (denied) refuse(command, 'permission denied', EXIT_NOT_EXECUTABLE);
  refuse(command, 'executable file not found in $PATH', EXIT_NOT_FOUND);
}
