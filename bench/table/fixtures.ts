// Folders and files that rows work on: made once below dist/bench, read by all engines.

import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { config, environment, type Places } from './engines.ts';
import { sizes } from './rows.ts';

/** Goes up when what is made here changes, so that older fixtures are made anew. */
const VERSION = 1;

/** A folder with so many empty files, named 0, 1, 2, ... */
function names(dir: string, n: number): void {
  mkdirSync(dir, { recursive: true });
  for (let i = 0; i < n; i++) writeFileSync(join(dir, `${i}`), '');
}

/** A git repository of 5,000 files in 50 folders, and the same as an archive. */
function tree(fixtures: string): void {
  const dir = join(fixtures, 'tree');
  for (let i = 0; i < 5000; i++) {
    const folder = join(dir, `folder-${i % 50}`);
    if (i < 50) mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `file-${i}.txt`), `line ${i}\n`.repeat(20 + (i % 100)));
  }
  execFileSync('tar', ['-cf', join(fixtures, 'tree.tar'), '-C', dir, '.']);
  const git = (...args: string[]): unknown =>
    execFileSync('git', ['-C', dir, '-c', 'user.name=bench', '-c', 'user.email=bench@localhost', '-c', 'gc.auto=0', ...args], {
      stdio: 'ignore',
      env: environment,
    });
  try {
    git('init', '-q');
    git('add', '.');
    git('commit', '-q', '-m', 'files');
  } catch (e) {
    // Without git its row says so itself.
    if ((e as NodeJS.ErrnoException).code !== 'ENOENT') throw e;
  }
}

/** Twenty C files, a header for each, and a makefile. */
function cProject(dir: string): void {
  mkdirSync(dir, { recursive: true });
  const n = 20;
  for (let i = 0; i < n; i++) {
    const functions = Array.from({ length: 30 }, (_, k) => `int f${i}_${k}(int x) { return printf("%d\\n", x * ${k + 1}); }\n`);
    writeFileSync(join(dir, `part${i}.h`), `int f${i}_0(int x);\n`);
    writeFileSync(join(dir, `part${i}.c`), `#include "part${i}.h"\n#include <stdio.h>\n#include <stdlib.h>\n${functions.join('')}`);
  }
  const parts = Array.from({ length: n }, (_, i) => i);
  writeFileSync(
    join(dir, 'main.c'),
    `${parts.map((i) => `#include "part${i}.h"\n`).join('')}int main(void) { return ${parts.map((i) => `f${i}_0(${i})`).join(' + ')}; }\n`,
  );
  const objects = ['main', ...parts.map((i) => `part${i}`)].map((name) => `${name}.o`).join(' ');
  const rules = `program: ${objects}\n\t$(CC) -o $@ ${objects}\n%.o: %.c\n\t$(CC) -O1 -c -o $@ $<\n`;
  writeFileSync(join(dir, 'Makefile'), `CC = gcc\n${rules}`);
}

/** Thirty packages of twenty files each as archives, and an application that depends on them. */
function npmApp(dir: string): void {
  const app = join(dir, 'app');
  const packages = join(dir, 'packages');
  const source = join(dir, 'source');
  mkdirSync(app, { recursive: true });
  mkdirSync(packages, { recursive: true });
  const dependencies: Record<string, string> = {};
  for (let i = 0; i < 30; i++) {
    const name = `bench-package-${i}`;
    const folder = join(source, name, 'package');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ name, version: '1.0.0', license: 'MIT' }));
    for (let f = 0; f < 20; f++) writeFileSync(join(folder, `module-${f}.js`), `module.exports = ${f};\n`.repeat(50));
    execFileSync('tar', ['-czf', join(packages, `${name}.tgz`), '-C', join(source, name), 'package']);
    dependencies[name] = `file:../packages/${name}.tgz`;
  }
  writeFileSync(join(app, 'package.json'), JSON.stringify({ name: 'bench-app', version: '1.0.0', private: true, dependencies }));
  rmSync(source, { recursive: true });
}

/** Makes what is missing, once. */
export function makeFixtures(p: Places): void {
  const dir = join(p.dist, 'fixtures');
  const stamp = join(dir, `.made-${VERSION}`);
  if (existsSync(stamp)) return;
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, 'data'), Buffer.alloc(1 << 20, 'x'));
  for (const n of new Set([...sizes, 1000])) names(join(dir, `names-${n}`), n);
  tree(dir);
  cProject(join(dir, 'c-project'));
  npmApp(join(dir, 'npm'));
  writeFileSync(stamp, '');
}

/** A bundle of busybox that runs one command; where the static busybox is missing, that is the answer. */
export function busyboxBundle(dir: string, args: string[]): { missing?: string } {
  const program = ['/bin/busybox', '/usr/bin/busybox'].find((f) => existsSync(f));
  if (program === undefined) return { missing: 'busybox is not installed (tools/bench-setup.sh installs it)' };
  const rootfs = join(dir, 'rootfs');
  for (const d of ['bin', 'dev', 'proc', 'tmp']) mkdirSync(join(rootfs, d), { recursive: true });
  copyFileSync(program, join(rootfs, 'bin/busybox'));
  for (const applet of ['sleep', 'true']) symlinkSync('busybox', join(rootfs, 'bin', applet));
  writeFileSync(join(dir, 'config.json'), JSON.stringify(config(args, false)));
  return {};
}
