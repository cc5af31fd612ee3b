// Runs benchmarks of bench/: node tools/bench.mjs [NAME...]; without a name it lists them.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const names = process.argv.slice(2);
const known = readdirSync(join(root, 'bench'))
  .map((f) => /^(.*)\.(ts|mjs)$/.exec(f)?.[1])
  .filter((n) => n !== undefined);

if (names.length === 0) process.stdout.write(`benchmarks: ${known.join(' ')}\n`);
for (const name of names) {
  let file = join(root, 'bench', `${name}.mjs`);
  if (!known.includes(name)) {
    process.stderr.write(`bench: no benchmark '${name}'; there are: ${known.join(' ')}\n`);
    process.exit(2);
  }
  if (!existsSync(file)) {
    mkdirSync(join(root, 'dist'), { recursive: true });
    file = join(root, 'dist', `bench-${name}.mjs`);
    await build({
      absWorkingDir: root,
      entryPoints: [`bench/${name}.ts`],
      outfile: file,
      bundle: true,
      format: 'esm',
      platform: 'node',
      target: 'node20',
      packages: 'external',
    });
  }
  process.stdout.write(`== ${name}\n`);
  const { status } = spawnSync(process.execPath, ['--expose-gc', file], { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}
