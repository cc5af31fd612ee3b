#!/bin/bash
# Measures programs from inside: programs.sh FIXTURES SCRATCH ROW...
#
# Each row prints one line as the guest program does: `NAME MIN MEDIAN MEAN` in nanoseconds, or `NAME ! REASON`. What a row needs is made
# before the clock starts; what it writes goes to the scratch folder. Short programs run several times.
set -u
fixtures=$1 scratch=$(mktemp -d "$2/programs-XXXXXX")
shift 2
trap 'rm -rf "$scratch"' EXIT
export HOME=$scratch npm_config_cache=$scratch/npm-cache npm_config_update_notifier=false
log=$scratch/log

refuse() { # ROW REASON...
  local row=$1
  shift
  echo "$row ! $*"
}

needs() { # ROW PROGRAM...: says which one is missing
  local row=$1 p
  shift
  for p in "$@"; do
    command -v "$p" >/dev/null || { refuse "$row" "$p is not installed"; return 1; }
  done
}

timed() { # ROW REPETITIONS COMMAND...
  local row=$1 repetitions=$2 i start end times=() sum=0
  shift 2
  for ((i = 0; i < repetitions; i++)); do
    start=${EPOCHREALTIME/[.,]/}
    if ! "$@" >"$log" 2>&1; then
      refuse "$row" "$1 failed: $(tail -n 1 "$log" | tr -d '\n')"
      return
    fi
    end=${EPOCHREALTIME/[.,]/}
    times+=($((end - start)))
    sum=$((sum + end - start))
  done
  mapfile -t times < <(printf '%s\n' "${times[@]}" | sort -n)
  echo "$row ${times[0]}000 ${times[repetitions / 2]}000 $((sum / repetitions))000"
}

loop_true() {
  local i
  for ((i = 0; i < 200; i++)); do /bin/true || return; done
}

# One transaction a row, as an application without batches does it.
sqlite() { # SYNCHRONOUS
  rm -f "$scratch"/test.db*
  sqlite3 "$scratch/test.db" <"$scratch/inserts-$1"
}

prepare_sqlite() { # SYNCHRONOUS
  {
    echo "PRAGMA synchronous=$1;"
    echo 'CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, value INTEGER);'
    for ((i = 0; i < 10000; i++)); do echo "INSERT INTO t(name, value) VALUES('name $i', $((i * 7)));"; done
  } >"$scratch/inserts-$1"
}

redis() {
  local socket=$scratch/redis.sock server i
  redis-server --port 0 --unixsocket "$socket" --save '' --appendonly no --dir "$scratch" >"$scratch/redis.log" 2>&1 &
  server=$!
  for ((i = 0; i < 200; i++)); do
    [ "$(redis-cli -s "$socket" ping 2>/dev/null)" = PONG ] && break
    sleep 0.05
  done
  if [ "$i" = 200 ]; then
    refuse redis "redis-server did not answer: $(tail -n 1 "$scratch/redis.log" | tr -d '\n')"
  else
    timed redis 1 redis-benchmark -s "$socket" -n 10000 -c 20 -t get,set -q
  fi
  kill "$server" 2>/dev/null
  wait "$server"
}

for row; do
  case $row in
    python3) needs "$row" python3 && timed "$row" 5 python3 -c pass ;;
    node) needs "$row" node && timed "$row" 5 node -e 0 ;;
    bash-true) timed "$row" 1 loop_true ;;
    tar) needs "$row" tar && mkdir "$scratch/tree" && timed "$row" 1 tar -xf "$fixtures/tree.tar" -C "$scratch/tree" ;;
    git-status) needs "$row" git && timed "$row" 3 git --no-optional-locks -C "$fixtures/tree" status --porcelain ;;
    find) needs "$row" find && timed "$row" 3 find "$fixtures/tree" -size +1000k ;;
    make)
      needs "$row" make gcc && cp -r "$fixtures/c-project" "$scratch/c-project" && timed "$row" 1 make -s -C "$scratch/c-project"
      ;;
    npm-install)
      needs "$row" node npm && cp -r "$fixtures/npm/app" "$scratch/app" && cp -r "$fixtures/npm/packages" "$scratch/packages" &&
        timed "$row" 1 npm install --offline --no-audit --no-fund --ignore-scripts --prefix "$scratch/app"
      ;;
    sqlite-fsync) needs "$row" sqlite3 && prepare_sqlite FULL && timed "$row" 1 sqlite FULL ;;
    sqlite) needs "$row" sqlite3 && prepare_sqlite OFF && timed "$row" 1 sqlite OFF ;;
    redis) needs "$row" redis-server redis-cli redis-benchmark && redis ;;
    *) refuse "$row" 'no such row' ;;
  esac
done
