// BusyBox: its ash, and every applet of its list.

import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { hostAndSandbox } from '../support/compare.ts';

/** A command for each applet that does something of its own; all others are asked for their help. */
const commands: Record<string, string> = {
  '[': '[ 1 -lt 2 ] && echo yes',
  '[[': '[[ abc = abc ]] && echo yes',
  ar: 'ar p /dev/null; echo $?',
  arch: 'arch',
  ascii: 'ascii',
  ash: "ash -c 'echo $((6*7))'",
  awk: "seq 10 | awk '{s+=$1} END {print s}'",
  base64: 'seq 20 | base64',
  basename: 'basename /a/b.c .c',
  bc: 'echo "2^100" | bc',
  bunzip2: 'seq 99 | bzip2 | bunzip2 | md5sum',
  busybox: 'busybox | head -1',
  bzcat: 'seq 99 | bzip2 | bzcat | tail -1',
  bzip2: 'seq 999 | bzip2 | md5sum',
  cal: 'cal 2 2024',
  cat: 'seq 3 | cat -n -',
  chgrp: 'touch f; chgrp 5 f; stat -c %g f',
  chmod: 'touch f; chmod 4751 f; stat -c %a f',
  chown: 'touch f; chown 7:8 f; stat -c %u:%g f',
  chroot: 'mkdir -p r/bin; cp /bin/busybox r/bin; chroot r /bin/busybox ls /',
  cmp: 'seq 5 >a; seq 6 >b; cmp a b; echo $?',
  cp: 'mkdir -p d/e; echo x >d/e/f; cp -a d g; cat g/e/f',
  cpio: 'mkdir d; seq 9 >d/f; find d | sort | cpio -o -H newc 2>/dev/null | cpio -t 2>/dev/null',
  crc32: 'seq 9 >f; crc32 f',
  cut: 'echo a:b:c | cut -d: -f2',
  date: 'date -u -d @86400 +%F',
  dc: 'echo "3 4 * p" | dc',
  dd: 'dd if=/dev/zero bs=1k count=5 2>/dev/null | wc -c',
  df: 'df /proc | head -1',
  diff: 'seq 5 >a; seq 2 6 >b; diff -U1 -L a -L b a b',
  dirname: 'dirname /a/b/c',
  dos2unix: "printf 'a\\r\\n' | dos2unix | od -c",
  du: 'mkdir d; du d | wc -l',
  echo: 'echo -e "a\\tb"',
  ed: "printf 'a\\nhello\\n.\\nw f\\nq\\n' | ed -s; cat f",
  egrep: "seq 20 | egrep '^(1|2)$'",
  env: 'env -i A=1 env',
  expand: "printf 'a\\tb\\n' | expand",
  expr: 'expr 6 \\* 7',
  factor: 'factor 1234567890',
  fallocate: 'fallocate -l 5000 f; stat -c %s f',
  false: 'false; echo $?',
  fgrep: 'seq 20 | fgrep 9',
  find: 'mkdir -p a/b; touch a/b/c; find . -type f',
  fold: 'seq 5 | tr -d "\\n" | fold -w 2',
  getopt: 'getopt -o ab: -- -a -b x y',
  grep: 'seq 30 | grep -c 2',
  groups: 'groups',
  gunzip: 'seq 99 | gzip | gunzip | md5sum',
  gzip: 'seq 999 | gzip -n | gunzip | md5sum',
  head: 'seq 10 | head -n 3',
  hexdump: 'seq 5 | hexdump -C',
  hostid: 'hostid | wc -c',
  hostname: 'test -n "$(hostname)"; echo $?',
  id: 'id',
  install: 'install -m 600 /bin/busybox f; stat -c %a f',
  ipcalc: 'ipcalc -b -n 192.0.2.5/24',
  kill: 'sleep 100 & kill $!; wait $!; echo $?',
  killall: 'killall no-such-process; echo $?',
  less: 'seq 3 | less',
  link: 'touch a; link a b; stat -c %h b',
  ln: 'ln -s x y; readlink y',
  logname: 'logname 2>/dev/null; echo done',
  ls: 'mkdir d; touch d/b d/a; ls -1 d',
  lzcat: 'lzcat --help 2>/dev/null; echo done',
  md5sum: 'seq 9 | md5sum',
  mim: 'echo done',
  mkdir: 'mkdir -p a/b/c; find a',
  mkfifo: 'mkfifo p; (echo through >p &) ; cat p',
  mknod: 'mknod p p; stat -c %F p',
  mkpasswd: 'mkpasswd -m md5 -S abcdefgh secret',
  mktemp: 'test -f "$(mktemp)"; echo $?',
  more: 'seq 3 | more',
  mv: 'echo 1 >a; mv a b; cat b',
  nice: 'nice -n 5 nice',
  nl: 'seq 3 | nl',
  nohup: 'nohup echo hi 2>/dev/null',
  nproc: 'nproc',
  od: 'seq 3 | od -x',
  paste: 'seq 3 >a; seq 4 6 | paste a -',
  patch: "seq 3 >a; printf -- '--- a\\n+++ a\\n@@ -1,3 +1,3 @@\\n 1\\n-2\\n+two\\n 3\\n' | patch; cat a",
  pidof: 'pidof no-such-process; echo $?',
  printf: "printf '%05d|%s\\n' 42 x",
  ps: 'ps -o comm | head -1',
  pwd: 'pwd',
  readlink: 'ln -s /etc l; readlink -f l',
  realpath: 'mkdir -p a/b; realpath a/b/..',
  renice: 'renice -n 3 -p $$ >/dev/null; echo $?',
  rev: 'echo abc | rev',
  rm: 'mkdir -p a/b; rm -r a; ls',
  rmdir: 'mkdir -p a/b; rmdir -p a/b; ls',
  sed: "seq 5 | sed -n 's/3/three/p'",
  seq: 'seq -w 8 11',
  setsid: 'setsid echo hi',
  sh: "sh -c 'echo $0' name",
  sha1sum: 'seq 9 | sha1sum',
  sha256sum: 'seq 9 | sha256sum',
  sha3sum: 'seq 9 | sha3sum',
  sha512sum: 'seq 9 | sha512sum',
  shred: 'seq 9 >f; shred -u f; ls',
  shuf: 'seq 50 | shuf | sort -n | md5sum',
  sleep: 'sleep 0.05; echo $?',
  sort: 'seq 20 | sort -r | head -3',
  split: 'seq 10 | split -l 4; cat xac',
  stat: 'touch f; chmod 640 f; stat -c "%A %s" f',
  strings: 'strings /bin/busybox | grep -c BusyBox',
  stty: 'stty </dev/null; echo $?',
  sum: 'seq 9 | sum',
  sync: 'sync; echo $?',
  tac: 'seq 3 | tac',
  tail: 'seq 10 | tail -n 2',
  tar: 'mkdir d; seq 9 >d/f; tar cf - d | tar tf -',
  taskset: 'taskset 1 echo ran',
  tee: 'echo x | tee f; cat f',
  test: 'test -d /; echo $?',
  time: 'time true 2>/dev/null; echo $?',
  timeout: 'timeout 0.1 sleep 10; echo $?',
  top: 'top -b -n 1 | grep -c PID',
  touch: 'touch -d "2020-01-02 03:04:05" f; stat -c %Y f',
  tr: 'echo hello | tr a-y b-z',
  true: 'true; echo $?',
  truncate: 'truncate -s 10k f; stat -c %s f',
  ts: 'echo x | ts | wc -w',
  tty: 'tty </dev/null; echo $?',
  uname: 'uname -s -m',
  uncompress: 'echo done',
  unexpand: "printf '        a\\n' | unexpand | od -c",
  uniq: 'printf "a\\na\\nb\\n" | uniq -c',
  unix2dos: 'echo a | unix2dos | od -c',
  unlink: 'touch f; unlink f; ls',
  unshare: 'unshare -u hostname elsewhere; echo $?',
  unxz: 'echo done',
  unzip: 'echo done',
  usleep: 'usleep 1000; echo $?',
  uudecode: 'seq 5 >f; uuencode f g | uudecode -o -',
  uuencode: 'seq 5 >f; uuencode f f',
  vi: "printf 'i' >/dev/null; vi --help 2>&1 | grep -c vi",
  wc: 'seq 100 | wc',
  which: 'which -a ls | tail -1',
  whoami: 'whoami',
  xargs: 'seq 10 | xargs -n 3 echo',
  xxd: 'seq 5 | xxd',
  xzcat: 'seq 99 | /usr/bin/xz | xzcat | md5sum',
  yes: 'yes | head -n 3',
  zcat: 'seq 99 | gzip | zcat | md5sum',
};

