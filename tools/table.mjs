// The system call table of src/sentry/syscalls/table.ts, for tools.

import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Rows by number (undefined: no handler), the names of all numbers that Linux has, and why some have no handler. */
export async function loadTable() {
  const { build } = await import('esbuild');
  const { outputFiles } = await build({
    absWorkingDir: resolve(dirname(fileURLToPath(import.meta.url)), '..'),
    entryPoints: ['tools/table.ts'],
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'neutral',
    target: 'node20',
    logLevel: 'error',
  });
  return await import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString('base64')}`);
}

/** A row for each number, with a handler or without: nr, name, support (full, partial, none), note, handled. */
export async function syscallRows() {
  const { absent, names, table } = await loadTable();
  const rows = [...names].map(([nr, name]) => {
    const row = table[nr];
    if (row !== undefined && absent.has(nr)) throw new Error(`${name} has a handler and a reason in absent.ts why it has none`);
    if (row !== undefined) return { nr, name, support: row.support, note: row.note, handled: true };
    return { nr, name, support: 'none', note: absent.has(nr) ? `ENOSYS: ${absent.get(nr)}` : '', handled: false };
  });
  return rows.sort((a, b) => a.nr - b.nr);
}
