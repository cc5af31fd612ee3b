// tools/check-layers.mjs on a small tree with one offence of each kind.

import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

const tool = resolve(import.meta.dirname, '../../tools/check-layers.mjs');
let tree = '';

beforeEach(() => {
  tree = mkdtempSync(join(tmpdir(), 'layers-'));
});

afterEach(() => {
  rmSync(tree, { recursive: true });
});

function check(files: Record<string, string>): { status: number | null; lines: string[] } {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(tree, name)), { recursive: true });
    writeFileSync(join(tree, name), text);
  }
  const r = spawnSync(process.execPath, [tool, tree], { encoding: 'utf8' });
  return { status: r.status, lines: r.stdout.split('\n').filter((l) => l.startsWith('src/') || l.startsWith('runsc-compat/')) };
}

test('imports downward pass, types in a circle within a folder too', () => {
  const { status, lines } = check({
    'src/base/a.ts': 'export const a = 1; // import x from "node:fs"\n',
    'src/sentry/vfs/x.ts':
      "import { a } from '../../base/a.ts';\nimport type { Y } from './y.ts';\nexport interface X { y: Y; a: typeof a }\n",
    'src/sentry/vfs/y.ts': "import type { X } from './x.ts';\nexport interface Y { x: X }\n",
    'src/sentry/boot/main.ts': "import fs from 'node:fs';\nimport type { X } from '../vfs/x.ts';\nexport const f = fs as unknown as X;\n",
  });
  expect(lines).toEqual([]);
  expect(status).toBe(0);
});

test('each forbidden import is named with its line', () => {
  const { status, lines } = check({
    'src/base/a.ts': "import { e } from '../abi/e.ts';\nimport './b.ts';\n",
    'src/base/b.ts': "import './a.ts';\nimport fs from 'node:fs';\nexport const x = Buffer.alloc(1);\n",
    'src/abi/e.ts': 'export const e = 1;\n',
    'src/gofer/main.ts': "import '../sentry/vfs/v.ts';\nimport 'pino';\n",
    'src/sentry/vfs/v.ts': "import type { K } from '../kernel/k.ts';\nimport './missing.ts';\nimport '../../base/c';\n",
    'src/sentry/kernel/k.ts': 'export interface K { a: number }\n',
    'src/platform/one/p.ts': "import '../two/q.ts';\nimport '../common/r.ts';\n",
    'src/platform/common/r.ts': "import '../two/q.ts';\n",
    'src/platform/two/q.ts': 'export const q = 1;\n',
    'runsc-compat/main.ts': "import '../src/sentry/vfs/v.ts';\nimport { program } from 'commander';\n",
  });
  expect(status).toBe(1);
  expect(lines).toEqual([
    'runsc-compat/main.ts:1: runsc-compat must not import src/sentry/vfs/v.ts',
    'src/base/a.ts:1: base must not import src/abi/e.ts',
    'src/base/a.ts:2: imports in a circle: src/base/a.ts > src/base/b.ts > src/base/a.ts',
    "src/base/b.ts:2: base must not import 'node:fs'",
    'src/base/b.ts:3: base must not use Buffer',
    'src/gofer/main.ts:1: gofer must not import src/sentry/vfs/v.ts',
    "src/gofer/main.ts:2: gofer must not import 'pino'",
    'src/platform/common/r.ts:1: engine:common must not import src/platform/two/q.ts',
    'src/platform/one/p.ts:1: engine:one must not import src/platform/two/q.ts',
    'src/sentry/vfs/v.ts:1: sentry:vfs must not import src/sentry/kernel/k.ts',
    "src/sentry/vfs/v.ts:2: './missing.ts' does not exist",
    "src/sentry/vfs/v.ts:3: '../../base/c' lacks its extension",
  ]);
});
