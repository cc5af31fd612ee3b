// sqlite3 and redis.

import { describe, test } from 'vitest';
import { hostAndSandbox } from '../support/compare.ts';

describe('sqlite3', () => {
  test('the shell: schema, transactions, indices, window functions, backup', async () => {
    await hostAndSandbox(
      `
        sqlite3 t.db "
          create table t(a integer primary key, b text);
          with recursive c(n) as (select 1 union all select n+1 from c where n<20000) insert into t select n, printf('row %d', n*n) from c;
          create index i on t(b);
          select count(*), max(a) from t;"
        sqlite3 t.db "
          begin; delete from t where a > 100; rollback; select count(*) from t;
          pragma journal_mode=wal; update t set b = upper(b) where a % 3 = 0;
          select b from t where a in (3, 4); select sum(a) over (order by a) from t limit 3;"
        sqlite3 t.db .dump | md5sum; sqlite3 t.db "vacuum into 'c.db'; pragma integrity_check"; sqlite3 c.db "select count(*) from t"; ls`,
    );
  });

  test('two writers wait for each other', async () => {
    await hostAndSandbox(
      `
        sqlite3 t.db 'create table t(a)'; for w in 1 2 3;
        do (for i in $(seq 15); do sqlite3 -cmd '.timeout 30000' t.db "insert into t values($i)"; done) & done; wait;
        sqlite3 t.db 'select count(*), sum(a) from t'`,
    );
  });
});

describe('redis', () => {
  const session = (connect: string): string => String.raw`
    redis-cli ${connect} ping
    redis-cli ${connect} set key value
    redis-cli ${connect} get key
    seq 2000 | sed 's/.*/SET k& v&/' | redis-cli ${connect} --pipe | tail -1
    redis-cli ${connect} dbsize
    redis-cli ${connect} lpush l a b c
    redis-cli ${connect} lrange l 0 -1
    redis-cli ${connect} eval 'return redis.call("incrby", KEYS[1], 5)' 1 n
    (redis-cli ${connect} blpop waits 20 | tail -1) >popped &
    sleep 0.2; redis-cli ${connect} rpush waits woken; wait $!; cat popped; rm popped
    redis-cli ${connect} save
    redis-cli ${connect} bgsave; while redis-cli ${connect} info persistence | grep -q rdb_bgsave_in_progress:1; do sleep 0.05; done
    redis-cli ${connect} info persistence | grep rdb_last_bgsave_status | tr -d '\r'
    redis-benchmark ${connect} -q -n 2000 -c 20 -t set,get | tr '\r' '\n' | grep -c 'requests per second'
    redis-cli ${connect} shutdown nosave; wait; ls`;
  const wait = (connect: string): string => `for i in $(seq 200); do redis-cli ${connect} ping >/dev/null 2>&1 && break; sleep 0.05; done;`;

  test('on a unix socket', { timeout: 120_000 }, async () => {
    const c = '-s ./sock';
    await hostAndSandbox(`redis-server --port 0 --unixsocket ./sock --save '' --daemonize no >log & ${wait(c)} ${session(c)}`, {
      timeout: 55_000,
      normal,
    });
  });

  test('on 127.0.0.1', { timeout: 120_000 }, async () => {
    const c = '-h 127.0.0.1 -p 46379';
    await hostAndSandbox(`redis-server --port 46379 --bind 127.0.0.1 --appendonly yes >log & ${wait(c)} ${session(c)}`, {
      timeout: 55_000,
      normal,
    });
  });
});

/** How many lines of progress the benchmark prints depends on the speed. */
function normal(output: string): string {
  return output.replace(/^(\d+)(?=\n(appendonlydir|dump))/m, 'N');
}
