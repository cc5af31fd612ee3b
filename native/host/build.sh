#!/bin/sh
# Builds the host addon: native/host/build.sh [OUTDIR], default dist/native.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-"$here/../../dist/native"}
include=$(node -p "require('path').resolve(process.execPath,'../../include/node')")
[ -f "$include/node_api.h" ] || include=/usr/include/node
mkdir -p "$out"
cd "$here"
"${CC:-gcc}" -shared -fPIC -O2 -std=gnu11 -Wall -Wextra -Werror -fvisibility=hidden -fstack-protector-strong -Wl,-z,relro,-z,now \
  -I"$include" -o "$out/host.node.tmp" addon.c io.c fs.c sock.c proc.c spawn.c
mv "$out/host.node.tmp" "$out/host.node"
