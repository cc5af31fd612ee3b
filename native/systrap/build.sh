#!/bin/sh
# Builds the systrap engine's native half: build.sh [OUTDIR] (default dist/native) makes OUTDIR/stub.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cc=${CC:-gcc}
arch=$(uname -m) # folders of this name hold what it has its own way
warn='-std=gnu11 -O2 -Wall -Wextra -Werror'
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

out=${1:-$root/dist/native}
mkdir -p "$out"
stub=$here/stub
shared=$root/native/stub
$cc $warn -ffreestanding -nostdlib -static -no-pie -fpie -mgeneral-regs-only -mno-red-zone -fno-stack-protector \
  -fcf-protection=none -fno-asynchronous-unwind-tables -fno-tree-loop-distribute-patterns \
  -Wl,-T,"$shared/$arch/stub.lds" -Wl,--build-id=none -Wl,-z,noexecstack \
  -o "$tmp/stub" "$root"/native/common/*.c "$root/native/common/$arch"/*.c "$shared"/*.c "$shared/$arch"/*.[cS] "$stub"/*.c "$stub/$arch"/*.[cS]
strip "$tmp/stub"
mv -f "$tmp/stub" "$out/stub" # a running sandbox keeps its own copy
