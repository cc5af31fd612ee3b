#!/bin/sh
# Builds the systrap engine's native half: build.sh [OUTDIR] (default dist/native) makes OUTDIR/systrap.node and OUTDIR/stub, and fails
# when src/platform/systrap/layout.ts is not what native/include/context.h says. build.sh --update-layout writes that file.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
layout=$root/src/platform/systrap/layout.ts
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
stub=$here/stub
$cc $warn -ffreestanding -nostdlib -static -no-pie -fpie -mgeneral-regs-only -mno-red-zone -fno-stack-protector \
  -fcf-protection=none -fno-asynchronous-unwind-tables -fno-tree-loop-distribute-patterns \
  -Wl,-T,"$stub/stub.lds" -Wl,--build-id=none -Wl,-z,noexecstack \
  -o "$tmp/stub" "$stub"/*.c "$stub"/*.S
strip "$tmp/stub"

headers=$(node -p "require('path').resolve(process.execPath, '../../include/node')")
[ -f "$headers/node_api.h" ] || headers=/usr/include/node
$cc $warn -shared -fPIC -fvisibility=hidden -I"$headers" -DNODE_GYP_MODULE_NAME=systrap -o "$tmp/systrap.node" "$here/addon.c"

# A running sandbox keeps its own copy.
mv -f "$tmp/stub" "$out/stub"
mv -f "$tmp/systrap.node" "$out/systrap.node"
