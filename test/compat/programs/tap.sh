#!/bin/sh
# TAP without a way to choose cases: $1 names a file whose absence ends the program in the midst of it, $2 how (crash, hang, bail).
echo "TAP version 13"
echo "# a comment"
echo "1..6"
echo "ok 1 - first"
echo "not ok 2 - known # TO""DO some day"
echo "ok 3 - absent # SKIP no such device"
if [ -n "$1" ] && [ ! -e "$1" ]; then
  case $2 in
    crash) kill -SEGV $$ ;;
    hang) sleep 1000 ;;
    bail)
      echo "Bail out! out of paper"
      exit 255
      ;;
  esac
fi
echo "ok 4 - a \# in a name"
echo "not ok 5 - wrong"
echo "# because it is"
echo "    ok 1 - of a subtest"
echo "ok"
exit 1
