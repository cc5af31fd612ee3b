#!/usr/bin/env bash
# Builds the static launcher (DIST/native/launch) and the command itself (bin/ringfence, beside DIST), and records the node to use.
# Usage: build.sh DIST
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dist=${1:-$here/../../dist}
mkdir -p "$dist/native" "$dist/../bin"
bin=$(cd "$dist/../bin" && pwd)
flags=(-std=gnu17 -O2 -static -Wall -Wextra -Werror -Wno-unused-result -fstack-protector-strong -D_FORTIFY_SOURCE=2)
if [ "$(uname -m)" != x86_64 ]; then
  echo "ringfence runs on x86-64 only; this machine is $(uname -m)" >&2
  exit 1
fi
"${CC:-gcc}" "${flags[@]}" -s -o "$dist/native/launch.new" \
  "$here"/{launch,plan,util,spaces,maps,root,controot,view,hook,creds,filter,sandbox,gofer,standin,oom}.c
mv -f "$dist/native/launch.new" "$dist/native/launch"
# The options of the entrypoint's own node, as the strings of a C array.
options=$(node -p 'JSON.parse(require("fs").readFileSync(process.argv[1], "utf8")).ringfence.map((o) => JSON.stringify(o) + ",").join(" ")' \
  "$here/../../runsc-compat/nodeflags.json")
"${CC:-gcc}" "${flags[@]}" -DNODE_OPTIONS_LIST="$options" -s -o "$bin/ringfence.new" "$here/ringfence.c"
mv -f "$bin/ringfence.new" "$bin/ringfence"
node=$(node -p process.execPath 2>/dev/null || true)
if [ -n "$node" ]; then echo "$node" >"$bin/.node"; fi
