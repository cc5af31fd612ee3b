#!/bin/sh
# Builds what the Sentry's half of all engines needs: build.sh [OUTDIR] (default dist/native) makes OUTDIR/platform.node, and fails when
# src/platform/common/layout.ts is not what native/include/context.h says. build.sh --update-layout writes that file.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
layout=$root/src/platform/common/layout.ts
cc=${CC:-gcc}
warn='-std=gnu11 -O2 -Wall -Wextra -Werror'
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

$cc $warn -o "$tmp/layout" "$here/layout.c"
"$tmp/layout" > "$tmp/layout.ts"
if [ "${1:-}" = --update-layout ]; then
  cp "$tmp/layout.ts" "$layout"
  exit 0
fi
if ! diff -u "$layout" "$tmp/layout.ts"; then
  echo "build.sh: $layout differs from native/include/context.h; run $0 --update-layout" >&2
  exit 1
fi

out=${1:-$root/dist/native}
mkdir -p "$out"
headers=$(node -p "require('path').resolve(process.execPath, '../../include/node')")
[ -f "$headers/node_api.h" ] || headers=/usr/include/node
$cc $warn -shared -fPIC -fvisibility=hidden -I"$headers" -DNODE_GYP_MODULE_NAME=platform -o "$tmp/platform.node" "$here/addon.c"
mv -f "$tmp/platform.node" "$out/platform.node" # a running sandbox keeps its own copy
