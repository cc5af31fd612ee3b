// What tools/build.mjs promises about bundles and their code caches.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Script } from 'node:vm';
import { describe, expect, test } from 'vitest';
import nodeFlags from '../../runsc-compat/nodeflags.json' with { type: 'json' };

const root = resolve(import.meta.dirname, '../..');
const dist = join(root, 'dist');

const bundles = [
  ['sentry', nodeFlags.sentry],
  ['gofer', nodeFlags.gofer],
  ['ringfence', nodeFlags.ringfence],
  ['validator', nodeFlags.ringfence],
  ['pino', nodeFlags.ringfence],
] as const;

describe.each(bundles)('bundle %s', (name, flags) => {
  const text = readFileSync(join(dist, `${name}.bundle.js`), 'latin1');
  const hash = createHash('sha256').update(text).update(flags.join(' ')).digest('hex').slice(0, 16);
  const cache = join(dist, `${name}-${hash}-${process.versions.v8}.cache`);

  test('is plain ASCII, so that it may be read as latin1', () => {
    expect(Array.from(text).every((c) => c.charCodeAt(0) < 128)).toBe(true);
  });

  test('has a loader that names the cache of this very text and these flags', () => {
    expect(readFileSync(join(dist, `${name}.cjs`), 'latin1')).toContain(`/${name}-${hash}-`);
    expect(existsSync(cache)).toBe(true);
  });

  test('has a cache that this node takes', () => {
    const script = `
      const fs = require('node:fs'), vm = require('node:vm');
      const s = new vm.Script(fs.readFileSync(process.argv[1], 'latin1'), { cachedData: fs.readFileSync(process.argv[2]) });
      process.exit(s.cachedDataRejected ? 1 : 0);`;
    const r = spawnSync(process.execPath, [...flags, '-e', script, join(dist, `${name}.bundle.js`), cache], { env: {} });
    expect(r.status).toBe(0);
  });

  test('names no module of node that takes long to load, but where it is first used', () => {
    for (const m of text.matchAll(/^.*require\("node:(?:child_process|crypto|net|os|stream|tty)"\)/gm)) expect(m[0]).toContain('??=');
  });

  test('holds no module of npm that the product does not name', () => {
    expect(() => new Script(text)).not.toThrow();
    for (const m of text.matchAll(/require\("([^"]+)"\)/g)) expect(m[1]).toMatch(/^node:|^[a-z_/]+$|^\.\/(validator|pino|compat)\.cjs$/);
  });
});

test('a build with nothing to do builds nothing', () => {
  const build = (): string => spawnSync(process.execPath, [join(root, 'tools/build.mjs')], { encoding: 'utf8' }).stdout;
  build(); // another one may have been cut short
  expect(build()).toMatch(/^dist is up to date \(\d+ ms\)\n$/);
});

test('another architecture is told in one line what a port adds', () => {
  const other = 'data:text/javascript,Object.defineProperty(process,"arch",{value:"arm64"})';
  const r = spawnSync(process.execPath, ['--import', other, join(root, 'tools/build.mjs')], { encoding: 'utf8' });
  expect([r.status, r.stdout]).toEqual([1, '']);
  expect(r.stderr).toBe('build: x86-64 is needed, this is arm64: a port adds src/abi/arm64 and native/*/arm64 (docs/platforms.md)\n');
});
