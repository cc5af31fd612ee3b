// Which engine the sandboxes of a test run have: RINGFENCE_TEST_PLATFORM (systrap, ptrace or kvm); by default what `auto` takes.

import { existsSync, renameSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const wish = process.env['RINGFENCE_TEST_PLATFORM'] ?? '';
if (!/^(systrap|ptrace|kvm)?$/.test(wish)) throw new Error(`RINGFENCE_TEST_PLATFORM takes systrap, ptrace or kvm, not "${wish}"`);

/** The engine of this run. */
export const testPlatform: string = wish === '' ? 'systrap' : wish;

/**
 * The program of the installation in `folder`, as everything that runs sandboxes calls it. Clients take one path and no arguments: where an
 * engine is wished for, that is a script beside the program.
 */
export function ringfenceIn(folder: string): string {
  const program = join(folder, 'bin/ringfence');
  if (wish === '') return program;
  const script = `${program}-${wish}`;
  if (!existsSync(script)) {
    writeFileSync(`${script}.${process.pid}`, `#!/bin/sh\nexec "\${0%/*}/ringfence" --platform ${wish} "$@"\n`, { mode: 0o755 });
    renameSync(`${script}.${process.pid}`, script);
  }
  return script;
}

/** This checkout's. */
export const ringfence: string = ringfenceIn(resolve(import.meta.dirname, '../..'));
