// ringfence install: tells the container clients of this machine of the runtime, and takes it back.

import { existsSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { styleText } from 'node:util';
import type { Command } from 'commander';
import { isTerminal } from '../console.ts';
import { CliError, codeOf } from '../errors.ts';
import { distFile } from '../host.ts';
import { containerd } from '../install/containerd.ts';
import { changedLines } from '../install/diff.ts';
import { docker } from '../install/docker.ts';
import { crio, podman } from '../install/dropin.ts';
import type { Change, Client, Sysroot } from '../install/client.ts';
import { print } from '../output.ts';
import { writeWhole } from '../state.ts';

const CLIENTS: readonly Client[] = [docker, containerd, crio, podman];
/** Where the file as it was before our first change is kept. */
const COPY = '.before-ringfence';
const FILE_MODE = 0o644;

interface InstallOptions {
  runtime?: string;
  uninstall?: boolean;
  dryRun?: boolean;
  sysroot: string;
}

/** Defines the command. */
export function defineInstall(program: Command): void {
  const names = CLIENTS.map((c) => c.name);
  program
    .command('install')
    .summary('tell container clients of the runtime')
    .description(
      `Writes the configuration by which ${names.join(', ')} know the runtime ringfence, shows the change, and keeps a copy of a file that was there (FILE${COPY}).`,
    )
    .option('--runtime <client>', `one of ${names.join(', ')} (default: those that are installed)`)
    .option('--uninstall', 'take it back')
    .option('-n, --dry-run', 'show the change only')
    .option('--sysroot <dir>', 'change the files below this folder', '/')
    .addHelpText(
      'after',
      '\nExamples:\n  ringfence install --dry-run\n  ringfence install --runtime docker\n  ringfence install --uninstall',
    )
    .action((o: InstallOptions) => install(o));
}

function chosen(o: InstallOptions): Client[] {
  if (o.runtime !== undefined) {
    const c = CLIENTS.find((x) => x.name === o.runtime);
    if (c === undefined) throw new CliError(`--runtime takes ${CLIENTS.map((x) => x.name).join(', ')}, not "${o.runtime}"`);
    return [c];
  }
  const here = CLIENTS.filter((c) => c.signs.some((s) => existsSync(join(o.sysroot, s))));
  if (here.length === 0) {
    throw new CliError(`none of ${CLIENTS.map((c) => c.name).join(', ')} is installed; --runtime names one that will be`);
  }
  return here;
}

function reader(sysroot: string): Sysroot {
  return {
    read: (path) => {
      try {
        return readFileSync(join(sysroot, path), 'utf8');
      } catch (e) {
        if (codeOf(e) === 'ENOENT') return null;
        throw new CliError(`cannot read ${join(sysroot, path)}: ${codeOf(e)}`);
      }
    },
  };
}

function show(path: string, change: Change): void {
  const colour = isTerminal(1);
  const paint = (line: string): string => {
    if (!colour || line[0] === ' ') return line;
    return styleText(line[0] === '+' ? 'green' : 'red', line);
  };
  print(`${path}${change.before === null ? ' (new)' : change.after === null ? ' (removed)' : ''}\n`);
  for (const line of changedLines(change.before ?? '', change.after ?? '')) print(`  ${paint(line)}\n`);
}

/** Makes the change; the file as it was before the first one stays beside it until it is taken back. */
function apply(path: string, change: Change, uninstall: boolean): void {
  try {
    const copy = `${path}${COPY}`;
    if (change.after === null) rmSync(path, { force: true });
    else {
      mkdirSync(dirname(path), { recursive: true });
      const mode = change.before === null ? FILE_MODE : statSync(path).mode & 0o777;
      if (change.before !== null && !uninstall && !existsSync(copy)) writeWhole(copy, change.before, mode);
      writeWhole(path, change.after, mode);
    }
    if (uninstall) rmSync(copy, { force: true });
  } catch (e) {
    if (e instanceof CliError) throw e;
    throw new CliError(`cannot change ${path}: ${codeOf(e)}`);
  }
}

function install(o: InstallOptions): void {
  const runtime = join(dirname(distFile('')), 'bin/ringfence');
  const clients = chosen(o);
  const files = reader(o.sysroot);
  const uninstall = o.uninstall === true;
  // All changes are known before the first is made: a file that cannot be understood changes none.
  const changes = clients.map((c) => (uninstall ? c.uninstall(files) : c.install(files, runtime)));
  for (const [i, c] of clients.entries()) {
    const change = changes[i]!;
    const path = join(o.sysroot, change.path);
    if (change.before === change.after) {
      print(`${path}: nothing to change\n`);
      continue;
    }
    show(path, change);
    if (o.dryRun === true) continue;
    apply(path, change, uninstall);
    if (uninstall) continue;
    print(`${c.name} knows the runtime now. Next:\n`);
    for (const line of c.next) print(`  ${line.replace('RUNTIME', runtime)}\n`);
  }
}
