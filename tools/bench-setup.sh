#!/bin/bash
# Installs what `npm run bench` compares with and runs: runc, runsc (from bookworm-backports), and the programs of its rows.
#
#   tools/bench-setup.sh           installs what is missing; only root can
#   tools/bench-setup.sh --check   only says what is missing; status 1 if anything is
#
# Where bookworm-backports is not configured it is added in a file of its own, at the mirror that this machine's sources name
# already. Rows whose programs are missing say so in the table; nothing else depends on this script.
set -euo pipefail

added=/etc/apt/sources.list.d/ringfence-bench-backports.sources
packages=(gcc libc6-dev make git python3 sqlite3 redis-server redis-tools busybox-static runc runsc)

if ! command -v dpkg-query >/dev/null; then
  echo "bench-setup: this is no Debian; install by hand what corresponds to: ${packages[*]}" >&2
  exit 1
fi
installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }
missing=()
for p in "${packages[@]}"; do
  # A program that was put there by hand serves as well.
  case $p in runc | runsc) command -v "$p" >/dev/null && continue ;; esac
  installed "$p" || missing+=("$p")
done
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "${1:-}" = --check ]; then
  echo "missing packages: ${missing[*]}"
  exit 1
fi
if [ "$(id -u)" != 0 ]; then
  echo "bench-setup: packages are missing that only root can install: ${missing[*]}" >&2
  exit 1
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive

update() {
  apt-get -q -o Acquire::Retries=3 update >"$log" 2>&1 && return
  tail -n 5 "$log" >&2
  echo "bench-setup: apt-get update had errors" >&2
}

# Prints a deb822 paragraph for bookworm-backports, made of the first source that offers bookworm itself; fails if there is none.
backports_paragraph() {
  local sources=() f
  for f in /etc/apt/sources.list.d/*.sources; do [ -e "$f" ] && sources+=("$f"); done
  if [ ${#sources[@]} -gt 0 ]; then
    awk -v RS= -v FS='\n' '
      /(^|\n)Suites:[^\n]*[ \t]bookworm([ \t\n]|$)/ && /(^|\n)Types:[^\n]*deb/ {
        print "Types: deb"
        for (i = 1; i <= NF; i++) if ($i ~ /^(URIs|Signed-By|Trusted):/) print $i
        print "Suites: bookworm-backports\nComponents: main"
        found = 1
        exit
      }
      END { exit !found }' "${sources[@]}" && return
  fi
  local lists=()
  for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do [ -e "$f" ] && lists+=("$f"); done
  [ ${#lists[@]} -gt 0 ] || return
  awk '
    $1 == "deb" {
      at = 2
      if ($2 ~ /^\[/) { while (at < NF && $at !~ /\]$/) at++; at++ }
      if ($(at + 1) != "bookworm") next
      print "Types: deb\nURIs: " $at
      if (match($0, /signed-by=[^] ]+/)) print "Signed-By: " substr($0, RSTART + 10, RLENGTH - 10)
      print "Suites: bookworm-backports\nComponents: main"
      found = 1
      exit
    }
    END { exit !found }' "${lists[@]}"
}

# Whether some source offers package $1, in suite $2 if that is given; reads all of apt's answer, so that no pipe breaks.
offered() { [ -n "$(apt-cache madison "$1" | grep -F "${2:-}")" ]; }

update
wants_runsc=$(printf '%s\n' "${missing[@]}" | grep -x runsc || true)
if [ -n "$wants_runsc" ] && ! offered runsc bookworm-backports && [ ! -e "$added" ]; then
  if paragraph=$(backports_paragraph); then
    printf '%s\n' "$paragraph" >"$added"
    echo "bench-setup: added bookworm-backports in $added"
    update
  else
    echo "bench-setup: no configured source offers bookworm, so none can be derived for its backports" >&2
  fi
fi
wanted=() absent=()
for p in "${missing[@]}"; do
  # The runsc of bookworm itself is older than systrap, its platform of today.
  if [ "$p" = runsc ] && offered runsc bookworm-backports; then
    wanted+=(runsc/bookworm-backports)
  elif offered "$p"; then
    wanted+=("$p")
  else
    absent+=("$p")
  fi
done
if [ ${#wanted[@]} -gt 0 ]; then
  echo "bench-setup: installing ${wanted[*]}"
  # A server that is installed here must not start on the host.
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
    trap 'rm -f "$log" /usr/sbin/policy-rc.d' EXIT
  fi
  if ! apt-get -q -y -o Acquire::Retries=3 install --no-install-recommends "${wanted[@]}" </dev/null >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    exit 1
  fi
fi
if [ ${#absent[@]} -gt 0 ]; then
  echo "bench-setup: no configured source has ${absent[*]}" >&2
  exit 1
fi
