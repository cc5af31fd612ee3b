// The system call table of src/sentry/syscalls/table.ts, for tools.

import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

/** Rows by number (undefined: no handler), and the names of all numbers that Linux has. */
export async function loadTable() {
  const { outputFiles } = await build({
    absWorkingDir: resolve(dirname(fileURLToPath(import.meta.url)), '..'),
    entryPoints: ['src/sentry/syscalls/table.ts'],
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'neutral',
    target: 'node20',
  });
  const { table, names } = await import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString('base64')}`);
  return { table, names };
}
