// The product runs on Node 22 and 24 as it does on 20: entrypoint, Sentry and Gofer, with the same native parts.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { otherNode } from '../support/fixtures.ts';
import { testPlatform } from '../support/platform.ts';

const entrypoint = join(import.meta.dirname, '..', '..', 'dist', 'ringfence.cjs');
const command = ['sh', '-c', 'uname -s; echo $((6 * 7)) | cat; ls /etc/passwd; exit 3'];

describe('newer Nodes', () => {
  for (const major of [22, 24]) {
    it(`Node ${major} runs a command in a sandbox`, () => {
      const r = spawnSync(otherNode(major), [entrypoint, '--platform', testPlatform, 'do', '--', ...command], {
        encoding: 'utf8',
        timeout: 60_000,
      });
      expect({ status: r.status, out: r.stdout, err: r.stderr }).toEqual({ status: 3, out: 'Linux\n42\n/etc/passwd\n', err: '' });
    }, 180_000);
  }
});
