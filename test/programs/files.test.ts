// coreutils, find, tar, gzip and xz over a tree of 10,000 files.

import { describe, test } from 'vitest';
import { hostAndSandbox } from '../support/compare.ts';

const make = 'mkdir t; for d in $(seq 100); do mkdir t/d$d; for f in $(seq 100); do echo "$d $f" > t/d$d/f$f; done; done; ';
const long = { timeout: 400_000 };
const options = { timeout: 180_000 };

describe('a tree of 10,000 files', () => {
  test('find, sort, xargs, wc, du', long, async () => {
    await hostAndSandbox(
      `
        ${make} find t | wc -l; find t -type f -name 'f7*' | sort | head -5; find t -type f -print0 | sort -z | xargs -0 cat |
        md5sum; du -a t/d1 | wc -l; find t -type f -size -5c | wc -l`,
      options,
    );
  });

  test('ls, cp, mv, chmod, stat, rm', long, async () => {
    await hostAndSandbox(
      `
        ${make} ls -R t | md5sum; cp -a t u; diff -r t u && echo same; mv u/d1 u/moved; ls u | sort | tail -2; chmod -R go-rwx u;
        stat -c %a u/d5 u/d5/f5; ln -s d2 u/link; ls -l u/link | cut -d' ' -f1; rm -rf u; ls`,
      options,
    );
  });

  test('tar, gzip, xz', long, async () => {
    await hostAndSandbox(
      `
        ${make} tar --sort=name --mtime=@0 --owner=0 --group=0 -cf a.tar t; md5sum a.tar; gzip -nk a.tar; xz -0k a.tar;
        md5sum a.tar.gz a.tar.xz; mkdir x y; tar xzf a.tar.gz -C x; tar xJf a.tar.xz -C y; diff -r x y && echo same; tar tf a.tar |
        wc -l; tar cf b.tar t; tar df b.tar && echo unchanged`,
      options,
    );
  });

  test('grep, sed, awk over all of them', long, async () => {
    await hostAndSandbox(
      `
        ${make} grep -rl '^50 ' t | wc -l; find t -name f1 | xargs sed -i 's/1$/one/'; cat t/d9/f1; cat t/*/* |
        awk '{a[$1]+=$2} END {for (k in a) print k, a[k]}' | sort | md5sum`,
      options,
    );
  });
});

describe('coreutils', () => {
  test('text tools', async () => {
    await hostAndSandbox(
      `
        seq 1000 | shuf | sort -n | md5sum; seq 20 | paste - - | column -t 2>/dev/null | head -2; printf "b 2\\na 1\\n" | sort |
        join - <(echo) 2>/dev/null; seq 5 | tac | nl; echo hello | tr a-z A-Z | rev; seq 100 | split -l 30 - part; wc -l part*;
        comm -12 partaa partaa | tail -1; fold -w 3 <<<abcdefgh; od -An -tx1 <<<abc`,
      { shell: '/bin/bash' },
    );
  });

  test('file tools', async () => {
    await hostAndSandbox(
      `
        umask 022; touch -d @1000000000 f; stat -c "%Y %a %F" f; mkdir -p a/b/c; install -m 750 /bin/true a/b/c/t; ls -l a/b/c |
        tail -1 | cut -d" " -f1; ln f g; stat -c %h f; mkfifo p; stat -c %F p; truncate -s 1M s; du s | cut -f1;
        dd if=/dev/zero of=z bs=64k count=16 conv=fsync 2>&1 | head -1; sha256sum z; cp --sparse=always z w; cmp z w && echo same;
        realpath a/../f; readlink -e absent; echo $?; mktemp -d -p . XXXX | wc -c; df -P . | wc -l`,
    );
  });

  test('process tools', async () => {
    await hostAndSandbox(
      `
        timeout 0.2 sleep 10; echo $?; nice -n 5 nice; env -i A=b env; id -u; whoami; nproc; printenv HOME | wc -l;
        stdbuf -oL echo x; nohup true 2>/dev/null; tty; kill -l 15; sleep 0.1 & wait; date -u -d @0 +%c; uname -s; arch; hostid |
        wc -c; test -r /etc/passwd && echo r`,
      { status: 0 },
    );
  });
});
