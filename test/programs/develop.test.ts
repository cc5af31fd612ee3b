// gcc, make and git.

import { cpSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'vitest';
import { hostAndSandbox } from '../support/compare.ts';
import { debianSource } from '../support/fixtures.ts';

describe('gcc and make', () => {
  test('compile, link, archive, run', { timeout: 120_000 }, async () => {
    await hostAndSandbox(
      String.raw`
        printf 'int twice(int n) { return 2 * n; }\n' > a.c
        printf '#include <stdio.h>\nint twice(int);\nint main(void) { printf("%%d\\n", twice(21)); return 3; }\n' > m.c
        printf 'all: prog\nlib.a: a.o\n\tar rcs $@ $^\nprog: m.o lib.a\n\tgcc -o $@ $^\n%%.o: %%.c\n\tgcc -O2 -c $<\n' > Makefile
        make -j2 2>&1 | sort; make; ./prog; echo $?; gcc -O2 -static m.c a.c -o s && ./s;
        gcc -fsyntax-only -x c - <<<'int f( {' 2>/dev/null; echo $?
        gcc -S -O2 a.c -o - | grep -c twice; nm lib.a | grep twice; strip prog && ./prog; objdump -d s | head -2 | tail -1`,
      { shell: '/bin/bash', timeout: 60_000 },
    );
  });

  test('a project of Debian: zlib, configure and make -j2 and its own tests', { timeout: 500_000 }, async () => {
    const source = debianSource('zlib');
    await hostAndSandbox(
      `
        cd src && ./configure > log && make -j2 > make.log 2>&1 && make test 2>&1 | grep OK; ls -1 *.a *.so.1; nm -D libz.so.1 |
        grep -c " T "`,
      {
        timeout: 240_000,
        setup: (directory) => cpSync(join(source, readdirSync(source)[0] as string), join(directory, 'src'), { recursive: true }),
      },
    );
  });
});

describe('git', () => {
  const identity = {
    GIT_AUTHOR_NAME: 'A',
    GIT_AUTHOR_EMAIL: 'a@example.org',
    GIT_COMMITTER_NAME: 'A',
    GIT_COMMITTER_EMAIL: 'a@example.org',
    GIT_AUTHOR_DATE: '1700000000 +0000',
    GIT_COMMITTER_DATE: '1700000000 +0000',
    GIT_CONFIG_NOSYSTEM: '1',
  };

  test('init, add, commit, log, branch, merge, diff', { timeout: 120_000 }, async () => {
    await hostAndSandbox(
      `
        git init -q -b main r && cd r && mkdir d && for i in $(seq 50); do echo $i > d/$i; done && git add . &&
        git commit -qm first && git log --stat | tail -3; git checkout -qb side && echo side > d/1 && git commit -qam side &&
        git checkout -q main && echo main > d/2 && git commit -qam main && git merge -q --no-edit side &&
        git log --graph --oneline --format=%s%h; git diff HEAD~1 --stat; git status --short; git fsck --strict; git gc -q;
        git count-objects -v | grep in-pack; git rev-parse HEAD`,
      { env: identity },
    );
  });

  test('clone of a local repository, push, fetch, stash', { timeout: 120_000 }, async () => {
    await hostAndSandbox(
      `
        git init -q -b main r && cd r && echo 1 > f && git add f && git commit -qm one && cd .. && git clone -q --bare r b &&
        git clone -q b c && cd c && echo 2 >> f && git commit -qam two && git push -q && cd ../r && git pull -q ../b main &&
        cat f && git log --format=%s; cd .. && git clone -q file://$PWD/b shallow --depth 1 && git -C shallow log --format=%s;
        cd c && echo x >> f && git stash -q && git stash list && git stash pop -q && git diff --shortstat && git blame -s f &&
        git archive HEAD | tar t && git bundle create -q ../x main && git ls-remote ../x`,
      { env: { ...identity, GIT_CONFIG_COUNT: '1', GIT_CONFIG_KEY_0: 'safe.directory', GIT_CONFIG_VALUE_0: '*' } },
    );
  });
});

describe('strace', () => {
  test('follows processes and shows their calls', async () => {
    await hostAndSandbox(
      `strace -f -o log -e trace=execve,exit_group,kill -e signal=none sh -c '/bin/true; (exit 3)'; echo $?
      sed 's/^[0-9]*  *//; s/, 0x.*) = 0/) = 0/' log | sort; strace -o log2 -e trace=none true; tail -1 log2; strace -c -o log3 ls / > list; grep -c total log3`,
      { status: 0 },
    );
  });
});
