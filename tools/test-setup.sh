#!/bin/bash
# Gets what the tests need from Debian: packages, a small Debian tree, a package file, and the sources of two C projects.
#
#   tools/test-setup.sh           installs what is missing (as root) and fills the cache
#   tools/test-setup.sh --check   only says what is missing; status 1 if anything is
#   tools/test-setup.sh --cache   prints the folder of the cache
#
# The cache is $RINGFENCE_TEST_CACHE, else ${XDG_CACHE_HOME:-~/.cache}/ringfence; it may be removed at any time. It holds
#   debian/           a Debian root made by debootstrap (tests never write to it, they run above an overlay)
#   debs/hello.deb    a package for dpkg -i
#   src/lua, src/zlib unpacked sources from Debian's source packages
set -euo pipefail

cache=${RINGFENCE_TEST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/ringfence}
suite=bookworm
packages=(
  # what builds the product
  make gcc g++ libc6-dev linux-libc-dev
  # what tests run in the sandbox, to compare with the host
  busybox-static musl-tools bash dash coreutils findutils grep sed gawk tar gzip bzip2 xz-utils file bc diffutils procps psmisc
  util-linux less perl python3 git sqlite3 redis-server redis-tools openssl golang-go vim-tiny tmux login passwd acl attr
  netcat-openbsd iproute2 strace
  # what makes trees and bundles
  debootstrap dpkg-dev runc ca-certificates
)

case ${1:-} in
  --cache)
    echo "$cache"
    exit 0
    ;;
esac

missing=()
for p in "${packages[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing+=("$p")
done
parts=()
for f in debian/.complete debs/hello.deb src/lua/.complete src/zlib/.complete; do
  [ -e "$cache/$f" ] || parts+=("$f")
done

if [ "${1:-}" = --check ]; then
  [ ${#missing[@]} -eq 0 ] || echo "missing packages: ${missing[*]}"
  [ ${#parts[@]} -eq 0 ] || echo "missing in $cache: ${parts[*]}"
  [ ${#missing[@]} -eq 0 ] && [ ${#parts[@]} -eq 0 ]
  exit
fi
[ ${#missing[@]} -eq 0 ] && [ ${#parts[@]} -eq 0 ] && exit 0

if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ]; then
    echo "test-setup: packages are missing that only root can install: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  echo "test-setup: installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  # A server that is installed here must not start on the host.
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  apt-get -q -o Acquire::Retries=3 update >/dev/null || echo "test-setup: apt-get update had errors" >&2
  apt-get -q -y -o Acquire::Retries=3 install --no-install-recommends "${missing[@]}" </dev/null >/dev/null
fi

mkdir -p "$cache/debs" "$cache/src" "$cache/apt/lists/partial"

# The mirror that this machine itself uses.
mirror=$(apt-get indextargets --format '$(SITE) $(CODENAME) $(COMPONENT)' | awk -v s=$suite '$2 == s && $3 == "main" { print $1; exit }')
if [ -z "$mirror" ]; then
  echo "test-setup: apt knows no source for $suite main" >&2
  exit 1
fi

# apt with package sources and lists of its own.
echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$cache/apt/sources.list"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >>"$cache/apt/sources.list"
own_apt=(
  -q -o Acquire::Retries=3 -o "Dir::Etc::sourcelist=$cache/apt/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$cache/apt/lists"
  -o "Dir::Cache::pkgcache=" -o "Dir::Cache::srcpkgcache=" -o APT::Sandbox::User=root
)

unpack_source() { # NAME PACKAGE
  [ -e "$cache/src/$1/.complete" ] && return
  echo "test-setup: source of $2"
  rm -rf "$cache/src/$1" "$cache/src/.$1"
  mkdir -p "$cache/src/.$1"
  (cd "$cache/src/.$1" && apt-get "${own_apt[@]}" source "$2" </dev/null >/dev/null 2>&1)
  mv "$cache/src/.$1"/*/ "$cache/src/$1"
  rm -rf "$cache/src/.$1"
  touch "$cache/src/$1/.complete"
}

for f in "${parts[@]}"; do
  case $f in debian/*) continue ;; esac
  apt-get "${own_apt[@]}" update </dev/null >/dev/null
  break
done
if [ ! -e "$cache/debs/hello.deb" ]; then
  echo "test-setup: package hello"
  (cd "$cache/debs" && apt-get "${own_apt[@]}" download hello </dev/null >/dev/null && mv hello_*.deb hello.deb)
fi
unpack_source lua lua5.4
unpack_source zlib zlib

if [ ! -e "$cache/debian/.complete" ]; then
  if [ "$(id -u)" != 0 ]; then
    echo "test-setup: only root can make the Debian tree in $cache/debian" >&2
    exit 1
  fi
  echo "test-setup: a Debian tree by debootstrap (some minutes)"
  rm -rf "$cache/debian"
  if ! debootstrap --variant=minbase $suite "$cache/debian" "$mirror" </dev/null >"$cache/debootstrap.log" 2>&1; then
    tail -n 5 "$cache/debootstrap.log" >&2
    exit 1
  fi
  rm -rf "$cache"/debian/var/cache/apt/archives/*.deb "$cache"/debian/var/lib/apt/lists/*
  touch "$cache/debian/.complete"
fi
