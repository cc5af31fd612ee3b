// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the braces are the shell's
// bash: job control, pipes, here-documents, traps, long pipelines.

import { describe, test } from 'vitest';
import { hostAndSandbox } from '../support/compare.ts';

const bash = { shell: '/bin/bash' };

describe('bash', () => {
  test('expansion, arrays, arithmetic, process substitution', async () => {
    await hostAndSandbox(
      String.raw`
        a=(one "two words" three); echo "${'${#a[@]}'} ${'${a[1]}'}"
        declare -A m=([x]=1 [y]=2); for k in "${'${!m[@]}'}"; do echo $k=${'${m[$k]}'}; done | sort
        echo $((2**20)) ${'${PWD##*/}'} | wc -w
        diff <(seq 5) <(seq 2 6)
        while read -r l; do echo "<$l>"; done < <(printf 'a\nb\n')
        printf -v s '%(%Y)T' 0; echo $s; [[ abc =~ ^a(.)c$ ]] && echo ${'${BASH_REMATCH[1]}'}`,
      bash,
    );
  });

  test('here-documents and here-strings', async () => {
    await hostAndSandbox('x=5; cat <<A; cat <<\'B\'; cat <<<"string $x"\nvalue $x $(echo sub)\nA\nvalue $x\nB\n', bash);
  });

  test('pipes, pipefail, exit status of each part', async () => {
    await hostAndSandbox(
      'true | false | (exit 3); echo ${PIPESTATUS[@]}; set -o pipefail; false | true; echo $?; seq 100000 | head -1; yes | sed 3q; echo $?',
      bash,
    );
  });

  test('a pipeline of 200 processes', { timeout: 120_000 }, async () => {
    const pipeline = ['echo through', ...Array.from({ length: 199 }, () => 'cat')].join(' | ');
    await hostAndSandbox(pipeline, bash);
  });

  test('traps and signals', async () => {
    await hostAndSandbox(
      `
        trap 'echo usr1' USR1; kill -USR1 $$; sleep 0.01
        trap 'echo exit $?' EXIT; trap 'echo err' ERR; false
        (trap - EXIT; kill -TERM $BASHPID); echo $?
        bash -c 'kill -SEGV $$'; echo $?
        trap '' INT; kill -INT $$; echo ignored; exit 7`,
      { ...bash, status: 7 },
    );
  });

  test('job control without a terminal', async () => {
    await hostAndSandbox(
      `
        set -m
        sleep 100 & p=$!
        kill -STOP $p; while [ "$(cut -d' ' -f3 /proc/$p/stat)" != T ]; do sleep 0.01; done
        jobs | sed 's/  */ /g'
        kill $p; kill -CONT $p; wait $p; wait $p; [ $? -gt 128 ] && echo killed
        (exit 5) & wait $!; echo $?
        for i in 1 2 3; do (exit $i) & done; wait; echo all
        coproc { read l; echo "got $l"; }; echo hi >&${'${COPROC[1]}'}; read r <&${'${COPROC[0]}'}; echo $r`,
      bash,
    );
  });

  test('wait -n, background output, nested subshells', async () => {
    await hostAndSandbox(
      `
        (sleep 0.6; exit 1) & (sleep 0.2; exit 2) & wait -n; echo $?; wait -n; echo $?; ( ( ( echo $BASH_SUBSHELL ) ) );
        echo $(echo $(echo $(echo deep)))`,
      bash,
    );
  });

  test('redirections', async () => {
    await hostAndSandbox(
      `
        exec 5>f; echo five >&5; exec 5>&-; cat f; ls /absent 2>&1 >/dev/null | wc -l; { echo o; echo e >&2; } 2>err; cat err;
        echo a >|f; echo b >>f; cat <f; : <>new; ls; set -C; echo x >f || echo refused`,
      { ...bash, normal: (output) => output.replaceAll(/bash: line \d+/g, 'bash') },
    );
  });

  test('a loop of 200 commands', { timeout: 120_000 }, async () => {
    await hostAndSandbox('for i in $(seq 200); do /bin/echo $i; done | tail -1; for i in $(seq 200); do x=$(true); done; echo done', bash);
  });

  test('exit status of killed children and of missing commands', async () => {
    await hostAndSandbox("sh -c 'kill -9 $$'; echo $?; no-such-command 2>/dev/null; echo $?; /etc/passwd 2>/dev/null; echo $?; exit 300", {
      ...bash,
      status: 44,
    });
  });
});
