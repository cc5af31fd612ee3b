#!/bin/sh
# Builds the ptrace engine's native half: build.sh [OUTDIR] (default dist/native) makes OUTDIR/tracer.
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
tracer=$here/tracer
# No vector registers: the kernel then has nothing of them to change when it goes from a guest to the tracer and back.
$cc $warn -ffreestanding -nostdlib -static -no-pie -fpie -mgeneral-regs-only -fno-stack-protector \
  -fcf-protection=none -fno-asynchronous-unwind-tables -fno-tree-loop-distribute-patterns \
  -Wl,-T,"$tracer/$arch/tracer.lds" -Wl,--build-id=none -Wl,-z,noexecstack \
  -o "$tmp/tracer" "$tracer"/*.c "$tracer/$arch"/*.[cS] "$root"/native/common/*.c "$root/native/common/$arch"/*.c
strip "$tmp/tracer"
mv -f "$tmp/tracer" "$out/tracer" # a running sandbox keeps its own copy
