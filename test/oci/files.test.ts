// A container's root is where clients look: what it writes is on the host at once, and what the host changes there is seen inside.

import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Bench } from './support.ts';

let bench: Bench;
beforeAll(() => {
  bench = new Bench();
});
afterAll(() => bench.close());

/** A running container that waits; its root on the host. */
function waiting(id: string, script = 'while :; do sleep 1; done'): string {
  const bundle = bench.bundle(['sh', '-c', script]);
  expect(bench.detached(['run', '--detach', '--bundle', bundle, id])).toMatchObject({ status: 0 });
  return join(bundle, 'rootfs');
}

/** What a shell says inside. */
function inside(id: string, script: string): string {
  const r = bench.run(['exec', id, 'sh', '-c', script]);
  return r.stdout + r.stderr;
}

describe('what the host does to the root of a running container', () => {
  test('is seen by the next process that is started, and soon by those that run', async () => {
    const root = waiting('f1', 'while [ ! -e /flag ]; do sleep 0.1; done; cat /flag > /answer; while :; do sleep 1; done');
    // Known: absent, a whole directory, a file's content and size.
    mkdirSync(join(root, 'app'));
    writeFileSync(join(root, 'app/a'), 'first');
    expect(inside('f1', 'ls /app; cat /app/a; [ -e /app/b ] || echo " none"; stat -c %s /app/a')).toBe('a\nfirst none\n5\n');
    for (const [n, text] of ['longer than before', 'again', ''].entries()) {
      writeFileSync(join(root, 'app/b'), `b${n}`);
      writeFileSync(join(root, 'app/a'), text);
      writeFileSync(join(root, 'app/new'), 'renamed');
      renameSync(join(root, 'app/new'), join(root, `app/moved${n}`));
      expect(inside('f1', `cat /app/a /app/b /app/moved${n}; stat -c ' %s' /app/a; ls /app | wc -l`)).toBe(
        `${text}b${n}renamed ${text.length}\n${n + 3}\n`,
      );
    }
    chmodSync(join(root, 'app/a'), 0o600);
    rmSync(join(root, 'app/b'));
    expect(inside('f1', 'stat -c %a /app/a; ls /app/b 2>/dev/null || echo gone')).toBe('600\ngone\n');
    rmSync(join(root, 'app'), { recursive: true });
    expect(inside('f1', '[ -e /app ] || echo gone')).toBe('gone\n');
    writeFileSync(join(root, 'flag'), 'seen');
    expect(await bench.until(() => existsSync(join(root, 'answer')) && readFileSync(join(root, 'answer'), 'utf8') === 'seen')).toBe(true);
    bench.run(['delete', '--force', 'f1']);
  });
});

describe('what a container writes', () => {
  test('is in its root on the host as soon as a command that ran in it is over', () => {
    const root = waiting('f2');
    const script = 'mkdir -p /d/e; i=0; while [ $i -lt 50 ]; do echo $i > /d/e/$i; i=$((i+1)); done; echo more >> /d/e/7; touch /d/e/empty';
    for (let n = 0; n < 5; n++) {
      expect(inside('f2', script)).toBe('');
      for (let i = 0; i < 50; i++) expect(readFileSync(join(root, 'd/e', String(i)), 'utf8')).toBe(i === 7 ? '7\nmore\n' : `${i}\n`);
      expect(statSync(join(root, 'd/e/empty')).size).toBe(0);
      rmSync(join(root, 'd'), { recursive: true });
    }
    bench.run(['delete', '--force', 'f2']);
  });

  test('is there after the end, also when it was killed', () => {
    const bundle = bench.bundle(['sh', '-c', 'umask 027; echo one > /one; (echo two; echo three) > /two; exec kill -9 $$']);
    bench.run(['run', '--bundle', bundle, 'f3']);
    expect(readFileSync(join(bundle, 'rootfs/one'), 'utf8')).toBe('one\n');
    expect(readFileSync(join(bundle, 'rootfs/two'), 'utf8')).toBe('two\nthree\n');
    expect(statSync(join(bundle, 'rootfs/one')).mode & 0o777).toBe(0o640);
  });
});
