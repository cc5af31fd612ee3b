// The system call table (src/sentry/syscalls/table.ts) for tools: a row for each number, with a handler or without.

import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');

/** Rows by number: nr, name, support (full, partial, none), note, handled. */
export async function syscallRows() {
  const { build } = await import('esbuild');
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: ['tools/table.ts'],
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'neutral',
    target: 'node20',
    logLevel: 'error',
  });
  const { absent, names, table } = await import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString('base64')}`);
  const rows = [...names].map(([nr, name]) => {
    const row = table[nr];
    if (row !== undefined && absent.has(nr)) throw new Error(`${name} has a handler and a reason in absent.ts why it has none`);
    if (row !== undefined) return { nr, name, support: row.support, note: row.note, handled: true };
    return { nr, name, support: 'none', note: absent.has(nr) ? `ENOSYS: ${absent.get(nr)}` : '', handled: false };
  });
  return rows.sort((a, b) => a.nr - b.nr);
}
