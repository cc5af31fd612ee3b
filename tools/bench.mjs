// Runs benchmarks of bench/: node tools/bench.mjs [OPTIONS] [ROW...] makes the table over all engines (--help tells more);
// node tools/bench.mjs micro|startup|clients runs one of the smaller ones.

import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, stop } from 'esbuild';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const dist = join(root, 'dist/bench');

function run(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (error !== undefined) process.stderr.write(`bench: ${command}: ${error.message}\n`);
  if (status !== 0) process.exit(status ?? 1);
}

/** Files that look for others beside them find them beside their sources. */
const ownFolders = {
  name: 'own-folders',
  setup(b) {
    b.onLoad({ filter: /\/(bench|test)\/.*\.ts$/ }, ({ path }) => ({
      contents: readFileSync(path, 'utf8').replaceAll('import.meta.dirname', JSON.stringify(dirname(path))),
      loader: 'ts',
    }));
  },
};

/** Bundles a benchmark that is written in TypeScript. */
async function bundle(name) {
  const file = join(dist, `${name}.mjs`);
  await build({
    absWorkingDir: root,
    entryPoints: [`bench/${name}.ts`],
    outfile: file,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    packages: 'external',
    plugins: [ownFolders],
  });
  // Otherwise its service would stay beside what is measured.
  await stop();
  return file;
}

/** Compiles the C files of a folder into one program unless it is newer than they are. */
function compile(folder, program) {
  const dir = join(root, 'bench', folder);
  const files = readdirSync(dir).filter((f) => /\.[ch]$/.test(f));
  const out = join(dist, program);
  const made = statSync(out, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  if (files.every((f) => statSync(join(dir, f)).mtimeMs < made)) return;
  const sources = files.filter((f) => f.endsWith('.c')).map((f) => join(dir, f));
  run('gcc', ['-O2', '-pthread', '-Wall', '-Wextra', '-Werror', '-o', out, ...sources]);
}

const args = process.argv.slice(2);
mkdirSync(dist, { recursive: true });
if (args[0] === 'micro') {
  run(process.execPath, ['--expose-gc', await bundle('micro')]);
} else if (args[0] === 'clients') {
  run(process.execPath, [join(root, 'tools/build.mjs'), '--quiet']);
  run(process.execPath, [await bundle('clients'), ...args.slice(1)]);
} else if (args[0] === 'startup') {
  run(process.execPath, [join(root, 'bench/startup.mjs')]);
} else {
  run(process.execPath, [join(root, 'tools/build.mjs'), '--quiet']);
  compile('host', 'keeper');
  compile('guest', 'guest');
  const child = spawn(join(dist, 'keeper'), [process.execPath, await bundle('table'), root, ...args], { cwd: root, stdio: 'inherit' });
  // The keeper ends what runs below it and then itself; who ends only this process ends it too.
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  process.on('SIGINT', () => {});
  child.on('error', (e) => {
    process.stderr.write(`bench: ${e.message}\n`);
    process.exitCode = 1;
  });
  child.on('close', (code) => (process.exitCode = code ?? 1));
}
