# A container with limits on the machine's control groups: limits.sh NAME BUNDLE RUNTIME [OPTION...] prints what stands in the files of its
# group, after an update too, and what is left of the group in the end.
name=$1 bundle=$2
shift 2
ask() { "$@" || { echo "status $? of $*"; exit 1; } }
files='cpu.weight cpu.max cpuset.cpus memory.max memory.low memory.swap.max pids.max'
show() { for file in $files; do echo "$1 $file $(cat "$group/$file")"; done; }

ask "$@" run --detach --pid-file "/run/$name.pid" --bundle "$bundle" "$name" </dev/null >/dev/null
pid=$(cat "/run/$name.pid")
group=/sys/fs/cgroup$(cut -d: -f3 "/proc/$pid/cgroup")
echo "group $group"
show made
ask "$@" exec "$name" cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max | tr '\n' ' '
echo inside
ask "$@" update --memory 67108864 --memory-swap 67108864 --cpu-quota 30000 "$name"
show changed
ask "$@" pause "$name"
"$@" state "$name" | grep '"status"' | tr -d ' ,'
ask "$@" resume "$name"
"$@" state "$name" | grep '"status"' | tr -d ' ,'
ask "$@" delete --force "$name"
[ -e "$group" ] && echo "left: $group"
"$@" run --bundle "$bundle-eater" "$name" </dev/null >/dev/null 2>&1
echo "eater $?"
[ -e "$group" ] && echo "left: $group"
exit 0
