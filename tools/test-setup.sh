#!/bin/bash
# Installs the Debian packages that the tests run in the sandbox or compare with (test/support/packages.txt), if any is missing.
#
#   tools/test-setup.sh           installs them; only root can
#   tools/test-setup.sh --check   only says what is missing; status 1 if anything is
#
# What the tests make themselves and keep (a Debian tree, sources of packages) lies in ${XDG_CACHE_HOME:-~/.cache}/ringfence-test.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
# These build the product, the others are named in the list: one package a line, # begins a remark.
packages=(make gcc g++ libc6-dev linux-libc-dev ca-certificates)
while read -r name _; do
  case $name in '' | \#*) ;; *) packages+=("$name") ;; esac
done <"$here/test/support/packages.txt"

if ! command -v dpkg-query >/dev/null; then
  echo "test-setup: this is no Debian; install by hand what corresponds to: ${packages[*]}" >&2
  exit 1
fi
missing=()
for p in "${packages[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing+=("$p")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "${1:-}" = --check ]; then
  echo "missing packages: ${missing[*]}"
  exit 1
fi
if [ "$(id -u)" != 0 ]; then
  echo "test-setup: packages are missing that only root can install: apt-get install ${missing[*]}" >&2
  exit 1
fi
log=$(mktemp)
echo "test-setup: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
# A server that is installed here must not start on the host.
if [ ! -e /usr/sbin/policy-rc.d ]; then
  printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
  chmod 755 /usr/sbin/policy-rc.d
  trap 'rm -f /usr/sbin/policy-rc.d' EXIT
fi
apt-get -q -o Acquire::Retries=3 update >/dev/null || echo "test-setup: apt-get update had errors" >&2
if ! apt-get -q -y -o Acquire::Retries=3 install --no-install-recommends "${missing[@]}" </dev/null >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  exit 1
fi