const applets = spawnSync('/bin/busybox', ['--list'], { encoding: 'utf8' })
  .stdout.split('\n')
  .filter((name) => name !== '');

/** All commands in one script, each applet in a directory of its own, its output under a heading. */
function script(names: string[]): string {
  const lines = ['mkdir bin', 'busybox --install -s bin', 'PATH=$PWD/bin', 'TOP=$PWD'];
  for (const name of names) {
    const command = commands[name] ?? `'${name}' --help 2>&1`;
    lines.push(`echo "== ${name}"`, `mkdir "$TOP/work"; cd "$TOP/work"`, `( ${command} ) </dev/null 2>err; echo "status $?"`);
    lines.push('cd "$TOP"; rm -rf work');
  }
  return lines.join('\n');
}

const sections = (output: string): Map<string, string> => new Map(output.split('== ').map((part) => [part.split('\n')[0] as string, part]));

describe('busybox', () => {
  test('every applet, under ash', { timeout: 400_000 }, async () => {
    expect(applets.length).toBeGreaterThan(200);
    const { host, sandbox } = await hostAndSandbox(`exec busybox ash -c '${script(applets).replaceAll("'", "'\\''")}'`, {
      timeout: 180_000,
      normal: () => '',
    });
    const wanted = sections(host.stdout);
    const got = sections(sandbox.stdout);
    const different = [...wanted]
      .filter(([name, text]) => got.get(name) !== text)
      .map(([name, text]) => ({ name, text, got: got.get(name) }));
    expect(different).toEqual([]);
    expect(wanted.size).toBe(applets.length + 1);
  });

  test('ash: functions, loops, arithmetic, case, here-document, trap', async () => {
    const script = `
        fact() { [ $1 -le 1 ] && echo 1 || echo $(( $1 * $(fact $(( $1 - 1 ))) )); }
        fact 10
        for i in a b c; do case $i in b) continue;; esac; echo $i; done
        cat <<END | tr a-z A-Z
        here $((1+1)) document
END
        trap 'echo trapped; exit 3' USR1
        kill -USR1 $$
        echo not reached`;
    await hostAndSandbox(`exec busybox ash -c '${script.replaceAll("'", "'\\''")}'`, { status: 3 });
  });
});
